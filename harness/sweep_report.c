/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a sweep found: a table for people; for machines what `vfake run` prints, because a cell with
 * a violation is a cell that failed.
 */
#include <string.h>

#include "sweep.h"

enum { CELL_WIDTH = 8, STORY_WIDTH = 26 };

static struct sweep_tally sum(const struct sweep_tally *tallies, size_t count)
{
	struct sweep_tally all = { 0 };

	for (size_t i = 0; i < count; i++) {
		all.steps += tallies[i].steps;
		all.points += tallies[i].points;
		all.foreign += tallies[i].foreign;
		all.armed += tallies[i].armed;
		all.deaths += tallies[i].deaths;
		all.repeats += tallies[i].repeats;
		all.left_out += tallies[i].left_out;
		all.faults += tallies[i].faults;
		all.pairs += tallies[i].pairs;
		all.children += tallies[i].children;
		all.violations += tallies[i].violations;
	}
	return all;
}

/* "12345", "123k", "12M". */
static void print_count(FILE *to, int width, uint64_t count)
{
	if (count < 100000)
		fprintf(to, " %*llu", width, (unsigned long long)count);
	else if (count < 100000000)
		fprintf(to, " %*lluk", width - 1, (unsigned long long)(count / 1000));
	else
		fprintf(to, " %*lluM", width - 1, (unsigned long long)(count / 1000000));
}

/* ---- people ---- */

static int width_of(size_t backend)
{
	int width = (int)strlen(backends[backend].name);

	return width < CELL_WIDTH ? CELL_WIDTH : width;
}

static void print_cell(FILE *to, const struct run_cell *cell, const struct sweep_tally *tally,
		       int width)
{
	switch (cell->result) {
	case RUN_UNSELECTED:
		fprintf(to, " %*s", width, ".");
		break;
	case RUN_WAIVED:
		fprintf(to, " %*s", width, "-");
		break;
	case RUN_PASSED:
		print_count(to, width, tally->faults);
		break;
	case RUN_FAILED:
		fprintf(to, " %*s", width, "FAIL");
		break;
	}
}

static void print_row(FILE *to, const struct run_cell *cells, const struct sweep_tally *tallies)
{
	struct sweep_tally all = sum(tallies, backend_count);
	size_t unselected = 0;

	for (size_t i = 0; i < backend_count; i++)
		unselected += cells[i].result == RUN_UNSELECTED;
	if (unselected == backend_count)
		return;
	fprintf(to, "%-*s", STORY_WIDTH, cells->story->name);
	for (size_t i = 0; i < backend_count; i++)
		print_cell(to, &cells[i], &tallies[i], width_of(i));
	print_count(to, CELL_WIDTH, all.points);
	print_count(to, CELL_WIDTH, all.faults);
	fprintf(to, " %10u\n", all.violations);
}

static void print_table(FILE *to, const struct sweep_result *result)
{
	fprintf(to, "%-*s", STORY_WIDTH, "faults of story");
	for (size_t i = 0; i < backend_count; i++)
		fprintf(to, " %*s", CELL_WIDTH, backends[i].name);
	fprintf(to, " %*s %*s %10s\n", CELL_WIDTH, "points", CELL_WIDTH, "faults", "violations");
	for (size_t i = 0; i < result->count; i += backend_count)
		print_row(to, &result->cells[i], &result->tallies[i]);
	fputc('\n', to);
}

static void print_failures(FILE *to, bool verbose, const struct sweep_result *result)
{
	for (size_t i = 0; i < result->count; i++) {
		const struct run_cell *cell = &result->cells[i];
		const struct sweep_tally *tally = &result->tallies[i];

		if (cell->result == RUN_FAILED)
			fprintf(to, "FAIL %s/%s\n%s", cell->story->name, cell->backend->name,
				cell->text ? cell->text : "");
		else if (verbose && cell->result == RUN_PASSED)
			fprintf(to,
				"pass %s/%s: %llu steps, %llu points, %llu faults, %llu deaths; "
				"%llu steps not swept\n",
				cell->story->name, cell->backend->name,
				(unsigned long long)tally->steps, (unsigned long long)tally->points,
				(unsigned long long)tally->faults,
				(unsigned long long)tally->deaths,
				(unsigned long long)(tally->foreign + tally->armed));
	}
}

static void report_human(FILE *to, bool verbose, const struct sweep_result *result)
{
	struct sweep_tally all = sum(result->tallies, result->count);
	size_t failed = 0;

	print_failures(to, verbose, result);
	print_table(to, result);
	for (size_t i = 0; i < result->count; i++)
		failed += result->cells[i].result == RUN_FAILED;
	fprintf(to, "%llu steps pass %llu points", (unsigned long long)all.steps,
		(unsigned long long)all.points);
	if (all.left_out)
		fprintf(to, " (%llu of them not tried: the same one too often in a step)",
			(unsigned long long)all.left_out);
	if (all.repeats)
		fprintf(to, ", %llu more do what one did before", (unsigned long long)all.repeats);
	if (all.foreign)
		fprintf(to, ", %llu are of programs that the stage does not know and not swept",
			(unsigned long long)all.foreign);
	if (all.armed)
		fprintf(to, ", %llu the stories make fail themselves",
			(unsigned long long)all.armed);
	fprintf(to, "; %.1f s, %.0f faults/s, %llu processes\n", result->seconds,
		(double)all.faults / result->seconds, (unsigned long long)all.children);
	if (all.deaths)
		fprintf(to, "in %llu of them a process dies\n", (unsigned long long)all.deaths);
	if (all.pairs)
		fprintf(to, "%llu of the faults are pairs\n", (unsigned long long)all.pairs);
	fprintf(to, "%zu cells failed; %llu points, %llu faults, %u violations\n", failed,
		(unsigned long long)all.points, (unsigned long long)all.faults, all.violations);
}

void sweep_report(FILE *to, enum report_format format, bool verbose,
		  const struct sweep_result *result)
{
	if (format == REPORT_HUMAN)
		report_human(to, verbose, result);
	else
		run_report(to, format, verbose, result->cells, result->count);
}
