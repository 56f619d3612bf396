/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a stage as numbers: counts where a difference of counts says something, hashes where
 * it would not.
 */
#include <inttypes.h>
#include <string.h>

#include <uapi/table.h>
#include <vfake/socket.h>

#include "stage_internal.h"
#include "sweep_state.h"

enum { MAPPINGS_MAX = 4096 }; /* of an address space that are looked at */

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
	[STATE_CHARGED] = "which process pays for memory",
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

/* What the VMM of a process has been told. */
static void add_ref(struct sweep_state *state, const struct vfio_vmm_ref *ref)
{
	state->field[STATE_FORBIDDEN] += ref->discard_forbidden;
	state->field[STATE_BLOCKERS] += ref->blocker_count;
	state->field[STATE_REGISTERED] += ref->state_count;
	state->field[STATE_BLOCKS] += ref->blocks;
	state->reports += (uint64_t)ref->broken_seen + ref->warnings_seen + ref->next_blocker;
	state->report_code += ref->broken_code;
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
	state->field[STATE_MEMORY_BLOCKS] = stage->own_memory_ref.blocks;
	add_ref(state, &stage->ref);
	for (const struct stage_process *p = stage->own_processes; p; p = p->own_next) {
		state->taken += p->taken;
		if (p->ref)
			add_ref(state, p->ref);
	}
}

static uint64_t files_of(const struct vfake_task *task, uint64_t hash)
{
	for (int fd = vfake_view_next_fd(task, 0); fd >= 0 && fd < SWEEP_FILES;
	     fd = vfake_view_next_fd(task, fd + 1)) {
		struct vfake_file_view view;

		if (vfake_view_file(task, fd, &view))
			continue;
		hash = mix(hash, (uint64_t)fd);
		hash = mix_text(hash, view.kind);
		hash = mix(hash, view.references);
		hash = mix(hash, (uint64_t)view.devices * 2 + view.in_container);
	}
	return hash;
}

static uint64_t charge_of(const struct vfake_task *task, uint64_t hash)
{
	struct vfake_task_view view;

	vfake_view_task(task, &view);
	hash = mix(hash, view.locked_pages);
	hash = mix(hash, view.pinned_pages);
	return mix(hash, view.user_locked_pages);
}

static void add_tasks(struct sweep_state *state, const struct stage *stage)
{
	uint64_t files = files_of(stage->task, 1), charged = 1, number = 0;

	if (stage->own_processes)
		charged = charge_of(stage->task, charged);
	for (const struct stage_process *p = stage->own_processes; p; p = p->own_next) {
		number++;
		if (!p->task)
			continue;
		files = files_of(p->task, mix(files, number));
		charged = charge_of(p->task, mix(charged, number));
	}
	state->field[STATE_FILES] = files;
	state->field[STATE_CHARGED] = charged;
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

/* Who has a mapping: the number of a process, or 0. */
static uint64_t number_of(const struct stage *stage, const void *task)
{
	uint64_t number = 0;

	for (const struct stage_process *p = stage->own_processes; p; p = p->own_next) {
		number++;
		if (task && p->task == task)
			return number;
	}
	return 0;
}

/* Two hashes: with addresses of processes, and with what lies between them only. */
struct mapped {
	uint64_t exact, alike;
};

static void add_mappings(struct mapped *mapped, const struct stage *stage,
			 const struct vfake_space_at *at)
{
	struct vfake_mapping_view view = { .last = UINT64_MAX };
	uint64_t from = 0, first = 0;

	for (unsigned int i = 0; i < MAPPINGS_MAX; i++) {
		uint64_t what;

		if (vfake_view_mapping(at, from, UINT64_MAX, &view))
			break;
		if (!i)
			first = view.vaddr;
		what = mix(mix(view.iova, view.last), number_of(stage, view.owner));
		what = mix(what, (uint64_t)view.suspended * 8 + (uint64_t)view.pinned * 4 +
					 (uint64_t)view.readable * 2 + view.writable);
		mapped->exact = mix(mix(mapped->exact, what), view.vaddr);
		mapped->alike = mix(mix(mapped->alike, what), view.vaddr - first);
		from = view.last + 1;
		if (!from)
			break;
	}
}

/* What all of a device's address spaces have, where several processes can have a part in them. */
static struct mapped spaces_of(const struct stage *stage, unsigned int device, uint64_t hash)
{
	struct vfake_space_at at = { .kernel = stage->kernel, .device = stage_name(device) };
	struct mapped mapped = { hash, hash };
	struct vfake_object_view object;

	if (stage->backend->manager != VFAKE_MANAGER_IOMMUFD) {
		add_mappings(&mapped, stage, &at);
		return mapped;
	}
	for (uint32_t id = 1; !vfake_view_object(&at, id, &object); id = object.id + 1) {
		mapped.exact = mix(mapped.exact, object.id);
		if (object.kind != UAPI_OBJ_IOAS)
			continue;
		at.ioas = object.id;
		add_mappings(&mapped, stage, &at);
	}
	return mapped;
}

/* What a device's driver holds for who has it open. */
static uint64_t mix_driver(uint64_t hash, const struct stage *stage, unsigned int device)
{
	struct vfake_pci_view view;

	if (vfake_view_pci(stage->kernel, stage_name(device), &view))
		return hash;
	hash = mix(hash, (uint64_t)view.irq_index << 32 | view.vectors);
	hash = mix(hash, (uint64_t)view.err_irq * 2 + view.req_irq);
	return mix(hash, (uint64_t)view.migration * 2 + view.dma_logging);
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
		state->field[STATE_DEVICE + i] = mix_driver(hash, stage, i);
		state->field[STATE_MAPPINGS + i] = view.mappings;
		hash = 1;
		for (size_t j = 0; view.mappings && j < STAGE_RAMS; j++) {
			if (stage->own_rams[j].memory)
				hash = reach_of(stage, i, &stage->own_rams[j], hash);
		}
		state->field[STATE_REACH + i] = hash;
		state->alike[i] = hash;
		if (stage->own_processes && view.mappings) {
			struct mapped mapped = spaces_of(stage, i, hash);

			state->field[STATE_REACH + i] = mapped.exact;
			state->alike[i] = mapped.alike;
		}
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
	add_tasks(&state, stage);
	add_containers(&state, live);
	add_devices(&state, stage);
	add_memory(&state, stage, live);
	return state;
}

uint64_t sweep_state_hash(const struct sweep_state *state)
{
	uint64_t hash = 1;

	for (unsigned int i = 0; i < STATE_REACH; i++)
		hash = mix(hash, state->field[i]);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		hash = mix(hash, state->alike[i]);
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
