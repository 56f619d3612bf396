/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpr-unregister-per-device: what the patch of January 2025 left undone.
 *
 * It moved the registration of a container for live update to where the container is made, once.
 * The way back stayed where each device leaves. So the first of two devices to go took the
 * registration along while the second still used the container: a live update then found no
 * handler for it and handed nothing over, and the second device unregistered what was not there
 * any more. Nobody remarked on it in the thread; the mend of April 2025 has both halves.
 *
 * Right is that the last device to leave ends it, right before the container goes. Here a live
 * update is saved after each leaving and must hold who is left; the stage knows an unregistering
 * of what is not registered.
 */
#include "bugs.h"

/* What is saved of the devices that are there: the bytes of it. */
static size_t saved(struct stage *stage)
{
	struct vfio_error error = { 0 };
	const void *state;
	size_t size;

	bug_good(
		vfio_cpr_save(stage->vfio, VFIO_MODE_CPR_REBOOT, true, NULL, &state, &size, &error),
		&error);
	bug_good(vfio_cpr_abort(stage->vfio, &error), &error);
	return size;
}

static void run(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, BUG_MIB);
	uint32_t states;
	size_t size;

	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		stage_attach(stage, i);
	states = stage->ref.state_count;
	size = saved(stage);
	for (unsigned int i = 0; i + 1 < STAGE_DEVICES; i++) {
		stage_detach(stage, i);
		assert_int_equal(bug_states(&stage->ref, "vfio/container/1"), 1);
		assert_int_equal(stage->ref.state_count, states);
		assert_int_equal(stage->ref.discard_forbidden, 1);
		assert_true(saved(stage) < size);
	}
	if (!backend_lacks(stage->backend, NEEDS_MAPS))
		stage_expect_reach(stage, STAGE_DEVICES - 1, ram->region.start, BUG_MIB, ram->host,
				   true);
	stage_detach(stage, STAGE_DEVICES - 1);
	assert_int_equal(stage->ref.state_count, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_cpr_unregister_per_device = {
	.name = "bug-cpr-unregister-per-device",
	.about = "a container stays registered until the last of its devices leaves",
	.run = run,
	.needs = NEEDS_SHARING,
};
