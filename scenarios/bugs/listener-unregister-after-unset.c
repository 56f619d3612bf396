/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * listener-unregister-after-unset: in QEMU's legacy container, seen as messages when a device goes.
 *
 * Disconnecting the last group of a container told the kernel first that the group leaves
 * (VFIO_GROUP_UNSET_CONTAINER). With its last group a container loses its IOMMU driver, and all
 * maps with it. Then the listener was unregistered, which unmaps each piece of guest memory: EINVAL
 * for each of them, from a container that has no driver. The mend turned the two around.
 *
 * Right is to unmap while there is something to unmap from. Here several pieces are mapped when the
 * last device goes; the stage fails a story in which a call that takes something down is refused,
 * and the kernel has nothing pinned when discarding is allowed again.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	struct stage_ram *rams[3];

	stage_mark(stage);
	for (uint64_t i = 0; i < 3; i++)
		rams[i] = stage_ram(stage, stage->backend->ram + 2 * i * BUG_MIB, BUG_MIB);
	for (int round = 0; round < 2; round++) {
		stage_attach(stage, 0);
		for (int i = 0; i < 3; i++)
			stage_expect_reach(stage, 0, rams[i]->region.start, BUG_MIB, rams[i]->host,
					   true);
		stage_detach(stage, 0);
		assert_int_equal(vfake_ledger(stage->kernel).pinned_pages, 0);
		assert_int_equal(stage->ref.broken_seen, 0);
	}
	stage_expect_empty(stage);
}

const struct story story_bug_listener_unregister_after_unset = {
	.name = "bug-listener-unregister-after-unset",
	.about = "what is mapped is unmapped before the group leaves its container",
	.run = run,
	.needs = NEEDS_MAPS,
	.waivers = { { "iommufd", "there is no group that leaves" },
		     { "iommufd-dirty", "there is no group that leaves" },
		     { "user", "there is no group that leaves" } },
};
