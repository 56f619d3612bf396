/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Part of every test program: all kernels that it starts are watched by the model
 * (harness/kernel_model.h), and, where VFAKE_WITNESS asks for it, what they answered goes into the
 * witness matrix. The linker puts this in the place of the calls that begin and end a kernel, so
 * that no test has to think of it. Who sets an event hook of his own takes the watch over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <vfake/fault.h>

#include "kernel_model.h"
#include "witness.h"

struct vfake_kernel *__real_vfake_kernel_new(const struct vfake_world *world, const char **error);
struct vfake_kernel *__wrap_vfake_kernel_new(const struct vfake_world *world, const char **error);
void __real_vfake_kernel_free(struct vfake_kernel *kernel);
void __wrap_vfake_kernel_free(struct vfake_kernel *kernel);
void __real_vfake_set_event_hook(struct vfake_kernel *kernel, vfake_event_hook hook, void *ctx);
void __wrap_vfake_set_event_hook(struct vfake_kernel *kernel, vfake_event_hook hook, void *ctx);

enum { WATCHED_MAX = 16 };

static struct watched {
	struct vfake_kernel *kernel;
	struct model *model;
	bool witness;
} all_watched[WATCHED_MAX];

/* Where a kernel is noted, or for NULL a free place; NULL for none. */
static struct watched *watched_at(const struct vfake_kernel *kernel)
{
	for (int i = 0; i < WATCHED_MAX; i++) {
		if (all_watched[i].kernel == kernel)
			return &all_watched[i];
	}
	return NULL;
}

static void see(void *ctx, const struct vfake_event *event)
{
	struct watched *watched = ctx;

	if (watched->witness)
		witness_see(-1, event);
	model_event(watched->model, event);
}

static void forget(struct watched *watched)
{
	model_free(watched->model);
	*watched = (struct watched){ 0 };
}

struct vfake_kernel *__wrap_vfake_kernel_new(const struct vfake_world *world, const char **error)
{
	struct vfake_kernel *kernel = __real_vfake_kernel_new(world, error);
	struct watched *watched = watched_at(NULL);
	struct model *model = kernel && watched ? model_new(kernel) : NULL;

	if (!model)
		return kernel;
	*watched = (struct watched){ kernel, model, witness_begin() };
	__real_vfake_set_event_hook(kernel, see, watched);
	return kernel;
}

void __wrap_vfake_set_event_hook(struct vfake_kernel *kernel, vfake_event_hook hook, void *ctx)
{
	struct watched *watched = watched_at(kernel);

	if (watched)
		forget(watched);
	__real_vfake_set_event_hook(kernel, hook, ctx);
}

void __wrap_vfake_kernel_free(struct vfake_kernel *kernel)
{
	struct watched *watched = kernel ? watched_at(kernel) : NULL;
	char why[2048] = "";

	if (watched) {
		__real_vfake_set_event_hook(kernel, NULL, NULL);
		if (!model_agrees(watched->model))
			snprintf(why, sizeof(why), "%s", model_disagreement(watched->model));
		forget(watched);
	}
	__real_vfake_kernel_free(kernel);
	if (*why)
		fail_msg("kernel and model disagree: %s", why);
}
