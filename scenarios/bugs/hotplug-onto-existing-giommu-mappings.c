/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hotplug-onto-existing-giommu-mappings: in QEMU, seen with a device that was plugged in late.
 *
 * A guest with an IOMMU had mapped pages for the devices on a bus when one more was plugged in
 * there, in a container of its own. That container registered for what is mapped from now on, and
 * had nothing of what was mapped before: the new device's DMA to addresses which the guest knew to
 * be mapped faulted. The mend replays what there is to who comes.
 *
 * Right is that who comes late is told of all that there is. Here the guest maps first, two devices
 * come one after the other, and both must reach it, with the rights that it was mapped with.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	uint64_t page = stage->backend->page;
	struct vfio_memory *space = stage_space(stage);
	struct vfio_memory_region region = { .name = "viommu",
					     .kind = VFIO_MEMORY_IOMMU,
					     .last = 1024 * page - 1,
					     .iommu_pgsizes = page };
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, BUG_MIB);
	struct stage_ram *iommu = stage_add(stage, space, &region);

	for (uint64_t i = 0; i < 2; i++) {
		struct vfio_iommu_entry entry = { .iova = (16 + 2 * i) * page,
						  .last = (17 + 2 * i) * page - 1,
						  .target = ram->region.start + i * page,
						  .prot = i ? 1 : 3,
						  .target_memory = stage->memory };

		assert_int_equal(vfio_memory_iommu_update(space, iommu->id, &entry), 0);
	}
	for (unsigned int i = 0; i < 2; i++) {
		stage_attach_to(stage, i, space);
		stage_expect_reach(stage, i, 16 * page, page, ram->host, true);
		stage_expect_fault(stage, i, 17 * page, page);
		stage_expect_reach(stage, i, 18 * page, page, ram->host + page, false);
	}
	stage_detach(stage, 0);
	stage_detach(stage, 1);
	stage_expect_empty(stage);
}

const struct story story_bug_hotplug_onto_existing_giommu_mappings = {
	.name = "bug-hotplug-onto-existing-giommu-mappings",
	.about = "a device that comes late reaches what the guest's IOMMU has mapped before",
	.run = run,
	.needs = NEEDS_MAPS,
};
