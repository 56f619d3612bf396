/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vfio-user peer as a well-behaved client meets it: every command does what it says, by the
 * device model behind it.
 */
#include "peer_talk.h"

static const char *json_of(struct talk *talk)
{
	return (const char *)talk->payload + sizeof(struct vfio_user_version);
}

/* ---- VERSION ---- */

static void version_answers_what_was_proposed(void **state)
{
	struct vfio_user_version version;
	struct talk talk;

	(void)state;
	talk_boot(&talk, "copy", NULL);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, 0, 0, TALK_JSON), 0);
	memcpy(&version, talk.payload, sizeof(version));
	assert_int_equal(version.major, 0);
	assert_int_equal(version.minor, 0);
	assert_string_equal(json_of(&talk),
			    "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576,"
			    "\"write_multiple\":true}}");
	assert_int_equal(talk.len, sizeof(version) + strlen(json_of(&talk)) + 1);
	/* a second time is none, and does no harm */
	assert_int_equal(talk_version(&talk, 0, 1, TALK_JSON), -EINVAL);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	talk_end(&talk);
}

static void version_needs_no_capabilities(void **state)
{
	struct talk talk;

	(void)state;
	talk_boot(&talk, "plain", NULL);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, 0, 9, NULL), 0);
	assert_int_equal(talk.len, sizeof(struct vfio_user_version));
	assert_int_equal(((struct vfio_user_version *)(void *)talk.payload)->minor, 1);
	talk_leave(&talk);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, 0, 1, "{}"), 0);
	assert_int_equal(talk.len, sizeof(struct vfio_user_version));
	talk_end(&talk);
}

static void version_tells_the_peers_limits(void **state)
{
	const struct vfake_peer_attr attr = { .max_msg_fds = 99,
					      .max_data_xfer_bytes = 8192,
					      .max_dma_maps = 3,
					      .no_write_multiple = true };
	struct talk talk;

	(void)state;
	talk_boot(&talk, "plain", &attr);
	talk_connect(&talk);
	assert_int_equal(
		talk_version(&talk, 0, 1,
			     " { \"x\" : [1, -2.5e+3, {\"y\":null}, \"\\u00e4\\n\", false] ,\n"
			     "\"capabilities\": { \"max_dma_maps\": 7, \"pgsizes\" : 4096,"
			     "\"max_data_xfer_size\": 18446744073709551615, \"other\": {},"
			     "\"max_msg_fds\":1,\"write_multiple\":true,"
			     "\"twin_socket\":{\"supported\":false, \"z\":[]} } } "),
		0);
	assert_string_equal(json_of(&talk),
			    "{\"capabilities\":{\"max_msg_fds\":32,\"max_data_xfer_size\":8192,"
			    "\"max_dma_maps\":3,\"pgsizes\":4096}}");
	talk_end(&talk);
}

static void a_second_stream_is_for_the_peers_commands(void **state)
{
	static const char json[] = "{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}";
	struct vfake_peer_attr attr = { 0 };
	struct vfio_user_header header = { .cmd = VFIO_USER_DEVICE_RESET,
					   .msg_size = sizeof(header) };
	struct talk talk;

	(void)state;
	talk_boot(&talk, "copy", &attr);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, 0, 1, json), 0);
	assert_string_equal(json_of(&talk),
			    "{\"capabilities\":{\"twin_socket\":{\"supported\":true,"
			    "\"fd_index\":0}}}");
	assert_int_equal(talk.fd_count, 1);
	/* a command there is none */
	assert_int_equal(vfake_sendmsg(talk.task, talk.fds[0], &header, sizeof(header), NULL, 0),
			 sizeof(header));
	assert_true(talk_hung_up(&talk));
	talk_end(&talk);
	attr.no_twin_socket = true;
	talk_boot(&talk, "copy", &attr);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, 0, 1, json), 0);
	assert_string_equal(json_of(&talk), "{\"capabilities\":{}}");
	assert_int_equal(talk.fd_count, 0);
	talk_end(&talk);
}

/* ---- information ---- */

static void information_is_the_devices(void **state)
{
	struct vfio_user_device_info info = { .argsz = sizeof(info) };
	struct vfio_irq_info irq = { .argsz = sizeof(irq), .index = VFIO_PCI_MSIX_IRQ_INDEX };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info)), 0);
	assert_int_equal(talk.len, sizeof(info));
	memcpy(&info, talk.payload, sizeof(info));
	assert_int_equal(info.argsz, sizeof(info));
	assert_int_equal(info.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	assert_int_equal(info.num_regions, VFIO_PCI_NUM_REGIONS);
	assert_int_equal(info.num_irqs, VFIO_PCI_NUM_IRQS);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq)), 0);
	memcpy(&irq, talk.payload, sizeof(irq));
	assert_int_equal(irq.count, VFAKE_COPY_VECTORS);
	assert_true(irq.flags & VFIO_IRQ_INFO_EVENTFD);
	irq.index = VFIO_PCI_REQ_IRQ_INDEX;
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq)), 0);
	/* one that this device does not have */
	irq.index = VFIO_PCI_ERR_IRQ_INDEX;
	talk_end(&talk);
	talk_begin(&talk, "edu", NULL);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq)), 0);
	memcpy(&irq, talk.payload, sizeof(irq));
	assert_int_equal(irq.count, 0);
	assert_int_equal(irq.index, VFIO_PCI_ERR_IRQ_INDEX);
	talk_end(&talk);
}

/* The info of a region, with @room bytes for the answer. */
static struct vfio_region_info region_info(struct talk *talk, uint32_t index, uint32_t room)
{
	struct vfio_region_info info = { .argsz = room, .index = index };

	assert_int_equal(talk_call(talk, VFIO_USER_DEVICE_GET_REGION_INFO, &info, sizeof(info)), 0);
	assert_true(talk->len >= sizeof(info));
	memcpy(&info, talk->payload, sizeof(info));
	assert_int_equal(info.index, index);
	return info;
}

static void regions_are_the_devices(void **state)
{
	struct vfio_region_info info;
	struct vfio_info_cap_header cap;
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	info = region_info(&talk, VFAKE_COPY_BAR_REGS, sizeof(info));
	assert_int_equal(info.argsz, sizeof(info));
	assert_int_equal(info.size, VFAKE_COPY_BAR_BYTES);
	assert_int_equal(info.flags, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE);
	assert_int_equal(info.offset, 0);
	assert_int_equal(talk.fd_count, 0);
	/* one that there is not */
	info = region_info(&talk, VFIO_PCI_VGA_REGION_INDEX, sizeof(info));
	assert_int_equal(info.size, 0);
	assert_int_equal(info.flags, 0);
	talk_end(&talk);

	talk_begin(&talk, "e1000e", NULL);
	/* capabilities that have no room are announced, and then come */
	info = region_info(&talk, 3, sizeof(info));
	assert_true(info.argsz > sizeof(info));
	assert_int_equal(talk.len, sizeof(info));
	assert_int_equal(talk.fd_count, 0);
	assert_int_equal(info.cap_offset, 0);
	assert_true(info.flags & VFIO_REGION_INFO_FLAG_CAPS);
	info = region_info(&talk, 3, info.argsz);
	assert_int_equal(info.argsz, talk.len);
	assert_int_equal(info.cap_offset, sizeof(info));
	memcpy(&cap, (uint8_t *)talk.payload + info.cap_offset, sizeof(cap));
	assert_int_equal(cap.id, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE);
	assert_int_equal(cap.next, 0);
	talk_end(&talk);
}

static void plain_memory_can_be_mapped(void **state)
{
	const struct vfake_task_attr stranger = { .memlock_bytes = UINT64_MAX };
	struct vfio_region_info info;
	struct vfake_task *task;
	struct talk talk;
	uint8_t bytes[4] = { 1, 2, 3, 4 };
	vfake_addr at;
	int fd;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	for (int again = 0; again < 2; again++) {
		info = region_info(&talk, VFAKE_COPY_BAR_MEMORY, sizeof(info));
		assert_true(info.flags & VFIO_REGION_INFO_FLAG_MMAP);
		assert_int_equal(info.offset, 0);
		assert_int_equal(talk.fd_count, 1);
	}
	/* it is the memory and not the device */
	assert_int_equal(vfake_ioctl(talk.task, talk.fds[0], VFIO_DEVICE_RESET, 0), -ENOTTY);
	task = vfake_task_new(talk.kernel, &stranger);
	fd = vfake_pass_fd(talk.task, talk.fds[0], task);
	assert_int_equal(vfake_mmap(task, TALK_PAGE, 3, fd, info.offset, &at), 0);
	assert_int_equal(vfake_mmap(task, 2 * TALK_PAGE, 3, fd, info.offset, &at), -EINVAL);
	assert_int_equal(talk_region(&talk, true, VFAKE_COPY_BAR_MEMORY, 8, bytes, 4), 0);
	assert_int_equal(vfake_peek(task, at + 10, bytes, 1), 0);
	assert_int_equal(bytes[0], 3);
	assert_int_equal(vfake_poke(task, at + 8, "\x9", 1), 0);
	assert_int_equal(talk_region(&talk, false, VFAKE_COPY_BAR_MEMORY, 8, bytes, 4), 0);
	assert_int_equal(bytes[0], 9);
	vfake_task_exit(task);
	talk_end(&talk);
}

static void there_are_no_io_descriptors(void **state)
{
	struct vfio_user_region_io_fds arg = { .argsz = sizeof(arg), .index = 1 };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &arg, sizeof(arg)),
			 0);
	assert_int_equal(talk.len, sizeof(arg));
	assert_memory_equal(talk.payload, &arg, sizeof(arg));
	talk_end(&talk);
}

/* Two doorbells, and a byte of the memory beside them. */
static const struct vfake_peer_attr with_io = {
	.io_count = 3,
	.io = { { VFAKE_COPY_BAR_REGS, 4, VFAKE_COPY_DOORBELL, 1 },
		{ VFAKE_COPY_BAR_MEMORY, 1, 9, 0x5a },
		{ VFAKE_COPY_BAR_REGS, 4, VFAKE_COPY_DOORBELL, 3 } },
};

static uint32_t ask_io(struct talk *talk, uint32_t index, uint32_t room)
{
	struct vfio_user_region_io_fds arg = { .argsz = room, .index = index };

	assert_int_equal(talk_call(talk, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &arg, sizeof(arg)), 0);
	memcpy(&arg, talk->payload, sizeof(arg));
	assert_int_equal(arg.index, index);
	assert_int_equal(arg.flags, 0);
	assert_int_equal(arg.argsz, sizeof(arg) + arg.count * sizeof(struct vfio_user_io_fd));
	return arg.count;
}

static void signal_io(struct talk *talk, uint32_t which)
{
	const uint64_t one = 1;

	assert_int_equal(vfake_write(talk->task, talk->fds[which], (uint64_t)(uintptr_t)&one, 8),
			 8);
}

static void writes_go_by_eventfds(void **state)
{
	const struct vfio_user_io_fd *entries;
	struct talk talk;
	uint8_t byte = 0;

	(void)state;
	talk_begin(&talk, "copy", &with_io);
	talk_enable(&talk);
	talk_write_reg(&talk, VFAKE_COPY_RING_SIZE, 8, 4);
	/* no room: how many there are, and nothing else */
	assert_int_equal(ask_io(&talk, VFAKE_COPY_BAR_REGS, 16 + 2 * sizeof(*entries) - 1), 2);
	assert_int_equal(talk.len, 16);
	assert_int_equal(talk.fd_count, 0);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(ask_io(&talk, VFAKE_COPY_BAR_REGS, 16 + 2 * sizeof(*entries)), 2);
		assert_int_equal(talk.len, 16 + 2 * sizeof(*entries));
		assert_int_equal(talk.fd_count, 2);
		entries = (const struct vfio_user_io_fd *)(talk.payload + 2);
		for (uint32_t i = 0; i < 2; i++) {
			const struct vfio_user_io_fd want = {
				.offset = VFAKE_COPY_DOORBELL,
				.size = 4,
				.fd_index = i,
				.type = VFIO_USER_IO_FD_TYPE_IOEVENTFD,
				.flags = VFIO_USER_IO_FD_DATAMATCH,
				.datamatch = 1 + 2 * i,
			};

			assert_memory_equal(&entries[i], &want, sizeof(want));
		}
		signal_io(&talk, again ? 0 : 1);
		assert_int_equal(talk_read_reg(&talk, VFAKE_COPY_PRODUCER, 4), again ? 1 : 3);
	}
	assert_int_equal(ask_io(&talk, VFAKE_COPY_BAR_MEMORY, 4096), 1);
	signal_io(&talk, 0);
	assert_int_equal(talk_region(&talk, false, VFAKE_COPY_BAR_MEMORY, 9, &byte, 1), 0);
	assert_int_equal(byte, 0x5a);
	assert_int_equal(ask_io(&talk, VFIO_PCI_CONFIG_REGION_INDEX, 4096), 0);
	talk_end(&talk);
}

/* Who takes one descriptor in a message learns of one. */
static void eventfds_fit_into_a_message(void **state)
{
	struct talk talk;

	(void)state;
	talk_boot(&talk, "copy", &with_io);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, VFIO_USER_MAJOR, VFIO_USER_MINOR, NULL), 0);
	assert_int_equal(ask_io(&talk, VFAKE_COPY_BAR_REGS, 4096), 1);
	assert_int_equal(talk.fd_count, 1);
	talk_end(&talk);
}

static void writes_that_cannot_go_by_eventfds(void **state)
{
	static const struct vfake_peer_io bad[] = {
		{ VFAKE_COPY_BAR_REGS, 3, 0, 0 },
		{ VFAKE_COPY_BAR_REGS, 8, 0, 0 },
		{ VFAKE_COPY_BAR_REGS, 4, VFAKE_COPY_BAR_BYTES - 3, 0 },
		{ VFAKE_COPY_BAR_REGS, 4, UINT64_MAX, 0 },
		{ VFAKE_COPY_BAR_MSIX, 4, 0, 0 },
		{ VFIO_PCI_CONFIG_REGION_INDEX, 2, 4, 6 },
		{ 99, 4, 0, 0 },
	};
	struct talk talk;
	const char *error;

	(void)state;
	talk_boot(&talk, "copy", NULL);
	vfake_peer_free(talk.peer);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vfake_peer_attr attr = { .device = "d0", .io_count = 1, .io = { bad[i] } };

		assert_null(vfake_peer_new(talk.kernel, &attr, &error));
		assert_string_equal(error,
				    "an io event is for a write that the device cannot take so");
	}
	talk.peer =
		vfake_peer_new(talk.kernel, &(struct vfake_peer_attr){ .device = "d0" }, &error);
	assert_non_null(talk.peer);
	talk_end(&talk);
}

/* ---- regions ---- */

static void regions_are_read_and_written(void **state)
{
	struct talk talk;
	static uint8_t all[TALK_PAGE];
	uint8_t id[4];

	(void)state;
	talk_begin(&talk, "copy", NULL);
	assert_int_equal(talk_region(&talk, false, VFIO_PCI_CONFIG_REGION_INDEX, 0, id, 4), 0);
	assert_int_equal(id[0] | id[1] << 8, VFAKE_COPY_VENDOR);
	assert_int_equal(id[2] | id[3] << 8, VFAKE_COPY_DEVICE);
	/* all of configuration space and of a BAR, in one message */
	assert_int_equal(
		talk_region(&talk, false, VFIO_PCI_CONFIG_REGION_INDEX, 0, all, sizeof(all)), 0);
	assert_memory_equal(all, id, 4);
	assert_int_equal(talk_region(&talk, false, VFAKE_COPY_BAR_REGS, 0, all, sizeof(all)), 0);
	assert_int_equal(talk_region(&talk, false, VFAKE_COPY_BAR_REGS, 0, all, 0), 0);
	assert_int_equal(talk_read_reg(&talk, VFAKE_COPY_ID, 4), VFAKE_COPY_ID_VALUE);
	talk_write_reg(&talk, VFAKE_COPY_SCRATCH, 0x1122334455667788, 8);
	assert_true(talk_read_reg(&talk, VFAKE_COPY_SCRATCH, 8) == 0x1122334455667788);
	/* the device keeps its state when the client goes, and loses it by a reset */
	talk_leave(&talk);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, 0, 1, TALK_JSON), 0);
	assert_true(talk_read_reg(&talk, VFAKE_COPY_SCRATCH, 8) == 0x1122334455667788);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	assert_int_equal(talk.len, 0);
	assert_int_equal(talk_read_reg(&talk, VFAKE_COPY_SCRATCH, 8), 0);
	assert_int_equal(vfake_peer_counts(talk.peer).clients, 2);
	talk_end(&talk);
}

struct multi {
	struct vfio_user_write_multi head;
	struct vfio_user_write_one writes[VFIO_USER_MAX_WRITES];
};

static uint64_t write_multi(struct talk *talk, struct multi *multi, uint64_t count)
{
	uint64_t done = UINT64_MAX;

	multi->head.wr_cnt = count;
	assert_int_equal(
		talk_call(talk, VFIO_USER_REGION_WRITE_MULTI, multi,
			  (uint32_t)(sizeof(multi->head) + count * sizeof(multi->writes[0]))),
		0);
	assert_int_equal(talk->len, sizeof(done));
	memcpy(&done, talk->payload, sizeof(done));
	return done;
}

static void many_writes_go_in_one_message(void **state)
{
	struct multi multi = { 0 };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	for (uint32_t i = 0; i < VFIO_USER_MAX_WRITES; i++) {
		multi.writes[i] = (struct vfio_user_write_one){ .offset = VFAKE_COPY_SCRATCH,
								.region = VFAKE_COPY_BAR_REGS,
								.count = 4,
								.data = { (uint8_t)i } };
	}
	multi.writes[1].count = 8;
	multi.writes[1].data[7] = 0x44;
	assert_int_equal(write_multi(&talk, &multi, 0), 0);
	assert_int_equal(write_multi(&talk, &multi, VFIO_USER_MAX_WRITES), VFIO_USER_MAX_WRITES);
	assert_true(talk_read_reg(&talk, VFAKE_COPY_SCRATCH, 8) ==
		    (0x4400000000000000 | (VFIO_USER_MAX_WRITES - 1)));
	/* up to the first that cannot be */
	multi.writes[5].count = 9;
	assert_int_equal(write_multi(&talk, &multi, 8), 5);
	assert_int_equal(talk_read_reg(&talk, VFAKE_COPY_SCRATCH, 4), 4);
	multi.writes[3].count = 0;
	assert_int_equal(write_multi(&talk, &multi, 8), 3);
	multi.writes[2].region = 77;
	assert_int_equal(write_multi(&talk, &multi, 8), 2);
	multi.writes[0].offset = VFAKE_COPY_BAR_BYTES - 3;
	assert_int_equal(write_multi(&talk, &multi, 8), 0);
	talk_end(&talk);
}

static void a_command_without_reply_is_obeyed(void **state)
{
	struct vfio_user_region_access access = { .offset = VFAKE_COPY_SCRATCH, .count = 4 };
	uint8_t write[sizeof(access) + 4] = { [sizeof(access)] = 7 };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	memcpy(write, &access, sizeof(access));
	talk_send(&talk, VFIO_USER_REGION_WRITE, VFIO_USER_F_NO_REPLY, write, sizeof(write), NULL,
		  0);
	/* nor is there one when it is refused */
	access.region = 99;
	memcpy(write, &access, sizeof(access));
	talk_send(&talk, VFIO_USER_REGION_WRITE, VFIO_USER_F_NO_REPLY, write, sizeof(write), NULL,
		  0);
	assert_int_equal(talk_read_reg(&talk, VFAKE_COPY_SCRATCH, 4), 7);
	assert_int_equal(vfake_peer_counts(talk.peer).errors, 1);
	talk_end(&talk);
}

static void commands_can_be_sent_ahead(void **state)
{
	struct vfio_user_region_access access = { .count = TALK_PAGE };
	uint16_t ids[100];
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	/* more replies than the stream holds: they wait for the client */
	for (int i = 0; i < 100; i++)
		ids[i] = talk_send(&talk, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL,
				   0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(talk_reply(&talk, ids[i], VFIO_USER_REGION_READ), 0);
		assert_int_equal(talk.len, sizeof(access) + TALK_PAGE);
	}
	talk_end(&talk);
}

static void replies_can_take_their_time(void **state)
{
	const struct vfake_peer_attr attr = { .delay_turns = 50 };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", &attr);
	talk_send(&talk, VFIO_USER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	assert_int_equal(vfake_poll(talk.task, talk.fd, 20), 0);
	assert_int_equal(vfake_poll(talk.task, talk.fd, 100), 1);
	assert_int_equal(talk_reply(&talk, (uint16_t)(talk.id - 1), VFIO_USER_DEVICE_RESET), 0);
	talk_end(&talk);
}

static void a_peer_needs_a_device_and_a_path(void **state)
{
	struct vfake_peer_attr attr = { .device = "d9", .path = "/run/second" };
	const char *error = NULL;
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	assert_null(vfake_peer_new(talk.kernel, &attr, &error));
	assert_string_equal(error, "there is no such device");
	attr.device = "d0";
	assert_null(vfake_peer_new(talk.kernel, &attr, &error));
	assert_string_equal(error, "the device is in use");
	assert_int_equal(vfake_peer_attach(talk.peer, NULL), -EBUSY);
	assert_non_null(vfake_peer_task(talk.peer));
	vfake_peer_free(NULL);
	talk_end(&talk);
	/* the other way round: the path is taken, and the device is free again */
	talk_boot(&talk, "copy", NULL);
	vfake_peer_free(talk.peer);
	talk.fd = vfake_listen(talk.task, TALK_PATH, 1);
	attr.path = TALK_PATH;
	assert_null(vfake_peer_new(talk.kernel, &attr, &error));
	assert_string_equal(error, "the socket's path is taken or too long");
	attr.path = NULL;
	talk.peer = vfake_peer_new(talk.kernel, &attr, &error);
	assert_non_null(talk.peer);
	assert_false(vfake_peer_turn(talk.peer));
	talk_end(&talk);
}

/* ---- many messages at once ---- */

/*
 * What a client sends without waiting is answered in order, however it falls into the pieces that
 * the peer reads: each message a few bytes longer than its struct, so that one that has a
 * descriptor lies, for some @count, across the end of a piece.
 */
static void send_and_map(struct talk *talk, uint32_t count, uint64_t iova, int memory)
{
	struct {
		struct vfio_device_info info;
		uint32_t more;
	} ask = { .info.argsz = sizeof(ask.info) };
	struct vfio_user_dma_map map = {
		.argsz = sizeof(map), .flags = TALK_RW, .addr = iova, .size = TALK_PAGE
	};
	uint16_t first = talk->id;

	for (uint32_t i = 0; i < count; i++)
		talk_send(talk, VFIO_USER_DEVICE_GET_INFO, 0, &ask, sizeof(ask), NULL, 0);
	talk_send(talk, VFIO_USER_DMA_MAP, 0, &map, sizeof(map), &memory, 1);
	talk_send(talk, VFIO_USER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	for (uint16_t i = 0; i < count; i++)
		assert_int_equal(talk_reply(talk, (uint16_t)(first + i), VFIO_USER_DEVICE_GET_INFO),
				 0);
	assert_int_equal(talk_reply(talk, (uint16_t)(first + count), VFIO_USER_DMA_MAP), 0);
	assert_int_equal(talk_reply(talk, (uint16_t)(first + count + 1), VFIO_USER_DEVICE_RESET),
			 0);
}

static void messages_may_come_at_once(void **state)
{
	struct talk talk;
	uint64_t iova = 0;
	int memory;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	memory = vfake_memfd(talk.task, TALK_PAGE);
	for (uint32_t count = 1; count < 800; count += count < 200 || count > 250 ? 50 : 1) {
		send_and_map(&talk, count, iova, memory);
		iova += TALK_PAGE;
	}
	assert_int_equal(vfake_peer_counts(talk.peer).maps, iova / TALK_PAGE);
	assert_int_equal(vfake_peer_counts(talk.peer).errors, 0);
	vfake_close(talk.task, memory);
	talk_end(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_answers_what_was_proposed),
		cmocka_unit_test(version_needs_no_capabilities),
		cmocka_unit_test(messages_may_come_at_once),
		cmocka_unit_test(version_tells_the_peers_limits),
		cmocka_unit_test(a_second_stream_is_for_the_peers_commands),
		cmocka_unit_test(information_is_the_devices),
		cmocka_unit_test(regions_are_the_devices),
		cmocka_unit_test(plain_memory_can_be_mapped),
		cmocka_unit_test(there_are_no_io_descriptors),
		cmocka_unit_test(writes_go_by_eventfds),
		cmocka_unit_test(eventfds_fit_into_a_message),
		cmocka_unit_test(writes_that_cannot_go_by_eventfds),
		cmocka_unit_test(regions_are_read_and_written),
		cmocka_unit_test(many_writes_go_in_one_message),
		cmocka_unit_test(a_command_without_reply_is_obeyed),
		cmocka_unit_test(commands_can_be_sent_ahead),
		cmocka_unit_test(replies_can_take_their_time),
		cmocka_unit_test(a_peer_needs_a_device_and_a_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
