/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-put-group-discard-order: in the vfio-user container of November 2022, and in the group code
 * that it was copied from.
 *
 * While a device or a server has guest memory mapped, a balloon must not give pages back to the
 * host: the device would go on with the old page. QEMU counts who forbids it. When the last device
 * of a group left, the count was lowered first, and only then was the listener stopped, which is
 * what unmaps guest memory, on the server's side too. In between the balloon may discard pages that
 * are still mapped. Nobody remarked on it.
 *
 * Right is to allow it after the last unmap. Here the VMM looks at the moment when it is told:
 * no page may be pinned in the kernel, and a server may have no map.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	struct bug_vmm own;
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error error = { 0 };
	struct vfio_device *device;

	bug_vmm_start(&own, stage);
	stage_ram(stage, stage->backend->ram, BUG_MIB);
	stage_ram(stage, stage->backend->ram + 4 * BUG_MIB, BUG_MIB);
	for (int round = 0; round < 2; round++) {
		own.pinned_then = own.maps_then = 77;
		device = vfio_device_attach(own.vfio, stage->memory, &options, &error);
		bug_good(device, &error);
		assert_int_equal(stage->ref.discard_forbidden, 1);
		assert_true(vfake_ledger(stage->kernel).pinned_pages > 0);
		vfio_device_detach(device);
		assert_int_equal(stage->ref.discard_forbidden, 0);
		assert_int_equal(own.pinned_then, 0);
		if (stage->backend->kind == VFIO_BACKEND_USER)
			assert_int_equal(own.maps_then, 0);
	}
	vfio_free(own.vfio);
	stage_expect_empty(stage);
}

const struct story story_bug_user_put_group_discard_order = {
	.name = "bug-user-put-group-discard-order",
	.about = "discarding is allowed again after the last unmap, not before",
	.run = run,
	.needs = NEEDS_MAPS,
};
