/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory for a server that was not given, or does not use, the memory's descriptors: DMA by
 * messages. It reaches exactly what is mapped for its device, with the rights of the map.
 */
#include <string.h>

#include "user.h"

/* Below the map the difference wraps: no map is as large. */
static bool holds(const struct vfio_map *map, uint64_t iova)
{
	return iova - map->iova < map->size;
}

static void reach_map(const struct vfio_map *map, uint64_t iova, struct vfio_reach *reach)
{
	*reach = (struct vfio_reach){ .vaddr = map->vaddr + (iova - map->iova),
				      .size = map->size - (iova - map->iova),
				      .readonly = map->readonly };
}

/*
 * What is mapped at @iova, at most @count bytes of it. What is about to be mapped counts: the
 * server has the message before we have the reply.
 */
static bool find(const struct vfio_user *user, uint64_t iova, uint64_t count,
		 struct vfio_reach *reach)
{
	if (user->mapping && holds(user->mapping, iova))
		reach_map(user->mapping, iova, reach);
	else if (!user->container || !vfio_listener_reach(user->container, iova, reach))
		return false;
	if (reach->size > count)
		reach->size = count;
	return true;
}

/* Whether all of it may be reached so. The range does not wrap. */
static bool allowed(const struct vfio_user *user, uint64_t iova, uint64_t count, bool write)
{
	struct vfio_reach reach;

	for (; count; iova += reach.size, count -= reach.size) {
		if (!find(user, iova, count, &reach) || (write && reach.readonly))
			return false;
	}
	return true;
}

/* Copies, after allowed(). */
static void move(const struct vfio_user *user, uint64_t iova, uint64_t count, uint8_t *to,
		 const uint8_t *from)
{
	struct vfio_reach reach;

	for (; count; iova += reach.size, count -= reach.size) {
		find(user, iova, count, &reach);
		if (to) {
			memcpy(to, (const void *)(uintptr_t)reach.vaddr, reach.size);
			to += reach.size;
			continue;
		}
		memcpy((void *)(uintptr_t)reach.vaddr, from, reach.size);
		from += reach.size;
		/* It does nothing unless somebody wants to know. */
		if (reach.memory)
			vfio_memory_set_dirty(reach.memory, reach.gpa,
					      reach.gpa + (reach.size - 1));
	}
}

static long dma(struct vfio_user *user, const struct user_message *request, uint8_t *to)
{
	bool write = request->header.cmd == VFIO_USER_DMA_WRITE;
	struct vfio_user_dma_access access;
	uint32_t data;

	if (request->size < sizeof(access))
		return -EINVAL;
	memcpy(&access, request->payload, sizeof(access));
	data = request->size - (uint32_t)sizeof(access);
	if (access.count > VFIO_USER_MAX_DATA_XFER_BYTES || data != (write ? access.count : 0))
		return -EINVAL;
	/* The last byte may be the last that there is. */
	if ((access.count && access.addr + (access.count - 1) < access.addr) ||
	    !allowed(user, access.addr, access.count, write))
		return -EFAULT;
	memcpy(to, &access, sizeof(access));
	move(user, access.addr, access.count, write ? NULL : to + sizeof(access),
	     request->payload + sizeof(access));
	return (long)(sizeof(access) + (write ? 0 : access.count));
}

long user_dma(struct vfio_user *user, const struct user_message *request, uint8_t *to)
{
	switch (request->header.cmd) {
	case VFIO_USER_DMA_READ:
	case VFIO_USER_DMA_WRITE:
		return dma(user, request, to);
	default:
		return -ENOTSUP;
	}
}
