/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages of guest memory did the devices write?
 *
 * One interface for three ways to know: the devices track their own DMA (when every device of the
 * container can), the container or its domain tracks (the backend's dirty_start and dirty_read),
 * or nobody does, and then everything that a device may write counts as written. What is asked is
 * kept as a bitmap per map, one bit a page, and noted in the memory that the map shows.
 */
#include <string.h>

#include "listener.h"

enum {
	DIRTY_PAGE = 4096, /* the memory's granule */
	LOG_RANGES = 64,
};

/* ---- who tracks ---- */

static bool all_devices_log(const struct vfio_container *container)
{
	const struct vfio_device *device;
	bool found = false;

	/* A container that comes up has its first device, but not in the list yet. */
	TAILQ_FOREACH(device, &container->vfio->devices, entry)
	{
		if (device->container != container)
			continue;
		if (!device->migration.dma_logging)
			return false;
		found = true;
	}
	return found;
}

static void stop_devices(struct vfio_container *container)
{
	struct vfio_device *device;

	TAILQ_FOREACH(device, &container->vfio->devices, entry)
	{
		if (device->container == container && device->logging)
			vfio_device_log_stop(device);
	}
}

/*
 * The ranges that are mapped, adjacent ones as one; when there are too many, one that spans them
 * all.
 */
static uint32_t mapped_ranges(const struct vfio_listener *listener, struct vfio_range *ranges)
{
	uint32_t count = 0;

	for (size_t i = 0; i < listener->mapping_count; i++) {
		const struct vfio_mapping *mapping = &listener->mappings[i];

		if (count && ranges[count - 1].last + 1 == mapping->iova) {
			ranges[count - 1].last = mapping->last;
			continue;
		}
		if (count == LOG_RANGES) {
			ranges[0].last = listener->mappings[listener->mapping_count - 1].last;
			return 1;
		}
		ranges[count++] = (struct vfio_range){ mapping->iova, mapping->last };
	}
	return count;
}

static int start_devices(struct vfio_listener *listener)
{
	struct vfio_container *container = listener->container;
	struct vfio_range ranges[LOG_RANGES];
	uint32_t count = mapped_ranges(listener, ranges);
	struct vfio_device *device;
	int ret = 0;

	if (!count)
		return 0;
	TAILQ_FOREACH(device, &container->vfio->devices, entry)
	{
		if (device->container == container && !ret)
			ret = vfio_device_log_start(device, ranges, count,
						    vfio_container_pgsize(container));
	}
	if (ret)
		stop_devices(container);
	return ret;
}

bool vfio_dirty_start(struct vfio_listener *listener, struct vfio_error *error)
{
	struct vfio_container *container = listener->container;
	int ret = 0;

	listener->logging_devices = all_devices_log(container);
	if (listener->logging_devices)
		ret = start_devices(listener);
	else if (container->dirty_supported)
		ret = container->ops->dirty_start(container);
	if (ret)
		return vfio_fail(error, ret, "cannot start to track dirty pages");
	container->dirty_active = !listener->logging_devices && container->dirty_supported;
	for (size_t i = 0; i < listener->mapping_count; i++)
		listener->mappings[i].unlogged = false;
	listener->logging = true;
	return true;
}

void vfio_dirty_stop(struct vfio_listener *listener)
{
	struct vfio_container *container = listener->container;

	if (listener->logging_devices)
		stop_devices(container);
	else if (container->dirty_active)
		container->ops->dirty_stop(container);
	container->dirty_active = false;
	listener->logging = false;
}

/* ---- what they say ---- */

/* The number of a map's last page. */
static uint64_t last_page(const struct vfio_mapping *mapping, uint64_t pgsize)
{
	return (mapping->last - mapping->iova) / pgsize;
}

/* A clean bitmap for a map, just as large as it needs; without one when memory is short. */
static struct vfio_dirty new_bitmap(struct vfio_container *container,
				    const struct vfio_mapping *mapping)
{
	uint64_t pgsize = vfio_container_pgsize(container);
	uint64_t bytes = (last_page(mapping, pgsize) / 64 + 1) * sizeof(uint64_t);

	return (struct vfio_dirty){ .bitmap = vfio_alloc(container->vfio, bytes),
				    .bitmap_bytes = bytes,
				    .pgsize = pgsize };
}

/* Notes the bits of a map's bitmap. Those behind its last page say nothing. */
static void note(const struct vfio_mapping *mapping, const struct vfio_dirty *dirty)
{
	uint64_t last = last_page(mapping, dirty->pgsize);

	for (uint64_t word = 0; word <= last / 64; word++) {
		for (uint64_t bits = dirty->bitmap[word]; bits; bits &= bits - 1) {
			uint64_t page = word * 64 + (uint64_t)__builtin_ctzll(bits);
			uint64_t at = mapping->gpa + page * dirty->pgsize;

			if (page <= last)
				vfio_memory_set_dirty(mapping->memory, at, at + dirty->pgsize - 1);
		}
	}
}

static int read_devices(struct vfio_container *container, uint64_t iova, uint64_t size,
			const struct vfio_dirty *dirty)
{
	struct vfio_device *device;

	/* Each device adds its bits to those that are there. */
	TAILQ_FOREACH(device, &container->vfio->devices, entry)
	{
		int ret = 0;

		if (device->container == container)
			ret = vfio_device_log_read(device, iova, size, dirty);
		if (ret)
			return ret;
	}
	return 0;
}

/* What one device has told is noted even when another does not tell: it will not tell again. */
static int read_mapping(struct vfio_listener *listener, const struct vfio_mapping *mapping,
			const struct vfio_dirty *dirty)
{
	struct vfio_container *container = listener->container;
	uint64_t size = mapping->last - mapping->iova + 1;
	int ret;

	if (listener->logging_devices)
		ret = read_devices(container, mapping->iova, size, dirty);
	else
		ret = container->ops->dirty_read(container, mapping->iova, size, dirty);
	note(mapping, dirty);
	return ret;
}

/* A device that came after the start does not log. */
static bool every_device_logs(const struct vfio_container *container)
{
	const struct vfio_device *device;
	uint32_t count = 0;

	TAILQ_FOREACH(device, &container->vfio->devices, entry)
	{
		count += device->container == container && device->logging;
	}
	return count == container->device_count;
}

static bool somebody_tracks(const struct vfio_listener *listener,
			    const struct vfio_mapping *mapping)
{
	if (listener->logging_devices)
		return !mapping->unlogged && every_device_logs(listener->container);
	return listener->container->dirty_active;
}

/* Whatever a device may have written through it. */
static void assume_dirty(const struct vfio_mapping *mapping)
{
	if (!mapping->readonly)
		vfio_memory_set_dirty(mapping->memory, mapping->gpa,
				      mapping->gpa + (mapping->last - mapping->iova));
}

/* What only the device knew, or a page table of its own, goes with it. */
void vfio_dirty_device_leaves(struct vfio_container *container)
{
	const struct vfio_listener *listener = container->listener;

	for (size_t i = 0; listener && listener->logging && i < listener->mapping_count; i++)
		assume_dirty(&listener->mappings[i]);
}

/* type1 reports whole maps only, so a map is asked for at once. */
static int sync_mapping(struct vfio_listener *listener, const struct vfio_mapping *mapping)
{
	struct vfio_dirty dirty;
	int ret;

	if (mapping->readonly)
		return 0;
	if (!somebody_tracks(listener, mapping)) {
		assume_dirty(mapping);
		return 0;
	}
	dirty = new_bitmap(listener->container, mapping);
	if (!dirty.bitmap)
		return -ENOMEM;
	ret = read_mapping(listener, mapping, &dirty);
	vfio_release(listener->container->vfio, dirty.bitmap);
	return ret;
}

int vfio_dirty_sync(struct vfio_listener *listener, uint64_t start, uint64_t last)
{
	for (size_t i = vfio_listener_index(listener, start);
	     i < listener->mapping_count && listener->mappings[i].iova <= last; i++) {
		int ret = sync_mapping(listener, &listener->mappings[i]);

		if (ret)
			return ret;
	}
	return 0;
}

/* ---- maps that go while somebody wants to know ---- */

static int unmap_with_bitmap(struct vfio_listener *listener, const struct vfio_mapping *mapping)
{
	struct vfio_container *container = listener->container;
	uint64_t size = mapping->last - mapping->iova + 1;
	struct vfio_dirty dirty = new_bitmap(container, mapping);
	bool told = false;

	if (dirty.bitmap) {
		told = !vfio_container_unmap(container, mapping->iova, size, &dirty);
		note(mapping, &dirty);
		vfio_release(container->vfio, dirty.bitmap);
	}
	if (told)
		return 0;
	/* It goes all the same; what cannot be known counts as written. */
	assume_dirty(mapping);
	return vfio_container_unmap(container, mapping->iova, size, NULL);
}

int vfio_dirty_unmap(struct vfio_listener *listener, const struct vfio_mapping *mapping)
{
	struct vfio_container *container = listener->container;
	uint64_t size = mapping->last - mapping->iova + 1;

	if (!listener->logging || mapping->readonly)
		return vfio_container_unmap(container, mapping->iova, size, NULL);
	if (container->dirty_active ||
	    (container->unmap_tells && somebody_tracks(listener, mapping)))
		return unmap_with_bitmap(listener, mapping);
	if (sync_mapping(listener, mapping))
		assume_dirty(mapping);
	return vfio_container_unmap(container, mapping->iova, size, NULL);
}
