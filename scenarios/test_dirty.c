/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty pages of containers and devices: what is asked of the kernel and how much room it gets, who
 * is asked when a map goes, and what counts when nobody can tell.
 */
#include "backend_rig.h"

enum { PAGE = 4096, MIB = 1 << 20 };

/* While dirty pages are wanted, a container that cannot track them does not come up. */
static void tracking_is_refused(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_error error = { 0 };
	uint64_t blocks;

	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	assert_true(vfio_memory_log_start(rig->memory, &error));
	blocks = rig->ref.blocks;
	rig_answer(rig, VFIO_IOMMU_DIRTY_PAGES, -EIO, 1);
	rig_refuses(rig, "d0", -EIO, "device d0: cannot start to track dirty pages");
	assert_int_equal(vfake_ledger(rig->kernel).pinned_pages, rig->start.pinned_pages);
	assert_int_equal(rig->ref.blocks, blocks);
	rig_attach(rig, "d0");
	vfio_memory_log_stop(rig->memory);
}

/* What goes needs no memory, also while dirty pages are wanted: all may be written then. */
static void going_needs_no_memory(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_error error = { 0 };
	struct vfio_device *device;
	uint64_t allocs;

	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	device = rig_attach(rig, "d0");
	assert_true(vfio_memory_log_start(rig->memory, &error));
	allocs = rig->allocs;
	vfio_device_detach(device);
	assert_int_equal(rig->allocs, allocs);
	assert_int_equal(vfio_memory_dirty_pages(rig->memory), MIB / PAGE);
	vfio_memory_log_stop(rig->memory);
}

/* What the kernel is asked for while dirty pages are wanted. */
static struct {
	uint32_t asked;	      /* for the pages of a map */
	uint64_t bitmap_size; /* the last time, in bytes */
	uint32_t changes;     /* of tracking: on and off */
	uint32_t unmaps;
	uint32_t unmap_flags; /* of the last one */
} tracked;

static void watch_tracking(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_iommu_type1_dirty_bitmap *dirty = arg;
	struct vfio_iommu_type1_dirty_bitmap_get range;

	(void)rig;
	(void)ret;
	if (request == VFIO_IOMMU_UNMAP_DMA) {
		tracked.unmaps++;
		tracked.unmap_flags = ((struct vfio_iommu_type1_dma_unmap *)arg)->flags;
	}
	if (request != VFIO_IOMMU_DIRTY_PAGES)
		return;
	if (dirty->flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP) {
		tracked.asked++;
		memcpy(&range, dirty->data, sizeof(range));
		tracked.bitmap_size = range.bitmap.size;
	} else {
		tracked.changes++;
	}
}

/* Each map is asked for once, with room for its pages and no more. */
static void what_is_asked_of_tracking(void **state)
{
	struct backend_rig *rig = *state;
	const uint64_t pages[] = { 1, 63, 64, 65, 128, 129 };
	struct vfio_error error = { 0 };
	struct vfio_device *device;

	rig_start(rig);
	memset(&tracked, 0, sizeof(tracked));
	device = rig_attach(rig, "d0");
	rig->after = watch_tracking;
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		uint32_t id = rig_add_ram(rig, MIB, 0, pages[i] * PAGE);

		assert_true(vfio_memory_log_start(rig->memory, &error));
		tracked.asked = 0;
		assert_true(vfio_memory_log_sync(rig->memory, &error));
		assert_int_equal(tracked.asked, 1);
		assert_int_equal(tracked.bitmap_size, (pages[i] + 63) / 64 * 8);
		vfio_memory_log_stop(rig->memory);
		vfio_memory_del(rig->memory, id);
	}
	/* One with many pages, and some with fewer. */
	rig_add_ram(rig, 64 * MIB, 0, RIG_RAM);
	for (uint64_t i = 0; i < 3; i++)
		rig_add_ram(rig, i * MIB, i * MIB, MIB);
	assert_true(vfio_memory_log_start(rig->memory, &error));
	tracked.asked = 0;
	assert_true(vfio_memory_log_sync(rig->memory, &error));
	assert_int_equal(tracked.asked, 4);
	vfio_memory_log_stop(rig->memory);
	/* On and off, each once, and no more when the device goes. */
	assert_int_equal(tracked.changes, 2 * (sizeof(pages) / sizeof(pages[0]) + 1));
	rig->after = NULL;
	rig->watched = VFIO_IOMMU_DIRTY_PAGES;
	rig->seen = 0;
	vfio_device_detach(device);
	assert_int_equal(rig->seen, 0);
	assert_int_equal(vfio_memory_dirty_pages(rig->memory), (RIG_RAM + 3 * MIB) / PAGE);
}

/* When nobody wants to know any more, what goes makes nothing dirty. */
static void nobody_wants_to_know(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_memory *machine = vfio_memory_new(NULL);
	const struct vfio_memory_region viommu = rig_viommu(0, 64 * MIB, PAGE);
	struct vfio_iommu_entry entry = { 0, 2 * PAGE - 1, 0, 3, machine };
	struct vfio_device *device;
	uint32_t id;

	rig_start(rig);
	rig_fill(rig, machine);
	device = rig_attach(rig, "d0");
	id = rig_add(rig, &viommu);
	assert_true(vfio_memory_log_start(machine, NULL));
	assert_true(vfio_memory_log_start(rig->memory, NULL));
	vfio_memory_log_stop(rig->memory);
	vfio_memory_log_stop(machine);
	assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
	entry.prot = 0;
	assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
	entry.prot = 3;
	assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
	vfio_device_detach(device);
	assert_int_equal(vfio_memory_dirty_pages(machine), 0);
	vfio_memory_free(machine);
}

/* An unmap tells what was written until then, in one call; where it cannot, all counts as written.
 */
static void an_unmap_that_tells(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_memory *machine = vfio_memory_new(NULL);
	const struct vfio_memory_region viommu = rig_viommu(0, 64 * MIB, PAGE);
	struct vfio_iommu_entry entry = { 0, 2 * PAGE - 1, 0, 3, machine };
	struct vfio_device *device;
	uint32_t id;

	rig_start(rig);
	rig_fill(rig, machine);
	device = rig_attach(rig, "d0");
	id = rig_add(rig, &viommu);
	assert_true(vfio_memory_log_start(rig->memory, NULL));
	rig->after = watch_tracking;
	for (int way = 0; way < 4; way++) {
		assert_true(vfio_memory_log_start(machine, NULL));
		entry.prot = 3;
		assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
		memset(&tracked, 0, sizeof(tracked));
		rig->ref.broken_seen = 0;
		rig->calls = 0;
		rig->fail_at = way == 1; /* no memory for a bitmap */
		if (way > 1)		 /* the kernel has none, or refuses at all */
			rig_answer(rig, VFIO_IOMMU_UNMAP_DMA, -EIO, way - 1);
		entry.prot = 0;
		assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
		rig->fail_at = 0;
		assert_int_equal(tracked.asked, 0);
		assert_int_equal(tracked.unmaps, way < 3);
		assert_int_equal(tracked.unmap_flags,
				 way ? 0 : VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP);
		assert_int_equal(vfio_memory_dirty_pages(machine), 2);
		assert_int_equal(rig->ref.broken_seen, way == 3);
		vfio_memory_log_stop(machine);
	}
	assert_int_equal(rig->ref.broken_code, -EIO);
	rig->after = NULL;
	vfio_device_detach(device);
	vfio_memory_log_stop(rig->memory);
	vfio_memory_free(machine);
}

/* ---- logs of devices ---- */

enum { RANGES = 64 };

static struct {
	uint32_t count;
	uint64_t page;
	int report_code; /* what reading a log says */
	struct vfio_device_feature_dma_logging_range ranges[RANGES];
} logged;

static bool play_log(struct backend_rig *rig, int fd, uint32_t request, void *arg, long *ret)
{
	struct vfio_device_feature *head = arg;
	struct vfio_device_feature_dma_logging_control control;

	(void)rig;
	(void)fd;
	if (request != VFIO_DEVICE_FEATURE)
		return false;
	*ret = 0;
	if ((head->flags & VFIO_DEVICE_FEATURE_MASK) == VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT)
		*ret = logged.report_code;
	if ((head->flags & VFIO_DEVICE_FEATURE_MASK) != VFIO_DEVICE_FEATURE_DMA_LOGGING_START ||
	    head->flags & VFIO_DEVICE_FEATURE_PROBE)
		return true;
	memcpy(&control, head->data, sizeof(control));
	logged.count = control.num_ranges;
	logged.page = control.page_size;
	assert_in_range(logged.count, 1, RANGES);
	memcpy(logged.ranges, (const void *)(uintptr_t)control.ranges,
	       logged.count * sizeof(logged.ranges[0]));
	return true;
}

static void expect_range(uint32_t at, uint64_t start, uint64_t size)
{
	assert_int_equal(logged.ranges[at].iova, start);
	assert_int_equal(logged.ranges[at].length, size);
}

static void start_and_stop(struct backend_rig *rig)
{
	memset(&logged, 0, sizeof(logged));
	assert_true(vfio_memory_log_start(rig->memory, NULL));
	vfio_memory_log_stop(rig->memory);
}

/* A device is asked to log what is mapped: neighbours are one range, and 64 ranges is the most. */
static void ranges_of_a_log(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_error error;
	uint32_t id;

	rig_start(rig);
	rig->instead = play_log;
	rig_attach(rig, "d0");
	start_and_stop(rig); /* nothing is mapped, nothing is asked */
	assert_int_equal(logged.count, 0);
	id = rig_add_kind(rig, "pieces", VFIO_MEMORY_DISCARDABLE, MIB, 2 * MIB - 1, rig->ram);
	assert_true(rig_plug(rig, id, MIB, MIB + 4 * PAGE - 1, &error));
	start_and_stop(rig);
	assert_int_equal(logged.count, 1);
	assert_int_equal(logged.page, PAGE);
	expect_range(0, MIB, 4 * PAGE);
	vfio_memory_discard(rig->memory, id, MIB + 2 * PAGE, MIB + 3 * PAGE - 1);
	start_and_stop(rig);
	assert_int_equal(logged.count, 2);
	expect_range(0, MIB, 2 * PAGE);
	expect_range(1, MIB + 3 * PAGE, PAGE);
	/* One page and a hole, as often as there is room for a range, and once more. */
	vfio_memory_discard(rig->memory, id, MIB, 2 * MIB - 1);
	for (uint64_t i = 0; i <= RANGES; i++) {
		uint64_t at = MIB + 2 * i * PAGE;

		assert_true(rig_plug(rig, id, at, at + PAGE - 1, &error));
		start_and_stop(rig);
		assert_int_equal(logged.count, i < RANGES ? i + 1 : 1);
		expect_range(0, MIB, i < RANGES ? PAGE : (2 * i + 1) * PAGE);
		if (i < RANGES)
			expect_range((uint32_t)i, at, PAGE);
	}
}

/* Whether a container's devices log is for them to say, not for those of another one. */
static void other_containers_do_not_count(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_memory *other = vfio_memory_new(NULL);
	struct vfio_device_options options;
	struct vfio_migration_info info;
	struct vfio_device *device;
	struct vfio_error error;
	char group[32];

	rig_start(rig);
	rig->instead = play_log;
	rig_attach(rig, "d0");
	rig->instead = NULL;
	options = rig_options(rig, "d1", group);
	device = rig_try(rig, other, &options, &error);
	assert_non_null(device);
	vfio_device_migration_info(device, &info);
	assert_false(info.dma_logging);
	rig_add_ram(rig, 0, 0, MIB);
	rig->instead = play_log;
	start_and_stop(rig);
	assert_int_equal(logged.count, 1);
	vfio_device_detach(device);
	vfio_memory_free(other);
}

/* A log that cannot be read when its map goes: all of the map counts as written. */
static void a_log_that_cannot_be_read(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_memory *machine = vfio_memory_new(NULL);
	const struct vfio_memory_region viommu = rig_viommu(0, 64 * MIB, PAGE);
	struct vfio_iommu_entry entry = { 0, 4 * PAGE - 1, 0, 3, machine };
	struct vfio_device *device;
	uint32_t id;

	rig_start(rig);
	rig_fill(rig, machine);
	rig->instead = play_log;
	device = rig_attach(rig, "d0");
	id = rig_add(rig, &viommu);
	for (int fails = 0; fails < 2; fails++) {
		entry.prot = 3;
		assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
		assert_true(vfio_memory_log_start(machine, NULL));
		assert_true(vfio_memory_log_start(rig->memory, NULL));
		logged.report_code = fails ? -EIO : 0;
		entry.prot = 0;
		assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
		assert_int_equal(vfio_memory_dirty_pages(machine), fails ? 4 : 0);
		assert_int_equal(rig->ref.broken_seen, 0);
		vfio_memory_log_stop(rig->memory);
		vfio_memory_log_stop(machine);
	}
	vfio_device_detach(device);
	vfio_memory_free(machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(tracking_is_refused),
		LEGACY_STORY(going_needs_no_memory),
		LEGACY_STORY(what_is_asked_of_tracking),
		LEGACY_STORY(nobody_wants_to_know),
		LEGACY_STORY(an_unmap_that_tells),
		LEGACY_STORY(ranges_of_a_log),
		LEGACY_STORY(other_containers_do_not_count),
		LEGACY_STORY(a_log_that_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
