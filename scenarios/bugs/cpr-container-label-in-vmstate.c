/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpr-container-label-in-vmstate: said in the message of the patch of January 2025.
 *
 * The patch registers sections of state for a container without any field in them; the fields come
 * in later patches of the series. A QEMU built at this commit writes a stream that names the
 * container and carries nothing, and a later one that reads it takes the container for restored.
 * Who bisects between two versions gets live updates that work and lose everything.
 *
 * Right is that what is registered can be saved, that what is saved says what there is, and that
 * it is refused where something else is there. Here the piece of a container must change with the
 * container's maps, takes itself, and does not take what it was before.
 */
#include "bugs.h"

enum { ROOM = 512 };

static const struct vfio_vmstate *container(const struct stage *stage)
{
	assert_int_equal(bug_states(&stage->ref, "vfio/container/1"), 1);
	for (uint32_t i = 0;; i++) {
		if (!strcmp(stage->ref.states[i]->name, "vfio/container/1"))
			return stage->ref.states[i];
	}
}

static size_t save(const struct vfio_vmstate *state, uint8_t *bytes)
{
	size_t size = state->save(state->opaque, bytes, ROOM);

	assert_true(size > 0 && size <= ROOM);
	assert_int_equal(state->load(state->opaque, state->version, bytes, size), 0);
	return size;
}

static void run(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, BUG_MIB);
	const struct vfio_vmstate *state;
	uint8_t before[ROOM], after[ROOM];
	size_t size;

	stage_attach(stage, 0);
	state = container(stage);
	size = save(state, before);
	stage_ram_out(ram);
	assert_int_equal(save(state, after), size);
	assert_memory_not_equal(before, after, size);
	assert_int_equal(state->load(state->opaque, state->version, before, size), -EINVAL);
	stage_ram_in(ram);
	assert_int_equal(state->load(state->opaque, state->version, before, size), 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_cpr_container_label_in_vmstate = {
	.name = "bug-cpr-container-label-in-vmstate",
	.about = "a container's saved state says what is mapped, and is refused by what is not so",
	.run = run,
	.needs = NEEDS_MAPS,
};
