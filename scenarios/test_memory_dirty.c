/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty pages of guest memory, where regions and pieces share pages, are as small as a byte, or are
 * many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "memory_scribe.h"

static int plug(struct desk *desk, uint32_t id, uint64_t start, uint64_t last)
{
	struct vfio_error error = { 0 };

	return vfio_memory_populate(desk->memory, id, start, last, &error) ? 0 : error.code;
}

static uint64_t dirty_pages(const struct desk *desk)
{
	return vfio_memory_dirty_pages(desk->memory);
}

/* What is not visible yet is not asked for. */
static void asked_for_what_is_visible(void **state)
{
	struct desk *desk = *state;

	add(desk, VFIO_MEMORY_RAM, 0, 0xffff);
	assert_true(vfio_memory_listen(desk->memory, &desk->a.base, NULL));
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	vfio_memory_begin(desk->memory);
	add(desk, VFIO_MEMORY_RAM, 0x10000, 0x1ffff);
	forget(&desk->journal);
	assert_true(vfio_memory_log_sync(desk->memory, NULL));
	expect(&desk->journal, "a:sync:0-ffff");
	vfio_memory_commit(desk->memory);
	forget(&desk->journal);
	assert_true(vfio_memory_log_sync(desk->memory, NULL));
	expect(&desk->journal, "a:sync:0-ffff a:sync:10000-1ffff");
}

/* Of two regions that share a page, the one that comes while logging is on is dirty: so it is. */
static void half_of_a_page_is_dirty(void **state)
{
	const struct {
		uint64_t old;
		uint64_t new;
	} places[] = { { 0x1000, 0x1800 }, { 0x1800, 0x1000 } };
	struct desk *desk = *state;

	for (size_t i = 0; i < COUNT_OF(places); i++) {
		uint32_t old = add(desk, VFIO_MEMORY_RAM, places[i].old, places[i].old + 0x7ff);
		uint32_t new;

		assert_true(vfio_memory_log_start(desk->memory, NULL));
		new = add(desk, VFIO_MEMORY_RAM, places[i].new, places[i].new + 0x7ff);
		assert_int_equal(dirty_pages(desk), 1);
		assert_true(vfio_memory_test_dirty(desk->memory, 0x1000, false));
		assert_true(vfio_memory_test_dirty(desk->memory, 0x1000, true));
		assert_int_equal(dirty_pages(desk), 0);
		vfio_memory_log_stop(desk->memory);
		vfio_memory_del(desk->memory, old);
		vfio_memory_del(desk->memory, new);
	}
}

/* A page is dirty when any byte of it is written, and stays so while any byte of it is there. */
static void bytes_of_a_page(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_region bytes = spec(VFIO_MEMORY_DISCARDABLE, 0xfff, 0x2000);
	uint32_t id;

	bytes.granularity = 1;
	assert_true(vfio_memory_add(desk->memory, &bytes, &id, NULL));
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	/* Nothing is plugged. */
	vfio_memory_set_dirty(desk->memory, 0, 0x800);
	vfio_memory_set_dirty(desk->memory, 0, UINT64_MAX);
	vfio_memory_set_dirty(desk->memory, 0x3000, UINT64_MAX);
	assert_int_equal(dirty_pages(desk), 0);
	assert_int_equal(plug(desk, id, 0xfff, 0x2000), 0);
	vfio_memory_log_stop(desk->memory);
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	add(desk, VFIO_MEMORY_DISCARDABLE, 0x100000, 0x1fffff); /* nothing is plugged there */
	vfio_memory_set_dirty(desk->memory, 0, 0);
	assert_int_equal(dirty_pages(desk), 1);
	vfio_memory_set_dirty(desk->memory, 0x2abc, 0x2abc);
	assert_int_equal(dirty_pages(desk), 2);
	assert_false(vfio_memory_test_dirty(desk->memory, 0x1000, false));
	vfio_memory_set_dirty(desk->memory, 0x1800, 0x1800);
	vfio_memory_discard(desk->memory, id, 0x1001, 0x1fff);
	assert_true(vfio_memory_test_dirty(desk->memory, 0x1000, false));
	assert_int_equal(plug(desk, id, 0x1001, 0x1fff), 0);
	vfio_memory_discard(desk->memory, id, 0x1000, 0x1ffe);
	assert_true(vfio_memory_test_dirty(desk->memory, 0x1000, true));
	/* Only its last byte is there, then only its first. */
	vfio_memory_set_dirty(desk->memory, 0x1800, 0x1800);
	assert_true(vfio_memory_test_dirty(desk->memory, 0x1000, true));
	assert_int_equal(plug(desk, id, 0x1000, 0x1000), 0);
	vfio_memory_discard(desk->memory, id, 0x1001, 0x1fff);
	assert_true(vfio_memory_test_dirty(desk->memory, 0x1000, true));
	vfio_memory_set_dirty(desk->memory, 0x1801, 0x1801);
	assert_true(vfio_memory_test_dirty(desk->memory, 0x1000, true));
	vfio_memory_discard(desk->memory, id, 0x1000, 0x1000);
	vfio_memory_set_dirty(desk->memory, 0x1800, 0x1800);
	assert_false(vfio_memory_test_dirty(desk->memory, 0x1000, true));
}

/* The pieces up to the last address of all. */
static void pieces_to_the_end(void **state)
{
	struct desk *desk = *state;
	const uint64_t start = 0 - (uint64_t)0x40000;
	uint32_t id = add(desk, VFIO_MEMORY_DISCARDABLE, start, UINT64_MAX);

	assert_int_equal(plug(desk, id, start, start + 0xfff), 0);
	assert_int_equal(plug(desk, id, start + 0x3f000, UINT64_MAX), 0);
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	vfio_memory_set_dirty(desk->memory, 0, UINT64_MAX);
	assert_int_equal(dirty_pages(desk), 2);
}

/* ---- many pieces ---- */

enum { PIECES = 200, UNIT = 0x1000 };

struct flat {
	bool plugged[PIECES];
	bool dirty[PIECES];
};

static void assert_flat(struct desk *desk, const struct flat *flat)
{
	struct vfio_memory_section section;
	uint64_t count = 0;

	for (uint64_t i = 0; i < PIECES; i++) {
		uint64_t end = i;

		assert_int_equal(vfio_memory_find(desk->memory, i * UNIT, &section),
				 flat->plugged[i]);
		assert_int_equal(vfio_memory_test_dirty(desk->memory, i * UNIT, false),
				 flat->dirty[i]);
		count += flat->dirty[i];
		while (end < PIECES && flat->plugged[end])
			end++;
		if (end > i)
			assert_int_equal(section.last, end * UNIT - 1);
	}
	assert_int_equal(dirty_pages(desk), count);
}

/* Plugs, unplugs or writes the pieces [first, last]. */
static void change_flat(struct desk *desk, struct flat *flat, uint32_t id, uint64_t first,
			uint64_t last, uint64_t what)
{
	uint64_t start = first * UNIT, end = last * UNIT + (UNIT - 1);

	if (what == 0)
		vfio_memory_discard(desk->memory, id, start, end);
	else if (what == 1)
		assert_int_equal(plug(desk, id, start, end), 0);
	else
		vfio_memory_set_dirty(desk->memory, start + 77, end - 77);
	for (uint64_t i = first; i <= last; i++) {
		bool was = flat->plugged[i];

		if (what < 2)
			flat->plugged[i] = what;
		flat->dirty[i] = flat->plugged[i] && (flat->dirty[i] || what == 2 || !was);
	}
}

/* Against a flat model, over several words of bits: every change reaches exactly its pieces. */
static void many_pieces(void **state)
{
	struct desk *desk = *state;
	struct flat flat = { 0 };
	uint32_t id = add(desk, VFIO_MEMORY_DISCARDABLE, 0, PIECES * UNIT - 1);
	uint64_t seed = 5;

	assert_true(vfio_memory_log_start(desk->memory, NULL));
	for (int step = 0; step < 400; step++) {
		uint64_t first = draw_below(&seed, PIECES);
		uint64_t last =
			first + draw_below(&seed, draw_below(&seed, 2) ? 4 : PIECES - first);

		last = last < PIECES ? last : PIECES - 1;
		change_flat(desk, &flat, id, first, last, draw_below(&seed, 3));
		assert_flat(desk, &flat);
		if (step % 50)
			continue;
		vfio_memory_log_stop(desk->memory);
		assert_true(vfio_memory_log_start(desk->memory, NULL));
		memset(flat.dirty, 0, sizeof(flat.dirty));
		assert_flat(desk, &flat);
	}
}

#define DESK_STORY(name) cmocka_unit_test_setup_teardown(name, desk_open, desk_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DESK_STORY(asked_for_what_is_visible),
		DESK_STORY(half_of_a_page_is_dirty),
		DESK_STORY(bytes_of_a_page),
		DESK_STORY(pieces_to_the_end),
		DESK_STORY(many_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
