/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack against vfio-user servers that break the protocol, are slow or go away: each call ends,
 * with one clear error, and nothing is left.
 */
#include "user_rig.h"

/* ---- nobody there ---- */

static void no_server(void **state)
{
	struct rig *rig = *state;
	struct vfio_device_options options = { .name = "d0", .backend = VFIO_BACKEND_USER };
	struct vfio_error error = { 0 };
	struct vfio_sys older = rig->sys;
	struct vfio *vfio;

	assert_null(vfio_device_attach(rig->vfio, rig->memory, &options, &error));
	assert_int_equal(error.code, -EINVAL);
	options.socket = "/run/other";
	assert_null(vfio_device_attach(rig->vfio, rig->memory, &options, &error));
	assert_int_equal(error.code, -ENOENT);
	assert_non_null(strstr(error.message, "/run/other"));
	/* A seam from before there were sockets. */
	options.socket = "/run/device";
	for (int i = 0; i < 4; i++) {
		older = rig->sys;
		older.connect = i == 0 ? NULL : older.connect;
		older.sendmsg = i == 1 ? NULL : older.sendmsg;
		older.recvmsg = i == 2 ? NULL : older.recvmsg;
		older.poll = i == 3 ? NULL : older.poll;
		vfio = vfio_new(&older, NULL);
		assert_null(vfio_device_attach(vfio, rig->memory, &options, &error));
		assert_int_equal(error.code, -ENOTSUP);
		vfio_free(vfio);
	}
}

/* The message at which it happens, from now on. */
struct end {
	uint32_t left;
	bool reached;
};

static bool reached(struct end *end)
{
	if (!end->left)
		end->reached = true;
	else
		end->left--;
	return end->reached;
}

static bool hang_up_at(struct rig *rig, const struct vfio_user_header *header,
		       const uint8_t *payload, uint32_t size)
{
	(void)header, (void)payload, (void)size;
	rig->gone = reached(rig->hook_ctx);
	return rig->gone;
}

static bool never_answer(struct rig *rig, const struct vfio_user_header *header,
			 const uint8_t *payload, uint32_t size)
{
	(void)header, (void)payload, (void)size;
	return reached(rig->hook_ctx);
}

/* The server dies, or falls silent, at each message of an attach in turn; then it works. */
static void each_message(void **state)
{
	struct rig *rig = *state;
	static _Alignas(4096) uint8_t ram[8192];
	uint32_t total = 0;

	rig_ram(rig, 0, ram, sizeof(ram), -1);
	for (uint32_t kind = 0; kind < 2; kind++) {
		for (uint32_t i = 0;; i++) {
			struct end end = { .left = i };
			int code;

			rig->gone = false;
			rig->out_len = rig->out_at = 0;
			rig->hook = kind ? never_answer : hang_up_at;
			rig->hook_ctx = &end;
			code = rig_attach(rig);
			rig->hook = NULL;
			if (!end.reached)
				break;
			total++;
			assert_int_equal(code, kind ? -ETIMEDOUT : -EPIPE);
		}
		vfio_device_detach(rig->device);
	}
	assert_in_range(total, 10, 60);
}

/* ---- a connection that breaks ---- */

/* Everything fails at once, and says the same. */
static void expect_dead(struct rig *rig, int code)
{
	uint32_t before[VFIO_USER_COMMANDS], value;
	struct vfio_error error = { 0 };
	struct vfio_irq irq;
	int eventfd = 9;

	memcpy(before, rig->seen, sizeof(before));
	assert_int_equal(rig_peek(rig, 0, 0, &value), code);
	assert_false(vfio_device_write(rig->device, 0, 0, &value, 4, &error));
	assert_int_equal(error.code, code);
	assert_false(vfio_device_post(rig->device, 0, 0, &value, 4, &error));
	assert_int_equal(error.code, code);
	assert_false(vfio_device_flush(rig->device, &error));
	assert_int_equal(error.code, code);
	assert_false(vfio_device_reset(rig->device, &error));
	assert_int_equal(error.code, code);
	assert_false(vfio_device_irq(rig->device, 0, &irq, &error));
	assert_int_equal(error.code, code);
	assert_false(vfio_device_irq_enable(rig->device, 2, 0, 1, &eventfd, &error));
	assert_int_equal(error.code, code);
	assert_memory_equal(before, rig->seen, sizeof(before));
	/* The VMM hears of it, once. */
	rig->ref.errors_seen = 0;
	vfio_device_poll(rig->device);
	vfio_device_poll(rig->device);
	assert_int_equal(rig->ref.errors_seen, 1);
}

/* Region 0 is known, so that what follows is about one message. */
static void attach_and_peek(struct rig *rig)
{
	uint32_t value;

	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
}

static void hang_up(void **state)
{
	struct rig *rig = *state;
	struct end end = { 0 };
	uint32_t value;

	attach_and_peek(rig);
	rig->hook = hang_up_at;
	rig->hook_ctx = &end;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -EPIPE);
	expect_dead(rig, -EPIPE);
}

/* Between two calls, while nobody looks. */
static void hang_up_idle(void **state)
{
	struct rig *rig = *state;

	attach_and_peek(rig);
	rig->gone = true;
	vfio_device_poll(rig->device);
	assert_int_equal(rig->ref.errors_seen, 1);
	rig->ref.errors_seen = 0;
	vfio_device_poll(rig->device);
	assert_int_equal(rig->ref.errors_seen, 0);
	vfio_device_detach(rig->device);
	assert_int_equal(rig_attach(rig), -EPIPE);
}

/* What REGION_READ is answered with. */
struct raw_reply {
	struct vfio_user_header header; /* msg_id is set by the hook */
	uint32_t payload;		/* bytes of zeroes */
	uint32_t fds;
};

static bool raw(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		uint32_t size)
{
	const struct raw_reply *reply = rig->hook_ctx;
	struct vfio_user_header answer = reply->header;
	static const uint8_t zeroes[64];

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_REGION_READ)
		return false;
	answer.msg_id = (uint16_t)(answer.msg_id + header->msg_id);
	rig_message(rig, &answer, zeroes, reply->payload, reply->fds);
	return true;
}

static void senseless_streams(void **state)
{
	struct rig *rig = *state;
	struct raw_reply cases[] = {
		{ { 0, VFIO_USER_REGION_READ, 15, VFIO_USER_F_TYPE_REPLY, 0 }, 0, 0 },
		{ { 0, VFIO_USER_REGION_READ, 0, VFIO_USER_F_TYPE_REPLY, 0 }, 0, 0 },
		{ { 0, VFIO_USER_REGION_READ, UINT32_MAX, VFIO_USER_F_TYPE_REPLY, 0 }, 64, 1 },
		{ { 0, VFIO_USER_REGION_READ, VFIO_USER_MAX_MSG_BYTES + 1, VFIO_USER_F_TYPE_REPLY,
		    0 },
		  64,
		  1 },
		{ { 0, VFIO_USER_REGION_READ, 16, 2, 0 }, 0, 0 },
		{ { 0, VFIO_USER_REGION_READ, 16, 15, 0 }, 0, 2 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t value;

		rig->hook = NULL;
		attach_and_peek(rig);
		rig->hook = raw;
		rig->hook_ctx = &cases[i];
		assert_int_equal(rig_peek(rig, 0, 0, &value), -EPROTO);
		expect_dead(rig, -EPROTO);
		vfio_device_detach(rig->device);
		rig->out_len = rig->out_at = 0;
	}
}

/* A reply that is wrong, in a stream that makes sense: the call fails, the next one works. */
static void wrong_replies(void **state)
{
	struct rig *rig = *state;
	static const struct {
		struct raw_reply reply;
		int code;
	} cases[] = {
		{ { { 0, VFIO_USER_REGION_READ, 16, 1, 0 }, 0, 0 }, -EPROTO },
		{ { { 0, VFIO_USER_REGION_READ, 16 + 20, 1, 0 }, 20, 3 }, -EPROTO },
		{ { { 0, VFIO_USER_REGION_READ, 16 + 21, 1, 0 }, 21, 0 }, -EPROTO },
		{ { { 0, VFIO_USER_REGION_WRITE, 16 + 20, 1, 0 }, 20, 0 }, -EPROTO },
		{ { { 0, VFIO_USER_REGION_READ, 16, 1 | VFIO_USER_F_ERROR, EIO }, 0, 0 }, -EIO },
		{ { { 0, VFIO_USER_REGION_READ, 16, 1 | VFIO_USER_F_ERROR, 0 }, 0, 0 }, -EINVAL },
		{ { { 0, VFIO_USER_REGION_READ, 16, 1 | VFIO_USER_F_ERROR, 4096 }, 0, 1 },
		  -EINVAL },
		{ { { 0, VFIO_USER_REGION_READ, 16 + 64, 1 | VFIO_USER_F_ERROR, UINT32_MAX },
		    64,
		    1 },
		  -EINVAL },
		{ { { 1, VFIO_USER_REGION_READ, 16 + 20, 1, 0 }, 20, 0 }, -ETIMEDOUT },
		{ { { 0, VFIO_USER_REGION_READ, 16 + 20, 0, 0 }, 20, 0 }, -ETIMEDOUT },
	};

	attach_and_peek(rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct raw_reply reply = cases[i].reply;
		uint32_t value;

		rig->hook = raw;
		rig->hook_ctx = &reply;
		rig->reply_count = 0;
		assert_int_equal(rig_peek(rig, 0, 0, &value), cases[i].code);
		rig->hook = NULL;
		assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
		/* Descriptors that nobody asked for are closed. */
		assert_int_equal(rig->open_count, 3);
	}
}

/* ---- late, twice, for nothing ---- */

struct late {
	struct vfio_user_header held[32];
	uint32_t count;
	bool hold;
};

static bool hold(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		 uint32_t size)
{
	struct late *late = rig->hook_ctx;

	(void)payload, (void)size;
	if (!late->hold || header->cmd != VFIO_USER_REGION_READ)
		return false;
	late->held[late->count++] = *header;
	return true;
}

static void late_replies(void **state)
{
	struct rig *rig = *state;
	struct late late = { .hold = true };
	uint8_t bytes[20] = { 0 };
	uint32_t value = 1, seven = 7;

	attach_and_peek(rig);
	memcpy(rig->regions[0], &seven, 4);
	rig->hook = hold;
	rig->hook_ctx = &late;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	late.hold = false;
	/* It comes before the next reply, with a descriptor, and is not taken for it. */
	memset(bytes + 16, 0xff, 4);
	rig_reply_fds(rig, &late.held[0], bytes, sizeof(bytes), 1);
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	assert_int_equal(value, 7);
	/* And once more. */
	rig_reply(rig, &late.held[0], bytes, sizeof(bytes));
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	assert_int_equal(value, 7);
	assert_int_equal(rig->open_count, 3);
}

/* Ids go round, but not over a reply that may still come. */
static void late_id(void **state)
{
	struct rig *rig = *state;
	struct late late = { .hold = true };
	uint8_t bytes[20] = { 0 };
	uint32_t value, seven = 7;

	attach_and_peek(rig);
	memcpy(rig->regions[0], &seven, 4);
	rig->hook = hold;
	rig->hook_ctx = &late;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	late.hold = false;
	for (uint32_t i = 0; i < 65536; i++) {
		assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
		assert_int_not_equal(rig->last_id, late.held[0].msg_id);
	}
	rig_reply(rig, &late.held[0], bytes, sizeof(bytes));
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	assert_int_equal(value, 7);
}

/* So many unanswered that the server must be stuck. */
static void stuck(void **state)
{
	struct rig *rig = *state;
	struct late late = { .hold = true };
	uint32_t value;

	attach_and_peek(rig);
	rig->hook = hold;
	rig->hook_ctx = &late;
	for (uint32_t i = 0; i < 17; i++)
		assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	expect_dead(rig, -ETIMEDOUT);
}

static bool flood(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		  uint32_t size)
{
	struct vfio_user_header stray = *header;
	const uint32_t *count = rig->hook_ctx;

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_REGION_READ)
		return false;
	for (uint32_t i = 0; i < *count; i++) {
		stray.msg_id = (uint16_t)(header->msg_id + 1 + i);
		rig_reply_fds(rig, &stray, NULL, 0, i < 10);
	}
	return false;
}

static void strays(void **state)
{
	struct rig *rig = *state;
	uint32_t count = 256, value;

	attach_and_peek(rig);
	rig->hook = flood;
	rig->hook_ctx = &count;
	for (int i = 0; i < 3; i++)
		assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	assert_int_equal(rig->open_count, 3);
	count = 257;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -EPROTO);
	expect_dead(rig, -EPROTO);
}

/* More descriptors than anybody asked for, in one read and before their message is whole. */
static bool many_fds(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		     uint32_t size)
{
	struct vfio_user_header stray = *header;

	(void)payload, (void)size;
	stray.msg_id++;
	if (header->cmd == VFIO_USER_REGION_READ)
		rig_reply_fds(rig, &stray, NULL, 0, 1000);
	return false;
}

static void a_thousand_fds(void **state)
{
	struct rig *rig = *state;
	uint32_t value;

	attach_and_peek(rig);
	rig->hook = many_fds;
	rig->recv_most = 7;
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	assert_int_equal(rig->open_count, 3);
}

/* ---- pieces, interruptions, a full socket ---- */

static void pieces(void **state)
{
	struct rig *rig = *state;
	uint32_t value, seven = 7;

	rig->send_most = 1;
	rig->recv_most = 3;
	attach_and_peek(rig);
	memcpy(rig->regions[0] + 8, &seven, 4);
	rig->eintr = 6;
	rig->send_again = 3;
	assert_int_equal(rig_peek(rig, 0, 8, &value), 0);
	assert_int_equal(value, 7);
	assert_int_equal(rig->eintr, 0);
}

static void full_socket(void **state)
{
	struct rig *rig = *state;
	uint32_t value;

	attach_and_peek(rig);
	rig->send_again = UINT32_MAX;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	rig->send_again = 0;
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	rig->send_again = UINT32_MAX;
	for (int i = 0; i < 3; i++)
		assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	expect_dead(rig, -ETIMEDOUT);
	vfio_device_detach(rig->device);
	/* With a part of a message sent, at once. */
	rig->send_again = 0;
	attach_and_peek(rig);
	rig->send_most = 7;
	rig->send_limit = 1;
	rig->send_code = -EAGAIN;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	expect_dead(rig, -ETIMEDOUT);
}

/* The seam itself fails. */
static void seam_errors(void **state)
{
	struct rig *rig = *state;
	uint32_t value;

	attach_and_peek(rig);
	rig->send_code = -ECONNRESET;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -EPIPE);
	expect_dead(rig, -EPIPE);
	vfio_device_detach(rig->device);
	rig->send_code = 0;
	attach_and_peek(rig);
	/* What passes: the call fails, and its reply, when it comes, is nobody's. */
	for (int i = 0; i < 5; i++) {
		const int passing[] = { -ENOMEM, -ENOBUFS, -EMFILE, -ENFILE, -ETOOMANYREFS };

		rig->recv_code = passing[i];
		assert_int_equal(rig_peek(rig, 0, 0, &value), passing[i]);
		rig->recv_code = 0;
		assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
		rig->send_code = passing[i];
		assert_int_equal(rig_peek(rig, 0, 0, &value), passing[i]);
		rig->send_code = 0;
		assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	}
	/* Not with half a message sent. */
	rig->send_most = 7;
	rig->send_limit = 1;
	rig->send_code = -ENOMEM;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ENOMEM);
	expect_dead(rig, -ENOMEM);
	vfio_device_detach(rig->device);
	rig->send_most = rig->send_limit = 0;
	rig->send_code = 0;
	rig->in_len = rig->out_len = rig->out_at = 0;
	attach_and_peek(rig);
	rig->poll_code = -EBADF;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -EBADF);
	expect_dead(rig, -EBADF);
}

/* A sender that dribbles keeps nobody longer than one that is silent. */
static bool dribble(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		    uint32_t size)
{
	struct vfio_user_header answer = { .msg_id = header->msg_id,
					   .cmd = header->cmd,
					   .msg_size = 16 + 64,
					   .flags = VFIO_USER_F_TYPE_REPLY };
	static const uint8_t zeroes[200];

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_REGION_READ)
		return false;
	answer.msg_size = 16 + 400;
	rig_put(rig, &answer, sizeof(answer));
	rig_put(rig, zeroes, sizeof(zeroes));
	rig->recv_most = 1;
	return true;
}

static void dribbling(void **state)
{
	struct rig *rig = *state;
	uint32_t value;

	attach_and_peek(rig);
	rig->hook = dribble;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	assert_true(rig->out_at < rig->out_len);
}

/* The server refuses the map and goes when that is undone. */
static bool refuse_and_go(struct rig *rig, const struct vfio_user_header *header,
			  const uint8_t *payload, uint32_t size)
{
	(void)payload, (void)size;
	if (header->cmd == VFIO_USER_DMA_MAP)
		rig_error(rig, header, EINVAL);
	rig->gone |= header->cmd == VFIO_USER_DMA_UNMAP;
	return true;
}

/* That it is gone concerns more than the device's memory that it refused: the VMM is told, once. */
static void refused_bar_and_gone(void **state)
{
	static uint8_t page[65536];
	struct rig *rig = *state;
	struct vfio_memory_region bar = { .name = "bar",
					  .kind = VFIO_MEMORY_RAM_DEVICE,
					  .start = 0x100000,
					  .last = 0x100000 + sizeof(page) - 1,
					  .vaddr = (uint64_t)(uintptr_t)page,
					  .fd = -1 };
	struct vfio_error error = { 0 };
	uint32_t id;

	assert_int_equal(rig_attach(rig), 0);
	rig->hook = refuse_and_go;
	assert_true(vfio_memory_add(rig->memory, &bar, &id, &error));
	assert_int_equal(rig->ref.broken_seen, 1);
	assert_int_equal(rig->ref.broken_code, -EPIPE);
	bar.start += sizeof(page);
	bar.last += sizeof(page);
	assert_true(vfio_memory_add(rig->memory, &bar, &id, &error));
	assert_int_equal(rig->ref.broken_seen, 1);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(refused_bar_and_gone),
		RIG_TEST(no_server),
		RIG_TEST(each_message),
		RIG_TEST(hang_up),
		RIG_TEST(hang_up_idle),
		RIG_TEST(senseless_streams),
		RIG_TEST(wrong_replies),
		RIG_TEST(late_replies),
		RIG_TEST(late_id),
		RIG_TEST(stuck),
		RIG_TEST(strays),
		RIG_TEST(a_thousand_fds),
		RIG_TEST(pieces),
		RIG_TEST(full_socket),
		RIG_TEST(seam_errors),
		RIG_TEST(dribbling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
