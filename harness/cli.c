/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the sub-commands say alike.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "trace.h"
#include "world_read.h"

int cli_bad_input(const char *command, const char *message)
{
	fprintf(stderr, "%s\nTry `%s --help' for more information.\n", message, command);
	return CLI_USAGE;
}

uint64_t cli_number(struct argp_state *state, const char *option, const char *text, uint64_t least,
		    uint64_t most)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || *end || end == text || *text < '0' || *text > '9' || value < least ||
	    value > most)
		argp_error(state, "%s takes a number from %llu to %llu, not `%s'", option,
			   (unsigned long long)least, (unsigned long long)most, text);
	return value;
}

void cli_shard(struct argp_state *state, const char *text, unsigned int *shard, unsigned int *count)
{
	char extra;

	if (sscanf(text, "%u/%u%c", shard, count, &extra) != 2 || !*shard || *shard > *count)
		argp_error(state, "--shard takes I/N with I from 1 to N, not `%s'", text);
}

unsigned int cli_processors(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (processors < 1)
		return 1;
	return processors > CLI_JOBS_MAX ? CLI_JOBS_MAX : (unsigned int)processors;
}

int cli_open_output(const char *command, const char *path, FILE **to)
{
	char message[512];

	*to = path ? fopen(path, "w") : stdout;
	if (*to)
		return CLI_PASS;
	snprintf(message, sizeof(message), "%s: %s: %s", command, path, strerror(errno));
	return cli_bad_input(command, message);
}

int cli_end_output(const char *command, const char *path, FILE *to, int ret)
{
	/* What went wrong before is not said again by the last flush. */
	bool bad = ferror(to) || fflush(to);

	if (path && fclose(to))
		bad = true;
	if (!bad)
		return ret;
	fprintf(stderr, "%s: %s could not be written: %s\n", command, path ? path : "the output",
		strerror(errno));
	return CLI_BROKEN;
}

int cli_read_trace(const char *command, const char *path, struct trace **trace)
{
	struct trace_error error;
	int ret = trace_read_file(path, trace, &error);

	if (!ret)
		return CLI_PASS;
	if (ret != -EINVAL && ret != -ENOMEM)
		return cli_bad_input(command, error.message);
	fprintf(stderr, "%s\n", error.message);
	return ret == -ENOMEM ? CLI_BROKEN : CLI_FAIL;
}

int cli_read_world(const char *command, const char *path, struct vfake_world **world)
{
	struct world_error error;

	*world = malloc(sizeof(**world));
	if (!*world) {
		fprintf(stderr, "%s: out of memory\n", command);
		return CLI_BROKEN;
	}
	if (!world_read_file(path, *world, &error))
		return CLI_PASS;
	free(*world);
	*world = NULL;
	return cli_bad_input(command, error.message);
}
