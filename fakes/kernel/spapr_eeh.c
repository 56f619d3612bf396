/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO_EEH_PE_OP: error handling of a partitionable endpoint, which here is a group.
 *
 * Imitates the VFIO part of arch/powerpc/kernel/eeh.c and arch/powerpc/platforms/powernv/
 * eeh-powernv.c, Linux 7.2.
 *
 * Kept: the operations, the order of their checks and their errnos; a state is a positive result; a
 * frozen endpoint's DMA is a fault; firmware without EEH has no endpoints (ENODEV, said in
 * spapr.c).
 *
 * Simplified: an injected error freezes the endpoint at once, where hardware waits for the access
 * that it spoils. A reset freezes too, and taking it back thaws. A frozen endpoint's registers
 * still answer. A group comes unfrozen into a container.
 */
#include <uapi/vfio_iommu.h>

#include "spapr.h"

enum {
	ERROR_FUNCTION_MAX = 19, /* of the functions that can be spoiled */
	ERROR_TYPE_64BIT = 1,	 /* types of errors: 0 is the 32-bit one */
};

static long get_state(const struct spapr_group *group)
{
	switch (group->frozen) {
	case 0:
		return VFIO_EEH_PE_STATE_NORMAL;
	case SPAPR_FROZEN_DMA:
		return VFIO_EEH_PE_STATE_STOPPED_DMA;
	case SPAPR_FROZEN_IO:
		return VFIO_EEH_PE_STATE_UNAVAIL;
	default:
		return VFIO_EEH_PE_STATE_STOPPED;
	}
}

static long inject(struct spapr_group *group, const struct vfio_eeh_pe_op *op, uint32_t size_bytes)
{
	if (size_bytes < sizeof(*op) || op->err.func > ERROR_FUNCTION_MAX)
		return -EINVAL;
	if (op->err.type > ERROR_TYPE_64BIT)
		return -ERANGE;
	group->frozen = SPAPR_FROZEN_IO | SPAPR_FROZEN_DMA;
	return 0;
}

long spapr_eeh(struct spapr_group *group, const struct vfio_eeh_pe_op *op, uint32_t size_bytes)
{
	switch (op->op) {
	case VFIO_EEH_PE_UNFREEZE_IO:
		group->frozen &= ~(uint32_t)SPAPR_FROZEN_IO;
		return 0;
	case VFIO_EEH_PE_UNFREEZE_DMA:
		group->frozen &= ~(uint32_t)SPAPR_FROZEN_DMA;
		return 0;
	case VFIO_EEH_PE_GET_STATE:
		return get_state(group);
	case VFIO_EEH_PE_RESET_HOT:
	case VFIO_EEH_PE_RESET_FUNDAMENTAL:
		group->frozen = SPAPR_FROZEN_IO | SPAPR_FROZEN_DMA;
		return 0;
	case VFIO_EEH_PE_RESET_DEACTIVATE:
		group->frozen = 0;
		return 0;
	case VFIO_EEH_PE_DISABLE:
	case VFIO_EEH_PE_ENABLE:
	case VFIO_EEH_PE_CONFIGURE:
		return 0;
	case VFIO_EEH_PE_INJECT_ERR:
		return inject(group, op, size_bytes);
	default:
		return -EINVAL;
	}
}
