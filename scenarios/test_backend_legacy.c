/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack's backend for groups and type1 containers: what the kernel has when devices come and
 * go, what happens when it refuses or says something odd, and that each failed call leaves nothing
 * behind.
 */
#include "backend_rig.h"

enum { PAGE = 4096, MIB = 1 << 20 };

/* ---- devices come and go ---- */

static void one_device_maps_all(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_container_info info;
	struct vfio_device *device;
	uint32_t hot;

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	device = rig_attach(rig, "d0");
	info = rig_info(device);
	assert_int_equal(info.backend, VFIO_BACKEND_LEGACY);
	assert_int_equal(info.devices, 1);
	assert_int_equal(info.pgsizes, rig->world.iommu_pgsizes);
	assert_int_equal(info.range_count, 2);
	assert_int_equal(info.ranges[0].start, 0);
	assert_int_equal(info.ranges[0].last, 0xfedfffff);
	assert_int_equal(info.ranges[1].start, 0xfef00000);
	assert_int_equal(info.max_mappings, 65535);
	assert_int_equal(info.mappings, 1);
	assert_true(info.dirty_tracking);
	assert_int_equal(rig->ref.discard_forbidden, 1);
	assert_int_equal(rig_view(rig, "d0").manager, VFAKE_MANAGER_TYPE1);
	assert_int_equal(rig_reach(rig, "d0", MIB + 5), 5);
	hot = rig_add_ram(rig, 8 * MIB, MIB, MIB);
	assert_int_equal(rig_reach(rig, "d0", 8 * MIB), MIB);
	vfio_memory_del(rig->memory, hot);
	assert_int_equal(rig_reach(rig, "d0", 8 * MIB), -1);
	vfio_device_detach(device);
	assert_false(rig_view(rig, "d0").group_opened);
	assert_int_equal(vfake_ledger(rig->kernel).pinned_pages, 0);
}

static void next_order(int order[3])
{
	static const int next[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					{ 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	int at = 0;

	while (memcmp(next[at], order, sizeof(next[at])))
		at++;
	memcpy(order, next[(at + 1) % 6], sizeof(next[at]));
}

/* Whoever leaves, those that stay reach memory; with the last one it is unpinned. */
static void leave_in_order(struct backend_rig *rig, const int order[3])
{
	static const char *const names[] = { "d0", "d1", "d2" };
	struct vfio_device *devices[3];

	for (int i = 0; i < 3; i++)
		devices[i] = rig_attach(rig, names[i]);
	assert_int_equal(rig_info(devices[0]).devices, 3);
	assert_ptr_equal(vfio_device_container(devices[0]), vfio_device_container(devices[2]));
	for (int i = 0; i < 3; i++) {
		vfio_device_detach(devices[order[i]]);
		assert_int_equal(rig_view(rig, names[order[i]]).open_count, 0);
		for (int j = i + 1; j < 3; j++)
			assert_int_equal(rig_reach(rig, names[order[j]], MIB), 0);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(rig_reach(rig, names[i], MIB), -1);
	assert_int_equal(vfake_ledger(rig->kernel).pinned_pages, 0);
}

static void three_groups_share_a_container(void **state)
{
	struct backend_rig *rig = *state;
	int order[3] = { 0, 1, 2 };

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	do {
		leave_in_order(rig, order);
		next_order(order);
	} while (order[0] || order[1] != 1);
}

static void three_devices_share_a_group(void **state)
{
	struct backend_rig *rig = *state;
	int order[3] = { 0, 1, 2 };

	rig->world.devices[1].group = rig->world.devices[0].group;
	rig->world.devices[2].group = rig->world.devices[0].group;
	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	do {
		leave_in_order(rig, order);
		next_order(order);
	} while (order[0] || order[1] != 1);
}

static void group_belongs_to_one_container(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_options options;
	struct vfio_memory *other = vfio_memory_new(NULL);
	char group[32];

	rig->world.devices[1].group = rig->world.devices[0].group;
	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	rig_attach(rig, "d0");
	options = rig_options(rig, "d1", group);
	rig_refused(rig, other, &options, -EBUSY, "another address space");
	options.type1_v1 = true;
	rig_refused(rig, rig->memory, &options, -EBUSY, "another kind of container");
	options.backend = VFIO_BACKEND_SPAPR;
	options.type1_v1 = false;
	rig_refused(rig, rig->memory, &options, -EBUSY, "attached by backend legacy");
	options.backend = VFIO_BACKEND_LEGACY;
	assert_int_equal(rig_info(rig_attach(rig, "d1")).devices, 2);
	vfio_memory_free(other);
}

static void version_1_when_asked(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_options options;
	struct vfio_device *v2, *v1;
	struct vfio_error error;
	char group[32];
	uint32_t hot;

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	v2 = rig_attach(rig, "d0");
	options = rig_options(rig, "d1", group);
	options.type1_v1 = true;
	v1 = rig_try(rig, rig->memory, &options, &error);
	assert_non_null(v1);
	assert_ptr_not_equal(vfio_device_container(v1), vfio_device_container(v2));
	hot = rig_add_ram(rig, 8 * MIB, MIB, MIB);
	assert_int_equal(rig_reach(rig, "d0", 8 * MIB), MIB);
	assert_int_equal(rig_reach(rig, "d1", 8 * MIB), MIB);
	vfio_memory_del(rig->memory, hot);
	assert_int_equal(rig_reach(rig, "d1", 8 * MIB), -1);
	assert_int_equal(vfio_container_error(vfio_device_container(v1)), 0);
	/* One that does not mind takes what is there. */
	vfio_device_detach(v2);
	assert_ptr_equal(vfio_device_container(rig_attach(rig, "d2")), vfio_device_container(v1));
}

static void noiommu_maps_nothing(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig->world.noiommu_enabled = true;
	rig->world.devices[0].noiommu = true;
	rig->world.devices[1].noiommu = true;
	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	device = rig_attach(rig, "d0");
	assert_int_equal(rig_info(device).mappings, 0);
	assert_int_equal(rig_view(rig, "d0").manager, VFAKE_MANAGER_NOIOMMU);
	assert_int_equal(rig_info(rig_attach(rig, "d1")).devices, 2);
	assert_int_equal(rig_info(rig_attach(rig, "d2")).devices, 1);
	rig_add_ram(rig, 8 * MIB, MIB, MIB);
	assert_int_equal(vfake_ledger(rig->kernel).pinned_pages, 2 * MIB / PAGE); /* d2's */
	vfio_device_detach(device);
}

static void iommufds_container_does_the_same(void **state)
{
	struct backend_rig *rig = *state;

	rig->world.compat_container = true;
	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	rig_attach(rig, "d0");
	assert_int_equal(rig_info(rig_attach(rig, "d1")).devices, 2);
	assert_int_equal(rig_reach(rig, "d1", MIB), 0);
	assert_int_equal(rig_view(rig, "d1").manager, VFAKE_MANAGER_IOMMUFD);
}

/* A container whose first device does not mind discarding takes one that does. */
static void second_device_forbids_discarding(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_options options;
	struct vfio_error error;
	char group[32];

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	options = rig_options(rig, "d0", group);
	options.may_discard = true;
	assert_non_null(rig_try(rig, rig->memory, &options, &error));
	assert_int_equal(rig->ref.discard_forbidden, 0);
	rig->ref.needs_discard = true;
	rig_refuses(rig, "d1", -EBUSY, "discard");
	assert_false(rig_view(rig, "d1").group_opened);
	rig->ref.needs_discard = false;
	assert_int_equal(rig_info(rig_attach(rig, "d1")).devices, 2);
	assert_int_equal(rig->ref.discard_forbidden, 1);
}

/* ---- refusals ---- */

static void no_such_group(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_options options = { .name = "d9", .backend = VFIO_BACKEND_LEGACY };
	struct vfio_memory *memory;
	char group[32];

	rig_start(rig);
	memory = rig->memory;
	options.group = "99";
	rig_refused(rig, memory, &options, -ENOENT, "/dev/vfio/99");
	options.group = "../vfio/vfio";
	rig_refused(rig, memory, &options, -EINVAL, "group ../vfio/vfio");
	options.group = "";
	rig_refused(rig, memory, &options, -EINVAL, "group");
	options.group = "12345678901234567890123456789012";
	rig_refused(rig, memory, &options, -EINVAL, "group");
	options = rig_options(rig, "d0", group);
	options.name = "d9";
	rig_refused(rig, memory, &options, -ENODEV, "VFIO_GROUP_GET_DEVICE_FD");
}

static void group_is_open_elsewhere(void **state)
{
	struct backend_rig *rig = *state;
	char path[64], group[32];
	int fd;

	rig_start(rig);
	rig_options(rig, "d0", group);
	snprintf(path, sizeof(path), "/dev/vfio/%s", group);
	fd = vfake_open(rig->task, path);
	rig_refuses(rig, "d0", -EBUSY, path);
	assert_int_equal(vfake_close(rig->task, fd), 0);
	rig_attach(rig, "d0");
}

static void clear_viable(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_group_status *status = arg;

	(void)rig;
	(void)ret;
	if (request == VFIO_GROUP_GET_STATUS)
		status->flags &= ~VFIO_GROUP_FLAGS_VIABLE;
}

static void group_is_not_viable(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig->after = clear_viable;
	rig_refuses(rig, "d0", -EPERM, "not viable");
	rig->after = NULL;
	rig_attach(rig, "d0");
}

static void kernel_says_no(void **state)
{
	static const struct {
		uint32_t request;
		long result;
		int code;
		const char *message;
	} cases[] = {
		{ VFIO_GET_API_VERSION, 1, -ENOTSUP, "VFIO_GET_API_VERSION" },
		{ VFIO_GROUP_SET_CONTAINER, -EPERM, -EPERM, "VFIO_GROUP_SET_CONTAINER" },
		{ VFIO_GROUP_SET_CONTAINER, 1, -EIO, "VFIO_GROUP_SET_CONTAINER" },
		{ VFIO_CHECK_EXTENSION, 0, -ENOTSUP, "no IOMMU driver" },
		{ VFIO_SET_IOMMU, -EPERM, -EPERM, "VFIO_SET_IOMMU type1v2" },
		{ VFIO_SET_IOMMU, 127, -EIO, "VFIO_SET_IOMMU type1v2" },
		{ VFIO_IOMMU_GET_INFO, -EFAULT, -EFAULT, "VFIO_IOMMU_GET_INFO" },
		{ VFIO_IOMMU_MAP_DMA, -ENOSPC, -ENOSPC, "cannot map ram" },
		{ VFIO_IOMMU_MAP_DMA, 127, -EIO, "cannot map ram" },
	};
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_answer(rig, cases[i].request, cases[i].result, 10);
		rig_refuses(rig, "d0", cases[i].code, cases[i].message);
		rig_answer(rig, 0, 0, 0);
		assert_false(rig_view(rig, "d0").group_opened);
		vfio_device_detach(rig_attach(rig, "d0"));
	}
}

/* A kernel that does not let the group in with others gets another container for it. */
static void refused_group_gets_its_own(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *first;

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	first = rig_attach(rig, "d0");
	rig_answer(rig, VFIO_GROUP_SET_CONTAINER, -EINVAL, 1);
	assert_int_equal(rig_info(rig_attach(rig, "d1")).devices, 1);
	assert_int_equal(rig_info(first).devices, 1);
	assert_int_equal(rig_reach(rig, "d1", MIB), 0);
	/* When it is in but nothing is known of it, it leaves again. */
	rig_answer(rig, VFIO_IOMMU_GET_INFO, -EIO, 1);
	rig_refuses(rig, "d2", -EIO, "VFIO_IOMMU_GET_INFO");
	assert_false(rig_view(rig, "d2").group_opened);
	rig_attach(rig, "d2");
}

static void too_little_memory_may_be_locked(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	assert_int_equal(vfake_memlock(rig->task, MIB / 2), 0);
	rig_refuses(rig, "d0", -ENOMEM, "cannot map ram");
}

/* ---- failed maps and unmaps ---- */

static void busy_map_is_tried_twice(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	rig_answer(rig, VFIO_IOMMU_MAP_DMA, -EBUSY, 1);
	rig->watched = VFIO_IOMMU_MAP_DMA;
	device = rig_attach(rig, "d0");
	assert_int_equal(rig->seen, 2);
	assert_int_equal(rig_reach(rig, "d0", MIB), 0);
	vfio_device_detach(device);
	rig->seen = 0;
	rig_answer(rig, VFIO_IOMMU_MAP_DMA, -EBUSY, 10);
	rig_refuses(rig, "d0", -EBUSY, "cannot map ram");
	assert_int_equal(rig->seen, 2);
}

/* A kernel that does not know the flag for all. */
static bool old_flags(struct backend_rig *rig, int fd, uint32_t request, void *arg, long *ret)
{
	(void)rig;
	(void)fd;
	if (request != VFIO_IOMMU_UNMAP_DMA || !((struct vfio_iommu_type1_dma_unmap *)arg)->flags)
		return false;
	*ret = -EINVAL;
	return true;
}

/* Before memory may be discarded nothing is mapped, whatever unmaps failed; the rig watches. */
static void nothing_stays_mapped(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	rig_add_ram(rig, (uint64_t)1 << 40, MIB, MIB);
	for (int i = 0; i < 2; i++) {
		rig->instead = i ? old_flags : NULL;
		device = rig_attach(rig, "d0");
		rig_answer(rig, VFIO_IOMMU_UNMAP_DMA, -EINVAL, 2);
		vfio_device_detach(device);
		assert_int_equal(rig->times, 0);
		assert_int_equal(vfake_ledger(rig->kernel).pinned_pages, 0);
	}
}

/* ---- dirty pages ---- */

static void tracking(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_error error = { 0 };
	struct vfio_container *container;
	uint32_t hot;

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	hot = rig_add_ram(rig, 8 * MIB, MIB, 2 * MIB);
	container = vfio_device_container(rig_attach(rig, "d0"));
	assert_true(vfio_memory_log_start(rig->memory, &error));
	/* Whatever is pinned may have been written, type1 says. */
	assert_true(vfio_memory_log_sync(rig->memory, &error));
	assert_int_equal(vfio_memory_dirty_pages(rig->memory), 3 * MIB / PAGE);
	rig->watched = VFIO_IOMMU_UNMAP_DMA;
	vfio_memory_del(rig->memory, hot);
	assert_int_equal(rig->seen, 1); /* unmapped and read in one */
	assert_int_equal(vfio_container_error(container), 0);
	rig_answer(rig, VFIO_IOMMU_DIRTY_PAGES, -EFAULT, 1);
	assert_false(vfio_memory_log_sync(rig->memory, &error));
	assert_int_equal(error.code, -EFAULT);
	vfio_memory_log_stop(rig->memory);
	rig_answer(rig, VFIO_IOMMU_DIRTY_PAGES, -ENOMEM, 1);
	assert_false(vfio_memory_log_start(rig->memory, &error));
	assert_int_equal(error.code, -ENOMEM);
	assert_true(vfio_memory_log_start(rig->memory, &error));
}

/* ---- every call fails once ---- */

static bool life(struct backend_rig *rig)
{
	static const char *const names[] = { "d0", "d1" };
	struct vfio_device *devices[2] = { NULL, NULL };
	struct vfio_device_options options;
	struct vfio_error error = { 0 };
	char group[32];
	int vm = rig_new_vm(rig);
	uint32_t hot;
	bool good;

	rig_add_ram(rig, MIB, 0, MIB);
	good = vfio_set_kvm(rig->vfio, vm, &error);
	for (int i = 0; i < 2; i++) {
		options = rig_options(rig, names[i], group);
		devices[i] = rig_try(rig, rig->memory, &options, &error);
		good &= devices[i] && rig_reach(rig, names[i], MIB) == 0;
	}
	hot = rig_add_ram(rig, 8 * MIB, MIB, MIB);
	if (vfio_memory_log_start(rig->memory, &error))
		good &= vfio_memory_log_sync(rig->memory, &error);
	vfio_memory_del(rig->memory, hot);
	vfio_memory_log_stop(rig->memory);
	for (int i = 0; i < 2; i++) {
		if (devices[i])
			vfio_device_detach(devices[i]);
	}
	good &= !rig->ref.broken_seen;
	rig->ref.broken_seen = 0;
	assert_int_equal(vfake_ledger(rig->kernel).pinned_pages, rig->start.pinned_pages);
	assert_true(vfio_set_kvm(rig->vfio, -1, &error));
	assert_int_equal(vfake_close(rig->task, vm), 0);
	return good;
}

static void each_call_fails(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig_sweep(rig, life);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(one_device_maps_all),
		LEGACY_STORY(three_groups_share_a_container),
		LEGACY_STORY(three_devices_share_a_group),
		LEGACY_STORY(group_belongs_to_one_container),
		LEGACY_STORY(version_1_when_asked),
		LEGACY_STORY(noiommu_maps_nothing),
		LEGACY_STORY(iommufds_container_does_the_same),
		LEGACY_STORY(second_device_forbids_discarding),
		LEGACY_STORY(no_such_group),
		LEGACY_STORY(group_is_open_elsewhere),
		LEGACY_STORY(group_is_not_viable),
		LEGACY_STORY(kernel_says_no),
		LEGACY_STORY(refused_group_gets_its_own),
		LEGACY_STORY(too_little_memory_may_be_locked),
		LEGACY_STORY(busy_map_is_tried_twice),
		LEGACY_STORY(nothing_stays_mapped),
		LEGACY_STORY(tracking),
		LEGACY_STORY(each_call_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
