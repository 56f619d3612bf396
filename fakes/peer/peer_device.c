/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device behind the peer: its information, regions, interrupts and reset are calls on the
 * device's file, made by the peer's task.
 *
 * A region that can be mapped is given to clients as a file of just its memory, not as the device's
 * file, on which they could make calls. An eventfd stays open here as long as the device has it: in
 * the kernel a bridged one would end with its last descriptor.
 */
#include <stdio.h>
#include <string.h>
#include <uapi/iommufd.h>
#include <vfake/bridge.h>

#include "peer.h"

enum { CAPS_BYTES = 4096 };

/* ---- opening ---- */

long peer_ioctl(struct vfake_peer *peer, int fd, uint32_t number, void *arg)
{
	return vfake_ioctl(peer->task, fd, number, (uint64_t)(uintptr_t)arg);
}

static int bind(struct vfake_peer *peer)
{
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct vfio_device_bind_iommufd to = { .argsz = sizeof(to), .iommufd = peer->iommufd };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	long ret = peer_ioctl(peer, peer->device_fd, VFIO_DEVICE_BIND_IOMMUFD, &to);

	if (!ret)
		ret = peer_ioctl(peer, peer->iommufd, IOMMU_IOAS_ALLOC, &ioas);
	peer->ioas_id = attach.pt_id = ioas.out_ioas_id;
	if (!ret)
		ret = peer_ioctl(peer, peer->device_fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
	return (int)ret;
}

static int read_info(struct vfake_peer *peer)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int ret = (int)peer_ioctl(peer, peer->device_fd, VFIO_DEVICE_GET_INFO, &info);

	peer->num_regions =
		info.num_regions < PEER_MAX_REGIONS ? info.num_regions : PEER_MAX_REGIONS;
	peer->num_irqs = info.num_irqs < PEER_MAX_IRQ_INDEX ? info.num_irqs : PEER_MAX_IRQ_INDEX;
	for (uint32_t i = 0; i < peer->num_regions && !ret; i++) {
		struct vfio_region_info region = { .argsz = sizeof(region), .index = i };

		peer->regions[i].share_fd = -1;
		/* A region that this device does not have is one of no bytes. */
		if (peer_ioctl(peer, peer->device_fd, VFIO_DEVICE_GET_REGION_INFO, &region))
			continue;
		peer->regions[i].known = true;
		peer->regions[i].flags = region.flags;
		peer->regions[i].size = region.size;
		peer->regions[i].offset = region.offset;
	}
	return ret;
}

/* Maps the region here, so that its memory can be given away. Whether it could be. */
static bool share(struct vfake_peer *peer, struct peer_region *region)
{
	if (region->share_fd >= 0)
		return true;
	if (!region->mapped &&
	    vfake_mmap(peer->task, region->size, VFAKE_PROT_READ | VFAKE_PROT_WRITE,
		       peer->device_fd, region->offset, &region->addr))
		return false;
	region->mapped = true;
	region->share_fd = vfake_share_fd(peer->task, region->addr, region->size);
	return region->share_fd >= 0;
}

int peer_device_open(struct vfake_peer *peer, const char **error)
{
	const struct vfake_device_desc *desc = vfake_device_desc(peer->kernel, peer->attr.device);
	char path[64];

	*error = "there is no such device";
	if (!desc)
		return -ENODEV;
	snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%u", desc->cdev);
	peer->iommufd = vfake_open(peer->task, "/dev/iommu");
	peer->device_fd = vfake_open(peer->task, path);
	*error = "the device cannot be opened";
	if (peer->iommufd < 0 || peer->device_fd < 0)
		return -ENODEV;
	*error = "the device is in use";
	if (bind(peer))
		return -EBUSY;
	*error = "the device does not answer";
	if (read_info(peer))
		return -ENODEV;
	/* Before there is a client, so that no client's question leaves anything behind. */
	for (uint32_t i = 0; i < peer->num_regions; i++) {
		if (peer->regions[i].known)
			share(peer, &peer->regions[i]);
	}
	*error = "an io event is for a write that the device cannot take so";
	return peer_io_open(peer);
}

/* ---- information ---- */

int peer_get_info(struct peer_call *call)
{
	struct vfake_peer *peer = call->peer;
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct vfio_user_device_info *reply;
	long ret = peer_ioctl(peer, peer->device_fd, VFIO_DEVICE_GET_INFO, &info);

	if (ret)
		return (int)ret;
	reply = peer_reply(call, sizeof(*reply));
	if (!reply)
		return -ENOMEM;
	reply->argsz = sizeof(*reply);
	reply->flags = info.flags & ~(uint32_t)VFIO_DEVICE_FLAGS_CAPS;
	reply->num_regions = peer->num_regions;
	reply->num_irqs = peer->num_irqs;
	return 0;
}

/* The reply to a question about a region, from what the kernel says of it. */
static int reply_region(struct peer_call *call, struct vfio_region_info *info, uint32_t room)
{
	struct peer_region *region = &call->peer->regions[info->index];
	uint32_t need = info->argsz, len = need;
	void *to;

	if (!share(call->peer, region))
		info->flags &= ~(uint32_t)VFIO_REGION_INFO_FLAG_MMAP;
	info->offset = 0;
	if (need > room) {
		len = sizeof(*info);
		info->cap_offset = 0;
	}
	to = peer_reply(call, len);
	if (!to)
		return -ENOMEM;
	memcpy(to, info, len);
	if (len < need || !(info->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return 0;
	return peer_reply_fd(call, region->share_fd, &((struct vfio_region_info *)to)->offset);
}

/* What the kernel says of a region, and its capabilities. */
union region_answer {
	struct vfio_region_info info;
	uint8_t bytes[CAPS_BYTES];
};

/* Says of a region that all of it can be mapped. */
static void add_sparse(union region_answer *all)
{
	const struct vfio_region_info_cap_sparse_mmap cap = {
		.header = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 }, .nr_areas = 1
	};
	const struct vfio_region_sparse_mmap_area area = { .size = all->info.size };

	all->info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
	all->info.cap_offset = sizeof(all->info);
	all->info.argsz = sizeof(all->info) + sizeof(cap) + sizeof(area);
	memcpy(all->bytes + sizeof(all->info), &cap, sizeof(cap));
	memcpy(all->bytes + sizeof(all->info) + sizeof(cap), &area, sizeof(area));
}

int peer_get_region_info(struct peer_call *call)
{
	struct vfake_peer *peer = call->peer;
	union region_answer all = { 0 };
	struct vfio_region_info arg;
	long ret;

	peer_take(call, &arg, sizeof(arg));
	if (arg.index >= peer->num_regions)
		return -EINVAL;
	all.info.argsz = sizeof(all);
	all.info.index = arg.index;
	if (peer->regions[arg.index].known) {
		ret = peer_ioctl(peer, peer->device_fd, VFIO_DEVICE_GET_REGION_INFO, &all);
		if (ret)
			return (int)ret;
	}
	/* Without capabilities the kernel leaves argsz as it was. */
	if (!all.info.cap_offset)
		all.info.argsz = sizeof(all.info);
	else if (all.info.argsz > sizeof(all))
		return -E2BIG;
	if (peer->attr.sparse_mmap && !all.info.cap_offset &&
	    (all.info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		add_sparse(&all);
	return reply_region(call, &all.info, arg.argsz);
}

/* ---- regions ---- */

/* The region of an access, or NULL: it is not all in one. */
static const struct peer_region *region_of(const struct vfake_peer *peer, uint32_t index,
					   uint64_t offset, uint64_t count)
{
	const struct peer_region *region;

	if (index >= peer->num_regions)
		return NULL;
	region = &peer->regions[index];
	if (offset > region->size || count > region->size - offset)
		return NULL;
	return region;
}

/* All bytes, in as many calls as that takes. 0 or -errno. */
static int move(struct vfake_peer *peer, const struct peer_region *region, uint64_t offset,
		uint8_t *bytes, uint64_t len, bool write)
{
	uint64_t at = region->offset + offset;

	while (len) {
		uint64_t buf = (uint64_t)(uintptr_t)bytes;
		long done = write ? vfake_pwrite(peer->task, peer->device_fd, buf, len, at)
				  : vfake_pread(peer->task, peer->device_fd, buf, len, at);

		if (done <= 0)
			return done ? (int)done : -EIO;
		bytes += done;
		at += (uint64_t)done;
		len -= (uint64_t)done;
	}
	return 0;
}

int peer_region_read(struct peer_call *call)
{
	struct vfio_user_region_access arg, *reply;
	const struct peer_region *region;

	peer_take(call, &arg, sizeof(arg));
	region = region_of(call->peer, arg.region, arg.offset, arg.count);
	if (!region || arg.count > call->peer->attr.max_data_xfer_bytes)
		return -EINVAL;
	reply = peer_reply(call, sizeof(*reply) + arg.count);
	if (!reply)
		return -ENOMEM;
	*reply = arg;
	return move(call->peer, region, arg.offset, reply->data, arg.count, false);
}

int peer_region_write(struct peer_call *call)
{
	struct vfio_user_region_access arg, *reply;
	const struct peer_region *region;
	/* pwrite() only reads from there */
	uint8_t *data = (uint8_t *)(uintptr_t)(call->in + sizeof(arg));
	int ret;

	peer_take(call, &arg, sizeof(arg));
	region = region_of(call->peer, arg.region, arg.offset, arg.count);
	if (!region || arg.count > call->peer->attr.max_data_xfer_bytes ||
	    call->in_len - sizeof(arg) != arg.count)
		return -EINVAL;
	ret = move(call->peer, region, arg.offset, data, arg.count, true);
	if (ret)
		return ret;
	reply = peer_reply(call, sizeof(*reply));
	if (!reply)
		return -ENOMEM;
	*reply = arg;
	return 0;
}

static bool write_one(struct vfake_peer *peer, struct vfio_user_write_one *one)
{
	const struct peer_region *region = region_of(peer, one->region, one->offset, one->count);

	return region && one->count && one->count <= sizeof(one->data) &&
	       !move(peer, region, one->offset, one->data, one->count, true);
}

/* Writes in order up to the first that fails; the reply says how many were done. */
int peer_region_write_multi(struct peer_call *call)
{
	struct vfake_peer *peer = call->peer;
	struct vfio_user_write_multi arg, *reply;
	struct vfio_user_write_one one;

	peer_take(call, &arg, sizeof(arg));
	if (peer->attr.no_write_multiple || !peer->caps.write_multiple ||
	    arg.wr_cnt > VFIO_USER_MAX_WRITES ||
	    call->in_len != sizeof(arg) + arg.wr_cnt * sizeof(one))
		return -EINVAL;
	reply = peer_reply(call, sizeof(*reply));
	if (!reply)
		return -ENOMEM;
	for (; reply->wr_cnt < arg.wr_cnt; reply->wr_cnt++) {
		memcpy(&one, call->in + sizeof(arg) + reply->wr_cnt * sizeof(one), sizeof(one));
		if (!write_one(peer, &one))
			break;
	}
	return 0;
}

/* ---- reset ---- */

int peer_reset_device(struct vfake_peer *peer)
{
	int ret = (int)vfake_ioctl(peer->task, peer->device_fd, VFIO_DEVICE_RESET, 0);

	if (!ret)
		peer_close_mig(peer);
	return ret;
}

int peer_reset(struct peer_call *call)
{
	return peer_reset_device(call->peer);
}
