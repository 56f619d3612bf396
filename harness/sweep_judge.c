/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a step did with a fault, held against what it does without one.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "stage_internal.h"
#include "sweep_internal.h"

static enum sweep_outcome wrong(struct sweep *sweep, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static enum sweep_outcome wrong(struct sweep *sweep, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(sweep->shared->text, sizeof(sweep->shared->text), format, args);
	va_end(args);
	sweep->shared->wrong = true;
	return SWEEP_WRONG;
}

/* ---- carrying it out ---- */

int sweep_asked(void *ctx, const struct vfake_fault_point *point)
{
	struct sweep *sweep = ctx;
	int ret = sweep_points_ask(&sweep->points, point);

	/* A story makes calls fail, too: outside of steps that are swept. */
	if (ret && !sweep->points.inside)
		sweep_trace_stop(&sweep->trace, "a call that the story makes fail");
	else if (ret)
		sweep_trace_fault(&sweep->trace, point, ret);
	return ret;
}

void sweep_seen(void *ctx, const struct vfake_event *event)
{
	struct sweep *sweep = ctx;

	sweep_points_see(&sweep->points, event);
	sweep_trace_call(&sweep->trace, event);
}

static void carry_out(struct sweep *sweep)
{
	const struct step *step = sweep->step;

	sweep->error = (struct vfio_error){ 0 };
	if (step->error && !sweep->task->count_only)
		*step->error = &sweep->error;
	sweep->stage->own_dead = NULL;
	sweep_points_begin(&sweep->points);
	if (!setjmp(sweep->stage->own_way_out))
		step->call(step->args);
	sweep_points_end(&sweep->points);
}

/* Of a step that failed. */
static int code_of(const struct sweep *sweep)
{
	if (sweep->step->kind == STEP_CODE)
		return *(const int *)sweep->step->result;
	return sweep->error.code;
}

void sweep_note(struct sweep *sweep, struct sweep_passes *passes)
{
	struct sweep_shared *shared = sweep->shared;

	sweep->points.record = passes;
	sweep->points.fault_count = 0;
	if (sweep->first)
		sweep->points.faults[sweep->points.fault_count++] = *sweep->first;
	carry_out(sweep);
	sweep->points.record = NULL;
	if (sweep->first)
		return;
	shared->failed = step_failed(sweep->step);
	shared->code = shared->failed ? code_of(sweep) : 0;
	sweep_live_step(&sweep->live, sweep->stage, sweep->step);
	shared->after = sweep_state(sweep->stage, &sweep->live);
}

/* ---- judging ---- */

/* A fault broke the connection to a server. */
static bool is_cut_off(const struct sweep *sweep)
{
	for (unsigned int i = 0; i < sweep->points.fault_count; i++) {
		int code = sweep->points.faults[i].code;

		if (code == EPIPE || code == ECONNRESET)
			return true;
	}
	return false;
}

/* Whose step it is, where its first argument is a stack; NULL: the stage's. */
static const struct stage_process *whose(const struct sweep *sweep)
{
	return sweep_live_process(&sweep->live, sweep->stage, step_subject(sweep->step));
}

/*
 * The VMM was told what a step could not do or undo: more often than without the fault, or for
 * another reason.
 */
static bool was_told(const struct sweep *sweep, const struct sweep_state *before,
		     const struct sweep_state *now)
{
	const struct sweep_state *after = &sweep->shared->after;

	if (now->reports <= before->reports)
		return false;
	return now->reports > after->reports ||
	       (now->reports == after->reports && now->report_code != after->report_code);
}

/*
 * The connection to a vfio-user server has ended. It stays so, and every call says so, until the
 * device is attached anew; what the server had goes at once. What ended it behind a failure, when
 * the step tried to undo something, need not be what it says first.
 */
static bool lost_its_server(const struct sweep *sweep)
{
	return sweep->stage->backend->kind == VFIO_BACKEND_USER &&
	       (code_of(sweep) == -EPIPE || is_cut_off(sweep)) &&
	       strcmp(sweep->step->name, "vfio_device_attach") != 0;
}

/* Whoever is left goes on, and all of them end. */
static enum sweep_outcome recover(struct sweep *sweep, const struct stage_process *process,
				  bool died)
{
	struct stage *stage = sweep->stage;

	process->recover(process->ctx, died);
	sweep_live_prune(&sweep->live, stage);
	if (stage->own_processes)
		return wrong(sweep, "processes of the story are left");
	return stage->own_oddities ? wrong(sweep, "%s", stage->own_odd) : SWEEP_GONE;
}

static enum sweep_outcome go_on(struct sweep *sweep, enum sweep_pardon_law law)
{
	const struct stage_process *process = law == PARDON_TAKING ? whose(sweep) : NULL;

	if (law == PARDON_PART)
		return SWEEP_PART;
	return process && process->recover ? recover(sweep, process, false) : SWEEP_GIVEN_UP;
}

/* What each VMM does when a call failed. */
static void tidy_up(const struct stage *stage)
{
	for (const struct stage_process *p = stage->own_processes; p; p = p->own_next) {
		if (p->tidy)
			p->tidy(p->ctx);
	}
}

static enum sweep_outcome judge_failure(struct sweep *sweep, const struct sweep_state *before)
{
	uint64_t more = sweep_more_after_failure;
	const struct sweep_pardon *pardon;
	struct sweep_state now;
	char text[768];
	uint64_t any;

	tidy_up(sweep->stage);
	now = sweep_state(sweep->stage, &sweep->live);
	/* Tables of an sPAPR window grow where they are looked at, and are charged for. */
	if (sweep->stage->backend->manager == VFAKE_MANAGER_SPAPR)
		more |= SWEEP_FIELD(STATE_LOCKED);

	if (sweep->step->error && (sweep->error.code >= 0 || !*sweep->error.message))
		return wrong(sweep, "it fails and gives no reason");
	sweep->said_cut_off = code_of(sweep) == -EPIPE;
	if (lost_its_server(sweep))
		return SWEEP_CUT_OFF;
	pardon = sweep_pardoned(sweep, &any);
	/* All that it was handed it closes. */
	if (pardon && pardon->law == PARDON_TAKING)
		now.field[STATE_DESCRIPTORS] += now.taken - before->taken;
	if (!pardon && sweep_state_holds(&now, before, 0, 0, text, sizeof(text)))
		goto restored;
	/* What could not be undone was told. */
	if (was_told(sweep, before, &now))
		return SWEEP_GIVEN_UP;
	if (!sweep_state_holds(&now, before, more, any, text, sizeof(text)))
		return wrong(sweep, "it fails (%s) and leaves: %s", sweep->error.message, text);
	if (pardon)
		return go_on(sweep, pardon->law);
restored:
	sweep->stage->own_faulty = false;
	return SWEEP_RESTORED;
}

static enum sweep_outcome judge_success(struct sweep *sweep, const struct sweep_state *before)
{
	const struct sweep_shared *shared = sweep->shared;
	const struct sweep_pardon *pardon;
	struct sweep_state now;
	char text[768];
	uint64_t any;

	pardon = sweep_pardoned(sweep, &any);
	if (shared->failed && pardon && pardon->code)
		return SWEEP_COPED;
	if (shared->failed)
		return wrong(sweep, "it works, but without the fault it fails with %d",
			     shared->code);
	if (sweep->step->error && sweep->error.code)
		return wrong(sweep, "it works, and gives a reason for a failure: %s",
			     sweep->error.message);
	sweep_live_step(&sweep->live, sweep->stage, sweep->step);
	now = sweep_state(sweep->stage, &sweep->live);
	if (was_told(sweep, before, &now))
		return SWEEP_COPED;
	/* Where it gives up without a fault, too, its tables may have grown by then or not. */
	if (now.reports > before->reports)
		any |= SWEEP_FIELD(STATE_BLOCKS);
	if (!sweep_state_holds(&now, &shared->after, sweep_more_after_success, any, text,
			       sizeof(text)))
		return wrong(sweep, "it works and tells nobody, but differs: %s", text);
	return SWEEP_COPED;
}

enum sweep_outcome sweep_try(struct sweep *sweep, const struct sweep_fault *fault)
{
	struct sweep_points *points = &sweep->points;
	struct sweep_state before = sweep_state(sweep->stage, &sweep->live);

	points->fault_count = 0;
	if (sweep->first)
		points->faults[points->fault_count++] = *sweep->first;
	points->faults[points->fault_count++] = *fault;
	sweep->task->tally->faults++;
	sweep->task->tally->done += !sweep->first && !fault->sticky;
	sweep->task->tally->pairs += sweep->first != NULL;
	carry_out(sweep);
	sweep->shared->came_again = points->came_again;
	points->strayed |= points->hit_count < points->fault_count;
	if (points->hit_count < points->fault_count)
		return wrong(sweep, "the fault is not met");
	if (points->strayed)
		return wrong(sweep, "what it does before the fault is not what it does without");
	if (sweep->stage->own_oddities)
		return wrong(sweep, "%s", sweep->stage->own_odd);
	if (sweep->stage->own_dead) {
		sweep->task->tally->deaths++;
		return recover(sweep, sweep->stage->own_dead, true);
	}
	return step_failed(sweep->step) ? judge_failure(sweep, &before)
					: judge_success(sweep, &before);
}

/* ---- the end ---- */

/* Once more, after all faults failed it and left nothing: as if they had not been. */
static bool retry(struct sweep *sweep)
{
	const struct sweep_shared *shared = sweep->shared;
	struct sweep_state now;
	char text[768];
	bool failed;

	sweep->points.fault_count = 0;
	sweep_trace_note(&sweep->trace, "the step is tried again");
	carry_out(sweep);
	failed = step_failed(sweep->step);
	if (failed != shared->failed || (failed && code_of(sweep) != shared->code)) {
		wrong(sweep, "tried again without the fault it gives %d instead of %d: %s",
		      failed ? code_of(sweep) : 0, shared->code, sweep->error.message);
		return false;
	}
	sweep_live_step(&sweep->live, sweep->stage, sweep->step);
	now = sweep_state(sweep->stage, &sweep->live);
	if (sweep_state_holds(&now, &shared->after, sweep_more_after_success, 0, text,
			      sizeof(text)))
		return true;
	wrong(sweep, "tried again without the fault it differs: %s", text);
	return false;
}

/*
 * Once more, after the connection ended: it says so, and that is all it does. A server that is gone
 * instead of a reply that nobody wants is not gone; then it does what it does without the fault.
 */
static bool retry_cut_off(struct sweep *sweep)
{
	const struct sweep_shared *shared = sweep->shared;
	struct sweep_state before = sweep_state(sweep->stage, &sweep->live), now;
	char text[768];

	sweep->points.fault_count = 0;
	sweep_trace_note(&sweep->trace, "the step is tried again");
	carry_out(sweep);
	if (!sweep->said_cut_off && step_failed(sweep->step) == shared->failed &&
	    (!shared->failed || code_of(sweep) == shared->code))
		return true;
	if (!step_failed(sweep->step) || code_of(sweep) != -EPIPE ||
	    (sweep->step->error && !*sweep->error.message)) {
		wrong(sweep, "tried again after the connection ended it gives %d: %s",
		      step_failed(sweep->step) ? code_of(sweep) : 0, sweep->error.message);
		return false;
	}
	now = sweep_state(sweep->stage, &sweep->live);
	if (sweep_state_holds(&now, &before, sweep_more_after_failure, 0, text, sizeof(text)))
		return true;
	wrong(sweep, "tried again after the connection ended it changes: %s", text);
	return false;
}

/* A server that lost its client takes another one. */
static void take_all_down(struct sweep *sweep, bool was_cut_off)
{
	char why[STAGE_TEXT];

	sweep_trace_note(&sweep->trace, "everything is taken down");
	for (size_t i = SWEEP_STACKS; i--;)
		vfio_free(sweep->live.stacks[i]);
	for (size_t i = SWEEP_SPACES; i--;)
		vfio_memory_free(sweep->live.spaces[i]);
	if (was_cut_off)
		stage_user_visit(sweep->stage);
	stage_end_processes(sweep->stage);
	if (!stage_end(sweep->stage, why, sizeof(why)))
		wrong(sweep, "after everything is taken down: %s", why);
}

void sweep_conclude(struct sweep *sweep, enum sweep_outcome outcome)
{
	bool was_cut_off = is_cut_off(sweep) && sweep->stage->backend->kind == VFIO_BACKEND_USER;

	if ((outcome == SWEEP_RESTORED || outcome == SWEEP_PART) && !retry(sweep))
		return;
	if (outcome == SWEEP_CUT_OFF && !retry_cut_off(sweep))
		return;
	take_all_down(sweep, was_cut_off);
}
