/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One try: a trace or a story is played in a child process, and what came of it gets a name.
 *
 * The child has a process group of its own, so that a command and what it started end together when
 * its time is up. What it prints is of no use here and goes nowhere.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "player.h"
#include "replay.h"
#include "shrink.h"

enum {
	EXIT_PLAYED = 96, /* of the child: what it found is in the pipe */
	EXIT_NO_MEMORY = 97,
	EXIT_NOT_FOUND = 127,
	REPORT_MAX_BYTES = 1 << 20,
};

static int write_file(const char *path, const char *text, size_t size_bytes)
{
	FILE *file = fopen(path, "w");
	bool good;

	if (!file)
		return -errno;
	good = fwrite(text, 1, size_bytes, file) == size_bytes;
	return fclose(file) || !good ? -EIO : 0;
}

/* ---- the child ---- */

static void be_quiet(void)
{
	const struct rlimit no_core = { 0, 0 };
	int null = open("/dev/null", O_RDWR);

	setpgid(0, 0);
	setrlimit(RLIMIT_CORE, &no_core);
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
}

static int put_all(int fd, const char *bytes, size_t left)
{
	while (left) {
		ssize_t done = write(fd, bytes, left);

		if (done < 0)
			return -errno;
		bytes += done;
		left -= (size_t)done;
	}
	return 0;
}

__attribute__((noreturn)) static void play(const struct shrink_oracle *oracle, int pipe)
{
	struct player *player;
	struct replay_result result;

	if (oracle->flags)
		_exit(shrink_play(oracle, pipe) ? EXIT_NO_MEMORY : EXIT_PLAYED);
	player = malloc(sizeof(*player));
	if (!player || replay_file(oracle->path, oracle->world, player, &result))
		_exit(EXIT_NO_MEMORY);
	if (result.mismatches && result.text)
		put_all(pipe, result.text, strlen(result.text));
	_exit(EXIT_PLAYED);
}

/* `{}` in the command stands for the file; without it the file comes last. */
__attribute__((noreturn)) static void run_command(const struct shrink_oracle *oracle)
{
	const char *hole = strstr(oracle->command, "{}");
	size_t before = hole ? (size_t)(hole - oracle->command) : strlen(oracle->command);
	char *line = NULL;

	if (asprintf(&line, "%.*s%s'%s'%s", (int)before, oracle->command, hole ? "" : " ",
		     oracle->path, hole ? hole + 2 : "") < 0)
		_exit(EXIT_NO_MEMORY);
	execl("/bin/sh", "sh", "-c", line, (char *)NULL);
	_exit(EXIT_NOT_FOUND);
}

/* ---- the parent ---- */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads until the child closes the pipe by ending. False when its time is up. */
static bool listen_to(int fd, unsigned int timeout_s, char *report, size_t size_bytes)
{
	int64_t end = now_ms() + (int64_t)timeout_s * 1000;
	size_t used = 0;

	for (;;) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		int64_t left = end - now_ms();
		char rest[4096];
		ssize_t got;

		if (left <= 0 || poll(&poll_fd, 1, (int)left) == 0)
			return false;
		/* What does not fit is read all the same, so that the child can end. */
		if (used + 1 < size_bytes)
			got = read(fd, report + used, size_bytes - used - 1);
		else
			got = read(fd, rest, sizeof(rest));
		if (got == 0 || (got < 0 && errno != EINTR))
			break;
		if (got > 0 && used + 1 < size_bytes)
			used += (size_t)got;
	}
	report[used] = '\0';
	return true;
}

static void add_kind(struct shrink_verdict *verdict, const char *kind, uint32_t line)
{
	verdict->failures++;
	if (!verdict->first_line)
		verdict->first_line = line;
	for (uint32_t i = 0; i < verdict->kind_count; i++) {
		if (!strcmp(verdict->kinds[i], kind))
			return;
	}
	if (verdict->kind_count == SHRINK_KINDS_MAX)
		return;
	snprintf(verdict->kinds[verdict->kind_count++], SHRINK_KIND_BYTES, "%s", kind);
}

/*
 * Whether a number is a part of the kind. What an assertion of a story got and wanted is: another
 * value is another failure. Not so an address, and whatever a sweep has counted.
 */
static bool stays(const struct shrink_oracle *oracle, const char *number)
{
	return oracle->flags && !oracle->sweep &&
	       strtoull(number, NULL, 0) + UINT16_MAX <= (uint64_t)UINT32_MAX + UINT16_MAX;
}

/* A message without its place, with numbers as `#`. */
static void kind_of(const struct shrink_oracle *oracle, const char *message, size_t len, char *kind)
{
	size_t used = 0;
	bool word = false; /* the character before belongs to a word: digits in names stay */

	for (size_t i = 0; i < len && used + 1 < SHRINK_KIND_BYTES; i++) {
		char c = message[i];

		if (isdigit((unsigned char)c) && !word && !stays(oracle, message + i)) {
			if (!used || kind[used - 1] != '#')
				kind[used++] = '#';
			while (i + 1 < len && isalnum((unsigned char)message[i + 1]))
				i++;
			continue;
		}
		kind[used++] = c;
		word = isalnum((unsigned char)c) || c == '_';
	}
	kind[used] = '\0';
}

/* "FILE:LINE:COLUMN: message", or "FILE: message". What could not be played is no failure. */
static void judge_line(const struct shrink_oracle *oracle, const char *text, size_t len,
		       struct shrink_verdict *verdict)
{
	static const char unplayed[] = "cannot be played";
	size_t prefix = strlen(oracle->path);
	char kind[SHRINK_KIND_BYTES];
	unsigned int line = 0, column;
	int used = 0;

	if (len < prefix || strncmp(text, oracle->path, prefix) != 0)
		return;
	if (sscanf(text + prefix, ":%u:%u: %n", &line, &column, &used) != 2 || !used) {
		line = 0;
		used = 2;
	}
	prefix += (size_t)used;
	if (len <= prefix || memmem(text, len, unplayed, sizeof(unplayed) - 1))
		return;
	if (oracle->flags && !*verdict->cell)
		snprintf(verdict->cell, sizeof(verdict->cell), "%.*s",
			 (int)strcspn(text + prefix, ":"), text + prefix);
	kind_of(oracle, text + prefix, len - prefix, kind);
	add_kind(verdict, kind, line);
}

static int judge(const struct shrink_oracle *oracle, int status, const char *report,
		 struct shrink_verdict *verdict)
{
	char kind[64];

	if (WIFSIGNALED(status)) {
		snprintf(kind, sizeof(kind), "died of signal %d", WTERMSIG(status));
		add_kind(verdict, kind, 0);
		return 0;
	}
	if (oracle->command) {
		if (WEXITSTATUS(status) == EXIT_NOT_FOUND)
			return -ENOENT;
		if (WEXITSTATUS(status))
			add_kind(verdict, "the command fails", 0);
		return 0;
	}
	if (WEXITSTATUS(status) == EXIT_NO_MEMORY)
		return -ENOMEM;
	if (WEXITSTATUS(status) != EXIT_PLAYED) {
		snprintf(kind, sizeof(kind), "exits with %d", WEXITSTATUS(status));
		add_kind(verdict, kind, 0);
		return 0;
	}
	while (*report) {
		size_t len = strcspn(report, "\n");

		judge_line(oracle, report, len, verdict);
		report += len + (report[len] == '\n');
	}
	return 0;
}

/* A story that hangs is ended and told of by who plays it; this is for when even that hangs. */
static unsigned int patience_s(const struct shrink_oracle *oracle)
{
	unsigned int cells = *oracle->cell ? 2 : 256;

	return oracle->flags ? 60 + cells * oracle->timeout_s : oracle->timeout_s;
}

static int watch(struct shrink_oracle *oracle, pid_t child, int fd, struct shrink_verdict *verdict)
{
	char *report = malloc(REPORT_MAX_BYTES);
	bool ended = report && listen_to(fd, patience_s(oracle), report, REPORT_MAX_BYTES);
	int status, ret = 0;

	if (!ended) {
		kill(-child, SIGKILL);
		kill(child, SIGKILL);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (!report)
		ret = -ENOMEM;
	else if (!ended)
		add_kind(verdict, "hangs", 0);
	else
		ret = judge(oracle, status, report, verdict);
	free(report);
	return ret;
}

int shrink_try(struct shrink_oracle *oracle, const char *text, size_t size_bytes,
	       struct shrink_verdict *verdict)
{
	int ends[2], ret = write_file(oracle->path, text, size_bytes);
	pid_t child;

	verdict->failures = verdict->kind_count = verdict->first_line = 0;
	*verdict->cell = '\0';
	oracle->tries++;
	if (ret)
		return ret;
	if (pipe(ends))
		return -errno;
	child = fork();
	if (child < 0) {
		ret = -errno;
	} else if (child == 0) {
		close(ends[0]);
		be_quiet();
		if (oracle->command)
			run_command(oracle);
		play(oracle, ends[1]);
	}
	close(ends[1]);
	if (child > 0)
		ret = watch(oracle, child, ends[0], verdict);
	close(ends[0]);
	return ret;
}
