/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordered map of IOVA ranges that never overlap: {start, last, value}. type1 keeps its mappings
 * in one, an IOAS its areas, its reserved and its allowed ranges.
 *
 * A range is closed on both sides: `last` is the last address that belongs to it. So [0,
 * UINT64_MAX] is a range like any other, and no call computes one past the end.
 *
 * No function here locks, reads a clock or keeps state outside the map. A call that is given a
 * const map changes nothing, so several threads may read while none writes.
 */
#ifndef VFAKE_IOVA_MAP_H
#define VFAKE_IOVA_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A map asks for blocks of these two sizes, so two pools can serve all of them. */
enum { VFAKE_IOVA_LEAF_BYTES = 384, VFAKE_IOVA_INNER_BYTES = 512 };

/* One range and what the caller attached to it: a number, or a pointer cast through uintptr_t. */
struct vfake_iova_range {
	uint64_t start;
	uint64_t last;
	uint64_t value;
};

/*
 * Where the nodes come from. `alloc` returns size_bytes of memory aligned as malloc aligns - to
 * cache lines, if it shall be fast -, or NULL to make the running insert fail; `free` gets back
 * what alloc returned, and its size; `footprint_bytes` says what one such block costs, the
 * allocator's own overhead included, and may be NULL: then the size asked for counts.
 */
struct vfake_iova_map_mem {
	void *(*alloc)(void *ctx, size_t size_bytes);
	void (*free)(void *ctx, void *block, size_t size_bytes);
	size_t (*footprint_bytes)(void *ctx, void *block);
	void *ctx;
};

/* The fields are private: they stand here so that a map can be embedded in its owner. */
struct vfake_iova_map {
	void *root;
	unsigned int height; /* levels of inner nodes above the leaves */
	size_t count;
	size_t bytes;
	struct vfake_iova_map_mem mem;
};

/* A place in a map. Every insert and erase on the map makes it invalid. The fields are private. */
struct vfake_iova_cursor {
	const void *leaf;
	unsigned int slot;
};

/*
 * Makes *map empty. `mem` is copied; NULL means malloc and free. Allocates nothing and cannot fail.
 * The owner calls vfake_iova_map_destroy() in the end.
 */
void vfake_iova_map_init(struct vfake_iova_map *map, const struct vfake_iova_map_mem *mem);

/* Frees every node and leaves *map empty and usable. The values are the caller's to release,
 * before. */
void vfake_iova_map_destroy(struct vfake_iova_map *map);

/*
 * Adds [start, last] with `value`.
 * 0; -EINVAL if start > last; -EEXIST if any address of it is in the map already; -ENOMEM if a node
 * was needed and could not be had. On every error the map is exactly as it was.
 */
int vfake_iova_map_insert(struct vfake_iova_map *map, uint64_t start, uint64_t last,
			  uint64_t value);

/*
 * Removes the range that begins exactly at `start` and stores what it was in *old (old may be
 * NULL). 0; -ENOENT if no range begins there. Allocates nothing, so a range that is present always
 * goes.
 */
int vfake_iova_map_erase(struct vfake_iova_map *map, uint64_t start, struct vfake_iova_range *old);

/*
 * Removes the lowest range that shares an address with [start, last] and stores what it was in
 * *range. 0; -ENOENT, with *range unchanged, if all of it is free, and if start > last; -EBUSY if
 * that range is not wholly inside, which stays then and is in *range all the same.
 */
int vfake_iova_map_take(struct vfake_iova_map *map, uint64_t start, uint64_t last,
			struct vfake_iova_range *range);

/* Replaces the value of the range that begins exactly at `start`. 0; -ENOENT if no range begins
 * there. */
int vfake_iova_map_set(struct vfake_iova_map *map, uint64_t start, uint64_t value);

/* The range that contains `iova`, in *range. False, with *range unchanged, if the address is free.
 */
bool vfake_iova_map_find(const struct vfake_iova_map *map, uint64_t iova,
			 struct vfake_iova_range *range);

/*
 * The lowest range that shares an address with [start, last], in *range. False, with *range
 * unchanged, if all of it is free, and if start > last.
 */
bool vfake_iova_map_first_overlap(const struct vfake_iova_map *map, uint64_t start, uint64_t last,
				  struct vfake_iova_range *range);

/*
 * Iteration by key, for loops that change the map on the way: the lowest range of all; the lowest
 * that begins after the address `iova`; the highest that ends before it. To go on from a range,
 * pass its last (next) or its start (prev). Each costs one descent. False, with *range unchanged,
 * at the end.
 */
bool vfake_iova_map_first(const struct vfake_iova_map *map, struct vfake_iova_range *range);
bool vfake_iova_map_next(const struct vfake_iova_map *map, uint64_t iova,
			 struct vfake_iova_range *range);
bool vfake_iova_map_prev(const struct vfake_iova_map *map, uint64_t iova,
			 struct vfake_iova_range *range);

/*
 * Iteration by cursor, for loops that only read: one descent for the whole loop.
 *
 *	struct vfake_iova_cursor at = vfake_iova_cursor_seek(map, from);
 *	struct vfake_iova_range range;
 *
 *	for (; vfake_iova_cursor_get(&at, &range); vfake_iova_cursor_next(&at))
 *		...
 *
 * seek: at the lowest range that contains `iova` or lies above it. get: false, with *range
 *unchanged, once the cursor has left the map on either side; from there next and prev do nothing.
 */
struct vfake_iova_cursor vfake_iova_cursor_seek(const struct vfake_iova_map *map, uint64_t iova);
bool vfake_iova_cursor_get(const struct vfake_iova_cursor *at, struct vfake_iova_range *range);
void vfake_iova_cursor_next(struct vfake_iova_cursor *at);
void vfake_iova_cursor_prev(struct vfake_iova_cursor *at);

/* What vfake_iova_map_find_hole() looks for. */
struct vfake_iova_hole {
	uint64_t lo;	       /* lowest address allowed */
	uint64_t hi;	       /* highest address allowed, itself included */
	uint64_t length_bytes; /* at least 1 */
	uint64_t align_bytes;  /* a power of two, at least 1 */
	uint64_t offset_bytes; /* below align_bytes: where inside its alignment the hole begins */
};

/*
 * The lowest free stretch that fits *want; its first address goes to *iova. As in iommufd, each gap
 * between two ranges offers one candidate: the start of the gap (or `lo`), rounded up to
 * align_bytes, plus offset_bytes. A gap that begins off alignment can therefore be passed over
 * although offset_bytes below its candidate there is room; a caller that imitates iommufd wants
 * that. 0; -EINVAL if a field of *want breaks its rule; -ENOSPC if nothing fits. Walks all ranges
 * in [lo, hi].
 */
int vfake_iova_map_find_hole(const struct vfake_iova_map *map, const struct vfake_iova_hole *want,
			     uint64_t *iova);

/* The number of ranges. */
size_t vfake_iova_map_count(const struct vfake_iova_map *map);

/* The memory of all nodes in bytes, the allocator's overhead included; 0 for an empty map. */
size_t vfake_iova_map_bytes(const struct vfake_iova_map *map);

/*
 * For tests: walks the whole tree and checks every rule that its implementation lives by. True if
 * all hold; else false, and *why names the first that is broken.
 */
bool vfake_iova_map_check(const struct vfake_iova_map *map, const char **why);

#endif
