/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runner of stories, with stories that go wrong in every way: each failure is seen, is that of
 * its cell alone, and tells how to repeat it. And the stage's own watch: what it must notice.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "run.h"

static void run_good(struct stage *stage)
{
	stage_ram(stage, stage->backend->ram, 65536);
	stage_attach(stage, 0);
	/* What is left attached is taken down at the end. */
}

static void run_asserts(struct stage *stage)
{
	stage_attach(stage, 0);
	assert_int_equal(stage->backend->page, 12345);
}

static void run_crashes(struct stage *stage)
{
	(void)stage;
	signal(SIGABRT, SIG_DFL);
	abort();
}

static void run_hangs(struct stage *stage)
{
	(void)stage;
	for (;;)
		pause();
}

static void run_exits(struct stage *stage)
{
	(void)stage;
	_exit(7);
}

static void run_leaks_fd(struct stage *stage)
{
	assert_true(stage->sys.eventfd(stage->sys.ctx) >= 0);
	stage_expect_mark(stage);
}

static void run_closes_twice(struct stage *stage)
{
	int fd = stage->sys.eventfd(stage->sys.ctx);

	stage->sys.close(stage->sys.ctx, fd);
	stage->sys.close(stage->sys.ctx, fd);
}

static void run_leaks_block(struct stage *stage)
{
	void *block = stage->vmm.alloc(stage->vmm.ctx, 8);

	assert_non_null(block);
}

static void run_allows_early(struct stage *stage)
{
	stage_ram(stage, stage->backend->ram, 65536);
	stage_attach(stage, 0);
	stage->vmm.forbid_discard(stage->vmm.ctx, false);
	stage->vmm.forbid_discard(stage->vmm.ctx, true);
}

static void run_draws(struct stage *stage)
{
	/* The same seed draws the same. */
	assert_int_equal(stage_random(stage, 1000000), 0x7fffffff);
}

static const struct story good = { .name = "good", .about = "is good", .run = run_good };
static const struct story maps = {
	.name = "maps", .about = "maps", .run = run_good, .needs = NEEDS_MAPS
};
static const struct story waived = { .name = "waived",
				     .about = "is not played on type1v2",
				     .run = run_good,
				     .waivers = { { "type1v2", "for a <reason>" } } };
static const struct story asserts = { .name = "asserts", .about = "", .run = run_asserts };
static const struct story crashes = { .name = "crashes", .about = "", .run = run_crashes };
static const struct story hangs = { .name = "hangs", .about = "", .run = run_hangs };
static const struct story exits = { .name = "exits", .about = "", .run = run_exits };
static const struct story leaks_fd = { .name = "leaks-fd", .about = "", .run = run_leaks_fd };
static const struct story closes_twice = { .name = "closes-twice",
					   .about = "",
					   .run = run_closes_twice };
static const struct story leaks_block = { .name = "leaks-block",
					  .about = "",
					  .run = run_leaks_block };
static const struct story allows_early = { .name = "allows-early",
					   .about = "",
					   .run = run_allows_early };
static const struct story draws = { .name = "draws", .about = "", .run = run_draws };

const struct story *const stories[] = {
	&good,	&maps,	   &waived,	  &asserts,	&crashes,      &hangs,
	&exits, &leaks_fd, &closes_twice, &leaks_block, &allows_early, &draws,
};
const size_t story_count = sizeof(stories) / sizeof(stories[0]);

/* ---- playing a choice ---- */

struct played {
	struct run_options options;
	struct run_cell *cells;
	size_t count;
};

static struct played play_options(struct run_options options)
{
	struct played played = { .options = options };

	played.options.program = "vfake";
	played.options.command = "run --filter";
	if (!played.options.jobs)
		played.options.jobs = 2;
	if (!played.options.limit_s)
		played.options.limit_s = 60;
	if (!played.options.shard_count)
		played.options.shard = played.options.shard_count = 1;
	played.cells = run_select(&played.options, &played.count);
	assert_non_null(played.cells);
	assert_int_equal(played.count, story_count * backend_count);
	assert_int_equal(run_play(&played.options, played.cells, played.count), 0);
	return played;
}

static struct played play_filter(const char *filter)
{
	return play_options((struct run_options){ .filters = &filter, .filter_count = 1 });
}

static const struct run_cell *cell_of(const struct played *played, const char *story,
				      const char *backend)
{
	for (size_t i = 0; i < played->count; i++) {
		if (!strcmp(played->cells[i].story->name, story) &&
		    !strcmp(played->cells[i].backend->name, backend))
			return &played->cells[i];
	}
	fail_msg("no cell %s/%s", story, backend);
	return NULL;
}

static size_t count_of(const struct played *played, enum run_result result)
{
	size_t count = 0;

	for (size_t i = 0; i < played->count; i++)
		count += played->cells[i].result == result;
	return count;
}

static void done(struct played *played)
{
	run_free(played->cells, played->count);
}

/* One cell is played, and fails with these words. */
static void expect_failure(struct run_options options, const char *says)
{
	struct played played = play_options(options);
	char repeat[128];
	const char *slash = strchr(options.filters[0], '/');
	char *story = strndup(options.filters[0], (size_t)(slash - options.filters[0]));
	const struct run_cell *cell = cell_of(&played, story, slash + 1);

	free(story);
	assert_int_equal(cell->result, RUN_FAILED);
	assert_int_equal(count_of(&played, RUN_FAILED), 1);
	assert_int_equal(count_of(&played, RUN_UNSELECTED), played.count - 1);
	assert_non_null(cell->text);
	if (!strstr(cell->text, says))
		fail_msg("`%s' is not in: %s", says, cell->text);
	snprintf(repeat, sizeof(repeat), "  repeat: vfake run --filter '%s'", options.filters[0]);
	assert_non_null(strstr(cell->text, repeat));
	done(&played);
}

static void expect_says(const char *filter, const char *says)
{
	expect_failure((struct run_options){ .filters = &filter, .filter_count = 1 }, says);
}

/* ---- tests ---- */

static void test_pass_and_waivers(void **state)
{
	struct played played = play_filter("[gmw]*");

	(void)state;
	assert_int_equal(count_of(&played, RUN_FAILED), 0);
	assert_int_equal(count_of(&played, RUN_PASSED), 3 * backend_count - 2);
	assert_int_equal(count_of(&played, RUN_WAIVED), 2);
	assert_string_equal(cell_of(&played, "waived", "type1v2")->reason, "for a <reason>");
	assert_int_equal(cell_of(&played, "maps", "noiommu")->result, RUN_WAIVED);
	/* Every cell has a result or a reason. */
	for (size_t i = 0; i < played.count; i++)
		assert_int_equal(played.cells[i].result == RUN_WAIVED, !!played.cells[i].reason);
	done(&played);
}

static void test_failures(void **state)
{
	const char *slow = "hangs/compat";

	(void)state;
	expect_says("asserts/type1v2", "0x1000 != 0x3039");
	expect_says("asserts/type1v2", "test_run.c");
	expect_says("crashes/iommufd", "died of signal 6");
	expect_says("exits/noiommu", "exited with 7");
	expect_failure((struct run_options){ .filters = &slow, .filter_count = 1, .limit_s = 1 },
		       "took longer than 1 s");
}

static void test_watch(void **state)
{
	(void)state;
	expect_says("leaks-fd/type1v2", "open files +1, descriptors +1");
	expect_says("closes-twice/type1v2", "is closed, but it is not open");
	expect_says("leaks-block/type1v2", "blocks of the stack's memory +1");
	expect_says("allows-early/iommufd", "discarding is allowed while 16 pages are pinned");
}

static void test_seed(void **state)
{
	const char *draws_only = "draws/type1v2";
	struct run_options options = { .filters = &draws_only, .filter_count = 1, .seed = 7 };
	struct played first = play_options(options);
	struct played again = play_options(options);
	struct played other = play_filter("draws/type1v2");
	const char *text = cell_of(&first, "draws", "type1v2")->text;

	(void)state;
	assert_non_null(strstr(text, "--filter 'draws/type1v2' --seed 7\n"));
	assert_string_equal(text, cell_of(&again, "draws", "type1v2")->text);
	assert_string_not_equal(text, cell_of(&other, "draws", "type1v2")->text);
	done(&first);
	done(&again);
	done(&other);
}

static void test_shards(void **state)
{
	const char *filter = "good";
	size_t sum = 0;

	(void)state;
	for (unsigned int i = 1; i <= 3; i++) {
		struct played played = play_options((struct run_options){
			.filters = &filter, .filter_count = 1, .shard = i, .shard_count = 3 });

		sum += count_of(&played, RUN_PASSED);
		assert_true(count_of(&played, RUN_PASSED) >= backend_count / 3);
		done(&played);
	}
	assert_int_equal(sum, backend_count);
}

static char *report_of(const struct played *played, enum report_format format)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	assert_non_null(to);
	run_report(to, format, false, played->cells, played->count);
	assert_int_equal(fclose(to), 0);
	return text;
}

static void expect_in(const struct played *played, enum report_format format, const char *says)
{
	char *text = report_of(played, format);

	if (!strstr(text, says))
		fail_msg("`%s' is not in: %s", says, text);
	free(text);
}

static void test_reports(void **state)
{
	struct played played = play_filter("[!chld]*/type1v2");
	char *text;
	json_t *json;

	(void)state;
	/* good, maps, waived, asserts, exits, allows-early */
	expect_in(&played, REPORT_HUMAN, "FAIL asserts/type1v2\n");
	expect_in(&played, REPORT_HUMAN, "  -1  for a <reason>\n");
	expect_in(&played, REPORT_HUMAN, "  .   not selected\n");
	expect_in(&played, REPORT_HUMAN, "\n2 passed, 3 failed, 1 skipped\n");
	expect_in(&played, REPORT_KTAP, "KTAP version 1\n1..6\nok 1 good/type1v2\n");
	expect_in(&played, REPORT_KTAP, "\nok 3 waived/type1v2 # SKIP for a <reason>\n");
	expect_in(&played, REPORT_KTAP, "\nnot ok 4 asserts/type1v2\n");
	expect_in(&played, REPORT_JUNIT, "tests=\"6\" failures=\"3\" skipped=\"1\"");
	expect_in(&played, REPORT_JUNIT, "<skipped message=\"for a &lt;reason&gt;\"/>");
	text = report_of(&played, REPORT_JSON);
	json = json_loads(text, 0, NULL);
	assert_non_null(json);
	assert_int_equal(json_integer_value(json_object_get(json, "failed")), 3);
	assert_int_equal(json_array_size(json_object_get(json, "cells")), 6);
	json_decref(json);
	free(text);
	done(&played);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pass_and_waivers),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_seed),
		cmocka_unit_test(test_shards),
		cmocka_unit_test(test_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
