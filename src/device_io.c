/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that the kernel has a descriptor for: each operation is its system call.
 */
#include <string.h>

#include "device_io.h"

static int fd_info(struct vfio_device *device, struct vfio_device_info *info)
{
	return (int)vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_GET_INFO, info);
}

static int fd_region_info(struct vfio_device *device, struct vfio_region_info *info)
{
	return (int)vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_GET_REGION_INFO, info);
}

static long fd_read(struct vfio_device *device, const struct vfio_region *region, uint64_t offset,
		    void *bytes, size_t len)
{
	const struct vfio_sys *sys = &device->vfio->sys;

	return sys->pread(sys->ctx, device->fd, (uint64_t)(uintptr_t)bytes, len,
			  region->offset + offset);
}

static long fd_write(struct vfio_device *device, const struct vfio_region *region, uint64_t offset,
		     const void *bytes, size_t len)
{
	const struct vfio_sys *sys = &device->vfio->sys;

	return sys->pwrite(sys->ctx, device->fd, (uint64_t)(uintptr_t)bytes, len,
			   region->offset + offset);
}

static int fd_map(struct vfio_device *device, const struct vfio_region *region,
		  const struct vfio_mmap_area *area, int prot, uint64_t *addr)
{
	const struct vfio_sys *sys = &device->vfio->sys;

	return sys->mmap(sys->ctx, area->size, prot, device->fd, region->offset + area->offset,
			 addr);
}

static int fd_irq_info(struct vfio_device *device, struct vfio_irq_info *info)
{
	return (int)vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_GET_IRQ_INFO, info);
}

static long fd_set_irqs(struct vfio_device *device, const struct vfio_irq_set *set)
{
	return vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_SET_IRQS, (void *)(uintptr_t)set);
}

static int fd_reset(struct vfio_device *device)
{
	return (int)vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_RESET, NULL);
}

static int fd_hot_reset_info(struct vfio_device *device, struct vfio_pci_hot_reset_info *info)
{
	return (int)vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info);
}

static int fd_hot_reset(struct vfio_device *device, const struct vfio_pci_hot_reset *reset)
{
	return (int)vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_PCI_HOT_RESET,
			       (void *)(uintptr_t)reset);
}

static int fd_feature(struct vfio_device *device, uint32_t flags, void *payload, size_t size)
{
	union {
		struct vfio_device_feature head;
		uint8_t bytes[sizeof(struct vfio_device_feature) + VFIO_FEATURE_MAX_BYTES];
		uint64_t align;
	} arg = { .head = { .argsz = (uint32_t)(sizeof(struct vfio_device_feature) + size),
			    .flags = flags } };
	uint8_t *data = arg.bytes + sizeof(struct vfio_device_feature);
	int ret;

	if (size)
		memcpy(data, payload, size);
	ret = (int)vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_FEATURE, &arg);
	/* The state comes back from a failed change of state as well. */
	if (size)
		memcpy(payload, data, size);
	return ret;
}

static int fd_log_start(struct vfio_device *device, const struct vfio_range *ranges, uint32_t count,
			uint64_t pgsize)
{
	struct vfio_device_feature_dma_logging_range *list =
		vfio_alloc(device->vfio, count * sizeof(*list));
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = pgsize, .num_ranges = count, .ranges = (uint64_t)(uintptr_t)list
	};
	int ret;

	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		list[i].iova = ranges[i].start;
		list[i].length = ranges[i].last - ranges[i].start + 1;
	}
	ret = fd_feature(device, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
			 &control, sizeof(control));
	vfio_release(device->vfio, list);
	return ret;
}

static int fd_log_read(struct vfio_device *device, uint64_t iova, uint64_t size,
		       const struct vfio_dirty *dirty)
{
	struct vfio_device_feature_dma_logging_report report = {
		.iova = iova,
		.length = size,
		.page_size = dirty->pgsize,
		.bitmap = (uint64_t)(uintptr_t)dirty->bitmap
	};

	return fd_feature(device, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
			  &report, sizeof(report));
}

static long fd_mig_read(struct vfio_device *device, void *bytes, size_t len)
{
	const struct vfio_sys *sys = &device->vfio->sys;

	return sys->read(sys->ctx, device->data_fd, (uint64_t)(uintptr_t)bytes, len);
}

static long fd_mig_write(struct vfio_device *device, const void *bytes, size_t len)
{
	const struct vfio_sys *sys = &device->vfio->sys;

	return sys->write(sys->ctx, device->data_fd, (uint64_t)(uintptr_t)bytes, len);
}

const struct vfio_device_io vfio_descriptor_io = {
	.info = fd_info,
	.region_info = fd_region_info,
	.read = fd_read,
	.write = fd_write,
	.map = fd_map,
	.irq_info = fd_irq_info,
	.set_irqs = fd_set_irqs,
	.reset = fd_reset,
	.hot_reset_info = fd_hot_reset_info,
	.hot_reset = fd_hot_reset,
	.feature = fd_feature,
	.log_start = fd_log_start,
	.log_read = fd_log_read,
	.mig_read = fd_mig_read,
	.mig_write = fd_mig_write,
};
