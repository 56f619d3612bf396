/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making the kernel fail, and watching what it did.
 *
 * Every place where a call of Linux can fail for reasons outside of the caller's sight is a fault
 * point. It has a name made from the table of ioctls, "iommufd/IOAS_MAP/copyout": the kind of file,
 * the row's name without its first prefix, the stage. Calls without a row are "file/open/entry",
 * "file/mmap/alloc" and so on.
 *
 * A hook is asked at each point and says whether to fail and how. Without a hook a point costs one
 * test of a pointer. The kernel knows nothing of who asks; the harness binds the hook to libfiu.
 */
#ifndef VFAKE_FAULT_H
#define VFAKE_FAULT_H

#include <stddef.h>
#include <stdint.h>
#include <vfake/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct uapi_ioctl;

/** Where in a call a fault can strike, in the order in which a call passes them. */
enum vfake_fault_stage {
	VFAKE_FAULT_ENTRY,   /**< before anything is looked at; any errno of the row */
	VFAKE_FAULT_COPYIN,  /**< a copy from the caller's memory: EFAULT */
	VFAKE_FAULT_ALLOC,   /**< an allocation of kernel memory: ENOMEM */
	VFAKE_FAULT_COMMIT,  /**< all is checked and prepared, nothing has changed; any errno */
	VFAKE_FAULT_COPYOUT, /**< a copy to the caller's memory, after the effect: EFAULT */
	VFAKE_FAULT_STAGES
};

/** A fault point. Static data: two points are the same when their addresses are. */
struct vfake_fault_point {
	const char *name;	      /**< "iommufd/IOAS_MAP/copyout" */
	const struct uapi_ioctl *row; /**< NULL for calls without one */
	uint8_t stage;		      /**< enum vfake_fault_stage */
	const int16_t *errnos;	      /**< positive, that a fault here may give; ends with 0. Empty
					   where such a call cannot fail: no hook is asked there */
};

/** One point of each stage for each row, in the table's order, then for each call without a row;
 * `*count` gets their number. Static data. */
const struct vfake_fault_point *vfake_fault_points(size_t *count);

/** Asked each time that a call comes by a point. Returns 0 to go on or the -errno to fail with. */
typedef int (*vfake_fault_hook)(void *ctx, const struct vfake_fault_point *point);

/** Sets the hook of a kernel; NULL takes it away. It must not call into the kernel. */
void vfake_set_fault_hook(struct vfake_kernel *kernel, vfake_fault_hook hook, void *ctx);

/**
 * Asks at a point of a command of the vfio-user protocol, for the server that answers it: ENTRY,
 * where a fault refuses the command, and COPYOUT, "user/DMA_MAP/reply", where it was obeyed and a
 * fault spoils the answer: ECONNRESET is a connection that ends instead of it, ETIMEDOUT is none at
 * all, any other errno is sent.
 *
 * Returns 0 to go on or the -errno to fail with.
 */
int vfake_fault_command(struct vfake_kernel *kernel, uint16_t cmd, enum vfake_fault_stage stage);

/** From now on no call of the task fails, for a server whose failures have points of their own. */
void vfake_spare_task(struct vfake_task *task);

/** One system call of a task that came to its end. All pointers are valid during the hook only. */
struct vfake_event {
	const struct vfake_task *task;
	const char *call;	      /**< "ioctl", "open", "close", "dup", "mmap", "exit", … */
	const struct uapi_ioctl *row; /**< of an ioctl that has one, else NULL */
	int fd;			      /**< the descriptor that it was made on, or -1 */
	const char *path;	      /**< open */
	uint64_t request;	      /**< ioctl: the number */
	uint64_t arg;		      /**< ioctl: the argument as it was given */
	const void *in;	 /**< the row's struct as the handler got it; NULL: never copied in */
	const void *out; /**< the row's struct as the handler left it; NULL: it did not run */
	uint64_t addr;	 /**< mmap (result), munmap, read, write: memory of the task */
	uint64_t len;	 /**< of it, in bytes; memfd: its size; memlock: the limit */
	uint64_t offset; /**< pread, pwrite, mmap of a file */
	long ret;	 /**< what the task got */
	const struct vfake_fault_point *fault; /**< that was made to fail in this call, or NULL */
	const struct vfake_task *to;	       /**< pass_fd: who got the descriptor `ret` */
};

/** Told each call of each task, after it. It must not call what changes the kernel. */
typedef void (*vfake_event_hook)(void *ctx, const struct vfake_event *event);

/** Sets the watcher of a kernel; NULL takes it away. */
void vfake_set_event_hook(struct vfake_kernel *kernel, vfake_event_hook hook, void *ctx);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
