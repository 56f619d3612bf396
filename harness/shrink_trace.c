/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A trace as something that can be made small: its lines.
 *
 * Whoever uses a name goes with the line that bound it: on their own those lines would ask for
 * nothing but EBADF. In the end each line is tried alone and without its users, since a trace may
 * well be about a name that was never bound.
 */
#include <string.h>

#include "shrink.h"
#include "trace.h"

static int write_rest(const struct shrink *shrink, FILE *to)
{
	const struct trace *trace = shrink->trace;
	struct trace_writer writer;

	trace_writer_file(&writer, to);
	trace_put_version(&writer, trace->version_comment);
	for (uint32_t i = 0; i < trace->item_count; i++) {
		if (!shrink->gone[i])
			trace_put_item(&writer, &trace->items[i]);
	}
	return trace_writer_end(&writer);
}

static uint32_t count_lines(const struct shrink *shrink)
{
	uint32_t lines = 0;

	for (uint32_t i = 0; i < shrink->count; i++)
		lines += !shrink->gone[i] && shrink->trace->items[i].kind != TRACE_TEXT;
	return lines;
}

/* Behind the call that fails nothing matters, and comments never do. */
static void drop_easy(struct shrink *shrink)
{
	const struct trace *trace = shrink->trace;

	for (uint32_t i = 0; i < shrink->count; i++)
		shrink->gone[i] = shrink->gone[i] || trace->items[i].kind == TRACE_TEXT ||
				  (shrink->fail_line && trace->items[i].line > shrink->fail_line);
}

static void drop_alone(struct shrink *shrink, uint32_t index)
{
	shrink->gone[index] = true;
}

/* ---- who uses what ---- */

/* Does the text name the device: as a whole, or as {d0.group} in a path? */
static bool text_names(const char *text, const char *name)
{
	size_t len = strlen(name);

	if (!strcmp(text, name))
		return true;
	for (const char *at = strchr(text, '{'); at; at = strchr(at + 1, '{')) {
		if (!strncmp(at + 1, name, len) && at[1 + len] == '.')
			return true;
	}
	return false;
}

static bool value_uses(const struct trace_value *value, const char *name)
{
	switch (value->kind) {
	case TRACE_NAME:
		return !strcmp(value->text, name);
	case TRACE_STRING:
		return text_names(value->text, name);
	case TRACE_STRUCT:
		for (uint32_t i = 0; i < value->count; i++) {
			if (value_uses(&value->fields[i].value, name))
				return true;
		}
		return false;
	case TRACE_LIST:
		for (uint32_t i = 0; i < value->count; i++) {
			if (value_uses(&value->items[i], name))
				return true;
		}
		return false;
	default:
		return false;
	}
}

static bool call_uses(const struct trace_call *call, const char *name)
{
	for (uint32_t i = 0; i < call->arg_count; i++) {
		if (value_uses(&call->args[i], name))
			return true;
	}
	return false;
}

/* Takes out the lines behind item @from that use the name. */
static void drop_users(struct shrink *shrink, uint32_t from, const char *name);

static void drop_item(struct shrink *shrink, uint32_t index)
{
	const struct trace_item *item = &shrink->trace->items[index];
	const struct trace_value *out;

	if (shrink->gone[index])
		return;
	shrink->gone[index] = true;
	if (item->kind == TRACE_DEVICE)
		drop_users(shrink, index, item->text);
	if (item->kind != TRACE_CALL)
		return;
	if (item->call->result.kind == TRACE_NAME)
		drop_users(shrink, index, item->call->result.text);
	out = &item->call->out;
	for (uint32_t i = 0; out->kind == TRACE_STRUCT && i < out->count; i++) {
		if (out->fields[i].value.kind == TRACE_NAME)
			drop_users(shrink, index, out->fields[i].value.text);
	}
}

static void drop_users(struct shrink *shrink, uint32_t from, const char *name)
{
	const struct trace *trace = shrink->trace;

	for (uint32_t i = from + 1; i < trace->item_count; i++) {
		if (trace->items[i].kind == TRACE_CALL && call_uses(trace->items[i].call, name))
			drop_item(shrink, i);
	}
}

const struct shrink_form shrink_trace_form = {
	.write = write_rest,
	.count_lines = count_lines,
	.drop_easy = drop_easy,
	.drop = drop_item,
	.drop_alone = drop_alone,
	.refine = shrink_values,
};
