/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the stage share.
 */
#ifndef HARNESS_STAGE_INTERNAL_H
#define HARNESS_STAGE_INTERNAL_H

#include "story.h"

/* Fills stage->sys and stage->vmm: those below, watched. */
void stage_watch(struct stage *stage);
/*
 * Ends the process after all of the stack is gone: everything must be back. False with what is not.
 * The stage is of no use afterwards.
 */
bool stage_end(struct stage *stage, char *why, size_t size);
/* stage_user.c: nothing of it does anything on other backends. */
void stage_user_start(struct stage *stage);
void stage_user_stop(struct stage *stage);
/* Lets the peers hear of what was done: before something is counted. */
void stage_user_settle(const struct stage *stage);
void stage_user_view(const struct stage *stage, unsigned int index, struct vfake_device_view *view);
/* Memory that is made gets a file, which goes with it, where peers are to reach it. */
void stage_user_back(const struct stage *stage, struct stage_ram *ram);
/* A region without a file gets the one of the memory that it shows. */
void stage_user_share(const struct stage *stage, struct vfio_memory_region *region);
const char *stage_user_path(unsigned int index);
/* Once around each device, by nobody's stack. No one else has them. */
void stage_user_visit(struct stage *stage);
/* Whether a peer of the stage is to spoil a reply. */
bool stage_user_is_hostile(const struct stage *stage);
/* The one with this number that is there, or NULL. */
const struct stage_process *stage_process_of(const struct stage *stage, uint64_t serial);
/* Ends those of the story that are there; their stacks are gone. */
void stage_end_processes(struct stage *stage);
/* Notes something that must not be, to be told at the end. */
void stage_odd(struct stage *stage, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
