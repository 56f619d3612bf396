/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory behind a vfio-user server, message by message: maps that are sent without waiting
 * and refused later, the server's own requests for memory, and what was written.
 */
#include "user_rig.h"

enum { PAGE = 4096, PAGES = 256 };

static _Alignas(PAGE) uint8_t ram[PAGES * PAGE];

/* ---- maps ---- */

/* One page of RAM for each index, with a hole behind it. */
static void many_pages(struct rig *rig, uint32_t *ids, uint32_t count)
{
	vfio_memory_begin(rig->memory);
	for (uint32_t i = 0; i < count; i++)
		ids[i] = rig_ram(rig, 2ULL * i * PAGE, ram + (size_t)i * PAGE, PAGE, -1);
	vfio_memory_commit(rig->memory);
}

static uint64_t mappings(const struct rig *rig)
{
	struct vfio_container_info info;

	vfio_container_info(vfio_device_container(rig->device), &info);
	return info.mappings;
}

/* What becomes of the messages of one command. */
struct map_fault {
	uint16_t cmd;
	uint32_t from, count; /* those messages, from 1 */
	uint32_t code;	      /* 0: no answer */
	uint32_t seen;
};

static bool map_fault(struct rig *rig, const struct vfio_user_header *header,
		      const uint8_t *payload, uint32_t size)
{
	struct map_fault *fault = rig->hook_ctx;

	(void)payload, (void)size;
	if (header->cmd != fault->cmd)
		return false;
	fault->seen++;
	if (fault->seen < fault->from || fault->seen - fault->from >= fault->count)
		return false;
	if (fault->code)
		rig_error(rig, header, fault->code);
	return true;
}

static void window(void **state)
{
	struct rig *rig = *state;
	uint32_t ids[200];

	many_pages(rig, ids, 200);
	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(rig->maps, 200);
	assert_int_equal(mappings(rig), 200);
	/* Without a descriptor there is none in the message. */
	assert_int_equal(rig->got_fds, 0);
	vfio_memory_begin(rig->memory);
	for (int i = 0; i < 200; i++)
		vfio_memory_del(rig->memory, ids[i]);
	vfio_memory_commit(rig->memory);
	assert_int_equal(rig->maps, 0);
	assert_int_equal(mappings(rig), 0);
	assert_int_equal(rig->ref.broken_seen, 0);
}

/* Refused at attach: some of them, and so many that nobody can remember them. */
static void refused_at_attach(void **state)
{
	struct rig *rig = *state;
	uint32_t ids[200];
	const uint32_t counts[] = { 1, 63, 64, 200 };

	many_pages(rig, ids, 200);
	for (int i = 0; i < 4; i++) {
		struct map_fault fault = {
			.cmd = VFIO_USER_DMA_MAP, .from = 2, .count = counts[i], .code = ENOMEM
		};

		rig->hook = map_fault;
		rig->hook_ctx = &fault;
		assert_int_equal(rig_attach(rig), -ENOMEM);
		/* The decent server counts the unmap of what it refused. */
		rig->maps = 0;
	}
}

/* Each map is answered twice, the second time with an error: the first answer counts. */
static bool twice(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		  uint32_t size)
{
	if (header->cmd != VFIO_USER_DMA_MAP)
		return false;
	rig_decent(rig, header, payload, size);
	rig_error(rig, header, EIO);
	return true;
}

static void answered_twice(void **state)
{
	struct rig *rig = *state;
	uint32_t ids[100];

	many_pages(rig, ids, 100);
	rig->hook = twice;
	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(mappings(rig), 100);
	assert_int_equal(rig->ref.broken_seen, 0);
}

static void refused_later(void **state)
{
	struct rig *rig = *state;
	struct map_fault fault = { .cmd = VFIO_USER_DMA_MAP, .from = 3, .count = 2, .code = EIO };
	uint32_t ids[10];

	assert_int_equal(rig_attach(rig), 0);
	rig->hook = map_fault;
	rig->hook_ctx = &fault;
	many_pages(rig, ids, 10);
	assert_int_equal(rig->ref.broken_seen, 2);
	assert_int_equal(rig->ref.broken_code, -EIO);
	assert_int_equal(mappings(rig), 8);
	/* What was refused may have been done: it is unmapped, and not once more later. */
	assert_int_equal(rig->seen[VFIO_USER_DMA_UNMAP], 2);
	vfio_memory_begin(rig->memory);
	for (int i = 0; i < 10; i++)
		vfio_memory_del(rig->memory, ids[i]);
	vfio_memory_commit(rig->memory);
	assert_int_equal(rig->seen[VFIO_USER_DMA_UNMAP], 10);
	assert_int_equal(mappings(rig), 0);
}

/* A device's memory that cannot be mapped is a warning, later as well. */
static void refused_bar(void **state)
{
	struct rig *rig = *state;
	struct map_fault fault = {
		.cmd = VFIO_USER_DMA_MAP, .from = 1, .count = 1, .code = EINVAL
	};
	struct vfio_memory_region bar = { .name = "bar",
					  .kind = VFIO_MEMORY_RAM_DEVICE,
					  .start = 0x100000,
					  .last = 0x100000 + PAGE - 1,
					  .vaddr = (uint64_t)(uintptr_t)ram,
					  .fd = -1 };
	struct vfio_error error = { 0 };
	uint32_t id;

	rig->hook = map_fault;
	rig->hook_ctx = &fault;
	assert_true(vfio_memory_add(rig->memory, &bar, &id, &error));
	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(rig->ref.warnings_seen, 1);
	assert_int_equal(rig->ref.broken_seen, 0);
	assert_int_equal(mappings(rig), 0);
}

static void unmap_refused(void **state)
{
	struct rig *rig = *state;
	struct map_fault fault = {
		.cmd = VFIO_USER_DMA_UNMAP, .from = 1, .count = 1, .code = EBUSY
	};
	uint32_t ids[3];

	many_pages(rig, ids, 3);
	assert_int_equal(rig_attach(rig), 0);
	rig->hook = map_fault;
	rig->hook_ctx = &fault;
	vfio_memory_del(rig->memory, ids[1]);
	assert_int_equal(rig->ref.broken_seen, 1);
	assert_int_equal(rig->ref.broken_code, -EBUSY);
	assert_int_equal(mappings(rig), 3);
	/* It goes with all the rest, before memory may be discarded. */
	vfio_device_detach(rig->device);
	assert_int_equal(rig->seen[VFIO_USER_DMA_UNMAP], 4);
}

/* A server that does not even take that: it hears that we are gone, before. */
static void unmap_never(void **state)
{
	struct rig *rig = *state;
	struct map_fault fault = {
		.cmd = VFIO_USER_DMA_UNMAP, .from = 1, .count = 100, .code = EBUSY
	};
	uint32_t ids[3];

	many_pages(rig, ids, 3);
	assert_int_equal(rig_attach(rig), 0);
	rig->hook = map_fault;
	rig->hook_ctx = &fault;
	vfio_device_detach(rig->device);
	assert_int_equal(rig->seen[VFIO_USER_DMA_UNMAP], 4);
	assert_false(rig->open[RIG_SOCKET]);
}

/* No answer to some maps, and to so many that the server must be stuck. */
static void maps_unanswered(void **state)
{
	struct rig *rig = *state;
	uint32_t ids[200];
	struct map_fault fault = { .cmd = VFIO_USER_DMA_MAP, .from = 2, .count = 3 };

	many_pages(rig, ids, 200);
	rig->hook = map_fault;
	rig->hook_ctx = &fault;
	assert_int_equal(rig_attach(rig), -ETIMEDOUT);
	fault = (struct map_fault){ .cmd = VFIO_USER_DMA_MAP, .from = 2, .count = 1000 };
	rig->maps = 0;
	assert_int_equal(rig_attach(rig), -ETIMEDOUT);
}

static void too_many_maps(void **state)
{
	struct rig *rig = *state;
	uint32_t ids[20];

	many_pages(rig, ids, 20);
	rig->caps = "{\"capabilities\":{\"max_dma_maps\":19}}";
	assert_int_equal(rig_attach(rig), -ENOSPC);
	rig->caps = "{\"capabilities\":{\"max_dma_maps\":20}}";
	assert_int_equal(rig_attach(rig), 0);
}

/* ---- the server wants memory ---- */

struct want {
	uint16_t cmd; /* when it is asked for */
	uint16_t dma;
	uint64_t addr, count;
	const void *data;
	uint32_t data_size, flags;
	bool done;
};

static bool want(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		 uint32_t size)
{
	struct want *ask = rig->hook_ctx;

	(void)payload, (void)size;
	if (header->cmd != ask->cmd || ask->done)
		return false;
	ask->done = true;
	rig_ask_dma(rig, ask->dma, ask->addr, ask->count, ask->data, ask->data_size, ask->flags);
	return false;
}

/* Asks while a register is read; the error of the answer. */
static uint32_t ask(struct rig *rig, uint16_t dma, uint64_t addr, uint64_t count, const void *data,
		    uint32_t data_size)
{
	struct want it = { .cmd = VFIO_USER_REGION_READ,
			   .dma = dma,
			   .addr = addr,
			   .count = count,
			   .data = data,
			   .data_size = data_size };
	uint32_t value;

	rig->hook = want;
	rig->hook_ctx = &it;
	rig->reply_count = 0;
	assert_int_equal(rig_peek(rig, 0, 0, &value), 0);
	assert_int_equal(rig->reply_count, 1);
	rig->hook = NULL;
	return rig->replies[0];
}

static void dma(void **state)
{
	struct rig *rig = *state;
	struct vfio_memory_region rom = { .name = "rom",
					  .kind = VFIO_MEMORY_ROM,
					  .start = 4 * PAGE,
					  .last = 5 * PAGE - 1,
					  .vaddr = (uint64_t)(uintptr_t)(ram + 64 * PAGE),
					  .fd = -1 };
	struct vfio_error error = { 0 };
	uint8_t data[64];
	uint32_t id;

	for (size_t i = 0; i < sizeof(ram); i++)
		ram[i] = (uint8_t)(i * 31 >> 3);
	/* Two pages that are neighbours for the device and not for the process. */
	rig_ram(rig, 0, ram + 8 * PAGE, PAGE, -1);
	rig_ram(rig, PAGE, ram, PAGE, -1);
	assert_true(vfio_memory_add(rig->memory, &rom, &id, &error));
	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(ask(rig, VFIO_USER_DMA_READ, PAGE - 16, 32, NULL, 0), 0);
	assert_int_equal(rig->reply_sizes[0], 16 + 32);
	assert_memory_equal(rig->reply_bytes + 16, ram + 9 * PAGE - 16, 16);
	assert_memory_equal(rig->reply_bytes + 32, ram, 16);
	memset(data, 0xa5, sizeof(data));
	assert_true(vfio_memory_log_start(rig->memory, &error));
	assert_int_equal(ask(rig, VFIO_USER_DMA_WRITE, PAGE - 16, 32, data, 32), 0);
	assert_int_equal(rig->reply_sizes[0], 16);
	assert_memory_equal(ram + 9 * PAGE - 16, data, 16);
	assert_memory_equal(ram, data, 16);
	assert_true(vfio_memory_test_dirty(rig->memory, 0, false));
	assert_true(vfio_memory_test_dirty(rig->memory, PAGE, false));
	vfio_memory_log_stop(rig->memory);
	assert_int_equal(ask(rig, VFIO_USER_DMA_READ, 4 * PAGE, 8, NULL, 0), 0);
	assert_int_equal(ask(rig, VFIO_USER_DMA_READ, 0, 0, NULL, 0), 0);
	/* What cannot be. */
	assert_int_equal(ask(rig, VFIO_USER_DMA_WRITE, 4 * PAGE, 8, data, 8), EFAULT);
	assert_int_equal(ask(rig, VFIO_USER_DMA_READ, 2 * PAGE - 8, 16, NULL, 0), EFAULT);
	assert_int_equal(ask(rig, VFIO_USER_DMA_READ, 3 * PAGE, 8, NULL, 0), EFAULT);
	assert_int_equal(ask(rig, VFIO_USER_DMA_READ, UINT64_MAX - 3, 8, NULL, 0), EFAULT);
	assert_int_equal(ask(rig, VFIO_USER_DMA_READ, 0, (1 << 20) + 1, NULL, 0), EINVAL);
	assert_int_equal(ask(rig, VFIO_USER_DMA_READ, 0, UINT64_MAX, NULL, 0), EINVAL);
	assert_int_equal(ask(rig, VFIO_USER_DMA_READ, 0, 8, data, 8), EINVAL);
	assert_int_equal(ask(rig, VFIO_USER_DMA_WRITE, 0, 8, data, 7), EINVAL);
	assert_int_equal(ask(rig, VFIO_USER_DMA_WRITE, 0, 8, data, 9), EINVAL);
	assert_int_equal(ask(rig, VFIO_USER_REGION_READ, 0, 8, NULL, 0), ENOTSUP);
}

/* While its map is not answered yet, and when nobody waits for anything. */
static void dma_early_and_idle(void **state)
{
	struct rig *rig = *state;
	struct want it = {
		.cmd = VFIO_USER_DMA_MAP, .dma = VFIO_USER_DMA_READ, .addr = PAGE + 8, .count = 8
	};
	struct vfio_user_header cut = { .msg_id = 5,
					.cmd = VFIO_USER_DMA_READ,
					.msg_size = sizeof(cut) + 8 };
	uint8_t data[8] = { 9, 9, 9, 9, 9, 9, 9, 9 };

	rig_ram(rig, 0, ram, 2 * PAGE, -1);
	rig->hook = want;
	rig->hook_ctx = &it;
	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(rig->reply_count, 1);
	assert_int_equal(rig->replies[0], 0);
	/* A command that wants no answer gets none. */
	rig->reply_count = 0;
	rig_ask_dma(rig, VFIO_USER_DMA_WRITE, 64, 8, data, 8, VFIO_USER_F_NO_REPLY);
	vfio_device_poll(rig->device);
	assert_memory_equal(ram + 64, data, 8);
	assert_int_equal(rig->reply_count, 0);
	rig_ask_dma(rig, VFIO_USER_DMA_READ, 64, 8, NULL, 0, 0);
	rig_message(rig, &cut, data, 8, 2);
	vfio_device_poll(rig->device);
	assert_int_equal(rig->reply_count, 2);
	assert_int_equal(rig->replies[1], EINVAL);
	assert_int_equal(rig->open_count, 3);
	assert_int_equal(rig->ref.errors_seen, 0);
}

/* One at a time: what a vIOMMU maps waits for the answer. */
static void waited_for(void **state)
{
	struct rig *rig = *state;
	struct vfio_memory_region region = { .name = "viommu",
					     .kind = VFIO_MEMORY_IOMMU,
					     .last = (1 << 30) - 1,
					     .iommu_pgsizes = PAGE };
	struct vfio_memory *target = vfio_memory_new(NULL);
	struct vfio_memory *machine = rig->memory;
	struct vfio_iommu_entry entry = {
		.iova = 0, .last = 2 * PAGE - 1, .prot = 3, .target_memory = machine
	};
	struct map_fault fault = {
		.cmd = VFIO_USER_DMA_MAP, .from = 2, .count = 1, .code = EEXIST
	};
	struct want early = {
		.cmd = VFIO_USER_DMA_MAP, .dma = VFIO_USER_DMA_READ, .addr = 33 * PAGE, .count = 8
	};
	struct vfio_error error = { 0 };
	uint32_t id;

	rig_ram(rig, 0, ram, sizeof(ram), 40);
	assert_true(vfio_memory_add(target, &region, &id, &error));
	rig->memory = target;
	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(vfio_memory_iommu_update(target, id, &entry), 0);
	assert_int_equal(rig->got_fds, 1);
	assert_int_equal(mappings(rig), 1);
	/* Something is there that nobody knows of: it is taken away, once. */
	rig->hook = map_fault;
	rig->hook_ctx = &fault;
	fault.from = 1;
	entry.iova = 16 * PAGE;
	entry.last = 18 * PAGE - 1;
	assert_int_equal(vfio_memory_iommu_update(target, id, &entry), 0);
	assert_int_equal(mappings(rig), 2);
	assert_int_equal(rig->ref.broken_seen, 0);
	/* The server wants it before it has answered. */
	rig->hook = want;
	rig->hook_ctx = &early;
	entry.iova = 32 * PAGE;
	entry.last = 34 * PAGE - 1;
	assert_int_equal(vfio_memory_iommu_update(target, id, &entry), 0);
	assert_int_equal(rig->reply_count, 1);
	assert_int_equal(rig->replies[0], 0);
	vfio_device_detach(rig->device);
	rig->memory = machine;
	vfio_memory_free(target);
}

static bool endless(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		    uint32_t size)
{
	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_REGION_READ)
		return false;
	for (int i = 0; i < (1 << 16) + 1; i++)
		rig_ask_dma(rig, VFIO_USER_DMA_READ, 0, 0, NULL, 0, VFIO_USER_F_NO_REPLY);
	return false;
}

/* A server that only asks, and never answers. */
static void dma_endless(void **state)
{
	struct rig *rig = *state;
	uint32_t value;

	assert_int_equal(rig_attach(rig), 0);
	rig->hook = endless;
	assert_int_equal(rig_peek(rig, 0, 0, &value), -EPROTO);
}

/* ---- what was written ---- */

struct logger {
	bool tells_with_unmap;
	uint64_t bits; /* of each report */
	uint32_t reports, unmaps;
	uint32_t fail; /* the report with this number fails */
};

static void answer_unmap(struct rig *rig, const struct vfio_user_header *header,
			 const uint8_t *payload, uint32_t size, struct logger *logger)
{
	struct vfio_user_dma_unmap unmap;
	uint8_t bytes[256] = { 0 };

	memcpy(&unmap, payload, sizeof(unmap));
	if (!(unmap.flags & VFIO_USER_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)) {
		rig_decent(rig, header, payload, size);
		return;
	}
	if (!logger->tells_with_unmap) {
		rig_error(rig, header, EINVAL);
		return;
	}
	logger->unmaps++;
	rig->maps--;
	memcpy(bytes, payload, size);
	memcpy(bytes + size, &logger->bits, 8);
	rig_reply(rig, header, bytes, unmap.argsz);
}

static bool logs(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		 uint32_t size)
{
	struct logger *logger = rig->hook_ctx;
	struct vfio_device_feature head;
	uint8_t bytes[4096] = { 0 };

	if (header->cmd == VFIO_USER_DMA_UNMAP) {
		answer_unmap(rig, header, payload, size, logger);
		return true;
	}
	if (header->cmd != VFIO_USER_DEVICE_FEATURE)
		return false;
	memcpy(&head, payload, sizeof(head));
	memcpy(bytes, payload, size);
	if ((head.flags & VFIO_DEVICE_FEATURE_MASK) < VFIO_DEVICE_FEATURE_DMA_LOGGING_START)
		return false;
	if (head.flags & VFIO_DEVICE_FEATURE_GET && !(head.flags & VFIO_DEVICE_FEATURE_PROBE)) {
		logger->reports++;
		if (logger->reports == logger->fail) {
			rig_error(rig, header, EIO);
			return true;
		}
		memcpy(bytes + size, &logger->bits, 8);
		size = head.argsz;
	}
	rig_reply(rig, header, bytes, size);
	return true;
}

static void expect_pages(struct rig *rig, uint64_t bits)
{
	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(vfio_memory_test_dirty(rig->memory, i * PAGE, true),
				 bits >> i & 1);
}

static void dirty_pages(void **state)
{
	struct rig *rig = *state;
	struct logger logger = { .tells_with_unmap = true, .bits = 0x8000000000000005 };
	struct vfio_error error = { 0 };
	uint32_t id;

	/* One word of bits in a message, so that a range takes several. */
	rig->caps = "{\"capabilities\":{\"migration\":{\"pgsize\":4096,\"max_bitmap_size\":40}}}";
	rig->hook = logs;
	rig->hook_ctx = &logger;
	id = rig_ram(rig, 0, ram, sizeof(ram), -1);
	assert_int_equal(rig_attach(rig), 0);
	assert_true(vfio_memory_log_start(rig->memory, &error));
	assert_true(vfio_memory_log_sync(rig->memory, &error));
	assert_int_equal(logger.reports, PAGES / 64);
	expect_pages(rig, logger.bits);
	logger.fail = 2 + logger.reports;
	assert_false(vfio_memory_log_sync(rig->memory, &error));
	assert_int_equal(error.code, -EIO);
	/* Too long for an unmap that tells: the log is read before. */
	logger.fail = 0;
	logger.reports = 0;
	vfio_memory_del(rig->memory, id);
	assert_int_equal(logger.unmaps, 0);
	assert_int_equal(logger.reports, PAGES / 64);
	assert_int_equal(rig->maps, 0);
	vfio_memory_log_stop(rig->memory);
}

/*
 * What a vIOMMU unmaps: the unmap tells what was written until then, where the server can; else the
 * log does.
 */
static void dirty_unmaps(void **state)
{
	struct rig *rig = *state;
	struct vfio_memory_region region = { .name = "viommu",
					     .kind = VFIO_MEMORY_IOMMU,
					     .last = (1 << 30) - 1,
					     .iommu_pgsizes = PAGE };
	struct vfio_memory *machine = rig->memory;
	struct vfio_iommu_entry entry = { .last = 64 * PAGE - 1, .target_memory = machine };
	struct vfio_error error = { 0 };
	uint32_t id;

	rig_ram(rig, 0, ram, 64 * PAGE, -1);
	rig->memory = vfio_memory_new(NULL);
	assert_true(vfio_memory_add(rig->memory, &region, &id, &error));
	for (int tells = 0; tells < 2; tells++) {
		struct logger logger = { .tells_with_unmap = tells, .bits = 0x10002 };

		rig->hook = logs;
		rig->hook_ctx = &logger;
		assert_int_equal(rig_attach(rig), 0);
		entry.prot = 3;
		assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
		assert_true(vfio_memory_log_start(machine, &error));
		assert_true(vfio_memory_log_start(rig->memory, &error));
		entry.prot = 0;
		assert_int_equal(vfio_memory_iommu_update(rig->memory, id, &entry), 0);
		for (uint64_t i = 0; i < 64; i++)
			assert_int_equal(vfio_memory_test_dirty(machine, i * PAGE, true),
					 logger.bits >> i & 1);
		assert_int_equal(logger.unmaps, tells);
		assert_int_equal(logger.reports, !tells);
		vfio_memory_log_stop(rig->memory);
		vfio_memory_log_stop(machine);
		vfio_device_detach(rig->device);
	}
	vfio_memory_free(rig->memory);
	rig->memory = machine;
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(window),	 RIG_TEST(refused_at_attach),
		RIG_TEST(refused_later), RIG_TEST(answered_twice),
		RIG_TEST(refused_bar),	 RIG_TEST(unmap_refused),
		RIG_TEST(unmap_never),	 RIG_TEST(maps_unanswered),
		RIG_TEST(too_many_maps), RIG_TEST(waited_for),
		RIG_TEST(dma),		 RIG_TEST(dma_early_and_idle),
		RIG_TEST(dma_endless),	 RIG_TEST(dirty_pages),
		RIG_TEST(dirty_unmaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
