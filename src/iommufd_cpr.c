/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backend iommufd, live update. Nothing is unmapped: memory is known by its files, so that a
 * process's addresses do not matter. What changes hands is who pays for pinned pages:
 * IOMMU_IOAS_CHANGE_PROCESS, once per iommufd, in cpr_save.c and cpr_load.c.
 */
#include "iommufd.h"

/* ---- the new process ---- */

struct vfio_iommufd *vfio_iommufd_cpr_find(const struct vfio_device *device)
{
	const struct vfio_cpr_iommufd_record *record = vfio_cpr_iommufd_of(device);
	struct vfio_iommufd *iommufd;

	TAILQ_FOREACH(iommufd, &device->vfio->iommufds, entry)
	{
		if (iommufd->cpr.id == record->id)
			break;
	}
	return iommufd;
}

int vfio_iommufd_cpr_open(const struct vfio_device *device, struct vfio_error *error)
{
	const struct vfio_cpr_iommufd_record *record = vfio_cpr_iommufd_of(device);

	if (record->borrowed == (device->options.iommufd != 0))
		return record->borrowed
			       ? device->options.iommufd
			       : vfio_cpr_take(device->vfio, "iommufd", "", record->id, error);
	vfio_fail(error, -EINVAL,
		  record->borrowed ? "in the saved state its iommufd is passed in"
				   : "in the saved state its iommufd is the stack's own");
	return -EINVAL;
}

int vfio_iommufd_cpr_claim(struct vfio_device *device, struct vfio_error *error)
{
	device->devid = device->cpr.record->devid;
	if (device->options.device_fd)
		return device->options.device_fd;
	return vfio_cpr_take(device->vfio, "device/", device->options.name, 0, error);
}

void vfio_iommufd_cpr_set_up(struct vfio_container *container)
{
	struct iommufd_container *state = container->state;

	state->ioas_id = container->cpr.record->ioas;
	container->dirty_supported = container->cpr.record->dirty_supported;
}

int vfio_iommufd_cpr_attach(struct vfio_container *container, struct vfio_device *device)
{
	struct iommufd_container *state = container->state;
	uint32_t id = device->cpr.record->hwpt;
	struct vfio_hwpt *hwpt;

	if (!id)
		return 0;
	LIST_FOREACH(hwpt, &state->hwpts, entry)
	{
		if (hwpt->id == id)
			break;
	}
	if (!hwpt) {
		hwpt = vfio_alloc(container->vfio, sizeof(*hwpt));
		if (!hwpt)
			return -ENOMEM;
		hwpt->id = id;
		LIST_INSERT_HEAD(&state->hwpts, hwpt, entry);
	}
	hwpt->users++;
	device->hwpt_id = id;
	return 0;
}

/* ---- both ---- */

static struct vfio_cpr_shared *cpr_shared(const struct vfio_device *device)
{
	return &device->iommufd->cpr;
}

static void cpr_describe(const struct vfio_container *container,
			 struct vfio_cpr_container_record *record)
{
	const struct iommufd_container *state = container->state;

	record->iommufd = state->iommufd->cpr.id;
	record->ioas = state->ioas_id;
}

const struct vfio_cpr_ops vfio_iommufd_cpr_ops = {
	.shared = cpr_shared,
	.describe = cpr_describe,
};
