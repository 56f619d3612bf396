/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fault queues, and the ioctls of virtual IOMMUs.
 *
 * Imitates drivers/iommu/iommufd/eventq.c and viommu.c of Linux 7.2 over an IOMMU driver that has
 * no virtual IOMMU, as Intel's.
 *
 * Kept: a fault queue is an object and a file, each of which keeps the other's ends: DESTROY is
 * EBUSY while the file is open, and the file holds the context. A read from an empty queue is 0
 * bytes, the lengths of reads and writes are whole records (ESPIPE), a response to no fault is
 * EINVAL. VIOMMU_ALLOC judges type and device and is then EOPNOTSUPP; so no id of a vIOMMU exists,
 * and the calls that need one judge their input and are then ENOENT.
 *
 * Dropped: faults themselves (no device here asks for pages), poll, event queues and hardware
 * queues beyond their input.
 */
#include "iommufd_private.h"

/* ---- fault queues ---- */

static long fault_read(struct vfake_file *file, struct vfake_task *task, uint64_t buf, uint64_t len)
{
	(void)file;
	(void)task;
	(void)buf;
	return len % sizeof(struct iommu_hwpt_pgfault) ? -ESPIPE : 0;
}

static long fault_write(struct vfake_file *file, struct vfake_task *task, uint64_t buf,
			uint64_t len)
{
	struct iommu_hwpt_page_response response;

	(void)file;
	if (len % sizeof(response))
		return -ESPIPE;
	if (!len)
		return 0;
	if (vfake_user_read(task, &response, buf, sizeof(response)))
		return -EFAULT;
	return -EINVAL; /* no fault waits for an answer, whatever the answer is */
}

static void fault_release(struct vfake_file *file)
{
	struct iommufd_fault *fault = file->data;

	fault->obj.users--;
	iommufd_ctx_put(fault->ictx);
}

static const struct vfake_file_ops fault_ops = {
	.name = "fault queue",
	.release = fault_release,
	.read = fault_read,
	.write = fault_write,
};

static void undo_fault(struct vfake_call *call)
{
	const struct iommu_fault_alloc *arg = call->arg;
	uint32_t id = arg->out_fault_id;

	vfake_fd_close(call->task, (int)arg->out_fault_fd);
	iommufd_object_remove(iommufd_call_ctx(call), id);
}

long iommufd_fault_alloc(struct vfake_call *call)
{
	struct iommu_fault_alloc *arg = call->arg;
	struct iommufd_ctx *ictx = iommufd_call_ctx(call);
	struct iommufd_fault *fault = iommufd_object_alloc(ictx, sizeof(*fault), IOMMUFD_OBJ_FAULT);
	int fd;

	if (!fault)
		return -ENOMEM;
	fault->ictx = ictx;
	fd = vfake_fd_new(call->task, &fault_ops, fault);
	if (fd < 0) {
		iommufd_object_abort(ictx, &fault->obj);
		return fd;
	}
	iommufd_ctx_get(ictx);
	fault->obj.users++; /* the file */
	arg->out_fault_id = fault->obj.id;
	arg->out_fault_fd = (uint32_t)fd;
	iommufd_object_finalize(&fault->obj);
	call->undo = undo_fault;
	return 0;
}

/* ---- virtual IOMMUs ---- */

long iommufd_viommu_alloc(struct vfake_call *call)
{
	const struct iommu_viommu_alloc *arg = call->arg;

	if (arg->type == IOMMU_VIOMMU_TYPE_DEFAULT)
		return -EOPNOTSUPP;
	if (!iommufd_object_get(iommufd_call_ctx(call), arg->dev_id, IOMMUFD_OBJ_DEVICE))
		return -ENOENT;
	return -EOPNOTSUPP;
}

/* No driver here makes a vIOMMU, so that its id cannot be found. */
static long need_viommu(struct vfake_call *call, uint32_t id)
{
	return iommufd_object_get(iommufd_call_ctx(call), id, IOMMUFD_OBJ_VIOMMU) ? -EOPNOTSUPP
										  : -ENOENT;
}

long iommufd_vdevice_alloc(struct vfake_call *call)
{
	const struct iommu_vdevice_alloc *arg = call->arg;

	return need_viommu(call, arg->viommu_id);
}

long iommufd_veventq_alloc(struct vfake_call *call)
{
	enum { DEPTH_MAX = 1 << 19 };
	const struct iommu_veventq_alloc *arg = call->arg;

	if (arg->type == IOMMU_VEVENTQ_TYPE_DEFAULT)
		return -EOPNOTSUPP;
	if (!arg->veventq_depth || arg->veventq_depth > DEPTH_MAX)
		return -EINVAL;
	return need_viommu(call, arg->viommu_id);
}

long iommufd_hw_queue_alloc(struct vfake_call *call)
{
	const struct iommu_hw_queue_alloc *arg = call->arg;

	if (arg->type == IOMMU_HW_QUEUE_TYPE_DEFAULT)
		return -EOPNOTSUPP;
	if (!arg->length)
		return -EINVAL;
	if (arg->nesting_parent_iova + (arg->length - 1) < arg->nesting_parent_iova)
		return -EOVERFLOW;
	return need_viommu(call, arg->viommu_id);
}
