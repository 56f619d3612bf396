/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * intx-left-enabled-on-error: in QEMU, found by reading the error paths of the device's way up.
 *
 * A device whose way up fails late, for example because it cannot be migrated, had its interrupt
 * switched on already. The error path freed what belonged to it and never told the kernel to
 * switch it off. As long as the descriptor is closed right after, closing does it; where it is not
 * the program's to close, the kernel goes on signalling an eventfd that nobody has.
 *
 * Right is that the last word on each interrupt is "off". Here the program passes a descriptor in
 * and keeps it when the device is refused: triggering an interrupt that is not set up is EINVAL in
 * Linux, and must be for each that the stack sets up.
 */
#include "bugs.h"

static long trigger(struct stage *stage, int fd, uint32_t index)
{
	struct vfio_irq_set set = { .argsz = sizeof(set),
				    .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				    .index = index,
				    .count = 1 };

	return stage->raw.ioctl(stage->raw.ctx, fd, VFIO_DEVICE_SET_IRQS,
				(uint64_t)(uintptr_t)&set);
}

/* The program keeps its descriptor of a device that is refused: nothing signals from it. */
static void run(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 0);
	int lowest = stage->raw.open(stage->raw.ctx, "/dev/iommu");
	struct vfio_error error;
	char path[64];

	assert_true(lowest >= 0); /* as in a program that has its input at 0 */
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", options.cdev);
	options.device_fd = stage->raw.open(stage->raw.ctx, path);
	assert_true(options.device_fd > 0);
	stage->ref.only_migratable = true;
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	assert_int_equal(error.code, -EACCES);
	assert_int_equal(trigger(stage, options.device_fd, VFIO_PCI_REQ_IRQ_INDEX), -EINVAL);
	assert_int_equal(trigger(stage, options.device_fd, VFIO_PCI_ERR_IRQ_INDEX), -EINVAL);
	assert_int_equal(stage->raw.close(stage->raw.ctx, options.device_fd), 0);
	assert_int_equal(stage->raw.close(stage->raw.ctx, lowest), 0);
	stage_expect_empty(stage);
}

const struct story story_bug_intx_left_enabled_on_error = {
	.name = "bug-intx-left-enabled-on-error",
	.about = "a device that is refused late signals nothing any more",
	.unswept = "Linux binds a device for as long as its descriptor is open, and this one stays",
	.run = run,
	.needs = NEEDS_CDEV,
};
