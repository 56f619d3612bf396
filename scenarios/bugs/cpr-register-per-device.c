/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpr-register-per-device: the first thing that the patch thread of January 2025 is about.
 *
 * QEMU's iommufd backend registered a container for live update behind the label where a container
 * that was found and one that was made meet. So each device did it: with two devices in one
 * container the same notifier was on its list twice, which with a list of nodes is a loop that
 * walking never leaves, and with a list of pointers an entry that stays when the container is
 * freed. The reviewer saw the line move in a patch about something else and asked why; the move
 * was the mend, made by itself three months later.
 *
 * Right is one registration for each container, with its first device. Here the reference VMM
 * refuses a second one of the same name (EEXIST), the story counts the names, and it counts what
 * else there is once per container: that discarding is forbidden.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	uint32_t states;

	stage_ram(stage, stage->backend->ram, BUG_MIB);
	stage_attach(stage, 0);
	states = stage->ref.state_count;
	assert_int_equal(bug_states(&stage->ref, "vfio/container/1"), 1);
	for (unsigned int i = 1; i < STAGE_DEVICES; i++) {
		stage_attach(stage, i);
		assert_ptr_equal(vfio_device_container(stage->devices[i]),
				 vfio_device_container(stage->devices[0]));
		assert_int_equal(bug_states(&stage->ref, "vfio/container/1"), 1);
		assert_int_equal(stage->ref.state_count, states);
		assert_int_equal(stage->ref.discard_forbidden, 1);
	}
	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		stage_detach(stage, i);
	stage_expect_empty(stage);
}

const struct story story_bug_cpr_register_per_device = {
	.name = "bug-cpr-register-per-device",
	.about = "the second and third device of a container register nothing of it again",
	.run = run,
	.needs = NEEDS_SHARING,
};
