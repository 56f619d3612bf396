/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * More of which pages devices wrote: two address spaces that do not mix, more maps than a device
 * can be told of, memory that nothing can write, and tracking that fails half-way.
 */
#include <errno.h>
#include <string.h>

#include <uapi/vfio.h>

#include "stories.h"

enum { MIB = 1 << 20, GRANULE = 4096, MANY = 140 };

/* A device's place: its memory, its ring, and RAM that it writes. */
struct place {
	struct stage *stage;
	unsigned int device;
	struct vfio_memory *memory;
	struct stage_ram *ring;
	struct stage_ram *ram;
};

static struct place place_in(struct stage *stage, unsigned int device, struct vfio_memory *memory)
{
	uint64_t page = stage->backend->page;
	struct vfio_memory_region region = { .name = "ring",
					     .kind = VFIO_MEMORY_RAM,
					     .start = stage->backend->ram,
					     .last = stage->backend->ram + page - 1,
					     .fd = -1 };
	struct place place = { .stage = stage, .device = device, .memory = memory };

	place.ring = stage_add(stage, memory, &region);
	region.name = "ram";
	region.start += MIB;
	region.last = region.start + 16 * page - 1;
	place.ram = stage_add(stage, memory, &region);
	return place;
}

static void write_page(const struct place *place, uint64_t page)
{
	struct stage_engine engine = { place->stage, place->device, place->ring->region.start,
				       place->ring->host };

	assert_int_equal(stage_fill(&engine, page + 1,
				    place->ram->region.start + page * place->stage->backend->page,
				    64),
			 STAGE_DMA_DONE);
}

static void log_on(struct vfio_memory *memory)
{
	struct vfio_error error = { 0 };

	if (!vfio_memory_log_start(memory, &error))
		fail_msg("%s (%d)", error.message, error.code);
}

static void log_sync(struct vfio_memory *memory)
{
	struct vfio_error error = { 0 };

	if (!vfio_memory_log_sync(memory, &error))
		fail_msg("%s (%d)", error.message, error.code);
}

/* Whether a page of RAM is dirty; it is not afterwards. */
static bool page_dirty(const struct place *place, uint64_t page)
{
	uint64_t unit = place->stage->backend->page;
	bool dirty = false;

	for (uint64_t i = 0; i < unit; i += GRANULE)
		dirty |= vfio_memory_test_dirty(place->memory,
						place->ram->region.start + page * unit + i, true);
	return dirty;
}

/* Of all pages of the RAM exactly these bits are dirty. */
static void expect_pages(const struct place *place, uint64_t pages)
{
	for (uint64_t page = 0; page < 16; page++) {
		if (page_dirty(place, page) != (pages >> page & 1))
			fail_msg("device %u, page %llu", place->device, (unsigned long long)page);
	}
}

static void expect_written(const struct place *place, uint64_t pages)
{
	log_sync(place->memory);
	expect_pages(place, pages);
}

/* ---- two address spaces ---- */

static void run_two_spaces(struct stage *stage)
{
	struct place one = place_in(stage, 0, stage->memory);
	struct place two = place_in(stage, 1, stage_space(stage));

	stage_attach(stage, 0);
	stage_attach_to(stage, 1, two.memory);
	log_on(one.memory);
	log_on(two.memory);
	write_page(&one, 1);
	write_page(&two, 2);
	expect_written(&one, 1 << 1);
	expect_written(&two, 1 << 2);
	/* One of them ends: the other goes on. */
	write_page(&two, 3);
	vfio_memory_log_stop(one.memory);
	write_page(&one, 4);
	write_page(&two, 5);
	expect_written(&two, 1 << 3 | 1 << 5);
	log_on(one.memory);
	write_page(&one, 6);
	expect_written(&one, 1 << 6);
	/* What the devices of one space do not know does not make the other dirty. */
	write_page(&two, 7);
	stage_detach(stage, 0);
	expect_written(&two, 1 << 7);
	vfio_memory_log_stop(one.memory);
	vfio_memory_log_stop(two.memory);
	stage_detach(stage, 1);
	stage_expect_empty(stage);
}

const struct story story_dirty_two_spaces = {
	.name = "dirty-two-spaces",
	.about =
		"devices of two address spaces track their own DMA, and neither knows of the other",
	.run = run_two_spaces,
	.needs = NEEDS_MAPS,
	.model = "migrate",
};

/* ---- behind a vIOMMU ---- */

/* A vIOMMU with nothing but the ring mapped, and the engine that works there. */
static struct stage_ram *start_viommu(struct stage *stage, struct vfio_memory *space,
				      struct stage_engine *engine)
{
	uint64_t unit = stage->backend->page;
	struct vfio_memory_region region = { .name = "viommu",
					     .kind = VFIO_MEMORY_IOMMU,
					     .last = ((uint64_t)1 << 30) - 1,
					     .fd = -1,
					     .iommu_pgsizes = unit };
	struct stage_ram *iommu = stage_add(stage, space, &region);
	struct stage_ram *ring = stage_ram(stage, stage->backend->ram, unit);
	const struct vfio_iommu_entry entry = { .last = unit - 1,
						.target = ring->region.start,
						.prot = 3,
						.target_memory = stage->memory };

	stage_attach_to(stage, 0, space);
	assert_int_equal(vfio_memory_iommu_update(space, iommu->id, &entry), 0);
	*engine = (struct stage_engine){ stage, 0, 0, ring->host };
	return iommu;
}

/* Pages in runs of two, each page a map of its own, with a hole behind each run. */
static void write_runs(struct stage *stage, unsigned int count)
{
	uint64_t unit = stage->backend->page;
	struct vfio_memory *space = stage_space(stage);
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram + 16 * MIB, count * unit);
	struct stage_engine engine;
	struct stage_ram *iommu = start_viommu(stage, space, &engine);
	struct vfio_iommu_entry entry = { .prot = 3, .target_memory = stage->memory };

	for (uint64_t i = 0; i < count; i++) {
		entry.iova = (i + i / 2 + 2) * unit;
		entry.last = entry.iova + unit - 1;
		entry.target = ram->region.start + i * unit;
		assert_int_equal(vfio_memory_iommu_update(space, iommu->id, &entry), 0);
	}
	log_on(stage->memory);
	log_on(space);
	for (uint64_t i = 0; i < count; i += 3)
		assert_int_equal(stage_fill(&engine, i, (i + i / 2 + 2) * unit, 64),
				 STAGE_DMA_DONE);
	log_sync(space);
	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(
			vfio_memory_test_dirty(stage->memory, ram->region.start + i * unit, true),
			i % 3 == 0);
	vfio_memory_log_stop(space);
	vfio_memory_log_stop(stage->memory);
	stage_detach(stage, 0);
}

static void run_few_maps(struct stage *stage)
{
	write_runs(stage, 12);
	stage_expect_empty(stage);
}

const struct story story_dirty_few = {
	.name = "dirty-few-maps",
	.about = "maps in runs and with holes: what a device wrote is known page by page",
	.run = run_few_maps,
	.needs = NEEDS_MAPS,
	.model = "migrate",
};

static void run_many_maps(struct stage *stage)
{
	write_runs(stage, MANY);
	stage_expect_empty(stage);
}

const struct story story_dirty_many = {
	.name = "dirty-many-maps",
	.about = "more maps than a device is told of one by one: what it wrote is known all the "
		 "same",
	.run = run_many_maps,
	.needs = NEEDS_MAPS,
	.model = "migrate",
};

/* Pages that a device may only read, and pages that it has not, stay clean even where nobody knows.
 */
static void run_rights(struct stage *stage)
{
	uint64_t unit = stage->backend->page;
	struct vfio_memory *space = stage_space(stage);
	struct place place = { .stage = stage, .memory = stage->memory };
	struct stage_engine engine;
	struct stage_ram *iommu = start_viommu(stage, space, &engine);
	struct vfio_iommu_entry entry = {
		.iova = 64 * unit, .last = 65 * unit - 1, .prot = 3, .target_memory = stage->memory
	};

	place.ram = stage_ram(stage, stage->backend->ram + 16 * MIB, 16 * unit);
	entry.target = place.ram->region.start;
	assert_int_equal(vfio_memory_iommu_update(space, iommu->id, &entry), 0);
	entry.iova += 2 * unit;
	entry.last += 2 * unit;
	entry.target += 2 * unit;
	entry.prot = 1;
	assert_int_equal(vfio_memory_iommu_update(space, iommu->id, &entry), 0);
	log_on(stage->memory);
	log_on(space);
	assert_int_equal(stage_fill(&engine, 1, 64 * unit, 64), STAGE_DMA_DONE);
	log_sync(space);
	expect_pages(&place, 1 << 0);
	/* The map goes, and what it was to is what counts. */
	entry.prot = 0;
	assert_int_equal(vfio_memory_iommu_update(space, iommu->id, &entry), 0);
	stage_expect_fault(stage, 0, entry.iova, unit);
	stage_detach(stage, 0);
	assert_false(page_dirty(&place, 1));
	assert_false(page_dirty(&place, 2));
	vfio_memory_log_stop(space);
	vfio_memory_log_stop(stage->memory);
	stage_expect_empty(stage);
}

const struct story story_dirty_rights = {
	.name = "dirty-rights",
	.about = "pages that devices only read or do not have are not dirty, whoever tracks",
	.run = run_rights,
	.needs = NEEDS_MAPS,
};

/* ---- the order of starting ---- */

static void run_early(struct stage *stage)
{
	bool exact = !backend_lacks(stage->backend, NEEDS_EXACT_TRACKING);
	struct place place = { .stage = stage, .memory = stage->memory };

	/* With nothing to track. */
	stage_attach(stage, 0);
	log_on(stage->memory);
	log_sync(stage->memory);
	vfio_memory_log_stop(stage->memory);
	stage_detach(stage, 0);
	/* Before there is a device: the container can only track what it can itself. */
	log_on(stage->memory);
	place = place_in(stage, 0, stage->memory);
	stage_attach(stage, 0);
	log_sync(stage->memory);
	for (uint64_t page = 0; page < 16; page++)
		page_dirty(&place, page);
	write_page(&place, 3);
	log_sync(stage->memory);
	if (exact)
		expect_pages(&place, 1 << 3);
	else
		assert_true(page_dirty(&place, 3));
	/* What came while logging was on is tracked like the rest when it is turned on again. */
	stage_ram_out(place.ram);
	stage_expect_fault(stage, 0, place.ram->region.start, stage->backend->page);
	stage_ram_in(place.ram);
	vfio_memory_log_stop(stage->memory);
	log_on(stage->memory);
	write_page(&place, 5);
	expect_written(&place, 1 << 5);
	vfio_memory_log_stop(stage->memory);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_dirty_early = {
	.name = "dirty-early",
	.about = "logging before there is memory or a device, and again when all is there",
	.run = run_early,
	.needs = NEEDS_MAPS,
	.model = "migrate",
};

/* ---- what cannot be written ---- */

static void run_rom(struct stage *stage)
{
	struct place place = place_in(stage, 0, stage->memory);
	struct vfio_memory_region region = place.ram->region;
	struct stage_ram *rom;

	region.name = "rom";
	region.kind = VFIO_MEMORY_ROM;
	region.start += MIB;
	region.last += MIB;
	region.vaddr = 0;
	rom = stage_add(stage, stage->memory, &region);
	stage_attach(stage, 0);
	log_on(stage->memory);
	place.ram = rom;
	expect_written(&place, 0);
	/* Not even when nobody can know any more what was written. */
	stage_detach(stage, 0);
	expect_pages(&place, 0);
	stage_attach(stage, 0);
	stage_ram_out(rom);
	stage_ram_in(rom);
	log_sync(stage->memory);
	vfio_memory_log_stop(stage->memory);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_dirty_rom = {
	.name = "dirty-rom",
	.about = "memory that devices only read is never dirty, whoever tracks",
	.run = run_rom,
	.needs = NEEDS_MAPS,
};

/* ---- devices that fail ---- */

static void fail_feature(struct stage *stage, uint64_t nth)
{
	stage->fail_call =
		(struct stage_fault){ .at = nth, .request = VFIO_DEVICE_FEATURE, .code = -EIO };
}

static void run_log_fails(struct stage *stage)
{
	struct place place = place_in(stage, 0, stage->memory);
	struct vfio_error error = { 0 };

	for (unsigned int i = 0; i < 2; i++)
		stage_attach(stage, i);
	/* The first, then the second device refuses to start: then neither has. */
	for (uint64_t nth = 1; nth <= 2; nth++) {
		fail_feature(stage, nth);
		assert_false(vfio_memory_log_start(stage->memory, &error));
		assert_true(stage->fail_call.hit);
		assert_int_equal(error.code, -EIO);
		fail_feature(stage, 0);
	}
	log_on(stage->memory);
	write_page(&place, 1);
	/* Each of the two cannot be read, for each of the maps: it is told, and nothing is lost. */
	for (uint64_t nth = 1; nth <= 4; nth++) {
		fail_feature(stage, nth);
		assert_false(vfio_memory_log_sync(stage->memory, &error));
		assert_true(stage->fail_call.hit);
		assert_int_equal(error.code, -EIO);
		fail_feature(stage, 0);
	}
	expect_written(&place, 1 << 1);
	vfio_memory_log_stop(stage->memory);
	for (unsigned int i = 0; i < 2; i++)
		stage_detach(stage, i);
	stage_expect_empty(stage);
}

const struct story story_dirty_log_fails = {
	.name = "dirty-log-fails",
	.about = "devices refuse to start tracking or to tell: none has started, nothing is lost",
	.run = run_log_fails,
	.needs = NEEDS_MAPS | NEEDS_SHARING,
	.model = "migrate",
};

/* The first one cannot be stopped, then not before the next start, and then it can. */
static void run_log_runs_on(struct stage *stage)
{
	struct place place = place_in(stage, 0, stage->memory);
	struct vfio_error error = { 0 };

	for (unsigned int i = 0; i < 2; i++)
		stage_attach(stage, i);
	for (unsigned int round = 0; round < 2; round++) {
		log_on(stage->memory);
		write_page(&place, 1);
		expect_written(&place, 1 << 1);
		fail_feature(stage, 1);
		vfio_memory_log_stop(stage->memory);
		assert_true(stage->fail_call.hit);
		assert_int_equal(stage->ref.warnings_seen, round + 1);
		fail_feature(stage, 1);
		assert_false(vfio_memory_log_start(stage->memory, &error));
		assert_true(stage->fail_call.hit);
		fail_feature(stage, 0);
	}
	log_on(stage->memory);
	write_page(&place, 2);
	expect_written(&place, 1 << 2);
	vfio_memory_log_stop(stage->memory);
	for (unsigned int i = 0; i < 2; i++)
		stage_detach(stage, i);
	stage_expect_empty(stage);
}

const struct story story_dirty_log_runs_on = {
	.name = "dirty-log-runs-on",
	.about = "a device that does not stop tracking is stopped before the next start, or keeps "
		 "it from starting",
	.unswept = "a log that runs on ends with the next start, whether that works or not",
	.run = run_log_runs_on,
	.needs = NEEDS_MAPS | NEEDS_SHARING,
	.model = "migrate",
};

/* ---- maps that go and cannot be asked about ---- */

/* The guest unmaps a page that was written, while something fails. */
static void let_go(const struct place *place, const struct stage_engine *engine, uint32_t iommu,
		   struct stage_fault call, struct stage_fault alloc)
{
	struct stage *stage = place->stage;
	uint64_t unit = stage->backend->page;
	uint32_t broken = stage->ref.broken_seen;
	struct vfio_iommu_entry entry = { .iova = 64 * unit,
					  .last = 68 * unit - 1,
					  .target = place->ram->region.start + 4 * unit,
					  .prot = 3,
					  .target_memory = stage->memory };

	assert_int_equal(vfio_memory_iommu_update(place->memory, iommu, &entry), 0);
	assert_true(vfio_memory_log_sync(place->memory, NULL));
	for (uint64_t page = 4; page < 8; page++)
		vfio_memory_test_dirty(stage->memory, place->ram->region.start + page * unit, true);
	assert_int_equal(stage_fill(engine, 1, 66 * unit, 64), STAGE_DMA_DONE);
	stage->fail_call = call;
	stage->fail_alloc = alloc;
	entry.prot = 0;
	vfio_memory_iommu_update(place->memory, iommu, &entry);
	stage->fail_call = (struct stage_fault){ 0 };
	stage->fail_alloc = (struct stage_fault){ 0 };
	assert_true(
		vfio_memory_test_dirty(stage->memory, place->ram->region.start + 6 * unit, true));
	if (stage->ref.broken_seen == broken)
		stage_expect_fault(stage, 0, entry.iova, 4 * unit);
}

static void run_map_goes(struct stage *stage)
{
	const struct stage_fault none = { 0 };
	struct place place = { .stage = stage, .memory = stage_space(stage) };
	struct stage_engine engine;
	struct stage_ram *iommu;

	place.ram = stage_ram(stage, stage->backend->ram + 16 * MIB, 16 * stage->backend->page);
	iommu = start_viommu(stage, place.memory, &engine);
	log_on(stage->memory);
	log_on(place.memory);
	let_go(&place, &engine, iommu->id, none, none);
	let_go(&place, &engine, iommu->id, none, (struct stage_fault){ .at = 1 });
	for (uint64_t nth = 1; nth <= 2 && !stage->ref.broken_seen; nth++)
		let_go(&place, &engine, iommu->id, (struct stage_fault){ .at = nth, .code = -EIO },
		       none);
	vfio_memory_log_stop(place.memory);
	vfio_memory_log_stop(stage->memory);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_dirty_map_goes_devices = {
	.name = "dirty-map-goes-devices",
	.about = "the same with devices that track their own DMA",
	.run = run_map_goes,
	.needs = NEEDS_MAPS,
	.model = "migrate",
};

/* Memory for a bitmap is missing: it is told, and later there is enough. */
static void run_no_bitmap(struct stage *stage)
{
	struct place place = place_in(stage, 0, stage->memory);
	struct vfio_error error = { 0 };

	stage_attach(stage, 0);
	log_on(stage->memory);
	write_page(&place, 2);
	stage->fail_alloc = (struct stage_fault){ .at = 1 };
	assert_false(vfio_memory_log_sync(stage->memory, &error));
	assert_int_equal(error.code, -ENOMEM);
	stage->fail_alloc = (struct stage_fault){ 0 };
	expect_written(&place, 1 << 2);
	vfio_memory_log_stop(stage->memory);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_dirty_no_bitmap = {
	.name = "dirty-no-bitmap",
	.about = "no memory to ask what was written: it is told, and nothing is lost",
	.run = run_no_bitmap,
	.needs = NEEDS_MAPS,
	.model = "migrate",
};

const struct story story_dirty_map_goes = {
	.name = "dirty-map-goes",
	.about =
		"maps that go while logging is on are gone, though nobody can say what was written",
	.run = run_map_goes,
	.needs = NEEDS_MAPS,
};
