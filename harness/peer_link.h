/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A peer's link over a socket of the kernel below, for clients in other processes: their memory is
 * mapped into this one, their eventfds are bridged.
 */
#ifndef HARNESS_PEER_LINK_H
#define HARNESS_PEER_LINK_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <uapi/vfio_user.h>
#include <vfake/peer.h>

/* An eventfd of a client. */
struct peer_event {
	LIST_ENTRY(peer_event) entry;
	int fd;	     /* of this process */
	int fake_fd; /* of the peer's task */
	bool heard;  /* the client signals it: passed on to the fake one */
	bool given;  /* the peer's own, not the client's: it goes with the link */
};

enum {
	PEER_PATIENCE_MS = 100, /* the longest wait for what a client says */
	PEER_EARLY_BYTES = 8192,
	PEER_EARLY_FDS = VFIO_USER_MAX_MSG_FDS + 1,
};

/* What was received while the server waited for it. */
struct peer_early {
	uint32_t at, end;
	uint32_t fd_count;
	int fds[PEER_EARLY_FDS];
	uint8_t bytes[PEER_EARLY_BYTES];
};

/* What the links of one peer share. */
struct peer_links {
	struct vfake_task *task;
	LIST_HEAD(, peer_event) events;
	int fds[2];	 /* of the client's streams; -1 */
	bool drained[2]; /* nothing is there to be read, until somebody has waited */
	unsigned int unpolled;
	struct peer_early early; /* of the first stream */
};

void peer_links_init(struct peer_links *links);
/* A link over the connected socket @fd, which blocks and becomes its own. 0 or -errno. */
int peer_link_open(struct peer_links *links, int fd, struct vfake_peer_link *link);
/*
 * Waits for the client, and for the descriptor @other unless that is -1: @timeout_ms, or for ever
 * when that is -1. Signals of the client's eventfds are passed on. Whether @other can be read.
 *
 * Signals that @mask does not block end the wait, but PEER_PATIENCE_MS or some messages later.
 */
bool peer_links_wait(struct peer_links *links, int other, int timeout_ms, const sigset_t *mask);
/* For who knows without waiting that there may be something to read. */
void peer_links_retry(struct peer_links *links);

/*
 * From here on a client that makes a file shorter than it said does not end this process: what it
 * took away reads as zeroes.
 */
void peer_links_survive_truncation(void);

#endif
