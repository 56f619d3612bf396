/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets of the fake kernel, and waiting.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <uapi/iommufd.h>
#include <vfake/bridge.h>
#include <vfake/fault.h>
#include <vfake/socket.h>
#include <vfake/sys.h>
#include <vfio/sys.h>

#include "common.h"

static void begin(struct rig *rig, int fds[2])
{
	rig_boot_default(rig);
	assert_int_equal(vfake_socketpair(rig->task, fds), 0);
}

static void end(struct rig *rig, const int fds[2])
{
	vfake_close(rig->task, fds[0]);
	vfake_close(rig->task, fds[1]);
	assert_same_ledger(vfake_ledger(rig->kernel), rig->start);
	vfake_kernel_free(rig->kernel);
}

static long recv_plain(struct rig *rig, int fd, void *bytes, uint64_t len)
{
	uint32_t room = 0;

	return vfake_recvmsg(rig->task, fd, bytes, len, NULL, &room);
}

/* ---- what one left for the other ---- */

static void it_is_counted(void **state)
{
	struct rig rig;
	int fds[2], server, client;
	char byte;

	(void)state;
	begin(&rig, fds);
	assert_int_equal(vfake_socket_blocks(rig.kernel), 0);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "a", 1, NULL, 0), 1);
	assert_int_equal(vfake_socket_blocks(rig.kernel), 1);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "b", 1, fds, 1), 1);
	assert_int_equal(vfake_socket_blocks(rig.kernel), 3);
	assert_int_equal(recv_plain(&rig, fds[1], &byte, 1), 1);
	assert_int_equal(vfake_socket_blocks(rig.kernel), 2);
	assert_int_equal(recv_plain(&rig, fds[1], &byte, 1), 1);
	assert_int_equal(vfake_socket_blocks(rig.kernel), 0);
	server = vfake_listen(rig.task, "/run/counted", 4);
	client = vfake_connect(rig.task, "/run/counted");
	assert_true(server >= 0 && client >= 0);
	assert_int_equal(vfake_socket_blocks(rig.kernel), 0);
	vfake_close(rig.task, client);
	assert_int_equal(vfake_socket_blocks(rig.kernel), 1);
	client = vfake_accept(rig.task, server);
	assert_true(client >= 0);
	assert_int_equal(vfake_socket_blocks(rig.kernel), 0);
	vfake_close(rig.task, client);
	vfake_close(rig.task, server);
	end(&rig, fds);
}

/* ---- streams ---- */

static void bytes_keep_their_order_and_lose_their_bounds(void **state)
{
	char text[16] = { 0 };
	struct rig rig;
	int fds[2];

	(void)state;
	begin(&rig, fds);
	assert_int_equal(recv_plain(&rig, fds[1], text, 4), -EAGAIN);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "abc", 3, NULL, 0), 3);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "", 0, NULL, 0), 0);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "defg", 4, NULL, 0), 4);
	assert_int_equal(recv_plain(&rig, fds[1], text, 2), 2);
	assert_int_equal(recv_plain(&rig, fds[1], text + 2, 4), 4);
	assert_int_equal(recv_plain(&rig, fds[1], text + 6, 9), 1);
	assert_string_equal(text, "abcdefg");
	assert_int_equal(vfake_sendmsg(rig.task, fds[1], "x", 1, NULL, 0), 1);
	assert_int_equal(recv_plain(&rig, fds[0], text, 9), 1);
	end(&rig, fds);
}

static void a_stream_holds_so_much(void **state)
{
	static uint8_t bytes[VFAKE_SOCKET_BYTES + 1];
	struct rig rig;
	int fds[2];

	(void)state;
	begin(&rig, fds);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], bytes, sizeof(bytes), NULL, 0),
			 VFAKE_SOCKET_BYTES);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], bytes, 1, NULL, 0), -EAGAIN);
	assert_int_equal(recv_plain(&rig, fds[1], bytes, 10), 10);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], bytes, 100, NULL, 0), 10);
	end(&rig, fds);
}

static void files_come_with_their_bytes(void **state)
{
	struct rig rig;
	uint32_t room = 4;
	uint64_t one = 1, got = 0;
	int fds[2], passed[3], taken[4];
	char text[8];

	(void)state;
	begin(&rig, fds);
	for (int i = 0; i < 3; i++)
		passed[i] = vfake_eventfd(rig.task);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "ab", 2, NULL, 0), 2);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "cd", 2, passed, 3), 2);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "ef", 2, NULL, 0), 2);
	/* what is in flight lives without its descriptors */
	for (int i = 0; i < 3; i++)
		assert_int_equal(vfake_close(rig.task, passed[i]), 0);
	/* bytes with descriptors end the call, and the descriptors come with the first of them */
	assert_int_equal(vfake_recvmsg(rig.task, fds[1], text, 3, taken, &room), 3);
	assert_int_equal(room, 3);
	assert_int_equal(vfake_write(rig.task, taken[2], (uint64_t)(uintptr_t)&one, sizeof(one)),
			 8);
	assert_int_equal(vfake_read(rig.task, taken[2], (uint64_t)(uintptr_t)&got, sizeof(got)), 8);
	assert_int_equal(got, 1);
	room = 4;
	assert_int_equal(vfake_recvmsg(rig.task, fds[1], text, 8, taken + 3, &room), 3);
	assert_int_equal(room, 0);
	assert_memory_equal(text, "def", 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(vfake_close(rig.task, taken[i]), 0);
	end(&rig, fds);
}

static void files_without_room_are_closed(void **state)
{
	struct rig rig;
	uint32_t room = 1;
	int fds[2], passed[2], taken;
	char text[8];

	(void)state;
	begin(&rig, fds);
	for (int i = 0; i < 2; i++)
		passed[i] = vfake_memfd(rig.task, PAGE);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "a", 1, passed, 2), 1);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "bc", 2, passed, 2), 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(vfake_close(rig.task, passed[i]), 0);
	assert_int_equal(vfake_recvmsg(rig.task, fds[1], text, 8, &taken, &room), 1);
	assert_int_equal(room, 1);
	assert_int_equal(vfake_close(rig.task, taken), 0);
	end(&rig, fds); /* with two files in flight */
}

static void bad_sends_leave_nothing(void **state)
{
	static int many[VFAKE_SOCKET_FDS + 1];
	struct rig rig;
	int fds[2], mixed[2];
	uint32_t room = 0;

	(void)state;
	begin(&rig, fds);
	mixed[0] = fds[0];
	mixed[1] = 99;
	assert_int_equal(vfake_sendmsg(rig.task, 99, "a", 1, NULL, 0), -EBADF);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "a", 1, mixed, 2), -EBADF);
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "a", 1, many, VFAKE_SOCKET_FDS + 1),
			 -EINVAL);
	assert_int_equal(vfake_recvmsg(rig.task, 99, NULL, 0, NULL, &room), -EBADF);
	mixed[1] = vfake_eventfd(rig.task);
	assert_int_equal(vfake_sendmsg(rig.task, mixed[1], "a", 1, NULL, 0), -ENOTSOCK);
	assert_int_equal(vfake_recvmsg(rig.task, mixed[1], NULL, 0, NULL, &room), -ENOTSOCK);
	assert_int_equal(vfake_accept(rig.task, mixed[1]), -ENOTSOCK);
	assert_int_equal(vfake_accept(rig.task, fds[0]), -EINVAL);
	assert_int_equal(vfake_accept(rig.task, 99), -EBADF);
	vfake_close(rig.task, mixed[1]);
	end(&rig, fds);
}

static void a_closed_end_is_seen(void **state)
{
	struct rig rig;
	int fds[2], more[2];
	char text[4];

	(void)state;
	begin(&rig, fds);
	assert_int_equal(vfake_socketpair(rig.task, more), 0);
	/* all read: the end of the stream, after what is left */
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "ab", 2, NULL, 0), 2);
	assert_int_equal(vfake_close(rig.task, fds[0]), 0);
	assert_int_equal(vfake_poll(rig.task, fds[1], 0), 1);
	assert_int_equal(recv_plain(&rig, fds[1], text, 4), 2);
	assert_int_equal(vfake_poll(rig.task, fds[1], 0), 1);
	assert_int_equal(recv_plain(&rig, fds[1], text, 4), 0);
	assert_int_equal(vfake_sendmsg(rig.task, fds[1], "a", 1, NULL, 0), -EPIPE);
	/* something unread: that is told once */
	assert_int_equal(vfake_sendmsg(rig.task, more[0], "ab", 2, NULL, 0), 2);
	assert_int_equal(vfake_close(rig.task, more[1]), 0);
	assert_int_equal(recv_plain(&rig, more[0], text, 4), -ECONNRESET);
	assert_int_equal(recv_plain(&rig, more[0], text, 4), 0);
	vfake_close(rig.task, more[0]);
	end(&rig, fds);
}

/* ---- connections ---- */

static void connections_wait_to_be_let_in(void **state)
{
	struct rig rig;
	int fds[2], a, b, listener;
	char text[4], longest[VFAKE_SOCKET_PATH + 1];
	uint32_t room = 0;

	(void)state;
	begin(&rig, fds);
	memset(longest, 'x', sizeof(longest));
	longest[VFAKE_SOCKET_PATH] = 0;
	assert_int_equal(vfake_connect(rig.task, "/run/s"), -ENOENT);
	assert_int_equal(vfake_listen(rig.task, "", 1), -EINVAL);
	assert_int_equal(vfake_listen(rig.task, "/run/s", 0), -EINVAL);
	assert_int_equal(vfake_listen(rig.task, longest, 1), -ENAMETOOLONG);
	listener = vfake_listen(rig.task, "/run/s", 1);
	assert_true(listener >= 0);
	assert_int_equal(vfake_listen(rig.task, "/run/s", 1), -EADDRINUSE);
	assert_int_equal(vfake_accept(rig.task, listener), -EAGAIN);
	assert_int_equal(vfake_poll(rig.task, listener, 5), 0);
	assert_int_equal(vfake_sendmsg(rig.task, listener, "a", 1, NULL, 0), -ENOTCONN);
	assert_int_equal(vfake_recvmsg(rig.task, listener, text, 1, NULL, &room), -EINVAL);
	a = vfake_connect(rig.task, "/run/s");
	assert_true(a >= 0);
	assert_int_equal(vfake_connect(rig.task, "/run/s"), -EAGAIN);
	assert_int_equal(vfake_poll(rig.task, listener, 0), 1);
	assert_int_equal(vfake_sendmsg(rig.task, a, "hi", 2, NULL, 0), 2);
	b = vfake_accept(rig.task, listener);
	assert_true(b >= 0);
	assert_int_equal(recv_plain(&rig, b, text, 4), 2);
	vfake_close(rig.task, a);
	vfake_close(rig.task, b);
	/* one that is never let in hears so, and the path is free again */
	a = vfake_connect(rig.task, "/run/s");
	vfake_close(rig.task, listener);
	assert_int_equal(recv_plain(&rig, a, text, 4), -ECONNRESET);
	assert_int_equal(recv_plain(&rig, a, text, 4), 0);
	assert_int_equal(vfake_connect(rig.task, "/run/s"), -ENOENT);
	vfake_close(rig.task, a);
	/* one that leaves before */
	listener = vfake_listen(rig.task, "/run/s", 1);
	vfake_close(rig.task, vfake_connect(rig.task, "/run/s"));
	vfake_close(rig.task, listener);
	end(&rig, fds);
}

/* ---- turns ---- */

struct counter {
	struct rig *rig;
	int turns;
	int stop_at;  /* then it says that it has nothing left to do */
	int write_at; /* then it writes a byte */
	int fd;
};

static bool count_turn(void *ctx)
{
	struct counter *counter = ctx;

	/* a program that waits gets no second turn meanwhile */
	assert_int_equal(vfake_poll(counter->rig->task, counter->fd, 3), 0);
	counter->turns++;
	if (counter->turns == counter->write_at)
		assert_int_equal(vfake_sendmsg(counter->rig->task, counter->fd, "x", 1, NULL, 0),
				 1);
	return counter->turns < counter->stop_at;
}

static void who_waits_gives_turns(void **state)
{
	struct counter counter = { .stop_at = 100, .write_at = 7 };
	struct vfake_task *other;
	struct rig rig;
	char text[4];
	int fds[2];

	(void)state;
	begin(&rig, fds);
	other = vfake_task_new(rig.kernel, &root_here);
	counter.rig = &rig;
	counter.fd = fds[1];
	vfake_set_program(other, count_turn, &counter);
	assert_int_equal(vfake_poll(rig.task, fds[0], 0), 0);
	assert_int_equal(counter.turns, 0);
	assert_int_equal(vfake_poll(rig.task, fds[0], 3), 0);
	assert_int_equal(counter.turns, 3);
	assert_int_equal(vfake_poll(rig.task, fds[0], UINT64_MAX), 1);
	assert_int_equal(counter.turns, 7);
	assert_int_equal(recv_plain(&rig, fds[0], text, 4), 1);
	/* when nobody has anything left to do, no time is left either */
	assert_int_equal(vfake_poll(rig.task, fds[0], UINT64_MAX), 0);
	assert_int_equal(counter.turns, 100);
	/* a program gets no turn from its own task */
	assert_int_equal(vfake_poll(other, 99, 3), -EBADF);
	vfake_set_program(other, NULL, NULL);
	assert_int_equal(vfake_poll(rig.task, fds[0], 5), 0);
	assert_int_equal(counter.turns, 100);
	vfake_task_exit(other);
	end(&rig, fds);
}

static void eventfds_can_be_waited_for(void **state)
{
	struct rig rig;
	uint64_t one = 1;
	int fds[2], event, file;

	(void)state;
	begin(&rig, fds);
	event = vfake_eventfd(rig.task);
	file = vfake_memfd(rig.task, PAGE);
	assert_int_equal(vfake_poll(rig.task, event, 0), 0);
	assert_int_equal(vfake_write(rig.task, event, (uint64_t)(uintptr_t)&one, 8), 8);
	assert_int_equal(vfake_poll(rig.task, event, 0), 1);
	assert_int_equal(vfake_poll(rig.task, file, 0), 1);
	vfake_close(rig.task, event);
	vfake_close(rig.task, file);
	end(&rig, fds);
}

static void the_binding_is_these_calls(void **state)
{
	struct vfio_sys sys;
	struct rig rig;
	uint32_t room = 0;
	int fds[2], listener, a;
	char text[4];

	(void)state;
	begin(&rig, fds);
	vfake_sys(&sys, rig.task);
	listener = vfake_listen(rig.task, "/run/s", 1);
	a = sys.connect(sys.ctx, "/run/s");
	assert_true(a >= 0);
	assert_int_equal(sys.sendmsg(sys.ctx, fds[0], "abc", 3, NULL, 0), 3);
	assert_int_equal(sys.poll(sys.ctx, fds[1], 1), 1);
	assert_int_equal(sys.recvmsg(sys.ctx, fds[1], text, 4, NULL, &room), 3);
	assert_memory_equal(text, "abc", 3);
	vfake_close(rig.task, a);
	vfake_close(rig.task, listener);
	end(&rig, fds);
}

/* ---- when there is no room ---- */

struct fault {
	const char *point;
	int skip; /* that many passes go by */
};

static int strike(void *ctx, const struct vfake_fault_point *point)
{
	struct fault *fault = ctx;

	return strcmp(point->name, fault->point) || fault->skip-- ? 0 : -ENOMEM;
}

static int call_that_allocates(struct rig *rig, int which, const int *fds, int listener)
{
	int some[2];

	switch (which) {
	case 0:
		return vfake_socketpair(rig->task, some);
	case 1:
		return vfake_listen(rig->task, "/run/t", 1);
	case 2:
		return vfake_connect(rig->task, "/run/s");
	case 3:
		return vfake_accept(rig->task, listener);
	default:
		return (int)vfake_sendmsg(rig->task, fds[0], "a", 1, fds, 2);
	}
}

static void allocations_that_fail_leave_nothing(void **state)
{
	static const struct {
		const char *point;
		int count;
	} calls[] = {
		{ "file/socketpair/alloc", 4 }, { "file/listen/alloc", 2 },
		{ "file/connect/alloc", 3 },	{ "file/accept/alloc", 1 },
		{ "file/sendmsg/alloc", 2 },
	};
	struct vfake_ledger before;
	struct rig rig;
	int fds[2], listener, waits;

	(void)state;
	begin(&rig, fds);
	listener = vfake_listen(rig.task, "/run/s", 4);
	waits = vfake_connect(rig.task, "/run/s");
	before = vfake_ledger(rig.kernel);
	for (int i = 0; i < 5; i++) {
		for (int skip = 0; skip < calls[i].count; skip++) {
			struct fault fault = { .point = calls[i].point, .skip = skip };

			vfake_set_fault_hook(rig.kernel, strike, &fault);
			assert_int_equal(call_that_allocates(&rig, i, fds, listener), -ENOMEM);
			vfake_set_fault_hook(rig.kernel, NULL, NULL);
			assert_same_ledger(vfake_ledger(rig.kernel), before);
		}
	}
	vfake_close(rig.task, waits);
	vfake_close(rig.task, listener);
	end(&rig, fds);
}

static void released(void *ctx)
{
	++*(int *)ctx;
}

static void without_descriptors_nothing_is_left(void **state)
{
	static uint8_t bytes[4096] __attribute__((aligned(4096)));
	struct vfake_memory memory = { .size_bytes = sizeof(bytes), .bytes = bytes };
	int fds[2], some[2], listener, waits, taken = 0, last = -1;
	struct vfake_ledger before;
	uint32_t room = 1;
	struct rig rig;
	vfake_addr at;

	(void)state;
	begin(&rig, fds);
	assert_int_equal(vfake_mmap(rig.task, 4096, 3, -1, 0, &at), 0);
	listener = vfake_listen(rig.task, "/run/s", 4);
	waits = vfake_connect(rig.task, "/run/s");
	assert_int_equal(vfake_sendmsg(rig.task, fds[0], "a", 1, fds, 1), 1);
	while ((taken = vfake_dup(rig.task, fds[0])) >= 0)
		last = taken;
	assert_int_equal(taken, -EMFILE);
	before = vfake_ledger(rig.kernel);
	assert_int_equal(vfake_socketpair(rig.task, some), -EMFILE);
	assert_int_equal(vfake_listen(rig.task, "/run/t", 1), -EMFILE);
	assert_int_equal(vfake_connect(rig.task, "/run/s"), -EMFILE);
	assert_int_equal(vfake_accept(rig.task, listener), -EMFILE);
	assert_int_equal(vfake_memory_fd(rig.task, &memory), -EMFILE);
	assert_int_equal(vfake_share_fd(rig.task, at, 4096), -EMFILE);
	assert_int_equal(vfake_bridge_eventfd(rig.task, released, NULL, &taken), -EMFILE);
	assert_same_ledger(vfake_ledger(rig.kernel), before);
	/* one place is enough for one end only */
	vfake_close(rig.task, last--);
	assert_int_equal(vfake_socketpair(rig.task, some), -EMFILE);
	assert_true(vfake_dup(rig.task, fds[0]) == last + 1);
	last++;
	/* what finds no place is closed */
	assert_int_equal(vfake_recvmsg(rig.task, fds[1], bytes, 1, &taken, &room), 1);
	assert_int_equal(room, 0);
	while (last > waits)
		vfake_close(rig.task, last--);
	vfake_close(rig.task, waits);
	vfake_close(rig.task, listener);
	vfake_munmap(rig.task, at, 4096);
	end(&rig, fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_counted),
		cmocka_unit_test(bytes_keep_their_order_and_lose_their_bounds),
		cmocka_unit_test(a_stream_holds_so_much),
		cmocka_unit_test(files_come_with_their_bytes),
		cmocka_unit_test(files_without_room_are_closed),
		cmocka_unit_test(bad_sends_leave_nothing),
		cmocka_unit_test(a_closed_end_is_seen),
		cmocka_unit_test(connections_wait_to_be_let_in),
		cmocka_unit_test(who_waits_gives_turns),
		cmocka_unit_test(eventfds_can_be_waited_for),
		cmocka_unit_test(the_binding_is_these_calls),
		cmocka_unit_test(allocations_that_fail_leave_nothing),
		cmocka_unit_test(without_descriptors_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
