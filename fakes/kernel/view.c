/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The view of the fake kernel that tests have (vfake/view.h).
 *
 * Imitates nothing of Linux: it walks groups, containers, page tables and descriptors and changes
 * none of them. An address of memory is turned back into the task's address of it, so that nobody
 * outside needs to know how the kernel holds memory.
 */
#include <vfake/view.h>

#include "iommufd_private.h"
#include "spapr.h"
#include "type1.h"
#include "view.h"

static uint64_t count_entries(struct spapr_table *table)
{
	uint64_t count = 0;

	for (uint64_t at = 0; at < table->size;) {
		struct spapr_stretch stretch;

		if (spapr_table_stretch(table, at, table->size - at, false, &stretch) ||
		    !stretch.count)
			break;
		for (uint64_t i = 0; stretch.hw && i < stretch.count; i++)
			count += stretch.hw[i] != 0;
		at += stretch.count;
	}
	return count;
}

static uint64_t count_tces(const struct spapr *spapr)
{
	uint64_t count = 0;

	for (int i = 0; i < SPAPR_WINDOWS; i++) {
		if (spapr->tables[i])
			count += count_entries(spapr->tables[i]);
	}
	return count;
}

static void view_container(const struct vfio_container *container, struct vfake_device_view *view)
{
	if (container->driver == &vfio_type1_driver) {
		const struct type1 *type1 = container->iommu;

		view->manager = VFAKE_MANAGER_TYPE1;
		view->mappings = vfake_iova_map_count(&type1->dmas);
		view->dirty_tracking = type1->dirty_tracking;
	} else if (container->driver == &vfio_spapr_driver) {
		view->manager = VFAKE_MANAGER_SPAPR;
		view->mappings = count_tces(container->iommu);
	} else if (container->driver == &vfio_noiommu_driver) {
		view->manager = VFAKE_MANAGER_NOIOMMU;
	}
}

static void view_page_table(const struct vfake_domain *domain, struct vfake_device_view *view)
{
	const struct iommufd_hwpt *hwpt =
		(const void *)((const char *)domain - offsetof(struct iommufd_hwpt, domain));

	view->manager = VFAKE_MANAGER_IOMMUFD;
	view->mappings = vfake_iova_map_count(&hwpt->ioas->iopt.areas);
	view->dirty_tracking = hwpt->dirty_tracking;
}

int vfake_view_device(const struct vfake_kernel *kernel, const char *name,
		      struct vfake_device_view *view)
{
	const struct vfio_device *device = view_find_device(kernel, name);
	const struct vfio_group *group;

	if (!device)
		return -ENOENT;
	group = device->group;
	*view = (struct vfake_device_view){
		.open_count = device->open_count,
		.cdev_opened = device->cdev_opened,
		.group_opened = group->opened_file,
		.in_container = vfio_group_has_iommu(group),
		.translated = group->domain,
	};
	if (group->container)
		view_container(group->container, view);
	else if (group->domain)
		view_page_table(group->domain, view);
	return 0;
}

bool vfake_view_same_domain(const struct vfake_kernel *kernel, const char *a, const char *b)
{
	const struct vfio_device *first = view_find_device(kernel, a);
	const struct vfio_device *second = view_find_device(kernel, b);

	return first && second && first->group->domain &&
	       first->group->domain == second->group->domain;
}

vfake_addr view_address_of(const struct vfake_mm *mm, const struct vfake_translation *at,
			   uint64_t *len)
{
	for (size_t i = 0; i < mm->area_count; i++) {
		const struct vfake_area *area = &mm->areas[i];
		uint64_t size = area->last - area->start + 1;

		if (area->mem != at->mem || at->offset < area->offset ||
		    at->offset - area->offset >= size)
			continue;
		size -= at->offset - area->offset;
		if (*len > size)
			*len = size;
		return area->start + (at->offset - area->offset);
	}
	return 0;
}

int vfake_view_translate(const struct vfake_kernel *kernel, const char *name,
			 const struct vfake_task *task, uint64_t iova,
			 struct vfake_target_view *target)
{
	const struct vfio_device *device = view_find_device(kernel, name);
	struct vfake_translation at = { 0 };
	/* Up to the end of the space; from 0 on that is one byte more than a length can say. */
	uint64_t rest = iova ? -iova : UINT64_MAX;
	struct vfake_domain *domain;

	if (!device)
		return -ENOENT;
	domain = device->group->domain;
	if (!domain || domain->ops->translate(domain, iova, rest, &at) || !at.len)
		return -EFAULT;
	*target = (struct vfake_target_view){
		.len = at.len,
		.readable = at.prot & VFAKE_IOMMU_READ,
		.writable = at.prot & VFAKE_IOMMU_WRITE,
	};
	target->vaddr = view_address_of(task->mm, &at, &target->len);
	return 0;
}

int vfake_view_file(const struct vfake_task *task, int fd, struct vfake_file_view *view)
{
	struct vfake_file *file = vfake_fd_file(task, fd);
	const struct vfio_group *group;

	if (!file)
		return -EBADF;
	*view = (struct vfake_file_view){
		.kind = file->ops->name,
		.references = file->refs,
		.id = file,
		.object = file->data,
	};
	group = vfio_group_from_file(file);
	if (!group)
		return 0;
	view->in_container = vfio_group_has_iommu(group);
	view->devices = group->container_users;
	return 0;
}
