/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arguments that are made from the table: for a row on a stage, one that names what is there and
 * that no rule of the row forbids. Tests change it, or make the call fail on its way.
 */
#ifndef SCENARIOS_SOUND_CALL_H
#define SCENARIOS_SOUND_CALL_H

#include "negative_stage.h"

enum { SOUND_BYTES = 512 };

/* What a field must be besides its role, or @otherwise. The argument itself is the field "". */
uint64_t sound_hint(const struct uapi_ioctl *row, const char *field, uint64_t otherwise);

/* Fills @arg, SOUND_BYTES. Returns the bytes of it that count, tails included. */
uint32_t sound_make(const struct stage *stage, const struct uapi_ioctl *row, unsigned char *arg);

#endif
