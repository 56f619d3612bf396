/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device's operations as messages to its vfio-user server.
 *
 * What is longer than a message may be goes in pieces. A piece that fails ends it.
 */
#include <string.h>

#include "user.h"

/* A request whose head comes back, changed. 0 or -errno. */
static int exchange(struct vfio_user *user, uint16_t cmd, void *arg, uint32_t size)
{
	struct user_call call = {
		.cmd = cmd, .head = arg, .head_size = size, .reply_min = size, .reply_max = size
	};
	int ret = user_call(user, &call);

	if (!ret)
		memcpy(arg, call.reply, size);
	return ret;
}

static int user_info(struct vfio_device *device, struct vfio_device_info *info)
{
	struct vfio_user_device_info arg = { .argsz = sizeof(arg) };
	int ret = exchange(device->user, VFIO_USER_DEVICE_GET_INFO, &arg, sizeof(arg));

	info->flags = arg.flags;
	info->num_regions = arg.num_regions;
	info->num_irqs = arg.num_irqs;
	return ret;
}

/* ---- regions ---- */

static int ask_region(struct vfio_device *device, struct vfio_region_info *info, int *fd)
{
	struct vfio_user *user = device->user;
	struct vfio_region_info ask = { .argsz = info->argsz, .index = info->index };
	struct user_call call = { .cmd = VFIO_USER_DEVICE_GET_REGION_INFO,
				  .head = &ask,
				  .head_size = sizeof(ask),
				  .reply_min = sizeof(ask),
				  .reply_max = info->argsz,
				  .reply_fd = fd };
	int ret = user_call(user, &call);

	if (ret)
		return ret;
	memcpy(info, call.reply, call.reply_size);
	/* What came is what there is, unless it is more than we had room for. */
	if (info->argsz <= ask.argsz)
		info->argsz = call.reply_size;
	return info->index == ask.index ? 0 : -EPROTO;
}

static int user_region_info(struct vfio_device *device, struct vfio_region_info *info)
{
	int fd = -1;
	int ret = ask_region(device, info, &fd);

	/* It is asked for again when it is used. */
	vfio_close(device->vfio, &fd);
	return ret;
}

static int user_map_area(struct vfio_device *device, const struct vfio_region *region,
			 const struct vfio_mmap_area *area, int prot, uint64_t *addr)
{
	const struct vfio_sys *sys = &device->vfio->sys;
	struct vfio_region_info info = { .argsz = sizeof(info), .index = region->index };
	int fd = -1;
	int ret = ask_region(device, &info, &fd);

	if (!ret && fd < 0)
		ret = -ENODEV;
	if (!ret && region->offset + area->offset < region->offset)
		ret = -ERANGE;
	if (!ret)
		ret = sys->mmap(sys->ctx, area->size, prot, fd, region->offset + area->offset,
				addr);
	vfio_close(device->vfio, &fd);
	return ret;
}

/* How much of @len one message takes. */
static uint32_t piece(const struct vfio_user *user, size_t len)
{
	return len < user->limits.xfer_bytes ? (uint32_t)len : user->limits.xfer_bytes;
}

/* The head of a reply must be what was asked for, with as many bytes at most. */
static long moved(const struct user_call *call, const struct vfio_user_region_access *ask)
{
	struct vfio_user_region_access got;

	memcpy(&got, call->reply, sizeof(got));
	if (got.offset != ask->offset || got.region != ask->region || got.count > ask->count)
		return -EPROTO;
	return (long)got.count;
}

static long read_piece(struct vfio_user *user, const struct vfio_user_region_access *ask,
		       void *bytes)
{
	struct user_call call = { .cmd = VFIO_USER_REGION_READ,
				  .head = ask,
				  .head_size = sizeof(*ask),
				  .reply_min = sizeof(*ask),
				  .reply_max = (uint32_t)sizeof(*ask) + ask->count };
	long ret = user_call(user, &call);

	if (ret)
		return ret;
	ret = moved(&call, ask);
	/* An error is no size that a reply could have. */
	if (call.reply_size != sizeof(*ask) + (uint64_t)ret)
		return -EPROTO;
	memcpy(bytes, call.reply + sizeof(*ask), (size_t)ret);
	return ret;
}

static long write_piece(struct vfio_user *user, const struct vfio_user_region_access *ask,
			const void *bytes)
{
	struct user_call call = { .cmd = VFIO_USER_REGION_WRITE,
				  .head = ask,
				  .head_size = sizeof(*ask),
				  .data = bytes,
				  .data_size = ask->count,
				  .reply_min = sizeof(*ask),
				  .reply_max = sizeof(*ask) };
	int ret = user_call(user, &call);

	return ret ? ret : moved(&call, ask);
}

static long user_read(struct vfio_device *device, const struct vfio_region *region, uint64_t offset,
		      void *bytes, size_t len)
{
	struct vfio_user *user = device->user;
	size_t done = 0;

	while (done < len) {
		struct vfio_user_region_access ask = { .offset = offset + done,
						       .region = region->index,
						       .count = piece(user, len - done) };
		long ret = read_piece(user, &ask, (char *)bytes + done);

		if (ret <= 0)
			return ret;
		done += (size_t)ret;
	}
	return (long)done;
}

static long user_write(struct vfio_device *device, const struct vfio_region *region,
		       uint64_t offset, const void *bytes, size_t len)
{
	struct vfio_user *user = device->user;
	size_t done = 0;

	while (done < len) {
		struct vfio_user_region_access ask = { .offset = offset + done,
						       .region = region->index,
						       .count = piece(user, len - done) };
		long ret = write_piece(user, &ask, (const char *)bytes + done);

		if (ret <= 0)
			return ret;
		done += (size_t)ret;
	}
	return (long)done;
}

/* ---- posted writes ---- */

/* Writes gathered as one message; without WRITE_MULTI there is only one of them. */
static void make_posted_call(const struct vfio_user *user, struct vfio_user_write_multi *multi,
			     struct vfio_user_write_one *writes, struct user_call *call)
{
	if (user->limits.write_multi) {
		*multi = (struct vfio_user_write_multi){ .wr_cnt = user->posted_count };
		*call = (struct user_call){ .cmd = VFIO_USER_REGION_WRITE_MULTI,
					    .head = multi,
					    .head_size = sizeof(*multi),
					    .data = writes,
					    .data_size = (uint32_t)(user->posted_count *
								    sizeof(*writes)),
					    .reply_min = sizeof(*multi),
					    .reply_max = sizeof(*multi) };
		return;
	}
	*call = (struct user_call){ .cmd = VFIO_USER_REGION_WRITE,
				    .head = writes,
				    .head_size = offsetof(struct vfio_user_write_one, data),
				    .data = writes[0].data,
				    .data_size = writes[0].count,
				    .reply_min = sizeof(struct vfio_user_region_access),
				    .reply_max = sizeof(struct vfio_user_region_access) };
}

/* Sends what is gathered and waits for it: 0, or what one of them said. */
static int settle_posted(struct vfio_user *user)
{
	struct vfio_user_write_one writes[USER_POSTED_MAX];
	uint32_t count = user->posted_count;
	struct vfio_user_write_multi multi;
	struct user_call call;
	int ret;

	memcpy(writes, user->posted, count * sizeof(writes[0]));
	make_posted_call(user, &multi, writes, &call);
	user->posted_count = 0;
	ret = user_call(user, &call);
	if (ret || call.cmd != VFIO_USER_REGION_WRITE_MULTI)
		return ret;
	memcpy(&multi, call.reply, sizeof(multi));
	return multi.wr_cnt == count ? 0 : -EIO;
}

int user_push_posted(struct vfio_user *user)
{
	struct vfio_user_write_multi multi;
	struct user_call call;
	int ret;

	if (!user->posted_count)
		return 0;
	/* Now and then the server is waited for, so that it is never far behind. */
	if (user->unacked >= USER_UNACKED_MAX) {
		ret = settle_posted(user);
		if (!user->posted_error)
			user->posted_error = ret;
		return user->broken;
	}
	make_posted_call(user, &multi, user->posted, &call);
	user->posted_count = 0;
	return user_send_only(user, &call);
}

static long user_post(struct vfio_device *device, const struct vfio_region *region, uint64_t offset,
		      const void *bytes, size_t len)
{
	struct vfio_user *user = device->user;
	struct vfio_user_write_one *one;
	int ret;

	if (user->broken)
		return user->broken;
	if (!len || len > sizeof(one->data))
		return user_write(device, region, offset, bytes, len);
	if (user->posted_count == (user->limits.write_multi ? USER_POSTED_MAX : 1)) {
		ret = user_push_posted(user);
		if (ret)
			return ret;
	}
	one = &user->posted[user->posted_count++];
	*one = (struct vfio_user_write_one){ .offset = offset,
					     .region = region->index,
					     .count = (uint32_t)len };
	memcpy(one->data, bytes, len);
	return (long)len;
}

/*
 * The last write is always gathered still, unless something was asked of the server since; both
 * ways a reply says that all of them were seen.
 */
static int user_flush(struct vfio_device *device)
{
	struct vfio_user *user = device->user;
	int ret;

	/* A reply that was given up is not left lying about. */
	if (user->late_count)
		user_poll(user);
	ret = user->posted_count ? settle_posted(user) : user->broken;
	if (!ret)
		ret = user->posted_error;
	user->posted_error = 0;
	return ret;
}

/* ---- interrupts and reset ---- */

static int user_irq_info(struct vfio_device *device, struct vfio_irq_info *info)
{
	uint32_t index = info->index;
	int ret = exchange(device->user, VFIO_USER_DEVICE_GET_IRQ_INFO, info, sizeof(*info));

	/* When there is no answer, it is as it was. */
	return info->index == index ? ret : -EPROTO;
}

/* One SET_IRQS: @fds go with it. */
static int send_irqs(struct vfio_user *user, const struct vfio_irq_set *set, uint32_t start,
		     uint32_t count, const int *fds, uint32_t fd_count)
{
	struct vfio_irq_set arg = { .argsz = sizeof(arg),
				    .flags = set->flags,
				    .index = set->index,
				    .start = start,
				    .count = count };
	struct user_call call = { .cmd = VFIO_USER_DEVICE_SET_IRQS,
				  .head = &arg,
				  .head_size = sizeof(arg),
				  .fds = fds,
				  .fd_count = fd_count,
				  .reply_max = sizeof(arg) };

	return user_call(user, &call);
}

/* How many from the first on have a descriptor, or none, as the first one does. */
static uint32_t run_of(const int *fds, uint32_t count, uint32_t most)
{
	uint32_t run = 1;

	while (run < count && (fds[run] >= 0) == (fds[0] >= 0) && (fds[0] < 0 || run < most))
		run++;
	return run;
}

/* Whether a server that says so has done nothing. */
static bool is_refusal(int code)
{
	return code == -EINVAL || code == -ENOTTY || code == -ENOTSUP || code == -ENOSPC;
}

/*
 * Vectors [start, + count) may be set up and shall not be. An index that was off before is turned
 * off: a device has one kind on at a time.
 */
static void undo_irqs(struct vfio_device *device, const struct vfio_irq_set *set, uint32_t count)
{
	struct vfio_irq_set off = { .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				    .index = set->index };

	if (!count)
		return;
	if (device->irqs_enabled & 1u << set->index)
		send_irqs(device->user, set, set->start, count, NULL, 0);
	else
		send_irqs(device->user, &off, 0, 0, NULL, 0);
}

/*
 * Vectors with a descriptor and vectors without go in messages of their own. All of them, or
 * nothing: what failed may have been done all the same.
 */
static int send_eventfds(struct vfio_device *device, const struct vfio_irq_set *set, const int *fds)
{
	uint32_t most = device->user->limits.send_fds;
	uint32_t done = 0, run = 0;
	int ret = 0;

	for (; done < set->count && !ret; done += ret ? 0 : run) {
		bool some = fds[done] >= 0;

		run = run_of(fds + done, set->count - done, most);
		ret = some && !most ? -ENOTSUP
				    : send_irqs(device->user, set, set->start + done, run,
						fds + done, some ? run : 0);
	}
	if (ret)
		undo_irqs(device, set, is_refusal(ret) ? done : done + run);
	return ret;
}

static long user_set_irqs(struct vfio_device *device, const struct vfio_irq_set *set)
{
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return send_eventfds(device, set, (const int *)(const void *)set->data);
	return send_irqs(device->user, set, set->start, set->count, NULL, 0);
}

static int user_reset(struct vfio_device *device)
{
	struct user_call call = { .cmd = VFIO_USER_DEVICE_RESET };

	return user_call(device->user, &call);
}

/* ---- features ---- */

/* @data is the payload of the request; of a get, *reply is that of the reply: the head and @answer
 * bytes. */
static int ask_feature(struct vfio_user *user, uint32_t flags, const void *data, uint32_t size,
		       uint32_t answer, const uint8_t **reply)
{
	bool get = flags & VFIO_DEVICE_FEATURE_GET;
	struct vfio_device_feature head = { .argsz = (uint32_t)sizeof(head) + answer,
					    .flags = flags };
	/* What a server says to a set or a probe is the request, and not looked at. */
	struct user_call call = { .cmd = VFIO_USER_DEVICE_FEATURE,
				  .head = &head,
				  .head_size = sizeof(head),
				  .data = data,
				  .data_size = size,
				  .reply_min = get ? head.argsz : 0,
				  .reply_max = get ? head.argsz : VFIO_USER_MAX_FIXED_BYTES };
	int ret = user_call(user, &call);

	if (get)
		*reply = call.reply;
	return ret;
}

static int user_feature(struct vfio_device *device, uint32_t flags, void *payload, size_t size)
{
	const uint8_t *reply;
	int ret;

	if (!(flags & VFIO_DEVICE_FEATURE_GET))
		return ask_feature(device->user, flags, payload, (uint32_t)size, (uint32_t)size,
				   NULL);
	ret = ask_feature(device->user, flags, NULL, 0, (uint32_t)size, &reply);
	if (!ret)
		memcpy(payload, reply + sizeof(struct vfio_device_feature), size);
	return ret;
}

static int user_log_start(struct vfio_device *device, const struct vfio_range *ranges,
			  uint32_t count, uint64_t pgsize)
{
	struct vfio_user_dma_logging_control *control;
	struct vfio_device_feature_dma_logging_range *list;
	uint32_t size = (uint32_t)(sizeof(*control) + count * sizeof(*list));
	int ret;

	control = vfio_alloc(device->vfio, size);
	if (!control)
		return -ENOMEM;
	control->page_size = pgsize;
	control->num_ranges = count;
	list = (void *)(control + 1);
	for (uint32_t i = 0; i < count; i++) {
		list[i].iova = ranges[i].start;
		list[i].length = ranges[i].last - ranges[i].start + 1;
	}
	ret = ask_feature(device->user,
			  VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, control,
			  size, size, NULL);
	vfio_release(device->vfio, control);
	/* It may run all the same. */
	if (ret && !is_refusal(ret))
		device->log_doubt =
			user_feature(device,
				     VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
				     NULL, 0) != 0;
	return ret;
}

/*
 * The bits of a range that one message can carry. There is no other device in the container that
 * could have said something before.
 */
static int read_log(struct vfio_user *user, uint64_t iova, uint64_t size, uint64_t pgsize,
		    uint64_t *bits)
{
	struct vfio_user_dma_logging_report report = { .iova = iova,
						       .length = size,
						       .page_size = pgsize };
	uint32_t bytes = (uint32_t)((size / pgsize + 63) / 64 * 8);
	const uint8_t *reply;
	int ret =
		ask_feature(user, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
			    &report, sizeof(report), (uint32_t)sizeof(report) + bytes, &reply);

	if (!ret)
		memcpy(bits, reply + sizeof(struct vfio_device_feature) + sizeof(report), bytes);
	return ret;
}

/* How many words of bits a report has room for: one at least. */
static uint64_t log_words(const struct vfio_user *user)
{
	const uint64_t head =
		sizeof(struct vfio_device_feature) + sizeof(struct vfio_user_dma_logging_report);

	if (user->limits.bitmap_bytes < head + 8)
		return 1;
	return (user->limits.bitmap_bytes - head) / 8;
}

static int user_log_read(struct vfio_device *device, uint64_t iova, uint64_t size,
			 const struct vfio_dirty *dirty)
{
	uint64_t most = log_words(device->user) * 64 * dirty->pgsize;
	uint64_t done = 0;
	int ret = 0;

	while (done < size && !ret) {
		uint64_t step = size - done < most ? size - done : most;

		ret = read_log(device->user, iova + done, step, dirty->pgsize,
			       dirty->bitmap + done / dirty->pgsize / 64);
		done += step;
	}
	return ret;
}

/* ---- the stream of migration ---- */

static long user_mig_read(struct vfio_device *device, void *bytes, size_t len)
{
	struct vfio_user *user = device->user;
	struct vfio_user_mig_data arg = { .size = piece(user, len) };
	struct user_call call = { .cmd = VFIO_USER_MIG_DATA_READ,
				  .head = &arg,
				  .head_size = sizeof(arg),
				  .reply_min = sizeof(arg),
				  .reply_max = (uint32_t)sizeof(arg) + arg.size };
	int ret;

	arg.argsz = call.reply_max;
	ret = user_call(user, &call);
	if (ret)
		return ret;
	memcpy(&arg, call.reply, sizeof(arg));
	/* That is no more than was asked for. */
	if (call.reply_size != sizeof(arg) + (uint64_t)arg.size)
		return -EPROTO;
	memcpy(bytes, call.reply + sizeof(arg), arg.size);
	return (long)arg.size;
}

static long user_mig_write(struct vfio_device *device, const void *bytes, size_t len)
{
	struct vfio_user *user = device->user;
	struct vfio_user_mig_data arg = { .size = piece(user, len) };
	struct user_call call = { .cmd = VFIO_USER_MIG_DATA_WRITE,
				  .head = &arg,
				  .head_size = sizeof(arg),
				  .data = bytes,
				  .data_size = arg.size,
				  .reply_max = sizeof(arg) };
	int ret;

	arg.argsz = (uint32_t)sizeof(arg) + arg.size;
	ret = user_call(user, &call);
	return ret ? ret : (long)arg.size;
}

/* ---- what the server wants ---- */

static void user_poll_device(struct vfio_device *device)
{
	const struct vfio_vmm *vmm = &device->vfio->vmm;
	struct vfio_user *user = device->user;

	user_poll(user);
	if (!user->broken || user->told)
		return;
	user->told = true;
	if (vmm->device_error)
		vmm->device_error(vmm->ctx, device->options.name);
}

const struct vfio_device_io vfio_user_io = {
	.info = user_info,
	.region_info = user_region_info,
	.read = user_read,
	.write = user_write,
	.post = user_post,
	.flush = user_flush,
	.map = user_map_area,
	.irq_info = user_irq_info,
	.set_irqs = user_set_irqs,
	.reset = user_reset,
	.feature = user_feature,
	.log_start = user_log_start,
	.log_read = user_log_read,
	.mig_read = user_mig_read,
	.mig_write = user_mig_write,
	.poll = user_poll_device,
};
