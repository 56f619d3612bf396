/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sweeping stories times backends: which cells, side by side, and what came of them.
 */
#ifndef HARNESS_SWEEP_H
#define HARNESS_SWEEP_H

#include "run.h"
#include "sweep_engine.h"

struct sweep_options {
	struct run_options run; /* command, play, wait and ctx are set here */
	bool pairs;
	bool verbose;	 /* tell all violations, not only the first ones of a cell */
	bool count_only; /* say how many faults there are, and try none */
	bool first_only; /* end each cell at its first violation */
	const char *only;
	const char *traces;
	bool progress; /* told on standard error, in one line that is written over */
};

struct sweep_result {
	struct run_cell *cells;
	struct sweep_tally *tallies; /* of each cell */
	size_t count;
	double seconds;
};

/* Sweeps. 0, or -errno when it cannot. The caller frees the result in any case. */
int sweep_run(const struct sweep_options *options, struct sweep_result *result);
void sweep_free(struct sweep_result *result);

/* Prints the results. @verbose: also what was swept in each cell. */
void sweep_report(FILE *to, enum report_format format, bool verbose,
		  const struct sweep_result *result);

#endif
