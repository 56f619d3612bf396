/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices with nonsense in their configuration space: whatever they have, a program opens them,
 * reads and writes every byte, resets them and closes them again, and the kernel is as it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "world_read.h"

static struct vfake_world world;

static uint64_t config_offset(struct vfake_task *task, int device)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};

	assert_int_equal(vfake_ioctl(task, device, VFIO_DEVICE_GET_REGION_INFO, (uintptr_t)&info),
			 0);
	assert_true(info.size == world.devices[0].config_size_bytes);
	return info.offset;
}

/*
 * Every byte can be read, in every width, and reading changes nothing. (That the widths agree is no
 * rule of Linux: where a capability's id is read alone it comes from the device, hidden or not.)
 */
static void check_reads(struct vfake_task *task, int device, uint64_t offset)
{
	const uint32_t size = world.devices[0].config_size_bytes;
	uint8_t first[VFAKE_CONFIG_SIZE], again[VFAKE_CONFIG_SIZE];

	/* Twice: the first reading of a BAR also brings its fixed bits up to date. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(vfake_pread(task, device, (uintptr_t)first, size, offset), size);
	for (uint32_t width = 1; width <= 4; width *= 2) {
		for (uint32_t at = 0; at < size; at += width)
			assert_int_equal(vfake_pread(task, device, (uintptr_t)&again[at], width,
						     offset + at),
					 width);
	}
	for (uint32_t at = 0; at < size; at++) {
		if (first[at] != again[at])
			fail_msg("byte 0x%x was 0x%02x and is 0x%02x", at, first[at], again[at]);
	}
}

static void write_all(struct vfake_task *task, int device, uint64_t offset, uint8_t value)
{
	uint8_t bytes[4];

	memset(bytes, value, sizeof(bytes));
	for (uint32_t at = 0; at < world.devices[0].config_size_bytes; at += 4)
		assert_int_equal(vfake_pwrite(task, device, (uintptr_t)bytes, 4, offset + at), 4);
}

static void use_device(struct vfake_task *task, int device)
{
	const uint64_t offset = config_offset(task, device);

	for (uint32_t index = 0; index < VFIO_PCI_NUM_IRQS; index++) {
		struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };

		vfake_ioctl(task, device, VFIO_DEVICE_GET_IRQ_INFO, (uintptr_t)&info);
	}
	check_reads(task, device, offset);
	write_all(task, device, offset, 0xff);
	vfake_ioctl(task, device, VFIO_DEVICE_RESET, 0);
	write_all(task, device, offset, 0);
	check_reads(task, device, offset);
}

/* Returns whether the device could be opened; Linux may refuse one. */
static bool run_world(const char *path)
{
	struct world_error error;
	struct rig rig;
	int container, group, device;

	if (world_read_file(path, &world, &error))
		fail_msg("%s", error.message);
	rig_boot(&rig, &world, &root_here);
	container = vfake_open(rig.task, "/dev/vfio/vfio");
	group = open_group(rig.task, "d0");
	assert_int_equal(set_container(rig.task, group, container), 0);
	assert_int_equal(vfake_ioctl(rig.task, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	device = get_device(rig.task, group, "d0");
	if (device >= 0) {
		use_device(rig.task, device);
		assert_int_equal(vfake_close(rig.task, device), 0);
	}
	assert_int_equal(vfake_close(rig.task, group), 0);
	assert_int_equal(vfake_close(rig.task, container), 0);
	rig_assert_settled(&rig);
	rig_end(&rig);
	return device >= 0;
}

static void every_space_is_survived(void **state)
{
	DIR *directory = opendir(CONFIG_SPACES_DIR);
	unsigned int files = 0, opened = 0;
	struct dirent *entry;

	(void)state;
	assert_non_null(directory);
	while ((entry = readdir(directory))) {
		const size_t length = strlen(entry->d_name);
		char path[1024];

		if (length < 5 || strcmp(entry->d_name + length - 5, ".json") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", CONFIG_SPACES_DIR, entry->d_name);
		/* The last name is the culprit, even of a crash. */
		print_message("%s\n", entry->d_name);
		opened += run_world(path);
		files++;
	}
	closedir(directory);
	print_message("%u of %u devices opened\n", opened, files);
	assert_true(files >= 200);
	assert_true(opened * 2 > files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_space_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
