/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The peer's life: its task and device, one client after the other, and what it does in a turn.
 *
 * In the fake kernel its link to a client is a socket there; descriptors are then already the
 * task's own. The link's functions are the only ones that know what a descriptor is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <vfake/fault.h>
#include <vfake/socket.h>

#include "peer.h"

/* ---- the link in the fake kernel ---- */

/* An end of a socket of the peer's task. */
struct fake_link {
	struct vfake_task *task;
	int fd;
};

static long fake_send(void *ctx, const void *bytes, uint64_t len, const int *fds, uint32_t fd_count)
{
	const struct fake_link *end = ctx;

	return vfake_sendmsg(end->task, end->fd, bytes, len, fds, fd_count);
}

static long fake_recv(void *ctx, void *bytes, uint64_t len, int *fds, uint32_t *fd_count)
{
	const struct fake_link *end = ctx;

	/* Whoever looks on is told of calls that get something. */
	if (!vfake_poll(end->task, end->fd, 0))
		return -EAGAIN;
	return vfake_recvmsg(end->task, end->fd, bytes, len, fds, fd_count);
}

static int fake_take_memory(void *ctx, int fd, uint64_t *offset, uint64_t len, bool write)
{
	const struct fake_link *end = ctx;

	(void)offset;
	(void)len;
	(void)write;
	return vfake_dup(end->task, fd);
}

static int fake_take_event(void *ctx, int fd, bool heard)
{
	const struct fake_link *end = ctx;

	(void)heard;
	return vfake_dup(end->task, fd);
}

static int fake_give(void *ctx, int fd, uint64_t *offset)
{
	const struct fake_link *end = ctx;

	(void)offset;
	return vfake_dup(end->task, fd);
}

static int fake_give_event(void *ctx, int fd)
{
	const struct fake_link *end = ctx;

	return vfake_dup(end->task, fd);
}

static void fake_drop(void *ctx, int fd)
{
	const struct fake_link *end = ctx;

	vfake_close(end->task, fd);
}

static void fake_hang_up(void *ctx)
{
	struct fake_link *end = ctx;

	vfake_close(end->task, end->fd);
	free(end);
}

static int fake_twin(void *ctx, struct vfake_peer_link *twin, int *fd);

static const struct vfake_peer_link fake_link = {
	.send = fake_send,
	.recv = fake_recv,
	.take_memory = fake_take_memory,
	.take_event = fake_take_event,
	.give = fake_give,
	.give_event = fake_give_event,
	.twin = fake_twin,
	.drop = fake_drop,
	.hang_up = fake_hang_up,
};

static int new_link(struct vfake_task *task, int fd, struct vfake_peer_link *link)
{
	struct fake_link *end = malloc(sizeof(*end));

	if (!end)
		return -ENOMEM;
	end->task = task;
	end->fd = fd;
	*link = fake_link;
	link->ctx = end;
	return 0;
}

static int fake_twin(void *ctx, struct vfake_peer_link *twin, int *fd)
{
	const struct fake_link *end = ctx;
	int fds[2];
	int ret = vfake_socketpair(end->task, fds);

	if (!ret)
		ret = new_link(end->task, fds[0], twin);
	if (!ret)
		*fd = fds[1];
	return ret;
}

/* ---- clients ---- */

static void let_go(struct vfake_peer *peer)
{
	peer_far_forget(peer);
	peer_dma_forget(peer);
	peer_device_forget(peer);
	peer_stream_close(&peer->twin);
	peer_stream_close(&peer->main);
	peer->negotiated = false;
}

int vfake_peer_attach(struct vfake_peer *peer, const struct vfake_peer_link *link)
{
	if (peer->main.open)
		return -EBUSY;
	peer_stream_open(&peer->main, link);
	peer->counts.clients++;
	return 0;
}

bool vfake_peer_attached(const struct vfake_peer *peer)
{
	return peer->main.open;
}

static bool let_in(struct vfake_peer *peer)
{
	struct vfake_peer_link link;
	int fd;

	if (peer->main.open || peer->listen_fd < 0)
		return false;
	if (!vfake_poll(peer->task, peer->listen_fd, 0))
		return false;
	fd = vfake_accept(peer->task, peer->listen_fd);
	if (fd < 0)
		return false;
	if (new_link(peer->task, fd, &link)) {
		vfake_close(peer->task, fd);
		return false;
	}
	return !vfake_peer_attach(peer, &link);
}

/* ---- a turn ---- */

/* Reads and obeys while there is something to read and room for the answers. Whether it did;
 * *ended when the stream has to. */
static bool read_stream(struct vfake_peer *peer, struct peer_stream *stream, bool *ended)
{
	bool slow = peer_is_slow_reader(peer), worked = false;
	uint64_t before = stream->have;

	while (stream->open && !stream->closing && !*ended &&
	       peer->main.out_bytes < PEER_QUEUE_BYTES) {
		int ret = peer_stream_read(stream, slow);

		worked |= ret == 1 || stream->have != before;
		if (ret < 0) {
			peer->counts.hang_ups += ret != -ECONNRESET;
			*ended = true;
		}
		if (ret != 1)
			break;
		if (peer_command(peer, stream)) {
			peer->counts.hang_ups++;
			peer->main.closing = true;
		}
		peer_stream_next(stream);
		if (slow)
			break;
	}
	return worked;
}

static bool has_outs(const struct peer_stream *stream)
{
	return stream->open && !TAILQ_EMPTY(&stream->outs);
}

bool vfake_peer_turn(struct vfake_peer *peer)
{
	bool worked = let_in(peer), ended = false;

	peer->turn++;
	worked |= read_stream(peer, &peer->main, &ended);
	worked |= read_stream(peer, &peer->twin, &ended);
	if (peer->attr.ticks_per_turn)
		worked |= vfake_tick(peer->kernel, peer->attr.ticks_per_turn) > 0;
	if (peer->main.open)
		worked |= peer_stream_write(&peer->main, peer->turn, &ended);
	if (peer->twin.open)
		worked |= peer_stream_write(&peer->twin, peer->turn, &ended);
	if (ended) {
		let_go(peer);
		return true;
	}
	return worked || has_outs(&peer->main) || has_outs(&peer->twin);
}

static bool program(void *ctx)
{
	return vfake_peer_turn(ctx);
}

/* ---- life ---- */

static void set_defaults(struct vfake_peer *peer)
{
	struct vfake_peer_attr *attr = &peer->attr;

	if (!attr->max_msg_fds)
		attr->max_msg_fds = 8;
	if (attr->max_msg_fds > VFIO_USER_MAX_MSG_FDS)
		attr->max_msg_fds = VFIO_USER_MAX_MSG_FDS;
	if (!attr->max_data_xfer_bytes || attr->max_data_xfer_bytes > VFIO_USER_MAX_DATA_XFER_BYTES)
		attr->max_data_xfer_bytes = VFIO_USER_MAX_DATA_XFER_BYTES;
	if (!attr->max_dma_maps)
		attr->max_dma_maps = VFIO_USER_DEFAULT_MAX_DMA_MAPS;
	peer->listen_fd = -1;
	peer->mig_fd = -1;
	LIST_INIT(&peer->irqs);
}

struct vfake_peer *vfake_peer_new(struct vfake_kernel *kernel, const struct vfake_peer_attr *attr,
				  const char **error)
{
	struct vfake_task_attr root = vfake_root;
	struct vfake_peer *peer = calloc(1, sizeof(*peer));

	*error = "out of memory";
	if (!peer)
		return NULL;
	root.host_memory = true;
	peer->kernel = kernel;
	peer->attr = *attr;
	set_defaults(peer);
	peer->task = vfake_task_new(kernel, &root);
	if (!peer->task)
		goto err_free;
	vfake_spare_task(peer->task);
	if (peer_device_open(peer, error))
		goto err_task;
	if (attr->path) {
		*error = "the socket's path is taken or too long";
		peer->listen_fd = vfake_listen(peer->task, attr->path, 4);
		if (peer->listen_fd < 0)
			goto err_task;
		vfake_set_program(peer->task, program, peer);
	}
	peer->attr.device = peer->attr.path = NULL; /* the caller's */
	return peer;

err_task:
	vfake_task_exit(peer->task);
err_free:
	free(peer);
	return NULL;
}

void vfake_peer_free(struct vfake_peer *peer)
{
	if (!peer)
		return;
	if (peer->main.open)
		let_go(peer);
	vfake_task_exit(peer->task);
	free(peer);
}

struct vfake_task *vfake_peer_task(struct vfake_peer *peer)
{
	return peer->task;
}

struct vfake_peer_counts vfake_peer_counts(const struct vfake_peer *peer)
{
	return peer->counts;
}
