/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the reader of C sources: of any bytes the pieces are a tree in the order of the text, and
 * whatever of them is left out, what is left is no longer than all of it.
 */
#include "fuzz.h"
#include "source.h"

#include <stdlib.h>
#include <string.h>

static void check_piece(const struct source *source, uint32_t index)
{
	const struct source_piece *piece = &source->pieces[index];
	const struct source_piece *parent =
		piece->parent == SOURCE_NO_PIECE ? NULL : &source->pieces[piece->parent];

	fuzz_check(piece->range.start <= piece->range.end && piece->range.end <= source->size,
		   "a piece lies outside the text");
	fuzz_check(!index || piece->range.start >= source->pieces[index - 1].range.start,
		   "pieces are not in the order of the text");
	fuzz_check(piece->next > index && piece->next <= source->piece_count, "a piece has no end");
	fuzz_check(piece->inner.start <= piece->inner.end, "a body ends before it begins");
	fuzz_check(!piece->inner.end || (piece->inner.start >= piece->range.start &&
					 piece->inner.end <= piece->range.end),
		   "a body lies outside its statement");
	if (!parent)
		return;
	fuzz_check(piece->parent < index && piece->next <= parent->next &&
			   piece->range.start >= parent->range.start &&
			   piece->range.end <= parent->range.end,
		   "a piece lies outside the one that it is in");
}

static void check_words(const struct source *source)
{
	for (uint32_t i = 0; i < source->word_count; i++) {
		const struct source_word *word = &source->words[i];
		const struct source_range *range;

		fuzz_check(word->piece < source->piece_count, "a word is in no piece");
		range = &source->pieces[word->piece].range;
		fuzz_check(word->range.start >= range->start && word->range.end <= range->end,
			   "a word lies outside its piece");
		fuzz_check(!i || word->range.start >= source->words[i - 1].range.end,
			   "words are not in the order of the text");
	}
}

/* The text's own bytes say what goes. */
static void check_rest(const struct source *source)
{
	bool *gone = calloc(source->piece_count + 1, sizeof(*gone));
	bool *bare = calloc(source->piece_count + 1, sizeof(*bare));
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	fuzz_check(gone && bare && to, "memory is short");
	for (uint32_t i = 0; i < source->piece_count; i++) {
		unsigned int choice = (unsigned char)source->text[i % source->size];

		gone[i] = choice % 3 == 0;
		bare[i] = choice % 5 == 0 &&
			  source->pieces[i].inner.end > source->pieces[i].inner.start;
	}
	fuzz_check(!source_write(source, gone, bare, to) && !fclose(to), "writing failed");
	fuzz_check(size <= source->size + 1, "what is left is longer than all of it");
	free(text);
	free(bare);
	free(gone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	struct source *source;

	fuzz_check(!source_read_text((const char *)data, size_bytes, &source), "it is refused");
	for (uint32_t i = 0; i < source->piece_count; i++)
		check_piece(source, i);
	check_words(source);
	check_rest(source);
	source_free(source);
	return 0;
}
