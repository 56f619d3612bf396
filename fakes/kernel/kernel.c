/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel object: a world brought to life, and the ledger of what it holds.
 *
 * Imitates what a booted Linux 7.2 is to a program that only sees /dev: devices bound to vfio-pci,
 * each in its IOMMU group, and nothing open. Kept: every block of memory that lives longer than a
 * call is counted, a WARN is counted. Dropped: kernel memory is not charged to a cgroup; there is
 * no binding and unbinding of drivers while it runs.
 */
#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "vfio.h"

void *vfake_alloc(struct vfake_kernel *kernel, size_t size_bytes)
{
	void *block = vfake_fault(kernel, VFAKE_FAULT_ALLOC) ? NULL : calloc(1, size_bytes);

	if (block && kernel->booted)
		kernel->ledger.allocations++;
	return block;
}

void vfake_free(struct vfake_kernel *kernel, void *block)
{
	if (block && kernel->booted)
		kernel->ledger.allocations--;
	free(block);
}

static struct vfake_pool *node_pool(struct vfake_kernel *kernel, size_t size_bytes)
{
	return size_bytes == VFAKE_IOVA_LEAF_BYTES ? &kernel->map_leaves : &kernel->map_inner;
}

static void *node_alloc(void *ctx, size_t size_bytes)
{
	struct vfake_kernel *kernel = ctx;

	return vfake_pool_alloc(kernel, node_pool(kernel, size_bytes));
}

static void node_free(void *ctx, void *block, size_t size_bytes)
{
	struct vfake_kernel *kernel = ctx;

	vfake_pool_free(kernel, node_pool(kernel, size_bytes), block);
}

struct vfake_iova_map_mem vfake_map_memory(struct vfake_kernel *kernel)
{
	return (struct vfake_iova_map_mem){ .alloc = node_alloc, .free = node_free, .ctx = kernel };
}

bool vfake_warn_on(struct vfake_kernel *kernel, bool condition)
{
	if (condition)
		kernel->ledger.warnings++;
	return condition;
}

struct vfake_ledger vfake_ledger(const struct vfake_kernel *kernel)
{
	return kernel->ledger;
}

static bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

static const char *check_bars(const struct vfake_device_desc *desc)
{
	for (int i = 0; i < VFAKE_BARS; i++) {
		const struct vfake_bar *bar = &desc->bars[i];

		if (bar->size_bytes && (!is_power_of_two(bar->size_bytes) || bar->size_bytes < 4))
			return "a BAR's size is no power of two of 4 bytes or more";
		if (bar->size_bytes && bar->is_64bit &&
		    (bar->io || i == VFAKE_BARS - 1 || desc->bars[i + 1].size_bytes))
			return "a 64-bit BAR is memory and takes the register after it";
		if (bar->size_bytes > UINT32_MAX && !bar->is_64bit)
			return "a BAR of 4 GiB or more is 64-bit";
	}
	if (desc->rom_size_bytes &&
	    (!is_power_of_two(desc->rom_size_bytes) || desc->rom_size_bytes < 2048))
		return "a ROM's size is no power of two of 2 KiB or more";
	return NULL;
}

static const char *check_device(const struct vfake_world *world, uint32_t index)
{
	const struct vfake_device_desc *desc = &world->devices[index];

	if (!desc->name[0] || !memchr(desc->name, 0, sizeof(desc->name)))
		return "a device has no name or one that is too long";
	if (desc->config_size_bytes != 256 && desc->config_size_bytes != VFAKE_CONFIG_SIZE)
		return "a configuration space has 256 or 4096 bytes";
	if (desc->noiommu && !world->noiommu_enabled)
		return "a device without IOMMU needs noiommu mode";
	for (uint32_t i = 0; i < index; i++) {
		const struct vfake_device_desc *other = &world->devices[i];

		if (!strcmp(desc->name, other->name))
			return "two devices have one name";
		if (desc->cdev == other->cdev)
			return "two devices have one cdev number";
		if (desc->group == other->group && desc->noiommu != other->noiommu)
			return "a group mixes devices with and without IOMMU";
	}
	return check_bars(desc);
}

static const char *check_spapr(const struct vfake_spapr *spapr)
{
	if (spapr->windows > 2)
		return "a group of devices has at most two DMA windows";
	if (!spapr->levels || spapr->levels > 5)
		return "a TCE table has one to five levels";
	if (!spapr->pgsizes || (spapr->pgsizes & 0xfff) || spapr->pgsizes >> 48)
		return "a TCE covers 4 KiB to 2^47 bytes";
	if ((spapr->window_start | spapr->second_window_start) & 0xfff)
		return "a DMA window starts inside a page";
	return NULL;
}

static const char *check_world(const struct vfake_world *world)
{
	if (!is_power_of_two(world->page_size_bytes) || world->page_size_bytes < 4096 ||
	    world->page_size_bytes > 65536)
		return "the page size is no power of two from 4 KiB to 64 KiB";
	if (!(world->iommu_pgsizes & ~((uint64_t)world->page_size_bytes - 1)) &&
	    !(world->iommu_pgsizes & world->page_size_bytes))
		return "the IOMMU has no page size that the CPU's pages can be mapped with";
	if (world->aperture.start > world->aperture.last)
		return "the aperture ends before it starts";
	if (world->reserved_count > VFAKE_MAX_RESERVED)
		return "too many reserved ranges";
	for (uint32_t i = 0; i < world->reserved_count; i++) {
		if (world->reserved[i].start > world->reserved[i].last)
			return "a reserved range ends before it starts";
	}
	if (world->platform == VFAKE_PLATFORM_POWERNV && check_spapr(&world->spapr))
		return check_spapr(&world->spapr);
	if (world->device_count > VFAKE_MAX_DEVICES)
		return "too many devices";
	for (uint32_t i = 0; i < world->device_count; i++) {
		const char *error = check_device(world, i);

		if (error)
			return error;
	}
	return NULL;
}

static void copy_world(struct vfake_world *to, const struct vfake_world *from)
{
	memcpy(to, from, offsetof(struct vfake_world, devices));
	memcpy(to->devices, from->devices, from->device_count * sizeof(from->devices[0]));
}

/* The IOMMU group of a device, made when it is the first there. */
static struct vfio_group *group_of(struct vfake_kernel *kernel,
				   const struct vfake_device_desc *desc)
{
	struct vfio_group *group = vfio_group_find(kernel, desc->group, desc->noiommu);

	if (group)
		return group;
	group = vfake_alloc(kernel, sizeof(*group));
	if (!group)
		return NULL;
	group->kernel = kernel;
	group->number = desc->group;
	group->type = desc->noiommu ? VFIO_GROUP_NOIOMMU : VFIO_GROUP_IOMMU;
	LIST_INSERT_HEAD(&kernel->groups, group, entry);
	return group;
}

static bool add_device(struct vfake_kernel *kernel, const struct vfake_device_desc *desc)
{
	struct vfio_device *device = vfake_alloc(kernel, sizeof(*device));

	if (!device)
		return false;
	device->kernel = kernel;
	device->desc = desc;
	device->group = group_of(kernel, desc);
	if (!device->group || vfio_pci_probe(device)) {
		vfake_free(kernel, device);
		return false;
	}
	LIST_INSERT_HEAD(&kernel->devices, device, entry);
	return true;
}

struct vfake_kernel *vfake_kernel_new(const struct vfake_world *world, const char **error)
{
	const char *reason = check_world(world);
	struct vfake_kernel *kernel;

	if (error)
		*error = reason;
	if (reason)
		return NULL;
	kernel = malloc(sizeof(*kernel));
	if (!kernel)
		goto no_memory;
	memset(kernel, 0, offsetof(struct vfake_kernel, world));
	copy_world(&kernel->world, world);
	kernel->page_shift = (uint32_t)__builtin_ctz(world->page_size_bytes);
	kernel->map_leaves.size_bytes = VFAKE_IOVA_LEAF_BYTES;
	kernel->map_inner.size_bytes = VFAKE_IOVA_INNER_BYTES;
	LIST_INIT(&kernel->tasks);
	LIST_INIT(&kernel->groups);
	LIST_INIT(&kernel->devices);
	LIST_INIT(&kernel->listeners);
	for (uint32_t i = world->device_count; i-- > 0;) {
		if (!add_device(kernel, &kernel->world.devices[i]))
			goto no_memory;
	}
	kernel->booted = true;
	return kernel;

no_memory:
	if (error)
		*error = "out of memory";
	vfake_kernel_free(kernel);
	return NULL;
}

void vfake_kernel_free(struct vfake_kernel *kernel)
{
	struct vfio_device *device;
	struct vfio_group *group;
	struct vfake_task *task;

	if (!kernel)
		return;
	while ((task = LIST_FIRST(&kernel->tasks)))
		vfake_task_exit(task);
	kernel->booted = false;
	while ((device = LIST_FIRST(&kernel->devices))) {
		LIST_REMOVE(device, entry);
		device->ops->free(device);
		vfake_free(kernel, device);
	}
	while ((group = LIST_FIRST(&kernel->groups))) {
		LIST_REMOVE(group, entry);
		vfake_free(kernel, group);
	}
	vfake_pool_destroy(&kernel->iopt_pages);
	vfake_pool_destroy(&kernel->map_leaves);
	vfake_pool_destroy(&kernel->map_inner);
	free(kernel);
}

const struct vfake_device_desc *vfake_device_desc(const struct vfake_kernel *kernel,
						  const char *name)
{
	for (uint32_t i = 0; i < kernel->world.device_count; i++) {
		if (!strcmp(kernel->world.devices[i].name, name))
			return &kernel->world.devices[i];
	}
	return NULL;
}
