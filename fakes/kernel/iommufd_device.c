/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices bound to an iommufd, and what they are attached to.
 *
 * Imitates drivers/iommu/iommufd/device.c and drivers/vfio/iommufd.c of Linux 7.2.
 *
 * Kept: a bind claims the DMA of the device's group for this iommufd (EPERM when it is another's)
 * and needs isolated MSIs or the administrator's word; devices of one group are attached to one
 * page table, each by a call of its own (EINVAL for another), and the group leaves it with the last
 * of them; an attached device brings its reserved IOVAs into the IOAS; an attach to an IOAS takes
 * the first page table that an attach made there and that the device can use, or makes one; an
 * attach of an attached device replaces, for all of its group; a failure changes nothing. With a
 * PASID the page table must have been made for it; devices without PASIDs, as all of them here,
 * then do nothing with it, and the attachment is there all the same.
 *
 * Dropped: MSI pages that are mapped by software (arm), vDEVICEs, emulated devices (accesses).
 */
#include <uapi/vfio.h>

#include "iommufd_private.h"

/* One device of a group's attachment. */
struct attached {
	LIST_ENTRY(attached) next;
	struct iommufd_device *idev;
};

/* What the devices of a group are attached to with one PASID. */
struct attach {
	LIST_ENTRY(attach) next;
	uint32_t pasid;
	struct iommufd_hwpt *hwpt; /* counted once per device */
	LIST_HEAD(, attached) devices;
};

/* An IOMMU group in one context. */
struct iommufd_group {
	LIST_ENTRY(iommufd_group) next;
	uint32_t refs;
	struct vfio_group *group;
	LIST_HEAD(, attach) attaches;
};

/* A PASID that VFIO attached for its device. */
struct iommufd_pasid {
	LIST_ENTRY(iommufd_pasid) next;
	uint32_t pasid;
};

/* ---- groups ---- */

static struct iommufd_group *get_group(struct iommufd_ctx *ictx, struct vfio_group *group)
{
	struct iommufd_group *igroup;

	LIST_FOREACH(igroup, &ictx->groups, next)
	{
		if (igroup->group == group) {
			igroup->refs++;
			return igroup;
		}
	}
	igroup = vfake_alloc(ictx->kernel, sizeof(*igroup));
	if (!igroup)
		return NULL;
	igroup->refs = 1;
	igroup->group = group;
	LIST_INIT(&igroup->attaches);
	LIST_INSERT_HEAD(&ictx->groups, igroup, next);
	return igroup;
}

static void put_group(struct iommufd_ctx *ictx, struct iommufd_group *igroup)
{
	if (--igroup->refs)
		return;
	vfake_warn_on(ictx->kernel, !LIST_EMPTY(&igroup->attaches));
	LIST_REMOVE(igroup, next);
	vfake_free(ictx->kernel, igroup);
}

static struct attach *find_attach(const struct iommufd_group *igroup, uint32_t pasid)
{
	struct attach *attach;

	LIST_FOREACH(attach, &igroup->attaches, next)
	{
		if (attach->pasid == pasid)
			return attach;
	}
	return NULL;
}

static struct attached *find_attached(const struct attach *attach,
				      const struct iommufd_device *idev)
{
	struct attached *attached;

	LIST_FOREACH(attached, &attach->devices, next)
	{
		if (attached->idev == idev)
			return attached;
	}
	return NULL;
}

/* ---- bind ---- */

static int bind(struct iommufd_ctx *ictx, struct vfio_device *device)
{
	const struct vfake_world *world = &ictx->kernel->world;
	struct iommufd_group *igroup = get_group(ictx, device->group);
	struct iommufd_device *idev;
	int ret;

	if (!igroup)
		return -ENOMEM;
	ret = world->isolated_msi || world->unsafe_interrupts
		      ? vfio_group_claim_device_dma_owner(device->group, ictx)
		      : -EPERM;
	if (ret)
		goto err_group;
	idev = iommufd_object_alloc(ictx, sizeof(*idev), IOMMUFD_OBJ_DEVICE);
	if (!idev) {
		ret = -ENOMEM;
		goto err_owner;
	}
	idev->ictx = ictx;
	iommufd_ctx_get(ictx);
	idev->igroup = igroup;
	idev->device = device;
	idev->obj.users++; /* VFIO, until it unbinds */
	LIST_INIT(&idev->pasids);
	device->iommufd_device = idev;
	iommufd_object_finalize(&idev->obj);
	return 0;

err_owner:
	vfio_group_release_dma_owner(device->group);
err_group:
	put_group(ictx, igroup);
	return ret;
}

void iommufd_device_destroy(struct iommufd_ctx *ictx, struct iommufd_object *obj)
{
	struct iommufd_device *idev = (struct iommufd_device *)obj;

	vfio_group_release_dma_owner(idev->device->group);
	put_group(ictx, idev->igroup);
}

int vfio_df_iommufd_bind(struct vfio_device_file *df, struct vfake_task *task)
{
	int ret;

	(void)task;
	if (df->device->group->type == VFIO_GROUP_NOIOMMU)
		return 0;
	ret = bind(df->iommufd, df->device);
	if (!ret)
		df->devid = df->device->iommufd_device->obj.id;
	return ret;
}

/* ---- attach ---- */

/* The IOMMU driver's word on one page table and all devices of a group. */
static int check_compatible(const struct iommufd_hwpt *hwpt, const struct vfio_group *group)
{
	if (hwpt->domain.enforce_coherency && !vfio_group_enforces_coherency(group))
		return -EINVAL;
	return hwpt->fault ? -ENODEV : 0; /* it wants page requests, which no device here makes */
}

static int check_pasid(const struct iommufd_hwpt *hwpt, const struct iommufd_group *igroup,
		       uint32_t pasid)
{
	const struct attach *attach;

	if (hwpt->pasid_compat) {
		attach = pasid == IOMMUFD_NO_PASID ? NULL : find_attach(igroup, IOMMUFD_NO_PASID);
		return attach && !attach->hwpt->pasid_compat ? -EINVAL : 0;
	}
	if (pasid != IOMMUFD_NO_PASID)
		return -EINVAL;
	LIST_FOREACH(attach, &igroup->attaches, next)
	{
		if (attach->pasid != IOMMUFD_NO_PASID)
			return -EINVAL;
	}
	return 0;
}

/* Points the group's hardware at the page table, or says why not. */
static int set_domain(struct iommufd_hwpt *hwpt, struct iommufd_group *igroup, uint32_t pasid)
{
	int ret = check_pasid(hwpt, igroup, pasid);

	if (ret || pasid != IOMMUFD_NO_PASID)
		return ret;
	ret = check_compatible(hwpt, igroup->group);
	if (!ret)
		igroup->group->domain = &hwpt->domain;
	return ret;
}

static int reserve(struct iommufd_hwpt *hwpt, const struct iommufd_device *idev)
{
	const struct vfake_world *world = &idev->ictx->kernel->world;
	struct io_pagetable *iopt = &hwpt->ioas->iopt;

	for (uint32_t i = 0; i < world->reserved_count; i++) {
		int ret =
			iopt_reserve(iopt, world->reserved[i].start, world->reserved[i].last, idev);

		if (ret) {
			iopt_unreserve(iopt, idev);
			return ret;
		}
	}
	return 0;
}

static struct attach *new_attach(struct vfake_kernel *kernel, uint32_t pasid)
{
	struct attach *attach = vfake_alloc(kernel, sizeof(*attach));

	if (!attach)
		return NULL;
	attach->pasid = pasid;
	LIST_INIT(&attach->devices);
	return attach;
}

/* With @first the group has no attachment yet: @attach is new and in no list. */
static int attach_to(struct attach *attach, bool first, struct iommufd_device *idev,
		     struct iommufd_hwpt *hwpt)
{
	bool reserves = attach->pasid == IOMMUFD_NO_PASID;
	struct attached *attached;
	int ret = 0;

	if (find_attached(attach, idev))
		return -EBUSY;
	if (!first && attach->hwpt != hwpt)
		return -EINVAL;
	attached = vfake_alloc(idev->ictx->kernel, sizeof(*attached));
	if (!attached)
		return -ENOMEM;
	if (reserves)
		ret = reserve(hwpt, idev);
	if (ret)
		goto err_free;
	ret = vfake_fault(idev->ictx->kernel, VFAKE_FAULT_COMMIT);
	if (!ret && first)
		ret = set_domain(hwpt, idev->igroup, attach->pasid);
	if (ret)
		goto err_unreserve;
	attach->hwpt = hwpt;
	attached->idev = idev;
	LIST_INSERT_HEAD(&attach->devices, attached, next);
	hwpt->obj.users++;
	return 0;

err_unreserve:
	if (reserves)
		iopt_unreserve(&hwpt->ioas->iopt, idev);
err_free:
	vfake_free(idev->ictx->kernel, attached);
	return ret;
}

int iommufd_device_do_attach(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt)
{
	struct vfake_kernel *kernel = idev->ictx->kernel;
	struct attach *attach = find_attach(idev->igroup, pasid);
	bool first = !attach;
	int ret;

	if (first)
		attach = new_attach(kernel, pasid);
	if (!attach)
		return -ENOMEM;
	ret = attach_to(attach, first, idev, hwpt);
	if (!first)
		return ret;
	if (ret)
		vfake_free(kernel, attach);
	else
		LIST_INSERT_HEAD(&idev->igroup->attaches, attach, next);
	return ret;
}

struct iommufd_hwpt *iommufd_device_do_detach(struct iommufd_device *idev, uint32_t pasid)
{
	struct vfake_kernel *kernel = idev->ictx->kernel;
	struct attach *attach = find_attach(idev->igroup, pasid);
	struct attached *attached = attach ? find_attached(attach, idev) : NULL;
	struct iommufd_hwpt *hwpt;

	if (!attached)
		return NULL;
	hwpt = attach->hwpt;
	LIST_REMOVE(attached, next);
	vfake_free(kernel, attached);
	if (LIST_EMPTY(&attach->devices)) {
		if (pasid == IOMMUFD_NO_PASID)
			idev->igroup->group->domain = NULL;
		LIST_REMOVE(attach, next);
		vfake_free(kernel, attach);
	}
	if (pasid == IOMMUFD_NO_PASID)
		iopt_unreserve(&hwpt->ioas->iopt, idev);
	return hwpt;
}

/* ---- replace ---- */

static void unreserve_all(const struct attach *attach, struct iommufd_ioas *ioas)
{
	const struct attached *attached;

	LIST_FOREACH(attached, &attach->devices, next)
	iopt_unreserve(&ioas->iopt, attached->idev);
}

static int reserve_all(const struct attach *attach, struct iommufd_hwpt *hwpt)
{
	const struct attached *attached;

	LIST_FOREACH(attached, &attach->devices, next)
	{
		int ret = reserve(hwpt, attached->idev);

		if (ret) {
			unreserve_all(attach, hwpt->ioas);
			return ret;
		}
	}
	return 0;
}

/* Moves the whole group. *old gets the page table whose last use the caller gives back, or NULL. */
static int do_replace(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt,
		      struct iommufd_hwpt **old)
{
	struct attach *attach = find_attach(idev->igroup, pasid);
	const struct attached *attached;
	bool moves;
	int ret = 0;

	*old = NULL;
	if (!attach || !find_attached(attach, idev))
		return -EINVAL;
	if (attach->hwpt == hwpt)
		return vfake_fault(idev->ictx->kernel, VFAKE_FAULT_COMMIT);
	moves = pasid == IOMMUFD_NO_PASID && attach->hwpt->ioas != hwpt->ioas;
	if (moves)
		ret = reserve_all(attach, hwpt);
	if (ret)
		return ret;
	ret = vfake_fault(idev->ictx->kernel, VFAKE_FAULT_COMMIT);
	if (ret) {
		if (moves)
			unreserve_all(attach, hwpt->ioas);
		return ret;
	}
	ret = set_domain(hwpt, idev->igroup, pasid);
	if (ret) {
		/* As Linux does it: also those of the old page table go, when it is on the same
		 * IOAS. */
		if (pasid == IOMMUFD_NO_PASID)
			unreserve_all(attach, hwpt->ioas);
		return ret;
	}
	*old = attach->hwpt;
	if (moves)
		unreserve_all(attach, (*old)->ioas);
	attach->hwpt = hwpt;
	LIST_FOREACH(attached, &attach->devices, next)
	{
		hwpt->obj.users++;
		(*old)->obj.users--;
	}
	(*old)->obj.users++;
	return 0;
}

/* Attaches, or replaces what is attached. */
static int change_to(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt,
		     bool replace, struct iommufd_hwpt **old)
{
	*old = NULL;
	if (replace)
		return do_replace(idev, pasid, hwpt, old);
	return iommufd_device_do_attach(idev, pasid, hwpt);
}

static int auto_hwpt(struct iommufd_device *idev, uint32_t pasid, struct iommufd_ioas *ioas,
		     uint32_t *pt_id, bool replace, struct iommufd_hwpt **old)
{
	struct iommufd_hwpt *hwpt;
	int ret;

	TAILQ_FOREACH(hwpt, &ioas->iopt.domains, in)
	{
		if (!hwpt->auto_domain)
			continue;
		ret = change_to(idev, pasid, hwpt, replace, old);
		if (ret == -EINVAL) /* not for this device */
			continue;
		if (!ret)
			*pt_id = hwpt->obj.id;
		return ret;
	}
	ret = iommufd_hwpt_alloc(idev->ictx, ioas, idev, pasid, 0, false, !replace, &hwpt);
	if (ret)
		return ret;
	if (replace) {
		ret = do_replace(idev, pasid, hwpt, old);
		if (ret) {
			iommufd_hwpt_abort(idev->ictx, hwpt);
			return ret;
		}
	}
	hwpt->auto_domain = true;
	*pt_id = hwpt->obj.id;
	iommufd_object_finalize(&hwpt->obj);
	return 0;
}

static int change_pt(struct iommufd_device *idev, uint32_t pasid, uint32_t *pt_id, bool replace)
{
	struct iommufd_object *obj = iommufd_object_get(idev->ictx, *pt_id, IOMMUFD_OBJ_ANY);
	struct iommufd_hwpt *old = NULL;
	int ret = -EINVAL;

	if (!obj)
		return -ENOENT;
	if (obj->type == IOMMUFD_OBJ_HWPT_PAGING)
		ret = change_to(idev, pasid, (struct iommufd_hwpt *)obj, replace, &old);
	else if (obj->type == IOMMUFD_OBJ_IOAS)
		ret = auto_hwpt(idev, pasid, (struct iommufd_ioas *)obj, pt_id, replace, &old);
	if (!ret && old)
		iommufd_hwpt_put(idev->ictx, old);
	return ret;
}

static int device_attach(struct iommufd_device *idev, uint32_t pasid, uint32_t *pt_id)
{
	int ret = change_pt(idev, pasid, pt_id, false);

	if (!ret)
		idev->obj.users++;
	return ret;
}

static void device_detach(struct iommufd_device *idev, uint32_t pasid)
{
	struct iommufd_hwpt *hwpt = iommufd_device_do_detach(idev, pasid);

	if (!hwpt)
		return;
	iommufd_hwpt_put(idev->ictx, hwpt);
	idev->obj.users--;
}

/* ---- VFIO's side ---- */

int vfio_iommufd_attach(struct vfio_device *device, uint32_t *pt_id, struct vfake_task *task)
{
	int ret;

	(void)task;
	if (vfake_warn_on(device->kernel, !device->iommufd_device))
		return -EINVAL;
	if (device->iommufd_attached)
		return change_pt(device->iommufd_device, IOMMUFD_NO_PASID, pt_id, true);
	ret = device_attach(device->iommufd_device, IOMMUFD_NO_PASID, pt_id);
	if (!ret)
		device->iommufd_attached = true;
	return ret;
}

void vfio_iommufd_detach(struct vfio_device *device)
{
	if (vfake_warn_on(device->kernel, !device->iommufd_device) || !device->iommufd_attached)
		return;
	device_detach(device->iommufd_device, IOMMUFD_NO_PASID);
	device->iommufd_attached = false;
}

static struct iommufd_pasid *find_pasid(const struct iommufd_device *idev, uint32_t pasid)
{
	struct iommufd_pasid *entry;

	LIST_FOREACH(entry, &idev->pasids, next)
	{
		if (entry->pasid == pasid)
			return entry;
	}
	return NULL;
}

int vfio_iommufd_pasid_attach(struct vfio_device *device, uint32_t pasid, uint32_t *pt_id)
{
	struct iommufd_device *idev = device->iommufd_device;
	struct iommufd_pasid *entry;
	int ret;

	if (vfake_warn_on(device->kernel, !idev))
		return -EINVAL;
	if (find_pasid(idev, pasid))
		return change_pt(idev, pasid, pt_id, true);
	if (pasid > INT32_MAX) /* VFIO's own list of them ends there */
		return -ENOSPC;
	entry = vfake_alloc(device->kernel, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	ret = device_attach(idev, pasid, pt_id);
	if (ret) {
		vfake_free(device->kernel, entry);
		return ret;
	}
	entry->pasid = pasid;
	LIST_INSERT_HEAD(&idev->pasids, entry, next);
	return 0;
}

static void drop_pasid(struct iommufd_device *idev, struct iommufd_pasid *entry)
{
	device_detach(idev, entry->pasid);
	LIST_REMOVE(entry, next);
	vfake_free(idev->ictx->kernel, entry);
}

void vfio_iommufd_pasid_detach(struct vfio_device *device, uint32_t pasid)
{
	struct iommufd_device *idev = device->iommufd_device;
	struct iommufd_pasid *entry;

	if (vfake_warn_on(device->kernel, !idev))
		return;
	entry = find_pasid(idev, pasid);
	if (entry)
		drop_pasid(idev, entry);
}

/* The object goes before the context's reference, which may be the last. */
void vfio_df_iommufd_unbind(struct vfio_device_file *df)
{
	struct vfio_device *device = df->device;
	struct iommufd_device *idev = device->iommufd_device;
	struct iommufd_pasid *entry;
	struct iommufd_ctx *ictx;

	if (device->group->type == VFIO_GROUP_NOIOMMU)
		return;
	ictx = idev->ictx;
	while ((entry = LIST_FIRST(&idev->pasids)))
		drop_pasid(idev, entry);
	vfio_iommufd_detach(device);
	device->iommufd_device = NULL;
	idev->obj.users--;
	vfake_warn_on(ictx->kernel, iommufd_object_remove(ictx, idev->obj.id) != 0);
	iommufd_ctx_put(ictx);
}

int vfio_iommufd_compat_attach(struct vfio_device *device, struct iommufd_ctx *ictx,
			       struct vfake_task *task)
{
	uint32_t id;
	int ret;

	if (device->group->type == VFIO_GROUP_NOIOMMU)
		return 0;
	ret = iommufd_compat_ioas_id(ictx, &id);
	return ret ? ret : vfio_iommufd_attach(device, &id, task);
}

int vfio_iommufd_get_dev_id(const struct vfio_device *device, const struct iommufd_ctx *ictx)
{
	const struct iommufd_group *igroup;

	if (!ictx)
		return -ENODEV;
	if (device->iommufd_device && device->iommufd_device->ictx == ictx)
		return (int)device->iommufd_device->obj.id;
	LIST_FOREACH(igroup, &ictx->groups, next)
	{
		if (igroup->group == device->group)
			return -ENOENT;
	}
	return -ENODEV;
}
