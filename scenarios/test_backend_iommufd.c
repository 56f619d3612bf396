/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack's backend for cdevs and iommufd: who shares an iommufd, an IOAS and a page table, what
 * happens when the kernel refuses one of them, and that nothing of it stays behind.
 */
#include "backend_rig.h"

#include <uapi/iommufd.h>

enum { PAGE = 4096, MIB = 1 << 20 };

/* ---- helpers ---- */

static struct vfio_device_options tracking_options(struct backend_rig *rig, const char *name,
						   char cdev[32])
{
	struct vfio_device_options options = rig_options(rig, name, cdev);

	options.dirty_tracking = true;
	return options;
}

static struct vfio_device *attach_tracking(struct backend_rig *rig, const char *name)
{
	char cdev[32];
	const struct vfio_device_options options = tracking_options(rig, name, cdev);
	struct vfio_error error;
	struct vfio_device *device = rig_try(rig, rig->memory, &options, &error);

	if (!device)
		fail_msg("%s", error.message);
	return device;
}

/* Objects of the iommufd that a device is bound to. */
static uint32_t objects(struct backend_rig *rig, const char *device)
{
	const struct vfake_space_at at = { .kernel = rig->kernel, .device = device };
	struct vfake_iommufd_view view;

	assert_int_equal(vfake_view_iommufd(&at, &view), 0);
	return view.objects;
}

/* ---- iommufds ---- */

static int open_iommufd(struct backend_rig *rig)
{
	int fd = vfake_open(rig->task, "/dev/iommu");

	assert_true(fd > 0);
	return fd;
}

static struct vfio_device *attach_with(struct backend_rig *rig, const char *name, int iommufd)
{
	char cdev[32];
	struct vfio_device_options options = rig_options(rig, name, cdev);
	struct vfio_error error;
	struct vfio_device *device;

	options.iommufd = iommufd;
	device = rig_try(rig, rig->memory, &options, &error);
	assert_non_null(device);
	return device;
}

/* Devices share a container when, and only when, they have the same iommufd. */
static void an_iommufd_is_who_shares_it(void **state)
{
	struct backend_rig *rig = *state;
	const struct vfio_container *containers[3];
	int low, fds[2];

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	low = vfake_open(rig->task, "/dev/kvm"); /* 0 would be no iommufd */
	fds[0] = open_iommufd(rig);
	fds[1] = open_iommufd(rig);
	for (int i = 0; i < 27; i++) {
		const int chosen[3] = { i % 3, i / 3 % 3, i / 9 };
		static const char *const names[] = { "d0", "d1", "d2" };
		struct vfio_device *devices[3];

		for (int j = 0; j < 3; j++) {
			devices[j] = attach_with(rig, names[j], chosen[j] ? fds[chosen[j] - 1] : 0);
			containers[j] = vfio_device_container(devices[j]);
			for (int k = 0; k < j; k++)
				assert_int_equal(containers[j] == containers[k],
						 chosen[j] == chosen[k]);
		}
		for (int j = 0; j < 3; j++)
			vfio_device_detach(devices[j]);
	}
	/* A cdev with the first descriptor is one as well. */
	assert_int_equal(vfake_close(rig->task, low), 0);
	attach_with(rig, "d0", fds[0]);
	assert_int_equal(rig_reach(rig, "d0", MIB), 0);
	vfio_free(rig->vfio);
	rig->vfio = NULL;
	/* Those that were passed in are not the stack's to close. */
	assert_int_equal(vfake_close(rig->task, fds[0]), 0);
	assert_int_equal(vfake_close(rig->task, fds[1]), 0);
	rig_end_stack(rig);
	rig_new_stack(rig);
}

static void a_cdev_that_is_not_there_is_named(void **state)
{
	struct backend_rig *rig = *state;
	char cdev[32];
	struct vfio_device_options options;

	rig_start(rig);
	options = rig_options(rig, "d0", cdev);
	options.cdev = "vfio99";
	rig_refused(rig, rig->memory, &options, -ENOENT, "cdev vfio99: ");
}

/* ---- what can be mapped ---- */

enum { RANGES = 16 };

static struct {
	uint32_t count;
	uint64_t alignment;
} told;

static bool tell_ranges(struct backend_rig *rig, int fd, uint32_t request, void *arg, long *ret)
{
	struct iommu_ioas_iova_ranges *ranges = arg;
	struct iommu_iova_range *to;

	(void)rig;
	(void)fd;
	if (request != IOMMU_IOAS_IOVA_RANGES)
		return false;
	to = (void *)(uintptr_t)ranges->allowed_iovas;
	assert_int_equal(ranges->num_iovas, RANGES);
	for (uint32_t i = 0; i < RANGES && i < told.count; i++) {
		to[i].start = (i + 1) * 16 * MIB;
		to[i].last = (i + 1) * 16 * MIB + 8 * MIB - 1;
	}
	ranges->num_iovas = told.count;
	ranges->out_iova_alignment = told.alignment;
	*ret = 0;
	return true;
}

static void ranges_are_those_of_the_kernel(void **state)
{
	static const uint64_t alignments[] = { 1, 1024, 4096, 8192, 65536 };
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig->instead = tell_ranges;
	for (size_t i = 0; i < sizeof(alignments) / sizeof(alignments[0]); i++) {
		struct vfio_container_info info;
		struct vfio_device *device;

		told.count = (uint32_t)i * 4;
		told.alignment = alignments[i];
		device = rig_attach(rig, "d0");
		info = rig_info(device);
		assert_int_equal(info.range_count, told.count);
		for (uint32_t j = 0; j < told.count; j++) {
			assert_int_equal(info.ranges[j].start, (j + 1) * 16 * MIB);
			assert_int_equal(info.ranges[j].last, (j + 1) * 16 * MIB + 8 * MIB - 1);
		}
		/* pages of any size from the alignment on, and none below 4096 */
		assert_true(info.pgsizes == -(alignments[i] < PAGE ? PAGE : alignments[i]));
		assert_int_equal(info.max_mappings, 0);
		assert_false(info.dirty_tracking);
		vfio_device_detach(device);
	}
	told.count = RANGES + 1;
	rig_refuses(rig, "d0", -E2BIG, "cannot set up an IOAS");
	rig->instead = NULL;
	rig_answer(rig, IOMMU_IOAS_IOVA_RANGES, -EMSGSIZE, 1);
	rig_refuses(rig, "d0", -EMSGSIZE, "cannot set up an IOAS");
}

static void expect_ranges(struct vfio_device *device, uint32_t count, uint64_t alignment)
{
	struct vfio_container_info info = rig_info(device);

	assert_int_equal(info.range_count, count);
	assert_true(info.pgsizes == -alignment);
}

static void tell(uint32_t count, uint64_t alignment)
{
	told.count = count;
	told.alignment = alignment;
}

/* What one device cannot have, those that share its IOAS cannot. */
static void ranges_are_those_of_all_devices(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *first, *second;

	rig_start(rig);
	rig->instead = tell_ranges;
	tell(8, 4096);
	first = rig_attach(rig, "d0");
	expect_ranges(first, 8, 4096);
	tell(4, 65536);
	second = rig_attach(rig, "d1");
	assert_ptr_equal(vfio_device_container(first), vfio_device_container(second));
	expect_ranges(first, 4, 65536);
	tell(8, 4096);
	vfio_device_detach(second);
	expect_ranges(first, 8, 4096);
	/* Who cannot be told of them does not come in; who goes leaves what was known. */
	tell(RANGES + 1, 4096);
	rig_refuses(rig, "d1", -E2BIG, "IOMMU_IOAS_IOVA_RANGES");
	expect_ranges(first, 8, 4096);
	assert_int_equal(rig_info(first).devices, 1);
	tell(3, 8192);
	second = rig_attach(rig, "d1");
	tell(RANGES + 1, 4096);
	vfio_device_detach(first);
	expect_ranges(second, 3, 8192);
	vfio_device_detach(second);
}

/* ---- tracking of written pages ---- */

/* Answers of IOMMU_GET_HW_INFO for a first device: error, or the capability or not. */
static void an_iommu_tracks_or_not(void **state)
{
	static const struct {
		int code;
		int refused;
		uint32_t warnings;
	} cases[] = {
		{ 0, 0, 0 },	   { -EIO, -EIO, 0 },	  { -EPROTO, -EPROTO, 0 },
		{ -ENOENT, 0, 1 }, { -EOPNOTSUPP, 0, 1 },
	};
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	char cdev[32];

	rig->world.iommu_dirty_tracking = true;
	rig_start(rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct vfio_device_options options = tracking_options(rig, "d0", cdev);

		rig_answer(rig, IOMMU_GET_HW_INFO, cases[i].code, cases[i].code != 0);
		if (cases[i].refused) {
			rig_refused(rig, rig->memory, &options, cases[i].refused,
				    "cannot set up an IOAS");
		} else {
			device = attach_tracking(rig, "d0");
			assert_int_equal(rig_info(device).dirty_tracking, !cases[i].code);
			vfio_device_detach(device);
		}
		rig_warned(rig, cases[i].warnings,
			   cases[i].warnings ? "device d0: its IOMMU does not track dirty pages"
					     : "");
	}
	/* Nobody asks for a device that does not want it. */
	rig->watched = IOMMU_GET_HW_INFO;
	rig->seen = 0;
	assert_false(rig_info(rig_attach(rig, "d0")).dirty_tracking);
	assert_int_equal(rig->seen, 0);
}

/* The capability of whoever comes later. */
static void forget_capability(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	(void)rig;
	(void)ret;
	if (request == IOMMU_GET_HW_INFO)
		((struct iommu_hw_info *)arg)->out_capabilities = IOMMU_HW_CAP_PCI_PASID_EXEC;
}

static void a_container_tracks_as_a_whole(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *first, *second;

	rig->world.iommu_dirty_tracking = true;
	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	first = attach_tracking(rig, "d0");
	rig->after = forget_capability;
	second = attach_tracking(rig, "d1");
	assert_ptr_not_equal(vfio_device_container(first), vfio_device_container(second));
	assert_true(rig_info(first).dirty_tracking);
	assert_false(rig_info(second).dirty_tracking);
	assert_int_equal(rig->ref.warnings_seen, 0);
	vfio_device_detach(second);
	rig->after = NULL;
	rig_answer(rig, IOMMU_GET_HW_INFO, -EIO, 1);
	rig_refuses(rig, "d1", -EIO, "IOMMU_GET_HW_INFO");
	second = attach_tracking(rig, "d1");
	assert_ptr_equal(vfio_device_container(first), vfio_device_container(second));
	/* Where it does not track, nobody needs to. */
	vfio_device_detach(second);
	vfio_device_detach(first);
	first = rig_attach(rig, "d0");
	rig->after = forget_capability;
	second = attach_tracking(rig, "d1");
	assert_ptr_equal(vfio_device_container(first), vfio_device_container(second));
}

/* Every page table that is told to is told to track. */
static void count_enabled(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	const struct iommu_hwpt_set_dirty_tracking *set = arg;

	if (request == IOMMU_HWPT_SET_DIRTY_TRACKING && !*ret)
		rig->answer += set->flags == IOMMU_HWPT_DIRTY_TRACKING_ENABLE ? 1u : (uint64_t)-1;
}

/* A device that comes while written pages are tracked, and needs a page table of its own. */
static void who_comes_later_is_tracked(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_error error;
	struct vfio_device *second;
	uint32_t before;

	rig->world.iommu_dirty_tracking = true;
	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	attach_tracking(rig, "d0");
	before = objects(rig, "d0");
	assert_true(vfio_memory_log_start(rig->memory, &error));
	rig->after = count_enabled;
	rig_answer(rig, VFIO_DEVICE_ATTACH_IOMMUFD_PT, -EINVAL, 1);
	second = attach_tracking(rig, "d1");
	assert_int_equal(rig->answer, 1);
	assert_int_equal(rig_info(second).devices, 2);
	assert_int_equal(objects(rig, "d0"), before + 2); /* the device, and its table */
	rig->watched = IOMMU_HWPT_GET_DIRTY_BITMAP;
	rig->seen = 0;
	assert_true(vfio_memory_log_sync(rig->memory, &error));
	assert_int_equal(rig->seen, 2); /* each table is asked */
	vfio_device_detach(second);
	assert_int_equal(objects(rig, "d0"), before);
	vfio_memory_log_stop(rig->memory);
	assert_int_equal(rig->ref.warnings_seen, 0);
	assert_true(vfio_memory_log_start(rig->memory, &error));
	rig_answer(rig, IOMMU_HWPT_SET_DIRTY_TRACKING, -EIO, 1);
	vfio_memory_log_stop(rig->memory);
	rig_warned(rig, 1, "dirty pages are tracked on: input/output error");
}

/* The next attach of a device to a page table that others have is refused. */
static bool refuse_first_table(struct backend_rig *rig, int fd, uint32_t request, void *arg,
			       long *ret)
{
	(void)fd;
	(void)arg;
	if (request == VFIO_DEVICE_ATTACH_IOMMUFD_PT && rig->answer) {
		rig->answer--;
		*ret = -EINVAL;
		return true;
	}
	return false;
}

static void who_cannot_be_tracked_does_not_come(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_error error;
	uint32_t before;

	rig->world.iommu_dirty_tracking = true;
	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	attach_tracking(rig, "d0");
	before = objects(rig, "d0");
	assert_true(vfio_memory_log_start(rig->memory, &error));
	rig->instead = refuse_first_table;
	rig->answer = 1;
	rig_answer(rig, IOMMU_HWPT_SET_DIRTY_TRACKING, -EIO, 1);
	rig_refuses(rig, "d1", -EIO, "cannot attach it to an IOAS");
	assert_int_equal(rig->answer, 0);
	assert_int_equal(objects(rig, "d0"), before);
	vfio_memory_log_stop(rig->memory);
	assert_int_equal(rig->ref.warnings_seen, 0);
}

/* ---- who shares an IOAS ---- */

static void a_device_that_does_not_fit(void **state)
{
	static const int refusals[] = { -EINVAL, -EADDRINUSE };
	struct backend_rig *rig = *state;
	struct vfio_device *first, *second;

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	first = rig_attach(rig, "d0");
	for (int i = 0; i < 2; i++) {
		rig_answer(rig, VFIO_DEVICE_ATTACH_IOMMUFD_PT, refusals[i], 1);
		second = rig_attach(rig, "d1");
		assert_int_equal(rig_info(first).devices, 1);
		assert_int_equal(rig_info(second).devices, 1);
		assert_int_equal(rig_reach(rig, "d1", MIB), 0);
		rig_warned(rig, 1, "device d1 cannot share an IOAS: ");
		vfio_device_detach(second);
	}
	rig_answer(rig, VFIO_DEVICE_ATTACH_IOMMUFD_PT, -EPROTO, 1);
	rig_refuses(rig, "d1", -EPROTO, "cannot attach it to an IOAS");
	second = rig_attach(rig, "d1");
	assert_int_equal(rig_info(first).devices, 2);
	assert_int_equal(rig->ref.warnings_seen, 0);
}

/* A container that does not come up leaves no object in an iommufd that others go on using. */
static void nothing_is_left_of_a_container(void **state)
{
	static const struct {
		uint32_t request;
		int code;
		const char *message;
	} cases[] = {
		{ VFIO_DEVICE_BIND_IOMMUFD, -EINVAL, "VFIO_DEVICE_BIND_IOMMUFD" },
		{ IOMMU_IOAS_ALLOC, -ENOMEM, "cannot set up an IOAS" },
		{ IOMMU_GET_HW_INFO, -EIO, "cannot set up an IOAS" },
		{ IOMMU_HWPT_ALLOC, -ENOMEM, "cannot set up an IOAS" },
		{ VFIO_DEVICE_ATTACH_IOMMUFD_PT, -EBUSY, "cannot set up an IOAS" },
		{ IOMMU_IOAS_IOVA_RANGES, -EFAULT, "cannot set up an IOAS" },
		{ IOMMU_IOAS_MAP, -ENOSPC, "cannot map ram" },
		{ VFIO_DEVICE_GET_INFO, -EIO, "VFIO_DEVICE_GET_INFO" },
	};
	struct backend_rig *rig = *state;
	struct vfio_memory *other = vfio_memory_new(NULL);
	struct vfio_memory_region region = {
		.name = "ram", .kind = VFIO_MEMORY_RAM, .last = MIB - 1, .fd = -1
	};
	uint32_t before, id;
	char cdev[32];

	rig->world.iommu_dirty_tracking = true;
	rig_start(rig);
	region.vaddr = rig->ram;
	assert_true(vfio_memory_add(other, &region, &id, NULL));
	attach_tracking(rig, "d0");
	before = objects(rig, "d0");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct vfio_device_options options = tracking_options(rig, "d1", cdev);

		rig_answer(rig, cases[i].request, cases[i].code, 1);
		rig_refused(rig, other, &options, cases[i].code, cases[i].message);
		assert_int_equal(rig->times, 0);
		assert_int_equal(objects(rig, "d0"), before);
		assert_int_equal(rig->ref.warnings_seen, 0);
	}
	vfio_memory_free(other);
}

static void what_the_kernel_keeps_is_told(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	vfio_device_detach(device);
	assert_int_equal(rig->ref.warnings_seen, 0);
	device = rig_attach(rig, "d0");
	rig_answer(rig, IOMMU_DESTROY, -EBUSY, 1);
	vfio_device_detach(device);
	rig_warned(rig, 1, "the kernel keeps object ");
}

/* ---- maps ---- */

/* A region of a file of the task's. */
static uint32_t add_file(struct backend_rig *rig, int fd, uint64_t start)
{
	struct vfio_memory_region region = { .name = "file",
					     .kind = VFIO_MEMORY_RAM,
					     .start = start,
					     .last = start + MIB - 1,
					     .vaddr = rig->ram,
					     .fd = fd };

	return rig_add(rig, &region);
}

/* A kernel that does not map files is asked for it once; memory it maps. */
static void a_kernel_without_files(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	int fd;

	rig_start(rig);
	assert_int_equal(rig->kernel_sys.memfd(rig->kernel_sys.ctx, MIB), 0);
	fd = rig->kernel_sys.memfd(rig->kernel_sys.ctx, MIB);
	assert_true(fd > 0);
	rig->watched = IOMMU_IOAS_MAP_FILE;
	device = rig_attach(rig, "d0");
	rig_answer(rig, IOMMU_IOAS_MAP_FILE, -ENOTTY, 10);
	add_file(rig, fd, MIB);
	rig_add_ram(rig, 4 * MIB, MIB, MIB);
	add_file(rig, fd, 8 * MIB);
	add_file(rig, 0, 10 * MIB);
	assert_int_equal(rig->seen, 1);
	assert_int_equal(rig_reach(rig, "d0", MIB), 0);
	assert_int_equal(rig_reach(rig, "d0", 4 * MIB), MIB);
	assert_int_equal(rig_reach(rig, "d0", 8 * MIB), 0);
	assert_int_equal(vfio_container_error(vfio_device_container(device)), 0);
	vfio_device_detach(device);
	/* Another container asks for itself, and what else the kernel says is a failure. */
	rig_answer(rig, IOMMU_IOAS_MAP_FILE, -ENOSPC, 10);
	rig_refuses(rig, "d0", -ENOSPC, "cannot map file");
	assert_int_equal(rig->seen, 4); /* for each of the three */
	rig_answer(rig, 0, 0, 0);
	assert_int_equal(vfake_close(rig->task, fd), 0);
	assert_int_equal(vfake_close(rig->task, 0), 0);
}

/* The map is there, and its answer cannot be written. */
static void lose_answer(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	(void)rig;
	(void)arg;
	if (request == IOMMU_IOAS_MAP && !*ret)
		*ret = -EFAULT;
}

static void a_map_without_an_answer_goes(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	rig->after = lose_answer;
	rig_add_ram(rig, MIB, 0, MIB);
	rig->after = NULL;
	assert_int_equal(vfio_container_error(vfio_device_container(device)), -EFAULT);
	assert_int_equal(rig_reach(rig, "d0", MIB), -1);
	assert_int_equal(vfake_ledger(rig->kernel).pinned_pages, 0);
	/* Another failure is no reason to unmap. */
	rig->watched = IOMMU_IOAS_UNMAP;
	rig->seen = 0;
	rig_answer(rig, IOMMU_IOAS_MAP, -ENOMEM, 1);
	rig_add_ram(rig, 4 * MIB, 0, MIB);
	assert_int_equal(rig->seen, 0);
	rig_answer(rig, IOMMU_IOAS_MAP, -EPROTO, 1);
	rig_add_ram(rig, 6 * MIB, 0, MIB);
	assert_int_equal(rig->seen, 0);
}

/* Once more for all of it, where something was left, and only there. */
static void what_is_left_is_unmapped(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	rig_add_ram(rig, 4 * MIB, MIB, MIB);
	rig->watched = IOMMU_IOAS_UNMAP;
	device = rig_attach(rig, "d0");
	vfio_device_detach(device);
	assert_int_equal(rig->seen, 2);
	device = rig_attach(rig, "d0");
	rig->seen = 0;
	rig_answer(rig, IOMMU_IOAS_UNMAP, -EINVAL, 1);
	vfio_device_detach(device);
	assert_int_equal(rig->seen, 3);
	assert_int_equal(vfake_ledger(rig->kernel).pinned_pages, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IOMMUFD_STORY(an_iommufd_is_who_shares_it),
		IOMMUFD_STORY(a_cdev_that_is_not_there_is_named),
		IOMMUFD_STORY(ranges_are_those_of_the_kernel),
		IOMMUFD_STORY(ranges_are_those_of_all_devices),
		IOMMUFD_STORY(an_iommu_tracks_or_not),
		IOMMUFD_STORY(a_container_tracks_as_a_whole),
		IOMMUFD_STORY(who_comes_later_is_tracked),
		IOMMUFD_STORY(who_cannot_be_tracked_does_not_come),
		IOMMUFD_STORY(a_device_that_does_not_fit),
		IOMMUFD_STORY(nothing_is_left_of_a_container),
		IOMMUFD_STORY(what_the_kernel_keeps_is_told),
		IOMMUFD_STORY(a_kernel_without_files),
		IOMMUFD_STORY(a_map_without_an_answer_goes),
		IOMMUFD_STORY(what_is_left_is_unmapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
