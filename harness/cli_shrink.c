/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `vfake shrink`: makes a failing trace, or a failing story in a C file, minimal.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "plan.h"
#include "run.h"
#include "shrink.h"
#include "source.h"
#include "story_file.h"
#include "world_read.h"

enum { TIMEOUT_S = 10, SWEEP_TIMEOUT_S = 120, TIMEOUT_MAX_S = 86400 };
enum { KEY_WORLD = 256, KEY_COMMAND, KEY_SWEEP, KEY_TIMEOUT };

struct options {
	const char *file;
	const char *chosen; /* STORY or STORY/BACKEND */
	const char *output;
	const char *world;
	const char *command;
	bool sweep;
	unsigned int timeout_s; /* 0: not given */
};

static const struct argp_option option_list[] = {
	{ "output", 'o', "FILE", 0,
	  "Write what is left to FILE (default: NAME.min.trace beside NAME.trace, NAME.min.c "
	  "beside NAME.c)",
	  0 },
	{ "sweep", KEY_SWEEP, NULL, 0,
	  "The story fails when `vfake sweep' finds a violation of it, too", 0 },
	{ "world", KEY_WORLD, "FILE", 0,
	  "Play a trace in the world of FILE instead of the recordings' machine", 0 },
	{ "command", KEY_COMMAND, "COMMAND", 0,
	  "It fails when this shell command does: {} is the file, or it comes last", 0 },
	{ "timeout", KEY_TIMEOUT, "SECONDS", 0,
	  "After which a try hangs (default: 10; with --sweep 120)", 0 },
	{ 0 },
};

static bool is_source(const struct options *options)
{
	return cli_is_story_file(options->file);
}

static void check_options(struct argp_state *state, const struct options *options)
{
	if (!options->file)
		argp_error(state, "no trace given, nor a C file");
	if (options->world && options->command)
		argp_error(state, "--world does not go with --command, which plays itself");
	if (options->sweep && options->command)
		argp_error(state, "--sweep does not go with --command, which plays itself");
	if (options->chosen && !is_source(options))
		argp_error(state, "one trace at a time");
	if (options->chosen && options->command)
		argp_error(state, "`%s' does not go with --command, which plays itself",
			   options->chosen);
	if (options->chosen && strlen(options->chosen) >= SHRINK_CELL_BYTES)
		argp_error(state, "no story has a name as long as `%s'", options->chosen);
	if (options->sweep && !is_source(options))
		argp_error(state, "--sweep is for stories in a C file");
	if (options->world && is_source(options))
		argp_error(state, "--world is for traces");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'o':
		options->output = arg;
		return 0;
	case KEY_SWEEP:
		options->sweep = true;
		return 0;
	case KEY_WORLD:
		options->world = arg;
		return 0;
	case KEY_COMMAND:
		options->command = arg;
		return 0;
	case KEY_TIMEOUT:
		options->timeout_s =
			(unsigned int)cli_number(state, "--timeout", arg, 1, TIMEOUT_MAX_S);
		return 0;
	case ARGP_KEY_ARG:
		if (options->chosen)
			argp_error(state, "one file at a time");
		if (options->file)
			options->chosen = arg;
		else
			options->file = arg;
		return 0;
	case ARGP_KEY_END:
		check_options(state, options);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_list,
	.parser = parse_option,
	.args_doc = "FILE.trace\nFILE.c [STORY[/BACKEND]]",
	.doc = "Makes a trace that `vfake replay' fails on, or a C file with a story that `vfake "
	       "run FILE.c' fails on, as small as it gets while it fails in the same way: the same "
	       "call and field, the same errors expected and got, the same assertion of the same "
	       "story on the same backend, a crash by the same signal.\v"
	       "Of a trace lines go first, a definition together with its users, then fields, "
	       "offsets and parts of numbers. Of a C file all goes that the story does not need; "
	       "then definitions, statements and items of lists, then loops and conditions around "
	       "statements. In the end no line of a trace, and no statement, can go any more. Each "
	       "try runs in a process of its own. Interrupted, it writes what it has.\n\n"
	       "Exit status: 0 it is minimal now or was so before, 1 the file does not fail or it "
	       "was interrupted, 2 "
	       "wrong use or a FILE.c that cannot be compiled, 4 stories cannot be compiled here, "
	       "125 vfake itself broke.",
};

/* ---- progress ---- */

static void show_progress(const struct shrink *shrink)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%u lines, %u tries \033[K", shrink->lines, shrink->oracle.tries);
}

static void end_progress(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* ---- interrupts ---- */

static volatile sig_atomic_t stopped; /* of the process: a signal handler has no argument of ours */

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* The first interrupt ends the search, and what is small by then is written; the next one kills. */
static void watch_interrupts(void)
{
	const struct sigaction action = { .sa_handler = stop,
					  .sa_flags = SA_RESTART | (int)SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* ---- the work ---- */

static int broken(int error)
{
	fprintf(stderr, "vfake shrink: %s\n", strerror(-error));
	return CLI_BROKEN;
}

static int write_output(const struct shrink *shrink, const char *path)
{
	FILE *to;
	int ret = cli_open_output("vfake shrink", path, &to);

	if (ret)
		return ret;
	ret = shrink_write(shrink, to);
	return cli_end_output("vfake shrink", path, to, ret ? broken(ret) : CLI_PASS);
}

static int report(const struct options *options, const struct shrink *shrink, uint32_t lines,
		  const char *output)
{
	if (stopped)
		printf("%s: %u lines became %u in %u tries, and it was stopped then: %s\n",
		       options->file, lines, shrink->lines, shrink->oracle.tries, output);
	else if (shrink->steps)
		printf("%s: %u lines became %u in %u tries: %s\n", options->file, lines,
		       shrink->lines, shrink->oracle.tries, output);
	else
		printf("%s: %u lines, minimal already (%u tries): %s\n", options->file, lines,
		       shrink->oracle.tries, output);
	printf("it fails with: %s\n", shrink->kind);
	return cli_end_output("vfake shrink", NULL, stdout, stopped ? CLI_FAIL : CLI_PASS);
}

static int shrink_file(const struct options *options, struct shrink *shrink, const char *output)
{
	int ret = shrink_begin(shrink);
	uint32_t lines = shrink->lines;

	if (ret == -ENOENT)
		return cli_bad_input("vfake shrink",
				     "vfake shrink: the shell does not find the command");
	if (ret == -ENOMSG) {
		fprintf(stderr, "%s: it does not fail%s\n", options->file,
			shrink->oracle.flags && !options->sweep ? " without --sweep" : "");
		return CLI_FAIL;
	}
	if (ret)
		return broken(ret);
	watch_interrupts();
	ret = shrink_run(shrink);
	end_progress();
	if (ret && ret != -EINTR)
		return broken(ret);
	ret = write_output(shrink, output);
	return ret ? ret : report(options, shrink, lines, output);
}

/* "bug.trace" becomes "bug.min.trace", "bug.c" "bug.min.c". */
static int output_name(const struct options *options, char **name)
{
	const char *suffix = is_source(options) ? ".c" : ".trace";
	size_t len = strlen(options->file), more = strlen(suffix);

	if (options->output)
		return asprintf(name, "%s", options->output);
	if (len > more && !strcmp(options->file + len - more, suffix))
		len -= more;
	return asprintf(name, "%.*s.min%s", (int)len, options->file, suffix);
}

/* A directory of its own for the file that is tried. */
static int shrink_in_scratch(const struct options *options, struct shrink *shrink)
{
	const char *tmp = getenv("TMPDIR");
	char directory[4096], path[sizeof(directory) + 32];
	char *output = NULL;
	int ret;

	/* A shell reads the name between quotes. */
	if (!tmp || !*tmp || strlen(tmp) > 4000 || strchr(tmp, '\''))
		tmp = "/tmp";
	snprintf(directory, sizeof(directory), "%s/vfake-shrink-XXXXXX", tmp);
	if (!mkdtemp(directory)) {
		fprintf(stderr, "vfake shrink: %s: %s\n", directory, strerror(errno));
		return CLI_BROKEN;
	}
	snprintf(path, sizeof(path), "%s/try%s", directory, is_source(options) ? ".c" : ".trace");
	shrink->oracle.path = path;
	ret = output_name(options, &output) < 0 ? broken(-ENOMEM)
						: shrink_file(options, shrink, output);
	shrink_end(shrink);
	free(output);
	unlink(path);
	rmdir(directory);
	return ret;
}

/* ---- reading ---- */

/* What is wrong with the text itself is no failure to keep, and is told as replay tells it. */
static int read_trace(const struct options *options, struct shrink *shrink)
{
	struct trace_error error;
	struct plan *plan;
	int ret = cli_read_trace("vfake shrink", options->file, &shrink->trace);

	if (ret)
		return ret;
	shrink->form = &shrink_trace_form;
	shrink->count = shrink->trace->item_count;
	if (options->command)
		return ret;
	ret = plan_make(shrink->trace, &plan, &error);
	if (ret) {
		fprintf(stderr, "%s\n", error.message);
		return ret == -ENOMEM ? CLI_BROKEN : CLI_FAIL;
	}
	plan_free(plan);
	return CLI_PASS;
}

static int check_choice(const struct options *options, const struct story_file *file)
{
	const struct run_options run = { .stories = file->stories,
					 .story_count = file->count,
					 .filters = &options->chosen,
					 .filter_count = 1,
					 .shard = 1,
					 .shard_count = 1 };
	size_t count, played = 0;
	struct run_cell *cells = run_select(&run, &count);
	char message[512];

	if (!cells)
		return broken(-ENOMEM);
	for (size_t i = 0; i < count; i++)
		played += cells[i].result == RUN_PASSED;
	run_free(cells, count);
	if (played)
		return CLI_PASS;
	snprintf(message, sizeof(message), "vfake shrink: %s: nothing to play matches `%s'",
		 options->file, options->chosen);
	return cli_bad_input("vfake shrink", message);
}

/*
 * Compiled once where it is, so that the compiler's words name the file. What the tries leave out
 * must not be made up for by chance: what a variable holds that nothing was assigned to is always
 * the same, and warnings of it are errors, as those of a function that is not there.
 */
static int check_source(const struct options *options, const char *const *flags)
{
	struct story_file file;
	int ret = story_file_load(options->file, flags, &file);

	if (ret)
		ret = cli_refuse_story_file("vfake shrink", options->file, ret, file.error);
	else if (options->chosen)
		ret = check_choice(options, &file);
	story_file_close(&file);
	return ret;
}

static int read_source(const struct options *options, struct shrink *shrink)
{
	char message[512];
	int ret = source_read(options->file, &shrink->source);

	if (ret == -ENOMEM)
		return broken(ret);
	if (ret) {
		snprintf(message, sizeof(message), "vfake shrink: %s: %s", options->file,
			 strerror(-ret));
		return cli_bad_input("vfake shrink", message);
	}
	shrink->form = &shrink_source_form;
	shrink->count = shrink->source->piece_count;
	return CLI_PASS;
}

/* ---- one of the two ---- */

static int shrink_trace(const struct options *options, struct shrink *shrink)
{
	struct vfake_world *world = NULL;
	int ret = read_trace(options, shrink);

	if (!ret && options->world)
		ret = cli_read_world("vfake shrink", options->world, &world);
	shrink->oracle.world = world;
	if (!ret)
		ret = shrink_in_scratch(options, shrink);
	free(world);
	trace_free(shrink->trace);
	return ret;
}

static int shrink_source(const struct options *options, struct shrink *shrink)
{
	const char *slash = strrchr(options->file, '/');
	char directory[4096] = ".";
	const char *const flags[] = { "-iquote",
				      directory,
				      "-O1",
				      "-ftrivial-auto-var-init=pattern",
				      "-Wno-unused",
				      "-Wno-unused-parameter",
				      "-Werror=implicit-function-declaration",
				      "-Werror=return-type",
				      "-Werror=uninitialized",
				      "-Werror=incompatible-pointer-types",
				      "-Werror=int-conversion",
				      NULL };
	int ret = read_source(options, shrink);

	if (slash)
		snprintf(directory, sizeof(directory), "%.*s", (int)(slash - options->file) + 1,
			 options->file);
	if (!ret && !options->command) {
		ret = check_source(options, flags);
		shrink->oracle.flags = flags;
	}
	if (options->chosen)
		strcpy(shrink->oracle.cell, options->chosen);
	if (!ret)
		ret = shrink_in_scratch(options, shrink);
	source_free(shrink->source);
	return ret;
}

int cli_shrink(int argc, char **argv)
{
	struct options options = { .file = NULL };
	struct shrink shrink = { .progress = show_progress, .stop = &stopped };
	char name[] = "vfake shrink";

	argv[0] = name;
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	shrink.oracle.command = options.command;
	shrink.oracle.sweep = options.sweep;
	shrink.oracle.timeout_s = options.timeout_s ? options.timeout_s
				  : options.sweep   ? SWEEP_TIMEOUT_S
						    : TIMEOUT_S;
	return is_source(&options) ? shrink_source(&options, &shrink)
				   : shrink_trace(&options, &shrink);
}
