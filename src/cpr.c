/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live update: what is registered, what blocks it, and which calls are not made.
 *
 * A container and an iommufd each are a piece of the state. A piece is registered by a step of the
 * bring-up, with the first device that needs it, and unregistered by the undo of that step, with
 * the last. The saved state is the pieces that are registered, one after the other; so what is
 * not registered does not travel, and what is registered twice is refused by the VMM.
 */
#include <stdio.h>
#include <string.h>

#include <uapi/iommufd.h>
#include <uapi/vfio.h>
#include <uapi/vfio_iommu.h>

#include "listener.h"

enum { SECTION_VERSION = 1 };

/* ---- the instance ---- */

void vfio_cpr_init(struct vfio *vfio)
{
	TAILQ_INIT(&vfio->cpr.sections);
	TAILQ_INIT(&vfio->cpr.shared);
	strcpy(vfio->cpr.name, "vfio");
}

void vfio_cpr_let_go(struct vfio *vfio, bool begin)
{
	vfio->cpr.letting_go = begin && vfio->cpr.shares;
	vfio->cpr.let_go |= vfio->cpr.letting_go;
}

void vfio_cpr_fini(struct vfio *vfio)
{
	vfio_release(vfio, vfio->cpr.saved);
	vfio_release(vfio, vfio->cpr.orphans);
	vfio_cpr_state_free(vfio, vfio->cpr.state);
}

bool vfio_cpr_name(struct vfio *vfio, const char *name, struct vfio_error *error)
{
	if (!*name || strlen(name) >= sizeof(vfio->cpr.name) || strchr(name, '/'))
		return vfio_fail(error, -EINVAL, "%s is no name for a stack", name);
	if (!TAILQ_EMPTY(&vfio->devices) || vfio->cpr.state)
		return vfio_fail(error, -EBUSY, "the stack is in use and keeps its name");
	snprintf(vfio->cpr.name, sizeof(vfio->cpr.name), "%s", name);
	return true;
}

bool vfio_cpr_shares(const struct vfio *vfio)
{
	return vfio->cpr.letting_go || vfio->cpr.phase == VFIO_CPR_TAKING;
}

bool vfio_cpr_holds_back(const struct vfio *vfio, uint32_t request, const void *arg)
{
	const struct vfio_iommu_type1_dma_unmap *unmap = arg;

	if (!vfio_cpr_shares(vfio))
		return false;
	switch (request) {
	case VFIO_GROUP_UNSET_CONTAINER:
	case VFIO_DEVICE_DETACH_IOMMUFD_PT:
	case IOMMU_IOAS_UNMAP:
	case IOMMU_DESTROY:
		return true;
	case VFIO_IOMMU_UNMAP_DMA:
		return !(unmap->flags & VFIO_DMA_UNMAP_FLAG_VADDR);
	default:
		return false;
	}
}

/* ---- pieces of the state ---- */

static size_t section_save(void *opaque, void *to, size_t size)
{
	const struct vfio_cpr_section *section = opaque;
	struct vfio_cpr_out out = { .to = to, .room = size };

	section->write(section->owner, &out);
	return out.size;
}

/* Nothing is left to do when a device is attached: it is only asked whether this is the one. */
static int section_load(void *opaque, uint32_t version, const void *from, size_t size)
{
	const struct vfio_cpr_section *section = opaque;
	struct vfio_cpr_out out = { .expect = from, .room = size };

	if (version != SECTION_VERSION)
		return -ENOTSUP;
	section->write(section->owner, &out);
	return out.differs || out.size != size ? -EINVAL : 0;
}

static bool section_register(struct vfio_cpr_section *section, struct vfio_error *error)
{
	const struct vfio_vmm *vmm = &section->vfio->vmm;
	int ret;

	section->vmstate = (struct vfio_vmstate){
		.name = section->name,
		.version = SECTION_VERSION,
		.save = section_save,
		.load = section_load,
		.opaque = section,
	};
	ret = vmm->register_state ? vmm->register_state(vmm->ctx, &section->vmstate) : 0;
	if (ret)
		return vfio_fail(error, ret, "cannot register the state %s", section->name);
	TAILQ_INSERT_TAIL(&section->vfio->cpr.sections, section, entry);
	return true;
}

static void section_unregister(struct vfio_cpr_section *section)
{
	const struct vfio_vmm *vmm = &section->vfio->vmm;

	TAILQ_REMOVE(&section->vfio->cpr.sections, section, entry);
	if (vmm->register_state && vmm->unregister_state)
		vmm->unregister_state(vmm->ctx, &section->vmstate);
}

/* ---- blockers ---- */

static bool block(struct vfio *vfio, struct vfio_cpr_blocker *blocker, const char *what,
		  struct vfio_error *error)
{
	const struct vfio_vmm *vmm = &vfio->vmm;
	char text[192];
	int ret;

	if (!blocker->reason || !vmm->block_migration)
		return true;
	snprintf(text, sizeof(text), "VFIO %s: %s", what, blocker->reason);
	ret = vmm->block_migration(vmm->ctx, text, VFIO_CPR_PROCESS_MODES, &blocker->id);
	if (ret) {
		vfio_fail(error, ret, "live update cannot be blocked");
		vfio_error_hint(error, "%s: %s", what, blocker->reason);
		return false;
	}
	blocker->told = true;
	return true;
}

static void unblock(struct vfio *vfio, struct vfio_cpr_blocker *blocker)
{
	const struct vfio_vmm *vmm = &vfio->vmm;

	if (blocker->told && vmm->unblock_migration)
		vmm->unblock_migration(vmm->ctx, blocker->id);
}

/* Both, or none. */
static bool enlist(struct vfio_cpr_section *section, struct vfio_cpr_blocker *blocker,
		   const char *what, struct vfio_error *error)
{
	if (!block(section->vfio, blocker, what, error))
		return false;
	if (section_register(section, error))
		return true;
	unblock(section->vfio, blocker);
	return false;
}

/* ---- containers ---- */

void vfio_cpr_count_maps(const struct vfio_container *container, uint64_t *count, uint32_t *crc)
{
	const struct vfio_listener *listener = container->listener;

	*count = listener ? listener->mapping_count : 0;
	*crc = 0;
	for (uint64_t i = 0; i < *count; i++) {
		const struct vfio_mapping *mapping = &listener->mappings[i];
		uint8_t bytes[17];

		vfio_cpr_put64(bytes, mapping->iova);
		vfio_cpr_put64(bytes + 8, mapping->last);
		bytes[16] = mapping->readonly;
		*crc = vfio_cpr_crc(*crc, bytes, sizeof(bytes));
	}
}

static void describe_device(const struct vfio_device *device, struct vfio_cpr_device_record *record)
{
	*record = (struct vfio_cpr_device_record){
		.container = device->container->cpr.id,
		.devid = device->devid,
		.hwpt = device->hwpt_id,
		.irqs = device->irqs_enabled,
		.error_fd = device->error_eventfd >= 0,
		.request_fd = device->request_eventfd >= 0,
	};
	snprintf(record->name, sizeof(record->name), "%s", device->options.name);
	if (device->group)
		snprintf(record->group, sizeof(record->group), "%s", device->group->name);
}

static void write_container(const void *owner, struct vfio_cpr_out *out)
{
	const struct vfio_container *container = owner;
	struct vfio_cpr_container_record record = {
		.id = container->cpr.id,
		.backend = (uint32_t)container->backend,
		.max_mappings = container->max_mappings,
		.dirty_supported = container->dirty_supported,
	};
	const struct vfio_device *device;

	vfio_cpr_count_maps(container, &record.maps, &record.maps_crc);
	if (container->ops->cpr)
		container->ops->cpr->describe(container, &record);
	vfio_cpr_write_container(out, &record);
	TAILQ_FOREACH(device, &container->vfio->devices, entry)
	{
		struct vfio_cpr_device_record passenger;

		if (device->container != container)
			continue;
		describe_device(device, &passenger);
		vfio_cpr_write_device(out, &passenger);
	}
}

static const char *container_lacks(struct vfio_container *container)
{
	const struct vfio_cpr_ops *ops = container->ops->cpr;

	if (!ops)
		return container->ops->cpr_reason;
	return ops->lacks ? ops->lacks(container) : NULL;
}

/* The lowest number that no other container has. */
static uint32_t free_container_id(const struct vfio *vfio)
{
	const struct vfio_container *container;
	const struct vfio_space *space;
	uint32_t id = 1;
	bool taken;

	do {
		taken = false;
		TAILQ_FOREACH(space, &vfio->spaces, entry)
		{
			TAILQ_FOREACH(container, &space->containers, entry)
			taken |= container->cpr.id == id;
		}
		id += taken;
	} while (taken);
	return id;
}

bool vfio_cpr_container_up(struct vfio_container *container, struct vfio_error *error)
{
	struct vfio_cpr_member *member = &container->cpr;
	struct vfio *vfio = container->vfio;
	char what[32];

	member->id = member->record ? member->record->id : free_container_id(vfio);
	member->blocker.reason = container_lacks(container);
	member->section = (struct vfio_cpr_section){ .vfio = vfio,
						     .owner = container,
						     .write = write_container };
	snprintf(member->section.name, sizeof(member->section.name), "%s/container/%u",
		 vfio->cpr.name, member->id);
	snprintf(what, sizeof(what), "container %u", member->id);
	return enlist(&member->section, &member->blocker, what, error);
}

void vfio_cpr_container_down(struct vfio_container *container)
{
	section_unregister(&container->cpr.section);
	unblock(container->vfio, &container->cpr.blocker);
}

/* ---- what containers share ---- */

static struct vfio_cpr_shared *shared_of(const struct vfio_device *device)
{
	const struct vfio_cpr_ops *ops = device->ops->cpr;

	return ops && ops->shared ? ops->shared(device) : NULL;
}

static void write_shared(const void *owner, struct vfio_cpr_out *out)
{
	const struct vfio_cpr_shared *shared = owner;
	struct vfio_cpr_iommufd_record record = { .id = shared->id, .borrowed = shared->borrowed };

	vfio_cpr_write_iommufd(out, &record);
}

int vfio_cpr_change_process(struct vfio *vfio, const struct vfio_cpr_shared *shared)
{
	struct iommu_ioas_change_process arg = { .size = sizeof(arg) };

	return (int)vfio_ioctl(vfio, shared->fd, IOMMU_IOAS_CHANGE_PROCESS, &arg);
}

static uint32_t free_shared_id(const struct vfio *vfio)
{
	const struct vfio_cpr_shared *shared;
	uint32_t id = 1;
	bool taken;

	do {
		taken = false;
		TAILQ_FOREACH(shared, &vfio->cpr.shared, entry)
		taken |= shared->id == id;
		id += taken;
	} while (taken);
	return id;
}

/*
 * For the process that has it already the call changes nothing, whatever else it says: so it is
 * asked whether the kernel knows it. Not while another process has it.
 */
static const char *shared_lacks(struct vfio *vfio, const struct vfio_cpr_shared *shared)
{
	if (vfio->cpr.phase == VFIO_CPR_TAKING || vfio_cpr_change_process(vfio, shared) != -ENOTTY)
		return NULL;
	return "the kernel has no IOMMU_IOAS_CHANGE_PROCESS";
}

/* Counted at once: where it fails nobody else has come to it yet, and all of it goes. */
bool vfio_cpr_shared_up(struct vfio_device *device, struct vfio_error *error)
{
	const struct vfio_cpr_iommufd_record *record = vfio_cpr_iommufd_of(device);
	struct vfio_cpr_shared *shared = shared_of(device);
	struct vfio *vfio = device->vfio;
	char what[32];

	if (!shared || shared->users++)
		return true;
	shared->id = record ? record->id : free_shared_id(vfio);
	shared->blocker.reason = shared_lacks(vfio, shared);
	shared->section =
		(struct vfio_cpr_section){ .vfio = vfio, .owner = shared, .write = write_shared };
	snprintf(shared->section.name, sizeof(shared->section.name), "%s/iommufd/%u",
		 vfio->cpr.name, shared->id);
	snprintf(what, sizeof(what), "iommufd %u", shared->id);
	if (!enlist(&shared->section, &shared->blocker, what, error))
		return false;
	TAILQ_INSERT_TAIL(&vfio->cpr.shared, shared, entry);
	return true;
}

void vfio_cpr_shared_down(struct vfio_device *device)
{
	struct vfio_cpr_shared *shared = shared_of(device);

	if (!shared || --shared->users)
		return;
	TAILQ_REMOVE(&device->vfio->cpr.shared, shared, entry);
	section_unregister(&shared->section);
	unblock(device->vfio, &shared->blocker);
	vfio_cpr_forget_iommufd(device->vfio, shared->id);
}

/* ---- devices ---- */

bool vfio_cpr_device_up(struct vfio_device *device, struct vfio_error *error)
{
	struct vfio_cpr_blocker *blocker = &device->cpr.blocker;
	char what[64];

	if (device->options.mediated)
		blocker->reason = "it is mediated, and its driver keeps addresses of the process";
	else if (strlen(device->options.name) > VFIO_CPR_NAME_MAX)
		blocker->reason = "its name is too long for a saved state";
	snprintf(what, sizeof(what), "device %.48s", device->options.name);
	return block(device->vfio, blocker, what, error);
}

void vfio_cpr_device_down(struct vfio_device *device)
{
	unblock(device->vfio, &device->cpr.blocker);
}
