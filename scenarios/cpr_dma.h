/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live updates of the machine of cpr_rig.h, and the transfers that run across them: each device
 * copies pages of guest memory with a row of small descriptors, one a tick. Every byte of memory is
 * known; at the end all of it is compared.
 *
 * Pages of a space: 0 to 2 the rings of devices, 4 to 19 what is copied, then 16 for each device
 * where it goes to. The rest stays as it was.
 */
#ifndef SCENARIOS_CPR_DMA_H
#define SCENARIOS_CPR_DMA_H

#include <endian.h>

#include <uapi/table.h>
#include <uapi/vfio.h>
#include <vfake/models.h>

#include "cpr_rig.h"

enum {
	CPR_SOURCE = 4, /* pages */
	CPR_TARGET = 20,
	CPR_TARGET_PAGES = 16,
	CPR_DESCRIPTORS = 120,
	CPR_SLOTS = 128,
	CPR_LENGTH = 512, /* bytes of a descriptor */
};

static inline uint64_t cpr_page(const struct cpr_machine *machine, uint64_t index)
{
	return index * machine->backend->page;
}

static inline void cpr_put(uint8_t *to, uint64_t value, size_t size)
{
	value = htole64(value);
	memcpy(to, &value, size);
}

static inline uint32_t cpr_get32(const uint8_t *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof(value));
	return le32toh(value);
}

/* What the guest's programs do to its memory. */
static inline void cpr_store(struct cpr_process *process, uint32_t space, uint64_t at,
			     const void *bytes, size_t size)
{
	memcpy(process->ram[space] + at, bytes, size);
	memcpy(process->machine->expect[space] + at, bytes, size);
}

static inline void cpr_new_source(struct cpr_process *process, uint32_t space)
{
	struct cpr_machine *machine = process->machine;

	for (uint64_t at = 0; at < (uint64_t)CPR_DESCRIPTORS * CPR_LENGTH; at += 8) {
		machine->random = machine->random * UINT64_C(6364136223846793005) +
				  UINT64_C(1442695040888963407);
		cpr_store(process, space, cpr_page(machine, CPR_SOURCE) + at, &machine->random, 8);
	}
}

static inline void cpr_set_register(struct cpr_process *process, uint32_t device, uint32_t at,
				    uint32_t value)
{
	struct vfio_error error = { 0 };

	value = htole32(value);
	cpr_check(vfio_device_write(process->devices[device], VFAKE_COPY_BAR_REGS, at, &value,
				    sizeof(value), &error),
		  &error);
}

static inline uint64_t cpr_target(const struct cpr_machine *machine, uint32_t device)
{
	return cpr_page(machine, CPR_TARGET + (uint64_t)device * CPR_TARGET_PAGES);
}

/* Fills a device's ring and lets it run; the guest sees addresses from @base on. */
static inline void cpr_start_device(struct cpr_process *process, uint32_t device, uint64_t base)
{
	struct cpr_machine *machine = process->machine;
	uint32_t space = device % machine->spaces;
	uint64_t ring = cpr_page(machine, device);
	uint64_t from = cpr_page(machine, CPR_SOURCE), to = cpr_target(machine, device);
	struct vfio_error error = { 0 };
	uint16_t command = htole16(6);

	for (uint64_t i = 0; i < CPR_DESCRIPTORS; i++) {
		uint8_t *slot = process->ram[space] + ring + i * VFAKE_COPY_DESC_BYTES;

		memset(slot, 0, VFAKE_COPY_DESC_BYTES);
		cpr_put(slot + VFAKE_COPY_DESC_SOURCE, base + from + i * CPR_LENGTH, 8);
		cpr_put(slot + VFAKE_COPY_DESC_DEST, base + to + i * CPR_LENGTH, 8);
		cpr_put(slot + VFAKE_COPY_DESC_LENGTH, CPR_LENGTH, 4);
	}
	memcpy(machine->expect[space] + to, machine->expect[space] + from,
	       (size_t)CPR_DESCRIPTORS * CPR_LENGTH);
	cpr_check(vfio_device_write(process->devices[device], VFIO_PCI_CONFIG_REGION_INDEX, 4,
				    &command, sizeof(command), &error),
		  &error);
	cpr_set_register(process, device, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RESET);
	cpr_set_register(process, device, VFAKE_COPY_RING_BASE, (uint32_t)(base + ring));
	cpr_set_register(process, device, VFAKE_COPY_RING_BASE + 4,
			 (uint32_t)((base + ring) >> 32));
	cpr_set_register(process, device, VFAKE_COPY_RING_SIZE, CPR_SLOTS);
	cpr_set_register(process, device, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RUN);
	cpr_set_register(process, device, VFAKE_COPY_DOORBELL, CPR_DESCRIPTORS);
}

/* Every device of the process begins to copy what was never there before. */
static inline void cpr_start_dma(struct cpr_process *process)
{
	struct cpr_machine *machine = process->machine;

	for (uint32_t i = 0; i < machine->spaces; i++)
		cpr_new_source(process, i);
	for (uint32_t i = 0; i < machine->devices; i++) {
		if (process->devices[i])
			cpr_start_device(process, i,
					 machine->viommu ? cpr_viommu_base : machine->base);
	}
	machine->copies = true;
	vfake_tick(machine->kernel, 3);
}

static inline uint32_t cpr_status(const struct cpr_machine *machine, uint32_t device,
				  uint32_t index)
{
	return cpr_get32(machine->ram[device % machine->spaces] + cpr_page(machine, device) +
			 (uint64_t)index * VFAKE_COPY_DESC_BYTES + VFAKE_COPY_DESC_STATUS);
}

/* A device has begun and is not done. */
static inline void cpr_expect_running(const struct cpr_machine *machine, uint32_t device)
{
	assert_int_equal(cpr_status(machine, device, 0), VFAKE_COPY_DESC_DONE);
	assert_int_equal(cpr_status(machine, device, CPR_DESCRIPTORS - 1), VFAKE_COPY_DESC_OPEN);
}

/* Devices that copied are done with all; every byte of guest memory is what it must be. */
static inline void cpr_finish_dma(struct cpr_machine *machine)
{
	vfake_tick(machine->kernel, UINT64_MAX);
	for (uint32_t device = 0; device < machine->devices; device++) {
		uint32_t space = device % machine->spaces;
		uint64_t ring = cpr_page(machine, device);

		for (uint32_t i = 0; i < CPR_DESCRIPTORS; i++) {
			if (cpr_status(machine, device, i) != VFAKE_COPY_DESC_DONE)
				fail_msg("%s: descriptor %u has status %u", stage_name(device), i,
					 cpr_status(machine, device, i));
		}
		memcpy(machine->expect[space] + ring, machine->ram[space] + ring,
		       CPR_SLOTS * VFAKE_COPY_DESC_BYTES);
	}
	for (uint32_t i = 0; i < machine->spaces; i++)
		assert_memory_equal(machine->ram[i], machine->expect[i], machine->bytes);
	machine->copies = false;
}

/* ---- updates ---- */

/* Of the save that goes on, and of no other. */
static inline int cpr_keep_now(void *ctx, const char *name, uint32_t id, int fd)
{
	struct cpr_way *way = ctx;
	struct cpr_process *process = way->process;

	assert_ptr_equal(way, &process->ways[process->saves % 2]);
	return cpr_keep(process, name, id, fd);
}

static inline bool cpr_try_save(struct cpr_process *process, enum vfio_migration_mode mode,
				struct vfio_error *error)
{
	struct cpr_way *way = &process->ways[++process->saves % 2];
	struct vfio_cpr_fds fds = { .ctx = way, .keep = cpr_keep_now, .take = cpr_no_take };
	const void *state = NULL;
	size_t size = 0;

	way->process = process;
	*error = (struct vfio_error){ 0 };
	process->fd_count = 0;
	process->saved = false;
	process->keeps_numbers = mode == VFIO_MODE_CPR_EXEC;
	process->saving = true;
	process->saved = vfio_cpr_save(process->vfio, mode, mode == VFIO_MODE_CPR_REBOOT, &fds,
				       &state, &size, error);
	process->saving = false;
	if (!process->saved) {
		assert_true(error->code < 0 && *error->message);
		cpr_drop_kept(process);
		return false;
	}
	free(process->state);
	process->state = malloc(size);
	assert_non_null(process->state);
	memcpy(process->state, state, size);
	process->state_size = size;
	return true;
}

static inline void cpr_save(struct cpr_process *process, enum vfio_migration_mode mode)
{
	struct vfio_error error;

	cpr_check(cpr_try_save(process, mode, &error), &error);
}

/* Descriptors that nobody took are closed, as a VMM would. */
static inline void cpr_close_rest(struct cpr_process *from, struct vfake_task *task)
{
	for (uint32_t i = 0; i < from->fd_count; i++) {
		if (from->fds[i].fd >= 0)
			assert_int_equal(vfake_close(task, from->fds[i].fd), 0);
		from->fds[i].fd = -1;
	}
}

/* The process whose program takes over: it waits, or is the same one that becomes it. */
static inline struct cpr_process *cpr_heir(struct cpr_process *process,
					   enum vfio_migration_mode mode)
{
	struct cpr_process *heir;

	if (mode == VFIO_MODE_CPR_EXEC) {
		heir = cpr_process_empty(process->machine);
		memcpy(heir->files, process->files, sizeof(heir->files));
	} else {
		heir = cpr_process_new(process->machine);
	}
	process->next = heir;
	return heir;
}

/* After the save: exec() where that is the mode; the new program starts and loads the state. */
static inline bool cpr_try_load(struct cpr_process *process, struct vfio_error *error)
{
	struct cpr_process *heir = process->next;
	struct vfio_cpr_fds fds = { .ctx = process, .keep = cpr_no_keep, .take = cpr_take };

	if (!heir->task) {
		int keep[CPR_FDS + CPR_SPACES];
		size_t count = 0;

		for (uint32_t i = 0; i < process->fd_count; i++)
			keep[count++] = process->fds[i].fd;
		for (uint32_t i = 0; i < CPR_SPACES; i++)
			keep[count++] = process->files[i];
		cpr_drop_heap(process);
		cpr_set_task(heir, process->task);
		cpr_set_task(process, NULL);
		assert_int_equal(vfake_task_exec(heir->task, keep, count), 0);
	}
	cpr_program(heir);
	if (!heir->machine->late)
		cpr_guest_state(heir);
	*error = (struct vfio_error){ 0 };
	return vfio_cpr_load(heir->vfio, process->state, process->state_size, &fds, error);
}

static inline void cpr_take_over(struct cpr_process *heir)
{
	struct vfio_error error = { 0 };

	cpr_attach_all(heir);
	if (heir->machine->late)
		cpr_guest_state(heir);
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
}

/* The kernel has no address of a process that may be about to end; iommufd never had any. */
static inline void cpr_expect_suspended(const struct cpr_machine *machine)
{
	for (uint32_t i = 0; i < machine->devices; i++) {
		const struct vfake_space_at at = { .kernel = machine->kernel,
						   .device = stage_name(i) };
		struct vfake_mapping_view mapping;

		if (machine->backend->manager != VFAKE_MANAGER_TYPE1)
			continue;
		assert_int_equal(vfake_view_mapping(&at, 0, UINT64_MAX, &mapping), 0);
		assert_true(mapping.suspended);
	}
}

/* An update that works, up to the point where the old process may end. */
static inline struct cpr_process *cpr_update(struct cpr_process *process,
					     enum vfio_migration_mode mode)
{
	struct cpr_process *heir = cpr_heir(process, mode);
	struct vfio_error error;

	cpr_save(process, mode);
	cpr_expect_suspended(process->machine);
	cpr_check(cpr_try_load(process, &error), &error);
	cpr_take_over(heir);
	cpr_close_rest(process, heir->task);
	return heir;
}

/* All maps of an address space are the process's, and have its addresses. 0 where there are none.
 */
static inline uint64_t cpr_expect_maps(const struct cpr_process *process,
				       const struct vfake_space_at *at)
{
	struct vfake_mapping_view mapping = { .last = UINT64_MAX };
	uint64_t from = 0, count = 0;

	for (; !vfake_view_mapping(at, from, UINT64_MAX, &mapping); from = mapping.last + 1) {
		assert_ptr_equal(mapping.owner, process->task);
		assert_false(mapping.suspended);
		assert_true(mapping.pinned);
		count++;
	}
	return count;
}

/* The address space of a device. */
static inline struct vfake_space_at cpr_space_of(const struct cpr_machine *machine, uint32_t device)
{
	struct vfake_space_at at = { .kernel = machine->kernel, .device = stage_name(device) };
	struct vfake_object_view object;
	uint32_t id = 1;

	if (machine->backend->manager != VFAKE_MANAGER_IOMMUFD)
		return at;
	for (; !vfake_view_object(&at, id, &object); id = object.id + 1) {
		if (object.kind != UAPI_OBJ_IOAS)
			continue;
		at.ioas = object.id;
		/* With two of them devices are attached in turn. */
		if (device % machine->spaces == 0)
			break;
		device = 0;
	}
	return at;
}

/* Whoever has the devices pays for their memory, and nobody else does. */
static inline void cpr_expect_owner(const struct cpr_process *process)
{
	struct cpr_machine *machine = process->machine;
	struct vfake_ledger now = vfake_ledger(machine->kernel);
	uint64_t spaces = machine->devices < machine->spaces ? machine->devices : machine->spaces;
	uint64_t pieces = (uint64_t)__builtin_popcount(machine->plugged);
	uint64_t pages = pieces ? pieces * CPR_PIECE : CPR_PAGES;
	uint64_t maps = machine->viommu ? CPR_ENTRIES : pieces ? pieces : 1;
	struct vfake_task_view view;

	vfake_view_task(process->task, &view);
	assert_int_equal(now.pinned_pages, spaces * pages);
	assert_int_equal(now.locked_pages, spaces * pages);
	assert_int_equal(view.locked_pages + view.user_locked_pages, spaces * pages);
	for (uint32_t i = 0; i < machine->devices; i++) {
		struct vfake_space_at at = cpr_space_of(machine, i);
		struct vfake_mapping_view mapping;

		assert_int_equal(cpr_expect_maps(process, &at), maps);
		assert_int_equal(vfake_view_mapping(&at, 0, UINT64_MAX, &mapping), 0);
		if (!mapping.of_file)
			assert_int_equal(mapping.vaddr,
					 (uintptr_t)process->ram[i % machine->spaces]);
	}
}

#endif
