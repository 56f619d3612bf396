/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Migration of a device: the client of the v2 state machine and of DMA logging, all of it
 * VFIO_DEVICE_FEATURE.
 *
 * A device that cannot migrate, or shall not, blocks migration while it is attached. A change of
 * state that fails goes to the state that the caller would rather be in, and if that fails too,
 * the device is reset, which is the one way out of the error state.
 */
#include <stdio.h>
#include <string.h>

#include <uapi/vfio.h>

#include "stack.h"

enum { PAYLOAD_MAX = 64 };

/* VFIO_DEVICE_FEATURE with a payload of @size bytes, copied in and out. */
static int feature(struct vfio_device *device, uint32_t flags, void *payload, size_t size)
{
	union {
		struct vfio_device_feature head;
		uint8_t bytes[sizeof(struct vfio_device_feature) + PAYLOAD_MAX];
		uint64_t align;
	} arg = { .head = { .argsz = (uint32_t)(sizeof(struct vfio_device_feature) + size),
			    .flags = flags } };
	uint8_t *data = arg.bytes + sizeof(struct vfio_device_feature);
	long ret;

	if (size)
		memcpy(data, payload, size);
	ret = vfio_ioctl(device->vfio, device->fd, VFIO_DEVICE_FEATURE, &arg);
	/* The state comes back from a failed change of state as well. */
	if (size)
		memcpy(payload, data, size);
	return ret < 0 ? (int)ret : 0;
}

static bool knows(struct vfio_device *device, uint32_t flags)
{
	return !feature(device, flags | VFIO_DEVICE_FEATURE_PROBE, NULL, 0);
}

/* ---- attach and detach ---- */

static void ask_abilities(struct vfio_device *device)
{
	struct vfio_device_feature_migration migration = { 0 };

	if (!feature(device, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION, &migration,
		     sizeof(migration))) {
		device->migration.stop_copy = migration.flags & VFIO_MIGRATION_STOP_COPY;
		device->migration.p2p = migration.flags & VFIO_MIGRATION_P2P;
		device->migration.pre_copy = migration.flags & VFIO_MIGRATION_PRE_COPY;
	}
	device->migration.dma_logging =
		knows(device, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START);
}

bool vfio_device_setup_migration(struct vfio_device *device, struct vfio_error *error)
{
	const struct vfio_vmm *vmm = &device->vfio->vmm;
	char reason[128];
	int ret;

	ask_abilities(device);
	if ((device->migration.stop_copy && !device->options.unmigratable) || !vmm->block_migration)
		return true;
	snprintf(reason, sizeof(reason), "VFIO device %s cannot be migrated", device->options.name);
	ret = vmm->block_migration(vmm->ctx, reason, VFIO_MODE_NORMAL, &device->blocker);
	if (ret)
		return vfio_fail(error, ret,
				 "it cannot be migrated, and migration cannot be blocked");
	device->blocked = true;
	return true;
}

void vfio_device_end_migration(struct vfio_device *device)
{
	const struct vfio_vmm *vmm = &device->vfio->vmm;

	if (device->logging)
		vfio_device_log_stop(device);
	vfio_close(device->vfio, &device->data_fd);
	if (device->blocked && vmm->unblock_migration)
		vmm->unblock_migration(vmm->ctx, device->blocker);
	device->blocked = false;
}

void vfio_device_migration_info(const struct vfio_device *device, struct vfio_migration_info *info)
{
	*info = device->migration;
}

/* ---- states ---- */

bool vfio_device_mig_state(struct vfio_device *device, enum vfio_mig_state *state,
			   struct vfio_error *error)
{
	struct vfio_device_feature_mig_state arg = { 0 };
	int ret = feature(device, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			  &arg, sizeof(arg));

	if (ret)
		return vfio_fail(error, ret, "%s: migration state", device->options.name);
	if (arg.device_state > VFIO_MIG_PRE_COPY_P2P)
		return vfio_fail(error, -ERANGE, "%s: migration state %u", device->options.name,
				 arg.device_state);
	*state = (enum vfio_mig_state)arg.device_state;
	return true;
}

static bool has_stream(enum vfio_mig_state state)
{
	return state == VFIO_MIG_STOP_COPY || state == VFIO_MIG_RESUMING ||
	       state == VFIO_MIG_PRE_COPY || state == VFIO_MIG_PRE_COPY_P2P;
}

/* One step: 0 or -errno. A stream ends with the state that it belongs to; a new one replaces it. */
static int go_to(struct vfio_device *device, enum vfio_mig_state state)
{
	struct vfio_device_feature_mig_state arg = { .device_state = (uint32_t)state,
						     .data_fd = -1 };
	int ret = feature(device, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			  &arg, sizeof(arg));

	if (ret)
		return ret;
	if (arg.data_fd >= 0 || !has_stream(state))
		vfio_close(device->vfio, &device->data_fd);
	if (arg.data_fd >= 0)
		device->data_fd = arg.data_fd;
	return 0;
}

bool vfio_device_mig_set_state(struct vfio_device *device, enum vfio_mig_state state,
			       enum vfio_mig_state recover, struct vfio_error *error)
{
	int ret = go_to(device, state);

	if (!ret)
		return true;
	vfio_fail(error, ret, "%s: migration state %d", device->options.name, (int)state);
	if (!go_to(device, recover))
		return false;
	vfio_close(device->vfio, &device->data_fd);
	if (!vfio_device_reset(device, NULL))
		vfio_error_hint(error, "it could not be recovered and has to be detached");
	return false;
}

bool vfio_device_mig_read(struct vfio_device *device, void *bytes, size_t len, size_t *got,
			  struct vfio_error *error)
{
	const struct vfio_sys *sys = &device->vfio->sys;
	long ret = sys->read(sys->ctx, device->data_fd, (uint64_t)(uintptr_t)bytes, len);

	*got = 0;
	/* A device that copies ahead has nothing now but may have later. */
	if (ret == -ENOMSG)
		return true;
	if (ret < 0 || (size_t)ret > len)
		return vfio_fail(error, ret < 0 ? (int)ret : -EIO, "%s: reading its state",
				 device->options.name);
	*got = (size_t)ret;
	return true;
}

bool vfio_device_mig_write(struct vfio_device *device, const void *bytes, size_t len,
			   struct vfio_error *error)
{
	const struct vfio_sys *sys = &device->vfio->sys;
	const char *at = bytes;

	while (len) {
		long ret = sys->write(sys->ctx, device->data_fd, (uint64_t)(uintptr_t)at, len);

		if (ret <= 0 || (size_t)ret > len)
			return vfio_fail(error, ret < 0 ? (int)ret : -EIO, "%s: writing its state",
					 device->options.name);
		at += ret;
		len -= (size_t)ret;
	}
	return true;
}

bool vfio_device_mig_size(struct vfio_device *device, uint64_t *bytes, struct vfio_error *error)
{
	struct vfio_device_feature_mig_data_size arg = { 0 };
	int ret = feature(device, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, &arg,
			  sizeof(arg));

	if (ret)
		return vfio_fail(error, ret, "%s: size of its state", device->options.name);
	*bytes = arg.stop_copy_length;
	return true;
}

/* ---- DMA logging ---- */

int vfio_device_log_start(struct vfio_device *device, const struct vfio_range *ranges,
			  uint32_t count, uint64_t pgsize)
{
	struct vfio_device_feature_dma_logging_range *list =
		vfio_alloc(device->vfio, count * sizeof(*list));
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = pgsize, .num_ranges = count, .ranges = (uint64_t)(uintptr_t)list
	};
	int ret;

	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		list[i].iova = ranges[i].start;
		list[i].length = ranges[i].last - ranges[i].start + 1;
	}
	ret = feature(device, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
		      &control, sizeof(control));
	vfio_release(device->vfio, list);
	device->logging = !ret;
	return ret;
}

void vfio_device_log_stop(struct vfio_device *device)
{
	feature(device, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0);
	device->logging = false;
}

int vfio_device_log_read(struct vfio_device *device, uint64_t iova, uint64_t size,
			 const struct vfio_dirty *dirty)
{
	struct vfio_device_feature_dma_logging_report report = {
		.iova = iova,
		.length = size,
		.page_size = dirty->pgsize,
		.bitmap = (uint64_t)(uintptr_t)dirty->bitmap
	};

	return feature(device, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
		       &report, sizeof(report));
}
