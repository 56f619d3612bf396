/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A C file with a story as something that can be made small.
 *
 * What a name is used in goes with what declares it: without it, it would not compile. To begin
 * with, all goes that the story does not get to by names: other stories, their functions, comments
 * but the licence. Then a loop or a condition can give way to what is in it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shrink.h"
#include "source.h"

static int write_rest(const struct shrink *shrink, FILE *to)
{
	return source_write(shrink->source, shrink->gone, shrink->bare, to);
}

/* Comments go at once and blank lines with what is around them: those left are as good as none. */
static uint32_t count_lines(const struct shrink *shrink)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	uint32_t lines = 0;
	bool any = false;

	if (!to)
		return 0;
	write_rest(shrink, to);
	if (!fclose(to)) {
		for (size_t i = 0; i < size; i++) {
			lines += text[i] == '\n' && any;
			any = text[i] != '\n';
		}
	}
	free(text);
	return lines;
}

/* ---- what goes with what ---- */

static void drop_alone(struct shrink *shrink, uint32_t index)
{
	const struct source_piece *piece = &shrink->source->pieces[index];

	if (piece->fixed)
		return;
	for (uint32_t i = index; i < piece->next; i++)
		shrink->gone[i] = true;
}

static uint32_t top_of(const struct source *source, uint32_t piece)
{
	while (source->pieces[piece].parent != SOURCE_NO_PIECE)
		piece = source->pieces[piece].parent;
	return piece;
}

/* Where a name that the piece declares is not known any more. */
static uint32_t scope_end(const struct source *source, uint32_t piece)
{
	uint32_t top = top_of(source, piece);

	return top != piece && source->pieces[top].function ? source->pieces[top].range.end
							    : source->size;
}

/* What has to go so that the word does: the innermost piece that can. */
static uint32_t piece_of(const struct source *source, const struct source_word *word)
{
	uint32_t piece = word->piece;

	while (source->pieces[piece].fixed && source->pieces[piece].parent != SOURCE_NO_PIECE)
		piece = source->pieces[piece].parent;
	return piece;
}

static void drop(struct shrink *shrink, uint32_t index);

static void drop_users(struct shrink *shrink, const struct source_word *name)
{
	const struct source *source = shrink->source;
	uint32_t end = scope_end(source, name->piece);

	for (const struct source_word *word = name + 1; word < source->words + source->word_count;
	     word++) {
		if (word->range.start >= end)
			return;
		if (!word->member && word->piece != SOURCE_NO_PIECE && !shrink->gone[word->piece] &&
		    source_same(source, word->range, name->range))
			drop(shrink, piece_of(source, word));
	}
}

static void drop(struct shrink *shrink, uint32_t index)
{
	const struct source *source = shrink->source;
	const struct source_piece *piece = &source->pieces[index];

	if (shrink->gone[index] || piece->fixed)
		return;
	drop_alone(shrink, index);
	for (uint32_t i = 0; i < source->word_count; i++) {
		const struct source_word *word = &source->words[i];

		if (word->declares && word->piece >= index && word->piece < piece->next)
			drop_users(shrink, word);
	}
}

/* ---- to begin with ---- */

static bool declares_story(const struct source *source, const struct source_word *word)
{
	static const char prefix[] = "story_";

	return word->declares && source->pieces[word->piece].parent == SOURCE_NO_PIECE &&
	       !source->pieces[word->piece].function &&
	       word->range.end - word->range.start >= sizeof(prefix) &&
	       !memcmp(source->text + word->range.start, prefix, sizeof(prefix) - 1);
}

/* Whether the cell STORY/BACKEND is of the story that the piece defines. */
static bool defines(const struct source *source, uint32_t piece, const char *cell)
{
	const struct source_range *range = &source->pieces[piece].range;
	char name[SHRINK_CELL_BYTES + 2];
	int len = snprintf(name, sizeof(name), "\"%.*s\"", (int)strcspn(cell, "/"), cell);

	return memmem(source->text + range->start, range->end - range->start, name, (size_t)len);
}

/* All that is declared outside functions and that the piece has names of is needed, and so on. */
static void need(const struct source *source, bool *needed, uint32_t piece)
{
	if (needed[piece])
		return;
	needed[piece] = true;
	for (uint32_t i = 0; i < source->word_count; i++) {
		const struct source_word *use = &source->words[i];

		if (use->piece < piece || use->piece >= source->pieces[piece].next)
			continue;
		for (uint32_t k = 0; k < source->word_count; k++) {
			const struct source_word *word = &source->words[k];

			if (word->declares && scope_end(source, word->piece) == source->size &&
			    source_same(source, use->range, word->range))
				need(source, needed, top_of(source, word->piece));
		}
	}
}

/* The story that failed, and what it needs; false when there is no telling. */
static bool need_story(const struct shrink *shrink, bool *needed)
{
	const struct source *source = shrink->source;
	bool found = false;

	for (uint32_t i = 0; i < source->word_count; i++) {
		const struct source_word *word = &source->words[i];

		if (!declares_story(source, word) ||
		    !defines(source, word->piece, shrink->oracle.cell))
			continue;
		need(source, needed, word->piece);
		found = true;
	}
	return found;
}

static void drop_easy(struct shrink *shrink)
{
	const struct source *source = shrink->source;
	bool *needed = calloc(shrink->count + 1, sizeof(*needed));
	bool known = needed && *shrink->oracle.cell && need_story(shrink, needed);

	for (uint32_t i = 0; i < shrink->count; i++) {
		const struct source_piece *piece = &source->pieces[i];
		bool top = piece->parent == SOURCE_NO_PIECE;
		bool directive = top && source->text[piece->range.start] == '#';

		if (piece->comment || (known && top && !directive && !needed[i]))
			drop_alone(shrink, i);
	}
	free(needed);
}

/* ---- loops and conditions ---- */

static bool in_head(const struct source *source, const struct source_word *word)
{
	const struct source_piece *piece = &source->pieces[word->piece];

	return piece->inner.end > piece->inner.start && word->range.end <= piece->inner.start;
}

/*
 * Only the body of a statement is left. What asks for a name that its head has declared gives way
 * to its own body, or goes.
 */
static void make_bare(struct shrink *shrink, uint32_t index, bool users)
{
	const struct source *source = shrink->source;
	const struct source_piece *piece = &source->pieces[index];

	shrink->bare[index] = true;
	for (uint32_t i = 0; users && i < source->word_count; i++) {
		const struct source_word *name = &source->words[i];

		if (name->piece != index || !name->declares || !in_head(source, name))
			continue;
		for (uint32_t k = i + 1; k < source->word_count; k++) {
			const struct source_word *word = &source->words[k];

			if (word->piece <= index || word->piece >= piece->next || word->member ||
			    !source_same(source, word->range, name->range))
				continue;
			if (in_head(source, word))
				shrink->bare[word->piece] = true;
			else
				drop(shrink, piece_of(source, word));
		}
	}
}

/* Keeps what make_bare() leaves, if that holds; else all comes back. */
static bool try_bare(struct shrink *shrink, uint32_t index, bool users, bool *before)
{
	size_t size = shrink->count * sizeof(*before);
	uint32_t lines = shrink->lines;

	memcpy(before, shrink->gone, size);
	memcpy(before + shrink->count, shrink->bare, size);
	make_bare(shrink, index, users);
	shrink->lines = count_lines(shrink);
	if (shrink_holds(shrink, false))
		return true;
	memcpy(shrink->gone, before, size);
	memcpy(shrink->bare, before + shrink->count, size);
	shrink->lines = lines;
	return false;
}

static void refine(struct shrink *shrink)
{
	bool *before = calloc(2 * (size_t)shrink->count + 1, sizeof(*before));

	if (!before) {
		shrink->error = -ENOMEM;
		return;
	}
	for (uint32_t i = 0; i < shrink->count && !shrink->error; i++) {
		const struct source_piece *piece = &shrink->source->pieces[i];

		if (!shrink->gone[i] && !shrink->bare[i] && piece->inner.end > piece->inner.start &&
		    !try_bare(shrink, i, false, before))
			try_bare(shrink, i, true, before);
	}
	free(before);
}

const struct shrink_form shrink_source_form = {
	.write = write_rest,
	.count_lines = count_lines,
	.drop_easy = drop_easy,
	.drop = drop,
	.drop_alone = drop_alone,
	.refine = refine,
};
