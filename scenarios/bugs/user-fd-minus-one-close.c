/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-fd-minus-one-close: in the code that the vfio-user container of November 2022 was built on.
 *
 * A device behind a server has no descriptor of its own, so its field holds -1. The shared way
 * down closed that field without a look: close(-1), EBADF, ignored. It is harmless until a
 * descriptor is taken for the answer, or a program closes what has become somebody else's. The
 * patch itself put the test in front of it.
 *
 * Right is that nothing is closed which is not open. Here devices are refused at each point before
 * they have a descriptor and after: no node, no answer, no device in the group. The stage fails a
 * story that closes a number which is not open.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	struct vfio_device_options options = bug_nowhere(stage, 0);
	struct vfio_error error;

	stage_mark(stage);
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	stage_expect_mark(stage);
	bug_hide_device(stage, 0);
	bug_refused(stage, 0, -EIO);
	if (stage->backend->kind == VFIO_BACKEND_LEGACY) {
		bug_answer(stage, VFIO_GROUP_GET_DEVICE_FD, 1, -ENODEV);
		bug_refused(stage, 0, -ENODEV);
	}
	stage_attach(stage, 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_user_fd_minus_one_close = {
	.name = "bug-user-fd-minus-one-close",
	.about = "a device that never was open is not closed",
	.run = run,
};
