/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many faults `vfake sweep' tries in a second, on one processor: a story that attaches a device
 * and one that maps memory, on a backend of each kind. It is the program that is measured, with all
 * that it does for a fault: fork, the call that fails, what the models and the ledger say of it,
 * and the teardown.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "bench.h"

static const char *const stories[] = { "attach-one", "map-kinds" };
static const char *const kinds[] = { "type1v2", "spapr-v2", "iommufd", "user" };

enum {
	STORIES = sizeof(stories) / sizeof(stories[0]),
	KINDS = sizeof(kinds) / sizeof(kinds[0]),
};

/* What the report of the sweep says. */
static double rate_of(const char *story, const char *backend)
{
	char command[4200], line[512];
	double rate = 0;
	FILE *from;
	int status;

	snprintf(command, sizeof(command), "'%s' sweep --jobs 1 '%s/%s'", BENCH_VFAKE, story,
		 backend);
	fflush(stdout);
	from = popen(command, "r");
	bench_require(from, "start vfake sweep");
	while (fgets(line, sizeof(line), from)) {
		char *end = strstr(line, " faults/s");

		while (end && end > line && end[-1] >= '0' && end[-1] <= '9')
			end--;
		if (end)
			rate = strtod(end, NULL);
	}
	status = pclose(from);
	/* That it finds something does not matter here. */
	bench_require(WIFEXITED(status) && WEXITSTATUS(status) <= 1 && rate > 0, "sweep a story");
	return rate;
}

static void run(struct bench *bench)
{
	unsigned int rounds = bench->rounds < 3 ? bench->rounds : 3;
	size_t story_count = bench->quick ? 1 : STORIES;
	size_t kind_count = bench->quick ? 1 : KINDS;
	double rates[STORIES][KINDS][3];

	if (bench->quick)
		rounds = 1;
	for (unsigned int round = 0; round < rounds; round++) {
		for (size_t i = 0; i < story_count; i++) {
			for (size_t k = 0; k < kind_count; k++)
				rates[i][k][round] = rate_of(stories[i], kinds[k]);
		}
	}
	for (size_t i = 0; i < story_count; i++) {
		for (size_t k = 0; k < kind_count; k++)
			bench_value(bench, "faults tried per second", stories[i], kinds[k],
				    bench_median(rates[i][k], rounds));
	}
}

const struct bench_section bench_sweep = {
	.name = "sweep",
	.about = "faults tried per second by vfake sweep, of two stories",
	.clock = "by the clock on the wall, one process at a time",
	.run = run,
};
