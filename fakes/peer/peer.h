/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vfio-user server, from inside.
 *
 *   peer.c          its life, its clients, its turns
 *   peer_stream.c   bytes and descriptors: messages from them, and messages as them
 *   peer_command.c  from a command to its handler and to the reply, by the table
 *   peer_version.c  VERSION; peer_json.c reads its JSON
 *   peer_device.c   information, regions, reset; peer_irq.c interrupts; peer_io.c ioeventfds
 *   peer_feature.c  features and the data of a migration
 *   peer_dma.c      maps; peer_far.c the memory behind those that have no descriptor
 *   peer_hostile.c  replies spoiled on purpose
 *
 * It is a program on the fake kernel and uses only its system calls. Memory of its own is the
 * program's; the kernel's ledger does not know of it.
 */
#ifndef FAKES_PEER_H
#define FAKES_PEER_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uapi/table.h>
#include <uapi/vfio.h>
#include <uapi/vfio_user.h>
#include <vfake/kernel.h>
#include <vfake/peer.h>

enum {
	PEER_HEADER = sizeof(struct vfio_user_header),
	PEER_QUEUE_BYTES = 4 << 20, /* replies that may wait; then no command is read */
	PEER_LATE_TURNS = 16,	    /* VFAKE_HOSTILE_LATE */
	PEER_MANY_FDS = 1000,	    /* VFAKE_HOSTILE_MANY_FDS */
	PEER_SEND_FDS = 250,	    /* in one piece of a message */
	PEER_AHEAD_BYTES = 8192,    /* that are read before it is known whether they are wanted */
};

/* ---- streams ---- */

/* A message on its way out. */
struct peer_out {
	TAILQ_ENTRY(peer_out) entry;
	uint64_t due; /* the turn in which it may go */
	uint64_t len; /* of bytes */
	uint64_t sent;
	uint64_t cut; /* the stream ends when so many were sent */
	bool slow;    /* a byte in a turn */
	int *fds;     /* of the link; dropped with the message */
	uint32_t fd_count;
	uint32_t more_fds; /* so many copies of the first one go after them */
	uint32_t fds_sent;
	uint8_t bytes[] __attribute__((aligned(8)));
};

/* One way to the client: what comes in, what goes out. */
struct peer_stream {
	bool open;
	bool closing; /* it ends when all is sent, and reads nothing more */
	struct vfake_peer_link link;
	/* the message that is coming in; its header is in `header` until all of it is there */
	uint8_t header[PEER_HEADER];
	uint8_t *bytes; /* header and payload, NULL before */
	uint64_t len;	/* of both */
	uint64_t have;
	/* Those of the message that has the last byte that was read. One more tells that they were
	 * too many. */
	int fds[VFIO_USER_MAX_MSG_FDS + 1];
	uint32_t fd_count;
	/* bytes that were read and belong to no message yet: those from ahead_at to ahead_end */
	uint32_t ahead_at;
	uint32_t ahead_end;
	uint8_t ahead[PEER_AHEAD_BYTES];
	/* the messages that go out */
	TAILQ_HEAD(, peer_out) outs;
	uint64_t out_bytes;
};

void peer_stream_open(struct peer_stream *stream, const struct vfake_peer_link *link);
void peer_stream_close(struct peer_stream *stream);
/* Reads on. 1 when a message is whole, 0 when there is nothing more now, -errno: the stream ended
 * or cannot be understood (-EPROTO). @slow: one byte at most. */
int peer_stream_read(struct peer_stream *stream, bool slow);
/* Of the whole message: how many of the stream's descriptors are its own. */
uint32_t peer_stream_fds(const struct peer_stream *stream);
/* Forgets the message; drops its descriptors that nobody took, which are not -1. */
void peer_stream_next(struct peer_stream *stream);
/* Sends what is due in turn @now. Whether any went; *ended when the stream has to. */
bool peer_stream_write(struct peer_stream *stream, uint64_t now, bool *ended);
/* A message of @len bytes, zeroed, that is not queued yet; NULL: no memory. */
struct peer_out *peer_out_new(uint64_t len);
void peer_out_free(struct peer_stream *stream, struct peer_out *out);
/* Gives the message one more descriptor. 0; on -ENOMEM it is dropped. */
int peer_out_fd(struct peer_stream *stream, struct peer_out *out, int fd);
void peer_stream_queue(struct peer_stream *stream, struct peer_out *out);

/* ---- commands ---- */

/* One command on its way. */
struct vfake_peer;
struct peer_call {
	struct vfake_peer *peer;
	const struct vfio_user_header *header;
	const uint8_t *in; /* the payload */
	uint64_t in_len;
	int *fds; /* of the link; a handler sets those that it takes to -1 */
	uint32_t fd_count;
	struct peer_out *out; /* the reply, once a handler made one; else it is a header alone */
	bool hang_up;	      /* after the reply */
};

/* Makes the reply's payload of @len bytes, zeroed; NULL: no memory. */
void *peer_reply(struct peer_call *call, uint64_t len);
/* The payload's struct, as far as it was sent; the rest is zero. */
void peer_take(const struct peer_call *call, void *to, uint64_t len);
/* Adds a file of the peer's task to the reply; *offset is that in the file, then that in what the
 * client gets. 0 or -errno. */
int peer_reply_fd(struct peer_call *call, int fd, uint64_t *offset);

typedef int (*peer_handler)(struct peer_call *call);

/* All take a payload that its row found long enough, and return 0 or -errno. */
int peer_version(struct peer_call *call);
int peer_dma_map(struct peer_call *call);
int peer_dma_unmap(struct peer_call *call);
int peer_get_info(struct peer_call *call);
int peer_get_region_info(struct peer_call *call);
int peer_get_region_io_fds(struct peer_call *call);
int peer_get_irq_info(struct peer_call *call);
int peer_set_irqs(struct peer_call *call);
int peer_region_read(struct peer_call *call);
int peer_region_write(struct peer_call *call);
int peer_region_write_multi(struct peer_call *call);
int peer_reset(struct peer_call *call);
int peer_feature(struct peer_call *call);
int peer_mig_data_read(struct peer_call *call);
int peer_mig_data_write(struct peer_call *call);

/* Answers the whole message of the stream. Whether the peer has to hang up after it. */
bool peer_command(struct vfake_peer *peer, struct peer_stream *stream);

/* ---- negotiation ---- */

/* What the client can take. */
struct peer_caps {
	uint64_t max_msg_fds;
	uint64_t max_data_xfer_bytes;
	uint64_t max_dma_maps;
	uint64_t pgsizes;
	bool write_multiple;
	bool twin_socket;
	uint32_t given; /* PEER_CAP_*: keys that were there */
};

enum {
	PEER_CAP_MAX_MSG_FDS = 1 << 0,
	PEER_CAP_MAX_DATA_XFER = 1 << 1,
	PEER_CAP_MAX_DMA_MAPS = 1 << 2,
	PEER_CAP_PGSIZES = 1 << 3,
	PEER_CAP_WRITE_MULTIPLE = 1 << 4,
	PEER_CAP_TWIN_SOCKET = 1 << 5,
};

/* Reads VERSION's JSON, which need not end with a NUL inside of @len. 0, or -EINVAL: it is none, or
 * a capability is of the wrong kind. */
int peer_parse_caps(const char *text, uint64_t len, struct peer_caps *caps);

/* ---- the device's parts ---- */

enum { PEER_MAX_IRQ_INDEX = 8, PEER_MAX_REGIONS = 16 };

struct peer_region {
	bool known;
	bool mapped;  /* in the peer's memory, at addr */
	int share_fd; /* of that memory, for clients; -1 */
	uint32_t flags;
	uint64_t size;
	uint64_t offset; /* in the device's file */
	uint64_t addr;
};

/* An eventfd that the device has, and that the peer must keep open while it has. */
struct peer_irq {
	LIST_ENTRY(peer_irq) entry;
	uint32_t index;
	uint32_t subindex;
	uint32_t action; /* VFIO_IRQ_SET_ACTION_* */
	int fd;
};

/* Memory of the client that the device reaches. */
struct peer_map {
	struct vfake_peer *peer;
	uint64_t iova;
	uint64_t size;
	uint32_t flags;
};

enum peer_far_state { PEER_FAR_NONE, PEER_FAR_SENT, PEER_FAR_DONE };

/* An access to far memory: the device asks for the same one until it is done. */
struct peer_far {
	enum peer_far_state state;
	bool write;
	uint64_t iova;
	uint64_t len;
	uint64_t done;	/* bytes that were answered */
	uint64_t part;	/* bytes that are asked for */
	uint64_t space; /* of data */
	uint16_t id;
	int error;
	uint8_t *data;
};

struct vfake_peer {
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	struct vfake_peer_attr attr;
	struct vfake_peer_counts counts;
	uint64_t turn;
	int listen_fd; /* -1 */
	int iommufd;
	int device_fd;
	uint32_t ioas_id;
	uint32_t num_regions;
	uint32_t num_irqs;
	struct peer_region regions[PEER_MAX_REGIONS];
	LIST_HEAD(, peer_irq) irqs;
	int io_fds[VFAKE_PEER_IO_MAX]; /* eventfds of attr.io */
	int mig_fd;		       /* the stream of a migration; -1 */
	/* of the client */
	struct peer_stream main;
	struct peer_stream twin;
	bool negotiated;
	struct peer_caps caps;
	struct peer_map **maps; /* by IOVA */
	uint32_t map_count;
	uint32_t map_space;
	struct peer_far far;
	uint16_t next_id;
	uint32_t hostile_seen; /* replies that it could have spoiled */
};

/* An ioctl of the peer's task with a struct of this program. */
long peer_ioctl(struct vfake_peer *peer, int fd, uint32_t number, void *arg);

int peer_device_open(struct vfake_peer *peer, const char **error);
/* Installs what GET_REGION_IO_FDS tells of. 0 or -errno. */
int peer_io_open(struct vfake_peer *peer);
/* The client's interrupts and the stream of its migration go. */
void peer_device_forget(struct vfake_peer *peer);
void peer_close_mig(struct vfake_peer *peer);
int peer_reset_device(struct vfake_peer *peer);
/* The bits of what the device wrote to [iova, iova + size), read and cleared. 0 or -errno. */
int peer_report(struct vfake_peer *peer, uint64_t iova, uint64_t size, uint64_t page_bytes,
		void *bits);
/* Bytes of a bitmap, in whole words; 0: the pages' size is no power of two or too small. */
uint64_t peer_bitmap_bytes(uint64_t size, uint64_t page_bytes);

void peer_dma_forget(struct vfake_peer *peer);
/* vfake_memory's calls; @ctx is the map. */
int peer_far_read(void *ctx, uint64_t offset, void *bytes, uint64_t len);
int peer_far_write(void *ctx, uint64_t offset, const void *bytes, uint64_t len);
/* The client answered one of our commands. */
void peer_far_reply(struct vfake_peer *peer, const struct vfio_user_header *header,
		    const uint8_t *payload, uint64_t len);
void peer_far_forget(struct vfake_peer *peer);

/* Queues the reply of a command, spoiled or not, or frees it when nobody wants one. */
void peer_send_reply(const struct peer_call *call, struct peer_out *out);
bool peer_is_slow_reader(const struct vfake_peer *peer);

#endif
