/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory: what listeners hear and in which order, what is refused and how it is taken back,
 * and lack of memory at every point.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "memory_scribe.h"

static int add_code(struct desk *desk, const struct vfio_memory_region *region)
{
	struct vfio_error error = { 0 };
	uint32_t id = 77;

	if (vfio_memory_add(desk->memory, region, &id, &error))
		return 0;
	assert_int_equal(id, 77);
	assert_true(error.code < 0 && error.message[0]);
	return error.code;
}

/* ---- transactions ---- */

static void test_order(void **state)
{
	struct desk *desk = *state;
	uint32_t low, high;

	listen_both(desk);
	vfio_memory_begin(desk->memory);
	high = add(desk, VFIO_MEMORY_RAM, 0x8000, 0x8fff);
	vfio_memory_begin(desk->memory);
	low = add(desk, VFIO_MEMORY_ROM, 0x1000, 0x1fff);
	vfio_memory_commit(desk->memory);
	expect(&desk->journal, "");
	vfio_memory_commit(desk->memory);
	expect(&desk->journal, "a:begin b:begin a:add:1000-1fff b:add:1000-1fff "
			       "a:add:8000-8fff b:add:8000-8fff a:commit b:commit");
	vfio_memory_begin(desk->memory);
	vfio_memory_del(desk->memory, low);
	vfio_memory_del(desk->memory, high);
	add(desk, VFIO_MEMORY_RAM, 0x1800, 0x87ff);
	vfio_memory_commit(desk->memory);
	expect(&desk->journal, "a:begin b:begin b:del:8000-8fff a:del:8000-8fff b:del:1000-1fff "
			       "a:del:1000-1fff a:add:1800-87ff b:add:1800-87ff a:commit b:commit");
	vfio_memory_commit(desk->memory); /* of nothing */
	vfio_memory_del(desk->memory, low);
	vfio_memory_del(desk->memory, 12345);
	expect(&desk->journal, "");
}

static void test_unchanged_is_silent(void **state)
{
	struct desk *desk = *state;
	uint32_t id = add(desk, VFIO_MEMORY_RAM, 0, 0xffff);

	assert_true(vfio_memory_listen(desk->memory, &desk->a.base, NULL));
	forget(&desk->journal);
	vfio_memory_begin(desk->memory);
	vfio_memory_del(desk->memory, id);
	assert_int_equal(add(desk, VFIO_MEMORY_RAM, 0, 0xffff), id);
	vfio_memory_del(desk->memory, add(desk, VFIO_MEMORY_MMIO, 0x10000, 0x1ffff));
	vfio_memory_commit(desk->memory);
	expect(&desk->journal, "");
}

/* Every field of its kind makes a region another one. */
static void test_changed_is_new(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_region old = spec(VFIO_MEMORY_DISCARDABLE, 0, 0xffff);
	struct vfio_memory_region changed[] = { old, old, old, old, old, old };
	struct vfio_memory_region iommu = spec(VFIO_MEMORY_IOMMU, 0, 0xffff);
	struct vfio_memory_region other = iommu;

	changed[0].name = "other";
	changed[1].kind = VFIO_MEMORY_RAM;
	changed[2].vaddr = 0x1000;
	changed[3].fd = 0;
	changed[4].granularity = 0x2000;
	changed[5].last = 0xefff;
	assert_false(is_new(desk, &old, &old));
	for (size_t i = 0; i < COUNT_OF(changed); i++)
		assert_true(is_new(desk, &old, &changed[i]));
	old.fd = 0;
	old.fd_offset = 0x1000;
	assert_true(is_new(desk, &old, &changed[3]));
	other.iommu_pgsizes = 0x11000;
	assert_true(is_new(desk, &iommu, &other));
	assert_false(is_new(desk, &iommu, &iommu));
}

/* What its kind does not have makes none. */
static void test_idle_fields(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_region region = spec(VFIO_MEMORY_RAM, 0, 0xffff);
	uint32_t id, again;

	listen_both(desk);
	assert_true(vfio_memory_add(desk->memory, &region, &id, NULL));
	expect(&desk->journal, "a:begin b:begin a:add:0-ffff b:add:0-ffff a:commit b:commit");
	vfio_memory_begin(desk->memory);
	vfio_memory_del(desk->memory, id);
	region.granularity = 7;
	region.iommu_pgsizes = 0;
	region.fd_offset = 0x1000;
	assert_true(vfio_memory_add(desk->memory, &region, &again, NULL));
	assert_int_equal(again, id);
	vfio_memory_commit(desk->memory);
	expect(&desk->journal, "");
}

static void test_bad_regions(void **state)
{
	struct desk *desk = *state;
	const uint64_t end = UINT64_MAX;
	struct vfio_memory_region bad[] = {
		spec(VFIO_MEMORY_RAM, 0x1000, 0xfff),
		spec((enum vfio_memory_kind)6, 0, 0xfff),
		spec(VFIO_MEMORY_RAM, 0, end),	 /* the process addresses wrap */
		spec(VFIO_MEMORY_RAM, 0, 0xfff), /* the file's offsets wrap */
		spec(VFIO_MEMORY_DISCARDABLE, 0, 0xfff),
		spec(VFIO_MEMORY_DISCARDABLE, 0, 0x2fff),
		spec(VFIO_MEMORY_DISCARDABLE, 0x800, 0x17ff),
		spec(VFIO_MEMORY_DISCARDABLE, 0, 0x17ff),
		spec(VFIO_MEMORY_IOMMU, 0, end),
	};

	bad[2].vaddr = 1;
	bad[3].fd = 5;
	bad[3].fd_offset = end - 0xffe;
	bad[4].granularity = 0;
	bad[5].granularity = 0x1800;
	bad[8].iommu_pgsizes = 0;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(add_code(desk, &bad[i]), -EINVAL);
	bad[3].fd_offset = end - 0xfff;
	bad[3].name = NULL;
	assert_int_equal(add_code(desk, &bad[3]), 0);
}

static void test_overlap(void **state)
{
	struct desk *desk = *state;
	const struct vfio_memory_region first = spec(VFIO_MEMORY_RAM, 0x4000, 0x7fff);
	const uint64_t at[][2] = { { 0x4000, 0x7fff }, { 0, 0x4000 },	  { 0x7fff, 0x7fff },
				   { 0x5000, 0x5fff }, { 0, UINT64_MAX }, { 0x7fff, UINT64_MAX } };
	uint32_t id, other;

	assert_true(vfio_memory_add(desk->memory, &first, &id, NULL));
	for (size_t i = 0; i < COUNT_OF(at); i++) {
		struct vfio_memory_region region = spec(VFIO_MEMORY_MMIO, at[i][0], at[i][1]);

		assert_int_equal(add_code(desk, &region), -EEXIST);
		vfio_memory_begin(desk->memory);
		vfio_memory_del(desk->memory, id);
		assert_true(vfio_memory_add(desk->memory, &region, &other, NULL));
		assert_int_equal(add_code(desk, &first), -EEXIST); /* its place is taken */
		vfio_memory_del(desk->memory, other);
		assert_true(vfio_memory_add(desk->memory, &first, &other, NULL));
		assert_int_equal(other, id);
		vfio_memory_commit(desk->memory);
	}
	add(desk, VFIO_MEMORY_RAM, 0x3fff, 0x3fff);
	add(desk, VFIO_MEMORY_RAM, 0x8000, UINT64_MAX);
}

/* ---- listeners ---- */

static void test_replay(void **state)
{
	struct desk *desk = *state;
	struct vfio_error error = { 0 };
	uint32_t id = add(desk, VFIO_MEMORY_RAM, 0x3000, 0x3fff);

	add(desk, VFIO_MEMORY_MMIO, 0, 0xfff);
	vfio_memory_begin(desk->memory);
	vfio_memory_del(desk->memory, id);
	add(desk, VFIO_MEMORY_RAM, 0x5000, 0x5fff);
	assert_true(vfio_memory_listen(desk->memory, &desk->b.base, NULL));
	expect(&desk->journal, "b:begin b:add:0-fff b:add:3000-3fff b:commit");
	assert_false(vfio_memory_listen(desk->memory, &desk->b.base, &error));
	assert_int_equal(error.code, -EEXIST);
	vfio_memory_unlisten(desk->memory, &desk->a.base); /* which does not listen */
	expect(&desk->journal, "");
	vfio_memory_commit(desk->memory);
	expect(&desk->journal, "b:begin b:del:3000-3fff b:add:5000-5fff b:commit");
	vfio_memory_unlisten(desk->memory, &desk->b.base);
	expect(&desk->journal, "b:begin b:del:5000-5fff b:del:0-fff b:commit");
	add(desk, VFIO_MEMORY_RAM, 0x3000, 0x3fff);
	expect(&desk->journal, "");
}

/* Whatever the order of coming, it is by priority, and among equals by coming. */
static void test_priorities(void **state)
{
	struct desk *desk = *state;
	struct scribe more[3];

	scribe_init(&more[0], &desk->journal, "c", 1);
	scribe_init(&more[1], &desk->journal, "d", -5);
	scribe_init(&more[2], &desk->journal, "e", 0);
	listen_both(desk);
	for (size_t i = 0; i < COUNT_OF(more); i++)
		assert_true(vfio_memory_listen(desk->memory, &more[i].base, NULL));
	vfio_memory_unlisten(desk->memory, &desk->b.base);
	forget(&desk->journal);
	vfio_memory_del(desk->memory, add(desk, VFIO_MEMORY_RAM, 0, 9));
	expect(&desk->journal, "d:begin a:begin e:begin c:begin d:add:0-9 a:add:0-9 e:add:0-9 "
			       "c:add:0-9 d:commit a:commit e:commit c:commit "
			       "d:begin a:begin e:begin c:begin c:del:0-9 e:del:0-9 a:del:0-9 "
			       "d:del:0-9 d:commit a:commit e:commit c:commit");
}

/* Who wants to hear nothing hears nothing, and hinders nothing. */
static void test_deaf(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_listener deaf = { .priority = -1 };
	struct vfio_iommu_entry entry = { 0x10000, 0x10fff, 0, 3, desk->memory };
	struct vfio_memory_section section = { .last = UINT64_MAX };
	struct vfio_error error = { 0 };
	uint32_t id = add(desk, VFIO_MEMORY_DISCARDABLE, 0, 0xffff);

	section.id = id;
	assert_true(vfio_memory_listen(desk->memory, &deaf, NULL));
	assert_false(vfio_memory_listen(desk->memory, &deaf, &error));
	assert_int_equal(error.code, -EEXIST);
	assert_true(vfio_memory_listen(desk->memory, &desk->a.base, NULL));
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	forget(&desk->journal);
	assert_true(vfio_memory_populate(desk->memory, id, 0, 0xffff, NULL));
	desk->a.refuse_in = 2;
	vfio_memory_discard(desk->memory, id, 0x1000, 0x1fff);
	assert_true(vfio_memory_populate_replay(desk->memory, &section, &deaf, NULL));
	section.id = add(desk, VFIO_MEMORY_IOMMU, 0x10000, 0x1ffff);
	assert_int_equal(vfio_memory_iommu_update(desk->memory, section.id, &entry), 0);
	entry.prot = 0;
	assert_int_equal(vfio_memory_iommu_update(desk->memory, section.id, &entry), 0);
	vfio_memory_iommu_replay(desk->memory, &section, &deaf);
	assert_false(vfio_memory_log_sync(desk->memory, NULL)); /* "a" refuses the second */
	vfio_memory_unlisten(desk->memory, &deaf);
	assert_true(vfio_memory_listen(desk->memory, &deaf, NULL));
	vfio_memory_log_stop(desk->memory);
	vfio_memory_del(desk->memory, section.id);
	expect(&desk->journal,
	       "a:plug:0-ffff a:unplug:1000-1fff a:begin a:add:10000-1ffff a:commit "
	       "a:map3>0:10000-10fff a:unmap0>0:10000-10fff a:sync:0-ffff a:sync:10000-1ffff "
	       "a:stop a:begin a:del:10000-1ffff a:commit");
}

/* Tries all that would change the memory; nothing of it may happen. */
static void meddle(struct scribe *scribe, const struct vfio_memory_section *section)
{
	struct vfio_memory *memory = scribe->memory;
	struct vfio_memory_region region = spec(VFIO_MEMORY_RAM, 0x100000, 0x1fffff);
	struct vfio_iommu_entry entry = { 0, 0xfff, 0, 3, memory };
	struct vfio_error error[5] = { 0 };
	struct scribe late;
	uint32_t id;

	scribe_init(&late, scribe->journal, "late", 9);
	assert_false(vfio_memory_add(memory, &region, &id, &error[0]));
	assert_false(vfio_memory_listen(memory, &late.base, &error[1]));
	assert_false(vfio_memory_populate(memory, 1, 0, 0xfff, &error[2]));
	assert_false(vfio_memory_log_start(memory, &error[3]));
	assert_false(vfio_memory_log_sync(memory, &error[4]));
	for (size_t i = 0; i < COUNT_OF(error); i++)
		assert_int_equal(error[i].code, -EBUSY);
	assert_int_equal(vfio_memory_iommu_update(memory, 1, &entry), -EBUSY);
	vfio_memory_begin(memory);
	vfio_memory_del(memory, section ? section->id : 1);
	vfio_memory_commit(memory);
	vfio_memory_commit(memory);
	vfio_memory_discard(memory, 1, 0, 0xfff);
	vfio_memory_log_stop(memory);
	vfio_memory_unlisten(memory, &scribe->base);
}

static void test_meddling(void **state)
{
	struct desk *desk = *state;
	struct vfio_iommu_entry entry = { 0x10000, 0x10fff, 0, 3, desk->memory };
	uint32_t ram, iommu;

	listen_both(desk);
	desk->b.meddle = meddle;
	vfio_memory_begin(desk->memory);
	ram = add(desk, VFIO_MEMORY_DISCARDABLE, 0, 0xffff);
	iommu = add(desk, VFIO_MEMORY_IOMMU, 0x10000, 0x1ffff);
	vfio_memory_commit(desk->memory);
	expect(&desk->journal, "a:begin b:begin a:add:0-ffff b:add:0-ffff a:add:10000-1ffff "
			       "b:add:10000-1ffff a:commit b:commit");
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	assert_true(vfio_memory_populate(desk->memory, ram, 0, 0xfff, NULL));
	assert_int_equal(vfio_memory_iommu_update(desk->memory, iommu, &entry), 0);
	assert_true(vfio_memory_log_sync(desk->memory, NULL));
	entry.prot = 0;
	assert_int_equal(vfio_memory_iommu_update(desk->memory, iommu, &entry), 0);
	vfio_memory_discard(desk->memory, ram, 0, 0xfff);
	vfio_memory_log_stop(desk->memory);
	expect(&desk->journal,
	       "a:start b:start a:plug:0-fff b:plug:0-fff a:map3>0:10000-10fff "
	       "b:map3>0:10000-10fff a:sync:0-ffff a:sync:10000-1ffff b:sync:0-ffff "
	       "b:sync:10000-1ffff b:unmap0>0:10000-10fff a:unmap0>0:10000-10fff b:unplug:0-fff "
	       "a:unplug:0-fff b:stop a:stop");
	vfio_memory_unlisten(desk->memory, &desk->b.base);
	expect(&desk->journal, "b:begin b:del:10000-1ffff b:del:0-ffff b:commit");
}

/* ---- the whole space ---- */

static void test_whole_space(void **state)
{
	struct desk *desk = *state;
	const enum vfio_memory_kind kinds[] = { VFIO_MEMORY_RAM, VFIO_MEMORY_ROM, VFIO_MEMORY_MMIO,
						VFIO_MEMORY_IOMMU, VFIO_MEMORY_DISCARDABLE };
	struct vfio_memory_section section;

	assert_true(vfio_memory_listen(desk->memory, &desk->a.base, NULL));
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct vfio_memory_region region = spec(kinds[i], 0, UINT64_MAX);
		struct vfio_error error = { 0 };
		uint32_t id;

		region.granularity = (uint64_t)1 << 63;
		forget(&desk->journal);
		assert_true(vfio_memory_add(desk->memory, &region, &id, NULL));
		expect(&desk->journal, "a:begin a:add:0-ffffffffffffffff a:commit");
		region = spec(VFIO_MEMORY_RAM, UINT64_MAX, UINT64_MAX);
		assert_int_equal(add_code(desk, &region), -EEXIST);
		assert_int_equal(vfio_memory_find(desk->memory, UINT64_MAX, &section), i < 2);
		/* a bit for each of its pages is more than there is; other kinds have none */
		assert_int_equal(vfio_memory_log_start(desk->memory, &error), i > 0 && i < 4);
		assert_int_equal(error.code, i > 0 && i < 4 ? 0 : -ENOMEM);
		vfio_memory_set_dirty(desk->memory, 0, UINT64_MAX);
		assert_int_equal(vfio_memory_dirty_pages(desk->memory), 0);
		vfio_memory_log_stop(desk->memory);
		forget(&desk->journal);
		vfio_memory_del(desk->memory, id);
		expect(&desk->journal, "a:begin a:del:0-ffffffffffffffff a:commit");
	}
}

static void test_find(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_region region = spec(VFIO_MEMORY_RAM, 0xfffffffffffff000, UINT64_MAX);
	struct vfio_memory_section section;
	uint32_t id;

	region.vaddr = 0x7000;
	region.fd = 3;
	region.fd_offset = 0x100;
	assert_true(vfio_memory_add(desk->memory, &region, &id, NULL));
	assert_true(vfio_memory_find(desk->memory, UINT64_MAX - 1, &section));
	assert_int_equal(section.id, id);
	assert_int_equal(section.start, UINT64_MAX - 1);
	assert_int_equal(section.last, UINT64_MAX);
	assert_int_equal(section.vaddr, 0x7ffe);
	assert_int_equal(section.fd_offset, 0x10fe);
	assert_int_equal(section.region->fd, 3);
	assert_false(vfio_memory_find(desk->memory, 0xffffffffffffefff, &section));
	vfio_memory_begin(desk->memory);
	vfio_memory_del(desk->memory, id);
	add(desk, VFIO_MEMORY_RAM, 0, 0xfff);
	assert_true(vfio_memory_find(desk->memory, UINT64_MAX, &section));
	assert_false(vfio_memory_find(desk->memory, 0, &section));
	vfio_memory_commit(desk->memory);
	assert_false(vfio_memory_find(desk->memory, UINT64_MAX, &section));
	assert_true(vfio_memory_find(desk->memory, 0, &section));
}

/* ---- lack of memory ---- */

/* Counts how many allocations were refused before a step worked; after each refusal nothing has
 * changed. */
static unsigned int refusals(struct desk *desk, int (*step)(struct desk *desk))
{
	for (unsigned int number = 1;; number++) {
		size_t out = desk->heap.out;
		int code;

		heap_fail_at(&desk->heap, number);
		code = step(desk);
		heap_fail_at(&desk->heap, 0);
		if (!code)
			return number - 1;
		assert_int_equal(code, -ENOMEM);
		/* An array may have grown first: it is one block before and after. */
		assert_true(desk->heap.out <= out + 1);
		expect(&desk->journal, "");
		assert_int_equal(vfio_memory_dirty_pages(desk->memory), 0);
	}
}

static int step_ram(struct desk *desk)
{
	struct vfio_memory_region region = spec(VFIO_MEMORY_RAM, 0, 0xfff);

	return add_code(desk, &region);
}

static int step_discardable(struct desk *desk)
{
	struct vfio_memory_region region = spec(VFIO_MEMORY_DISCARDABLE, 0x1000, 0xffff);

	return add_code(desk, &region);
}

static int step_iommu(struct desk *desk)
{
	struct vfio_memory_region region = spec(VFIO_MEMORY_IOMMU, 0x10000, 0x1ffff);

	return add_code(desk, &region);
}

static int step_map(struct desk *desk)
{
	struct vfio_iommu_entry entry = { 0x10000, 0x10fff, 0, 3, desk->memory };

	return vfio_memory_iommu_update(desk->memory, 3, &entry);
}

static int step_log(struct desk *desk)
{
	struct vfio_error error = { 0 };

	return vfio_memory_log_start(desk->memory, &error) ? 0 : error.code;
}

static int step_ram_logged(struct desk *desk)
{
	struct vfio_memory_region region = spec(VFIO_MEMORY_RAM, 0x20000, 0x20fff);

	return add_code(desk, &region);
}

static void test_lack_of_memory(void **state)
{
	struct desk *desk = *state;
	const struct vfio_vmm none = { .ctx = &desk->heap, .alloc = heap_alloc, .free = heap_free };

	listen_both(desk);
	assert_int_equal(refusals(desk, step_ram), 2); /* the array and the region */
	forget(&desk->journal);
	assert_int_equal(refusals(desk, step_discardable), 2); /* and its pieces */
	forget(&desk->journal);
	assert_int_equal(refusals(desk, step_iommu), 1);
	forget(&desk->journal);
	assert_int_equal(refusals(desk, step_map), 1);
	forget(&desk->journal);
	assert_int_equal(refusals(desk, step_log), 2); /* two regions have pages */
	expect(&desk->journal, "a:start b:start");
	assert_int_equal(refusals(desk, step_ram_logged), 2);
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 1);
	heap_fail_at(&desk->heap, 1);
	assert_null(vfio_memory_new(&none));
}

/* What cannot fail asks for nothing. */
static void test_no_memory_needed(void **state)
{
	struct desk *desk = *state;
	struct vfio_iommu_entry entry = { 0x10000, 0x1ffff, 0, 0, desk->memory };
	uint32_t id = add(desk, VFIO_MEMORY_DISCARDABLE, 0, 0xffff);

	step_iommu(desk);
	assert_true(vfio_memory_listen(desk->memory, &desk->a.base, NULL));
	desk->a.journal = NULL;
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	vfio_memory_begin(desk->memory);
	for (uint64_t at = 0; at < 100; at++)
		add(desk, VFIO_MEMORY_RAM, 0x100000 + at * 2, 0x100000 + at * 2);
	heap_fail_at(&desk->heap, 1);
	vfio_memory_commit(desk->memory);
	assert_true(vfio_memory_populate(desk->memory, id, 0, 0xffff, NULL));
	for (uint64_t at = 0; at < 0x10000; at += 0x2000)
		vfio_memory_discard(desk->memory, id, at, at + 0xfff);
	assert_int_equal(vfio_memory_iommu_update(desk->memory, id + 1, &entry), 0);
	assert_true(vfio_memory_log_sync(desk->memory, NULL));
	vfio_memory_log_stop(desk->memory);
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	vfio_memory_unlisten(desk->memory, &desk->a.base);
	assert_true(vfio_memory_listen(desk->memory, &desk->a.base, NULL));
	vfio_memory_del(desk->memory, id);
	assert_int_equal(desk->heap.calls, 0);
}

static void test_libc_heap(void **state)
{
	struct vfio_memory *memory = vfio_memory_new(NULL);
	struct vfio_memory_region region = spec(VFIO_MEMORY_RAM, 0, UINT64_MAX);
	uint32_t id;

	(void)state;
	assert_non_null(memory);
	assert_true(vfio_memory_add(memory, &region, &id, NULL));
	vfio_memory_free(memory);
	vfio_memory_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_unchanged_is_silent, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_changed_is_new, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_idle_fields, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_bad_regions, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_overlap, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_replay, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_priorities, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_deaf, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_meddling, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_whole_space, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_find, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_lack_of_memory, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_no_memory_needed, desk_open, desk_close),
		cmocka_unit_test(test_libc_heap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
