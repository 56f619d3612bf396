/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sweep itself: what it must see. The stories here play little functions that go wrong when a
 * call fails, each in its own way, as if they were the stack's; and some that do not.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"
#include "sweep.h"

/* ---- a function of the stack, as a step ---- */

struct call {
	struct stage *stage;
	struct vfio_error *error;
	bool result;
};

static bool refuse(struct vfio_error *error, int code)
{
	if (!error)
		return false;
	error->code = code;
	strcpy(error->message, "it cannot be done");
	return false;
}

static int open_container(struct stage *stage)
{
	return stage->sys.open(stage->sys.ctx, "/dev/vfio/vfio");
}

static int open_event(struct stage *stage)
{
	return stage->sys.eventfd(stage->sys.ctx);
}

static void shut(struct stage *stage, int fd)
{
	if (fd >= 0)
		stage->sys.close(stage->sys.ctx, fd);
}

static void play(struct stage *stage, void (*call)(void *args))
{
	struct vfio_error error = { 0 };
	struct call args = { .stage = stage, .error = &error };
	const struct step step = {
		.name = "little",
		.kind = STEP_BOOL,
		.call = call,
		.args = &args,
		.result = &args.result,
		.error = &args.error,
	};

	step_play(&step);
	assert_true(args.result);
}

/* What all processes of a sweep share: how often a function ran. */
static unsigned int *runs;

/* ---- good ones ---- */

static void call_good(void *args)
{
	struct call *call = args;
	int container = open_container(call->stage);
	int event = container < 0 ? container : open_event(call->stage);

	shut(call->stage, container);
	shut(call->stage, event);
	call->result = event >= 0 || refuse(call->error, event);
}

static void run_good(struct stage *stage)
{
	play(stage, call_good);
}

/* It goes on without what it cannot have, and says so. */
static void call_tells(void *args)
{
	struct call *call = args;

	if (open_event(call->stage) < 0)
		call->stage->vmm.warn(call->stage->vmm.ctx, "no events");
	call->result = true;
}

static void run_tells(struct stage *stage)
{
	play(stage, call_tells);
}

static void run_raw(struct stage *stage)
{
	int fd = stage->raw.eventfd(stage->raw.ctx);

	assert_true(fd >= 0);
	assert_int_equal(stage->raw.close(stage->raw.ctx, fd), 0);
}

/* ---- bad ones ---- */

static void call_leaks(void *args)
{
	struct call *call = args;
	int container = open_container(call->stage);
	int event = container < 0 ? container : open_event(call->stage);

	call->result = event >= 0 || refuse(call->error, event);
	if (event >= 0)
		shut(call->stage, container);
	shut(call->stage, event);
}

static void run_leaks(struct stage *stage)
{
	play(stage, call_leaks);
}

static void call_ignores(void *args)
{
	struct call *call = args;

	open_event(call->stage);
	call->result = true;
}

static void run_ignores(struct stage *stage)
{
	play(stage, call_ignores);
}

static void call_mute(void *args)
{
	struct call *call = args;
	int event = open_event(call->stage);

	shut(call->stage, event);
	call->result = event >= 0;
}

static void run_mute(struct stage *stage)
{
	play(stage, call_mute);
}

static void call_boasts(void *args)
{
	struct call *call = args;
	int event = open_event(call->stage);

	if (event < 0)
		refuse(call->error, event);
	shut(call->stage, event);
	call->result = true;
}

static void run_boasts(struct stage *stage)
{
	play(stage, call_boasts);
}

static void call_sulks(void *args)
{
	static bool failed;
	struct call *call = args;
	int event = failed ? -EIO : open_event(call->stage);

	failed |= event < 0;
	shut(call->stage, event);
	call->result = event >= 0 || refuse(call->error, event);
}

static void run_sulks(struct stage *stage)
{
	play(stage, call_sulks);
}

static void call_crashes(void *args)
{
	struct call *call = args;
	int event = open_event(call->stage);

	if (event < 0)
		raise(SIGABRT);
	shut(call->stage, event);
	call->result = true;
}

static void run_crashes(struct stage *stage)
{
	play(stage, call_crashes);
}

/* After it was counted and noted it tries something else before, so that the trace is another. */
static void call_strays(void *args)
{
	struct call *call = args;

	if (++*runs > 2)
		shut(call->stage, call->stage->sys.dup(call->stage->sys.ctx, 77));
	call_good(args);
}

static void run_strays(struct stage *stage)
{
	play(stage, call_strays);
}

/* It does more while it is counted and noted than ever again. */
static void call_tires(void *args)
{
	struct call *call = args;

	call_good(args);
	if (++*runs <= 2)
		shut(call->stage, open_event(call->stage));
}

static void run_tires(struct stage *stage)
{
	play(stage, call_tires);
}

/* Good unless the way back fails, too. */
static void call_slips(void *args)
{
	struct call *call = args;
	int container = open_container(call->stage);
	int event = container < 0 ? container : open_event(call->stage);
	int note = container >= 0 && event < 0
			   ? call->stage->sys.dup(call->stage->sys.ctx, container)
			   : -1;

	if (event >= 0 || note >= 0)
		shut(call->stage, container);
	shut(call->stage, event);
	shut(call->stage, note);
	call->result = event >= 0 || refuse(call->error, event);
}

static void run_slips(struct stage *stage)
{
	play(stage, call_slips);
}

/* ---- behind a server ---- */

/* 0, or -EPIPE for a connection that ended. */
static int listen_once(struct stage *stage)
{
	const struct vfio_sys *sys = &stage->sys;
	int fd = sys->connect(sys->ctx, "/run/d0");
	uint32_t count = 0;
	char byte;
	long got;

	if (fd < 0)
		return fd;
	got = sys->recvmsg(sys->ctx, fd, &byte, 1, NULL, &count);
	shut(stage, fd);
	if (got == -ECONNRESET)
		return -EPIPE;
	return got == -EAGAIN ? 0 : (int)got;
}

static void call_ends(void *args)
{
	static bool ended;
	struct call *call = args;
	int ret = ended ? -EPIPE : listen_once(call->stage);

	ended |= ret == -EPIPE;
	call->result = !ret || refuse(call->error, ret);
}

static void run_ends(struct stage *stage)
{
	play(stage, call_ends);
}

static void call_heals(void *args)
{
	struct call *call = args;
	int ret = listen_once(call->stage);

	call->result = !ret || refuse(call->error, ret);
}

static void run_heals(struct stage *stage)
{
	play(stage, call_heals);
}

/* What ended does something all the same. */
static void call_stirs(void *args)
{
	static bool ended;
	struct call *call = args;
	int ret = -EPIPE;

	if (ended)
		open_event(call->stage);
	else
		ret = listen_once(call->stage);
	ended |= ret == -EPIPE;
	call->result = !ret || refuse(call->error, ret);
}

static void run_stirs(struct stage *stage)
{
	play(stage, call_stirs);
}

/* The story makes the server answer wrongly itself. */
static void run_spoils(struct stage *stage)
{
	const struct vfake_hostile hostile = { .kind = VFAKE_HOSTILE_ERROR, .once = true };

	vfake_peer_set_hostile(stage->peers[0], &hostile);
	play(stage, call_mute);
}

#define STORY(id, what)                                                                            \
	static const struct story id = { .name = #id, .about = what, .run = run_##id }

STORY(good, "fails and leaves nothing");
STORY(tells, "goes on and says so");
STORY(raw, "only the story itself calls the kernel");
STORY(leaks, "leaves a file open");
STORY(ignores, "goes on and says nothing");
STORY(mute, "fails without a reason");
STORY(boasts, "works and gives a reason");
STORY(sulks, "never works again");
STORY(crashes, "dies");
STORY(strays, "does not do the same thing twice");
STORY(tires, "does less the second time");
STORY(ends, "has a connection that stays broken");
STORY(heals, "has a connection that broke and works");
STORY(stirs, "does something with a connection that broke");
STORY(spoils, "has a server that is to spoil something");
STORY(slips, "leaves a file open after two faults");
static const struct story left = {
	.name = "left", .about = "is left out", .run = run_leaks, .unswept = "for a reason"
};

const struct story *const stories[] = { &good,	 &tells, &raw,	   &leaks,  &ignores, &mute,
					&boasts, &sulks, &crashes, &strays, &tires,   &slips,
					&left,	 &ends,	 &heals,   &stirs,  &spoils };
const size_t story_count = sizeof(stories) / sizeof(stories[0]);

/* ---- sweeping one ---- */

static struct sweep_result sweep_with(const char *story, struct sweep_options options)
{
	struct sweep_result result;

	options.run = (struct run_options){
		.filters = &story,
		.filter_count = 1,
		.shard = 1,
		.shard_count = 1,
		.jobs = 1,
		.limit_s = 60,
		.program = "vfake",
	};
	*runs = 0;
	assert_int_equal(sweep_run(&options, &result), 0);
	return result;
}

static struct sweep_result sweep(const char *story, bool pairs, const char *only)
{
	return sweep_with(story, (struct sweep_options){ .pairs = pairs, .only = only });
}

/* The first cell that was chosen. */
static size_t chosen(const struct sweep_result *result)
{
	size_t i = 0;

	while (i < result->count && result->cells[i].result == RUN_UNSELECTED)
		i++;
	assert_true(i < result->count);
	return i;
}

static void expect_good(const char *story, uint64_t points)
{
	struct sweep_result result = sweep(story, false, NULL);
	size_t i = chosen(&result);

	assert_int_equal(result.cells[i].result, RUN_PASSED);
	assert_int_equal(result.tallies[i].violations, 0);
	assert_true(result.tallies[i].points >= points);
	assert_true(result.tallies[i].faults >= result.tallies[i].points);
	sweep_free(&result);
}

/* Sweeping it finds this, and says how to see it again. */
static void expect_seen(const char *story, bool pairs, const char *says)
{
	struct sweep_result result = sweep(story, pairs, NULL);
	const struct run_cell *cell = &result.cells[chosen(&result)];
	char repeat[64];

	assert_int_equal(cell->result, RUN_FAILED);
	assert_non_null(cell->text);
	if (!strstr(cell->text, says))
		fail_msg("`%s' is not in: %s", says, cell->text);
	snprintf(repeat, sizeof(repeat), " %s\n", story);
	assert_non_null(strstr(cell->text, "repeat: vfake sweep --only '"));
	assert_non_null(strstr(cell->text, repeat));
	assert_true(result.tallies[chosen(&result)].violations > 0);
	sweep_free(&result);
}

/* ---- tests ---- */

static void test_good(void **state)
{
	(void)state;
	expect_good("good/type1v2", 4);
	expect_good("tells/iommufd", 2);
}

static void test_only_steps_fail(void **state)
{
	struct sweep_result result = sweep("raw/type1v2", false, NULL);
	struct sweep_result none = sweep("left", false, NULL);

	(void)state;
	assert_int_equal(result.cells[chosen(&result)].result, RUN_PASSED);
	assert_int_equal(none.cells[chosen(&none)].result, RUN_WAIVED);
	assert_string_equal(none.cells[chosen(&none)].reason, "for a reason");
	sweep_free(&result);
	sweep_free(&none);
}

static void test_bad(void **state)
{
	(void)state;
	expect_seen("leaks/type1v2", false,
		    "it fails (it cannot be done) and leaves: open files +1");
	expect_seen("ignores/type1v2", false,
		    "it works and tells nobody, but differs: open files -1");
	expect_seen("mute/type1v2", false, "it fails and gives no reason");
	expect_seen("boasts/type1v2", false, "it works, and gives a reason for a failure");
	expect_seen("sulks/type1v2", false,
		    "tried again without the fault it gives -5 instead of 0");
	expect_seen("crashes/type1v2", false, "it dies of signal 6");
}

static void test_not_the_same_twice(void **state)
{
	(void)state;
	expect_seen("strays/type1v2", false, "what it does before the fault is not what");
	expect_seen("tires/type1v2", false, "the fault is not met");
}

static void test_connection_that_ends(void **state)
{
	(void)state;
	expect_good("ends/user", 2);
	expect_seen("heals/user", false, "tried again after the connection ended it gives 0");
	expect_seen("stirs/user", false,
		    "tried again after the connection ended it changes: open files +1");
}

static void test_spoiled_by_the_story(void **state)
{
	(void)state;
	expect_seen("mute/user", false, "it fails and gives no reason");
	expect_good("spoils/user", 0);
}

static void test_pairs(void **state)
{
	(void)state;
	expect_good("slips/type1v2", 4);
	expect_seen("slips/type1v2", true, "+file/dup/entry#1:");
}

/* The command that repeats a violation finds it; one that is none is none. It is the first one. */
static void test_only(void **state)
{
	struct sweep_result result = sweep("leaks/type1v2", false, NULL);
	const char *text = strstr(result.cells[chosen(&result)].text, "--only '") + 8;
	char *only = strndup(text, strcspn(text, "'"));
	struct sweep_result again;

	(void)state;
	assert_true(sweep_only_is_sound(only));
	again = sweep("leaks/type1v2", false, only);
	assert_int_equal(again.cells[chosen(&again)].result, RUN_FAILED);
	assert_int_equal(again.tallies[chosen(&again)].faults, 1);
	assert_non_null(strstr(again.cells[chosen(&again)].text, "and leaves: open files +1"));
	sweep_free(&again);
	again = sweep("good/type1v2", false, only);
	assert_int_equal(again.cells[chosen(&again)].result, RUN_PASSED);
	sweep_free(&again);
	again = sweep("good/type1v2", false, "99:file/eventfd/entry#1:ENOMEM:once");
	assert_int_equal(again.cells[chosen(&again)].result, RUN_FAILED);
	assert_non_null(strstr(again.cells[chosen(&again)].text, "the story has "));
	sweep_free(&again);
	assert_true(result.tallies[chosen(&result)].violations > 1);
	again = sweep_with("leaks/type1v2", (struct sweep_options){ .first_only = true });
	assert_int_equal(again.cells[chosen(&again)].result, RUN_FAILED);
	assert_int_equal(again.tallies[chosen(&again)].violations, 1);
	assert_non_null(strstr(again.cells[chosen(&again)].text, only));
	sweep_free(&again);
	sweep_free(&result);
	free(only);
}

static void test_only_is_read(void **state)
{
	static const char *const bad[] = {
		"",
		"3",
		"3:",
		":file/eventfd/entry#1:ENOMEM:once",
		"x:file/eventfd/entry#1:ENOMEM:once",
		"3:file/eventfd/entry:ENOMEM:once",
		"3:file/eventfd/entry#0:ENOMEM:once",
		"3:file/eventfd/entry#1x:ENOMEM:once",
		"3:file/eventfd/entry#1:EWHAT:once",
		"3:file/eventfd/entry#1:ENOMEM",
		"3:file/eventfd/entry#1:ENOMEM:twice",
		"3:no/such/point#1:ENOMEM:once",
		"3:file/eventfd/entry#1:ENOMEM:once+",
	};

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(bad) / sizeof(bad[0]); i++) {
		if (sweep_only_is_sound(bad[i]))
			fail_msg("`%s'", bad[i]);
	}
	assert_true(sweep_only_is_sound("3:file/eventfd/entry#1:ENOMEM:sticky"));
	assert_true(sweep_only_is_sound("12:file/eventfd/entry#1:ENOMEM:once+"
					"file/eventfd/entry#2:EMFILE:once"));
}

static void test_report(void **state)
{
	struct sweep_result result = sweep("leaks/type1v2", false, NULL);
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	(void)state;
	assert_non_null(to);
	sweep_report(to, REPORT_HUMAN, true, &result);
	assert_int_equal(fclose(to), 0);
	assert_non_null(strstr(text, "FAIL leaks/type1v2\n"));
	assert_non_null(strstr(text, "1 cells failed; "));
	assert_null(strstr(text, " 0 violations\n"));
	free(text);
	sweep_free(&result);
}

static int set_up(void **state)
{
	(void)state;
	runs = mmap(NULL, sizeof(*runs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return runs == MAP_FAILED;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_only_steps_fail),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_not_the_same_twice),
		cmocka_unit_test(test_connection_that_ends),
		cmocka_unit_test(test_spoiled_by_the_story),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_only),
		cmocka_unit_test(test_only_is_read),
		cmocka_unit_test(test_report),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
