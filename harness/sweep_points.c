/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Noting the points that a step passes, and striking at them.
 *
 * A fault knows what was done before it when its point was noted. If that is not what was done this
 * time, the step does not do the same thing twice, and nothing that follows would prove anything.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uapi/table.h>

#include "sweep_points.h"

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

/* How often each point was passed, by the numbers of passes that are noted: the newest one tells.
 */
static uint32_t count_before(const struct sweep_passes *passes,
			     const struct vfake_fault_point *point)
{
	for (uint32_t i = passes->count; i--;) {
		if (passes->pass[i].point == point)
			return passes->pass[i].nth;
	}
	return 0;
}

/* Backwards, the first one met of a point is its last. */
static void number_passes(struct sweep_passes *passes)
{
	for (uint32_t i = passes->count; i--;) {
		struct sweep_pass *pass = &passes->pass[i];

		if (!pass->of)
			pass->of = pass->nth;
		for (uint32_t j = i; j-- && pass->nth > 1;) {
			if (passes->pass[j].point != pass->point)
				continue;
			passes->pass[j].of = pass->of;
			break;
		}
	}
}

static void arm(struct sweep_points *points)
{
	const struct sweep_fault *fault = &points->faults[points->hit_count];

	if (points->hit_count < points->fault_count)
		fault_arm(points->fault, fault->point->name, fault->nth - fault->skipped,
			  fault->code, fault->sticky);
}

void sweep_points_begin(struct sweep_points *points)
{
	points->hit_count = 0;
	points->came_again = false;
	points->strayed = false;
	points->at = 0;
	points->hash = 1;
	if (points->record) {
		points->record->count = 0;
		points->record->lost = 0;
	}
	points->inside = true;
	arm(points);
}

void sweep_points_end(struct sweep_points *points)
{
	points->inside = false;
	fault_disarm(points->fault);
	if (!points->record)
		return;
	points->record->hash = points->hash;
	number_passes(points->record);
}

static void note(struct sweep_points *points, const struct vfake_fault_point *point)
{
	struct sweep_passes *passes = points->record;

	if (passes->count == SWEEP_PASSES) {
		passes->lost++;
		return;
	}
	passes->pass[passes->count] = (struct sweep_pass){
		.point = point,
		.nth = count_before(passes, point) + 1,
		.hash = points->hash,
	};
	passes->count++;
}

/* Faults strike in order: the second one is armed when the first one has struck. */
static int strike(struct sweep_points *points, const struct vfake_fault_point *point)
{
	int ret = fault_pass(points->fault, point);
	const struct sweep_fault *fault;

	if (points->hit_count && points->faults[points->hit_count - 1].point == point)
		points->came_again = true;
	if (!ret || points->hit_count == points->fault_count)
		return ret;
	fault = &points->faults[points->hit_count++];
	points->strayed |= fault->at != points->at || fault->hash != points->hash;
	arm(points);
	return ret;
}

int sweep_points_ask(struct sweep_points *points, const struct vfake_fault_point *point)
{
	int ret;

	/* What a story arms for itself. */
	if (!points->inside)
		return fault_pass(points->fault, point);
	if (points->record)
		note(points, point);
	ret = strike(points, point);
	points->at++;
	points->hash = mix(points->hash, (uint64_t)(uintptr_t)point);
	return ret;
}

/* Addresses of arguments are left out: a step that is carried out twice has others. */
static uint64_t mix_struct(uint64_t hash, const struct uapi_struct *layout, const void *in)
{
	for (uint16_t i = 0; layout && i < layout->field_count; i++) {
		const struct uapi_field *field = &layout->fields[i];

		if (field->width && !field->tail && (field->dir & UAPI_IN) &&
		    field->role != UAPI_PTR)
			hash = mix(hash, uapi_field_get(field, in));
	}
	return hash;
}

void sweep_points_see(struct sweep_points *points, const struct vfake_event *event)
{
	uint64_t hash = points->hash;

	if (!points->inside)
		return;
	if (event->row && event->in)
		hash = mix_struct(hash, event->row->arg, event->in);
	hash = mix(hash, (uint64_t)(uintptr_t)event->row);
	hash = mix(hash, (uint64_t)event->request);
	hash = mix(hash, (uint64_t)event->fd);
	hash = mix(hash, event->len);
	hash = mix(hash, event->offset);
	points->hash = mix(hash, (uint64_t)event->ret);
}

/* ---- going through them ---- */

bool sweep_is_tried(const struct sweep_pass *pass)
{
	if (pass->point->errnos[0] == FAULT_KILL)
		return pass->nth <= SWEEP_KILLS;
	return pass->nth <= SWEEP_FIRST || pass->of - pass->nth < SWEEP_LAST;
}

/* How often @point was passed up to pass @at. */
static uint32_t count_until(const struct sweep_passes *passes,
			    const struct vfake_fault_point *point, uint32_t at)
{
	do {
		if (passes->pass[at].point == point)
			return passes->pass[at].nth;
	} while (at--);
	return 0;
}

bool sweep_fault_at(const struct sweep_passes *passes, const struct sweep_cursor *cursor,
		    const struct sweep_fault *first, struct sweep_fault *fault)
{
	const struct sweep_pass *pass = &passes->pass[cursor->pass];

	if (cursor->pass >= passes->count)
		return false;
	*fault = (struct sweep_fault){
		.point = pass->point,
		.nth = pass->nth,
		.skipped = first ? count_until(passes, pass->point, first->at) : 0,
		.at = cursor->pass,
		.hash = pass->hash,
		.code = pass->point->errnos[cursor->code],
		.sticky = cursor->sticky,
	};
	return true;
}

void sweep_cursor_next(const struct sweep_passes *passes, struct sweep_cursor *cursor,
		       bool came_again)
{
	if (came_again && !cursor->sticky) {
		cursor->sticky = true;
		return;
	}
	cursor->sticky = false;
	cursor->code++;
	if (passes->pass[cursor->pass].point->errnos[cursor->code])
		return;
	cursor->code = 0;
	do
		cursor->pass++;
	while (cursor->pass < passes->count && !sweep_is_tried(&passes->pass[cursor->pass]));
}

bool sweep_cursors_equal(const struct sweep_cursor *a, const struct sweep_cursor *b)
{
	return a->pass == b->pass && a->code == b->code && a->sticky == b->sticky;
}

/* ---- as text ---- */

void sweep_fault_print(const struct sweep_fault *fault, char *text, size_t size)
{
	const char *code = fault_code_name(fault->code);

	snprintf(text, size, "%s#%u:%s:%s", fault->point->name, fault->nth, code ? code : "?",
		 fault->sticky ? "sticky" : "once");
}

bool sweep_fault_read(const char *text, struct sweep_fault *fault)
{
	const char *number = strchr(text, '#');
	const char *code = number ? strchr(number, ':') : NULL;
	const char *mode = code ? strchr(code + 1, ':') : NULL;
	char point[SWEEP_FAULT_TEXT];
	char *end;

	*fault = (struct sweep_fault){ .nth = 0 };
	if (!mode || (size_t)(number - text) >= sizeof(point))
		return false;
	memcpy(point, text, (size_t)(number - text));
	point[number - text] = 0;
	fault->point = fault_find(point);
	fault->nth = (uint32_t)strtoul(number + 1, &end, 10);
	fault->code = fault_code_by_name(code + 1, (size_t)(mode - code - 1));
	fault->sticky = !strcmp(mode + 1, "sticky");
	return fault->point && end == code && fault->nth && fault->code &&
	       (fault->sticky || !strcmp(mode + 1, "once"));
}
