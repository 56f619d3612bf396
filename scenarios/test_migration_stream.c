/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data of a migration: a device's whole state arrives in a second device and works on there; a
 * stream that is cut, changed or foreign does not.
 */
#include "migration_steps.h"

/* ---- the state ---- */

/* All that a driver can read of a device. */
struct visible {
	uint32_t regs[VFAKE_COPY_BAR_BYTES / 4];
	uint8_t memory[VFAKE_COPY_BAR_BYTES];
};

static struct visible *look(const struct engine *engine)
{
	struct visible *seen = calloc(1, sizeof(*seen));

	assert_non_null(seen);
	for (uint32_t i = 0; i < VFAKE_COPY_BAR_BYTES / 4; i++)
		seen->regs[i] = get32(engine, 4 * i);
	assert_int_equal(vfake_pread(engine->task, engine->fd, addr(seen->memory),
				     sizeof(seen->memory), region(VFAKE_COPY_BAR_MEMORY, 0)),
			 sizeof(seen->memory));
	return seen;
}

/* A state in which no register that can be other than zero is zero: in the middle of a copy, after
 * a fault, with interrupts that wait. */
static void make_busy(struct pair *pair, const struct engine *engine)
{
	uint8_t memory[VFAKE_COPY_BAR_BYTES];

	put_desc(pair->rig.task, pair->rig.memory + RING, 0,
		 (struct desc){ .source = 1, .dest = BASE + DEST, .length = 5, .flags = 3 });
	put_desc(pair->rig.task, pair->rig.memory + RING, 1,
		 (struct desc){ .source = BASE, .dest = 64, .length = 5 });
	put_desc(pair->rig.task, pair->rig.memory + RING, 2,
		 (struct desc){
			 .source = BASE + SOURCE, .dest = BASE + DEST, .length = 6 * PAGE + 1 });
	start_ring(engine, BASE + RING, RING_SLOTS);
	set64(engine, VFAKE_COPY_SCRATCH, 0x1122334455667788);
	set32(engine, VFAKE_COPY_DOORBELL, 3);
	assert_int_equal(vfake_tick(pair->rig.kernel, 4), 4);
	for (uint32_t i = 0; i < sizeof(memory); i++)
		memory[i] = pattern(9, i);
	assert_int_equal(vfake_pwrite(engine->task, engine->fd, addr(memory), sizeof(memory),
				      region(VFAKE_COPY_BAR_MEMORY, 0)),
			 sizeof(memory));
	assert_int_equal(get32(engine, VFAKE_COPY_STATUS),
			 VFAKE_COPY_STATUS_BUSY | VFAKE_COPY_STATUS_INFLIGHT);
	assert_int_equal(get32(engine, VFAKE_COPY_FAULT_COUNT), 1);
}

/* The whole stream of a stopped device. */
static uint32_t save(const struct engine *engine, uint8_t *bytes, uint32_t piece)
{
	int fd = go_stream(engine, VFIO_DEVICE_STATE_STOP_COPY);
	long end;
	uint32_t len = read_stream(engine, fd, bytes, piece, &end);

	assert_int_equal(end, 0);
	assert_int_equal(vfake_read(engine->task, fd, addr(bytes + len), 1), 0);
	close_fd(engine, fd);
	return len;
}

/* A device resumes: 0 or what write() or the last change of state said. */
static long resume(const struct engine *engine, const uint8_t *bytes, uint32_t len, uint32_t piece)
{
	int fd = go_stream(engine, VFIO_DEVICE_STATE_RESUMING);
	long ret = write_stream(engine, fd, bytes, len, piece);
	int none;
	long end = set_state(engine, VFIO_DEVICE_STATE_RUNNING, &none);

	if (ret)
		assert_int_equal(end, -EINVAL);
	close_fd(engine, fd);
	return ret ? ret : end;
}

static void a_device_goes_on_elsewhere(void **state)
{
	static const uint32_t pieces[] = { 1, 7, 16, 1000, VFAKE_MIG_RECORD_BYTES, 8192 };

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		uint8_t *bytes = calloc(1, STREAM_MAX), *source, *dest;
		struct visible *before, *after;
		struct pair pair;
		uint32_t len;
		int32_t fd;

		pair_start(&pair, "migrate");
		make_busy(&pair, &pair.a);
		before = look(&pair.a);
		len = save(&pair.a, bytes, pieces[i]);
		assert_int_equal(len, VFAKE_MIG_RECORD_BYTES);
		assert_int_equal(resume(&pair.b, bytes, len, pieces[i]), 0);
		after = look(&pair.b);
		assert_memory_equal(before, after, sizeof(*before));
		/* The transfer ends on the second device, with the interrupts that waited. */
		set_master(&pair.b, true);
		fd = vfake_eventfd(pair.rig.task);
		assert_int_equal(set_irqs(&pair.b, VFIO_PCI_MSI_IRQ_INDEX, &fd, 1), 0);
		set32(&pair.b, VFAKE_COPY_IRQ_MASK, 0);
		assert_int_equal(take_signals(pair.rig.task, fd), 2);
		assert_int_equal(vfake_tick(pair.rig.kernel, UINT64_MAX), 5);
		source = snapshot(pair.rig.task, pair.rig.memory);
		dest = source + DEST;
		assert_memory_equal(dest, source + SOURCE, 6 * PAGE + 1);
		assert_int_equal(dest[6 * PAGE + 1], pattern(5, DEST + 6 * PAGE + 1));
		assert_int_equal(get_desc(pair.rig.task, pair.rig.memory, 2).moved, 6 * PAGE + 1);
		assert_int_equal(get32(&pair.b, VFAKE_COPY_FAULT_COUNT), 1);
		assert_int_equal(faults_of(&pair.rig, "b").count, 0);
		free(source);
		free(before);
		free(after);
		free(bytes);
		close_fd(&pair.b, fd);
		pair_end(&pair);
	}
}

/* ---- streams that are not whole ---- */

static uint32_t checksum_of(const uint8_t *record)
{
	uint32_t sum = 2166136261U;

	for (uint32_t i = 0; i < VFAKE_MIG_RECORD_BYTES; i++) {
		sum ^= i - VFAKE_MIG_HEADER_CHECKSUM < 4 ? 0 : record[i];
		sum *= 16777619U;
	}
	return sum;
}

/* Refused, in ERROR, and after a reset as if nothing had come. */
static void check_refused(const struct engine *engine, const uint8_t *bytes, uint32_t len,
			  uint32_t piece)
{
	long ret = resume(engine, bytes, len, piece);

	if (ret != -EINVAL && ret != -EOPNOTSUPP)
		fail_msg("a bad stream of %u bytes gives %ld", len, ret);
	assert_int_equal(state_of(engine), VFIO_DEVICE_STATE_ERROR);
	assert_int_equal(get64(engine, VFAKE_COPY_SCRATCH), 0);
	assert_int_equal(read_at(engine, region(VFAKE_COPY_BAR_MEMORY, 8), 8), 0);
	reset(engine);
}

static void every_cut_is_refused(void **state)
{
	uint8_t *bytes = calloc(1, STREAM_MAX);
	struct pair pair;
	uint32_t len;

	(void)state;
	pair_start(&pair, "migrate");
	make_busy(&pair, &pair.a);
	len = save(&pair.a, bytes, 4096);
	for (uint32_t cut = 1; cut < len; cut++)
		check_refused(&pair.b, bytes, cut, 4096);
	assert_int_equal(resume(&pair.b, bytes, 0, 1), 0); /* nothing came, nothing changes */
	assert_int_equal(get64(&pair.b, VFAKE_COPY_SCRATCH), 0);
	assert_int_equal(resume(&pair.b, bytes, len, 4096), 0);
	assert_true(get64(&pair.b, VFAKE_COPY_SCRATCH) == 0x1122334455667788);
	reset(&pair.b);
	bytes[len] = 0;
	check_refused(&pair.b, bytes, len + 1, len + 1);
	check_refused(&pair.b, bytes, len + 1, len);
	free(bytes);
	pair_end(&pair);
}

static void every_changed_byte_is_refused(void **state)
{
	uint8_t *bytes = calloc(1, STREAM_MAX);
	struct pair pair;
	uint32_t len;

	(void)state;
	pair_start(&pair, "migrate");
	make_busy(&pair, &pair.a);
	len = save(&pair.a, bytes, 4096);
	for (uint32_t at = 0; at < len; at++) {
		bytes[at] ^= (uint8_t)(1U << at % 8);
		check_refused(&pair.b, bytes, len, len);
		bytes[at] ^= (uint8_t)(1U << at % 8);
	}
	free(bytes);
	pair_end(&pair);
}

/* A forger can compute checksums: what no engine can be in is refused all the same. */
static void no_forged_state_is_taken(void **state)
{
	enum { CONTROL, HALT, BASE_LOW, SIZE, STATUS = 6, MASK, HELD, COUNT, INFO, TAKEN = 15 };
	enum { LENGTH = 18, FLAGS, MOVED };
	static const struct {
		int field;
		uint64_t value;
	} bad[] = {
		{ CONTROL, 4 },
		{ HALT, 1 }, /* and a descriptor in hand */
		{ BASE_LOW, 1 },
		{ SIZE, (uint64_t)1 << 32 },
		{ STATUS, 8 },
		{ MASK, 15 },
		{ HELD, 4 },
		{ COUNT, UINT64_MAX },
		{ INFO, 4 },
		{ TAKEN, 2 },
		{ LENGTH, 4096 },
		{ LENGTH, VFAKE_COPY_LENGTH_MAX + 1 },
		{ FLAGS, 4 },
		{ MOVED, 0 },
		{ MOVED, 6 * PAGE + 1 },
	};
	uint8_t *bytes = calloc(1, STREAM_MAX), *forged = calloc(1, STREAM_MAX);
	struct pair pair;
	uint32_t len;

	(void)state;
	pair_start(&pair, "migrate");
	make_busy(&pair, &pair.a);
	len = save(&pair.a, bytes, 4096);
	assert_int_equal(load(bytes + VFAKE_MIG_HEADER_CHECKSUM, 4), checksum_of(bytes));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]) + 2; i++) {
		memcpy(forged, bytes, len);
		if (i < sizeof(bad) / sizeof(bad[0]))
			store(forged + VFAKE_MIG_HEADER_BYTES + 4 + 8 * bad[i].field, bad[i].value,
			      8);
		else
			forged[VFAKE_MIG_HEADER_BYTES + 2 * (i % 2)] ^= 3; /* another device */
		store(forged + VFAKE_MIG_HEADER_CHECKSUM, checksum_of(forged), 4);
		check_refused(&pair.b, forged, len, len);
	}
	/* The same way, but possible. */
	memcpy(forged, bytes, len);
	store(forged + VFAKE_MIG_HEADER_BYTES + 4 + 8 * MOVED, 3 * PAGE, 8);
	store(forged + VFAKE_MIG_HEADER_CHECKSUM, checksum_of(forged), 4);
	assert_int_equal(resume(&pair.b, forged, len, len), 0);
	free(forged);
	free(bytes);
	pair_end(&pair);
}

static void the_errors_of_a_header(void **state)
{
	uint8_t *bytes = calloc(1, STREAM_MAX);
	struct pair pair;
	uint8_t byte = 0;
	int fd, none;

	(void)state;
	pair_start(&pair, "migrate");
	save(&pair.a, bytes, 4096);
	store(bytes + VFAKE_MIG_HEADER_VERSION, VFAKE_MIG_VERSION + 1, 2);
	fd = go_stream(&pair.b, VFIO_DEVICE_STATE_RESUMING);
	assert_int_equal(write_stream(&pair.b, fd, bytes, 15, 1), 0);
	assert_int_equal(vfake_write(pair.rig.task, fd, addr(bytes + 15), 1), -EOPNOTSUPP);
	assert_int_equal(vfake_write(pair.rig.task, fd, addr(bytes), 1), -ENODEV);
	assert_int_equal(state_of(&pair.b), VFIO_DEVICE_STATE_RESUMING);
	assert_int_equal(set_state(&pair.b, VFIO_DEVICE_STATE_STOP, &none), -EINVAL);
	assert_int_equal(state_of(&pair.b), VFIO_DEVICE_STATE_ERROR);
	close_fd(&pair.b, fd);
	reset(&pair.b);
	fd = go_stream(&pair.b, VFIO_DEVICE_STATE_RESUMING);
	assert_int_equal(vfake_write(pair.rig.task, fd, addr(&byte), 0), 0);
	go(&pair.b, VFIO_DEVICE_STATE_STOP);
	close_fd(&pair.b, fd);
	free(bytes);
	pair_end(&pair);
}

/* A world may put the engine behind another device's BARs: no memory in BAR1, or ports. */
static void a_device_without_its_memory(void **state)
{
	static const char *const models[] = { "edu", "plain" };
	uint8_t *bytes = calloc(1, STREAM_MAX);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct vfake_world *world = new_world(models[i]);
		struct pair pair;
		uint32_t len;

		world->devices[0].model = world->devices[1].model = VFAKE_MODEL_MIGRATE;
		pair.rig.kernel = vfake_kernel_new(world, NULL);
		free(world);
		pair.rig.task = new_task(pair.rig.kernel);
		pair.a = open_type1(&pair.rig, "a");
		pair.b = open_type1(&pair.rig, "b");
		set64(&pair.a, VFAKE_COPY_SCRATCH, 12);
		len = save(&pair.a, bytes, 4096);
		assert_int_equal(len, VFAKE_MIG_RECORD_BYTES);
		assert_int_equal(resume(&pair.b, bytes, len, 4096), 0);
		assert_int_equal(get64(&pair.b, VFAKE_COPY_SCRATCH), 12);
		close_engine(&pair.a);
		close_engine(&pair.b);
		assert_int_equal(vfake_ledger(pair.rig.kernel).open_files, 0);
		vfake_kernel_free(pair.rig.kernel);
	}
	free(bytes);
}

/* ---- pre-copy ---- */

static long precopy_info(const struct engine *engine, int fd, struct vfio_precopy_info *info)
{
	*info = (struct vfio_precopy_info){ .argsz = sizeof(*info), .flags = 0xdead };
	return call(engine->task, fd, VFIO_MIG_GET_PRECOPY_INFO, info);
}

static void check_info(const struct engine *engine, int fd, uint32_t flags, uint64_t initial,
		       uint64_t dirty)
{
	struct vfio_precopy_info info;

	assert_int_equal(precopy_info(engine, fd, &info), 0);
	assert_int_equal(info.flags, flags);
	assert_int_equal(info.initial_bytes, initial);
	assert_int_equal(info.dirty_bytes, dirty);
}

enum { RECORD = VFAKE_MIG_RECORD_BYTES };

static void pre_copy_tells_what_is_left(void **state)
{
	uint8_t *bytes = calloc(1, STREAM_MAX);
	struct vfio_precopy_info info;
	uint32_t len = 0;
	struct pair pair;
	long end;
	int fd;

	(void)state;
	pair_start(&pair, "migrate");
	make_busy(&pair, &pair.a);
	fd = go_stream(&pair.a, VFIO_DEVICE_STATE_PRE_COPY);
	check_info(&pair.a, fd, 0xdead, RECORD, 0);
	assert_int_equal(vfake_read(pair.rig.task, fd, addr(bytes), 100), 100);
	check_info(&pair.a, fd, 0xdead, RECORD - 100, 0);
	set64(&pair.a, VFAKE_COPY_SCRATCH, 5);
	check_info(&pair.a, fd, 0xdead, RECORD - 100, RECORD);
	set64(&pair.a, VFAKE_COPY_SCRATCH, 0x1122334455667788); /* as it was */
	check_info(&pair.a, fd, 0xdead, RECORD - 100, 0);
	len = 100 + read_stream(&pair.a, fd, bytes + 100, 1000, &end);
	assert_int_equal(end, -ENOMSG);
	assert_int_equal(len, RECORD);
	check_info(&pair.a, fd, 0xdead, 0, 0);
	/* DMA, then a register while DMA rests, make it dirty again. */
	assert_int_equal(vfake_tick(pair.rig.kernel, 1), 1);
	check_info(&pair.a, fd, 0xdead, 0, RECORD);
	assert_int_equal(vfake_read(pair.rig.task, fd, addr(bytes + len), 10), 10);
	check_info(&pair.a, fd, 0xdead, 0, RECORD - 10);
	len += 10 + read_stream(&pair.a, fd, bytes + len + 10, 999, &end);
	assert_int_equal(end, -ENOMSG);
	go(&pair.a, VFIO_DEVICE_STATE_PRE_COPY_P2P);
	assert_int_equal(vfake_tick(pair.rig.kernel, 1), 0);
	set64(&pair.a, VFAKE_COPY_SCRATCH, 77);
	check_info(&pair.a, fd, 0xdead, 0, RECORD);
	go(&pair.a, VFIO_DEVICE_STATE_STOP_COPY);
	assert_int_equal(precopy_info(&pair.a, fd, &info), -EINVAL);
	info.argsz = sizeof(info) - 1;
	assert_int_equal(call(pair.rig.task, fd, VFIO_MIG_GET_PRECOPY_INFO, &info), -EINVAL);
	len += read_stream(&pair.a, fd, bytes + len, 4000, &end);
	assert_int_equal(end, 0);
	assert_int_equal(len, 3 * RECORD);
	close_fd(&pair.a, fd);
	/* All of it is one stream; without its end it is none. */
	check_refused(&pair.b, bytes, 2 * RECORD, 100);
	assert_int_equal(resume(&pair.b, bytes, len, 10000), 0);
	assert_int_equal(get64(&pair.b, VFAKE_COPY_SCRATCH), 77);
	assert_int_equal(get64(&pair.b, VFAKE_COPY_BYTES), 5 + 3 * PAGE);
	free(bytes);
	pair_end(&pair);
}

/* What was not read before the device stopped is still there, and the end comes after it. */
static void pre_copy_may_be_left_early(void **state)
{
	uint8_t *bytes = calloc(1, STREAM_MAX);
	struct pair pair;
	uint32_t len;
	long end;
	int fd;

	(void)state;
	pair_start(&pair, "migrate");
	make_busy(&pair, &pair.a);
	fd = go_stream(&pair.a, VFIO_DEVICE_STATE_PRE_COPY);
	assert_int_equal(vfake_read(pair.rig.task, fd, addr(bytes), 3), 3);
	go(&pair.a, VFIO_DEVICE_STATE_STOP_COPY);
	len = 3 + read_stream(&pair.a, fd, bytes + 3, 4096, &end);
	assert_int_equal(end, 0);
	assert_int_equal(len, 2 * RECORD);
	assert_int_equal(resume(&pair.b, bytes, len, 33), 0);
	assert_int_equal(get32(&pair.b, VFAKE_COPY_CONSUMER), 2);
	close_fd(&pair.a, fd);
	free(bytes);
	pair_end(&pair);
}

/* With the second version of the answer, a ring that is set up anew is initial data again. */
static void a_new_ring_is_initial_data(void **state)
{
	uint8_t *bytes = calloc(1, STREAM_MAX);
	struct pair pair;
	long end;
	int fd;

	(void)state;
	pair_start(&pair, "migrate");
	fd = go_stream(&pair.a, VFIO_DEVICE_STATE_PRE_COPY);
	set64(&pair.a, VFAKE_COPY_RING_BASE, BASE);
	check_info(&pair.a, fd, 0xdead, RECORD, RECORD);
	assert_int_equal(feature(&pair.a, SET | VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, NULL, 0),
			 0);
	assert_int_equal(vfake_read(pair.rig.task, fd, addr(bytes), 8), 8);
	check_info(&pair.a, fd, VFIO_PRECOPY_INFO_REINIT, 2 * RECORD - 8, 0);
	check_info(&pair.a, fd, 0, 2 * RECORD - 8, 0);
	assert_int_equal(8 + read_stream(&pair.a, fd, bytes + 8, 4096, &end), 2 * RECORD);
	assert_int_equal(end, -ENOMSG);
	set64(&pair.a, VFAKE_COPY_SCRATCH, 1);
	check_info(&pair.a, fd, 0, 0, RECORD);
	set32(&pair.a, VFAKE_COPY_RING_SIZE, 4);
	check_info(&pair.a, fd, VFIO_PRECOPY_INFO_REINIT, RECORD, 0);
	close_fd(&pair.a, fd);
	/* The last close forgets the wish. */
	close_engine(&pair.a);
	pair.a = open_type1(&pair.rig, "a");
	fd = go_stream(&pair.a, VFIO_DEVICE_STATE_PRE_COPY);
	check_info(&pair.a, fd, 0xdead, RECORD, 0);
	close_fd(&pair.a, fd);
	free(bytes);
	pair_end(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_goes_on_elsewhere),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(every_changed_byte_is_refused),
		cmocka_unit_test(no_forged_state_is_taken),
		cmocka_unit_test(the_errors_of_a_header),
		cmocka_unit_test(a_device_without_its_memory),
		cmocka_unit_test(pre_copy_tells_what_is_left),
		cmocka_unit_test(pre_copy_may_be_left_early),
		cmocka_unit_test(a_new_ring_is_initial_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
