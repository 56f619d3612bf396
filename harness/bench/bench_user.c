/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Round trips of vfio-user: the stack reads a register that a peer serves, over a socketpair. In
 * one process the stack and the peer take turns on one core, and CPU time counts; in two, each has
 * its own process, and the clock on the wall does.
 *
 * BENCH_USER_SOCKET in the environment names the socket of somebody else's server, whose
 * configuration space is then read beside, in the same rounds: a server of libvfio-user, say.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <uapi/vfio.h>
#include <vfake/kernel.h>
#include <vfake/peer.h>
#include <vfake/world.h>
#include <vfio/device.h>
#include <vfio/vfio.h>

#include "bench.h"
#include "peer_link.h"

enum { BYTES = 4 };

/* A peer, and a client that connects to it. */
struct pair {
	struct vfake_kernel *kernel;
	struct vfake_peer *peer;
	struct peer_links links;
	struct vfio_sys linux_sys;
	int client; /* what connect() gives */
};

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- the peer ---- */

static void start(struct pair *pair)
{
	struct vfake_world *world = bench_alloc(1, sizeof(*world));
	struct vfake_peer_attr attr = { .device = "d0" };
	struct vfake_peer_link link;
	const char *error = NULL;
	int fds[2];

	vfake_world_x86(world);
	bench_require(!vfake_world_add_device(world, "d0", "copy"), "a device");
	pair->kernel = vfake_kernel_new(world, &error);
	free(world);
	bench_require(pair->kernel, "a kernel");
	pair->peer = vfake_peer_new(pair->kernel, &attr, &error);
	bench_require(pair->peer, "a peer");
	bench_require(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
		      "a socketpair");
	peer_links_init(&pair->links);
	pair->links.task = vfake_peer_task(pair->peer);
	bench_require(!peer_link_open(&pair->links, fds[1], &link), "a link");
	bench_require(!vfake_peer_attach(pair->peer, &link), "a client for the peer");
	pair->client = fds[0];
	vfio_sys_linux(&pair->linux_sys);
}

static void stop(struct pair *pair)
{
	vfake_peer_free(pair->peer);
	vfake_kernel_free(pair->kernel);
}

/* Until the client goes. */
static void serve(struct pair *pair)
{
	while (vfake_peer_attached(pair->peer)) {
		struct pollfd wait[8];
		nfds_t count = peer_links_watch(&pair->links, wait, 8);

		poll(wait, count, -1);
		while (vfake_peer_turn(pair->peer))
			continue;
	}
}

/* ---- the client ---- */

static int give_client(void *ctx, const char *path)
{
	struct pair *pair = ctx;

	(void)path;
	return pair->client;
}

static int turn_and_poll(void *ctx, int fd, uint64_t ticks)
{
	struct pair *pair = ctx;

	while (vfake_peer_turn(pair->peer))
		continue;
	return pair->linux_sys.poll(NULL, fd, ticks);
}

/* Reads a register so often; reads per second. */
static double read_often(struct vfio_sys *sys, const char *path, unsigned int reads,
			 clockid_t clock)
{
	struct vfio_device_options options = { .name = "d0",
					       .backend = VFIO_BACKEND_USER,
					       .socket = path };
	struct vfio *vfio = vfio_new(sys, NULL);
	struct vfio_memory *memory = vfio_memory_new(NULL);
	struct vfio_error error = { 0 };
	struct vfio_device *device;
	uint8_t bytes[BYTES];
	double begin, end;

	bench_require(vfio && memory, "a stack");
	device = vfio_device_attach(vfio, memory, &options, &error);
	bench_require(device, error.message);
	/* The first one asks for the region, too. */
	bench_require(
		vfio_device_read(device, VFIO_PCI_CONFIG_REGION_INDEX, 0, bytes, BYTES, &error),
		error.message);
	begin = seconds(clock);
	for (unsigned int i = 0; i < reads; i++)
		bench_require(vfio_device_read(device, VFIO_PCI_CONFIG_REGION_INDEX, 0, bytes,
					       BYTES, &error),
			      error.message);
	end = seconds(clock);
	vfio_free(vfio);
	vfio_memory_free(memory);
	return (double)reads / (end - begin);
}

static double in_one_process(unsigned int reads)
{
	struct pair pair;
	struct vfio_sys sys;
	double rate;

	start(&pair);
	sys = pair.linux_sys;
	sys.ctx = &pair;
	sys.connect = give_client;
	sys.poll = turn_and_poll;
	rate = read_often(&sys, "pair", reads, CLOCK_PROCESS_CPUTIME_ID);
	stop(&pair);
	return rate;
}

static double in_two_processes(unsigned int reads)
{
	struct pair pair;
	struct vfio_sys sys;
	double rate;
	int status;
	pid_t pid;

	start(&pair);
	fflush(stdout);
	pid = fork();
	bench_require(pid >= 0, "a process");
	if (!pid) {
		close(pair.client);
		serve(&pair);
		_exit(0);
	}
	close(pair.links.fds[0]);
	pair.links.fds[0] = -1;
	sys = pair.linux_sys;
	sys.ctx = &pair;
	sys.connect = give_client;
	rate = read_often(&sys, "pair", reads, CLOCK_MONOTONIC);
	bench_require(waitpid(pid, &status, 0) == pid && !status, "the peer's process");
	stop(&pair);
	return rate;
}

static void run(struct bench *bench)
{
	const char *other = getenv("BENCH_USER_SOCKET");
	unsigned int reads = bench->quick ? 500 : 50000;
	double one[BENCH_ROUNDS_MAX], two[BENCH_ROUNDS_MAX], others[BENCH_ROUNDS_MAX];
	struct vfio_sys linux_sys;

	vfio_sys_linux(&linux_sys);
	for (unsigned int i = 0; i < bench->rounds; i++) {
		one[i] = in_one_process(reads);
		two[i] = in_two_processes(reads);
		if (other)
			others[i] = read_often(&linux_sys, other, reads, CLOCK_MONOTONIC);
	}
	bench_value(bench, "vfio-user, reads of 4 bytes per second", "in one process", "number",
		    bench_median(one, bench->rounds));
	bench_value(bench, "vfio-user, reads of 4 bytes per second", "across two", "number",
		    bench_median(two, bench->rounds));
	bench_goal_at_least(bench, "round trips per second in one process", 50,
			    bench_median(one, bench->rounds) / 1000, " k/s");
	if (!other)
		return;
	bench_value(bench, "vfio-user, reads of 4 bytes per second", "the other server", "number",
		    bench_median(others, bench->rounds));
	bench_goal_at_least(bench, "across two processes, beside the other server", 1,
			    bench_median(two, bench->rounds) / bench_median(others, bench->rounds),
			    " times");
}

const struct bench_section bench_user = {
	.name = "user",
	.about = "round trips of vfio-user, by the stack and the peer",
	.run = run,
};
