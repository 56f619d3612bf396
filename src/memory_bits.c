/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bitmaps, a word at a time.
 */
#include "memory.h"

enum { WORD_BITS = 64 };

uint64_t *vfio_bits_new(struct vfio_memory *memory, uint64_t last)
{
	uint64_t words = last / WORD_BITS + 1;

	if (words > SIZE_MAX / sizeof(uint64_t))
		return NULL;
	return vfio_vmm_alloc(&memory->vmm, (size_t)words * sizeof(uint64_t));
}

/* The bits of word number @word that lie in [first, last], which the word must touch. */
static uint64_t mask_of(uint64_t word, uint64_t first, uint64_t last)
{
	uint64_t mask = UINT64_MAX;

	if (word == first / WORD_BITS)
		mask &= UINT64_MAX << first % WORD_BITS;
	if (word == last / WORD_BITS)
		mask &= UINT64_MAX >> (WORD_BITS - 1 - last % WORD_BITS);
	return mask;
}

void vfio_bits_fill(uint64_t *bits, uint64_t first, uint64_t last, bool value)
{
	for (uint64_t word = first / WORD_BITS; word <= last / WORD_BITS; word++) {
		uint64_t mask = mask_of(word, first, last);

		bits[word] = value ? bits[word] | mask : bits[word] & ~mask;
	}
}

bool vfio_bits_test(const uint64_t *bits, uint64_t bit)
{
	return bits[bit / WORD_BITS] >> bit % WORD_BITS & 1;
}

uint64_t vfio_bits_count(const uint64_t *bits, uint64_t last)
{
	uint64_t count = 0;

	/* Bits behind the last one are never set. */
	for (uint64_t word = 0; word <= last / WORD_BITS; word++)
		count += (uint64_t)__builtin_popcountll(bits[word]);
	return count;
}

/* The lowest bit of @value in [first, last]. */
static bool lowest(const uint64_t *bits, bool value, uint64_t first, uint64_t last, uint64_t *bit)
{
	for (uint64_t word = first / WORD_BITS; word <= last / WORD_BITS; word++) {
		uint64_t match = (value ? bits[word] : ~bits[word]) & mask_of(word, first, last);

		if (match) {
			*bit = word * WORD_BITS + (uint64_t)__builtin_ctzll(match);
			return true;
		}
	}
	return false;
}

static bool highest(const uint64_t *bits, bool value, uint64_t first, uint64_t last, uint64_t *bit)
{
	for (uint64_t word = last / WORD_BITS + 1; word-- > first / WORD_BITS;) {
		uint64_t match = (value ? bits[word] : ~bits[word]) & mask_of(word, first, last);

		if (match) {
			*bit = word * WORD_BITS + WORD_BITS - 1 - (uint64_t)__builtin_clzll(match);
			return true;
		}
	}
	return false;
}

bool vfio_bits_first_run(const uint64_t *bits, bool value, uint64_t first, uint64_t last,
			 struct vfio_range *run)
{
	uint64_t behind;

	if (!lowest(bits, value, first, last, &run->start))
		return false;
	run->last = lowest(bits, !value, run->start, last, &behind) ? behind - 1 : last;
	return true;
}

bool vfio_bits_last_run(const uint64_t *bits, bool value, uint64_t first, uint64_t last,
			struct vfio_range *run)
{
	uint64_t before;

	if (!highest(bits, value, first, last, &run->last))
		return false;
	run->start = highest(bits, !value, first, run->last, &before) ? before + 1 : first;
	return true;
}
