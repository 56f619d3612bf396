/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backend: device cdev and iommufd.
 *
 * An iommufd is shared by all containers of the stack unless the program passes its own. A
 * container is an IOAS. Devices in it share hardware page tables: either the kernel's automatic
 * ones, or, where dirty tracking is asked for and every device's IOMMU has it, ones that the
 * container makes and counts. A device that cannot use any of them, but the same IOAS, gets one
 * of its own.
 *
 * The kernel unbinds a device when the last descriptor of its cdev is closed; nothing else does.
 */
#include <stdio.h>
#include <string.h>

#include <uapi/iommufd.h>
#include <uapi/vfio.h>

#include "stack.h"

/* An open /dev/iommu. */
struct vfio_iommufd {
	TAILQ_ENTRY(vfio_iommufd) entry;
	struct vfio *vfio;
	int fd;
	bool ours; /* opened here, and closed here */
	uint32_t users;
};

/* A page table of a container that tracks dirty pages. */
struct hwpt {
	LIST_ENTRY(hwpt) entry;
	uint32_t id;
	uint32_t users;
};

struct iommufd_container {
	struct vfio_iommufd *iommufd;
	uint32_t ioas_id;
	LIST_HEAD(, hwpt) hwpts;
	bool no_map_file; /* the kernel does not know IOMMU_IOAS_MAP_FILE */
};

/* ---- the iommufd ---- */

static struct vfio_iommufd *iommufd_find(struct vfio *vfio, int fd)
{
	struct vfio_iommufd *iommufd;

	TAILQ_FOREACH(iommufd, &vfio->iommufds, entry)
	{
		if (fd ? iommufd->fd == fd : iommufd->ours)
			return iommufd;
	}
	return NULL;
}

static struct vfio_iommufd *iommufd_get(struct vfio *vfio, int fd, struct vfio_error *error)
{
	struct vfio_iommufd *iommufd = iommufd_find(vfio, fd);

	if (iommufd) {
		iommufd->users++;
		return iommufd;
	}
	iommufd = vfio_alloc(vfio, sizeof(*iommufd));
	if (!iommufd) {
		vfio_fail(error, -ENOMEM, "cannot use an iommufd");
		return NULL;
	}
	iommufd->vfio = vfio;
	iommufd->users = 1;
	iommufd->ours = !fd;
	iommufd->fd = fd ? fd : vfio->sys.open(vfio->sys.ctx, "/dev/iommu");
	if (iommufd->fd < 0) {
		vfio_fail(error, iommufd->fd, "/dev/iommu");
		vfio_release(vfio, iommufd);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&vfio->iommufds, iommufd, entry);
	return iommufd;
}

static void iommufd_put(struct vfio_iommufd *iommufd)
{
	if (--iommufd->users)
		return;
	TAILQ_REMOVE(&iommufd->vfio->iommufds, iommufd, entry);
	if (iommufd->ours)
		vfio_close(iommufd->vfio, &iommufd->fd);
	vfio_release(iommufd->vfio, iommufd);
}

/* ---- claiming a device ---- */

static int open_cdev(struct vfio_device *device)
{
	char path[96];

	if (device->options.device_fd)
		return device->options.device_fd;
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", device->options.cdev);
	return device->vfio->sys.open(device->vfio->sys.ctx, path);
}

/* A descriptor that the program passed in stays the program's until the device is attached. */
static void close_cdev(struct vfio_device *device)
{
	if (device->options.device_fd && !device->passed_fd_owned)
		device->fd = -1;
	vfio_close(device->vfio, &device->fd);
}

static int bind_cdev(struct vfio_device *device)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind),
						 .iommufd = device->iommufd->fd };
	long ret = vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);

	device->devid = bind.out_devid;
	return (int)ret;
}

static bool iommufd_claim(struct vfio_device *device, struct vfio_error *error)
{
	int ret;

	device->iommufd = iommufd_get(device->vfio, device->options.iommufd, error);
	if (!device->iommufd)
		return false;
	device->fd = open_cdev(device);
	if (device->fd < 0) {
		vfio_fail(error, device->fd, "cdev %s", device->options.cdev);
		goto err_put;
	}
	/*
	 * KVM is told before the bind: the bind is the device's open, which takes a reference on
	 * the VM.
	 */
	ret = vfio_kvm_add(device->vfio, device->fd);
	if (ret) {
		vfio_fail(error, ret, "cannot tell KVM of it");
		goto err_close;
	}
	device->in_kvm = true;
	ret = bind_cdev(device);
	if (!ret)
		return true;
	vfio_fail(error, ret, "VFIO_DEVICE_BIND_IOMMUFD");
	device->in_kvm = false;
	vfio_kvm_del(device->vfio, device->fd);
err_close:
	close_cdev(device);
err_put:
	device->fd = -1;
	iommufd_put(device->iommufd);
	device->iommufd = NULL;
	return false;
}

static void iommufd_release(struct vfio_device *device)
{
	if (device->in_kvm)
		vfio_kvm_del(device->vfio, device->fd);
	device->in_kvm = false;
	close_cdev(device);
	iommufd_put(device->iommufd);
	device->iommufd = NULL;
}

/* The descriptor is open since the claim. From here on a passed one is ours. */
static bool iommufd_device_open(struct vfio_device *device, struct vfio_error *error)
{
	(void)device;
	(void)error;
	return true;
}

static void iommufd_device_close(struct vfio_device *device)
{
	(void)device;
}

/* ---- page tables ---- */

static int attach(struct vfio_device *device, uint32_t pt_id)
{
	struct vfio_device_attach_iommufd_pt arg = { .argsz = sizeof(arg), .pt_id = pt_id };

	/* The kernels before PASIDs know the struct without its last field. */
	arg.argsz = offsetof(struct vfio_device_attach_iommufd_pt, pasid);
	return (int)vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

static void detach(struct vfio_device *device)
{
	struct vfio_device_detach_iommufd_pt arg = {
		.argsz = offsetof(struct vfio_device_detach_iommufd_pt, pasid),
	};

	vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

static void destroy(struct vfio *vfio, int fd, uint32_t id)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = id };

	vfio_ioctl(vfio, fd, IOMMU_DESTROY, &arg);
}

static bool hardware_tracks(struct vfio_device *device)
{
	struct iommu_hw_info info = { .size = sizeof(info), .dev_id = device->devid };

	if (vfio_ioctl(device->vfio, device->iommufd->fd, IOMMU_GET_HW_INFO, &info))
		return false;
	return info.out_capabilities & IOMMU_HW_CAP_DIRTY_TRACKING;
}

static int set_tracking(struct vfio_container *container, const struct hwpt *hwpt, bool on)
{
	struct iommufd_container *state = container->state;
	struct iommu_hwpt_set_dirty_tracking arg = { .size = sizeof(arg),
						     .hwpt_id = hwpt->id,
						     .flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE
								 : 0 };

	return (int)vfio_ioctl(container->vfio, state->iommufd->fd, IOMMU_HWPT_SET_DIRTY_TRACKING,
			       &arg);
}

static void hwpt_put(struct vfio_container *container, struct hwpt *hwpt)
{
	struct iommufd_container *state = container->state;

	if (--hwpt->users)
		return;
	LIST_REMOVE(hwpt, entry);
	destroy(container->vfio, state->iommufd->fd, hwpt->id);
	vfio_release(container->vfio, hwpt);
}

/* A page table of its own for a device. 0 or -errno. */
static int hwpt_new(struct vfio_container *container, struct vfio_device *device,
		    struct hwpt **result)
{
	struct iommufd_container *state = container->state;
	struct iommu_hwpt_alloc arg = { .size = sizeof(arg),
					.flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
					.dev_id = device->devid,
					.pt_id = state->ioas_id };
	struct hwpt *hwpt = vfio_alloc(container->vfio, sizeof(*hwpt));
	long ret;

	if (!hwpt)
		return -ENOMEM;
	ret = vfio_ioctl(container->vfio, state->iommufd->fd, IOMMU_HWPT_ALLOC, &arg);
	if (ret) {
		vfio_release(container->vfio, hwpt);
		return (int)ret;
	}
	hwpt->id = arg.out_hwpt_id;
	hwpt->users = 1;
	LIST_INSERT_HEAD(&state->hwpts, hwpt, entry);
	*result = hwpt;
	return 0;
}

static int attach_new_hwpt(struct vfio_container *container, struct vfio_device *device)
{
	struct hwpt *hwpt = NULL;
	int ret = hwpt_new(container, device, &hwpt);

	if (ret)
		return ret;
	ret = container->dirty_active ? set_tracking(container, hwpt, true) : 0;
	if (!ret)
		ret = attach(device, hwpt->id);
	if (ret)
		hwpt_put(container, hwpt);
	else
		device->hwpt_id = hwpt->id;
	return ret;
}

/*
 * Attaches to a table that the container has, or to a new one; -EINVAL where the device does not
 * fit.
 */
static int attach_tracking(struct vfio_container *container, struct vfio_device *device)
{
	struct iommufd_container *state = container->state;
	struct hwpt *hwpt;

	LIST_FOREACH(hwpt, &state->hwpts, entry)
	{
		int ret = attach(device, hwpt->id);

		if (!ret) {
			hwpt->users++;
			device->hwpt_id = hwpt->id;
			return 0;
		}
		if (ret != -EINVAL)
			return ret;
	}
	return attach_new_hwpt(container, device);
}

static int attach_device(struct vfio_container *container, struct vfio_device *device)
{
	struct iommufd_container *state = container->state;

	return container->dirty_supported ? attach_tracking(container, device)
					  : attach(device, state->ioas_id);
}

static void detach_device(struct vfio_container *container, struct vfio_device *device)
{
	struct iommufd_container *state = container->state;
	struct hwpt *hwpt, *next;

	detach(device);
	for (hwpt = LIST_FIRST(&state->hwpts); hwpt; hwpt = next) {
		next = LIST_NEXT(hwpt, entry);
		if (hwpt->id == device->hwpt_id)
			hwpt_put(container, hwpt);
	}
	device->hwpt_id = 0;
}

/* ---- containers ---- */

/* The IOVAs that can be mapped now that the device is attached. */
static int read_ranges(struct vfio_container *container)
{
	struct iommufd_container *state = container->state;
	struct iommu_iova_range ranges[VFIO_RANGES_MAX];
	struct iommu_ioas_iova_ranges arg = { .size = sizeof(arg),
					      .ioas_id = state->ioas_id,
					      .num_iovas = VFIO_RANGES_MAX,
					      .allowed_iovas = (uint64_t)(uintptr_t)ranges };
	long ret = vfio_ioctl(container->vfio, state->iommufd->fd, IOMMU_IOAS_IOVA_RANGES, &arg);

	if (ret)
		return (int)ret;
	if (arg.num_iovas > VFIO_RANGES_MAX)
		return -E2BIG;
	container->range_count = arg.num_iovas;
	for (uint32_t i = 0; i < arg.num_iovas; i++)
		container->ranges[i] = (struct vfio_range){ ranges[i].start, ranges[i].last };
	/* Pages can be of any size from the alignment on. */
	if (arg.out_iova_alignment < 4096)
		arg.out_iova_alignment = 4096;
	container->pgsizes = -arg.out_iova_alignment;
	container->dirty_pgsizes = arg.out_iova_alignment;
	return 0;
}

static int set_up(struct vfio_container *container, struct vfio_device *first)
{
	struct iommufd_container *state = container->state;
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	long ret = vfio_ioctl(container->vfio, state->iommufd->fd, IOMMU_IOAS_ALLOC, &alloc);

	if (ret)
		return (int)ret;
	state->ioas_id = alloc.out_ioas_id;
	container->dirty_supported = first->options.dirty_tracking && hardware_tracks(first);
	ret = attach_device(container, first);
	if (ret)
		goto err_destroy;
	ret = read_ranges(container);
	if (!ret)
		return 0;
	detach_device(container, first);
err_destroy:
	destroy(container->vfio, state->iommufd->fd, state->ioas_id);
	return (int)ret;
}

static bool iommufd_open(struct vfio_container *container, struct vfio_device *first,
			 struct vfio_error *error)
{
	struct iommufd_container *state = vfio_alloc(container->vfio, sizeof(*state));
	int ret;

	if (!state)
		return vfio_fail(error, -ENOMEM, "cannot make a container");
	state->iommufd = first->iommufd;
	LIST_INIT(&state->hwpts);
	container->state = state;
	ret = set_up(container, first);
	if (!ret)
		return true;
	container->state = NULL;
	vfio_release(container->vfio, state);
	return vfio_fail(error, ret, "cannot set up an IOAS for it");
}

static void iommufd_close(struct vfio_container *container)
{
	struct iommufd_container *state = container->state;

	detach_device(container, container->sole);
	destroy(container->vfio, state->iommufd->fd, state->ioas_id);
	vfio_release(container->vfio, state);
	container->state = NULL;
}

static bool iommufd_join(struct vfio_container *container, struct vfio_device *device, bool *fits,
			 struct vfio_error *error)
{
	struct iommufd_container *state = container->state;
	int ret;

	*fits = false;
	if (state->iommufd != device->iommufd)
		return true;
	if (container->dirty_supported && !hardware_tracks(device))
		return true;
	ret = attach_device(container, device);
	*fits = !ret;
	/*
	 * The kernel's word for a device whose reserved ranges or hardware do not go with the
	 * IOAS.
	 */
	if (!ret || ret == -EINVAL || ret == -EADDRINUSE)
		return true;
	return vfio_fail(error, ret, "cannot attach it to an IOAS");
}

/* ---- maps ---- */

static uint32_t map_flags(const struct vfio_map *map)
{
	return IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
	       (map->readonly ? 0u : IOMMU_IOAS_MAP_WRITEABLE);
}

static int map_file(struct vfio_container *container, const struct vfio_map *map)
{
	struct iommufd_container *state = container->state;
	struct iommu_ioas_map_file arg = { .size = sizeof(arg),
					   .flags = map_flags(map),
					   .ioas_id = state->ioas_id,
					   .fd = map->fd,
					   .start = map->fd_offset,
					   .length = map->size,
					   .iova = map->iova };

	return (int)vfio_ioctl(container->vfio, state->iommufd->fd, IOMMU_IOAS_MAP_FILE, &arg);
}

static int iommufd_map(struct vfio_container *container, const struct vfio_map *map)
{
	struct iommufd_container *state = container->state;
	struct iommu_ioas_map arg = { .size = sizeof(arg),
				      .flags = map_flags(map),
				      .ioas_id = state->ioas_id,
				      .user_va = map->vaddr,
				      .length = map->size,
				      .iova = map->iova };

	if (map->fd >= 0 && !state->no_map_file) {
		int ret = map_file(container, map);

		if (ret != -ENOTTY)
			return ret;
		state->no_map_file = true;
	}
	return (int)vfio_ioctl(container->vfio, state->iommufd->fd, IOMMU_IOAS_MAP, &arg);
}

static int iommufd_dirty_read(struct vfio_container *container, uint64_t iova, uint64_t size,
			      const struct vfio_dirty *dirty)
{
	struct iommufd_container *state = container->state;
	struct hwpt *hwpt;

	LIST_FOREACH(hwpt, &state->hwpts, entry)
	{
		struct iommu_hwpt_get_dirty_bitmap arg = {
			.size = sizeof(arg),
			.hwpt_id = hwpt->id,
			.iova = iova,
			.length = size,
			.page_size = dirty->pgsize,
			.data = (uint64_t)(uintptr_t)dirty->bitmap
		};
		long ret = vfio_ioctl(container->vfio, state->iommufd->fd,
				      IOMMU_HWPT_GET_DIRTY_BITMAP, &arg);

		if (ret)
			return (int)ret;
	}
	return 0;
}

static int iommufd_unmap(struct vfio_container *container, uint64_t iova, uint64_t size,
			 const struct vfio_dirty *dirty)
{
	struct iommufd_container *state = container->state;
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = state->ioas_id, .iova = iova, .length = size
	};
	int ret = dirty ? iommufd_dirty_read(container, iova, size, dirty) : 0;

	if (ret)
		return ret;
	return (int)vfio_ioctl(container->vfio, state->iommufd->fd, IOMMU_IOAS_UNMAP, &arg);
}

/* ---- dirty pages ---- */

/* An unmap failed. Asked for all of it, the kernel looks for no gaps. */
static void iommufd_unmap_rest(struct vfio_container *container)
{
	struct iommufd_container *state = container->state;
	struct iommu_ioas_unmap arg = { .size = sizeof(arg),
					.ioas_id = state->ioas_id,
					.length = UINT64_MAX };

	if (container->mapping_count)
		vfio_ioctl(container->vfio, state->iommufd->fd, IOMMU_IOAS_UNMAP, &arg);
}

static int iommufd_dirty_start(struct vfio_container *container)
{
	struct iommufd_container *state = container->state;
	struct hwpt *hwpt, *undo;

	LIST_FOREACH(hwpt, &state->hwpts, entry)
	{
		int ret = set_tracking(container, hwpt, true);

		if (!ret)
			continue;
		for (undo = LIST_FIRST(&state->hwpts); undo != hwpt; undo = LIST_NEXT(undo, entry))
			set_tracking(container, undo, false);
		return ret;
	}
	return 0;
}

static void iommufd_dirty_stop(struct vfio_container *container)
{
	struct iommufd_container *state = container->state;
	struct hwpt *hwpt;

	LIST_FOREACH(hwpt, &state->hwpts, entry)
	set_tracking(container, hwpt, false);
}

/* The iommufd that a cdev is bound to is the proof; no descriptor goes with the reset. */
static int iommufd_reset_fds(struct vfio_device *device, int32_t *fds, uint32_t max)
{
	(void)device;
	(void)fds;
	(void)max;
	return 0;
}

const struct vfio_backend_ops vfio_iommufd_ops = {
	.name = "iommufd",
	.device_claim = iommufd_claim,
	.device_release = iommufd_release,
	.device_open = iommufd_device_open,
	.device_close = iommufd_device_close,
	.open = iommufd_open,
	.close = iommufd_close,
	.join = iommufd_join,
	.leave = detach_device,
	.map = iommufd_map,
	.unmap = iommufd_unmap,
	.unmap_rest = iommufd_unmap_rest,
	.dirty_start = iommufd_dirty_start,
	.dirty_stop = iommufd_dirty_stop,
	.dirty_read = iommufd_dirty_read,
	.reset_fds = iommufd_reset_fds,
};
