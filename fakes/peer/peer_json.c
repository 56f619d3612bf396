/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The JSON of VERSION: any JSON is read, the capabilities that the protocol names are kept.
 *
 * Numbers must be whole and fit 64 bits where one is asked for. Of two members with one name the
 * last one counts. Depth is bounded.
 */
#include <string.h>

#include "peer.h"

enum { MAX_DEPTH = 32, NAME_BYTES = 32 };

struct json {
	const char *at;
	const char *end;
	unsigned int depth;
	struct peer_caps *caps;
};

/* Where in the document an object is. */
enum place { PLACE_TOP, PLACE_CAPS, PLACE_TWIN, PLACE_OTHER };

static int value(struct json *json, enum place place);

static void space(struct json *json)
{
	while (json->at < json->end && *json->at && strchr(" \t\r\n", *json->at))
		json->at++;
}

static bool next_is(const struct json *json, char c)
{
	return json->at < json->end && *json->at == c;
}

static bool accept(struct json *json, char c)
{
	space(json);
	if (!next_is(json, c))
		return false;
	json->at++;
	return true;
}

static bool accept_word(struct json *json, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(json->end - json->at) < len || memcmp(json->at, word, len) != 0)
		return false;
	json->at += len;
	return true;
}

static bool escape(struct json *json)
{
	json->at++;
	if (json->at == json->end || !*json->at || !strchr("\"\\/bfnrtu", *json->at))
		return false;
	if (*json->at++ != 'u')
		return true;
	for (int i = 0; i < 4; i++, json->at++) {
		if (json->at == json->end || !*json->at ||
		    !strchr("0123456789abcdefABCDEF", *json->at))
			return false;
	}
	return true;
}

/* A string. Its first bytes go to @name, escapes as they are written: no name that counts has any.
 */
static int string(struct json *json, char *name)
{
	const char *start;
	size_t len;

	if (!accept(json, '"'))
		return -EINVAL;
	start = json->at;
	while (json->at < json->end && *json->at != '"') {
		if ((unsigned char)*json->at < ' ')
			return -EINVAL;
		if (*json->at != '\\')
			json->at++;
		else if (!escape(json))
			return -EINVAL;
	}
	if (json->at == json->end)
		return -EINVAL;
	len = (size_t)(json->at++ - start);
	if (len >= NAME_BYTES)
		len = 0; /* longer than any name that counts */
	memcpy(name, start, len);
	name[len] = 0;
	return 0;
}

static bool digits(struct json *json, uint64_t *number, bool *whole)
{
	const char *start = json->at;

	for (; json->at < json->end && *json->at >= '0' && *json->at <= '9'; json->at++) {
		*whole &= !__builtin_mul_overflow(*number, (uint64_t)10, number) &&
			  !__builtin_add_overflow(*number, (uint64_t)(*json->at - '0'), number);
	}
	return json->at > start && !(*start == '0' && json->at - start > 1);
}

/* A number; *whole: it is an integer from 0 to 2^64 - 1, and that is *number. */
static int number(struct json *json, uint64_t *out, bool *whole)
{
	uint64_t fraction = 0;
	bool ignored = true;

	*out = 0;
	*whole = !accept_word(json, "-");
	if (!digits(json, out, whole))
		return -EINVAL;
	if (accept_word(json, ".")) {
		const char *start = json->at;

		*whole = false;
		digits(json, &fraction, &ignored);
		if (json->at == start)
			return -EINVAL;
	}
	if (accept_word(json, "e") || accept_word(json, "E")) {
		const char *start;

		*whole = false;
		if (!accept_word(json, "+"))
			accept_word(json, "-");
		start = json->at;
		digits(json, &fraction, &ignored);
		if (json->at == start)
			return -EINVAL;
	}
	return 0;
}

/* ---- what counts ---- */

static int keep_number(struct json *json, uint64_t *to, uint32_t cap)
{
	uint64_t got;
	bool whole;

	if (number(json, &got, &whole) || !whole)
		return -EINVAL;
	*to = got;
	json->caps->given |= cap;
	return 0;
}

static int keep_bool(struct json *json, bool *to, uint32_t cap)
{
	if (accept_word(json, "true"))
		*to = true;
	else if (accept_word(json, "false"))
		*to = false;
	else
		return -EINVAL;
	json->caps->given |= cap;
	return 0;
}

static int capability(struct json *json, const char *name)
{
	struct peer_caps *caps = json->caps;

	if (!strcmp(name, VFIO_USER_CAP_MAX_MSG_FDS))
		return keep_number(json, &caps->max_msg_fds, PEER_CAP_MAX_MSG_FDS);
	if (!strcmp(name, VFIO_USER_CAP_MAX_DATA_XFER))
		return keep_number(json, &caps->max_data_xfer_bytes, PEER_CAP_MAX_DATA_XFER);
	if (!strcmp(name, VFIO_USER_CAP_MAX_DMA_MAPS))
		return keep_number(json, &caps->max_dma_maps, PEER_CAP_MAX_DMA_MAPS);
	if (!strcmp(name, VFIO_USER_CAP_PGSIZES))
		return keep_number(json, &caps->pgsizes, PEER_CAP_PGSIZES);
	if (!strcmp(name, VFIO_USER_CAP_WRITE_MULTIPLE))
		return keep_bool(json, &caps->write_multiple, PEER_CAP_WRITE_MULTIPLE);
	if (!strcmp(name, VFIO_USER_CAP_TWIN_SOCKET))
		return next_is(json, '{') ? value(json, PLACE_TWIN) : -EINVAL;
	return value(json, PLACE_OTHER);
}

static int member(struct json *json, enum place place, const char *name)
{
	if (place == PLACE_CAPS)
		return capability(json, name);
	if (place == PLACE_TWIN && !strcmp(name, VFIO_USER_CAP_TWIN_SUPPORTED))
		return keep_bool(json, &json->caps->twin_socket, PEER_CAP_TWIN_SOCKET);
	if (place == PLACE_TOP && !strcmp(name, VFIO_USER_CAP_CAPABILITIES))
		return next_is(json, '{') ? value(json, PLACE_CAPS) : -EINVAL;
	return value(json, PLACE_OTHER);
}

/* ---- values ---- */

/* The members of an object or the elements of an array, after its first bracket. */
static int list(struct json *json, enum place place, char close)
{
	char name[NAME_BYTES] = "";
	int ret;

	if (accept(json, close))
		return 0;
	do {
		if (close == '}') {
			ret = string(json, name);
			if (ret || !accept(json, ':'))
				return -EINVAL;
		}
		space(json);
		ret = close == '}' ? member(json, place, name) : value(json, PLACE_OTHER);
		if (ret)
			return ret;
	} while (accept(json, ','));
	return accept(json, close) ? 0 : -EINVAL;
}

static int value(struct json *json, enum place place)
{
	char ignored[NAME_BYTES];
	uint64_t some;
	bool whole;
	int ret;

	space(json);
	if (next_is(json, '{') || next_is(json, '[')) {
		char close = *json->at++ == '{' ? '}' : ']';

		if (json->depth == MAX_DEPTH)
			return -EINVAL;
		json->depth++;
		ret = list(json, place, close);
		json->depth--;
		return ret;
	}
	if (next_is(json, '"'))
		return string(json, ignored);
	if (accept_word(json, "true") || accept_word(json, "false") || accept_word(json, "null"))
		return 0;
	return number(json, &some, &whole);
}

int peer_parse_caps(const char *text, uint64_t len, struct peer_caps *caps)
{
	struct json json = { .at = text, .end = text + strnlen(text, len), .caps = caps };

	space(&json);
	if (!next_is(&json, '{') || value(&json, PLACE_TOP))
		return -EINVAL;
	space(&json);
	return json.at == json.end ? 0 : -EINVAL;
}
