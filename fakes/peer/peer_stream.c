/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages from a stream of bytes and descriptors, and back.
 *
 * Bytes come and go in pieces of any size. A message's size is judged as soon as its header is
 * there, before memory is taken for it. Between two messages as much is read as there is, so that a
 * short one costs one call; the rest of one that has begun is read as far as it goes.
 *
 * A read ends with the bytes that descriptors came with, so those belong to the message that has
 * its last byte. How many there are at one time is bounded: those of one message, one more.
 */
#include <stdlib.h>
#include <string.h>

#include "peer.h"

/* ---- in ---- */

void peer_stream_open(struct peer_stream *stream, const struct vfake_peer_link *link)
{
	memset(stream, 0, sizeof(*stream));
	stream->open = true;
	stream->link = *link;
	TAILQ_INIT(&stream->outs);
}

static void drop_fds(struct peer_stream *stream)
{
	for (uint32_t i = 0; i < stream->fd_count; i++) {
		if (stream->fds[i] >= 0)
			stream->link.drop(stream->link.ctx, stream->fds[i]);
	}
	stream->fd_count = 0;
}

uint32_t peer_stream_fds(const struct peer_stream *stream)
{
	return stream->ahead_at == stream->ahead_end ? stream->fd_count : 0;
}

static void free_message(struct peer_stream *stream)
{
	free(stream->bytes);
	stream->bytes = NULL;
	stream->have = 0;
	stream->len = 0;
}

void peer_stream_next(struct peer_stream *stream)
{
	if (stream->ahead_at == stream->ahead_end)
		drop_fds(stream);
	free_message(stream);
}

void peer_stream_close(struct peer_stream *stream)
{
	struct peer_out *out;

	if (!stream->open)
		return;
	drop_fds(stream);
	free_message(stream);
	while ((out = TAILQ_FIRST(&stream->outs))) {
		TAILQ_REMOVE(&stream->outs, out, entry);
		peer_out_free(stream, out);
	}
	stream->link.hang_up(stream->link.ctx);
	stream->open = false;
}

/* The header is whole: takes memory for the message. 0, -EPROTO or -ENOMEM. */
static int begin_message(struct peer_stream *stream)
{
	struct vfio_user_header header;

	memcpy(&header, stream->header, sizeof(header));
	if (header.msg_size < PEER_HEADER || header.msg_size > VFIO_USER_MAX_MSG_BYTES)
		return -EPROTO;
	stream->bytes = malloc(header.msg_size);
	if (!stream->bytes)
		return -ENOMEM;
	stream->len = header.msg_size;
	memcpy(stream->bytes, stream->header, PEER_HEADER);
	return 0;
}

/* One recv(). Bytes, 0 when there are none now, -errno. */
static long receive(struct peer_stream *stream, uint8_t *to, uint64_t len)
{
	uint32_t room = VFIO_USER_MAX_MSG_FDS + 1 - stream->fd_count;
	long got =
		stream->link.recv(stream->link.ctx, to, len, stream->fds + stream->fd_count, &room);

	if (got == -EAGAIN || got == -EINTR)
		return 0;
	if (got < 0)
		return got;
	stream->fd_count += room;
	return got ? got : -ECONNRESET;
}

/* Bytes for the message: of those read ahead, or by a recv(). As many, 0 or -errno likewise. */
static long get_bytes(struct peer_stream *stream, uint8_t *to, uint64_t len, bool slow)
{
	uint64_t there;

	if (stream->ahead_at == stream->ahead_end) {
		long got;

		if (stream->have)
			return receive(stream, to, slow ? 1 : len);
		stream->ahead_at = stream->ahead_end = 0;
		got = receive(stream, stream->ahead, slow ? 1 : sizeof(stream->ahead));
		if (got <= 0)
			return got;
		stream->ahead_end = (uint32_t)got;
	}
	there = stream->ahead_end - stream->ahead_at;
	if (len > there)
		len = there;
	memcpy(to, stream->ahead + stream->ahead_at, len);
	stream->ahead_at += (uint32_t)len;
	return (long)len;
}

int peer_stream_read(struct peer_stream *stream, bool slow)
{
	long got;

	do {
		uint8_t *to = stream->bytes ? stream->bytes : stream->header;
		uint64_t end = stream->bytes ? stream->len : PEER_HEADER;

		if (stream->have == end)
			return 1;
		got = get_bytes(stream, to + stream->have, end - stream->have, slow);
		if (got < 0)
			return (int)got;
		stream->have += (uint64_t)got;
		if (stream->have == PEER_HEADER && !stream->bytes) {
			int ret = begin_message(stream);

			if (ret)
				return ret;
		}
		if (stream->bytes && stream->have == stream->len)
			return 1;
	} while (got && !slow);
	return 0;
}

/* ---- out ---- */

struct peer_out *peer_out_new(uint64_t len)
{
	struct peer_out *out = calloc(1, sizeof(*out) + len);

	if (!out)
		return NULL;
	out->len = len;
	out->cut = UINT64_MAX;
	return out;
}

void peer_out_free(struct peer_stream *stream, struct peer_out *out)
{
	if (!out)
		return;
	for (uint32_t i = 0; i < out->fd_count; i++)
		stream->link.drop(stream->link.ctx, out->fds[i]);
	free(out->fds);
	free(out);
}

int peer_out_fd(struct peer_stream *stream, struct peer_out *out, int fd)
{
	int *fds = realloc(out->fds, (out->fd_count + 1) * sizeof(*fds));

	if (!fds) {
		stream->link.drop(stream->link.ctx, fd);
		return -ENOMEM;
	}
	out->fds = fds;
	out->fds[out->fd_count++] = fd;
	return 0;
}

void peer_stream_queue(struct peer_stream *stream, struct peer_out *out)
{
	TAILQ_INSERT_TAIL(&stream->outs, out, entry);
	stream->out_bytes += out->len;
}

/*
 * One send(): as much as goes; one byte when more descriptors follow than go with one. Bytes, 0
 * when none can go now, -errno.
 */
static long send_piece(struct peer_stream *stream, struct peer_out *out)
{
	uint32_t count = out->fd_count + out->more_fds - out->fds_sent;
	uint64_t end = out->len < out->cut ? out->len : out->cut;
	uint64_t len = end - out->sent;
	int fds[PEER_SEND_FDS];
	long sent;

	if (out->slow || count > PEER_SEND_FDS)
		len = 1;
	if (count > PEER_SEND_FDS)
		count = PEER_SEND_FDS;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = out->fds_sent + i;

		fds[i] = out->fds[at < out->fd_count ? at : 0];
	}
	sent = stream->link.send(stream->link.ctx, out->bytes + out->sent, len, fds, count);
	if (sent == -EAGAIN || sent == -EINTR)
		return 0;
	if (sent <= 0)
		return sent ? sent : -EPIPE;
	out->fds_sent += count;
	out->sent += (uint64_t)sent;
	return sent;
}

bool peer_stream_write(struct peer_stream *stream, uint64_t now, bool *ended)
{
	struct peer_out *out;
	bool worked = false;

	while ((out = TAILQ_FIRST(&stream->outs)) && out->due <= now) {
		bool slow = out->slow;
		long sent = 0;

		if (out->sent < out->cut)
			sent = send_piece(stream, out);
		*ended |= sent < 0 || out->sent >= out->cut;
		worked |= sent > 0;
		if (*ended || (!sent && out->sent < out->len))
			return worked;
		if (out->sent == out->len) {
			stream->out_bytes -= out->len;
			TAILQ_REMOVE(&stream->outs, out, entry);
			peer_out_free(stream, out);
		}
		if (slow)
			return true;
	}
	*ended |= stream->closing && !out;
	return worked;
}
