/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live updates that work: any number of devices in one container or two, by each way that there is,
 * while the devices write to guest memory.
 */
#include "cpr_dma.h"
#include "stories.h"

/* ---- to another process, by a socket or by exec() ---- */

/* What is known of each device's container. */
static void look_at(const struct cpr_process *process, struct vfio_container_info *infos)
{
	for (uint32_t i = 0; i < process->machine->devices; i++)
		vfio_container_info(vfio_device_container(process->devices[i]), &infos[i]);
}

/* It is the same, with limits as they were before the first map. */
static void expect_same(const struct vfio_container_info *was, const struct vfio_container_info *is)
{
	assert_int_equal(is->backend, was->backend);
	assert_int_equal(is->devices, was->devices);
	assert_true(is->pgsizes == was->pgsizes);
	assert_int_equal(is->max_mappings, was->max_mappings);
	assert_true(is->mappings == was->mappings);
	assert_int_equal(is->dirty_tracking, was->dirty_tracking);
	assert_int_equal(is->range_count, was->range_count);
	for (uint32_t i = 0; i < was->range_count; i++) {
		assert_true(is->ranges[i].start == was->ranges[i].start);
		assert_true(is->ranges[i].last == was->ranges[i].last);
	}
}

static struct cpr_process *update_running(struct cpr_process *process,
					  enum vfio_migration_mode mode, bool polite)
{
	struct cpr_machine *machine = process->machine;
	struct vfake_ledger before = vfake_ledger(machine->kernel), after;
	struct vfio_container_info was[CPR_DEVICES], is[CPR_DEVICES];
	struct cpr_process *heir;

	look_at(process, was);
	cpr_start_dma(process);
	heir = cpr_update(process, mode);
	look_at(heir, is);
	for (uint32_t i = 0; i < machine->devices; i++) {
		cpr_expect_running(machine, i);
		expect_same(&was[i], &is[i]);
	}
	if (polite && process->task)
		cpr_process_end(process);
	else
		cpr_process_free(process);
	cpr_expect_owner(heir);
	cpr_finish_dma(machine);
	after = vfake_ledger(machine->kernel);
	assert_int_equal(after.open_files, before.open_files);
	assert_int_equal(after.descriptors, before.descriptors);
	assert_int_equal(after.pinned_pages, before.pinned_pages);
	assert_int_equal(after.locked_pages, before.locked_pages);
	assert_int_equal(after.warnings, 0);
	return heir;
}

static void update_all(struct stage *stage, enum vfio_migration_mode mode, uint32_t devices,
		       uint32_t spaces)
{
	struct cpr_machine *machine = cpr_machine_new(stage, devices, spaces);
	struct cpr_process *process = cpr_process_start(machine);

	cpr_attach_all(process);
	/* Again right after, and the old process goes in both ways. */
	for (int round = 0; round < 3; round++)
		process = update_running(process, mode, round & 1);
	for (uint32_t i = 0; i < devices; i++)
		vfio_device_detach(process->devices[i]);
	assert_int_equal(process->ref.warnings_seen, 0); /* all that was taken over could go */
	assert_int_equal(vfake_ledger(machine->kernel).pinned_pages, 0);
	/* What was taken over is the process's own: it attaches once more. */
	memset(process->devices, 0, sizeof(process->devices));
	cpr_attach_all(process);
	cpr_expect_owner(process);
	cpr_process_end(process);
	cpr_machine_free(machine);
}

static void update_every_size(struct stage *stage, enum vfio_migration_mode mode)
{
	for (uint32_t spaces = 1; spaces <= CPR_SPACES; spaces++) {
		for (uint32_t devices = 0; devices <= CPR_DEVICES; devices++)
			update_all(stage, mode, devices, spaces);
	}
}

static void run_transfer(struct stage *stage)
{
	update_every_size(stage, VFIO_MODE_CPR_TRANSFER);
}

const struct story story_cpr_transfer = {
	.name = "cpr-transfer",
	.about = "0 to 3 devices in 1 and 2 containers go to another process while they write",
	.run = run_transfer,
	.needs = NEEDS_HANDOVER,
};

static void run_exec(struct stage *stage)
{
	update_every_size(stage, VFIO_MODE_CPR_EXEC);
}

const struct story story_cpr_exec = {
	.name = "cpr-exec",
	.about = "0 to 3 devices in 1 and 2 containers go through an exec() while they write",
	.run = run_exec,
	.needs = NEEDS_HANDOVER,
};

/* ---- to another kernel ---- */

/* Nothing of the kernel's stays: the devices come up from the beginning. */
static void reboot(struct stage *stage, uint32_t devices, uint32_t spaces)
{
	struct cpr_machine *machine = cpr_machine_new(stage, devices, spaces);
	struct cpr_process *process = cpr_process_start(machine);
	struct cpr_process *heir;
	struct vfio_error error;
	const void *state;
	size_t size;

	cpr_attach_all(process);
	if (!backend_lacks(stage->backend, NEEDS_MAPS) && devices) {
		cpr_start_dma(process);
		vfake_tick(machine->kernel, UINT64_MAX); /* a guest that is suspended waits */
	}
	assert_false(vfio_cpr_save(process->vfio, VFIO_MODE_CPR_REBOOT, false, NULL, &state, &size,
				   &error));
	assert_int_equal(error.code, -EBUSY);
	heir = cpr_heir(process, VFIO_MODE_CPR_REBOOT);
	cpr_save(process, VFIO_MODE_CPR_REBOOT);
	assert_int_equal(process->fd_count, 0);
	cpr_process_die(process);
	cpr_check(cpr_try_load(process, &error), &error);
	assert_int_equal(vfio_cpr_mode(heir->vfio), VFIO_MODE_CPR_REBOOT);
	for (uint32_t i = 0; i < devices; i++)
		assert_string_equal(vfio_cpr_device(heir->vfio, i), stage_name(i));
	assert_null(vfio_cpr_device(heir->vfio, devices));
	cpr_process_free(process);
	cpr_take_over(heir);
	assert_int_equal(vfio_cpr_mode(heir->vfio), 0);
	if (!backend_lacks(stage->backend, NEEDS_MAPS) && devices) {
		cpr_start_dma(heir);
		cpr_finish_dma(machine);
	}
	cpr_process_end(heir);
	cpr_machine_free(machine);
}

static void run_reboot(struct stage *stage)
{
	for (uint32_t spaces = 1; spaces <= CPR_SPACES; spaces++) {
		for (uint32_t devices = 0; devices <= CPR_DEVICES; devices++)
			reboot(stage, devices, spaces);
	}
}

const struct story story_cpr_reboot = {
	.name = "cpr-reboot",
	.about = "a suspended guest finds its devices and its memory again under another kernel",
	.run = run_reboot,
	.waivers = { { "user", "what a server's devices block is in user-blocked" } },
};
