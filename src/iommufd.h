/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the backend iommufd share: iommufd.c, iommufd_dirty.c and, for
 * live update, iommufd_cpr.c.
 */
#ifndef SRC_IOMMUFD_H
#define SRC_IOMMUFD_H

#include "stack.h"

/* An open /dev/iommu. */
struct vfio_iommufd {
	TAILQ_ENTRY(vfio_iommufd) entry;
	struct vfio *vfio;
	int fd;
	bool ours; /* opened here, and closed here */
	uint32_t users;
	struct vfio_cpr_shared cpr;
};

/* A page table of a container that tracks dirty pages. */
struct vfio_hwpt {
	LIST_ENTRY(vfio_hwpt) entry;
	uint32_t id;
	uint32_t users;
};

struct iommufd_container {
	struct vfio_iommufd *iommufd;
	uint32_t ioas_id;
	LIST_HEAD(, vfio_hwpt) hwpts;
	bool no_map_file; /* the kernel does not know IOMMU_IOAS_MAP_FILE */
};

/* iommufd_dirty.c; the last three are of struct vfio_backend_ops. */
int vfio_iommufd_set_tracking(struct vfio_container *container, const struct vfio_hwpt *hwpt,
			      bool on);
int vfio_iommufd_dirty_read(struct vfio_container *container, uint64_t iova, uint64_t size,
			    const struct vfio_dirty *dirty);
int vfio_iommufd_dirty_start(struct vfio_container *container);
void vfio_iommufd_dirty_stop(struct vfio_container *container);

/*
 * iommufd_cpr.c: the same as the functions of iommufd.c that end alike, for a device that is taken
 * over from another process: the kernel is told nothing.
 */
/* The one that the state names, if the stack has it already. */
struct vfio_iommufd *vfio_iommufd_cpr_find(const struct vfio_device *device);
/* A descriptor for it: what was kept, or what the program passes. -errno with the error. */
int vfio_iommufd_cpr_open(const struct vfio_device *device, struct vfio_error *error);
/* A descriptor of the device, which is bound. -errno with the error. */
int vfio_iommufd_cpr_claim(struct vfio_device *device, struct vfio_error *error);
/* What the state says of the container. */
void vfio_iommufd_cpr_set_up(struct vfio_container *container);
/* The device is attached; its page table is counted. 0 or -ENOMEM. */
int vfio_iommufd_cpr_attach(struct vfio_container *container, struct vfio_device *device);

extern const struct vfio_cpr_ops vfio_iommufd_cpr_ops;

#endif
