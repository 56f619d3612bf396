/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpr-register-leaked-on-get-info-failure: found by reading the patch of January 2025.
 *
 * The patch registers a new container for live update, then starts its listener, then asks the
 * device what it is (VFIO_DEVICE_GET_INFO). When that question failed, the error path jumped to
 * the label of the listener's failure, which undoes what was there before the registration came
 * in. The container was freed while it was still on the list of those to be told of a live
 * update; the next one would have called into freed memory. Nobody saw it in review.
 *
 * Right is that each label undoes all that stands above it. Here the device does not answer, the
 * attach is refused with the device's own errno, and the VMM's registry is empty; the same
 * container can be registered again, which EEXIST would show.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	stage_ram(stage, stage->backend->ram, BUG_MIB);
	for (int round = 0; round < 2; round++) {
		bug_hide_device(stage, 0);
		bug_refused(stage, 0, -EIO);
		assert_int_equal(stage->ref.state_count, 0);
		assert_int_equal(stage->ref.blocker_count, 0);
		stage_attach(stage, 0);
		assert_int_equal(bug_states(&stage->ref, "vfio/container/1"), 1);
		stage_detach(stage, 0);
	}
	stage_expect_empty(stage);
}

const struct story story_bug_cpr_register_leaked_on_get_info_failure = {
	.name = "bug-cpr-register-leaked-on-get-info-failure",
	.about = "a device that does not say what it is leaves no container registered",
	.run = run,
};
