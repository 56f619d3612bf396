/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a C source: definitions, declarations and statements.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source_internal.h"

static void read_statement(struct reader *reader);
static void read_items(struct reader *reader, bool top);

/* ---- statements ---- */

/* Sets what is left of the open piece without its head and its braces. */
static void set_inner(struct reader *reader, uint32_t piece, uint32_t start, uint32_t end)
{
	if (!reader->error)
		reader->source->pieces[piece].inner = (struct source_range){ start, end };
}

static void read_block(struct reader *reader, uint32_t piece)
{
	uint32_t start;

	if (++reader->depth > DEPTH_MAX) {
		reader_skip_braces(reader);
	} else {
		reader_take_any(reader);
		start = reader->end;
		read_items(reader, false);
		set_inner(reader, piece, start, reader_next_start(reader));
		reader_take_any(reader);
	}
	reader->depth--;
}

/* The body of the statement that is open. Without braces it cannot go alone. */
static void read_body(struct reader *reader)
{
	uint32_t piece = reader->piece, body, start = reader->end;

	if (reader_next(reader) == '{') {
		read_block(reader, piece);
		return;
	}
	body = reader->source->piece_count;
	if (++reader->depth > DEPTH_MAX)
		reader_take_any(reader);
	else
		read_statement(reader);
	reader->depth--;
	if (reader->error || body >= reader->source->piece_count)
		return;
	reader->source->pieces[body].fixed = true;
	set_inner(reader, piece, start, reader->end);
}

static void read_to_semicolon(struct reader *reader)
{
	while (reader_peek(reader) && reader_next(reader) != ';' && reader_next(reader) != '}') {
		if (reader_next(reader) == '(')
			reader_group(reader);
		else
			reader_take_any(reader);
	}
	if (reader_next(reader) == ';')
		reader_take_any(reader);
}

static void read_else(struct reader *reader)
{
	if (!reader_next_word(reader, "else") || !reader_open(reader, reader_next_start(reader)))
		return;
	reader_take_any(reader);
	read_body(reader);
	reader_close(reader);
}

/* `for (int i = 0;': the last of the words before the first operator is the name. */
static void declare_counter(struct reader *reader, uint32_t from)
{
	const struct source *source = reader->source;
	uint32_t end, word = from;

	if (reader->error || from >= source->word_count)
		return;
	end = source->words[from].range.start;
	end += (uint32_t)strcspn(source->text + end, "=;),[");
	while (word + 1 < source->word_count && source->words[word + 1].range.end <= end)
		word++;
	if (word > from)
		reader_declare(reader, word);
}

/* if, for, while, switch; and whatever else is followed by a body. */
static void read_control(struct reader *reader)
{
	bool branch = reader_next_word(reader, "if"), loop = reader_next_word(reader, "for");
	uint32_t head;

	if (!reader_open(reader, reader_next_start(reader)))
		return;
	reader_take_any(reader);
	head = reader->source->word_count;
	if (reader_next(reader) == '(')
		reader_group(reader);
	if (loop)
		declare_counter(reader, head);
	read_body(reader);
	if (branch)
		read_else(reader);
	reader_close(reader);
}

static void read_do(struct reader *reader)
{
	if (!reader_open(reader, reader_next_start(reader)))
		return;
	reader_take_any(reader);
	read_body(reader);
	read_to_semicolon(reader);
	reader_close(reader);
}

/* case X: and default: and a label, without what follows. */
static void read_label(struct reader *reader)
{
	if (!reader_open(reader, reader_next_start(reader)))
		return;
	while (reader_peek(reader) && reader_next(reader) != ':' && reader_next(reader) != ';' &&
	       reader_next(reader) != '}')
		reader_take_any(reader);
	if (reader_next(reader) == ':')
		reader_take_any(reader);
	reader_close(reader);
}

/* ---- declarations and expressions ---- */

static bool is_keyword(const struct source *source, struct source_range word)
{
	static const char *const keywords[] = {
		"auto",	    "break",  "case",	  "char",   "const",  "continue", "default",
		"do",	    "double", "else",	  "enum",   "extern", "float",	  "for",
		"goto",	    "if",     "inline",	  "int",    "long",   "register", "return",
		"short",    "signed", "sizeof",	  "static", "struct", "switch",	  "typedef",
		"unsigned", "union",  "volatile", "void",   "while",  "bool",
	};

	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
		if (source_is(source, word, keywords[i]))
			return true;
	}
	return false;
}

/* A declaration begins with two words, or with a word and a star. */
static bool begins_declaration(struct reader *reader)
{
	const struct token *token = reader_peek(reader);

	if (!token || token->kind != TOKEN_WORD || reader->at + 1 >= reader->count ||
	    source_is(reader->source, token->range, "return") ||
	    source_is(reader->source, token->range, "goto"))
		return false;
	return token[1].kind == TOKEN_WORD || reader->source->text[token[1].range.start] == '*';
}

/* What was seen of a declaration or an expression so far. */
struct simple {
	bool top;	  /* in no function */
	bool declaration; /* not an expression */
	bool assigned;
	bool returns;
	bool type;	/* struct, union or enum came, and no name behind its own */
	bool constants; /* enum */
	bool named;	/* the declarator has told its name */
	bool has_name;
	uint32_t name; /* the last word */
	char last;     /* character before; 0 for a word */
	bool in_part;  /* behind a comma */
};

static void tell_name(struct reader *reader, struct simple *simple)
{
	if (simple->declaration && !simple->named && simple->has_name)
		reader_declare(reader, simple->name);
	simple->named = simple->named || simple->has_name;
}

/* Braces: a body, the members of a type, or a list. True when that was the end. */
static bool read_simple_braces(struct reader *reader, struct simple *simple)
{
	bool body = simple->last == ')' && !simple->assigned && !simple->returns;
	uint32_t piece = reader->piece;

	tell_name(reader, simple);
	if (!body) {
		reader_braces(reader, simple->constants && !simple->assigned);
		return false;
	}
	read_block(reader, piece);
	if (simple->top && !reader->error) {
		set_inner(reader, piece, 0, 0); /* statements do not stand outside functions */
		reader->source->pieces[piece].function = true;
	}
	return true;
}

/* A comma: what is behind it can go by itself. */
static void begin_part(struct reader *reader, struct simple *simple)
{
	tell_name(reader, simple);
	if (simple->in_part)
		reader_close(reader);
	simple->in_part = reader_open(reader, reader_next_start(reader)) != NULL;
	simple->named = simple->has_name = simple->assigned = false;
	reader_take_any(reader);
}

static void read_simple_word(struct reader *reader, struct simple *simple)
{
	uint32_t word;

	if (!reader_take(reader, &word))
		return;
	if (source_is(reader->source, reader->source->words[word].range, "return"))
		simple->returns = true;
	if (source_is(reader->source, reader->source->words[word].range, "enum"))
		simple->constants = true;
	if (is_keyword(reader->source, reader->source->words[word].range))
		return;
	simple->has_name = true;
	simple->name = word;
}

/* One token or what it opens. False at the end of the statement. */
static bool read_simple_token(struct reader *reader, struct simple *simple)
{
	char c = reader_next(reader);

	if (!reader_peek(reader) || c == '}')
		return false;
	if (c == '{')
		return !read_simple_braces(reader, simple);
	if (c == '=' || c == '(' || c == '[')
		tell_name(reader, simple);
	simple->assigned = simple->assigned || c == '=';
	if (c == ';') {
		tell_name(reader, simple);
	} else if (c == ',' && simple->declaration) {
		begin_part(reader, simple);
	} else if (c == '(' || c == '[') {
		reader_group(reader);
		c = c == '(' ? ')' : ']';
	} else if (!c) {
		read_simple_word(reader, simple);
	} else {
		reader_take_any(reader);
	}
	simple->last = c;
	return c != ';';
}

static void read_simple(struct reader *reader, bool top)
{
	struct simple simple = { .top = top, .declaration = begins_declaration(reader) };

	if (!reader_open(reader, reader_next_start(reader)))
		return;
	while (read_simple_token(reader, &simple) && !reader->error)
		;
	if (simple.in_part)
		reader_close(reader);
	if (reader_next(reader) == ';')
		reader_take_any(reader);
	reader_close(reader);
}

/* ---- what follows each other ---- */

static bool is_label(struct reader *reader)
{
	const struct token *token = reader_peek(reader);

	if (reader_next_word(reader, "case") || reader_next_word(reader, "default"))
		return true;
	return token && token->kind == TOKEN_WORD && reader->at + 1 < reader->count &&
	       reader->source->text[token[1].range.start] == ':';
}

static void read_statement(struct reader *reader)
{
	static const char *const controls[] = { "if", "for", "while", "switch" };

	for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
		if (reader_next_word(reader, controls[i])) {
			read_control(reader);
			return;
		}
	}
	if (reader_next(reader) == '{') {
		if (!reader_open(reader, reader_next_start(reader)))
			return;
		read_block(reader, reader->piece);
		reader_close(reader);
	} else if (reader_next_word(reader, "do")) {
		read_do(reader);
	} else if (reader_next_word(reader, "else")) {
		read_else(reader); /* its `if' was left out */
	} else if (is_label(reader)) {
		read_label(reader);
	} else {
		read_simple(reader, false);
	}
}

/* To the brace that closes them, or @top: to the end. */
static void read_items(struct reader *reader, bool top)
{
	while (reader_peek(reader)) {
		if (reader_next(reader) != '}') {
			if (top)
				read_simple(reader, true);
			else
				read_statement(reader);
			continue;
		}
		if (!top)
			return;
		reader_take_any(reader); /* nothing has opened it */
	}
}

int source_parse(struct source *source)
{
	struct reader reader = { .source = source, .piece = SOURCE_NO_PIECE };
	struct token *tokens;

	reader.error = source_tokens(source, &tokens, &reader.count);
	reader.tokens = tokens;
	read_items(&reader, true);
	free(tokens);
	return reader.error;
}
