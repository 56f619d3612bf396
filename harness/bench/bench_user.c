/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Round trips of vfio-user: the stack reads a register that a peer serves, over a socketpair. In
 * one process the stack and the peer take turns on one core, and CPU time counts; in two, each has
 * its own process on a core of its own, and the clock on the wall does.
 *
 * Beside it, where libvfio-user was built (bench_user_other.c), its server does the same work for
 * the same client, on the same two cores, a slice of one after a slice of the other.
 */
#include <sched.h>
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
#include "bench_user_other.h"
#include "peer_serve.h"

enum { BYTES = 4, SLICES = 20 };

/* A peer, and a client that connects to it. */
struct pair {
	struct vfake_kernel *kernel;
	struct vfake_peer *peer;
	struct peer_server server;
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
	const char *error = NULL;
	int fds[2];

	vfake_world_x86(world);
	bench_require(!vfake_world_add_device(world, "d0", "copy"), "a device");
	pair->kernel = vfake_kernel_new(world, &error);
	free(world);
	bench_require(pair->kernel, "a kernel");
	pair->peer = vfake_peer_new(pair->kernel, &attr, &error);
	bench_require(pair->peer, "a peer");
	bench_require(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "a socketpair");
	peer_server_init(&pair->server, pair->kernel, pair->peer, -1);
	bench_require(!peer_server_attach(&pair->server, fds[1]), "a client for the peer");
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
	static const volatile sig_atomic_t never;

	pair->server.once = true;
	pair->server.stopped = &never;
	sigprocmask(SIG_BLOCK, NULL, &pair->server.mask);
	peer_serve(&pair->server);
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

	peer_links_retry(&pair->server.links);
	while (vfake_peer_turn(pair->peer))
		continue;
	return pair->linux_sys.poll(NULL, fd, ticks);
}

/* The stack with a device that somebody serves. */
struct client {
	struct vfio *vfio;
	struct vfio_memory *memory;
	struct vfio_device *device;
};

static void read_often(struct client *client, unsigned int reads)
{
	struct vfio_error error = { 0 };
	uint8_t bytes[BYTES];

	for (unsigned int i = 0; i < reads; i++)
		bench_require(vfio_device_read(client->device, VFIO_PCI_CONFIG_REGION_INDEX, 0,
					       bytes, BYTES, &error),
			      error.message);
}

static void open_client(struct client *client, struct vfio_sys *sys, const char *path)
{
	struct vfio_device_options options = { .name = "d0",
					       .backend = VFIO_BACKEND_USER,
					       .socket = path };
	struct vfio_error error = { 0 };

	client->vfio = vfio_new(sys, NULL);
	client->memory = vfio_memory_new(NULL);
	bench_require(client->vfio && client->memory, "make a stack");
	client->device = vfio_device_attach(client->vfio, client->memory, &options, &error);
	bench_require(client->device, error.message);
	read_often(client, 1); /* the first one asks for the region, too */
}

static void close_client(struct client *client)
{
	vfio_free(client->vfio);
	vfio_memory_free(client->memory);
}

static double measure(struct client *client, unsigned int reads, clockid_t clock)
{
	double begin = seconds(clock);

	read_often(client, reads);
	return seconds(clock) - begin;
}

/* ---- in one process ---- */

static double in_one_process(unsigned int reads)
{
	struct pair pair;
	struct client client;
	struct vfio_sys sys;
	double took;

	start(&pair);
	sys = pair.linux_sys;
	sys.ctx = &pair;
	sys.connect = give_client;
	sys.poll = turn_and_poll;
	open_client(&client, &sys, "pair");
	took = measure(&client, reads, CLOCK_PROCESS_CPUTIME_ID);
	close_client(&client);
	stop(&pair);
	return reads / took;
}

/* ---- across two ---- */

/* For this process and those that it starts: the @index-th processor that we may run on, modulo
 * their number. */
static void move_to_cpu(const cpu_set_t *all, int index)
{
	size_t cpu = 0;
	cpu_set_t one;

	for (index %= CPU_COUNT(all); index || !CPU_ISSET(cpu, all); cpu++)
		index -= CPU_ISSET(cpu, all) != 0;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	bench_require(!sched_setaffinity(0, sizeof(one), &one), "choose a processor");
}

static pid_t serve_elsewhere(struct pair *pair)
{
	pid_t pid;

	start(pair);
	fflush(stdout);
	pid = fork();
	bench_require(pid >= 0, "start a process");
	if (!pid) {
		close(pair->client);
		serve(pair);
		_exit(0);
	}
	close(pair->server.links.fds[0]);
	pair->server.links.fds[0] = -1;
	return pid;
}

/* Reads per second of each client, in turns. */
static void take_turns(struct client *clients[2], unsigned int reads, double *rates[2])
{
	double took[2] = { 0 };

	for (int slice = 0; slice < SLICES; slice++) {
		for (int i = 0; i < 2 && clients[i]; i++)
			took[i] += measure(clients[i], reads / SLICES, CLOCK_MONOTONIC);
	}
	for (int i = 0; i < 2 && clients[i]; i++)
		*rates[i] = reads / took[i];
}

static void across_two(unsigned int rounds, unsigned int reads, const cpu_set_t *cpus,
		       const char *other, double *own, double *others)
{
	struct client client, stranger;
	struct client *clients[2] = { &client, other ? &stranger : NULL };
	struct pair pair;
	struct vfio_sys sys, linux_sys;
	int status;
	pid_t pid = serve_elsewhere(&pair);

	move_to_cpu(cpus, 0);
	vfio_sys_linux(&linux_sys);
	sys = pair.linux_sys;
	sys.ctx = &pair;
	sys.connect = give_client;
	open_client(&client, &sys, "pair");
	if (other)
		open_client(&stranger, &linux_sys, other);
	for (unsigned int i = 0; i < rounds; i++)
		take_turns(clients, reads, (double *[]){ &own[i], &others[i] });
	close_client(&client);
	if (other)
		close_client(&stranger);
	bench_require(waitpid(pid, &status, 0) == pid && !status, "end the peer's process");
	stop(&pair);
}

/* ---- the section ---- */

static void run(struct bench *bench)
{
	const char *table = "vfio-user, reads of 4 bytes per second";
	unsigned int reads = bench->quick ? 500 : 20000;
	double one[BENCH_ROUNDS_MAX], two[BENCH_ROUNDS_MAX], others[BENCH_ROUNDS_MAX];
	double ratios[BENCH_ROUNDS_MAX];
	struct bench_other other;
	cpu_set_t cpus;

	for (unsigned int i = 0; i < bench->rounds; i++)
		one[i] = in_one_process(reads);
	bench_require(!sched_getaffinity(0, sizeof(cpus), &cpus), "ask for the processors");
	move_to_cpu(&cpus, 1); /* what is started now stays there */
	bench_other_start(bench, &other);
	across_two(bench->rounds, reads, &cpus, other.path, two, others);
	bench_other_stop(&other);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	/* What else the machine does changes from round to round more than within one. */
	for (unsigned int i = 0; i < bench->rounds && other.path; i++)
		ratios[i] = two[i] / others[i];
	bench_value(bench, table, "in one process", "number", bench_median(one, bench->rounds));
	bench_value(bench, table, "across two", "number", bench_median(two, bench->rounds));
	bench_goal_at_least(bench, "round trips per second in one process", 50,
			    bench_median(one, bench->rounds) / 1000, " k/s");
	if (!other.path)
		return;
	bench_value(bench, table, "libvfio-user's server", "number",
		    bench_median(others, bench->rounds));
	bench_goal_at_least(bench, "across two processes, beside libvfio-user", 1,
			    bench_median(ratios, bench->rounds), "x");
}

const struct bench_section bench_user = {
	.name = "user",
	.about = "round trips of vfio-user, by the stack and the peer",
	.clock = "CPU time in one process, the clock on the wall across two",
	.run = run,
};
