/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices: what the kernel says of them, regions, mapped areas.
 *
 * Every number that the kernel gives is bounded before it is used: indexes, counts of areas,
 * offsets of capabilities, sizes.
 */
#include <string.h>
#include <sys/mman.h>

#include <uapi/vfio.h>

#include "stack.h"

enum {
	INDEXES_MAX = 1024, /* regions or interrupts of a device */
	INFO_MAX_BYTES = 65536,
	AREAS_MAX = sizeof(((struct vfio_region *)0)->areas) /
		    sizeof(((struct vfio_region *)0)->areas[0]),
};

/* An area that the program has mapped. */
struct vfio_mapped_area {
	LIST_ENTRY(vfio_mapped_area) entry;
	uint64_t addr;
	uint64_t size;
};

bool vfio_device_init(struct vfio_device *device, struct vfio_error *error)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	long ret = vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_GET_INFO, &info);

	if (ret)
		return vfio_fail(error, (int)ret, "VFIO_DEVICE_GET_INFO");
	if (info.num_regions > INDEXES_MAX || info.num_irqs > INDEXES_MAX)
		return vfio_fail(error, -ERANGE, "VFIO_DEVICE_GET_INFO: %u regions, %u interrupts",
				 info.num_regions, info.num_irqs);
	device->flags = info.flags;
	device->region_count = info.num_regions;
	device->irq_count = info.num_irqs;
	LIST_INIT(&device->areas);
	return true;
}

void vfio_device_fini(struct vfio_device *device)
{
	struct vfio_mapped_area *area;

	while ((area = LIST_FIRST(&device->areas)))
		vfio_device_unmap_area(device, area->addr);
}

void vfio_device_facts(const struct vfio_device *device, struct vfio_device_facts *facts)
{
	*facts = (struct vfio_device_facts){
		.name = device->options.name,
		.resets = device->flags & VFIO_DEVICE_FLAGS_RESET,
		.is_pci = device->flags & VFIO_DEVICE_FLAGS_PCI,
		.regions = device->region_count,
		.irqs = device->irq_count,
		.fd = device->fd,
	};
}

/* ---- regions ---- */

static bool area_fits(const struct vfio_region *region, uint64_t offset, uint64_t size)
{
	return size && offset < region->size && size <= region->size - offset;
}

static int read_sparse(const struct vfio_region_info_cap_sparse_mmap *cap, size_t room,
		       struct vfio_region *region)
{
	if (cap->nr_areas > AREAS_MAX ||
	    room < sizeof(*cap) + cap->nr_areas * sizeof(cap->areas[0]))
		return -E2BIG;
	region->area_count = 0;
	for (uint32_t i = 0; i < cap->nr_areas; i++) {
		if (!area_fits(region, cap->areas[i].offset, cap->areas[i].size))
			return -ERANGE;
		region->areas[region->area_count++] =
			(struct vfio_mmap_area){ cap->areas[i].offset, cap->areas[i].size };
	}
	return 0;
}

static int read_region_cap(const struct vfio_info_cap_header *header, size_t room,
			   struct vfio_region *region)
{
	const struct vfio_region_info_cap_type *type = (const void *)header;

	if (header->id == VFIO_REGION_INFO_CAP_SPARSE_MMAP &&
	    room >= sizeof(struct vfio_region_info_cap_sparse_mmap))
		return read_sparse((const void *)header, room, region);
	if (header->id == VFIO_REGION_INFO_CAP_TYPE && room >= sizeof(*type)) {
		region->type = type->type;
		region->subtype = type->subtype;
	}
	return 0;
}

static int read_region(const struct vfio_region_info *info, struct vfio_region *region)
{
	const struct vfio_info_cap_header *header;
	uint32_t offset = 0;
	int ret = 0;

	*region = (struct vfio_region){
		.index = info->index,
		.readable = info->flags & VFIO_REGION_INFO_FLAG_READ,
		.writable = info->flags & VFIO_REGION_INFO_FLAG_WRITE,
		.mappable = info->size && (info->flags & VFIO_REGION_INFO_FLAG_MMAP),
		.size = info->size,
		.offset = info->offset,
	};
	if (region->mappable) {
		region->area_count = 1;
		region->areas[0].size = info->size;
	}
	if (!(info->flags & VFIO_REGION_INFO_FLAG_CAPS))
		return 0;
	while (!ret && (header = vfio_next_cap(info, info->argsz, info->cap_offset, &offset,
					       sizeof(*header))))
		ret = read_region_cap(header, info->argsz - offset, region);
	return ret;
}

bool vfio_device_region(struct vfio_device *device, uint32_t index, struct vfio_region *region,
			struct vfio_error *error)
{
	struct vfio_region_info ask = { .index = index };
	void *info;
	int ret;

	if (index >= device->region_count)
		return vfio_fail(error, -EINVAL, "%s has no region %u", device->options.name,
				 index);
	ret = vfio_ioctl_growing(device->vfio, device->fd, VFIO_DEVICE_GET_REGION_INFO, &ask,
				 sizeof(ask), INFO_MAX_BYTES, &info);
	if (!ret) {
		ret = read_region(info, region);
		vfio_release(device->vfio, info);
	}
	return !ret || vfio_fail(error, ret, "%s: region %u", device->options.name, index);
}

bool vfio_device_region_by_type(struct vfio_device *device, uint32_t type, uint32_t subtype,
				struct vfio_region *region, struct vfio_error *error)
{
	for (uint32_t i = 0; i < device->region_count; i++) {
		/* A region that cannot be described is not the one. */
		if (vfio_device_region(device, i, region, NULL) && region->type == type &&
		    region->subtype == subtype)
			return true;
	}
	return vfio_fail(error, -ENODEV, "%s has no region of type 0x%x.0x%x", device->options.name,
			 type, subtype);
}

static bool find_bytes(struct vfio_device *device, uint32_t index, uint64_t offset, size_t len,
		       struct vfio_region *region, struct vfio_error *error)
{
	if (!vfio_device_region(device, index, region, error))
		return false;
	if (offset > region->size || len > region->size - offset)
		return vfio_fail(error, -EINVAL, "%s: region %u ends before 0x%llx",
				 device->options.name, index, (unsigned long long)(offset + len));
	return true;
}

static bool moved(struct vfio_device *device, uint32_t index, long done, size_t len,
		  struct vfio_error *error)
{
	if (done == (long)len)
		return true;
	return vfio_fail(error, done < 0 ? (int)done : -EIO, "%s: region %u", device->options.name,
			 index);
}

bool vfio_device_read(struct vfio_device *device, uint32_t region, uint64_t offset, void *bytes,
		      size_t len, struct vfio_error *error)
{
	const struct vfio_sys *sys = &device->vfio->sys;
	struct vfio_region facts;

	return find_bytes(device, region, offset, len, &facts, error) &&
	       moved(device, region,
		     sys->pread(sys->ctx, device->fd, (uint64_t)(uintptr_t)bytes, len,
				facts.offset + offset),
		     len, error);
}

bool vfio_device_write(struct vfio_device *device, uint32_t region, uint64_t offset,
		       const void *bytes, size_t len, struct vfio_error *error)
{
	const struct vfio_sys *sys = &device->vfio->sys;
	struct vfio_region facts;

	return find_bytes(device, region, offset, len, &facts, error) &&
	       moved(device, region,
		     sys->pwrite(sys->ctx, device->fd, (uint64_t)(uintptr_t)bytes, len,
				 facts.offset + offset),
		     len, error);
}

/* ---- mapped areas ---- */

bool vfio_device_map_area(struct vfio_device *device, uint32_t region, uint32_t area,
			  uint64_t *addr, struct vfio_error *error)
{
	const struct vfio_sys *sys = &device->vfio->sys;
	struct vfio_mapped_area *mapped;
	struct vfio_region facts;
	int ret;

	if (!vfio_device_region(device, region, &facts, error))
		return false;
	if (area >= facts.area_count)
		return vfio_fail(error, -EINVAL, "%s: region %u has no area %u to map",
				 device->options.name, region, area);
	mapped = vfio_alloc(device->vfio, sizeof(*mapped));
	if (!mapped)
		return vfio_fail(error, -ENOMEM, "%s: region %u", device->options.name, region);
	mapped->size = facts.areas[area].size;
	ret = sys->mmap(sys->ctx, mapped->size,
			(facts.readable ? PROT_READ : 0) | (facts.writable ? PROT_WRITE : 0),
			device->fd, facts.offset + facts.areas[area].offset, &mapped->addr);
	if (ret) {
		vfio_release(device->vfio, mapped);
		return vfio_fail(error, ret, "%s: mapping region %u", device->options.name, region);
	}
	LIST_INSERT_HEAD(&device->areas, mapped, entry);
	*addr = mapped->addr;
	return true;
}

void vfio_device_unmap_area(struct vfio_device *device, uint64_t addr)
{
	const struct vfio_sys *sys = &device->vfio->sys;
	struct vfio_mapped_area *mapped;

	LIST_FOREACH(mapped, &device->areas, entry)
	{
		if (mapped->addr == addr)
			break;
	}
	if (!mapped)
		return;
	LIST_REMOVE(mapped, entry);
	sys->munmap(sys->ctx, mapped->addr, mapped->size);
	vfio_release(device->vfio, mapped);
}
