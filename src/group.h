/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the backends legacy and spapr share: group.c.
 */
#ifndef SRC_GROUP_H
#define SRC_GROUP_H

#include "stack.h"

/* An open /dev/vfio/vfio: the first member of the state of a container that has one. */
struct vfio_container_file {
	int fd;
	uint32_t type; /* the VFIO_*_IOMMU that is set */
};

/* An ioctl whose only good answer is 0: 0, or the code for vfio_fail(). */
int vfio_ioctl_done(struct vfio *vfio, int fd, uint32_t request, void *arg);
/* The same on the container's file. */
int vfio_file_ioctl(struct vfio_container *container, uint32_t request, void *arg);

/*
 * Makes the container's state of @size bytes, opens its file and puts the group of the first device
 * in: then a type can be chosen. Undone by vfio_file_close(). On failure nothing is left, and
 * container->state is NULL.
 */
bool vfio_file_open(struct vfio_container *container, size_t size, struct vfio_device *first,
		    struct vfio_error *error);
/* Takes every group out, closes the file, frees the state. */
void vfio_file_close(struct vfio_container *container);

/* Whether the container's file has an extension, or its kernel an IOMMU type: more than 0, or 0, or
 * -errno. */
int vfio_file_has(struct vfio_container *container, uint32_t extension);
/* VFIO_SET_IOMMU. 0, or the code for vfio_fail(). */
int vfio_file_set_type(struct vfio_container *container, uint32_t type);

/*
 * Puts the group of a device into the container, where it is not in yet: *fits. A kernel that
 * refuses it leaves that false. False only when KVM refuses the group, which ends the search.
 */
bool vfio_file_join(struct vfio_container *container, struct vfio_device *device, bool *fits,
		    struct vfio_error *error);
/* The device leaves, and with the last one its group. */
void vfio_file_leave(struct vfio_container *container, struct vfio_device *device);

/* VFIO_IOMMU_MAP_DMA and VFIO_IOMMU_UNMAP_DMA; *done (NULL is allowed) gets the bytes unmapped. */
int vfio_file_map(struct vfio_container *container, const struct vfio_map *map);
int vfio_file_unmap(struct vfio_container *container, uint32_t flags, uint64_t iova, uint64_t size,
		    uint64_t *done);

/* Of struct vfio_backend_ops. */
bool vfio_group_device_open(struct vfio_device *device, struct vfio_error *error);
void vfio_group_device_close(struct vfio_device *device);

#endif
