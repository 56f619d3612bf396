/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IOVA map against its peers: n disjoint ranges of 4 KiB, 8 KiB apart. mapA maps them in
 * ascending, mapR in random order; look-up is of random addresses, independent of each other or
 * each depending on the last result; unmap is one by one in another random order. Every repetition
 * has orders and addresses of its own: on a short sequence that repeats, a branch predictor learns
 * the whole path through a binary tree.
 */
#include <stdio.h>
#include <stdlib.h>

#include "iova_peer.h"

enum metric { MAP_A, MAP_R, LOOK_UP, DEPENDENT, UNMAP, BYTES_A, BYTES_R, METRICS };

enum {
	LOOK_UPS_MAX = 1 << 18,
	OPS_PER_ROUND = 1 << 16, /* at least: small maps are repeated up to it */
	SEED = 20260131,
};

static const char *const metric_name[METRICS] = {
	"mapA", "mapR", "look-up", "dependent", "unmap", "B/mapA", "B/mapR",
};

/* The first is ours. */
static const struct iova_peer *const peers[] = { &peer_own, &peer_rbtree, &peer_type1,
						 &peer_gtree };
enum { PEERS = sizeof(peers) / sizeof(peers[0]) };

/* One size, with what every map must beat there. */
struct size {
	const char *name;
	size_t n;
	double map_unmap_goal;
};

static const struct size sizes[] = {
	{ "1K", 1000, 1.6 },
	{ "64K", 65536, 2.2 },
	{ "1M", 1000000, 3.0 },
};

/* What one repetition does, the same for each peer. */
struct work {
	size_t n;
	size_t look_ups;
	uint32_t *ascending;
	uint32_t *map_order;
	uint32_t *unmap_order;
	uint64_t *iova;
};

static void work_init(struct work *work, size_t n)
{
	work->n = n;
	work->look_ups = n < LOOK_UPS_MAX ? n : LOOK_UPS_MAX;
	work->ascending = bench_alloc(n, sizeof(work->ascending[0]));
	work->map_order = bench_alloc(n, sizeof(work->map_order[0]));
	work->unmap_order = bench_alloc(n, sizeof(work->unmap_order[0]));
	work->iova = bench_alloc(work->look_ups, sizeof(work->iova[0]));
	for (size_t i = 0; i < n; i++)
		work->ascending[i] = (uint32_t)i;
}

static void work_draw(struct work *work, uint64_t *seed)
{
	bench_shuffle(work->map_order, work->n, seed);
	bench_shuffle(work->unmap_order, work->n, seed);
	for (size_t i = 0; i < work->look_ups; i++)
		work->iova[i] = bench_draw(seed) % work->n * STRIDE_BYTES +
				bench_draw(seed) % (RANGE_BYTES - 1);
}

static void work_fini(struct work *work)
{
	free(work->ascending);
	free(work->map_order);
	free(work->unmap_order);
	free(work->iova);
}

/* The sum that any peer's look-ups must come to. */
static uint64_t expected_sum(const struct work *work)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < work->look_ups; i++)
		sum += work->iova[i] / STRIDE_BYTES * 2;
	return sum;
}

/* Runs *work on one peer; adds nanoseconds per operation, and bytes per range, to sum[]. */
static void measure(const struct iova_peer *peer, const struct work *work, double sum[METRICS])
{
	uint64_t expected = expected_sum(work);
	double n = (double)work->n;
	double look_ups = (double)work->look_ups;
	uint64_t found;
	uint64_t from;
	void *map;

	bench_settle_heap();
	map = peer->create(work->n);
	from = bench_cpu_ns();
	peer->map(map, work->ascending, work->n);
	sum[MAP_A] += (double)(bench_cpu_ns() - from) / n;
	sum[BYTES_A] += (double)peer->bytes(map) / n;
	peer->destroy(map);

	bench_settle_heap();
	map = peer->create(work->n);
	from = bench_cpu_ns();
	peer->map(map, work->map_order, work->n);
	sum[MAP_R] += (double)(bench_cpu_ns() - from) / n;
	sum[BYTES_R] += (double)peer->bytes(map) / n;

	from = bench_cpu_ns();
	found = peer->look_up(map, work->iova, work->look_ups, false);
	sum[LOOK_UP] += (double)(bench_cpu_ns() - from) / look_ups;
	bench_require(found == expected, "find every address");

	from = bench_cpu_ns();
	found = peer->look_up(map, work->iova, work->look_ups, true);
	sum[DEPENDENT] += (double)(bench_cpu_ns() - from) / look_ups;
	bench_require(found == expected, "find every address");

	from = bench_cpu_ns();
	peer->unmap(map, work->unmap_order, work->n);
	sum[UNMAP] += (double)(bench_cpu_ns() - from) / n;
	peer->destroy(map);
}

/* All rounds at one size: the medians go to result[][]. */
static void measure_size(const struct bench *bench, size_t n, double result[PEERS][METRICS])
{
	static const double zero[METRICS];
	double(*sample)[METRICS][BENCH_ROUNDS_MAX] = bench_alloc(PEERS, sizeof(*sample));
	unsigned int repeats = n < OPS_PER_ROUND ? (unsigned int)(OPS_PER_ROUND / n) : 1;
	uint64_t seed = SEED + n;
	struct work work;

	work_init(&work, n);
	for (unsigned int round = 0; round < bench->rounds; round++) {
		double sum[PEERS][METRICS];

		for (unsigned int peer = 0; peer < PEERS; peer++)
			for (unsigned int metric = 0; metric < METRICS; metric++)
				sum[peer][metric] = zero[metric];
		for (unsigned int repeat = 0; repeat < repeats; repeat++) {
			work_draw(&work, &seed);
			for (unsigned int peer = 0; peer < PEERS; peer++)
				measure(peers[peer], &work, sum[peer]);
		}
		for (unsigned int peer = 0; peer < PEERS; peer++)
			for (unsigned int metric = 0; metric < METRICS; metric++)
				sample[peer][metric][round] = sum[peer][metric] / repeats;
	}
	for (unsigned int peer = 0; peer < PEERS; peer++)
		for (unsigned int metric = 0; metric < METRICS; metric++)
			result[peer][metric] = bench_median(sample[peer][metric], bench->rounds);
	work_fini(&work);
	free(sample);
}

static void report_ratios(struct bench *bench, const struct size *size, const double *own,
			  const double *peer, const char *name)
{
	char table[64];
	char row[64];

	snprintf(table, sizeof(table), "times as fast as the peer");
	snprintf(row, sizeof(row), "%s %s", size->name, name);
	bench_value(bench, table, row, "mapA", peer[MAP_A] / own[MAP_A]);
	bench_value(bench, table, row, "mapR+unmap",
		    (peer[MAP_R] + peer[UNMAP]) / (own[MAP_R] + own[UNMAP]));
	bench_value(bench, table, row, "look-up", peer[LOOK_UP] / own[LOOK_UP]);
	bench_value(bench, table, row, "dependent", peer[DEPENDENT] / own[DEPENDENT]);
}

static void report_goals(struct bench *bench, const struct size *size, const double *own,
			 const double *rbtree)
{
	char what[64];

	snprintf(what, sizeof(what), "%s mapR+unmap against rbtree", size->name);
	bench_goal_at_least(bench, what, size->map_unmap_goal,
			    (rbtree[MAP_R] + rbtree[UNMAP]) / (own[MAP_R] + own[UNMAP]), "x");
	snprintf(what, sizeof(what), "%s look-up against rbtree", size->name);
	bench_goal_at_least(bench, what, 3.0, rbtree[LOOK_UP] / own[LOOK_UP], "x");
	snprintf(what, sizeof(what), "%s memory per range, random order", size->name);
	bench_goal_at_most(bench, what, 64, own[BYTES_R], " B");
}

static void run(struct bench *bench)
{
	size_t count = sizeof(sizes) / sizeof(sizes[0]);

	if (bench->quick)
		count--; /* without the million */
	for (size_t i = 0; i < count; i++) {
		double result[PEERS][METRICS];
		char row[64];

		measure_size(bench, sizes[i].n, result);
		for (unsigned int peer = 0; peer < PEERS; peer++) {
			snprintf(row, sizeof(row), "%s %s", sizes[i].name, peers[peer]->name);
			for (unsigned int metric = 0; metric < METRICS; metric++)
				bench_value(bench, "ns per operation, bytes per range", row,
					    metric_name[metric], result[peer][metric]);
		}
		for (unsigned int peer = 1; peer < PEERS; peer++)
			report_ratios(bench, &sizes[i], result[0], result[peer], peers[peer]->name);
		report_goals(bench, &sizes[i], result[0], result[1]);
	}
}

const struct bench_section bench_iova = {
	.name = "iova",
	.about = "the IOVA map against a red-black tree, type1's use of one, and QEMU's iova-tree",
	.run = run,
};
