/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The seam: every call that leaves the process goes through a struct vfio_sys.
 *
 * A binding fills it: vfio_sys_linux() with the kernel below, the harness with a fake one.
 * Whoever is given a struct vfio_sys calls nothing else of the system, and so cannot tell the two
 * apart.
 *
 * All functions return what the system call returns on success and -errno on failure; errno is
 * not used. Addresses are those of the process that makes the call.
 */
#ifndef VFIO_SYS_H
#define VFIO_SYS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct vfio_sys {
	void *ctx; /**< the binding's, first argument of each function */

	/** open(2) read-write and close-on-exec. A descriptor or -errno. */
	int (*open)(void *ctx, const char *path);
	/** close(2). 0 or -EBADF. */
	int (*close)(void *ctx, int fd);
	/** dup(2), close-on-exec. A descriptor, -EBADF or -EMFILE. */
	int (*dup)(void *ctx, int fd);
	/** ioctl(2); @arg is an address or the scalar argument. 0 or more, or -errno. */
	long (*ioctl)(void *ctx, int fd, uint32_t request, uint64_t arg);
	/** pread(2), pwrite(2), read(2), write(2): bytes moved or -errno. */
	long (*pread)(void *ctx, int fd, uint64_t buf, uint64_t len, uint64_t offset);
	long (*pwrite)(void *ctx, int fd, uint64_t buf, uint64_t len, uint64_t offset);
	long (*read)(void *ctx, int fd, uint64_t buf, uint64_t len);
	long (*write)(void *ctx, int fd, uint64_t buf, uint64_t len);
	/**
	 * mmap(2): private anonymous memory (@fd -1), else shared memory of the file. @prot is
	 * PROT_READ and PROT_WRITE. The lowest set bit of an address of anonymous memory is bit
	 * 30. 0 with the address in *addr, or -errno.
	 */
	int (*mmap)(void *ctx, uint64_t len, int prot, int fd, uint64_t offset, uint64_t *addr);
	/** munmap(2). 0 or -errno. */
	int (*munmap)(void *ctx, uint64_t addr, uint64_t len);
	/** eventfd(2), non-blocking. A descriptor or -errno. */
	int (*eventfd)(void *ctx);
	/** memfd_create(2) of @len bytes. A descriptor or -errno. */
	int (*memfd)(void *ctx, uint64_t len);
	/** Lowers RLIMIT_MEMLOCK to @bytes and drops CAP_IPC_LOCK, for good. 0 or -errno. */
	int (*memlock)(void *ctx, uint64_t bytes);
	/**
	 * connect(2) to the UNIX stream socket @path. A non-blocking descriptor, -ENOENT,
	 * -ECONNREFUSED when nobody listens there, -ENAMETOOLONG, -EAGAIN when too many wait to
	 * be let in, or another -errno.
	 */
	int (*connect)(void *ctx, const char *path);
	/**
	 * sendmsg(2): @len bytes, and @fd_count descriptors that the receiver gets copies of. Never
	 * blocks and sends no SIGPIPE. Bytes sent, which may be fewer (the descriptors are gone
	 * with the first of them); -EAGAIN when none fits, -EPIPE when the other end is closed.
	 */
	long (*sendmsg)(void *ctx, int fd, const void *bytes, uint64_t len, const int *fds,
			uint32_t fd_count);
	/**
	 * recvmsg(2): at most @len bytes, and the descriptors that came with them, close-on-exec.
	 * *fd_count is the room in @fds; on success it becomes their number: those that find no
	 * room are closed. Bytes received, 0 at the end of the stream, -EAGAIN when there is
	 * nothing yet, -ECONNRESET when the other end went without reading all.
	 */
	long (*recvmsg)(void *ctx, int fd, void *bytes, uint64_t len, int *fds, uint32_t *fd_count);
	/**
	 * Waits until @fd can be read, its end of file and errors included. A tick is 1 ms on
	 * Linux, and a turn of the other tasks in a fake kernel. 1, or 0 when @ticks are over (0:
	 * only looks), or -errno.
	 */
	int (*poll)(void *ctx, int fd, uint64_t ticks);
};

/** Binds *sys to the kernel that the process runs on. Nothing to free. */
void vfio_sys_linux(struct vfio_sys *sys);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
