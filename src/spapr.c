/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backend: group and container with sPAPR TCE, version 2 or 1.
 *
 * Version 1 is turned on as a whole and is charged for its window. Version 2 makes windows for
 * sections (spapr_window.c) and maps only memory that was registered before; that is counted here,
 * because the kernel takes a registration once per container.
 *
 * A container has one group. The kernel would let more into version 2, but a group that leaves
 * takes all maps of the container with it (Linux 6.4 to 7.2), those of the groups that stay
 * included, and there is no moment at which their devices could do without. Groups of one address
 * space therefore have containers side by side.
 *
 * Positive answers of map mean that it was not done, or not all of it.
 */
#include <uapi/vfio.h>

#include "device_io.h"
#include "spapr.h"

/* Memory is registered by pages of the host, of which these are the largest. */
static const uint64_t host_page = 65536;

/* ---- containers ---- */

static int set_type(struct vfio_container *container)
{
	struct spapr *spapr = container->state;
	int has = vfio_file_has(container, VFIO_SPAPR_TCE_v2_IOMMU);
	int ret = -ENOTSUP;

	if (has < 0)
		return has;
	if (has) {
		ret = vfio_file_set_type(container, VFIO_SPAPR_TCE_v2_IOMMU);
		spapr->v2 = !ret;
		/* A kernel has version 2, but not for every host bridge. */
		if (ret != -EINVAL && ret != -EPERM)
			return ret;
	}
	has = vfio_file_has(container, VFIO_SPAPR_TCE_IOMMU);
	if (has <= 0)
		return has ? has : ret;
	if (ret != -ENOTSUP)
		vfio_warn(container->vfio, ret, "sPAPR TCE version 1 is used, not 2");
	return vfio_file_set_type(container, VFIO_SPAPR_TCE_IOMMU);
}

static int read_info(struct vfio_container *container)
{
	struct vfio_iommu_spapr_tce_info info = { .argsz = sizeof(info) };
	struct spapr *spapr = container->state;
	int ret = vfio_file_ioctl(container, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info);

	if (ret)
		return ret;
	spapr->default_start = info.dma32_window_start;
	spapr->default_size = info.dma32_window_size;
	spapr->dynamic = spapr->v2 && info.flags & VFIO_IOMMU_SPAPR_INFO_DDW;
	spapr->levels = info.ddw.levels;
	container->pgsizes = spapr->dynamic ? info.ddw.pgsizes : 4096;
	container->ram_page = spapr->v2 ? host_page : 0;
	return container->pgsizes ? 0 : -EINVAL;
}

/* Version 1 is on, or the windows of version 2 can be made. */
static bool turn_on(struct vfio_container *container, struct vfio_error *error)
{
	struct spapr *spapr = container->state;
	int ret;

	if (spapr->dynamic) {
		/* The default window, which is not made yet, goes as 0 wherever it would be. */
		ret = spapr_window_remove(container, 0);
		return !ret || vfio_fail(error, ret, "VFIO_IOMMU_SPAPR_TCE_REMOVE");
	}
	if (!spapr->v2) {
		ret = vfio_file_ioctl(container, VFIO_IOMMU_ENABLE, NULL);
		if (ret)
			return vfio_fail(error, ret, "VFIO_IOMMU_ENABLE");
		spapr->enabled = true;
	}
	spapr_window_fixed(container);
	return true;
}

static bool set_up(struct vfio_container *container, struct vfio_error *error)
{
	int ret = set_type(container);

	if (ret)
		return vfio_fail(error, ret, "VFIO_SET_IOMMU sPAPR TCE");
	ret = read_info(container);
	if (ret)
		return vfio_fail(error, ret, "VFIO_IOMMU_SPAPR_TCE_GET_INFO");
	return turn_on(container, error);
}

static void spapr_close(struct vfio_container *container)
{
	const struct spapr *spapr = container->state;

	if (spapr->enabled)
		vfio_file_ioctl(container, VFIO_IOMMU_DISABLE, NULL);
	vfio_file_close(container);
}

static bool spapr_open(struct vfio_container *container, struct vfio_device *first,
		       struct vfio_error *error)
{
	if (!vfio_file_open(container, sizeof(struct spapr), first, error))
		return false;
	if (set_up(container, error))
		return true;
	spapr_close(container);
	return false;
}

static bool spapr_join(struct vfio_container *container, struct vfio_device *device, bool *fits,
		       struct vfio_error *error)
{
	(void)error;
	*fits = device->group->container == container;
	return true;
}

/* Its group stays: those that are left are of the same one. */
static void spapr_leave(struct vfio_container *container, struct vfio_device *device)
{
	(void)container;
	(void)device;
}

/* ---- memory ---- */

static struct spapr_ram *find_ram(struct spapr *spapr, uint64_t vaddr, uint64_t last)
{
	struct spapr_ram *ram;

	LIST_FOREACH(ram, &spapr->ram, entry)
	{
		if (ram->vaddr <= vaddr && last <= ram->last)
			break;
	}
	return ram;
}

/* Registers (or the opposite) what @ram says. 0 or -errno. */
static int call_ram(struct vfio_container *container, uint32_t request, const struct spapr_ram *ram)
{
	struct vfio_iommu_spapr_register_memory arg = { .argsz = sizeof(arg),
							.vaddr = ram->vaddr,
							.size = ram->last - ram->vaddr + 1 };

	return vfio_file_ioctl(container, request, &arg);
}

/* The whole pages of it, which are all that can be mapped. False for none. */
static bool cut_to_pages(uint64_t *vaddr, uint64_t *last)
{
	*vaddr = (*vaddr + (host_page - 1)) & -host_page;
	*last = ((*last + 1) & -host_page) - 1;
	return *vaddr < *last;
}

static int spapr_ram_add(struct vfio_container *container, uint64_t vaddr, uint64_t last)
{
	struct spapr *spapr = container->state;
	struct spapr_ram *ram;
	int ret;

	if (!spapr->v2)
		return 0;
	if (!cut_to_pages(&vaddr, &last))
		return -EINVAL;
	/* Registrations do not overlap, so at most one holds it. */
	ram = find_ram(spapr, vaddr, last);
	if (ram) {
		ram->users++;
		return 0;
	}
	ram = vfio_alloc(container->vfio, sizeof(*ram));
	if (!ram)
		return -ENOMEM;
	*ram = (struct spapr_ram){ .vaddr = vaddr, .last = last, .users = 1 };
	ret = call_ram(container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, ram);
	if (ret) {
		vfio_release(container->vfio, ram);
		return ret;
	}
	LIST_INSERT_HEAD(&spapr->ram, ram, entry);
	return 0;
}

/*
 * While a TCE may still point there it is not taken back, for the kernel would forget that it has
 * it. What stays goes with the container, after the maps and windows.
 */
static void spapr_ram_del(struct vfio_container *container, uint64_t vaddr, uint64_t last)
{
	struct spapr *spapr = container->state;
	struct spapr_ram *ram;

	cut_to_pages(&vaddr, &last);
	ram = find_ram(spapr, vaddr, last);
	if (!ram || --ram->users || spapr->stuck)
		return;
	if (call_ram(container, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, ram)) {
		vfio_warn(container->vfio, 0, "memory at 0x%llx stays registered with the kernel",
			  (unsigned long long)ram->vaddr);
		return;
	}
	LIST_REMOVE(ram, entry);
	vfio_release(container->vfio, ram);
}

static void end_ram(struct vfio_container *container)
{
	struct spapr *spapr = container->state;
	struct spapr_ram *ram;

	while ((ram = LIST_FIRST(&spapr->ram))) {
		call_ram(container, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, ram);
		LIST_REMOVE(ram, entry);
		vfio_release(container->vfio, ram);
	}
}

/* ---- maps ---- */

/* The kernel looks at the first page only, and a map that ends outside of its window is undone by
 * nobody. */
static int spapr_map(struct vfio_container *container, const struct vfio_map *map)
{
	if (!spapr_window_find(container->state, map->iova, map->iova + (map->size - 1)))
		return -ERANGE;
	return vfio_file_map(container, map);
}

static int spapr_unmap(struct vfio_container *container, uint64_t iova, uint64_t size,
		       const struct vfio_dirty *dirty)
{
	struct spapr *spapr = container->state;
	int ret = vfio_file_unmap(container, 0, iova, size, NULL);

	(void)dirty; /* is only asked for where it is tracked */
	if (ret && !spapr->stuck)
		vfio_warn(container->vfio, ret, "memory stays registered with the kernel");
	spapr->stuck |= ret != 0;
	return ret;
}

static void spapr_unmap_rest(struct vfio_container *container)
{
	const struct spapr_window *window = NULL;

	while (container->mapping_count && (window = spapr_window_next(container->state, window)))
		vfio_file_unmap(container, 0, window->start, window->last - window->start + 1,
				NULL);
	spapr_window_end(container);
	end_ram(container);
}

const struct vfio_backend_ops vfio_spapr_ops = {
	.name = "spapr",
	.io = &vfio_descriptor_io,
	.device_claim = vfio_group_get,
	.device_release = vfio_group_put,
	.device_open = vfio_group_device_open,
	.device_close = vfio_group_device_close,
	.open = spapr_open,
	.close = spapr_close,
	.join = spapr_join,
	.leave = spapr_leave,
	.map = spapr_map,
	.unmap = spapr_unmap,
	.unmap_rest = spapr_unmap_rest,
	.section_add = spapr_section_add,
	.section_del = spapr_section_del,
	.kvm_added = spapr_kvm_added,
	.ram_add = spapr_ram_add,
	.ram_del = spapr_ram_del,
	.cpr_reason = "TCE tables hold the addresses of the process that filled them",
};
