/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA windows of an sPAPR TCE container.
 *
 * Version 1 has the default window and nothing else. In version 2 each section gets a window that
 * covers it, or uses one that is there and does. The kernel alone decides where a window begins, so
 * one that does not cover its section goes again. A vIOMMU's window has the largest page that
 * divides its own; RAM has the smallest page, to which its sections are cut, and a window that
 * reaches from where the kernel begins, so that more RAM finds room in it.
 *
 * The list of windows is what the kernel has: one that it would not remove stays, is used again
 * where it covers a section, and is removed where it is in the way.
 */
#include <uapi/vfio.h>

#include "spapr.h"

/* Memory of POWER hosts has pages of 64 KiB; of larger ones nothing is known here. */
static const uint64_t pages_known = 0x1ffff;

/* ---- the list ---- */

static bool overlap(const struct spapr_window *window, uint64_t start, uint64_t last)
{
	return window->start <= last && start <= window->last;
}

static bool covers(const struct spapr_window *window, uint64_t start, uint64_t last)
{
	return window->start <= start && last <= window->last;
}

struct spapr_window *spapr_window_next(struct spapr *spapr, const struct spapr_window *window)
{
	uint32_t i = window ? (uint32_t)(window - spapr->windows) + 1 : 0;

	for (; i < VFIO_RANGES_MAX; i++) {
		if (spapr->windows[i].there)
			return &spapr->windows[i];
	}
	return NULL;
}

struct spapr_window *spapr_window_find(struct spapr *spapr, uint64_t start, uint64_t last)
{
	struct spapr_window *window = NULL;

	while ((window = spapr_window_next(spapr, window))) {
		if (covers(window, start, last))
			break;
	}
	return window;
}

static void publish(struct vfio_container *container)
{
	const struct spapr_window *window = NULL;

	container->range_count = 0;
	while ((window = spapr_window_next(container->state, window)))
		container->ranges[container->range_count++] =
			(struct vfio_range){ window->start, window->last };
}

static bool is_used(const struct spapr *spapr, const struct spapr_window *window)
{
	const struct spapr_user *user;

	LIST_FOREACH(user, &spapr->users, entry)
	{
		if (user->window == window)
			return true;
	}
	return window->fixed;
}

static struct spapr_window *free_slot(struct vfio_container *container)
{
	struct spapr *spapr = container->state;
	struct spapr_window *window = spapr->windows;

	if (container->range_count == VFIO_RANGES_MAX)
		return NULL;
	while (window->there)
		window++;
	return window;
}

/* ---- windows come and go ---- */

void spapr_window_fixed(struct vfio_container *container)
{
	struct spapr *spapr = container->state;

	if (spapr->default_size) {
		spapr->windows[0] = (struct spapr_window){
			.there = true,
			.fixed = true,
			.page_shift = 12,
			.start = spapr->default_start,
			.last = spapr->default_start + (spapr->default_size - 1),
		};
	}
	publish(container);
}

int spapr_window_remove(struct vfio_container *container, uint64_t start)
{
	struct vfio_iommu_spapr_tce_remove arg = { .argsz = sizeof(arg), .start_addr = start };

	return vfio_file_ioctl(container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &arg);
}

static void drop(struct vfio_container *container, struct spapr_window *window)
{
	int ret = spapr_window_remove(container, window->start);

	if (ret)
		vfio_warn(container->vfio, ret, "the DMA window at 0x%llx stays",
			  (unsigned long long)window->start);
	else
		window->there = false;
	publish(container);
}

/* More levels make each of them smaller: a table that is too large for one piece may do in two. */
static int create(struct vfio_container *container, struct spapr_window *window, uint64_t size)
{
	struct spapr *spapr = container->state;
	int ret, first = -ENOTSUP;
	uint32_t levels = 1;

	for (; levels <= spapr->levels; levels++) {
		struct vfio_iommu_spapr_tce_create arg = { .argsz = sizeof(arg),
							   .page_shift = window->page_shift,
							   .window_size = size,
							   .levels = levels };

		ret = vfio_file_ioctl(container, VFIO_IOMMU_SPAPR_TCE_CREATE, &arg);
		window->start = arg.start_addr;
		if (levels == 1 || !ret)
			first = ret;
		if (ret != -ENOMEM)
			break;
	}
	if (first)
		return first;
	if (levels > 1)
		vfio_warn(container->vfio, 0, "a DMA window has a table of %u levels", levels);
	window->last = window->start + (size - 1);
	window->there = true;
	publish(container);
	return 0;
}

/* ---- what a section needs ---- */

struct need {
	const struct vfio_memory_section *section;
	uint64_t page; /* at most */
	uint64_t size; /* of a new window */
};

/* The power of two that is not below @last - @start + 1, or 0. */
static uint64_t round_up(uint64_t start, uint64_t last)
{
	uint64_t size = 1;

	while (size - 1 < last - start)
		size <<= 1;
	return size;
}

/* The largest of the kernel's TCE pages that is above neither @limit nor the host's, or 0. */
static uint64_t page_below(const struct vfio_container *container, uint64_t limit)
{
	uint64_t fit = container->pgsizes & pages_known & (limit | (limit - 1));

	return fit ? (uint64_t)1 << (63 - __builtin_clzll(fit)) : 0;
}

static struct need need_of(struct vfio_container *container,
			   const struct vfio_memory_section *section)
{
	const struct vfio_memory_region *region = section->region;
	struct spapr *spapr = container->state;
	struct need need = { .section = section };
	uint64_t start = section->start;

	if (region->kind == VFIO_MEMORY_IOMMU) {
		need.page = page_below(container, region->iommu_pgsizes & -region->iommu_pgsizes);
		need.size = round_up(start, section->last);
		return need;
	}
	need.page = vfio_container_pgsize(container);
	if (start < spapr->default_start ||
	    spapr_window_find(spapr, spapr->default_start, spapr->default_start)) {
		need.size = round_up(start, section->last);
		return need;
	}
	need.size = round_up(spapr->default_start, section->last);
	if (need.size && need.size < spapr->default_size)
		need.size = round_up(0, spapr->default_size - 1);
	return need;
}

static void fail(const struct need *need, int code, struct vfio_error *error, const char *why)
{
	vfio_fail(error, code, "no DMA window for [0x%llx, 0x%llx], %s",
		  (unsigned long long)need->section->start, (unsigned long long)need->section->last,
		  why);
}

/* Removes windows that nobody uses and that a new one would meet. False when one stays. */
static bool make_room(struct vfio_container *container, const struct need *need,
		      struct vfio_error *error)
{
	struct spapr *spapr = container->state;
	struct spapr_window *window = NULL;

	while ((window = spapr_window_next(spapr, window))) {
		if (!overlap(window, need->section->start, need->section->last))
			continue;
		if (!is_used(spapr, window))
			drop(container, window);
		if (!window->there)
			continue;
		fail(need, -EEXIST, error, "another window overlaps it");
		return false;
	}
	return true;
}

static struct spapr_window *new_window(struct vfio_container *container, const struct need *need,
				       struct vfio_error *error)
{
	const struct spapr *spapr = container->state;
	struct spapr_window *window;
	int ret;

	if (!spapr->dynamic || !need->size || !need->page) {
		fail(need, spapr->dynamic ? -ENOTSUP : -ERANGE, error,
		     !spapr->dynamic ? "it is not in the default window"
		     : !need->page   ? "the vIOMMU's pages are too small"
				     : "it is too large");
		return NULL;
	}
	if (!make_room(container, need, error))
		return NULL;
	window = free_slot(container);
	if (!window) {
		fail(need, -ENOSPC, error, "there are too many");
		return NULL;
	}
	*window = (struct spapr_window){ .page_shift = (uint32_t)__builtin_ctzll(need->page) };
	ret = create(container, window, need->size);
	if (ret) {
		fail(need, ret, error, "VFIO_IOMMU_SPAPR_TCE_CREATE");
		return NULL;
	}
	if (covers(window, need->section->start, need->section->last))
		return window;
	fail(need, -ERANGE, error, "the kernel put it elsewhere");
	drop(container, window);
	return NULL;
}

static struct spapr_window *get_window(struct vfio_container *container, const struct need *need,
				       struct vfio_error *error)
{
	const struct vfio_memory_section *section = need->section;
	struct spapr_window *window =
		spapr_window_find(container->state, section->start, section->last);

	if (window && (uint64_t)1 << window->page_shift <= need->page)
		return window;
	return new_window(container, need, error);
}

/* ---- KVM ---- */

static struct vfio_group *group_of(struct vfio_container *container)
{
	struct vfio_group *group;

	TAILQ_FOREACH(group, &container->vfio->groups, entry)
	{
		if (group->container == container)
			break;
	}
	return group;
}

/* KVM then fills the window from the guest's table itself. Nothing happens without a VM. */
static bool serve(struct vfio_container *container, const struct spapr_user *user,
		  struct vfio_error *error)
{
	struct vfio_group *group = group_of(container);
	int ret = 0;

	if (user->table)
		ret = vfio_kvm_set_tce(container->vfio, group->fd, user->table_fd);
	return !ret ||
	       vfio_fail(error, ret, "group %s: KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE", group->name);
}

bool spapr_kvm_added(struct vfio_container *container, struct vfio_error *error)
{
	const struct spapr *spapr = container->state;
	const struct spapr_user *user;

	LIST_FOREACH(user, &spapr->users, entry)
	{
		if (!serve(container, user, error))
			return false;
	}
	return true;
}

/* ---- sections ---- */

static void end_user(struct vfio_container *container, struct spapr_user *user)
{
	struct spapr_window *window = user->window;

	LIST_REMOVE(user, entry);
	vfio_release(container->vfio, user);
	if (!is_used(container->state, window))
		drop(container, window);
}

/* A BAR is mapped where there is a window anyway, and does without otherwise. */
static struct spapr_window *window_for(struct vfio_container *container,
				       const struct vfio_memory_section *section,
				       struct vfio_error *error)
{
	struct need need;

	if (section->region->kind == VFIO_MEMORY_RAM_DEVICE)
		return spapr_window_find(container->state, section->start, section->last);
	need = need_of(container, section);
	return get_window(container, &need, error);
}

bool spapr_section_add(struct vfio_container *container, const struct vfio_memory_section *section,
		       struct vfio_error *error)
{
	struct spapr *spapr = container->state;
	struct spapr_user *user = vfio_alloc(container->vfio, sizeof(*user));

	if (!user)
		return vfio_fail(error, -ENOMEM, "cannot use a DMA window");
	user->window = window_for(container, section, error);
	if (!user->window) {
		vfio_release(container->vfio, user);
		return section->region->kind == VFIO_MEMORY_RAM_DEVICE;
	}
	user->section = section->id;
	user->table = section->region->tce_table;
	user->table_fd = section->region->tce_table_fd;
	LIST_INSERT_HEAD(&spapr->users, user, entry);
	if (serve(container, user, error))
		return true;
	end_user(container, user);
	return false;
}

void spapr_section_del(struct vfio_container *container, const struct vfio_memory_section *section)
{
	struct spapr *spapr = container->state;
	struct spapr_user *user;

	/* A section that got no window has no user. */
	LIST_FOREACH(user, &spapr->users, entry)
	{
		if (user->section == section->id) {
			end_user(container, user);
			return;
		}
	}
}

void spapr_window_end(struct vfio_container *container)
{
	struct spapr_window *window = NULL;

	while ((window = spapr_window_next(container->state, window))) {
		if (!window->fixed)
			drop(container, window);
	}
}
