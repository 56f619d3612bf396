/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults by name, through libfiu: armed by the harness, and by somebody else who speaks libfiu, as
 * fiu-run and fiu-ctrl do.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <fiu-control.h>

#include <uapi/iommufd.h>

#include "common.h"
#include "fault.h"

struct bound {
	struct rig rig;
	struct fault *fault;
	int iommufd;
};

static void start(struct bound *b)
{
	rig_boot_default(&b->rig);
	b->fault = fault_new();
	assert_non_null(b->fault);
	fault_bind(b->fault, b->rig.kernel);
	b->iommufd = vfake_open(b->rig.task, "/dev/iommu");
	assert_true(b->iommufd >= 0);
}

static void end(struct bound *b)
{
	fault_bind(NULL, b->rig.kernel);
	fault_free(b->fault);
	assert_int_equal(vfake_close(b->rig.task, b->iommufd), 0);
	rig_assert_settled(&b->rig);
	rig_end(&b->rig);
}

static long alloc_ioas(const struct bound *b)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };

	return vfake_ioctl(b->rig.task, b->iommufd, IOMMU_IOAS_ALLOC, (uintptr_t)&arg);
}

static void the_nth_pass_fails_once(void **state)
{
	struct bound b;

	(void)state;
	start(&b);
	assert_int_equal(fault_arm(b.fault, "iommufd/IOAS_ALLOC/entry", 3, ENOMEM, false), 0);
	assert_int_equal(alloc_ioas(&b), 0);
	assert_int_equal(alloc_ioas(&b), 0);
	assert_int_equal(fault_hits(b.fault), 0);
	assert_null(fault_last_hit(b.fault));
	assert_int_equal(alloc_ioas(&b), -ENOMEM);
	assert_int_equal(alloc_ioas(&b), 0);
	assert_int_equal(fault_hits(b.fault), 1);
	assert_ptr_equal(fault_last_hit(b.fault), fault_find("iommufd/IOAS_ALLOC/entry"));
	end(&b);
}

static void sticky_means_from_then_on(void **state)
{
	struct bound b;

	(void)state;
	start(&b);
	assert_int_equal(fault_arm(b.fault, "iommufd/IOAS_ALLOC/commit", 2, EOPNOTSUPP, true), 0);
	assert_int_equal(alloc_ioas(&b), 0);
	assert_int_equal(alloc_ioas(&b), -EOPNOTSUPP);
	assert_int_equal(alloc_ioas(&b), -EOPNOTSUPP);
	fault_disarm(b.fault);
	assert_int_equal(alloc_ioas(&b), 0);
	assert_int_equal(fault_hits(b.fault), 2);
	end(&b);
}

/* A star stands for all names that begin so, and their passes are counted together. */
static void a_star_covers_names(void **state)
{
	struct bound b;

	(void)state;
	start(&b);
	assert_int_equal(fault_arm(b.fault, "iommufd/*", 1, 0, false), 0);
	assert_true(vfake_open(b.rig.task, "/dev/nothing") == -ENOENT);
	assert_int_equal(fault_hits(b.fault), 0);
	assert_int_equal(alloc_ioas(&b), -EOPNOTSUPP); /* the first of the row */
	assert_int_equal(fault_arm(b.fault, "iommufd/*", 2, 0, false), 0);
	assert_int_equal(alloc_ioas(&b), -EFAULT); /* the copy after the entry */
	assert_int_equal(fault_arm(b.fault, "iommufd/IOAS_ALLOC/*", 1, EIO, false), 0);
	assert_int_equal(alloc_ioas(&b), -EOPNOTSUPP); /* EIO is none of the row's */
	end(&b);
}

static void one_arming_replaces_another(void **state)
{
	struct bound b;

	(void)state;
	start(&b);
	assert_int_equal(fault_arm(b.fault, "iommufd/IOAS_ALLOC/entry", 1, ENOMEM, true), 0);
	assert_int_equal(fault_arm(b.fault, "iommufd/DESTROY/entry", 1, ENOENT, true), 0);
	assert_int_equal(alloc_ioas(&b), 0);
	assert_int_equal(fault_arm(b.fault, "", 1, ENOMEM, true), -EINVAL);
	assert_int_equal(fault_arm(b.fault, "iommufd/DESTROY/entry", 0, ENOENT, true), -EINVAL);
	assert_int_equal(alloc_ioas(&b), 0);
	end(&b);
}

/* What fiu-run does: it knows nothing of the harness. */
static void others_may_arm_names(void **state)
{
	struct bound b;

	(void)state;
	start(&b);
	assert_int_equal(fiu_enable("iommufd/IOAS_ALLOC/*", 1, NULL, 0), 0);
	assert_int_equal(alloc_ioas(&b), 0);
	fault_listen(b.fault, true);
	assert_int_equal(alloc_ioas(&b), -EOPNOTSUPP);
	assert_int_equal(fault_hits(b.fault), 1);
	assert_int_equal(fiu_disable("iommufd/IOAS_ALLOC/*"), 0);
	assert_int_equal(fiu_enable("iommufd/IOAS_ALLOC/alloc", ENOMEM, NULL, FIU_ONETIME), 0);
	assert_int_equal(alloc_ioas(&b), -ENOMEM);
	assert_int_equal(alloc_ioas(&b), 0);
	fault_listen(b.fault, false);
	end(&b);
}

static void passes_are_recorded(void **state)
{
	static const char *const names[] = {
		"iommufd/IOAS_ALLOC/entry", "iommufd/IOAS_ALLOC/copyin",
		"iommufd/IOAS_ALLOC/copyin", "iommufd/IOAS_ALLOC/commit", "iommufd/IOAS_ALLOC/alloc"
	};
	const struct vfake_fault_point *const *passed;
	struct bound b;
	size_t count;

	(void)state;
	start(&b);
	fault_record(b.fault, true);
	assert_int_equal(alloc_ioas(&b), 0);
	fault_record(b.fault, false);
	assert_int_equal(alloc_ioas(&b), 0);
	passed = fault_recorded(b.fault, &count);
	assert_true(count >= COUNT_OF(names));
	for (size_t i = 0; i < COUNT_OF(names); i++)
		assert_string_equal(passed[i]->name, names[i]);
	assert_string_equal(passed[count - 1]->name, "iommufd/IOAS_ALLOC/copyout");
	fault_record(b.fault, true);
	for (int i = 0; i < 100; i++)
		assert_int_equal(alloc_ioas(&b), 0);
	fault_recorded(b.fault, &count);
	assert_true(count > 500);
	end(&b);
}

static void the_side_of_the_stack_has_points(void **state)
{
	struct fault *fault = fault_new();
	const struct vfake_fault_point *point = fault_side_point(FAULT_VMM_BLOCK_MIGRATION);

	(void)state;
	assert_non_null(fault);
	assert_string_equal(point->name, "vmm/block_migration");
	assert_ptr_equal(fault_find("vmm/block_migration"), point);
	assert_null(fault_find("vmm/nothing"));
	assert_null(fault_find("file/open/copyout")); /* open copies nothing out */
	assert_int_equal(fault_pass(NULL, point), 0);
	assert_int_equal(fault_pass(fault, point), 0);
	assert_int_equal(fault_arm(fault, "vmm/*", 1, EBUSY, false), 0);
	assert_int_equal(fault_pass(fault, fault_side_point(FAULT_STACK_ALLOC)), 0);
	assert_int_equal(fault_pass(fault, point), -EBUSY);
	fault_free(fault);
	fault_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nth_pass_fails_once),
		cmocka_unit_test(sticky_means_from_then_on),
		cmocka_unit_test(a_star_covers_names),
		cmocka_unit_test(one_arming_replaces_another),
		cmocka_unit_test(others_may_arm_names),
		cmocka_unit_test(passes_are_recorded),
		cmocka_unit_test(the_side_of_the_stack_has_points),
	};

	return cmocka_run_group_tests_name("fault names", tests, NULL, NULL);
}
