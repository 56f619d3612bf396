/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a stage as numbers: counts where a difference of counts says something, hashes where
 * it would not.
 */
#include <inttypes.h>
#include <string.h>

#include <vfake/socket.h>

#include "stage_internal.h"
#include "sweep_state.h"

/* ---- what is there ---- */

static void replace(void **list, size_t count, void *old, void *now)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == old) {
			list[i] = now;
			return;
		}
	}
}

static void replace_device(struct sweep_live *live, struct vfio_device *old, struct vfio *stack,
			   struct vfio_device *now)
{
	for (size_t i = 0; i < SWEEP_DEVICES; i++) {
		if (live->devices[i].device == old) {
			live->devices[i].stack = stack;
			live->devices[i].device = now;
			return;
		}
	}
}

static void end_stack(struct sweep_live *live, struct vfio *stack)
{
	replace((void **)live->stacks, SWEEP_STACKS, stack, NULL);
	for (size_t i = 0; i < SWEEP_DEVICES; i++) {
		if (live->devices[i].stack == stack)
			replace_device(live, live->devices[i].device, NULL, NULL);
	}
}

void sweep_live_step(struct sweep_live *live, const struct step *step)
{
	if (step_failed(step))
		return;
	if (!strcmp(step->name, "vfio_new"))
		replace((void **)live->stacks, SWEEP_STACKS, NULL, step_product(step));
	else if (!strcmp(step->name, "vfio_memory_new"))
		replace((void **)live->spaces, SWEEP_SPACES, NULL, step_product(step));
	else if (!strcmp(step->name, "vfio_device_attach"))
		replace_device(live, NULL, step_subject(step), step_product(step));
	else if (!strcmp(step->name, "vfio_device_detach"))
		replace_device(live, step_subject(step), NULL, NULL);
	else if (!strcmp(step->name, "vfio_memory_free"))
		replace((void **)live->spaces, SWEEP_SPACES, step_subject(step), NULL);
	else if (!strcmp(step->name, "vfio_free") && step_subject(step))
		end_stack(live, step_subject(step));
}

/* ---- numbers ---- */

static const char *const names[STATE_FIELDS] = {
	[STATE_OPEN_FILES] = "open files",
	[STATE_DESCRIPTORS] = "descriptors",
	[STATE_ALLOCATIONS] = "blocks of kernel memory",
	[STATE_PINNED] = "pinned pages",
	[STATE_LOCKED] = "locked pages",
	[STATE_WARNINGS] = "warnings of the kernel",
	[STATE_FORBIDDEN] = "discards forbidden",
	[STATE_BLOCKERS] = "migration blockers",
	[STATE_REGISTERED] = "registered state",
	[STATE_BLOCKS] = "blocks of the stack's memory",
	[STATE_MEMORY_BLOCKS] = "blocks of the guest memory's description",
	[STATE_FILES] = "what the descriptors are",
	[STATE_CONTAINERS] = "what the containers say of themselves",
	[STATE_GUEST] = "the regions of guest memory",
	[STATE_DIRTY] = "dirty pages",
	[STATE_DEVICE] = "how d0 is open",
	[STATE_DEVICE + 1] = "how d1 is open",
	[STATE_DEVICE + 2] = "how d2 is open",
	[STATE_MAPPINGS] = "mappings of d0",
	[STATE_MAPPINGS + 1] = "mappings of d1",
	[STATE_MAPPINGS + 2] = "mappings of d2",
	[STATE_REACH] = "what d0 reaches",
	[STATE_REACH + 1] = "what d1 reaches",
	[STATE_REACH + 2] = "what d2 reaches",
};

/* Of hashes only that they differ is said. */
static bool is_count(unsigned int field)
{
	return field < STATE_FILES || field == STATE_DIRTY ||
	       (field >= STATE_MAPPINGS && field < STATE_REACH);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
	while (*text)
		hash = mix(hash, (unsigned char)*text++);
	return hash;
}

static void add_ledger(struct sweep_state *state, const struct stage *stage)
{
	struct vfake_ledger ledger = vfake_ledger(stage->kernel);

	state->field[STATE_OPEN_FILES] = ledger.open_files;
	state->field[STATE_DESCRIPTORS] = ledger.descriptors;
	/* What one end left for the other is no longer the one's. */
	state->field[STATE_ALLOCATIONS] = ledger.allocations - vfake_socket_blocks(stage->kernel);
	state->field[STATE_PINNED] = ledger.pinned_pages;
	state->field[STATE_LOCKED] = ledger.locked_pages;
	state->field[STATE_WARNINGS] = ledger.warnings;
	state->field[STATE_FORBIDDEN] = stage->ref.discard_forbidden;
	state->field[STATE_BLOCKERS] = stage->ref.blocker_count;
	state->field[STATE_REGISTERED] = stage->ref.state_count;
	state->field[STATE_BLOCKS] = stage->ref.blocks;
	state->field[STATE_MEMORY_BLOCKS] = stage->own_memory_ref.blocks;
	state->reports = (uint64_t)stage->ref.broken_seen + stage->ref.warnings_seen +
			 stage->ref.next_blocker;
	state->report_code = stage->ref.broken_code;
}

static void add_files(struct sweep_state *state, const struct stage *stage)
{
	uint64_t left = state->field[STATE_DESCRIPTORS];
	uint64_t hash = 1;

	for (int fd = 0; fd < SWEEP_FILES && left; fd++) {
		struct vfake_file_view view;

		if (vfake_view_file(stage->task, fd, &view))
			continue;
		left--;
		hash = mix(hash, (uint64_t)fd);
		hash = mix_text(hash, view.kind);
		hash = mix(hash, view.references);
		hash = mix(hash, (uint64_t)view.devices * 2 + view.in_container);
	}
	state->field[STATE_FILES] = hash;
}

static void add_containers(struct sweep_state *state, const struct sweep_live *live)
{
	uint64_t hash = 1;

	for (size_t i = 0; i < SWEEP_DEVICES; i++) {
		const struct vfio_container *container;
		struct vfio_container_info info;

		if (!live->devices[i].device)
			continue;
		container = vfio_device_container(live->devices[i].device);
		vfio_container_info(container, &info);
		hash = mix(hash, (uint64_t)vfio_container_error(container));
		hash = mix(hash, info.devices);
		hash = mix(hash, info.pgsizes);
		hash = mix(hash, info.max_mappings);
		hash = mix(hash, info.mappings);
		hash = mix(hash, info.dirty_tracking);
		for (uint32_t j = 0; j < info.range_count; j++)
			hash = mix(mix(hash, info.ranges[j].start), info.ranges[j].last);
	}
	state->field[STATE_CONTAINERS] = hash;
}

/* What a device reaches of a piece of guest memory; of what is in many pieces, the first ones. */
static uint64_t reach_of(const struct stage *stage, unsigned int device,
			 const struct stage_ram *ram, uint64_t hash)
{
	enum { PIECES = 8 };
	uint64_t at = ram->region.start;

	for (unsigned int i = 0; i < PIECES; i++) {
		struct vfake_target_view target;

		if (vfake_view_translate(stage->kernel, stage_name(device), stage->task, at,
					 &target)) {
			hash = mix(hash, at);
			target.len = stage->backend->page;
		} else {
			hash = mix(hash, target.vaddr);
			hash = mix(hash, target.len);
			hash = mix(hash, (uint64_t)target.readable * 2 + target.writable);
		}
		if (target.len > ram->region.last - at)
			break;
		at += target.len;
	}
	return hash;
}

static void add_devices(struct sweep_state *state, const struct stage *stage)
{
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		struct vfake_device_view view;
		uint64_t hash = 1;

		if (vfake_view_device(stage->kernel, stage_name(i), &view))
			continue;
		hash = mix(hash, view.open_count);
		hash = mix(hash, (uint64_t)view.cdev_opened * 2 + view.group_opened);
		hash = mix(hash, (uint64_t)view.in_container * 2 + view.translated);
		hash = mix(hash, (uint64_t)view.manager * 2 + view.dirty_tracking);
		state->field[STATE_DEVICE + i] = hash;
		state->field[STATE_MAPPINGS + i] = view.mappings;
		hash = 1;
		for (size_t j = 0; view.mappings && j < STAGE_RAMS; j++) {
			if (stage->own_rams[j].memory)
				hash = reach_of(stage, i, &stage->own_rams[j], hash);
		}
		state->field[STATE_REACH + i] = hash;
	}
}

static void add_memory(struct sweep_state *state, const struct stage *stage,
		       const struct sweep_live *live)
{
	uint64_t hash = 1;

	for (size_t i = 0; i < SWEEP_SPACES; i++) {
		if (!live->spaces[i])
			continue;
		state->field[STATE_DIRTY] += vfio_memory_dirty_pages(live->spaces[i]);
		for (size_t j = 0; j < STAGE_RAMS; j++) {
			struct vfio_memory_section section;

			if (stage->own_rams[j].memory != live->spaces[i])
				continue;
			if (!vfio_memory_find(live->spaces[i], stage->own_rams[j].region.start,
					      &section))
				continue;
			hash = mix(hash, section.start);
			hash = mix(hash, section.last);
		}
	}
	state->field[STATE_GUEST] = hash;
}

struct sweep_state sweep_state(const struct stage *stage, const struct sweep_live *live)
{
	struct sweep_state state = { .reports = 0 };

	stage_user_settle(stage);
	add_ledger(&state, stage);
	add_files(&state, stage);
	add_containers(&state, live);
	add_devices(&state, stage);
	add_memory(&state, stage, live);
	return state;
}

uint64_t sweep_state_hash(const struct sweep_state *state)
{
	uint64_t hash = 1;

	for (unsigned int i = 0; i < STATE_FIELDS; i++)
		hash = mix(hash, state->field[i]);
	return hash;
}

/* ---- comparing ---- */

const uint64_t sweep_more_after_failure =
	SWEEP_FIELD(STATE_ALLOCATIONS) | SWEEP_FIELD(STATE_BLOCKS) |
	SWEEP_FIELD(STATE_MEMORY_BLOCKS) | SWEEP_FIELD(STATE_DIRTY);
const uint64_t sweep_more_after_success = SWEEP_FIELD(STATE_DIRTY);

static void tell_field(unsigned int field, int64_t more, char *text, size_t size)
{
	size_t used = strlen(text);
	const char *comma = used ? ", " : "";

	if (is_count(field))
		snprintf(text + used, size - used, "%s%s %+" PRId64, comma, names[field], more);
	else
		snprintf(text + used, size - used, "%s%s", comma, names[field]);
}

bool sweep_state_holds(const struct sweep_state *now, const struct sweep_state *want, uint64_t more,
		       uint64_t any, char *text, size_t size)
{
	bool holds = true;

	text[0] = 0;
	for (unsigned int i = 0; i < STATE_FIELDS; i++) {
		int64_t difference = (int64_t)(now->field[i] - want->field[i]);

		if (!difference || (any & SWEEP_FIELD(i)))
			continue;
		if (difference > 0 && (more & SWEEP_FIELD(i)))
			continue;
		tell_field(i, difference, text, size);
		holds = false;
	}
	return holds;
}
