/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files that a device's state travels through.
 *
 * Imitates the data files of the migration drivers under drivers/vfio/pci, Linux 7.2, in what
 * linux/vfio.h promises of all of them; where drivers differ, mlx5 is followed.
 *
 * Kept: a file that saves is read only, one that resumes write only, neither has positions (ESPIPE)
 * or a second direction (EBADF); a read gives what is there, ENOMSG at the temporary end of
 * pre-copy, 0 at the end in STOP_COPY; after the device left the state, and for good, ENODEV. The
 * device holds the file too, so closing it early ends nothing. During pre-copy the file tells how
 * much there is: first the initial record, then one more whenever the state differs from what the
 * stream holds. With PRECOPY_INFOv2 a ring that was set up anew counts as new initial data. A write
 * is taken apart as it comes; the first thing that does not belong spoils the stream. Nothing of it
 * reaches the device before it is whole and the device leaves RESUMING. A stream without a single
 * byte changes nothing.
 *
 * Dropped: reads that wait; poll.
 */
#include <string.h>

#include "model.h"

/* Behind one file. */
struct mig_file {
	struct mig_device *mig; /* lives as long as the kernel */
	struct vfake_file *file;
	bool disabled; /* the device has let go of it, or the stream is spoilt */
	bool complete; /* the final record is in it */
	/* saving: what has not been read yet */
	uint8_t *unread;
	uint64_t unread_bytes;
	uint64_t initial_bytes; /* how many of these are initial data */
	uint64_t ring_base;	/* of the last record */
	uint32_t ring_size;
	/* resuming: the record that comes in */
	bool started;
	uint32_t got_bytes;
	/* the last whole record's state, or the record that comes in */
	uint8_t record[VFAKE_MIG_RECORD_BYTES];
};

static struct vfake_kernel *kernel_of(const struct mig_file *stream)
{
	return stream->mig->engine.pci->kernel;
}

struct vfake_file *mig_file_of(const struct mig_file *stream)
{
	return stream->file;
}

/* ---- records ---- */

static uint32_t checksum(const uint8_t *record)
{
	uint32_t sum = 0x811c9dc5;

	for (uint32_t i = 0; i < VFAKE_MIG_RECORD_BYTES; i++) {
		bool own = i >= VFAKE_MIG_HEADER_CHECKSUM && i < VFAKE_MIG_HEADER_CHECKSUM + 4;

		sum = (sum ^ (own ? 0 : record[i])) * 0x01000193;
	}
	return sum;
}

static int make_record(const struct copy_engine *engine, uint32_t type, uint8_t *record)
{
	int ret = copy_engine_save(engine, record + VFAKE_MIG_HEADER_BYTES);

	if (ret)
		return ret;
	copy_store(record + VFAKE_MIG_HEADER_MAGIC, VFAKE_MIG_MAGIC, 4);
	copy_store(record + VFAKE_MIG_HEADER_VERSION, VFAKE_MIG_VERSION, 2);
	copy_store(record + VFAKE_MIG_HEADER_TYPE, type, 2);
	copy_store(record + VFAKE_MIG_HEADER_LENGTH, VFAKE_MIG_STATE_BYTES, 4);
	copy_store(record + VFAKE_MIG_HEADER_CHECKSUM, checksum(record), 4);
	return 0;
}

static int check_header(const uint8_t *record)
{
	uint64_t type = copy_load(record + VFAKE_MIG_HEADER_TYPE, 2);

	if (copy_load(record + VFAKE_MIG_HEADER_MAGIC, 4) != VFAKE_MIG_MAGIC)
		return -EINVAL;
	if (copy_load(record + VFAKE_MIG_HEADER_VERSION, 2) != VFAKE_MIG_VERSION)
		return -EOPNOTSUPP;
	if ((type != VFAKE_MIG_PRE_COPY && type != VFAKE_MIG_FINAL) ||
	    copy_load(record + VFAKE_MIG_HEADER_LENGTH, 4) != VFAKE_MIG_STATE_BYTES)
		return -EINVAL;
	return 0;
}

static int check_record(const struct mig_file *stream)
{
	const uint8_t *record = stream->record;

	if (copy_load(record + VFAKE_MIG_HEADER_CHECKSUM, 4) != checksum(record))
		return -EINVAL;
	return copy_engine_check(&stream->mig->engine, record + VFAKE_MIG_HEADER_BYTES);
}

/* ---- saving ---- */

/* Adds a record of the state as it is now. */
static int append(struct mig_file *stream, uint32_t type)
{
	const struct copy_engine *engine = &stream->mig->engine;
	uint64_t size = stream->unread_bytes + VFAKE_MIG_RECORD_BYTES;
	uint8_t *bytes = vfake_alloc(kernel_of(stream), size);
	int ret;

	if (!bytes)
		return -ENOMEM;
	ret = make_record(engine, type, stream->record);
	if (ret) {
		vfake_free(kernel_of(stream), bytes);
		return ret;
	}
	if (stream->unread_bytes)
		memcpy(bytes, stream->unread, stream->unread_bytes);
	memcpy(bytes + stream->unread_bytes, stream->record, VFAKE_MIG_RECORD_BYTES);
	vfake_free(kernel_of(stream), stream->unread);
	stream->unread = bytes;
	stream->unread_bytes = size;
	stream->ring_base = engine->state.ring_base;
	stream->ring_size = engine->state.ring_size;
	stream->complete = type == VFAKE_MIG_FINAL;
	return 0;
}

/* Whether the state differs from that of the last record: 1, 0 or -errno. */
static int has_changed(const struct mig_file *stream)
{
	uint8_t bytes[VFAKE_MIG_STATE_BYTES];
	int ret = copy_engine_save(&stream->mig->engine, bytes);

	if (ret)
		return ret;
	return memcmp(bytes, stream->record + VFAKE_MIG_HEADER_BYTES, sizeof(bytes)) != 0;
}

/* Takes @len bytes away that were read. */
static void consume(struct mig_file *stream, uint64_t len)
{
	stream->unread_bytes -= len;
	memmove(stream->unread, stream->unread + len, stream->unread_bytes);
	stream->initial_bytes -= len < stream->initial_bytes ? len : stream->initial_bytes;
}

static long saving_read(struct vfake_file *file, struct vfake_task *task, uint64_t buf,
			uint64_t len)
{
	struct mig_file *stream = file->data;

	if (stream->disabled)
		return -ENODEV;
	if (!len)
		return 0;
	if (!stream->unread_bytes && !stream->complete) {
		int ret = has_changed(stream);

		if (ret > 0)
			ret = append(stream, VFAKE_MIG_PRE_COPY);
		else if (!ret)
			ret = -ENOMSG;
		if (ret)
			return ret;
	}
	if (len > stream->unread_bytes)
		len = stream->unread_bytes;
	if (len && vfake_user_write(task, buf, stream->unread, len))
		return -EFAULT;
	consume(stream, len);
	return (long)len;
}

int mig_finish_saving(struct mig_device *mig)
{
	return append(mig->saving, VFAKE_MIG_FINAL);
}

/* ---- how much there is ---- */

static bool ring_is_new(const struct mig_file *stream)
{
	const struct copy_state *state = &stream->mig->engine.state;

	return state->ring_base != stream->ring_base || state->ring_size != stream->ring_size;
}

static long get_precopy_info(struct vfake_call *call)
{
	struct mig_file *stream = call->file->data;
	struct mig_device *mig = stream->mig;
	struct vfio_precopy_info *info = call->arg;
	int changed;

	if (mig->precopy_info_v2)
		info->flags = 0;
	if (mig->state != VFIO_DEVICE_STATE_PRE_COPY &&
	    mig->state != VFIO_DEVICE_STATE_PRE_COPY_P2P)
		return -EINVAL;
	if (stream->disabled)
		return -ENODEV;
	if (mig->precopy_info_v2 && ring_is_new(stream)) {
		int ret = append(stream, VFAKE_MIG_PRE_COPY);

		if (ret)
			return ret;
		stream->initial_bytes = stream->unread_bytes;
		info->flags = VFIO_PRECOPY_INFO_REINIT;
	}
	changed = has_changed(stream);
	if (changed < 0)
		return changed;
	info->initial_bytes = stream->initial_bytes;
	info->dirty_bytes = stream->unread_bytes - stream->initial_bytes +
			    (changed ? (uint64_t)VFAKE_MIG_RECORD_BYTES : 0);
	return 0;
}

const vfake_handler vfake_mig_data_handlers[VFAKE_HANDLERS] = {
	[VFIO_MIG_GET_PRECOPY_INFO & 0xff] = get_precopy_info,
};

/* ---- resuming ---- */

/* Checks what is whole now. */
static int take_in(struct mig_file *stream)
{
	int ret;

	if (stream->got_bytes == VFAKE_MIG_HEADER_BYTES)
		return check_header(stream->record);
	if (stream->got_bytes != VFAKE_MIG_RECORD_BYTES)
		return 0;
	ret = check_record(stream);
	if (ret)
		return ret;
	if (copy_load(stream->record + VFAKE_MIG_HEADER_TYPE, 2) == VFAKE_MIG_FINAL)
		stream->complete = true;
	else
		stream->got_bytes = 0;
	return 0;
}

/* The next piece of the header or of the state: bytes taken or -errno. */
static long take_piece(struct mig_file *stream, struct vfake_task *task, uint64_t buf, uint64_t len)
{
	uint32_t end = stream->got_bytes < VFAKE_MIG_HEADER_BYTES ? VFAKE_MIG_HEADER_BYTES
								  : VFAKE_MIG_RECORD_BYTES;
	uint32_t room = end - stream->got_bytes;
	uint32_t piece = len < room ? (uint32_t)len : room;
	int ret;

	if (stream->complete)
		return -EINVAL;
	if (vfake_user_read(task, stream->record + stream->got_bytes, buf, piece))
		return -EFAULT;
	stream->started = true;
	stream->got_bytes += piece;
	ret = take_in(stream);
	return ret ? ret : (long)piece;
}

static long resuming_write(struct vfake_file *file, struct vfake_task *task, uint64_t buf,
			   uint64_t len)
{
	struct mig_file *stream = file->data;
	uint64_t done = 0;

	if (stream->disabled)
		return -ENODEV;
	while (done < len) {
		long ret = take_piece(stream, task, buf + done, len - done);

		if (ret < 0) {
			stream->started = true;
			stream->disabled = true;
			return ret;
		}
		done += (uint64_t)ret;
	}
	return (long)done;
}

int mig_finish_resuming(struct mig_device *mig)
{
	const struct mig_file *stream = mig->resuming;

	if (!stream->started)
		return 0;
	if (stream->disabled || !stream->complete)
		return -EINVAL;
	return copy_engine_load(&mig->engine, stream->record + VFAKE_MIG_HEADER_BYTES);
}

/* ---- the files ---- */

static const struct uapi_ioctl *saving_route(struct vfake_file *file, uint32_t number, long *error)
{
	(void)file;
	*error = -ENOTTY;
	return uapi_find(UAPI_ON_MIG_DATA, number);
}

static void release(struct vfake_file *file)
{
	struct mig_file *stream = file->data;

	vfake_free(file->kernel, stream->unread);
	vfake_free(file->kernel, stream);
}

static long no_direction(struct vfake_file *file, struct vfake_task *task, uint64_t buf,
			 uint64_t len)
{
	(void)file;
	(void)task;
	(void)buf;
	(void)len;
	return -EBADF;
}

static long no_position(struct vfake_file *file, struct vfake_task *task, uint64_t buf,
			uint64_t len, uint64_t offset)
{
	(void)offset;
	(void)no_direction(file, task, buf, len);
	return -ESPIPE;
}

static const struct vfake_file_ops saving_ops = {
	.name = "migration data",
	.route = saving_route,
	.release = release,
	.read = saving_read,
	.write = no_direction,
	.pread = no_position,
	.pwrite = no_position,
};

static const struct vfake_file_ops resuming_ops = {
	.name = "migration data",
	.release = release,
	.read = no_direction,
	.write = resuming_write,
	.pread = no_position,
	.pwrite = no_position,
};

static struct mig_file *new_stream(struct mig_device *mig, const struct vfake_file_ops *ops)
{
	struct vfake_kernel *kernel = mig->engine.pci->kernel;
	struct mig_file *stream = vfake_alloc(kernel, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->mig = mig;
	stream->file = vfake_file_new(kernel, ops, stream);
	if (stream->file)
		return stream;
	vfake_free(kernel, stream);
	return NULL;
}

int mig_open_saving(struct mig_device *mig, bool precopy)
{
	struct mig_file *stream = new_stream(mig, &saving_ops);
	int ret;

	if (!stream)
		return -ENOMEM;
	ret = append(stream, precopy ? VFAKE_MIG_PRE_COPY : VFAKE_MIG_FINAL);
	if (ret) {
		vfake_file_put(stream->file);
		return ret;
	}
	stream->initial_bytes = stream->unread_bytes;
	mig->saving = stream;
	return 0;
}

int mig_open_resuming(struct mig_device *mig)
{
	mig->resuming = new_stream(mig, &resuming_ops);
	return mig->resuming ? 0 : -ENOMEM;
}

static void disable(struct mig_file **stream)
{
	if (!*stream)
		return;
	(*stream)->disabled = true;
	vfake_file_put((*stream)->file);
	*stream = NULL;
}

void mig_disable_streams(struct mig_device *mig)
{
	disable(&mig->saving);
	disable(&mig->resuming);
}
