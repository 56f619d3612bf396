/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommufd, as the rest of the fake kernel sees it: what a VFIO group or device needs of it.
 */
#ifndef FAKES_IOMMUFD_H
#define FAKES_IOMMUFD_H

#include "vfio.h"

/* The context behind an iommufd file (borrowed), or NULL when it is none. */
struct iommufd_ctx *iommufd_ctx_from_file(struct vfake_file *file);
/* Keep the context, that is its file. */
void iommufd_ctx_get(struct iommufd_ctx *ictx);
void iommufd_ctx_put(struct iommufd_ctx *ictx);

/* VFIO_GROUP_SET_CONTAINER with an iommufd: makes sure that there is a compat IOAS, or notes
 * noiommu. 0 or -errno. */
int iommufd_compat_ioas_create(struct iommufd_ctx *ictx);
int iommufd_compat_set_noiommu(struct iommufd_ctx *ictx);
bool iommufd_has_compat_ioas(struct iommufd_ctx *ictx);

/*
 * First open and last close of a device through df->iommufd: binds the device (df->devid), attaches
 * nothing yet; unbind detaches first. The group path then attaches the compat IOAS. 0 or -errno.
 */
int vfio_df_iommufd_bind(struct vfio_device_file *df, struct vfake_task *task);
void vfio_df_iommufd_unbind(struct vfio_device_file *df);
int vfio_iommufd_compat_attach(struct vfio_device *device, struct iommufd_ctx *ictx,
			       struct vfake_task *task);

/* VFIO_DEVICE_ATTACH_IOMMUFD_PT and its opposite for the device's own DMA; *pt_id may change. 0 or
 * -errno. */
int vfio_iommufd_attach(struct vfio_device *device, uint32_t *pt_id, struct vfake_task *task);
void vfio_iommufd_detach(struct vfio_device *device);
/* The same with a PASID. -ENOSPC for a PASID that VFIO cannot note. */
int vfio_iommufd_pasid_attach(struct vfio_device *device, uint32_t pasid, uint32_t *pt_id);
void vfio_iommufd_pasid_detach(struct vfio_device *device, uint32_t pasid);

/*
 * For the hot reset of a cdev: the device's id in @ictx; -ENOENT when it has none, but another
 * device of its group is bound to @ictx; -ENODEV when @ictx does not own the group.
 */
int vfio_iommufd_get_dev_id(const struct vfio_device *device, const struct iommufd_ctx *ictx);

#endif
