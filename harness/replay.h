/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Playing whole recordings against fresh fake kernels and comparing every result.
 */
#ifndef HARNESS_REPLAY_H
#define HARNESS_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vfake/world.h>

struct plan;
struct player;

/* What came of one file. */
struct replay_result {
	const char *path; /* the caller's */
	bool passed;
	bool unreadable;     /* no trace at all: nothing was played */
	uint32_t calls;	     /* played */
	uint32_t mismatches; /* calls that differ */
	char *text; /* lines to print, one per mismatch or error; NULL for none; free() it */
};

/*
 * replay_file - plays one recording in a world of its own
 * @path: the file
 * @world: the world, or NULL for the default one: the machine of the recordings with the devices
 * that the trace declares. A trace that uses an sPAPR ioctl gets a POWER machine.
 * @player: room to work in, allocated by the caller
 * @result: filled
 *
 * Returns 0, or -ENOMEM when vfake itself ran out of memory. That the file is bad or differs is in
 * @result.
 */
int replay_file(const char *path, const struct vfake_world *world, struct player *player,
		struct replay_result *result);

/* The same for a text in memory. @path: what messages call it. */
int replay_text(const char *path, const char *text, size_t size_bytes,
		const struct vfake_world *world, struct player *player,
		struct replay_result *result);

/*
 * replay_default_world - the machine of the recordings, with the devices that a trace declares
 * @error: receives one line on failure
 *
 * Returns 0, or -ENODEV for a device that the recordings' machine does not have.
 */
int replay_default_world(const struct plan *plan, struct vfake_world *world, char *error,
			 size_t size_bytes);

/*
 * Whether a world has the devices that a trace names.
 *
 * Returns 0, or -ENODEV with a line that says where the trace names one that is not there.
 */
int replay_check_world(const struct plan *plan, const struct vfake_world *world, char *error,
		       size_t size_bytes);

#endif
