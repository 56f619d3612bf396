/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the sweep's traces share: a call on its way to a line.
 */
#ifndef HARNESS_SWEEP_TRACE_INTERNAL_H
#define HARNESS_SWEEP_TRACE_INTERNAL_H

#include "sweep_trace.h"
#include "trace.h"

enum { SWEEP_TRACE_BYTES = 32 << 20 };

/* Of pages that nobody wrote to there is none. */
struct sweep_trace_text {
	size_t end; /* of what was noted last, by whatever process */
	char bytes[SWEEP_TRACE_BYTES];
};

struct sweep_line {
	struct sweep_trace *trace;
	const struct vfake_event *event;
	struct trace_writer writer;
	const char *why; /* it is nothing that a trace can say; NULL: it is */
	bool unread;	 /* its pointers are bad */
};

/* The first reason counts. */
void sweep_line_refuse(struct sweep_line *line, const char *why);
/* Reads the memory of who makes the call. False, and no trace can say it, where it cannot be read.
 */
bool sweep_line_load(struct sweep_line *line, uint64_t addr, void *bytes, uint64_t len);

/* Values: a descriptor; an address; bytes in the process's memory; what the call gave. */
void sweep_line_fd(struct sweep_line *line, int fd);
void sweep_line_address(struct sweep_line *line, uint64_t addr);
void sweep_line_bytes(struct sweep_line *line, uint64_t addr, uint64_t len);
void sweep_line_new_fd(struct sweep_line *line, int fd);
void sweep_line_result(struct sweep_line *line, bool is_fd);

/* All of a call; of an ioctl what is in its parentheses and what comes of it. */
void sweep_line_call(struct sweep_line *line);
void sweep_line_ioctl(struct sweep_line *line);

#endif
