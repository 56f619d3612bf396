/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack's sPAPR TCE backend: which version is taken, what its default window is for, and what
 * of guest memory is registered.
 */
#include "backend_rig.h"

#include <vfake/spapr.h>

enum { PAGE = 4096, KIB_64 = 65536, MIB = 1 << 20 };

static const uint64_t gib = 1 << 30;

/* ---- versions ---- */

/* What a kernel says of both versions. */
static struct {
	int v2, v1, set_v2; /* answers; 1 and 0 of set_v2: as it is */
	uint32_t set_v1;    /* how often version 1 was set */
	bool windows;	    /* it says that they can be made, whatever the version */
} kernel;

static bool choose(struct backend_rig *rig, int fd, uint32_t request, void *arg, long *ret)
{
	(void)rig;
	(void)fd;
	if (request == VFIO_CHECK_EXTENSION && (uintptr_t)arg == VFIO_SPAPR_TCE_v2_IOMMU)
		*ret = kernel.v2;
	else if (request == VFIO_CHECK_EXTENSION && (uintptr_t)arg == VFIO_SPAPR_TCE_IOMMU)
		*ret = kernel.v1;
	else if (request == VFIO_SET_IOMMU && (uintptr_t)arg == VFIO_SPAPR_TCE_v2_IOMMU &&
		 kernel.set_v2)
		*ret = kernel.set_v2;
	else
		return false;
	return true;
}

static void count_v1(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	(void)rig;
	(void)ret;
	kernel.set_v1 += request == VFIO_SET_IOMMU && (uintptr_t)arg == VFIO_SPAPR_TCE_IOMMU;
	if (request == VFIO_IOMMU_SPAPR_TCE_GET_INFO && kernel.windows)
		((struct vfio_iommu_spapr_tce_info *)arg)->flags |= VFIO_IOMMU_SPAPR_INFO_DDW;
}

static void a_version_is_chosen(void **state)
{
	static const struct {
		int v2, v1, set_v2, code;
	} cases[] = {
		{ -EFAULT, 1, 0, -EFAULT },	 { 1, 0, -EPERM, -EPERM },
		{ 1, -EFAULT, -EPERM, -EFAULT }, { 1, 1, -ENODEV, -ENODEV },
		{ 0, 0, 0, -ENOTSUP },		 { 0, -EIO, 0, -EIO },
	};
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig->instead = choose;
	rig->after = count_v1;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		kernel.v2 = cases[i].v2;
		kernel.v1 = cases[i].v1;
		kernel.set_v2 = cases[i].set_v2;
		kernel.set_v1 = 0;
		rig_refuses(rig, "d0", cases[i].code, "VFIO_SET_IOMMU sPAPR TCE: ");
		assert_int_equal(kernel.set_v1, 0);
		assert_int_equal(rig->ref.warnings_seen, 0);
	}
}

/* Version 1 has its one window, whatever is said of windows; that it is not 2 is told. */
static void version_1_is_taken(void **state)
{
	static const int refusals[] = { -EINVAL, -EPERM };
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	rig->instead = choose;
	rig->after = count_v1;
	rig->watched = VFIO_IOMMU_SPAPR_TCE_REMOVE;
	kernel.v1 = 1;
	kernel.windows = true;
	for (int i = 0; i < 3; i++) {
		struct vfio_device *device;

		kernel.v2 = i < 2;
		kernel.set_v2 = i < 2 ? refusals[i] : 0;
		device = rig_attach(rig, "d0");
		rig_warned(rig, i < 2, i < 2 ? "sPAPR TCE version 1 is used, not 2: " : "");
		assert_int_equal(rig_info(device).range_count, 1);
		assert_int_equal(rig_info(device).pgsizes, PAGE);
		assert_int_equal(rig_reach(rig, "d0", PAGE), PAGE);
		vfio_device_detach(device);
	}
	assert_int_equal(rig->seen, 0);
	kernel.windows = false;
}

/* What was turned on is turned off, and nothing else. */
static void version_1_is_turned_off(void **state)
{
	struct backend_rig *rig = *state;

	rig->world.spapr.windows = 0;
	rig_start(rig);
	rig->watched = VFIO_IOMMU_DISABLE;
	vfio_device_detach(rig_attach(rig, "d0"));
	assert_int_equal(rig->seen, 1);
	rig_answer(rig, VFIO_IOMMU_ENABLE, -EPERM, 1);
	rig_refuses(rig, "d0", -EPERM, "VFIO_IOMMU_ENABLE");
	assert_int_equal(rig->seen, 1);
}

static void version_2_is_not_turned_off(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig->watched = VFIO_IOMMU_DISABLE;
	vfio_device_detach(rig_attach(rig, "d0"));
	assert_int_equal(rig->seen, 0);
}

/* ---- the default window ---- */

/* The last range that was unmapped. */
static struct {
	uint64_t iova, size;
} unmapped;

static bool see_unmapped(struct backend_rig *rig, int fd, uint32_t request, void *arg, long *ret)
{
	const struct vfio_iommu_type1_dma_unmap *unmap = arg;

	(void)rig;
	(void)fd;
	(void)ret;
	if (request == VFIO_IOMMU_UNMAP_DMA) {
		unmapped.iova = unmap->iova;
		unmapped.size = unmap->size;
	}
	return false;
}

static void default_window_is_the_kernels(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_container_info info;
	struct vfio_device *device;

	rig->world.spapr.windows = 0;
	rig->world.spapr.window_start = (uint32_t)gib;
	rig->world.spapr.window_size_bytes = (uint32_t)gib;
	rig_start(rig);
	rig_add_ram(rig, gib, 0, MIB);
	rig_add_ram(rig, 2 * gib - MIB, MIB, MIB);
	device = rig_attach(rig, "d0");
	info = rig_info(device);
	assert_int_equal(info.range_count, 1);
	assert_true(info.ranges[0].start == gib && info.ranges[0].last == 2 * gib - 1);
	/* Up to its last page. */
	assert_int_equal(rig_reach(rig, "d0", gib), 0);
	assert_int_equal(rig_reach(rig, "d0", 2 * gib - 1), 2 * MIB - 1);
	/* All of it is unmapped where one map would not go, and only there. */
	rig->watched = VFIO_IOMMU_UNMAP_DMA;
	rig->instead = see_unmapped;
	rig_answer(rig, VFIO_IOMMU_UNMAP_DMA, -EINVAL, 1);
	vfio_device_detach(device);
	assert_int_equal(rig->seen, 3);
	assert_true(unmapped.iova == gib && unmapped.size == gib);
	rig->seen = 0;
	vfio_device_detach(rig_attach(rig, "d0"));
	assert_int_equal(rig->seen, 2);
}

static void no_default_window(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_iommu_spapr_tce_info *info = arg;

	(void)rig;
	(void)ret;
	if (request != VFIO_IOMMU_SPAPR_TCE_GET_INFO)
		return;
	info->flags = 0;
	info->dma32_window_size = 0;
}

static void there_may_be_no_default_window(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	rig->after = no_default_window;
	device = rig_attach(rig, "d0");
	assert_int_equal(rig_info(device).range_count, 0);
	vfio_device_detach(device);
	rig_add_ram(rig, 0, 0, MIB);
	rig_refuses(rig, "d0", -ERANGE,
		    "no DMA window for [0x0, 0xfffff], it is not in the default");
}

static void no_windows(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	(void)rig;
	(void)ret;
	if (request == VFIO_IOMMU_SPAPR_TCE_GET_INFO)
		((struct vfio_iommu_spapr_tce_info *)arg)->flags = 0;
}

/* Version 2 of a machine where none can be made does not try to. */
static void default_window_of_version_2(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig_add_ram(rig, 0, 0, MIB);
	rig->after = no_windows;
	rig->watched = VFIO_IOMMU_SPAPR_TCE_REMOVE;
	vfio_device_detach(rig_attach(rig, "d0"));
	rig->watched = VFIO_IOMMU_SPAPR_TCE_CREATE;
	assert_int_equal(rig_info(rig_attach(rig, "d0")).pgsizes, PAGE);
	assert_int_equal(rig->seen, 0);
}

/* ---- registered memory ---- */

static void expect_region(struct backend_rig *rig, uint64_t vaddr, uint64_t size)
{
	struct vfake_spapr_region region;

	assert_int_equal(vfake_spapr_region(rig->task, 0, &region), 0);
	assert_true(region.vaddr == vaddr);
	assert_true(region.size_bytes == size);
	assert_int_equal(vfake_spapr_region(rig->task, 1, &region), -ENOENT);
}

/* Whole pages of the host that are the guest's memory, and nothing beside them. */
static void whole_pages_are_registered(void **state)
{
	static const struct {
		uint64_t start, last;
	} cases[] = {
		{ 1, MIB - 2 },
		{ PAGE, MIB - PAGE - 1 },
		{ KIB_64 - 1, MIB - KIB_64 },
		{ KIB_64, MIB - KIB_64 - 1 },
	};
	struct backend_rig *rig = *state;

	rig_start(rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t id = rig_add_ram(rig, cases[i].start, cases[i].start,
					  cases[i].last - cases[i].start + 1);
		struct vfio_device *device = rig_attach(rig, "d0");

		expect_region(rig, rig->ram + KIB_64, MIB - 2 * KIB_64);
		assert_int_equal(rig_reach(rig, "d0", KIB_64), KIB_64);
		assert_int_equal(rig_reach(rig, "d0", KIB_64 - 1), -1);
		assert_int_equal(rig_reach(rig, "d0", MIB - KIB_64), -1);
		assert_int_equal(vfio_container_error(vfio_device_container(device)), 0);
		vfio_memory_del(rig->memory, id);
		assert_int_equal(vfake_ledger(rig->kernel).pinned_pages, 0);
		vfio_device_detach(device);
	}
}

/* Memory without a whole page of the host cannot be the target of an entry. */
static void less_than_a_page_is_not_registered(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_memory *small = vfio_memory_new(NULL);
	struct vfio_iommu_entry entry = { .last = PAGE - 1, .prot = 3, .target_memory = small };
	struct vfio_memory_region region = {
		.name = "small", .kind = VFIO_MEMORY_RAM, .last = KIB_64 - 1, .fd = -1
	};
	const struct vfio_memory_region table = rig_viommu(0, gib, PAGE);
	struct vfio_device *device;
	uint32_t id, target;

	rig_start(rig);
	/* as much as a page, but half of one and half of the next */
	region.vaddr = rig->ram + KIB_64 / 2;
	assert_true(vfio_memory_add(small, &region, &target, NULL));
	id = rig_add(rig, &table);
	device = rig_attach(rig, "d0");
	rig->watched = VFIO_IOMMU_SPAPR_REGISTER_MEMORY;
	rig_answer(rig, VFIO_IOMMU_MAP_DMA, -ENXIO, 10);
	assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
	assert_int_equal(rig->seen, 0);
	assert_int_equal(rig->times, 10);
	assert_int_equal(rig->ref.broken_code, -EINVAL);
	assert_int_equal(vfio_container_error(vfio_device_container(device)), -EINVAL);
	vfio_free(rig->vfio);
	rig->vfio = NULL;
	rig_end_stack(rig);
	vfio_memory_free(small);
	rig_new_stack(rig);
}

/* A TCE that may still be there keeps what it points to registered, until the container goes. */
static void a_failed_unmap_keeps_memory(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	uint32_t ids[3];

	rig_start(rig);
	device = rig_attach(rig, "d0");
	for (uint32_t i = 0; i < 3; i++)
		ids[i] = rig_add_ram(rig, i * 4 * MIB, i * 4 * MIB, MIB);
	rig->watched = VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY;
	vfio_memory_del(rig->memory, rig_add_ram(rig, gib, 15 * MIB, MIB));
	assert_int_equal(rig->seen, 1);
	assert_int_equal(rig->ref.warnings_seen, 0);
	rig_answer(rig, VFIO_IOMMU_UNMAP_DMA, -EINVAL, 1);
	vfio_memory_del(rig->memory, ids[0]);
	rig_warned(rig, 1, "memory stays registered with the kernel: invalid argument");
	vfio_memory_del(rig->memory, ids[1]); /* which can be unmapped */
	rig_answer(rig, VFIO_IOMMU_UNMAP_DMA, -EINVAL, 1);
	vfio_memory_del(rig->memory, ids[2]);
	assert_int_equal(rig->ref.warnings_seen, 0);
	assert_int_equal(rig->seen, 1);
	vfio_device_detach(device);
	assert_int_equal(rig->seen, 4);
	assert_int_equal(vfake_ledger(rig->kernel).pinned_pages, 0);
}

static void memory_that_stays_registered_is_told(void **state)
{
	struct backend_rig *rig = *state;
	char text[64];
	uint32_t id;

	rig_start(rig);
	rig_attach(rig, "d0");
	id = rig_add_ram(rig, 0, MIB, MIB);
	rig_answer(rig, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, -EBUSY, 1);
	vfio_memory_del(rig->memory, id);
	snprintf(text, sizeof(text), "memory at 0x%llx stays registered with the kernel",
		 (unsigned long long)(rig->ram + MIB));
	rig_warned(rig, 1, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPAPR_STORY(a_version_is_chosen),
		SPAPR_STORY(version_1_is_taken),
		SPAPR_STORY(version_1_is_turned_off),
		SPAPR_STORY(version_2_is_not_turned_off),
		SPAPR_STORY(default_window_is_the_kernels),
		SPAPR_STORY(there_may_be_no_default_window),
		SPAPR_STORY(default_window_of_version_2),
		SPAPR_STORY(whole_pages_are_registered),
		SPAPR_STORY(less_than_a_page_is_not_registered),
		SPAPR_STORY(a_failed_unmap_keeps_memory),
		SPAPR_STORY(memory_that_stays_registered_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
