/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `vfake list`: the table of ioctls and what of it the fake kernel answers; the fault points.
 */
#include <argp.h>
#include <stdio.h>

#include <uapi/table.h>
#include <vfake/kernel.h>

#include "cli.h"
#include "fault.h"

enum { KEY_IOCTLS = 256, KEY_MISSING, KEY_FAULTS };

struct options {
	bool ioctls;
	bool missing;
	bool faults;
};

static const struct argp_option option_list[] = {
	{ "ioctls", KEY_IOCTLS, NULL, 0,
	  "Every ioctl of the table, and whether the fake kernel has it", 0 },
	{ "missing", KEY_MISSING, NULL, 0, "Only those that it does not have", 0 },
	{ "faults", KEY_FAULTS, NULL, 0,
	  "Every fault point that something can be made to fail at, and with which errnos", 0 },
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
	case KEY_FAULTS:
		options->faults = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is `%s'?", arg);
		return 0;
	case ARGP_KEY_END:
		if (!options->ioctls && !options->missing && !options->faults)
			argp_error(state, "say what to list: --ioctls or --faults");
		if (options->faults && (options->ioctls || options->missing))
			argp_error(state, "--faults is a list of its own");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_list,
	.parser = parse_option,
	.doc = "Shows what the fake kernel knows.\v"
	       "A fault point is a place in a call where `vfake sweep' makes it fail. Its name is "
	       "the "
	       "kind of file, the ioctl without its first prefix and the stage: entry, copyin, "
	       "alloc, "
	       "commit, copyout.",
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

static void list_fault(void *ctx, const struct vfake_fault_point *point)
{
	size_t *count = ctx;

	(*count)++;
	printf("%-44s", point->name);
	for (const int16_t *error = point->errnos; *error; error++)
		printf(" %s", fault_code_name(*error));
	putchar('\n');
}

static void list_faults(void)
{
	size_t count = 0;

	fault_each(list_fault, &count);
	printf("%zu fault points\n", count);
}

int cli_list(int argc, char **argv)
{
	struct options options = { 0 };
	char name[] = "vfake list";

	argv[0] = name;
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	if (options.faults)
		list_faults();
	else
		list_ioctls(options.missing);
	return cli_end_output("vfake list", NULL, stdout, CLI_PASS);
}
