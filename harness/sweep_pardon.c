/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What Linux or a contract does not give back: where the law of the sweep is weaker, how, and why.
 */
#include <errno.h>
#include <string.h>

#include <vfio/cpr.h>

#include "stage_internal.h"
#include "sweep_internal.h"

#define A_FILE                                                                                     \
	(SWEEP_FIELD(STATE_OPEN_FILES) | SWEEP_FIELD(STATE_DESCRIPTORS) |                          \
	 SWEEP_FIELD(STATE_ALLOCATIONS) | SWEEP_FIELD(STATE_FILES))

/* Of all devices. */
#define A_ROW(first) (((UINT64_C(1) << STAGE_DEVICES) - 1) << (first))
/* Who paid and has ended is kept for as long as something is charged to him. */
#define A_CHARGE     (SWEEP_FIELD(STATE_ALLOCATIONS) | SWEEP_FIELD(STATE_LOCKED))
/* What an address space that stays is, for the kernel. */
#define A_SPACE                                                                                    \
	(SWEEP_FIELD(STATE_ALLOCATIONS) | SWEEP_FIELD(STATE_FILES) | SWEEP_FIELD(STATE_PINNED) |   \
	 SWEEP_FIELD(STATE_LOCKED) | OWNERSHIP | A_ROW(STATE_MAPPINGS))
/* Which process the kernel has addresses and charges of. */
#define OWNERSHIP (SWEEP_FIELD(STATE_CHARGED) | A_ROW(STATE_REACH))

static const struct sweep_pardon pardons[] = {
	/* A failure keeps what was told, and what was told the kernel has forgotten. */
	{ "vfio_memory_log_sync", NULL, SWEEP_FIELD(STATE_ALLOCATIONS), PARDON_KEPT, 0 },
	/* A device that cannot go to a state is brought to another one, which has a stream or not.
	 */
	{ "vfio_device_mig_set_state", NULL, A_FILE | A_ROW(STATE_DEVICE), PARDON_KEPT, 0 },
	/* A stream that broke cannot be gone on with. */
	{ "vfio_device_mig_write", "file/write/copyin", 0, PARDON_KEPT, 0 },
	{ "vfio_device_mig_write", "user/MIG_DATA_WRITE/reply", 0, PARDON_KEPT, 0 },
	{ "vfio_device_mig_write", "file/recvmsg/entry", 0, PARDON_KEPT, 0 },
	/* A device that the kernel cannot attach to a page table that is there gets one of its own.
	 */
	{ "vfio_device_attach", "group/GROUP_GET_DEVICE_FD/commit", SWEEP_FIELD(STATE_ALLOCATIONS),
	  PARDON_COPED, 0 },
	/* Linux has made the descriptor, and the caller never learns its number. */
	{ "vfio_set_kvm", "kvm_vm/CREATE_DEVICE/copyout", A_FILE, PARDON_KEPT, 0 },
	/* Linux drops bits that it cannot write to the caller's bitmap, and says that all is well.
	 */
	{ NULL, "iommufd/HWPT_GET_DIRTY_BITMAP/copyin", SWEEP_FIELD(STATE_DIRTY), PARDON_KEPT, 0 },
	{ NULL, "iommufd/HWPT_GET_DIRTY_BITMAP/copyout", SWEEP_FIELD(STATE_DIRTY), PARDON_KEPT, 0 },
	{ NULL, "device/DEVICE_FEATURE/copyin", SWEEP_FIELD(STATE_DIRTY), PARDON_KEPT, 0 },
	{ NULL, "device/DEVICE_FEATURE/copyout", SWEEP_FIELD(STATE_DIRTY), PARDON_KEPT, 0 },
	/*
	 * Live update. What could be taken back is taken back, container by container, because a
	 * guest is better off with half of its memory than with none; so with iommufds that change
	 * hands one after the other, and with objects that are destroyed.
	 */
	{ "vfio_cpr_abort", NULL, A_CHARGE | OWNERSHIP, PARDON_PART, 0 },
	{ "vfio_cpr_finish", NULL, OWNERSHIP, PARDON_PART, 0 },
	{ "vfio_cpr_settle", NULL, A_SPACE, PARDON_PART, 0 },
	/* Linux says that there is no such object, and is believed. */
	{ "vfio_cpr_settle", "iommufd/DESTROY/entry", A_SPACE, PARDON_COPED, ENOENT },
	{ "vfio_cpr_settle", "iommufd/DESTROY/commit", A_SPACE, PARDON_COPED, ENOENT },
	{ "vfio_cpr_save", "iommufd/DESTROY/entry", A_SPACE, PARDON_COPED, ENOENT },
	{ "vfio_cpr_save", "iommufd/DESTROY/commit", A_SPACE, PARDON_COPED, ENOENT },
	/* What Linux does not unmap goes with the last one who has the container: the old process.
	 */
	{ "vfio_device_detach", NULL, A_SPACE | A_ROW(STATE_DEVICE), PARDON_SHARED, 0 },
	/* A descriptor is handed out once, and Linux cannot give a process back the address of
	 * another one: the old process takes all of it back instead. */
	{ "vfio_device_attach", NULL, 0, PARDON_TAKING, 0 },
};

static bool was_met(const struct sweep *sweep, const struct sweep_pardon *pardon)
{
	for (unsigned int i = 0; i < sweep->points.fault_count; i++) {
		const struct sweep_fault *fault = &sweep->points.faults[i];

		if (!strcmp(fault->point->name, pardon->point) &&
		    (!pardon->code || pardon->code == fault->code))
			return true;
	}
	return false;
}

static bool is_taking(const struct sweep *sweep)
{
	enum vfio_migration_mode mode = vfio_cpr_mode(step_subject(sweep->step));

	return mode == VFIO_MODE_CPR_TRANSFER || mode == VFIO_MODE_CPR_EXEC;
}

/* How many devices other processes have. */
static uint32_t others_have(const struct sweep *sweep)
{
	const void *subject = step_subject(sweep->step);
	const struct vfio *own = subject;
	uint32_t count = 0;

	for (size_t i = 0; i < SWEEP_DEVICES; i++) {
		if (sweep->live.devices[i].device == subject)
			own = sweep->live.devices[i].stack;
	}
	for (size_t i = 0; i < SWEEP_DEVICES; i++)
		count += sweep->live.devices[i].stack && sweep->live.devices[i].stack != own;
	return count;
}

/* The old process has all that is being taken over: not after exec(), nor when it unplugged some.
 */
static bool is_shared(const struct sweep *sweep)
{
	uint32_t others = others_have(sweep);

	return others && !vfio_cpr_device(step_subject(sweep->step), others);
}

/*
 * What an attach that fails half-way leaves in the kernel while a state is taken over. As long as
 * the old process is there, nothing is unmapped or unpinned: what changes is whose it is. The new
 * process has closed what it was handed. What a VMM was told is taken back in any case.
 */
static uint64_t taken_fields(const struct sweep *sweep)
{
	uint64_t fields = OWNERSHIP | SWEEP_FIELD(STATE_FILES) | SWEEP_FIELD(STATE_ALLOCATIONS) |
			  SWEEP_FIELD(STATE_LOCKED);

	if (is_shared(sweep))
		return fields;
	return fields | SWEEP_FIELD(STATE_OPEN_FILES) | SWEEP_FIELD(STATE_PINNED) |
	       A_ROW(STATE_DEVICE) | A_ROW(STATE_MAPPINGS);
}

static bool applies(const struct sweep *sweep, const struct sweep_pardon *pardon)
{
	bool coped = pardon->law == PARDON_COPED || pardon->law == PARDON_SHARED;

	if (coped && step_failed(sweep->step))
		return false;
	if (pardon->step && strcmp(pardon->step, sweep->step->name))
		return false;
	if (pardon->law == PARDON_TAKING && (!step_failed(sweep->step) || !is_taking(sweep)))
		return false;
	if (pardon->law == PARDON_SHARED && !others_have(sweep))
		return false;
	return !pardon->point || was_met(sweep, pardon);
}

/* What is not held against the step: NULL for nothing, and the fields. */
const struct sweep_pardon *sweep_pardoned(const struct sweep *sweep, uint64_t *fields)
{
	const struct sweep_pardon *last = NULL;

	*fields = 0;
	for (size_t i = 0; i < sizeof(pardons) / sizeof(pardons[0]); i++) {
		if (!applies(sweep, &pardons[i]))
			continue;
		last = &pardons[i];
		*fields |= last->law == PARDON_TAKING ? taken_fields(sweep) : last->fields;
	}
	return last;
}
