/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the sub-commands say alike.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "run.h"
#include "story_file.h"
#include "trace.h"
#include "world_read.h"

int cli_bad_input(const char *command, const char *message)
{
	fprintf(stderr, "%s\nTry `%s --help' for more information.\n", message, command);
	return CLI_USAGE;
}

uint64_t cli_number(struct argp_state *state, const char *option, const char *text, uint64_t least,
		    uint64_t most)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || *end || end == text || *text < '0' || *text > '9' || value < least ||
	    value > most)
		argp_error(state, "%s takes a number from %llu to %llu, not `%s'", option,
			   (unsigned long long)least, (unsigned long long)most, text);
	return value;
}

void cli_shard(struct argp_state *state, const char *text, unsigned int *shard, unsigned int *count)
{
	char extra;

	if (sscanf(text, "%u/%u%c", shard, count, &extra) != 2 || !*shard || *shard > *count)
		argp_error(state, "--shard takes I/N with I from 1 to N, not `%s'", text);
}

unsigned int cli_processors(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (processors < 1)
		return 1;
	return processors > CLI_JOBS_MAX ? CLI_JOBS_MAX : (unsigned int)processors;
}

int cli_open_output(const char *command, const char *path, FILE **to)
{
	char message[512];

	*to = path ? fopen(path, "w") : stdout;
	if (*to)
		return CLI_PASS;
	snprintf(message, sizeof(message), "%s: %s: %s", command, path, strerror(errno));
	return cli_bad_input(command, message);
}

int cli_end_output(const char *command, const char *path, FILE *to, int ret)
{
	/* What went wrong before is not said again by the last flush. */
	bool bad = ferror(to) || fflush(to);

	if (path && fclose(to))
		bad = true;
	if (!bad)
		return ret;
	fprintf(stderr, "%s: %s could not be written: %s\n", command, path ? path : "the output",
		strerror(errno));
	return CLI_BROKEN;
}

int cli_read_trace(const char *command, const char *path, struct trace **trace)
{
	struct trace_error error;
	int ret = trace_read_file(path, trace, &error);

	if (!ret)
		return CLI_PASS;
	if (ret != -EINVAL && ret != -ENOMEM)
		return cli_bad_input(command, error.message);
	fprintf(stderr, "%s\n", error.message);
	return ret == -ENOMEM ? CLI_BROKEN : CLI_FAIL;
}

int cli_read_world(const char *command, const char *path, struct vfake_world **world)
{
	struct world_error error;

	*world = malloc(sizeof(**world));
	if (!*world) {
		fprintf(stderr, "%s: out of memory\n", command);
		return CLI_BROKEN;
	}
	if (!world_read_file(path, *world, &error))
		return CLI_PASS;
	free(*world);
	*world = NULL;
	return cli_bad_input(command, error.message);
}

/* ---- stories in files ---- */

bool cli_is_story_file(const char *word)
{
	size_t length = strlen(word);

	return length > 2 && !strcmp(word + length - 2, ".c");
}

error_t cli_add_story_file(struct cli_stories *given, const char *path)
{
	const char **more =
		realloc((void *)(uintptr_t)given->paths, (given->path_count + 1) * sizeof(*more));

	if (!more)
		return ENOMEM;
	more[given->path_count++] = path;
	given->paths = more;
	return 0;
}

void cli_put_word(FILE *to, const char *word)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				    "_./-+,:@%";
	bool quoted = word[strspn(word, plain)];

	fputs(*word == '-' ? " ./" : " ", to);
	if (quoted)
		fputc('\'', to);
	for (; *word; word++)
		fputs(*word == '\'' ? "'\\''" : (const char[]){ *word, 0 }, to);
	if (quoted)
		fputc('\'', to);
}

static char *words_of(const struct cli_stories *given)
{
	char *words = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&words, &size);

	if (!to)
		return NULL;
	for (size_t i = 0; i < given->path_count; i++)
		cli_put_word(to, given->paths[i]);
	if (!fclose(to))
		return words;
	free(words);
	return NULL;
}

static int add_stories(struct cli_stories *given, const struct story_file *file)
{
	const struct story **more = realloc((void *)(uintptr_t)given->list,
					    (given->count + file->count) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	memcpy(more + given->count, file->stories, file->count * sizeof(*more));
	given->list = more;
	given->count += file->count;
	return 0;
}

int cli_refuse_story_file(const char *command, const char *path, int ret, const char *error)
{
	char message[1024];

	snprintf(message, sizeof(message), "%s: %s: %s", command, path, error);
	if (ret != -ENOSYS && ret != -ENOMEM)
		return cli_bad_input(command, message);
	fprintf(stderr, "%s\n", message);
	return ret == -ENOSYS ? CLI_SKIPPED : CLI_BROKEN;
}

static int load_file(const char *command, struct cli_stories *given, size_t index)
{
	struct story_file *file = &given->files[index];
	const char *path = given->paths[index];
	const struct story *twin;
	char error[256];
	int ret = story_file_load(path, NULL, file);

	if (ret)
		return cli_refuse_story_file(command, path, ret, file->error);
	if (add_stories(given, file))
		return cli_refuse_story_file(command, path, -ENOMEM, strerror(ENOMEM));
	twin = story_file_twin(given->list, given->count);
	if (!twin)
		return CLI_PASS;
	snprintf(error, sizeof(error), "a file before it has a story `%s', too", twin->name);
	return cli_refuse_story_file(command, path, -EBADMSG, error);
}

int cli_load_stories(const char *command, struct cli_stories *given, struct run_options *run)
{
	int code = CLI_PASS;

	if (!given->path_count)
		return CLI_PASS;
	given->files = calloc(given->path_count, sizeof(*given->files));
	given->words = words_of(given);
	if (!given->files || !given->words) {
		fprintf(stderr, "%s: out of memory\n", command);
		return CLI_BROKEN;
	}
	for (size_t i = 0; i < given->path_count && !code; i++)
		code = load_file(command, given, i);
	run->stories = given->list;
	run->story_count = given->count;
	run->files = given->words;
	return code;
}

void cli_free_stories(struct cli_stories *given)
{
	for (size_t i = 0; given->files && i < given->path_count; i++)
		story_file_close(&given->files[i]);
	free(given->files);
	free((void *)(uintptr_t)given->paths);
	free((void *)(uintptr_t)given->list);
	free(given->words);
}
