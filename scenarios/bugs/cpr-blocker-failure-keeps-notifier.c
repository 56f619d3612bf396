/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpr-blocker-failure-keeps-notifier: found by reading the patch of January 2025.
 *
 * A kernel without IOMMU_IOAS_CHANGE_PROCESS cannot hand memory to another process. QEMU then
 * blocks those live updates, and for a user who insisted on them the blocker is refused. The
 * function that registers the container had put its notifier on the list before it asked for the
 * blocker, and returned failure without taking it off. The caller believed that nothing had been
 * registered and freed the container.
 *
 * Right is all or nothing. Here the VMM's user wants to be able to hand over, the container
 * cannot (by its kind, or because the kernel does not know the call): the attach is refused, with
 * nothing registered, and works once the user does not insist.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	bool old = stage->backend->kind == VFIO_BACKEND_IOMMUFD;

	stage_ram(stage, stage->backend->ram, BUG_MIB);
	for (int mode = VFIO_MODE_CPR_TRANSFER; mode <= VFIO_MODE_CPR_EXEC; mode *= 2) {
		stage->ref.only_modes = (uint32_t)mode;
		if (old)
			bug_answer(stage, IOMMU_IOAS_CHANGE_PROCESS, 1, -ENOTTY);
		bug_refused(stage, 0, -EACCES);
		assert_int_equal(stage->ref.state_count, 0);
		assert_int_equal(stage->ref.blocker_count, 0);
		stage->ref.only_modes = 0;
		if (old)
			bug_answer(stage, IOMMU_IOAS_CHANGE_PROCESS, 1, -ENOTTY);
		stage_attach(stage, 0);
		assert_int_equal(blockers_of(stage, (enum vfio_migration_mode)mode, NULL), 1);
		bug_over(stage);
		stage_detach(stage, 0);
	}
	stage_expect_empty(stage);
}

const struct story story_bug_cpr_blocker_failure_keeps_notifier = {
	.name = "bug-cpr-blocker-failure-keeps-notifier",
	.about = "a container that may not block live update is not registered for it either",
	.run = run,
	.waivers = { { "type1v2", "it can be handed over, by calls that are older than type1v2" },
		     { "type1v1", "likewise" } },
};
