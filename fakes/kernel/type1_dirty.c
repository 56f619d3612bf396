/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * type1: dirty page tracking.
 *
 * Imitates VFIO_IOMMU_DIRTY_PAGES and the bitmap of VFIO_IOMMU_UNMAP_DMA in
 * drivers/vfio/vfio_iommu_type1.c, Linux 7.2.
 *
 * Kept: v1 has none of it; a container with a device that writes without telling (and every device
 * behind an IOMMU is one) reports every mapped page as dirty, every time; a report must not bisect
 * a mapping; a mapping that starts inside a word adds its bits to what the caller has in that word,
 * all else is overwritten up to the end of the last word; sizes and page sizes are checked in
 * Linux's order. Linux moves its own bitmap of a mapping up to where the report wants it and never
 * clears what thereby lies behind the mapping's last page, so later reports show pages behind it:
 * wrong, but what a program sees.
 *
 * Dropped: the bitmaps themselves, but for the bits behind the last page. Only a container that has
 * nothing but emulated devices (mdev) could ever report a clean page, and there are none here. A
 * page size of 0 shifts by 0, as it does on x86.
 */
#include <limits.h>
#include <string.h>

#include <uapi/vfio.h>

#include "type1.h"

enum { CHUNK_WORDS = 64 };

static uint64_t bitmap_bytes_of(uint64_t pages)
{
	return (pages / 64 + (pages % 64 != 0)) * 8;
}

int type1_can_track(const struct type1 *type1, const struct type1_dma *dma)
{
	return dma->size_bytes / type1_pgsize(type1) > INT_MAX ? -EINVAL : 0;
}

static uint64_t pages_of(uint64_t size_bytes, uint64_t pgsize)
{
	return pgsize ? size_bytes >> __builtin_ctzll(pgsize) : size_bytes;
}

int type1_check_bitmap(uint64_t size_bytes, uint64_t pgsize, uint64_t data, uint64_t bitmap_bytes)
{
	uint64_t pages = pages_of(size_bytes, pgsize);

	if (!vfake_access_ok(data, bitmap_bytes))
		return -EINVAL;
	if (!pages || !bitmap_bytes || bitmap_bytes > bitmap_bytes_of(INT_MAX) ||
	    bitmap_bytes < bitmap_bytes_of(pages))
		return -EINVAL;
	return 0;
}

/* Word @index of the bitmap that Linux keeps of a mapping: all pages, and what is stale behind
 * them.
 */
static uint64_t kept_word(const struct type1_dma *dma, uint64_t pages, uint64_t index)
{
	uint64_t words = (pages + 63) / 64;

	if (index == words)
		return dma->stale[1];
	if (index == words - 1 && pages % 64)
		return (((uint64_t)1 << pages % 64) - 1) | dma->stale[0];
	return UINT64_MAX;
}

/* The same bitmap moved up by @shift bits, which are less than a word's. */
static uint64_t moved_word(const struct type1_dma *dma, uint64_t pages, uint64_t index,
			   uint64_t shift)
{
	uint64_t word = kept_word(dma, pages, index);

	if (!shift)
		return word;
	return (word << shift) | (index ? kept_word(dma, pages, index - 1) >> (64 - shift) : 0);
}

/* After a report the bitmap stays moved; only the bits behind the last page can ever be seen again.
 */
static void keep_stale(struct type1_dma *dma, uint64_t pages, uint64_t shift, uint64_t below)
{
	uint64_t words = (pages + 63) / 64, low = 0, high = dma->stale[1];

	if (pages % 64)
		low = moved_word(dma, pages, words - 1, shift) | (words == 1 ? below : 0);
	if ((pages + shift + 63) / 64 > words)
		high = moved_word(dma, pages, words, shift);
	dma->stale[0] = low & (UINT64_MAX << pages % 64);
	dma->stale[1] = high;
}

static int copy_moved(struct vfake_call *call, const struct type1_dma *dma, uint64_t pages,
		      uint64_t shift, uint64_t below, uint64_t to)
{
	uint64_t end = (pages + shift + 63) / 64;
	uint64_t words[CHUNK_WORDS];

	for (uint64_t word = 0; word < end;) {
		uint64_t n = end - word < CHUNK_WORDS ? end - word : CHUNK_WORDS;

		for (uint64_t i = 0; i < n; i++)
			words[i] = moved_word(dma, pages, word + i, shift);
		if (!word)
			words[0] |= below;
		if (vfake_copy_out(call, to + word * 8, words, n * 8))
			return -EFAULT;
		word += n;
	}
	return 0;
}

int type1_report_dirty(struct type1 *type1, struct vfake_call *call, struct type1_dma *dma,
		       uint64_t bitmap, uint64_t base_iova)
{
	uint64_t pgsize = type1_pgsize(type1);
	uint64_t first = (dma->iova - base_iova) / pgsize;
	uint64_t pages = dma->size_bytes / pgsize;
	uint64_t shift = first % 64, to = bitmap + first / 64 * 8;
	uint64_t below = 0;
	int ret = 0;

	if (shift)
		ret = vfake_copy_in(call, &below, to, sizeof(below));
	if (ret)
		below = 0;
	else
		ret = copy_moved(call, dma, pages, shift, below, to);
	if (shift)
		keep_stale(dma, pages, shift, below);
	return ret;
}

static long dirty_start(struct type1 *type1)
{
	struct vfake_iova_cursor at = vfake_iova_cursor_seek(&type1->dmas, 0);
	struct vfake_iova_range range;

	if (type1->dirty_tracking)
		return 0;
	for (; vfake_iova_cursor_get(&at, &range); vfake_iova_cursor_next(&at)) {
		int ret = type1_can_track(type1, type1_dma_of(&range));

		if (ret)
			return ret;
	}
	at = vfake_iova_cursor_seek(&type1->dmas, 0);
	for (; vfake_iova_cursor_get(&at, &range); vfake_iova_cursor_next(&at))
		memset(type1_dma_of(&range)->stale, 0, sizeof(type1_dma_of(&range)->stale));
	type1->dirty_tracking = true;
	return 0;
}

/* Whether a mapping lies across the edge between @iova - 1 and @iova, or between @last and @last
 * + 1. */
static bool bisects(const struct type1 *type1, uint64_t iova, uint64_t last)
{
	struct vfake_iova_range range;

	if (vfake_iova_map_find(&type1->dmas, iova, &range) && range.start != iova)
		return true;
	return vfake_iova_map_find(&type1->dmas, last, &range) && range.last != last;
}

static long report_range(struct type1 *type1, struct vfake_call *call, uint64_t iova, uint64_t last,
			 uint64_t bitmap)
{
	struct vfake_iova_cursor at = vfake_iova_cursor_seek(&type1->dmas, iova);
	struct vfake_iova_range range;

	if (bisects(type1, iova, last))
		return -EINVAL;
	for (; vfake_iova_cursor_get(&at, &range) && range.start <= last;
	     vfake_iova_cursor_next(&at)) {
		int ret = type1_report_dirty(type1, call, type1_dma_of(&range), bitmap, iova);

		if (ret)
			return ret;
	}
	return 0;
}

static long dirty_get(struct type1 *type1, struct vfake_call *call)
{
	uint64_t header = offsetof(struct vfio_iommu_type1_dirty_bitmap, data);
	struct vfio_iommu_type1_dirty_bitmap_get get;
	uint64_t last, pgsize = type1_pgsize(type1);
	int ret;

	if (call->size_bytes - header < sizeof(get))
		return -EINVAL;
	if (vfake_copy_in(call, &get, call->uarg + header, sizeof(get)))
		return -EFAULT;
	if (!get.size)
		return -EINVAL;
	if (__builtin_add_overflow(get.iova, get.size - 1, &last))
		return -EOVERFLOW;
	ret = type1_check_bitmap(get.size, get.bitmap.pgsize, (uint64_t)(uintptr_t)get.bitmap.data,
				 get.bitmap.size);
	if (ret)
		return ret;
	if (get.bitmap.pgsize != pgsize || ((get.iova | get.size) & (pgsize - 1)) ||
	    !type1->dirty_tracking)
		return -EINVAL;
	return report_range(type1, call, get.iova, last, (uint64_t)(uintptr_t)get.bitmap.data);
}

long type1_dirty_pages(struct vfake_call *call)
{
	const struct vfio_iommu_type1_dirty_bitmap *arg = call->arg;
	struct type1 *type1 = vfio_call_iommu(call);

	switch (arg->flags) {
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
		return dirty_start(type1);
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
		type1->dirty_tracking = false;
		return 0;
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
		return dirty_get(type1, call);
	default:
		return -EINVAL;
	}
}
