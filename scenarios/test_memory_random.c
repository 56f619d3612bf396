/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory against a flat model: random transactions, vIOMMU mappings, plugging, logging,
 * refusals and lack of memory, from fixed seeds. After every step the model, the memory and what
 * two listeners made of the events must be one. One of the listeners comes and goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "memory_story.h"

enum { STEPS = 3000, SEEDS = 10 };

/* ---- steps ---- */

static unsigned int draw_slots(struct story *story, unsigned int *last)
{
	unsigned int first = (unsigned int)draw_below(&story->seed, SLOTS);
	unsigned int more = (unsigned int)draw_below(&story->seed, 8);

	*last = first + more < SLOTS ? first + more : SLOTS - 1;
	return first;
}

/* A region that is alive, or NULL after some tries. */
static struct flat_region *draw_region(struct story *story)
{
	for (unsigned int i = 0; story->count && i < 20; i++) {
		struct flat_region *region = &story->region[draw_below(&story->seed, story->count)];

		if (region->alive)
			return region;
	}
	return NULL;
}

static bool same_spec(const struct flat_region *a, const struct flat_region *b)
{
	return a->kind == b->kind && a->first == b->first && a->last == b->last &&
	       a->variant == b->variant;
}

static struct vfio_memory_region spec_of(const struct story *story,
					 const struct flat_region *region, char name[16])
{
	snprintf(name, 16, "%u", region->variant);
	return (struct vfio_memory_region){
		.name = name,
		.kind = region->kind,
		.start = start_of(story, region->first),
		.last = last_of(story, region->last),
		.fd = -1,
		.granularity = story->unit,
		.iommu_pgsizes = story->unit,
	};
}

/* The place of a new region in the model; those that are dead are used again. */
static struct flat_region *flat_new(struct story *story)
{
	for (unsigned int i = 0; i < story->count; i++) {
		if (!story->region[i].alive)
			return &story->region[i];
	}
	assert_true(story->count < REGIONS);
	return &story->region[story->count++];
}

static void flat_add(struct story *story, const struct flat_region *wanted, uint32_t id)
{
	struct flat_region *region;

	for (unsigned int i = 0; i < story->count; i++) {
		region = &story->region[i];
		if (region->alive && region->deleted && same_spec(region, wanted)) {
			assert_int_equal(region->id, id);
			region->deleted = false;
			return;
		}
	}
	region = flat_new(story);
	*region = *wanted;
	region->alive = true;
	region->id = id;
	region->has_dirty = story->logging && keeps_dirty(region);
	if (region->has_dirty && region->kind == VFIO_MEMORY_RAM)
		region->dirty = slots_of(region->first, region->last);
}

static void step_add(struct story *story)
{
	struct flat_region wanted = { 0 };
	const struct flat_region *like = draw_below(&story->seed, 2) ? draw_region(story) : NULL;
	bool free_room = true;
	struct vfio_error error = { 0 };
	struct vfio_memory_region spec;
	char name[16];
	uint32_t id = 0;
	bool added;

	wanted.first = draw_slots(story, &wanted.last);
	wanted.kind = (enum vfio_memory_kind)draw_below(&story->seed, 6);
	wanted.variant = (unsigned int)draw_below(&story->seed, 2);
	if (like) {
		wanted.first = like->first;
		wanted.last = like->last;
		wanted.kind = like->kind;
		wanted.variant = like->variant;
		if (!draw_below(&story->seed, 4))
			wanted.last = wanted.first; /* cut */
	}
	for (unsigned int slot = wanted.first; slot <= wanted.last; slot++)
		free_room = free_room && !flat_at(story, slot, false);
	spec = spec_of(story, &wanted, name);
	added = vfio_memory_add(story->memory, &spec, &id, &error);
	if (added) {
		assert_true(free_room && id);
		flat_add(story, &wanted, id);
		if (!story->depth)
			flat_commit(story);
	} else if (free_room) {
		assert_int_equal(error.code, -ENOMEM);
		assert_true(story->heap.fail_at && story->heap.calls >= story->heap.fail_at);
	} else {
		assert_int_equal(error.code, -EEXIST);
	}
}

static void step_del(struct story *story)
{
	struct flat_region *region = draw_region(story);

	if (!region)
		return;
	vfio_memory_del(story->memory, region->id);
	region->deleted = true;
	if (!region->visible)
		region->alive = false;
	if (!story->depth)
		flat_commit(story);
}

static void step_transaction(struct story *story)
{
	if (story->depth < 3 && draw_below(&story->seed, 3)) {
		vfio_memory_begin(story->memory);
		story->depth++;
	} else {
		vfio_memory_commit(story->memory);
		if (story->depth && !--story->depth)
			flat_commit(story);
	}
}

/* What the model says to a map or unmap; 0 also when memory may be short. */
static int flat_update(const struct flat_region *region, const struct mapped *map)
{
	if (region->deleted || region->kind != VFIO_MEMORY_IOMMU)
		return -ENOENT;
	if (map->first < region->first || map->last > region->last)
		return -EINVAL;
	for (unsigned int slot = map->first; slot <= map->last; slot++) {
		const struct mapped *here = &region->map[slot];

		if (here->is && map->is)
			return -EEXIST;
		if (here->is && (here->first < map->first || here->last > map->last))
			return -EINVAL;
	}
	return 0;
}

static void step_iommu(struct story *story)
{
	struct flat_region *region = draw_region(story);
	struct mapped map = { .is = draw_below(&story->seed, 2) };
	struct vfio_iommu_entry entry;
	int expected;
	int got;

	map.first = draw_slots(story, &map.last);
	map.target = story->unit * draw_below(&story->seed, SLOTS / 2);
	if (!region)
		return;
	if (draw_below(&story->seed, 4)) {
		map.first = region->first;
		map.last = region->first + (unsigned int)draw_below(&story->seed, 3);
		map.last = map.last < SLOTS ? map.last : SLOTS - 1;
	}
	entry = (struct vfio_iommu_entry){ start_of(story, map.first), last_of(story, map.last),
					   map.target, map.is ? 3 : 0, story->memory };
	expected = flat_update(region, &map);
	if (map.target > UINT64_MAX - (entry.last - entry.iova))
		return;
	got = vfio_memory_iommu_update(story->memory, region->id, &entry);
	if (got == -ENOMEM && story->heap.fail_at)
		return;
	assert_int_equal(got, expected);
	for (unsigned int slot = map.first; slot <= map.last && !got; slot++)
		region->map[slot] = map;
}

static void step_plug(struct story *story)
{
	struct flat_region *region = draw_region(story);
	bool plug = draw_below(&story->seed, 3);
	struct vfio_error error = { 0 };
	unsigned int last;
	unsigned int first = draw_slots(story, &last);
	slot_set slots = slots_of(first, last);
	uint64_t start = start_of(story, first);
	bool fits;

	if (!region)
		return;
	if (draw_below(&story->seed, 4)) {
		first = region->first;
		last = region->last;
		slots = slots_of(first, last);
		start = start_of(story, first);
	}
	fits = !region->deleted && region->kind == VFIO_MEMORY_DISCARDABLE &&
	       first >= region->first && last <= region->last;
	if (!plug) {
		vfio_memory_discard(story->memory, region->id, start, last_of(story, last));
		region->plugged &= fits ? ~slots : UINT64_MAX;
		region->dirty &= fits ? ~slots : UINT64_MAX;
	} else if (vfio_memory_populate(story->memory, region->id, start, last_of(story, last),
					&error)) {
		assert_true(fits);
		if (story->logging)
			region->dirty |= slots & ~region->plugged;
		region->plugged |= slots;
	} else {
		assert_true(error.code == -ENOSPC || (!fits && error.code));
	}
}

static void step_log(struct story *story)
{
	struct vfio_error error = { 0 };

	if (!story->can_log)
		return;
	if (story->logging && !draw_below(&story->seed, 2)) {
		vfio_memory_log_stop(story->memory);
		story->logging = false;
		return;
	}
	if (story->logging) {
		assert_true(vfio_memory_log_sync(story->memory, NULL));
		return;
	}
	if (!vfio_memory_log_start(story->memory, &error)) {
		assert_true(error.code == -ENOSPC ||
			    (error.code == -ENOMEM && story->heap.fail_at));
		return;
	}
	story->logging = true;
	for (unsigned int i = 0; i < story->count; i++) {
		story->region[i].dirty = 0;
		story->region[i].has_dirty = keeps_dirty(&story->region[i]);
	}
}

static void step_dirty(struct story *story)
{
	unsigned int last;
	unsigned int first = draw_slots(story, &last);
	bool dirty = false;
	bool clear = draw_below(&story->seed, 2);

	if (!story->can_log)
		return;
	vfio_memory_set_dirty(story->memory, last_of(story, first), start_of(story, last));
	if (first == last) /* the range ends before it starts */
		return;
	for (unsigned int slot = first; slot <= last; slot++) {
		struct flat_region *region = flat_at(story, slot, true);

		if (region && region->has_dirty &&
		    (region->kind == VFIO_MEMORY_RAM || region->plugged >> slot & 1))
			region->dirty |= slots_of(slot, slot);
	}
	for (unsigned int slot = first; slot <= last; slot += 2) {
		struct flat_region *region = flat_at(story, slot, true);

		dirty = region && region->dirty >> slot & 1;
		assert_int_equal(vfio_memory_test_dirty(story->memory, last_of(story, slot), clear),
				 dirty);
		if (region && clear)
			region->dirty &= ~slots_of(slot, slot);
	}
}

static void step_listen(struct story *story)
{
	struct watcher *watcher = &story->watcher[1];
	struct vfio_error error = { 0 };

	if (watcher->listening) {
		vfio_memory_unlisten(story->memory, &watcher->base);
		watcher->listening = false;
	} else if (vfio_memory_listen(story->memory, &watcher->base, &error)) {
		watcher->listening = true;
	} else {
		assert_true(story->logging);
		assert_int_equal(error.code, -ENOSPC);
	}
}

static void step(struct story *story)
{
	static void (*const steps[])(struct story * story) = {
		step_add,   step_add,	      step_add,	  step_add,    step_del,
		step_del,   step_transaction, step_plug,  step_plug,   step_iommu,
		step_iommu, step_log,	      step_dirty, step_listen,
	};
	size_t count = sizeof(steps) / sizeof(steps[0]);

	story->refuse_in = (unsigned int)draw_below(&story->seed, 8);
	heap_fail_at(&story->heap,
		     draw_below(&story->seed, 4) ? 0 : 1 + draw_below(&story->seed, 3));
	steps[draw_below(&story->seed, count)](story);
	heap_fail_at(&story->heap, 0);
	assert_one(story);
}

static void tell_story(uint64_t seed, uint64_t base, uint64_t unit)
{
	struct story *story = calloc(1, sizeof(*story));

	assert_non_null(story);
	story->memory = memory_on(&story->heap);
	story->seed = seed;
	story->base = base;
	story->unit = unit;
	story->can_log = unit == 4096;
	watcher_init(story, 0);
	watcher_init(story, 1);
	story->watcher[0].listening = true;
	assert_true(vfio_memory_listen(story->memory, &story->watcher[0].base, NULL));
	for (int i = 0; i < STEPS; i++)
		step(story);
	for (int i = 0; i < 2; i++) {
		vfio_memory_unlisten(story->memory, &story->watcher[i].base);
		story->watcher[i].listening = false;
		assert_watcher(story, &story->watcher[i]);
	}
	memory_end(story->memory, &story->heap);
	free(story);
}

static void test_pages(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		tell_story(seed, 0, 4096);
}

static void test_pages_up_to_the_end(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		tell_story(seed, 0 - (uint64_t)SLOTS * 4096, 4096);
}

static void test_the_whole_space(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		tell_story(seed, 0, (uint64_t)1 << 58);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_pages_up_to_the_end),
		cmocka_unit_test(test_the_whole_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
