/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live update, after it: what a process has along with an iommufd, but no device for.
 *
 * Groups, containers and devices go when nobody has their descriptors. An iommufd goes on, and with
 * it the IOASes and page tables of devices that the new process did not attach: mapped, pinned and
 * charged for nobody. They cannot be destroyed while the old process has those devices, which is
 * also why it can take them back until then. So they are remembered, and destroyed later. The old
 * process has the like when it detached devices before it took the rest back.
 *
 * An object that was destroyed is forgotten at once: the next one that is made may get its number.
 * One that is not there is asked for again while others cannot go: a kernel that is wrong about it
 * would else keep it, and what it is on, for good.
 */
#include <uapi/iommufd.h>

#include "stack.h"

static const struct vfio_cpr_shared *find_shared(const struct vfio *vfio, uint32_t id)
{
	const struct vfio_cpr_shared *shared;

	TAILQ_FOREACH(shared, &vfio->cpr.shared, entry)
	{
		if (shared->id == id)
			break;
	}
	return shared;
}

static bool has_container(const struct vfio *vfio, uint32_t id)
{
	const struct vfio_container *container;
	const struct vfio_space *space;

	TAILQ_FOREACH(space, &vfio->spaces, entry)
	{
		TAILQ_FOREACH(container, &space->containers, entry)
		{
			if (container->cpr.id == id)
				return true;
		}
	}
	return false;
}

/* The iommufd of a container of the state; 0 for none, or none that this process has. */
static uint32_t iommufd_of(const struct vfio *vfio, uint32_t container)
{
	const struct vfio_cpr_state *state = vfio->cpr.state;
	const struct vfio_cpr_container_record *record =
		vfio_cpr_find_container(state, container, state->container_count);

	return find_shared(vfio, record->iommufd) ? record->iommufd : 0;
}

static bool uses(const struct vfio *vfio, uint32_t iommufd, uint32_t hwpt)
{
	const struct vfio_device *device;

	TAILQ_FOREACH(device, &vfio->devices, entry)
	{
		if (device->hwpt_id == hwpt &&
		    iommufd_of(vfio, device->container->cpr.id) == iommufd)
			return true;
	}
	return false;
}

/* Noted once, however many devices it was for. */
static void note(struct vfio_cpr *cpr, uint32_t iommufd, uint32_t object)
{
	for (uint32_t i = 0; i < cpr->orphan_count; i++) {
		if (cpr->orphans[i].iommufd == iommufd && cpr->orphans[i].object == object)
			return;
	}
	cpr->orphans[cpr->orphan_count++] = (struct vfio_cpr_orphan){ iommufd, object };
}

static void forget_orphans(struct vfio *vfio)
{
	vfio_release(vfio, vfio->cpr.orphans);
	vfio->cpr.orphans = NULL;
	vfio->cpr.orphan_count = 0;
}

bool vfio_cpr_note_orphans(struct vfio *vfio, struct vfio_error *error)
{
	const struct vfio_cpr_state *state = vfio->cpr.state;
	size_t most = (size_t)state->device_count + state->container_count + 1;

	forget_orphans(vfio);
	vfio->cpr.orphans = vfio_alloc(vfio, most * sizeof(*vfio->cpr.orphans));
	if (!vfio->cpr.orphans)
		return vfio_fail(error, -ENOMEM, "cannot finish the live update");
	/* Page tables before what they are on. */
	for (uint32_t i = 0; i < state->device_count; i++) {
		uint32_t hwpt = state->devices[i].hwpt;
		uint32_t iommufd = hwpt ? iommufd_of(vfio, state->devices[i].container) : 0;

		if (iommufd && !uses(vfio, iommufd, hwpt))
			note(&vfio->cpr, iommufd, hwpt);
	}
	for (uint32_t i = 0; i < state->container_count; i++) {
		uint32_t iommufd = iommufd_of(vfio, state->containers[i].id);

		if (iommufd && !has_container(vfio, state->containers[i].id))
			note(&vfio->cpr, iommufd, state->containers[i].ioas);
	}
	if (!vfio->cpr.orphan_count)
		forget_orphans(vfio);
	return true;
}

void vfio_cpr_forget_iommufd(struct vfio *vfio, uint32_t iommufd)
{
	struct vfio_cpr *cpr = &vfio->cpr;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpr->orphan_count; i++) {
		if (cpr->orphans[i].iommufd != iommufd)
			cpr->orphans[kept++] = cpr->orphans[i];
	}
	cpr->orphan_count = kept;
}

static long destroy(struct vfio *vfio, const struct vfio_cpr_orphan *orphan)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = orphan->object };

	return vfio_ioctl(vfio, find_shared(vfio, orphan->iommufd)->fd, IOMMU_DESTROY, &arg);
}

bool vfio_cpr_settle(struct vfio *vfio, struct vfio_error *error)
{
	struct vfio_cpr *cpr = &vfio->cpr;
	uint32_t at = 0, kept = 0;
	long ret = 0;

	if (cpr->phase != VFIO_CPR_IDLE)
		return vfio_fail(error, -EBUSY, "the live update is not finished");
	while (at < cpr->orphan_count && (!ret || ret == -ENOENT)) {
		cpr->orphans[kept] = cpr->orphans[at++];
		ret = destroy(vfio, &cpr->orphans[kept]);
		kept += ret != 0;
	}
	if (!ret || ret == -ENOENT) {
		forget_orphans(vfio);
		return true;
	}
	vfio_fail(error, (int)ret, "iommufd %u: what devices had that were not attached",
		  cpr->orphans[kept - 1].iommufd);
	while (at < cpr->orphan_count)
		cpr->orphans[kept++] = cpr->orphans[at++];
	cpr->orphan_count = kept;
	return false;
}
