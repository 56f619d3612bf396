/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Groups and container files: what type1 and sPAPR TCE have in common.
 *
 * The kernel lets a group be open once, so the stack has one struct vfio_group for each node that
 * it has open, counted by the devices that claim it. A group is in one container or in none; it
 * goes in with its first device and out with its last. KVM is told of a group while it is in a
 * container: after it went in, so that its windows can be found, and before a device of it is
 * open, which is when drivers want to know their VM.
 */
#include <stdio.h>
#include <string.h>

#include <uapi/vfio.h>

#include "group.h"

int vfio_ioctl_done(struct vfio *vfio, int fd, uint32_t request, void *arg)
{
	return (int)vfio_ioctl(vfio, fd, request, arg);
}

static struct vfio_container_file *file_of(const struct vfio_container *container)
{
	return container->state;
}

int vfio_file_ioctl(struct vfio_container *container, uint32_t request, void *arg)
{
	return vfio_ioctl_done(container->vfio, file_of(container)->fd, request, arg);
}

/* ---- groups ---- */

struct vfio_group *vfio_group_by_name(struct vfio *vfio, const char *name)
{
	struct vfio_group *group;

	TAILQ_FOREACH(group, &vfio->groups, entry)
	{
		if (!strcmp(group->name, name))
			break;
	}
	return group;
}

static void hint_at_open(struct vfio_error *error, int code)
{
	if (code == -ENOENT)
		vfio_error_hint(error, "bind the devices of the group to a VFIO driver");
	else if (code == -EBUSY)
		vfio_error_hint(error, "another program has the group or a device of it open");
	else if (code == -EACCES || code == -EPERM)
		vfio_error_hint(error, "the program may not open it");
}

static bool take_node(struct vfio_group *group, struct vfio_error *error)
{
	group->fd = vfio_cpr_take(group->vfio, "group/", group->name, 0, error);
	return group->fd >= 0;
}

static bool open_node(struct vfio_group *group, struct vfio_error *error)
{
	struct vfio *vfio = group->vfio;
	char path[sizeof("/dev/vfio/") + sizeof(group->name)];

	snprintf(path, sizeof(path), "/dev/vfio/%s", group->name);
	group->fd = vfio->sys.open(vfio->sys.ctx, path);
	if (group->fd >= 0)
		return true;
	vfio_fail(error, group->fd, "%s", path);
	hint_at_open(error, group->fd);
	return false;
}

static bool check_viable(struct vfio_group *group, struct vfio_error *error)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	int ret = vfio_ioctl_done(group->vfio, group->fd, VFIO_GROUP_GET_STATUS, &status);

	if (ret)
		return vfio_fail(error, ret, "group %s: VFIO_GROUP_GET_STATUS", group->name);
	if (status.flags & VFIO_GROUP_FLAGS_VIABLE)
		return true;
	vfio_fail(error, -EPERM, "group %s is not viable", group->name);
	vfio_error_hint(error,
			"every device of the group must be bound to a VFIO driver or to none");
	return false;
}

static bool name_is_sane(const char *name)
{
	return *name && strlen(name) < sizeof(((struct vfio_group *)NULL)->name) &&
	       !strchr(name, '/') && name[0] != '.';
}

static struct vfio_group *open_group(struct vfio_device *device, struct vfio_error *error)
{
	const char *name = device->options.group;
	struct vfio *vfio = device->vfio;
	struct vfio_group *group;

	if (!name_is_sane(name)) {
		vfio_fail(error, -EINVAL, "group %s", name);
		return NULL;
	}
	group = vfio_alloc(vfio, sizeof(*group));
	if (!group) {
		vfio_fail(error, -ENOMEM, "group %s", name);
		return NULL;
	}
	group->vfio = vfio;
	snprintf(group->name, sizeof(group->name), "%s", name);
	if (device->cpr.record) {
		if (take_node(group, error))
			return group;
	} else if (open_node(group, error)) {
		if (check_viable(group, error))
			return group;
		vfio_close(vfio, &group->fd);
	}
	vfio_release(vfio, group);
	return NULL;
}

bool vfio_group_get(struct vfio_device *device, struct vfio_error *error)
{
	struct vfio *vfio = device->vfio;
	struct vfio_group *group = vfio_group_by_name(vfio, device->options.group);

	if (!group) {
		group = open_group(device, error);
		if (!group)
			return false;
		TAILQ_INSERT_TAIL(&vfio->groups, group, entry);
	}
	group->users++;
	device->group = group;
	return true;
}

void vfio_group_put(struct vfio_device *device)
{
	struct vfio_group *group = device->group;

	device->group = NULL;
	if (--group->users)
		return;
	TAILQ_REMOVE(&group->vfio->groups, group, entry);
	vfio_close(group->vfio, &group->fd);
	vfio_release(group->vfio, group);
}

/* ---- devices of a group ---- */

bool vfio_group_device_open(struct vfio_device *device, struct vfio_error *error)
{
	const struct vfio_group *group = device->group;
	long ret;

	if (device->cpr.record) {
		device->fd = vfio_cpr_take(device->vfio, "device/", device->options.name, 0, error);
		return device->fd >= 0;
	}
	ret = vfio_ioctl_value(device->vfio, group->fd, VFIO_GROUP_GET_DEVICE_FD,
			       (uint64_t)(uintptr_t)device->options.name);
	if (ret < 0) {
		vfio_fail(error, (int)ret, "group %s: VFIO_GROUP_GET_DEVICE_FD", group->name);
		if (ret == -ENODEV)
			vfio_error_hint(error, "the group has no such device");
		return false;
	}
	device->fd = (int)ret;
	return true;
}

void vfio_group_device_close(struct vfio_device *device)
{
	vfio_close(device->vfio, &device->fd);
}

/* ---- a group in a container ---- */

static void kvm_forget(struct vfio_group *group)
{
	if (group->in_kvm)
		vfio_kvm_del(group->vfio, group->fd);
	group->in_kvm = false;
}

static void group_exit(struct vfio_group *group)
{
	int ret;

	kvm_forget(group);
	ret = vfio_ioctl_done(group->vfio, group->fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
	if (ret)
		vfio_warn(group->vfio, ret, "group %s stays in its container", group->name);
	group->container = NULL;
	group->attached = 0;
}

/* @refusal: gets the kernel's -errno when it does not want the group there, and no error is told */
static bool group_enter(struct vfio_container *container, struct vfio_group *group, int *refusal,
			struct vfio_error *error)
{
	int ret;

	*refusal = container->cpr.record
			   ? 0
			   : vfio_ioctl_done(group->vfio, group->fd, VFIO_GROUP_SET_CONTAINER,
					     &file_of(container)->fd);
	if (*refusal)
		return false;
	group->container = container;
	group->attached = 1;
	ret = vfio_kvm_add(group->vfio, group->fd);
	if (ret) {
		group_exit(group);
		return vfio_fail(error, ret, "cannot tell KVM of group %s", group->name);
	}
	group->in_kvm = group->vfio->kvm_device >= 0;
	return true;
}

/* What the kernel says to a group that does not go with the container: any other errno is a
 * failure. */
static bool is_refusal(int code)
{
	return code == -EINVAL || code == -EBUSY || code == -EPERM;
}

bool vfio_file_join(struct vfio_container *container, struct vfio_device *device, bool *fits,
		    struct vfio_error *error)
{
	struct vfio_group *group = device->group;
	int refusal = 0;

	if (group->container == container) {
		group->attached++;
		*fits = true;
	} else if (!group->container) {
		*fits = group_enter(container, group, &refusal, error);
		if (refusal && !is_refusal(refusal))
			vfio_fail(error, refusal, "group %s: VFIO_GROUP_SET_CONTAINER",
				  group->name);
		else if (refusal)
			vfio_warn(container->vfio, refusal, "group %s cannot share a container",
				  group->name);
		return *fits || is_refusal(refusal);
	}
	return true;
}

void vfio_file_leave(struct vfio_container *container, struct vfio_device *device)
{
	(void)container;
	if (!--device->group->attached)
		group_exit(device->group);
}

/* ---- the container's file ---- */

static bool open_file(struct vfio_container *container, struct vfio_error *error)
{
	struct vfio_container_file *file = file_of(container);
	struct vfio *vfio = container->vfio;
	long version;

	if (container->cpr.record) {
		file->fd = vfio_cpr_take(vfio, "container", "", container->cpr.record->id, error);
		return file->fd >= 0;
	}
	file->fd = vfio->sys.open(vfio->sys.ctx, "/dev/vfio/vfio");
	if (file->fd < 0) {
		vfio_fail(error, file->fd, "/dev/vfio/vfio");
		if (file->fd == -ENOENT)
			vfio_error_hint(error, "load the kernel module vfio");
		return false;
	}
	version = vfio_ioctl_value(vfio, file->fd, VFIO_GET_API_VERSION, 0);
	if (version == VFIO_API_VERSION)
		return true;
	vfio_close(vfio, &file->fd);
	return vfio_fail(error, version < 0 ? (int)version : -ENOTSUP,
			 "VFIO_GET_API_VERSION: %ld instead of %d", version, VFIO_API_VERSION);
}

static bool check_free(const struct vfio_container *container, const struct vfio_group *group,
		       struct vfio_error *error)
{
	const struct vfio_container *other = group->container;

	if (!other)
		return true;
	if (other->ops != container->ops)
		vfio_fail(error, -EBUSY, "group %s: its devices are attached by backend %s",
			  group->name, other->ops->name);
	else if (other->space != container->space)
		vfio_fail(error, -EBUSY, "group %s: its devices use another address space",
			  group->name);
	else
		vfio_fail(error, -EBUSY, "group %s: its devices use another kind of container",
			  group->name);
	vfio_error_hint(error, "the devices of a group share one container");
	return false;
}

bool vfio_file_open(struct vfio_container *container, size_t size, struct vfio_device *first,
		    struct vfio_error *error)
{
	struct vfio_group *group = first->group;
	int refusal = 0;

	if (!check_free(container, group, error))
		return false;
	container->state = vfio_alloc(container->vfio, size);
	if (!container->state)
		return vfio_fail(error, -ENOMEM, "cannot make a container");
	if (!open_file(container, error))
		goto err_free;
	if (group_enter(container, group, &refusal, error))
		return true;
	if (refusal)
		vfio_fail(error, refusal, "group %s: VFIO_GROUP_SET_CONTAINER", group->name);
	vfio_close(container->vfio, &file_of(container)->fd);
err_free:
	vfio_release(container->vfio, container->state);
	container->state = NULL;
	return false;
}

void vfio_file_close(struct vfio_container *container)
{
	struct vfio_group *group;

	TAILQ_FOREACH(group, &container->vfio->groups, entry)
	{
		if (group->container == container)
			group_exit(group);
	}
	vfio_close(container->vfio, &file_of(container)->fd);
	vfio_release(container->vfio, container->state);
	container->state = NULL;
}

int vfio_file_has(struct vfio_container *container, uint32_t extension)
{
	return (int)vfio_ioctl_value(container->vfio, file_of(container)->fd, VFIO_CHECK_EXTENSION,
				     extension);
}

int vfio_file_set_type(struct vfio_container *container, uint32_t type)
{
	struct vfio_container_file *file = file_of(container);

	file->type = type;
	return (int)vfio_ioctl_value(container->vfio, file->fd, VFIO_SET_IOMMU, type);
}

/* ---- maps ---- */

int vfio_file_map(struct vfio_container *container, const struct vfio_map *map)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DMA_MAP_FLAG_READ | (map->readonly ? 0 : VFIO_DMA_MAP_FLAG_WRITE),
		.vaddr = map->vaddr,
		.iova = map->iova,
		.size = map->size,
	};

	return vfio_file_ioctl(container, VFIO_IOMMU_MAP_DMA, &arg);
}

int vfio_file_unmap(struct vfio_container *container, uint32_t flags, uint64_t iova, uint64_t size,
		    uint64_t *done)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg), .flags = flags, .iova = iova, .size = size
	};
	int ret = vfio_file_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &arg);

	if (done)
		*done = arg.size;
	return ret;
}
