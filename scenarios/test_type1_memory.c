/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The type1 container driver: who pays for the pages of a mapping, and memory that is not all of
 * one piece.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "type1_rig.h"

enum {
	RW = VFAKE_PROT_READ | VFAKE_PROT_WRITE,
	VADDR = VFIO_DMA_UNMAP_FLAG_VADDR,
	ALL = VFIO_DMA_UNMAP_FLAG_ALL,
};

/* ---- who pays ---- */

static void the_limit_stops_a_map_in_its_middle(void **state)
{
	struct vfake_task_attr poor = { .memlock_bytes = 10 * PAGE, .host_memory = true };
	struct vfake_world world;
	struct type1 t;

	(void)state;
	world_with_three(&world);
	boot(&t, &world, &poor, VFIO_TYPE1v2_IOMMU);
	assert_int_equal(map(&t, 0, 11 * PAGE), -ENOMEM);
	assert_int_equal(pinned(&t), 0);
	assert_int_equal(map(&t, 0, 10 * PAGE), 0);
	assert_int_equal(locked(&t), 10);
	assert_int_equal(map(&t, 1 << 20, PAGE), -ENOMEM);
	/* A page that is mapped twice is paid twice. */
	assert_int_equal(unmap(&t, 0, 0, 10 * PAGE), 10 * PAGE);
	assert_int_equal(map(&t, 0, 6 * PAGE), 0);
	assert_int_equal(map(&t, 1 << 20, 6 * PAGE), -ENOMEM);
	assert_int_equal(map(&t, 1 << 20, 4 * PAGE), 0);
	assert_int_equal(locked(&t), 10);
	/* Pages are taken in order: what comes first, the limit or a hole, decides. */
	assert_int_equal(unmap(&t, ALL, 0, 0), 10 * PAGE);
	assert_int_equal(dma_map(t.rig.task, t.set.container, READ_WRITE, t.memory + 56 * PAGE, 0,
				 16 * PAGE),
			 -EFAULT);
	assert_int_equal(dma_map(t.rig.task, t.set.container, READ_WRITE, t.memory + 48 * PAGE, 0,
				 32 * PAGE),
			 -ENOMEM);
	assert_int_equal(vfake_memlock(t.rig.task, 3 * PAGE + 1), 0);
	assert_int_equal(map(&t, 0, 4 * PAGE), -ENOMEM);
	assert_int_equal(map(&t, 0, 3 * PAGE), 0);
	assert_int_equal(dma_avail(t.rig.task, t.set.container), 65534);
	end(&t);
}

static void cap_ipc_lock_pays_without_limit(void **state)
{
	struct vfake_task_attr rich = root_here;
	struct vfake_world world;
	struct type1 t;

	(void)state;
	rich.memlock_bytes = 0;
	world_with_three(&world);
	boot(&t, &world, &rich, VFIO_TYPE1v2_IOMMU);
	assert_int_equal(map(&t, 0, 64 * PAGE), 0);
	assert_int_equal(locked(&t), 64);
	assert_int_equal(vfake_memlock(t.rig.task, 0), 0);
	assert_int_equal(map(&t, 1 << 20, PAGE), -ENOMEM);
	assert_int_equal(unmap(&t, ALL, 0, 0), 64 * PAGE);
	assert_int_equal(locked(&t), 0);
	end(&t);
}

static void the_charge_moves_with_the_address(void **state)
{
	struct vfake_task_attr poor = { .memlock_bytes = 8 * PAGE, .host_memory = true };
	struct vfake_task *heir;
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	heir = vfake_task_new(t.rig.kernel, &poor);
	assert_int_equal(vfake_pass_fd(t.rig.task, t.set.container, heir), 0);
	assert_int_equal(map(&t, 0, 6 * PAGE), 0);
	assert_int_equal(map(&t, 1 << 20, 6 * PAGE), 0);
	assert_int_equal(unmap(&t, VADDR | ALL, 0, 0), 12 * PAGE);
	assert_int_equal(dma_map(heir, 0, VFIO_DMA_MAP_FLAG_VADDR, t.memory, 0, 6 * PAGE), 0);
	assert_int_equal(dma_map(heir, 0, VFIO_DMA_MAP_FLAG_VADDR, t.memory, 1 << 20, 6 * PAGE),
			 -ENOMEM);
	assert_int_equal(locked(&t), 12);
	/* The heir pays six of its eight now. */
	assert_int_equal(
		dma_map(heir, 0, READ_WRITE, map_memory(heir, 3 * PAGE), 1 << 24, 3 * PAGE),
		-ENOMEM);
	assert_int_equal(map_vaddr(&t, 1 << 20, 6 * PAGE), 0);
	/* Whoever unmaps, the heir gets it back. */
	assert_int_equal(unmap(&t, 0, 0, 6 * PAGE), 6 * PAGE);
	assert_int_equal(locked(&t), 6);
	assert_int_equal(
		dma_map(heir, 0, READ_WRITE, map_memory(heir, 8 * PAGE), 1 << 24, 8 * PAGE), 0);
	vfake_task_exit(heir);
	assert_int_equal(pinned(&t), 14);
	end(&t);
}

static void an_owner_that_exits_first_is_forgotten(void **state)
{
	struct vfake_task *owner;
	vfake_addr memory;
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	for (int round = 0; round < 3; round++) {
		owner = vfake_task_new(t.rig.kernel, &root_here);
		assert_int_equal(vfake_pass_fd(t.rig.task, t.set.container, owner), 0);
		memory = map_memory(owner, 8 * PAGE);
		assert_int_equal(dma_map(owner, 0, READ_WRITE, memory, 0, 8 * PAGE), 0);
		assert_int_equal(dma_unmap(owner, 0, VADDR, 0, 8 * PAGE, NULL), 0);
		vfake_task_exit(owner);
		assert_int_equal(pinned(&t), 8);
		if (round) {
			assert_int_equal(map_vaddr(&t, 0, 8 * PAGE), 0);
			assert_int_equal(locked(&t), 8);
		}
		if (round < 2)
			assert_int_equal(unmap(&t, 0, 0, 8 * PAGE), 8 * PAGE);
		assert_int_equal(locked(&t), round < 2 ? 0 : 8);
	}
	end(&t);
}

/* A mapping that costs nothing moves to a process that has spent more than its limit. */
static void nothing_is_charged_for_registers(void **state)
{
	struct vfake_task_attr poor = { .memlock_bytes = PAGE, .host_memory = true };
	struct vfake_world world;
	struct vfake_task *heir;
	vfake_addr bar = 0;
	struct type1 t;

	(void)state;
	world_with_three(&world);
	boot(&t, &world, &poor, VFIO_TYPE1v2_IOMMU);
	assert_int_equal(vfake_mmap(t.rig.task, 16 * PAGE, RW, t.set.device, 0, &bar), 0);
	assert_int_equal(dma_map(t.rig.task, t.set.container, READ_WRITE, bar, 0, 16 * PAGE), 0);
	assert_int_equal(locked(&t), 0);
	assert_int_equal(map(&t, 1 << 20, PAGE), 0);
	assert_int_equal(locked(&t), 1);
	heir = vfake_task_new(t.rig.kernel, &poor);
	assert_int_equal(vfake_pass_fd(t.rig.task, t.set.container, heir), 0);
	assert_int_equal(dma_map(heir, 0, READ_WRITE, map_memory(heir, PAGE), 1 << 24, PAGE), 0);
	assert_int_equal(vfake_memlock(heir, 0), 0);
	assert_int_equal(unmap(&t, VADDR, 0, 16 * PAGE), 16 * PAGE);
	assert_int_equal(dma_map(heir, 0, VFIO_DMA_MAP_FLAG_VADDR, bar, 0, 16 * PAGE), 0);
	vfake_task_exit(heir);
	assert_int_equal(vfake_munmap(t.rig.task, bar, 16 * PAGE), 0);
	end(&t);
}

static void mappings_are_counted(void **state)
{
	struct vfake_world world;
	struct type1 t;

	(void)state;
	world_with_three(&world);
	world.dma_entry_limit = 3;
	boot(&t, &world, &root_here, VFIO_TYPE1v2_IOMMU);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(dma_avail(t.rig.task, t.set.container), 3 - i);
		assert_int_equal(map(&t, i * 2 * PAGE, PAGE), 0);
	}
	assert_int_equal(dma_avail(t.rig.task, t.set.container), 0);
	assert_int_equal(map(&t, 8 * PAGE, PAGE), -ENOSPC);
	/* What is there is found first; the reserved range after the limit. */
	assert_int_equal(map(&t, 0, PAGE), -EEXIST);
	assert_int_equal(map(&t, 0xfee00000, PAGE), -ENOSPC);
	assert_int_equal(unmap(&t, VADDR, 0, PAGE), PAGE);
	assert_int_equal(map_vaddr(&t, 0, PAGE), 0);
	assert_int_equal(unmap(&t, 0, 0, 3 * PAGE), 2 * PAGE);
	assert_int_equal(dma_avail(t.rig.task, t.set.container), 2);
	/* One that fails while it pins gives its entry back. */
	assert_int_equal(
		dma_map(t.rig.task, t.set.container, READ_WRITE, t.memory + 64 * PAGE, 0, PAGE),
		-EFAULT);
	assert_int_equal(dma_avail(t.rig.task, t.set.container), 2);
	end(&t);
}

/* ---- memory that is not all of one piece ---- */

static void a_map_may_span_many_areas(void **state)
{
	vfake_addr at, first;
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	for (uint64_t areas = 1; areas <= 20; areas++) {
		first = at = map_memory(t.rig.task, PAGE);
		for (uint64_t i = 1; i < areas; i++, at += PAGE)
			map_memory_at(t.rig.task, at + PAGE, PAGE, RW);
		assert_int_equal(
			dma_map(t.rig.task, t.set.container, READ_WRITE, first, 0, areas * PAGE),
			0);
		assert_int_equal(pinned(&t), areas);
		/* One page more is not there. */
		assert_int_equal(dma_map(t.rig.task, t.set.container, READ_WRITE, first, 1 << 20,
					 (areas + 1) * PAGE),
				 -EFAULT);
		assert_int_equal(pinned(&t), areas);
		assert_int_equal(locked(&t), areas);
		assert_int_equal(unmap(&t, 0, 0, areas * PAGE), areas * PAGE);
		assert_int_equal(vfake_munmap(t.rig.task, first, areas * PAGE), 0);
	}
	end(&t);
}

static void memory_must_allow_what_the_device_may(void **state)
{
	static const int prots[] = { VFAKE_PROT_READ, VFAKE_PROT_WRITE, 0 };
	vfake_addr memory, behind;
	struct type1 t;

	(void)state;
	boot_default(&t, VFIO_TYPE1v2_IOMMU);
	for (size_t i = 0; i < COUNT_OF(prots); i++) {
		memory = map_memory(t.rig.task, 2 * PAGE);
		behind = map_memory_at(t.rig.task, memory + 2 * PAGE, 2 * PAGE, prots[i]);
		for (uint32_t flags = 1; flags <= READ_WRITE; flags++) {
			bool write = flags & VFIO_DMA_MAP_FLAG_WRITE;
			int needed = write ? VFAKE_PROT_WRITE : VFAKE_PROT_READ;
			long want = prots[i] & needed ? 0 : -EFAULT;

			assert_int_equal(
				dma_map(t.rig.task, t.set.container, flags, behind, 0, 2 * PAGE),
				want);
			unmap(&t, ALL, 0, 0);
			assert_int_equal(
				dma_map(t.rig.task, t.set.container, flags, memory, 0, 4 * PAGE),
				want);
			unmap(&t, ALL, 0, 0);
		}
		assert_int_equal(pinned(&t), 0);
		assert_int_equal(vfake_munmap(t.rig.task, memory, 4 * PAGE), 0);
	}
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_limit_stops_a_map_in_its_middle),
		cmocka_unit_test(cap_ipc_lock_pays_without_limit),
		cmocka_unit_test(the_charge_moves_with_the_address),
		cmocka_unit_test(an_owner_that_exits_first_is_forgotten),
		cmocka_unit_test(nothing_is_charged_for_registers),
		cmocka_unit_test(mappings_are_counted),
		cmocka_unit_test(a_map_may_span_many_areas),
		cmocka_unit_test(memory_must_allow_what_the_device_may),
	};

	return cmocka_run_group_tests_name("type1_memory", tests, NULL, NULL);
}
