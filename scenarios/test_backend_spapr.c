/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack's backend for groups and sPAPR TCE containers: windows that come and go with sections,
 * memory that is registered before it is mapped, KVM's part, and that each failed call leaves
 * nothing behind.
 */
#include "backend_rig.h"


enum { KIB_64 = 65536, MIB = 1 << 20, VCPU_PAGE = 4096 };

static const uint64_t gib = 1 << 30;
static const uint64_t second_window = (uint64_t)1 << 59;

static struct vfake_spapr_window window_of(struct backend_rig *rig, int number)
{
	struct vfake_spapr_window window;

	assert_true(rig_find_window(rig, number, &window));
	return window;
}

static uint32_t regions(struct backend_rig *rig)
{
	struct vfake_spapr_region region;
	uint32_t count = 0;

	while (!vfake_spapr_region(rig->task, count, &region))
		count++;
	return count;
}

/* ---- version 1 ---- */

static void version_1_has_one_window(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_container_info info;
	uint32_t hot;

	rig->world.spapr.windows = 0;
	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	device = rig_attach(rig, "d0");
	info = rig_info(device);
	assert_int_equal(info.range_count, 1);
	assert_int_equal(info.ranges[0].start, 0);
	assert_int_equal(info.ranges[0].last, 2 * gib - 1);
	assert_int_equal(info.pgsizes, 4096);
	assert_int_equal(rig_reach(rig, "d0", 5), 5);
	assert_int_equal(regions(rig), 0);
	hot = rig_add_ram(rig, gib, MIB, MIB);
	assert_int_equal(rig_reach(rig, "d0", gib), MIB);
	vfio_memory_del(rig->memory, hot);
	assert_int_equal(rig_reach(rig, "d0", gib), -1);
	assert_int_equal(vfio_container_error(vfio_device_container(device)), 0);
	/* The kernel would not say that it ends outside: here it is an error. */
	rig_add_ram(rig, 2 * gib - KIB_64, MIB, MIB);
	assert_int_equal(vfio_container_error(vfio_device_container(device)), -ERANGE);
	vfio_device_detach(device);
	rig_refuses(rig, "d0", -ERANGE, "not in the default window");
}

/* The kernel has version 2, but not for this host bridge. */
static void version_2_falls_back(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	rig_answer(rig, VFIO_SET_IOMMU, -EPERM, 1);
	rig_attach(rig, "d0");
	assert_int_equal(regions(rig), 0);
	assert_int_equal(rig_reach(rig, "d0", 0), 0);
	rig_answer(rig, VFIO_SET_IOMMU, -EPERM, 2);
	rig_refuses(rig, "d1", -EPERM, "VFIO_SET_IOMMU");
}

/* ---- version 2: windows ---- */

static void ram_shares_a_window(void **state)
{
	struct backend_rig *rig = *state;
	struct vfake_spapr_window window;
	struct vfio_device *device;
	uint32_t first, second;

	rig_start(rig);
	first = rig_add_ram(rig, 0, 0, MIB);
	device = rig_attach(rig, "d0");
	window = window_of(rig, 0);
	assert_int_equal(window.start, 0);
	assert_int_equal(window.entries << window.page_shift, 2 * gib);
	assert_false(rig_find_window(rig, 1, &window));
	second = rig_add_ram(rig, gib, MIB, MIB);
	assert_false(rig_find_window(rig, 1, &window));
	assert_int_equal(regions(rig), 2);
	assert_int_equal(rig_reach(rig, "d0", gib + 7), MIB + 7);
	vfio_memory_del(rig->memory, first);
	assert_int_equal(regions(rig), 1);
	assert_int_equal(rig_reach(rig, "d0", 0), -1);
	assert_int_equal(rig_reach(rig, "d0", gib), MIB);
	vfio_memory_del(rig->memory, second);
	assert_false(rig_find_window(rig, 0, &window));
	assert_int_equal(rig_info(device).range_count, 0);
	assert_int_equal(regions(rig), 0);
	/* What has no window cannot be mapped. */
	rig_add_ram(rig, 3 * gib, 0, MIB);
	assert_int_equal(window_of(rig, 0).entries << 12, 4 * gib);
	assert_int_equal(vfio_container_error(vfio_device_container(device)), 0);
}

static void viommu_windows(void **state)
{
	struct backend_rig *rig = *state;
	const struct vfio_memory_region low = rig_viommu(0, gib, KIB_64);
	const struct vfio_memory_region high =
		rig_viommu(second_window, (uint64_t)1 << 40, VCPU_PAGE | 2 * MIB);
	struct vfio_memory *ram = vfio_memory_new(NULL);
	struct vfio_iommu_entry entry = { .iova = second_window + 8 * KIB_64,
					  .last = second_window + 9 * KIB_64 - 1,
					  .target = MIB,
					  .prot = 3,
					  .target_memory = ram };
	struct vfake_spapr_window window;
	uint32_t id;

	rig_start(rig);
	rig_fill(rig, ram);
	rig_add(rig, &low);
	id = rig_add(rig, &high);
	assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
	rig_attach(rig, "d0");
	window = window_of(rig, 0);
	assert_int_equal(window.page_shift, 16);
	assert_int_equal(window.entries << 16, gib);
	window = window_of(rig, 1);
	assert_int_equal(window.start, second_window);
	assert_int_equal(window.page_shift, 12);
	assert_int_equal(window.levels, 2); /* one would be 2 GiB in one piece */
	assert_int_equal(rig_reach(rig, "d0", entry.iova), MIB);
	assert_int_equal(regions(rig), 1);
	entry.prot = 0;
	assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
	assert_int_equal(rig_reach(rig, "d0", entry.iova), -1);
	assert_int_equal(regions(rig), 0);
	vfio_memory_del(rig->memory, id);
	assert_false(rig_find_window(rig, 1, &window));
	rig_end_stack(rig);
	vfio_memory_free(ram);
	rig_new_stack(rig);
}

/* Sections that no window can cover: the attach fails, and all is as it was. */
static void windows_that_cannot_be(void **state)
{
	static const struct {
		uint64_t start, last;
		uint64_t page;
		int code;
		const char *message;
	} cases[] = {
		{ 0x10000000, 0x1fffffff, KIB_64, -ERANGE, "elsewhere" },
		{ (uint64_t)1 << 59, ((uint64_t)1 << 59) + 0xffffff, KIB_64, -ERANGE, "elsewhere" },
		{ 0, UINT64_MAX, KIB_64, -ENOTSUP, "too large" },
		{ 0, ((uint64_t)1 << 63) - 1, KIB_64, -EINVAL, "TCE_CREATE" },
		{ UINT64_MAX - 0xffff, UINT64_MAX, KIB_64, -ERANGE, "elsewhere" },
		{ 0, 0xffffff, 1024, -ENOTSUP, "too small" },
	};
	struct backend_rig *rig = *state;

	rig_start(rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vfio_memory_region region = rig_viommu(0, gib, cases[i].page);
		uint32_t id;

		region.start = cases[i].start;
		region.last = cases[i].last;
		id = rig_add(rig, &region);
		rig_refuses(rig, "d0", cases[i].code, cases[i].message);
		assert_int_equal(vfake_ledger(rig->kernel).locked_pages, 0);
		vfio_memory_del(rig->memory, id);
	}
}

static void windows_do_not_overlap(void **state)
{
	struct backend_rig *rig = *state;
	const struct vfio_memory_region low = rig_viommu(0, gib, KIB_64);
	const struct vfio_memory_region above = rig_viommu(gib, gib, KIB_64);
	const struct vfio_memory_region across = rig_viommu(gib + MIB, 2 * gib, KIB_64);
	struct vfio_device *device;
	uint32_t id, lowest;

	rig_start(rig);
	lowest = rig_add(rig, &low);
	device = rig_attach(rig, "d0");
	/* The kernel puts a second window at 2^59. */
	id = rig_add(rig, &above);
	assert_int_equal(vfio_container_error(vfio_device_container(device)), -ERANGE);
	assert_int_equal(rig_info(device).range_count, 1);
	vfio_memory_del(rig->memory, id);
	vfio_memory_del(rig->memory, lowest);
	vfio_device_detach(device);
	rig_add_ram(rig, gib, 0, MIB); /* its window reaches from 0 to 2 GiB */
	rig_add(rig, &across);
	rig_refuses(rig, "d0", -EEXIST, "another window overlaps it");
}

/* A window that the kernel will not remove is used again, or goes when it is in the way. */
static void left_over_window(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_memory_region region = rig_viommu(0, gib, KIB_64);
	struct vfio_device *device;
	uint32_t id;

	rig_start(rig);
	id = rig_add(rig, &region);
	device = rig_attach(rig, "d0");
	rig_answer(rig, VFIO_IOMMU_SPAPR_TCE_REMOVE, -EBUSY, 1);
	vfio_memory_del(rig->memory, id);
	assert_int_equal(rig_info(device).range_count, 1);
	rig->watched = VFIO_IOMMU_SPAPR_TCE_CREATE;
	id = rig_add(rig, &region);
	assert_int_equal(rig->seen, 0);
	rig_answer(rig, VFIO_IOMMU_SPAPR_TCE_REMOVE, -EBUSY, 1);
	vfio_memory_del(rig->memory, id);
	region.last = 2 * gib - 1;
	rig_add(rig, &region);
	assert_int_equal(rig->seen, 1);
	assert_int_equal(window_of(rig, 0).entries << 16, 2 * gib);
	assert_int_equal(vfio_container_error(vfio_device_container(device)), 0);
}

static void machine_of_small_pages(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_memory_region region = rig_viommu(0, gib, 16 * MIB);

	rig_start(rig);
	rig_add(rig, &region);
	rig_attach(rig, "d0");
	/* Larger pages of the host's memory are not known of. */
	assert_int_equal(window_of(rig, 0).page_shift, 16);
}

/* A BAR is no reason for a window, nor to fail. */
static void bar_without_window(void **state)
{
	struct backend_rig *rig = *state;
	const struct vfio_memory_region bar = { .name = "bar",
						.kind = VFIO_MEMORY_RAM_DEVICE,
						.start = (uint64_t)1 << 45,
						.last = ((uint64_t)1 << 45) + KIB_64 - 1,
						.vaddr = rig->ram,
						.fd = -1 };
	struct vfio_device *device;

	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	rig_add(rig, &bar);
	device = rig_attach(rig, "d0");
	assert_int_equal(rig->ref.warnings_seen, 1);
	assert_int_equal(vfio_container_error(vfio_device_container(device)), 0);
	assert_int_equal(rig_info(device).mappings, 1);
}

/* ---- groups ---- */

/* A group that leaves would take the maps of all with it: each has a container of its own. */
static void groups_do_not_share(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *devices[3];

	rig->world.devices[1].group = rig->world.devices[0].group;
	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	devices[0] = rig_attach(rig, "d0");
	devices[1] = rig_attach(rig, "d1");
	devices[2] = rig_attach(rig, "d2");
	assert_int_equal(rig_info(devices[0]).devices, 2);
	assert_int_equal(rig_info(devices[2]).devices, 1);
	vfio_device_detach(devices[2]);
	assert_int_equal(rig_reach(rig, "d0", KIB_64), KIB_64);
	assert_int_equal(rig_reach(rig, "d1", KIB_64), KIB_64);
	vfio_device_detach(devices[0]);
	assert_int_equal(rig_reach(rig, "d1", KIB_64), KIB_64);
	assert_int_equal(regions(rig), 1);
	rig_attach(rig, "d2");
	vfio_device_detach(devices[1]);
	assert_int_equal(rig_reach(rig, "d2", KIB_64), KIB_64);
}

/* ---- the kernel says no ---- */

static void kernel_says_no(void **state)
{
	static const struct {
		uint32_t request;
		long result;
		int code;
		const char *message;
	} cases[] = {
		{ VFIO_IOMMU_SPAPR_TCE_GET_INFO, -EFAULT, -EFAULT, "GET_INFO" },
		{ VFIO_IOMMU_SPAPR_TCE_REMOVE, -EINVAL, -EINVAL, "TCE_REMOVE" },
		{ VFIO_IOMMU_SPAPR_TCE_CREATE, -ENOSPC, -ENOSPC, "TCE_CREATE" },
		{ VFIO_IOMMU_SPAPR_TCE_CREATE, -ENOMEM, -ENOMEM, "TCE_CREATE" },
		{ VFIO_IOMMU_SPAPR_TCE_CREATE, 127, -EIO, "TCE_CREATE" },
		{ VFIO_IOMMU_SPAPR_REGISTER_MEMORY, -ENOMEM, -ENOMEM, "cannot map ram" },
		{ VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 127, -EIO, "cannot map ram" },
		{ VFIO_IOMMU_MAP_DMA, -ENXIO, -ENXIO, "cannot map ram" },
		{ VFIO_IOMMU_MAP_DMA, 1, -EIO, "cannot map ram" },
		{ VFIO_CHECK_EXTENSION, 0, -ENOTSUP, "VFIO_SET_IOMMU" },
	};
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_answer(rig, cases[i].request, cases[i].result, 10);
		rig_refuses(rig, "d0", cases[i].code, cases[i].message);
		rig_answer(rig, 0, 0, 0);
		assert_false(rig_view(rig, "d0").group_opened);
		vfio_device_detach(rig_attach(rig, "d0"));
	}
}

static void more_levels(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	rig_answer(rig, VFIO_IOMMU_SPAPR_TCE_CREATE, -ENOMEM, 2);
	rig_attach(rig, "d0");
	assert_int_equal(window_of(rig, 0).levels, 3);
	/* Four would be too many for this size; the reason is what one level was refused for. */
	rig_answer(rig, VFIO_IOMMU_SPAPR_TCE_CREATE, -ENOMEM, 3);
	rig_refuses(rig, "d1", -ENOMEM, "TCE_CREATE");
}

enum { NO_WINDOWS, NO_LEVELS, NO_PAGES };

static void change_info(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_iommu_spapr_tce_info *info = arg;

	if (request != VFIO_IOMMU_SPAPR_TCE_GET_INFO || *ret)
		return;
	if (rig->answer == NO_WINDOWS)
		info->flags = 0;
	else if (rig->answer == NO_LEVELS)
		info->ddw.levels = 0;
	else
		info->ddw.pgsizes = 0;
}

static void info_is_not_trusted(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	rig->after = change_info;
	rig->answer = NO_LEVELS;
	rig_refuses(rig, "d0", -ENOTSUP, "TCE_CREATE");
	rig->answer = NO_PAGES;
	rig_refuses(rig, "d0", -EINVAL, "GET_INFO");
	/* Version 2 without windows of ours has the default one. */
	rig->answer = NO_WINDOWS;
	rig_attach(rig, "d0");
	assert_int_equal(regions(rig), 1);
	assert_int_equal(window_of(rig, 0).entries << 12, 2 * gib);
	assert_int_equal(rig_reach(rig, "d0", KIB_64), KIB_64);
}

/* Memory that the kernel has TCEs of is not taken back from it, and goes with the container. */
static void unmap_fails(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	rig_add_ram(rig, gib, MIB, MIB);
	for (int i = 0; i < 2; i++) {
		device = rig_attach(rig, "d0");
		rig_answer(rig, VFIO_IOMMU_UNMAP_DMA, i ? 1 : -EINVAL, 2);
		vfio_device_detach(device);
		assert_int_equal(rig->times, 0);
		assert_int_equal(regions(rig), 0);
	}
}

static void memory_is_registered_once(void **state)
{
	struct backend_rig *rig = *state;
	uint32_t inner;

	rig_start(rig);
	rig_add_ram(rig, 0, 0, 4 * MIB);
	rig_attach(rig, "d0");
	rig->watched = VFIO_IOMMU_SPAPR_REGISTER_MEMORY;
	inner = rig_add_ram(rig, gib, MIB, MIB); /* a part of the same memory */
	assert_int_equal(rig->seen, 0);
	assert_int_equal(rig_reach(rig, "d0", gib), MIB);
	vfio_memory_del(rig->memory, inner);
	assert_int_equal(regions(rig), 1);
	assert_int_equal(rig_reach(rig, "d0", MIB), MIB);
	/* Back after the kernel would not let go of it. */
	rig_answer(rig, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, -EBUSY, 1);
	vfio_memory_del(rig->memory, rig_add_ram(rig, gib, 8 * MIB, MIB));
	rig->seen = 0;
	rig_add_ram(rig, gib, 8 * MIB, MIB);
	assert_int_equal(rig->seen, 0);
	assert_int_equal(rig_reach(rig, "d0", gib), 8 * MIB);
}

/* ---- every call fails once ---- */

static bool life(struct backend_rig *rig)
{
	const struct vfio_memory_region region = rig_viommu(second_window, gib, KIB_64);
	struct vfio_iommu_entry entry = { .iova = second_window,
					  .last = second_window + KIB_64 - 1,
					  .prot = 3,
					  .target_memory = rig->memory };
	static const char *const names[] = { "d0", "d1" };
	struct vfio_device *devices[2] = { NULL, NULL };
	struct vfio_device_options options;
	struct vfio_error error = { 0 };
	char group[32];
	bool good = true;
	uint32_t hot, id;

	rig_add_ram(rig, 0, 0, MIB);
	id = rig_add(rig, &region);
	assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
	for (int i = 0; i < 2; i++) {
		options = rig_options(rig, names[i], group);
		devices[i] = rig_try(rig, rig->memory, &options, &error);
		good &= devices[i] && rig_reach(rig, names[i], 0) == 0;
	}
	hot = rig_add_ram(rig, gib, MIB, MIB);
	vfio_memory_del(rig->memory, hot);
	for (int i = 0; i < 2; i++) {
		if (devices[i])
			vfio_device_detach(devices[i]);
	}
	assert_int_equal(regions(rig), 0);
	good &= !rig->ref.broken_seen;
	rig->ref.broken_seen = 0;
	assert_int_equal(vfake_ledger(rig->kernel).pinned_pages, rig->start.pinned_pages);
	return good;
}

static bool life_v1(struct backend_rig *rig)
{
	struct vfio_device_options options;
	struct vfio_device *device;
	struct vfio_error error;
	char group[32];
	uint32_t hot;
	bool good;

	rig_add_ram(rig, 0, 0, MIB);
	options = rig_options(rig, "d0", group);
	device = rig_try(rig, rig->memory, &options, &error);
	hot = rig_add_ram(rig, gib, MIB, MIB);
	good = device && rig_reach(rig, "d0", gib) == MIB;
	vfio_memory_del(rig->memory, hot);
	if (device)
		vfio_device_detach(device);
	return good;
}

static void each_call_fails(void **state)
{
	rig_start(*state);
	rig_sweep(*state, life);
}

static void each_call_of_version_1_fails(void **state)
{
	struct backend_rig *rig = *state;

	rig->world.spapr.windows = 0;
	rig_start(rig);
	rig_sweep(rig, life_v1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPAPR_STORY(version_1_has_one_window),
		SPAPR_STORY(version_2_falls_back),
		SPAPR_STORY(ram_shares_a_window),
		SPAPR_STORY(viommu_windows),
		SPAPR_STORY(windows_that_cannot_be),
		SPAPR_STORY(windows_do_not_overlap),
		SPAPR_STORY(left_over_window),
		SPAPR_STORY(machine_of_small_pages),
		SPAPR_STORY(bar_without_window),
		SPAPR_STORY(groups_do_not_share),
		SPAPR_STORY(kernel_says_no),
		SPAPR_STORY(more_levels),
		SPAPR_STORY(info_is_not_trusted),
		SPAPR_STORY(unmap_fails),
		SPAPR_STORY(memory_is_registered_once),
		SPAPR_STORY(each_call_fails),
		SPAPR_STORY(each_call_of_version_1_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
