/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpr-unsupported-skips-vmstate-but-unregister-does-not: found by reading the patch of January
 * 2025.
 *
 * Where the kernel cannot hand memory over, QEMU's registering of an iommufd container returned
 * right after it had blocked live update, before the container's two pieces of state were
 * registered. Unregistering did not know which way had been taken and removed both pieces always.
 * That is harmless only as long as the registry forgives a removal of what it does not have, and
 * with two containers of one opaque pointer it may remove another one's.
 *
 * Right is that the way back is the way there. Here what is blocked is registered all the same
 * (for a reboot of the host it is needed), there are as many pieces as before when it goes, and
 * the stage fails a story that unregisters what is not registered.
 */
#include "bugs.h"

static void attach_blocked(struct stage *stage, unsigned int index, struct vfio_memory *memory)
{
	if (stage->backend->kind == VFIO_BACKEND_IOMMUFD)
		bug_answer(stage, IOMMU_IOAS_CHANGE_PROCESS, 1, -ENOTTY);
	stage_attach_to(stage, index, memory);
	bug_over(stage);
	assert_true(blockers_of(stage, VFIO_MODE_CPR_TRANSFER, NULL) > 0);
}

static void run(struct stage *stage)
{
	struct vfio_memory *space = stage_space(stage);
	uint32_t states;

	stage_ram(stage, stage->backend->ram, BUG_MIB);
	attach_blocked(stage, 0, stage->memory);
	assert_int_equal(bug_states(&stage->ref, "vfio/container/1"), 1);
	states = stage->ref.state_count;
	attach_blocked(stage, 1, space);
	assert_int_equal(bug_states(&stage->ref, "vfio/container/2"), 1);
	stage_detach(stage, 1);
	assert_int_equal(stage->ref.state_count, states);
	assert_int_equal(bug_states(&stage->ref, "vfio/container/1"), 1);
	stage_detach(stage, 0);
	assert_int_equal(stage->ref.state_count, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_cpr_unsupported_skips_vmstate = {
	.name = "bug-cpr-unsupported-skips-vmstate-but-unregister-does-not",
	.about = "what blocks live update is registered and unregistered like everything else",
	.run = run,
	.waivers = { { "type1v2", "it can be handed over, by calls that are older than type1v2" },
		     { "type1v1", "likewise" } },
};
