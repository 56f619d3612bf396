/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking into the TCE tables and the registered memory of a POWER world.
 *
 * Programs use containers by vfake_ioctl(). What is here no program can see: it is for tests and
 * for people.
 */
#ifndef VFAKE_SPAPR_H
#define VFAKE_SPAPR_H

#include <vfake/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** A DMA window of a container. */
struct vfake_spapr_window {
	uint64_t start; /**< bus address */
	uint32_t page_shift;
	uint32_t levels;
	uint64_t entries;	    /**< TCEs that the hardware reads */
	uint64_t entries_per_level; /**< of each level of the table */
	uint32_t levels_present;    /**< levels that exist by now, the first one included */
	uint64_t charged_bytes;	    /**< of table and copy, as charged to RLIMIT_MEMLOCK */
};

/**
 * Looks at a window.
 *
 * @task:         whose descriptor @container_fd is
 * @container_fd: a container with an sPAPR driver
 * @number:       0 or 1
 * @window:       filled
 *
 * Returns 0, -EBADF for a descriptor that is not open, -EINVAL for one that is no such container,
 * -ENOENT when there is no window of that number.
 */
int vfake_spapr_window(struct vfake_task *task, int container_fd, int number,
		       struct vfake_spapr_window *window);

/**
 * Reads the TCE of an address, as its eight bytes lie in memory: big-endian, bits 0 and 1 are the
 * permissions to read and to write, the rest is a physical address.
 *
 * @iova: bus address
 * @tce:  gets eight bytes
 *
 * Returns 0, -ENOENT when no window holds the address, -ENODATA when the table has no level there
 * yet, -EBADF and -EINVAL as above.
 */
int vfake_spapr_tce(struct vfake_task *task, int container_fd, uint64_t iova, void *tce);

/** Memory that a process registered for its v2 containers. */
struct vfake_spapr_region {
	uint64_t vaddr;
	uint64_t size_bytes;
	uint64_t registrations; /**< containers that hold it */
	uint64_t tces;		/**< TCEs that point into it */
};

/**
 * Looks at a region of a process, newest first.
 *
 * Returns 0, or -ENOENT when there are not that many.
 */
int vfake_spapr_region(struct vfake_task *task, uint32_t index, struct vfake_spapr_region *region);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
