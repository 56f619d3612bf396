/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `vfake peer`: serves a device of a fake kernel on a UNIX socket, by the vfio-user protocol.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <uapi/table.h>
#include <vfake/peer.h>

#include "cli.h"
#include "fault.h"
#include "peer_serve.h"

enum {
	KEY_WORLD = 256,
	KEY_ONCE,
	KEY_MAX_DATA,
	KEY_MAX_FDS,
	KEY_MAX_MAPS,
	KEY_DELAY,
	KEY_BELOW,
	KEY_LIKE,
	KEY_IO_EVENT,
};
enum { TICKS_PER_TURN = 64 };

struct options {
	const char *path;
	const char *device;
	const char *world;
	bool once;
	struct vfake_peer_attr attr;
};

static const struct argp_option option_list[] = {
	{ "listen", 'l', "SOCKET", 0, "Serve on the UNIX socket SOCKET, which is made and removed",
	  0 },
	{ "socket-path", 0, "SOCKET", OPTION_ALIAS, NULL, 0 },
	{ "device", 'd', "MODEL", 0,
	  "Serve a device of this model: edu, e1000e, plain, copy (the default), migrate, "
	  "migrate-p2p, migrate-pre-copy, migrate-stop, alarm; with --world the device of that "
	  "name",
	  0 },
	{ "world", KEY_WORLD, "FILE", 0, "The machine that the device is in", 0 },
	{ "once", KEY_ONCE, NULL, 0, "End when the first client has gone", 0 },
	{ "max-data-xfer", KEY_MAX_DATA, "BYTES", 0, "What VERSION says; 1048576 at most", 1 },
	{ "max-msg-fds", KEY_MAX_FDS, "N", 0, "Likewise; 32 at most", 1 },
	{ "max-dma-maps", KEY_MAX_MAPS, "N", 0, "Likewise", 1 },
	{ "messages-below", KEY_BELOW, "IOVA", 0,
	  "Reach maps that begin below IOVA by messages, though they came with a descriptor", 1 },
	{ "like-libvfio-user", KEY_LIKE, NULL, 0,
	  "Do what clients of libvfio-user rely on: a SPARSE_MMAP capability with each region that "
	  "can be mapped, and MIG_DATA_READ's reply as long as was asked for",
	  1 },
	{ "io-event", KEY_IO_EVENT, "REGION:OFFSET:BYTES:VALUE", 0,
	  "Give the client an eventfd for a write of VALUE there (GET_REGION_IO_FDS); again for "
	  "more",
	  1 },
	{ "hostile", 'H', "KIND[:COMMAND[:SKIP]]", 0,
	  "Spoil replies, of all commands but VERSION or of the one with that number, "
	  "from the one after SKIP on; `--hostile help' lists the kinds",
	  2 },
	{ "delay", KEY_DELAY, "TURNS", 0, "Answer so many turns later", 2 },
	{ 0 },
};

/* ---- options ---- */

static void list_hostile(void)
{
	for (int kind = VFAKE_HOSTILE_NONE; kind < VFAKE_HOSTILE_KINDS; kind++)
		puts(vfake_hostile_name((enum vfake_hostile_kind)kind));
	exit(cli_end_output("vfake peer", NULL, stdout, CLI_PASS));
}

static uint32_t number(struct argp_state *state, const char *what, const char *text, uint32_t min,
		       uint32_t max)
{
	return (uint32_t)cli_number(state, what, text, min, max);
}

static void parse_io_event(struct argp_state *state, const char *arg, struct vfake_peer_attr *attr)
{
	struct vfake_peer_io io = { 0 };
	char extra;

	if (attr->io_count == VFAKE_PEER_IO_MAX)
		argp_error(state, "--io-event is for %d writes at most", VFAKE_PEER_IO_MAX);
	if (strchr(arg, '-') ||
	    sscanf(arg, "%" SCNu32 ":%" SCNi64 ":%" SCNu32 ":%" SCNi64 "%c", &io.region,
		   (int64_t *)&io.offset, &io.size_bytes, (int64_t *)&io.value, &extra) != 4)
		argp_error(state, "--io-event takes REGION:OFFSET:BYTES:VALUE, not `%s'", arg);
	attr->io[attr->io_count++] = io;
}

static void parse_hostile(struct argp_state *state, char *arg, struct vfake_hostile *hostile)
{
	char *command = strchr(arg, ':');
	char *skip = command ? strchr(command + 1, ':') : NULL;

	if (!strcmp(arg, "help"))
		list_hostile();
	if (skip)
		*skip++ = 0;
	if (command)
		*command++ = 0;
	hostile->kind = VFAKE_HOSTILE_KINDS;
	for (int kind = VFAKE_HOSTILE_NONE; kind < VFAKE_HOSTILE_KINDS; kind++) {
		if (!strcmp(arg, vfake_hostile_name((enum vfake_hostile_kind)kind)))
			hostile->kind = (enum vfake_hostile_kind)kind;
	}
	if (hostile->kind == VFAKE_HOSTILE_KINDS)
		argp_error(state, "--hostile has no kind `%s'", arg);
	if (command)
		hostile->command = (uint16_t)number(state, "--hostile's COMMAND", command, 0, 18);
	if (skip)
		hostile->skip = number(state, "--hostile's SKIP", skip, 0, UINT32_MAX - 1);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'l':
		options->path = arg;
		return 0;
	case 'd':
		options->device = arg;
		return 0;
	case 'H':
		parse_hostile(state, arg, &options->attr.hostile);
		return 0;
	case KEY_WORLD:
		options->world = arg;
		return 0;
	case KEY_ONCE:
		options->once = true;
		return 0;
	case KEY_MAX_DATA:
		options->attr.max_data_xfer_bytes =
			number(state, "--max-data-xfer", arg, 1, 1 << 20);
		return 0;
	case KEY_MAX_FDS:
		options->attr.max_msg_fds = number(state, "--max-msg-fds", arg, 1, 32);
		return 0;
	case KEY_MAX_MAPS:
		options->attr.max_dma_maps = number(state, "--max-dma-maps", arg, 1, UINT32_MAX);
		return 0;
	case KEY_LIKE:
		options->attr.sparse_mmap = true;
		options->attr.padded_mig_data = true;
		return 0;
	case KEY_BELOW:
		options->attr.far_below = number(state, "--messages-below", arg, 0, UINT32_MAX);
		return 0;
	case KEY_IO_EVENT:
		parse_io_event(state, arg, &options->attr);
		return 0;
	case KEY_DELAY:
		options->attr.delay_turns = number(state, "--delay", arg, 0, 1000000);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is `%s'? The socket goes with --listen", arg);
		return 0;
	case ARGP_KEY_END:
		if (!options->path)
			argp_error(state, "no socket given: --listen SOCKET");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_list,
	.parser = parse_option,
	.doc = "Serves a device of a fake kernel to vfio-user clients, one at a time.\v"
	       "A client's memory is mapped where it passes a descriptor, else it is read and "
	       "written by messages. When a client goes, its maps and interrupts go; the device "
	       "keeps its state for the next one. SIGINT and SIGTERM end the server.\n\n"
	       "Exit status: 0 ended, 1 the socket or the device cannot be had, 2 wrong use, 125 "
	       "vfake itself broke.",
};

/* ---- the socket ---- */

/* Whether it is a socket that nobody listens at any more. */
static bool is_left_over(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat stat;
	bool dead;

	if (fd < 0)
		return false;
	dead = !lstat(addr->sun_path, &stat) && S_ISSOCK(stat.st_mode) &&
	       connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) && errno == ECONNREFUSED;
	close(fd);
	return dead;
}

/* A socket that listens at @path; one that nobody listens at any more is replaced. -1 after a
 * message. */
static int open_socket(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret, error;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		fprintf(stderr, "vfake peer: %s: a socket's path has at most %zu bytes\n", path,
			sizeof(addr.sun_path) - 1);
		close(fd);
		return -1;
	}
	strcpy(addr.sun_path, path);
	ret = bind(fd, (const struct sockaddr *)&addr, sizeof(addr));
	error = errno;
	if (ret && error == EADDRINUSE && is_left_over(&addr) && !unlink(path)) {
		ret = bind(fd, (const struct sockaddr *)&addr, sizeof(addr));
		error = errno;
	}
	if (!ret && !listen(fd, 4))
		return fd;
	fprintf(stderr, "vfake peer: %s: %s\n", path, strerror(error));
	close(fd);
	return -1;
}

/* ---- the world ---- */

/* The one of --world, or one with nothing in it but the device. The caller frees it in any case. */
static int make_world(const struct options *options, struct vfake_world **made)
{
	struct vfake_world *world;

	if (options->world)
		return cli_read_world("vfake peer", options->world, made);
	world = *made = malloc(sizeof(*world));
	if (!world) {
		fprintf(stderr, "vfake peer: out of memory\n");
		return CLI_BROKEN;
	}
	vfake_world_x86(world);
	/* Nothing is between a vfio-user device and the client's addresses. */
	world->reserved_count = 0;
	world->aperture.last = UINT64_MAX;
	world->ram_bytes = (uint64_t)1 << 46;
	if (!vfake_world_add_device(world, options->device, options->device))
		return CLI_PASS;
	fprintf(stderr, "vfake peer: there is no device model `%s'\n", options->device);
	return CLI_USAGE;
}

/* ---- serving ---- */

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
	(void)number;
	stopped = 1;
}

/* Signals come in ppoll() only. */
static void catch_signals(sigset_t *outside)
{
	struct sigaction action = { .sa_handler = on_stop };
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, outside);
	sigdelset(outside, SIGINT);
	sigdelset(outside, SIGTERM);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	peer_links_survive_truncation();
}

static void say_counts(const struct vfake_peer_counts *counts)
{
	size_t count;
	const struct uapi_ioctl *rows = uapi_rows(&count);

	printf("vfake peer: %llu clients, %llu commands, %llu refused, %llu hang-ups\n",
	       (unsigned long long)counts->clients, (unsigned long long)counts->commands,
	       (unsigned long long)counts->errors, (unsigned long long)counts->hang_ups);
	for (size_t i = 0; i < count; i++) {
		if (rows[i].where == UAPI_ON_USER && counts->by_command[rows[i].number])
			printf("%8llu %s\n", (unsigned long long)counts->by_command[rows[i].number],
			       rows[i].name);
	}
}

static int run(const struct options *options, const struct vfake_world *world)
{
	struct peer_server server = { .once = options->once, .stopped = &stopped };
	struct vfake_peer_counts counts;
	struct vfake_kernel *kernel;
	struct vfake_peer *peer;
	struct fault *fault;
	const char *error;
	int fd;

	kernel = vfake_kernel_new(world, &error);
	peer = kernel ? vfake_peer_new(kernel, &options->attr, &error) : NULL;
	if (!peer) {
		fprintf(stderr, "vfake peer: %s: %s\n", options->device, error);
		vfake_kernel_free(kernel);
		return CLI_FAIL;
	}
	fd = open_socket(options->path);
	fault = fault_of_fiu_run();
	fault_bind(fault, kernel);
	if (fd >= 0) {
		catch_signals(&server.mask);
		printf("vfake peer: %s on %s\n", options->device, options->path);
		fflush(stdout);
		peer_server_init(&server, kernel, peer, fd);
		peer_serve(&server);
		unlink(options->path);
		close(fd);
	}
	counts = vfake_peer_counts(peer);
	vfake_peer_free(peer);
	vfake_kernel_free(kernel);
	fault_free(fault);
	if (fd >= 0)
		say_counts(&counts);
	return fd < 0 ? CLI_FAIL : CLI_PASS;
}

int cli_peer(int argc, char **argv)
{
	struct options options = { .device = "copy", .attr.ticks_per_turn = TICKS_PER_TURN };
	char name[] = "vfake peer";
	struct vfake_world *world = NULL;
	int ret;

	argv[0] = name;
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	ret = make_world(&options, &world);
	if (!ret) {
		options.attr.device = options.device;
		ret = cli_end_output("vfake peer", NULL, stdout, run(&options, world));
	}
	free(world);
	return ret;
}
