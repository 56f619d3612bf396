/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which answers were seen: each ioctl of the table with each errno, and by whom.
 *
 * A column is who made the call: a backend of the stack, or "kernel" for whatever the fake kernel
 * answered by itself, without being made to at the call's entry. coverage/witness holds the columns
 * against the table.
 */
#ifndef HARNESS_WITNESS_H
#define HARNESS_WITNESS_H

#include <stdbool.h>

#include <vfake/fault.h>

/* The variable that names the file to which answers are added when the process ends. */
#define WITNESS_VARIABLE "VFAKE_WITNESS"

/*
 * Begins to gather where the environment asks for it, else does nothing. Children that the process
 * forks gather for it. A file that cannot be written is told at the end. Returns whether it
 * gathers.
 */
bool witness_begin(void);

/* Notes the answer of a call. @backend: an index into backends[], or -1 where no stack made it. */
void witness_see(int backend, const struct vfake_event *event);

/* Notes what a fault made of the answer to a message, which is no call of the kernel's. */
void witness_told(int backend, const struct vfake_fault_point *point, long ret);

#endif
