/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of a device behind a vfio-user server: what becomes of answers that are too short, too long
 * or at the very end of the buffer, of areas to map, and of posted writes that cannot be sent; and
 * who hears that the server is gone.
 */
#include <sys/mman.h>

#include "user_rig.h"

enum {
	PAGE = 65536, /* a whole number of pages, whatever size they have */
	BLOCK = VFIO_USER_MAX_MSG_BYTES,
	BLOCK_PAGES = (BLOCK + PAGE - 1) / PAGE,
};

static void fails_with(bool good, const struct vfio_error *error, int code)
{
	assert_false(good);
	assert_int_equal(error->code, code);
	assert_true(error->message[0]);
}

/* ---- nothing behind the buffer is touched ---- */

/* The pages of the large blocks. */
static uint8_t *guarded[4];

/* Large blocks end where a page begins that cannot be touched. */
static void *guarded_alloc(void *ctx, size_t size)
{
	uint32_t slot = 0;

	(void)ctx;
	if (size < BLOCK)
		return calloc(1, size);
	assert_int_equal(size, BLOCK);
	while (guarded[slot])
		assert_in_range(++slot, 0, 3);
	guarded[slot] = mmap(NULL, (BLOCK_PAGES + 1) * PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(guarded[slot], MAP_FAILED);
	assert_int_equal(mprotect(guarded[slot] + BLOCK_PAGES * PAGE, PAGE, PROT_NONE), 0);
	return guarded[slot] + BLOCK_PAGES * PAGE - BLOCK;
}

static void guarded_free(void *ctx, void *block)
{
	(void)ctx;
	for (uint32_t slot = 0; slot < 4; slot++) {
		if (!guarded[slot] || guarded[slot] + BLOCK_PAGES * PAGE - BLOCK != block)
			continue;
		munmap(guarded[slot], (BLOCK_PAGES + 1) * PAGE);
		guarded[slot] = NULL;
		return;
	}
	free(block);
}

/*
 * The answer to a command is a header alone, the last bytes that the buffer has room for. So is the
 * server's own request, when that is what a test is about.
 */
static bool at_the_edge(struct rig *rig, const struct vfio_user_header *header,
			const uint8_t *payload, uint32_t size)
{
	const uint16_t *cmd = rig->hook_ctx;
	static const uint8_t zeroes[VFIO_USER_MAX_MSG_BYTES];
	struct vfio_user_header stray = *header;
	struct vfio_user_header ask = { .msg_id = RIG_ASK_ID,
					.cmd = VFIO_USER_DMA_READ,
					.msg_size = sizeof(ask) };
	bool asks = *cmd == VFIO_USER_DMA_READ;

	(void)payload, (void)size;
	if (header->cmd != (asks ? VFIO_USER_REGION_READ : *cmd))
		return false;
	stray.msg_id++;
	rig_reply(rig, &stray, zeroes, VFIO_USER_MAX_MSG_BYTES - 32);
	if (asks)
		rig_message(rig, &ask, NULL, 0, 0);
	else
		rig_reply(rig, header, NULL, 0);
	return !asks;
}

/* A call that sends @cmd: 0 or its error. */
static int operate(struct rig *rig, uint16_t cmd, bool posts)
{
	struct vfio_error error = { 0 };
	enum vfio_mig_state state;
	struct vfio_region region;
	struct vfio_irq irq;
	uint32_t value = 0;
	size_t got;

	switch (cmd) {
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		vfio_device_region(rig->device, 1, &region, &error);
		break;
	case VFIO_USER_REGION_READ:
		vfio_device_read(rig->device, 0, 0, &value, 4, &error);
		break;
	case VFIO_USER_REGION_WRITE:
	case VFIO_USER_REGION_WRITE_MULTI:
		if (!posts)
			vfio_device_write(rig->device, 0, 0, &value, 4, &error);
		else if (vfio_device_post(rig->device, 0, 0, &value, 4, &error))
			vfio_device_flush(rig->device, &error);
		break;
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		vfio_device_irq(rig->device, 1, &irq, &error);
		break;
	case VFIO_USER_DEVICE_FEATURE:
		vfio_device_mig_state(rig->device, &state, &error);
		break;
	default:
		vfio_device_mig_read(rig->device, &value, 4, &got, &error);
	}
	return error.code;
}

/* What is too short is refused, and what would be behind it is not looked at. */
static void edges(void **state)
{
	struct rig *rig = *state;
	static const struct {
		uint16_t cmd;
		bool posts, multi;
	} cases[] = {
		{ VFIO_USER_DEVICE_GET_REGION_INFO, false, true },
		{ VFIO_USER_REGION_READ, false, true },
		{ VFIO_USER_REGION_WRITE, false, true },
		{ VFIO_USER_REGION_WRITE_MULTI, true, true },
		{ VFIO_USER_REGION_WRITE, true, false },
		{ VFIO_USER_DEVICE_GET_IRQ_INFO, false, true },
		{ VFIO_USER_DEVICE_FEATURE, false, true },
		{ VFIO_USER_MIG_DATA_READ, false, true },
		{ VFIO_USER_DMA_READ, false, true },
	};

	vfio_free(rig->vfio);
	rig->vmm.alloc = guarded_alloc;
	rig->vmm.free = guarded_free;
	rig->vfio = vfio_new(&rig->sys, &rig->vmm);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint16_t cmd = cases[i].cmd;
		bool asks = cmd == VFIO_USER_DMA_READ;
		uint32_t value;

		rig->caps = cases[i].multi ? NULL : "{\"capabilities\":{\"max_msg_fds\":8}}";
		assert_int_equal(rig_attach(rig), 0);
		assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
		rig->hook = at_the_edge;
		rig->hook_ctx = &cmd;
		rig->reply_count = 0;
		if (asks)
			assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
		else
			assert_int_equal(operate(rig, cmd, cases[i].posts), -EPROTO);
		assert_int_equal(rig->reply_count, asks);
		if (asks)
			assert_int_equal(rig->replies[0], EINVAL);
		rig->hook = NULL;
		vfio_device_detach(rig->device);
	}
	vfio_free(rig->vfio);
	vfio_vmm_ref(&rig->ref, &rig->vmm);
	rig->vfio = vfio_new(&rig->sys, &rig->vmm);
}

/* The longest message that there may be is one, and the next one is found behind it. */
static bool longest(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		    uint32_t size)
{
	static const uint8_t zeroes[VFIO_USER_MAX_MSG_BYTES];
	struct vfio_user_header stray = *header;

	(void)payload, (void)size;
	stray.msg_id++;
	rig_reply(rig, &stray, zeroes, VFIO_USER_MAX_MSG_BYTES - 16);
	return false;
}

static void longest_message(void **state)
{
	struct rig *rig = *state;
	uint32_t value = 0, seven = 7;

	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	memcpy(rig->regions[0], &seven, 4);
	rig->hook = longest;
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	assert_int_equal(value, 7);
	rig->recv_most = 100000;
	rig->waited = 0;
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	assert_int_equal(value, 7);
}

/* ---- regions ---- */

/* What GET_REGION_INFO says from now on. */
struct region_answer {
	uint32_t code;
	uint32_t fds; /* 1: descriptor 0 */
	uint32_t cut; /* bytes of the capability that are missing */
	uint64_t offset;
};

static bool region_answer(struct rig *rig, const struct vfio_user_header *header,
			  const uint8_t *payload, uint32_t size)
{
	const struct region_answer *says = rig->hook_ctx;
	struct {
		struct vfio_region_info info;
		struct vfio_info_cap_header cap;
		uint32_t areas, reserved;
		uint64_t area[2][2];
	} full = { .info = { .argsz = sizeof(full),
			     .flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_MMAP |
				      VFIO_REGION_INFO_FLAG_CAPS,
			     .cap_offset = sizeof(full.info),
			     .size = 8192,
			     .offset = says->offset },
		   .cap = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 },
		   .areas = 2,
		   .area = { { 0, 1024 }, { 4096, 4096 } } };
	struct vfio_region_info ask;

	(void)size;
	if (header->cmd != VFIO_USER_DEVICE_GET_REGION_INFO)
		return false;
	if (says->code) {
		rig_error(rig, header, says->code);
		return true;
	}
	memcpy(&ask, payload, sizeof(ask));
	full.info.index = ask.index;
	if (ask.argsz < sizeof(full))
		rig_reply(rig, header, &full, sizeof(full.info));
	else
		rig_reply(rig, header, &full, (uint32_t)sizeof(full) - says->cut);
	if (says->fds) {
		assert_false(rig->open[0]);
		rig->open[0] = true;
		rig->open_count++;
		rig->out_fds[rig->out_fd_count].end = rig->out_len;
		rig->out_fds[rig->out_fd_count++].fd = 0;
	}
	return true;
}

static int zero_mmap(void *ctx, uint64_t len, int prot, int fd, uint64_t offset, uint64_t *addr)
{
	struct rig *rig = ctx;

	assert_int_equal(len, 4096);
	assert_int_equal(prot, PROT_READ);
	assert_int_equal(fd, 0);
	assert_int_equal(offset, 0x20000 + 4096);
	*addr = 0x1234000;
	rig->map_bytes += len;
	return 0;
}

static void areas(void **state)
{
	struct rig *rig = *state;
	struct region_answer says = { .cut = 1, .offset = 0x20000 };
	struct vfio_error error = { 0 };
	struct vfio_region region;
	uint64_t addr;

	vfio_free(rig->vfio);
	rig->sys.mmap = zero_mmap;
	rig->vfio = vfio_new(&rig->sys, &rig->vmm);
	assert_int_equal(rig_attach(rig), 0);
	rig->hook = region_answer;
	rig->hook_ctx = &says;
	/* What did not come is not there. */
	fails_with(vfio_device_region(rig->device, 0, &region, &error), &error, -E2BIG);
	says.cut = 24;
	fails_with(vfio_device_region(rig->device, 0, &region, &error), &error, -E2BIG);
	says.cut = 0;
	assert_true(vfio_device_region(rig->device, 0, &region, &error));
	assert_int_equal(region.area_count, 2);
	fails_with(vfio_device_map_area(rig->device, 0, 1, &addr, &error), &error, -ENODEV);
	/* A descriptor is one, whatever its number. */
	says.fds = 1;
	assert_true(vfio_device_map_area(rig->device, 0, 1, &addr, &error));
	assert_int_equal(addr, 0x1234000);
	assert_false(rig->open[0]);
	says.offset = UINT64_MAX - 4095;
	assert_true(vfio_device_region(rig->device, 1, &region, &error));
	fails_with(vfio_device_map_area(rig->device, 1, 1, &addr, &error), &error, -ERANGE);
	assert_false(rig->open[0]);
	/* The server's reason is the one that counts. */
	says.code = EIO;
	fails_with(vfio_device_map_area(rig->device, 0, 1, &addr, &error), &error, -EIO);
	fails_with(vfio_device_map_area(rig->device, 1, 1, &addr, &error), &error, -EIO);
	fails_with(vfio_device_region(rig->device, 2, &region, &error), &error, -EIO);
}

/* ---- posted writes ---- */

static bool post(struct rig *rig, struct vfio_error *error)
{
	uint64_t value = 0x1122334455667788;

	return vfio_device_post(rig->device, 1, 8, &value, 8, error);
}

/* So many that the next one is waited for, and the one behind it sends it. */
static void fill(struct rig *rig)
{
	struct vfio_error error = { 0 };
	uint32_t value;

	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	for (uint32_t i = 0; i < 33 * 32; i++)
		assert_true(post(rig, &error));
}

static bool write_errors(struct rig *rig, const struct vfio_user_header *header,
			 const uint8_t *payload, uint32_t size)
{
	uint32_t *code = rig->hook_ctx;

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_REGION_WRITE_MULTI || header->flags & VFIO_USER_F_NO_REPLY)
		return false;
	if (*code == EPIPE)
		rig->gone = true;
	else
		rig_error(rig, header, *code);
	/* The first one only. */
	rig->hook = NULL;
	return true;
}

static void posted(void **state)
{
	struct rig *rig = *state;
	struct vfio_error error = { 0 };
	uint32_t code = ENXIO;
	uint64_t value = 0;

	assert_int_equal(rig_attach(rig), 0);
	assert_true(post(rig, &error));
	assert_true(vfio_device_post(rig->device, 1, 8, &value, 0, &error));
	assert_int_equal(rig->unanswered, 0);
	assert_true(vfio_device_flush(rig->device, &error));
	assert_int_equal(rig->log_count, 1);
	assert_int_equal(rig->log[0].region, 1);
	assert_int_equal(rig->log[0].offset, 8);
	assert_int_equal(rig->log[0].count, 8);
	/* With nothing posted there is nothing to ask. */
	rig->polls = rig->recvs = 0;
	assert_true(vfio_device_flush(rig->device, &error));
	assert_int_equal(rig->polls + rig->recvs, 0);
	/* The first one that failed is told, though others were done after it; and told once. */
	fill(rig);
	rig->hook = write_errors;
	rig->hook_ctx = &code;
	assert_true(post(rig, &error));
	for (uint32_t i = 0; i < 34 * 32; i++)
		assert_true(post(rig, &error));
	fails_with(vfio_device_flush(rig->device, &error), &error, -ENXIO);
	assert_true(vfio_device_flush(rig->device, &error));
	/* When they cannot be sent, the one that would have gone behind them says so. */
	for (uint32_t i = 0; i < 32; i++)
		assert_true(post(rig, &error));
	rig->send_again = 101;
	fails_with(post(rig, &error), &error, -ETIMEDOUT);
	assert_int_equal(rig->send_again, 0);
	assert_true(vfio_device_flush(rig->device, &error));
	/* So it is when the server goes. */
	fill(rig);
	code = EPIPE;
	rig->hook = write_errors;
	fails_with(post(rig, &error), &error, -EPIPE);
	fails_with(vfio_device_flush(rig->device, &error), &error, -EPIPE);
}

/* Nobody reads them, for the third time, or somebody goes when they are sent: that is told. */
static void posted_in_vain(void **state)
{
	struct rig *rig = *state;
	struct vfio_error error = { 0 };

	assert_int_equal(rig_attach(rig), 0);
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 32; i++)
			assert_true(post(rig, &error));
		rig->send_again = 101;
		fails_with(post(rig, &error), &error, -ETIMEDOUT);
	}
	fails_with(post(rig, &error), &error, -ETIMEDOUT);
	vfio_device_detach(rig->device);
	assert_int_equal(rig_attach(rig), 0);
	for (uint32_t i = 0; i < 32; i++)
		assert_true(post(rig, &error));
	rig->send_again = 1;
	rig->gone = true;
	fails_with(post(rig, &error), &error, -EPIPE);
}

/* What is posted goes before what is asked; when it cannot go, nothing is asked. */
static void posted_before(void **state)
{
	struct rig *rig = *state;
	struct vfio_error error = { 0 };
	uint32_t value;

	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	assert_true(post(rig, &error));
	rig->seen[VFIO_USER_REGION_READ] = 0;
	rig->send_again = 101;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
	assert_int_equal(rig->seen[VFIO_USER_REGION_READ], 0);
	assert_int_equal(rig->seen[VFIO_USER_REGION_WRITE_MULTI], 0);
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
}

/* Memory comes, which the server does not hear of: how often the container's trouble was told. */
static uint32_t told_of_memory(struct rig *rig, uint64_t at)
{
	rig->ref.broken_seen = 0;
	rig_ram(rig, at, (void *)(uintptr_t)(1 << 30), PAGE, -1);
	return rig->ref.broken_seen;
}

/* That the server is gone is told of the device, and of its container, whichever comes first: once
 * each. */
static void both_are_told(void **state)
{
	struct rig *rig = *state;

	for (uint64_t first = 0; first < 2; first++) {
		uint64_t at = 4 * PAGE * first;

		assert_int_equal(rig_attach(rig), 0);
		rig->ref.errors_seen = 0;
		rig->gone = true;
		if (first)
			vfio_device_poll(rig->device);
		/* The map, and that there will be no other. */
		assert_int_equal(told_of_memory(rig, at), 2);
		assert_int_equal(rig->ref.broken_code, -EPIPE);
		vfio_device_poll(rig->device);
		assert_int_equal(told_of_memory(rig, at + 2 * PAGE), 1);
		vfio_device_poll(rig->device);
		assert_int_equal(rig->ref.errors_seen, 1);
		vfio_device_detach(rig->device);
		rig->gone = false;
		vfio_memory_free(rig->memory);
		rig->memory = vfio_memory_new(NULL);
	}
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(edges),	 RIG_TEST(longest_message), RIG_TEST(areas),
		RIG_TEST(posted),	 RIG_TEST(posted_before),   RIG_TEST(posted_in_vain),
		RIG_TEST(both_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
