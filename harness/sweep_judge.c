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

	return sweep_points_ask(&sweep->points, point);
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
	sweep_trace_step(&sweep->trace, sweep->step_number, step->name);
	if (step->error && !sweep->task->count_only)
		*step->error = &sweep->error;
	sweep_points_begin(&sweep->points);
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
	sweep_live_step(&sweep->live, sweep->step);
	shared->after = sweep_state(sweep->stage, &sweep->live);
}

/* ---- what Linux or a contract does not give back ---- */

#define A_FILE                                                                                     \
	(SWEEP_FIELD(STATE_OPEN_FILES) | SWEEP_FIELD(STATE_DESCRIPTORS) |                          \
	 SWEEP_FIELD(STATE_ALLOCATIONS) | SWEEP_FIELD(STATE_FILES))

struct pardon {
	const char *step;  /* NULL: any */
	const char *point; /* of the fault; NULL: any */
	uint64_t fields;   /* that nobody could have kept */
	bool coped;	   /* only if it did not fail */
};

static const struct pardon pardons[] = {
	/* A failure keeps what was told, and what was told the kernel has forgotten. */
	{ "vfio_memory_log_sync", NULL, SWEEP_FIELD(STATE_ALLOCATIONS), false },
	/* A device that cannot go to a state is brought to another one, which has a stream or not.
	 */
	{ "vfio_device_mig_set_state", NULL, A_FILE, false },
	/* A stream that broke cannot be gone on with. */
	{ "vfio_device_mig_write", "file/write/copyin", 0, false },
	{ "vfio_device_mig_write", "user/MIG_DATA_WRITE/reply", 0, false },
	{ "vfio_device_mig_write", "file/recvmsg/entry", 0, false },
	/* A device that the kernel cannot attach to a page table that is there gets one of its own.
	 */
	{ "vfio_device_attach", "group/GROUP_GET_DEVICE_FD/commit", SWEEP_FIELD(STATE_ALLOCATIONS),
	  true },
	/* Linux has made the descriptor, and the caller never learns its number. */
	{ "vfio_set_kvm", "kvm_vm/CREATE_DEVICE/copyout", A_FILE, false },
	/* Linux drops bits that it cannot write to the caller's bitmap, and says that all is well.
	 */
	{ NULL, "iommufd/HWPT_GET_DIRTY_BITMAP/copyin", SWEEP_FIELD(STATE_DIRTY), false },
	{ NULL, "iommufd/HWPT_GET_DIRTY_BITMAP/copyout", SWEEP_FIELD(STATE_DIRTY), false },
	{ NULL, "device/DEVICE_FEATURE/copyin", SWEEP_FIELD(STATE_DIRTY), false },
	{ NULL, "device/DEVICE_FEATURE/copyout", SWEEP_FIELD(STATE_DIRTY), false },
};

static bool was_met(const struct sweep *sweep, const char *point)
{
	for (unsigned int i = 0; i < sweep->points.fault_count; i++) {
		if (!strcmp(sweep->points.faults[i].point->name, point))
			return true;
	}
	return false;
}

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

/* Whether something is not held against the step, and which fields are not. */
static bool pardoned(const struct sweep *sweep, uint64_t *fields)
{
	bool any = false;

	*fields = 0;
	for (size_t i = 0; i < sizeof(pardons) / sizeof(pardons[0]); i++) {
		const struct pardon *pardon = &pardons[i];

		if (pardon->coped && step_failed(sweep->step))
			continue;
		if (pardon->step && strcmp(pardon->step, sweep->step->name))
			continue;
		if (pardon->point && !was_met(sweep, pardon->point))
			continue;
		*fields |= pardon->fields;
		any = true;
	}
	return any;
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

/* ---- judging ---- */

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

static enum sweep_outcome judge_failure(struct sweep *sweep, const struct sweep_state *before)
{
	struct sweep_state now = sweep_state(sweep->stage, &sweep->live);
	uint64_t more = sweep_more_after_failure;
	char text[768];
	bool is_pardoned;
	uint64_t any;

	/* Tables of an sPAPR window grow where they are looked at, and are charged for. */
	if (sweep->stage->backend->manager == VFAKE_MANAGER_SPAPR)
		more |= SWEEP_FIELD(STATE_LOCKED);

	if (sweep->step->error && (sweep->error.code >= 0 || !*sweep->error.message))
		return wrong(sweep, "it fails and gives no reason");
	sweep->said_cut_off = code_of(sweep) == -EPIPE;
	if (lost_its_server(sweep))
		return SWEEP_CUT_OFF;
	is_pardoned = pardoned(sweep, &any);
	if (!is_pardoned && sweep_state_holds(&now, before, 0, 0, text, sizeof(text)))
		goto restored;
	/* What could not be undone was told. */
	if (was_told(sweep, before, &now))
		return SWEEP_GIVEN_UP;
	if (!sweep_state_holds(&now, before, more, any, text, sizeof(text)))
		return wrong(sweep, "it fails (%s) and leaves: %s", sweep->error.message, text);
	if (is_pardoned)
		return SWEEP_GIVEN_UP;
restored:
	sweep->stage->own_faulty = false;
	return SWEEP_RESTORED;
}

static enum sweep_outcome judge_success(struct sweep *sweep, const struct sweep_state *before)
{
	const struct sweep_shared *shared = sweep->shared;
	struct sweep_state now;
	char text[768];
	uint64_t any;

	if (shared->failed)
		return wrong(sweep, "it works, but without the fault it fails with %d",
			     shared->code);
	if (sweep->step->error && sweep->error.code)
		return wrong(sweep, "it works, and gives a reason for a failure: %s",
			     sweep->error.message);
	sweep_live_step(&sweep->live, sweep->step);
	now = sweep_state(sweep->stage, &sweep->live);
	if (was_told(sweep, before, &now))
		return SWEEP_COPED;
	pardoned(sweep, &any);
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
	carry_out(sweep);
	failed = step_failed(sweep->step);
	if (failed != shared->failed || (failed && code_of(sweep) != shared->code)) {
		wrong(sweep, "tried again without the fault it gives %d instead of %d: %s",
		      failed ? code_of(sweep) : 0, shared->code, sweep->error.message);
		return false;
	}
	sweep_live_step(&sweep->live, sweep->step);
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

	for (size_t i = SWEEP_STACKS; i--;)
		vfio_free(sweep->live.stacks[i]);
	for (size_t i = SWEEP_SPACES; i--;)
		vfio_memory_free(sweep->live.spaces[i]);
	if (was_cut_off)
		stage_user_visit(sweep->stage);
	if (!stage_end(sweep->stage, why, sizeof(why)))
		wrong(sweep, "after everything is taken down: %s", why);
}

void sweep_conclude(struct sweep *sweep, enum sweep_outcome outcome)
{
	bool was_cut_off = is_cut_off(sweep) && sweep->stage->backend->kind == VFIO_BACKEND_USER;

	if (outcome == SWEEP_RESTORED && !retry(sweep))
		return;
	if (outcome == SWEEP_CUT_OFF && !retry_cut_off(sweep))
		return;
	take_all_down(sweep, was_cut_off);
}
