/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the program around the stack, a VMM, does for it. All functions are called from within a
 * call into the stack, on the same thread; none may call back into the stack. Every one may be
 * NULL: the stack then does without.
 *
 * include/vfio/vmm_ref.h has a reference implementation that counts.
 */
#ifndef VFIO_VMM_H
#define VFIO_VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A named piece of state that travels with a live update or a migration. */
struct vfio_vmstate {
	const char *name; /**< unique among those that are registered */
	uint32_t version;
	/** Writes at most @size bytes to @to; returns the bytes needed. */
	size_t (*save)(void *opaque, void *to, size_t size);
	/** Takes what save() wrote in the same or an older version: 0 or -errno, and then nothing
	 * has changed. */
	int (*load)(void *opaque, uint32_t version, const void *from, size_t size);
	void *opaque;
};

/** Reasons against migration are per mode. */
enum vfio_migration_mode {
	VFIO_MODE_NORMAL = 1,	    /**< to another host */
	VFIO_MODE_CPR_REBOOT = 2,   /**< this host, over a kexec */
	VFIO_MODE_CPR_TRANSFER = 4, /**< this host, to a new process over a socket */
	VFIO_MODE_CPR_EXEC = 8,	    /**< this host, by exec */
	VFIO_MODES_ALL = 15,
};

struct vfio_vmm {
	void *ctx; /**< first argument of each function */

	/**
	 * Memory of the stack: zeroed, or NULL. free() gets what alloc() gave. NULL: calloc and
	 * free.
	 */
	void *(*alloc)(void *ctx, size_t size);
	void (*free)(void *ctx, void *block);

	/**
	 * Forbids (@forbid) or allows again that guest memory is given back to the host behind
	 * the stack's back (balloon, free page reporting). Calls nest and are counted by the VMM.
	 * While it is forbidden, only a discard-managed region of struct vfio_memory may lose
	 * pages, because it tells.
	 *
	 * Returns 0, or -EBUSY when somebody relies on discarding. Allowing again always returns 0.
	 */
	int (*forbid_discard)(void *ctx, bool forbid);

	/**
	 * Blocks migration in @modes (enum vfio_migration_mode), with a @reason for people, copied.
	 *
	 * Returns 0 with a handle in *blocker, or -EACCES when the user said that the guest must
	 * stay migratable, -EBUSY when a migration runs.
	 */
	int (*block_migration)(void *ctx, const char *reason, uint32_t modes, uint64_t *blocker);
	void (*unblock_migration)(void *ctx, uint64_t blocker);

	/** Registers state; @state stays valid until it is unregistered. 0, -EEXIST, -ENOMEM. */
	int (*register_state)(void *ctx, const struct vfio_vmstate *state);
	void (*unregister_state)(void *ctx, const struct vfio_vmstate *state);

	/** A device failed or wants to be unplugged; @device is its name. Called from
	 * vfio_device_poll(). */
	void (*device_error)(void *ctx, const char *device);
	void (*device_request)(void *ctx, const char *device);

	/** A container cannot map what the guest's memory became while it runs: @code is -errno.
	 * The guest should be stopped. */
	void (*container_broken)(void *ctx, int code, const char *message);

	/** A line for people: something odd that is no failure. */
	void (*warn)(void *ctx, const char *message);
};

#ifdef __cplusplus
}
#endif
#endif
