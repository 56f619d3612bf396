/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The type1 container driver: mapping and unmapping.
 *
 * Imitates drivers/vfio/vfio_iommu_type1.c of Linux 7.2; the pages are in type1_pin.c, the bitmaps
 * in type1_dirty.c.
 *
 * Kept: the order of the checks, and so which errno wins; v2 refuses an unmap that would bisect a
 * mapping, v1 unmaps what starts inside the range and reports how much that was, possibly 0; the
 * ALL flag; VADDR suspends mappings without touching their pages and a second time on the same
 * mapping takes the whole call back; a mapping replaced by VADDR must match exactly; the entry
 * limit is ENOSPC; alignment is that of the smallest page of the IOMMU; the capability chain of
 * GET_INFO in Linux's order. An unmap stays done when its answer cannot be copied out.
 *
 * Dropped: emulated devices (mdev) and with them pinning by a driver, the notification of an unmap,
 * and dma_rw.
 */
#include <string.h>

#include <uapi/vfio.h>

#include "type1.h"

/* ---- mappings ---- */

static void free_dma(struct type1 *type1, struct type1_dma *dma)
{
	type1_unpin(dma);
	vfake_task_put(dma->task);
	vfake_mm_drop(dma->mm);
	if (dma->vaddr_invalid)
		type1->vaddr_invalid_count--;
	type1->dma_avail++;
	vfake_free(type1->kernel, dma);
}

static void remove_dma(struct type1 *type1, struct type1_dma *dma)
{
	vfake_iova_map_erase(&type1->dmas, dma->iova, NULL);
	free_dma(type1, dma);
}

void type1_unmap_all(struct type1 *type1)
{
	struct vfake_iova_range range;

	while (vfake_iova_map_first(&type1->dmas, &range))
		remove_dma(type1, type1_dma_of(&range));
}

static bool may_map(const struct type1 *type1, uint64_t iova, uint64_t last)
{
	for (uint32_t i = 0; i < type1->range_count; i++) {
		if (iova >= type1->ranges[i].start && last <= type1->ranges[i].last)
			return true;
	}
	return false;
}

static int set_vaddr(struct type1 *type1, const struct vfio_iommu_type1_dma_map *map, uint64_t last,
		     struct vfake_task *task)
{
	struct vfake_iova_range range;
	struct type1_dma *dma;
	int ret;

	if (!vfake_iova_map_first_overlap(&type1->dmas, map->iova, last, &range))
		return -ENOENT;
	dma = type1_dma_of(&range);
	if (!dma->vaddr_invalid || dma->iova != map->iova || dma->size_bytes != map->size)
		return -EINVAL;
	ret = vfake_fault(type1->kernel, VFAKE_FAULT_COMMIT);
	if (!ret)
		ret = type1_change_owner(dma, task);
	if (ret)
		return ret;
	dma->vaddr = map->vaddr;
	dma->vaddr_invalid = false;
	type1->vaddr_invalid_count--;
	return 0;
}

static int add_dma(struct type1 *type1, const struct vfio_iommu_type1_dma_map *map, uint8_t prot,
		   uint64_t last, struct vfake_task *task)
{
	struct type1_dma *dma = vfake_alloc(type1->kernel, sizeof(*dma));
	int ret;

	if (!dma)
		return -ENOMEM;
	dma->iova = map->iova;
	dma->vaddr = map->vaddr;
	dma->size_bytes = map->size;
	dma->prot = prot;
	dma->lock_cap = task->attr.cap_ipc_lock;
	dma->mm = task->mm;
	vfake_mm_grab(dma->mm);
	dma->task = task;
	vfake_task_get(task);
	type1->dma_avail--;
	ret = type1_pin(dma, task);
	if (!ret && type1->dirty_tracking)
		ret = type1_can_track(type1, dma);
	if (!ret)
		ret = vfake_fault(type1->kernel, VFAKE_FAULT_COMMIT);
	if (!ret)
		ret = vfake_iova_map_insert(&type1->dmas, dma->iova, last, (uintptr_t)dma);
	if (ret)
		free_dma(type1, dma);
	return ret;
}

static long type1_map_dma(struct vfake_call *call)
{
	const struct vfio_iommu_type1_dma_map *map = call->arg;
	struct type1 *type1 = vfio_call_iommu(call);
	bool vaddr_only = map->flags & VFIO_DMA_MAP_FLAG_VADDR;
	struct vfake_iova_range range;
	uint64_t last, vaddr_last;
	uint8_t prot = 0;

	if (!map->size)
		return -EINVAL;
	if (__builtin_add_overflow(map->iova, map->size - 1, &last) ||
	    __builtin_add_overflow(map->vaddr, map->size - 1, &vaddr_last))
		return -EOVERFLOW;
	if (map->flags & VFIO_DMA_MAP_FLAG_WRITE)
		prot |= VFAKE_IOMMU_WRITE;
	if (map->flags & VFIO_DMA_MAP_FLAG_READ)
		prot |= VFAKE_IOMMU_READ;
	if (vaddr_only == !!prot)
		return -EINVAL;
	if ((map->size | map->iova | map->vaddr) & (type1_pgsize(type1) - 1))
		return -EINVAL;
	if (vaddr_only)
		return set_vaddr(type1, map, last, call->task);
	if (vfake_iova_map_first_overlap(&type1->dmas, map->iova, last, &range))
		return -EEXIST;
	if (!type1->dma_avail)
		return -ENOSPC;
	if (!may_map(type1, map->iova, last))
		return -EINVAL;
	return add_dma(type1, map, prot, last, call->task);
}

/* ---- unmapping ---- */

/* Finds the end of the range that an unmap means, or the errno that its numbers earn. */
static int unmap_last(const struct type1 *type1, const struct vfio_iommu_type1_dma_unmap *unmap,
		      uint64_t *last)
{
	uint64_t page_mask = type1_pgsize(type1) - 1;

	if (unmap->iova & page_mask)
		return -EINVAL;
	if (unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL) {
		*last = UINT64_MAX;
		return unmap->iova || unmap->size ? -EINVAL : 0;
	}
	if (!unmap->size || (unmap->size & page_mask))
		return -EINVAL;
	return __builtin_add_overflow(unmap->iova, unmap->size - 1, last) ? -EOVERFLOW : 0;
}

/* v2: a mapping that is only partly in the range forbids the call. */
static bool bisects(const struct type1 *type1, uint64_t iova, uint64_t last)
{
	struct vfake_iova_range range;

	if (vfake_iova_map_find(&type1->dmas, iova, &range) && range.start != iova)
		return true;
	return vfake_iova_map_find(&type1->dmas, last, &range) && range.last != last;
}

static void give_back_vaddrs(struct type1 *type1, uint64_t iova, const struct type1_dma *end)
{
	struct vfake_iova_cursor at = vfake_iova_cursor_seek(&type1->dmas, iova);
	struct vfake_iova_range range;

	for (; vfake_iova_cursor_get(&at, &range); vfake_iova_cursor_next(&at)) {
		struct type1_dma *dma = type1_dma_of(&range);

		if (dma == end)
			return;
		dma->vaddr_invalid = false;
		type1->vaddr_invalid_count--;
	}
}

static int invalidate_vaddrs(struct type1 *type1, uint64_t iova, uint64_t last, uint64_t *done)
{
	struct vfake_iova_cursor at = vfake_iova_cursor_seek(&type1->dmas, iova);
	struct vfake_iova_range range;

	for (; vfake_iova_cursor_get(&at, &range) && range.start <= last;
	     vfake_iova_cursor_next(&at)) {
		struct type1_dma *dma = type1_dma_of(&range);

		if (!type1->v2 && iova > range.start)
			return 0;
		if (dma->vaddr_invalid) {
			give_back_vaddrs(type1, iova, dma);
			return -EINVAL;
		}
		dma->vaddr_invalid = true;
		type1->vaddr_invalid_count++;
		*done += dma->size_bytes;
	}
	return 0;
}

/* Unmaps what [iova, last] holds; with @bitmap, reports each mapping before it goes. */
static int unmap_range(struct type1 *type1, struct vfake_call *call, uint64_t iova, uint64_t last,
		       const struct vfio_bitmap *bitmap, uint64_t *done)
{
	struct vfake_iova_range range;

	while (vfake_iova_map_first_overlap(&type1->dmas, iova, last, &range)) {
		struct type1_dma *dma = type1_dma_of(&range);
		int ret = 0;

		if (!type1->v2 && iova > range.start)
			break;
		if (bitmap)
			ret = type1_report_dirty(type1, call, dma,
						 (uint64_t)(uintptr_t)bitmap->data, iova);
		if (ret)
			return ret;
		*done += dma->size_bytes;
		remove_dma(type1, dma);
	}
	return 0;
}

static int copy_bitmap(struct vfake_call *call, struct vfio_bitmap *bitmap)
{
	const struct vfio_iommu_type1_dma_unmap *unmap = call->arg;
	uint64_t header = offsetof(struct vfio_iommu_type1_dma_unmap, data);

	if (unmap->flags & (VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR))
		return -EINVAL;
	if (call->size_bytes < header + sizeof(*bitmap))
		return -EINVAL;
	if (vfake_copy_in(call, bitmap, call->uarg + header, sizeof(*bitmap)))
		return -EFAULT;
	return type1_check_bitmap(unmap->size, bitmap->pgsize, (uint64_t)(uintptr_t)bitmap->data,
				  bitmap->size);
}

static long type1_unmap_dma(struct vfake_call *call)
{
	bool with_bitmap, vaddr_only, all;
	struct vfio_iommu_type1_dma_unmap *unmap = call->arg;
	struct type1 *type1 = vfio_call_iommu(call);
	struct vfio_bitmap bitmap;
	uint64_t last, done = 0;
	int ret;

	with_bitmap = unmap->flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	vaddr_only = unmap->flags & VFIO_DMA_UNMAP_FLAG_VADDR;
	all = unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL;
	ret = with_bitmap ? copy_bitmap(call, &bitmap) : 0;
	if (!ret)
		ret = unmap_last(type1, unmap, &last);
	if (ret)
		return ret;
	if (with_bitmap && (!type1->dirty_tracking || bitmap.pgsize != type1_pgsize(type1)))
		return -EINVAL;
	if (type1->v2 && !all && bisects(type1, unmap->iova, last))
		return -EINVAL;
	ret = vfake_fault(call->kernel, VFAKE_FAULT_COMMIT);
	if (ret)
		return ret;
	if (vaddr_only)
		ret = invalidate_vaddrs(type1, unmap->iova, last, &done);
	else
		ret = unmap_range(type1, call, unmap->iova, last, with_bitmap ? &bitmap : NULL,
				  &done);
	unmap->size = done;
	return ret;
}

/* ---- information ---- */

static int add_ranges_cap(const struct type1 *type1, struct vfio_caps *caps)
{
	struct vfio_iommu_type1_info_cap_iova_range *cap;
	uint32_t bytes =
		(uint32_t)(sizeof(*cap) + type1->range_count * sizeof(cap->iova_ranges[0]));

	if (!type1->range_count)
		return 0;
	cap = vfio_caps_add(caps, bytes, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1);
	if (!cap)
		return -ENOMEM;
	cap->nr_iovas = type1->range_count;
	for (uint32_t i = 0; i < type1->range_count; i++) {
		cap->iova_ranges[i].start = type1->ranges[i].start;
		cap->iova_ranges[i].end = type1->ranges[i].last;
	}
	return 0;
}

static int add_caps(const struct type1 *type1, struct vfio_caps *caps)
{
	struct vfio_iommu_type1_info_cap_migration *migration =
		vfio_caps_add(caps, sizeof(*migration), VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1);
	struct vfio_iommu_type1_info_dma_avail *avail =
		vfio_caps_add(caps, sizeof(*avail), VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1);

	if (!migration || !avail)
		return -ENOMEM;
	migration->pgsize_bitmap = type1_pgsize(type1);
	migration->max_dirty_bitmap_size = (uint64_t)1 << 28; /* a bit for each of 2^31 pages */
	avail->avail = type1->dma_avail;
	return add_ranges_cap(type1, caps);
}

static long type1_get_info(struct vfake_call *call)
{
	struct vfio_iommu_type1_info *info = call->arg;
	const struct type1 *type1 = vfio_call_iommu(call);
	struct vfio_caps caps = { .size_bytes = 0 };
	int ret = add_caps(type1, &caps);

	if (ret)
		return ret;
	info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info->iova_pgsizes = type1->pgsizes;
	info->cap_offset = 0;
	info->pad = 0;
	return vfio_caps_finish(call, &caps, sizeof(*info), &info->argsz, &info->cap_offset);
}

const vfake_handler vfake_type1_handlers[VFAKE_HANDLERS] = {
	[VFIO_IOMMU_GET_INFO & 0xff] = type1_get_info,
	[VFIO_IOMMU_MAP_DMA & 0xff] = type1_map_dma,
	[VFIO_IOMMU_UNMAP_DMA & 0xff] = type1_unmap_dma,
	[VFIO_IOMMU_DIRTY_PAGES & 0xff] = type1_dirty_pages,
};

/* ---- the driver ---- */

static long type1_check_extension(struct vfake_kernel *kernel, void *iommu, uint64_t extension)
{
	const struct type1 *type1 = iommu;
	const struct type1_domain *domain;

	(void)kernel;
	switch (extension) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return 1;
	case VFIO_UPDATE_VADDR:
		return type1 != NULL;
	case VFIO_DMA_CC_IOMMU:
		if (!type1)
			return 0;
		TAILQ_FOREACH(domain, &type1->domains, entry)
		{
			if (!domain->domain.enforce_coherency)
				return 0;
		}
		return 1;
	default:
		return 0;
	}
}

static int type1_open(struct vfake_task *task, uint64_t type, void **iommu)
{
	struct vfake_iova_map_mem mem = vfake_map_memory(task->kernel);
	struct type1 *type1;

	/* CHECK_EXTENSION says yes to more than what can be set. */
	if (type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU)
		return -EINVAL;
	type1 = vfake_alloc(task->kernel, sizeof(*type1));
	if (!type1)
		return -ENOMEM;
	type1->kernel = task->kernel;
	type1->v2 = type != VFIO_TYPE1_IOMMU;
	type1->dma_avail = task->kernel->world.dma_entry_limit;
	vfake_iova_map_init(&type1->dmas, &mem);
	TAILQ_INIT(&type1->domains);
	*iommu = type1;
	return 0;
}

static void type1_release(void *iommu)
{
	struct type1 *type1 = iommu;

	type1_unmap_all(type1);
	vfake_iova_map_destroy(&type1->dmas);
	vfake_free(type1->kernel, type1);
}

/* v1 has no dirty tracking, whatever the argument. */
static long type1_forbids(void *iommu, uint32_t number)
{
	const struct type1 *type1 = iommu;

	return number == VFIO_IOMMU_DIRTY_PAGES && !type1->v2 ? -EACCES : 0;
}

const struct vfio_iommu_driver vfio_type1_driver = {
	.name = "vfio-iommu-type1",
	.where = UAPI_ON_TYPE1,
	.check_extension = type1_check_extension,
	.open = type1_open,
	.release = type1_release,
	.forbids = type1_forbids,
	.attach_group = type1_attach_group,
	.detach_group = type1_detach_group,
};
