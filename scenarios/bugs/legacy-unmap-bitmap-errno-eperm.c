/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * legacy-unmap-bitmap-errno-eperm: found by reading QEMU of November 2025; a sibling of a bug that
 * was reported and mended two years before.
 *
 * ioctl() says -1 and puts the reason into errno. QEMU's function that reads a container's dirty
 * pages returned that -1 to a caller which takes it for an errno, and it is one: EPERM. So a bitmap
 * that was too large (E2BIG) was told to the user as "operation not permitted". It was mended
 * there; the same line is still in the unmap that reads dirty pages.
 *
 * Right is the errno that the kernel gave. Here reading dirty pages is answered with several
 * errnos, and each must come out of the call that asked for them; then it works, and nothing was
 * lost.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	bool iommufd = stage->backend->kind == VFIO_BACKEND_IOMMUFD;
	static const int codes[] = { -EINVAL, -E2BIG, -ENOMEM };
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, BUG_MIB);
	struct vfio_error error = { 0 };

	stage_attach(stage, 0);
	bug_good(vfio_memory_log_start(stage->memory, &error), &error);
	for (unsigned int i = 0; i < 3; i++) {
		bug_answer(stage, iommufd ? IOMMU_HWPT_GET_DIRTY_BITMAP : VFIO_IOMMU_DIRTY_PAGES, 1,
			   codes[i]);
		assert_false(vfio_memory_log_sync(stage->memory, &error));
		assert_int_equal(error.code, codes[i]);
		assert_true(stage->fail_call.hit);
		bug_over(stage);
		error = (struct vfio_error){ 0 };
	}
	bug_good(vfio_memory_log_sync(stage->memory, &error), &error);
	assert_int_equal(vfio_memory_test_dirty(stage->memory, ram->region.start, true), !iommufd);
	vfio_memory_log_stop(stage->memory);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_legacy_unmap_bitmap_errno_eperm = {
	.name = "bug-legacy-unmap-bitmap-errno-eperm",
	.about = "dirty pages that cannot be read are told with the kernel's own errno",
	.run = run,
	.needs = NEEDS_TRACKING,
};
