/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake kernel's own IOVA map, called as the fake kernel calls it. */
#include "iova_map.h"

#include <stdlib.h>

#include "iova_peer.h"

static void *own_create(size_t room)
{
	struct vfake_iova_map *map = bench_alloc(1, sizeof(*map));

	(void)room;
	vfake_iova_map_init(map, NULL);
	return map;
}

static void own_destroy(void *map)
{
	vfake_iova_map_destroy(map);
	free(map);
}

static inline bool map_one(void *map, uint64_t start, uint64_t value)
{
	return !vfake_iova_map_insert(map, start, start + RANGE_BYTES - 1, value);
}

static inline bool unmap_one(void *map, uint64_t start)
{
	return !vfake_iova_map_erase(map, start, NULL);
}

static inline uint64_t look_up_one(void *map, uint64_t iova)
{
	struct vfake_iova_range range;

	return vfake_iova_map_find(map, iova, &range) ? range.value : UINT64_MAX;
}

static void own_map(void *map, const uint32_t *order, size_t n)
{
	peer_map_loop(map, order, n, map_one);
}

static void own_unmap(void *map, const uint32_t *order, size_t n)
{
	peer_unmap_loop(map, order, n, unmap_one);
}

static uint64_t own_look_up(void *map, const uint64_t *iova, size_t n, bool dependent)
{
	return peer_look_up_loop(map, iova, n, dependent, look_up_one);
}

static size_t own_bytes(void *map)
{
	return vfake_iova_map_bytes(map);
}

const struct iova_peer peer_own = {
	.name = "vfake",
	.create = own_create,
	.destroy = own_destroy,
	.map = own_map,
	.unmap = own_unmap,
	.look_up = own_look_up,
	.bytes = own_bytes,
};
