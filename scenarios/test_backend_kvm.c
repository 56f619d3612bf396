/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a KVM VM is told by the stack: groups while they are in a container, cdevs while they are
 * open, and on POWER which of the windows the guest fills by itself.
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

/* The files that KVM was told of, in order: N + 1 for descriptor N that is added, -N - 1 for one
 * that is deleted. */
static int told[16], told_count;

static bool listen_to_kvm(struct backend_rig *rig, int fd, uint32_t request, void *arg, long *ret)
{
	const struct kvm_device_attr *attr = arg;
	int32_t file;

	(void)rig;
	(void)fd;
	(void)ret;
	if (request != KVM_SET_DEVICE_ATTR)
		return false;
	assert_int_equal(attr->group, KVM_DEV_VFIO_FILE);
	memcpy(&file, (const void *)(uintptr_t)attr->addr, sizeof(file));
	assert_true(told_count < 16);
	told[told_count++] = attr->attr == KVM_DEV_VFIO_FILE_ADD ? file + 1 : -file - 1;
	return false;
}

/*
 * Whoever was added is deleted, once, before the VM's VFIO device goes; nobody else is. Of windows
 * without a table of the guest's KVM is told nothing.
 */
static void what_was_added_is_deleted(void **state)
{
	const struct vfio_memory_region region = rig_viommu(0, gib, KIB_64);
	struct backend_rig *rig = *state;
	struct vfio_error error = { 0 };
	struct vfio_device *device;
	int vm;

	rig_start(rig);
	vm = rig_new_vm(rig);
	if (rig->backend == VFIO_BACKEND_SPAPR)
		rig_add(rig, &region);
	rig->instead = listen_to_kvm;
	told_count = 0;
	rig_attach(rig, "d0");
	device = rig_attach(rig, "d1");
	assert_int_equal(told_count, 0);
	for (int i = 0; i < 2; i++) {
		told_count = 0;
		assert_true(vfio_set_kvm(rig->vfio, vm, &error));
		assert_int_equal(view_vm(rig, vm).vfio_files, 2);
		assert_int_equal(told_count, 2);
		assert_true(vfio_set_kvm(rig->vfio, -1, &error));
		assert_int_equal(told_count, 4);
		assert_true(told[0] > 0 && told[1] > 0 && told[0] != told[1]);
		assert_int_equal(told[0] + told[1] + told[2] + told[3], 0);
		assert_int_equal(view_vm(rig, vm).vfio_files, 0);
	}
	assert_true(vfio_set_kvm(rig->vfio, vm, &error));
	told_count = 0;
	vfio_device_detach(device);
	assert_int_equal(told_count, 1);
	assert_int_equal(view_vm(rig, vm).vfio_files, 1);
	device = rig_attach(rig, "d1");
	assert_int_equal(told_count, 2);
	assert_int_equal(told[0] + told[1], 0);
	assert_true(vfio_set_kvm(rig->vfio, -1, &error));
	vfio_device_detach(device);
	assert_int_equal(told_count, 4);
	assert_int_equal(rig->ref.warnings_seen, 0);
	assert_int_equal(vfake_close(rig->task, vm), 0);
}

/* A VM that does not take all of them has none. */
static void all_files_or_none(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_error error = { 0 };
	int vm;

	rig_start(rig);
	vm = rig_new_vm(rig);
	rig_attach(rig, "d0");
	rig_attach(rig, "d1");
	rig->watched = KVM_SET_DEVICE_ATTR;
	for (int i = 0; i < 4; i++) {
		rig->seen = 0;
		rig_answer_later(rig, KVM_SET_DEVICE_ATTR, -ENOSPC, i % 2);
		assert_false(vfio_set_kvm(rig->vfio, vm, &error));
		assert_int_equal(error.code, -ENOSPC);
		assert_non_null(strstr(error.message, "cannot tell KVM of "));
		/* the first, or the first, the second and the first's way back */
		assert_int_equal(rig->seen, i % 2 ? 3 : 1);
		assert_false(view_vm(rig, vm).has_vfio_device);
		assert_true(vfio_set_kvm(rig->vfio, vm, &error));
		assert_int_equal(view_vm(rig, vm).vfio_files, 2);
		assert_true(vfio_set_kvm(rig->vfio, -1, &error));
	}
	assert_int_equal(rig->ref.warnings_seen, 0);
	/* Answers that there are not. */
	rig_answer(rig, KVM_SET_DEVICE_ATTR, 1, 1);
	assert_false(vfio_set_kvm(rig->vfio, vm, &error));
	assert_int_equal(error.code, -EIO);
	rig_answer(rig, KVM_CREATE_DEVICE, 1, 1);
	assert_false(vfio_set_kvm(rig->vfio, vm, &error));
	assert_int_equal(error.code, -EIO);
	assert_non_null(strstr(error.message, "KVM_CREATE_DEVICE"));
	/* A file that KVM keeps is not the device's to stay for. */
	assert_true(vfio_set_kvm(rig->vfio, vm, &error));
	assert_int_equal(rig->ref.warnings_seen, 0);
	rig_answer(rig, KVM_SET_DEVICE_ATTR, -EIO, 1);
	assert_true(vfio_set_kvm(rig->vfio, -1, &error));
	rig_warned(rig, 1, "KVM keeps the file of a device that goes: input/output error");
	assert_int_equal(vfake_close(rig->task, vm), 0);
}

/* 0 is a descriptor like any other: a VM's, and that of its VFIO device. */
static void the_first_descriptor_is_one(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_error error = { 0 };
	int low, kvm, vm, other;

	rig_start(rig);
	low = vfake_open(rig->task, "/dev/kvm");
	kvm = vfake_open(rig->task, "/dev/kvm");
	assert_int_equal(low, 0);
	other = (int)vfake_ioctl(rig->task, kvm, KVM_CREATE_VM, 0);
	rig_attach(rig, "d0");
	assert_int_equal(vfake_close(rig->task, low), 0);
	vm = (int)vfake_ioctl(rig->task, kvm, KVM_CREATE_VM, 0);
	assert_int_equal(vm, 0);
	assert_true(vfio_set_kvm(rig->vfio, vm, &error));
	assert_int_equal(view_vm(rig, vm).vfio_files, 1);
	assert_true(vfio_set_kvm(rig->vfio, -1, &error));
	assert_int_equal(vfake_close(rig->task, vm), 0);
	/* Now the VFIO device has it. */
	assert_true(vfio_set_kvm(rig->vfio, other, &error));
	assert_int_equal(view_vm(rig, other).vfio_files, 1);
	rig->watched = KVM_CREATE_DEVICE;
	rig->seen = 0;
	assert_true(vfio_set_kvm(rig->vfio, other, &error));
	assert_false(vfio_set_kvm(rig->vfio, kvm, &error));
	assert_int_equal(error.code, -EBUSY);
	assert_int_equal(rig->seen, 0);
	rig->instead = listen_to_kvm;
	told_count = 0;
	vfio_device_detach(rig_attach(rig, "d1"));
	assert_int_equal(told_count, 2);
	assert_int_equal(told[0] + told[1], 0);
	assert_int_equal(view_vm(rig, other).vfio_files, 1);
	assert_true(vfio_set_kvm(rig->vfio, -1, &error));
	assert_int_equal(view_vm(rig, other).vfio_files, 0);
	assert_int_equal(vfake_close(rig->task, other), 0);
	assert_int_equal(vfake_close(rig->task, kvm), 0);
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

/* The same by a VFIO device whose descriptor is 0, and for the window of each group alone. */
static void kvm_fills_windows_of_its_group(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_memory_region region = rig_viommu(0, gib, KIB_64);
	struct vfio_memory *ram = vfio_memory_new(NULL);
	struct vfio_iommu_entry entry = { .last = KIB_64 - 1, .prot = 3, .target_memory = ram };
	struct vfio_error error = { 0 };
	int low, vm, table;
	uint32_t id;

	rig_start(rig);
	rig_fill(rig, ram);
	low = vfake_open(rig->task, "/dev/kvm");
	assert_int_equal(low, 0);
	vm = rig_new_vm(rig);
	table = new_table(rig, vm);
	region.tce_table = true;
	region.tce_table_fd = table;
	id = rig_add(rig, &region);
	assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
	rig_attach(rig, "d1");
	rig_attach(rig, "d0");
	assert_int_equal(vfake_close(rig->task, low), 0);
	assert_true(vfio_set_kvm(rig->vfio, vm, &error));
	guest_fills_window(rig, vm);
	/* A file that KVM does not take is its group's: the one that it names. */
	assert_true(vfio_set_kvm(rig->vfio, -1, &error));
	rig_answer_later(rig, KVM_SET_DEVICE_ATTR, -EBADF, 3);
	assert_false(vfio_set_kvm(rig->vfio, vm, &error));
	assert_int_equal(error.code, -EBADF);
	assert_non_null(strstr(error.message, "KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE"));
	vfio_free(rig->vfio);
	rig->vfio = NULL;
	assert_int_equal(vfake_close(rig->task, table), 0);
	assert_int_equal(vfake_close(rig->task, vm), 0);
	rig_end_stack(rig);
	vfio_memory_free(ram);
	rig_new_stack(rig);
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
		LEGACY_STORY(what_was_added_is_deleted),
		IOMMUFD_STORY(what_was_added_is_deleted),
		SPAPR_STORY(what_was_added_is_deleted),
		LEGACY_STORY(all_files_or_none),
		IOMMUFD_STORY(all_files_or_none),
		LEGACY_STORY(the_first_descriptor_is_one),
		IOMMUFD_STORY(the_first_descriptor_is_one),
		SPAPR_STORY(kvm_fills_windows),
		SPAPR_STORY(kvm_fills_windows_of_its_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
