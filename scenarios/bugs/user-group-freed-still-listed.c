/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-group-freed-still-listed: found by Oracle in its vfio-user tree, with a sanitizer.
 *
 * A vfio-user device was unplugged and another one plugged in. The group of the first was freed
 * when its device object was finalized, without being taken off the list that it was on; putting
 * the second group on that list wrote into the freed one. The mend takes it off first. The
 * sanitizer's report is in the message of that commit.
 *
 * Right is that who is freed is on no list. Here devices come and go in turns, alone and beside
 * another one; what the stack frees holds rubbish from then on, so that a list which goes through
 * it leads nowhere, and the counters must be back each time.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	stage_mark(stage);
	for (int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
			stage_attach(stage, i);
			stage_detach(stage, i);
			stage_expect_mark(stage);
		}
	}
	stage_attach(stage, 0);
	for (unsigned int i = 1; i < STAGE_DEVICES; i++) {
		stage_attach(stage, i);
		stage_detach(stage, i - 1);
	}
	stage_attach(stage, 0);
	stage_detach(stage, STAGE_DEVICES - 1);
	stage_detach(stage, 0);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_bug_user_group_freed_still_listed = {
	.name = "bug-user-group-freed-still-listed",
	.about = "devices are unplugged and others plugged in, again and again",
	.run = run,
};
