/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backend for vfio-user: a device that another process serves over a UNIX socket.
 *
 *   user_wire.c       bytes and descriptors: one whole message in, one whole message out
 *   user_proxy.c      requests and replies; the server's own requests, served meanwhile
 *   user_version.c    negotiation; user_json.c: what it is written in
 *   user_device.c     a device's operations as messages
 *   user_container.c  maps as messages
 *
 * The other side is another process with a life of its own and is not trusted: each number of a
 * message is bounded before it counts, memory is taken once, at the start, and every wait ends.
 * What cannot be put right (a stream that makes no sense, a socket that is closed) breaks the
 * connection, and from then on everything fails at once with what broke it.
 */
#ifndef SRC_USER_H
#define SRC_USER_H

#include <uapi/vfio_user.h>

#include "device_io.h"

enum {
	USER_TICKS = 5000,	   /* of waiting, unless the options say otherwise */
	USER_ASYNC_MAX = 64,	   /* requests that nobody waits for yet */
	USER_UNREAD_MAX = 3,	   /* messages in a row that found no room in the socket */
	USER_LATE_MAX = 16,	   /* replies that were given up and may still come */
	USER_STRAY_MAX = 256,	   /* replies to nothing, in one wait */
	USER_SERVED_MAX = 1 << 16, /* requests of the server, in one wait */
	USER_POSTED_MAX = 32,	   /* writes that are gathered */
	USER_UNACKED_MAX = 32,	   /* messages without a reply, before one is asked for */
	USER_FDS_WANTED = 8,	   /* descriptors in a message, as we say to the server */
};

/* A descriptor that has come: it belongs to the message that has the byte before position @end. */
struct user_fd {
	uint64_t end;
	int fd;
};

/* A whole message, where it lies in the buffer until the next one is received. */
struct user_message {
	struct vfio_user_header header;
	const uint8_t *payload;
	uint32_t size; /* of the payload */
	uint32_t fd_count;
	int fds[VFIO_USER_MAX_MSG_FDS];
};

/* A request that is under way and that nobody waits for, or has failed and is not told yet. */
struct user_async {
	bool failed;
	int code;
	uint16_t id;
	uint16_t cmd;	     /* DMA_MAP or DMA_UNMAP */
	struct vfio_map map; /* of an unmap: iova and size */
};

/* What both sides agreed on. */
struct user_limits {
	uint32_t send_fds;   /* descriptors in one message to the server */
	uint32_t xfer_bytes; /* data in one message, both ways */
	uint32_t max_maps;
	uint64_t pgsizes;
	uint64_t bitmap_bytes; /* of dirty bits in one message */
	bool write_multi;
};

struct vfio_user {
	struct vfio *vfio;
	struct vfio_device *device;
	struct vfio_container *container; /* whose memory the server may ask for, or NULL */
	int fd;
	int broken; /* 0, or -errno: why nothing goes any more */
	bool told;  /* the VMM was told so */
	uint64_t ticks;
	struct user_limits limits;
	uint16_t next_id;
	/* waiting */
	uint32_t strays;
	uint32_t served;
	/* requests whose reply was given up */
	uint16_t late[USER_LATE_MAX];
	uint32_t late_count;
	/* maps, while memory changes */
	bool gathering;
	struct user_async async[USER_ASYNC_MAX]; /* the first async_used of them */
	uint32_t async_used;
	uint32_t async_failed;		/* of those */
	bool doubt;			/* the server may have a map that the container has not */
	bool end_told;			/* the VMM knows that it is broken */
	const struct vfio_map *mapping; /* what is being mapped: the server may want it already */
	/* posted writes */
	struct vfio_user_write_one posted[USER_POSTED_MAX];
	uint32_t posted_count;
	uint32_t unacked;
	int posted_error; /* of one of them, to be told by flush() */
	/* the wire */
	uint32_t unread; /* messages in a row that could not be sent: nobody reads */
	uint8_t *in;
	uint32_t in_start, in_end;
	uint64_t in_position; /* of in[in_start] in the stream */
	struct user_fd fds[VFIO_USER_MAX_MSG_FDS];
	uint32_t fd_count;
	uint8_t *out;
};

/* ---- user_wire.c ---- */

/* Connects to the socket @path and gets memory. 0 or -errno. Undone by user_wire_close(). */
int user_wire_open(struct vfio_user *user, const char *path);
void user_wire_close(struct vfio_user *user);
/* Gives the connection up, for the reason @code; the first one counts. Returns it. */
int user_break(struct vfio_user *user, int code);
/* Sends the @len bytes that are in user->out. 0 or -errno; then the connection is broken. */
int user_send(struct vfio_user *user, uint32_t len, const int *fds, uint32_t fd_count);
/*
 * Takes the next message: 1; 0 when there is none within *ticks, which goes down; -errno, and the
 * connection is broken. The descriptors become the caller's.
 */
int user_receive(struct vfio_user *user, uint64_t *ticks, struct user_message *message);
/* Closes the descriptors of a message from the @keep-th on. */
void user_close_fds(struct vfio_user *user, struct user_message *message, uint32_t keep);

/* ---- user_proxy.c ---- */

/* A request. What follows the header is `head`, then `data`; each may be missing. */
struct user_call {
	uint16_t cmd;
	const void *head;
	uint32_t head_size;
	const void *data;
	uint32_t data_size;
	const int *fds;
	uint32_t fd_count;
	/* the sizes that the payload of the reply may have */
	uint32_t reply_min;
	uint32_t reply_max;
	int *reply_fd; /* gets the first descriptor, if there is one; NULL: none is wanted */
	/* the reply: valid until the next call */
	const uint8_t *reply;
	uint32_t reply_size;
};

/*
 * Sends a request and waits for its reply. 0, or -errno: what the server said; -EPROTO for a reply
 * that does not fit, -ETIMEDOUT for none.
 */
int user_call(struct vfio_user *user, struct user_call *call);
/* Sends a request that has no reply. 0 or -errno. */
int user_send_only(struct vfio_user *user, const struct user_call *call);
/*
 * Sends a request whose reply is for later; *map is kept with it. 0 or -errno; 1 when so many have
 * failed that there is no room to keep one more.
 */
int user_begin_async(struct vfio_user *user, const struct user_call *call,
		     const struct vfio_map *map);
/* Waits for all of them. What is left in the slots has failed, until user_forget_async(). */
void user_wait_async(struct vfio_user *user);
void user_forget_async(struct vfio_user *user);
/* Serves the requests of the server that have come, without waiting for more. */
void user_poll(struct vfio_user *user);

/* ---- user_version.c, user_json.c ---- */

/* The first exchange. False with the reason. */
bool user_negotiate(struct vfio_user *user, struct vfio_error *error);

enum user_json_kind { USER_JSON_ANY, USER_JSON_NUMBER, USER_JSON_BOOLEAN, USER_JSON_OBJECT };

/* A member that is looked for. */
struct user_json_key {
	const char *name; /* NULL ends a list */
	enum user_json_kind kind;
	const struct user_json_key *keys; /* OBJECT: what is in it */
	uint64_t *number;		  /* NUMBER: gets it */
	bool *boolean;			  /* BOOLEAN: gets it */
};

/*
 * Reads a JSON object; members that are not in @keys are checked and skipped. False for what is no
 * JSON object, or has a member of another kind, or a number that is no whole one of 64 bits.
 */
bool user_json_read(const char *text, const struct user_json_key *keys);

/* ---- user_device.c, user_container.c ---- */

extern const struct vfio_device_io vfio_user_io;

/* user_device.c: sends the posted writes that are gathered, for no reply. 0 or -errno. */
int user_push_posted(struct vfio_user *user);
/* user_dma.c: answers the server's DMA_READ and DMA_WRITE; the payload of the reply goes to @to.
 * Its size, or -errno. */
long user_dma(struct vfio_user *user, const struct user_message *request, uint8_t *to);

#endif
