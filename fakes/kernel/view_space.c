/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The view of the fake kernel (vfake/view.h): address spaces with their mappings, iommufds with
 * their objects, in full.
 *
 * Imitates nothing of Linux and changes nothing.
 */
#include <endian.h>

#include "iommufd_private.h"
#include "spapr.h"
#include "type1.h"
#include "view.h"

/* What is meant by a struct vfake_space_at: one of the two, or none. */
struct place {
	const struct vfio_container *container;
	struct iommufd_ctx *ictx;
};

static struct place place_of(const struct vfake_space_at *at)
{
	const struct vfio_device *device;
	struct vfake_file *file;

	if (at->task) {
		file = vfake_fd_file(at->task, at->fd);
		if (!file)
			return (struct place){ 0 };
		return (struct place){ vfio_container_from_file(file),
				       iommufd_ctx_from_file(file) };
	}
	device = view_find_device(at->kernel, at->device);
	if (!device)
		return (struct place){ 0 };
	if (device->iommufd_device)
		return (struct place){ .ictx = device->iommufd_device->ictx };
	return (struct place){ device->group->container, device->group->iommufd };
}

static struct iommufd_ioas *ioas_at(const struct vfake_space_at *at)
{
	struct iommufd_ctx *ictx = place_of(at).ictx;

	if (!ictx)
		return NULL;
	return at->ioas ? iommufd_object_get(ictx, at->ioas, IOMMUFD_OBJ_IOAS) : ictx->vfio_ioas;
}

/* ---- address spaces ---- */

static void view_container(const struct vfio_container *container, struct vfake_space_view *view)
{
	const struct vfio_group *group;
	const struct type1 *type1 = container->iommu;
	const struct spapr *spapr = container->iommu;

	TAILQ_FOREACH(group, &container->groups, container_next)
	view->groups++;
	if (container->driver == &vfio_type1_driver) {
		view->manager = VFAKE_MANAGER_TYPE1;
		view->version = type1->v2 ? 2 : 1;
		view->mappings = vfake_iova_map_count(&type1->dmas);
		view->dirty_tracking = type1->dirty_tracking;
	} else if (container->driver == &vfio_spapr_driver) {
		view->manager = VFAKE_MANAGER_SPAPR;
		view->version = spapr->v2 ? 2 : 1;
	} else if (container->driver) {
		view->manager = VFAKE_MANAGER_NOIOMMU;
	}
}

int vfake_view_space(const struct vfake_space_at *at, struct vfake_space_view *view)
{
	struct place place = place_of(at);
	const struct iommufd_hwpt *hwpt;
	struct iommufd_ioas *ioas;

	*view = (struct vfake_space_view){ .manager = VFAKE_MANAGER_NONE };
	if (place.container) {
		view_container(place.container, view);
		return 0;
	}
	ioas = ioas_at(at);
	if (!ioas)
		return -ENOENT;
	view->manager = VFAKE_MANAGER_IOMMUFD;
	view->mappings = vfake_iova_map_count(&ioas->iopt.areas);
	TAILQ_FOREACH(hwpt, &ioas->iopt.domains, in)
	view->page_tables++;
	return 0;
}

/* ---- mappings ---- */

static void view_dma(const struct type1_dma *dma, struct vfake_mapping_view *view)
{
	view->vaddr = dma->vaddr;
	view->owner = dma->task;
	view->readable = dma->prot & VFAKE_IOMMU_READ;
	view->writable = dma->prot & VFAKE_IOMMU_WRITE;
	view->suspended = dma->vaddr_invalid;
	view->pinned = true;
}

static void view_area(const struct iopt_area *area, struct vfake_mapping_view *view)
{
	const struct iopt_pages *pages = area->pages;

	view->vaddr = pages->start + (area->first << pages->kernel->page_shift) + area->page_offset;
	view->owner = pages->payer.task;
	view->of_file = pages->type != IOPT_USER;
	view->readable = area->prot & VFAKE_IOMMU_READ;
	view->writable = area->prot & VFAKE_IOMMU_WRITE;
	view->pinned = area->filled;
}

static int first_in_map(const struct vfake_iova_map *map, uint64_t iova, uint64_t last, bool type1,
			struct vfake_mapping_view *view)
{
	struct vfake_iova_range range;

	if (!vfake_iova_map_first_overlap(map, iova, last, &range))
		return -ENOENT;
	*view = (struct vfake_mapping_view){ .iova = range.start, .last = range.last };
	if (type1)
		view_dma(type1_dma_of(&range), view);
	else
		view_area(iopt_area_of(&range), view);
	return 0;
}

/* ---- mappings of sPAPR ---- */

/* An entry as it is read: the physical address, permissions and all, and the user address. */
struct entry {
	uint64_t tce;
	uint64_t user; /* 0 in tables that pin by themselves */
};

/* The entries from @index on that are set and continue each other, @limit at most. */
static uint64_t run_length(const struct spapr_stretch *at, uint64_t from, uint64_t page,
			   struct entry *first)
{
	uint64_t i = from;

	first->tce = be64toh(at->hw[from]);
	first->user = at->user ? be64toh(at->user[from]) : 0;
	for (; i < at->count; i++) {
		if (be64toh(at->hw[i]) != first->tce + (i - from) * page)
			break;
		if (first->user && be64toh(at->user[i]) != first->user + (i - from) * page)
			break;
	}
	return i - from;
}

/* The first run of entries in [index, index + count) of a table: its length, 0 for none. */
static uint64_t find_run(struct spapr_table *table, uint64_t *index, uint64_t count,
			 struct entry *first)
{
	uint64_t page = spapr_table_page(table);

	while (count) {
		struct spapr_stretch at;

		if (spapr_table_stretch(table, *index, count, false, &at) || !at.count)
			return 0;
		for (uint64_t i = 0; at.hw && i < at.count; i++) {
			if (!(be64toh(at.hw[i]) & SPAPR_TCE_PERMISSIONS))
				continue;
			*index += i;
			return run_length(&at, i, page, first);
		}
		*index += at.count;
		count -= at.count;
	}
	return 0;
}

static void view_run(const struct spapr *spapr, const struct spapr_table *table,
		     const struct entry *first, struct vfake_mapping_view *view)
{
	uint64_t len = view->last - view->iova + 1;
	struct vfake_translation at = { 0 };

	view->vaddr = first->user;
	view->readable = first->tce & SPAPR_TCE_READ;
	view->writable = first->tce & SPAPR_TCE_WRITE;
	view->pinned = true;
	if (!table->pins_pages || !spapr->mm)
		return;
	at.mem = spapr_frames_find(spapr->kernel, first->tce & ~(uint64_t)SPAPR_TCE_PERMISSIONS,
				   &at.offset);
	view->vaddr = at.mem ? view_address_of(spapr->mm, &at, &len) : 0;
	if (view->vaddr && len < view->last - view->iova + 1)
		view->last = view->iova + len - 1;
}

static int first_in_table(const struct spapr *spapr, struct spapr_table *table, uint64_t iova,
			  uint64_t last, struct vfake_mapping_view *view)
{
	uint64_t start = table->offset << table->page_shift;
	uint64_t end = start + (table->size << table->page_shift) - 1;
	struct entry first = { 0 };
	uint64_t index, count;

	if (last < start || iova > end)
		return -ENOENT;
	index = iova > start ? (iova - start) >> table->page_shift : 0;
	count = ((last < end ? last : end) >> table->page_shift) - table->offset - index + 1;
	count = find_run(table, &index, count, &first);
	if (!count)
		return -ENOENT;
	*view = (struct vfake_mapping_view){ .iova = start + (index << table->page_shift) };
	view->last = view->iova + (count << table->page_shift) - 1;
	view_run(spapr, table, &first, view);
	return 0;
}

static int first_in_windows(const struct spapr *spapr, uint64_t iova, uint64_t last,
			    struct vfake_mapping_view *view)
{
	struct vfake_mapping_view found;
	int ret = -ENOENT;

	for (int i = 0; i < SPAPR_WINDOWS; i++) {
		if (!spapr->tables[i] ||
		    first_in_table(spapr, spapr->tables[i], iova, last, &found))
			continue;
		if (ret || found.iova < view->iova)
			*view = found;
		ret = 0;
	}
	return ret;
}

int vfake_view_mapping(const struct vfake_space_at *at, uint64_t iova, uint64_t last,
		       struct vfake_mapping_view *view)
{
	const struct vfio_container *container = place_of(at).container;
	struct iommufd_ioas *ioas = ioas_at(at);

	if (ioas)
		return first_in_map(&ioas->iopt.areas, iova, last, false, view);
	if (container && container->driver == &vfio_type1_driver)
		return first_in_map(&((const struct type1 *)container->iommu)->dmas, iova, last,
				    true, view);
	if (container && container->driver == &vfio_spapr_driver)
		return first_in_windows(container->iommu, iova, last, view);
	return -ENOENT;
}

/* ---- iommufds ---- */

int vfake_view_iommufd(const struct vfake_space_at *at, struct vfake_iommufd_view *view)
{
	const struct iommufd_ctx *ictx = place_of(at).ictx;

	if (!ictx)
		return -ENOENT;
	*view = (struct vfake_iommufd_view){
		.objects = ictx->object_count,
		.compat_ioas = ictx->vfio_ioas ? ictx->vfio_ioas->obj.id : 0,
		.account = ictx->account_mode,
		.no_iommu = ictx->no_iommu_mode,
	};
	return 0;
}

static uint32_t kind_of(const struct iommufd_object *obj)
{
	static const uint32_t kinds[IOMMUFD_OBJ_TYPES] = {
		[IOMMUFD_OBJ_DEVICE] = UAPI_OBJ_DEVICE,
		[IOMMUFD_OBJ_IOAS] = UAPI_OBJ_IOAS,
		[IOMMUFD_OBJ_HWPT_PAGING] = UAPI_OBJ_HWPT_PAGING,
		[IOMMUFD_OBJ_FAULT] = UAPI_OBJ_FAULT,
	};

	return kinds[obj->type];
}

/* The page table that a device is attached to without a PASID, or 0. */
static uint32_t attached_to(const struct iommufd_device *idev)
{
	const struct vfake_domain *domain = idev->device->group->domain;

	if (!idev->device->iommufd_attached || !domain)
		return 0;
	return ((const struct iommufd_hwpt *)(const void *)((const char *)domain -
							    offsetof(struct iommufd_hwpt, domain)))
		->obj.id;
}

int vfake_view_object(const struct vfake_space_at *at, uint32_t id, struct vfake_object_view *view)
{
	const struct iommufd_ctx *ictx = place_of(at).ictx;
	const struct iommufd_object *obj = NULL;

	for (; ictx && id < ictx->object_space; id++) {
		obj = ictx->objects[id];
		if (obj)
			break;
	}
	if (!obj)
		return -ENOENT;
	*view = (struct vfake_object_view){ .id = id, .kind = kind_of(obj), .users = obj->users };
	if (obj->type == IOMMUFD_OBJ_HWPT_PAGING) {
		const struct iommufd_hwpt *hwpt = (const struct iommufd_hwpt *)obj;

		view->on = hwpt->ioas->obj.id;
		view->automatic = hwpt->auto_domain;
		view->dirty_tracking = hwpt->dirty_tracking;
	} else if (obj->type == IOMMUFD_OBJ_DEVICE) {
		view->on = attached_to((const struct iommufd_device *)obj);
	}
	return 0;
}
