/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a story asked of the kernel up to a violation, as a trace (TRACE.md) that `vfake replay`
 * plays in the story's world. Steps are comments. Behind the fault, and behind the first thing that
 * a trace cannot say (another process, a socket, memory of a file, ...), calls are comments, too,
 * in the same spelling.
 *
 * Each process of a sweep notes into memory that all of them share, behind what its parent noted:
 * so the parent has it also when the child died.
 */
#ifndef HARNESS_SWEEP_TRACE_H
#define HARNESS_SWEEP_TRACE_H

#include <stdbool.h>
#include <stddef.h>

#include <vfake/fault.h>

#include "sweep_trace_names.h"

struct sweep_trace_text;

struct sweep_trace {
	struct sweep_trace_text *text; /* NULL: nothing is noted */
	size_t used;		       /* of it, by this process and those that it comes from */
	const struct vfake_kernel *kernel;
	const struct vfake_task *task; /* whose calls can be played */
	struct sweep_names names;
	bool ended; /* what follows is comments */
	bool full;
};

/* A violation, and where its trace goes. */
struct sweep_finding {
	const char *folder;
	const char *story;
	const char *backend;
	unsigned int number; /* among those of the story on the backend */
	const char *program; /* vfake */
	const char *where;   /* the step and the fault */
	const char *what;    /* what is wrong */
	const char *repeat;  /* the command that repeats it */
};

/* False when memory is short. */
bool sweep_trace_start(struct sweep_trace *trace, const struct vfake_kernel *kernel,
		       const struct vfake_task *task);
void sweep_trace_end(struct sweep_trace *trace);

/* A line for people. */
void sweep_trace_note(struct sweep_trace *trace, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* What follows is more than a trace can say, and why. */
void sweep_trace_stop(struct sweep_trace *trace, const char *why);
/* A fault strikes: in the call that is noted next, or between two calls. */
void sweep_trace_fault(struct sweep_trace *trace, const struct vfake_fault_point *point, int ret);
void sweep_trace_call(struct sweep_trace *trace, const struct vfake_event *event);

/* Forgets what children noted: before one whose notes are wanted. */
void sweep_trace_rewind(struct sweep_trace *trace);

/*
 * Writes what this process noted and the child that was there last: STORY-BACKEND-NUMBER.trace, and
 * the world for it, STORY-BACKEND.json. The trace is played before it is written; should a call of
 * it not do what it did in the story, that one and those behind it become comments.
 *
 * @play: gets the command that plays it; NULL when memory is short. The caller frees it
 *
 * Returns 0 or -errno.
 */
int sweep_trace_write(const struct sweep_trace *trace, const struct sweep_finding *finding,
		      char **play);

#endif
