/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replies, and how a hostile peer spoils them.
 *
 * A command has done what it does before its reply is spoiled. A kind that a reply cannot show, as
 * a capability loop in an answer without capabilities, leaves it as it is and does not count.
 */
#include <stdlib.h>
#include <string.h>

#include "peer.h"

static const char *const names[VFAKE_HOSTILE_KINDS] = {
	[VFAKE_HOSTILE_NONE] = "none",
	[VFAKE_HOSTILE_SHORT_WRITES] = "short-writes",
	[VFAKE_HOSTILE_SHORT_READS] = "short-reads",
	[VFAKE_HOSTILE_HANG_UP] = "hang-up",
	[VFAKE_HOSTILE_HANG_UP_HEADER] = "hang-up-header",
	[VFAKE_HOSTILE_HANG_UP_BODY] = "hang-up-body",
	[VFAKE_HOSTILE_NO_ANSWER] = "no-answer",
	[VFAKE_HOSTILE_LATE] = "late",
	[VFAKE_HOSTILE_DUPLICATE] = "duplicate",
	[VFAKE_HOSTILE_WRONG_ID] = "wrong-id",
	[VFAKE_HOSTILE_WRONG_COMMAND] = "wrong-command",
	[VFAKE_HOSTILE_SIZE_SMALL] = "size-small",
	[VFAKE_HOSTILE_SIZE_HUGE] = "size-huge",
	[VFAKE_HOSTILE_SIZE_SHORT] = "size-short",
	[VFAKE_HOSTILE_SIZE_LONG] = "size-long",
	[VFAKE_HOSTILE_NO_PAYLOAD] = "no-payload",
	[VFAKE_HOSTILE_NOT_A_REPLY] = "not-a-reply",
	[VFAKE_HOSTILE_BAD_TYPE] = "bad-type",
	[VFAKE_HOSTILE_ERROR_ZERO] = "error-zero",
	[VFAKE_HOSTILE_ERROR_HUGE] = "error-huge",
	[VFAKE_HOSTILE_ERROR] = "error",
	[VFAKE_HOSTILE_UNASKED] = "unasked",
	[VFAKE_HOSTILE_NO_FDS] = "no-fds",
	[VFAKE_HOSTILE_ONE_FD] = "one-fd",
	[VFAKE_HOSTILE_MANY_FDS] = "many-fds",
	[VFAKE_HOSTILE_ARGSZ_GROWS] = "argsz-grows",
	[VFAKE_HOSTILE_CAP_LOOP] = "cap-loop",
	[VFAKE_HOSTILE_CAP_BEYOND] = "cap-beyond",
	[VFAKE_HOSTILE_COUNT_LIES] = "count-lies",
	[VFAKE_HOSTILE_BAD_JSON] = "bad-json",
	[VFAKE_HOSTILE_BAD_VERSION] = "bad-version",
};

const char *vfake_hostile_name(enum vfake_hostile_kind kind)
{
	return (unsigned int)kind < VFAKE_HOSTILE_KINDS ? names[kind] : NULL;
}

static struct vfio_user_header *header_of(struct peer_out *out)
{
	return (struct vfio_user_header *)(void *)out->bytes;
}

/* The reply with another length: what it had is kept as far as that goes, what is new is zero. */
static struct peer_out *resize(struct peer_stream *stream, struct peer_out *out, uint64_t len)
{
	struct peer_out *longer;

	if (len > out->len) {
		longer = peer_out_new(len);
		if (!longer)
			return out;
		memcpy(longer->bytes, out->bytes, out->len);
		longer->fds = out->fds;
		longer->fd_count = out->fd_count;
		longer->due = out->due;
		out->fd_count = 0;
		out->fds = NULL;
		peer_out_free(stream, out);
		out = longer;
	}
	out->len = len;
	header_of(out)->msg_size = (uint32_t)len;
	return out;
}

/* ---- payloads ---- */

static uint32_t asked_argsz(const struct peer_call *call)
{
	uint32_t argsz = 0;

	if (call->in_len >= sizeof(argsz))
		memcpy(&argsz, call->in, sizeof(argsz));
	return argsz;
}

static bool has_argsz(uint16_t cmd)
{
	return cmd == VFIO_USER_DEVICE_GET_INFO || cmd == VFIO_USER_DEVICE_GET_REGION_INFO ||
	       cmd == VFIO_USER_DEVICE_GET_REGION_IO_FDS || cmd == VFIO_USER_DEVICE_GET_IRQ_INFO ||
	       cmd == VFIO_USER_DEVICE_FEATURE || cmd == VFIO_USER_MIG_DATA_READ;
}

static void grow_argsz(const struct peer_call *call, struct peer_out *out)
{
	uint32_t argsz = asked_argsz(call);

	argsz = argsz > UINT32_MAX - 4096 ? UINT32_MAX : argsz + 4096;
	memcpy(out->bytes + PEER_HEADER, &argsz, sizeof(argsz));
}

/* A chain of one capability whose next one is itself, or nowhere. */
static struct peer_out *add_caps(const struct peer_call *call, struct peer_out *out)
{
	struct peer_stream *stream = &call->peer->main;
	const uint32_t at = sizeof(struct vfio_region_info);
	struct vfio_info_cap_header cap = { .id = VFIO_REGION_INFO_CAP_TYPE, .version = 1 };
	struct vfio_region_info info;
	bool room = asked_argsz(call) >= at + sizeof(cap);

	cap.next = call->peer->attr.hostile.kind == VFAKE_HOSTILE_CAP_LOOP ? at : 0xfffffff8U;
	out = resize(stream, out, PEER_HEADER + at + (room ? sizeof(cap) : 0));
	memcpy(&info, out->bytes + PEER_HEADER, sizeof(info));
	info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
	info.argsz = at + sizeof(cap);
	info.cap_offset = room ? at : 0;
	memcpy(out->bytes + PEER_HEADER, &info, sizeof(info));
	if (out->len >= PEER_HEADER + at + sizeof(cap))
		memcpy(out->bytes + PEER_HEADER + at, &cap, sizeof(cap));
	return out;
}

/* Where the count of a reply's data is, or 0. */
static uint32_t count_at(uint16_t cmd)
{
	if (cmd == VFIO_USER_REGION_READ || cmd == VFIO_USER_REGION_WRITE)
		return PEER_HEADER + offsetof(struct vfio_user_region_access, count);
	if (cmd == VFIO_USER_MIG_DATA_READ)
		return PEER_HEADER + offsetof(struct vfio_user_mig_data, size);
	return 0;
}

static void lie(struct peer_out *out)
{
	uint32_t at = count_at(header_of(out)->cmd), count;

	memcpy(&count, out->bytes + at, sizeof(count));
	count += 16;
	memcpy(out->bytes + at, &count, sizeof(count));
}

static struct peer_out *break_json(struct peer_stream *stream, struct peer_out *out)
{
	static const char text[] = "{\"capabilities\":[";

	out = resize(stream, out, PEER_HEADER + sizeof(struct vfio_user_version) + sizeof(text));
	if (out->len >= PEER_HEADER + sizeof(struct vfio_user_version) + sizeof(text))
		memcpy(out->bytes + PEER_HEADER + sizeof(struct vfio_user_version), text,
		       sizeof(text));
	return out;
}

/* ---- descriptors ---- */

static void add_fds(struct vfake_peer *peer, struct peer_out *out, uint32_t count)
{
	struct peer_stream *stream = &peer->main;
	int own = vfake_eventfd(peer->task);
	uint64_t offset = 0;
	int fd;

	if (own < 0)
		return;
	fd = stream->link.give(stream->link.ctx, own, &offset);
	vfake_close(peer->task, own);
	if (fd >= 0 && !peer_out_fd(stream, out, fd))
		out->more_fds = count - 1;
}

static void drop_fds(struct peer_stream *stream, struct peer_out *out)
{
	while (out->fd_count)
		stream->link.drop(stream->link.ctx, out->fds[--out->fd_count]);
}

/* ---- spoiling ---- */

/* Whether the kind shows in the reply. */
static bool fits(enum vfake_hostile_kind kind, struct peer_out *out)
{
	const struct vfio_user_header *header = header_of(out);
	bool payload = out->len > PEER_HEADER;

	switch (kind) {
	case VFAKE_HOSTILE_NONE:
	case VFAKE_HOSTILE_SHORT_READS:
	case VFAKE_HOSTILE_UNASKED:
		return false;
	case VFAKE_HOSTILE_HANG_UP_HEADER:
	case VFAKE_HOSTILE_SIZE_SHORT:
	case VFAKE_HOSTILE_NO_PAYLOAD:
		return payload;
	case VFAKE_HOSTILE_NO_FDS:
		return out->fd_count;
	case VFAKE_HOSTILE_ARGSZ_GROWS:
		return payload && has_argsz(header->cmd);
	case VFAKE_HOSTILE_CAP_LOOP:
	case VFAKE_HOSTILE_CAP_BEYOND:
		return payload && header->cmd == VFIO_USER_DEVICE_GET_REGION_INFO;
	case VFAKE_HOSTILE_COUNT_LIES:
		return payload && count_at(header->cmd);
	case VFAKE_HOSTILE_BAD_JSON:
	case VFAKE_HOSTILE_BAD_VERSION:
		return payload && header->cmd == VFIO_USER_VERSION;
	default:
		return true;
	}
}

static void spoil_error(struct peer_stream *stream, struct peer_out *out, uint32_t flags,
			uint32_t error)
{
	resize(stream, out, PEER_HEADER);
	drop_fds(stream, out);
	header_of(out)->flags = flags | VFIO_USER_F_ERROR;
	header_of(out)->error_no = error;
}

/* What is wrong is in the header, or in when and how far the reply goes. */
static void spoil_header(struct peer_stream *stream, struct peer_out *out,
			 enum vfake_hostile_kind kind)
{
	struct vfio_user_header *header = header_of(out);

	switch (kind) {
	case VFAKE_HOSTILE_SHORT_WRITES:
		out->slow = true;
		break;
	case VFAKE_HOSTILE_HANG_UP:
		out->cut = 0;
		break;
	case VFAKE_HOSTILE_HANG_UP_HEADER:
		out->cut = PEER_HEADER;
		break;
	case VFAKE_HOSTILE_HANG_UP_BODY:
		out->cut = out->len - 1;
		break;
	case VFAKE_HOSTILE_LATE:
		out->due += PEER_LATE_TURNS;
		break;
	case VFAKE_HOSTILE_WRONG_ID:
		header->msg_id ^= 0x4000;
		break;
	case VFAKE_HOSTILE_WRONG_COMMAND:
		header->cmd++;
		break;
	case VFAKE_HOSTILE_SIZE_SMALL:
		header->msg_size = PEER_HEADER / 2;
		break;
	case VFAKE_HOSTILE_SIZE_HUGE:
		header->msg_size = UINT32_MAX;
		break;
	case VFAKE_HOSTILE_BAD_TYPE:
		header->flags |= VFIO_USER_F_TYPE_MASK;
		break;
	case VFAKE_HOSTILE_NOT_A_REPLY:
		spoil_error(stream, out, VFIO_USER_F_TYPE_COMMAND, EIO);
		break;
	case VFAKE_HOSTILE_ERROR_ZERO:
		spoil_error(stream, out, VFIO_USER_F_TYPE_REPLY, 0);
		break;
	case VFAKE_HOSTILE_ERROR_HUGE:
		spoil_error(stream, out, VFIO_USER_F_TYPE_REPLY, UINT32_MAX);
		break;
	case VFAKE_HOSTILE_ERROR:
		spoil_error(stream, out, VFIO_USER_F_TYPE_REPLY, EIO);
		break;
	default:
		break;
	}
}

/* What is wrong is in the payload or with the descriptors. The reply, perhaps another one. */
static struct peer_out *spoil_payload(const struct peer_call *call, struct peer_out *out,
				      enum vfake_hostile_kind kind)
{
	struct peer_stream *stream = &call->peer->main;
	struct vfio_user_version *version = (void *)(out->bytes + PEER_HEADER);

	switch (kind) {
	case VFAKE_HOSTILE_SIZE_SHORT:
		return resize(stream, out, out->len - 1);
	case VFAKE_HOSTILE_SIZE_LONG:
		return resize(stream, out, out->len + 8);
	case VFAKE_HOSTILE_NO_PAYLOAD:
		return resize(stream, out, PEER_HEADER);
	case VFAKE_HOSTILE_NO_FDS:
		drop_fds(stream, out);
		return out;
	case VFAKE_HOSTILE_ONE_FD:
		add_fds(call->peer, out, 1);
		return out;
	case VFAKE_HOSTILE_MANY_FDS:
		add_fds(call->peer, out, PEER_MANY_FDS);
		return out;
	case VFAKE_HOSTILE_ARGSZ_GROWS:
		grow_argsz(call, out);
		return out;
	case VFAKE_HOSTILE_CAP_LOOP:
	case VFAKE_HOSTILE_CAP_BEYOND:
		return add_caps(call, out);
	case VFAKE_HOSTILE_COUNT_LIES:
		lie(out);
		return out;
	case VFAKE_HOSTILE_BAD_JSON:
		return break_json(stream, out);
	case VFAKE_HOSTILE_BAD_VERSION:
		version->major = VFIO_USER_MAJOR + 7;
		return out;
	default:
		return out;
	}
}

/* Whether it is this reply's turn to be spoiled. */
static bool is_chosen(struct vfake_peer *peer, struct peer_out *out)
{
	const struct vfake_hostile *hostile = &peer->attr.hostile;
	uint16_t cmd = header_of(out)->cmd;
	bool version_only = hostile->kind == VFAKE_HOSTILE_BAD_JSON ||
			    hostile->kind == VFAKE_HOSTILE_BAD_VERSION;

	if (!fits(hostile->kind, out))
		return false;
	if (hostile->command ? hostile->command != cmd : cmd == VFIO_USER_VERSION && !version_only)
		return false;
	if (peer->hostile_seen < hostile->skip) {
		peer->hostile_seen++;
		return false;
	}
	if (!hostile->once)
		return true;
	return peer->hostile_seen++ == hostile->skip;
}

bool vfake_peer_is_hostile(const struct vfake_peer *peer)
{
	const struct vfake_hostile *hostile = &peer->attr.hostile;

	return hostile->kind != VFAKE_HOSTILE_NONE &&
	       (!hostile->once || peer->hostile_seen <= hostile->skip ||
		!TAILQ_EMPTY(&peer->main.outs));
}

static void duplicate(struct peer_stream *stream, const struct peer_out *out)
{
	struct peer_out *again = peer_out_new(out->len);

	if (!again)
		return;
	memcpy(again->bytes, out->bytes, out->len);
	again->due = out->due;
	peer_stream_queue(stream, again);
}

void peer_send_reply(const struct peer_call *call, struct peer_out *out)
{
	struct vfake_peer *peer = call->peer;
	struct peer_stream *stream = &peer->main;
	enum vfake_hostile_kind kind = peer->attr.hostile.kind;
	bool wanted =
		!(call->header->flags & VFIO_USER_F_NO_REPLY) || kind == VFAKE_HOSTILE_UNASKED;
	bool spoiled = wanted && is_chosen(peer, out);

	if (!wanted || (spoiled && kind == VFAKE_HOSTILE_NO_ANSWER)) {
		peer_out_free(stream, out);
		return;
	}
	out->due = peer->turn + peer->attr.delay_turns;
	if (spoiled && kind == VFAKE_HOSTILE_DUPLICATE)
		duplicate(stream, out);
	if (spoiled) {
		spoil_header(stream, out, kind);
		out = spoil_payload(call, out, kind);
	}
	peer_stream_queue(stream, out);
}

bool peer_is_slow_reader(const struct vfake_peer *peer)
{
	return peer->attr.hostile.kind == VFAKE_HOSTILE_SHORT_READS;
}

void vfake_peer_set_hostile(struct vfake_peer *peer, const struct vfake_hostile *hostile)
{
	peer->attr.hostile = *hostile;
	peer->hostile_seen = 0;
}
