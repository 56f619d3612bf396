/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attaching devices: the one sequence in which containers and devices come up, and its reverse.
 *
 * Both are lists of steps. A step that fails has undone itself; then the steps before it are
 * undone, last first. Detaching runs the same undos. So nothing is torn down that was not set up,
 * and in no other order than the reverse.
 *
 *   container: space, open, cpr, discard, insert, listener, ready
 *   device:    claim, cpr-shared, container, open, info, notifiers, migration, cpr, insert
 *
 * The kernel's objects are opened before discarding is forbidden, so that on the way down the
 * last unmap comes first, then discarding is allowed again, then the kernel's objects go, then
 * the space.
 */
#include <stdio.h>
#include <string.h>

#include "stack.h"

/* ---- spaces ---- */

static struct vfio_space *space_get(struct vfio *vfio, struct vfio_memory *memory)
{
	struct vfio_space *space;

	TAILQ_FOREACH(space, &vfio->spaces, entry)
	{
		if (space->memory == memory) {
			space->users++;
			return space;
		}
	}
	space = vfio_alloc(vfio, sizeof(*space));
	if (!space)
		return NULL;
	space->vfio = vfio;
	space->memory = memory;
	space->users = 1;
	TAILQ_INIT(&space->containers);
	TAILQ_INSERT_TAIL(&vfio->spaces, space, entry);
	return space;
}

static void space_put(struct vfio_space *space)
{
	if (--space->users)
		return;
	TAILQ_REMOVE(&space->vfio->spaces, space, entry);
	vfio_release(space->vfio, space);
}

/* ---- the steps of a container ---- */

struct bring_up {
	struct vfio_container *container;
	struct vfio_device *first;
	struct vfio_error *error;
};

static bool step_open(struct bring_up *up)
{
	return up->container->ops->open(up->container, up->first, up->error);
}

static void undo_open(struct vfio_container *container)
{
	container->ops->close(container);
}

/* Once per container, whichever devices come later. */
static bool step_cpr(struct bring_up *up)
{
	return vfio_cpr_container_up(up->container, up->error);
}

/* Once per container, with the first device that needs it. */
static bool forbid_discard(struct vfio_container *container, const struct vfio_device *device,
			   struct vfio_error *error)
{
	const struct vfio_vmm *vmm = &container->vfio->vmm;
	int ret;

	if (container->discard_forbidden || device->options.may_discard || !vmm->forbid_discard)
		return true;
	ret = vmm->forbid_discard(vmm->ctx, true);
	if (ret) {
		vfio_fail(error, ret, "cannot forbid discarding of guest memory");
		vfio_error_hint(error, "memory that is given back to the host cannot be pinned for "
				       "a device");
		return false;
	}
	container->discard_forbidden = true;
	return true;
}

static bool step_discard(struct bring_up *up)
{
	return forbid_discard(up->container, up->first, up->error);
}

static void undo_discard(struct vfio_container *container)
{
	const struct vfio_vmm *vmm = &container->vfio->vmm;

	/* What would not go alone must not be mapped any more when it may be discarded. */
	container->ops->unmap_rest(container);
	container->mapping_count = 0;
	if (container->discard_forbidden)
		vmm->forbid_discard(vmm->ctx, false);
	container->discard_forbidden = false;
}

static bool step_insert(struct bring_up *up)
{
	TAILQ_INSERT_TAIL(&up->container->space->containers, up->container, entry);
	return true;
}

static void undo_insert(struct vfio_container *container)
{
	TAILQ_REMOVE(&container->space->containers, container, entry);
}

static bool step_listener(struct bring_up *up)
{
	return up->container->untranslated || vfio_listener_start(up->container, up->error);
}

static void undo_listener(struct vfio_container *container)
{
	if (!container->untranslated)
		vfio_listener_stop(container);
}

static bool step_ready(struct bring_up *up)
{
	up->container->initialized = true;
	return true;
}

static void undo_ready(struct vfio_container *container)
{
	container->initialized = false;
}

static const struct {
	const char *name;
	bool (*run)(struct bring_up *up);
	void (*undo)(struct vfio_container *container);
} container_steps[] = {
	{ "open", step_open, undo_open },
	{ "cpr", step_cpr, vfio_cpr_container_down },
	{ "discard", step_discard, undo_discard },
	{ "insert", step_insert, undo_insert },
	{ "listener", step_listener, undo_listener },
	{ "ready", step_ready, undo_ready },
};

enum { CONTAINER_STEPS = sizeof(container_steps) / sizeof(container_steps[0]) };

static void container_down(struct vfio_container *container)
{
	struct vfio_space *space = container->space;

	while (container->steps_done)
		container_steps[--container->steps_done].undo(container);
	vfio_release(container->vfio, container);
	space_put(space);
}

static struct vfio_container *container_up(struct vfio_space *space, struct vfio_device *first,
					   struct vfio_error *error)
{
	struct vfio_container *container = vfio_alloc(space->vfio, sizeof(*container));
	struct bring_up up = { .container = container, .first = first, .error = error };

	if (!container) {
		vfio_fail(error, -ENOMEM, "cannot make a container");
		return NULL;
	}
	container->vfio = space->vfio;
	container->space = space;
	space->users++;
	container->ops = first->ops;
	container->backend = first->options.backend;
	container->sole = first;
	if (!vfio_cpr_new_container(container, first, error)) {
		container_down(container);
		return NULL;
	}
	while (container->steps_done < CONTAINER_STEPS) {
		if (!container_steps[container->steps_done].run(&up)) {
			container_down(container);
			return NULL;
		}
		container->steps_done++;
	}
	return container;
}

/* ---- finding one ---- */

/*
 * Puts the device into a container that is there. False only for an error; *found is NULL when
 * none fits.
 */
static bool join_any(struct vfio_space *space, struct vfio_device *device,
		     struct vfio_container **found, struct vfio_error *error)
{
	struct vfio_container *container;
	bool fits = false;

	*found = NULL;
	TAILQ_FOREACH(container, &space->containers, entry)
	{
		/*
		 * A container of another backend has another kind of state: its kind is looked at
		 * first.
		 */
		if (container->ops != device->ops || !vfio_cpr_fits(container, device))
			continue;
		if (!container->ops->join(container, device, &fits, error))
			return false;
		if (fits) {
			*found = container;
			return true;
		}
	}
	return true;
}

static bool container_get(struct vfio_device *device, struct vfio_memory *memory,
			  struct vfio_error *error)
{
	struct vfio_space *space = space_get(device->vfio, memory);
	struct vfio_container *container;
	bool good;

	if (!space)
		return vfio_fail(error, -ENOMEM, "cannot make an address space");
	good = join_any(space, device, &container, error);
	if (good && !container) {
		container = container_up(space, device, error);
		good = container;
	} else if (good && !forbid_discard(container, device, error)) {
		container->ops->leave(container, device);
		good = false;
	}
	space_put(space);
	if (!good)
		return false;
	container->device_count++;
	device->container = container;
	return true;
}

static void container_put(struct vfio_device *device)
{
	struct vfio_container *container = device->container;

	vfio_dirty_device_leaves(container);
	if (container->device_count > 1) {
		container->ops->leave(container, device);
		container->device_count--;
	} else {
		container->device_count = 0;
		container->sole = device;
		container_down(container);
	}
	device->container = NULL;
}

/* ---- the steps of a device ---- */

struct attach {
	struct vfio_device *device;
	struct vfio_memory *memory;
	struct vfio_error *error;
};

static bool step_claim(struct attach *attach)
{
	return attach->device->ops->device_claim(attach->device, attach->error);
}

static void undo_claim(struct vfio_device *device)
{
	device->ops->device_release(device);
}

/* Once per what devices share, whichever containers come later. */
static bool step_cpr_shared(struct attach *attach)
{
	return vfio_cpr_shared_up(attach->device, attach->error);
}

static bool step_container(struct attach *attach)
{
	return container_get(attach->device, attach->memory, attach->error);
}

static bool step_device_open(struct attach *attach)
{
	return attach->device->ops->device_open(attach->device, attach->error);
}

static void undo_device_open(struct vfio_device *device)
{
	device->ops->device_close(device);
}

static bool step_info(struct attach *attach)
{
	return vfio_device_init(attach->device, attach->error);
}

static bool step_notifiers(struct attach *attach)
{
	return vfio_device_setup_notifiers(attach->device, attach->error);
}

static bool step_migration(struct attach *attach)
{
	return vfio_device_setup_migration(attach->device, attach->error);
}

static bool step_cpr_device(struct attach *attach)
{
	return vfio_cpr_device_up(attach->device, attach->error);
}

static bool step_device_insert(struct attach *attach)
{
	TAILQ_INSERT_TAIL(&attach->device->vfio->devices, attach->device, entry);
	return true;
}

static void undo_device_insert(struct vfio_device *device)
{
	TAILQ_REMOVE(&device->vfio->devices, device, entry);
}

static const struct {
	const char *name;
	bool (*run)(struct attach *attach);
	void (*undo)(struct vfio_device *device);
} device_steps[] = {
	{ "claim", step_claim, undo_claim },
	{ "cpr-shared", step_cpr_shared, vfio_cpr_shared_down },
	{ "container", step_container, container_put },
	{ "open", step_device_open, undo_device_open },
	{ "info", step_info, vfio_device_fini },
	{ "notifiers", step_notifiers, vfio_device_end_irqs },
	{ "migration", step_migration, vfio_device_end_migration },
	{ "cpr", step_cpr_device, vfio_cpr_device_down },
	{ "insert", step_device_insert, undo_device_insert },
};

enum { DEVICE_STEPS = sizeof(device_steps) / sizeof(device_steps[0]) };

static void free_device(struct vfio_device *device)
{
	struct vfio *vfio = device->vfio;

	vfio_release(vfio, (char *)(uintptr_t)device->options.name);
	vfio_release(vfio, (char *)(uintptr_t)device->options.group);
	vfio_release(vfio, (char *)(uintptr_t)device->options.cdev);
	vfio_release(vfio, (char *)(uintptr_t)device->options.socket);
	vfio_release(vfio, device);
}

void vfio_device_detach(struct vfio_device *device)
{
	struct vfio *vfio = device->vfio;

	vfio_cpr_let_go(vfio, true);
	while (device->steps_done)
		device_steps[--device->steps_done].undo(device);
	free_device(device);
	vfio_cpr_let_go(vfio, false);
}

/* ---- options ---- */

static const struct vfio_backend_ops *backend_ops(enum vfio_backend backend)
{
	switch (backend) {
	case VFIO_BACKEND_LEGACY:
		return &vfio_legacy_ops;
	case VFIO_BACKEND_SPAPR:
		return &vfio_spapr_ops;
	case VFIO_BACKEND_IOMMUFD:
		return &vfio_iommufd_ops;
	case VFIO_BACKEND_USER:
		return &vfio_user_ops;
	}
	return NULL;
}

static bool names_a_node(const struct vfio_device_options *options)
{
	switch (options->backend) {
	case VFIO_BACKEND_IOMMUFD:
		return options->cdev || options->device_fd;
	case VFIO_BACKEND_USER:
		return options->socket;
	default:
		return options->group;
	}
}

static bool check_options(struct vfio *vfio, const struct vfio_device_options *options,
			  struct vfio_error *error)
{
	const struct vfio_device *other;

	if (!options->name || !*options->name)
		return vfio_fail(error, -EINVAL, "a device needs a name");
	if (!backend_ops(options->backend))
		return vfio_fail(error, -EINVAL, "device %s: no backend %d", options->name,
				 (int)options->backend);
	if (!names_a_node(options))
		return vfio_fail(error, -EINVAL,
				 "device %s: neither a node nor a descriptor is given",
				 options->name);
	TAILQ_FOREACH(other, &vfio->devices, entry)
	{
		if (!strcmp(other->options.name, options->name))
			return vfio_fail(error, -EEXIST, "device %s", options->name);
	}
	return true;
}

static bool copy_text(struct vfio *vfio, const char **text)
{
	if (*text)
		*text = vfio_strdup(vfio, *text);
	return *text;
}

static struct vfio_device *new_device(struct vfio *vfio, const struct vfio_device_options *options)
{
	struct vfio_device *device = vfio_alloc(vfio, sizeof(*device));
	struct vfio_device_options *own;
	bool good;

	if (!device)
		return NULL;
	device->vfio = vfio;
	device->ops = backend_ops(options->backend);
	device->fd = -1;
	device->error_eventfd = -1;
	device->request_eventfd = -1;
	device->data_fd = -1;
	own = &device->options;
	*own = *options;
	good = copy_text(vfio, &own->name);
	good &= !own->group || copy_text(vfio, &own->group);
	good &= !own->cdev || copy_text(vfio, &own->cdev);
	good &= !own->socket || copy_text(vfio, &own->socket);
	if (good)
		return device;
	free_device(device);
	return NULL;
}

struct vfio_device *vfio_device_attach(struct vfio *vfio, struct vfio_memory *memory,
				       const struct vfio_device_options *options,
				       struct vfio_error *error)
{
	struct attach attach = { .memory = memory, .error = error };
	struct vfio_device *device;

	if (!check_options(vfio, options, error))
		return NULL;
	device = new_device(vfio, options);
	if (!device) {
		vfio_fail(error, -ENOMEM, "device %s", options->name);
		return NULL;
	}
	attach.device = device;
	while (device->steps_done < DEVICE_STEPS) {
		if ((!device->steps_done && !vfio_cpr_board(device, error)) ||
		    !device_steps[device->steps_done].run(&attach)) {
			vfio_error_prefix(error, "device %s", options->name);
			vfio_device_detach(device);
			return NULL;
		}
		device->steps_done++;
	}
	device->passed_fd_owned = true;
	return device;
}

struct vfio_container *vfio_device_container(const struct vfio_device *device)
{
	return device->container;
}

/* ---- maps, with what every backend needs ---- */

bool vfio_container_can_map(const struct vfio_container *container, uint64_t iova, uint64_t last)
{
	for (uint32_t i = 0; i < container->range_count; i++) {
		if (iova >= container->ranges[i].start && last <= container->ranges[i].last)
			return true;
	}
	return !container->range_count;
}

uint64_t vfio_container_pgsize(const struct vfio_container *container)
{
	return container->pgsizes & -container->pgsizes;
}

int vfio_container_map(struct vfio_container *container, const struct vfio_map *map)
{
	int ret = container->cpr.record ? vfio_cpr_take_map(container, map)
					: container->ops->map(container, map);

	/* Something is mapped there that nobody remembers: take it away, once. */
	if ((ret == -EBUSY || ret == -EEXIST) && !container->cpr.record) {
		int gone = container->ops->unmap(container, map->iova, map->size, NULL);

		if (!gone || gone == -ENOENT)
			ret = container->ops->map(container, map);
	}
	if (!ret)
		container->mapping_count++;
	return ret;
}

int vfio_container_unmap(struct vfio_container *container, uint64_t iova, uint64_t size,
			 const struct vfio_dirty *dirty)
{
	int ret = container->ops->unmap(container, iova, size, dirty);

	if (!ret)
		container->mapping_count--;
	return ret;
}

void vfio_container_report(struct vfio_container *container, const struct vfio_error *error)
{
	const struct vfio_vmm *vmm = &container->vfio->vmm;

	if (!container->initialized) {
		if (!container->attach_error.code)
			container->attach_error = *error;
		return;
	}
	if (!container->error)
		container->error = error->code;
	if (vmm->container_broken)
		vmm->container_broken(vmm->ctx, error->code, error->message);
}

void vfio_container_set_error(struct vfio_container *container, int code, const char *what)
{
	struct vfio_error error = { 0 };

	vfio_fail(&error, code, "%s", what);
	vfio_container_report(container, &error);
}

int vfio_container_error(const struct vfio_container *container)
{
	return container->error;
}

void vfio_container_info(const struct vfio_container *container, struct vfio_container_info *info)
{
	*info = (struct vfio_container_info){
		.backend = container->backend,
		.devices = container->device_count,
		.pgsizes = container->pgsizes,
		.range_count = container->range_count,
		.max_mappings = container->max_mappings,
		.mappings = container->mapping_count,
		.dirty_tracking = container->dirty_supported,
	};
	_Static_assert(sizeof(info->ranges) == sizeof(container->ranges), "16 pairs of numbers");
	memcpy(info->ranges, container->ranges, sizeof(info->ranges));
}
