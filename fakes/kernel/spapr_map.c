/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling and clearing TCEs for a container.
 *
 * Imitates tce_iommu_build(), tce_iommu_build_v2() and tce_iommu_clear() of
 * drivers/vfio/vfio_iommu_spapr_tce.c, Linux 7.2, and the exchange of an entry in pci-ioda-tce.c.
 *
 * Kept: v1 pins the system page behind each TCE, writable whatever the mapping's rights are; v2
 * takes addresses from registered memory only and counts the TCEs of each region; a filled entry
 * may be filled again and gives up what it held; permission to write implies permission to read;
 * when a page fails, the entries filled so far are cleared, and what they held before is not
 * restored.
 *
 * A stretch of entries that lie together in one level and point into one run of pages is done in
 * one go, and v1 pins such a run in one go. The result is that of doing them one by one.
 */
#include <endian.h>

#include "spapr.h"

enum { RUN_MAX = 1 << 16 }; /* entries of v1 that are filled in one go */

/* ---- giving up what an entry held ---- */

/* What so many entries held that point into the memory at @addr. */
static void unpin(struct vfake_kernel *kernel, uint64_t addr, uint32_t count)
{
	uint64_t offset;
	struct vfake_mem *mem = spapr_frames_find(kernel, addr, &offset);

	spapr_frames_put(kernel, addr, count);
	vfake_unpin_pages(mem, count);
}

void spapr_unpin(struct vfake_kernel *kernel, uint64_t addr)
{
	unpin(kernel, addr, 1);
}

static void unuse_v1(struct vfake_kernel *kernel, uint64_t tce)
{
	spapr_unpin(kernel, tce & ~(uint64_t)SPAPR_TCE_PERMISSIONS);
}

/* Counts of TCEs that went, gathered as long as they are of one region. */
struct gone {
	struct vfake_mm *mm;
	struct spapr_region *region;
	uint64_t count;
};

static void flush_gone(struct gone *gone)
{
	if (gone->region)
		spapr_region_unmapped(gone->region, gone->count);
	gone->count = 0;
}

/* A TCE with that user address went. No region may know it: Linux finds it by address, too. */
static inline void note_gone(struct gone *gone, uint64_t user_addr, uint64_t page)
{
	const struct spapr_region *region = gone->region;

	if (!region || user_addr - region->user_addr > region->size_bytes - page) {
		flush_gone(gone);
		gone->region = spapr_region_find(gone->mm, user_addr, page);
	}
	gone->count++;
}

/* ---- unmap ---- */

static void clear_v1(struct spapr_table *table, uint64_t *hw, uint64_t count)
{
	const struct vfake_mem *mem = NULL;
	uint64_t addr = 0, offset;
	uint32_t held = 0; /* by those before, in the same memory */

	for (uint64_t i = 0; i < count; i++) {
		uint64_t tce = be64toh(hw[i]);
		const struct vfake_mem *next;

		hw[i] = 0;
		if (!(tce & SPAPR_TCE_PERMISSIONS))
			continue;
		tce &= ~(uint64_t)SPAPR_TCE_PERMISSIONS;
		next = spapr_frames_find(table->kernel, tce, &offset);
		if (held && next != mem) {
			unpin(table->kernel, addr, held);
			held = 0;
		}
		mem = next;
		addr = tce;
		held++;
	}
	if (held)
		unpin(table->kernel, addr, held);
}

/* Clears entries from @from on until one points elsewhere than into the region: that one's number.
 */
static uint64_t clear_of_region(const struct spapr_stretch *at, uint64_t from, uint64_t page,
				struct gone *gone)
{
	const uint64_t permissions = htobe64(SPAPR_TCE_PERMISSIONS);
	const uint64_t start = gone->region->user_addr;
	const uint64_t last = gone->region->size_bytes - page;
	uint64_t *hw = at->hw, *user = at->user;
	uint64_t count = 0, i;

	for (i = from; i < at->count; i++) {
		if (hw[i] & permissions) {
			if (be64toh(user[i]) - start > last)
				break;
			user[i] = 0;
			count++;
		}
		hw[i] = 0;
	}
	gone->count += count;
	return i;
}

static void clear_v2(const struct spapr_table *table, const struct spapr_stretch *at,
		     struct gone *gone)
{
	const uint64_t permissions = htobe64(SPAPR_TCE_PERMISSIONS);
	uint64_t page = spapr_table_page(table);
	uint64_t i = 0;

	while (i < at->count) {
		if (gone->region)
			i = clear_of_region(at, i, page, gone);
		if (i == at->count)
			break;
		if (at->hw[i] & permissions) { /* of another region, or the first of all */
			note_gone(gone, be64toh(at->user[i]), page);
			at->user[i] = 0;
		}
		at->hw[i++] = 0;
	}
}

void spapr_unmap(struct spapr *spapr, struct spapr_table *table, uint64_t entry, uint64_t pages)
{
	uint64_t index = entry - table->offset;
	struct gone gone = { .mm = spapr->mm };
	struct spapr_stretch at;

	for (; pages; pages -= at.count, index += at.count) {
		spapr_table_stretch(table, index, pages, false, &at);
		if (at.hw && spapr->v2)
			clear_v2(table, &at, &gone);
		else if (at.hw)
			clear_v1(table, at.hw, at.count);
	}
	flush_gone(&gone);
}

/* ---- map ---- */

/* What is pinned at @addr: as much as lies together, @len bytes at most, in whole pages. */
static int64_t pin_whole(struct vfake_mm *mm, uint64_t addr, uint64_t len, struct vfake_pin *pin)
{
	uint64_t page = vfake_page_size(mm->kernel);
	uint64_t start = addr & ~(page - 1);
	int64_t ret;

	len = (addr - start + len + page - 1) & ~(page - 1);
	ret = vfake_pin(mm, start, len, true, pin);
	if (ret == -EFAULT && len > page)
		ret = vfake_pin(mm, start, page, true, pin);
	return ret;
}

/*
 * Pins the system page behind each of the next TCEs, as many of these as one run of memory is for,
 * @count at most, which becomes their number. The first one's physical address, or 0 with *error
 * set.
 */
static uint64_t pin_pages(struct vfake_mm *mm, const struct spapr_table *table, uint64_t addr,
			  uint32_t *count, int *error)
{
	uint64_t page = vfake_page_size(mm->kernel), tce = spapr_table_page(table);
	uint64_t within = addr & (page - 1);
	struct vfake_pin pin = { 0 };
	int64_t ret;
	uint64_t base;

	if (tce > page || addr + *count * tce < addr)
		*count = 1;
	ret = pin_whole(mm, addr, tce > page ? 1 : *count * tce, &pin);
	*error = -EFAULT;
	if (ret < 0)
		return 0;
	if (*count > ((uint64_t)ret - within) / tce && tce <= page)
		*count = (uint32_t)(((uint64_t)ret - within) / tce);
	base = pin.pfnmap ? 0 : spapr_frames_get(mm->kernel, pin.mem, *count);
	if (base) {
		vfake_pin_by_page(&pin, *count);
		return base + pin.offset + within;
	}
	if (!pin.pfnmap)
		*error = -ENOMEM;
	vfake_unpin(&pin);
	return 0;
}

/* Entries whose memory is pinned; *filled says how many are filled when it fails. */
static int fill_v1(struct spapr_table *table, uint64_t index, uint64_t tce, uint32_t count,
		   uint32_t *filled)
{
	struct spapr_stretch at = { 0 };

	for (*filled = 0; *filled < count; *filled += (uint32_t)at.count) {
		int ret = spapr_table_stretch(table, index + *filled, count - *filled, true, &at);

		if (ret)
			return ret;
		for (uint64_t i = 0; i < at.count; i++, tce += spapr_table_page(table)) {
			uint64_t old = be64toh(at.hw[i]);

			at.hw[i] = htobe64(tce);
			if (old & SPAPR_TCE_PERMISSIONS)
				unuse_v1(table->kernel, old);
		}
	}
	return 0;
}

/* *done says how many are filled when it fails. */
static int map_v1(struct vfake_mm *mm, struct spapr_table *table, uint64_t index, uint64_t addr,
		  uint64_t pages, uint32_t permissions, uint64_t *done)
{
	int ret = 0;

	for (*done = 0; *done < pages && !ret;) {
		uint32_t count = RUN_MAX, filled;
		uint64_t physical;

		if (count > pages - *done)
			count = (uint32_t)(pages - *done);
		physical = pin_pages(mm, table, addr + (*done << table->page_shift), &count, &ret);
		if (!physical)
			return ret;
		ret = fill_v1(table, index + *done, physical | permissions, count, &filled);
		if (ret)
			unpin(table->kernel, physical, count - filled);
		*done += filled;
	}
	return ret;
}

/* Entries of one stretch, memory of one run. */
static void fill(const struct spapr_table *table, const struct spapr_stretch *at, uint64_t tce,
		 uint64_t addr, struct gone *gone)
{
	const uint64_t permissions = htobe64(SPAPR_TCE_PERMISSIONS);
	uint64_t page = spapr_table_page(table);

	for (uint64_t i = 0; i < at->count; i++) {
		if (at->hw[i] & permissions)
			note_gone(gone, be64toh(at->user[i]), page);
		at->hw[i] = htobe64(tce + i * page);
		at->user[i] = htobe64(addr + i * page);
	}
}

/* Memory from @addr on that TCEs of @table can point to: 0 with its region, or -errno. */
static int source(const struct vfake_mm *mm, const struct spapr_table *table, uint64_t addr,
		  struct spapr_region **region)
{
	*region = spapr_region_find(mm, addr, spapr_table_page(table));
	if (!*region || table->page_shift > (*region)->page_shift)
		return -EINVAL;
	return spapr_region_has_page(*region, addr, table->page_shift) ? 0 : -EPERM;
}

static int map_v2(struct vfake_mm *mm, struct spapr_table *table, uint64_t index, uint64_t addr,
		  uint64_t pages, uint32_t permissions, uint64_t *done)
{
	struct gone gone = { .mm = mm };
	struct spapr_stretch at = { 0 };
	int ret = 0;

	for (*done = 0; *done < pages; *done += at.count) {
		uint64_t user_addr = addr + (*done << table->page_shift);
		struct spapr_region *region;
		uint64_t len, physical;

		ret = source(mm, table, user_addr, &region);
		if (ret)
			break;
		physical = spapr_region_addr(region, user_addr, &len) | permissions;
		len >>= table->page_shift;
		ret = spapr_table_stretch(table, index + *done,
					  len < pages - *done ? len : pages - *done, true, &at);
		if (ret)
			break;
		region->mapped += at.count;
		fill(table, &at, physical, user_addr, &gone);
	}
	flush_gone(&gone);
	return ret;
}

int spapr_map(struct spapr *spapr, struct vfake_task *task, struct spapr_table *table,
	      uint64_t entry, uint64_t addr, uint64_t pages, uint32_t permissions)
{
	uint64_t index = entry - table->offset;
	uint64_t done = 0;
	int ret;

	if (permissions & SPAPR_TCE_WRITE)
		permissions |= SPAPR_TCE_READ;
	ret = spapr->v2 ? map_v2(task->mm, table, index, addr, pages, permissions, &done)
			: map_v1(task->mm, table, index, addr, pages, permissions, &done);
	if (ret)
		spapr_unmap(spapr, table, entry, done);
	return ret;
}
