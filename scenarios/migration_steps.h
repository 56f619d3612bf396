/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of VFIO_DEVICE_FEATURE for tests of migration: two devices "a" and "b" behind one type1
 * container each, both with all of the memory mapped at BASE.
 */
#ifndef SCENARIOS_MIGRATION_STEPS_H
#define SCENARIOS_MIGRATION_STEPS_H

#include "engine_rig.h"

enum {
	BASE = 0x10000000,
	RING = 0,
	SOURCE = 8 * PAGE,
	DEST = 32 * PAGE,
	RING_SLOTS = 16,
	GET = VFIO_DEVICE_FEATURE_GET,
	SET = VFIO_DEVICE_FEATURE_SET,
	PROBE = VFIO_DEVICE_FEATURE_PROBE,
	STREAM_MAX = 8 * VFAKE_MIG_RECORD_BYTES,
};

struct pair {
	struct rig rig;
	struct engine a;
	struct engine b;
};

static inline void pair_start(struct pair *pair, const char *model)
{
	rig_start(&pair->rig, model);
	pair->a = open_type1(&pair->rig, "a");
	pair->b = open_type1(&pair->rig, "b");
	assert_int_equal(map_dma(&pair->a, pair->rig.memory, BASE, MEMORY_BYTES, RW), 0);
	assert_int_equal(map_dma(&pair->b, pair->rig.memory, BASE, MEMORY_BYTES, RW), 0);
	fill_memory(pair->rig.task, pair->rig.memory, MEMORY_BYTES, 5);
}

static inline void pair_end(struct pair *pair)
{
	close_engine(&pair->a);
	close_engine(&pair->b);
	rig_end(&pair->rig);
}

/* A feature with @len bytes of payload, in and out. */
static inline long feature(const struct engine *engine, uint32_t flags, void *data, uint32_t len)
{
	struct vfio_device_feature head = { .argsz = (uint32_t)sizeof(head) + len, .flags = flags };
	uint8_t arg[sizeof(head) + 64];
	long ret;

	assert_true(len <= 64);
	memcpy(arg, &head, sizeof(head));
	if (len)
		memcpy(arg + sizeof(head), data, len);
	ret = call(engine->task, engine->fd, VFIO_DEVICE_FEATURE, arg);
	if (len)
		memcpy(data, arg + sizeof(head), len);
	return ret;
}

static inline uint32_t state_of(const struct engine *engine)
{
	struct vfio_device_feature_mig_state arg = { .data_fd = 77 };

	assert_int_equal(
		feature(engine, GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &arg, sizeof(arg)), 0);
	assert_int_equal(arg.data_fd, -1);
	return arg.device_state;
}

/* 0 or -errno; *data_fd gets the stream or -1. */
static inline long set_state(const struct engine *engine, uint32_t state, int *data_fd)
{
	struct vfio_device_feature_mig_state arg = { .device_state = state, .data_fd = 77 };
	long ret = feature(engine, SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &arg, sizeof(arg));

	*data_fd = arg.data_fd;
	return ret;
}

/* A change that gives no stream. */
static inline void go(const struct engine *engine, uint32_t state)
{
	int data_fd;

	assert_int_equal(set_state(engine, state, &data_fd), 0);
	assert_int_equal(data_fd, -1);
	assert_int_equal(state_of(engine), state);
}

/* A change that gives one. */
static inline int go_stream(const struct engine *engine, uint32_t state)
{
	int data_fd;

	assert_int_equal(set_state(engine, state, &data_fd), 0);
	assert_true(data_fd >= 0);
	assert_int_equal(state_of(engine), state);
	return data_fd;
}

static inline void reset(const struct engine *engine)
{
	assert_int_equal(vfake_ioctl(engine->task, engine->fd, VFIO_DEVICE_RESET, 0), 0);
}

static inline void close_fd(const struct engine *engine, int fd)
{
	assert_int_equal(vfake_close(engine->task, fd), 0);
}

/* Bytes until read() gives 0 or an error, in pieces of @piece; *end gets that last result. */
static inline uint32_t read_stream(const struct engine *engine, int fd, uint8_t *bytes,
				   uint32_t piece, long *end)
{
	uint32_t sum = 0;

	for (;;) {
		*end = vfake_read(engine->task, fd, addr(bytes + sum), piece);
		if (*end <= 0)
			return sum;
		sum += (uint32_t)*end;
		assert_true(sum + piece <= STREAM_MAX);
	}
}

/* The first result that is no success, or 0. */
static inline long write_stream(const struct engine *engine, int fd, const uint8_t *bytes,
				uint32_t len, uint32_t piece)
{
	for (uint32_t done = 0; done < len; done += piece) {
		uint32_t n = len - done < piece ? len - done : piece;
		long ret = vfake_write(engine->task, fd, addr(bytes + done), n);

		if (ret < 0)
			return ret;
		assert_int_equal(ret, n);
	}
	return 0;
}

#endif
