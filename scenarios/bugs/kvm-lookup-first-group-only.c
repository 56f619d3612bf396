/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm-lookup-first-group-only: found by reading the patch of October 2013.
 *
 * The patch looked up the group of a LIOBN when the guest maps a page, and took the first entry of
 * the list that has the number. A guest's host bridge may have devices of two groups behind one
 * LIOBN. Then the first group's window was written and the second's was not: a device of the
 * second reads what was mapped there before, or faults.
 *
 * Right is that a table knows all that it serves. Here two groups in two containers are served by
 * one table: one hypercall must be in both windows, each leaves alone, and the entry of the other
 * one follows the guest until the end.
 */
#include "kvm_guest.h"

static void run(struct stage *stage)
{
	struct kvm_guest guest = guest_start(stage);
	int groups[2], containers[2];
	int table = guest_table(&guest, 1);
	uint64_t entry;

	for (unsigned int i = 0; i < 2; i++) {
		containers[i] = guest_container(&guest, i, &groups[i]);
		assert_int_equal(guest_set(&guest, KVM_DEV_VFIO_GROUP_ADD, &groups[i]), 0);
		assert_int_equal(guest_serve(&guest, groups[i], table), 0);
	}
	assert_int_equal(guest_put(&guest, 1, 0x3000, PAGE | 3), VFAKE_H_SUCCESS);
	entry = tce_at(guest.task, containers[0], 0x3000);
	assert_true(entry != 0);
	assert_true(tce_at(guest.task, containers[1], 0x3000) == entry);
	assert_int_equal(guest_set(&guest, KVM_DEV_VFIO_GROUP_DEL, &groups[0]), 0);
	assert_int_equal(guest_put(&guest, 1, 0x4000, 2 * PAGE | 3), VFAKE_H_SUCCESS);
	assert_int_equal(tce_at(guest.task, containers[0], 0x4000), 0);
	assert_true(tce_at(guest.task, containers[1], 0x4000) != 0);
	for (uint64_t ioba = 0x3000; ioba <= 0x4000; ioba += 0x1000)
		assert_int_equal(guest_put(&guest, 1, ioba, 0), VFAKE_H_SUCCESS);
	assert_int_equal(tce_at(guest.task, containers[1], 0x3000), 0);
	guest_end(&guest);
}

const struct story story_bug_kvm_lookup_first_group_only = {
	.name = "bug-kvm-lookup-first-group-only",
	.about = "a table that serves two groups is written to the windows of both",
	.run = run,
	.needs = NEEDS_WINDOWS,
};
