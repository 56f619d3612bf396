/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fuzz targets share. With libFuzzer (VFAKE_FUZZ) a target is linked with it; without,
 * with fuzz_main.c.
 */
#ifndef HARNESS_FUZZ_H
#define HARNESS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The target: any @data, no harm. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/* Ends the program, so that the fuzzer keeps the input, unless @truth. */
static inline void fuzz_check(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "fuzz: %s\n", what);
	abort();
}

#endif
