/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the scenarios of guest memory share: a heap that counts and can refuse, and numbers from a
 * seed.
 */
#ifndef SCENARIOS_MEMORY_RIG_H
#define SCENARIOS_MEMORY_RIG_H

#include <stdlib.h>
#include <string.h>

#include <vfio/memory.h>

/* More than this is more than there is: no scenario depends on what the machine would overcommit.
 */
enum { HEAP_MOST = 1 << 24 };

/* Refuses the allocation number `fail_at`, counted from 1, and all behind it; 0 is never. */
struct heap {
	size_t out;
	size_t calls;
	size_t fail_at;
	bool fails_once; /* what is behind it is granted again */
};

static bool heap_refuses(const struct heap *heap)
{
	if (!heap->fail_at || heap->calls < heap->fail_at)
		return false;
	return heap->calls == heap->fail_at || !heap->fails_once;
}

static void *heap_alloc(void *ctx, size_t size)
{
	struct heap *heap = ctx;
	void *block;

	heap->calls++;
	if (size > HEAP_MOST || heap_refuses(heap))
		return NULL;
	block = calloc(1, size);
	assert_non_null(block);
	heap->out++;
	return block;
}

static void heap_free(void *ctx, void *block)
{
	struct heap *heap = ctx;

	assert_true(heap->out > 0);
	heap->out--;
	free(block);
}

/* From now on, refuses the allocation number @number. */
static inline void heap_fail_at(struct heap *heap, size_t number)
{
	heap->calls = 0;
	heap->fail_at = number;
}

static inline struct vfio_memory *memory_on(struct heap *heap)
{
	const struct vfio_vmm vmm = { .ctx = heap, .alloc = heap_alloc, .free = heap_free };
	struct vfio_memory *memory;

	memset(heap, 0, sizeof(*heap));
	memory = vfio_memory_new(&vmm);
	assert_non_null(memory);
	return memory;
}

static inline void memory_end(struct vfio_memory *memory, struct heap *heap)
{
	vfio_memory_free(memory);
	assert_int_equal(heap->out, 0);
}

static inline uint64_t draw(uint64_t *seed)
{
	uint64_t x = (*seed += 0x9e3779b97f4a7c15ULL);

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* A number below @bound. */
static inline uint64_t draw_below(uint64_t *seed, uint64_t bound)
{
	return draw(seed) % bound;
}

#endif
