/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the reproductions of bugs have in common: how a call fails on whatever backend it is, and a
 * VMM that looks around when it is told something. README.md has the list of bugs, bugs.c the
 * table.
 */
#ifndef SCENARIOS_BUGS_BUGS_H
#define SCENARIOS_BUGS_BUGS_H

#include <errno.h>
#include <string.h>

#include <uapi/iommufd.h>
#include <uapi/vfio.h>
#include <uapi/vfio_iommu.h>
#include <uapi/vfio_user.h>
#include <vfake/models.h>
#include <vfio/cpr.h>

#include "stories.h"

enum { BUG_MIB = 1 << 20 };

static inline void bug_good(bool done, const struct vfio_error *error)
{
	if (!done)
		fail_msg("%s (%d) %s", error->message, error->code, error->hint);
}

/* ---- failures ---- */

/* Call number @nth of @request has this answer. */
static inline void bug_answer(struct stage *stage, uint32_t request, uint64_t nth, int code)
{
	stage->fail_call = (struct stage_fault){ .at = nth, .request = request, .code = code };
}

/* Replies to this command are EIO from number @nth on, until bug_over(); on backend `user`. */
static inline void bug_reply(struct stage *stage, unsigned int index, uint16_t command,
			     uint32_t nth)
{
	struct vfake_hostile spoiled = { .kind = VFAKE_HOSTILE_ERROR,
					 .command = command,
					 .skip = nth - 1 };

	vfake_peer_set_hostile(stage->peers[index], &spoiled);
}

/* The device does not say what it is: EIO, once or until bug_over(). */
static inline void bug_hide_device(struct stage *stage, unsigned int index)
{
	if (stage->backend->kind == VFIO_BACKEND_USER)
		bug_reply(stage, index, VFIO_USER_DEVICE_GET_INFO, 1);
	else
		bug_answer(stage, VFIO_DEVICE_GET_INFO, 1, -EIO);
}

/* The @nth map of the device's container from now on fails; returns with what. */
static inline int bug_refuse_map(struct stage *stage, unsigned int index, uint32_t nth)
{
	if (stage->backend->kind == VFIO_BACKEND_USER) {
		bug_reply(stage, index, VFIO_USER_DMA_MAP, nth);
		return -EIO;
	}
	if (stage->backend->kind == VFIO_BACKEND_IOMMUFD)
		bug_answer(stage, IOMMU_IOAS_MAP, nth, -ENOMEM);
	else
		bug_answer(stage, VFIO_IOMMU_MAP_DMA, nth, -ENOMEM);
	return -ENOMEM;
}

/* Nothing fails from now on. */
static inline void bug_over(struct stage *stage)
{
	const struct vfake_hostile decent = { .kind = VFAKE_HOSTILE_NONE };

	stage->fail_call = (struct stage_fault){ 0 };
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		if (stage->peers[i])
			vfake_peer_set_hostile(stage->peers[i], &decent);
	}
}

/* The attach is refused, and nothing of it is left. */
static inline void bug_refused(struct stage *stage, unsigned int index, int code)
{
	struct vfio_device_options options = stage_options(stage, index);
	struct vfio_error error;

	stage_mark(stage);
	assert_false(stage_try_attach(stage, index, stage->memory, &options, &error));
	assert_int_equal(error.code, code);
	bug_over(stage);
	stage_expect_mark(stage);
}

/* Options that name a node which is not there. */
static inline struct vfio_device_options bug_nowhere(struct stage *stage, unsigned int index)
{
	struct vfio_device_options options = stage_options(stage, index);

	options.group = stage->backend->noiommu ? "noiommu-999" : "999";
	options.cdev = "vfio999";
	options.socket = "/run/nobody";
	return options;
}

/* ---- what is registered ---- */

/* How often there is state of this name. */
static inline uint32_t bug_states(const struct vfio_vmm_ref *ref, const char *name)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < ref->state_count; i++)
		count += !strcmp(ref->states[i]->name, name);
	return count;
}

/* ---- a VMM that looks around ---- */

/* The stage's, for a stack of its own in the stage's process: it looks, and passes on. */
struct bug_vmm {
	struct stage *stage;
	struct vfio_vmm vmm;
	struct vfio *vfio;
	uint64_t pinned_then; /* pages, when discarding was allowed again */
	uint64_t maps_then;   /* likewise, of the server of device 0 */
	uint32_t states_then; /* registered when the blocker of device d0 went */
};

static inline struct vfio_vmm *bug_vmm_next(void *ctx)
{
	return &((struct bug_vmm *)ctx)->stage->vmm;
}

static inline void *bug_alloc(void *ctx, size_t size)
{
	return bug_vmm_next(ctx)->alloc(bug_vmm_next(ctx)->ctx, size);
}

static inline void bug_free(void *ctx, void *block)
{
	bug_vmm_next(ctx)->free(bug_vmm_next(ctx)->ctx, block);
}

static inline int bug_forbid(void *ctx, bool forbid)
{
	struct bug_vmm *own = ctx;
	struct stage *stage = own->stage;

	if (!forbid) {
		stage_view(stage, 0); /* a server hears of what came before */
		own->pinned_then = vfake_ledger(stage->kernel).pinned_pages;
		if (stage->backend->kind == VFIO_BACKEND_USER)
			own->maps_then = vfake_peer_counts(stage->peers[0]).maps;
	}
	return stage->vmm.forbid_discard(stage->vmm.ctx, forbid);
}

static inline int bug_block(void *ctx, const char *reason, uint32_t modes, uint64_t *blocker)
{
	struct vfio_vmm *next = bug_vmm_next(ctx);

	return next->block_migration(next->ctx, reason, modes, blocker);
}

static inline void bug_unblock(void *ctx, uint64_t blocker)
{
	struct bug_vmm *own = ctx;
	const struct vfio_vmm_ref *ref = &own->stage->ref;

	for (uint32_t i = 0; i < ref->blocker_count; i++) {
		if (ref->blockers[i].id == blocker &&
		    strstr(ref->blockers[i].reason, "VFIO device d0:"))
			own->states_then = ref->state_count;
	}
	own->stage->vmm.unblock_migration(own->stage->vmm.ctx, blocker);
}

static inline int bug_register(void *ctx, const struct vfio_vmstate *state)
{
	return bug_vmm_next(ctx)->register_state(bug_vmm_next(ctx)->ctx, state);
}

static inline void bug_unregister(void *ctx, const struct vfio_vmstate *state)
{
	bug_vmm_next(ctx)->unregister_state(bug_vmm_next(ctx)->ctx, state);
}

static inline void bug_broken(void *ctx, int code, const char *message)
{
	bug_vmm_next(ctx)->container_broken(bug_vmm_next(ctx)->ctx, code, message);
}

static inline void bug_warn(void *ctx, const char *message)
{
	bug_vmm_next(ctx)->warn(bug_vmm_next(ctx)->ctx, message);
}

/* @own outlives it; freed by vfio_free(own->vfio). */
static inline void bug_vmm_start(struct bug_vmm *own, struct stage *stage)
{
	*own = (struct bug_vmm){ .stage = stage, .pinned_then = 77, .maps_then = 77 };
	own->vmm = (struct vfio_vmm){ .ctx = own,
				      .alloc = bug_alloc,
				      .free = bug_free,
				      .forbid_discard = bug_forbid,
				      .block_migration = bug_block,
				      .unblock_migration = bug_unblock,
				      .register_state = bug_register,
				      .unregister_state = bug_unregister,
				      .container_broken = bug_broken,
				      .warn = bug_warn };
	own->vfio = vfio_new(&stage->sys, &own->vmm);
	assert_non_null(own->vfio);
}

#endif
