/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The view of the fake kernel (vfake/view.h): processes with their memory, groups and devices, in
 * full.
 *
 * Imitates nothing of Linux and changes nothing.
 */
#include <string.h>

#include <vfake/view.h>

#include "model.h"
#include "vfio.h"
#include "vfio_pci.h"
#include "view.h"

const struct vfake_world *vfake_view_world(const struct vfake_kernel *kernel)
{
	return &kernel->world;
}

const struct vfio_device *view_find_device(const struct vfake_kernel *kernel, const char *name)
{
	const struct vfio_device *device;

	LIST_FOREACH(device, &kernel->devices, entry)
	{
		if (!strcmp(device->desc->name, name))
			return device;
	}
	return NULL;
}

/* ---- processes ---- */

void vfake_view_task(const struct vfake_task *task, struct vfake_task_view *view)
{
	*view = (struct vfake_task_view){
		.attr = task->attr,
		.locked_pages = task->mm->locked_pages,
		.pinned_pages = task->mm->pinned_pages,
		.user_locked_pages = task->user->locked_pages,
	};
}

const struct vfake_task *vfake_view_next_task(const struct vfake_kernel *kernel,
					      const struct vfake_task *task)
{
	return task ? LIST_NEXT(task, entry) : LIST_FIRST(&kernel->tasks);
}

int vfake_view_next_fd(const struct vfake_task *task, int fd)
{
	for (; fd < task->file_space; fd++) {
		if (task->files[fd])
			return fd;
	}
	return -1;
}

int vfake_view_load(const struct vfake_task *task, vfake_addr addr, void *bytes, uint64_t len)
{
	return vfake_mm_read(task->mm, bytes, addr, len);
}

int vfake_view_memory(const struct vfake_task *task, vfake_addr addr,
		      struct vfake_memory_view *view)
{
	struct vfake_memory_view host = { .readable = true, .writable = true };
	const struct vfake_area *area;

	if (vfake_mm_host_last(task->mm, addr, &host.last)) {
		*view = host;
		return 0;
	}
	area = vfake_mm_find(task->mm, addr);
	if (!area)
		return -EFAULT;
	*view = (struct vfake_memory_view){
		.last = area->last,
		.readable = area->prot & VFAKE_PROT_READ,
		.writable = area->prot & VFAKE_PROT_WRITE,
		.registers = area->kind == VFAKE_AREA_PFNMAP,
	};
	return 0;
}

/* ---- groups and devices ---- */

int vfake_view_group(const struct vfake_kernel *kernel, uint32_t number, bool noiommu,
		     struct vfake_group_view *view)
{
	const struct vfio_group *group;

	LIST_FOREACH(group, &kernel->groups, entry)
	{
		if (group->number == number && (group->type == VFIO_GROUP_NOIOMMU) == noiommu)
			break;
	}
	if (!group)
		return -ENOENT;
	*view = (struct vfake_group_view){
		.opened = group->opened_file,
		.container = group->container,
		.iommufd = group->iommufd,
		.users = group->container_users,
		.cdevs = group->cdev_device_open_count,
		.has_vm = group->kvm,
	};
	return 0;
}

static const struct mig_device *mig_of(const struct vfio_pci *pci)
{
	/* the alarm clock's begins with one */
	return pci->model == &vfio_migrate_model || pci->model == &vfio_alarm_model
		       ? pci->model_data
		       : NULL;
}

int vfake_view_pci(const struct vfake_kernel *kernel, const char *name, struct vfake_pci_view *view)
{
	const struct vfio_device *device = view_find_device(kernel, name);
	const struct mig_device *mig;
	const struct vfio_pci *pci;

	if (!device)
		return -ENOENT;
	pci = vfio_pci_of(device);
	mig = mig_of(pci);
	*view = (struct vfake_pci_view){
		.irq_index = pci->irq_type,
		.err_irq = pci->err_trigger,
		.req_irq = pci->req_trigger,
		.migration = mig ? mig->state : UINT32_MAX,
		.dma_logging = mig && mig->log.active,
	};
	for (uint32_t i = 0; i < pci->ctx_count; i++)
		view->vectors += pci->ctx[i].trigger != NULL;
	return 0;
}

bool vfake_view_vector(const struct vfake_kernel *kernel, const char *name, uint32_t vector)
{
	const struct vfio_device *device = view_find_device(kernel, name);
	const struct vfio_pci *pci = device ? vfio_pci_of(device) : NULL;

	return pci && vector < pci->ctx_count && pci->ctx[vector].trigger;
}
