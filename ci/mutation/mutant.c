/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which mutant is awake, decided before main():
 *
 * - VFAKE_MUTANT is a number;
 * - or VFAKE_MUTANT_LIST names a file of numbers: then the program is run once for each, in a child
 *   that was forked here, which spares loading it each time. What a child prints goes to the file
 *   VFAKE_MUTANT_OUTPUT with the number at its end; how it ended, as a line "NUMBER STATUS", to
 *   standard output.
 *
 * VFAKE_MUTANT_CPU and VFAKE_MUTANT_WALL are the seconds after which a mutant that goes on for ever
 * has to end; one of a list that sleeps all the time ends after VFAKE_MUTANT_IDLE seconds, and one
 * that runs all the time after VFAKE_MUTANT_BUSY milliseconds. Where VFAKE_MUTANT_REACHED names a
 * file, each place that is come by leaves a mark in it, at once, so that children and crashes count
 * as well.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mutant.h"

unsigned int vfake_mutant_chosen;
unsigned char *vfake_mutant_reached;

static unsigned int number(const char *name)
{
	const char *text = getenv(name);

	return text ? (unsigned int)strtoul(text, NULL, 10) : 0;
}

static void limit(void)
{
	const struct rlimit limit = { .rlim_cur = number("VFAKE_MUTANT_CPU"),
				      .rlim_max = RLIM_INFINITY };

	if (limit.rlim_cur)
		setrlimit(RLIMIT_CPU, &limit);
	alarm(number("VFAKE_MUTANT_WALL"));
}

static void mark_in(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat stat;
	void *map;

	if (fd < 0)
		return;
	if (fstat(fd, &stat) == 0) {
		map = mmap(NULL, (size_t)stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (map != MAP_FAILED)
			vfake_mutant_reached = map;
	}
	close(fd);
}

/* In the child: it prints to a file of its own, leads a group of its own, and goes on to main(). */
static void wake(unsigned int mutant)
{
	const char *prefix = getenv("VFAKE_MUTANT_OUTPUT");
	char path[4096];
	int fd;

	vfake_mutant_chosen = mutant;
	setpgid(0, 0);
	snprintf(path, sizeof(path), "%s%u", prefix ? prefix : "/dev/null", prefix ? mutant : 0);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		_exit(127);
	close(fd);
	unsetenv("VFAKE_MUTANT_LIST");
	limit();
}

/* ---- waiting for what does not come ---- */

struct doings {
	unsigned long long ticks; /* of the processor, used */
	bool busy;		  /* or would be, if it were given a processor */
};

static void add_process(const char *pid, pid_t group, struct doings *doings)
{
	unsigned long long user, system;
	char path[64], text[1024];
	const char *rest;
	FILE *file;
	size_t len;
	char state;
	int its;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return;
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = 0;
	rest = strrchr(text, ')'); /* behind the name, in which anything may be */
	if (!rest ||
	    sscanf(rest + 1, " %c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &state, &its,
		   &user, &system) != 4 ||
	    its != group)
		return;
	doings->ticks += user + system;
	doings->busy |= state == 'R' || state == 'D';
}

static struct doings look_at(pid_t group)
{
	struct doings doings = { 0 };
	DIR *list = opendir("/proc");
	struct dirent *entry;

	while (list && (entry = readdir(list))) {
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			add_process(entry->d_name, group, &doings);
	}
	if (list)
		closedir(list);
	return doings;
}

/*
 * How the child ends. One that sleeps with all of its own, and goes on sleeping, is ended: on a
 * machine that is busy with other things it would be ready to run. So is one that has used more of
 * the processor than it may, long before the limit that the kernel knows, which is in seconds.
 */
static int end_of(pid_t pid)
{
	const struct timespec quick = { .tv_nsec = 500000 }, slow = { .tv_nsec = 100000000 };
	const unsigned long long busy_limit =
		number("VFAKE_MUTANT_BUSY") * (unsigned long long)sysconf(_SC_CLK_TCK) / 1000;
	const unsigned int idle_limit = number("VFAKE_MUTANT_IDLE") * 10;
	unsigned int idle = 0, looks = 0;
	struct doings before = { .busy = true };
	int status;

	for (;;) {
		pid_t ended = waitpid(pid, &status, idle_limit ? WNOHANG : 0);

		if (ended == pid)
			return status;
		if (ended < 0 && errno != EINTR)
			_exit(127);
		nanosleep(looks < 400 ? &quick : &slow, NULL);
		if (looks++ < 400)
			continue;
		const struct doings now = look_at(pid);

		idle = now.busy || now.ticks != before.ticks ? 0 : idle + 1;
		before = now;
		if (idle > idle_limit || now.ticks > busy_limit)
			kill(-pid, SIGKILL);
	}
}

/* Once for each number. Returns in a child only. */
static void serve(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned int mutants[4096];
	size_t count = 0;

	while (file && count < 4096 && fscanf(file, "%u", &mutants[count]) == 1)
		count++;
	if (!file || fclose(file))
		_exit(127);
	for (size_t i = 0; i < count; i++) {
		pid_t pid = fork();
		int status;

		if (!pid) {
			wake(mutants[i]);
			return;
		}
		status = end_of(pid);
		kill(-pid, SIGKILL); /* what it may have left behind */
		dprintf(1, "%u %d\n", mutants[i], status);
	}
	_exit(0);
}

__attribute__((constructor)) static void begin(void)
{
	if (getenv("VFAKE_MUTANT_LIST")) {
		serve(getenv("VFAKE_MUTANT_LIST"));
		return;
	}
	vfake_mutant_chosen = number("VFAKE_MUTANT");
	limit();
	if (getenv("VFAKE_MUTANT_REACHED"))
		mark_in(getenv("VFAKE_MUTANT_REACHED"));
}
