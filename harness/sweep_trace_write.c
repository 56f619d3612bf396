/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing a violation's trace: what is noted is played first, as `vfake replay` would, in the same
 * world. What a story does beside its calls (its devices' DMA, registers that change by themselves)
 * is in no trace. A register that shows it is not looked at when the trace is played; where it
 * shows in another way the trace would differ, so there it ends.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vfake/view.h>

#include "cli.h"
#include "player.h"
#include "replay.h"
#include "sweep_trace_internal.h"
#include "world_read.h"

enum { PATH_BYTES = 4096 };

/* A text that grows. */
struct text {
	FILE *to;
	char *bytes;
	size_t size;
};

static bool text_open(struct text *text)
{
	text->to = open_memstream(&text->bytes, &text->size);
	return text->to;
}

/* What is said of a failure may have any bytes; a comment is one line. */
static void put_comment(FILE *to, const char *label, const char *text)
{
	fprintf(to, "# %s", label);
	for (; *text; text++)
		fputc((unsigned char)*text < ' ' ? ' ' : *text, to);
	fputc('\n', to);
}

static void put_head(FILE *to, const struct vfake_world *world, const struct sweep_finding *finding,
		     const char *play)
{
	fprintf(to, "trace 1\n# %s/%s\n", finding->story, finding->backend);
	put_comment(to, "", finding->where);
	put_comment(to, "", finding->what);
	put_comment(to, "repeat: ", finding->repeat);
	put_comment(to, "play: ", play);
	fputs("# What begins with # was done, too, but is not played: the rest of the step that\n"
	      "# fails, and what no trace can say.\n",
	      to);
	for (uint32_t i = 0; i < world->device_count; i++)
		fprintf(to, "device %.*s\n", (int)sizeof(world->devices[i].name),
			world->devices[i].name);
	fputc('\n', to);
}

/* ---- playing it ---- */

/* What the replay says of a call: at which line, and what. */
struct remark {
	uint32_t line; /* 0: of no line */
	const char *what;
	int length;
};

/* The remark that begins here, which is "NAME:LINE:COLUMN: WHAT"; NULL behind the last one. */
static const char *next_remark(const char *at, const char *name, struct remark *remark)
{
	const size_t skip = strlen(name);
	size_t length;

	if (!at || !*at)
		return NULL;
	*remark = (struct remark){ .what = at };
	if (!strncmp(at, name, skip) && at[skip] == ':') {
		remark->line = (uint32_t)strtoul(at + skip + 1, NULL, 10);
		remark->what += skip + strspn(at + skip, ":0123456789 ");
	}
	length = strcspn(remark->what, "\n");
	remark->length = (int)length;
	at = remark->what + length;
	return *at ? at + 1 : at;
}

/* It is only looked at: nothing that follows depends on it. */
static bool is_look(const struct remark *remark)
{
	static const char look[] = "pread: result: expected [";

	return remark->line && !strncmp(remark->what, look, sizeof(look) - 1);
}

static void put_line(FILE *to, const char *at, size_t length, bool comment)
{
	fprintf(to, "%s%.*s\n", comment && *at != '#' && length ? "# " : "", (int)length, at);
}

/*
 * What differs when it is looked at is left out; from the first other difference on all is
 * comments. One that has no line is about all of it.
 */
static bool cut(struct text *text, const char *remarks, const char *name)
{
	struct text shorter;
	struct remark remark = { .line = 0 };
	bool ended = false;

	if (!text_open(&shorter))
		return false;
	remarks = next_remark(remarks, name, &remark);
	for (uint32_t number = 1, at = 0; text->bytes[at]; number++) {
		const char *line = text->bytes + at;
		const size_t length = strcspn(line, "\n");
		const bool is_head = !strncmp(line, "trace ", 6) || !strncmp(line, "device ", 7);
		const bool is_it = remarks && (remark.line ? number == remark.line
							   : length && *line != '#' && !is_head);
		const bool was_ended = ended;

		if (is_it && !ended) {
			ended = !is_look(&remark);
			fprintf(shorter.to, "# %s differ: %.*s\n",
				ended ? "From here on it would" : "Not played, because it would",
				remark.length, remark.what);
			remarks = next_remark(remarks, name, &remark);
		}
		put_line(shorter.to, line, length, is_it || (was_ended && !is_head));
		at += (uint32_t)length + (line[length] == '\n');
	}
	fclose(shorter.to);
	free(text->bytes);
	*text = shorter;
	return shorter.bytes;
}

/* Cuts until it is played without a difference. */
static int make_true(struct text *text, const char *name, const struct vfake_world *world)
{
	struct player *player = malloc(sizeof(*player));
	struct replay_result result = { .passed = false };
	int ret = player ? 0 : -ENOMEM;

	while (!ret && !result.passed) {
		const size_t size = text->size;

		ret = replay_text(name, text->bytes, size, world, player, &result);
		if (!ret && !result.passed && !cut(text, result.text, name))
			ret = -ENOMEM;
		if (!ret && !result.passed && text->size == size)
			ret = -EINVAL;
		free(result.text);
	}
	free(player);
	return ret;
}

/* ---- files ---- */

static int write_text(const char *path, const char *text, size_t size)
{
	FILE *file = fopen(path, "w");
	size_t written;

	if (!file)
		return -errno;
	written = fwrite(text, 1, size, file);
	return fclose(file) || written != size ? -EIO : 0;
}

/* The world as its file says: in that one it is played. */
static int write_world(const char *path, const struct vfake_world *world, struct vfake_world *again)
{
	struct world_error error;
	struct text text;
	int ret;

	if (!text_open(&text))
		return -ENOMEM;
	ret = world_write(text.to, world);
	if (fclose(text.to) && !ret)
		ret = -ENOMEM;
	if (!ret)
		ret = world_read(path, text.bytes, text.size, again, &error);
	if (!ret)
		ret = write_text(path, text.bytes, text.size);
	free(text.bytes);
	return ret;
}

static int write_trace(const struct sweep_trace *trace, const struct sweep_finding *finding,
		       const struct vfake_world *world, const char *path, const char *play)
{
	struct text text;
	int ret;

	if (!text_open(&text))
		return -ENOMEM;
	put_head(text.to, world, finding, play);
	fwrite(trace->text->bytes, 1, trace->text->end, text.to);
	if (fclose(text.to))
		ret = -ENOMEM;
	else
		ret = make_true(&text, path, world);
	if (!ret)
		ret = write_text(path, text.bytes, text.size);
	free(text.bytes);
	return ret;
}

static char *play_command(const struct sweep_finding *finding, const char *world, const char *path)
{
	struct text text;

	if (!text_open(&text))
		return NULL;
	fprintf(text.to, "%s replay --world", finding->program);
	cli_put_word(text.to, world);
	cli_put_word(text.to, path);
	fclose(text.to);
	return text.bytes;
}

int sweep_trace_write(const struct sweep_trace *trace, const struct sweep_finding *finding,
		      char **play)
{
	struct vfake_world *world = malloc(sizeof(*world));
	char world_path[PATH_BYTES], path[PATH_BYTES];
	int ret;

	snprintf(world_path, sizeof(world_path), "%s/%s-%s.json", finding->folder, finding->story,
		 finding->backend);
	snprintf(path, sizeof(path), "%s/%s-%s-%u.trace", finding->folder, finding->story,
		 finding->backend, finding->number);
	*play = play_command(finding, world_path, path);
	ret = world && *play ? 0 : -ENOMEM;
	if (!ret)
		ret = write_world(world_path, vfake_view_world(trace->kernel), world);
	if (!ret)
		ret = write_trace(trace, finding, world, path, *play);
	free(world);
	return ret;
}
