/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is saved, byte by byte: the test writes the state that the table in vfio/cpr.h describes, of
 * what the kernel said and what the VMM chose, and the stack has to come to the same bytes; so has
 * the next process, which has only read them.
 */
#include "cpr_watch.h"

enum { MSIX_BIT = 1u << VFIO_PCI_MSIX_IRQ_INDEX };

/* ---- what is to be saved ---- */

static void put_map(uint8_t *map, uint64_t iova, uint64_t bytes, bool readonly)
{
	cpr_put(map, iova, 8);
	cpr_put(map + 8, iova + bytes - 1, 8);
	map[16] = readonly;
}

/* Number and checksum of the maps of every container. */
static void describe_maps(const struct cpr_machine *machine, struct container *container)
{
	uint8_t maps[17 * CPR_ENTRIES];
	uint64_t page = machine->backend->page;

	container->maps = machine->viommu ? CPR_ENTRIES : 1;
	for (uint32_t i = 0; machine->viommu && i < CPR_ENTRIES; i++)
		put_map(maps + 17 * (size_t)i, cpr_viommu_base + cpr_entries[i].page * page,
			cpr_entries[i].pages * page, cpr_entries[i].prot == 1);
	if (!machine->viommu)
		put_map(maps, machine->base, machine->bytes, false);
	container->crc = crc32(maps, 17 * (size_t)container->maps);
}

static void write_container(const struct cpr_process *process, struct text *text, uint32_t space)
{
	const struct backend *backend = process->machine->backend;
	bool iommufd = backend->kind == VFIO_BACKEND_IOMMUFD;
	struct container container = { .id = space + 1, .backend = (uint32_t)backend->kind };
	struct vfio_container_info info;

	describe_maps(process->machine, &container);
	vfio_container_info(vfio_device_container(process->devices[space]), &info);
	container.limit = info.max_mappings;
	if (iommufd) {
		container.iommufd = 1;
		container.ioas = cpr_number(process, IOMMU_IOAS_ALLOC, space);
		container.flags = backend->dirty_tracking;
	} else {
		container.type = backend->type1_v1 ? VFIO_TYPE1_IOMMU : VFIO_TYPE1v2_IOMMU;
		container.flags = !backend->type1_v1;
		assert_true(container.limit);
	}
	put_container(text, container);
}

static void write_device(struct cpr_process *process, struct text *text, uint32_t index)
{
	const struct backend *backend = process->machine->backend;
	uint32_t space = index % process->machine->spaces;
	struct vfio_device_options options = cpr_options(process, index);
	bool iommufd = backend->kind == VFIO_BACKEND_IOMMUFD;
	struct device device = {
		.container = space + 1,
		.irqs = 1u << VFIO_PCI_ERR_IRQ_INDEX | 1u << VFIO_PCI_REQ_IRQ_INDEX,
		.flags = 3,
		.name = stage_name(index),
		.group = iommufd ? "" : options.group,
	};

	if (index == 1)
		device.irqs |= MSIX_BIT;
	if (iommufd)
		device.devid = cpr_number(process, VFIO_DEVICE_BIND_IOMMUFD, index);
	if (iommufd && backend->dirty_tracking)
		device.hwpt = cpr_number(process, IOMMU_HWPT_ALLOC, space);
	put_device(text, device);
}

static void write_state(struct cpr_process *process, struct text *text)
{
	const struct cpr_machine *machine = process->machine;

	begin(text);
	if (machine->backend->kind == VFIO_BACKEND_IOMMUFD)
		put_iommufd(text, 1, 0);
	for (uint32_t space = 0; space < machine->spaces; space++) {
		write_container(process, text, space);
		for (uint32_t i = space; i < machine->devices; i += machine->spaces)
			write_device(process, text, i);
	}
	end(text, VFIO_MODE_CPR_TRANSFER);
}

/* ---- pieces ---- */

/* A piece writes no byte more than there is room for, and says how many it has. */
static size_t expect_piece(const struct vfio_vmstate *state, const uint8_t *bytes)
{
	size_t size = state->save(state->opaque, NULL, 0);
	uint8_t *room;

	assert_true(size > 0);
	for (size_t i = 0; i <= size; i++) {
		room = cpr_fenced(i);
		assert_int_equal(state->save(state->opaque, room, i), size);
		assert_memory_equal(room, bytes, i);
		/* It is the piece when all of it is there, and only then. */
		assert_int_equal(state->load(state->opaque, state->version, room, i),
				 i < size ? -EINVAL : 0);
		cpr_unfence(room);
	}
	room = cpr_fenced(size + 1);
	memcpy(room, bytes, size);
	assert_int_equal(state->save(state->opaque, room, size + 1), size);
	assert_int_equal(room[size], 0);
	assert_int_equal(state->load(state->opaque, state->version, room, size + 1), -EINVAL);
	for (size_t i = 0; i < size; i++) {
		room[i] ^= 1;
		assert_int_equal(state->load(state->opaque, state->version, room, size), -EINVAL);
		room[i] ^= 1;
	}
	assert_int_equal(state->load(state->opaque, state->version + 1, room, size), -ENOTSUP);
	cpr_unfence(room);
	return size;
}

/* The state is what is registered, one piece after the other, behind the header. */
static void expect_pieces(const struct cpr_process *process, const struct text *text)
{
	size_t at = HEADER;

	for (uint32_t i = 0; i < process->ref.state_count; i++) {
		const struct vfio_vmstate *state = process->ref.states[i];

		at += expect_piece(state, text->bytes + at);
		assert_true(at <= text->size);
	}
	assert_int_equal(at, text->size);
}

/* ---- the updates ---- */

static void enable_msix(struct cpr_process *process)
{
	int event = process->raw.eventfd(process->raw.ctx);
	struct vfio_error error = { 0 };

	assert_true(event >= 0);
	cpr_check(vfio_device_irq_enable(process->devices[1], VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &event,
					 &error),
		  &error);
}

static void expect_bytes(const struct cpr_process *process, const struct text *text)
{
	assert_int_equal(process->state_size, text->size);
	assert_memory_equal(process->state, text->bytes, text->size);
}

static void run_saved(struct cpr_machine *machine)
{
	struct cpr_process *process = cpr_watch_start(machine);
	struct text *text = calloc(1, sizeof(*text));
	struct vfio_error error = { 0 };

	assert_non_null(text);
	cpr_watch_attach(process);
	enable_msix(process);
	write_state(process, text);
	expect_pieces(process, text);
	/* From one process to the next, and to one more: nothing is lost and nothing added. */
	for (int round = 0; round < 3; round++) {
		struct cpr_process *heir = cpr_watch_heir(process);

		cpr_watch_save(process);
		expect_bytes(process, text);
		cpr_watch_load(process, NULL);
		cpr_watch_attach(heir);
		expect_pieces(heir, text);
		cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
		cpr_watch_end(process);
		process = heir;
		cpr_expect_owner(process);
	}
	free(text);
	cpr_watch_end(process);
	cpr_machine_free(machine);
}

/* RAM lies behind 4 GiB. */
static void run_ram(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);

	machine->base = (uint64_t)5 << 32;
	run_saved(machine);
}

/* Some maps are for reading only. */
static void run_viommu(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);

	machine->viommu = true;
	run_saved(machine);
}

/* A device that has no notification of errors, or of requests. */
static void run_notifications(struct stage *stage)
{
	for (uint32_t lacks = 0; lacks < 2; lacks++) {
		struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
		struct cpr_process *process = cpr_watch_start(machine), *heir;
		struct text *text = calloc(1, sizeof(*text));
		struct vfio_error error = { 0 };
		size_t at;

		assert_non_null(text);
		cpr_fail_from(process, VFIO_DEVICE_GET_IRQ_INFO, 1 + lacks, -EINVAL, 0);
		cpr_watch_attach(process);
		assert_int_equal(process->requests_failed, 2);
		cpr_forget(process);
		write_state(process, text);
		/* The last record, behind its container and its flags. */
		at = text->size - strlen(stage_name(0)) - 12;
		if (process->machine->backend->kind != VFIO_BACKEND_IOMMUFD)
			at -= strlen(cpr_options(process, 0).group);
		cpr_put(text->bytes + at,
			lacks ? 1u << VFIO_PCI_ERR_IRQ_INDEX : 1u << VFIO_PCI_REQ_IRQ_INDEX, 4);
		cpr_put(text->bytes + at + 4, lacks ? 1 : 2, 4);
		sign(text->bytes, text->size);
		heir = cpr_watch_heir(process);
		cpr_watch_save(process);
		expect_bytes(process, text);
		assert_null(strstr(cpr_watch_of(process)->text,
				   lacks ? "keep vfio/device/d0 2" : "keep vfio/device/d0 1"));
		assert_int_equal(cpr_count_lines(process, "keep vfio/device/d0"), 2);
		cpr_watch_load(process, NULL);
		cpr_watch_attach(heir);
		assert_int_equal(cpr_count_lines(heir, "take vfio/device/d0"), 2);
		cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
		cpr_watch_end(process);
		process = cpr_watch_heir(heir);
		cpr_watch_save(heir);
		expect_bytes(heir, text);
		cpr_process_free(process);
		cpr_check(vfio_cpr_abort(heir->vfio, &error), &error);
		free(text);
		cpr_watch_stop(heir);
	}
}

/* Under another kernel the devices come up from the beginning. */
static void boot(struct cpr_machine *machine, const struct text *text)
{
	struct cpr_process *process = cpr_process_start(machine);
	struct vfio_error error = { 0 };

	cpr_check(vfio_cpr_load(process->vfio, text->bytes, text->size, NULL, &error), &error);
	assert_int_equal(vfio_cpr_mode(process->vfio), VFIO_MODE_CPR_REBOOT);
	cpr_attach_all(process);
	cpr_check(vfio_cpr_finish(process->vfio, &error), &error);
	assert_int_equal(vfio_cpr_mode(process->vfio), 0);
	cpr_process_end(process);
}

/* For another kernel there are the names, and nothing else. */
static void run_reboot(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *process = cpr_process_start(machine);
	struct text *text = calloc(1, sizeof(*text));
	struct vfio_error error = { 0 };
	const void *state;
	size_t size;

	assert_non_null(text);
	cpr_attach_all(process);
	/* A VMM may ask for what cannot be handed over, too. */
	for (uint32_t i = 0; i < process->ref.state_count; i++)
		assert_true(process->ref.states[i]->save(process->ref.states[i]->opaque, NULL, 0));
	begin(text);
	for (uint32_t i = 0; i < machine->devices; i++)
		put_device(text, (struct device){ .name = stage_name(i), .group = "" });
	end(text, VFIO_MODE_CPR_REBOOT);
	cpr_check(vfio_cpr_save(process->vfio, VFIO_MODE_CPR_REBOOT, true, NULL, &state, &size,
				&error),
		  &error);
	assert_int_equal(size, text->size);
	assert_memory_equal(state, text->bytes, size);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	cpr_process_end(process);
	boot(machine, text);
	free(text);
	cpr_machine_free(machine);
}

/* ---- the table ---- */

static const struct story checks[] = {
	{ .name = "ram", .run = run_ram, .needs = NEEDS_HANDOVER },
	{ .name = "viommu", .run = run_viommu, .needs = NEEDS_HANDOVER },
	{ .name = "notifications", .run = run_notifications, .needs = NEEDS_HANDOVER },
	{ .name = "reboot",
	  .run = run_reboot,
	  .waivers = { { "user", "its servers are another matter" } } },
};

enum { CHECKS = sizeof(checks) / sizeof(checks[0]) };

int main(void)
{
	struct CMUnitTest tests[CHECKS];

	cpr_play_all(tests, checks, CHECKS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
