/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A reference VMM: struct vfio_vmm with counters, for programs that have no own policy and for
 * tests.
 */
#ifndef VFIO_VMM_REF_H
#define VFIO_VMM_REF_H

#include <vfio/vmm.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum { VFIO_VMM_REF_MAX = 64 };

struct vfio_vmm_ref {
	/* what the program chooses */
	bool needs_discard;   /**< somebody relies on discarding: forbidding is -EBUSY */
	bool only_migratable; /**< blocking VFIO_MODE_NORMAL is -EACCES */
	uint32_t only_modes;  /**< so is blocking one of these: enum vfio_migration_mode */
	/* what is there now */
	uint32_t discard_forbidden; /**< how often, net */
	uint32_t blocker_count;
	struct {
		uint64_t id;
		uint32_t modes;
		char reason[128];
	} blockers[VFIO_VMM_REF_MAX];
	uint64_t next_blocker;
	uint32_t state_count;
	const struct vfio_vmstate *states[VFIO_VMM_REF_MAX];
	/* what happened */
	uint32_t errors_seen;	/**< device_error() */
	uint32_t requests_seen; /**< device_request() */
	uint32_t broken_seen;	/**< container_broken() */
	int broken_code;
	uint32_t warnings_seen;
	uint64_t blocks; /**< of memory that the stack holds */
};

/** Fills @vmm with the functions; @ref must outlive the stack and is zeroed but for what the
 * program chose. */
void vfio_vmm_ref(struct vfio_vmm_ref *ref, struct vfio_vmm *vmm);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
