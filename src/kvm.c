/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VFIO device of a KVM VM: which files the VM is told of.
 *
 * Whoever opens a group or a cdev adds it here, and deletes it before it is closed where it was
 * added. Without a VM nothing is; when a VM comes later, all that is open is added then.
 */
#include <uapi/kvm.h>

#include "group.h"

static int set_attr(struct vfio *vfio, uint64_t attr, const void *value)
{
	struct kvm_device_attr arg = { .group = KVM_DEV_VFIO_FILE,
				       .attr = attr,
				       .addr = (uint64_t)(uintptr_t)value };

	return vfio_ioctl_done(vfio, vfio->kvm_device, KVM_SET_DEVICE_ATTR, &arg);
}

int vfio_kvm_add(struct vfio *vfio, int fd)
{
	const int32_t value = fd;

	return vfio->kvm_device < 0 ? 0 : set_attr(vfio, KVM_DEV_VFIO_FILE_ADD, &value);
}

void vfio_kvm_del(struct vfio *vfio, int fd)
{
	const int32_t value = fd;
	int ret = set_attr(vfio, KVM_DEV_VFIO_FILE_DEL, &value);

	if (ret)
		vfio_warn(vfio, ret, "KVM keeps the file of a device that goes");
}

int vfio_kvm_set_tce(struct vfio *vfio, int group_fd, int table_fd)
{
	const struct kvm_vfio_spapr_tce value = { .groupfd = group_fd, .tablefd = table_fd };

	if (vfio->kvm_device < 0)
		return 0;
	return set_attr(vfio, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, &value);
}

/* ---- a VM comes and goes ---- */

static bool add_groups(struct vfio *vfio, struct vfio_error *error)
{
	struct vfio_group *group;

	TAILQ_FOREACH(group, &vfio->groups, entry)
	{
		int ret = vfio_kvm_add(vfio, group->fd);

		if (ret)
			return vfio_fail(error, ret, "cannot tell KVM of group %s", group->name);
		group->in_kvm = true;
	}
	return true;
}

static bool add_cdevs(struct vfio *vfio, struct vfio_error *error)
{
	struct vfio_device *device;

	TAILQ_FOREACH(device, &vfio->devices, entry)
	{
		int ret = device->iommufd ? vfio_kvm_add(vfio, device->fd) : 0;

		if (ret)
			return vfio_fail(error, ret, "cannot tell KVM of device %s",
					 device->options.name);
		device->in_kvm = device->iommufd;
	}
	return true;
}

/* What KVM shall serve beside the list of files. */
static bool tell_backends(struct vfio *vfio, struct vfio_error *error)
{
	struct vfio_container *container;
	struct vfio_space *space;

	TAILQ_FOREACH(space, &vfio->spaces, entry)
	{
		TAILQ_FOREACH(container, &space->containers, entry)
		{
			if (container->ops->kvm_added &&
			    !container->ops->kvm_added(container, error))
				return false;
		}
	}
	return true;
}

static void forget_vm(struct vfio *vfio)
{
	struct vfio_device *device;
	struct vfio_group *group;

	TAILQ_FOREACH(device, &vfio->devices, entry)
	{
		if (device->in_kvm)
			vfio_kvm_del(vfio, device->fd);
		device->in_kvm = false;
	}
	TAILQ_FOREACH(group, &vfio->groups, entry)
	{
		if (group->in_kvm)
			vfio_kvm_del(vfio, group->fd);
		group->in_kvm = false;
	}
	vfio_close(vfio, &vfio->kvm_device);
}

bool vfio_set_kvm(struct vfio *vfio, int vm_fd, struct vfio_error *error)
{
	struct kvm_create_device arg = { .type = KVM_DEV_TYPE_VFIO };
	int ret;

	if (vm_fd < 0) {
		forget_vm(vfio);
		return true;
	}
	if (vfio->kvm_device >= 0)
		return vfio->kvm_vm == vm_fd ||
		       vfio_fail(error, -EBUSY, "the stack has another VM already");
	ret = vfio_ioctl_done(vfio, vm_fd, KVM_CREATE_DEVICE, &arg);
	if (ret)
		return vfio_fail(error, ret, "KVM_CREATE_DEVICE");
	vfio->kvm_vm = vm_fd;
	vfio->kvm_device = (int)arg.fd;
	if (add_groups(vfio, error) && add_cdevs(vfio, error) && tell_backends(vfio, error))
		return true;
	forget_vm(vfio);
	return false;
}
