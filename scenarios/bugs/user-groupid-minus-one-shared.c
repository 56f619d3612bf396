/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-groupid-minus-one-shared: found by reading the vfio-user container of November 2022.
 *
 * A device behind a server has no IOMMU group, so the patch made one for it with the number -1 and
 * put it on the list of all groups. Two servers are two groups of the same number: who looks one
 * up by number gets the first, whichever device it came for. Nobody saw it; with one server, as in
 * the tests of that time, it does not show.
 *
 * Right is a name that is one group's alone. Here two devices of one kind are attached, each
 * gets its own scratch register written, and what is read back must be its own; detaching one
 * leaves the other. Devices without an IOMMU, whose groups have names of another kind, and servers
 * are where it would show.
 */
#include "bugs.h"

static void scratch(struct stage *stage, unsigned int index, uint64_t value)
{
	struct vfio_error error = { 0 };

	bug_good(vfio_device_write(stage->devices[index], VFAKE_COPY_BAR_REGS, VFAKE_COPY_SCRATCH,
				   &value, sizeof(value), &error),
		 &error);
}

static void expect(struct stage *stage, unsigned int index, uint64_t value)
{
	struct vfio_error error = { 0 };
	uint64_t got = 0;

	bug_good(vfio_device_read(stage->devices[index], VFAKE_COPY_BAR_REGS, VFAKE_COPY_SCRATCH,
				  &got, sizeof(got), &error),
		 &error);
	assert_int_equal(got, value);
}

static void run(struct stage *stage)
{
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		stage_attach(stage, i);
		scratch(stage, i, 100 + i);
	}
	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		expect(stage, i, 100 + i);
	stage_detach(stage, 0);
	for (unsigned int i = 1; i < STAGE_DEVICES; i++)
		expect(stage, i, 100 + i);
	stage_attach(stage, 0);
	scratch(stage, 0, 99);
	for (unsigned int i = 1; i < STAGE_DEVICES; i++)
		expect(stage, i, 100 + i);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		stage_detach(stage, i);
	stage_expect_empty(stage);
}

const struct story story_bug_user_groupid_minus_one_shared = {
	.name = "bug-user-groupid-minus-one-shared",
	.about = "two groups or servers of one kind are not taken for each other",
	.run = run,
};
