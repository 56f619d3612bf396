/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UNIX stream sockets of a fake kernel, and programs that answer on them.
 *
 * A socket carries bytes and, with them, open files from task to task. Nothing blocks: a task that
 * waits, in vfake_poll(), gives turns to the programs of the other tasks, one after the other, in
 * this thread. So a client and its server run in the same way every time.
 */
#ifndef VFAKE_SOCKET_H
#define VFAKE_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <vfake/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum {
	VFAKE_SOCKET_BYTES = 212992, /**< that one direction holds, what Linux has by default */
	VFAKE_SOCKET_FDS = 253,	     /**< descriptors in one vfake_sendmsg() */
	VFAKE_SOCKET_PATH = 108,     /**< bytes of a path with its NUL */
};

/**
 * socket(2), bind(2), listen(2): a socket that others connect to by @path. The path is gone with
 * the socket.
 *
 * @backlog: connections that may wait for vfake_accept(), at least 1
 *
 * Returns a descriptor, -EADDRINUSE, -ENAMETOOLONG, -EINVAL for an empty path, -EMFILE, -ENOMEM.
 */
int vfake_listen(struct vfake_task *task, const char *path, uint32_t backlog);

/** accept(2). Returns a descriptor, -EAGAIN when nobody waits, -EBADF, -ENOTSOCK, -EINVAL for a
 * socket that does not listen, -EMFILE, -ENOMEM; the last two leave it waiting. */
int vfake_accept(struct vfake_task *task, int fd);

/** connect(2). Returns a descriptor, -ENOENT when nobody listens there, -EAGAIN when too many wait,
 * -EMFILE, -ENOMEM. */
int vfake_connect(struct vfake_task *task, const char *path);

/** socketpair(2). Returns 0 with two descriptors, -EMFILE or -ENOMEM. */
int vfake_socketpair(struct vfake_task *task, int fds[2]);

/**
 * sendmsg(2).
 *
 * @bytes:    of this program
 * @fds:      descriptors of the task; the receiver gets its own for the same open files
 *
 * Returns the bytes that were sent, fewer than @len when the other end's buffer is full and -EAGAIN
 * when none fits. The descriptors go with the first byte. -EPIPE when the other end is closed,
 * -EBADF, -ENOTSOCK, -ENOTCONN for one that listens, -EINVAL for more than VFAKE_SOCKET_FDS,
 * -ENOMEM.
 */
long vfake_sendmsg(struct vfake_task *task, int fd, const void *bytes, uint64_t len, const int *fds,
		   uint32_t fd_count);

/**
 * recvmsg(2). As in Linux, bytes with descriptors are the last of a call; when only a part of them
 * is read, the descriptors come with the first part.
 *
 * @fd_count: in: room in @fds, out: how many came; those without room are closed
 *
 * Returns the bytes received, 0 at the end of the stream, -EAGAIN when there is nothing yet,
 * -ECONNRESET once when the other end was closed before it had read all, -EBADF, -ENOTSOCK,
 * -EINVAL for one that listens.
 */
long vfake_recvmsg(struct vfake_task *task, int fd, void *bytes, uint64_t len, int *fds,
		   uint32_t *fd_count);

/**
 * Waits until a descriptor can be read: a socket with bytes, one whose other end is closed, one
 * with a connection to accept, an eventfd with a signal; any other file always can. While it
 * cannot, each tick gives a turn to every other task's program.
 *
 * @ticks: 0 only looks
 *
 * Returns 1, or 0 when the ticks are over or no program has anything left to do; -EBADF.
 */
int vfake_poll(struct vfake_task *task, int fd, uint64_t ticks);

/**
 * Blocks of kernel memory, of those in the ledger, that one end left for the other: bytes that were
 * sent and not received, connections that were closed and not accepted.
 */
uint64_t vfake_socket_blocks(const struct vfake_kernel *kernel);

/**
 * Gives a task a program: a function that is called whenever another task waits.
 *
 * @program: does a turn's work and returns whether it did or still has anything to do without being
 *           asked again; it must end no task. NULL takes the program away.
 */
void vfake_set_program(struct vfake_task *task, bool (*program)(void *ctx), void *ctx);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
