/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stories times backends: which cells there are, playing them, and what came of them.
 */
#ifndef HARNESS_RUN_H
#define HARNESS_RUN_H

#include "report.h"
#include "story.h"

enum run_result {
	RUN_UNSELECTED, /* left out by the filter or in another shard */
	RUN_WAIVED,	/* not for this backend; `text` has the reason */
	RUN_PASSED,
	RUN_FAILED, /* `text` tells why */
};

/* A story on a backend. */
struct run_cell {
	const struct story *story;
	const struct backend *backend;
	enum run_result result;
	const char *reason; /* RUN_WAIVED */
	char *text;	    /* RUN_FAILED: what was printed and how it ended; owned */
};

struct run_options {
	/* What there is to play; NULL: the table `stories'. */
	const struct story *const *stories;
	size_t story_count;
	/* Patterns of STORY or STORY/BACKEND, of which one must match; none is all. */
	const char *const *filters;
	size_t filter_count;
	unsigned int shard; /* 1 to shard_count */
	unsigned int shard_count;
	unsigned int jobs;
	unsigned int limit_s; /* for each cell */
	uint64_t seed;
	const char *program; /* for the command that repeats a failure */
	const char *files;   /* likewise: where the stories are, a space before each; may be NULL */
	const char *command; /* "run", "sweep": what plays the cells */
	/* Plays a cell, in its process: an assertion that fails is the failure. NULL: the story. */
	void (*play)(const struct run_options *options, const struct run_cell *cell);
	/* Called now and then while cells are played, for who wants to tell. May be NULL. */
	void (*wait)(const struct run_options *options);
	void *ctx;	     /* of the two */
	const size_t *order; /* in which cells are played, by their number; NULL: as they are */
};

/* All cells, story by story; the caller frees them with run_free(). NULL when memory is short. */
struct run_cell *run_select(const struct run_options *options, size_t *count);
/* Plays what is selected, each cell in a process of its own. 0, or -errno when it cannot. */
int run_play(const struct run_options *options, struct run_cell *cells, size_t count);
void run_free(struct run_cell *cells, size_t count);

/* Prints the results. @verbose: also those that passed, where the format would leave them out. */
void run_report(FILE *to, enum report_format format, bool verbose, const struct run_cell *cells,
		size_t count);

#endif
