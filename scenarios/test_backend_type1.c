/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What type1 says, and what the stack makes of it: a fact is believed when all of it is in the
 * answer, and not otherwise; it is asked for anew when a group comes or goes; a refusal keeps its
 * errno and its reason.
 */
#include "backend_rig.h"

enum { PAGE = 4096, MIB = 1 << 20, LIMIT = 4242, RANGES = 16 };

/* ---- an answer to VFIO_IOMMU_GET_INFO, put together piece by piece ---- */

static struct {
	unsigned char bytes[1024];
	uint32_t filled;
	uint32_t size; /* argsz, in the end */
	uint32_t last; /* where the last capability begins */
} said;

/* There is room for more than the answer then has: what is behind its end is there as well. */
static bool tell(struct backend_rig *rig, int fd, uint32_t request, void *arg, long *ret)
{
	uint32_t argsz = sizeof(said.bytes);
	uint32_t room;

	(void)rig;
	(void)fd;
	if (request != VFIO_IOMMU_GET_INFO)
		return false;
	room = ((struct vfio_iommu_type1_info *)arg)->argsz;
	if (room >= argsz) {
		memcpy(arg, said.bytes, sizeof(said.bytes));
		argsz = said.size;
	}
	((struct vfio_iommu_type1_info *)arg)->argsz = argsz;
	*ret = 0;
	return true;
}

static void say(uint32_t flags)
{
	const struct vfio_iommu_type1_info info = { .flags = VFIO_IOMMU_INFO_PGSIZES | flags,
						    .iova_pgsizes = PAGE | 2 * MIB,
						    .cap_offset = sizeof(info) };

	memset(&said, 0, sizeof(said));
	memcpy(said.bytes, &info, sizeof(info));
	said.filled = said.size = sizeof(info);
}

/* Adds a capability: @body is its struct with a header that is not filled in yet. */
static void say_cap(uint16_t id, const void *body, size_t size)
{
	const struct vfio_info_cap_header header = { .id = id, .version = 1 };
	const uint32_t at = (said.filled + 7) & ~7u;

	if (said.last)
		memcpy(said.bytes + said.last + offsetof(struct vfio_info_cap_header, next), &at,
		       sizeof(at));
	memcpy(said.bytes + at, body, size);
	memcpy(said.bytes + at, &header, sizeof(header));
	said.last = at;
	said.filled = said.size = at + (uint32_t)size;
}

static void say_ranges(uint32_t count)
{
	const struct vfio_iommu_type1_info_cap_iova_range head = { .nr_iovas = count };
	unsigned char cap[sizeof(head) + (RANGES + 1) * sizeof(struct vfio_iova_range)];
	size_t size = sizeof(head);

	memcpy(cap, &head, sizeof(head));
	for (uint32_t i = 0; i < count; i++) {
		const struct vfio_iova_range range = { .start = i * 16 * MIB,
						       .end = i * 16 * MIB + 8 * MIB - 1 };

		memcpy(cap + size, &range, sizeof(range));
		size += sizeof(range);
	}
	say_cap(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, cap, size);
}

static void say_migration(uint64_t pgsizes)
{
	const struct vfio_iommu_type1_info_cap_migration cap = { .pgsize_bitmap = pgsizes };

	say_cap(VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, &cap, sizeof(cap));
}

static void say_limit(uint32_t avail)
{
	const struct vfio_iommu_type1_info_dma_avail cap = { .avail = avail };

	say_cap(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, &cap, sizeof(cap));
}

enum { SAY_RANGES, SAY_MIGRATION, SAY_LIMIT, SAYINGS };

/* All three, @last as the last one. */
static void say_all(int last, uint32_t ranges)
{
	say(VFIO_IOMMU_INFO_CAPS);
	for (int i = 1; i <= SAYINGS; i++) {
		int which = (last + i) % SAYINGS;

		if (which == SAY_RANGES)
			say_ranges(ranges);
		else if (which == SAY_MIGRATION)
			say_migration(PAGE);
		else
			say_limit(LIMIT);
	}
}

/* What a device that is attached now believes. */
static void believes(struct backend_rig *rig, uint32_t ranges, bool tracks, uint32_t limit)
{
	struct vfio_device *device = rig_attach(rig, "d0");
	struct vfio_container_info info = rig_info(device);

	assert_int_equal(info.pgsizes, PAGE | 2 * MIB);
	assert_int_equal(info.range_count, ranges);
	for (uint32_t i = 0; i < ranges; i++) {
		assert_int_equal(info.ranges[i].start, i * 16 * MIB);
		assert_int_equal(info.ranges[i].last, i * 16 * MIB + 8 * MIB - 1);
	}
	assert_int_equal(info.dirty_tracking, tracks);
	assert_int_equal(info.max_mappings, limit);
	vfio_device_detach(device);
}

static void a_whole_answer_is_believed(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig->instead = tell;
	for (int last = 0; last < SAYINGS; last++) {
		for (uint32_t ranges = 0; ranges <= RANGES; ranges += 4) {
			say_all(last, ranges);
			believes(rig, ranges, true, LIMIT);
		}
	}
	/* A chain that is not said to be there is none. */
	say(0);
	say_limit(LIMIT);
	believes(rig, 0, false, 0);
	say(VFIO_IOMMU_INFO_CAPS);
	say_migration(PAGE | 2 * MIB);
	believes(rig, 0, true, 0);
	/* Where the smallest page is not among them, bitmaps are of no use. */
	say(VFIO_IOMMU_INFO_CAPS);
	say_migration(2 * MIB);
	believes(rig, 0, false, 0);
}

static void a_part_of_it_is_not(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig->instead = tell;
	for (int last = 0; last < SAYINGS; last++) {
		/* of the last capability there is its header, and not all of its contents */
		for (uint32_t cut = 4;; cut += 4) {
			say_all(last, 2);
			said.size -= cut;
			if (said.size < said.last + sizeof(struct vfio_info_cap_header))
				break;
			believes(rig, last == SAY_RANGES ? 0 : 2, last != SAY_MIGRATION,
				 last == SAY_LIMIT ? 0 : LIMIT);
		}
	}
	/* More than there is room for. */
	say(VFIO_IOMMU_INFO_CAPS);
	say_limit(LIMIT);
	say_ranges(RANGES + 1);
	believes(rig, 0, false, LIMIT);
}

static void what_is_not_known_is_passed_over(void **state)
{
	struct vfio_iommu_type1_info_cap_migration cap = { .flags = 7, .pgsize_bitmap = PAGE };
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig->instead = tell;
	say(VFIO_IOMMU_INFO_CAPS);
	say_cap(99, &cap, sizeof(cap));
	say_limit(LIMIT);
	say_cap(98, &cap, sizeof(cap));
	believes(rig, 0, false, LIMIT);
}

/* What can be mapped depends on all groups; how much, on what was there before the first map. */
static void it_is_asked_for_with_each_group(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_container_info info;
	struct vfio_device *first, *second;

	rig_start(rig);
	rig->instead = tell;
	say_all(SAY_LIMIT, 3);
	first = rig_attach(rig, "d0");
	say(0);
	second = rig_attach(rig, "d1");
	info = rig_info(first);
	assert_int_equal(info.devices, 2);
	assert_int_equal(info.range_count, 0);
	assert_false(info.dirty_tracking);
	assert_int_equal(info.max_mappings, LIMIT);
	say(VFIO_IOMMU_INFO_CAPS);
	say_ranges(5);
	say_limit(7);
	vfio_device_detach(second);
	info = rig_info(first);
	assert_int_equal(info.range_count, 5);
	assert_int_equal(info.max_mappings, LIMIT);
}

/* ---- types ---- */

static void refuses_type(struct backend_rig *rig, const struct vfio_device_options *options,
			 uint32_t request, long result, const char *message, const char *hint)
{
	struct vfio_error error;

	rig_answer(rig, request, result, 10);
	assert_null(rig_try(rig, rig->memory, options, &error));
	rig_answer(rig, 0, 0, 0);
	if (error.code != (result ? result : -ENOTSUP) || !strstr(error.message, message) ||
	    !strstr(error.hint, hint) || (!*hint && *error.hint))
		fail_msg("%d: %s (%s)", error.code, error.message, error.hint);
}

static void a_refused_type_is_named(void **state)
{
	static const char isolation[] = "allow_unsafe_interrupts";
	struct backend_rig *rig = *state;
	struct vfio_device_options v2, v1, none;
	char group[3][32];

	rig->world.noiommu_enabled = true;
	rig->world.devices[2].noiommu = true;
	rig_start(rig);
	v2 = rig_options(rig, "d0", group[0]);
	v1 = rig_options(rig, "d1", group[1]);
	v1.type1_v1 = true;
	none = rig_options(rig, "d2", group[2]);
	refuses_type(rig, &v2, VFIO_CHECK_EXTENSION, 0, "no IOMMU driver type1: ", "");
	refuses_type(rig, &v1, VFIO_CHECK_EXTENSION, 0, "no IOMMU driver type1: ", "");
	refuses_type(rig, &none, VFIO_CHECK_EXTENSION, 0, "no IOMMU driver noiommu: ", "");
	refuses_type(rig, &v2, VFIO_CHECK_EXTENSION, -EFAULT, "VFIO_CHECK_EXTENSION type1v2: ", "");
	refuses_type(rig, &v1, VFIO_CHECK_EXTENSION, -EFAULT, "VFIO_CHECK_EXTENSION type1: ", "");
	refuses_type(rig, &none, VFIO_CHECK_EXTENSION, -EFAULT,
		     "VFIO_CHECK_EXTENSION noiommu: ", "");
	refuses_type(rig, &v2, VFIO_SET_IOMMU, -EPERM, "VFIO_SET_IOMMU type1v2: ", isolation);
	refuses_type(rig, &v1, VFIO_SET_IOMMU, -EPERM, "VFIO_SET_IOMMU type1: ", isolation);
	refuses_type(rig, &v2, VFIO_SET_IOMMU, -ENODEV, "VFIO_SET_IOMMU type1v2: ", "");
	refuses_type(rig, &none, VFIO_SET_IOMMU, -ENODEV, "VFIO_SET_IOMMU noiommu: ", "");
}

/* Without an IOMMU there is nothing to ask, no version, and no company but of the same kind. */
static void without_an_iommu(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_options options;
	struct vfio_device *bare, *other, *mapped;
	struct vfio_error error;
	char group[32];

	rig->world.noiommu_enabled = true;
	rig->world.devices[0].noiommu = true;
	rig->world.devices[1].noiommu = true;
	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	rig->watched = VFIO_IOMMU_GET_INFO;
	options = rig_options(rig, "d0", group);
	options.type1_v1 = true;
	bare = rig_try(rig, rig->memory, &options, &error);
	assert_non_null(bare);
	other = rig_attach(rig, "d1");
	assert_ptr_equal(vfio_device_container(bare), vfio_device_container(other));
	vfio_device_detach(other);
	assert_int_equal(rig->seen, 0);
	rig->watched = VFIO_GROUP_SET_CONTAINER;
	mapped = rig_attach(rig, "d2");
	other = rig_attach(rig, "d1");
	assert_ptr_equal(vfio_device_container(bare), vfio_device_container(other));
	assert_int_equal(rig->seen, 2); /* nobody was offered what is of the other kind */
	assert_int_equal(rig->ref.warnings_seen, 0);
	vfio_device_detach(bare);
	vfio_device_detach(other);
	rig->seen = 0;
	bare = rig_attach(rig, "d0");
	assert_ptr_not_equal(vfio_device_container(bare), vfio_device_container(mapped));
	assert_int_equal(rig->seen, 1);
}

/* ---- unmapping ---- */

/* What unmapping everything took, as the kernel was asked; a flag for all it does not know. */
static struct {
	uint64_t iova, size;
} halves[4];
static int half_count;

static bool know_no_flags(struct backend_rig *rig, int fd, uint32_t request, void *arg, long *ret)
{
	const struct vfio_iommu_type1_dma_unmap *unmap = arg;

	(void)fd;
	if (request != VFIO_IOMMU_UNMAP_DMA)
		return false;
	*ret = -EINVAL;
	if (unmap->flags)
		return true;
	if (half_count == 4)
		return false;
	halves[half_count].iova = unmap->iova;
	halves[half_count++].size = unmap->size;
	/* the first one is of what was mapped, and fails */
	return half_count == 1 && rig->answer;
}

static void all_of_64_bits_is_unmapped(void **state)
{
	const uint64_t half = (uint64_t)1 << 63;
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	device = rig_attach(rig, "d0");
	half_count = 0;
	rig->answer = 1;
	rig->instead = know_no_flags;
	vfio_device_detach(device);
	assert_int_equal(half_count, 3);
	assert_int_equal(halves[1].iova, 0);
	assert_true(halves[1].size == half);
	assert_true(halves[2].iova == half && halves[2].size == half);
	assert_int_equal(vfake_ledger(rig->kernel).pinned_pages, 0);
	/* Where all maps are gone by themselves, nothing is left to ask for. */
	rig->instead = NULL;
	device = rig_attach(rig, "d0");
	half_count = 0;
	rig->answer = 0;
	rig->instead = know_no_flags;
	vfio_device_detach(device);
	assert_int_equal(half_count, 1);
	/* One that knows the flag is asked for no halves. */
	rig->instead = NULL;
	device = rig_attach(rig, "d0");
	rig->watched = VFIO_IOMMU_UNMAP_DMA;
	rig_answer(rig, VFIO_IOMMU_UNMAP_DMA, -EINVAL, 1);
	vfio_device_detach(device);
	assert_int_equal(rig->seen, 2);
}

static void change_unmapped(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_iommu_type1_dma_unmap *unmap = arg;

	(void)ret;
	if (request == VFIO_IOMMU_UNMAP_DMA && unmap->flags)
		unmap->size += rig->answer;
}

/* Where written pages are read in the same call, it is looked at just as closely. */
static void unmapped_size_is_checked_while_tracking(void **state)
{
	static const int64_t more[] = { 0, PAGE, -PAGE };
	static const int codes[] = { 0, -ENOENT, -ENOENT };
	struct backend_rig *rig = *state;
	struct vfio_error error;

	rig_start(rig);
	rig_attach(rig, "d0");
	assert_true(vfio_memory_log_start(rig->memory, &error));
	for (int i = 0; i < 3; i++) {
		uint32_t hot = rig_add_ram(rig, MIB, 0, MIB);

		rig->ref.broken_code = 0;
		rig->after = change_unmapped;
		rig->answer = (uint64_t)more[i];
		vfio_memory_del(rig->memory, hot);
		rig->after = NULL;
		/* it is asked once more, without: then nothing is there any more */
		assert_int_equal(rig->ref.broken_code, codes[i]);
	}
	vfio_memory_log_stop(rig->memory);
}

static void tracking_that_does_not_end_is_told(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_error error;

	rig_start(rig);
	rig_add_ram(rig, MIB, 0, MIB);
	rig_attach(rig, "d0");
	assert_true(vfio_memory_log_start(rig->memory, &error));
	vfio_memory_log_stop(rig->memory);
	assert_int_equal(rig->ref.warnings_seen, 0);
	assert_true(vfio_memory_log_start(rig->memory, &error));
	rig_answer(rig, VFIO_IOMMU_DIRTY_PAGES, -EFAULT, 1);
	vfio_memory_log_stop(rig->memory);
	rig_warned(rig, 1, "dirty pages are tracked on: bad address");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(a_whole_answer_is_believed),
		LEGACY_STORY(a_part_of_it_is_not),
		LEGACY_STORY(what_is_not_known_is_passed_over),
		LEGACY_STORY(it_is_asked_for_with_each_group),
		LEGACY_STORY(a_refused_type_is_named),
		LEGACY_STORY(without_an_iommu),
		LEGACY_STORY(all_of_64_bits_is_unmapped),
		LEGACY_STORY(unmapped_size_is_checked_while_tracking),
		LEGACY_STORY(tracking_that_does_not_end_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
