/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-registers-cpr-it-cannot-do: in the vfio-user container of May 2025, reverted after the
 * merge.
 *
 * The new container registered for live update because its siblings do. There was nothing that it
 * could have carried: a server knows one client, and nobody tells it of a successor. A live update
 * of a QEMU with such a device went through and the device was dead in the new process. The
 * registration was taken out again later.
 *
 * Right is a blocker against the modes that cannot work, or a refusal for who insists on them, and
 * none against those that can. Here each backend that cannot hand devices over is attached: both
 * ways of handing over are blocked and refused in words, a reboot of the host is not.
 */
#include "bugs.h"

/* Nothing is to be handed over. */
static int keep(void *ctx, const char *name, uint32_t id, int fd)
{
	uint32_t *kept = ctx;

	(void)name, (void)id, (void)fd;
	++*kept;
	return -EPIPE;
}

static void expect_refused(struct stage *stage, enum vfio_migration_mode mode)
{
	uint32_t kept = 0;
	const struct vfio_cpr_fds fds = { .ctx = &kept, .keep = keep };
	struct vfio_error error = { 0 };
	const void *state;
	size_t size;

	assert_int_equal(blockers_of(stage, mode, NULL), 1);
	assert_false(vfio_cpr_save(stage->vfio, mode, true, &fds, &state, &size, &error));
	assert_int_equal(error.code, -ENOTSUP);
	assert_string_not_equal(error.hint, "");
	assert_int_equal(kept, 0);
}

static void run(struct stage *stage)
{
	struct vfio_error error = { 0 };
	const void *state;
	size_t size;

	stage_ram(stage, stage->backend->ram, BUG_MIB);
	stage_attach(stage, 0);
	expect_refused(stage, VFIO_MODE_CPR_TRANSFER);
	expect_refused(stage, VFIO_MODE_CPR_EXEC);
	assert_int_equal(blockers_of(stage, VFIO_MODE_CPR_REBOOT, NULL), 0);
	bug_good(
		vfio_cpr_save(stage->vfio, VFIO_MODE_CPR_REBOOT, true, NULL, &state, &size, &error),
		&error);
	bug_good(vfio_cpr_abort(stage->vfio, &error), &error);
	stage_detach(stage, 0);
	stage->ref.only_modes = VFIO_MODE_CPR_TRANSFER;
	bug_refused(stage, 0, -EACCES);
	stage->ref.only_modes = 0;
	stage_expect_empty(stage);
}

const struct story story_bug_user_registers_cpr_it_cannot_do = {
	.name = "bug-user-registers-cpr-it-cannot-do",
	.about = "what cannot be handed over blocks that, and that only",
	.run = run,
	.waivers = { { "type1v2", "it can be handed over" },
		     { "type1v1", "it can be handed over" },
		     { "iommufd", "it can be handed over" },
		     { "iommufd-dirty", "it can be handed over" } },
};
