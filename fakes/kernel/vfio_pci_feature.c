/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO_DEVICE_FEATURE of a PCI device.
 *
 * Imitates vfio_pci_core_ioctl_feature() and the features of drivers/vfio/vfio_main.c that need a
 * driver's help, Linux 7.2.
 *
 * Kept: low power is entered once and left by any call on the device when it was entered with a
 * wake-up eventfd, which then says so; a device without SR-IOV has no VF token; migration and DMA
 * logging are for the device's model, and without one they do not exist (ENOTTY; EINVAL for
 * PRECOPY_INFOv2, which Linux judges by the migration flags).
 *
 * Dropped: the time that a suspend takes: it is complete when the next call comes.
 */
#include "vfio_pci.h"

static int enter_low_power(struct vfio_pci *pci, struct vfake_eventfd *wake)
{
	vfio_pci_revoke_dmabufs(pci, true);
	if (pci->low_power)
		return -EINVAL;
	pci->low_power = true;
	pci->wake = wake;
	return 0;
}

static long low_power_entry(struct vfio_pci *pci, uint32_t flags, uint64_t data_len)
{
	int ret = vfio_check_feature(flags, data_len, VFIO_DEVICE_FEATURE_SET, 0);

	return ret == 1 ? enter_low_power(pci, NULL) : ret;
}

static long low_power_entry_with_wakeup(struct vfio_pci *pci, struct vfake_call *call,
					uint32_t flags, uint64_t data, uint64_t data_len)
{
	struct vfio_device_low_power_entry_with_wakeup entry;
	struct vfake_eventfd *wake;
	int ret = vfio_check_feature(flags, data_len, VFIO_DEVICE_FEATURE_SET, sizeof(entry));

	if (ret != 1)
		return ret;
	if (vfake_copy_in(call, &entry, data, sizeof(entry)))
		return -EFAULT;
	if (entry.wakeup_eventfd < 0)
		return -EINVAL;
	wake = vfake_eventfd_get(call->task, entry.wakeup_eventfd, &ret);
	if (!wake)
		return ret;
	ret = vfake_fault(call->kernel, VFAKE_FAULT_COMMIT);
	if (!ret)
		ret = enter_low_power(pci, wake);
	if (ret)
		vfake_eventfd_put(wake);
	return ret;
}

static long low_power_exit(struct vfio_pci *pci, uint32_t flags, uint64_t data_len)
{
	int ret = vfio_check_feature(flags, data_len, VFIO_DEVICE_FEATURE_SET, 0);

	if (ret != 1)
		return ret;
	vfio_pci_leave_low_power(pci);
	vfio_pci_revoke_dmabufs(pci, !vfio_pci_memory_enabled(pci));
	return 0;
}

void vfio_pci_wake(struct vfio_device *device)
{
	struct vfio_pci *pci = vfio_pci_of(device);

	if (!pci->low_power)
		return;
	/*
	 * The suspend after the call before took the function out of whatever state the user had
	 * left it in, and through D3hot where it has that; this call finds it back in D0.
	 */
	vfio_pci_set_power(pci, PCI_HW_POWER_D0);
	vfio_pci_set_power(pci, PCI_HW_POWER_D3HOT);
	vfio_pci_set_power(pci, PCI_HW_POWER_D0);
	if (!pci->wake)
		return;
	vfake_eventfd_signal(pci->wake);
	vfio_pci_leave_low_power(pci);
}

long vfio_pci_feature(struct vfio_device *device, struct vfake_call *call, uint32_t flags,
		      uint64_t data, uint64_t data_len)
{
	struct vfio_pci *pci = vfio_pci_of(device);

	switch (flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
		return low_power_entry(pci, flags, data_len);
	case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
		return low_power_entry_with_wakeup(pci, call, flags, data, data_len);
	case VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
		return low_power_exit(pci, flags, data_len);
	case VFIO_DEVICE_FEATURE_DMA_BUF:
		return vfio_pci_feature_dmabuf(pci, call, flags, data, data_len);
	case VFIO_DEVICE_FEATURE_MIGRATION:
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
	case VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
		return pci->model->feature ? pci->model->feature(pci, call, flags, data, data_len)
					   : -ENOTTY;
	case VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2:
		return pci->model->feature ? pci->model->feature(pci, call, flags, data, data_len)
					   : -EINVAL;
	default:
		return -ENOTTY;
	}
}
