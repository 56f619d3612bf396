/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A world, a process in it, and the ledger before: what a test of the fake kernel starts from. The
 * process has host memory, so that an argument is a pointer.
 */
#ifndef SCENARIOS_KERNEL_STEPS_H
#define SCENARIOS_KERNEL_STEPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uapi/kvm.h>
#include <uapi/vfio.h>
#include <uapi/vfio_iommu.h>
#include <vfake/kernel.h>

/* The program's own memory is the process's: an address is a pointer. */
static inline vfake_addr address_of(const void *object)
{
	return (vfake_addr)(uintptr_t)object;
}

static inline long call(struct vfake_task *task, int fd, unsigned long number, void *arg)
{
	return vfake_ioctl(task, fd, (uint32_t)number, address_of(arg));
}

static inline long call_with(struct vfake_task *task, int fd, unsigned long number, uint64_t value)
{
	return vfake_ioctl(task, fd, (uint32_t)number, value);
}

static inline struct vfake_task *new_process(struct vfake_kernel *kernel, bool privileged,
					     uint64_t memlock_bytes)
{
	const struct vfake_task_attr attr = {
		.memlock_bytes = memlock_bytes,
		.cap_ipc_lock = privileged,
		.cap_sys_rawio = privileged,
		.cap_sys_admin = privileged,
		.host_memory = true,
	};
	struct vfake_task *task = vfake_task_new(kernel, &attr);

	assert_non_null(task);
	return task;
}

static inline struct vfake_kernel *start(const struct vfake_world *world)
{
	const char *error = NULL;
	struct vfake_kernel *kernel = vfake_kernel_new(world, &error);

	if (!kernel)
		fail_msg("the world does not start: %s", error);
	return kernel;
}

static inline int open_group(struct vfake_task *task, const struct vfake_kernel *kernel,
			     const char *device)
{
	const struct vfake_device_desc *desc = vfake_device_desc(kernel, device);
	char path[64];

	assert_non_null(desc);
	snprintf(path, sizeof(path), "/dev/vfio/%u", desc->group);
	return vfake_open(task, path);
}

static inline int open_cdev(struct vfake_task *task, const struct vfake_kernel *kernel,
			    const char *device)
{
	const struct vfake_device_desc *desc = vfake_device_desc(kernel, device);
	char path[64];

	assert_non_null(desc);
	snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%u", desc->cdev);
	return vfake_open(task, path);
}

/* Nothing is left of what the processes did, and no WARN was printed. */
static inline void assert_clean(const struct vfake_kernel *kernel)
{
	struct vfake_ledger ledger = vfake_ledger(kernel);

	assert_int_equal(ledger.warnings, 0);
	assert_int_equal(ledger.open_files, 0);
	assert_int_equal(ledger.descriptors, 0);
	assert_int_equal(ledger.pinned_pages, 0);
	assert_int_equal(ledger.locked_pages, 0);
	assert_int_equal(ledger.allocations, 0);
}

static inline void swap(int *a, int *b)
{
	int old = *a;

	*a = *b;
	*b = old;
}

/* The next order of @count numbers; false after the last. Start with 0, 1, 2, … */
static inline bool next_order(int *order, int count)
{
	int i = count - 2, j = count - 1;

	while (i >= 0 && order[i] > order[i + 1])
		i--;
	if (i < 0)
		return false;
	while (order[j] < order[i])
		j--;
	swap(&order[i], &order[j]);
	for (i++, j = count - 1; i < j; i++, j--)
		swap(&order[i], &order[j]);
	return true;
}

#endif
