/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile vfio-user peer does to its replies what it was told, and nothing else: the command was
 * obeyed, replies that were not meant are whole, and nothing is left when it ends.
 */
#include "peer_talk.h"

/* A client of a peer that spoils replies of @command, after the first @skip of them. */
static void begin(struct talk *talk, enum vfake_hostile_kind kind, uint16_t command, uint32_t skip,
		  bool once)
{
	const struct vfake_hostile hostile = {
		.kind = kind, .command = command, .skip = skip, .once = once
	};

	talk_begin(talk, "migrate", NULL);
	vfake_peer_set_hostile(talk->peer, &hostile);
}

static uint16_t ask_info(struct talk *talk)
{
	struct vfio_user_device_info info = { .argsz = sizeof(info) };

	return talk_send(talk, VFIO_USER_DEVICE_GET_INFO, 0, &info, sizeof(info), NULL, 0);
}

static uint16_t ask_region(struct talk *talk, uint32_t index, uint32_t argsz)
{
	struct vfio_region_info info = { .argsz = argsz, .index = index };

	return talk_send(talk, VFIO_USER_DEVICE_GET_REGION_INFO, 0, &info, sizeof(info), NULL, 0);
}

static struct vfio_region_info region_reply(struct talk *talk)
{
	struct vfio_region_info info;

	assert_true(talk_recv(talk));
	assert_true(talk->len >= sizeof(info));
	memcpy(&info, talk->payload, sizeof(info));
	return info;
}

/* Reads what there is, as bytes. */
static uint32_t raw(struct talk *talk, uint8_t *bytes, uint32_t room)
{
	uint32_t len = 0, fds = 0;

	while (len < room && vfake_poll(talk->task, talk->fd, TALK_TURNS) == 1) {
		long got = vfake_recvmsg(talk->task, talk->fd, bytes + len, room - len, NULL, &fds);

		if (got <= 0)
			break;
		len += (uint32_t)got;
	}
	return len;
}

static void every_kind_has_a_name(void **state)
{
	(void)state;
	for (int kind = VFAKE_HOSTILE_NONE; kind < VFAKE_HOSTILE_KINDS; kind++) {
		const char *name = vfake_hostile_name((enum vfake_hostile_kind)kind);

		assert_non_null(name);
		for (int other = VFAKE_HOSTILE_NONE; other < kind; other++)
			assert_string_not_equal(name,
						vfake_hostile_name((enum vfake_hostile_kind)other));
	}
	assert_null(vfake_hostile_name(VFAKE_HOSTILE_KINDS));
}

/* ---- when ---- */

static void replies_come_in_pieces(void **state)
{
	uint8_t byte[2];
	uint32_t room = 0;
	struct talk talk;
	uint16_t id;

	(void)state;
	begin(&talk, VFAKE_HOSTILE_SHORT_WRITES, 0, 0, false);
	id = ask_info(&talk);
	assert_int_equal(vfake_poll(talk.task, talk.fd, 100), 1);
	assert_int_equal(vfake_recvmsg(talk.task, talk.fd, byte, 2, NULL, &room), 1);
	assert_memory_equal(byte, &id, 1);
	assert_int_equal(raw(&talk, (uint8_t *)talk.payload, 31), 31);
	id = ask_info(&talk);
	assert_int_equal(talk_reply(&talk, id, VFIO_USER_DEVICE_GET_INFO), 0);
	talk_end(&talk);
	begin(&talk, VFAKE_HOSTILE_SHORT_READS, 0, 0, false);
	id = ask_info(&talk);
	assert_int_equal(vfake_poll(talk.task, talk.fd, 31), 0);
	assert_int_equal(talk_reply(&talk, id, VFIO_USER_DEVICE_GET_INFO), 0);
	talk_end(&talk);
}

static void replies_come_late_or_twice_or_not(void **state)
{
	struct talk talk;
	uint16_t id;

	(void)state;
	begin(&talk, VFAKE_HOSTILE_LATE, 0, 0, false);
	id = ask_info(&talk);
	assert_int_equal(vfake_poll(talk.task, talk.fd, 16), 0);
	assert_int_equal(vfake_poll(talk.task, talk.fd, 2), 1);
	assert_int_equal(talk_reply(&talk, id, VFIO_USER_DEVICE_GET_INFO), 0);
	assert_true(vfake_peer_is_hostile(talk.peer));
	talk_end(&talk);
	/* Once: until it has come. */
	begin(&talk, VFAKE_HOSTILE_LATE, 0, 0, true);
	assert_true(vfake_peer_is_hostile(talk.peer));
	id = ask_info(&talk);
	assert_int_equal(vfake_poll(talk.task, talk.fd, 16), 0);
	assert_true(vfake_peer_is_hostile(talk.peer));
	assert_int_equal(talk_reply(&talk, id, VFIO_USER_DEVICE_GET_INFO), 0);
	assert_false(vfake_peer_is_hostile(talk.peer));
	talk_end(&talk);
	begin(&talk, VFAKE_HOSTILE_DUPLICATE, 0, 0, false);
	id = ask_info(&talk);
	assert_int_equal(talk_reply(&talk, id, VFIO_USER_DEVICE_GET_INFO), 0);
	assert_int_equal(talk_reply(&talk, id, VFIO_USER_DEVICE_GET_INFO), 0);
	assert_int_equal(vfake_poll(talk.task, talk.fd, 100), 0);
	talk_end(&talk);
	begin(&talk, VFAKE_HOSTILE_NO_ANSWER, VFIO_USER_DEVICE_GET_INFO, 1, true);
	id = ask_info(&talk);
	assert_int_equal(talk_reply(&talk, id, VFIO_USER_DEVICE_GET_INFO), 0);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	assert_true(vfake_peer_is_hostile(talk.peer));
	ask_info(&talk);
	assert_int_equal(vfake_poll(talk.task, talk.fd, 100), 0);
	assert_false(vfake_peer_is_hostile(talk.peer));
	id = ask_info(&talk);
	assert_int_equal(talk_reply(&talk, id, VFIO_USER_DEVICE_GET_INFO), 0);
	talk_end(&talk);
}

static void connections_end(void **state)
{
	static const struct {
		enum vfake_hostile_kind kind;
		uint32_t bytes;
	} ends[] = {
		{ VFAKE_HOSTILE_HANG_UP, 0 },
		{ VFAKE_HOSTILE_HANG_UP_HEADER, 16 },
		{ VFAKE_HOSTILE_HANG_UP_BODY, 31 },
	};
	uint8_t bytes[64];

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct talk talk;

		begin(&talk, ends[i].kind, 0, 0, true);
		ask_info(&talk);
		assert_int_equal(raw(&talk, bytes, sizeof(bytes)), ends[i].bytes);
		assert_false(vfake_peer_attached(talk.peer));
		talk_leave(&talk);
		talk_connect(&talk);
		assert_int_equal(talk_version(&talk, 0, 1, TALK_JSON), 0);
		assert_int_equal(talk_reply(&talk, ask_info(&talk), VFIO_USER_DEVICE_GET_INFO), 0);
		talk_end(&talk);
	}
}

/* ---- headers ---- */

/* The header of a spoiled reply to GET_INFO, whose id was *id. */
static struct vfio_user_header spoiled(enum vfake_hostile_kind kind, uint16_t *id)
{
	struct vfio_user_header header;
	uint8_t bytes[256];
	struct talk talk;
	uint32_t len;

	begin(&talk, kind, VFIO_USER_DEVICE_GET_INFO, 0, false);
	*id = ask_info(&talk);
	len = raw(&talk, bytes, sizeof(bytes));
	assert_true(len >= sizeof(header));
	memcpy(&header, bytes, sizeof(header));
	if (header.msg_size >= sizeof(header) && header.msg_size < sizeof(bytes))
		assert_int_equal(header.msg_size, len);
	talk_end(&talk);
	return header;
}

static void headers_lie(void **state)
{
	struct vfio_user_header header;
	uint16_t id;

	(void)state;
	header = spoiled(VFAKE_HOSTILE_WRONG_ID, &id);
	assert_int_not_equal(header.msg_id, id);
	header = spoiled(VFAKE_HOSTILE_WRONG_COMMAND, &id);
	assert_int_equal(header.cmd, VFIO_USER_DEVICE_GET_REGION_INFO);
	assert_int_equal(header.msg_id, id);
	assert_int_equal(spoiled(VFAKE_HOSTILE_SIZE_SMALL, &id).msg_size, 8);
	assert_int_equal(spoiled(VFAKE_HOSTILE_SIZE_HUGE, &id).msg_size, UINT32_MAX);
	assert_int_equal(spoiled(VFAKE_HOSTILE_SIZE_SHORT, &id).msg_size, 31);
	assert_int_equal(spoiled(VFAKE_HOSTILE_SIZE_LONG, &id).msg_size, 40);
	header = spoiled(VFAKE_HOSTILE_NO_PAYLOAD, &id);
	assert_int_equal(header.msg_size, 16);
	assert_int_equal(header.flags, VFIO_USER_F_TYPE_REPLY);
	header = spoiled(VFAKE_HOSTILE_NOT_A_REPLY, &id);
	assert_int_equal(header.flags, VFIO_USER_F_TYPE_COMMAND | VFIO_USER_F_ERROR);
	assert_int_equal(header.error_no, EIO);
	assert_int_equal(spoiled(VFAKE_HOSTILE_BAD_TYPE, &id).flags & VFIO_USER_F_TYPE_MASK, 15);
	header = spoiled(VFAKE_HOSTILE_ERROR_ZERO, &id);
	assert_int_equal(header.flags, VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR);
	assert_int_equal(header.error_no, 0);
	assert_int_equal(spoiled(VFAKE_HOSTILE_ERROR_HUGE, &id).error_no, UINT32_MAX);
	header = spoiled(VFAKE_HOSTILE_ERROR, &id);
	assert_int_equal(header.error_no, EIO);
	assert_int_equal(header.msg_size, 16);
	assert_int_equal(header.msg_id, id);
}

static void a_command_without_reply_gets_one(void **state)
{
	struct talk talk;

	(void)state;
	begin(&talk, VFAKE_HOSTILE_UNASKED, 0, 0, false);
	talk_send(&talk, VFIO_USER_DEVICE_RESET, VFIO_USER_F_NO_REPLY, NULL, 0, NULL, 0);
	assert_true(talk_recv(&talk));
	assert_int_equal(talk.header.cmd, VFIO_USER_DEVICE_RESET);
	assert_int_equal(talk.header.flags, VFIO_USER_F_TYPE_REPLY);
	talk_end(&talk);
}

/* ---- descriptors ---- */

static void descriptors_are_missing_or_too_many(void **state)
{
	uint32_t came = 0, turns = 0;
	int fds[TALK_FDS];
	uint8_t bytes[64];
	struct talk talk;

	(void)state;
	begin(&talk, VFAKE_HOSTILE_NO_FDS, 0, 0, false);
	ask_region(&talk, VFAKE_COPY_BAR_MEMORY, 4096);
	assert_true(region_reply(&talk).flags & VFIO_REGION_INFO_FLAG_MMAP);
	assert_int_equal(talk.fd_count, 0);
	/* where there is none anyway the reply is as it should be */
	assert_int_equal(talk_reply(&talk, ask_info(&talk), VFIO_USER_DEVICE_GET_INFO), 0);
	talk_end(&talk);
	begin(&talk, VFAKE_HOSTILE_ONE_FD, 0, 0, false);
	ask_region(&talk, VFAKE_COPY_BAR_MEMORY, 4096);
	region_reply(&talk);
	assert_int_equal(talk.fd_count, 2);
	assert_int_equal(talk_reply(&talk, ask_info(&talk), VFIO_USER_DEVICE_GET_INFO), 0);
	assert_int_equal(talk.fd_count, 1);
	talk_end(&talk);
	begin(&talk, VFAKE_HOSTILE_MANY_FDS, 0, 0, false);
	ask_info(&talk);
	while (vfake_poll(talk.task, talk.fd, 100) == 1 && turns++ < 100) {
		uint32_t room = TALK_FDS;
		struct vfake_ledger before = vfake_ledger(talk.kernel);

		assert_true(vfake_recvmsg(talk.task, talk.fd, bytes, sizeof(bytes), fds, &room) >
			    0);
		assert_true(vfake_ledger(talk.kernel).descriptors == before.descriptors + room);
		came += room > 0;
		while (room)
			vfake_close(talk.task, fds[--room]);
	}
	assert_int_equal(came, 4); /* pieces of 250 */
	talk_end(&talk);
}

/* ---- payloads ---- */

static void argsz_grows(void **state)
{
	struct vfio_region_info info;
	struct talk talk;
	uint32_t argsz = sizeof(info);

	(void)state;
	begin(&talk, VFAKE_HOSTILE_ARGSZ_GROWS, 0, 0, false);
	for (int i = 0; i < 10; i++) {
		ask_region(&talk, 0, argsz);
		info = region_reply(&talk);
		assert_int_equal(info.argsz, argsz + 4096);
		argsz = info.argsz;
	}
	ask_region(&talk, 0, UINT32_MAX - 5);
	assert_true(region_reply(&talk).argsz == UINT32_MAX);
	/* what has no argsz stays */
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	talk_end(&talk);
}

static void capabilities_lead_nowhere(void **state)
{
	static const enum vfake_hostile_kind kinds[] = { VFAKE_HOSTILE_CAP_LOOP,
							 VFAKE_HOSTILE_CAP_BEYOND };
	struct vfio_info_cap_header cap;
	struct vfio_region_info info;
	struct talk talk;

	(void)state;
	for (int i = 0; i < 2; i++) {
		begin(&talk, kinds[i], 0, 0, false);
		ask_region(&talk, 0, sizeof(info));
		info = region_reply(&talk);
		assert_int_equal(info.argsz, sizeof(info) + sizeof(cap));
		assert_int_equal(info.cap_offset, 0);
		assert_true(info.flags & VFIO_REGION_INFO_FLAG_CAPS);
		ask_region(&talk, 0, info.argsz);
		info = region_reply(&talk);
		assert_int_equal(talk.len, info.argsz);
		assert_int_equal(info.cap_offset, sizeof(info));
		memcpy(&cap, (uint8_t *)talk.payload + sizeof(info), sizeof(cap));
		if (kinds[i] == VFAKE_HOSTILE_CAP_LOOP)
			assert_int_equal(cap.next, sizeof(info));
		else
			assert_true(cap.next > 1 << 20);
		assert_int_equal(talk_reply(&talk, ask_info(&talk), VFIO_USER_DEVICE_GET_INFO), 0);
		talk_end(&talk);
	}
}

static void counts_lie(void **state)
{
	struct vfio_user_region_access access = { .count = 4 };
	struct vfio_device_feature_mig_state to = { .device_state = VFIO_DEVICE_STATE_STOP_COPY };
	struct vfio_user_mig_data data = { .argsz = 4096, .size = 64 };
	uint32_t message[4] = { 16,
				VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE };
	struct talk talk;

	(void)state;
	begin(&talk, VFAKE_HOSTILE_COUNT_LIES, 0, 0, false);
	assert_int_equal(talk_call(&talk, VFIO_USER_REGION_READ, &access, sizeof(access)), 0);
	assert_int_equal(talk.len, sizeof(access) + 4);
	memcpy(&access, talk.payload, sizeof(access));
	assert_int_equal(access.count, 20);
	memcpy(message + 2, &to, sizeof(to));
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_FEATURE, message, sizeof(message)), 0);
	assert_int_equal(talk_call(&talk, VFIO_USER_MIG_DATA_READ, &data, sizeof(data)), 0);
	memcpy(&data, talk.payload, sizeof(data));
	assert_int_equal(data.size, 64 + 16);
	assert_int_equal(talk.len, sizeof(data) + 64);
	talk_end(&talk);
}

static void versions_lie(void **state)
{
	struct vfake_peer_attr attr = { .hostile.kind = VFAKE_HOSTILE_BAD_JSON };
	struct talk talk;

	(void)state;
	talk_boot(&talk, "copy", &attr);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, 0, 1, TALK_JSON), 0);
	assert_string_equal((char *)talk.payload + 4, "{\"capabilities\":[");
	talk_end(&talk);
	attr.hostile.kind = VFAKE_HOSTILE_BAD_VERSION;
	talk_boot(&talk, "copy", &attr);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, 0, 1, TALK_JSON), 0);
	assert_int_not_equal(((uint16_t *)(void *)talk.payload)[0], 0);
	talk_end(&talk);
	/* the others leave VERSION alone, unless it is chosen */
	attr.hostile.kind = VFAKE_HOSTILE_ERROR;
	talk_boot(&talk, "copy", &attr);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, 0, 1, TALK_JSON), 0);
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_RESET, NULL, 0), -EIO);
	talk_end(&talk);
	attr.hostile.command = VFIO_USER_VERSION;
	talk_boot(&talk, "copy", &attr);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, 0, 1, TALK_JSON), -EIO);
	talk_end(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_has_a_name),
		cmocka_unit_test(replies_come_in_pieces),
		cmocka_unit_test(replies_come_late_or_twice_or_not),
		cmocka_unit_test(connections_end),
		cmocka_unit_test(headers_lie),
		cmocka_unit_test(a_command_without_reply_gets_one),
		cmocka_unit_test(descriptors_are_missing_or_too_many),
		cmocka_unit_test(argsz_grows),
		cmocka_unit_test(capabilities_lead_nowhere),
		cmocka_unit_test(counts_lie),
		cmocka_unit_test(versions_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
