/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What other stacks once got wrong and no other story comes by; bugs/README.md has the list of them
 * all.
 */
#include <errno.h>
#include <string.h>

#include <uapi/iommufd.h>
#include <uapi/vfio.h>
#include <uapi/vfio_user.h>
#include <vfake/models.h>

#include "stories.h"

enum { MIB = 1 << 20 };

static const struct stage_fault no_fault;

/* Call number @at of @request has this answer. */
static void answer(struct stage *stage, uint32_t request, uint64_t at, int code)
{
	stage->fail_call = (struct stage_fault){ .at = at, .request = request, .code = code };
}

/* ---- the whole space ---- */

static void no_end(struct vfake_world *world)
{
	world->aperture.last = UINT64_MAX;
}

/* A section whose size no field of 64 bits holds. */
static void run_whole_space(struct stage *stage)
{
	uint64_t page = stage->backend->page;
	struct vfio_memory *space = stage_space(stage);
	struct vfio_memory_region region = { .name = "viommu",
					     .kind = VFIO_MEMORY_IOMMU,
					     .last = UINT64_MAX,
					     .iommu_pgsizes = page };
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct stage_ram *iommu = stage_add(stage, space, &region);
	struct vfio_iommu_entry entry = { .iova = -page,
					  .last = UINT64_MAX,
					  .target = ram->region.start,
					  .prot = 3,
					  .target_memory = stage->memory };

	for (int round = 0; round < 2; round++) {
		stage_attach_to(stage, 0, space);
		assert_int_equal(vfio_memory_iommu_update(space, iommu->id, &entry), 0);
		stage_expect_reach(stage, 0, -page, page, ram->host, true);
		stage_ram_out(iommu);
		stage_expect_fault(stage, 0, -page, page);
		stage_ram_in(iommu);
		assert_int_equal(vfio_memory_iommu_update(space, iommu->id, &entry), 0);
		stage_expect_reach(stage, 0, -page, page, ram->host, true);
		stage_detach(stage, 0);
		stage_ram_out(iommu);
		stage_ram_in(iommu);
	}
	assert_int_equal(stage->ref.broken_seen, 0);
	stage_expect_empty(stage);
}

const struct story story_whole_space = {
	.name = "viommu-whole-space",
	.about = "a vIOMMU over all 2^64 addresses comes, goes, and maps the last page of them",
	.run = run_whole_space,
	.needs = NEEDS_MAPS | NEEDS_ANY_IOVA,
	.prepare = no_end,
};

/* ---- devices ---- */

static bool enable(struct stage *stage, uint32_t index, uint32_t count, const int *eventfds,
		   struct vfio_error *error)
{
	*error = (struct vfio_error){ 0 };
	return vfio_device_irq_enable(stage->devices[0], index, 0, count, eventfds, error);
}

static void run_vectors(struct stage *stage)
{
	struct vfio_error error;
	int eventfds[2];

	for (int i = 0; i < 2; i++)
		eventfds[i] = stage->raw.eventfd(stage->raw.ctx);
	stage_attach(stage, 0);
	/* The kernel has one kind on at a time. */
	for (int round = 0; round < 2; round++) {
		assert_true(enable(stage, VFIO_PCI_MSIX_IRQ_INDEX, 2, eventfds, &error));
		assert_false(enable(stage, VFIO_PCI_MSI_IRQ_INDEX, 1, eventfds, &error));
		assert_int_equal(error.code, -EINVAL);
		vfio_device_irq_disable(stage->devices[0], VFIO_PCI_MSIX_IRQ_INDEX);
		assert_true(enable(stage, VFIO_PCI_MSI_IRQ_INDEX, 1, eventfds, &error));
		vfio_device_irq_disable(stage->devices[0], VFIO_PCI_MSI_IRQ_INDEX);
	}
	/* A platform that has one vector only says so, and then gives it. A server cannot say so.
	 */
	if (stage->backend->kind == VFIO_BACKEND_USER)
		goto out;
	answer(stage, VFIO_DEVICE_SET_IRQS, 1, 1);
	assert_false(enable(stage, VFIO_PCI_MSI_IRQ_INDEX, 2, eventfds, &error));
	assert_int_equal(error.code, -ENOSPC);
	assert_non_null(strstr(error.hint, "1 vector"));
	stage->fail_call = no_fault;
	assert_true(enable(stage, VFIO_PCI_MSI_IRQ_INDEX, 1, eventfds, &error));
out:
	stage_detach(stage, 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(stage->raw.close(stage->raw.ctx, eventfds[i]), 0);
	stage_expect_empty(stage);
}

const struct story story_vectors = {
	.name = "device-vectors",
	.about = "MSI-X and MSI in turn, and a platform with too few vectors",
	.run = run_vectors,
};
