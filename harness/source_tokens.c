/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text of a C source, its tokens, and what is left of it as text.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source_internal.h"

/* ---- the text ---- */

static int read_text(FILE *file, struct source *source)
{
	size_t room = 4096, used = 0;

	do {
		char *more = realloc(source->text, 2 * room + 1);

		if (!more)
			return -ENOMEM;
		source->text = more;
		room *= 2;
		used += fread(more + used, 1, room - used, file);
	} while (used == room && used <= SOURCE_MAX_BYTES);
	if (ferror(file))
		return -errno;
	if (used > SOURCE_MAX_BYTES)
		return -EFBIG;
	source->text[used] = '\0';
	source->size = (uint32_t)used;
	return 0;
}

static int finish(struct source *source, int ret, struct source **result)
{
	if (!ret)
		ret = source_parse(source);
	if (ret)
		source_free(source);
	else
		*result = source;
	return ret;
}

int source_read(const char *path, struct source **result)
{
	struct source *source = calloc(1, sizeof(*source));
	FILE *file = fopen(path, "r");
	int ret = file ? 0 : -errno;

	if (!source)
		ret = -ENOMEM;
	if (!ret)
		ret = read_text(file, source);
	if (file)
		fclose(file);
	return finish(source, ret, result);
}

int source_read_text(const char *text, size_t size_bytes, struct source **result)
{
	struct source *source = calloc(1, sizeof(*source));

	if (!source)
		return -ENOMEM;
	if (size_bytes > SOURCE_MAX_BYTES)
		return finish(source, -EFBIG, result);
	source->text = malloc(size_bytes + 1);
	if (!source->text)
		return finish(source, -ENOMEM, result);
	memcpy(source->text, text, size_bytes);
	source->text[size_bytes] = '\0';
	source->size = (uint32_t)size_bytes;
	return finish(source, 0, result);
}

void source_free(struct source *source)
{
	if (!source)
		return;
	free(source->text);
	free(source->pieces);
	free(source->words);
	free(source);
}

static uint32_t length(struct source_range range)
{
	return range.end - range.start;
}

bool source_is(const struct source *source, struct source_range range, const char *word)
{
	return length(range) == strlen(word) &&
	       !memcmp(source->text + range.start, word, length(range));
}

bool source_same(const struct source *source, struct source_range a, struct source_range b)
{
	return length(a) == length(b) &&
	       !memcmp(source->text + a.start, source->text + b.start, length(a));
}

/* ---- tokens ---- */

void *source_grow(void *items, uint32_t count, size_t size_bytes)
{
	/* At each power of two there is room for as many again. */
	if (count && (count & (count - 1) || count < 64))
		return items;
	return realloc(items, (count ? 2 * (size_t)count : 64) * size_bytes);
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Behind the quotes that begin at @at; a string that no quote ends ends with its line. */
static uint32_t skip_quoted(const char *text, uint32_t at)
{
	char quote = text[at++];

	while (text[at] && text[at] != '\n') {
		if (text[at] == quote)
			return at + 1;
		at += text[at] == '\\' && text[at + 1] ? 2 : 1;
	}
	return at;
}

static uint32_t skip_comment(const char *text, uint32_t at, uint32_t size)
{
	const char *end;

	if (text[at + 1] == '/') {
		while (text[at] && text[at] != '\n')
			at++;
		return at;
	}
	end = memmem(text + at + 2, size - at - 2, "*/", 2);
	return end ? (uint32_t)(end + 2 - text) : size;
}

static bool begins_comment(const char *text, uint32_t at)
{
	return text[at] == '/' && (text[at + 1] == '/' || text[at + 1] == '*');
}

/* To the end of the line that no backslash joins to the next. */
static uint32_t skip_directive(const char *text, uint32_t at, uint32_t size)
{
	while (text[at] && text[at] != '\n') {
		if (text[at] == '\\' && text[at + 1])
			at += 2;
		else if (begins_comment(text, at))
			at = skip_comment(text, at, size);
		else
			at++;
	}
	return at;
}

static struct token next_token(const struct source *source, uint32_t at, bool line_start)
{
	const char *text = source->text;
	struct token token = { .kind = TOKEN_OTHER, .range = { at, at + 1 } };

	if (begins_comment(text, at)) {
		token.kind = TOKEN_COMMENT;
		token.range.end = skip_comment(text, at, source->size);
	} else if (text[at] == '#' && line_start) {
		token.kind = TOKEN_DIRECTIVE;
		token.range.end = skip_directive(text, at, source->size);
	} else if (text[at] == '"' || text[at] == '\'') {
		token.range.end = skip_quoted(text, at);
	} else if (is_word(text[at])) {
		token.kind = isdigit((unsigned char)text[at]) ? TOKEN_OTHER : TOKEN_WORD;
		while (is_word(text[token.range.end]))
			token.range.end++;
	}
	return token;
}

int source_tokens(const struct source *source, struct token **tokens, uint32_t *count)
{
	bool line_start = true;

	*tokens = NULL;
	*count = 0;
	for (uint32_t at = 0; at < source->size;) {
		struct token *more;

		if (isspace((unsigned char)source->text[at])) {
			line_start = line_start || source->text[at] == '\n';
			at++;
			continue;
		}
		more = source_grow(*tokens, *count, sizeof(*more));
		if (!more)
			return -ENOMEM;
		*tokens = more;
		more[*count] = next_token(source, at, line_start);
		at = more[(*count)++].range.end;
		line_start = false;
	}
	return 0;
}

/* ---- what is left ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Takes a range out; a gap in a line closes. */
static void leave_out(const struct source *source, bool *out, struct source_range range)
{
	while (is_blank(source->text[range.end]))
		range.end++;
	for (uint32_t at = range.start; at < range.end; at++)
		out[at] = true;
}

static void mark(const struct source *source, const bool *gone, const bool *bare, bool *out)
{
	for (uint32_t i = 0; i < source->piece_count; i++) {
		const struct source_piece *piece = &source->pieces[i];

		if (gone[i])
			leave_out(source, out, piece->range);
		if (!bare[i])
			continue;
		leave_out(source, out,
			  (struct source_range){ piece->range.start, piece->inner.start });
		leave_out(source, out, (struct source_range){ piece->inner.end, piece->range.end });
	}
}

/* How many statements around the place are bare: so many tabs too far right it is. */
static uint32_t shift_of(const struct source *source, const bool *bare, uint32_t at)
{
	uint32_t shift = 0;

	for (uint32_t i = 0; i < source->piece_count; i++)
		shift += bare[i] && source->pieces[i].inner.start <= at &&
			 at < source->pieces[i].inner.end;
	return shift;
}

/* What is to be said of the line before the next one. */
struct line_writer {
	FILE *to;
	bool any;
	bool opened; /* the last line opens a brace */
	bool blank;  /* an empty line is due */
};

static void put_line(struct line_writer *writer, const char *line, size_t len)
{
	size_t indent = 0;

	while (indent < len && is_blank(line[indent]))
		indent++;
	if (writer->blank && writer->any && !writer->opened && line[indent] != '}')
		fputc('\n', writer->to);
	fprintf(writer->to, "%.*s\n", (int)len, line);
	writer->any = true;
	writer->blank = false;
	writer->opened = line[len - 1] == '{';
}

/* One line of the source: [start, end) without its line feed. */
static void write_line(const struct source *source, const bool *out, const bool *bare,
		       struct source_range range, char *line, struct line_writer *writer)
{
	uint32_t shift = shift_of(source, bare, range.start);
	size_t len = 0;
	bool empty = true;

	for (uint32_t at = range.start; at < range.end; at++) {
		char c = source->text[at];

		empty = empty && is_blank(c);
		if (shift && c == '\t' && at - range.start < shift && !len)
			continue;
		if (!out[at])
			line[len++] = c;
	}
	while (len && is_blank(line[len - 1]))
		len--;
	if (len)
		put_line(writer, line, len);
	else
		writer->blank = writer->blank || empty;
}

int source_write(const struct source *source, const bool *gone, const bool *bare, FILE *to)
{
	struct line_writer writer = { .to = to };
	bool *out = calloc(source->size + 1, sizeof(*out));
	char *line = malloc(source->size + 1);
	int ret = out && line ? 0 : -ENOMEM;

	if (!ret)
		mark(source, gone, bare, out);
	for (uint32_t at = 0, end; !ret && at < source->size; at = end + 1) {
		for (end = at; end < source->size && source->text[end] != '\n';)
			end++;
		write_line(source, out, bare, (struct source_range){ at, end }, line, &writer);
	}
	free(line);
	free(out);
	return ret;
}
