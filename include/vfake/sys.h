/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fake kernel behind the seam of the VFIO stack: what vfio_sys_linux() is for the kernel below.
 */
#ifndef VFAKE_SYS_H
#define VFAKE_SYS_H

#include <vfake/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct vfio_sys; /* of vfio/sys.h */

/**
 * Binds *sys to a process of a fake kernel. Addresses are the task's: pointers of this process
 * where the task has host memory, as the stack needs.
 *
 * @sys:  filled; nothing to free
 * @task: must outlive it
 */
void vfake_sys(struct vfio_sys *sys, struct vfake_task *task);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
