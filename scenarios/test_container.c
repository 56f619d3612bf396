/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Containers and groups: every state that their files can be in, who may do what in it, and that
 * they end well in whatever order they are closed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "container_rig.h"

/* ---- the container by itself ---- */

static void set_iommu_needs_a_group_and_happens_once(void **state)
{
	struct rig rig;
	int container, group;

	(void)state;
	rig_boot_default(&rig);
	container = open_container(&rig);
	assert_int_equal(vfake_ioctl(rig.task, container, VFIO_GET_API_VERSION, 77), 0);
	assert_int_equal(set_iommu(&rig, container, VFIO_TYPE1v2_IOMMU), -EINVAL);
	group = open_group(rig.task, "d0");
	assert_int_equal(set_container(rig.task, group, container), 0);
	/* What no driver knows, and what a driver knows but cannot be set to. */
	for (uint64_t type = 0; type < 32; type++) {
		long want = -ENODEV;

		if (type == VFIO_TYPE1_IOMMU || type == VFIO_TYPE1v2_IOMMU)
			continue;
		if (type == VFIO_UNMAP_ALL)
			want = -EINVAL;
		assert_int_equal(set_iommu(&rig, container, type), want);
	}
	assert_int_equal(set_iommu(&rig, container, (1UL << 32) | VFIO_TYPE1_IOMMU), -ENODEV);
	assert_int_equal(set_iommu(&rig, container, VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(set_iommu(&rig, container, VFIO_TYPE1_IOMMU), -EINVAL);
	assert_int_equal(set_iommu(&rig, container, VFIO_TYPE1v2_IOMMU), -EINVAL);
	/* The last group out takes the driver along; the container can be set anew. */
	assert_int_equal(unset_container(&rig, group), 0);
	assert_int_equal(set_iommu(&rig, container, VFIO_TYPE1v2_IOMMU), -EINVAL);
	assert_int_equal(set_container(rig.task, group, container), 0);
	assert_int_equal(set_iommu(&rig, container, VFIO_TYPE1v2_IOMMU), 0);
	close_fd(&rig, group);
	close_fd(&rig, container);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

/* What CHECK_EXTENSION says of each number up to 15, with no group, with one, and with a driver. */
static void extensions_depend_on_the_state(void **state)
{
	uint32_t open = 0, with_group = 0, with_driver = 0;
	const uint32_t type1 =
		1 << VFIO_TYPE1_IOMMU | 1 << VFIO_TYPE1v2_IOMMU | 1 << VFIO_UNMAP_ALL;
	int container, group;
	struct rig rig;

	(void)state;
	rig_boot_default(&rig);
	container = open_container(&rig);
	group = open_group(rig.task, "d0");
	for (uint64_t i = 0; i < 16; i++)
		open |= (uint32_t)check_extension(&rig, container, i) << i;
	assert_int_equal(set_container(rig.task, group, container), 0);
	for (uint64_t i = 0; i < 16; i++)
		with_group |= (uint32_t)check_extension(&rig, container, i) << i;
	assert_int_equal(set_iommu(&rig, container, VFIO_TYPE1_IOMMU), 0);
	for (uint64_t i = 0; i < 16; i++)
		with_driver |= (uint32_t)check_extension(&rig, container, i) << i;
	assert_int_equal(open, type1);
	assert_int_equal(with_group, type1);
	assert_int_equal(with_driver, type1 | 1 << VFIO_UPDATE_VADDR);
	assert_int_equal(check_extension(&rig, container, (1UL << 32) | VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(check_extension(&rig, container, UINT64_MAX), 0);
	close_fd(&rig, group);
	close_fd(&rig, container);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

static void a_powernv_machine_has_spapr_and_no_type1(void **state)
{
	struct vfake_world world;
	int container, group;
	struct rig rig;

	(void)state;
	vfake_world_powernv(&world);
	assert_int_equal(vfake_world_add_device(&world, "d0", "edu"), 0);
	rig_boot(&rig, &world, &root_here);
	container = open_container(&rig);
	group = open_group(rig.task, "d0");
	assert_int_equal(check_extension(&rig, container, VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(check_extension(&rig, container, VFIO_SPAPR_TCE_IOMMU), 1);
	assert_int_equal(set_container(rig.task, group, container), 0);
	assert_int_equal(set_iommu(&rig, container, VFIO_TYPE1v2_IOMMU), -ENODEV);
	assert_int_equal(set_iommu(&rig, container, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	close_fd(&rig, container);
	close_fd(&rig, group);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

/* A container without driver knows three calls and says EINVAL to all else; with one, ENOTTY. */
static void calls_go_where_they_belong(void **state)
{
	unsigned char arg[256] = { 0 };
	vfake_addr at = (uintptr_t)arg;
	struct vfio_set set;
	struct rig rig;
	int container;

	(void)state;
	rig_boot_default(&rig);
	set = open_set(rig.task, "d0", VFIO_TYPE1_IOMMU);
	container = open_container(&rig);
	assert_int_equal(vfake_ioctl(rig.task, container, VFIO_IOMMU_GET_INFO, 0), -EINVAL);
	assert_int_equal(vfake_ioctl(rig.task, container, VFIO_IOMMU_MAP_DMA, at), -EINVAL);
	assert_int_equal(vfake_ioctl(rig.task, container, 0, at), -EINVAL);
	assert_int_equal(vfake_ioctl(rig.task, container, UINT32_MAX, at), -EINVAL);
	assert_int_equal(vfake_ioctl(rig.task, set.container, VFIO_IOMMU_GET_INFO, 0), -EFAULT);
	assert_int_equal(vfake_ioctl(rig.task, set.container, 0, at), -ENOTTY);
	assert_int_equal(vfake_ioctl(rig.task, set.container, UINT32_MAX, at), -ENOTTY);
	assert_int_equal(vfake_ioctl(rig.task, set.container, VFIO_GROUP_GET_STATUS, at), -ENOTTY);
	assert_int_equal(vfake_ioctl(rig.task, set.container, VFIO_DEVICE_RESET, at), -ENOTTY);
	assert_int_equal(vfake_ioctl(rig.task, set.container, VFIO_IOMMU_ENABLE, at), -ENOTTY);
	assert_int_equal(vfake_ioctl(rig.task, set.group, VFIO_GET_API_VERSION, at), -ENOTTY);
	assert_int_equal(vfake_ioctl(rig.task, set.group, VFIO_IOMMU_MAP_DMA, at), -ENOTTY);
	assert_int_equal(vfake_ioctl(rig.task, set.group, UINT32_MAX, at), -ENOTTY);
	assert_int_equal(vfake_ioctl(rig.task, set.device, VFIO_GROUP_GET_STATUS, at), -ENOTTY);
	/* The same nine bits with another size or direction are another call. */
	assert_int_equal(vfake_ioctl(rig.task, set.container, VFIO_IOMMU_MAP_DMA | 1U << 30, at),
			 -ENOTTY);
	/* Files of another kind, without any call. */
	assert_int_equal(vfake_ioctl(rig.task, vfake_eventfd(rig.task), VFIO_GET_API_VERSION, 0),
			 -ENOTTY);
	assert_int_equal(vfake_read(rig.task, container, at, 8), -EINVAL);
	assert_int_equal(vfake_write(rig.task, set.group, at, 8), -EINVAL);
	assert_int_equal(vfake_pread(rig.task, container, at, 8, 0), -EINVAL);
	assert_int_equal(vfake_pwrite(rig.task, set.group, at, 8, 0), -EINVAL);
	close_fd(&rig, container + 1);
	close_fd(&rig, container);
	close_set(rig.task, &set);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

/* ---- groups ---- */

static void a_group_takes_one_container_that_is_one(void **state)
{
	int container, other, group, eventfd;
	int32_t fd;
	struct rig rig;

	(void)state;
	rig_boot_default(&rig);
	container = open_container(&rig);
	other = open_container(&rig);
	group = open_group(rig.task, "d0");
	eventfd = vfake_eventfd(rig.task);
	assert_int_equal(status(&rig, group), VIABLE);
	assert_int_equal(unset_container(&rig, group), -EINVAL);
	assert_int_equal(set_container(rig.task, group, 99), -EBADF);
	assert_int_equal(set_container(rig.task, group, -1), -EBADF);
	assert_int_equal(set_container(rig.task, group, group), -EBADFD);
	assert_int_equal(set_container(rig.task, group, eventfd), -EBADFD);
	assert_int_equal(vfake_ioctl(rig.task, group, VFIO_GROUP_SET_CONTAINER, 0), -EFAULT);
	assert_int_equal(set_container(rig.task, group, container), 0);
	assert_int_equal(status(&rig, group), SET);
	assert_int_equal(set_container(rig.task, group, container), -EINVAL);
	assert_int_equal(set_container(rig.task, group, other), -EINVAL);
	/* The descriptor is looked at before the group's state is. */
	assert_int_equal(set_container(rig.task, group, 99), -EBADF);
	assert_int_equal(set_container(rig.task, group, eventfd), -EINVAL);
	/* The argument of UNSET is not looked at. */
	fd = other;
	assert_int_equal(vfake_ioctl(rig.task, group, VFIO_GROUP_UNSET_CONTAINER, (uintptr_t)&fd),
			 0);
	assert_int_equal(status(&rig, group), VIABLE);
	assert_int_equal(set_container(rig.task, group, other), 0);
	for (fd = container; fd <= eventfd; fd++)
		close_fd(&rig, fd);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

static void a_device_needs_the_whole_path(void **state)
{
	int container, group, device, twice;
	char name[64] = "d0";
	struct rig rig;

	(void)state;
	rig_boot_default(&rig);
	container = open_container(&rig);
	group = open_group(rig.task, "d0");
	assert_int_equal(get_device(rig.task, group, "d0"), -EINVAL);
	assert_int_equal(set_container(rig.task, group, container), 0);
	assert_int_equal(get_device(rig.task, group, "d0"), -EINVAL);
	assert_int_equal(set_iommu(&rig, container, VFIO_TYPE1v2_IOMMU), 0);
	assert_int_equal(get_device(rig.task, group, "d1"), -ENODEV);
	assert_int_equal(get_device(rig.task, group, ""), -ENODEV);
	assert_int_equal(get_device(rig.task, group, "d"), -ENODEV);
	assert_int_equal(get_device(rig.task, group, "d00"), -ENODEV);
	assert_int_equal(get_device(rig.task, group, "d0 vf_token=x"), -EINVAL);
	assert_int_equal(vfake_ioctl(rig.task, group, VFIO_GROUP_GET_DEVICE_FD, 0), -EFAULT);
	device = get_device(rig.task, group, "d0");
	assert_int_equal(device, 2);
	twice = get_device(rig.task, group, "d0  ");
	assert_int_equal(twice, 3);
	/* While one is open the container stays, whoever asks. */
	assert_int_equal(unset_container(&rig, group), -EBUSY);
	close_fd(&rig, device);
	assert_int_equal(unset_container(&rig, group), -EBUSY);
	close_fd(&rig, twice);
	assert_int_equal(unset_container(&rig, group), 0);
	assert_int_equal(vfake_ioctl(rig.task, group, VFIO_GROUP_GET_DEVICE_FD, (uintptr_t)name),
			 -EINVAL);
	close_fd(&rig, group);
	close_fd(&rig, container);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

/* A name is read to its NUL and no further, and is at most a page with it. */
static void a_device_name_may_end_at_the_edge(void **state)
{
	enum { RW = VFAKE_PROT_READ | VFAKE_PROT_WRITE };
	char text[PAGE];
	struct vfio_set set;
	struct rig rig;
	vfake_addr page;
	long fd;

	(void)state;
	rig_boot_default(&rig);
	set = open_set(rig.task, "d0", VFIO_TYPE1v2_IOMMU);
	page = map_memory(rig.task, PAGE);
	assert_int_equal(vfake_poke(rig.task, page + PAGE - 3, "d0", 3), 0);
	fd = vfake_ioctl(rig.task, set.group, VFIO_GROUP_GET_DEVICE_FD, page + PAGE - 3);
	assert_int_equal(fd, set.device + 1);
	assert_int_equal(vfake_poke(rig.task, page + PAGE - 2, "d0", 2), 0);
	assert_int_equal(
		vfake_ioctl(rig.task, set.group, VFIO_GROUP_GET_DEVICE_FD, page + PAGE - 2),
		-EFAULT);
	map_memory_at(rig.task, page + PAGE, PAGE, RW);
	memset(text, ' ', sizeof(text));
	memcpy(text, "d0", 2);
	assert_int_equal(vfake_poke(rig.task, page, text, PAGE), 0);
	assert_int_equal(vfake_ioctl(rig.task, set.group, VFIO_GROUP_GET_DEVICE_FD, page), -EINVAL);
	assert_int_equal(vfake_poke(rig.task, page + PAGE - 1, "", 1), 0);
	assert_int_equal(vfake_ioctl(rig.task, set.group, VFIO_GROUP_GET_DEVICE_FD, page), fd + 1);
	assert_int_equal(vfake_munmap(rig.task, page, 2 * PAGE), 0);
	close_fd(&rig, (int)fd);
	close_fd(&rig, (int)fd + 1);
	close_set(rig.task, &set);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

static void a_group_opens_once_until_its_devices_are_closed(void **state)
{
	struct vfio_set set;
	struct rig rig;
	int dup;

	(void)state;
	rig_boot_default(&rig);
	set = open_set(rig.task, "d0", VFIO_TYPE1v2_IOMMU);
	assert_int_equal(open_group(rig.task, "d0"), -EBUSY);
	dup = vfake_dup(rig.task, set.group);
	close_fd(&rig, set.group);
	assert_int_equal(open_group(rig.task, "d0"), -EBUSY);
	close_fd(&rig, dup);
	/* The device holds the group's file, and that the container with its driver. */
	assert_int_equal(open_group(rig.task, "d0"), -EBUSY);
	assert_int_equal(check_extension(&rig, set.container, VFIO_UPDATE_VADDR), 1);
	assert_int_equal(vfake_ledger(rig.kernel).open_files, 3);
	close_fd(&rig, set.device);
	assert_int_equal(check_extension(&rig, set.container, VFIO_UPDATE_VADDR), 0);
	assert_int_equal(vfake_ledger(rig.kernel).open_files, 1);
	set.group = open_group(rig.task, "d0");
	assert_true(set.group >= 0);
	assert_int_equal(status(&rig, set.group), VIABLE);
	close_fd(&rig, set.group);
	close_fd(&rig, set.container);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

static void groups_share_a_container(void **state)
{
	struct vfio_set set;
	struct rig rig;
	vfake_addr memory;
	int second;

	(void)state;
	rig_boot_default(&rig);
	set = open_set(rig.task, "d0", VFIO_TYPE1v2_IOMMU);
	second = open_group(rig.task, "d1");
	memory = map_memory(rig.task, PAGE);
	assert_int_equal(dma_map(rig.task, set.container, READ_WRITE, memory, 0, PAGE), 0);
	assert_int_equal(set_container(rig.task, second, set.container), 0);
	assert_int_equal(get_device(rig.task, second, "d0"), -ENODEV);
	assert_int_equal(get_device(rig.task, second, "d1"), 4);
	/* The first one leaves; mappings and driver stay with the second. */
	close_fd(&rig, set.device);
	assert_int_equal(unset_container(&rig, set.group), 0);
	assert_int_equal(dma_map(rig.task, set.container, READ_WRITE, memory, 0, PAGE), -EEXIST);
	assert_int_equal(set_container(rig.task, set.group, set.container), 0);
	close_fd(&rig, 4);
	close_fd(&rig, second);
	assert_int_equal(vfake_ledger(rig.kernel).pinned_pages, 1);
	close_fd(&rig, set.group);
	assert_int_equal(vfake_ledger(rig.kernel).pinned_pages, 0);
	assert_int_equal(vfake_munmap(rig.task, memory, PAGE), 0);
	close_fd(&rig, set.container);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

/* Snooping is promised as long as every domain of the container can enforce it. */
static void coherency_is_that_of_the_weakest(void **state)
{
	struct vfake_world world;
	int container, group[3];
	struct rig rig;

	(void)state;
	world_with_three(&world);
	world.enforce_coherency = true;
	world.devices[1].noncoherent = true;
	rig_boot(&rig, &world, &root_here);
	container = open_container(&rig);
	group[0] = open_group(rig.task, "d0");
	group[1] = open_group(rig.task, "d1");
	group[2] = open_group(rig.task, "d2");
	assert_int_equal(set_container(rig.task, group[0], container), 0);
	assert_int_equal(check_extension(&rig, container, VFIO_DMA_CC_IOMMU), 0);
	assert_int_equal(set_iommu(&rig, container, VFIO_TYPE1v2_IOMMU), 0);
	assert_int_equal(check_extension(&rig, container, VFIO_DMA_CC_IOMMU), 1);
	assert_int_equal(set_container(rig.task, group[2], container), 0);
	assert_int_equal(check_extension(&rig, container, VFIO_DMA_CC_IOMMU), 1);
	assert_int_equal(set_container(rig.task, group[1], container), 0);
	assert_int_equal(check_extension(&rig, container, VFIO_DMA_CC_IOMMU), 0);
	close_fd(&rig, group[0]);
	close_fd(&rig, group[2]);
	assert_int_equal(check_extension(&rig, container, VFIO_DMA_CC_IOMMU), 0);
	group[0] = open_group(rig.task, "d0");
	assert_int_equal(set_container(rig.task, group[0], container), 0);
	close_fd(&rig, group[1]);
	assert_int_equal(check_extension(&rig, container, VFIO_DMA_CC_IOMMU), 1);
	close_fd(&rig, group[0]);
	close_fd(&rig, container);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

static void a_machine_without_isolated_interrupts_needs_the_parameter(void **state)
{
	struct vfake_world world;
	int container, group;
	struct rig rig;

	(void)state;
	world_with_three(&world);
	world.isolated_msi = false;
	for (int unsafe = 0; unsafe < 2; unsafe++) {
		world.unsafe_interrupts = unsafe;
		rig_boot(&rig, &world, &root_here);
		container = open_container(&rig);
		group = open_group(rig.task, "d0");
		assert_int_equal(set_container(rig.task, group, container), 0);
		assert_int_equal(set_iommu(&rig, container, VFIO_TYPE1_IOMMU), unsafe ? 0 : -EPERM);
		close_fd(&rig, group);
		close_fd(&rig, container);
		rig_assert_settled(&rig);
		rig_end(&rig);
	}
	world.reserved_count = 2;
	world.reserved[1] = (struct vfake_range){ 0, UINT64_MAX };
	rig_boot(&rig, &world, &root_here);
	container = open_container(&rig);
	group = open_group(rig.task, "d0");
	assert_int_equal(set_container(rig.task, group, container), 0);
	assert_int_equal(set_iommu(&rig, container, VFIO_TYPE1_IOMMU), -EINVAL);
	close_fd(&rig, group);
	close_fd(&rig, container);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

/* Two devices in one group: one container, one file, and the node is free when both are closed. */
static void devices_of_a_group_share_its_fate(void **state)
{
	struct vfake_world world;
	struct vfio_set set;
	struct rig rig;
	int other;

	(void)state;
	world_with_three(&world);
	world.devices[1].group = world.devices[0].group;
	rig_boot(&rig, &world, &root_here);
	set = open_set(rig.task, "d0", VFIO_TYPE1v2_IOMMU);
	other = get_device(rig.task, set.group, "d1");
	assert_true(other >= 0);
	close_set(rig.task, &set);
	assert_int_equal(open_group(rig.task, "d1"), -EBUSY);
	close_fd(&rig, other);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

/* ---- every order of closing ---- */

/* Closes the @count descriptors of @fds in the order that @number names, of count factorial. */
static void close_in_order(const struct rig *rig, const int *fds, int count, int number)
{
	int left[8];

	memcpy(left, fds, (size_t)count * sizeof(int));
	for (; count; count--) {
		int pick = number % count;

		number /= count;
		close_fd(rig, left[pick]);
		left[pick] = left[count - 1];
	}
}

static void files_close_in_every_order(void **state)
{
	struct vfio_set set;
	struct rig rig;
	vfake_addr memory;

	(void)state;
	rig_boot_default(&rig);
	memory = map_memory(rig.task, 4 * PAGE);
	rig.start = vfake_ledger(rig.kernel);
	/* Container, group, device; a second device file and a second group with its device. */
	for (int order = 0; order < 720; order++) {
		int fds[6];

		set = open_set(rig.task, "d0", order % 2 ? VFIO_TYPE1_IOMMU : VFIO_TYPE1v2_IOMMU);
		fds[0] = set.container;
		fds[1] = set.group;
		fds[2] = set.device;
		fds[3] = get_device(rig.task, set.group, "d0");
		fds[4] = open_group(rig.task, "d1");
		assert_int_equal(set_container(rig.task, fds[4], set.container), 0);
		fds[5] = get_device(rig.task, fds[4], "d1");
		assert_int_equal(
			dma_map(rig.task, set.container, READ_WRITE, memory, PAGE, 4 * PAGE), 0);
		close_in_order(&rig, fds, 6, order);
		rig_assert_settled(&rig);
	}
	assert_int_equal(vfake_munmap(rig.task, memory, 4 * PAGE), 0);
	rig_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_iommu_needs_a_group_and_happens_once),
		cmocka_unit_test(extensions_depend_on_the_state),
		cmocka_unit_test(a_powernv_machine_has_spapr_and_no_type1),
		cmocka_unit_test(calls_go_where_they_belong),
		cmocka_unit_test(a_group_takes_one_container_that_is_one),
		cmocka_unit_test(a_device_needs_the_whole_path),
		cmocka_unit_test(a_device_name_may_end_at_the_edge),
		cmocka_unit_test(a_group_opens_once_until_its_devices_are_closed),
		cmocka_unit_test(groups_share_a_container),
		cmocka_unit_test(coherency_is_that_of_the_weakest),
		cmocka_unit_test(a_machine_without_isolated_interrupts_needs_the_parameter),
		cmocka_unit_test(devices_of_a_group_share_its_fate),
		cmocka_unit_test(files_close_in_every_order),
	};

	return cmocka_run_group_tests_name("container", tests, NULL, NULL);
}
