/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The core of the fake kernel: descriptors, tasks, memory, eventfds, memfds. Worlds are in
 * test_worlds.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common.h"
#include "vfio.h"

/* A process that has only the memory that it maps, and no right at all. */
static const struct vfake_task_attr plain_task = { .memlock_bytes = UINT64_MAX };

/* ---- descriptors ---- */

static void a_new_descriptor_is_the_lowest_free(void **state)
{
	struct rig rig;
	int fd[5];

	(void)state;
	rig_boot_default(&rig);
	for (int i = 0; i < 5; i++) {
		fd[i] = vfake_eventfd(rig.task);
		assert_int_equal(fd[i], i);
	}
	assert_int_equal(vfake_close(rig.task, 3), 0);
	assert_int_equal(vfake_close(rig.task, 1), 0);
	assert_int_equal(vfake_open(rig.task, "/dev/vfio/vfio"), 1);
	assert_int_equal(vfake_dup(rig.task, 0), 3);
	assert_int_equal(vfake_memfd(rig.task, PAGE), 5);
	/* Each that refers to a file counts, each file once. */
	assert_int_equal(vfake_ledger(rig.kernel).descriptors, 6);
	assert_int_equal(vfake_ledger(rig.kernel).open_files, 5);
	for (int i = 0; i < 6; i++)
		assert_int_equal(vfake_close(rig.task, i), 0);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

static void what_is_not_open_is_ebadf(void **state)
{
	static const int bad[] = { -1, 1, 15, 16, 17, 1 << 20, INT32_MAX, INT32_MIN };
	struct rig rig;
	vfake_addr addr;

	(void)state;
	rig_boot_default(&rig);
	assert_int_equal(vfake_eventfd(rig.task), 0);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		assert_int_equal(vfake_close(rig.task, bad[i]), -EBADF);
		assert_int_equal(vfake_dup(rig.task, bad[i]), -EBADF);
		assert_int_equal(vfake_pass_fd(rig.task, bad[i], rig.task), -EBADF);
		assert_int_equal(vfake_ioctl(rig.task, bad[i], VFIO_GET_API_VERSION, 0), -EBADF);
		assert_int_equal(vfake_read(rig.task, bad[i], 0, 8), -EBADF);
		assert_int_equal(vfake_write(rig.task, bad[i], 0, 8), -EBADF);
		assert_int_equal(vfake_pread(rig.task, bad[i], 0, 8, 0), -EBADF);
		assert_int_equal(vfake_pwrite(rig.task, bad[i], 0, 8, 0), -EBADF);
		if (bad[i] != -1)
			assert_int_equal(
				vfake_mmap(rig.task, PAGE, VFAKE_PROT_READ, bad[i], 0, &addr),
				-EBADF);
	}
	assert_int_equal(vfake_close(rig.task, 0), 0);
	assert_int_equal(vfake_close(rig.task, 0), -EBADF);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

/* The table of descriptors ends somewhere; a call that would return one more leaves nothing. */
static void a_full_table_is_emfile(void **state)
{
	struct vfake_ledger full;
	struct vfio_set set;
	int fd, count = 0;
	struct rig rig;

	(void)state;
	rig_boot_default(&rig);
	set = open_set(rig.task, "d0", VFIO_TYPE1v2_IOMMU);
	while ((fd = vfake_dup(rig.task, set.container)) >= 0)
		assert_int_equal(fd, set.device + ++count);
	assert_int_equal(fd, -EMFILE);
	assert_true(count > 1000);
	full = vfake_ledger(rig.kernel);
	assert_int_equal(vfake_open(rig.task, "/dev/vfio/vfio"), -EMFILE);
	assert_int_equal(vfake_open(rig.task, "/dev/iommu"), -EMFILE);
	assert_int_equal(vfake_open(rig.task, "/dev/kvm"), -EMFILE);
	assert_int_equal(open_group(rig.task, "d1"), -EMFILE);
	assert_int_equal(open_cdev(rig.task, "d1"), -EMFILE);
	assert_int_equal(vfake_eventfd(rig.task), -EMFILE);
	assert_int_equal(vfake_memfd(rig.task, PAGE), -EMFILE);
	assert_int_equal(get_device(rig.task, set.group, "d0"), -EMFILE);
	assert_same_ledger(vfake_ledger(rig.kernel), full);
	/* And it was no dead end. */
	assert_int_equal(vfake_close(rig.task, set.device + 5), 0);
	assert_int_equal(get_device(rig.task, set.group, "d0"), set.device + 5);
	for (fd = 0; fd <= set.device + count; fd++)
		assert_int_equal(vfake_close(rig.task, fd), 0);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

static void only_nodes_that_are_there_open(void **state)
{
	static const char *const paths[] = {
		"",
		"/dev/vfio",
		"/dev/vfio/",
		"/dev/vfio/3",
		"/dev/vfio/00",
		"/dev/vfio/01",
		"/dev/vfio/-1",
		"/dev/vfio/1x",
		"/dev/vfio/0 ",
		"/dev/vfio/4294967296",
		"/dev/vfio/4294967297",
		"/dev/vfio/18446744073709551616",
		"/dev/vfio/noiommu-0",
		"/dev/vfio/devices/vfio",
		"/dev/vfio/devices/vfio3",
		"/dev/vfio/devices/vfio4294967296",
		"/dev/iommufd",
		"dev/kvm",
		"/dev/kvm0",
		"/dev/vfio/vfio0",
	};
	struct rig rig;

	(void)state;
	rig_boot_default(&rig);
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		if (vfake_open(rig.task, paths[i]) != -ENOENT)
			fail_msg("'%s' opens", paths[i]);
	}
	rig_assert_settled(&rig);
	rig_end(&rig);
}

/* One open file in two processes: it ends when the last descriptor of both goes. */
static void a_file_lives_in_every_task_that_has_it(void **state)
{
	struct vfake_task *other;
	struct vfake_ledger two;
	struct vfio_set set;
	struct rig rig;
	int theirs;

	(void)state;
	rig_boot_default(&rig);
	other = vfake_task_new(rig.kernel, &plain_task);
	assert_non_null(other);
	two = vfake_ledger(rig.kernel);
	set = open_set(rig.task, "d0", VFIO_TYPE1v2_IOMMU);
	theirs = vfake_pass_fd(rig.task, set.container, other);
	assert_int_equal(theirs, 0);
	assert_int_equal(vfake_pass_fd(rig.task, set.group, other), 1);
	assert_int_equal(vfake_pass_fd(rig.task, set.device, other), 2);
	assert_int_equal(vfake_ledger(rig.kernel).descriptors, 6);
	assert_int_equal(vfake_ledger(rig.kernel).open_files, 3);
	close_set(rig.task, &set);
	assert_int_equal(vfake_ioctl(other, theirs, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR), 1);
	assert_int_equal(open_group(rig.task, "d0"), -EBUSY);
	vfake_task_exit(other);
	two.allocations = rig.start.allocations;
	assert_same_ledger(vfake_ledger(rig.kernel), two);
	set = open_set(rig.task, "d0", VFIO_TYPE1_IOMMU);
	close_set(rig.task, &set);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

/* ---- tasks ---- */

static void a_task_that_exits_leaves_nothing(void **state)
{
	struct vfake_task *other;
	struct vfio_set set;
	vfake_addr memory;
	struct rig rig;

	(void)state;
	rig_boot_default(&rig);
	for (int round = 0; round < 3; round++) {
		other = vfake_task_new(rig.kernel, round ? &vfake_root : &root_here);
		assert_non_null(other);
		set = open_set(other, round == 2 ? "d1" : "d0", VFIO_TYPE1v2_IOMMU);
		memory = map_memory(other, 16 * PAGE);
		assert_int_equal(dma_map(other, set.container, READ_WRITE, memory, 0, 16 * PAGE),
				 0);
		assert_int_equal(vfake_ledger(rig.kernel).pinned_pages, 16);
		assert_int_equal(vfake_ledger(rig.kernel).locked_pages, 16);
		for (int i = 0; i < 20; i++)
			vfake_dup(other, i % 3);
		vfake_eventfd(other);
		vfake_memfd(other, PAGE);
		if (open_cdev(other, "d2") < 0)
			fail();
		vfake_task_exit(other);
		rig_assert_settled(&rig);
	}
	/* Or the kernel ends with a task in it. */
	set = open_set(rig.task, "d0", VFIO_TYPE1v2_IOMMU);
	memory = map_memory(rig.task, PAGE);
	assert_int_equal(dma_map(rig.task, set.container, READ_WRITE, memory, 0, PAGE), 0);
	assert_non_null(vfake_task_new(rig.kernel, &plain_task));
	vfake_kernel_free(rig.kernel);
	vfake_kernel_free(NULL);
}

/* ---- memory ---- */

static void addresses_do_not_vary(void **state)
{
	struct rig rig;

	(void)state;
	rig_boot_default(&rig);
	for (int i = 0; i < 8; i++) {
		static const uint64_t sizes[] = {
			1, PAGE, PAGE + 1, 1 << 30, (1UL << 30) + PAGE, 1UL << 31, 3UL << 30, 100
		};
		vfake_addr addr = map_memory(rig.task, sizes[i]);
		unsigned char byte;

		assert_int_equal(addr & -addr, 1 << 30);
		assert_int_equal(
			vfake_peek(rig.task, addr + ((sizes[i] - 1) | (PAGE - 1)), &byte, 1), 0);
		assert_int_equal(byte, 0);
		assert_int_equal(
			vfake_peek(rig.task, addr + ((sizes[i] - 1) | (PAGE - 1)) + 1, &byte, 1),
			-EFAULT);
		assert_int_equal(vfake_munmap(rig.task, addr, sizes[i]), 0);
	}
	rig_assert_settled(&rig);
	rig_end(&rig);
}

static void mmap_and_munmap_judge_their_arguments(void **state)
{
	enum { RW = VFAKE_PROT_READ | VFAKE_PROT_WRITE };
	vfake_addr addr = 0, memory;
	struct rig rig;
	int container;

	(void)state;
	rig_boot_default(&rig);
	container = vfake_open(rig.task, "/dev/vfio/vfio");
	memory = map_memory(rig.task, 2 * PAGE);
	assert_int_equal(vfake_mmap(rig.task, 0, RW, -1, 0, &addr), -EINVAL);
	assert_int_equal(vfake_mmap(rig.task, PAGE, RW, -1, 1, &addr), -EINVAL);
	assert_int_equal(vfake_mmap(rig.task, PAGE, 4, -1, 0, &addr), -EINVAL);
	assert_int_equal(vfake_mmap(rig.task, (3UL << 30) + 1, RW, -1, 0, &addr), -ENOMEM);
	assert_int_equal(vfake_mmap(rig.task, UINT64_MAX, RW, -1, 0, &addr), -ENOMEM);
	assert_int_equal(vfake_mmap(rig.task, PAGE, RW, container, 0, &addr), -ENODEV);
	assert_int_equal(addr, 0);
	assert_int_equal(vfake_munmap(rig.task, memory + 1, PAGE), -EINVAL);
	assert_int_equal(vfake_munmap(rig.task, memory, 0), -EINVAL);
	assert_int_equal(vfake_munmap(rig.task, memory, UINT64_MAX), -EINVAL);
	assert_int_equal(vfake_munmap(rig.task, ~(uint64_t)(PAGE - 1), PAGE), -EINVAL);
	/* What is not mapped may be unmapped. */
	assert_int_equal(vfake_munmap(rig.task, memory + 2 * PAGE, PAGE), 0);
	assert_int_equal(vfake_munmap(rig.task, memory, 1), 0);
	assert_int_equal(vfake_munmap(rig.task, memory, 2 * PAGE), 0);
	assert_int_equal(vfake_close(rig.task, container), 0);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

static void copies_cross_areas_and_stop_at_edges(void **state)
{
	vfake_addr first, second, third;
	unsigned char bytes[64], got[64];
	struct rig rig;

	(void)state;
	rig_boot_default(&rig);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i + 1);
	first = map_memory(rig.task, PAGE);
	second = map_memory_at(rig.task, first + PAGE, PAGE, VFAKE_PROT_READ | VFAKE_PROT_WRITE);
	third = map_memory_at(rig.task, second + PAGE, PAGE, VFAKE_PROT_READ);
	/* Across two areas, at every split. */
	for (uint64_t split = 0; split <= 64; split++) {
		memset(got, 0, sizeof(got));
		assert_int_equal(vfake_poke(rig.task, second - split, bytes, 64), 0);
		assert_int_equal(vfake_peek(rig.task, second - split, got, 64), 0);
		assert_memory_equal(got, bytes, 64);
	}
	/* Into what may only be read, and over each end. */
	for (uint64_t in = 0; in < 64; in++) {
		assert_int_equal(vfake_poke(rig.task, third - in, bytes, 64), -EFAULT);
		assert_int_equal(vfake_peek(rig.task, third + PAGE - in, got, 64), -EFAULT);
		assert_int_equal(vfake_peek(rig.task, first - 64 + in, got, 64), -EFAULT);
		assert_int_equal(vfake_poke(rig.task, first - 64 + in, bytes, 64), -EFAULT);
	}
	assert_int_equal(vfake_peek(rig.task, third - 32, got, 64), 0);
	assert_int_equal(vfake_poke(rig.task, third - 64, bytes, 64), 0);
	assert_int_equal(vfake_peek(rig.task, third + PAGE - 64, got, 64), 0);
	assert_int_equal(vfake_peek(rig.task, 0, got, 1), -EFAULT);
	assert_int_equal(vfake_peek(rig.task, UINT64_MAX, got, 1), -EFAULT);
	assert_int_equal(vfake_peek(rig.task, UINT64_MAX, got, 2), -EFAULT);
	assert_int_equal(vfake_munmap(rig.task, first, 3 * PAGE), 0);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

/* Cuts parts out of ten pages: what is left keeps its bytes, what is gone faults. */
static void munmap_takes_exactly_what_it_names(void **state)
{
	static const struct {
		uint64_t from, pages;
		uint32_t left; /* a bit for each page that is still there */
	} cuts[] = {
		{ 4, 1, 0x3ef }, { 0, 1, 0x3ee }, { 9, 1, 0x1ee }, { 2, 3, 0x1e2 },
		{ 6, 9, 0x022 }, { 0, 5, 0x020 }, { 0, 10, 0 },
	};
	struct vfake_task *task;
	struct rig rig;
	vfake_addr base;
	uint32_t got;

	(void)state;
	rig_boot_default(&rig);
	for (int host = 0; host < 2; host++) {
		task = vfake_task_new(rig.kernel, host ? &root_here : &plain_task);
		assert_non_null(task);
		base = map_memory(task, 10 * PAGE);
		for (uint32_t i = 0; i < 10; i++)
			assert_int_equal(vfake_poke(task, base + i * PAGE, &i, 4), 0);
		for (size_t c = 0; c < COUNT_OF(cuts); c++) {
			assert_int_equal(vfake_munmap(task, base + cuts[c].from * PAGE,
						      cuts[c].pages * PAGE),
					 0);
			for (uint32_t i = 0; i < 10; i++) {
				int want = cuts[c].left >> i & 1 ? 0 : -EFAULT;

				assert_int_equal(vfake_peek(task, base + i * PAGE, &got, 4), want);
				if (!want)
					assert_int_equal(got, i);
			}
		}
		vfake_task_exit(task);
		rig_assert_settled(&rig);
	}
	rig_end(&rig);
}

static struct vfio_device *device_named(struct vfake_kernel *kernel, const char *name)
{
	struct vfio_device *device;

	LIST_FOREACH(device, &kernel->devices, entry)
	{
		if (!strcmp(device->desc->name, name))
			return device;
	}
	fail_msg("no device %s", name);
	return NULL;
}

/* A device reaches pinned pages when the mapping and even the process are gone. */
static void pins_outlive_munmap_and_the_task(void **state)
{
	struct vfio_device *device;
	struct vfake_task *other;
	struct vfio_set set;
	vfake_addr memory;
	struct rig rig;
	uint64_t value;

	(void)state;
	rig_boot_default(&rig);
	device = device_named(rig.kernel, "d0");
	for (int host = 0; host < 2; host++) {
		other = vfake_task_new(rig.kernel, host ? &root_here : &vfake_root);
		set = open_set(other, "d0", VFIO_TYPE1v2_IOMMU);
		memory = map_memory(other, 64 * PAGE);
		value = 0x1122334455667788;
		assert_int_equal(vfake_poke(other, memory + 8 * PAGE, &value, 8), 0);
		assert_int_equal(
			dma_map(other, set.container, READ_WRITE, memory, 1 << 20, 64 * PAGE), 0);
		assert_int_equal(vfake_munmap(other, memory + 8 * PAGE, PAGE), 0);
		assert_int_equal(vfake_peek(other, memory + 8 * PAGE, &value, 8), -EFAULT);
		value = 0;
		assert_int_equal(vfio_device_dma(device, (1 << 20) + 8 * PAGE, &value, 8, false),
				 0);
		assert_int_equal(value, 0x1122334455667788);
		/* A page that is still mapped is one page for both. */
		assert_int_equal(vfio_device_dma(device, (1 << 20) + 9 * PAGE, &value, 8, true), 0);
		value = 0;
		assert_int_equal(vfake_peek(other, memory + 9 * PAGE, &value, 8), 0);
		assert_int_equal(value, 0x1122334455667788);
		assert_int_equal(vfake_pass_fd(other, set.container, rig.task), 0);
		assert_int_equal(vfake_pass_fd(other, set.group, rig.task), 1);
		assert_int_equal(vfake_munmap(other, memory, 32 * PAGE), 0);
		vfake_task_exit(other);
		assert_int_equal(vfake_ledger(rig.kernel).pinned_pages, 64);
		for (uint64_t page = 0; page < 64; page++) {
			value = page;
			assert_int_equal(
				vfio_device_dma(device, (1 << 20) + page * PAGE, &value, 8, true),
				0);
		}
		assert_int_equal(vfake_close(rig.task, 0), 0);
		assert_int_equal(vfake_close(rig.task, 1), 0);
		rig_assert_settled(&rig);
	}
	rig_end(&rig);
}

static void a_memfd_is_one_memory_wherever_it_is_mapped(void **state)
{
	enum { RW = VFAKE_PROT_READ | VFAKE_PROT_WRITE };
	vfake_addr one, two, part;
	uint32_t value = 0xfeedface;
	struct rig rig;
	int fd;

	(void)state;
	rig_boot_default(&rig);
	fd = vfake_memfd(rig.task, 4 * PAGE - 100);
	assert_int_equal(vfake_mmap(rig.task, 4 * PAGE, RW, fd, 0, &one), 0);
	assert_int_equal(vfake_mmap(rig.task, 4 * PAGE - 100, VFAKE_PROT_READ, fd, 0, &two), 0);
	assert_int_equal(vfake_mmap(rig.task, PAGE, RW, fd, 3 * PAGE, &part), 0);
	assert_int_equal(vfake_mmap(rig.task, PAGE, RW, fd, 4 * PAGE, &part), -EINVAL);
	assert_int_equal(vfake_mmap(rig.task, 2 * PAGE, RW, fd, 3 * PAGE, &part), -EINVAL);
	assert_int_equal(vfake_mmap(rig.task, PAGE, RW, fd, UINT64_MAX - PAGE + 1, &part), -EINVAL);
	assert_int_equal(one & -one, 1 << 30);
	assert_int_equal(vfake_poke(rig.task, part + PAGE - 4, &value, 4), 0);
	value = 0;
	assert_int_equal(vfake_peek(rig.task, two + 4 * PAGE - 4, &value, 4), 0);
	assert_int_equal(value, 0xfeedface);
	assert_int_equal(vfake_poke(rig.task, two, &value, 4), -EFAULT);
	/* The pages stay when the file is closed, and go with the last mapping. */
	assert_int_equal(vfake_close(rig.task, fd), 0);
	assert_int_equal(vfake_munmap(rig.task, two, 4 * PAGE), 0);
	assert_int_equal(vfake_munmap(rig.task, part, PAGE), 0);
	assert_int_equal(vfake_peek(rig.task, one + 4 * PAGE - 4, &value, 4), 0);
	assert_int_equal(value, 0xfeedface);
	assert_int_equal(vfake_munmap(rig.task, one, 4 * PAGE), 0);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

/* ---- eventfds ---- */

static void an_eventfd_counts(void **state)
{
	uint64_t value = 5;
	vfake_addr at = (uintptr_t)&value;
	struct rig rig;
	int fd;

	(void)state;
	rig_boot_default(&rig);
	fd = vfake_eventfd(rig.task);
	assert_int_equal(vfake_read(rig.task, fd, at, 8), -EAGAIN);
	assert_int_equal(vfake_read(rig.task, fd, at, 7), -EINVAL);
	assert_int_equal(vfake_write(rig.task, fd, at, 7), -EINVAL);
	assert_int_equal(vfake_write(rig.task, fd, at, 9), -EINVAL);
	assert_int_equal(vfake_write(rig.task, fd, 0, 8), -EFAULT);
	assert_int_equal(vfake_write(rig.task, fd, at, 8), 8);
	assert_int_equal(vfake_write(rig.task, fd, at, 8), 8);
	assert_int_equal(vfake_read(rig.task, fd, at, 16), 8);
	assert_int_equal(value, 10);
	value = UINT64_MAX;
	assert_int_equal(vfake_write(rig.task, fd, at, 8), -EINVAL);
	value = UINT64_MAX - 1;
	assert_int_equal(vfake_write(rig.task, fd, at, 8), 8);
	value = 1;
	assert_int_equal(vfake_write(rig.task, fd, at, 8), -EAGAIN);
	value = 0;
	assert_int_equal(vfake_write(rig.task, fd, at, 8), 8);
	/* A read that faults has taken the count. */
	assert_int_equal(vfake_read(rig.task, fd, 0, 8), -EFAULT);
	assert_int_equal(vfake_read(rig.task, fd, at, 8), -EAGAIN);
	assert_int_equal(vfake_close(rig.task, fd), 0);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_descriptor_is_the_lowest_free),
		cmocka_unit_test(what_is_not_open_is_ebadf),
		cmocka_unit_test(a_full_table_is_emfile),
		cmocka_unit_test(only_nodes_that_are_there_open),
		cmocka_unit_test(a_file_lives_in_every_task_that_has_it),
		cmocka_unit_test(a_task_that_exits_leaves_nothing),
		cmocka_unit_test(addresses_do_not_vary),
		cmocka_unit_test(mmap_and_munmap_judge_their_arguments),
		cmocka_unit_test(copies_cross_areas_and_stop_at_edges),
		cmocka_unit_test(munmap_takes_exactly_what_it_names),
		cmocka_unit_test(pins_outlive_munmap_and_the_task),
		cmocka_unit_test(a_memfd_is_one_memory_wherever_it_is_mapped),
		cmocka_unit_test(an_eventfd_counts),
	};

	return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}
