/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO device files, whatever driver is behind them.
 *
 * Imitates drivers/vfio/vfio_main.c and drivers/vfio/device_cdev.c of Linux 7.2.
 *
 * Kept: a device opens many times through its group and once through its cdev, never both ways; the
 * first open sets the driver up and the last close takes it down; a cdev's file can do nothing
 * (EINVAL) before VFIO_DEVICE_BIND_IOMMUFD, which blocks the group's node until the file is closed;
 * attach and detach exist on the cdev path only; the checks of VFIO_DEVICE_FEATURE common to all
 * features, probing included.
 *
 * Dropped: run-time power management around each call, but that a call wakes the device up.
 */
#include <uapi/vfio.h>

#include "iommufd.h"
#include "vfio.h"

/* ---- open and close ---- */

static int first_open(struct vfio_device_file *df, struct vfake_task *task)
{
	struct vfio_device *device = df->device;
	int ret = df->iommufd ? vfio_df_iommufd_bind(df, task)
			      : vfio_group_use_container(device->group, task);

	if (ret)
		return ret;
	ret = device->ops->open_device(device);
	if (!ret)
		return 0;
	if (df->iommufd)
		vfio_df_iommufd_unbind(df);
	else
		vfio_group_unuse_container(device->group);
	return ret;
}

static void last_close(struct vfio_device_file *df)
{
	struct vfio_device *device = df->device;

	device->ops->close_device(device);
	if (df->iommufd)
		vfio_df_iommufd_unbind(df);
	else
		vfio_group_unuse_container(device->group);
}

int vfio_df_open(struct vfio_device_file *df, struct vfake_task *task)
{
	struct vfio_device *device = df->device;
	int ret = 0;

	if (device->open_count && !df->group)
		return -EINVAL;
	device->open_count++;
	if (device->open_count == 1) {
		ret = first_open(df, task);
		if (ret)
			device->open_count--;
	}
	return ret;
}

void vfio_df_close(struct vfio_device_file *df)
{
	struct vfio_device *device = df->device;

	if (vfake_warn_on(device->kernel, !device->open_count))
		return;
	if (device->open_count == 1)
		last_close(df);
	device->open_count--;
}

static void get_kvm(struct vfio_device *device, struct kvm *kvm)
{
	if (!kvm)
		return;
	vfake_kvm_get(kvm);
	device->kvm = kvm;
}

static void put_kvm(struct vfio_device *device)
{
	if (device->kvm)
		vfake_kvm_put(device->kvm);
	device->kvm = NULL;
}

/* ---- the group path ---- */

static int group_open_iommufd(struct vfio_device_file *df, struct vfake_task *task)
{
	struct vfio_device *device = df->device;

	df->iommufd = device->group->iommufd;
	if (!df->iommufd || device->open_count || device->group->type != VFIO_GROUP_NOIOMMU)
		return 0;
	/* A compat IOAS says that the program expects translation, which this device does not have.
	 */
	if (!task->attr.cap_sys_rawio || iommufd_has_compat_ioas(df->iommufd))
		return -EPERM;
	return 0;
}

static int group_open(struct vfio_device_file *df, struct vfake_task *task)
{
	struct vfio_device *device = df->device;
	int ret;

	if (!vfio_group_has_iommu(device->group))
		return -EINVAL;
	if (!device->open_count)
		get_kvm(device, device->group->kvm);
	ret = group_open_iommufd(df, task);
	if (ret)
		goto err_kvm;
	ret = vfio_df_open(df, task);
	if (ret)
		goto err_kvm;
	if (df->iommufd && device->open_count == 1) {
		ret = vfio_iommufd_compat_attach(device, df->iommufd, task);
		if (ret)
			goto err_close;
	}
	df->access_granted = true;
	return 0;

err_close:
	vfio_df_close(df);
err_kvm:
	df->iommufd = NULL;
	if (!device->open_count)
		put_kvm(device);
	return ret;
}

static void group_close(struct vfio_device_file *df)
{
	struct vfio_device *device = df->device;

	vfio_df_close(df);
	df->iommufd = NULL;
	if (!device->open_count)
		put_kvm(device);
}

int vfio_device_open_in_group(struct vfio_device *device, struct vfake_task *task)
{
	struct vfio_device_file *df = vfake_alloc(device->kernel, sizeof(*df));
	int ret;

	if (!df)
		return -ENOMEM;
	df->device = device;
	df->group = device->group;
	ret = group_open(df, task);
	if (ret)
		goto err_free;
	ret = vfake_fault(task->kernel, VFAKE_FAULT_COMMIT);
	if (!ret)
		ret = vfake_fd_new(task, &vfio_device_file_ops, df);
	if (ret >= 0)
		return ret;
	group_close(df);
err_free:
	vfake_free(device->kernel, df);
	return ret;
}

/* ---- the cdev path ---- */

int vfake_cdev_open(struct vfake_task *task, uint32_t number)
{
	struct vfio_device *device;
	struct vfio_device_file *df;
	int fd;

	LIST_FOREACH(device, &task->kernel->devices, entry)
	{
		if (device->desc->cdev == number && device->group->type == VFIO_GROUP_IOMMU)
			break;
	}
	if (!device)
		return -ENOENT;
	df = vfake_alloc(task->kernel, sizeof(*df));
	if (!df)
		return -ENOMEM;
	df->device = device;
	fd = vfake_fd_new(task, &vfio_device_file_ops, df);
	if (fd < 0)
		vfake_free(task->kernel, df);
	return fd;
}

static struct iommufd_ctx *iommufd_of(const struct vfake_task *task, int fd, int *error)
{
	struct vfake_file *file = vfake_fd_file(task, fd);
	struct iommufd_ctx *ictx = file ? iommufd_ctx_from_file(file) : NULL;

	*error = file ? -EBADFD : -EBADF;
	return ictx;
}

static void unbind(struct vfio_device_file *df)
{
	struct vfio_device *device = df->device;

	vfio_df_close(df);
	put_kvm(device);
	iommufd_ctx_put(df->iommufd);
	df->iommufd = NULL;
	df->access_granted = false;
	device->cdev_opened = false;
	device->group->cdev_device_open_count--;
}

static void undo_bind(struct vfake_call *call)
{
	unbind(call->file->data);
}

/* No device here is part of SR-IOV, so a VF token is read and refused. */
static int check_token(struct vfake_call *call, const struct vfio_device_bind_iommufd *arg)
{
	uint8_t uuid[16];

	if (!(arg->flags & VFIO_DEVICE_BIND_FLAG_TOKEN))
		return 0;
	return vfake_copy_in(call, uuid, arg->token_uuid_ptr, sizeof(uuid)) ? -EFAULT : -EINVAL;
}

/* With the group's node blocked. Every failure leaves the file as it was. */
static long bind(struct vfio_device_file *df, struct vfake_call *call)
{
	struct vfio_device_bind_iommufd *arg = call->arg;
	struct vfio_device *device = df->device;
	int ret;

	if (df->access_granted)
		return -EINVAL;
	ret = check_token(call, arg);
	if (ret)
		return ret;
	df->iommufd = iommufd_of(call->task, arg->iommufd, &ret);
	if (!df->iommufd)
		return ret;
	iommufd_ctx_get(df->iommufd);
	get_kvm(device, df->kvm);
	ret = vfio_df_open(df, call->task);
	if (ret)
		goto err_kvm;
	ret = vfake_fault(call->kernel, VFAKE_FAULT_COMMIT);
	if (ret)
		goto err_close;
	arg->out_devid = df->devid;
	device->cdev_opened = true;
	df->access_granted = true;
	call->undo = undo_bind;
	return 0;

err_close:
	vfio_df_close(df);
err_kvm:
	put_kvm(device);
	iommufd_ctx_put(df->iommufd);
	df->iommufd = NULL;
	return ret;
}

static long device_bind_iommufd(struct vfake_call *call)
{
	const struct vfio_device_bind_iommufd *arg = call->arg;
	struct vfio_device_file *df = call->file->data;
	struct vfio_group *group = df->device->group;
	long ret;

	if (arg->iommufd < 0 || (arg->flags & ~(uint32_t)VFIO_DEVICE_BIND_FLAG_TOKEN) || df->group)
		return -EINVAL;
	if (group->opened_file)
		return -EBUSY;
	group->cdev_device_open_count++;
	ret = bind(df, call);
	if (ret)
		group->cdev_device_open_count--;
	return ret;
}

/* Linux takes back the attachment without PASID, whichever of the two was made. */
static void undo_attach(struct vfake_call *call)
{
	vfio_iommufd_detach(vfio_call_device(call));
}

static long device_attach_iommufd_pt(struct vfake_call *call)
{
	struct vfio_device_attach_iommufd_pt *arg = call->arg;

	if (arg->flags & ~(uint32_t)VFIO_DEVICE_ATTACH_PASID)
		return -EINVAL;
	call->undo = undo_attach;
	if (!(arg->flags & VFIO_DEVICE_ATTACH_PASID))
		return vfio_iommufd_attach(vfio_call_device(call), &arg->pt_id, call->task);
	if (call->size_bytes < sizeof(*arg))
		return -EINVAL;
	return vfio_iommufd_pasid_attach(vfio_call_device(call), arg->pasid, &arg->pt_id);
}

static long device_detach_iommufd_pt(struct vfake_call *call)
{
	const struct vfio_device_detach_iommufd_pt *arg = call->arg;

	if (arg->flags & ~(uint32_t)VFIO_DEVICE_DETACH_PASID)
		return -EINVAL;
	if (!(arg->flags & VFIO_DEVICE_DETACH_PASID)) {
		vfio_iommufd_detach(vfio_call_device(call));
		return 0;
	}
	if (call->size_bytes < sizeof(*arg))
		return -EINVAL;
	vfio_iommufd_pasid_detach(vfio_call_device(call), arg->pasid);
	return 0;
}

/* ---- features ---- */

int vfio_check_feature(uint32_t flags, uint64_t data_len, uint32_t supported, uint64_t min_bytes)
{
	if ((flags & (VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET)) & ~supported)
		return -EINVAL;
	if (flags & VFIO_DEVICE_FEATURE_PROBE)
		return 0;
	if (!(flags & (VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET)))
		return -EINVAL;
	return data_len < min_bytes ? -EINVAL : 1;
}

/* Features that prepare something have their commit point where that is done. */
static bool feature_commits_itself(uint32_t flags)
{
	switch (flags & (VFIO_DEVICE_FEATURE_MASK | VFIO_DEVICE_FEATURE_PROBE)) {
	case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
	case VFIO_DEVICE_FEATURE_DMA_BUF:
		return true;
	default:
		return false;
	}
}

static long device_feature(struct vfake_call *call)
{
	const struct vfio_device_feature *arg = call->arg;
	struct vfio_device *device = vfio_call_device(call);
	uint32_t known = VFIO_DEVICE_FEATURE_MASK | VFIO_DEVICE_FEATURE_SET |
			 VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_PROBE;
	int ret = 0;

	if (arg->flags & ~known)
		return -EINVAL;
	if (!(arg->flags & VFIO_DEVICE_FEATURE_PROBE) && (arg->flags & VFIO_DEVICE_FEATURE_SET) &&
	    (arg->flags & VFIO_DEVICE_FEATURE_GET))
		return -EINVAL;
	if (!feature_commits_itself(arg->flags))
		ret = vfake_fault(call->kernel, VFAKE_FAULT_COMMIT);
	if (ret)
		return ret;
	return device->ops->feature(device, call, arg->flags, call->uarg + sizeof(*arg),
				    call->size_bytes - sizeof(*arg));
}

const vfake_handler vfake_device_handlers[VFAKE_HANDLERS] = {
	[VFIO_DEVICE_GET_INFO & 0xff] = vfio_pci_get_info,
	[VFIO_DEVICE_GET_REGION_INFO & 0xff] = vfio_pci_get_region_info,
	[VFIO_DEVICE_GET_IRQ_INFO & 0xff] = vfio_pci_get_irq_info,
	[VFIO_DEVICE_SET_IRQS & 0xff] = vfio_pci_set_irqs,
	[VFIO_DEVICE_RESET & 0xff] = vfio_pci_reset,
	[VFIO_DEVICE_GET_PCI_HOT_RESET_INFO & 0xff] = vfio_pci_get_hot_reset_info,
	[VFIO_DEVICE_PCI_HOT_RESET & 0xff] = vfio_pci_hot_reset,
	[VFIO_DEVICE_IOEVENTFD & 0xff] = vfio_pci_ioeventfd,
	[VFIO_DEVICE_FEATURE & 0xff] = device_feature,
	[VFIO_DEVICE_BIND_IOMMUFD & 0xff] = device_bind_iommufd,
	[VFIO_DEVICE_ATTACH_IOMMUFD_PT & 0xff] = device_attach_iommufd_pt,
	[VFIO_DEVICE_DETACH_IOMMUFD_PT & 0xff] = device_detach_iommufd_pt,
};

/* ---- the file ---- */

static const struct uapi_ioctl *device_route(struct vfake_file *file, uint32_t number, long *error)
{
	const struct vfio_device_file *df = file->data;

	if (!df->access_granted && number != VFIO_DEVICE_BIND_IOMMUFD) {
		*error = -EINVAL;
		return NULL;
	}
	if (df->access_granted)
		df->device->ops->wake(df->device);
	*error = -ENOTTY;
	if (df->group &&
	    (number == VFIO_DEVICE_ATTACH_IOMMUFD_PT || number == VFIO_DEVICE_DETACH_IOMMUFD_PT))
		return NULL;
	return uapi_find(UAPI_ON_DEVICE, number);
}

static void device_release(struct vfake_file *file)
{
	struct vfio_device_file *df = file->data;

	if (df->group)
		group_close(df);
	else if (df->access_granted)
		unbind(df);
	vfake_free(file->kernel, df);
}

static long device_pread(struct vfake_file *file, struct vfake_task *task, uint64_t buf,
			 uint64_t len, uint64_t offset)
{
	struct vfio_device_file *df = file->data;

	if (!df->access_granted)
		return -EINVAL;
	return df->device->ops->read(df->device, task, buf, len, offset);
}

static long device_pwrite(struct vfake_file *file, struct vfake_task *task, uint64_t buf,
			  uint64_t len, uint64_t offset)
{
	struct vfio_device_file *df = file->data;

	if (!df->access_granted)
		return -EINVAL;
	return df->device->ops->write(df->device, task, buf, len, offset);
}

static int device_mmap(struct vfake_file *file, struct vfake_task *task, uint64_t len, int prot,
		       uint64_t offset, uint64_t *addr)
{
	struct vfio_device_file *df = file->data;

	if (!df->access_granted)
		return -EINVAL;
	return df->device->ops->mmap(df->device, task, len, prot, offset, addr);
}

const struct vfake_file_ops vfio_device_file_ops = {
	.name = "device",
	.route = device_route,
	.release = device_release,
	.pread = device_pread,
	.pwrite = device_pwrite,
	.mmap = device_mmap,
};

struct vfio_device_file *vfio_device_file_from_file(struct vfake_file *file)
{
	return file->ops == &vfio_device_file_ops ? file->data : NULL;
}

struct vfio_device *vfio_call_device(const struct vfake_call *call)
{
	const struct vfio_device_file *df = call->file->data;

	return df->device;
}
