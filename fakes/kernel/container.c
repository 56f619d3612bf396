/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /dev/vfio/vfio: containers.
 *
 * Imitates drivers/vfio/container.c of Linux 7.2.
 *
 * Kept: a container has no IOMMU until VFIO_SET_IOMMU, which needs a group in it; the first driver
 * that says yes to the type and can attach every group is taken, and the error of the last one that
 * could not is reported; the last group out takes the driver's state with it; VFIO_CHECK_EXTENSION
 * asks the driver, or all drivers that the groups allow when none is set; real groups and noiommu
 * groups do not mix. Drivers are tried newest registration first.
 *
 * Dropped: locks, and pinning by drivers of emulated devices (mdev), of which there are none here.
 */
#include <uapi/vfio.h>

#include "iommufd.h"
#include "vfio.h"

static void container_get(struct vfio_container *container)
{
	container->refs++;
}

static void container_put(struct vfio_container *container)
{
	if (!--container->refs)
		vfake_free(container->kernel, container);
}

/* ---- the driver of groups that no IOMMU translates for ---- */

static long noiommu_check_extension(struct vfake_kernel *kernel, void *iommu, uint64_t extension)
{
	(void)iommu;
	return kernel->world.noiommu_enabled && extension == VFIO_NOIOMMU_IOMMU;
}

static int noiommu_open(struct vfake_task *task, uint64_t type, void **iommu)
{
	if (type != VFIO_NOIOMMU_IOMMU)
		return -EINVAL;
	if (!task->attr.cap_sys_rawio)
		return -EPERM;
	*iommu = NULL;
	return 0;
}

static void noiommu_release(void *iommu)
{
	(void)iommu;
}

static int noiommu_attach_group(void *iommu, struct vfio_group *group, struct vfake_task *task)
{
	(void)iommu;
	(void)group;
	(void)task;
	return 0;
}

static void noiommu_detach_group(void *iommu, struct vfio_group *group)
{
	(void)iommu;
	(void)group;
}

const struct vfio_iommu_driver vfio_noiommu_driver = {
	.name = "vfio-noiommu",
	.where = UAPI_ON_CONTAINER, /* it has no ioctl of its own */
	.check_extension = noiommu_check_extension,
	.open = noiommu_open,
	.release = noiommu_release,
	.attach_group = noiommu_attach_group,
	.detach_group = noiommu_detach_group,
};

/* ---- choosing a driver ---- */

enum { DRIVERS = 2 };

/* The drivers of this platform, the order in which they are asked. */
static const struct vfio_iommu_driver *driver_at(const struct vfake_kernel *kernel, int index)
{
	if (index == DRIVERS - 1)
		return &vfio_noiommu_driver;
	return kernel->world.platform == VFAKE_PLATFORM_POWERNV ? &vfio_spapr_driver
								: &vfio_type1_driver;
}

/* A container of noiommu groups takes only the noiommu driver, and that driver takes no other
 * container. */
static bool driver_allowed(const struct vfio_container *container,
			   const struct vfio_iommu_driver *driver)
{
	return container->noiommu == (driver == &vfio_noiommu_driver);
}

static long container_get_api_version(struct vfake_call *call)
{
	(void)call;
	return VFIO_API_VERSION;
}

static long container_check_extension(struct vfake_call *call)
{
	struct vfio_container *container = call->file->data;
	long ret = 0;

	if (container->driver)
		return container->driver->check_extension(call->kernel, container->iommu,
							  call->uarg);
	for (int i = 0; i < DRIVERS && ret <= 0; i++) {
		const struct vfio_iommu_driver *driver = driver_at(call->kernel, i);

		if (!TAILQ_EMPTY(&container->groups) && !driver_allowed(container, driver))
			continue;
		ret = driver->check_extension(call->kernel, NULL, call->uarg);
	}
	return ret;
}

static int attach_all(struct vfio_container *container, const struct vfio_iommu_driver *driver,
		      void *iommu, struct vfake_task *task)
{
	struct vfio_group *group, *last = NULL;
	int ret = 0;

	TAILQ_FOREACH(group, &container->groups, container_next)
	{
		ret = driver->attach_group(iommu, group, task);
		if (ret)
			break;
		last = group;
	}
	if (!ret)
		ret = vfake_fault(task->kernel, VFAKE_FAULT_COMMIT);
	for (group = last; ret && group; group = TAILQ_PREV(group, vfio_group_list, container_next))
		driver->detach_group(iommu, group);
	return ret;
}

static long set_driver(struct vfio_container *container, const struct vfio_iommu_driver *driver,
		       struct vfake_call *call)
{
	void *iommu;
	int ret = driver->open(call->task, call->uarg, &iommu);

	if (ret)
		return ret;
	ret = attach_all(container, driver, iommu, call->task);
	if (ret) {
		driver->release(iommu);
		return ret;
	}
	container->driver = driver;
	container->iommu = iommu;
	return 0;
}

static long container_set_iommu(struct vfake_call *call)
{
	struct vfio_container *container = call->file->data;
	long ret = -ENODEV;

	if (TAILQ_EMPTY(&container->groups) || container->driver)
		return -EINVAL;
	for (int i = 0; i < DRIVERS && !container->driver; i++) {
		const struct vfio_iommu_driver *driver = driver_at(call->kernel, i);

		if (!driver_allowed(container, driver) ||
		    driver->check_extension(call->kernel, NULL, call->uarg) <= 0)
			continue;
		ret = set_driver(container, driver, call);
	}
	return ret;
}

const vfake_handler vfake_container_handlers[VFAKE_HANDLERS] = {
	[VFIO_GET_API_VERSION & 0xff] = container_get_api_version,
	[VFIO_CHECK_EXTENSION & 0xff] = container_check_extension,
	[VFIO_SET_IOMMU & 0xff] = container_set_iommu,
};

/* ---- groups come and go ---- */

int vfio_container_attach_group(struct vfio_container *container, struct vfio_group *group,
				struct vfake_task *task)
{
	bool noiommu = group->type == VFIO_GROUP_NOIOMMU;
	int ret;

	if (noiommu && !task->attr.cap_sys_rawio)
		return -EPERM;
	if (!TAILQ_EMPTY(&container->groups) && container->noiommu != noiommu)
		return -EPERM;
	if (!noiommu) {
		ret = vfio_group_claim_dma_owner(group, group);
		if (ret)
			return ret;
	}
	if (container->driver) {
		ret = container->driver->attach_group(container->iommu, group, task);
		if (ret)
			goto err_owner;
	}
	ret = vfake_fault(group->kernel, VFAKE_FAULT_COMMIT);
	if (ret)
		goto err_detach;
	group->container = container;
	group->container_users = 1;
	container->noiommu = noiommu;
	TAILQ_INSERT_HEAD(&container->groups, group, container_next);
	container_get(container);
	return 0;

err_detach:
	if (container->driver)
		container->driver->detach_group(container->iommu, group);
err_owner:
	if (!noiommu)
		vfio_group_release_dma_owner(group);
	return ret;
}

void vfio_group_detach_container(struct vfio_group *group)
{
	struct vfio_container *container = group->container;

	vfake_warn_on(group->kernel, group->container_users != 1);
	if (container->driver)
		container->driver->detach_group(container->iommu, group);
	if (group->type == VFIO_GROUP_IOMMU)
		vfio_group_release_dma_owner(group);
	group->container = NULL;
	group->container_users = 0;
	TAILQ_REMOVE(&container->groups, group, container_next);
	if (container->driver && TAILQ_EMPTY(&container->groups)) {
		container->driver->release(container->iommu);
		container->driver = NULL;
		container->iommu = NULL;
	}
	container_put(container);
}

int vfio_group_use_container(struct vfio_group *group, struct vfake_task *task)
{
	if (!group->container->driver)
		return -EINVAL;
	if (group->type == VFIO_GROUP_NOIOMMU && !task->attr.cap_sys_rawio)
		return -EPERM;
	vfake_file_get(group->opened_file);
	group->container_users++;
	return 0;
}

void vfio_group_unuse_container(struct vfio_group *group)
{
	vfake_warn_on(group->kernel, group->container_users <= 1);
	group->container_users--;
	vfake_file_put(group->opened_file);
}

/* ---- the file ---- */

static const struct uapi_ioctl *container_route(struct vfake_file *file, uint32_t number,
						long *error)
{
	const struct vfio_container *container = file->data;
	const struct uapi_ioctl *row = uapi_find(UAPI_ON_CONTAINER, number);

	if (row)
		return row;
	if (!container->driver) {
		*error = -EINVAL;
		return NULL;
	}
	*error = -ENOTTY;
	if (container->driver->forbids) {
		long refused = container->driver->forbids(container->iommu, number);

		if (refused) {
			*error = refused;
			return NULL;
		}
	}
	return uapi_find(container->driver->where, number);
}

static void container_release(struct vfake_file *file)
{
	container_put(file->data);
}

static const struct vfake_file_ops container_ops = {
	.name = "container",
	.route = container_route,
	.release = container_release,
};

struct vfio_container *vfio_container_from_file(struct vfake_file *file)
{
	return file->ops == &container_ops ? file->data : NULL;
}

void *vfio_call_iommu(const struct vfake_call *call)
{
	const struct vfio_container *container = call->file->data;

	return container->iommu;
}

int vfake_container_open(struct vfake_task *task)
{
	struct vfio_container *container;
	int fd;

	if (task->kernel->world.compat_container)
		return vfake_iommufd_compat_open(task);
	container = vfake_alloc(task->kernel, sizeof(*container));
	if (!container)
		return -ENOMEM;
	container->kernel = task->kernel;
	container->refs = 1;
	TAILQ_INIT(&container->groups);
	fd = vfake_fd_new(task, &container_ops, container);
	if (fd < 0)
		container_put(container);
	return fd;
}
