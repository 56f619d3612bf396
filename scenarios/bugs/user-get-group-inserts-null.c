/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-get-group-inserts-null: in QEMU's first vfio-user container, posted in November 2022.
 *
 * The function that makes a group for a server connects it to a container. When that failed, for
 * example because the memory listener could not start, the group was freed and its pointer set to
 * NULL, but the function went on to the line that puts it on the list of groups: a crash through a
 * NULL pointer, for a server that was merely not there. The patch was dropped for other reasons
 * before anybody had remarked on it.
 *
 * Right is to return before any list is touched. Here the node or socket does not exist, and then
 * the listener fails; each is refused with its reason, and the next attach works. A crash is the
 * story's failure, since it runs in a process of its own.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	struct vfio_device_options options = bug_nowhere(stage, 0);
	struct vfio_error error;

	stage_ram(stage, stage->backend->ram, BUG_MIB);
	stage_mark(stage);
	for (int round = 0; round < 2; round++) {
		assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
		assert_true(error.code == -ENOENT || error.code == -ECONNREFUSED);
		stage_expect_mark(stage);
	}
	if (!backend_lacks(stage->backend, NEEDS_MAPS)) {
		int code = bug_refuse_map(stage, 0, 1);

		bug_refused(stage, 0, code);
	}
	stage_attach(stage, 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_user_get_group_inserts_null = {
	.name = "bug-user-get-group-inserts-null",
	.about = "a group or server that cannot be had is on no list",
	.run = run,
};
