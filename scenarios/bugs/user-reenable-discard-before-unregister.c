/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-reenable-discard-before-unregister: found by reading QEMU of November 2025.
 *
 * Disconnecting a vfio-user container allows discarding of guest memory again and then unregisters
 * the memory listener, which is what sends DMA_UNMAP to the server. It is the order of November
 * 2022 once more, in code that was written anew; no report of it has been seen.
 *
 * The reverse alone is not enough: an unmap can fail, and then the last map goes only with the
 * container's file or connection. Right is that discarding is allowed when nothing is mapped
 * whatever the unmaps said. Here the first unmap of a detach fails, and the VMM looks when it is
 * told: no page may be pinned, and a server may have no map.
 */
#include "bugs.h"

static void refuse_unmap(struct stage *stage)
{
	switch (stage->backend->kind) {
	case VFIO_BACKEND_USER:
		bug_reply(stage, 0, VFIO_USER_DMA_UNMAP, 1);
		break;
	case VFIO_BACKEND_IOMMUFD:
		bug_answer(stage, IOMMU_IOAS_UNMAP, 1, -ENOMEM);
		break;
	default:
		bug_answer(stage, VFIO_IOMMU_UNMAP_DMA, 1, -ENOMEM);
	}
}

static void run(struct stage *stage)
{
	struct bug_vmm own;
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error error = { 0 };
	struct vfio_device *device;

	bug_vmm_start(&own, stage);
	for (uint64_t i = 0; i < 2; i++)
		stage_ram(stage, stage->backend->ram + 4 * i * BUG_MIB, BUG_MIB);
	own.pinned_then = own.maps_then = 77;
	device = vfio_device_attach(own.vfio, stage->memory, &options, &error);
	bug_good(device, &error);
	refuse_unmap(stage);
	vfio_device_detach(device);
	bug_over(stage);
	assert_int_equal(stage->ref.discard_forbidden, 0);
	assert_int_equal(own.pinned_then, 0);
	if (stage->backend->kind == VFIO_BACKEND_USER)
		assert_int_equal(own.maps_then, 0);
	vfio_free(own.vfio);
	stage_expect_empty(stage);
}

const struct story story_bug_user_reenable_discard_before_unregister = {
	.name = "bug-user-reenable-discard-before-unregister",
	.about = "discarding stays forbidden while a map is left that could not be unmapped",
	.run = run,
	.needs = NEEDS_MAPS,
};
