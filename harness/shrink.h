/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a failing trace small while it goes on failing in the same way.
 *
 * An oracle says whether a trace fails, and how. The shrinker takes away what it can: lines, then
 * fields, offsets, list items, then parts of numbers; over and over, until none of it can go.
 */
#ifndef HARNESS_SHRINK_H
#define HARNESS_SHRINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct trace;
struct vfake_world;

/* ---- the oracle: shrink_try.c ---- */

enum { SHRINK_KIND_BYTES = 512, SHRINK_KINDS_MAX = 64 };

/*
 * How a trace failed. A kind is the message of a call that differs, without its place and with each
 * number as `#`; or "died of signal 11", "hangs", "the command fails".
 */
struct shrink_verdict {
	uint32_t failures; /* messages; 0: it passes, or it is no trace that can be played */
	uint32_t kind_count;
	uint32_t first_line; /* where the first failure is, or 0 */
	char kinds[SHRINK_KINDS_MAX][SHRINK_KIND_BYTES];
};

struct shrink_oracle {
	const char *command; /* a shell command that fails when the trace does; NULL: replay */
	const struct vfake_world *world; /* NULL: the recordings' machine */
	unsigned int timeout_s;		 /* after which a try hangs */
	const char *path;		 /* of the file that a try is written to */
	uint32_t tries;
};

/*
 * shrink_try - does this text fail?
 *
 * Plays it in a child, so that a crash is an answer as well. Returns 0 with *verdict filled,
 * -ENOENT when the shell does not find the command, or another -errno when vfake itself could not
 * try.
 */
int shrink_try(struct shrink_oracle *oracle, const char *text, size_t size_bytes,
	       struct shrink_verdict *verdict);

/* ---- the search: shrink.c, shrink_value.c ---- */

struct shrink {
	struct shrink_oracle oracle;
	struct trace *trace; /* changed in place */
	bool *gone;	     /* by item: taken out */
	char kind[SHRINK_KIND_BYTES];
	uint32_t failures;  /* of the trace as it is now */
	uint32_t fail_line; /* in the text that it began with; 0: not known */
	uint32_t lines;	    /* items that are left, comments not counted */
	uint32_t steps;	    /* that made it smaller */
	bool changed;	    /* in the round that runs */
	int error;	    /* sticks: -errno of the oracle or of the writer */
	void (*progress)(const struct shrink *shrink); /* after each step that made it smaller */
};

/*
 * shrink_begin - the trace as it is, and how it fails
 * @shrink: with oracle, trace and progress set, the rest zero
 *
 * Returns 0; -ENOMSG when it does not fail; another -errno of shrink_try(). shrink_end() in any
 * case.
 */
int shrink_begin(struct shrink *shrink);
/* Makes it small. Returns 0 or -errno; the trace is then a failing one all the same. */
int shrink_run(struct shrink *shrink);
/* Writes what is left. Returns 0 or -errno. */
int shrink_write(const struct shrink *shrink, FILE *to);
/* Frees what shrink_begin() made; not the trace. */
void shrink_end(struct shrink *shrink);

/* ---- between the two ---- */

/* Does the trace as it is now fail in the same way? @strict: and in no more places than before. */
bool shrink_holds(struct shrink *shrink, bool strict);
/* Makes the values of all calls smaller. */
void shrink_values(struct shrink *shrink);

#endif
