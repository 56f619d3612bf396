/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the new process got along with an iommufd and has no device for: each object is destroyed
 * once, page tables before what they are on, as soon as nobody has such a device any more.
 */
#include "cpr_watch.h"

static void expect_settled(struct cpr_process *process)
{
	struct vfio_error error = { 0 };

	cpr_check(vfio_cpr_settle(process->vfio, &error), &error);
	cpr_expect_lines(process, "");
}

static void expect_error(const struct vfio_error *error, int code, const char *message)
{
	assert_int_equal(error->code, code);
	assert_string_equal(error->message, message);
}

/* ---- any of the devices is given up ---- */

/* What nobody has when these devices were taken: bit N is device N. 0 and 2 are in space 0. */
static void say_rest(struct lines *lines, const struct cpr_process *process, uint32_t taken)
{
	static const uint32_t members[CPR_SPACES] = { 5, 2 };
	bool tables = process->machine->backend->dirty_tracking;

	for (uint32_t space = 0; tables && space < CPR_SPACES; space++) {
		if (!(taken & members[space]))
			say(lines, "vfio/iommufd 1: destroy %u\n",
			    cpr_number(process, IOMMU_HWPT_ALLOC, space));
	}
	for (uint32_t space = 0; space < CPR_SPACES; space++) {
		if (!(taken & members[space]))
			say(lines, "vfio/iommufd 1: destroy %u\n",
			    cpr_number(process, IOMMU_IOAS_ALLOC, space));
	}
}

/* As long as the old process has such a device the first of the objects cannot go. */
static void expect_too_early(struct cpr_process *heir, const struct lines *rest)
{
	struct vfio_error error = { 0 };
	char first[64];

	if (!rest->count) {
		expect_settled(heir);
		return;
	}
	assert_false(vfio_cpr_settle(heir->vfio, &error));
	expect_error(&error, -EBUSY, "iommufd 1: what devices had that were not attached: in use");
	snprintf(first, sizeof(first), "%.*s", (int)(strchr(rest->text, '\n') - rest->text) + 1,
		 rest->text);
	cpr_expect_lines(heir, first);
}

/* @saves: another save does what settling would have done. */
static void take_some(struct cpr_machine *machine, uint32_t taken, bool saves)
{
	struct cpr_process *process = cpr_watch_start(machine), *heir;
	struct vfio_error error = { 0 };
	struct lines rest = { 0 };

	cpr_watch_attach(process);
	heir = cpr_watch_heir(process);
	cpr_watch_save(process);
	cpr_watch_load(process, NULL);
	assert_false(vfio_cpr_settle(heir->vfio, &error));
	expect_error(&error, -EBUSY, "the live update is not finished: in use");
	for (uint32_t i = 0; i < machine->devices; i++) {
		if (taken >> i & 1)
			cpr_attach(heir, i);
	}
	say_rest(&rest, process, taken);
	if (!taken) /* nobody took the iommufd, which goes with all that it has */
		rest = (struct lines){ 0 };
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	/* Of what was loaded nothing is left where nothing is left to do. */
	if (taken == (1u << CPR_DEVICES) - 1)
		assert_int_equal(heir->ref.blocks, process->ref.blocks - 1);
	cpr_close_rest(process, heir->task);
	cpr_forget(heir);
	expect_too_early(heir, &rest);
	cpr_watch_end(process);
	if (saves) {
		process = cpr_watch_heir(heir);
		cpr_watch_save(heir);
		assert_memory_equal(cpr_watch_of(heir)->text, rest.text, rest.used);
		assert_null(strstr(cpr_watch_of(heir)->text + rest.used, "destroy"));
		cpr_check(vfio_cpr_abort(heir->vfio, &error), &error);
		cpr_process_free(process);
		cpr_forget(heir);
	} else {
		cpr_check(vfio_cpr_settle(heir->vfio, &error), &error);
		cpr_expect_lines(heir, rest.text);
	}
	expect_settled(heir);
	cpr_watch_end(heir);
}

static void run_given_up(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);

	for (uint32_t taken = 0; taken < 1u << CPR_DEVICES; taken++) {
		take_some(machine, taken, false);
		take_some(machine, taken, true);
	}
	cpr_machine_free(machine);
}

/* ---- several iommufds that give out the same numbers ---- */

/* MORE containers without devices: more of them than there are devices. */
enum { TABLE = 188, OWN_TABLE = 199, IOAS = 177, MORE = 10 };

struct pair {
	struct cpr_machine *machine;
	struct cpr_process *old, *heir;
	int iommufd; /* the VMM's, of the old process */
	uint32_t tables[2];
	struct text text; /* of a state with devices that the old process did not have */
	struct lines rest;
};

static void attach_at(struct cpr_process *process, uint32_t index, int iommufd)
{
	struct vfio_device_options options = cpr_options(process, index);
	struct vfio_error error = { 0 };

	options.iommufd = iommufd;
	process->devices[index] =
		vfio_device_attach(process->vfio, process->memory[0], &options, &error);
	cpr_check(process->devices[index], &error);
}

static void put_passenger(struct text *text, uint32_t container, uint32_t table, const char *name)
{
	put_device(text,
		   (struct device){
			   .container = container, .hwpt = table, .name = name, .group = "" });
}

/* Number 1 is the stack's own, 2 the VMM's. Of 3 no device is taken. */
static void add_strangers(struct pair *pair)
{
	struct text *text = &pair->text;
	const struct container container = { .backend = VFIO_BACKEND_IOMMUFD, .ioas = IOAS };

	memcpy(text->bytes, pair->old->state, pair->old->state_size);
	text->size = pair->old->state_size;
	text->records = cpr_get32(text->bytes + AT_COUNT);
	put_iommufd(text, 3, 0);
	for (uint32_t i = 1; i <= 3; i++) {
		struct container stranger = container;
		char name[8];

		stranger.id = 10 + i;
		stranger.iommufd = i;
		put_container(text, stranger);
		for (uint32_t j = 0; j < 2; j++) {
			snprintf(name, sizeof(name), "s%u%u", i, j);
			put_passenger(text, stranger.id, TABLE, name);
		}
	}
	for (uint32_t i = 0; i < MORE; i++)
		put_container(text, (struct container){ .id = 20 + i,
							.backend = VFIO_BACKEND_IOMMUFD,
							.iommufd = 1,
							.ioas = IOAS + 1 + i });
	/* In containers that are taken: a table of its own, none, and the other's number. */
	put_passenger(text, 1, OWN_TABLE, "own");
	put_passenger(text, 1, 0, "none");
	put_passenger(text, 1, pair->tables[1], "other");
	put_passenger(text, 1, pair->tables[0], "same");
	end(text, VFIO_MODE_CPR_TRANSFER);
	say(&pair->rest, "vfio/iommufd 1: destroy %u\ndestroy %u\n", TABLE, TABLE);
	say(&pair->rest, "vfio/iommufd 1: destroy %u\nvfio/iommufd 1: destroy %u\n", OWN_TABLE,
	    pair->tables[1]);
	say(&pair->rest, "vfio/iommufd 1: destroy %u\ndestroy %u\n", IOAS, IOAS);
	for (uint32_t i = 0; i < MORE; i++)
		say(&pair->rest, "vfio/iommufd 1: destroy %u\n", IOAS + 1 + i);
}

static struct pair *pair_new(struct stage *stage)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };
	struct cpr_process *old;
	int passed;

	assert_non_null(pair);
	pair->machine = cpr_machine_new(stage, 2, 1);
	pair->old = old = cpr_watch_start(pair->machine);
	pair->iommufd = old->raw.open(old->raw.ctx, "/dev/iommu");
	assert_true(pair->iommufd > 0);
	/* So that numbers differ by one. */
	assert_int_equal(old->raw.ioctl(old->raw.ctx, pair->iommufd, IOMMU_IOAS_ALLOC,
					(uint64_t)(uintptr_t)&arg),
			 0);
	attach_at(old, 0, 0);
	attach_at(old, 1, pair->iommufd);
	for (uint32_t i = 0; i < 2; i++)
		pair->tables[i] = cpr_number(old, IOMMU_HWPT_ALLOC, i);
	assert_int_not_equal(pair->tables[0], pair->tables[1]);
	pair->heir = cpr_watch_heir(old);
	cpr_watch_save(old);
	add_strangers(pair);
	cpr_watch_load(old, &pair->text);
	passed = vfake_pass_fd(old->task, pair->iommufd, pair->heir->task);
	assert_true(passed > 0);
	attach_at(pair->heir, 0, 0);
	attach_at(pair->heir, 1, passed);
	cpr_forget(pair->heir);
	return pair;
}

static void pair_free(struct pair *pair)
{
	cpr_watch_end(pair->heir);
	cpr_machine_free(pair->machine);
	free(pair);
}

/* The old process is gone, and what belongs to the new one can be seen. */
static void finish(struct pair *pair)
{
	struct vfio_error error = { 0 };

	cpr_check(vfio_cpr_finish(pair->heir->vfio, &error), &error);
	cpr_watch_end(pair->old);
	cpr_forget(pair->heir);
}

/* No memory for what is to be remembered; or no memory to pay with: it can be finished again. */
static void run_finish_fails(struct stage *stage)
{
	struct pair *pair = pair_new(stage);
	struct cpr_process *heir = pair->heir;
	struct vfio_error error = { 0 };

	heir->fail_alloc = 1;
	assert_false(vfio_cpr_finish(heir->vfio, &error));
	expect_error(&error, -ENOMEM, "cannot finish the live update: out of memory");
	cpr_expect_lines(heir, "");
	for (uint32_t nth = 1; nth <= 2; nth++) {
		char message[64];

		heir->fail_request = IOMMU_IOAS_CHANGE_PROCESS;
		heir->fail_at = nth;
		heir->fail_code = -ENOMEM;
		heir->requests_failed = 0;
		assert_false(vfio_cpr_finish(heir->vfio, &error));
		snprintf(message, sizeof(message),
			 "iommufd %u: IOMMU_IOAS_CHANGE_PROCESS: out of memory", nth);
		expect_error(&error, -ENOMEM, message);
		cpr_expect_lines(heir, nth == 1 ? "vfio/iommufd 1: change-process\n"
						: "vfio/iommufd 1: change-process\n"
						  "change-process\n");
		assert_int_equal(vfio_cpr_mode(heir->vfio), VFIO_MODE_CPR_TRANSFER);
	}
	finish(pair);
	assert_int_equal(vfio_cpr_mode(heir->vfio), 0);
	cpr_check(vfio_cpr_settle(heir->vfio, &error), &error);
	cpr_expect_lines(heir, pair->rest.text);
	expect_settled(heir);
	pair_free(pair);
}

/* Each call that the kernel refuses: what is not there is asked for once more, and the rest. */
static void run_destroy_fails(struct stage *stage)
{
	static const uint32_t owners[] = { 1, 2, 1, 1, 1, 2 };
	const uint32_t last = 6 + MORE;

	for (uint32_t nth = 1; nth <= last; nth++) {
		struct pair *pair = pair_new(stage);
		struct cpr_process *heir = pair->heir;
		struct vfio_error error = { 0 };
		char message[96];
		size_t used;

		finish(pair);
		heir->fail_request = IOMMU_DESTROY;
		heir->fail_at = nth;
		heir->fail_code = -EIO;
		assert_false(vfio_cpr_settle(heir->vfio, &error));
		snprintf(message, sizeof(message),
			 "iommufd %u: what devices had that were not attached: input/output error",
			 nth < 7 ? owners[nth - 1] : 1);
		expect_error(&error, -EIO, message);
		used = cpr_watch_of(heir)->used;
		assert_true(used <= pair->rest.used);
		assert_memory_equal(cpr_watch_of(heir)->text, pair->rest.text, used);
		assert_int_equal(used == pair->rest.used, nth == last);
		cpr_forget(heir);
		cpr_check(vfio_cpr_settle(heir->vfio, &error), &error);
		cpr_expect_lines(heir, pair->rest.text);
		pair_free(pair);
	}
}

/* The first of two objects is gone, the second not yet; and a new one gets the first one's number.
 */
static void run_number_again(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *process = cpr_watch_start(machine), *heir;
	struct vfio_error error = { 0 };
	uint32_t table, ioas;
	char line[64];

	cpr_watch_attach(process);
	table = cpr_number(process, IOMMU_HWPT_ALLOC, 0);
	ioas = cpr_number(process, IOMMU_IOAS_ALLOC, 0);
	heir = cpr_watch_heir(process);
	cpr_watch_save(process);
	cpr_watch_load(process, NULL);
	cpr_attach(heir, 1);
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_close_rest(process, heir->task);
	cpr_watch_end(process);
	heir->fail_request = IOMMU_DESTROY;
	heir->fail_at = 2;
	heir->fail_code = -EIO;
	heir->requests_failed = 0;
	assert_false(vfio_cpr_settle(heir->vfio, &error));
	cpr_attach(heir, 0);
	assert_int_equal(cpr_number(heir, IOMMU_IOAS_ALLOC, 0), table);
	cpr_forget(heir);
	cpr_check(vfio_cpr_settle(heir->vfio, &error), &error);
	snprintf(line, sizeof(line), "vfio/iommufd 1: destroy %u\n", ioas);
	cpr_expect_lines(heir, line);
	expect_settled(heir);
	cpr_watch_end(heir);
	cpr_machine_free(machine);
}

/* An iommufd that nobody has any more has taken all along; the other is still there. */
static void run_left(struct stage *stage)
{
	struct pair *pair = pair_new(stage);
	struct vfio_error error = { 0 };

	finish(pair);
	vfio_device_detach(pair->heir->devices[0]);
	cpr_forget(pair->heir);
	cpr_check(vfio_cpr_settle(pair->heir->vfio, &error), &error);
	cpr_expect_lines(pair->heir, "destroy 188\ndestroy 177\n");
	pair_free(pair);
	/* The next iommufd has the same number, and nothing of what the other had. */
	pair = pair_new(stage);
	finish(pair);
	vfio_device_detach(pair->heir->devices[0]);
	attach_at(pair->heir, 0, 0);
	cpr_forget(pair->heir);
	cpr_check(vfio_cpr_settle(pair->heir->vfio, &error), &error);
	cpr_expect_lines(pair->heir, "destroy 188\ndestroy 177\n");
	pair_free(pair);
	/* And who never settles has nothing left in the end. */
	pair = pair_new(stage);
	finish(pair);
	pair_free(pair);
}

/* ---- the table ---- */

static const struct story checks[] = {
	{ .name = "given_up", .run = run_given_up, .needs = NEEDS_HANDOVER | NEEDS_CDEV },
	{ .name = "finish_fails",
	  .run = run_finish_fails,
	  .needs = NEEDS_HANDOVER | NEEDS_CDEV | NEEDS_EXACT_TRACKING },
	{ .name = "destroy_fails",
	  .run = run_destroy_fails,
	  .needs = NEEDS_HANDOVER | NEEDS_CDEV | NEEDS_EXACT_TRACKING },
	{ .name = "number_again",
	  .run = run_number_again,
	  .needs = NEEDS_HANDOVER | NEEDS_CDEV | NEEDS_EXACT_TRACKING },
	{ .name = "left",
	  .run = run_left,
	  .needs = NEEDS_HANDOVER | NEEDS_CDEV | NEEDS_EXACT_TRACKING },
};

enum { CHECKS = sizeof(checks) / sizeof(checks[0]) };

int main(void)
{
	struct CMUnitTest tests[CHECKS];

	cpr_play_all(tests, checks, CHECKS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
