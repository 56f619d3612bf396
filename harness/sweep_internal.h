/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the sweep's engine share.
 */
#ifndef HARNESS_SWEEP_INTERNAL_H
#define HARNESS_SWEEP_INTERNAL_H

#include "sweep_engine.h"
#include "sweep_memory.h"
#include "sweep_points.h"
#include "sweep_state.h"
#include "sweep_trace.h"

/* What children tell. */
struct sweep_shared {
	/* without a fault */
	bool failed;
	int code;
	struct sweep_state after;
	/* with one */
	struct sweep_cursor now;  /* what is being tried */
	struct sweep_cursor next; /* what is not yet tried */
	bool came_again;
	bool one_by_one; /* a child tries one fault only */
	bool concluding; /* all that was tried was good by itself */
	bool wrong;
	char text[1024]; /* what is wrong */
	char trace[512]; /* where the calls are; empty: nowhere */
};

enum { SWEEP_DONE = 16384 };

struct sweep {
	const struct sweep_task *task;
	struct stage *stage;
	struct sweep_live live;
	bool foreign;		 /* the story has more than the stage sees */
	const struct step *step; /* the one that is swept */
	uint32_t step_number;
	struct sweep_shared *shared;
	struct sweep_passes *passes;
	struct sweep_passes *more_passes;
	const struct sweep_fault *first; /* of a pair, or NULL */
	struct sweep_points points;
	struct sweep_memory memory;
	struct sweep_trace trace;
	struct sweep_state before; /* the step */
	uint64_t *done;		   /* what steps did that were swept, SWEEP_DONE of them */
	size_t done_count;
	struct vfio_error error; /* of the step */
	bool said_cut_off;	 /* the step said that its server is gone */
	unsigned int told;
};

/* The hooks of the kernel. */
int sweep_asked(void *ctx, const struct vfake_fault_point *point);
void sweep_seen(void *ctx, const struct vfake_event *event);

/* ---- in a child: sweep_judge.c ---- */

enum sweep_outcome {
	SWEEP_RESTORED, /* it failed, and all is as it was */
	SWEEP_COPED,	/* it did not fail */
	SWEEP_GIVEN_UP, /* it failed, and told the VMM what could not be undone */
	SWEEP_CUT_OFF,	/* it failed, and its server is gone for good */
	SWEEP_WRONG,	/* shared->text says why */
};

/* Carries the step out and notes what it does. */
void sweep_note(struct sweep *sweep, struct sweep_passes *passes);
/* Carries it out with a fault. */
enum sweep_outcome sweep_try(struct sweep *sweep, const struct sweep_fault *fault);
/* Carries it out once more without one, where all is as it was; takes everything down. */
void sweep_conclude(struct sweep *sweep, enum sweep_outcome outcome);

#endif
