/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steps: the calls of the stack's public functions, as somebody beside the caller sees them.
 *
 * Each public function has a wrapper, which the linker puts in its place (see ci/steps.py). Without
 * a watcher the wrapper calls through. With one, the watcher gets the call as a value that it can
 * carry out as often as it likes, in as many processes. Calls that the stack or a watcher makes
 * while a step is carried out are no steps.
 */
#ifndef HARNESS_STEP_H
#define HARNESS_STEP_H

#include <stdbool.h>
#include <stdint.h>

struct vfio_error;

/* What a function returns, and how it says that it failed. */
enum step_kind {
	STEP_NOTHING, /* it cannot fail */
	STEP_BOOL,    /* false */
	STEP_CODE,    /* an int of less than 0 */
	STEP_POINTER, /* NULL */
	STEP_NUMBER,  /* something else: it cannot fail */
};

struct step {
	const char *name; /* of the function */
	enum step_kind kind;
	bool quiet;		   /* it asks the kernel nothing and needs no memory */
	void (*call)(void *args);  /* carries it out and keeps the result in the arguments */
	void *args;		   /* the first one is at its start */
	const void *result;	   /* what call() got; NULL for STEP_NOTHING */
	struct vfio_error **error; /* the argument of that type, or NULL */
};

/* Gets each step instead of its function; it has to call step->call() once in this process. */
typedef void (*step_watcher)(void *ctx, const struct step *step);

/* One watcher in the process; NULL takes it away. */
void step_watch(step_watcher watcher, void *ctx);

/* For the wrappers. */
void step_play(const struct step *step);

/* Whether the last call of it failed. */
bool step_failed(const struct step *step);
/* Its first argument, for functions that begin with a pointer. */
void *step_subject(const struct step *step);
/* Its result, for functions that return a pointer. */
void *step_product(const struct step *step);

#endif
