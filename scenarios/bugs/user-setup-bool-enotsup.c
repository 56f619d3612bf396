/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-setup-bool-enotsup: in the vfio-user container class of May 2025, as posted.
 *
 * The function of the class that sets a container up was declared to return bool, and the stub of
 * this patch fills the error object and returns -ENOTSUP. As a bool that is true. So attaching a
 * device "worked" and left an error behind; the next failure that wants to fill the same object
 * finds it full, and QEMU aborts on that. Later patches of the series replaced the stub.
 *
 * Right is false, or that result and error object agree. Here each call of an attach is answered
 * with ENOTSUP in turn, and each question for an extension of the kernel with "no": whatever comes
 * of it, a device has no error with it and no device has one (stage_try_attach() asserts that), and
 * a kernel without the IOMMU driver is the reason that is told.
 */
#include "bugs.h"

/* Returns whether there was such a call. */
static bool refuse(struct stage *stage, uint32_t request, uint64_t nth, int code)
{
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error error;
	bool hit;

	bug_answer(stage, request, nth, code);
	if (stage_try_attach(stage, 0, stage->memory, &options, &error))
		stage_detach(stage, 0);
	hit = stage->fail_call.hit;
	bug_over(stage);
	stage_expect_mark(stage);
	return hit;
}

static void run(struct stage *stage)
{
	stage_ram(stage, stage->backend->ram, BUG_MIB);
	stage_mark(stage);
	for (uint64_t nth = 1; refuse(stage, 0, nth, -ENOTSUP); nth++)
		assert_true(nth < 200);
	for (uint64_t nth = 1; refuse(stage, VFIO_CHECK_EXTENSION, nth, 0); nth++)
		assert_true(nth < 200);
	/* Where one question decides, it is also the reason that is given. */
	if (stage->backend->type1_v1 || stage->backend->noiommu) {
		bug_answer(stage, VFIO_CHECK_EXTENSION, 1, 0);
		bug_refused(stage, 0, -ENOTSUP);
	}
	stage_attach(stage, 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_user_setup_bool_enotsup = {
	.name = "bug-user-setup-bool-enotsup",
	.about = "a set-up that says \"not supported\" is no success with an error",
	.run = run,
};
