/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The binding to the kernel below, run against it: whatever machine this is, it has files, memory
 * and limits. VFIO it need not have; then that is what the binding and the stack must say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vfio/sys.h>
#include <vfio/vfio.h>

enum { MEMORY_BYTES = 1 << 20 };

static struct vfio_sys sys;

static uint64_t address(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

static int bind(void **state)
{
	(void)state;
	memset(&sys, 0xa5, sizeof(sys));
	vfio_sys_linux(&sys);
	return 0;
}

static void assert_closes_on_exec(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	assert_true(flags >= 0 && (flags & FD_CLOEXEC));
}

/* ---- files ---- */

static void missing_nodes_are_enoent(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(sys.open(sys.ctx, "/dev/vfio/no-such-node"), -ENOENT);
	fd = sys.open(sys.ctx, "/dev/vfio/vfio");
	if (access("/dev/vfio/vfio", F_OK))
		assert_int_equal(fd, -ENOENT);
	else if (fd >= 0)
		assert_int_equal(sys.close(sys.ctx, fd), 0);
	else
		assert_true(fd == -EACCES || fd == -EPERM || fd == -ENODEV);
}

static void files_open_for_both_and_close(void **state)
{
	int fd = sys.open(sys.ctx, "/dev/null");

	(void)state;
	assert_true(fd >= 0);
	assert_closes_on_exec(fd);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	assert_int_equal(sys.write(sys.ctx, fd, address("four"), 4), 4);
	assert_int_equal(sys.close(sys.ctx, fd), 0);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(sys.close(sys.ctx, fd), -EBADF);
}

static void bad_descriptors_are_ebadf(void **state)
{
	int fd = sys.eventfd(sys.ctx);
	uint64_t addr = 7;
	char byte = 0;
	int waiting;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(sys.close(sys.ctx, fd), 0);
	for (int round = 0; round < 2; round++, fd = -1) {
		assert_int_equal(sys.close(sys.ctx, fd), -EBADF);
		assert_int_equal(sys.dup(sys.ctx, fd), -EBADF);
		assert_int_equal(sys.ioctl(sys.ctx, fd, FIONREAD, address(&waiting)), -EBADF);
		assert_int_equal(sys.pread(sys.ctx, fd, address(&byte), 1, 0), -EBADF);
		assert_int_equal(sys.pwrite(sys.ctx, fd, address(&byte), 1, 0), -EBADF);
		assert_int_equal(sys.read(sys.ctx, fd, address(&byte), 1), -EBADF);
		assert_int_equal(sys.write(sys.ctx, fd, address(&byte), 1), -EBADF);
		if (fd >= 0)
			assert_int_equal(sys.mmap(sys.ctx, 4096, PROT_READ, fd, 0, &addr), -EBADF);
	}
	assert_int_equal(addr, 7);
}

static void ioctls_take_pointers_and_values(void **state)
{
	int ends[2], waiting = 0;
	struct winsize size;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "abc", 3), 3);
	assert_int_equal(sys.ioctl(sys.ctx, ends[0], FIONREAD, address(&waiting)), 0);
	assert_int_equal(waiting, 3);
	assert_int_equal(sys.ioctl(sys.ctx, ends[0], FIOCLEX, 0), 0);
	assert_closes_on_exec(ends[0]);
	/* Requests that a pipe does not know; the second has bit 31. */
	assert_int_equal(sys.ioctl(sys.ctx, ends[0], TIOCGWINSZ, address(&size)), -ENOTTY);
	assert_int_equal(sys.ioctl(sys.ctx, ends[0], TIOCGPTN, address(&size)), -ENOTTY);
	assert_int_equal(sys.close(sys.ctx, ends[0]), 0);
	assert_int_equal(sys.close(sys.ctx, ends[1]), 0);
}

static void eventfds_count_and_do_not_block(void **state)
{
	int fd = sys.eventfd(sys.ctx);
	uint64_t count = 3;

	(void)state;
	assert_true(fd >= 0);
	assert_closes_on_exec(fd);
	assert_int_equal(sys.read(sys.ctx, fd, address(&count), 8), -EAGAIN);
	assert_int_equal(sys.write(sys.ctx, fd, address(&count), 8), 8);
	assert_int_equal(sys.write(sys.ctx, fd, address(&count), 8), 8);
	assert_int_equal(sys.read(sys.ctx, fd, address(&count), 4), -EINVAL);
	assert_int_equal(sys.read(sys.ctx, fd, address(&count), 8), 8);
	assert_int_equal(count, 6);
	assert_int_equal(sys.read(sys.ctx, fd, address(&count), 8), -EAGAIN);
	assert_int_equal(sys.close(sys.ctx, fd), 0);
}

static void dup_is_the_same_file(void **state)
{
	int fd = sys.eventfd(sys.ctx);
	int copy = sys.dup(sys.ctx, fd);
	/* The same in both byte orders: an emulator may forget what kind of file the copy is. */
	const uint64_t palindrome = 0x0100000000000001;
	uint64_t count = palindrome;

	(void)state;
	assert_true(copy >= 0 && copy != fd);
	assert_closes_on_exec(copy);
	assert_int_equal(sys.write(sys.ctx, fd, address(&count), 8), 8);
	assert_int_equal(sys.close(sys.ctx, fd), 0);
	count = 0;
	assert_int_equal(sys.read(sys.ctx, copy, address(&count), 8), 8);
	assert_true(count == palindrome);
	assert_int_equal(sys.close(sys.ctx, copy), 0);
}

static void memfds_have_a_size_and_offsets(void **state)
{
	int fd = sys.memfd(sys.ctx, MEMORY_BYTES);
	char bytes[4] = "";

	(void)state;
	assert_true(fd >= 0);
	assert_closes_on_exec(fd);
	assert_int_equal(lseek(fd, 0, SEEK_END), MEMORY_BYTES);
	assert_int_equal(sys.pwrite(sys.ctx, fd, address("wxyz"), 4, 4096), 4);
	assert_int_equal(sys.pread(sys.ctx, fd, address(bytes), 4, 4097), 4);
	assert_memory_equal(bytes, "xyz", 4);
	assert_int_equal(sys.pread(sys.ctx, fd, address(bytes), 4, MEMORY_BYTES - 1), 1);
	assert_int_equal(sys.pread(sys.ctx, fd, address(bytes), 4, (uint64_t)1 << 63), -EINVAL);
	assert_int_equal(sys.close(sys.ctx, fd), 0);
	assert_int_equal(sys.memfd(sys.ctx, UINT64_MAX), -EINVAL);
}

/* ---- memory ---- */

/* Whether the kernel has something mapped at a page. */
static bool is_mapped(uint64_t addr)
{
	unsigned char resident;

	return !mincore((void *)(uintptr_t)addr, 1, &resident);
}

static void anonymous_memory_is_at_odd_gibibytes(void **state)
{
	const uint64_t gib = (uint64_t)1 << 30;
	uint64_t first = 0, second = 0;

	(void)state;
	assert_int_equal(sys.mmap(sys.ctx, MEMORY_BYTES, PROT_READ | PROT_WRITE, -1, 0, &first), 0);
	assert_int_equal(sys.mmap(sys.ctx, MEMORY_BYTES, PROT_READ | PROT_WRITE, -1, 0, &second),
			 0);
	assert_int_equal(first & (2 * gib - 1), gib);
	assert_int_equal(second & (2 * gib - 1), gib);
	assert_true(first != second);
	*(volatile char *)(uintptr_t)first = 1;
	assert_int_equal(*(volatile char *)(uintptr_t)second, 0);
	assert_int_equal(*(volatile char *)(uintptr_t)(first + MEMORY_BYTES - 1), 0);
	assert_int_equal(sys.munmap(sys.ctx, first, MEMORY_BYTES), 0);
	assert_false(is_mapped(first));
	assert_true(is_mapped(second));
	assert_int_equal(sys.munmap(sys.ctx, second, MEMORY_BYTES), 0);
	assert_int_equal(sys.munmap(sys.ctx, first + 1, MEMORY_BYTES), -EINVAL);
	assert_int_equal(sys.mmap(sys.ctx, 0, PROT_READ, -1, 0, &first), -EINVAL);
}

static void files_are_mapped_shared(void **state)
{
	int fd = sys.memfd(sys.ctx, MEMORY_BYTES);
	uint64_t addr = 0;
	char byte = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(sys.mmap(sys.ctx, 65536, PROT_READ | PROT_WRITE, fd, 65536, &addr), 0);
	*(volatile char *)(uintptr_t)(addr + 5) = 'v';
	assert_int_equal(sys.pread(sys.ctx, fd, address(&byte), 1, 65536 + 5), 1);
	assert_int_equal(byte, 'v');
	assert_int_equal(sys.munmap(sys.ctx, addr, 65536), 0);
	assert_false(is_mapped(addr));
	assert_int_equal(sys.mmap(sys.ctx, 65536, PROT_READ, fd, 1, &addr), -EINVAL);
	assert_int_equal(sys.close(sys.ctx, fd), 0);
}

/* ---- limits ---- */

/* In a child, because there is no way back. Returns 0, or the number of the step that failed. */
static int lower_memlock(uint64_t bytes)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	const uint32_t ipc_lock = (uint32_t)1 << CAP_IPC_LOCK;
	struct rlimit limit;
	uint64_t addr;

	if (sys.memlock(sys.ctx, bytes))
		return 1;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur != bytes || limit.rlim_max != bytes)
		return 2;
	if (syscall(SYS_capget, &header, data) || (data[0].effective & ipc_lock) ||
	    (data[0].permitted & ipc_lock) || (data[0].inheritable & ipc_lock))
		return 3;
	if (sys.mmap(sys.ctx, MEMORY_BYTES, PROT_READ | PROT_WRITE, -1, 0, &addr))
		return 4;
	/* The calls themselves: a sanitizer's mlock() does nothing. */
	if (syscall(SYS_mlock, addr, bytes))
		return 5;
	if (!syscall(SYS_mlock, addr, MEMORY_BYTES) || errno != ENOMEM)
		return 6;
	return 0;
}

static void memlock_binds_the_process(void **state)
{
	struct rlimit before, after;
	int status = -1;
	pid_t child;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
	if (before.rlim_max < 65536)
		skip();
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(lower_memlock(65536));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &after), 0);
	assert_true(before.rlim_cur == after.rlim_cur && before.rlim_max == after.rlim_max);
}

/* ---- the stack on it ---- */

static int count_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Nobody has these nodes; where there is no VFIO, the first that is missing is named. */
static void a_missing_device_is_named(void **state)
{
	static const struct vfio_device_options options[] = {
		{ .name = "d0", .backend = VFIO_BACKEND_LEGACY, .group = "4294967295" },
		{ .name = "d0", .backend = VFIO_BACKEND_SPAPR, .group = "4294967295" },
		{ .name = "d0", .backend = VFIO_BACKEND_IOMMUFD, .cdev = "vfio4294967295" },
	};
	struct vfio_memory *memory = vfio_memory_new(NULL);
	struct vfio *vfio = vfio_new(&sys, NULL);
	int open_before = count_descriptors();

	(void)state;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct vfio_error error = { 0 };

		assert_null(vfio_device_attach(vfio, memory, &options[i], &error));
		assert_int_equal(error.code, -ENOENT);
		assert_non_null(strstr(error.message, "device d0: "));
		assert_non_null(strstr(error.message, "/dev/"));
		assert_null(strchr(error.message, '\n'));
		assert_int_equal(count_descriptors(), open_before);
	}
	vfio_free(vfio);
	vfio_memory_free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_nodes_are_enoent),
		cmocka_unit_test(files_open_for_both_and_close),
		cmocka_unit_test(bad_descriptors_are_ebadf),
		cmocka_unit_test(ioctls_take_pointers_and_values),
		cmocka_unit_test(eventfds_count_and_do_not_block),
		cmocka_unit_test(dup_is_the_same_file),
		cmocka_unit_test(memfds_have_a_size_and_offsets),
		cmocka_unit_test(anonymous_memory_is_at_odd_gibibytes),
		cmocka_unit_test(files_are_mapped_shared),
		cmocka_unit_test(memlock_binds_the_process),
		cmocka_unit_test(a_missing_device_is_named),
	};

	return cmocka_run_group_tests(tests, bind, NULL);
}
