/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel with the model watching it, where a test can keep a call from the model or tell it of
 * one that did not happen so.
 */
#ifndef SCENARIOS_MODEL_RIG_H
#define SCENARIOS_MODEL_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <uapi/iommufd.h>
#include <uapi/table.h>

#include "kernel_model.h"
#include "kernel_steps.h"

enum { WATCHED_PAGE = 4096, WATCHED_BYTES = 64 * WATCHED_PAGE, WATCHED_ARG = 256 };

struct watched;

/* Changes what the model is told; @in and @out are copies that may be written. */
typedef void (*twist_fn)(struct vfake_event *event, void *in, void *out);

struct watched {
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	struct model *model;
	bool held; /* the model is told nothing */
	twist_fn twist;
	uint32_t only; /* the request that is twisted; 0: every call */
	vfake_addr memory;
	int fd[12]; /* what the steps opened, each has its places */
	uint32_t id[8];
};

static inline void tell(void *ctx, const struct vfake_event *event)
{
	struct watched *w = ctx;
	uint64_t in[WATCHED_ARG / 8] = { 0 }, out[WATCHED_ARG / 8] = { 0 };
	struct vfake_event copy = *event;

	if (w->held)
		return;
	if (w->twist && (!w->only || event->request == w->only)) {
		size_t len = event->row && event->row->arg ? event->row->arg->size_bytes : 0;

		if (event->in && len)
			copy.in = memcpy(in, event->in, len);
		if (event->out && len)
			copy.out = memcpy(out, event->out, len);
		w->twist(&copy, in, out);
	}
	model_event(w->model, &copy);
}

static inline void watched_start(struct watched *w, const struct vfake_world *world)
{
	memset(w, 0, sizeof(*w));
	w->kernel = start(world);
	w->task = new_process(w->kernel, true, 1 << 23);
	w->model = model_new(w->kernel);
	assert_non_null(w->model);
	vfake_set_event_hook(w->kernel, tell, w);
	assert_int_equal(vfake_mmap(w->task, WATCHED_BYTES * 4, VFAKE_PROT_READ | VFAKE_PROT_WRITE,
				    -1, 0, &w->memory),
			 0);
}

static inline void watched_end(struct watched *w)
{
	vfake_set_event_hook(w->kernel, NULL, NULL);
	vfake_task_exit(w->task);
	vfake_kernel_free(w->kernel);
	model_free(w->model);
}

static inline void expect_agreement(struct watched *w, const char *when)
{
	if (!model_agrees(w->model))
		fail_msg("%s: %s", when, model_disagreement(w->model));
	assert_string_equal(model_disagreement(w->model), "");
}

static inline void expect_disagreement(struct watched *w, const char *when, const char *says)
{
	if (model_agrees(w->model))
		fail_msg("%s: the model has nothing to say", when);
	if (!strstr(model_disagreement(w->model), says))
		fail_msg("%s: the model does not speak of \"%s\": %s", when, says,
			 model_disagreement(w->model));
}

/* ---- programs of steps ---- */

/* A call, and what the model must speak of when it is not told of it; NULL: nothing changes. */
struct watched_step {
	const char *name;
	void (*run)(struct watched *w);
	const char *says;
};

/* Plays the steps; the model is not told of number @hold, which ends the play. */
static inline void play_steps(const struct vfake_world *world, const struct watched_step *steps,
			      size_t count, size_t hold)
{
	struct watched w;

	watched_start(&w, world);
	for (size_t i = 0; i < count && i <= hold; i++) {
		w.held = i == hold;
		steps[i].run(&w);
		w.held = false;
		if (i == hold)
			expect_disagreement(&w, steps[i].name, steps[i].says);
		else
			expect_agreement(&w, steps[i].name);
	}
	watched_end(&w);
}

/* All of them with the model told, then each that changes something kept from it. */
static inline void hold_back_each(const struct vfake_world *world, const struct watched_step *steps,
				  size_t count)
{
	play_steps(world, steps, count, count);
	for (size_t i = 0; i < count; i++) {
		if (steps[i].says)
			play_steps(world, steps, count, i);
	}
}

#endif
