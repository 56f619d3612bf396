/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCE tables of a guest on POWER, and the first attempt at them in Linux (2013): a LIOBN in the
 * attribute's number, a WARN that any caller could reach, a pointer that outlived its device, one
 * group where a LIOBN can have several. Here each of those is tried, and none of it is possible.
 */
#include <vfake/kvm.h>

#include "spapr_steps.h"

enum { GUEST_MEMORY = 16 * PAGE, GUEST_WINDOW = 8 * MIB, LIOBN = 0x80000001 };

/* A VM with guest memory at 0 that is registered in a container, and a VFIO device with its group.
 */
struct guest {
	struct vfake_task *task;
	int container, group, vm, vfio;
	vfake_addr memory;
};

static struct guest new_guest(struct world *world)
{
	struct guest guest = { .task = world->task };
	struct vfake_task *task = guest.task;
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_userspace_memory_region slot = { .memory_size = GUEST_MEMORY };
	int kvm = vfake_open(task, "/dev/kvm");

	guest.container = empty_container(world, task, "d0", &guest.group);
	assert_int_equal(call_with(task, guest.container, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU),
			 0);
	guest.vm = (int)call_with(task, kvm, KVM_CREATE_VM, 0);
	assert_true(guest.vm >= 0);
	assert_int_equal(call(task, guest.vm, KVM_CREATE_DEVICE, &device), 0);
	guest.vfio = (int)device.fd;
	guest.memory = new_memory(task, GUEST_MEMORY);
	slot.userspace_addr = guest.memory;
	assert_int_equal(call(task, guest.vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	assert_int_equal(enrol(task, guest.container, guest.memory, GUEST_MEMORY), 0);
	return guest;
}

static int new_table(const struct guest *guest, uint64_t liobn, uint32_t page_shift,
		     uint64_t offset, uint64_t size)
{
	struct kvm_create_spapr_tce_64 arg = {
		.liobn = liobn, .page_shift = page_shift, .offset = offset, .size = size
	};

	return (int)call(guest->task, guest->vm, KVM_CREATE_SPAPR_TCE_64, &arg);
}

static long set_attr(const struct guest *guest, uint64_t attr, const void *value)
{
	struct kvm_device_attr arg = { .group = KVM_DEV_VFIO_GROUP,
				       .attr = attr,
				       .addr = address_of(value) };

	return call(guest->task, guest->vfio, KVM_SET_DEVICE_ATTR, &arg);
}

static long set_table(const struct guest *guest, int group, int table)
{
	struct kvm_vfio_spapr_tce arg = { .groupfd = group, .tablefd = table };

	return set_attr(guest, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, &arg);
}

static long put_tce(const struct guest *guest, uint64_t liobn, uint64_t ioba, uint64_t tce)
{
	long result = 1;

	assert_int_equal(vfake_h_put_tce(guest->task, guest->vm, liobn, ioba, tce, &result), 0);
	return result;
}

static long stuff_tce(const struct guest *guest, uint64_t ioba, uint64_t value, uint64_t count)
{
	long result = 1;

	assert_int_equal(
		vfake_h_stuff_tce(guest->task, guest->vm, LIOBN, ioba, value, count, &result), 0);
	return result;
}

static uint64_t get_tce(const struct guest *guest, uint64_t liobn, uint64_t ioba)
{
	uint64_t tce = 0xdead;
	long result = 1;

	assert_int_equal(vfake_h_get_tce(guest->task, guest->vm, liobn, ioba, &tce, &result), 0);
	assert_int_equal(result, VFAKE_H_SUCCESS);
	return tce;
}

static uint64_t tces(const struct guest *guest)
{
	struct vfake_spapr_region region;

	assert_int_equal(vfake_spapr_region(guest->task, 0, &region), 0);
	return region.tces;
}

/* The container's default window at 0 exists, and a table that starts there serves it. */
static int attached_table(const struct guest *guest)
{
	int table = new_table(guest, LIOBN, 12, 0, GUEST_WINDOW / 4096);

	assert_true(table >= 0);
	assert_int_equal(unmap(guest->task, guest->container, 0, 0), 0);
	assert_int_equal(set_attr(guest, KVM_DEV_VFIO_GROUP_ADD, &guest->group), 0);
	assert_int_equal(set_table(guest, guest->group, table), 0);
	return table;
}

/* ---- tables ---- */

static void test_create_table(void **state)
{
	struct world *world = *state;
	struct guest guest = new_guest(world);
	struct kvm_create_spapr_tce old = { .liobn = 0, .window_size = 1 << 20 };
	struct kvm_create_spapr_tce_64 flags = { .page_shift = 12, .size = 1, .flags = 1 };
	uint64_t charged = vfake_ledger(world->kernel).locked_pages;
	int table;

	assert_int_equal(call_with(guest.task, guest.vm, KVM_CHECK_EXTENSION, KVM_CAP_SPAPR_TCE_64),
			 1);
	assert_int_equal(call(guest.task, guest.vm, KVM_CREATE_SPAPR_TCE_64, &flags), -EINVAL);
	assert_int_equal(new_table(&guest, 1, 12, 0, 0), -EINVAL);
	assert_int_equal(new_table(&guest, 1, 11, 0, 1), -EINVAL);
	assert_int_equal(new_table(&guest, 1, 35, 0, 1), -EINVAL);
	assert_int_equal(new_table(&guest, 1, 12, UINT64_MAX >> 12, 1), -EINVAL);
	assert_int_equal(new_table(&guest, 1, 12, 0, (uint64_t)1 << 50), -ENOMEM);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, charged);
	table = new_table(&guest, 1, 12, 0, 8193); /* two pages of entries, one of bookkeeping */
	assert_true(table >= 0);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, charged + 3);
	assert_int_equal(new_table(&guest, 1, 16, 0, 1), -EBUSY);
	assert_int_equal(vfake_close(guest.task, table), 0);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, charged);
	table = (int)call(guest.task, guest.vm, KVM_CREATE_SPAPR_TCE, &old); /* LIOBN 0 is one */
	assert_true(table >= 0);
	assert_int_equal(new_table(&guest, 0, 12, 0, 1), -EBUSY);
	assert_int_equal(put_tce(&guest, 0, (1 << 20) - 4096, 3), VFAKE_H_SUCCESS);
	assert_int_equal(get_tce(&guest, 0, (1 << 20) - 4096), 3);
	assert_int_equal(put_tce(&guest, 0, 1 << 20, 3), VFAKE_H_PARAMETER);
	assert_int_equal(put_tce(&guest, 5, 0, 3), VFAKE_H_TOO_HARD);
}

/* The VMM sees the guest's table, in the byte order of the CPU. */
static void test_table_mmap(void **state)
{
	struct guest guest = new_guest(*state);
	int table = new_table(&guest, LIOBN, 16, 0, 8192);
	uint64_t entry;
	vfake_addr addr;

	assert_int_equal(vfake_mmap(guest.task, 2 * PAGE, 3, table, 0, &addr), -EINVAL);
	assert_int_equal(vfake_mmap(guest.task, PAGE, 3, table, 0, &addr), 0);
	assert_int_equal(put_tce(&guest, LIOBN, 2 * PAGE, PAGE | 1), VFAKE_H_SUCCESS);
	assert_int_equal(vfake_peek(guest.task, addr + 16, &entry, sizeof(entry)), 0);
	assert_int_equal(entry, PAGE | 1);
}

/* ---- hypercalls ---- */

static void test_put_tce(void **state)
{
	struct guest guest = new_guest(*state);
	uint64_t base;

	attached_table(&guest);
	assert_int_equal(put_tce(&guest, LIOBN, 0x5000, 0x3000 | 3), VFAKE_H_SUCCESS);
	assert_int_equal(get_tce(&guest, LIOBN, 0x5000), 0x3003); /* the guest's own address */
	base = tce_at(guest.task, guest.container, 0x5000) - 0x3003;
	assert_int_equal(base % PAGE, 0);
	assert_int_equal(put_tce(&guest, LIOBN, 0x5000, PAGE | 1), VFAKE_H_SUCCESS);
	assert_int_equal(tce_at(guest.task, guest.container, 0x5000), base + PAGE + 1);
	assert_int_equal(tces(&guest), 1);
	/* Nothing of a refused call is left. */
	assert_int_equal(put_tce(&guest, LIOBN, 0x5001, 3), VFAKE_H_PARAMETER);
	assert_int_equal(put_tce(&guest, LIOBN, GUEST_WINDOW, 3), VFAKE_H_PARAMETER);
	assert_int_equal(put_tce(&guest, LIOBN, 0x5000, 0x800 | 3), VFAKE_H_TOO_HARD);
	assert_int_equal(put_tce(&guest, LIOBN, 0x5000, GUEST_MEMORY | 3), VFAKE_H_TOO_HARD);
	assert_int_equal(get_tce(&guest, LIOBN, 0x5000), PAGE | 1);
	assert_int_equal(put_tce(&guest, LIOBN, 0x5000, 0xabc000), VFAKE_H_SUCCESS); /* poison */
	assert_int_equal(get_tce(&guest, LIOBN, 0x5000), 0xabc000);
	assert_int_equal(tce_at(guest.task, guest.container, 0x5000), 0);
	assert_int_equal(tces(&guest), 0);
}

static void test_memory_not_registered(void **state)
{
	struct guest guest = new_guest(*state);

	attached_table(&guest);
	assert_int_equal(withdraw(guest.task, guest.container, guest.memory, GUEST_MEMORY), 0);
	assert_int_equal(put_tce(&guest, LIOBN, 0, 3), VFAKE_H_TOO_HARD);
	assert_int_equal(get_tce(&guest, LIOBN, 0), 0);
	assert_int_equal(put_tce(&guest, LIOBN, 0, 0), VFAKE_H_SUCCESS);
}

static void test_put_indirect(void **state)
{
	struct guest guest = new_guest(*state);
	unsigned char list[4 * 8] = { 0 };
	long result;

	attached_table(&guest);
	for (unsigned i = 0; i < 4; i++) { /* big-endian: 0x1003, 0x2003, … */
		list[8 * i + 6] = (unsigned char)((i + 1) << 4);
		list[8 * i + 7] = 3;
	}
	assert_int_equal(vfake_poke(guest.task, guest.memory + PAGE, list, sizeof(list)), 0);
	assert_int_equal(
		vfake_h_put_tce_indirect(guest.task, guest.vm, LIOBN, 0x8000, PAGE, 4, &result), 0);
	assert_int_equal(result, VFAKE_H_SUCCESS);
	assert_int_equal(get_tce(&guest, LIOBN, 0xb000), 0x4003);
	assert_int_equal(tces(&guest), 4);
	assert_int_equal(tce_at(guest.task, guest.container, 0xb000) -
				 tce_at(guest.task, guest.container, 0x8000),
			 0x3000);
	vfake_h_put_tce_indirect(guest.task, guest.vm, LIOBN, 0, PAGE, 513, &result);
	assert_int_equal(result, VFAKE_H_PARAMETER);
	vfake_h_put_tce_indirect(guest.task, guest.vm, LIOBN, 0, PAGE + 8, 1, &result);
	assert_int_equal(result, VFAKE_H_PARAMETER);
	vfake_h_put_tce_indirect(guest.task, guest.vm, LIOBN, 0, GUEST_MEMORY, 1, &result);
	assert_int_equal(result, VFAKE_H_TOO_HARD);
	list[31] = 1; /* the last entry names no guest memory: none of the list is done */
	list[24] = 1;
	assert_int_equal(vfake_poke(guest.task, guest.memory + PAGE, list, sizeof(list)), 0);
	vfake_h_put_tce_indirect(guest.task, guest.vm, LIOBN, 0, PAGE, 4, &result);
	assert_int_equal(result, VFAKE_H_TOO_HARD);
	assert_int_equal(get_tce(&guest, LIOBN, 0), 0);
	assert_int_equal(tces(&guest), 4);
}

static void test_stuff(void **state)
{
	struct guest guest = new_guest(*state);

	attached_table(&guest);
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(put_tce(&guest, LIOBN, i * 4096, i * 4096 | 3), VFAKE_H_SUCCESS);
	assert_int_equal(stuff_tce(&guest, 0, 1, 4), VFAKE_H_PARAMETER);
	assert_int_equal(stuff_tce(&guest, GUEST_WINDOW - 4096, 0, 2), VFAKE_H_PARAMETER);
	assert_int_equal(stuff_tce(&guest, 0, 0x7000, 4), VFAKE_H_SUCCESS);
	assert_int_equal(get_tce(&guest, LIOBN, 0x3000), 0x7000);
	assert_int_equal(get_tce(&guest, LIOBN, 0x4000), 0x4003);
	assert_int_equal(tce_at(guest.task, guest.container, 0x3000), 0);
	assert_int_equal(tces(&guest), 4);
}

/* One entry of the guest is sixteen of the hardware. */
static void test_larger_guest_pages(void **state)
{
	struct guest guest = new_guest(*state);
	int table = new_table(&guest, LIOBN, 16, 0, 2 * gib / PAGE);

	assert_int_equal(unmap(guest.task, guest.container, 0, 0), 0);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_GROUP_ADD, &guest.group), 0);
	assert_int_equal(set_table(&guest, guest.group, table), 0);
	assert_int_equal(put_tce(&guest, LIOBN, 4 * PAGE, 2 * PAGE | 3), VFAKE_H_SUCCESS);
	assert_int_equal(tces(&guest), 16);
	assert_int_equal(tce_at(guest.task, guest.container, 5 * PAGE - 4096) -
				 tce_at(guest.task, guest.container, 4 * PAGE),
			 15 * 4096);
	assert_int_equal(put_tce(&guest, LIOBN, 4 * PAGE, 0), VFAKE_H_SUCCESS);
	assert_int_equal(tces(&guest), 0);
}

/* ---- attaching ---- */

static void test_attach_errors(void **state)
{
	struct world *world = *state;
	struct guest guest = new_guest(world), other = { .task = guest.task };
	struct vfake_task *task = guest.task;
	int cdev = open_cdev(task, world->kernel, "d1"),
	    bare = open_group(task, world->kernel, "d2");
	int event = vfake_eventfd(task), kvm = vfake_open(task, "/dev/kvm");
	int table = new_table(&guest, LIOBN, 12, 0, 2 * gib / 4096);

	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, (void *)0x10), -EFAULT);
	assert_int_equal(set_table(&guest, -1, table), -EBADF);
	assert_int_equal(set_table(&guest, event, table), -ENOENT);	  /* no VFIO file at all */
	assert_int_equal(set_table(&guest, guest.group, table), -ENOENT); /* not listed */
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_GROUP_ADD, &guest.group), 0);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_FILE_ADD, &cdev), 0);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_FILE_ADD, &bare), 0);
	assert_int_equal(set_table(&guest, cdev, table), -EIO); /* has no group; no WARN either */
	assert_int_equal(set_table(&guest, guest.group, 99), -EBADF);
	assert_int_equal(set_table(&guest, guest.group, event), -EINVAL);
	assert_int_equal(set_table(&guest, bare, table), -EINVAL);	  /* in no container */
	assert_int_equal(set_table(&guest, guest.group, table), -EINVAL); /* no window yet */
	assert_int_equal(unmap(task, guest.container, 0, 0), 0);
	assert_int_equal(set_table(&guest, guest.group, table), 0);
	other.vm = (int)call_with(task, kvm, KVM_CREATE_VM, 0);
	table = new_table(&other, 1, 12, 0, 16); /* another VM's */
	assert_int_equal(set_table(&guest, guest.group, table), -EINVAL);
	table = new_table(&guest, 2, 12, 1, 16); /* another start */
	assert_int_equal(set_table(&guest, guest.group, table), -EINVAL);
	table = new_table(&guest, 3, 12, 0, 2 * gib / 4096 + 1); /* larger */
	assert_int_equal(set_table(&guest, guest.group, table), -EINVAL);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_FILE_DEL, &cdev), 0);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_FILE_DEL, &bare), 0);
}

/* Setting twice is setting once; a set that fails leaves what is there; leaving ends it. */
static void test_set_twice(void **state)
{
	struct guest guest = new_guest(*state);
	int table = attached_table(&guest);

	assert_int_equal(set_table(&guest, guest.group, table), 0);
	assert_int_equal(set_table(&guest, guest.group, guest.vm), -EINVAL);
	assert_int_equal(put_tce(&guest, LIOBN, 0, 3), VFAKE_H_SUCCESS);
	assert_int_equal(tces(&guest), 1);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_GROUP_DEL, &guest.group), 0);
	assert_int_equal(put_tce(&guest, LIOBN, 4096, 3), VFAKE_H_SUCCESS);
	assert_int_equal(tces(&guest), 1); /* the hardware's table is not served any more */
	assert_int_equal(vfake_close(guest.task, table), 0);
	assert_int_equal(put_tce(&guest, LIOBN, 0, 3), VFAKE_H_TOO_HARD);
}

/* A group that failed to be set, or was set on another table, takes nothing away when it leaves. */
static void test_leaving_takes_only_its_own(void **state)
{
	struct world *world = *state;
	struct guest guest = new_guest(world);
	int second = open_group(guest.task, world->kernel, "d1");
	int other;

	assert_int_equal(call(guest.task, second, VFIO_GROUP_SET_CONTAINER, &guest.container), 0);
	attached_table(&guest);
	other = new_table(&guest, 1, 12, 1, 1);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_GROUP_ADD, &second), 0);
	assert_int_equal(set_table(&guest, second, other), -EINVAL);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_GROUP_DEL, &second), 0);
	assert_int_equal(put_tce(&guest, LIOBN, 0, 3), VFAKE_H_SUCCESS);
	assert_int_equal(tces(&guest), 1);
	/* A group that left its container first is still let go. */
	assert_int_equal(call_with(guest.task, guest.group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_GROUP_DEL, &guest.group), 0);
	assert_int_equal(put_tce(&guest, LIOBN, 4096, 3), VFAKE_H_SUCCESS);
	assert_int_equal(tces(&guest), 0);
}

/* Two groups of one container share its windows: each holds the table's place in them. */
static void test_two_groups(void **state)
{
	struct world *world = *state;
	struct guest guest = new_guest(world);
	int second = open_group(guest.task, world->kernel, "d1");
	int table;

	assert_int_equal(call(guest.task, second, VFIO_GROUP_SET_CONTAINER, &guest.container), 0);
	table = attached_table(&guest);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_GROUP_ADD, &second), 0);
	assert_int_equal(set_table(&guest, second, table), 0);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_GROUP_DEL, &guest.group), 0);
	assert_int_equal(put_tce(&guest, LIOBN, 0, 3), VFAKE_H_SUCCESS);
	assert_int_equal(tces(&guest), 1);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_GROUP_DEL, &second), 0);
	assert_int_equal(put_tce(&guest, LIOBN, 4096, 3), VFAKE_H_SUCCESS);
	assert_int_equal(tces(&guest), 1); /* the hardware's table is no longer served */
	assert_int_equal(get_tce(&guest, LIOBN, 4096), 3);
}

/* Two groups of two containers on one LIOBN: one hypercall writes both tables. */
static void test_two_containers(void **state)
{
	struct world *world = *state;
	struct guest guest = new_guest(world);
	int group, container = empty_container(world, guest.task, "d1", &group);
	int table = attached_table(&guest);

	assert_int_equal(call_with(guest.task, container, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU),
			 0);
	assert_int_equal(enrol(guest.task, container, guest.memory, GUEST_MEMORY), 0);
	assert_int_equal(unmap(guest.task, container, 0, 0), 0);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_GROUP_ADD, &group), 0);
	assert_int_equal(set_table(&guest, group, table), 0);
	assert_int_equal(put_tce(&guest, LIOBN, 0x1000, PAGE | 3), VFAKE_H_SUCCESS);
	assert_int_equal(tce_at(guest.task, guest.container, 0x1000),
			 tce_at(guest.task, container, 0x1000));
	assert_int_equal(tces(&guest), 2);
}

/* A window that is removed while the guest's table serves it lives on with the table. */
static void test_window_removed(void **state)
{
	struct guest guest = new_guest(*state);

	attached_table(&guest);
	assert_int_equal(put_tce(&guest, LIOBN, 0, 3), VFAKE_H_SUCCESS);
	assert_int_equal(drop_window(guest.task, guest.container, 0), 0);
	assert_int_equal(tces(&guest), 0);
	assert_int_equal(put_tce(&guest, LIOBN, 0, 3), VFAKE_H_SUCCESS);
	assert_int_equal(stuff_tce(&guest, 0, 0, 16), VFAKE_H_SUCCESS);
	assert_int_equal(tces(&guest), 0);
}

/* The calls of a v1 container's entries are the VMM's to make. */
static void test_v1_is_too_hard(void **state)
{
	struct world *world = *state;
	struct guest guest = new_guest(world);
	int group, container = empty_container(world, guest.task, "d1", &group);
	int table = new_table(&guest, LIOBN, 12, 0, 2 * gib / 4096);

	assert_int_equal(call_with(guest.task, container, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_IOMMU), 0);
	assert_int_equal(call_with(guest.task, container, VFIO_IOMMU_ENABLE, 0), 0);
	assert_int_equal(unmap(guest.task, container, 0, 0), 0);
	assert_int_equal(set_attr(&guest, KVM_DEV_VFIO_GROUP_ADD, &group), 0);
	assert_int_equal(set_table(&guest, group, table), 0);
	assert_int_equal(put_tce(&guest, LIOBN, 0, 3), VFAKE_H_TOO_HARD);
	assert_int_equal(put_tce(&guest, LIOBN, 0, 0), VFAKE_H_TOO_HARD);
}

enum { ORDER_FDS = 6 };

static void test_every_close_order(void **state)
{
	struct world *world = *state;
	int order[ORDER_FDS] = { 0, 1, 2, 3, 4, 5 };

	small_window(world);
	do {
		struct guest guest = new_guest(world);
		int table = attached_table(&guest);
		int device = (int)call(guest.task, guest.group, VFIO_GROUP_GET_DEVICE_FD, "d0");
		const int fds[] = { guest.container, guest.group, guest.vm,
				    guest.vfio,	     table,	  device };

		assert_int_equal(put_tce(&guest, LIOBN, 0, PAGE | 3), VFAKE_H_SUCCESS);
		for (int i = 0; i < ORDER_FDS; i++)
			assert_int_equal(vfake_close(guest.task, fds[order[i]]), 0);
		assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 0);
		assert_int_equal(vfake_ledger(world->kernel).locked_pages, 0);
		assert_int_equal(vfake_ledger(world->kernel).warnings, 0);
		/* /dev/kvm alone is still open, and the guest's memory is mapped. */
		assert_int_equal(vfake_ledger(world->kernel).open_files, 1);
		vfake_task_exit(world->task);
		assert_clean(world->kernel);
		world->task = new_process(world->kernel, true, 1 << 23);
	} while (next_order(order, ORDER_FDS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create_table),
		TEST(test_table_mmap),
		TEST(test_put_tce),
		TEST(test_memory_not_registered),
		TEST(test_put_indirect),
		TEST(test_stuff),
		TEST(test_larger_guest_pages),
		TEST(test_attach_errors),
		TEST(test_set_twice),
		TEST(test_leaving_takes_only_its_own),
		TEST(test_two_groups),
		TEST(test_two_containers),
		TEST(test_window_removed),
		TEST(test_v1_is_too_hard),
		TEST(test_every_close_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
