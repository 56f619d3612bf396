/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory and what the kernel maps of it: alignment, the end of the space, changes while
 * devices are attached, memory of each kind.
 */
#include <errno.h>
#include <string.h>

#include "stories.h"

enum { MIB = 1 << 20, BLOCK = 16 };

/* A region of bytes [from, to) of @host, at the same place behind @base. */
static struct vfio_memory_region piece(uint64_t base, const uint8_t *host, uint64_t from,
				       uint64_t to)
{
	return (struct vfio_memory_region){ .name = "piece",
					    .kind = VFIO_MEMORY_RAM,
					    .start = base + from,
					    .last = base + to - 1,
					    .vaddr = (uint64_t)(uintptr_t)host + from,
					    .fd = -1 };
}

/* Whole pages of it are mapped, and nothing beside them. */
static void expect_whole_pages(struct stage *stage, const struct vfio_memory_region *region,
			       uint64_t page)
{
	uint64_t start = (region->start + page - 1) & ~(page - 1);
	uint64_t end = (region->last + 1) & ~(page - 1);
	const uint8_t *host = (const uint8_t *)(uintptr_t)(region->vaddr + (start - region->start));

	if (start < end) {
		stage_expect_reach(stage, 0, start, end - start, host, true);
		assert_false(stage_reaches(stage, 0, end));
		assert_false(stage_reaches(stage, 0, start - 1));
	} else {
		stage_expect_fault(stage, 0, region->start, region->last - region->start + 1);
	}
}

static void run_alignment(struct stage *stage)
{
	uint64_t base = stage->backend->ram + MIB;
	struct stage_ram *pool = stage_ram(stage, base + 2 * MIB, MIB);
	uint64_t page = stage->backend->page;
	const uint64_t places[] = { 0, 1, 512, page / 2, page - 512, page - 1 };
	const size_t count = sizeof(places) / sizeof(places[0]);

	stage_ram_out(pool);
	stage_attach(stage, 0);
	for (size_t from = 0; from < count; from++) {
		for (size_t to = 0; to < 3 * count; to++) {
			uint64_t end = places[to % count] + to / count * page;
			struct vfio_memory_region region;
			struct stage_ram *ram;

			if (end <= places[from])
				continue;
			region = piece(base, pool->host, places[from], end);
			ram = stage_add(stage, stage->memory, &region);
			expect_whole_pages(stage, &region, page);
			stage_ram_free(stage, ram);
			stage_expect_fault(stage, 0, base, 4 * page);
			assert_int_equal(stage->ref.broken_seen, 0);
		}
	}
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_alignment = {
	.name = "map-alignment",
	.about = "of RAM that begins and ends anywhere, exactly the whole pages are mapped",
	.run = run_alignment,
	.needs = NEEDS_MAPS,
};

/* RAM whose process address lies elsewhere in its page than the guest address. */
static void run_misaligned(struct stage *stage)
{
	uint64_t base = stage->backend->ram + MIB;
	struct stage_ram *pool = stage_ram(stage, base + 2 * MIB, MIB);
	struct vfio_memory_region region = piece(base, pool->host, 0, 4 * stage->backend->page);
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error error;
	struct stage_ram *ram;

	stage_ram_out(pool);
	region.vaddr += 512;
	stage_mark(stage);
	ram = stage_add(stage, stage->memory, &region);
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	assert_int_equal(error.code, -EINVAL);
	stage_ram_free(stage, ram);
	stage_expect_mark(stage);
	/* Later it is no longer the attach that fails. */
	stage_attach(stage, 0);
	ram = stage_add(stage, stage->memory, &region);
	assert_int_equal(stage->ref.broken_seen, 1);
	assert_int_equal(stage->ref.broken_code, -EINVAL);
	assert_int_equal(vfio_container_error(vfio_device_container(stage->devices[0])), -EINVAL);
	stage_expect_fault(stage, 0, base, 4 * stage->backend->page);
	stage_ram_free(stage, ram);
	stage_detach(stage, 0);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_misaligned = {
	.name = "map-misaligned",
	.about = "RAM that no page can show fails the attach, and later is reported to the VMM",
	.run = run_misaligned,
	.needs = NEEDS_MAPS,
};

/* ---- the end of the space ---- */

static void no_end(struct vfake_world *world)
{
	world->aperture.last = UINT64_MAX;
}

static void run_end_of_space(struct stage *stage)
{
	uint64_t size = 16 * stage->backend->page;
	struct stage_ram *ram = stage_ram(stage, -size, size);
	struct stage_ram *low = stage_ram(stage, 0, size);

	stage_mark(stage);
	for (int round = 0; round < 2; round++) {
		stage_attach(stage, 0);
		stage_expect_reach(stage, 0, -size, size, ram->host, true);
		stage_expect_reach(stage, 0, 0, size, low->host, true);
		stage_ram_out(ram);
		stage_expect_fault(stage, 0, -size, size);
		stage_ram_in(ram);
		stage_expect_reach(stage, 0, -size, size, ram->host, true);
		stage_ram_out(low);
		stage_ram_in(low);
		stage_detach(stage, 0);
		stage_expect_mark(stage);
	}
	assert_int_equal(stage->ref.broken_seen, 0);
}

const struct story story_end_of_space = {
	.name = "map-end-of-space",
	.about = "the last page below 2^64 and the first one come and go",
	.run = run_end_of_space,
	.needs = NEEDS_MAPS | NEEDS_ANY_IOVA,
	.prepare = no_end,
};

/* What the IOMMU cannot reach, or must not: beyond its aperture, and where interrupts go. */
static void expect_unmappable(struct stage *stage, uint64_t gpa)
{
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error error;
	struct stage_ram *ram;

	stage_mark(stage);
	ram = stage_ram(stage, gpa, stage->backend->page);
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	stage_ram_free(stage, ram);
	stage_expect_mark(stage);
	stage_attach(stage, 0);
	stage->ref.broken_seen = 0;
	ram = stage_ram(stage, gpa, stage->backend->page);
	assert_int_equal(stage->ref.broken_seen, 1);
	assert_false(stage_reaches(stage, 0, gpa));
	stage_ram_free(stage, ram);
	stage_detach(stage, 0);
	stage_expect_mark(stage);
}

static void run_unmappable(struct stage *stage)
{
	stage_ram(stage, stage->backend->ram, MIB);
	expect_unmappable(stage, (uint64_t)1 << 60);
	expect_unmappable(stage, -stage->backend->page);
	if (stage->backend->kind != VFIO_BACKEND_SPAPR)
		expect_unmappable(stage, 0xfee00000);
	stage_expect_empty(stage);
}

const struct story story_unmappable = {
	.name = "map-unmappable",
	.about = "RAM where the IOMMU has no addresses fails the attach, or is reported later",
	.run = run_unmappable,
	.needs = NEEDS_MAPS,
};

/* ---- changes while devices are attached ---- */

static void expect_all_reach(struct stage *stage, uint64_t iova, uint64_t size, const uint8_t *host)
{
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		if (stage->devices[i])
			stage_expect_reach(stage, i, iova, size, host, true);
	}
}

/* One region becomes two with a hole between them, and is one again. */
static void split_and_join(struct stage *stage, struct stage_ram *ram)
{
	uint64_t page = stage->backend->page;
	uint64_t base = ram->region.start;
	struct vfio_memory_region low = piece(base, ram->host, 0, 3 * page);
	struct vfio_memory_region hole = piece(base, NULL, 3 * page, 4 * page);
	struct vfio_memory_region high = piece(base, ram->host, 4 * page, BLOCK * page);
	struct stage_ram *parts[3];

	hole.kind = VFIO_MEMORY_MMIO;
	vfio_memory_begin(stage->memory);
	stage_ram_out(ram);
	parts[0] = stage_add(stage, stage->memory, &low);
	parts[1] = stage_add(stage, stage->memory, &hole);
	parts[2] = stage_add(stage, stage->memory, &high);
	vfio_memory_commit(stage->memory);
	expect_all_reach(stage, base, 3 * page, ram->host);
	stage_expect_fault(stage, 0, base + 3 * page, page);
	expect_all_reach(stage, base + 4 * page, (BLOCK - 4) * page, ram->host + 4 * page);
	vfio_memory_begin(stage->memory);
	for (int i = 0; i < 3; i++)
		stage_ram_free(stage, parts[i]);
	stage_ram_in(ram);
	vfio_memory_commit(stage->memory);
	expect_all_reach(stage, base, BLOCK * page, ram->host);
}

/* Two regions change places in one transaction inside of another. */
static void swap(struct stage *stage, struct stage_ram *a, struct stage_ram *b)
{
	uint64_t page = stage->backend->page;
	struct vfio_memory_region region = a->region;

	vfio_memory_begin(stage->memory);
	vfio_memory_begin(stage->memory);
	stage_ram_out(a);
	stage_ram_out(b);
	a->region.start = b->region.start;
	a->region.last = b->region.last;
	b->region.start = region.start;
	b->region.last = region.last;
	stage_ram_in(a);
	vfio_memory_commit(stage->memory);
	/* Nothing is visible before the outermost commit. */
	expect_all_reach(stage, region.start, BLOCK * page, a->host);
	stage_ram_in(b);
	vfio_memory_commit(stage->memory);
	expect_all_reach(stage, a->region.start, BLOCK * page, a->host);
	expect_all_reach(stage, b->region.start, BLOCK * page, b->host);
}

/* What three devices without memory cost: containers, and windows that are always there. */
static uint64_t locked_without_ram(struct stage *stage)
{
	uint64_t locked;

	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		stage_attach(stage, i);
	locked = vfake_ledger(stage->kernel).locked_pages;
	assert_int_equal(vfake_ledger(stage->kernel).pinned_pages, 0);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		stage_detach(stage, i);
	return locked;
}

static void run_hotplug(struct stage *stage)
{
	uint64_t size = BLOCK * stage->backend->page;
	uint64_t base = stage->backend->ram;
	uint64_t locked = locked_without_ram(stage);
	struct stage_ram *a = stage_ram(stage, base, size);
	struct stage_ram *b;

	for (unsigned int devices = 1; devices <= STAGE_DEVICES; devices++) {
		stage_attach(stage, devices - 1);
		b = stage_ram(stage, base + 4 * size, size);
		expect_all_reach(stage, base + 4 * size, size, b->host);
		split_and_join(stage, a);
		swap(stage, a, b);
		swap(stage, a, b);
		stage_ram_free(stage, b);
		stage_expect_fault(stage, 0, base + 4 * size, size);
		/* A region that goes and comes in one transaction never went. */
		vfio_memory_begin(stage->memory);
		stage_ram_out(a);
		expect_all_reach(stage, base, size, a->host);
		stage_ram_in(a);
		vfio_memory_commit(stage->memory);
		expect_all_reach(stage, base, size, a->host);
	}
	stage_ram_free(stage, a);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		assert_int_equal(stage_view(stage, i).mappings, 0);
	assert_int_equal(vfake_ledger(stage->kernel).pinned_pages, 0);
	/* What is charged as a whole is charged with the first map. */
	if (!backend_lacks(stage->backend, NEEDS_CHARGE))
		assert_int_equal(vfake_ledger(stage->kernel).locked_pages, locked);
	assert_int_equal(stage->ref.broken_seen, 0);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		stage_detach(stage, i);
	stage_expect_empty(stage);
}

const struct story story_hotplug = {
	.name = "map-hotplug",
	.about = "memory comes, goes, is split, joined and moved while one to three devices run",
	.run = run_hotplug,
	.needs = NEEDS_MAPS,
};

/* Anything that transactions can do, many times; the kernel must have what the memory has. */
static void play_random(struct stage *stage, bool aliases)
{
	uint64_t page = stage->backend->page;
	struct stage_ram *pool = stage_ram(stage, stage->backend->ram, 64 * page);
	struct stage_ram *slots[BLOCK] = { NULL };
	uint64_t base = stage->backend->ram;

	stage_ram_out(pool);
	stage_attach(stage, 0);
	stage_attach(stage, 1);
	for (int round = 0; round < 200; round++) {
		vfio_memory_begin(stage->memory);
		for (uint64_t n = 1 + stage_random(stage, 6); n; n--) {
			uint64_t at = stage_random(stage, BLOCK);
			uint64_t from = aliases ? stage_random(stage, 60) * page : at * 4 * page;
			struct vfio_memory_region region =
				piece(base + at * 4 * page - from, pool->host, from,
				      from + (1 + at % 4) * page);

			if (slots[at])
				stage_ram_free(stage, slots[at]);
			slots[at] = stage_random(stage, 3)
					    ? stage_add(stage, stage->memory, &region)
					    : NULL;
		}
		vfio_memory_commit(stage->memory);
		for (uint64_t i = 0; i < BLOCK; i++) {
			uint64_t size = slots[i] ? (1 + i % 4) * page : 0;
			uint64_t at = base + i * 4 * page;

			if (size)
				expect_all_reach(stage, at, size, slots[i]->host);
			stage_expect_fault(stage, 0, at + size, 4 * page - size);
		}
	}
	assert_int_equal(stage->ref.broken_seen, 0);
}

static void run_random(struct stage *stage)
{
	play_random(stage, false);
}

const struct story story_random = {
	.name = "map-random",
	.about = "two hundred drawn transactions; the kernel always has what the memory has",
	.run = run_random,
	.needs = NEEDS_MAPS,
};

static void run_random_aliases(struct stage *stage)
{
	play_random(stage, true);
}

const struct story story_random_aliases = {
	.name = "map-random-aliases",
	.about = "the same with memory that is seen at several guest addresses at once",
	.run = run_random_aliases,
	.needs = NEEDS_MAPS | NEEDS_ALIASES,
};

/* ---- kinds of memory ---- */

static void run_kinds(struct stage *stage)
{
	uint64_t page = stage->backend->page;
	uint64_t base = stage->backend->ram;
	struct vfio_memory_region rom = { .name = "rom",
					  .kind = VFIO_MEMORY_ROM,
					  .start = base + MIB,
					  .last = base + 2 * MIB - 1,
					  .fd = -1 };
	struct vfio_memory_region mmio = { .name = "mmio",
					   .kind = VFIO_MEMORY_MMIO,
					   .start = base + 2 * MIB,
					   .last = base + 3 * MIB - 1 };
	struct stage_ram *ram = stage_ram(stage, base, MIB);
	struct stage_ram *rom_ram = stage_add(stage, stage->memory, &rom);
	struct stage_engine engine = { stage, 0, base, ram->host };

	stage_add(stage, stage->memory, &mmio);
	stage_attach(stage, 0);
	stage_expect_reach(stage, 0, base, MIB, ram->host, true);
	stage_expect_reach(stage, 0, rom.start, MIB, rom_ram->host, false);
	stage_expect_fault(stage, 0, mmio.start, MIB);
	memset(rom_ram->host, 0x5a, page);
	assert_int_equal(stage_copy(&engine, rom.start, base + page, 64), STAGE_DMA_DONE);
	assert_int_equal(ram->host[page + 63], 0x5a);
	assert_int_equal(stage_copy(&engine, base + 2 * page, rom.start, 64),
			 STAGE_DMA_WRITE_FAULT);
	assert_int_equal(rom_ram->host[0], 0x5a);
	assert_int_equal(stage_copy(&engine, base + 2 * page, mmio.start, 64),
			 STAGE_DMA_WRITE_FAULT);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_kinds = {
	.name = "map-kinds",
	.about = "RAM can be read and written, ROM read, emulated memory not reached",
	.run = run_kinds,
	.needs = NEEDS_MAPS,
};

static void run_file(struct stage *stage)
{
	struct stage_ram *ram = stage_ram_of_file(stage, stage->backend->ram, MIB);
	struct vfio_memory_region high =
		piece(stage->backend->ram + 4 * MIB, ram->host, MIB / 2, MIB);
	struct stage_ram *part;

	high.fd = ram->region.fd;
	high.fd_offset = MIB / 2;
	stage_mark(stage);
	stage_attach(stage, 0);
	stage_expect_reach(stage, 0, ram->region.start, MIB, ram->host, true);
	part = stage_add(stage, stage->memory, &high);
	stage_expect_reach(stage, 0, high.start, MIB / 2, ram->host + MIB / 2, true);
	stage_ram_free(stage, part);
	/* And when its first page is not whole. */
	high = piece(stage->backend->ram + 4 * MIB, ram->host, MIB / 2 + 512, MIB);
	high.fd = ram->region.fd;
	high.fd_offset = MIB / 2 + 512;
	part = stage_add(stage, stage->memory, &high);
	expect_whole_pages(stage, &high, stage->backend->page);
	stage_ram_free(stage, part);
	stage_detach(stage, 0);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_file = {
	.name = "map-file",
	.about = "RAM with a file behind it, whole and in part",
	.run = run_file,
	.needs = NEEDS_MAPS,
};

/* A BAR of one device in the guest: the other reaches it, or does without; neither breaks. */
static void run_device_memory(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct vfio_memory_region bar = { .name = "bar",
					  .kind = VFIO_MEMORY_RAM_DEVICE,
					  .start = stage->backend->ram + 2 * MIB,
					  .fd = -1 };
	struct vfio_error error = { 0 };
	struct stage_ram *part;

	stage_attach(stage, 0);
	stage_attach(stage, 1);
	assert_true(vfio_device_map_area(stage->devices[0], 1, 0, &bar.vaddr, &error));
	bar.last = bar.start + 4095;
	part = stage_add(stage, stage->memory, &bar);
	if (stage_reaches(stage, 1, bar.start))
		stage_expect_reach(stage, 1, bar.start, 4096, part->host, true);
	else if (stage->backend->page == 4096)
		assert_true(stage->ref.warnings_seen >= 1);
	assert_int_equal(stage->ref.broken_seen, 0);
	stage_expect_reach(stage, 1, ram->region.start, MIB, ram->host, true);
	stage_ram_free(stage, part);
	assert_false(stage_reaches(stage, 1, bar.start));
	vfio_device_unmap_area(stage->devices[0], bar.vaddr);
	stage_detach(stage, 0);
	stage_detach(stage, 1);
	stage_expect_empty(stage);
}

const struct story story_device_memory = {
	.name = "map-device-memory",
	.about = "a BAR that cannot be mapped for another device is a warning and no more",
	.run = run_device_memory,
	.needs = NEEDS_MAPS,
	.waivers = { { "user", "a server reaches a BAR by messages, as in user-far" } },
};

/* ---- limits ---- */

enum { ENTRIES = 4, LIMIT = 64 * MIB };

static void few_entries(struct vfake_world *world)
{
	world->dma_entry_limit = ENTRIES;
}

static void run_entries(struct stage *stage)
{
	bool limited = stage->backend->manager == VFAKE_MANAGER_TYPE1;
	struct vfio_device_options options = stage_options(stage, 0);
	struct stage_ram *rams[ENTRIES + 1];
	struct vfio_container_info info;
	struct vfio_error error;

	for (uint64_t i = 0; i < ENTRIES; i++)
		rams[i] = stage_ram(stage, stage->backend->ram + 2 * i * MIB, MIB);
	stage_mark(stage);
	vfio_container_info(vfio_device_container(stage_attach(stage, 0)), &info);
	if (limited)
		assert_int_equal(info.max_mappings, ENTRIES);
	assert_int_equal(info.mappings, ENTRIES);
	/* One too many: the others stay. */
	rams[ENTRIES] = stage_ram(stage, stage->backend->ram + 2 * ENTRIES * MIB, MIB);
	assert_int_equal(stage->ref.broken_seen, limited);
	if (limited)
		assert_int_equal(stage->ref.broken_code, -ENOSPC);
	for (int i = 0; i < ENTRIES; i++)
		stage_expect_reach(stage, 0, rams[i]->region.start, MIB, rams[i]->host, true);
	stage_detach(stage, 0);
	if (limited) {
		assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
		assert_int_equal(error.code, -ENOSPC);
	}
	stage_ram_free(stage, rams[ENTRIES]);
	stage_expect_mark(stage);
	stage_attach(stage, 0);
	stage_detach(stage, 0);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_entries = {
	.name = "map-entries",
	.about = "more maps than the kernel takes: the attach fails, or the VMM is told",
	.run = run_entries,
	.needs = NEEDS_MAPS,
	.prepare = few_entries,
};

static void run_memlock(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct stage_ram *large = stage_ram(stage, stage->backend->ram + LIMIT, 2 * LIMIT);
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error error;

	assert_int_equal(stage->raw.memlock(stage->raw.ctx, LIMIT), 0);
	stage_mark(stage);
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	assert_int_equal(error.code, -ENOMEM);
	stage_expect_mark(stage);
	stage_ram_out(large);
	stage_attach(stage, 0);
	stage_expect_reach(stage, 0, ram->region.start, MIB, ram->host, true);
	stage_ram_in(large);
	assert_int_equal(stage->ref.broken_seen, 1);
	assert_int_equal(stage->ref.broken_code, -ENOMEM);
	stage_expect_fault(stage, 0, large->region.start, MIB);
	stage_expect_reach(stage, 0, ram->region.start, MIB, ram->host, true);
	stage_detach(stage, 0);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_memlock = {
	.name = "map-memlock",
	.about = "more RAM than the program may lock: the attach fails, or the VMM is told",
	.run = run_memlock,
	.needs = NEEDS_MAPS | NEEDS_CHARGE,
};
