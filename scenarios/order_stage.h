/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two tasks that share every descriptor of a small machine: what the orders of their calls start
 * from.
 */
#ifndef SCENARIOS_ORDER_STAGE_H
#define SCENARIOS_ORDER_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <uapi/iommufd.h>
#include <uapi/kvm.h>
#include <uapi/vfio.h>
#include <vfake/kernel.h>

enum {
	TASKS = 2,
	PAGE = 65536, /* of the larger machine; a multiple of the other's */
};

/* What a story opens. Both tasks hold every descriptor under the same number. */
struct stage {
	struct vfake_kernel *kernel;
	struct vfake_task *task[TASKS]; /* NULL once it has exited */
	int container, group[2], device[2];
	int iommufd, cdev[2];
	int kvm, vm, kvm_device;
	uint32_t devid[2], ioas, hwpt;
	vfake_addr memory[TASKS];
};

/* ---- the world ---- */

static inline long call(struct stage *stage, int who, int fd, uint32_t number, void *arg)
{
	return vfake_ioctl(stage->task[who], fd, number, (uintptr_t)arg);
}

/* Gives the second task the same descriptor. */
static inline int both(struct stage *stage, int fd)
{
	assert_true(fd >= 0);
	assert_int_equal(vfake_pass_fd(stage->task[0], fd, stage->task[1]), fd);
	return fd;
}

static inline int node(struct stage *stage, const char *format, uint32_t number)
{
	char path[64];

	snprintf(path, sizeof(path), format, number);
	return both(stage, vfake_open(stage->task[0], path));
}

static inline void boot(struct stage *stage, const struct vfake_world *world)
{
	struct vfake_task_attr attr = vfake_root;

	*stage = (struct stage){ .container = -1, .iommufd = -1, .vm = -1, .kvm_device = -1 };
	stage->kernel = vfake_kernel_new(world, NULL);
	assert_non_null(stage->kernel);
	attr.host_memory = true; /* a pointer is an address */
	for (int who = 0; who < TASKS; who++) {
		stage->task[who] = vfake_task_new(stage->kernel, &attr);
		assert_non_null(stage->task[who]);
		assert_int_equal(vfake_mmap(stage->task[who], 4 * PAGE,
					    VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0,
					    &stage->memory[who]),
				 0);
	}
}

static inline const struct vfake_device_desc *desc(const struct stage *stage, int number)
{
	return vfake_device_desc(stage->kernel, number ? "d1" : "d0");
}

/* ---- openings ---- */

static inline void open_groups(struct stage *stage, uint64_t driver)
{
	stage->container = both(stage, vfake_open(stage->task[0], "/dev/vfio/vfio"));
	for (int i = 0; i < 2; i++) {
		stage->group[i] = node(stage, "/dev/vfio/%u", desc(stage, i)->group);
		assert_int_equal(call(stage, 0, stage->group[i], VFIO_GROUP_SET_CONTAINER,
				      &stage->container),
				 0);
	}
	assert_int_equal(vfake_ioctl(stage->task[0], stage->container, VFIO_SET_IOMMU, driver), 0);
	stage->device[0] =
		both(stage, (int)call(stage, 0, stage->group[0], VFIO_GROUP_GET_DEVICE_FD,
				      (void *)(uintptr_t)desc(stage, 0)->name));
}

static inline void map_type1(struct stage *stage)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = VFIO_DMA_MAP_FLAG_READ,
						.vaddr = stage->memory[0],
						.iova = 0x10000,
						.size = PAGE };

	assert_int_equal(call(stage, 0, stage->container, VFIO_IOMMU_MAP_DMA, &map), 0);
}

static inline void open_type1(struct stage *stage)
{
	open_groups(stage, VFIO_TYPE1v2_IOMMU);
	map_type1(stage);
}

static inline void open_spapr(struct stage *stage)
{
	struct vfio_iommu_spapr_register_memory memory = { .argsz = sizeof(memory), .size = PAGE };

	open_groups(stage, VFIO_SPAPR_TCE_v2_IOMMU);
	memory.vaddr = stage->memory[0];
	assert_int_equal(
		call(stage, 0, stage->container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &memory), 0);
	map_type1(stage);
}

static inline void open_iommufd(struct stage *stage)
{
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct iommu_ioas_map map = { .size = sizeof(map),
				      .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE,
				      .length = PAGE,
				      .iova = 0x10000 };

	stage->iommufd = both(stage, vfake_open(stage->task[0], "/dev/iommu"));
	assert_int_equal(call(stage, 0, stage->iommufd, IOMMU_IOAS_ALLOC, &ioas), 0);
	stage->ioas = map.ioas_id = ioas.out_ioas_id;
	map.user_va = stage->memory[0];
	assert_int_equal(call(stage, 0, stage->iommufd, IOMMU_IOAS_MAP, &map), 0);
}

static inline void open_cdevs(struct stage *stage)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct iommu_hwpt_alloc hwpt = { .size = sizeof(hwpt) };

	open_iommufd(stage);
	bind.iommufd = stage->iommufd;
	for (int i = 0; i < 2; i++) {
		stage->cdev[i] = node(stage, "/dev/vfio/devices/vfio%u", desc(stage, i)->cdev);
		assert_int_equal(call(stage, 0, stage->cdev[i], VFIO_DEVICE_BIND_IOMMUFD, &bind),
				 0);
		stage->devid[i] = bind.out_devid;
	}
	hwpt.dev_id = stage->devid[0];
	hwpt.pt_id = stage->ioas;
	assert_int_equal(call(stage, 0, stage->iommufd, IOMMU_HWPT_ALLOC, &hwpt), 0);
	stage->hwpt = hwpt.out_hwpt_id;
}

static inline void open_unbound(struct stage *stage)
{
	open_iommufd(stage);
	stage->group[0] = node(stage, "/dev/vfio/%u", desc(stage, 0)->group);
	stage->container = stage->iommufd;
	stage->cdev[1] = node(stage, "/dev/vfio/devices/vfio%u", desc(stage, 1)->cdev);
}

static inline void open_kvm(struct stage *stage)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };

	stage->kvm = both(stage, vfake_open(stage->task[0], "/dev/kvm"));
	stage->vm = both(stage, (int)vfake_ioctl(stage->task[0], stage->kvm, KVM_CREATE_VM, 0));
	assert_int_equal(call(stage, 0, stage->vm, KVM_CREATE_DEVICE, &device), 0);
	stage->kvm_device = both(stage, (int)device.fd);
}

static inline void open_type1_kvm(struct stage *stage)
{
	open_type1(stage);
	open_kvm(stage);
}

static inline void open_cdevs_kvm(struct stage *stage)
{
	open_cdevs(stage);
	open_kvm(stage);
}

#endif
