/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From guest memory to maps: what the container's memory has, the kernel's map has, page for page.
 *
 * Sections are cut to the container's page size. RAM is one map per section; what a vIOMMU maps
 * is a map per entry; of discard-managed RAM each piece of its granularity is a map, so that each
 * can go alone. Every map is recorded, so that what is unmapped is exactly what was mapped and
 * teardown asks nobody.
 *
 * A map that fails while the container comes up fails the attach; later the error is stored and
 * the VMM is told. A device's BAR that cannot be mapped is no failure: devices then cannot reach
 * each other, and that is all.
 */
#include <stdio.h>
#include <string.h>

#include "listener.h"

/* ---- the record ---- */

size_t vfio_listener_index(const struct vfio_listener *listener, uint64_t iova)
{
	size_t low = 0, high = listener->mapping_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (listener->mappings[middle].last < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Room for one more record, so that recording a map that was made cannot fail. */
static int reserve_record(struct vfio_listener *listener)
{
	size_t space = listener->mapping_space ? 2 * listener->mapping_space : 16;
	struct vfio *vfio = listener->container->vfio;
	struct vfio_mapping *mappings;

	if (listener->mapping_count < listener->mapping_space)
		return 0;
	mappings = vfio_alloc(vfio, space * sizeof(*mappings));
	if (!mappings)
		return -ENOMEM;
	if (listener->mapping_count)
		memcpy(mappings, listener->mappings, listener->mapping_count * sizeof(*mappings));
	vfio_release(vfio, listener->mappings);
	listener->mappings = mappings;
	listener->mapping_space = space;
	return 0;
}

static void record(struct vfio_listener *listener, const struct vfio_mapping *mapping)
{
	size_t index = vfio_listener_index(listener, mapping->iova);

	memmove(&listener->mappings[index + 1], &listener->mappings[index],
		(listener->mapping_count - index) * sizeof(*mapping));
	listener->mappings[index] = *mapping;
	listener->mapping_count++;
}

bool vfio_listener_reach(const struct vfio_container *container, uint64_t iova,
			 struct vfio_reach *reach)
{
	const struct vfio_listener *listener = container->listener;
	const struct vfio_mapping *mapping;
	struct vfio_memory_section ram;
	size_t index;

	if (!listener)
		return false;
	index = vfio_listener_index(listener, iova);
	if (index == listener->mapping_count || listener->mappings[index].iova > iova)
		return false;
	mapping = &listener->mappings[index];
	*reach = (struct vfio_reach){ .size = mapping->last - iova + 1,
				      .readonly = mapping->readonly,
				      .memory = mapping->memory,
				      .gpa = mapping->gpa + (iova - mapping->iova) };
	if (!vfio_memory_find(mapping->memory, reach->gpa, &ram))
		return false;
	reach->vaddr = ram.vaddr;
	if (ram.last - reach->gpa < reach->size - 1)
		reach->size = ram.last - reach->gpa + 1;
	return true;
}

/* ---- one map ---- */

/* What a map shows, before it is cut to pages. */
struct target {
	uint64_t iova;
	uint64_t last;
	const struct vfio_memory_section *ram; /* holds vaddr and file of `iova` */
	struct vfio_memory *memory;
	uint64_t gpa;
	bool readonly;
};

static int add_ram(struct vfio_listener *listener, const struct vfio_mapping *mapping)
{
	struct vfio_container *container = listener->container;

	return container->ops->ram_add
		       ? container->ops->ram_add(container, mapping->ram_vaddr, mapping->ram_last)
		       : 0;
}

static void del_ram(struct vfio_listener *listener, const struct vfio_mapping *mapping)
{
	struct vfio_container *container = listener->container;

	if (container->ops->ram_del)
		container->ops->ram_del(container, mapping->ram_vaddr, mapping->ram_last);
}

static int map_target(struct vfio_listener *listener, const struct target *target)
{
	const struct vfio_memory_region *region = target->ram->region;
	struct vfio_mapping mapping = { .iova = target->iova,
					.last = target->last,
					.memory = target->memory,
					.gpa = target->gpa,
					.vaddr = target->ram->vaddr,
					.ram_vaddr = region->vaddr,
					.ram_last = region->vaddr + (region->last - region->start),
					.readonly = target->readonly,
					.unlogged = true,
					.anonymous = region->fd < 0 &&
						     region->kind != VFIO_MEMORY_RAM_DEVICE };
	struct vfio_map map = { .iova = target->iova,
				.size = target->last - target->iova + 1,
				.vaddr = target->ram->vaddr,
				.fd = region->fd,
				.fd_offset = target->ram->fd_offset,
				.readonly = target->readonly };
	int ret = reserve_record(listener);

	if (ret)
		return ret;
	if (!vfio_container_can_map(listener->container, target->iova, target->last))
		return -ERANGE;
	ret = add_ram(listener, &mapping);
	if (ret)
		return ret;
	ret = vfio_container_map(listener->container, &map);
	if (ret)
		del_ram(listener, &mapping);
	else
		record(listener, &mapping);
	return ret;
}

/* Takes a record out, and what was told of it. */
static void forget(struct vfio_listener *listener, size_t index)
{
	struct vfio_mapping mapping = listener->mappings[index];

	listener->mapping_count--;
	memmove(&listener->mappings[index], &listener->mappings[index + 1],
		(listener->mapping_count - index) * sizeof(mapping));
	del_ram(listener, &mapping);
}

static void unmap_at(struct vfio_listener *listener, size_t index)
{
	struct vfio_mapping mapping = listener->mappings[index];
	int ret = vfio_dirty_unmap(listener, &mapping);

	if (ret)
		vfio_container_set_error(listener->container, ret, "cannot unmap guest memory");
	forget(listener, index);
}

/* Unmaps every map that lies in [start, last], highest first. */
static void unmap_all_in(struct vfio_listener *listener, uint64_t start, uint64_t last)
{
	size_t first = vfio_listener_index(listener, start);
	size_t end = first;

	while (end < listener->mapping_count && listener->mappings[end].iova <= last)
		end++;
	while (end > first)
		unmap_at(listener, --end);
}

/* ---- sections ---- */

/*
 * Cuts a section to the container's pages: false when nothing is left. The address in the process
 * must have the same place in its page as the guest address, or no page of it can be mapped:
 * -EINVAL in *error then.
 */
static bool cut(const struct vfio_listener *listener, const struct vfio_memory_section *section,
		struct vfio_memory_section *pages, int *error)
{
	uint64_t page = vfio_container_pgsize(listener->container);
	uint64_t ram_page = listener->container->ram_page;
	uint64_t mask = (page > ram_page ? page : ram_page) - 1;
	uint64_t start = (section->start + mask) & ~mask;
	uint64_t last = ((section->last + 1) & ~mask) - 1;

	*error = 0;
	if (start < section->start || last > section->last || start > last)
		return false;
	if ((section->start ^ section->vaddr) & mask) {
		*error = -EINVAL;
		return false;
	}
	*pages = *section;
	pages->start = start;
	pages->last = last;
	pages->vaddr += start - section->start;
	pages->fd_offset += start - section->start;
	return true;
}

static void report(struct vfio_listener *listener, const struct vfio_memory_section *section,
		   int code)
{
	struct vfio_container *container = listener->container;
	char what[160];

	snprintf(what, sizeof(what), "cannot map %s at 0x%llx",
		 section->region->name ? section->region->name : "memory",
		 (unsigned long long)section->start);
	if (section->region->kind != VFIO_MEMORY_RAM_DEVICE)
		vfio_container_set_error(container, code, what);
	else
		vfio_warn(container->vfio, code, "%s", what);
}

static void map_ram(struct vfio_listener *listener, const struct vfio_memory_section *section)
{
	struct vfio_memory_section pages;
	struct target target;
	int ret;

	if (!cut(listener, section, &pages, &ret)) {
		if (ret)
			report(listener, section, ret);
		return;
	}
	target = (struct target){ .iova = pages.start,
				  .last = pages.last,
				  .ram = &pages,
				  .memory = listener->container->space->memory,
				  .gpa = pages.start,
				  .readonly = section->region->kind == VFIO_MEMORY_ROM };
	ret = map_target(listener, &target);
	if (ret)
		report(listener, section, ret);
}

static struct vfio_listener *listener_of(struct vfio_memory_listener *base)
{
	return base->ctx;
}

static void populate_all(struct vfio_listener *listener, const struct vfio_memory_section *section)
{
	struct vfio_error error = { 0 };

	if (!vfio_memory_populate_replay(listener->container->space->memory, section,
					 &listener->base, &error))
		vfio_container_report(listener->container, &error);
}

static void region_add(struct vfio_memory_listener *base, const struct vfio_memory_section *section)
{
	struct vfio_listener *listener = listener_of(base);
	struct vfio_container *container = listener->container;
	struct vfio_error error = { 0 };

	if (section->region->kind == VFIO_MEMORY_MMIO)
		return;
	if (container->ops->section_add &&
	    !container->ops->section_add(container, section, &error)) {
		vfio_container_report(container, &error);
		return;
	}
	if (section->region->kind == VFIO_MEMORY_IOMMU)
		vfio_memory_iommu_replay(container->space->memory, section, base);
	else if (section->region->kind == VFIO_MEMORY_DISCARDABLE)
		populate_all(listener, section);
	else
		map_ram(listener, section);
}

static void region_del(struct vfio_memory_listener *base, const struct vfio_memory_section *section)
{
	struct vfio_listener *listener = listener_of(base);
	struct vfio_container *container = listener->container;

	unmap_all_in(listener, section->start, section->last);
	if (container->ops->section_del)
		container->ops->section_del(container, section);
}

/* ---- vIOMMU ---- */

/* The part of an entry that one piece of RAM holds; 0 or -errno. */
static int map_entry_piece(struct vfio_listener *listener, const struct vfio_iommu_entry *entry,
			   uint64_t iova, uint64_t *done_last)
{
	struct vfio_memory_section ram;
	struct target target;
	uint64_t at = entry->target + (iova - entry->iova);

	if (!vfio_memory_find(entry->target_memory, at, &ram))
		return -EFAULT;
	*done_last = ram.last - at < entry->last - iova ? iova + (ram.last - at) : entry->last;
	target = (struct target){ .iova = iova,
				  .last = *done_last,
				  .ram = &ram,
				  .memory = entry->target_memory,
				  .gpa = at,
				  .readonly = !(entry->prot & 2) ||
					      ram.region->kind == VFIO_MEMORY_ROM };
	return map_target(listener, &target);
}

static void map_entry(struct vfio_listener *listener, const struct vfio_iommu_entry *entry)
{
	uint64_t iova = entry->iova;
	uint64_t last = iova;
	int ret;

	do {
		ret = map_entry_piece(listener, entry, iova, &last);
		iova = last + 1;
	} while (!ret && last < entry->last);
	if (!ret)
		return;
	unmap_all_in(listener, entry->iova, entry->last);
	vfio_container_set_error(listener->container, ret, "cannot map what the vIOMMU maps");
}

static void iommu_notify(struct vfio_memory_listener *base,
			 const struct vfio_memory_section *section,
			 const struct vfio_iommu_entry *entry)
{
	struct vfio_listener *listener = listener_of(base);

	(void)section;
	if (entry->prot)
		map_entry(listener, entry);
	else
		unmap_all_in(listener, entry->iova, entry->last);
}

/* ---- discard ---- */

static void discard(struct vfio_memory_listener *base, const struct vfio_memory_section *piece)
{
	unmap_all_in(listener_of(base), piece->start, piece->last);
}

/* One map per granule: each may be discarded alone. */
static bool populate(struct vfio_memory_listener *base, const struct vfio_memory_section *piece,
		     struct vfio_error *error)
{
	struct vfio_listener *listener = listener_of(base);
	uint64_t step = piece->region->granularity;
	uint64_t start = piece->start;

	for (;;) {
		struct vfio_memory_section ram = *piece;
		struct target target = { .iova = start,
					 .last = start + step - 1,
					 .ram = &ram,
					 .memory = listener->container->space->memory,
					 .gpa = start };
		int ret;

		ram.vaddr += start - piece->start;
		ram.fd_offset += start - piece->start;
		ret = map_target(listener, &target);
		if (ret) {
			unmap_all_in(listener, piece->start, piece->last);
			return vfio_fail(error, ret, "cannot map %s at 0x%llx",
					 piece->region->name ? piece->region->name : "memory",
					 (unsigned long long)start);
		}
		if (target.last == piece->last)
			return true;
		start = target.last + 1;
	}
}

/* ---- dirty pages ---- */

static bool log_start(struct vfio_memory_listener *base, struct vfio_error *error)
{
	return vfio_dirty_start(listener_of(base), error);
}

static void log_stop(struct vfio_memory_listener *base)
{
	vfio_dirty_stop(listener_of(base));
}

static bool log_sync(struct vfio_memory_listener *base, const struct vfio_memory_section *section,
		     struct vfio_error *error)
{
	int ret = vfio_dirty_sync(listener_of(base), section->start, section->last);

	return !ret || vfio_fail(error, ret, "cannot read the dirty pages of %s",
				 section->region->name ? section->region->name : "memory");
}

/* ---- what is done later ---- */

static void begin(struct vfio_memory_listener *base)
{
	struct vfio_container *container = listener_of(base)->container;

	if (container->ops->begin)
		container->ops->begin(container);
}

static void failed(void *ctx, const struct vfio_map *map, bool unmap, int code)
{
	struct vfio_listener *listener = ctx;
	size_t index = vfio_listener_index(listener, map->iova);
	struct vfio_memory_section section;
	struct vfio_mapping mapping;

	if (unmap) {
		listener->container->mapping_count++;
		vfio_container_set_error(listener->container, code, "cannot unmap guest memory");
		return;
	}
	/* A map that has gone again needs no report. */
	if (index == listener->mapping_count || listener->mappings[index].iova != map->iova)
		return;
	mapping = listener->mappings[index];
	forget(listener, index);
	listener->container->mapping_count--;
	/* No memory has changed since it was mapped: the section is there. */
	if (vfio_memory_find(mapping.memory, mapping.gpa, &section))
		report(listener, &section, code);
}

static void commit(struct vfio_memory_listener *base)
{
	struct vfio_container *container = listener_of(base)->container;

	if (container->ops->commit)
		container->ops->commit(container, failed, base->ctx);
}

/* ---- start and stop ---- */

static void listener_free(struct vfio_listener *listener)
{
	struct vfio_container *container = listener->container;

	vfio_release(container->vfio, listener->mappings);
	vfio_release(container->vfio, listener);
	container->listener = NULL;
}

bool vfio_listener_start(struct vfio_container *container, struct vfio_error *error)
{
	struct vfio_listener *listener = vfio_alloc(container->vfio, sizeof(*listener));

	if (!listener)
		return vfio_fail(error, -ENOMEM, "cannot watch guest memory");
	listener->container = container;
	listener->base = (struct vfio_memory_listener){
		.priority = 10,
		.ctx = listener,
		.begin = begin,
		.region_add = region_add,
		.region_del = region_del,
		.commit = commit,
		.log_start = log_start,
		.log_stop = log_stop,
		.log_sync = log_sync,
		.iommu_notify = iommu_notify,
		.populate = populate,
		.discard = discard,
	};
	container->listener = listener;
	if (!vfio_memory_listen(container->space->memory, &listener->base, error)) {
		listener_free(listener);
		return false;
	}
	if (!container->attach_error.code)
		return true;
	if (error)
		*error = container->attach_error;
	vfio_listener_stop(container);
	return false;
}

void vfio_listener_stop(struct vfio_container *container)
{
	struct vfio_listener *listener = container->listener;

	/* The last unmaps tell nobody what was dirty, and need no memory for it. */
	vfio_dirty_stop(listener);
	vfio_memory_unlisten(container->space->memory, &listener->base);
	listener_free(listener);
}
