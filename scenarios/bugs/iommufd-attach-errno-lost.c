/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommufd-attach-errno-lost: in QEMU's iommufd backend, in a series that turned results into bool.
 *
 * A device that joins an iommufd's container is tried on each page table that is there. Linux
 * answers EINVAL for one that does not go with the device's IOMMU, and then the next one, or a new
 * one, is right; ENOMEM or anything else ends the attach. The function's int became a bool, and the
 * caller could not tell the two apart any more. The mend gives the errno back.
 *
 * Right is to look at which error it is. Here EINVAL must give the device a page table of its own
 * and ENOMEM must refuse it, with that errno; the device beside it reaches its memory throughout.
 */
#include "bugs.h"

/* The kernel's word for a device that does not go with a page table, and other words. */
static void run(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, BUG_MIB);
	struct vfio_device_options options = stage_options(stage, 1);
	struct vfio_error error;

	stage_attach(stage, 0);
	stage_mark(stage);
	bug_answer(stage, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, -EINVAL);
	stage_attach(stage, 1);
	assert_true(stage->fail_call.hit);
	bug_over(stage);
	/* A page table of its own: in the container that tracks, or with a container. */
	assert_false(vfake_view_same_domain(stage->kernel, stage_name(0), stage_name(1)));
	assert_int_equal(vfio_device_container(stage->devices[0]) ==
				 vfio_device_container(stage->devices[1]),
			 stage->backend->dirty_tracking);
	stage_expect_reach(stage, 1, ram->region.start, BUG_MIB, ram->host, true);
	stage_detach(stage, 1);
	stage_expect_mark(stage);
	bug_answer(stage, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, -ENOMEM);
	assert_false(stage_try_attach(stage, 1, stage->memory, &options, &error));
	assert_int_equal(error.code, -ENOMEM);
	bug_over(stage);
	stage_expect_mark(stage);
	stage_expect_reach(stage, 0, ram->region.start, BUG_MIB, ram->host, true);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_iommufd_attach_errno_lost = {
	.name = "bug-iommufd-attach-errno-lost",
	.about =
		"a device that does not fit a page table gets another; other errors end the attach",
	.run = run,
	.needs = NEEDS_CDEV,
};
