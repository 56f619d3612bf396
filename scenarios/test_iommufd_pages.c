/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommufd's pinned memory: who shares it, who pays for it, and which of it a device wrote.
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

/* A process that pays for what it pins. */
static int setup_paying(void **state)
{
	struct vfake_world world = three_devices();

	return setup_with(state, &world, false);
}

static int setup_dirty(void **state)
{
	struct vfake_world world = three_devices();

	world.iommu_dirty_tracking = true;
	return setup_with(state, &world, true);
}

/* ---- pins ---- */

static void copies_share_their_pins(void **state)
{
	struct rig *rig = *state;
	uint32_t from = ioas_alloc(rig), to = ioas_alloc(rig);
	uint32_t id, hwpt0, hwpt1;
	int v0 = bound_device(rig, "d0", &id);

	assert_int_equal(map(rig, from, 0, 8 * PAGE, 0x10000), 0);
	assert_int_equal(hwpt_alloc(rig, id, to, 0, &hwpt1), 0);
	assert_int_equal(copy(rig, to, 0x2000, from, 0x12000, 2 * PAGE, FIXED_RW), 0);
	assert_int_equal(copy(rig, to, 0x8000, from, 0x13000, 3 * PAGE, FIXED_RW), 0);
	assert_int_equal(pinned(rig), 4); /* pages 2 to 5 */
	assert_int_equal(hwpt_alloc(rig, id, from, 0, &hwpt0), 0);
	assert_int_equal(pinned(rig), 8);
	assert_int_equal(unmap(rig, to, 0x2000, 2 * PAGE), 2 * PAGE);
	assert_int_equal(pinned(rig), 8);
	assert_int_equal(unmap(rig, from, 0x10000, 8 * PAGE), 8 * PAGE);
	assert_int_equal(pinned(rig), 3);
	assert_int_equal(destroy(rig, hwpt1), 0);
	assert_int_equal(pinned(rig), 0);
	assert_int_equal(vfake_close(rig->task, v0), 0);
}

static void a_page_that_is_not_there_undoes_the_map(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint32_t id, hwpt, pt = ioas;
	uint64_t iova = 0x10000;
	int v0 = bound_device(rig, "d0", &id);

	assert_int_equal(vfake_munmap(rig->task, rig->memory + 4 * PAGE, PAGE), 0);
	assert_int_equal(map(rig, ioas, 0, 8 * PAGE, 0x10000), 0);
	assert_int_equal(attach(rig, v0, &pt), -EFAULT);
	assert_int_equal(hwpt_alloc(rig, id, ioas, 0, &hwpt), -EFAULT);
	assert_int_equal(pinned(rig), 0);
	assert_int_equal(unmap(rig, ioas, 0x10000, 8 * PAGE), 8 * PAGE);
	pt = ioas;
	assert_int_equal(attach(rig, v0, &pt), 0);
	assert_int_equal(map(rig, ioas, 0, 8 * PAGE, 0x10000), -EFAULT);
	assert_int_equal(pinned(rig), 0);
	assert_int_equal(map(rig, ioas, 0, 4 * PAGE, 0x10000), 0);
	assert_int_equal(pinned(rig), 4);
	/* Memory that the program gives back stays pinned, and the device reaches it. */
	assert_int_equal(vfake_munmap(rig->task, rig->memory, 4 * PAGE), 0);
	assert_int_equal(rig_dma(rig, "d0", iova, &pt, sizeof(pt), true), 0);
	assert_int_equal(vfake_close(rig->task, v0), 0);
}

static void a_file_pins_as_far_as_it_goes(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint32_t id, pt = ioas;
	int v0 = bound_device(rig, "d0", &id);
	int file = vfake_memfd(rig->task, 4 * PAGE);
	struct iommu_ioas_map_file arg = { .size = sizeof(arg),
					   .flags = FIXED_RW,
					   .ioas_id = ioas,
					   .fd = file,
					   .start = PAGE,
					   .length = 4 * PAGE };

	assert_int_equal(attach(rig, v0, &pt), 0);
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_IOAS_MAP_FILE, &arg), -EINVAL);
	arg.length = 3 * PAGE;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_IOAS_MAP_FILE, &arg), 0);
	assert_int_equal(pinned(rig), 3);
	arg.iova = 0x100000;
	arg.fd = v0;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_IOAS_MAP_FILE, &arg), -EINVAL);
	arg.fd = 99;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_IOAS_MAP_FILE, &arg), -EBADF);
	assert_int_equal(vfake_close(rig->task, file), 0);
	assert_int_equal(rig_dma(rig, "d0", 2 * PAGE, &pt, sizeof(pt), true), 0);
	assert_int_equal(vfake_close(rig->task, v0), 0);
}

static int export_bar0(const struct rig *rig, int device)
{
	unsigned char bytes[sizeof(struct vfio_device_feature) +
			    sizeof(struct vfio_device_feature_dma_buf) +
			    sizeof(struct vfio_region_dma_range)];
	struct vfio_device_feature feature = {
		.argsz = sizeof(bytes),
		.flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF,
	};
	struct vfio_device_feature_dma_buf get = { .region_index = VFIO_PCI_BAR0_REGION_INDEX,
						   .nr_ranges = 1 };
	struct vfio_region_dma_range range = { .offset = 2 * PAGE, .length = 4 * PAGE };

	memcpy(bytes, &feature, sizeof(feature));
	memcpy(bytes + sizeof(feature), &get, sizeof(get));
	memcpy(bytes + sizeof(feature) + sizeof(get), &range, sizeof(range));
	return (int)call_on(rig, device, VFIO_DEVICE_FEATURE, bytes);
}

static void set_memory_enable(const struct rig *rig, int device, bool on)
{
	uint8_t command[2] = { on ? 0x3 : 0x1 }; /* little-endian, whatever the machine */
	uint64_t at = ((uint64_t)VFIO_PCI_CONFIG_REGION_INDEX << 40) + 4;

	assert_int_equal(vfake_pwrite(rig->task, device, (uintptr_t)command, 2, at), 2);
}

static void a_bar_is_mapped_until_its_device_takes_it_back(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint32_t id0, id1, pt = ioas, value = 7;
	int v0 = bound_device(rig, "d0", &id0);
	int v1 = bound_device(rig, "d1", &id1);
	struct iommu_ioas_change_process change = { .size = sizeof(change) };
	struct iommu_ioas_map_file arg = { .size = sizeof(arg),
					   .flags = FIXED_RW,
					   .ioas_id = ioas,
					   .fd = export_bar0(rig, v0),
					   .start = PAGE,
					   .length = 4 * PAGE };

	assert_true(arg.fd >= 0);
	assert_int_equal(attach(rig, v1, &pt), 0);
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_IOAS_MAP_FILE, &arg), -EINVAL);
	arg.length = 2 * PAGE;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_IOAS_MAP_FILE, &arg), 0);
	assert_int_equal(locked(rig), 0);
	assert_int_equal(rig_dma(rig, "d1", PAGE, &value, sizeof(value), true), 0);
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_IOAS_CHANGE_PROCESS, &change), -EINVAL);
	set_memory_enable(rig, v0, false);
	arg.iova = 0x100000;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_IOAS_MAP_FILE, &arg), -ENODEV);
	set_memory_enable(rig, v0, true);
	assert_int_equal(rig_dma(rig, "d1", PAGE, &value, sizeof(value), true), -EFAULT);
	/* What is mapped from now on works, what was mapped before does not, in a new table
	 * neither. */
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_IOAS_MAP_FILE, &arg), 0);
	assert_int_equal(rig_dma(rig, "d1", 0x100000, &value, sizeof(value), true), 0);
	assert_int_equal(detach(rig, v1), 0);
	pt = ioas;
	assert_int_equal(attach(rig, v1, &pt), 0);
	assert_int_equal(rig_dma(rig, "d1", PAGE, &value, sizeof(value), true), -EFAULT);
	assert_int_equal(rig_dma(rig, "d1", 0x101000, &value, sizeof(value), true), 0);
	assert_int_equal(vfake_close(rig->task, v0), 0);
	assert_int_equal(rig_dma(rig, "d1", 0x101000, &value, sizeof(value), true), -EFAULT);
	assert_int_equal(unmap(rig, ioas, 0, UINT64_MAX), 4 * PAGE);
	assert_int_equal(vfake_close(rig->task, arg.fd), 0);
	assert_int_equal(vfake_close(rig->task, v1), 0);
}

/*
 * More memories than a table keeps in mind, while page tables come and go and some areas are
 * copied: whatever an unmap knows of an area without reading it, the books stay right.
 */
static void areas_of_many_memories_are_given_back(void **state)
{
	enum { MEMORIES = 12, PAGES = 3, LENGTH = PAGES * PAGE, STRIDE = 0x10000 };
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig), other = ioas_alloc(rig), id;
	int v0 = bound_device(rig, "d0", &id);

	for (unsigned int round = 0; round < 16; round++) {
		bool attached_half_way = round & 1, detach_half_way = round & 2;
		bool copied = round & 4, backwards = round & 8;
		uint64_t pages = (uint64_t)MEMORIES * PAGES;
		vfake_addr memory[MEMORIES];
		uint32_t pt = ioas;

		for (unsigned int i = 0; i < MEMORIES; i++) {
			uint64_t iova = (i + 1) * (uint64_t)STRIDE;

			if (i == (attached_half_way ? MEMORIES / 2 : 0))
				assert_int_equal(attach(rig, v0, &pt), 0);
			assert_int_equal(
				vfake_mmap(rig->task, LENGTH, VFAKE_PROT_WRITE, -1, 0, &memory[i]),
				0);
			assert_int_equal(map_to(rig, ioas, FIXED_RW, memory[i], LENGTH, &iova), 0);
		}
		assert_int_equal(pinned(rig), pages);
		assert_int_equal(locked(rig), pages);
		if (copied)
			assert_int_equal(copy(rig, other, PAGE, ioas, STRIDE, LENGTH, FIXED_RW), 0);
		for (unsigned int k = 0; k < MEMORIES; k++) {
			unsigned int i = backwards ? MEMORIES - 1 - k : k;

			if (k == MEMORIES / 2 && detach_half_way) {
				assert_int_equal(detach(rig, v0), 0);
				assert_int_equal(pinned(rig), 0);
				pages = 0;
			}
			assert_int_equal(vfake_munmap(rig->task, memory[i], LENGTH), 0);
			assert_int_equal(unmap(rig, ioas, (i + 1) * (uint64_t)STRIDE, LENGTH),
					 LENGTH);
			pages -= pages ? PAGES : 0;
			assert_int_equal(pinned(rig), pages);
			assert_int_equal(locked(rig), pages);
		}
		if (!detach_half_way)
			assert_int_equal(detach(rig, v0), 0);
		if (copied)
			assert_int_equal(unmap(rig, other, PAGE, LENGTH), LENGTH);
	}
	assert_int_equal(vfake_close(rig->task, v0), 0);
}

/* ---- who pays ---- */

static void a_charge_that_fails_leaves_nothing(void **state)
{
	struct rig *rig = *state;
	uint64_t mode = 0;
	uint32_t ioas, id, pt;
	int v0;

	for (mode = 0; mode < 2; mode++) {
		assert_int_equal(
			option(rig, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &mode), 0);
		assert_int_equal(vfake_memlock(rig->task, 8 * PAGE), 0);
		ioas = pt = ioas_alloc(rig);
		v0 = bound_device(rig, "d0", &id);
		assert_int_equal(map(rig, ioas, 0, 9 * PAGE, 0x10000), 0);
		assert_int_equal(attach(rig, v0, &pt), -ENOMEM);
		assert_int_equal(pinned(rig) + locked(rig), 0);
		assert_int_equal(unmap(rig, ioas, 0x10000, 9 * PAGE), 9 * PAGE);
		assert_int_equal(map(rig, ioas, 0, 6 * PAGE, 0x10000), 0);
		assert_int_equal(attach(rig, v0, &pt), 0);
		assert_int_equal(locked(rig), 6);
		assert_int_equal(map(rig, ioas, 0x100000, 3 * PAGE, 0x20000), -ENOMEM);
		assert_int_equal(pinned(rig), 6);
		assert_int_equal(map(rig, ioas, 0x100000, 2 * PAGE, 0x20000), 0);
		/* A copy pins nothing more and so costs nothing. */
		assert_int_equal(copy(rig, ioas, 0x40000, ioas, 0x10000, 6 * PAGE, FIXED_RW), 0);
		assert_int_equal(locked(rig), 8);
		assert_int_equal(unmap(rig, ioas, 0x10000, 6 * PAGE), 6 * PAGE);
		assert_int_equal(locked(rig), 8);
		assert_int_equal(unmap(rig, ioas, 0x40000, 6 * PAGE), 6 * PAGE);
		assert_int_equal(locked(rig), 2);
		assert_int_equal(vfake_close(rig->task, v0), 0);
		assert_int_equal(locked(rig), 0);
		assert_int_equal(destroy(rig, ioas), 0);
	}
}

static void a_process_that_may_lock_pays_nothing(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint32_t id, pt = ioas;
	int v0 = bound_device(rig, "d0", &id);

	assert_int_equal(map(rig, ioas, 0, 64 * PAGE, 0), 0);
	assert_int_equal(attach(rig, v0, &pt), 0);
	assert_int_equal(pinned(rig), 64);
	assert_int_equal(locked(rig), 0);
	assert_int_equal(vfake_close(rig->task, v0), 0);
}

static void another_process_takes_the_charge_over(void **state)
{
	struct rig *rig = *state;
	struct vfake_task_attr attr = rig_attr(false);
	struct rig heir = *rig;
	uint32_t ioas = ioas_alloc(rig);
	uint32_t id, pt = ioas;
	int v0 = bound_device(rig, "d0", &id);
	int file = vfake_memfd(rig->task, 8 * PAGE);
	struct iommu_ioas_map_file arg = { .size = sizeof(arg),
					   .flags = FIXED_RW,
					   .ioas_id = ioas,
					   .fd = file,
					   .length = 8 * PAGE };
	struct iommu_ioas_change_process change = { .size = sizeof(change) };

	attr.memlock_bytes = 7 * PAGE;
	heir.task = vfake_task_new(rig->kernel, &attr);
	heir.iommufd = vfake_pass_fd(rig->task, rig->iommufd, heir.task);
	assert_int_equal(attach(rig, v0, &pt), 0);
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_IOAS_MAP_FILE, &arg), 0);
	assert_int_equal(copy(rig, ioas, 0x100000, ioas, 0, 4 * PAGE, FIXED_RW), 0);
	assert_int_equal(locked(rig), 8);
	assert_int_equal(rig->task->user->locked_pages, 8);
	assert_int_equal(call_on(&heir, heir.iommufd, IOMMU_IOAS_CHANGE_PROCESS, &change), -ENOMEM);
	assert_int_equal(rig->task->user->locked_pages, 8);
	assert_int_equal(vfake_memlock(heir.task, 8 * PAGE), 0);
	assert_int_equal(call_on(&heir, heir.iommufd, IOMMU_IOAS_CHANGE_PROCESS, &change), 0);
	assert_int_equal(rig->task->user->locked_pages, 0);
	assert_int_equal(heir.task->user->locked_pages, 8);
	assert_int_equal(locked(rig), 8);
	assert_int_equal(call_on(&heir, heir.iommufd, IOMMU_IOAS_CHANGE_PROCESS, &change), 0);
	/* Memory of a process cannot move. */
	assert_int_equal(map(rig, ioas, 0, PAGE, 0x200000), 0);
	assert_int_equal(call_on(&heir, heir.iommufd, IOMMU_IOAS_CHANGE_PROCESS, &change), -EINVAL);
	vfake_task_exit(heir.task);
	assert_int_equal(locked(rig), 9);
	assert_int_equal(vfake_close(rig->task, v0), 0);
	assert_int_equal(vfake_close(rig->task, file), 0);
	assert_int_equal(locked(rig), 0);
}

/* ---- dirty pages ---- */

struct bitmap {
	uint64_t words[4];
};

static long read_dirty(const struct rig *rig, uint32_t hwpt, uint32_t flags, uint64_t iova,
		       uint64_t length, uint64_t page_size, struct bitmap *bitmap)
{
	struct iommu_hwpt_get_dirty_bitmap arg = { .size = sizeof(arg),
						   .hwpt_id = hwpt,
						   .flags = flags,
						   .iova = iova,
						   .length = length,
						   .page_size = page_size,
						   .data = (uintptr_t)bitmap };

	memset(bitmap, 0, sizeof(*bitmap));
	return call_on(rig, rig->iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP, &arg);
}

static void dirty_pages_are_reported_once(void **state)
{
	struct rig *rig = *state;
	uint32_t ioas = ioas_alloc(rig);
	uint32_t id, hwpt;
	uint32_t value = 1;
	int v0 = bound_device(rig, "d0", &id);
	struct iommu_hwpt_set_dirty_tracking set = { .size = sizeof(set), .flags = 1 };
	struct bitmap seen;

	assert_int_equal(hwpt_alloc(rig, id, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &hwpt), 0);
	assert_int_equal(attach(rig, v0, &hwpt), 0);
	assert_int_equal(map(rig, ioas, 0, 128 * PAGE, 0x3f000), 0);
	assert_int_equal(rig_dma(rig, "d0", 0x3f000, &value, sizeof(value), true),
			 0); /* not tracked yet */
	set.hwpt_id = hwpt;
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, &set), 0);
	assert_int_equal(rig_dma(rig, "d0", 0x3fffe, &value, sizeof(value), true),
			 0); /* pages 0 and 1 */
	assert_int_equal(rig_dma(rig, "d0", 0x42000, &value, sizeof(value), false), 0);
	assert_int_equal(rig_dma(rig, "d0", 0x81000, &value, sizeof(value), true), 0); /* page 66 */
	assert_int_equal(read_dirty(rig, hwpt, 1, 0x3f000, 128 * PAGE, PAGE, &seen), 0);
	assert_int_equal(seen.words[0], 3);
	assert_int_equal(seen.words[1], 4);
	/* In bits of two pages, and cleared. */
	assert_int_equal(read_dirty(rig, hwpt, 0, 0x40000, 64 * PAGE, 2 * PAGE, &seen), 0);
	assert_int_equal(seen.words[0], 1);
	assert_int_equal(read_dirty(rig, hwpt, 0, 0x3f000, 128 * PAGE, PAGE, &seen), 0);
	assert_int_equal(seen.words[0], 1);
	assert_int_equal(seen.words[1], 4);
	assert_int_equal(read_dirty(rig, hwpt, 0, 0x3f000, 128 * PAGE, PAGE, &seen), 0);
	assert_int_equal(seen.words[0] + seen.words[1], 0);
	/* Reading one page leaves its neighbour. */
	assert_int_equal(rig_dma(rig, "d0", 0x41ffe, &value, sizeof(value), true), 0);
	assert_int_equal(read_dirty(rig, hwpt, 0, 0x41000, PAGE, PAGE, &seen), 0);
	assert_int_equal(seen.words[0], 1);
	assert_int_equal(read_dirty(rig, hwpt, 0, 0x41000, 2 * PAGE, PAGE, &seen), 0);
	assert_int_equal(seen.words[0], 2);
	/* What is unmapped is forgotten. */
	assert_int_equal(rig_dma(rig, "d0", 0x3f000, &value, sizeof(value), true), 0);
	assert_int_equal(rig_dma(rig, "d0", 0x81000, &value, sizeof(value), true), 0);
	assert_int_equal(unmap(rig, ioas, 0x3f000, 128 * PAGE), 128 * PAGE);
	assert_int_equal(map(rig, ioas, 0, 128 * PAGE, 0x3f000), 0);
	assert_int_equal(read_dirty(rig, hwpt, 0, 0x3f000, 128 * PAGE, PAGE, &seen), 0);
	assert_int_equal(seen.words[0] + seen.words[1], 0);
	assert_int_equal(read_dirty(rig, hwpt, 0, 0x3f800, PAGE, PAGE, &seen), -EINVAL);
	assert_int_equal(read_dirty(rig, hwpt, 0, 0x3f000, PAGE, 0, &seen), -EINVAL);
	assert_int_equal(read_dirty(rig, hwpt, 0, 0x3f000, 0, PAGE, &seen), -EOVERFLOW);
	assert_int_equal(read_dirty(rig, hwpt, 0, 0, 16 * PAGE, PAGE, &seen),
			 0); /* nothing mapped */
	assert_int_equal(vfake_close(rig->task, v0), 0);
	assert_int_equal(destroy(rig, hwpt), 0);
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(copies_share_their_pins, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_page_that_is_not_there_undoes_the_map, setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(a_bar_is_mapped_until_its_device_takes_it_back,
						setup_paying, rig_teardown),
		cmocka_unit_test_setup_teardown(areas_of_many_memories_are_given_back, setup_paying,
						rig_teardown),
		cmocka_unit_test_setup_teardown(a_file_pins_as_far_as_it_goes, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_process_that_may_lock_pays_nothing, setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(a_charge_that_fails_leaves_nothing, setup_paying,
						rig_teardown),
		cmocka_unit_test_setup_teardown(another_process_takes_the_charge_over, setup_paying,
						rig_teardown),
		cmocka_unit_test_setup_teardown(dirty_pages_are_reported_once, setup_dirty,
						rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
