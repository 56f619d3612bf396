/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A peer's link over a socket of the kernel below, for clients in other processes: their memory is
 * mapped into this one, their eventfds are bridged.
 */
#ifndef HARNESS_PEER_LINK_H
#define HARNESS_PEER_LINK_H

#include <poll.h>
#include <stdint.h>
#include <sys/queue.h>

#include <vfake/peer.h>

/* An eventfd of a client. */
struct peer_event {
	LIST_ENTRY(peer_event) entry;
	int fd;	     /* of this process */
	int fake_fd; /* of the peer's task */
	bool heard;  /* the client signals it: passed on to the fake one */
};

/* What the links of one peer share. */
struct peer_links {
	struct vfake_task *task;
	LIST_HEAD(, peer_event) events;
	int fds[2]; /* of the client's streams; -1 */
};

void peer_links_init(struct peer_links *links);
/* A link over the connected socket @fd, which becomes its own. 0 or -ENOMEM. */
int peer_link_open(struct peer_links *links, int fd, struct vfake_peer_link *link);
/* What to wait for: the streams and the eventfds that clients signal. Returns how many, @room at
 * most. */
nfds_t peer_links_watch(const struct peer_links *links, struct pollfd *wait, nfds_t room);
/* Passes signals on that came. */
void peer_links_hear(struct peer_links *links);

/*
 * From here on a client that makes a file shorter than it said does not end this process: what it
 * took away reads as zeroes.
 */
void peer_links_survive_truncation(void);

#endif
