/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sweep of one story on one backend: every fault of every step that it makes.
 *
 * At each step the story's process forks. One child carries the step out without a fault and notes
 * the fault points that it passes, what it returns and the state after it. Others carry it out with
 * one fault each, and judge:
 *   - what the step did before the fault is what it does without it, and the fault was met
 *   - it failed: with a reason, and the state is what it was before; carried out again without
 *     the fault, it does what it does without one
 *   - or it did not fail: the state is what it is without a fault, or the VMM was told otherwise
 *   - in both cases, when everything is taken down, nothing is left
 * Then the story's process carries the step out itself, and goes on. So the story is played once,
 * whatever the number of faults.
 *
 * A child goes on with the next fault while each failure leaves the state as it was, for then it is
 * as good as a new one; at its end it tries the step without a fault. What it finds wrong is
 * confirmed in a child of its own.
 */
#ifndef HARNESS_SWEEP_ENGINE_H
#define HARNESS_SWEEP_ENGINE_H

#include "story.h"

/* Counted for one story on one backend; in memory that its processes share. */
struct sweep_tally {
	uint64_t steps;	   /* of the story that pass a fault point */
	uint64_t points;   /* that they pass, each time counted */
	uint64_t left_out; /* of these not tried, because a step passes them too often */
	uint64_t foreign;  /* steps not swept: a program is in play that the stage does not know */
	uint64_t armed;	   /* steps not swept: the story makes them fail itself */
	uint64_t repeats;  /* steps that do what an earlier one did, in the same state: not tried */
	uint64_t planned;  /* single faults to try */
	uint64_t done;	   /* of these */
	uint64_t faults;   /* tried, all ways */
	uint64_t pairs;	   /* of which pairs */
	uint64_t deaths;   /* of which a process died */
	uint64_t children;
	uint32_t violations;
};

struct sweep_task {
	const struct story *story;
	const struct backend *backend;
	uint64_t seed;
	bool count_only; /* tally the points and try nothing */
	bool pairs;
	bool tell_all;	 /* violations, not only the first ones */
	bool first_only; /* end at the first violation */
	const char
		*only; /* "STEP:FAULT" or "STEP:FAULT+FAULT": nothing else, and in this process */
	const char *program; /* for the commands that repeat something */
	const char *files;   /* likewise, as in struct run_options */
	const char *traces;  /* folder for what violations did, or NULL */
	struct sweep_tally *tally;
	FILE *to; /* where violations are told */
};

/* Whether a text can be what `only` is. */
bool sweep_only_is_sound(const char *only);

/* Plays it. A failed assertion of the story does not return. */
void sweep_play(const struct sweep_task *task);

#endif
