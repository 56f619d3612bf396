/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A trace made ready to be played: every call is known, every argument is of the right kind,
 * every ioctl has its row in the table and every field its place in the struct. Whatever can be
 * wrong with a trace is found here, before the first call is made.
 */
#ifndef HARNESS_PLAN_H
#define HARNESS_PLAN_H

#include <uapi/table.h>

#include "trace.h"

enum step_op {
	STEP_OPEN,
	STEP_CLOSE,
	STEP_DUP,
	STEP_IOCTL,
	STEP_MMAP,
	STEP_MUNMAP,
	STEP_MEMFD,
	STEP_MEMLOCK,
	STEP_EVENTFD,
	STEP_READ,
	STEP_PREAD,
	STEP_PWRITE,
};

/* A field that the trace gives a value, and where it goes. */
struct step_field {
	const struct uapi_field *field;
	const struct trace_value *value;
};

struct step {
	const struct trace_call *call;
	enum step_op op;
	/* ioctl */
	uint32_t request;
	const struct uapi_ioctl
		*row; /* NULL for a request given as a number, which takes a number */
	const struct trace_value *arg;	 /* NULL where there is none */
	const struct step_field *fields; /* those of a struct argument */
	uint32_t field_count;
};

struct plan {
	const struct trace *trace;
	struct step *steps;
	uint32_t step_count;
	struct step_field *fields;
};

/*
 * plan_make - check a trace's calls and look everything up
 * @trace: must outlive the plan
 * @plan: receives the plan, which the caller frees with plan_free(); NULL on failure
 * @error: filled on failure: the first place that makes no sense
 *
 * Returns 0, -EINVAL or -ENOMEM.
 */
int plan_make(const struct trace *trace, struct plan **plan, struct trace_error *error);

/* Frees a plan. NULL is fine. */
void plan_free(struct plan *plan);

#endif
