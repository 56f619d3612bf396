/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpr-device-unregister-after-space-put: found by reading the patch of January 2025.
 *
 * When the last device of an iommufd container left, QEMU let go of the container and of its
 * address space first and only then unregistered the device for live update; the blocker of the
 * container went somewhere in between. A handler of the device that is called in this gap, or a
 * later change that looks at the device's container, finds freed memory. It was not seen in
 * review; it did no harm as long as nothing looked.
 *
 * Right is the reverse of the way up: what a device registered goes before its container does.
 * Here a device blocks live update by itself (it is mediated), the VMM notes how much state is
 * registered when that blocker goes, and it must be all that there was.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	struct bug_vmm own;
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error error = { 0 };
	struct vfio_device *device;
	uint32_t states;

	bug_vmm_start(&own, stage);
	stage_ram(stage, stage->backend->ram, BUG_MIB);
	options.mediated = true;
	for (int round = 0; round < 2; round++) {
		device = vfio_device_attach(own.vfio, stage->memory, &options, &error);
		bug_good(device, &error);
		states = stage->ref.state_count;
		assert_true(states > 0);
		own.states_then = 0;
		vfio_device_detach(device);
		assert_int_equal(own.states_then, states);
		assert_int_equal(stage->ref.state_count, 0);
	}
	vfio_free(own.vfio);
	stage_expect_empty(stage);
}

const struct story story_bug_cpr_device_unregister_after_space_put = {
	.name = "bug-cpr-device-unregister-after-space-put",
	.about = "what a device registered for live update goes before its container",
	.run = run,
};
