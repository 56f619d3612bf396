/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * type1: pages of mappings, who pays for them, and the domains that devices reach them through.
 *
 * Imitates the pinning and the attach and detach of groups in drivers/vfio/vfio_iommu_type1.c,
 * Linux 7.2.
 *
 * Kept: pages are pinned in order and charged before the next run is, so that whichever limit is
 * met first decides between ENOMEM and EFAULT; a page mapped twice is charged twice; a page of a
 * device's registers is not charged; the charge is on the process that mapped, moves with a VADDR
 * update, and is forgotten with a process that is gone; groups share a domain when the IOMMU can
 * enforce coherency for both or for neither; no group attaches while a vaddr is missing.
 *
 * Dropped: the domain has no page table of its own, a device's access looks its mapping up. Every
 * group of a world has one aperture and one set of reserved ranges, so a new group never conflicts
 * with mappings that are there.
 */
#include <stdlib.h>
#include <string.h>

#include "type1.h"

/* ---- pages ---- */

static struct vfake_pin *pin_at(struct type1_dma *dma, uint32_t index)
{
	return index ? &dma->more[index - 1] : &dma->pin;
}

/* Room for one more run of pages behind the first. */
static int reserve_run(struct type1_dma *dma)
{
	uint32_t used = dma->pin_count ? dma->pin_count - 1 : 0;
	struct vfake_pin *more;

	if (!dma->pin_count || (used & (used - 1)))
		return 0; /* the room is a power of two and is not used up */
	more = realloc(dma->more, (used ? 2 * used : 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	dma->more = more;
	return 0;
}

static int pin_run(struct type1_dma *dma, struct vfake_task *task, uint64_t at, uint64_t *got)
{
	int ret = reserve_run(dma);
	struct vfake_pin *pin = pin_at(dma, dma->pin_count);
	uint64_t pages;
	int64_t len;

	if (ret)
		return ret;
	len = vfake_pin(dma->mm, dma->vaddr + at, dma->size_bytes - at,
			dma->prot & VFAKE_IOMMU_WRITE, pin);
	if (len < 0)
		return (int)len;
	pages = pin->pfnmap ? 0 : (uint64_t)len >> task->kernel->page_shift;
	ret = vfake_charge_locked(dma->mm, pages, task, dma->lock_cap);
	if (ret) {
		vfake_unpin(pin);
		return ret;
	}
	dma->charged_pages += pages;
	dma->pin_count++;
	*got = (uint64_t)len;
	return 0;
}

int type1_pin(struct type1_dma *dma, struct vfake_task *task)
{
	uint64_t done = 0;

	while (done < dma->size_bytes) {
		uint64_t got = 0;
		int ret = pin_run(dma, task, done, &got);

		if (ret) {
			type1_unpin(dma);
			return ret;
		}
		done += got;
	}
	return 0;
}

void type1_unpin(struct type1_dma *dma)
{
	for (uint32_t i = 0; i < dma->pin_count; i++)
		vfake_unpin(pin_at(dma, i));
	dma->pin_count = 0;
	free(dma->more);
	dma->more = NULL;
	if (dma->charged_pages && vfake_mm_get_not_zero(dma->mm)) {
		vfake_uncharge_locked(dma->mm, dma->charged_pages);
		vfake_mm_put(dma->mm);
	}
	dma->charged_pages = 0;
}

int type1_change_owner(struct type1_dma *dma, struct vfake_task *task)
{
	bool lock_cap = task->attr.cap_ipc_lock;
	int ret;

	if (task->mm == dma->mm)
		return 0;
	ret = vfake_charge_locked(task->mm, dma->charged_pages, task, lock_cap);
	if (ret)
		return ret;
	if (vfake_mm_get_not_zero(dma->mm)) {
		vfake_uncharge_locked(dma->mm, dma->charged_pages);
		vfake_mm_put(dma->mm);
	}
	vfake_task_get(task);
	vfake_task_put(dma->task);
	dma->task = task;
	vfake_mm_grab(task->mm);
	vfake_mm_drop(dma->mm);
	dma->mm = task->mm;
	dma->lock_cap = lock_cap;
	return 0;
}

/* ---- domains ---- */

static int translate(struct vfake_domain *domain, uint64_t iova, uint64_t len,
		     struct vfake_translation *out)
{
	struct type1 *type1 = ((struct type1_domain *)domain)->type1;
	struct vfake_iova_range range;
	struct type1_dma *dma;
	uint64_t at;

	if (!vfake_iova_map_find(&type1->dmas, iova, &range))
		return -EFAULT;
	dma = type1_dma_of(&range);
	at = iova - range.start;
	for (uint32_t i = 0; i < dma->pin_count; i++) {
		const struct vfake_pin *pin = pin_at(dma, i);

		if (at >= pin->len) {
			at -= pin->len;
			continue;
		}
		out->mem = pin->mem;
		out->offset = pin->offset + at;
		out->len = pin->len - at < len ? pin->len - at : len;
		out->prot = dma->prot;
		return 0;
	}
	return -EFAULT;
}

static const struct vfake_domain_ops domain_ops = {
	.translate = translate,
};

/* The aperture less the reserved ranges, in ascending order. Reserved ranges may overlap and come
 * in any order. */
static void find_ranges(struct type1 *type1)
{
	const struct vfake_world *world = &type1->kernel->world;
	uint64_t at = world->aperture.start;
	bool left = true;

	type1->range_count = 0;
	while (left) {
		struct vfake_range free_range = { at, world->aperture.last };
		const struct vfake_range *next = NULL;

		for (uint32_t i = 0; i < world->reserved_count; i++) {
			const struct vfake_range *reserved = &world->reserved[i];

			if (reserved->last >= at && (!next || reserved->start < next->start))
				next = reserved;
		}
		if (next && next->start <= free_range.last)
			free_range.last = next->start - 1;
		if (!next || next->start > at)
			type1->ranges[type1->range_count++] = free_range;
		left = next && next->last < world->aperture.last;
		at = left ? next->last + 1 : 0;
	}
}

static void update_pgsizes(struct type1 *type1)
{
	uint64_t page = vfake_page_size(type1->kernel);
	uint64_t pgsizes = type1->kernel->world.iommu_pgsizes;

	/* Smaller pages than the CPU's are hidden: what is shown then starts with the CPU's. */
	if (pgsizes & (page - 1))
		pgsizes = (pgsizes & ~(page - 1)) | page;
	type1->pgsizes = pgsizes;
}

int type1_attach_group(void *iommu, struct vfio_group *group, struct vfake_task *task)
{
	bool coherent = vfio_group_enforces_coherency(group);
	struct type1 *type1 = iommu;
	struct type1_domain *domain;

	(void)task;
	if (type1->vaddr_invalid_count)
		return -EBUSY;
	find_ranges(type1);
	if (!type1->range_count)
		return -EINVAL;
	if (!type1->kernel->world.isolated_msi && !type1->kernel->world.unsafe_interrupts)
		return -EPERM;
	TAILQ_FOREACH(domain, &type1->domains, entry)
	{
		if (domain->domain.enforce_coherency == coherent)
			break;
	}
	if (!domain) {
		domain = vfake_alloc(type1->kernel, sizeof(*domain));
		if (!domain)
			return -ENOMEM;
		domain->domain.ops = &domain_ops;
		domain->domain.enforce_coherency = coherent;
		domain->type1 = type1;
		TAILQ_INSERT_HEAD(&type1->domains, domain, entry);
		update_pgsizes(type1);
	}
	domain->group_count++;
	group->domain = &domain->domain;
	return 0;
}

void type1_detach_group(void *iommu, struct vfio_group *group)
{
	struct type1_domain *domain = (struct type1_domain *)group->domain;
	struct type1 *type1 = iommu;

	group->domain = NULL;
	if (--domain->group_count)
		return;
	TAILQ_REMOVE(&type1->domains, domain, entry);
	vfake_free(type1->kernel, domain);
	if (TAILQ_EMPTY(&type1->domains))
		type1_unmap_all(type1);
}
