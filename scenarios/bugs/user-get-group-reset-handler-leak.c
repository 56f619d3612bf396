/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-get-group-reset-handler-leak: in QEMU's first vfio-user container, November 2022.
 *
 * The first group of a machine brings a handler along that is called when the machine is reset.
 * The patch registered it, if the list of groups was empty, before it looked whether the group
 * could be made at all. When it could not, the handler stayed, with no group; and since the list
 * was still empty, the next attempt registered it again. Nobody saw it in review.
 *
 * Right is to register on success. This stack has no handler of resets; what it has of that kind
 * is what its first user registers for all: the state of an iommufd, the state of a container, and
 * that discarding is forbidden. Here the very first attach of a process fails late, several times,
 * and none of that may be left or be there twice when one works.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	uint32_t states, blockers;

	stage_ram(stage, stage->backend->ram, BUG_MIB);
	for (int round = 0; round < 3; round++) {
		int code = bug_refuse_map(stage, 0, 1);

		bug_refused(stage, 0, code);
		assert_int_equal(stage->ref.state_count, 0);
		assert_int_equal(stage->ref.blocker_count, 0);
		assert_int_equal(stage->ref.discard_forbidden, 0);
	}
	stage_attach(stage, 0);
	states = stage->ref.state_count;
	blockers = stage->ref.blocker_count;
	stage_detach(stage, 0);
	stage_attach(stage, 0);
	assert_int_equal(stage->ref.state_count, states);
	assert_int_equal(stage->ref.blocker_count, blockers);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_user_get_group_reset_handler_leak = {
	.name = "bug-user-get-group-reset-handler-leak",
	.about = "what the first user registers for all is gone when there is no user after all",
	.run = run,
	.needs = NEEDS_MAPS,
};
