/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop of a server: wait, and then turns as long as the peer has something to do.
 *
 * Most of a round trip is system calls, so there are as few as can be: a turn that finds nothing
 * more to read makes none (harness/peer_link.c), and nobody looks at the sockets in between.
 */
#include <errno.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <vfake/kernel.h>

#include "peer_serve.h"

enum {
	BLIND_TURNS = 2,   /* without a look at the sockets: one that works, one that does not */
	BUSY_TURNS = 1000, /* after which the client may be one that does not read */
};

void peer_server_init(struct peer_server *server, struct vfake_kernel *kernel,
		      struct vfake_peer *peer, int listen_fd)
{
	server->kernel = kernel;
	server->peer = peer;
	server->listen_fd = listen_fd;
	peer_links_init(&server->links);
	server->links.task = vfake_peer_task(peer);
}

int peer_server_attach(struct peer_server *server, int fd)
{
	struct vfake_peer_link link;
	int ret = peer_link_open(&server->links, fd, &link);

	if (ret) {
		close(fd);
		return ret;
	}
	ret = vfake_peer_attach(server->peer, &link);
	if (ret)
		link.hang_up(link.ctx);
	return ret;
}

static void let_in(struct peer_server *server)
{
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		peer_server_attach(server, fd);
}

/* How long to wait for something to do: not at all while the peer is busy, and a little when it is
 * only so because the client does not read. A device may wait for a time that comes. */
static int patience_ms(const struct peer_server *server, unsigned int busy)
{
	if (busy)
		return busy > BUSY_TURNS;
	return vfake_peer_attached(server->peer) ? PEER_PATIENCE_MS : -1;
}

/* How many turns in a row, those before included, the peer had something to do; 0: not any more. */
static unsigned int give_turns(struct peer_server *server, unsigned int busy)
{
	vfake_set_clock(server->kernel, (uint64_t)time(NULL));
	for (unsigned int i = 0; i < BLIND_TURNS; i++) {
		if (!vfake_peer_turn(server->peer))
			return 0;
		if (busy < BUSY_TURNS + 1)
			busy++;
	}
	return busy;
}

void peer_serve(struct peer_server *server)
{
	unsigned int busy = 0;

	while (!*server->stopped) {
		bool attached = vfake_peer_attached(server->peer);

		if (peer_links_wait(&server->links, attached ? -1 : server->listen_fd,
				    patience_ms(server, busy), &server->mask))
			let_in(server);
		busy = give_turns(server, busy);
		if (server->once && vfake_peer_counts(server->peer).clients &&
		    !vfake_peer_attached(server->peer))
			break;
	}
}
