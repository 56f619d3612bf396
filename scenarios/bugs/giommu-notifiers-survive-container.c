/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * giommu-notifiers-survive-container: in QEMU, seen when a device was unplugged from behind a
 * vIOMMU.
 *
 * A container behind a guest's IOMMU is told of each map that the guest makes. Emulated devices
 * behind the same vIOMMU keep it alive, so it did not go when the last VFIO device was unplugged,
 * and neither did the notifier: the guest's next map called into the container that had been
 * freed, and mapped guest memory through it. The mend unregisters all notifiers when a container
 * is destroyed.
 *
 * Right is that a container which goes hears of nothing any more. Here the vIOMMU stays, the
 * device goes, the guest maps and unmaps on; then a device comes and reaches what the guest has
 * mapped by then and nothing else.
 */
#include "bugs.h"

static void map(struct stage *stage, struct stage_ram *iommu, struct vfio_memory *space,
		struct stage_ram *ram, uint64_t iova, int prot)
{
	struct vfio_iommu_entry entry = { .iova = iova,
					  .last = iova + stage->backend->page - 1,
					  .target = ram->region.start,
					  .prot = prot,
					  .target_memory = stage->memory };

	assert_int_equal(vfio_memory_iommu_update(space, iommu->id, &entry), 0);
}

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

	stage_attach_to(stage, 0, space);
	map(stage, iommu, space, ram, 16 * page, 3);
	stage_expect_reach(stage, 0, 16 * page, page, ram->host, true);
	stage_detach(stage, 0);
	map(stage, iommu, space, ram, 16 * page, 0);
	map(stage, iommu, space, ram, 18 * page, 3);
	assert_int_equal(vfake_ledger(stage->kernel).pinned_pages, 0);
	stage_attach_to(stage, 1, space);
	stage_expect_fault(stage, 1, 16 * page, page);
	stage_expect_reach(stage, 1, 18 * page, page, ram->host, true);
	stage_detach(stage, 1);
	map(stage, iommu, space, ram, 18 * page, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_giommu_notifiers_survive_container = {
	.name = "bug-giommu-notifiers-survive-container",
	.about = "a container that is gone does not hear of what the guest's IOMMU maps",
	.run = run,
	.needs = NEEDS_MAPS,
};
