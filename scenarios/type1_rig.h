/* SPDX-License-Identifier: BSD-2-Clause */
/* A type1 container with one device and 64 pages of memory, for the tests about it. */
#ifndef SCENARIOS_TYPE1_RIG_H
#define SCENARIOS_TYPE1_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common.h"

struct type1 {
	struct rig rig;
	struct vfio_set set;
	vfake_addr memory;
};

static inline void boot(struct type1 *t, const struct vfake_world *world,
			const struct vfake_task_attr *attr, unsigned long type)
{
	rig_boot(&t->rig, world, attr);
	t->set = open_set(t->rig.task, "d0", type);
	t->memory = map_memory(t->rig.task, 64 * PAGE);
}

static inline void boot_default(struct type1 *t, unsigned long type)
{
	struct vfake_world world;

	world_with_three(&world);
	boot(t, &world, &root_here, type);
}

static inline void end(struct type1 *t)
{
	close_set(t->rig.task, &t->set);
	assert_int_equal(vfake_munmap(t->rig.task, t->memory, 64 * PAGE), 0);
	rig_assert_settled(&t->rig);
	rig_end(&t->rig);
}

static inline long map(struct type1 *t, uint64_t iova, uint64_t size)
{
	return dma_map(t->rig.task, t->set.container, READ_WRITE, t->memory, iova, size);
}

static inline long map_vaddr(struct type1 *t, uint64_t iova, uint64_t size)
{
	return dma_map(t->rig.task, t->set.container, VFIO_DMA_MAP_FLAG_VADDR, t->memory, iova,
		       size);
}

/* The size that an unmap reports, or its errno; on failure the size must stay as it was given. */
static inline long unmap(struct type1 *t, uint32_t flags, uint64_t iova, uint64_t size)
{
	uint64_t unmapped = 0;
	long ret = dma_unmap(t->rig.task, t->set.container, flags, iova, size, &unmapped);

	if (ret)
		assert_int_equal(unmapped, size);
	return ret ? ret : (long)unmapped;
}

static inline uint64_t pinned(const struct type1 *t)
{
	return vfake_ledger(t->rig.kernel).pinned_pages;
}

static inline uint64_t locked(const struct type1 *t)
{
	return vfake_ledger(t->rig.kernel).locked_pages;
}

#endif
