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

#include "device_io.h"
#include "iommufd.h"

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

static int open_iommufd(const struct vfio_device *device, struct vfio_error *error)
{
	const struct vfio_sys *sys = &device->vfio->sys;
	int fd;

	if (device->cpr.record)
		return vfio_iommufd_cpr_open(device, error);
	if (device->options.iommufd)
		return device->options.iommufd;
	fd = sys->open(sys->ctx, "/dev/iommu");
	if (fd < 0)
		vfio_fail(error, fd, "/dev/iommu");
	return fd;
}

static struct vfio_iommufd *iommufd_get(const struct vfio_device *device, struct vfio_error *error)
{
	struct vfio *vfio = device->vfio;
	int fd = device->options.iommufd;
	struct vfio_iommufd *iommufd =
		device->cpr.record ? vfio_iommufd_cpr_find(device) : iommufd_find(vfio, fd);

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
	iommufd->fd = open_iommufd(device, error);
	iommufd->cpr.fd = iommufd->fd;
	iommufd->cpr.borrowed = !iommufd->ours;
	if (iommufd->fd < 0) {
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

static int open_cdev(struct vfio_device *device, struct vfio_error *error)
{
	const struct vfio_sys *sys = &device->vfio->sys;
	char path[96];
	int fd;

	if (device->cpr.record)
		return vfio_iommufd_cpr_claim(device, error);
	if (device->options.device_fd)
		return device->options.device_fd;
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", device->options.cdev);
	fd = sys->open(sys->ctx, path);
	if (fd < 0)
		vfio_fail(error, fd, "cdev %s", device->options.cdev);
	return fd;
}

/* A descriptor that the program passed in stays the program's until the device is attached. */
static void close_cdev(struct vfio_device *device)
{
	if (device->options.device_fd && !device->passed_fd_owned)
		device->fd = -1;
	vfio_close(device->vfio, &device->fd);
}

/*
 * KVM is told before the bind: the bind is the device's open, which takes a reference on the VM.
 */
static bool enter_kvm(struct vfio_device *device, struct vfio_error *error)
{
	int ret = vfio_kvm_add(device->vfio, device->fd);

	if (ret)
		return vfio_fail(error, ret, "cannot tell KVM of it");
	device->in_kvm = device->vfio->kvm_device >= 0;
	return true;
}

static bool bind_cdev(struct vfio_device *device, struct vfio_error *error)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind),
						 .iommufd = device->iommufd->fd };
	long ret;

	if (device->cpr.record)
		return true;
	ret = vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);
	device->devid = bind.out_devid;
	return !ret || vfio_fail(error, (int)ret, "VFIO_DEVICE_BIND_IOMMUFD");
}

/* Of as much as was claimed. */
static void iommufd_release(struct vfio_device *device)
{
	if (device->in_kvm)
		vfio_kvm_del(device->vfio, device->fd);
	close_cdev(device);
	iommufd_put(device->iommufd);
}

static bool iommufd_claim(struct vfio_device *device, struct vfio_error *error)
{
	device->iommufd = iommufd_get(device, error);
	if (!device->iommufd)
		return false;
	device->fd = open_cdev(device, error);
	if (device->fd >= 0 && enter_kvm(device, error) && bind_cdev(device, error))
		return true;
	iommufd_release(device);
	return false;
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

	return (int)vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

static void detach(struct vfio_device *device)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = sizeof(arg) };

	vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

static void destroy(struct vfio *vfio, int fd, uint32_t id)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = id };
	long ret = vfio_ioctl(vfio, fd, IOMMU_DESTROY, &arg);

	if (ret)
		vfio_warn(vfio, (int)ret, "the kernel keeps object %u of the iommufd", id);
}

/* Whether the device's IOMMU tracks dirty pages: 1, 0, or -errno. */
static int hardware_tracks(struct vfio_device *device)
{
	struct iommu_hw_info info = { .size = sizeof(info), .dev_id = device->devid };
	long ret = vfio_ioctl(device->vfio, device->iommufd->fd, IOMMU_GET_HW_INFO, &info);

	if (!ret)
		return info.out_capabilities & IOMMU_HW_CAP_DIRTY_TRACKING ? 1 : 0;
	/* An emulated device has no IOMMU that could be asked. */
	if (ret != -ENOENT && ret != -EOPNOTSUPP)
		return (int)ret;
	vfio_warn(device->vfio, (int)ret, "device %s: its IOMMU does not track dirty pages",
		  device->options.name);
	return 0;
}

static void hwpt_put(struct vfio_container *container, struct vfio_hwpt *hwpt)
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
		    struct vfio_hwpt **result)
{
	struct iommufd_container *state = container->state;
	struct iommu_hwpt_alloc arg = { .size = sizeof(arg),
					.flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
					.dev_id = device->devid,
					.pt_id = state->ioas_id };
	struct vfio_hwpt *hwpt = vfio_alloc(container->vfio, sizeof(*hwpt));
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
	struct vfio_hwpt *hwpt = NULL;
	int ret = hwpt_new(container, device, &hwpt);

	if (ret)
		return ret;
	ret = container->dirty_active ? vfio_iommufd_set_tracking(container, hwpt, true) : 0;
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
	struct vfio_hwpt *hwpt;

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

	if (device->cpr.record)
		return vfio_iommufd_cpr_attach(container, device);
	return container->dirty_supported ? attach_tracking(container, device)
					  : attach(device, state->ioas_id);
}

static void detach_device(struct vfio_container *container, struct vfio_device *device)
{
	struct iommufd_container *state = container->state;
	struct vfio_hwpt *hwpt, *next;

	detach(device);
	for (hwpt = LIST_FIRST(&state->hwpts); hwpt; hwpt = next) {
		next = LIST_NEXT(hwpt, entry);
		if (hwpt->id == device->hwpt_id)
			hwpt_put(container, hwpt);
	}
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
	return 0;
}

static int new_ioas(struct vfio_container *container, struct vfio_device *first)
{
	struct iommufd_container *state = container->state;
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	long ret = vfio_ioctl(container->vfio, state->iommufd->fd, IOMMU_IOAS_ALLOC, &alloc);

	if (ret)
		return (int)ret;
	state->ioas_id = alloc.out_ioas_id;
	if (!first->options.dirty_tracking)
		return 0;
	ret = hardware_tracks(first);
	container->dirty_supported = ret > 0;
	if (ret >= 0)
		return 0;
	destroy(container->vfio, state->iommufd->fd, state->ioas_id);
	return (int)ret;
}

static int set_up(struct vfio_container *container, struct vfio_device *first)
{
	struct iommufd_container *state = container->state;
	int ret = 0;

	if (container->cpr.record)
		vfio_iommufd_cpr_set_up(container);
	else
		ret = new_ioas(container, first);
	if (ret)
		return ret;
	ret = attach_device(container, first);
	if (ret)
		goto err_destroy;
	ret = read_ranges(container);
	if (!ret)
		return 0;
	detach_device(container, first);
err_destroy:
	destroy(container->vfio, state->iommufd->fd, state->ioas_id);
	return ret;
}

static bool iommufd_open(struct vfio_container *container, struct vfio_device *first,
			 struct vfio_error *error)
{
	struct iommufd_container *state = vfio_alloc(container->vfio, sizeof(*state));
	int ret;

	if (!state)
		return vfio_fail(error, -ENOMEM, "cannot make a container");
	state->iommufd = first->iommufd;
	container->state = state;
	ret = set_up(container, first);
	if (!ret)
		return true;
	vfio_release(container->vfio, state);
	return vfio_fail(error, ret, "cannot set up an IOAS for it");
}

static void iommufd_close(struct vfio_container *container)
{
	struct iommufd_container *state = container->state;

	detach_device(container, container->sole);
	destroy(container->vfio, state->iommufd->fd, state->ioas_id);
	vfio_release(container->vfio, state);
}

/* What can be mapped is what all devices have in common. */
static bool ask_again(struct vfio_container *container, struct vfio_device *device,
		      struct vfio_error *error)
{
	int ret = read_ranges(container);

	if (!ret)
		return true;
	detach_device(container, device);
	return vfio_fail(error, ret, "IOMMU_IOAS_IOVA_RANGES");
}

static bool iommufd_join(struct vfio_container *container, struct vfio_device *device, bool *fits,
			 struct vfio_error *error)
{
	struct iommufd_container *state = container->state;
	int ret;

	if (state->iommufd != device->iommufd)
		return true;
	ret = container->dirty_supported ? hardware_tracks(device) : 1;
	if (ret <= 0)
		return !ret || vfio_fail(error, ret, "IOMMU_GET_HW_INFO");
	ret = attach_device(container, device);
	*fits = !ret;
	/*
	 * The kernel's word for a device whose reserved ranges or hardware do not go with the
	 * IOAS.
	 */
	if (!ret)
		return ask_again(container, device, error);
	if (ret != -EINVAL && ret != -EADDRINUSE)
		return vfio_fail(error, ret, "cannot attach it to an IOAS");
	vfio_warn(device->vfio, ret, "device %s cannot share an IOAS", device->options.name);
	return true;
}

static void iommufd_leave(struct vfio_container *container, struct vfio_device *device)
{
	detach_device(container, device);
	/* When it cannot be asked, what is known of before is stricter, and so still right. */
	read_ranges(container);
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

static int map_memory(struct vfio_container *container, const struct vfio_map *map)
{
	struct iommufd_container *state = container->state;
	struct iommu_ioas_map arg = { .size = sizeof(arg),
				      .flags = map_flags(map),
				      .ioas_id = state->ioas_id,
				      .user_va = map->vaddr,
				      .length = map->size,
				      .iova = map->iova };

	return (int)vfio_ioctl(container->vfio, state->iommufd->fd, IOMMU_IOAS_MAP, &arg);
}

static int iommufd_unmap(struct vfio_container *container, uint64_t iova, uint64_t size,
			 const struct vfio_dirty *dirty)
{
	struct iommufd_container *state = container->state;
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = state->ioas_id, .iova = iova, .length = size
	};
	int ret = dirty ? vfio_iommufd_dirty_read(container, iova, size, dirty) : 0;

	if (ret)
		return ret;
	return (int)vfio_ioctl(container->vfio, state->iommufd->fd, IOMMU_IOAS_UNMAP, &arg);
}

/* By its file, where there is one and the kernel can. */
static int map_either(struct vfio_container *container, const struct vfio_map *map)
{
	struct iommufd_container *state = container->state;

	if (map->fd >= 0 && !state->no_map_file) {
		int ret = map_file(container, map);

		if (ret != -ENOTTY)
			return ret;
		state->no_map_file = true;
	}
	return map_memory(container, map);
}

static int iommufd_map(struct vfio_container *container, const struct vfio_map *map)
{
	int ret = map_either(container, map);

	/* The kernel maps first and says where it did then: what it could not say is there. */
	if (ret == -EFAULT)
		iommufd_unmap(container, map->iova, map->size, NULL);
	return ret;
}

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

const struct vfio_backend_ops vfio_iommufd_ops = {
	.name = "iommufd",
	.io = &vfio_descriptor_io,
	.device_claim = iommufd_claim,
	.device_release = iommufd_release,
	.device_open = iommufd_device_open,
	.device_close = iommufd_device_close,
	.open = iommufd_open,
	.close = iommufd_close,
	.join = iommufd_join,
	.leave = iommufd_leave,
	.map = iommufd_map,
	.unmap = iommufd_unmap,
	.unmap_rest = iommufd_unmap_rest,
	.dirty_start = vfio_iommufd_dirty_start,
	.dirty_stop = vfio_iommufd_dirty_stop,
	.dirty_read = vfio_iommufd_dirty_read,
	.cpr = &vfio_iommufd_cpr_ops,
};
