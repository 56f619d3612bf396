/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a KVM VM is told by the stack: groups while they are in a container, and on POWER which of
 * their windows the guest fills by itself.
 */
#include "backend_rig.h"

enum { KIB_64 = 65536, MIB = 1 << 20 };

static const uint64_t gib = 1 << 30;

static struct vfake_kvm_view view_vm(struct backend_rig *rig, int vm)
{
	struct vfake_kvm_view view;

	assert_int_equal(vfake_kvm_view(rig->task, vm, &view), 0);
	return view;
}

static void vm_knows_the_groups(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_error error = { 0 };
	struct vfio_device *device;
	int vm, other;

	rig_start(rig);
	vm = rig_new_vm(rig);
	other = rig_new_vm(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	rig_attach(rig, "d0");
	assert_true(vfio_set_kvm(rig->vfio, vm, &error));
	assert_int_equal(view_vm(rig, vm).vfio_files, 1);
	device = rig_attach(rig, "d1");
	assert_int_equal(view_vm(rig, vm).vfio_files, 2);
	assert_true(vfio_set_kvm(rig->vfio, vm, &error));
	assert_false(vfio_set_kvm(rig->vfio, other, &error));
	assert_int_equal(error.code, -EBUSY);
	vfio_device_detach(device);
	assert_int_equal(view_vm(rig, vm).vfio_files, 1);
	/* One that KVM does not take is not attached, and not deleted from the list. */
	rig_answer(rig, KVM_SET_DEVICE_ATTR, -EEXIST, 1);
	rig->watched = KVM_SET_DEVICE_ATTR;
	rig->seen = 0;
	rig_refuses(rig, "d1", -EEXIST, "KVM");
	assert_int_equal(rig->seen, 1);
	assert_false(rig_view(rig, "d1").group_opened);
	assert_true(vfio_set_kvm(rig->vfio, -1, &error));
	assert_int_equal(view_vm(rig, vm).vfio_files, 0);
	rig_answer(rig, KVM_SET_DEVICE_ATTR, -ENOMEM, 1);
	assert_false(vfio_set_kvm(rig->vfio, other, &error));
	assert_int_equal(error.code, -ENOMEM);
	assert_false(view_vm(rig, other).has_vfio_device);
	rig_answer(rig, KVM_CREATE_DEVICE, -EBUSY, 1);
	assert_false(vfio_set_kvm(rig->vfio, other, &error));
	assert_int_equal(error.code, -EBUSY);
	assert_true(vfio_set_kvm(rig->vfio, other, &error));
	assert_int_equal(view_vm(rig, other).vfio_files, 1);
	assert_int_equal(vfake_close(rig->task, vm), 0);
	assert_int_equal(vfake_close(rig->task, other), 0);
}

static int new_table(struct backend_rig *rig, int vm)
{
	struct kvm_create_spapr_tce_64 arg = { .liobn = 0, .page_shift = 16, .size = gib >> 16 };
	int table = (int)vfake_ioctl(rig->task, vm, KVM_CREATE_SPAPR_TCE_64,
				     (vfake_addr)(uintptr_t)&arg);

	assert_true(table >= 0);
	return table;
}

/* The guest maps a page by itself, and the device reaches it. */
static void guest_fills_window(struct backend_rig *rig, int vm)
{
	struct kvm_userspace_memory_region slot = { .guest_phys_addr = gib,
						    .memory_size = MIB,
						    .userspace_addr = rig->ram };
	long result;

	assert_int_equal(vfake_ioctl(rig->task, vm, KVM_SET_USER_MEMORY_REGION,
				     (vfake_addr)(uintptr_t)&slot),
			 0);
	assert_int_equal(vfake_h_put_tce(rig->task, vm, 0, 4 * KIB_64, (gib + KIB_64) | 3, &result),
			 0);
	assert_int_equal(result, VFAKE_H_SUCCESS);
	assert_int_equal(rig_reach(rig, "d0", 4 * KIB_64), KIB_64);
	assert_int_equal(vfake_h_put_tce(rig->task, vm, 0, 4 * KIB_64, 0, &result), 0);
}

static void kvm_fills_windows(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_memory_region region = rig_viommu(0, gib, KIB_64);
	struct vfio_memory *ram = vfio_memory_new(NULL);
	struct vfio_iommu_entry entry = { .last = KIB_64 - 1, .prot = 3, .target_memory = ram };
	struct vfio_error error = { 0 };
	struct vfio_device *device;
	int vm, table;
	uint32_t id;

	rig_start(rig);
	rig_fill(rig, ram);
	vm = rig_new_vm(rig);
	table = new_table(rig, vm);
	region.tce_table = true;
	region.tce_table_fd = table;
	id = rig_add(rig, &region);
	/* An entry has the memory registered. */
	assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
	device = rig_attach(rig, "d0");
	assert_true(vfio_set_kvm(rig->vfio, vm, &error));
	guest_fills_window(rig, vm);
	vfio_device_detach(device);
	device = rig_attach(rig, "d0");
	guest_fills_window(rig, vm);
	assert_true(vfio_set_kvm(rig->vfio, -1, &error));
	vfio_device_detach(device);
	/* KVM's refusal is that of whoever asked. */
	region.tce_table_fd = 99;
	vfio_memory_del(rig->memory, id);
	id = rig_add(rig, &region);
	device = rig_attach(rig, "d0");
	assert_false(vfio_set_kvm(rig->vfio, vm, &error));
	assert_int_equal(error.code, -EBADF);
	vfio_device_detach(device);
	assert_true(vfio_set_kvm(rig->vfio, vm, &error));
	rig_refuses(rig, "d0", -EBADF, "KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE");
	vfio_memory_del(rig->memory, id);
	device = rig_attach(rig, "d0");
	rig_add(rig, &region);
	assert_int_equal(vfio_container_error(vfio_device_container(device)), -EBADF);
	assert_int_equal(rig_info(device).range_count, 0); /* its window went again */
	vfio_free(rig->vfio);
	rig->vfio = NULL;
	assert_int_equal(vfake_close(rig->task, table), 0);
	assert_int_equal(vfake_close(rig->task, vm), 0);
	rig_end_stack(rig);
	vfio_memory_free(ram);
	rig_new_stack(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(vm_knows_the_groups),
		SPAPR_STORY(kvm_fills_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
