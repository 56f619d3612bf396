/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-empty-io-ops: in the vfio-user container of November 2022, as posted.
 *
 * The patch registers the memory listener of its container, and gives the container a table of
 * operations in which nothing is: map and unmap come some patches later. At this commit the first
 * piece of guest memory that the listener is told of calls through a NULL pointer. A series that
 * works at its end is wrong where anybody stops in the middle, as who bisects does.
 *
 * Right is that each commit works, or that an operation which may be missing is asked for. Here
 * memory of each kind is there when a device comes, and comes and goes while it is there: every
 * operation of every backend is called once and is there or is not needed.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, BUG_MIB);
	struct vfio_memory_region rom = {
		.name = "rom",
		.kind = VFIO_MEMORY_ROM,
		.start = stage->backend->ram + 4 * BUG_MIB,
		.last = stage->backend->ram + 4 * BUG_MIB + stage->backend->page - 1,
		.fd = -1,
	};
	struct stage_ram *more;

	stage_attach(stage, 0);
	stage_expect_reach(stage, 0, ram->region.start, BUG_MIB, ram->host, true);
	more = stage_add(stage, stage->memory, &rom);
	stage_expect_reach(stage, 0, rom.start, stage->backend->page, more->host, false);
	stage_ram_out(more);
	stage_expect_fault(stage, 0, rom.start, stage->backend->page);
	stage_ram_out(ram);
	stage_expect_fault(stage, 0, ram->region.start, BUG_MIB);
	stage_ram_in(ram);
	stage_expect_reach(stage, 0, ram->region.start, BUG_MIB, ram->host, true);
	assert_int_equal(stage->ref.broken_seen, 0);
	stage_detach(stage, 0);
	stage_ram_free(stage, more);
	stage_expect_empty(stage);
}

const struct story story_bug_user_empty_io_ops = {
	.name = "bug-user-empty-io-ops",
	.about = "memory comes and goes, and whatever the backend needs for it is there",
	.run = run,
	.needs = NEEDS_MAPS,
};
