/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The type1 container driver: mapping, unmapping and what a container tells about itself. Who
 * pays for the pages is in test_type1_memory.c, dirty bitmaps are in test_type1_dirty.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "type1_rig.h"

enum {
	RW = VFAKE_PROT_READ | VFAKE_PROT_WRITE,
	VADDR = VFIO_DMA_UNMAP_FLAG_VADDR,
	ALL = VFIO_DMA_UNMAP_FLAG_ALL,
};

/* ---- mapping ---- */

static void map_judges_its_numbers(void **state)
{
	static const struct {
		uint32_t flags;
		uint64_t vaddr, iova, size; /* vaddr is an offset from the memory */
		long want;
	} calls[] = {
		{ READ_WRITE, 0, 0, 0, -EINVAL },
		{ READ_WRITE, 0, 0, UINT64_MAX, -EOVERFLOW },
		{ READ_WRITE, 0, PAGE, ~0UL - PAGE + 1, -EOVERFLOW },
		{ READ_WRITE, 0, ~0UL - PAGE + 1, 2 * PAGE, -EOVERFLOW },
		{ 0, 0, ~0UL - PAGE + 1, 2 * PAGE, -EOVERFLOW },
		{ 0, 0, 0, PAGE, -EINVAL },
		{ 8, 0, 0, PAGE, -EINVAL },
		{ READ_WRITE | VFIO_DMA_MAP_FLAG_VADDR, 0, 0, PAGE, -EINVAL },
		{ READ_WRITE, 1, 0, PAGE, -EINVAL },
		{ READ_WRITE, 0, 1, PAGE, -EINVAL },
		{ READ_WRITE, 0, 0, PAGE + 1, -EINVAL },
		{ READ_WRITE, 0, 0, 1, -EINVAL },
		{ VFIO_DMA_MAP_FLAG_VADDR, 0, 0, PAGE, -ENOENT },
		/* what is reserved, and where the aperture ends */
		{ READ_WRITE, 0, 0xfee00000, PAGE, -EINVAL },
		{ READ_WRITE, 0, 0xfedff000, 2 * PAGE, -EINVAL },
		{ READ_WRITE, 0, 0xfeeff000, 2 * PAGE, -EINVAL },
		{ READ_WRITE, 0, 0xfedff000, PAGE, 0 },
		{ READ_WRITE, 0, 0xfef00000, PAGE, 0 },
		{ READ_WRITE, 0, (1UL << 48) - PAGE, PAGE, 0 },
		{ READ_WRITE, 0, (1UL << 48) - 2 * PAGE, 2 * PAGE, -EEXIST },
		{ READ_WRITE, 0, (1UL << 48) - PAGE, 2 * PAGE, -EEXIST },
		{ READ_WRITE, 0, 1UL << 48, PAGE, -EINVAL },
		{ READ_WRITE, 0, ~0UL - PAGE + 1, PAGE, -EINVAL },
		{ VFIO_DMA_MAP_FLAG_READ, 0, 0, PAGE, 0 },
		{ VFIO_DMA_MAP_FLAG_WRITE, 0, PAGE, PAGE, 0 },
		{ READ_WRITE, 0, 0, PAGE, -EEXIST },
		{ READ_WRITE, 1UL << 47, 2 * PAGE, PAGE, -EFAULT },
	};
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	for (size_t i = 0; i < COUNT_OF(calls); i++) {
		long ret = dma_map(t.rig.task, t.set.container, calls[i].flags,
				   t.memory + calls[i].vaddr, calls[i].iova, calls[i].size);

		if (ret != calls[i].want)
			fail_msg("call %zu gives %ld", i, ret);
	}
	/* A vaddr whose range ends beyond 2^64. */
	assert_int_equal(
		dma_map(t.rig.task, t.set.container, READ_WRITE, ~0UL - PAGE + 1, 0, 2 * PAGE),
		-EOVERFLOW);
	assert_int_equal(
		dma_map(t.rig.task, t.set.container, READ_WRITE, ~0UL - PAGE + 1, 1 << 20, PAGE),
		-EFAULT);
	assert_int_equal(pinned(&t), 5);
	assert_int_equal(dma_avail(t.rig.task, t.set.container), 65535 - 5);
	end(&t);
}

/* An IOMMU that translates all 64 bits: mappings at both ends, and what touches them. */
static void both_ends_of_the_address_space(void **state)
{
	const uint64_t top = ~(uint64_t)(PAGE - 1);
	struct vfake_world world;
	struct type1 t;

	(void)state;
	world_with_three(&world);
	world.aperture.last = UINT64_MAX;
	world.reserved_count = 0;
	for (int v2 = 0; v2 < 2; v2++) {
		boot(&t, &world, &root_here, v2 ? VFIO_TYPE1v2_IOMMU : VFIO_TYPE1_IOMMU);
		assert_int_equal(map(&t, 0, PAGE), 0);
		assert_int_equal(map(&t, top, PAGE), 0);
		assert_int_equal(map(&t, top - PAGE, 2 * PAGE), -EEXIST);
		assert_int_equal(map(&t, 0, 2 * PAGE), -EEXIST);
		assert_int_equal(map(&t, top, 2 * PAGE), -EOVERFLOW);
		assert_int_equal(map(&t, top - PAGE, PAGE), 0);
		assert_int_equal(unmap(&t, 0, top, 2 * PAGE), -EOVERFLOW);
		assert_int_equal(unmap(&t, 0, top - 3 * PAGE, 3 * PAGE), PAGE);
		assert_int_equal(unmap(&t, 0, top - 3 * PAGE, 4 * PAGE), PAGE);
		assert_int_equal(map(&t, top - PAGE, 2 * PAGE), 0);
		assert_int_equal(unmap(&t, 0, top, PAGE), v2 ? -EINVAL : 0);
		assert_int_equal(unmap(&t, 0, 0, top), v2 ? -EINVAL : 3 * PAGE);
		assert_int_equal(unmap(&t, ALL, 0, 0), v2 ? 3 * PAGE : 0);
		end(&t);
	}
}

/* ---- unmapping ---- */

static void v2_refuses_to_bisect(void **state)
{
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	assert_int_equal(map(&t, 4 * PAGE, 4 * PAGE), 0);
	assert_int_equal(map(&t, 8 * PAGE, 4 * PAGE), 0);
	for (uint64_t from = 0; from <= 16; from++) {
		for (uint64_t to = from + 1; to <= 16; to++) {
			uint64_t whole = 0;
			bool cuts = (from > 4 && from < 8) || (from > 8 && from < 12) ||
				    (to > 4 && to < 8) || (to > 8 && to < 12);

			if (from <= 4 && to >= 8)
				whole += 4;
			if (from <= 8 && to >= 12)
				whole += 4;
			assert_int_equal(unmap(&t, 0, from * PAGE, (to - from) * PAGE),
					 cuts ? -EINVAL : (long)(whole * PAGE));
			assert_int_equal(pinned(&t), 8 - (cuts ? 0 : whole));
			if (map(&t, 4 * PAGE, 4 * PAGE))
				assert_int_equal(map(&t, 4 * PAGE, 4 * PAGE), -EEXIST);
			if (map(&t, 8 * PAGE, 4 * PAGE))
				assert_int_equal(map(&t, 8 * PAGE, 4 * PAGE), -EEXIST);
			assert_int_equal(pinned(&t), 8);
		}
	}
	end(&t);
}

/* v1 stops at a mapping that begins before the range, and takes whole what begins in it. */
static void v1_unmaps_what_begins_in_the_range(void **state)
{
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1_IOMMU);
	for (uint64_t from = 0; from <= 16; from++) {
		for (uint64_t to = from + 1; to <= 16; to++) {
			bool inside = (from > 4 && from < 8) || (from > 8 && from < 12);
			uint64_t whole = 0;

			map(&t, 4 * PAGE, 4 * PAGE);
			map(&t, 8 * PAGE, 4 * PAGE);
			assert_int_equal(pinned(&t), 8);
			if (!inside && from <= 4 && to > 4)
				whole += 4;
			if (!inside && from <= 8 && to > 8)
				whole += 4;
			assert_int_equal(unmap(&t, 0, from * PAGE, (to - from) * PAGE),
					 whole * PAGE);
			assert_int_equal(pinned(&t), 8 - whole);
		}
	}
	end(&t);
}

static void unmap_judges_its_numbers(void **state)
{
	static const struct {
		uint32_t flags;
		uint64_t iova, size;
		long want;
	} calls[] = {
		{ 0, 0, 0, -EINVAL },
		{ 0, 1, PAGE, -EINVAL },
		{ 0, 0, PAGE + 1, -EINVAL },
		{ 0, PAGE, UINT64_MAX, -EINVAL },
		{ 0, PAGE, ~0UL - PAGE + 1, 4 * PAGE },
		{ 0, 2 * PAGE, ~0UL - PAGE + 1, -EOVERFLOW },
		{ ALL, PAGE, 0, -EINVAL },
		{ ALL, 0, PAGE, -EINVAL },
		{ ALL | VADDR, 0, PAGE, -EINVAL },
		{ VADDR, 0, 0, -EINVAL },
		{ 8, 0, PAGE, -EINVAL },
		{ 1U << 31, 0, PAGE, -EINVAL },
		{ 0, 1UL << 50, PAGE, 0 },
		{ ALL, 0, 0, 0 },
		{ ALL | VADDR, 0, 0, 0 },
	};
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	assert_int_equal(map(&t, 16 * PAGE, 4 * PAGE), 0);
	for (size_t i = 0; i < COUNT_OF(calls); i++) {
		long ret = unmap(&t, calls[i].flags, calls[i].iova, calls[i].size);

		if (ret != calls[i].want)
			fail_msg("call %zu gives %ld", i, ret);
	}
	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(map(&t, i * 8 * PAGE, PAGE), 0);
	assert_int_equal(unmap(&t, ALL, 0, 0), 64 * PAGE);
	assert_int_equal(pinned(&t), 0);
	end(&t);
}

/* ---- addresses that are taken away for a while ---- */

static void vaddr_goes_and_comes_back(void **state)
{
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(map(&t, i * 4 * PAGE, 2 * PAGE), 0);
	assert_int_equal(map_vaddr(&t, 0, 2 * PAGE), -EINVAL);
	assert_int_equal(unmap(&t, VADDR, PAGE, 2 * PAGE), -EINVAL);
	assert_int_equal(unmap(&t, VADDR, 4 * PAGE, 6 * PAGE), 4 * PAGE);
	assert_int_equal(pinned(&t), 8);
	/* One that has none already takes the whole call back, and those before it have theirs. */
	assert_int_equal(unmap(&t, VADDR | ALL, 0, 0), -EINVAL);
	assert_int_equal(map_vaddr(&t, 0, 2 * PAGE), -EINVAL);
	assert_int_equal(map_vaddr(&t, 12 * PAGE, 2 * PAGE), -EINVAL);
	/* Only the very mapping can get it back. */
	assert_int_equal(map_vaddr(&t, 4 * PAGE, PAGE), -EINVAL);
	assert_int_equal(map_vaddr(&t, 5 * PAGE, PAGE), -EINVAL);
	assert_int_equal(map_vaddr(&t, 4 * PAGE, 6 * PAGE), -EINVAL);
	assert_int_equal(map_vaddr(&t, 3 * PAGE, 2 * PAGE), -EINVAL);
	assert_int_equal(map_vaddr(&t, 6 * PAGE, 2 * PAGE), -ENOENT);
	assert_int_equal(map(&t, 4 * PAGE, 2 * PAGE), -EEXIST);
	assert_int_equal(map_vaddr(&t, 4 * PAGE, 2 * PAGE), 0);
	assert_int_equal(map_vaddr(&t, 4 * PAGE, 2 * PAGE), -EINVAL);
	assert_int_equal(map_vaddr(&t, 8 * PAGE, 2 * PAGE), 0);
	/* A mapping may go without its address, and a new one may come meanwhile. */
	assert_int_equal(unmap(&t, VADDR | ALL, 0, 0), 8 * PAGE);
	assert_int_equal(map(&t, 20 * PAGE, PAGE), 0);
	assert_int_equal(unmap(&t, 0, 0, 6 * PAGE), 4 * PAGE);
	assert_int_equal(unmap(&t, ALL, 0, 0), 5 * PAGE);
	assert_int_equal(pinned(&t), 0);
	end(&t);
}

static void no_group_comes_while_an_address_is_missing(void **state)
{
	struct type1 t;
	int second;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	second = open_group(t.rig.task, "d1");
	assert_int_equal(map(&t, 0, PAGE), 0);
	assert_int_equal(map(&t, PAGE, PAGE), 0);
	assert_int_equal(unmap(&t, VADDR, 0, 2 * PAGE), 2 * PAGE);
	assert_int_equal(set_container(t.rig.task, second, t.set.container), -EBUSY);
	assert_int_equal(map_vaddr(&t, 0, PAGE), 0);
	assert_int_equal(set_container(t.rig.task, second, t.set.container), -EBUSY);
	assert_int_equal(unmap(&t, 0, PAGE, PAGE), PAGE);
	assert_int_equal(set_container(t.rig.task, second, t.set.container), 0);
	assert_int_equal(vfake_close(t.rig.task, second), 0);
	end(&t);
}

/* ---- what a container tells ---- */

/* Walks the chain of an answer and checks each capability. */
static void check_chain(const unsigned char *answer, uint32_t size, uint32_t avail)
{
	struct vfio_iommu_type1_info_cap_migration migration;
	struct vfio_iommu_type1_info_dma_avail left;
	struct vfio_info_cap_header header;
	struct vfio_iommu_type1_info info;
	uint32_t at, seen = 0, count;
	uint64_t range[4];

	memcpy(&info, answer, sizeof(info));
	for (at = info.cap_offset; at; at = header.next) {
		assert_true(at + sizeof(header) <= size && at % 8 == 0);
		memcpy(&header, answer + at, sizeof(header));
		assert_true(!header.next || header.next > at);
		assert_int_equal(header.version, 1);
		seen |= 1U << header.id;
		if (header.id == VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION) {
			memcpy(&migration, answer + at, sizeof(migration));
			assert_int_equal(migration.flags, 0);
			assert_int_equal(migration.pgsize_bitmap, PAGE);
			assert_int_equal(migration.max_dirty_bitmap_size, 1 << 28);
		} else if (header.id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
			memcpy(&left, answer + at, sizeof(left));
			assert_int_equal(left.avail, avail);
		} else {
			assert_int_equal(header.id, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
			memcpy(&count, answer + at + sizeof(header), sizeof(count));
			assert_int_equal(count, 2);
			memcpy(range, answer + at + 16, sizeof(range));
			assert_int_equal(range[0], 0);
			assert_int_equal(range[1], 0xfedfffff);
			assert_int_equal(range[2], 0xfef00000);
			assert_int_equal(range[3], (1UL << 48) - 1);
		}
	}
	assert_int_equal(seen, 1 << VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION |
				       1 << VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL |
				       1 << VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
}

static void info_comes_in_every_length(void **state)
{
	const uint32_t min = 16, whole = sizeof(struct vfio_iommu_type1_info);
	struct vfio_iommu_type1_info info = { .argsz = whole };
	unsigned char answer[512], before[512];
	struct type1 t;
	uint32_t full;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	assert_int_equal(
		vfake_ioctl(t.rig.task, t.set.container, VFIO_IOMMU_GET_INFO, (uintptr_t)&info), 0);
	full = info.argsz;
	assert_int_equal(full, whole + 24 + 16 + 48 + 8);
	for (uint32_t argsz = 0; argsz <= full + 8; argsz++) {
		uint32_t changed = argsz < min	  ? 0
				   : argsz < full ? (argsz < whole ? argsz : whole)
						  : full;
		long ret;

		memset(answer, 0xa5, sizeof(answer));
		memcpy(answer, &argsz, sizeof(argsz));
		memcpy(before, answer, sizeof(before));
		ret = vfake_ioctl(t.rig.task, t.set.container, VFIO_IOMMU_GET_INFO,
				  (uintptr_t)answer);
		assert_int_equal(ret, argsz < min ? -EINVAL : 0);
		assert_memory_equal(answer + changed, before + changed, sizeof(answer) - changed);
		if (ret)
			continue;
		memset(&info, 0, sizeof(info));
		memcpy(&info, answer, changed < whole ? changed : whole);
		assert_int_equal(info.argsz, argsz < full ? full : argsz);
		assert_int_equal(info.flags, VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS);
		assert_int_equal(info.iova_pgsizes, 1 << 12 | 1 << 21 | 1 << 30);
		assert_int_equal(info.cap_offset, argsz < full ? 0 : whole);
		assert_int_equal(info.pad, 0);
		if (info.cap_offset)
			check_chain(answer, full, 65535);
	}
	end(&t);
}

/* A CPU with larger pages than the IOMMU's: those that it cannot use are not shown. */
static void pages_smaller_than_the_cpus_are_hidden(void **state)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	struct vfake_world world;
	struct type1 t;

	(void)state;
	world_with_three(&world);
	world.page_size_bytes = 65536;
	boot(&t, &world, &root_here, VFIO_TYPE1v2_IOMMU);
	assert_int_equal(
		vfake_ioctl(t.rig.task, t.set.container, VFIO_IOMMU_GET_INFO, (uintptr_t)&info), 0);
	assert_int_equal(info.iova_pgsizes, 1 << 16 | 1 << 21 | 1 << 30);
	assert_int_equal(map(&t, 0, PAGE), -EINVAL);
	assert_int_equal(map(&t, 0, 65536), 0);
	assert_int_equal(pinned(&t), 1);
	end(&t);
}

/* ---- arguments that cannot be copied ---- */

static void copies_that_fault(void **state)
{
	enum { MAP = sizeof(struct vfio_iommu_type1_dma_map) };
	enum { UNMAP = sizeof(struct vfio_iommu_type1_dma_unmap), INFO = 24 };
	struct vfio_iommu_type1_info info = { .argsz = 256 };
	struct vfio_iommu_type1_dma_unmap arg;
	vfake_addr page, read_only;
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	page = map_memory(t.rig.task, PAGE);
	for (vfake_addr in = 1; in < MAP; in++)
		assert_int_equal(vfake_ioctl(t.rig.task, t.set.container, VFIO_IOMMU_MAP_DMA,
					     page + PAGE - in),
				 -EFAULT);
	for (vfake_addr in = 1; in < UNMAP; in++)
		assert_int_equal(vfake_ioctl(t.rig.task, t.set.container, VFIO_IOMMU_UNMAP_DMA,
					     page + PAGE - in),
				 -EFAULT);
	assert_int_equal(
		vfake_ioctl(t.rig.task, t.set.container, VFIO_IOMMU_DIRTY_PAGES, page + PAGE - 7),
		-EFAULT);
	/* An answer that begins well and does not fit into what is mapped. */
	for (vfake_addr in = 16; in < 128; in++) {
		info.argsz = 256;
		if (in >= INFO)
			assert_int_equal(vfake_poke(t.rig.task, page + PAGE - in, &info, INFO), 0);
		else
			assert_int_equal(vfake_poke(t.rig.task, page + PAGE - in, &info, 16), 0);
		assert_int_equal(vfake_ioctl(t.rig.task, t.set.container, VFIO_IOMMU_GET_INFO,
					     page + PAGE - in),
				 in < INFO + 24 + 16 + 56 ? -EFAULT : 0);
	}
	/* An unmap whose answer cannot be written is done all the same. */
	read_only = map_memory_at(t.rig.task, page + PAGE, PAGE, VFAKE_PROT_READ);
	arg = (struct vfio_iommu_type1_dma_unmap){ .argsz = UNMAP, .iova = 0, .size = 2 * PAGE };
	assert_int_equal(vfake_poke(t.rig.task, read_only - 8, &arg, 8), 0);
	assert_int_equal(map(&t, 0, PAGE), 0);
	assert_int_equal(vfake_poke(t.rig.task, page, &arg, UNMAP), 0);
	assert_int_equal(vfake_munmap(t.rig.task, page, 2 * PAGE), 0);
	assert_int_equal(pinned(&t), 1);
	end(&t);
}

/* The struct lies in a memfd: written through one mapping, given to the call through another. */
static void an_unmap_stays_done_when_its_answer_faults(void **state)
{
	struct vfio_iommu_type1_dma_unmap arg = { .argsz = sizeof(arg), .size = 4 * PAGE };
	vfake_addr writable = 0, readable = 0;
	struct type1 t;
	int fd;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	fd = vfake_memfd(t.rig.task, PAGE);
	assert_int_equal(vfake_mmap(t.rig.task, PAGE, RW, fd, 0, &writable), 0);
	assert_int_equal(vfake_mmap(t.rig.task, PAGE, VFAKE_PROT_READ, fd, 0, &readable), 0);
	assert_int_equal(vfake_poke(t.rig.task, writable, &arg, sizeof(arg)), 0);
	assert_int_equal(map(&t, 0, PAGE), 0);
	assert_int_equal(map(&t, PAGE, 2 * PAGE), 0);
	assert_int_equal(vfake_ioctl(t.rig.task, t.set.container, VFIO_IOMMU_UNMAP_DMA, readable),
			 -EFAULT);
	assert_int_equal(pinned(&t), 0);
	assert_int_equal(vfake_ioctl(t.rig.task, t.set.container, VFIO_IOMMU_UNMAP_DMA, writable),
			 0);
	assert_int_equal(vfake_peek(t.rig.task, readable, &arg, sizeof(arg)), 0);
	assert_int_equal(arg.size, 0);
	assert_int_equal(vfake_close(t.rig.task, fd), 0);
	assert_int_equal(vfake_munmap(t.rig.task, writable, PAGE), 0);
	assert_int_equal(vfake_munmap(t.rig.task, readable, PAGE), 0);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(map_judges_its_numbers),
		cmocka_unit_test(both_ends_of_the_address_space),
		cmocka_unit_test(v2_refuses_to_bisect),
		cmocka_unit_test(v1_unmaps_what_begins_in_the_range),
		cmocka_unit_test(unmap_judges_its_numbers),
		cmocka_unit_test(vaddr_goes_and_comes_back),
		cmocka_unit_test(no_group_comes_while_an_address_is_missing),
		cmocka_unit_test(info_comes_in_every_length),
		cmocka_unit_test(pages_smaller_than_the_cpus_are_hidden),
		cmocka_unit_test(copies_that_fault),
		cmocka_unit_test(an_unmap_stays_done_when_its_answer_faults),
	};

	return cmocka_run_group_tests_name("type1", tests, NULL, NULL);
}
