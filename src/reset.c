/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Resets: of a function, and of a slot or bus with everything on it.
 *
 * A hot reset takes other devices along. The kernel lists them, by IOMMU group or by id in the
 * device's iommufd, and wants proof that all are the caller's. The stack says so itself first,
 * because it can name the one that is not.
 */
#include <stdlib.h>
#include <string.h>

#include "device_io.h"

enum { DEPENDENTS_MAX = 4096, GROUPS_MAX = 256 };

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

/* The number in a group's name, or -1: noiommu groups have numbers of their own. */
static int64_t group_number(const struct vfio_group *group)
{
	int64_t number = 0;

	for (const char *c = group->name; *c; c++) {
		if (*c < '0' || *c > '9' || number > UINT32_MAX)
			return -1;
		number = number * 10 + (*c - '0');
	}
	return number;
}

/* A device of the stack in IOMMU group @number, or NULL. */
static struct vfio_device *device_in_group(struct vfio *vfio, uint32_t number)
{
	struct vfio_device *device;

	TAILQ_FOREACH(device, &vfio->devices, entry)
	{
		if (device->group && group_number(device->group) == number)
			return device;
	}
	return NULL;
}

static bool not_ours(struct vfio_device *device, const struct vfio_pci_dependent_device *other,
		     struct vfio_error *error)
{
	vfio_fail(error, -EPERM, "%s: its hot reset takes %04x:%02x:%02x.%u along",
		  device->options.name, other->segment, other->bus, other->devfn >> 3,
		  other->devfn & 7u);
	vfio_error_hint(error, "attach that device, too, or leave both alone");
	return false;
}

static bool check_dependents(struct vfio_device *device, const struct vfio_pci_hot_reset_info *info,
			     struct vfio_error *error)
{
	for (uint32_t i = 0; i < info->count; i++) {
		const struct vfio_pci_dependent_device *other = &info->devices[i];
		bool ours = info->flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID
				    ? other->devid != VFIO_PCI_DEVID_NOT_OWNED
				    : device_in_group(device->vfio, other->group_id) != NULL;

		if (!ours)
			return not_ours(device, other, error);
	}
	return true;
}

static bool add_proof(int32_t *fds, uint32_t *count, const int32_t *more, int more_count)
{
	for (int i = 0; i < more_count; i++) {
		uint32_t at = 0;

		while (at < *count && fds[at] != more[i])
			at++;
		if (at < *count)
			continue;
		if (*count == GROUPS_MAX)
			return false;
		fds[(*count)++] = more[i];
	}
	return true;
}

/*
 * The descriptors of all groups concerned, each once; none for devices of an iommufd. -errno for
 * an error.
 */
static int collect_proof(struct vfio_device *device, const struct vfio_pci_hot_reset_info *info,
			 int32_t *fds)
{
	uint32_t count = 0;

	if (info->flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID)
		return 0;
	for (uint32_t i = 0; i < info->count; i++) {
		struct vfio_device *other =
			device_in_group(device->vfio, info->devices[i].group_id);
		int32_t more[4];
		int got = other->ops->reset_fds(other, more, 4);

		if (got < 0)
			return got;
		if (!add_proof(fds, &count, more, got))
			return -E2BIG;
	}
	return (int)count;
}

static int do_reset(struct vfio_device *device, const int32_t *fds, uint32_t count)
{
	uint32_t bytes = (uint32_t)(sizeof(struct vfio_pci_hot_reset) + count * sizeof(int32_t));
	struct vfio_pci_hot_reset *arg = vfio_alloc(device->vfio, bytes);
	int ret;

	if (!arg)
		return -ENOMEM;
	arg->argsz = bytes;
	arg->count = count;
	memcpy(arg->group_fds, fds, count * sizeof(int32_t));
	ret = device->ops->io->hot_reset(device, arg);
	vfio_release(device->vfio, arg);
	return ret;
}

bool vfio_device_hot_reset(struct vfio_device *device, struct vfio_error *error)
{
	struct vfio_pci_hot_reset_info *info = NULL;
	int32_t fds[GROUPS_MAX];
	int count, ret;

	if (!device->ops->io->hot_reset)
		return vfio_fail(error, -ENOTTY, "%s has no slot or bus to reset",
				 device->options.name);
	count = get_dependents(device, &info);
	if (count)
		return vfio_fail(error, count, "%s: VFIO_DEVICE_GET_PCI_HOT_RESET_INFO",
				 device->options.name);
	if (!check_dependents(device, info, error)) {
		vfio_release(device->vfio, info);
		return false;
	}
	count = collect_proof(device, info, fds);
	vfio_release(device->vfio, info);
	ret = count < 0 ? count : do_reset(device, fds, (uint32_t)count);
	return !ret || vfio_fail(error, ret, "%s: VFIO_DEVICE_PCI_HOT_RESET", device->options.name);
}
