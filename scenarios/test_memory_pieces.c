/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens inside of regions of guest memory: mappings of a vIOMMU, plugged pieces, dirty
 * pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "memory_scribe.h"

/* ---- vIOMMU ---- */

static int update(struct desk *desk, uint32_t id, uint64_t iova, uint64_t last, uint64_t target,
		  int prot)
{
	struct vfio_iommu_entry entry = { iova, last, target, prot, desk->memory };

	return vfio_memory_iommu_update(desk->memory, id, &entry);
}

static void test_iommu_refusals(void **state)
{
	struct desk *desk = *state;
	uint32_t id = add(desk, VFIO_MEMORY_IOMMU, 0x10000, 0x1ffff);
	uint32_t ram = add(desk, VFIO_MEMORY_RAM, 0, 0xffff);
	struct vfio_iommu_entry nowhere = { 0x10000, 0x10fff, 0, 3, NULL };

	listen_both(desk);
	assert_int_equal(update(desk, ram, 0x1000, 0x1fff, 0, 3), -ENOENT);
	assert_int_equal(update(desk, 99, 0x10000, 0x10fff, 0, 3), -ENOENT);
	assert_int_equal(update(desk, id, 0xf000, 0x10fff, 0, 3), -EINVAL);
	assert_int_equal(update(desk, id, 0x1f000, 0x20fff, 0, 3), -EINVAL);
	assert_int_equal(update(desk, id, 0x12000, 0x11fff, 0, 3), -EINVAL);
	assert_int_equal(update(desk, id, 0x10800, 0x117ff, 0, 3), -EINVAL);
	assert_int_equal(update(desk, id, 0x10000, 0x107ff, 0, 0), -EINVAL);
	assert_int_equal(update(desk, id, 0x10000, 0x10fff, 0x800, 3), -EINVAL);
	assert_int_equal(update(desk, id, 0x10000, 0x10fff, 0, 4), -EINVAL);
	assert_int_equal(update(desk, id, 0x10000, 0x11fff, UINT64_MAX - 0xfff, 3), -EINVAL);
	assert_int_equal(vfio_memory_iommu_update(desk->memory, id, &nowhere), -EINVAL);
	expect(&desk->journal, "");
	assert_int_equal(update(desk, id, 0x12000, 0x13fff, 0x4000, 3), 0);
	assert_int_equal(update(desk, id, 0x10000, 0x10fff, UINT64_MAX - 0xfff, 1), 0);
	expect(&desk->journal, "a:map3>4000:12000-13fff b:map3>4000:12000-13fff "
			       "a:map1>fffffffffffff000:10000-10fff "
			       "b:map1>fffffffffffff000:10000-10fff");
	assert_int_equal(update(desk, id, 0x13000, 0x13fff, 0, 3), -EEXIST);
	assert_int_equal(update(desk, id, 0x11000, 0x14fff, 0, 3), -EEXIST);
	assert_int_equal(update(desk, id, 0x13000, 0x13fff, 0, 0), -EINVAL);
	assert_int_equal(update(desk, id, 0x10000, 0x12fff, 0, 0), -EINVAL);
	assert_int_equal(update(desk, id, 0x11000, 0x11fff, 0, 0), 0);
	expect(&desk->journal, "");
	assert_int_equal(update(desk, id, 0x10000, 0x1ffff, 0x777, 0), 0);
	expect(&desk->journal, "b:unmap0>fffffffffffff000:10000-10fff "
			       "a:unmap0>fffffffffffff000:10000-10fff "
			       "b:unmap0>4000:12000-13fff a:unmap0>4000:12000-13fff");
}

/* The first and the last page of all, and all of it at once. */
static void test_iommu_whole_space(void **state)
{
	struct desk *desk = *state;
	uint32_t id = add(desk, VFIO_MEMORY_IOMMU, 0, UINT64_MAX);

	assert_true(vfio_memory_listen(desk->memory, &desk->a.base, NULL));
	forget(&desk->journal);
	assert_int_equal(update(desk, id, 0, UINT64_MAX, 0, 3), 0);
	expect(&desk->journal, "a:map3>0:0-ffffffffffffffff");
	assert_int_equal(update(desk, id, UINT64_MAX - 0xfff, UINT64_MAX, 0, 3), -EEXIST);
	assert_int_equal(update(desk, id, UINT64_MAX - 0xfff, UINT64_MAX, 0, 0), -EINVAL);
	assert_int_equal(update(desk, id, 0, UINT64_MAX, 0, 0), 0);
	assert_int_equal(update(desk, id, UINT64_MAX - 0xfff, UINT64_MAX, 0, 3), 0);
	assert_int_equal(update(desk, id, 0, 0xfff, 0, 3), 0);
	forget(&desk->journal);
	assert_int_equal(update(desk, id, 0, UINT64_MAX, 0, 0), 0);
	expect(&desk->journal, "a:unmap0>0:0-fff a:unmap0>0:fffffffffffff000-ffffffffffffffff");
}

/* A region that nobody knows of yet is filled in silence; one that goes takes no more. */
static void test_iommu_transaction(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_section section = { 0 };
	uint32_t id;

	listen_both(desk);
	vfio_memory_begin(desk->memory);
	id = add(desk, VFIO_MEMORY_IOMMU, 0, 0xffff);
	assert_int_equal(update(desk, id, 0x1000, 0x1fff, 0, 3), 0);
	assert_int_equal(update(desk, id, 0x3000, 0x4fff, 0, 3), 0);
	assert_int_equal(update(desk, id, 0x8000, 0x8fff, 0, 3), 0);
	assert_int_equal(update(desk, id, 0x1000, 0x1fff, 0, 0), 0);
	expect(&desk->journal, "");
	vfio_memory_commit(desk->memory);
	forget(&desk->journal);
	section.id = id;
	section.last = 0xffff;
	vfio_memory_iommu_replay(desk->memory, &section, &desk->b.base);
	expect(&desk->journal, "b:map3>0:3000-4fff b:map3>0:8000-8fff");
	section.start = 0x4000;
	section.last = 0x8fff;
	vfio_memory_iommu_replay(desk->memory, &section, &desk->b.base);
	expect(&desk->journal, "b:map3>0:8000-8fff");
	section.last = 0x8ffe;
	vfio_memory_iommu_replay(desk->memory, &section, &desk->b.base);
	section.id = 99;
	vfio_memory_iommu_replay(desk->memory, &section, &desk->b.base);
	vfio_memory_begin(desk->memory);
	vfio_memory_del(desk->memory, id);
	assert_int_equal(update(desk, id, 0x3000, 0x4fff, 0, 0), -ENOENT);
	expect(&desk->journal, "");
	assert_int_equal(add(desk, VFIO_MEMORY_IOMMU, 0, 0xffff), id);
	assert_int_equal(update(desk, id, 0x3000, 0x4fff, 0, 3),
			 -EEXIST); /* it kept its mappings */
	vfio_memory_commit(desk->memory);
}

/* ---- plugging ---- */

static int plug(struct desk *desk, uint32_t id, uint64_t start, uint64_t last)
{
	struct vfio_error error = { 0 };
	bool done = vfio_memory_populate(desk->memory, id, start, last, &error);

	assert_int_equal(done, error.code == 0);
	return error.code;
}

static void test_plug(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_section section;
	uint32_t ram = add(desk, VFIO_MEMORY_RAM, 0x10000, 0x1ffff);
	uint32_t id = add(desk, VFIO_MEMORY_DISCARDABLE, 0, 0xffff);

	listen_both(desk);
	assert_int_equal(plug(desk, ram, 0x10000, 0x10fff), -ENOENT);
	assert_int_equal(plug(desk, id, 0x800, 0x17ff), -EINVAL);
	assert_int_equal(plug(desk, id, 0, 0x17ff), -EINVAL);
	assert_int_equal(plug(desk, id, 0x1000, 0xfff), -EINVAL);
	assert_int_equal(plug(desk, id, 0xf000, 0x10fff), -EINVAL);
	expect(&desk->journal, "");
	assert_int_equal(plug(desk, id, 0x2000, 0x3fff), 0);
	assert_int_equal(plug(desk, id, 0x6000, 0x6fff), 0);
	forget(&desk->journal);
	assert_int_equal(plug(desk, id, 0, 0xffff), 0);
	expect(&desk->journal, "a:plug:0-1fff b:plug:0-1fff a:plug:4000-5fff b:plug:4000-5fff "
			       "a:plug:7000-ffff b:plug:7000-ffff");
	assert_int_equal(plug(desk, id, 0x1000, 0x8fff), 0); /* is plugged */
	vfio_memory_discard(desk->memory, id, 0x800, 0x17ff);
	vfio_memory_discard(desk->memory, ram, 0x10000, 0x10fff);
	expect(&desk->journal, "");
	vfio_memory_discard(desk->memory, id, 0x3000, 0x3fff);
	vfio_memory_discard(desk->memory, id, 0x5000, 0x5fff);
	expect(&desk->journal,
	       "b:unplug:3000-3fff a:unplug:3000-3fff b:unplug:5000-5fff a:unplug:5000-5fff");
	assert_true(vfio_memory_find(desk->memory, 0x1234, &section));
	assert_int_equal(section.last, 0x2fff);
	assert_false(vfio_memory_find(desk->memory, 0x3fff, &section));
	vfio_memory_discard(desk->memory, id, 0x2000, 0x7fff);
	expect(&desk->journal, "b:unplug:6000-7fff a:unplug:6000-7fff b:unplug:4000-4fff "
			       "a:unplug:4000-4fff b:unplug:2000-2fff a:unplug:2000-2fff");
}

/* A refusal at any question takes back all that was agreed to, newest first, and nothing more. */
static void test_plug_refused(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_section section;
	uint32_t id = add(desk, VFIO_MEMORY_DISCARDABLE, 0, 0xffff);

	listen_both(desk);
	assert_int_equal(plug(desk, id, 0x4000, 0x4fff), 0);
	forget(&desk->journal);
	desk->a.refuse_in = 1;
	assert_int_equal(plug(desk, id, 0, 0xffff), -ENOSPC);
	expect(&desk->journal, "a:plug:0-3fff");
	desk->b.refuse_in = 1;
	assert_int_equal(plug(desk, id, 0, 0xffff), -ENOSPC);
	expect(&desk->journal, "a:plug:0-3fff b:plug:0-3fff a:unplug:0-3fff");
	desk->a.refuse_in = 2;
	assert_int_equal(plug(desk, id, 0, 0xffff), -ENOSPC);
	expect(&desk->journal, "a:plug:0-3fff b:plug:0-3fff a:plug:5000-ffff b:unplug:0-3fff "
			       "a:unplug:0-3fff");
	desk->b.refuse_in = 2;
	desk->a.base.populate = NULL; /* who was not asked is not told */
	assert_int_equal(plug(desk, id, 0, 0xffff), -ENOSPC);
	expect(&desk->journal, "b:plug:0-3fff b:plug:5000-ffff b:unplug:0-3fff");
	assert_false(vfio_memory_find(desk->memory, 0x3fff, &section));
	assert_true(vfio_memory_find(desk->memory, 0x4000, &section));
	assert_int_equal(section.last, 0x4fff);
	assert_int_equal(plug(desk, id, 0, 0xffff), 0);
	expect(&desk->journal, "b:plug:0-3fff b:plug:5000-ffff");
}

static void test_plug_replay(void **state)
{
	struct desk *desk = *state;
	struct vfio_error error = { 0 };
	struct vfio_memory_section section = { .last = 0xffff };

	vfio_memory_begin(desk->memory);
	section.id = add(desk, VFIO_MEMORY_DISCARDABLE, 0, 0xffff);
	listen_both(desk);
	assert_int_equal(plug(desk, section.id, 0, 0x8fff), 0);
	vfio_memory_discard(desk->memory, section.id, 0x1000, 0x1fff);
	assert_int_equal(plug(desk, section.id, 0xf000, 0xffff), 0);
	expect(&desk->journal, ""); /* nobody knows of it yet */
	vfio_memory_commit(desk->memory);
	forget(&desk->journal);
	assert_true(vfio_memory_populate_replay(desk->memory, &section, &desk->a.base, &error));
	expect(&desk->journal, "a:plug:0-fff a:plug:2000-8fff a:plug:f000-ffff");
	desk->a.refuse_in = 3;
	assert_false(vfio_memory_populate_replay(desk->memory, &section, &desk->a.base, &error));
	assert_int_equal(error.code, -ENOSPC);
	expect(&desk->journal, "a:plug:0-fff a:plug:2000-8fff a:plug:f000-ffff "
			       "a:unplug:2000-8fff a:unplug:0-fff");
	section.start = 0x2800;
	section.last = 0xf7ff;
	assert_true(vfio_memory_populate_replay(desk->memory, &section, &desk->a.base, &error));
	expect(&desk->journal, "a:plug:2800-8fff a:plug:f000-f7ff");
	desk->a.refuse_in = 2;
	assert_false(vfio_memory_populate_replay(desk->memory, &section, &desk->a.base, &error));
	expect(&desk->journal, "a:plug:2800-8fff a:plug:f000-f7ff a:unplug:2800-8fff");
	section.id = 99;
	assert_true(vfio_memory_populate_replay(desk->memory, &section, &desk->a.base, &error));
	expect(&desk->journal, "");
}

static void test_plug_whole_space(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_region region = spec(VFIO_MEMORY_DISCARDABLE, 0, UINT64_MAX);
	uint32_t id;

	region.granularity = (uint64_t)1 << 56;
	assert_true(vfio_memory_add(desk->memory, &region, &id, NULL));
	assert_true(vfio_memory_listen(desk->memory, &desk->a.base, NULL));
	forget(&desk->journal);
	assert_int_equal(plug(desk, id, 0, UINT64_MAX), 0);
	expect(&desk->journal, "a:plug:0-ffffffffffffffff");
	vfio_memory_discard(desk->memory, id, 0, ((uint64_t)1 << 56) - 1);
	vfio_memory_discard(desk->memory, id, 0, UINT64_MAX);
	expect(&desk->journal,
	       "a:unplug:0-ffffffffffffff a:unplug:100000000000000-ffffffffffffffff");
	desk->a.refuse_in = 1;
	assert_int_equal(plug(desk, id, 0, UINT64_MAX), -ENOSPC);
}

/* ---- dirty pages ---- */

static void test_log(void **state)
{
	struct desk *desk = *state;
	struct vfio_error error = { 0 };

	add(desk, VFIO_MEMORY_RAM, 0, 0xffff);
	add(desk, VFIO_MEMORY_ROM, 0x10000, 0x1ffff);
	add(desk, VFIO_MEMORY_IOMMU, 0x20000, 0x2ffff);
	listen_both(desk);
	assert_true(vfio_memory_log_sync(desk->memory, &error));
	vfio_memory_log_stop(desk->memory);
	vfio_memory_set_dirty(desk->memory, 0, UINT64_MAX);
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 0);
	expect(&desk->journal, "");
	desk->b.refuse_in = 1;
	assert_false(vfio_memory_log_start(desk->memory, &error));
	assert_int_equal(error.code, -ENOSPC);
	expect(&desk->journal, "a:start b:start a:stop");
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	expect(&desk->journal, "a:start b:start");
	assert_true(vfio_memory_log_sync(desk->memory, NULL));
	expect(&desk->journal, "a:sync:0-ffff a:sync:20000-2ffff b:sync:0-ffff b:sync:20000-2ffff");
	desk->a.refuse_in = 2;
	assert_false(vfio_memory_log_sync(desk->memory, NULL));
	expect(&desk->journal, "a:sync:0-ffff a:sync:20000-2ffff");
	vfio_memory_set_dirty(desk->memory, 0xfff, 0x1000);
	vfio_memory_set_dirty(desk->memory, 0xf000, UINT64_MAX);
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 3);
	assert_true(vfio_memory_test_dirty(desk->memory, 0x1fff, true));
	assert_false(vfio_memory_test_dirty(desk->memory, 0x1000, true));
	assert_false(vfio_memory_test_dirty(desk->memory, 0x10000, true));
	vfio_memory_log_stop(desk->memory);
	vfio_memory_log_stop(desk->memory);
	expect(&desk->journal, "b:stop a:stop");
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 2);
	desk->a.refuse_in = 1; /* a start that fails forgets nothing */
	assert_false(vfio_memory_log_start(desk->memory, NULL));
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 2);
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 0);
}

static void test_log_late_listener(void **state)
{
	struct desk *desk = *state;
	struct vfio_error error = { 0 };

	add(desk, VFIO_MEMORY_RAM, 0, 0xffff);
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	desk->a.refuse_in = 1;
	assert_false(vfio_memory_listen(desk->memory, &desk->a.base, &error));
	assert_int_equal(error.code, -ENOSPC);
	expect(&desk->journal,
	       "a:begin a:add:0-ffff a:commit a:start a:begin a:del:0-ffff a:commit");
	assert_true(vfio_memory_log_sync(desk->memory, NULL));
	expect(&desk->journal, "");
	assert_true(vfio_memory_listen(desk->memory, &desk->a.base, &error));
	expect(&desk->journal, "a:begin a:add:0-ffff a:commit a:start");
	vfio_memory_unlisten(desk->memory, &desk->a.base);
	expect(&desk->journal, "a:begin a:del:0-ffff a:commit a:stop");
}

/* RAM that comes, moves or is plugged while logging is on has to be copied: it is dirty. */
static void test_log_changes(void **state)
{
	struct desk *desk = *state;
	uint32_t ram = add(desk, VFIO_MEMORY_RAM, 0, 0x3fff);
	uint32_t pieces;

	assert_true(vfio_memory_log_start(desk->memory, NULL));
	vfio_memory_set_dirty(desk->memory, 0x1000, 0x1000);
	vfio_memory_begin(desk->memory);
	vfio_memory_del(desk->memory, ram);
	assert_int_equal(add(desk, VFIO_MEMORY_RAM, 0, 0x3fff), ram);
	vfio_memory_commit(desk->memory);
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 1);
	vfio_memory_begin(desk->memory);
	vfio_memory_del(desk->memory, ram);
	add(desk, VFIO_MEMORY_RAM, 0, 0x2fff);
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 1);
	vfio_memory_commit(desk->memory);
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 3);
	pieces = add(desk, VFIO_MEMORY_DISCARDABLE, 0x10000, 0x1ffff);
	vfio_memory_set_dirty(desk->memory, 0x10000, 0x1ffff); /* nothing is plugged */
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 3);
	assert_int_equal(plug(desk, pieces, 0x12000, 0x15fff), 0);
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 7);
	assert_true(vfio_memory_test_dirty(desk->memory, 0x13000, true));
	assert_int_equal(plug(desk, pieces, 0x11000, 0x15fff), 0);
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 7);
	assert_false(vfio_memory_test_dirty(desk->memory, 0x13000, false));
	vfio_memory_discard(desk->memory, pieces, 0x14000, 0x1ffff);
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 5);
	vfio_memory_set_dirty(desk->memory, 0x13fff, 0x14000);
	assert_true(vfio_memory_test_dirty(desk->memory, 0x13000, false));
	assert_false(vfio_memory_test_dirty(desk->memory, 0x14000, false));
}

/* A page that regions share is one page. */
static void test_log_shared_pages(void **state)
{
	struct desk *desk = *state;

	add(desk, VFIO_MEMORY_RAM, 0x800, 0x17ff);
	add(desk, VFIO_MEMORY_RAM, 0x1800, 0x1803);
	add(desk, VFIO_MEMORY_RAM, 0x1900, 0x3fff);
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	vfio_memory_set_dirty(desk->memory, 0x1801, 0x1801);
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 1);
	assert_true(vfio_memory_test_dirty(desk->memory, 0x1000, true));
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 0);
	vfio_memory_set_dirty(desk->memory, 0, UINT64_MAX);
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 4);
}

/* Pieces that are smaller than a page: it is forgotten only with a piece that has all of it. */
static void test_log_small_pieces(void **state)
{
	struct desk *desk = *state;
	struct vfio_memory_region small = spec(VFIO_MEMORY_DISCARDABLE, 0, 0x1fff);
	uint32_t id;

	small.granularity = 0x400;
	assert_true(vfio_memory_add(desk->memory, &small, &id, NULL));
	assert_true(vfio_memory_log_start(desk->memory, NULL));
	assert_int_equal(plug(desk, id, 0, 0x13ff), 0);
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 2);
	vfio_memory_discard(desk->memory, id, 0, 0x3ff);
	vfio_memory_discard(desk->memory, id, 0x800, 0xbff);
	assert_int_equal(vfio_memory_dirty_pages(desk->memory), 2);
	assert_true(vfio_memory_test_dirty(desk->memory, 0, true));
	vfio_memory_set_dirty(desk->memory, 0x800, 0x801); /* 0x400 of the same page is there */
	assert_true(vfio_memory_test_dirty(desk->memory, 0, false));
	assert_int_equal(plug(desk, id, 0, 0xfff), 0);
	vfio_memory_discard(desk->memory, id, 0, 0x13ff);
	assert_false(vfio_memory_test_dirty(desk->memory, 0, false));
	assert_true(vfio_memory_test_dirty(desk->memory, 0x1000, false));
	assert_int_equal(plug(desk, id, 0, 0x1fff), 0);
	vfio_memory_discard(desk->memory, id, 0xc00, 0x1fff);
	assert_true(vfio_memory_test_dirty(desk->memory, 0, false));
	assert_false(vfio_memory_test_dirty(desk->memory, 0x1000, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_iommu_refusals, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_iommu_whole_space, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_iommu_transaction, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_plug, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_plug_refused, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_plug_replay, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_plug_whole_space, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_log, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_log_late_listener, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_log_changes, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_log_shared_pages, desk_open, desk_close),
		cmocka_unit_test_setup_teardown(test_log_small_pieces, desk_open, desk_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
