/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device behind a vfio-user server, message by message: regions, posted writes, interrupts.
 */
#include "user_rig.h"

static void fails_with(bool good, const struct vfio_error *error, int code)
{
	assert_false(good);
	assert_int_equal(error->code, code);
	assert_true(error->message[0]);
}

/* ---- regions ---- */

static void reads_and_writes(void **state)
{
	struct rig *rig = *state;
	struct vfio_error error = { 0 };
	uint8_t out[RIG_REGION_BYTES], in[RIG_REGION_BYTES];

	/* More than one message can carry. */
	rig->caps = "{\"capabilities\":{\"max_data_xfer_size\":1000}}";
	assert_int_equal(rig_attach(rig), 0);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	assert_true(vfio_device_write(rig->device, 1, 0, out, sizeof(out), &error));
	assert_memory_equal(rig->regions[1], out, sizeof(out));
	assert_int_equal(rig->seen[VFIO_USER_REGION_WRITE], 5);
	assert_true(vfio_device_read(rig->device, 1, 0, in, sizeof(in), &error));
	assert_memory_equal(in, out, sizeof(out));
	assert_int_equal(rig->seen[VFIO_USER_REGION_READ], 5);
	/* A region is asked about once. */
	assert_int_equal(rig->seen[VFIO_USER_DEVICE_GET_REGION_INFO], 1);
	fails_with(vfio_device_read(rig->device, 1, 4000, in, 100, &error), &error, -EINVAL);
	fails_with(vfio_device_read(rig->device, RIG_REGIONS, 0, in, 1, &error), &error, -EINVAL);
	assert_true(vfio_device_read(rig->device, 1, 4096, in, 0, &error));
}

/* Replies to REGION_READ and REGION_WRITE whose head lies. */
struct lie {
	uint64_t offset;
	uint32_t region, count, data;
};

static bool lying(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		  uint32_t size)
{
	const struct lie *lie = rig->hook_ctx;
	struct vfio_user_region_access access = { .offset = lie->offset,
						  .region = lie->region,
						  .count = lie->count };
	uint8_t bytes[64] = { 0 };

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_REGION_READ && header->cmd != VFIO_USER_REGION_WRITE)
		return false;
	memcpy(bytes, &access, sizeof(access));
	rig_reply(rig, header, bytes, (uint32_t)sizeof(access) + lie->data);
	return true;
}

static void lies_about_access(void **state)
{
	struct rig *rig = *state;
	static const struct {
		struct lie lie;
		int read, write;
	} cases[] = {
		{ { 8, 0, 4, 4 }, 0, -EPROTO },	      { { 8, 0, 4, 0 }, -EPROTO, 0 },
		{ { 9, 0, 4, 4 }, -EPROTO, -EPROTO }, { { 9, 0, 4, 0 }, -EPROTO, -EPROTO },
		{ { 8, 1, 4, 0 }, -EPROTO, -EPROTO }, { { 8, 0, 5, 0 }, -EPROTO, -EPROTO },
		{ { 8, 0, 0, 0 }, -EIO, -EIO },	      { { 8, 0, UINT32_MAX, 4 }, -EPROTO, -EPROTO },
		{ { 8, 0, 3, 4 }, -EPROTO, -EPROTO },
	};
	uint32_t value = 0;

	assert_int_equal(rig_attach(rig), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lie lie = cases[i].lie;
		struct vfio_error error = { 0 };

		rig->hook = lying;
		rig->hook_ctx = &lie;
		assert_int_equal(rig_peek(rig, 0, 8, &value), cases[i].read);
		assert_int_equal(vfio_device_write(rig->device, 0, 8, &value, 4, &error),
				 !cases[i].write);
		assert_int_equal(error.code, cases[i].write);
	}
}

static void mapped_areas(void **state)
{
	struct rig *rig = *state;
	struct vfio_error error = { 0 };
	struct vfio_region region;
	uint64_t addr = 0;

	assert_int_equal(rig_attach(rig), 0);
	assert_true(vfio_device_region(rig->device, RIG_MAPPED_REGION, &region, &error));
	assert_int_equal(region.area_count, 2);
	assert_int_equal(region.areas[1].offset, 2048);
	assert_true(vfio_device_map_area(rig->device, RIG_MAPPED_REGION, 1, &addr, &error));
	assert_int_equal(addr, 0x7000000000 + 0x10000 + 2048);
	/* The descriptor went with the call: what is open is the socket and two notifications. */
	assert_int_equal(rig->open_count, 3);
	rig->mmap_code = -ENOMEM;
	fails_with(vfio_device_map_area(rig->device, RIG_MAPPED_REGION, 0, &addr, &error), &error,
		   -ENOMEM);
	assert_int_equal(rig->open_count, 3);
	fails_with(vfio_device_map_area(rig->device, 0, 0, &addr, &error), &error, -EINVAL);
}

/* What GET_REGION_INFO of region 2 is answered with. */
struct odd_region {
	struct vfio_region_info info;
	uint32_t size; /* of the payload */
	uint32_t fds;
	uint8_t caps[128];
};

static bool odd_region(struct rig *rig, const struct vfio_user_header *header,
		       const uint8_t *payload, uint32_t size)
{
	const struct odd_region *odd = rig->hook_ctx;
	uint8_t bytes[256];
	struct vfio_region_info ask;

	(void)size;
	if (header->cmd != VFIO_USER_DEVICE_GET_REGION_INFO)
		return false;
	memcpy(&ask, payload, sizeof(ask));
	memcpy(bytes, &odd->info, sizeof(odd->info));
	memcpy(bytes + sizeof(odd->info), odd->caps, sizeof(odd->caps));
	rig_reply_fds(rig, header, bytes, odd->size < ask.argsz ? odd->size : ask.argsz, odd->fds);
	return true;
}

static void odd_regions(void **state)
{
	struct rig *rig = *state;
	enum {
		R = VFIO_REGION_INFO_FLAG_READ,
		M = VFIO_REGION_INFO_FLAG_MMAP,
		C = VFIO_REGION_INFO_FLAG_CAPS
	};
	struct odd_region cases[] = {
		{ .info = { 32, R, 3, 0, 4096, 0 }, .size = 32 }, /* another region */
		{ .info = { 32, R, 2, 0, 4096, 0 }, .size = 31 }, /* cut */
		{ .info = { 1 << 20, R, 2, 0, 4096, 0 }, .size = 32 },
		{ .info = { UINT32_MAX, R, 2, 0, 4096, 0 }, .size = 32 },
	};
	struct odd_region fine[] = {
		/* a descriptor that is not wanted; none that is; a capability that is its next */
		{ .info = { 32, R, 2, 0, 4096, 0 }, .size = 32, .fds = 3 },
		{ .info = { 32, R | M, 2, 0, 4096, 0x10000 }, .size = 32 },
		{ .info = { 40, R | C, 2, 32, 4096, 0 }, .size = 40, .caps = { 9, 0, 1, 0, 32 } },
		{ .info = { 40, R | C, 2, 4096, 4096, 0 }, .size = 40 },
		{ .info = { 0, R, 2, 0, 4096, 0 }, .size = 32 },
	};
	struct vfio_error error = { 0 };
	struct vfio_region region;
	uint64_t addr;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(rig_attach(rig), 0);
		rig->hook = odd_region;
		rig->hook_ctx = &cases[i];
		assert_false(vfio_device_region(rig->device, 2, &region, &error));
		assert_true(error.code == -EPROTO || error.code == -E2BIG);
		rig->hook = NULL;
		assert_true(vfio_device_region(rig->device, 2, &region, &error));
		vfio_device_detach(rig->device);
	}
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		assert_int_equal(rig_attach(rig), 0);
		rig->hook = odd_region;
		rig->hook_ctx = &fine[i];
		assert_true(vfio_device_region(rig->device, 2, &region, &error));
		assert_false(vfio_device_map_area(rig->device, 2, 0, &addr, &error));
		assert_int_equal(rig->open_count, 3);
		rig->hook = NULL;
		vfio_device_detach(rig->device);
	}
}

/* The offset of an area wraps. */
static void wrapping_area(void **state)
{
	struct rig *rig = *state;
	struct odd_region odd = { .info = { 32 + 32,
					    VFIO_REGION_INFO_FLAG_READ |
						    VFIO_REGION_INFO_FLAG_MMAP |
						    VFIO_REGION_INFO_FLAG_CAPS,
					    2, 32, 8192, UINT64_MAX - 4095 },
				  .size = 64,
				  .fds = 1 };
	struct vfio_error error = { 0 };
	const uint64_t area[2] = { 4096, 4096 };
	const uint32_t cap[4] = { VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0, 1, 0 };
	uint64_t addr;

	memcpy(odd.caps, cap, sizeof(cap));
	memcpy(odd.caps + sizeof(cap), area, sizeof(area));
	assert_int_equal(rig_attach(rig), 0);
	rig->hook = odd_region;
	rig->hook_ctx = &odd;
	fails_with(vfio_device_map_area(rig->device, 2, 0, &addr, &error), &error, -ERANGE);
	assert_int_equal(rig->open_count, 3);
}

/* ---- info ---- */

struct odd_info {
	struct vfio_user_device_info info;
	uint32_t size;
};

static bool odd_info(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		     uint32_t size)
{
	const struct odd_info *odd = rig->hook_ctx;

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_DEVICE_GET_INFO)
		return false;
	if (odd->size)
		rig_reply(rig, header, &odd->info, odd->size);
	else
		rig_error(rig, header, ENODEV);
	return true;
}

/* After the connection and the maps: all of it goes again. */
static void odd_infos(void **state)
{
	struct rig *rig = *state;
	static _Alignas(4096) uint8_t ram[8192];
	static const struct {
		struct odd_info odd;
		int code;
	} cases[] = {
		{ { { 16, 2, 1 << 20, 5 }, 16 }, -ERANGE },
		{ { { 16, 2, 9, UINT32_MAX }, 16 }, -ERANGE },
		{ { { 16, 2, 9, 5 }, 12 }, -EPROTO },
		{ { { 0 }, 0 }, -ENODEV },
	};

	rig_ram(rig, 0, ram, sizeof(ram), -1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct odd_info odd = cases[i].odd;

		rig->hook = odd_info;
		rig->hook_ctx = &odd;
		assert_int_equal(rig_attach(rig), cases[i].code);
		assert_int_equal(rig->maps, 0);
	}
	assert_int_equal(rig->seen[VFIO_USER_DMA_MAP], 4);
	assert_int_equal(rig->seen[VFIO_USER_DMA_UNMAP], 4);
	rig->hook = NULL;
	assert_int_equal(rig_attach(rig), 0);
}

/* ---- posted writes ---- */

static void post(struct rig *rig, uint64_t offset, uint32_t value, size_t len)
{
	struct vfio_error error = { 0 };

	assert_true(vfio_device_post(rig->device, 0, offset, &value, len, &error));
}

static void expect_log(const struct rig *rig, uint32_t count)
{
	assert_int_equal(rig->log_count, count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t value = 0;

		memcpy(&value, rig->log[i].data, 4);
		assert_int_equal(value, i);
	}
}

static void posted_in_order(void **state)
{
	struct rig *rig = *state;
	struct vfio_error error = { 0 };
	uint32_t value;

	assert_int_equal(rig_attach(rig), 0);
	for (uint32_t i = 0; i < 100; i++)
		post(rig, i * 4, i, 4);
	/* 32 in a message; the rest is gathered until something else is asked. */
	assert_int_equal(rig->seen[VFIO_USER_REGION_WRITE_MULTI], 3);
	assert_int_equal(rig->unanswered, 3);
	assert_int_equal(rig_peek(rig, 0, 99 * 4, &value), 0);
	assert_int_equal(value, 99);
	expect_log(rig, 100);
	assert_int_equal(rig->unanswered, 4);
	post(rig, 0, 100, 4);
	assert_true(vfio_device_flush(rig->device, &error));
	expect_log(rig, 101);
	assert_int_equal(rig->unanswered, 4);
	assert_true(vfio_device_flush(rig->device, &error));
	assert_int_equal(rig->seen[VFIO_USER_REGION_WRITE_MULTI], 5);
}

/* A server without the message gets them one by one. */
static void posted_one_by_one(void **state)
{
	struct rig *rig = *state;
	struct vfio_error error = { 0 };

	rig->caps = "{}";
	assert_int_equal(rig_attach(rig), 0);
	for (uint32_t i = 0; i < 80; i++)
		post(rig, i * 4, i, 4);
	assert_true(vfio_device_flush(rig->device, &error));
	expect_log(rig, 80);
	assert_int_equal(rig->seen[VFIO_USER_REGION_WRITE_MULTI], 0);
	/* Now and then one is waited for. */
	assert_in_range(rig->unanswered, 70, 78);
}

static bool bad_writes(struct rig *rig, const struct vfio_user_header *header,
		       const uint8_t *payload, uint32_t size)
{
	const uint32_t *kind = rig->hook_ctx;
	struct vfio_user_write_multi multi = { .wr_cnt = 1 };

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_REGION_WRITE_MULTI && header->cmd != VFIO_USER_REGION_WRITE)
		return false;
	if (header->flags & VFIO_USER_F_NO_REPLY)
		return true;
	if (*kind)
		rig_error(rig, header, *kind);
	else
		rig_reply(rig, header, &multi, sizeof(multi));
	return true;
}

static void posted_that_fail(void **state)
{
	struct rig *rig = *state;
	struct vfio_error error = { 0 };
	uint32_t kind = EIO;

	assert_int_equal(rig_attach(rig), 0);
	post(rig, 0, 0, 4);
	assert_true(vfio_device_flush(rig->device, &error));
	rig->hook = bad_writes;
	rig->hook_ctx = &kind;
	post(rig, 0, 0, 4);
	fails_with(vfio_device_flush(rig->device, &error), &error, -EIO);
	/* It is told once. */
	error.code = 0;
	assert_true(vfio_device_flush(rig->device, &error));
	/* Fewer were done than sent. */
	kind = 0;
	post(rig, 0, 0, 4);
	post(rig, 4, 0, 4);
	fails_with(vfio_device_flush(rig->device, &error), &error, -EIO);
	/* One of those that are waited for on the way: flush() tells it later. */
	kind = ENXIO;
	for (uint32_t i = 0; i < 33 * 32 + 1; i++)
		post(rig, 0, 0, 4);
	rig->hook = NULL;
	fails_with(vfio_device_flush(rig->device, &error), &error, -ENXIO);
}

static void posted_sizes(void **state)
{
	struct rig *rig = *state;
	struct vfio_error error = { 0 };
	uint8_t wide[16] = { 1, 2, 3, 4 };
	uint32_t last;

	assert_int_equal(rig_attach(rig), 0);
	post(rig, 0, 0, 1);
	/* Too wide to gather: it waits, and comes after those before. */
	assert_true(vfio_device_post(rig->device, 0, 0, wide, sizeof(wide), &error));
	assert_memory_equal(rig->regions[0], wide, sizeof(wide));
	assert_int_equal(rig->log_count, 1);
	fails_with(vfio_device_post(rig->device, 0, 4096, wide, 1, &error), &error, -EINVAL);
	fails_with(vfio_device_post(rig->device, RIG_REGIONS, 0, wide, 1, &error), &error, -EINVAL);
	/* Detaching sends what is left: the first interrupt that goes pushes it. */
	post(rig, 100, 7, 4);
	vfio_device_detach(rig->device);
	memcpy(&last, &rig->regions[0][100], 4);
	assert_int_equal(last, 7);
}

/* ---- interrupts ---- */

static bool enable(struct rig *rig, uint32_t start, uint32_t count, const int *fds, int code)
{
	struct vfio_error error = { 0 };
	bool good = vfio_device_irq_enable(rig->device, VFIO_PCI_MSIX_IRQ_INDEX, start, count, fds,
					   &error);

	assert_int_equal(error.code, code);
	return good;
}

static void vectors(void **state)
{
	struct rig *rig = *state;
	int fds[64];

	assert_int_equal(rig_attach(rig), 0);
	rig->seen[VFIO_USER_DEVICE_SET_IRQS] = 0;
	for (int i = 0; i < 64; i++)
		fds[i] = i % 32 == 31 ? -1 : 100 + i;
	assert_true(enable(rig, 0, 64, fds, 0));
	for (int i = 0; i < 64; i++)
		assert_int_equal(rig->irq_fds[i], fds[i] >= 0);
	/* Eight in a message, and those without by themselves. */
	assert_int_equal(rig->seen[VFIO_USER_DEVICE_SET_IRQS], 10);
	fds[0] = -1;
	assert_true(enable(rig, 5, 1, fds, 0));
	assert_int_equal(rig->irq_fds[5], 0);
}

static bool third_fails(struct rig *rig, const struct vfio_user_header *header,
			const uint8_t *payload, uint32_t size)
{
	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_DEVICE_SET_IRQS || rig->seen[VFIO_USER_DEVICE_SET_IRQS] != 3)
		return false;
	rig_error(rig, header, ENOMEM);
	return true;
}

/* All vectors or none. */
static void vectors_fail(void **state)
{
	struct rig *rig = *state;
	int fds[40];

	assert_int_equal(rig_attach(rig), 0);
	rig->seen[VFIO_USER_DEVICE_SET_IRQS] = 0;
	rig->hook = third_fails;
	for (int i = 0; i < 40; i++)
		fds[i] = 100 + i;
	assert_false(enable(rig, 0, 40, fds, -ENOMEM));
	for (int i = 0; i < 64; i++)
		assert_int_equal(rig->irq_fds[i], 0);
	assert_int_equal(rig->seen[VFIO_USER_DEVICE_SET_IRQS], 4);
	/* Some that were set up before are not lost with those that fail. */
	rig->hook = NULL;
	assert_true(enable(rig, 50, 1, fds, 0));
	rig->seen[VFIO_USER_DEVICE_SET_IRQS] = 0;
	rig->hook = third_fails;
	assert_false(enable(rig, 0, 40, fds, -ENOMEM));
	for (int i = 0; i < 64; i++)
		assert_int_equal(rig->irq_fds[i], i == 50);
}

static void no_descriptors(void **state)
{
	struct rig *rig = *state;
	struct vfio_error error = { 0 };
	int fds[1] = { 100 };

	/* Then not even notifications can be set up. */
	rig->caps = "{\"capabilities\":{\"max_msg_fds\":0}}";
	assert_int_equal(rig_attach(rig), -ENOTSUP);
	rig->caps = NULL;
	assert_int_equal(rig_attach(rig), 0);
	assert_true(enable(rig, 0, 1, fds, 0));
	assert_true(vfio_device_irq_mask(rig->device, VFIO_PCI_MSIX_IRQ_INDEX, true, &error));
	assert_true(vfio_device_irq_trigger(rig->device, VFIO_PCI_MSIX_IRQ_INDEX, 0, &error));
	vfio_device_irq_disable(rig->device, VFIO_PCI_MSIX_IRQ_INDEX);
	fails_with(vfio_device_hot_reset(rig->device, &error), &error, -ENOTTY);
	assert_true(vfio_device_reset(rig->device, &error));
	vfio_device_poll(rig->device);
	assert_int_equal(rig->ref.errors_seen, 0);
}

static bool odd_irq(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		    uint32_t size)
{
	struct vfio_irq_info info = { .argsz = 16, .index = 4 };

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_DEVICE_GET_IRQ_INFO)
		return false;
	rig_reply(rig, header, &info, sizeof(info));
	return true;
}

static void another_irq(void **state)
{
	struct rig *rig = *state;
	struct vfio_error error = { 0 };
	struct vfio_irq irq;

	assert_int_equal(rig_attach(rig), 0);
	rig->hook = odd_irq;
	fails_with(vfio_device_irq(rig->device, 1, &irq, &error), &error, -EPROTO);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(reads_and_writes), RIG_TEST(lies_about_access), RIG_TEST(mapped_areas),
		RIG_TEST(odd_regions),	    RIG_TEST(wrapping_area),	 RIG_TEST(odd_infos),
		RIG_TEST(posted_in_order),  RIG_TEST(posted_one_by_one), RIG_TEST(posted_that_fail),
		RIG_TEST(posted_sizes),	    RIG_TEST(vectors),		 RIG_TEST(vectors_fail),
		RIG_TEST(no_descriptors),   RIG_TEST(another_irq),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
