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
 * has to end. Where VFAKE_MUTANT_REACHED names a file, each place that is come by leaves a mark in
 * it, at once, so that children and crashes count as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
		while (waitpid(pid, &status, 0) < 0) {
			if (errno != EINTR)
				_exit(127);
		}
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
