/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `vfake list`: the table of ioctls and what of it the fake kernel answers.
 */
#include <argp.h>
#include <stdio.h>

#include <uapi/table.h>
#include <vfake/kernel.h>

#include "cli.h"

enum { KEY_IOCTLS = 256, KEY_MISSING };

struct options {
	bool ioctls;
	bool missing;
};

static const struct argp_option option_list[] = {
	{ "ioctls", KEY_IOCTLS, NULL, 0,
	  "Every ioctl of the table, and whether the fake kernel has it", 0 },
	{ "missing", KEY_MISSING, NULL, 0, "Only those that it does not have", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case KEY_IOCTLS:
		options->ioctls = true;
		return 0;
	case KEY_MISSING:
		options->missing = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is `%s'?", arg);
		return 0;
	case ARGP_KEY_END:
		if (!options->ioctls && !options->missing)
			argp_error(state, "say what to list: --ioctls");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_list,
	.parser = parse_option,
	.doc = "Shows what the fake kernel knows.",
};

static const char *law_text(const struct uapi_ioctl *row)
{
	switch (row->law) {
	case UAPI_LAW_NONE:
		return "no argument";
	case UAPI_LAW_SCALAR:
		return "a number";
	case UAPI_LAW_FD_PTR:
		return "a descriptor, by pointer";
	case UAPI_LAW_U32_PTR:
		return "a number, by pointer";
	case UAPI_LAW_STRING:
		return "a name";
	default:
		return row->arg->name;
	}
}

static void list_ioctls(bool missing_only)
{
	size_t count, missing = 0;
	const struct uapi_ioctl *rows = uapi_rows(&count);

	for (size_t i = 0; i < count; i++) {
		bool there = vfake_implements(rows[i].where, rows[i].number);

		missing += !there;
		if (!there || !missing_only)
			printf("%-36s %-10s 0x%08x  %-7s  %s\n", rows[i].name,
			       uapi_where_name((enum uapi_where)rows[i].where), rows[i].number,
			       there ? "yes" : "missing", law_text(&rows[i]));
	}
	printf("%zu ioctls, %zu missing\n", count, missing);
}

int cli_list(int argc, char **argv)
{
	struct options options = { 0 };
	char name[] = "vfake list";

	argv[0] = name;
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	list_ioctls(options.missing);
	return cli_end_output("vfake list", CLI_PASS);
}
