/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The binding of struct vfio_sys to one task of a fake kernel: each function is the call of the
 * same name. It imitates nothing by itself. It has a room of its own because the fake kernel knows
 * nothing of the stack's headers; programs find it in the same archive.
 */
#include <vfake/kernel.h>
#include <vfake/socket.h>
#include <vfake/sys.h>
#include <vfio/sys.h>

static int fake_open(void *ctx, const char *path)
{
	return vfake_open(ctx, path);
}

static int fake_close(void *ctx, int fd)
{
	return vfake_close(ctx, fd);
}

static int fake_dup(void *ctx, int fd)
{
	return vfake_dup(ctx, fd);
}

static long fake_ioctl(void *ctx, int fd, uint32_t request, uint64_t arg)
{
	return vfake_ioctl(ctx, fd, request, arg);
}

static long fake_pread(void *ctx, int fd, uint64_t buf, uint64_t len, uint64_t offset)
{
	return vfake_pread(ctx, fd, buf, len, offset);
}

static long fake_pwrite(void *ctx, int fd, uint64_t buf, uint64_t len, uint64_t offset)
{
	return vfake_pwrite(ctx, fd, buf, len, offset);
}

static long fake_read(void *ctx, int fd, uint64_t buf, uint64_t len)
{
	return vfake_read(ctx, fd, buf, len);
}

static long fake_write(void *ctx, int fd, uint64_t buf, uint64_t len)
{
	return vfake_write(ctx, fd, buf, len);
}

static int fake_mmap(void *ctx, uint64_t len, int prot, int fd, uint64_t offset, uint64_t *addr)
{
	return vfake_mmap(ctx, len, prot, fd, offset, addr);
}

static int fake_munmap(void *ctx, uint64_t addr, uint64_t len)
{
	return vfake_munmap(ctx, addr, len);
}

static int fake_eventfd(void *ctx)
{
	return vfake_eventfd(ctx);
}

static int fake_memfd(void *ctx, uint64_t len)
{
	return vfake_memfd(ctx, len);
}

static int fake_memlock(void *ctx, uint64_t bytes)
{
	return vfake_memlock(ctx, bytes);
}

static int fake_connect(void *ctx, const char *path)
{
	return vfake_connect(ctx, path);
}

static long fake_sendmsg(void *ctx, int fd, const void *bytes, uint64_t len, const int *fds,
			 uint32_t fd_count)
{
	return vfake_sendmsg(ctx, fd, bytes, len, fds, fd_count);
}

static long fake_recvmsg(void *ctx, int fd, void *bytes, uint64_t len, int *fds, uint32_t *fd_count)
{
	return vfake_recvmsg(ctx, fd, bytes, len, fds, fd_count);
}

static int fake_poll(void *ctx, int fd, uint64_t ticks)
{
	return vfake_poll(ctx, fd, ticks);
}

static const struct vfio_sys fake_sys = {
	.open = fake_open,
	.close = fake_close,
	.dup = fake_dup,
	.ioctl = fake_ioctl,
	.pread = fake_pread,
	.pwrite = fake_pwrite,
	.read = fake_read,
	.write = fake_write,
	.mmap = fake_mmap,
	.munmap = fake_munmap,
	.eventfd = fake_eventfd,
	.memfd = fake_memfd,
	.memlock = fake_memlock,
	.connect = fake_connect,
	.sendmsg = fake_sendmsg,
	.recvmsg = fake_recvmsg,
	.poll = fake_poll,
};

void vfake_sys(struct vfio_sys *sys, struct vfake_task *task)
{
	*sys = fake_sys;
	sys->ctx = task;
}
