/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page tables (HWPT): what a device is attached to, and what the IOMMU says of itself.
 *
 * Imitates drivers/iommu/iommufd/hw_pagetable.c, iommufd_get_hw_info() and, for what a driver
 * decides, drivers/iommu/intel of Linux 7.2: VT-d as QEMU has it, in legacy mode, with second-stage
 * tables only.
 *
 * Kept: a page table uses its IOAS and is filled when it is made; one that an attach made by itself
 * goes with its last device; it enforces coherency when the device that it was made for can, and
 * then takes no other device; driver data and NEST_PARENT are EOPNOTSUPP, the PASID flag is
 * accepted, DIRTY_TRACKING needs hardware for it; a page table with a fault queue can be made and
 * attaches to no device (ENODEV), since none of them asks for pages; a page table on another is
 * EOPNOTSUPP or EINVAL, never one; the answer of INVALIDATE counts 0 requests.
 *
 * Dropped: nested page tables. They need scalable mode, which the machine does not have.
 */
#include "iommufd_private.h"

/* VT-d's registers in QEMU: 48-bit second stage with large pages, queued invalidation, remapping.
 */
static const uint64_t vtd_cap = 0x00d2008c222f0606;
static const uint64_t vtd_ecap = 0x0000000000f00f5a;
/* With dirty tracking it is scalable mode: SMTS, SLTS and SLADS of the extended register. */
static const uint64_t vtd_ecap_dirty = (uint64_t)1 << 43 | (uint64_t)1 << 46 | (uint64_t)1 << 45;

static struct iommufd_hwpt *hwpt_of(struct vfake_domain *domain)
{
	return (struct iommufd_hwpt *)(void *)((char *)domain -
					       offsetof(struct iommufd_hwpt, domain));
}

/* ---- a device's access ---- */

static int translate(struct vfake_domain *domain, uint64_t iova, uint64_t len,
		     struct vfake_translation *out)
{
	const struct io_pagetable *iopt = &hwpt_of(domain)->ioas->iopt;
	const struct iopt_area *area = iopt_area_find(iopt, iova);
	uint32_t shift = iopt->kernel->page_shift;
	const struct iopt_run *run;
	uint64_t byte;

	if (!area || !area->filled || iopt_pages_revoked(area->pages))
		return -EFAULT;
	byte = (iova - area->iova) + area->page_offset + (area->first << shift);
	run = iopt_pages_run(area->pages, byte >> shift);
	if (vfake_warn_on(iopt->kernel, !run))
		return -EFAULT;
	byte -= run->first << shift;
	out->mem = run->pin.mem;
	out->offset = run->pin.offset + byte;
	out->len = run->pin.len - byte;
	out->prot = area->prot;
	if (out->len > area->last_iova - iova + 1)
		out->len = area->last_iova - iova + 1;
	if (out->len > len)
		out->len = len;
	return 0;
}

static void dirtied(struct vfake_domain *domain, uint64_t iova, uint64_t len)
{
	struct iommufd_hwpt *hwpt = hwpt_of(domain);

	if (hwpt->dirty_tracking && len)
		iopt_dirty_mark(hwpt, iova, len);
}

static const struct vfake_domain_ops hwpt_domain_ops = {
	.translate = translate,
	.dirtied = dirtied,
};

/* ---- life ---- */

/* Whether the IOMMU's driver makes such a page table. */
static int check_flags(const struct vfake_kernel *kernel, uint32_t flags, bool user_data)
{
	const uint32_t known = IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
			       IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID;

	if (kernel->world.platform ==
	    VFAKE_PLATFORM_POWERNV) /* its driver makes windows, not page tables */
		return -EOPNOTSUPP;
	if ((flags & ~known) || user_data || (flags & IOMMU_HWPT_ALLOC_NEST_PARENT))
		return -EOPNOTSUPP;
	if ((flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) && !kernel->world.iommu_dirty_tracking)
		return -EOPNOTSUPP;
	return 0;
}

static struct iommufd_hwpt *new_hwpt(struct iommufd_ctx *ictx, struct iommufd_ioas *ioas,
				     const struct iommufd_device *idev, uint32_t flags)
{
	struct vfake_iova_map_mem mem = vfake_map_memory(ictx->kernel);
	struct iommufd_hwpt *hwpt =
		iommufd_object_alloc(ictx, sizeof(*hwpt), IOMMUFD_OBJ_HWPT_PAGING);

	if (!hwpt)
		return NULL;
	hwpt->ioas = ioas;
	ioas->obj.users++;
	hwpt->pasid_compat = flags & IOMMU_HWPT_ALLOC_PASID;
	hwpt->dirty_capable = flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	hwpt->domain.ops = &hwpt_domain_ops;
	hwpt->domain.enforce_coherency = vfio_device_enforces_coherency(idev->device);
	vfake_iova_map_init(&hwpt->dirty, &mem);
	return hwpt;
}

int iommufd_hwpt_alloc(struct iommufd_ctx *ictx, struct iommufd_ioas *ioas,
		       struct iommufd_device *idev, uint32_t pasid, uint32_t flags, bool user_data,
		       bool attach, struct iommufd_hwpt **out)
{
	struct iommufd_hwpt *hwpt;
	int ret = check_flags(ictx->kernel, flags, user_data);

	if (ret)
		return ret;
	hwpt = new_hwpt(ictx, ioas, idev, flags);
	if (!hwpt)
		return -ENOMEM;
	if (attach) {
		ret = iommufd_device_do_attach(idev, pasid, hwpt);
		if (ret)
			goto err_abort;
	}
	ret = iopt_add_domain(&ioas->iopt, hwpt);
	if (ret)
		goto err_detach;
	*out = hwpt;
	return 0;

err_detach:
	if (attach) {
		iommufd_device_do_detach(idev, pasid);
		hwpt->obj.users--;
	}
err_abort:
	iommufd_hwpt_abort(ictx, hwpt);
	return ret;
}

void iommufd_hwpt_destroy(struct iommufd_ctx *ictx, struct iommufd_object *obj)
{
	struct iommufd_hwpt *hwpt = (struct iommufd_hwpt *)obj;

	(void)ictx;
	if (hwpt->listed)
		iopt_remove_domain(&hwpt->ioas->iopt, hwpt);
	vfake_iova_map_destroy(&hwpt->dirty);
	if (hwpt->fault)
		hwpt->fault->obj.users--;
	hwpt->ioas->obj.users--;
}

void iommufd_hwpt_abort(struct iommufd_ctx *ictx, struct iommufd_hwpt *hwpt)
{
	iommufd_hwpt_destroy(ictx, &hwpt->obj);
	iommufd_object_abort(ictx, &hwpt->obj);
}

void iommufd_hwpt_put(struct iommufd_ctx *ictx, struct iommufd_hwpt *hwpt)
{
	if (hwpt->auto_domain)
		iommufd_object_put_and_try_destroy(ictx, &hwpt->obj);
	else
		hwpt->obj.users--;
}

/* ---- ioctls ---- */

/* A page table on a page table: the answers on the way to where hardware would be needed. */
static int alloc_nested(const struct iommu_hwpt_alloc *arg)
{
	const uint32_t known = IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID;

	if ((arg->flags & ~known) || !arg->data_len)
		return -EOPNOTSUPP;
	return -EINVAL; /* no parent here was made to be one */
}

static int use_fault(struct iommufd_ctx *ictx, struct iommufd_hwpt *hwpt,
		     const struct iommu_hwpt_alloc *arg)
{
	struct iommufd_fault *fault;

	if (!(arg->flags & IOMMU_HWPT_FAULT_ID_VALID))
		return 0;
	fault = iommufd_object_get(ictx, arg->fault_id, IOMMUFD_OBJ_FAULT);
	if (!fault)
		return -ENOENT;
	hwpt->fault = fault;
	fault->obj.users++;
	return 0;
}

static int alloc_on_ioas(struct vfake_call *call, struct iommufd_ioas *ioas,
			 struct iommufd_device *idev)
{
	struct iommu_hwpt_alloc *arg = call->arg;
	struct iommufd_ctx *ictx = iommufd_call_ctx(call);
	struct iommufd_hwpt *hwpt;
	int ret;

	ret = iommufd_hwpt_alloc(ictx, ioas, idev, IOMMUFD_NO_PASID, arg->flags, arg->data_len,
				 false, &hwpt);
	if (ret)
		return ret;
	ret = use_fault(ictx, hwpt, arg);
	if (!ret)
		ret = vfake_fault(call->kernel, VFAKE_FAULT_COMMIT);
	if (ret) {
		iommufd_hwpt_abort(ictx, hwpt);
		return ret;
	}
	arg->out_hwpt_id = hwpt->obj.id;
	iommufd_object_respond(call, &hwpt->obj);
	return 0;
}

long iommufd_hwpt_alloc_ioctl(struct vfake_call *call)
{
	const struct iommu_hwpt_alloc *arg = call->arg;
	struct iommufd_ctx *ictx = iommufd_call_ctx(call);
	struct iommufd_device *idev;
	struct iommufd_object *pt;

	if (arg->__reserved)
		return -EOPNOTSUPP;
	if ((arg->data_type == IOMMU_HWPT_DATA_NONE) != !arg->data_len)
		return -EINVAL;
	idev = iommufd_object_get(ictx, arg->dev_id, IOMMUFD_OBJ_DEVICE);
	if (!idev)
		return -ENOENT;
	pt = iommufd_object_get(ictx, arg->pt_id, IOMMUFD_OBJ_ANY);
	if (!pt)
		return -EINVAL;
	if (pt->type == IOMMUFD_OBJ_IOAS)
		return alloc_on_ioas(call, (struct iommufd_ioas *)pt, idev);
	return pt->type == IOMMUFD_OBJ_HWPT_PAGING ? alloc_nested(arg) : -EINVAL;
}

static struct iommufd_hwpt *get_hwpt(const struct vfake_call *call, uint32_t id)
{
	return iommufd_object_get(iommufd_call_ctx(call), id, IOMMUFD_OBJ_HWPT_PAGING);
}

long iommufd_hwpt_set_dirty_tracking(struct vfake_call *call)
{
	const struct iommu_hwpt_set_dirty_tracking *arg = call->arg;
	struct iommufd_hwpt *hwpt = get_hwpt(call, arg->hwpt_id);

	if (!hwpt)
		return -ENOENT;
	if (!hwpt->dirty_capable)
		return -EOPNOTSUPP;
	hwpt->dirty_tracking = arg->flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE;
	if (hwpt->dirty_tracking) /* what an earlier round left is no news */
		iopt_dirty_forget(hwpt, 0, UINT64_MAX);
	return 0;
}

long iommufd_hwpt_get_dirty_bitmap(struct vfake_call *call)
{
	const struct iommu_hwpt_get_dirty_bitmap *arg = call->arg;
	struct iommufd_hwpt *hwpt = get_hwpt(call, arg->hwpt_id);

	return hwpt ? iopt_read_dirty(call, hwpt, arg) : -ENOENT;
}

static long check_invalidate(struct vfake_call *call, const struct iommu_hwpt_invalidate *arg)
{
	enum { ENTRIES_MAX = 1 << 19 };
	struct iommufd_object *pt;

	if (arg->__reserved)
		return -EOPNOTSUPP;
	if (arg->entry_num &&
	    (!arg->data_uptr || !arg->entry_len || arg->entry_len > vfake_page_size(call->kernel) ||
	     arg->entry_num > ENTRIES_MAX))
		return -EINVAL;
	pt = iommufd_object_get(iommufd_call_ctx(call), arg->hwpt_id, IOMMUFD_OBJ_ANY);
	if (!pt)
		return -ENOENT;
	return -EINVAL; /* neither a nested page table nor a vIOMMU: there is none */
}

long iommufd_hwpt_invalidate(struct vfake_call *call)
{
	struct iommu_hwpt_invalidate *arg = call->arg;
	long ret = check_invalidate(call, arg);

	arg->entry_num = 0;
	call->respond = true;
	return ret;
}

/* ---- hardware information ---- */

/* As much of the data as the caller has room for, the rest of its buffer zero. */
static int copy_padded(struct vfake_call *call, uint64_t to, uint64_t room, const void *data,
		       uint64_t len)
{
	static const unsigned char zeroes[64];
	uint64_t n = room < len ? room : len;

	if (n && vfake_copy_out(call, to, data, n))
		return -EFAULT;
	while (n < room) {
		uint64_t chunk = room - n < sizeof(zeroes) ? room - n : sizeof(zeroes);

		if (vfake_copy_out(call, to + n, zeroes, chunk))
			return -EFAULT;
		n += chunk;
	}
	return 0;
}

static long vtd_info(struct vfake_call *call, struct iommu_hw_info *arg)
{
	bool dirty = call->kernel->world.iommu_dirty_tracking;
	struct iommu_hw_info_vtd vtd = {
		.flags = IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17,
		.cap_reg = vtd_cap,
		.ecap_reg = vtd_ecap | (dirty ? vtd_ecap_dirty : 0),
	};

	if (arg->in_data_type != IOMMU_HW_INFO_TYPE_DEFAULT &&
	    arg->in_data_type != IOMMU_HW_INFO_TYPE_INTEL_VTD)
		return -EOPNOTSUPP;
	if (copy_padded(call, arg->data_uptr, arg->data_len, &vtd, sizeof(vtd)))
		return -EFAULT;
	arg->out_data_type = IOMMU_HW_INFO_TYPE_INTEL_VTD;
	arg->data_len = sizeof(vtd);
	return 0;
}

long iommufd_get_hw_info(struct vfake_call *call)
{
	struct iommu_hw_info *arg = call->arg;
	long ret;

	if (!(arg->flags & IOMMU_HW_INFO_FLAG_INPUT_TYPE))
		arg->in_data_type = IOMMU_HW_INFO_TYPE_DEFAULT;
	if (!iommufd_object_get(iommufd_call_ctx(call), arg->dev_id, IOMMUFD_OBJ_DEVICE))
		return -ENOENT;
	if (call->kernel->world.platform == VFAKE_PLATFORM_POWERNV) {
		ret = copy_padded(call, arg->data_uptr, arg->data_len, NULL, 0);
		arg->out_data_type = IOMMU_HW_INFO_TYPE_NONE;
		arg->data_len = 0;
	} else {
		ret = vtd_info(call, arg);
	}
	arg->out_capabilities = IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED;
	if (call->kernel->world.iommu_dirty_tracking)
		arg->out_capabilities |= IOMMU_HW_CAP_DIRTY_TRACKING;
	arg->out_max_pasid_log2 = 0;
	return ret;
}
