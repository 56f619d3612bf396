/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-missing-discard-disable: in the vfio-user container of May 2025, mended before it was
 * merged.
 *
 * A server maps guest memory into its own process. If a balloon then gives pages back to the host,
 * server and guest see different pages from there on: data are lost without an error. The
 * container of the first versions did not say so to the rest of QEMU, as those of the kernel's
 * backends do; the upstream version forbids discarding before the first map.
 *
 * Right is: forbidden before anything is mapped, for every backend that maps, and a refusal when
 * somebody relies on discarding. Here the VMM is asked at once after the attach, a second
 * address space forbids on its own, and a VMM with a balloon in use refuses the device, with EBUSY.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	struct vfio_memory *space = stage_space(stage);

	stage_ram(stage, stage->backend->ram, BUG_MIB);
	assert_int_equal(stage->ref.discard_forbidden, 0);
	stage_attach(stage, 0);
	assert_int_equal(stage->ref.discard_forbidden, 1);
	stage_attach_to(stage, 1, space);
	assert_int_equal(stage->ref.discard_forbidden, 2);
	stage_detach(stage, 0);
	assert_int_equal(stage->ref.discard_forbidden, 1);
	stage_detach(stage, 1);
	assert_int_equal(stage->ref.discard_forbidden, 0);
	stage->ref.needs_discard = true;
	bug_refused(stage, 0, -EBUSY);
	stage->ref.needs_discard = false;
	stage_expect_empty(stage);
}

const struct story story_bug_user_missing_discard_disable = {
	.name = "bug-user-missing-discard-disable",
	.about =
		"discarding of guest memory is forbidden from the attach on, or there is no attach",
	.run = run,
};
