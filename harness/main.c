/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfake: finds the sub-command.
 */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "witness.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
};

static const struct command commands[] = {
	{ "run", cli_run, "play the stories of the VFIO stack on every backend" },
	{ "sweep", cli_sweep, "make everything fail that can, in each story, and judge" },
	{ "replay", cli_replay,
	  "play recordings against the fake kernel and compare every result" },
	{ "record", cli_record, "run a script on the real kernel and write down what it does" },
	{ "shrink", cli_shrink, "make a failing trace small while it goes on failing" },
	{ "peer", cli_peer, "serve a device to vfio-user clients" },
	{ "list", cli_list, "show what the fake kernel knows" },
};

static void help(FILE *to)
{
	fputs("Usage: vfake COMMAND [OPTION...]\n"
	      "A fake Linux kernel for DMA: VFIO, iommufd and the KVM VFIO device in user "
	      "space.\n\n",
	      to);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].what);
	fputs("\n`vfake COMMAND --help' tells a command's options.\n"
	      "Exit status: 0 pass, 1 fail, 2 wrong use, 4 everything skipped, 125 vfake itself "
	      "broke.\n",
	      to);
}

int main(int argc, char **argv)
{
	argp_err_exit_status = CLI_USAGE;
	witness_begin();
	if (argc < 2) {
		fputs("vfake: no command given; try `vfake --help'\n", stderr);
		return CLI_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return cli_end_output("vfake", NULL, stdout, CLI_PASS);
	}
	if (!strcmp(argv[1], "--version")) {
		puts("vfake " VFAKE_VERSION);
		return cli_end_output("vfake", NULL, stdout, CLI_PASS);
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "vfake: unknown command `%s'; try `vfake --help'\n", argv[1]);
	return CLI_USAGE;
}
