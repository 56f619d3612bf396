/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model's mappings against the kernel's, and where in the kernel an address space is found.
 */
#include <stdio.h>

#include "model_internal.h"

bool model_same(struct model *m, const char *whose, const char *what, uint64_t kernel,
		uint64_t model)
{
	if (kernel == model)
		return true;
	model_says(m, "%s: %s: the kernel has %llu (0x%llx), the model %llu (0x%llx)", whose, what,
		   (unsigned long long)kernel, (unsigned long long)kernel,
		   (unsigned long long)model, (unsigned long long)model);
	return false;
}

/* ---- finding things in the kernel ---- */

static bool by_descriptor(const struct model *m, enum model_kind kind, int of,
			  struct vfake_space_at *at)
{
	for (size_t t = 0; t < m->tasks_count; t++) {
		const struct model_task *task = &m->tasks[t];

		for (size_t fd = 0; task->live && fd < task->fd_space; fd++) {
			int file = task->fds[fd];

			if (file < 0 || m->files[file].kind != kind || m->files[file].of != of)
				continue;
			at->task = task->task;
			at->fd = (int)fd;
			return true;
		}
	}
	return false;
}

bool model_iommufd_at(const struct model *m, int iommufd, struct vfake_space_at *at)
{
	*at = (struct vfake_space_at){ .kernel = m->kernel };
	if (by_descriptor(m, MODEL_IOMMUFD, iommufd, at))
		return true;
	for (size_t i = 0; i < m->device_count; i++) {
		if (m->devices[i].iommufd != iommufd &&
		    m->groups[m->devices[i].group].iommufd != iommufd)
			continue;
		at->device = m->devices[i].name;
		return true;
	}
	return false;
}

bool model_container_at(const struct model *m, int container, struct vfake_space_at *at)
{
	*at = (struct vfake_space_at){ .kernel = m->kernel };
	if (by_descriptor(m, MODEL_CONTAINER, container, at))
		return true;
	for (size_t i = 0; i < m->device_count; i++) {
		if (m->groups[m->devices[i].group].container != container)
			continue;
		at->device = m->devices[i].name;
		return true;
	}
	return false;
}

/* ---- mappings ---- */

static void compare_mapping(struct model *m, const struct vfake_mapping_view *view,
			    const struct model_mapping *mapping)
{
	char whose[64];

	snprintf(whose, sizeof(whose), "the mapping at IOVA 0x%llx",
		 (unsigned long long)mapping->iova);
	model_same(m, whose, "its end", view->last, mapping->last);
	model_same(m, whose, "address", view->vaddr, mapping->vaddr);
	model_same(m, whose, "right to read", view->readable,
		   !!(mapping->rights & MODEL_RIGHTS_READ));
	model_same(m, whose, "right to write", view->writable,
		   !!(mapping->rights & MODEL_RIGHTS_WRITE));
	model_same(m, whose, "suspended", view->suspended, mapping->suspended);
	model_same(m, whose, "pinned", view->pinned, mapping->pinned);
	if (view->owner != m->tasks[mapping->task].task)
		model_says(m, "%s: another process pays for it", whose);
}

/* Every mapping in the range, in both. */
static void compare_range(struct model *m, const struct vfake_space_at *at,
			  const struct model_space *space, uint64_t iova, uint64_t last)
{
	size_t index = model_find(space, iova);

	while (!m->stopped) {
		struct vfake_mapping_view view;
		bool kernel = !vfake_view_mapping(at, iova, last, &view);
		bool model = index < space->count && space->mappings[index].iova <= last;

		if (!kernel && !model)
			return;
		if (!model || (kernel && view.iova < space->mappings[index].iova)) {
			model_says(m, "IOVA 0x%llx is mapped, not so in the model",
				   (unsigned long long)view.iova);
		} else if (!kernel || view.iova > space->mappings[index].iova) {
			model_says(m, "IOVA 0x%llx is not mapped, in the model it is",
				   (unsigned long long)space->mappings[index].iova);
		} else {
			compare_mapping(m, &view, &space->mappings[index++]);
			if (view.last >= last)
				return;
			iova = view.last + 1;
		}
	}
}

/* sPAPR: where ranges begin and end says nothing, what lies at each address does. */
static void compare_tces(struct model *m, const struct vfake_space_at *at,
			 const struct model_space *space, uint64_t iova, uint64_t last)
{
	while (!m->stopped && iova <= last) {
		size_t index = model_find(space, iova);
		bool model = index < space->count && space->mappings[index].iova <= last;
		const struct model_mapping *mapping = model ? &space->mappings[index] : NULL;
		struct vfake_mapping_view view;
		uint64_t start, end;

		if (vfake_view_mapping(at, iova, last, &view)) {
			if (model)
				model_says(m, "IOVA 0x%llx is not mapped, in the model it is",
					   (unsigned long long)mapping->iova);
			return;
		}
		start = view.iova > iova ? view.iova : iova;
		if (!model || (mapping->iova > start)) {
			model_says(m, "IOVA 0x%llx is mapped, not so in the model",
				   (unsigned long long)start);
			return;
		}
		if (start > iova && mapping->iova < start) {
			model_says(
				m, "IOVA 0x%llx is not mapped, in the model it is",
				(unsigned long long)(mapping->iova > iova ? mapping->iova : iova));
			return;
		}
		if (view.vaddr &&
		    view.vaddr + (start - view.iova) != mapping->vaddr + (start - mapping->iova))
			model_says(m, "IOVA 0x%llx leads to 0x%llx, in the model to 0x%llx",
				   (unsigned long long)start,
				   (unsigned long long)(view.vaddr + (start - view.iova)),
				   (unsigned long long)(mapping->vaddr + (start - mapping->iova)));
		model_same(m, "a TCE", "right to write", view.writable,
			   !!(mapping->rights & MODEL_RIGHTS_WRITE));
		end = view.last < mapping->last ? view.last : mapping->last;
		if (end >= last)
			return;
		iova = end + 1;
	}
}

void model_compare_space(struct model *m, const struct vfake_space_at *at, int index, uint64_t iova,
			 uint64_t last)
{
	const struct model_space *space = &m->spaces[index];
	struct vfake_space_view view;

	if (vfake_view_space(at, &view)) {
		model_says(m, "there is no such address space");
		return;
	}
	if (view.manager == VFAKE_MANAGER_SPAPR) {
		if (!m->unsure_tces)
			compare_tces(m, at, space, iova, last);
		return;
	}
	model_same(m, "the address space", "mappings", view.mappings, space->count);
	if (view.manager == VFAKE_MANAGER_IOMMUFD)
		model_same(m, "the IOAS", "page tables", view.page_tables, space->page_tables);
	compare_range(m, at, space, iova, last);
}
