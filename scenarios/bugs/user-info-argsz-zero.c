/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user-info-argsz-zero: in the vfio-user device of May 2025, as posted.
 *
 * Each struct of VFIO begins with its size, by which the other side knows how much it may read and
 * fill. The patch sent VFIO_USER_DEVICE_GET_INFO with a struct that was all zero. The server of its
 * author filled it all the same; a strict one answers EINVAL, and the device cannot be attached. A
 * later version sets the size.
 *
 * Right is the size of the struct, in every call. Here both the fake kernel and the fake server
 * are strict, as Linux is: without the size the attach fails with EINVAL. What they then say is
 * looked at: regions and interrupts that a device of nothing would not have.
 */
#include "bugs.h"

static void run(struct stage *stage)
{
	struct vfio_device_facts facts;
	struct vfio_irq irq;
	struct vfio_region region;
	struct vfio_error error = { 0 };

	stage_attach(stage, 0);
	vfio_device_facts(stage->devices[0], &facts);
	assert_true(facts.is_pci);
	assert_true(facts.regions > VFAKE_COPY_BAR_MEMORY);
	assert_true(facts.irqs > VFIO_PCI_MSIX_IRQ_INDEX);
	bug_good(vfio_device_region(stage->devices[0], VFAKE_COPY_BAR_MEMORY, &region, &error),
		 &error);
	assert_true(region.size > 0);
	bug_good(vfio_device_irq(stage->devices[0], VFIO_PCI_MSIX_IRQ_INDEX, &irq, &error), &error);
	assert_true(irq.count > 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_bug_user_info_argsz_zero = {
	.name = "bug-user-info-argsz-zero",
	.about = "every struct goes out with its size",
	.run = run,
};
