/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sPAPR TCE containers: what each version allows, who pays, and what lies in the tables. What the
 * calls return for random input is in the recordings; here is what those cannot show: charges,
 * bytes in tables, other machines.
 */
#include <vfake/view.h>

#include "spapr_steps.h"

/* ---- machines and versions ---- */

static void test_extensions(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int group, container = empty_container(world, task, "d0", &group);

	assert_int_equal(call_with(task, container, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(call_with(task, container, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_IOMMU), 1);
	assert_int_equal(call_with(task, container, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_v2_IOMMU),
			 1);
	assert_int_equal(call_with(task, container, VFIO_CHECK_EXTENSION, VFIO_EEH), 1);
	assert_int_equal(call_with(task, container, VFIO_SET_IOMMU, VFIO_EEH), -EINVAL);
	assert_int_equal(call_with(task, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -ENODEV);
	assert_int_equal(call_with(task, container, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	assert_int_equal(call_with(task, container, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_IOMMU), -EINVAL);
}

static void test_get_info(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int v1 = new_container(world, task, VFIO_SPAPR_TCE_IOMMU, "d0");
	int v2 = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d1");
	struct vfio_iommu_spapr_tce_info info = { .argsz = sizeof(info), .dma32_window_start = 7 };

	assert_int_equal(call(task, v1, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info), 0);
	assert_int_equal(info.flags, 0);
	assert_int_equal(info.dma32_window_start, 0);
	assert_int_equal(info.dma32_window_size, 2 * gib);
	assert_int_equal(info.ddw.levels, 0);
	assert_int_equal(call(task, v2, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info), 0);
	assert_int_equal(info.flags, VFIO_IOMMU_SPAPR_INFO_DDW);
	assert_int_equal(info.ddw.pgsizes, 0x40211000);
	assert_int_equal(info.ddw.max_dynamic_windows_supported, 2);
	assert_int_equal(info.ddw.levels, 5);
	info = (struct vfio_iommu_spapr_tce_info){ .argsz = sizeof(info) - 1, .ddw.pgsizes = 9 };
	assert_int_equal(call(task, v2, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info), 0);
	assert_int_equal(info.flags, VFIO_IOMMU_SPAPR_INFO_DDW);
	assert_int_equal(info.ddw.pgsizes, 9); /* all of that part or nothing */
	info.argsz = 15;
	assert_int_equal(call(task, v2, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info), -EINVAL);
}

/* Calls of the other version do not exist, and that is said before the argument is read. */
static void test_versions(void **state)
{
	static const unsigned long v2_only[] = { VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
						 VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
						 VFIO_IOMMU_SPAPR_TCE_CREATE,
						 VFIO_IOMMU_SPAPR_TCE_REMOVE };
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int v1 = new_container(world, task, VFIO_SPAPR_TCE_IOMMU, "d0");
	int v2 = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d1");

	for (size_t i = 0; i < 4; i++)
		assert_int_equal(call_with(task, v1, v2_only[i], 0x10), -ENOTTY);
	assert_int_equal(call_with(task, v2, VFIO_IOMMU_ENABLE, 0), -ENOTTY);
	assert_int_equal(call_with(task, v2, VFIO_IOMMU_DISABLE, 0), -ENOTTY);
	assert_int_equal(call_with(task, v2, VFIO_IOMMU_MAP_DMA, 0x10), -EPERM);
	assert_int_equal(call_with(task, v2, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, 0x10), -EPERM);
	assert_int_equal(call_with(task, v2, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 0x10), -EFAULT);
	/* The call that failed made this process the owner. */
	assert_int_equal(call_with(task, v2, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, 0x10), -EFAULT);
}

static void test_machine_without_windows(void **state)
{
	struct world *world = *state;
	int group, container;

	world->machine.spapr.windows = 0;
	world->machine.spapr.window_size_bytes = 0;
	world->machine.spapr.eeh = false;
	restart(world);
	container = empty_container(world, world->task, "d0", &group);
	assert_int_equal(call_with(world->task, container, VFIO_CHECK_EXTENSION, VFIO_EEH), 0);
	assert_int_equal(call_with(world->task, container, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU),
			 -EINVAL);
	assert_int_equal(call_with(world->task, container, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_IOMMU),
			 0);
	assert_int_equal(call_with(world->task, container, VFIO_IOMMU_ENABLE, 0), -EPERM);
}

/* ---- version 1 ---- */

static void test_enable_charges_window(void **state)
{
	struct world *world = *state;
	struct vfake_task *poor = new_process(world->kernel, false, 2 * gib - PAGE);
	struct vfake_task *rich = new_process(world->kernel, false, 2 * gib);
	int container = new_container(world, poor, VFIO_SPAPR_TCE_IOMMU, "d0");

	assert_int_equal(call_with(poor, container, VFIO_IOMMU_ENABLE, 0), -ENOMEM);
	assert_int_equal(call_with(poor, container, VFIO_IOMMU_DISABLE, 0), 0);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, 0);
	container = new_container(world, rich, VFIO_SPAPR_TCE_IOMMU, "d1");
	assert_int_equal(call_with(rich, container, VFIO_IOMMU_ENABLE, 0), 0);
	assert_int_equal(call_with(rich, container, VFIO_IOMMU_ENABLE, 0), -EBUSY);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, 2 * gib / PAGE);
	/* The window's own table is charged on top when it comes, and there is no room for it. */
	assert_int_equal(unmap(rich, container, 0, 0), -ENOMEM);
	assert_int_equal(call_with(rich, container, VFIO_IOMMU_DISABLE, 0), 0);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, 0);
	assert_int_equal(call_with(rich, container, VFIO_IOMMU_ENABLE, 0), 0);
	vfake_task_exit(poor);
	vfake_task_exit(rich);
}

static void test_v1_entries(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_IOMMU, "d0");
	vfake_addr memory = new_memory(task, 4 * PAGE);
	uint64_t base;

	assert_int_equal(map(task, container, 3, memory, 0, 4096), -EPERM);
	assert_int_equal(call_with(task, container, VFIO_IOMMU_ENABLE, 0), 0);
	assert_int_equal(map(task, container, 3, memory, 0x10000, 8 * 4096), 0);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 8); /* one for each TCE */
	base = tce_at(task, container, 0x10000) - 3;
	assert_int_equal(base % PAGE, 0);
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(tce_at(task, container, 0x10000 + i * 4096), base + i * 4096 + 3);
	assert_int_equal(tce_at(task, container, 0x18000), 0);
	assert_int_equal(map(task, container, 1, memory + 4096, 0x10000, 4096), 0);
	assert_int_equal(tce_at(task, container, 0x10000), base + 4096 + 1);
	assert_int_equal(map(task, container, 2, memory, 0x10000, 4096), 0);
	assert_int_equal(tce_at(task, container, 0x10000), base + 3); /* who writes also reads */
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 8);
	assert_int_equal(unmap(task, container, 0x10000, 4096), 0);
	assert_int_equal(tce_at(task, container, 0x10000), 0);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 7);
	assert_int_equal(vfake_munmap(task, memory, 4 * PAGE), 0); /* the pages stay pinned */
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 7);
	assert_int_equal(unmap(task, container, 0, 2 * gib), 0);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 0);
}

/* Entries that begin within a system page, over others, over two pieces of memory. */
static void test_v1_runs(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_IOMMU, "d0");
	vfake_addr memory[2] = { new_memory(task, 4 * PAGE), new_memory(task, 4 * PAGE) };
	/* across the end of what the table takes memory for at a time */
	const uint64_t iova = 512 * 4096 - 20 * 4096;
	uint64_t base[2];

	assert_int_equal(call_with(task, container, VFIO_IOMMU_ENABLE, 0), 0);
	for (uint64_t i = 0; i < 2; i++) {
		assert_int_equal(map(task, container, 3, memory[i], 0, 4096), 0);
		base[i] = tce_at(task, container, 0) - 3;
		assert_int_equal(map(task, container, 3, memory[i] + 4096, (8 + i) * MIB, 4096), 0);
	}
	assert_int_equal(map(task, container, 3, memory[0] + 3 * 4096, iova, 40 * 4096), 0);
	assert_int_equal(
		map(task, container, 3, memory[1] + 15 * 4096, iova + 10 * 4096, 20 * 4096), 0);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 43);
	for (uint64_t i = 0; i < 40; i++) {
		bool second = i >= 10 && i < 30;
		uint64_t page = second ? 15 + i - 10 : 3 + i;

		assert_int_equal(tce_at(task, container, iova + i * 4096),
				 base[second] + page * 4096 + 3);
	}
	assert_int_equal(unmap(task, container, iova + 5 * 4096, 30 * 4096), 0);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 13);
	assert_int_equal(tce_at(task, container, iova + 4 * 4096), base[0] + 7 * 4096 + 3);
	assert_int_equal(tce_at(task, container, iova + 5 * 4096), 0);
	assert_int_equal(tce_at(task, container, iova + 35 * 4096), base[0] + 38 * 4096 + 3);
	assert_int_equal(unmap(task, container, 0, 2 * gib), 0);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 0);
}

static void test_v1_refusals(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_IOMMU, "d0");
	vfake_addr memory = new_memory(task, 2 * PAGE), fixed;

	assert_int_equal(call_with(task, container, VFIO_IOMMU_ENABLE, 0), 0);
	assert_int_equal(map(task, container, 3, memory, 2 * gib, 4096), -ENXIO);
	assert_int_equal(map(task, container, 3, memory, 0, 4095), -EINVAL);
	assert_int_equal(map(task, container, 3, memory + 1, 0, 4096), -EINVAL);
	assert_int_equal(map(task, container, 0, memory, 0, 4096), -EINVAL);
	assert_int_equal(map(task, container, 4, memory, 0, 4096), -EINVAL);
	assert_int_equal(map(task, container, 3, memory, 512, 4096), 1);
	assert_int_equal(map(task, container, 3, memory, 0, 0), 0);
	/* The entries before the page that fails are cleared, not restored. */
	assert_int_equal(map(task, container, 3, memory, 0, 4096), 0);
	assert_int_equal(map(task, container, 3, memory, 0, 3 * PAGE), -EFAULT);
	assert_int_equal(tce_at(task, container, 0), 0);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 0);
	assert_int_equal(vfake_mmap(task, PAGE, VFAKE_PROT_READ, -1, 0, &fixed), 0);
	assert_int_equal(map(task, container, 1, fixed, 0, 4096), -EFAULT);
	assert_int_equal(map(task, container, 1, fixed, 0, 2 * PAGE), -EFAULT);
	/* memory that ends with the address space */
	assert_int_equal(map(task, container, 1, -(uint64_t)PAGE, 0, 2 * PAGE), -EFAULT);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 0);
	assert_int_equal(unmap(task, container, 2 * gib, 4096), -ENXIO);
	assert_int_equal(unmap(task, container, 0, 1), -EINVAL);
	assert_int_equal(unmap(task, container, 1, 4096), 1);
	assert_int_equal(unmap(task, container, 0, 2 * gib + 4096), 1);
}

/* Only the first page is checked against the window. What crosses its end is never translated. */
static void test_map_across_the_end(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_IOMMU, "d0");
	vfake_addr memory = new_memory(task, 16 * MIB);
	unsigned char bytes[8];

	assert_int_equal(call_with(task, container, VFIO_IOMMU_ENABLE, 0), 0);
	assert_int_equal(map(task, container, 3, memory, 2 * gib - 4096, 16 * MIB), 0);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 4096);
	assert_int_equal(vfake_spapr_tce(task, container, 2 * gib, bytes), -ENOENT);
	assert_int_equal(map(task, container, 3, memory, 2 * gib - 4096, 16 * MIB), 0);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 4096);
	assert_int_equal(unmap(task, container, 2 * gib - 4096, 4096), 0);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 4095);
}

/* ---- version 2: memory ---- */

static void test_registration(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int a = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	int b = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d1");
	vfake_addr memory = new_memory(task, 8 * PAGE);

	assert_int_equal(enrol(task, a, memory, 4 * PAGE), 0);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 4);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, 4);
	assert_int_equal(enrol(task, a, memory, 4 * PAGE), -EBUSY);
	assert_int_equal(enrol(task, b, memory, 4 * PAGE), 0);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, 4); /* once for the process */
	assert_int_equal(region(task, 0).registrations, 2);
	assert_int_equal(enrol(task, b, memory + 3 * PAGE, 2 * PAGE), -EINVAL);
	assert_int_equal(enrol(task, b, memory, 3 * PAGE), -EINVAL);
	assert_int_equal(enrol(task, b, memory + 4 * PAGE, PAGE), 0);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, 5);
	assert_int_equal(withdraw(task, a, memory + 4 * PAGE, PAGE), -ENOENT); /* b's */
	assert_int_equal(withdraw(task, a, memory, 3 * PAGE), -ENOENT);
	assert_int_equal(withdraw(task, a, memory, 4 * PAGE), 0);
	assert_int_equal(withdraw(task, a, memory, 4 * PAGE), -ENOENT);
	assert_int_equal(region(task, 1).registrations, 1);
	assert_int_equal(withdraw(task, b, memory, 4 * PAGE), 0);
	assert_int_equal(withdraw(task, b, memory + 4 * PAGE, PAGE), 0);
	assert_int_equal(vfake_spapr_region(task, 0, &(struct vfake_spapr_region){ 0 }), -ENOENT);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 0);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, 0);
}

static void test_registration_refusals(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	vfake_addr memory = new_memory(task, 8 * PAGE), fixed;

	assert_int_equal(vfake_mmap(task, PAGE, VFAKE_PROT_READ, -1, 0, &fixed), 0);
	assert_int_equal(enrol(task, container, memory + 4096, PAGE), -EINVAL);
	assert_int_equal(enrol(task, container, memory, PAGE - 1), -EINVAL);
	assert_int_equal(enrol(task, container, memory, UINT64_MAX - PAGE + 1), -EINVAL);
	assert_int_equal(enrol(task, container, memory, 0), -ENOMEM);
	assert_int_equal(enrol(task, container, fixed, PAGE), -EFAULT);
	assert_int_equal(enrol(task, container, memory, 9 * PAGE), 8); /* pages, and no region */
	assert_int_equal(withdraw(task, container, memory, 9 * PAGE), -ENOENT);
	assert_int_equal(map(task, container, 3, memory, 0, 4096), -EPERM);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 0);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, 0);
}

static void test_registration_limit(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = new_process(world->kernel, false, 4 * PAGE);
	int container = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	vfake_addr memory = new_memory(task, 8 * PAGE);

	assert_int_equal(enrol(task, container, memory, 5 * PAGE), -ENOMEM);
	assert_int_equal(enrol(task, container, memory, 4 * PAGE), 0);
	assert_int_equal(enrol(task, container, memory + 4 * PAGE, PAGE), -ENOMEM);
	assert_int_equal(map(task, container, 3, memory, 0, 4096), -ENOMEM); /* the table */
	assert_int_equal(withdraw(task, container, memory, 4 * PAGE), 0);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, 0);
	vfake_task_exit(task);
}

static void test_map_needs_registration(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	vfake_addr memory = new_memory(task, 8 * PAGE);

	assert_int_equal(enrol(task, container, memory, 4 * PAGE), 0);
	assert_int_equal(map(task, container, 3, memory, 0, 4 * PAGE), 0);
	assert_int_equal(region(task, 0).tces, 64);
	assert_int_equal(map(task, container, 1, memory + PAGE, 0, PAGE), 0);
	assert_int_equal(region(task, 0).tces, 64);
	assert_int_equal(map(task, container, 3, memory + 3 * PAGE, 2 * PAGE, 2 * PAGE), -EINVAL);
	assert_int_equal(region(task, 0).tces, 48); /* what was filled is cleared */
	assert_int_equal(map(task, container, 3, memory + 6 * PAGE, 0, 4096), -EINVAL);
	assert_int_equal(unmap(task, container, 0, 4 * PAGE), 0);
	assert_int_equal(region(task, 0).tces, 0);
}

/* It succeeds, and the region stays where nobody can take it back: Linux 7.2 does so. */
static void test_withdraw_while_mapped(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	vfake_addr memory = new_memory(task, 8 * PAGE);

	assert_int_equal(enrol(task, container, memory, 4 * PAGE), 0);
	assert_int_equal(map(task, container, 3, memory, 0, PAGE), 0);
	assert_int_equal(withdraw(task, container, memory, 4 * PAGE), 0);
	assert_int_equal(withdraw(task, container, memory, 4 * PAGE), -ENOENT);
	assert_int_equal(enrol(task, container, memory, 8 * PAGE), -EINVAL);
	assert_int_equal(map(task, container, 3, memory, PAGE, PAGE), 0);
	assert_int_equal(unmap(task, container, 0, 2 * PAGE), 0);
	assert_int_equal(region(task, 0).registrations, 1);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 4);
}

/* ---- version 2: windows ---- */

static void test_windows(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	struct vfake_spapr_window window;
	uint64_t start;

	assert_int_equal(vfake_spapr_window(task, container, 0, &window), -ENOENT);
	assert_int_equal(create(task, container, 16, gib, 1, &start), 0);
	assert_int_equal(start, second_window);
	assert_int_equal(vfake_spapr_window(task, container, 0, &window), 0); /* the default one */
	assert_int_equal(window.start, 0);
	assert_int_equal(window.page_shift, 12);
	assert_int_equal(window.entries, 2 * gib / 4096);
	assert_int_equal(window.charged_bytes, 2 * 4 * MIB);
	assert_int_equal(vfake_spapr_window(task, container, 1, &window), 0);
	assert_int_equal(window.entries, gib / PAGE);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, 8 * MIB / PAGE + 2 * 2);
	assert_int_equal(create(task, container, 16, gib, 1, &start), -ENOSPC);
	assert_int_equal(start, 0xdead);
	assert_int_equal(create(task, container, 13, 3, 9, &start), -ENOSPC); /* that comes first */
	assert_int_equal(drop_window(task, container, second_window + gib), -EINVAL);
	assert_int_equal(drop_window(task, container, second_window + gib - 1), 0);
	assert_int_equal(drop_window(task, container, 4097), 0);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, 0);
	assert_int_equal(create(task, container, 30, 64 * gib, 1, &start), 0);
	assert_int_equal(start,
			 0); /* the first place is free, and the default does not come back */
	assert_int_equal(vfake_spapr_window(task, container, 0, &window), 0);
	assert_int_equal(window.entries, 8192); /* what a page holds, more than was asked for */
}

static void test_window_shapes(void **state)
{
	static const struct {
		uint32_t page_shift;
		uint64_t size;
		uint32_t levels;
		long result;
	} shapes[] = {
		{ 12, (uint64_t)1 << 31, 0, -EINVAL },
		{ 12, (uint64_t)1 << 31, 6, -EINVAL },
		{ 13, (uint64_t)1 << 31, 1, -EINVAL },
		{ 24, (uint64_t)1 << 31, 1, -EINVAL },
		{ 12, 0, 1, -EINVAL },
		{ 12, 3 << 20, 1, -EINVAL },
		{ 12, (uint64_t)1 << 34, 1, -ENOMEM },
		{ 12, (uint64_t)1 << 34, 2, 0 },
		{ 12, (uint64_t)1 << 33, 1, 0 },
		{ 16, (uint64_t)1 << 31, 3, -EINVAL },
		{ 12, (uint64_t)1 << 31, 3, 0 },
		{ 12, (uint64_t)1 << 31, 4, -EINVAL },
		{ 30, 1 << 28, 1, 0 },
		{ 16, 1 << 12, 1, -EINVAL },
		{ 30, (uint64_t)1 << 63, 1, -EINVAL },
		{ 12 + 128, 1 << 20, 1, -EINVAL },
		{ 64, 1 << 20, 1, -EINVAL },
		{ 21, (uint64_t)1 << 32, 2, 0 },
		{ 21, (uint64_t)1 << 32, 3, -EINVAL },
		{ 12, (uint64_t)1 << 50, 3, 0 },
		{ 12, (uint64_t)1 << 54, 3, 0 },
		{ 12, (uint64_t)1 << 55, 3, -EINVAL },
	};
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	uint64_t start;

	assert_int_equal(drop_window(task, container, 0), 0); /* the default one, before it came */
	assert_int_equal(drop_window(task, container, 0), -EINVAL);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		long ret = create(task, container, shapes[i].page_shift, shapes[i].size,
				  shapes[i].levels, &start);

		if (ret != shapes[i].result)
			fail_msg("shape %zu: %ld", i, ret);
		if (!ret)
			assert_int_equal(drop_window(task, container, start), 0);
		assert_int_equal(vfake_ledger(world->kernel).locked_pages, 0);
	}
}

/* Levels above the first come when an entry below them is written, and only there. */
/* A TCE covers no more than a page of the memory behind it. */
static void test_huge_pages(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	const uint64_t huge = 2 * MIB, tce = second_window;
	vfake_addr small = new_memory(task, huge), large, odd;
	struct vfake_device_view view;
	struct vfake_target_view target;
	uint64_t start;

	assert_int_equal(vfake_mmap_huge(task, 8 * huge, 3, huge, &large), 0);
	assert_int_equal(vfake_mmap_huge(task, huge, 3, 3 * MIB, &odd), -EINVAL);
	assert_int_equal(vfake_mmap_huge(task, huge, 3, PAGE, &odd), -EINVAL);
	assert_int_equal(vfake_mmap_huge(task, PAGE, 3, huge, &odd), -EINVAL);
	assert_int_equal(create(task, container, 21, gib, 1, &start), 0);
	assert_int_equal(start, tce);
	assert_int_equal(enrol(task, container, small, huge), 0);
	assert_int_equal(map(task, container, 3, small, tce, huge), -EINVAL);
	assert_int_equal(enrol(task, container, large, 4 * huge), 0);
	assert_int_equal(map(task, container, 3, large + huge, tce, 2 * huge), 0);
	assert_int_equal(map(task, container, 3, large + PAGE, tce, huge), -EINVAL);
	/* Where it begins decides as well: this one is a multiple of a system page only. */
	assert_int_equal(enrol(task, container, large + 4 * huge + PAGE, 2 * huge), 0);
	assert_int_equal(map(task, container, 3, large + 5 * huge, tce + 4 * huge, huge), -EINVAL);
	assert_int_equal(vfake_view_device(world->kernel, "d0", &view), 0);
	assert_int_equal(view.mappings, 2);
	assert_int_equal(vfake_view_translate(world->kernel, "d0", task, tce + huge + 5, &target),
			 0);
	assert_int_equal(target.vaddr, large + 2 * huge + 5);
	assert_int_equal(unmap(task, container, tce, 2 * huge), 0);
}

static void test_levels_on_demand(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	uint64_t span = (uint64_t)4096 << 13; /* what one level of 8192 entries translates */
	vfake_addr memory = new_memory(task, 8 * PAGE);
	struct vfake_spapr_window window;
	unsigned char bytes[8];
	uint64_t start;

	assert_int_equal(enrol(task, container, memory, 8 * PAGE), 0);
	assert_int_equal(create(task, container, 12, (uint64_t)1 << 50, 3, &start), 0);
	assert_int_equal(vfake_spapr_window(task, container, 1, &window), 0);
	assert_int_equal(window.levels_present, 1);
	assert_int_equal(window.entries_per_level, 8192);
	assert_int_equal(vfake_spapr_tce(task, container, start, bytes), -ENODATA);
	assert_int_equal(map(task, container, 3, memory, start + 8 * span - 4 * PAGE, 8 * PAGE), 0);
	assert_int_equal(vfake_spapr_window(task, container, 1, &window), 0);
	assert_int_equal(window.levels_present, 1 + 1 + 2); /* across two levels of the last kind */
	assert_int_equal(vfake_spapr_tce(task, container, start, bytes), -ENODATA);
	assert_int_equal(tce_at(task, container, start + 8 * span),
			 tce_at(task, container, start + 8 * span - 4 * PAGE) + 4 * PAGE);
	assert_int_equal(region(task, 0).tces, 128);
	assert_int_equal(map(task, container, 3, memory, start + ((uint64_t)1 << 49), PAGE), 0);
	assert_int_equal(vfake_spapr_window(task, container, 1, &window), 0);
	assert_int_equal(window.levels_present, 1 + 2 + 3);
	assert_int_equal(unmap(task, container, start, (uint64_t)1 << 50), 0);
	assert_int_equal(region(task, 0).tces, 0);
	assert_int_equal(withdraw(task, container, memory, 8 * PAGE), 0);
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 0);
}

static void test_window_charge(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = new_process(world->kernel, false, 8 * MIB + 3 * PAGE);
	int container = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	uint64_t start;

	/* The default window comes first and stays when the new one fails. */
	assert_int_equal(create(task, container, 16, gib, 1, &start), -ENOMEM);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, 8 * MIB / PAGE);
	assert_int_equal(create(task, container, 16, gib / 2, 1, &start), 0);
	assert_int_equal(vfake_ledger(world->kernel).locked_pages, 8 * MIB / PAGE + 2);
	vfake_task_exit(task);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_extensions),
		TEST(test_get_info),
		TEST(test_versions),
		TEST(test_machine_without_windows),
		TEST(test_enable_charges_window),
		TEST(test_v1_entries),
		TEST(test_v1_runs),
		TEST(test_v1_refusals),
		TEST(test_map_across_the_end),
		TEST(test_registration),
		TEST(test_registration_refusals),
		TEST(test_registration_limit),
		TEST(test_map_needs_registration),
		TEST(test_withdraw_while_mapped),
		TEST(test_windows),
		TEST(test_window_shapes),
		TEST(test_huge_pages),
		TEST(test_levels_on_demand),
		TEST(test_window_charge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
