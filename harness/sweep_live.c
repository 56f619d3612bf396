/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a story has made of the stack, and in which process: stacks, address spaces and devices.
 */
#include <string.h>

#include "stage_internal.h"
#include "sweep_state.h"

/* ---- whose ---- */

static const struct stage_process *process_by(const struct stage *stage, const void *sys_ctx,
					      const struct vfio_vmm *vmm)
{
	const struct stage_process *process = stage->own_processes;

	for (; process; process = process->own_next) {
		if ((!sys_ctx || process->sys_ctx == sys_ctx) && vmm && vmm->ctx == process->ref)
			break;
	}
	return process;
}

enum sweep_whose sweep_live_maker(const struct stage *stage, const struct step *step,
				  const struct stage_process **process)
{
	void **args = step->args;
	const struct vfio_sys *sys = NULL;
	const struct vfio_vmm *vmm;

	*process = NULL;
	if (!strcmp(step->name, "vfio_new")) {
		sys = args[0];
		vmm = args[1];
		/* A VMM in between has to tell the stage's what it is told. */
		if (sys->ctx == stage)
			return SWEEP_OF_STAGE;
	} else if (!strcmp(step->name, "vfio_memory_new")) {
		vmm = args[0];
	} else {
		return SWEEP_OF_STAGE;
	}
	*process = process_by(stage, sys ? sys->ctx : NULL, vmm);
	if (*process)
		return SWEEP_OF_PROCESS;
	return sys ? SWEEP_OF_NOBODY : SWEEP_OF_STAGE;
}

static struct sweep_owner owner_of(const struct stage *stage, const struct step *step)
{
	const struct stage_process *process;

	if (sweep_live_maker(stage, step, &process) != SWEEP_OF_PROCESS)
		return (struct sweep_owner){ 0 };
	return (struct sweep_owner){ process->own_serial, process->program };
}

const struct stage_process *sweep_live_process(const struct sweep_live *live,
					       const struct stage *stage, const struct vfio *stack)
{
	for (size_t i = 0; i < SWEEP_STACKS; i++) {
		if (live->stacks[i] == stack)
			return stage_process_of(stage, live->stack_owners[i].serial);
	}
	return NULL;
}

/* ---- what is there ---- */

static void add(void **list, struct sweep_owner *owners, size_t count, void *what,
		struct sweep_owner owner)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i])
			continue;
		list[i] = what;
		owners[i] = owner;
		return;
	}
}

static void drop(void **list, size_t count, const void *what)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == what)
			list[i] = NULL;
	}
}

static void replace_device(struct sweep_live *live, const struct vfio_device *old,
			   struct vfio *stack, struct vfio_device *now)
{
	for (size_t i = 0; i < SWEEP_DEVICES; i++) {
		if (live->devices[i].device == old) {
			live->devices[i].stack = stack;
			live->devices[i].device = now;
			return;
		}
	}
}

static void end_stack(struct sweep_live *live, const struct vfio *stack)
{
	drop((void **)live->stacks, SWEEP_STACKS, stack);
	for (size_t i = 0; i < SWEEP_DEVICES; i++) {
		if (live->devices[i].stack == stack)
			replace_device(live, live->devices[i].device, NULL, NULL);
	}
}

void sweep_live_step(struct sweep_live *live, const struct stage *stage, const struct step *step)
{
	if (step_failed(step))
		return;
	if (!strcmp(step->name, "vfio_new"))
		add((void **)live->stacks, live->stack_owners, SWEEP_STACKS, step_product(step),
		    owner_of(stage, step));
	else if (!strcmp(step->name, "vfio_memory_new"))
		add((void **)live->spaces, live->space_owners, SWEEP_SPACES, step_product(step),
		    owner_of(stage, step));
	else if (!strcmp(step->name, "vfio_device_attach"))
		replace_device(live, NULL, step_subject(step), step_product(step));
	else if (!strcmp(step->name, "vfio_device_detach"))
		replace_device(live, step_subject(step), NULL, NULL);
	else if (!strcmp(step->name, "vfio_memory_free") && step_subject(step))
		drop((void **)live->spaces, SWEEP_SPACES, step_subject(step));
	else if (!strcmp(step->name, "vfio_free") && step_subject(step))
		end_stack(live, step_subject(step));
}

static bool has_ended(const struct stage *stage, const struct sweep_owner *owner)
{
	const struct stage_process *process;

	if (!owner->serial)
		return false;
	process = stage_process_of(stage, owner->serial);
	return !process || process->program != owner->program;
}

void sweep_live_prune(struct sweep_live *live, const struct stage *stage)
{
	for (size_t i = 0; i < SWEEP_STACKS; i++) {
		if (live->stacks[i] && has_ended(stage, &live->stack_owners[i]))
			end_stack(live, live->stacks[i]);
	}
	for (size_t i = 0; i < SWEEP_SPACES; i++) {
		if (live->spaces[i] && has_ended(stage, &live->space_owners[i]))
			live->spaces[i] = NULL;
	}
}
