/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Features, and the data of a migration.
 *
 * The features that the protocol has are VFIO's, with two differences: what VFIO points to, ranges
 * and bitmap of the DMA log, follows in the message; and the stream of a migration is no descriptor
 * but MIG_DATA_READ and MIG_DATA_WRITE, on the stream that the last change of state opened.
 */
#include <stdlib.h>
#include <string.h>

#include "peer.h"

enum { MAX_RANGES = 256 };

/* A struct vfio_device_feature with room for the payload of those that the protocol has. */
struct feature {
	uint32_t argsz;
	uint32_t flags;
	union {
		struct vfio_device_feature_migration migration;
		struct vfio_device_feature_mig_state state;
		struct vfio_device_feature_mig_data_size data_size;
		struct vfio_device_feature_dma_logging_control control;
		struct vfio_device_feature_dma_logging_report report;
	};
};

enum { HEAD = sizeof(struct vfio_device_feature) };

static int device_feature(struct vfake_peer *peer, struct feature *feature)
{
	feature->argsz = sizeof(*feature);
	return (int)peer_ioctl(peer, peer->device_fd, VFIO_DEVICE_FEATURE, feature);
}

/* The reply: as the request, or with the first @len bytes of the feature's payload. */
static int reply_feature(struct peer_call *call, const struct vfio_device_feature *arg,
			 const void *payload, uint64_t len)
{
	uint8_t *to;

	if (arg->argsz < HEAD + len)
		return -EINVAL;
	to = peer_reply(call, HEAD + len);
	if (!to)
		return -ENOMEM;
	memcpy(to, arg, HEAD);
	((struct vfio_device_feature *)to)->argsz = (uint32_t)(HEAD + len);
	if (len)
		memcpy(to + HEAD, payload, len);
	return 0;
}

/* ---- plain ones ---- */

void peer_close_mig(struct vfake_peer *peer)
{
	if (peer->mig_fd >= 0)
		vfake_close(peer->task, peer->mig_fd);
	peer->mig_fd = -1;
}

static bool has_stream(uint32_t state)
{
	return state == VFIO_DEVICE_STATE_STOP_COPY || state == VFIO_DEVICE_STATE_RESUMING ||
	       state == VFIO_DEVICE_STATE_PRE_COPY || state == VFIO_DEVICE_STATE_PRE_COPY_P2P;
}

static int set_state(struct peer_call *call, const struct vfio_device_feature *arg)
{
	struct vfake_peer *peer = call->peer;
	struct feature feature = { .flags = arg->flags };
	int ret;

	if (call->in_len < HEAD + sizeof(feature.state) ||
	    arg->argsz < HEAD + sizeof(feature.state))
		return -EINVAL;
	memcpy(&feature.state, call->in + HEAD, sizeof(feature.state));
	feature.state.data_fd = -1;
	ret = device_feature(peer, &feature);
	if (ret) {
		struct feature now = { .flags = VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE |
						VFIO_DEVICE_FEATURE_GET };

		/* It may have ended on the way. */
		if (!device_feature(peer, &now) && !has_stream(now.state.device_state))
			peer_close_mig(peer);
		return ret;
	}
	if (feature.state.data_fd >= 0 || !has_stream(feature.state.device_state))
		peer_close_mig(peer);
	if (feature.state.data_fd >= 0)
		peer->mig_fd = feature.state.data_fd;
	return reply_feature(call, arg, call->in + HEAD, sizeof(feature.state));
}

static int get_plain(struct peer_call *call, const struct vfio_device_feature *arg, uint64_t len)
{
	struct feature feature = { .flags = arg->flags };
	int ret = device_feature(call->peer, &feature);

	if (ret)
		return ret;
	if ((arg->flags & VFIO_DEVICE_FEATURE_MASK) == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)
		feature.state.data_fd = -1;
	return reply_feature(call, arg, &feature.migration, len);
}

/* ---- the DMA log ---- */

static int start_log(struct peer_call *call, const struct vfio_device_feature *arg)
{
	struct feature feature = { .flags = arg->flags };
	struct vfio_user_dma_logging_control control;
	struct vfio_device_feature_dma_logging_range all = { 0 };
	const uint8_t *ranges = call->in + HEAD + sizeof(control);
	struct vfio_device_feature_dma_logging_range copy[MAX_RANGES];
	int ret;

	if (call->in_len < HEAD + sizeof(control) || arg->argsz < call->in_len)
		return -EINVAL;
	memcpy(&control, call->in + HEAD, sizeof(control));
	if (control.num_ranges > MAX_RANGES)
		return -E2BIG;
	if (call->in_len < HEAD + sizeof(control) + control.num_ranges * sizeof(copy[0]))
		return -EINVAL;
	/* No ranges are all there is; the last page has no end that VFIO can name. */
	all.length = UINT64_MAX - (control.page_size - 1);
	copy[0] = all;
	memcpy(copy, ranges, control.num_ranges * sizeof(copy[0]));
	feature.control.page_size = control.page_size;
	feature.control.num_ranges = control.num_ranges ? control.num_ranges : 1;
	feature.control.ranges = (uint64_t)(uintptr_t)copy;
	ret = device_feature(call->peer, &feature);
	if (ret)
		return ret;
	ret = reply_feature(call, arg, call->in + HEAD, call->in_len - HEAD);
	if (ret)
		return ret;
	control.page_size = feature.control.page_size;
	memcpy(call->out->bytes + PEER_HEADER + HEAD, &control, sizeof(control));
	return 0;
}

int peer_report(struct vfake_peer *peer, uint64_t iova, uint64_t size, uint64_t page_bytes,
		void *bits)
{
	struct feature feature = { .flags = VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT |
					    VFIO_DEVICE_FEATURE_GET,
				   .report = { .iova = iova,
					       .length = size,
					       .page_size = page_bytes,
					       .bitmap = (uint64_t)(uintptr_t)bits } };

	return device_feature(peer, &feature);
}

static int get_report(struct peer_call *call, const struct vfio_device_feature *arg)
{
	struct vfio_user_dma_logging_report report;
	uint64_t bytes;
	uint8_t *to;

	if (call->in_len < HEAD + sizeof(report))
		return -EINVAL;
	memcpy(&report, call->in + HEAD, sizeof(report));
	bytes = peer_bitmap_bytes(report.length, report.page_size);
	if (!bytes || bytes > VFIO_USER_MAX_DATA_XFER_BYTES ||
	    arg->argsz < HEAD + sizeof(report) + bytes)
		return -EINVAL;
	to = peer_reply(call, HEAD + sizeof(report) + bytes);
	if (!to)
		return -ENOMEM;
	memcpy(to, arg, HEAD);
	((struct vfio_device_feature *)to)->argsz = (uint32_t)(HEAD + sizeof(report) + bytes);
	memcpy(to + HEAD, &report, sizeof(report));
	return peer_report(call->peer, report.iova, report.length, report.page_size,
			   to + HEAD + sizeof(report));
}

/* ---- the message ---- */

static int probe(struct peer_call *call, const struct vfio_device_feature *arg)
{
	struct feature feature = { .flags = arg->flags };
	int ret = device_feature(call->peer, &feature);

	return ret ? ret : reply_feature(call, arg, NULL, 0);
}

static int stop_log(struct peer_call *call, const struct vfio_device_feature *arg)
{
	struct feature feature = { .flags = arg->flags };
	int ret = device_feature(call->peer, &feature);

	return ret ? ret : reply_feature(call, arg, call->in + HEAD, call->in_len - HEAD);
}

static int get_or_set(struct peer_call *call, const struct vfio_device_feature *arg)
{
	bool set = arg->flags & VFIO_DEVICE_FEATURE_SET;

	switch (arg->flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_MIGRATION:
		return get_plain(call, arg, sizeof(struct vfio_device_feature_migration));
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		if (set)
			return set_state(call, arg);
		return get_plain(call, arg, sizeof(struct vfio_device_feature_mig_state));
	case VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
		return get_plain(call, arg, sizeof(struct vfio_device_feature_mig_data_size));
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
		return set ? start_log(call, arg) : -EINVAL;
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
		return stop_log(call, arg);
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
		return set ? -EINVAL : get_report(call, arg);
	default:
		return -ENOTTY;
	}
}

static bool is_known(uint32_t number)
{
	return number == VFIO_DEVICE_FEATURE_MIGRATION ||
	       number == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE ||
	       number == VFIO_DEVICE_FEATURE_MIG_DATA_SIZE ||
	       (number >= VFIO_DEVICE_FEATURE_DMA_LOGGING_START &&
		number <= VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT);
}

int peer_feature(struct peer_call *call)
{
	const uint32_t both = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
	struct vfio_device_feature arg;

	peer_take(call, &arg, sizeof(arg));
	if (!is_known(arg.flags & VFIO_DEVICE_FEATURE_MASK))
		return -ENOTTY;
	if (arg.flags & VFIO_DEVICE_FEATURE_PROBE)
		return probe(call, &arg);
	if (!(arg.flags & both) || (arg.flags & both) == both)
		return -EINVAL;
	return get_or_set(call, &arg);
}

/* ---- the stream ---- */

int peer_mig_data_read(struct peer_call *call)
{
	struct vfake_peer *peer = call->peer;
	struct vfio_user_mig_data arg, *reply;
	long done = 1;

	peer_take(call, &arg, sizeof(arg));
	if (arg.size > peer->attr.max_data_xfer_bytes || arg.argsz - sizeof(arg) < arg.size ||
	    peer->mig_fd < 0)
		return -EINVAL;
	reply = peer_reply(call, sizeof(*reply) + arg.size);
	if (!reply)
		return -ENOMEM;
	while (reply->size < arg.size && done > 0) {
		done = vfake_read(peer->task, peer->mig_fd,
				  (uint64_t)(uintptr_t)(reply->data + reply->size),
				  arg.size - reply->size);
		if (done > 0)
			reply->size += (uint32_t)done;
	}
	/* Pre-copy has nothing more at the moment: for the client that is an end like the other. */
	if (done < 0 && done != -ENOMSG && !reply->size)
		return (int)done;
	reply->argsz = (uint32_t)sizeof(*reply) + reply->size;
	if (!peer->attr.padded_mig_data)
		call->out->len = PEER_HEADER + reply->argsz;
	return 0;
}

int peer_mig_data_write(struct peer_call *call)
{
	struct vfake_peer *peer = call->peer;
	struct vfio_user_mig_data arg;
	const uint8_t *data = call->in + sizeof(arg);
	uint32_t at = 0;

	peer_take(call, &arg, sizeof(arg));
	if (arg.size > peer->attr.max_data_xfer_bytes || arg.size != call->in_len - sizeof(arg) ||
	    peer->mig_fd < 0)
		return -EINVAL;
	while (at < arg.size) {
		long done = vfake_write(peer->task, peer->mig_fd, (uint64_t)(uintptr_t)(data + at),
					arg.size - at);

		if (done <= 0)
			return done ? (int)done : -EIO;
		at += (uint32_t)done;
	}
	return 0;
}
