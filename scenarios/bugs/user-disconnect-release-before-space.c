/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-disconnect-release-before-space: in the vfio-user container of May 2025, as posted.
 *
 * Disconnecting released the container and then read from it to which address space it belonged, in
 * order to let go of that. It worked because nothing cleared the field and the object happened to
 * live until a little later. The upstream version takes the pointer first.
 *
 * Right is to take what is needed later before the owner goes. Here each device has an address
 * space of its own, which goes with its last container; the stage fills what is freed with
 * rubbish, so that reading it once more leads nowhere, and the space that stays is used again.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	struct vfio_memory *space = stage_space(stage);
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, BUG_MIB);

	stage_mark(stage);
	for (int round = 0; round < 2; round++) {
		stage_attach_to(stage, 0, space);
		stage_attach(stage, 1);
		stage_detach(stage, 0);
		if (!backend_lacks(stage->backend, NEEDS_MAPS))
			stage_expect_reach(stage, 1, ram->region.start, BUG_MIB, ram->host, true);
		stage_attach_to(stage, 0, space);
		stage_detach(stage, 1);
		stage_detach(stage, 0);
		stage_expect_mark(stage);
	}
	stage_expect_empty(stage);
}

const struct story story_bug_user_disconnect_release_before_space = {
	.name = "bug-user-disconnect-release-before-space",
	.about = "a container goes and lets go of its address space, in this order",
	.run = run,
};
