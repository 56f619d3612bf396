/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-connect-group-container-dangling: found by reading the vfio-user container of November 2022.
 *
 * When the memory listener failed, the group was taken off the container's list and the container
 * was freed, but the group still named it. The only caller freed the group right away, so nothing
 * looked; a group that lives on, because another device claims it or because it is kept for the
 * next attempt, takes the freed container for its own and the next device joins it.
 *
 * Right is that both ends of a link are cleared. Here the container of a group of three devices
 * fails to map, and then each device of the group attaches, also while another one has it: memory
 * that was freed holds rubbish on the stage, so who follows the old pointer crashes.
 */
#include "bugs.h"

static void one_group(struct vfake_world *world)
{
	for (uint32_t i = 1; i < STAGE_DEVICES; i++)
		world->devices[i].group = world->devices[0].group;
}

static void run(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, BUG_MIB);
	struct vfio_device_options options;
	struct vfio_error error;

	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		int code = bug_refuse_map(stage, i, 1);

		options = stage_options(stage, i);
		assert_false(stage_try_attach(stage, i, stage->memory, &options, &error));
		assert_int_equal(error.code, code);
		bug_over(stage);
		for (unsigned int j = 0; j < 2; j++)
			stage_attach(stage, (i + j) % STAGE_DEVICES);
		stage_expect_reach(stage, i, ram->region.start, BUG_MIB, ram->host, true);
		for (unsigned int j = 0; j < 2; j++)
			stage_detach(stage, (i + j) % STAGE_DEVICES);
	}
	stage_expect_empty(stage);
}

const struct story story_bug_user_connect_group_container_dangling = {
	.name = "bug-user-connect-group-container-dangling",
	.about = "a group whose container failed is in none when its next device comes",
	.run = run,
	.needs = NEEDS_MAPS | NEEDS_COMPANY | NEEDS_SHARING,
	.prepare = one_group,
};
