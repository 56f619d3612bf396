/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-attach-leaks-container-on-get-info: in the vfio-user series of May 2025, and in QEMU still.
 *
 * Attaching a vfio-user device connects its container and then asks the server what the device is.
 * When the server answers with an error, or not in time, the function returns false and leaves the
 * container connected: its address space, its registration for live update, the count that forbids
 * discarding, and the memory listener. The caller frees the connection; the next change of guest
 * memory makes the listener send through it.
 *
 * Right is to disconnect. Here the device does not answer, also in the last moment before time is
 * up, the attach is refused and everything that is counted is back; then guest memory changes,
 * which nobody may hear of, and another device attaches.
 */
#include "bugs.h"

static void too_late(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfake_hostile silent = { .kind = VFAKE_HOSTILE_NO_ANSWER,
					.command = VFIO_USER_DEVICE_GET_INFO };
	struct vfio_error error;

	options.timeout_ticks = 4;
	vfake_peer_set_hostile(stage->peers[0], &silent);
	stage_mark(stage);
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	assert_int_equal(error.code, -ETIMEDOUT);
	stage_expect_mark(stage);
	silent.kind = VFAKE_HOSTILE_NONE;
	vfake_peer_set_hostile(stage->peers[0], &silent);
}

static void run(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, BUG_MIB);

	bug_hide_device(stage, 0);
	bug_refused(stage, 0, -EIO);
	if (stage->backend->kind == VFIO_BACKEND_USER)
		too_late(stage);
	stage_ram_out(ram);
	stage_ram_in(ram);
	stage_attach(stage, 1);
	stage_ram_out(ram);
	stage_ram_in(ram);
	if (!backend_lacks(stage->backend, NEEDS_MAPS))
		stage_expect_reach(stage, 1, ram->region.start, BUG_MIB, ram->host, true);
	stage_detach(stage, 1);
	stage_expect_empty(stage);
}

const struct story story_bug_user_attach_leaks_container_on_get_info = {
	.name = "bug-user-attach-leaks-container-on-get-info",
	.about = "a device that does not say what it is leaves no container connected",
	.run = run,
};
