/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Playing cells: each in a child, so that a crash or a hang is the failure of that cell and of
 * nothing else. The child plays the story as a cmocka group of one test; what it prints is kept for
 * the case that it fails.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

/* A child that runs. */
struct player_slot {
	pid_t pid; /* 0 for none */
	struct run_cell *cell;
	FILE *output;
};

enum { SLOTS_MAX = 256, OUTPUT_MAX = 65536, WAIT_US = 20000 };

/* ---- cells ---- */

static bool matches(const struct run_options *options, const struct run_cell *cell)
{
	char name[128];

	snprintf(name, sizeof(name), "%s/%s", cell->story->name, cell->backend->name);
	for (size_t i = 0; i < options->filter_count; i++) {
		if (!fnmatch(options->filters[i], cell->story->name, FNM_EXTMATCH) ||
		    !fnmatch(options->filters[i], name, FNM_EXTMATCH))
			return true;
	}
	return !options->filter_count;
}

struct run_cell *run_select(const struct run_options *options, size_t *count)
{
	const struct story *const *list = options->stories ? options->stories : stories;
	size_t length = options->stories ? options->story_count : story_count;
	struct run_cell *cells = calloc(length * backend_count, sizeof(*cells));
	size_t played = 0;

	*count = cells ? length * backend_count : 0;
	for (size_t i = 0; i < *count; i++) {
		struct run_cell *cell = &cells[i];

		cell->story = list[i / backend_count];
		cell->backend = &backends[i % backend_count];
		cell->reason = story_waived(cell->story, cell->backend);
		if (!matches(options, cell))
			cell->reason = NULL;
		else if (cell->reason)
			cell->result = RUN_WAIVED;
		else if (played++ % options->shard_count == options->shard - 1)
			cell->result = RUN_PASSED; /* until it turns out otherwise */
	}
	return cells;
}

void run_free(struct run_cell *cells, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(cells[i].text);
	free(cells);
}

/* ---- in the child ---- */

static struct {
	const struct run_options *options;
	const struct run_cell *cell;
} playing; /* of this process: cmocka's functions take no argument of ours */

static void play(void **state)
{
	const struct run_cell *cell = playing.cell;

	(void)state;
	if (playing.options->play)
		playing.options->play(playing.options, cell);
	else
		story_play(cell->story, cell->backend, playing.options->seed);
}

/* Never returns. A failure ends without the checks at exit: what it left behind is no news. */
static void child(const struct run_options *options, const struct run_cell *cell, FILE *output)
{
	const struct CMUnitTest tests[] = {
		{ .name = cell->story->name, .test_func = play },
	};
	int failed;

	playing.options = options;
	playing.cell = cell;
	if (dup2(fileno(output), 1) < 0 || dup2(fileno(output), 2) < 0)
		_exit(1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	unsetenv("CMOCKA_XML_FILE");
	unsetenv("CMOCKA_TEST_ABORT");
	cmocka_set_message_output(CM_OUTPUT_STDOUT);
	alarm(options->limit_s);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fflush(NULL);
	if (failed)
		_exit(1);
	exit(0);
}

/* ---- in the parent ---- */

static int start(const struct run_options *options, struct player_slot *slot, struct run_cell *cell)
{
	slot->output = tmpfile();
	if (!slot->output)
		return -errno;
	fflush(NULL);
	slot->pid = fork();
	if (!slot->pid)
		child(options, cell, slot->output);
	if (slot->pid < 0) {
		slot->pid = 0;
		fclose(slot->output);
		return -errno;
	}
	slot->cell = cell;
	return 0;
}

/* The part of a line of cmocka's that says something the cell does not, or NULL. */
static const char *news_of(const char *line)
{
	const char *text = NULL;

	for (const char *at = line; (at = strstr(at, "] --- ")); text = at)
		at += strlen("] --- ");
	if (line[0] == '[')
		return text;
	return line[0] == '\n' || !strncmp(line, " 1 FAILED", 9) ? NULL : line;
}

static void copy_output(FILE *from, FILE *to)
{
	char line[1024];
	size_t copied = 0;

	rewind(from);
	while (fgets(line, sizeof(line), from)) {
		const char *news = news_of(line);

		if (!news)
			continue;
		copied += strlen(line);
		if (copied > OUTPUT_MAX) {
			fputs("  …\n", to);
			break;
		}
		fprintf(to, "  %s", news);
	}
}

static void tell_end(const struct run_options *options, int status, FILE *to)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		fprintf(to, "  took longer than %u s\n", options->limit_s);
	else if (WIFSIGNALED(status))
		fprintf(to, "  died of signal %d (%s)\n", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 1)
		fprintf(to, "  exited with %d\n", WEXITSTATUS(status));
}

static void tell_failure(const struct run_options *options, struct player_slot *slot, int status)
{
	struct run_cell *cell = slot->cell;
	size_t len = 0;
	FILE *to = open_memstream(&cell->text, &len);

	cell->result = RUN_FAILED;
	if (!to)
		return;
	copy_output(slot->output, to);
	tell_end(options, status, to);
	fprintf(to, "  repeat: %s %s '%s/%s'%s", options->program, options->command,
		cell->story->name, cell->backend->name, options->files ? options->files : "");
	if (options->seed)
		fprintf(to, " --seed %llu", (unsigned long long)options->seed);
	fputc('\n', to);
	if (fclose(to)) {
		free(cell->text);
		cell->text = NULL;
	}
}

/* Waits for one child. */
static int reap(const struct run_options *options, struct player_slot *slots)
{
	int status;
	pid_t pid;

	do {
		pid = waitpid(-1, &status, options->wait ? WNOHANG : 0);
		if (!pid) {
			options->wait(options);
			usleep(WAIT_US);
		}
	} while (!pid || (pid < 0 && errno == EINTR));
	if (pid < 0)
		return -errno;
	for (unsigned int i = 0; i < options->jobs; i++) {
		if (slots[i].pid != pid)
			continue;
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			tell_failure(options, &slots[i], status);
		fclose(slots[i].output);
		slots[i].pid = 0;
	}
	return 0;
}

static struct player_slot *free_slot(const struct run_options *options, struct player_slot *slots)
{
	for (unsigned int i = 0; i < options->jobs; i++) {
		if (!slots[i].pid)
			return &slots[i];
	}
	return NULL;
}

int run_play(const struct run_options *options, struct run_cell *cells, size_t count)
{
	struct player_slot slots[SLOTS_MAX] = { 0 };
	unsigned int running = 0;
	int ret = 0;

	for (size_t i = 0; i < count && !ret; i++) {
		struct run_cell *cell = &cells[options->order ? options->order[i] : i];

		if (cell->result != RUN_PASSED)
			continue;
		if (running == options->jobs) {
			ret = reap(options, slots);
			running--;
		}
		if (!ret)
			ret = start(options, free_slot(options, slots), cell);
		running += !ret;
	}
	while (running--) {
		int error = reap(options, slots);

		ret = ret ? ret : error;
	}
	return ret;
}
