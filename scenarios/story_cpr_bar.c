/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live update of a guest that sees a BAR: one device writes to the memory of the other. The new
 * process has the BAR at another address, and has it only when the device is attached.
 */
#include "cpr_dma.h"
#include "stories.h"

enum { LAST = CPR_DESCRIPTORS - 1, ROUNDS = 4 };

struct bar {
	uint64_t start; /* for the guest */
	bool reached;	/* by the other device: iommufd does not map what has no pages */
	uint8_t *host;	/* of the process that has it */
};

/* Device 0's memory gets into the guest's. */
static void show(struct cpr_process *process, struct bar *bar)
{
	struct vfio_memory_region region = { .name = "bar",
					     .kind = VFIO_MEMORY_RAM_DEVICE,
					     .start = bar->start,
					     .last = bar->start + VFAKE_COPY_BAR_BYTES - 1,
					     .fd = -1 };
	uint32_t warnings = process->ref.warnings_seen;
	struct vfio_error error = { 0 };
	uint32_t id;

	cpr_check(vfio_device_map_area(process->devices[0], VFAKE_COPY_BAR_MEMORY, 0, &region.vaddr,
				       &error),
		  &error);
	bar->host = (uint8_t *)(uintptr_t)region.vaddr;
	cpr_check(vfio_memory_add(process->memory[0], &region, &id, &error), &error);
	assert_int_equal(process->ref.broken_seen, 0);
	assert_int_equal(process->ref.warnings_seen, warnings + !bar->reached);
}

/* What device 1 copies last goes to device 0. */
static void aim(struct cpr_process *process, const struct bar *bar)
{
	struct cpr_machine *machine = process->machine;
	uint64_t slot = cpr_page(machine, 1) + LAST * VFAKE_COPY_DESC_BYTES;
	uint64_t missed = cpr_target(machine, 1) + LAST * CPR_LENGTH;

	cpr_start_dma(process);
	memset(bar->host, 0, VFAKE_COPY_BAR_BYTES);
	if (!bar->reached)
		return;
	cpr_put(process->ram[0] + slot + VFAKE_COPY_DESC_DEST, bar->start, 8);
	memcpy(machine->expect[0] + missed, machine->ram[0] + missed, CPR_LENGTH);
}

static void expect_written(const struct cpr_process *process, const struct bar *bar)
{
	const struct cpr_machine *machine = process->machine;
	struct vfake_target_view target;

	assert_int_equal(vfake_view_translate(machine->kernel, stage_name(1), process->task,
					      bar->start, &target) == 0,
			 bar->reached);
	if (!bar->reached)
		return;
	assert_int_equal(target.vaddr, (uintptr_t)bar->host);
	assert_memory_equal(bar->host,
			    machine->expect[0] + cpr_page(machine, CPR_SOURCE) + LAST * CPR_LENGTH,
			    CPR_LENGTH);
}

/* The update takes place, or the new process gives up when it has everything. */
static struct cpr_process *update(struct cpr_process *process, struct bar *bar, bool taken)
{
	struct cpr_process *heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	struct bar old = *bar;
	struct vfio_error error;

	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(process, &error), &error);
	cpr_attach_all(heir);
	show(heir, bar);
	if (taken) {
		cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
		cpr_process_end(process);
		return heir;
	}
	*bar = old;
	cpr_process_end(heir);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	return process;
}

static void run_bar(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 2, 1);
	struct cpr_process *process = cpr_process_start(machine);
	struct bar bar = { .start = machine->base + ((uint64_t)1 << 32),
			   .reached = stage->backend->manager == VFAKE_MANAGER_TYPE1 };

	cpr_attach_all(process);
	show(process, &bar);
	for (int round = 0; round < ROUNDS; round++) {
		aim(process, &bar);
		process = update(process, &bar, round & 1);
		cpr_finish_dma(machine);
		expect_written(process, &bar);
	}
	assert_int_equal(vfake_ledger(machine->kernel).locked_pages, CPR_PAGES);
	cpr_process_end(process);
	cpr_machine_free(machine);
}

const struct story story_cpr_bar = {
	.name = "cpr-bar",
	.about = "a device goes on writing to another one's BAR across updates, or never could",
	.run = run_bar,
	.needs = NEEDS_HANDOVER,
};
