/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-hostwin-full-64bit: in the vfio-user container of November 2022, waiting for a reader.
 *
 * The patch gives its container one host window from 0 to all ones. The code around host windows
 * computed sizes as last - first + 1, which is 0 for that window: a test for "does it fit" then
 * says no to everything, and a test for "do they overlap" says no to what overlaps. It did no harm
 * as long as nobody asked for the size of this one window.
 *
 * Right is to compare first and last addresses and never to make a size of a whole space. Here the
 * IOMMU reaches all 64 bits: RAM in the last page, in the first page and in the middle is mapped,
 * goes and comes again, and nothing is reported as broken. The container that iommufd emulates has
 * just that one range.
 */
#include "bugs.h"

static void no_end(struct vfake_world *world)
{
	world->aperture.last = UINT64_MAX;
}

static void run(struct stage *stage)
{
	uint64_t page = stage->backend->page;
	const uint64_t at[] = { 0, stage->backend->ram, -page };
	struct stage_ram *rams[3];

	for (int i = 0; i < 3; i++)
		rams[i] = stage_ram(stage, at[i], page);
	stage_attach(stage, 0);
	for (int i = 0; i < 3; i++) {
		stage_expect_reach(stage, 0, at[i], page, rams[i]->host, true);
		stage_ram_out(rams[i]);
		stage_expect_fault(stage, 0, at[i], page);
		stage_ram_in(rams[i]);
		stage_expect_reach(stage, 0, at[i], page, rams[i]->host, true);
	}
	assert_int_equal(stage->ref.broken_seen, 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_user_hostwin_full_64bit = {
	.name = "bug-user-hostwin-full-64bit",
	.about = "a range of all 2^64 addresses has no size and takes the last page and the first",
	.run = run,
	.needs = NEEDS_MAPS | NEEDS_ANY_IOVA,
	.prepare = no_end,
};
