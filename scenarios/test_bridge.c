/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bridges between the fake kernel and the program around it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <vfake/bridge.h>

#include "common.h"

static void end(struct rig *rig)
{
	assert_same_ledger(vfake_ledger(rig->kernel), rig->start);
	vfake_kernel_free(rig->kernel);
}

static void released(void *ctx)
{
	++*(int *)ctx;
}

static void memory_of_the_program_is_a_file(void **state)
{
	static uint8_t bytes[2 * PAGE];
	const struct vfake_task_attr stranger = { .memlock_bytes = UINT64_MAX };
	int gone = 0;
	struct vfake_memory memory = {
		.size_bytes = sizeof(bytes), .bytes = bytes, .release = released, .ctx = &gone
	};
	struct vfake_task *task;
	struct rig rig;
	vfake_addr addr;
	uint8_t byte;
	int fd;

	(void)state;
	rig_boot_default(&rig);
	task = vfake_task_new(rig.kernel, &stranger);
	memory.size_bytes = 0;
	assert_int_equal(vfake_memory_fd(task, &memory), -EINVAL);
	memory.size_bytes = PAGE + 1;
	assert_int_equal(vfake_memory_fd(task, &memory), -EINVAL);
	memory.size_bytes = sizeof(bytes);
	fd = vfake_memory_fd(task, &memory);
	assert_true(fd >= 0);
	assert_int_equal(vfake_mmap(task, PAGE, 3, fd, 2 * PAGE, &addr), -EINVAL);
	assert_int_equal(vfake_mmap(task, 2 * PAGE, 3, fd, PAGE, &addr), -EINVAL);
	assert_int_equal(vfake_mmap(task, PAGE, 3, fd, PAGE, &addr), 0);
	assert_int_equal(vfake_poke(task, addr + 5, "\x5a", 1), 0);
	assert_int_equal(bytes[PAGE + 5], 0x5a);
	bytes[PAGE] = 0x77;
	assert_int_equal(vfake_peek(task, addr, &byte, 1), 0);
	assert_int_equal(byte, 0x77);
	vfake_close(task, fd);
	assert_int_equal(gone, 0);
	assert_int_equal(vfake_munmap(task, addr, PAGE), 0);
	assert_int_equal(gone, 1);
	/* a program's bytes are at one address of it */
	fd = vfake_memory_fd(rig.task, &memory);
	assert_int_equal(vfake_mmap(rig.task, PAGE, 3, fd, 0, &addr), -ENODEV);
	vfake_close(rig.task, fd);
	assert_int_equal(gone, 2);
	/* and far ones at none */
	memory.bytes = NULL;
	fd = vfake_memory_fd(task, &memory);
	assert_int_equal(vfake_mmap(task, PAGE, 3, fd, 0, &addr), -ENODEV);
	vfake_task_exit(task);
	assert_int_equal(gone, 3);
	end(&rig);
}

static void mapped_memory_can_be_shared(void **state)
{
	struct rig rig;
	vfake_addr from, to;
	uint64_t offset = 0;
	uint8_t byte = 0;
	int memfd, fd, host;

	(void)state;
	rig_boot_default(&rig);
	memfd = vfake_memfd(rig.task, 4 * PAGE);
	assert_int_equal(vfake_mmap(rig.task, 4 * PAGE, 3, memfd, 0, &from), 0);
	assert_int_equal(vfake_share_fd(rig.task, from, 0), -EINVAL);
	assert_int_equal(vfake_share_fd(rig.task, from + 1, PAGE), -EINVAL);
	assert_int_equal(vfake_share_fd(rig.task, from, 5 * PAGE), -EFAULT);
	assert_int_equal(vfake_share_fd(rig.task, PAGE, PAGE), -EFAULT);
	fd = vfake_share_fd(rig.task, from + PAGE, 2 * PAGE);
	assert_true(fd >= 0);
	assert_int_equal(vfake_mmap(rig.task, PAGE, 3, fd, PAGE, &to), 0);
	((volatile uint8_t *)(uintptr_t)from)[2 * PAGE + 3] = 0x42;
	assert_int_equal(((volatile uint8_t *)(uintptr_t)to)[3], 0x42);
	host = vfake_host_fd(rig.task, fd, &offset);
	assert_true(host >= 0);
	assert_int_equal(offset, PAGE);
	assert_int_equal(pread(host, &byte, 1, (off_t)(offset + PAGE + 3)), 1);
	assert_int_equal(byte, 0x42);
	close(host);
	assert_int_equal(vfake_host_fd(rig.task, 99, &offset), -EBADF);
	assert_int_equal(vfake_host_fd(rig.task, memfd, &offset), -EINVAL);
	vfake_munmap(rig.task, to, PAGE);
	vfake_munmap(rig.task, from, 4 * PAGE);
	vfake_close(rig.task, fd);
	vfake_close(rig.task, memfd);
	end(&rig);
}

static void memory_in_no_file_has_none(void **state)
{
	const struct vfake_task_attr stranger = { .memlock_bytes = UINT64_MAX };
	struct vfake_task *task;
	struct rig rig;
	vfake_addr addr;
	uint64_t offset;
	int fd;

	(void)state;
	rig_boot_default(&rig);
	task = vfake_task_new(rig.kernel, &stranger);
	assert_int_equal(vfake_mmap(task, PAGE, 3, -1, 0, &addr), 0);
	fd = vfake_share_fd(task, addr, PAGE);
	assert_true(fd >= 0);
	assert_int_equal(vfake_host_fd(task, fd, &offset), -ENODEV);
	vfake_task_exit(task);
	end(&rig);
}

static void events_reach_the_program(void **state)
{
	struct rig rig;
	uint64_t one = 1, got;
	int fd, copy, signals = 0, closes = 0;

	(void)state;
	rig_boot_default(&rig);
	fd = vfake_bridge_eventfd(rig.task, released, NULL, &signals);
	assert_int_equal(vfake_write(rig.task, fd, (uint64_t)(uintptr_t)&one, 8), 8);
	assert_int_equal(signals, 1);
	assert_int_equal(vfake_read(rig.task, fd, (uint64_t)(uintptr_t)&got, 8), -EAGAIN);
	vfake_close(rig.task, fd);
	fd = vfake_bridge_eventfd(rig.task, released, released, &closes);
	copy = vfake_dup(rig.task, fd);
	vfake_close(rig.task, fd);
	assert_int_equal(closes, 0);
	vfake_close(rig.task, copy);
	assert_int_equal(closes, 1);
	end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_of_the_program_is_a_file),
		cmocka_unit_test(mapped_memory_can_be_shared),
		cmocka_unit_test(memory_in_no_file_has_none),
		cmocka_unit_test(events_reach_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
