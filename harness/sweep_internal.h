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

/* ---- where the law is weaker: sweep_pardon.c ---- */

enum sweep_pardon_law {
	PARDON_KEPT,   /* it stays so; nothing is tried again */
	PARDON_COPED,  /* only of a step that did not fail */
	PARDON_PART,   /* trying again does the rest, and then all is as without the fault */
	PARDON_SHARED, /* only of a step that did not fail, while another process has devices */
	PARDON_TAKING, /* only while a saved state is taken over: who tried has to end */
};

struct sweep_pardon {
	const char *step;  /* NULL: any */
	const char *point; /* of the fault; NULL: any */
	uint64_t fields;   /* that nobody could have kept */
	enum sweep_pardon_law law;
	int code; /* errno of the fault; 0: any */
};

/* What is not held against the step that was carried out, and in *fields which fields; NULL: all
 * is.
 */
const struct sweep_pardon *sweep_pardoned(const struct sweep *sweep, uint64_t *fields);

/* ---- in a child: sweep_judge.c ---- */

enum sweep_outcome {
	SWEEP_RESTORED, /* it failed, and all is as it was */
	SWEEP_COPED,	/* it did not fail */
	SWEEP_GIVEN_UP, /* it failed, and told the VMM what could not be undone */
	SWEEP_PART,	/* it failed, and trying again goes on where it stopped */
	SWEEP_GONE,	/* a process died or had to end, and who was left went on */
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
