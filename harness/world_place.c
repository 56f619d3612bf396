/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors of a world at their place. jansson drops the places of what it has read, so that they are
 * found again when one is needed: jansson has taken the text, thus it is JSON without a key twice,
 * and jansson keeps the order of members. So the n-th member of an object is its n-th in the text,
 * and finding it takes no more than skipping the n before it.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "world_fields.h"

/* ---- walking over JSON ---- */

static size_t skip_blanks(const struct world_reader *reader, size_t at)
{
	while (at < reader->size_bytes && memchr(" \t\r\n", reader->text[at], 4))
		at++;
	return at;
}

/* @at is at the opening quote. */
static size_t skip_string(const struct world_reader *reader, size_t at)
{
	for (at++; at < reader->size_bytes && reader->text[at] != '"'; at++)
		at += reader->text[at] == '\\';
	return at + 1;
}

static size_t skip_value(const struct world_reader *reader, size_t at)
{
	size_t depth = 0;

	while (at < reader->size_bytes) {
		const char c = reader->text[at];

		if (c == '"') {
			at = skip_string(reader, at);
		} else if (!depth && memchr(",]} \t\r\n", c, 7)) {
			return at;
		} else {
			depth += c == '{' || c == '[';
			depth -= c == '}' || c == ']';
			at++;
		}
		if (!depth && (c == '"' || c == '}' || c == ']'))
			return at;
	}
	return at;
}

/* From a member's name to its value. */
static size_t skip_key(const struct world_reader *reader, size_t at)
{
	at = skip_blanks(reader, skip_string(reader, at));
	return skip_blanks(reader, at + 1);
}

/* Where a node begins: its name or its value. An absent one is where its object is. */
static size_t offset_of(const struct world_reader *reader, const struct world_node *node,
			bool at_key)
{
	size_t at;

	if (!node->up)
		return skip_blanks(reader, 0);
	at = offset_of(reader, node->up, false);
	if (node->index == WORLD_ABSENT)
		return at;
	at = skip_blanks(reader, at + 1);
	for (size_t i = 0; i < node->index; i++) {
		if (node->key)
			at = skip_key(reader, at);
		at = skip_blanks(reader, skip_value(reader, at));
		at = skip_blanks(reader, at + 1);
	}
	return node->key && !at_key ? skip_key(reader, at) : at;
}

struct world_node world_child(const struct world_node *up, const char *key)
{
	struct world_node child = { up, key, WORLD_ABSENT, NULL };
	const char *name;
	size_t index = 0;
	json_t *value;

	json_object_foreach(up->value, name, value)
	{
		if (!strcmp(name, key)) {
			child.index = index;
			child.value = value;
		}
		index++;
	}
	return child;
}

/* ---- the message ---- */

/* A name of the world may hold anything; a message is one line. */
static void clean(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 32 || *text == 127)
			*text = '?';
	}
}

static void field_path(const struct world_node *node, char *path, size_t size_bytes)
{
	size_t used;

	if (!node->up) {
		*path = 0;
		return;
	}
	field_path(node->up, path, size_bytes);
	used = strlen(path);
	if (node->key)
		snprintf(path + used, size_bytes - used, "%s%.48s", used ? "." : "", node->key);
	else
		snprintf(path + used, size_bytes - used, "[%zu]", node->index);
	clean(path);
}

/* Lines and columns of an offset; a column is a character, however many bytes it has. */
static void set_place(const struct world_reader *reader, size_t offset)
{
	struct world_error *error = reader->error;

	error->line = 1;
	error->column = 1;
	for (size_t i = 0; i < offset && i < reader->size_bytes; i++) {
		if (reader->text[i] == '\n') {
			error->line++;
			error->column = 1;
		} else if ((reader->text[i] & 0xc0) != 0x80) {
			error->column++;
		}
	}
}

__attribute__((format(printf, 2, 0))) static int say(const struct world_reader *reader,
						     const char *format, va_list args)
{
	struct world_error *error = reader->error;
	const size_t size_bytes = sizeof(error->message);
	size_t used;

	snprintf(error->message, size_bytes, "%.400s:%u:%u: %s%s", reader->name, error->line,
		 error->column, error->field, *error->field ? ": " : "");
	used = strlen(error->message);
	vsnprintf(error->message + used, size_bytes - used, format, args);
	clean(error->message);
	return -EINVAL;
}

static int say_at(const struct world_reader *reader, const struct world_node *node, bool at_key,
		  const char *format, va_list args)
{
	field_path(node, reader->error->field, sizeof(reader->error->field));
	set_place(reader, offset_of(reader, node, at_key));
	return say(reader, format, args);
}

int world_fail(const struct world_reader *reader, const struct world_node *node, const char *format,
	       ...)
{
	va_list args;
	int ret;

	va_start(args, format);
	ret = say_at(reader, node, false, format, args);
	va_end(args);
	return ret;
}

int world_fail_key(const struct world_reader *reader, const struct world_node *node,
		   const char *format, ...)
{
	va_list args;
	int ret;

	va_start(args, format);
	ret = say_at(reader, node, true, format, args);
	va_end(args);
	return ret;
}

__attribute__((format(printf, 2, 3))) static int say_plain(const struct world_reader *reader,
							   const char *format, ...)
{
	va_list args;
	int ret;

	va_start(args, format);
	ret = say(reader, format, args);
	va_end(args);
	return ret;
}

/*
 * jansson points behind the token that it did not like and quotes it at the end of its text; where
 * that quote is what stands there, the place is moved to the token's start.
 */
static size_t syntax_offset(const struct world_reader *reader, const json_error_t *why)
{
	const size_t end = why->position < 0 ? 0 : (size_t)why->position;
	const char *quote = strstr(why->text, " near '");
	size_t len;

	if (!quote)
		return end;
	quote += strlen(" near '");
	len = strlen(quote);
	if (len < 2 || end > reader->size_bytes || --len > end ||
	    memcmp(quote, reader->text + end - len, len) != 0)
		return end;
	return end - len;
}

int world_fail_syntax(const struct world_reader *reader, const json_error_t *why)
{
	*reader->error->field = 0;
	set_place(reader, syntax_offset(reader, why));
	return say_plain(reader, "not JSON: %s", why->text);
}

int world_fail_file(struct world_error *error, const char *path, int ret)
{
	*error = (struct world_error){ .line = 0 };
	snprintf(error->message, sizeof(error->message), "%.400s: %s", path, strerror(-ret));
	clean(error->message);
	return ret;
}
