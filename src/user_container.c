/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backend: a vfio-user server. Maps are messages, with the descriptor of the memory where there is
 * one.
 *
 * A device has a connection of its own, and a connection is a container: what one server may reach
 * is no other server's affair.
 *
 * While memory changes, maps and unmaps are sent one after the other, and their replies are
 * collected when the change is complete. The server does them in order, so an unmap and a map of
 * the same place need no wait in between. Nothing that goes is given back before its unmap was
 * replied to, because the VMM cannot free it before the change is complete.
 */
#include <string.h>

#include "user.h"

/* ---- the connection ---- */

static void disconnect(struct vfio_device *device)
{
	user_wire_close(device->user);
	vfio_release(device->vfio, device->user);
}

static bool user_claim(struct vfio_device *device, struct vfio_error *error)
{
	struct vfio_user *user = vfio_alloc(device->vfio, sizeof(*user));
	int ret;

	if (!user)
		return vfio_fail(error, -ENOMEM, "cannot connect");
	user->vfio = device->vfio;
	user->device = device;
	user->ticks = device->options.timeout_ticks ? device->options.timeout_ticks : USER_TICKS;
	ret = user_wire_open(user, device->options.socket);
	if (ret) {
		vfio_release(device->vfio, user);
		return vfio_fail(error, ret, "socket %s", device->options.socket);
	}
	device->user = user;
	device->fd = user->fd;
	if (user_negotiate(user, error))
		return true;
	disconnect(device);
	return false;
}

/* The connection is the device's: there is nothing more to open. */
static bool user_device_open(struct vfio_device *device, struct vfio_error *error)
{
	(void)device;
	(void)error;
	return true;
}

static void user_device_close(struct vfio_device *device)
{
	(void)device;
}

/* ---- containers ---- */

static bool user_open(struct vfio_container *container, struct vfio_device *first,
		      struct vfio_error *error)
{
	struct vfio_user *user = first->user;

	(void)error;
	container->state = user;
	container->pgsizes = user->limits.pgsizes;
	container->range_count = 1;
	container->ranges[0] = (struct vfio_range){ 0, UINT64_MAX };
	container->max_mappings = user->limits.max_maps;
	container->unmap_tells = true;
	user->container = container;
	return true;
}

static void user_close(struct vfio_container *container)
{
	struct vfio_user *user = container->state;

	user->container = NULL;
	container->state = NULL;
}

static bool user_join(struct vfio_container *container, struct vfio_device *device, bool *fits,
		      struct vfio_error *error)
{
	(void)container;
	(void)device;
	(void)fits;
	(void)error;
	return true;
}

/* ---- maps ---- */

/* Now, or with the other changes of memory. */
static int request(struct vfio_user *user, struct user_call *call, const struct vfio_map *map)
{
	int ret = user->gathering ? user_begin_async(user, call, map) : 1;

	return ret > 0 ? user_call(user, call) : ret;
}

static void prepare_unmap(struct vfio_user_dma_unmap *arg, struct user_call *call, uint32_t flags,
			  uint64_t iova, uint64_t size)
{
	*arg = (struct vfio_user_dma_unmap){
		.argsz = sizeof(*arg), .flags = flags, .addr = iova, .size = size
	};
	*call = (struct user_call){ .cmd = VFIO_USER_DMA_UNMAP,
				    .head = arg,
				    .head_size = sizeof(*arg),
				    .reply_max = sizeof(*arg) };
}

static int unmap_now(struct vfio_user *user, uint32_t flags, uint64_t iova, uint64_t size)
{
	struct vfio_user_dma_unmap arg;
	struct user_call call;

	prepare_unmap(&arg, &call, flags, iova, size);
	return user_call(user, &call);
}

static int unmap_plain(struct vfio_user *user, uint64_t iova, uint64_t size)
{
	struct vfio_map map = { .iova = iova, .size = size };
	struct vfio_user_dma_unmap arg;
	struct user_call call;

	prepare_unmap(&arg, &call, 0, iova, size);
	return request(user, &call, &map);
}

/*
 * A map that failed may have been made all the same, by a server that fell ill after it or was too
 * slow. It must not stay: nobody would ever unmap it. Where something else is mapped it was not
 * made.
 */
static void undo_map(struct vfio_user *user, const struct vfio_map *map, int code)
{
	int ret;

	if (code == -EEXIST)
		return;
	ret = unmap_now(user, 0, map->iova, map->size);
	user->doubt |= ret && ret != -ENOENT && ret != -EINVAL;
}

/* That the server is gone is worse than that it refused something. */
static int worse(const struct vfio_user *user, int code)
{
	return user->broken ? user->broken : code;
}

static void user_begin(struct vfio_container *container)
{
	struct vfio_user *user = container->state;

	user->gathering = true;
}

/* What became of the requests that were begun. */
static void collect(struct vfio_user *user, vfio_failed_fn *failed, void *ctx)
{
	user_wait_async(user);
	for (uint32_t i = 0; i < user->async_used; i++) {
		const struct user_async *async = &user->async[i];
		bool unmap = async->cmd == VFIO_USER_DMA_UNMAP;
		int code;

		if (!unmap)
			undo_map(user, &async->map, async->code);
		code = worse(user, async->code);
		failed(ctx, &async->map, unmap, code);
	}
	user_forget_async(user);
}

static void user_commit(struct vfio_container *container, vfio_failed_fn *failed, void *ctx)
{
	struct vfio_user *user = container->state;

	user->gathering = false;
	collect(user, failed, ctx);
	/* A refusal may concern one region only, this concerns them all. */
	if (!user->broken || user->end_told)
		return;
	user->end_told = true;
	vfio_container_set_error(container, user->broken, "the server is gone");
}

static int user_map(struct vfio_container *container, const struct vfio_map *map)
{
	struct vfio_user *user = container->state;
	bool shared = map->fd >= 0 && user->limits.send_fds;
	struct vfio_user_dma_map arg = { .argsz = sizeof(arg),
					 .flags = VFIO_USER_DMA_MAP_FLAG_READ,
					 .offset = shared ? map->fd_offset : 0,
					 .addr = map->iova,
					 .size = map->size };
	struct user_call call = { .cmd = VFIO_USER_DMA_MAP,
				  .head = &arg,
				  .head_size = sizeof(arg),
				  .fds = &map->fd,
				  .fd_count = shared,
				  .reply_max = sizeof(arg) };
	int ret;

	if (container->mapping_count >= user->limits.max_maps)
		return -ENOSPC;
	if (!map->readonly)
		arg.flags |= VFIO_USER_DMA_MAP_FLAG_WRITE;
	user->mapping = map;
	ret = request(user, &call, map);
	user->mapping = NULL;
	if (!ret)
		return 0;
	undo_map(user, map, ret);
	return worse(user, ret);
}

/* Unmaps, and the reply says what was written. */
static int unmap_telling(struct vfio_user *user, uint64_t iova, uint64_t size,
			 const struct vfio_dirty *dirty)
{
	struct vfio_user_dma_unmap arg = { .flags = VFIO_USER_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
					   .addr = iova,
					   .size = size };
	struct vfio_user_bitmap bitmap = { .pgsize = dirty->pgsize, .size = dirty->bitmap_bytes };
	struct user_call call = { .cmd = VFIO_USER_DMA_UNMAP,
				  .head = &arg,
				  .head_size = sizeof(arg),
				  .data = &bitmap,
				  .data_size = sizeof(bitmap) };
	uint64_t whole = sizeof(arg) + sizeof(bitmap) + dirty->bitmap_bytes;
	int ret;

	if (whole > user->limits.bitmap_bytes)
		return -E2BIG;
	arg.argsz = (uint32_t)whole;
	call.reply_min = arg.argsz;
	call.reply_max = arg.argsz;
	ret = user_call(user, &call);
	if (!ret)
		memcpy(dirty->bitmap, call.reply + sizeof(arg) + sizeof(bitmap),
		       dirty->bitmap_bytes);
	return ret;
}

/* A server that cannot tell with the unmap has told its device's log before. */
static int user_unmap(struct vfio_container *container, uint64_t iova, uint64_t size,
		      const struct vfio_dirty *dirty)
{
	struct vfio_user *user = container->state;
	int ret;

	if (!dirty)
		return unmap_plain(user, iova, size);
	ret = unmap_telling(user, iova, size, dirty);
	if (ret != -EINVAL && ret != -ENOTSUP && ret != -E2BIG)
		return ret;
	ret = vfio_device_log_read(user->device, iova, size, dirty);
	return ret ? ret : unmap_plain(user, iova, size);
}

/*
 * Unmaps failed: all that is left, at once. A server that cannot be told so hears that its client
 * is gone, which says the same.
 */
static void user_unmap_rest(struct vfio_container *container)
{
	struct vfio_user *user = container->state;
	int ret;

	if (!container->mapping_count && !user->doubt)
		return;
	ret = unmap_now(user, VFIO_USER_DMA_UNMAP_FLAG_ALL, 0, 0);
	if (ret)
		vfio_close(user->vfio, &user->fd);
}

const struct vfio_backend_ops vfio_user_ops = {
	.name = "user",
	.cpr_reason = "the server knows one client and no successor",
	.io = &vfio_user_io,
	.device_claim = user_claim,
	.device_release = disconnect,
	.device_open = user_device_open,
	.device_close = user_device_close,
	.open = user_open,
	.close = user_close,
	.join = user_join,
	.begin = user_begin,
	.commit = user_commit,
	.map = user_map,
	.unmap = user_unmap,
	.unmap_rest = user_unmap_rest,
};
