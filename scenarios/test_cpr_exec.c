/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * execve() of the fake kernel: memory goes, kept descriptors stay, and locked memory is charged to
 * the old memory until somebody else takes it over.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common.h"

#include <vfake/view.h>

static void descriptors(void **state)
{
	const int keep[] = { 3, 1 };
	struct rig rig;
	uint64_t count = 7;
	vfake_addr memory;

	(void)state;
	rig_boot_default(&rig);
	for (int fd = 0; fd < 5; fd++)
		assert_int_equal(vfake_eventfd(rig.task), fd);
	assert_int_equal(vfake_write(rig.task, 3, (uintptr_t)&count, sizeof(count)), sizeof(count));
	memory = map_memory(rig.task, PAGE);
	assert_int_equal(vfake_task_exec(rig.task, keep, COUNT_OF(keep)), 0);
	for (int fd = 0; fd < 5; fd++) {
		struct vfake_file_view view;

		assert_int_equal(vfake_view_file(rig.task, fd, &view),
				 fd == 1 || fd == 3 ? 0 : -EBADF);
	}
	/* What was written before is still to be read; what was mapped is not there. */
	count = 0;
	assert_int_equal(vfake_read(rig.task, 3, (uintptr_t)&count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 7);
	assert_int_equal(vfake_munmap(rig.task, memory, PAGE), 0);
	assert_int_equal(vfake_eventfd(rig.task), 0);
	assert_int_equal(vfake_task_exec(rig.task, NULL, 0), 0);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

static uint64_t locked(const struct rig *rig)
{
	struct vfake_task_view view;

	vfake_view_task(rig->task, &view);
	return view.locked_pages;
}

/* The pages stay pinned for the device, and charged to memory that is gone, until MAP with VADDR.
 */
static void charge(void **state)
{
	struct rig rig;
	struct vfio_set set;
	vfake_addr memory, again;
	int memfd;

	(void)state;
	rig_boot_default(&rig);
	memfd = vfake_memfd(rig.task, 4 * PAGE);
	set = open_set(rig.task, "d0", VFIO_TYPE1v2_IOMMU);
	assert_int_equal(vfake_mmap(rig.task, 4 * PAGE, VFAKE_PROT_READ | VFAKE_PROT_WRITE, memfd,
				    0, &memory),
			 0);
	assert_int_equal(dma_map(rig.task, set.container, READ_WRITE, memory, 0, 4 * PAGE), 0);
	assert_int_equal(locked(&rig), 4);
	assert_int_equal(dma_unmap(rig.task, set.container,
				   VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL, 0, 0, NULL),
			 0);
	{
		const int keep[] = { memfd, set.container, set.group, set.device };

		assert_int_equal(vfake_task_exec(rig.task, keep, COUNT_OF(keep)), 0);
	}
	assert_int_equal(locked(&rig), 0);
	assert_int_equal(vfake_ledger(rig.kernel).locked_pages, 4);
	assert_int_equal(vfake_ledger(rig.kernel).pinned_pages, 4);
	assert_int_equal(vfake_mmap(rig.task, 4 * PAGE, VFAKE_PROT_READ | VFAKE_PROT_WRITE, memfd,
				    0, &again),
			 0);
	assert_int_equal(
		dma_map(rig.task, set.container, VFIO_DMA_MAP_FLAG_VADDR, again, 0, 4 * PAGE), 0);
	assert_int_equal(locked(&rig), 4);
	assert_int_equal(vfake_ledger(rig.kernel).locked_pages, 4);
	close_set(rig.task, &set);
	assert_int_equal(vfake_munmap(rig.task, again, 4 * PAGE), 0);
	assert_int_equal(vfake_close(rig.task, memfd), 0);
	rig_assert_settled(&rig);
	rig_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors),
		cmocka_unit_test(charge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
