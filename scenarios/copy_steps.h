/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steps of tests with a copy engine: what the memory must be is kept beside it.
 */
#ifndef SCENARIOS_COPY_STEPS_H
#define SCENARIOS_COPY_STEPS_H

#include "engine_rig.h"

/* Where things are in the memory, and at the same place in IOVAs above BASE. */
enum {
	BASE = 0x10000000,
	RING = 0,	   /* one page */
	SOURCE = 8 * PAGE, /* 16 pages */
	DEST = 32 * PAGE,  /* 16 pages */
	RING_SLOTS = 16,
};

struct test {
	struct rig rig;
	struct engine engine;
	uint8_t *expected; /* of the memory */
};

static inline void expect_now(struct test *t)
{
	free(t->expected);
	t->expected = snapshot(t->rig.task, t->rig.memory);
}

/* The memory is as expected, but for the ring, which is compared by its descriptors. */
static inline void check_memory(struct test *t)
{
	uint8_t *now = snapshot(t->rig.task, t->rig.memory);

	assert_memory_equal(now + PAGE, t->expected + PAGE, MEMORY_BYTES - PAGE);
	free(now);
}

static inline void fill_all(struct test *t)
{
	fill_memory(t->rig.task, t->rig.memory, MEMORY_BYTES, 1);
	expect_now(t);
}

/* Device "a" behind type1, all memory mapped at BASE, the ring running. */
static inline void begin(struct test *t)
{
	memset(t, 0, sizeof(*t));
	rig_start(&t->rig, "copy");
	t->engine = open_type1(&t->rig, "a");
	assert_int_equal(map_dma(&t->engine, t->rig.memory, BASE, MEMORY_BYTES, RW), 0);
	start_ring(&t->engine, BASE + RING, RING_SLOTS);
	fill_all(t);
}

static inline void end(struct test *t)
{
	close_engine(&t->engine);
	free(t->expected);
	rig_end(&t->rig);
}

static inline void put(struct test *t, uint32_t slot, struct desc desc)
{
	put_desc(t->rig.task, t->rig.memory + RING, slot, desc);
}

static inline void check_desc(struct test *t, uint32_t slot, uint32_t status, uint32_t moved)
{
	struct desc desc = get_desc(t->rig.task, t->rig.memory + RING, slot);

	assert_int_equal(desc.status, status);
	assert_int_equal(desc.moved, moved);
}

static inline struct desc copy_of(uint64_t source, uint64_t dest, uint32_t length)
{
	return (struct desc){ .source = BASE + source, .dest = BASE + dest, .length = length };
}

static inline uint64_t run_all(struct test *t)
{
	return vfake_tick(t->rig.kernel, UINT64_MAX);
}

/* How many chunks there are, counted a byte at a time. */
static inline uint64_t count_chunks(uint64_t source, uint64_t dest, uint32_t length)
{
	uint64_t chunks = 1;

	for (uint32_t i = 1; i < length; i++)
		chunks +=
			(source + i) % VFAKE_COPY_CHUNK == 0 || (dest + i) % VFAKE_COPY_CHUNK == 0;
	return chunks;
}

static inline void copy_one(struct test *t, uint64_t source, uint64_t dest, uint32_t length)
{
	uint32_t slot = get32(&t->engine, VFAKE_COPY_CONSUMER);
	uint64_t bytes = get64(&t->engine, VFAKE_COPY_BYTES);

	put(t, slot, copy_of(source, dest, length));
	memcpy(t->expected + dest, t->expected + source, length);
	set32(&t->engine, VFAKE_COPY_DOORBELL, (slot + 1) % RING_SLOTS);
	assert_int_equal(run_all(t), count_chunks(source, dest, length));
	check_desc(t, slot, VFAKE_COPY_DESC_DONE, length);
	check_memory(t);
	assert_int_equal(get32(&t->engine, VFAKE_COPY_CONSUMER), (slot + 1) % RING_SLOTS);
	assert_int_equal(get32(&t->engine, VFAKE_COPY_STATUS), 0);
	assert_int_equal(get64(&t->engine, VFAKE_COPY_BYTES), bytes + length);
}

#endif
