/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two halves of the trace reader share: lines (trace_read.c), calls (trace_parse.c). */
#ifndef HARNESS_TRACE_INTERNAL_H
#define HARNESS_TRACE_INTERNAL_H

#include "trace.h"

/*
 * The reader works on its own copy of the text. The byte at @end is a NUL while a line is read, so
 * scanning needs no bounds check: every run of wanted bytes stops there. Names and strings stay
 * where they are; the places behind them, whose bytes are needed until the line is done, are kept
 * in @stops and become NULs then.
 */
struct trace_reader {
	struct trace *trace;
	struct trace_error *error;
	const char *file;
	char *line_start;
	char *at;
	char *end;
	uint32_t line;
	uint32_t depth;
	char **stops;
	size_t stop_count, stop_capacity;
	struct trace_value *values; /* list items and arguments of the structs and lists in work */
	size_t value_count, value_capacity;
	struct trace_field *fields; /* and their fields */
	size_t field_count, field_capacity;
};

/* trace_read.c */
void *trace_alloc(struct trace *trace, size_t size_bytes);
int trace_reserve(void *array, size_t *capacity, size_t count, size_t element_bytes);
int trace_fail(struct trace_reader *reader, const char *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int trace_expected(struct trace_reader *reader, const char *what);
void trace_blanks(struct trace_reader *reader);

/* trace_parse.c */
int trace_parse_name(struct trace_reader *reader, const char **name, const char *what);
int trace_parse_call(struct trace_reader *reader, struct trace_call *call);
bool trace_is_word_start(char byte);

#endif
