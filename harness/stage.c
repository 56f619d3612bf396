/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stage: it is set up for a backend, a story plays on it, and it is taken down, which is when
 * everything must be back where it began.
 */
#include <stdlib.h>
#include <string.h>

#include <vfake/world.h>

#include "stage_internal.h"
#include <vfake/sys.h>

static const char *const names[STAGE_DEVICES] = { "d0", "d1", "d2" };
/* Of their groups and nodes: each begins as the one before. */
static const uint32_t numbers[STAGE_DEVICES] = { 1, 10, 100 };

const char *stage_name(unsigned int index)
{
	return names[index];
}

const char *story_waived(const struct story *story, const struct backend *backend)
{
	const struct story_waiver *waiver = story->waivers;

	for (; waiver->backend; waiver++) {
		if (!strcmp(waiver->backend, backend->name))
			return waiver->reason;
	}
	return backend_lacks(backend, story->needs);
}

/* ---- setting up ---- */

static void make_world(const struct story *story, const struct backend *backend,
		       struct vfake_world *world)
{
	backend->world(world);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		assert_int_equal(vfake_world_add_device(world, names[i],
							story->model ? story->model : "copy"),
				 0);
		world->devices[i].noiommu = backend->noiommu;
		world->devices[i].group = numbers[i];
		world->devices[i].cdev = numbers[i];
	}
	if (story->prepare)
		story->prepare(world);
}

static void boot(struct stage *stage)
{
	struct vfake_task_attr root = vfake_root;
	struct vfake_world *world = calloc(1, sizeof(*world));
	const char *error = NULL;

	assert_non_null(world);
	make_world(stage->story, stage->backend, world);
	stage->kernel = vfake_kernel_new(world, &error);
	free(world);
	if (!stage->kernel)
		fail_msg("the world does not start: %s", error);
	root.host_memory = true;
	stage->task = vfake_task_new(stage->kernel, &root);
	assert_non_null(stage->task);
	stage->own_boot = vfake_ledger(stage->kernel);
	stage->own_model = model_new(stage->kernel);
	assert_non_null(stage->own_model);
	stage->fault = fault_new();
	assert_non_null(stage->fault);
	vfake_sys(&stage->raw, stage->task);
	stage_watch(stage);
	stage_user_start(stage);
}

static void set_up(struct stage *stage)
{
	stage->vfio = vfio_new(&stage->sys, &stage->vmm);
	assert_non_null(stage->vfio);
	stage->memory = stage_space(stage);
	stage_mark(stage);
}

/* ---- taking down ---- */

/* True where they are equal, else @why tells. */
static bool compare_ledgers(const struct vfake_ledger *got, const struct vfake_ledger *want,
			    const char *when, char *why, size_t size)
{
	if (!memcmp(got, want, sizeof(*got)))
		return true;
	snprintf(why, size,
		 "%s: open files %+lld, descriptors %+lld, kernel memory %+lld blocks, "
		 "pinned pages %+lld, locked pages %+lld, warnings %+lld",
		 when, (long long)(got->open_files - want->open_files),
		 (long long)(got->descriptors - want->descriptors),
		 (long long)(got->allocations - want->allocations),
		 (long long)(got->pinned_pages - want->pinned_pages),
		 (long long)(got->locked_pages - want->locked_pages),
		 (long long)(got->warnings - want->warnings));
	return false;
}

static bool is_zero(uint64_t count, const char *what, char *why, size_t size)
{
	if (count)
		snprintf(why, size, "at the end: %s %+lld", what, (long long)count);
	return !count;
}

bool stage_end(struct stage *stage, char *why, size_t size)
{
	struct vfake_ledger end;
	bool agrees = model_agrees(stage->own_model);

	/* The table of descriptors and the process's areas may have grown: they end with it. */
	vfake_task_exit(stage->task);
	stage->task = NULL;
	stage_user_stop(stage);
	end = vfake_ledger(stage->kernel);
	if (!agrees || !model_agrees(stage->own_model)) {
		snprintf(why, size, "model: %s", model_disagreement(stage->own_model));
		return false;
	}
	if (stage->own_oddities) {
		snprintf(why, size, "%s (and %u more)", stage->own_odd, stage->own_oddities - 1);
		return false;
	}
	return is_zero(stage->ref.blocks, "blocks of the stack's memory", why, size) &&
	       is_zero(stage->own_memory_ref.blocks, "blocks of the guest memory's description",
		       why, size) &&
	       is_zero(stage->ref.discard_forbidden, "discards forbidden", why, size) &&
	       is_zero(stage->ref.blocker_count, "migration blockers", why, size) &&
	       is_zero(stage->ref.state_count, "registered state", why, size) &&
	       is_zero(stage->own_map_bytes, "bytes that were mapped and not unmapped", why,
		       size) &&
	       compare_ledgers(&end, &(struct vfake_ledger){ 0 }, "at the end", why, size);
}

static void take_down(struct stage *stage)
{
	char why[STAGE_TEXT];

	vfio_free(stage->vfio);
	for (size_t i = 0; i < STAGE_RAMS; i++) {
		if (stage->own_rams[i].memory)
			stage_ram_free(stage, &stage->own_rams[i]);
	}
	for (size_t i = 0; i < sizeof(stage->own_spaces) / sizeof(stage->own_spaces[0]); i++)
		vfio_memory_free(stage->own_spaces[i]);
	if (!stage_end(stage, why, sizeof(why)))
		fail_msg("%s", why);
	vfake_set_event_hook(stage->kernel, NULL, NULL);
	model_free(stage->own_model);
	vfake_kernel_free(stage->kernel);
	fault_free(stage->fault);
}

void story_play(const struct story *story, const struct backend *backend, uint64_t seed)
{
	story_play_seen(story, backend, seed, NULL, NULL);
}

void story_play_seen(const struct story *story, const struct backend *backend, uint64_t seed,
		     void (*seen)(void *ctx, struct stage *stage), void *ctx)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	assert_non_null(stage);
	stage->story = story;
	stage->backend = backend;
	stage->own_random = seed * 2 + 1;
	boot(stage);
	if (seen)
		seen(ctx, stage);
	set_up(stage);
	story->run(stage);
	take_down(stage);
	free(stage);
}

uint64_t stage_random(struct stage *stage, uint64_t limit)
{
	/* Knuth's multiplier; the upper half is the random one. */
	stage->own_random =
		stage->own_random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (stage->own_random >> 32) % limit;
}

/* ---- marks ---- */

void stage_mark(struct stage *stage)
{
	stage_user_settle(stage);
	stage->own_mark = vfake_ledger(stage->kernel);
	stage->own_mark_ref = stage->ref;
}

void stage_expect_mark(const struct stage *stage)
{
	struct vfake_ledger now;
	char why[STAGE_TEXT];

	stage_user_settle(stage);
	now = vfake_ledger(stage->kernel);
	if (stage->own_oddities)
		fail_msg("%s", stage->own_odd);
	if (!compare_ledgers(&now, &stage->own_mark, "since the mark", why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(stage->ref.discard_forbidden, stage->own_mark_ref.discard_forbidden);
	assert_int_equal(stage->ref.blocker_count, stage->own_mark_ref.blocker_count);
	assert_int_equal(stage->ref.state_count, stage->own_mark_ref.state_count);
	assert_int_equal(stage->ref.blocks, stage->own_mark_ref.blocks);
}

void stage_expect_empty(const struct stage *stage)
{
	struct vfake_ledger now;

	stage_user_settle(stage);
	now = vfake_ledger(stage->kernel);
	if (stage->own_oddities)
		fail_msg("%s", stage->own_odd);
	assert_int_equal(now.pinned_pages, 0);
	assert_int_equal(now.locked_pages, 0);
	assert_int_equal(now.warnings, 0);
	assert_int_equal(stage->ref.discard_forbidden, 0);
	assert_int_equal(stage->ref.blocker_count, 0);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		struct vfake_device_view view = stage_view(stage, i);

		assert_null(stage->devices[i]);
		assert_int_equal(view.open_count, 0);
		assert_false(view.group_opened);
		assert_false(view.in_container);
		assert_false(view.translated);
	}
}

/* ---- devices ---- */

/* A peer answers in its first turn or never. */
enum { SERVER_TICKS = 32 };

struct vfio_device_options stage_options(struct stage *stage, unsigned int index)
{
	const struct vfake_device_desc *desc = vfake_device_desc(stage->kernel, names[index]);
	char *group = stage->own_nodes[index][0];
	char *cdev = stage->own_nodes[index][1];

	snprintf(group, sizeof(stage->own_nodes[0][0]), "%s%u", desc->noiommu ? "noiommu-" : "",
		 desc->group);
	snprintf(cdev, sizeof(stage->own_nodes[0][1]), "vfio%u", desc->cdev);
	return (struct vfio_device_options){
		.name = names[index],
		.backend = stage->backend->kind,
		.group = group,
		.cdev = cdev,
		.socket = stage_user_path(index),
		.timeout_ticks = SERVER_TICKS,
		.type1_v1 = stage->backend->type1_v1,
		.dirty_tracking = stage->backend->dirty_tracking,
	};
}

/* What a device's driver does for whoever has it open; nothing for a device that there is not. */
static struct vfake_pci_view driver_of(const struct stage *stage, const char *name)
{
	struct vfake_pci_view view = { 0 };

	if (vfake_view_pci(stage->kernel, name, &view))
		return (struct vfake_pci_view){ 0 };
	return view;
}

/* Who could not attach it may have it open still: nothing of the stack's is on. A server that
 * spoils replies is not asked. */
static void expect_driver(const struct stage *stage, const char *name, struct vfake_pci_view before)
{
	struct vfake_pci_view now;

	if (stage_user_is_hostile(stage))
		return;
	stage_user_settle(stage);
	now = driver_of(stage, name);
	assert_int_equal(now.irq_index, before.irq_index);
	assert_int_equal(now.vectors, before.vectors);
	assert_int_equal(now.err_irq, before.err_irq);
	assert_int_equal(now.req_irq, before.req_irq);
	assert_int_equal(now.dma_logging, before.dma_logging);
}

bool stage_try_attach(struct stage *stage, unsigned int index, struct vfio_memory *memory,
		      const struct vfio_device_options *options, struct vfio_error *error)
{
	struct vfake_pci_view before = driver_of(stage, stage_name(index));

	*error = (struct vfio_error){ 0 };
	assert_null(stage->devices[index]);
	stage->devices[index] = vfio_device_attach(stage->vfio, memory, options, error);
	if (stage->devices[index]) {
		assert_int_equal(error->code, 0);
		assert_string_equal(error->message, "");
		return true;
	}
	assert_true(error->code < 0);
	assert_string_not_equal(error->message, "");
	expect_driver(stage, stage_name(index), before);
	return false;
}

struct vfio_device *stage_attach_to(struct stage *stage, unsigned int index,
				    struct vfio_memory *memory)
{
	struct vfio_device_options options = stage_options(stage, index);
	struct vfio_error error;

	if (!stage_try_attach(stage, index, memory, &options, &error))
		fail_msg("%s (%d) %s", error.message, error.code, error.hint);
	return stage->devices[index];
}

struct vfio_device *stage_attach(struct stage *stage, unsigned int index)
{
	return stage_attach_to(stage, index, stage->memory);
}

void stage_detach(struct stage *stage, unsigned int index)
{
	assert_non_null(stage->devices[index]);
	vfio_device_detach(stage->devices[index]);
	stage->devices[index] = NULL;
}

/* ---- memory ---- */

struct vfio_memory *stage_space(struct stage *stage)
{
	struct vfio_memory **place = stage->own_spaces;

	while (*place)
		place++;
	assert_true(place < stage->own_spaces + 4);
	*place = vfio_memory_new(&stage->own_memory_vmm);
	assert_non_null(*place);
	return *place;
}

static struct stage_ram *free_ram(struct stage *stage)
{
	for (size_t i = 0; i < STAGE_RAMS; i++) {
		if (!stage->own_rams[i].memory)
			return &stage->own_rams[i];
	}
	fail_msg("a story has more than %d pieces of memory", STAGE_RAMS);
	return NULL;
}

static bool has_memory(enum vfio_memory_kind kind)
{
	return kind != VFIO_MEMORY_MMIO && kind != VFIO_MEMORY_IOMMU;
}

struct stage_ram *stage_add(struct stage *stage, struct vfio_memory *memory,
			    const struct vfio_memory_region *region)
{
	struct stage_ram *ram = free_ram(stage);
	uint64_t size = region->last - region->start + 1;

	*ram = (struct stage_ram){ .memory = memory, .region = *region };
	if (!has_memory(region->kind))
		ram->region.fd = -1;
	else if (!region->vaddr) {
		ram->mapped = (size + 65535) & ~UINT64_C(65535);
		stage_user_back(stage, ram);
		assert_int_equal(stage->raw.mmap(stage->raw.ctx, ram->mapped,
						 VFAKE_PROT_READ | VFAKE_PROT_WRITE, ram->region.fd,
						 0, &ram->region.vaddr),
				 0);
	} else if (region->fd < 0) {
		stage_user_share(stage, &ram->region);
	}
	ram->host = (uint8_t *)(uintptr_t)ram->region.vaddr;
	stage_ram_in(ram);
	return ram;
}

struct stage_ram *stage_ram(struct stage *stage, uint64_t gpa, uint64_t size)
{
	struct vfio_memory_region region = { .name = "ram",
					     .kind = VFIO_MEMORY_RAM,
					     .start = gpa,
					     .last = gpa + (size - 1),
					     .fd = -1 };

	return stage_add(stage, stage->memory, &region);
}

struct stage_ram *stage_ram_of_file(struct stage *stage, uint64_t gpa, uint64_t size)
{
	struct vfio_memory_region region = {
		.name = "ram", .kind = VFIO_MEMORY_RAM, .start = gpa, .last = gpa + (size - 1)
	};

	region.fd = stage->raw.memfd(stage->raw.ctx, size);
	assert_true(region.fd >= 0);
	return stage_add(stage, stage->memory, &region);
}

void stage_ram_out(struct stage_ram *ram)
{
	assert_true(ram->id);
	vfio_memory_del(ram->memory, ram->id);
	ram->id = 0;
}

void stage_ram_in(struct stage_ram *ram)
{
	struct vfio_error error = { 0 };

	assert_false(ram->id);
	if (!vfio_memory_add(ram->memory, &ram->region, &ram->id, &error))
		fail_msg("%s (%d)", error.message, error.code);
	assert_true(ram->id);
}

void stage_ram_free(struct stage *stage, struct stage_ram *ram)
{
	if (ram->id)
		stage_ram_out(ram);
	if (ram->mapped)
		assert_int_equal(stage->raw.munmap(stage->raw.ctx, ram->region.vaddr, ram->mapped),
				 0);
	if (ram->mapped && ram->region.fd >= 0)
		assert_int_equal(stage->raw.close(stage->raw.ctx, ram->region.fd), 0);
	*ram = (struct stage_ram){ 0 };
}
