/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Resets: of a function, and of a slot or bus with everything on it.
 *
 * A hot reset takes other devices along. The kernel lists them, by IOMMU group or by id in the
 * device's iommufd, and wants proof that all are the caller's. The stack says so itself first,
 * because it can name the one that is not.
 */
#include <stdio.h>

#include "device_io.h"

enum { DEPENDENTS_MAX = 4096 };

bool vfio_device_reset(struct vfio_device *device, struct vfio_error *error)
{
	int ret;

	if (!(device->flags & VFIO_DEVICE_FLAGS_RESET))
		return vfio_fail(error, -ENOTTY, "%s has no reset of its own",
				 device->options.name);
	ret = device->ops->io->reset(device);
	return !ret || vfio_fail(error, ret, "%s: VFIO_DEVICE_RESET", device->options.name);
}

static int ask_dependents(struct vfio_device *device, uint32_t room,
			  struct vfio_pci_hot_reset_info **result)
{
	uint32_t bytes = (uint32_t)(sizeof(struct vfio_pci_hot_reset_info) +
				    room * sizeof(struct vfio_pci_dependent_device));
	struct vfio_pci_hot_reset_info *info = vfio_alloc(device->vfio, bytes);
	int ret;

	if (!info)
		return -ENOMEM;
	info->argsz = bytes;
	ret = device->ops->io->hot_reset_info(device, info);
	/* ENOSPC says in count how many there are. */
	if (ret == -ENOSPC && info->count > room && info->count <= DEPENDENTS_MAX) {
		room = info->count;
		vfio_release(device->vfio, info);
		return (int)room;
	}
	if (!ret && info->count > room)
		ret = -E2BIG;
	if (ret) {
		vfio_release(device->vfio, info);
		return ret;
	}
	*result = info;
	return 0;
}

/* The list of devices that the reset takes along; the caller releases it. 0 or -errno. */
static int get_dependents(struct vfio_device *device, struct vfio_pci_hot_reset_info **info)
{
	int ret = ask_dependents(device, 1, info);

	if (ret > 0)
		ret = ask_dependents(device, (uint32_t)ret, info);
	return ret > 0 ? -E2BIG : ret;
}

/* The stack's open group of that number, or NULL. */
static const struct vfio_group *group_of(struct vfio *vfio, uint32_t number)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", number);
	return vfio_group_by_name(vfio, name);
}

static void not_ours(struct vfio_device *device, const struct vfio_pci_dependent_device *other,
		     struct vfio_error *error)
{
	vfio_fail(error, -EPERM, "%s: its hot reset takes %04x:%02x:%02x.%u along",
		  device->options.name, other->segment, other->bus, other->devfn >> 3,
		  other->devfn & 7u);
	vfio_error_hint(error, "attach that device, too, or leave both alone");
}

static bool check_dependents(struct vfio_device *device, const struct vfio_pci_hot_reset_info *info,
			     struct vfio_error *error)
{
	for (uint32_t i = 0; i < info->count; i++) {
		const struct vfio_pci_dependent_device *other = &info->devices[i];
		bool ours = info->flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID
				    ? other->devid != VFIO_PCI_DEVID_NOT_OWNED
				    : group_of(device->vfio, other->group_id) != NULL;

		if (!ours) {
			not_ours(device, other, error);
			return false;
		}
	}
	return true;
}

/* Each group proves once. */
static void add_proof(struct vfio_pci_hot_reset *arg, int32_t fd)
{
	for (uint32_t i = 0; i < arg->count; i++) {
		if (arg->group_fds[i] == fd)
			return;
	}
	arg->group_fds[arg->count++] = fd;
}

/*
 * With the descriptors of all groups concerned; none for a device of an iommufd, which is proof
 * itself.
 */
static int do_reset(struct vfio_device *device, const struct vfio_pci_hot_reset_info *info)
{
	struct vfio *vfio = device->vfio;
	bool by_id = info->flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID;
	struct vfio_pci_hot_reset *arg =
		vfio_alloc(vfio, sizeof(*arg) + info->count * sizeof(int32_t));
	int ret;

	if (!arg)
		return -ENOMEM;
	for (uint32_t i = 0; i < info->count && !by_id; i++)
		add_proof(arg, group_of(vfio, info->devices[i].group_id)->fd);
	arg->argsz = (uint32_t)(sizeof(*arg) + arg->count * sizeof(int32_t));
	ret = device->ops->io->hot_reset(device, arg);
	vfio_release(vfio, arg);
	return ret;
}

bool vfio_device_hot_reset(struct vfio_device *device, struct vfio_error *error)
{
	struct vfio_pci_hot_reset_info *info = NULL;
	int ret;

	if (!device->ops->io->hot_reset)
		return vfio_fail(error, -ENOTTY, "%s has no slot or bus to reset",
				 device->options.name);
	ret = get_dependents(device, &info);
	if (ret)
		return vfio_fail(error, ret, "%s: VFIO_DEVICE_GET_PCI_HOT_RESET_INFO",
				 device->options.name);
	if (!check_dependents(device, info, error)) {
		vfio_release(device->vfio, info);
		return false;
	}
	ret = do_reset(device, info);
	vfio_release(device->vfio, info);
	return !ret || vfio_fail(error, ret, "%s: VFIO_DEVICE_PCI_HOT_RESET", device->options.name);
}
