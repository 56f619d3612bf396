/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log of a device's DMA, against a list of the bytes that this test knows were written.
 */
#include "migration_steps.h"

typedef struct vfio_device_feature_dma_logging_range log_range;

enum { PAGES = MEMORY_BYTES / PAGE };

/* 0 or -errno; *page gets the page size that came back. */
static long start_log(const struct engine *engine, const log_range *ranges, uint32_t count,
		      uint64_t *page)
{
	struct vfio_device_feature_dma_logging_control arg = { .page_size = *page,
							       .num_ranges = count,
							       .ranges = addr(ranges) };
	long ret = feature(engine, SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, &arg, sizeof(arg));

	*page = arg.page_size;
	return ret;
}

static long stop_log(const struct engine *engine)
{
	return feature(engine, SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0);
}

static long report(const struct engine *engine, uint64_t iova, uint64_t length, uint64_t page,
		   const void *bitmap)
{
	struct vfio_device_feature_dma_logging_report arg = {
		.iova = iova, .length = length, .page_size = page, .bitmap = addr(bitmap)
	};

	return feature(engine, GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, &arg, sizeof(arg));
}

/* ---- what start refuses ---- */

struct start_case {
	uint64_t page;
	uint32_t count;
	log_range ranges[2];
	long result;
	uint64_t answer; /* page size that comes back */
};

static const struct start_case start_cases[] = {
	{ 4096, 0, { { 0, 4096 } }, -EINVAL, 4096 },
	{ 4096, PAGE / 16 + 1, { { 0, 4096 } }, -E2BIG, 4096 },
	{ 4096, 1, { { 1, 4096 } }, -EINVAL, 4096 },
	{ 4096, 1, { { 4096, 4095 } }, -EINVAL, 4096 },
	{ 8192, 1, { { 4096, 8192 } }, -EINVAL, 8192 },
	{ 4096, 1, { { UINT64_MAX - 4095, 4096 } }, -EOVERFLOW, 4096 },
	{ 4096, 1, { { UINT64_MAX - 4095, 8192 } }, -EOVERFLOW, 4096 },
	{ 4096, 2, { { 0, 8192 }, { 4096, 4096 } }, -EINVAL, 4096 },
	{ 4096, 2, { { 8192, 4096 }, { 0, 16384 } }, -EINVAL, 4096 },
	{ 4096, 2, { { 0, 0 }, { 4096, 4096 } }, -EINVAL, 4096 }, /* reaches from 0 to the end */
	{ 4096, 2, { { 4096, 4096 }, { 0, 4096 } }, 0, 4096 },
	{ 4096, 1, { { UINT64_MAX - 8191, 4096 } }, 0, 4096 },
	{ 1, 1, { { 3, 5 } }, 0, VFAKE_LOG_PAGE_MIN },
	{ 1 << 16, 1, { { 1 << 16, 1 << 16 } }, 0, 1 << 16 },
	{ 1 << 30, 1, { { 0, 1 << 30 } }, 0, VFAKE_LOG_PAGE_MAX },
	{ 12288, 1, { { 0, 1 << 14 } }, 0, 8192 }, /* no power of two: only its bits count */
	{ 0, 1, { { 4096, 4096 } }, -EINVAL, 0 },
};

static void start_checks_its_ranges(void **state)
{
	struct pair pair;
	uint64_t page;

	(void)state;
	pair_start(&pair, "migrate");
	for (size_t i = 0; i < sizeof(start_cases) / sizeof(start_cases[0]); i++) {
		const struct start_case *c = &start_cases[i];

		page = c->page;
		assert_int_equal(start_log(&pair.a, c->ranges, c->count, &page), c->result);
		assert_int_equal(page, c->answer);
		if (c->result)
			continue;
		/* It cannot start twice; a range that is wrong is seen before. */
		page = 4096;
		assert_int_equal(start_log(&pair.a, c->ranges, 1, &page), -EINVAL);
		assert_int_equal(start_log(&pair.a, (const log_range *)8, 1, &page), -EFAULT);
		assert_int_equal(stop_log(&pair.a), 0);
	}
	assert_int_equal(stop_log(&pair.a), 0);
	pair_end(&pair);
}

static void report_checks_its_argument(void **state)
{
	static const log_range all = { 0, (uint64_t)1 << 40 };
	uint64_t page = 4096, bits = 0;
	struct pair pair;

	(void)state;
	pair_start(&pair, "migrate");
	for (int active = 0; active < 2; active++) {
		assert_int_equal(report(&pair.a, BASE, PAGE, 2048, &bits), -EINVAL);
		assert_int_equal(report(&pair.a, BASE, PAGE, 0, &bits), -EINVAL);
		assert_int_equal(report(&pair.a, BASE, PAGE, 12288, &bits), -EINVAL);
		assert_int_equal(report(&pair.a, UINT64_MAX, PAGE, PAGE, &bits), -EOVERFLOW);
		assert_int_equal(report(&pair.a, BASE, PAGE, PAGE, &bits), active ? 0 : -EINVAL);
		assert_int_equal(report(&pair.a, BASE, 0, PAGE, &bits), active ? 0 : -EINVAL);
		if (!active)
			assert_int_equal(start_log(&pair.a, &all, 1, &page), 0);
	}
	/* A reset keeps the log, the last close ends it. */
	reset(&pair.a);
	assert_int_equal(report(&pair.a, BASE, PAGE, PAGE, &bits), 0);
	close_engine(&pair.a);
	pair.a = open_type1(&pair.rig, "a");
	assert_int_equal(report(&pair.a, BASE, PAGE, PAGE, &bits), -EINVAL);
	assert_int_equal(bits, 0);
	pair_end(&pair);
}

/* ---- the truth ---- */

/* Which bytes of the memory were written since they were last reported, where ranges are. */
struct truth {
	struct pair pair;
	bool logged[MEMORY_BYTES];
	bool written[MEMORY_BYTES];
	uint64_t log_page;
	uint64_t random;
};

static uint64_t draw(struct truth *t, uint64_t below)
{
	t->random = t->random * 6364136223846793005 + 1442695040888963407;
	return (t->random >> 24) % below;
}

static void write_bytes(struct truth *t, uint64_t dest, uint64_t length)
{
	for (uint64_t i = dest; i < dest + length; i++)
		t->written[i] |= t->logged[i];
}

static void do_dma(struct truth *t, uint64_t dest, uint32_t length)
{
	uint32_t slot = get32(&t->pair.a, VFAKE_COPY_CONSUMER);

	put_desc(t->pair.rig.task, t->pair.rig.memory + RING, slot,
		 (struct desc){ .source = BASE + PAGE, .dest = BASE + dest, .length = length });
	set32(&t->pair.a, VFAKE_COPY_DOORBELL, (slot + 1) % RING_SLOTS);
	vfake_tick(t->pair.rig.kernel, UINT64_MAX);
	assert_int_equal(get_desc(t->pair.rig.task, t->pair.rig.memory + RING, slot).status,
			 VFAKE_COPY_DESC_DONE);
	write_bytes(t, dest, length);
	write_bytes(t, RING + slot * 32U + VFAKE_COPY_DESC_STATUS, 8);
}

/* Whether a byte of the log's page around @at was written. */
static bool is_dirty(const struct truth *t, uint64_t at)
{
	uint64_t page = at - at % t->log_page;

	for (uint64_t i = page; i < page + t->log_page && i < MEMORY_BYTES; i++) {
		if (t->written[i])
			return true;
	}
	return false;
}

/* Reports [start, start + length) in pages of @page and compares each bit. */
static void check_report(struct truth *t, uint64_t start, uint64_t length, uint64_t page)
{
	uint64_t bitmap[PAGES / 64 + 2] = { 0 }, expected[PAGES / 64 + 2];

	bitmap[PAGES / 64 + 1] = 0x5a; /* what is set stays */
	bitmap[0] = (uint64_t)1 << 60;
	memcpy(expected, bitmap, sizeof(bitmap));
	for (uint64_t at = start; at < start + length; at += 512) {
		uint64_t bit = (at - start) / page;

		if (is_dirty(t, at))
			expected[bit / 64] |= (uint64_t)1 << bit % 64;
	}
	assert_int_equal(report(&t->pair.a, BASE + start, length, page, bitmap), 0);
	assert_memory_equal(bitmap, expected, sizeof(bitmap));
	for (uint64_t at = 0; at < MEMORY_BYTES; at += t->log_page) {
		if (at >= start && at + t->log_page <= start + length)
			memset(t->written + at, 0, t->log_page);
	}
}

static void begin(struct truth *t, uint64_t log_page, const log_range *ranges, uint32_t count)
{
	uint64_t page = log_page;

	memset(t, 0, sizeof(*t));
	t->random = log_page;
	t->log_page = log_page;
	pair_start(&t->pair, "migrate");
	start_ring(&t->pair.a, BASE + RING, RING_SLOTS);
	do_dma(t, DEST, PAGE); /* before the log */
	assert_int_equal(start_log(&t->pair.a, ranges, count, &page), 0);
	assert_int_equal(page, log_page);
	for (uint32_t i = 0; i < count; i++) {
		for (uint64_t at = 0; at < MEMORY_BYTES; at++)
			t->logged[at] |= BASE + at >= ranges[i].iova &&
					 BASE + at < ranges[i].iova + ranges[i].length;
	}
}

static void the_log_is_the_truth(void **state)
{
	static const log_range ranges[] = { { BASE, 16 * PAGE },
					    { BASE + 48 * PAGE, 64 * PAGE },
					    { BASE + 32 * PAGE, 8 * PAGE } };
	static const uint64_t log_pages[] = { PAGE, 2 * PAGE, 8 * PAGE };

	(void)state;
	for (size_t p = 0; p < sizeof(log_pages) / sizeof(log_pages[0]); p++) {
		struct truth *t = malloc(sizeof(*t));

		assert_non_null(t);
		begin(t, log_pages[p], ranges, 3);
		check_report(t, 0, MEMORY_BYTES, PAGE);
		for (uint32_t round = 0; round < 80; round++) {
			uint64_t page = (uint64_t)PAGE << draw(t, 4);
			uint64_t start = draw(t, PAGES) * PAGE;
			uint64_t length = draw(t, PAGES - start / PAGE + 1) * PAGE;

			for (uint64_t i = draw(t, 4); i; i--) {
				uint64_t dest = 3 * PAGE + draw(t, 50 * PAGE);

				do_dma(t, dest, (uint32_t)draw(t, 3 * PAGE));
			}
			if (length)
				check_report(t, start, length, page);
		}
		check_report(t, 0, MEMORY_BYTES, PAGE);
		check_report(t, 0, MEMORY_BYTES, PAGE);
		assert_int_equal(stop_log(&t->pair.a), 0);
		pair_end(&t->pair);
		free(t);
	}
}

/* What faults is not written; what was before the fault is. */
static void a_fault_dirties_nothing(void **state)
{
	static const log_range ranges[] = { { BASE, 2 * MEMORY_BYTES } };
	struct truth *t = malloc(sizeof(*t));
	uint64_t bitmap[2 * PAGES / 64] = { 0 };

	(void)state;
	assert_non_null(t);
	begin(t, PAGE, ranges, 1);
	put_desc(t->pair.rig.task, t->pair.rig.memory + RING, 1,
		 (struct desc){ .source = BASE + PAGE,
				.dest = BASE + MEMORY_BYTES - PAGE - 1,
				.length = 2 * PAGE });
	set32(&t->pair.a, VFAKE_COPY_DOORBELL, 2);
	vfake_tick(t->pair.rig.kernel, UINT64_MAX);
	assert_int_equal(get32(&t->pair.a, VFAKE_COPY_FAULT_COUNT), 1);
	assert_int_equal(report(&t->pair.a, BASE, 2 * MEMORY_BYTES, PAGE, bitmap), 0);
	assert_true(bitmap[0] == ((uint64_t)3 << (PAGES - 2) | 1));
	assert_true(bitmap[1] == 0);
	pair_end(&t->pair);
	free(t);
}

/* A bitmap that cannot be written loses its bits, and nobody says so. */
static void a_bitmap_that_is_not_there(void **state)
{
	static const log_range ranges[] = { { BASE, MEMORY_BYTES } };
	struct truth *t = malloc(sizeof(*t));
	uint64_t bits = 0;

	(void)state;
	assert_non_null(t);
	begin(t, PAGE, ranges, 1);
	do_dma(t, DEST, 100);
	assert_int_equal(report(&t->pair.a, BASE, MEMORY_BYTES, PAGE, (void *)8), 0);
	assert_int_equal(report(&t->pair.a, BASE, MEMORY_BYTES, PAGE, &bits), 0);
	assert_int_equal(bits, 0);
	pair_end(&t->pair);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_checks_its_ranges),
		cmocka_unit_test(report_checks_its_argument),
		cmocka_unit_test(the_log_is_the_truth),
		cmocka_unit_test(a_fault_dirties_nothing),
		cmocka_unit_test(a_bitmap_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
