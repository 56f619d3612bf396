/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Features of a device behind a vfio-user server: when the log of its DMA is started and stopped,
 * how many reports it takes to read it, and which sizes its answers may have.
 */
#include "user_rig.h"

enum { PAGE = 4096, PAGES = 1024 };

static _Alignas(PAGE) uint8_t ram[PAGES * PAGE];

static void fails_with(bool good, const struct vfio_error *error, int code)
{
	assert_false(good);
	assert_int_equal(error->code, code);
	assert_true(error->message[0]);
}

struct features {
	uint32_t extra_set, extra_get; /* bytes in answers that nobody expects */
	uint32_t start_code, stops, starts;
	uint32_t reports;
	struct vfio_user_dma_logging_report last;
	uint8_t start[128];
	uint32_t start_size;
};

static void answer_set(struct rig *rig, const struct vfio_user_header *header,
		       const uint8_t *payload, uint32_t size, struct features *features)
{
	struct vfio_device_feature head;
	uint8_t bytes[256] = { 0 };

	memcpy(&head, payload, sizeof(head));
	memcpy(bytes, payload, size);
	if (head.flags == (VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP))
		features->stops++;
	if (head.flags == (VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START)) {
		features->starts++;
		features->start_size = size;
		memcpy(features->start, payload, size);
		if (features->start_code) {
			rig_error(rig, header, features->start_code);
			return;
		}
	}
	rig_reply(rig, header, bytes, size + features->extra_set);
}

static bool features(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		     uint32_t size)
{
	struct features *features = rig->hook_ctx;
	struct vfio_device_feature head;
	uint8_t bytes[256] = { 0 };
	uint64_t word;

	if (header->cmd != VFIO_USER_DEVICE_FEATURE)
		return false;
	memcpy(&head, payload, sizeof(head));
	if (!(head.flags & VFIO_DEVICE_FEATURE_GET)) {
		answer_set(rig, header, payload, size, features);
		return true;
	}
	memcpy(bytes, payload, size);
	if ((head.flags & VFIO_DEVICE_FEATURE_MASK) != VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT) {
		word = VFIO_MIGRATION_STOP_COPY;
		memcpy(bytes + 8, &word, 8);
		rig_reply(rig, header, bytes, head.argsz + features->extra_get);
		return true;
	}
	/* Page N of the report with number N, and the last one of each word. */
	memcpy(&features->last, payload + 8, sizeof(features->last));
	for (uint32_t at = size; at < head.argsz; at += 8) {
		word = 1ULL << features->reports % 63 | 1ULL << 63;
		memcpy(bytes + at, &word, 8);
	}
	features->reports++;
	rig_reply(rig, header, bytes, head.argsz);
	return true;
}

/* Pages of @page bytes that are told once and at their place. */
static void expect_told(struct rig *rig, uint64_t page, uint32_t words)
{
	for (uint64_t i = 0; i < PAGES; i++) {
		uint64_t report = i / 64 / words, at = (1 << 30) + i * page;
		bool dirty = i % 64 == 63 || i % 64 == report % 63;

		assert_int_equal(vfio_memory_test_dirty(rig->memory, at, true), dirty);
		assert_int_equal(vfio_memory_test_dirty(rig->memory, at + page - PAGE, true),
				 dirty && page > PAGE);
	}
}

/* How many words a report has, for pages of @page bytes. Nobody looks into them. */
static void reports_of(struct rig *rig, uint64_t page)
{
	static const struct {
		const char *bitmap_bytes;
		uint32_t words; /* in a report */
	} cases[] = { { "0", 1 },  { "8", 1 },	{ "31", 1 }, { "39", 1 }, { "40", 1 },
		      { "47", 1 }, { "48", 2 }, { "63", 3 }, { "72", 5 }, { "1000", 16 } };
	const uint32_t total = PAGES / 64;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct features server = { 0 };
		struct vfio_error error = { 0 };
		uint32_t words = cases[i].words;
		char caps[128];
		uint32_t id;

		snprintf(caps, sizeof(caps),
			 "{\"capabilities\":{\"max_msg_fds\":8,\"pgsizes\":%llu,"
			 "\"migration\":{\"max_bitmap_size\":%s}}}",
			 (unsigned long long)page, cases[i].bitmap_bytes);
		rig->caps = caps;
		rig->hook = features;
		rig->hook_ctx = &server;
		id = rig_ram(rig, 1 << 30, (void *)(uintptr_t)(1 << 30), PAGES * page, -1);
		assert_int_equal(rig_attach(rig), 0);
		assert_true(vfio_memory_log_start(rig->memory, &error));
		assert_true(vfio_memory_log_sync(rig->memory, &error));
		assert_int_equal(server.reports, (total + words - 1) / words);
		assert_int_equal(server.last.iova,
				 (1 << 30) + (server.reports - 1) * words * 64ULL * page);
		assert_int_equal(server.last.iova + server.last.length, (1 << 30) + PAGES * page);
		assert_int_equal(server.last.page_size, page);
		expect_told(rig, page, words);
		vfio_memory_del(rig->memory, id); /* which is asked for in such pages, too */
		vfio_memory_log_stop(rig->memory);
		rig->hook = NULL;
		vfio_device_detach(rig->device);
	}
}

static void reports(void **state)
{
	static const uint64_t pages[] = { PAGE, 64 << 10, 2 << 20 };

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		reports_of(*state, pages[i]);
}

static bool short_of_memory;

static void *failing_alloc(void *ctx, size_t size)
{
	(void)ctx;
	return short_of_memory ? NULL : calloc(1, size);
}

static void plain_free(void *ctx, void *block)
{
	(void)ctx;
	free(block);
}

static void log_starts(void **state)
{
	struct rig *rig = *state;
	struct features server = { 0 };
	struct vfio_error error = { 0 };
	uint64_t ranges[4], page_size;
	const uint64_t wanted[4] = { 0, PAGE, 4 * PAGE, 2 * PAGE };

	vfio_free(rig->vfio);
	rig->vmm.alloc = failing_alloc;
	rig->vmm.free = plain_free;
	rig->vfio = vfio_new(&rig->sys, &rig->vmm);
	rig_ram(rig, 0, ram, PAGE, -1);
	rig_ram(rig, 4 * PAGE, ram + PAGE, 2 * PAGE, -1);
	rig->hook = features;
	rig->hook_ctx = &server;
	assert_int_equal(rig_attach(rig), 0);
	short_of_memory = true;
	fails_with(vfio_memory_log_start(rig->memory, &error), &error, -ENOMEM);
	short_of_memory = false;
	assert_int_equal(server.starts, 0);
	/* What was refused does not run, and nobody stops it. */
	server.start_code = ENOTTY;
	fails_with(vfio_memory_log_start(rig->memory, &error), &error, -ENOTTY);
	assert_int_equal(server.stops, 0);
	/* What failed may run: it is stopped, and that it was is known. */
	server.start_code = EIO;
	fails_with(vfio_memory_log_start(rig->memory, &error), &error, -EIO);
	assert_int_equal(server.stops, 1);
	server.start_code = 0;
	assert_true(vfio_memory_log_start(rig->memory, &error));
	assert_int_equal(server.stops, 1);
	assert_int_equal(server.start_size, 8 + 16 + 2 * 16);
	memcpy(&page_size, server.start + 8, 8);
	memcpy(ranges, server.start + 24, sizeof(ranges));
	assert_int_equal(page_size, PAGE);
	assert_memory_equal(ranges, wanted, sizeof(ranges));
	vfio_memory_log_stop(rig->memory);
	assert_int_equal(server.stops, 2);
}

/* What a server says to a set is not looked at; what it says to a get must be what was asked. */
static void sizes_of_features(void **state)
{
	struct rig *rig = *state;
	struct features server = { .extra_set = 16 };
	struct vfio_migration_info info;
	struct vfio_error error = { 0 };
	enum vfio_mig_state now;

	rig->hook = features;
	rig->hook_ctx = &server;
	assert_int_equal(rig_attach(rig), 0);
	vfio_device_migration_info(rig->device, &info);
	assert_true(info.dma_logging && info.stop_copy);
	assert_true(vfio_device_mig_state(rig->device, &now, &error));
	server.extra_get = 1;
	fails_with(vfio_device_mig_state(rig->device, &now, &error), &error, -EPROTO);
}

/* The first unmap is answered last, and 65536 requests come in between. */
struct slow_unmap {
	struct vfio_user_header held;
	bool holds;
	uint32_t reports;
};

static bool slow_unmap(struct rig *rig, const struct vfio_user_header *header,
		       const uint8_t *payload, uint32_t size)
{
	struct slow_unmap *slow = rig->hook_ctx;
	struct vfio_device_feature head;
	uint8_t bytes[64] = { 0 };

	if (slow->holds && header->msg_id == slow->held.msg_id)
		fail_msg("two requests under way have the id %u", header->msg_id);
	if (header->cmd == VFIO_USER_DMA_UNMAP && !slow->reports) {
		slow->held = *header;
		slow->holds = true;
		return true;
	}
	if (header->cmd == VFIO_USER_DMA_UNMAP && slow->holds) {
		rig_reply(rig, header, NULL, 0);
		rig_reply(rig, &slow->held, NULL, 0);
		slow->holds = false;
		return true;
	}
	if (header->cmd != VFIO_USER_DEVICE_FEATURE)
		return false;
	memcpy(&head, payload, sizeof(head));
	memcpy(bytes, payload, size);
	if ((head.flags & VFIO_DEVICE_FEATURE_MASK) < VFIO_DEVICE_FEATURE_DMA_LOGGING_START)
		return false;
	slow->reports += size == 32;
	rig_reply(rig, header, bytes, head.argsz);
	return true;
}

/* Ids go round, but not over that of a request that nobody waits for. */
static void ids_go_round(void **state)
{
	struct rig *rig = *state;
	struct vfio_memory_region region = { .name = "rom",
					     .kind = VFIO_MEMORY_ROM,
					     .start = 1ULL << 40,
					     .last = (1ULL << 40) + PAGE - 1,
					     .vaddr = (uint64_t)(uintptr_t)ram,
					     .fd = -1 };
	struct slow_unmap slow = { 0 };
	struct vfio_container_info info;
	struct vfio_error error = { 0 };
	uint32_t ids[2];

	rig->caps = "{\"capabilities\":{\"max_msg_fds\":8,\"migration\":{\"max_bitmap_size\":40}}}";
	assert_true(vfio_memory_add(rig->memory, &region, &ids[0], &error));
	/* Nobody touches it; the log tells 64 pages at a time. */
	ids[1] = rig_ram(rig, 1 << 30, ram, 65537ULL * 64 * PAGE, -1);
	rig->hook = slow_unmap;
	rig->hook_ctx = &slow;
	assert_int_equal(rig_attach(rig), 0);
	assert_true(vfio_memory_log_start(rig->memory, &error));
	vfio_memory_begin(rig->memory);
	vfio_memory_del(rig->memory, ids[0]);
	vfio_memory_del(rig->memory, ids[1]);
	vfio_memory_commit(rig->memory);
	assert_int_equal(slow.reports, 65537);
	assert_int_equal(slow.held.cmd, VFIO_USER_DMA_UNMAP);
	assert_false(slow.holds);
	assert_int_equal(rig->ref.broken_seen, 0);
	vfio_container_info(vfio_device_container(rig->device), &info);
	assert_int_equal(info.mappings, 0);
	vfio_memory_log_stop(rig->memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reports, rig_set_up, rig_tear_down),
		cmocka_unit_test_setup_teardown(log_starts, rig_set_up, rig_tear_down),
		cmocka_unit_test_setup_teardown(sizes_of_features, rig_set_up, rig_tear_down),
		cmocka_unit_test_setup_teardown(ids_go_round, rig_set_up, rig_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
