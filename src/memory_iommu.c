/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What vIOMMUs have mapped: a sorted array per region. A mapping is told, kept and taken away
 * whole, so that what listeners made of it can be undone by the very same range.
 */
#include <string.h>

#include "memory.h"

enum { PROT_MASK = 3 };

/* The first mapping that ends at @addr or behind it; the count if there is none. */
static size_t first_from(const struct guest_region *region, uint64_t addr)
{
	size_t low = 0;
	size_t high = region->map_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (region->maps[middle].last < addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Inside of the region, and whole pages. */
static bool range_fits(const struct guest_region *region, const struct vfio_iommu_entry *entry)
{
	uint64_t pgsizes = region->spec.iommu_pgsizes;
	uint64_t mask = (pgsizes & -pgsizes) - 1;

	return entry->iova <= entry->last && entry->iova >= region->spec.start &&
	       entry->last <= region->spec.last && !(entry->iova & mask) &&
	       (entry->last & mask) == mask;
}

static bool target_fits(const struct guest_region *region, const struct vfio_iommu_entry *entry)
{
	uint64_t pgsizes = region->spec.iommu_pgsizes;
	uint64_t mask = (pgsizes & -pgsizes) - 1;

	return !(entry->prot & ~PROT_MASK) && entry->target_memory && !(entry->target & mask) &&
	       entry->target <= UINT64_MAX - (entry->last - entry->iova);
}

static void tell_map(struct vfio_memory *memory, const struct guest_region *region,
		     const struct vfio_iommu_entry *entry)
{
	struct vfio_memory_section section = vfio_memory_whole(region);

	memory->reporting++;
	for (struct vfio_memory_listener *l = memory->first; l; l = l->next) {
		if (l->iommu_notify)
			l->iommu_notify(l, &section, entry);
	}
	memory->reporting--;
}

static void tell_unmap(struct vfio_memory *memory, const struct guest_region *region,
		       const struct vfio_iommu_entry *mapped)
{
	struct vfio_memory_section section = vfio_memory_whole(region);
	struct vfio_iommu_entry entry = *mapped;

	entry.prot = 0;
	memory->reporting++;
	for (struct vfio_memory_listener *l = memory->last; l; l = l->prev) {
		if (l->iommu_notify)
			l->iommu_notify(l, &section, &entry);
	}
	memory->reporting--;
}

static int map(struct vfio_memory *memory, struct guest_region *region,
	       const struct vfio_iommu_entry *entry)
{
	size_t at = first_from(region, entry->iova);
	void *array = region->maps;

	if (!target_fits(region, entry))
		return -EINVAL;
	if (at < region->map_count && region->maps[at].iova <= entry->last)
		return -EEXIST;
	if (!vfio_memory_grow(memory, &array, region->map_count, &region->map_room, sizeof(*entry)))
		return -ENOMEM;
	region->maps = array;
	memmove(&region->maps[at + 1], &region->maps[at],
		(region->map_count - at) * sizeof(region->maps[0]));
	region->maps[at] = *entry;
	region->map_count++;
	if (region->visible)
		tell_map(memory, region, entry);
	return 0;
}

static int unmap(struct vfio_memory *memory, struct guest_region *region, uint64_t iova,
		 uint64_t last)
{
	size_t from = first_from(region, iova);
	size_t to = from;

	while (to < region->map_count && region->maps[to].last <= last)
		to++;
	if (from < to && region->maps[from].iova < iova)
		return -EINVAL;
	if (to < region->map_count && region->maps[to].iova <= last)
		return -EINVAL;
	for (size_t i = from; i < to && region->visible; i++)
		tell_unmap(memory, region, &region->maps[i]);
	if (from < to)
		memmove(&region->maps[from], &region->maps[to],
			(region->map_count - to) * sizeof(region->maps[0]));
	region->map_count -= to - from;
	return 0;
}

int vfio_memory_iommu_update(struct vfio_memory *memory, uint32_t id,
			     const struct vfio_iommu_entry *entry)
{
	struct guest_region *region = vfio_memory_region_of_kind(memory, id, VFIO_MEMORY_IOMMU);

	if (memory->reporting)
		return -EBUSY;
	if (!region)
		return -ENOENT;
	if (!range_fits(region, entry))
		return -EINVAL;
	return entry->prot ? map(memory, region, entry)
			   : unmap(memory, region, entry->iova, entry->last);
}

void vfio_memory_iommu_replay(struct vfio_memory *memory, const struct vfio_memory_section *section,
			      struct vfio_memory_listener *listener)
{
	const struct guest_region *region = vfio_memory_region(memory, section->id);

	if (!region || !listener->iommu_notify)
		return;
	memory->reporting++;
	for (size_t i = 0; i < region->map_count; i++) {
		const struct vfio_iommu_entry *entry = &region->maps[i];

		if (entry->iova >= section->start && entry->last <= section->last)
			listener->iommu_notify(listener, section, entry);
	}
	memory->reporting--;
}
