/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-dirty-advertised-unsupported: in the vfio-user container of November 2022, as posted.
 *
 * The container said that it tracks dirty pages. Its author wrote beside it that migration was not
 * ready before the second version. Who believes the flag starts a migration, asks which pages the
 * server wrote, is told "none", and the guest arrives with old memory. The later series does not
 * claim it.
 *
 * Right is a flag that follows what can be done. Here each backend is asked, and the answer is held
 * against what it is known to have (the needs of the table of backends): where it says yes,
 * tracking can be started, and where it says no, all of guest memory counts as written.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, BUG_MIB);
	struct vfio_container_info info;
	struct vfio_error error = { 0 };
	bool tracks = !backend_lacks(stage->backend, NEEDS_TRACKING);

	stage_attach(stage, 0);
	vfio_container_info(vfio_device_container(stage->devices[0]), &info);
	assert_int_equal(info.dirty_tracking, tracks);
	/* The copy engine logs nothing by itself: where the container does not either, all is
	 * dirty. */
	bug_good(vfio_memory_log_start(stage->memory, &error), &error);
	if (!backend_lacks(stage->backend, NEEDS_MAPS)) {
		bug_good(vfio_memory_log_sync(stage->memory, &error), &error);
		assert_int_equal(vfio_memory_test_dirty(stage->memory, ram->region.start, true),
				 !tracks || backend_lacks(stage->backend, NEEDS_EXACT_TRACKING));
	}
	vfio_memory_log_stop(stage->memory);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_user_dirty_advertised_unsupported = {
	.name = "bug-user-dirty-advertised-unsupported",
	.about = "a container says that it tracks dirty pages where it does, and nowhere else",
	.run = run,
};
