/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine with several processes, for scenarios of live update: guest memory is in files, each
 * process maps it at an address of its own, descriptors go from one to the next, and devices go on
 * by one tick before and after every call that any of them makes. A process can be killed at any
 * call: what its program had in memory is gone then, and the kernel closes what it had open.
 */
#ifndef SCENARIOS_CPR_RIG_H
#define SCENARIOS_CPR_RIG_H

#include "cpr_seam.h"

/* ---- descriptors on their way ---- */

static inline int cpr_keep(void *ctx, const char *name, uint32_t id, int fd)
{
	struct cpr_process *process = ctx;
	struct cpr_process *to = process->next;
	struct cpr_fd *kept = &process->fds[process->fd_count];

	cpr_pass(process, FAULT_CALL_KEEP_FD, false);
	if (process->fail_keep && !--process->fail_keep)
		return -EPIPE;
	if (stage_ask(process->machine->stage, FAULT_VMM_KEEP_FD))
		return -EPIPE;
	assert_true(process->fd_count < CPR_FDS);
	for (uint32_t i = 0; i < process->fd_count; i++)
		assert_true(strcmp(process->fds[i].name, name) || process->fds[i].id != id);
	snprintf(kept->name, sizeof(kept->name), "%s", name);
	kept->id = id;
	kept->fd = process->keeps_numbers ? fd : vfake_pass_fd(process->task, fd, to->task);
	if (kept->fd < 0)
		return kept->fd;
	process->fd_count++;
	cpr_pass(process, FAULT_CALL_KEEP_FD, true);
	return 0;
}

/* Saving only keeps and loading only takes, though a VMM may offer both to both. */
static inline int cpr_no_keep(void *ctx, const char *name, uint32_t id, int fd)
{
	(void)ctx, (void)fd;
	fail_msg("%s %u is kept by a process that is to take it", name, id);
	return -EPIPE;
}

static inline int cpr_no_take(void *ctx, const char *name, uint32_t id)
{
	(void)ctx;
	fail_msg("%s %u is taken by a process that is to keep it", name, id);
	return -ENOENT;
}

/* What was kept by a save that failed after all is closed, as a VMM would. */
static inline void cpr_drop_kept(struct cpr_process *process)
{
	for (uint32_t i = 0; !process->saved && i < process->fd_count; i++) {
		if (!process->keeps_numbers)
			assert_int_equal(vfake_close(process->next->task, process->fds[i].fd), 0);
	}
	process->fd_count = process->saved ? process->fd_count : 0;
}

/* A save failed, perhaps because the kernel was against it, also when addresses were to come back.
 */
static inline void cpr_tidy(void *ctx)
{
	struct cpr_process *process = ctx;
	struct vfio_error error = { 0 };

	if (!process->saving)
		return;
	cpr_drop_kept(process);
	assert_true(vfio_cpr_abort(process->vfio, &error) || error.code == -EINVAL);
}

static inline int cpr_take(void *ctx, const char *name, uint32_t id)
{
	struct cpr_process *from = ctx;

	cpr_pass(from->next, FAULT_CALL_TAKE_FD, false);
	if (stage_ask(from->machine->stage, FAULT_VMM_TAKE_FD))
		return -ENOENT;
	for (uint32_t i = 0; i < from->fd_count; i++) {
		struct cpr_fd *kept = &from->fds[i];
		int fd = kept->fd;

		if (strcmp(kept->name, name) || kept->id != id || fd < 0)
			continue;
		kept->fd = -1;
		from->next->seen.taken++;
		cpr_pass(from->next, FAULT_CALL_TAKE_FD, true);
		return fd;
	}
	return -ENOENT;
}

/* ---- processes ---- */

static inline struct vfake_task *cpr_new_task(struct vfake_kernel *kernel,
					      const struct backend *backend)
{
	struct vfake_task_attr attr = vfake_root;
	struct vfake_task *task;

	attr.host_memory = true;
	attr.cap_ipc_lock = false; /* so that all of it is charged */
	if (backend->manager == VFAKE_MANAGER_SPAPR)
		attr.memlock_bytes = UINT64_MAX; /* whole windows are charged */
	task = vfake_task_new(kernel, &attr);
	assert_non_null(task);
	return task;
}

static inline void cpr_bind(struct cpr_process *process)
{
	vfake_sys(&process->raw, process->task);
	process->sys = process->raw;
	process->sys.ctx = process;
	process->sys.open = cpr_open;
	process->sys.close = cpr_close;
	process->sys.dup = NULL;
	process->sys.ioctl = cpr_ioctl;
	process->sys.pread = cpr_pread;
	process->sys.pwrite = cpr_pwrite;
	process->sys.read = cpr_read;
	process->sys.write = NULL;
	process->sys.mmap = cpr_mmap;
	process->sys.munmap = cpr_munmap;
	process->sys.eventfd = cpr_eventfd;
	process->sys.connect = cpr_connect;
	process->sys.sendmsg = cpr_sendmsg;
	process->sys.recvmsg = cpr_recvmsg;
	process->sys.poll = cpr_poll;
	vfio_vmm_ref(&process->ref, &process->plain);
	process->vmm = process->plain;
	process->vmm.register_state = cpr_register;
	process->vmm.forbid_discard = cpr_forbid;
	process->vmm.block_migration = cpr_block;
	process->vmm.alloc = cpr_alloc;
	process->vmm.free = cpr_free;
}

static const uint64_t cpr_viommu_base = (uint64_t)1 << 24;

/* What the guest's IOMMU maps: rings, what is only read, and the rest. */
static const struct cpr_entry {
	uint64_t page, pages;
	int prot;
} cpr_entries[] = { { 0, 4, 3 }, { 4, 16, 1 }, { 20, CPR_PAGES - 20, 3 } };

enum { CPR_ENTRIES = sizeof(cpr_entries) / sizeof(cpr_entries[0]) };

static inline int cpr_map_entry(struct cpr_process *process, uint32_t space, uint32_t index)
{
	const struct cpr_machine *machine = process->machine;
	uint64_t page = machine->backend->page;
	const struct cpr_entry *entry = &cpr_entries[index];
	struct vfio_iommu_entry update = { .iova = cpr_viommu_base + entry->page * page,
					   .target = machine->base + entry->page * page,
					   .prot = entry->prot,
					   .target_memory = process->memory[space] };

	update.last = update.iova + entry->pages * page - 1;
	return vfio_memory_iommu_update(process->guest[space], process->viommus[space], &update);
}

static inline bool cpr_plug(struct cpr_process *process, uint32_t space, uint32_t piece,
			    struct vfio_error *error)
{
	const struct cpr_machine *machine = process->machine;
	uint64_t size = CPR_PIECE * machine->backend->page;
	uint64_t start = machine->base + piece * size;

	return vfio_memory_populate(process->memory[space], process->regions[space], start,
				    start + size - 1, error);
}

/* What a VMM knows of its guest's devices: plugged pieces, the vIOMMU's maps. */
static inline void cpr_guest_state(struct cpr_process *process)
{
	struct vfio_error error = { 0 };

	for (uint32_t space = 0; space < process->machine->spaces; space++) {
		for (uint32_t i = 0; i < CPR_PIECES; i++) {
			if (process->machine->plugged >> i & 1)
				cpr_check(cpr_plug(process, space, i, &error), &error);
		}
		for (uint32_t i = 0; process->machine->viommu && i < CPR_ENTRIES; i++)
			assert_int_equal(cpr_map_entry(process, space, i), 0);
	}
}

static inline void cpr_add_viommu(struct cpr_process *process, uint32_t space)
{
	struct vfio_memory_region region = { .name = "viommu",
					     .kind = VFIO_MEMORY_IOMMU,
					     .last = ((uint64_t)1 << 30) - 1,
					     .fd = -1,
					     .iommu_pgsizes = process->machine->backend->page };
	struct vfio_error error = { 0 };

	process->guest[space] = vfio_memory_new(&process->vmm);
	assert_non_null(process->guest[space]);
	cpr_check(vfio_memory_add(process->guest[space], &region, &process->viommus[space], &error),
		  &error);
}

/* Maps the files and makes a stack with memory of them; nothing is attached. */
static inline void cpr_program(struct cpr_process *process)
{
	struct cpr_machine *machine = process->machine;
	struct vfio_error error = { 0 };

	cpr_bind(process);
	process->vfio = vfio_new(&process->sys, &process->vmm);
	assert_non_null(process->vfio);
	for (uint32_t i = 0; i < machine->spaces; i++) {
		struct vfio_memory_region region = { .name = "ram",
						     .kind = VFIO_MEMORY_RAM,
						     .start = machine->base,
						     .last = machine->base + machine->bytes - 1,
						     .fd = process->files[i] };
		vfake_addr at;

		if (machine->plugged) {
			region.kind = VFIO_MEMORY_DISCARDABLE;
			region.granularity = CPR_PIECE * machine->backend->page;
		}

		assert_int_equal(vfake_mmap(process->task, machine->bytes,
					    VFAKE_PROT_READ | VFAKE_PROT_WRITE, process->files[i],
					    0, &at),
				 0);
		process->ram[i] = (uint8_t *)(uintptr_t)at;
		region.vaddr = at;
		process->memory[i] = vfio_memory_new(&process->vmm);
		assert_non_null(process->memory[i]);
		cpr_check(
			vfio_memory_add(process->memory[i], &region, &process->regions[i], &error),
			&error);
		if (machine->viommu)
			cpr_add_viommu(process, i);
	}
}

static inline bool cpr_is_armed(void *ctx)
{
	const struct cpr_process *process = ctx;

	return process->kill.at || process->fail_call || process->fail_also ||
	       process->fail_alloc || process->fail_register || process->fail_keep ||
	       (process->fail_request && process->requests_failed < process->fail_at);
}

/* One without a task. */
static inline struct cpr_process *cpr_process_empty(struct cpr_machine *machine)
{
	struct cpr_process *process = calloc(1, sizeof(*process));

	assert_non_null(process);
	process->machine = machine;
	process->seen = (struct stage_process){
		.sys_ctx = process,
		.ref = &process->ref,
		.ctx = process,
		.is_armed = cpr_is_armed,
		.tidy = cpr_tidy,
		.recover = machine->recover,
	};
	stage_adopt(machine->stage, &process->seen);
	return process;
}

static inline void cpr_set_task(struct cpr_process *process, struct vfake_task *task)
{
	process->task = task;
	process->seen.task = task;
}

static inline struct cpr_process *cpr_process_new(struct cpr_machine *machine)
{
	struct cpr_process *process = cpr_process_empty(machine);

	cpr_set_task(process, cpr_new_task(machine->kernel, machine->backend));
	/* A program has descriptors; 0 is not one of the stack's. */
	for (uint32_t i = 0; i < CPR_SPACES; i++) {
		process->files[i] =
			vfake_pass_fd(machine->keeper, machine->files[i], process->task);
		assert_true(process->files[i] >= 0);
	}
	return process;
}

/* A process whose program runs. */
static inline struct cpr_process *cpr_process_start(struct cpr_machine *machine)
{
	struct cpr_process *process = cpr_process_new(machine);

	cpr_program(process);
	cpr_guest_state(process);
	return process;
}

static inline void cpr_drop_heap(struct cpr_process *process)
{
	while (process->heap) {
		struct cpr_block *block = process->heap;

		process->heap = block->next;
		free(block);
	}
	process->vfio = NULL;
	process->seen.program++;
	process->ref = (struct vfio_vmm_ref){ 0 };
}

/* The program is gone at once; the kernel cleans up. */
static inline void cpr_process_die(struct cpr_process *process)
{
	cpr_drop_heap(process);
	if (process->task)
		vfake_task_exit(process->task);
	cpr_set_task(process, NULL);
}

static inline void cpr_process_free(struct cpr_process *process)
{
	cpr_process_die(process);
	stage_disown(process->machine->stage, &process->seen);
	free(process->state);
	free(process);
}

/* The program ends as it should: everything that it registered is gone, and all of its memory. */
static inline void cpr_process_end(struct cpr_process *process)
{
	vfio_free(process->vfio);
	process->vfio = NULL;
	for (uint32_t i = 0; i < process->machine->spaces; i++)
		vfio_memory_free(process->guest[i]);
	for (uint32_t i = 0; i < process->machine->spaces; i++)
		vfio_memory_free(process->memory[i]);
	assert_int_equal(process->ref.blocks, 0);
	assert_int_equal(process->ref.blocker_count, 0);
	assert_int_equal(process->ref.state_count, 0);
	assert_int_equal(process->ref.discard_forbidden, 0);
	cpr_process_free(process);
}

/*
 * Calls @body until its call number @at, and kills the process there. False when it was not reached
 * and all of @body has run.
 */
static inline bool cpr_kill_at(struct cpr_process *process, uint64_t at, bool after,
			       void (*body)(void *ctx), void *ctx)
{
	process->kill.seen = 0;
	process->kill.at = at;
	process->kill.after = after;
	process->kill.other = false;
	if (!setjmp(process->kill.out)) {
		body(ctx);
		process->kill.at = 0;
		return false;
	}
	cpr_process_die(process);
	return true;
}

/* ---- devices ---- */

static inline struct vfio_device_options cpr_options(struct cpr_process *process, uint32_t index)
{
	return stage_options(process->machine->stage, index);
}

static inline bool cpr_try_attach(struct cpr_process *process, uint32_t index,
				  struct vfio_error *error)
{
	struct vfio_device_options options = cpr_options(process, index);
	uint32_t space = index % process->machine->spaces;

	*error = (struct vfio_error){ 0 };
	process->devices[index] = vfio_device_attach(
		process->vfio,
		process->machine->viommu ? process->guest[space] : process->memory[space], &options,
		error);
	assert_true(process->devices[index] || (error->code < 0 && *error->message));
	return process->devices[index];
}

static inline void cpr_attach(struct cpr_process *process, uint32_t index)
{
	struct vfio_error error;

	cpr_check(cpr_try_attach(process, index, &error), &error);
}

static inline void cpr_attach_all(struct cpr_process *process)
{
	for (uint32_t i = 0; i < process->machine->devices; i++)
		cpr_attach(process, i);
}

/* ---- the machine ---- */

/* On the stage's kernel, for stories. */
static inline struct cpr_machine *cpr_machine_new(struct stage *stage, uint32_t devices,
						  uint32_t spaces)
{
	struct cpr_machine *machine = calloc(1, sizeof(*machine));

	assert_non_null(machine);
	machine->stage = stage;
	machine->kernel = stage->kernel;
	machine->backend = stage->backend;
	machine->base = stage->backend->ram;
	machine->bytes = CPR_PAGES * stage->backend->page;
	machine->devices = devices;
	machine->spaces = spaces;
	machine->random = 2 * stage_random(stage, 1u << 30) + 1;
	machine->keeper = cpr_new_task(machine->kernel, machine->backend);
	for (uint32_t i = 0; i < CPR_SPACES; i++) {
		vfake_addr at;

		machine->files[i] = vfake_memfd(machine->keeper, machine->bytes);
		assert_true(machine->files[i] >= 0);
		assert_int_equal(vfake_mmap(machine->keeper, machine->bytes,
					    VFAKE_PROT_READ | VFAKE_PROT_WRITE, machine->files[i],
					    0, &at),
				 0);
		machine->ram[i] = (uint8_t *)(uintptr_t)at;
		machine->expect[i] = calloc(1, machine->bytes);
		assert_non_null(machine->expect[i]);
	}
	machine->start = vfake_ledger(machine->kernel);
	machine->keeper_process.task = machine->keeper;
	stage_adopt(stage, &machine->keeper_process);
	return machine;
}

/* What there is, when servers have heard of it. */
static inline struct vfake_ledger cpr_ledger(const struct cpr_machine *machine)
{
	stage_view(machine->stage, 0);
	return vfake_ledger(machine->kernel);
}

/* Nothing is there but the files of guest memory. */
static inline void cpr_expect_nothing(const struct cpr_machine *machine)
{
	struct vfake_ledger now = cpr_ledger(machine);

	assert_int_equal(now.open_files, machine->start.open_files);
	assert_int_equal(now.descriptors, machine->start.descriptors);
	assert_int_equal(now.allocations, machine->start.allocations);
	assert_int_equal(now.pinned_pages, 0);
	assert_int_equal(now.locked_pages, 0);
	assert_int_equal(now.warnings, 0);
}

static inline void cpr_machine_free(struct cpr_machine *machine)
{
	cpr_expect_nothing(machine);
	stage_disown(machine->stage, &machine->keeper_process);
	vfake_task_exit(machine->keeper);
	for (uint32_t i = 0; i < CPR_SPACES; i++)
		free(machine->expect[i]);
	free(machine);
}

#endif
