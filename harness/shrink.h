/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a failing trace, or a failing story in a C file, small while it goes on failing in the
 * same way.
 *
 * An oracle says whether a text fails, and how. The shrinker takes away what it can, over and over,
 * until none of it can go: of a trace lines, then fields, offsets, list items, then parts of
 * numbers; of a C file definitions, statements, what braces list, then the loops and conditions
 * around statements.
 */
#ifndef HARNESS_SHRINK_H
#define HARNESS_SHRINK_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct source;
struct trace;
struct vfake_world;

/* ---- the oracle: shrink_try.c, and shrink_play.c for stories ---- */

enum { SHRINK_KIND_BYTES = 512, SHRINK_KINDS_MAX = 64, SHRINK_CELL_BYTES = 160 };

/*
 * How a text failed. A kind is the message of a call that differs, without its place and with each
 * number as `#`; of a story its name, the backend, what was printed, and the assertion that did not
 * hold; or "died of signal 11", "hangs", "the command fails".
 */
struct shrink_verdict {
	uint32_t failures; /* messages; 0: it passes, or it is nothing that can be played */
	uint32_t kind_count;
	uint32_t first_line;	      /* of a trace: where the first failure is, or 0 */
	char cell[SHRINK_CELL_BYTES]; /* STORY/BACKEND of the first one, or empty */
	char kinds[SHRINK_KINDS_MAX][SHRINK_KIND_BYTES];
};

struct shrink_oracle {
	const char *command; /* a shell command that fails when the text does; NULL: it is played */
	const struct vfake_world *world; /* of a trace; NULL: the recordings' machine */
	unsigned int timeout_s;		 /* after which a try hangs */
	const char *path;		 /* of the file that a try is written to */
	/* Of a C file; NULL: it is a trace. */
	const char *const *flags;     /* for its compiler (story_file.h) */
	char cell[SHRINK_CELL_BYTES]; /* the pattern of what is played; empty: all */
	bool sweep;		      /* its calls are made to fail as well */
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

/* ---- the search: shrink.c ---- */

struct shrink;

/* What a kind of text has in pieces, and what goes with what. */
struct shrink_form {
	int (*write)(const struct shrink *shrink, FILE *to);  /* what is left; 0 or -errno */
	uint32_t (*count_lines)(const struct shrink *shrink); /* of that; comments do not count */
	void (*drop_easy)(struct shrink *shrink); /* what is surely not needed, to begin with */
	void (*drop)(struct shrink *shrink, uint32_t piece); /* and who cannot be without it */
	void (*drop_alone)(struct shrink *shrink, uint32_t piece);
	void (*refine)(struct shrink *shrink); /* makes the pieces that are left smaller */
};

extern const struct shrink_form shrink_trace_form;  /* shrink_trace.c, shrink_value.c */
extern const struct shrink_form shrink_source_form; /* shrink_source.c */

struct shrink {
	struct shrink_oracle oracle;
	const struct shrink_form *form;
	struct trace *trace;   /* changed in place; or */
	struct source *source; /* this one */
	uint32_t count;	       /* of pieces: the trace's items, the source's pieces */
	bool *gone;	       /* by piece: taken out */
	bool *bare;	       /* by piece: of the statement only its body is left */
	char kind[SHRINK_KIND_BYTES];
	uint32_t failures;  /* of the text as it is now */
	uint32_t fail_line; /* in the text that it began with; 0: not known */
	uint32_t lines;	    /* that are left, comments not counted */
	uint32_t steps;	    /* that made it smaller */
	bool changed;	    /* in the round that runs */
	int error;	    /* sticks: -errno of the oracle or of the writer, -EINTR: stopped */
	const volatile sig_atomic_t *stop; /* ends the search when it is set; NULL: nothing does */
	void (*progress)(const struct shrink *shrink); /* after each step that made it smaller */
};

/*
 * shrink_begin - the text as it is, and how it fails
 * @shrink: with oracle, form, trace or source, count and progress set, the rest zero
 *
 * Returns 0; -ENOMSG when it does not fail; another -errno of shrink_try(). shrink_end() in any
 * case.
 */
int shrink_begin(struct shrink *shrink);
/* Makes it small. Returns 0 or -errno; the text is then a failing one all the same, if not minimal.
 */
int shrink_run(struct shrink *shrink);
/* Writes what is left. Returns 0 or -errno. */
int shrink_write(const struct shrink *shrink, FILE *to);
/* Frees what shrink_begin() made; not the trace or source. */
void shrink_end(struct shrink *shrink);

/* ---- between the files ---- */

/* Does the text as it is now fail in the same way? @strict: and in no more places than before. */
bool shrink_holds(struct shrink *shrink, bool strict);
/* Makes the values of all calls of a trace smaller. */
void shrink_values(struct shrink *shrink);

/*
 * In the child of a try: plays the stories of the C file and prints "PATH: STORY/BACKEND: how" for
 * each that fails. 0, or an error on the way; what does not compile is no failure.
 */
int shrink_play(const struct shrink_oracle *oracle, int fd);

#endif
