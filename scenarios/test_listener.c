/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From guest memory to maps, where it is narrow: the first and the last bytes of the address space,
 * memory that no page can show, other listeners beside the stack's, a map that is refused,
 * and what is told of it.
 */
#include "backend_rig.h"

#include <stdlib.h>

enum { PAGE = 4096, MIB = 1 << 20 };

/* Less than a page at either end of all addresses is nothing to map, and nothing to tell of. */
static void ends_of_the_space(void **state)
{
	struct backend_rig *rig = *state;
	const uint64_t ends[][2] = { { 0, 99 },
				     { 0, PAGE - 2 },
				     { 1, PAGE - 1 },
				     { 0 - (uint64_t)100, UINT64_MAX },
				     { 0 - (uint64_t)PAGE + 1, UINT64_MAX },
				     { 0 - (uint64_t)PAGE, UINT64_MAX - 1 } };

	rig_start(rig);
	rig_attach(rig, "d0");
	rig->watched = VFIO_IOMMU_MAP_DMA;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		uint32_t id = rig_add_kind(rig, "end", VFIO_MEMORY_RAM, ends[i][0], ends[i][1],
					   rig->ram + ends[i][0] % PAGE);

		vfio_memory_del(rig->memory, id);
	}
	assert_int_equal(rig->seen, 0);
	assert_int_equal(rig->ref.broken_seen, 0);
	rig_add_kind(rig, "page", VFIO_MEMORY_RAM, 0, PAGE - 1, rig->ram);
	assert_int_equal(rig->seen, 1);
	assert_int_equal(rig_reach(rig, "d0", 0), 0);
}

/* Whose process address has another place in its page cannot be mapped: the kernel is not asked. */
static void another_place_in_the_page(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	uint32_t id;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	rig->watched = VFIO_IOMMU_MAP_DMA;
	id = rig_add_kind(rig, "odd", VFIO_MEMORY_RAM, MIB, 2 * MIB - 1, rig->ram + 512);
	assert_int_equal(rig->seen, 0);
	assert_int_equal(rig->ref.broken_seen, 1);
	assert_int_equal(rig->ref.broken_code, -EINVAL);
	assert_string_equal(rig->broken, "cannot map odd at 0x100000: invalid argument");
	/* A device's BAR is a warning. */
	rig_add_kind(rig, "bar", VFIO_MEMORY_RAM_DEVICE, 4 * MIB, 5 * MIB - 1, rig->ram + 512);
	assert_int_equal(rig->ref.broken_seen, 1);
	assert_string_equal(rig->warning, "cannot map bar at 0x400000: invalid argument");
	vfio_device_detach(device);
	rig_refuses(rig, "d0", -EINVAL, "device d0: cannot map odd at 0x100000: invalid argument");
	vfio_memory_del(rig->memory, id);
	rig_attach(rig, "d0");
}

/* A caller that does not ask why it failed. */
static void nobody_asks_why(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_options options;
	char group[32];

	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	options = rig_options(rig, "d0", group);
	rig_answer(rig, VFIO_IOMMU_MAP_DMA, -EIO, 1);
	assert_null(vfio_device_attach(rig->vfio, rig->memory, &options, NULL));
}

/* ---- other listeners ---- */

struct witness {
	struct vfio_memory_listener base;
	struct backend_rig *rig;
	uint32_t came;
	uint32_t went;
	bool reached; /* at the last of these */
};

static void came(struct vfio_memory_listener *base, const struct vfio_memory_section *section)
{
	struct witness *witness = base->ctx;

	witness->came++;
	witness->reached = rig_reach(witness->rig, "d0", section->start) >= 0;
}

static void went(struct vfio_memory_listener *base, const struct vfio_memory_section *section)
{
	struct witness *witness = base->ctx;

	witness->went++;
	witness->reached = rig_reach(witness->rig, "d0", section->start) >= 0;
}

/* A listener of priority 0 hears of memory before devices reach it, and when none does any more. */
static void a_listener_of_the_vmm(void **state)
{
	struct backend_rig *rig = *state;
	struct witness witness = { .rig = rig, .reached = true };
	uint32_t id;

	rig_start(rig);
	rig_attach(rig, "d0");
	witness.base = (struct vfio_memory_listener){ .ctx = &witness,
						      .region_add = came,
						      .region_del = went };
	assert_true(vfio_memory_listen(rig->memory, &witness.base, NULL));
	id = rig_add_ram(rig, 0, 0, MIB);
	assert_int_equal(witness.came, 1);
	assert_false(witness.reached);
	assert_int_equal(rig_reach(rig, "d0", 0), 0);
	witness.reached = true;
	vfio_memory_del(rig->memory, id);
	assert_int_equal(witness.went, 1);
	assert_false(witness.reached);
	vfio_memory_unlisten(rig->memory, &witness.base);
}

/* ---- what is refused ---- */

/* A piece that is refused, wherever in the row: all of the row stays out, its neighbours stay. */
static void a_piece_is_refused(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;
	uint32_t id;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	id = rig_add_kind(rig, "pieces", VFIO_MEMORY_DISCARDABLE, 0, MIB - 1, rig->ram);
	rig_add_ram(rig, 4 * MIB, 4 * MIB, MIB);
	assert_true(rig_plug(rig, id, 8 * PAGE, 9 * PAGE - 1, &error));
	for (uint64_t nth = 1; nth <= 4; nth++) {
		rig->calls = 0;
		rig->fail_at = nth;
		assert_false(rig_plug(rig, id, 0, 4 * PAGE - 1, &error));
		rig->fail_at = 0;
		assert_int_equal(error.code, -EIO);
		assert_non_null(strstr(error.message, "cannot map pieces at 0x"));
		assert_int_equal(strtoull(strstr(error.message, "0x"), NULL, 16), (nth - 1) * PAGE);
		assert_int_equal(rig_info(device).mappings, 2);
		assert_int_equal(rig_view(rig, "d0").mappings, 2);
		assert_int_equal(rig_reach(rig, "d0", 0), -1);
		assert_int_equal(rig_reach(rig, "d0", 8 * PAGE), 8 * PAGE);
		assert_int_equal(rig_reach(rig, "d0", 4 * MIB), 4 * MIB);
	}
	assert_true(rig_plug(rig, id, 0, 4 * PAGE - 1, &error));
	assert_int_equal(rig_view(rig, "d0").mappings, 6);
}

/* A vIOMMU that maps what is no memory: told as that, and nothing of it is there. */
static void a_viommu_maps_nothing(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_memory *machine = vfio_memory_new(NULL);
	const struct vfio_memory_region viommu = rig_viommu(0, 64 * MIB, PAGE);
	struct vfio_iommu_entry entry = { 0, 2 * PAGE - 1, RIG_RAM - PAGE, 3, machine };
	struct vfio_device *device;
	uint32_t id;

	rig_start(rig);
	rig_fill(rig, machine);
	device = rig_attach(rig, "d0");
	id = rig_add(rig, &viommu);
	assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
	assert_int_equal(rig->ref.broken_code, -EFAULT);
	assert_string_equal(rig->broken, "cannot map what the vIOMMU maps: bad address");
	assert_int_equal(rig_view(rig, "d0").mappings, 0);
	entry = (struct vfio_iommu_entry){ 4 * PAGE, 5 * PAGE - 1, RIG_RAM, 3, machine };
	assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
	assert_int_equal(rig->ref.broken_seen, 2);
	assert_int_equal(rig->ref.broken_code, -EFAULT);
	vfio_device_detach(device);
	vfio_memory_free(machine);
}

/* An unmap that is refused is told; the map behind it is not touched. */
static void an_unmap_is_refused(void **state)
{
	struct backend_rig *rig = *state;
	uint32_t first;

	rig_start(rig);
	rig_attach(rig, "d0");
	first = rig_add_ram(rig, 0, 0, MIB);
	rig_add_ram(rig, MIB, 4 * MIB, MIB);
	rig_answer(rig, VFIO_IOMMU_UNMAP_DMA, -EIO, 1);
	vfio_memory_del(rig->memory, first);
	assert_int_equal(rig->ref.broken_code, -EIO);
	assert_string_equal(rig->broken, "cannot unmap guest memory: input/output error");
	assert_int_equal(rig_reach(rig, "d0", MIB), 4 * MIB);
}

/* ---- many ---- */

/* A map costs the stack no block of its own: its records grow less and less often. */
static void many_maps(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_error error;
	uint64_t allocs;
	uint32_t id;

	rig_start(rig);
	rig_attach(rig, "d0");
	id = rig_add_kind(rig, "pieces", VFIO_MEMORY_DISCARDABLE, 0, 8 * MIB - 1, rig->ram);
	allocs = rig->allocs;
	assert_true(rig_plug(rig, id, 0, 8 * MIB - 1, &error));
	assert_int_equal(rig_view(rig, "d0").mappings, 8 * MIB / PAGE);
	assert_true(rig->allocs - allocs < 12);
	for (uint64_t at = 0; at < 8 * MIB; at += 2 * PAGE)
		vfio_memory_discard(rig->memory, id, at, at + PAGE - 1);
	assert_int_equal(rig_view(rig, "d0").mappings, 4 * MIB / PAGE);
	assert_int_equal(rig_reach(rig, "d0", 2 * PAGE), -1);
	assert_int_equal(rig_reach(rig, "d0", 3 * PAGE), 3 * PAGE);
}

/* ---- sPAPR: RAM is told of before it is mapped ---- */

static void ram_that_is_told_of(void **state)
{
	struct backend_rig *rig = *state;
	uint64_t locked, refused;
	char text[96];
	uint32_t id;

	rig_start(rig);
	rig_attach(rig, "d0");
	locked = vfake_ledger(rig->kernel).locked_pages;
	rig_answer(rig, VFIO_IOMMU_MAP_DMA, -EIO, 1);
	id = rig_add_ram(rig, 0, 0, MIB);
	assert_int_equal(rig->ref.broken_code, -EIO);
	refused = vfake_ledger(rig->kernel).locked_pages; /* the table of a window, and no RAM */
	vfio_memory_del(rig->memory, id);
	assert_int_equal(vfake_ledger(rig->kernel).locked_pages, locked);
	id = rig_add_ram(rig, 0, 0, MIB);
	assert_true(vfake_ledger(rig->kernel).locked_pages > refused);
	vfio_memory_del(rig->memory, id);
	assert_int_equal(vfake_ledger(rig->kernel).locked_pages, locked);
	/* RAM that the kernel keeps is told of, as it is. */
	id = rig_add_ram(rig, 0, 0, MIB);
	rig_answer(rig, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, -EBUSY, 1);
	rig->ref.warnings_seen = 0;
	vfio_memory_del(rig->memory, id);
	snprintf(text, sizeof(text), "memory at 0x%llx stays registered with the kernel",
		 (unsigned long long)rig->ram);
	assert_string_equal(rig->warning, text);
}

/* What is told of a container has an end. */
static void facts_have_an_end(void **state)
{
	struct backend_rig *rig = *state;
	struct {
		struct vfio_container_info info;
		uint64_t behind[4];
	} told;

	rig_start(rig);
	memset(&told, 0x77, sizeof(told));
	vfio_container_info(vfio_device_container(rig_attach(rig, "d0")), &told.info);
	for (int i = 0; i < 4; i++)
		assert_int_equal(told.behind[i], 0x7777777777777777);
	assert_int_equal(told.info.max_mappings, 65535);
	assert_int_equal(told.info.mappings, 0);
	assert_true(told.info.dirty_tracking);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(ends_of_the_space),   LEGACY_STORY(another_place_in_the_page),
		LEGACY_STORY(nobody_asks_why),	   LEGACY_STORY(a_listener_of_the_vmm),
		LEGACY_STORY(a_piece_is_refused),  LEGACY_STORY(a_viommu_maps_nothing),
		LEGACY_STORY(an_unmap_is_refused), LEGACY_STORY(many_maps),
		LEGACY_STORY(facts_have_an_end),   SPAPR_STORY(ram_that_is_told_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
