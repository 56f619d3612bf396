/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-region-query-failure-ignored: found by reading the vfio-user device of November 2022.
 *
 * The patch asks the server for each region of the device, after the device was put on its group's
 * list, and does not look at what came of it: with a server that cannot describe a region the
 * attach succeeds, with a region of size 0 at offset 0, and reads and writes of it go somewhere.
 * Nobody remarked on it.
 *
 * Right is to fail, or not to use what is not known. This stack asks when a region is needed. Here
 * the kernel, or the server, does not describe it: describing, mapping and reading it fail with
 * that errno, leave nothing, and work with the next question.
 */
#include "bugs.h"

/* The next question about a region is not answered, whoever is asked. */
static void hide_region(struct stage *stage)
{
	if (stage->backend->kind == VFIO_BACKEND_USER)
		bug_reply(stage, 0, VFIO_USER_DEVICE_GET_REGION_INFO, 1);
	else
		bug_answer(stage, VFIO_DEVICE_GET_REGION_INFO, 1, -EIO);
}

static void run(struct stage *stage)
{
	struct vfio_device *device = stage_attach(stage, 0);
	struct vfio_error error = { 0 };
	struct vfio_region region;
	uint64_t addr = 0;
	uint8_t byte;

	stage_mark(stage);
	hide_region(stage);
	assert_false(vfio_device_region(device, VFAKE_COPY_BAR_MEMORY, &region, &error));
	assert_int_equal(error.code, -EIO);
	hide_region(stage);
	assert_false(vfio_device_map_area(device, VFAKE_COPY_BAR_MEMORY, 0, &addr, &error));
	hide_region(stage);
	assert_false(vfio_device_read(device, VFAKE_COPY_BAR_MEMORY, 0, &byte, 1, &error));
	bug_over(stage);
	stage_expect_mark(stage);
	assert_true(vfio_device_read(device, VFAKE_COPY_BAR_MEMORY, 0, &byte, 1, &error));
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_user_region_query_failure_ignored = {
	.name = "bug-user-region-query-failure-ignored",
	.about = "a region that the kernel does not describe is neither mapped nor read",
	.run = run,
};
