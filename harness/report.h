/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What came of a run, for people and for machines.
 */
#ifndef HARNESS_REPORT_H
#define HARNESS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "replay.h"

enum report_format {
	REPORT_HUMAN, /* the differences, then "N passed, M failed" */
	REPORT_KTAP,  /* the kernel's test protocol, version 1 */
	REPORT_JUNIT, /* XML that CI systems read */
	REPORT_JSON,
};

/* 0, or -EINVAL for an unknown name. */
int report_format_by_name(const char *name, enum report_format *format);

/* Prints @count results in order. @verbose: also those that passed, where the format would leave
 * them out. */
void report_results(FILE *to, enum report_format format, bool verbose,
		    const struct replay_result *results, size_t count);

#endif
