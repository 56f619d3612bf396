/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel, a task and short names for the calls of iommufd, for the tests about it. Each call
 * gives what ioctl(2) would: 0 or more, or -errno.
 */
#ifndef SCENARIOS_IOMMUFD_RIG_H
#define SCENARIOS_IOMMUFD_RIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <uapi/iommufd.h>
#include <uapi/vfio.h>
#include <vfake/kernel.h>
#include <vfake/world.h>

#include "vfio.h"

enum {
	PAGE = 4096,
	FIXED_RW = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE,
	ANY_RW = IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE,
};

struct rig {
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	int iommufd;
	vfake_addr memory; /* 4 MiB of the task, at an address whose lowest bit is bit 30 */
	struct vfake_ledger before;
};

static inline struct vfake_task_attr rig_attr(bool may_lock)
{
	struct vfake_task_attr attr = vfake_root;

	attr.host_memory = true;
	attr.cap_ipc_lock = may_lock;
	return attr;
}

static inline void rig_start(struct rig *rig, const struct vfake_world *world, bool may_lock)
{
	struct vfake_task_attr attr = rig_attr(may_lock);
	const char *error = NULL;

	rig->kernel = vfake_kernel_new(world, &error);
	if (!rig->kernel)
		fail_msg("no kernel: %s", error);
	rig->task = vfake_task_new(rig->kernel, &attr);
	assert_non_null(rig->task);
	assert_int_equal(vfake_mmap(rig->task, 4 << 20, VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0,
				    &rig->memory),
			 0);
	rig->before = vfake_ledger(rig->kernel);
	rig->iommufd = vfake_open(rig->task, "/dev/iommu");
	assert_true(rig->iommufd >= 0);
}

static inline void assert_ledger(const struct rig *rig)
{
	struct vfake_ledger now = vfake_ledger(rig->kernel);

	assert_int_equal(now.open_files, rig->before.open_files);
	assert_int_equal(now.descriptors, rig->before.descriptors);
	assert_int_equal(now.allocations, rig->before.allocations);
	assert_int_equal(now.pinned_pages, 0);
	assert_int_equal(now.locked_pages, 0);
	assert_int_equal(now.warnings, 0);
}

/* Closes the iommufd; all that was opened besides must be closed by then. */
static inline void rig_end(struct rig *rig)
{
	assert_int_equal(vfake_close(rig->task, rig->iommufd), 0);
	assert_ledger(rig);
	vfake_kernel_free(rig->kernel);
}

static inline long call_on(const struct rig *rig, int fd, uint32_t number, void *arg)
{
	return vfake_ioctl(rig->task, fd, number, (uintptr_t)arg);
}

static inline uint32_t ioas_alloc(const struct rig *rig)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };

	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_IOAS_ALLOC, &arg), 0);
	return arg.out_ioas_id;
}

static inline long destroy(const struct rig *rig, uint32_t id)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = id };

	return call_on(rig, rig->iommufd, IOMMU_DESTROY, &arg);
}

static inline long map_to(const struct rig *rig, uint32_t ioas, uint32_t flags, uint64_t va,
			  uint64_t length, uint64_t *iova)
{
	struct iommu_ioas_map arg = { .size = sizeof(arg),
				      .flags = flags,
				      .ioas_id = ioas,
				      .user_va = va,
				      .length = length,
				      .iova = *iova };
	long ret = call_on(rig, rig->iommufd, IOMMU_IOAS_MAP, &arg);

	*iova = arg.iova;
	return ret;
}

/* Maps the task's memory at @offset to a fixed IOVA, for reading and writing. */
static inline long map(const struct rig *rig, uint32_t ioas, uint64_t offset, uint64_t length,
		       uint64_t iova)
{
	return map_to(rig, ioas, FIXED_RW, rig->memory + offset, length, &iova);
}

static inline long copy(const struct rig *rig, uint32_t to, uint64_t dst_iova, uint32_t from,
			uint64_t src_iova, uint64_t length, uint32_t flags)
{
	struct iommu_ioas_copy arg = { .size = sizeof(arg),
				       .flags = flags,
				       .dst_ioas_id = to,
				       .src_ioas_id = from,
				       .length = length,
				       .dst_iova = dst_iova,
				       .src_iova = src_iova };

	return call_on(rig, rig->iommufd, IOMMU_IOAS_COPY, &arg);
}

/* Bytes unmapped, or -errno. */
static inline long unmap(const struct rig *rig, uint32_t ioas, uint64_t iova, uint64_t length)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = ioas, .iova = iova, .length = length
	};
	long ret = call_on(rig, rig->iommufd, IOMMU_IOAS_UNMAP, &arg);

	return ret ? ret : (long)arg.length;
}

static inline long option(const struct rig *rig, uint32_t id, uint16_t op, uint32_t object,
			  uint64_t *value)
{
	struct iommu_option arg = {
		.size = sizeof(arg), .option_id = id, .op = op, .object_id = object, .val64 = *value
	};
	long ret = call_on(rig, rig->iommufd, IOMMU_OPTION, &arg);

	*value = arg.val64;
	return ret;
}

static inline long allow(const struct rig *rig, uint32_t ioas,
			 const struct iommu_iova_range *ranges, uint32_t count)
{
	struct iommu_ioas_allow_iovas arg = { .size = sizeof(arg),
					      .ioas_id = ioas,
					      .num_iovas = count,
					      .allowed_iovas = (uintptr_t)ranges };

	return call_on(rig, rig->iommufd, IOMMU_IOAS_ALLOW_IOVAS, &arg);
}

/* Number of ranges, or -errno; *count is what came back in either case. */
static inline long iova_ranges(const struct rig *rig, uint32_t ioas,
			       struct iommu_iova_range *ranges, uint32_t *count)
{
	struct iommu_ioas_iova_ranges arg = { .size = sizeof(arg),
					      .ioas_id = ioas,
					      .num_iovas = *count,
					      .allowed_iovas = (uintptr_t)ranges };
	long ret = call_on(rig, rig->iommufd, IOMMU_IOAS_IOVA_RANGES, &arg);

	*count = arg.num_iovas;
	return ret ? ret : (long)arg.num_iovas;
}

static inline long compat_ioas(const struct rig *rig, uint16_t op, uint32_t *id)
{
	struct iommu_vfio_ioas arg = { .size = sizeof(arg), .ioas_id = *id, .op = op };
	long ret = call_on(rig, rig->iommufd, IOMMU_VFIO_IOAS, &arg);

	*id = arg.ioas_id;
	return ret;
}

/* ---- devices ---- */

static inline struct vfake_world three_devices(void)
{
	struct vfake_world world;

	vfake_world_x86(&world);
	assert_int_equal(vfake_world_add_device(&world, "d0", "edu"), 0);
	assert_int_equal(vfake_world_add_device(&world, "d1", "e1000e"), 0);
	assert_int_equal(vfake_world_add_device(&world, "d2", "plain"), 0);
	return world;
}

static inline uint64_t pinned(const struct rig *rig)
{
	return vfake_ledger(rig->kernel).pinned_pages;
}

static inline uint64_t locked(const struct rig *rig)
{
	return vfake_ledger(rig->kernel).locked_pages;
}

/* Opens the cdev of number @n. */
static inline int open_cdev(const struct rig *rig, const char *name)
{
	const struct vfake_device_desc *desc = vfake_device_desc(rig->kernel, name);
	char path[] = "/dev/vfio/devices/vfio..";

	assert_non_null(desc);
	assert_true(desc->cdev < 100);
	path[sizeof(path) - 3] = (char)('0' + (desc->cdev < 10 ? desc->cdev : desc->cdev / 10));
	path[sizeof(path) - 2] = desc->cdev < 10 ? '\0' : (char)('0' + desc->cdev % 10);
	return vfake_open(rig->task, path);
}

static inline long bind_device(const struct rig *rig, int device, uint32_t *id)
{
	struct vfio_device_bind_iommufd arg = { .argsz = sizeof(arg), .iommufd = rig->iommufd };
	long ret = call_on(rig, device, VFIO_DEVICE_BIND_IOMMUFD, &arg);

	*id = arg.out_devid;
	return ret;
}

static inline int bound_device(const struct rig *rig, const char *name, uint32_t *id)
{
	int device = open_cdev(rig, name);

	assert_true(device >= 0);
	assert_int_equal(bind_device(rig, device, id), 0);
	return device;
}

static inline long attach(const struct rig *rig, int device, uint32_t *pt)
{
	struct vfio_device_attach_iommufd_pt arg = { .argsz = sizeof(arg), .pt_id = *pt };
	long ret = call_on(rig, device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);

	*pt = arg.pt_id;
	return ret;
}

static inline long attach_pasid(const struct rig *rig, int device, uint32_t pasid, uint32_t *pt)
{
	struct vfio_device_attach_iommufd_pt arg = { .argsz = sizeof(arg),
						     .flags = VFIO_DEVICE_ATTACH_PASID,
						     .pt_id = *pt,
						     .pasid = pasid };
	long ret = call_on(rig, device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);

	*pt = arg.pt_id;
	return ret;
}

static inline long detach(const struct rig *rig, int device)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = sizeof(arg) };

	return call_on(rig, device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

static inline long hwpt_alloc(const struct rig *rig, uint32_t device, uint32_t pt, uint32_t flags,
			      uint32_t *id)
{
	struct iommu_hwpt_alloc arg = {
		.size = sizeof(arg), .flags = flags, .dev_id = device, .pt_id = pt
	};
	long ret = call_on(rig, rig->iommufd, IOMMU_HWPT_ALLOC, &arg);

	*id = arg.out_hwpt_id;
	return ret;
}

/* For cmocka: ends the rig that setup made. */
static inline int rig_teardown(void **state)
{
	rig_end(*state);
	return 0;
}

/* DMA of a device, as its hardware would: 0 or -EFAULT. */
static inline int rig_dma(const struct rig *rig, const char *name, uint64_t iova, void *bytes,
			  uint64_t len, bool write)
{
	struct vfio_device *device;

	LIST_FOREACH(device, &rig->kernel->devices, entry)
	{
		if (!strcmp(device->desc->name, name))
			return vfio_device_dma(device, iova, bytes, len, write);
	}
	return -ENODEV;
}

#endif
