/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's memory: maps in the peer's IOAS.
 *
 * A map is unmapped as it was made or not at all. Whoever maps over a map gets EEXIST, more than
 * there may be ENOSPC, and what iommufd says of the rest. A map without a descriptor is one of far
 * memory, see peer_far.c.
 */
#include <stdlib.h>
#include <string.h>
#include <uapi/iommufd.h>
#include <vfake/bridge.h>

#include "peer.h"

/* Index of the first map that ends at or after @iova. */
static uint32_t map_index(const struct vfake_peer *peer, uint64_t iova)
{
	uint32_t low = 0, high = peer->map_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct peer_map *map = peer->maps[middle];

		if (map->iova + (map->size - 1) < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int reserve(struct vfake_peer *peer)
{
	uint32_t space = peer->map_space ? 2 * peer->map_space : 16;
	struct peer_map **maps;

	if (peer->map_count < peer->map_space)
		return 0;
	maps = realloc(peer->maps, space * sizeof(struct peer_map *));
	if (!maps)
		return -ENOMEM;
	peer->maps = maps;
	peer->map_space = space;
	return 0;
}

/* A descriptor of the map's memory; *start is the place in it. */
static int open_memory(struct peer_call *call, struct peer_map *map, uint64_t *start)
{
	struct vfake_peer *peer = call->peer;
	const struct vfake_peer_link *link = &peer->main.link;
	struct vfake_memory memory = {
		.size_bytes = map->size, .read = peer_far_read, .write = peer_far_write, .ctx = map
	};

	if (call->fd_count && map->iova >= peer->attr.far_below)
		return link->take_memory(link->ctx, call->fds[0], start, map->size,
					 map->flags & VFIO_USER_DMA_MAP_FLAG_WRITE);
	*start = 0;
	return vfake_memory_fd(peer->task, &memory);
}

static int map_memory(struct peer_call *call, struct peer_map *map, uint64_t offset)
{
	struct vfake_peer *peer = call->peer;
	struct iommu_ioas_map_file arg = { .size = sizeof(arg),
					   .flags = IOMMU_IOAS_MAP_FIXED_IOVA,
					   .ioas_id = peer->ioas_id,
					   .start = offset,
					   .length = map->size,
					   .iova = map->iova };
	long ret;

	if (map->flags & VFIO_USER_DMA_MAP_FLAG_READ)
		arg.flags |= IOMMU_IOAS_MAP_READABLE;
	if (map->flags & VFIO_USER_DMA_MAP_FLAG_WRITE)
		arg.flags |= IOMMU_IOAS_MAP_WRITEABLE;
	arg.fd = open_memory(call, map, &arg.start);
	if (arg.fd < 0)
		return arg.fd;
	ret = peer_ioctl(peer, peer->iommufd, IOMMU_IOAS_MAP_FILE, &arg);
	vfake_close(peer->task, arg.fd); /* the map holds the file */
	return (int)ret;
}

static int check_map(const struct vfake_peer *peer, const struct vfio_user_dma_map *arg,
		     uint32_t *index)
{
	uint64_t last = arg->addr + (arg->size - 1);

	if (!arg->size || last < arg->addr || !arg->flags)
		return -EINVAL;
	*index = map_index(peer, arg->addr);
	if (*index < peer->map_count && peer->maps[*index]->iova <= last)
		return -EEXIST;
	return peer->map_count >= peer->attr.max_dma_maps ? -ENOSPC : 0;
}

int peer_dma_map(struct peer_call *call)
{
	struct vfake_peer *peer = call->peer;
	struct vfio_user_dma_map arg;
	struct peer_map *map;
	uint32_t index;
	int ret;

	peer_take(call, &arg, sizeof(arg));
	ret = check_map(peer, &arg, &index);
	if (!ret)
		ret = reserve(peer);
	if (ret)
		return ret;
	map = malloc(sizeof(*map));
	if (!map)
		return -ENOMEM;
	*map = (struct peer_map){
		.peer = peer, .iova = arg.addr, .size = arg.size, .flags = arg.flags
	};
	ret = map_memory(call, map, arg.offset);
	if (ret) {
		free(map);
		return ret;
	}
	memmove(&peer->maps[index + 1], &peer->maps[index],
		(peer->map_count - index) * sizeof(struct peer_map *));
	peer->maps[index] = map;
	peer->counts.maps = ++peer->map_count;
	return 0;
}

static int unmap_memory(struct vfake_peer *peer, uint64_t iova, uint64_t size)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = peer->ioas_id, .iova = iova, .length = size
	};

	return (int)peer_ioctl(peer, peer->iommufd, IOMMU_IOAS_UNMAP, &arg);
}

void peer_dma_forget(struct vfake_peer *peer)
{
	/* Nobody else has maps there, so all of them go, and there is no error but that there were
	 * none. */
	unmap_memory(peer, 0, UINT64_MAX);
	while (peer->map_count)
		free(peer->maps[--peer->map_count]);
	free(peer->maps);
	peer->maps = NULL;
	peer->map_space = 0;
	peer->counts.maps = 0;
}

uint64_t peer_bitmap_bytes(uint64_t size, uint64_t page_bytes)
{
	uint64_t pages;

	if (page_bytes < 4096 || (page_bytes & (page_bytes - 1)))
		return 0;
	pages = size / page_bytes + (size % page_bytes != 0);
	return (pages / 64 + (pages % 64 != 0)) * sizeof(uint64_t);
}

/* The bits of a map that goes, behind the struct that the client sent. 0 or -errno. */
static int add_bitmap(struct peer_call *call, const struct vfio_user_dma_unmap *arg)
{
	struct vfio_user_bitmap bitmap;
	uint64_t need;
	uint8_t *to;

	if (call->in_len < sizeof(*arg) + sizeof(bitmap))
		return -EINVAL;
	memcpy(&bitmap, call->in + sizeof(*arg), sizeof(bitmap));
	need = peer_bitmap_bytes(arg->size, bitmap.pgsize);
	if (!need || bitmap.size < need || bitmap.size % 8 ||
	    bitmap.size > VFIO_USER_MAX_DATA_XFER_BYTES ||
	    arg->argsz < sizeof(*arg) + sizeof(bitmap) + bitmap.size)
		return -EINVAL;
	to = peer_reply(call, sizeof(*arg) + sizeof(bitmap) + bitmap.size);
	if (!to)
		return -ENOMEM;
	memcpy(to + sizeof(*arg), &bitmap, sizeof(bitmap));
	return peer_report(call->peer, arg->addr, arg->size, bitmap.pgsize,
			   to + sizeof(*arg) + sizeof(bitmap));
}

static int unmap_one(struct peer_call *call, const struct vfio_user_dma_unmap *arg)
{
	struct vfake_peer *peer = call->peer;
	uint32_t index = map_index(peer, arg->addr);
	struct peer_map *map = index < peer->map_count ? peer->maps[index] : NULL;
	int ret = 0;

	if (!map || map->iova != arg->addr || map->size != arg->size)
		return -ENOENT;
	if (arg->flags & VFIO_USER_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)
		ret = add_bitmap(call, arg);
	if (!ret)
		ret = unmap_memory(peer, map->iova, map->size);
	if (ret)
		return ret;
	free(map);
	peer->counts.maps = --peer->map_count;
	memmove(&peer->maps[index], &peer->maps[index + 1],
		(peer->map_count - index) * sizeof(struct peer_map *));
	return 0;
}

int peer_dma_unmap(struct peer_call *call)
{
	const uint32_t all = VFIO_USER_DMA_UNMAP_FLAG_ALL;
	struct vfio_user_dma_unmap arg;
	int ret = 0;

	peer_take(call, &arg, sizeof(arg));
	if ((arg.flags & all) && (arg.flags != all || arg.addr || arg.size))
		return -EINVAL;
	if (arg.flags & all)
		peer_dma_forget(call->peer);
	else
		ret = unmap_one(call, &arg);
	if (ret)
		return ret;
	if (!call->out && !peer_reply(call, sizeof(arg)))
		return -ENOMEM;
	memcpy(call->out->bytes + PEER_HEADER, &arg, sizeof(arg));
	return 0;
}
