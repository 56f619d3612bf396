/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The states of a migrating device: every change from every state, for each set of optional states,
 * against a table that was written for this test; what a device does in which state; how streams
 * end.
 */
#include "migration_steps.h"
#include "model.h"

/* ---- the table ---- */

/*
 * The letters of the states, in the order of enum vfio_device_mig_state: Error, Stop, Running,
 * stop-Copy, resUming, running-P2P, pre-copy, pre-copy-p2p (q).
 */
static const char letters[] = "ESRCUPpq";

/* The states that a change goes through, its end included; "-" for one that is refused. A device
 * without an optional state leaves it out. */
static const char *const paths[VFIO_DEVICE_STATE_NR][VFIO_DEVICE_STATE_NR] = {
	/* to:   E    S      R      C      U       P     p       q */
	/* E */ { "-", "-", "-", "-", "-", "-", "-", "-" },
	/* S */ { "-", "", "PR", "C", "U", "P", "PRp", "Pq" },
	/* R */ { "-", "PS", "", "PSC", "PSU", "P", "p", "Pq" },
	/* C */ { "-", "S", "SPR", "", "SU", "SP", "-", "-" },
	/* U */ { "-", "S", "SPR", "SC", "", "SP", "SPRp", "SPq" },
	/* P */ { "-", "S", "R", "SC", "SU", "", "Rp", "q" },
	/* p */ { "-", "RPS", "R", "qC", "RPSU", "RP", "", "q" },
	/* q */ { "-", "PS", "PR", "C", "PSU", "P", "p", "" },
};

struct variant {
	const char *model;
	const char *states; /* that it has */
	uint64_t flags;
};

static const struct variant variants[] = {
	{ "migrate", "SRCUPpq",
	  VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY },
	{ "migrate-p2p", "SRCUP", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P },
	{ "migrate-pre-copy", "SRCUp", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY },
	{ "migrate-stop", "SRCU", VFIO_MIGRATION_STOP_COPY },
};

enum { VARIANTS = sizeof(variants) / sizeof(variants[0]) };

static bool has(const struct variant *variant, uint32_t state)
{
	return strchr(variant->states, letters[state]);
}

/* What is left of a path on a device that lacks states. */
static void shorten(const struct variant *variant, const char *path, char *out)
{
	for (; *path; path++) {
		if (strchr(variant->states, *path))
			*out++ = *path;
	}
	*out = '\0';
}

static void each_step_is_that_of_the_table(void **state)
{
	uint32_t next;

	(void)state;
	for (size_t v = 0; v < VARIANTS; v++) {
		for (uint32_t from = 0; from < VFIO_DEVICE_STATE_NR; from++) {
			for (uint32_t to = 0; to < VFIO_DEVICE_STATE_NR; to++) {
				char path[8];
				uint32_t at = from;

				if (from && !has(&variants[v], from))
					continue;
				shorten(&variants[v], paths[from][to], path);
				if (paths[from][to][0] == '-' || !has(&variants[v], to)) {
					assert_int_equal(
						mig_next_state(variants[v].flags, from, to, &next),
						-EINVAL);
					continue;
				}
				for (const char *p = path; *p; p++) {
					assert_int_equal(
						mig_next_state(variants[v].flags, at, to, &next),
						0);
					assert_int_equal(letters[next], *p);
					at = next;
				}
				assert_int_equal(at, to);
			}
		}
		assert_int_equal(mig_next_state(variants[v].flags, VFIO_DEVICE_STATE_STOP,
						VFIO_DEVICE_STATE_NR, &next),
				 -EINVAL);
	}
}

/* A stream is opened by a last step into saving from outside, and into resuming. */
static bool gives_stream(uint32_t from, const char *path)
{
	size_t len = strlen(path);
	char last = len ? path[len - 1] : '\0';
	char before = len > 1 ? path[len - 2] : letters[from];

	if (!last || before == 'p' || before == 'q')
		return false;
	return strchr("CUpq", last);
}

/* Brings a device after a reset into a state; the stream, or -1. */
static int reach(const struct engine *engine, uint32_t state)
{
	int fd;

	reset(engine);
	assert_int_equal(state_of(engine), VFIO_DEVICE_STATE_RUNNING);
	assert_int_equal(set_state(engine, state, &fd), 0);
	return fd;
}

static void one_change(const struct engine *engine, const struct variant *variant, uint32_t from,
		       uint32_t to)
{
	int before = reach(engine, from);
	bool refused = to >= VFIO_DEVICE_STATE_NR || paths[from][to][0] == '-' || !has(variant, to);
	char path[8];
	int fd;

	assert_int_equal(set_state(engine, to, &fd), refused ? -EINVAL : 0);
	if (refused) {
		assert_int_equal(fd, -1);
		assert_int_equal(state_of(engine), from);
	} else {
		shorten(variant, paths[from][to], path);
		assert_int_equal(fd >= 0, gives_stream(from, path));
		assert_int_equal(state_of(engine), to);
	}
	if (before >= 0) {
		/* A stream lives on where the change stayed inside of saving. */
		bool alive = refused || from == to ||
			     (letters[from] == 'p' && strchr("qC", letters[to])) ||
			     (letters[from] == 'q' && strchr("pC", letters[to]));
		uint8_t byte = 0x6d; /* also the first of a stream */
		long ret = from == VFIO_DEVICE_STATE_RESUMING
				   ? vfake_write(engine->task, before, addr(&byte), 1)
				   : vfake_read(engine->task, before, addr(&byte), 1);

		assert_int_equal(ret, alive ? 1 : -ENODEV);
		close_fd(engine, before);
	}
	if (fd >= 0)
		close_fd(engine, fd);
}

static void every_change_from_every_state(void **state)
{
	(void)state;
	for (size_t v = 0; v < VARIANTS; v++) {
		struct vfio_device_feature_migration arg = { 0 };
		struct pair pair;

		pair_start(&pair, variants[v].model);
		assert_int_equal(
			feature(&pair.a, GET | VFIO_DEVICE_FEATURE_MIGRATION, &arg, sizeof(arg)),
			0);
		assert_int_equal(arg.flags, variants[v].flags);
		for (uint32_t from = 1; from < VFIO_DEVICE_STATE_NR; from++) {
			for (uint32_t to = 0; to < VFIO_DEVICE_STATE_NR + 2; to++) {
				if (has(&variants[v], from))
					one_change(&pair.a, &variants[v], from, to);
			}
		}
		pair_end(&pair);
	}
}

/* A spoilt stream leads to ERROR, a reset out of it; nothing else does. */
static void only_a_reset_leads_out_of_error(void **state)
{
	struct pair pair;
	uint8_t byte = 0;
	int fd, other;

	(void)state;
	pair_start(&pair, "migrate");
	for (uint32_t to = 1; to < VFIO_DEVICE_STATE_NR; to++) {
		if (to == VFIO_DEVICE_STATE_RESUMING)
			continue;
		fd = reach(&pair.a, VFIO_DEVICE_STATE_RESUMING);
		assert_int_equal(vfake_write(pair.rig.task, fd, addr(&byte), 1), 1);
		assert_int_equal(set_state(&pair.a, to, &other), -EINVAL);
		assert_int_equal(other, -1);
		assert_int_equal(state_of(&pair.a), VFIO_DEVICE_STATE_ERROR);
		for (uint32_t next = 1; next <= VFIO_DEVICE_STATE_NR; next++)
			assert_int_equal(set_state(&pair.a, next, &other), -EINVAL);
		assert_int_equal(set_state(&pair.a, VFIO_DEVICE_STATE_ERROR, &other), 0);
		set32(&pair.a, VFAKE_COPY_SCRATCH, 1);
		assert_int_equal(get32(&pair.a, VFAKE_COPY_SCRATCH), 0);
		close_fd(&pair.a, fd);
		reset(&pair.a);
		assert_int_equal(state_of(&pair.a), VFIO_DEVICE_STATE_RUNNING);
		set32(&pair.a, VFAKE_COPY_SCRATCH, 1);
		assert_int_equal(get32(&pair.a, VFAKE_COPY_SCRATCH), 1);
	}
	pair_end(&pair);
}

/* ---- what the states mean ---- */

static void dma_stops_and_goes_on(void **state)
{
	static const uint32_t stopped[] = { VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_STOP,
					    VFIO_DEVICE_STATE_STOP_COPY,
					    VFIO_DEVICE_STATE_PRE_COPY_P2P };
	struct pair pair;
	uint64_t moved = 0;

	(void)state;
	pair_start(&pair, "migrate");
	put_desc(
		pair.rig.task, pair.rig.memory + RING, 0,
		(struct desc){ .source = BASE + SOURCE, .dest = BASE + DEST, .length = 16 * PAGE });
	start_ring(&pair.a, BASE + RING, RING_SLOTS);
	set32(&pair.a, VFAKE_COPY_DOORBELL, 1);
	for (size_t i = 0; i < sizeof(stopped) / sizeof(stopped[0]); i++) {
		bool p2p = stopped[i] == VFIO_DEVICE_STATE_RUNNING_P2P ||
			   stopped[i] == VFIO_DEVICE_STATE_PRE_COPY_P2P;
		uint32_t scratch = 100 + (uint32_t)i;
		int fd;

		assert_int_equal(vfake_tick(pair.rig.kernel, 2), 2);
		moved += 2 * PAGE;
		assert_int_equal(set_state(&pair.a, stopped[i], &fd), 0);
		assert_int_equal(vfake_tick(pair.rig.kernel, 5), 0);
		assert_int_equal(get64(&pair.a, VFAKE_COPY_BYTES), moved);
		set32(&pair.a, VFAKE_COPY_SCRATCH, scratch);
		assert_int_equal(get32(&pair.a, VFAKE_COPY_SCRATCH) == scratch, p2p);
		if (fd >= 0)
			close_fd(&pair.a, fd);
		go(&pair.a, VFIO_DEVICE_STATE_RUNNING);
	}
	close_fd(&pair.a, go_stream(&pair.a, VFIO_DEVICE_STATE_PRE_COPY));
	assert_int_equal(vfake_tick(pair.rig.kernel, UINT64_MAX), 16 - moved / PAGE);
	assert_int_equal(get_desc(pair.rig.task, pair.rig.memory + RING, 0).status,
			 VFAKE_COPY_DESC_DONE);
	pair_end(&pair);
}

/* ---- the calls ---- */

static const uint32_t numbers[] = {
	VFIO_DEVICE_FEATURE_MIGRATION,		VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
	VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,	VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
	VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,	VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
	VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
};
static const uint32_t allowed[] = { GET, GET | SET, GET, SET, SET, GET, SET };
static const uint32_t sizes[] = { 8, 8, 8, 24, 0, 32, 0 };

static void features_check_in_order(void **state)
{
	uint8_t data[64] = { 0 };
	struct pair pair;

	(void)state;
	pair_start(&pair, "migrate");
	for (size_t i = 0; i < 7; i++) {
		const uint32_t both = GET | SET;

		for (uint32_t op = 0; op <= both; op += GET) {
			uint32_t flags = numbers[i] | op;
			long bad = (op & ~allowed[i]) || !op || op == both ? -EINVAL : 0;

			assert_int_equal(feature(&pair.a, flags | PROBE, NULL, 0),
					 op & ~allowed[i] ? -EINVAL : 0);
			if (bad)
				assert_int_equal(feature(&pair.a, flags, data, sizes[i]), bad);
			else if (sizes[i])
				assert_int_equal(feature(&pair.a, flags, data, sizes[i] - 1),
						 -EINVAL);
		}
	}
	assert_int_equal(feature(&pair.a, GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, data, 8), 0);
	assert_int_equal(*(const uint64_t *)(const void *)data, VFAKE_MIG_RECORD_BYTES);
	pair_end(&pair);
	pair_start(&pair, "copy");
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(feature(&pair.a, numbers[i] | PROBE, NULL, 0),
				 numbers[i] == VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 ? -EINVAL
										      : -ENOTTY);
	pair_end(&pair);
	pair_start(&pair, "migrate-stop");
	assert_int_equal(feature(&pair.a, SET | VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, NULL, 0),
			 -EINVAL);
	pair_end(&pair);
}

/* The head of a call lies at the end of a page that nothing follows. */
static void an_answer_that_cannot_be_given(void **state)
{
	const struct vfake_task_attr attr = { .memlock_bytes = UINT64_MAX, .cap_ipc_lock = true };
	struct vfio_device_feature head = { .argsz = 16 };
	struct vfake_task *task;
	struct pair pair;
	vfake_addr page;
	int fd;

	(void)state;
	pair_start(&pair, "migrate");
	task = vfake_task_new(pair.rig.kernel, &attr);
	assert_int_equal(vfake_mmap(task, PAGE, VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0, &page),
			 0);
	fd = vfake_pass_fd(pair.rig.task, pair.a.fd, task);
	for (size_t i = 0; i < 7; i++) {
		if (!sizes[i])
			continue;
		head.flags = numbers[i] | (allowed[i] & GET ? GET : SET);
		head.argsz = 8 + sizes[i];
		assert_int_equal(vfake_poke(task, page + PAGE - 8, &head, sizeof(head)), 0);
		assert_int_equal(vfake_ioctl(task, fd, VFIO_DEVICE_FEATURE, page + PAGE - 8),
				 -EFAULT);
	}
	vfake_task_exit(task);
	pair_end(&pair);
}

/* The state has changed when the answer faults, and the descriptor is gone again. */
static void a_stream_that_cannot_be_given(void **state)
{
	const struct {
		uint32_t argsz;
		uint32_t flags;
		struct vfio_device_feature_mig_state arg;
	} set = {
		.argsz = sizeof(set),
		.flags = SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
		.arg.device_state = VFIO_DEVICE_STATE_STOP_COPY,
	};
	struct vfake_ledger before, after;
	struct pair pair;
	vfake_addr at;

	(void)state;
	pair_start(&pair, "migrate");
	assert_int_equal(vfake_mmap(pair.rig.task, PAGE, VFAKE_PROT_READ, pair.rig.memfd, 0, &at),
			 0);
	assert_int_equal(vfake_poke(pair.rig.task, pair.rig.memory, &set, sizeof(set)), 0);
	before = vfake_ledger(pair.rig.kernel);
	assert_int_equal(vfake_ioctl(pair.rig.task, pair.a.fd, VFIO_DEVICE_FEATURE, at), -EFAULT);
	assert_int_equal(state_of(&pair.a), VFIO_DEVICE_STATE_STOP_COPY);
	go(&pair.a, VFIO_DEVICE_STATE_RUNNING);
	after = vfake_ledger(pair.rig.kernel);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(vfake_munmap(pair.rig.task, at, PAGE), 0);
	pair_end(&pair);
}

/* ---- how streams end ---- */

static void a_stream_has_one_direction(void **state)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info) };
	struct pair pair;
	uint8_t byte = 0;
	int fd;

	(void)state;
	pair_start(&pair, "migrate");
	for (int saving = 0; saving < 2; saving++) {
		fd = go_stream(&pair.a,
			       saving ? VFIO_DEVICE_STATE_STOP_COPY : VFIO_DEVICE_STATE_RESUMING);
		if (saving)
			assert_int_equal(vfake_write(pair.rig.task, fd, addr(&byte), 1), -EBADF);
		else
			assert_int_equal(vfake_read(pair.rig.task, fd, addr(&byte), 1), -EBADF);
		assert_int_equal(vfake_pread(pair.rig.task, fd, addr(&byte), 1, 0), -ESPIPE);
		assert_int_equal(vfake_pwrite(pair.rig.task, fd, addr(&byte), 1, 0), -ESPIPE);
		assert_int_equal(call(pair.rig.task, fd, VFIO_MIG_GET_PRECOPY_INFO, &info),
				 saving ? -EINVAL : -ENOTTY);
		assert_int_equal(call(pair.rig.task, fd, VFIO_DEVICE_RESET, &info), -ENOTTY);
		close_fd(&pair.a, fd);
		go(&pair.a, VFIO_DEVICE_STATE_RUNNING);
	}
	pair_end(&pair);
}

/* Closing the stream ends nothing; a reset and the last close of the device do. */
static void who_ends_a_stream(void **state)
{
	struct pair pair;
	uint8_t byte = 0;
	int fd;

	(void)state;
	pair_start(&pair, "migrate");
	close_fd(&pair.a, go_stream(&pair.a, VFIO_DEVICE_STATE_STOP_COPY));
	assert_int_equal(state_of(&pair.a), VFIO_DEVICE_STATE_STOP_COPY);
	go(&pair.a, VFIO_DEVICE_STATE_RUNNING);
	close_fd(&pair.a, go_stream(&pair.a, VFIO_DEVICE_STATE_PRE_COPY));
	go(&pair.a, VFIO_DEVICE_STATE_STOP_COPY);
	go(&pair.a, VFIO_DEVICE_STATE_STOP);
	close_fd(&pair.a, go_stream(&pair.a, VFIO_DEVICE_STATE_RESUMING));
	go(&pair.a, VFIO_DEVICE_STATE_RUNNING);
	fd = go_stream(&pair.a, VFIO_DEVICE_STATE_STOP_COPY);
	reset(&pair.a);
	assert_int_equal(vfake_read(pair.rig.task, fd, addr(&byte), 1), -ENODEV);
	close_fd(&pair.a, fd);
	fd = go_stream(&pair.a, VFIO_DEVICE_STATE_RESUMING);
	close_engine(&pair.a);
	assert_int_equal(vfake_write(pair.rig.task, fd, addr(&byte), 1), -ENODEV);
	pair.a = open_type1(&pair.rig, "a");
	assert_int_equal(state_of(&pair.a), VFIO_DEVICE_STATE_RUNNING);
	assert_int_equal(vfake_write(pair.rig.task, fd, addr(&byte), 1), -ENODEV);
	close_fd(&pair.a, fd);
	pair_end(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_step_is_that_of_the_table),
		cmocka_unit_test(every_change_from_every_state),
		cmocka_unit_test(only_a_reset_leads_out_of_error),
		cmocka_unit_test(dma_stops_and_goes_on),
		cmocka_unit_test(features_check_in_order),
		cmocka_unit_test(an_answer_that_cannot_be_given),
		cmocka_unit_test(a_stream_that_cannot_be_given),
		cmocka_unit_test(a_stream_has_one_direction),
		cmocka_unit_test(who_ends_a_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
