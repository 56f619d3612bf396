/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <uapi/iommufd.h>
#include <uapi/kvm.h>

#include "negative_stage.h"

static const struct vfake_task_attr tight = {
	.memlock_bytes = UINT64_MAX,
	.cap_ipc_lock = true,
	.cap_sys_rawio = true,
	.cap_sys_admin = true,
};

/* A call that must work, with its argument in the page of the stage. */
static long must(struct stage *s, int fd, uint32_t number, void *arg, size_t bytes)
{
	long ret;

	assert_int_equal(vfake_poke(s->rig.task, s->args, arg, bytes), 0);
	ret = vfake_ioctl(s->rig.task, fd, number, s->args);
	assert_true(ret >= 0);
	assert_int_equal(vfake_peek(s->rig.task, s->args, arg, bytes), 0);
	return ret;
}

static void put_id(struct stage *s, enum uapi_object object, uint32_t id)
{
	s->ids[__builtin_ctz(object)] = id;
}

static void build_container(struct stage *s)
{
	s->fd = s->fds[STAGE_CONTAINER];
}

static void build_container_with_group(struct stage *s)
{
	s->fd = s->fds[STAGE_CONTAINER];
	assert_int_equal(set_container(s->rig.task, open_group(s->rig.task, "d0"), s->fd), 0);
}

/* Maps one page. On POWER the first map makes the default window, whatever becomes of the map. */
static void map_page(struct stage *s)
{
	assert_int_equal(
		dma_map(s->rig.task, s->fd, READ_WRITE, s->memory, STAGE_MAPPED, s->page_bytes), 0);
}

static void build_type1(struct stage *s)
{
	struct vfio_iommu_type1_dirty_bitmap start = { .argsz = sizeof(start),
						       .flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START };

	s->fd = open_set(s->rig.task, "d0", VFIO_TYPE1v2_IOMMU).container;
	map_page(s);
	must(s, s->fd, VFIO_IOMMU_DIRTY_PAGES, &start, sizeof(start));
}

static void build_spapr1(struct stage *s)
{
	s->fd = open_set(s->rig.task, "d0", VFIO_SPAPR_TCE_IOMMU).container;
	assert_int_equal(vfake_ioctl(s->rig.task, s->fd, VFIO_IOMMU_ENABLE, 0), 0);
	map_page(s);
}

static void build_spapr2(struct stage *s)
{
	struct vfio_iommu_spapr_register_memory memory = { .argsz = sizeof(memory),
							   .vaddr = s->memory,
							   .size = 8 * s->page_bytes };

	s->fd = open_set(s->rig.task, "d0", VFIO_SPAPR_TCE_v2_IOMMU).container;
	must(s, s->fd, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &memory, sizeof(memory));
	map_page(s);
}

static void build_group(struct stage *s)
{
	s->fd = open_group(s->rig.task, "d0");
}

static void build_group_in_container(struct stage *s)
{
	s->fd = open_set(s->rig.task, "d0", VFIO_TYPE1v2_IOMMU).group;
}

static void build_device(struct stage *s)
{
	s->fd = open_set(s->rig.task, "d1", VFIO_TYPE1v2_IOMMU).device;
}

static void build_new_cdev(struct stage *s)
{
	s->fd = open_cdev(s->rig.task, "d1");
}

/* A bound device, an IOAS with a page mapped that is the compatibility IOAS too, a table, a queue.
 */
static int build_objects(struct stage *s)
{
	int device = open_cdev(s->rig.task, "d1"), iommufd = s->fds[STAGE_IOMMUFD];
	struct vfio_device_bind_iommufd bind = {
		.argsz = UAPI_END(vfio_device_bind_iommufd, out_devid), .iommufd = iommufd
	};
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = UAPI_END(vfio_device_attach_iommufd_pt, pt_id)
	};
	struct iommu_hwpt_alloc hwpt = { .size = sizeof(hwpt) };
	struct iommu_fault_alloc fault = { .size = sizeof(fault) };
	struct iommu_vfio_ioas compat = { .size = sizeof(compat), .op = IOMMU_VFIO_IOAS_SET };
	struct iommu_ioas_map map = { .size = sizeof(map),
				      .flags = 7,
				      .user_va = s->memory,
				      .length = s->page_bytes,
				      .iova = STAGE_MAPPED };

	must(s, device, VFIO_DEVICE_BIND_IOMMUFD, &bind, bind.argsz);
	must(s, iommufd, IOMMU_IOAS_ALLOC, &ioas, sizeof(ioas));
	attach.pt_id = hwpt.pt_id = map.ioas_id = compat.ioas_id = ioas.out_ioas_id;
	hwpt.dev_id = bind.out_devid;
	must(s, device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach, attach.argsz);
	must(s, iommufd, IOMMU_HWPT_ALLOC, &hwpt, sizeof(hwpt));
	must(s, iommufd, IOMMU_FAULT_QUEUE_ALLOC, &fault, sizeof(fault));
	must(s, iommufd, IOMMU_VFIO_IOAS, &compat, sizeof(compat));
	must(s, iommufd, IOMMU_IOAS_MAP, &map, sizeof(map));
	put_id(s, UAPI_OBJ_DEVICE, bind.out_devid);
	put_id(s, UAPI_OBJ_IOAS, ioas.out_ioas_id);
	put_id(s, UAPI_OBJ_HWPT_PAGING, hwpt.out_hwpt_id);
	put_id(s, UAPI_OBJ_FAULT, fault.out_fault_id);
	return device;
}

static void build_bound_cdev(struct stage *s)
{
	s->fd = build_objects(s);
}

static void build_iommufd(struct stage *s)
{
	build_objects(s);
	s->fd = s->fds[STAGE_IOMMUFD];
}

static void build_kvm(struct stage *s)
{
	s->fd = vfake_open(s->rig.task, "/dev/kvm");
}

static void build_vm(struct stage *s)
{
	build_kvm(s);
	s->fd = (int)vfake_ioctl(s->rig.task, s->fd, KVM_CREATE_VM, 0);
}

static void build_kvm_device(struct stage *s)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_VFIO };

	build_vm(s);
	must(s, s->fd, KVM_CREATE_DEVICE, &create, sizeof(create));
	s->fd = (int)create.fd;
}

const struct stage_kind stage_kinds[] = {
	{ UAPI_ON_CONTAINER, "container", build_container, false, NULL },
	{ UAPI_ON_CONTAINER, "container with a group", build_container_with_group, false, NULL },
	{ UAPI_ON_CONTAINER, "type1 container", build_type1, false, NULL },
	{ UAPI_ON_TYPE1, "type1 container", build_type1, false, NULL },
	{ UAPI_ON_SPAPR, "sPAPR v1 container", build_spapr1, true, NULL },
	{ UAPI_ON_SPAPR, "sPAPR v2 container", build_spapr2, true, NULL },
	{ UAPI_ON_GROUP, "group", build_group, false, NULL },
	{ UAPI_ON_GROUP, "group in a container", build_group_in_container, false, NULL },
	{ UAPI_ON_DEVICE, "device of a group", build_device, false, NULL },
	{ UAPI_ON_DEVICE, "cdev", build_new_cdev, false, NULL },
	{ UAPI_ON_DEVICE, "bound cdev", build_bound_cdev, false, NULL },
	{ UAPI_ON_IOMMUFD, "iommufd", build_iommufd, false, NULL },
	{ UAPI_ON_KVM, "kvm", build_kvm, false, NULL },
	{ UAPI_ON_KVM_VM, "VM", build_vm, false, NULL },
	{ UAPI_ON_KVM_VM, "VM on POWER", build_vm, true, NULL },
	{ UAPI_ON_KVM_DEVICE, "VFIO device of a VM", build_kvm_device, false, NULL },
	{ UAPI_ON_KVM_DEVICE, "VFIO device of a VM on POWER", build_kvm_device, true, NULL },
};
const size_t stage_kind_count = COUNT_OF(stage_kinds);

/* One more device, on a bus that can be reset, and an IOMMU that can do more. */
static void add_model(struct vfake_world *world, const char *model)
{
	assert_int_equal(vfake_world_add_device(world, "d3", model), 0);
	world->devices[world->device_count - 1].bus = 3;
	world->devices[world->device_count - 1].bus_reset = true;
	world->iommu_dirty_tracking = true;
}

void stage_start(struct stage *s, const struct stage_kind *kind)
{
	struct vfake_world world;
	struct vfake_task *task;

	memset(s, 0, sizeof(*s));
	if (kind->powernv) {
		vfake_world_powernv(&world);
		assert_int_equal(vfake_world_add_device(&world, "d0", "edu"), 0);
	} else {
		world_with_three(&world);
	}
	if (kind->model)
		add_model(&world, kind->model);
	rig_boot(&s->rig, &world, &tight);
	task = s->rig.task;
	s->page_bytes = world.page_size_bytes;
	s->args = map_memory(task, s->page_bytes);
	s->memory = map_memory(task, 16 * s->page_bytes);
	s->fds[STAGE_NO_FD] = -1;
	s->fds[STAGE_CONTAINER] = vfake_open(task, "/dev/vfio/vfio");
	s->fds[STAGE_EVENTFD] = vfake_eventfd(task);
	s->fds[STAGE_IOMMUFD] = vfake_open(task, "/dev/iommu");
	s->fds[STAGE_MEMFD] = vfake_memfd(task, 16 * s->page_bytes);
	kind->build(s);
	assert_true(s->fd >= 0);
}

void stage_end(struct stage *s)
{
	rig_end(&s->rig);
}
