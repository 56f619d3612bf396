/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-connect-hostwin-leak: in QEMU's first vfio-user container, November 2022.
 *
 * Containers of that time had a list of host windows, ranges of addresses that can be mapped. The
 * patch adds a window of all 64 bits, then starts the memory listener. When the listener fails, the
 * label that is taken frees the container and not the entry of its list: some bytes for each
 * server that refuses a map. The same had been in the other backends before.
 *
 * Right is that what was added before the failure goes with it. sPAPR is where this stack has such
 * a list: each window counts its users, which are made before their section is mapped. Here the
 * first, then the second map of an attach fails, and the stack's memory is counted before and
 * after.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	stage_ram(stage, stage->backend->ram, BUG_MIB);
	stage_ram(stage, stage->backend->ram + 4 * BUG_MIB, BUG_MIB);
	for (uint32_t nth = 1; nth <= 2; nth++) {
		int code = bug_refuse_map(stage, 0, nth);
		uint64_t blocks = stage->ref.blocks;

		bug_refused(stage, 0, code);
		assert_int_equal(stage->ref.blocks, blocks);
	}
	stage_attach(stage, 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_user_connect_hostwin_leak = {
	.name = "bug-user-connect-hostwin-leak",
	.about = "the windows of a container whose maps fail are freed with it",
	.run = run,
	.needs = NEEDS_MAPS,
};
