/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfio-pci: a PCI device's life from probe to last close, and what it tells about itself.
 *
 * Imitates drivers/vfio/pci/vfio_pci.c and vfio_pci_core.c, Linux 7.2.
 *
 * Kept: the first open resets the function if it can be reset and copies its configuration space,
 * the last close puts back what was there; which BARs can be mapped (all of memory that are a page
 * or longer, and shorter ones alone on their page); the BAR with the MSI-X table may be mapped
 * whole and says so; region 8 (VGA) is not there.
 *
 * Dropped: graphics devices with regions of their own, AtomicOps towards a root port, SR-IOV, s390.
 */
#include <string.h>

#include "vfio_pci.h"

/* ---- a model's DMA ---- */

int vfio_pci_dma(struct vfio_pci *pci, uint64_t iova, void *bytes, uint64_t len, bool write)
{
	if (pci->hw.power != PCI_HW_POWER_D0 ||
	    !(pci_hw_get16(&pci->hw, PCI_COMMAND) & PCI_COMMAND_MASTER))
		return -EFAULT;
	return vfio_device_dma(pci->device, iova, bytes, len, write);
}

/* ---- open and close ---- */

static void hw_command(struct vfio_pci *pci, uint32_t clear, uint32_t set)
{
	uint32_t command = pci_hw_get16(&pci->hw, PCI_COMMAND);

	pci_hw_set16(&pci->hw, PCI_COMMAND, (uint16_t)((command & ~clear) | set));
}

/* What pci_enable_device() turns on: decoding of the kinds of BARs that there are. */
static uint32_t decode_bits(const struct vfio_pci *pci)
{
	const struct vfake_device_desc *desc = pci->hw.desc;
	uint32_t bits = desc->rom_size_bytes ? PCI_COMMAND_MEMORY : 0;

	for (int i = 0; i < VFAKE_BARS; i++) {
		if (desc->bars[i].size_bytes)
			bits |= desc->bars[i].io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	}
	return bits;
}

static int open_device(struct vfio_device *device)
{
	struct vfio_pci *pci = vfio_pci_of(device);
	int ret;

	hw_command(pci, PCI_COMMAND_MASTER, decode_bits(pci));
	pci->reset_works = device->desc->reset_works;
	vfio_pci_try_reset_function(pci);
	pci_hw_save(&pci->hw, &pci->saved);
	hw_command(pci, PCI_COMMAND_INTX_DISABLE, 0);
	ret = vfio_pci_config_init(pci);
	if (!ret && pci->model->open)
		pci->model->open(pci);
	return ret;
}

static void close_device(struct vfio_device *device)
{
	struct vfio_pci *pci = vfio_pci_of(device);

	if (pci->model->close)
		pci->model->close(pci);
	vfio_pci_end_dmabufs(pci);
	vfio_pci_leave_low_power(pci);
	vfio_pci_set_power(pci, PCI_HW_POWER_D0);
	hw_command(pci, PCI_COMMAND_MASTER, 0);
	vfio_pci_end_irqs(pci);
	vfio_pci_end_ioeventfds(pci);
	pci->virq_disabled = false;
	vfio_pci_config_free(pci);
	pci->needs_reset = true;
	if (pci->reset_works) {
		vfio_pci_hw_reset(pci);
		pci->needs_reset = false;
	}
	pci_hw_restore(&pci->hw, &pci->saved);
	pci->saved.valid = false;
	vfio_pci_set_try_reset(pci);
	vfake_eventfd_put(pci->err_trigger);
	vfake_eventfd_put(pci->req_trigger);
	pci->err_trigger = NULL;
	pci->req_trigger = NULL;
}

/* ---- probe ---- */

static uint64_t bar_start(const struct vfake_device_desc *desc, int bar)
{
	const uint8_t *reg = &desc->config[PCI_BASE_ADDRESS_0 + 4 * bar];
	uint64_t start =
		reg[0] | (uint64_t)reg[1] << 8 | (uint64_t)reg[2] << 16 | (uint64_t)reg[3] << 24;

	if (desc->bars[bar].is_64bit) {
		for (int i = 0; i < 4; i++)
			start |= (uint64_t)reg[4 + i] << (32 + 8 * i);
	}
	return start & ~(desc->bars[bar].size_bytes - 1);
}

/* Whether some other memory BAR begins in [start, end). */
static bool is_shared(const struct vfake_kernel *kernel, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < kernel->world.device_count; i++) {
		const struct vfake_device_desc *desc = &kernel->world.devices[i];

		for (int bar = 0; bar < VFAKE_BARS; bar++) {
			uint64_t other;

			if (!desc->bars[bar].size_bytes || desc->bars[bar].io)
				continue;
			other = bar_start(desc, bar);
			if (other >= start && other < end)
				return true;
		}
	}
	return false;
}

static bool is_mappable(const struct vfio_pci *pci, int bar)
{
	const struct vfake_device_desc *desc = pci->hw.desc;
	uint64_t page = vfake_page_size(pci->kernel);
	uint64_t size = desc->bars[bar].size_bytes;
	uint64_t start;

	if (!size || desc->bars[bar].io ||
	    (pci->model->mappable && !pci->model->mappable(pci, bar)))
		return false;
	if (size >= page)
		return true;
	start = bar_start(desc, bar);
	return !(start & (page - 1)) && !is_shared(pci->kernel, start + size, start + page);
}

static void free_device(struct vfio_device *device)
{
	struct vfio_pci *pci = vfio_pci_of(device);

	if (pci->model->free)
		pci->model->free(pci);
	pci_hw_free(&pci->hw, pci->kernel);
	vfake_free(device->kernel, pci);
}

static const struct vfio_device_ops vfio_pci_ops = {
	.wake = vfio_pci_wake,
	.open_device = open_device,
	.close_device = close_device,
	.read = vfio_pci_read,
	.write = vfio_pci_write,
	.mmap = vfio_pci_mmap,
	.feature = vfio_pci_feature,
	.free = free_device,
};

int vfio_pci_probe(struct vfio_device *device)
{
	struct vfio_pci *pci = vfake_alloc(device->kernel, sizeof(*pci));
	int ret;

	if (!pci)
		return -ENOMEM;
	pci->device = device;
	pci->kernel = device->kernel;
	pci->model = vfio_pci_model(device->desc->model);
	pci->irq_type = VFIO_PCI_NUM_IRQS;
	LIST_INIT(&pci->ioeventfds);
	LIST_INIT(&pci->dmabufs);
	ret = pci_hw_init(&pci->hw, device->kernel, device->desc);
	if (ret)
		goto err_free;
	for (int i = 0; i < VFAKE_BARS; i++)
		pci->bar_mappable[i] = is_mappable(pci, i);
	device->driver_data = pci;
	device->ops = &vfio_pci_ops;
	ret = pci->model->probe ? pci->model->probe(pci) : 0;
	if (!ret)
		return 0;
	pci_hw_free(&pci->hw, device->kernel);
err_free:
	vfake_free(device->kernel, pci);
	return ret;
}

/* ---- what the user asks ---- */

uint32_t vfio_pci_irq_count(const struct vfio_pci *pci, uint32_t irq_index)
{
	switch (irq_index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return pci->vconfig[PCI_INTERRUPT_PIN] ? 1 : 0;
	case VFIO_PCI_MSI_IRQ_INDEX:
		return pci_hw_msi_vectors(&pci->hw);
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return pci_hw_msix_vectors(&pci->hw);
	case VFIO_PCI_ERR_IRQ_INDEX:
		return pci_hw_is_express(&pci->hw) ? 1 : 0;
	case VFIO_PCI_REQ_IRQ_INDEX:
		return 1;
	default:
		return 0;
	}
}

long vfio_pci_get_info(struct vfake_call *call)
{
	struct vfio_device_info *info = call->arg;
	const struct vfio_pci *pci = vfio_pci_call(call);

	info->flags = VFIO_DEVICE_FLAGS_PCI | (pci->reset_works ? VFIO_DEVICE_FLAGS_RESET : 0);
	info->num_regions = VFIO_PCI_NUM_REGIONS;
	info->num_irqs = VFIO_PCI_NUM_IRQS;
	info->cap_offset = 0;
	info->pad = 0;
	return 0;
}

static void bar_info(const struct vfio_pci *pci, struct vfio_region_info *info,
		     struct vfio_caps *caps)
{
	info->size = pci->hw.desc->bars[info->index].size_bytes;
	info->flags = 0;
	if (!info->size)
		return;
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	if (!pci->bar_mappable[info->index])
		return;
	info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	if ((int)info->index == pci->msix_bar)
		vfio_caps_add(caps, sizeof(struct vfio_info_cap_header),
			      VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1);
}

long vfio_pci_get_region_info(struct vfake_call *call)
{
	const struct vfio_pci *pci = vfio_pci_call(call);
	struct vfio_region_info *info = call->arg;
	struct vfio_caps caps;

	caps.size_bytes = 0;
	if (info->index >= VFIO_PCI_VGA_REGION_INDEX)
		return -EINVAL;
	if (info->index == VFIO_PCI_CONFIG_REGION_INDEX) {
		info->size = pci->hw.desc->config_size_bytes;
		info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	} else if (info->index == VFIO_PCI_ROM_REGION_INDEX) {
		/* Linux looks for an image with memory enabled, but does not power the device up.
		 */
		info->size = pci->hw.power == PCI_HW_POWER_D0 ? pci->hw.desc->rom_size_bytes : 0;
		info->flags = info->size ? VFIO_REGION_INFO_FLAG_READ : 0;
	} else {
		bar_info(pci, info, &caps);
	}
	info->offset = (uint64_t)info->index << VFIO_PCI_OFFSET_SHIFT;
	if (caps.size_bytes)
		info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	return vfio_caps_finish(call, &caps, sizeof(*info), &info->argsz, &info->cap_offset);
}
