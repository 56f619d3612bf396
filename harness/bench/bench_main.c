/* SPDX-License-Identifier: BSD-2-Clause */
/* vfake-bench: runs the benchmark sections and says whether their goals are met. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const struct bench_section *const sections[] = {
	&bench_iova,   &bench_call,  &bench_ioas,  &bench_tce,
	&bench_replay, &bench_world, &bench_sweep, &bench_user,
};

enum {
	SECTIONS = sizeof(sections) / sizeof(sections[0]),
	EXIT_USAGE = 2,
};

struct options {
	const char *only;
	bool json;
	bool quick;
	unsigned int rounds;
};

static void print_help(FILE *to)
{
	fprintf(to,
		"usage: vfake-bench [--only SECTION] [--quick] [--rounds N] [--format text|json]\n"
		"\n"
		"  --only SECTION   run this section alone\n"
		"  --quick          small sizes, about two seconds; a missed goal is no failure\n"
		"  --rounds N       odd, 1 to 99; the medians are over N rounds (default 5)\n"
		"  --format FORMAT  text (default) or json\n"
		"\n"
		"Sections:\n");
	for (size_t i = 0; i < SECTIONS; i++)
		fprintf(to, "  %-16s %s\n", sections[i]->name, sections[i]->about);
	fprintf(to, "\nExit status: 0 all goals met, 1 a goal missed, 2 usage, 125 a measurement "
		    "broke.\n");
}

static bool parse_rounds(const char *text, unsigned int *rounds)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || end == text || *end || n % 2 == 0 || n > BENCH_ROUNDS_MAX)
		return false;
	*rounds = (unsigned int)n;
	return true;
}

static bool known_section(const char *name)
{
	for (size_t i = 0; i < SECTIONS; i++)
		if (!strcmp(sections[i]->name, name))
			return true;
	return false;
}

/* Takes one option that has a value. */
static bool parse_pair(const char *name, const char *value, struct options *options)
{
	if (!strcmp(name, "--only")) {
		options->only = value;
		return known_section(value);
	}
	if (!strcmp(name, "--format")) {
		options->json = !strcmp(value, "json");
		return options->json || !strcmp(value, "text");
	}
	return !strcmp(name, "--rounds") && parse_rounds(value, &options->rounds);
}

static bool parse(int argc, char **argv, struct options *options)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--quick")) {
			options->quick = true;
			continue;
		}
		if (i + 1 == argc || !parse_pair(argv[i], argv[i + 1], options)) {
			fprintf(stderr, "vfake-bench: cannot make sense of '%s'\n", argv[i]);
			return false;
		}
		i++;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct options options = { .rounds = 5 };
	struct bench bench = { 0 };
	bool met = true;
	bool first = true;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		print_help(stdout);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], BENCH_EXEC_OPTION))
		return bench_world_exec(argv[2]);
	if (!parse(argc, argv, &options)) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	bench.quick = options.quick;
	bench.rounds = options.quick ? 3 : options.rounds;
	if (options.json)
		printf("[");
	for (size_t i = 0; i < SECTIONS; i++) {
		if (options.only && strcmp(sections[i]->name, options.only) != 0)
			continue;
		sections[i]->run(&bench);
		if (!first)
			printf(options.json ? ",\n" : "\n");
		first = false;
		met = (options.json ? bench_print_json(&bench, sections[i])
				    : bench_print_text(&bench, sections[i])) &&
		      met;
		bench_reset(&bench);
	}
	if (options.json)
		printf("]\n");
	return met || options.quick ? 0 : 1;
}
