/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A C source as pieces that can be left out: comments, directives, definitions, statements,
 * declarators behind a comma, and what braces list.
 *
 * It is read by its brackets and a few keywords, as an editor does; nothing is expanded and no name
 * is looked up. No text is refused: where this reader is wrong there is a piece that cannot go, for
 * the rest does not compile then.
 */
#ifndef HARNESS_SOURCE_H
#define HARNESS_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { SOURCE_MAX_BYTES = 4 << 20 };

/* Bytes [start, end) of the text. */
struct source_range {
	uint32_t start;
	uint32_t end;
};

#define SOURCE_NO_PIECE UINT32_MAX

struct source_piece {
	struct source_range range;
	struct source_range inner; /* of a statement with a body: the body, without its braces */
	uint32_t parent;	   /* or SOURCE_NO_PIECE */
	uint32_t next;		   /* behind it and all that is in it */
	bool comment;
	bool fixed;    /* goes only with its parent: a body without braces; who has the rights */
	bool function; /* names that it declares inside end with it */
};

/* An identifier in a piece. */
struct source_word {
	struct source_range range;
	uint32_t piece; /* the innermost one */
	bool member;	/* behind a dot or an arrow */
	bool declares;	/* the piece declares this name */
};

struct source {
	char *text;
	uint32_t size;
	struct source_piece
		*pieces; /* in the order of their starts; a parent before its children */
	uint32_t piece_count;
	struct source_word *words; /* in the order of the text */
	uint32_t word_count;
};

/*
 * Reads a file. 0; -EFBIG for one of more than SOURCE_MAX_BYTES; -ENOMEM; -errno of the file. The
 * caller frees *source in any case of success.
 */
int source_read(const char *path, struct source **source);
/* The same for a text in memory, which is copied. */
int source_read_text(const char *text, size_t size_bytes, struct source **source);
void source_free(struct source *source);

/* Whether the text at the range is this word. */
bool source_is(const struct source *source, struct source_range range, const char *word);
bool source_same(const struct source *source, struct source_range a, struct source_range b);

/*
 * Writes what is left, in whole lines.
 * @gone: by piece: left out
 * @bare: by piece: only its inner part stays
 *
 * Returns 0 or -ENOMEM; whether @to took it all is for the caller to ask.
 */
int source_write(const struct source *source, const bool *gone, const bool *bare, FILE *to);

#endif
