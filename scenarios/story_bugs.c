/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What other stacks once got wrong and no other story comes by; bugs/README.md has the list of them
 * all.
 */
#include <errno.h>
#include <string.h>

#include <uapi/iommufd.h>
#include <uapi/vfio.h>
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

/* ---- refusals ---- */

/* The second attempt is refused for the same reason as the first. */
static void run_twice(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error errors[2];

	stage_ram(stage, stage->backend->ram, MIB);
	stage->ref.only_migratable = true;
	stage_mark(stage);
	for (int i = 0; i < 2; i++) {
		assert_false(stage_try_attach(stage, 0, stage->memory, &options, &errors[i]));
		stage_expect_mark(stage);
	}
	assert_int_equal(errors[0].code, -EACCES);
	assert_int_equal(errors[1].code, -EACCES);
	assert_string_equal(errors[0].message, errors[1].message);
	stage->ref.only_migratable = false;
	stage_attach(stage, 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_twice = {
	.name = "refused-twice",
	.about = "what is refused once is refused again, and for the same reason",
	.run = run_twice,
};

/* Two pieces of memory cannot be mapped: the reason is that of the first. */
static void run_first_reason(struct stage *stage)
{
	uint64_t size = 4 * stage->backend->page;
	struct stage_ram *pool = stage_ram(stage, stage->backend->ram, MIB);
	struct vfio_memory_region region = { .name = "the first one",
					     .kind = VFIO_MEMORY_RAM,
					     .start = stage->backend->ram,
					     .last = stage->backend->ram + size - 1,
					     .vaddr = pool->region.vaddr + 512,
					     .fd = -1 };
	struct vfio_device_options options = stage_options(stage, 0);
	struct stage_ram *rams[2];
	struct vfio_error error;

	stage_ram_out(pool);
	rams[0] = stage_add(stage, stage->memory, &region);
	region.name = "the second one";
	region.start += 2 * size;
	region.last += 2 * size;
	rams[1] = stage_add(stage, stage->memory, &region);
	stage_mark(stage);
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_non_null(strstr(error.message, "the first one"));
	stage_expect_mark(stage);
	for (int i = 0; i < 2; i++)
		stage_ram_free(stage, rams[i]);
	stage_attach(stage, 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_first_reason = {
	.name = "refused-first-reason",
	.about = "of several reasons against an attach the first is told, in words",
	.run = run_first_reason,
	.needs = NEEDS_MAPS,
};

/* Another kind of backend where there is one, so that its containers are its own. */
static struct vfio_device_options other_options(struct stage *stage, unsigned int index)
{
	struct vfio_device_options options = stage_options(stage, index);

	if (backend_lacks(stage->backend, NEEDS_MIXING))
		return options;
	options.backend = options.backend == VFIO_BACKEND_IOMMUFD ? VFIO_BACKEND_LEGACY
								  : VFIO_BACKEND_IOMMUFD;
	options.type1_v1 = false;
	return options;
}

/* Each call of an attach fails once while another container of the space is there. */
static void run_beside(struct stage *stage)
{
	struct vfio_device_options options[2] = { other_options(stage, 1),
						  other_options(stage, 2) };
	struct vfio_error error;
	bool hit = true;

	stage_ram(stage, stage->backend->ram, MIB);
	stage_attach(stage, 0);
	stage_mark(stage);
	for (uint64_t nth = 1; hit; nth++) {
		assert_true(nth < 200);
		stage->fail_call = (struct stage_fault){ .at = nth, .code = -ENOMEM };
		if (stage_try_attach(stage, 1, stage->memory, &options[0], &error))
			stage_detach(stage, 1);
		hit = stage->fail_call.hit;
		stage->fail_call = no_fault;
		stage_expect_mark(stage);
		assert_true(stage_try_attach(stage, 2, stage->memory, &options[1], &error));
		stage_detach(stage, 2);
		stage_expect_mark(stage);
	}
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_beside = {
	.name = "refused-beside",
	.about = "an attach that fails leaves nothing where another container stays",
	.run = run_beside,
};

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
static void run_quiet(struct stage *stage)
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

const struct story story_quiet = {
	.name = "refused-quiet",
	.about = "a device that is refused late signals nothing any more",
	.run = run_quiet,
	.needs = NEEDS_CDEV,
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
	/* A platform that has one vector only says so, and then gives it. */
	answer(stage, VFIO_DEVICE_SET_IRQS, 1, 1);
	assert_false(enable(stage, VFIO_PCI_MSI_IRQ_INDEX, 2, eventfds, &error));
	assert_int_equal(error.code, -ENOSPC);
	assert_non_null(strstr(error.hint, "1 vector"));
	stage->fail_call = no_fault;
	assert_true(enable(stage, VFIO_PCI_MSI_IRQ_INDEX, 1, eventfds, &error));
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

static void run_unknown_region(struct stage *stage)
{
	struct vfio_device *device = stage_attach(stage, 0);
	struct vfio_error error = { 0 };
	struct vfio_region region;
	uint64_t addr = 0;
	uint8_t byte;

	stage_mark(stage);
	answer(stage, VFIO_DEVICE_GET_REGION_INFO, 1, -EIO);
	assert_false(vfio_device_region(device, VFAKE_COPY_BAR_MEMORY, &region, &error));
	assert_int_equal(error.code, -EIO);
	answer(stage, VFIO_DEVICE_GET_REGION_INFO, 1, -EIO);
	assert_false(vfio_device_map_area(device, VFAKE_COPY_BAR_MEMORY, 0, &addr, &error));
	answer(stage, VFIO_DEVICE_GET_REGION_INFO, 1, -EIO);
	assert_false(vfio_device_read(device, VFAKE_COPY_BAR_MEMORY, 0, &byte, 1, &error));
	stage->fail_call = no_fault;
	stage_expect_mark(stage);
	assert_true(vfio_device_read(device, VFAKE_COPY_BAR_MEMORY, 0, &byte, 1, &error));
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_unknown_region = {
	.name = "device-unknown-region",
	.about = "a region that the kernel does not describe is neither mapped nor read",
	.run = run_unknown_region,
};

/* ---- page tables of an iommufd ---- */

/* The kernel's word for a device that does not go with a page table, and other words. */
static void run_page_tables(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct vfio_device_options options = stage_options(stage, 1);
	struct vfio_error error;

	stage_attach(stage, 0);
	stage_mark(stage);
	answer(stage, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, -EINVAL);
	stage_attach(stage, 1);
	assert_true(stage->fail_call.hit);
	stage->fail_call = no_fault;
	/* A page table of its own: in the container that tracks, or with a container. */
	assert_false(vfake_view_same_domain(stage->kernel, stage_name(0), stage_name(1)));
	assert_int_equal(vfio_device_container(stage->devices[0]) ==
				 vfio_device_container(stage->devices[1]),
			 stage->backend->dirty_tracking);
	stage_expect_reach(stage, 1, ram->region.start, MIB, ram->host, true);
	stage_detach(stage, 1);
	stage_expect_mark(stage);
	answer(stage, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, -ENOMEM);
	assert_false(stage_try_attach(stage, 1, stage->memory, &options, &error));
	assert_int_equal(error.code, -ENOMEM);
	stage->fail_call = no_fault;
	stage_expect_mark(stage);
	stage_expect_reach(stage, 0, ram->region.start, MIB, ram->host, true);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_page_tables = {
	.name = "attach-page-tables",
	.about =
		"a device that does not fit a page table gets another; other errors end the attach",
	.run = run_page_tables,
	.needs = NEEDS_CDEV,
};

/* A device that no IOMMU describes, as an emulated one. */
static void run_no_hw_info(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct vfio_container_info info;

	answer(stage, IOMMU_GET_HW_INFO, 1, -EOPNOTSUPP);
	stage_attach(stage, 0);
	assert_int_equal(stage->fail_call.hit, stage->backend->dirty_tracking);
	stage->fail_call = no_fault;
	vfio_container_info(vfio_device_container(stage->devices[0]), &info);
	assert_false(info.dirty_tracking);
	stage_expect_reach(stage, 0, ram->region.start, MIB, ram->host, true);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_no_hw_info = {
	.name = "attach-no-hw-info",
	.about = "a device whose IOMMU says nothing of itself is attached, untracked",
	.run = run_no_hw_info,
	.needs = NEEDS_CDEV,
};

/* Two page tables, of which the second cannot be tracked: the first is not any more, either. */
static void run_half_tracked(struct stage *stage)
{
	struct vfio_error error = { 0 };

	stage_ram(stage, stage->backend->ram, MIB);
	stage_attach(stage, 0);
	answer(stage, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, -EINVAL);
	stage_attach(stage, 1);
	answer(stage, IOMMU_HWPT_SET_DIRTY_TRACKING, 2, -ENOSPC);
	assert_false(vfio_memory_log_start(stage->memory, &error));
	assert_int_equal(error.code, -ENOSPC);
	/* On, refused, off again: the one that never was on is left alone. */
	assert_int_equal(stage->fail_call.seen, 3);
	stage->fail_call = no_fault;
	assert_true(vfio_memory_log_start(stage->memory, &error));
	vfio_memory_log_stop(stage->memory);
	stage_detach(stage, 0);
	stage_detach(stage, 1);
	stage_expect_empty(stage);
}

const struct story story_half_tracked = {
	.name = "dirty-half-tracked",
	.about = "tracking that starts on one page table and not on the next is off, with the "
		 "reason",
	.run = run_half_tracked,
	.needs = NEEDS_CDEV | NEEDS_TRACKING,
};
