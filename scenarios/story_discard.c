/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that comes and goes in pieces: only what is plugged is mapped, piece by piece.
 */
#include <errno.h>

#include "stories.h"

enum { PIECES = 16 };

struct blocks {
	struct stage *stage;
	struct stage_ram *ram;
	uint64_t piece; /* bytes */
};

static struct blocks blocks_start(struct stage *stage)
{
	struct blocks blocks = { .stage = stage, .piece = 4 * stage->backend->page };
	struct vfio_memory_region region = { .name = "virtio-mem",
					     .kind = VFIO_MEMORY_DISCARDABLE,
					     .start = stage->backend->ram,
					     .granularity = blocks.piece,
					     .fd = -1 };

	region.last = region.start + PIECES * blocks.piece - 1;
	blocks.ram = stage_add(stage, stage->memory, &region);
	return blocks;
}

static bool plug(const struct blocks *blocks, uint64_t from, uint64_t count,
		 struct vfio_error *error)
{
	uint64_t start = blocks->ram->region.start + from * blocks->piece;

	*error = (struct vfio_error){ 0 };
	return vfio_memory_populate(blocks->stage->memory, blocks->ram->id, start,
				    start + count * blocks->piece - 1, error);
}

static void unplug(const struct blocks *blocks, uint64_t from, uint64_t count)
{
	uint64_t start = blocks->ram->region.start + from * blocks->piece;

	vfio_memory_discard(blocks->stage->memory, blocks->ram->id, start,
			    start + count * blocks->piece - 1);
}

/* Bit N of @plugged: piece N. Who is attached reaches exactly that. */
static void expect_plugged(const struct blocks *blocks, uint32_t plugged)
{
	for (unsigned int device = 0; device < STAGE_DEVICES; device++) {
		if (!blocks->stage->devices[device])
			continue;
		for (uint64_t i = 0; i < PIECES; i++) {
			uint64_t start = blocks->ram->region.start + i * blocks->piece;

			if (plugged >> i & 1)
				stage_expect_reach(blocks->stage, device, start, blocks->piece,
						   blocks->ram->host + i * blocks->piece, true);
			else
				stage_expect_fault(blocks->stage, device, start, blocks->piece);
		}
	}
}

static void run_pieces(struct stage *stage)
{
	struct blocks blocks = blocks_start(stage);
	struct vfio_error error;

	stage_mark(stage);
	stage_attach(stage, 0);
	/* It tells what it discards; others still may not. */
	assert_int_equal(stage->ref.discard_forbidden, 1);
	expect_plugged(&blocks, 0);
	assert_true(plug(&blocks, 2, 6, &error));
	expect_plugged(&blocks, 0xfc);
	unplug(&blocks, 4, 1);
	expect_plugged(&blocks, 0xec);
	assert_true(plug(&blocks, 3, 4, &error));
	expect_plugged(&blocks, 0xfc);
	/* One that comes late, and one that leaves. */
	stage_attach(stage, 1);
	expect_plugged(&blocks, 0xfc);
	unplug(&blocks, 0, 3);
	assert_true(plug(&blocks, 15, 1, &error));
	expect_plugged(&blocks, 0x80f8);
	stage_detach(stage, 0);
	expect_plugged(&blocks, 0x80f8);
	unplug(&blocks, 0, PIECES);
	expect_plugged(&blocks, 0);
	assert_true(plug(&blocks, 0, PIECES, &error));
	expect_plugged(&blocks, 0xffff);
	stage_detach(stage, 1);
	stage_attach(stage, 2);
	expect_plugged(&blocks, 0xffff);
	/* The whole region goes and comes, with what is plugged. */
	stage_ram_out(blocks.ram);
	stage_expect_fault(stage, 2, blocks.ram->region.start, PIECES * blocks.piece);
	stage_ram_in(blocks.ram);
	expect_plugged(&blocks, 0);
	stage_detach(stage, 2);
	assert_int_equal(stage->ref.broken_seen, 0);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_pieces = {
	.name = "discard-pieces",
	.about = "memory is plugged and unplugged in pieces while devices come and go",
	.run = run_pieces,
	.needs = NEEDS_MAPS,
};

/* The kernel refuses one map of several: the piece stays out, and nothing is half done. */
static void run_refusal(struct stage *stage)
{
	struct blocks blocks = blocks_start(stage);
	struct vfio_error error;
	uint64_t mappings;

	stage_attach(stage, 0);
	stage_attach(stage, 1);
	assert_true(plug(&blocks, 8, 2, &error));
	mappings = stage_view(stage, 0).mappings;
	for (uint64_t nth = 1;; nth++) {
		stage->fail_call = (struct stage_fault){ .at = nth, .code = -ENOMEM };
		if (plug(&blocks, 0, 4, &error))
			break;
		assert_true(stage->fail_call.hit);
		assert_int_equal(error.code, -ENOMEM);
		assert_string_not_equal(error.message, "");
		expect_plugged(&blocks, 0x300);
		assert_int_equal(stage_view(stage, 0).mappings, mappings);
		assert_int_equal(stage->ref.broken_seen, 0);
		assert_true(nth < 32);
	}
	assert_false(stage->fail_call.hit);
	assert_true(stage->fail_call.seen >= 4);
	stage->fail_call = (struct stage_fault){ 0 };
	expect_plugged(&blocks, 0x30f);
	stage_detach(stage, 0);
	stage_detach(stage, 1);
	stage_expect_empty(stage);
}

const struct story story_refusal = {
	.name = "discard-refusal",
	.about = "the kernel refuses a map of a piece that is plugged: it stays unplugged",
	.run = run_refusal,
	.needs = NEEDS_MAPS,
};

/* Pieces smaller than a page cannot be mapped one by one. */
static void run_granularity(struct stage *stage)
{
	struct vfio_memory_region region = { .name = "fine",
					     .kind = VFIO_MEMORY_DISCARDABLE,
					     .start = stage->backend->ram,
					     .granularity = 512,
					     .fd = -1 };
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error error = { 0 };
	struct stage_ram *ram;

	region.last = region.start + PIECES * stage->backend->page - 1;
	stage_mark(stage);
	ram = stage_add(stage, stage->memory, &region);
	assert_true(
		vfio_memory_populate(stage->memory, ram->id, region.start, region.last, &error));
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	vfio_memory_discard(stage->memory, ram->id, region.start, region.last);
	stage_attach(stage, 0);
	assert_false(
		vfio_memory_populate(stage->memory, ram->id, region.start, region.last, &error));
	assert_true(error.code < 0);
	assert_int_equal(stage_view(stage, 0).mappings, 0);
	stage_detach(stage, 0);
	stage_ram_free(stage, ram);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_granularity = {
	.name = "discard-granularity",
	.about = "pieces smaller than the IOMMU's page are refused, at the attach and later",
	.run = run_granularity,
	.needs = NEEDS_MAPS,
};
