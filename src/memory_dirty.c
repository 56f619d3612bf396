/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty pages: a bitmap per region, from the first start of logging on. Pages are those of the
 * address space, so a region that does not begin on a page shares its first one with a neighbour.
 */
#include "memory.h"

enum { PAGE_SHIFT = 12 };

static uint64_t page_of(uint64_t addr)
{
	return addr >> PAGE_SHIFT;
}

/* The number of the region's last page, counted within it. */
static uint64_t last_bit(const struct guest_region *region)
{
	return page_of(region->spec.last) - page_of(region->spec.start);
}

bool vfio_memory_has_dirty(const struct vfio_memory_region *spec)
{
	return spec->kind == VFIO_MEMORY_RAM || spec->kind == VFIO_MEMORY_DISCARDABLE;
}

bool vfio_memory_new_dirty(struct vfio_memory *memory, struct guest_region *region)
{
	region->dirty = vfio_bits_new(memory, last_bit(region));
	return region->dirty;
}

/* The bits of the pages [first, last] that the region has, or false. */
static bool bits_of(const struct guest_region *region, uint64_t first, uint64_t last,
		    struct vfio_range *bits)
{
	uint64_t own_first = page_of(region->spec.start);
	uint64_t own_last = page_of(region->spec.last);

	if (!region->dirty || first > own_last || last < own_first)
		return false;
	bits->start = first > own_first ? first - own_first : 0;
	bits->last = (last < own_last ? last : own_last) - own_first;
	return true;
}

void vfio_memory_mark(struct guest_region *region, uint64_t start, uint64_t last)
{
	struct vfio_range bits;

	if (bits_of(region, page_of(start), page_of(last), &bits))
		vfio_bits_fill(region->dirty, bits.start, bits.last, true);
}

/* A page that [start, last] has only a part of stays: the rest of it may have been written. */
void vfio_memory_unmark(struct guest_region *region, uint64_t start, uint64_t last)
{
	const uint64_t mask = ((uint64_t)1 << PAGE_SHIFT) - 1;
	uint64_t first = page_of(start) + (start & mask ? 1 : 0);
	uint64_t end = page_of(last) + ((last & mask) == mask ? 1 : 0);
	struct vfio_range bits;

	if (first < end && bits_of(region, first, end - 1, &bits))
		vfio_bits_fill(region->dirty, bits.start, bits.last, false);
}

/* ---- logging ---- */

static bool reserve(struct vfio_memory *memory)
{
	for (size_t i = 0; i < memory->count; i++) {
		struct guest_region *region = memory->regions[i];

		if (region->dirty || !vfio_memory_has_dirty(&region->spec))
			continue;
		if (!vfio_memory_new_dirty(memory, region))
			return false;
		region->dirty_is_new = true;
	}
	return true;
}

/* With @keep, all bitmaps are clean and stay; without, those that are new go again. */
static void settle(struct vfio_memory *memory, bool keep)
{
	for (size_t i = 0; i < memory->count; i++) {
		struct guest_region *region = memory->regions[i];

		if (keep && region->dirty)
			vfio_bits_fill(region->dirty, 0, last_bit(region), false);
		if (!keep && region->dirty_is_new) {
			vfio_vmm_free(&memory->vmm, region->dirty);
			region->dirty = NULL;
		}
		region->dirty_is_new = false;
	}
}

/* From @l on down to the lowest priority. */
static void stop_from(struct vfio_memory_listener *l)
{
	for (; l; l = l->prev) {
		if (l->log_stop)
			l->log_stop(l);
	}
}

static bool start_all(struct vfio_memory *memory, struct vfio_error *error)
{
	for (struct vfio_memory_listener *l = memory->first; l; l = l->next) {
		if (l->log_start && !l->log_start(l, error)) {
			stop_from(l->prev);
			return false;
		}
	}
	return true;
}

bool vfio_memory_log_start(struct vfio_memory *memory, struct vfio_error *error)
{
	if (memory->reporting)
		return vfio_fail(error, -EBUSY, "starting to log from within a listener");
	if (memory->logging)
		return true;
	if (!reserve(memory)) {
		settle(memory, false);
		return vfio_fail(error, -ENOMEM, "a bitmap of dirty pages");
	}
	memory->reporting++;
	memory->logging = start_all(memory, error);
	memory->reporting--;
	settle(memory, memory->logging);
	return memory->logging;
}

void vfio_memory_log_stop(struct vfio_memory *memory)
{
	if (memory->reporting || !memory->logging)
		return;
	memory->reporting++;
	stop_from(memory->last);
	memory->reporting--;
	memory->logging = false;
}

static bool sync_one(struct vfio_memory *memory, struct vfio_memory_listener *listener,
		     struct vfio_error *error)
{
	for (size_t i = 0; i < memory->count && listener->log_sync; i++) {
		const struct guest_region *region = memory->regions[i];
		struct vfio_memory_section section = vfio_memory_whole(region);

		if (!region->visible)
			continue;
		if (!vfio_memory_has_dirty(&region->spec) && region->spec.kind != VFIO_MEMORY_IOMMU)
			continue;
		if (!listener->log_sync(listener, &section, error))
			return false;
	}
	return true;
}

bool vfio_memory_log_sync(struct vfio_memory *memory, struct vfio_error *error)
{
	bool told = true;

	if (memory->reporting)
		return vfio_fail(error, -EBUSY, "asking for dirty pages from within a listener");
	if (!memory->logging)
		return true;
	memory->reporting++;
	for (struct vfio_memory_listener *l = memory->first; l && told; l = l->next)
		told = sync_one(memory, l, error);
	memory->reporting--;
	return told;
}

/* ---- pages ---- */

void vfio_memory_set_dirty(struct vfio_memory *memory, uint64_t start, uint64_t last)
{
	const uint64_t mask = ((uint64_t)1 << PAGE_SHIFT) - 1;

	for (size_t i = 0; i < memory->count && start <= last; i++) {
		struct guest_region *region = memory->regions[i];

		if (!region->visible)
			continue;
		if (region->plugged)
			vfio_memory_mark_plugged(region, start & ~mask, last | mask);
		else
			vfio_memory_mark(region, start, last);
	}
}

bool vfio_memory_test_dirty(struct vfio_memory *memory, uint64_t addr, bool clear)
{
	uint64_t page = page_of(addr);
	bool dirty = false;

	for (size_t i = 0; i < memory->count; i++) {
		struct guest_region *region = memory->regions[i];
		struct vfio_range bits;

		if (!region->visible || !bits_of(region, page, page, &bits))
			continue;
		dirty |= vfio_bits_test(region->dirty, bits.start);
		if (clear)
			vfio_bits_fill(region->dirty, bits.start, bits.start, false);
	}
	return dirty;
}

uint64_t vfio_memory_dirty_pages(const struct vfio_memory *memory)
{
	uint64_t count = 0;
	uint64_t counted = UINT64_MAX; /* the last page of the regions so far, if it is dirty; no
					  page is so high */

	for (size_t i = 0; i < memory->count; i++) {
		const struct guest_region *region = memory->regions[i];

		if (!region->visible || !region->dirty)
			continue;
		count += vfio_bits_count(region->dirty, last_bit(region));
		if (counted == page_of(region->spec.start) && vfio_bits_test(region->dirty, 0))
			count--;
		if (vfio_bits_test(region->dirty, last_bit(region)))
			counted = page_of(region->spec.last);
	}
	return count;
}
