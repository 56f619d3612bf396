/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The KVM VFIO device: what it refuses, what it keeps alive, and that no order of closing leaves
 * anything behind.
 */
#include <vfake/kvm.h>

#include "kernel_steps.h"

struct world {
	struct vfake_kernel *kernel;
	struct vfake_task *task;
};

static int setup(void **state)
{
	static struct vfake_world machine;
	static struct world world;

	vfake_world_x86(&machine);
	assert_int_equal(vfake_world_add_device(&machine, "d0", "edu"), 0);
	assert_int_equal(vfake_world_add_device(&machine, "d1", "e1000e"), 0);
	assert_int_equal(vfake_world_add_device(&machine, "d2", "plain"), 0);
	machine.enforce_coherency = true;
	machine.devices[2].noncoherent = true;
	world.kernel = start(&machine);
	world.task = new_process(world.kernel, true, 1 << 23);
	*state = &world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	vfake_task_exit(world->task);
	assert_clean(world->kernel);
	vfake_kernel_free(world->kernel);
	return 0;
}

static int new_vm(struct vfake_task *task)
{
	int kvm = vfake_open(task, "/dev/kvm");
	int vm = (int)call_with(task, kvm, KVM_CREATE_VM, 0);

	assert_true(vm >= 0);
	assert_int_equal(vfake_close(task, kvm), 0);
	return vm;
}

static int new_device(struct vfake_task *task, int vm)
{
	struct kvm_create_device arg = { .type = KVM_DEV_TYPE_VFIO };

	assert_int_equal(call(task, vm, KVM_CREATE_DEVICE, &arg), 0);
	return (int)arg.fd;
}

static long set_attr(struct vfake_task *task, int device, uint64_t attr, int32_t fd)
{
	struct kvm_device_attr arg = { .group = KVM_DEV_VFIO_FILE,
				       .attr = attr,
				       .addr = address_of(&fd) };

	return call(task, device, KVM_SET_DEVICE_ATTR, &arg);
}

static long add(struct vfake_task *task, int device, int fd)
{
	return set_attr(task, device, KVM_DEV_VFIO_FILE_ADD, fd);
}

static long del(struct vfake_task *task, int device, int fd)
{
	return set_attr(task, device, KVM_DEV_VFIO_FILE_DEL, fd);
}

static struct vfake_kvm_view view(struct vfake_task *task, int vm)
{
	struct vfake_kvm_view seen;

	assert_int_equal(vfake_kvm_view(task, vm, &seen), 0);
	return seen;
}

static void test_dev_kvm(void **state)
{
	struct vfake_task *task = ((struct world *)*state)->task;
	int kvm = vfake_open(task, "/dev/kvm");
	int vm;

	assert_true(kvm >= 0);
	assert_int_equal(call_with(task, kvm, KVM_GET_API_VERSION, 0), 12);
	assert_int_equal(call_with(task, kvm, KVM_GET_API_VERSION, 1), -EINVAL);
	assert_int_equal(call_with(task, kvm, KVM_CREATE_VM, 1), -EINVAL);
	assert_int_equal(call_with(task, kvm, KVM_CHECK_EXTENSION, KVM_CAP_DEVICE_CTRL), 1);
	assert_int_equal(call_with(task, kvm, KVM_CHECK_EXTENSION, KVM_CAP_SPAPR_TCE_VFIO), 0);
	assert_int_equal(call_with(task, kvm, KVM_CREATE_DEVICE, 0), -EINVAL);
	vm = (int)call_with(task, kvm, KVM_CREATE_VM, 0);
	assert_true(vm >= 0);
	assert_int_equal(call_with(task, vm, KVM_CHECK_EXTENSION, KVM_CAP_DEVICE_CTRL), 1);
	assert_int_equal(call_with(task, vm, KVM_CREATE_VM, 0), -ENOTTY);
	assert_int_equal(call_with(task, vm, KVM_CREATE_SPAPR_TCE, 0), -ENOTTY);
	assert_int_equal(vfake_kvm_view(task, kvm, &(struct vfake_kvm_view){ 0 }), -EINVAL);
	assert_int_equal(vfake_kvm_view(task, 99, &(struct vfake_kvm_view){ 0 }), -EBADF);
}

static void test_create_device(void **state)
{
	struct vfake_task *task = ((struct world *)*state)->task;
	struct kvm_create_device arg = { .type = KVM_DEV_TYPE_VFIO,
					 .flags = KVM_CREATE_DEVICE_TEST };
	int vm = new_vm(task);
	int device;

	assert_int_equal(call(task, vm, KVM_CREATE_DEVICE, &arg), 0);
	assert_false(view(task, vm).has_vfio_device);
	arg.type = KVM_DEV_TYPE_XICS;
	assert_int_equal(call(task, vm, KVM_CREATE_DEVICE, &arg), -ENODEV);
	arg.type = UINT32_MAX;
	assert_int_equal(call(task, vm, KVM_CREATE_DEVICE, &arg), -ENODEV);
	device = new_device(task, vm);
	assert_true(view(task, vm).has_vfio_device);
	arg = (struct kvm_create_device){ .type = KVM_DEV_TYPE_VFIO, .flags = 0xfffffffe };
	assert_int_equal(call(task, vm, KVM_CREATE_DEVICE, &arg), -EBUSY);
	arg.flags |= KVM_CREATE_DEVICE_TEST;
	assert_int_equal(call(task, vm, KVM_CREATE_DEVICE, &arg), 0);
	assert_int_equal(call_with(task, vm, KVM_CREATE_DEVICE, 0x10), -EFAULT);
	assert_int_equal(vfake_close(task, device), 0);
	new_device(task, vm); /* the first one's place is free again */
}

static void test_attributes(void **state)
{
	struct vfake_task *task = ((struct world *)*state)->task;
	int device = new_device(task, new_vm(task));
	struct kvm_device_attr arg = { .group = KVM_DEV_VFIO_FILE, .addr = 0x10 };

	arg.attr = KVM_DEV_VFIO_FILE_ADD;
	assert_int_equal(call(task, device, KVM_HAS_DEVICE_ATTR, &arg), 0);
	assert_int_equal(call(task, device, KVM_SET_DEVICE_ATTR, &arg), -EFAULT);
	arg.attr = KVM_DEV_VFIO_FILE_DEL;
	assert_int_equal(call(task, device, KVM_HAS_DEVICE_ATTR, &arg), 0);
	assert_int_equal(call(task, device, KVM_SET_DEVICE_ATTR, &arg), -EFAULT);
	for (uint64_t attr = 3; attr < 64; attr++) { /* any LIOBN is no attribute */
		arg.attr = attr << (attr % 5);
		assert_int_equal(call(task, device, KVM_HAS_DEVICE_ATTR, &arg), -ENXIO);
		assert_int_equal(call(task, device, KVM_SET_DEVICE_ATTR, &arg), -ENXIO);
	}
	arg.attr = KVM_DEV_VFIO_FILE_ADD;
	arg.group = 2;
	assert_int_equal(call(task, device, KVM_HAS_DEVICE_ATTR, &arg), -ENXIO);
	assert_int_equal(call(task, device, KVM_SET_DEVICE_ATTR, &arg), -ENXIO);
	assert_int_equal(call(task, device, KVM_GET_DEVICE_ATTR, &arg), -EPERM);
	assert_int_equal(call_with(task, device, KVM_GET_DEVICE_ATTR, 0x10), -EPERM);
	assert_int_equal(call_with(task, device, KVM_SET_DEVICE_ATTR, 0x10), -EFAULT);
	assert_int_equal(call(task, device, KVM_CREATE_DEVICE, &arg), -ENOTTY);
}

static void test_list_errors(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int vm = new_vm(task), device = new_device(task, vm);
	int group = open_group(task, world->kernel, "d0"), again = vfake_dup(task, group);
	int cdev = open_cdev(task, world->kernel, "d1");
	int strangers[] = { vm,
			    device,
			    vfake_eventfd(task),
			    vfake_open(task, "/dev/vfio/vfio"),
			    vfake_open(task, "/dev/kvm"),
			    vfake_memfd(task, 4096) };

	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		assert_true(strangers[i] >= 0);
		assert_int_equal(add(task, device, strangers[i]), -EINVAL);
		assert_int_equal(del(task, device, strangers[i]), -ENOENT);
	}
	assert_int_equal(add(task, device, -1), -EBADF);
	assert_int_equal(del(task, device, 77), -EBADF);
	assert_int_equal(del(task, device, group), -ENOENT);
	assert_int_equal(add(task, device, group), 0);
	assert_int_equal(add(task, device, group), -EEXIST);
	assert_int_equal(add(task, device, again), -EEXIST); /* one file, two descriptors */
	assert_int_equal(add(task, device, cdev), 0);
	assert_int_equal(view(task, vm).vfio_files, 2);
	assert_int_equal(del(task, device, again), 0);
	assert_int_equal(del(task, device, group), -ENOENT);
	assert_int_equal(del(task, device, cdev), 0);
	assert_int_equal(view(task, vm).vfio_files, 0);
}

/* A listed group stays open although its descriptor is gone; only the list can let it go. */
static void test_list_keeps_files(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int vm = new_vm(task), device = new_device(task, vm);
	int group = open_group(task, world->kernel, "d0");

	assert_int_equal(add(task, device, group), 0);
	assert_int_equal(vfake_close(task, group), 0);
	assert_int_equal(open_group(task, world->kernel, "d0"), -EBUSY);
	assert_int_equal(vfake_close(task, device), 0);
	assert_false(view(task, vm).has_vfio_device);
	group = open_group(task, world->kernel, "d0");
	assert_true(group >= 0);
}

static void test_noncoherent(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int vm = new_vm(task), device = new_device(task, vm);
	int coherent = open_group(task, world->kernel, "d0");
	int group = open_group(task, world->kernel, "d2"),
	    cdev = open_cdev(task, world->kernel, "d2");

	assert_int_equal(add(task, device, coherent), 0);
	assert_int_equal(view(task, vm).noncoherent_dma, 0);
	assert_int_equal(add(task, device, group), 0);
	assert_int_equal(view(task, vm).noncoherent_dma, 1);
	assert_int_equal(add(task, device, cdev), 0);
	assert_int_equal(view(task, vm).noncoherent_dma, 1); /* once for the whole list */
	assert_int_equal(del(task, device, group), 0);
	assert_int_equal(view(task, vm).noncoherent_dma, 1);
	assert_int_equal(del(task, device, cdev), 0);
	assert_int_equal(view(task, vm).noncoherent_dma, 0);
	assert_int_equal(add(task, device, group), 0);
	assert_int_equal(vfake_close(task, device), 0);
	assert_int_equal(view(task, vm).noncoherent_dma, 0);
}

/* An open VFIO device keeps the VM that its group was told of; it learns it when it is opened. */
static void test_device_holds_vm(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int vm = new_vm(task), device = new_device(task, vm);
	int group = open_group(task, world->kernel, "d0");
	int container = vfake_open(task, "/dev/vfio/vfio");
	int first, second;

	assert_int_equal(call(task, group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(call_with(task, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	first = (int)call(task, group, VFIO_GROUP_GET_DEVICE_FD, "d0");
	assert_true(first >= 0);
	assert_int_equal(add(task, device, group), 0);
	assert_int_equal(view(task, vm).references, 2); /* too late for a device that is open */
	assert_int_equal(vfake_close(task, first), 0);
	first = (int)call(task, group, VFIO_GROUP_GET_DEVICE_FD, "d0");
	assert_int_equal(view(task, vm).references, 3);
	second = (int)call(task, group, VFIO_GROUP_GET_DEVICE_FD, "d0");
	assert_int_equal(view(task, vm).references, 3);
	assert_int_equal(del(task, device, group), 0);
	assert_int_equal(vfake_close(task, device), 0);
	assert_int_equal(view(task, vm).references, 2);
	assert_int_equal(vfake_close(task, first), 0);
	assert_int_equal(view(task, vm).references, 2);
	assert_int_equal(vfake_close(task, second), 0);
	assert_int_equal(view(task, vm).references, 1);
}

/* Two VMs list one group: the later one is the group's, and whoever leaves clears it. */
static void test_two_vms(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int a = new_device(task, new_vm(task)), b = new_device(task, new_vm(task));
	int group = open_group(task, world->kernel, "d0");

	assert_int_equal(add(task, a, group), 0);
	assert_int_equal(add(task, b, group), 0);
	assert_int_equal(vfake_close(task, a), 0);
	assert_int_equal(del(task, b, group), 0);
	assert_int_equal(del(task, b, group), -ENOENT);
}

/* A VM is its process's own. */
static void test_other_process(void **state)
{
	struct world *world = *state;
	struct vfake_task *other = new_process(world->kernel, true, 1 << 23);
	int vm = new_vm(world->task), device = new_device(world->task, vm);
	int their_vm = vfake_pass_fd(world->task, vm, other);
	int their_device = vfake_pass_fd(world->task, device, other);

	assert_int_equal(call_with(other, their_vm, KVM_CREATE_DEVICE, 0x10), -EIO);
	assert_int_equal(call_with(other, their_vm, 0xdead, 0), -EIO);
	assert_int_equal(call_with(other, their_device, KVM_SET_DEVICE_ATTR, 0x10), -EIO);
	assert_int_equal(call_with(other, their_device, KVM_GET_DEVICE_ATTR, 0x10), -EIO);
	vfake_task_exit(other);
}

static void test_slots(void **state)
{
	struct vfake_task *task = ((struct world *)*state)->task;
	int vm = new_vm(task);
	struct kvm_userspace_memory_region slot = { .guest_phys_addr = 0x10000,
						    .memory_size = 0x10000,
						    .userspace_addr = 0x7f0000000000 };
	struct kvm_userspace_memory_region other = slot;

	assert_int_equal(call_with(task, vm, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS), 32764);
	assert_int_equal(call(task, vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	assert_int_equal(call(task, vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	other.slot = 1;
	other.guest_phys_addr = 0x1f000;
	assert_int_equal(call(task, vm, KVM_SET_USER_MEMORY_REGION, &other), -EEXIST);
	other.guest_phys_addr = 0x20000;
	assert_int_equal(call(task, vm, KVM_SET_USER_MEMORY_REGION, &other), 0);
	other.guest_phys_addr = 0x18000; /* a move onto the other */
	assert_int_equal(call(task, vm, KVM_SET_USER_MEMORY_REGION, &other), -EEXIST);
	other.memory_size = 0x8000;
	assert_int_equal(call(task, vm, KVM_SET_USER_MEMORY_REGION, &other), -EINVAL);
	slot.flags = KVM_MEM_READONLY;
	assert_int_equal(call(task, vm, KVM_SET_USER_MEMORY_REGION, &slot), -EINVAL);
	slot.flags = 4;
	assert_int_equal(call(task, vm, KVM_SET_USER_MEMORY_REGION, &slot), -EINVAL);
	slot = (struct kvm_userspace_memory_region){ 0 };
	assert_int_equal(call(task, vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	assert_int_equal(call(task, vm, KVM_SET_USER_MEMORY_REGION, &slot), -EINVAL);
	slot = (struct kvm_userspace_memory_region){ .slot = 32764, .memory_size = 4096 };
	assert_int_equal(call(task, vm, KVM_SET_USER_MEMORY_REGION, &slot), -EINVAL);
	slot = (struct kvm_userspace_memory_region){ .memory_size = 4096, .guest_phys_addr = 512 };
	assert_int_equal(call(task, vm, KVM_SET_USER_MEMORY_REGION, &slot), -EINVAL);
}

enum { ORDER_FDS = 6 };

static void open_all(struct world *world, int *fds)
{
	struct vfake_task *task = world->task;

	fds[0] = vfake_open(task, "/dev/vfio/vfio");
	fds[1] = open_group(task, world->kernel, "d0");
	assert_int_equal(call(task, fds[1], VFIO_GROUP_SET_CONTAINER, &fds[0]), 0);
	assert_int_equal(call_with(task, fds[0], VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	fds[2] = new_vm(task);
	fds[3] = new_device(task, fds[2]);
	assert_int_equal(add(task, fds[3], fds[1]), 0);
	fds[4] = (int)call(task, fds[1], VFIO_GROUP_GET_DEVICE_FD, "d0");
	fds[5] = open_cdev(task, world->kernel, "d1");
	assert_int_equal(add(task, fds[3], fds[5]), 0);
	assert_int_equal(add(task, fds[3], fds[4]), 0); /* a device by group is a VFIO file, too */
}

static void test_every_close_order(void **state)
{
	struct world *world = *state;
	int order[ORDER_FDS] = { 0, 1, 2, 3, 4, 5 };
	int orders = 0;
	int fds[ORDER_FDS];

	do {
		open_all(world, fds);
		for (int i = 0; i < ORDER_FDS; i++)
			assert_int_equal(vfake_close(world->task, fds[order[i]]), 0);
		assert_int_equal(vfake_ledger(world->kernel).open_files, 0);
		assert_int_equal(vfake_ledger(world->kernel).warnings, 0);
		orders++;
	} while (next_order(order, ORDER_FDS));
	assert_int_equal(orders, 720);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dev_kvm),	    TEST(test_create_device),	  TEST(test_attributes),
		TEST(test_list_errors),	    TEST(test_list_keeps_files),  TEST(test_noncoherent),
		TEST(test_device_holds_vm), TEST(test_two_vms),		  TEST(test_other_process),
		TEST(test_slots),	    TEST(test_every_close_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
