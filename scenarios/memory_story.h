/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A flat model of guest memory: an address space of 64 slots, in which every set of addresses is a
 * word. With it, two listeners that check the rules of events, and the question whether the model,
 * the memory and what the listeners made of the events are one.
 */
#ifndef SCENARIOS_MEMORY_STORY_H
#define SCENARIOS_MEMORY_STORY_H

#include <errno.h>
#include <stdio.h>

#include "memory_rig.h"

enum { SLOTS = 64, REGIONS = 512 };

typedef uint64_t slot_set;

static inline slot_set slots_of(unsigned int first, unsigned int last)
{
	return UINT64_MAX << first & UINT64_MAX >> (SLOTS - 1 - last);
}

/* What is mapped by a vIOMMU: of each slot, the mapping that has it. */
struct mapped {
	bool is;
	unsigned int first;
	unsigned int last;
	uint64_t target;
};

/* ---- the model ---- */

struct flat_region {
	bool alive;
	bool visible;
	bool deleted;
	uint32_t id;
	enum vfio_memory_kind kind;
	unsigned int first;
	unsigned int last;
	unsigned int variant; /* of the fields that are no address */
	slot_set plugged;
	slot_set dirty;
	bool has_dirty;
	struct mapped map[SLOTS];
};

struct watcher {
	struct vfio_memory_listener base;
	struct story *story;
	bool listening;
	bool inside; /* between begin and commit */
	bool adding;
	unsigned int border; /* of the last event's slot */
	bool logging;
	uint32_t at[SLOTS]; /* id of the region */
	slot_set plugged;
	struct mapped map[SLOTS];
	unsigned int gone_count; /* in this transaction */
	struct flat_region gone[SLOTS];
};

struct story {
	struct heap heap;
	struct vfio_memory *memory;
	uint64_t seed;
	uint64_t base; /* address of slot 0 */
	uint64_t unit; /* bytes of a slot */
	bool can_log;  /* slots are pages */
	unsigned int depth;
	bool logging;
	bool replaying;
	unsigned int refuse_in; /* questions until one is refused; 0: never */
	unsigned int count;
	struct flat_region region[REGIONS];
	struct watcher watcher[2];
};

static inline uint64_t start_of(const struct story *story, unsigned int slot)
{
	return story->base + slot * story->unit;
}

static inline uint64_t last_of(const struct story *story, unsigned int slot)
{
	return start_of(story, slot) + (story->unit - 1);
}

static inline unsigned int slot_of(const struct story *story, uint64_t addr)
{
	return (unsigned int)((addr - story->base) / story->unit);
}

/* The region that stays, or that is visible, at a slot. */
static inline struct flat_region *flat_at(struct story *story, unsigned int slot, bool visible)
{
	for (unsigned int i = 0; i < story->count; i++) {
		struct flat_region *region = &story->region[i];

		if (region->alive && slot >= region->first && slot <= region->last &&
		    (visible ? region->visible : !region->deleted))
			return region;
	}
	return NULL;
}

static inline bool keeps_dirty(const struct flat_region *region)
{
	return region->kind == VFIO_MEMORY_RAM || region->kind == VFIO_MEMORY_DISCARDABLE;
}

static inline void flat_commit(struct story *story)
{
	for (unsigned int i = 0; i < story->count; i++) {
		struct flat_region *region = &story->region[i];

		region->visible = region->alive && !region->deleted;
		region->alive = region->visible;
	}
}

/* ---- the listeners ---- */

static inline struct watcher *watcher_of(struct vfio_memory_listener *listener)
{
	return listener->ctx;
}

static inline void on_begin(struct vfio_memory_listener *listener)
{
	struct watcher *watcher = watcher_of(listener);

	assert_false(watcher->inside);
	watcher->inside = true;
	watcher->adding = false;
	watcher->border = SLOTS;
	watcher->gone_count = 0;
}

static inline void on_commit(struct vfio_memory_listener *listener)
{
	struct watcher *watcher = watcher_of(listener);

	assert_true(watcher->inside);
	watcher->inside = false;
}

static inline struct flat_region seen(const struct watcher *watcher,
				      const struct vfio_memory_section *section)
{
	const struct story *story = watcher->story;

	assert_int_equal(section->start, section->region->start);
	assert_int_equal(section->last, section->region->last);
	return (struct flat_region){
		.id = section->id,
		.kind = section->region->kind,
		.first = slot_of(story, section->start),
		.last = slot_of(story, section->last),
		.variant = (unsigned int)atoi(section->region->name),
	};
}

/* No region goes and comes in one transaction, and ids are never used again. */
static inline void assert_not_gone(const struct watcher *watcher, const struct flat_region *came)
{
	for (unsigned int i = 0; i < watcher->gone_count; i++) {
		const struct flat_region *gone = &watcher->gone[i];

		assert_int_not_equal(gone->id, came->id);
		assert_false(gone->kind == came->kind && gone->first == came->first &&
			     gone->last == came->last && gone->variant == came->variant);
	}
}

static inline void on_add(struct vfio_memory_listener *listener,
			  const struct vfio_memory_section *section)
{
	struct watcher *watcher = watcher_of(listener);
	struct flat_region came = seen(watcher, section);
	struct vfio_memory_section found;

	assert_true(watcher->inside);
	assert_true(!watcher->adding || came.first > watcher->border);
	watcher->adding = true;
	watcher->border = came.last;
	assert_not_gone(watcher, &came);
	for (unsigned int slot = came.first; slot <= came.last; slot++) {
		assert_int_equal(watcher->at[slot], 0);
		watcher->at[slot] = came.id;
	}
	if (came.kind == VFIO_MEMORY_RAM)
		assert_true(vfio_memory_find(watcher->story->memory, section->start, &found));
	watcher->story->replaying = true;
	vfio_memory_iommu_replay(watcher->story->memory, section, listener);
	assert_true(vfio_memory_populate_replay(watcher->story->memory, section, listener, NULL));
	watcher->story->replaying = false;
}

static inline void on_del(struct vfio_memory_listener *listener,
			  const struct vfio_memory_section *section)
{
	struct watcher *watcher = watcher_of(listener);
	struct flat_region went = seen(watcher, section);
	struct vfio_memory_section found;

	assert_true(watcher->inside && !watcher->adding);
	assert_true(went.last < watcher->border);
	watcher->border = went.first;
	watcher->gone[watcher->gone_count++] = went;
	if (went.kind == VFIO_MEMORY_RAM)
		assert_true(vfio_memory_find(watcher->story->memory, section->start, &found));
	for (unsigned int slot = went.first; slot <= went.last; slot++) {
		assert_int_equal(watcher->at[slot], went.id);
		watcher->at[slot] = 0;
		watcher->map[slot].is = false;
	}
	watcher->plugged &= ~slots_of(went.first, went.last);
}

static inline void on_notify(struct vfio_memory_listener *listener,
			     const struct vfio_memory_section *section,
			     const struct vfio_iommu_entry *entry)
{
	struct watcher *watcher = watcher_of(listener);
	struct mapped map = { entry->prot != 0, slot_of(watcher->story, entry->iova),
			      slot_of(watcher->story, entry->last), entry->target };

	for (unsigned int slot = map.first; slot <= map.last; slot++) {
		struct mapped *here = &watcher->map[slot];

		assert_int_equal(watcher->at[slot], section->id);
		assert_int_not_equal(here->is, map.is);
		if (here->is) {
			assert_int_equal(here->first, map.first);
			assert_int_equal(here->last, map.last);
			assert_int_equal(here->target, map.target);
		}
		*here = map;
	}
}

static inline bool on_populate(struct vfio_memory_listener *listener,
			       const struct vfio_memory_section *piece, struct vfio_error *error)
{
	struct watcher *watcher = watcher_of(listener);
	struct story *story = watcher->story;
	slot_set slots = slots_of(slot_of(story, piece->start), slot_of(story, piece->last));

	assert_int_equal(piece->vaddr - piece->start, piece->region->vaddr - piece->region->start);
	assert_int_equal(watcher->plugged & slots, 0);
	if (!story->replaying && story->refuse_in && !--story->refuse_in) {
		error->code = -ENOSPC;
		return false;
	}
	watcher->plugged |= slots;
	return true;
}

static inline void on_discard(struct vfio_memory_listener *listener,
			      const struct vfio_memory_section *piece)
{
	struct watcher *watcher = watcher_of(listener);
	struct story *story = watcher->story;
	slot_set slots = slots_of(slot_of(story, piece->start), slot_of(story, piece->last));

	assert_int_equal(watcher->plugged & slots, slots);
	watcher->plugged &= ~slots;
}

static inline bool on_log_start(struct vfio_memory_listener *listener, struct vfio_error *error)
{
	struct watcher *watcher = watcher_of(listener);

	assert_false(watcher->logging);
	if (watcher->story->refuse_in && !--watcher->story->refuse_in) {
		error->code = -ENOSPC;
		return false;
	}
	watcher->logging = true;
	return true;
}

static inline void on_log_stop(struct vfio_memory_listener *listener)
{
	assert_true(watcher_of(listener)->logging);
	watcher_of(listener)->logging = false;
}

static inline void watcher_init(struct story *story, unsigned int number)
{
	struct watcher *watcher = &story->watcher[number];

	memset(watcher, 0, sizeof(*watcher));
	watcher->story = story;
	watcher->base = (struct vfio_memory_listener){
		.name = "watcher",
		.priority = (int)(story->seed & 1) * (1 - 2 * (int)number),
		.ctx = watcher,
		.begin = on_begin,
		.region_add = on_add,
		.region_del = on_del,
		.commit = on_commit,
		.log_start = on_log_start,
		.log_stop = on_log_stop,
		.iommu_notify = on_notify,
		.populate = on_populate,
		.discard = on_discard,
	};
}

/* ---- all three are one ---- */

static inline void assert_watcher(struct story *story, const struct watcher *watcher)
{
	assert_false(watcher->inside);
	assert_int_equal(watcher->logging, watcher->listening && story->logging);
	for (unsigned int slot = 0; slot < SLOTS; slot++) {
		const struct flat_region *region =
			watcher->listening ? flat_at(story, slot, true) : NULL;
		const struct mapped *map = &watcher->map[slot];

		assert_int_equal(watcher->at[slot], region ? region->id : 0);
		assert_int_equal(watcher->plugged >> slot & 1,
				 region ? region->plugged >> slot & 1 : 0);
		assert_int_equal(map->is, region && region->map[slot].is);
		if (map->is) {
			assert_int_equal(map->first, region->map[slot].first);
			assert_int_equal(map->target, region->map[slot].target);
		}
	}
}

static inline void assert_found(struct story *story, unsigned int slot,
				const struct flat_region *region)
{
	uint64_t addr = start_of(story, slot) + draw_below(&story->seed, story->unit);
	struct vfio_memory_section section;
	bool there =
		region && region->kind != VFIO_MEMORY_MMIO && region->kind != VFIO_MEMORY_IOMMU;
	unsigned int last = slot;

	if (there && region->kind == VFIO_MEMORY_DISCARDABLE)
		there = region->plugged >> slot & 1;
	assert_int_equal(vfio_memory_find(story->memory, addr, &section), there);
	if (!there)
		return;
	while (last < region->last &&
	       (region->kind != VFIO_MEMORY_DISCARDABLE || region->plugged >> (last + 1) & 1))
		last++;
	assert_int_equal(section.id, region->id);
	assert_int_equal(section.start, addr);
	assert_int_equal(section.last, last_of(story, last));
	assert_int_equal(section.vaddr, addr - start_of(story, region->first));
}

static inline void assert_one(struct story *story)
{
	uint64_t dirty_pages = 0;

	for (unsigned int slot = 0; slot < SLOTS; slot++) {
		const struct flat_region *region = flat_at(story, slot, true);
		bool dirty = region && region->dirty >> slot & 1;

		assert_found(story, slot, region);
		dirty_pages += dirty;
		assert_int_equal(
			vfio_memory_test_dirty(story->memory, start_of(story, slot), false), dirty);
	}
	assert_int_equal(vfio_memory_dirty_pages(story->memory), dirty_pages);
	assert_watcher(story, &story->watcher[0]);
	assert_watcher(story, &story->watcher[1]);
}

#endif
