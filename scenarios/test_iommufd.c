/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommufd without a device: the life of objects, IOASes, options, the emulated container.
 */
#include "iommufd_rig.h"

static int setup(void **state)
{
	static struct rig rig;
	struct vfake_world world;

	vfake_world_x86(&world);
	rig_start(&rig, &world, true);
	*state = &rig;
	return 0;
}

/* ---- objects ---- */

static void ids_are_the_lowest_that_are_free(void **state)
{
	struct rig *rig = *state;

	for (uint32_t id = 1; id <= 40; id++)
		assert_int_equal(ioas_alloc(rig), id);
	assert_int_equal(destroy(rig, 7), 0);
	assert_int_equal(destroy(rig, 3), 0);
	assert_int_equal(destroy(rig, 3), -ENOENT);
	assert_int_equal(ioas_alloc(rig), 3);
	assert_int_equal(ioas_alloc(rig), 7);
	assert_int_equal(ioas_alloc(rig), 41);
	assert_int_equal(destroy(rig, 0), -ENOENT);
	assert_int_equal(destroy(rig, UINT32_MAX), -ENOENT);
}

/* Read-only memory that holds @arg: the kernel reads the call and cannot answer. */
static vfake_addr read_only_copy(const struct rig *rig, const void *arg, uint64_t len)
{
	vfake_addr writable, read_only;
	int fd = vfake_memfd(rig->task, PAGE);

	assert_true(fd >= 0);
	assert_int_equal(
		vfake_mmap(rig->task, PAGE, VFAKE_PROT_READ | VFAKE_PROT_WRITE, fd, 0, &writable),
		0);
	assert_int_equal(vfake_mmap(rig->task, PAGE, VFAKE_PROT_READ, fd, 0, &read_only), 0);
	assert_int_equal(vfake_poke(rig->task, writable, arg, len), 0);
	assert_int_equal(vfake_munmap(rig->task, writable, PAGE), 0);
	assert_int_equal(vfake_close(rig->task, fd), 0);
	return read_only;
}

static void an_object_goes_when_its_id_cannot_be_told(void **state)
{
	struct rig *rig = *state;
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct iommu_fault_alloc fault = { .size = sizeof(fault) };
	vfake_addr alloc_at = read_only_copy(rig, &alloc, sizeof(alloc));
	vfake_addr fault_at = read_only_copy(rig, &fault, sizeof(fault));
	struct vfake_ledger before = vfake_ledger(rig->kernel);
	struct vfake_ledger after;

	assert_int_equal(vfake_ioctl(rig->task, rig->iommufd, IOMMU_IOAS_ALLOC, alloc_at), -EFAULT);
	assert_int_equal(vfake_ioctl(rig->task, rig->iommufd, IOMMU_FAULT_QUEUE_ALLOC, fault_at),
			 -EFAULT);
	after = vfake_ledger(rig->kernel);
	assert_int_equal(after.descriptors, before.descriptors);
	assert_int_equal(after.open_files, before.open_files);
	assert_int_equal(ioas_alloc(rig), 1);
	assert_int_equal(destroy(rig, 1), 0);
	assert_int_equal(vfake_munmap(rig->task, alloc_at, PAGE), 0);
	assert_int_equal(vfake_munmap(rig->task, fault_at, PAGE), 0);
}

static void a_mapping_stays_when_its_iova_cannot_be_told(void **state)
{
	struct rig *rig = *state;
	struct iommu_ioas_map arg = { .size = sizeof(arg),
				      .flags = FIXED_RW,
				      .ioas_id = ioas_alloc(rig),
				      .user_va = rig->memory,
				      .length = PAGE,
				      .iova = 0x5000 };
	vfake_addr at = read_only_copy(rig, &arg, sizeof(arg));

	assert_int_equal(vfake_ioctl(rig->task, rig->iommufd, IOMMU_IOAS_MAP, at), -EFAULT);
	assert_int_equal(unmap(rig, 1, 0x5000, PAGE), PAGE);
	assert_int_equal(vfake_munmap(rig->task, at, PAGE), 0);
}

static void a_fault_queue_lives_with_its_file(void **state)
{
	struct rig *rig = *state;
	struct iommu_fault_alloc arg = { .size = sizeof(arg) };
	struct iommu_hwpt_page_response response = { 0 };
	struct iommu_hwpt_pgfault fault;
	int fd;

	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_FAULT_QUEUE_ALLOC, &arg), 0);
	fd = (int)arg.out_fault_fd;
	assert_int_equal(destroy(rig, arg.out_fault_id), -EBUSY);
	assert_int_equal(vfake_read(rig->task, fd, (uintptr_t)&fault, sizeof(fault)), 0);
	assert_int_equal(vfake_read(rig->task, fd, (uintptr_t)&fault, sizeof(fault) - 1), -ESPIPE);
	assert_int_equal(vfake_write(rig->task, fd, (uintptr_t)&response, sizeof(response)),
			 -EINVAL);
	assert_int_equal(vfake_write(rig->task, fd, (uintptr_t)&response, 3), -ESPIPE);
	assert_int_equal(vfake_close(rig->task, fd), 0);
	assert_int_equal(destroy(rig, arg.out_fault_id), 0);

	/* The file holds the context: it may be closed last. */
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_FAULT_QUEUE_ALLOC, &arg), 0);
	assert_int_equal(vfake_close(rig->task, rig->iommufd), 0);
	assert_int_equal(vfake_close(rig->task, (int)arg.out_fault_fd), 0);
	assert_ledger(rig);
	rig->iommufd = vfake_open(rig->task, "/dev/iommu");
}

static void virtual_iommus_answer_as_without_hardware(void **state)
{
	struct rig *rig = *state;
	struct iommu_viommu_alloc viommu = { .size = sizeof(viommu), .type = 1, .dev_id = 1 };
	struct iommu_vdevice_alloc vdevice = { .size = sizeof(vdevice), .viommu_id = 1 };
	struct iommu_veventq_alloc queue = { .size = sizeof(queue), .viommu_id = 1, .type = 1 };
	struct iommu_hw_queue_alloc hw = { .size = sizeof(hw), .viommu_id = 1, .type = 1 };

	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_VIOMMU_ALLOC, &viommu), -ENOENT);
	viommu.type = 0;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_VIOMMU_ALLOC, &viommu), -EOPNOTSUPP);
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_VDEVICE_ALLOC, &vdevice), -ENOENT);
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_VEVENTQ_ALLOC, &queue), -EINVAL);
	queue.veventq_depth = (1 << 19) + 1;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_VEVENTQ_ALLOC, &queue), -EINVAL);
	queue.veventq_depth = 1 << 19;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_VEVENTQ_ALLOC, &queue), -ENOENT);
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_HW_QUEUE_ALLOC, &hw), -EINVAL);
	hw.length = 2;
	hw.nesting_parent_iova = UINT64_MAX;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_HW_QUEUE_ALLOC, &hw), -EOVERFLOW);
	hw.length = 1;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_HW_QUEUE_ALLOC, &hw), -ENOENT);
}

static void an_invalidation_counts_nothing_done(void **state)
{
	struct rig *rig = *state;
	struct iommu_hwpt_invalidate arg = { .size = sizeof(arg), .hwpt_id = ioas_alloc(rig) };

	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_HWPT_INVALIDATE, &arg), -EINVAL);
	arg.entry_num = 5;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_HWPT_INVALIDATE, &arg), -EINVAL);
	assert_int_equal(arg.entry_num, 0);
	arg.hwpt_id = 99;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_HWPT_INVALIDATE, &arg), -ENOENT);
	arg.__reserved = 1;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_HWPT_INVALIDATE, &arg), -EOPNOTSUPP);
}

/* ---- mapping ---- */

static void an_unmap_takes_whole_areas_and_keeps_what_it_took(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);

	assert_int_equal(map(rig, ioas, 0, PAGE, 0x1000), 0);
	assert_int_equal(map(rig, ioas, PAGE, 2 * PAGE, 0x2000), 0);
	assert_int_equal(map(rig, ioas, 0, PAGE, 0x3000), -EEXIST);
	assert_int_equal(unmap(rig, ioas, 0x2000, PAGE), -ENOENT);
	assert_int_equal(unmap(rig, ioas, 0x3000, PAGE), -ENOENT);
	/* The first area lies in the range and goes before the second is seen to stick out. */
	assert_int_equal(unmap(rig, ioas, 0x1000, 2 * PAGE), -ENOENT);
	assert_int_equal(unmap(rig, ioas, 0x1000, PAGE), -ENOENT);
	assert_int_equal(unmap(rig, ioas, 0, 0x100000), 2 * PAGE);
	assert_int_equal(unmap(rig, ioas, 0, UINT64_MAX), 0);
	assert_int_equal(unmap(rig, ioas, 0, 0), -EINVAL);
	assert_int_equal(unmap(rig, ioas, PAGE, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(unmap(rig, ioas, UINT64_MAX - 1, 3), -EOVERFLOW);
}

static void the_last_page_of_all_is_like_any_other(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	const uint64_t top = UINT64_MAX - PAGE + 1;

	assert_int_equal(map(rig, ioas, 0, PAGE, 0), 0);
	assert_int_equal(map(rig, ioas, PAGE, PAGE, top), 0);
	assert_int_equal(map(rig, ioas, PAGE, 2 * PAGE, top), -EOVERFLOW);
	assert_int_equal(copy(rig, ioas, 0x10000, ioas, top, PAGE, FIXED_RW), 0);
	assert_int_equal(unmap(rig, ioas, top, PAGE), PAGE);
	assert_int_equal(unmap(rig, ioas, top, PAGE), -ENOENT);
	assert_int_equal(unmap(rig, ioas, 0, UINT64_MAX), 2 * PAGE);
}

static void a_copy_may_begin_and_end_inside_areas(void **state)
{
	struct rig *rig = *state;
	uint32_t from = ioas_alloc(rig);
	uint32_t to = ioas_alloc(rig);

	assert_int_equal(map(rig, from, 0, 2 * PAGE, 0x10000), 0);
	assert_int_equal(map(rig, from, 0x100000, 2 * PAGE, 0x12000), 0);
	assert_int_equal(copy(rig, to, 0, from, 0x11000, 2 * PAGE, FIXED_RW), 0);
	assert_int_equal(copy(rig, to, 0x8000, from, 0x11000, 4 * PAGE, FIXED_RW), -ENOENT);
	assert_int_equal(copy(rig, to, 0x1000, from, 0x11000, PAGE, FIXED_RW), -EEXIST);
	/* The copy is two areas, as what it was made from. */
	assert_int_equal(unmap(rig, to, 0x1000, PAGE), PAGE);
	assert_int_equal(unmap(rig, to, 0, PAGE), PAGE);
	/* It outlives its source, and the source it. */
	assert_int_equal(copy(rig, to, 0, from, 0x10000, PAGE, FIXED_RW), 0);
	assert_int_equal(destroy(rig, from), 0);
	assert_int_equal(unmap(rig, to, 0, PAGE), PAGE);
}

static void a_copy_cannot_add_the_right_to_write(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint64_t iova = 0;
	uint32_t read_only = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE;

	assert_int_equal(map_to(rig, ioas, read_only, rig->memory, PAGE, &iova), 0);
	assert_int_equal(copy(rig, ioas, 0x1000, ioas, 0, PAGE, FIXED_RW), -EPERM);
	assert_int_equal(copy(rig, ioas, 0x1000, ioas, 0, PAGE, read_only), 0);
}

static void the_iova_keeps_alignment_and_offset_of_the_address(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint64_t iova = 0;

	/* 0 is never chosen; 2 MiB at an address that is aligned to 1 GiB gets a huge page. */
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory, 2 << 20, &iova), 0);
	assert_int_equal(iova, 2 << 20);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + 0x3000, 0x4000, &iova), 0);
	assert_int_equal(iova, 0x1000);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + 0x6abc, 0x1000, &iova), 0);
	assert_int_equal(iova, 0x5abc);
	/* A gap whose only candidate does not fit is passed over. */
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + 0x10000, 0x10000, &iova), 0);
	assert_int_equal(iova, 0x10000);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory, (uint64_t)1 << 63, &iova),
			 -EOVERFLOW);
}

static void a_hole_that_opens_is_found_again(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint64_t iova = 0;

	for (uint64_t i = 1; i <= 100; i++) {
		assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + PAGE, PAGE, &iova), 0);
		assert_int_equal(iova, i * PAGE);
	}
	assert_int_equal(unmap(rig, ioas, 40 * PAGE, 2 * PAGE), 2 * PAGE);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + PAGE, PAGE, &iova), 0);
	assert_int_equal(iova, 40 * PAGE);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + PAGE, 3 * PAGE, &iova), 0);
	assert_int_equal(iova, 101 * PAGE);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + PAGE, PAGE, &iova), 0);
	assert_int_equal(iova, 41 * PAGE);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + PAGE, PAGE, &iova), 0);
	assert_int_equal(iova, 104 * PAGE);
}

/* The offset is put into the start of a gap bit by bit: what is left of a gap may have a place. */
static void a_map_may_open_a_place_for_an_odd_address(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint64_t iova = 0;

	assert_int_equal(map(rig, ioas, 0, 0x19f0, 0x1000), 0);
	assert_int_equal(map(rig, ioas, 0, 0x400, 0x2c00), 0);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + 0xabc, 8, &iova), 0);
	assert_int_equal(iova, 0x3abc); /* of the gap at 0x29f0 only the last 4 bytes would do */
	assert_int_equal(map(rig, ioas, 0, 0x10, 0x29f0), 0);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + 0xabc, 8, &iova), 0);
	assert_int_equal(iova, 0x2abc);
}

static void allowed_ranges_bound_the_choice_and_not_the_fixed(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	/* The first two touch, so that an area may lie across them. */
	const struct iommu_iova_range list[] = { { 0x8000, 0x9fff },
						 { 0xa000, 0xbfff },
						 { 0x20000, 0x20fff } };
	const struct iommu_iova_range empty[] = { { 5, 5 } };
	const struct iommu_iova_range twice[] = { { 0, 9 }, { 9, 20 } };
	uint64_t iova = 0;

	assert_int_equal(allow(rig, ioas, empty, 1), -EINVAL);
	assert_int_equal(allow(rig, ioas, twice, 2), -EINVAL);
	assert_int_equal(allow(rig, ioas, list, 3), 0);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + PAGE, 3 * PAGE, &iova), 0);
	assert_int_equal(iova, 0x8000);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + PAGE, 2 * PAGE, &iova), -ENOSPC);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + PAGE, PAGE, &iova), 0);
	assert_int_equal(iova, 0xb000);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + PAGE, PAGE, &iova), 0);
	assert_int_equal(iova, 0x20000);
	assert_int_equal(map(rig, ioas, 0, PAGE, 0x100000), 0);
	assert_int_equal(allow(rig, ioas, NULL, 0), 0);
	assert_int_equal(map_to(rig, ioas, ANY_RW, rig->memory + PAGE, PAGE, &iova), 0);
	assert_int_equal(iova, 0x1000);
}

static void ranges_tell_their_number_although_there_is_no_room(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	struct iommu_iova_range range = { 0 };
	uint32_t count = 0;

	assert_int_equal(iova_ranges(rig, ioas, NULL, &count), -EMSGSIZE);
	assert_int_equal(count, 1);
	assert_int_equal(iova_ranges(rig, ioas, &range, &count), 1);
	assert_int_equal(range.start, 0);
	assert_int_equal(range.last, UINT64_MAX);
}

/* ---- options ---- */

static void options_say_what_they_take(void **state)
{
	struct rig *rig = *state;
	uint64_t value = 1;
	uint32_t ioas;

	assert_int_equal(option(rig, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &value), 0);
	value = 7;
	assert_int_equal(option(rig, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_GET, 0, &value), 0);
	assert_int_equal(value, 1);
	value = 2;
	assert_int_equal(option(rig, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &value),
			 -EINVAL);
	assert_int_equal(option(rig, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 1, &value),
			 -EOPNOTSUPP);
	assert_int_equal(option(rig, 2, IOMMU_OPTION_OP_GET, 0, &value), -EOPNOTSUPP);
	ioas = ioas_alloc(rig);
	value = 0;
	assert_int_equal(option(rig, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &value),
			 -EBUSY);
	assert_int_equal(option(rig, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_GET, ioas, &value),
			 0);
	assert_int_equal(value, 1);
	assert_int_equal(map(rig, ioas, 0x800, 0x800, 0x800), 0);
	value = 0; /* small pages need areas of whole ones */
	assert_int_equal(option(rig, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, ioas, &value),
			 -EADDRINUSE);
	assert_int_equal(unmap(rig, ioas, 0, UINT64_MAX), 0x800);
	assert_int_equal(option(rig, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, ioas, &value),
			 0);
	assert_int_equal(map(rig, ioas, 0x800, 0x800, 0x800), -EINVAL);
	value = 1;
	assert_int_equal(option(rig, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, ioas, &value),
			 0);
	assert_int_equal(map(rig, ioas, 0x800, 0x800, 0x800), 0);
}

static void the_accounting_mode_needs_a_capability(void **state)
{
	struct rig *rig = *state;
	struct vfake_task_attr attr = rig_attr(true);
	struct vfake_task *plain;
	struct iommu_option arg = { .size = sizeof(arg), .op = IOMMU_OPTION_OP_SET };
	int fd;

	attr.cap_sys_resource = false;
	plain = vfake_task_new(rig->kernel, &attr);
	fd = vfake_open(plain, "/dev/iommu");
	assert_int_equal(vfake_ioctl(plain, fd, IOMMU_OPTION, (uintptr_t)&arg), -EPERM);
	vfake_task_exit(plain);
}

/* ---- the compat IOAS without a group ---- */

static void the_compat_ioas_is_set_cleared_and_destroyed(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint32_t id = 0;

	assert_int_equal(compat_ioas(rig, IOMMU_VFIO_IOAS_GET, &id), -ENODEV);
	id = 99;
	assert_int_equal(compat_ioas(rig, IOMMU_VFIO_IOAS_SET, &id), -ENOENT);
	assert_int_equal(compat_ioas(rig, 3, &id), -EOPNOTSUPP);
	id = ioas;
	assert_int_equal(compat_ioas(rig, IOMMU_VFIO_IOAS_SET, &id), 0);
	id = 0;
	assert_int_equal(compat_ioas(rig, IOMMU_VFIO_IOAS_GET, &id), 0);
	assert_int_equal(id, ioas);
	assert_int_equal(compat_ioas(rig, IOMMU_VFIO_IOAS_CLEAR, &id), 0);
	assert_int_equal(compat_ioas(rig, IOMMU_VFIO_IOAS_GET, &id), -ENODEV);
	id = ioas;
	assert_int_equal(compat_ioas(rig, IOMMU_VFIO_IOAS_SET, &id), 0);
	assert_int_equal(destroy(rig, ioas), 0);
	assert_int_equal(compat_ioas(rig, IOMMU_VFIO_IOAS_GET, &id), -ENODEV);
}

static void container_calls_work_on_the_compat_ioas(void **state)
{
	struct rig *rig = *state;
	struct vfio_iommu_type1_dma_map dma = { .argsz = sizeof(dma),
						.flags = VFIO_DMA_MAP_FLAG_READ,
						.vaddr = rig->memory,
						.iova = 0x10000,
						.size = 0x10000 };
	struct vfio_iommu_type1_dma_unmap gone = { .argsz = sizeof(gone),
						   .iova = 0x14000,
						   .size = 0x4000 };
	uint32_t id;

	assert_int_equal(vfake_ioctl(rig->task, rig->iommufd, VFIO_GET_API_VERSION, 0),
			 VFIO_API_VERSION);
	assert_int_equal(
		vfake_ioctl(rig->task, rig->iommufd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU), 1);
	assert_int_equal(
		vfake_ioctl(rig->task, rig->iommufd, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR), 0);
	assert_int_equal(vfake_ioctl(rig->task, rig->iommufd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU),
			 -ENODEV);
	assert_int_equal(call_on(rig, rig->iommufd, VFIO_IOMMU_MAP_DMA, &dma), -ENODEV);
	id = ioas_alloc(rig);
	assert_int_equal(compat_ioas(rig, IOMMU_VFIO_IOAS_SET, &id), 0);
	assert_int_equal(vfake_ioctl(rig->task, rig->iommufd, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_IOMMU),
			 -EINVAL);
	/* Version 2 leaves areas whole. */
	assert_int_equal(vfake_ioctl(rig->task, rig->iommufd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU),
			 0);
	assert_int_equal(call_on(rig, rig->iommufd, VFIO_IOMMU_MAP_DMA, &dma), 0);
	assert_int_equal(call_on(rig, rig->iommufd, VFIO_IOMMU_MAP_DMA, &dma), -EEXIST);
	assert_int_equal(call_on(rig, rig->iommufd, VFIO_IOMMU_UNMAP_DMA, &gone), -ENOENT);
	assert_int_equal(gone.size, 0);
	/* Version 1 cuts them. */
	assert_int_equal(vfake_ioctl(rig->task, rig->iommufd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0);
	gone.size = 0x4000;
	assert_int_equal(call_on(rig, rig->iommufd, VFIO_IOMMU_UNMAP_DMA, &gone), 0);
	assert_int_equal(gone.size, 0x4000);
	assert_int_equal(unmap(rig, id, 0x10000, 0x4000), 0x4000);
	assert_int_equal(unmap(rig, id, 0x14000, 0x4000), -ENOENT);
	gone.flags = VFIO_DMA_UNMAP_FLAG_ALL;
	assert_int_equal(call_on(rig, rig->iommufd, VFIO_IOMMU_UNMAP_DMA, &gone), -EINVAL);
	gone.iova = gone.size = 0;
	assert_int_equal(call_on(rig, rig->iommufd, VFIO_IOMMU_UNMAP_DMA, &gone), 0);
	assert_int_equal(gone.size, 0x8000);
}

static void the_info_grows_to_its_capabilities(void **state)
{
	struct rig *rig = *state;
	struct {
		struct vfio_iommu_type1_info info;
		unsigned char caps[256];
	} answer;
	struct vfio_info_cap_header header;
	uint32_t id = ioas_alloc(rig);
	uint32_t needed;

	assert_int_equal(compat_ioas(rig, IOMMU_VFIO_IOAS_SET, &id), 0);
	memset(&answer, 0, sizeof(answer));
	answer.info.argsz = sizeof(answer.info);
	assert_int_equal(call_on(rig, rig->iommufd, VFIO_IOMMU_GET_INFO, &answer), 0);
	assert_int_equal(answer.info.cap_offset, 0);
	needed = answer.info.argsz;
	assert_true(needed > sizeof(answer.info) && needed <= sizeof(answer));
	assert_int_equal(call_on(rig, rig->iommufd, VFIO_IOMMU_GET_INFO, &answer), 0);
	assert_int_equal(answer.info.argsz, needed);
	assert_int_equal(answer.info.cap_offset, sizeof(answer.info));
	memcpy(&header, (char *)&answer + answer.info.cap_offset, sizeof(header));
	assert_int_equal(header.id, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	memcpy(&header, (char *)&answer + header.next, sizeof(header));
	assert_int_equal(header.id, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	assert_int_equal(header.next, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ids_are_the_lowest_that_are_free),
		TEST(an_object_goes_when_its_id_cannot_be_told),
		TEST(a_mapping_stays_when_its_iova_cannot_be_told),
		TEST(a_fault_queue_lives_with_its_file),
		TEST(virtual_iommus_answer_as_without_hardware),
		TEST(an_invalidation_counts_nothing_done),
		TEST(an_unmap_takes_whole_areas_and_keeps_what_it_took),
		TEST(the_last_page_of_all_is_like_any_other),
		TEST(a_copy_may_begin_and_end_inside_areas),
		TEST(a_copy_cannot_add_the_right_to_write),
		TEST(the_iova_keeps_alignment_and_offset_of_the_address),
		TEST(a_hole_that_opens_is_found_again),
		TEST(a_map_may_open_a_place_for_an_odd_address),
		TEST(allowed_ranges_bound_the_choice_and_not_the_fixed),
		TEST(ranges_tell_their_number_although_there_is_no_room),
		TEST(options_say_what_they_take),
		TEST(the_accounting_mode_needs_a_capability),
		TEST(the_compat_ioas_is_set_cleared_and_destroyed),
		TEST(container_calls_work_on_the_compat_ioas),
		TEST(the_info_grows_to_its_capabilities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
