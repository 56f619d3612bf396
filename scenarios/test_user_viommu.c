/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that a vIOMMU maps one piece at a time, behind a vfio-user server: each answer counts at
 * once. What the server may reach of it by messages, to the byte, and what is known to be written
 * when it goes.
 */
#include "user_rig.h"

enum { PAGE = 4096, PAGES = 256, HIGH = 1 << 30, AT = 32 * PAGE };

static _Alignas(PAGE) uint8_t ram[PAGES * PAGE];

/* The device sees an address space that has a vIOMMU only; that leads to the machine's memory. */
struct viommu {
	struct rig *rig;
	struct vfio_memory *machine;
	uint32_t id;
};

static void viommu_up(struct viommu *viommu, struct rig *rig)
{
	struct vfio_memory_region region = { .name = "viommu",
					     .kind = VFIO_MEMORY_IOMMU,
					     .last = 4ULL * HIGH - 1,
					     .iommu_pgsizes = PAGE };
	struct vfio_error error = { 0 };

	for (size_t i = 0; i < sizeof(ram); i++)
		ram[i] = (uint8_t)(i * 31 >> 3);
	*viommu = (struct viommu){ .rig = rig, .machine = rig->memory };
	rig_ram(rig, 0, ram, sizeof(ram), -1);
	rig->memory = vfio_memory_new(NULL);
	assert_true(vfio_memory_add(rig->memory, &region, &viommu->id, &error));
}

static void viommu_down(struct viommu *viommu)
{
	struct rig *rig = viommu->rig;

	rig->hook = NULL;
	vfio_device_detach(rig->device);
	vfio_memory_free(rig->memory);
	rig->memory = viommu->machine;
}

/* Maps @pages of the machine from page @target on, or unmaps them (prot 0). */
static void update(struct viommu *viommu, uint64_t iova, uint64_t pages, uint64_t target, int prot)
{
	struct vfio_iommu_entry entry = { .iova = iova,
					  .last = iova + pages * PAGE - 1,
					  .target = target * PAGE,
					  .prot = prot,
					  .target_memory = viommu->machine };

	assert_int_equal(vfio_memory_iommu_update(viommu->rig->memory, viommu->id, &entry), 0);
}

static uint64_t mappings(const struct rig *rig)
{
	struct vfio_container_info info;

	vfio_container_info(vfio_device_container(rig->device), &info);
	return info.mappings;
}

/* ---- what a server says to a map ---- */

struct answer {
	uint32_t code; /* of the first map; 0: good */
	uint32_t undo; /* of the first unmap */
	bool go;       /* hangs up instead */
	uint32_t echo; /* bytes in the answer to a map that is good */
	uint32_t maps, unmaps;
};

static bool answer(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		   uint32_t size)
{
	struct answer *answer = rig->hook_ctx;
	static const uint8_t zeroes[64];

	(void)payload, (void)size;
	if (header->cmd == VFIO_USER_DMA_MAP) {
		if (!answer->maps++ && answer->code)
			rig_error(rig, header, answer->code);
		else
			rig_reply(rig, header, zeroes, answer->echo);
		return true;
	}
	if (header->cmd != VFIO_USER_DMA_UNMAP)
		return false;
	if (!answer->unmaps++ && answer->go)
		rig->gone = true;
	else if (answer->unmaps == 1 && answer->undo)
		rig_error(rig, header, answer->undo);
	else
		rig_reply(rig, header, NULL, 0);
	return true;
}

static void answers(void **state)
{
	struct rig *rig = *state;
	static const struct {
		struct answer answer;
		int code; /* what the program hears */
		uint32_t maps, unmaps;
	} cases[] = {
		{ { .code = 0 }, 0, 1, 0 },
		/* Those that say the request again are understood. */
		{ { .echo = 32 }, 0, 1, 0 },
		{ { .echo = 33 }, -EPROTO, 1, 1 },
		{ { .code = EIO }, -EIO, 1, 1 },
		{ { .code = EIO, .undo = EBUSY }, -EIO, 1, 1 },
		{ { .code = EIO, .go = true }, -EPIPE, 1, 1 },
		/* Something is in the way that nobody knows of: away with it, and once more. */
		{ { .code = EEXIST }, 0, 2, 1 },
		{ { .code = EEXIST, .undo = ENOENT }, 0, 2, 1 },
		{ { .code = EEXIST, .undo = EBUSY }, -EEXIST, 1, 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct answer says = cases[i].answer;
		struct viommu viommu;

		viommu_up(&viommu, rig);
		rig->gone = false;
		assert_int_equal(rig_attach(rig), 0);
		rig->ref.broken_seen = 0;
		rig->ref.broken_code = 0;
		rig->hook = answer;
		rig->hook_ctx = &says;
		update(&viommu, 16 * PAGE, 2, 0, 3);
		assert_int_equal(rig->ref.broken_code, cases[i].code);
		assert_int_equal(rig->ref.broken_seen, cases[i].code != 0);
		assert_int_equal(says.maps, cases[i].maps);
		assert_int_equal(says.unmaps, cases[i].unmaps);
		assert_int_equal(mappings(rig), !cases[i].code);
		viommu_down(&viommu);
		vfio_memory_free(rig->memory);
		rig->memory = vfio_memory_new(NULL);
	}
}

/* ---- what the server may reach ---- */

struct ask {
	uint16_t during; /* this command */
	uint16_t cmd;
	uint64_t addr, count;
	const uint8_t *data;
};

static bool ask_during(struct rig *rig, const struct vfio_user_header *header,
		       const uint8_t *payload, uint32_t size)
{
	const struct ask *ask = rig->hook_ctx;
	bool writes = ask->cmd == VFIO_USER_DMA_WRITE;

	(void)payload, (void)size;
	if (header->cmd == ask->during)
		rig_ask_dma(rig, ask->cmd, ask->addr, ask->count, ask->data,
			    writes ? (uint32_t)ask->count : 0, 0);
	return false;
}

/* What the stack says to it. */
static uint32_t ask_now(struct rig *rig, uint16_t cmd, uint64_t addr, uint64_t count,
			const uint8_t *data)
{
	bool writes = cmd == VFIO_USER_DMA_WRITE;

	rig->reply_count = 0;
	rig_ask_dma(rig, cmd, addr, count, data, writes ? (uint32_t)count : 0, 0);
	vfio_device_poll(rig->device);
	assert_int_equal(rig->reply_count, 1);
	return rig->replies[0];
}

/* While the map is not answered yet the server may have it already, and nothing else. */
static void before_the_answer(void **state)
{
	struct rig *rig = *state;
	enum { R = VFIO_USER_DMA_READ, W = VFIO_USER_DMA_WRITE };
	static const struct {
		uint64_t addr, count;
		uint16_t cmd;
		int prot;
		uint32_t code;
	} cases[] = {
		{ AT, 16, R, 3, 0 },
		{ AT + 2 * PAGE - 16, 16, R, 3, 0 },
		{ AT + 2 * PAGE - 16, 17, R, 3, EFAULT },
		{ AT, 2 * PAGE, R, 1, 0 },
		{ AT - 1, 2, R, 3, EFAULT },
		{ AT - 16, 16, R, 3, EFAULT },
		{ AT + 2 * PAGE, 1, R, 3, EFAULT },
		{ 0, 16, R, 3, EFAULT },
		{ AT + 100, 16, W, 3, 0 },
		{ AT + 100, 16, W, 1, EFAULT },
		/* Together with what is mapped before and behind it. */
		{ AT + 2 * PAGE - 8, 16, R, 3, 0 },
	};
	static const uint8_t data[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	struct viommu viommu;

	viommu_up(&viommu, rig);
	assert_int_equal(rig_attach(rig), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ask ask = { VFIO_USER_DMA_MAP, cases[i].cmd, cases[i].addr, cases[i].count,
				   data };
		bool more = i == sizeof(cases) / sizeof(cases[0]) - 1;
		uint8_t *at = ram + 10 * PAGE + (cases[i].addr - AT);

		if (more)
			update(&viommu, AT + 2 * PAGE, 1, 12, 3);
		rig->hook = ask_during;
		rig->hook_ctx = &ask;
		rig->reply_count = 0;
		update(&viommu, AT, 2, 10, cases[i].prot);
		rig->hook = NULL;
		assert_int_equal(rig->reply_count, 1);
		assert_int_equal(rig->replies[0], cases[i].code);
		if (!cases[i].code && cases[i].cmd == W)
			assert_memory_equal(at, data, 16);
		else if (!cases[i].code)
			assert_memory_equal(rig->reply_bytes + 16, at, 16);
		update(&viommu, AT, 2, 0, 0);
	}
	viommu_down(&viommu);
}

/* When there is nothing yet, not even an address space. */
static void before_there_is_memory(void **state)
{
	struct rig *rig = *state;
	struct ask ask = { VFIO_USER_VERSION, VFIO_USER_DMA_READ, 0, 16, NULL };

	rig_ram(rig, 0, ram, PAGE, -1);
	rig->hook = ask_during;
	rig->hook_ctx = &ask;
	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(rig->reply_count, 1);
	assert_int_equal(rig->replies[0], EFAULT);
}

/* Two pieces that are neighbours for the device only; nothing is behind them. */
static void across_pieces(void **state)
{
	struct rig *rig = *state;
	struct viommu viommu;
	uint8_t data[2 * PAGE];
	struct vfio_error error = { 0 };

	viommu_up(&viommu, rig);
	assert_int_equal(rig_attach(rig), 0);
	update(&viommu, 0, 1, 20, 3);
	update(&viommu, PAGE, 1, 10, 3);
	assert_int_equal(ask_now(rig, VFIO_USER_DMA_READ, PAGE - 16, 16 + PAGE, NULL), 0);
	assert_memory_equal(rig->reply_bytes + 16, ram + 21 * PAGE - 16, 16);
	assert_memory_equal(rig->reply_bytes + 32, ram + 10 * PAGE, 32);
	assert_int_equal(ask_now(rig, VFIO_USER_DMA_READ, PAGE - 16, 17 + PAGE, NULL), EFAULT);
	assert_int_equal(ask_now(rig, VFIO_USER_DMA_READ, 0, 2 * PAGE, NULL), 0);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 >> 2);
	assert_true(vfio_memory_log_start(viommu.machine, &error));
	assert_int_equal(ask_now(rig, VFIO_USER_DMA_WRITE, PAGE - 16, 32, data), 0);
	assert_memory_equal(ram + 21 * PAGE - 16, data, 16);
	assert_memory_equal(ram + 10 * PAGE, data + 16, 16);
	/* To the page: those that were written, and not their neighbours. */
	for (uint64_t page = 0; page < PAGES; page++)
		assert_int_equal(vfio_memory_test_dirty(viommu.machine, page * PAGE, true),
				 page == 10 || page == 20);
	assert_int_equal(ask_now(rig, VFIO_USER_DMA_WRITE, PAGE, 1, data), 0);
	assert_int_equal(ask_now(rig, VFIO_USER_DMA_WRITE, PAGE - 1, 1, data), 0);
	for (uint64_t page = 0; page < PAGES; page++)
		assert_int_equal(vfio_memory_test_dirty(viommu.machine, page * PAGE, true),
				 page == 10 || page == 20);
	vfio_memory_log_stop(viommu.machine);
	viommu_down(&viommu);
}

/* The most that one message can carry, and the last bytes that there are. */
static void limits_of_dma(void **state)
{
	struct rig *rig = *state;
	const uint64_t top = UINT64_MAX - PAGE + 1;

	rig_ram(rig, 0, ram, sizeof(ram), -1);
	rig_ram(rig, top, ram, PAGE, -1);
	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(rig->maps, 2);
	assert_int_equal(ask_now(rig, VFIO_USER_DMA_READ, 0, sizeof(ram), NULL), 0);
	assert_int_equal(ask_now(rig, VFIO_USER_DMA_WRITE, 0, sizeof(ram), ram), 0);
	assert_int_equal(ask_now(rig, VFIO_USER_DMA_READ, 0, sizeof(ram) + 1, NULL), EINVAL);
	assert_int_equal(ask_now(rig, VFIO_USER_DMA_READ, top, 16, NULL), 0);
	assert_int_equal(ask_now(rig, VFIO_USER_DMA_READ, top + PAGE - 16, 16, NULL), 0);
	assert_memory_equal(rig->reply_bytes + 16, ram + PAGE - 16, 16);
	assert_int_equal(ask_now(rig, VFIO_USER_DMA_READ, top + PAGE - 16, 17, NULL), EFAULT);
	assert_int_equal(ask_now(rig, VFIO_USER_DMA_READ, UINT64_MAX, 0, NULL), 0);
}

/* ---- what was written, when it goes ---- */

enum { SILENT = 1000 };

struct teller {
	uint32_t code;	   /* of the unmap that should tell */
	uint32_t cut;	   /* bytes that are missing in its answer */
	uint32_t log_code; /* of the log */
	uint64_t bits;
	uint32_t telling, plain, reports;
};

static void answer_unmap(struct rig *rig, const struct vfio_user_header *header,
			 const uint8_t *payload, struct teller *teller)
{
	struct vfio_user_dma_unmap unmap;
	uint8_t bytes[48];

	memcpy(&unmap, payload, sizeof(unmap));
	assert_int_equal(unmap.addr, 64 * PAGE);
	assert_int_equal(unmap.size, 64 * PAGE);
	if (!unmap.flags) {
		teller->plain++;
		rig_reply(rig, header, payload, sizeof(unmap));
		return;
	}
	teller->telling++;
	memcpy(bytes, payload, 40);
	memcpy(bytes + 40, &teller->bits, 8);
	if (teller->code && teller->code != SILENT)
		rig_error(rig, header, teller->code);
	else if (!teller->code)
		rig_reply(rig, header, bytes, 48 - teller->cut);
}

static bool tell(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		 uint32_t size)
{
	struct teller *teller = rig->hook_ctx;
	struct vfio_device_feature head;
	uint8_t bytes[64] = { 0 };

	if (header->cmd == VFIO_USER_DMA_UNMAP)
		answer_unmap(rig, header, payload, teller);
	if (header->cmd != VFIO_USER_DEVICE_FEATURE)
		return header->cmd == VFIO_USER_DMA_UNMAP;
	memcpy(&head, payload, sizeof(head));
	if ((head.flags & VFIO_DEVICE_FEATURE_MASK) < VFIO_DEVICE_FEATURE_DMA_LOGGING_START)
		return false;
	if (!(head.flags & VFIO_DEVICE_FEATURE_GET)) {
		rig_reply(rig, header, payload, size);
		return true;
	}
	teller->reports++;
	memcpy(bytes, payload, size);
	memcpy(bytes + size, &teller->bits, 8);
	if (teller->log_code && teller->log_code != SILENT)
		rig_error(rig, header, teller->log_code);
	else if (!teller->log_code)
		rig_reply(rig, header, bytes, head.argsz);
	return true;
}

/* What cannot be known counts as written, and it goes all the same. */
static void told(void **state)
{
	struct rig *rig = *state;
	static const struct {
		const char *caps;
		struct teller teller;
		bool known;
		uint32_t telling, plain, reports;
	} cases[] = {
		{ "48", { .code = 0 }, true, 1, 0, 0 },
		{ "47", { .code = 0 }, true, 0, 1, 1 },
		{ "48", { .code = EINVAL }, true, 1, 1, 1 },
		{ "48", { .code = ENOTSUP }, true, 1, 1, 1 },
		{ "48", { .code = E2BIG }, true, 1, 1, 1 },
		{ "48", { .code = EIO }, false, 1, 1, 0 },
		{ "48", { .code = SILENT }, false, 1, 1, 0 },
		{ "48", { .cut = 1 }, false, 1, 1, 0 },
		{ "48", { .cut = 8 }, false, 1, 1, 0 },
		{ "48", { .code = EINVAL, .log_code = EIO }, false, 1, 1, 1 },
		{ "48", { .code = EINVAL, .log_code = SILENT }, false, 1, 1, 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct teller teller = cases[i].teller;
		struct vfio_error error = { 0 };
		struct viommu viommu;
		char caps[128];

		snprintf(caps, sizeof(caps),
			 "{\"capabilities\":{\"max_msg_fds\":8,"
			 "\"migration\":{\"max_bitmap_size\":%s}}}",
			 cases[i].caps);
		rig->caps = caps;
		teller.bits = 0x8000000000010002;
		viommu_up(&viommu, rig);
		rig->hook = tell;
		rig->hook_ctx = &teller;
		assert_int_equal(rig_attach(rig), 0);
		update(&viommu, 64 * PAGE, 64, 64, 3);
		assert_true(vfio_memory_log_start(viommu.machine, &error));
		assert_true(vfio_memory_log_start(rig->memory, &error));
		update(&viommu, 64 * PAGE, 64, 0, 0);
		for (uint64_t page = 0; page < 64; page++)
			assert_int_equal(
				vfio_memory_test_dirty(viommu.machine, (64 + page) * PAGE, true),
				!cases[i].known || (teller.bits >> page & 1));
		assert_int_equal(teller.telling, cases[i].telling);
		assert_int_equal(teller.plain, cases[i].plain);
		assert_int_equal(teller.reports, cases[i].reports);
		assert_int_equal(mappings(rig), 0);
		vfio_memory_log_stop(rig->memory);
		vfio_memory_log_stop(viommu.machine);
		viommu_down(&viommu);
		vfio_memory_free(rig->memory);
		rig->memory = vfio_memory_new(NULL);
	}
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(answers),
		RIG_TEST(before_the_answer),
		RIG_TEST(before_there_is_memory),
		RIG_TEST(across_pieces),
		RIG_TEST(limits_of_dma),
		RIG_TEST(told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
