/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices: what the kernel says of them, regions, mapped areas.
 *
 * Every number that the kernel gives is bounded before it is used: indexes, counts of areas,
 * offsets of capabilities, sizes.
 */
#include <string.h>
#include <sys/mman.h>

#include "device_io.h"

enum {
	INDEXES_MAX = 1024, /* regions or interrupts of a device */
	INFO_MAX_BYTES = 65536,
	AREAS_MAX = sizeof(((struct vfio_region *)0)->areas) /
		    sizeof(((struct vfio_region *)0)->areas[0]),
};

/* What is known of a region. It is asked for once: a region stays what it is. */
struct vfio_region_slot {
	bool known;
	struct vfio_region facts;
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
	int ret = device->ops->io->info(device, &info);

	if (ret)
		return vfio_fail(error, ret, "VFIO_DEVICE_GET_INFO");
	if (info.num_regions > INDEXES_MAX || info.num_irqs > INDEXES_MAX)
		return vfio_fail(error, -ERANGE, "VFIO_DEVICE_GET_INFO: %u regions, %u interrupts",
				 info.num_regions, info.num_irqs);
	/* Now, so that no read of a region has to. */
	if (info.num_regions) {
		device->regions =
			vfio_alloc(device->vfio, info.num_regions * sizeof(*device->regions));
		if (!device->regions)
			return vfio_fail(error, -ENOMEM, "its regions");
	}
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
	vfio_release(device->vfio, device->regions);
	device->regions = NULL;
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
	while (!ret && (header = vfio_next_cap(info, info->argsz, info->cap_offset, &offset)))
		ret = read_region_cap(header, info->argsz - offset, region);
	return ret;
}

static int ask_region(void *ctx, void *info)
{
	struct vfio_device *device = ctx;

	return device->ops->io->region_info(device, info);
}

static int learn_region(struct vfio_device *device, uint32_t index, struct vfio_region *region)
{
	struct vfio_region_info ask = { .index = index };
	void *info;
	int ret = vfio_ask_growing(device->vfio, ask_region, device, &ask, sizeof(ask),
				   INFO_MAX_BYTES, &info);

	if (ret)
		return ret;
	ret = read_region(info, region);
	vfio_release(device->vfio, info);
	return ret;
}

bool vfio_device_region(struct vfio_device *device, uint32_t index, struct vfio_region *region,
			struct vfio_error *error)
{
	struct vfio_region_slot *slot;
	int ret = 0;

	if (index >= device->region_count)
		return vfio_fail(error, -EINVAL, "%s has no region %u", device->options.name,
				 index);
	slot = &device->regions[index];
	if (!slot->known)
		ret = learn_region(device, index, &slot->facts);
	if (ret)
		return vfio_fail(error, ret, "%s: region %u", device->options.name, index);
	slot->known = true;
	*region = slot->facts;
	return true;
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

/* The region, if the bytes are inside of it, or NULL. */
static const struct vfio_region *find_bytes(struct vfio_device *device, uint32_t index,
					    uint64_t offset, size_t len, struct vfio_error *error)
{
	const struct vfio_region *region;
	struct vfio_region facts;

	if ((index >= device->region_count || !device->regions[index].known) &&
	    !vfio_device_region(device, index, &facts, error))
		return NULL;
	region = &device->regions[index].facts;
	if (offset <= region->size && len <= region->size - offset)
		return region;
	vfio_fail(error, -EINVAL, "%s: region %u ends before 0x%llx", device->options.name, index,
		  (unsigned long long)(offset + len));
	return NULL;
}

static bool moved(struct vfio_device *device, uint32_t index, long done, size_t len,
		  struct vfio_error *error)
{
	if (done == (long)len)
		return true;
	return vfio_fail(error, (int)done, "%s: region %u", device->options.name, index);
}

bool vfio_device_read(struct vfio_device *device, uint32_t region, uint64_t offset, void *bytes,
		      size_t len, struct vfio_error *error)
{
	const struct vfio_region *facts = find_bytes(device, region, offset, len, error);

	return facts && moved(device, region,
			      device->ops->io->read(device, facts, offset, bytes, len), len, error);
}

bool vfio_device_write(struct vfio_device *device, uint32_t region, uint64_t offset,
		       const void *bytes, size_t len, struct vfio_error *error)
{
	const struct vfio_region *facts = find_bytes(device, region, offset, len, error);

	return facts &&
	       moved(device, region, device->ops->io->write(device, facts, offset, bytes, len), len,
		     error);
}

bool vfio_device_post(struct vfio_device *device, uint32_t region, uint64_t offset,
		      const void *bytes, size_t len, struct vfio_error *error)
{
	const struct vfio_device_io *io = device->ops->io;
	const struct vfio_region *facts = find_bytes(device, region, offset, len, error);

	return facts && moved(device, region,
			      (io->post ? io->post : io->write)(device, facts, offset, bytes, len),
			      len, error);
}

bool vfio_device_flush(struct vfio_device *device, struct vfio_error *error)
{
	const struct vfio_device_io *io = device->ops->io;
	int ret = io->flush ? io->flush(device) : 0;

	return !ret || vfio_fail(error, ret, "%s: posted writes", device->options.name);
}

/* ---- mapped areas ---- */

bool vfio_device_map_area(struct vfio_device *device, uint32_t region, uint32_t area,
			  uint64_t *addr, struct vfio_error *error)
{
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
	ret = device->ops->io->map(device, &facts, &facts.areas[area],
				   (facts.readable ? PROT_READ : 0) |
					   (facts.writable ? PROT_WRITE : 0),
				   &mapped->addr);
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
