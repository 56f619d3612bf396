/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which bytes are a saved state. A reader of the test's own, written by the table in vfio/cpr.h,
 * judges states that are right, nearly right and far off; the stack has to come to the same
 * verdict, for the same reason, and to the same devices. It must not look behind the last byte, nor
 * write beside the memory that it asked for.
 */
#include "cpr_fence.h"
#include "cpr_reader.h"

enum {
	STATES = 4000,
	HEIRS = 3, /* records that a state is made of, of each kind, at most */
	WIDE = 64,
};

/* ---- memory with a fence ---- */

struct heap {
	uint32_t blocks;
	uint32_t fail_at; /* the how-manieth from now is NULL; 0: none */
};

/* Before the bytes of a block there is its size, behind them there is nothing. */
static void *heap_alloc(void *ctx, size_t size)
{
	struct heap *heap = ctx;

	assert_true(size > 0);
	if (heap->fail_at && !--heap->fail_at)
		return NULL;
	heap->blocks++;
	return cpr_fenced(size);
}

static void heap_free(void *ctx, void *bytes)
{
	struct heap *heap = ctx;

	heap->blocks--;
	cpr_unfence(bytes);
}

/* A stack that reads states, and never has to ask the kernel for that. */
static struct vfio *new_stack(struct heap *heap)
{
	const struct vfio_vmm vmm = { .ctx = heap, .alloc = heap_alloc, .free = heap_free };
	const struct vfio_sys sys = { 0 };
	struct vfio *vfio = vfio_new(&sys, &vmm);

	assert_non_null(vfio);
	return vfio;
}

/* ---- the comparison ---- */

static void expect_said(const struct vfio *vfio, const struct said *said)
{
	assert_int_equal(vfio_cpr_mode(vfio), said->mode);
	for (uint32_t i = 0; i < said->device_count; i++)
		assert_string_equal(vfio_cpr_device(vfio, i), said->devices[i].name);
	assert_null(vfio_cpr_device(vfio, said->device_count));
	assert_null(vfio_cpr_device(vfio, UINT32_MAX));
}

/* Whether it is taken. The stack that took it is gone then. */
static bool compare(struct heap *heap, const uint8_t *bytes, size_t size)
{
	static struct said said;
	char why[192], message[256];
	int code = said_judge(bytes, size, &said, why, sizeof(why));
	struct vfio *vfio = new_stack(heap);
	struct vfio_error error = { 0 };
	uint32_t blocks = heap->blocks;
	uint8_t *copy = cpr_fenced(size);
	bool taken;

	memcpy(copy, bytes, size);
	taken = vfio_cpr_load(vfio, copy, size, NULL, &error);
	cpr_unfence(copy);

	assert_int_equal(error.code, code);
	assert_int_equal(taken, !code);
	if (taken) {
		expect_said(vfio, &said);
		assert_false(vfio_cpr_load(vfio, bytes, size, NULL, &error));
		assert_int_equal(error.code, -EBUSY);
		assert_string_equal(error.message, "the stack is in use: in use");
		expect_said(vfio, &said);
	} else {
		snprintf(message, sizeof(message), "%s: %s", why,
			 code == -EINVAL ? "invalid argument" : "not supported");
		assert_string_equal(error.message, message);
		assert_int_equal(vfio_cpr_mode(vfio), 0);
		assert_null(vfio_cpr_device(vfio, 0));
		assert_int_equal(heap->blocks, blocks);
	}
	vfio_free(vfio);
	assert_int_equal(heap->blocks, 0);
	return taken;
}

static void expect(bool taken, const struct text *text)
{
	struct heap heap = { 0 };

	assert_int_equal(compare(&heap, text->bytes, text->size), taken);
}

/* ---- states at random ---- */

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((seed >> 33) % below);
}

static void draw_device(struct text *text, uint32_t id, uint32_t container, bool group)
{
	static const uint32_t lengths[] = { 1, 2, 9, 254, 255 };
	char name[SAID_NAME + 1] = { 0 }, node[SAID_GROUP + 1] = { 0 };

	memset(name, 'a' + (int)id, lengths[draw(5)]);
	if (group)
		memset(node, '7', (size_t[]){ 1, 2, 31 }[draw(3)]);
	put_device(text, (struct device){ .container = container,
					  .devid = draw(9),
					  .hwpt = draw(9),
					  .irqs = draw(32),
					  .flags = draw(4),
					  .name = name,
					  .group = node });
}

/* One that is right. @starts gets where its records begin. */
static uint32_t draw_state(struct text *text, size_t *starts)
{
	static const uint32_t modes[] = { VFIO_MODE_CPR_REBOOT, VFIO_MODE_CPR_TRANSFER,
					  VFIO_MODE_CPR_EXEC };
	uint32_t mode = modes[draw(3)], iommufds = draw(HEIRS), containers = draw(HEIRS + 1);
	uint32_t devices = draw(HEIRS + 1), count = 0;
	bool reboot = mode == VFIO_MODE_CPR_REBOOT;
	bool legacy[HEIRS];

	begin(text);
	for (uint32_t i = 0; !reboot && i < iommufds; i++) {
		starts[count++] = text->size;
		put_iommufd(text, 1 + i, draw(2));
	}
	for (uint32_t i = 0; !reboot && i < containers; i++) {
		struct container container = { .id = 1 + i, .flags = draw(2), .maps = draw(9) };

		legacy[i] = !iommufds || draw(2);
		container.backend = legacy[i] ? VFIO_BACKEND_LEGACY : VFIO_BACKEND_IOMMUFD;
		container.type = legacy[i] ? 1 + draw(3) : 0;
		container.iommufd = legacy[i] ? 0 : 1 + draw(iommufds);
		container.ioas = legacy[i] ? 0 : 1 + draw(9);
		starts[count++] = text->size;
		put_container(text, container);
	}
	for (uint32_t i = 0; (reboot || containers) && i < devices; i++) {
		uint32_t container = reboot ? 0 : draw(containers);

		starts[count++] = text->size;
		draw_device(text, i, reboot ? 0 : 1 + container, !reboot && legacy[container]);
	}
	end(text, mode);
	return count;
}

/* Puts a number that is at some edge, or next to what is there, at any place of a record. */
static void spoil_number(struct text *text, size_t start, size_t bytes)
{
	static const uint32_t edges[] = { 0,	 1,	    2,		3,	   4,	5,   7,
					  8,	 16,	    24,		31,	   32,	33,  39,
					  40,	 41,	    99,		254,	   255, 256, 257,
					  65535, 0x1000000, 0x80000000, UINT32_MAX };
	size_t width = (size_t)1 << draw(3);
	uint8_t *at = text->bytes + start + draw((uint32_t)bytes / 2) * 2;
	uint32_t value = said_get(at, width);

	if (at + width > text->bytes + text->size)
		return;
	switch (draw(4)) {
	case 0:
		value++;
		break;
	case 1:
		value--;
		break;
	case 2:
		value ^= 1u << draw(32);
		break;
	default:
		value = edges[draw(sizeof(edges) / sizeof(edges[0]))];
		break;
	}
	cpr_put(at, value, width);
}

static void insert(struct text *text, size_t at, size_t bytes)
{
	assert_true(text->size + bytes <= STATE_MAX);
	memmove(text->bytes + at + bytes, text->bytes + at, text->size - at);
	memset(text->bytes + at, 'x', bytes);
	text->size += bytes;
}

/* A record is longer by some bytes, and may say so. */
static void lengthen(struct text *text, size_t start)
{
	uint32_t size = said_get(text->bytes + start + 4, 4), more = 1 + draw(9);

	if (size > text->size - start - RECORD)
		return;
	insert(text, start + RECORD + size, more);
	if (draw(4))
		cpr_put(text->bytes + start + 4, size + more, 4);
}

static void repeat(struct text *text, size_t start)
{
	uint32_t size = RECORD + said_get(text->bytes + start + 4, 4);
	uint8_t copy[512];

	if (size > text->size - start || size > sizeof(copy))
		return;
	memcpy(copy, text->bytes + start, size);
	insert(text, start, size);
	memcpy(text->bytes + start, copy, size);
	cpr_put(text->bytes + AT_COUNT, said_get(text->bytes + AT_COUNT, 4) + draw(2), 4);
}

static void add_unknown(struct text *text, size_t start)
{
	uint32_t body = 4 * draw(2);

	insert(text, start, RECORD + body);
	cpr_put(text->bytes + start + 4, body, 4);
	cpr_put(text->bytes + start, 4 + draw(3), 2);
	cpr_put(text->bytes + start + 2, draw(3), 2);
	cpr_put(text->bytes + AT_COUNT, said_get(text->bytes + AT_COUNT, 4) + 1, 4);
}

static void spoil(struct text *text, const size_t *starts, uint32_t count)
{
	size_t start = count ? starts[draw(count)] : HEADER;
	size_t rest = text->size - start;

	switch (draw(count ? 8 : 2)) {
	case 0:
		spoil_number(text, AT_VERSION, HEADER - AT_VERSION);
		break;
	case 1:
		cpr_put(text->bytes + AT_VERSION, draw(4), 4);
		break;
	case 2:
		lengthen(text, start);
		break;
	case 3:
		repeat(text, start);
		break;
	case 4:
		add_unknown(text, start);
		break;
	case 5:
		text->size -= 1 + draw((uint32_t)rest);
		break;
	default:
		spoil_number(text, start, rest < WIDE ? rest : WIDE);
		break;
	}
}

static void at_random(void **state)
{
	struct text *text = calloc(1, sizeof(*text));
	uint32_t taken = 0;
	struct heap heap = { 0 };

	(void)state;
	assert_non_null(text);
	seed = 8;
	for (uint32_t i = 0; i < STATES; i++) {
		size_t starts[3 * HEIRS];
		uint32_t count = draw_state(text, starts);

		/* One place changes by a step at a time; sooner or later a record is cut. */
		for (uint32_t spoils = draw(3); spoils && text->size > HEADER; spoils--) {
			spoil(text, starts, count);
			count = 0;
		}
		if (draw(16))
			sign(text->bytes, text->size);
		taken += compare(&heap, text->bytes, text->size);
	}
	free(text);
	assert_true(taken > STATES / 4 && taken < STATES * 3 / 4);
}

/* ---- edges ---- */

/* As many records as there is room for, and not one more. */
static void counts(void **state)
{
	struct text *text = calloc(1, sizeof(*text));

	(void)state;
	assert_non_null(text);
	for (uint32_t count = 0; count < 4; count++) {
		begin(text);
		for (uint32_t i = 0; i < count; i++)
			put_record(text, 99, 1, 0);
		end(text, VFIO_MODE_CPR_EXEC);
		expect(true, text);
		cpr_put(text->bytes + AT_COUNT, count + 1, 4);
		sign(text->bytes, text->size);
		expect(false, text);
	}
	free(text);
}

/* Each byte of the magic, and of all else that the checksum guards. */
static void flipped(void **state)
{
	struct text *text = calloc(1, sizeof(*text));

	(void)state;
	assert_non_null(text);
	begin(text);
	put_container(text, (struct container){ .id = 1, .type = 3 });
	put_device(text, (struct device){ .container = 1, .name = "a", .group = "7" });
	end(text, VFIO_MODE_CPR_TRANSFER);
	expect(true, text);
	for (size_t i = 0; i < text->size; i++) {
		text->bytes[i] ^= 0x20;
		expect(false, text);
		text->bytes[i] ^= 0x20;
	}
	text->bytes[7] = 0;
	sign(text->bytes, text->size);
	expect(false, text);
	free(text);
}

/* Devices that are cut within what every device has: nothing behind them is looked at. */
static void short_devices(void **state)
{
	struct text *text = calloc(1, sizeof(*text));

	(void)state;
	assert_non_null(text);
	for (uint32_t size = 0; size <= 24; size++) {
		begin(text);
		put_record(text, DEVICE, 0, size);
		put(text, 0, size);
		end(text, VFIO_MODE_CPR_REBOOT);
		expect(false, text);
	}
	free(text);
}

/* What does not go together, though each record is right. */
static void together(void **state)
{
	static const struct container containers[] = {
		{ .id = 1, .type = 3 },
		{ .id = 1, .backend = VFIO_BACKEND_IOMMUFD, .iommufd = 1, .ioas = 7 },
		{ .id = 1, .backend = VFIO_BACKEND_IOMMUFD, .iommufd = 1 },
		{ .id = 1, .backend = VFIO_BACKEND_IOMMUFD, .iommufd = 2, .ioas = 7 },
		{ .id = 1, .backend = VFIO_BACKEND_IOMMUFD, .iommufd = 1, .ioas = 7, .type = 3 },
		{ .id = 1, .type = 3, .ioas = 7 },
		{ .id = 1, .type = 3, .iommufd = 1 },
		{ .id = 1 },
	};
	static const uint32_t modes[] = { VFIO_MODE_CPR_REBOOT, VFIO_MODE_CPR_EXEC };
	struct text *text = calloc(1, sizeof(*text));
	struct heap heap = { 0 };
	uint32_t taken = 0, tried = 0;

	(void)state;
	assert_non_null(text);
	for (uint32_t i = 0; i < 256; i++) {
		const struct container *container = &containers[i & 7];

		begin(text);
		if (i & 8)
			put_iommufd(text, 1, 0);
		if (i & 16)
			put_container(text, *container);
		if (i & 32)
			put_device(text, (struct device){ .container = i & 16 ? 1 : 0,
							  .name = "a",
							  .group = i & 64 ? "7" : "" });
		end(text, modes[i >> 7]);
		tried++;
		taken += compare(&heap, text->bytes, text->size);
	}
	assert_true(taken > 8 && taken < tried / 2);
	free(text);
}

/* Headers that are cut, and the longest names, where one more is too long. */
static void lengths(void **state)
{
	struct text *text = calloc(1, sizeof(*text));
	char name[SAID_NAME + 2] = { 0 }, group[SAID_GROUP + 2] = { 0 };

	(void)state;
	assert_non_null(text);
	begin(text);
	end(text, VFIO_MODE_CPR_EXEC);
	expect(true, text);
	for (text->size = HEADER - 1; text->size; text->size--)
		expect(false, text);
	begin(text);
	put_device(text, (struct device){ .name = "", .group = "" });
	end(text, VFIO_MODE_CPR_REBOOT);
	expect(false, text);
	for (uint32_t more = 0; more < 4; more++) {
		memset(name, 'n', SAID_NAME + (more & 1));
		memset(group, 'g', SAID_GROUP + (more >> 1));
		begin(text);
		put_container(text, (struct container){ .id = 1, .type = 3 });
		put_device(text, (struct device){ .container = 1, .name = name, .group = group });
		end(text, VFIO_MODE_CPR_TRANSFER);
		expect(!more, text);
		memset(name, 0, sizeof(name));
		memset(group, 0, sizeof(group));
	}
	free(text);
}

/* No memory, at each allocation in turn: the state is not blamed for it. */
static void short_of_memory(void **state)
{
	struct text *text = calloc(1, sizeof(*text));
	struct heap heap = { 0 };
	struct vfio *vfio = new_stack(&heap);
	uint32_t blocks = heap.blocks, nth = 1;
	struct vfio_error error = { 0 };

	(void)state;
	assert_non_null(text);
	begin(text);
	put_device(text, (struct device){ .name = "a", .group = "" });
	end(text, VFIO_MODE_CPR_REBOOT);
	for (;; nth++) {
		heap.fail_at = nth;
		if (vfio_cpr_load(vfio, text->bytes, text->size, NULL, &error))
			break;
		assert_int_equal(error.code, -ENOMEM);
		assert_string_equal(error.message, "cannot read the saved state: out of memory");
		assert_int_equal(heap.blocks, blocks);
	}
	/* It was taken as soon as nothing failed, and not before. */
	assert_true(nth > 1);
	assert_int_equal(heap.fail_at, 1);
	heap.fail_at = 0;
	assert_string_equal(vfio_cpr_device(vfio, 0), "a");
	assert_true(vfio_cpr_finish(vfio, &error));
	assert_null(vfio_cpr_device(vfio, 0));
	assert_int_equal(heap.blocks, blocks);
	vfio_free(vfio);
	assert_int_equal(heap.blocks, 0);
	free(text);
}

/* What every reader of the format agrees on. */
static void checksum(void **state)
{
	(void)state;
	assert_int_equal(crc32((const uint8_t *)"123456789", 9), 0xcbf43926);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_random),	   cmocka_unit_test(counts),
		cmocka_unit_test(flipped),	   cmocka_unit_test(short_devices),
		cmocka_unit_test(together),	   cmocka_unit_test(lengths),
		cmocka_unit_test(short_of_memory), cmocka_unit_test(checksum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
