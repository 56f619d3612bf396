/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making something that fails small: which of its pieces can go.
 *
 * First what nobody needs to look at goes at once. Then ever smaller numbers of pieces go, half of
 * them at a time, then a quarter, down to one, each with those that cannot be without it. In the
 * end each is tried alone. What is left then is minimal: without any one piece it does not fail
 * like that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shrink.h"

/* ---- does it still fail ---- */

int shrink_write(const struct shrink *shrink, FILE *to)
{
	return shrink->form->write(shrink, to);
}

static int try_rest(struct shrink *shrink, struct shrink_verdict *verdict)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	int ret = to ? shrink_write(shrink, to) : -ENOMEM;

	if (to && fclose(to))
		ret = -ENOMEM;
	if (!ret)
		ret = shrink_try(&shrink->oracle, text, size, verdict);
	free(text);
	return ret;
}

bool shrink_holds(struct shrink *shrink, bool strict)
{
	struct shrink_verdict verdict;

	if (shrink->stop && *shrink->stop)
		shrink->error = -EINTR;
	if (!shrink->error)
		shrink->error = try_rest(shrink, &verdict);
	if (shrink->error || (strict && verdict.failures > shrink->failures))
		return false;
	for (uint32_t i = 0; i < verdict.kind_count; i++) {
		if (strcmp(verdict.kinds[i], shrink->kind) != 0)
			continue;
		shrink->failures = verdict.failures;
		shrink->changed = true;
		shrink->steps++;
		if (shrink->progress)
			shrink->progress(shrink);
		return true;
	}
	return false;
}

/* ---- taking pieces out ---- */

/* Keeps what is out now, if the rest holds; else all comes back as it was in @before. */
static void keep_or_restore(struct shrink *shrink, const bool *before)
{
	size_t size = shrink->count * sizeof(*before);
	uint32_t lines = shrink->lines;

	if (!memcmp(before, shrink->gone, size))
		return; /* nothing is out that was not: to keep that would not end */
	shrink->lines = shrink->form->count_lines(shrink);
	if (shrink_holds(shrink, false))
		return;
	memcpy(shrink->gone, before, size);
	shrink->lines = lines;
}

/* Takes out @count of the pieces that are left, from @from on; @users: with those that cannot be
 * without them. */
static void drop_some(struct shrink *shrink, bool *before, uint32_t from, uint32_t count,
		      bool users)
{
	memcpy(before, shrink->gone, shrink->count * sizeof(*before));
	for (uint32_t i = from; i < shrink->count && count; i++) {
		if (before[i])
			continue;
		count--;
		if (users)
			shrink->form->drop(shrink, i);
		else
			shrink->form->drop_alone(shrink, i);
	}
	keep_or_restore(shrink, before);
}

/* One pass over all that is left, @count pieces at a time. */
static void drop_pieces(struct shrink *shrink, bool *before, uint32_t count, bool users)
{
	for (uint32_t i = 0; i < shrink->count && !shrink->error;) {
		uint32_t seen = 0;

		drop_some(shrink, before, i, count, users);
		for (; i < shrink->count && seen < count; i++)
			seen += !before[i];
	}
}

static void drop_easy(struct shrink *shrink, bool *before)
{
	memcpy(before, shrink->gone, shrink->count * sizeof(*before));
	shrink->form->drop_easy(shrink);
	keep_or_restore(shrink, before);
}

static uint32_t count_left(const struct shrink *shrink)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < shrink->count; i++)
		left += !shrink->gone[i];
	return left;
}

static void drop_all(struct shrink *shrink, bool *before)
{
	bool changed = shrink->changed;

	for (uint32_t count = count_left(shrink) / 2; count > 1; count /= 2)
		drop_pieces(shrink, before, count, true);
	do {
		shrink->changed = false;
		drop_pieces(shrink, before, 1, true);
		drop_pieces(shrink, before, 1, false);
		changed = changed || shrink->changed;
	} while (shrink->changed && !shrink->error);
	shrink->changed = changed;
}

/* ---- all of it ---- */

int shrink_begin(struct shrink *shrink)
{
	struct shrink_verdict verdict;
	int ret;

	shrink->gone = calloc(shrink->count + 1, sizeof(*shrink->gone));
	shrink->bare = calloc(shrink->count + 1, sizeof(*shrink->bare));
	if (!shrink->gone || !shrink->bare)
		return -ENOMEM;
	ret = try_rest(shrink, &verdict);
	if (ret)
		return ret;
	if (!verdict.failures)
		return -ENOMSG;
	snprintf(shrink->kind, sizeof(shrink->kind), "%s", verdict.kinds[0]);
	shrink->failures = verdict.failures;
	shrink->fail_line = verdict.first_line;
	memcpy(shrink->oracle.cell, verdict.cell, sizeof(verdict.cell));
	shrink->lines = shrink->form->count_lines(shrink);
	return 0;
}

int shrink_run(struct shrink *shrink)
{
	bool *before = calloc(shrink->count + 1, sizeof(*before));

	if (!before)
		return -ENOMEM;
	drop_easy(shrink, before);
	do {
		shrink->changed = false;
		drop_all(shrink, before);
		shrink->form->refine(shrink);
	} while (shrink->changed && !shrink->error);
	free(before);
	return shrink->error;
}

void shrink_end(struct shrink *shrink)
{
	free(shrink->gone);
	free(shrink->bare);
	shrink->gone = shrink->bare = NULL;
}
