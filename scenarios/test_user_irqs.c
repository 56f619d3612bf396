/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts behind a vfio-user server: which messages one request becomes, and how those that were
 * sent are taken back when one of them fails.
 */
#include "user_rig.h"

enum { MSIX = VFIO_PCI_MSIX_IRQ_INDEX, MESSAGES_MAX = 16, VECTORS = 64 };

struct message {
	uint32_t flags, index, start, count;
	uint32_t fds;
	int first_fd;
};

struct script {
	struct message messages[MESSAGES_MAX];
	uint32_t count;
	uint32_t fail; /* the message with this number, from 1 */
	uint32_t code; /* 0: it is not answered */
	uint32_t echo; /* bytes in the good answers */
};

static bool follow(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		   uint32_t size)
{
	struct script *script = rig->hook_ctx;
	static const uint8_t zeroes[64];
	struct message *message;
	struct vfio_irq_set set;

	(void)size;
	if (header->cmd != VFIO_USER_DEVICE_SET_IRQS)
		return false;
	memcpy(&set, payload, sizeof(set));
	assert_in_range(script->count, 0, MESSAGES_MAX - 1);
	message = &script->messages[script->count++];
	*message = (struct message){ .flags = set.flags,
				     .index = set.index,
				     .start = set.start,
				     .count = set.count,
				     .fds = rig->got_fds,
				     .first_fd = rig->got_fds ? rig->last_fds[0] : -1 };
	if (script->count != script->fail)
		rig_reply(rig, header, zeroes, script->echo);
	else if (script->code)
		rig_error(rig, header, script->code);
	return true;
}

static void expect(const struct script *script, uint32_t at, uint32_t flags, uint32_t start,
		   uint32_t count, uint32_t fds, int first_fd)
{
	const struct message *message = &script->messages[at];

	assert_true(at < script->count);
	assert_int_equal(message->flags, flags);
	assert_int_equal(message->index, MSIX);
	assert_int_equal(message->start, start);
	assert_int_equal(message->count, count);
	assert_int_equal(message->fds, fds);
	assert_int_equal(message->first_fd, first_fd);
}

static int enable(struct rig *rig, uint32_t start, uint32_t count, const int *fds)
{
	struct vfio_error error = { 0 };
	bool good = vfio_device_irq_enable(rig->device, MSIX, start, count, fds, &error);

	assert_int_equal(good, !error.code);
	return error.code;
}

static void use(struct rig *rig, struct script *script)
{
	rig->hook = follow;
	rig->hook_ctx = script;
}

enum {
	EVENTFD = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
	NONE = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
};

/* As many descriptors in a message as the server takes; vectors without one by themselves. */
static void messages(void **state)
{
	struct rig *rig = *state;
	struct script script = { 0 };
	int fds[VECTORS];

	assert_int_equal(rig_attach(rig), 0);
	use(rig, &script);
	for (int i = 0; i < 20; i++)
		fds[i] = i ? 100 + i : 0;
	assert_int_equal(enable(rig, 3, 20, fds), 0);
	assert_int_equal(script.count, 3);
	expect(&script, 0, EVENTFD, 3, 8, 8, 0);
	expect(&script, 1, EVENTFD, 11, 8, 8, 108);
	expect(&script, 2, EVENTFD, 19, 4, 4, 116);
	script.count = 0;
	for (int i = 0; i < VECTORS; i++)
		fds[i] = -1;
	assert_int_equal(enable(rig, 0, VECTORS, fds), 0);
	assert_int_equal(script.count, 1);
	expect(&script, 0, EVENTFD, 0, VECTORS, 0, -1);
	script.count = 0;
	fds[1] = 0;
	fds[2] = 7;
	fds[40] = 0;
	assert_int_equal(enable(rig, 0, 41, fds), 0);
	assert_int_equal(script.count, 4);
	expect(&script, 0, EVENTFD, 0, 1, 0, -1);
	expect(&script, 1, EVENTFD, 1, 2, 2, 0);
	expect(&script, 2, EVENTFD, 3, 37, 0, -1);
	expect(&script, 3, EVENTFD, 40, 1, 1, 0);
	/* An answer that says the request again is one; a longer one is not. */
	script.echo = sizeof(struct vfio_irq_set);
	assert_int_equal(enable(rig, 0, 1, fds), 0);
	script.echo++;
	assert_int_equal(enable(rig, 0, 1, fds), -EPROTO);
	script.echo = 0;
}

/*
 * All vectors or none: what was set up is taken back; what was refused was not set up, what failed
 * in another way may have been.
 */
static void taken_back(void **state)
{
	struct rig *rig = *state;
	static const struct {
		uint32_t fail, code;
		int result;
		uint32_t undone; /* vectors that are taken back */
	} cases[] = {
		{ 1, EINVAL, -EINVAL, 0 },   { 1, ENOTTY, -ENOTTY, 0 },
		{ 1, ENOTSUP, -ENOTSUP, 0 }, { 1, ENOSPC, -ENOSPC, 0 },
		{ 1, EIO, -EIO, 8 },	     { 1, 0, -ETIMEDOUT, 8 },
		{ 2, EINVAL, -EINVAL, 8 },   { 2, ENOTSUP, -ENOTSUP, 8 },
		{ 3, ENOSPC, -ENOSPC, 16 },  { 3, ENOTTY, -ENOTTY, 16 },
		{ 2, ENOMEM, -ENOMEM, 16 },  { 3, EPROTO, -EPROTO, 20 },
	};
	int fds[20];

	for (int i = 0; i < 20; i++)
		fds[i] = 100 + i;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct script script = { .fail = cases[i / 2].fail, .code = cases[i / 2].code };
		uint32_t undone = cases[i / 2].undone;
		uint32_t sent = script.fail;
		bool was_on = i % 2;

		assert_int_equal(rig_attach(rig), 0);
		if (was_on)
			assert_int_equal(enable(rig, 60, 1, fds), 0);
		use(rig, &script);
		assert_int_equal(enable(rig, 5, 20, fds), cases[i / 2].result);
		assert_int_equal(script.count, sent + (undone > 0));
		/* An index that was off goes off; of one that was on, those vectors alone. */
		if (undone && was_on)
			expect(&script, sent, EVENTFD, 5, undone, 0, -1);
		else if (undone)
			expect(&script, sent, NONE, 0, 0, 0, -1);
		rig->hook = NULL;
		vfio_device_detach(rig->device);
		rig->out_len = rig->out_at = 0;
	}
}

static bool plain_device(struct rig *rig, const struct vfio_user_header *header,
			 const uint8_t *payload, uint32_t size)
{
	struct vfio_user_device_info info = { .argsz = sizeof(info),
					      .num_regions = RIG_REGIONS,
					      .num_irqs = VFIO_PCI_NUM_IRQS };

	if (header->cmd != VFIO_USER_DEVICE_GET_INFO)
		return follow(rig, header, payload, size);
	rig_reply(rig, header, &info, sizeof(info));
	return true;
}

/* A server that takes no descriptors can do without them where there are none. */
static void without_descriptors(void **state)
{
	struct rig *rig = *state;
	struct script script = { 0 };
	int fds[3] = { -1, -1, 5 };

	rig->caps = "{\"capabilities\":{\"max_msg_fds\":0}}";
	rig->hook = plain_device;
	rig->hook_ctx = &script;
	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(enable(rig, 0, 2, fds), 0);
	assert_int_equal(script.count, 1);
	expect(&script, 0, EVENTFD, 0, 2, 0, -1);
	assert_int_equal(enable(rig, 2, 1, fds + 2), -ENOTSUP);
	assert_int_equal(script.count, 1);
	assert_int_equal(enable(rig, 1, 3, fds), -ENOTSUP);
	assert_int_equal(script.count, 3);
	expect(&script, 1, EVENTFD, 1, 2, 0, -1);
	expect(&script, 2, EVENTFD, 1, 2, 0, -1);
}

/* As many descriptors in a message as the server takes, which is one where it does not say. */
static void descriptors_in_a_message(void **state)
{
	static const struct {
		const char *caps;
		uint32_t most;
	} cases[] = {
		{ "{\"capabilities\":{}}", 1 },
		{ "{\"capabilities\":{\"write_multiple\":true}}", 1 },
		{ "{\"capabilities\":{\"max_msg_fds\":1}}", 1 },
		{ "{\"capabilities\":{\"max_msg_fds\":3}}", 3 },
		{ "{\"capabilities\":{\"max_msg_fds\":8}}", 8 },
	};
	struct rig *rig = *state;
	int fds[MESSAGES_MAX];

	for (int i = 0; i < MESSAGES_MAX; i++)
		fds[i] = 100 + i;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct script script = { 0 };
		uint32_t most = cases[i].most;

		rig->caps = cases[i].caps;
		assert_int_equal(rig_attach(rig), 0);
		use(rig, &script);
		assert_int_equal(enable(rig, 0, MESSAGES_MAX, fds), 0);
		assert_int_equal(script.count, (MESSAGES_MAX + most - 1) / most);
		expect(&script, 0, EVENTFD, 0, most, most, 100);
		rig->hook = NULL;
		vfio_device_detach(rig->device);
	}
}

/* The other actions: what the server says is what the program hears. */
static void actions(void **state)
{
	struct rig *rig = *state;
	struct script script = { .fail = 4, .code = EBUSY };
	struct vfio_error error = { 0 };

	assert_int_equal(rig_attach(rig), 0);
	use(rig, &script);
	assert_true(vfio_device_irq_mask(rig->device, MSIX, true, &error));
	assert_true(vfio_device_irq_mask(rig->device, MSIX, false, &error));
	assert_true(vfio_device_irq_trigger(rig->device, MSIX, 9, &error));
	expect(&script, 0, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, 0, 1, 0, -1);
	expect(&script, 1, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, 0, -1);
	expect(&script, 2, NONE, 9, 1, 0, -1);
	assert_false(vfio_device_irq_trigger(rig->device, MSIX, 9, &error));
	assert_int_equal(error.code, -EBUSY);
	assert_non_null(strstr(error.message, "d0: interrupt 2, vector 9"));
	script.count = 3;
	assert_false(vfio_device_irq_mask(rig->device, MSIX, true, &error));
	assert_int_equal(error.code, -EBUSY);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(messages),
		RIG_TEST(taken_back),
		RIG_TEST(without_descriptors),
		RIG_TEST(descriptors_in_a_message),
		RIG_TEST(actions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
