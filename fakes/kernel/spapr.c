/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sPAPR TCE container driver, versions 1 and 2.
 *
 * Imitates drivers/vfio/vfio_iommu_spapr_tce.c of Linux 7.2 on a powernv machine, and the windows
 * of arch/powerpc/platforms/powernv/pci-ioda.c.
 *
 * Kept: v1 is turned on and off and is charged for its whole window then; v2 is on from the first
 * registered memory and is charged for tables and memory. The default window comes with the first
 * map, unmap or new window, unless it was removed before. All groups of a container have the same
 * windows; v1 takes one group only, v2 takes those of one family of host bridges. The first process
 * that enables or registers owns the container, others get EPERM. A group that leaves takes all
 * mappings with it, those of the groups that stay included. MAP_DMA and UNMAP_DMA return 1 where
 * the address does not fit its window. What is checked before the argument is read is checked in
 * spapr_forbids(), in Linux's order.
 *
 * Dropped on purpose: Linux forgets to take back the charge for a table that it could not make.
 * Dropped: the kernel's own window while no program has the group; nothing here uses it.
 */
#include <uapi/vfio.h>
#include <uapi/vfio_iommu.h>

#include "spapr.h"

enum { DEFAULT_PAGE_SHIFT = 12 };

void vfake_spapr_defaults(struct vfake_spapr *spapr)
{
	*spapr = (struct vfake_spapr){
		.window_size_bytes = (uint32_t)1 << 31,
		.second_window_start = (uint64_t)1 << 59,
		.pgsizes = (uint64_t)1 << 12 | 1 << 16 | 1 << 21 | 1 << 30,
		.windows = 2,
		.levels = 5,
		.max_level_bytes = 16 * 1024 * 1024,
		.eeh = true,
	};
}

/* ---- charges and owner ---- */

static int charge(struct spapr *spapr, struct vfake_task *task, uint64_t pages)
{
	return pages ? vfake_charge_locked(spapr->mm, pages, task, task->attr.cap_ipc_lock) : 0;
}

static int set_mm(struct spapr *spapr, struct vfake_mm *mm)
{
	if (!spapr->mm) {
		spapr->mm = mm;
		vfake_mm_grab(mm);
	}
	return spapr->mm == mm ? 0 : -EPERM;
}

/* ---- windows ---- */

static int find_table(const struct spapr *spapr, uint64_t iova)
{
	for (int i = 0; i < SPAPR_WINDOWS; i++) {
		if (spapr->tables[i] && spapr_table_holds(spapr->tables[i], iova))
			return i;
	}
	return -1;
}

/* Frees what a container made; a table that a VM serves lives on with the VM. */
static void free_table(struct spapr *spapr, int number)
{
	struct spapr_table *table = spapr->tables[number];
	uint64_t pages = table->allocated_bytes >> spapr->kernel->page_shift;

	spapr->tables[number] = NULL;
	spapr_table_put(table);
	vfake_uncharge_locked(spapr->mm, pages);
}

/* Linux shifts a 1 by what the caller gave, as POWER does: seven bits of it count. */
static bool has_page_size(const struct vfake_spapr *bridges, uint32_t page_shift)
{
	page_shift &= 127;
	return page_shift < 64 && (bridges->pgsizes >> page_shift & 1);
}

static int create_table(struct spapr *spapr, struct vfake_task *task, int number,
			const struct vfio_iommu_spapr_tce_create *arg)
{
	const struct vfake_spapr *bridges = &spapr->kernel->world.spapr;
	uint64_t start = number ? bridges->second_window_start : bridges->window_start;
	uint64_t bytes =
		spapr_table_size(spapr->kernel, arg->page_shift, arg->window_size, arg->levels);
	uint64_t pages = bytes >> spapr->kernel->page_shift;
	int ret;

	if (!bytes)
		return -EINVAL;
	ret = charge(spapr, task, pages);
	if (ret)
		return ret;
	ret = spapr_table_new(spapr->kernel, start, arg->page_shift, arg->window_size, arg->levels,
			      &spapr->tables[number]);
	if (ret)
		vfake_uncharge_locked(spapr->mm, pages);
	else
		spapr->tables[number]->pins_pages = !spapr->v2;
	return ret;
}

static int create_window(struct spapr *spapr, struct vfake_task *task,
			 const struct vfio_iommu_spapr_tce_create *arg, uint64_t *start)
{
	struct spapr_table *table;
	struct spapr_group *group;
	int number = 0;
	int ret;

	while (number < SPAPR_WINDOWS && spapr->tables[number])
		number++;
	if (number == SPAPR_WINDOWS)
		return -ENOSPC;
	if (!has_page_size(&spapr->kernel->world.spapr, arg->page_shift))
		return -EINVAL;
	ret = create_table(spapr, task, number, arg);
	if (ret)
		return ret;
	ret = vfake_fault(spapr->kernel, VFAKE_FAULT_COMMIT);
	if (ret) {
		free_table(spapr, number);
		return ret;
	}
	table = spapr->tables[number];
	TAILQ_FOREACH(group, &spapr->groups, entry)
	spapr_set_window(group, number, table);
	*start = table->offset << table->page_shift;
	return 0;
}

static int create_default_window(struct spapr *spapr, struct vfake_task *task)
{
	const struct vfio_iommu_spapr_tce_create arg = {
		.page_shift = DEFAULT_PAGE_SHIFT,
		.window_size = spapr->kernel->world.spapr.window_size_bytes,
		.levels = 1,
	};
	uint64_t start;
	int ret;

	if (!spapr->default_window_pending)
		return 0;
	ret = create_window(spapr, task, &arg, &start);
	if (!ret)
		spapr->default_window_pending = false;
	return ret;
}

/* ---- ioctls: information, v1's switch ---- */

static long get_info(struct vfake_call *call)
{
	const struct vfake_spapr *bridges = &call->kernel->world.spapr;
	const struct spapr *spapr = vfio_call_iommu(call);
	struct vfio_iommu_spapr_tce_info *info = call->arg;

	info->flags = 0;
	info->dma32_window_start = bridges->window_start;
	info->dma32_window_size = bridges->window_size_bytes;
	if (bridges->windows && spapr->v2)
		info->flags |= VFIO_IOMMU_SPAPR_INFO_DDW;
	if (call->size_bytes < sizeof(*info)) /* all of the last part or nothing of it */
		return 0;
	info->ddw = (struct vfio_iommu_spapr_tce_ddw_info){ 0 };
	if (info->flags & VFIO_IOMMU_SPAPR_INFO_DDW) {
		info->ddw.pgsizes = bridges->pgsizes;
		info->ddw.max_dynamic_windows_supported = bridges->windows;
		info->ddw.levels = bridges->levels;
	}
	return 0;
}

static long enable(struct vfake_call *call)
{
	uint64_t window = call->kernel->world.spapr.window_size_bytes;
	struct spapr *spapr = vfio_call_iommu(call);
	int ret;

	if (spapr->enabled)
		return -EBUSY;
	if (!window)
		return -EPERM;
	ret = set_mm(spapr, call->task->mm);
	if (ret)
		return ret;
	ret = charge(spapr, call->task, window >> call->kernel->page_shift);
	if (ret)
		return ret;
	spapr->locked_pages = window >> call->kernel->page_shift;
	spapr->enabled = true;
	return 0;
}

static void turn_off(struct spapr *spapr)
{
	if (!spapr->enabled)
		return;
	spapr->enabled = false;
	vfake_uncharge_locked(spapr->mm, spapr->locked_pages);
}

static long disable(struct vfake_call *call)
{
	turn_off(vfio_call_iommu(call));
	return 0;
}

/* ---- ioctls: mappings ---- */

static uint32_t permissions_of(uint32_t flags)
{
	return (flags & VFIO_DMA_MAP_FLAG_READ ? SPAPR_TCE_READ : 0u) |
	       (flags & VFIO_DMA_MAP_FLAG_WRITE ? SPAPR_TCE_WRITE : 0u);
}

static long map_dma(struct vfake_call *call)
{
	const struct vfio_iommu_type1_dma_map *arg = call->arg;
	struct spapr *spapr = vfio_call_iommu(call);
	int ret = create_default_window(spapr, call->task);
	int number = find_table(spapr, arg->iova);
	struct spapr_table *table;

	if (ret)
		return ret;
	if (number < 0)
		return -ENXIO;
	table = spapr->tables[number];
	if ((arg->size | arg->vaddr) & (spapr_table_page(table) - 1))
		return -EINVAL;
	if (!permissions_of(arg->flags))
		return -EINVAL;
	/* One page, whatever the size; and the result is that of a comparison. Both are Linux's. */
	if (spapr_check_ioba(table->page_shift, table->offset, table->size, arg->iova, 1))
		return 1;
	return spapr_map(spapr, call->task, table, arg->iova >> table->page_shift, arg->vaddr,
			 arg->size >> table->page_shift, permissions_of(arg->flags));
}

static long unmap_dma(struct vfake_call *call)
{
	const struct vfio_iommu_type1_dma_unmap *arg = call->arg;
	struct spapr *spapr = vfio_call_iommu(call);
	int ret = create_default_window(spapr, call->task);
	int number = find_table(spapr, arg->iova);
	struct spapr_table *table;
	uint64_t pages;

	call->silent = true; /* unlike type1's it says nothing back */
	if (ret)
		return ret;
	if (number < 0)
		return -ENXIO;
	table = spapr->tables[number];
	if (arg->size & (spapr_table_page(table) - 1))
		return -EINVAL;
	pages = arg->size >> table->page_shift;
	if (spapr_check_ioba(table->page_shift, table->offset, table->size, arg->iova, pages))
		return 1;
	spapr_unmap(spapr, table, arg->iova >> table->page_shift, pages);
	return 0;
}

/* ---- ioctls: registered memory ---- */

static struct spapr_registration *find_registration(struct spapr *spapr,
						    const struct spapr_region *region)
{
	struct spapr_registration *at;

	TAILQ_FOREACH(at, &spapr->registrations, entry)
	{
		if (at->region == region)
			break;
	}
	return at;
}

static bool is_page_aligned(const struct vfake_kernel *kernel, uint64_t value)
{
	return !(value & (vfake_page_size(kernel) - 1));
}

static long register_memory(struct vfake_call *call)
{
	const struct vfio_iommu_spapr_register_memory *arg = call->arg;
	struct spapr *spapr = vfio_call_iommu(call);
	struct spapr_registration *registration;
	struct spapr_region *region;
	long ret;

	if (!is_page_aligned(call->kernel, arg->vaddr | arg->size) ||
	    arg->vaddr + arg->size < arg->vaddr)
		return -EINVAL;
	region = spapr_region_get(spapr->mm, arg->vaddr, arg->size);
	if (region && find_registration(spapr, region)) {
		spapr_region_put(spapr->mm, region);
		return -EBUSY;
	}
	if (!region) {
		ret = spapr_region_new(spapr->mm, call->task, arg->vaddr, arg->size, &region);
		if (ret)
			return ret;
	}
	registration = vfake_alloc(call->kernel, sizeof(*registration));
	ret = registration ? vfake_fault(call->kernel, VFAKE_FAULT_COMMIT) : -ENOMEM;
	if (ret) {
		vfake_free(call->kernel, registration);
		spapr_region_put(spapr->mm, region);
		return ret;
	}
	registration->region = region;
	TAILQ_INSERT_HEAD(&spapr->registrations, registration, entry);
	spapr->enabled = true;
	return 0;
}

/*
 * Linux looks the region up, which is one use more; lets the container's use go, which so cannot be
 * the last; then lets the look-up's go and ignores that TCEs may keep it.
 */
static long unregister_memory(struct vfake_call *call)
{
	const struct vfio_iommu_spapr_register_memory *arg = call->arg;
	struct spapr *spapr = vfio_call_iommu(call);
	struct spapr_registration *registration;
	struct spapr_region *region;
	long ret = -ENOENT;

	if (!is_page_aligned(call->kernel, arg->vaddr | arg->size))
		return -EINVAL;
	region = spapr_region_get(spapr->mm, arg->vaddr, arg->size);
	if (!region)
		return -ENOENT;
	registration = find_registration(spapr, region);
	if (registration) {
		ret = spapr_region_put(spapr->mm, region);
		TAILQ_REMOVE(&spapr->registrations, registration, entry);
		vfake_free(call->kernel, registration);
	}
	spapr_region_put(spapr->mm, region);
	return ret;
}

/* ---- ioctls: windows, EEH ---- */

static long tce_create(struct vfake_call *call)
{
	struct vfio_iommu_spapr_tce_create *arg = call->arg;
	struct spapr *spapr = vfio_call_iommu(call);
	int ret = create_default_window(spapr, call->task);

	if (ret)
		return ret;
	return create_window(spapr, call->task, arg, &arg->start_addr);
}

/* Any address in a window names it. */
static long tce_remove(struct vfake_call *call)
{
	const struct vfio_iommu_spapr_tce_remove *arg = call->arg;
	struct spapr *spapr = vfio_call_iommu(call);
	struct spapr_group *group;
	int number;

	if (spapr->default_window_pending && !arg->start_addr) {
		spapr->default_window_pending = false;
		return 0;
	}
	number = find_table(spapr, arg->start_addr);
	if (number < 0)
		return -EINVAL;
	spapr_unmap(spapr, spapr->tables[number], spapr->tables[number]->offset,
		    spapr->tables[number]->size);
	TAILQ_FOREACH(group, &spapr->groups, entry)
	spapr_unset_window(group, number);
	free_table(spapr, number);
	return 0;
}

static long eeh_pe_op(struct vfake_call *call)
{
	struct spapr *spapr = vfio_call_iommu(call);
	struct spapr_group *group;
	long ret = 0;

	TAILQ_FOREACH(group, &spapr->groups, entry)
	{
		ret = spapr_eeh(group, call->arg, call->size_bytes);
		if (ret)
			break;
	}
	return ret;
}

const vfake_handler vfake_spapr_handlers[VFAKE_HANDLERS] = {
	[VFIO_IOMMU_SPAPR_TCE_GET_INFO & 0xff] = get_info,
	[VFIO_IOMMU_MAP_DMA & 0xff] = map_dma,
	[VFIO_IOMMU_UNMAP_DMA & 0xff] = unmap_dma,
	[VFIO_IOMMU_ENABLE & 0xff] = enable,
	[VFIO_IOMMU_DISABLE & 0xff] = disable,
	[VFIO_IOMMU_SPAPR_REGISTER_MEMORY & 0xff] = register_memory,
	[VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY & 0xff] = unregister_memory,
	[VFIO_IOMMU_SPAPR_TCE_CREATE & 0xff] = tce_create,
	[VFIO_IOMMU_SPAPR_TCE_REMOVE & 0xff] = tce_remove,
	[VFIO_EEH_PE_OP & 0xff] = eeh_pe_op,
};

/* ---- the driver ---- */

static long spapr_check_extension(struct vfake_kernel *kernel, void *iommu, uint64_t extension)
{
	(void)iommu;
	switch (extension) {
	case VFIO_SPAPR_TCE_IOMMU:
	case VFIO_SPAPR_TCE_v2_IOMMU:
		return 1;
	case VFIO_EEH:
		return kernel->world.spapr.eeh;
	default:
		return 0;
	}
}

/* What Linux decides before it reads the argument. Some calls make their process the owner even if
 * they fail. */
static long spapr_forbids(void *iommu, uint32_t number)
{
	struct spapr *spapr = iommu;
	struct vfake_mm *mm = spapr->kernel->current->mm;

	if (spapr->mm && spapr->mm != mm)
		return -EPERM;
	switch (number) {
	case VFIO_IOMMU_MAP_DMA:
	case VFIO_IOMMU_UNMAP_DMA:
		return spapr->enabled ? 0 : -EPERM;
	case VFIO_IOMMU_ENABLE:
	case VFIO_IOMMU_DISABLE:
		return spapr->v2 ? -ENOTTY : 0;
	case VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY:
		if (!spapr->v2)
			return -ENOTTY;
		return spapr->mm ? 0 : -EPERM;
	case VFIO_EEH_PE_OP:
		return spapr->kernel->world.spapr.eeh ? 0 : -ENODEV;
	case VFIO_IOMMU_SPAPR_REGISTER_MEMORY:
	case VFIO_IOMMU_SPAPR_TCE_CREATE:
	case VFIO_IOMMU_SPAPR_TCE_REMOVE:
		return spapr->v2 ? set_mm(spapr, mm) : -ENOTTY;
	default:
		return 0;
	}
}

static int spapr_open(struct vfake_task *task, uint64_t type, void **iommu)
{
	struct spapr *spapr;

	if (type != VFIO_SPAPR_TCE_IOMMU && type != VFIO_SPAPR_TCE_v2_IOMMU)
		return -EINVAL;
	spapr = vfake_alloc(task->kernel, sizeof(*spapr));
	if (!spapr)
		return -ENOMEM;
	spapr->kernel = task->kernel;
	spapr->v2 = type == VFIO_SPAPR_TCE_v2_IOMMU;
	TAILQ_INIT(&spapr->groups);
	TAILQ_INIT(&spapr->registrations);
	*iommu = spapr;
	return 0;
}

/* The last group left before, so no window is in use by hardware. */
static void spapr_release(void *iommu)
{
	struct spapr *spapr = iommu;
	struct spapr_registration *registration;

	for (int i = 0; i < SPAPR_WINDOWS; i++) {
		if (spapr->tables[i])
			free_table(spapr, i);
	}
	while ((registration = TAILQ_FIRST(&spapr->registrations))) {
		TAILQ_REMOVE(&spapr->registrations, registration, entry);
		spapr_region_abandon(spapr->mm, registration->region);
		vfake_free(spapr->kernel, registration);
	}
	turn_off(spapr);
	if (spapr->mm)
		vfake_mm_drop(spapr->mm);
	vfake_free(spapr->kernel, spapr);
}

const struct vfio_iommu_driver vfio_spapr_driver = {
	.name = "iommu-vfio-powerpc",
	.where = UAPI_ON_SPAPR,
	.check_extension = spapr_check_extension,
	.open = spapr_open,
	.release = spapr_release,
	.forbids = spapr_forbids,
	.attach_group = spapr_attach_group,
	.detach_group = spapr_detach_group,
};
