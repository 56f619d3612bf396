/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm-spapr-cdev-warn-7.2: found by reading Linux 7.2; the complaint of 2013, thirteen years later.
 *
 * KVM's VFIO device takes device nodes beside groups since there are any. A device node is on its
 * list like a group, but has no IOMMU group. KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE with such a file
 * finds it on the list, asks for its group, gets none, and that is a WARN_ON_ONCE with EIO behind
 * it: a caller reaches the kernel's log again. No report of it has been seen.
 *
 * Right is the errno alone. The fake kernel gives the errno of Linux 7.2 and does not count a
 * warning, since it is the one thing here that Linux should not do; whoever makes it warn fails the
 * ledger of every story. The stack never comes there: it asks for groups only. A group beside the
 * node is served as if the node were not there.
 */
#include "kvm_guest.h"

static void run(struct stage *stage)
{
	struct kvm_guest guest = guest_start(stage);
	int group, container = guest_container(&guest, 0, &group);
	int cdev = guest_file(&guest, open_cdev(guest.task, stage->kernel, stage_name(1)));
	int table = guest_table(&guest, 1);

	assert_int_equal(guest_serve(&guest, cdev, table), -ENOENT);
	assert_int_equal(guest_set(&guest, KVM_DEV_VFIO_FILE_ADD, &cdev), 0);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(guest_serve(&guest, cdev, table), -EIO);
		assert_int_equal(vfake_ledger(stage->kernel).warnings, 0);
	}
	assert_int_equal(guest_set(&guest, KVM_DEV_VFIO_GROUP_ADD, &group), 0);
	assert_int_equal(guest_serve(&guest, group, table), 0);
	assert_int_equal(guest_put(&guest, 1, 0x1000, PAGE | 3), VFAKE_H_SUCCESS);
	assert_true(tce_at(guest.task, container, 0x1000) != 0);
	assert_int_equal(guest_put(&guest, 1, 0x1000, 0), VFAKE_H_SUCCESS);
	assert_int_equal(guest_set(&guest, KVM_DEV_VFIO_FILE_DEL, &cdev), 0);
	guest_end(&guest);
}

const struct story story_bug_kvm_spapr_cdev_warn = {
	.name = "bug-kvm-spapr-cdev-warn-7.2",
	.about = "a device node has no group whose window could be served: an errno, no warning",
	.run = run,
	.needs = NEEDS_WINDOWS,
};
