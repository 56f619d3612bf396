/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a command to its handler and to the reply.
 *
 * By the table, as for ioctls: a command needs a row, a payload that is long enough, an argsz
 * (where it has one) that is, and only flags that there are. Then its handler judges the rest. A
 * refused command is answered with the error, if it wants a reply at all.
 */
#include <string.h>
#include <vfake/fault.h>

#include "peer.h"

static const struct {
	peer_handler run;
	uint32_t max_fds; /* that may come with it */
} handlers[VFIO_USER_COMMANDS] = {
	[VFIO_USER_VERSION] = { peer_version, 0 },
	[VFIO_USER_DMA_MAP] = { peer_dma_map, 1 },
	[VFIO_USER_DMA_UNMAP] = { peer_dma_unmap, 0 },
	[VFIO_USER_DEVICE_GET_INFO] = { peer_get_info, 0 },
	[VFIO_USER_DEVICE_GET_REGION_INFO] = { peer_get_region_info, 0 },
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] = { peer_get_region_io_fds, 0 },
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = { peer_get_irq_info, 0 },
	[VFIO_USER_DEVICE_SET_IRQS] = { peer_set_irqs, VFIO_USER_MAX_MSG_FDS },
	[VFIO_USER_REGION_READ] = { peer_region_read, 0 },
	[VFIO_USER_REGION_WRITE] = { peer_region_write, 0 },
	[VFIO_USER_DEVICE_RESET] = { peer_reset, 0 },
	[VFIO_USER_REGION_WRITE_MULTI] = { peer_region_write_multi, 0 },
	[VFIO_USER_DEVICE_FEATURE] = { peer_feature, 0 },
	[VFIO_USER_MIG_DATA_READ] = { peer_mig_data_read, 0 },
	[VFIO_USER_MIG_DATA_WRITE] = { peer_mig_data_write, 0 },
};

/* ---- what handlers use ---- */

void *peer_reply(struct peer_call *call, uint64_t len)
{
	call->out = peer_out_new(PEER_HEADER + len);
	return call->out ? call->out->bytes + PEER_HEADER : NULL;
}

void peer_take(const struct peer_call *call, void *to, uint64_t len)
{
	uint64_t have = call->in_len < len ? call->in_len : len;

	memset(to, 0, len);
	memcpy(to, call->in, have);
}

int peer_reply_fd(struct peer_call *call, int fd, uint64_t *offset)
{
	struct peer_stream *stream = &call->peer->main;
	int given;

	if (call->out->fd_count >= call->peer->caps.max_msg_fds)
		return -ENOSPC;
	given = stream->link.give(stream->link.ctx, fd, offset);
	return given < 0 ? given : peer_out_fd(stream, call->out, given);
}

/* ---- the way ---- */

/* The fields of the payload's struct, as for an ioctl: 0, or what is wrong with one. */
static int check_fields(const struct peer_call *call, const struct uapi_ioctl *row)
{
	uint64_t copy[16] = { 0 };

	peer_take(call, copy, row->arg->size_bytes);
	for (uint32_t i = 0; i < row->arg->field_count; i++) {
		const struct uapi_field *field = &row->arg->fields[i];
		uint64_t got;

		if (field->tail || !field->width || !(field->dir & UAPI_IN))
			continue;
		got = uapi_field_get(field, copy);
		if (field->role == UAPI_SELF_SIZE && got < row->min_size_bytes)
			return -EINVAL;
		if (row->flags_early && field->role == UAPI_FLAGS && (got & ~row->legal_flags))
			return -row->flags_errno;
	}
	return 0;
}

static int check(const struct peer_call *call)
{
	uint16_t cmd = call->header->cmd;
	const struct uapi_ioctl *row = uapi_find(UAPI_ON_USER, cmd);

	if ((call->header->flags & VFIO_USER_F_TYPE_MASK) != VFIO_USER_F_TYPE_COMMAND)
		return -EINVAL;
	if (!row || cmd >= VFIO_USER_COMMANDS || !handlers[cmd].run)
		return -EINVAL;
	if (!call->peer->negotiated && cmd != VFIO_USER_VERSION)
		return -EINVAL;
	if (call->in_len < row->min_size_bytes)
		return -EINVAL;
	if (call->fd_count > handlers[cmd].max_fds || call->fd_count > call->peer->attr.max_msg_fds)
		return -EINVAL;
	return row->arg ? check_fields(call, row) : 0;
}

/* Sends what the handler made, or the error @ret; @fault: it does not even come to that. */
static void reply(struct peer_call *call, int ret, int fault)
{
	struct vfake_peer *peer = call->peer;
	struct vfio_user_header header = *call->header;
	struct peer_out *out = call->out;

	if (ret) {
		peer_out_free(&peer->main, out);
		out = NULL;
	}
	if (!out && fault != -ETIMEDOUT)
		out = peer_out_new(PEER_HEADER);
	if (!out)
		return; /* not even memory for sixteen bytes: the client sees no answer */
	if (fault == -ECONNRESET)
		out->cut = 0;
	header.msg_size = (uint32_t)out->len;
	header.flags = VFIO_USER_F_TYPE_REPLY | (ret ? VFIO_USER_F_ERROR : 0);
	header.error_no = (uint32_t)-ret;
	memcpy(out->bytes, &header, sizeof(header));
	peer_send_reply(call, out);
}

static bool is_reply(const struct vfio_user_header *header)
{
	return (header->flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY;
}

bool peer_command(struct vfake_peer *peer, struct peer_stream *stream)
{
	struct vfio_user_header header;
	struct peer_call call = { .peer = peer, .header = &header };
	bool first = !peer->negotiated;
	int ret, fault = 0;

	memcpy(&header, stream->bytes, sizeof(header));
	if (is_reply(&header) && !first) {
		peer_far_reply(peer, &header, stream->bytes + PEER_HEADER,
			       stream->len - PEER_HEADER);
		return false;
	}
	if (stream != &peer->main)
		return true; /* the second stream is for our commands only */
	call.in = stream->bytes + PEER_HEADER;
	call.in_len = stream->len - PEER_HEADER;
	call.fds = stream->fds;
	call.fd_count = peer_stream_fds(stream);
	peer->counts.commands++;
	if (header.cmd < VFIO_USER_COMMANDS)
		peer->counts.by_command[header.cmd]++;
	ret = check(&call);
	if (!ret)
		ret = vfake_fault_command(peer->kernel, header.cmd, VFAKE_FAULT_ENTRY);
	if (!ret) {
		ret = handlers[header.cmd].run(&call);
		fault = vfake_fault_command(peer->kernel, header.cmd, VFAKE_FAULT_COPYOUT);
	}
	if (ret)
		peer->counts.errors++;
	reply(&call, fault ? fault : ret, fault);
	/* Who does not begin with VERSION speaks something else. */
	return call.hang_up || (first && !peer->negotiated);
}
