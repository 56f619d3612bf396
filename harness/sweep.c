/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cells of a sweep. They are played as `vfake run` plays them, by run.c; what they count lies
 * in memory that all processes share, so that whoever waits can tell how far they are.
 *
 * First the points of all cells are counted, which takes as long as `vfake run`. Then it is known
 * how much there is to do, and the cells with the most to do begin.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "sweep.h"

struct sweeping {
	const struct sweep_options *options;
	struct run_cell *cells;
	struct sweep_tally *tallies;
	size_t count;
	bool count_only;
	double start;
	double told;
};

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- in the child of a cell ---- */

static void play(const struct run_options *run, const struct run_cell *cell)
{
	const struct sweeping *sweeping = run->ctx;
	const struct sweep_options *options = sweeping->options;
	struct sweep_tally *tally = &sweeping->tallies[cell - sweeping->cells];

	sweep_play(&(struct sweep_task){
		.story = cell->story,
		.backend = cell->backend,
		.seed = run->seed,
		.count_only = sweeping->count_only,
		.pairs = options->pairs,
		.tell_all = options->verbose,
		.first_only = options->first_only,
		.only = options->only,
		.program = run->program,
		.files = run->files,
		.traces = options->traces,
		.tally = tally,
		.to = stdout,
	});
	fflush(stdout);
	if (tally->violations)
		fail_msg("%u violations", tally->violations);
}

/* ---- progress ---- */

static void tell_progress(const struct run_options *run)
{
	struct sweeping *sweeping = run->ctx;
	double now = seconds_now(), part;
	uint64_t planned = 0, done = 0, faults = 0;

	if (sweeping->count_only || now - sweeping->told < 0.25)
		return;
	sweeping->told = now;
	for (size_t i = 0; i < sweeping->count; i++) {
		planned += sweeping->tallies[i].planned;
		done += sweeping->tallies[i].done;
		faults += sweeping->tallies[i].faults;
	}
	part = planned ? (double)done / (double)planned : 1;
	now -= sweeping->start;
	fprintf(stderr, "\r\033[K%3.0f %%  %llu faults, %.0f/s", 100 * part,
		(unsigned long long)faults, (double)faults / now);
	if (part > 0.01)
		fprintf(stderr, ", %.0f s left", now / part - now);
}

/* ---- all cells ---- */

static int more_first(const void *a, const void *b, void *ctx)
{
	const struct sweep_tally *tallies = ctx;
	const size_t *x = a, *y = b;

	if (tallies[*x].planned == tallies[*y].planned)
		return (*x > *y) - (*x < *y);
	return tallies[*x].planned < tallies[*y].planned ? 1 : -1;
}

/* Counts, and says in which order to play then. A story that fails without a fault is not swept. */
static int plan(struct sweeping *sweeping, struct run_options *run, size_t *order)
{
	int ret;

	sweeping->count_only = true;
	ret = run_play(run, sweeping->cells, sweeping->count);
	sweeping->count_only = false;
	for (size_t i = 0; i < sweeping->count; i++) {
		uint64_t planned = sweeping->tallies[i].planned;

		if (!sweeping->options->count_only)
			sweeping->tallies[i] = (struct sweep_tally){ .planned = planned };
		else
			sweeping->tallies[i].faults = planned;
		order[i] = i;
	}
	qsort_r(order, sweeping->count, sizeof(*order), more_first, sweeping->tallies);
	run->order = order;
	return ret;
}

static int sweep_cells(const struct sweep_options *options, struct sweep_result *result)
{
	size_t *order = calloc(result->count, sizeof(*order));
	struct sweeping sweeping = { .options = options,
				     .cells = result->cells,
				     .tallies = result->tallies,
				     .count = result->count,
				     .start = seconds_now() };
	struct run_options run = options->run;
	int ret = order ? 0 : -ENOMEM;

	run.command = "sweep";
	run.play = play;
	run.ctx = &sweeping;
	if (!ret && !options->only)
		ret = plan(&sweeping, &run, order);
	run.wait = options->progress ? tell_progress : NULL;
	if (!ret && !options->count_only)
		ret = run_play(&run, result->cells, result->count);
	if (options->progress)
		fputs("\r\033[K", stderr);
	result->seconds = seconds_now() - sweeping.start;
	free(order);
	return ret;
}

int sweep_run(const struct sweep_options *options, struct sweep_result *result)
{
	size_t size;
	void *tallies;

	*result = (struct sweep_result){ .count = 0 };
	result->cells = run_select(&options->run, &result->count);
	if (!result->cells)
		return -ENOMEM;
	for (size_t i = 0; i < result->count; i++) {
		struct run_cell *cell = &result->cells[i];

		if (cell->result != RUN_PASSED || !cell->story->unswept)
			continue;
		cell->result = RUN_WAIVED;
		cell->reason = cell->story->unswept;
	}
	size = result->count * sizeof(*result->tallies);
	tallies = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tallies == MAP_FAILED)
		return -errno;
	result->tallies = tallies;
	return sweep_cells(options, result);
}

void sweep_free(struct sweep_result *result)
{
	run_free(result->cells, result->count);
	if (result->tallies)
		munmap(result->tallies, result->count * sizeof(*result->tallies));
}
