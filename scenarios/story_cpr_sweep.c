/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live updates for the sweep: one of each kind, plain, in which every call can fail and every
 * process can die at every call of its own. Without the sweep they are just updates that work.
 */
#include "cpr_recover.h"
#include "stories.h"

/* How many devices in how many containers; behind a vIOMMU that maps in pieces; in memory that is
 * plugged in part. What the two say is known before devices are attached, or only after. */
struct size {
	uint32_t devices, spaces;
	bool viommu;
	uint32_t plugged;
	bool late;
};

static const struct size sizes[] = {
	{ 3, 1, false, 0, false }, { 2, 2, false, 0, false },	    { 2, 1, true, 0, false },
	{ 1, 1, true, 0, true },   { 2, 1, false, 0x51fff, false }, { 1, 1, false, 0x501ff, true },
};

static struct cpr_process *start(struct stage *stage, const struct size *size,
				 enum vfio_migration_mode mode)
{
	struct cpr_machine *machine = cpr_machine_new(stage, size->devices, size->spaces);
	struct cpr_process *process;

	machine->viommu = size->viommu;
	machine->plugged = size->plugged;
	machine->late = size->late;
	cpr_let_die(machine, mode);
	process = cpr_process_start(machine);
	cpr_attach_all(process);
	cpr_start_dma(process);
	return process;
}

static void stop(struct cpr_process *process)
{
	struct cpr_machine *machine = process->machine;

	cpr_expect_owner(process);
	cpr_finish_dma(machine);
	cpr_process_end(process);
	cpr_machine_free(machine);
}

/* ---- an update that takes place ---- */

static void update(struct stage *stage, const struct size *size, enum vfio_migration_mode mode)
{
	struct cpr_process *process = start(stage, size, mode);
	struct cpr_process *heir = cpr_update(process, mode);
	struct vfio_error error = { 0 };

	if (process->vfio)
		cpr_process_end(process);
	else
		cpr_process_free(process);
	cpr_check(vfio_cpr_settle(heir->vfio, &error), &error);
	stop(heir);
}

static void run_transfer(struct stage *stage)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		update(stage, &sizes[i], VFIO_MODE_CPR_TRANSFER);
}

const struct story story_cpr_sweep_transfer = {
	.name = "cpr-sweep-transfer",
	.about = "an update of each size; in the sweep each process dies at each of its calls",
	.run = run_transfer,
	.needs = NEEDS_HANDOVER,
};

static void run_exec(struct stage *stage)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		update(stage, &sizes[i], VFIO_MODE_CPR_EXEC);
}

const struct story story_cpr_sweep_exec = {
	.name = "cpr-sweep-exec",
	.about = "an update by exec() of each size; in the sweep the process dies at each call",
	.run = run_exec,
	.needs = NEEDS_HANDOVER,
};

/* ---- an update that does not ---- */

/* The new process gives up when it has everything, or dies; the old one takes back. */
static void take_back(struct stage *stage, const struct size *size, bool died)
{
	struct cpr_process *process = start(stage, size, VFIO_MODE_CPR_TRANSFER);
	struct cpr_process *heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	struct vfio_error error;

	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(process, &error), &error);
	cpr_attach_all(heir);
	if (died)
		cpr_process_free(heir);
	else
		cpr_process_end(heir);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	stop(process);
}

static void run_back(struct stage *stage)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		take_back(stage, &sizes[i], i & 1);
}

const struct story story_cpr_sweep_back = {
	.name = "cpr-sweep-back",
	.about = "an update of each size is taken back; in the sweep both die at each call",
	.run = run_back,
	.needs = NEEDS_HANDOVER,
};
