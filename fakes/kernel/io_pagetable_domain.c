/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What page tables and devices demand of an IOAS: alignment, reserved IOVAs, pages; and dirty bits.
 *
 * Imitates the second half of drivers/iommu/iommufd/io_pagetable.c and iova_bitmap.c of Linux 7.2.
 *
 * Kept: a page table brings the alignment of its smallest page, which every area must have already,
 * and reserves what lies outside of its aperture; a reservation over an area or an allowed IOVA is
 * EADDRINUSE; the first page table pins all areas and the last unpins them; reading dirty bits
 * walks areas without a gap from the start of the range and ends at the first gap without an error,
 * and so it does where the bitmap cannot be written; bits are added to the caller's bitmap, never
 * cleared there.
 *
 * How it is kept: there is no page table beside the areas, a device's access looks them up. Dirty
 * bits are kept per page table in words of 64 pages.
 *
 * Dropped: the pins of the bitmap itself. A page of the IOMMU is the smallest that it has: Linux
 * reports a large page dirty as a whole.
 */
#include "iommufd_private.h"

/* ---- allowed and reserved IOVAs ---- */

int iopt_set_allowed(struct io_pagetable *iopt, struct vfake_iova_map *allowed)
{
	const struct iopt_reserved *reserved;
	struct vfake_iova_range range;
	struct vfake_iova_map old = iopt->allowed;

	TAILQ_FOREACH(reserved, &iopt->reserved, next)
	{
		if (vfake_iova_map_first_overlap(allowed, reserved->start, reserved->last, &range))
			return -EADDRINUSE;
	}
	iopt->allowed = *allowed;
	*allowed = old;
	iopt->hint.valid = false;
	return 0;
}

static void insert_reserved(struct io_pagetable *iopt, struct iopt_reserved *reserved)
{
	struct iopt_reserved *after;

	TAILQ_FOREACH(after, &iopt->reserved, next)
	{
		if (after->start > reserved->start) {
			TAILQ_INSERT_BEFORE(after, reserved, next);
			return;
		}
	}
	TAILQ_INSERT_TAIL(&iopt->reserved, reserved, next);
}

int iopt_reserve(struct io_pagetable *iopt, uint64_t start, uint64_t last, const void *owner)
{
	struct iopt_reserved *reserved;
	struct vfake_iova_range range;

	if (iopt_area_first(iopt, start, last) ||
	    vfake_iova_map_first_overlap(&iopt->allowed, start, last, &range))
		return -EADDRINUSE;
	reserved = vfake_alloc(iopt->kernel, sizeof(*reserved));
	if (!reserved)
		return -ENOMEM;
	reserved->start = start;
	reserved->last = last;
	reserved->owner = owner;
	insert_reserved(iopt, reserved);
	return 0;
}

void iopt_unreserve(struct io_pagetable *iopt, const void *owner)
{
	struct iopt_reserved *reserved = TAILQ_FIRST(&iopt->reserved);

	while (reserved) {
		struct iopt_reserved *after = TAILQ_NEXT(reserved, next);

		if (reserved->owner == owner) {
			TAILQ_REMOVE(&iopt->reserved, reserved, next);
			vfake_free(iopt->kernel, reserved);
		}
		reserved = after;
	}
	iopt->hint.valid = false;
}

/* ---- alignment ---- */

static struct iopt_area *area_after(const struct io_pagetable *iopt, const struct iopt_area *area)
{
	if (!area)
		return iopt_area_first(iopt, 0, UINT64_MAX);
	if (area->last_iova == UINT64_MAX)
		return NULL;
	return iopt_area_first(iopt, area->last_iova + 1, UINT64_MAX);
}

static int check_alignment(const struct io_pagetable *iopt, uint64_t alignment)
{
	const struct iopt_area *area = NULL;

	while ((area = area_after(iopt, area))) {
		if ((area->iova | (area->last_iova + 1) | area->page_offset) & (alignment - 1))
			return -EADDRINUSE;
	}
	return 0;
}

static uint64_t smallest_page(const struct io_pagetable *iopt)
{
	uint64_t sizes = iopt->kernel->world.iommu_pgsizes;

	return sizes & -sizes;
}

static int recalculate_alignment(struct io_pagetable *iopt)
{
	uint64_t alignment = iopt->disable_large_pages ? vfake_page_size(iopt->kernel) : 1;
	int ret;

	if (!TAILQ_EMPTY(&iopt->domains) && smallest_page(iopt) > alignment)
		alignment = smallest_page(iopt);
	if (alignment > iopt->iova_alignment) {
		ret = check_alignment(iopt, alignment);
		if (ret)
			return ret;
	}
	iopt->iova_alignment = alignment;
	return 0;
}

int iopt_set_large_pages(struct io_pagetable *iopt, bool enable)
{
	int ret;

	if (enable) {
		iopt->disable_large_pages = false;
		vfake_warn_on(iopt->kernel, recalculate_alignment(iopt) != 0);
		return 0;
	}
	if (iopt->disable_large_pages)
		return 0;
	if (!TAILQ_EMPTY(&iopt->domains) && vfake_iova_map_count(&iopt->areas))
		return -EINVAL;
	iopt->disable_large_pages = true;
	ret = recalculate_alignment(iopt);
	if (ret)
		iopt->disable_large_pages = false;
	return ret;
}

/* ---- page tables ---- */

static void unfill_before(struct io_pagetable *iopt, const struct iopt_area *end)
{
	struct iopt_area *area = NULL;

	while ((area = area_after(iopt, area)) && area != end) {
		iopt_area_unfill(area);
		iopt_renew_origin(area);
	}
}

/* The first page table pins all areas; another finds them pinned. */
static int fill_areas(struct io_pagetable *iopt)
{
	struct iopt_area *area = NULL;
	int ret;

	if (!TAILQ_EMPTY(&iopt->domains))
		return 0;
	while ((area = area_after(iopt, area))) {
		ret = iopt_area_fill(area);
		if (ret) {
			unfill_before(iopt, area);
			return ret;
		}
		iopt_renew_origin(area);
	}
	return 0;
}

static int reserve_outside_aperture(struct io_pagetable *iopt, const struct iommufd_hwpt *hwpt)
{
	const struct vfake_range *aperture = &iopt->kernel->world.aperture;
	int ret = 0;

	if (aperture->start)
		ret = iopt_reserve(iopt, 0, aperture->start - 1, hwpt);
	if (!ret && aperture->last != UINT64_MAX)
		ret = iopt_reserve(iopt, aperture->last + 1, UINT64_MAX, hwpt);
	return ret;
}

int iopt_add_domain(struct io_pagetable *iopt, struct iommufd_hwpt *hwpt)
{
	uint64_t alignment = smallest_page(iopt);
	int ret;

	if (alignment < iopt->iova_alignment)
		alignment = iopt->iova_alignment;
	if (alignment > vfake_page_size(iopt->kernel))
		return -EINVAL;
	if (alignment != iopt->iova_alignment) {
		ret = check_alignment(iopt, alignment);
		if (ret)
			return ret;
	}
	ret = reserve_outside_aperture(iopt, hwpt);
	if (!ret)
		ret = fill_areas(iopt);
	if (ret) {
		iopt_unreserve(iopt, hwpt);
		return ret;
	}
	iopt->iova_alignment = alignment;
	TAILQ_INSERT_TAIL(&iopt->domains, hwpt, in);
	hwpt->listed = true;
	return 0;
}

void iopt_remove_domain(struct io_pagetable *iopt, struct iommufd_hwpt *hwpt)
{
	TAILQ_REMOVE(&iopt->domains, hwpt, in);
	hwpt->listed = false;
	if (TAILQ_EMPTY(&iopt->domains))
		unfill_before(iopt, NULL);
	iopt_unreserve(iopt, hwpt);
	vfake_warn_on(iopt->kernel, recalculate_alignment(iopt) != 0);
}

/* ---- dirty pages ---- */

enum { WORD_PAGES = 64 };

static uint64_t word_bytes(const struct io_pagetable *iopt)
{
	return WORD_PAGES * smallest_page(iopt);
}

/* The bits of [start, last], which lies in the word that begins at @word. */
static uint64_t word_mask(const struct io_pagetable *iopt, uint64_t word, uint64_t start,
			  uint64_t last)
{
	uint64_t low = (start - word) / smallest_page(iopt);
	uint64_t high = (last - word) / smallest_page(iopt);

	return (UINT64_MAX >> (WORD_PAGES - 1 - (high - low))) << low;
}

static void mark_word(struct iommufd_hwpt *hwpt, uint64_t start, uint64_t last)
{
	struct io_pagetable *iopt = &hwpt->ioas->iopt;
	uint64_t word = start - start % word_bytes(iopt);
	uint64_t mask = word_mask(iopt, word, start, last);
	struct vfake_iova_range range;

	if (vfake_iova_map_find(&hwpt->dirty, word, &range))
		vfake_iova_map_set(&hwpt->dirty, word, range.value | mask);
	else
		vfake_iova_map_insert(&hwpt->dirty, word, word + (word_bytes(iopt) - 1), mask);
}

void iopt_dirty_mark(struct iommufd_hwpt *hwpt, uint64_t iova, uint64_t len)
{
	uint64_t last = iova + (len - 1);

	for (;;) {
		uint64_t end = iova | (word_bytes(&hwpt->ioas->iopt) - 1);

		if (end >= last) {
			mark_word(hwpt, iova, last);
			return;
		}
		mark_word(hwpt, iova, end);
		iova = end + 1;
	}
}

/* What part of the word @range lies in [start, last]: its mask. */
static uint64_t clip_word(const struct io_pagetable *iopt, const struct vfake_iova_range *range,
			  uint64_t start, uint64_t last)
{
	if (start < range->start)
		start = range->start;
	if (last > range->last)
		last = range->last;
	return word_mask(iopt, range->start, start, last);
}

static void clear_bits(struct iommufd_hwpt *hwpt, const struct vfake_iova_range *range,
		       uint64_t mask)
{
	if (range->value & ~mask)
		vfake_iova_map_set(&hwpt->dirty, range->start, range->value & ~mask);
	else
		vfake_iova_map_erase(&hwpt->dirty, range->start, NULL);
}

void iopt_dirty_forget(struct iommufd_hwpt *hwpt, uint64_t start, uint64_t last)
{
	struct vfake_iova_range range;

	while (vfake_iova_map_first_overlap(&hwpt->dirty, start, last, &range)) {
		clear_bits(hwpt, &range, clip_word(&hwpt->ioas->iopt, &range, start, last));
		if (range.last >= last)
			break;
		start = range.last + 1;
	}
}

/* Sets bits [first, last] of the caller's bitmap of 64-bit words. 0 or -EFAULT. */
static int set_user_bits(struct vfake_call *call, uint64_t bitmap, uint64_t first, uint64_t last)
{
	for (uint64_t word = first / 64; word <= last / 64; word++) {
		uint64_t low = word == first / 64 ? first % 64 : 0;
		uint64_t high = word == last / 64 ? last % 64 : 63;
		uint64_t bits;

		if (vfake_copy_in(call, &bits, bitmap + word * sizeof(bits), sizeof(bits)))
			return -EFAULT;
		bits |= (UINT64_MAX >> (63 - (high - low))) << low;
		if (vfake_copy_out(call, bitmap + word * sizeof(bits), &bits, sizeof(bits)))
			return -EFAULT;
	}
	return 0;
}

struct dirty_reader {
	struct vfake_call *call;
	struct iommufd_hwpt *hwpt;
	const struct iommu_hwpt_get_dirty_bitmap *arg;
	uint32_t page_shift; /* of the pages that the bitmap counts */
};

/* One word's dirty pages into the bitmap. */
static void report_word(const struct dirty_reader *reader, const struct vfake_iova_range *range,
			uint64_t bits)
{
	uint64_t page = smallest_page(&reader->hwpt->ioas->iopt);

	while (bits) {
		uint64_t index = (uint64_t)__builtin_ctzll(bits);
		uint64_t at = range->start + index * page - reader->arg->iova;

		if (set_user_bits(reader->call, reader->arg->data, at >> reader->page_shift,
				  (at + page - 1) >> reader->page_shift))
			return;
		bits &= bits - 1;
	}
}

static void report_area(const struct dirty_reader *reader, uint64_t start, uint64_t last)
{
	struct iommufd_hwpt *hwpt = reader->hwpt;
	struct vfake_iova_range range;

	while (vfake_iova_map_first_overlap(&hwpt->dirty, start, last, &range)) {
		uint64_t mask = clip_word(&hwpt->ioas->iopt, &range, start, last);

		report_word(reader, &range, range.value & mask);
		if (!(reader->arg->flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR))
			clear_bits(hwpt, &range, mask);
		if (range.last >= last)
			break;
		start = range.last + 1;
	}
}

static int check_bitmap_range(const struct io_pagetable *iopt,
			      const struct iommu_hwpt_get_dirty_bitmap *arg)
{
	uint64_t last = arg->iova + (arg->length - 1);
	uint64_t ends = arg->iova | (last + 1);

	/* A length of 0 wraps as well, unless the range begins at 0: then it is everything. */
	if (last < arg->iova)
		return -EOVERFLOW;
	if (ends & (iopt->iova_alignment - 1))
		return -EINVAL;
	if (!arg->page_size || (ends & (arg->page_size - 1)))
		return -EINVAL;
	return 0;
}

int iopt_read_dirty(struct vfake_call *call, struct iommufd_hwpt *hwpt,
		    const struct iommu_hwpt_get_dirty_bitmap *arg)
{
	const struct io_pagetable *iopt = &hwpt->ioas->iopt;
	struct dirty_reader reader = { .call = call, .hwpt = hwpt, .arg = arg };
	uint64_t last = arg->iova + (arg->length - 1);
	uint64_t at = arg->iova;
	const struct iopt_area *area;
	int ret = check_bitmap_range(iopt, arg);

	if (ret)
		return ret;
	if (!hwpt->dirty_capable)
		return -EOPNOTSUPP;
	reader.page_shift = (uint32_t)__builtin_ctzll(arg->page_size);
	while ((area = iopt_area_find(iopt, at))) {
		uint64_t end = area->last_iova < last ? area->last_iova : last;

		report_area(&reader, at, end);
		if (end == last)
			break;
		at = end + 1;
	}
	return 0;
}
