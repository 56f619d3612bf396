/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * container-error-int-loses-message: in QEMU's listener, mended by keeping the error object.
 *
 * While a container is attached, its listener maps all of guest memory from a callback that cannot
 * fail. What went wrong was kept as an errno, and the attach then said "memory listener
 * initialization failed" and a number: which piece of memory it was, and that it was the first of
 * several, nobody could tell. The mend keeps the first error object, and frees later ones.
 *
 * Right is the first reason, in words. Here two pieces of memory cannot be mapped, and the message
 * must name the first; the last one, or none, fails the story, and so does a message that is lost
 * between the callback and the attach.
 */
#include "bugs.h"

/* Two pieces of memory cannot be mapped: the reason is that of the first. */
static void run(struct stage *stage)
{
	uint64_t size = 4 * stage->backend->page;
	struct stage_ram *pool = stage_ram(stage, stage->backend->ram, BUG_MIB);
	struct vfio_memory_region region = { .name = "the first one",
					     .kind = VFIO_MEMORY_RAM,
					     .start = stage->backend->ram,
					     .last = stage->backend->ram + size - 1,
					     .vaddr = pool->region.vaddr + 512,
					     .fd = -1 };
	struct vfio_device_options options = stage_options(stage, 0);
	struct stage_ram *rams[2];
	struct vfio_error error;

	stage_ram_out(pool);
	rams[0] = stage_add(stage, stage->memory, &region);
	region.name = "the second one";
	region.start += 2 * size;
	region.last += 2 * size;
	rams[1] = stage_add(stage, stage->memory, &region);
	stage_mark(stage);
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_non_null(strstr(error.message, "the first one"));
	stage_expect_mark(stage);
	for (int i = 0; i < 2; i++)
		stage_ram_free(stage, rams[i]);
	stage_attach(stage, 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_container_error_int_loses_message = {
	.name = "bug-container-error-int-loses-message",
	.about = "of several reasons against an attach the first is told, in words",
	.run = run,
	.needs = NEEDS_MAPS,
};
