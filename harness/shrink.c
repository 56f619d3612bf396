/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a failing trace small: the lines.
 *
 * First ever smaller pieces go, half of the lines at a time, then a quarter, down to one. Whoever
 * uses a name goes with the line that bound it: on their own those lines would ask for nothing but
 * EBADF. In the end each line is tried alone and without its users, since a trace may well be about
 * a name that was never bound. What is left then is minimal: without any one line it does not fail
 * like that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shrink.h"
#include "trace.h"

/* ---- what is left, as text ---- */

static void put_rest(struct trace_writer *writer, const struct shrink *shrink)
{
	const struct trace *trace = shrink->trace;

	trace_put_version(writer, trace->version_comment);
	for (uint32_t i = 0; i < trace->item_count; i++) {
		if (!shrink->gone[i])
			trace_put_item(writer, &trace->items[i]);
	}
}

int shrink_write(const struct shrink *shrink, FILE *to)
{
	struct trace_writer writer;

	trace_writer_file(&writer, to);
	put_rest(&writer, shrink);
	return trace_writer_end(&writer);
}

static int try_rest(struct shrink *shrink, struct shrink_verdict *verdict)
{
	struct trace_writer writer;
	int ret;

	trace_writer_memory(&writer);
	put_rest(&writer, shrink);
	ret = writer.error;
	if (!ret)
		ret = shrink_try(&shrink->oracle, writer.data, writer.size_bytes, verdict);
	trace_writer_end(&writer);
	return ret;
}

bool shrink_holds(struct shrink *shrink, bool strict)
{
	struct shrink_verdict verdict;

	if (!shrink->error)
		shrink->error = try_rest(shrink, &verdict);
	if (shrink->error || (strict && verdict.failures > shrink->failures))
		return false;
	for (uint32_t i = 0; i < verdict.kind_count; i++) {
		if (strcmp(verdict.kinds[i], shrink->kind) != 0)
			continue;
		shrink->failures = verdict.failures;
		shrink->changed = true;
		shrink->steps++;
		if (shrink->progress)
			shrink->progress(shrink);
		return true;
	}
	return false;
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

/* ---- taking lines out ---- */

static uint32_t count_lines(const struct shrink *shrink)
{
	uint32_t lines = 0;

	for (uint32_t i = 0; i < shrink->trace->item_count; i++)
		lines += !shrink->gone[i] && shrink->trace->items[i].kind != TRACE_TEXT;
	return lines;
}

/* Keeps what is out now, if the rest holds; else all comes back as it was in @before. */
static bool keep_or_restore(struct shrink *shrink, const bool *before)
{
	uint32_t lines = shrink->lines;

	shrink->lines = count_lines(shrink);
	if (shrink_holds(shrink, false))
		return true;
	memcpy(shrink->gone, before, shrink->trace->item_count * sizeof(*before));
	shrink->lines = lines;
	return false;
}

/* Takes out @count of the items that are left, from @from on; @users: with whoever uses their
 * names. */
static bool drop_piece(struct shrink *shrink, bool *before, uint32_t from, uint32_t count,
		       bool users)
{
	uint32_t items = shrink->trace->item_count;
	bool any = false;

	memcpy(before, shrink->gone, items * sizeof(*before));
	for (uint32_t i = from; i < items && count; i++) {
		if (before[i])
			continue;
		any = true;
		count--;
		if (users)
			drop_item(shrink, i);
		else
			shrink->gone[i] = true;
	}
	return any && keep_or_restore(shrink, before);
}

/* One pass over all that is left, a piece of @count items at a time. */
static void drop_pieces(struct shrink *shrink, bool *before, uint32_t count, bool users)
{
	uint32_t items = shrink->trace->item_count;

	for (uint32_t i = 0; i < items && !shrink->error;) {
		uint32_t seen = 0;

		drop_piece(shrink, before, i, count, users);
		for (; i < items && seen < count; i++)
			seen += !before[i];
	}
}

/* Behind the call that fails nothing matters, and comments never do. */
static void drop_easy(struct shrink *shrink, bool *before)
{
	const struct trace *trace = shrink->trace;

	memcpy(before, shrink->gone, trace->item_count * sizeof(*before));
	for (uint32_t i = 0; i < trace->item_count; i++)
		shrink->gone[i] = shrink->gone[i] || trace->items[i].kind == TRACE_TEXT ||
				  (shrink->fail_line && trace->items[i].line > shrink->fail_line);
	if (memcmp(before, shrink->gone, trace->item_count * sizeof(*before)) != 0)
		keep_or_restore(shrink, before);
}

static void drop_lines(struct shrink *shrink, bool *before)
{
	bool changed = shrink->changed;

	for (uint32_t count = count_lines(shrink) / 2; count > 1; count /= 2)
		drop_pieces(shrink, before, count, true);
	do {
		shrink->changed = false;
		drop_pieces(shrink, before, 1, true);
		drop_pieces(shrink, before, 1, false);
		changed = changed || shrink->changed;
	} while (shrink->changed && !shrink->error);
	shrink->changed = changed;
}

/* ---- all of it ---- */

int shrink_begin(struct shrink *shrink)
{
	struct shrink_verdict verdict;
	int ret;

	shrink->gone = calloc(shrink->trace->item_count + 1, sizeof(*shrink->gone));
	if (!shrink->gone)
		return -ENOMEM;
	ret = try_rest(shrink, &verdict);
	if (ret)
		return ret;
	if (!verdict.failures)
		return -ENOMSG;
	snprintf(shrink->kind, sizeof(shrink->kind), "%s", verdict.kinds[0]);
	shrink->failures = verdict.failures;
	shrink->fail_line = verdict.first_line;
	shrink->lines = count_lines(shrink);
	return 0;
}

int shrink_run(struct shrink *shrink)
{
	bool *before = calloc(shrink->trace->item_count + 1, sizeof(*before));

	if (!before)
		return -ENOMEM;
	drop_easy(shrink, before);
	do {
		shrink->changed = false;
		drop_lines(shrink, before);
		shrink_values(shrink);
	} while (shrink->changed && !shrink->error);
	free(before);
	return shrink->error;
}

void shrink_end(struct shrink *shrink)
{
	free(shrink->gone);
	shrink->gone = NULL;
}
