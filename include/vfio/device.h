/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An attached device: regions, interrupts, reset, migration.
 */
#ifndef VFIO_DEVICE_H
#define VFIO_DEVICE_H

#include <vfio/vfio.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** Facts of a device. Strings live as long as it. */
struct vfio_device_facts {
	const char *name;
	bool resets; /**< VFIO_DEVICE_RESET works */
	bool is_pci;
	uint32_t regions; /**< region indexes are below it */
	uint32_t irqs;	  /**< interrupt indexes are below it */
	/**
	 * The device's descriptor, borrowed. Of VFIO_BACKEND_USER the socket: it can be read when
	 * the server asks for something, which is then vfio_device_poll()'s to answer.
	 */
	int fd;
};

void vfio_device_facts(const struct vfio_device *device, struct vfio_device_facts *info);

/* ---- regions ---- */

/** A piece of a region that can be mapped. */
struct vfio_mmap_area {
	uint64_t offset; /**< in the region */
	uint64_t size;
};

struct vfio_region {
	uint32_t index;
	bool readable;
	bool writable;
	bool mappable;
	uint64_t size;	 /**< bytes; 0 for a region that is not there */
	uint64_t offset; /**< in the device's file */
	uint32_t area_count;
	struct vfio_mmap_area
		areas[16]; /**< what may be mapped; the whole region where the kernel names none */
	uint32_t type;	   /**< vendor or type of a device-specific region, 0 for a standard one */
	uint32_t subtype;
};

/** Describes a region. False with -EINVAL for an index that the device does not have. */
bool vfio_device_region(struct vfio_device *device, uint32_t index, struct vfio_region *region,
			struct vfio_error *error);

/** Finds the device-specific region of a type; false with -ENODEV. */
bool vfio_device_region_by_type(struct vfio_device *device, uint32_t type, uint32_t subtype,
				struct vfio_region *region, struct vfio_error *error);

/**
 * Reads or writes @len bytes at @offset of a region. All of them or failure: -EINVAL outside of
 * the region, -EIO or what the kernel said.
 */
bool vfio_device_read(struct vfio_device *device, uint32_t region, uint64_t offset, void *bytes,
		      size_t len, struct vfio_error *error);
bool vfio_device_write(struct vfio_device *device, uint32_t region, uint64_t offset,
		       const void *bytes, size_t len, struct vfio_error *error);

/**
 * The same for a write that nobody waits for: it may be done after the call, in the order of the
 * posted ones and before whatever else is asked of the device after it. Only VFIO_BACKEND_USER
 * makes use of that; the others write at once. A failure that shows later is told by
 * vfio_device_flush() where the server tells it, and nowhere else.
 */
bool vfio_device_post(struct vfio_device *device, uint32_t region, uint64_t offset,
		      const void *bytes, size_t len, struct vfio_error *error);
/** Waits until the posted writes are done. False with what one of them said. */
bool vfio_device_flush(struct vfio_device *device, struct vfio_error *error);

/**
 * Maps area @area of a region. The mapping ends with vfio_device_unmap_area() or the device.
 *
 * @addr: gets its address in the process
 */
bool vfio_device_map_area(struct vfio_device *device, uint32_t region, uint32_t area,
			  uint64_t *addr, struct vfio_error *error);
void vfio_device_unmap_area(struct vfio_device *device, uint64_t addr);

/* ---- interrupts ---- */

struct vfio_irq {
	uint32_t index;
	uint32_t count;
	bool eventfd; /**< can signal eventfds */
	bool maskable;
	bool automasked; /**< masked by the kernel with each interrupt */
	bool noresize;	 /**< the whole set must be set up at once */
};

bool vfio_device_irq(struct vfio_device *device, uint32_t index, struct vfio_irq *irq,
		     struct vfio_error *error);

/**
 * Sets up vectors [start, start + count) of an interrupt index to signal eventfds; -1 in
 * @eventfds leaves one silent. The descriptors are borrowed for the call. The stack remembers
 * what is set up and takes it down when the device goes.
 */
bool vfio_device_irq_enable(struct vfio_device *device, uint32_t index, uint32_t start,
			    uint32_t count, const int *eventfds, struct vfio_error *error);
/** Takes an interrupt index down. Nothing happens when it is not set up. */
void vfio_device_irq_disable(struct vfio_device *device, uint32_t index);
bool vfio_device_irq_mask(struct vfio_device *device, uint32_t index, bool mask,
			  struct vfio_error *error);
/** Makes the kernel signal one vector, as if the device had. */
bool vfio_device_irq_trigger(struct vfio_device *device, uint32_t index, uint32_t vector,
			     struct vfio_error *error);

/**
 * Asks the kernel's notifications: a device that failed (ERR) or is wanted back (REQ) is told to
 * the VMM. The stack sets both up when a device is attached, where the device has them.
 *
 * With VFIO_BACKEND_USER the server's requests for guest memory are served as well (they are in
 * every call that waits for the server), and a connection that is broken is a device that failed.
 */
void vfio_device_poll(struct vfio_device *device);

/* ---- reset ---- */

/** Function-level reset. False with -ENOTTY where the device has none. */
bool vfio_device_reset(struct vfio_device *device, struct vfio_error *error);

/**
 * Resets the slot or bus. Every device that it takes down must be one of the stack's, by group or
 * by iommufd; otherwise false with -EPERM and the name of the first that is not.
 */
bool vfio_device_hot_reset(struct vfio_device *device, struct vfio_error *error);

/* ---- migration ---- */

/** VFIO_DEVICE_STATE_* of the uapi. */
enum vfio_mig_state {
	VFIO_MIG_ERROR,
	VFIO_MIG_STOP,
	VFIO_MIG_RUNNING,
	VFIO_MIG_STOP_COPY,
	VFIO_MIG_RESUMING,
	VFIO_MIG_RUNNING_P2P,
	VFIO_MIG_PRE_COPY,
	VFIO_MIG_PRE_COPY_P2P,
};

/** What a device can do for migration; all false for a device that cannot migrate, which is
 * blocked. */
struct vfio_migration_info {
	bool stop_copy;
	bool p2p;
	bool pre_copy;
	bool dma_logging;
};

void vfio_device_migration_info(const struct vfio_device *device, struct vfio_migration_info *info);

/** The state now. */
bool vfio_device_mig_state(struct vfio_device *device, enum vfio_mig_state *state,
			   struct vfio_error *error);

/**
 * Goes to @state. When that fails the device is brought to @recover, and if that fails too,
 * reset: false with the first reason. A data descriptor that comes with the state is kept for
 * vfio_device_mig_read() and _write().
 */
bool vfio_device_mig_set_state(struct vfio_device *device, enum vfio_mig_state state,
			       enum vfio_mig_state recover, struct vfio_error *error);

/** Reads the stream of a device that is saved: *got 0 is its end. */
bool vfio_device_mig_read(struct vfio_device *device, void *bytes, size_t len, size_t *got,
			  struct vfio_error *error);
bool vfio_device_mig_write(struct vfio_device *device, const void *bytes, size_t len,
			   struct vfio_error *error);

/** Bytes of the stream, an estimate. */
bool vfio_device_mig_size(struct vfio_device *device, uint64_t *bytes, struct vfio_error *error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
