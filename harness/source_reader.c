/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a C source: pieces, words, tokens one by one, and what brackets hold.
 *
 * A reader goes over the tokens once. What it opens it closes before it closes what is around it,
 * so pieces are a tree. It always takes the next token or leaves a loop, and never goes deeper than
 * DEPTH_MAX: what is nested deeper has no pieces of its own.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source_internal.h"

static void read_list(struct reader *reader);

/* ---- pieces and words ---- */

struct source_piece *reader_open(struct reader *reader, uint32_t start)
{
	struct source *source = reader->source;
	struct source_piece *pieces =
		source_grow(source->pieces, source->piece_count, sizeof(*pieces));

	if (!pieces) {
		reader->error = -ENOMEM;
		return NULL;
	}
	source->pieces = pieces;
	pieces += source->piece_count;
	*pieces = (struct source_piece){ .range = { start, start }, .parent = reader->piece };
	reader->piece = source->piece_count++;
	return pieces;
}

static struct source_piece *piece_at(struct reader *reader)
{
	return &reader->source->pieces[reader->piece];
}

void reader_close(struct reader *reader)
{
	struct source_piece *piece;

	if (reader->error)
		return;
	piece = piece_at(reader);
	piece->range.end = reader->end;
	if (piece->range.start > reader->end)
		piece->range.start = reader->end; /* there was nothing to take */
	piece->next = reader->source->piece_count;
	reader->piece = piece->parent;
}

/* The word's number, or that of the next word when it is none. */
static uint32_t add_word(struct reader *reader, struct source_range range)
{
	struct source *source = reader->source;
	struct source_word *words = source_grow(source->words, source->word_count, sizeof(*words));

	if (!words) {
		reader->error = -ENOMEM;
		return source->word_count;
	}
	source->words = words;
	words[source->word_count] = (struct source_word){ .range = range,
							  .piece = reader->piece,
							  .member = reader->after_dot };
	return source->word_count++;
}

void reader_declare(struct reader *reader, uint32_t word)
{
	if (!reader->error)
		reader->source->words[word].declares = true;
}

/* ---- tokens ---- */

/* The words of a directive; it declares the name that it defines. */
static void add_directive_words(struct reader *reader, struct source_range range)
{
	const char *text = reader->source->text;
	bool defines = false, first = true;

	reader->after_dot = false;
	for (uint32_t at = range.start; at < range.end && !reader->error;) {
		struct source_range word = { at, at };

		while (word.end < range.end &&
		       (text[word.end] == '_' || isalnum((unsigned char)text[word.end])))
			word.end++;
		at = word.end + (word.end == at);
		if (word.end == word.start || isdigit((unsigned char)text[word.start]))
			continue;
		if (first) {
			defines = source_is(reader->source, word, "define");
			first = false;
			continue;
		}
		add_word(reader, word);
		if (defines)
			reader_declare(reader, reader->source->word_count - 1);
		defines = false;
	}
}

static void take_whole(struct reader *reader, bool comment)
{
	struct source_range range = reader->tokens[reader->at++].range;
	struct source_piece *piece = reader_open(reader, range.start);

	if (!piece)
		return;
	piece->comment = comment;
	piece->fixed = comment && memmem(reader->source->text + range.start,
					 range.end - range.start, "SPDX-License-Identifier", 23);
	if (!comment)
		add_directive_words(reader, range);
	reader->end = range.end;
	reader_close(reader);
}

/* The next token that is no comment and no directive; these become pieces. NULL at the end. */
const struct token *reader_peek(struct reader *reader)
{
	while (!reader->error && reader->at < reader->count) {
		const struct token *token = &reader->tokens[reader->at];

		if (token->kind != TOKEN_COMMENT && token->kind != TOKEN_DIRECTIVE)
			return token;
		take_whole(reader, token->kind == TOKEN_COMMENT);
	}
	return NULL;
}

/* The character that the next token is or begins with; 0 for a word and at the end. */
char reader_next(struct reader *reader)
{
	const struct token *token = reader_peek(reader);

	return token && token->kind == TOKEN_OTHER ? reader->source->text[token->range.start]
						   : '\0';
}

bool reader_next_word(struct reader *reader, const char *word)
{
	const struct token *token = reader_peek(reader);

	return token && token->kind == TOKEN_WORD && source_is(reader->source, token->range, word);
}

/* Takes it; true with its number when it is a word. */
bool reader_take(struct reader *reader, uint32_t *word)
{
	const struct token *token = reader_peek(reader);
	bool is_word = token && token->kind == TOKEN_WORD;
	const char *text;

	if (!token)
		return false;
	text = reader->source->text + token->range.start;
	if (is_word)
		*word = add_word(reader, token->range);
	reader->after_dot = *text == '.' || (*text == '>' && token->range.start && text[-1] == '-');
	reader->end = token->range.end;
	reader->at++;
	return is_word && !reader->error;
}

void reader_take_any(struct reader *reader)
{
	uint32_t word;

	reader_take(reader, &word);
}

uint32_t reader_next_start(struct reader *reader)
{
	const struct token *token = reader_peek(reader);

	return token ? token->range.start : reader->end;
}

/* Parentheses or square brackets, with lists that are in them. */
void reader_group(struct reader *reader)
{
	char close = reader_next(reader) == '(' ? ')' : ']';
	bool deep = ++reader->depth > DEPTH_MAX;

	reader_take_any(reader);
	for (char c; reader_peek(reader);) {
		c = reader_next(reader);
		if (c == close || c == '}')
			break;
		if ((c == '(' || c == '[') && !deep)
			reader_group(reader);
		else if (c == '{' && !deep)
			read_list(reader);
		else
			reader_take_any(reader);
	}
	if (reader_next(reader) == close)
		reader_take_any(reader);
	reader->depth--;
}

/* ---- lists: initializers, members, constants ---- */

static void read_element(struct reader *reader, bool constants)
{
	bool first = true;

	if (!reader_open(reader, reader_next_start(reader)))
		return;
	while (reader_peek(reader)) {
		char c = reader_next(reader);
		uint32_t word;

		if (c == '}')
			break;
		if (c == '(' || c == '[')
			reader_group(reader);
		else if (c == '{')
			read_list(reader);
		else if (reader_take(reader, &word) && constants && first)
			reader_declare(reader, word);
		first = false;
		if (c == ',' || c == ';')
			break;
	}
	reader_close(reader);
}

/* Without pieces, because it is nested too deep. */
void reader_skip_braces(struct reader *reader)
{
	uint32_t open = 0;

	do {
		char c = reader_next(reader);

		open += c == '{';
		open -= c == '}';
		reader_take_any(reader);
	} while (open && reader_peek(reader));
}

void reader_braces(struct reader *reader, bool constants)
{
	if (++reader->depth > DEPTH_MAX) {
		reader_skip_braces(reader);
	} else {
		reader_take_any(reader);
		while (reader_peek(reader) && reader_next(reader) != '}')
			read_element(reader, constants);
		reader_take_any(reader);
	}
	reader->depth--;
}

static void read_list(struct reader *reader)
{
	reader_braces(reader, false);
}
