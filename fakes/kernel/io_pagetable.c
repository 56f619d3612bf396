/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of an IOAS: which IOVA leads to which pages.
 *
 * Imitates the first half of drivers/iommu/iommufd/io_pagetable.c of Linux 7.2; the other half is
 * io_pagetable_domain.c, and io_pagetable_area.c has the areas.
 *
 * Kept: an area never overlaps another or a reservation; a map is all or nothing; an unmap takes
 * whole areas only, in ascending order, and what it took stays taken when it meets one that sticks
 * out; a copy needs areas without a gap and may begin and end inside one.
 *
 * An IOVA that the caller leaves open is the first that fits in a gap: of the allowed IOVAs, or,
 * when no list was given, of all but the first and the last page. In each gap there is one
 * candidate, its start rounded up to the alignment with the address's offset into its page put in.
 * The alignment is that of the address, but no more than the length rounded up to a power of two,
 * or a huge page.
 *
 * How it is kept: areas live in a map by IOVA. The search for a free IOVA walks the gaps, but goes
 * on where the last one ended when it asks for no less and nothing became free since; so a caller
 * that only maps does not walk. With an offset into the page it walks always: the candidate of a
 * gap's rest may then lie below that of the whole gap, so that a map can open a place.
 *
 * Dropped: locks, and areas that are visible while they are being made.
 */
#include "iommufd_private.h"

void iopt_init(struct io_pagetable *iopt, struct vfake_kernel *kernel)
{
	struct vfake_iova_map_mem mem = vfake_map_memory(kernel);

	iopt->kernel = kernel;
	iopt->iova_alignment = 1;
	vfake_iova_map_init(&iopt->areas, &mem);
	vfake_iova_map_init(&iopt->allowed, &mem);
	TAILQ_INIT(&iopt->reserved);
	TAILQ_INIT(&iopt->domains);
}

void iopt_destroy(struct io_pagetable *iopt)
{
	vfake_warn_on(iopt->kernel, vfake_iova_map_count(&iopt->areas) ||
					    !TAILQ_EMPTY(&iopt->reserved) ||
					    !TAILQ_EMPTY(&iopt->domains));
	vfake_iova_map_destroy(&iopt->areas);
	vfake_iova_map_destroy(&iopt->allowed);
}

/* ---- look-ups ---- */

struct iopt_area *iopt_area_find(const struct io_pagetable *iopt, uint64_t iova)
{
	struct vfake_iova_range range;

	return vfake_iova_map_find(&iopt->areas, iova, &range) ? iopt_area_of(&range) : NULL;
}

struct iopt_area *iopt_area_first(const struct io_pagetable *iopt, uint64_t start, uint64_t last)
{
	struct vfake_iova_range range;

	return vfake_iova_map_first_overlap(&iopt->areas, start, last, &range)
		       ? iopt_area_of(&range)
		       : NULL;
}

static const struct iopt_reserved *first_reserved(const struct io_pagetable *iopt, uint64_t start,
						  uint64_t last)
{
	const struct iopt_reserved *reserved;

	TAILQ_FOREACH(reserved, &iopt->reserved, next)
	{
		if (reserved->start > last)
			break;
		if (reserved->last >= start)
			return reserved;
	}
	return NULL;
}

bool iopt_next_usable(const struct io_pagetable *iopt, uint64_t from, struct vfake_range *range)
{
	const struct iopt_reserved *reserved = first_reserved(iopt, from, from);

	while (reserved) {
		if (reserved->last == UINT64_MAX)
			return false;
		from = reserved->last + 1;
		reserved = first_reserved(iopt, from, from);
	}
	reserved = first_reserved(iopt, from, UINT64_MAX);
	*range = (struct vfake_range){ from, reserved ? reserved->start - 1 : UINT64_MAX };
	return true;
}

/* ---- choosing an IOVA ---- */

struct iova_wish {
	uint64_t length;
	uint64_t alignment;
	uint64_t offset;
};

/* The candidate of the gap [*start, last] goes to *start. */
static bool fits(const struct iova_wish *wish, uint64_t *start, uint64_t last)
{
	uint64_t at = *start + (wish->alignment - 1);

	if (at < *start)
		return false;
	at &= ~(wish->alignment - 1);
	at |= wish->offset;
	if (at >= last || last - at < wish->length - 1)
		return false;
	*start = at;
	return true;
}

/* Walks the gaps between areas and reservations in [start, last]. */
static bool search_gaps(const struct io_pagetable *iopt, const struct iova_wish *wish,
			uint64_t start, uint64_t last, uint64_t *iova)
{
	struct vfake_iova_cursor cursor = vfake_iova_cursor_seek(&iopt->areas, start);
	const struct iopt_reserved *reserved = TAILQ_FIRST(&iopt->reserved);

	for (;;) {
		struct vfake_iova_range area = { .start = UINT64_MAX, .last = UINT64_MAX };
		bool more = vfake_iova_cursor_get(&cursor, &area);
		uint64_t end = last;

		while (reserved && reserved->last < start)
			reserved = TAILQ_NEXT(reserved, next);
		if (reserved && reserved->start <= start) {
			end = reserved->last;
		} else if (more && area.last < start) {
			vfake_iova_cursor_next(&cursor);
			continue;
		} else if (more && area.start <= start) {
			end = area.last;
		} else {
			if (more && area.start - 1 < end)
				end = area.start - 1;
			if (reserved && reserved->start - 1 < end)
				end = reserved->start - 1;
			if (fits(wish, &start, end)) {
				*iova = start;
				return true;
			}
		}
		if (end >= last)
			return false;
		start = end + 1;
	}
}

/* Joins allowed ranges that touch. */
static bool next_allowed(const struct io_pagetable *iopt, uint64_t from, struct vfake_range *range)
{
	struct vfake_iova_range part;

	if (!vfake_iova_map_first_overlap(&iopt->allowed, from, UINT64_MAX, &part))
		return false;
	*range = (struct vfake_range){ part.start, part.last };
	while (range->last != UINT64_MAX &&
	       vfake_iova_map_find(&iopt->allowed, range->last + 1, &part))
		range->last = part.last;
	return true;
}

static bool search_span(const struct io_pagetable *iopt, const struct iova_wish *wish,
			uint64_t from, const struct vfake_range *span, uint64_t *iova)
{
	uint64_t page = vfake_page_size(iopt->kernel);
	uint64_t start = span->start > from ? span->start : from;
	uint64_t last = span->last < UINT64_MAX - page ? span->last : UINT64_MAX - page;

	return start <= last && fits(wish, &start, last) &&
	       search_gaps(iopt, wish, start, last, iova);
}

static bool search(const struct io_pagetable *iopt, const struct iova_wish *wish, uint64_t from,
		   uint64_t *iova)
{
	struct vfake_range span = { 0, UINT64_MAX };

	if (!vfake_iova_map_count(&iopt->allowed))
		return search_span(iopt, wish, from, &span, iova);
	while (next_allowed(iopt, from, &span)) {
		if (search_span(iopt, wish, from, &span, iova))
			return true;
		if (span.last == UINT64_MAX)
			break;
		from = span.last + 1;
	}
	return false;
}

static uint64_t power_of_two_from(uint64_t length)
{
	return length < 2 ? 1 : (uint64_t)1 << (64 - __builtin_clzll(length - 1));
}

/* Of a table with pages of 8-byte entries: what one of its pages maps. */
static uint64_t huge_page_size(const struct vfake_kernel *kernel)
{
	return vfake_page_size(kernel) * (vfake_page_size(kernel) / 8);
}

static int alloc_iova(struct io_pagetable *iopt, uint64_t *iova, uint64_t addr, uint64_t length)
{
	uint64_t page = vfake_page_size(iopt->kernel);
	struct iova_wish wish = { .length = length, .offset = addr & (page - 1) };
	struct iopt_hint *hint = &iopt->hint;
	uint64_t from = page;

	if (length >= UINT64_MAX / 2)
		return -EOVERFLOW;
	wish.alignment = power_of_two_from(length);
	if (addr && (addr & -addr) < wish.alignment)
		wish.alignment = addr & -addr;
	if (wish.alignment > huge_page_size(iopt->kernel))
		wish.alignment = huge_page_size(iopt->kernel);
	if (wish.alignment < iopt->iova_alignment)
		return -EINVAL;
	if (hint->valid && !wish.offset && hint->alignment == wish.alignment &&
	    hint->length <= length)
		from = hint->from;
	if (!search(iopt, &wish, from, iova))
		return -ENOSPC;
	if (!wish.offset)
		*hint = (struct iopt_hint){ true, wish.alignment, length, *iova };
	return 0;
}

/* ---- areas ---- */

static int check_iova(const struct io_pagetable *iopt, uint64_t iova, uint64_t length)
{
	uint64_t last = iova + (length - 1);

	if (iova & (iopt->iova_alignment - 1))
		return -EINVAL;
	if (last < iova)
		return -EOVERFLOW;
	if (first_reserved(iopt, iova, last))
		return -EINVAL;
	return iopt_area_first(iopt, iova, last) ? -EEXIST : 0;
}

/* Makes an area of the slice. It holds no pages yet, and no map knows it. */
static int make_area(struct io_pagetable *iopt, struct iopt_slice *slice, uint64_t iova, int prot)
{
	uint64_t page_mask = vfake_page_size(iopt->kernel) - 1;
	struct iopt_area *area;

	if ((prot & VFAKE_IOMMU_WRITE) && !slice->pages->writable)
		return -EPERM;
	if (slice->start_byte & page_mask & (iopt->iova_alignment - 1))
		return -EINVAL;
	area = iopt_area_new(slice->pages);
	if (!area)
		return -ENOMEM;
	area->iopt = iopt;
	area->iova = iova;
	area->last_iova = iova + slice->length - 1;
	area->first = slice->start_byte >> iopt->kernel->page_shift;
	area->last = (slice->start_byte + slice->length - 1) >> iopt->kernel->page_shift;
	area->page_offset = (uint32_t)(slice->start_byte & page_mask);
	area->prot = (uint8_t)prot;
	slice->area = area;
	return 0;
}

static int choose_iova(struct io_pagetable *iopt, const struct iopt_slice *first, uint64_t length,
		       bool fixed, uint64_t *iova)
{
	if ((length & (iopt->iova_alignment - 1)) || !length)
		return -EINVAL;
	if (fixed)
		return check_iova(iopt, *iova, length);
	return alloc_iova(iopt, iova, first->start_byte + first->pages->start, length);
}

/* The page tables get their pages, if there is any page table. */
static int fill_slice(struct io_pagetable *iopt, struct iopt_slice *slice)
{
	return TAILQ_EMPTY(&iopt->domains) ? 0 : iopt_area_fill(slice->area);
}

static void undo_slices(struct io_pagetable *iopt, struct iopt_slices *slices)
{
	struct iopt_slice *slice;

	TAILQ_FOREACH(slice, slices, next)
	{
		if (!slice->area)
			continue;
		iopt_erase_area(slice->area);
		iopt_area_unfill(slice->area);
		iopt_area_free(slice->area);
		slice->area = NULL;
	}
	iopt->hint.valid = false;
}

int iopt_map_slices(struct io_pagetable *iopt, struct iopt_slices *slices, uint64_t length,
		    int prot, bool fixed, uint64_t *iova)
{
	int ret = choose_iova(iopt, TAILQ_FIRST(slices), length, fixed, iova);
	struct iopt_slice *slice;
	uint64_t at = *iova;

	TAILQ_FOREACH(slice, slices, next)
	{
		if (ret)
			break;
		ret = make_area(iopt, slice, at, prot);
		at += slice->length;
	}
	TAILQ_FOREACH(slice, slices, next)
	{
		if (ret)
			break;
		ret = fill_slice(iopt, slice);
	}
	if (!ret)
		ret = vfake_fault(iopt->kernel, VFAKE_FAULT_COMMIT);
	TAILQ_FOREACH(slice, slices, next)
	{
		if (ret)
			break;
		ret = iopt_insert_area(slice->area);
	}
	if (ret) {
		undo_slices(iopt, slices);
		return ret;
	}
	TAILQ_FOREACH(slice, slices, next)
	slice->pages = NULL;
	return 0;
}

int iopt_map_pages(struct iommufd_ctx *ictx, struct io_pagetable *iopt, struct iopt_pages *pages,
		   uint64_t first_byte, uint64_t length, int prot, bool fixed, uint64_t *iova)
{
	struct iopt_slice slice = { .pages = pages, .start_byte = first_byte, .length = length };
	struct iopt_slices slices = TAILQ_HEAD_INITIALIZER(slices);
	int ret;

	if (ictx->account_mode == IOPT_ACCOUNT_MM && pages->payer.mode == IOPT_ACCOUNT_USER)
		pages->payer.mode = IOPT_ACCOUNT_MM;
	TAILQ_INSERT_HEAD(&slices, &slice, next);
	ret = iopt_map_slices(iopt, &slices, length, prot, fixed, iova);
	if (ret)
		iopt_pages_put(pages);
	return ret;
}

/* ---- copies ---- */

void iopt_free_slices(struct io_pagetable *iopt, struct iopt_slices *slices)
{
	struct iopt_slice *slice;

	while ((slice = TAILQ_FIRST(slices))) {
		TAILQ_REMOVE(slices, slice, next);
		if (slice->pages)
			iopt_pages_put(slice->pages);
		vfake_free(iopt->kernel, slice);
	}
}

static int add_slice(struct iopt_slices *slices, struct iopt_area *area, uint64_t iova,
		     uint64_t last)
{
	struct iopt_slice *slice = vfake_alloc(area->iopt->kernel, sizeof(*slice));

	if (!slice)
		return -ENOMEM;
	slice->pages = area->pages;
	slice->pages->refs++;
	iopt_renew_origin(area);
	slice->start_byte = iopt_start_byte(area, iova);
	slice->length = last - iova + 1;
	TAILQ_INSERT_TAIL(slices, slice, next);
	return 0;
}

int iopt_get_slices(struct io_pagetable *iopt, uint64_t iova, uint64_t length,
		    struct iopt_slices *slices)
{
	uint64_t last = iova + (length - 1);
	int ret = 0;

	if (!length)
		return -EINVAL;
	if (last < iova)
		return -EOVERFLOW;
	for (;;) {
		struct iopt_area *area = iopt_area_find(iopt, iova);
		uint64_t end;

		if (!area) {
			ret = -ENOENT;
			break;
		}
		end = area->last_iova < last ? area->last_iova : last;
		ret = add_slice(slices, area, iova, end);
		if (ret || end == last)
			break;
		iova = end + 1;
	}
	if (ret)
		iopt_free_slices(iopt, slices);
	return ret;
}

/* ---- unmap ---- */

enum { AREAS_AHEAD = 8 };

static int unmap_range(struct io_pagetable *iopt, uint64_t start, uint64_t last, uint64_t *unmapped)
{
	struct vfake_iova_range range;
	struct iommufd_hwpt *hwpt;
	int ret;

	*unmapped = 0;
	while (!(ret = vfake_iova_map_take(&iopt->areas, start, last, &range))) {
		iopt_prefetch_range(&range);
		iopt->hint.valid = false;
		*unmapped += range.last - range.start + 1;
		TAILQ_FOREACH(hwpt, &iopt->domains, in)
		iopt_dirty_forget(hwpt, range.start, range.last);
		iopt_release_range(iopt, &range);
		if (range.last >= last)
			return 0;
		start = range.last + 1;
	}
	return ret == -EBUSY ? -ENOENT : 0;
}

int iopt_unmap(struct io_pagetable *iopt, uint64_t iova, uint64_t length, uint64_t *unmapped)
{
	uint64_t last = iova + (length - 1);

	*unmapped = 0;
	if (!length)
		return -EINVAL;
	if (last < iova)
		return -EOVERFLOW;
	return unmap_range(iopt, iova, last, unmapped);
}

/* No need to keep the map in order on the way: it is read once and dropped. */
int iopt_unmap_all(struct io_pagetable *iopt, uint64_t *unmapped)
{
	struct vfake_iova_cursor at = vfake_iova_cursor_seek(&iopt->areas, 0);
	struct vfake_iova_cursor ahead = at;
	struct vfake_iova_range range;
	struct iommufd_hwpt *hwpt;

	*unmapped = 0;
	TAILQ_FOREACH(hwpt, &iopt->domains, in)
	iopt_dirty_forget(hwpt, 0, UINT64_MAX);
	for (int i = 0; i < AREAS_AHEAD && vfake_iova_cursor_get(&ahead, &range); i++) {
		iopt_prefetch_range(&range);
		vfake_iova_cursor_next(&ahead);
	}
	for (; vfake_iova_cursor_get(&at, &range); vfake_iova_cursor_next(&at)) {
		*unmapped += range.last - range.start + 1;
		iopt_release_range(iopt, &range);
		if (vfake_iova_cursor_get(&ahead, &range)) {
			iopt_prefetch_range(&range);
			vfake_iova_cursor_next(&ahead);
		}
	}
	vfake_iova_map_destroy(&iopt->areas);
	iopt->hint.valid = false;
	return 0;
}
