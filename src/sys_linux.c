/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The binding of struct vfio_sys to the real kernel: each function is its system call, errno
 * turned into the result.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>

#include <vfio/sys.h>

static long result(long ret)
{
	return ret < 0 ? -errno : ret;
}

static void *pointer(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static int linux_open(void *ctx, const char *path)
{
	(void)ctx;
	return (int)result(open(path, O_RDWR | O_CLOEXEC));
}

static int linux_close(void *ctx, int fd)
{
	(void)ctx;
	return (int)result(close(fd));
}

static int linux_dup(void *ctx, int fd)
{
	(void)ctx;
	/* Like every descriptor from here, a copy does not leak into programs that are started. */
	return (int)result(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

static long linux_ioctl(void *ctx, int fd, uint32_t request, uint64_t arg)
{
	(void)ctx;
	return result(ioctl(fd, request, arg));
}

static long linux_pread(void *ctx, int fd, uint64_t buf, uint64_t len, uint64_t offset)
{
	(void)ctx;
	return result(pread(fd, pointer(buf), len, (off_t)offset));
}

static long linux_pwrite(void *ctx, int fd, uint64_t buf, uint64_t len, uint64_t offset)
{
	(void)ctx;
	return result(pwrite(fd, pointer(buf), len, (off_t)offset));
}

static long linux_read(void *ctx, int fd, uint64_t buf, uint64_t len)
{
	(void)ctx;
	return result(read(fd, pointer(buf), len));
}

static long linux_write(void *ctx, int fd, uint64_t buf, uint64_t len)
{
	(void)ctx;
	return result(write(fd, pointer(buf), len));
}

/*
 * Anonymous memory goes to odd multiples of 1 GiB, the first that is free. The address is a wish:
 * what comes instead of one that is taken is given back.
 */
static int map_anonymous(uint64_t len, int prot, uint64_t *addr)
{
	const uint64_t gib = (uint64_t)1 << 30;
	const uint64_t end = (uint64_t)1 << 46;

	for (uint64_t at = ((uint64_t)1 << 40) + gib; at < end; at += 2 * gib) {
		void *got = mmap(pointer(at), len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (got == MAP_FAILED)
			return -errno;
		if (got == pointer(at)) {
			*addr = at;
			return 0;
		}
		munmap(got, len);
	}
	return -ENOMEM;
}

static int linux_mmap(void *ctx, uint64_t len, int prot, int fd, uint64_t offset, uint64_t *addr)
{
	void *got;

	(void)ctx;
	if (fd == -1)
		return map_anonymous(len, prot, addr);
	got = mmap(NULL, len, prot, MAP_SHARED, fd, (off_t)offset);
	if (got == MAP_FAILED)
		return -errno;
	*addr = (uint64_t)(uintptr_t)got;
	return 0;
}

static int linux_munmap(void *ctx, uint64_t addr, uint64_t len)
{
	(void)ctx;
	return (int)result(munmap(pointer(addr), len));
}

static int linux_eventfd(void *ctx)
{
	(void)ctx;
	return (int)result(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

static int linux_memfd(void *ctx, uint64_t len)
{
	int fd = memfd_create("vfio", MFD_CLOEXEC);
	int error;

	(void)ctx;
	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)len))
		return fd;
	error = errno;
	close(fd);
	return -error;
}

static int drop_ipc_lock(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	const uint32_t keep = ~((uint32_t)1 << CAP_IPC_LOCK);

	if (syscall(SYS_capget, &header, data))
		return -errno;
	data[0].effective &= keep;
	data[0].permitted &= keep;
	data[0].inheritable &= keep;
	return (int)result(syscall(SYS_capset, &header, data));
}

static int linux_memlock(void *ctx, uint64_t bytes)
{
	struct rlimit limit = { .rlim_cur = bytes, .rlim_max = bytes };

	(void)ctx;
	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		return -errno;
	return drop_ipc_lock();
}

static int linux_connect(void *ctx, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int error, fd;

	(void)ctx;
	if (len >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, len + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	error = errno;
	close(fd);
	return -error;
}

enum { SCM_FDS = 253 }; /* that Linux takes in one message */

/* Room for the descriptors of one message, aligned as their header must be. */
union scm {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(SCM_FDS * sizeof(int))];
};

static long linux_sendmsg(void *ctx, int fd, const void *bytes, uint64_t len, const int *fds,
			  uint32_t fd_count)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union scm scm = { 0 };

	(void)ctx;
	if (fd_count > SCM_FDS)
		return -EINVAL;
	if (fd_count) {
		msg.msg_control = scm.bytes;
		msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		scm.header.cmsg_level = SOL_SOCKET;
		scm.header.cmsg_type = SCM_RIGHTS;
		scm.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&scm.header), fds, fd_count * sizeof(int));
	}
	return result(sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT));
}

/* Takes what fits into @fds and closes the rest. Returns how many were taken. */
static uint32_t take_fds(struct msghdr *msg, int *fds, uint32_t room)
{
	uint32_t got = 0;

	for (struct cmsghdr *at = CMSG_FIRSTHDR(msg); at; at = CMSG_NXTHDR(msg, at)) {
		size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		/* All that a socket of this kind says of itself is of one level. */
		if (at->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(at) + i * sizeof(int), sizeof(fd));
			if (got < room)
				fds[got++] = fd;
			else
				close(fd);
		}
	}
	return got;
}

static long linux_recvmsg(void *ctx, int fd, void *bytes, uint64_t len, int *fds,
			  uint32_t *fd_count)
{
	struct iovec iov = { .iov_base = bytes, .iov_len = len };
	union scm scm;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = scm.bytes,
			      .msg_controllen = sizeof(scm) };
	ssize_t got = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	(void)ctx;
	if (got < 0)
		return -errno;
	*fd_count = take_fds(&msg, fds, *fd_count);
	return got;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A signal ends a wait but not the time that was asked for. More than 24 days are for ever. */
static int linux_poll(void *ctx, int fd, uint64_t ticks)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	uint64_t start = now_ms();

	(void)ctx;
	for (;;) {
		uint64_t past = now_ms() - start;
		uint64_t left = past < ticks ? ticks - past : 0;
		int ret = poll(&wait, 1, left > INT_MAX ? -1 : (int)left);

		if (ret > 0)
			return wait.revents & POLLNVAL ? -EBADF : 1;
		if (ret < 0 && errno != EINTR)
			return -errno;
		if (!ret)
			return 0;
	}
}

void vfio_sys_linux(struct vfio_sys *sys)
{
	*sys = (struct vfio_sys){
		.open = linux_open,
		.close = linux_close,
		.dup = linux_dup,
		.ioctl = linux_ioctl,
		.pread = linux_pread,
		.pwrite = linux_pwrite,
		.read = linux_read,
		.write = linux_write,
		.mmap = linux_mmap,
		.munmap = linux_munmap,
		.eventfd = linux_eventfd,
		.memfd = linux_memfd,
		.memlock = linux_memlock,
		.connect = linux_connect,
		.sendmsg = linux_sendmsg,
		.recvmsg = linux_recvmsg,
		.poll = linux_poll,
	};
}
