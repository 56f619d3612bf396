/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes that need no message: GET_REGION_IO_FDS.
 *
 * The peer may give a client eventfds to signal instead of sending certain writes: of one value, to
 * one place. Each is an ioeventfd of the device (VFIO_DEVICE_IOEVENTFD) for as long as the peer
 * lives, so the kernel makes the write when the client signals. A client hands them to KVM, and a
 * guest's write then comes to the device without a turn of the client.
 *
 * As in libvfio-user, an answer that has no room for all tells only how many there are. More than
 * the client takes descriptors in one message are left out, for they can be written as ever.
 */
#include <string.h>

#include "peer.h"

/* Installs or, without a descriptor, takes away. */
static int set(struct vfake_peer *peer, const struct vfake_peer_io *io, int fd)
{
	struct vfio_device_ioeventfd arg = {
		.argsz = sizeof(arg),
		.flags = io->size_bytes,
		.offset = peer->regions[io->region].offset + io->offset,
		.data = io->value,
		.fd = fd,
	};

	return (int)peer_ioctl(peer, peer->device_fd, VFIO_DEVICE_IOEVENTFD, &arg);
}

int peer_io_open(struct vfake_peer *peer)
{
	for (uint32_t i = 0; i < peer->attr.io_count; i++) {
		const struct vfake_peer_io *io = &peer->attr.io[i];
		const struct peer_region *region;

		if (io->region >= peer->num_regions)
			return -EINVAL;
		region = &peer->regions[io->region];
		if (io->size_bytes > region->size || io->offset > region->size - io->size_bytes)
			return -EINVAL;
		peer->io_fds[i] = vfake_eventfd(peer->task);
		if (peer->io_fds[i] < 0)
			return peer->io_fds[i];
		if (set(peer, io, peer->io_fds[i]))
			return -EINVAL;
	}
	return 0;
}

/* How many of a region go into one reply. */
static uint32_t count_of(const struct vfake_peer *peer, uint32_t region)
{
	uint64_t room = peer->caps.max_msg_fds;
	uint32_t count = 0;

	for (uint32_t i = 0; i < peer->attr.io_count; i++)
		count += peer->attr.io[i].region == region && count < room;
	return count;
}

/* The first @count of the region, behind the struct of the reply. 0 or -errno. */
static int fill(struct peer_call *call, uint32_t region, struct vfio_user_io_fd *to, uint32_t count)
{
	struct vfake_peer *peer = call->peer;
	struct peer_stream *stream = &peer->main;
	uint32_t done = 0;

	for (uint32_t i = 0; i < peer->attr.io_count && done < count; i++) {
		const struct vfake_peer_io *io = &peer->attr.io[i];
		int fd;

		if (io->region != region)
			continue;
		fd = stream->link.give_event(stream->link.ctx, peer->io_fds[i]);
		if (fd < 0)
			return fd;
		if (peer_out_fd(stream, call->out, fd))
			return -ENOMEM;
		to[done] = (struct vfio_user_io_fd){
			.offset = io->offset,
			.size = io->size_bytes,
			.fd_index = done,
			.type = VFIO_USER_IO_FD_TYPE_IOEVENTFD,
			.flags = VFIO_USER_IO_FD_DATAMATCH,
			.datamatch = io->value,
		};
		done++;
	}
	return 0;
}

int peer_get_region_io_fds(struct peer_call *call)
{
	struct vfio_user_region_io_fds arg, *reply;
	uint64_t need, len;

	peer_take(call, &arg, sizeof(arg));
	if (arg.flags || arg.count || arg.index >= call->peer->num_regions)
		return -EINVAL;
	arg.count = count_of(call->peer, arg.index);
	need = sizeof(arg) + arg.count * sizeof(struct vfio_user_io_fd);
	len = arg.argsz < need ? sizeof(arg) : need;
	arg.argsz = (uint32_t)need;
	reply = peer_reply(call, len);
	if (!reply)
		return -ENOMEM;
	memcpy(reply, &arg, sizeof(arg));
	if (len < need)
		return 0;
	return fill(call, arg.index, (struct vfio_user_io_fd *)(reply + 1), arg.count);
}
