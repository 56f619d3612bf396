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
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
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

static int count_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
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
	int fd = sys.eventfd(sys.ctx), other = sys.eventfd(sys.ctx);
	uint64_t count = 3;

	(void)state;
	assert_true(fd >= 0 && other >= 0 && fd != other);
	assert_int_equal(sys.close(sys.ctx, other), 0);
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
	int before = count_descriptors();
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
	assert_int_equal(count_descriptors(), before);
}

/* 0 is a descriptor like any other, and no failure. */
static void the_first_descriptor_is_one(void **state)
{
	int kept = dup(0);

	(void)state;
	assert_true(kept > 0);
	assert_int_equal(close(0), 0);
	assert_int_equal(sys.memfd(sys.ctx, MEMORY_BYTES), 0);
	assert_int_equal(lseek(0, 0, SEEK_END), MEMORY_BYTES);
	assert_int_equal(dup2(kept, 0), 0);
	assert_int_equal(close(kept), 0);
}

/* All that are allowed are in use. */
static void a_full_table_of_descriptors_is_emfile(void **state)
{
	struct rlimit before, full;
	int next = dup(0);

	(void)state;
	assert_true(next > 0);
	assert_int_equal(close(next), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	full = before;
	full.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
	assert_int_equal(sys.open(sys.ctx, "/dev/null"), -EMFILE);
	assert_int_equal(sys.dup(sys.ctx, 0), -EMFILE);
	assert_int_equal(sys.eventfd(sys.ctx), -EMFILE);
	assert_int_equal(sys.memfd(sys.ctx, MEMORY_BYTES), -EMFILE);
	assert_int_equal(sys.connect(sys.ctx, "/dev/null"), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* Nobody can wait for more descriptors than are allowed, as for one where none is. */
static void a_wait_that_is_refused_is_an_error(void **state)
{
	struct pollfd wait = { .fd = 0, .events = POLLIN };
	struct rlimit before, none;
	int plain, code;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	plain = poll(&wait, 1, 0);
	code = plain < 0 ? sys.poll(sys.ctx, 0, 0) : 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	if (plain >= 0)
		skip(); /* an emulator's limit binds open() alone */
	assert_int_equal(code, -EINVAL);
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

/* Bytes of the process's address space that have something in them. */
static uint64_t bytes_mapped(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Looking for a free address leaves nothing behind. */
static void only_what_was_asked_for_is_mapped(void **state)
{
	const uint64_t large = (uint64_t)64 << 20;
	uint64_t addrs[3], before = bytes_mapped(), after;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(sys.mmap(sys.ctx, large, PROT_NONE, -1, 0, &addrs[i]), 0);
	after = bytes_mapped();
	assert_true(after - before >= 3 * large && after - before < 4 * large);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sys.munmap(sys.ctx, addrs[i], large), 0);
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

/* A child may inherit the right to lock memory, if this process has it at all. */
static bool bequeath(uint32_t capability)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, data))
		return false;
	data[0].inheritable |= data[0].permitted & capability;
	return !syscall(SYS_capset, &header, data);
}

/* In a child, because there is no way back. Returns 0, or the number of the step that failed. */
static int lower_memlock(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	const uint32_t ipc_lock = (uint32_t)1 << CAP_IPC_LOCK;
	const uint64_t bytes = 65536;
	struct rlimit limit;
	uint64_t addr;

	if (!bequeath(ipc_lock))
		return 1;
	if (sys.memlock(sys.ctx, bytes))
		return 2;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur != bytes || limit.rlim_max != bytes)
		return 3;
	if (syscall(SYS_capget, &header, data) || (data[0].effective & ipc_lock) ||
	    (data[0].permitted & ipc_lock) || (data[0].inheritable & ipc_lock))
		return 4;
	if (sys.mmap(sys.ctx, MEMORY_BYTES, PROT_READ | PROT_WRITE, -1, 0, &addr))
		return 5;
	/* The calls themselves: a sanitizer's mlock() does nothing. */
	if (syscall(SYS_mlock, addr, bytes))
		return 6;
	if (!syscall(SYS_mlock, addr, MEMORY_BYTES) || errno != ENOMEM)
		return 7;
	/* Who may do nothing cannot take it back. */
	memset(data, 0, sizeof(data));
	if (syscall(SYS_capset, &header, data) || sys.memlock(sys.ctx, 2 * bytes) != -EPERM)
		return 8;
	return 0;
}

enum { SKIPPED = 77 };

/* From now on system call @number is refused. False where that cannot be. */
static bool refuse_call(long number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* The limit alone would not bind a process that keeps the right: then the call has failed. */
static int keep_the_right(void)
{
	if (!refuse_call(SYS_capset))
		return SKIPPED;
	return sys.memlock(sys.ctx, 65536) == -EACCES ? 0 : 1;
}

static int do_not_know_the_right(void)
{
	if (!refuse_call(SYS_capget))
		return SKIPPED;
	return sys.memlock(sys.ctx, 65536) == -EACCES ? 0 : 1;
}

/* What @run returns in a child. */
static int in_a_child(int (*run)(void))
{
	int status = -1;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child)
		_exit(run());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void memlock_binds_the_process(void **state)
{
	struct rlimit before, after;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
	if (before.rlim_max < 65536)
		skip();
	assert_int_equal(in_a_child(lower_memlock), 0);
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &after), 0);
	assert_true(before.rlim_cur == after.rlim_cur && before.rlim_max == after.rlim_max);
}

static void memlock_that_does_not_bind_is_an_error(void **state)
{
	int kept = in_a_child(keep_the_right);
	int unknown = in_a_child(do_not_know_the_right);

	(void)state;
	if (kept == SKIPPED || unknown == SKIPPED)
		skip();
	assert_int_equal(kept, 0);
	assert_int_equal(unknown, 0);
}

/* ---- the stack on it ---- */

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
		cmocka_unit_test(the_first_descriptor_is_one),
		cmocka_unit_test(a_full_table_of_descriptors_is_emfile),
		cmocka_unit_test(a_wait_that_is_refused_is_an_error),
		cmocka_unit_test(anonymous_memory_is_at_odd_gibibytes),
		cmocka_unit_test(only_what_was_asked_for_is_mapped),
		cmocka_unit_test(files_are_mapped_shared),
		cmocka_unit_test(memlock_binds_the_process),
		cmocka_unit_test(memlock_that_does_not_bind_is_an_error),
		cmocka_unit_test(a_missing_device_is_named),
	};

	return cmocka_run_group_tests(tests, bind, NULL);
}
