/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sweeps of stories that go wrong, and the traces that they leave: what the tests of those share.
 * Who includes it has the stories.
 */
#ifndef SCENARIOS_TRACE_RIG_H
#define SCENARIOS_TRACE_RIG_H

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "step.h"
#include "sweep.h"

/* ---- a step that goes wrong ---- */

struct call {
	struct stage *stage;
	struct vfio_error *error;
	bool result;
};

static inline void refuse(const struct call *call)
{
	if (!call->error)
		return;
	call->error->code = -ENOMEM;
	strcpy(call->error->message, "it cannot be\ndone");
}

/* The first of two that it opens stays open when the second cannot be had. */
static inline void call_leaks(void *args)
{
	struct call *call = args;
	const struct vfio_sys *sys = &call->stage->sys;
	int first = sys->eventfd(sys->ctx);
	int second = first < 0 ? first : sys->eventfd(sys->ctx);

	if (second >= 0) {
		sys->close(sys->ctx, first);
		sys->close(sys->ctx, second);
	} else {
		refuse(call);
	}
	call->result = second >= 0;
}

static inline void play(struct stage *stage, void (*function)(void *args))
{
	struct vfio_error error = { 0 };
	struct call args = { .stage = stage, .error = &error };
	const struct step step = {
		.name = "little",
		.kind = STEP_BOOL,
		.call = function,
		.args = &args,
		.result = &args.result,
		.error = &args.error,
	};

	step_play(&step);
	assert_true(args.result);
}

#define STORY_OF(devices, id, what)                                                                \
	static const struct story id = {                                                           \
		.name = #id, .about = what, .run = run_##id, .model = devices                      \
	}
#define STORY(id, what) STORY_OF(NULL, id, what)

/* ---- sweeping one ---- */

static char folder[256];

/* Sweeps STORY/BACKEND and gives what it tells. */
static inline char *sweep(const char *cell, const char *only)
{
	struct sweep_options options = { .run = { .filters = &cell,
						  .filter_count = 1,
						  .shard = 1,
						  .shard_count = 1,
						  .jobs = 1,
						  .limit_s = 250,
						  .program = "vfake" },
					 .only = only,
					 .traces = folder };
	struct sweep_result result;
	char *text = NULL;

	assert_int_equal(sweep_run(&options, &result), 0);
	for (size_t i = 0; i < result.count; i++) {
		if (result.cells[i].result == RUN_FAILED)
			text = strdup(result.cells[i].text);
	}
	sweep_free(&result);
	assert_non_null(text);
	return text;
}

static inline void path_of(char *path, size_t size, const char *cell, const char *end)
{
	const char *slash = strchr(cell, '/');

	snprintf(path, size, "%s/%.*s-%s%s", folder, (int)(slash - cell), cell, slash + 1, end);
}

static inline char *read_text(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text;
	long size;

	if (!file)
		fail_msg("%s is not there", path);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	size = ftell(file);
	assert_true(size > 0);
	rewind(file);
	text = calloc(1, (size_t)size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)size, file), size);
	fclose(file);
	return text;
}

/* `vfake replay` finds no difference. */
static inline void expect_same(const char *cell)
{
	char replay[] = "vfake", with[] = "--world", to[] = "--output=/dev/null";
	char world[512], trace[512];
	char *args[] = { replay, with, world, to, trace, NULL };

	path_of(world, sizeof(world), cell, ".json");
	path_of(trace, sizeof(trace), cell, "-1.trace");
	assert_int_equal(cli_replay(5, args), CLI_PASS);
}

/* Calls that are no comments. */
static inline uint32_t played_calls(const char *trace)
{
	uint32_t calls = 0;

	for (const char *at = strchr(trace, '\n'); at; at = strchr(at + 1, '\n'))
		calls += at[1] && !strchr("#\nd", at[1]);
	return calls;
}

/* Whether a line that begins so is played, or is there as a comment. */
static inline bool has_line(const char *trace, const char *mark, const char *line)
{
	char text[2048];

	snprintf(text, sizeof(text), "\n%s%s", mark, line);
	return strstr(trace, text);
}

static inline void expect_line(const char *trace, const char *mark, const char *line)
{
	if (!has_line(trace, mark, line))
		fail_msg("`%s%s' is not in:\n%s", mark, line, trace);
}

/* Sweeps, plays its trace and gives it. */
static inline char *traced(const char *cell, uint32_t calls)
{
	char *told = sweep(cell, NULL), *trace;
	char path[512], play_it[1024];

	path_of(path, sizeof(path), cell, "-1.trace");
	if (access(path, F_OK))
		fail_msg("%s", told);
	expect_same(cell);
	path_of(path, sizeof(path), cell, ".json");
	snprintf(play_it, sizeof(play_it), "play: vfake replay --world '%s' ", path);
	assert_non_null(strstr(told, play_it));
	path_of(path, sizeof(path), cell, "-1.trace");
	trace = read_text(path);
	expect_line(trace, "# ", play_it);
	expect_line(trace, "# repeat: ", "vfake sweep --only '");
	if (played_calls(trace) < calls)
		fail_msg("%s: only %u calls are played", cell, played_calls(trace));
	free(told);
	return trace;
}

/* All of it up to the fault is played, and the fault is where it should be. */
static inline void expect_whole(const char *trace)
{
	static const char fault[] = "# Here it fails: file/eventfd/";

	if (has_line(trace, "", "# From here on"))
		fail_msg("%s", trace);
	expect_line(trace, "", fault);
	assert_non_null(strstr(strstr(trace, fault), "\n# eventfd() = -E"));
}

static inline int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(folder, sizeof(folder), "%s/vfake sweep-XXXXXX", tmp ? tmp : "/tmp");
	return !mkdtemp(folder);
}

static inline int take_down(void **state)
{
	DIR *list = opendir(folder);
	struct dirent *entry;

	(void)state;
	while (list && (entry = readdir(list)))
		unlinkat(dirfd(list), entry->d_name, 0);
	if (list)
		closedir(list);
	return rmdir(folder);
}

#endif
