/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * After a death: who is left goes on with everything, or nobody is left and nothing is. Every byte
 * that devices wrote is where it belongs, and another update works right after.
 */
#ifndef SCENARIOS_CPR_RECOVER_H
#define SCENARIOS_CPR_RECOVER_H

#include "cpr_dma.h"

/* @process has everything: memory is right, and the next update works. Ends the machine. */
static inline void cpr_goes_on(struct cpr_process *process)
{
	struct cpr_machine *machine = process->machine;
	struct cpr_process *next;

	cpr_expect_owner(process);
	if (machine->copies)
		cpr_finish_dma(machine);
	cpr_start_dma(process);
	next = cpr_update(process, machine->mode);
	cpr_process_free(process);
	cpr_expect_owner(next);
	cpr_finish_dma(machine);
	cpr_process_end(next);
	cpr_machine_free(machine);
}

/* Nobody has anything: a new process can have all of it. */
static inline void cpr_begins_again(struct cpr_machine *machine)
{
	struct cpr_process *process;

	cpr_expect_nothing(machine);
	process = cpr_process_start(machine);
	cpr_attach_all(process);
	cpr_start_dma(process);
	cpr_goes_on(process);
}

/* The process of the machine behind what the stage sees; NULL for the keeper. */
static inline struct cpr_process *cpr_process_seen(const struct stage_process *seen)
{
	return seen->ctx;
}

static inline bool cpr_runs(const struct cpr_process *process)
{
	return process && process->vfio;
}

/* Who has a program that is not @gone: the one that it took over from, or the one after it. */
static inline struct cpr_process *cpr_survivor(const struct cpr_process *gone)
{
	const struct stage *stage = gone->machine->stage;
	struct cpr_process *found = NULL;

	for (const struct stage_process *seen = stage->own_processes; seen; seen = seen->own_next) {
		struct cpr_process *process = cpr_process_seen(seen);

		if (process == gone || !cpr_runs(process))
			continue;
		assert_null(found);
		found = process;
	}
	return found;
}

static inline void cpr_free_others(const struct cpr_machine *machine, const struct cpr_process *but)
{
	const struct stage_process *seen = machine->stage->own_processes;

	while (seen) {
		struct cpr_process *process = cpr_process_seen(seen);

		seen = seen->own_next;
		if (process && process != but)
			cpr_process_free(process);
	}
}

/*
 * A process died, or gives up because a call failed half-way. The one that it was to take over from
 * takes everything back; the one that took over from it has everything.
 */
static inline void cpr_recover(void *ctx, bool died)
{
	struct cpr_process *gone = ctx, *left = cpr_survivor(gone);
	struct cpr_machine *machine = gone->machine;
	bool takes_back = left && left->next == gone;
	struct vfio_error error = { 0 };

	if (died)
		cpr_process_free(gone);
	else
		cpr_process_end(gone);
	cpr_free_others(machine, left);
	if (takes_back)
		assert_true(vfio_cpr_abort(left->vfio, &error) || error.code == -EINVAL);
	if (left)
		cpr_goes_on(left);
	else
		cpr_begins_again(machine);
}

/* From now on processes of the machine can die at any call. */
static inline void cpr_let_die(struct cpr_machine *machine, enum vfio_migration_mode mode)
{
	machine->recover = cpr_recover;
	machine->mode = mode;
}

#endif
