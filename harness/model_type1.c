/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model of the type1 driver's calls, with the answers that each of them must get.
 */
#include <uapi/vfio.h>

#include "model_internal.h"

static uint64_t smallest_page(const struct model *m)
{
	uint64_t sizes = m->world->iommu_pgsizes;
	uint64_t smallest = sizes & -sizes;

	return smallest < m->page ? m->page : smallest;
}

/* Inside of what the IOMMU translates, outside of what is reserved. */
static bool is_mappable(const struct model *m, uint64_t iova, uint64_t last)
{
	if (iova < m->world->aperture.start || last > m->world->aperture.last)
		return false;
	for (uint32_t i = 0; i < m->world->reserved_count; i++) {
		if (iova <= m->world->reserved[i].last && last >= m->world->reserved[i].start)
			return false;
	}
	return true;
}

/* ---- map ---- */

static long check_numbers(const struct model *m, const struct vfio_iommu_type1_dma_map *map)
{
	uint64_t last = map->iova + (map->size - 1), end = map->vaddr + (map->size - 1);
	bool rights = map->flags & (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	bool vaddr_only = map->flags & VFIO_DMA_MAP_FLAG_VADDR;

	if (!map->size)
		return -EINVAL;
	if (last < map->iova || end < map->vaddr)
		return -EOVERFLOW;
	if (rights == vaddr_only)
		return -EINVAL;
	return (map->size | map->iova | map->vaddr) & (smallest_page(m) - 1) ? -EINVAL : 0;
}

/* Suspended mappings get their memory back; whoever calls pays from now on. */
static void resume(struct model *m, int task, struct model_space *space,
		   const struct vfio_iommu_type1_dma_map *map, uint64_t last)
{
	size_t at = model_find(space, map->iova);
	struct model_mapping *mapping = &space->mappings[at];

	if (at == space->count || mapping->iova > last) {
		model_expect(m, -ENOENT);
		return;
	}
	if (mapping->iova != map->iova || mapping->last != last || !mapping->suspended) {
		model_expect(m, -EINVAL);
		return;
	}
	if (m->event->ret)
		return;
	mapping->suspended = false;
	mapping->vaddr = map->vaddr;
	if (mapping->task == task)
		return;
	if (m->tasks[mapping->task].live)
		m->tasks[mapping->task].locked -= mapping->charged;
	m->tasks[task].locked += mapping->charged;
	mapping->task = task;
}

/* A map of good numbers at a free place: whether its pages can be had and paid for. */
static void map_memory(struct model *m, int task, int space,
		       const struct vfio_iommu_type1_dma_map *map, uint64_t last)
{
	bool write = map->flags & VFIO_DMA_MAP_FLAG_WRITE;
	struct model_mapping mapping = {
		.iova = map->iova, .last = last, .vaddr = map->vaddr, .task = task, .pages = -1
	};
	uint64_t registers;
	bool there = model_memory(m, task, map->vaddr, map->size, write, &registers);
	uint64_t pages = map->size >> m->page_shift;

	mapping.rights = (uint8_t)((map->flags & VFIO_DMA_MAP_FLAG_READ ? MODEL_RIGHTS_READ : 0) |
				   (write ? MODEL_RIGHTS_WRITE : 0));
	mapping.pinned = true;
	mapping.charged = pages - registers;
	if (m->event->ret == 0 && !there)
		model_says(m, "there is no memory at 0x%llx to map",
			   (unsigned long long)map->vaddr);
	if (m->event->ret == 0 && !m->tasks[task].attr.cap_ipc_lock && mapping.charged &&
	    m->tasks[task].locked + mapping.charged > model_limit(m, task))
		model_says(m, "%llu pages are more than RLIMIT_MEMLOCK leaves",
			   (unsigned long long)mapping.charged);
	if (m->event->ret == -EFAULT && there && !m->event->fault)
		model_says(m, "there is memory to map");
	if (m->event->ret)
		return;
	m->pinned += pages;
	m->tasks[task].locked += mapping.charged;
	model_insert(m, space, &mapping);
}

static void map_dma(struct model *m, int task, const struct model_container *container)
{
	const struct vfio_iommu_type1_dma_map *map = m->event->in;
	struct model_space *space = &m->spaces[container->space];
	uint64_t last = map->iova + (map->size - 1);
	long bad = check_numbers(m, map);

	if (bad) {
		model_expect(m, bad);
		return;
	}
	model_touch(m, container->space, map->iova, last);
	if (map->flags & VFIO_DMA_MAP_FLAG_VADDR)
		resume(m, task, space, map, last);
	else if (model_overlaps(space, map->iova, last))
		model_expect(m, -EEXIST);
	else if (space->count >= m->world->dma_entry_limit)
		model_expect(m, -ENOSPC);
	else if (!is_mappable(m, map->iova, last))
		model_expect(m, -EINVAL);
	else
		map_memory(m, task, container->space, map, last);
}

/* ---- unmap ---- */

static bool is_cut(const struct model_space *space, uint64_t iova, uint64_t last)
{
	size_t at = model_find(space, iova);

	if (at < space->count && space->mappings[at].iova < iova)
		return true;
	at = model_find(space, last);
	return at < space->count && space->mappings[at].iova <= last &&
	       space->mappings[at].last > last;
}

static uint64_t suspend_range(struct model *m, const struct model_container *container,
			      uint64_t iova, uint64_t last)
{
	struct model_space *space = &m->spaces[container->space];
	size_t from = model_find(space, iova);
	uint64_t bytes = 0;

	for (size_t i = from; i < space->count && space->mappings[i].iova <= last; i++) {
		if (container->version == 1 && space->mappings[i].iova < iova)
			break;
		if (space->mappings[i].suspended) {
			model_expect(m, -EINVAL);
			return 0;
		}
		bytes += space->mappings[i].last - space->mappings[i].iova + 1;
	}
	if (!model_done(m))
		return 0;
	for (size_t i = from; bytes && i < space->count && space->mappings[i].iova <= last; i++)
		space->mappings[i].suspended = true;
	return bytes;
}

static uint64_t unmap_range(struct model *m, const struct model_container *container, uint64_t iova,
			    uint64_t last)
{
	struct model_space *space = &m->spaces[container->space];
	size_t at = model_find(space, iova);
	uint64_t bytes = 0;

	while (at < space->count && space->mappings[at].iova <= last) {
		if (container->version == 1 && space->mappings[at].iova < iova)
			break;
		bytes += space->mappings[at].last - space->mappings[at].iova + 1;
		model_remove(m, container->space, at);
	}
	return bytes;
}

/* What the numbers alone forbid. */
static long check_unmap(const struct model *m, const struct vfio_iommu_type1_dma_unmap *unmap)
{
	uint64_t mask = smallest_page(m) - 1;

	if (unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL)
		return unmap->iova || unmap->size ? -EINVAL : 0;
	if ((unmap->iova & mask) || !unmap->size || (unmap->size & mask))
		return -EINVAL;
	return unmap->iova + (unmap->size - 1) < unmap->iova ? -EOVERFLOW : 0;
}

static void unmap_checked(struct model *m, struct model_container *container,
			  const struct vfio_iommu_type1_dma_unmap *unmap, uint64_t last)
{
	const struct vfio_iommu_type1_dma_unmap *out = m->event->out;
	struct vfake_space_at at;
	uint64_t bytes;

	if (unmap->flags & VFIO_DMA_UNMAP_FLAG_VADDR) {
		bytes = suspend_range(m, container, unmap->iova, last);
	} else if (m->event->ret && (unmap->flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)) {
		/* Each mapping goes after its bits were told: those before the bad one are gone. */
		if (model_container_at(m, (int)(container - m->containers), &at))
			model_take_front(m, &at, container->space, unmap->iova, last);
		return;
	} else if (model_done(m)) {
		bytes = unmap_range(m, container, unmap->iova, last);
	} else {
		return;
	}
	if (m->event->ret == 0 && out->size != bytes)
		model_says(m, "0x%llx bytes went, the model has 0x%llx",
			   (unsigned long long)out->size, (unsigned long long)bytes);
}

static void unmap_dma(struct model *m, struct model_container *container)
{
	const struct vfio_iommu_type1_dma_unmap *unmap = m->event->in;
	bool all = unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL;
	uint64_t last = all ? UINT64_MAX : unmap->iova + (unmap->size - 1);
	bool bitmap = unmap->flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	long bad = check_unmap(m, unmap);

	if (bad) {
		if (!bitmap)
			model_expect(m, bad);
		else if (m->event->ret >= 0)
			model_says(m, "the model expects a failure");
		return;
	}
	model_touch(m, container->space, unmap->iova, last);
	if (container->version == 2 && !all &&
	    is_cut(&m->spaces[container->space], unmap->iova, last)) {
		if (m->event->ret != -EFAULT || !bitmap)
			model_expect(m, -EINVAL);
		return;
	}
	unmap_checked(m, container, unmap, last);
}

/* ---- the calls ---- */

static void dirty_pages(struct model *m, struct model_container *container)
{
	const struct vfio_iommu_type1_dirty_bitmap *arg = m->event->in;

	if (m->event->ret)
		return;
	if (arg->flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_START)
		container->dirty_tracking = true;
	else if (arg->flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP)
		container->dirty_tracking = false;
	else if (!container->dirty_tracking)
		model_says(m, "dirty pages are told, but nobody tracks them");
}

void model_on_type1(struct model *m, int task, int at)
{
	struct model_container *container = &m->containers[at];

	if (container->driver != DRIVER_TYPE1) {
		model_says(m, "the container is not of type1");
		return;
	}
	switch (m->event->row->number) {
	case VFIO_IOMMU_MAP_DMA:
		map_dma(m, task, container);
		break;
	case VFIO_IOMMU_UNMAP_DMA:
		unmap_dma(m, container);
		break;
	case VFIO_IOMMU_DIRTY_PAGES:
		dirty_pages(m, container);
		break;
	default:
		break;
	}
}
