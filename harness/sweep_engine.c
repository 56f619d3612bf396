/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processes of a sweep: who forks whom, and who tells what.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stage_internal.h"
#include "sweep_internal.h"

enum { CHILD_LIMIT_S = 20, CHILD_WAIT_S = 300, TOLD_MAX = 3, LARGE_BYTES = 256 * 1024 };

/* ---- children ---- */

/* Ends a child. What it left behind is no news. */
static void leave(void)
{
	_exit(0);
}

/* Of its own time, because there may be others on the machine; and one that waits does not end. */
static void limit_time(void)
{
	const struct itimerval limit = { .it_value.tv_sec = CHILD_LIMIT_S };

	setitimer(ITIMER_PROF, &limit, NULL);
	alarm(CHILD_WAIT_S);
}

/* True in the child; false in the parent, after the child ended as *status tells. */
static bool in_child(struct sweep *sweep, int *status)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		limit_time();
		return true;
	}
	sweep->task->tally->children++;
	*status = 0;
	if (pid < 0)
		fail_msg("fork: %s", strerror(errno));
	while (waitpid(pid, status, 0) < 0) {
		if (errno != EINTR)
			fail_msg("waitpid: %s", strerror(errno));
	}
	if (!sweep_memory_restore(&sweep->memory))
		fail_msg("shared memory cannot be restored: %s", strerror(errno));
	return false;
}

/* A child that did not come to its end has found something, too. */
static void look_at_end(struct sweep *sweep, int status)
{
	struct sweep_shared *shared = sweep->shared;

	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return;
	shared->wrong = true;
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGPROF || WTERMSIG(status) == SIGALRM))
		snprintf(shared->text, sizeof(shared->text), "it takes longer than %d s",
			 CHILD_LIMIT_S);
	else if (WIFSIGNALED(status))
		snprintf(shared->text, sizeof(shared->text), "it dies of signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(shared->text, sizeof(shared->text), "an assertion fails, or it exits");
}

/* ---- one fault, or a batch ---- */

/* Tries one fault (after the one that all have in common) and nothing else. */
static bool confirm(struct sweep *sweep, const struct sweep_fault *fault)
{
	int status;

	sweep->shared->wrong = false;
	sweep_trace_rewind(&sweep->trace);
	if (in_child(sweep, &status)) {
		enum sweep_outcome outcome = sweep_try(sweep, fault);

		if (outcome != SWEEP_WRONG)
			sweep_conclude(sweep, outcome);
		leave();
	}
	look_at_end(sweep, status);
	return sweep->shared->wrong;
}

/* For who only wants to know whether there is one. Ends the story. */
static void end_at_first(const struct sweep *sweep)
{
	if (sweep->task->first_only)
		fail_msg("the sweep ends at the first violation");
}

/* What the story did up to here, and with the fault, as a trace. */
static void tell_trace(struct sweep *sweep, const char *where, const char *repeat)
{
	const struct sweep_task *task = sweep->task;
	const struct sweep_finding finding = {
		.folder = task->traces,
		.story = task->story->name,
		.backend = task->backend->name,
		.number = sweep->told,
		.program = task->program,
		.where = where,
		.what = sweep->shared->text,
		.repeat = repeat,
	};
	char *play;
	int ret = sweep_trace_write(&sweep->trace, &finding, &play);

	if (ret)
		fprintf(task->to, "    no trace: %s\n", strerror(-ret));
	else
		fprintf(task->to, "    play: %s\n", play);
	free(play);
}

static void tell(struct sweep *sweep, const struct sweep_fault *fault, const char *note)
{
	const struct sweep_task *task = sweep->task;
	char text[2][SWEEP_FAULT_TEXT] = { "", "" };
	char chosen[2 * SWEEP_FAULT_TEXT + 2], where[512], seed[32] = "";
	char *repeat;

	task->tally->violations++;
	if (sweep->told++ >= TOLD_MAX && !task->tell_all)
		return;
	sweep_fault_print(fault, text[0], sizeof(text[0]));
	if (sweep->first)
		sweep_fault_print(sweep->first, text[1], sizeof(text[1]));
	snprintf(chosen, sizeof(chosen), "%s%s%s", text[1], *text[1] ? "+" : "", text[0]);
	snprintf(where, sizeof(where), "step %u, %s, with %s", sweep->step_number,
		 sweep->step->name, chosen);
	if (task->seed)
		snprintf(seed, sizeof(seed), " --seed %llu", (unsigned long long)task->seed);
	if (asprintf(&repeat, "%s sweep --only '%u:%s'%s %s/%s%s", task->program,
		     sweep->step_number, chosen, seed, task->story->name, task->backend->name,
		     task->files ? task->files : "") < 0)
		fail_msg("memory is short");
	fprintf(task->to, "  %s\n    %s%s\n", where, sweep->shared->text, note);
	/* What several faults in one process did was not noted by itself. */
	if (sweep->trace.text && !*note)
		tell_trace(sweep, where, repeat);
	fprintf(task->to, "    repeat: %s\n", repeat);
	free(repeat);
	end_at_first(sweep);
}

/* Finds out which fault of a batch is to blame: by itself, or only behind others. */
static void blame(struct sweep *sweep, const struct sweep_cursor *from,
		  const struct sweep_cursor *to)
{
	struct sweep_cursor cursor = *from;
	struct sweep_fault fault = { .nth = 0 };
	struct sweep_shared *shared = sweep->shared;
	char text[sizeof(shared->text)];
	unsigned int found = 0;

	memcpy(text, shared->text, sizeof(text));
	while (!sweep_cursors_equal(&cursor, to) &&
	       sweep_fault_at(sweep->passes, &cursor, sweep->first, &fault)) {
		shared->came_again = false;
		if (confirm(sweep, &fault)) {
			tell(sweep, &fault, "");
			found++;
		}
		sweep_cursor_next(sweep->passes, &cursor, shared->came_again);
	}
	if (found)
		return;
	memcpy(shared->text, text, sizeof(text));
	tell(sweep, &fault, ", but only after the faults before it in the same process");
}

/*
 * In a child: one fault after the other, as long as each leaves things as they were. A table that
 * the kernel made larger stays so; then a step does not allocate what it did the first time, and
 * each of its faults gets a child of its own.
 */
static void try_batch(struct sweep *sweep)
{
	struct sweep_shared *shared = sweep->shared;
	enum sweep_outcome outcome = SWEEP_RESTORED;
	struct sweep_fault fault;
	bool first = true;

	while (outcome == SWEEP_RESTORED && (first || !shared->one_by_one) &&
	       sweep_fault_at(sweep->passes, &shared->next, sweep->first, &fault)) {
		shared->now = shared->next;
		outcome = sweep_try(sweep, &fault);
		if (sweep->points.strayed && !first) {
			shared->one_by_one = true;
			shared->wrong = false;
			leave();
		}
		sweep_cursor_next(sweep->passes, &shared->next, shared->came_again);
		first = false;
	}
	if (outcome != SWEEP_WRONG) {
		shared->concluding = true;
		sweep_conclude(sweep, outcome);
	}
	leave();
}

/* All faults that the passes allow; of a pair, those behind the first one. */
static void try_all(struct sweep *sweep)
{
	struct sweep_shared *shared = sweep->shared;
	struct sweep_fault fault;

	shared->next = (struct sweep_cursor){ .pass = sweep->first ? sweep->first->at + 1 : 0 };
	shared->one_by_one = false;
	while (sweep_fault_at(sweep->passes, &shared->next, sweep->first, &fault)) {
		struct sweep_cursor from = shared->next, to;
		int status;

		shared->wrong = false;
		shared->concluding = false;
		shared->came_again = false;
		if (in_child(sweep, &status))
			try_batch(sweep);
		look_at_end(sweep, status);
		if (shared->wrong && sweep_cursors_equal(&shared->now, &shared->next))
			sweep_cursor_next(sweep->passes, &shared->next, false);
		if (!shared->wrong)
			continue;
		if (!shared->concluding)
			from = shared->now;
		to = shared->next;
		blame(sweep, &from, &to);
	}
}

/* ---- a step ---- */

/* Carries it out without a fault, or with the first of a pair, and notes what it does. */
static bool count(struct sweep *sweep, struct sweep_passes *passes)
{
	int status;

	sweep->shared->wrong = false;
	if (in_child(sweep, &status)) {
		sweep_note(sweep, passes);
		leave();
	}
	look_at_end(sweep, status);
	return !sweep->shared->wrong;
}

/* For each fault that the step can meet: what it does then, and each fault that can come on top. */
static void try_pairs(struct sweep *sweep)
{
	struct sweep_passes *passes = sweep->passes;
	struct sweep_cursor cursor = { .pass = 0 };
	struct sweep_fault first;

	while (sweep_fault_at(passes, &cursor, NULL, &first)) {
		sweep->first = &first;
		sweep->passes = sweep->more_passes;
		/* A single fault that it does not survive was told already. */
		if (count(sweep, sweep->passes))
			try_all(sweep);
		sweep->passes = passes;
		sweep->first = NULL;
		sweep_cursor_next(passes, &cursor, false);
	}
}

/*
 * Whether a step in the same state did the same before: the same function, call for call with
 * arguments and results, and the same state after it. Its faults would be the same.
 */
static bool is_repeat(struct sweep *sweep)
{
	uint64_t key = sweep->passes->hash ^ sweep_state_hash(&sweep->before) * 3 ^
		       sweep_state_hash(&sweep->shared->after) * 5;

	for (const char *c = sweep->step->name; *c; c++)
		key = key * 31 + (unsigned char)*c;
	for (size_t i = 0; i < sweep->done_count; i++) {
		if (sweep->done[i] == key) {
			sweep->task->tally->repeats++;
			return true;
		}
	}
	if (sweep->done_count < SWEEP_DONE)
		sweep->done[sweep->done_count++] = key;
	return false;
}

static void tally_step(struct sweep *sweep)
{
	const struct sweep_passes *passes = sweep->passes;
	struct sweep_tally *tally = sweep->task->tally;

	tally->steps += passes->count > 0;
	tally->points += passes->count + passes->lost;
	tally->left_out += passes->lost;
	for (uint32_t i = 0; i < passes->count; i++) {
		const int16_t *code = passes->pass[i].point->errnos;

		if (!sweep_is_tried(&passes->pass[i]))
			tally->left_out++;
		else
			while (*code++)
				tally->planned += sweep->task->count_only;
	}
}

static void sweep_step(struct sweep *sweep)
{
	if (!sweep_memory_keep(&sweep->memory))
		fail_msg("shared memory cannot be found, or is in too many pieces");
	sweep->before = sweep_state(sweep->stage, &sweep->live);
	if (!count(sweep, sweep->passes)) {
		fprintf(sweep->task->to, "  step %u, %s, without a fault: %s\n", sweep->step_number,
			sweep->step->name, sweep->shared->text);
		sweep->task->tally->violations++;
		end_at_first(sweep);
		return;
	}
	if (!sweep->passes->count || is_repeat(sweep))
		return;
	tally_step(sweep);
	try_all(sweep);
	if (sweep->task->pairs)
		try_pairs(sweep);
}

/* ---- only one fault ---- */

/* The step's number; 0 for a text that has none. *rest gets what is behind it. */
static uint32_t step_of(const char *only, const char **rest)
{
	char *end;
	unsigned long step = strtoul(only, &end, 10);

	*rest = end + 1;
	return *end == ':' && *only >= '0' && *only <= '9' ? (uint32_t)step : 0;
}

/* Cuts the first fault of what is left off into @text. False behind the last. */
static bool cut_fault(const char **rest, char *text)
{
	size_t len = strcspn(*rest, "+");

	if (!len || len >= SWEEP_FAULT_TEXT)
		return false;
	memcpy(text, *rest, len);
	text[len] = 0;
	*rest += len + ((*rest)[len] == '+');
	return true;
}

bool sweep_only_is_sound(const char *only)
{
	char text[SWEEP_FAULT_TEXT];
	struct sweep_fault fault;
	unsigned int count = 0;

	if (!step_of(only, &only))
		return false;
	while (*only) {
		if (!cut_fault(&only, text) || !sweep_fault_read(text, &fault))
			return false;
		count++;
	}
	return count > 0 && count <= SWEEP_FAULTS;
}

/* Finds where the step passes what the text names. */
static bool place(struct sweep *sweep, const char **rest, struct sweep_fault *fault)
{
	const struct sweep_passes *passes = sweep->passes;
	char text[SWEEP_FAULT_TEXT];

	cut_fault(rest, text);
	sweep_fault_read(text, fault);
	for (uint32_t i = 0; i < passes->count; i++) {
		struct sweep_cursor cursor = { .pass = i };
		struct sweep_fault here;

		sweep_fault_at(passes, &cursor, sweep->first, &here);
		if (here.point != fault->point || here.nth != fault->nth)
			continue;
		here.code = fault->code;
		here.sticky = fault->sticky;
		*fault = here;
		return true;
	}
	fail_msg("step %u, %s, does not come by %s so often", sweep->step_number, sweep->step->name,
		 fault->point->name);
	return false;
}

/* In the story's own process, which ends with it: so it can be looked at in a debugger. */
static void only_step(struct sweep *sweep, const char *rest)
{
	struct sweep_fault first, fault;
	enum sweep_outcome outcome;

	sweep_memory_keep(&sweep->memory);
	count(sweep, sweep->passes);
	tally_step(sweep);
	place(sweep, &rest, &fault);
	if (*rest) {
		first = fault;
		sweep->first = &first;
		count(sweep, sweep->passes);
		place(sweep, &rest, &fault);
	}
	sweep->shared->wrong = false;
	outcome = sweep_try(sweep, &fault);
	if (outcome != SWEEP_WRONG)
		sweep_conclude(sweep, outcome);
	if (sweep->shared->wrong)
		tell(sweep, &fault, "");
	else
		fprintf(sweep->task->to, "step %u, %s: nothing is wrong\n", sweep->step_number,
			sweep->step->name);
	fflush(NULL);
	_exit(sweep->shared->wrong);
}

/* ---- a story ---- */

/* The story makes this step fail itself. */
static bool has_own_fault(const struct stage *stage)
{
	for (const struct stage_process *p = stage->own_processes; p; p = p->own_next) {
		if (p->is_armed && p->is_armed(p->ctx))
			return true;
	}
	return (stage->fail_call.at && !stage->fail_call.hit) ||
	       (stage->fail_alloc.at && !stage->fail_alloc.hit) || fault_is_armed(stage->fault) ||
	       stage_user_is_hostile(stage);
}

/*
 * A program came into play that the stage was not told of (stage_adopt()): what it holds and is
 * told is not seen from here. The steps from then on are counted and not swept.
 */
static bool is_foreign(struct sweep *sweep, const struct step *step)
{
	const struct stage_process *process;

	sweep->foreign |= sweep_live_maker(sweep->stage, step, &process) == SWEEP_OF_NOBODY;
	if (sweep->foreign && !step->quiet)
		sweep->task->tally->foreign++;
	return sweep->foreign;
}

static bool is_swept(struct sweep *sweep, const struct step *step)
{
	if (is_foreign(sweep, step) || step->quiet)
		return false;
	if (!has_own_fault(sweep->stage))
		return true;
	sweep->task->tally->armed++;
	return false;
}

static void watch(void *ctx, const struct step *step)
{
	struct sweep *sweep = ctx;
	const char *rest;
	bool swept;

	sweep->step = step;
	sweep->step_number++;
	sweep_live_prune(&sweep->live, sweep->stage);
	swept = is_swept(sweep, step);
	if (sweep->task->count_only && swept) {
		sweep->before = sweep_state(sweep->stage, &sweep->live);
		sweep_note(sweep, sweep->passes);
		if (sweep->passes->count && !is_repeat(sweep))
			tally_step(sweep);
		return;
	}
	if (!step->quiet && !sweep->task->count_only)
		sweep_trace_note(&sweep->trace, "step %u: %s", sweep->step_number, step->name);
	if (sweep->task->only && step_of(sweep->task->only, &rest) == sweep->step_number)
		only_step(sweep, rest);
	if (swept && !sweep->task->count_only && !sweep->task->only)
		sweep_step(sweep);
	step->call(step->args);
	sweep_live_step(&sweep->live, sweep->stage, step);
}

static void see_stage(void *ctx, struct stage *stage)
{
	struct sweep *sweep = ctx;

	sweep->stage = stage;
	stage->own_fault = sweep_asked;
	stage->own_event = sweep_seen;
	stage->own_sweep = sweep;
	sweep->points.fault = stage->fault;
	if (sweep->task->traces && !sweep->task->count_only &&
	    !sweep_trace_start(&sweep->trace, stage->kernel, stage->task))
		fail_msg("memory is short");
	step_watch(watch, sweep);
}

static void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		fail_msg("memory is short");
	return memory;
}

void sweep_play(const struct sweep_task *task)
{
	struct sweep sweep = { .task = task, .done = calloc(SWEEP_DONE, sizeof(uint64_t)) };

	assert_non_null(sweep.done);
	/* Large blocks come as pages that nobody touched: else each child would write and copy
	 * them. */
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	sweep.shared = shared_memory(sizeof(*sweep.shared));
	sweep.passes = shared_memory(sizeof(*sweep.passes));
	sweep.more_passes = shared_memory(sizeof(*sweep.passes));
	story_play_seen(task->story, task->backend, task->seed, see_stage, &sweep);
	step_watch(NULL, NULL);
	if (task->only)
		fail_msg("the story has %u steps", sweep.step_number);
	sweep_trace_end(&sweep.trace);
	sweep_memory_forget(&sweep.memory);
	free(sweep.done);
	munmap(sweep.more_passes, sizeof(*sweep.passes));
	munmap(sweep.passes, sizeof(*sweep.passes));
	munmap(sweep.shared, sizeof(*sweep.shared));
	if (sweep.told > TOLD_MAX && !task->tell_all)
		fprintf(task->to, "  and %u more\n", sweep.told - TOLD_MAX);
}
