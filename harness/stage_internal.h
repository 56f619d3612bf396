/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the stage share.
 */
#ifndef HARNESS_STAGE_INTERNAL_H
#define HARNESS_STAGE_INTERNAL_H

#include "story.h"

/* Fills stage->sys and stage->vmm: those below, watched. */
void stage_watch(struct stage *stage);
/* Notes something that must not be, to be told at the end. */
void stage_odd(struct stage *stage, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
