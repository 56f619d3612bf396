/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Containers at their edges: the first and the last IOVA of a range, maps that the kernel has
 * already, VMMs that listen to nothing, and what is told when something is refused.
 */
#include "backend_rig.h"

enum {
	PAGE = 4096,
	MIB = 1 << 20,
	HOLE_START = 0xfee00000, /* x86's interrupts, which no container of it maps */
	HOLE_END = 0xfef00000,
};

static bool can_add(struct backend_rig *rig, uint64_t start, uint64_t last)
{
	const struct vfio_memory_region region = { .name = "ram",
						   .kind = VFIO_MEMORY_RAM,
						   .start = start,
						   .last = last,
						   .vaddr = rig->ram,
						   .fd = -1 };
	uint32_t broken = rig->ref.broken_seen;
	uint32_t id = 0;

	if (vfio_memory_add(rig->memory, &region, &id, NULL) && id)
		vfio_memory_del(rig->memory, id);
	return rig->ref.broken_seen == broken;
}

static void ranges_to_the_last_page(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_container_info info;
	bool below = false, above = false;

	rig_start(rig);
	info = rig_info(rig_attach(rig, "d0"));
	for (uint32_t i = 0; i < info.range_count; i++) {
		below |= info.ranges[i].last == HOLE_START - 1;
		above |= info.ranges[i].start == HOLE_END;
	}
	assert_true(below && above);
	for (uint32_t i = info.range_count; i < 16; i++) {
		assert_int_equal(info.ranges[i].start, 0);
		assert_int_equal(info.ranges[i].last, 0);
	}
	assert_true(can_add(rig, HOLE_START - MIB, HOLE_START - 1));
	assert_true(can_add(rig, HOLE_END, HOLE_END + MIB - 1));
	rig->watched = VFIO_IOMMU_MAP_DMA;
	rig->seen = 0;
	assert_false(can_add(rig, HOLE_START - MIB, HOLE_START + PAGE - 1));
	assert_int_equal(rig->ref.broken_code, -ERANGE);
	assert_false(can_add(rig, HOLE_END - PAGE, HOLE_END + MIB - 1));
	assert_false(can_add(rig, HOLE_START, HOLE_START + PAGE - 1));
	assert_int_equal(rig->seen, 0); /* nobody asked the kernel */
}

/* ---- what the kernel has already ---- */

static struct {
	int code; /* what each unmap says; 0: what is so */
	uint32_t seen;
} unmaps;

static void play_unmaps(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	(void)rig;
	(void)arg;
	if (request != VFIO_IOMMU_UNMAP_DMA)
		return;
	unmaps.seen++;
	if (unmaps.code)
		*ret = unmaps.code;
}

/* The first map is not made and says @map. How many maps and unmaps are asked for then? */
static void map_again(struct backend_rig *rig, int map, int unmap, uint32_t maps, uint32_t away)
{
	uint32_t broken = rig->ref.broken_seen;
	uint32_t id;

	unmaps.code = unmap;
	unmaps.seen = 0;
	rig->after = play_unmaps;
	rig_answer(rig, VFIO_IOMMU_MAP_DMA, map, 1);
	rig->watched = VFIO_IOMMU_MAP_DMA;
	rig->seen = 0;
	id = rig_add_ram(rig, 64 * MIB, 0, MIB);
	rig->after = NULL;
	assert_int_equal(rig->seen, maps);
	assert_int_equal(unmaps.seen, away);
	assert_int_equal(rig->ref.broken_seen - broken, maps == 1);
	if (maps == 1)
		assert_int_equal(rig->ref.broken_code, map);
	vfio_memory_del(rig->memory, id);
}

static void a_map_that_is_there(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig_attach(rig, "d0");
	map_again(rig, -EEXIST, 0, 2, 1);
	map_again(rig, -EBUSY, 0, 2, 1);
	/* It cannot be taken away: then it is not tried again. */
	map_again(rig, -EEXIST, -EIO, 1, 1);
	/* Other reasons are final. */
	map_again(rig, -EIO, 0, 1, 0);
	map_again(rig, -ENOMEM, 0, 1, 0);
}

static void maps_are_counted(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	uint32_t first, second;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	assert_int_equal(rig_info(device).mappings, 0);
	assert_int_equal(rig_info(device).devices, 1);
	first = rig_add_ram(rig, 0, 0, MIB);
	second = rig_add_ram(rig, 2 * MIB, MIB, MIB);
	assert_int_equal(rig_info(device).mappings, 2);
	assert_int_equal(rig_view(rig, "d0").mappings, 2);
	vfio_memory_del(rig->memory, first);
	assert_int_equal(rig_info(device).mappings, 1);
	/* One that the kernel refuses is none. */
	rig_answer(rig, VFIO_IOMMU_MAP_DMA, -EIO, 1);
	first = rig_add_ram(rig, 0, 0, MIB);
	assert_int_equal(rig_info(device).mappings, 1);
	assert_int_equal(rig_view(rig, "d0").mappings, 1);
	vfio_memory_del(rig->memory, first);
	/* One that cannot be taken away is still there. */
	rig_answer(rig, VFIO_IOMMU_UNMAP_DMA, -EIO, 1);
	vfio_memory_del(rig->memory, second);
	assert_int_equal(rig_view(rig, "d0").mappings, 1);
	assert_int_equal(rig_info(device).mappings, 1);
}

/* ---- VMMs ---- */

static int refuse_discard(void *ctx, bool forbid)
{
	(void)ctx;
	return forbid ? -EBUSY : 0;
}

/* A stack of its own on the same kernel. */
static struct vfio *deaf_stack(struct backend_rig *rig, bool discards)
{
	const struct vfio_vmm vmm = { .ctx = rig,
				      .alloc = rig_alloc,
				      .free = rig_free,
				      .forbid_discard = discards ? refuse_discard : NULL };
	struct vfio_sys sys = rig->kernel_sys;

	sys.ctx = rig;
	sys.open = rig_open;
	sys.close = rig_close;
	sys.ioctl = rig_ioctl;
	sys.eventfd = rig_eventfd;
	return vfio_new(&sys, &vmm);
}

static void a_vmm_that_listens_to_nothing(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_options options;
	struct vfio_device *device;
	struct vfio *vfio;
	char group[32];
	uint32_t id;

	rig_start(rig);
	vfio = deaf_stack(rig, false);
	options = rig_options(rig, "d0", group);
	device = vfio_device_attach(vfio, rig->memory, &options, NULL);
	assert_non_null(device);
	rig_answer(rig, VFIO_IOMMU_MAP_DMA, -EIO, 1);
	id = rig_add_ram(rig, 0, 0, MIB);
	assert_int_equal(vfio_container_error(vfio_device_container(device)), -EIO);
	vfio_memory_del(rig->memory, id);
	vfio_device_detach(device);
	vfio_free(vfio);
}

static void a_vmm_that_discards(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_options options;
	struct vfio_error error = { 0 };
	struct vfio *vfio;
	char group[32];

	rig_start(rig);
	vfio = deaf_stack(rig, true);
	options = rig_options(rig, "d0", group);
	assert_null(vfio_device_attach(vfio, rig->memory, &options, &error));
	assert_int_equal(error.code, -EBUSY);
	assert_non_null(strstr(error.hint, "cannot be pinned"));
	vfio_free(vfio);
}

static void what_is_refused_at_once(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_memory *other = vfio_memory_new(NULL);
	struct vfio_device_options options;
	struct vfio_error error;
	char group[32];

	rig->world.devices[1].group = rig->world.devices[0].group;
	rig_start(rig);
	options = rig_options(rig, "d0", group);
	options.name = NULL;
	assert_null(vfio_device_attach(rig->vfio, rig->memory, &options, &error));
	assert_int_equal(error.code, -EINVAL);
	options.name = "";
	assert_null(vfio_device_attach(rig->vfio, rig->memory, &options, &error));
	assert_int_equal(error.code, -EINVAL);
	/* Devices of a group cannot be in two address spaces. */
	rig_attach(rig, "d0");
	options = rig_options(rig, "d1", group);
	assert_null(vfio_device_attach(rig->vfio, other, &options, &error));
	assert_int_equal(error.code, -EBUSY);
	assert_non_null(strstr(error.message, "another address space"));
	assert_non_null(strstr(error.hint, "share one container"));
	vfio_memory_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(ranges_to_the_last_page), LEGACY_STORY(a_map_that_is_there),
		LEGACY_STORY(maps_are_counted),	       LEGACY_STORY(a_vmm_that_listens_to_nothing),
		LEGACY_STORY(a_vmm_that_discards),     LEGACY_STORY(what_is_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
