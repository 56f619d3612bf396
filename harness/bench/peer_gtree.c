/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * GLib's GTree (an AVL tree) in the way that QEMU's util/iova-tree.c uses it: the range is both key
 * and value, ranges that overlap compare as equal; an insert looks for an overlap first, a remove
 * finds and removes until nothing of the range is left.
 */
#include <glib.h>
#include <malloc.h>
#include <stdlib.h>

#include "iova_peer.h"

struct dma_map {
	uint64_t iova;
	uint64_t translated;
	uint64_t last_offset; /* size - 1 */
	uint32_t perm;
};

struct gtree_peer {
	GTree *tree;
	size_t bytes;
};

static gint dma_map_compare(gconstpointer a, gconstpointer b, gpointer data)
{
	const struct dma_map *x = a;
	const struct dma_map *y = b;

	(void)data;
	if (x->iova > y->iova + y->last_offset)
		return 1;
	return x->iova + x->last_offset < y->iova ? -1 : 0;
}

static void *gtree_create(size_t room)
{
	struct gtree_peer *peer = bench_alloc(1, sizeof(*peer));

	(void)room;
	peer->tree = g_tree_new_full(dma_map_compare, NULL, g_free, NULL);
	return peer;
}

static void gtree_destroy(void *opaque)
{
	struct gtree_peer *peer = opaque;

	g_tree_destroy(peer->tree);
	free(peer);
}

/* A GTreeNode is private: five words, which malloc and GSlice alike round up to six. */
static size_t gtree_node_bytes(void)
{
	return 6 * sizeof(void *);
}

static inline bool map_one(void *opaque, uint64_t start, uint64_t value)
{
	struct gtree_peer *peer = opaque;
	struct dma_map key = { .iova = start, .last_offset = RANGE_BYTES - 1 };
	struct dma_map *entry;

	if (g_tree_lookup(peer->tree, &key))
		return false;
	entry = g_new0(struct dma_map, 1);
	entry->iova = start;
	entry->last_offset = RANGE_BYTES - 1;
	entry->translated = value;
	peer->bytes += malloc_usable_size(entry) + sizeof(size_t) + gtree_node_bytes();
	g_tree_insert(peer->tree, entry, entry);
	return true;
}

static inline bool unmap_one(void *opaque, uint64_t start)
{
	struct gtree_peer *peer = opaque;
	struct dma_map key = { .iova = start, .last_offset = RANGE_BYTES - 1 };
	const struct dma_map *found;
	bool any = false;

	while ((found = g_tree_lookup(peer->tree, &key))) {
		g_tree_remove(peer->tree, found);
		any = true;
	}
	return any;
}

static inline uint64_t look_up_one(void *opaque, uint64_t iova)
{
	struct gtree_peer *peer = opaque;
	struct dma_map key = { .iova = iova };
	const struct dma_map *found = g_tree_lookup(peer->tree, &key);

	return found ? found->translated : UINT64_MAX;
}

static void gtree_map(void *map, const uint32_t *order, size_t n)
{
	peer_map_loop(map, order, n, map_one);
}

static void gtree_unmap(void *map, const uint32_t *order, size_t n)
{
	peer_unmap_loop(map, order, n, unmap_one);
}

static uint64_t gtree_look_up(void *map, const uint64_t *iova, size_t n, bool dependent)
{
	return peer_look_up_loop(map, iova, n, dependent, look_up_one);
}

static size_t gtree_bytes(void *opaque)
{
	const struct gtree_peer *peer = opaque;

	return peer->bytes;
}

const struct iova_peer peer_gtree = {
	.name = "gtree",
	.create = gtree_create,
	.destroy = gtree_destroy,
	.map = gtree_map,
	.unmap = gtree_unmap,
	.look_up = gtree_look_up,
	.bytes = gtree_bytes,
};
