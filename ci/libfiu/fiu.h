/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stands in for libfiu on the machines of ci/bigendian, for which nobody packages it: the same
 * names with the same meaning, as far as harness/fault.c and its test use them. Not thread-safe.
 */
#ifndef FIU_H
#define FIU_H

int fiu_init(unsigned int flags);
int fiu_fail(const char *name);

#endif
