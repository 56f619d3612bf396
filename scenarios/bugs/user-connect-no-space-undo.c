/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-connect-no-space-undo: in the vfio-user container of May 2025, as posted.
 *
 * A container is put on the list of its address space, then its listener is started. When that
 * failed, the error path neither took it off nor cleared the way back; both were left to the
 * finalizing of the object, some time later. Until then, or for ever where finalizing does not do
 * it, the next device of the address space finds a container that is not there.
 *
 * Right is to undo in reverse, here and now. In this story each call of an attach fails once while
 * another container of the same address space stays; after each, a third device looks through the
 * list, and what was freed holds rubbish.
 */
#include "bugs.h"

/* Another kind of backend where there is one, so that its containers are its own. */
static struct vfio_device_options other_options(struct stage *stage, unsigned int index)
{
	struct vfio_device_options options = stage_options(stage, index);

	if (backend_lacks(stage->backend, NEEDS_MIXING))
		return options;
	options.backend = options.backend == VFIO_BACKEND_IOMMUFD ? VFIO_BACKEND_LEGACY
								  : VFIO_BACKEND_IOMMUFD;
	options.type1_v1 = false;
	return options;
}

/* Each call of an attach fails once while another container of the space is there. */
static void run(struct stage *stage)
{
	struct vfio_device_options options[2] = { other_options(stage, 1),
						  other_options(stage, 2) };
	struct vfio_error error;
	bool hit = true;

	stage_ram(stage, stage->backend->ram, BUG_MIB);
	stage_attach(stage, 0);
	stage_mark(stage);
	for (uint64_t nth = 1; hit; nth++) {
		assert_true(nth < 200);
		stage->fail_call = (struct stage_fault){ .at = nth, .code = -ENOMEM };
		if (stage_try_attach(stage, 1, stage->memory, &options[0], &error))
			stage_detach(stage, 1);
		hit = stage->fail_call.hit;
		bug_over(stage);
		stage_expect_mark(stage);
		assert_true(stage_try_attach(stage, 2, stage->memory, &options[1], &error));
		stage_detach(stage, 2);
		stage_expect_mark(stage);
	}
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_user_connect_no_space_undo = {
	.name = "bug-user-connect-no-space-undo",
	.about = "an attach that fails leaves nothing where another container stays",
	.run = run,
};
