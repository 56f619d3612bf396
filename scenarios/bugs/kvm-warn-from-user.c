/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm-warn-from-user: the reviewer's first question to the patch of October 2013.
 *
 * The patch lets a VMM tell KVM which table of the guest (its LIOBN) serves which VFIO group. If
 * the group had a number already, setting it again ran into a WARN: a message with a stack trace in
 * the kernel's log, or a crash where the administrator has it so, for a call that any VMM can make.
 * The reviewer asked what the user was supposed to learn from that, and for an errno or for the
 * call to just work. The attribute that Linux has in the end takes the same table twice and does
 * nothing.
 *
 * Here the same table is set again and again, then another one, then what is none, and the kernel's
 * count of warnings stays 0; the table that serves goes on to serve, once.
 */
#include "kvm_guest.h"

static void run(struct stage *stage)
{
	struct kvm_guest guest = guest_start(stage);
	int group, container = guest_container(&guest, 0, &group);
	int table = guest_table(&guest, 1), other = guest_table(&guest, 2);
	struct vfake_spapr_region memory;

	assert_int_equal(guest_set(&guest, KVM_DEV_VFIO_GROUP_ADD, &group), 0);
	for (int round = 0; round < 3; round++)
		assert_int_equal(guest_serve(&guest, group, table), 0);
	assert_int_equal(guest_serve(&guest, group, guest.vm), -EINVAL);
	assert_int_equal(guest_serve(&guest, group, other), 0);
	assert_int_equal(vfake_ledger(stage->kernel).warnings, 0);
	assert_int_equal(guest_put(&guest, 1, 0x1000, PAGE | 3), VFAKE_H_SUCCESS);
	assert_true(tce_at(guest.task, container, 0x1000) != 0);
	assert_int_equal(vfake_spapr_region(guest.task, 0, &memory), 0);
	assert_int_equal(memory.tces, 1);
	/* One going is the end of it, however often it was set. */
	assert_int_equal(guest_set(&guest, KVM_DEV_VFIO_GROUP_DEL, &group), 0);
	assert_int_equal(guest_put(&guest, 1, 0x2000, PAGE | 3), VFAKE_H_SUCCESS);
	assert_int_equal(tce_at(guest.task, container, 0x2000), 0);
	assert_int_equal(guest_put(&guest, 1, 0x1000, 0), VFAKE_H_SUCCESS);
	guest_end(&guest);
}

const struct story story_bug_kvm_warn_from_user = {
	.name = "bug-kvm-warn-from-user",
	.about = "a table that serves a group already is set again, and nobody warns",
	.run = run,
	.needs = NEEDS_WINDOWS,
};
