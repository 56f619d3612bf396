/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line `vfake`: one function per sub-command, each with argp's --help. They return the
 * exit code.
 */
#ifndef HARNESS_CLI_H
#define HARNESS_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct run_options;
struct story;
struct story_file;
struct trace;
struct vfake_world;

enum cli_exit {
	CLI_PASS = 0,
	CLI_FAIL = 1,
	CLI_USAGE = 2,
	CLI_SKIPPED = 4,  /* everything was skipped: what the command needs is not there */
	CLI_BROKEN = 125, /* vfake itself failed */
};

/* Says what is wrong with an input and how to get help. Returns CLI_USAGE. */
int cli_bad_input(const char *command, const char *message);

/*
 * Opens the file of --output; no @path is standard output. Returns CLI_PASS, or the exit code after
 * a message.
 */
int cli_open_output(const char *command, const char *path, FILE **to);
/*
 * Writes out what cli_open_output() opened, and closes it. Returns @ret, or CLI_BROKEN after a
 * message: some of it was not written.
 */
int cli_end_output(const char *command, const char *path, FILE *to, int ret);

/*
 * Reads a trace, or a world, which the caller frees: with trace_free(), with free(). Returns
 * CLI_PASS, or the exit code after a message. No file at all is wrong use; so is a world with a
 * mistake in it, but a trace with one is what the command judges, and fails.
 */
int cli_read_trace(const char *command, const char *path, struct trace **trace);
int cli_read_world(const char *command, const char *path, struct vfake_world **world);

/* Writes a file's name, with a blank in front, as a shell reads it. */
void cli_put_word(FILE *to, const char *word);

/* The stories of files that the command line names. */
struct cli_stories {
	const char **paths;
	size_t path_count;
	struct story_file *files;
	const struct story **list; /* all of them */
	size_t count;
	char *words; /* the files, for a command line */
};

/* Whether a word of the command line is a file of stories, by its end; then it can be added. */
bool cli_is_story_file(const char *word);
error_t cli_add_story_file(struct cli_stories *given, const char *path);
/*
 * Loads the files, if there are any, and gives @run their stories. Returns CLI_PASS, or the exit
 * code after a message. The caller frees @given in any case.
 */
int cli_load_stories(const char *command, struct cli_stories *given, struct run_options *run);
/* Says why story_file_load() failed with @ret and @error. Returns the exit code. */
int cli_refuse_story_file(const char *command, const char *path, int ret, const char *error);
void cli_free_stories(struct cli_stories *given);

/* A whole number from @least to @most; what else is given is an error that names @option. */
uint64_t cli_number(struct argp_state *state, const char *option, const char *text, uint64_t least,
		    uint64_t most);
/* "I/N": only the Ith of N parts. */
void cli_shard(struct argp_state *state, const char *text, unsigned int *shard,
	       unsigned int *count);
enum { CLI_JOBS_MAX = 256 };
/* How many things can be done at a time here, at most CLI_JOBS_MAX. */
unsigned int cli_processors(void);

int cli_run(int argc, char **argv);
int cli_sweep(int argc, char **argv);
int cli_replay(int argc, char **argv);
int cli_record(int argc, char **argv);
int cli_shrink(int argc, char **argv);
int cli_list(int argc, char **argv);
int cli_peer(int argc, char **argv);

#endif
