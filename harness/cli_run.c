/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `vfake run`: plays the stories on the backends.
 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "run.h"

enum { LIMIT_S = 120, LIMIT_MAX_S = 86400 };

struct options {
	struct run_options run;
	struct cli_stories stories;
	const char *filter;
	enum report_format format;
	const char *output;
	bool list;
	bool verbose;
};

enum { KEY_FILTER = 256, KEY_LIST, KEY_SHARD, KEY_FORMAT, KEY_OUTPUT, KEY_SEED, KEY_TIMEOUT };

static const struct argp_option option_list[] = {
	{ "filter", KEY_FILTER, "GLOB", 0,
	  "Only stories, or STORY/BACKEND, that match; !(GLOB) for those that do not", 0 },
	{ "list", KEY_LIST, NULL, 0, "Name the stories and the backends, and play nothing", 0 },
	{ "jobs", 'j', "N", 0, "Play N at a time (default: one per processor)", 0 },
	{ "shard", KEY_SHARD, "I/N", 0, "Only the Ith of N parts", 0 },
	{ "seed", KEY_SEED, "N", 0, "Where a story draws numbers (default: 0)", 0 },
	{ "timeout", KEY_TIMEOUT, "SECONDS", 0, "For each story on a backend (default: 120)", 0 },
	{ "format", KEY_FORMAT, "NAME", 0, "human (default), ktap, junit or json", 0 },
	{ "output", KEY_OUTPUT, "FILE", 0, "Write the report to FILE instead of standard output",
	  0 },
	{ "verbose", 'v', NULL, 0, "Name what passes, too", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case KEY_FILTER:
		options->filter = arg;
		options->run.filters = &options->filter;
		options->run.filter_count = 1;
		return 0;
	case KEY_LIST:
		options->list = true;
		return 0;
	case 'j':
		options->run.jobs = (unsigned int)cli_number(state, "--jobs", arg, 1, CLI_JOBS_MAX);
		return 0;
	case KEY_SHARD:
		cli_shard(state, arg, &options->run.shard, &options->run.shard_count);
		return 0;
	case KEY_SEED:
		options->run.seed = cli_number(state, "--seed", arg, 0, UINT64_MAX);
		return 0;
	case KEY_TIMEOUT:
		options->run.limit_s =
			(unsigned int)cli_number(state, "--timeout", arg, 1, LIMIT_MAX_S);
		return 0;
	case KEY_FORMAT:
		if (report_format_by_name(arg, &options->format))
			argp_error(state, "--format is human, ktap, junit or json, not `%s'", arg);
		return 0;
	case KEY_OUTPUT:
		options->output = arg;
		return 0;
	case 'v':
		options->verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		if (cli_is_story_file(arg))
			return cli_add_story_file(&options->stories, arg);
		argp_error(state, "what is `%s'? --filter chooses, and files of stories end in .c",
			   arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_list,
	.parser = parse_option,
	.args_doc = "[FILE.c...]",
	.doc = "Plays stories of the VFIO stack on the fake kernel, each on every backend that can "
	       "do it, in a process and a world of its own. With FILE.c, only the stories in that "
	       "C file: each `const struct story story_NAME' (harness/story.h) in it. It is "
	       "compiled for this run, and lies wherever you like.\v"
	       "A failure is told with what was asserted, and ends with the command that repeats "
	       "it. Then comes the table of stories and backends: pass, FAIL, or a dash with the "
	       "number of its reason below. The last line is `N passed, M failed', and `, K "
	       "skipped' for the dashes.\n\n"
	       "Exit status: 0 all passed, 1 some failed, 2 wrong use or a FILE.c that cannot be "
	       "compiled, 4 nothing to play or nothing to compile it with, 125 vfake itself broke.",
};

static void list_all(FILE *to, const struct run_options *run)
{
	size_t count = 0;
	struct run_cell *cells = run_select(run, &count);

	for (size_t i = 0; i < count; i += backend_count) {
		size_t chosen = 0;

		for (size_t j = 0; j < backend_count; j++)
			chosen += cells[i + j].result != RUN_UNSELECTED;
		if (chosen)
			fprintf(to, "%-26s %s\n", cells[i].story->name,
				cells[i].story->about ? cells[i].story->about : "");
	}
	fputc('\n', to);
	for (size_t i = 0; i < backend_count; i++)
		fprintf(to, "%-26s %s\n", backends[i].name, backends[i].about);
	run_free(cells, count);
}

static int result_of(const struct run_cell *cells, size_t count)
{
	bool played = false;

	for (size_t i = 0; i < count; i++) {
		if (cells[i].result == RUN_FAILED)
			return CLI_FAIL;
		played |= cells[i].result == RUN_PASSED;
	}
	return played ? CLI_PASS : CLI_SKIPPED;
}

static int play(FILE *to, const struct options *options)
{
	size_t count;
	struct run_cell *cells = run_select(&options->run, &count);
	int ret = cells ? run_play(&options->run, cells, count) : -ENOMEM;
	int result = CLI_BROKEN;

	if (ret) {
		fprintf(stderr, "vfake run: %s\n", strerror(-ret));
	} else {
		result = result_of(cells, count);
		run_report(to, options->format, options->verbose, cells, count);
	}
	run_free(cells, count);
	return result;
}

static int run(const struct options *options)
{
	FILE *to;
	int ret = cli_open_output("vfake run", options->output, &to);

	if (ret)
		return ret;
	if (options->list)
		list_all(to, &options->run);
	else
		ret = play(to, options);
	return cli_end_output("vfake run", options->output, to, ret);
}

int cli_run(int argc, char **argv)
{
	struct options options = {
		.format = REPORT_HUMAN,
		.run = { .shard = 1,
			 .shard_count = 1,
			 .limit_s = LIMIT_S,
			 .program = program_invocation_name,
			 .command = "run --filter" },
	};
	char name[] = "vfake run";
	int ret;

	argv[0] = name;
	options.run.jobs = cli_processors();
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	ret = cli_load_stories(name, &options.stories, &options.run);
	if (!ret)
		ret = run(&options);
	cli_free_stories(&options.stories);
	return ret;
}
