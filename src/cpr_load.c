/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live update, the new process: loading, taking over, finishing.
 *
 * Devices come up by the same steps as always. What a step would open, it takes; what it would tell
 * the kernel, the kernel knows; what it would map is mapped and gets this process's address. The
 * records of the state stand for the answers that the kernel gave to the old process.
 */
#include <stdio.h>
#include <string.h>

#include <uapi/iommufd.h>

#include "listener.h"

bool vfio_cpr_load(struct vfio *vfio, const void *state, size_t size,
		   const struct vfio_cpr_fds *fds, struct vfio_error *error)
{
	if (vfio->cpr.phase != VFIO_CPR_IDLE || !TAILQ_EMPTY(&vfio->devices))
		return vfio_fail(error, -EBUSY, "the stack is in use");
	vfio->cpr.state = vfio_cpr_read(vfio, state, size, error);
	if (!vfio->cpr.state)
		return false;
	if (fds)
		vfio->cpr.fds = *fds;
	vfio->cpr.phase =
		vfio->cpr.state->mode == VFIO_MODE_CPR_REBOOT ? VFIO_CPR_LOADED : VFIO_CPR_TAKING;
	return true;
}

enum vfio_migration_mode vfio_cpr_mode(const struct vfio *vfio)
{
	return vfio->cpr.state ? (enum vfio_migration_mode)vfio->cpr.state->mode
			       : (enum vfio_migration_mode)0;
}

const char *vfio_cpr_device(const struct vfio *vfio, uint32_t index)
{
	const struct vfio_cpr_state *state = vfio->cpr.state;

	return state && index < state->device_count ? state->devices[index].name : NULL;
}

/* ---- records ---- */

static bool is_same_node(const struct vfio_device *device,
			 const struct vfio_cpr_device_record *record)
{
	const struct vfio_cpr_container_record *container = vfio_cpr_container_of(device);

	if (container->backend != (uint32_t)device->options.backend)
		return false;
	return !*record->group || !strcmp(record->group, device->options.group);
}

bool vfio_cpr_board(struct vfio_device *device, struct vfio_error *error)
{
	const struct vfio_cpr_state *state = device->vfio->cpr.state;

	if (device->vfio->cpr.phase == VFIO_CPR_SAVED)
		return vfio_fail(error, -EBUSY, "the stack has been handed over");
	if (device->vfio->cpr.phase != VFIO_CPR_TAKING)
		return true;
	for (uint32_t i = 0; i < state->device_count; i++) {
		if (!strcmp(state->devices[i].name, device->options.name))
			device->cpr.record = &state->devices[i];
	}
	if (!device->cpr.record)
		return vfio_fail(error, -ENOENT, "it is not in the saved state");
	return is_same_node(device, device->cpr.record) ||
	       vfio_fail(error, -EINVAL, "the saved state has it by another backend or group");
}

const struct vfio_cpr_container_record *vfio_cpr_container_of(const struct vfio_device *device)
{
	const struct vfio_cpr_state *state = device->vfio->cpr.state;

	return device->cpr.record ? vfio_cpr_find_container(state, device->cpr.record->container,
							    state->container_count)
				  : NULL;
}

const struct vfio_cpr_iommufd_record *vfio_cpr_iommufd_of(const struct vfio_device *device)
{
	const struct vfio_cpr_container_record *container = vfio_cpr_container_of(device);
	const struct vfio_cpr_state *state = device->vfio->cpr.state;

	return container ? vfio_cpr_find_iommufd(state, container->iommufd, state->iommufd_count)
			 : NULL;
}

bool vfio_cpr_fits(const struct vfio_container *container, const struct vfio_device *device)
{
	return !device->cpr.record || device->cpr.record->container == container->cpr.id;
}

bool vfio_cpr_new_container(struct vfio_container *container, const struct vfio_device *first,
			    struct vfio_error *error)
{
	const struct vfio_container *other;
	const struct vfio_space *space;

	container->cpr.record = vfio_cpr_container_of(first);
	if (!container->cpr.record)
		return true;
	TAILQ_FOREACH(space, &container->vfio->spaces, entry)
	{
		TAILQ_FOREACH(other, &space->containers, entry)
		{
			if (other->cpr.id == container->cpr.record->id)
				return vfio_fail(error, -EINVAL,
						 "in the saved state it shares the address space "
						 "of container %u",
						 other->cpr.id);
		}
	}
	return true;
}

/* ---- what is taken ---- */

int vfio_cpr_take(struct vfio *vfio, const char *what, const char *name, uint32_t id,
		  struct vfio_error *error)
{
	char text[sizeof(vfio->cpr.name) + 16 + VFIO_CPR_NAME_MAX];
	int fd;

	snprintf(text, sizeof(text), "%s/%s%s", vfio->cpr.name, what, name);
	fd = vfio->cpr.fds.take ? vfio->cpr.fds.take(vfio->cpr.fds.ctx, text, id) : -ENOENT;
	if (fd < 0)
		vfio_fail(error, fd, "descriptor %.128s %u", text, id);
	return fd;
}

int vfio_cpr_take_map(struct vfio_container *container, const struct vfio_map *map)
{
	const struct vfio_cpr_ops *ops = container->ops->cpr;

	if (ops->resume)
		return ops->resume(container, map);
	/* What an iommufd hands over is files. Of anything else it could map nothing: a BAR. */
	return map->fd < 0 ? -EFAULT : 0;
}

/* ---- the end of it ---- */

static bool check_container(const struct vfio_container *container, struct vfio_error *error)
{
	const struct vfio_cpr_container_record *record = container->cpr.record;
	uint64_t maps;
	uint32_t crc;

	if (container->error)
		return vfio_fail(error, container->error, "container %u", container->cpr.id);
	vfio_cpr_count_maps(container, &maps, &crc);
	if (maps == record->maps && crc == record->maps_crc)
		return true;
	vfio_fail(error, -EINVAL, "container %u has other guest memory than it had",
		  container->cpr.id);
	vfio_error_hint(error, "%llu maps instead of %llu%s", (unsigned long long)maps,
			(unsigned long long)record->maps,
			maps == record->maps ? ", and not the same" : "");
	return false;
}

static bool check_containers(struct vfio *vfio, struct vfio_error *error)
{
	const struct vfio_container *container;
	const struct vfio_space *space;

	TAILQ_FOREACH(space, &vfio->spaces, entry)
	{
		TAILQ_FOREACH(container, &space->containers, entry)
		{
			if (!check_container(container, error))
				return false;
		}
	}
	return true;
}

static void forget_records(struct vfio *vfio)
{
	struct vfio_container *container;
	struct vfio_device *device;
	struct vfio_space *space;

	TAILQ_FOREACH(space, &vfio->spaces, entry)
	{
		TAILQ_FOREACH(container, &space->containers, entry)
		container->cpr.record = NULL;
	}
	TAILQ_FOREACH(device, &vfio->devices, entry)
	device->cpr.record = NULL;
	vfio_cpr_state_free(vfio, vfio->cpr.state);
	vfio->cpr.state = NULL;
	vfio->cpr.phase = VFIO_CPR_IDLE;
}

bool vfio_cpr_finish(struct vfio *vfio, struct vfio_error *error)
{
	if (!vfio->cpr.state)
		return vfio_fail(error, -EINVAL, "no state is loaded");
	if (vfio->cpr.phase == VFIO_CPR_TAKING &&
	    (!check_containers(vfio, error) || !vfio_cpr_note_orphans(vfio, error) ||
	     !vfio_cpr_own_shared(vfio, error)))
		return false;
	forget_records(vfio);
	return true;
}
