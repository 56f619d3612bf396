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

#include "device_io.h"

/* VFIO_DEVICE_FEATURE with a payload of @size bytes, in and out. */
static int feature(struct vfio_device *device, uint32_t flags, void *payload, size_t size)
{
	return device->ops->io->feature(device, flags, payload, size);
}

/* ---- attach and detach ---- */

/* What the device cannot do is no failure; that it could not be asked is: -errno. */
static int ask_abilities(struct vfio_device *device)
{
	const uint32_t probe = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START |
			       VFIO_DEVICE_FEATURE_PROBE;
	struct vfio_device_feature_migration migration = { 0 };
	int ret = feature(device, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION,
			  &migration, sizeof(migration));

	if (!ret) {
		device->migration.stop_copy = migration.flags & VFIO_MIGRATION_STOP_COPY;
		device->migration.p2p = migration.flags & VFIO_MIGRATION_P2P;
		device->migration.pre_copy = migration.flags & VFIO_MIGRATION_PRE_COPY;
	}
	if (vfio_unanswered(ret))
		return ret;
	ret = feature(device, probe, NULL, 0);
	device->migration.dma_logging = !ret;
	return vfio_unanswered(ret) ? ret : 0;
}

bool vfio_device_setup_migration(struct vfio_device *device, struct vfio_error *error)
{
	const struct vfio_vmm *vmm = &device->vfio->vmm;
	char reason[128];
	int ret;

	ret = ask_abilities(device);
	if (ret)
		return vfio_fail(error, ret, "VFIO_DEVICE_FEATURE");
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
	long ret = device->ops->io->mig_read(device, bytes, len);

	*got = 0;
	/* A device that copies ahead has nothing now but may have later. */
	if (ret == -ENOMSG)
		return true;
	/* An errno is more than any length. */
	if ((size_t)ret > len)
		return vfio_fail(error, (int)ret, "%s: reading its state", device->options.name);
	*got = (size_t)ret;
	return true;
}

bool vfio_device_mig_write(struct vfio_device *device, const void *bytes, size_t len,
			   struct vfio_error *error)
{
	const char *at = bytes;

	while (len) {
		long ret = device->ops->io->mig_write(device, at, len);

		if (ret <= 0 || (size_t)ret > len)
			return vfio_fail(error, (int)ret, "%s: writing its state",
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

static int end_log(struct vfio_device *device)
{
	int ret = feature(device, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
			  NULL, 0);

	device->log_doubt = ret != 0;
	return ret;
}

int vfio_device_log_start(struct vfio_device *device, const struct vfio_range *ranges,
			  uint32_t count, uint64_t pgsize)
{
	int ret;

	/* A log that runs on cannot be started. */
	if (device->log_doubt)
		end_log(device);
	ret = device->ops->io->log_start(device, ranges, count, pgsize);
	device->logging = !ret;
	return ret;
}

void vfio_device_log_stop(struct vfio_device *device)
{
	int ret = end_log(device);

	if (ret)
		vfio_warn(device->vfio, ret, "device %s: it logs its DMA on", device->options.name);
	device->logging = false;
}

int vfio_device_log_read(struct vfio_device *device, uint64_t iova, uint64_t size,
			 const struct vfio_dirty *dirty)
{
	return device->ops->io->log_read(device, iova, size, dirty);
}
