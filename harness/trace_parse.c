/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a trace, the calls: names, values, arguments, results. Structs and lists are gathered on
 * two stacks of the reader and copied into the arena when their closing bracket shows how long
 * they are.
 */
#include "trace_internal.h"

#include "errnos.h"

#include <errno.h>
#include <string.h>

enum {
	DIGIT = 1,  /* 0-9 */
	LETTER = 2, /* a-z A-Z _ */
	HEX = 4,    /* 0-9 a-f A-F */
	WORD = DIGIT | LETTER,
};

static const uint8_t classes[256] = {
	['0' ... '9'] = DIGIT | HEX,  ['A' ... 'F'] = LETTER | HEX,
	['G' ... 'Z'] = LETTER,	      ['_'] = LETTER,
	['a' ... 'f'] = LETTER | HEX, ['g' ... 'z'] = LETTER,
};

static bool is(char byte, unsigned int class)
{
	return classes[(unsigned char)byte] & class;
}

bool trace_is_word_start(char byte)
{
	return is(byte, LETTER);
}

static uint32_t column_of(const struct trace_reader *reader, const char *at)
{
	return (uint32_t)(at - reader->line_start) + 1;
}

static int clip(const char *start, const char *stop)
{
	return stop - start > 40 ? 40 : (int)(stop - start);
}

/* The byte at @stop becomes the NUL of the text before it, once the line is read. */
static int stop_text(struct trace_reader *reader, char *stop)
{
	int ret = trace_reserve(&reader->stops, &reader->stop_capacity, reader->stop_count,
				sizeof(*reader->stops));

	if (ret)
		return ret;
	reader->stops[reader->stop_count++] = stop;
	return 0;
}

static void skip_word(struct trace_reader *reader)
{
	while (is(*reader->at, WORD))
		reader->at++;
}

int trace_parse_name(struct trace_reader *reader, const char **name, const char *what)
{
	if (!is(*reader->at, LETTER))
		return trace_expected(reader, what);
	*name = reader->at;
	skip_word(reader);
	return stop_text(reader, reader->at);
}

static int too_big(struct trace_reader *reader, const char *start, const char *stop)
{
	return trace_fail(reader, start, "%.*s does not fit 64 bits", clip(start, stop), start);
}

static int parse_hex(struct trace_reader *reader, const char *start, uint64_t *number)
{
	const char *digit = start + 2;
	const char *const stop = reader->at;
	uint64_t value = 0;

	for (; digit < stop && is(*digit, HEX); digit++) {
		if (value >> 60)
			return too_big(reader, start, stop);
		value = value << 4 |
			(uint64_t)(*digit <= '9' ? *digit - '0' : (*digit | 32) - 'a' + 10);
	}
	if (digit < stop || stop == start + 2)
		return trace_fail(reader, start, "%.*s is not a number", clip(start, stop), start);
	*number = value;
	return 0;
}

static int parse_decimal(struct trace_reader *reader, const char *start, uint64_t *number)
{
	const char *digit = start;
	const char *const stop = reader->at;
	uint64_t value = 0;
	bool fits = true;

	for (; digit < stop && is(*digit, DIGIT); digit++)
		fits &= !__builtin_mul_overflow(value, (uint64_t)10, &value) &&
			!__builtin_add_overflow(value, (uint64_t)(*digit - '0'), &value);
	if (digit < stop)
		return trace_fail(reader, start, "%.*s is not a number", clip(start, stop), start);
	if (*start == '0' && stop > start + 1)
		return trace_fail(reader, start, "%.*s has a leading zero; hex begins with 0x",
				  clip(start, stop), start);
	if (!fits)
		return too_big(reader, start, stop);
	*number = value;
	return 0;
}

/* A number without a sign. */
static int parse_number(struct trace_reader *reader, uint64_t *number, uint8_t *base,
			const char *what)
{
	const char *start = reader->at;

	if (!is(*start, DIGIT))
		return trace_expected(reader, what);
	skip_word(reader);
	if (start[0] == '0' && (start[1] | 32) == 'x') {
		*base = 16;
		return parse_hex(reader, start, number);
	}
	*base = 10;
	return parse_decimal(reader, start, number);
}

static int parse_negative(struct trace_reader *reader, struct trace_value *value)
{
	const char *start = reader->at++;
	uint64_t magnitude;
	int ret;

	ret = parse_number(reader, &magnitude, &value->base, "a number");
	if (ret)
		return ret;
	if (magnitude > UINT64_C(1) << 63)
		return too_big(reader, start, reader->at);
	value->kind = TRACE_NUMBER;
	value->negative = magnitude != 0;
	value->number = -magnitude;
	return 0;
}

static int parse_named(struct trace_reader *reader, struct trace_value *value)
{
	int ret = trace_parse_name(reader, &value->text, "a name");

	if (ret)
		return ret;
	value->kind = TRACE_NAME;
	if (*reader->at != '+')
		return 0;
	reader->at++;
	return parse_number(reader, &value->offset, &value->base, "an offset");
}

static int hex_digit(char byte)
{
	if (!is(byte, HEX))
		return -1;
	return byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10;
}

/* An escape at @at, a backslash; the byte that it stands for goes to @byte. */
static int parse_escape(struct trace_reader *reader, char *byte)
{
	const char *start = reader->at;
	int high, low;

	switch (start[1]) {
	case '"':
	case '\\':
		*byte = start[1];
		break;
	case 'n':
		*byte = '\n';
		break;
	case 't':
		*byte = '\t';
		break;
	case 'x':
		high = hex_digit(start[2]);
		low = high < 0 ? -1 : hex_digit(start[3]);
		if (low < 0)
			return trace_fail(reader, start, "\\x needs two hex digits");
		if (!high && !low)
			return trace_fail(reader, start, "a string cannot hold a NUL");
		*byte = (char)(high << 4 | low);
		reader->at += 2;
		break;
	default:
		return trace_fail(reader, start,
				  "unknown escape; a string has \\\\, \\\", \\n, \\t and \\xHH");
	}
	reader->at += 2;
	return 0;
}

static int parse_string(struct trace_reader *reader, struct trace_value *value)
{
	char *const start = reader->at++;
	char *out = reader->at;
	char byte;
	int ret;

	value->kind = TRACE_STRING;
	value->text = out;
	while (*reader->at != '"') {
		if (reader->at == reader->end)
			return trace_fail(reader, start, "the string is not closed");
		byte = *reader->at;
		if ((unsigned char)byte < ' ' || byte == 0x7f)
			return trace_fail(reader, reader->at,
					  "the byte 0x%02x in a string; write \\x%02x",
					  (unsigned char)byte, (unsigned char)byte);
		if (byte == '\\') {
			ret = parse_escape(reader, &byte);
			if (ret)
				return ret;
		} else {
			reader->at++;
		}
		*out++ = byte;
	}
	reader->at++;
	value->count = (uint32_t)(out - value->text);
	return stop_text(reader, out);
}

static int parse_value(struct trace_reader *reader, struct trace_value *value);

static int enter(struct trace_reader *reader)
{
	if (reader->depth == TRACE_DEPTH_MAX)
		return trace_fail(reader, reader->at,
				  "more than %u structs and lists inside each other",
				  TRACE_DEPTH_MAX);
	reader->depth++;
	reader->at++;
	trace_blanks(reader);
	return 0;
}

/* A field's name is one or more words with dots between them. */
static int parse_field_name(struct trace_reader *reader, const char **name)
{
	*name = reader->at;
	for (;;) {
		if (!is(*reader->at, LETTER))
			return trace_expected(reader, "the name of a field");
		skip_word(reader);
		if (*reader->at != '.')
			return stop_text(reader, reader->at);
		reader->at++;
	}
}

static int check_new_field(struct trace_reader *reader, size_t first, const char *name)
{
	const size_t length = (size_t)(reader->at - name);
	const char *other;
	size_t i;

	/* The names before it on this line have no NUL yet; what follows a name ends it as well. */
	for (i = first; i < reader->field_count; i++) {
		other = reader->fields[i].name;
		if (!strncmp(other, name, length) && !is(other[length], WORD) &&
		    other[length] != '.')
			return trace_fail(reader, name, "field %.*s is given twice",
					  clip(name, reader->at), name);
	}
	if (reader->field_count - first == TRACE_FIELDS_MAX)
		return trace_fail(reader, name, "more than %u fields", TRACE_FIELDS_MAX);
	return 0;
}

static int parse_field(struct trace_reader *reader, size_t first)
{
	struct trace_field field = { .column = column_of(reader, reader->at) };
	int ret;

	ret = parse_field_name(reader, &field.name);
	if (ret)
		return ret;
	ret = check_new_field(reader, first, field.name);
	if (ret)
		return ret;
	trace_blanks(reader);
	if (*reader->at != '=')
		return trace_expected(reader, "\"=\" behind the name of the field");
	reader->at++;
	trace_blanks(reader);
	ret = parse_value(reader, &field.value);
	if (ret)
		return ret;
	ret = trace_reserve(&reader->fields, &reader->field_capacity, reader->field_count,
			    sizeof(field));
	if (ret)
		return ret;
	reader->fields[reader->field_count++] = field;
	trace_blanks(reader);
	return 0;
}

/* Move what the stack has gathered from @first on into the arena. */
static int take_fields(struct trace_reader *reader, size_t first, struct trace_value *value)
{
	const size_t count = reader->field_count - first;

	reader->field_count = first;
	value->count = (uint32_t)count;
	if (!count)
		return 0;
	value->fields = trace_alloc(reader->trace, count * sizeof(*value->fields));
	if (!value->fields)
		return -ENOMEM;
	memcpy(value->fields, reader->fields + first, count * sizeof(*value->fields));
	return 0;
}

static int take_values(struct trace_reader *reader, size_t first, struct trace_value **values,
		       uint32_t *count)
{
	*count = (uint32_t)(reader->value_count - first);
	reader->value_count = first;
	if (!*count)
		return 0;
	*values = trace_alloc(reader->trace, *count * sizeof(**values));
	if (!*values)
		return -ENOMEM;
	memcpy(*values, reader->values + first, *count * sizeof(**values));
	return 0;
}

static int push_value(struct trace_reader *reader, const struct trace_value *value)
{
	int ret = trace_reserve(&reader->values, &reader->value_capacity, reader->value_count,
				sizeof(*value));

	if (ret)
		return ret;
	reader->values[reader->value_count++] = *value;
	return 0;
}

static int parse_struct(struct trace_reader *reader, struct trace_value *value)
{
	const size_t first = reader->field_count;
	int ret = enter(reader);

	value->kind = TRACE_STRUCT;
	while (!ret && *reader->at != '}') {
		ret = parse_field(reader, first);
		if (ret || *reader->at == '}')
			break;
		if (*reader->at != ',')
			return trace_expected(reader, "\",\" or \"}\"");
		reader->at++;
		trace_blanks(reader);
		if (*reader->at == '}')
			return trace_expected(reader, "the name of a field");
	}
	if (ret)
		return ret;
	reader->at++;
	reader->depth--;
	return take_fields(reader, first, value);
}

static int parse_item(struct trace_reader *reader, struct trace_value *item)
{
	int ret = parse_value(reader, item);

	if (ret || item->kind != TRACE_NUMBER || item->negative || *reader->at != '-')
		return ret;
	reader->at++;
	item->kind = TRACE_RANGE;
	return parse_number(reader, &item->last, &item->last_base, "the end of the range");
}

/* Digits that are no number: with letters among them, with a leading zero, or too many. */
static bool is_only_bytes(const char *start, const char *stop)
{
	uint64_t value = 0;

	if (*start == '0')
		return true;
	for (; start < stop; start++)
		if (!is(*start, DIGIT) || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*start - '0'), &value))
			return true;
	return false;
}

/*
 * Are the brackets filled by a single word of hex digits in pairs? Then it may be bytes. If the
 * word is no number and no name, it can be nothing else, and @done says so.
 */
static int parse_bytes(struct trace_reader *reader, struct trace_value *value, bool *done)
{
	char *const start = reader->at;
	char *stop = start;
	char *behind;

	*done = false;
	while (is(*stop, HEX))
		stop++;
	for (behind = stop; *behind == ' ' || *behind == '\t';)
		behind++;
	if (stop == start || (stop - start) % 2 || is(*stop, WORD))
		return 0;
	if (*behind != ']') {
		/* Let an unclosed bracket be told where it should close. */
		if (is(*behind, WORD) || !is(*start, DIGIT) || !is_only_bytes(start, stop))
			return 0;
		reader->at = behind;
		return trace_expected(reader, "\"]\"");
	}
	value->hex = start;
	value->digits = (uint32_t)(stop - start);
	*done = is(*start, DIGIT) && is_only_bytes(start, stop);
	if (*done)
		reader->at = behind;
	return stop_text(reader, stop);
}

static int parse_list(struct trace_reader *reader, struct trace_value *value)
{
	const size_t first = reader->value_count;
	bool done = false;
	int ret = enter(reader);

	value->kind = TRACE_LIST;
	if (!ret)
		ret = parse_bytes(reader, value, &done);
	while (!ret && *reader->at != ']') {
		struct trace_value item = { .column = column_of(reader, reader->at) };
		const char *behind;

		if (reader->at == reader->end)
			return trace_expected(reader, "\"]\"");
		ret = parse_item(reader, &item);
		if (!ret)
			ret = push_value(reader, &item);
		if (ret)
			break;
		behind = reader->at;
		trace_blanks(reader);
		if (reader->at == behind && *behind != ']')
			return trace_expected(reader, "a blank or \"]\"");
	}
	if (ret)
		return ret;
	reader->at++;
	reader->depth--;
	return take_values(reader, first, &value->items, &value->count);
}

static int parse_value(struct trace_reader *reader, struct trace_value *value)
{
	value->column = column_of(reader, reader->at);
	switch (*reader->at) {
	case '{':
		return parse_struct(reader, value);
	case '[':
		return parse_list(reader, value);
	case '"':
		return parse_string(reader, value);
	case '-':
		if (is(reader->at[1], LETTER))
			return trace_fail(reader, reader->at, "an error name is only a result");
		return parse_negative(reader, value);
	default:
		break;
	}
	if (is(*reader->at, LETTER))
		return parse_named(reader, value);
	value->kind = TRACE_NUMBER;
	return parse_number(reader, &value->number, &value->base, "a value");
}

static int parse_args(struct trace_reader *reader, struct trace_call *call)
{
	const size_t first = reader->value_count;
	struct trace_value value;
	int ret;

	trace_blanks(reader);
	while (*reader->at != ')') {
		if (reader->value_count - first == TRACE_ARGS_MAX)
			return trace_fail(reader, reader->at, "more than %u arguments",
					  TRACE_ARGS_MAX);
		memset(&value, 0, sizeof(value));
		ret = parse_value(reader, &value);
		if (!ret)
			ret = push_value(reader, &value);
		if (ret)
			return ret;
		trace_blanks(reader);
		if (*reader->at == ')')
			break;
		if (*reader->at != ',')
			return trace_expected(reader, "\",\" or \")\"");
		reader->at++;
		trace_blanks(reader);
		if (*reader->at == ')')
			return trace_expected(reader, "an argument");
	}
	reader->at++;
	return take_values(reader, first, &call->args, &call->arg_count);
}

static int parse_errno(struct trace_reader *reader, struct trace_value *result)
{
	char *const start = reader->at++;

	skip_word(reader);
	result->kind = TRACE_ERRNO;
	result->error = errno_by_name(start + 1, (size_t)(reader->at - start) - 1);
	if (!result->error)
		return trace_fail(reader, start, "%.*s is no error that Linux has",
				  clip(start, reader->at), start);
	return 0;
}

static int parse_result(struct trace_reader *reader, struct trace_value *result)
{
	char *const start = reader->at;
	int ret;

	result->column = column_of(reader, start);
	if (*start == '-' && is(start[1], LETTER))
		return parse_errno(reader, result);
	if (*start != '[' && *start != '-' && !is(*start, WORD))
		return trace_expected(reader, "a result (a number, an error, a name or bytes)");
	ret = parse_value(reader, result);
	if (ret)
		return ret;
	if (result->kind == TRACE_NAME && result->base)
		return trace_fail(reader, start, "a result is a name without an offset");
	if (result->kind == TRACE_LIST && !trace_is_bytes(result))
		return trace_fail(reader, start,
				  "a result in brackets is bytes, two hex digits each");
	return 0;
}

static int parse_out(struct trace_reader *reader, struct trace_value *out)
{
	char *const start = reader->at;
	int ret = parse_value(reader, out);

	if (!ret && !out->count)
		return trace_fail(reader, start, "empty braces behind a result; leave them out");
	return ret;
}

/* CALL(ARGUMENTS), then = RESULT or nothing, then {FIELD=VALUE, …} or nothing. */
int trace_parse_call(struct trace_reader *reader, struct trace_call *call)
{
	int ret = trace_parse_name(reader, &call->name, "a call, a declaration or a comment");

	if (ret)
		return ret;
	trace_blanks(reader);
	if (*reader->at != '(')
		return trace_expected(reader, "\"(\" behind the name of the call");
	reader->at++;
	ret = parse_args(reader, call);
	if (ret)
		return ret;
	trace_blanks(reader);
	if (*reader->at != '=')
		return 0;
	reader->at++;
	trace_blanks(reader);
	ret = parse_result(reader, &call->result);
	if (ret)
		return ret;
	if (*reader->at != ' ' && *reader->at != '\t' && *reader->at != '{')
		return 0;
	trace_blanks(reader);
	return *reader->at == '{' ? parse_out(reader, &call->out) : 0;
}
