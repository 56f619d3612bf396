/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a story asked of the kernel, for people who look at a violation: one line a call, as in a
 * trace (TRACE.md) but with plain descriptors and without structs' fields that are 0; steps and
 * faults are comments. It cannot be replayed: memory and descriptors have no names.
 */
#ifndef HARNESS_SWEEP_TRACE_H
#define HARNESS_SWEEP_TRACE_H

#include <stddef.h>
#include <stdio.h>

#include <vfake/fault.h>

struct sweep_trace {
	FILE *to; /* NULL: nothing is noted */
	char *text;
	size_t size;
};

void sweep_trace_start(struct sweep_trace *trace);
void sweep_trace_end(struct sweep_trace *trace);
void sweep_trace_step(struct sweep_trace *trace, unsigned int number, const char *name);
void sweep_trace_call(struct sweep_trace *trace, const struct vfake_event *event);
/* Writes what was noted so far. 0 or -errno. */
int sweep_trace_write(struct sweep_trace *trace, const char *path);

#endif
