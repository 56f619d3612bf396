/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model's groups, containers and devices: who has opened what, and what is in what.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uapi/vfio.h>

#include "model_internal.h"

/* ---- nodes ---- */

static int container_new(struct model *m)
{
	size_t at = 0;

	while (at < m->containers_count && m->containers[at].refs)
		at++;
	if (at == m->containers_count) {
		if (!model_room(m, &m->containers, &m->containers_space, at,
				sizeof(*m->containers)))
			return -1;
		m->containers_count++;
	}
	m->containers[at] = (struct model_container){ .refs = 1, .space = -1, .owner = -1 };
	return (int)at;
}

void model_container_put(struct model *m, int container)
{
	m->containers[container].refs--;
}

/* A number behind a prefix, or -1. */
static long long number_of(const char *path, const char *prefix)
{
	size_t len = strlen(prefix);
	const char *digits = path + len;

	if (strncmp(path, prefix, len) || !*digits ||
	    strspn(digits, "0123456789") != strlen(digits))
		return -1;
	return strtoll(digits, NULL, 10);
}

static int find_group(const struct model *m, long long number, bool noiommu)
{
	for (size_t i = 0; i < m->group_count; i++) {
		if (m->groups[i].number == number && m->groups[i].noiommu == noiommu)
			return (int)i;
	}
	return -1;
}

static void open_group(struct model *m, int task, int group)
{
	if (group < 0) {
		model_expect(m, -ENOENT);
		return;
	}
	if (m->groups[group].noiommu && !m->tasks[task].attr.cap_sys_rawio) {
		model_expect(m, -EPERM);
		return;
	}
	if (m->groups[group].file >= 0 || m->groups[group].cdevs) {
		model_expect(m, -EBUSY);
		return;
	}
	if (m->event->ret < 0)
		return;
	m->groups[group].file = model_file_new(m, MODEL_GROUP, group);
	model_install(m, task, m->event->ret, m->groups[group].file);
}

static void open_cdev(struct model *m, int task, long long number)
{
	for (uint32_t i = 0; i < m->world->device_count; i++) {
		if (m->world->devices[i].cdev != number || m->world->devices[i].noiommu)
			continue;
		if (m->event->ret >= 0)
			model_install(m, task, m->event->ret,
				      model_file_new(m, MODEL_DEVICE, (int)i));
		return;
	}
	model_expect(m, -ENOENT);
}

static void open_iommufd(struct model *m, int task, bool compat)
{
	int file = model_file_new(m, MODEL_IOMMUFD, -1);

	if (file < 0)
		return;
	m->files[file].of = model_iommufd_new(m, file, compat);
	model_install(m, task, m->event->ret, file);
}

void model_open(struct model *m, int task)
{
	const char *path = m->event->path;
	bool opened = m->event->ret >= 0;

	if (!path)
		return;
	if (!strcmp(path, "/dev/vfio/vfio")) {
		if (opened && m->world->compat_container)
			open_iommufd(m, task, true);
		else if (opened)
			model_install(m, task, m->event->ret,
				      model_file_new(m, MODEL_CONTAINER, container_new(m)));
	} else if (!strcmp(path, "/dev/iommu")) {
		if (opened)
			open_iommufd(m, task, false);
	} else if (!strcmp(path, "/dev/kvm")) {
		if (opened)
			model_install(m, task, m->event->ret, model_file_new(m, MODEL_KVM, -1));
	} else if (number_of(path, "/dev/vfio/devices/vfio") >= 0) {
		open_cdev(m, task, number_of(path, "/dev/vfio/devices/vfio"));
	} else if (number_of(path, "/dev/vfio/noiommu-") >= 0) {
		open_group(m, task, find_group(m, number_of(path, "/dev/vfio/noiommu-"), true));
	} else if (number_of(path, "/dev/vfio/") >= 0) {
		open_group(m, task, find_group(m, number_of(path, "/dev/vfio/"), false));
	} else {
		model_expect(m, -ENOENT);
	}
}

/* ---- containers ---- */

static enum model_driver driver_of(uint64_t type)
{
	switch (type) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
		return DRIVER_TYPE1;
	case VFIO_SPAPR_TCE_IOMMU:
	case VFIO_SPAPR_TCE_v2_IOMMU:
		return DRIVER_SPAPR;
	default:
		return DRIVER_NOIOMMU;
	}
}

static void set_iommu(struct model *m, struct model_container *container)
{
	uint64_t type = m->event->arg;

	if (!container->groups || container->driver != DRIVER_NONE) {
		model_expect(m, -EINVAL);
		return;
	}
	if (m->event->ret)
		return;
	container->driver = driver_of(type);
	container->version = type == VFIO_TYPE1v2_IOMMU || type == VFIO_SPAPR_TCE_v2_IOMMU ? 2 : 1;
	container->dirty_tracking = false;
	container->space = model_space_new(m);
	container->owner = -1;
	container->enabled = false;
	container->enabled_pages = 0;
	container->default_pending = container->driver == DRIVER_SPAPR;
	memset(container->windows, 0, sizeof(container->windows));
}

void model_on_container(struct model *m, int task, int container)
{
	(void)task;
	if (m->event->row->number == VFIO_SET_IOMMU)
		set_iommu(m, &m->containers[container]);
}

/* The last group takes the driver with it. */
static void leave_container(struct model *m, int group)
{
	int at = m->groups[group].container;
	struct model_container *container = &m->containers[at];

	m->groups[group].container = -1;
	m->groups[group].users = 0;
	container->groups--;
	if (container->driver == DRIVER_SPAPR)
		model_spapr_group_leaves(m, at);
	if (!container->groups && container->driver != DRIVER_NONE) {
		if (container->driver == DRIVER_SPAPR)
			model_spapr_release(m, at);
		model_space_free(m, container->space);
		container->space = -1;
		container->driver = DRIVER_NONE;
		container->dirty_tracking = false;
	}
	model_container_put(m, at);
}

/* ---- groups ---- */

static void leave(struct model *m, int group)
{
	int iommufd = m->groups[group].iommufd;

	if (m->groups[group].container >= 0)
		leave_container(m, group);
	m->groups[group].iommufd = -1;
	if (iommufd >= 0)
		model_file_put(m, m->iommufds[iommufd].file);
}

void model_group_released(struct model *m, int group)
{
	leave(m, group);
	m->groups[group].file = -1;
}

static void join_iommufd(struct model *m, struct model_group *group, int iommufd)
{
	struct model_iommufd *ctx = &m->iommufds[iommufd];

	if (group->noiommu)
		ctx->no_iommu = true;
	else if (!ctx->compat)
		ctx->compat = model_ioas_new(m, iommufd, model_free_id(m, iommufd));
	group->iommufd = iommufd;
	model_file_get(m, ctx->file);
	m->touched_iommufd = iommufd;
}

static void set_container(struct model *m, int task, struct model_group *group)
{
	int32_t fd;
	int file;

	if (!model_load(m, m->event->arg, &fd, sizeof(fd)))
		return;
	file = model_fd(m, task, fd);
	if (file < 0) {
		model_expect(m, -EBADF);
		return;
	}
	if (group->container >= 0 || group->iommufd >= 0) {
		model_expect(m, -EINVAL);
		return;
	}
	if (m->files[file].kind != MODEL_CONTAINER && m->files[file].kind != MODEL_IOMMUFD) {
		model_expect(m, -EBADFD);
		return;
	}
	if (m->event->ret)
		return;
	if (m->files[file].kind == MODEL_IOMMUFD) {
		join_iommufd(m, group, m->files[file].of);
		return;
	}
	group->container = m->files[file].of;
	group->users = 1;
	m->containers[group->container].groups++;
	m->containers[group->container].refs++;
}

static void unset_container(struct model *m, int at)
{
	const struct model_group *group = &m->groups[at];

	if (group->container < 0 && group->iommufd < 0) {
		model_expect(m, -EINVAL);
		return;
	}
	if (group->container >= 0 && group->users != 1) {
		model_expect(m, -EBUSY);
		return;
	}
	if (model_expect(m, 0))
		leave(m, at);
}

/* The device of the group that a name means, which may end in blanks; -1 for none. */
static int named_device(struct model *m, int group)
{
	char name[VFAKE_NAME_SIZE + 1];
	size_t len = 0;

	for (; len < VFAKE_NAME_SIZE; len++) {
		if (!model_load(m, m->event->arg + len, &name[len], 1) || !name[len] ||
		    name[len] == ' ')
			break;
	}
	name[len] = '\0';
	for (size_t i = 0; i < m->device_count; i++) {
		if (m->devices[i].group == group && !strcmp(m->devices[i].name, name))
			return (int)i;
	}
	return -1;
}

/* A device that its group's iommufd translates for: bound, and attached to the compat IOAS. */
static void open_on_iommufd(struct model *m, int at, int iommufd)
{
	model_bind(m, at, iommufd, model_free_id(m, iommufd));
	model_attach(m, at, 0, m->iommufds[iommufd].compat, 0);
}

static void get_device_fd(struct model *m, int task, int at)
{
	struct model_group *group = &m->groups[at];
	int device = named_device(m, at);
	int file;

	if (device >= 0 && group->container < 0 && group->iommufd < 0)
		model_expect(m, -EINVAL);
	if (m->event->ret < 0)
		return;
	if (device < 0) {
		model_says(m, "the group has no device of that name");
		return;
	}
	file = model_file_new(m, MODEL_DEVICE, device);
	if (file < 0)
		return;
	m->files[file].by_group = true;
	if (!m->devices[device].open_count) {
		model_device_opened(m, device, group->vm);
		if (group->container >= 0) {
			group->users++;
			model_file_get(m, group->file);
		} else if (!group->noiommu) {
			open_on_iommufd(m, device, group->iommufd);
		}
	}
	m->devices[device].open_count++;
	model_install(m, task, m->event->ret, file);
}

void model_on_group(struct model *m, int task, int group)
{
	switch (m->event->row->number) {
	case VFIO_GROUP_SET_CONTAINER:
		set_container(m, task, &m->groups[group]);
		break;
	case VFIO_GROUP_UNSET_CONTAINER:
		unset_container(m, group);
		break;
	case VFIO_GROUP_GET_DEVICE_FD:
		get_device_fd(m, task, group);
		break;
	default:
		break;
	}
}

/* ---- devices come and go ---- */

void model_device_opened(struct model *m, int at, int vm)
{
	struct model_device *device = &m->devices[at];

	device->vm = vm;
	if (vm >= 0)
		m->vms[vm].refs++;
	device->irq_index = 5;
	device->migration = UINT32_MAX;
	if (m->world->devices[at].model >= VFAKE_MODEL_MIGRATE)
		device->migration = VFIO_DEVICE_STATE_RUNNING;
}

/* The last one who had it open goes. */
void model_device_closed(struct model *m, int at)
{
	struct model_device *device = &m->devices[at];
	struct model_group *group = &m->groups[device->group];
	int vm = device->vm;

	model_device_reset(m, at);
	if (device->iommufd >= 0) {
		model_unbind(m, at);
	} else if (group->container >= 0) {
		group->users--;
		model_file_put(m, group->file);
	}
	device->vm = -1;
	if (vm >= 0)
		model_vm_put(m, vm);
}

void model_device_released(struct model *m, const struct model_file *file)
{
	struct model_device *device = &m->devices[file->of];

	if (!file->by_group && !file->bound)
		return;
	if (!--device->open_count)
		model_device_closed(m, file->of);
	if (file->by_group)
		return;
	m->groups[device->group].cdevs--;
	model_file_put(m, m->iommufds[file->iommufd].file);
}
