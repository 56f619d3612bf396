/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommufd against a model that is too simple to be wrong: an array of pages per IOAS. Random maps,
 * copies, unmaps, cuts and page tables; after each call its result, the pages that are pinned, the
 * charge, and where a device's access goes must agree.
 */
#include "iommufd_rig.h"

#include "vfio.h" /* the fake kernel's: a device's DMA has no system call */

enum { SPACES = 3, PAGES = 96, MEMORY_PAGES = 1024, STEPS = 60000, TABLES = 2 };

/* One page of an IOAS. Pages of one map share `origin`, pages of one area `area`. */
struct slot {
	uint32_t area; /* 0 for nothing */
	uint32_t origin;
	uint32_t memory; /* page of the task's memory */
};

struct space {
	uint32_t id;
	uint32_t tables[TABLES]; /* ids of page tables, 0 for none */
	struct slot slots[PAGES];
};

struct model {
	struct rig rig;
	uint64_t seed;
	uint32_t next_area;
	uint32_t next_origin;
	uint32_t device_id;
	int device;
	struct space spaces[SPACES];
};

static uint32_t below(struct model *model, uint32_t limit)
{
	model->seed = model->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(model->seed >> 33) % limit;
}

static bool is_filled(const struct space *space)
{
	return space->tables[0] || space->tables[1];
}

/* ---- what should happen ---- */

static bool is_free(const struct space *space, uint32_t at, uint32_t count)
{
	for (uint32_t i = at; i < at + count; i++) {
		if (space->slots[i].area)
			return false;
	}
	return true;
}

static long expect_map(struct model *model, struct space *space, uint32_t at, uint32_t count,
		       uint32_t memory)
{
	if (!is_free(space, at, count))
		return -EEXIST;
	model->next_area++;
	model->next_origin++;
	for (uint32_t i = 0; i < count; i++)
		space->slots[at + i] =
			(struct slot){ model->next_area, model->next_origin, memory + i };
	return 0;
}

static long expect_copy(struct model *model, struct space *to, uint32_t dst,
			const struct space *from, uint32_t src, uint32_t count)
{
	struct slot copied[PAGES];
	uint32_t area = 0;

	for (uint32_t i = 0; i < count; i++) {
		copied[i] = from->slots[src + i];
		if (!copied[i].area)
			return -ENOENT;
	}
	if (!is_free(to, dst, count))
		return -EEXIST;
	for (uint32_t i = 0; i < count; i++) {
		if (copied[i].area != area)
			model->next_area++;
		area = copied[i].area;
		to->slots[dst + i] = copied[i];
		to->slots[dst + i].area = model->next_area;
	}
	return 0;
}

/* Pages unmapped, or -ENOENT at an area that sticks out. */
static long expect_unmap(struct space *space, uint32_t at, uint32_t count)
{
	uint32_t end = at + count;
	long unmapped = 0;

	for (uint32_t i = at; i < end;) {
		uint32_t area = space->slots[i].area;
		uint32_t last = i;

		if (!area) {
			i++;
			continue;
		}
		while (last < PAGES && space->slots[last].area == area)
			last++;
		if (last > end || (i && space->slots[i - 1].area == area))
			return -ENOENT;
		for (; i < last; i++) {
			space->slots[i].area = 0;
			unmapped++;
		}
	}
	return unmapped ? unmapped : -ENOENT;
}

/* Before page @at, the area ends and another begins. */
static void expect_cut(struct model *model, struct space *space, uint32_t at)
{
	uint32_t area;

	if (!at || at >= PAGES || !space->slots[at].area ||
	    space->slots[at - 1].area != space->slots[at].area)
		return;
	area = space->slots[at].area;
	model->next_area++;
	for (uint32_t i = at; i < PAGES && space->slots[i].area == area; i++)
		space->slots[i].area = model->next_area;
}

static uint64_t expected_pins(const struct model *model)
{
	const struct slot *all[SPACES * PAGES];
	uint32_t count = 0;

	for (int s = 0; s < SPACES; s++) {
		for (int i = 0; i < PAGES && is_filled(&model->spaces[s]); i++) {
			const struct slot *slot = &model->spaces[s].slots[i];
			bool twice = !slot->area;

			for (uint32_t k = 0; k < count && !twice; k++)
				twice = all[k]->origin == slot->origin &&
					all[k]->memory == slot->memory;
			if (!twice)
				all[count++] = slot;
		}
	}
	return count;
}

/* ---- what happens ---- */

static void step_map(struct model *model, struct space *space)
{
	uint32_t count = 1 + below(model, 12);
	uint32_t at = below(model, PAGES - count);
	uint32_t memory = below(model, MEMORY_PAGES - count);
	long ret = map(&model->rig, space->id, (uint64_t)memory * PAGE, (uint64_t)count * PAGE,
		       (uint64_t)at * PAGE);

	assert_int_equal(ret, expect_map(model, space, at, count, memory));
}

static void step_copy(struct model *model, struct space *space)
{
	struct space *from = &model->spaces[below(model, SPACES)];
	uint32_t count = 1 + below(model, 8);
	uint32_t src = below(model, PAGES - count);
	uint32_t dst = below(model, PAGES - count);
	long ret = copy(&model->rig, space->id, (uint64_t)dst * PAGE, from->id,
			(uint64_t)src * PAGE, (uint64_t)count * PAGE, FIXED_RW);

	assert_int_equal(ret, expect_copy(model, space, dst, from, src, count));
}

static void step_unmap(struct model *model, struct space *space)
{
	uint32_t count = 1 + below(model, 24);
	uint32_t at = below(model, PAGES - count);
	long ret = unmap(&model->rig, space->id, (uint64_t)at * PAGE, (uint64_t)count * PAGE);
	long expected = expect_unmap(space, at, count);

	assert_int_equal(ret, expected < 0 ? expected : expected * PAGE);
}

static void step_cut(struct model *model, struct space *space)
{
	uint32_t count = 1 + below(model, 6);
	uint32_t at = below(model, PAGES - count);
	struct vfio_iommu_type1_dma_unmap arg = { .argsz = sizeof(arg),
						  .iova = (uint64_t)at * PAGE,
						  .size = (uint64_t)count * PAGE };
	uint32_t id = space->id;
	long expected;

	assert_int_equal(compat_ioas(&model->rig, IOMMU_VFIO_IOAS_SET, &id), 0);
	assert_int_equal(call_on(&model->rig, model->rig.iommufd, VFIO_IOMMU_UNMAP_DMA, &arg), 0);
	expect_cut(model, space, at + count);
	expect_cut(model, space, at);
	expected = expect_unmap(space, at, count);
	assert_int_equal(arg.size, expected < 0 ? 0 : expected * PAGE);
}

static void step_table(struct model *model, struct space *space)
{
	uint32_t *table = &space->tables[below(model, TABLES)];

	if (*table) {
		assert_int_equal(destroy(&model->rig, *table), 0);
		*table = 0;
		return;
	}
	assert_int_equal(hwpt_alloc(&model->rig, model->device_id, space->id, 0, table), 0);
}

/* Through the first page table of the space the device reads what the program wrote. */
static void check_access(struct model *model, const struct space *space)
{
	const struct rig *rig = &model->rig;
	uint32_t page = below(model, PAGES);
	const struct slot *slot = &space->slots[page];
	struct vfio_device *device = LIST_FIRST(&rig->kernel->devices);
	uint32_t table = space->tables[0], got = 0;
	int ret;

	if (!table)
		return;
	assert_int_equal(attach(rig, model->device, &table), 0);
	ret = vfio_device_dma(device, (uint64_t)page * PAGE + 8, &got, sizeof(got), false);
	assert_int_equal(ret, slot->area ? 0 : -EFAULT);
	assert_int_equal(got, slot->area ? slot->memory : 0);
	assert_int_equal(detach(rig, model->device), 0);
}

static void step(struct model *model)
{
	struct space *space = &model->spaces[below(model, SPACES)];

	switch (below(model, 12)) {
	case 0:
	case 1:
	case 2:
		step_map(model, space);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
		step_copy(model, space);
		break;
	case 7:
	case 8:
		step_unmap(model, space);
		break;
	case 9:
		step_cut(model, space);
		break;
	case 10:
		step_table(model, space);
		break;
	default:
		check_access(model, space);
		break;
	}
}

static void start(struct model *model)
{
	struct rig *rig = &model->rig;
	struct vfake_world world;
	uint64_t small = 0;

	vfake_world_x86(&world);
	assert_int_equal(vfake_world_add_device(&world, "d0", "edu"), 0);
	rig_start(rig, &world, false);
	assert_int_equal(option(rig, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &small), 0);
	for (uint32_t i = 0; i < MEMORY_PAGES; i++)
		assert_int_equal(
			vfake_poke(rig->task, rig->memory + (uint64_t)i * PAGE + 8, &i, sizeof(i)),
			0);
	for (int i = 0; i < SPACES; i++) {
		model->spaces[i].id = ioas_alloc(rig);
		assert_int_equal(option(rig, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET,
					model->spaces[i].id, &small),
				 0);
	}
	model->device = bound_device(rig, "d0", &model->device_id);
}

static void random_calls_agree_with_the_model(void **state)
{
	static struct model model;

	(void)state;
	model.seed = 20260101;
	start(&model);
	for (int i = 0; i < STEPS; i++) {
		struct vfake_ledger ledger;

		step(&model);
		ledger = vfake_ledger(model.rig.kernel);
		assert_int_equal(ledger.warnings, 0);
		assert_int_equal(ledger.pinned_pages, expected_pins(&model));
		assert_int_equal(ledger.locked_pages, ledger.pinned_pages);
	}
	assert_int_equal(vfake_close(model.rig.task, model.device), 0);
	rig_end(&model.rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_calls_agree_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
