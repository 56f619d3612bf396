/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the IOVA map: its nodes and the search in them, for the two files that know them -
 * iova_map.c, which changes maps, and iova_map_read.c. The rules that hold between nodes are told
 * in iova_map.c.
 */
#ifndef VFAKE_IOVA_MAP_NODE_H
#define VFAKE_IOVA_MAP_NODE_H

#include "iova_map.h"

enum {
	LINE_BYTES = 64,
	LEAF_MAX = 15,
	LEAF_MIN = 4,
	LEAF_MERGE = 12, /* what two may hold together to become one: leaves room */
	INNER_KEYS = 31,
	INNER_MAX = INNER_KEYS + 1,
	INNER_MIN = 8,
	INNER_MERGE = 24,
	LEVELS_MAX = 48,
	PREFETCH_HEIGHT = 3, /* below that a map fits the cache */
};

/*
 * The keys are sorted; starts and values stay in the slot they were written to, and `order` says
 * which. So an insert moves keys only. order: bits 4k .. 4k+3 are the slot of the k-th range, then
 * come the free slots; bits 60 .. 63 are the number of ranges.
 */
struct leaf {
	uint64_t last[LEAF_MAX];
	uint64_t order;
	struct {
		uint64_t start;
		uint64_t value;
	} slot[LEAF_MAX];
	struct leaf *next;
	struct leaf *prev;
};

struct inner {
	uint64_t last[INNER_KEYS];
	uint64_t count; /* children */
	void *child[INNER_MAX];
};

#define ORDER_EMPTY 0x0edcba9876543210ULL
#define ORDER_ONE   (1ULL << 60)

_Static_assert(sizeof(struct leaf) <= 6 * LINE_BYTES, "a leaf is six lines");
_Static_assert(VFAKE_IOVA_LEAF_BYTES == sizeof(struct leaf) || sizeof(void *) < 8,
	       "whoever allocates knows the size of a leaf");
_Static_assert(VFAKE_IOVA_INNER_BYTES == sizeof(struct inner) || sizeof(void *) < 8,
	       "whoever allocates knows the size of an inner node");
_Static_assert(offsetof(struct inner, child) == 4 * LINE_BYTES,
	       "the keys of an inner node are four lines");

/*
 * The number of keys below x. Two rounds of independent comparisons, first of the keys that divide
 * the node, then of those in between: no branch to mispredict, and far fewer than all keys are
 * compared. What this costs in instructions and in latency decides the speed of a map that fits the
 * cache; still wider inner nodes would lose more here than they win by being fewer.
 */
static inline unsigned int leaf_rank(const struct leaf *leaf, uint64_t x)
{
	const uint64_t *last = leaf->last;
	size_t part = (size_t)(last[3] < x) + (last[7] < x) + (last[11] < x);
	const uint64_t *key = &last[4 * part];

	return (unsigned int)(4 * part + (key[0] < x) + (key[1] < x) + (key[2] < x));
}

static inline unsigned int inner_rank(const struct inner *inner, uint64_t x)
{
	const uint64_t *last = inner->last;
	size_t part = (size_t)(last[3] < x) + (last[7] < x) + (last[11] < x) + (last[15] < x) +
		      (last[19] < x) + (last[23] < x) + (last[27] < x);
	const uint64_t *key = &last[4 * part];

	return (unsigned int)(4 * part + (key[0] < x) + (key[1] < x) + (key[2] < x));
}

static inline unsigned int leaf_count(const struct leaf *leaf)
{
	return (unsigned int)(leaf->order >> 60);
}

/* The slot of the k-th range; k may be the count: the first free slot. */
static inline unsigned int leaf_slot(const struct leaf *leaf, unsigned int k)
{
	return (unsigned int)(leaf->order >> (4 * k)) & 15;
}

static inline uint64_t leaf_start(const struct leaf *leaf, unsigned int k)
{
	return leaf->slot[leaf_slot(leaf, k)].start;
}

/*
 * Starts to load all of a leaf: one miss to memory instead of one for each array. (always_inline:
 * gcc takes a function that only prefetches for one without effect, and drops the call.)
 */
static inline __attribute__((always_inline)) void prefetch_leaf(const void *leaf)
{
	__builtin_prefetch((const char *)leaf);
	__builtin_prefetch((const char *)leaf + LINE_BYTES);
	__builtin_prefetch((const char *)leaf + 2 * LINE_BYTES);
	__builtin_prefetch((const char *)leaf + 3 * LINE_BYTES);
	__builtin_prefetch((const char *)leaf + 4 * LINE_BYTES);
	__builtin_prefetch((const char *)leaf + 5 * LINE_BYTES);
}

/* Starts to load the children of an inner node while its keys are still compared. */
static inline __attribute__((always_inline)) void prefetch_children(const struct inner *inner)
{
	__builtin_prefetch(&inner->child[0]);
	__builtin_prefetch(&inner->child[8]);
	__builtin_prefetch(&inner->child[16]);
	__builtin_prefetch(&inner->child[24]);
}

/* The leaf where a range that ends at or after x belongs; NULL if the map is empty. */
static inline struct leaf *leaf_of(const struct vfake_iova_map *map, uint64_t x)
{
	void *node = map->root;

	for (unsigned int level = map->height; level > 0; level--) {
		const struct inner *inner = node;

		if (map->height >= PREFETCH_HEIGHT)
			prefetch_children(inner);
		node = inner->child[inner_rank(inner, x)];
	}
	if (map->height >= PREFETCH_HEIGHT)
		prefetch_leaf(node);
	return node;
}

static inline void leaf_read(const struct leaf *leaf, unsigned int k,
			     struct vfake_iova_range *range)
{
	unsigned int slot = leaf_slot(leaf, k);

	range->start = leaf->slot[slot].start;
	range->last = leaf->last[k];
	range->value = leaf->slot[slot].value;
}

/* ---- one range in or out of a leaf ---- */

/* Two keys at once, in whatever registers the machine has for that. */
typedef uint64_t key_pair __attribute__((vector_size(16), aligned(8), may_alias));

/* From element 16 - k on: zeroes for the keys before the k-th, ones from there on. */
static const uint64_t from_mask[32] = {
	[16] = UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
	UINT64_MAX,	   UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
	UINT64_MAX,	   UINT64_MAX, UINT64_MAX, UINT64_MAX,
};

/*
 * Shift the keys from the k-th on by one, up or down. They always run over all keys and keep the
 * ones before the k-th by mask: a loop of varying length costs a mispredicted branch, which is
 * dearer than the work.
 */
static inline void keys_up(uint64_t *key, unsigned int k)
{
	const uint64_t *mask = &from_mask[15 - k];

#pragma GCC unroll 8
	for (int i = LEAF_MAX - 2; i > 0; i -= 2) {
		key_pair old = *(const key_pair *)&key[i];
		key_pair new = *(const key_pair *)&key[i - 1];

		*(key_pair *)&key[i] = old ^ ((old ^ new) & *(const key_pair *)&mask[i]);
	}
}

static inline void keys_down(uint64_t *key, unsigned int k)
{
	const uint64_t *mask = &from_mask[16 - k];

#pragma GCC unroll 8
	for (int i = 0; i < LEAF_MAX - 1; i += 2) {
		key_pair old = *(const key_pair *)&key[i];
		key_pair new = *(const key_pair *)&key[i + 1];

		*(key_pair *)&key[i] = old ^ ((old ^ new) & *(const key_pair *)&mask[i]);
	}
	key[LEAF_MAX - 1] = UINT64_MAX;
}

/* The nibbles of `order` below the k-th; k is at most 15, so the count is never among them. */
static inline uint64_t below(unsigned int k)
{
	return (1ULL << (4 * k)) - 1;
}

/* Puts a range into a leaf that has room, as its k-th. */
static inline void leaf_put(struct leaf *leaf, unsigned int k, const struct vfake_iova_range *range)
{
	unsigned int count = leaf_count(leaf);
	unsigned int slot = leaf_slot(leaf, count);
	uint64_t order = leaf->order;
	uint64_t moved = order & below(count) & ~below(k);

	if (k < count)
		keys_up(leaf->last, k);
	leaf->last[k] = range->last;
	leaf->order =
		(order & (below(k) | ~below(count + 1))) | (uint64_t)slot << (4 * k) | moved << 4;
	leaf->order += ORDER_ONE;
	leaf->slot[slot].start = range->start;
	leaf->slot[slot].value = range->value;
}

/* Takes the k-th range out. Returns how many are left. */
static inline unsigned int leaf_cut(struct leaf *leaf, unsigned int k)
{
	unsigned int left = leaf_count(leaf) - 1;
	uint64_t slot = leaf_slot(leaf, k);
	uint64_t order = leaf->order;
	uint64_t moved = (order >> 4) & below(left) & ~below(k);

	keys_down(leaf->last, k);
	leaf->order = (order & (below(k) | ~below(left + 1))) | slot << (4 * left) | moved;
	leaf->order -= ORDER_ONE;
	return left;
}

#endif
