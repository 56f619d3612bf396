/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model of the sPAPR driver's calls: windows, registered memory, TCEs as ranges.
 *
 * Version 1 pins a page for each TCE and is charged for its window when it is turned on. Version 2
 * is charged for registered memory and for tables, and counts the TCEs of each region. How much a
 * table costs is taken from the kernel; that the same comes back is checked.
 */
#include <string.h>

#include <uapi/vfio.h>
#include <uapi/vfio_iommu.h>
#include <vfake/spapr.h>

#include "model_internal.h"

/* ---- registered memory ---- */

static int find_region(const struct model *m, int task, uint64_t addr, uint64_t size)
{
	for (size_t i = 0; i < m->regions_count; i++) {
		const struct model_region *region = &m->regions[i];

		if (region->task == task && region->vaddr <= addr &&
		    addr - region->vaddr < region->size &&
		    region->size - (addr - region->vaddr) >= size)
			return (int)i;
	}
	return -1;
}

static void free_region(struct model *m, int at)
{
	uint64_t pages = m->regions[at].size >> m->page_shift;

	m->pinned -= pages;
	m->tasks[m->regions[at].task].locked -= pages;
	m->regions[at].task = -1;
}

static int new_region(struct model *m, int task, uint64_t addr, uint64_t size)
{
	size_t at = 0;

	while (at < m->regions_count && m->regions[at].task >= 0)
		at++;
	if (at == m->regions_count) {
		if (!model_room(m, &m->regions, &m->regions_space, at, sizeof(*m->regions)))
			return -1;
		m->regions_count++;
	}
	m->regions[at] = (struct model_region){ .task = task, .vaddr = addr, .size = size };
	m->pinned += size >> m->page_shift;
	m->tasks[task].locked += size >> m->page_shift;
	return (int)at;
}

static size_t find_registration(const struct model *m, int container, int region)
{
	size_t at = 0;

	while (at < m->registrations_count && (m->registrations[at].container != container ||
					       m->registrations[at].region != region))
		at++;
	return at;
}

static bool is_exactly(const struct model *m, int region, uint64_t addr, uint64_t size)
{
	return region >= 0 && m->regions[region].vaddr == addr && m->regions[region].size == size;
}

static void register_memory(struct model *m, int task, int container)
{
	const struct vfio_iommu_spapr_register_memory *in = m->event->in;
	int region = find_region(m, task, in->vaddr, in->size);
	bool known = is_exactly(m, region, in->vaddr, in->size);

	if (known && find_registration(m, container, region) < m->registrations_count) {
		model_expect(m, -EBUSY);
		return;
	}
	if (m->event->ret)
		return;
	if (!known && !m->tasks[task].attr.cap_ipc_lock &&
	    m->tasks[task].locked + (in->size >> m->page_shift) > model_limit(m, task))
		model_says(m, "it locks more pages than RLIMIT_MEMLOCK leaves");
	if (!known)
		region = new_region(m, task, in->vaddr, in->size);
	if (region < 0 || !model_room(m, &m->registrations, &m->registrations_space,
				      m->registrations_count, sizeof(*m->registrations)))
		return;
	m->regions[region].used++;
	m->registrations[m->registrations_count++] =
		(struct model_registration){ container, region };
	m->containers[container].enabled = true;
}

static void drop_registration(struct model *m, size_t at)
{
	m->registrations[at] = m->registrations[--m->registrations_count];
}

/* A region that TCEs point to stays, with nobody to take it back. */
static void unregister_memory(struct model *m, int task, int container)
{
	const struct vfio_iommu_spapr_register_memory *in = m->event->in;
	int region = find_region(m, task, in->vaddr, in->size);
	size_t at = find_registration(m, container, region);

	if ((in->vaddr | in->size) & (m->page - 1)) {
		model_expect(m, -EINVAL);
		return;
	}
	if (!is_exactly(m, region, in->vaddr, in->size) || at == m->registrations_count) {
		model_expect(m, -ENOENT);
		return;
	}
	if (!model_expect(m, 0))
		return;
	drop_registration(m, at);
	if (m->regions[region].used == 1 && m->regions[region].tces)
		return;
	if (!--m->regions[region].used)
		free_region(m, region);
}

/* ---- TCEs ---- */

static struct model_window *window_of(struct model_container *container, uint64_t iova)
{
	for (int i = 0; i < 2; i++) {
		struct model_window *window = &container->windows[i];

		if (window->live && iova >= window->start && iova <= window->last)
			return window;
	}
	return NULL;
}

/* TCEs that came or went: pages of version 1, or counts of regions. */
static void count_tces(struct model *m, struct model_container *container,
		       const struct model_mapping *range, bool came)
{
	const struct model_window *window = window_of(container, range->iova);
	uint64_t page, count;
	int region = -1;

	if (!window)
		return;
	page = (uint64_t)1 << window->page_shift;
	count = (range->last - range->iova + 1) >> window->page_shift;
	if (container->version == 1) {
		m->pinned += came ? count : -count;
		return;
	}
	for (uint64_t i = 0; i < count; i++) {
		uint64_t addr = range->vaddr + i * page;

		if (region < 0 || addr - m->regions[region].vaddr > m->regions[region].size - page)
			region = find_region(m, container->owner, addr, page);
		if (region >= 0)
			m->regions[region].tces += came ? 1 : (uint64_t)-1;
	}
}

static void add_range(struct model *m, struct model_container *container, uint64_t iova,
		      uint64_t last, uint64_t vaddr, uint8_t rights)
{
	struct model_mapping range = { .iova = iova,
				       .last = last,
				       .vaddr = vaddr,
				       .task = container->owner,
				       .rights = rights,
				       .pinned = true,
				       .pages = MODEL_TCES };

	count_tces(m, container, &range, true);
	model_insert(m, container->space, &range);
}

/* Clears what lies in [iova, last]; ranges that stick out keep their ends. */
static void clear_range(struct model *m, struct model_container *container, uint64_t iova,
			uint64_t last)
{
	struct model_space *space = &m->spaces[container->space];
	size_t at = model_find(space, iova);

	while (!m->stopped && at < space->count && space->mappings[at].iova <= last) {
		struct model_mapping old = space->mappings[at];

		count_tces(m, container, &old, false);
		model_remove(m, container->space, at);
		if (old.iova < iova) {
			add_range(m, container, old.iova, iova - 1, old.vaddr, old.rights);
			at++;
		}
		if (old.last > last)
			add_range(m, container, last + 1, old.last,
				  old.vaddr + (last + 1 - old.iova), old.rights);
	}
}

/* A map that failed at some page has cleared those before it: the kernel says how many. */
static void map_failed(struct model *m, struct model_container *container, uint64_t iova,
		       uint64_t last)
{
	struct vfake_space_at at = { .kernel = m->kernel,
				     .task = m->event->task,
				     .fd = m->event->fd };
	struct vfake_mapping_view view;

	if (vfake_view_mapping(&at, iova, last, &view))
		clear_range(m, container, iova, last);
	else if (view.iova > iova)
		clear_range(m, container, iova, view.iova - 1);
}

static void map_dma(struct model *m, struct model_container *container)
{
	const struct vfio_iommu_type1_dma_map *in = m->event->in;
	const struct model_window *window = window_of(container, in->iova);
	uint8_t rights;
	uint64_t page, first, last;

	if (!window || in->size < (uint64_t)1 << window->page_shift)
		return;
	page = (uint64_t)1 << window->page_shift;
	first = in->iova & ~(page - 1);
	last = first + ((in->size & ~(page - 1)) - 1);
	if (last < first || last > window->last) {
		last = window->last;
		m->unsure_tces = true; /* Linux fills entries behind the table */
	}
	rights = in->flags & VFIO_DMA_MAP_FLAG_WRITE ? MODEL_RIGHTS_READ | MODEL_RIGHTS_WRITE
						     : MODEL_RIGHTS_READ;
	model_touch(m, container->space, first, last);
	if (m->event->ret < 0)
		map_failed(m, container, first, last);
	if (m->event->ret)
		return;
	clear_range(m, container, first, last);
	add_range(m, container, first, last, in->vaddr, rights);
}

static void unmap_dma(struct model *m, struct model_container *container)
{
	const struct vfio_iommu_type1_dma_unmap *in = m->event->in;
	const struct model_window *window = window_of(container, in->iova);
	uint64_t first;

	if (m->event->ret || !window || !in->size)
		return;
	first = in->iova & ~(((uint64_t)1 << window->page_shift) - 1);
	model_touch(m, container->space, first, first + (in->size - 1));
	clear_range(m, container, first, first + (in->size - 1));
}

/* ---- windows ---- */

static void window_appeared(struct model *m, struct model_container *container,
			    struct model_window *window, const struct vfake_spapr_window *view)
{
	uint64_t bytes = view->entries * sizeof(uint64_t);

	*window = (struct model_window){ .live = true,
					 .start = view->start,
					 .page_shift = view->page_shift,
					 .charged = view->charged_bytes >> m->page_shift };
	window->last = view->start + (view->entries << view->page_shift) - 1;
	m->tasks[container->owner].locked += window->charged;
	if (view->charged_bytes < (view->levels == 1 ? bytes : 0))
		model_says(m, "a table of %llu TCEs is charged with only %llu bytes",
			   (unsigned long long)view->entries,
			   (unsigned long long)view->charged_bytes);
}

static void window_went(struct model *m, struct model_container *container,
			struct model_window *window)
{
	clear_range(m, container, window->start, window->last);
	m->tasks[container->owner].locked -= window->charged;
	window->live = false;
}

/* A window appears by the first call that needs the default one, or by a call of its own. */
static void look_at_windows(struct model *m, struct model_container *container)
{
	uint32_t request = m->event->row->number;
	bool by_call = request == VFIO_IOMMU_SPAPR_TCE_CREATE && model_done(m);
	bool by_default = container->default_pending &&
			  (request == VFIO_IOMMU_MAP_DMA || request == VFIO_IOMMU_UNMAP_DMA ||
			   request == VFIO_IOMMU_SPAPR_TCE_CREATE);
	struct vfake_task *task = (struct vfake_task *)(uintptr_t)m->event->task;

	for (int i = 0; i < 2; i++) {
		struct model_window *window = &container->windows[i];
		struct vfake_spapr_window view;

		if (window->live || vfake_spapr_window(task, m->event->fd, i, &view))
			continue;
		if (by_default)
			container->default_pending = by_default = false;
		else if (by_call)
			by_call = false;
		else
			model_says(m, "window %d appeared by itself", i);
		window_appeared(m, container, window, &view);
	}
	if (by_call && !m->stopped)
		model_says(m, "no window appeared");
}

static void remove_window(struct model *m, struct model_container *container)
{
	const struct vfio_iommu_spapr_tce_remove *in = m->event->in;
	struct model_window *window = window_of(container, in->start_addr);

	if (container->default_pending && !in->start_addr) {
		if (model_expect(m, 0))
			container->default_pending = false;
		return;
	}
	if (!window)
		model_expect(m, -EINVAL);
	else if (model_expect(m, 0))
		window_went(m, container, window);
}

/* ---- life ---- */

void model_spapr_group_leaves(struct model *m, int at)
{
	struct model_container *container = &m->containers[at];

	clear_range(m, container, 0, UINT64_MAX);
}

static void turn_off(struct model *m, struct model_container *container)
{
	if (container->enabled_pages)
		m->tasks[container->owner].locked -= container->enabled_pages;
	container->enabled_pages = 0;
	container->enabled = false;
}

void model_spapr_release(struct model *m, int at)
{
	struct model_container *container = &m->containers[at];

	for (int i = 0; i < 2; i++) {
		if (container->windows[i].live)
			window_went(m, container, &container->windows[i]);
	}
	for (size_t i = m->registrations_count; i > 0; i--) {
		int region = m->registrations[i - 1].region;

		if (m->registrations[i - 1].container != at)
			continue;
		drop_registration(m, i - 1);
		if (!--m->regions[region].used)
			free_region(m, region);
	}
	turn_off(m, container);
}

void model_spapr_forget(struct model *m, int task)
{
	for (size_t i = 0; i < m->regions_count; i++) {
		if (m->regions[i].task == task)
			free_region(m, (int)i);
	}
}

static void enable(struct model *m, int task, struct model_container *container)
{
	uint64_t pages = m->world->spapr.window_size_bytes >> m->page_shift;

	if (container->enabled) {
		model_expect(m, -EBUSY);
		return;
	}
	if (m->event->ret)
		return;
	container->enabled = true;
	container->enabled_pages = pages;
	m->tasks[task].locked += pages;
	if (!m->tasks[task].attr.cap_ipc_lock && m->tasks[task].locked > model_limit(m, task))
		model_says(m, "it locks more pages than RLIMIT_MEMLOCK leaves");
}

void model_on_spapr(struct model *m, int task, int at)
{
	struct model_container *container = &m->containers[at];

	if (container->driver != DRIVER_SPAPR) {
		model_says(m, "the container is not of sPAPR");
		return;
	}
	if (container->owner < 0 && m->event->row->number != VFIO_IOMMU_SPAPR_TCE_GET_INFO &&
	    m->event->row->number != VFIO_EEH_PE_OP && m->event->row->number != VFIO_IOMMU_DISABLE)
		container->owner = task;
	look_at_windows(m, container);
	switch (m->event->row->number) {
	case VFIO_IOMMU_ENABLE:
		enable(m, task, container);
		break;
	case VFIO_IOMMU_DISABLE:
		if (!m->event->ret)
			turn_off(m, container);
		break;
	case VFIO_IOMMU_MAP_DMA:
		map_dma(m, container);
		break;
	case VFIO_IOMMU_UNMAP_DMA:
		unmap_dma(m, container);
		break;
	case VFIO_IOMMU_SPAPR_REGISTER_MEMORY:
		register_memory(m, task, at);
		break;
	case VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY:
		unregister_memory(m, task, at);
		break;
	case VFIO_IOMMU_SPAPR_TCE_REMOVE:
		remove_window(m, container);
		break;
	default:
		break;
	}
}
