/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live update, the old process: saving, and taking back.
 *
 * All that can fail without a trace comes first: what blocks, the bytes of the state, the kernel's
 * word on whether memory can change hands, the descriptors. Last the containers let go of this
 * process's addresses, one after the other; when one cannot, those before it get theirs again.
 *
 * Taking back does not ask how far the new process came: an address that it has set is replaced, a
 * charge that it took over is taken over again. What the new process alone could have had by then
 * is remembered for cpr_settle.c.
 */
#include <stdio.h>
#include <string.h>

#include <uapi/iommufd.h>

#include "listener.h"

/* ---- what is in the way ---- */

static bool check_reason(const struct vfio_cpr_blocker *blocker, const char *what, uint32_t id,
			 struct vfio_error *error)
{
	if (!blocker->reason)
		return true;
	vfio_fail(error, -ENOTSUP, "%s %u cannot be handed over", what, id);
	vfio_error_hint(error, "%s", blocker->reason);
	return false;
}

static bool check_memory(const struct vfio_container *container, struct vfio_error *error)
{
	const struct vfio_listener *listener = container->listener;

	for (size_t i = 0; i < listener->mapping_count; i++) {
		if (!listener->mappings[i].anonymous)
			continue;
		vfio_fail(error, -EINVAL, "container %u: there is no file behind 0x%llx",
			  container->cpr.id, (unsigned long long)listener->mappings[i].iova);
		vfio_error_hint(error, "another process can have memory of shared files only");
		return false;
	}
	return true;
}

/* Where nothing is blocked there is a listener. */
static bool check_container(const struct vfio_container *container, struct vfio_error *error)
{
	const struct vfio_listener *listener = container->listener;
	uint32_t id = container->cpr.id;

	if (!check_reason(&container->cpr.blocker, "container", id, error))
		return false;
	if (container->error)
		return vfio_fail(error, -EBUSY, "container %u is broken", id);
	if (listener->logging)
		return vfio_fail(error, -EBUSY, "container %u tracks dirty pages", id);
	return check_memory(container, error);
}

static bool check_device(const struct vfio_device *device, struct vfio_error *error)
{
	if (device->cpr.blocker.reason) {
		vfio_fail(error, -ENOTSUP, "device %.64s cannot be handed over",
			  device->options.name);
		vfio_error_hint(error, "%s", device->cpr.blocker.reason);
		return false;
	}
	if (device->data_fd >= 0)
		return vfio_fail(error, -EBUSY, "device %s is being migrated",
				 device->options.name);
	return true;
}

static bool check_all(struct vfio *vfio, struct vfio_error *error)
{
	const struct vfio_container *container;
	const struct vfio_cpr_shared *shared;
	const struct vfio_device *device;
	const struct vfio_space *space;

	TAILQ_FOREACH(shared, &vfio->cpr.shared, entry)
	{
		if (!check_reason(&shared->blocker, "iommufd", shared->id, error))
			return false;
	}
	TAILQ_FOREACH(space, &vfio->spaces, entry)
	{
		TAILQ_FOREACH(container, &space->containers, entry)
		{
			if (!check_container(container, error))
				return false;
		}
	}
	TAILQ_FOREACH(device, &vfio->devices, entry)
	{
		if (!check_device(device, error))
			return false;
	}
	return true;
}

/* A name that was cut would be another device's. */
static bool check_names(const struct vfio *vfio, struct vfio_error *error)
{
	const struct vfio_device *device;

	TAILQ_FOREACH(device, &vfio->devices, entry)
	{
		if (strlen(device->options.name) > VFIO_CPR_NAME_MAX)
			return vfio_fail(error, -ENOTSUP,
					 "device %.64s: its name is too long for a saved state",
					 device->options.name);
	}
	return true;
}

/* ---- the bytes ---- */

/* Another kernel knows nothing of containers: names are all there is. */
static void write_names(const struct vfio *vfio, struct vfio_cpr_out *out)
{
	const struct vfio_device *device;

	TAILQ_FOREACH(device, &vfio->devices, entry)
	{
		struct vfio_cpr_device_record record = { 0 };

		snprintf(record.name, sizeof(record.name), "%s", device->options.name);
		vfio_cpr_write_device(out, &record);
	}
}

static void write_all(const struct vfio *vfio, uint32_t mode, struct vfio_cpr_out *out)
{
	const struct vfio_cpr_section *section;

	out->size = VFIO_CPR_HEADER_BYTES;
	if (mode == VFIO_MODE_CPR_REBOOT) {
		write_names(vfio, out);
		return;
	}
	TAILQ_FOREACH(section, &vfio->cpr.sections, entry)
	section->write(section->owner, out);
}

static bool write_state(struct vfio *vfio, uint32_t mode, size_t *size, struct vfio_error *error)
{
	struct vfio_cpr_out out = { 0 };

	write_all(vfio, mode, &out);
	*size = out.size;
	vfio->cpr.saved = vfio_alloc(vfio, *size);
	if (!vfio->cpr.saved)
		return vfio_fail(error, -ENOMEM, "cannot save the state");
	out = (struct vfio_cpr_out){ .to = vfio->cpr.saved, .room = *size };
	write_all(vfio, mode, &out);
	vfio_cpr_write_header(vfio->cpr.saved, *size, mode, out.records);
	vfio->cpr.saved_size = *size;
	return true;
}

/* ---- descriptors ---- */

static bool keep(struct vfio *vfio, const char *what, const char *name, uint32_t id, int fd,
		 struct vfio_error *error)
{
	char text[sizeof(vfio->cpr.name) + 16 + VFIO_CPR_NAME_MAX];
	int ret;

	if (fd < 0)
		return true;
	snprintf(text, sizeof(text), "%s/%s%s", vfio->cpr.name, what, name);
	ret = vfio->cpr.fds.keep(vfio->cpr.fds.ctx, text, id, fd);
	return !ret || vfio_fail(error, ret, "cannot keep descriptor %.128s %u", text, id);
}

static bool keep_containers(struct vfio *vfio, struct vfio_error *error)
{
	const struct vfio_container *container;
	const struct vfio_space *space;

	TAILQ_FOREACH(space, &vfio->spaces, entry)
	{
		TAILQ_FOREACH(container, &space->containers, entry)
		{
			const struct vfio_cpr_ops *ops = container->ops->cpr;

			if (ops->file && !keep(vfio, "container", "", container->cpr.id,
					       ops->file(container), error))
				return false;
		}
	}
	return true;
}

static bool keep_devices(struct vfio *vfio, struct vfio_error *error)
{
	const struct vfio_device *device;

	TAILQ_FOREACH(device, &vfio->devices, entry)
	{
		const char *name = device->options.name;

		if (!keep(vfio, "device/", name, 0, device->fd, error) ||
		    !keep(vfio, "device/", name, 1, device->error_eventfd, error) ||
		    !keep(vfio, "device/", name, 2, device->request_eventfd, error))
			return false;
	}
	return true;
}

static bool keep_all(struct vfio *vfio, struct vfio_error *error)
{
	const struct vfio_cpr_shared *shared;
	const struct vfio_group *group;

	TAILQ_FOREACH(shared, &vfio->cpr.shared, entry)
	{
		if (!shared->borrowed && !keep(vfio, "iommufd", "", shared->id, shared->fd, error))
			return false;
	}
	if (!keep_containers(vfio, error))
		return false;
	TAILQ_FOREACH(group, &vfio->groups, entry)
	{
		if (!keep(vfio, "group/", group->name, 0, group->fd, error))
			return false;
	}
	return keep_devices(vfio, error);
}

/* ---- addresses and charges ---- */

/* All iommufds: this process pays, or goes on paying. */
bool vfio_cpr_own_shared(struct vfio *vfio, struct vfio_error *error)
{
	const struct vfio_cpr_shared *shared;

	TAILQ_FOREACH(shared, &vfio->cpr.shared, entry)
	{
		int ret = vfio_cpr_change_process(vfio, shared);

		if (ret)
			return vfio_fail(error, ret, "iommufd %u: IOMMU_IOAS_CHANGE_PROCESS",
					 shared->id);
	}
	return true;
}

static int suspend_container(struct vfio_container *container)
{
	const struct vfio_cpr_ops *ops = container->ops->cpr;
	struct vfio_listener *listener = container->listener;
	int ret;

	if (!ops->suspend || !listener->mapping_count)
		return 0;
	/* Also when it says that it failed: it may have done it, and an address can be set twice.
	 */
	ret = ops->suspend(container);
	for (size_t i = 0; i < listener->mapping_count; i++)
		listener->mappings[i].suspended = true;
	return ret;
}

/* Every map that is still without an address: of pieces of memory that came since there are none.
 */
static int resume_container(struct vfio_container *container)
{
	struct vfio_listener *listener = container->listener;
	int first = 0;

	for (size_t i = 0; listener && i < listener->mapping_count; i++) {
		struct vfio_mapping *mapping = &listener->mappings[i];
		struct vfio_map map = { .iova = mapping->iova,
					.size = mapping->last - mapping->iova + 1,
					.vaddr = mapping->vaddr,
					.fd = -1,
					.readonly = mapping->readonly };
		int ret = mapping->suspended ? container->ops->cpr->resume(container, &map) : 0;

		mapping->suspended = ret != 0;
		if (!first)
			first = ret;
	}
	return first;
}

static bool resume_all(struct vfio *vfio, struct vfio_error *error)
{
	struct vfio_container *container;
	struct vfio_space *space;
	bool good = true;

	TAILQ_FOREACH(space, &vfio->spaces, entry)
	{
		TAILQ_FOREACH(container, &space->containers, entry)
		{
			int ret = resume_container(container);

			if (ret && good)
				good = vfio_fail(error, ret,
						 "container %u: its memory could not be taken back",
						 container->cpr.id);
		}
	}
	return good;
}

static bool suspend_all(struct vfio *vfio, struct vfio_error *error)
{
	struct vfio_container *container;
	struct vfio_space *space;

	TAILQ_FOREACH(space, &vfio->spaces, entry)
	{
		TAILQ_FOREACH(container, &space->containers, entry)
		{
			int ret = suspend_container(container);

			if (!ret)
				continue;
			vfio_fail(error, ret, "container %u: its memory cannot change hands",
				  container->cpr.id);
			/* What cannot be taken back now can be with vfio_cpr_abort(). */
			if (!resume_all(vfio, NULL))
				vfio->cpr.phase = VFIO_CPR_SAVED;
			return false;
		}
	}
	return true;
}

/* ---- the calls ---- */

static bool check_call(struct vfio *vfio, enum vfio_migration_mode mode, bool suspended,
		       const struct vfio_cpr_fds *fds, struct vfio_error *error)
{
	if (mode != VFIO_MODE_CPR_REBOOT && mode != VFIO_MODE_CPR_TRANSFER &&
	    mode != VFIO_MODE_CPR_EXEC)
		return vfio_fail(error, -EINVAL, "mode %d is no live update", (int)mode);
	if (vfio->cpr.phase == VFIO_CPR_SAVED)
		return vfio_fail(error, -EBUSY, "the state is saved already");
	if (vfio->cpr.phase != VFIO_CPR_IDLE)
		return vfio_fail(error, -EBUSY, "another state is being taken over");
	if (mode != VFIO_MODE_CPR_REBOOT && (!fds || !fds->keep))
		return vfio_fail(error, -EINVAL, "descriptors cannot be kept");
	if (mode != VFIO_MODE_CPR_REBOOT)
		return check_all(vfio, error);
	if (suspended)
		return check_names(vfio, error);
	vfio_fail(error, -EBUSY, "the guest runs");
	vfio_error_hint(error, "cpr-reboot ends all DMA: suspend the guest first");
	return false;
}

bool vfio_cpr_save(struct vfio *vfio, enum vfio_migration_mode mode, bool suspended,
		   const struct vfio_cpr_fds *fds, const void **state, size_t *size,
		   struct vfio_error *error)
{
	if (!check_call(vfio, mode, suspended, fds, error) || !vfio_cpr_settle(vfio, error) ||
	    !write_state(vfio, mode, size, error))
		return false;
	if (mode != VFIO_MODE_CPR_REBOOT) {
		vfio->cpr.fds = *fds;
		if (!vfio_cpr_own_shared(vfio, error) || !keep_all(vfio, error) ||
		    !suspend_all(vfio, error)) {
			vfio_release(vfio, vfio->cpr.saved);
			vfio->cpr.saved = NULL;
			return false;
		}
	}
	vfio->cpr.shares = mode != VFIO_MODE_CPR_REBOOT;
	vfio->cpr.phase = VFIO_CPR_SAVED;
	*state = vfio->cpr.saved;
	return true;
}

/*
 * A device that was detached since the save took nothing down, because the new process could have
 * it. What is left of it in an iommufd is nobody's now.
 */
static bool note_let_go(struct vfio *vfio, struct vfio_error *error)
{
	struct vfio_cpr *cpr = &vfio->cpr;
	bool good;

	if (!cpr->let_go)
		return true;
	cpr->state = vfio_cpr_read(vfio, cpr->saved, cpr->saved_size, error);
	good = cpr->state && vfio_cpr_note_orphans(vfio, error);
	vfio_cpr_state_free(vfio, cpr->state);
	cpr->state = NULL;
	return good;
}

bool vfio_cpr_abort(struct vfio *vfio, struct vfio_error *error)
{
	bool good;

	if (vfio->cpr.phase != VFIO_CPR_SAVED)
		return vfio_fail(error, -EINVAL, "no state is saved");
	good = resume_all(vfio, error);
	if (vfio->cpr.shares)
		good = vfio_cpr_own_shared(vfio, good ? error : NULL) && good;
	if (!good || !note_let_go(vfio, error))
		return false;
	vfio_release(vfio, vfio->cpr.saved);
	vfio->cpr.saved = NULL;
	vfio->cpr.shares = false;
	vfio->cpr.let_go = false;
	vfio->cpr.phase = VFIO_CPR_IDLE;
	return true;
}
