/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sockets of the binding to the kernel below, run against it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <vfio/sys.h>

static struct vfio_sys sys;
static char directory[] = "/tmp/vfio-sys-XXXXXX";
static char path[64];

static int start(void **state)
{
	(void)state;
	vfio_sys_linux(&sys);
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/socket", directory);
	return 0;
}

static int end(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

static int listener(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(addr.sun_path, path);
	unlink(path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* Both ends of a connection. */
static void pair(int fds[2])
{
	int listens = listener();

	fds[0] = sys.connect(sys.ctx, path);
	assert_true(fds[0] >= 0);
	fds[1] = accept(listens, NULL, NULL);
	assert_true(fds[1] >= 0);
	close(listens);
}

static int open_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 512; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void connecting_says_why_not(void **state)
{
	char longest[200];
	int fd, before = open_fds();

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = 0;
	assert_int_equal(sys.connect(sys.ctx, longest), -ENAMETOOLONG);
	assert_int_equal(sys.connect(sys.ctx, path), -ENOENT);
	close(listener());
	assert_int_equal(sys.connect(sys.ctx, path), -ECONNREFUSED);
	fd = listener();
	close(sys.connect(sys.ctx, path));
	close(fd);
	assert_int_equal(open_fds(), before);
}

/*
 * A path may have as many characters as the kernel's struct has bytes, but one. None behind its end
 * is looked at: there is no page.
 */
static void the_longest_path(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);
	char *pages =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *end = pages + page;

	(void)state;
	assert_ptr_not_equal(pages, MAP_FAILED);
	assert_int_equal(munmap(end, page), 0);
	memset(pages, 'x', page - 1);
	assert_int_equal(sys.connect(sys.ctx, end - room - 1), -ENAMETOOLONG);
	assert_int_equal(sys.connect(sys.ctx, end - room), -ENOENT);
	assert_int_equal(munmap(pages, page), 0);
}

/* 0 is a descriptor like any other, and no failure. */
static void the_first_descriptor_is_one(void **state)
{
	int kept = dup(0), listens = listener();

	(void)state;
	assert_true(kept > 0 && listens > 0);
	assert_int_equal(close(0), 0);
	assert_int_equal(sys.connect(sys.ctx, path), 0);
	assert_int_equal(dup2(kept, 0), 0);
	close(kept);
	close(listens);
}

enum { MOST = 253 };

/* As many as one message can have; each comes as the file that it was. */
static void descriptors_keep_their_order(void **state)
{
	int fds[2], files[3], passed[MOST], taken[MOST];
	int before = open_fds();
	struct stat want, have;
	uint32_t count = MOST;
	char text[4];

	(void)state;
	pair(fds);
	for (int i = 0; i < 3; i++)
		files[i] = sys.memfd(sys.ctx, 4096);
	for (int i = 0; i < MOST; i++)
		passed[i] = files[(i * i + i / 7) % 3];
	assert_int_equal(sys.sendmsg(sys.ctx, fds[0], "abc", 3, passed, MOST), 3);
	assert_int_equal(sys.recvmsg(sys.ctx, fds[1], text, 3, taken, &count), 3);
	assert_int_equal(count, MOST);
	for (int i = 0; i < MOST; i++) {
		assert_int_equal(fstat(passed[i], &want), 0);
		assert_int_equal(fstat(taken[i], &have), 0);
		assert_true(want.st_ino == have.st_ino);
		close(taken[i]);
	}
	for (int i = 0; i < 3; i++)
		close(files[i]);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(open_fds(), before);
}

/* What else the kernel says of a message is no descriptor. */
static void credentials_are_no_descriptors(void **state)
{
	int fds[2], taken[8], on = 1, before = open_fds();
	uint32_t count = 8;
	char text[4];

	(void)state;
	pair(fds);
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	assert_int_equal(sys.sendmsg(sys.ctx, fds[0], "a", 1, NULL, 0), 1);
	assert_int_equal(sys.recvmsg(sys.ctx, fds[1], text, 1, taken, &count), 1);
	assert_int_equal(count, 0);
	count = 8;
	assert_int_equal(sys.sendmsg(sys.ctx, fds[0], "a", 1, fds, 2), 1);
	assert_int_equal(sys.recvmsg(sys.ctx, fds[1], text, 1, taken, &count), 1);
	assert_int_equal(count, 2);
	close(taken[0]);
	close(taken[1]);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(open_fds(), before);
}

/* The socket need not be non-blocking for that. A call that blocks ends the program. */
static void messages_never_block(void **state)
{
	static char much[1 << 16];
	uint32_t count = 0;
	int fds[2];
	long sent;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	alarm(5);
	assert_int_equal(sys.recvmsg(sys.ctx, fds[0], much, 1, NULL, &count), -EAGAIN);
	do {
		sent = sys.sendmsg(sys.ctx, fds[0], much, sizeof(much), NULL, 0);
		assert_true(sent > 0 || sent == -EAGAIN);
	} while (sent > 0);
	alarm(0);
	close(fds[0]);
	close(fds[1]);
}

static void bytes_and_descriptors_come_over(void **state)
{
	int fds[2], passed[3], taken[8], before = open_fds();
	uint32_t count = 0;
	char text[16];

	(void)state;
	pair(fds);
	assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(sys.recvmsg(sys.ctx, fds[0], text, 4, NULL, &count), -EAGAIN);
	for (int i = 0; i < 3; i++)
		passed[i] = dup(0);
	assert_int_equal(sys.sendmsg(sys.ctx, fds[0], "abc", 3, NULL, 0), 3);
	assert_int_equal(sys.sendmsg(sys.ctx, fds[0], "def", 3, passed, 3), 3);
	count = 8;
	assert_int_equal(sys.recvmsg(sys.ctx, fds[1], text, 3, taken, &count), 3);
	assert_int_equal(count, 0);
	count = 8;
	assert_int_equal(sys.recvmsg(sys.ctx, fds[1], text + 3, 3, taken, &count), 3);
	assert_int_equal(count, 3);
	assert_memory_equal(text, "abcdef", 6);
	for (int i = 0; i < 3; i++) {
		assert_true(fcntl(taken[i], F_GETFD) & FD_CLOEXEC);
		close(taken[i]);
	}
	/* those without room are closed */
	assert_int_equal(sys.sendmsg(sys.ctx, fds[0], "g", 1, passed, 3), 1);
	count = 1;
	assert_int_equal(sys.recvmsg(sys.ctx, fds[1], text, 3, taken, &count), 1);
	assert_int_equal(count, 1);
	close(taken[0]);
	for (int i = 0; i < 3; i++)
		close(passed[i]);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(open_fds(), before);
}

static void bad_sends_and_ends_are_errors(void **state)
{
	static char much[1 << 20];
	static int many[1000];
	uint32_t count = 0;
	int fds[2];
	long sent;

	(void)state;
	pair(fds);
	assert_int_equal(sys.sendmsg(sys.ctx, fds[0], "a", 1, many, 254), -EINVAL);
	assert_int_equal(sys.sendmsg(sys.ctx, fds[0], "a", 1, many, 1000), -EINVAL);
	assert_int_equal(sys.sendmsg(sys.ctx, -1, "a", 1, NULL, 0), -EBADF);
	do {
		sent = sys.sendmsg(sys.ctx, fds[0], much, sizeof(much), NULL, 0);
		assert_true(sent > 0 || sent == -EAGAIN);
	} while (sent > 0);
	/* the other end goes with bytes unread; no signal comes */
	close(fds[1]);
	assert_int_equal(sys.sendmsg(sys.ctx, fds[0], "a", 1, NULL, 0), -EPIPE);
	assert_int_equal(sys.recvmsg(sys.ctx, fds[0], much, 1, NULL, &count), -ECONNRESET);
	assert_int_equal(sys.recvmsg(sys.ctx, fds[0], much, 1, NULL, &count), 0);
	close(fds[0]);
}

/* ---- time ---- */

/* What the signal does: counts, takes a while, and lets an eventfd be read at the last one. */
static volatile sig_atomic_t alarms, alarms_left;
static struct timespec alarm_takes;
static int alarm_rings = -1;

static void be_quiet(void)
{
	const struct itimerval never = { 0 };

	setitimer(ITIMER_REAL, &never, NULL);
}

static void on_alarm(int number)
{
	const uint64_t one = 1;

	(void)number;
	alarms++;
	nanosleep(&alarm_takes, NULL);
	if (--alarms_left > 0)
		return;
	be_quiet();
	if (alarm_rings >= 0 && write(alarm_rings, &one, sizeof(one)) < 0)
		_exit(1);
}

/* @count signals: the first after 5 ms, each other @ms after the one before. */
static void ring(int count, int ms)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval each = { .it_value.tv_usec = 5000,
					.it_interval.tv_usec = ms * 1000 };

	alarms = 0;
	alarms_left = count;
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &each, NULL), 0);
}

/* The clock is put forward, here and in what is tested: to shortly before the next second. */
static long clock_forward_ns;

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int ret = (int)syscall(SYS_clock_gettime, clock, now);

	now->tv_nsec += clock_forward_ns;
	if (now->tv_nsec >= 1000000000) {
		now->tv_nsec -= 1000000000;
		now->tv_sec++;
	}
	return ret;
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/*
 * Signals neither end a wait nor begin it anew. The wait goes on into the next second of the clock,
 * so that a time that is put together wrong shows.
 */
static void signals_change_no_wait(void **state)
{
	int fd = sys.eventfd(sys.ctx);
	uint64_t begin;

	(void)state;
	clock_forward_ns = (long)(999 - (now_us() / 1000 + 20) % 1000) * 1000000;
	begin = now_us();
	ring(2000, 5);
	assert_int_equal(sys.poll(sys.ctx, fd, 60), 0);
	be_quiet();
	assert_true(now_us() - begin >= 59000);
	assert_in_range(alarms, 1, 1999);
	close(fd);
}

/* When the time is over while a signal is handled, nothing is left to wait for. */
static void a_wait_can_be_over_late(void **state)
{
	int fd = sys.eventfd(sys.ctx);

	(void)state;
	alarm_takes.tv_nsec = 40000000;
	alarm_rings = sys.dup(sys.ctx, fd);
	ring(2, 300); /* who waits on is woken by the second one */
	assert_int_equal(sys.poll(sys.ctx, fd, 20), 0);
	be_quiet();
	alarm_takes.tv_nsec = 0;
	close(alarm_rings);
	alarm_rings = -1;
	close(fd);
}

/* Longer than poll(2) can be asked for is as long as it takes. */
static void a_long_wait_lasts(void **state)
{
	static const uint64_t lengths[] = { (uint64_t)1 << 31, (uint64_t)1 << 32, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		int fd = sys.eventfd(sys.ctx);

		alarm_rings = fd;
		ring(2, lengths[i] == UINT64_MAX ? 100 : 30);
		assert_int_equal(sys.poll(sys.ctx, fd, lengths[i]), 1);
		assert_int_equal(alarms, 2);
		alarm_rings = -1;
		close(fd);
	}
}

static void waiting_has_an_end(void **state)
{
	int fds[2];

	(void)state;
	pair(fds);
	assert_int_equal(sys.poll(sys.ctx, fds[0], 0), 0);
	assert_int_equal(sys.poll(sys.ctx, fds[0], 10), 0);
	assert_int_equal(sys.sendmsg(sys.ctx, fds[1], "a", 1, NULL, 0), 1);
	assert_int_equal(sys.poll(sys.ctx, fds[0], UINT64_MAX), 1);
	assert_int_equal(sys.poll(sys.ctx, 9999, 0), -EBADF);
	/* the end of the stream can be read, too */
	close(fds[0]);
	assert_int_equal(sys.poll(sys.ctx, fds[1], 1000), 1);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connecting_says_why_not),
		cmocka_unit_test(the_longest_path),
		cmocka_unit_test(the_first_descriptor_is_one),
		cmocka_unit_test(descriptors_keep_their_order),
		cmocka_unit_test(credentials_are_no_descriptors),
		cmocka_unit_test(messages_never_block),
		cmocka_unit_test(bytes_and_descriptors_come_over),
		cmocka_unit_test(bad_sends_and_ends_are_errors),
		cmocka_unit_test(waiting_has_an_end),
		cmocka_unit_test(signals_change_no_wait),
		cmocka_unit_test(a_wait_can_be_over_late),
		cmocka_unit_test(a_long_wait_lasts),
	};

	return cmocka_run_group_tests(tests, start, end);
}
