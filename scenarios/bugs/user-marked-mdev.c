/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-marked-mdev: in the vfio-user device of May 2025, as posted.
 *
 * QEMU asked one flag, "is it an mdev?", for several things: whether there is a host IOMMU to
 * describe, whether live update must be blocked, whether the device may do without a ban on
 * discarding. A vfio-user device shares one of these properties with an mdev, so the patch marked
 * it as one, and it got them all.
 *
 * Right is a flag for each property. Here a device is attached with each combination of its
 * options, and each has its own effect alone: mediated blocks the two ways of handing over and
 * nothing else; may_discard leaves discarding allowed and nothing else.
 */
#include "bugs.h"

static uint32_t handing_over(const struct stage *stage)
{
	return blockers_of(stage, VFIO_MODE_CPR_TRANSFER, NULL);
}

static void run(struct stage *stage)
{
	uint32_t container = backend_lacks(stage->backend, NEEDS_HANDOVER) ? 1 : 0;

	stage_ram(stage, stage->backend->ram, BUG_MIB);
	for (int combination = 0; combination < 4; combination++) {
		struct vfio_device_options options = stage_options(stage, 0);
		struct vfio_container_info info;
		struct vfio_error error;

		options.mediated = combination & 1;
		options.may_discard = combination & 2;
		assert_true(stage_try_attach(stage, 0, stage->memory, &options, &error));
		assert_int_equal(stage->ref.discard_forbidden, !options.may_discard);
		assert_int_equal(handing_over(stage), container + options.mediated);
		assert_int_equal(blockers_of(stage, VFIO_MODE_NORMAL, NULL), 1);
		vfio_container_info(vfio_device_container(stage->devices[0]), &info);
		assert_int_equal(info.dirty_tracking,
				 !backend_lacks(stage->backend, NEEDS_TRACKING));
		stage_detach(stage, 0);
	}
	stage_expect_empty(stage);
}

const struct story story_bug_user_marked_mdev = {
	.name = "bug-user-marked-mdev",
	.about = "each option of a device has its own effect and no other one's",
	.run = run,
};
