/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registered memory, and the physical addresses that TCEs hold.
 *
 * Imitates arch/powerpc/mm/book3s64/iommu_api.c of Linux 7.2.
 *
 * Kept: a process has one list of regions that all its containers share; a region is found again by
 * exactly its address and size; it is pinned writable and charged to RLIMIT_MEMLOCK when it first
 * appears; regions do not overlap, which is judged after pinning; when only a part can be pinned,
 * the count of the pages that could be is the result; a region of no size is ENOMEM. TCEs cover no
 * more than a page of the memory, nor than place and size of the region are multiples of; a huge
 * page at its start speaks for the rest of it, and a smaller one behind that is EPERM to map.
 *
 * Kept although it is odd: UNREGISTER_MEMORY of a region that TCEs still point to succeeds, and the
 * region stays in the process's list with nobody to take it back: maps go on finding it, and
 * another region cannot overlap it. It goes with the process.
 *
 * Dropped on purpose: WARNs that a caller can reach (a region of no size; a region left over in a
 * container or a process that ends). What is left over is freed silently.
 *
 * Physical addresses are made up: each piece of memory that something points to gets a number, and
 * an address is that number and an offset. So they are the same in every run.
 */
#include <string.h>

#include "spapr.h"

/* ---- physical addresses ---- */

enum { FRAME_SHIFT = 40 }; /* a piece of memory has at most 1 TiB */
enum { FRAME_SLOTS_MAX = 1 << (59 - FRAME_SHIFT) };

struct frame_slot {
	struct vfake_mem *mem; /* kept alive by whoever has it pinned; NULL when free */
	uint64_t uses;
};

struct spapr_frames {
	uint32_t count; /* slots in use */
	uint32_t space;
	uint32_t last_hit;
	uint32_t lowest_free;
	struct frame_slot slots[];
};

static uint64_t slot_addr(uint32_t slot)
{
	return (uint64_t)(slot + 1) << FRAME_SHIFT;
}

static int grow_frames(struct vfake_kernel *kernel)
{
	struct spapr_frames *old = kernel->spapr_frames;
	uint32_t space = old ? 2 * old->space : 16;
	struct spapr_frames *frames;

	if (old && old->count < old->space)
		return 0;
	if (space >= FRAME_SLOTS_MAX)
		return -ENOMEM;
	frames = vfake_alloc(kernel, sizeof(*frames) + space * sizeof(frames->slots[0]));
	if (!frames)
		return -ENOMEM;
	if (old)
		memcpy(frames, old, sizeof(*old) + old->space * sizeof(old->slots[0]));
	frames->space = space;
	vfake_free(kernel, old);
	kernel->spapr_frames = frames;
	return 0;
}

/* The slot of @mem, or that of nobody. Memory of the host program is new with each pin. */
static uint32_t find_slot(const struct spapr_frames *frames, const struct vfake_mem *mem)
{
	if (frames->slots[frames->last_hit].mem == mem)
		return frames->last_hit;
	for (uint32_t i = 0; i < frames->space && !mem->foreign; i++) {
		if (frames->slots[i].mem == mem)
			return i;
	}
	return frames->space;
}

uint64_t spapr_frames_get(struct vfake_kernel *kernel, struct vfake_mem *mem, uint32_t uses)
{
	struct spapr_frames *frames;
	uint32_t slot;

	if (mem->size_bytes > (uint64_t)1 << FRAME_SHIFT || grow_frames(kernel))
		return 0;
	frames = kernel->spapr_frames;
	slot = find_slot(frames, mem);
	if (slot == frames->space) {
		slot = frames->lowest_free;
		while (frames->slots[slot].mem)
			slot++;
		frames->slots[slot] = (struct frame_slot){ .mem = mem };
		frames->lowest_free = slot + 1;
		frames->count++;
	}
	frames->slots[slot].uses += uses;
	frames->last_hit = slot;
	return slot_addr(slot);
}

static uint32_t slot_of(uint64_t addr)
{
	return (uint32_t)(addr >> FRAME_SHIFT) - 1;
}

void spapr_frames_put(struct vfake_kernel *kernel, uint64_t addr, uint32_t uses)
{
	struct spapr_frames *frames = kernel->spapr_frames;
	uint32_t slot = slot_of(addr);

	frames->slots[slot].uses -= uses;
	if (frames->slots[slot].uses)
		return;
	frames->slots[slot].mem = NULL;
	if (slot < frames->lowest_free)
		frames->lowest_free = slot;
	if (--frames->count)
		return;
	kernel->spapr_frames = NULL;
	vfake_free(kernel, frames);
}

struct vfake_mem *spapr_frames_find(const struct vfake_kernel *kernel, uint64_t addr,
				    uint64_t *offset)
{
	const struct spapr_frames *frames = kernel->spapr_frames;
	uint32_t slot = slot_of(addr);

	if (!frames || slot >= frames->space)
		return NULL;
	*offset = addr & (((uint64_t)1 << FRAME_SHIFT) - 1);
	return frames->slots[slot].mem;
}

/* ---- regions: pages ---- */

static int add_run(struct vfake_kernel *kernel, struct spapr_region *region,
		   const struct spapr_run *run)
{
	uint32_t space = region->run_space ? 2 * region->run_space : 1;
	struct spapr_run *runs;

	if (region->run_count == region->run_space) {
		runs = vfake_alloc(kernel, space * sizeof(*runs));
		if (!runs)
			return -ENOMEM;
		if (region->run_count)
			memcpy(runs, region->runs, region->run_count * sizeof(*runs));
		vfake_free(kernel, region->runs);
		region->runs = runs;
		region->run_space = space;
	}
	region->runs[region->run_count++] = *run;
	return 0;
}

/* Pins the next pages, as many as lie together: bytes, or -errno. */
static int64_t pin_run(struct vfake_mm *mm, struct spapr_region *region, uint64_t addr,
		       uint64_t len)
{
	struct spapr_run run = { .user_addr = addr };
	int64_t bytes = vfake_pin(mm, addr, len, true, &run.pin);
	uint64_t base;
	int ret;

	if (bytes < 0)
		return bytes;
	base = run.pin.pfnmap ? 0 : spapr_frames_get(mm->kernel, run.pin.mem, 1);
	if (!base) {
		ret = run.pin.pfnmap ? -EFAULT : -ENOMEM;
		vfake_unpin(&run.pin);
		return ret;
	}
	run.addr = base + run.pin.offset;
	ret = add_run(mm->kernel, region, &run);
	if (!ret)
		return bytes;
	spapr_frames_put(mm->kernel, base, 1);
	vfake_unpin(&run.pin);
	return ret;
}

/* 0, or -errno when not even the first page could be pinned, or how many pages could. */
static long pin_all(struct vfake_mm *mm, struct spapr_region *region)
{
	uint64_t done = 0;

	while (done < region->size_bytes) {
		int64_t bytes =
			pin_run(mm, region, region->user_addr + done, region->size_bytes - done);

		if (bytes == -EFAULT && done)
			return (long)(done >> mm->kernel->page_shift);
		if (bytes < 0)
			return (long)bytes;
		done += (uint64_t)bytes;
	}
	return 0;
}

static void free_region(struct vfake_kernel *kernel, struct spapr_region *region)
{
	for (uint32_t i = 0; i < region->run_count; i++) {
		spapr_frames_put(kernel, region->runs[i].addr, 1);
		vfake_unpin(&region->runs[i].pin);
	}
	vfake_free(kernel, region->runs);
	vfake_free(kernel, region);
}

/* ---- regions: a process's list ---- */

/* What nobody took back goes with the process. */
static void free_all(struct vfake_mm *mm)
{
	struct spapr_region *region;

	while ((region = mm->spapr_regions)) {
		mm->spapr_regions = region->next;
		vfake_uncharge_locked(mm, region->size_bytes >> mm->kernel->page_shift);
		free_region(mm->kernel, region);
	}
}

static void unlink_region(struct vfake_mm *mm, struct spapr_region *region)
{
	struct spapr_region **at = &mm->spapr_regions;

	while (*at != region)
		at = &(*at)->next;
	*at = region->next;
}

struct spapr_region *spapr_region_get(struct vfake_mm *mm, uint64_t addr, uint64_t size_bytes)
{
	struct spapr_region *region = mm->spapr_regions;

	while (region && (region->user_addr != addr || region->size_bytes != size_bytes))
		region = region->next;
	if (region)
		region->used++;
	return region;
}

static bool overlaps(const struct vfake_mm *mm, uint64_t addr, uint64_t size_bytes)
{
	const struct spapr_region *region = mm->spapr_regions;

	while (region && (region->user_addr >= addr + size_bytes ||
			  addr >= region->user_addr + region->size_bytes))
		region = region->next;
	return region;
}

/* Linux finds no memory for the list of no pages, or of more pages than memory has bytes for. */
static bool list_fits(const struct vfake_kernel *kernel, uint64_t pages)
{
	return pages && pages <= kernel->world.ram_bytes / sizeof(uint64_t);
}

/* What a TCE into the region can cover, as a shift. */
static uint32_t widest_tce(const struct vfake_kernel *kernel, const struct spapr_region *region)
{
	uint64_t multiple = region->user_addr | region->size_bytes;
	uint32_t widest = multiple ? (uint32_t)__builtin_ctzll(multiple) : kernel->page_shift;
	uint32_t page = kernel->page_shift;

	for (uint32_t i = 0; i < region->run_count; i++) {
		/* A page of the common size leaves in force what a huge one before it said. */
		if (widest > kernel->page_shift &&
		    region->runs[i].pin.mem->page_shift > kernel->page_shift)
			page = region->runs[i].pin.mem->page_shift;
		if (page < widest)
			widest = page;
	}
	return widest;
}

long spapr_region_new(struct vfake_mm *mm, struct vfake_task *task, uint64_t addr,
		      uint64_t size_bytes, struct spapr_region **result)
{
	struct vfake_kernel *kernel = mm->kernel;
	uint64_t pages = size_bytes >> kernel->page_shift;
	struct spapr_region *region;
	long ret;

	ret = pages ? vfake_charge_locked(mm, pages, task, task->attr.cap_ipc_lock) : 0;
	if (ret)
		return ret;
	region = list_fits(kernel, pages) ? vfake_alloc(kernel, sizeof(*region)) : NULL;
	if (!region) {
		vfake_uncharge_locked(mm, pages);
		return -ENOMEM;
	}
	region->user_addr = addr;
	region->size_bytes = size_bytes;
	region->used = 1;
	region->mapped = 1;
	ret = pin_all(mm, region);
	if (!ret)
		region->page_shift = widest_tce(kernel, region);
	if (!ret && overlaps(mm, addr, size_bytes))
		ret = -EINVAL;
	if (ret) {
		free_region(kernel, region);
		vfake_uncharge_locked(mm, pages);
		return ret;
	}
	region->next = mm->spapr_regions;
	mm->spapr_regions = region;
	mm->release = free_all;
	*result = region;
	return 0;
}

void spapr_region_abandon(struct vfake_mm *mm, struct spapr_region *region)
{
	if (--region->used)
		return;
	unlink_region(mm, region);
	vfake_uncharge_locked(mm, region->size_bytes >> mm->kernel->page_shift);
	free_region(mm->kernel, region);
}

int spapr_region_put(struct vfake_mm *mm, struct spapr_region *region)
{
	if (region->used == 1 && region->mapped != 1)
		return -EBUSY;
	spapr_region_abandon(mm, region);
	return 0;
}

struct spapr_region *spapr_region_find(const struct vfake_mm *mm, uint64_t addr, uint64_t size)
{
	struct spapr_region *region = mm->spapr_regions;

	while (region &&
	       (region->user_addr > addr || addr - region->user_addr >= region->size_bytes ||
		region->size_bytes - (addr - region->user_addr) < size))
		region = region->next;
	return region;
}

/* The last run that starts at or before the address. */
static const struct spapr_run *find_run(const struct spapr_region *region, uint64_t user_addr)
{
	uint32_t low = 0, high = region->run_count - 1;

	while (low < high) {
		uint32_t middle = (low + high + 1) / 2;

		if (region->runs[middle].user_addr <= user_addr)
			low = middle;
		else
			high = middle - 1;
	}
	return &region->runs[low];
}

uint64_t spapr_region_addr(const struct spapr_region *region, uint64_t user_addr, uint64_t *len)
{
	const struct spapr_run *run = find_run(region, user_addr);

	*len = run->pin.len - (user_addr - run->user_addr);
	return run->addr + (user_addr - run->user_addr);
}

bool spapr_region_has_page(const struct spapr_region *region, uint64_t user_addr,
			   uint32_t page_shift)
{
	return find_run(region, user_addr)->pin.mem->page_shift >= page_shift;
}

void spapr_region_unmapped(struct spapr_region *region, uint64_t count)
{
	region->mapped = region->mapped > count ? region->mapped - count : 1;
}
