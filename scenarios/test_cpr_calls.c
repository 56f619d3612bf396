/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a live update tells the kernel and the VMM, call by call, and what it does not: each process
 * lets go of addresses, sets its own and pays for memory, and takes nothing down that the other
 * has.
 */
#include "cpr_watch.h"

static void expect_said(struct cpr_process *process, struct lines *lines)
{
	cpr_expect_lines(process, lines->text);
	*lines = (struct lines){ 0 };
}

/* ---- an update ---- */

static void say_device(struct lines *lines, const char *what, uint32_t device)
{
	for (uint32_t id = 0; id < 3; id++)
		say(lines, "%s vfio/device/%s %u\n", what, stage_name(device), id);
}

/* All descriptors there are, each once; last the addresses go, of all maps at once. */
static void expect_save(struct cpr_process *process)
{
	struct cpr_machine *machine = process->machine;
	struct lines lines = { 0 };

	if (cpr_is_iommufd(process)) {
		say(&lines, "change-process\nkeep vfio/iommufd 1\n");
	} else {
		say(&lines, "keep vfio/container 1\nkeep vfio/container 2\n");
		for (uint32_t i = 0; i < machine->devices; i++)
			say(&lines, "keep vfio/group/%s 0\n", cpr_options(process, i).group);
	}
	for (uint32_t i = 0; i < machine->devices; i++)
		say_device(&lines, "keep", i);
	if (!cpr_is_iommufd(process))
		say(&lines, "vfio/container 1: unmap vaddr all 0x0+0x0\n"
			    "vfio/container 2: unmap vaddr all 0x0+0x0\n");
	expect_said(process, &lines);
}

/* Each descriptor is asked for when it is needed; a map gets this process's address. */
static void expect_heir(struct cpr_process *heir)
{
	struct cpr_machine *machine = heir->machine;
	struct lines lines = { 0 };

	for (uint32_t i = 0; i < machine->devices; i++) {
		if (cpr_is_iommufd(heir) && !i)
			say(&lines, "take vfio/iommufd 1\n");
		if (!cpr_is_iommufd(heir))
			say(&lines, "take vfio/group/%s 0\n", cpr_options(heir, i).group);
		if (!cpr_is_iommufd(heir) && i < machine->spaces)
			say(&lines,
			    "take vfio/container %u\n"
			    "vfio/container %u: map vaddr 0x%llx+0x%llx ram%u+0x0\n",
			    i + 1, i + 1, (unsigned long long)machine->base,
			    (unsigned long long)machine->bytes, i);
		say_device(&lines, "take", i);
	}
	expect_said(heir, &lines);
}

static void run_update(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *process = cpr_watch_machine(machine), *heir = cpr_watch_heir(process);
	const char *finish = cpr_is_iommufd(process) ? "vfio/iommufd 1: change-process\n" : "";
	const char *leave = cpr_is_iommufd(process) ? ": detach\n" : ": unset-container\n";
	struct vfio_error error = { 0 };

	cpr_watch_save(process);
	expect_save(process);
	cpr_watch_load(process, NULL);
	cpr_expect_lines(heir, "");
	cpr_watch_attach(heir);
	expect_heir(heir);
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_expect_lines(heir, finish);
	/* What the other has is not taken down; what this one alone has is. */
	vfio_free(process->vfio);
	process->vfio = NULL;
	cpr_expect_lines(process, "");
	cpr_watch_end(process);
	cpr_expect_owner(heir);
	vfio_free(heir->vfio);
	heir->vfio = NULL;
	assert_int_equal(cpr_count_lines(heir, leave), CPR_DEVICES);
	cpr_watch_stop(heir);
}

/* ---- taking back ---- */

/* One container's maps as they are after the machine's memory. */
static uint32_t say_maps(struct lines *lines, const struct cpr_machine *machine, uint32_t space,
			 bool foreign, uint32_t only)
{
	uint64_t page = machine->backend->page, piece = CPR_PIECE * page;
	uint32_t count = 0;

	for (uint32_t i = 0; i < (machine->viommu ? (uint32_t)CPR_ENTRIES : CPR_PIECES); i++) {
		const struct cpr_entry *entry = &cpr_entries[i % CPR_ENTRIES];
		uint64_t offset = machine->viommu ? entry->page * page : i * piece;
		uint64_t iova = offset + (machine->viommu ? cpr_viommu_base : machine->base);
		uint64_t size = machine->viommu ? entry->pages * page : piece;
		char text[128];

		if ((!machine->viommu && !(machine->plugged >> i & 1)) || (only && ++count != only))
			continue;
		count += !only;
		snprintf(text, sizeof(text),
			 "vfio/container %u: map vaddr 0x%llx+0x%llx ram%u+0x%llx\n", space + 1,
			 (unsigned long long)iova, (unsigned long long)size, space,
			 (unsigned long long)offset);
		say(lines, "%s", text);
		if (!foreign)
			continue;
		say(lines, "vfio/container %u: unmap vaddr 0x%llx+0x%llx\n%s", space + 1,
		    (unsigned long long)iova, (unsigned long long)size, text);
	}
	return count;
}

/* @foreign: the new process has set its addresses in container 1. */
static void expect_abort(struct cpr_process *process, bool foreign)
{
	struct lines lines = { 0 };
	struct vfio_error error = { 0 };

	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	if (cpr_is_iommufd(process)) {
		say(&lines, "vfio/iommufd 1: change-process\n");
	} else {
		say_maps(&lines, process->machine, 0, foreign, 0);
		say_maps(&lines, process->machine, 1, false, 0);
	}
	expect_said(process, &lines);
	assert_false(vfio_cpr_abort(process->vfio, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_string_equal(error.message, "no state is saved: invalid argument");
	cpr_expect_lines(process, "");
	cpr_expect_owner(process);
}

/* A new process has device 0, and gives up again: it takes nothing down. */
static void come_and_go(struct cpr_process *process)
{
	struct cpr_process *heir = process->next;
	struct vfio_error error;

	cpr_watch_load(process, NULL);
	cpr_check(cpr_try_attach(heir, 0, &error), &error);
	cpr_forget(heir);
	vfio_free(heir->vfio);
	heir->vfio = NULL;
	cpr_expect_lines(heir, "");
	cpr_watch_end(heir);
}

static void take_back(struct cpr_machine *machine)
{
	struct cpr_process *process = cpr_watch_machine(machine);

	cpr_watch_heir(process);
	cpr_watch_save(process);
	cpr_forget(process);
	expect_abort(process, false);
	cpr_process_free(process->next);
	cpr_watch_heir(process);
	cpr_watch_save(process);
	cpr_forget(process);
	come_and_go(process);
	expect_abort(process, true);
	cpr_watch_stop(process);
}

static void run_abort(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);

	machine->plugged = 0x5ffff;
	take_back(machine);
	/* As many as there is room for at first. */
	machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	machine->plugged = 0xffff;
	take_back(machine);
	machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	machine->viommu = true;
	take_back(machine);
}

/* The @nth map of container 1 cannot be taken back, nor can all behind it if @also. */
static void expect_rest(struct cpr_process *process, uint32_t nth, bool also)
{
	struct vfio_error error = { 0 };
	struct lines lines = { 0 };
	uint32_t count;

	cpr_watch_heir(process);
	cpr_watch_save(process);
	cpr_process_free(process->next);
	cpr_fail_from(process, VFIO_IOMMU_MAP_DMA, nth, -EFAULT, also ? VFIO_IOMMU_MAP_DMA : 0);
	assert_false(vfio_cpr_abort(process->vfio, &error));
	/* The first one is told. */
	assert_int_equal(error.code, -EFAULT);
	assert_string_equal(error.message,
			    "container 1: its memory could not be taken back: bad address");
	cpr_forget(process);
	cpr_fail_from(process, 0, 0, 0, 0);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	count = say_maps(&lines, process->machine, 0, false, nth);
	for (uint32_t i = nth + 1; also && i <= count; i++)
		say_maps(&lines, process->machine, 0, false, i);
	if (also)
		say_maps(&lines, process->machine, 1, false, 0);
	expect_said(process, &lines);
	cpr_expect_owner(process);
}

/* Trying again tries what is left. */
static void run_abort_again(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *process;

	machine->plugged = 0x15;
	process = cpr_watch_machine(machine);
	for (uint32_t nth = 1; nth <= 3; nth++) {
		expect_rest(process, nth, false);
		expect_rest(process, nth, true);
	}
	cpr_watch_stop(process);
}

/* ---- letting go ---- */

/* Nor does the first one get all of its addresses again: that can be tried once more. */
static void run_twice(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *process = cpr_watch_machine(machine);
	struct vfio_error error;

	cpr_watch_heir(process);
	cpr_fail_from(process, VFIO_IOMMU_UNMAP_DMA, 2, -EINTR, VFIO_IOMMU_MAP_DMA);
	assert_false(cpr_watch_try_save(process, &error));
	assert_int_equal(error.code, -EINTR);
	cpr_fail_from(process, 0, 0, 0, 0);
	cpr_process_free(process->next);
	assert_false(cpr_watch_try_save(process, &error));
	assert_int_equal(error.code, -EBUSY);
	cpr_forget(process);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	/* The second one had its addresses still: they are set anew. */
	assert_int_equal(cpr_count_lines(process, "1: map vaddr"), 1);
	assert_int_equal(cpr_count_lines(process, "2: map vaddr"), 2);
	assert_int_equal(cpr_count_lines(process, "2: unmap vaddr"), 1);
	cpr_expect_owner(process);
	cpr_watch_stop(process);
}

/* The @nth container does not let go: those before it, and it, get their addresses again. */
static void run_suspend_fails(struct stage *stage)
{
	for (uint32_t nth = 1; nth <= 2; nth++) {
		struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
		struct cpr_process *process;
		struct vfio_error error;
		struct lines lines = { 0 };
		char message[128];

		machine->plugged = 0x15;
		process = cpr_watch_machine(machine);
		cpr_watch_heir(process);
		process->fail_request = VFIO_IOMMU_UNMAP_DMA;
		process->fail_at = nth;
		process->fail_code = -EINTR;
		assert_false(cpr_watch_try_save(process, &error));
		snprintf(message, sizeof(message),
			 "container %u: its memory cannot change hands: ", nth);
		assert_int_equal(error.code, -EINTR);
		assert_memory_equal(error.message, message, strlen(message));
		for (uint32_t space = 0; space < nth; space++)
			say(&lines, "vfio/container %u: unmap vaddr all 0x0+0x0\n", space + 1);
		for (uint32_t space = 0; space < nth; space++)
			say_maps(&lines, machine, space, space + 1 == nth, 0);
		assert_string_equal(strstr(cpr_watch_of(process)->text, ": unmap vaddr all") -
					    strlen("vfio/container 1"),
				    lines.text);
		assert_false(vfio_cpr_abort(process->vfio, &error));
		assert_int_equal(error.code, -EINVAL);
		cpr_expect_owner(process);
		cpr_process_free(process->next);
		cpr_watch_stop(process);
	}
}

/* ---- number 0 ---- */

/* The @nth descriptor of each process is number 0. False when neither had so many. */
static bool update_with_zero(struct cpr_machine *machine, uint32_t nth, struct text *text)
{
	struct cpr_process *process = cpr_watch_start(machine), *heir;
	struct vfio_error error = { 0 };
	bool enough;

	cpr_watch_of(process)->zero = nth;
	cpr_watch_attach(process);
	heir = cpr_watch_heir(process);
	cpr_forget(process);
	cpr_watch_save(process);
	expect_save(process);
	if (nth)
		assert_int_equal(process->state_size, text->size);
	text->size = process->state_size;
	if (nth)
		assert_memory_equal(process->state, text->bytes, text->size);
	memcpy(text->bytes, process->state, text->size);
	cpr_watch_load(process, NULL);
	cpr_watch_of(heir)->zero = nth;
	cpr_watch_attach(heir);
	expect_heir(heir);
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	enough = cpr_watch_of(process)->made >= nth || cpr_watch_of(heir)->made >= nth;
	cpr_watch_end(process);
	cpr_expect_owner(heir);
	cpr_watch_end(heir);
	return enough;
}

/* Number 0 is a descriptor like any other: it is kept, and taken, and in the state. */
static void run_zero(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct text *text = calloc(1, sizeof(*text));
	uint32_t nth = 0;

	assert_non_null(text);
	while (update_with_zero(machine, nth, text))
		nth++;
	assert_true(nth > 3 * CPR_DEVICES);
	free(text);
	cpr_machine_free(machine);
}

/* ---- the table ---- */

static const struct story checks[] = {
	{ .name = "update", .run = run_update, .needs = NEEDS_HANDOVER },
	{ .name = "abort", .run = run_abort, .needs = NEEDS_HANDOVER },
	{ .name = "abort_again",
	  .run = run_abort_again,
	  .needs = NEEDS_HANDOVER,
	  .waivers = { { "iommufd", "no addresses" }, { "iommufd-dirty", "no addresses" } } },
	{ .name = "suspend_fails",
	  .run = run_suspend_fails,
	  .needs = NEEDS_HANDOVER,
	  .waivers = { { "iommufd", "no addresses" }, { "iommufd-dirty", "no addresses" } } },
	{ .name = "twice",
	  .run = run_twice,
	  .needs = NEEDS_HANDOVER,
	  .waivers = { { "iommufd", "no addresses" }, { "iommufd-dirty", "no addresses" } } },
	{ .name = "zero", .run = run_zero, .needs = NEEDS_HANDOVER },
};

enum { CHECKS = sizeof(checks) / sizeof(checks[0]) };

int main(void)
{
	struct CMUnitTest tests[CHECKS];

	cpr_play_all(tests, checks, CHECKS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
