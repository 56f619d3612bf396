/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls as text.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uapi/table.h>

#include "errnos.h"
#include "sweep_trace.h"

void sweep_trace_start(struct sweep_trace *trace)
{
	trace->to = open_memstream(&trace->text, &trace->size);
}

void sweep_trace_end(struct sweep_trace *trace)
{
	if (trace->to)
		fclose(trace->to);
	free(trace->text);
	*trace = (struct sweep_trace){ .to = NULL };
}

void sweep_trace_step(struct sweep_trace *trace, unsigned int number, const char *name)
{
	if (trace->to)
		fprintf(trace->to, "# step %u: %s\n", number, name);
}

/* The fields that are not 0, of those that point in the direction. */
static void print_fields(FILE *to, const struct uapi_struct *layout, const void *bytes,
			 unsigned int direction)
{
	const char *comma = "";

	fputc('{', to);
	for (uint16_t i = 0; i < layout->field_count; i++) {
		const struct uapi_field *field = &layout->fields[i];
		uint64_t value;

		if (!field->width || field->tail || !(field->dir & direction))
			continue;
		value = uapi_field_get(field, bytes);
		if (!value)
			continue;
		fprintf(to, "%s%s=0x%llx", comma, field->name, (unsigned long long)value);
		comma = ", ";
	}
	fputc('}', to);
}

static void print_result(FILE *to, long ret)
{
	const char *name = ret < 0 ? errno_name((int)-ret) : NULL;

	if (name)
		fprintf(to, " = -%s", name);
	else
		fprintf(to, " = %ld", ret);
}

void sweep_trace_call(struct sweep_trace *trace, const struct vfake_event *event)
{
	const struct uapi_struct *layout = event->row ? event->row->arg : NULL;
	FILE *to = trace->to;

	if (!to)
		return;
	fprintf(to, "%s(", event->call);
	if (event->path)
		fprintf(to, "\"%s\"", event->path);
	else if (event->fd >= 0)
		fprintf(to, "%d", event->fd);
	if (event->row)
		fprintf(to, ", %s", event->row->name);
	else if (event->request)
		fprintf(to, ", 0x%llx", (unsigned long long)event->request);
	if (layout && event->in) {
		fputs(", ", to);
		print_fields(to, layout, event->in, UAPI_IN);
	} else if (event->len) {
		fprintf(to, ", 0x%llx", (unsigned long long)event->len);
	}
	fputc(')', to);
	print_result(to, event->ret);
	if (layout && event->out && !event->ret && layout->dirs & UAPI_OUT) {
		fputc(' ', to);
		print_fields(to, layout, event->out, UAPI_OUT);
	}
	if (event->fault)
		fprintf(to, " # fails at %s", event->fault->name);
	fputc('\n', to);
}

int sweep_trace_write(struct sweep_trace *trace, const char *path)
{
	FILE *file = fopen(path, "w");
	size_t written;

	if (!file)
		return -errno;
	fflush(trace->to);
	written = fwrite(trace->text, 1, trace->size, file);
	if (fclose(file) || written != trace->size)
		return -EIO;
	return 0;
}
