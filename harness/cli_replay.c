/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `vfake replay`: finds the files, plays them on as many threads as asked, prints what came of them
 * in the order given.
 */
#include <argp.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "player.h"
#include "replay.h"
#include "report.h"
#include "world_read.h"

struct options {
	const char *world;
	const char *output;
	const char *filter;
	enum report_format format;
	unsigned int jobs;
	bool verbose;
	char **files; /* found, owned */
	size_t file_count;
};

/* ---- finding the files ---- */

static bool add_file(struct options *options, const char *path)
{
	const char *base = strrchr(path, '/');
	char **files;

	if (options->filter && fnmatch(options->filter, base ? base + 1 : path, 0))
		return true;
	files = realloc(options->files, (options->file_count + 1) * sizeof(*files));
	if (!files)
		return false;
	options->files = files;
	files[options->file_count] = strdup(path);
	return files[options->file_count] && ++options->file_count;
}

static int is_trace(const struct dirent *entry)
{
	return !fnmatch("*.trace", entry->d_name, FNM_PERIOD);
}

/* The *.trace files of a directory, by name. */
static bool add_directory(struct options *options, const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, is_trace, alphasort);
	bool good = count >= 0;

	for (int i = 0; i < count; i++) {
		char *name = NULL;

		good = good && asprintf(&name, "%s/%s", path, entries[i]->d_name) >= 0 &&
		       add_file(options, name);
		free(name);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return good;
}

static bool add_path(struct options *options, const char *path)
{
	struct stat status;

	if (stat(path, &status))
		return false;
	return S_ISDIR(status.st_mode) ? add_directory(options, path) : add_file(options, path);
}

/* ---- options ---- */

enum { KEY_WORLD = 256, KEY_FORMAT, KEY_OUTPUT, KEY_FILTER };

static const struct argp_option option_list[] = {
	{ "world", KEY_WORLD, "FILE", 0,
	  "Play in the world of FILE instead of the recordings' machine", 0 },
	{ "jobs", 'j', "N", 0, "Play N files at a time (default: one per processor)", 0 },
	{ "format", KEY_FORMAT, "NAME", 0, "human (default), ktap, junit or json", 0 },
	{ "output", KEY_OUTPUT, "FILE", 0, "Write the report to FILE instead of standard output",
	  0 },
	{ "filter", KEY_FILTER, "GLOB", 0, "Only files whose name matches", 0 },
	{ "verbose", 'v', NULL, 0, "Name the files that pass, too", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case KEY_WORLD:
		options->world = arg;
		return 0;
	case 'j':
		options->jobs = (unsigned int)cli_number(state, "--jobs", arg, 1, CLI_JOBS_MAX);
		return 0;
	case KEY_FORMAT:
		if (report_format_by_name(arg, &options->format))
			argp_error(state, "--format is human, ktap, junit or json, not `%s'", arg);
		return 0;
	case KEY_OUTPUT:
		options->output = arg;
		return 0;
	case KEY_FILTER:
		options->filter = arg;
		return 0;
	case 'v':
		options->verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		if (add_path(options, arg))
			return 0;
		if (errno == ENOMEM)
			argp_failure(state, CLI_BROKEN, errno, "%s", arg);
		argp_error(state, "%s: %s", arg, strerror(errno));
		return 0;
	case ARGP_KEY_END:
		if (!state->arg_num)
			argp_error(state, "no file given");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_list,
	.parser = parse_option,
	.args_doc = "FILE|DIRECTORY...",
	.doc = "Plays recordings against the fake kernel, each in a fresh world, and compares "
	       "every result.\v"
	       "A line FILE:LINE:COLUMN tells each call that differs, with what was expected and "
	       "what came. The last line "
	       "is `N passed, M failed'. A directory stands for its *.trace files.\n\n"
	       "Exit status: 0 all passed, 1 some failed, 2 wrong use, 4 no file to play, 125 "
	       "vfake itself broke.",
};

/* ---- playing ---- */

struct crew {
	const struct options *options;
	const struct vfake_world *world;
	struct replay_result *results;
	atomic_size_t next;
	atomic_bool broken;
};

static void *work(void *data)
{
	struct crew *crew = data;
	struct player *player = malloc(sizeof(*player));

	if (!player)
		crew->broken = true;
	while (player && !crew->broken) {
		size_t index = crew->next++;

		if (index >= crew->options->file_count)
			break;
		if (replay_file(crew->options->files[index], crew->world, player,
				&crew->results[index]))
			crew->broken = true;
	}
	free(player);
	return NULL;
}

static bool play_all(struct crew *crew)
{
	pthread_t threads[CLI_JOBS_MAX];
	unsigned int jobs = crew->options->jobs;
	unsigned int started = 0;

	if (jobs > crew->options->file_count)
		jobs = (unsigned int)crew->options->file_count;
	/* This thread is one of them, so that one job needs no thread at all. */
	while (started + 1 < jobs && !pthread_create(&threads[started], NULL, work, crew))
		started++;
	work(crew);
	while (started)
		pthread_join(threads[--started], NULL);
	return !crew->broken;
}

static int report(FILE *to, const struct options *options, const struct replay_result *results)
{
	size_t passed = 0;

	for (size_t i = 0; i < options->file_count; i++)
		passed += results[i].passed;
	report_results(to, options->format, options->verbose, results, options->file_count);
	return passed == options->file_count ? CLI_PASS : CLI_FAIL;
}

static int play_and_report(FILE *to, const struct options *options, const struct vfake_world *world)
{
	struct crew crew = { .options = options, .world = world };
	int ret = CLI_BROKEN;

	crew.results = calloc(options->file_count, sizeof(*crew.results));
	if (crew.results && play_all(&crew))
		ret = report(to, options, crew.results);
	else
		fputs("vfake replay: out of memory\n", stderr);
	for (size_t i = 0; crew.results && i < options->file_count; i++)
		free(crew.results[i].text);
	free(crew.results);
	return ret;
}

/* The output is opened first: nobody wants to learn of a wrong name after the work. */
static int run(const struct options *options, const struct vfake_world *world)
{
	FILE *to;
	int ret = cli_open_output("vfake replay", options->output, &to);

	if (ret)
		return ret;
	return cli_end_output("vfake replay", options->output, to,
			      play_and_report(to, options, world));
}

static int run_in_world(const struct options *options)
{
	struct vfake_world *world = NULL;
	int ret = CLI_PASS;

	if (options->world)
		ret = cli_read_world("vfake replay", options->world, &world);
	if (!ret)
		ret = run(options, world);
	free(world);
	return ret;
}

int cli_replay(int argc, char **argv)
{
	struct options options = { .format = REPORT_HUMAN };
	char name[] = "vfake replay";
	int ret;

	argv[0] = name;
	options.jobs = cli_processors();
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	if (options.file_count) {
		ret = run_in_world(&options);
	} else {
		cli_bad_input("vfake replay", "vfake replay: no file to play");
		ret = CLI_SKIPPED;
	}
	for (size_t i = 0; i < options.file_count; i++)
		free(options.files[i]);
	free(options.files);
	return ret;
}
