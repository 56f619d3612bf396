/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text of any bytes in reports that may not hold any bytes.
 */
#ifndef HARNESS_REPORT_TEXT_H
#define HARNESS_REPORT_TEXT_H

#include <stdio.h>

#include <jansson.h>

/* The name of a result, and the line's end. */
void report_ktap_name(FILE *to, const char *name);
/* Each line of a text behind "# ". NULL is no line. */
void report_ktap_comment(FILE *to, const char *text);
/* Text as XML has it; what XML cannot hold becomes a question mark. */
void report_xml(FILE *to, const char *text);
/* A string; what is no UTF-8 becomes question marks. */
json_t *report_json_text(const char *text, size_t len);
/* An array of the lines of a text. NULL is no line. */
json_t *report_json_lines(const char *text);

#endif
