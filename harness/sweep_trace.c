/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Noting calls as lines. The text lies in memory that the processes of a sweep share; each knows
 * how much of it was noted by itself and by those that it was forked from.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "fault.h"
#include "sweep_trace_internal.h"

/* ---- memory ---- */

bool sweep_trace_start(struct sweep_trace *trace, const struct vfake_kernel *kernel,
		       const struct vfake_task *task)
{
	void *text = mmap(NULL, sizeof(*trace->text), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (text == MAP_FAILED)
		return false;
	*trace = (struct sweep_trace){ .text = text, .kernel = kernel, .task = task };
	sweep_names_process(&trace->names, task);
	return true;
}

void sweep_trace_end(struct sweep_trace *trace)
{
	if (!trace->text)
		return;
	munmap(trace->text, sizeof(*trace->text));
	sweep_names_free(&trace->names);
	*trace = (struct sweep_trace){ .text = NULL };
}

void sweep_trace_rewind(struct sweep_trace *trace)
{
	if (trace->text)
		trace->text->end = trace->used;
}

/* Whole lines, or nothing of them and nothing any more. */
static void append(struct sweep_trace *trace, const char *text)
{
	static const char last[] = "# There is no room for what follows.\n";
	const size_t len = strlen(text), room = sizeof(trace->text->bytes) - trace->used;

	if (trace->full)
		return;
	trace->full = room < len + sizeof(last);
	memcpy(trace->text->bytes + trace->used, trace->full ? last : text,
	       trace->full ? sizeof(last) - 1 : len);
	trace->used += trace->full ? sizeof(last) - 1 : len;
	trace->text->end = trace->used;
}

/* ---- comments ---- */

void sweep_trace_note(struct sweep_trace *trace, const char *format, ...)
{
	char text[256], line[sizeof(text) + 4];
	va_list args;

	if (!trace->text)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(line, sizeof(line), "# %s\n", text);
	append(trace, line);
}

void sweep_trace_fault(struct sweep_trace *trace, const struct vfake_fault_point *point, int ret)
{
	const char *code = fault_code_name(-ret);

	sweep_trace_note(trace, "Here it fails: %s, %s.", point->name, code ? code : "?");
	trace->ended = true;
}

void sweep_trace_stop(struct sweep_trace *trace, const char *why)
{
	if (!trace->ended)
		sweep_trace_note(trace, "From here on it is more than a trace can say: %s.", why);
	trace->ended = true;
}

/* ---- calls ---- */

static void append_call(struct sweep_trace *trace, const struct sweep_line *line)
{
	const bool is_other = line->event->task != trace->task;
	char prefix[32] = "";

	if (line->why)
		sweep_trace_stop(trace, line->why);
	if (is_other)
		snprintf(prefix, sizeof(prefix),
			 "# process %zu: ", sweep_names_process(&trace->names, line->event->task));
	append(trace, is_other ? prefix : trace->ended ? "# " : "");
	append(trace, line->writer.data);
}

void sweep_trace_call(struct sweep_trace *trace, const struct vfake_event *event)
{
	struct sweep_line line = { .trace = trace, .event = event };

	if (!trace->text || trace->full)
		return;
	trace_writer_memory(&line.writer);
	if (event->task != trace->task)
		sweep_line_refuse(&line, "another process");
	sweep_line_call(&line);
	if (!line.writer.error)
		append_call(trace, &line);
	if (trace_writer_end(&line.writer))
		sweep_trace_stop(trace, "a call that cannot be written");
}
