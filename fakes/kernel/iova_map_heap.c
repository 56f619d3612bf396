/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IOVA map's beginning, and the memory of maps that bring none of their own: the heap.
 *
 * What Linux has a slab cache for comes from malloc here, which knows nothing of cache lines. So a
 * block is a line larger than the node in it.
 */
#include <malloc.h>
#include <stdlib.h>

#include "iova_map_node.h"

/* A node on a line of its own; the word before it keeps the block that malloc gave. */
static void *heap_alloc(void *ctx, size_t size_bytes)
{
	char *block = malloc(size_bytes + LINE_BYTES);
	void **node;

	(void)ctx;
	if (!block)
		return NULL;
	node = (void **)(void *)(block + LINE_BYTES - (uintptr_t)block % LINE_BYTES);
	node[-1] = block;
	return node;
}

static void heap_free(void *ctx, void *node, size_t size_bytes)
{
	(void)ctx;
	(void)size_bytes;
	free(((void **)node)[-1]);
}

static size_t heap_footprint_bytes(void *ctx, void *node)
{
	(void)ctx;
	return malloc_usable_size(((void **)node)[-1]) + sizeof(size_t);
}

void vfake_iova_map_init(struct vfake_iova_map *map, const struct vfake_iova_map_mem *mem)
{
	static const struct vfake_iova_map_mem heap = {
		.alloc = heap_alloc,
		.free = heap_free,
		.footprint_bytes = heap_footprint_bytes,
	};

	*map = (struct vfake_iova_map){ .mem = mem ? *mem : heap };
}
