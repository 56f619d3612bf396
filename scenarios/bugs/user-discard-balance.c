/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-discard-balance: looked for in the vfio-user container of November 2022, and not found.
 *
 * A container forbids the discarding of guest memory before its listener starts, and one of the
 * error labels allows it again. The patch is right here: each way out passes that label once. But
 * the count has no owner, and a label more or less, as such patches gain and lose them, leaves it
 * wrong without a trace: too high, and the balloon never works again; too low, and the next device
 * shares its memory with a balloon that nobody stopped.
 *
 * Right is the same count after a failure as before, whoever else forbids it. Here maps fail
 * while no container is there and while one is, and the count is read after each; the stage knows
 * when it is lowered below what it was raised.
 */
#include "bugs.h"

static void fail_beside(struct stage *stage, struct vfio_memory *space, uint32_t forbidden)
{
	struct vfio_device_options options = stage_options(stage, 1);
	struct vfio_error error;
	int code;

	for (uint32_t nth = 1; nth <= 2; nth++) {
		code = bug_refuse_map(stage, 1, nth);
		assert_false(stage_try_attach(stage, 1, space, &options, &error));
		assert_int_equal(error.code, code);
		bug_over(stage);
		assert_int_equal(stage->ref.discard_forbidden, forbidden);
	}
}

static void run(struct stage *stage)
{
	struct vfio_memory *space = stage_space(stage);
	struct vfio_memory_region copy;
	struct stage_ram *rams[2];

	for (uint64_t i = 0; i < 2; i++) {
		rams[i] = stage_ram(stage, stage->backend->ram + 4 * i * BUG_MIB, BUG_MIB);
		copy = rams[i]->region;
		stage_add(stage, space, &copy);
	}
	fail_beside(stage, space, 0);
	stage_attach(stage, 0);
	fail_beside(stage, space, 1);
	stage_attach_to(stage, 1, space);
	assert_int_equal(stage->ref.discard_forbidden, 2);
	stage_detach(stage, 0);
	assert_int_equal(stage->ref.discard_forbidden, 1);
	stage_detach(stage, 1);
	assert_int_equal(stage->ref.discard_forbidden, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_user_discard_balance = {
	.name = "bug-user-discard-balance",
	.about = "an attach that fails allows discarding as often as it forbade it",
	.run = run,
	.needs = NEEDS_MAPS,
};
