/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The type1 container driver: dirty page tracking. What a report writes is compared with an oracle
 * that keeps Linux's bitmap of each mapping as an array of single bits.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "type1_rig.h"

enum {
	START = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	STOP = VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
	GET = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
	BITMAP = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
	WORDS = 8, /* of the reports compared */
};

static long dirty(struct type1 *t, uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap arg = { .argsz = sizeof(arg), .flags = flags };

	return vfake_ioctl(t->rig.task, t->set.container, VFIO_IOMMU_DIRTY_PAGES, (uintptr_t)&arg);
}

/* struct vfio_iommu_type1_dirty_bitmap and what follows it. */
struct get_arg {
	uint32_t argsz, flags;
	struct vfio_iommu_type1_dirty_bitmap_get get;
};

/* GET_BITMAP of a range into @data. */
static long get(struct type1 *t, uint64_t iova, uint64_t size, vfake_addr data, uint64_t bytes)
{
	struct get_arg arg = {
		.argsz = sizeof(arg),
		.flags = GET,
		.get = { .iova = iova,
			 .size = size,
			 .bitmap = { .pgsize = PAGE,
				     .size = bytes,
				     .data = (void *)(uintptr_t)data } },
	};

	return vfake_ioctl(t->rig.task, t->set.container, VFIO_IOMMU_DIRTY_PAGES, (uintptr_t)&arg);
}

/* struct vfio_iommu_type1_dma_unmap and what follows it. */
struct unmap_arg {
	uint32_t argsz, flags;
	uint64_t iova, size;
	struct vfio_bitmap bitmap;
};

static long unmap_with_bitmap(struct type1 *t, uint32_t flags, uint64_t iova, uint64_t size,
			      struct vfio_bitmap bitmap)
{
	struct unmap_arg arg = {
		.argsz = sizeof(arg), .flags = flags, .iova = iova, .size = size, .bitmap = bitmap
	};
	long ret =
		vfake_ioctl(t->rig.task, t->set.container, VFIO_IOMMU_UNMAP_DMA, (uintptr_t)&arg);

	return ret ? ret : (long)arg.size;
}

/* ---- the oracle ---- */

struct oracle {
	uint64_t first, pages;
	bool bits[WORDS * 64 + 128];
};

static bool bit_at(const uint64_t *words, uint64_t bit)
{
	return words[bit / 64] >> bit % 64 & 1;
}

static void put_bit(uint64_t *words, uint64_t bit, bool value)
{
	words[bit / 64] &= ~((uint64_t)1 << bit % 64);
	words[bit / 64] |= (uint64_t)value << bit % 64;
}

/* Reports one mapping into the caller's @words, whose bit 0 is page @base. */
static void oracle_report(struct oracle *o, uint64_t *words, uint64_t base)
{
	uint64_t at = o->first - base, shift = at % 64;
	uint64_t end = (o->pages + shift + 63) / 64 * 64;

	memset(o->bits, true, o->pages);
	if (shift) {
		for (uint64_t i = end; i-- > 0;)
			o->bits[i] = i >= shift && o->bits[i - shift];
		for (uint64_t i = 0; i < 64; i++)
			o->bits[i] |= bit_at(words, at - shift + i);
	}
	for (uint64_t i = 0; i < end; i++)
		put_bit(words, at - shift + i, o->bits[i]);
}

/* ---- what is written ---- */

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Lays mappings out from page 0 on, with gaps of 0 to 2 pages. Returns how many. */
static uint32_t lay_out(struct type1 *t, struct oracle *o, uint32_t room, uint32_t *seed)
{
	uint32_t count = 0, at = next_random(seed) % 3;

	while (count < room) {
		uint32_t pages = 1 + next_random(seed) % (next_random(seed) % 3 ? 7 : 64);

		if (at + pages > WORDS * 64)
			break;
		o[count] = (struct oracle){ .first = at, .pages = pages };
		assert_int_equal(map(t, (uint64_t)at * PAGE, (uint64_t)pages * PAGE), 0);
		at += pages + next_random(seed) % 3;
		count++;
	}
	return count;
}

/* Random reports over whole mappings, from random bases, into memory that is not empty. */
static void reports_are_linuxs_bit_by_bit(void **state)
{
	enum { MAPPINGS = 12 };
	struct oracle o[MAPPINGS];
	uint64_t want[WORDS + 1], got[WORDS + 1];
	uint32_t seed = 7;
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	for (int round = 0; round < 400; round++) {
		uint32_t count = lay_out(&t, o, MAPPINGS, &seed);

		assert_int_equal(dirty(&t, START), 0);
		for (int report = 0; report < 12; report++) {
			uint32_t from = next_random(&seed) % count;
			uint32_t to = from + next_random(&seed) % (count - from);
			uint64_t base = o[from].first;
			uint64_t size = o[to].first + o[to].pages - base;

			if (from && next_random(&seed) % 2)
				base = o[from - 1].first + o[from - 1].pages;
			size += o[from].first - base;
			for (int i = 0; i <= WORDS; i++)
				want[i] = (uint64_t)next_random(&seed) << 32 | next_random(&seed);
			memcpy(got, want, sizeof(got));
			assert_int_equal(get(&t, base * PAGE, size * PAGE, (uintptr_t)got,
					     (size + 63) / 64 * 8),
					 0);
			for (uint32_t i = from; i <= to; i++)
				oracle_report(&o[i], want, base);
			assert_memory_equal(got, want, sizeof(want));
		}
		assert_int_equal(dirty(&t, STOP), 0);
		assert_true(unmap(&t, VFIO_DMA_UNMAP_FLAG_ALL, 0, 0) > 0);
	}
	end(&t);
}

/* The same of UNMAP_DMA, whose reports come mapping by mapping as each goes. */
static void an_unmap_reports_what_it_takes(void **state)
{
	enum { MAPPINGS = 12 };
	struct oracle o[MAPPINGS];
	uint64_t want[WORDS + 1], got[WORDS + 1];
	uint32_t seed = 11;
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	assert_int_equal(dirty(&t, START), 0);
	for (int round = 0; round < 400; round++) {
		uint32_t count = lay_out(&t, o, MAPPINGS, &seed);
		struct vfio_bitmap bitmap = { .pgsize = PAGE, .size = sizeof(got), .data = got };
		uint64_t taken = 0;

		for (int i = 0; i <= WORDS; i++)
			want[i] = (uint64_t)next_random(&seed) << 32 | next_random(&seed);
		memcpy(got, want, sizeof(got));
		for (uint32_t i = 0; i < count; i++) {
			oracle_report(&o[i], want, 0);
			taken += o[i].pages * PAGE;
		}
		assert_int_equal(unmap_with_bitmap(&t, BITMAP, 0, WORDS * 64 * PAGE, bitmap),
				 taken);
		assert_memory_equal(got, want, sizeof(want));
		assert_int_equal(pinned(&t), 0);
	}
	end(&t);
}

/* A large mapping is more than one copy; the last word's rest is written too. */
static void a_long_report_is_whole(void **state)
{
	enum { PAGES = 64 * 200 + 5 };
	static uint64_t words[202];
	vfake_addr memory;
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	memory = map_memory(t.rig.task, (uint64_t)PAGES * PAGE);
	assert_int_equal(dma_map(t.rig.task, t.set.container, READ_WRITE, memory, PAGE,
				 (uint64_t)PAGES * PAGE),
			 0);
	assert_int_equal(dirty(&t, START), 0);
	words[0] = 1;
	words[201] = 77;
	assert_int_equal(get(&t, 0, (PAGES + 1UL) * PAGE, (uintptr_t)words, sizeof(words)), 0);
	for (int i = 0; i < 200; i++)
		assert_true(words[i] == UINT64_MAX);
	assert_int_equal(words[200], 0x3f);
	assert_int_equal(words[201], 77);
	assert_int_equal(vfake_munmap(t.rig.task, memory, (uint64_t)PAGES * PAGE), 0);
	end(&t);
}

/* ---- what is refused ---- */

static void version_1_has_none_of_it(void **state)
{
	uint64_t word = 0;
	struct vfio_bitmap bitmap = { .pgsize = PAGE, .size = 8, .data = &word };
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1_IOMMU);
	assert_int_equal(dirty(&t, START), -EACCES);
	assert_int_equal(dirty(&t, 0xff), -EACCES);
	assert_int_equal(vfake_ioctl(t.rig.task, t.set.container, VFIO_IOMMU_DIRTY_PAGES, 0),
			 -EACCES);
	assert_int_equal(unmap_with_bitmap(&t, BITMAP, 0, PAGE, bitmap), -EINVAL);
	end(&t);
}

static void one_flag_at_a_time(void **state)
{
	uint64_t words[2] = { 0 };
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	for (uint32_t flags = 0; flags < 32; flags++) {
		if (flags != START && flags != STOP)
			assert_int_equal(dirty(&t, flags), -EINVAL);
	}
	/* Nothing is known before START and after STOP; both may come again. */
	assert_int_equal(map(&t, 0, PAGE), 0);
	assert_int_equal(get(&t, 0, PAGE, (uintptr_t)words, 8), -EINVAL);
	assert_int_equal(dirty(&t, STOP), 0);
	assert_int_equal(dirty(&t, START), 0);
	assert_int_equal(dirty(&t, START), 0);
	assert_int_equal(get(&t, 0, PAGE, (uintptr_t)words, 8), 0);
	assert_int_equal(words[0], 1);
	assert_int_equal(dirty(&t, STOP), 0);
	assert_int_equal(dirty(&t, STOP), 0);
	assert_int_equal(get(&t, 0, PAGE, (uintptr_t)words, 8), -EINVAL);
	end(&t);
}

static void ranges_are_judged_in_order(void **state)
{
	const uint64_t top = ~(uint64_t)(PAGE - 1);
	/* Not on the stack: from there to the end of the address space 256 MiB may not fit. */
	static uint64_t words[4];
	vfake_addr at = (uintptr_t)words;
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	assert_int_equal(map(&t, 4 * PAGE, 4 * PAGE), 0);
	assert_int_equal(dirty(&t, START), 0);
	assert_int_equal(get(&t, 0, 0, at, 8), -EINVAL);
	assert_int_equal(get(&t, top, PAGE, at, 8), 0);
	assert_int_equal(get(&t, top, PAGE + 1, at, 8), -EOVERFLOW);
	assert_int_equal(get(&t, PAGE, top, 0, 0), -EINVAL);
	assert_int_equal(get(&t, 2 * PAGE, top, 0, 0), -EOVERFLOW);
	assert_int_equal(get(&t, 1, 16 * PAGE, at, 8), -EINVAL);
	assert_int_equal(get(&t, 0, 16 * PAGE + 1, at, 8), -EINVAL);
	/* A report must not cut a mapping. */
	for (uint64_t from = 0; from < 12; from++) {
		for (uint64_t to = from + 1; to <= 12; to++) {
			bool cuts = (from > 4 && from < 8) || (to > 4 && to < 8);

			assert_int_equal(get(&t, from * PAGE, (to - from) * PAGE, at, 8),
					 cuts ? -EINVAL : 0);
		}
	}
	/* The bitmap is long enough for the pages and not absurd. */
	for (uint64_t pages = 1; pages <= 200; pages++) {
		uint64_t need = (pages + 63) / 64 * 8;

		assert_int_equal(get(&t, 1 << 24, pages * PAGE, at, need), 0);
		assert_int_equal(get(&t, 1 << 24, pages * PAGE, at, need - 1), -EINVAL);
	}
	assert_int_equal(get(&t, 1 << 24, PAGE, at, 1 << 28), 0);
	assert_int_equal(get(&t, 1 << 24, PAGE, at, (1 << 28) + 1), -EINVAL);
	assert_int_equal(get(&t, 1 << 24, PAGE, at, UINT64_MAX), -EINVAL);
	/* Memory that no process can have is EINVAL, other memory that is not there EFAULT. */
	assert_int_equal(get(&t, 4 * PAGE, 4 * PAGE, top, 8), -EINVAL);
	assert_int_equal(get(&t, 4 * PAGE, 4 * PAGE, (1UL << 47) - PAGE, 8), -EINVAL);
	assert_int_equal(get(&t, 4 * PAGE, 4 * PAGE, 8, 8), -EFAULT);
	assert_int_equal(get(&t, 1 << 24, PAGE, 8, 8), 0);
	end(&t);
}

static void page_sizes_are_the_iommus_smallest(void **state)
{
	struct get_arg arg = { .argsz = sizeof(arg), .flags = GET };
	uint64_t words[4] = { 0 };
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	assert_int_equal(dirty(&t, START), 0);
	arg.get.size = 64 * PAGE;
	arg.get.bitmap.size = 32;
	arg.get.bitmap.data = (void *)words;
	for (uint32_t shift = 0; shift <= 64; shift++) {
		arg.get.bitmap.pgsize = shift < 64 ? 1UL << shift : 0;
		assert_int_equal(vfake_ioctl(t.rig.task, t.set.container, VFIO_IOMMU_DIRTY_PAGES,
					     (uintptr_t)&arg),
				 shift == 12 ? 0 : -EINVAL);
	}
	arg.get.bitmap.pgsize = PAGE;
	for (arg.argsz = 0; arg.argsz <= sizeof(arg) + 8; arg.argsz++)
		assert_int_equal(vfake_ioctl(t.rig.task, t.set.container, VFIO_IOMMU_DIRTY_PAGES,
					     (uintptr_t)&arg),
				 arg.argsz < sizeof(arg) ? -EINVAL : 0);
	end(&t);
}

static void an_unmap_judges_its_bitmap_first(void **state)
{
	struct unmap_arg arg = { .argsz = sizeof(arg), .flags = BITMAP, .size = PAGE };
	const uint32_t all = VFIO_DMA_UNMAP_FLAG_ALL, vaddr = VFIO_DMA_UNMAP_FLAG_VADDR;
	uint64_t word = 0xff00;
	struct vfio_bitmap good = { .pgsize = PAGE, .size = 8, .data = &word };
	struct vfio_bitmap bad = good;
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	assert_int_equal(map(&t, 0, PAGE), 0);
	assert_int_equal(unmap_with_bitmap(&t, BITMAP, 0, PAGE, good), -EINVAL);
	assert_int_equal(dirty(&t, START), 0);
	assert_int_equal(unmap_with_bitmap(&t, BITMAP | all, 0, 0, good), -EINVAL);
	assert_int_equal(unmap_with_bitmap(&t, BITMAP | vaddr, 0, PAGE, good), -EINVAL);
	bad.size = 7;
	assert_int_equal(unmap_with_bitmap(&t, BITMAP, 0, PAGE, bad), -EINVAL);
	bad = good;
	bad.pgsize = 2 * PAGE;
	assert_int_equal(unmap_with_bitmap(&t, BITMAP, 0, 2 * PAGE, bad), -EINVAL);
	bad = good;
	bad.data = (void *)~(uintptr_t)7;
	assert_int_equal(unmap_with_bitmap(&t, BITMAP, 0, PAGE, bad), -EINVAL);
	bad.data = (void *)16;
	assert_int_equal(unmap_with_bitmap(&t, BITMAP, 0, PAGE, bad), -EFAULT);
	arg.bitmap = good;
	for (arg.argsz = 0; arg.argsz < sizeof(arg); arg.argsz++)
		assert_int_equal(vfake_ioctl(t.rig.task, t.set.container, VFIO_IOMMU_UNMAP_DMA,
					     (uintptr_t)&arg),
				 -EINVAL);
	assert_int_equal(pinned(&t), 1);
	assert_int_equal(unmap_with_bitmap(&t, BITMAP, 0, PAGE, good), PAGE);
	assert_int_equal(word, 1);
	end(&t);
}

/* Of three mappings the second's word cannot be written: the first is gone, the others stay. */
static void an_unmap_stops_where_its_bitmap_faults(void **state)
{
	struct vfio_bitmap bitmap = { .pgsize = PAGE, .size = 24 };
	vfake_addr page;
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	page = map_memory(t.rig.task, PAGE);
	assert_int_equal(dirty(&t, START), 0);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(map(&t, i * 64 * PAGE, PAGE), 0);
	bitmap.data = (void *)(uintptr_t)(page + PAGE - 8);
	assert_int_equal(unmap_with_bitmap(&t, BITMAP, 0, 192 * PAGE, bitmap), -EFAULT);
	assert_int_equal(pinned(&t), 2);
	assert_int_equal(unmap(&t, 0, 0, 64 * PAGE), 0);
	assert_int_equal(unmap(&t, 0, 0, 192 * PAGE), 2 * PAGE);
	assert_int_equal(vfake_munmap(t.rig.task, page, PAGE), 0);
	end(&t);
}

/* A mapping with more pages than a bitmap can have: no tracking, and no such mapping under it. */
static void too_many_pages_to_track(void **state)
{
	const uint64_t whole = 1UL << 43;
	struct vfake_world world;
	struct type1 t;

	(void)state;
	world_with_three(&world);
	world.reserved_count = 0;
	boot(&t, &world, &root_here, VFIO_TYPE1v2_IOMMU);
	/* Memory of this program is taken as it is: nobody touches these addresses. */
	assert_int_equal(dma_map(t.rig.task, t.set.container, READ_WRITE, 1UL << 46, 0, whole), 0);
	assert_int_equal(dirty(&t, START), -EINVAL);
	assert_int_equal(unmap(&t, 0, 0, whole), whole);
	assert_int_equal(dirty(&t, START), 0);
	assert_int_equal(dma_map(t.rig.task, t.set.container, READ_WRITE, 1UL << 46, 0, whole),
			 -EINVAL);
	assert_int_equal(dma_avail(t.rig.task, t.set.container), 65535);
	assert_int_equal(
		dma_map(t.rig.task, t.set.container, READ_WRITE, 1UL << 46, 0, whole - PAGE), 0);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports_are_linuxs_bit_by_bit),
		cmocka_unit_test(an_unmap_reports_what_it_takes),
		cmocka_unit_test(a_long_report_is_whole),
		cmocka_unit_test(version_1_has_none_of_it),
		cmocka_unit_test(one_flag_at_a_time),
		cmocka_unit_test(ranges_are_judged_in_order),
		cmocka_unit_test(page_sizes_are_the_iommus_smallest),
		cmocka_unit_test(an_unmap_judges_its_bitmap_first),
		cmocka_unit_test(an_unmap_stops_where_its_bitmap_faults),
		cmocka_unit_test(too_many_pages_to_track),
	};

	return cmocka_run_group_tests_name("type1_dirty", tests, NULL, NULL);
}
