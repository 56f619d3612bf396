/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The copy engine that can be migrated.
 *
 * Imitates the features of VFIO_DEVICE_FEATURE for migration in drivers/vfio/vfio_main.c, Linux
 * 7.2, and below them what its drivers for real devices have in common (mlx5, hisilicon, virtio).
 *
 * Kept: the order of the checks; a change of state does one arc after the other and stops at the
 * first that fails, in the state that was reached; the arcs STOP to STOP_COPY, STOP to RESUMING,
 * RUNNING to PRE_COPY and RUNNING_P2P to PRE_COPY_P2P give a descriptor, all others -1; the state
 * stays changed when the descriptor cannot be given; the answer is copied out with -1 when the
 * change failed. Without P2P a device stops from RUNNING, and without it pre-copy goes to STOP_COPY
 * at once. The device starts DMA in RUNNING and PRE_COPY only; in STOP, STOP_COPY, RESUMING and
 * ERROR its registers drop writes. A stream that cannot be resumed from leads to ERROR. A reset and
 * an open lead to RUNNING and end the streams; logging goes on over a reset and ends with the last
 * close.
 *
 * Dropped: the time that a real device needs for an arc.
 */
#include "model.h"

static struct mig_device *mig_of(const struct vfio_pci *pci)
{
	return pci->model_data;
}

static void enter(struct mig_device *mig, uint32_t state)
{
	mig->state = state;
	mig->engine.suspended =
		state != VFIO_DEVICE_STATE_RUNNING && state != VFIO_DEVICE_STATE_PRE_COPY;
	mig->engine.frozen =
		state == VFIO_DEVICE_STATE_STOP || state == VFIO_DEVICE_STATE_STOP_COPY ||
		state == VFIO_DEVICE_STATE_RESUMING || state == VFIO_DEVICE_STATE_ERROR;
}

/* ---- arcs ---- */

static bool is_pre_copy(uint32_t state)
{
	return state == VFIO_DEVICE_STATE_PRE_COPY || state == VFIO_DEVICE_STATE_PRE_COPY_P2P;
}

/* What has to be done for the arc; *opened gets the stream that it opened. 0 or -errno. */
static int do_arc(struct mig_device *mig, uint32_t to, struct mig_file **opened)
{
	uint32_t from = mig->state;
	int ret = 0;

	*opened = NULL;
	if (is_pre_copy(to) && !is_pre_copy(from)) {
		ret = mig_open_saving(mig, true);
		*opened = mig->saving;
	} else if (to == VFIO_DEVICE_STATE_STOP_COPY && is_pre_copy(from)) {
		ret = mig_finish_saving(mig);
	} else if (to == VFIO_DEVICE_STATE_STOP_COPY) {
		ret = mig_open_saving(mig, false);
		*opened = mig->saving;
	} else if (to == VFIO_DEVICE_STATE_RESUMING) {
		ret = mig_open_resuming(mig);
		*opened = mig->resuming;
	} else if (from == VFIO_DEVICE_STATE_RESUMING) {
		ret = mig_finish_resuming(mig);
		mig_disable_streams(mig);
		if (ret)
			enter(mig, VFIO_DEVICE_STATE_ERROR);
	} else if (from == VFIO_DEVICE_STATE_STOP_COPY || (is_pre_copy(from) && !is_pre_copy(to))) {
		mig_disable_streams(mig);
	}
	return ret;
}

static int set_state(struct mig_device *mig, uint32_t to, struct mig_file **opened)
{
	int ret = 0;

	*opened = NULL;
	while (mig->state != to) {
		uint32_t next;

		ret = mig_next_state(mig->flags, mig->state, to, &next);
		if (!ret)
			ret = do_arc(mig, next, opened);
		if (ret) {
			*opened = NULL;
			break;
		}
		enter(mig, next);
		vfake_warn_on(mig->engine.pci->kernel, *opened && next != to);
	}
	return ret;
}

/* ---- features ---- */

static long give_fd(struct vfake_call *call, uint64_t data, struct mig_file *stream,
		    struct vfio_device_feature_mig_state *arg)
{
	struct vfake_file *file = mig_file_of(stream);

	vfake_file_get(file);
	arg->data_fd = vfake_fd_install(call->task, file);
	if (arg->data_fd < 0) {
		vfake_file_put(file);
		return arg->data_fd;
	}
	if (!vfake_copy_out(call, data, arg, sizeof(*arg)))
		return 0;
	vfake_fd_close(call->task, arg->data_fd);
	return -EFAULT;
}

static long feature_state(struct mig_device *mig, struct vfake_call *call, uint32_t flags,
			  uint64_t data, uint64_t data_len)
{
	struct vfio_device_feature_mig_state arg;
	struct mig_file *opened = NULL;
	int ret = vfio_check_feature(
		flags, data_len, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_GET, sizeof(arg));

	if (ret != 1)
		return ret;
	if (vfake_copy_in(call, &arg, data, sizeof(arg)))
		return -EFAULT;
	ret = 0;
	if (flags & VFIO_DEVICE_FEATURE_GET)
		arg.device_state = mig->state;
	else
		ret = set_state(mig, arg.device_state, &opened);
	if (opened)
		return give_fd(call, data, opened, &arg);
	arg.data_fd = -1;
	return vfake_copy_out(call, data, &arg, sizeof(arg)) ? -EFAULT : ret;
}

static long feature_migration(struct mig_device *mig, struct vfake_call *call, uint32_t flags,
			      uint64_t data, uint64_t data_len)
{
	struct vfio_device_feature_migration arg = { .flags = mig->flags };
	int ret = vfio_check_feature(flags, data_len, VFIO_DEVICE_FEATURE_GET, sizeof(arg));

	if (ret != 1)
		return ret;
	return vfake_copy_out(call, data, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static long feature_data_size(struct vfake_call *call, uint32_t flags, uint64_t data,
			      uint64_t data_len)
{
	struct vfio_device_feature_mig_data_size arg = { .stop_copy_length =
								 VFAKE_MIG_RECORD_BYTES };
	int ret = vfio_check_feature(flags, data_len, VFIO_DEVICE_FEATURE_GET, sizeof(arg));

	if (ret != 1)
		return ret;
	return vfake_copy_out(call, data, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static long feature_precopy_info(struct mig_device *mig, uint32_t flags, uint64_t data_len)
{
	int ret;

	if (!(mig->flags & VFIO_MIGRATION_PRE_COPY))
		return -EINVAL;
	ret = vfio_check_feature(flags, data_len, VFIO_DEVICE_FEATURE_SET, 0);
	if (ret != 1)
		return ret;
	mig->precopy_info_v2 = true;
	return 0;
}

static long feature(struct vfio_pci *pci, struct vfake_call *call, uint32_t flags, uint64_t data,
		    uint64_t data_len)
{
	struct mig_device *mig = mig_of(pci);

	switch (flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_MIGRATION:
		return feature_migration(mig, call, flags, data, data_len);
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		return feature_state(mig, call, flags, data, data_len);
	case VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
		return feature_data_size(call, flags, data, data_len);
	case VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2:
		return feature_precopy_info(mig, flags, data_len);
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
		return dma_log_feature_start(mig, call, flags, data, data_len);
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
		return dma_log_feature_stop(mig, flags, data_len);
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
		return dma_log_feature_report(mig, call, flags, data, data_len);
	default:
		return -ENOTTY;
	}
}

/* ---- the model ---- */

static void wrote(struct copy_engine *engine, uint64_t iova, uint64_t len)
{
	dma_log_wrote(&mig_of(engine->pci)->log, iova, len);
}

static uint64_t flags_of(enum vfake_model model)
{
	switch (model) {
	case VFAKE_MODEL_MIGRATE:
		return VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;
	case VFAKE_MODEL_MIGRATE_P2P:
		return VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P;
	case VFAKE_MODEL_MIGRATE_PRE_COPY:
		return VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY;
	default:
		return VFIO_MIGRATION_STOP_COPY;
	}
}

static int probe(struct vfio_pci *pci)
{
	struct mig_device *mig = vfake_alloc(pci->kernel, sizeof(*mig));

	if (!mig)
		return -ENOMEM;
	copy_engine_init(&mig->engine, pci);
	mig->engine.wrote = wrote;
	mig->flags = flags_of(pci->hw.desc->model);
	dma_log_init(&mig->log, pci->kernel);
	enter(mig, VFIO_DEVICE_STATE_RUNNING);
	pci->model_data = mig;
	return 0;
}

static void free_device(struct vfio_pci *pci)
{
	vfake_free(pci->kernel, pci->model_data);
}

static void reset(struct vfio_pci *pci)
{
	struct mig_device *mig = mig_of(pci);

	copy_engine_reset(&mig->engine);
	enter(mig, VFIO_DEVICE_STATE_RUNNING);
	mig_disable_streams(mig);
}

static void open_device(struct vfio_pci *pci)
{
	enter(mig_of(pci), VFIO_DEVICE_STATE_RUNNING);
}

static void close_device(struct vfio_pci *pci)
{
	struct mig_device *mig = mig_of(pci);

	dma_log_end(&mig->log, pci->kernel);
	mig_disable_streams(mig);
	mig->precopy_info_v2 = false;
}

const struct vfio_pci_model vfio_migrate_model = {
	.name = "migrate",
	.probe = probe,
	.free = free_device,
	.read = copy_engine_read,
	.write = copy_engine_write,
	.reset = reset,
	.mappable = copy_engine_mappable,
	.open = open_device,
	.close = close_device,
	.tick = copy_engine_tick,
	.faults = copy_engine_faults,
	.feature = feature,
};
