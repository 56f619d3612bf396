/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommufd with devices: binding, attaching, page tables, reserved IOVAs, groups, PASIDs.
 */
#include "iommufd_rig.h"

#include "vfio.h" /* the fake kernel's: a device's DMA has no system call */

static int setup_with(void **state, const struct vfake_world *world, bool may_lock)
{
	static struct rig rig;

	rig_start(&rig, world, may_lock);
	*state = &rig;
	return 0;
}

static int setup(void **state)
{
	struct vfake_world world = three_devices();

	return setup_with(state, &world, true);
}

/* d1 shares the group of d0, and d2's IOMMU cannot enforce coherency. */
static int setup_shared_group(void **state)
{
	struct vfake_world world = three_devices();

	for (uint32_t i = 0; i < world.device_count; i++)
		world.devices[i].noncoherent = i == 2;
	world.devices[1].group = world.devices[0].group;
	world.enforce_coherency = true;
	return setup_with(state, &world, true);
}

/* ---- bind and attach ---- */

static void bound_devices_are_objects_that_nobody_destroys(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint32_t id0, id1, again;
	int v0 = bound_device(rig, "d0", &id0);
	int v1 = bound_device(rig, "d1", &id1);

	assert_int_equal(ioas, 1);
	assert_int_equal(id0, 2);
	assert_int_equal(id1, 3);
	assert_int_equal(destroy(rig, id0), -EBUSY);
	assert_int_equal(bind_device(rig, v0, &again), -EINVAL);
	assert_int_equal(vfake_close(rig->task, v0), 0);
	assert_int_equal(destroy(rig, id0), -ENOENT);
	v0 = bound_device(rig, "d0", &id0);
	assert_int_equal(id0, 2);
	assert_int_equal(vfake_close(rig->task, v0), 0);
	assert_int_equal(vfake_close(rig->task, v1), 0);
}

/* No device here is part of SR-IOV; what the pointer says comes before that. */
static void a_token_is_read_and_refused(void **state)
{
	struct rig *rig = *state;
	unsigned char uuid[16] = { 0 };
	struct vfio_device_bind_iommufd arg = { .argsz = sizeof(arg),
						.iommufd = rig->iommufd,
						.flags = VFIO_DEVICE_BIND_FLAG_TOKEN };
	uint32_t id;
	int v0 = open_cdev(rig, "d0");

	assert_int_equal(call_on(rig, v0, VFIO_DEVICE_BIND_IOMMUFD, &arg), -EFAULT);
	arg.token_uuid_ptr = (uint64_t)(uintptr_t)uuid;
	assert_int_equal(call_on(rig, v0, VFIO_DEVICE_BIND_IOMMUFD, &arg), -EINVAL);
	assert_int_equal(bind_device(rig, v0, &id), 0);
	assert_int_equal(vfake_close(rig->task, v0), 0);
}

static void another_iommufd_cannot_take_a_group(void **state)
{
	struct rig *rig = *state;
	struct rig other = *rig;
	uint32_t id;
	int v0 = bound_device(rig, "d0", &id);
	int v1 = open_cdev(rig, "d1");

	other.iommufd = vfake_open(rig->task, "/dev/iommu");
	assert_int_equal(bind_device(&other, v1, &id), -EPERM); /* it shares the group of d0 */
	assert_int_equal(bind_device(rig, v1, &id), 0);
	assert_int_equal(vfake_close(rig->task, v0), 0);
	assert_int_equal(vfake_close(rig->task, v1), 0);
	assert_int_equal(vfake_close(rig->task, other.iommufd), 0);
}

static void an_automatic_page_table_is_shared_and_goes_with_the_last(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint32_t id0, id1, pt0 = ioas, pt1 = ioas, none = 0;
	int v0 = bound_device(rig, "d0", &id0);
	int v1 = bound_device(rig, "d1", &id1);

	assert_int_equal(map(rig, ioas, 0, 4 * PAGE, 0x10000), 0);
	assert_int_equal(pinned(rig), 0);
	assert_int_equal(attach(rig, v0, &pt0), 0);
	assert_int_equal(pinned(rig), 4);
	assert_int_equal(attach(rig, v1, &pt1), 0);
	assert_int_equal(pt0, pt1);
	assert_int_equal(pinned(rig), 4);
	assert_int_equal(destroy(rig, ioas), -EBUSY);
	assert_int_equal(destroy(rig, pt0), -EBUSY);
	assert_int_equal(attach(rig, v0, &none), -ENOENT);
	none = id0;
	assert_int_equal(attach(rig, v0, &none), -EINVAL);
	assert_int_equal(detach(rig, v0), 0);
	assert_int_equal(detach(rig, v0), 0);
	assert_int_equal(pinned(rig), 4);
	assert_int_equal(detach(rig, v1), 0);
	assert_int_equal(pinned(rig), 0);
	assert_int_equal(destroy(rig, pt0), -ENOENT);
	assert_int_equal(destroy(rig, ioas), 0);
	assert_int_equal(vfake_close(rig->task, v0), 0);
	assert_int_equal(vfake_close(rig->task, v1), 0);
}

static void a_page_table_of_the_user_stays(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint32_t id, hwpt, pt;
	int v0 = bound_device(rig, "d0", &id);

	assert_int_equal(map(rig, ioas, 0, PAGE, 0), 0);
	assert_int_equal(hwpt_alloc(rig, id, ioas, 0, &hwpt), 0);
	assert_int_equal(pinned(rig), 1);
	pt = hwpt;
	assert_int_equal(attach(rig, v0, &pt), 0);
	assert_int_equal(destroy(rig, hwpt), -EBUSY);
	/* An attach to the IOAS makes one of its own beside it, and replaces. */
	pt = ioas;
	assert_int_equal(attach(rig, v0, &pt), 0);
	assert_true(pt != hwpt);
	assert_int_equal(destroy(rig, hwpt), 0);
	assert_int_equal(pinned(rig), 1);
	assert_int_equal(vfake_close(rig->task, v0), 0);
	assert_int_equal(pinned(rig), 0);
	assert_int_equal(hwpt_alloc(rig, id, ioas, 0, &hwpt), -ENOENT);
}

static void what_the_driver_does_not_make(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	struct iommu_fault_alloc fault = { .size = sizeof(fault) };
	struct iommu_hwpt_alloc arg = { .size = sizeof(arg), .flags = IOMMU_HWPT_FAULT_ID_VALID };
	uint32_t id, hwpt;
	int v0 = bound_device(rig, "d0", &id);

	assert_int_equal(hwpt_alloc(rig, id, ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &hwpt),
			 -EOPNOTSUPP);
	assert_int_equal(hwpt_alloc(rig, id, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &hwpt),
			 -EOPNOTSUPP);
	assert_int_equal(hwpt_alloc(rig, id, ioas, 1 << 4, &hwpt), -EOPNOTSUPP);
	assert_int_equal(hwpt_alloc(rig, id, 99, 0, &hwpt), -EINVAL);
	assert_int_equal(hwpt_alloc(rig, id, ioas, 0, &hwpt), 0);
	assert_int_equal(hwpt_alloc(rig, id, hwpt, 0, &hwpt), -EOPNOTSUPP);
	/* With a fault queue it can be made, but nothing here sends page requests. */
	arg.dev_id = id;
	arg.pt_id = ioas;
	arg.fault_id = ioas;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_HWPT_ALLOC, &arg), -ENOENT);
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_FAULT_QUEUE_ALLOC, &fault), 0);
	arg.fault_id = fault.out_fault_id;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_HWPT_ALLOC, &arg), 0);
	hwpt = arg.out_hwpt_id;
	assert_int_equal(attach(rig, v0, &hwpt), -ENODEV);
	assert_int_equal(vfake_close(rig->task, (int)fault.out_fault_fd), 0);
	assert_int_equal(destroy(rig, fault.out_fault_id), -EBUSY);
	assert_int_equal(destroy(rig, hwpt), 0);
	assert_int_equal(destroy(rig, fault.out_fault_id), 0);
	assert_int_equal(vfake_close(rig->task, v0), 0);
}

static void a_device_brings_its_reserved_iovas(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	struct iommu_iova_range ranges[4] = { { 0 } };
	uint32_t id, pt = ioas, count = 4;
	int v0 = bound_device(rig, "d0", &id);
	const struct iommu_iova_range over_msi = { 0xfee00000, 0xfee00fff };

	assert_int_equal(map(rig, ioas, 0, PAGE, 0xfee01000), 0);
	assert_int_equal(attach(rig, v0, &pt), -EADDRINUSE);
	assert_int_equal(unmap(rig, ioas, 0xfee01000, PAGE), PAGE);
	assert_int_equal(map(rig, ioas, 0, PAGE, (uint64_t)1 << 48), 0);
	assert_int_equal(attach(rig, v0, &pt), -EADDRINUSE);
	assert_int_equal(unmap(rig, ioas, 0, UINT64_MAX), PAGE);
	assert_int_equal(allow(rig, ioas, &over_msi, 1), 0);
	assert_int_equal(attach(rig, v0, &pt), -EADDRINUSE);
	assert_int_equal(allow(rig, ioas, NULL, 0), 0);
	assert_int_equal(attach(rig, v0, &pt), 0);
	assert_int_equal(iova_ranges(rig, ioas, ranges, &count), 2);
	assert_int_equal(ranges[0].last, 0xfedfffff);
	assert_int_equal(ranges[1].start, 0xfef00000);
	assert_int_equal(ranges[1].last, 0xffffffffffff);
	assert_int_equal(map(rig, ioas, 0, 3 * PAGE, 0xfedff000), -EINVAL);
	assert_int_equal(map(rig, ioas, 0, PAGE, 0x800), -EINVAL);
	assert_int_equal(allow(rig, ioas, &over_msi, 1), -EADDRINUSE);
	assert_int_equal(detach(rig, v0), 0);
	count = 4;
	assert_int_equal(iova_ranges(rig, ioas, ranges, &count), 1);
	assert_int_equal(vfake_close(rig->task, v0), 0);
}

static void a_group_is_attached_as_one(void **state)
{
	struct rig *rig = *state;
	uint32_t one = ioas_alloc(rig), two = ioas_alloc(rig);
	uint32_t id0, id1, id2, pt0 = one, pt1 = two, pt2 = one, hwpt;
	int v0 = bound_device(rig, "d0", &id0);
	int v1 = bound_device(rig, "d1", &id1);
	int v2 = bound_device(rig, "d2", &id2);
	uint32_t value = 0x11223344;

	assert_int_equal(map(rig, one, 0, PAGE, 0x1000), 0);
	assert_int_equal(map(rig, two, PAGE, PAGE, 0x1000), 0);
	assert_int_equal(attach(rig, v0, &pt0), 0);
	assert_int_equal(attach(rig, v1, &pt1), -EINVAL); /* the group is elsewhere */
	pt1 = pt0;
	assert_int_equal(attach(rig, v1, &pt1), 0);
	/* A replace moves both. */
	pt1 = two;
	assert_int_equal(attach(rig, v1, &pt1), 0);
	assert_int_equal(destroy(rig, pt0), -ENOENT);
	assert_int_equal(rig_dma(rig, "d0", 0x1000, &value, sizeof(value), true), 0);
	assert_int_equal(*(uint32_t *)(uintptr_t)(rig->memory + PAGE), value);
	/* d2 cannot enforce coherency: it gets a page table of its own, and not this one. */
	hwpt = pt1;
	assert_int_equal(attach(rig, v2, &hwpt), -EINVAL);
	pt2 = two;
	assert_int_equal(attach(rig, v2, &pt2), 0);
	assert_true(pt2 != pt1);
	assert_int_equal(detach(rig, v0), 0);
	assert_int_equal(rig_dma(rig, "d1", 0x1000, &value, sizeof(value), false), 0);
	assert_int_equal(detach(rig, v1), 0);
	assert_int_equal(rig_dma(rig, "d1", 0x1000, &value, sizeof(value), false), -EFAULT);
	assert_int_equal(vfake_close(rig->task, v2), 0);
	assert_int_equal(vfake_close(rig->task, v1), 0);
	assert_int_equal(vfake_close(rig->task, v0), 0);
}

static long enforces_coherency(const struct rig *rig, uint32_t ioas)
{
	assert_int_equal(compat_ioas(rig, IOMMU_VFIO_IOAS_SET, &ioas), 0);
	return vfake_ioctl(rig->task, rig->iommufd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU);
}

/* Page tables enforce coherency where the IOMMU can, and only for a device that it can do it for.
 */
static void coherency_is_as_good_as_the_worst_page_table(void **state)
{
	struct rig *rig = *state;
	bool can = rig->kernel->world.enforce_coherency;
	uint32_t ioas = ioas_alloc(rig), good, bad, id0, id2;
	int v0 = bound_device(rig, "d0", &id0);
	int v2 = bound_device(rig, "d2", &id2);

	assert_int_equal(enforces_coherency(rig, ioas), 1); /* no page table yet */
	assert_int_equal(hwpt_alloc(rig, id0, ioas, 0, &good), 0);
	assert_int_equal(enforces_coherency(rig, ioas), can);
	assert_int_equal(hwpt_alloc(rig, id2, ioas, 0, &bad), 0);
	assert_int_equal(enforces_coherency(rig, ioas), 0);
	assert_int_equal(attach(rig, v2, &good), can ? -EINVAL : 0);
	assert_int_equal(attach(rig, v2, &bad), 0);
	assert_int_equal(vfake_close(rig->task, v2), 0);
	assert_int_equal(vfake_close(rig->task, v0), 0);
}

static void a_pasid_needs_a_page_table_that_was_made_for_it(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint32_t id, plain, pasid, pt;
	int v0 = bound_device(rig, "d0", &id);
	struct vfio_device_detach_iommufd_pt off = { .argsz = sizeof(off),
						     .flags = VFIO_DEVICE_DETACH_PASID,
						     .pasid = 5 };

	assert_int_equal(hwpt_alloc(rig, id, ioas, 0, &plain), 0);
	assert_int_equal(hwpt_alloc(rig, id, ioas, IOMMU_HWPT_ALLOC_PASID, &pasid), 0);
	pt = 99;
	assert_int_equal(attach_pasid(rig, v0, 5, &pt), -ENOENT);
	pt = plain;
	assert_int_equal(attach_pasid(rig, v0, 5, &pt), -EINVAL);
	pt = ioas;
	assert_int_equal(attach_pasid(rig, v0, 5, &pt), -EINVAL);
	pt = pasid;
	assert_int_equal(attach_pasid(rig, v0, 0x80000000, &pt), -ENOSPC);
	assert_int_equal(attach_pasid(rig, v0, 5, &pt), 0);
	assert_int_equal(destroy(rig, pasid), -EBUSY);
	assert_int_equal(attach(rig, v0, &plain), -EINVAL);
	assert_int_equal(call_on(rig, v0, VFIO_DEVICE_DETACH_IOMMUFD_PT, &off), 0);
	assert_int_equal(call_on(rig, v0, VFIO_DEVICE_DETACH_IOMMUFD_PT, &off), 0);
	assert_int_equal(attach(rig, v0, &plain), 0);
	assert_int_equal(attach_pasid(rig, v0, 5, &pt), -EINVAL);
	pt = pasid;
	assert_int_equal(attach(rig, v0, &pt), 0);
	assert_int_equal(attach_pasid(rig, v0, 7, &pt), 0);
	assert_int_equal(vfake_close(rig->task, v0), 0);
	assert_int_equal(destroy(rig, pasid), 0);
}

static void the_hardware_is_vtd(void **state)
{
	struct rig *rig = *state;
	unsigned char data[40];
	struct iommu_hw_info_vtd vtd;
	struct iommu_hw_info arg = { .size = sizeof(arg),
				     .data_len = sizeof(data),
				     .data_uptr = (uintptr_t)data };
	int v0 = bound_device(rig, "d0", &arg.dev_id);

	memset(data, 0xff, sizeof(data));
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_GET_HW_INFO, &arg), 0);
	assert_int_equal(arg.out_data_type, IOMMU_HW_INFO_TYPE_INTEL_VTD);
	assert_int_equal(arg.data_len, sizeof(vtd));
	memcpy(&vtd, data, sizeof(vtd));
	assert_int_equal((vtd.cap_reg >> 16 & 0x3f) + 1, 48); /* MGAW: the width of an IOVA */
	assert_int_equal(data[sizeof(vtd)], 0);
	assert_int_equal(data[sizeof(data) - 1], 0);
	assert_int_equal(arg.out_capabilities, IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
	arg.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE;
	arg.in_data_type = IOMMU_HW_INFO_TYPE_ARM_SMMUV3;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_GET_HW_INFO, &arg), -EOPNOTSUPP);
	assert_int_equal(vfake_close(rig->task, v0), 0);
	arg.in_data_type = IOMMU_HW_INFO_TYPE_DEFAULT;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_GET_HW_INFO, &arg), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_token_is_read_and_refused, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(another_iommufd_cannot_take_a_group,
						setup_shared_group, rig_teardown),
		cmocka_unit_test_setup_teardown(a_group_is_attached_as_one, setup_shared_group,
						rig_teardown),
		cmocka_unit_test_setup_teardown(coherency_is_as_good_as_the_worst_page_table,
						setup_shared_group, rig_teardown),
		cmocka_unit_test_setup_teardown(coherency_is_as_good_as_the_worst_page_table, setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(bound_devices_are_objects_that_nobody_destroys,
						setup, rig_teardown),
		cmocka_unit_test_setup_teardown(
			an_automatic_page_table_is_shared_and_goes_with_the_last, setup,
			rig_teardown),
		cmocka_unit_test_setup_teardown(a_page_table_of_the_user_stays, setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(what_the_driver_does_not_make, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_device_brings_its_reserved_iovas, setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(a_pasid_needs_a_page_table_that_was_made_for_it,
						setup, rig_teardown),
		cmocka_unit_test_setup_teardown(the_hardware_is_vtd, setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
