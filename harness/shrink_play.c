/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One try of a C file: its stories are compiled and played, or swept, and each way in which one
 * fails becomes a line.
 *
 * A line says no more than what should stay the same while the file gets smaller. So a place in the
 * file is told by what stands there, not by its number; and of a sweep each violation is a failure
 * of its own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "shrink.h"
#include "story_file.h"
#include "sweep.h"

struct teller {
	const struct shrink_oracle *oracle;
	const struct run_cell *cell;
	FILE *to;
	bool open;   /* a line has begun */
	bool inside; /* of a violation that is told */
};

static void begin(struct teller *teller)
{
	if (teller->open)
		fputs("; ", teller->to);
	else
		fprintf(teller->to, "%s: %s/%s: ", teller->oracle->path, teller->cell->story->name,
			teller->cell->backend->name);
	teller->open = true;
}

static void end(struct teller *teller)
{
	if (teller->open)
		fputc('\n', teller->to);
	teller->open = false;
}

/* ---- places ---- */

/* The line of the file that was tried, without its indent. */
static void print_line_of(const struct teller *teller, unsigned int number)
{
	FILE *file = fopen(teller->oracle->path, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t len = 0;

	for (unsigned int i = 0; file && i < number && len >= 0; i++)
		len = getline(&line, &size, file);
	if (file && len > 0) {
		line[strcspn(line, "\n")] = '\0';
		fputs(line + strspn(line, " \t"), teller->to);
	}
	if (file)
		fclose(file);
	free(line);
}

/* "FILE:LINE: error: Failure!" is where an assertion stands. */
static bool print_place(const struct teller *teller, const char *text, size_t len)
{
	size_t path = strlen(teller->oracle->path);
	const char *mark = memmem(text, len, ": error: ", 9);
	unsigned int number;
	const char *base;

	if (!mark)
		return false;
	if (!strncmp(text, teller->oracle->path, path) &&
	    sscanf(text + path, ":%u:", &number) == 1) {
		print_line_of(teller, number);
		return true;
	}
	base = memrchr(text, '/', (size_t)(mark - text));
	base = base ? base + 1 : text;
	fprintf(teller->to, "in %.*s", (int)strcspn(base, ":"), base);
	return true;
}

/* ---- what a cell printed ---- */

static void tell_line(struct teller *teller, const char *text, size_t len)
{
	while (len && text[len - 1] == ' ')
		len--;
	if (!len)
		return;
	begin(teller);
	if (!print_place(teller, text, len))
		fprintf(teller->to, "%.*s", (int)len, text);
}

static bool begins(const char *text, const char *word)
{
	return !strncmp(text, word, strlen(word));
}

static void tell_cell(struct teller *teller, bool violations)
{
	const char *text = teller->cell->text ? teller->cell->text : "died of something";

	for (size_t len; *text; text += len + (text[len] == '\n')) {
		size_t indent = strspn(text, " ");

		len = strcspn(text, "\n");
		if (violations && begins(text + indent, "step ")) {
			end(teller);
			teller->inside = true;
		}
		if (begins(text + indent, "repeat: "))
			teller->inside = false;
		else if (teller->inside || !violations)
			tell_line(teller, text + indent, len - indent);
	}
	end(teller);
}

static void tell(struct teller *teller, const struct run_cell *cells, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		bool violations;

		if (cells[i].result != RUN_FAILED)
			continue;
		teller->cell = &cells[i];
		teller->inside = false;
		violations = cells[i].text && strstr(cells[i].text, "  step ");
		tell_cell(teller, violations);
	}
}

/* ---- playing ---- */

static int sweep(struct teller *teller, const struct run_options *run)
{
	const struct sweep_options options = { .run = *run, .verbose = true };
	struct sweep_result result;
	int ret = sweep_run(&options, &result);

	if (!ret)
		tell(teller, result.cells, result.count);
	sweep_free(&result);
	return ret;
}

static int play(struct teller *teller, const struct run_options *run)
{
	size_t count;
	struct run_cell *cells = run_select(run, &count);
	int ret = cells ? run_play(run, cells, count) : -ENOMEM;

	if (!ret)
		tell(teller, cells, count);
	if (cells)
		run_free(cells, count);
	return ret;
}

static int play_file(struct teller *teller, const struct story_file *file)
{
	const char *const filter = teller->oracle->cell;
	struct run_options run = {
		.stories = file->stories,
		.story_count = file->count,
		.filters = &filter,
		.filter_count = *filter ? 1 : 0,
		.shard = 1,
		.shard_count = 1,
		.jobs = cli_processors(),
		.limit_s = teller->oracle->timeout_s,
		.program = "vfake",
		.command = "run",
	};

	return teller->oracle->sweep ? sweep(teller, &run) : play(teller, &run);
}

int shrink_play(const struct shrink_oracle *oracle, int fd)
{
	struct teller teller = { .oracle = oracle };
	struct story_file file;
	int ret = story_file_load(oracle->path, oracle->flags, &file);

	if (!ret) {
		teller.to = fdopen(dup(fd), "w");
		ret = teller.to ? play_file(&teller, &file) : -errno;
		if (teller.to && fclose(teller.to) && !ret)
			ret = -EIO;
	} else if (ret != -ENOMEM) {
		ret = 0; /* as it is now nobody can play it */
	}
	story_file_close(&file);
	return ret;
}
