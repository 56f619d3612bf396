/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An alarm clock with memory: the device that libvfio-user's sample programs agree on, so that
 * these and vfake's vfio-user server can be held against each other. vfake/models.h says what its
 * drivers see.
 *
 * Imitates no code of Linux. Kept of it: the data of a migration is the plain memory and the time,
 * without any header, so each side can read the other's. Unlike real functions it does DMA without
 * being bus master.
 *
 * Dropped: what a driver could use it for.
 */
#include <string.h>

#include "model.h"

enum {
	MEMORY_BYTES = VFAKE_ALARM_MIG_BYTES,
	STREAM_BYTES = MEMORY_BYTES + 8, /* the time follows */
	PAGE = 4096,
	CHUNK = 1024,
	CHUNKS = 4,
	STEPS = 4 * CHUNKS, /* write and read the second page, write and read the first */
};

struct alarm_stream;

struct alarm_device {
	struct mig_device mig; /* first, for its log; of the engine only the function is used */
	uint64_t time;
	bool armed;
	uint32_t step; /* of the DMA after the alarm; STEPS: none */
	uint64_t page; /* where it is done */
	struct vfake_device_faults faults;
	struct alarm_stream *stream; /* NULL when there is none; holds the file */
};

/* The file that the state travels through. */
struct alarm_stream {
	struct alarm_device *alarm;
	struct vfake_file *file;
	bool disabled;
	uint32_t at;
	uint8_t bytes[STREAM_BYTES]; /* that came in */
};

static struct alarm_device *alarm_of(const struct vfio_pci *pci)
{
	return pci->model_data;
}

static struct vfake_kernel *kernel_of(const struct alarm_device *alarm)
{
	return alarm->mig.engine.pci->kernel;
}

static bool runs(const struct alarm_device *alarm)
{
	return alarm->mig.state == VFIO_DEVICE_STATE_RUNNING ||
	       alarm->mig.state == VFIO_DEVICE_STATE_PRE_COPY;
}

static unsigned char *memory_of(const struct alarm_device *alarm)
{
	struct vfake_mem *mem = alarm->mig.engine.pci->hw.bars[VFAKE_ALARM_BAR_MEMORY];

	return mem && mem->size_bytes >= MEMORY_BYTES ? vfake_mem_bytes(mem, 0) : NULL;
}

/* ---- BARs ---- */

static uint64_t alarm_read(struct vfio_pci *pci, int bar, uint64_t offset, uint32_t width_bytes)
{
	const struct alarm_device *alarm = alarm_of(pci);
	struct vfake_mem *mem = pci->hw.bars[bar];
	uint64_t since = pci->kernel->clock_seconds - alarm->time;

	if (bar != VFAKE_ALARM_BAR_TIME)
		return copy_load(vfake_mem_bytes(mem, offset), width_bytes);
	return since >> 8 * offset & (UINT64_MAX >> (64 - 8 * width_bytes));
}

static void alarm_write(struct vfio_pci *pci, int bar, uint64_t offset, uint64_t value,
			uint32_t width_bytes)
{
	struct alarm_device *alarm = alarm_of(pci);
	struct vfake_mem *mem = pci->hw.bars[bar];
	uint8_t bytes[8];

	if (bar != VFAKE_ALARM_BAR_TIME) {
		copy_store(vfake_mem_bytes(mem, offset), value, width_bytes);
		return;
	}
	copy_store(bytes, alarm->time, sizeof(bytes));
	copy_store(bytes + offset, value, width_bytes);
	alarm->time = copy_load(bytes, sizeof(bytes));
	/* The time is set by its last byte. */
	alarm->armed |= offset + width_bytes == sizeof(bytes);
}

static bool alarm_mappable(const struct vfio_pci *pci, int bar)
{
	(void)pci;
	return bar == VFAKE_ALARM_BAR_MEMORY;
}

/* ---- the alarm ---- */

/* The first page that the IOMMU translates for the device; nothing is accessed. */
static uint64_t find_page(const struct alarm_device *alarm)
{
	struct vfake_domain *domain = alarm->mig.engine.pci->device->group->domain;
	struct vfake_translation to = { 0 };
	uint64_t iova = 0;

	while (domain && iova < VFAKE_ALARM_SEARCH_BYTES &&
	       domain->ops->translate(domain, iova, 1, &to))
		iova += PAGE;
	return iova;
}

/* One access of the DMA that follows; whether it happened. */
static bool dma_step(struct alarm_device *alarm)
{
	uint32_t chunk = alarm->step % CHUNKS;
	bool write = alarm->step % (2 * CHUNKS) < CHUNKS;
	uint64_t iova = alarm->page + (alarm->step < STEPS / 2 ? PAGE : 0) + chunk * CHUNK;
	uint8_t bytes[CHUNK];
	int ret;

	memset(bytes, 'A' + (int)chunk, sizeof(bytes));
	ret = vfio_device_dma(alarm->mig.engine.pci->device, iova, bytes, sizeof(bytes), write);
	if (ret == -EAGAIN)
		return false;
	if (ret) {
		alarm->faults.count++;
		alarm->faults.last_iova = iova;
		alarm->faults.last_write = write;
	} else if (write) {
		dma_log_wrote(&alarm->mig.log, iova, sizeof(bytes));
	}
	alarm->step++;
	return true;
}

static bool alarm_tick(struct vfio_pci *pci)
{
	struct alarm_device *alarm = alarm_of(pci);

	if (!runs(alarm))
		return false;
	if (alarm->step < STEPS)
		return dma_step(alarm);
	if (!alarm->armed || pci->kernel->clock_seconds < alarm->time)
		return false;
	alarm->armed = false;
	alarm->step = 0;
	alarm->page = find_page(alarm);
	vfio_pci_set_intx(pci->device, true);
	vfio_pci_set_intx(pci->device, false);
	return true;
}

static void alarm_faults(const struct vfio_pci *pci, struct vfake_device_faults *faults)
{
	*faults = alarm_of(pci)->faults;
}

/* ---- the stream ---- */

static void disable(struct alarm_device *alarm)
{
	if (!alarm->stream)
		return;
	alarm->stream->disabled = true;
	vfake_file_put(alarm->stream->file);
	alarm->stream = NULL;
}

static void stream_release(struct vfake_file *file)
{
	vfake_free(file->kernel, file->data);
}

static long saving_read(struct vfake_file *file, struct vfake_task *task, uint64_t buf,
			uint64_t len)
{
	struct alarm_stream *stream = file->data;
	const struct alarm_device *alarm = stream->alarm;
	bool final = alarm->mig.state == VFIO_DEVICE_STATE_STOP_COPY;
	uint32_t end = final ? STREAM_BYTES : MEMORY_BYTES;
	uint8_t bytes[STREAM_BYTES] = { 0 };

	if (stream->disabled)
		return -ENODEV;
	if (stream->at == end)
		return final ? 0 : -ENOMSG;
	if (len > end - stream->at)
		len = end - stream->at;
	if (memory_of(alarm))
		memcpy(bytes, memory_of(alarm), MEMORY_BYTES);
	copy_store(bytes + MEMORY_BYTES, alarm->time, 8);
	if (vfake_user_write(task, buf, bytes + stream->at, len))
		return -EFAULT;
	stream->at += (uint32_t)len;
	return (long)len;
}

static long resuming_write(struct vfake_file *file, struct vfake_task *task, uint64_t buf,
			   uint64_t len)
{
	struct alarm_stream *stream = file->data;

	if (stream->disabled)
		return -ENODEV;
	if (len > STREAM_BYTES - stream->at)
		return -EINVAL;
	if (vfake_user_read(task, stream->bytes + stream->at, buf, len))
		return -EFAULT;
	stream->at += (uint32_t)len;
	return (long)len;
}

static const struct vfake_file_ops saving_ops = {
	.name = "migration data",
	.release = stream_release,
	.read = saving_read,
};

static const struct vfake_file_ops resuming_ops = {
	.name = "migration data",
	.release = stream_release,
	.write = resuming_write,
};

static int open_stream(struct alarm_device *alarm, const struct vfake_file_ops *ops)
{
	struct vfake_kernel *kernel = kernel_of(alarm);
	struct alarm_stream *stream = vfake_alloc(kernel, sizeof(*stream));

	if (!stream)
		return -ENOMEM;
	stream->alarm = alarm;
	stream->file = vfake_file_new(kernel, ops, stream);
	if (!stream->file) {
		vfake_free(kernel, stream);
		return -ENOMEM;
	}
	alarm->stream = stream;
	return 0;
}

static int finish_resuming(struct alarm_device *alarm)
{
	const struct alarm_stream *stream = alarm->stream;

	if (stream->at && (stream->at != STREAM_BYTES || !memory_of(alarm)))
		return -EINVAL;
	if (!stream->at)
		return 0;
	memcpy(memory_of(alarm), stream->bytes, MEMORY_BYTES);
	alarm->time = copy_load(stream->bytes + MEMORY_BYTES, 8);
	alarm->armed = true;
	return 0;
}

/* ---- states ---- */

/* One arc; *opened: it opened the stream. 0 or -errno. */
static int do_arc(struct alarm_device *alarm, uint32_t to, bool *opened)
{
	uint32_t from = alarm->mig.state;
	int ret = 0;

	*opened = false;
	if (to == VFIO_DEVICE_STATE_STOP_COPY && from == VFIO_DEVICE_STATE_PRE_COPY) {
		alarm->stream->at = 0;
		return 0;
	}
	if (from == VFIO_DEVICE_STATE_RESUMING)
		ret = finish_resuming(alarm);
	disable(alarm);
	if (ret) {
		alarm->mig.state = VFIO_DEVICE_STATE_ERROR;
		return ret;
	}
	if (to == VFIO_DEVICE_STATE_RESUMING)
		ret = open_stream(alarm, &resuming_ops);
	else if (to == VFIO_DEVICE_STATE_STOP_COPY || to == VFIO_DEVICE_STATE_PRE_COPY)
		ret = open_stream(alarm, &saving_ops);
	*opened = alarm->stream;
	return ret;
}

static int set_state(struct alarm_device *alarm, uint32_t to, bool *opened)
{
	*opened = false;
	while (alarm->mig.state != to) {
		uint32_t next;
		int ret = mig_next_state(alarm->mig.flags, alarm->mig.state, to, &next);

		if (!ret)
			ret = do_arc(alarm, next, opened);
		if (ret)
			return ret;
		alarm->mig.state = next;
	}
	return 0;
}

static long feature_state(struct alarm_device *alarm, struct vfake_call *call, uint32_t flags,
			  uint64_t data, uint64_t data_len)
{
	struct vfio_device_feature_mig_state arg;
	bool opened = false;
	int ret = vfio_check_feature(
		flags, data_len, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_GET, sizeof(arg));

	if (ret != 1)
		return ret;
	if (vfake_copy_in(call, &arg, data, sizeof(arg)))
		return -EFAULT;
	ret = 0;
	if (flags & VFIO_DEVICE_FEATURE_GET)
		arg.device_state = alarm->mig.state;
	else
		ret = set_state(alarm, arg.device_state, &opened);
	arg.data_fd = -1;
	if (!ret && opened) {
		vfake_file_get(alarm->stream->file);
		arg.data_fd = vfake_fd_install(call->task, alarm->stream->file);
		if (arg.data_fd < 0) {
			vfake_file_put(alarm->stream->file);
			return arg.data_fd;
		}
	}
	if (!vfake_copy_out(call, data, &arg, sizeof(arg)))
		return ret;
	if (arg.data_fd >= 0)
		vfake_fd_close(call->task, arg.data_fd);
	return -EFAULT;
}

/* One that is a number to read. */
static long feature_number(struct vfake_call *call, uint32_t flags, uint64_t data,
			   uint64_t data_len, uint64_t number)
{
	int ret = vfio_check_feature(flags, data_len, VFIO_DEVICE_FEATURE_GET, sizeof(number));

	if (ret != 1)
		return ret;
	return vfake_copy_out(call, data, &number, sizeof(number)) ? -EFAULT : 0;
}

static long feature(struct vfio_pci *pci, struct vfake_call *call, uint32_t flags, uint64_t data,
		    uint64_t data_len)
{
	struct alarm_device *alarm = alarm_of(pci);

	switch (flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_MIGRATION:
		return feature_number(call, flags, data, data_len, alarm->mig.flags);
	case VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
		return feature_number(call, flags, data, data_len, STREAM_BYTES);
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		return feature_state(alarm, call, flags, data, data_len);
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
		return dma_log_feature_start(&alarm->mig, call, flags, data, data_len);
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
		return dma_log_feature_stop(&alarm->mig, flags, data_len);
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
		return dma_log_feature_report(&alarm->mig, call, flags, data, data_len);
	default:
		return -ENOTTY;
	}
}

/* ---- the model ---- */

static int probe(struct vfio_pci *pci)
{
	struct alarm_device *alarm = vfake_alloc(pci->kernel, sizeof(*alarm));

	if (!alarm)
		return -ENOMEM;
	alarm->mig.engine.pci = pci;
	alarm->mig.flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY;
	alarm->mig.state = VFIO_DEVICE_STATE_RUNNING;
	alarm->step = STEPS;
	dma_log_init(&alarm->mig.log, pci->kernel);
	pci->model_data = alarm;
	return 0;
}

static void free_device(struct vfio_pci *pci)
{
	vfake_free(pci->kernel, pci->model_data);
}

static void reset(struct vfio_pci *pci)
{
	struct alarm_device *alarm = alarm_of(pci);

	disable(alarm);
	alarm->mig.state = VFIO_DEVICE_STATE_RUNNING;
	alarm->armed = false;
	alarm->time = 0;
	alarm->step = STEPS;
	if (memory_of(alarm))
		memset(memory_of(alarm), 0, MEMORY_BYTES);
}

static void open_device(struct vfio_pci *pci)
{
	alarm_of(pci)->mig.state = VFIO_DEVICE_STATE_RUNNING;
}

static void close_device(struct vfio_pci *pci)
{
	struct alarm_device *alarm = alarm_of(pci);

	dma_log_end(&alarm->mig.log, pci->kernel);
	disable(alarm);
}

const struct vfio_pci_model vfio_alarm_model = {
	.name = "alarm",
	.probe = probe,
	.free = free_device,
	.read = alarm_read,
	.write = alarm_write,
	.reset = reset,
	.mappable = alarm_mappable,
	.open = open_device,
	.close = close_device,
	.tick = alarm_tick,
	.faults = alarm_faults,
	.feature = feature,
};
