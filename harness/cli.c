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

int cli_end_output(const char *command, int ret)
{
	if (!fflush(stdout) && !ferror(stdout))
		return ret;
	fprintf(stderr, "%s: the output could not be written: %s\n", command, strerror(errno));
	return CLI_BROKEN;
}
