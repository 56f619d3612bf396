/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device's DMA.
 *
 * Imitates no code of Linux but what the IOMMU hardware does between a device and memory: each
 * access goes through the domain that the device's group is attached to, page by page; one that
 * finds no mapping, or one without the right that it needs, is a fault. Kept: what was done before
 * a fault stays done; a write marks its pages dirty. Memory that
 * is far (vfake/bridge.h) may need time: then the access has not happened, and the device repeats
 * it. Dropped: address translation in the device,
 * page requests, and a fault log.
 */
#include <string.h>
#include <vfake/bridge.h>

#include "vfio.h"

static int far_access(const struct vfake_memory *memory, uint64_t offset, void *bytes, uint64_t len,
		      bool write)
{
	return write ? memory->write(memory->ctx, offset, bytes, len)
		     : memory->read(memory->ctx, offset, bytes, len);
}

static int dma_step(struct vfake_domain *domain, uint64_t iova, unsigned char *bytes, uint64_t len,
		    bool write, uint64_t *done)
{
	struct vfake_translation to = { 0 };
	unsigned char *there;

	if (domain->ops->translate(domain, iova, len, &to) || !to.len)
		return -EFAULT;
	if (!(to.prot & (write ? VFAKE_IOMMU_WRITE : VFAKE_IOMMU_READ)))
		return -EFAULT;
	*done = to.len < len ? to.len : len;
	if (to.mem->source && !to.mem->source->bytes) {
		int ret = far_access(to.mem->source, to.offset, bytes, *done, write);

		if (ret)
			return ret == -EAGAIN ? ret : -EFAULT;
	} else {
		there = vfake_mem_bytes(to.mem, to.offset);
		if (!there)
			return -EFAULT;
		memcpy(write ? there : bytes, write ? bytes : there, *done);
	}
	if (write && domain->ops->dirtied)
		domain->ops->dirtied(domain, iova, *done);
	return 0;
}

int vfio_device_dma(struct vfio_device *device, uint64_t iova, void *bytes, uint64_t len,
		    bool write)
{
	struct vfake_domain *domain = device->group->domain;
	unsigned char *at = bytes;

	if (!domain || (len && iova + (len - 1) < iova))
		return -EFAULT;
	while (len) {
		uint64_t done = 0;
		int ret = dma_step(domain, iova, at, len, write, &done);

		if (ret)
			return ret;
		iova += done;
		at += done;
		len -= done;
	}
	return 0;
}
