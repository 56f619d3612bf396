/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bridges between a fake kernel and the program around it: memory and events of the one as files of
 * the other.
 *
 * They are for a program that serves a fake device to real processes: what these pass to it are
 * descriptors of the kernel below.
 */
#ifndef VFAKE_BRIDGE_H
#define VFAKE_BRIDGE_H

#include <stdint.h>
#include <vfake/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** Memory that is not the fake kernel's own. Copied; @ctx must live until release() was called. */
struct vfake_memory {
	uint64_t size_bytes; /**< a multiple of the world's page size */
	void *bytes; /**< of this program, or NULL: far memory, reached by the calls below */
	/**
	 * A device reads or writes far memory. 0; -EAGAIN when the answer is not there yet: the
	 * device asks for the same bytes again in its next tick; another -errno is a fault.
	 */
	int (*read)(void *ctx, uint64_t offset, void *bytes, uint64_t len);
	int (*write)(void *ctx, uint64_t offset, const void *bytes, uint64_t len);
	void (*release)(void *ctx); /**< nobody holds the memory any more; may be NULL */
	void *ctx;
};

/**
 * A file of that memory, which iommufd maps like a memfd (IOMMU_IOAS_MAP_FILE). A task without host
 * memory can also vfake_mmap() it, unless it is far.
 *
 * Returns a descriptor, -EINVAL for a size of 0 or of broken pages, -EMFILE, -ENOMEM. On failure
 * release() is not called.
 */
int vfake_memory_fd(struct vfake_task *task, const struct vfake_memory *memory);

/**
 * A file of memory that the task has mapped, for others to map: a part of a BAR.
 *
 * @addr: of one mapping that holds all @len bytes, both multiples of the page size
 *
 * Returns a descriptor, -EINVAL, -EFAULT where that is not mapped, -EMFILE, -ENOMEM.
 */
int vfake_share_fd(struct vfake_task *task, vfake_addr addr, uint64_t len);

/**
 * The file of the kernel below that holds the bytes of a vfake_share_fd(). They are there once a
 * task with host memory has them mapped.
 *
 * @offset: gets the place of the first byte in it
 *
 * Returns a descriptor of this program, which the caller closes, -EBADF, -EINVAL for another file,
 * -ENODEV when the bytes are in no file, or -errno of dup(2).
 */
int vfake_host_fd(struct vfake_task *task, int fd, uint64_t *offset);

/**
 * An eventfd that tells the program around the kernel.
 *
 * @signalled: called with each signal, whose count is taken
 * @closed:    called when the last descriptor goes; @ctx is not used any more. May be NULL.
 *
 * Returns a descriptor, -EMFILE or -ENOMEM. On failure closed() is not called.
 */
int vfake_bridge_eventfd(struct vfake_task *task, void (*signalled)(void *ctx),
			 void (*closed)(void *ctx), void *ctx);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
