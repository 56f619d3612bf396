/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Servers that do what no server should, at every message there is. The stack's program does the
 * same each time: it attaches, uses all of the device, changes its memory, and detaches. What a
 * call says is up to the server; that it ends, says so clearly, and leaves nothing is up to the
 * stack.
 */
#include <errno.h>
#include <string.h>

#include <uapi/vfio.h>
#include <uapi/vfio_user.h>
#include <vfake/models.h>

#include "stories.h"

enum { MIB = 1 << 20, TICKS = 12 };

/* A call that failed has a reason, one that did not has none. Returns whether it was good. */
static bool agrees(bool done, struct vfio_error *error)
{
	if (done) {
		assert_int_equal(error->code, 0);
	} else {
		assert_true(error->code < 0);
		assert_string_not_equal(error->message, "");
	}
	*error = (struct vfio_error){ 0 };
	return done;
}

static void use_regions(struct stage *stage, struct vfio_device *device)
{
	struct vfio_error error = { 0 };
	uint64_t addr, value = 5;

	for (uint32_t i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
		struct vfio_region region;

		if (!agrees(vfio_device_region(device, i, &region, &error), &error) || !region.size)
			continue;
		assert_true(region.area_count <= 16);
		if (region.area_count &&
		    agrees(vfio_device_map_area(device, i, 0, &addr, &error), &error))
			vfio_device_unmap_area(device, addr);
	}
	agrees(vfio_device_write(device, VFAKE_COPY_BAR_REGS, VFAKE_COPY_SCRATCH, &value, 8,
				 &error),
	       &error);
	agrees(vfio_device_read(device, VFAKE_COPY_BAR_REGS, VFAKE_COPY_SCRATCH, &value, 8, &error),
	       &error);
	for (int i = 0; i < 70; i++)
		agrees(vfio_device_post(device, VFAKE_COPY_BAR_REGS, VFAKE_COPY_SCRATCH, &value, 8,
					&error),
		       &error);
	agrees(vfio_device_flush(device, &error), &error);
	(void)stage;
}

static void use_interrupts(struct stage *stage, struct vfio_device *device)
{
	struct vfio_error error = { 0 };
	struct vfio_irq irq;
	int eventfds[2];

	for (int i = 0; i < 2; i++)
		eventfds[i] = stage->raw.eventfd(stage->raw.ctx);
	agrees(vfio_device_irq(device, VFIO_PCI_MSIX_IRQ_INDEX, &irq, &error), &error);
	if (agrees(vfio_device_irq_enable(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, eventfds, &error),
		   &error))
		agrees(vfio_device_irq_trigger(device, VFIO_PCI_MSIX_IRQ_INDEX, 1, &error), &error);
	vfio_device_irq_disable(device, VFIO_PCI_MSIX_IRQ_INDEX);
	for (int i = 0; i < 2; i++)
		assert_int_equal(stage->raw.close(stage->raw.ctx, eventfds[i]), 0);
	agrees(vfio_device_reset(device, &error), &error);
	vfio_device_poll(device);
}

static void use_memory(struct stage *stage, struct stage_ram *ram)
{
	struct vfio_error error = { 0 };

	agrees(vfio_memory_log_start(stage->memory, &error), &error);
	stage_ram_out(ram);
	stage_ram_in(ram);
	agrees(vfio_memory_log_sync(stage->memory, &error), &error);
	vfio_memory_log_stop(stage->memory);
}

static void use_migration(struct vfio_device *device)
{
	struct vfio_error error = { 0 };
	enum vfio_mig_state state;
	uint8_t bytes[256];
	size_t got;

	agrees(vfio_device_mig_state(device, &state, &error), &error);
	if (agrees(vfio_device_mig_set_state(device, VFIO_MIG_STOP_COPY, VFIO_MIG_RUNNING, &error),
		   &error))
		agrees(vfio_device_mig_read(device, bytes, sizeof(bytes), &got, &error), &error);
	if (agrees(vfio_device_mig_set_state(device, VFIO_MIG_RESUMING, VFIO_MIG_RUNNING, &error),
		   &error))
		agrees(vfio_device_mig_write(device, bytes, sizeof(bytes), &error), &error);
	agrees(vfio_device_mig_set_state(device, VFIO_MIG_RUNNING, VFIO_MIG_RUNNING, &error),
	       &error);
}

/* Attaches, uses, detaches. Whether it could be attached. */
static bool use_all(struct stage *stage, struct stage_ram *ram)
{
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error error;

	options.timeout_ticks = TICKS;
	if (!stage_try_attach(stage, 0, stage->memory, &options, &error))
		return false;
	use_regions(stage, stage->devices[0]);
	use_interrupts(stage, stage->devices[0]);
	use_memory(stage, ram);
	use_migration(stage->devices[0]);
	stage_detach(stage, 0);
	return true;
}

/* One server, from its start to its end: nothing of its client is left. */
static bool play(struct stage *stage, struct stage_ram *ram, const struct vfake_hostile *hostile)
{
	struct vfake_peer_attr attr = { .hostile = *hostile };
	bool attached;

	stage_serve(stage, 0, &attr);
	attached = use_all(stage, ram);
	vfake_peer_free(stage->peers[0]);
	stage->peers[0] = NULL;
	stage_expect_mark(stage);
	return attached;
}

static struct stage_ram *start(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);

	vfake_peer_free(stage->peers[0]);
	stage->peers[0] = NULL;
	stage_mark(stage);
	/* The use itself is a good one. */
	assert_true(play(stage, ram, &(struct vfake_hostile){ 0 }));
	assert_int_equal(stage->ref.broken_seen, 0);
	assert_int_equal(stage->ref.errors_seen, 0);
	return ram;
}

static void run_hostile(struct stage *stage)
{
	struct stage_ram *ram = start(stage);

	for (int kind = 1; kind < VFAKE_HOSTILE_KINDS; kind++) {
		for (uint16_t command = 0; command < VFIO_USER_COMMANDS; command++) {
			struct vfake_hostile each = { .kind = (enum vfake_hostile_kind)kind,
						      .command = command };
			struct vfake_hostile once = each;

			once.once = true;
			play(stage, ram, &each);
			play(stage, ram, &once);
		}
	}
	stage_serve(stage, 0, &(struct vfake_peer_attr){ 0 });
}

const struct story story_user_hostile = {
	.name = "user-hostile",
	.about = "each way to spoil a reply, at each command: a clear error, and nothing is left",
	.run = run_hostile,
	.needs = NEEDS_SERVER,
	.model = "migrate",
};

/* A server that hangs up at its first reply, its second one, and so on until it never does. */
static void die_at_each(struct stage *stage, struct stage_ram *ram, enum vfake_hostile_kind kind)
{
	uint32_t refused = 0, skip = 0;

	for (;; skip++) {
		struct vfake_hostile end = { .kind = kind, .skip = skip, .once = true };
		uint32_t errors = stage->ref.errors_seen, broken = stage->ref.broken_seen;

		refused += !play(stage, ram, &end);
		if (stage->ref.errors_seen == errors && stage->ref.broken_seen == broken &&
		    skip > 60)
			break;
		assert_true(skip < 1000);
	}
	assert_in_range(refused, 3, skip);
}

static void run_dies(struct stage *stage)
{
	struct stage_ram *ram = start(stage);

	die_at_each(stage, ram, VFAKE_HOSTILE_HANG_UP);
	die_at_each(stage, ram, VFAKE_HOSTILE_HANG_UP_HEADER);
	stage_serve(stage, 0, &(struct vfake_peer_attr){ 0 });
}

const struct story story_user_dies = {
	.name = "user-dies",
	.about = "the server dies before, and in the middle of, each of its replies in turn",
	.run = run_dies,
	.needs = NEEDS_SERVER,
	.model = "migrate",
};

/* ---- what a server can take ---- */

static void run_capabilities(struct stage *stage)
{
	static const struct {
		struct vfake_peer_attr attr;
		int code; /* of the attach */
	} cases[] = {
		{ { .max_msg_fds = 1 }, 0 },
		{ { .max_msg_fds = 253 }, 0 },
		{ { .max_data_xfer_bytes = 8 }, 0 },
		{ { .max_data_xfer_bytes = 4 }, -EPROTO },
		{ { .max_dma_maps = 1 }, 0 },
		{ { .no_write_multiple = true, .no_twin_socket = true }, 0 },
		{ { .delay_turns = 3 }, 0 },
		{ { .hostile = { VFAKE_HOSTILE_BAD_JSON, VFIO_USER_VERSION, 0, true } }, -EPROTO },
		{ { .hostile = { VFAKE_HOSTILE_BAD_VERSION, VFIO_USER_VERSION, 0, true } },
		  -EPROTO },
		{ { .hostile = { VFAKE_HOSTILE_ERROR, VFIO_USER_VERSION, 0, true } }, -EIO },
		{ { .hostile = { VFAKE_HOSTILE_HANG_UP, VFIO_USER_VERSION, 0, true } }, -EPIPE },
	};
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error error;

	options.timeout_ticks = 100;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t config[256];

		stage_serve(stage, 0, &cases[i].attr);
		if (!stage_try_attach(stage, 0, stage->memory, &options, &error)) {
			if (error.code != cases[i].code)
				fail_msg("case %zu: %s", i, error.message);
			continue;
		}
		assert_int_equal(cases[i].code, 0);
		stage_expect_reach(stage, 0, ram->region.start, MIB, ram->host, true);
		assert_true(vfio_device_read(stage->devices[0], VFIO_PCI_CONFIG_REGION_INDEX, 0,
					     config, sizeof(config), &error));
		assert_int_equal(config[0] | config[1] << 8, VFAKE_COPY_VENDOR);
		stage_detach(stage, 0);
	}
	stage_expect_empty(stage);
}

const struct story story_user_capabilities = {
	.name = "user-capabilities",
	.about = "servers that can take little, that are slow, or that refuse us",
	.run = run_capabilities,
	.needs = NEEDS_SERVER,
};
