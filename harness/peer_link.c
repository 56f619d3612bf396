/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between a real client and the peer: bytes by the binding for the kernel below, descriptors by
 * what they are. Everything that a client passes is judged: memory must be as long as its map says,
 * and what is to be signalled must be an eventfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vfake/bridge.h>
#include <vfio/sys.h>

#include "peer_link.h"

struct link {
	struct peer_links *links;
	int which; /* of links->fds */
	struct vfio_sys sys;
};

/* ---- bytes ---- */

static long link_send(void *ctx, const void *bytes, uint64_t len, const int *fds, uint32_t fd_count)
{
	struct link *link = ctx;

	return link->sys.sendmsg(NULL, link->links->fds[link->which], bytes, len, fds, fd_count);
}

static long link_recv(void *ctx, void *bytes, uint64_t len, int *fds, uint32_t *fd_count)
{
	struct link *link = ctx;

	return link->sys.recvmsg(NULL, link->links->fds[link->which], bytes, len, fds, fd_count);
}

/* ---- memory ---- */

struct mapping {
	void *bytes;
	size_t len;
};

static void unmap(void *ctx)
{
	struct mapping *mapping = ctx;

	munmap(mapping->bytes, mapping->len);
	free(mapping);
}

static int map(int fd, uint64_t offset, uint64_t len, bool write, struct mapping *mapping)
{
	struct stat stat;

	if (fstat(fd, &stat))
		return -errno;
	if (S_ISREG(stat.st_mode) &&
	    ((uint64_t)stat.st_size < offset || (uint64_t)stat.st_size - offset < len))
		return -EINVAL;
	mapping->len = len;
	mapping->bytes = mmap(NULL, len, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED, fd,
			      (off_t)offset);
	return mapping->bytes == MAP_FAILED ? -errno : 0;
}

static int link_take_memory(void *ctx, int fd, uint64_t *offset, uint64_t len, bool write)
{
	const struct link *link = ctx;
	struct mapping *mapping = malloc(sizeof(*mapping));
	struct vfake_memory memory = { .size_bytes = len, .release = unmap, .ctx = mapping };
	int ret;

	if (!mapping)
		return -ENOMEM;
	ret = map(fd, *offset, len, write, mapping);
	if (ret) {
		free(mapping);
		return ret;
	}
	memory.bytes = mapping->bytes;
	*offset = 0;
	ret = vfake_memory_fd(link->links->task, &memory);
	if (ret < 0)
		unmap(mapping);
	return ret;
}

/* ---- events ---- */

static bool is_eventfd(int fd)
{
	char path[64], to[64];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, to, sizeof(to) - 1);
	return len > 0 && (to[len] = 0, !strcmp(to, "anon_inode:[eventfd]"));
}

/* The device signals: the client is told, unless its counter is full. */
static void event_signalled(void *ctx)
{
	const struct peer_event *event = ctx;
	struct pollfd room = { .fd = event->fd, .events = POLLOUT };
	const uint64_t one = 1;

	if (event->heard || poll(&room, 1, 0) != 1)
		return;
	if (write(event->fd, &one, sizeof(one)) != sizeof(one))
		return; /* as in the kernel: nobody is there to be told */
}

static void event_closed(void *ctx)
{
	struct peer_event *event = ctx;

	LIST_REMOVE(event, entry);
	close(event->fd);
	free(event);
}

static int link_take_event(void *ctx, int fd, bool heard)
{
	const struct link *link = ctx;
	struct peer_event *event;

	if (!is_eventfd(fd))
		return -EINVAL;
	event = calloc(1, sizeof(*event));
	if (!event)
		return -ENOMEM;
	event->heard = heard;
	event->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (event->fd < 0) {
		free(event);
		return -EMFILE;
	}
	event->fake_fd =
		vfake_bridge_eventfd(link->links->task, event_signalled, event_closed, event);
	if (event->fake_fd < 0) {
		int ret = event->fake_fd;

		close(event->fd);
		free(event);
		return ret;
	}
	LIST_INSERT_HEAD(&link->links->events, event, entry);
	return event->fake_fd;
}

nfds_t peer_links_watch(const struct peer_links *links, struct pollfd *wait, nfds_t room)
{
	const struct peer_event *event;
	nfds_t count = 0;

	for (int i = 0; i < 2; i++) {
		if (links->fds[i] >= 0 && count < room)
			wait[count++] = (struct pollfd){ .fd = links->fds[i], .events = POLLIN };
	}
	LIST_FOREACH(event, &links->events, entry)
	{
		if (event->heard && count < room)
			wait[count++] = (struct pollfd){ .fd = event->fd, .events = POLLIN };
	}
	return count;
}

/* Takes the signals of an eventfd; whether there were any. */
static bool take_signals(const struct peer_event *event)
{
	struct pollfd wait = { .fd = event->fd, .events = POLLIN };
	uint64_t count;

	return event->heard && poll(&wait, 1, 0) == 1 &&
	       read(event->fd, &count, sizeof(count)) == sizeof(count);
}

void peer_links_hear(struct peer_links *links)
{
	struct peer_event *event, *next;
	const uint64_t one = 1;

	for (event = LIST_FIRST(&links->events); event; event = next) {
		next = LIST_NEXT(event, entry);
		if (take_signals(event))
			vfake_write(links->task, event->fake_fd, (uint64_t)(uintptr_t)&one,
				    sizeof(one));
	}
}

/* ---- the other way ---- */

static int link_give(void *ctx, int fd, uint64_t *offset)
{
	const struct link *link = ctx;
	int given = vfake_host_fd(link->links->task, fd, offset);

	if (given != -EINVAL)
		return given;
	/* An eventfd of the peer's own, which nobody in it hears. */
	given = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return given < 0 ? -errno : given;
}

static void link_drop(void *ctx, int fd)
{
	(void)ctx;
	close(fd);
}

static void link_hang_up(void *ctx)
{
	struct link *link = ctx;

	close(link->links->fds[link->which]);
	link->links->fds[link->which] = -1;
	free(link);
}

static int link_twin(void *ctx, struct vfake_peer_link *twin, int *fd);

static const struct vfake_peer_link real_link = {
	.send = link_send,
	.recv = link_recv,
	.take_memory = link_take_memory,
	.take_event = link_take_event,
	.give = link_give,
	.twin = link_twin,
	.drop = link_drop,
	.hang_up = link_hang_up,
};

static int open_link(struct peer_links *links, int fd, int which, struct vfake_peer_link *to)
{
	struct link *link = malloc(sizeof(*link));

	if (!link)
		return -ENOMEM;
	link->links = links;
	link->which = which;
	vfio_sys_linux(&link->sys);
	links->fds[which] = fd;
	*to = real_link;
	to->ctx = link;
	return 0;
}

static int link_twin(void *ctx, struct vfake_peer_link *twin, int *fd)
{
	const struct link *link = ctx;
	int fds[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	ret = open_link(link->links, fds[0], 1, twin);
	if (ret) {
		close(fds[0]);
		close(fds[1]);
		return ret;
	}
	*fd = fds[1];
	return 0;
}

void peer_links_init(struct peer_links *links)
{
	memset(links, 0, sizeof(*links));
	LIST_INIT(&links->events);
	links->fds[0] = links->fds[1] = -1;
}

int peer_link_open(struct peer_links *links, int fd, struct vfake_peer_link *link)
{
	return open_link(links, fd, 0, link);
}

/* ---- files that become shorter ---- */

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t at = (uintptr_t)info->si_addr & ~(page - 1);

	(void)context;
	if (mmap((void *)at, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0) == MAP_FAILED)
		signal(number, SIG_DFL);
}

void peer_links_survive_truncation(void)
{
	struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
}
