/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fault points that a step passes, and making it fail at some of them.
 */
#ifndef HARNESS_SWEEP_POINTS_H
#define HARNESS_SWEEP_POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"

/*
 * A point is tried each time that a step comes by. Where a step comes by very often, only the first
 * and the last times are tried. A process dies at each of its calls; a step that makes more of them
 * than this is one for which nobody has written a story of deaths.
 */
enum { SWEEP_PASSES = 1 << 18, SWEEP_FIRST = 24, SWEEP_LAST = 8, SWEEP_KILLS = 512 };

/* One time that a step came by a point. */
struct sweep_pass {
	const struct vfake_fault_point *point;
	uint32_t nth; /* of those at this point, from 1 */
	uint32_t of;
	uint64_t hash; /* of all that the step did before */
};

/* All of a step. */
struct sweep_passes {
	uint32_t count;
	uint32_t lost; /* there was no room */
	uint64_t hash; /* of all that it did */
	struct sweep_pass pass[SWEEP_PASSES];
};

/* A fault that is to strike. */
struct sweep_fault {
	const struct vfake_fault_point *point;
	uint32_t nth;
	uint32_t skipped; /* passes by the point that are over when it is armed: second of a pair */
	uint32_t at;	  /* passes before */
	uint64_t hash;
	int code;    /* positive errno */
	bool sticky; /* each time from then on */
};

enum { SWEEP_FAULTS = 2 };

/* What points ask, and what they get. */
struct sweep_points {
	struct fault *fault;
	bool inside;		     /* a step is carried out; outside of one nothing fails */
	struct sweep_passes *record; /* where passes are noted, or NULL */
	struct sweep_fault faults[SWEEP_FAULTS];
	unsigned int fault_count;
	unsigned int hit_count; /* faults that struck, in order */
	bool came_again;	/* by the point of the last one */
	bool strayed; /* what was done before a fault is not what was done when it was recorded */
	uint32_t at;  /* passes so far */
	uint64_t hash;
};

/* A step begins and ends. The caller has set record and faults. */
void sweep_points_begin(struct sweep_points *points);
void sweep_points_end(struct sweep_points *points);

/* A fault point asks: 0, or -errno to fail with. */
int sweep_points_ask(struct sweep_points *points, const struct vfake_fault_point *point);
/* A call came to its end. */
void sweep_points_see(struct sweep_points *points, const struct vfake_event *event);

/* ---- going through them ---- */

/* All errnos of all passes, sticky where the point is passed once more after it failed. */
struct sweep_cursor {
	uint32_t pass;
	uint32_t code;
	bool sticky;
};

/*
 * The fault at the cursor, or false behind the last. @first: the fault that was met when the passes
 * were noted, or NULL.
 */
bool sweep_fault_at(const struct sweep_passes *passes, const struct sweep_cursor *cursor,
		    const struct sweep_fault *first, struct sweep_fault *fault);
/* Moves on. @came_again: after the fault at the cursor struck, its point was passed again. */
void sweep_cursor_next(const struct sweep_passes *passes, struct sweep_cursor *cursor,
		       bool came_again);
bool sweep_cursors_equal(const struct sweep_cursor *a, const struct sweep_cursor *b);
/* Whether a pass is one of those that are tried. */
bool sweep_is_tried(const struct sweep_pass *pass);

/* "type1/MAP_DMA/commit#2:ENOMEM:once". */
enum { SWEEP_FAULT_TEXT = 96 };
void sweep_fault_print(const struct sweep_fault *fault, char *text, size_t size);
/* Reads one: its point, nth, code and whether it is sticky. False when it is none. */
bool sweep_fault_read(const char *text, struct sweep_fault *fault);

#endif
