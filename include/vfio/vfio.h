/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VFIO stack: devices given to guests, or to a program that drives them itself.
 *
 *	struct vfio *vfio = vfio_new(&sys, &vmm);
 *	struct vfio_device_options options = {
 *		.name = "0000:06:0d.0", .backend = VFIO_BACKEND_LEGACY, .group = "7",
 *	};
 *	struct vfio_device *device = vfio_device_attach(vfio, memory, &options, &error);
 *	...
 *	vfio_device_detach(device);
 *	vfio_free(vfio);
 *
 * Attaching a device finds the container for the memory that it may reach, or makes one: it opens
 * what the backend needs, sets it up, maps all of the memory and keeps the maps in step while the
 * memory changes. The last device out takes the container with it. Whatever fails on the way
 * leaves nothing behind.
 *
 * One thread at a time per struct vfio; two of them do not know of each other.
 */
#ifndef VFIO_VFIO_H
#define VFIO_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vfio/error.h>
#include <vfio/memory.h>
#include <vfio/sys.h>
#include <vfio/vmm.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct vfio;
struct vfio_container;
struct vfio_device;

/**
 * Creates the stack.
 *
 * @sys: how to reach the kernel; copied
 * @vmm: what the program does for the stack; copied; NULL for nothing
 *
 * Returns NULL when memory is short. vfio_free() frees it.
 */
struct vfio *vfio_new(const struct vfio_sys *sys, const struct vfio_vmm *vmm);

/** Detaches what is still attached and frees the stack. NULL is allowed. */
void vfio_free(struct vfio *vfio);

/** Which kernel interface a device is reached by. */
enum vfio_backend {
	VFIO_BACKEND_LEGACY,  /**< group and container, type1 (v2 where there is one) */
	VFIO_BACKEND_SPAPR,   /**< group and container, sPAPR TCE (v2 where there is one) */
	VFIO_BACKEND_IOMMUFD, /**< device cdev and iommufd */
	VFIO_BACKEND_USER,    /**< a vfio-user server; no kernel is asked */
};

/** What to attach, and how. Strings are copied. */
struct vfio_device_options {
	/** What VFIO_GROUP_GET_DEVICE_FD takes; unique among the stack's devices. */
	const char *name;
	enum vfio_backend backend;
	/** LEGACY, SPAPR: the node's name in /dev/vfio: "7", "noiommu-0". */
	const char *group;
	/** IOMMUFD: the node's name in /dev/vfio/devices: "vfio0". */
	const char *cdev;
	/** IOMMUFD: an open cdev passed in instead, or 0; the stack owns it from success on. */
	int device_fd;
	/** IOMMUFD: an open /dev/iommu to use, or 0 to share the stack's own; borrowed. */
	int iommufd;
	/** USER: path of the UNIX socket that the server listens on. */
	const char *socket;
	/**
	 * USER: how long one reply of the server may take, in ticks (1 ms on Linux); 0: 5000. A
	 * call that waits longer fails with -ETIMEDOUT.
	 */
	uint32_t timeout_ticks;
	/** LEGACY: insist on type1 version 1. */
	bool type1_v1;
	/** IOMMUFD: ask for a page table that tracks dirty pages where the hardware can. */
	bool dirty_tracking;
	/** The device touches no memory that it was not told of: discarding may stay allowed. */
	bool may_discard;
	/** It is mediated (mdev): its driver pins memory itself. It cannot be handed over to
	 * another process (vfio/cpr.h). */
	bool mediated;
	/** Block migration while it is attached, whatever the device can do. */
	bool unmigratable;
};

/**
 * Attaches a device.
 *
 * @memory: the address space that it may reach; must outlive the device
 *
 * Returns the device, owned by the stack until vfio_device_detach(), or NULL with the reason:
 * -EEXIST for a name in use, -ENODEV, -EBUSY or what else the kernel said, -EINVAL for options
 * that make no sense, -ENOMEM. With VFIO_BACKEND_USER each device has a container of its own, the
 * errnos are the server's, and: -ENOENT or -ECONNREFUSED where nobody listens, -ETIMEDOUT, -EPROTO
 * for a server that does not keep to the protocol, -EPIPE for one that is gone. After -EPIPE or a
 * stream of messages that makes no sense the connection is broken: all that follows fails at once.
 */
struct vfio_device *vfio_device_attach(struct vfio *vfio, struct vfio_memory *memory,
				       const struct vfio_device_options *options,
				       struct vfio_error *error);

/** Detaches a device: interrupts off, descriptors closed, and with the last one of a container all
 * maps. Cannot fail. */
void vfio_device_detach(struct vfio_device *device);

/* ---- what is there ---- */

/** The container of a device; borrowed. */
struct vfio_container *vfio_device_container(const struct vfio_device *device);

/** Facts of a container. */
struct vfio_container_info {
	enum vfio_backend backend;
	uint32_t devices;     /**< attached */
	uint64_t pgsizes;     /**< bit N: 2^N bytes can be mapped */
	uint32_t range_count; /**< IOVAs that can be mapped */
	struct {
		uint64_t start, last;
	} ranges[16];
	uint32_t max_mappings; /**< that the kernel allows, 0 for no limit */
	uint64_t mappings;     /**< made by the stack and alive */
	bool dirty_tracking;   /**< the container itself can report dirty pages */
};

void vfio_container_info(const struct vfio_container *container, struct vfio_container_info *info);

/** The error that a map at run time stored, or 0. It stays until the container goes. */
int vfio_container_error(const struct vfio_container *container);

/* ---- KVM ---- */

/**
 * Tells a KVM VM of the devices: every group or cdev that is open now or later is added to the
 * VM's VFIO device, and deleted before it is closed.
 *
 * @vm_fd: from KVM_CREATE_VM, borrowed; -1 forgets the VM again
 *
 * Returns false with -EBUSY when the VM has a VFIO device already or the stack has another VM, or
 * what the kernel said; then the stack has no VM, or the one that it had. Setting the VM that is
 * set changes nothing.
 */
bool vfio_set_kvm(struct vfio *vfio, int vm_fd, struct vfio_error *error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
