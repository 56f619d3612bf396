/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast recordings play on one core: reading the text, making a world, every call, comparing,
 * taking the world down.
 */
#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "player.h"
#include "replay.h"

static int is_trace(const struct dirent *entry)
{
	return !fnmatch("*.trace", entry->d_name, FNM_PERIOD);
}

/* Plays every file once. Returns calls per second of CPU time. */
static double play_all(struct dirent **entries, int count, struct player *player, uint64_t *calls)
{
	uint64_t begin = bench_cpu_ns();

	*calls = 0;
	for (int i = 0; i < count; i++) {
		struct replay_result result;
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", BENCH_GOLDEN_DIR, entries[i]->d_name);
		bench_require(!replay_file(path, NULL, player, &result) && result.passed, path);
		*calls += result.calls;
		free(result.text);
	}
	return (double)*calls * 1e9 / (double)(bench_cpu_ns() - begin);
}

static void run(struct bench *bench)
{
	struct player *player = bench_alloc(1, sizeof(*player));
	double rate[BENCH_ROUNDS_MAX];
	struct dirent **entries;
	int count = scandir(BENCH_GOLDEN_DIR, &entries, is_trace, alphasort);
	uint64_t calls = 0;

	bench_require(count > 0, "no recordings in " BENCH_GOLDEN_DIR);
	for (unsigned int i = 0; i < bench->rounds; i++)
		rate[i] = play_all(entries, count, player, &calls);
	bench_value(bench, "replay", "files", "number", (double)count);
	bench_value(bench, "replay", "calls", "number", (double)calls);
	bench_value(bench, "replay", "calls per second", "number",
		    bench_median(rate, bench->rounds));
	bench_goal_at_least(bench, "calls per second on one core", 200,
			    bench_median(rate, bench->rounds) / 1000, " k/s");
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
	free(player);
}

const struct bench_section bench_replay = {
	.name = "replay",
	.about = "calls per second of all recordings, on one core",
	.run = run,
};
