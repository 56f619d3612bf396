/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backend iommufd, dirty pages: of the page tables that a container makes itself. What the kernel
 * reports is the sum of all of them.
 */
#include <uapi/iommufd.h>

#include "iommufd.h"

int vfio_iommufd_set_tracking(struct vfio_container *container, const struct vfio_hwpt *hwpt,
			      bool on)
{
	struct iommufd_container *state = container->state;
	struct iommu_hwpt_set_dirty_tracking arg = { .size = sizeof(arg),
						     .hwpt_id = hwpt->id,
						     .flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE
								 : 0 };

	return (int)vfio_ioctl(container->vfio, state->iommufd->fd, IOMMU_HWPT_SET_DIRTY_TRACKING,
			       &arg);
}

int vfio_iommufd_dirty_read(struct vfio_container *container, uint64_t iova, uint64_t size,
			    const struct vfio_dirty *dirty)
{
	struct iommufd_container *state = container->state;
	struct vfio_hwpt *hwpt;

	LIST_FOREACH(hwpt, &state->hwpts, entry)
	{
		struct iommu_hwpt_get_dirty_bitmap arg = {
			.size = sizeof(arg),
			.hwpt_id = hwpt->id,
			.iova = iova,
			.length = size,
			.page_size = dirty->pgsize,
			.data = (uint64_t)(uintptr_t)dirty->bitmap
		};
		long ret = vfio_ioctl(container->vfio, state->iommufd->fd,
				      IOMMU_HWPT_GET_DIRTY_BITMAP, &arg);

		if (ret)
			return (int)ret;
	}
	return 0;
}

static void stop_tracking(struct vfio_container *container, const struct vfio_hwpt *hwpt)
{
	int ret = vfio_iommufd_set_tracking(container, hwpt, false);

	if (ret)
		vfio_warn(container->vfio, ret, "dirty pages are tracked on");
}

int vfio_iommufd_dirty_start(struct vfio_container *container)
{
	struct iommufd_container *state = container->state;
	struct vfio_hwpt *hwpt, *undo;

	LIST_FOREACH(hwpt, &state->hwpts, entry)
	{
		int ret = vfio_iommufd_set_tracking(container, hwpt, true);

		if (!ret)
			continue;
		for (undo = LIST_FIRST(&state->hwpts); undo != hwpt; undo = LIST_NEXT(undo, entry))
			stop_tracking(container, undo);
		return ret;
	}
	return 0;
}

void vfio_iommufd_dirty_stop(struct vfio_container *container)
{
	struct iommufd_container *state = container->state;
	struct vfio_hwpt *hwpt;

	LIST_FOREACH(hwpt, &state->hwpts, entry)
	stop_tracking(container, hwpt);
}
