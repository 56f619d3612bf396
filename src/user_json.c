/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As much of JSON as a vfio-user server's capabilities need: an object is read for the members that
 * are looked for, and the rest of it is skipped. Nothing is allocated and no text is copied; how
 * deep values nest is bounded.
 */
#include <string.h>

#include "user.h"

enum { DEPTH_MAX = 16 };

struct reader {
	const char *at; /* the text ends with a NUL, which nothing passes */
	unsigned int depth;
};

static bool read_value(struct reader *reader, const struct user_json_key *key);

/* The next character that is no space, or 0 at the end. */
static char peek(struct reader *reader)
{
	reader->at += strspn(reader->at, " \t\r\n");
	return *reader->at;
}

static bool accept(struct reader *reader, char wanted)
{
	if (peek(reader) != wanted)
		return false;
	reader->at++;
	return true;
}

static bool accept_word(struct reader *reader, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(reader->at, word, len))
		return false;
	reader->at += len;
	return true;
}

/* A string: where it is, without the quotes and with its escapes as they are. */
static bool read_string(struct reader *reader, const char **text, size_t *len)
{
	if (!accept(reader, '"'))
		return false;
	*text = reader->at;
	while (*reader->at != '"') {
		if (*reader->at == '\\')
			reader->at++;
		/* The end of the text is one of these. */
		if ((unsigned char)*reader->at < ' ')
			return false;
		reader->at++;
	}
	*len = (size_t)(reader->at - *text);
	reader->at++;
	return true;
}

static bool is_digit(const struct reader *reader)
{
	return *reader->at >= '0' && *reader->at <= '9';
}

static bool read_whole(struct reader *reader, uint64_t *number)
{
	*number = 0;
	if (!is_digit(reader))
		return false;
	while (is_digit(reader)) {
		uint64_t digit = (uint64_t)(*reader->at++ - '0');

		if (*number > (UINT64_MAX - digit) / 10)
			return false;
		*number = *number * 10 + digit;
	}
	return true;
}

/* A number that nobody wants: its characters. */
static bool skip_number(struct reader *reader)
{
	size_t len = strspn(reader->at, "+-.eE0123456789");

	reader->at += len;
	return len;
}

static bool read_boolean(struct reader *reader, bool *value)
{
	*value = accept_word(reader, "true");
	return *value || accept_word(reader, "false");
}

/* ---- objects and arrays ---- */

static const struct user_json_key *find_key(const struct user_json_key *keys, const char *name,
					    size_t len)
{
	for (; keys && keys->name; keys++) {
		if (strlen(keys->name) == len && !memcmp(keys->name, name, len))
			return keys;
	}
	return NULL;
}

static bool read_member(struct reader *reader, const struct user_json_key *keys)
{
	const char *name;
	size_t len;

	return read_string(reader, &name, &len) && accept(reader, ':') &&
	       read_value(reader, find_key(keys, name, len));
}

/* One or more of them, and @close. */
static bool read_items(struct reader *reader, char close, bool members,
		       const struct user_json_key *keys)
{
	do {
		if (members ? !read_member(reader, keys) : !read_value(reader, NULL))
			return false;
	} while (accept(reader, ','));
	return accept(reader, close);
}

/* From what opens it, which is there, to @close; @keys is NULL for an array. */
static bool read_list(struct reader *reader, char close, bool members,
		      const struct user_json_key *keys)
{
	bool good;

	reader->at++;
	good = ++reader->depth <= DEPTH_MAX &&
	       (accept(reader, close) || read_items(reader, close, members, keys));
	reader->depth--;
	return good;
}

static bool skip_value(struct reader *reader)
{
	const char *text;
	size_t len;

	switch (peek(reader)) {
	case '{':
		return read_list(reader, '}', true, NULL);
	case '[':
		return read_list(reader, ']', false, NULL);
	case '"':
		return read_string(reader, &text, &len);
	default:
		return accept_word(reader, "null") || accept_word(reader, "true") ||
		       accept_word(reader, "false") || skip_number(reader);
	}
}

/* A value, of the kind that @key wants; NULL: of any kind. */
static bool read_value(struct reader *reader, const struct user_json_key *key)
{
	char next = peek(reader);

	switch (key ? key->kind : USER_JSON_ANY) {
	case USER_JSON_NUMBER:
		/* A fraction or an exponent is what nobody expects behind it. */
		return read_whole(reader, key->number);
	case USER_JSON_BOOLEAN:
		return read_boolean(reader, key->boolean);
	case USER_JSON_OBJECT:
		return next == '{' && read_list(reader, '}', true, key->keys);
	default:
		return skip_value(reader);
	}
}

bool user_json_read(const char *text, const struct user_json_key *keys)
{
	struct reader reader = { .at = text };

	return peek(&reader) == '{' && read_list(&reader, '}', true, keys) && !peek(&reader);
}
