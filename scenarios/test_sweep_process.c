/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sweep of stories with processes of their own: that their steps are swept as the stage's are,
 * that they die where they can, and that what goes wrong then is seen.
 */
#include <uapi/iommufd.h>

#include "cpr_recover.h"
#include "step.h"
#include "sweep.h"

/* ---- a process that calls the kernel a little ---- */

struct little {
	struct stage *stage;
	struct stage_process seen;
	struct vfio_sys raw;
	struct vfake_ledger start;
	struct vfake_task *friend; /* of the story, too */
	struct stage_process friend_seen;
	bool armed;
};

struct call {
	struct little *little;
	struct vfio_error *error;
	bool result;
};

static int come_by_open(struct little *little)
{
	int fd;

	stage_come_by(little->stage, &little->seen, FAULT_CALL_OPEN, false);
	fd = little->raw.open(little->raw.ctx, "/dev/vfio/vfio");
	stage_come_by(little->stage, &little->seen, FAULT_CALL_OPEN, true);
	return fd;
}

static int come_by_eventfd(struct little *little)
{
	int fd;

	stage_come_by(little->stage, &little->seen, FAULT_CALL_EVENTFD, false);
	fd = little->raw.eventfd(little->raw.ctx);
	stage_come_by(little->stage, &little->seen, FAULT_CALL_EVENTFD, true);
	return fd;
}

static bool refuse(struct vfio_error *error, int code)
{
	if (error) {
		error->code = code;
		strcpy(error->message, "it cannot be done");
	}
	return false;
}

static void shut(struct little *little, int fd)
{
	if (fd >= 0)
		little->raw.close(little->raw.ctx, fd);
}

static bool is_armed(void *ctx)
{
	return ((const struct little *)ctx)->armed;
}

static void end(struct little *little)
{
	stage_disown(little->stage, &little->seen);
	vfake_task_exit(little->seen.task);
	stage_disown(little->stage, &little->friend_seen);
	vfake_task_exit(little->friend);
}

/* Whoever is left has nothing that is not his. */
static void recover(void *ctx, bool died)
{
	struct little *little = ctx;

	assert_true(died);
	stage_disown(little->stage, &little->seen);
	vfake_task_exit(little->seen.task);
	assert_int_equal(vfake_ledger(little->stage->kernel).open_files, little->start.open_files);
	stage_disown(little->stage, &little->friend_seen);
	vfake_task_exit(little->friend);
}

static struct vfake_task *new_task(struct stage *stage)
{
	struct vfake_task_attr attr = vfake_root;
	struct vfake_task *task;

	attr.host_memory = true;
	task = vfake_task_new(stage->kernel, &attr);
	assert_non_null(task);
	return task;
}

static void play(struct stage *stage, void (*call)(void *args), void (*then)(void *ctx, bool died),
		 bool armed)
{
	struct little little = { .stage = stage, .armed = armed };
	struct vfio_error error = { 0 };
	struct call args = { .little = &little, .error = &error };
	const struct step step = { .name = "little",
				   .kind = STEP_BOOL,
				   .call = call,
				   .args = &args,
				   .result = &args.result,
				   .error = &args.error };

	little.seen = (struct stage_process){
		.task = new_task(stage), .ctx = &little, .is_armed = is_armed, .recover = then
	};
	little.friend = new_task(stage);
	little.friend_seen = (struct stage_process){ .task = little.friend };
	vfake_sys(&little.raw, little.seen.task);
	stage_adopt(stage, &little.seen);
	stage_adopt(stage, &little.friend_seen);
	little.start = vfake_ledger(stage->kernel);
	step_play(&step);
	assert_true(args.result);
	end(&little);
}

static void call_good(void *args)
{
	struct call *call = args;
	int container = come_by_open(call->little);
	int event = container < 0 ? container : come_by_eventfd(call->little);

	shut(call->little, container);
	shut(call->little, event);
	call->result = event >= 0 || refuse(call->error, event);
}

static void run_good(struct stage *stage)
{
	play(stage, call_good, recover, false);
}

static void run_immortal(struct stage *stage)
{
	play(stage, call_good, NULL, false);
}

static void run_armed(struct stage *stage)
{
	play(stage, call_good, recover, true);
}

static void call_leaks(void *args)
{
	struct call *call = args;
	int container = come_by_open(call->little);
	int event = container < 0 ? container : come_by_eventfd(call->little);

	if (event >= 0)
		shut(call->little, container);
	shut(call->little, event);
	call->result = event >= 0 || refuse(call->error, event);
}

static void run_leaks(struct stage *stage)
{
	play(stage, call_leaks, NULL, false);
}

/* For a while its file is somebody else's, who does not know of it. */
static void call_lends(void *args)
{
	struct call *call = args;
	int container = come_by_open(call->little), event, lent;

	if (container < 0) {
		call->result = refuse(call->error, container);
		return;
	}
	lent = vfake_pass_fd(call->little->seen.task, container, call->little->friend);
	event = lent < 0 ? lent : come_by_eventfd(call->little);
	if (lent >= 0)
		vfake_close(call->little->friend, lent);
	shut(call->little, container);
	shut(call->little, event);
	call->result = event >= 0 || refuse(call->error, event);
}

static void run_lends(struct stage *stage)
{
	play(stage, call_lends, recover, false);
}

static void recover_nothing(void *ctx, bool died)
{
	(void)ctx;
	(void)died;
}

static void run_idles(struct stage *stage)
{
	play(stage, call_good, recover_nothing, false);
}

/* ---- the stack, with something wrong beneath it ---- */

static struct cpr_process *start(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct cpr_process *process;

	cpr_let_die(machine, VFIO_MODE_CPR_TRANSFER);
	process = cpr_process_start(machine);
	cpr_attach_all(process);
	return process;
}

static void take_over(struct cpr_process *process, struct cpr_process *heir)
{
	struct cpr_machine *machine = process->machine;

	cpr_take_over(heir);
	cpr_process_end(process);
	cpr_expect_owner(heir);
	cpr_process_end(heir);
	cpr_machine_free(machine);
}

static struct cpr_process *hand_over(struct cpr_process *process)
{
	struct cpr_process *heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	struct vfio_error error;

	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(process, &error), &error);
	return heir;
}

static void run_update(struct stage *stage)
{
	struct cpr_process *process = start(stage);

	take_over(process, hand_over(process));
}

/* After something failed it closes nothing. */
static struct cpr_process *forgetful;

static int forget_to_close(void *ctx, int fd)
{
	return cpr_was_failed(forgetful) ? 0 : vfake_close(ctx, fd);
}

static void run_forgets(struct stage *stage)
{
	struct cpr_process *process = start(stage);

	forgetful = hand_over(process);
	forgetful->raw.ctx = forgetful->task;
	forgetful->raw.close = forget_to_close;
	take_over(process, forgetful);
}

/* Once it has saved, it says that it takes back, and does not. */
static struct cpr_process *liar;

static long lie(void *ctx, int fd, uint32_t request, uint64_t arg)
{
	if (liar->saved && request == IOMMU_IOAS_CHANGE_PROCESS)
		return 0;
	return vfake_ioctl(ctx, fd, request, arg);
}

static void run_lies(struct stage *stage)
{
	struct cpr_process *heir;

	liar = start(stage);
	liar->raw.ctx = liar->task;
	liar->raw.ioctl = lie;
	heir = hand_over(liar);
	take_over(liar, heir);
}

/* A process that the stage was not told of. */
static void run_stranger(struct stage *stage)
{
	struct vfake_task *task = new_task(stage);
	struct vfio_sys sys;
	struct vfio *vfio;

	vfake_sys(&sys, task);
	vfio = vfio_new(&sys, NULL);
	assert_non_null(vfio);
	vfio_free(vfio);
	vfake_task_exit(task);
}

#define STORY(id, what)                                                                            \
	static const struct story id = { .name = #id, .about = what, .run = run_##id }

STORY(good, "fails and dies and leaves nothing");
STORY(immortal, "cannot tell what is after a death");
STORY(armed, "fails by itself");
STORY(leaks, "leaves a file open");
STORY(lends, "leaves a file with somebody else when it dies");
STORY(idles, "does not end what is left");
STORY(update, "hands a device over");
STORY(forgets, "does not close what it was handed");
STORY(lies, "does not take back what it says that it does");
STORY(stranger, "has a process that nobody knows");

const struct story *const stories[] = { &good,	&immortal, &armed,   &leaks, &lends,
					&idles, &update,   &forgets, &lies,  &stranger };
const size_t story_count = sizeof(stories) / sizeof(stories[0]);

/* ---- sweeping one ---- */

static struct sweep_result sweep(const char *story, const char *only, size_t *chosen)
{
	struct sweep_options options = { .run = { .filters = &story,
						  .filter_count = 1,
						  .shard = 1,
						  .shard_count = 1,
						  .jobs = 1,
						  .limit_s = 250,
						  .program = "vfake" },
					 .only = only };
	struct sweep_result result;

	assert_int_equal(sweep_run(&options, &result), 0);
	*chosen = 0;
	while (result.cells[*chosen].result == RUN_UNSELECTED)
		assert_true(++*chosen < result.count);
	return result;
}

/* Nothing is wrong with it. */
static struct sweep_tally expect_good(const char *story, const char *only)
{
	size_t i;
	struct sweep_result result = sweep(story, only, &i);
	struct sweep_tally tally = result.tallies[i];

	if (result.cells[i].result != RUN_PASSED)
		fail_msg("%s", result.cells[i].text);
	assert_int_equal(tally.violations, 0);
	sweep_free(&result);
	return tally;
}

static void expect_seen(const char *story, const char *only, const char *fault, const char *says)
{
	size_t i;
	struct sweep_result result = sweep(story, only, &i);

	assert_int_equal(result.cells[i].result, RUN_FAILED);
	assert_non_null(result.cells[i].text);
	if (!strstr(result.cells[i].text, fault) || !strstr(result.cells[i].text, says))
		fail_msg("`%s' or `%s' is not in: %s", fault, says, result.cells[i].text);
	assert_true(result.tallies[i].violations > 0);
	sweep_free(&result);
}

/* ---- tests ---- */

/* Two calls, before and after each. */
static void test_dies(void **state)
{
	struct sweep_tally tally = expect_good("good/type1v2", NULL);

	(void)state;
	assert_int_equal(tally.deaths, 4);
	assert_true(tally.faults > tally.deaths);
	assert_int_equal(tally.foreign + tally.armed, 0);
	tally = expect_good("immortal/type1v2", NULL);
	assert_int_equal(tally.deaths, 0);
	assert_true(tally.faults > 4);
}

static void test_not_swept(void **state)
{
	struct sweep_tally tally = expect_good("armed/type1v2", NULL);

	(void)state;
	assert_int_equal(tally.armed, 1);
	assert_int_equal(tally.faults, 2); /* of the stage's own beginning */
	tally = expect_good("stranger/type1v2", NULL);
	assert_true(tally.foreign >= 2);
}

static void test_failure(void **state)
{
	(void)state;
	expect_seen("leaks/type1v2", NULL, "with file/eventfd/entry#1:",
		    "it fails (it cannot be done) and leaves: open files +1, descriptors +1");
}

static void test_death(void **state)
{
	(void)state;
	expect_seen("lends/type1v2", NULL, "with call/eventfd/entry#1:kill:once",
		    "an assertion fails");
	expect_seen("idles/type1v2", NULL, "with call/open/entry#1:kill:once",
		    "processes of the story are left");
}

static void test_only(void **state)
{
	size_t i;
	struct sweep_result result = sweep("lends/type1v2", NULL, &i);
	const char *text = strstr(result.cells[i].text, "--only '");
	struct sweep_tally tally;
	char *only;

	(void)state;
	assert_non_null(text);
	only = strndup(text + 8, strcspn(text + 8, "'"));
	assert_non_null(only);
	assert_non_null(strstr(only, ":call/eventfd/entry#1:kill:once"));
	assert_true(sweep_only_is_sound(only));
	tally = expect_good("good/type1v2", only);
	assert_int_equal(tally.faults, 1);
	assert_int_equal(tally.deaths, 1);
	free(only);
	sweep_free(&result);
}

static void test_update(void **state)
{
	struct sweep_tally tally = expect_good("update/type1v2", NULL);

	(void)state;
	assert_int_equal(tally.foreign, 0);
	assert_true(tally.deaths > 50);
	tally = expect_good("update/iommufd", NULL);
	assert_int_equal(tally.foreign, 0);
	assert_true(tally.deaths > 50);
}

static void test_wrong_update(void **state)
{
	(void)state;
	expect_seen("forgets/type1v2", NULL, "vfio_device_attach", "and leaves: descriptors +");
	expect_seen("lies/iommufd", NULL, "vfio_cpr_finish, with call/ioctl/exit#1:kill:once",
		    "an assertion fails");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dies),	     cmocka_unit_test(test_not_swept),
		cmocka_unit_test(test_failure),	     cmocka_unit_test(test_death),
		cmocka_unit_test(test_only),	     cmocka_unit_test(test_update),
		cmocka_unit_test(test_wrong_update),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
