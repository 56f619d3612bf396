/* SPDX-License-Identifier: BSD-2-Clause */
/* A peer's server over real sockets: it waits, lets clients in, and gives the peer its turns. */
#ifndef HARNESS_PEER_SERVE_H
#define HARNESS_PEER_SERVE_H

#include "peer_link.h"

struct peer_server {
	struct vfake_kernel *kernel;
	struct vfake_peer *peer;
	struct peer_links links;
	int listen_fd; /* a socket that listens and does not block; -1: no more clients come */
	bool once;     /* it ends when the first client has gone */
	/* A signal's handler sets it; it is not told of signals that @mask, as for ppoll(), blocks
	 */
	const volatile sig_atomic_t *stopped;
	sigset_t mask;
};

/* Fills in all but what is for who serves to choose: once, stopped and mask. */
void peer_server_init(struct peer_server *server, struct vfake_kernel *kernel,
		      struct vfake_peer *peer, int listen_fd);
/* Gives the peer a client on the connected socket @fd, which becomes its own. 0 or -errno; then it
 * is closed. */
int peer_server_attach(struct peer_server *server, int fd);
/* Serves until *stopped, and with `once' until the client has gone. */
void peer_serve(struct peer_server *server);

#endif
