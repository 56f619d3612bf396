/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Groups that no IOMMU translates for: their containers, and the right that every step needs.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "container_rig.h"

static void world_with_noiommu(struct vfake_world *world)
{
	world_with_three(world);
	world->noiommu_enabled = true;
	world->devices[1].noiommu = true;
	world->devices[2].noiommu = true;
}

static void noiommu_groups_have_a_container_of_their_own(void **state)
{
	int container, real, fake, other;
	struct vfake_world world;
	struct rig rig;

	(void)state;
	world_with_noiommu(&world);
	rig_boot(&rig, &world, &root_here);
	container = open_container(&rig);
	real = open_group(rig.task, "d0");
	fake = open_group(rig.task, "d1");
	other = open_group(rig.task, "d2");
	assert_true(fake >= 0 && other >= 0);
	assert_int_equal(vfake_open(rig.task, "/dev/vfio/1"), -ENOENT);
	assert_int_equal(open_cdev(rig.task, "d1"), -ENOENT);
	assert_int_equal(check_extension(&rig, container, VFIO_NOIOMMU_IOMMU), 1);
	assert_int_equal(check_extension(&rig, container, VFIO_TYPE1_IOMMU), 1);
	assert_int_equal(set_container(rig.task, fake, container), 0);
	assert_int_equal(check_extension(&rig, container, VFIO_NOIOMMU_IOMMU), 1);
	assert_int_equal(check_extension(&rig, container, VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(set_container(rig.task, real, container), -EPERM);
	assert_int_equal(set_iommu(&rig, container, VFIO_TYPE1v2_IOMMU), -ENODEV);
	assert_int_equal(set_iommu(&rig, container, VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(vfake_ioctl(rig.task, container, VFIO_IOMMU_GET_INFO, 0), -ENOTTY);
	assert_int_equal(set_container(rig.task, other, container), 0);
	assert_int_equal(get_device(rig.task, fake, "d1"), 4);
	assert_int_equal(unset_container(&rig, fake), -EBUSY);
	close_fd(&rig, 4);
	close_fd(&rig, fake);
	close_fd(&rig, other);
	/* Empty, it may hold a real one; then the noiommu driver is not asked. */
	assert_int_equal(set_container(rig.task, real, container), 0);
	assert_int_equal(check_extension(&rig, container, VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(set_iommu(&rig, container, VFIO_NOIOMMU_IOMMU), -ENODEV);
	fake = open_group(rig.task, "d1");
	assert_int_equal(set_container(rig.task, fake, container), -EPERM);
	close_fd(&rig, fake);
	close_fd(&rig, real);
	close_fd(&rig, container);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

static void noiommu_needs_cap_sys_rawio_at_every_step(void **state)
{
	struct vfake_task_attr weak = root_here;
	struct vfake_task *other;
	struct vfake_world world;
	struct vfio_set set;
	struct rig rig;
	int32_t fd;

	(void)state;
	world_with_noiommu(&world);
	rig_boot(&rig, &world, &root_here);
	weak.cap_sys_rawio = false;
	other = vfake_task_new(rig.kernel, &weak);
	assert_int_equal(open_group(other, "d1"), -EPERM);
	set.container = open_container(&rig);
	set.group = open_group(rig.task, "d1");
	assert_int_equal(open_group(other, "d1"), -EPERM);
	assert_int_equal(vfake_pass_fd(rig.task, set.container, other), 0);
	assert_int_equal(vfake_pass_fd(rig.task, set.group, other), 1);
	fd = 0;
	assert_int_equal(vfake_ioctl(other, 1, VFIO_GROUP_SET_CONTAINER, (uintptr_t)&fd), -EPERM);
	assert_int_equal(set_container(rig.task, set.group, set.container), 0);
	assert_int_equal(vfake_ioctl(other, 0, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), -EPERM);
	assert_int_equal(set_iommu(&rig, set.container, VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(get_device(other, 1, "d1"), -EPERM);
	assert_int_equal(get_device(rig.task, set.group, "d1"), 2);
	/* A device that is open already may be opened by anybody who has the group. */
	assert_int_equal(get_device(other, 1, "d1"), 2);
	vfake_task_exit(other);
	for (fd = 0; fd < 3; fd++)
		close_fd(&rig, fd);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

static void without_the_flag_there_is_no_noiommu(void **state)
{
	struct rig rig;
	int container;

	(void)state;
	rig_boot_default(&rig);
	container = open_container(&rig);
	assert_int_equal(check_extension(&rig, container, VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(vfake_open(rig.task, "/dev/vfio/noiommu-0"), -ENOENT);
	close_fd(&rig, container);
	rig_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(noiommu_groups_have_a_container_of_their_own),
		cmocka_unit_test(noiommu_needs_cap_sys_rawio_at_every_step),
		cmocka_unit_test(without_the_flag_there_is_no_noiommu),
	};

	return cmocka_run_group_tests_name("noiommu", tests, NULL, NULL);
}
