/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices behind a vIOMMU: what the guest maps is what they reach.
 */
#include <errno.h>

#include <vfio/cpr.h>

#include "stories.h"

enum { MIB = 1 << 20, READ = 1, WRITE = 2, BOTH = 3 };

/* An address space that a vIOMMU translates, and RAM in two regions next to each other behind it.
 */
struct guest {
	struct stage *stage;
	struct vfio_memory *space;
	struct stage_ram *iommu;
	struct stage_ram *low;
	struct stage_ram *high;
	uint64_t page;
};

static struct guest guest_start(struct stage *stage)
{
	struct guest guest = { .stage = stage, .page = stage->backend->page };
	struct vfio_memory_region region = { .name = "viommu",
					     .kind = VFIO_MEMORY_IOMMU,
					     .last = ((uint64_t)1 << 30) - 1,
					     .iommu_pgsizes = guest.page };

	guest.low = stage_ram(stage, stage->backend->ram, MIB);
	guest.high = stage_ram(stage, stage->backend->ram + MIB, MIB);
	guest.space = stage_space(stage);
	guest.iommu = stage_add(stage, guest.space, &region);
	return guest;
}

/* The guest maps @pages at page @at to page @target of its RAM; @prot 0 unmaps. */
static int guest_map(const struct guest *guest, uint64_t at, uint64_t target, uint64_t pages,
		     int prot)
{
	struct vfio_iommu_entry entry = {
		.iova = at * guest->page,
		.last = (at + pages) * guest->page - 1,
		.target = guest->stage->backend->ram + target * guest->page,
		.prot = prot,
		.target_memory = guest->stage->memory,
	};

	return vfio_memory_iommu_update(guest->space, guest->iommu->id, &entry);
}

static int guest_unmap(const struct guest *guest, uint64_t at, uint64_t pages)
{
	return guest_map(guest, at, 0, pages, 0);
}

static void expect_page(const struct guest *guest, unsigned int device, uint64_t at,
			const uint8_t *host, bool writable)
{
	stage_expect_reach(guest->stage, device, at * guest->page, guest->page, host, writable);
}

static void expect_hole(const struct guest *guest, unsigned int device, uint64_t at, uint64_t pages)
{
	stage_expect_fault(guest->stage, device, at * guest->page, pages * guest->page);
}

static void run_maps(struct stage *stage)
{
	struct guest guest = guest_start(stage);
	uint64_t half = MIB / guest.page;

	stage_mark(stage);
	stage_attach_to(stage, 0, guest.space);
	assert_int_equal(stage_view(stage, 0).mappings, 0);
	assert_int_equal(guest_map(&guest, 32, 2, 4, BOTH), 0);
	expect_page(&guest, 0, 33, guest.low->host + 3 * guest.page, true);
	/* Across the border of two regions: other bytes of the process on each side. */
	assert_int_equal(guest_map(&guest, 64, half - 2, 4, BOTH), 0);
	expect_page(&guest, 0, 65, guest.low->host + MIB - guest.page, true);
	expect_page(&guest, 0, 66, guest.high->host, true);
	assert_int_equal(guest_map(&guest, 128, 0, 1, READ), 0);
	expect_page(&guest, 0, 128, guest.low->host, false);
	/* A mapping goes whole or not at all. */
	assert_int_equal(guest_unmap(&guest, 33, 1), -EINVAL);
	assert_int_equal(guest_unmap(&guest, 30, 3), -EINVAL);
	expect_page(&guest, 0, 33, guest.low->host + 3 * guest.page, true);
	assert_int_equal(guest_unmap(&guest, 0, 64), 0);
	expect_hole(&guest, 0, 0, 64);
	expect_page(&guest, 0, 66, guest.high->host, true);
	assert_int_equal(guest_unmap(&guest, 0, 64), 0);
	assert_int_equal(guest_unmap(&guest, 0, 512), 0);
	assert_int_equal(stage_view(stage, 0).mappings, 0);
	assert_int_equal(stage->ref.broken_seen, 0);
	stage_detach(stage, 0);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_viommu_maps = {
	.name = "viommu-maps",
	.about = "what the guest maps, over a border of RAM too, is reached until it is unmapped",
	.run = run_maps,
	.needs = NEEDS_MAPS,
};

static void run_late(struct stage *stage)
{
	struct guest guest = guest_start(stage);
	struct vfio_device_options options = stage_options(stage, 1);
	struct vfio_error error = { 0 };
	struct vfio_device *late;
	struct vfio *other;

	stage_mark(stage);
	stage_attach_to(stage, 0, guest.space);
	assert_int_equal(guest_map(&guest, 16, 0, 2, BOTH), 0);
	assert_int_equal(guest_map(&guest, 18, 8, 2, BOTH), 0);
	/* One that shares the container, and one with a container of its own. */
	stage_attach_to(stage, 2, guest.space);
	other = vfio_new(&stage->sys, &stage->vmm);
	assert_non_null(other);
	assert_true(vfio_cpr_name(other, "other", &error));
	late = vfio_device_attach(other, guest.space, &options, &error);
	if (!late)
		fail_msg("%s (%d)", error.message, error.code);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		expect_page(&guest, i, 17, guest.low->host + guest.page, true);
		expect_page(&guest, i, 18, guest.low->host + 8 * guest.page, true);
		expect_hole(&guest, i, 20, 8);
	}
	assert_int_equal(guest_unmap(&guest, 16, 2), 0);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		expect_hole(&guest, i, 16, 2);
		expect_page(&guest, i, 18, guest.low->host + 8 * guest.page, true);
	}
	stage_detach(stage, 0);
	expect_page(&guest, 2, 18, guest.low->host + 8 * guest.page, true);
	stage_detach(stage, 2);
	expect_page(&guest, 1, 18, guest.low->host + 8 * guest.page, true);
	vfio_device_detach(late);
	vfio_free(other);
	assert_int_equal(guest_unmap(&guest, 18, 2), 0);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_viommu_late = {
	.name = "viommu-late",
	.about = "a device that comes late reaches what the guest has mapped before",
	.run = run_late,
	.needs = NEEDS_MAPS,
};

/* The guest turns its vIOMMU off and on: RAM one to one, and translated again. */
static void run_switch(struct stage *stage)
{
	struct guest guest = guest_start(stage);
	struct vfio_memory_region plain = guest.low->region;
	struct stage_ram *direct;

	stage_attach_to(stage, 0, guest.space);
	stage_attach_to(stage, 1, guest.space);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(guest_map(&guest, 7, 3, 1, BOTH), 0);
		vfio_memory_begin(guest.space);
		stage_ram_out(guest.iommu);
		direct = stage_add(stage, guest.space, &plain);
		vfio_memory_commit(guest.space);
		for (unsigned int i = 0; i < 2; i++) {
			stage_expect_reach(stage, i, plain.start, MIB, guest.low->host, true);
			if (plain.start)
				expect_hole(&guest, i, 7, 1);
		}
		vfio_memory_begin(guest.space);
		stage_ram_free(stage, direct);
		stage_ram_in(guest.iommu);
		vfio_memory_commit(guest.space);
		for (unsigned int i = 0; i < 2; i++) {
			assert_int_equal(stage_view(stage, i).mappings, 0);
			expect_hole(&guest, i, 0, 16);
		}
	}
	assert_int_equal(stage->ref.broken_seen, 0);
	stage_detach(stage, 0);
	stage_detach(stage, 1);
	stage_expect_empty(stage);
}

const struct story story_viommu_switch = {
	.name = "viommu-switch",
	.about = "the guest turns its vIOMMU off and on while devices are attached",
	.run = run_switch,
	.needs = NEEDS_MAPS,
};

/* The guest maps what is no RAM, and ROM. */
static void run_wrong(struct stage *stage)
{
	struct guest guest = guest_start(stage);
	uint64_t ram_pages = 2 * MIB / guest.page;
	struct vfio_memory_region rom = { .name = "rom",
					  .kind = VFIO_MEMORY_ROM,
					  .start = stage->backend->ram + 8 * MIB,
					  .fd = -1 };
	struct stage_ram *rom_ram;

	rom.last = rom.start + MIB - 1;
	rom_ram = stage_add(stage, stage->memory, &rom);
	stage_attach_to(stage, 0, guest.space);
	assert_int_equal(guest_map(&guest, 4, 8 * MIB / guest.page, 1, BOTH), 0);
	expect_page(&guest, 0, 4, rom_ram->host, false);
	assert_int_equal(stage->ref.broken_seen, 0);
	/* The half that is RAM is not reached either. */
	assert_int_equal(guest_map(&guest, 32, ram_pages - 1, 2, BOTH), 0);
	assert_int_equal(stage->ref.broken_seen, 1);
	expect_hole(&guest, 0, 32, 2);
	expect_page(&guest, 0, 4, rom_ram->host, false);
	assert_int_equal(guest_unmap(&guest, 0, 512), 0);
	assert_int_equal(stage_view(stage, 0).mappings, 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_viommu_wrong = {
	.name = "viommu-wrong",
	.about = "the guest maps ROM, and what is no memory: that is told, and nothing half-mapped",
	.run = run_wrong,
	.needs = NEEDS_MAPS,
};
