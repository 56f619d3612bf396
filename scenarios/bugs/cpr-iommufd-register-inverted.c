/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpr-iommufd-register-inverted: found by reading QEMU of November 2025; no report has been seen.
 *
 * Registering an iommufd for live update returns bool. On a kernel without
 * IOMMU_IOAS_CHANGE_PROCESS it blocks live update and returns what the blocker's function
 * returned, which is an int: 0, success, is false, and an errno is true. So such a kernel could
 * not be used at all ("failed", with no error set), and a user whose policy refuses the blocker got
 * the device. The mask of modes names cpr-transfer twice and cpr-exec not at all. The older
 * container's copy of the same lines has the comparison with 0.
 *
 * Here the kernel does not know the call. The blocker is there for both modes and the attach works,
 * or the blocker is refused and so is the device, with its errno and in words. Blockers of devices
 * that cannot be migrated go the same way.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 0);
	bool old = stage->backend->kind == VFIO_BACKEND_IOMMUFD;
	struct vfio_error error;

	stage_mark(stage);
	if (old)
		bug_answer(stage, IOMMU_IOAS_CHANGE_PROCESS, 1, -ENOTTY);
	assert_true(stage_try_attach(stage, 0, stage->memory, &options, &error));
	bug_over(stage);
	assert_int_equal(blockers_of(stage, VFIO_MODE_NORMAL, NULL), 1);
	if (old) {
		assert_int_equal(blockers_of(stage, VFIO_MODE_CPR_TRANSFER, NULL), 1);
		assert_int_equal(blockers_of(stage, VFIO_MODE_CPR_EXEC, NULL), 1);
	}
	stage_detach(stage, 0);
	stage->ref.only_modes = old ? VFIO_MODE_CPR_EXEC : VFIO_MODE_NORMAL;
	if (old)
		bug_answer(stage, IOMMU_IOAS_CHANGE_PROCESS, 1, -ENOTTY);
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	assert_int_equal(error.code, -EACCES);
	bug_over(stage);
	stage->ref.only_modes = 0;
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_bug_cpr_iommufd_register_inverted = {
	.name = "bug-cpr-iommufd-register-inverted",
	.about = "a blocker that is there is success, and one that is refused is none",
	.run = run,
};
