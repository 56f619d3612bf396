/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps and unmaps of a vfio-user server as it sees them: how many messages, in which order, with
 * what in them, and what the program hears of those that were refused.
 */
#include "user_rig.h"

enum { PAGE = 4096, PAGES = 256 };

static _Alignas(PAGE) uint8_t ram[PAGES * PAGE];

/* Pages with a hole behind each, in one change of memory. */
static void add_pages(struct rig *rig, uint32_t first, uint32_t count, uint32_t *ids)
{
	vfio_memory_begin(rig->memory);
	for (uint32_t i = first; i < first + count; i++) {
		uint32_t id = rig_ram(rig, 2ULL * i * PAGE, ram + (size_t)i * PAGE, PAGE, -1);

		if (ids)
			ids[i] = id;
	}
	vfio_memory_commit(rig->memory);
}

static uint64_t mappings(const struct rig *rig)
{
	struct vfio_container_info info;

	vfio_container_info(vfio_device_container(rig->device), &info);
	return info.mappings;
}

static void use(struct rig *rig, rig_hook *hook, void *ctx)
{
	rig->hook = hook;
	rig->hook_ctx = ctx;
	rig->ref.broken_seen = 0;
	rig->ref.broken_code = 0;
	memset(rig->seen, 0, sizeof(rig->seen));
}

/* ---- nobody waits for a single one ---- */

struct held {
	uint32_t from, to; /* maps whose replies are kept, until the one behind them is there */
	uint32_t seen, count;
	struct vfio_user_header headers[PAGES];
};

static bool hold(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		 uint32_t size)
{
	struct held *held = rig->hook_ctx;

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_DMA_MAP)
		return false;
	held->seen++;
	if (held->seen >= held->from && held->seen < held->to) {
		held->headers[held->count++] = *header;
		return true;
	}
	rig_reply(rig, header, NULL, 0);
	/* The last first: a server may answer as it likes. */
	while (held->seen == held->to && held->count)
		rig_reply(rig, &held->headers[--held->count], NULL, 0);
	return true;
}

static void sent_at_once(void **state)
{
	struct rig *rig = *state;
	static const uint32_t cases[][2] = { { 1, 10 }, { 1, 64 }, { 65, 66 }, { 100, 150 } };

	add_pages(rig, 0, 200, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct held held = { .from = cases[i][0], .to = cases[i][1] };

		use(rig, hold, &held);
		rig->waited = 0;
		assert_int_equal(rig_attach(rig), 0);
		assert_int_equal(rig->waited, 0);
		assert_int_equal(held.seen, 200);
		assert_int_equal(mappings(rig), 200);
		rig->hook = NULL;
		vfio_device_detach(rig->device);
	}
	assert_int_equal(rig->waited, 0);
}

/* ---- how long a server may take ---- */

/* Some replies that nobody has asked for come before each, after the first that are refused. */
struct babble {
	uint32_t strays, refuse;
};

static bool babble(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		   uint32_t size)
{
	struct babble *babble = rig->hook_ctx;
	struct vfio_user_header stray = *header;

	(void)payload, (void)size;
	if (header->cmd == VFIO_USER_DMA_UNMAP)
		rig_reply(rig, header, NULL, 0);
	if (header->cmd != VFIO_USER_DMA_MAP)
		return header->cmd == VFIO_USER_DMA_UNMAP;
	if (babble->refuse) {
		babble->refuse--;
		rig_error(rig, header, EIO);
		return true;
	}
	for (uint32_t i = 0; i < babble->strays; i++) {
		stray.msg_id = (uint16_t)(header->msg_id + 1000 + i);
		rig_reply(rig, &stray, NULL, 0);
	}
	rig_reply(rig, header, NULL, 0);
	return true;
}

/* Each answer gives it as long again, anything else does not. */
static void patience(void **state)
{
	struct rig *rig = *state;
	struct babble says = { 0 };

	assert_int_equal(rig_attach(rig), 0);
	use(rig, babble, &says);
	rig->nap = 60;
	rig->recv_most = 16;
	add_pages(rig, 0, 10, NULL);
	assert_int_equal(rig->ref.broken_seen, 0);
	assert_int_equal(mappings(rig), 10);
	assert_int_equal(rig->waited, 600);
	says.strays = 2;
	add_pages(rig, 10, 1, NULL);
	assert_int_equal(rig->ref.broken_seen, 1);
	assert_int_equal(rig->ref.broken_code, -ETIMEDOUT);
	rig->nap = 0;
	vfio_device_poll(rig->device);
	rig->nap = 60;
	/* A refusal is an answer. */
	says.strays = 0;
	says.refuse = 10;
	use(rig, babble, &says);
	add_pages(rig, 20, 10, NULL);
	assert_int_equal(rig->ref.broken_seen, 10);
	assert_int_equal(rig->ref.broken_code, -EIO);
	says.strays = 2;
	says.refuse = 1;
	use(rig, babble, &says);
	add_pages(rig, 30, 2, NULL);
	assert_int_equal(rig->ref.broken_seen, 2);
	assert_int_equal(rig->ref.broken_code, -ETIMEDOUT);
	rig->nap = 0;
	assert_int_equal(mappings(rig), 10);
}

/* A server that has not answered so many is stuck; one fewer, and it may answer later. */
static void unanswered(void **state)
{
	struct rig *rig = *state;
	struct held held = { .from = 1, .to = UINT32_MAX };
	uint32_t value;

	assert_int_equal(rig_attach(rig), 0);
	for (uint32_t round = 0; round < 3; round++) {
		use(rig, hold, &held);
		rig->waited = 0;
		add_pages(rig, round * 16, 16, NULL);
		assert_int_equal(rig->waited, 100);
		assert_int_equal(rig->ref.broken_seen, 16);
		assert_int_equal(rig->ref.broken_code, -ETIMEDOUT);
		assert_int_equal(rig->seen[VFIO_USER_DMA_UNMAP], 16);
		assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
		while (held.count)
			rig_error(rig, &held.headers[--held.count], EIO);
		vfio_device_poll(rig->device);
	}
	assert_int_equal(mappings(rig), 0);
	use(rig, hold, &held);
	add_pages(rig, 48, 17, NULL);
	/* Each of them, and the connection. */
	assert_int_equal(rig->ref.broken_seen, 18);
	assert_int_equal(rig->seen[VFIO_USER_DMA_UNMAP], 0);
	assert_int_equal(rig_peek(rig, 0, 0, &value), -ETIMEDOUT);
}

/* The process has no memory for a moment: that is told, and passes. */
static void short_of_memory(void **state)
{
	struct rig *rig = *state;
	struct held held = { 0 };
	uint32_t value;

	assert_int_equal(rig_attach(rig), 0);
	use(rig, hold, &held);
	rig->recv_code = -ENOMEM;
	add_pages(rig, 0, 2, NULL);
	rig->recv_code = 0;
	assert_int_equal(rig->ref.broken_seen, 2);
	assert_int_equal(rig->ref.broken_code, -ENOMEM);
	assert_int_equal(mappings(rig), 0);
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
}

/* The socket is full for as long as one message may take. */
static void full_for_one(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_attach(rig), 0);
	use(rig, NULL, NULL);
	rig->send_again = 101;
	rig->waited = 0;
	add_pages(rig, 0, 3, NULL);
	assert_int_equal(rig->waited, 100);
	assert_int_equal(rig->ref.broken_seen, 1);
	assert_int_equal(rig->ref.broken_code, -ETIMEDOUT);
	assert_int_equal(mappings(rig), 2);
	assert_int_equal(rig->seen[VFIO_USER_DMA_MAP], 2);
}

/* ---- what is refused ---- */

/* Answers maps and unmaps as told, by number from 1. */
struct refuser {
	uint32_t maps[2], map_code; /* first and last that are refused */
	uint32_t unmaps[2], unmap_code;
	uint32_t times;		  /* so often each */
	uint32_t map, unmap, all; /* that came */
	uint16_t cmd;		  /* of the answers to maps; 0: the right one */
	uint32_t echo;		  /* bytes in the answers to maps that are good */
	bool go;		  /* hangs up when it refuses an unmap */
};

static bool in(const uint32_t *range, uint32_t number)
{
	return number >= range[0] && number <= range[1];
}

static bool answer_map(struct rig *rig, const struct vfio_user_header *header,
		       const uint8_t *payload, struct refuser *refuser)
{
	struct vfio_user_header to = *header;
	static const uint8_t zeroes[64];

	refuser->map++;
	if (refuser->cmd)
		to.cmd = refuser->cmd;
	if (!in(refuser->maps, refuser->map)) {
		rig_reply(rig, &to, refuser->echo ? zeroes : payload, refuser->echo);
		return true;
	}
	for (uint32_t i = 0; i <= refuser->times; i++)
		rig_error(rig, &to, refuser->map_code);
	return true;
}

static bool refuse(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		   uint32_t size)
{
	struct refuser *refuser = rig->hook_ctx;
	struct vfio_user_dma_unmap unmap;

	(void)size;
	if (header->cmd == VFIO_USER_DMA_MAP)
		return answer_map(rig, header, payload, refuser);
	if (header->cmd != VFIO_USER_DMA_UNMAP)
		return false;
	memcpy(&unmap, payload, sizeof(unmap));
	refuser->all += unmap.flags == VFIO_USER_DMA_UNMAP_FLAG_ALL;
	if (!in(refuser->unmaps, ++refuser->unmap))
		return false;
	rig->gone = refuser->go;
	rig_error(rig, header, refuser->unmap_code);
	return true;
}

/* More than anybody can remember: each is tried once, and each refusal is told once. */
static void many_refused(void **state)
{
	struct rig *rig = *state;
	struct refuser refuser = { .maps = { 11, 110 }, .map_code = EIO, .times = 1 };

	assert_int_equal(rig_attach(rig), 0);
	use(rig, refuse, &refuser);
	rig->waited = 0;
	add_pages(rig, 0, 200, NULL);
	assert_int_equal(rig->waited, 0);
	assert_int_equal(refuser.map, 200);
	assert_int_equal(refuser.unmap, 100);
	assert_int_equal(rig->ref.broken_seen, 100);
	assert_int_equal(rig->ref.broken_code, -EIO);
	assert_int_equal(mappings(rig), 100);
	refuser.unmap = 0;
	vfio_device_detach(rig->device);
	assert_int_equal(refuser.unmap, 100);
	assert_int_equal(refuser.all, 0);
}

/* The answer to something else is none. */
static void another_command(void **state)
{
	struct rig *rig = *state;
	struct refuser refuser = { .cmd = VFIO_USER_DMA_UNMAP };

	assert_int_equal(rig_attach(rig), 0);
	use(rig, refuse, &refuser);
	add_pages(rig, 0, 1, NULL);
	assert_int_equal(rig->ref.broken_seen, 1);
	assert_int_equal(rig->ref.broken_code, -EPROTO);
	assert_int_equal(mappings(rig), 0);
}

/*
 * A map that was refused is unmapped; only when that is not known to have helped, all is unmapped
 * in the end.
 */
static void doubt(void **state)
{
	struct rig *rig = *state;
	static const struct {
		uint32_t map_code, unmaps, unmap_code;
		uint32_t unmapped, all;
	} cases[] = {
		{ EIO, 0, 0, 2, 0 },	    { EIO, 2, ENOENT, 2, 0 }, { EIO, 2, EINVAL, 2, 0 },
		{ EIO, 2, EIO, 2, 1 },	    { EIO, 1, EIO, 2, 1 },    { EEXIST, 0, 0, 0, 0 },
		{ EINVAL, 2, EBUSY, 2, 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct refuser refuser = { .maps = { 1, 2 },
					   .map_code = cases[i].map_code,
					   .unmaps = { 1, cases[i].unmaps },
					   .unmap_code = cases[i].unmap_code };
		uint32_t ids[2];

		assert_int_equal(rig_attach(rig), 0);
		use(rig, refuse, &refuser);
		add_pages(rig, 0, 2, ids);
		assert_int_equal(rig->ref.broken_code, -(int)cases[i].map_code);
		assert_int_equal(refuser.unmap, cases[i].unmapped);
		vfio_memory_del(rig->memory, ids[0]);
		vfio_memory_del(rig->memory, ids[1]);
		assert_int_equal(refuser.unmap, cases[i].unmapped);
		vfio_device_detach(rig->device);
		assert_int_equal(refuser.all, cases[i].all);
		assert_int_equal(refuser.unmap, cases[i].unmapped + cases[i].all);
	}
}

/* ---- before memory may be discarded again ---- */

static struct rig *watched;
static bool open_at_discard;

static int watch_discard(void *ctx, bool forbid)
{
	(void)ctx;
	if (!forbid)
		open_at_discard = watched->open[RIG_SOCKET];
	return 0;
}

/* A server that did not unmap is told to, and one that does not even do that is left. */
static void before_discard(void **state)
{
	struct rig *rig = *state;

	vfio_free(rig->vfio);
	rig->vmm.forbid_discard = watch_discard;
	rig->vfio = vfio_new(&rig->sys, &rig->vmm);
	watched = rig;
	add_pages(rig, 0, 2, NULL);
	for (uint32_t refused = 0; refused < 4; refused++) {
		struct refuser refuser = { .unmaps = { 1, refused }, .unmap_code = EBUSY };

		assert_int_equal(rig_attach(rig), 0);
		use(rig, refuse, &refuser);
		vfio_device_detach(rig->device);
		assert_int_equal(refuser.all, refused > 0);
		assert_int_equal(open_at_discard, refused < 3);
	}
}

/* ---- with other messages ---- */

struct order {
	uint16_t cmds[8];
	uint32_t count;
};

static bool note_order(struct rig *rig, const struct vfio_user_header *header,
		       const uint8_t *payload, uint32_t size)
{
	struct order *order = rig->hook_ctx;

	(void)payload, (void)size;
	assert_in_range(order->count, 0, 7);
	order->cmds[order->count++] = header->cmd;
	return false;
}

/* What was written before memory changed is seen before. */
static void after_posted_writes(void **state)
{
	struct rig *rig = *state;
	struct order order = { 0 };
	struct vfio_error error = { 0 };
	uint32_t value;

	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	use(rig, note_order, &order);
	assert_true(vfio_device_post(rig->device, 0, 0, &value, 4, &error));
	add_pages(rig, 0, 2, NULL);
	assert_int_equal(order.count, 3);
	assert_int_equal(order.cmds[0], VFIO_USER_REGION_WRITE_MULTI);
	assert_int_equal(order.cmds[1], VFIO_USER_DMA_MAP);
	assert_int_equal(order.cmds[2], VFIO_USER_DMA_MAP);
	/* When they cannot be sent, the map is not either. */
	order.count = 0;
	assert_true(vfio_device_post(rig->device, 0, 0, &value, 4, &error));
	rig->send_again = 101;
	add_pages(rig, 2, 1, NULL);
	assert_int_equal(rig->ref.broken_seen, 1);
	assert_int_equal(rig->ref.broken_code, -ETIMEDOUT);
	assert_int_equal(mappings(rig), 2);
	assert_int_equal(order.count, 1);
	assert_int_equal(order.cmds[0], VFIO_USER_DMA_UNMAP);
}

/* The server's own request may have the id of ours. */
static bool same_id(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		    uint32_t size)
{
	struct vfio_user_header ask = { .msg_id = header->msg_id,
					.cmd = VFIO_USER_DMA_READ,
					.msg_size = sizeof(ask),
					.flags = VFIO_USER_F_NO_REPLY };

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_DMA_MAP && header->cmd != VFIO_USER_REGION_READ)
		return false;
	rig_message(rig, &ask, NULL, 0, 0);
	return false;
}

static void ids_of_both(void **state)
{
	struct rig *rig = *state;
	uint32_t value;

	assert_int_equal(rig_attach(rig), 0);
	use(rig, same_id, NULL);
	add_pages(rig, 0, 100, NULL);
	assert_int_equal(rig->ref.broken_seen, 0);
	assert_int_equal(mappings(rig), 100);
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
}

/* ---- descriptors ---- */

struct seen_map {
	struct vfio_user_dma_map map;
	uint32_t fds;
	int fd;
};

/* No PCI device: so it has no notifications, which a server without descriptors could not take. */
static bool plain_device(struct rig *rig, const struct vfio_user_header *header,
			 const uint8_t *payload, uint32_t size)
{
	struct vfio_user_device_info info = { .argsz = sizeof(info),
					      .num_regions = RIG_REGIONS,
					      .num_irqs = VFIO_PCI_NUM_IRQS };
	struct seen_map *seen = rig->hook_ctx;

	if (header->cmd == VFIO_USER_DEVICE_GET_INFO)
		rig_reply(rig, header, &info, sizeof(info));
	if (header->cmd != VFIO_USER_DMA_MAP)
		return header->cmd == VFIO_USER_DEVICE_GET_INFO;
	assert_int_equal(size, sizeof(seen->map));
	memcpy(&seen->map, payload, sizeof(seen->map));
	seen->fds = rig->got_fds;
	seen->fd = rig->last_fds[0];
	return false;
}

static void descriptors(void **state)
{
	struct rig *rig = *state;
	static const struct {
		const char *caps;
		int fd;
		uint32_t fds;
		uint64_t offset;
	} cases[] = {
		{ "{}", 40, 1, 0x5000 },
		{ "{}", 0, 1, 0x5000 },
		{ "{}", -1, 0, 0 },
		{ "{\"capabilities\":{\"max_msg_fds\":0}}", 40, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vfio_memory_region region = { .name = "ram",
						     .kind = i % 2 ? VFIO_MEMORY_RAM
								   : VFIO_MEMORY_ROM,
						     .start = 3 * PAGE,
						     .last = 5 * PAGE - 1,
						     .vaddr = (uint64_t)(uintptr_t)ram,
						     .fd = cases[i].fd,
						     .fd_offset = 0x5000 };
		struct seen_map seen = { .fd = -1 };
		struct vfio_error error = { 0 };
		uint32_t id;

		rig->caps = cases[i].caps;
		assert_true(vfio_memory_add(rig->memory, &region, &id, &error));
		use(rig, plain_device, &seen);
		assert_int_equal(rig_attach(rig), 0);
		assert_int_equal(seen.fds, cases[i].fds);
		assert_int_equal(seen.map.offset, cases[i].offset);
		assert_int_equal(seen.map.addr, 3 * PAGE);
		assert_int_equal(seen.map.size, 2 * PAGE);
		assert_int_equal(seen.map.flags, i % 2 ? 3 : 1);
		if (seen.fds)
			assert_int_equal(seen.fd, cases[i].fd);
		rig->hook = NULL;
		vfio_device_detach(rig->device);
		vfio_memory_del(rig->memory, id);
	}
}

/* ---- any of a few ---- */

/* Refuses the maps whose bit is set, in the order of coming. */
static bool refuse_some(struct rig *rig, const struct vfio_user_header *header,
			const uint8_t *payload, uint32_t size)
{
	uint32_t *mask = rig->hook_ctx;
	bool refused;

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_DMA_MAP)
		return false;
	refused = *mask & 1;
	*mask >>= 1;
	if (refused)
		rig_error(rig, header, EIO);
	return refused;
}

/* Whichever are refused: those are told, the others are there, and nobody waits for anything. */
static void any_of_a_few(void **state)
{
	struct rig *rig = *state;
	uint32_t ids[6];

	assert_int_equal(rig_attach(rig), 0);
	rig->waited = 0;
	for (uint32_t all = 0; all < 1 << 6; all++) {
		uint32_t mask = all, refused = (uint32_t)__builtin_popcount(all);

		use(rig, refuse_some, &mask);
		add_pages(rig, 0, 6, ids);
		assert_int_equal(rig->ref.broken_seen, refused);
		assert_int_equal(mappings(rig), 6 - refused);
		vfio_memory_begin(rig->memory);
		for (uint32_t i = 0; i < 6; i++)
			vfio_memory_del(rig->memory, ids[i]);
		vfio_memory_commit(rig->memory);
		assert_int_equal(mappings(rig), 0);
		assert_int_equal(rig->seen[VFIO_USER_DMA_MAP], 6);
		assert_int_equal(rig->seen[VFIO_USER_DMA_UNMAP], 6);
		assert_int_equal(rig->waited, 0);
	}
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(sent_at_once),	       RIG_TEST(patience),     RIG_TEST(unanswered),
		RIG_TEST(short_of_memory),     RIG_TEST(full_for_one), RIG_TEST(many_refused),
		RIG_TEST(another_command),     RIG_TEST(doubt),	       RIG_TEST(before_discard),
		RIG_TEST(after_posted_writes), RIG_TEST(ids_of_both),  RIG_TEST(descriptors),
		RIG_TEST(any_of_a_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
