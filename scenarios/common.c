/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common.h"
#include "kernel.h"

const struct vfake_task_attr root_here = {
	.memlock_bytes = UINT64_MAX,
	.cap_ipc_lock = true,
	.cap_sys_rawio = true,
	.cap_sys_admin = true,
	.host_memory = true,
};

void world_with_three(struct vfake_world *world)
{
	vfake_world_x86(world);
	assert_int_equal(vfake_world_add_device(world, "d0", "edu"), 0);
	assert_int_equal(vfake_world_add_device(world, "d1", "e1000e"), 0);
	assert_int_equal(vfake_world_add_device(world, "d2", "plain"), 0);
}

void assert_same_ledger(struct vfake_ledger got, struct vfake_ledger want)
{
	assert_int_equal(got.open_files, want.open_files);
	assert_int_equal(got.descriptors, want.descriptors);
	assert_int_equal(got.allocations, want.allocations);
	assert_int_equal(got.pinned_pages, want.pinned_pages);
	assert_int_equal(got.locked_pages, want.locked_pages);
	assert_int_equal(got.warnings, want.warnings);
}

void rig_boot(struct rig *rig, const struct vfake_world *world, const struct vfake_task_attr *attr)
{
	const char *error;

	rig->kernel = vfake_kernel_new(world, &error);
	if (!rig->kernel)
		fail_msg("the world does not start: %s", error);
	assert_null(error);
	assert_same_ledger(vfake_ledger(rig->kernel), (struct vfake_ledger){ 0 });
	rig->task = vfake_task_new(rig->kernel, attr);
	assert_non_null(rig->task);
	rig->start = vfake_ledger(rig->kernel);
}

void rig_boot_default(struct rig *rig)
{
	struct vfake_world world;

	world_with_three(&world);
	rig_boot(rig, &world, &root_here);
}

void rig_assert_settled(const struct rig *rig)
{
	assert_same_ledger(vfake_ledger(rig->kernel), rig->start);
}

void rig_end(struct rig *rig)
{
	struct vfake_ledger nothing = { 0 };

	vfake_task_exit(rig->task);
	assert_same_ledger(vfake_ledger(rig->kernel), nothing);
	vfake_kernel_free(rig->kernel);
}

vfake_addr map_memory(struct vfake_task *task, uint64_t len)
{
	vfake_addr addr = 0;

	assert_int_equal(vfake_mmap(task, len, VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0, &addr),
			 0);
	return addr;
}

vfake_addr map_memory_at(struct vfake_task *task, vfake_addr addr, uint64_t len, int prot)
{
	vfake_addr got = 0;

	task->mm->next_addr = addr;
	assert_int_equal(vfake_mmap(task, len, prot, -1, 0, &got), 0);
	assert_int_equal(got, addr);
	return got;
}

static const struct vfake_device_desc *desc_of(struct vfake_task *task, const char *device)
{
	const struct vfake_device_desc *desc = vfake_device_desc(task->kernel, device);

	assert_non_null(desc);
	return desc;
}

int open_group(struct vfake_task *task, const char *device)
{
	const struct vfake_device_desc *desc = desc_of(task, device);
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%s%u", desc->noiommu ? "noiommu-" : "",
		 desc->group);
	return vfake_open(task, path);
}

int open_cdev(struct vfake_task *task, const char *device)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%u", desc_of(task, device)->cdev);
	return vfake_open(task, path);
}

/* Where a call's argument is for the task: a task without this program's memory gets a copy. */
static vfake_addr lend(struct vfake_task *task, const void *arg, size_t bytes)
{
	vfake_addr addr = (uintptr_t)arg;

	if (task->attr.host_memory)
		return addr;
	addr = map_memory(task, bytes);
	assert_int_equal(vfake_poke(task, addr, arg, bytes), 0);
	return addr;
}

static void give_back(struct vfake_task *task, vfake_addr addr, void *arg, size_t bytes)
{
	if (task->attr.host_memory)
		return;
	assert_int_equal(vfake_peek(task, addr, arg, bytes), 0);
	assert_int_equal(vfake_munmap(task, addr, bytes), 0);
}

static long call_with(struct vfake_task *task, int fd, uint32_t number, void *arg, size_t bytes)
{
	vfake_addr addr = lend(task, arg, bytes);
	long ret = vfake_ioctl(task, fd, number, addr);

	give_back(task, addr, arg, bytes);
	return ret;
}

long set_container(struct vfake_task *task, int group, int container)
{
	int32_t fd = container;

	return call_with(task, group, VFIO_GROUP_SET_CONTAINER, &fd, sizeof(fd));
}

int get_device(struct vfake_task *task, int group, const char *device)
{
	char name[64] = { 0 };

	snprintf(name, sizeof(name), "%s", device);
	return (int)call_with(task, group, VFIO_GROUP_GET_DEVICE_FD, name, sizeof(name));
}

struct vfio_set open_set(struct vfake_task *task, const char *device, unsigned long type)
{
	struct vfio_set set;

	set.container = vfake_open(task, "/dev/vfio/vfio");
	assert_true(set.container >= 0);
	set.group = open_group(task, device);
	assert_true(set.group >= 0);
	assert_int_equal(set_container(task, set.group, set.container), 0);
	assert_int_equal(vfake_ioctl(task, set.container, VFIO_SET_IOMMU, type), 0);
	set.device = get_device(task, set.group, device);
	assert_true(set.device >= 0);
	return set;
}

void close_set(struct vfake_task *task, const struct vfio_set *set)
{
	assert_int_equal(vfake_close(task, set->device), 0);
	assert_int_equal(vfake_close(task, set->group), 0);
	assert_int_equal(vfake_close(task, set->container), 0);
}

long dma_map(struct vfake_task *task, int container, uint32_t flags, vfake_addr vaddr,
	     uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .vaddr = vaddr, .iova = iova, .size = size
	};

	return call_with(task, container, VFIO_IOMMU_MAP_DMA, &map, sizeof(map));
}

long dma_unmap(struct vfake_task *task, int container, uint32_t flags, uint64_t iova, uint64_t size,
	       uint64_t *unmapped)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = flags, .iova = iova, .size = size
	};
	long ret = call_with(task, container, VFIO_IOMMU_UNMAP_DMA, &unmap, sizeof(unmap));

	if (unmapped)
		*unmapped = unmap.size;
	return ret;
}

uint32_t dma_avail(struct vfake_task *task, int container)
{
	unsigned char answer[512] = { 0 };
	struct vfio_iommu_type1_info info = { .argsz = sizeof(answer) };
	struct vfio_info_cap_header header;
	uint32_t avail;

	memcpy(answer, &info, sizeof(info));
	assert_int_equal(call_with(task, container, VFIO_IOMMU_GET_INFO, answer, sizeof(answer)),
			 0);
	memcpy(&info, answer, sizeof(info));
	for (uint32_t at = info.cap_offset; at; at = header.next) {
		memcpy(&header, answer + at, sizeof(header));
		if (header.id != VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
			continue;
		memcpy(&avail,
		       answer + at + offsetof(struct vfio_iommu_type1_info_dma_avail, avail),
		       sizeof(avail));
		return avail;
	}
	fail_msg("GET_INFO tells no DMA_AVAIL");
	return 0;
}
