/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI device's BARs and ROM: read(), write(), mmap(), ioeventfds.
 *
 * Imitates drivers/vfio/pci/vfio_pci_rdwr.c and vfio_pci_core_mmap(), Linux 7.2.
 *
 * Kept: an access ends at the end of the BAR; it is cut into aligned pieces of 8, 4, 2 or 1 bytes
 * (the ROM: at most 4); a ROM that does not decode is ENOMEM; the MSI-X table and what lies behind
 * a ROM's image read as ones and drop writes; memory that is not enabled, or a device in D3hot, is
 * EIO in the middle of an access; ports that are not enabled read as ones; the VGA region does not
 * exist; an ioeventfd is known by place, width and value.
 *
 * Dropped: pages that disappear from a mapping while memory is not enabled (SIGBUS).
 */
#include <string.h>

#include "vfio_pci.h"

bool vfio_pci_memory_enabled(const struct vfio_pci *pci)
{
	return pci->vconfig && pci->hw.power < PCI_HW_POWER_D3HOT &&
	       (pci->vconfig[PCI_COMMAND] & PCI_COMMAND_MEMORY);
}

/* ---- registers ---- */

static uint64_t load_le(const uint8_t *bytes, uint32_t width)
{
	uint64_t value = 0;

	for (uint32_t i = width; i-- > 0;)
		value = value << 8 | bytes[i];
	return value;
}

static void store_le(uint8_t *bytes, uint64_t value, uint32_t width)
{
	for (uint32_t i = 0; i < width; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

static void bar_read(struct vfio_pci *pci, int bar, uint64_t at, uint8_t *val, uint32_t width)
{
	bool io = pci->hw.desc->bars[bar].io;
	unsigned char *bytes;

	if (!pci_hw_decodes(&pci->hw, io)) {
		memset(val, 0xff, width);
	} else if (pci->model->read) {
		store_le(val, pci->model->read(pci, bar, at, width), width);
	} else {
		bytes = io ? NULL : vfake_mem_bytes(pci->hw.bars[bar], at);
		if (bytes)
			memcpy(val, bytes, width);
		else
			memset(val, 0, width);
	}
}

static void bar_write(struct vfio_pci *pci, int bar, uint64_t at, const uint8_t *val,
		      uint32_t width)
{
	bool io = pci->hw.desc->bars[bar].io;
	unsigned char *bytes;

	if (!pci_hw_decodes(&pci->hw, io))
		return;
	if (pci->model->write) {
		pci->model->write(pci, bar, at, load_le(val, width), width);
		return;
	}
	bytes = io ? NULL : vfake_mem_bytes(pci->hw.bars[bar], at);
	if (bytes)
		memcpy(bytes, val, width);
}

static void rom_read(struct vfio_pci *pci, uint64_t at, uint8_t *val, uint32_t width)
{
	unsigned char *bytes =
		pci_hw_decodes(&pci->hw, false) ? vfake_mem_bytes(pci->hw.rom, at) : NULL;

	if (bytes)
		memcpy(val, bytes, width);
	else
		memset(val, 0xff, width);
}

/* ---- read() and write() ---- */

/* One access to a BAR or the ROM. [hole_start, hole_end) is not for the user. */
struct transfer {
	struct vfio_pci *pci;
	struct vfake_task *task;
	int bar;
	bool write;
	bool memory;
	uint32_t max_width;
	uint64_t hole_start;
	uint64_t hole_end;
};

static int move(const struct transfer *t, uint64_t buf, uint64_t at, uint32_t width)
{
	bool blocked = t->memory && !vfio_pci_memory_enabled(t->pci);
	uint8_t val[8];

	if (t->write) {
		if (vfake_user_read(t->task, val, buf, width))
			return -EFAULT;
		if (blocked)
			return -EIO;
		bar_write(t->pci, t->bar, at, val, width);
		return 0;
	}
	if (blocked)
		return -EIO;
	if (t->bar == VFIO_PCI_ROM_REGION_INDEX)
		rom_read(t->pci, at, val, width);
	else
		bar_read(t->pci, t->bar, at, val, width);
	return vfake_user_write(t->task, buf, val, width) ? -EFAULT : 0;
}

/* Bytes skipped, or -EFAULT. */
static int64_t skip_hole(const struct transfer *t, uint64_t buf, uint64_t len)
{
	static const uint8_t ones[64] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	};

	if (t->write)
		return (int64_t)len;
	for (uint64_t done = 0; done < len; done += sizeof(ones)) {
		uint64_t chunk = len - done < sizeof(ones) ? len - done : sizeof(ones);

		if (vfake_user_write(t->task, buf + done, ones, chunk))
			return -EFAULT;
	}
	return (int64_t)len;
}

static uint32_t widest(uint64_t at, uint64_t len, uint32_t max_width)
{
	uint32_t width = max_width;

	while (width > 1 && (width > len || at % width))
		width /= 2;
	return width;
}

static long run(const struct transfer *t, uint64_t buf, uint64_t at, uint64_t len)
{
	uint64_t done = 0;

	while (done < len) {
		uint64_t pos = at + done;
		uint64_t left = len - done;
		uint32_t width;
		int ret;

		if (pos >= t->hole_start && pos < t->hole_end) {
			uint64_t room = t->hole_end - pos;
			int64_t skipped = skip_hole(t, buf + done, left < room ? left : room);

			if (skipped < 0)
				return skipped;
			done += (uint64_t)skipped;
			continue;
		}
		if (pos < t->hole_start && left > t->hole_start - pos && t->hole_end)
			left = t->hole_start - pos;
		width = widest(pos, left, t->max_width);
		ret = move(t, buf + done, pos, width);
		if (ret)
			return ret;
		done += width;
	}
	return (long)done;
}

static long bar_rw(struct vfio_pci *pci, struct vfake_task *task, uint64_t buf, uint64_t len,
		   uint64_t offset, bool write)
{
	const struct vfake_device_desc *desc = pci->hw.desc;
	uint64_t pos = offset & VFIO_PCI_OFFSET_MASK;
	struct transfer t = {
		.pci = pci, .task = task, .write = write, .memory = true, .max_width = 8
	};
	uint64_t size;

	t.bar = (int)(offset >> VFIO_PCI_OFFSET_SHIFT);
	size = t.bar == VFIO_PCI_ROM_REGION_INDEX ? desc->rom_size_bytes
						  : desc->bars[t.bar].size_bytes;
	if (!size || pos >= size)
		return -EINVAL;
	if (len > size - pos)
		len = size - pos;
	if (t.bar == VFIO_PCI_ROM_REGION_INDEX) {
		/* The PCI core looks for an image first, and takes what it cannot read for none. */
		if (!pci_hw_decodes(&pci->hw, false))
			return -ENOMEM;
		t.hole_start = pci->hw.rom->size_bytes;
		t.hole_end = size;
		t.max_width = 4;
	} else {
		t.memory = !desc->bars[t.bar].io;
	}
	if (t.bar == pci->msix_bar) {
		t.hole_start = pci->msix_offset;
		t.hole_end = pci->msix_offset + pci->msix_size_bytes;
	}
	return run(&t, buf, pos, len);
}

static long rw(struct vfio_device *device, struct vfake_task *task, uint64_t buf, uint64_t len,
	       uint64_t offset, bool write)
{
	struct vfio_pci *pci = vfio_pci_of(device);
	uint64_t index = offset >> VFIO_PCI_OFFSET_SHIFT;

	if (!len)
		return 0;
	if (index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	vfio_pci_wake(device);
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		return vfio_pci_config_rw(pci, task, buf, len, offset & VFIO_PCI_OFFSET_MASK,
					  write);
	if (index == VFIO_PCI_VGA_REGION_INDEX || (index == VFIO_PCI_ROM_REGION_INDEX && write))
		return -EINVAL;
	return bar_rw(pci, task, buf, len, offset, write);
}

long vfio_pci_read(struct vfio_device *device, struct vfake_task *task, uint64_t buf, uint64_t len,
		   uint64_t offset)
{
	return rw(device, task, buf, len, offset, false);
}

long vfio_pci_write(struct vfio_device *device, struct vfake_task *task, uint64_t buf, uint64_t len,
		    uint64_t offset)
{
	return rw(device, task, buf, len, offset, true);
}

/* ---- mmap() ---- */

int vfio_pci_mmap(struct vfio_device *device, struct vfake_task *task, uint64_t len, int prot,
		  uint64_t offset, uint64_t *addr)
{
	struct vfio_pci *pci = vfio_pci_of(device);
	uint64_t index = offset >> VFIO_PCI_OFFSET_SHIFT;
	uint64_t start = offset & VFIO_PCI_OFFSET_MASK;
	struct vfake_mem *mem;

	if (index >= VFIO_PCI_ROM_REGION_INDEX || !pci->bar_mappable[index])
		return -EINVAL;
	mem = pci->hw.bars[index];
	if (start > mem->size_bytes || len > mem->size_bytes - start)
		return -EINVAL;
	return vfake_mm_map(task->mm, mem, start, len, prot, VFAKE_AREA_PFNMAP, addr);
}

/* ---- ioeventfds ---- */

static int ioeventfd_handler(struct virqfd *virqfd)
{
	struct vfio_pci_ioeventfd *io = virqfd->data;
	uint8_t val[8];

	if (!io->pci->hw.desc->bars[io->bar].io && !vfio_pci_memory_enabled(io->pci))
		return 0;
	store_le(val, io->data, io->width_bytes);
	bar_write(io->pci, io->bar, io->pos, val, io->width_bytes);
	return 0;
}

static void end_ioeventfd(struct vfio_pci_ioeventfd *io)
{
	virqfd_disable(&io->virqfd);
	LIST_REMOVE(io, entry);
	io->pci->ioeventfd_count--;
	vfake_free(io->pci->kernel, io);
}

void vfio_pci_end_ioeventfds(struct vfio_pci *pci)
{
	struct vfio_pci_ioeventfd *io;

	while ((io = LIST_FIRST(&pci->ioeventfds)))
		end_ioeventfd(io);
}

static int add_ioeventfd(struct vfio_pci *pci, struct vfake_task *task,
			 const struct vfio_pci_ioeventfd *as, int fd)
{
	struct virqfd act = { .pci = pci, .handler = ioeventfd_handler };
	struct vfio_pci_ioeventfd *io;
	int ret;

	if (fd < 0)
		return -ENODEV;
	if (pci->ioeventfd_count >= VFIO_PCI_IOEVENTFD_MAX)
		return -ENOSPC;
	io = vfake_alloc(pci->kernel, sizeof(*io));
	if (!io)
		return -ENOMEM;
	*io = *as;
	act.data = io;
	ret = virqfd_enable(task, &act, &io->virqfd, fd);
	if (ret) {
		vfake_free(pci->kernel, io);
		return ret;
	}
	LIST_INSERT_HEAD(&pci->ioeventfds, io, entry);
	pci->ioeventfd_count++;
	return 0;
}

/* Whether [pos, pos + len) touches the MSI-X table. */
static bool hits_msix(const struct vfio_pci *pci, int bar, uint64_t pos, uint64_t len)
{
	return bar == pci->msix_bar && pos + len > pci->msix_offset &&
	       pos < pci->msix_offset + pci->msix_size_bytes;
}

long vfio_pci_ioeventfd(struct vfake_call *call)
{
	const struct vfio_device_ioeventfd *arg = call->arg;
	struct vfio_pci *pci = vfio_pci_call(call);
	uint32_t width = arg->flags & VFIO_DEVICE_IOEVENTFD_SIZE_MASK;
	struct vfio_pci_ioeventfd as = { .pci = pci, .data = arg->data, .width_bytes = width };
	struct vfio_pci_ioeventfd *io;

	if (!width || (width & (width - 1)) || arg->fd < -1)
		return -EINVAL;
	as.pos = arg->offset & VFIO_PCI_OFFSET_MASK;
	if (arg->offset >> VFIO_PCI_OFFSET_SHIFT > VFIO_PCI_BAR5_REGION_INDEX)
		return -EINVAL;
	as.bar = (int)(arg->offset >> VFIO_PCI_OFFSET_SHIFT);
	if (as.pos + width > pci->hw.desc->bars[as.bar].size_bytes)
		return -EINVAL;
	if (hits_msix(pci, as.bar, as.pos, width) || width == 8)
		return -EINVAL;
	LIST_FOREACH(io, &pci->ioeventfds, entry)
	{
		if (io->pos != as.pos || io->bar != as.bar || io->data != as.data ||
		    io->width_bytes != width)
			continue;
		if (arg->fd >= 0)
			return -EEXIST;
		end_ioeventfd(io);
		return 0;
	}
	return add_ioeventfd(pci, call->task, &as, arg->fd);
}
