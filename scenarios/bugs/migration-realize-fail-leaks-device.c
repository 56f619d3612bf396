/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * migration-realize-fail-leaks-device: in QEMU, found by somebody who tried the same command twice.
 *
 * A guest must stay migratable, and a device is added that cannot be migrated. QEMU refuses it, as
 * it should, at the end of the device's way up, but the error path left the device on the list of
 * its group. The user adds it again, perhaps with another option, and is told that it "is already
 * attached", which is true and explains nothing. The mend takes it off where it fails.
 *
 * Right is that a refusal leaves nothing, so that the second one is for the same reason. Here the
 * attach is refused twice and must say the same words twice; then it works once the user does not
 * insist any more.
 */
#include "bugs.h"

/* The second attempt is refused for the same reason as the first. */
static void run(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error errors[2];

	stage_ram(stage, stage->backend->ram, BUG_MIB);
	stage->ref.only_migratable = true;
	stage_mark(stage);
	for (int i = 0; i < 2; i++) {
		assert_false(stage_try_attach(stage, 0, stage->memory, &options, &errors[i]));
		stage_expect_mark(stage);
	}
	assert_int_equal(errors[0].code, -EACCES);
	assert_int_equal(errors[1].code, -EACCES);
	assert_string_equal(errors[0].message, errors[1].message);
	stage->ref.only_migratable = false;
	stage_attach(stage, 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_migration_realize_fail_leaks_device = {
	.name = "bug-migration-realize-fail-leaks-device",
	.about = "what is refused once is refused again, and for the same reason",
	.run = run,
};
