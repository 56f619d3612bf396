/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Areas in the table of an IOAS: how they are put in, taken out and split.
 *
 * Imitates the parts of drivers/iommu/iommufd/io_pagetable.c of Linux 7.2 that insert, free and
 * split areas.
 *
 * Kept: areas are split for the container calls only, and not where the hardware could have large
 * pages.
 *
 * How it is kept: the map by IOVA has the address of an area and, in the low bits, the number of
 * its origin when it is ordinary (see iommufd_private.h). A table has a few origins, filled as they
 * are met; areas of others are not ordinary to it, and are read when they go.
 */
#include "iommufd_private.h"

_Static_assert((offsetof(struct iopt_pages, own_area) & IOPT_ORIGINS) == 0,
	       "the address of an area has room for the number of an origin");

uint64_t iopt_start_byte(const struct iopt_area *area, uint64_t iova)
{
	return (iova - area->iova) + area->page_offset +
	       (area->first << area->iopt->kernel->page_shift);
}

/* ---- origins ---- */

/* The origin that a value of the map names, or NULL. */
static struct iopt_origin *origin_of(struct io_pagetable *iopt, uint64_t value)
{
	uint64_t number = value & IOPT_ORIGINS;

	return number ? &iopt->origins[number - 1] : NULL;
}

static bool same_origin(const struct iopt_origin *a, const struct iopt_origin *b)
{
	return a->mem == b->mem && a->payer.mode == b->payer.mode &&
	       a->payer.task == b->payer.task && a->payer.mm == b->payer.mm &&
	       a->payer.user == b->payer.user;
}

/* The place of @origin, or a free one, or NULL. */
static struct iopt_origin *place_of(struct io_pagetable *iopt, const struct iopt_origin *origin)
{
	struct iopt_origin *vacant = NULL;

	for (struct iopt_origin *at = iopt->origins; at < &iopt->origins[IOPT_ORIGINS]; at++) {
		if (at->areas && same_origin(at, origin))
			return at;
		if (!at->areas)
			vacant = at;
	}
	return vacant;
}

/* What the map has to know of an area. One more area has its origin. */
static uint64_t use_origin(struct iopt_area *area)
{
	struct io_pagetable *iopt = area->iopt;
	struct iopt_origin origin = { 0 };
	struct iopt_origin *place;

	if (!iopt_area_origin(area, &origin))
		return (uintptr_t)area;
	place = place_of(iopt, &origin);
	if (!place)
		return (uintptr_t)area;
	origin.areas = place->areas + 1;
	*place = origin;
	return (uintptr_t)area | (uint64_t)(place - iopt->origins + 1);
}

static void unuse_origin(struct io_pagetable *iopt, uint64_t value)
{
	struct iopt_origin *origin = origin_of(iopt, value);

	if (origin)
		origin->areas--;
}

void iopt_renew_origin(struct iopt_area *area)
{
	struct io_pagetable *iopt = area->iopt;
	struct vfake_iova_range range;

	if (!vfake_iova_map_find(&iopt->areas, area->iova, &range))
		return;
	unuse_origin(iopt, range.value);
	vfake_iova_map_set(&iopt->areas, area->iova, use_origin(area));
}

/* ---- in and out ---- */

int iopt_insert_area(struct iopt_area *area)
{
	struct io_pagetable *iopt = area->iopt;
	uint64_t value = use_origin(area);
	int ret = vfake_iova_map_insert(&iopt->areas, area->iova, area->last_iova, value);

	if (ret)
		unuse_origin(iopt, value);
	return ret;
}

void iopt_erase_area(struct iopt_area *area)
{
	struct io_pagetable *iopt = area->iopt;
	struct vfake_iova_range range;

	if (!vfake_iova_map_erase(&iopt->areas, area->iova, &range))
		unuse_origin(iopt, range.value);
}

void iopt_prefetch_range(const struct vfake_iova_range *range)
{
	if (!(range->value & IOPT_ORIGINS))
		iopt_area_prefetch(iopt_area_of(range));
}

void iopt_release_range(struct io_pagetable *iopt, const struct vfake_iova_range *range)
{
	struct iopt_origin *origin = origin_of(iopt, range->value);

	if (origin)
		iopt_area_release_unread(iopt_area_of(range), range->last - range->start + 1,
					 origin);
	else
		iopt_area_release(iopt_area_of(range));
}

/* ---- splitting ---- */

static int may_split(const struct iopt_area *area, uint64_t new_start)
{
	const struct io_pagetable *iopt = area->iopt;

	if (area->pages->type == IOPT_DMABUF)
		return -EOPNOTSUPP;
	if ((new_start | iopt_start_byte(area, new_start)) & (iopt->iova_alignment - 1))
		return -EINVAL;
	return area->filled && !iopt->disable_large_pages ? -EINVAL : 0;
}

/* A range next to the only one: it keeps the map from giving back its last node. 0 or -ENOMEM. */
static int hold_node(struct io_pagetable *iopt, const struct iopt_area *area, uint64_t *at)
{
	*at = area->iova ? area->iova - 1 : area->last_iova + 1;
	if (vfake_iova_map_count(&iopt->areas) > 1)
		return 0;
	return vfake_iova_map_insert(&iopt->areas, *at, *at, 0);
}

/*
 * Two ranges for one. Erasing never fails and leaves room for one range, so what is put back when
 * there is no memory for the second half finds its place.
 */
static int split_range(struct io_pagetable *iopt, struct iopt_area *left, struct iopt_area *right)
{
	bool alone = vfake_iova_map_count(&iopt->areas) == 1;
	uint64_t holder;
	int ret = hold_node(iopt, left, &holder);

	if (ret)
		return ret;
	vfake_iova_map_erase(&iopt->areas, left->iova, NULL);
	ret = vfake_iova_map_insert(&iopt->areas, right->iova, right->last_iova, (uintptr_t)right);
	if (!ret) {
		ret = vfake_iova_map_insert(&iopt->areas, left->iova, right->iova - 1,
					    (uintptr_t)left);
		if (ret)
			vfake_iova_map_erase(&iopt->areas, right->iova, NULL);
	}
	if (ret)
		vfake_warn_on(iopt->kernel,
			      vfake_iova_map_insert(&iopt->areas, left->iova, left->last_iova,
						    (uintptr_t)left) != 0);
	if (alone)
		vfake_iova_map_erase(&iopt->areas, holder, NULL);
	return ret;
}

static int split_area(struct iopt_area *area, uint64_t last_of_left)
{
	struct io_pagetable *iopt = area->iopt;
	struct iopt_area *right = iopt_area_new(area->pages);
	uint64_t byte = iopt_start_byte(area, last_of_left + 1);
	int ret;

	if (!right)
		return -ENOMEM;
	*right = *area;
	right->iova = last_of_left + 1;
	right->first = byte >> iopt->kernel->page_shift;
	right->page_offset = (uint32_t)(byte & (vfake_page_size(iopt->kernel) - 1));
	area->pages->refs++;
	iopt_renew_origin(area);
	ret = area->filled ? iopt_pages_cut(area->pages, right->first) : 0;
	if (!ret)
		ret = split_range(iopt, area, right);
	if (ret) {
		iopt_area_free(right);
		area->pages->refs--;
		return ret;
	}
	area->last = (byte - 1) >> iopt->kernel->page_shift;
	area->last_iova = last_of_left;
	return 0;
}

int iopt_cut(struct io_pagetable *iopt, uint64_t iova)
{
	struct iopt_area *area = iopt_area_find(iopt, iova);
	int ret;

	if (!area || iova == area->iova || iova == area->last_iova)
		return 0;
	ret = may_split(area, iova + 1);
	return ret ? ret : split_area(area, iova);
}
