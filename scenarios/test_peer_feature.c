/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Features over vfio-user: the DMA log, dirty pages of a map that goes, and a migration from one
 * peer to another.
 */
#include "peer_talk.h"

enum {
	HEAD = sizeof(struct vfio_device_feature),
	RING = 0x10000,
	SOURCE = 0x20000,
	DEST = 0x30000
};

/* A feature message with room for any payload. */
struct message {
	uint32_t argsz;
	uint32_t flags;
	uint64_t data[600];
};

static int feature(struct talk *talk, struct message *message, uint32_t flags, uint32_t argsz,
		   uint32_t payload_bytes)
{
	int ret;

	message->argsz = argsz;
	message->flags = flags;
	ret = talk_call(talk, VFIO_USER_DEVICE_FEATURE, message, HEAD + payload_bytes);
	if (!ret) {
		assert_true(talk->len <= sizeof(*message));
		memcpy(message, talk->payload, talk->len);
		assert_int_equal(message->argsz, talk->len);
		assert_int_equal(message->flags, flags);
	}
	return ret;
}

static int set_state(struct talk *talk, uint32_t to)
{
	const struct vfio_device_feature_mig_state want = { .device_state = to, .data_fd = -1 };
	struct message message = { 0 };
	int ret;

	memcpy(message.data, &want, sizeof(want));
	ret = feature(talk, &message,
		      VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
		      HEAD + sizeof(want), sizeof(want));
	if (!ret)
		assert_memory_equal(message.data, &want, sizeof(want));
	return ret;
}

static uint32_t get_state(struct talk *talk)
{
	struct vfio_device_feature_mig_state state;
	struct message message = { 0 };

	assert_int_equal(feature(talk, &message,
				 VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
				 HEAD + sizeof(state), 0),
			 0);
	memcpy(&state, message.data, sizeof(state));
	assert_int_equal(state.data_fd, -1);
	return state.device_state;
}

/* ---- which there are ---- */

static void features_are_the_devices(void **state)
{
	const uint32_t get = VFIO_DEVICE_FEATURE_GET, set = VFIO_DEVICE_FEATURE_SET;
	const uint32_t probe = VFIO_DEVICE_FEATURE_PROBE;
	struct message message = { 0 };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "migrate", NULL);
	assert_int_equal(feature(&talk, &message, get | VFIO_DEVICE_FEATURE_MIGRATION, HEAD + 8, 0),
			 0);
	assert_int_equal(message.data[0],
			 VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY);
	assert_int_equal(
		feature(&talk, &message, get | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, HEAD + 8, 0), 0);
	assert_true(message.data[0] >= VFAKE_MIG_RECORD_BYTES);
	assert_int_equal(
		feature(&talk, &message, probe | get | VFIO_DEVICE_FEATURE_MIGRATION, HEAD, 0), 0);
	assert_int_equal(talk.len, HEAD);
	assert_int_equal(feature(&talk, &message,
				 probe | get | set | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, HEAD, 0),
			 0);
	assert_int_equal(
		feature(&talk, &message, probe | set | VFIO_DEVICE_FEATURE_MIGRATION, HEAD, 0),
		-EINVAL);
	/* too little room; neither or both; one that is not the protocol's; one that is none */
	assert_int_equal(feature(&talk, &message, get | VFIO_DEVICE_FEATURE_MIGRATION, HEAD + 7, 0),
			 -EINVAL);
	assert_int_equal(feature(&talk, &message, VFIO_DEVICE_FEATURE_MIGRATION, 4096, 0), -EINVAL);
	assert_int_equal(
		feature(&talk, &message, get | set | VFIO_DEVICE_FEATURE_MIGRATION, 4096, 0),
		-EINVAL);
	assert_int_equal(feature(&talk, &message, get | VFIO_DEVICE_FEATURE_BUS_MASTER, 4096, 0),
			 -ENOTTY);
	assert_int_equal(feature(&talk, &message, probe | get | 999, 4096, 0), -ENOTTY);
	assert_int_equal(
		feature(&talk, &message, get | 1 << 19 | VFIO_DEVICE_FEATURE_MIGRATION, 4096, 0),
		-EINVAL);
	talk_end(&talk);
	talk_begin(&talk, "copy", NULL);
	assert_int_equal(feature(&talk, &message, get | VFIO_DEVICE_FEATURE_MIGRATION, HEAD + 8, 0),
			 -ENOTTY);
	talk_end(&talk);
}

/* ---- the log ---- */

static int start_log(struct talk *talk, uint64_t *page_size, uint32_t count, uint64_t iova,
		     uint64_t length)
{
	struct vfio_user_dma_logging_control control = { .page_size = *page_size,
							 .num_ranges = count };
	struct vfio_device_feature_dma_logging_range range = { .iova = iova, .length = length };
	struct message message = { 0 };
	uint32_t len = (uint32_t)(sizeof(control) + (count ? sizeof(range) : 0));
	int ret;

	memcpy(message.data, &control, sizeof(control));
	memcpy(message.data + 2, &range, sizeof(range));
	ret = feature(talk, &message,
		      VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, HEAD + len,
		      len);
	if (!ret)
		*page_size = message.data[0];
	return ret;
}

static int stop_log(struct talk *talk)
{
	struct message message = { 0 };

	return feature(talk, &message,
		       VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, HEAD + 16,
		       16);
}

static int get_log(struct talk *talk, uint64_t iova, uint64_t length, uint64_t page_size,
		   uint32_t room, uint64_t *bits)
{
	struct vfio_user_dma_logging_report report = { .iova = iova,
						       .length = length,
						       .page_size = page_size };
	struct message message = { 0 };
	int ret;

	memcpy(message.data, &report, sizeof(report));
	ret = feature(talk, &message,
		      VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
		      HEAD + (uint32_t)sizeof(report) + room, sizeof(report));
	if (!ret) {
		assert_memory_equal(message.data, &report, sizeof(report));
		*bits = message.data[3];
	}
	return ret;
}

/* A client with 64 pages at IOVA 0 whose device wrote pages DEST and DEST + 1, and the ring's. */
static uint8_t *begin_dirty(struct talk *talk, const char *model, bool log)
{
	uint64_t page_size = TALK_PAGE;
	vfake_addr addr;
	uint8_t *at;
	int fd;

	talk_begin(talk, model, NULL);
	fd = vfake_memfd(talk->task, 64 * TALK_PAGE);
	assert_int_equal(vfake_mmap(talk->task, 64 * TALK_PAGE, 3, fd, 0, &addr), 0);
	at = (uint8_t *)(uintptr_t)addr;
	assert_int_equal(talk_map(talk, 0, 64 * TALK_PAGE, TALK_RW, fd, 0), 0);
	vfake_close(talk->task, fd);
	if (log)
		assert_int_equal(start_log(talk, &page_size, 0, 0, 0), 0);
	assert_int_equal(page_size, TALK_PAGE);
	talk_copy(talk, at + RING, RING, SOURCE, DEST, TALK_PAGE + 1);
	vfake_tick(talk->kernel, UINT64_MAX);
	return at;
}

static void end_dirty(struct talk *talk, uint8_t *at)
{
	talk_leave(talk);
	vfake_munmap(talk->task, (uintptr_t)at, 64 * TALK_PAGE);
	talk_end(talk);
}

static const uint64_t written = (uint64_t)1 << (RING / 4096) | (uint64_t)3 << (DEST / 4096);

static void the_log_knows_what_was_written(void **state)
{
	uint64_t bits = 0, page_size = 5000;
	struct talk talk;
	uint8_t *at = begin_dirty(&talk, "migrate", true);

	(void)state;
	assert_int_equal(get_log(&talk, 0, 64 * TALK_PAGE, TALK_PAGE, 8, &bits), 0);
	assert_true(bits == written);
	assert_int_equal(get_log(&talk, 0, 64 * TALK_PAGE, TALK_PAGE, 8, &bits), 0);
	assert_int_equal(bits, 0);
	/* no room, no such pages, too much at once, not a start */
	assert_int_equal(get_log(&talk, 0, 64 * TALK_PAGE, TALK_PAGE, 7, &bits), -EINVAL);
	assert_int_equal(get_log(&talk, 0, 65 * TALK_PAGE, TALK_PAGE, 8, &bits), -EINVAL);
	assert_int_equal(get_log(&talk, 0, TALK_PAGE, 100, 8, &bits), -EINVAL);
	assert_int_equal(get_log(&talk, 0, TALK_PAGE, 3 * TALK_PAGE, 8, &bits), -EINVAL);
	assert_int_equal(get_log(&talk, 0, UINT64_MAX, TALK_PAGE, UINT32_MAX - 100, &bits),
			 -EINVAL);
	assert_int_equal(start_log(&talk, &page_size, 0, 0, 0), -EINVAL);
	assert_int_equal(stop_log(&talk), 0);
	assert_int_equal(get_log(&talk, 0, TALK_PAGE, TALK_PAGE, 8, &bits), -EINVAL);
	/* all there is, in pages that become smaller */
	page_size = 1 << 23;
	assert_int_equal(start_log(&talk, &page_size, 0, 0, 0), 0);
	assert_int_equal(page_size, VFAKE_LOG_PAGE_MAX);
	assert_int_equal(stop_log(&talk), 0);
	/* only a range */
	page_size = TALK_PAGE;
	assert_int_equal(start_log(&talk, &page_size, 1, DEST, TALK_PAGE), 0);
	talk_copy(&talk, at + RING, RING, SOURCE, DEST, 2 * TALK_PAGE);
	vfake_tick(talk.kernel, UINT64_MAX);
	assert_int_equal(get_log(&talk, DEST, TALK_PAGE, TALK_PAGE, 8, &bits), 0);
	assert_int_equal(bits, 1);
	end_dirty(&talk, at);
}

static void bad_logs_are_refused(void **state)
{
	struct vfio_user_dma_logging_control control = { .page_size = TALK_PAGE, .num_ranges = 2 };
	const uint32_t start = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START;
	const uint32_t report = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;
	struct message message = { 0 };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "migrate", NULL);
	memcpy(message.data, &control, sizeof(control));
	assert_int_equal(feature(&talk, &message, start, 4096, 15), -EINVAL);
	assert_int_equal(feature(&talk, &message, start, 4096, 16 + 31), -EINVAL);
	control.num_ranges = 257;
	memcpy(message.data, &control, sizeof(control));
	assert_int_equal(feature(&talk, &message, start, 4096, 4000), -E2BIG);
	assert_int_equal(feature(&talk, &message,
				 VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
				 4096, 4000),
			 -EINVAL);
	assert_int_equal(feature(&talk, &message, report, 4096, 23), -EINVAL);
	assert_int_equal(feature(&talk, &message,
				 VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
				 4096, 24),
			 -EINVAL);
	assert_int_equal(feature(&talk, &message,
				 VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
				 4096, 0),
			 -EINVAL);
	/* without room for the reply nothing starts */
	control.num_ranges = 0;
	memcpy(message.data, &control, sizeof(control));
	assert_int_equal(feature(&talk, &message, start, HEAD, 16), -EINVAL);
	{
		uint64_t page_size = TALK_PAGE;

		assert_int_equal(start_log(&talk, &page_size, 0, 0, 0), 0);
	}
	talk_end(&talk);
}

/* ---- unmapping with the bits ---- */

struct unmap {
	struct vfio_user_dma_unmap head;
	struct {
		uint64_t pgsize;
		uint64_t size;
	} bitmap; /* struct vfio_user_bitmap, whose bits follow */
	uint64_t bits[2];
};

static int unmap_dirty(struct talk *talk, struct unmap *unmap, uint32_t argsz, uint64_t pgsize,
		       uint64_t bytes, uint32_t len)
{
	int ret;

	*unmap = (struct unmap){ .head = { .argsz = argsz,
					   .flags = VFIO_USER_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
					   .size = 64 * TALK_PAGE },
				 .bitmap = { .pgsize = pgsize, .size = bytes } };
	ret = talk_call(talk, VFIO_USER_DMA_UNMAP, unmap, len);
	if (!ret) {
		assert_int_equal(talk->len, sizeof(unmap->head) + sizeof(unmap->bitmap) + bytes);
		memcpy(unmap, talk->payload, talk->len);
	}
	return ret;
}

static void a_map_that_goes_tells_what_was_written(void **state)
{
	const uint32_t head = sizeof(struct vfio_user_dma_unmap) + sizeof(struct vfio_user_bitmap);
	struct unmap unmap;
	struct talk talk;
	uint8_t *at = begin_dirty(&talk, "migrate", true);

	(void)state;
	assert_int_equal(unmap_dirty(&talk, &unmap, head + 8, TALK_PAGE, 8, head - 1), -EINVAL);
	assert_int_equal(unmap_dirty(&talk, &unmap, head + 7, TALK_PAGE, 8, head), -EINVAL);
	assert_int_equal(unmap_dirty(&talk, &unmap, head + 8, 100, 8, head), -EINVAL);
	assert_int_equal(unmap_dirty(&talk, &unmap, head + 8, TALK_PAGE, 0, head), -EINVAL);
	assert_int_equal(unmap_dirty(&talk, &unmap, head + 12, TALK_PAGE, 12, head), -EINVAL);
	assert_int_equal(unmap_dirty(&talk, &unmap, UINT32_MAX, TALK_PAGE, 1 << 21, head), -EINVAL);
	assert_int_equal(vfake_peer_counts(talk.peer).maps, 1);
	assert_int_equal(unmap_dirty(&talk, &unmap, head + 16, TALK_PAGE, 16, head), 0);
	assert_true(unmap.bits[0] == written);
	assert_int_equal(unmap.bits[1], 0);
	assert_int_equal(unmap.head.size, 64 * TALK_PAGE);
	assert_int_equal(unmap.bitmap.size, 16);
	assert_int_equal(vfake_peer_counts(talk.peer).maps, 0);
	end_dirty(&talk, at);
	/* without a log nobody knows, and the map stays */
	at = begin_dirty(&talk, "migrate", false);
	assert_int_equal(unmap_dirty(&talk, &unmap, head + 8, TALK_PAGE, 8, head), -EINVAL);
	assert_int_equal(vfake_peer_counts(talk.peer).maps, 1);
	end_dirty(&talk, at);
	at = begin_dirty(&talk, "copy", false);
	assert_int_equal(unmap_dirty(&talk, &unmap, head + 8, TALK_PAGE, 8, head), -ENOTTY);
	end_dirty(&talk, at);
}

/* ---- migration ---- */

/* Up to @size bytes of the stream; how many there were. */
static int mig_read(struct talk *talk, uint8_t *to, uint32_t size)
{
	struct vfio_user_mig_data arg = { .argsz = (uint32_t)sizeof(arg) + size, .size = size };
	int ret = talk_call(talk, VFIO_USER_MIG_DATA_READ, &arg, sizeof(arg));

	if (ret)
		return ret;
	memcpy(&arg, talk->payload, sizeof(arg));
	assert_int_equal(talk->len, sizeof(arg) + arg.size);
	assert_int_equal(arg.argsz, talk->len);
	assert_true(arg.size <= size);
	memcpy(to, (uint8_t *)talk->payload + sizeof(arg), arg.size);
	return (int)arg.size;
}

static int mig_write(struct talk *talk, const uint8_t *from, uint32_t size)
{
	uint8_t payload[sizeof(struct vfio_user_mig_data) + 1000];
	struct vfio_user_mig_data arg = { .argsz = (uint32_t)sizeof(arg) + size, .size = size };
	int ret;

	memcpy(payload, &arg, sizeof(arg));
	memcpy(payload + sizeof(arg), from, size);
	ret = talk_call(talk, VFIO_USER_MIG_DATA_WRITE, payload, (uint32_t)sizeof(arg) + size);
	if (!ret)
		assert_int_equal(talk->len, 0);
	return ret;
}

static uint32_t save(struct talk *talk, uint8_t *to, uint32_t room)
{
	uint32_t len = 0;
	int got;

	assert_int_equal(set_state(talk, VFIO_DEVICE_STATE_STOP_COPY), 0);
	do {
		got = mig_read(talk, to + len, 1000);
		assert_true(got >= 0);
		len += (uint32_t)got;
		assert_true(len + 1000 <= room);
	} while (got == 1000);
	assert_int_equal(mig_read(talk, to + len, 1000), 0);
	return len;
}

static void a_device_moves_to_another_peer(void **state)
{
	static uint8_t stream[64 * 1024];
	struct talk from, to;
	uint32_t len;

	(void)state;
	talk_begin(&from, "migrate", NULL);
	talk_write_reg(&from, VFAKE_COPY_SCRATCH, 0x1234567890abcdef, 8);
	assert_int_equal(get_state(&from), VFIO_DEVICE_STATE_RUNNING);
	/* pre-copy ends where there is nothing more at the moment */
	assert_int_equal(set_state(&from, VFIO_DEVICE_STATE_PRE_COPY), 0);
	assert_int_equal(mig_read(&from, stream, 65000), VFAKE_MIG_RECORD_BYTES);
	assert_int_equal(mig_read(&from, stream, 65000), 0);
	assert_int_equal(get_state(&from), VFIO_DEVICE_STATE_PRE_COPY);
	len = save(&from, stream, sizeof(stream));
	assert_int_equal(len, VFAKE_MIG_RECORD_BYTES);
	assert_int_equal(set_state(&from, VFIO_DEVICE_STATE_STOP), 0);
	assert_int_equal(mig_read(&from, stream + len, 1000), -EINVAL);

	talk_begin(&to, "migrate", NULL);
	assert_int_equal(mig_write(&to, stream, 1000), -EINVAL);
	assert_int_equal(set_state(&to, VFIO_DEVICE_STATE_RESUMING), 0);
	assert_true(mig_read(&to, stream + len, 1000) < 0);
	for (uint32_t at = 0; at < len; at += 1000)
		assert_int_equal(mig_write(&to, stream + at, len - at < 1000 ? len - at : 1000), 0);
	assert_int_equal(set_state(&to, VFIO_DEVICE_STATE_RUNNING), 0);
	assert_true(talk_read_reg(&to, VFAKE_COPY_SCRATCH, 8) == 0x1234567890abcdef);
	talk_end(&from);
	talk_end(&to);
}

static void a_bad_stream_fails_the_change_of_state(void **state)
{
	static uint8_t stream[64 * 1024];
	struct vfio_user_mig_data arg = { .argsz = sizeof(arg), .size = 8 };
	struct message message = { 0 };
	struct talk talk;
	uint32_t len;

	(void)state;
	talk_begin(&talk, "migrate", NULL);
	len = save(&talk, stream, sizeof(stream));
	/* room for less than is asked for, more than goes at once */
	assert_int_equal(talk_call(&talk, VFIO_USER_MIG_DATA_READ, &arg, sizeof(arg)), -EINVAL);
	arg = (struct vfio_user_mig_data){ .argsz = UINT32_MAX, .size = (1 << 20) + 1 };
	assert_int_equal(talk_call(&talk, VFIO_USER_MIG_DATA_READ, &arg, sizeof(arg)), -EINVAL);
	assert_int_equal(set_state(&talk, VFIO_DEVICE_STATE_RESUMING), 0);
	assert_int_equal(mig_write(&talk, stream, 500), 0);
	/* the kernel's no is the peer's */
	memset(stream, 0xff, sizeof(stream));
	for (uint32_t at = 500; at < len; at += 500)
		mig_write(&talk, stream, 500);
	arg = (struct vfio_user_mig_data){ .argsz = sizeof(arg), .size = 8 };
	assert_int_equal(talk_call(&talk, VFIO_USER_MIG_DATA_WRITE, &arg, sizeof(arg)), -EINVAL);
	assert_true(set_state(&talk, VFIO_DEVICE_STATE_STOP) < 0);
	assert_true(len > 500);
	assert_true(mig_write(&talk, stream, 500) < 0);
	assert_true(set_state(&talk, 99) < 0);
	/* a state that is cut off */
	assert_int_equal(feature(&talk, &message,
				 VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
				 4096, 7),
			 -EINVAL);
	assert_int_equal(feature(&talk, &message,
				 VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
				 HEAD + 7, 8),
			 -EINVAL);
	/* a reset heals all */
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	assert_int_equal(get_state(&talk), VFIO_DEVICE_STATE_RUNNING);
	talk_end(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features_are_the_devices),
		cmocka_unit_test(the_log_knows_what_was_written),
		cmocka_unit_test(bad_logs_are_refused),
		cmocka_unit_test(a_map_that_goes_tells_what_was_written),
		cmocka_unit_test(a_device_moves_to_another_peer),
		cmocka_unit_test(a_bad_stream_fails_the_change_of_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
