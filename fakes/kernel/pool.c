/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks of one size that come and go by the million.
 *
 * Imitates what a slab cache is to Linux 7.2: iommufd's areas and pages come from one here, and the
 * nodes of IOVA maps from another. Kept:
 * a block that is freed is the next that is given out, so it is likely in the processor's cache.
 * The list of free blocks is an array beside them: a block that nobody has looked at for long is
 * in no cache, and to free it does not touch it either. Dropped: memory goes back to the system
 * with the kernel, not before. Under AddressSanitizer every block comes from the heap, so that a
 * use after free is seen.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel.h"

enum {
	SLAB_BYTES_MIN = 64 * 1024,
	SLAB_BYTES_MAX = 2 * 1024 * 1024,
	CACHE_LINE = 64,
};

struct vfake_pool_slab {
	struct vfake_pool_slab *next;
	unsigned char *used; /* up to here blocks have been given out at least once */
	unsigned char *end;
};

#if defined(__SANITIZE_ADDRESS__)
enum { POOLS_ARE_HEAP = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { POOLS_ARE_HEAP = 1 };
#else
enum { POOLS_ARE_HEAP = 0 };
#endif
#else
enum { POOLS_ARE_HEAP = 0 };
#endif

static size_t block_bytes(const struct vfake_pool *pool)
{
	return (pool->size_bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
}

/*
 * A small kernel has small slabs. The largest are of the size and alignment of a huge page, which
 * the host is asked for: in a tree of a million areas every look-up misses the TLB otherwise.
 */
static struct vfake_pool_slab *new_slab(size_t bytes)
{
	struct vfake_pool_slab *slab;

	if (bytes < SLAB_BYTES_MAX)
		return aligned_alloc(CACHE_LINE, bytes);
	slab = aligned_alloc(bytes, bytes);
	if (slab)
		madvise(slab, bytes, MADV_HUGEPAGE);
	return slab;
}

/* Room in the list for all blocks that there are, so that to free one never fails. */
static bool reserve_free(struct vfake_pool *pool, size_t blocks)
{
	void **list = realloc(pool->free, (pool->blocks + blocks) * sizeof(*list));

	if (!list)
		return false;
	pool->free = list;
	pool->blocks += blocks;
	return true;
}

static bool add_slab(struct vfake_pool *pool)
{
	size_t bytes = pool->slab_bytes ? pool->slab_bytes : SLAB_BYTES_MIN;
	struct vfake_pool_slab *slab;

	if (!reserve_free(pool, (bytes - CACHE_LINE) / block_bytes(pool)))
		return false;
	slab = new_slab(bytes);
	if (!slab)
		return false;
	pool->slab_bytes = bytes < SLAB_BYTES_MAX ? 2 * bytes : bytes;
	slab->next = pool->slabs;
	slab->used = (unsigned char *)slab + CACHE_LINE;
	slab->end = (unsigned char *)slab + bytes;
	pool->slabs = slab;
	return true;
}

static inline __attribute__((always_inline)) void prefetch_block(const void *block, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += CACHE_LINE)
		__builtin_prefetch((const char *)block + at, 1);
}

static void *take_block(struct vfake_pool *pool)
{
	size_t bytes = block_bytes(pool);
	void *block;

	if (pool->free_count) {
		block = pool->free[--pool->free_count];
		if (pool->free_count)
			prefetch_block(pool->free[pool->free_count - 1], bytes);
		return block;
	}
	if ((!pool->slabs || (size_t)(pool->slabs->end - pool->slabs->used) < bytes) &&
	    !add_slab(pool))
		return NULL;
	block = pool->slabs->used;
	pool->slabs->used += bytes;
	return block;
}

void *vfake_pool_alloc(struct vfake_kernel *kernel, struct vfake_pool *pool)
{
	void *block;

	if (POOLS_ARE_HEAP)
		return vfake_alloc(kernel, pool->size_bytes);
	block = vfake_fault(kernel, VFAKE_FAULT_ALLOC) ? NULL : take_block(pool);
	if (!block)
		return NULL;
	kernel->ledger.allocations += kernel->booted;
	return memset(block, 0, pool->size_bytes);
}

void vfake_pool_free(struct vfake_kernel *kernel, struct vfake_pool *pool, void *block)
{
	if (POOLS_ARE_HEAP) {
		vfake_free(kernel, block);
		return;
	}
	kernel->ledger.allocations -= kernel->booted;
	pool->free[pool->free_count++] = block;
}

void vfake_pool_destroy(struct vfake_pool *pool)
{
	struct vfake_pool_slab *slab = pool->slabs;

	while (slab) {
		struct vfake_pool_slab *next = slab->next;

		free(slab);
		slab = next;
	}
	free(pool->free);
	*pool = (struct vfake_pool){ .size_bytes = pool->size_bytes };
}
