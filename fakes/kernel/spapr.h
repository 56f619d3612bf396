/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of the sPAPR TCE container driver: spapr.c (calls), spapr_map.c (map and unmap),
 * spapr_window.c (TCE tables), spapr_group.c (groups), spapr_memory.c (registered memory and
 * physical addresses), spapr_eeh.c (error handling).
 */
#ifndef FAKES_SPAPR_H
#define FAKES_SPAPR_H

#include "vfio.h"

enum {
	SPAPR_TCE_READ = 1, /* permission bits of an entry */
	SPAPR_TCE_WRITE = 2,
	SPAPR_TCE_PERMISSIONS = SPAPR_TCE_READ | SPAPR_TCE_WRITE,
	SPAPR_WINDOWS = 2, /* tables that a group of devices has room for */
};

/* ---- spapr_memory.c: physical addresses ---- */

/*
 * A TCE holds a physical address, so memory that is mapped gets one. Each use (a page pinned by v1,
 * a run of pages registered for v2) counts; the address goes with the last one.
 */
/* The physical address of the first byte of @mem, or 0 when memory is short. */
uint64_t spapr_frames_get(struct vfake_kernel *kernel, struct vfake_mem *mem, uint32_t uses);
void spapr_frames_put(struct vfake_kernel *kernel, uint64_t addr, uint32_t uses);
/* The memory at a physical address (borrowed), or NULL. */
struct vfake_mem *spapr_frames_find(const struct vfake_kernel *kernel, uint64_t addr,
				    uint64_t *offset);

/* ---- spapr_memory.c: registered memory ---- */

/* Pages that lie one behind the other in both address spaces. */
struct spapr_run {
	struct vfake_pin pin;
	uint64_t user_addr;
	uint64_t addr; /* physical */
};

/* Memory that a process registered. Every container of the process sees it. */
struct spapr_region {
	struct spapr_region *next;
	uint64_t user_addr;
	uint64_t size_bytes;
	uint64_t used;	     /* registrations, and look-ups that are under way */
	uint64_t mapped;     /* 1 + TCEs that point into it */
	uint32_t page_shift; /* TCEs that point into it cover no more */
	uint32_t run_count;
	uint32_t run_space;
	struct spapr_run *runs; /* by user_addr */
};

/* Whether the page at @user_addr, which is in the region, is at least of that size. */
bool spapr_region_has_page(const struct spapr_region *region, uint64_t user_addr,
			   uint32_t page_shift);
/* The region of exactly this place and size, used once more, or NULL. */
struct spapr_region *spapr_region_get(struct vfake_mm *mm, uint64_t addr, uint64_t size_bytes);
/* Pins and adds: 0, or -errno, or the number of pages when only a part could be pinned. */
long spapr_region_new(struct vfake_mm *mm, struct vfake_task *task, uint64_t addr,
		      uint64_t size_bytes, struct spapr_region **region);
/* One use less. The last one frees it, but not while TCEs point to it: then -EBUSY and no change.
 */
int spapr_region_put(struct vfake_mm *mm, struct spapr_region *region);
/* The last container lets go, TCEs or not. */
void spapr_region_abandon(struct vfake_mm *mm, struct spapr_region *region);
/* The region that holds the whole range, or NULL. */
struct spapr_region *spapr_region_find(const struct vfake_mm *mm, uint64_t addr, uint64_t size);
/* The physical address of @user_addr; *len gets how many bytes follow it without a break. */
uint64_t spapr_region_addr(const struct spapr_region *region, uint64_t user_addr, uint64_t *len);
void spapr_region_unmapped(struct spapr_region *region, uint64_t count);

/* ---- spapr_window.c: TCE tables ---- */

/*
 * A tree of equal levels. Entries are big-endian; those above the last level hold an address. A
 * level is cut into chunks, of which those are there that were written to: windows are large and
 * mostly empty.
 */
struct spapr_tree {
	uint64_t ***level; /* by number; 0 is the root; then by chunk */
	uint32_t count;
	uint32_t space;
};

/* A TCE table and, entry by entry, the user addresses behind it. Counted. */
struct spapr_table {
	struct vfake_kernel *kernel;
	uint32_t refs;
	uint32_t page_shift;
	uint32_t levels;
	uint32_t level_bits; /* a level has 2^level_bits entries */
	uint32_t chunk_bits; /* a chunk 2^chunk_bits */
	uint64_t offset;     /* number of the first entry: the window's start in pages */
	uint64_t size;	     /* entries that the hardware reads */
	uint64_t first_used; /* no entry before it or behind last_used was ever written */
	uint64_t last_used;
	uint64_t allocated_bytes; /* as charged to whoever made it */
	bool pins_pages;	  /* v1: each entry holds its page itself */
	struct spapr_tree hw;
	struct spapr_tree user;
	/* Entries beyond the end; see spapr_window.c. */
	uint64_t *spill_hw;
	uint64_t *spill_user;
	uint64_t spill_space;
};

/* A stretch of entries in one level. hw is NULL where the level is missing. */
struct spapr_stretch {
	uint64_t *hw;
	uint64_t *user;
	uint64_t count;
};

/* Bytes that a table of this shape takes with its copy, 0 when there is no such table. */
uint64_t spapr_table_size(const struct vfake_kernel *kernel, uint32_t page_shift,
			  uint64_t window_size, uint32_t levels);
int spapr_table_new(struct vfake_kernel *kernel, uint64_t start, uint32_t page_shift,
		    uint64_t window_size, uint32_t levels, struct spapr_table **table);
void spapr_table_get(struct spapr_table *table);
void spapr_table_put(struct spapr_table *table);

/*
 * The entries from number @index on, counted from the window's start, @limit of them at most.
 * With @alloc missing levels are made, because the caller will write to all of them: 0 or -ENOMEM.
 * Without, hw is NULL where nothing was ever written, and count says for how many entries.
 */
int spapr_table_stretch(struct spapr_table *table, uint64_t index, uint64_t limit, bool alloc,
			struct spapr_stretch *stretch);
/* The entry for an address, as it lies in memory (big-endian); false when the level is missing. */
bool spapr_table_read(struct spapr_table *table, uint64_t iova, uint64_t *entry);

static inline uint64_t spapr_table_page(const struct spapr_table *table)
{
	return (uint64_t)1 << table->page_shift;
}

static inline bool spapr_table_holds(const struct spapr_table *table, uint64_t iova)
{
	uint64_t entry = iova >> table->page_shift;

	return table->offset <= entry && entry < table->offset + table->size;
}

/* Linux's check of an address and a number of pages against a window: 0 or -EINVAL. */
int spapr_check_ioba(uint32_t page_shift, uint64_t offset, uint64_t size, uint64_t ioba,
		     uint64_t pages);

/* ---- spapr.c: containers ---- */

/* A group in a container, with the tables that its devices translate by. */
struct spapr_group {
	TAILQ_ENTRY(spapr_group) entry;
	struct vfake_domain domain;
	struct vfio_group *group;
	struct spapr_table *tables[SPAPR_WINDOWS]; /* counted */
	uint32_t frozen;			   /* EEH: SPAPR_FROZEN_* */
};

struct spapr_registration {
	TAILQ_ENTRY(spapr_registration) entry;
	struct spapr_region *region; /* used */
};

/* What VFIO_SET_IOMMU makes. */
struct spapr {
	struct vfake_kernel *kernel;
	bool v2;
	bool enabled;
	bool default_window_pending;
	uint64_t locked_pages; /* charged by ENABLE */
	struct vfake_mm *mm;   /* grabbed: the first process that used it in earnest */
	struct spapr_table *tables[SPAPR_WINDOWS];
	TAILQ_HEAD(spapr_group_list, spapr_group) groups; /* newest first */
	TAILQ_HEAD(, spapr_registration) registrations;	  /* newest first */
};

/* ---- spapr_group.c ---- */

int spapr_attach_group(void *iommu, struct vfio_group *group, struct vfake_task *task);
void spapr_detach_group(void *iommu, struct vfio_group *group);
void spapr_set_window(struct spapr_group *group, int number, struct spapr_table *table);
void spapr_unset_window(struct spapr_group *group, int number);
/* The group's state in its container, or NULL when it is in none of this kind. */
struct spapr_group *spapr_group_of(const struct vfio_group *group);

/* ---- spapr_map.c ---- */

/* Fills @pages entries from @entry on with the memory at @addr. 0 or -errno, then none is filled.
 */
int spapr_map(struct spapr *spapr, struct vfake_task *task, struct spapr_table *table,
	      uint64_t entry, uint64_t addr, uint64_t pages, uint32_t permissions);
void spapr_unmap(struct spapr *spapr, struct spapr_table *table, uint64_t entry, uint64_t pages);
/* Gives up a page that an entry of a v1 table held. */
void spapr_unpin(struct vfake_kernel *kernel, uint64_t addr);

/* ---- spapr_eeh.c ---- */

enum {
	SPAPR_FROZEN_IO = 1,
	SPAPR_FROZEN_DMA = 2,
};

struct vfio_eeh_pe_op;
long spapr_eeh(struct spapr_group *group, const struct vfio_eeh_pe_op *op, uint32_t size_bytes);

#endif
