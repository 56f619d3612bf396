/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI device's power states and resets.
 *
 * Imitates the power and reset parts of drivers/vfio/pci/vfio_pci_core.c, Linux 7.2, and
 * pci_try_reset_function() and pci_reset_bus() of the PCI core.
 *
 * Kept: a reset keeps configuration space as Linux saves and restores it, with memory, I/O and
 * DisINTx as they were; the user's virtual registers do not change; a function that loses its state
 * in D3hot gets it back on the way out; a hot reset takes all devices of the bus along, and needs
 * all of their groups or one iommufd that owns them all; a bus without reset is ENODEV; the last
 * close of a bus's devices resets it.
 *
 * Dropped: slots (a reset is one of the bus), devices on a bus that VFIO does not drive, run-time
 * suspend of the bus.
 */
#include <string.h>

#include "iommufd.h"
#include "vfio_pci.h"

/* ---- power ---- */

/* The function forgets its registers in D3hot. */
static bool loses_state(const struct vfio_pci *pci)
{
	const struct pci_hw *hw = &pci->hw;

	return hw->pm_cap &&
	       !(pci_hw_get16(hw, hw->pm_cap + PCI_PM_CTRL) & PCI_PM_CTRL_NO_SOFT_RESET);
}

int vfio_pci_set_power(struct vfio_pci *pci, int state)
{
	int before = pci->hw.power;
	int ret;

	if (before < PCI_HW_POWER_D3HOT && state == PCI_HW_POWER_D3HOT && loses_state(pci))
		pci_hw_save(&pci->hw, &pci->pm_saved);
	ret = pci_hw_set_power(&pci->hw, state);
	if (!ret && before == PCI_HW_POWER_D3HOT && state == PCI_HW_POWER_D0 && loses_state(pci)) {
		vfio_pci_hw_reset(pci);
		pci_hw_restore(&pci->hw, &pci->pm_saved);
		pci->pm_saved.valid = false;
	}
	return ret;
}

void vfio_pci_leave_low_power(struct vfio_pci *pci)
{
	pci->low_power = false;
	vfake_eventfd_put(pci->wake);
	pci->wake = NULL;
}

/* ---- function reset ---- */

/* What the device itself forgets; configuration space is Linux's to restore. */
void vfio_pci_hw_reset(struct vfio_pci *pci)
{
	if (pci->model->reset) {
		pci->model->reset(pci);
		return;
	}
	for (int i = 0; i < VFAKE_BARS; i++) {
		struct vfake_mem *mem = pci->hw.bars[i];

		if (mem && mem->bytes)
			memset(mem->bytes, 0, mem->size_bytes);
	}
}

void vfio_pci_try_reset_function(struct vfio_pci *pci)
{
	struct pci_saved saved = { 0 };

	if (!pci->reset_works)
		return;
	pci_hw_set_power(&pci->hw, PCI_HW_POWER_D0);
	pci_hw_save(&pci->hw, &saved);
	vfio_pci_hw_reset(pci);
	pci_hw_restore(&pci->hw, &saved);
}

long vfio_pci_reset(struct vfake_call *call)
{
	struct vfio_pci *pci = vfio_pci_call(call);

	if (!pci->reset_works)
		return -EINVAL;
	vfio_pci_set_power(pci, PCI_HW_POWER_D0);
	vfio_pci_revoke_dmabufs(pci, true);
	vfio_pci_try_reset_function(pci);
	vfio_pci_revoke_dmabufs(pci, !vfio_pci_memory_enabled(pci));
	return 0;
}

/* ---- hot reset ---- */

/* The devices that one reset of @device's bus hits. */
static bool same_bus(const struct vfio_device *device, const struct vfio_device *other)
{
	if (device == other)
		return true;
	return device->desc->bus_reset && other->desc->segment == device->desc->segment &&
	       other->desc->bus == device->desc->bus;
}

static uint32_t count_bus(const struct vfio_device *device)
{
	const struct vfio_device *other;
	uint32_t count = 0;

	LIST_FOREACH(other, &device->kernel->devices, entry)
	count += same_bus(device, other);
	return count;
}

/* The iommufd of a device that was opened through its cdev, or NULL. */
static struct iommufd_ctx *cdev_iommufd(const struct vfake_call *call)
{
	const struct vfio_device_file *df = call->file->data;

	return df->device->cdev_opened ? df->iommufd : NULL;
}

/*
 * How @ictx knows another device of the bus: by its id there; as owned, when a device of the same
 * group is bound to it and nobody else can get at this one; or not at all.
 */
static uint32_t dependent_devid(const struct vfio_device *other, const struct iommufd_ctx *ictx)
{
	int id = vfio_iommufd_get_dev_id(other, ictx);

	if (id == -ENOENT)
		return VFIO_PCI_DEVID_OWNED;
	return id < 0 ? VFIO_PCI_DEVID_NOT_OWNED : (uint32_t)id;
}

static long copy_dependents(struct vfake_call *call, struct vfio_pci_hot_reset_info *info)
{
	struct vfio_device *device = vfio_call_device(call);
	struct iommufd_ctx *ictx = cdev_iommufd(call);
	uint64_t to = call->uarg + sizeof(*info);
	struct vfio_device *other;

	info->flags =
		ictx ? VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED : 0;
	LIST_FOREACH(other, &call->kernel->devices, entry)
	{
		struct vfio_pci_dependent_device dependent = { .segment = other->desc->segment,
							       .bus = other->desc->bus,
							       .devfn = other->desc->devfn };

		if (!same_bus(device, other))
			continue;
		if (ictx)
			dependent.devid = dependent_devid(other, ictx);
		else
			dependent.group_id = other->group->number;
		if (ictx && dependent.devid == VFIO_PCI_DEVID_NOT_OWNED)
			info->flags &= ~VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
		if (vfake_copy_out(call, to, &dependent, sizeof(dependent)))
			return -EFAULT;
		to += sizeof(dependent);
	}
	return 0;
}

long vfio_pci_get_hot_reset_info(struct vfake_call *call)
{
	struct vfio_pci_hot_reset_info *info = call->arg;
	struct vfio_device *device = vfio_call_device(call);

	if (!device->desc->bus_reset)
		return -ENODEV;
	info->flags = 0;
	info->count = count_bus(device);
	if (info->count >
	    (call->size_bytes - sizeof(*info)) / sizeof(struct vfio_pci_dependent_device)) {
		call->respond = true;
		return -ENOSPC;
	}
	return copy_dependents(call, info);
}

/* Each device of the bus by itself: its registers are gone, what Linux saved of it comes back. */
static void reset_bus(struct vfio_device *device)
{
	struct vfio_device *other;

	LIST_FOREACH(other, &device->kernel->devices, entry)
	{
		struct pci_saved saved = { 0 };
		struct vfio_pci *pci = vfio_pci_of(other);

		if (!same_bus(device, other))
			continue;
		vfio_pci_set_power(pci, PCI_HW_POWER_D0);
		vfio_pci_revoke_dmabufs(pci, true);
		pci_hw_save(&pci->hw, &saved);
		vfio_pci_hw_reset(pci);
		pci_hw_restore(&pci->hw, &saved);
		vfio_pci_revoke_dmabufs(pci, !vfio_pci_memory_enabled(pci));
	}
}

/*
 * Linux holds the group files that it was given in an array; the descriptors serve as well here.
 * They are copied more than once, of which only the first time is Linux's and a fault point.
 */
static bool in_groups(struct vfake_call *call, struct vfio_device *device, uint32_t count)
{
	uint64_t from = call->uarg + sizeof(struct vfio_pci_hot_reset);

	for (uint32_t i = 0; i < count; i++) {
		struct vfake_file *file;
		int32_t fd;

		if (vfake_mm_read(call->task->mm, &fd, from + i * sizeof(fd), sizeof(fd)))
			return false;
		file = vfake_fd_file(call->task, fd);
		if (file && vfio_group_from_file(file) == device->group)
			return true;
	}
	return false;
}

static long check_group_fds(struct vfake_call *call, uint32_t count)
{
	const struct vfio_pci_hot_reset *arg = call->arg;
	uint64_t from = call->uarg + sizeof(*arg);
	int32_t fd;

	for (uint32_t i = 0; i < count; i++) {
		if (vfake_copy_in(call, &fd, from + i * sizeof(fd), sizeof(fd)))
			return -EFAULT;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct vfake_file *file;

		if (vfake_mm_read(call->task->mm, &fd, from + i * sizeof(fd), sizeof(fd)))
			return -EFAULT;
		file = vfake_fd_file(call->task, fd);
		if (!file)
			return -EBADF;
		if (!vfio_group_from_file(file))
			return -EINVAL;
	}
	return 0;
}

long vfio_pci_hot_reset(struct vfake_call *call)
{
	const struct vfio_pci_hot_reset *arg = call->arg;
	struct vfio_device *device = vfio_call_device(call);
	struct iommufd_ctx *ictx = cdev_iommufd(call);
	struct vfio_device *other;
	long ret;

	if (arg->flags || !!arg->count == device->cdev_opened)
		return -EINVAL;
	if (!device->desc->bus_reset)
		return -ENODEV;
	if (arg->count > count_bus(device))
		return -EINVAL;
	ret = check_group_fds(call, arg->count);
	if (ret)
		return ret;
	LIST_FOREACH(other, &call->kernel->devices, entry)
	{
		if (!same_bus(device, other))
			continue;
		if (ictx ? dependent_devid(other, ictx) == VFIO_PCI_DEVID_NOT_OWNED
			 : !in_groups(call, other, arg->count))
			return -EINVAL;
	}
	reset_bus(device);
	return 0;
}

/* After a last close: a bus of which nobody has a device open, and that some device of it left
 * dirty, is reset. */
void vfio_pci_set_try_reset(struct vfio_pci *pci)
{
	struct vfio_device *device = pci->device;
	struct vfio_device *other;
	uint32_t open = 0;
	bool needed = false;

	if (!device->desc->bus_reset)
		return;
	LIST_FOREACH(other, &device->kernel->devices, entry)
	{
		if (!same_bus(device, other))
			continue;
		open += other->open_count;
		needed |= vfio_pci_of(other)->needs_reset;
	}
	if (!needed || open > 1) /* ours still counts */
		return;
	reset_bus(device);
	LIST_FOREACH(other, &device->kernel->devices, entry)
	{
		if (same_bus(device, other))
			vfio_pci_of(other)->needs_reset = false;
	}
}
