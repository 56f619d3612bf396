/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Worlds: two beside each other, those that contradict themselves, and ten thousand in a row.
 */
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common.h"

static void two_kernels_do_not_see_each_other(void **state)
{
	struct vfio_set here, there;
	struct rig one, two;
	vfake_addr memory;

	(void)state;
	rig_boot_default(&one);
	rig_boot_default(&two);
	here = open_set(one.task, "d0", VFIO_TYPE1v2_IOMMU);
	rig_assert_settled(&two);
	there = open_set(two.task, "d0", VFIO_TYPE1_IOMMU);
	memory = map_memory(one.task, PAGE);
	assert_int_equal(dma_map(one.task, here.container, READ_WRITE, memory, 0, PAGE), 0);
	assert_int_equal(dma_unmap(two.task, there.container, 0, 0, PAGE, NULL), 0);
	assert_int_equal(vfake_ledger(one.kernel).pinned_pages, 1);
	assert_int_equal(vfake_ledger(two.kernel).pinned_pages, 0);
	assert_int_equal(vfake_poke(two.task, memory, "x", 1), -EFAULT);
	close_set(one.task, &here);
	assert_int_equal(vfake_munmap(one.task, memory, PAGE), 0);
	rig_assert_settled(&one);
	rig_end(&one);
	assert_int_equal(
		vfake_ioctl(two.task, there.container, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR), 1);
	close_set(two.task, &there);
	rig_assert_settled(&two);
	rig_end(&two);
}

static const char *why_not(const struct vfake_world *world)
{
	const char *error = "unset";
	struct vfake_kernel *kernel = vfake_kernel_new(world, &error);

	vfake_kernel_free(kernel);
	assert_true(!kernel == !!error);
	assert_null(vfake_kernel_new(world, NULL)); /* whoever asks not is told not */
	return error;
}

static void refuse(const struct vfake_world *world, const char *text)
{
	assert_string_equal(why_not(world), text);
}

static void a_machine_that_contradicts_itself_does_not_start(void **state)
{
	struct vfake_world sound, world;

	(void)state;
	world_with_three(&sound);
	for (uint32_t page = 0; page <= 131072; page = page ? page * 2 : 2048) {
		world = sound;
		world.page_size_bytes = page ? page : 12288;
		if (page < 4096 || page > 65536)
			refuse(&world, "the page size is no power of two from 4 KiB to 64 KiB");
	}
	world = sound;
	world.iommu_pgsizes = 2048;
	refuse(&world, "the IOMMU has no page size that the CPU's pages can be mapped with");
	world = sound;
	world.aperture = (struct vfake_range){ 1, 0 };
	refuse(&world, "the aperture ends before it starts");
	world = sound;
	world.reserved_count = VFAKE_MAX_RESERVED + 1;
	refuse(&world, "too many reserved ranges");
	world = sound;
	world.reserved[0].last = world.reserved[0].start - 1;
	refuse(&world, "a reserved range ends before it starts");
	world = sound;
	world.device_count = VFAKE_MAX_DEVICES + 1;
	refuse(&world, "too many devices");
}

static void a_device_that_cannot_be_does_not_start(void **state)
{
	const char *bad_bar = "a BAR's size is no power of two of 4 bytes or more";
	const char *bad_64 = "a 64-bit BAR is memory and takes the register after it";
	const char *bad_rom = "a ROM's size is no power of two of 2 KiB or more";
	static const struct vfake_bar bar_io64 = { .size_bytes = 16, .io = true, .is_64bit = true };
	static const struct vfake_bar bar_64 = { .size_bytes = PAGE, .is_64bit = true };
	struct vfake_world sound, world;
	struct vfake_device_desc *d2 = &world.devices[2];

	(void)state;
	world_with_three(&sound);
#define BREAK(change, text)                                                                        \
	do {                                                                                       \
		world = sound;                                                                     \
		change;                                                                            \
		refuse(&world, text);                                                              \
	} while (0)
	BREAK(d2->name[0] = 0, "a device has no name or one that is too long");
	BREAK(memset(d2->name, 'x', sizeof(d2->name)),
	      "a device has no name or one that is too long");
	BREAK(d2->config_size_bytes = 255, "a configuration space has 256 or 4096 bytes");
	BREAK(d2->noiommu = true, "a device without IOMMU needs noiommu mode");
	BREAK(strcpy(d2->name, "d0"), "two devices have one name");
	BREAK(d2->cdev = world.devices[1].cdev, "two devices have one cdev number");
	BREAK(world.noiommu_enabled = d2->noiommu = true;
	      d2->group = world.devices[0].group, "a group mixes devices with and without IOMMU");
	BREAK(d2->bars[0].size_bytes = 3, bad_bar);
	BREAK(d2->bars[0].size_bytes = 2, bad_bar);
	BREAK(d2->bars[0] = bar_io64, bad_64);
	BREAK(d2->bars[5] = bar_64, bad_64);
	BREAK(d2->bars[0] = d2->bars[1] = bar_64, bad_64);
	BREAK(d2->bars[0].size_bytes = 1UL << 32, "a BAR of 4 GiB or more is 64-bit");
	BREAK(d2->rom_size_bytes = 1024, bad_rom);
	BREAK(d2->rom_size_bytes = 3000, bad_rom);
#undef BREAK
}

/* ---- many worlds ---- */

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* One world's whole life: files, maps, and closes in an order that differs from world to world. */
static void live(const struct vfake_world *world, uint32_t *seed)
{
	static const char *const names[] = { "d0", "d1", "d2" };
	vfake_addr memory;
	struct vfio_set set;
	struct rig rig;
	int fds[3];

	rig_boot(&rig, world, &vfake_root);
	set = open_set(rig.task, names[next_random(seed) % 3],
		       next_random(seed) % 2 ? VFIO_TYPE1v2_IOMMU : VFIO_TYPE1_IOMMU);
	memory = map_memory(rig.task, 16 * PAGE);
	for (uint64_t i = 0; i < 8; i++) {
		uint64_t at = (uint64_t)(next_random(seed) % 8) * 2 * PAGE;
		long ret = dma_map(rig.task, set.container, READ_WRITE, memory + at, at, 2 * PAGE);

		assert_true(!ret || ret == -EEXIST);
	}
	assert_int_equal(dma_unmap(rig.task, set.container, 0, 4 * PAGE, 4 * PAGE, NULL), 0);
	if (next_random(seed) % 2)
		assert_int_equal(vfake_munmap(rig.task, memory, 16 * PAGE), 0);
	fds[0] = set.container;
	fds[1] = set.group;
	fds[2] = set.device;
	for (uint32_t left = 3; left; left--) {
		uint32_t pick = next_random(seed) % left;

		assert_int_equal(vfake_close(rig.task, fds[pick]), 0);
		fds[pick] = fds[left - 1];
	}
	assert_int_equal(vfake_ledger(rig.kernel).pinned_pages, 0);
	rig_end(&rig);
}

static int host_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Bytes that the program has from malloc(). Sanitizers answer 0 and look for leaks by themselves.
 */
static size_t host_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void ten_thousand_worlds_leave_nothing(void **state)
{
	struct vfake_world world;
	uint32_t seed = 1;
	int descriptors;
	size_t bytes;

	(void)state;
	world_with_three(&world);
	for (int i = 0; i < 1000; i++)
		live(&world, &seed);
	descriptors = host_descriptors();
	bytes = host_bytes();
	for (int i = 0; i < 10000; i++)
		live(&world, &seed);
	/* malloc() keeps a few freed blocks at hand and counts them; one byte a world would be
	 * seen. */
	assert_true(host_bytes() < bytes + 4096);
	assert_int_equal(host_descriptors(), descriptors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_kernels_do_not_see_each_other),
		cmocka_unit_test(a_machine_that_contradicts_itself_does_not_start),
		cmocka_unit_test(a_device_that_cannot_be_does_not_start),
		cmocka_unit_test(ten_thousand_worlds_leave_nothing),
	};

	return cmocka_run_group_tests_name("worlds", tests, NULL, NULL);
}
