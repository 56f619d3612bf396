/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live updates in which a process dies: the old or the new one, before and after each single call
 * to the kernel that it makes; or the call fails. Whoever is left goes on with all of it, or
 * nothing is left at all; every byte that devices wrote is where it belongs; another update works
 * right after.
 */
#include "cpr_dma.h"
#include "stories.h"

/* A machine, how many devices in how many containers, and which call is the last. */
struct trial {
	struct stage *stage;
	enum vfio_migration_mode mode;
	uint32_t devices;
	uint32_t spaces;
	int code;
	bool viommu;
	uint32_t plugged;
	uint64_t at;
	bool after;
	struct cpr_machine *machine;
	struct cpr_process *process;
	struct cpr_process *heir;
};

static void trial_start(struct trial *trial)
{
	trial->machine = cpr_machine_new(trial->stage, trial->devices, trial->spaces);
	trial->machine->viommu = trial->viommu;
	trial->machine->plugged = trial->plugged;
	/* Whatever comes first is right. */
	trial->machine->late = trial->at & 1;
	trial->process = cpr_process_start(trial->machine);
	cpr_attach_all(trial->process);
	cpr_start_dma(trial->process);
	trial->heir = cpr_heir(trial->process, trial->mode);
}

/* @process has everything: memory is right, and the next update works. */
static void goes_on(struct trial *trial, struct cpr_process *process)
{
	struct cpr_process *next;

	cpr_expect_owner(process);
	cpr_finish_dma(trial->machine);
	cpr_start_dma(process);
	next = cpr_update(process, trial->mode);
	cpr_process_free(process);
	cpr_expect_owner(next);
	cpr_finish_dma(trial->machine);
	cpr_process_end(next);
	cpr_machine_free(trial->machine);
}

/* Nobody has anything: a new process can have all of it. */
static void begins_again(struct trial *trial)
{
	struct cpr_process *process;

	cpr_expect_nothing(trial->machine);
	process = cpr_process_start(trial->machine);
	cpr_attach_all(process);
	cpr_start_dma(process);
	goes_on(trial, process);
}

/* Tries each call, before and after it, until there are no more of them; at least @calls. */
static void every_call(struct trial *trial, bool (*one)(struct trial *trial), uint64_t calls)
{
	for (int after = 0; after < 2; after++) {
		trial->after = after;
		for (trial->at = 1; one(trial); trial->at++)
			;
		assert_true(trial->at > calls);
	}
}

static void every_size(struct stage *stage, enum vfio_migration_mode mode,
		       bool (*one)(struct trial *trial), uint64_t calls)
{
	struct trial trial = { .stage = stage, .mode = mode, .devices = 3, .spaces = 1 };

	every_call(&trial, one, calls);
	trial.devices = 2;
	trial.spaces = 2;
	every_call(&trial, one, calls);
	/* Behind a vIOMMU that maps in pieces; in memory that is plugged in part. */
	trial.spaces = 1;
	trial.viommu = true;
	every_call(&trial, one, calls);
	trial.viommu = false;
	trial.plugged = 0x5ffff;
	every_call(&trial, one, calls);
}

static const char own_deaths[] =
	"it ends processes and fails calls itself; the sweep does in cpr-*";

/* ---- the old process ---- */

static void save(void *ctx)
{
	struct trial *trial = ctx;

	cpr_save(trial->process, trial->mode);
}

static bool source_dies(struct trial *trial)
{
	bool died;

	trial_start(trial);
	died = cpr_kill_at(trial->process, trial->at, trial->after, save, trial);
	cpr_process_free(trial->process);
	cpr_process_free(trial->heir);
	begins_again(trial);
	return died;
}

static void run_source(struct stage *stage)
{
	every_size(stage, VFIO_MODE_CPR_TRANSFER, source_dies, 0);
}

const struct story story_cpr_source_dies = {
	.name = "cpr-source-dies",
	.about = "the old process dies at each call of saving",
	.run = run_source,
	.needs = NEEDS_HANDOVER,
	.unswept = own_deaths,
};

/* The state is on its way when the old process dies at a call of the new one. */
static bool source_dies_later(struct trial *trial)
{
	struct cpr_kill *kill;
	struct vfio_error error;
	bool died;

	trial_start(trial);
	kill = &trial->heir->kill;
	cpr_save(trial->process, trial->mode);
	trial->heir->victim = trial->process;
	*kill = (struct cpr_kill){ .at = trial->at, .after = trial->after, .other = true };
	cpr_check(cpr_try_load(trial->process, &error), &error);
	cpr_take_over(trial->heir);
	died = !kill->at;
	kill->at = 0;
	cpr_close_rest(trial->process, trial->heir->task);
	cpr_process_free(trial->process);
	goes_on(trial, trial->heir);
	return died;
}

static void run_source_later(struct stage *stage)
{
	every_size(stage, VFIO_MODE_CPR_TRANSFER, source_dies_later, 5);
}

const struct story story_cpr_source_dies_later = {
	.name = "cpr-source-dies-later",
	.about = "the old process dies at each call of the new one, which takes over all the same",
	.run = run_source_later,
	.needs = NEEDS_HANDOVER,
	.unswept = own_deaths,
};

static void let_go(void *ctx)
{
	struct trial *trial = ctx;

	vfio_free(trial->process->vfio);
	trial->process->vfio = NULL;
}

/* It is all the new one's, and the old one is only tidying up. */
static bool source_dies_last(struct trial *trial)
{
	struct vfio_error error;
	bool died;

	trial_start(trial);
	cpr_save(trial->process, trial->mode);
	cpr_check(cpr_try_load(trial->process, &error), &error);
	cpr_take_over(trial->heir);
	died = cpr_kill_at(trial->process, trial->at, trial->after, let_go, trial);
	cpr_process_free(trial->process);
	goes_on(trial, trial->heir);
	return died;
}

static void run_source_last(struct stage *stage)
{
	every_size(stage, VFIO_MODE_CPR_TRANSFER, source_dies_last, 5);
}

const struct story story_cpr_source_dies_last = {
	.name = "cpr-source-dies-last",
	.about = "the old process dies at each call of ending, after the new one has taken over",
	.run = run_source_last,
	.needs = NEEDS_HANDOVER,
	.unswept = own_deaths,
};

/* ---- the new process ---- */

static void take_over(void *ctx)
{
	struct trial *trial = ctx;
	struct vfio_error error;

	cpr_check(cpr_try_load(trial->process, &error), &error);
	cpr_take_over(trial->heir);
}

static bool target_dies(struct trial *trial)
{
	struct vfio_error error = { 0 };
	bool died;

	trial_start(trial);
	cpr_save(trial->process, trial->mode);
	died = cpr_kill_at(trial->heir, trial->at, trial->after, take_over, trial);
	cpr_process_free(trial->heir);
	cpr_check(vfio_cpr_abort(trial->process->vfio, &error), &error);
	goes_on(trial, trial->process);
	return died;
}

static void run_target(struct stage *stage)
{
	every_size(stage, VFIO_MODE_CPR_TRANSFER, target_dies, 5);
}

const struct story story_cpr_target_dies = {
	.name = "cpr-target-dies",
	.about = "the new process dies at each call, and the old one goes on with everything",
	.run = run_target,
	.needs = NEEDS_HANDOVER,
	.unswept = own_deaths,
};

static void give_up(void *ctx)
{
	struct trial *trial = ctx;

	vfio_free(trial->heir->vfio);
	trial->heir->vfio = NULL;
}

/* The new process got as far as it could and gives up; it dies while it does that. */
static bool target_gives_up(struct trial *trial)
{
	struct vfio_error error = { 0 };
	bool died;

	trial_start(trial);
	cpr_save(trial->process, trial->mode);
	cpr_check(cpr_try_load(trial->process, &error), &error);
	cpr_attach_all(trial->heir);
	died = cpr_kill_at(trial->heir, trial->at, trial->after, give_up, trial);
	cpr_process_free(trial->heir);
	cpr_check(vfio_cpr_abort(trial->process->vfio, &error), &error);
	goes_on(trial, trial->process);
	return died;
}

static void run_gives_up(struct stage *stage)
{
	every_size(stage, VFIO_MODE_CPR_TRANSFER, target_gives_up, 5);
}

const struct story story_cpr_target_gives_up = {
	.name = "cpr-target-gives-up",
	.about = "the new process takes nothing down when it gives up, and may die at that",
	.run = run_gives_up,
	.needs = NEEDS_HANDOVER,
	.unswept = own_deaths,
};

static void take_back(void *ctx)
{
	struct trial *trial = ctx;
	struct vfio_error error = { 0 };

	cpr_check(vfio_cpr_abort(trial->process->vfio, &error), &error);
}

/* The new one gives up, and the old one dies while it takes back. */
static bool both_die(struct trial *trial)
{
	struct vfio_error error;
	bool died;

	trial_start(trial);
	cpr_save(trial->process, trial->mode);
	cpr_check(cpr_try_load(trial->process, &error), &error);
	cpr_attach_all(trial->heir);
	cpr_process_free(trial->heir);
	died = cpr_kill_at(trial->process, trial->at, trial->after, take_back, trial);
	cpr_process_free(trial->process);
	begins_again(trial);
	return died;
}

static void run_both(struct stage *stage)
{
	every_size(stage, VFIO_MODE_CPR_TRANSFER, both_die, 0);
}

const struct story story_cpr_both_die = {
	.name = "cpr-both-die",
	.about = "the new process dies, and the old one at each call of taking back",
	.run = run_both,
	.needs = NEEDS_HANDOVER,
	.unswept = own_deaths,
};

/* ---- exec: there is only one process ---- */

static bool exec_dies_before(struct trial *trial)
{
	return source_dies(trial);
}

static bool exec_dies_after(struct trial *trial)
{
	bool died;

	trial_start(trial);
	cpr_save(trial->process, trial->mode);
	died = cpr_kill_at(trial->heir, trial->at, trial->after, take_over, trial);
	cpr_process_free(trial->heir);
	cpr_process_free(trial->process);
	begins_again(trial);
	return died;
}

/* The exec() does not take place: nothing has happened. */
static void exec_fails(struct stage *stage)
{
	struct trial trial = {
		.stage = stage, .mode = VFIO_MODE_CPR_EXEC, .devices = 3, .spaces = 2
	};
	struct vfio_error error = { 0 };

	trial_start(&trial);
	cpr_save(trial.process, trial.mode);
	cpr_process_free(trial.heir);
	cpr_check(vfio_cpr_abort(trial.process->vfio, &error), &error);
	goes_on(&trial, trial.process);
}

static void run_exec(struct stage *stage)
{
	every_size(stage, VFIO_MODE_CPR_EXEC, exec_dies_before, 0);
	every_size(stage, VFIO_MODE_CPR_EXEC, exec_dies_after, 5);
	exec_fails(stage);
}

const struct story story_cpr_exec_dies = {
	.name = "cpr-exec-dies",
	.about = "a process dies at each call before and after its exec(), and nothing is left",
	.run = run_exec,
	.needs = NEEDS_HANDOVER,
	.unswept = own_deaths,
};

/* ---- calls that fail, with or without having done what they say they have not ---- */

static void fail_call(const struct trial *trial, struct cpr_process *process)
{
	process->kill = (struct cpr_kill){ .seen = 0 };
	process->fail_call = trial->at;
	process->fail_done = trial->after;
	process->fail_code = trial->code;
}

/* Whether call number `at` came. */
static bool call_came(const struct trial *trial, struct cpr_process *process)
{
	process->fail_call = 0;
	return process->kill.seen >= trial->at;
}

static bool save_call_fails(struct trial *trial)
{
	struct vfio_error error;
	bool came, good;

	trial_start(trial);
	fail_call(trial, trial->process);
	good = cpr_try_save(trial->process, trial->mode, &error);
	came = call_came(trial, trial->process);
	if (good)
		cpr_check(vfio_cpr_abort(trial->process->vfio, &error), &error);
	cpr_process_free(trial->heir);
	goes_on(trial, trial->process);
	return came;
}

static bool load_call_fails(struct trial *trial)
{
	struct vfio_error error;
	bool came, good;

	trial_start(trial);
	cpr_save(trial->process, trial->mode);
	fail_call(trial, trial->heir);
	good = cpr_try_load(trial->process, &error);
	for (uint32_t i = 0; good && i < trial->devices; i++)
		good = cpr_try_attach(trial->heir, i, &error);
	/* What fails behind the attach is told to the VMM, and kept for the end. */
	if (good && trial->machine->late)
		cpr_guest_state(trial->heir);
	good = good && vfio_cpr_finish(trial->heir->vfio, &error);
	came = call_came(trial, trial->heir);
	assert_true(good || came);
	cpr_process_end(good ? trial->process : trial->heir);
	if (!good)
		cpr_check(vfio_cpr_abort(trial->process->vfio, &error), &error);
	goes_on(trial, good ? trial->heir : trial->process);
	return came;
}

static bool abort_call_fails(struct trial *trial)
{
	struct vfio_error error;
	bool came;

	trial_start(trial);
	cpr_save(trial->process, trial->mode);
	cpr_check(cpr_try_load(trial->process, &error), &error);
	cpr_attach_all(trial->heir);
	cpr_process_end(trial->heir);
	fail_call(trial, trial->process);
	if (!vfio_cpr_abort(trial->process->vfio, &error))
		cpr_check(vfio_cpr_abort(trial->process->vfio, &error), &error);
	came = call_came(trial, trial->process);
	goes_on(trial, trial->process);
	return came;
}

static void run_calls_fail(struct stage *stage)
{
	static const int codes[] = { -EIO, -EINVAL, -ENOMEM };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct trial trial = { .stage = stage,
				       .mode = VFIO_MODE_CPR_TRANSFER,
				       .devices = 2,
				       .spaces = 2,
				       .code = codes[i] };

		every_call(&trial, save_call_fails, 0);
		every_call(&trial, load_call_fails, 5);
		every_call(&trial, abort_call_fails, 0);
		trial.spaces = 1;
		trial.viommu = true;
		every_call(&trial, save_call_fails, 0);
		every_call(&trial, load_call_fails, 5);
		every_call(&trial, abort_call_fails, 0);
	}
}

const struct story story_cpr_calls_fail = {
	.name = "cpr-calls-fail",
	.about = "each call of saving, taking over and taking back fails, before its effect and "
		 "after",
	.run = run_calls_fail,
	.needs = NEEDS_HANDOVER,
	.unswept = own_deaths,
};
