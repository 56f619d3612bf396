/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backend: group and container with type1, version 2 or 1, or with no IOMMU at all.
 *
 * A container takes the groups that the kernel lets in. What can be mapped depends on all of them,
 * so it is asked again when one comes or goes. Unmapping in version 1 may do less than was asked,
 * or more; the size that comes back says so, and an answer other than what was asked is an error,
 * because then the kernel's map is not the one that the stack remembers.
 *
 * Groups without an IOMMU (noiommu-N) have containers that translate nothing: no map is made.
 */
#include <string.h>

#include <uapi/vfio.h>

#include "device_io.h"
#include "group.h"

enum { INFO_MAX = 64 * 1024 };

struct legacy {
	struct vfio_container_file file;
	bool limit_known; /* max_mappings is what the kernel said before the first map */
};

/* ---- what the container can do ---- */

/* More ranges than there is room for are none: the kernel then judges each map itself. */
static void read_ranges(struct vfio_container *container, const void *cap, size_t left)
{
	struct vfio_iommu_type1_info_cap_iova_range head;
	struct vfio_iova_range range;
	const char *at = (const char *)cap + sizeof(head);

	memcpy(&head, cap, sizeof(head));
	if (head.nr_iovas > VFIO_RANGES_MAX ||
	    head.nr_iovas > (left - sizeof(head)) / sizeof(range))
		return;
	for (uint32_t i = 0; i < head.nr_iovas; i++) {
		memcpy(&range, at + i * sizeof(range), sizeof(range));
		container->ranges[i] = (struct vfio_range){ range.start, range.end };
	}
	container->range_count = head.nr_iovas;
}

static void read_migration(struct vfio_container *container, const void *cap, size_t left)
{
	const struct legacy *legacy = container->state;
	struct vfio_iommu_type1_info_cap_migration migration;

	if (left < sizeof(migration))
		return;
	memcpy(&migration, cap, sizeof(migration));
	/* The kernel takes bitmaps of its smallest page only, and in version 2 only. */
	container->dirty_supported = legacy->file.type == VFIO_TYPE1v2_IOMMU &&
				     (migration.pgsize_bitmap & vfio_container_pgsize(container));
}

static void read_limit(struct vfio_container *container, const void *cap, size_t left)
{
	struct legacy *legacy = container->state;
	struct vfio_iommu_type1_info_dma_avail avail;

	if (left < sizeof(avail) || legacy->limit_known)
		return;
	memcpy(&avail, cap, sizeof(avail));
	container->max_mappings = avail.avail;
	legacy->limit_known = true;
}

static void read_cap(struct vfio_container *container, const void *cap, size_t left)
{
	struct vfio_info_cap_header header;

	memcpy(&header, cap, sizeof(header));
	if (header.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE &&
	    left >= sizeof(struct vfio_iommu_type1_info_cap_iova_range))
		read_ranges(container, cap, left);
	else if (header.id == VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION)
		read_migration(container, cap, left);
	else if (header.id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
		read_limit(container, cap, left);
}

static void read_caps(struct vfio_container *container, const struct vfio_iommu_type1_info *info)
{
	const void *cap;
	uint32_t offset = 0;

	container->range_count = 0;
	container->dirty_supported = false;
	if (!(info->flags & VFIO_IOMMU_INFO_CAPS))
		return;
	while ((cap = vfio_next_cap(info, info->argsz, info->cap_offset, &offset)))
		read_cap(container, cap, info->argsz - offset);
}

/* Asks what can be mapped now. 0, or -errno and nothing has changed. */
static int read_info(struct vfio_container *container)
{
	const struct legacy *legacy = container->state;
	const struct vfio_iommu_type1_info ask = { 0 };
	struct vfio_iommu_type1_info *info;
	void *answer = NULL;
	int ret = vfio_ioctl_growing(container->vfio, legacy->file.fd, VFIO_IOMMU_GET_INFO, &ask,
				     sizeof(ask), INFO_MAX, &answer);

	if (ret)
		return ret;
	info = answer;
	/* Before there was the flag, there was only this size. */
	if (!(info->flags & VFIO_IOMMU_INFO_PGSIZES))
		info->iova_pgsizes = 4096;
	if (info->iova_pgsizes) {
		container->pgsizes = info->iova_pgsizes;
		read_caps(container, info);
	} else {
		ret = -EINVAL;
	}
	vfio_release(container->vfio, answer);
	return ret;
}

/* ---- containers ---- */

static bool is_noiommu(const struct vfio_device *device)
{
	static const char prefix[] = "noiommu-";

	return !strncmp(device->options.group, prefix, sizeof(prefix) - 1);
}

/* The type to set, and whether the kernel has it: 1, 0, or -errno when it does not say. */
static int choose_type(struct vfio_container *container, const struct vfio_device *device,
		       uint32_t *type)
{
	int has = 0;

	*type = is_noiommu(device) ? VFIO_NOIOMMU_IOMMU : VFIO_TYPE1v2_IOMMU;
	if (is_noiommu(device) || !device->options.type1_v1)
		has = vfio_file_has(container, *type);
	if (has || is_noiommu(device))
		return has;
	*type = VFIO_TYPE1_IOMMU;
	return vfio_file_has(container, *type);
}

static const char *type_name(uint32_t type)
{
	if (type == VFIO_NOIOMMU_IOMMU)
		return "noiommu";
	return type == VFIO_TYPE1v2_IOMMU ? "type1v2" : "type1";
}

static bool set_up(struct vfio_container *container, const struct vfio_device *first,
		   struct vfio_error *error)
{
	uint32_t type;
	int ret = choose_type(container, first, &type);

	if (ret < 0)
		return vfio_fail(error, ret, "VFIO_CHECK_EXTENSION %s", type_name(type));
	if (!ret)
		return vfio_fail(error, -ENOTSUP, "the kernel has no IOMMU driver %s",
				 type_name(type));
	ret = vfio_file_set_type(container, type);
	if (ret) {
		vfio_fail(error, ret, "VFIO_SET_IOMMU %s", type_name(type));
		if (ret == -EPERM)
			vfio_error_hint(error, "the platform does not isolate interrupts; "
					       "see allow_unsafe_interrupts of vfio_iommu_type1");
		return false;
	}
	container->untranslated = type == VFIO_NOIOMMU_IOMMU;
	ret = container->untranslated ? 0 : read_info(container);
	return !ret || vfio_fail(error, ret, "VFIO_IOMMU_GET_INFO");
}

/* The type is set, and the limit was asked for before the first map. */
static bool take_over(struct vfio_container *container, struct vfio_error *error)
{
	const struct vfio_cpr_container_record *record = container->cpr.record;
	struct legacy *legacy = container->state;
	int ret;

	legacy->file.type = record->type;
	legacy->limit_known = true;
	container->max_mappings = record->max_mappings;
	ret = read_info(container);
	return !ret || vfio_fail(error, ret, "VFIO_IOMMU_GET_INFO");
}

static bool legacy_open(struct vfio_container *container, struct vfio_device *first,
			struct vfio_error *error)
{
	if (!vfio_file_open(container, sizeof(struct legacy), first, error))
		return false;
	if (container->cpr.record ? take_over(container, error) : set_up(container, first, error))
		return true;
	vfio_file_close(container);
	return false;
}

/* A device that insists on version 1 and a container of version 2, or one without an IOMMU. */
static bool differs(const struct vfio_container *container, const struct vfio_device *device)
{
	const struct legacy *legacy = container->state;

	if (container->untranslated != is_noiommu(device))
		return true;
	return device->options.type1_v1 && legacy->file.type == VFIO_TYPE1v2_IOMMU;
}

static bool legacy_join(struct vfio_container *container, struct vfio_device *device, bool *fits,
			struct vfio_error *error)
{
	return differs(container, device) || vfio_file_join(container, device, fits, error);
}

static void legacy_leave(struct vfio_container *container, struct vfio_device *device)
{
	/* When it cannot be asked, what is known of before is stricter, and so still right. */
	vfio_file_leave(container, device);
	if (!container->untranslated)
		read_info(container);
}

/*
 * What can be mapped is asked with each device: its group has just come in, or, where iommufd
 * emulates the container, it counts from its opening on.
 */
static bool legacy_device_open(struct vfio_device *device, struct vfio_error *error)
{
	int ret;

	if (!vfio_group_device_open(device, error))
		return false;
	ret = device->container->untranslated ? 0 : read_info(device->container);
	if (!ret)
		return true;
	vfio_group_device_close(device);
	return vfio_fail(error, ret, "VFIO_IOMMU_GET_INFO");
}

/* ---- maps ---- */

/* Less than was asked: something was not there. More: something went that was to stay. */
static int judge(uint64_t size, uint64_t done)
{
	if (done < size)
		return -ENOENT;
	return done > size ? -EIO : 0;
}

static int unmap_with_bitmap(struct vfio_container *container, uint64_t iova, uint64_t size,
			     const struct vfio_dirty *dirty)
{
	struct vfio_bitmap bitmap = { .pgsize = dirty->pgsize,
				      .size = dirty->bitmap_bytes,
				      .data = dirty->bitmap };
	union {
		struct vfio_iommu_type1_dma_unmap unmap;
		unsigned char bytes[sizeof(struct vfio_iommu_type1_dma_unmap) + sizeof(bitmap)];
	} arg = { .unmap = { .argsz = sizeof(arg),
			     .flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
			     .iova = iova,
			     .size = size } };
	int ret;

	memcpy(arg.bytes + sizeof(arg.unmap), &bitmap, sizeof(bitmap));
	ret = vfio_file_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &arg);
	return ret ? ret : judge(size, arg.unmap.size);
}

static int legacy_unmap(struct vfio_container *container, uint64_t iova, uint64_t size,
			const struct vfio_dirty *dirty)
{
	uint64_t done = 0;
	int ret;

	if (dirty)
		return unmap_with_bitmap(container, iova, size, dirty);
	ret = vfio_file_unmap(container, 0, iova, size, &done);
	return ret ? ret : judge(size, done);
}

/* No size field holds 2^64: kernels that do not know a flag for all are asked for the two halves.
 */
static void legacy_unmap_rest(struct vfio_container *container)
{
	const uint64_t half = (uint64_t)1 << 63;

	if (!container->mapping_count)
		return;
	if (!vfio_file_unmap(container, VFIO_DMA_UNMAP_FLAG_ALL, 0, 0, NULL))
		return;
	vfio_file_unmap(container, 0, 0, half, NULL);
	vfio_file_unmap(container, 0, half, half, NULL);
}

/* ---- dirty pages ---- */

static int set_tracking(struct vfio_container *container, uint32_t flag)
{
	struct vfio_iommu_type1_dirty_bitmap arg = { .argsz = sizeof(arg), .flags = flag };

	return vfio_file_ioctl(container, VFIO_IOMMU_DIRTY_PAGES, &arg);
}

static int legacy_dirty_start(struct vfio_container *container)
{
	return set_tracking(container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
}

static void legacy_dirty_stop(struct vfio_container *container)
{
	int ret = set_tracking(container, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);

	if (ret)
		vfio_warn(container->vfio, ret, "dirty pages are tracked on");
}

static int legacy_dirty_read(struct vfio_container *container, uint64_t iova, uint64_t size,
			     const struct vfio_dirty *dirty)
{
	struct vfio_iommu_type1_dirty_bitmap_get get = {
		.iova = iova,
		.size = size,
		.bitmap = { .pgsize = dirty->pgsize,
			    .size = dirty->bitmap_bytes,
			    .data = dirty->bitmap },
	};
	union {
		struct vfio_iommu_type1_dirty_bitmap head;
		unsigned char bytes[sizeof(struct vfio_iommu_type1_dirty_bitmap) + sizeof(get)];
	} arg = { .head = { .argsz = sizeof(arg),
			    .flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP } };

	memcpy(arg.bytes + sizeof(arg.head), &get, sizeof(get));
	return vfio_file_ioctl(container, VFIO_IOMMU_DIRTY_PAGES, &arg);
}

/* ---- live update ---- */

static const char *cpr_lacks(struct vfio_container *container)
{
	if (container->untranslated)
		return "without an IOMMU nothing holds memory while the process changes";
	if (container->cpr.record)
		return NULL;
	if (vfio_file_has(container, VFIO_UPDATE_VADDR) <= 0)
		return "its kernel side cannot change addresses (VFIO_UPDATE_VADDR)";
	if (vfio_file_has(container, VFIO_UNMAP_ALL) <= 0)
		return "its kernel side cannot unmap all at once (VFIO_UNMAP_ALL)";
	return NULL;
}

static void cpr_describe(const struct vfio_container *container,
			 struct vfio_cpr_container_record *record)
{
	const struct legacy *legacy = container->state;

	record->type = legacy->file.type;
}

static int cpr_file(const struct vfio_container *container)
{
	const struct legacy *legacy = container->state;

	return legacy->file.fd;
}

static int cpr_suspend(struct vfio_container *container)
{
	return vfio_file_unmap(container, VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL, 0, 0,
			       NULL);
}

static int set_vaddr(struct vfio_container *container, const struct vfio_map *map)
{
	struct vfio_iommu_type1_dma_map arg = { .argsz = sizeof(arg),
						.flags = VFIO_DMA_MAP_FLAG_VADDR,
						.vaddr = map->vaddr,
						.iova = map->iova,
						.size = map->size };

	return vfio_file_ioctl(container, VFIO_IOMMU_MAP_DMA, &arg);
}

/* An address can be set where there is none; one that another process has set goes first. */
static int cpr_resume(struct vfio_container *container, const struct vfio_map *map)
{
	int ret = set_vaddr(container, map);

	if (ret != -EINVAL)
		return ret;
	ret = vfio_file_unmap(container, VFIO_DMA_UNMAP_FLAG_VADDR, map->iova, map->size, NULL);
	return ret ? ret : set_vaddr(container, map);
}

static const struct vfio_cpr_ops legacy_cpr_ops = {
	.lacks = cpr_lacks,
	.describe = cpr_describe,
	.file = cpr_file,
	.suspend = cpr_suspend,
	.resume = cpr_resume,
};

const struct vfio_backend_ops vfio_legacy_ops = {
	.name = "legacy",
	.io = &vfio_descriptor_io,
	.device_claim = vfio_group_get,
	.device_release = vfio_group_put,
	.device_open = legacy_device_open,
	.device_close = vfio_group_device_close,
	.open = legacy_open,
	.close = vfio_file_close,
	.join = legacy_join,
	.leave = legacy_leave,
	.map = vfio_file_map,
	.unmap = legacy_unmap,
	.unmap_rest = legacy_unmap_rest,
	.dirty_start = legacy_dirty_start,
	.dirty_stop = legacy_dirty_stop,
	.dirty_read = legacy_dirty_read,
	.cpr = &legacy_cpr_ops,
};
