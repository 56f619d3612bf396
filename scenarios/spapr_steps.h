/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A POWER machine with three devices and what is done with its containers again and again.
 */
#ifndef SCENARIOS_SPAPR_STEPS_H
#define SCENARIOS_SPAPR_STEPS_H

#include <vfake/spapr.h>

#include "kernel_steps.h"

enum { PAGE = 65536, MIB = 1 << 20 };
static const uint64_t gib = 1 << 30;
static const uint64_t second_window = (uint64_t)1 << 59;

struct world {
	struct vfake_world machine;
	struct vfake_kernel *kernel;
	struct vfake_task *task;
};

static inline void start_machine(struct world *world)
{
	world->kernel = start(&world->machine);
	world->task = new_process(world->kernel, true, 1 << 23);
}

/* Three devices, each in a group of its own. */
static inline int setup(void **state)
{
	static struct world world;

	vfake_world_powernv(&world.machine);
	assert_int_equal(vfake_world_add_device(&world.machine, "d0", "edu"), 0);
	assert_int_equal(vfake_world_add_device(&world.machine, "d1", "edu"), 0);
	assert_int_equal(vfake_world_add_device(&world.machine, "d2", "edu"), 0);
	start_machine(&world);
	*state = &world;
	return 0;
}

static inline int teardown(void **state)
{
	struct world *world = *state;

	vfake_task_exit(world->task);
	assert_clean(world->kernel);
	vfake_kernel_free(world->kernel);
	return 0;
}

/* Another machine, a new process in it; the process before is gone or did nothing. */
static inline void restart(struct world *world)
{
	vfake_kernel_free(world->kernel);
	start_machine(world);
}

enum { SMALL_WINDOW = 16 * MIB };

/* A machine whose tables are quickly cleared, for tests of many rounds. */
static inline void small_window(struct world *world)
{
	world->machine.spapr.window_size_bytes = SMALL_WINDOW;
	vfake_task_exit(world->task);
	restart(world);
}

/* An open container with the device's group in it and no driver yet. */
static inline int empty_container(struct world *world, struct vfake_task *task, const char *device,
				  int *group)
{
	int container = vfake_open(task, "/dev/vfio/vfio");

	assert_true(container >= 0);
	*group = open_group(task, world->kernel, device);
	assert_true(*group >= 0);
	assert_int_equal(call(task, *group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	return container;
}

static inline int new_container(struct world *world, struct vfake_task *task, uint64_t type,
				const char *device)
{
	int group;
	int container = empty_container(world, task, device, &group);

	assert_int_equal(call_with(task, container, VFIO_SET_IOMMU, type), 0);
	return container;
}

static inline vfake_addr new_memory(struct vfake_task *task, uint64_t len)
{
	vfake_addr addr;

	assert_int_equal(vfake_mmap(task, len, VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0, &addr),
			 0);
	return addr;
}

static inline long map(struct vfake_task *task, int container, uint32_t flags, uint64_t vaddr,
		       uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg), .flags = flags, .vaddr = vaddr, .iova = iova, .size = size
	};

	return call(task, container, VFIO_IOMMU_MAP_DMA, &arg);
}

static inline long unmap(struct vfake_task *task, int container, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap arg = { .argsz = sizeof(arg),
						  .iova = iova,
						  .size = size };

	return call(task, container, VFIO_IOMMU_UNMAP_DMA, &arg);
}

static inline long registration(struct vfake_task *task, int container, unsigned long number,
				uint64_t vaddr, uint64_t size)
{
	struct vfio_iommu_spapr_register_memory arg = { .argsz = sizeof(arg),
							.vaddr = vaddr,
							.size = size };

	return call(task, container, number, &arg);
}

static inline long enrol(struct vfake_task *task, int container, uint64_t vaddr, uint64_t size)
{
	return registration(task, container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, vaddr, size);
}

static inline long withdraw(struct vfake_task *task, int container, uint64_t vaddr, uint64_t size)
{
	return registration(task, container, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, vaddr, size);
}

static inline long create(struct vfake_task *task, int container, uint32_t page_shift,
			  uint64_t size, uint32_t levels, uint64_t *start_addr)
{
	struct vfio_iommu_spapr_tce_create arg = { .argsz = sizeof(arg),
						   .page_shift = page_shift,
						   .window_size = size,
						   .levels = levels,
						   .start_addr = 0xdead };
	long ret = call(task, container, VFIO_IOMMU_SPAPR_TCE_CREATE, &arg);

	*start_addr = arg.start_addr;
	return ret;
}

static inline long drop_window(struct vfake_task *task, int container, uint64_t start_addr)
{
	struct vfio_iommu_spapr_tce_remove arg = { .argsz = sizeof(arg), .start_addr = start_addr };

	return call(task, container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &arg);
}

/* The entry as the hardware reads it, most significant byte first. */
static inline uint64_t tce_at(struct vfake_task *task, int container, uint64_t iova)
{
	unsigned char bytes[8];
	uint64_t tce = 0;

	assert_int_equal(vfake_spapr_tce(task, container, iova, bytes), 0);
	for (int i = 0; i < 8; i++)
		tce = tce << 8 | bytes[i];
	return tce;
}

/* Registered memory of the process, newest first. */
static inline struct vfake_spapr_region region(struct vfake_task *task, uint32_t index)
{
	struct vfake_spapr_region seen;

	assert_int_equal(vfake_spapr_region(task, index, &seen), 0);
	return seen;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
