/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two red-black trees of 64-byte nodes, on libbsd's <bsd/sys/tree.h>. A node carries what type1's
 * struct vfio_dma is looked up by and for: start, size, address, protection.
 *
 * rbtree: the bare tree at its best. The nodes come from an array that was there before; a map is
 * one descent, which finds an overlap as an equal key. The goals are set against this one.
 *
 * type1: the same tree in the way that type1 uses its own: look for an overlap, get a node, descend
 * again to put it in; to unmap, look it up, take it out, give the node back.
 */
#include <bsd/sys/tree.h>
#include <malloc.h>
#include <stdlib.h>

#include "iova_peer.h"

struct dma {
	RB_ENTRY(dma) link;
	uint64_t start;
	uint64_t size_bytes;
	uint64_t value;
	uint32_t prot;
	uint32_t flags;
};

_Static_assert(sizeof(void *) != 8 || sizeof(struct dma) == 64, "a node is one cache line");

RB_HEAD(dma_tree, dma);

/* Ranges that share an address are equal. */
static inline int dma_compare(const struct dma *a, const struct dma *b)
{
	if (a->start + a->size_bytes <= b->start)
		return -1;
	return b->start + b->size_bytes <= a->start;
}

RB_GENERATE_INTERNAL(dma_tree, dma, link, dma_compare, static __attribute__((unused)))

struct dma_map {
	struct dma_tree tree;
	struct dma *pool;
	size_t used;
	size_t bytes;
};

static void *bare_create(size_t room)
{
	struct dma_map *map = bench_alloc(1, sizeof(*map));

	RB_INIT(&map->tree);
	map->pool = bench_alloc(room, sizeof(map->pool[0]));
	for (size_t i = 0; i < room; i++)
		map->pool[i].flags = 1; /* have the pages, too, before the clock runs */
	return map;
}

static void bare_destroy(void *opaque)
{
	struct dma_map *map = opaque;

	free(map->pool);
	free(map);
}

static inline bool bare_map_one(void *opaque, uint64_t start, uint64_t value)
{
	struct dma_map *map = opaque;
	struct dma *dma = &map->pool[map->used++];

	dma->start = start;
	dma->size_bytes = RANGE_BYTES;
	dma->value = value;
	map->bytes += sizeof(*dma);
	return !RB_INSERT(dma_tree, &map->tree, dma);
}

static inline bool bare_unmap_one(void *opaque, uint64_t start)
{
	struct dma_map *map = opaque;
	struct dma key = { .start = start, .size_bytes = RANGE_BYTES };
	struct dma *dma = RB_FIND(dma_tree, &map->tree, &key);

	return dma && RB_REMOVE(dma_tree, &map->tree, dma);
}

static inline uint64_t look_up_one(void *opaque, uint64_t iova)
{
	struct dma_map *map = opaque;
	struct dma key = { .start = iova, .size_bytes = 1 };
	struct dma *dma = RB_FIND(dma_tree, &map->tree, &key);

	return dma ? dma->value : UINT64_MAX;
}

static void bare_map(void *map, const uint32_t *order, size_t n)
{
	peer_map_loop(map, order, n, bare_map_one);
}

static void bare_unmap(void *map, const uint32_t *order, size_t n)
{
	peer_unmap_loop(map, order, n, bare_unmap_one);
}

static uint64_t rb_look_up(void *map, const uint64_t *iova, size_t n, bool dependent)
{
	return peer_look_up_loop(map, iova, n, dependent, look_up_one);
}

static size_t rb_bytes(void *opaque)
{
	const struct dma_map *map = opaque;

	return map->bytes;
}

static void *type1_create(size_t room)
{
	struct dma_map *map = bench_alloc(1, sizeof(*map));

	(void)room;
	RB_INIT(&map->tree);
	return map;
}

static void type1_destroy(void *opaque)
{
	struct dma_map *map = opaque;
	struct dma *dma;

	while ((dma = RB_ROOT(&map->tree))) {
		RB_REMOVE(dma_tree, &map->tree, dma);
		free(dma);
	}
	free(map);
}

static inline bool type1_map_one(void *opaque, uint64_t start, uint64_t value)
{
	struct dma_map *map = opaque;
	struct dma key = { .start = start, .size_bytes = RANGE_BYTES };
	struct dma *dma;

	if (RB_FIND(dma_tree, &map->tree, &key))
		return false;
	dma = calloc(1, sizeof(*dma));
	if (!dma)
		return false;
	dma->start = start;
	dma->size_bytes = RANGE_BYTES;
	dma->value = value;
	map->bytes += malloc_usable_size(dma) + sizeof(size_t);
	return !RB_INSERT(dma_tree, &map->tree, dma);
}

static inline bool type1_unmap_one(void *opaque, uint64_t start)
{
	struct dma_map *map = opaque;
	struct dma key = { .start = start, .size_bytes = RANGE_BYTES };
	struct dma *dma = RB_FIND(dma_tree, &map->tree, &key);

	if (!dma)
		return false;
	RB_REMOVE(dma_tree, &map->tree, dma);
	free(dma);
	return true;
}

static void type1_map(void *map, const uint32_t *order, size_t n)
{
	peer_map_loop(map, order, n, type1_map_one);
}

static void type1_unmap(void *map, const uint32_t *order, size_t n)
{
	peer_unmap_loop(map, order, n, type1_unmap_one);
}

const struct iova_peer peer_rbtree = {
	.name = "rbtree",
	.create = bare_create,
	.destroy = bare_destroy,
	.map = bare_map,
	.unmap = bare_unmap,
	.look_up = rb_look_up,
	.bytes = rb_bytes,
};

const struct iova_peer peer_type1 = {
	.name = "type1",
	.create = type1_create,
	.destroy = type1_destroy,
	.map = type1_map,
	.unmap = type1_unmap,
	.look_up = rb_look_up,
	.bytes = rb_bytes,
};
