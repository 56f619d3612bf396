/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server of libvfio-user that the peer is compared with: gpio-pci-idio-16, the one of its
 * samples whose device has a configuration space and that serves one client after the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench_user_other.h"

enum { PATIENCE_MS = 5000 };

static const char sample[] = "samples/gpio-pci-idio-16";

/* Where the program is, or should be. False: it is not there. */
static bool find(char *program, size_t size)
{
	const char *checkout = getenv("BENCH_LIBVFIO_USER");

	if (checkout)
		snprintf(program, size, "%s/build/%s", checkout, sample);
	else
		snprintf(program, size, "%s/libvfio-user-build/%s", BENCH_INTEROP_DIR, sample);
	return !access(program, X_OK);
}

static void make_names(struct bench_other *other)
{
	const char *tmp = getenv("TMPDIR");

	if (!tmp || strlen(tmp) > 32)
		tmp = "/tmp";
	snprintf(other->directory, sizeof(other->directory), "%s/vfake-bench-XXXXXX", tmp);
	bench_require(mkdtemp(other->directory), "make a directory for a socket");
	snprintf(other->socket, sizeof(other->socket), "%s/socket", other->directory);
}

/* What becomes the server; it writes nothing to where the report goes. */
static void become(const char *program, const char *socket, int input)
{
	int nothing = open("/dev/null", O_WRONLY);

	if (nothing >= 0 && dup2(input, 0) == 0 && dup2(nothing, 1) == 1 && dup2(nothing, 2) == 2)
		execl(program, program, socket, (char *)NULL);
	_exit(127);
}

/* Whether its socket came before its end, and in time. */
static bool await(const struct bench_other *other)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	for (int i = 0; i < PATIENCE_MS; i++) {
		siginfo_t info = { 0 };

		if (!access(other->socket, F_OK))
			return true;
		if (waitid(P_PID, (id_t)other->pid, &info, WEXITED | WNOHANG | WNOWAIT) ||
		    info.si_pid)
			return false;
		nanosleep(&ms, NULL);
	}
	return false;
}

void bench_other_start(struct bench *bench, struct bench_other *other)
{
	char program[4096];
	int ends[2];

	other->path = NULL;
	if (!find(program, sizeof(program))) {
		if (getenv("BENCH_LIBVFIO_USER"))
			bench_note(bench, "No comparison with libvfio-user: there is no %s",
				   program);
		else
			bench_note(bench,
				   "No comparison with libvfio-user: `make interop' builds it "
				   "(or set BENCH_LIBVFIO_USER=CHECKOUT)");
		return;
	}
	make_names(other);
	bench_require(!pipe2(ends, O_CLOEXEC), "make a pipe");
	other->input = ends[1];
	fflush(stdout);
	other->pid = fork();
	bench_require(other->pid >= 0, "start a process");
	if (!other->pid)
		become(program, other->socket, ends[0]);
	close(ends[0]);
	other->path = other->socket;
	if (await(other))
		return;
	bench_note(bench, "No comparison with libvfio-user: %s does not make its socket", program);
	bench_other_stop(other);
	other->path = NULL;
}

void bench_other_stop(struct bench_other *other)
{
	if (!other->path)
		return;
	kill(other->pid, SIGKILL);
	waitpid(other->pid, NULL, 0);
	close(other->input);
	unlink(other->socket);
	rmdir(other->directory);
}
