/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO's container calls on an iommufd.
 *
 * Imitates drivers/iommu/iommufd/vfio_compat.c of Linux 7.2.
 *
 * Kept: the calls work on one IOAS, which a group makes when it takes the iommufd for its
 * container, or IOMMU_VFIO_IOAS sets; without it they are ENODEV; a context has groups with or
 * without an IOMMU, never both; VFIO_TYPE1_IOMMU turns large pages off, so that an unmap may then
 * cut areas in two, and VFIO_TYPE1v2_IOMMU leaves them; an unmap says what it took although it
 * fails; capabilities that have no room in the answer are counted into argsz, and cap_offset is set
 * when all of them fit.
 *
 * The kernel is one with CONFIG_VFIO_NOIOMMU, so VFIO_CHECK_EXTENSION offers VFIO_NOIOMMU_IOMMU.
 *
 * Dropped: VFIO_IOMMU_DIRTY_PAGES and the update of addresses, which Linux does not have here
 * either.
 */
#include <uapi/vfio.h>

#include "iommufd_private.h"

/* ---- the compat IOAS ---- */

int iommufd_compat_ioas_id(struct iommufd_ctx *ictx, uint32_t *id)
{
	if (!ictx->vfio_ioas)
		return -ENODEV;
	*id = ictx->vfio_ioas->obj.id;
	return 0;
}

bool iommufd_has_compat_ioas(struct iommufd_ctx *ictx)
{
	return ictx->vfio_ioas;
}

int iommufd_compat_set_noiommu(struct iommufd_ctx *ictx)
{
	if (ictx->vfio_ioas)
		return -EINVAL;
	ictx->no_iommu_mode = true;
	return 0;
}

int iommufd_compat_ioas_create(struct iommufd_ctx *ictx)
{
	if (ictx->no_iommu_mode)
		return -EINVAL;
	if (ictx->vfio_ioas)
		return 0;
	ictx->vfio_ioas = iommufd_ioas_alloc(ictx);
	if (!ictx->vfio_ioas)
		return -ENOMEM;
	iommufd_object_finalize(&ictx->vfio_ioas->obj);
	return 0;
}

long iommufd_vfio_ioas(struct vfake_call *call)
{
	struct iommufd_ctx *ictx = iommufd_call_ctx(call);
	struct iommu_vfio_ioas *arg = call->arg;
	struct iommufd_ioas *ioas;

	call->silent = arg->op != IOMMU_VFIO_IOAS_GET;
	switch (arg->op) {
	case IOMMU_VFIO_IOAS_GET:
		return iommufd_compat_ioas_id(ictx, &arg->ioas_id);
	case IOMMU_VFIO_IOAS_SET:
		ioas = iommufd_object_get(ictx, arg->ioas_id, IOMMUFD_OBJ_IOAS);
		if (!ioas)
			return -ENOENT;
		ictx->vfio_ioas = ioas;
		return 0;
	case IOMMU_VFIO_IOAS_CLEAR:
		ictx->vfio_ioas = NULL;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* ---- container calls ---- */

long iommufd_vfio_get_api_version(struct vfake_call *call)
{
	(void)call;
	return VFIO_API_VERSION;
}

static long coherent(const struct iommufd_ctx *ictx)
{
	const struct iommufd_hwpt *hwpt;

	if (!ictx->vfio_ioas)
		return -ENODEV;
	TAILQ_FOREACH(hwpt, &ictx->vfio_ioas->iopt.domains, in)
	{
		if (!hwpt->domain.enforce_coherency)
			return 0;
	}
	return 1;
}

long iommufd_vfio_check_extension(struct vfake_call *call)
{
	const struct iommufd_ctx *ictx = iommufd_call_ctx(call);

	switch (call->uarg) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return !ictx->no_iommu_mode;
	case VFIO_NOIOMMU_IOMMU:
		return 1;
	case VFIO_DMA_CC_IOMMU:
		return coherent(ictx);
	default:
		return 0;
	}
}

long iommufd_vfio_set_iommu(struct vfake_call *call)
{
	struct iommufd_ctx *ictx = iommufd_call_ctx(call);
	uint64_t type = call->uarg;

	if (type == VFIO_NOIOMMU_IOMMU && ictx->no_iommu_mode)
		return call->task->attr.cap_sys_rawio ? 0 : -EPERM;
	if ((type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU) || ictx->no_iommu_mode)
		return -EINVAL;
	if (!ictx->vfio_ioas)
		return -ENODEV;
	return type == VFIO_TYPE1_IOMMU ? iopt_set_large_pages(&ictx->vfio_ioas->iopt, false) : 0;
}

long iommufd_vfio_map_dma(struct vfake_call *call)
{
	const struct vfio_iommu_type1_dma_map *arg = call->arg;
	struct iommufd_ctx *ictx = iommufd_call_ctx(call);
	struct iopt_pages *pages;
	uint64_t iova = arg->iova;
	int prot = (arg->flags & VFIO_DMA_MAP_FLAG_READ ? VFAKE_IOMMU_READ : 0) |
		   (arg->flags & VFIO_DMA_MAP_FLAG_WRITE ? VFAKE_IOMMU_WRITE : 0);
	int ret;

	if (!ictx->vfio_ioas)
		return -ENODEV;
	ret = iopt_pages_of_user(call->task, arg->vaddr, arg->size, prot & VFAKE_IOMMU_WRITE,
				 &pages);
	if (ret)
		return ret;
	return iopt_map_pages(ictx, &ictx->vfio_ioas->iopt, pages, arg->vaddr - pages->start,
			      arg->size, prot, true, &iova);
}

/* Where large pages are off, the range may begin and end inside of an area. */
static int cut_ends(struct io_pagetable *iopt, const struct vfio_iommu_type1_dma_unmap *arg)
{
	int ret;

	if (!iopt->disable_large_pages)
		return 0;
	ret = iopt_cut(iopt, arg->iova + arg->size - 1);
	if (!ret && arg->iova)
		ret = iopt_cut(iopt, arg->iova - 1);
	return ret;
}

long iommufd_vfio_unmap_dma(struct vfake_call *call)
{
	struct vfio_iommu_type1_dma_unmap *arg = call->arg;
	struct iommufd_ctx *ictx = iommufd_call_ctx(call);
	uint64_t unmapped;
	int ret;

	if (!ictx->vfio_ioas)
		return -ENODEV;
	if (arg->flags & VFIO_DMA_UNMAP_FLAG_ALL) {
		if (arg->iova || arg->size)
			return -EINVAL;
		ret = iopt_unmap_all(&ictx->vfio_ioas->iopt, &unmapped);
	} else {
		ret = cut_ends(&ictx->vfio_ioas->iopt, arg);
		if (ret)
			return ret;
		ret = iopt_unmap(&ictx->vfio_ioas->iopt, arg->iova, arg->size, &unmapped);
	}
	arg->size = unmapped;
	call->respond = true;
	return ret;
}

/* ---- VFIO_IOMMU_GET_INFO ---- */

/* Where the next capability goes, behind the struct of the answer. */
struct cap_writer {
	struct vfake_call *call;
	uint64_t argsz;
	uint64_t at;   /* offset of this capability */
	uint64_t last; /* offset of the one before, 0 for none */
};

static bool has_room(const struct cap_writer *caps, uint64_t size_bytes)
{
	return caps->argsz > caps->at && caps->argsz - caps->at >= size_bytes;
}

/* Closes a capability of @size_bytes: links it to the one before it. */
static int end_cap(struct cap_writer *caps, uint64_t size_bytes)
{
	uint32_t next = (uint32_t)caps->at;

	if (caps->last && caps->argsz >= caps->at &&
	    vfake_copy_out(caps->call,
			   caps->call->uarg + caps->last +
				   offsetof(struct vfio_info_cap_header, next),
			   &next, sizeof(next)))
		return -EFAULT;
	caps->last = caps->at;
	caps->at += (size_bytes + 7) & ~(uint64_t)7;
	return 0;
}

static int write_dma_avail(struct cap_writer *caps)
{
	struct vfio_iommu_type1_info_dma_avail cap = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, .version = 1 },
		.avail = UINT32_MAX, /* no limit of its own */
	};

	if (has_room(caps, sizeof(cap)) &&
	    vfake_copy_out(caps->call, caps->call->uarg + caps->at, &cap, sizeof(cap)))
		return -EFAULT;
	return end_cap(caps, sizeof(cap));
}

static int write_iova_ranges(struct cap_writer *caps, const struct io_pagetable *iopt)
{
	struct vfio_iommu_type1_info_cap_iova_range cap = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, .version = 1 },
	};
	uint64_t size = sizeof(cap);
	struct vfake_range hole;
	uint64_t from = 0;

	while (iopt_next_usable(iopt, from, &hole)) {
		struct vfio_iova_range range = { .start = hole.start, .end = hole.last };

		if (has_room(caps, size + sizeof(range)) &&
		    vfake_copy_out(caps->call, caps->call->uarg + caps->at + size, &range,
				   sizeof(range)))
			return -EFAULT;
		size += sizeof(range);
		cap.nr_iovas++;
		if (hole.last == UINT64_MAX)
			break;
		from = hole.last + 1;
	}
	if (has_room(caps, size) &&
	    vfake_copy_out(caps->call, caps->call->uarg + caps->at, &cap, sizeof(cap)))
		return -EFAULT;
	return end_cap(caps, size);
}

static uint64_t page_sizes(const struct io_pagetable *iopt)
{
	uint64_t page = vfake_page_size(iopt->kernel);
	uint64_t sizes =
		TAILQ_EMPTY(&iopt->domains) ? UINT64_MAX : iopt->kernel->world.iommu_pgsizes;

	if (sizes & (page - 1))
		sizes = (sizes & ~(page - 1)) | page;
	return sizes > iopt->iova_alignment ? sizes : iopt->iova_alignment;
}

long iommufd_vfio_get_info(struct vfake_call *call)
{
	const struct iommufd_ctx *ictx = iommufd_call_ctx(call);
	struct vfio_iommu_type1_info *info = call->arg;
	struct cap_writer caps = { .call = call, .argsz = call->size_bytes, .at = sizeof(*info) };

	if (!ictx->vfio_ioas)
		return -ENODEV;
	if (write_dma_avail(&caps) || write_iova_ranges(&caps, &ictx->vfio_ioas->iopt))
		return -EFAULT;
	info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info->iova_pgsizes = page_sizes(&ictx->vfio_ioas->iopt);
	info->cap_offset = caps.argsz >= caps.at ? sizeof(*info) : 0;
	info->argsz = (uint32_t)caps.at;
	return 0;
}
