/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long the stack waits for a vfio-user server, how much it listens to meanwhile, and what it
 * makes of a stream that comes and goes in pieces.
 */
#include "user_rig.h"

enum { PAGE = 4096, TICKS = 100 /* of rig_attach() */ };

static _Alignas(PAGE) uint8_t ram[4 * PAGE];

static void attach_and_peek(struct rig *rig)
{
	uint32_t value, seven = 7;

	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	memcpy(rig->regions[0], &seven, 4);
	rig->waited = 0;
}

static void reads_seven(struct rig *rig)
{
	uint32_t value = 0;

	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	assert_int_equal(value, 7);
}

static void reads_zero(struct rig *rig)
{
	uint32_t value = 1;

	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	assert_int_equal(value, 0);
}

/* ---- how long ---- */

static bool silent(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		   uint32_t size)
{
	(void)rig, (void)header, (void)payload, (void)size;
	return true;
}

static void ticks(void **state)
{
	struct rig *rig = *state;
	struct vfio_device_options options = { .name = "d0",
					       .backend = VFIO_BACKEND_USER,
					       .socket = "/run/device" };
	struct vfio_error error = { 0 };

	rig->hook = silent;
	assert_null(vfio_device_attach(rig->vfio, rig->memory, &options, &error));
	assert_int_equal(error.code, -ETIMEDOUT);
	assert_int_equal(rig->waited, 5000);
	rig->waited = 0;
	options.timeout_ticks = 1;
	assert_null(vfio_device_attach(rig->vfio, rig->memory, &options, &error));
	assert_int_equal(rig->waited, 1);
	rig->waited = 0;
	assert_int_equal(rig_attach(rig), -ETIMEDOUT);
	assert_int_equal(rig->waited, TICKS);
}

/* Nobody waits for what nobody has to say, and a connection that is dead is left alone. */
static void polling(void **state)
{
	struct rig *rig = *state;
	uint32_t polls;

	attach_and_peek(rig);
	polls = rig->polls;
	vfio_device_poll(rig->device);
	assert_int_equal(rig->polls, polls + 1);
	assert_int_equal(rig->waited, 0);
	rig->gone = true;
	vfio_device_poll(rig->device);
	polls = rig->polls;
	vfio_device_poll(rig->device);
	assert_int_equal(rig->polls, polls);
	assert_int_equal(rig->ref.errors_seen, 1);
}

/* A program that does not want to know. */
static void no_callback(void **state)
{
	struct rig *rig = *state;
	uint32_t value;

	vfio_free(rig->vfio);
	rig->vmm.device_error = NULL;
	rig->vfio = vfio_new(&rig->sys, &rig->vmm);
	attach_and_peek(rig);
	rig->gone = true;
	vfio_device_poll(rig->device);
	assert_int_equal(rig_peek(rig, 0, 0, &value), -EPIPE);
}

/* Memory is short at each place of an attach in turn, and there alone; the descriptor of the socket
 * may be 0. */
static uint32_t allocs_left;
static int64_t allocs;

static void *short_alloc(void *ctx, size_t size)
{
	(void)ctx;
	if (!allocs_left--)
		return NULL;
	allocs++;
	return calloc(1, size);
}

static void counted_free(void *ctx, void *block)
{
	(void)ctx;
	allocs -= block != NULL;
	free(block);
}

static void short_of_memory(void **state)
{
	struct rig *rig = *state;
	int64_t before;
	uint32_t room = 0;

	vfio_free(rig->vfio);
	rig->vmm.alloc = short_alloc;
	rig->vmm.free = counted_free;
	allocs_left = UINT32_MAX;
	rig->vfio = vfio_new(&rig->sys, &rig->vmm);
	rig->socket = 0;
	before = allocs;
	for (;; room++) {
		allocs_left = room;
		if (!rig_attach(rig))
			break;
		assert_int_equal(rig->error.code, -ENOMEM);
		assert_int_equal(allocs, before);
	}
	assert_in_range(room, 5, 100);
	allocs_left = UINT32_MAX;
	reads_zero(rig);
	vfio_device_detach(rig->device);
	assert_int_equal(allocs, before);
	vfio_free(rig->vfio);
	vfio_vmm_ref(&rig->ref, &rig->vmm);
	rig->vfio = vfio_new(&rig->sys, &rig->vmm);
}

/* ---- how much ---- */

/* What comes before each answer of these commands. */
struct chatter {
	uint32_t strays, requests;
};

static void chat(struct rig *rig, uint16_t id, const struct chatter *chatter)
{
	struct vfio_user_region_access access = { .count = 4 };
	struct vfio_user_header stray = { .msg_id = id, .cmd = VFIO_USER_REGION_READ };
	uint8_t bytes[20] = { 0 };

	memcpy(bytes, &access, sizeof(access));
	for (uint32_t i = 0; i < chatter->requests; i++)
		rig_ask_dma(rig, VFIO_USER_DMA_READ, 0, 0, NULL, 0, VFIO_USER_F_NO_REPLY);
	for (uint32_t i = 0; i < chatter->strays; i++) {
		stray.msg_id = (uint16_t)(id + 1000 + i);
		rig_reply(rig, &stray, bytes, sizeof(bytes));
	}
}

static bool chatty(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		   uint32_t size)
{
	(void)payload, (void)size;
	if (header->cmd == VFIO_USER_REGION_READ || header->cmd == VFIO_USER_DMA_MAP)
		chat(rig, header->msg_id, rig->hook_ctx);
	return false;
}

/* Each wait listens to so much, whatever was heard before. */
static void budgets(void **state)
{
	struct rig *rig = *state;
	struct chatter some = { 200, 40000 }, most = { 256, 65536 };
	uint32_t id;

	attach_and_peek(rig);
	rig->hook = chatty;
	rig->hook_ctx = &some;
	for (int i = 0; i < 2; i++) {
		reads_seven(rig);
		id = rig_ram(rig, 0, ram, PAGE, -1);
		reads_seven(rig);
		chat(rig, 0, &some);
		vfio_device_poll(rig->device);
		chat(rig, 0, &some);
		vfio_device_poll(rig->device);
		vfio_memory_del(rig->memory, id);
	}
	rig->hook_ctx = &most;
	reads_seven(rig);
	rig_ram(rig, 0, ram, PAGE, -1);
	chat(rig, 0, &most);
	vfio_device_poll(rig->device);
	rig->hook = NULL;
	reads_seven(rig);
	assert_int_equal(rig->ref.broken_seen + rig->ref.errors_seen, 0);
	assert_int_equal(rig->waited, 0);
}

/* One more of either, and that is what it dies of: not of the last one, which looks fine. */
static void over_budget(void **state)
{
	struct rig *rig = *state;
	static const struct chatter cases[] = { { 257, 0 }, { 0, 65537 } };
	uint32_t value, ids[70];

	for (size_t i = 0; i < 6; i++) {
		struct chatter chatter = cases[i % 2];
		/* Also more than can be sent without an answer. */
		uint32_t maps = i % 2 ? 1 : 70;

		rig->ref.broken_seen = rig->ref.errors_seen = 0;
		attach_and_peek(rig);
		rig->hook = chatty;
		rig->hook_ctx = &chatter;
		if (i / 2 == 0) {
			assert_int_equal(rig_peek(rig, 0, 0, &value), -EPROTO);
		} else if (i / 2 == 1) {
			/* Each map that was not answered before, and then that it is dead. */
			vfio_memory_begin(rig->memory);
			for (uint32_t page = 0; page < maps; page++)
				ids[page] = rig_ram(rig, page * 2ULL * PAGE, ram, PAGE, -1);
			vfio_memory_commit(rig->memory);
			assert_int_equal(rig->ref.broken_seen, maps + 1);
			assert_int_equal(rig->ref.broken_code, -EPROTO);
			for (uint32_t page = 0; page < maps; page++)
				vfio_memory_del(rig->memory, ids[page]);
		} else {
			chat(rig, 0, &chatter);
			vfio_device_poll(rig->device);
			assert_int_equal(rig->ref.errors_seen, 1);
		}
		rig->hook = NULL;
		assert_int_equal(rig_peek(rig, 0, 0, &value), -EPROTO);
		vfio_device_detach(rig->device);
		rig->out_len = rig->out_at = 0;
	}
}

/* ---- late ---- */

struct late {
	struct vfio_user_header held[32];
	uint32_t count;
	struct chatter chatter;
};

static bool hold(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		 uint32_t size)
{
	struct late *late = rig->hook_ctx;

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_REGION_READ)
		return false;
	late->held[late->count++] = *header;
	return true;
}

/* A reply that comes late makes room for another, and is no stray. */
static void late_replies(void **state)
{
	struct rig *rig = *state;
	struct late late = { .chatter = { .strays = 256 } };
	uint32_t value;

	attach_and_peek(rig);
	for (uint32_t round = 0; round < 3; round++) {
		rig->hook = hold;
		rig->hook_ctx = &late;
		while (late.count < 16)
			assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
		/* Those in the middle first. */
		for (uint32_t i = 0; i < 16; i++)
			rig_error(rig, &late.held[(i + 5) % 16], EIO);
		rig->hook = chatty;
		rig->hook_ctx = &late.chatter;
		reads_seven(rig);
		late.count = 0;
	}
}

/* flush() looks for them as well: nothing is left lying about. */
static void late_and_flush(void **state)
{
	struct rig *rig = *state;
	struct late late = { 0 };
	struct vfio_error error = { 0 };
	uint32_t value;

	attach_and_peek(rig);
	rig->hook = hold;
	rig->hook_ctx = &late;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	rig_reply_fds(rig, &late.held[0], NULL, 0, 1);
	assert_true(vfio_device_flush(rig->device, &error));
	assert_int_equal(rig->open_count, 3);
	assert_int_equal(rig->out_fd_count, 0);
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	rig->gone = true;
	assert_false(vfio_device_flush(rig->device, &error));
	assert_int_equal(error.code, -EPIPE);
}

/* A reply that could not be read for lack of memory may still come; so many, and it is stuck. */
static void late_without_memory(void **state)
{
	struct rig *rig = *state;
	uint32_t value;

	attach_and_peek(rig);
	rig->recv_code = -ENOMEM;
	for (int i = 0; i < 17; i++)
		assert_int_equal(rig_peek(rig, 0, 0, &value), -ENOMEM);
	rig->recv_code = 0;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
}

/* What it died of first is what is told. */
static void first_reason(void **state)
{
	struct rig *rig = *state;
	struct late late = { 0 };
	uint32_t value;

	attach_and_peek(rig);
	rig->hook = hold;
	rig->hook_ctx = &late;
	while (late.count < 16)
		assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	rig->recv_code = -ECONNRESET;
	rig->hook = NULL;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -EPIPE);
	rig->recv_code = 0;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -EPIPE);
}

/* ---- answers that are nearly right ---- */

static bool nearly(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		   uint32_t size)
{
	const struct vfio_user_header *says = rig->hook_ctx;
	struct vfio_user_header answer = *says;
	uint8_t bytes[20] = { 0 };

	(void)size;
	if (header->cmd != VFIO_USER_REGION_READ)
		return false;
	memcpy(bytes, payload, 16);
	answer.msg_id = header->msg_id;
	rig_message(rig, &answer, bytes, says->msg_size > 16 ? 20 : 0, 0);
	return true;
}

static void nearly_right(void **state)
{
	struct rig *rig = *state;
	enum { REPLY = VFIO_USER_F_TYPE_REPLY, ERROR = REPLY | VFIO_USER_F_ERROR };
	struct {
		struct vfio_user_header says;
		int code;
		bool dead;
	} cases[] = {
		{ { 0, VFIO_USER_REGION_READ, 36, REPLY, 0 }, 0, false },
		{ { 0, VFIO_USER_REGION_WRITE, 36, REPLY, 0 }, -EPROTO, false },
		{ { 0, VFIO_USER_REGION_WRITE, 16, ERROR, EIO }, -EPROTO, false },
		{ { 0, VFIO_USER_REGION_READ, 16, ERROR, 4095 }, -4095, false },
		{ { 0, VFIO_USER_REGION_READ, 16, ERROR, 1 }, -1, false },
		{ { 0, VFIO_USER_REGION_READ, 15, ERROR, EIO }, -EPROTO, true },
		{ { 0, VFIO_USER_REGION_READ, VFIO_USER_MAX_MSG_BYTES + 1, ERROR, EIO },
		  -EPROTO,
		  true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t value;

		attach_and_peek(rig);
		rig->hook = nearly;
		rig->hook_ctx = &cases[i].says;
		assert_int_equal(rig_peek(rig, 0, 0, &value), cases[i].code);
		rig->hook = NULL;
		assert_int_equal(rig_peek(rig, 0, 0, &value), cases[i].dead ? -EPROTO : 0);
		vfio_device_detach(rig->device);
		rig->out_len = rig->out_at = 0;
	}
}

/* ---- in pieces ---- */

/* A reply for nobody before each answer, so that one read gets parts of both. */
static bool babble(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		   uint32_t size)
{
	static const uint8_t bytes[24] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct vfio_user_header stray = *header;

	(void)payload, (void)size;
	stray.msg_id = (uint16_t)(header->msg_id + 100);
	rig_reply(rig, &stray, bytes, sizeof(bytes));
	return false;
}

static void in_pieces(void **state)
{
	struct rig *rig = *state;
	static const int fds[3] = { 5, 6, 7 };
	struct vfio_error error = { 0 };
	uint64_t addr;

	for (uint32_t most = 5; most < 120; most += 3) {
		rig->send_most = most;
		rig->recv_most = most;
		rig->hook = babble;
		attach_and_peek(rig);
		reads_seven(rig);
		/* The descriptor belongs to the second of two messages. */
		assert_true(vfio_device_map_area(rig->device, RIG_MAPPED_REGION, 1, &addr, &error));
		assert_true(vfio_device_irq_enable(rig->device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 3, fds,
						   &error));
		assert_int_equal(rig->in_len, 0);
		rig->hook = NULL;
		assert_int_equal(rig->open_count, 3);
		vfio_device_detach(rig->device);
	}
	/* All of it at once. */
	rig->send_most = rig->recv_most = 0;
	rig->hook = babble;
	attach_and_peek(rig);
	assert_true(vfio_device_map_area(rig->device, RIG_MAPPED_REGION, 1, &addr, &error));
	rig->hook = NULL;
}

/* More descriptors in one message than it may have, some with each part. */
static bool fds_in_parts(struct rig *rig, const struct vfio_user_header *header,
			 const uint8_t *payload, uint32_t size)
{
	static const uint8_t bytes[60];
	struct vfio_user_header stray = *header;

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_REGION_READ)
		return false;
	stray.msg_id++;
	stray.msg_size = sizeof(stray) + sizeof(bytes);
	stray.flags = VFIO_USER_F_TYPE_REPLY;
	rig_put(rig, &stray, sizeof(stray));
	for (uint32_t i = 0; i < 3; i++) {
		rig_put_fds(rig, 20);
		rig_put(rig, bytes, 20);
	}
	return false;
}

static void too_many_fds(void **state)
{
	struct rig *rig = *state;

	attach_and_peek(rig);
	rig->hook = fds_in_parts;
	reads_seven(rig);
	reads_seven(rig);
	assert_int_equal(rig->open_count, 3);
}

/* ---- a server that does not read ---- */

static void full(void **state)
{
	struct rig *rig = *state;
	uint32_t value;

	/* Twice in a row is bad, three times is dead. */
	attach_and_peek(rig);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 2; i++) {
			rig->waited = 0;
			rig->send_again = UINT32_MAX;
			assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
			assert_int_equal(rig->waited, TICKS);
		}
		rig->send_again = 0;
		reads_seven(rig);
	}
	/* In the middle of a message it is dead at once. */
	rig->send_most = 7;
	rig->send_limit = 1;
	rig->send_code = -EAGAIN;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	rig->send_most = 0;
	rig->send_code = 0;
	rig->in_len = 0;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	assert_int_equal(rig->in_len, 0);
}

/* It waits for us to read what it says; whoever says more than we can keep waits in vain. */
static void deaf(void **state)
{
	struct rig *rig = *state;
	static const uint8_t bytes[600000];
	struct vfio_user_header stray = { .msg_id = 9999, .cmd = VFIO_USER_REGION_READ };
	uint32_t value;

	attach_and_peek(rig);
	rig->deaf = true;
	rig_reply(rig, &stray, bytes, 4000);
	reads_seven(rig);
	rig_reply(rig, &stray, bytes, sizeof(bytes));
	rig_reply(rig, &stray, bytes, sizeof(bytes));
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	rig->deaf = false;
	reads_seven(rig);
	assert_int_equal(rig->waited, 0);
}

/* A socket that takes nothing and does not say why. */
static void takes_nothing(void **state)
{
	struct rig *rig = *state;
	uint32_t value;

	attach_and_peek(rig);
	rig->send_nothing = true;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -EPIPE);
	rig->send_nothing = false;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -EPIPE);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(short_of_memory), RIG_TEST(ticks),	     RIG_TEST(polling),
		RIG_TEST(no_callback),	   RIG_TEST(budgets),	     RIG_TEST(over_budget),
		RIG_TEST(late_replies),	   RIG_TEST(late_and_flush), RIG_TEST(late_without_memory),
		RIG_TEST(first_reason),	   RIG_TEST(nearly_right),   RIG_TEST(in_pieces),
		RIG_TEST(too_many_fds),	   RIG_TEST(full),	     RIG_TEST(deaf),
		RIG_TEST(takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
