/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the C reader share: tokens, and the reader that goes over them.
 */
#ifndef HARNESS_SOURCE_INTERNAL_H
#define HARNESS_SOURCE_INTERNAL_H

#include "source.h"

enum token_kind {
	TOKEN_WORD,
	TOKEN_OTHER, /* a number, a string, one character of an operator */
	TOKEN_COMMENT,
	TOKEN_DIRECTIVE, /* the whole of it */
};

struct token {
	enum token_kind kind;
	struct source_range range;
};

/* Cuts the text up. The caller frees *tokens. 0 or -ENOMEM. */
int source_tokens(const struct source *source, struct token **tokens, uint32_t *count);

/* ---- the reader: source_reader.c; source.c says what it reads ---- */

enum { DEPTH_MAX = 200 };

struct reader {
	struct source *source;
	const struct token *tokens;
	uint32_t count;
	uint32_t at;
	uint32_t piece; /* the innermost one that is open, or SOURCE_NO_PIECE */
	uint32_t end;	/* of the last token that was taken */
	unsigned int depth;
	bool after_dot; /* the last token was a dot or the end of an arrow */
	int error;	/* sticks; nothing is read any more */
};

/* A piece begins: all that is read until it is closed is in it. NULL when memory is short. */
struct source_piece *reader_open(struct reader *reader, uint32_t start);
void reader_close(struct reader *reader);
/* The innermost piece declares the word. */
void reader_declare(struct reader *reader, uint32_t word);

/* The next token that is no comment and no directive; these become pieces. NULL at the end. */
const struct token *reader_peek(struct reader *reader);
/* The character that it is or begins with; 0 for a word and at the end. */
char reader_next(struct reader *reader);
bool reader_next_word(struct reader *reader, const char *word);
/* Where it starts; at the end: where the last one ends. */
uint32_t reader_next_start(struct reader *reader);
/* Takes it; true with the word's number when it is one. */
bool reader_take(struct reader *reader, uint32_t *word);
void reader_take_any(struct reader *reader);

/* Parentheses or square brackets, with lists that are in them. */
void reader_group(struct reader *reader);
/* A list in braces, each item a piece; @constants: which declare their first word. */
void reader_braces(struct reader *reader, bool constants);
/* Braces that are nested too deep, without pieces. */
void reader_skip_braces(struct reader *reader);

/* ---- all of it ---- */

/* Finds the pieces and words. 0 or -ENOMEM. */
int source_parse(struct source *source);

/* Makes room for one more item in an array. NULL when memory is short; the array is as it was. */
void *source_grow(void *items, uint32_t count, size_t size_bytes);

#endif
