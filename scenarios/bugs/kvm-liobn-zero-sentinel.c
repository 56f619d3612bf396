/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm-liobn-zero-sentinel: found by reading the patch of October 2013.
 *
 * A group's LIOBN was a number in its entry of the list, and 0 meant "none yet". But 0 is a number
 * that firmware may give, and the first one that many do. A guest with LIOBN 0 was served by
 * nobody; setting 0 for a group that had another number silently took that away; and there was no
 * other way to take one away at all.
 *
 * Right is a state of its own for "none": in Linux as it is, a table is a file, and its LIOBN is
 * any number. Here the guest's table has number 0: it serves its group, beside one with another
 * number, is refused a second time (EBUSY, as for any number), and ends with its file.
 */
#include "kvm_guest.h"

static void run(struct stage *stage)
{
	struct kvm_create_spapr_tce_64 again = { .page_shift = 12, .size = 1 };
	struct kvm_guest guest = guest_start(stage);
	int group, container = guest_container(&guest, 0, &group);
	int table;

	assert_int_equal(guest_set(&guest, KVM_DEV_VFIO_GROUP_ADD, &group), 0);
	assert_int_equal(guest_put(&guest, 0, 0x1000, PAGE | 3), VFAKE_H_TOO_HARD);
	guest_table(&guest, 7);
	table = guest_table(&guest, 0);
	assert_int_equal(call(guest.task, guest.vm, KVM_CREATE_SPAPR_TCE_64, &again), -EBUSY);
	assert_int_equal(guest_serve(&guest, group, table), 0);
	assert_int_equal(guest_put(&guest, 0, 0x1000, PAGE | 3), VFAKE_H_SUCCESS);
	assert_true(tce_at(guest.task, container, 0x1000) != 0);
	assert_int_equal(guest_put(&guest, 7, 0x2000, PAGE | 3), VFAKE_H_SUCCESS);
	assert_int_equal(tce_at(guest.task, container, 0x2000), 0);
	guest.file_count--;
	assert_int_equal(vfake_close(guest.task, table), 0);
	assert_int_equal(guest_set(&guest, KVM_DEV_VFIO_GROUP_DEL, &group), 0);
	assert_int_equal(guest_put(&guest, 0, 0x1000, 0), VFAKE_H_TOO_HARD);
	assert_int_equal(guest_put(&guest, 7, 0x2000, 0), VFAKE_H_SUCCESS);
	guest_end(&guest);
}

const struct story story_bug_kvm_liobn_zero_sentinel = {
	.name = "bug-kvm-liobn-zero-sentinel",
	.about = "0 is a number of a table like any other",
	.run = run,
	.needs = NEEDS_WINDOWS,
};
