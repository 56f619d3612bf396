/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vfio-user peer and clients that do not keep to the protocol: it answers with an error where
 * one message can be told from the next, else it hangs up; and it is there for the next client.
 *
 * What is wrong with a single message is made from the table, as for ioctls.
 */
#include <uapi/table.h>
#include <vfake/fault.h>

#include "peer_talk.h"

/* The peer answers, and has what it should. */
static void assert_alive(struct talk *talk)
{
	struct vfio_user_device_info info = { .argsz = sizeof(info) };

	assert_int_equal(talk_call(talk, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info)), 0);
	assert_int_equal(talk->len, sizeof(info));
}

/* After a hang-up: the next client is let in. */
static void assert_next(struct talk *talk)
{
	assert_true(talk_hung_up(talk));
	talk_leave(talk);
	talk_connect(talk);
	assert_int_equal(talk_version(talk, 0, 1, TALK_JSON), 0);
	assert_alive(talk);
}

/* ---- from the table ---- */

/* A payload that passes the table's checks. */
static uint32_t good_payload(const struct uapi_ioctl *row, uint8_t *payload)
{
	const struct uapi_field *size = row->arg ? &row->arg->fields[0] : NULL;

	memset(payload, 0, 256);
	if (size && size->role == UAPI_SELF_SIZE)
		uapi_field_put(size, payload, 256);
	return row->min_size_bytes;
}

static void short_payloads_are_refused(void **state)
{
	size_t count, tried = 0;
	const struct uapi_ioctl *rows = uapi_rows(&count);
	uint8_t payload[256];
	struct talk talk;

	(void)state;
	talk_begin(&talk, "migrate", NULL);
	for (size_t i = 0; i < count; i++) {
		if (rows[i].where != UAPI_ON_USER || !rows[i].min_size_bytes)
			continue;
		good_payload(&rows[i], payload);
		for (uint32_t len = 0; len < rows[i].min_size_bytes; len++)
			assert_int_equal(talk_call(&talk, (uint16_t)rows[i].number, payload, len),
					 -EINVAL);
		tried++;
	}
	assert_int_equal(tried, 16);
	assert_alive(&talk);
	talk_end(&talk);
}

static void short_argsz_is_refused(void **state)
{
	size_t count, tried = 0;
	const struct uapi_ioctl *rows = uapi_rows(&count);
	uint8_t payload[256];
	struct talk talk;

	(void)state;
	talk_begin(&talk, "migrate", NULL);
	for (size_t i = 0; i < count; i++) {
		const struct uapi_field *first = rows[i].arg ? &rows[i].arg->fields[0] : NULL;

		if (rows[i].where != UAPI_ON_USER || !first || first->role != UAPI_SELF_SIZE)
			continue;
		good_payload(&rows[i], payload);
		uapi_field_put(first, payload, rows[i].min_size_bytes - 1U);
		assert_int_equal(
			talk_call(&talk, (uint16_t)rows[i].number, payload, rows[i].min_size_bytes),
			-EINVAL);
		tried++;
	}
	assert_int_equal(tried, 10);
	assert_alive(&talk);
	talk_end(&talk);
}

static void unknown_flags_are_refused(void **state)
{
	size_t count, tried = 0;
	const struct uapi_ioctl *rows = uapi_rows(&count);
	uint8_t payload[256];
	struct talk talk;

	(void)state;
	talk_begin(&talk, "migrate", NULL);
	for (size_t i = 0; i < count; i++) {
		if (rows[i].where != UAPI_ON_USER || !rows[i].flags_early)
			continue;
		for (int bit = 0; bit < 32; bit++) {
			uint64_t flag = (uint64_t)1 << bit;
			uint32_t len = good_payload(&rows[i], payload);

			if (rows[i].legal_flags & flag)
				continue;
			uapi_field_put(uapi_find_field(rows[i].arg, "flags"), payload, flag);
			assert_int_equal(talk_call(&talk, (uint16_t)rows[i].number, payload, len),
					 -rows[i].flags_errno);
			tried++;
		}
	}
	assert_true(tried > 100);
	assert_alive(&talk);
	talk_end(&talk);
}

static void descriptors_that_do_not_belong_are_closed(void **state)
{
	size_t count;
	const struct uapi_ioctl *rows = uapi_rows(&count);
	uint8_t payload[256];
	struct talk talk;
	int fds[VFIO_USER_MAX_MSG_FDS + 8];
	struct vfake_ledger before;

	(void)state;
	talk_begin(&talk, "migrate", NULL);
	for (uint32_t i = 0; i < VFIO_USER_MAX_MSG_FDS + 8; i++)
		fds[i] = vfake_eventfd(talk.task);
	before = vfake_ledger(talk.kernel);
	for (size_t i = 0; i < count; i++) {
		uint32_t len = good_payload(&rows[i], payload);
		uint32_t fd_count = rows[i].number == VFIO_USER_DMA_MAP ? 2 : 1;

		if (rows[i].where != UAPI_ON_USER)
			continue;
		assert_true(talk_call_fds(&talk, (uint16_t)rows[i].number, payload, len, fds,
					  fd_count) < 0);
	}
	/* more than the peer said, more than anybody takes */
	for (uint32_t many = 9; many <= VFIO_USER_MAX_MSG_FDS + 8; many++) {
		struct vfio_irq_set set = { .argsz = sizeof(set),
					    .flags = VFIO_IRQ_SET_DATA_EVENTFD |
						     VFIO_IRQ_SET_ACTION_TRIGGER,
					    .index = VFIO_PCI_MSIX_IRQ_INDEX,
					    .count = many };

		assert_int_equal(talk_call_fds(&talk, VFIO_USER_DEVICE_SET_IRQS, &set, sizeof(set),
					       fds, many),
				 -EINVAL);
	}
	assert_same_ledger(vfake_ledger(talk.kernel), before);
	for (uint32_t i = 0; i < VFIO_USER_MAX_MSG_FDS + 8; i++)
		vfake_close(talk.task, fds[i]);
	assert_alive(&talk);
	talk_end(&talk);
}

/* ---- commands ---- */

static void unknown_commands_are_refused(void **state)
{
	struct talk talk;
	uint64_t payload[4] = { 0 };

	(void)state;
	talk_begin(&talk, "copy", NULL);
	for (uint32_t cmd = 0; cmd < 0x10000; cmd += cmd < 40 ? 1 : 997) {
		if (cmd && cmd < VFIO_USER_COMMANDS && cmd != VFIO_USER_DIRTY_PAGES)
			continue;
		assert_int_equal(talk_call(&talk, (uint16_t)cmd, payload, sizeof(payload)),
				 -EINVAL);
	}
	/* what only the peer asks for */
	assert_int_equal(talk_call(&talk, VFIO_USER_DMA_READ, payload, 16), -EINVAL);
	assert_int_equal(talk_call(&talk, VFIO_USER_DMA_WRITE, payload, 16), -EINVAL);
	assert_alive(&talk);
	talk_end(&talk);
}

static void types_are_judged(void **state)
{
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	for (uint32_t type = 2; type < 16; type++) {
		uint16_t id = talk_send(&talk, VFIO_USER_DEVICE_RESET, type, NULL, 0, NULL, 0);

		assert_int_equal(talk_reply(&talk, id, VFIO_USER_DEVICE_RESET), -EINVAL);
	}
	/* a reply that nobody waits for is no command */
	talk_send(&talk, VFIO_USER_DEVICE_RESET, VFIO_USER_F_TYPE_REPLY, NULL, 0, NULL, 0);
	assert_alive(&talk);
	assert_int_equal(vfake_peer_counts(talk.peer).unknown_replies, 1);
	talk_end(&talk);
}

static void bad_accesses_are_refused(void **state)
{
	static uint8_t bytes[66000];
	const struct vfake_peer_attr attr = { .max_data_xfer_bytes = 2048 };
	struct vfio_user_region_access access = { .region = VFAKE_COPY_BAR_REGS, .count = 8 };
	struct vfio_user_write_multi multi = { .wr_cnt = 1 };
	struct vfio_user_region_io_fds io = { .argsz = sizeof(io), .index = 9 };
	struct vfio_region_info info = { .argsz = sizeof(info), .index = 9 };
	struct vfio_irq_info irq = { .argsz = sizeof(irq), .index = 5 };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", &attr);
	for (int write = 0; write < 2; write++) {
		assert_int_equal(talk_region(&talk, write, 9, 0, bytes, 4), -EINVAL);
		assert_int_equal(talk_region(&talk, write, UINT32_MAX, 0, bytes, 4), -EINVAL);
		assert_int_equal(talk_region(&talk, write, 0, 4096, bytes, 4), -EINVAL);
		assert_int_equal(talk_region(&talk, write, 0, 4093, bytes, 4), -EINVAL);
		assert_int_equal(talk_region(&talk, write, 0, UINT64_MAX, bytes, 4), -EINVAL);
		assert_int_equal(talk_region(&talk, write, 0, (uint64_t)1 << 40, bytes, 4),
				 -EINVAL);
		assert_int_equal(talk_region(&talk, write, 0, 0, bytes, 2049), -EINVAL);
		assert_int_equal(talk_region(&talk, write, 0, 0, bytes, 66000), -EINVAL);
		assert_int_equal(talk_region(&talk, write, VFIO_PCI_VGA_REGION_INDEX, 0, bytes, 1),
				 -EINVAL);
	}
	/* data that is not there, or more than there should be */
	assert_int_equal(talk_call(&talk, VFIO_USER_REGION_WRITE, &access, sizeof(access)),
			 -EINVAL);
	memcpy(bytes, &access, sizeof(access));
	assert_int_equal(talk_call(&talk, VFIO_USER_REGION_WRITE, bytes, sizeof(access) + 9),
			 -EINVAL);
	assert_int_equal(talk_call(&talk, VFIO_USER_REGION_WRITE_MULTI, &multi, sizeof(multi)),
			 -EINVAL);
	multi.wr_cnt = UINT64_MAX / 24 + 1;
	assert_int_equal(talk_call(&talk, VFIO_USER_REGION_WRITE_MULTI, &multi, sizeof(multi)),
			 -EINVAL);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &io, sizeof(io)),
			 -EINVAL);
	io.index = 0;
	io.count = 1;
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &io, sizeof(io)),
			 -EINVAL);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_GET_REGION_INFO, &info, sizeof(info)),
			 -EINVAL);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_GET_IRQ_INFO, &irq, sizeof(irq)),
			 -EINVAL);
	assert_alive(&talk);
	talk_end(&talk);
}

static void what_was_not_agreed_on_is_refused(void **state)
{
	const struct vfake_peer_attr attr = { .no_write_multiple = true };
	struct vfio_user_write_multi multi = { 0 };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", &attr);
	assert_int_equal(talk_call(&talk, VFIO_USER_REGION_WRITE_MULTI, &multi, sizeof(multi)),
			 -EINVAL);
	talk_end(&talk);
	talk_boot(&talk, "copy", NULL);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, 0, 1, NULL), 0);
	assert_int_equal(talk_call(&talk, VFIO_USER_REGION_WRITE_MULTI, &multi, sizeof(multi)),
			 -EINVAL);
	talk_end(&talk);
}

static void a_client_that_takes_no_descriptor_gets_an_error(void **state)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFAKE_COPY_BAR_MEMORY };
	struct talk talk;

	(void)state;
	talk_boot(&talk, "copy", NULL);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, 0, 1, "{\"capabilities\":{\"max_msg_fds\":0}}"), 0);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_GET_REGION_INFO, &info, sizeof(info)),
			 -ENOSPC);
	talk_end(&talk);
}

/* ---- VERSION ---- */

static void bad_versions_end_the_connection(void **state)
{
	static char deep[300];
	static const char *const texts[] = {
		"",
		"x",
		"[]",
		"{",
		"{}x",
		"{} {}",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{\"a\":1 \"b\":2}",
		"{a:1}",
		"{\"a:1}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12g4\"}",
		"{\"a\":\"\\u1",
		"{\"a\":\"\\",
		"{\"a\":\"\n\"}",
		"{\"a\":01}",
		"{\"a\":-}",
		"{\"a\":1.}",
		"{\"a\":1e}",
		"{\"a\":1e+}",
		"{\"a\":tru}",
		"{\"a\":[1,2}",
		"{\"capabilities\":1}",
		"{\"capabilities\":[]}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_msg_fds\":1.5}}",
		"{\"capabilities\":{\"max_msg_fds\":1e3}}",
		"{\"capabilities\":{\"max_msg_fds\":\"8\"}}",
		"{\"capabilities\":{\"max_msg_fds\":18446744073709551616}}",
		"{\"capabilities\":{\"max_data_xfer_size\":0}}",
		"{\"capabilities\":{\"max_data_xfer_size\":true}}",
		"{\"capabilities\":{\"max_dma_maps\":0}}",
		"{\"capabilities\":{\"pgsizes\":0}}",
		"{\"capabilities\":{\"pgsizes\":null}}",
		"{\"capabilities\":{\"write_multiple\":1}}",
		"{\"capabilities\":{\"twin_socket\":true}}",
		"{\"capabilities\":{\"twin_socket\":{\"supported\":1}}}",
		deep,
	};
	struct talk talk;

	(void)state;
	strcpy(deep, "{\"a\":");
	memset(deep + 5, '[', 40);
	memset(deep + 45, ']', 40);
	strcpy(deep + 85, "}");
	talk_boot(&talk, "copy", NULL);
	talk_connect(&talk);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (talk_version(&talk, 0, 1, texts[i]) != -EINVAL)
			fail_msg("taken: %s", texts[i]);
		assert_next(&talk);
		talk_leave(&talk);
		talk_connect(&talk);
	}
	assert_int_equal(vfake_peer_counts(talk.peer).hang_ups, sizeof(texts) / sizeof(texts[0]));
	talk_end(&talk);
}

static void other_beginnings_end_the_connection(void **state)
{
	static char longest[VFIO_USER_MAX_VERSION_BYTES + 10];
	struct vfio_user_version version = { .minor = 1 };
	uint8_t payload[64] = { 0 };
	struct talk talk;

	(void)state;
	talk_boot(&talk, "copy", NULL);
	talk_connect(&talk);
	/* another major version */
	assert_int_equal(talk_version(&talk, 1, 0, TALK_JSON), -EINVAL);
	assert_next(&talk);
	talk_leave(&talk);
	/* another command, a reply */
	talk_connect(&talk);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_RESET, NULL, 0), -EINVAL);
	assert_next(&talk);
	talk_leave(&talk);
	talk_connect(&talk);
	talk_send(&talk, VFIO_USER_VERSION, VFIO_USER_F_TYPE_REPLY, &version, sizeof(version), NULL,
		  0);
	assert_true(talk_recv(&talk));
	assert_next(&talk);
	talk_leave(&talk);
	/* a text without its end, one that is too long, no whole struct */
	talk_connect(&talk);
	memcpy(payload + sizeof(version), "{}", 2);
	assert_int_equal(talk_call(&talk, VFIO_USER_VERSION, payload, sizeof(version) + 2),
			 -EINVAL);
	assert_next(&talk);
	talk_leave(&talk);
	talk_connect(&talk);
	memset(longest, ' ', sizeof(longest) - 1);
	memcpy(longest, "{}", 2);
	assert_int_equal(talk_version(&talk, 0, 1, longest), -EINVAL);
	assert_next(&talk);
	talk_leave(&talk);
	talk_connect(&talk);
	assert_int_equal(talk_call(&talk, VFIO_USER_VERSION, payload, 3), -EINVAL);
	assert_next(&talk);
	talk_end(&talk);
}

/* ---- streams ---- */

static void sizes_that_cannot_be_end_the_connection(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 15, VFIO_USER_MAX_MSG_BYTES + 1, UINT32_MAX };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct vfio_user_header header = { .cmd = VFIO_USER_DEVICE_RESET,
						   .msg_size = sizes[i] };

		talk_send_message(&talk, &header, NULL, 0, NULL, 0);
		assert_next(&talk);
	}
	assert_int_equal(vfake_peer_counts(talk.peer).hang_ups, 5);
	talk_end(&talk);
}

static void the_longest_message_is_read(void **state)
{
	static uint8_t payload[VFIO_USER_MAX_MSG_BYTES - sizeof(struct vfio_user_header)];
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	assert_int_equal(talk_call(&talk, 99, payload, sizeof(payload)), -EINVAL);
	assert_alive(&talk);
	talk_end(&talk);
}

/* A message with two descriptors, cut after each of its bytes. */
static void clients_leave_in_the_middle(void **state)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_dma_map map;
	} message = { .header = { .cmd = VFIO_USER_DMA_MAP, .msg_size = sizeof(message) } };
	struct talk talk;
	int fds[2];

	(void)state;
	talk_begin(&talk, "copy", NULL);
	fds[0] = vfake_memfd(talk.task, TALK_PAGE);
	fds[1] = vfake_eventfd(talk.task);
	for (uint32_t len = 1; len < sizeof(message); len++) {
		talk_send_raw(&talk, &message, len, fds, 2);
		assert_int_equal(vfake_poll(talk.task, talk.fd, 100), 0);
		talk_leave(&talk);
		talk_connect(&talk);
		assert_int_equal(talk_version(&talk, 0, 1, TALK_JSON), 0);
	}
	/* and one that leaves before the answer */
	talk_send(&talk, VFIO_USER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	talk_leave(&talk);
	assert_int_equal(vfake_peer_counts(talk.peer).hang_ups, 0);
	vfake_close(talk.task, fds[0]);
	vfake_close(talk.task, fds[1]);
	talk_end(&talk);
}

static void bytes_may_come_one_by_one(void **state)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_device_info info;
	} message = { .header = { .msg_id = 7,
				  .cmd = VFIO_USER_DEVICE_GET_INFO,
				  .msg_size = sizeof(message) },
		      .info = { .argsz = sizeof(message.info) } };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	for (uint32_t i = 0; i < sizeof(message); i++) {
		assert_int_equal(vfake_poll(talk.task, talk.fd, 10), 0);
		talk_send_raw(&talk, (uint8_t *)&message + i, 1, NULL, 0);
	}
	assert_int_equal(talk_reply(&talk, 7, VFIO_USER_DEVICE_GET_INFO), 0);
	talk_end(&talk);
}

static void a_client_that_does_not_read_is_not_served_on(void **state)
{
	struct vfio_user_region_access access = { .region = VFIO_PCI_CONFIG_REGION_INDEX,
						  .count = 4096 };
	struct vfio_user_header header = { .cmd = VFIO_USER_REGION_READ,
					   .msg_size = sizeof(header) + sizeof(access) };
	uint8_t message[sizeof(header) + sizeof(access)];
	struct talk talk;
	uint64_t served, sent = 0, got = 0;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), &access, sizeof(access));
	while (vfake_sendmsg(talk.task, talk.fd, message, sizeof(message), NULL, 0) ==
	       sizeof(message)) {
		vfake_peer_turn(talk.peer);
		sent++;
		assert_true(sent < 100000);
	}
	/* what it keeps for the client is bounded */
	served = vfake_peer_counts(talk.peer).commands;
	assert_true(served < 1200);
	assert_true(sent > served);
	/* and the client gets all of it once it reads */
	for (; got < served; got++)
		assert_true(talk_recv(&talk));
	talk_end(&talk);
}

/* ---- faults ---- */

struct spoiler {
	const char *point;
	int error;
};

static int spoil(void *ctx, const struct vfake_fault_point *point)
{
	const struct spoiler *spoiler = ctx;

	return strcmp(point->name, spoiler->point) ? 0 : spoiler->error;
}

static void commands_can_be_made_to_fail(void **state)
{
	struct spoiler spoiler = { .point = "user/REGION_WRITE/entry", .error = -EIO };
	uint8_t bytes[4] = { 5 };
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	vfake_set_fault_hook(talk.kernel, spoil, &spoiler);
	assert_int_equal(talk_region(&talk, true, 0, VFAKE_COPY_SCRATCH, bytes, 4), -EIO);
	assert_int_equal(talk_read_reg(&talk, VFAKE_COPY_SCRATCH, 4), 0);
	spoiler.point = "user/REGION_WRITE/reply";
	assert_int_equal(talk_region(&talk, true, 0, VFAKE_COPY_SCRATCH, bytes, 4), -EIO);
	assert_int_equal(talk_read_reg(&talk, VFAKE_COPY_SCRATCH, 4), 5);
	spoiler = (struct spoiler){ .point = "user/DEVICE_RESET/reply", .error = -ETIMEDOUT };
	talk_send(&talk, VFIO_USER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	assert_int_equal(vfake_poll(talk.task, talk.fd, 100), 0);
	assert_int_equal(talk_read_reg(&talk, VFAKE_COPY_SCRATCH, 4), 0);
	spoiler.error = -ECONNRESET;
	talk_send(&talk, VFIO_USER_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	assert_next(&talk);
	vfake_set_fault_hook(talk.kernel, NULL, NULL);
	assert_int_equal(vfake_fault_command(talk.kernel, 2, VFAKE_FAULT_ENTRY), 0);
	talk_end(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_payloads_are_refused),
		cmocka_unit_test(short_argsz_is_refused),
		cmocka_unit_test(unknown_flags_are_refused),
		cmocka_unit_test(descriptors_that_do_not_belong_are_closed),
		cmocka_unit_test(unknown_commands_are_refused),
		cmocka_unit_test(types_are_judged),
		cmocka_unit_test(bad_accesses_are_refused),
		cmocka_unit_test(what_was_not_agreed_on_is_refused),
		cmocka_unit_test(a_client_that_takes_no_descriptor_gets_an_error),
		cmocka_unit_test(bad_versions_end_the_connection),
		cmocka_unit_test(other_beginnings_end_the_connection),
		cmocka_unit_test(sizes_that_cannot_be_end_the_connection),
		cmocka_unit_test(the_longest_message_is_read),
		cmocka_unit_test(clients_leave_in_the_middle),
		cmocka_unit_test(bytes_may_come_one_by_one),
		cmocka_unit_test(a_client_that_does_not_read_is_not_served_on),
		cmocka_unit_test(commands_can_be_made_to_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
