/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommufd-unmap-enoent-ambiguous: found by reading QEMU of November 2025 and Linux 7.2.
 *
 * IOMMU_IOAS_UNMAP has one error, ENOENT, for two things: there is nothing mapped in the range, and
 * the range would cut a map in two. It may even come after some whole maps in the range are gone.
 * QEMU takes it for the first and goes on. In the second case guest memory that was unplugged
 * stays mapped: the device goes on writing to pages which the host has given to somebody else.
 *
 * Right is never to ask for less than was mapped, so that ENOENT is an error like any other.
 * Memory that is plugged in pieces is where it shows: here many are plugged at once and single ones
 * are unplugged, and the device reaches what is left and not one byte more.
 */
#include "bugs.h"

enum { PIECES = 8 };

static void run(struct stage *stage)
{
	uint64_t piece = 2 * stage->backend->page;
	struct vfio_memory_region region = { .name = "virtio-mem",
					     .kind = VFIO_MEMORY_DISCARDABLE,
					     .start = stage->backend->ram,
					     .last = stage->backend->ram + PIECES * piece - 1,
					     .granularity = piece,
					     .fd = -1 };
	struct stage_ram *ram = stage_add(stage, stage->memory, &region);
	struct vfio_error error = { 0 };

	stage_attach(stage, 0);
	bug_good(vfio_memory_populate(stage->memory, ram->id, region.start, region.last, &error),
		 &error);
	for (uint64_t i = 1; i < PIECES; i += 2)
		vfio_memory_discard(stage->memory, ram->id, region.start + i * piece,
				    region.start + (i + 1) * piece - 1);
	for (uint64_t i = 0; i < PIECES; i++) {
		if (i & 1)
			stage_expect_fault(stage, 0, region.start + i * piece, piece);
		else
			stage_expect_reach(stage, 0, region.start + i * piece, piece,
					   ram->host + i * piece, true);
	}
	assert_int_equal(stage->ref.broken_seen, 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_iommufd_unmap_enoent_ambiguous = {
	.name = "bug-iommufd-unmap-enoent-ambiguous",
	.about = "of memory that was plugged at once any piece can be unplugged",
	.run = run,
	.needs = NEEDS_MAPS,
};
