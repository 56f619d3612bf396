/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Type1 answers that make no sense: the stack's backend neither loops, nor reads outside of them,
 * nor believes that what it asked for has happened.
 */
#include "backend_rig.h"

enum { PAGE = 4096, MIB = 1 << 20 };

/* Grows a little with every question. */
static void grow(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_iommu_type1_info *info = arg;

	(void)ret;
	if (request == VFIO_IOMMU_GET_INFO)
		info->argsz += (uint32_t)rig->answer;
}

static void break_chain(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_iommu_type1_info *info = arg;

	(void)ret;
	if (request == VFIO_IOMMU_GET_INFO)
		info->cap_offset = (uint32_t)rig->answer;
}

/* Finds the ranges in the chain and claims that there are more than fit. */
static void claim_ranges(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_iommu_type1_info *info = arg;
	struct vfio_info_cap_header *cap;
	uint32_t at;

	(void)ret;
	if (request != VFIO_IOMMU_GET_INFO || !info->cap_offset)
		return;
	for (at = info->cap_offset; at; at = cap->next) {
		cap = (struct vfio_info_cap_header *)(void *)((char *)info + at);
		if (cap->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			((struct vfio_iommu_type1_info_cap_iova_range *)(void *)cap)->nr_iovas =
				(uint32_t)rig->answer;
	}
}

static void no_page_size(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_iommu_type1_info *info = arg;

	(void)rig;
	(void)ret;
	if (request == VFIO_IOMMU_GET_INFO)
		info->iova_pgsizes = 0;
}

static void old_kernel(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_iommu_type1_info *info = arg;

	(void)rig;
	(void)ret;
	if (request == VFIO_IOMMU_GET_INFO)
		info->flags = 0;
}

static void info_is_not_trusted(void **state)
{
	static const uint64_t offsets[] = { 1, 0xfffffffc, 0x10000, 4 };
	static const uint64_t counts[] = { 17, 1000, 0x10000001, UINT32_MAX };
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	rig->after = grow;
	rig->answer = 1 << 20;
	rig_refuses(rig, "d0", -E2BIG, "VFIO_IOMMU_GET_INFO");
	rig->answer = 1000;
	rig_refuses(rig, "d0", -E2BIG, "VFIO_IOMMU_GET_INFO");
	rig->after = no_page_size;
	rig_refuses(rig, "d0", -EINVAL, "VFIO_IOMMU_GET_INFO");
	rig->after = break_chain;
	for (int i = 0; i < 4; i++) {
		rig->answer = offsets[i];
		vfio_device_detach(rig_attach(rig, "d0"));
	}
	/* No list of ranges is no limit: the kernel judges. */
	rig->after = claim_ranges;
	for (int i = 0; i < 4; i++) {
		rig->answer = counts[i];
		device = rig_attach(rig, "d0");
		assert_int_equal(rig_info(device).range_count, 0);
		vfio_device_detach(device);
	}
	rig->after = old_kernel;
	device = rig_attach(rig, "d0");
	assert_int_equal(rig_info(device).pgsizes, PAGE);
	assert_false(rig_info(device).dirty_tracking);
}

static void change_unmapped(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_iommu_type1_dma_unmap *unmap = arg;

	(void)ret;
	if (request == VFIO_IOMMU_UNMAP_DMA)
		unmap->size += rig->answer;
}

/* What the kernel unmapped is not what was mapped: the maps can no longer be trusted. */
static void unmapped_size_is_checked(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_container *container;
	uint32_t hot;

	rig_start(rig);
	container = vfio_device_container(rig_attach(rig, "d0"));
	for (int i = 0; i < 2; i++) {
		hot = rig_add_ram(rig, MIB, 0, MIB);
		rig->after = change_unmapped;
		rig->answer = i ? PAGE : (uint64_t)-PAGE;
		vfio_memory_del(rig->memory, hot);
		rig->after = NULL;
		assert_int_equal(rig->ref.broken_seen, i + 1);
		assert_int_equal(rig->ref.broken_code, i ? -EIO : -ENOENT);
	}
	assert_int_equal(vfio_container_error(container), -ENOENT); /* the first */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(info_is_not_trusted),
		LEGACY_STORY(unmapped_size_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
