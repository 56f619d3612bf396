/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the core reaches a device: one table of small operations, with one implementation for
 * descriptors (device_io.c: ioctl, pread, mmap) and one for messages (user_device.c). What is asked
 * and what an answer means is above the table, in device.c, irq.c, reset.c and migration.c, once.
 *
 * Functions return 0 or -errno, those of type long a count that may be more than 0. Structs are the
 * uapi's. Answers are not to be trusted.
 */
#ifndef SRC_DEVICE_IO_H
#define SRC_DEVICE_IO_H

#include <uapi/vfio.h>

#include "stack.h"

struct vfio_device_io {
	/* VFIO_DEVICE_GET_INFO */
	int (*info)(struct vfio_device *device, struct vfio_device_info *info);
	/*
	 * VFIO_DEVICE_GET_REGION_INFO: @info has room for info->argsz bytes, and argsz becomes what
	 * would be needed.
	 */
	int (*region_info)(struct vfio_device *device, struct vfio_region_info *info);
	/* Bytes of a region, all of them inside of it: how many were moved, or -errno. */
	long (*read)(struct vfio_device *device, const struct vfio_region *region, uint64_t offset,
		     void *bytes, size_t len);
	long (*write)(struct vfio_device *device, const struct vfio_region *region, uint64_t offset,
		      const void *bytes, size_t len);
	/*
	 * A write that need not be done when it returns; NULL: write() is used. flush() waits for
	 * all of them, and says what the first one that failed said, where that is known.
	 */
	long (*post)(struct vfio_device *device, const struct vfio_region *region, uint64_t offset,
		     const void *bytes, size_t len);
	int (*flush)(struct vfio_device *device);
	/* Maps an area of a region into the process. */
	int (*map)(struct vfio_device *device, const struct vfio_region *region,
		   const struct vfio_mmap_area *area, int prot, uint64_t *addr);

	/* VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_SET_IRQS */
	int (*irq_info)(struct vfio_device *device, struct vfio_irq_info *info);
	long (*set_irqs)(struct vfio_device *device, const struct vfio_irq_set *set);

	/* VFIO_DEVICE_RESET; the two of hot resets are NULL where there is no such thing */
	int (*reset)(struct vfio_device *device);
	int (*hot_reset_info)(struct vfio_device *device, struct vfio_pci_hot_reset_info *info);
	int (*hot_reset)(struct vfio_device *device, const struct vfio_pci_hot_reset *reset);

	/* VFIO_DEVICE_FEATURE with a payload of @size bytes, in and out; no pointers in it. */
	int (*feature)(struct vfio_device *device, uint32_t flags, void *payload, size_t size);
	/* DMA logging: the features whose payload does not have one size. */
	int (*log_start)(struct vfio_device *device, const struct vfio_range *ranges,
			 uint32_t count, uint64_t pgsize);
	int (*log_read)(struct vfio_device *device, uint64_t iova, uint64_t size,
			const struct vfio_dirty *dirty);

	/* The stream of the device's state: bytes moved, or -errno. */
	long (*mig_read)(struct vfio_device *device, void *bytes, size_t len);
	long (*mig_write)(struct vfio_device *device, const void *bytes, size_t len);

	/* Does what the device's side asks for; NULL: nothing can be asked. */
	void (*poll)(struct vfio_device *device);
};

/* Devices with a descriptor of the kernel's. */
extern const struct vfio_device_io vfio_descriptor_io;

/* The most that the core asks a feature for, beside the two of DMA logging. */
enum { VFIO_FEATURE_MAX_BYTES = 64 };

#endif
