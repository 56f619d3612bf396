/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm-liobn-no-lock: found by reading the patch of October 2013.
 *
 * Setting a LIOBN walked the VFIO device's list of groups without the mutex that adding and
 * deleting take. A group that is deleted at that moment is freed under the walk. It takes two
 * threads of a VMM that does not care, and it is the kernel that pays. Nobody remarked on it; the
 * patch was refused for more than that.
 *
 * With one thread the same question can be asked in the gaps: what does a call find whose group
 * was deleted, or whose table was closed, just before it? Here groups leave between all steps, in
 * either order of group and table: ENOENT for the group that left, no entry of the guest in a
 * window that is not served any more, and nothing left at the end.
 */
#include "kvm_guest.h"

static void run(struct stage *stage)
{
	struct kvm_guest guest = guest_start(stage);
	int groups[2], containers[2];
	int table = guest_table(&guest, 1);

	for (unsigned int i = 0; i < 2; i++) {
		containers[i] = guest_container(&guest, i, &groups[i]);
		assert_int_equal(guest_set(&guest, KVM_DEV_VFIO_GROUP_ADD, &groups[i]), 0);
		assert_int_equal(guest_serve(&guest, groups[i], table), 0);
	}
	/* Both windows have a page of entries from now on. */
	assert_int_equal(guest_put(&guest, 1, 0x5000, PAGE | 3), VFAKE_H_SUCCESS);
	assert_int_equal(guest_put(&guest, 1, 0x5000, 0), VFAKE_H_SUCCESS);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(guest_set(&guest, KVM_DEV_VFIO_GROUP_DEL, &groups[i]), 0);
		assert_int_equal(guest_set(&guest, KVM_DEV_VFIO_GROUP_DEL, &groups[i]), -ENOENT);
		assert_int_equal(guest_serve(&guest, groups[i], table), -ENOENT);
		assert_int_equal(guest_put(&guest, 1, 0x1000, PAGE | 3), VFAKE_H_SUCCESS);
		assert_int_equal(tce_at(guest.task, containers[i], 0x1000), 0);
		assert_int_equal(tce_at(guest.task, containers[1], 0x1000) != 0, i == 0);
		assert_int_equal(guest_put(&guest, 1, 0x1000, 0), VFAKE_H_SUCCESS);
	}
	/* The list is whole: who left comes back. */
	for (int i = 1; i >= 0; i--) {
		assert_int_equal(guest_set(&guest, KVM_DEV_VFIO_GROUP_ADD, &groups[i]), 0);
		assert_int_equal(guest_serve(&guest, groups[i], table), 0);
	}
	guest_end(&guest);
}

const struct story story_bug_kvm_liobn_no_lock = {
	.name = "bug-kvm-liobn-no-lock",
	.about = "a group that leaves KVM's list is not found by who comes later",
	.run = run,
	.needs = NEEDS_WINDOWS,
};
