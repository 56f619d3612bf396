/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvm-add-fd-error-ignored: in QEMU's helper for KVM's VFIO device, twice.
 *
 * KVM is told of each group or device node, so that it holds the file, knows which VM a device
 * works for, and knows whether caches must be flushed. When KVM refused (EEXIST, EINVAL) the legacy
 * code printed a line and went on, and the iommufd code attached the device too. Later the same
 * file was deleted from a list on which it was not; where another program had put it there, that
 * one's reference went.
 *
 * Right is that the attach fails with KVM's errno, and what was not added is not deleted. Here KVM
 * refuses once: one call is made of that kind and not two, the VM has no file more and no file
 * less, and the next attach adds it.
 */
#include <uapi/kvm.h>
#include <vfake/kvm.h>

#include "bugs.h"

static void expect_files(struct stage *stage, int vm, uint32_t files)
{
	struct vfake_kvm_view view;

	assert_int_equal(vfake_kvm_view(stage->task, vm, &view), 0);
	assert_int_equal(view.vfio_files, files);
}

static void run(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 1);
	int kvm = stage->raw.open(stage->raw.ctx, "/dev/kvm"), vm;
	struct vfio_error error = { 0 };

	assert_true(kvm >= 0);
	vm = (int)stage->raw.ioctl(stage->raw.ctx, kvm, KVM_CREATE_VM, 0);
	assert_true(vm >= 0);
	assert_int_equal(stage->raw.close(stage->raw.ctx, kvm), 0);
	bug_good(vfio_set_kvm(stage->vfio, vm, &error), &error);
	stage_attach(stage, 0);
	for (int round = 0; round < 2; round++) {
		int code = round ? -EINVAL : -EEXIST;

		bug_answer(stage, KVM_SET_DEVICE_ATTR, 1, code);
		assert_false(stage_try_attach(stage, 1, stage->memory, &options, &error));
		assert_int_equal(error.code, code);
		assert_int_equal(stage->fail_call.seen, 1);
		bug_over(stage);
		expect_files(stage, vm, 1);
	}
	stage_attach(stage, 1);
	expect_files(stage, vm, 2);
	stage_detach(stage, 0);
	stage_detach(stage, 1);
	expect_files(stage, vm, 0);
	bug_good(vfio_set_kvm(stage->vfio, -1, &error), &error);
	assert_int_equal(stage->raw.close(stage->raw.ctx, vm), 0);
	stage_expect_empty(stage);
}

const struct story story_bug_kvm_add_fd_error_ignored = {
	.name = "bug-kvm-add-fd-error-ignored",
	.about = "a file that KVM refuses is not attached, and not deleted from its list",
	.run = run,
	.waivers = { { "user", "KVM has nothing to do with a socket" } },
};
