/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BARs as dma-bufs.
 *
 * Imitates drivers/vfio/pci/vfio_pci_dmabuf.c, Linux 7.2.
 *
 * Kept: the order of checks on ranges; only memory BARs can be exported; a dma-buf is revoked while
 * its BAR cannot be reached, and for good when the device closes, but its file lives on; iommufd
 * can map one of a single range that is not revoked.
 *
 * Dropped: attaching to a dma-buf through other drivers; open_flags beyond taking them; mmap() of
 * the file, which Linux refuses as well.
 */
#include <string.h>

#include "vfio_pci.h"

enum {
	RANGES_MAX = (4 << 20) / (int)sizeof(struct vfio_region_dma_range)
}; /* what one kmalloc() can hold */

struct vfio_pci_dmabuf {
	LIST_ENTRY(vfio_pci_dmabuf) entry;
	struct vfio_pci *pci;  /* NULL once the device closed */
	struct vfake_mem *mem; /* counted */
	uint32_t range_count;
	bool revoked;
	uint64_t revocations; /* times that it was: who maps it loses it for good */
	uint64_t size_bytes;  /* of all ranges */
	struct vfio_region_dma_range first;
};

static void dmabuf_release(struct vfake_file *file)
{
	struct vfio_pci_dmabuf *buf = file->data;

	if (buf->pci)
		LIST_REMOVE(buf, entry);
	vfake_mem_put(buf->mem);
	vfake_free(file->kernel, buf);
}

static int dmabuf_mmap(struct vfake_file *file, struct vfake_task *task, uint64_t len, int prot,
		       uint64_t offset, uint64_t *addr)
{
	(void)file, (void)task, (void)len, (void)prot, (void)offset, (void)addr;
	return -EINVAL;
}

static const struct vfake_file_ops dmabuf_ops = {
	.name = "dma-buf",
	.release = dmabuf_release,
	.mmap = dmabuf_mmap,
};

struct vfake_mem *vfio_dmabuf_mem(struct vfake_file *file, uint64_t *offset, uint64_t *len,
				  int *error)
{
	struct vfio_pci_dmabuf *buf = file->data;

	*error = -EINVAL;
	if (file->ops != &dmabuf_ops)
		return NULL;
	*error = buf->revoked ? -ENODEV : -EOPNOTSUPP;
	*len = buf->size_bytes;
	if (buf->revoked || buf->range_count != 1)
		return NULL;
	*error = 0;
	*offset = buf->first.offset;
	return buf->mem;
}

uint64_t vfio_dmabuf_revocations(const struct vfake_file *file)
{
	const struct vfio_pci_dmabuf *buf = file->data;

	return buf->revocations;
}

static void set_revoked(struct vfio_pci_dmabuf *buf, bool revoked)
{
	if (revoked && !buf->revoked)
		buf->revocations++;
	buf->revoked = revoked;
}

void vfio_pci_revoke_dmabufs(struct vfio_pci *pci, bool revoked)
{
	struct vfio_pci_dmabuf *buf;

	LIST_FOREACH(buf, &pci->dmabufs, entry)
	set_revoked(buf, revoked);
}

void vfio_pci_end_dmabufs(struct vfio_pci *pci)
{
	struct vfio_pci_dmabuf *buf;

	while ((buf = LIST_FIRST(&pci->dmabufs))) {
		set_revoked(buf, true);
		buf->pci = NULL;
		LIST_REMOVE(buf, entry);
	}
}

static int check_ranges(const struct vfio_pci *pci, const struct vfio_region_dma_range *ranges,
			uint32_t count)
{
	uint64_t page_mask = vfake_page_size(pci->kernel) - 1;
	uint64_t total = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (!ranges[i].length || ((ranges[i].offset | ranges[i].length) & page_mask))
			return -EINVAL;
		if (__builtin_add_overflow(total, ranges[i].length, &total))
			return -EINVAL;
	}
	return total >> 63 ? -EINVAL : 0;
}

/* The ranges lie in the BAR; what leaves the address space altogether has its own errno. */
static int check_in_bar(const struct vfio_pci *pci, uint32_t index,
			const struct vfio_region_dma_range *ranges, uint32_t count)
{
	const struct vfake_bar *bar = &pci->hw.desc->bars[index];
	uint64_t start =
		pci_hw_get32(&pci->hw, PCI_BASE_ADDRESS_0 + 4 * index) & ~(bar->size_bytes - 1);

	if (bar->io)
		return -EINVAL;
	if (bar->is_64bit)
		start |= (uint64_t)pci_hw_get32(&pci->hw, PCI_BASE_ADDRESS_0 + 4 * index + 4) << 32;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t end;

		if (__builtin_add_overflow(start, ranges[i].offset, &end) ||
		    __builtin_add_overflow(end, ranges[i].length, &end))
			return -EOVERFLOW;
		if (end > start + bar->size_bytes)
			return -EINVAL;
	}
	return 0;
}

static long export(struct vfio_pci *pci, struct vfake_task *task,
		   const struct vfio_device_feature_dma_buf *get,
		   const struct vfio_region_dma_range *ranges)
{
	struct vfio_pci_dmabuf *buf;
	int fd = check_ranges(pci, ranges, get->nr_ranges);

	if (!fd)
		fd = check_in_bar(pci, get->region_index, ranges, get->nr_ranges);
	if (fd)
		return fd;
	buf = vfake_alloc(pci->kernel, sizeof(*buf));
	if (!buf)
		return -ENOMEM;
	buf->mem = pci->hw.bars[get->region_index];
	buf->range_count = get->nr_ranges;
	buf->first = ranges[0];
	for (uint32_t i = 0; i < get->nr_ranges; i++)
		buf->size_bytes += ranges[i].length;
	buf->revoked = !vfio_pci_memory_enabled(pci);
	fd = vfake_fault(pci->kernel, VFAKE_FAULT_COMMIT);
	if (!fd)
		fd = vfake_fd_new(task, &dmabuf_ops, buf);
	if (fd < 0) {
		vfake_free(pci->kernel, buf);
		return fd;
	}
	vfake_mem_get(buf->mem);
	buf->pci = pci;
	LIST_INSERT_HEAD(&pci->dmabufs, buf, entry);
	return fd;
}

long vfio_pci_feature_dmabuf(struct vfio_pci *pci, struct vfake_call *call, uint32_t flags,
			     uint64_t data, uint64_t data_len)
{
	struct vfio_device_feature_dma_buf get;
	struct vfio_region_dma_range *ranges;
	int ret = vfio_check_feature(flags, data_len, VFIO_DEVICE_FEATURE_GET, sizeof(get));
	uint64_t size;
	long fd;

	if (ret != 1)
		return ret;
	if (vfake_copy_in(call, &get, data, sizeof(get)))
		return -EFAULT;
	if (!get.nr_ranges || get.flags)
		return -EINVAL;
	if (get.region_index >= VFIO_PCI_ROM_REGION_INDEX ||
	    !pci->hw.desc->bars[get.region_index].size_bytes)
		return -ENODEV;
	if (get.nr_ranges > RANGES_MAX)
		return -ENOMEM;
	size = get.nr_ranges * sizeof(*ranges);
	ranges = vfake_alloc(call->kernel, size);
	if (!ranges)
		return -ENOMEM;
	fd = vfake_copy_in(call, ranges, data + sizeof(get), size);
	if (!fd)
		fd = export(pci, call->task, &get, ranges);
	vfake_free(call->kernel, ranges);
	return fd;
}
