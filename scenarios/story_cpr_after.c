/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * After a live update, or after one that was taken back: whoever has the devices now changes memory
 * in each of its address spaces, and its devices, as any process does. What is only ever looked at
 * while nothing changes could belong to the old process still, and nobody would see.
 */
#include "cpr_dma.h"
#include "stories.h"

/* Memory of one page comes, devices have it with its rights, and it goes. */
static void expect_page(struct cpr_process *process, uint32_t space, enum vfio_memory_kind kind)
{
	const struct cpr_machine *machine = process->machine;
	struct vfake_space_at at = cpr_space_of(machine, space);
	uint64_t start = machine->base + 2 * machine->bytes;
	struct vfio_memory_region region = { .name = "more",
					     .kind = kind,
					     .start = start,
					     .last = start + machine->backend->page - 1,
					     .vaddr = (uint64_t)(uintptr_t)process->ram[space],
					     .fd = process->files[space] };
	struct vfake_mapping_view mapping;
	struct vfio_error error = { 0 };
	uint32_t id;

	cpr_check(vfio_memory_add(process->memory[space], &region, &id, &error), &error);
	assert_int_equal(vfake_view_mapping(&at, start, region.last, &mapping), 0);
	assert_int_equal(mapping.iova, start);
	assert_int_equal(mapping.last, region.last);
	assert_ptr_equal(mapping.owner, process->task);
	assert_true(mapping.pinned && mapping.readable && !mapping.suspended);
	assert_int_equal(mapping.writable, kind != VFIO_MEMORY_ROM);
	vfio_memory_del(process->memory[space], id);
	assert_int_equal(vfake_view_mapping(&at, start, region.last, &mapping), -ENOENT);
}

/* What was handed over goes, and comes again. */
static void expect_entry(struct cpr_process *process, uint32_t space, uint32_t index)
{
	const struct cpr_entry *entry = &cpr_entries[index];
	uint64_t page = process->machine->backend->page;
	struct vfake_space_at at = cpr_space_of(process->machine, space);
	uint64_t first = cpr_viommu_base + entry->page * page;
	struct vfio_iommu_entry none = { .iova = first, .last = first + entry->pages * page - 1 };
	struct vfake_mapping_view mapping;

	assert_int_equal(
		vfio_memory_iommu_update(process->guest[space], process->viommus[space], &none), 0);
	assert_int_equal(vfake_view_mapping(&at, none.iova, none.last, &mapping), -ENOENT);
	assert_int_equal(cpr_map_entry(process, space, index), 0);
	assert_int_equal(vfake_view_mapping(&at, none.iova, none.last, &mapping), 0);
	assert_int_equal(mapping.writable, entry->prot == 3);
}

static void expect_own(struct cpr_process *process, uint32_t space)
{
	if (process->machine->viommu) {
		for (uint32_t i = 0; i < CPR_ENTRIES; i++)
			expect_entry(process, space, i);
		return;
	}
	expect_page(process, space, VFIO_MEMORY_RAM);
	expect_page(process, space, VFIO_MEMORY_ROM);
}

static void expect_all(struct cpr_process *process)
{
	cpr_expect_owner(process);
	for (uint32_t space = 0; space < process->machine->spaces; space++)
		expect_own(process, space);
	cpr_expect_owner(process);
}

/* Where no device went meanwhile, nothing is noted, and no memory is needed for it. */
static void take_back_all(struct cpr_process *process)
{
	struct cpr_process *heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	struct vfio_error error;

	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	cpr_process_free(heir);
	process->fail_alloc = 1;
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	assert_int_equal(process->fail_alloc, 1);
	process->fail_alloc = 0;
	expect_all(process);
}

/* The last device of space 1 goes while a new process could have it, which then does not come. */
static void take_back(struct cpr_process *process)
{
	struct cpr_machine *machine = process->machine;
	struct cpr_process *heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	struct vfio_error error;

	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	vfio_device_detach(process->devices[1]);
	process->devices[1] = NULL;
	cpr_process_free(heir);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	cpr_check(vfio_cpr_settle(process->vfio, &error), &error);
	assert_int_equal(vfake_ledger(machine->kernel).pinned_pages, CPR_PAGES);
	assert_int_equal(vfake_ledger(machine->kernel).locked_pages, CPR_PAGES);
	expect_own(process, 0);
	cpr_attach(process, 1);
	expect_all(process);
	cpr_start_dma(process);
	cpr_finish_dma(machine);
}

static void play(struct stage *stage, bool viommu)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, CPR_SPACES);
	struct cpr_process *process, *heir;

	machine->viommu = viommu;
	process = cpr_process_start(machine);
	cpr_attach_all(process);
	cpr_start_dma(process);
	heir = cpr_update(process, VFIO_MODE_CPR_TRANSFER);
	cpr_process_end(process);
	cpr_finish_dma(machine);
	expect_all(heir);
	take_back(heir);
	take_back_all(heir);
	/* And what was taken back can be handed over. */
	cpr_start_dma(heir);
	process = cpr_update(heir, VFIO_MODE_CPR_TRANSFER);
	cpr_process_end(heir);
	cpr_finish_dma(machine);
	expect_all(process);
	cpr_process_end(process);
	cpr_machine_free(machine);
}

static void run_after(struct stage *stage)
{
	play(stage, false);
	play(stage, true);
}

const struct story story_cpr_after = {
	.name = "cpr-after",
	.about = "after an update, or one that is taken back, memory and devices come and go as "
		 "ever",
	.run = run_after,
	.needs = NEEDS_HANDOVER,
};
