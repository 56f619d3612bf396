/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack's sPAPR TCE backend, version 2: where windows are and how large, which pages they have,
 * and when they go.
 */
#include "backend_rig.h"


enum { PAGE = 4096, KIB_64 = 65536, MIB = 1 << 20 };

static const uint64_t gib = 1 << 30;
static const uint64_t second_window = (uint64_t)1 << 59;

static void expect_window(struct backend_rig *rig, int number, uint64_t start, uint64_t size,
			  uint32_t page_shift)
{
	struct vfake_spapr_window window;

	assert_true(rig_find_window(rig, number, &window));
	assert_true(window.start == start);
	assert_true(window.entries << window.page_shift == size);
	assert_int_equal(window.page_shift, page_shift);
}

static uint32_t count_windows(struct backend_rig *rig)
{
	struct vfake_spapr_window window;

	return (uint32_t)rig_find_window(rig, 0, &window) +
	       (uint32_t)rig_find_window(rig, 1, &window);
}

static struct vfio_memory_region viommu_to(uint64_t start, uint64_t last, uint64_t page)
{
	struct vfio_memory_region region = rig_viommu(start, MIB, page);

	region.last = last;
	return region;
}

static uint32_t add_viommu(struct backend_rig *rig, uint64_t start, uint64_t last, uint64_t page)
{
	const struct vfio_memory_region region = viommu_to(start, last, page);

	return rig_add(rig, &region);
}

static int stored_error(const struct vfio_device *device)
{
	return vfio_container_error(vfio_device_container(device));
}

/* The first window that is made begins where the default one did. */
static void first_window_begins_where_the_default_did(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	uint32_t below;

	rig->world.spapr.window_start = (uint32_t)gib;
	rig_start(rig);
	rig_add_ram(rig, gib + 2 * MIB, 0, MIB);
	device = rig_attach(rig, "d0");
	expect_window(rig, 0, gib, 2 * gib, 12);
	assert_int_equal(rig_reach(rig, "d0", gib + 2 * MIB), 0);
	vfio_device_detach(device);
	/* What is below it cannot have one; one as large as that needs is asked for. */
	below = rig_add_ram(rig, 0, MIB, MIB);
	rig_refuses(rig, "d0", -ERANGE,
		    "no DMA window for [0x0, 0xfffff], the kernel put it elsewhere");
	vfio_memory_del(rig->memory, below);
	rig_attach(rig, "d0");
}

/* ---- windows ---- */

static void windows_are_published(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_container_info info;
	struct vfio_device *device;
	uint32_t low;

	rig_start(rig);
	low = add_viommu(rig, 0, gib - 1, KIB_64);
	add_viommu(rig, second_window, second_window + 2 * gib - 1, KIB_64);
	device = rig_attach(rig, "d0");
	info = rig_info(device);
	assert_int_equal(info.range_count, 2);
	assert_true(info.ranges[0].start == 0 && info.ranges[0].last == gib - 1);
	assert_true(info.ranges[1].start == second_window);
	assert_true(info.ranges[1].last == second_window + 2 * gib - 1);
	vfio_memory_del(rig->memory, low);
	info = rig_info(device);
	assert_int_equal(info.range_count, 1);
	assert_true(info.ranges[0].start == second_window);
	/* One that is above is not in the way of another one. */
	add_viommu(rig, 0, gib - 1, KIB_64);
	assert_int_equal(stored_error(device), 0);
	assert_int_equal(rig_info(device).range_count, 2);
	expect_window(rig, 0, 0, gib, 16);
}

/* RAM beside a vIOMMU's window gets one of its own size. */
static void ram_beside_a_viommu(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_container_info info;
	struct vfio_device *device;

	rig_start(rig);
	add_viommu(rig, 0, gib - 1, KIB_64);
	rig_add_ram(rig, second_window, 0, MIB);
	device = rig_attach(rig, "d0");
	expect_window(rig, 0, 0, gib, 16);
	info = rig_info(device);
	assert_int_equal(info.range_count, 2);
	assert_true(info.ranges[1].start == second_window);
	assert_true(info.ranges[1].last == second_window + MIB - 1);
	assert_int_equal(rig_reach(rig, "d0", second_window + PAGE), PAGE);
}

static void sizes_and_pages(void **state)
{
	static const struct {
		uint64_t last, page, size;
		uint32_t page_shift;
	} cases[] = {
		{ (1 << 30) - 1, KIB_64, 1 << 30, 16 },
		{ 1 << 30, KIB_64, (uint64_t)1 << 31, 16 },
		{ (1 << 30) + 1, KIB_64, (uint64_t)1 << 31, 16 },
		{ (1 << 30) - 1, 8192, 1 << 30, 12 }, /* the next one that there is */
		{ (1 << 30) - 1, 2 * MIB, 1 << 30, 16 },
		{ (1 << 30) - 1, PAGE | KIB_64, 1 << 30, 12 }, /* the smallest of the vIOMMU's */
	};
	struct backend_rig *rig = *state;

	rig_start(rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t id = add_viommu(rig, 0, cases[i].last, cases[i].page);
		struct vfio_device *device = rig_attach(rig, "d0");

		expect_window(rig, 0, 0, cases[i].size, cases[i].page_shift);
		vfio_device_detach(device);
		vfio_memory_del(rig->memory, id);
	}
	rig_add_ram(rig, (uint64_t)0 - MIB, 0, MIB);
	rig_refuses(rig, "d0", -ENOTSUP, "it is too large");
}

/* A table that is too large for so many levels has one more, up to the last that there is. */
static void the_last_level_is_tried(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig->world.spapr.levels = 2;
	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	device = rig_attach(rig, "d0");
	assert_int_equal(rig->ref.warnings_seen, 0);
	vfio_device_detach(device);
	rig_answer(rig, VFIO_IOMMU_SPAPR_TCE_CREATE, -ENOMEM, 1);
	rig_attach(rig, "d0");
	rig_warned(rig, 1, "a DMA window has a table of 2 levels");
	rig->watched = VFIO_IOMMU_SPAPR_TCE_CREATE;
	rig_answer(rig, VFIO_IOMMU_SPAPR_TCE_CREATE, -ENOMEM, 10);
	rig_refuses(rig, "d1", -ENOMEM, "TCE_CREATE");
	assert_int_equal(rig->seen, 2);
}

/* ---- windows that would not go ---- */

/* Attaches d0 with a window [@start, @last] of 64 KiB pages that no section needs any more. */
static struct vfio_device *leave_window(struct backend_rig *rig, uint64_t start, uint64_t last,
					const char *message)
{
	uint32_t id = add_viommu(rig, start, last, KIB_64);
	struct vfio_device *device = rig_attach(rig, "d0");

	rig_answer(rig, VFIO_IOMMU_SPAPR_TCE_REMOVE, -EBUSY, 1);
	vfio_memory_del(rig->memory, id);
	rig_warned(rig, 1, message);
	return device;
}

/* With larger pages than are needed it is of no use. */
static void a_left_over_window_of_other_pages(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	device = leave_window(rig, 0, gib - 1, "the DMA window at 0x0 stays: ");
	add_viommu(rig, 0, gib - 1, PAGE);
	expect_window(rig, 0, 0, gib, 12);
	assert_int_equal(stored_error(device), 0);
	assert_int_equal(rig->ref.warnings_seen, 0);
}

/* It is in the way where they have one byte in common, at either end, and not beside it. */
static void a_left_over_window_in_the_way(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	rig->watched = VFIO_IOMMU_SPAPR_TCE_REMOVE;
	device = leave_window(rig, 0, gib - 1, "the DMA window at 0x0 stays: ");
	add_viommu(rig, gib - 1, 4 * gib - 1, KIB_64);
	assert_int_equal(stored_error(device), 0);
	expect_window(rig, 0, 0, 4 * gib, 16);
	/* the default one, the one that would not go, and once more */
	assert_int_equal(rig->seen, 3);
}

static void a_left_over_window_beside(void **state)
{
	struct backend_rig *rig = *state;
	uint32_t low, high;

	rig_start(rig);
	low = add_viommu(rig, 0, gib - 1, KIB_64);
	high = add_viommu(rig, second_window, second_window + gib - 1, KIB_64);
	rig_attach(rig, "d0");
	vfio_memory_del(rig->memory, low);
	rig_answer(rig, VFIO_IOMMU_SPAPR_TCE_REMOVE, -EBUSY, 1);
	vfio_memory_del(rig->memory, high);
	rig_warned(rig, 1, "the DMA window at 0x800000000000000 stays: ");
	rig->watched = VFIO_IOMMU_SPAPR_TCE_REMOVE;
	low = add_viommu(rig, gib, second_window - 1, KIB_64); /* which is too large a table */
	assert_int_equal(rig->seen, 0);
	vfio_memory_del(rig->memory, low);
	low = add_viommu(rig, gib, second_window, KIB_64);
	assert_int_equal(rig->seen, 1);
}

/* It goes with its container. */
static void a_left_over_window_goes_in_the_end(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	device = leave_window(rig, 0, gib - 1, "the DMA window at 0x0 stays: ");
	rig->watched = VFIO_IOMMU_SPAPR_TCE_REMOVE;
	vfio_device_detach(device);
	assert_int_equal(rig->seen, 1);
	assert_int_equal(rig->ref.warnings_seen, 0);
}

/* ---- sections that fail ---- */

/* Whatever fails of a section that comes, its window is not there then; the others stay. */
static void a_section_that_fails_has_no_window(void **state)
{
	const struct vfio_memory_region region =
		viommu_to(second_window, second_window + gib - 1, KIB_64);
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	uint64_t failed = 0;

	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	device = rig_attach(rig, "d0");
	for (;;) {
		uint32_t id;

		rig->ref.broken_seen = 0;
		rig->calls = 0;
		rig->fail_at = failed + 1;
		id = rig_add(rig, &region);
		rig->fail_at = 0;
		if (!rig->ref.broken_seen)
			break;
		failed++;
		assert_int_equal(count_windows(rig), 1);
		assert_int_equal(rig_info(device).range_count, 1);
		assert_int_equal(rig_reach(rig, "d0", PAGE), PAGE);
		vfio_memory_del(rig->memory, id);
	}
	assert_true(failed >= 2);
	assert_int_equal(count_windows(rig), 2);
	/* RAM for which there is no memory does not take the window of other RAM along. */
	rig->calls = 0;
	rig->fail_at = 1;
	rig_add_ram(rig, gib, MIB, MIB);
	rig->fail_at = 0;
	assert_int_equal(rig_reach(rig, "d0", PAGE), PAGE);
	assert_non_null(strstr(rig->broken, "out of memory"));
}

/* Windows wherever they are asked for. */
static uint64_t next_start;

static bool make_windows(struct backend_rig *rig, int fd, uint32_t request, void *arg, long *ret)
{
	(void)rig;
	(void)fd;
	*ret = 0;
	if (request == VFIO_IOMMU_SPAPR_TCE_CREATE) {
		((struct vfio_iommu_spapr_tce_create *)arg)->start_addr = next_start;
		next_start += gib;
		return true;
	}
	return request == VFIO_IOMMU_SPAPR_TCE_REMOVE;
}

static void only_so_many_windows(void **state)
{
	enum { MOST = 16 };
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	uint32_t last;

	rig_start(rig);
	for (uint32_t i = 0; i < MOST; i++)
		last = add_viommu(rig, i * gib, i * gib + KIB_64 - 1, KIB_64);
	next_start = 0;
	rig->instead = make_windows;
	device = rig_attach(rig, "d0");
	assert_int_equal(rig_info(device).range_count, MOST);
	for (uint32_t i = 0; i < MOST; i++)
		assert_true(rig_info(device).ranges[i].start == i * gib);
	add_viommu(rig, next_start, next_start + KIB_64 - 1, KIB_64);
	assert_int_equal(stored_error(device), -ENOSPC);
	assert_non_null(strstr(rig->broken, "no DMA window for [0x400000000, 0x40000ffff], there "
					    "are too many"));
	assert_int_equal(rig_info(device).range_count, MOST);
	/* Another one has room where one has gone. */
	vfio_memory_del(rig->memory, last);
	assert_int_equal(rig_info(device).range_count, MOST - 1);
	add_viommu(rig, next_start + gib, next_start + gib + KIB_64 - 1, KIB_64);
	next_start += gib;
	vfio_device_detach(device);
}

/* ---- BARs ---- */

static uint32_t add_bar(struct backend_rig *rig, uint64_t start)
{
	const struct vfio_memory_region bar = { .name = "bar",
						.kind = VFIO_MEMORY_RAM_DEVICE,
						.start = start,
						.last = start + KIB_64 - 1,
						.vaddr = rig->ram + 8 * MIB,
						.fd = -1 };

	return rig_add(rig, &bar);
}

/* A BAR asks for no window, and keeps one that it is mapped in. */
static void a_bar_in_a_window(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	uint32_t ram, inside;

	rig_start(rig);
	ram = rig_add_ram(rig, 0, 0, MIB);
	inside = add_bar(rig, gib);
	rig->watched = VFIO_IOMMU_SPAPR_TCE_CREATE;
	device = rig_attach(rig, "d0");
	assert_int_equal(rig_reach(rig, "d0", gib), 8 * MIB);
	add_bar(rig, (uint64_t)1 << 45);
	assert_int_equal(rig->seen, 1);
	rig_warned(rig, 1, "out of range");
	vfio_memory_del(rig->memory, ram);
	assert_int_equal(rig_reach(rig, "d0", gib), 8 * MIB);
	assert_int_equal(count_windows(rig), 1);
	vfio_memory_del(rig->memory, inside);
	assert_int_equal(count_windows(rig), 0);
	assert_int_equal(stored_error(device), 0);
}

/* Without any window it is not even tried. */
static void a_bar_alone(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	add_bar(rig, 0);
	rig->watched = VFIO_IOMMU_MAP_DMA;
	device = rig_attach(rig, "d0");
	assert_int_equal(rig->seen, 0);
	rig_warned(rig, 1, "cannot map bar at 0x0: out of range");
	assert_int_equal(rig_info(device).mappings, 0);
	assert_int_equal(count_windows(rig), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPAPR_STORY(first_window_begins_where_the_default_did),
		SPAPR_STORY(windows_are_published),
		SPAPR_STORY(ram_beside_a_viommu),
		SPAPR_STORY(sizes_and_pages),
		SPAPR_STORY(the_last_level_is_tried),
		SPAPR_STORY(a_left_over_window_of_other_pages),
		SPAPR_STORY(a_left_over_window_in_the_way),
		SPAPR_STORY(a_left_over_window_beside),
		SPAPR_STORY(a_left_over_window_goes_in_the_end),
		SPAPR_STORY(a_section_that_fails_has_no_window),
		SPAPR_STORY(only_so_many_windows),
		SPAPR_STORY(a_bar_in_a_window),
		SPAPR_STORY(a_bar_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
