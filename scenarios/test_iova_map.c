/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IOVA map against a sorted flat array that is too simple to be wrong: random operations from
 * fixed seeds on key spaces from tiny to 2^64, every answer compared, and the map's own rules
 * checked on the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "iova_map.h"

/* ---- a source of numbers, and memory that can refuse ---- */

static uint64_t draw(uint64_t *seed)
{
	uint64_t x = (*seed += 0x9e3779b97f4a7c15ULL);

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* Counts what is out; refuses from the allocation number `fail_at` on, counted from 1; 0 is never.
 */
struct budget {
	size_t out;
	size_t calls;
	size_t fail_at;
};

static void *budget_alloc(void *ctx, size_t size_bytes)
{
	struct budget *budget = ctx;
	char *block;

	budget->calls++;
	if (budget->fail_at && budget->calls >= budget->fail_at)
		return NULL;
	block = malloc(size_bytes);
	assert_non_null(block);
	memset(block, 0x5a, size_bytes);
	budget->out++;
	return block;
}

static void budget_free(void *ctx, void *block, size_t size_bytes)
{
	struct budget *budget = ctx;

	assert_true(size_bytes > 0);
	assert_true(budget->out > 0);
	budget->out--;
	free(block);
}

static void map_init(struct vfake_iova_map *map, struct budget *budget)
{
	const struct vfake_iova_map_mem mem = { budget_alloc, budget_free, NULL, budget };

	*budget = (struct budget){ 0 };
	vfake_iova_map_init(map, &mem);
}

static void assert_sound(const struct vfake_iova_map *map)
{
	const char *why;

	if (!vfake_iova_map_check(map, &why))
		fail_msg("the map broke a rule: %s", why);
}

/* ---- the oracle ---- */

struct flat {
	struct vfake_iova_range *range;
	size_t count;
	size_t room;
};

/* The number of ranges that end below x. */
static size_t flat_rank(const struct flat *flat, uint64_t x)
{
	size_t i = 0;

	while (i < flat->count && flat->range[i].last < x)
		i++;
	return i;
}

static int flat_insert(struct flat *flat, uint64_t start, uint64_t last, uint64_t value)
{
	size_t i = flat_rank(flat, start);

	if (start > last)
		return -EINVAL;
	if (i < flat->count && flat->range[i].start <= last)
		return -EEXIST;
	assert_true(flat->count < flat->room);
	memmove(&flat->range[i + 1], &flat->range[i], (flat->count - i) * sizeof(flat->range[0]));
	flat->range[i] = (struct vfake_iova_range){ start, last, value };
	flat->count++;
	return 0;
}

static int flat_erase(struct flat *flat, uint64_t start, struct vfake_iova_range *old)
{
	size_t i = flat_rank(flat, start);

	if (i == flat->count || flat->range[i].start != start)
		return -ENOENT;
	*old = flat->range[i];
	flat->count--;
	memmove(&flat->range[i], &flat->range[i + 1], (flat->count - i) * sizeof(flat->range[0]));
	return 0;
}

static int flat_take(struct flat *flat, uint64_t start, uint64_t last,
		     struct vfake_iova_range *range)
{
	size_t i = flat_rank(flat, start);

	if (start > last || i == flat->count || flat->range[i].start > last)
		return -ENOENT;
	*range = flat->range[i];
	if (range->start < start || range->last > last)
		return -EBUSY;
	return flat_erase(flat, range->start, range);
}

/* Tries every gap, from its description in the header. */
static int flat_hole(const struct flat *flat, const struct vfake_iova_hole *want, uint64_t *iova)
{
	for (size_t i = 0; i <= flat->count; i++) {
		unsigned __int128 from = i ? (unsigned __int128)flat->range[i - 1].last + 1 : 0;
		unsigned __int128 to = i < flat->count ? flat->range[i].start : (__int128)1 << 64;
		unsigned __int128 at;

		from = from < want->lo ? want->lo : from;
		to = to > (unsigned __int128)want->hi + 1 ? (unsigned __int128)want->hi + 1 : to;
		at = (from + want->align_bytes - 1) / want->align_bytes * want->align_bytes;
		at += want->offset_bytes;
		if (from < to && at + want->length_bytes <= to) {
			*iova = (uint64_t)at;
			return 0;
		}
	}
	return -ENOSPC;
}

static void assert_range(const struct vfake_iova_range *got, const struct vfake_iova_range *want)
{
	assert_true(got->start == want->start);
	assert_true(got->last == want->last);
	assert_true(got->value == want->value);
}

/* A look-up's answer against the oracle's i-th range, if there is one. */
static void assert_answer(bool found, const struct vfake_iova_range *got, const struct flat *flat,
			  size_t i)
{
	assert_true(found == (i < flat->count));
	if (found)
		assert_range(got, &flat->range[i]);
}

/* ---- one random walk ---- */

/* A key space: addresses base .. base + mask, ranges of up to `longest` addresses, up to `room` of
 * them. */
struct space {
	const char *name;
	uint64_t base;
	uint64_t mask;
	uint64_t longest;
	size_t room;
	unsigned int steps;
};

struct walk {
	const struct space *space;
	struct vfake_iova_map map;
	struct budget budget;
	struct flat flat;
	uint64_t seed;
};

static uint64_t any_address(struct walk *walk)
{
	uint64_t edge = draw(&walk->seed);

	if (edge % 64 == 0)
		return walk->space->base;
	if (edge % 64 == 1)
		return walk->space->base + walk->space->mask;
	if (edge % 8 == 2 && walk->flat.count) { /* on or beside the end of a range */
		size_t i = (size_t)(draw(&walk->seed) % walk->flat.count);

		return walk->flat.range[i].last + draw(&walk->seed) % 3 - 1;
	}
	return walk->space->base + (draw(&walk->seed) & walk->space->mask);
}

static void step_insert(struct walk *walk)
{
	uint64_t start = any_address(walk);
	uint64_t last = start + draw(&walk->seed) % walk->space->longest;
	uint64_t value = draw(&walk->seed);
	size_t bytes = walk->map.bytes;
	int want;

	if (walk->flat.count == walk->flat.room)
		return;
	if (draw(&walk->seed) % 128 == 0) /* an allocator that refuses, now and then */
		walk->budget.fail_at = walk->budget.calls + 1 + draw(&walk->seed) % 2;
	want = vfake_iova_map_insert(&walk->map, start, last, value);
	walk->budget.fail_at = 0;
	if (want == -ENOMEM) {
		assert_sound(&walk->map);
		assert_true(walk->map.bytes == bytes);
		want = vfake_iova_map_insert(&walk->map, start, last, value);
	}
	assert_int_equal(want, flat_insert(&walk->flat, start, last, value));
}

static void step_erase(struct walk *walk)
{
	struct vfake_iova_range got = { 0 };
	struct vfake_iova_range want = { 0 };
	uint64_t start = any_address(walk);

	if (walk->flat.count && draw(&walk->seed) % 4)
		start = walk->flat.range[draw(&walk->seed) % walk->flat.count].start;
	assert_int_equal(vfake_iova_map_erase(&walk->map, start, &got),
			 flat_erase(&walk->flat, start, &want));
	assert_range(&got, &want);
}

static void step_take(struct walk *walk)
{
	struct vfake_iova_range got = { 0 };
	struct vfake_iova_range want = { 0 };
	uint64_t start = any_address(walk);
	uint64_t last = draw(&walk->seed) % 2 ? any_address(walk) : start + walk->space->longest;

	assert_int_equal(vfake_iova_map_take(&walk->map, start, last, &got),
			 flat_take(&walk->flat, start, last, &want));
	assert_range(&got, &want);
}

static void step_set(struct walk *walk)
{
	uint64_t start = any_address(walk);
	uint64_t value = draw(&walk->seed);
	size_t i = flat_rank(&walk->flat, start);
	bool exact = i < walk->flat.count && walk->flat.range[i].start == start;

	assert_int_equal(vfake_iova_map_set(&walk->map, start, value), exact ? 0 : -ENOENT);
	if (exact)
		walk->flat.range[i].value = value;
}

static void step_look_up(struct walk *walk)
{
	const struct flat *flat = &walk->flat;
	struct vfake_iova_range got = { 0 };
	uint64_t at = any_address(walk);
	uint64_t last = any_address(walk);
	size_t i = flat_rank(flat, at);
	bool inside = i < flat->count && flat->range[i].start <= at;
	bool overlap = at <= last && i < flat->count && flat->range[i].start <= last;

	assert_answer(vfake_iova_map_find(&walk->map, at, &got), &got, flat,
		      inside ? i : flat->count);
	assert_answer(vfake_iova_map_first_overlap(&walk->map, at, last, &got), &got, flat,
		      overlap ? i : flat->count);
	assert_answer(vfake_iova_map_first(&walk->map, &got), &got, flat, 0);
	assert_answer(vfake_iova_map_next(&walk->map, at, &got), &got, flat, inside ? i + 1 : i);
	assert_answer(vfake_iova_map_prev(&walk->map, at, &got), &got, flat,
		      i ? i - 1 : flat->count);
}

static void step_hole(struct walk *walk)
{
	struct vfake_iova_hole want = {
		.lo = any_address(walk),
		.hi = any_address(walk),
		.length_bytes = 1 + draw(&walk->seed) % walk->space->longest,
		.align_bytes = 1ULL << (draw(&walk->seed) % 8),
	};
	uint64_t got = 0;
	uint64_t oracle = 0;
	int ret;

	if (draw(&walk->seed) % 16 == 0)
		want.align_bytes = 1ULL << (draw(&walk->seed) % 64);
	want.offset_bytes = draw(&walk->seed) % 4 % want.align_bytes;
	ret = vfake_iova_map_find_hole(&walk->map, &want, &got);
	if (want.lo > want.hi) {
		assert_int_equal(ret, -EINVAL);
		return;
	}
	assert_int_equal(ret, flat_hole(&walk->flat, &want, &oracle));
	assert_true(got == oracle);
}

/* Forwards from a random place to the end, then backwards from the last range to the first. */
static void check_iteration(struct walk *walk)
{
	uint64_t from = any_address(walk);
	struct vfake_iova_cursor at = vfake_iova_cursor_seek(&walk->map, from);
	size_t i = flat_rank(&walk->flat, from);
	struct vfake_iova_range range;

	for (; vfake_iova_cursor_get(&at, &range); vfake_iova_cursor_next(&at))
		assert_answer(true, &range, &walk->flat, i++);
	assert_true(i == walk->flat.count);
	vfake_iova_cursor_next(&at);
	assert_false(vfake_iova_cursor_get(&at, &range));
	if (!walk->flat.count)
		return;
	at = vfake_iova_cursor_seek(&walk->map, walk->flat.range[i - 1].last);
	for (; vfake_iova_cursor_get(&at, &range); vfake_iova_cursor_prev(&at))
		assert_answer(true, &range, &walk->flat, --i);
	assert_true(i == 0);
}

static void run_walk(const struct space *space, uint64_t seed)
{
	struct walk walk = { .space = space, .seed = seed };
	unsigned int phase = 0;

	walk.flat.room = space->room;
	walk.flat.range = calloc(space->room, sizeof(walk.flat.range[0]));
	assert_non_null(walk.flat.range);
	map_init(&walk.map, &walk.budget);
	for (unsigned int step = 0; step < space->steps; step++) {
		uint64_t dice = draw(&walk.seed) % 16;

		if (step % (space->steps / 8) == 0)
			phase++; /* grow and shrink in turns: 9 to 3 one way, 3 to 9 the other */
		if (dice < (phase % 2 ? 9 : 3))
			step_insert(&walk);
		else if (dice < 12 && step % 2)
			step_erase(&walk);
		else if (dice < 12)
			step_take(&walk);
		else if (dice < 14)
			step_look_up(&walk);
		else if (dice < 15)
			step_hole(&walk);
		else
			step_set(&walk);
		assert_true(vfake_iova_map_count(&walk.map) == walk.flat.count);
		if (step % 512 == 0) {
			assert_sound(&walk.map);
			check_iteration(&walk);
		}
	}
	assert_sound(&walk.map);
	check_iteration(&walk);
	vfake_iova_map_destroy(&walk.map);
	assert_true(walk.budget.out == 0 && vfake_iova_map_bytes(&walk.map) == 0);
	free(walk.flat.range);
}

static void test_random_walks(void **state)
{
	static const struct space spaces[] = {
		{ "tiny", 0, 0x3f, 4, 64, 60000 },
		{ "a page", 0, 0xfff, 3, 512, 60000 },
		{ "dense", 0x10000, 0x7fff, 8, 4000, 120000 },
		{ "top of the space", UINT64_MAX - 0xfff, 0xfff, 16, 512, 60000 },
		{ "whole space", 0, UINT64_MAX, 1ULL << 54, 2000, 100000 },
		{ "huge ranges", 0, UINT64_MAX, UINT64_MAX, 64, 30000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		print_message("walk: %s\n", spaces[i].name);
		run_walk(&spaces[i], 1000 + i);
	}
}

/* ---- edges, order, memory ---- */

static void test_edges_of_the_space(void **state)
{
	struct vfake_iova_range range;
	struct vfake_iova_map map;
	struct budget budget;

	(void)state;
	map_init(&map, &budget);
	assert_false(vfake_iova_map_find(&map, 0, &range));
	assert_int_equal(vfake_iova_map_erase(&map, 0, NULL), -ENOENT);
	assert_int_equal(vfake_iova_map_insert(&map, 1, 0, 0), -EINVAL);

	assert_int_equal(vfake_iova_map_insert(&map, 0, UINT64_MAX, 7), 0);
	assert_int_equal(vfake_iova_map_insert(&map, UINT64_MAX, UINT64_MAX, 8), -EEXIST);
	assert_true(vfake_iova_map_find(&map, UINT64_MAX, &range) && range.value == 7);
	assert_false(vfake_iova_map_next(&map, UINT64_MAX, &range));
	assert_false(vfake_iova_map_prev(&map, 0, &range));
	assert_int_equal(vfake_iova_map_erase(&map, 0, &range), 0);
	assert_true(range.last == UINT64_MAX && budget.out == 0);

	assert_int_equal(vfake_iova_map_insert(&map, UINT64_MAX, UINT64_MAX, 1), 0);
	assert_int_equal(vfake_iova_map_insert(&map, 0, 0, 2), 0);
	assert_int_equal(vfake_iova_map_insert(&map, 1, UINT64_MAX - 1, 3), 0);
	assert_true(vfake_iova_map_prev(&map, UINT64_MAX, &range) && range.value == 3);
	assert_true(vfake_iova_map_next(&map, UINT64_MAX - 1, &range) && range.value == 1);
	assert_sound(&map);
	vfake_iova_map_destroy(&map);
	assert_true(budget.out == 0);
}

/* The i-th of n starts, in one of the orders that programs use. */
static uint64_t start_in_order(unsigned int order, uint64_t i, uint64_t n)
{
	if (order == 0)
		return i * 0x2000;
	if (order == 1)
		return (n - 1 - i) * 0x2000;
	if (order == 2) /* from both ends to the middle */
		return (i % 2 ? n - 1 - i / 2 : i / 2) * 0x2000;
	return (i * 7919 + 13) % n * 0x2000; /* 7919 is prime and does not divide n */
}

/* Every pair of an order to map and an order to unmap in; the memory per range is bounded in each.
 */
static void test_orders(void **state)
{
	const uint64_t n = 20000;

	(void)state;
	for (unsigned int pair = 0; pair < 16; pair++) {
		struct vfake_iova_map map;
		struct budget budget;

		map_init(&map, &budget);
		for (uint64_t i = 0; i < n; i++) {
			uint64_t start = start_in_order(pair / 4, i, n);

			assert_int_equal(vfake_iova_map_insert(&map, start, start + 0xfff, i), 0);
		}
		assert_sound(&map);
		assert_true(vfake_iova_map_bytes(&map) <= n * (pair / 4 < 2 ? 36 : 64));
		for (uint64_t i = 0; i < n; i++) {
			uint64_t start = start_in_order(pair % 4, i, n);

			assert_int_equal(vfake_iova_map_erase(&map, start, NULL), 0);
			if (i % 997 == 0)
				assert_sound(&map);
		}
		assert_true(vfake_iova_map_count(&map) == 0 && budget.out == 0);
	}
}

/* Fails each allocation of a build-up in turn; the map is as before each time, and the retry
 * succeeds. */
static void test_each_allocation_fails_once(void **state)
{
	const uint64_t n = 3000;
	size_t failures = 0;

	(void)state;
	for (unsigned int order = 0; order < 4; order++) {
		struct vfake_iova_map map;
		struct budget budget;

		map_init(&map, &budget);
		for (uint64_t i = 0; i < n; i++) {
			uint64_t start = start_in_order(order, i, n);
			size_t out = budget.out;
			size_t bytes = map.bytes;
			struct vfake_iova_range range;

			for (size_t nth = 1;; nth++) {
				budget.fail_at = budget.calls + nth;
				if (!vfake_iova_map_insert(&map, start, start + 0x1fff, i))
					break;
				failures++;
				assert_true(budget.out == out && map.bytes == bytes);
				assert_true(map.count == i);
				assert_false(vfake_iova_map_find(&map, start, &range));
				assert_sound(&map);
			}
		}
		budget.fail_at =
			1; /* from here on nothing can be had: look-ups and erases need nothing */
		for (uint64_t i = 0; i < n; i++)
			assert_int_equal(vfake_iova_map_erase(&map, i * 0x2000, NULL), 0);
		assert_true(budget.out == 0);
	}
	assert_true(failures > 1000);
}

static void test_default_memory_is_counted(void **state)
{
	struct vfake_iova_map map;

	(void)state;
	vfake_iova_map_init(&map, NULL);
	assert_true(vfake_iova_map_bytes(&map) == 0);
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(vfake_iova_map_insert(&map, i * 16, i * 16 + 7, i), 0);
	assert_true(vfake_iova_map_bytes(&map) > 1000 * sizeof(struct vfake_iova_range));
	vfake_iova_map_destroy(&map);
	assert_true(vfake_iova_map_bytes(&map) == 0 && vfake_iova_map_count(&map) == 0);
	assert_int_equal(vfake_iova_map_insert(&map, 5, 5, 5), 0);
	vfake_iova_map_destroy(&map);
}

static void test_holes(void **state)
{
	struct vfake_iova_hole want = { 0x1000, 0x8fff, 0x1000, 0x1000, 0 };
	struct vfake_iova_map map;
	struct budget budget;
	uint64_t iova = 0;

	(void)state;
	map_init(&map, &budget);
	assert_int_equal(vfake_iova_map_insert(&map, 0x1000, 0x200f, 0), 0);
	assert_int_equal(vfake_iova_map_find_hole(&map, &want, &iova), 0);
	assert_true(iova == 0x3000);
	want.offset_bytes = 0x20; /* 0x2020 is free, but the gap's candidate is 0x3020 */
	assert_int_equal(vfake_iova_map_find_hole(&map, &want, &iova), 0);
	assert_true(iova == 0x3020);
	want.length_bytes = 0x5fe1;
	assert_int_equal(vfake_iova_map_find_hole(&map, &want, &iova), -ENOSPC);
	want.length_bytes = 0;
	assert_int_equal(vfake_iova_map_find_hole(&map, &want, &iova), -EINVAL);
	want.length_bytes = 1;
	want.align_bytes = 0x1001;
	assert_int_equal(vfake_iova_map_find_hole(&map, &want, &iova), -EINVAL);
	want.align_bytes = 0x20;
	assert_int_equal(vfake_iova_map_find_hole(&map, &want, &iova), -EINVAL);
	want = (struct vfake_iova_hole){ 0x2010, UINT64_MAX, UINT64_MAX - 0x200f, 1, 0 };
	assert_int_equal(vfake_iova_map_find_hole(&map, &want, &iova), 0);
	assert_true(iova == 0x2010);
	want.length_bytes++; /* one past the very last address */
	assert_int_equal(vfake_iova_map_find_hole(&map, &want, &iova), -ENOSPC);
	vfake_iova_map_destroy(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edges_of_the_space),
		cmocka_unit_test(test_random_walks),
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_each_allocation_fails_once),
		cmocka_unit_test(test_default_memory_is_counted),
		cmocka_unit_test(test_holes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
