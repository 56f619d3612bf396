/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only a device behind a vfio-user server has: memory that goes by messages, writes that
 * nobody waits for, replies that come later, and a server that is slow, mistaken, hostile or dead.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include <uapi/vfio.h>
#include <uapi/vfio_user.h>
#include <vfake/models.h>

#include "stories.h"

enum { MIB = 1 << 20 };

static void good(bool done, const struct vfio_error *error)
{
	if (!done)
		fail_msg("%s (%d) %s", error->message, error->code, error->hint);
}

static uint64_t scratch(struct vfio_device *device)
{
	struct vfio_error error = { 0 };
	uint64_t value = 0;

	good(vfio_device_read(device, VFAKE_COPY_BAR_REGS, VFAKE_COPY_SCRATCH, &value, 8, &error),
	     &error);
	return value;
}

/* ---- memory by messages ---- */

/* Anonymous memory: there is no descriptor to give to the server. */
static struct stage_ram *far_ram(struct stage *stage, uint64_t gpa, uint64_t size,
				 enum vfio_memory_kind kind, uint64_t *mapped)
{
	struct vfio_memory_region region = {
		.name = "far", .kind = kind, .start = gpa, .last = gpa + (size - 1), .fd = -1
	};

	assert_int_equal(stage->raw.mmap(stage->raw.ctx, size, VFAKE_PROT_READ | VFAKE_PROT_WRITE,
					 -1, 0, mapped),
			 0);
	region.vaddr = *mapped;
	return stage_add(stage, stage->memory, &region);
}

static void run_far(struct stage *stage)
{
	uint64_t base = stage->backend->ram, page = stage->backend->page;
	uint64_t maps[3], written = 0;
	struct stage_ram *ring = far_ram(stage, base, page, VFIO_MEMORY_RAM, &maps[0]);
	struct stage_ram *ram = far_ram(stage, base + MIB, MIB, VFIO_MEMORY_RAM, &maps[1]);
	struct stage_ram *rom = far_ram(stage, base + 4 * MIB, page, VFIO_MEMORY_ROM, &maps[2]);
	struct stage_engine engine = { stage, 0, base, ring->host };
	struct vfio_error error = { 0 };

	for (uint64_t i = 0; i < MIB / 2; i++)
		ram->host[i] = (uint8_t)(i * 11);
	memset(rom->host, 0x5a, page);
	stage_attach(stage, 0);
	assert_int_equal(stage_copy(&engine, base + MIB, base + MIB + MIB / 2, MIB / 2),
			 STAGE_DMA_DONE);
	assert_memory_equal(ram->host, ram->host + MIB / 2, MIB / 2);
	assert_true(vfake_peer_counts(stage->peers[0]).far_reads > 0);
	/* What is read only can be read; what is not mapped is a fault, as with an IOMMU. */
	assert_int_equal(stage_copy(&engine, base + 4 * MIB, base + MIB, 64), STAGE_DMA_DONE);
	assert_int_equal(ram->host[63], 0x5a);
	assert_int_equal(stage_fill(&engine, 1, base + 4 * MIB, 64), STAGE_DMA_WRITE_FAULT);
	assert_int_equal(rom->host[0], 0x5a);
	assert_int_equal(stage_fill(&engine, 1, base + 3 * MIB, 64), STAGE_DMA_WRITE_FAULT);
	assert_int_equal(stage_copy(&engine, base + 2 * MIB - 32, base + MIB, 64),
			 STAGE_DMA_READ_FAULT);
	/* What is written so is dirty, whoever else says so. */
	good(vfio_memory_log_start(stage->memory, &error), &error);
	assert_int_equal(stage_fill(&engine, 1, base + MIB + 5 * page, 64), STAGE_DMA_DONE);
	assert_true(vfio_memory_test_dirty(stage->memory, base + MIB + 5 * page, false));
	vfio_memory_log_stop(stage->memory);
	/* It goes while the device is there. */
	stage_ram_out(ram);
	assert_int_equal(stage_fill(&engine, 1, base + MIB, 64), STAGE_DMA_WRITE_FAULT);
	assert_int_equal(written, 0);
	assert_int_equal(stage->ref.broken_seen, 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
	for (int i = 0; i < 3; i++) {
		struct stage_ram *all[] = { ring, ram, rom };
		uint64_t size = i == 1 ? MIB : page;

		stage_ram_free(stage, all[i]);
		assert_int_equal(stage->raw.munmap(stage->raw.ctx, maps[i], size), 0);
	}
}

const struct story story_user_far = {
	.name = "user-far",
	.about = "memory without a descriptor is reached by messages, with the rights of its map",
	.run = run_far,
	.needs = NEEDS_SERVER,
};

/* ---- posted writes ---- */

/* A register of eight bytes keeps what is written to it: the bytes are all that counts. */
static void post(struct vfio_device *device, uint32_t at, const void *bytes, size_t len)
{
	struct vfio_error error = { 0 };

	good(vfio_device_post(device, VFAKE_COPY_BAR_REGS, VFAKE_COPY_SCRATCH + at, bytes, len,
			      &error),
	     &error);
}

static void expect_order(struct vfio_device *device)
{
	static const uint32_t upper = 7;
	struct vfio_error error = { 0 };
	uint32_t halves[2];
	uint64_t value;

	for (uint64_t i = 1; i <= 200; i++) {
		halves[0] = halves[1] = (uint32_t)i;
		post(device, 0, halves, 8);
	}
	/* On top of the last one. */
	post(device, 4, &upper, 4);
	good(vfio_device_flush(device, &error), &error);
	value = scratch(device);
	memcpy(halves, &value, 8);
	assert_int_equal(halves[0], 200);
	assert_int_equal(halves[1], 7);
	/* A read comes after what was posted before it. */
	for (uint64_t i = 1; i <= 5; i++) {
		post(device, 0, &i, 8);
		assert_int_equal(scratch(device), i);
	}
}

static void run_posted(struct stage *stage)
{
	for (int round = 0; round < 2; round++) {
		struct vfake_peer_attr attr = { .no_write_multiple = round == 1 };

		stage_serve(stage, 0, &attr);
		expect_order(stage_attach(stage, 0));
		stage_detach(stage, 0);
	}
	stage_expect_empty(stage);
}

const struct story story_user_posted = {
	.name = "user-posted",
	.about = "writes that nobody waits for keep their order, gathered in a message or not",
	.run = run_posted,
	.needs = NEEDS_SERVER,
};

/* ---- maps that are refused later ---- */

static void run_refused_map(struct stage *stage)
{
	struct vfake_hostile third = {
		.kind = VFAKE_HOSTILE_ERROR, .command = VFIO_USER_DMA_MAP, .skip = 2, .once = true
	};
	struct vfio_device_options options = stage_options(stage, 0);
	struct stage_ram *rams[5];
	struct vfio_container_info info;
	struct vfio_error error;

	for (uint64_t i = 0; i < 5; i++) {
		rams[i] = stage_ram(stage, stage->backend->ram + 2 * i * MIB, MIB);
	}
	stage_mark(stage);
	/* While attaching: the third of five, all of which were sent before the first reply. */
	vfake_peer_set_hostile(stage->peers[0], &third);
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	assert_int_equal(error.code, -EIO);
	assert_non_null(strstr(error.message, "0x10400000"));
	stage_expect_mark(stage);
	/* At run time: the others stay, and the VMM is told. */
	for (int i = 0; i < 5; i++)
		stage_ram_out(rams[i]);
	stage_attach(stage, 0);
	vfake_peer_set_hostile(stage->peers[0], &third);
	vfio_memory_begin(stage->memory);
	for (int i = 0; i < 5; i++)
		stage_ram_in(rams[i]);
	vfio_memory_commit(stage->memory);
	assert_int_equal(stage->ref.broken_seen, 1);
	assert_int_equal(stage->ref.broken_code, -EIO);
	assert_int_equal(vfio_container_error(vfio_device_container(stage->devices[0])), -EIO);
	vfio_container_info(vfio_device_container(stage->devices[0]), &info);
	assert_int_equal(info.mappings, 4);
	for (int i = 0; i < 5; i++) {
		if (i != 2)
			stage_expect_reach(stage, 0, rams[i]->region.start, MIB, rams[i]->host,
					   true);
	}
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_user_refused_map = {
	.name = "user-refused-map",
	.about = "a map that is refused after others were sent fails the attach, or is told",
	.run = run_refused_map,
	.needs = NEEDS_SERVER,
};

/* More maps in one transaction than are sent without waiting. */
static void run_many_maps(struct stage *stage)
{
	struct vfake_peer_attr few = { .max_dma_maps = 20 };
	struct vfio_memory_region region = { .name = "piece", .kind = VFIO_MEMORY_RAM, .fd = -1 };
	struct stage_ram *whole = stage_ram(stage, stage->backend->ram, MIB);
	struct vfio_device_options options = stage_options(stage, 0);
	uint64_t page = stage->backend->page;
	struct vfio_error error = { 0 };
	uint32_t ids[200];

	vfio_memory_begin(stage->memory);
	for (uint64_t i = 0; i < 200; i++) {
		region.start = stage->backend->ram + 4 * MIB + 2 * i * page;
		region.last = region.start + page - 1;
		region.vaddr = whole->region.vaddr + i * page;
		region.fd = whole->region.fd;
		region.fd_offset = i * page;
		good(vfio_memory_add(stage->memory, &region, &ids[i], &error), &error);
	}
	vfio_memory_commit(stage->memory);
	stage_mark(stage);
	stage_attach(stage, 0);
	for (uint64_t i = 0; i < 200; i++)
		stage_expect_reach(stage, 0, stage->backend->ram + 4 * MIB + 2 * i * page, page,
				   whole->host + i * page, true);
	assert_int_equal(vfake_peer_counts(stage->peers[0]).maps, 201);
	stage_detach(stage, 0);
	stage_expect_mark(stage);
	/* A server that does not take so many. */
	stage_serve(stage, 0, &few);
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	assert_int_equal(error.code, -ENOSPC);
	for (uint64_t i = 0; i < 200; i++)
		vfio_memory_del(stage->memory, ids[i]);
	stage_expect_empty(stage);
}

const struct story story_user_many_maps = {
	.name = "user-many-maps",
	.about = "hundreds of maps in one change of memory, and a server that takes fewer",
	.run = run_many_maps,
	.needs = NEEDS_SERVER,
};

/* ---- servers that are slow, and two of them ---- */

static void run_late(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfake_hostile late = { .kind = VFAKE_HOSTILE_LATE,
				      .command = VFIO_USER_REGION_READ,
				      .once = true };
	struct vfio_error error = { 0 };
	uint64_t value = 77, back = 0;

	stage_ram(stage, stage->backend->ram, MIB);
	options.timeout_ticks = 4;
	assert_true(stage_try_attach(stage, 0, stage->memory, &options, &error));
	good(vfio_device_write(stage->devices[0], VFAKE_COPY_BAR_REGS, VFAKE_COPY_SCRATCH, &value,
			       8, &error),
	     &error);
	vfake_peer_set_hostile(stage->peers[0], &late);
	assert_false(vfio_device_read(stage->devices[0], VFAKE_COPY_BAR_REGS, VFAKE_COPY_SCRATCH,
				      &back, 8, &error));
	assert_int_equal(error.code, -ETIMEDOUT);
	/* Those behind it are late, too, until it has come; it is nobody's then. */
	for (int i = 0; i < 8; i++) {
		back = 77;
		if (!vfio_device_read(stage->devices[0], VFAKE_COPY_BAR_REGS, VFAKE_COPY_SCRATCH,
				      &back, 8, &error))
			assert_int_equal(error.code, -ETIMEDOUT);
		assert_int_equal(back, 77);
	}
	for (int i = 0; i < 40; i++)
		assert_int_equal(scratch(stage->devices[0]), 77);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_user_late = {
	.name = "user-late",
	.about = "a reply that comes too late fails its call and is not taken for another one's",
	.run = run_late,
	.needs = NEEDS_SERVER,
};

static void run_sockets(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct vfio_error error = { 0 };

	stage_mark(stage);
	stage_attach(stage, 0);
	stage_attach(stage, 1);
	assert_ptr_not_equal(vfio_device_container(stage->devices[0]),
			     vfio_device_container(stage->devices[1]));
	/* One server dies: its device is dead, the other one's is not. */
	vfake_peer_free(stage->peers[0]);
	stage->peers[0] = NULL;
	vfio_device_poll(stage->devices[0]);
	vfio_device_poll(stage->devices[1]);
	assert_int_equal(stage->ref.errors_seen, 1);
	assert_false(vfio_device_reset(stage->devices[0], &error));
	assert_int_equal(error.code, -EPIPE);
	good(vfio_device_reset(stage->devices[1], &error), &error);
	stage_expect_reach(stage, 1, ram->region.start, MIB, ram->host, true);
	stage_detach(stage, 0);
	stage_expect_reach(stage, 1, ram->region.start, MIB, ram->host, true);
	stage_detach(stage, 1);
	stage_serve(stage, 0, &(struct vfake_peer_attr){ 0 });
	stage_attach(stage, 0);
	stage_expect_reach(stage, 0, ram->region.start, MIB, ram->host, true);
	stage_detach(stage, 0);
	assert_int_equal(stage->ref.broken_seen, 0);
	stage_expect_empty(stage);
}

const struct story story_user_sockets = {
	.name = "user-sockets",
	.about = "two devices are two servers and two containers: one dies alone",
	.run = run_sockets,
	.needs = NEEDS_SERVER,
};

static void run_user_blocked(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error error;

	stage_mark(stage);
	stage_attach(stage, 0);
	/* A server can be migrated, if its device can, but not be handed to another process. */
	assert_int_equal(blockers_of(stage, VFIO_MODE_NORMAL, NULL), 0);
	assert_int_equal(blockers_of(stage, VFIO_MODE_CPR_TRANSFER, NULL), 1);
	assert_int_equal(blockers_of(stage, VFIO_MODE_CPR_EXEC, NULL), 1);
	stage_detach(stage, 0);
	stage->ref.only_modes = VFIO_MODE_CPR_TRANSFER;
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	assert_int_equal(error.code, -EACCES);
	stage->ref.only_modes = 0;
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_user_blocked = {
	.name = "user-blocked",
	.about = "what cannot be handed over blocks live update, and that only",
	.run = run_user_blocked,
	.needs = NEEDS_SERVER,
	.model = "migrate",
};
