/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The states of a migration, version 2, and the way from one to another.
 *
 * Imitates vfio_mig_get_next_state() of drivers/vfio/vfio_main.c, Linux 7.2: the same next state
 * for each pair of states and each set of optional states.
 *
 * Kept: a device does single arcs; a request for more is stepped, and never through a state that
 * would open a data stream before the last step; what the device does not have is stepped over;
 * there is no way into ERROR, none out of it (a reset leads out), and none from STOP_COPY back to
 * pre-copy. Here this is no table but the shape behind it: the states STOP, RUNNING_P2P and RUNNING
 * are a line, the others each hang on one of them, and pre-copy has an arc of its own to STOP_COPY.
 *
 * Dropped: nothing.
 */
#include "model.h"

/* What a device must have for a state. */
static uint64_t needs(uint32_t state)
{
	switch (state) {
	case VFIO_DEVICE_STATE_RUNNING_P2P:
		return VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P;
	case VFIO_DEVICE_STATE_PRE_COPY:
		return VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY;
	case VFIO_DEVICE_STATE_PRE_COPY_P2P:
		return VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;
	default:
		return VFIO_MIGRATION_STOP_COPY;
	}
}

static bool has_state(uint64_t flags, uint32_t state)
{
	return (flags & needs(state)) == needs(state);
}

/* The state on the line that @state is, or hangs on. */
static uint32_t anchor_of(uint32_t state)
{
	switch (state) {
	case VFIO_DEVICE_STATE_STOP_COPY:
	case VFIO_DEVICE_STATE_RESUMING:
		return VFIO_DEVICE_STATE_STOP;
	case VFIO_DEVICE_STATE_PRE_COPY:
		return VFIO_DEVICE_STATE_RUNNING;
	case VFIO_DEVICE_STATE_PRE_COPY_P2P:
		return VFIO_DEVICE_STATE_RUNNING_P2P;
	default:
		return state;
	}
}

static bool is_pre_copy(uint32_t state)
{
	return state == VFIO_DEVICE_STATE_PRE_COPY || state == VFIO_DEVICE_STATE_PRE_COPY_P2P;
}

/* One step, @from and @to being different, as if the device had every state. ERROR: no way. */
static uint32_t step(uint32_t from, uint32_t to)
{
	if (from == VFIO_DEVICE_STATE_ERROR || to == VFIO_DEVICE_STATE_ERROR ||
	    (from == VFIO_DEVICE_STATE_STOP_COPY && is_pre_copy(to)))
		return VFIO_DEVICE_STATE_ERROR;
	if (is_pre_copy(from) && is_pre_copy(to))
		return to;
	if (is_pre_copy(from) && to == VFIO_DEVICE_STATE_STOP_COPY)
		return from == VFIO_DEVICE_STATE_PRE_COPY ? VFIO_DEVICE_STATE_PRE_COPY_P2P : to;
	if (anchor_of(from) != from)
		return anchor_of(from);
	if (anchor_of(to) == from)
		return to;
	/* Along the line: every way between its ends leads over its middle. */
	return from == VFIO_DEVICE_STATE_RUNNING_P2P ? anchor_of(to)
						     : VFIO_DEVICE_STATE_RUNNING_P2P;
}

int mig_next_state(uint64_t flags, uint32_t from, uint32_t to, uint32_t *next)
{
	if (to >= VFIO_DEVICE_STATE_NR || !has_state(flags, to))
		return -EINVAL;
	*next = from == to ? to : step(from, to);
	while (*next != VFIO_DEVICE_STATE_ERROR && !has_state(flags, *next))
		*next = step(*next, to);
	return *next == VFIO_DEVICE_STATE_ERROR ? -EINVAL : 0;
}
