/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HARNESS_ERRNOS_H
#define HARNESS_ERRNOS_H

#include <stddef.h>

/*
 * errno_name - the symbolic name of an error number
 * @number: a positive error number, as in <errno.h>
 *
 * Returns a static string such as "EINVAL", or NULL where Linux has no such error. A number with
 * two names gives the first of them: EAGAIN (not EWOULDBLOCK), EDEADLK (not EDEADLOCK).
 */
const char *errno_name(int number);

/*
 * errno_by_name - the number of a symbolic error name
 * @name: the name without a sign, such as "EINVAL"; it need not be NUL-terminated
 * @length_bytes: how long it is
 *
 * Returns the positive number, or 0 where no error has that name. The second names of a number are
 * not known here, so that one result has one spelling.
 */
int errno_by_name(const char *name, size_t length_bytes);

#endif
