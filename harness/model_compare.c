/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model against the kernel. After each call: the sums, the processes, and what the call
 * touched; now and then, and when it is asked for: everything, in both directions.
 */
#include <stdio.h>
#include <string.h>

#include <uapi/vfio.h>

#include "model_internal.h"

/* ---- sums and processes ---- */

/* Mappings, a container for sPAPR and a VM hold the memory of the process that they are of. */
static bool is_held(const struct model *m, int task)
{
	for (size_t i = 0; i < m->spaces_count; i++) {
		for (size_t k = 0; m->spaces[i].live && k < m->spaces[i].count; k++) {
			if (m->spaces[i].mappings[k].task == task)
				return true;
		}
	}
	for (size_t i = 0; i < m->containers_count; i++) {
		if (m->containers[i].driver == DRIVER_SPAPR && m->containers[i].owner == task)
			return true;
	}
	for (size_t i = 0; i < m->vms_count; i++) {
		if (m->vms[i].refs && m->vms[i].task == task)
			return true;
	}
	return false;
}

void model_mourn(struct model *m)
{
	m->mourning = false;
	for (size_t i = 0; i < m->tasks_count; i++) {
		struct model_task *task = &m->tasks[i];

		if (task->live || !task->task)
			continue;
		if (is_held(m, (int)i)) {
			m->mourning = true;
			continue;
		}
		model_spapr_forget(m, (int)i);
		task->locked = 0;
	}
}

static void compare_sums(struct model *m)
{
	struct vfake_ledger ledger = vfake_ledger(m->kernel);
	uint64_t locked = 0;

	if (m->mourning)
		model_mourn(m);
	for (size_t i = 0; i < m->tasks_count; i++)
		locked += m->tasks[i].locked + m->tasks[i].user_locked;
	model_same(m, "all", "descriptors", ledger.descriptors, m->descriptors);
	if (!m->in_flight)
		model_same(m, "all", "open files", ledger.open_files, m->open_files);
	if (m->unsure_tces)
		return;
	model_same(m, "all", "pinned pages", ledger.pinned_pages, m->pinned);
	model_same(m, "all", "locked pages", ledger.locked_pages, locked);
}

static void compare_task(struct model *m, int index)
{
	const struct model_task *task = &m->tasks[index];
	struct vfake_task_view view;

	vfake_view_task(task->task, &view);
	model_same(m, "a process", "locked pages", view.locked_pages, task->locked);
	model_same(m, "a process", "pages pinned by iommufd", view.pinned_pages, task->pinned);
	model_same(m, "a process", "locked pages of its user", view.user_locked_pages,
		   *model_user_locked(m, index));
	model_same(m, "a process", "RLIMIT_MEMLOCK", view.attr.memlock_bytes,
		   task->attr.memlock_bytes);
}

static void compare_tasks(struct model *m)
{
	for (size_t i = 0; i < m->tasks_count; i++) {
		if (m->tasks[i].live)
			compare_task(m, (int)i);
	}
}

/* ---- files ---- */

static void compare_fd(struct model *m, const struct model_task *task, int fd)
{
	struct vfake_file_view view;
	struct model_file *file = &m->files[task->fds[fd]];

	if (vfake_view_file(task->task, fd, &view)) {
		model_says(m, "descriptor %d is not open, in the model it is a %s", fd,
			   model_kind_name(file->kind));
		return;
	}
	if (file->kind == MODEL_OTHER) {
		file->id = view.id;
		return;
	}
	if (strcmp(view.kind, model_kind_name(file->kind)))
		model_says(m, "descriptor %d is a %s, in the model a %s", fd, view.kind,
			   model_kind_name(file->kind));
	if (!m->in_flight || view.references < file->refs)
		model_same(m, view.kind, "references", view.references, file->refs);
	if (file->id && file->id != view.id)
		model_says(m, "descriptor %d (%s) is of another open file than before", fd,
			   view.kind);
	file->id = view.id;
}

static void compare_fds(struct model *m, const struct model_task *task)
{
	for (size_t fd = 0; fd < task->fd_space && !m->stopped; fd++) {
		if (task->fds[fd] >= 0)
			compare_fd(m, task, (int)fd);
	}
}

/* ---- containers and groups ---- */

static void compare_container(struct model *m, int index, const struct vfake_space_at *at)
{
	static const enum vfake_manager managers[] = {
		[DRIVER_NONE] = VFAKE_MANAGER_NONE,
		[DRIVER_TYPE1] = VFAKE_MANAGER_TYPE1,
		[DRIVER_SPAPR] = VFAKE_MANAGER_SPAPR,
		[DRIVER_NOIOMMU] = VFAKE_MANAGER_NOIOMMU,
	};
	const struct model_container *container = &m->containers[index];
	struct vfake_space_view view;

	if (vfake_view_space(at, &view)) {
		model_says(m, "the container is not there");
		return;
	}
	model_same(m, "the container", "driver", view.manager, managers[container->driver]);
	model_same(m, "the container", "groups", view.groups, container->groups);
	model_same(m, "the container", "dirty tracking", view.dirty_tracking,
		   container->dirty_tracking);
	if (container->driver == DRIVER_TYPE1 || container->driver == DRIVER_SPAPR)
		model_same(m, "the container", "version", view.version, container->version);
	if (container->driver == DRIVER_TYPE1)
		model_same(m, "the container", "mappings", view.mappings,
			   m->spaces[container->space].count);
}

static void compare_group(struct model *m, const struct model_group *group)
{
	struct vfake_group_view view;
	char whose[32];

	snprintf(whose, sizeof(whose), "group %u", group->number);
	if (vfake_view_group(m->kernel, group->number, group->noiommu, &view)) {
		model_says(m, "%s is not there", whose);
		return;
	}
	model_same(m, whose, "open", view.opened, group->file >= 0);
	model_same(m, whose, "in a container", view.container != NULL, group->container >= 0);
	model_same(m, whose, "has an iommufd", view.iommufd != NULL, group->iommufd >= 0);
	model_same(m, whose, "users", view.users, group->users);
	model_same(m, whose, "devices by their own node", view.cdevs, group->cdevs);
	model_same(m, whose, "has a VM", view.has_vm, group->vm >= 0);
}

static void compare_groups(struct model *m)
{
	for (size_t i = 0; i < m->group_count; i++)
		compare_group(m, &m->groups[i]);
}

/* ---- devices ---- */

static uint32_t count_vectors(const struct model_device *device)
{
	uint32_t count = 0;

	for (size_t i = 0; i < sizeof(device->vectors); i += 8) {
		uint64_t word;

		memcpy(&word, device->vectors + i, sizeof(word));
		count += (uint32_t)__builtin_popcountll(word);
	}
	return count;
}

static void compare_vectors(struct model *m, const struct model_device *device)
{
	for (uint32_t i = 0; i < MODEL_VECTORS; i++) {
		if (device->vectors[i / 8] >> i % 8 & 1 &&
		    !vfake_view_vector(m->kernel, device->name, i))
			model_says(m, "%s: interrupt %u has no eventfd, in the model it has",
				   device->name, i);
	}
}

static void compare_pci(struct model *m, const struct model_device *device, bool vectors)
{
	struct vfake_pci_view view;

	if (vfake_view_pci(m->kernel, device->name, &view))
		return;
	model_same(m, device->name, "kind of interrupt", view.irq_index, device->irq_index);
	model_same(m, device->name, "error interrupt", view.err_irq, device->err_irq);
	model_same(m, device->name, "request interrupt", view.req_irq, device->req_irq);
	model_same(m, device->name, "DMA logging", view.dma_logging, device->dma_logging);
	if (device->open_count)
		model_same(m, device->name, "migration state", view.migration, device->migration);
	if (!vectors)
		return;
	model_same(m, device->name, "interrupts", view.vectors, count_vectors(device));
	if (view.vectors)
		compare_vectors(m, device);
}

static bool is_attached(const struct model_device *device)
{
	for (size_t i = 0; i < device->pasid_count; i++) {
		if (device->pasids[i].pasid == (uint32_t)MODEL_PASID_ZERO)
			return true;
	}
	return device->page_table;
}

/* The devices of a group share a page table, whichever of them was attached. */
static bool is_group_attached(const struct model *m, const struct model_device *device)
{
	for (size_t i = 0; i < m->device_count; i++) {
		if (m->devices[i].group == device->group && is_attached(&m->devices[i]))
			return true;
	}
	return false;
}

static void compare_device(struct model *m, const struct model_device *device, bool vectors)
{
	struct vfake_device_view view;
	bool type1 = m->groups[device->group].container >= 0 &&
		     m->containers[m->groups[device->group].container].driver != DRIVER_NONE;

	if (vfake_view_device(m->kernel, device->name, &view)) {
		model_says(m, "device %s is not there", device->name);
		return;
	}
	model_same(m, device->name, "open files", view.open_count, device->open_count);
	if (device->iommufd >= 0)
		model_same(m, device->name, "translated", view.translated,
			   is_group_attached(m, device));
	else if (type1 &&
		 m->containers[m->groups[device->group].container].driver != DRIVER_NOIOMMU)
		model_same(m, device->name, "translated", view.translated, true);
	compare_pci(m, device, vectors);
}

static void compare_devices(struct model *m, bool vectors)
{
	for (size_t i = 0; i < m->device_count; i++)
		compare_device(m, &m->devices[i], vectors);
}

/* ---- iommufds ---- */

static const struct model_device *device_of(const struct model *m, int iommufd, uint32_t id)
{
	for (size_t i = 0; i < m->device_count; i++) {
		if (m->devices[i].iommufd == iommufd && m->devices[i].id == id)
			return &m->devices[i];
	}
	return NULL;
}

static void compare_object(struct model *m, int iommufd, const struct model_object *object,
			   const struct vfake_object_view *view)
{
	const struct model_device *device;
	char whose[32];

	snprintf(whose, sizeof(whose), "object %u", object->id);
	model_same(m, whose, "id", view->id, object->id);
	model_same(m, whose, "kind", view->kind, object->kind);
	model_same(m, whose, "users", view->users, object->users);
	if (object->kind == UAPI_OBJ_HWPT_PAGING) {
		model_same(m, whose, "IOAS", view->on, object->on);
		model_same(m, whose, "goes with its last device", view->automatic,
			   object->automatic);
		model_same(m, whose, "dirty tracking", view->dirty_tracking,
			   object->dirty_tracking);
	}
	device = object->kind == UAPI_OBJ_DEVICE ? device_of(m, iommufd, object->id) : NULL;
	if (device)
		model_same(m, device->name, "page table", view->on, device->page_table);
}

static void compare_objects(struct model *m, int index, const struct vfake_space_at *at)
{
	const struct model_iommufd *ctx = &m->iommufds[index];
	struct vfake_iommufd_view view;
	struct vfake_object_view object;

	if (vfake_view_iommufd(at, &view)) {
		model_says(m, "the iommufd is not there");
		return;
	}
	model_same(m, "the iommufd", "objects", view.objects, ctx->object_count);
	model_same(m, "the iommufd", "IOAS of container calls", view.compat_ioas, ctx->compat);
	model_same(m, "the iommufd", "account", view.account, ctx->account);
	model_same(m, "the iommufd", "without an IOMMU", view.no_iommu, ctx->no_iommu);
	for (size_t i = 0; i < ctx->object_count && !m->stopped; i++) {
		if (vfake_view_object(at, ctx->objects[i].id, &object))
			model_says(m, "there is no object %u", ctx->objects[i].id);
		else
			compare_object(m, index, &ctx->objects[i], &object);
	}
}

/* ---- what a call touched ---- */

/* The IOAS that has this space, 0 for none. */
static uint32_t ioas_with(const struct model *m, int iommufd, int space)
{
	const struct model_iommufd *ctx = &m->iommufds[iommufd];

	for (size_t i = 0; i < ctx->object_count; i++) {
		if (ctx->objects[i].kind == UAPI_OBJ_IOAS && ctx->objects[i].space == space)
			return ctx->objects[i].id;
	}
	return 0;
}

static void compare_touched_space(struct model *m, const struct model_file *file)
{
	struct vfake_space_at at = { .kernel = m->kernel,
				     .task = m->event->task,
				     .fd = m->event->fd };

	if (file->kind == MODEL_IOMMUFD)
		at.ioas = ioas_with(m, file->of, m->touched_space);
	if (file->kind == MODEL_IOMMUFD || file->kind == MODEL_CONTAINER)
		model_compare_space(m, &at, m->touched_space, m->touched_iova, m->touched_last);
}

static void compare_behind(struct model *m, const struct model_file *file)
{
	struct vfake_space_at at = { .kernel = m->kernel,
				     .task = m->event->task,
				     .fd = m->event->fd };

	switch (file->kind) {
	case MODEL_CONTAINER:
		compare_container(m, file->of, &at);
		break;
	case MODEL_GROUP:
		compare_group(m, &m->groups[file->of]);
		break;
	case MODEL_DEVICE:
		compare_group(m, &m->groups[m->devices[file->of].group]);
		compare_device(m, &m->devices[file->of], true);
		break;
	default:
		break;
	}
	if (m->touched_space >= 0)
		compare_touched_space(m, file);
}

void model_compare_touched(struct model *m, int index)
{
	const struct model_task *task = &m->tasks[index];
	int file = model_fd(m, index, m->event->fd);
	struct vfake_space_at at;

	compare_sums(m);
	compare_tasks(m);
	if (!task->live || m->stopped)
		return;
	if (file >= 0) {
		compare_fd(m, task, m->event->fd);
		compare_behind(m, &m->files[file]);
	} else if (m->event->fd >= 0) {
		compare_groups(m);
		compare_devices(m, false);
	}
	if (m->event->ret >= 0 && m->event->ret <= INT32_MAX &&
	    model_fd(m, index, (int)m->event->ret) >= 0)
		compare_fd(m, task, (int)m->event->ret);
	if (m->touched_iommufd >= 0 && m->iommufds[m->touched_iommufd].file >= 0 &&
	    model_iommufd_at(m, m->touched_iommufd, &at))
		compare_objects(m, m->touched_iommufd, &at);
}

/* ---- everything ---- */

/* Processes and descriptors that the kernel has and the model does not. */
static void compare_strangers(struct model *m)
{
	const struct vfake_task *task = NULL;

	while ((task = vfake_view_next_task(m->kernel, task)) && !m->stopped) {
		int fd = vfake_view_next_fd(task, 0);
		int known = fd < 0 ? 0 : model_task(m, task);

		for (; fd >= 0 && known >= 0; fd = vfake_view_next_fd(task, fd + 1)) {
			if (model_fd(m, known, fd) < 0)
				model_says(m, "descriptor %d is open, not so in the model", fd);
		}
	}
}

static void compare_containers(struct model *m)
{
	struct vfake_space_at at;

	for (size_t i = 0; i < m->containers_count && !m->stopped; i++) {
		const struct model_container *container = &m->containers[i];

		if (!container->refs || !model_container_at(m, (int)i, &at))
			continue;
		compare_container(m, (int)i, &at);
		if (container->space >= 0)
			model_compare_space(m, &at, container->space, 0, UINT64_MAX);
	}
}

static void compare_iommufds(struct model *m)
{
	struct vfake_space_at at;

	for (size_t i = 0; i < m->iommufds_count && !m->stopped; i++) {
		const struct model_iommufd *ctx = &m->iommufds[i];

		if (ctx->file < 0 || !model_iommufd_at(m, (int)i, &at))
			continue;
		compare_objects(m, (int)i, &at);
		for (size_t k = 0; k < ctx->object_count && !m->stopped; k++) {
			if (ctx->objects[k].kind != UAPI_OBJ_IOAS)
				continue;
			at.ioas = ctx->objects[k].id;
			model_compare_space(m, &at, ctx->objects[k].space, 0, UINT64_MAX);
		}
	}
}

void model_compare_all(struct model *m)
{
	compare_sums(m);
	compare_tasks(m);
	compare_strangers(m);
	for (size_t i = 0; i < m->tasks_count && !m->stopped; i++) {
		if (m->tasks[i].live)
			compare_fds(m, &m->tasks[i]);
	}
	compare_groups(m);
	compare_devices(m, true);
	compare_containers(m);
	compare_iommufds(m);
}
