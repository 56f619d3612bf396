/* SPDX-License-Identifier: BSD-2-Clause */
/* Somebody else's vfio-user server, for comparison: a sample of libvfio-user. */
#ifndef VFAKE_BENCH_USER_OTHER_H
#define VFAKE_BENCH_USER_OTHER_H

#include <sys/types.h>

#include "bench.h"

struct bench_other {
	const char *path; /* of its socket; NULL: there is no such server, a note says why */
	char directory[64];
	char socket[80];
	pid_t pid;
	int input; /* the end of its standard input, with which it ends, too */
};

/*
 * Starts the server if it was built: by `make interop', or in the checkout that BENCH_LIBVFIO_USER
 * in the environment names. Undone by bench_other_stop().
 */
void bench_other_start(struct bench *bench, struct bench_other *other);
void bench_other_stop(struct bench_other *other);

#endif
