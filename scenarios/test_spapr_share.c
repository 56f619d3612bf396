/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sPAPR TCE containers with several groups, processes and devices: who may share one, whose DMA
 * goes where, what EEH stops, and that every order of closing leaves nothing behind.
 */
#include "spapr_steps.h"

#include "vfio.h" /* vfio_device_dma() */

static bool dma(struct world *world, const char *name, uint64_t iova, void *bytes, uint64_t len,
		bool write)
{
	struct vfio_device *device;

	LIST_FOREACH(device, &world->kernel->devices, entry)
	{
		if (!strcmp(device->desc->name, name))
			return !vfio_device_dma(device, iova, bytes, len, write);
	}
	return false;
}

static void test_dma(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	struct vfio_eeh_pe_op eeh = { .argsz = sizeof(eeh), .op = VFIO_EEH_PE_RESET_HOT };
	vfake_addr memory = new_memory(task, 4 * PAGE);
	char text[] = "across two pages", back[sizeof(text)] = { 0 };
	uint64_t start;

	assert_int_equal(enrol(task, container, memory, 4 * PAGE), 0);
	assert_int_equal(create(task, container, 16, gib, 2, &start), 0);
	assert_int_equal(map(task, container, 2, memory, start, 2 * PAGE), 0);
	assert_int_equal(map(task, container, 1, memory + 4096, 0x3000, 4096), 0);
	assert_true(dma(world, "d0", start + PAGE - 8, text, sizeof(text), true));
	assert_int_equal(vfake_peek(task, memory + PAGE - 8, back, sizeof(back)), 0);
	assert_string_equal(back, text);
	assert_int_equal(vfake_poke(task, memory + 4096, "read", 5), 0);
	assert_true(dma(world, "d0", 0x3000, back, 5, false));
	assert_string_equal(back, "read");
	assert_false(dma(world, "d0", 0x3000, text, 1, true));
	assert_false(dma(world, "d0", 0x4000, back, 1, false));
	assert_false(dma(world, "d0", start + 2 * PAGE, back, 1, false));
	assert_false(dma(world, "d0", start + gib, back, 1, false));
	assert_false(dma(world, "d1", start, back, 1, false)); /* in no container */
	assert_int_equal(call(task, container, VFIO_EEH_PE_OP, &eeh), 0);
	assert_false(dma(world, "d0", start, back, 1, false));
	eeh.op = VFIO_EEH_PE_RESET_DEACTIVATE;
	assert_int_equal(call(task, container, VFIO_EEH_PE_OP, &eeh), 0);
	assert_true(dma(world, "d0", start, back, 1, false));
	assert_int_equal(unmap(task, container, start, PAGE), 0);
	assert_false(dma(world, "d0", start, back, 1, false));
}

static void test_groups_share_windows(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	int group = open_group(task, world->kernel, "d1");
	vfake_addr memory = new_memory(task, PAGE);
	char byte;

	assert_int_equal(enrol(task, container, memory, PAGE), 0);
	assert_int_equal(map(task, container, 3, memory, 0, PAGE), 0);
	assert_true(dma(world, "d0", 0, &byte, 1, false));
	assert_int_equal(call(task, group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_true(dma(world, "d1", 0, &byte, 1, false));
	/* Who leaves takes the mappings of all. The windows stay. */
	assert_int_equal(call_with(task, group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_false(dma(world, "d0", 0, &byte, 1, false));
	assert_int_equal(tce_at(task, container, 0), 0);
	assert_int_equal(region(task, 0).tces, 0);
	assert_int_equal(map(task, container, 3, memory, 0, PAGE), 0);
	assert_true(dma(world, "d0", 0, &byte, 1, false));
	assert_false(dma(world, "d1", 0, &byte, 1, false));
}

static void test_who_may_share(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int v1, v2, group, other;

	world->machine.devices[2].tce_family = 1;
	vfake_task_exit(task);
	restart(world);
	task = world->task;
	v1 = new_container(world, task, VFIO_SPAPR_TCE_IOMMU, "d0");
	group = open_group(task, world->kernel, "d1");
	assert_int_equal(call(task, group, VFIO_GROUP_SET_CONTAINER, &v1), -EBUSY);
	v2 = vfake_open(task, "/dev/vfio/vfio");
	assert_int_equal(call(task, group, VFIO_GROUP_SET_CONTAINER, &v2), 0);
	other = open_group(task, world->kernel, "d2");
	assert_int_equal(call(task, other, VFIO_GROUP_SET_CONTAINER, &v2), 0);
	assert_int_equal(call_with(task, v2, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_IOMMU), -EBUSY);
	assert_int_equal(call_with(task, v2, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU), -EPERM);
	assert_int_equal(call_with(task, other, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(call_with(task, v2, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	assert_int_equal(call(task, other, VFIO_GROUP_SET_CONTAINER, &v2), -EPERM);
}

static void test_other_process(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	struct vfake_task *other = new_process(world->kernel, true, 1 << 23);
	int container = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	int theirs = vfake_pass_fd(task, container, other);
	vfake_addr memory = new_memory(task, PAGE), foreign = new_memory(other, PAGE);

	assert_int_equal(enrol(other, theirs, foreign, PAGE), 0);
	assert_int_equal(enrol(task, container, memory, PAGE), -EPERM);
	assert_int_equal(map(task, container, 3, memory, 0, PAGE), -EPERM);
	assert_int_equal(call_with(task, container, 0xdead, 0), -EPERM);
	assert_int_equal(call_with(task, container, VFIO_CHECK_EXTENSION, VFIO_EEH), 1);
	assert_int_equal(map(other, theirs, 3, foreign, 0, PAGE), 0);
	vfake_task_exit(other); /* the container keeps what is left of it */
	assert_int_equal(vfake_ledger(world->kernel).pinned_pages, 1);
	assert_int_equal(vfake_close(task, container), 0);
}

static void test_eeh(void **state)
{
	struct world *world = *state;
	struct vfake_task *task = world->task;
	int container = new_container(world, task, VFIO_SPAPR_TCE_v2_IOMMU, "d0");
	struct vfio_eeh_pe_op op = { .argsz = offsetof(struct vfio_eeh_pe_op, err) };
	static const struct {
		uint32_t op;
		long result;
	} steps[] = {
		{ VFIO_EEH_PE_ENABLE, 0 },
		{ VFIO_EEH_PE_GET_STATE, 0 },
		{ VFIO_EEH_PE_INJECT_ERR, -EINVAL }, /* too short for the error */
		{ VFIO_EEH_PE_RESET_FUNDAMENTAL, 0 },
		{ VFIO_EEH_PE_GET_STATE, 2 },
		{ VFIO_EEH_PE_UNFREEZE_IO, 0 },
		{ VFIO_EEH_PE_GET_STATE, 4 },
		{ VFIO_EEH_PE_UNFREEZE_DMA, 0 },
		{ VFIO_EEH_PE_GET_STATE, 0 },
		{ VFIO_EEH_PE_CONFIGURE, 0 },
		{ VFIO_EEH_PE_DISABLE, 0 },
		{ VFIO_EEH_PE_INJECT_ERR + 1, -EINVAL },
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		op.op = steps[i].op;
		assert_int_equal(call(task, container, VFIO_EEH_PE_OP, &op), steps[i].result);
	}
	op = (struct vfio_eeh_pe_op){ .argsz = sizeof(op), .op = VFIO_EEH_PE_INJECT_ERR };
	op.err.func = 20;
	assert_int_equal(call(task, container, VFIO_EEH_PE_OP, &op), -EINVAL);
	op.err.func = 19;
	op.err.type = 2;
	assert_int_equal(call(task, container, VFIO_EEH_PE_OP, &op), -ERANGE);
	op.err.type = 1;
	assert_int_equal(call(task, container, VFIO_EEH_PE_OP, &op), 0);
	op.op = VFIO_EEH_PE_GET_STATE;
	assert_int_equal(call(task, container, VFIO_EEH_PE_OP, &op), 2);
}

enum { ORDER_FDS = 6 };

/* Two containers with mappings, one of each version, and an open device of the second group. */
static void open_all(struct world *world, vfake_addr memory, int *fds)
{
	struct vfake_task *task = world->task;

	fds[0] = empty_container(world, task, "d0", &fds[1]);
	assert_int_equal(call_with(task, fds[0], VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	fds[2] = open_group(task, world->kernel, "d1");
	assert_int_equal(call(task, fds[2], VFIO_GROUP_SET_CONTAINER, &fds[0]), 0);
	fds[3] = (int)call(task, fds[2], VFIO_GROUP_GET_DEVICE_FD, "d1");
	assert_true(fds[3] >= 0);
	assert_int_equal(enrol(task, fds[0], memory, 4 * PAGE), 0);
	assert_int_equal(map(task, fds[0], 3, memory, 0, 4 * PAGE), 0);
	fds[4] = empty_container(world, task, "d2", &fds[5]);
	assert_int_equal(call_with(task, fds[4], VFIO_SET_IOMMU, VFIO_SPAPR_TCE_IOMMU), 0);
	assert_int_equal(call_with(task, fds[4], VFIO_IOMMU_ENABLE, 0), 0);
	assert_int_equal(map(task, fds[4], 3, memory, SMALL_WINDOW - 8192, PAGE), 0);
}

static void test_every_close_order(void **state)
{
	struct world *world = *state;
	struct vfake_ledger before, after;
	vfake_addr memory;
	int order[ORDER_FDS] = { 0, 1, 2, 3, 4, 5 };
	int fds[ORDER_FDS];

	small_window(world);
	memory = new_memory(world->task, 4 * PAGE);
	before = vfake_ledger(world->kernel);
	do {
		open_all(world, memory, fds);
		for (int i = 0; i < ORDER_FDS; i++)
			assert_int_equal(vfake_close(world->task, fds[order[i]]), 0);
		after = vfake_ledger(world->kernel);
		assert_memory_equal(&after, &before, sizeof(before));
	} while (next_order(order, ORDER_FDS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dma),		  TEST(test_groups_share_windows),
		TEST(test_who_may_share), TEST(test_other_process),
		TEST(test_eeh),		  TEST(test_every_close_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
