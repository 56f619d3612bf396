/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory of which no byte too many can be touched: a block ends where its pages end, and behind it
 * there are none; what was given back is not there any more.
 */
#ifndef SCENARIOS_CPR_FENCE_H
#define SCENARIOS_CPR_FENCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* In front of each block. */
struct cpr_fence {
	void *pages;
	size_t bytes; /* of them */
};

/* Zeroed. Its size is a multiple of what its objects are aligned to, so they are. */
static inline void *cpr_fenced(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t used = sizeof(struct cpr_fence) + size;
	size_t bytes = (used + page - 1) / page * page;
	uint8_t *pages = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct cpr_fence fence = { .pages = pages, .bytes = bytes + page };

	assert_true(pages != MAP_FAILED);
	assert_int_equal(mprotect(pages + bytes, page, PROT_NONE), 0);
	memcpy(pages + bytes - used, &fence, sizeof(fence));
	return pages + bytes - used + sizeof(fence);
}

static inline void cpr_unfence(void *block)
{
	struct cpr_fence fence;

	memcpy(&fence, (uint8_t *)block - sizeof(fence), sizeof(fence));
	assert_int_equal(munmap(fence.pages, fence.bytes), 0);
}

#endif
