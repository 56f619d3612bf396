/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regions of guest memory and the transactions that change them.
 */
#include <string.h>

#include "memory.h"

struct vfio_memory *vfio_memory_new(const struct vfio_vmm *vmm)
{
	struct vfio_memory *memory = vfio_vmm_alloc(vmm, sizeof(*memory));

	if (!memory)
		return NULL;
	if (vmm) {
		memory->vmm.ctx = vmm->ctx;
		memory->vmm.alloc = vmm->alloc;
		memory->vmm.free = vmm->free;
	}
	return memory;
}

static void region_free(struct vfio_memory *memory, struct guest_region *region)
{
	vfio_vmm_free(&memory->vmm, region->dirty);
	vfio_vmm_free(&memory->vmm, region->plugged);
	vfio_vmm_free(&memory->vmm, region->maps);
	vfio_vmm_free(&memory->vmm, region);
}

void vfio_memory_free(struct vfio_memory *memory)
{
	struct vfio_vmm vmm;

	if (!memory)
		return;
	for (size_t i = 0; i < memory->count; i++)
		region_free(memory, memory->regions[i]);
	vmm = memory->vmm;
	vfio_vmm_free(&vmm, memory->regions);
	vfio_vmm_free(&vmm, memory);
}

bool vfio_memory_grow(struct vfio_memory *memory, void **array, size_t count, size_t *room,
		      size_t size)
{
	size_t more = *room ? *room * 2 : 8;
	void *block;

	if (count < *room)
		return true;
	/* What is there is less than half of all addresses: twice as much is a size. */
	block = vfio_vmm_alloc(&memory->vmm, more * size);
	if (!block)
		return false;
	if (count)
		memcpy(block, *array, count * size);
	vfio_vmm_free(&memory->vmm, *array);
	*array = block;
	*room = more;
	return true;
}

/* ---- one region ---- */

/* Whether such a region has process addresses behind it. */
static bool is_backed(enum vfio_memory_kind kind)
{
	return kind != VFIO_MEMORY_MMIO && kind != VFIO_MEMORY_IOMMU;
}

/* With the fields that its kind does not have at rest, so that regions can be compared. */
static struct vfio_memory_region canonical(const struct vfio_memory_region *region)
{
	struct vfio_memory_region spec = *region;

	if (!spec.name)
		spec.name = "";
	if (!is_backed(spec.kind))
		spec.vaddr = 0;
	if (!is_backed(spec.kind) || spec.fd < 0) {
		spec.fd = -1;
		spec.fd_offset = 0;
	}
	if (spec.kind != VFIO_MEMORY_DISCARDABLE)
		spec.granularity = 0;
	if (spec.kind != VFIO_MEMORY_IOMMU) {
		spec.iommu_pgsizes = 0;
		spec.tce_table = false;
	}
	if (!spec.tce_table)
		spec.tce_table_fd = -1;
	return spec;
}

/* Of two that begin at the same address. */
static bool is_same(const struct vfio_memory_region *a, const struct vfio_memory_region *b)
{
	return a->kind == b->kind && a->last == b->last && a->vaddr == b->vaddr && a->fd == b->fd &&
	       a->fd_offset == b->fd_offset && a->granularity == b->granularity &&
	       a->iommu_pgsizes == b->iommu_pgsizes && a->tce_table == b->tce_table &&
	       a->tce_table_fd == b->tce_table_fd && !strcmp(a->name, b->name);
}

static bool is_sound(const struct vfio_memory_region *spec)
{
	uint64_t most = UINT64_MAX - (spec->last - spec->start);
	uint64_t mask = spec->granularity - 1;

	if ((unsigned int)spec->kind > VFIO_MEMORY_DISCARDABLE || spec->last < spec->start)
		return false;
	if (spec->vaddr > most || spec->fd_offset > most)
		return false;
	if (spec->kind == VFIO_MEMORY_IOMMU)
		return spec->iommu_pgsizes != 0;
	if (spec->kind == VFIO_MEMORY_DISCARDABLE)
		return spec->granularity && !(spec->granularity & mask) && !(spec->start & mask) &&
		       (spec->last & mask) == mask;
	return true;
}

struct vfio_memory_section vfio_memory_section_of(const struct guest_region *region, uint64_t start,
						  uint64_t last)
{
	const struct vfio_memory_region *spec = &region->spec;
	uint64_t offset = start - spec->start;

	return (struct vfio_memory_section){
		.id = region->id,
		.region = spec,
		.start = start,
		.last = last,
		.vaddr = spec->vaddr + offset, /* only what is backed is cut */
		.fd_offset = spec->fd >= 0 ? spec->fd_offset + offset : 0,
	};
}

struct vfio_memory_section vfio_memory_whole(const struct guest_region *region)
{
	return vfio_memory_section_of(region, region->spec.start, region->spec.last);
}

/* What else a region of its kind needs. */
static bool region_equip(struct vfio_memory *memory, struct guest_region *region)
{
	const struct vfio_memory_region *spec = &region->spec;

	if (spec->kind == VFIO_MEMORY_DISCARDABLE) {
		region->plugged = vfio_bits_new(memory, vfio_memory_last_piece(spec));
		if (!region->plugged)
			return false;
	}
	if (!memory->logging || !vfio_memory_has_dirty(spec))
		return true;
	if (!vfio_memory_new_dirty(memory, region))
		return false;
	if (spec->kind == VFIO_MEMORY_RAM)
		vfio_memory_mark(region, spec->start, spec->last);
	return true;
}

static uint32_t next_id(struct vfio_memory *memory)
{
	do
		memory->last_id++;
	while (!memory->last_id || vfio_memory_region(memory, memory->last_id));
	return memory->last_id;
}

static struct guest_region *region_new(struct vfio_memory *memory,
				       const struct vfio_memory_region *spec)
{
	size_t name_bytes = strlen(spec->name) + 1;
	struct guest_region *region = vfio_vmm_alloc(&memory->vmm, sizeof(*region) + name_bytes);

	if (!region)
		return NULL;
	region->spec = *spec;
	memcpy(region->name, spec->name, name_bytes);
	region->spec.name = region->name;
	if (!region_equip(memory, region)) {
		region_free(memory, region);
		return NULL;
	}
	return region;
}

/* ---- all regions ---- */

struct guest_region *vfio_memory_region(const struct vfio_memory *memory, uint32_t id)
{
	for (size_t i = 0; i < memory->count; i++) {
		if (memory->regions[i]->id == id)
			return memory->regions[i];
	}
	return NULL;
}

struct guest_region *vfio_memory_region_of_kind(const struct vfio_memory *memory, uint32_t id,
						enum vfio_memory_kind kind)
{
	struct guest_region *region = vfio_memory_region(memory, id);

	return region && !region->deleted && region->spec.kind == kind ? region : NULL;
}

/* The number of regions that start at @addr or before. */
static size_t count_until(const struct vfio_memory *memory, uint64_t addr)
{
	size_t low = 0;
	size_t high = memory->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memory->regions[middle]->spec.start <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * The highest region of those that stay, or of the visible ones, that has an address of [start,
 * last], or NULL. As neither overlap among themselves, only the next one below @last can reach so
 * far up.
 */
static struct guest_region *staying_in(const struct vfio_memory *memory, uint64_t start,
				       uint64_t last)
{
	for (size_t i = count_until(memory, last); i--;) {
		struct guest_region *region = memory->regions[i];

		if (!region->deleted)
			return region->spec.last >= start ? region : NULL;
	}
	return NULL;
}

static struct guest_region *visible_at(const struct vfio_memory *memory, uint64_t addr)
{
	for (size_t i = count_until(memory, addr); i--;) {
		struct guest_region *region = memory->regions[i];

		if (region->visible)
			return region->spec.last >= addr ? region : NULL;
	}
	return NULL;
}

/* The region that is the same, or NULL. It is to go: nothing that stays overlaps @spec. */
static struct guest_region *deleted_twin(const struct vfio_memory *memory,
					 const struct vfio_memory_region *spec)
{
	size_t i = count_until(memory, spec->start);

	while (i-- && memory->regions[i]->spec.start == spec->start) {
		if (is_same(&memory->regions[i]->spec, spec))
			return memory->regions[i];
	}
	return NULL;
}

static struct guest_region *insert_new(struct vfio_memory *memory,
				       const struct vfio_memory_region *spec)
{
	void *array = memory->regions;
	struct guest_region *region;
	size_t at;

	if (!vfio_memory_grow(memory, &array, memory->count, &memory->room, sizeof(region)))
		return NULL;
	memory->regions = array;
	region = region_new(memory, spec);
	if (!region)
		return NULL;
	region->id = next_id(memory);
	at = count_until(memory, spec->start);
	memmove(&memory->regions[at + 1], &memory->regions[at],
		(memory->count - at) * sizeof(memory->regions[0]));
	memory->regions[at] = region;
	memory->count++;
	return region;
}

/* Drops from the array what is deleted and what listeners do not know of any more. */
static void sweep(struct vfio_memory *memory)
{
	size_t kept = 0;

	for (size_t i = 0; i < memory->count; i++) {
		struct guest_region *region = memory->regions[i];

		if (region->deleted && !region->visible)
			region_free(memory, region);
		else
			memory->regions[kept++] = region;
	}
	memory->count = kept;
}

/* ---- transactions ---- */

static bool is_changed(const struct vfio_memory *memory)
{
	for (size_t i = 0; i < memory->count; i++) {
		if (memory->regions[i]->visible == memory->regions[i]->deleted)
			return true;
	}
	return false;
}

/* What stays becomes what is visible. */
static void publish(struct vfio_memory *memory)
{
	if (!is_changed(memory))
		return;
	vfio_memory_tell_begin(memory);
	for (size_t i = memory->count; i--;) {
		struct guest_region *region = memory->regions[i];

		if (!region->deleted)
			continue;
		vfio_memory_tell_del(memory, region);
		region->visible = false;
	}
	for (size_t i = 0; i < memory->count; i++) {
		struct guest_region *region = memory->regions[i];

		if (region->visible || region->deleted)
			continue;
		region->visible = true;
		vfio_memory_tell_add(memory, region);
	}
	vfio_memory_tell_commit(memory);
	sweep(memory);
}

void vfio_memory_begin(struct vfio_memory *memory)
{
	if (!memory->reporting)
		memory->depth++;
}

void vfio_memory_commit(struct vfio_memory *memory)
{
	if (memory->reporting || !memory->depth)
		return;
	if (!--memory->depth)
		publish(memory);
}

bool vfio_memory_add(struct vfio_memory *memory, const struct vfio_memory_region *region,
		     uint32_t *id, struct vfio_error *error)
{
	struct vfio_memory_region spec = canonical(region);
	struct guest_region *added;

	if (memory->reporting)
		return vfio_fail(error, -EBUSY, "memory region %s: added by a listener", spec.name);
	if (!is_sound(&spec))
		return vfio_fail(error, -EINVAL, "memory region %s", spec.name);
	added = staying_in(memory, spec.start, spec.last);
	if (added)
		return vfio_fail(error, -EEXIST, "memory region %s: overlaps %s", spec.name,
				 added->name);
	added = deleted_twin(memory, &spec);
	if (added)
		added->deleted = false;
	else
		added = insert_new(memory, &spec);
	if (!added)
		return vfio_fail(error, -ENOMEM, "memory region %s", spec.name);
	*id = added->id;
	if (!memory->depth)
		publish(memory);
	return true;
}

void vfio_memory_del(struct vfio_memory *memory, uint32_t id)
{
	struct guest_region *region = vfio_memory_region(memory, id);

	if (memory->reporting || !region)
		return;
	region->deleted = true;
	if (!region->visible)
		sweep(memory);
	else if (!memory->depth)
		publish(memory);
}

bool vfio_memory_find(const struct vfio_memory *memory, uint64_t addr,
		      struct vfio_memory_section *section)
{
	const struct guest_region *region = visible_at(memory, addr);
	uint64_t last;

	if (!region || !is_backed(region->spec.kind))
		return false;
	last = region->spec.last;
	if (region->plugged && !vfio_memory_plugged_at(region, addr, &last))
		return false;
	*section = vfio_memory_section_of(region, addr, last);
	return true;
}
