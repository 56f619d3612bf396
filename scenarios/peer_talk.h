/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vfio-user peer and a client that speaks to it message by message, for tests of the peer.
 */
#ifndef SCENARIOS_PEER_TALK_H
#define SCENARIOS_PEER_TALK_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <uapi/vfio.h>
#include <uapi/vfio_user.h>
#include <vfake/models.h>
#include <vfake/peer.h>
#include <vfake/socket.h>

#include "common.h"

enum { TALK_PAGE = 4096, TALK_ROOM = 70000, TALK_FDS = 64, TALK_TURNS = 1000000 };

struct talk {
	struct vfake_kernel *kernel;
	struct vfake_peer *peer;
	struct vfake_task *task; /* the client */
	int fd;			 /* of the client's socket, -1 */
	int twin;		 /* of the second one, -1 */
	uint16_t id;
	struct vfake_ledger before; /* the peer was started */
	/* the last message that came */
	struct vfio_user_header header;
	uint64_t payload[TALK_ROOM / 8];
	uint32_t len; /* of payload, in bytes */
	int fds[TALK_FDS];
	uint32_t fd_count;
};

#define TALK_PATH "/run/peer"
#define TALK_JSON                                                                                  \
	"{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":65536,"                       \
	"\"write_multiple\":true}}"

/* A world with "d0" of @model, and its peer; @attr may be NULL. */
static inline void talk_boot(struct talk *talk, const char *model,
			     const struct vfake_peer_attr *attr)
{
	struct vfake_peer_attr with = { 0 };
	struct vfake_world world;
	const char *error;

	if (attr)
		with = *attr;
	with.device = "d0";
	with.path = TALK_PATH;
	vfake_world_x86(&world);
	world.reserved_count = 0;
	world.aperture.last = UINT64_MAX;
	assert_int_equal(vfake_world_add_device(&world, "d0", model), 0);
	talk->kernel = vfake_kernel_new(&world, &error);
	assert_non_null(talk->kernel);
	talk->task = vfake_task_new(talk->kernel, &root_here);
	assert_non_null(talk->task);
	talk->before = vfake_ledger(talk->kernel);
	talk->peer = vfake_peer_new(talk->kernel, &with, &error);
	if (!talk->peer)
		fail_msg("no peer: %s", error);
	talk->fd = talk->twin = -1;
	talk->id = 100;
	talk->fd_count = 0;
}

static inline void talk_drop_fds(struct talk *talk)
{
	while (talk->fd_count)
		vfake_close(talk->task, talk->fds[--talk->fd_count]);
}

/* The client goes; the peer notices. */
static inline void talk_leave(struct talk *talk)
{
	talk_drop_fds(talk);
	vfake_close(talk->task, talk->twin);
	vfake_close(talk->task, talk->fd);
	talk->fd = talk->twin = -1;
	for (int i = 0; i < TALK_TURNS && vfake_peer_turn(talk->peer); i++)
		;
	assert_false(vfake_peer_attached(talk->peer));
	assert_int_equal(vfake_peer_counts(talk->peer).maps, 0);
}

/* The peer goes, with or without a client; nothing is left. */
static inline void talk_end(struct talk *talk)
{
	vfake_peer_free(talk->peer);
	talk_drop_fds(talk);
	vfake_close(talk->task, talk->fd);
	vfake_close(talk->task, talk->twin);
	assert_same_ledger(vfake_ledger(talk->kernel), talk->before);
	vfake_kernel_free(talk->kernel);
}

static inline void talk_connect(struct talk *talk)
{
	talk->fd = vfake_connect(talk->task, TALK_PATH);
	assert_true(talk->fd >= 0);
}

/* Bytes and descriptors as they are, however many pieces that takes. */
static inline void talk_send_raw(struct talk *talk, const void *bytes, uint64_t len, const int *fds,
				 uint32_t fd_count)
{
	const uint8_t *at = bytes;

	while (len) {
		long sent = vfake_sendmsg(talk->task, talk->fd, at, len, fds, fd_count);

		if (sent == -EAGAIN) {
			assert_true(vfake_peer_turn(talk->peer));
			continue;
		}
		assert_true(sent > 0);
		at += sent;
		len -= (uint64_t)sent;
		fd_count = 0;
	}
}

/* A message of that size on the wire. */
static inline void talk_send_message(struct talk *talk, const struct vfio_user_header *header,
				     const void *payload, uint32_t len, const int *fds,
				     uint32_t fd_count)
{
	uint8_t *whole = malloc(sizeof(*header) + len);

	assert_non_null(whole);
	memcpy(whole, header, sizeof(*header));
	if (len)
		memcpy(whole + sizeof(*header), payload, len);
	talk_send_raw(talk, whole, sizeof(*header) + len, fds, fd_count);
	free(whole);
}

/* Sends a command; its id comes back. */
static inline uint16_t talk_send(struct talk *talk, uint16_t cmd, uint32_t flags,
				 const void *payload, uint32_t len, const int *fds,
				 uint32_t fd_count)
{
	struct vfio_user_header header = { .msg_id = talk->id++,
					   .cmd = cmd,
					   .msg_size = (uint32_t)sizeof(header) + len,
					   .flags = flags };

	talk_send_message(talk, &header, payload, len, fds, fd_count);
	return header.msg_id;
}

/* Reads @len bytes from @fd; false at the end of the stream, or when nothing more comes. */
static inline bool talk_read(struct talk *talk, int fd, void *bytes, uint64_t len)
{
	uint8_t *at = bytes;

	while (len) {
		uint32_t room = TALK_FDS - talk->fd_count;
		long got;

		if (vfake_poll(talk->task, fd, TALK_TURNS) != 1)
			return false;
		got = vfake_recvmsg(talk->task, fd, at, len, talk->fds + talk->fd_count, &room);
		if (got <= 0)
			return false;
		talk->fd_count += room;
		at += got;
		len -= (uint64_t)got;
	}
	return true;
}

/* The next message that comes on @fd; false: the peer hung up or has nothing to say. */
static inline bool talk_recv_on(struct talk *talk, int fd)
{
	talk_drop_fds(talk);
	if (!talk_read(talk, fd, &talk->header, sizeof(talk->header)))
		return false;
	if (talk->header.msg_size < sizeof(talk->header) ||
	    talk->header.msg_size > sizeof(talk->header) + TALK_ROOM)
		fail_msg("msg_size is %u", talk->header.msg_size);
	talk->len = talk->header.msg_size - (uint32_t)sizeof(talk->header);
	return talk_read(talk, fd, talk->payload, talk->len);
}

static inline bool talk_recv(struct talk *talk)
{
	return talk_recv_on(talk, talk->fd);
}

/* The reply to @id: 0, or the -errno of an error, which is a header alone. */
static inline int talk_reply(struct talk *talk, uint16_t id, uint16_t cmd)
{
	assert_true(talk_recv(talk));
	assert_int_equal(talk->header.msg_id, id);
	assert_int_equal(talk->header.cmd, cmd);
	assert_int_equal(talk->header.flags & VFIO_USER_F_TYPE_MASK, VFIO_USER_F_TYPE_REPLY);
	if (!(talk->header.flags & VFIO_USER_F_ERROR)) {
		assert_int_equal(talk->header.error_no, 0);
		return 0;
	}
	assert_int_equal(talk->len, 0);
	assert_int_equal(talk->fd_count, 0);
	assert_true(talk->header.error_no > 0);
	return -(int)talk->header.error_no;
}

static inline int talk_call_fds(struct talk *talk, uint16_t cmd, const void *payload, uint32_t len,
				const int *fds, uint32_t fd_count)
{
	return talk_reply(talk, talk_send(talk, cmd, 0, payload, len, fds, fd_count), cmd);
}

static inline int talk_call(struct talk *talk, uint16_t cmd, const void *payload, uint32_t len)
{
	return talk_call_fds(talk, cmd, payload, len, NULL, 0);
}

/* VERSION with that JSON and its NUL (NULL: none); the reply's is behind the struct. */
static inline int talk_version(struct talk *talk, uint16_t major, uint16_t minor, const char *json)
{
	static uint8_t payload[8192];
	struct vfio_user_version version = { .major = major, .minor = minor };
	uint32_t len = json ? (uint32_t)strlen(json) + 1 : 0;

	assert_true(len < sizeof(payload) - sizeof(version));
	memcpy(payload, &version, sizeof(version));
	if (json)
		memcpy(payload + sizeof(version), json, len);
	return talk_call(talk, VFIO_USER_VERSION, payload, (uint32_t)sizeof(version) + len);
}

/* A client that is let in. */
static inline void talk_begin(struct talk *talk, const char *model,
			      const struct vfake_peer_attr *attr)
{
	talk_boot(talk, model, attr);
	talk_connect(talk);
	assert_int_equal(talk_version(talk, VFIO_USER_MAJOR, VFIO_USER_MINOR, TALK_JSON), 0);
}

/* Whether the peer ended the connection. */
static inline bool talk_hung_up(struct talk *talk)
{
	return !talk_recv(talk) && !vfake_peer_attached(talk->peer);
}

static inline int talk_map(struct talk *talk, uint64_t iova, uint64_t size, uint32_t flags, int fd,
			   uint64_t offset)
{
	struct vfio_user_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .offset = offset, .addr = iova, .size = size
	};

	return talk_call_fds(talk, VFIO_USER_DMA_MAP, &map, sizeof(map), &fd, fd >= 0);
}

enum { TALK_RW = VFIO_USER_DMA_MAP_FLAG_READ | VFIO_USER_DMA_MAP_FLAG_WRITE };

static inline int talk_unmap(struct talk *talk, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfio_user_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = flags, .addr = iova, .size = size
	};

	return talk_call(talk, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap));
}

static inline int talk_region(struct talk *talk, bool write, uint32_t region, uint64_t offset,
			      void *bytes, uint32_t count)
{
	struct vfio_user_region_access access = { .offset = offset,
						  .region = region,
						  .count = count };
	uint8_t *payload = calloc(1, sizeof(access) + count);
	int ret;

	assert_non_null(payload);
	memcpy(payload, &access, sizeof(access));
	memcpy(payload + sizeof(access), bytes, write ? count : 0);
	ret = talk_call(talk, write ? VFIO_USER_REGION_WRITE : VFIO_USER_REGION_READ, payload,
			(uint32_t)sizeof(access) + (write ? count : 0));
	free(payload);
	if (ret)
		return ret;
	assert_int_equal(talk->len, sizeof(access) + (write ? 0 : count));
	assert_memory_equal(talk->payload, &access, sizeof(access));
	memcpy(bytes, (uint8_t *)talk->payload + sizeof(access), write ? 0 : count);
	return 0;
}

static inline void talk_write_reg(struct talk *talk, uint64_t reg, uint64_t value, uint32_t width)
{
	uint8_t bytes[8];

	for (uint32_t i = 0; i < width; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	assert_int_equal(talk_region(talk, true, VFAKE_COPY_BAR_REGS, reg, bytes, width), 0);
}

static inline uint64_t talk_read_reg(struct talk *talk, uint64_t reg, uint32_t width)
{
	uint8_t bytes[8];
	uint64_t value = 0;

	assert_int_equal(talk_region(talk, false, VFAKE_COPY_BAR_REGS, reg, bytes, width), 0);
	for (uint32_t i = width; i-- > 0;)
		value = value << 8 | bytes[i];
	return value;
}

/* Memory decoding and bus mastering. */
static inline void talk_enable(struct talk *talk)
{
	uint8_t command[2] = { 6, 0 };

	assert_int_equal(talk_region(talk, true, VFIO_PCI_CONFIG_REGION_INDEX, 4, command, 2), 0);
}

static inline void talk_put(uint8_t *to, uint64_t value, uint32_t width)
{
	for (uint32_t i = 0; i < width; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

/* A ring at @ring, of which the memory @at is this program's, with one descriptor; and go. */
static inline void talk_copy(struct talk *talk, uint8_t *at, uint64_t ring, uint64_t source,
			     uint64_t dest, uint32_t length)
{
	memset(at, 0, VFAKE_COPY_DESC_BYTES);
	talk_put(at + VFAKE_COPY_DESC_SOURCE, source, 8);
	talk_put(at + VFAKE_COPY_DESC_DEST, dest, 8);
	talk_put(at + VFAKE_COPY_DESC_LENGTH, length, 4);
	talk_put(at + VFAKE_COPY_DESC_FLAGS, VFAKE_COPY_FLAG_IRQ, 4);
	talk_enable(talk);
	talk_write_reg(talk, VFAKE_COPY_RING_BASE, ring, 8);
	talk_write_reg(talk, VFAKE_COPY_RING_SIZE, 8, 4);
	talk_write_reg(talk, VFAKE_COPY_IRQ_MASK, 0, 4);
	talk_write_reg(talk, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RUN, 4);
	talk_write_reg(talk, VFAKE_COPY_DOORBELL, 1, 4);
}

#endif
