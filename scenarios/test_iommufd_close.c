/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommufd's files and VFIO's: the container that iommufd emulates, and closing in every order.
 */
#include <stdio.h>

#include "iommufd_rig.h"

static int setup_with(void **state, const struct vfake_world *world)
{
	static struct rig rig;

	rig_start(&rig, world, false);
	*state = &rig;
	return 0;
}

static int setup(void **state)
{
	struct vfake_world world = three_devices();

	world.devices[1].group = world.devices[0].group;
	return setup_with(state, &world);
}

static int setup_compat(void **state)
{
	struct vfake_world world = three_devices();

	world.compat_container = true;
	return setup_with(state, &world);
}

static int open_group(const struct rig *rig, const char *name)
{
	const struct vfake_device_desc *desc = vfake_device_desc(rig->kernel, name);
	char path[32];

	assert_non_null(desc);
	snprintf(path, sizeof(path), "/dev/vfio/%u", desc->group);
	return vfake_open(rig->task, path);
}

static long get_device(const struct rig *rig, int group, const char *name)
{
	return vfake_ioctl(rig->task, group, VFIO_GROUP_GET_DEVICE_FD, (uintptr_t)name);
}

/* ---- the emulated container ---- */

static long dma_map(const struct rig *rig, int container, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map arg = { .argsz = sizeof(arg),
						.flags = VFIO_DMA_MAP_FLAG_READ |
							 VFIO_DMA_MAP_FLAG_WRITE,
						.vaddr = rig->memory,
						.iova = iova,
						.size = size };

	return call_on(rig, container, VFIO_IOMMU_MAP_DMA, &arg);
}

static long dma_unmap(const struct rig *rig, int container, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap arg = { .argsz = sizeof(arg),
						  .iova = iova,
						  .size = size };
	long ret = call_on(rig, container, VFIO_IOMMU_UNMAP_DMA, &arg);

	return ret ? ret : (long)arg.size;
}

static void a_group_in_the_emulated_container(void **state)
{
	struct rig *rig = *state;
	int container = vfake_open(rig->task, "/dev/vfio/vfio");
	int group = open_group(rig, "d0");
	long device;

	assert_int_equal(vfake_ioctl(rig->task, container, VFIO_GET_API_VERSION, 0),
			 VFIO_API_VERSION);
	assert_int_equal(vfake_ioctl(rig->task, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU),
			 -ENODEV);
	assert_int_equal(call_on(rig, group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(call_on(rig, group, VFIO_GROUP_SET_CONTAINER, &container), -EINVAL);
	assert_int_equal(vfake_ioctl(rig->task, container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0);
	device = get_device(rig, group, "d0");
	assert_true(device >= 0);
	/* It accounts as VFIO does, to the process. */
	assert_int_equal(dma_map(rig, container, 0x10000, 16 * PAGE), 0);
	assert_int_equal(pinned(rig), 16);
	assert_int_equal(locked(rig), 16);
	assert_int_equal(vfake_memlock(rig->task, 20 * PAGE), 0);
	assert_int_equal(dma_map(rig, container, 0x100000, 5 * PAGE), -ENOMEM);
	/* Version 1 unmaps from the middle, and the pins of the cut pieces follow. */
	assert_int_equal(dma_unmap(rig, container, 0x14000, 4 * PAGE), 4 * PAGE);
	assert_int_equal(pinned(rig), 12);
	assert_int_equal(dma_unmap(rig, container, 0x1c000, PAGE), PAGE);
	assert_int_equal(dma_unmap(rig, container, 0x10000, 2 * PAGE), 2 * PAGE);
	assert_int_equal(locked(rig), 9);
	assert_int_equal(dma_map(rig, container, 0x14000, 4 * PAGE), 0);
	assert_int_equal(dma_unmap(rig, container, 0, 0x100000), 13 * PAGE);
	assert_int_equal(locked(rig), 0);
	assert_int_equal(vfake_ioctl(rig->task, group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(vfake_close(rig->task, (int)device), 0);
	assert_int_equal(vfake_close(rig->task, group), 0);
	assert_int_equal(vfake_close(rig->task, container), 0);
}

static void a_mapping_without_rights_is_refused_by_hardware_only(void **state)
{
	struct rig *rig = *state;
	int container = vfake_open(rig->task, "/dev/vfio/vfio");
	int group = open_group(rig, "d0");
	struct vfio_iommu_type1_dma_map arg = { .argsz = sizeof(arg),
						.vaddr = rig->memory,
						.size = PAGE };
	long device;

	assert_int_equal(call_on(rig, group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(call_on(rig, container, VFIO_IOMMU_MAP_DMA, &arg), 0);
	assert_int_equal(get_device(rig, group, "d0"), -EINVAL);
	assert_int_equal(dma_unmap(rig, container, 0, PAGE), PAGE);
	device = get_device(rig, group, "d0");
	assert_true(device >= 0);
	assert_int_equal(call_on(rig, container, VFIO_IOMMU_MAP_DMA, &arg), -EINVAL);
	assert_int_equal(pinned(rig), 0);
	assert_int_equal(vfake_close(rig->task, (int)device), 0);
	assert_int_equal(vfake_close(rig->task, group), 0);
	assert_int_equal(vfake_close(rig->task, container), 0);
}

/* ---- every order ---- */

enum { FILES = 5 };

/* An iommufd with mapped memory, two cdevs of a group and one of another on it, a fault queue. */
static void open_all(struct rig *rig, int files[FILES])
{
	struct iommu_fault_alloc fault = { .size = sizeof(fault) };
	uint32_t ioas, id, pt, hwpt;

	rig->iommufd = vfake_open(rig->task, "/dev/iommu");
	files[0] = rig->iommufd;
	ioas = ioas_alloc(rig);
	assert_int_equal(map(rig, ioas, 0, 3 * PAGE, 0x1000), 0);
	files[1] = bound_device(rig, "d0", &id);
	files[2] = bound_device(rig, "d1", &id);
	files[3] = bound_device(rig, "d2", &id);
	assert_int_equal(hwpt_alloc(rig, id, ioas, 0, &hwpt), 0);
	pt = ioas;
	assert_int_equal(attach(rig, files[1], &pt), 0);
	assert_int_equal(attach(rig, files[2], &pt), 0);
	assert_int_equal(attach(rig, files[3], &hwpt), 0);
	assert_int_equal(call_on(rig, rig->iommufd, IOMMU_FAULT_QUEUE_ALLOC, &fault), 0);
	files[4] = (int)fault.out_fault_fd;
	assert_int_equal(pinned(rig), 3);
}

typedef void (*order_fn)(struct rig *rig, const int *order);

/* Calls @fn with each order of 0 … @count - 1 in turn; @order holds them in the first. */
static void for_each_order(int *order, int count, int done, struct rig *rig, order_fn fn)
{
	if (done == count) {
		fn(rig, order);
		return;
	}
	for (int i = done; i < count; i++) {
		int kept = order[done];

		order[done] = order[i];
		order[i] = kept;
		for_each_order(order, count, done + 1, rig, fn);
		order[i] = order[done];
		order[done] = kept;
	}
}

static void close_in(struct rig *rig, const int *order)
{
	int files[FILES];

	open_all(rig, files);
	for (int i = 0; i < FILES; i++)
		assert_int_equal(vfake_close(rig->task, files[order[i]]), 0);
	assert_ledger(rig);
}

static void all_files_close_in_every_order(void **state)
{
	struct rig *rig = *state;
	int order[FILES] = { 0, 1, 2, 3, 4 };

	assert_int_equal(vfake_close(rig->task, rig->iommufd), 0);
	for_each_order(order, FILES, 0, rig, close_in);
	rig->iommufd = vfake_open(rig->task, "/dev/iommu");
}

/* The group's path: iommufd, group, two devices of it, and the first once more. */
static void close_group_in(struct rig *rig, const int *order)
{
	int files[FILES];

	files[0] = vfake_open(rig->task, "/dev/iommu");
	files[1] = open_group(rig, "d0");
	assert_int_equal(call_on(rig, files[1], VFIO_GROUP_SET_CONTAINER, &files[0]), 0);
	assert_int_equal(dma_map(rig, files[0], 0x1000, 2 * PAGE), 0);
	files[2] = (int)get_device(rig, files[1], "d0");
	files[3] = (int)get_device(rig, files[1], "d1");
	files[4] = (int)get_device(rig, files[1], "d0");
	assert_int_equal(pinned(rig), 2);
	for (int i = 0; i < FILES; i++)
		assert_int_equal(vfake_close(rig->task, files[order[i]]), 0);
	assert_ledger(rig);
}

static void a_group_closes_in_every_order(void **state)
{
	struct rig *rig = *state;
	int order[FILES] = { 0, 1, 2, 3, 4 };

	assert_int_equal(vfake_close(rig->task, rig->iommufd), 0);
	for_each_order(order, FILES, 0, rig, close_group_in);
	rig->iommufd = vfake_open(rig->task, "/dev/iommu");
}

/* ---- two tasks, every order of six calls ---- */

enum { CALLS = 6 };

/* Two tasks that share an iommufd, with a device each. */
struct race {
	struct rig one;
	struct rig two;
	int v0;
	int v2;
	uint32_t ioas;
	uint32_t hwpt;
};

static void race_start(struct race *race, const struct rig *rig)
{
	struct vfake_task_attr attr = rig_attr(false);
	uint32_t id;

	race->one = *rig;
	race->one.iommufd = vfake_open(race->one.task, "/dev/iommu");
	race->two = race->one;
	race->two.task = vfake_task_new(rig->kernel, &attr);
	race->two.iommufd = vfake_pass_fd(race->one.task, race->one.iommufd, race->two.task);
	race->ioas = ioas_alloc(&race->one);
	race->v0 = bound_device(&race->one, "d0", &id);
	race->v2 = bound_device(&race->two, "d2", &id);
	assert_int_equal(hwpt_alloc(&race->two, id, race->ioas, 0, &race->hwpt), 0);
	assert_int_equal(map(&race->one, race->ioas, 0, 2 * PAGE, 0x1000), 0);
}

/* Whatever was left open goes, and with it all that the calls made. */
static void race_end(struct race *race)
{
	vfake_task_exit(race->two.task);
	vfake_close(race->one.task, race->v0);
	vfake_close(race->one.task, race->one.iommufd);
	assert_ledger(&race->one);
}

static long any_of(long ret, long a, long b, long c)
{
	assert_true(ret >= 0 || ret == a || ret == b || ret == c);
	return ret;
}

static void attach_detach_and_destroy(struct rig *rig, const int *order)
{
	struct race race;
	uint32_t pt;

	race_start(&race, rig);
	for (int i = 0; i < CALLS; i++) {
		switch (order[i]) {
		case 0:
			pt = race.ioas;
			any_of(attach(&race.one, race.v0, &pt), -ENOENT, -EBADF, -EINVAL);
			break;
		case 1:
			pt = race.hwpt;
			any_of(attach(&race.two, race.v2, &pt), -ENOENT, -ENOENT, -ENOENT);
			break;
		case 2:
			any_of(destroy(&race.one, race.hwpt), -EBUSY, -EBADF, -EBADF);
			break;
		case 3:
			any_of(destroy(&race.two, race.ioas), -EBUSY, -EBUSY, -EBUSY);
			break;
		case 4:
			assert_int_equal(vfake_close(race.one.task, race.v0), 0);
			break;
		default:
			assert_int_equal(vfake_close(race.one.task, race.one.iommufd), 0);
			break;
		}
	}
	race_end(&race);
}

static void replace_map_and_exit(struct rig *rig, const int *order)
{
	struct race race;
	uint32_t pt;

	race_start(&race, rig);
	for (int i = 0; i < CALLS; i++) {
		switch (order[i]) {
		case 0:
			pt = race.ioas;
			any_of(attach(&race.two, race.v2, &pt), -ENOENT, -EFAULT, -EADDRINUSE);
			break;
		case 1:
			pt = race.hwpt;
			any_of(attach(&race.two, race.v2, &pt), -ENOENT, -ENOENT, -ENOENT);
			break;
		case 2:
			any_of(detach(&race.two, race.v2), 0, 0, 0);
			break;
		case 3:
			any_of(map(&race.two, race.ioas, 4 * PAGE, PAGE, 0x8000), -EFAULT, 0, 0);
			break;
		case 4:
			any_of(unmap(&race.two, race.ioas, 0, UINT64_MAX), 0, 0, 0);
			break;
		default:
			any_of(destroy(&race.two, race.hwpt), -EBUSY, 0, 0);
			break;
		}
	}
	race_end(&race);
}

static void two_tasks_end_with_nothing_in_every_order(void **state)
{
	struct rig *rig = *state;
	int order[CALLS] = { 0, 1, 2, 3, 4, 5 };

	assert_int_equal(vfake_close(rig->task, rig->iommufd), 0);
	for_each_order(order, CALLS, 0, rig, attach_detach_and_destroy);
	for_each_order(order, CALLS, 0, rig, replace_map_and_exit);
	rig->iommufd = vfake_open(rig->task, "/dev/iommu");
}

static unsigned char program_page[PAGE] __attribute__((aligned(PAGE)));

/* A task that ends leaves its pages to whoever has the files. */
static void the_process_goes_before_its_memory(void **state)
{
	struct rig *rig = *state;
	struct vfake_task_attr attr = rig_attr(false);
	struct rig heir = *rig;
	uint32_t ioas = ioas_alloc(rig);
	uint32_t id, pt = ioas;
	uint64_t iova = 0x9000;
	int v2 = bound_device(rig, "d2", &id);
	int kept;

	assert_int_equal(map(rig, ioas, 0, 4 * PAGE, 0x1000), 0);
	assert_int_equal(map_to(rig, ioas, FIXED_RW, (uintptr_t)program_page, PAGE, &iova), 0);
	heir.task = vfake_task_new(rig->kernel, &attr);
	heir.iommufd = vfake_pass_fd(rig->task, rig->iommufd, heir.task);
	kept = vfake_pass_fd(rig->task, v2, heir.task);
	assert_int_equal(attach(rig, v2, &pt), 0);
	vfake_task_exit(rig->task);
	assert_int_equal(pinned(rig), 5);
	assert_int_equal(locked(rig), 5);
	assert_int_equal(unmap(&heir, ioas, 0x1000, 4 * PAGE), 4 * PAGE);
	assert_int_equal(locked(rig), 1);
	/* Without a page table the pages are let go, and nobody can pin them again. */
	assert_int_equal(detach(&heir, kept), 0);
	pt = ioas;
	assert_int_equal(attach(&heir, kept, &pt), -EFAULT);
	assert_int_equal(pinned(rig), 0);
	assert_int_equal(vfake_close(heir.task, kept), 0);
	assert_int_equal(vfake_close(heir.task, heir.iommufd), 0);
	rig->task = heir.task;
	rig->before = vfake_ledger(rig->kernel);
	rig->iommufd = vfake_open(rig->task, "/dev/iommu");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_group_in_the_emulated_container, setup_compat,
						rig_teardown),
		cmocka_unit_test_setup_teardown(
			a_mapping_without_rights_is_refused_by_hardware_only, setup_compat,
			rig_teardown),
		cmocka_unit_test_setup_teardown(all_files_close_in_every_order, setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(a_group_closes_in_every_order, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(two_tasks_end_with_nothing_in_every_order, setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(the_process_goes_before_its_memory, setup,
						rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
