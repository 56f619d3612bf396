/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between a real client and the peer: bytes by the binding for the kernel below, descriptors by
 * what they are. Everything that a client passes is judged: memory must be as long as its map says,
 * and what is to be signalled must be an eventfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

enum {
	WATCHED_MAX = 256,
	UNPOLLED_MAX = 64, /* waits in a row without ppoll(), in which alone signals come */
};

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

/* recvmsg(2). The system closes those descriptors that find no room. */
static long receive(int fd, void *bytes, uint64_t len, int *fds, uint32_t *fd_count, int flags)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(PEER_EARLY_FDS * sizeof(int))];
	} scm;
	uint32_t room = *fd_count < PEER_EARLY_FDS ? *fd_count : PEER_EARLY_FDS;
	struct iovec iov = { .iov_base = bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = scm.bytes,
			      .msg_controllen = CMSG_LEN(room * sizeof(int)) };
	ssize_t got = recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *rights;

	if (got < 0)
		return -errno;
	*fd_count = 0;
	rights = CMSG_FIRSTHDR(&msg);
	if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
		*fd_count = (uint32_t)((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(rights), *fd_count * sizeof(int));
	}
	return got;
}

/* Who got less than there was room for got all there was, unless descriptors ended it: to ask again
 * before somebody has waited is a system call for nothing. */
static bool is_all(long got, uint64_t len, uint32_t fd_count)
{
	return got == -EAGAIN || (got > 0 && (uint64_t)got < len && !fd_count);
}

/* From what was received while waiting; descriptors belong to the last of it. */
static long take_early(struct peer_early *early, void *bytes, uint64_t len, int *fds,
		       uint32_t *fd_count)
{
	uint32_t there = early->end - early->at, room = *fd_count;

	if (len > there)
		len = there;
	memcpy(bytes, early->bytes + early->at, len);
	early->at += (uint32_t)len;
	*fd_count = 0;
	if (early->at < early->end)
		return (long)len;
	for (uint32_t i = 0; i < early->fd_count; i++) {
		if (i < room)
			fds[(*fd_count)++] = early->fds[i];
		else
			close(early->fds[i]);
	}
	early->fd_count = 0;
	return (long)len;
}

static long link_recv(void *ctx, void *bytes, uint64_t len, int *fds, uint32_t *fd_count)
{
	struct link *link = ctx;
	struct peer_links *links = link->links;
	long got;

	if (!link->which && links->early.at < links->early.end)
		return take_early(&links->early, bytes, len, fds, fd_count);
	if (links->drained[link->which])
		return -EAGAIN;
	got = receive(links->fds[link->which], bytes, len, fds, fd_count, MSG_DONTWAIT);
	links->drained[link->which] = is_all(got, len, *fd_count);
	return got;
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

/* What to wait for: @other, the streams, which may be -1 likewise, and the eventfds that the client
 * signals. Returns how many. */
static nfds_t watch(const struct peer_links *links, int other, struct pollfd *wait, nfds_t room)
{
	const struct peer_event *event;
	nfds_t count = 3;

	wait[0] = (struct pollfd){ .fd = other, .events = POLLIN };
	for (int i = 0; i < 2; i++)
		wait[1 + i] = (struct pollfd){ .fd = links->fds[i], .events = POLLIN };
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

/* Passes signals on that came. */
static void hear(struct peer_links *links)
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

void peer_links_retry(struct peer_links *links)
{
	links->drained[0] = links->drained[1] = false;
}

/* Whether there is nothing to wait for but what the client says on its one stream. */
static bool is_quiet(const struct peer_links *links, int other)
{
	const struct peer_event *event;

	LIST_FOREACH(event, &links->events, entry)
	{
		if (event->heard)
			return false;
	}
	return other < 0 && links->fds[0] >= 0 && links->fds[1] < 0;
}

/* Waits by the call that receives, which saves one. Whether anything came. */
static bool wait_in_receive(struct peer_links *links)
{
	struct peer_early *early = &links->early;
	uint32_t count = PEER_EARLY_FDS;
	long got;

	if (early->at < early->end)
		return true;
	got = receive(links->fds[0], early->bytes, sizeof(early->bytes), early->fds, &count, 0);
	links->drained[0] = is_all(got, sizeof(early->bytes), count);
	early->at = 0;
	early->end = got > 0 ? (uint32_t)got : 0;
	early->fd_count = got > 0 ? count : 0;
	return got != -EAGAIN && got != -EINTR;
}

static bool wait_in_poll(struct peer_links *links, int other, int timeout_ms, const sigset_t *mask)
{
	struct timespec timeout = { .tv_sec = timeout_ms / 1000,
				    .tv_nsec = timeout_ms % 1000 * 1000000L };
	struct pollfd wait[WATCHED_MAX];
	nfds_t count = watch(links, other, wait, WATCHED_MAX);
	int ready = ppoll(wait, count, timeout_ms < 0 ? NULL : &timeout, mask);

	for (int i = 0; i < 2; i++) {
		if (ready > 0 && wait[1 + i].revents)
			links->drained[i] = false;
	}
	hear(links);
	return ready > 0 && wait[0].revents;
}

bool peer_links_wait(struct peer_links *links, int other, int timeout_ms, const sigset_t *mask)
{
	if (timeout_ms == PEER_PATIENCE_MS && links->unpolled < UNPOLLED_MAX &&
	    is_quiet(links, other)) {
		links->unpolled = wait_in_receive(links) ? links->unpolled + 1 : UNPOLLED_MAX;
		return false;
	}
	links->unpolled = 0;
	return wait_in_poll(links, other, timeout_ms, mask);
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

/* An eventfd of this process for one of the peer's, which hears what the client signals. */
static int link_give_event(void *ctx, int fd)
{
	const struct link *link = ctx;
	struct peer_event *event;
	int given;

	LIST_FOREACH(event, &link->links->events, entry)
	{
		if (event->given && event->fake_fd == fd)
			break;
	}
	if (!event) {
		event = calloc(1, sizeof(*event));
		if (!event)
			return -ENOMEM;
		*event = (struct peer_event){ .fake_fd = fd, .heard = true, .given = true };
		event->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (event->fd < 0) {
			free(event);
			return -EMFILE;
		}
		LIST_INSERT_HEAD(&link->links->events, event, entry);
	}
	given = fcntl(event->fd, F_DUPFD_CLOEXEC, 0);
	return given < 0 ? -errno : given;
}

/* Those that the client signalled go with it; the peer keeps its own. */
static void forget_given(struct peer_links *links)
{
	struct peer_event *event, *next;

	for (event = LIST_FIRST(&links->events); event; event = next) {
		next = LIST_NEXT(event, entry);
		if (event->given)
			event_closed(event);
	}
}

static void link_drop(void *ctx, int fd)
{
	(void)ctx;
	close(fd);
}

static void link_hang_up(void *ctx)
{
	struct link *link = ctx;
	struct peer_early *early = &link->links->early;

	while (!link->which && early->fd_count)
		close(early->fds[--early->fd_count]);
	if (!link->which) {
		early->at = early->end = 0;
		forget_given(link->links);
	}
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
	.give_event = link_give_event,
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
	links->drained[which] = false;
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
	struct timeval patience = { .tv_usec = PEER_PATIENCE_MS * 1000 };

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		return -errno;
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
