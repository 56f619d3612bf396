/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VERSION: what both sides can take.
 *
 * The reply has those capabilities that the client proposed and the peer knows; a client that sent
 * none gets none, and both have the defaults. A second stream for the peer's own commands is made
 * when the client can take one and the link can make one.
 */
#include <stdio.h>
#include <string.h>

#include "peer.h"

enum { TEXT_BYTES = 512 };

static int check_client(struct peer_caps *caps)
{
	if (!caps->max_data_xfer_bytes || !caps->max_dma_maps || !caps->pgsizes)
		return -EINVAL;
	if (caps->max_data_xfer_bytes > VFIO_USER_MAX_DATA_XFER_BYTES)
		caps->max_data_xfer_bytes = VFIO_USER_MAX_DATA_XFER_BYTES;
	return 0;
}

/* Adds one member to the text, with the comma before it. */
static void add(char *text, const char *key, const char *value)
{
	size_t len = strlen(text);

	snprintf(text + len, TEXT_BYTES - len, "%s\"%s\":%s", text[len - 1] == '{' ? "" : ",", key,
		 value);
}

static void add_number(char *text, const char *key, uint64_t value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
	add(text, key, digits);
}

static void write_caps(const struct vfake_peer *peer, bool twin, char *text)
{
	uint32_t given = peer->caps.given;

	strcpy(text, "{\"" VFIO_USER_CAP_CAPABILITIES "\":{");
	if (given & PEER_CAP_MAX_MSG_FDS)
		add_number(text, VFIO_USER_CAP_MAX_MSG_FDS, peer->attr.max_msg_fds);
	if (given & PEER_CAP_MAX_DATA_XFER)
		add_number(text, VFIO_USER_CAP_MAX_DATA_XFER, peer->attr.max_data_xfer_bytes);
	if (given & PEER_CAP_MAX_DMA_MAPS)
		add_number(text, VFIO_USER_CAP_MAX_DMA_MAPS, peer->attr.max_dma_maps);
	if (given & PEER_CAP_PGSIZES)
		add_number(text, VFIO_USER_CAP_PGSIZES, VFIO_USER_DEFAULT_PGSIZES);
	if (peer->caps.write_multiple && !peer->attr.no_write_multiple)
		add(text, VFIO_USER_CAP_WRITE_MULTIPLE, "true");
	if (twin)
		add(text, VFIO_USER_CAP_TWIN_SOCKET,
		    "{\"" VFIO_USER_CAP_TWIN_SUPPORTED "\":true,\"" VFIO_USER_CAP_TWIN_FD_INDEX
		    "\":0}");
	strcat(text, "}}");
}

/* Opens the second stream; *fd becomes the client's end. Whether there is one. */
static bool open_twin(struct vfake_peer *peer, int *fd)
{
	struct vfake_peer_link link = peer->main.link;

	if (!peer->caps.twin_socket || peer->attr.no_twin_socket || !link.twin ||
	    link.twin(link.ctx, &link, fd))
		return false;
	peer_stream_open(&peer->twin, &link);
	return true;
}

static int answer(struct peer_call *call, uint16_t minor)
{
	struct vfake_peer *peer = call->peer;
	struct vfio_user_version *version;
	char text[TEXT_BYTES] = "";
	bool twin;
	int fd;

	twin = open_twin(peer, &fd);
	if (peer->caps.given)
		write_caps(peer, twin, text);
	version = peer_reply(call, sizeof(*version) + (text[0] ? strlen(text) + 1 : 0));
	if (!version)
		return -ENOMEM; /* with the client goes the second stream */
	version->major = VFIO_USER_MAJOR;
	version->minor = minor;
	if (text[0])
		memcpy(version->data, text, strlen(text) + 1);
	return twin ? peer_out_fd(&peer->main, call->out, fd) : 0;
}

int peer_version(struct peer_call *call)
{
	struct vfake_peer *peer = call->peer;
	const char *text = (const char *)call->in + sizeof(struct vfio_user_version);
	uint64_t len = call->in_len - sizeof(struct vfio_user_version);
	struct vfio_user_version version;
	int ret = 0;

	if (peer->negotiated)
		return -EINVAL;
	call->hang_up = true; /* unless all goes well */
	peer_take(call, &version, sizeof(version));
	if (version.major != VFIO_USER_MAJOR || len > VFIO_USER_MAX_VERSION_BYTES)
		return -EINVAL;
	peer->caps = (struct peer_caps){
		.max_msg_fds = VFIO_USER_DEFAULT_MAX_MSG_FDS,
		.max_data_xfer_bytes = VFIO_USER_DEFAULT_MAX_DATA_XFER_BYTES,
		.max_dma_maps = VFIO_USER_DEFAULT_MAX_DMA_MAPS,
		.pgsizes = VFIO_USER_DEFAULT_PGSIZES,
	};
	if (len)
		ret = memchr(text, 0, len) ? peer_parse_caps(text, len, &peer->caps) : -EINVAL;
	if (!ret)
		ret = check_client(&peer->caps);
	if (!ret)
		ret = answer(call, version.minor < VFIO_USER_MINOR ? version.minor
								   : (uint16_t)VFIO_USER_MINOR);
	call->hang_up = ret;
	peer->negotiated = !ret;
	return ret;
}
