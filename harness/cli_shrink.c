/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `vfake shrink`: makes a failing trace minimal.
 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "plan.h"
#include "shrink.h"
#include "world_read.h"

enum { TIMEOUT_S = 10, TIMEOUT_MAX_S = 86400, KEY_WORLD = 256, KEY_COMMAND, KEY_TIMEOUT };

struct options {
	const char *file;
	const char *output;
	const char *world;
	const char *command;
	unsigned int timeout_s;
};

static const struct argp_option option_list[] = {
	{ "output", 'o', "FILE", 0,
	  "Write the small trace to FILE (default: NAME.min.trace beside NAME.trace)", 0 },
	{ "world", KEY_WORLD, "FILE", 0,
	  "Play in the world of FILE instead of the recordings' machine", 0 },
	{ "command", KEY_COMMAND, "COMMAND", 0,
	  "The trace fails when this shell command does: {} is the file, or it comes last", 0 },
	{ "timeout", KEY_TIMEOUT, "SECONDS", 0, "After which a try hangs (default: 10)", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'o':
		options->output = arg;
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
		if (options->file)
			argp_error(state, "one trace at a time");
		options->file = arg;
		return 0;
	case ARGP_KEY_END:
		if (!options->file)
			argp_error(state, "no trace given");
		if (options->world && options->command)
			argp_error(state, "--world does not go with --command, which plays itself");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_list,
	.parser = parse_option,
	.args_doc = "FILE",
	.doc = "Makes a trace that `vfake replay' fails on as small as it gets while it fails in "
	       "the "
	       "same way: the same call and field, the same errors expected and got, a crash by "
	       "the "
	       "same signal.\v"
	       "Lines go first, a definition together with its users, then fields, offsets and "
	       "parts of numbers. In the end no line can go any more. Each try runs in a process "
	       "of its own.\n\n"
	       "Exit status: 0 it is minimal now or was so before, 1 the file does not fail, 2 "
	       "wrong use, 125 vfake itself broke.",
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
	if (shrink->steps)
		printf("%s: %u lines became %u in %u tries: %s\n", options->file, lines,
		       shrink->lines, shrink->oracle.tries, output);
	else
		printf("%s: %u lines, minimal already (%u tries): %s\n", options->file, lines,
		       shrink->oracle.tries, output);
	printf("it fails with: %s\n", shrink->kind);
	return cli_end_output("vfake shrink", NULL, stdout, CLI_PASS);
}

static int shrink_trace(const struct options *options, struct shrink *shrink, const char *output)
{
	int ret = shrink_begin(shrink);
	uint32_t lines = shrink->lines;

	if (ret == -ENOENT)
		return cli_bad_input("vfake shrink",
				     "vfake shrink: the shell does not find the command");
	if (ret == -ENOMSG) {
		fprintf(stderr, "%s: it does not fail\n", options->file);
		return CLI_FAIL;
	}
	if (ret)
		return broken(ret);
	ret = shrink_run(shrink);
	end_progress();
	if (ret)
		return broken(ret);
	ret = write_output(shrink, output);
	return ret ? ret : report(options, shrink, lines, output);
}

/* "bug.trace" becomes "bug.min.trace". */
static int output_name(const struct options *options, char **name)
{
	size_t len = strlen(options->file);

	if (options->output)
		return asprintf(name, "%s", options->output);
	if (len > 6 && !strcmp(options->file + len - 6, ".trace"))
		len -= 6;
	return asprintf(name, "%.*s.min.trace", (int)len, options->file);
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
	snprintf(path, sizeof(path), "%s/try.trace", directory);
	shrink->oracle.path = path;
	ret = output_name(options, &output) < 0 ? broken(-ENOMEM)
						: shrink_trace(options, shrink, output);
	shrink_end(shrink);
	free(output);
	unlink(path);
	rmdir(directory);
	return ret;
}

/* What is wrong with the text itself is no failure to keep, and is told as replay tells it. */
static int check_trace(const struct options *options, struct shrink *shrink)
{
	struct trace_error error;
	struct plan *plan;
	int ret = cli_read_trace("vfake shrink", options->file, &shrink->trace);

	if (ret || options->command)
		return ret;
	ret = plan_make(shrink->trace, &plan, &error);
	if (ret) {
		fprintf(stderr, "%s\n", error.message);
		return ret == -ENOMEM ? CLI_BROKEN : CLI_FAIL;
	}
	plan_free(plan);
	return CLI_PASS;
}

static int shrink_in_world(const struct options *options, struct shrink *shrink)
{
	struct vfake_world *world = NULL;
	int ret = CLI_PASS;

	if (options->world)
		ret = cli_read_world("vfake shrink", options->world, &world);
	shrink->oracle.world = world;
	if (!ret)
		ret = shrink_in_scratch(options, shrink);
	free(world);
	return ret;
}

int cli_shrink(int argc, char **argv)
{
	struct options options = { .timeout_s = TIMEOUT_S };
	struct shrink shrink = { .progress = show_progress };
	char name[] = "vfake shrink";
	int ret;

	argv[0] = name;
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	shrink.oracle.command = options.command;
	shrink.oracle.timeout_s = options.timeout_s;
	ret = check_trace(&options, &shrink);
	if (ret == CLI_PASS)
		ret = shrink_in_world(&options, &shrink);
	trace_free(shrink.trace);
	return ret;
}
