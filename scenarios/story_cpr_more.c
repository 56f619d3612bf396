/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live updates of what is not so common: several iommufds, page tables and stacks; devices that are
 * given up together; containers and devices that are in no state for it.
 */
#include <uapi/vfio.h>

#include "cpr_dma.h"
#include "stories.h"

static void finish_and_end(struct cpr_process *process, struct cpr_process *heir)
{
	struct vfio_error error = { 0 };

	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_close_rest(process, heir->task);
	cpr_process_end(process);
	cpr_check(vfio_cpr_settle(heir->vfio, &error), &error);
}

/* ---- given up together ---- */

/* Devices 0 and 2 share a container, and perhaps a page table, that nobody needs any more. */
static void run_given_up(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *process = cpr_process_start(machine), *heir;
	struct vfio_error error;

	cpr_attach_all(process);
	cpr_start_dma(process);
	heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(process, &error), &error);
	cpr_attach(heir, 1);
	vfake_tick(machine->kernel, UINT64_MAX);
	finish_and_end(process, heir);
	assert_int_equal(vfake_ledger(machine->kernel).pinned_pages, CPR_PAGES);
	assert_int_equal(vfake_ledger(machine->kernel).locked_pages, CPR_PAGES);
	cpr_attach(heir, 0);
	cpr_attach(heir, 2);
	cpr_finish_dma(machine);
	cpr_start_dma(heir);
	cpr_finish_dma(machine);
	/* What was given up is gone before the iommufd is, too. */
	process = cpr_heir(heir, VFIO_MODE_CPR_TRANSFER);
	cpr_save(heir, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(heir, &error), &error);
	cpr_attach(process, 0);
	cpr_check(vfio_cpr_finish(process->vfio, &error), &error);
	vfio_device_detach(process->devices[0]);
	cpr_process_end(heir);
	cpr_process_end(process);
	cpr_machine_free(machine);
}

const struct story story_cpr_given_up = {
	.name = "cpr-given-up",
	.about = "of a container that nobody takes over nothing stays pinned or charged",
	.run = run_given_up,
	.needs = NEEDS_HANDOVER,
};

/* ---- several of a kind ---- */

static struct vfio_device *attach_at(struct cpr_process *process, uint32_t index, int iommufd,
				     struct vfio_error *error)
{
	struct vfio_device_options options = cpr_options(process, index);

	options.iommufd = iommufd;
	*error = (struct vfio_error){ 0 };
	process->devices[index] =
		vfio_device_attach(process->vfio, process->memory[0], &options, error);
	return process->devices[index];
}

/* One of the VMM's that two devices share stays one, by whichever descriptors it is passed. */
static void one_by_two_descriptors(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 2, 1);
	struct cpr_process *process = cpr_process_start(machine), *heir;
	int mine = process->raw.open(process->raw.ctx, "/dev/iommu");
	struct vfio_error error;

	assert_true(mine > 0);
	for (uint32_t i = 0; i < 2; i++)
		cpr_check(attach_at(process, i, mine, &error), &error);
	cpr_start_dma(process);
	heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(process, &error), &error);
	for (uint32_t i = 0; i < 2; i++) {
		int passed = vfake_pass_fd(process->task, mine, heir->task);

		assert_true(passed > 0);
		cpr_check(attach_at(heir, i, passed, &error), &error);
	}
	assert_ptr_equal(vfio_device_container(heir->devices[0]),
			 vfio_device_container(heir->devices[1]));
	finish_and_end(process, heir);
	cpr_expect_owner(heir);
	cpr_finish_dma(machine);
	cpr_process_end(heir);
	cpr_machine_free(machine);
}

/* Device 0 at the stack's iommufd, 1 and 2 at one each of the VMM's. */
static void run_iommufds(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 1);
	struct cpr_process *process = cpr_process_start(machine), *heir;
	struct vfio_error error;
	int mine[CPR_DEVICES] = { 0 }, passed[CPR_DEVICES] = { 0 };

	for (uint32_t i = 0; i < CPR_DEVICES; i++) {
		if (i)
			mine[i] = process->raw.open(process->raw.ctx, "/dev/iommu");
		assert_true(mine[i] >= 0);
		cpr_check(attach_at(process, i, mine[i], &error), &error);
	}
	cpr_start_dma(process);
	heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(process, &error), &error);
	for (uint32_t i = 1; i < CPR_DEVICES; i++) {
		passed[i] = vfake_pass_fd(process->task, mine[i], heir->task);
		assert_true(passed[i] > 0);
	}
	assert_null(attach_at(heir, 0, passed[1], &error));
	assert_int_equal(error.code, -EINVAL);
	assert_non_null(strstr(error.message, "its iommufd is the stack's own"));
	assert_null(attach_at(heir, 1, 0, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_non_null(strstr(error.message, "its iommufd is passed in"));
	for (uint32_t i = 0; i < CPR_DEVICES; i++)
		cpr_check(attach_at(heir, i, passed[i], &error), &error);
	finish_and_end(process, heir);
	for (uint32_t i = 0; i < CPR_DEVICES; i++) {
		const struct vfake_space_at at = cpr_space_of(machine, i);

		assert_true(cpr_expect_maps(heir, &at) > 0);
	}
	assert_int_equal(vfake_ledger(machine->kernel).locked_pages, CPR_DEVICES * CPR_PAGES);
	cpr_finish_dma(machine);
	cpr_process_end(heir);
	cpr_machine_free(machine);
	one_by_two_descriptors(stage);
}

const struct story story_cpr_iommufds = {
	.name = "cpr-iommufds",
	.about = "several iommufds, of the stack and of the VMM, are told apart",
	.run = run_iommufds,
	.needs = NEEDS_HANDOVER | NEEDS_CDEV,
};

/* The second device does not fit the first one's page table: each has its own. */
static void run_tables(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 1);
	struct cpr_process *process = cpr_process_start(machine);
	struct vfio_error error;

	cpr_attach(process, 0);
	process->fail_request = VFIO_DEVICE_ATTACH_IOMMUFD_PT;
	process->fail_at = 1;
	process->fail_code = -EINVAL;
	cpr_attach(process, 1);
	assert_true(process->requests_failed > 1);
	cpr_attach(process, 2);
	for (uint32_t keep = 0; keep < 2; keep++) {
		struct cpr_process *heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);

		cpr_start_dma(process);
		cpr_save(process, VFIO_MODE_CPR_TRANSFER);
		cpr_check(cpr_try_load(process, &error), &error);
		/* The second time the first device is not taken along, nor is its table. */
		for (uint32_t i = keep; i < CPR_DEVICES; i++)
			cpr_attach(heir, i);
		vfake_tick(machine->kernel, UINT64_MAX);
		finish_and_end(process, heir);
		cpr_finish_dma(machine);
		process = heir;
	}
	cpr_process_end(process);
	cpr_machine_free(machine);
}

const struct story story_cpr_tables = {
	.name = "cpr-tables",
	.about = "page tables that devices do not share stay with their devices",
	.run = run_tables,
	.needs = NEEDS_HANDOVER | NEEDS_EXACT_TRACKING,
};

/* Two stacks of one VMM: each has its own state, and neither gets the other's. */
static void run_names(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct cpr_process *process = cpr_process_start(machine), *heir;
	struct vfio_error error = { 0 };

	cpr_check(vfio_cpr_name(process->vfio, "left", &error), &error);
	cpr_attach_all(process);
	cpr_start_dma(process);
	heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	for (uint32_t i = 0; i < process->fd_count; i++)
		assert_memory_equal(process->fds[i].name, "left/", 5);
	cpr_program(heir);
	cpr_check(vfio_cpr_name(heir->vfio, "right", &error), &error);
	cpr_check(vfio_cpr_load(heir->vfio, process->state, process->state_size,
				&(struct vfio_cpr_fds){ .ctx = process, .take = cpr_take }, &error),
		  &error);
	assert_false(cpr_try_attach(heir, 0, &error));
	assert_int_equal(error.code, -ENOENT);
	cpr_process_end(heir);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	cpr_expect_owner(process);
	cpr_finish_dma(machine);
	cpr_process_end(process);
	cpr_machine_free(machine);
}

const struct story story_cpr_names = {
	.name = "cpr-names",
	.about = "a stack gets the descriptors of the stack that has its name, and no others",
	.run = run_names,
	.needs = NEEDS_HANDOVER,
};

/* ---- in no state for it ---- */

static void expect_busy(struct cpr_process *process)
{
	struct vfio_error error;

	process->next = process;
	assert_false(cpr_try_save(process, VFIO_MODE_CPR_TRANSFER, &error));
	assert_int_equal(error.code, -EBUSY);
	assert_int_equal(process->fd_count, 0);
}

static void run_migrating(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct cpr_process *process = cpr_process_start(machine);
	struct vfio_error error = { 0 };

	cpr_attach_all(process);
	cpr_check(vfio_device_mig_set_state(process->devices[0], VFIO_MIG_PRE_COPY,
					    VFIO_MIG_RUNNING, &error),
		  &error);
	expect_busy(process);
	cpr_check(vfio_device_mig_set_state(process->devices[0], VFIO_MIG_RUNNING, VFIO_MIG_RUNNING,
					    &error),
		  &error);
	cpr_start_dma(process);
	{
		struct cpr_process *heir = cpr_update(process, VFIO_MODE_CPR_TRANSFER);

		cpr_process_end(process);
		cpr_expect_owner(heir);
		cpr_finish_dma(machine);
		cpr_process_end(heir);
	}
	cpr_machine_free(machine);
}

const struct story story_cpr_migrating = {
	.name = "cpr-migrating",
	.about = "a device that is being migrated is not handed over as well",
	.run = run_migrating,
	.needs = NEEDS_HANDOVER,
	.model = "migrate",
};

/* Guest memory that could not be mapped: what is handed over would not be what the guest has. */
static void broken_old(struct cpr_machine *machine)
{
	struct cpr_process *process = cpr_process_start(machine);
	struct vfio_memory_region region = { .name = "late", .start = (uint64_t)1 << 33 };
	struct vfio_error error = { 0 };
	uint32_t id;

	cpr_attach_all(process);
	region.last = region.start + machine->backend->page - 1;
	region.vaddr = (uint64_t)(uintptr_t)process->ram[0];
	region.fd = process->files[0];
	process->fail_request = VFIO_IOMMU_MAP_DMA;
	process->fail_at = 1;
	process->fail_code = -ENOMEM;
	cpr_check(vfio_memory_add(process->memory[0], &region, &id, &error), &error);
	assert_int_equal(process->ref.broken_seen, 1);
	expect_busy(process);
	cpr_process_end(process);
}

/* A map of the vIOMMU fails in the new process, when everything is attached. */
static void broken_new(struct cpr_machine *machine)
{
	struct cpr_process *process = cpr_process_start(machine), *heir;
	struct vfio_error error = { 0 };

	cpr_attach_all(process);
	cpr_start_dma(process);
	heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	machine->late = true;
	cpr_check(cpr_try_load(process, &error), &error);
	cpr_attach_all(heir);
	heir->fail_request = VFIO_IOMMU_MAP_DMA;
	heir->fail_at = 2;
	heir->fail_code = -EFAULT;
	cpr_guest_state(heir);
	assert_int_equal(heir->ref.broken_seen, 1);
	assert_false(vfio_cpr_finish(heir->vfio, &error));
	assert_int_equal(error.code, -EFAULT);
	cpr_process_end(heir);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	cpr_expect_owner(process);
	cpr_finish_dma(machine);
	cpr_process_end(process);
}

/* The second container cannot be suspended, and the first does not get its addresses again. */
static void twice_broken(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 2, 2);
	struct cpr_process *process = cpr_process_start(machine);
	struct vfio_error error;

	cpr_attach_all(process);
	cpr_start_dma(process);
	process->next = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	process->fail_request = VFIO_IOMMU_UNMAP_DMA;
	process->fail_at = 2;
	process->fail_code = -EINTR;
	process->fail_also = VFIO_IOMMU_MAP_DMA;
	assert_false(cpr_try_save(process, VFIO_MODE_CPR_TRANSFER, &error));
	assert_int_equal(error.code, -EINTR);
	cpr_process_free(process->next);
	process->fail_also = 0;
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	cpr_expect_owner(process);
	cpr_finish_dma(machine);
	cpr_process_end(process);
	cpr_machine_free(machine);
}

static void run_broken(struct stage *stage)
{
	struct cpr_machine *machine;

	machine = cpr_machine_new(stage, 1, 1);
	broken_old(machine);
	machine->viommu = true;
	broken_new(machine);
	cpr_machine_free(machine);
	twice_broken(stage);
}

const struct story story_cpr_broken = {
	.name = "cpr-broken",
	.about = "a container that could not map all of its memory is not handed over, nor taken "
		 "over",
	.run = run_broken,
	.needs = NEEDS_HANDOVER,
	.waivers = { { "iommufd", "an update makes no maps that could fail" },
		     { "iommufd-dirty", "an update makes no maps that could fail" } },
};
