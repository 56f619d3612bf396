/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing traces. A stack of levels knows what is open, and so which comma, blank or bracket comes
 * before the next value; the callers give values only.
 */
#include "trace.h"

#include "errnos.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Kinds of levels: the outside of all calls, and inside one. */
enum {
	OUTSIDE = 0,
	ARGS = '(',
	RESULT = '=',
	OUT = 'o',
	STRUCT = '{',
	LIST = '[',
};

void trace_writer_memory(struct trace_writer *writer)
{
	memset(writer, 0, sizeof(*writer));
}

void trace_writer_file(struct trace_writer *writer, FILE *file)
{
	memset(writer, 0, sizeof(*writer));
	writer->file = file;
}

void trace_writer_fixed(struct trace_writer *writer, char *buffer, size_t size_bytes)
{
	memset(writer, 0, sizeof(*writer));
	writer->data = buffer;
	writer->capacity_bytes = size_bytes;
	writer->fixed = true;
	buffer[0] = 0;
}

int trace_writer_end(struct trace_writer *writer)
{
	const int error = writer->error;

	if (!writer->fixed)
		free(writer->data);
	memset(writer, 0, sizeof(*writer));
	return error;
}

static void fail(struct trace_writer *writer, int error)
{
	if (!writer->error)
		writer->error = error;
}

/* Room for @length bytes and a NUL. */
static bool make_room(struct trace_writer *writer, size_t length)
{
	size_t capacity = writer->capacity_bytes ? writer->capacity_bytes : 256;
	char *grown;

	if (writer->capacity_bytes - writer->size_bytes > length)
		return true;
	while (capacity - writer->size_bytes <= length) {
		if (capacity > SIZE_MAX / 2) {
			fail(writer, -ENOMEM);
			return false;
		}
		capacity *= 2;
	}
	grown = realloc(writer->data, capacity);
	if (!grown) {
		fail(writer, -ENOMEM);
		return false;
	}
	writer->data = grown;
	writer->capacity_bytes = capacity;
	return true;
}

static void append(struct trace_writer *writer, const char *text, size_t length)
{
	if (writer->error)
		return;
	if (writer->fixed) {
		const size_t room = writer->capacity_bytes - writer->size_bytes - 1;

		if (length > room)
			length = room;
	} else if (!make_room(writer, length)) {
		return;
	}
	memcpy(writer->data + writer->size_bytes, text, length);
	writer->size_bytes += length;
	writer->data[writer->size_bytes] = 0;
}

static void append_text(struct trace_writer *writer, const char *text)
{
	append(writer, text, strlen(text));
}

static void append_byte(struct trace_writer *writer, char byte)
{
	append(writer, &byte, 1);
}

static void append_number(struct trace_writer *writer, uint64_t number, unsigned int base)
{
	char digits[24];
	char *first = digits + sizeof(digits);

	if (base == 16) {
		do
			*--first = "0123456789abcdef"[number & 15];
		while (number >>= 4);
		append(writer, "0x", 2);
	} else {
		do
			*--first = (char)('0' + number % 10);
		while (number /= 10);
	}
	append(writer, first, (size_t)(digits + sizeof(digits) - first));
}

static struct trace_level *level(struct trace_writer *writer)
{
	return &writer->levels[writer->depth];
}

static void push(struct trace_writer *writer, char kind)
{
	if (writer->depth + 1 == sizeof(writer->levels) / sizeof(writer->levels[0])) {
		fail(writer, -EINVAL);
		return;
	}
	writer->depth++;
	*level(writer) = (struct trace_level){ .kind = kind };
}

/* What separates a value from the one before it. A struct's commas come with its keys. */
static void separate(struct trace_writer *writer)
{
	struct trace_level *top = level(writer);

	if (top->count++) {
		if (top->kind == ARGS)
			append(writer, ", ", 2);
		else if (top->kind == LIST)
			append_byte(writer, ' ');
	}
}

static void flush(struct trace_writer *writer)
{
	if (!writer->file || writer->error)
		return;
	if (fwrite(writer->data, 1, writer->size_bytes, writer->file) != writer->size_bytes)
		fail(writer, -EIO);
	writer->size_bytes = 0;
}

static void end_line(struct trace_writer *writer, const char *comment)
{
	if (comment)
		append_text(writer, comment);
	append_byte(writer, '\n');
	flush(writer);
}

void trace_put_version(struct trace_writer *writer, const char *comment)
{
	append_text(writer, "trace ");
	append_number(writer, TRACE_VERSION, 10);
	end_line(writer, comment);
}

static void put_device(struct trace_writer *writer, const char *name, const char *comment)
{
	append_text(writer, "device ");
	append_text(writer, name);
	end_line(writer, comment);
}

void trace_put_device(struct trace_writer *writer, const char *name)
{
	put_device(writer, name, NULL);
}

void trace_put_call(struct trace_writer *writer, const char *name)
{
	if (writer->depth)
		fail(writer, -EINVAL);
	append_text(writer, name);
	append_byte(writer, '(');
	push(writer, ARGS);
}

void trace_put_result(struct trace_writer *writer)
{
	if (level(writer)->kind != ARGS) {
		fail(writer, -EINVAL);
		return;
	}
	append_text(writer, ") = ");
	*level(writer) = (struct trace_level){ .kind = RESULT };
}

void trace_put_line(struct trace_writer *writer, const char *comment)
{
	const char kind = level(writer)->kind;

	if (writer->depth != 1 || (kind == RESULT && !level(writer)->count))
		fail(writer, -EINVAL);
	else if (kind == ARGS)
		append_byte(writer, ')');
	else if (kind == OUT)
		append_byte(writer, '}');
	writer->depth = 0;
	*level(writer) = (struct trace_level){ .kind = OUTSIDE };
	end_line(writer, comment);
}

void trace_put_struct(struct trace_writer *writer)
{
	separate(writer);
	append_byte(writer, '{');
	push(writer, STRUCT);
}

void trace_put_list(struct trace_writer *writer)
{
	separate(writer);
	append_byte(writer, '[');
	push(writer, LIST);
}

void trace_put_end(struct trace_writer *writer)
{
	const char kind = level(writer)->kind;

	if (kind != STRUCT && kind != LIST) {
		fail(writer, -EINVAL);
		return;
	}
	append_byte(writer, kind == STRUCT ? '}' : ']');
	writer->depth--;
}

void trace_put_key(struct trace_writer *writer, const char *field)
{
	struct trace_level *top = level(writer);

	if (top->kind == RESULT && top->count) {
		append(writer, " {", 2);
		*top = (struct trace_level){ .kind = OUT };
	} else if (top->kind != STRUCT && top->kind != OUT) {
		fail(writer, -EINVAL);
		return;
	}
	/* The values before it have been counted; the value behind it is not separated from it. */
	if (top->count)
		append(writer, ", ", 2);
	append_text(writer, field);
	append_byte(writer, '=');
}

void trace_put_number(struct trace_writer *writer, uint64_t number, unsigned int base)
{
	separate(writer);
	append_number(writer, number, base);
}

static void put_negative(struct trace_writer *writer, uint64_t number, unsigned int base)
{
	separate(writer);
	append_byte(writer, '-');
	append_number(writer, -number, base);
}

void trace_put_signed(struct trace_writer *writer, int64_t number)
{
	if (number < 0)
		put_negative(writer, (uint64_t)number, 10);
	else
		trace_put_number(writer, (uint64_t)number, 10);
}

void trace_put_name(struct trace_writer *writer, const char *name)
{
	separate(writer);
	append_text(writer, name);
}

static void put_offset(struct trace_writer *writer, const char *name, uint64_t offset,
		       unsigned int base)
{
	trace_put_name(writer, name);
	append_byte(writer, '+');
	append_number(writer, offset, base);
}

void trace_put_offset(struct trace_writer *writer, const char *name, uint64_t offset)
{
	put_offset(writer, name, offset, 16);
}

void trace_put_range(struct trace_writer *writer, uint64_t first, uint64_t last)
{
	trace_put_number(writer, first, 16);
	append_byte(writer, '-');
	append_number(writer, last, 16);
}

static void append_hex(struct trace_writer *writer, unsigned char byte)
{
	append_byte(writer, "0123456789abcdef"[byte >> 4]);
	append_byte(writer, "0123456789abcdef"[byte & 15]);
}

void trace_put_string(struct trace_writer *writer, const char *text)
{
	separate(writer);
	append_byte(writer, '"');
	for (; *text; text++) {
		const unsigned char byte = (unsigned char)*text;

		if (byte == '"' || byte == '\\') {
			append_byte(writer, '\\');
			append_byte(writer, *text);
		} else if (byte == '\n' || byte == '\t') {
			append_text(writer, byte == '\n' ? "\\n" : "\\t");
		} else if (byte < ' ' || byte == 0x7f) {
			append(writer, "\\x", 2);
			append_hex(writer, byte);
		} else {
			append_byte(writer, *text);
		}
	}
	append_byte(writer, '"');
}

void trace_put_bytes(struct trace_writer *writer, const void *bytes, size_t size_bytes)
{
	const unsigned char *byte = bytes;
	size_t i;

	separate(writer);
	append_byte(writer, '[');
	for (i = 0; i < size_bytes; i++)
		append_hex(writer, byte[i]);
	append_byte(writer, ']');
}

void trace_put_errno(struct trace_writer *writer, int error)
{
	const char *name = errno_name(error);

	if (!name) {
		fail(writer, -EINVAL);
		return;
	}
	separate(writer);
	append_byte(writer, '-');
	append_text(writer, name);
}

static void put_struct_value(struct trace_writer *writer, const struct trace_value *value)
{
	uint32_t i;

	trace_put_struct(writer);
	for (i = 0; i < value->count && !writer->error; i++) {
		trace_put_key(writer, value->fields[i].name);
		trace_put_value(writer, &value->fields[i].value);
	}
	trace_put_end(writer);
}

static void put_list_value(struct trace_writer *writer, const struct trace_value *value)
{
	uint32_t i;

	trace_put_list(writer);
	if (value->digits)
		append(writer, value->hex, value->digits);
	for (i = 0; i < value->count && !value->digits && !writer->error; i++)
		trace_put_value(writer, &value->items[i]);
	trace_put_end(writer);
}

void trace_put_value(struct trace_writer *writer, const struct trace_value *value)
{
	switch ((enum trace_kind)value->kind) {
	case TRACE_NONE:
		break;
	case TRACE_NUMBER:
		if (value->negative)
			put_negative(writer, value->number, value->base);
		else
			trace_put_number(writer, value->number, value->base);
		break;
	case TRACE_NAME:
		if (value->base)
			put_offset(writer, value->text, value->offset, value->base);
		else
			trace_put_name(writer, value->text);
		break;
	case TRACE_STRING:
		trace_put_string(writer, value->text);
		break;
	case TRACE_STRUCT:
		put_struct_value(writer, value);
		break;
	case TRACE_LIST:
		put_list_value(writer, value);
		break;
	case TRACE_RANGE:
		trace_put_number(writer, value->number, value->base);
		append_byte(writer, '-');
		append_number(writer, value->last, value->last_base);
		break;
	case TRACE_ERRNO:
		trace_put_errno(writer, value->error);
		break;
	}
}

static void put_call_item(struct trace_writer *writer, const struct trace_item *item)
{
	const struct trace_call *call = item->call;
	uint32_t i;

	trace_put_call(writer, call->name);
	for (i = 0; i < call->arg_count; i++)
		trace_put_value(writer, &call->args[i]);
	if (call->result.kind != TRACE_NONE) {
		trace_put_result(writer);
		trace_put_value(writer, &call->result);
	}
	for (i = 0; i < call->out.count; i++) {
		trace_put_key(writer, call->out.fields[i].name);
		trace_put_value(writer, &call->out.fields[i].value);
	}
	trace_put_line(writer, item->comment);
}

void trace_put_item(struct trace_writer *writer, const struct trace_item *item)
{
	switch (item->kind) {
	case TRACE_TEXT:
		append(writer, item->text, item->length_bytes);
		flush(writer);
		break;
	case TRACE_DEVICE:
		put_device(writer, item->text, item->comment);
		break;
	case TRACE_CALL:
		put_call_item(writer, item);
		break;
	}
}

void trace_put_trace(struct trace_writer *writer, const struct trace *trace)
{
	uint32_t i;

	trace_put_version(writer, trace->version_comment);
	for (i = 0; i < trace->item_count && !writer->error; i++)
		trace_put_item(writer, &trace->items[i]);
}
