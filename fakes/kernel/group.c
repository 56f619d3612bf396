/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /dev/vfio/N: groups, and the DMA ownership of the IOMMU groups under them.
 *
 * Imitates drivers/vfio/group.c and the ownership part of drivers/iommu/iommu.c, Linux 7.2.
 *
 * Kept: a group's node opens once; not at all while a device of it is open through its cdev;
 * VFIO_GROUP_SET_CONTAINER takes a container or an iommufd and refuses a second one;
 * VFIO_GROUP_UNSET_CONTAINER is EBUSY while a device is open; an open device holds the group's
 * file, so closing the group's descriptor first is harmless; a group is viable as long as nobody
 * else owns its DMA.
 *
 * Dropped: hot-unplug of the last device under an open group (ENODEV), emulated groups of mdevs.
 */
#include <string.h>

#include <uapi/vfio.h>

#include "iommufd.h"
#include "vfio.h"

struct vfio_group *vfio_group_find(struct vfake_kernel *kernel, uint32_t number, bool noiommu)
{
	struct vfio_group *group;

	LIST_FOREACH(group, &kernel->groups, entry)
	{
		if (group->number == number && (group->type == VFIO_GROUP_NOIOMMU) == noiommu)
			return group;
	}
	return NULL;
}

/* ---- DMA ownership ---- */

int vfio_group_claim_dma_owner(struct vfio_group *group, const void *owner)
{
	if (group->dma_owner_count)
		return -EPERM;
	group->dma_owner = owner;
	group->dma_owner_count = 1;
	return 0;
}

int vfio_group_claim_device_dma_owner(struct vfio_group *group, const void *owner)
{
	if (group->dma_owner_count && group->dma_owner != owner)
		return -EPERM;
	group->dma_owner = owner;
	group->dma_owner_count++;
	return 0;
}

void vfio_group_release_dma_owner(struct vfio_group *group)
{
	if (vfake_warn_on(group->kernel, !group->dma_owner_count))
		return;
	if (!--group->dma_owner_count)
		group->dma_owner = NULL;
}

bool vfio_device_enforces_coherency(const struct vfio_device *device)
{
	return device->kernel->world.enforce_coherency && !device->desc->noncoherent &&
	       !device->desc->noiommu;
}

bool vfio_group_enforces_coherency(const struct vfio_group *group)
{
	const struct vfio_device *device;

	LIST_FOREACH(device, &group->kernel->devices, entry)
	{
		if (device->group == group && !vfio_device_enforces_coherency(device))
			return false;
	}
	return true;
}

bool vfio_group_has_iommu(const struct vfio_group *group)
{
	return group->container || group->iommufd;
}

/* ---- ioctls ---- */

static int set_iommufd(struct vfio_group *group, struct iommufd_ctx *iommufd)
{
	int ret = group->type == VFIO_GROUP_NOIOMMU ? iommufd_compat_set_noiommu(iommufd)
						    : iommufd_compat_ioas_create(iommufd);

	if (ret)
		return ret;
	iommufd_ctx_get(iommufd);
	group->iommufd = iommufd;
	return 0;
}

static long group_set_container(struct vfake_call *call)
{
	struct vfio_group *group = call->file->data;
	struct vfio_container *container;
	struct iommufd_ctx *iommufd;
	struct vfake_file *file;
	int32_t fd;
	int ret;

	memcpy(&fd, call->arg, sizeof(fd));
	file = vfake_fd_file(call->task, fd);
	if (!file)
		return -EBADF;
	if (vfio_group_has_iommu(group))
		return -EINVAL;
	container = vfio_container_from_file(file);
	if (container)
		return vfio_container_attach_group(container, group, call->task);
	iommufd = iommufd_ctx_from_file(file);
	if (!iommufd)
		return -EBADFD;
	ret = vfake_fault(call->kernel, VFAKE_FAULT_COMMIT);
	return ret ? ret : set_iommufd(group, iommufd);
}

static void drop_iommufd(struct vfio_group *group)
{
	struct iommufd_ctx *iommufd = group->iommufd;

	group->iommufd = NULL;
	if (iommufd)
		iommufd_ctx_put(iommufd);
}

static long group_unset_container(struct vfake_call *call)
{
	struct vfio_group *group = call->file->data;

	if (!vfio_group_has_iommu(group))
		return -EINVAL;
	if (group->container) {
		if (group->container_users != 1)
			return -EBUSY;
		vfio_group_detach_container(group);
	}
	drop_iommufd(group);
	return 0;
}

static long group_get_status(struct vfake_call *call)
{
	const struct vfio_group *group = call->file->data;
	struct vfio_group_status *status = call->arg;

	status->flags = 0;
	if (vfio_group_has_iommu(group))
		status->flags = VFIO_GROUP_FLAGS_CONTAINER_SET | VFIO_GROUP_FLAGS_VIABLE;
	else if (!group->dma_owner_count)
		status->flags = VFIO_GROUP_FLAGS_VIABLE;
	return 0;
}

/* A NUL-terminated name of the caller, at most a page with its NUL. */
static int copy_name(struct vfake_call *call, char *name, size_t size_bytes)
{
	uint64_t page = vfake_page_size(call->kernel);

	if (vfake_fault(call->kernel, VFAKE_FAULT_COPYIN))
		return -EFAULT;
	for (uint64_t i = 0; i < page; i++) {
		char c;

		if (vfake_mm_read(call->task->mm, &c, call->uarg + i, 1))
			return -EFAULT;
		if (i < size_bytes)
			name[i] = c;
		if (!c)
			return 0;
	}
	return -EINVAL;
}

/*
 * vfio-pci compares the device's own name with the start of what the caller gave; after a space
 * options may follow, of which only a VF token exists, and a device that has none refuses it.
 */
static int name_matches(const struct vfio_device *device, const char *given)
{
	size_t len = strlen(device->desc->name);

	if (strncmp(device->desc->name, given, len))
		return 0;
	given += len;
	if (*given && *given != ' ')
		return 0;
	return given[strspn(given, " ")] ? -EINVAL : 1;
}

static long group_get_device_fd(struct vfake_call *call)
{
	struct vfio_group *group = call->file->data;
	struct vfio_device *device;
	char name[256] = { 0 };
	int ret = copy_name(call, name, sizeof(name) - 1);

	if (ret)
		return ret;
	LIST_FOREACH(device, &call->kernel->devices, entry)
	{
		if (device->group != group)
			continue;
		ret = name_matches(device, name);
		if (ret < 0)
			return ret;
		if (ret)
			return vfio_device_open_in_group(device, call->task);
	}
	return -ENODEV;
}

const vfake_handler vfake_group_handlers[VFAKE_HANDLERS] = {
	[VFIO_GROUP_GET_STATUS & 0xff] = group_get_status,
	[VFIO_GROUP_SET_CONTAINER & 0xff] = group_set_container,
	[VFIO_GROUP_UNSET_CONTAINER & 0xff] = group_unset_container,
	[VFIO_GROUP_GET_DEVICE_FD & 0xff] = group_get_device_fd,
};

/* ---- the file ---- */

static const struct uapi_ioctl *group_route(struct vfake_file *file, uint32_t number, long *error)
{
	(void)file;
	*error = -ENOTTY;
	return uapi_find(UAPI_ON_GROUP, number);
}

static void group_release(struct vfake_file *file)
{
	struct vfio_group *group = file->data;

	if (group->container)
		vfio_group_detach_container(group);
	drop_iommufd(group);
	group->opened_file = NULL;
}

static const struct vfake_file_ops group_ops = {
	.name = "group",
	.route = group_route,
	.release = group_release,
};

struct vfio_group *vfio_group_from_file(struct vfake_file *file)
{
	return file->ops == &group_ops ? file->data : NULL;
}

int vfake_group_open(struct vfake_task *task, uint32_t number, bool noiommu)
{
	struct vfio_group *group = vfio_group_find(task->kernel, number, noiommu);
	int fd;

	if (!group)
		return -ENOENT;
	if (noiommu && !task->attr.cap_sys_rawio)
		return -EPERM;
	if (group->cdev_device_open_count || group->opened_file)
		return -EBUSY;
	fd = vfake_fd_new(task, &group_ops, group);
	if (fd >= 0)
		group->opened_file = vfake_fd_file(task, fd);
	return fd;
}
