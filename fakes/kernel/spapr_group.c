/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Groups in an sPAPR container, the windows that their devices translate by, and a look at them.
 *
 * Imitates tce_iommu_attach_group() and tce_iommu_detach_group() of
 * drivers/vfio/vfio_iommu_spapr_tce.c, Linux 7.2, and the bridge's side of a window,
 * pnv_pci_ioda2_set_window() and its opposite, in arch/powerpc/platforms/powernv/pci-ioda.c.
 *
 * Kept: a device's access reads the TCE that the calls wrote, permission bits included; a group
 * that comes gets the container's windows, one that leaves takes all mappings with it.
 *
 * Dropped: firmware that refuses a window; it takes every table that Linux can make.
 */
#include <endian.h>
#include <string.h>
#include <vfake/spapr.h>

#include "spapr.h"

/* ---- windows ---- */

void spapr_set_window(struct spapr_group *group, int number, struct spapr_table *table)
{
	spapr_table_get(table);
	group->tables[number] = table;
}

void spapr_unset_window(struct spapr_group *group, int number)
{
	struct spapr_table *table = group->tables[number];

	group->tables[number] = NULL;
	if (table)
		spapr_table_put(table);
}

/* ---- DMA ---- */

/* The device's access goes through the same entries that the calls above fill. */
static int translate(struct vfake_domain *domain, uint64_t iova, uint64_t len,
		     struct vfake_translation *out)
{
	struct spapr_group *group =
		(struct spapr_group *)((char *)domain - offsetof(struct spapr_group, domain));
	struct vfake_kernel *kernel = group->group->kernel;
	uint64_t entry = 0, offset, left;

	if (group->frozen & SPAPR_FROZEN_DMA)
		return -EFAULT;
	for (int i = 0; i < SPAPR_WINDOWS; i++) {
		struct spapr_table *table = group->tables[i];

		if (!table || !spapr_table_holds(table, iova))
			continue;
		if (!spapr_table_read(table, iova, &entry))
			return -EFAULT;
		entry = be64toh(entry);
		offset = iova & (spapr_table_page(table) - 1);
		left = spapr_table_page(table) - offset;
		out->prot = (entry & SPAPR_TCE_READ ? VFAKE_IOMMU_READ : 0) |
			    (entry & SPAPR_TCE_WRITE ? VFAKE_IOMMU_WRITE : 0);
		if (!out->prot)
			return -EFAULT;
		entry = (entry & ~(uint64_t)SPAPR_TCE_PERMISSIONS) + offset;
		out->mem = spapr_frames_find(kernel, entry, &out->offset);
		out->len = len < left ? len : left;
		return out->mem ? 0 : -EFAULT;
	}
	return -EFAULT;
}

static const struct vfake_domain_ops spapr_domain_ops = { .translate = translate };

/* ---- attach and detach ---- */

/* Groups of one container are behind host bridges of one family. */
static uint32_t family_of(const struct vfio_group *group)
{
	const struct vfio_device *device;

	LIST_FOREACH(device, &group->kernel->devices, entry)
	{
		if (device->group == group)
			return device->desc->tce_family;
	}
	return 0;
}

static int may_attach(const struct spapr *spapr, const struct vfio_group *group)
{
	const struct spapr_group *at;

	if (spapr->v2 && !spapr->kernel->world.spapr.windows)
		return -EINVAL;
	if (!spapr->v2 && !TAILQ_EMPTY(&spapr->groups))
		return -EBUSY;
	TAILQ_FOREACH(at, &spapr->groups, entry)
	{
		if (family_of(at->group) != family_of(group))
			return -EPERM;
	}
	return 0;
}

int spapr_attach_group(void *iommu, struct vfio_group *group, struct vfake_task *task)
{
	struct spapr *spapr = iommu;
	int ret = may_attach(spapr, group);
	struct spapr_group *entry;

	(void)task;
	if (ret)
		return ret;
	entry = vfake_alloc(spapr->kernel, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	for (int i = 0; i < SPAPR_WINDOWS; i++) {
		if (spapr->tables[i])
			spapr_set_window(entry, i, spapr->tables[i]);
	}
	if (TAILQ_EMPTY(&spapr->groups) && !spapr->tables[0])
		spapr->default_window_pending = true;
	entry->domain.ops = &spapr_domain_ops;
	entry->group = group;
	group->domain = &entry->domain;
	TAILQ_INSERT_HEAD(&spapr->groups, entry, entry);
	return 0;
}

void spapr_detach_group(void *iommu, struct vfio_group *group)
{
	struct spapr *spapr = iommu;
	struct spapr_group *entry;

	TAILQ_FOREACH(entry, &spapr->groups, entry)
	{
		if (entry->group == group)
			break;
	}
	if (vfake_warn_on(spapr->kernel, !entry))
		return;
	TAILQ_REMOVE(&spapr->groups, entry, entry);
	for (int i = 0; i < SPAPR_WINDOWS; i++) {
		if (!spapr->tables[i])
			continue;
		spapr_unmap(spapr, spapr->tables[i], spapr->tables[i]->offset,
			    spapr->tables[i]->size);
		spapr_unset_window(entry, i);
	}
	group->domain = NULL;
	vfake_free(spapr->kernel, entry);
}

struct spapr_group *spapr_group_of(const struct vfio_group *group)
{
	const struct vfio_container *container = group->container;
	struct spapr_group *entry = NULL;

	if (!container || container->driver != &vfio_spapr_driver)
		return NULL;
	TAILQ_FOREACH(entry, &((struct spapr *)container->iommu)->groups, entry)
	{
		if (entry->group == group)
			break;
	}
	return entry;
}

/* ---- inspection ---- */

static struct spapr *spapr_of(const struct vfake_task *task, int fd, int *error)
{
	struct vfake_file *file = vfake_fd_file(task, fd);
	const struct vfio_container *container = file ? vfio_container_from_file(file) : NULL;

	*error = file ? -EINVAL : -EBADF;
	if (!container || container->driver != &vfio_spapr_driver)
		return NULL;
	return container->iommu;
}

int vfake_spapr_window(struct vfake_task *task, int container_fd, int number,
		       struct vfake_spapr_window *window)
{
	int ret;
	const struct spapr *spapr = spapr_of(task, container_fd, &ret);
	const struct spapr_table *table;

	if (!spapr)
		return ret;
	table = number >= 0 && number < SPAPR_WINDOWS ? spapr->tables[number] : NULL;
	if (!table)
		return -ENOENT;
	*window = (struct vfake_spapr_window){
		.start = table->offset << table->page_shift,
		.page_shift = table->page_shift,
		.entries = table->size,
		.levels = table->levels,
		.entries_per_level = (uint64_t)1 << table->level_bits,
		.levels_present = table->hw.count,
		.charged_bytes = table->allocated_bytes,
	};
	return 0;
}

int vfake_spapr_tce(struct vfake_task *task, int container_fd, uint64_t iova, void *tce)
{
	int ret;
	const struct spapr *spapr = spapr_of(task, container_fd, &ret);
	uint64_t entry;

	if (!spapr)
		return ret;
	for (int i = 0; i < SPAPR_WINDOWS; i++) {
		struct spapr_table *table = spapr->tables[i];

		if (!table || !spapr_table_holds(table, iova))
			continue;
		if (!spapr_table_read(table, iova, &entry))
			return -ENODATA;
		memcpy(tce, &entry, sizeof(entry));
		return 0;
	}
	return -ENOENT;
}

int vfake_spapr_region(struct vfake_task *task, uint32_t index, struct vfake_spapr_region *view)
{
	const struct spapr_region *region = task->mm->spapr_regions;

	while (region && index--)
		region = region->next;
	if (!region)
		return -ENOENT;
	*view = (struct vfake_spapr_region){
		.vaddr = region->user_addr,
		.size_bytes = region->size_bytes,
		.registrations = region->used,
		.tces = region->mapped - 1,
	};
	return 0;
}
