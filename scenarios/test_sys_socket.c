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
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
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
	static int many[254];
	uint32_t count = 0;
	int fds[2];
	long sent;

	(void)state;
	pair(fds);
	assert_int_equal(sys.sendmsg(sys.ctx, fds[0], "a", 1, many, 254), -EINVAL);
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

static void on_alarm(int number)
{
	(void)number;
}

static void waiting_has_an_end(void **state)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval soon = { .it_value.tv_usec = 20000 }, never = { 0 };
	int fds[2];

	(void)state;
	pair(fds);
	assert_int_equal(sys.poll(sys.ctx, fds[0], 0), 0);
	assert_int_equal(sys.poll(sys.ctx, fds[0], 10), 0);
	assert_int_equal(sys.sendmsg(sys.ctx, fds[1], "a", 1, NULL, 0), 1);
	assert_int_equal(sys.poll(sys.ctx, fds[0], UINT64_MAX), 1);
	assert_int_equal(sys.poll(sys.ctx, 9999, 0), -EBADF);
	/* a signal does not end it */
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	assert_int_equal(sys.poll(sys.ctx, fds[1], 60), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	/* the end of the stream can be read, too */
	close(fds[0]);
	assert_int_equal(sys.poll(sys.ctx, fds[1], 1000), 1);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connecting_says_why_not),
		cmocka_unit_test(bytes_and_descriptors_come_over),
		cmocka_unit_test(bad_sends_and_ends_are_errors),
		cmocka_unit_test(waiting_has_an_end),
	};

	return cmocka_run_group_tests(tests, start, end);
}
