/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A structure that maps IOVA ranges, as bench_iova.c drives it. The i-th range is the 4 KiB at i *
 * 8 KiB and its value is 2 * i: even, which the dependent look-up needs.
 *
 * The operations are whole loops, so that a peer made of macros is inlined into them as it would be
 * in a program; the loops are the same for all, below.
 */
#ifndef VFAKE_IOVA_PEER_H
#define VFAKE_IOVA_PEER_H

#include "bench.h"

enum {
	RANGE_BYTES = 4096,
	STRIDE_BYTES = 8192,
};

struct iova_peer {
	const char *name;
	void *(*create)(size_t room);
	void (*destroy)(void *map);
	void (*map)(void *map, const uint32_t *order, size_t n);
	void (*unmap)(void *map, const uint32_t *order, size_t n);
	uint64_t (*look_up)(void *map, const uint64_t *iova, size_t n, bool dependent);
	size_t (*bytes)(void *map); /* all of its memory, the allocator's overhead included */
};

extern const struct iova_peer peer_own;
extern const struct iova_peer peer_gtree;
extern const struct iova_peer peer_rbtree;
extern const struct iova_peer peer_type1;

#define PEER_LOOP static inline __attribute__((always_inline))

PEER_LOOP void peer_map_loop(void *map, const uint32_t *order, size_t n,
			     bool (*map_one)(void *map, uint64_t start, uint64_t value))
{
	for (size_t i = 0; i < n; i++)
		bench_require(map_one(map, (uint64_t)order[i] * STRIDE_BYTES, 2ULL * order[i]),
			      "map a range");
}

PEER_LOOP void peer_unmap_loop(void *map, const uint32_t *order, size_t n,
			       bool (*unmap_one)(void *map, uint64_t start))
{
	for (size_t i = 0; i < n; i++)
		bench_require(unmap_one(map, (uint64_t)order[i] * STRIDE_BYTES), "unmap a range");
}

/* Dependent: each address needs the last result, although the bit it takes from there is always
 * zero. */
PEER_LOOP uint64_t peer_look_up_loop(void *map, const uint64_t *iova, size_t n, bool dependent,
				     uint64_t (*look_up_one)(void *map, uint64_t iova))
{
	uint64_t sum = 0;
	uint64_t last = 0;

	if (dependent) {
		for (size_t i = 0; i < n; i++) {
			last = look_up_one(map, iova[i] + (last & 1));
			sum += last;
		}
		return sum;
	}
	for (size_t i = 0; i < n; i++)
		sum += look_up_one(map, iova[i]);
	return sum;
}

#endif
