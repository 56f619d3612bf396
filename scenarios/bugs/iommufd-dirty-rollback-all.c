/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommufd-dirty-rollback-all: found by reading QEMU of November 2025, never reported.
 *
 * Tracking of dirty pages is switched on for each page table of an iommufd's container in turn.
 * When one refuses, QEMU switches it off again for all of them, also for those behind the one that
 * refused, which never were on; it does not look at what these calls say, and of the errno that
 * began it only EINVAL is left.
 *
 * Right is to undo what was done, and to give the reason. Here the second of two page tables
 * cannot be tracked: three calls in all (on, refused, off), the kernel's own errno, and tracking
 * starts when it is asked for again.
 */
#include "bugs.h"

/* Two page tables, of which the second cannot be tracked: the first is not any more, either. */
static void run(struct stage *stage)
{
	struct vfio_error error = { 0 };

	stage_ram(stage, stage->backend->ram, BUG_MIB);
	stage_attach(stage, 0);
	bug_answer(stage, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, -EINVAL);
	stage_attach(stage, 1);
	bug_answer(stage, IOMMU_HWPT_SET_DIRTY_TRACKING, 2, -ENOSPC);
	assert_false(vfio_memory_log_start(stage->memory, &error));
	assert_int_equal(error.code, -ENOSPC);
	/* On, refused, off again: the one that never was on is left alone. */
	assert_int_equal(stage->fail_call.seen, 3);
	bug_over(stage);
	assert_true(vfio_memory_log_start(stage->memory, &error));
	vfio_memory_log_stop(stage->memory);
	stage_detach(stage, 0);
	stage_detach(stage, 1);
	stage_expect_empty(stage);
}

const struct story story_bug_iommufd_dirty_rollback_all = {
	.name = "bug-iommufd-dirty-rollback-all",
	.about = "tracking that starts on one page table and not on the next is off, with the "
		 "reason",
	.run = run,
	.needs = NEEDS_CDEV | NEEDS_TRACKING,
};
