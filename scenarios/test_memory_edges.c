/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory at its edges: fields that a kind of region does not have, the smallest pieces and
 * pages, many of them, neighbours that share a page, one allocation that is refused, and listeners
 * that hear a part only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "memory_scribe.h"

static int add_code(struct desk *desk, const struct vfio_memory_region *region)
{
	struct vfio_error error = { 0 };
	uint32_t id;

	return vfio_memory_add(desk->memory, region, &id, &error) ? 0 : error.code;
}

static int plug(struct desk *desk, uint32_t id, uint64_t start, uint64_t last)
{
	struct vfio_error error = { 0 };

	return vfio_memory_populate(desk->memory, id, start, last, &error) ? 0 : error.code;
}

static uint64_t dirty_pages(const struct desk *desk)
{
	return vfio_memory_dirty_pages(desk->memory);
}

/* ---- fields ---- */

static const enum vfio_memory_kind kinds[] = { VFIO_MEMORY_RAM,	       VFIO_MEMORY_ROM,
					       VFIO_MEMORY_RAM_DEVICE, VFIO_MEMORY_MMIO,
					       VFIO_MEMORY_IOMMU,      VFIO_MEMORY_DISCARDABLE };

/* A region whose every field has a value, whether its kind has it or not. */
static struct vfio_memory_region full(enum vfio_memory_kind kind, uint64_t number)
{
	bool backed = kind != VFIO_MEMORY_MMIO && kind != VFIO_MEMORY_IOMMU;

	return (struct vfio_memory_region){
		.name = "full",
		.kind = kind,
		.last = 0xffff,
		.vaddr = backed ? 0x7000 : number,
		.fd = backed ? -(int)number : (int)number, /* without a file, any such number */
		.fd_offset = number,
		.granularity = kind == VFIO_MEMORY_DISCARDABLE ? 0x1000 : number,
		.iommu_pgsizes = kind == VFIO_MEMORY_IOMMU ? 0x1000 : number,
		.tce_table = kind != VFIO_MEMORY_IOMMU,
		.tce_table_fd = (int)number,
	};
}

/* What listeners see of a region has nothing in the fields that its kind does not have. */
static void seen_at_rest(struct scribe *scribe, const struct vfio_memory_section *section)
{
	const struct vfio_memory_region *region = section ? section->region : NULL;
	bool backed =
		section && region->kind != VFIO_MEMORY_MMIO && region->kind != VFIO_MEMORY_IOMMU;

	(void)scribe;
	if (!section)
		return;
	assert_string_equal(region->name, "full");
	assert_int_equal(region->vaddr, backed ? 0x7000 : 0);
	assert_int_equal(section->vaddr, region->vaddr);
	assert_int_equal(region->fd, -1);
	assert_int_equal(region->fd_offset, 0);
	assert_int_equal(section->fd_offset, 0);
	assert_int_equal(region->granularity, region->kind == VFIO_MEMORY_DISCARDABLE ? 0x1000 : 0);
	assert_int_equal(region->iommu_pgsizes, region->kind == VFIO_MEMORY_IOMMU ? 0x1000 : 0);
	assert_false(region->tce_table);
	assert_int_equal(region->tce_table_fd, -1);
}

static void fields_of_each_kind(void **state)
{
	struct desk *desk = *state;

	listen_both(desk);
	desk->a.meddle = seen_at_rest;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct vfio_memory_region one = full(kinds[i], 7), two = full(kinds[i], 8);
		uint32_t id, again;

		assert_true(vfio_memory_add(desk->memory, &one, &id, NULL));
		expect(&desk->journal,
		       "a:begin b:begin a:add:0-ffff b:add:0-ffff a:commit b:commit");
		vfio_memory_begin(desk->memory);
		vfio_memory_del(desk->memory, id);
		assert_true(vfio_memory_add(desk->memory, &two, &again, NULL));
		assert_int_equal(again, id);
		vfio_memory_commit(desk->memory);
		expect(&desk->journal, "");
		vfio_memory_del(desk->memory, id);
		forget(&desk->journal);
	}
}

static void other_tables_other_places(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_region none = spec(VFIO_MEMORY_IOMMU, 0, 0xffff);
	struct vfio_memory_region three = none, four, bad;
	struct vfio_memory_region low = spec(VFIO_MEMORY_RAM, 0, 0xffff);
	struct vfio_memory_region high = spec(VFIO_MEMORY_RAM, 0x1000, 0xffff);

	three.tce_table = true;
	three.tce_table_fd = 3;
	four = three;
	four.tce_table_fd = 4;
	bad = three;
	bad.tce_table_fd = -1;
	assert_false(is_new(desk, &three, &three));
	assert_true(is_new(desk, &three, &four));
	assert_true(is_new(desk, &three, &none));
	assert_true(is_new(desk, &bad, &none));
	assert_true(is_new(desk, &low, &high));
	assert_true(is_new(desk, &high, &low));
}

/* The name is copied: the caller may forget its own at once. */
static void names_are_copied(void **state)
{
	struct desk *desk = *state;
	char name[] = "short-lived";
	struct vfio_memory_region region = spec(VFIO_MEMORY_RAM, 0, 0xffff);
	struct vfio_memory_section section;
	uint32_t id;

	region.name = name;
	assert_true(vfio_memory_add(desk->memory, &region, &id, NULL));
	memset(name, '!', sizeof(name) - 1);
	assert_true(vfio_memory_find(desk->memory, 0x1234, &section));
	assert_string_equal(section.region->name, "short-lived");
	assert_int_equal(section.fd_offset, 0); /* there is no file */
}

/* Each with one thing wrong only. */
static void pieces_that_make_no_sense(void **state)
{
	struct desk *desk = *state;
	const struct {
		uint64_t start;
		uint64_t last;
		uint64_t granularity;
		int code;
	} tries[] = {
		{ 0, UINT64_MAX, 0, -EINVAL },
		{ 0, 0x17ff, 0x1800, -EINVAL },
		{ 0x800, 0x1fff, 0x1000, -EINVAL },
		{ 1, 0xfff, 0x1000, -EINVAL },
		{ 0, 0xffe, 0x1000, -EINVAL },
		{ 0, 0x17ff, 0x1000, -EINVAL },
		{ 5, 7, 1, 0 },
		{ 0x1000, 0x1fff, 0x1000, 0 },
	};

	for (size_t i = 0; i < COUNT_OF(tries); i++) {
		struct vfio_memory_region region =
			spec(VFIO_MEMORY_DISCARDABLE, tries[i].start, tries[i].last);

		region.granularity = tries[i].granularity;
		assert_int_equal(add_code(desk, &region), tries[i].code);
	}
}

/* ---- memory for it ---- */

/* A region costs a block; the array of them is made anew less and less often. */
static void many_regions(void **state)
{
	struct desk *desk = *state;
	enum { MANY = 2000 };

	desk->heap.calls = 0;
	vfio_memory_begin(desk->memory);
	for (uint64_t i = 0; i < MANY; i++)
		add(desk, VFIO_MEMORY_RAM, i * 16, i * 16 + 7);
	vfio_memory_commit(desk->memory);
	assert_true(desk->heap.calls < MANY + 16);
}

/* One allocation is refused and the next is not: nothing has happened all the same. */
static void one_refusal(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_region region = spec(VFIO_MEMORY_RAM, 0, 0xffff);
	struct vfio_memory_section section;

	desk->heap.fails_once = true;
	heap_fail_at(&desk->heap, 1); /* the array */
	assert_int_equal(add_code(desk, &region), -ENOMEM);
	assert_false(vfio_memory_find(desk->memory, 0, &section));
	assert_int_equal(add_code(desk, &region), 0);
	region = spec(VFIO_MEMORY_RAM, 0x10000, 0x1ffff);
	assert_int_equal(add_code(desk, &region), 0);
	heap_fail_at(&desk->heap, 2); /* the second bitmap */
	assert_false(vfio_memory_log_start(desk->memory, NULL));
	vfio_memory_set_dirty(desk->memory, 0, UINT64_MAX); /* logging never started */
	assert_int_equal(dirty_pages(desk), 0);
	desk->a.refuse_in = 1;
	assert_true(vfio_memory_listen(desk->memory, &desk->a.base, NULL));
	assert_false(vfio_memory_log_start(desk->memory, NULL));
	vfio_memory_set_dirty(desk->memory, 0, UINT64_MAX);
	assert_int_equal(dirty_pages(desk), 0);
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	vfio_memory_set_dirty(desk->memory, 0, UINT64_MAX);
	assert_int_equal(dirty_pages(desk), 32);
}

/* A bitmap has a bit for each page, and not much more. */
static void large_ram(void **state)
{
	struct desk *desk = *state;

	add(desk, VFIO_MEMORY_RAM, 0, ((uint64_t)1 << 36) - 1); /* 2 MiB of bits */
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	vfio_memory_set_dirty(desk->memory, 0x7fff, 0x8000);
	vfio_memory_set_dirty(desk->memory, (uint64_t)1 << 35, (uint64_t)1 << 35);
	assert_int_equal(dirty_pages(desk), 3);
}

/* ---- listeners ---- */

/* Opens and closes a transaction, more often than it was opened. */
static void try_to_commit(struct scribe *scribe, const struct vfio_memory_section *section)
{
	(void)section;
	vfio_memory_commit(scribe->memory);
	vfio_memory_commit(scribe->memory);
	vfio_memory_begin(scribe->memory);
}

/* What listeners do has no effect on a transaction that is open. */
static void transactions_of_listeners(void **state)
{
	struct desk *desk = *state;
	uint32_t pieces = add(desk, VFIO_MEMORY_DISCARDABLE, 0, 0xffff);
	uint32_t ram;

	assert_true(vfio_memory_listen(desk->memory, &desk->b.base, NULL));
	desk->b.meddle = try_to_commit;
	forget(&desk->journal);
	vfio_memory_begin(desk->memory);
	vfio_memory_begin(desk->memory);
	ram = add(desk, VFIO_MEMORY_RAM, 0x10000, 0x1ffff);
	assert_int_equal(plug(desk, pieces, 0, 0xfff), 0);
	vfio_memory_commit(desk->memory);
	expect(&desk->journal, "b:plug:0-fff");
	vfio_memory_commit(desk->memory);
	expect(&desk->journal, "b:begin b:add:10000-1ffff b:commit");
	vfio_memory_del(desk->memory, ram); /* at once: no transaction is left open */
	expect(&desk->journal, "b:begin b:del:10000-1ffff b:commit");
}

/* Deleting twice is deleting. */
static void deleting_twice(void **state)
{
	struct desk *desk = *state;
	uint32_t id = add(desk, VFIO_MEMORY_RAM, 0, 0xffff);

	assert_true(vfio_memory_listen(desk->memory, &desk->a.base, NULL));
	forget(&desk->journal);
	vfio_memory_begin(desk->memory);
	vfio_memory_del(desk->memory, id);
	vfio_memory_del(desk->memory, id);
	expect(&desk->journal, "");
	vfio_memory_commit(desk->memory);
	expect(&desk->journal, "a:begin a:del:0-ffff a:commit");
}

/* Who only populates, who only discards, and who does not hear what a vIOMMU maps. */
static void half_deaf(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_section section = { .last = 0xffff };
	struct vfio_iommu_entry entry = { 0x10000, 0x10fff, 0, 3, desk->memory };

	section.id = add(desk, VFIO_MEMORY_DISCARDABLE, 0, 0xffff);
	listen_both(desk);
	desk->a.base.populate = NULL;
	desk->b.base.discard = NULL;
	assert_int_equal(plug(desk, section.id, 0, 0x2fff), 0);
	expect(&desk->journal, "b:plug:0-2fff");
	vfio_memory_discard(desk->memory, section.id, 0x1000, 0x1fff);
	expect(&desk->journal, "a:unplug:1000-1fff");
	desk->b.refuse_in = 2;
	assert_false(vfio_memory_populate_replay(desk->memory, &section, &desk->b.base, NULL));
	expect(&desk->journal, "b:plug:0-fff b:plug:2000-2fff");
	section.id = add(desk, VFIO_MEMORY_IOMMU, 0x10000, 0x1ffff);
	section.last = 0x1ffff;
	assert_int_equal(vfio_memory_iommu_update(desk->memory, section.id, &entry), 0);
	forget(&desk->journal);
	desk->a.base.iommu_notify = NULL;
	vfio_memory_iommu_replay(desk->memory, &section, &desk->a.base);
	expect(&desk->journal, "");
	vfio_memory_iommu_replay(desk->memory, &section, &desk->b.base);
	expect(&desk->journal, "b:map3>0:10000-10fff");
}

/* ---- vIOMMU ---- */

static int update(struct desk *desk, uint32_t id, uint64_t iova, uint64_t last, uint64_t target,
		  int prot)
{
	struct vfio_iommu_entry entry = { iova, last, target, prot, desk->memory };

	return vfio_memory_iommu_update(desk->memory, id, &entry);
}

static void pages_of_a_viommu(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_region two = spec(VFIO_MEMORY_IOMMU, 0, 0xffffff);
	struct vfio_memory_region bytes = spec(VFIO_MEMORY_IOMMU, 0x1000000, 0x1ffffff);
	uint32_t id;

	two.iommu_pgsizes = 0x201000;
	bytes.iommu_pgsizes = 1;
	assert_true(vfio_memory_add(desk->memory, &two, &id, NULL));
	/* Each of these is off by something in one place only. */
	assert_int_equal(update(desk, id, 0x800, 0x1fff, 0, 3), -EINVAL);
	assert_int_equal(update(desk, id, 1, 0xfff, 0, 3), -EINVAL);
	assert_int_equal(update(desk, id, 0, 0xffe, 0, 3), -EINVAL);
	assert_int_equal(update(desk, id, 0, 0xfff, 1, 3), -EINVAL);
	/* The smallest of its page sizes is what counts. */
	assert_int_equal(update(desk, id, 0x3000, 0x3fff, 0x5000, 3), 0);
	assert_int_equal(update(desk, id, 0x200000, 0x3fffff, 0x200000, 3), 0);
	/* One address is a page as well. */
	assert_true(vfio_memory_add(desk->memory, &bytes, &id, NULL));
	assert_int_equal(update(desk, id, 0x1000005, 0x1000005, 7, 3), 0);
	assert_int_equal(update(desk, id, 0x1000005, 0x1000005, 8, 3), -EEXIST);
	assert_int_equal(update(desk, id, 0x1000004, 0x1000005, 8, 3), -EEXIST);
	assert_int_equal(update(desk, id, 0x1000005, 0x1000006, 8, 3), -EEXIST);
	assert_int_equal(update(desk, id, 0x1000006, 0x1000007, 7, 3), 0);
	assert_int_equal(update(desk, id, 0x1000004, 0x1000006, 0, 0), -EINVAL);
	assert_int_equal(update(desk, id, 0x1000007, 0x1000008, 0, 0), -EINVAL);
	assert_int_equal(update(desk, id, 0x1000005, 0x1000005, 0, 0), 0);
	assert_int_equal(update(desk, id, 0x1000005, 0x1000005, 8, 3), 0);
}

/* The mappings behind those that go stay what they are. */
static void mappings_in_the_middle(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_section section = { .last = 0xffff };
	uint32_t id = add(desk, VFIO_MEMORY_IOMMU, 0, 0xffff);

	section.id = id;
	for (uint64_t at = 0; at < 8; at++)
		assert_int_equal(update(desk, id, at << 12, (at << 12) + 0xfff, at << 20, 3), 0);
	assert_int_equal(update(desk, id, 0x1000, 0x2fff, 0, 0), 0);
	assert_int_equal(update(desk, id, 0, 0xfff, 0, 0), 0);
	assert_int_equal(update(desk, id, 0x5000, 0x5fff, 0, 0), 0);
	vfio_memory_iommu_replay(desk->memory, &section, &desk->a.base);
	expect(&desk->journal, "a:map3>300000:3000-3fff a:map3>400000:4000-4fff "
			       "a:map3>600000:6000-6fff a:map3>700000:7000-7fff");
	section.start = 0x4000;
	section.last = 0x6fff;
	vfio_memory_iommu_replay(desk->memory, &section, &desk->a.base);
	expect(&desk->journal, "a:map3>400000:4000-4fff a:map3>600000:6000-6fff");
}

/* ---- plugging ---- */

static void pieces_of_one_byte(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_region bytes = spec(VFIO_MEMORY_DISCARDABLE, 0xfff, 0x2000);
	struct vfio_memory_section section;
	uint32_t id;

	bytes.granularity = 1;
	assert_true(vfio_memory_add(desk->memory, &bytes, &id, NULL));
	assert_int_equal(plug(desk, id, 0xffe, 0xfff), -EINVAL);
	assert_int_equal(plug(desk, id, 0x2000, 0x2001), -EINVAL);
	assert_int_equal(plug(desk, id, 0x1235, 0x1234), -EINVAL);
	assert_int_equal(plug(desk, id, 0x1234, 0x1234), 0);
	assert_true(vfio_memory_find(desk->memory, 0x1234, &section));
	assert_int_equal(section.last, 0x1234);
	assert_false(vfio_memory_find(desk->memory, 0x1233, &section));
	assert_false(vfio_memory_find(desk->memory, 0x1235, &section));
	id = add(desk, VFIO_MEMORY_DISCARDABLE, 0x10000, 0x1ffff);
	assert_int_equal(plug(desk, id, 0x10800, 0x11fff), -EINVAL);
	assert_int_equal(plug(desk, id, 0x10001, 0x11fff), -EINVAL);
	assert_int_equal(plug(desk, id, 0x10000, 0x11ffe), -EINVAL);
}

/* A replay that is refused in the middle ends there, and what it told is taken back. */
static void replay_refused_in_the_middle(void **state)
{
	struct desk *desk = *state;
	struct vfio_error error = { 0 };
	struct vfio_memory_section section = { .last = 0xffff };

	section.id = add(desk, VFIO_MEMORY_DISCARDABLE, 0, 0xffff);
	for (uint64_t at = 0x1000; at < 0x10000; at += 0x4000)
		assert_int_equal(plug(desk, section.id, at, at + 0x1fff), 0);
	assert_true(vfio_memory_listen(desk->memory, &desk->a.base, NULL));
	forget(&desk->journal);
	desk->a.refuse_in = 3;
	assert_false(vfio_memory_populate_replay(desk->memory, &section, &desk->a.base, &error));
	assert_int_equal(error.code, -ENOSPC);
	expect(&desk->journal, "a:plug:1000-2fff a:plug:5000-6fff a:plug:9000-afff "
			       "a:unplug:5000-6fff a:unplug:1000-2fff");
	section.start = 0x2000;
	section.last = 0xdfff;
	desk->a.refuse_in = 1;
	assert_false(vfio_memory_populate_replay(desk->memory, &section, &desk->a.base, &error));
	expect(&desk->journal, "a:plug:2000-2fff");
	assert_true(vfio_memory_populate_replay(desk->memory, &section, &desk->a.base, &error));
	expect(&desk->journal,
	       "a:plug:2000-2fff a:plug:5000-6fff a:plug:9000-afff a:plug:d000-dfff");
}

#define DESK_STORY(name) cmocka_unit_test_setup_teardown(name, desk_open, desk_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DESK_STORY(fields_of_each_kind), DESK_STORY(other_tables_other_places),
		DESK_STORY(names_are_copied),	 DESK_STORY(pieces_that_make_no_sense),
		DESK_STORY(many_regions),	 DESK_STORY(one_refusal),
		DESK_STORY(large_ram),		 DESK_STORY(transactions_of_listeners),
		DESK_STORY(deleting_twice),	 DESK_STORY(half_deaf),
		DESK_STORY(pages_of_a_viommu),	 DESK_STORY(mappings_in_the_middle),
		DESK_STORY(pieces_of_one_byte),	 DESK_STORY(replay_refused_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
