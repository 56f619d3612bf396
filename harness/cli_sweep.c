/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `vfake sweep`: makes everything fail that can, in the stories on the backends.
 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "sweep.h"

enum { LIMIT_S = 600, LIMIT_MAX_S = 86400 };

struct options {
	struct sweep_options sweep;
	struct cli_stories stories;
	enum report_format format;
	const char *output;
};

enum {
	KEY_PAIRS = 256,
	KEY_ONLY,
	KEY_COUNT,
	KEY_FIRST,
	KEY_SHARD,
	KEY_SEED,
	KEY_TIMEOUT,
	KEY_FORMAT,
	KEY_OUTPUT,
	KEY_OUTPUT_DIR,
};

static const struct argp_option option_list[] = {
	{ "pairs", KEY_PAIRS, NULL, 0, "Also two faults in one call, the second after the first",
	  0 },
	{ "only", KEY_ONLY, "STEP:POINT#NTH:ERRNO:once|sticky", 0,
	  "Only this fault, in the process of the story itself; a pair has a + in between", 0 },
	{ "count", KEY_COUNT, NULL, 0, "Count the faults that there are once each, and try none",
	  0 },
	{ "first", KEY_FIRST, NULL, 0, "End a story on a backend at its first violation", 0 },
	{ "jobs", 'j', "N", 0, "Sweep N at a time (default: one per processor)", 0 },
	{ "shard", KEY_SHARD, "I/N", 0, "Only the Ith of N parts", 0 },
	{ "seed", KEY_SEED, "N", 0, "Where a story draws numbers (default: 0)", 0 },
	{ "timeout", KEY_TIMEOUT, "SECONDS", 0, "For each story on a backend (default: 600)", 0 },
	{ "format", KEY_FORMAT, "NAME", 0, "human (default), ktap, junit or json", 0 },
	{ "output", KEY_OUTPUT, "FILE", 0, "Write the report to FILE instead of standard output",
	  0 },
	{ "output-dir", KEY_OUTPUT_DIR, "DIR", 0,
	  "Write a trace of what led to each violation, and the world to play it in, to DIR", 0 },
	{ "verbose", 'v', NULL, 0, "Tell of each story on each backend", 0 },
	{ 0 },
};

static error_t add_pattern(struct run_options *run, const char *pattern)
{
	const char **more =
		realloc((void *)(uintptr_t)run->filters, (run->filter_count + 1) * sizeof(*more));

	if (!more)
		return ENOMEM;
	more[run->filter_count++] = pattern;
	run->filters = more;
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;
	struct run_options *run = &options->sweep.run;

	switch (key) {
	case KEY_PAIRS:
		options->sweep.pairs = true;
		return 0;
	case KEY_COUNT:
		options->sweep.count_only = true;
		return 0;
	case KEY_FIRST:
		options->sweep.first_only = true;
		return 0;
	case KEY_ONLY:
		options->sweep.only = arg;
		if (!sweep_only_is_sound(arg))
			argp_error(state, "--only takes STEP:POINT#NTH:ERRNO:once, not `%s'", arg);
		return 0;
	case 'j':
		run->jobs = (unsigned int)cli_number(state, "--jobs", arg, 1, CLI_JOBS_MAX);
		return 0;
	case KEY_SHARD:
		cli_shard(state, arg, &run->shard, &run->shard_count);
		return 0;
	case KEY_SEED:
		run->seed = cli_number(state, "--seed", arg, 0, UINT64_MAX);
		return 0;
	case KEY_TIMEOUT:
		run->limit_s = (unsigned int)cli_number(state, "--timeout", arg, 1, LIMIT_MAX_S);
		return 0;
	case KEY_FORMAT:
		if (report_format_by_name(arg, &options->format))
			argp_error(state, "--format is human, ktap, junit or json, not `%s'", arg);
		return 0;
	case KEY_OUTPUT:
		options->output = arg;
		return 0;
	case KEY_OUTPUT_DIR:
		options->sweep.traces = arg;
		return 0;
	case 'v':
		options->sweep.verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		if (cli_is_story_file(arg))
			return cli_add_story_file(&options->stories, arg);
		return add_pattern(run, arg);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_list,
	.parser = parse_option,
	.args_doc = "[SCENARIO|FILE.c...]",
	.doc = "Makes everything fail that can. Each call of the stack that a story makes is "
	       "carried out once for each fault point that it passes and each error that may come "
	       "there, and must then either fail with a reason and leave all as it was, or do "
	       "what it does without the fault, or tell the VMM. Where a story can go on after a "
	       "death, its processes die before and after each call: ERRNO is `kill' then. "
	       "SCENARIO is a story or STORY/BACKEND, also with *, ? and !(PATTERN); without one "
	       "all are swept. With FILE.c it is the stories in that C file, as `vfake run' "
	       "plays them.\v"
	       "A violation is told with the step of the story, the fault, what was wrong and the "
	       "command that repeats it. Then comes the table of stories and backends with the "
	       "number of faults tried. The last line is `N cells failed; P points, F faults, V "
	       "violations'.\n\n"
	       "Exit status: 0 no violation, 1 some, 2 wrong use or a FILE.c that cannot be "
	       "compiled, 4 nothing to sweep or nothing to compile it with, 125 vfake itself "
	       "broke.",
};

static int result_of(const struct sweep_result *result)
{
	bool swept = false;

	for (size_t i = 0; i < result->count; i++) {
		if (result->cells[i].result == RUN_FAILED)
			return CLI_FAIL;
		swept |= result->cells[i].result == RUN_PASSED;
	}
	return swept ? CLI_PASS : CLI_SKIPPED;
}

static int sweep(FILE *to, const struct options *options)
{
	struct sweep_result result;
	int ret = sweep_run(&options->sweep, &result);
	int code = CLI_BROKEN;

	if (ret) {
		fprintf(stderr, "vfake sweep: %s\n", strerror(-ret));
	} else {
		code = result_of(&result);
		sweep_report(to, options->format, options->sweep.verbose, &result);
	}
	sweep_free(&result);
	return code;
}

static int run(const struct options *options)
{
	const char *traces = options->sweep.traces;
	char message[512];
	FILE *to;
	int ret;

	if (traces && mkdir(traces, 0777) && errno != EEXIST) {
		snprintf(message, sizeof(message), "vfake sweep: %s: %s", traces, strerror(errno));
		return cli_bad_input("vfake sweep", message);
	}
	ret = cli_open_output("vfake sweep", options->output, &to);
	if (ret)
		return ret;
	return cli_end_output("vfake sweep", options->output, to, sweep(to, options));
}

int cli_sweep(int argc, char **argv)
{
	struct options options = {
		.format = REPORT_HUMAN,
		.sweep = { .run = { .shard = 1,
				    .shard_count = 1,
				    .limit_s = LIMIT_S,
				    .jobs = cli_processors(),
				    .program = program_invocation_name },
			   .progress = isatty(2) },
	};
	char name[] = "vfake sweep";
	int ret;

	argv[0] = name;
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	ret = cli_load_stories(name, &options.stories, &options.sweep.run);
	if (!ret)
		ret = run(&options);
	cli_free_stories(&options.stories);
	free((void *)(uintptr_t)options.sweep.run.filters);
	return ret;
}
