/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages did devices write? Whoever tracks, nothing that was written may be missing; where
 * somebody knows, nothing else may be there.
 */
#include <errno.h>

#include "stories.h"

enum { MIB = 1 << 20, GRANULE = 4096 };

/* A device that works on RAM, with its ring in a piece of its own. */
struct writer {
	struct stage *stage;
	struct stage_ram *ring;
	struct stage_ram *ram;
	bool exact;    /* somebody knows what was written */
	uint64_t unit; /* in these */
};

static struct writer writer_start(struct stage *stage, bool exact)
{
	struct writer writer = { .stage = stage, .exact = exact, .unit = stage->backend->page };

	writer.ring = stage_ram(stage, stage->backend->ram, stage->backend->page);
	writer.ram = stage_ram(stage, stage->backend->ram + MIB, 2 * MIB);
	return writer;
}

static void write_page(const struct writer *writer, unsigned int device, uint64_t page)
{
	struct stage_engine engine = { writer->stage, device, writer->ring->region.start,
				       writer->ring->host };

	assert_int_equal(stage_fill(&engine, 0x1122334455667788 + page,
				    writer->ram->region.start + page * writer->unit + 8, 64),
			 STAGE_DMA_DONE);
}

static void sync(const struct writer *writer)
{
	struct vfio_error error = { 0 };

	if (!vfio_memory_log_sync(writer->stage->memory, &error))
		fail_msg("%s (%d)", error.message, error.code);
}

static bool is_dirty(const struct writer *writer, uint64_t page)
{
	uint64_t at = writer->ram->region.start + page * writer->unit;
	bool dirty = false;

	for (uint64_t i = 0; i < writer->unit; i += GRANULE)
		dirty |= vfio_memory_test_dirty(writer->stage->memory, at + i, true);
	return dirty;
}

/* Asks for and forgets what is dirty: all of @pages (ending with UINT64_MAX), and, where somebody
 * knows, nothing else. */
static void expect_dirty(const struct writer *writer, const uint64_t *pages)
{
	uint64_t count = 2 * MIB / writer->unit;

	sync(writer);
	for (uint64_t page = 0; page < count; page++) {
		bool dirty = is_dirty(writer, page);
		bool written = false;

		for (const uint64_t *at = pages; *at != UINT64_MAX; at++)
			written |= *at == page;
		if (written && !dirty)
			fail_msg("page %llu was written and is not dirty",
				 (unsigned long long)page);
		if (writer->exact && dirty && !written)
			fail_msg("page %llu is dirty and was not written",
				 (unsigned long long)page);
	}
}

static void start_log(const struct writer *writer)
{
	struct vfio_error error = { 0 };

	if (!vfio_memory_log_start(writer->stage->memory, &error))
		fail_msg("%s (%d)", error.message, error.code);
}

static const uint64_t nothing[] = { UINT64_MAX };

static void play_tracking(const struct writer *writer)
{
	struct stage *stage = writer->stage;

	stage_attach(stage, 0);
	stage_attach(stage, 1);
	write_page(writer, 0, 3); /* before: does not count */
	start_log(writer);
	if (writer->exact)
		expect_dirty(writer, nothing);
	write_page(writer, 0, 0);
	write_page(writer, 0, 5);
	write_page(writer, 1, 7);
	write_page(writer, 1, 31);
	expect_dirty(writer, (const uint64_t[]){ 0, 5, 7, 31, UINT64_MAX });
	expect_dirty(writer, nothing);
	write_page(writer, 1, 5);
	expect_dirty(writer, (const uint64_t[]){ 5, UINT64_MAX });
	vfio_memory_log_stop(stage->memory);
	write_page(writer, 0, 9);
	/* Once more: what was written in between is not new. */
	start_log(writer);
	if (writer->exact)
		expect_dirty(writer, nothing);
	write_page(writer, 0, 1);
	expect_dirty(writer, (const uint64_t[]){ 1, UINT64_MAX });
	vfio_memory_log_stop(stage->memory);
	/* The first one leaves; whoever stays is tracked as before. */
	stage_detach(stage, 0);
	start_log(writer);
	write_page(writer, 1, 2);
	expect_dirty(writer, (const uint64_t[]){ 2, UINT64_MAX });
	vfio_memory_log_stop(stage->memory);
	stage_detach(stage, 1);
	stage_expect_empty(stage);
}

static bool knows_exactly(const struct stage *stage)
{
	return !backend_lacks(stage->backend, NEEDS_EXACT_TRACKING);
}

static void run_container(struct stage *stage)
{
	struct writer writer = writer_start(stage, knows_exactly(stage));

	play_tracking(&writer);
}

const struct story story_dirty_container = {
	.name = "dirty-container",
	.about = "devices that do not track: the container knows, or everything counts as written",
	.run = run_container,
	.needs = NEEDS_MAPS,
};

static void run_devices(struct stage *stage)
{
	struct writer writer = writer_start(stage, true);

	play_tracking(&writer);
}

const struct story story_dirty_devices = {
	.name = "dirty-devices",
	.about = "devices that track their own DMA: exactly what they wrote, on every backend",
	.run = run_devices,
	.needs = NEEDS_MAPS,
	.model = "migrate",
};

/* Maps that go, come, and devices that come and go, while somebody wants to know. */
static void play_changes(const struct writer *writer)
{
	struct stage *stage = writer->stage;
	uint64_t size = 2 * MIB;
	struct vfio_memory_region moved = writer->ram->region;
	struct stage_ram *more;

	stage_attach(stage, 0);
	start_log(writer);
	/* The map goes, and comes back in the same transaction at the same place. */
	write_page(writer, 0, 4);
	vfio_memory_begin(stage->memory);
	stage_ram_out(writer->ram);
	stage_ram_in(writer->ram);
	vfio_memory_commit(stage->memory);
	expect_dirty(writer, (const uint64_t[]){ 4, UINT64_MAX });
	/* RAM that came while logging was on: written again after it was asked for. */
	moved.start += 2 * size;
	moved.last += 2 * size;
	moved.vaddr = 0;
	more = stage_add(stage, stage->memory, &moved);
	{
		struct writer there = *writer;

		there.ram = more;
		sync(&there);
		for (uint64_t page = 0; page < size / there.unit; page++)
			is_dirty(&there, page);
		there.exact = false;
		write_page(&there, 0, 6);
		expect_dirty(&there, (const uint64_t[]){ 6, UINT64_MAX });
	}
	stage_ram_free(stage, more);
	/* A device that came while logging was on. */
	stage_attach(stage, 1);
	sync(writer);
	for (uint64_t page = 0; page < size / writer->unit; page++)
		is_dirty(writer, page);
	write_page(writer, 1, 11);
	write_page(writer, 0, 12);
	{
		struct writer loose = *writer;

		loose.exact = false;
		expect_dirty(&loose, (const uint64_t[]){ 11, 12, UINT64_MAX });
		/* A device that goes, and the last one, with what they wrote. */
		write_page(writer, 1, 13);
		stage_detach(stage, 1);
		expect_dirty(&loose, (const uint64_t[]){ 13, UINT64_MAX });
		write_page(writer, 0, 14);
		stage_detach(stage, 0);
		expect_dirty(&loose, (const uint64_t[]){ 14, UINT64_MAX });
	}
	vfio_memory_log_stop(stage->memory);
	assert_int_equal(stage->ref.broken_seen, 0);
	stage_expect_empty(stage);
}

static void run_changes(struct stage *stage)
{
	struct writer writer = writer_start(stage, knows_exactly(stage));

	play_changes(&writer);
}

const struct story story_dirty_changes = {
	.name = "dirty-changes",
	.about = "memory and devices come and go while logging: nothing that was written is lost",
	.run = run_changes,
	.needs = NEEDS_MAPS,
};

static void run_changes_devices(struct stage *stage)
{
	struct writer writer = writer_start(stage, true);

	play_changes(&writer);
}

const struct story story_dirty_changes_devices = {
	.name = "dirty-changes-devices",
	.about = "the same with devices that track their own DMA",
	.run = run_changes_devices,
	.needs = NEEDS_MAPS,
	.model = "migrate",
};

/* Two pages before a border of RAM and two behind it, mapped at @iova: each is told where it is. */
static void play_border(const struct writer *before, const struct writer *behind,
			const struct stage_engine *engine, struct vfio_memory *space, uint64_t iova)
{
	uint64_t unit = before->unit;
	struct vfio_error error = { 0 };

	assert_int_equal(stage_fill(engine, 1, iova + unit, 64), STAGE_DMA_DONE);
	assert_int_equal(stage_fill(engine, 1, iova + 2 * unit, 64), STAGE_DMA_DONE);
	assert_true(vfio_memory_log_sync(space, &error));
	expect_dirty(before, (const uint64_t[]){ 2 * MIB / unit - 1, UINT64_MAX });
	expect_dirty(behind, (const uint64_t[]){ 0, UINT64_MAX });
}

/* The guest maps @count pages at page @at to @target. Returns what it has mapped. */
static struct vfio_iommu_entry map_pages(const struct writer *writer, const struct stage_ram *iommu,
					 uint64_t at, uint64_t count, uint64_t target, int prot)
{
	struct vfio_iommu_entry entry = { .iova = at * writer->unit,
					  .last = (at + count) * writer->unit - 1,
					  .target = target,
					  .prot = prot,
					  .target_memory = writer->stage->memory };

	assert_int_equal(vfio_memory_iommu_update(iommu->memory, iommu->id, &entry), 0);
	return entry;
}

/* Behind a vIOMMU the pages are those of the RAM that the guest mapped. */
static void play_viommu(struct stage *stage, bool exact)
{
	struct writer writer = writer_start(stage, exact);
	struct writer behind = writer;
	struct vfio_memory_region region = { .name = "viommu",
					     .kind = VFIO_MEMORY_IOMMU,
					     .last = ((uint64_t)1 << 30) - 1,
					     .iommu_pgsizes = stage->backend->page };
	struct vfio_memory *space = stage_space(stage);
	struct stage_ram *iommu = stage_add(stage, space, &region);
	uint64_t unit = writer.unit, ring = writer.ring->region.start;
	uint64_t low = writer.ram->region.start, high = low + 2 * MIB;
	struct stage_engine engine = { stage, 0, 0, writer.ring->host };
	struct vfio_iommu_entry work;
	struct vfio_error error = { 0 };

	behind.ram = stage_ram(stage, high, 2 * MIB);
	stage_attach_to(stage, 0, space);
	map_pages(&writer, iommu, 0, 1, ring, 3);
	map_pages(&writer, iommu, 8, 1, ring, 1); /* read only, in front of what is written */
	work = map_pages(&writer, iommu, 16, 4, low + 8 * unit, 3);
	map_pages(&writer, iommu, 32, 4, high - 2 * unit, 3);
	start_log(&writer);
	assert_true(vfio_memory_log_start(space, &error));
	assert_int_equal(stage_fill(&engine, 1, 17 * unit, 64), STAGE_DMA_DONE);
	assert_true(vfio_memory_log_sync(space, &error));
	expect_dirty(&writer, (const uint64_t[]){ 9, UINT64_MAX });
	play_border(&writer, &behind, &engine, space, 32 * unit);
	/* What is unmapped is told at once. */
	assert_int_equal(stage_fill(&engine, 1, 19 * unit, 64), STAGE_DMA_DONE);
	work.prot = 0;
	assert_int_equal(vfio_memory_iommu_update(space, iommu->id, &work), 0);
	expect_dirty(&writer, (const uint64_t[]){ 11, UINT64_MAX });
	/* What is mapped while logging is on is watched as well. */
	map_pages(&writer, iommu, 64, 4, low + 8 * unit, 3);
	assert_int_equal(stage_fill(&engine, 1, 64 * unit, 64), STAGE_DMA_DONE);
	assert_true(vfio_memory_log_sync(space, &error));
	writer.exact = false;
	expect_dirty(&writer, (const uint64_t[]){ 8, UINT64_MAX });
	vfio_memory_log_stop(space);
	vfio_memory_log_stop(stage->memory);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

static void run_viommu(struct stage *stage)
{
	play_viommu(stage, knows_exactly(stage));
}

const struct story story_dirty_viommu = {
	.name = "dirty-viommu",
	.about = "behind a vIOMMU the dirty pages are those of the RAM that is mapped",
	.run = run_viommu,
	.needs = NEEDS_MAPS,
};

static void run_viommu_devices(struct stage *stage)
{
	play_viommu(stage, true);
}

const struct story story_dirty_viommu_devices = {
	.name = "dirty-viommu-devices",
	.about = "the same with devices that track their own DMA",
	.run = run_viommu_devices,
	.needs = NEEDS_MAPS,
	.model = "migrate",
};

/* ---- devices that track, and others, in one address space ---- */

static void second_is_plain(struct vfake_world *world)
{
	world->devices[1].model = VFAKE_MODEL_COPY;
}

static void stop_log(const struct writer *writer)
{
	struct stage *stage = writer->stage;
	struct vfake_pci_view driver;

	vfio_memory_log_stop(stage->memory);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		assert_int_equal(vfake_view_pci(stage->kernel, stage_name(i), &driver), 0);
		assert_false(driver.dma_logging);
		assert_false(stage_view(stage, i).dirty_tracking);
	}
}

/* Who tracks is settled when tracking starts; who comes and goes then does not change who stops. */
static void run_mixed(struct stage *stage)
{
	struct writer writer = writer_start(stage, true);
	struct writer loose = writer;

	loose.exact = false;
	stage_attach(stage, 0);
	start_log(&writer);
	stage_attach(stage, 1);
	write_page(&writer, 0, 3);
	write_page(&writer, 1, 5);
	expect_dirty(&loose, (const uint64_t[]){ 3, 5, UINT64_MAX });
	stop_log(&writer);
	/* The second one cannot, so the first one does not. */
	start_log(&writer);
	write_page(&writer, 0, 4);
	write_page(&writer, 1, 6);
	expect_dirty(&loose, (const uint64_t[]){ 4, 6, UINT64_MAX });
	write_page(&writer, 1, 7);
	stage_detach(stage, 1);
	expect_dirty(&loose, (const uint64_t[]){ 7, UINT64_MAX });
	stop_log(&writer);
	/* Alone it can. */
	start_log(&writer);
	expect_dirty(&writer, nothing);
	write_page(&writer, 0, 8);
	expect_dirty(&writer, (const uint64_t[]){ 8, UINT64_MAX });
	stop_log(&writer);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_dirty_mixed = {
	.name = "dirty-mixed",
	.about = "a device that tracks its DMA and one that does not, while tracking starts and "
		 "stops",
	.run = run_mixed,
	.needs = NEEDS_MAPS,
	.model = "migrate",
	.prepare = second_is_plain,
};

/* ---- starting to track fails ---- */

/* d1 cannot use the page table of the others, because its DMA does not snoop caches. */
static void two_tables(struct vfake_world *world)
{
	world->enforce_coherency = true;
	world->devices[1].noncoherent = true;
}

static void expect_tracking(struct stage *stage, bool tracking)
{
	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		assert_int_equal(stage_view(stage, i).dirty_tracking, tracking);
}

static void run_start_fails(struct stage *stage)
{
	struct writer writer = writer_start(stage, knows_exactly(stage));
	struct vfio_error error = { 0 };

	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		stage_attach(stage, i);
	assert_false(vfake_view_same_domain(stage->kernel, stage_name(0), stage_name(1)));
	for (uint64_t nth = 1;; nth++) {
		bool good;

		stage->fail_call = (struct stage_fault){ .at = nth, .code = -ENOMEM };
		good = vfio_memory_log_start(stage->memory, &error);
		stage->fail_call.at = 0;
		if (good)
			break;
		assert_int_equal(error.code, -ENOMEM);
		expect_tracking(stage, false);
		error = (struct vfio_error){ 0 };
		assert_true(nth < 8);
	}
	assert_true(stage->fail_call.seen >= 1);
	expect_tracking(stage, true);
	write_page(&writer, 1, 3);
	write_page(&writer, 2, 4);
	expect_dirty(&writer, (const uint64_t[]){ 3, 4, UINT64_MAX });
	/* Stopped by the end of a container, or in order. */
	vfio_memory_log_stop(stage->memory);
	expect_tracking(stage, false);
	start_log(&writer);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		stage_detach(stage, i);
	vfio_memory_log_stop(stage->memory);
	stage_expect_empty(stage);
}

const struct story story_dirty_start_fails = {
	.name = "dirty-start-fails",
	.about = "tracking starts on every page table or, when one refuses, on none",
	.run = run_start_fails,
	.needs = NEEDS_MAPS | NEEDS_TRACKING,
	.prepare = two_tables,
};
