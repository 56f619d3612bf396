/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpr-backend-vmstate-registered-per-container: in the patch of January 2025, mended later.
 *
 * An iommufd can have several containers, one for each address space. The patch registered the
 * state of the iommufd itself together with that of each container, always under the same name
 * and for the same object. Two containers had it registered twice; and since it was removed by
 * object, the first container to go removed both, so that the second one's iommufd had no state
 * in the next live update. The mend moved it to the first and the last user of the iommufd.
 *
 * Here two devices are in two address spaces of one iommufd: its state is there once from the
 * first to the last of them, whichever goes first, and is saved and checked in between.
 */
#include "bugs.h"

static void expect_shared(const struct stage *stage, uint32_t count)
{
	assert_int_equal(bug_states(&stage->ref, "vfio/iommufd/1"), count);
	for (uint32_t i = 0; i < stage->ref.state_count; i++) {
		const struct vfio_vmstate *state = stage->ref.states[i];
		uint8_t bytes[512];
		size_t size = state->save(state->opaque, bytes, sizeof(bytes));

		assert_true(size > 0 && size <= sizeof(bytes));
		assert_int_equal(state->load(state->opaque, state->version, bytes, size), 0);
	}
}

static void run(struct stage *stage)
{
	struct vfio_memory *space = stage_space(stage);

	stage_ram(stage, stage->backend->ram, BUG_MIB);
	for (unsigned int first = 0; first < 2; first++) {
		expect_shared(stage, 0);
		stage_attach(stage, 0);
		expect_shared(stage, 1);
		stage_attach_to(stage, 1, space);
		expect_shared(stage, 1);
		assert_int_equal(stage->ref.state_count, 3);
		stage_detach(stage, first);
		expect_shared(stage, 1);
		stage_detach(stage, 1 - first);
		expect_shared(stage, 0);
	}
	stage_expect_empty(stage);
}

const struct story story_bug_cpr_backend_vmstate_registered_per_container = {
	.name = "bug-cpr-backend-vmstate-registered-per-container",
	.about = "two containers of one iommufd register it once, from the first to the last",
	.run = run,
	.needs = NEEDS_CDEV,
};
