/* SPDX-License-Identifier: BSD-2-Clause */
/* Looking things up in a trace, comparing values, and saying how a call differs. */
#include "trace.h"

#include <inttypes.h>
#include <string.h>

const struct trace_call *trace_next_call(const struct trace *trace, const struct trace_call *call)
{
	uint32_t i;

	for (i = call ? call->item + 1 : 0; i < trace->item_count; i++)
		if (trace->items[i].kind == TRACE_CALL)
			return trace->items[i].call;
	return NULL;
}

const struct trace_value *trace_arg(const struct trace_call *call, uint32_t index)
{
	return index < call->arg_count ? &call->args[index] : NULL;
}

const struct trace_value *trace_get(const struct trace_value *value, const char *field)
{
	uint32_t i;

	if (!value || value->kind != TRACE_STRUCT)
		return NULL;
	for (i = 0; i < value->count; i++)
		if (!strcmp(value->fields[i].name, field))
			return &value->fields[i].value;
	return NULL;
}

bool trace_is_name(const struct trace_value *value, const char *name)
{
	return value && value->kind == TRACE_NAME && !value->base && !strcmp(value->text, name);
}

bool trace_is_number(const struct trace_value *value, uint64_t *number)
{
	if (!value || value->kind != TRACE_NUMBER)
		return false;
	*number = value->number;
	return true;
}

bool trace_is_bytes(const struct trace_value *value)
{
	return value && value->kind == TRACE_LIST && (value->digits || !value->count);
}

static uint8_t nibble(char digit)
{
	return (uint8_t)(digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
}

size_t trace_bytes(const struct trace_value *value, uint8_t *bytes, size_t capacity_bytes)
{
	const size_t size_bytes = trace_is_bytes(value) ? value->digits / 2 : 0;
	size_t i;

	for (i = 0; i < size_bytes && i < capacity_bytes; i++)
		bytes[i] =
			(uint8_t)(nibble(value->hex[2 * i]) << 4 | nibble(value->hex[2 * i + 1]));
	return size_bytes;
}

/* The depth of a value is bounded by the reader and by whoever builds one. */
static bool structs_equal(const struct trace_value *a, const struct trace_value *b)
{
	uint32_t i;

	if (a->count != b->count)
		return false;
	for (i = 0; i < a->count; i++)
		if (!trace_equal(&a->fields[i].value, trace_get(b, a->fields[i].name)))
			return false;
	return true;
}

static bool lists_equal(const struct trace_value *a, const struct trace_value *b)
{
	uint32_t i;

	if (a->digits && b->digits) {
		for (i = 0; i < a->digits && a->digits == b->digits; i++)
			if (nibble(a->hex[i]) != nibble(b->hex[i]))
				return false;
		return a->digits == b->digits;
	}
	if (a->count != b->count || (!a->count && a->digits != b->digits))
		return false;
	for (i = 0; i < a->count; i++)
		if (!trace_equal(&a->items[i], &b->items[i]))
			return false;
	return true;
}

bool trace_equal(const struct trace_value *a, const struct trace_value *b)
{
	const uint8_t kind = a ? a->kind : TRACE_NONE;

	if (kind != (b ? b->kind : TRACE_NONE))
		return false;
	if (kind == TRACE_NONE)
		return true;
	switch ((enum trace_kind)kind) {
	case TRACE_NUMBER:
		return a->number == b->number;
	case TRACE_NAME:
		return !a->base == !b->base && a->offset == b->offset && !strcmp(a->text, b->text);
	case TRACE_STRING:
		return a->count == b->count && !memcmp(a->text, b->text, a->count);
	case TRACE_STRUCT:
		return structs_equal(a, b);
	case TRACE_LIST:
		return lists_equal(a, b);
	case TRACE_RANGE:
		return a->number == b->number && a->last == b->last;
	case TRACE_ERRNO:
		return a->error == b->error;
	case TRACE_NONE:
		break;
	}
	return true;
}

struct trace_value trace_make_number(uint64_t number, unsigned int base)
{
	return (struct trace_value){ .kind = TRACE_NUMBER,
				     .base = (uint8_t)base,
				     .number = number };
}

struct trace_value trace_make_signed(int64_t number)
{
	return (struct trace_value){
		.kind = TRACE_NUMBER, .base = 10, .negative = number < 0, .number = (uint64_t)number
	};
}

struct trace_value trace_make_name(const char *name)
{
	return (struct trace_value){ .kind = TRACE_NAME, .text = name };
}

struct trace_value trace_make_errno(int error)
{
	return (struct trace_value){ .kind = TRACE_ERRNO, .error = error };
}

struct trace_value trace_make_struct(struct trace_field *fields, uint32_t count)
{
	return (struct trace_value){ .kind = TRACE_STRUCT, .count = count, .fields = fields };
}

/* Call and request are enough to recognise a line; the line number finds the rest. */
static void put_title(struct trace_writer *writer, const struct trace_call *call)
{
	const struct trace_value *request = trace_arg(call, 1);

	trace_put_name(writer, call->name);
	if (strcmp(call->name, "ioctl") != 0 || !request)
		return;
	trace_put_name(writer, " ");
	trace_put_value(writer, request);
}

static void put_side(struct trace_writer *writer, const struct trace_value *value)
{
	if (value && value->kind != TRACE_NONE)
		trace_put_value(writer, value);
	else
		trace_put_name(writer, "no change");
}

void trace_mismatch(char *line, size_t size_bytes, const struct trace *trace,
		    const struct trace_call *call, const char *field,
		    const struct trace_value *expected, const struct trace_value *got)
{
	const struct trace_value *place = expected;
	struct trace_writer writer;
	uint32_t column;

	/* What was not expected stands nowhere in the line: point at the nearest thing that does.
	 */
	if (!place || !place->column)
		place = call->out.kind != TRACE_NONE ? &call->out : &call->result;
	column = place->column ? place->column : call->column;
	trace_writer_fixed(&writer, line, size_bytes);
	trace_put_name(&writer, trace->file);
	trace_put_name(&writer, ":");
	trace_put_number(&writer, call->line, 10);
	trace_put_name(&writer, ":");
	trace_put_number(&writer, column, 10);
	trace_put_name(&writer, ": ");
	put_title(&writer, call);
	trace_put_name(&writer, ": ");
	trace_put_name(&writer, field ? field : "result");
	trace_put_name(&writer, ": expected ");
	put_side(&writer, expected);
	trace_put_name(&writer, ", got ");
	put_side(&writer, got);
	trace_writer_end(&writer);
}

bool trace_check(const struct trace *trace, const struct trace_call *call,
		 const struct trace_value *result, const struct trace_value *out, char *line,
		 size_t size_bytes)
{
	const struct trace_value *other;
	uint32_t i;

	if (call->result.kind == TRACE_NONE)
		return true;
	if (!trace_equal(&call->result, result)) {
		trace_mismatch(line, size_bytes, trace, call, NULL, &call->result, result);
		return false;
	}
	for (i = 0; i < call->out.count; i++) {
		other = trace_get(out, call->out.fields[i].name);
		if (trace_equal(&call->out.fields[i].value, other))
			continue;
		trace_mismatch(line, size_bytes, trace, call, call->out.fields[i].name,
			       &call->out.fields[i].value, other);
		return false;
	}
	for (i = 0; out && out->kind == TRACE_STRUCT && i < out->count; i++) {
		if (trace_get(&call->out, out->fields[i].name))
			continue;
		trace_mismatch(line, size_bytes, trace, call, out->fields[i].name, NULL,
			       &out->fields[i].value);
		return false;
	}
	return true;
}
