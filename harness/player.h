/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plays the steps of a plan on a machine and says what each of them did, in the terms of the
 * trace format.
 */
#ifndef HARNESS_PLAYER_H
#define HARNESS_PLAYER_H

#include "machine.h"
#include "plan.h"

enum {
	PLAYER_NAMES = 256, /* descriptors and memories that one trace may name */
	PLAYER_OUT_FIELDS = 32,
	PLAYER_RANGES = 256,
	PLAYER_BYTES_MAX = 65536, /* bytes that one step reads or writes at most */
};

/* What a name of the trace stands for. */
struct player_name {
	const char *name;
	bool is_memory;
	bool live;
	int fd;
	uint64_t addr;
};

/* What a step did. The values point into the player and die with the next step. */
struct outcome {
	struct trace_value result;
	struct trace_value out; /* NONE, or a STRUCT of the fields that changed */
};

struct player {
	const struct plan *plan;
	struct machine *machine;
	struct player_name names[PLAYER_NAMES];
	uint32_t name_count;
	uint64_t scratch_used; /* bytes of the machine's scratch memory that the step in work has
				  taken */
	struct outcome outcome;
	struct trace_field out_fields[PLAYER_OUT_FIELDS];
	uint32_t out_count;
	struct trace_value ranges[PLAYER_RANGES];
	uint8_t bytes[PLAYER_BYTES_MAX];
	char hex[2 * PLAYER_BYTES_MAX + 1];
	char path[4096];
};

/* Makes a player for a plan on a machine; both must outlive it. Frees nothing of them. */
void player_init(struct player *player, const struct plan *plan, struct machine *machine);

/*
 * Plays one step. Returns 0 with player->outcome filled, or, where the step cannot be played at
 * all (too many names, a device that the machine does not have, no room), -EINVAL with a static
 * text in *why.
 */
int player_step(struct player *player, const struct step *step, const char **why);

/* ---- between player.c and player_ioctl.c ---- */

/*
 * What a name stands for at this step; NULL when it was never bound or is closed.
 */
const struct player_name *player_find(const struct player *player, const char *name);
/* Binds a name of the trace. 0, or -EINVAL when there are too many. */
int player_bind(struct player *player, const char *name, bool is_memory, int fd, uint64_t addr);
/*
 * A value as a descriptor (-1 for a dead name) and as an address (an invalid one for a dead
 * name).
 */
int player_fd(const struct player *player, const struct trace_value *value);
uint64_t player_address(const struct player *player, const struct trace_value *value);
/*
 * @len bytes of the process's memory for an argument, zeroed. The address, or 0 when there is no
 * room.
 */
uint64_t player_scratch(struct player *player, uint64_t len);
/* @bytes as a value of the trace. */
struct trace_value player_hex(struct player *player, const uint8_t *bytes, size_t len);
/* The ioctl of a step. As player_step(). */
int player_ioctl(struct player *player, const struct step *step, const char **why);
/* Whether a field's value is written in hex. */
bool player_is_hex(const struct uapi_field *field, uint64_t value);
/* The step returned a descriptor or an error: binds the name that the trace gives it. */
int player_got_fd(struct player *player, const struct step *step, long fd, const char **why);

#endif
