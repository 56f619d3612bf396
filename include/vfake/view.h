/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at the fake kernel from outside, without changing anything: what devices reach, what is
 * mapped for them, what their groups and files are in.
 *
 * No program can call this; it is for tests, which ask the kernel what is so instead of watching
 * how it came about.
 */
#ifndef VFAKE_VIEW_H
#define VFAKE_VIEW_H

#include <vfake/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** Who manages the I/O address space that a device is in. */
enum vfake_manager {
	VFAKE_MANAGER_NONE,
	VFAKE_MANAGER_TYPE1,
	VFAKE_MANAGER_SPAPR,
	VFAKE_MANAGER_NOIOMMU,
	VFAKE_MANAGER_IOMMUFD, /**< also behind a container that iommufd emulates */
};

/** A device, as the kernel has it now. */
struct vfake_device_view {
	uint32_t open_count;	    /**< files of it that are open and in use */
	bool cdev_opened;	    /**< by its own node, not its group's */
	bool group_opened;	    /**< its group's node is open */
	bool in_container;	    /**< its group is in a container or has an iommufd */
	bool translated;	    /**< its DMA goes through an I/O address space */
	enum vfake_manager manager; /**< of that address space */
	uint64_t mappings;	    /**< in that address space; for sPAPR: TCEs that are set */
	bool dirty_tracking;	    /**< that address space notes what devices write */
};

/**
 * Looks at a device.
 *
 * @name: of the device
 * @view: filled
 *
 * Returns 0, or -ENOENT when there is no such device.
 */
int vfake_view_device(const struct vfake_kernel *kernel, const char *name,
		      struct vfake_device_view *view);

/** Whether two devices translate by the same page table. False also when one of them has none. */
bool vfake_view_same_domain(const struct vfake_kernel *kernel, const char *a, const char *b);

/** Where an access of a device would end up. */
struct vfake_target_view {
	vfake_addr vaddr; /**< where the task has that byte in its memory; 0 for nowhere */
	uint64_t len;	  /**< bytes from there on that lie behind each other, at least 1 */
	bool readable;
	bool writable;
};

/**
 * Translates an IOVA for a device as its IOMMU does, without an access.
 *
 * @name:   of the device
 * @task:   in whose memory the target is looked for
 * @target: filled
 *
 * Returns 0, -ENOENT when there is no such device, -EFAULT where its DMA would fault.
 */
int vfake_view_translate(const struct vfake_kernel *kernel, const char *name,
			 const struct vfake_task *task, uint64_t iova,
			 struct vfake_target_view *target);

/** What a descriptor is. */
struct vfake_file_view {
	const char *kind; /**< "container", "group", "device", "iommufd", "kvm-vfio", … static */
	uint32_t references; /**< descriptors, and whoever else holds the file */
	bool in_container;   /**< a group that is in a container or has an iommufd */
	uint32_t devices;    /**< a group: devices of it that are open */
};

/** Looks at a descriptor of a task. Returns 0 or -EBADF. */
int vfake_view_file(const struct vfake_task *task, int fd, struct vfake_file_view *view);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
