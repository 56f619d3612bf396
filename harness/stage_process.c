/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processes of a story's own: which there are, and where one of them dies.
 *
 * A process dies in the middle of the stack, at its seam: nothing of the fake kernel is on the
 * way out, and what the program had in memory is gone with it. So leaving by longjmp() is what a
 * death is.
 */
#include "stage_internal.h"

void stage_adopt(struct stage *stage, struct stage_process *process)
{
	process->own_serial = ++stage->own_serial;
	process->own_next = stage->own_processes;
	stage->own_processes = process;
}

void stage_disown(struct stage *stage, struct stage_process *process)
{
	struct stage_process **at = &stage->own_processes;

	while (*at != process) {
		assert_non_null(*at);
		at = &(*at)->own_next;
	}
	*at = process->own_next;
}

const struct stage_process *stage_process_of(const struct stage *stage, uint64_t serial)
{
	const struct stage_process *process = stage->own_processes;

	while (process && process->own_serial != serial)
		process = process->own_next;
	return process;
}

void stage_come_by(struct stage *stage, struct stage_process *process, enum fault_call call,
		   bool after)
{
	if (!stage->own_fault || !process->recover ||
	    !stage->own_fault(stage->own_sweep, fault_call_point(call, after)))
		return;
	stage->own_dead = process;
	longjmp(stage->own_way_out, 1);
}

/* In the end of a sweep's child, when all stacks are gone: nobody is told any more. */
void stage_end_processes(struct stage *stage)
{
	while (stage->own_processes) {
		struct stage_process *process = stage->own_processes;
		const struct vfio_vmm_ref *ref = process->ref;

		if (process->task)
			vfake_task_exit(process->task);
		process->task = NULL;
		stage->own_processes = process->own_next;
		if (ref && (ref->blocks || ref->discard_forbidden || ref->blocker_count ||
			    ref->state_count))
			stage_odd(stage,
				  "a process of the story ends with %llu blocks, %u discards "
				  "forbidden, %u blockers, %u pieces of state",
				  (unsigned long long)ref->blocks, ref->discard_forbidden,
				  ref->blocker_count, ref->state_count);
	}
}
