/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the sub-commands say alike.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

int cli_bad_input(const char *command, const char *message)
{
	fprintf(stderr, "%s\nTry `%s --help' for more information.\n", message, command);
	return CLI_USAGE;
}

int cli_end_output(const char *command, int ret)
{
	if (!fflush(stdout) && !ferror(stdout))
		return ret;
	fprintf(stderr, "%s: the output could not be written: %s\n", command, strerror(errno));
	return CLI_BROKEN;
}
