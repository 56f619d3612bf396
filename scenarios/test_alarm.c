/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The alarm clock, and what the vfio-user peer does for clients of libvfio-user: the whole way of
 * that library's sample client, without it.
 */
#include "peer_talk.h"

enum { HEAD = sizeof(struct vfio_device_feature), STATE_BYTES = VFAKE_ALARM_MIG_BYTES + 8 };

static const struct vfake_peer_attr sample = { .sparse_mmap = true,
					       .padded_mig_data = true,
					       .far_below = TALK_PAGE };

static void set_time(struct talk *talk, uint64_t time)
{
	uint8_t bytes[8];

	talk_put(bytes, time, 8);
	assert_int_equal(talk_region(talk, true, VFAKE_ALARM_BAR_TIME, 0, bytes, 8), 0);
}

static uint64_t since(struct talk *talk)
{
	return talk_read_reg(talk, 0, 8);
}

static int set_state(struct talk *talk, uint32_t to)
{
	struct {
		uint32_t argsz;
		uint32_t flags;
		struct vfio_device_feature_mig_state state;
	} message = { .argsz = sizeof(message),
		      .flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
		      .state = { .device_state = to, .data_fd = -1 } };

	return talk_call(talk, VFIO_USER_DEVICE_FEATURE, &message, sizeof(message));
}

static uint64_t get_number(struct talk *talk, uint32_t feature)
{
	const uint32_t message[2] = { HEAD + 8, VFIO_DEVICE_FEATURE_GET | feature };

	assert_int_equal(talk_call(talk, VFIO_USER_DEVICE_FEATURE, message, sizeof(message)), 0);
	assert_int_equal(talk->len, HEAD + 8);
	return talk->payload[1];
}

static int mig_read(struct talk *talk, uint8_t *to, uint32_t size)
{
	struct vfio_user_mig_data arg = { .argsz = (uint32_t)sizeof(arg) + size, .size = size };
	int ret = talk_call(talk, VFIO_USER_MIG_DATA_READ, &arg, sizeof(arg));

	if (ret)
		return ret;
	memcpy(&arg, talk->payload, sizeof(arg));
	memcpy(to, (uint8_t *)talk->payload + sizeof(arg), arg.size);
	return (int)arg.size;
}

static int mig_write(struct talk *talk, const uint8_t *from, uint32_t size)
{
	static uint8_t payload[sizeof(struct vfio_user_mig_data) + STATE_BYTES + 1];
	struct vfio_user_mig_data arg = { .argsz = (uint32_t)sizeof(arg) + size, .size = size };

	memcpy(payload, &arg, sizeof(arg));
	memcpy(payload + sizeof(arg), from, size);
	return talk_call(talk, VFIO_USER_MIG_DATA_WRITE, payload, (uint32_t)sizeof(arg) + size);
}

/* ---- the clock ---- */

static void the_time_passes(void **state)
{
	uint8_t half[4] = { 2 };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "alarm", NULL);
	vfake_set_clock(talk.kernel, 1000);
	assert_int_equal(since(&talk), 1000);
	set_time(&talk, 900);
	assert_int_equal(since(&talk), 100);
	assert_int_equal(talk_read_reg(&talk, 0, 4), 100);
	/* half of it is not set yet */
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	assert_int_equal(talk_region(&talk, true, VFAKE_ALARM_BAR_TIME, 0, half, 4), 0);
	assert_int_equal(since(&talk), 998);
	assert_int_equal(vfake_tick(talk.kernel, UINT64_MAX), 0);
	half[0] = 0;
	assert_int_equal(talk_region(&talk, true, VFAKE_ALARM_BAR_TIME, 4, half, 4), 0);
	assert_true(vfake_tick(talk.kernel, UINT64_MAX) > 0);
	assert_int_equal(vfake_tick(talk.kernel, UINT64_MAX), 0);
	talk_end(&talk);
}

static uint64_t take(struct talk *talk, int fd)
{
	uint64_t count = 0;

	vfake_read(talk->task, fd, (uintptr_t)&count, sizeof(count));
	return count;
}

/* Answers the DMA messages that come, on @memory at IOVA 0. How many there were. */
static uint32_t answer_all(struct talk *talk, uint8_t *memory)
{
	uint32_t count = 0;

	while (vfake_tick(talk->kernel, UINT64_MAX) + 1 && vfake_poll(talk->task, talk->fd, 10)) {
		struct vfio_user_header header;
		struct vfio_user_dma_access access;
		uint8_t reply[sizeof(access) + 1024];
		uint32_t len = sizeof(access);

		assert_true(talk_recv(talk));
		header = talk->header;
		memcpy(&access, talk->payload, sizeof(access));
		assert_int_equal(access.count, 1024);
		memcpy(reply, &access, sizeof(access));
		if (header.cmd == VFIO_USER_DMA_WRITE) {
			memcpy(memory + access.addr, talk->payload + 2, 1024);
		} else {
			memcpy(reply + len, memory + access.addr, 1024);
			len += 1024;
		}
		header.flags = VFIO_USER_F_TYPE_REPLY;
		header.msg_size = (uint32_t)sizeof(header) + len;
		talk_send_message(talk, &header, reply, len, NULL, 0);
		while (vfake_peer_turn(talk->peer))
			;
		count++;
	}
	return count;
}

static void the_alarm_is_followed_by_dma(void **state)
{
	static uint8_t first[TALK_PAGE];
	struct vfio_irq_set set = { .argsz = sizeof(set),
				    .flags =
					    VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				    .count = 1 };
	struct vfake_device_faults faults;
	struct talk talk;
	vfake_addr addr;
	const uint8_t *second;
	int event, memory;

	(void)state;
	memset(first, 0, sizeof(first));
	talk_begin(&talk, "alarm", &sample);
	event = vfake_eventfd(talk.task);
	memory = vfake_memfd(talk.task, 2 * TALK_PAGE);
	assert_int_equal(vfake_mmap(talk.task, 2 * TALK_PAGE, 3, memory, 0, &addr), 0);
	second = (const uint8_t *)(uintptr_t)addr + TALK_PAGE;
	/* the first page is below the bound, and its descriptor is not used */
	assert_int_equal(talk_map(&talk, 0, TALK_PAGE, TALK_RW, memory, 0), 0);
	assert_int_equal(talk_map(&talk, TALK_PAGE, TALK_PAGE, TALK_RW, memory, TALK_PAGE), 0);
	assert_int_equal(
		talk_call_fds(&talk, VFIO_USER_DEVICE_SET_IRQS, &set, sizeof(set), &event, 1), 0);
	vfake_set_clock(talk.kernel, 99);
	set_time(&talk, 100);
	assert_int_equal(answer_all(&talk, first), 0);
	assert_int_equal(take(&talk, event), 0);
	vfake_set_clock(talk.kernel, 100);
	assert_int_equal(answer_all(&talk, first), 8);
	assert_int_equal(take(&talk, event), 1);
	for (uint32_t i = 0; i < TALK_PAGE; i++) {
		assert_int_equal(first[i], 'A' + i / 1024);
		assert_int_equal(second[i], 'A' + i / 1024);
	}
	assert_int_equal(vfake_device_faults(talk.kernel, "d0", &faults), 0);
	assert_int_equal(faults.count, 0);
	/* where there is no memory it faults, and goes on */
	assert_int_equal(talk_unmap(&talk, 0, 0, VFIO_USER_DMA_UNMAP_FLAG_ALL), 0);
	set_time(&talk, 100);
	assert_int_equal(answer_all(&talk, first), 0);
	assert_int_equal(vfake_device_faults(talk.kernel, "d0", &faults), 0);
	assert_int_equal(faults.count, 16);
	assert_false(faults.last_write);
	talk_leave(&talk);
	vfake_munmap(talk.task, addr, 2 * TALK_PAGE);
	vfake_close(talk.task, memory);
	vfake_close(talk.task, event);
	talk_end(&talk);
}

static void the_log_has_what_it_wrote(void **state)
{
	struct {
		uint32_t argsz, flags;
		uint64_t data[4];
	} message = { .argsz = sizeof(message),
		      .flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
		      .data = { TALK_PAGE } };
	struct talk talk;
	int memory;

	(void)state;
	talk_begin(&talk, "alarm", NULL);
	memory = vfake_memfd(talk.task, 16 * TALK_PAGE);
	assert_int_equal(talk_map(&talk, 8 * TALK_PAGE, 8 * TALK_PAGE, TALK_RW, memory, 0), 0);
	vfake_close(talk.task, memory);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_FEATURE, &message, HEAD + 16), 0);
	set_time(&talk, 0);
	assert_true(vfake_tick(talk.kernel, UINT64_MAX) > 0);
	message.flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;
	message.data[0] = 0;
	message.data[1] = 16 * TALK_PAGE;
	message.data[2] = TALK_PAGE;
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_FEATURE, &message, HEAD + 24), 0);
	assert_int_equal(talk.payload[4], 3 << 8);
	message.flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP;
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_FEATURE, &message, HEAD), 0);
	talk_end(&talk);
}

/* ---- what the peer says ---- */

static void a_region_says_that_it_can_be_mapped(void **state)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFAKE_ALARM_BAR_MEMORY };
	struct vfio_region_info_cap_sparse_mmap cap;
	struct vfio_region_sparse_mmap_area area;
	struct talk talk;

	(void)state;
	talk_begin(&talk, "alarm", &sample);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_GET_REGION_INFO, &info, sizeof(info)),
			 0);
	assert_int_equal(talk.fd_count, 0);
	memcpy(&info, talk.payload, sizeof(info));
	assert_int_equal(info.argsz, sizeof(info) + sizeof(cap) + sizeof(area));
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_GET_REGION_INFO, &info, sizeof(info)),
			 0);
	assert_int_equal(talk.fd_count, 1);
	memcpy(&info, talk.payload, sizeof(info));
	assert_true(info.flags & VFIO_REGION_INFO_FLAG_CAPS);
	memcpy(&cap, (uint8_t *)talk.payload + info.cap_offset, sizeof(cap));
	memcpy(&area, (uint8_t *)talk.payload + info.cap_offset + sizeof(cap), sizeof(area));
	assert_int_equal(cap.header.id, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
	assert_int_equal(cap.nr_areas, 1);
	assert_int_equal(area.offset, 0);
	assert_int_equal(area.size, 16 << 10);
	/* one that cannot be mapped has none */
	info = (struct vfio_region_info){ .argsz = 4096, .index = VFAKE_ALARM_BAR_TIME };
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_GET_REGION_INFO, &info, sizeof(info)),
			 0);
	assert_int_equal(talk.len, sizeof(info));
	talk_end(&talk);
}

/* ---- migration ---- */

static uint32_t save(struct talk *talk, uint8_t *stream)
{
	uint32_t len = 0;
	int got;

	while ((got = mig_read(talk, stream + len, 1024)) > 0) {
		len += (uint32_t)got;
		assert_int_equal(talk->len, sizeof(struct vfio_user_mig_data) + 1024);
	}
	assert_int_equal(got, 0);
	return len;
}

static void it_moves_with_its_time(void **state)
{
	static uint8_t stream[STATE_BYTES + 1024], memory[VFAKE_ALARM_MIG_BYTES];
	struct talk from, to;

	(void)state;
	for (uint32_t i = 0; i < sizeof(memory); i++)
		memory[i] = (uint8_t)(i * 13 + i / 256);
	talk_begin(&from, "alarm", &sample);
	assert_int_equal(get_number(&from, VFIO_DEVICE_FEATURE_MIGRATION),
			 VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY);
	assert_int_equal(get_number(&from, VFIO_DEVICE_FEATURE_MIG_DATA_SIZE), STATE_BYTES);
	assert_int_equal(
		talk_region(&from, true, VFAKE_ALARM_BAR_MEMORY, 0, memory, sizeof(memory)), 0);
	set_time(&from, 500);
	assert_int_equal(set_state(&from, VFIO_DEVICE_STATE_PRE_COPY), 0);
	assert_int_equal(save(&from, stream), VFAKE_ALARM_MIG_BYTES);
	assert_int_equal(set_state(&from, VFIO_DEVICE_STATE_STOP_COPY), 0);
	assert_int_equal(save(&from, stream), STATE_BYTES);
	assert_memory_equal(stream, memory, sizeof(memory));
	/* it does not ring any more */
	vfake_set_clock(from.kernel, 1000);
	assert_int_equal(vfake_tick(from.kernel, 1), 0);
	assert_int_equal(set_state(&from, VFIO_DEVICE_STATE_STOP), 0);
	talk_begin(&to, "alarm", &sample);
	assert_int_equal(set_state(&to, VFIO_DEVICE_STATE_RESUMING), 0);
	assert_int_equal(mig_write(&to, stream, 5000), 0);
	assert_int_equal(mig_write(&to, stream + 5000, STATE_BYTES - 5000), 0);
	assert_true(mig_write(&to, stream, 1) < 0);
	assert_int_equal(set_state(&to, VFIO_DEVICE_STATE_RUNNING), 0);
	assert_int_equal(talk_region(&to, false, VFAKE_ALARM_BAR_MEMORY, 0, memory, sizeof(memory)),
			 0);
	assert_memory_equal(stream, memory, sizeof(memory));
	assert_int_equal(vfake_tick(to.kernel, 1), 0);
	vfake_set_clock(to.kernel, 500);
	assert_int_equal(since(&to), 0);
	assert_int_equal(vfake_tick(to.kernel, 1), 1);
	talk_end(&from);
	talk_end(&to);
}

static void half_a_state_is_none(void **state)
{
	static uint8_t stream[STATE_BYTES];
	const uint32_t bad[2] = { 4096, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
						VFIO_DEVICE_FEATURE_MIGRATION };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "alarm", NULL);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_FEATURE, bad, sizeof(bad)), -EINVAL);
	/* nothing changes nothing */
	assert_int_equal(set_state(&talk, VFIO_DEVICE_STATE_RESUMING), 0);
	assert_int_equal(set_state(&talk, VFIO_DEVICE_STATE_STOP), 0);
	assert_int_equal(set_state(&talk, VFIO_DEVICE_STATE_RESUMING), 0);
	assert_int_equal(mig_write(&talk, stream, 100), 0);
	assert_int_equal(set_state(&talk, VFIO_DEVICE_STATE_STOP), -EINVAL);
	get_number(&talk, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE);
	assert_int_equal(((uint32_t *)talk.payload)[2], VFIO_DEVICE_STATE_ERROR);
	assert_int_equal(set_state(&talk, VFIO_DEVICE_STATE_RUNNING), -EINVAL);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	assert_int_equal(set_state(&talk, VFIO_DEVICE_STATE_STOP_COPY), 0);
	/* the client goes in the middle */
	talk_end(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_time_passes),
		cmocka_unit_test(the_alarm_is_followed_by_dma),
		cmocka_unit_test(the_log_has_what_it_wrote),
		cmocka_unit_test(a_region_says_that_it_can_be_mapped),
		cmocka_unit_test(it_moves_with_its_time),
		cmocka_unit_test(half_a_state_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
