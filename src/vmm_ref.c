/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reference VMM: counters and two policies.
 */
#include <stdio.h>
#include <string.h>

#include <vfio/vmm_ref.h>

#include "stack.h"

static void *ref_alloc(void *ctx, size_t size)
{
	struct vfio_vmm_ref *ref = ctx;
	void *block = vfio_vmm_alloc(NULL, size);

	if (block)
		ref->blocks++;
	return block;
}

static void ref_free(void *ctx, void *block)
{
	struct vfio_vmm_ref *ref = ctx;

	ref->blocks--;
	vfio_vmm_free(NULL, block);
}

static int ref_forbid_discard(void *ctx, bool forbid)
{
	struct vfio_vmm_ref *ref = ctx;

	if (forbid && ref->needs_discard)
		return -EBUSY;
	ref->discard_forbidden += forbid ? 1u : (uint32_t)-1;
	return 0;
}

static int ref_block_migration(void *ctx, const char *reason, uint32_t modes, uint64_t *blocker)
{
	struct vfio_vmm_ref *ref = ctx;
	uint32_t open = ref->only_modes | (ref->only_migratable ? VFIO_MODE_NORMAL : 0);

	if (modes & open)
		return -EACCES;
	if (ref->blocker_count == VFIO_VMM_REF_MAX)
		return -ENOMEM;
	*blocker = ++ref->next_blocker;
	ref->blockers[ref->blocker_count].id = *blocker;
	ref->blockers[ref->blocker_count].modes = modes;
	snprintf(ref->blockers[ref->blocker_count].reason, sizeof(ref->blockers[0].reason), "%s",
		 reason);
	ref->blocker_count++;
	return 0;
}

static void ref_unblock_migration(void *ctx, uint64_t blocker)
{
	struct vfio_vmm_ref *ref = ctx;

	for (uint32_t i = 0; i < ref->blocker_count; i++) {
		if (ref->blockers[i].id != blocker)
			continue;
		ref->blocker_count--;
		memmove(&ref->blockers[i], &ref->blockers[i + 1],
			(ref->blocker_count - i) * sizeof(ref->blockers[0]));
		return;
	}
}

static int ref_register_state(void *ctx, const struct vfio_vmstate *state)
{
	struct vfio_vmm_ref *ref = ctx;

	for (uint32_t i = 0; i < ref->state_count; i++) {
		if (!strcmp(ref->states[i]->name, state->name))
			return -EEXIST;
	}
	if (ref->state_count == VFIO_VMM_REF_MAX)
		return -ENOMEM;
	ref->states[ref->state_count++] = state;
	return 0;
}

static void ref_unregister_state(void *ctx, const struct vfio_vmstate *state)
{
	struct vfio_vmm_ref *ref = ctx;

	for (uint32_t i = 0; i < ref->state_count; i++) {
		if (ref->states[i] != state)
			continue;
		ref->state_count--;
		memmove(&ref->states[i], &ref->states[i + 1],
			(ref->state_count - i) * sizeof(ref->states[0]));
		return;
	}
}

static void ref_device_error(void *ctx, const char *device)
{
	struct vfio_vmm_ref *ref = ctx;

	(void)device;
	ref->errors_seen++;
}

static void ref_device_request(void *ctx, const char *device)
{
	struct vfio_vmm_ref *ref = ctx;

	(void)device;
	ref->requests_seen++;
}

static void ref_container_broken(void *ctx, int code, const char *message)
{
	struct vfio_vmm_ref *ref = ctx;

	(void)message;
	ref->broken_seen++;
	ref->broken_code = code;
}

static void ref_warn(void *ctx, const char *message)
{
	struct vfio_vmm_ref *ref = ctx;

	(void)message;
	ref->warnings_seen++;
}

void vfio_vmm_ref(struct vfio_vmm_ref *ref, struct vfio_vmm *vmm)
{
	*vmm = (struct vfio_vmm){
		.ctx = ref,
		.alloc = ref_alloc,
		.free = ref_free,
		.forbid_discard = ref_forbid_discard,
		.block_migration = ref_block_migration,
		.unblock_migration = ref_unblock_migration,
		.register_state = ref_register_state,
		.unregister_state = ref_unregister_state,
		.device_error = ref_device_error,
		.device_request = ref_device_request,
		.container_broken = ref_container_broken,
		.warn = ref_warn,
	};
}
