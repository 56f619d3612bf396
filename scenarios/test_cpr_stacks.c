/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live updates of stacks that have something of their own: memory that changes on the way or
 * afterwards, none at all, two containers of one address space, two backends at once, and VMMs that
 * want to know less. What counts is which calls are made, and which are not.
 */
#include "cpr_watch.h"

static void expect_said(struct cpr_process *process, struct lines *lines)
{
	cpr_expect_lines(process, lines->text);
	*lines = (struct lines){ 0 };
}

/* ---- afterwards ---- */

static uint32_t add_memory(struct cpr_process *process)
{
	const struct cpr_machine *machine = process->machine;
	struct vfio_memory_region region = { .name = "more",
					     .kind = VFIO_MEMORY_RAM,
					     .start = machine->base + 2 * machine->bytes,
					     .vaddr = (uint64_t)(uintptr_t)process->ram[0],
					     .fd = process->files[0] };
	struct vfio_error error = { 0 };
	uint32_t id;

	region.last = region.start + machine->backend->page - 1;
	cpr_check(vfio_memory_add(process->memory[0], &region, &id, &error), &error);
	return id;
}

static void expect_memory_call(struct cpr_process *process, const char *iommufd,
			       const char *container, const char *address)
{
	const struct cpr_machine *machine = process->machine;
	struct lines lines = { 0 };

	if (cpr_is_iommufd(process))
		say(&lines, "vfio/iommufd 1: %s\n", iommufd);
	else
		say(&lines, "vfio/container 1: %s 0x%llx+0x%llx%s\n", container,
		    (unsigned long long)(machine->base + 2 * machine->bytes),
		    (unsigned long long)machine->backend->page, address);
	expect_said(process, &lines);
}

/* The process maps and unmaps by itself, as any does. */
static void expect_own(struct cpr_process *process)
{
	uint32_t id = add_memory(process);

	expect_memory_call(process, "map-file", "map r w", " ram0+0x0");
	vfio_memory_del(process->memory[0], id);
	expect_memory_call(process, "unmap-memory", "unmap", "");
}

static void run_afterwards(struct stage *stage)
{
	const char *leave =
		stage->backend->kind == VFIO_BACKEND_IOMMUFD ? ": detach\n" : ": unset-container\n";
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 1);
	struct cpr_process *process = cpr_watch_machine(machine), *heir = cpr_watch_heir(process);
	struct vfio_error error = { 0 };

	/* The old process lets one device go, and then takes all back: the rest is its own. */
	cpr_watch_save(process);
	vfio_device_detach(process->devices[2]);
	assert_int_equal(cpr_count_lines(process, leave), 0);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	cpr_process_free(heir);
	cpr_forget(process);
	expect_own(process);
	vfio_device_detach(process->devices[1]);
	assert_int_equal(cpr_count_lines(process, leave), 1);
	cpr_attach(process, 1);
	cpr_attach(process, 2);
	/* And what the new process got is its own. */
	heir = cpr_watch_heir(process);
	cpr_watch_save(process);
	cpr_watch_load(process, NULL);
	cpr_watch_attach(heir);
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_watch_end(process);
	cpr_forget(heir);
	expect_own(heir);
	vfio_device_detach(heir->devices[1]);
	assert_int_equal(cpr_count_lines(heir, leave), 1);
	cpr_attach(heir, 1);
	heir->machine->devices = CPR_DEVICES;
	cpr_expect_owner(heir);
	cpr_watch_stop(heir);
}

/* While it takes over a region goes and comes back: it is not unmapped, and has its address. */
static void run_comes_back(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct cpr_process *process = cpr_watch_machine(machine), *heir = cpr_watch_heir(process);
	uint64_t at = machine->base + 2 * machine->bytes, page = machine->backend->page;
	struct vfio_error error = { 0 };
	struct lines lines = { 0 };
	char text[128];
	uint32_t id;

	add_memory(process);
	cpr_watch_save(process);
	cpr_watch_load(process, NULL);
	id = add_memory(heir);
	cpr_watch_attach(heir);
	cpr_forget(heir);
	vfio_memory_del(heir->memory[0], id);
	cpr_expect_lines(heir, "");
	add_memory(heir);
	if (!cpr_is_iommufd(process)) {
		snprintf(text, sizeof(text), "vfio/container 1: map vaddr 0x%llx+0x%llx ram0+0x0\n",
			 (unsigned long long)at, (unsigned long long)page);
		say(&lines, "%svfio/container 1: unmap vaddr 0x%llx+0x%llx\n%s", text,
		    (unsigned long long)at, (unsigned long long)page, text);
	}
	expect_said(heir, &lines);
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_watch_end(process);
	cpr_watch_stop(heir);
}

/* A container that has no memory goes along. */
static void run_no_memory(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct cpr_process *process = cpr_watch_start(machine), *heir;
	struct vfio_error error = { 0 };

	vfio_memory_del(process->memory[0], process->regions[0]);
	cpr_watch_attach(process);
	heir = cpr_watch_heir(process);
	cpr_watch_save(process);
	assert_null(strstr(cpr_watch_of(process)->text, "unmap"));
	cpr_forget(process);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	assert_null(strstr(cpr_watch_of(process)->text, ": map"));
	cpr_process_free(heir);
	heir = cpr_watch_heir(process);
	cpr_watch_save(process);
	cpr_watch_load(process, NULL);
	vfio_memory_del(heir->memory[0], heir->regions[0]);
	cpr_watch_attach(heir);
	assert_null(strstr(cpr_watch_of(heir)->text, ": map"));
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_watch_end(process);
	cpr_watch_stop(heir);
}

/* Without any device there is a state all the same. */
static void run_nothing(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 0, 1);
	struct cpr_process *process = cpr_watch_start(machine), *heir = cpr_watch_heir(process);
	struct vfio_error error = { 0 };

	cpr_watch_save(process);
	cpr_expect_lines(process, "");
	assert_int_equal(process->state_size, HEADER);
	cpr_watch_load(process, NULL);
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_expect_lines(heir, "");
	cpr_watch_end(process);
	cpr_watch_stop(heir);
}

/* ---- two containers of one address space ---- */

/* Device 1 insists on another version than device 0 has; the new process has it first. */
static struct vfio_device *attach_as(struct cpr_process *process, uint32_t index, bool old)
{
	struct vfio_device_options options = cpr_options(process, index);
	struct vfio_error error = { 0 };

	options.type1_v1 = old;
	process->devices[index] =
		vfio_device_attach(process->vfio, process->memory[0], &options, &error);
	cpr_check(process->devices[index], &error);
	return process->devices[index];
}

static void run_apart(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 2, 1);
	struct cpr_process *process = cpr_watch_start(machine), *heir;
	struct vfio_error error = { 0 };

	attach_as(process, 0, false);
	attach_as(process, 1, true);
	assert_ptr_not_equal(vfio_device_container(process->devices[0]),
			     vfio_device_container(process->devices[1]));
	heir = cpr_watch_heir(process);
	cpr_watch_save(process);
	cpr_watch_load(process, NULL);
	attach_as(heir, 1, true);
	attach_as(heir, 0, false);
	assert_ptr_not_equal(vfio_device_container(heir->devices[0]),
			     vfio_device_container(heir->devices[1]));
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_watch_end(process);
	cpr_watch_stop(heir);
}

/* ---- numbers ---- */

/* A stack with an address space, and an iommufd where there are any, for each device. */
struct triple {
	struct cpr_process *process;
	struct vfio_memory *memory; /* of device 2 */
	int iommufds[CPR_DEVICES];  /* 0: the stack's own */
};

static void attach_third(struct triple *triple, uint32_t index)
{
	struct cpr_process *process = triple->process;
	struct vfio_device_options options = cpr_options(process, index);
	struct vfio_memory *memory = index == 2 ? triple->memory : process->memory[index];
	struct vfio_error error = { 0 };

	options.iommufd = triple->iommufds[index];
	process->devices[index] = vfio_device_attach(process->vfio, memory, &options, &error);
	cpr_check(process->devices[index], &error);
}

/* Pieces of the state have these numbers, in the order in which they were registered. */
static void expect_numbers(const struct triple *triple, const char *numbers)
{
	const struct cpr_process *process = triple->process;
	char text[64];
	uint32_t at = 0;

	for (const char *number = numbers; *number; number++) {
		if (cpr_is_iommufd(process)) {
			snprintf(text, sizeof(text), "vfio/iommufd/%c", *number);
			assert_string_equal(process->ref.states[at++]->name, text);
		}
		snprintf(text, sizeof(text), "vfio/container/%c", *number);
		assert_string_equal(process->ref.states[at++]->name, text);
	}
	assert_int_equal(process->ref.state_count, at);
}

static void triple_start(struct triple *triple, struct cpr_process *process)
{
	triple->process = process;
	triple->memory = vfio_memory_new(&process->vmm);
	assert_non_null(triple->memory);
}

/* The lowest number that is free; in the new process the one that it had, in any order. */
static void run_numbers(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *process = cpr_watch_start(machine), *heir;
	struct triple old = { 0 }, new = { 0 };
	struct vfio_error error = { 0 };

	triple_start(&old, process);
	for (uint32_t i = 0; i < CPR_DEVICES; i++) {
		if (i && cpr_is_iommufd(process))
			old.iommufds[i] = process->raw.open(process->raw.ctx, "/dev/iommu");
		attach_third(&old, i);
	}
	expect_numbers(&old, "123");
	for (uint32_t i = 0; i < CPR_DEVICES; i++)
		vfio_device_detach(process->devices[i]);
	for (uint32_t i = CPR_DEVICES; i-- > 0;)
		attach_third(&old, i);
	expect_numbers(&old, "123");
	vfio_device_detach(process->devices[1]);
	expect_numbers(&old, "13");
	heir = cpr_watch_heir(process);
	cpr_forget(process);
	cpr_watch_save(process);
	/* Who passes an iommufd in does it again. */
	assert_int_equal(cpr_count_lines(process, "keep vfio/iommufd 3"), cpr_is_iommufd(process));
	assert_int_equal(cpr_count_lines(process, "keep vfio/iommufd 1"), 0);
	cpr_watch_load(process, NULL);
	triple_start(&new, heir);
	new.iommufds[2] = cpr_is_iommufd(process)
				  ? vfake_pass_fd(process->task, old.iommufds[2], heir->task)
				  : 0;
	attach_third(&new, 0);
	expect_numbers(&new, "3");
	attach_third(&new, 2);
	expect_numbers(&new, "31");
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	vfio_free(process->vfio);
	process->vfio = NULL;
	vfio_memory_free(old.memory);
	cpr_watch_end(process);
	vfio_free(heir->vfio);
	heir->vfio = NULL;
	vfio_memory_free(new.memory);
	cpr_watch_stop(heir);
}

/* ---- both ways in one stack ---- */

static void attach_both(struct cpr_process *process)
{
	struct vfio_device_options options = cpr_options(process, 0);
	struct vfio_error error = { 0 };

	options.backend = VFIO_BACKEND_LEGACY;
	options.dirty_tracking = false;
	process->devices[0] =
		vfio_device_attach(process->vfio, process->memory[0], &options, &error);
	cpr_check(process->devices[0], &error);
	cpr_attach(process, 1);
}

/* Addresses of the one and charges of the other are taken back; the first error is told. */
static void run_both(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 2, 2);
	struct cpr_process *process = cpr_watch_start(machine), *heir;
	struct vfio_error error = { 0 };

	attach_both(process);
	heir = cpr_watch_heir(process);
	cpr_watch_save(process);
	cpr_process_free(heir);
	cpr_forget(process);
	cpr_fail_from(process, VFIO_IOMMU_MAP_DMA, 1, -EFAULT, IOMMU_IOAS_CHANGE_PROCESS);
	assert_false(vfio_cpr_abort(process->vfio, &error));
	assert_int_equal(error.code, -EFAULT);
	assert_string_equal(error.message,
			    "container 1: its memory could not be taken back: bad address");
	assert_int_equal(cpr_count_lines(process, ": map vaddr"), 1);
	assert_int_equal(cpr_count_lines(process, ": change-process"), 1);
	cpr_fail_from(process, IOMMU_IOAS_CHANGE_PROCESS, 1, -ENOMEM, 0);
	assert_false(vfio_cpr_abort(process->vfio, &error));
	assert_int_equal(error.code, -ENOMEM);
	assert_string_equal(error.message, "iommufd 1: IOMMU_IOAS_CHANGE_PROCESS: out of memory");
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	heir = cpr_watch_heir(process);
	cpr_watch_save(process);
	cpr_watch_load(process, NULL);
	attach_both(heir);
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_watch_end(process);
	assert_int_equal(vfake_ledger(machine->kernel).pinned_pages, 2 * CPR_PAGES);
	cpr_watch_stop(heir);
}

/* ---- VMMs that want to know less ---- */

static uint32_t forgotten;

static void forget_state(void *ctx, const struct vfio_vmstate *state)
{
	(void)ctx;
	(void)state;
	forgotten++;
}

static void forget_blocker(void *ctx, uint64_t blocker)
{
	(void)ctx;
	(void)blocker;
	forgotten++;
}

/* Without one half of a pair of calls the other is not made, or does no harm. */
static void run_fewer_calls(struct stage *stage)
{
	for (uint32_t which = 0; which < 16; which++) {
		struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
		struct cpr_process *process = cpr_watch_start(machine);

		process->vmm.register_state = which & 1 ? cpr_register : NULL;
		process->vmm.unregister_state = which & 2 ? forget_state : NULL;
		process->vmm.block_migration = which & 4 ? cpr_block : NULL;
		process->vmm.unblock_migration = which & 8 ? forget_blocker : NULL;
		cpr_watch(process);
		forgotten = 0;
		cpr_attach(process, 0);
		vfio_device_detach(process->devices[0]);
		assert_int_equal(forgotten, (which & 2 ? process->ref.state_count : 0) +
						    (which & 8 ? process->ref.blocker_count : 0));
		assert_int_equal(process->ref.state_count > 0, which & 1);
		process->ref.state_count = 0;
		process->ref.blocker_count = 0;
		cpr_watch_stop(process);
	}
}

/* ---- the table ---- */

static const struct story checks[] = {
	{ .name = "afterwards", .run = run_afterwards, .needs = NEEDS_HANDOVER },
	{ .name = "comes_back", .run = run_comes_back, .needs = NEEDS_HANDOVER },
	{ .name = "no_memory", .run = run_no_memory, .needs = NEEDS_HANDOVER },
	{ .name = "nothing", .run = run_nothing, .needs = NEEDS_HANDOVER },
	{ .name = "apart",
	  .run = run_apart,
	  .needs = NEEDS_HANDOVER,
	  .waivers = { { "type1v1", "has one version" },
		       { "iommufd", "has no versions" },
		       { "iommufd-dirty", "has no versions" } } },
	{ .name = "numbers", .run = run_numbers, .needs = NEEDS_HANDOVER },
	{ .name = "both", .run = run_both, .needs = NEEDS_HANDOVER | NEEDS_CDEV },
	{ .name = "fewer_calls",
	  .run = run_fewer_calls,
	  .waivers = { { "user", "its servers are another matter" } } },
};

enum { CHECKS = sizeof(checks) / sizeof(checks[0]) };

int main(void)
{
	struct CMUnitTest tests[CHECKS];

	cpr_play_all(tests, checks, CHECKS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
