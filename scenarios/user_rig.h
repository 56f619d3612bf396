/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vfio-user server of a few lines behind the seam of the stack, for tests of the stack's side of
 * the protocol: a test sees each message and may answer it as no decent server would.
 *
 * The device has nine regions of 4 KiB, of which region 2 can be mapped in two areas, and five
 * kinds of interrupt. Descriptors are numbers that are open or not; nothing is behind them.
 */
#ifndef SCENARIOS_USER_RIG_H
#define SCENARIOS_USER_RIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <uapi/vfio_user.h>
#include <vfio/device.h>
#include <vfio/vfio.h>
#include <vfio/vmm_ref.h>

enum {
	RIG_BYTES = 4 << 20,
	RIG_FILES = 4096,
	RIG_SOCKET = 3,
	RIG_REGIONS = 9,
	RIG_REGION_BYTES = 4096,
	RIG_MAPPED_REGION = 2,
	RIG_ASK_ID = 77, /* of the server's requests */
};

struct rig;
typedef bool rig_hook(struct rig *rig, const struct vfio_user_header *header,
		      const uint8_t *payload, uint32_t size);

struct rig {
	struct vfio_sys sys;
	struct vfio_vmm_ref ref;
	struct vfio_vmm vmm;
	struct vfio *vfio;
	struct vfio_memory *memory;
	struct vfio_device *device;
	struct vfio_error error; /* of the last attach */
	/* what came and is no message yet, and what goes */
	uint8_t *in, *out;
	size_t in_len, out_len, out_at;
	struct {
		size_t end;
		int fd;
	} out_fds[2048];
	uint32_t out_fd_count, out_fd_at;
	bool open[RIG_FILES];
	uint32_t open_count;
	uint32_t files; /* that were ever made */
	int socket;	/* RIG_SOCKET, unless a test wants another */
	/* the server */
	const char *caps; /* of its VERSION; NULL: usual ones */
	uint8_t regions[RIG_REGIONS][RIG_REGION_BYTES];
	uint32_t seen[VFIO_USER_COMMANDS];
	uint32_t unanswered; /* commands that wanted no reply */
	uint32_t maps;
	uint32_t got_fds; /* descriptors that came with the last message */
	uint32_t in_fds;  /* and with what is no message yet */
	int last_fds[8];
	uint64_t map_bytes; /* of areas that are mapped */
	uint16_t last_id;
	struct vfio_user_write_one log[256]; /* region writes, in order */
	uint32_t log_count;
	uint32_t irq_fds[64]; /* vectors that have one */
	bool gone;	      /* hung up */
	uint32_t replies[4];  /* from the client: in order of coming, their error_no */
	uint32_t reply_sizes[4];
	uint32_t reply_count;
	uint8_t reply_bytes[64]; /* of the payload of the last one */
	uint64_t asked[2];	 /* address and count of the last request of the server's own */
	uint16_t asked_cmd;
	/* how the client asks for it */
	uint64_t waited; /* ticks that went by */
	uint32_t polls, recvs;
	bool readable; /* says the last poll */
	/* what a test wants otherwise */
	rig_hook *hook; /* true: it has answered */
	void *hook_ctx;
	uint64_t send_most; /* bytes that one sendmsg() takes; 0: all */
	uint64_t recv_most;
	uint32_t send_limit; /* so many sendmsg() work before send_code */
	uint32_t send_again; /* so many sendmsg() say EAGAIN */
	uint32_t eintr;	     /* so many calls are interrupted */
	int send_code, recv_code, poll_code, mmap_code;
	bool still;   /* nothing comes out until the next poll that finds it false */
	uint32_t nap; /* so many polls find nothing before each that does */
	uint32_t napped;
	bool send_nothing; /* sendmsg() takes no byte and says so */
	bool deaf;	   /* nothing is taken while the client does not read */
};

/* ---- files ---- */

static inline int rig_file(struct rig *rig)
{
	int fd = (int)(16 + rig->files++);

	assert_in_range(fd, 16, RIG_FILES - 1);
	rig->open[fd] = true;
	rig->open_count++;
	return fd;
}

static inline int rig_close(void *ctx, int fd)
{
	struct rig *rig = ctx;

	assert_in_range(fd, 0, RIG_FILES - 1);
	assert_true(rig->open[fd]);
	rig->open[fd] = false;
	rig->open_count--;
	return 0;
}

#include "user_rig_law.h"
#include "user_rig_server.h"

/* ---- the seam ---- */

static inline bool rig_interrupted(struct rig *rig)
{
	return rig->eintr && rig->eintr--;
}

static inline int rig_connect(void *ctx, const char *path)
{
	struct rig *rig = ctx;

	if (strcmp(path, "/run/device"))
		return -ENOENT;
	assert_false(rig->open[rig->socket]);
	rig->open[rig->socket] = true;
	rig->open_count++;
	return rig->socket;
}

static inline long rig_sendmsg(void *ctx, int fd, const void *bytes, uint64_t len, const int *fds,
			       uint32_t fd_count)
{
	struct rig *rig = ctx;

	assert_int_equal(fd, rig->socket);
	assert_true(rig->open[fd]);
	if (rig_interrupted(rig))
		return -EINTR;
	if (rig->send_again && rig->send_again--)
		return -EAGAIN;
	if (rig->send_code && !(rig->send_limit && rig->send_limit--))
		return rig->send_code;
	if (rig->send_nothing)
		return 0;
	if (rig->deaf && rig->out_at < rig->out_len)
		return -EAGAIN;
	if (rig->gone)
		return -EPIPE;
	if (rig->send_most && len > rig->send_most)
		len = rig->send_most;
	for (uint32_t i = 0; i < fd_count; i++) {
		assert_true(fds[i] >= 0 && rig->in_fds < 8);
		rig->last_fds[rig->in_fds++] = fds[i];
	}
	memcpy(rig->in + rig->in_len, bytes, len);
	rig->in_len += len;
	while (rig->in_len >= sizeof(struct vfio_user_header)) {
		struct vfio_user_header header;

		memcpy(&header, rig->in, sizeof(header));
		if (rig->in_len < header.msg_size)
			break;
		rig->got_fds = rig->in_fds;
		rig->in_fds = 0;
		rig_hear(rig, &header, rig->in + sizeof(header),
			 header.msg_size - (uint32_t)sizeof(header));
		rig->in_len -= header.msg_size;
		memmove(rig->in, rig->in + header.msg_size, rig->in_len);
	}
	return (long)len;
}

static inline long rig_recvmsg(void *ctx, int fd, void *bytes, uint64_t len, int *fds,
			       uint32_t *fd_count)
{
	struct rig *rig = ctx;
	size_t left = rig->out_len - rig->out_at;
	uint32_t room = *fd_count;

	assert_int_equal(fd, rig->socket);
	assert_true(rig->readable && len && len <= VFIO_USER_MAX_MSG_BYTES);
	rig->recvs++;
	*fd_count = 0;
	if (rig_interrupted(rig))
		return -EINTR;
	if (rig->recv_code)
		return rig->recv_code;
	if (!left)
		return rig->gone ? 0 : -EAGAIN;
	if (len > left)
		len = left;
	if (rig->recv_most && len > rig->recv_most)
		len = rig->recv_most;
	/* Descriptors end a call, like in Linux. */
	if (rig->out_fd_at < rig->out_fd_count &&
	    rig->out_at + len >= rig->out_fds[rig->out_fd_at].end) {
		size_t end = rig->out_fds[rig->out_fd_at].end;

		len = end - rig->out_at;
		while (rig->out_fd_at < rig->out_fd_count &&
		       rig->out_fds[rig->out_fd_at].end == end) {
			int given = rig->out_fds[rig->out_fd_at++].fd;

			if (*fd_count < room)
				fds[(*fd_count)++] = given;
			else
				rig_close(rig, given);
		}
	}
	memcpy(bytes, rig->out + rig->out_at, len);
	rig->out_at += len;
	if (rig->out_at == rig->out_len)
		rig->out_at = rig->out_len = 0;
	if (rig->out_fd_at == rig->out_fd_count)
		rig->out_fd_at = rig->out_fd_count = 0;
	return (long)len;
}

static inline int rig_poll(void *ctx, int fd, uint64_t ticks)
{
	struct rig *rig = ctx;

	assert_int_equal(fd, rig->socket);
	rig->polls++;
	rig->readable = false;
	if (rig_interrupted(rig))
		return -EINTR;
	if (rig->poll_code)
		return rig->poll_code;
	rig->readable = !rig->still && (rig->gone || rig->out_at < rig->out_len);
	if (rig->readable && rig->napped++ < rig->nap)
		rig->readable = false;
	if (rig->readable)
		rig->napped = 0;
	else
		rig->waited += ticks;
	return rig->readable;
}

static inline int rig_eventfd(void *ctx)
{
	return rig_file(ctx);
}

static inline long rig_read(void *ctx, int fd, uint64_t buf, uint64_t len)
{
	(void)ctx, (void)fd, (void)buf, (void)len;
	return -EAGAIN;
}

static inline int rig_mmap(void *ctx, uint64_t len, int prot, int fd, uint64_t offset,
			   uint64_t *addr)
{
	struct rig *rig = ctx;

	(void)prot;
	if (rig->mmap_code)
		return rig->mmap_code;
	assert_true(rig->open[fd]);
	assert_true(len && offset >= 0x10000);
	*addr = 0x7000000000 + offset;
	rig->map_bytes += len;
	return 0;
}

static inline int rig_munmap(void *ctx, uint64_t addr, uint64_t len)
{
	struct rig *rig = ctx;

	(void)addr;
	rig->map_bytes -= len;
	return 0;
}

/* ---- the test's side ---- */

static inline int rig_set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig->socket = RIG_SOCKET;
	rig->in = malloc(RIG_BYTES);
	rig->out = malloc(RIG_BYTES);
	assert_non_null(rig->in);
	assert_non_null(rig->out);
	rig->sys = (struct vfio_sys){ .ctx = rig,
				      .close = rig_close,
				      .connect = rig_connect,
				      .sendmsg = rig_sendmsg,
				      .recvmsg = rig_recvmsg,
				      .poll = rig_poll,
				      .eventfd = rig_eventfd,
				      .read = rig_read,
				      .mmap = rig_mmap,
				      .munmap = rig_munmap };
	vfio_vmm_ref(&rig->ref, &rig->vmm);
	rig->vfio = vfio_new(&rig->sys, &rig->vmm);
	rig->memory = vfio_memory_new(NULL);
	assert_non_null(rig->vfio);
	assert_non_null(rig->memory);
	*state = rig;
	return 0;
}

/* Whatever the server did: nothing is left. */
static inline int rig_tear_down(void **state)
{
	struct rig *rig = *state;

	rig->hook = NULL;
	vfio_free(rig->vfio);
	vfio_memory_free(rig->memory);
	while (rig->out_fd_at < rig->out_fd_count)
		rig_close(rig, rig->out_fds[rig->out_fd_at++].fd);
	assert_int_equal(rig->open_count, 0);
	assert_int_equal(rig->map_bytes, 0);
	assert_int_equal(rig->ref.blocks, 0);
	assert_int_equal(rig->ref.discard_forbidden, 0);
	assert_int_equal(rig->ref.blocker_count, 0);
	assert_int_equal(rig->ref.state_count, 0);
	free(rig->in);
	free(rig->out);
	free(rig);
	return 0;
}

/* Attaches; 0, or the code of the error that was given, which has a message. */
static inline int rig_attach(struct rig *rig)
{
	struct vfio_device_options options = { .name = "d0",
					       .backend = VFIO_BACKEND_USER,
					       .socket = "/run/device",
					       .timeout_ticks = 100 };
	struct vfio_error *error = &rig->error;

	*error = (struct vfio_error){ 0 };
	rig->device = vfio_device_attach(rig->vfio, rig->memory, &options, error);
	if (rig->device)
		return 0;
	assert_true(error->code < 0 && error->message[0]);
	/* Nothing may be left of it. */
	assert_int_equal(rig->ref.discard_forbidden, 0);
	assert_int_equal(rig->ref.blocker_count, 0);
	assert_false(rig->open[rig->socket]);
	return error->code;
}

static inline uint32_t rig_ram(struct rig *rig, uint64_t gpa, void *host, uint64_t size, int fd)
{
	struct vfio_memory_region region = { .name = "ram",
					     .kind = VFIO_MEMORY_RAM,
					     .start = gpa,
					     .last = gpa + size - 1,
					     .vaddr = (uint64_t)(uintptr_t)host,
					     .fd = fd };
	struct vfio_error error = { 0 };
	uint32_t id = 0;

	assert_true(vfio_memory_add(rig->memory, &region, &id, &error));
	return id;
}

/* One read of a register: 0 or the error's code. */
static inline int rig_peek(struct rig *rig, uint32_t region, uint64_t offset, uint32_t *value)
{
	struct vfio_error error = { 0 };

	if (vfio_device_read(rig->device, region, offset, value, sizeof(*value), &error)) {
		assert_int_equal(error.code, 0);
		return 0;
	}
	assert_true(error.code < 0 && error.message[0]);
	return error.code;
}

#endif
