/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommufd-mdev-hw-info: in QEMU's iommufd backend, seen with the first mediated device on it.
 *
 * Before a device gets a page table, QEMU asks the kernel what its IOMMU can do
 * (IOMMU_GET_HW_INFO). A mediated device has no IOMMU and Linux refuses the question. QEMU took
 * the refusal for a reason to fail the attach, so that no such device could be used with iommufd.
 * The mend does not ask for them.
 *
 * Right is that "nobody knows" means "nothing special". Here the question is refused with
 * EOPNOTSUPP: the device is attached, reaches its memory, and its container does not say that it
 * tracks dirty pages.
 */
#include "bugs.h"

/* A device that no IOMMU describes, as an emulated one. */
static void run(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, BUG_MIB);
	struct vfio_container_info info;

	bug_answer(stage, IOMMU_GET_HW_INFO, 1, -EOPNOTSUPP);
	stage_attach(stage, 0);
	assert_int_equal(stage->fail_call.hit, stage->backend->dirty_tracking);
	bug_over(stage);
	vfio_container_info(vfio_device_container(stage->devices[0]), &info);
	assert_false(info.dirty_tracking);
	stage_expect_reach(stage, 0, ram->region.start, BUG_MIB, ram->host, true);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_iommufd_mdev_hw_info = {
	.name = "bug-iommufd-mdev-hw-info",
	.about = "a device whose IOMMU says nothing of itself is attached, untracked",
	.run = run,
	.needs = NEEDS_CDEV,
};
