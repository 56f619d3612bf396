/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Far memory: the device's DMA to a map without a descriptor becomes DMA_READ and DMA_WRITE.
 *
 * A device asks for the same bytes tick after tick until they are there (vfake/bridge.h). So one
 * access is under way at a time: the first question sends the message, a later one takes the
 * answer. When the device asks for something else meanwhile, because it was reset, the answer to
 * the old one is thrown away. An access is cut into pieces that the client can take. An error, an
 * answer that does not fit the question, and a client that goes are faults of the access.
 */
#include <stdlib.h>
#include <string.h>

#include "peer.h"

static struct peer_stream *stream_of(struct vfake_peer *peer)
{
	return peer->twin.open ? &peer->twin : &peer->main;
}

/* Sends the message for the next piece. 0 or -errno. */
static int send_part(struct vfake_peer *peer)
{
	struct peer_far *far = &peer->far;
	struct vfio_user_dma_access access = { .addr = far->iova + far->done };
	struct vfio_user_header header = { 0 };
	struct peer_out *out;

	far->part = far->len - far->done;
	if (far->part > peer->caps.max_data_xfer_bytes)
		far->part = peer->caps.max_data_xfer_bytes;
	access.count = far->part;
	out = peer_out_new(PEER_HEADER + sizeof(access) + (far->write ? far->part : 0));
	if (!out)
		return -ENOMEM;
	far->id = peer->next_id++;
	header.msg_id = far->id;
	header.cmd = far->write ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ;
	header.msg_size = (uint32_t)out->len;
	memcpy(out->bytes, &header, sizeof(header));
	memcpy(out->bytes + PEER_HEADER, &access, sizeof(access));
	if (far->write)
		memcpy(out->bytes + PEER_HEADER + sizeof(access), far->data + far->done, far->part);
	peer_stream_queue(stream_of(peer), out);
	peer->counts.far_writes += far->write;
	peer->counts.far_reads += !far->write;
	far->state = PEER_FAR_SENT;
	return 0;
}

static bool is_same(const struct peer_far *far, uint64_t iova, const void *bytes, uint64_t len,
		    bool write)
{
	return far->state != PEER_FAR_NONE && far->write == write && far->iova == iova &&
	       far->len == len && (!write || !memcmp(far->data, bytes, len));
}

static int begin(struct vfake_peer *peer, uint64_t iova, const void *bytes, uint64_t len,
		 bool write)
{
	struct peer_far *far = &peer->far;
	int ret;

	far->state = PEER_FAR_NONE;
	if (len > far->space) {
		uint8_t *data = realloc(far->data, len);

		if (!data)
			return -ENOMEM;
		far->data = data;
		far->space = len;
	}
	far->write = write;
	far->iova = iova;
	far->len = len;
	far->done = 0;
	far->error = 0;
	if (write)
		memcpy(far->data, bytes, len);
	ret = send_part(peer);
	return ret ? ret : -EAGAIN;
}

int peer_far_read(void *ctx, uint64_t offset, void *bytes, uint64_t len)
{
	const struct peer_map *map = ctx;
	struct peer_far *far = &map->peer->far;

	if (!is_same(far, map->iova + offset, NULL, len, false))
		return begin(map->peer, map->iova + offset, NULL, len, false);
	if (far->state == PEER_FAR_SENT)
		return -EAGAIN;
	far->state = PEER_FAR_NONE;
	if (!far->error)
		memcpy(bytes, far->data, len);
	return far->error;
}

int peer_far_write(void *ctx, uint64_t offset, const void *bytes, uint64_t len)
{
	const struct peer_map *map = ctx;
	struct peer_far *far = &map->peer->far;

	if (!is_same(far, map->iova + offset, bytes, len, true))
		return begin(map->peer, map->iova + offset, bytes, len, true);
	if (far->state == PEER_FAR_SENT)
		return -EAGAIN;
	far->state = PEER_FAR_NONE;
	return far->error;
}

/* What is wrong with the answer to the piece under way, or 0. */
static int check_answer(const struct peer_far *far, const struct vfio_user_header *header,
			const uint8_t *payload, uint64_t len)
{
	uint16_t cmd = far->write ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ;
	struct vfio_user_dma_access access = { 0 };

	if ((header->flags & VFIO_USER_F_ERROR) || header->cmd != cmd)
		return -EFAULT;
	/* Some clients write the count of an answer to DMA_WRITE as 4 bytes, as the table of the
	 * specification has it. */
	if (far->write && len == offsetof(struct vfio_user_dma_access, count) + sizeof(uint32_t)) {
		uint32_t count;

		memcpy(&access.addr, payload, sizeof(access.addr));
		memcpy(&count, payload + sizeof(access.addr), sizeof(count));
		access.count = count;
	} else if (len != sizeof(access) + (far->write ? 0 : far->part)) {
		return -EFAULT;
	} else {
		memcpy(&access, payload, sizeof(access));
	}
	return access.addr == far->iova + far->done && access.count == far->part ? 0 : -EFAULT;
}

void peer_far_reply(struct vfake_peer *peer, const struct vfio_user_header *header,
		    const uint8_t *payload, uint64_t len)
{
	struct peer_far *far = &peer->far;

	if (far->state != PEER_FAR_SENT || header->msg_id != far->id) {
		peer->counts.unknown_replies++;
		return;
	}
	far->error = check_answer(far, header, payload, len);
	if (!far->error) {
		if (!far->write)
			memcpy(far->data + far->done, payload + sizeof(struct vfio_user_dma_access),
			       far->part);
		far->done += far->part;
		if (far->done < far->len)
			far->error = send_part(peer);
	}
	if (far->error || far->done == far->len)
		far->state = PEER_FAR_DONE;
}

void peer_far_forget(struct vfake_peer *peer)
{
	free(peer->far.data);
	peer->far = (struct peer_far){ 0 };
}
