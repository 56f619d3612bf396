/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of the guest memory model.
 *
 *   memory.c           regions and transactions
 *   memory_listen.c    the listeners: their order, replay
 *   memory_iommu.c     mappings of vIOMMUs
 *   memory_discard.c   plugged pieces
 *   memory_dirty.c     dirty pages
 *   memory_bits.c      bitmaps, which the last two are made of
 *
 * One array holds what listeners know of (visible) and what the open transaction makes of it: a
 * region is in one of three states, visible, visible and deleted, or not visible yet. The visible
 * ones do not overlap, and neither do those that stay (not deleted); a commit makes the two sets
 * the same. The room for a region is taken when it is added, so a commit has nothing to ask for.
 */
#ifndef SRC_MEMORY_H
#define SRC_MEMORY_H

#include "stack.h"

struct guest_region {
	struct vfio_memory_region spec; /* in canonical form; the name is ours */
	uint32_t id;
	bool visible;
	bool deleted;
	bool dirty_is_new; /* only within a start of logging that may yet fail */
	uint64_t
		*dirty; /* bit N: the Nth 4 KiB page that the region touches; NULL before logging */
	uint64_t *plugged;	       /* DISCARDABLE: bit N: the Nth piece */
	struct vfio_iommu_entry *maps; /* IOMMU: by address, without overlap */
	size_t map_count;
	size_t map_room;
	char name[];
};

struct vfio_memory {
	struct vfio_vmm vmm;	       /* its heap, nothing else */
	struct guest_region **regions; /* by start */
	size_t count;
	size_t room;
	struct vfio_memory_listener *first; /* by priority */
	struct vfio_memory_listener *last;
	uint32_t depth; /* of transactions */
	uint32_t last_id;
	uint32_t reporting; /* listeners are being called: nothing may change */
	bool logging;
};

/* ---- memory.c ---- */

/* The region of an id, deleted or not, or NULL. */
struct guest_region *vfio_memory_region(const struct vfio_memory *memory, uint32_t id);
/* The same of a kind, and not deleted: what may be changed. */
struct guest_region *vfio_memory_region_of_kind(const struct vfio_memory *memory, uint32_t id,
						enum vfio_memory_kind kind);
/* A piece of a region; all of it by its own bounds. */
struct vfio_memory_section vfio_memory_section_of(const struct guest_region *region, uint64_t start,
						  uint64_t last);
struct vfio_memory_section vfio_memory_whole(const struct guest_region *region);
/*
 * Room for one more in an array of blocks of @size bytes: *array and *room stay as they are when
 * false.
 */
bool vfio_memory_grow(struct vfio_memory *memory, void **array, size_t count, size_t *room,
		      size_t size);

/* ---- memory_listen.c; each counts as reporting ---- */

void vfio_memory_tell_begin(struct vfio_memory *memory);
void vfio_memory_tell_add(struct vfio_memory *memory, const struct guest_region *region);
void vfio_memory_tell_del(struct vfio_memory *memory, const struct guest_region *region);
void vfio_memory_tell_commit(struct vfio_memory *memory);

/* ---- memory_discard.c ---- */

/* The number of the last piece of a DISCARDABLE region. */
uint64_t vfio_memory_last_piece(const struct vfio_memory_region *spec);
/* Whether @addr is plugged; *last gets the end of what is plugged there without a gap. */
bool vfio_memory_plugged_at(const struct guest_region *region, uint64_t addr, uint64_t *last);
/* Marks the pages of [start, last] that are plugged: what is not cannot be dirty. */
void vfio_memory_mark_plugged(struct guest_region *region, uint64_t start, uint64_t last);

/* ---- memory_dirty.c ---- */

/* Whether dirty pages of such a region are kept. */
bool vfio_memory_has_dirty(const struct vfio_memory_region *spec);
/* Gives a region its bitmap, with nothing dirty. False when memory is short. */
bool vfio_memory_new_dirty(struct vfio_memory *memory, struct guest_region *region);
/* Marks the pages of one region that [start, last] touches. */
void vfio_memory_mark(struct guest_region *region, uint64_t start, uint64_t last);
/* Forgets the pages that lie in [start, last] entirely. */
void vfio_memory_unmark(struct guest_region *region, uint64_t start, uint64_t last);

/* ---- memory_bits.c; ranges of bits are closed, too ---- */

/* A cleared bitmap whose last bit is @last, or NULL. */
uint64_t *vfio_bits_new(struct vfio_memory *memory, uint64_t last);
void vfio_bits_fill(uint64_t *bits, uint64_t first, uint64_t last, bool value);
bool vfio_bits_test(const uint64_t *bits, uint64_t bit);
uint64_t vfio_bits_count(const uint64_t *bits, uint64_t last);
/*
 * The lowest and the highest run of @value in [first, last], as long as it can be in there. None is
 * in a range that ends before it begins.
 */
bool vfio_bits_first_run(const uint64_t *bits, bool value, uint64_t first, uint64_t last,
			 struct vfio_range *run);
bool vfio_bits_last_run(const uint64_t *bits, bool value, uint64_t first, uint64_t last,
			struct vfio_range *run);

#endif
