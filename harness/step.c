/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who gets a step: the watcher, unless one is being carried out already.
 */
#include <stddef.h>

#include "step.h"

/* Of the process, because the functions that are wrapped have no place for it. */
static struct {
	step_watcher watcher;
	void *ctx;
	bool inside;
} watch;

void step_watch(step_watcher watcher, void *ctx)
{
	watch.watcher = watcher;
	watch.ctx = ctx;
	watch.inside = false;
}

void step_play(const struct step *step)
{
	if (!watch.watcher || watch.inside) {
		step->call(step->args);
		return;
	}
	watch.inside = true;
	watch.watcher(watch.ctx, step);
	watch.inside = false;
}

bool step_failed(const struct step *step)
{
	switch (step->kind) {
	case STEP_BOOL:
		return !*(const bool *)step->result;
	case STEP_CODE:
		return *(const int *)step->result < 0;
	case STEP_POINTER:
		return !step_product(step);
	default:
		return false;
	}
}

void *step_subject(const struct step *step)
{
	return *(void **)step->args;
}

void *step_product(const struct step *step)
{
	return *(void *const *)step->result;
}
