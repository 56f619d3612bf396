/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ch-mig-state-recovery: in cloud-hypervisor, and as "left in STOP_COPY" in QEMU.
 *
 * A migration that fails wants its devices to run again. The state of a device was set, the kernel
 * refused, and the error was passed up: the device stayed where it was, stopped with half of its
 * state read, or in the state ERROR, out of which only a reset leads. The guest ran on and its
 * device did not. Where the recovery was tried, its own failure took the place of the reason why
 * it was needed.
 *
 * Right is another state to fall back on, then a reset, and the first reason. Here a device with
 * its state half read is told to stop and the kernel refuses: it runs; then falling back is
 * refused as well: it is reset and runs; each time the errno is the first one, and the stream is
 * closed.
 */
#include "bugs.h"

static void expect_running(struct stage *stage)
{
	enum vfio_mig_state state = VFIO_MIG_ERROR;
	struct vfio_error error = { 0 };

	bug_good(vfio_device_mig_state(stage->devices[0], &state, &error), &error);
	assert_int_equal(state, VFIO_MIG_RUNNING);
}

static void run(struct stage *stage)
{
	static const enum vfio_mig_state back[] = { VFIO_MIG_RUNNING, VFIO_MIG_ERROR };
	struct vfio_error error = { 0 };
	uint8_t bytes[64];
	size_t got;

	stage_attach(stage, 0);
	for (int i = 0; i < 2; i++) {
		stage_mark(stage);
		bug_good(vfio_device_mig_set_state(stage->devices[0], VFIO_MIG_STOP_COPY,
						   VFIO_MIG_RUNNING, &error),
			 &error);
		bug_good(
			vfio_device_mig_read(stage->devices[0], bytes, sizeof(bytes), &got, &error),
			&error);
		bug_answer(stage, VFIO_DEVICE_FEATURE, 1, -EIO);
		/* There is no way to ERROR on request: that cannot be fallen back on. */
		assert_false(vfio_device_mig_set_state(stage->devices[0], VFIO_MIG_STOP, back[i],
						       &error));
		assert_int_equal(error.code, -EIO);
		bug_over(stage);
		error = (struct vfio_error){ 0 };
		expect_running(stage);
		stage_expect_mark(stage);
	}
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_ch_mig_state_recovery = {
	.name = "bug-ch-mig-state-recovery",
	.about = "a device whose state cannot be set runs again, by another state or a reset",
	.run = run,
	.model = "migrate",
	.waivers = { { "user", "a server's features are asked for by messages: user-hostile" } },
};
