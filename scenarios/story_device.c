/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What devices do when they are attached: DMA, interrupts, reset, KVM, migration.
 */
#include <errno.h>
#include <string.h>

#include <uapi/kvm.h>
#include <uapi/vfio.h>
#include <vfake/kvm.h>
#include <vfake/models.h>

#include "stories.h"

enum { MIB = 1 << 20 };

/* ---- DMA ---- */

static void run_dma(struct stage *stage)
{
	struct stage_ram *a = stage_ram(stage, stage->backend->ram, MIB);
	struct stage_ram *b = stage_ram(stage, stage->backend->ram + 4 * MIB, MIB);
	uint64_t page = stage->backend->page;
	struct stage_engine engines[2] = { { stage, 0, a->region.start, a->host },
					   { stage, 1, b->region.start, b->host } };
	uint64_t from = a->region.start + page;
	uint64_t to = b->region.start + page;

	stage_attach(stage, 0);
	stage_attach(stage, 1);
	for (unsigned int i = 0; i < 256; i++)
		a->host[page + i] = (uint8_t)i;
	/* To and fro, by two devices, at odd places and over many pages. */
	assert_int_equal(stage_copy(&engines[0], from, to + 3, 256), STAGE_DMA_DONE);
	assert_memory_equal(a->host + page, b->host + page + 3, 256);
	assert_int_equal(stage_copy(&engines[1], to + 3, from + 8 * page + 1, 256), STAGE_DMA_DONE);
	assert_memory_equal(a->host + page, a->host + 9 * page + 1, 256);
	assert_int_equal(
		stage_fill(&engines[1], UINT64_C(0x0101010101010101), from, (uint32_t)(5 * page)),
		STAGE_DMA_DONE);
	assert_int_equal(a->host[page], 1);
	assert_int_equal(a->host[6 * page - 1], 1);
	assert_int_equal(a->host[6 * page], 0);
	/* Over the end of what is there. */
	assert_int_equal(stage_fill(&engines[0], 7, b->region.last - 63, 128),
			 STAGE_DMA_WRITE_FAULT);
	stage_ram_out(b);
	assert_int_equal(stage_copy(&engines[0], to, from, 64), STAGE_DMA_READ_FAULT);
	assert_int_equal(stage_copy(&engines[1], from, from, 64), STAGE_DMA_RING_FAULT);
	stage_ram_in(b);
	assert_int_equal(stage_copy(&engines[1], from, to, 64), STAGE_DMA_DONE);
	stage_detach(stage, 1);
	assert_int_equal(stage_copy(&engines[0], from, to, 64), STAGE_DMA_DONE);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_dma = {
	.name = "device-dma",
	.about =
		"two copy engines move bytes between pieces of guest memory, and fault beside them",
	.run = run_dma,
	.needs = NEEDS_MAPS,
};

/* ---- interrupts ---- */

static uint64_t count_of(struct stage *stage, int eventfd)
{
	uint64_t count = 0;

	stage->raw.read(stage->raw.ctx, eventfd, (uint64_t)(uintptr_t)&count, sizeof(count));
	return count;
}

static void run_interrupts(struct stage *stage)
{
	struct vfio_device_facts facts;
	struct vfio_error error = { 0 };
	struct vfio_device *device;
	struct vfio_irq irq;
	int eventfds[2];

	eventfds[0] = stage->raw.eventfd(stage->raw.ctx);
	eventfds[1] = stage->raw.eventfd(stage->raw.ctx);
	stage_mark(stage);
	device = stage_attach(stage, 0);
	vfio_device_facts(device, &facts);
	assert_true(facts.is_pci);
	assert_string_equal(facts.name, stage_name(0));
	assert_true(vfio_device_irq(device, VFIO_PCI_MSIX_IRQ_INDEX, &irq, &error));
	assert_int_equal(irq.count, VFAKE_COPY_VECTORS);
	assert_true(irq.eventfd);
	assert_false(vfio_device_irq(device, facts.irqs, &irq, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_true(
		vfio_device_irq_enable(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, eventfds, &error));
	assert_true(vfio_device_irq_trigger(device, VFIO_PCI_MSIX_IRQ_INDEX, 1, &error));
	assert_int_equal(count_of(stage, eventfds[0]), 0);
	assert_int_equal(count_of(stage, eventfds[1]), 1);
	assert_false(
		vfio_device_irq_enable(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, eventfds, &error));
	/* The requests of the kernel go to the VMM. */
	assert_true(vfio_device_irq_trigger(device, VFIO_PCI_REQ_IRQ_INDEX, 0, &error));
	vfio_device_poll(device);
	assert_int_equal(stage->ref.requests_seen, 1);
	assert_int_equal(stage->ref.errors_seen, 0);
	assert_true(vfio_device_irq_trigger(device, VFIO_PCI_ERR_IRQ_INDEX, 0, &error));
	vfio_device_poll(device);
	vfio_device_poll(device);
	assert_int_equal(stage->ref.requests_seen, 1);
	assert_int_equal(stage->ref.errors_seen, 1);
	stage_detach(stage, 0);
	stage_expect_mark(stage);
	for (int i = 0; i < 2; i++)
		assert_int_equal(stage->raw.close(stage->raw.ctx, eventfds[i]), 0);
	stage_expect_empty(stage);
}

const struct story story_interrupts = {
	.name = "device-interrupts",
	.about = "interrupts reach eventfds, requests and errors the VMM; all is off when it goes",
	.run = run_interrupts,
};

/* ---- regions ---- */

static void run_regions(struct stage *stage)
{
	struct vfio_device *device;
	struct vfio_error error = { 0 };
	struct vfio_region region;
	uint32_t value = 0x12345678, back = 0;
	uint64_t addr = 0;

	stage_mark(stage);
	device = stage_attach(stage, 0);
	assert_true(vfio_device_region(device, VFAKE_COPY_BAR_MEMORY, &region, &error));
	assert_true(region.mappable && region.readable && region.writable);
	assert_int_equal(region.size, VFAKE_COPY_BAR_BYTES);
	assert_int_equal(region.area_count, 1);
	assert_false(vfio_device_region(device, 99, &region, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_true(vfio_device_map_area(device, VFAKE_COPY_BAR_MEMORY, 0, &addr, &error));
	assert_false(vfio_device_map_area(device, VFAKE_COPY_BAR_MEMORY, 1, &addr, &error));
	assert_false(vfio_device_map_area(device, VFAKE_COPY_BAR_REGS, 0, &addr, &error));
	memcpy((void *)(uintptr_t)addr, &value, sizeof(value));
	assert_true(
		vfio_device_read(device, VFAKE_COPY_BAR_MEMORY, 0, &back, sizeof(back), &error));
	assert_int_equal(back, value);
	assert_false(vfio_device_read(device, VFAKE_COPY_BAR_MEMORY, VFAKE_COPY_BAR_BYTES - 2,
				      &back, sizeof(back), &error));
	assert_int_equal(error.code, -EINVAL);
	assert_true(vfio_device_reset(device, &error));
	/* The mapping goes with the device. */
	stage_detach(stage, 0);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_regions = {
	.name = "device-regions",
	.about = "a BAR by read, write and mapping, inside of its bounds",
	.run = run_regions,
};

/* ---- hot reset ---- */

/* d0 and d1 are functions of one slot. */
static void same_slot(struct vfake_world *world)
{
	for (uint32_t i = 0; i < STAGE_DEVICES; i++) {
		world->devices[i].bus_reset = true;
		world->devices[i].bus = i < 2 ? 5 : 6;
		world->devices[i].devfn = (uint8_t)(i & 1);
	}
}

static void run_hot_reset(struct stage *stage)
{
	struct vfio_error error = { 0 };
	uint8_t byte = 0x77;

	stage_mark(stage);
	stage_attach(stage, 0);
	assert_false(vfio_device_hot_reset(stage->devices[0], &error));
	assert_int_equal(error.code, -EPERM);
	assert_non_null(strstr(error.message, "05:00.1"));
	stage_attach(stage, 1);
	stage_attach(stage, 2);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		assert_true(vfio_device_write(stage->devices[i], VFAKE_COPY_BAR_REGS,
					      VFAKE_COPY_SCRATCH, &byte, 1, &error));
		assert_true(vfio_device_write(stage->devices[i], VFIO_PCI_CONFIG_REGION_INDEX, 0x3c,
					      &byte, 1, &error));
	}
	error = (struct vfio_error){ 0 };
	if (!vfio_device_hot_reset(stage->devices[0], &error))
		fail_msg("%s (%d)", error.message, error.code);
	assert_true(vfio_device_hot_reset(stage->devices[2], &error));
	stage_detach(stage, 1);
	assert_false(vfio_device_hot_reset(stage->devices[0], &error));
	assert_int_equal(error.code, -EPERM);
	stage_detach(stage, 0);
	stage_detach(stage, 2);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_hot_reset = {
	.name = "device-hot-reset",
	.about = "a slot is reset only when all devices of it are the stack's own",
	.run = run_hot_reset,
	.needs = NEEDS_RESET_PROOF,
	.prepare = same_slot,
};

/* ---- KVM ---- */

static int new_vm(struct stage *stage)
{
	int kvm = stage->raw.open(stage->raw.ctx, "/dev/kvm");
	int vm;

	assert_true(kvm >= 0);
	vm = (int)stage->raw.ioctl(stage->raw.ctx, kvm, KVM_CREATE_VM, 0);
	assert_true(vm >= 0);
	assert_int_equal(stage->raw.close(stage->raw.ctx, kvm), 0);
	return vm;
}

static void expect_vm(struct stage *stage, int vm, bool device, uint32_t files)
{
	struct vfake_kvm_view view;

	assert_int_equal(vfake_kvm_view(stage->task, vm, &view), 0);
	assert_int_equal(view.has_vfio_device, device);
	assert_int_equal(view.vfio_files, files);
}

/* KVM does not take the file: the device is not attached, and what was not added not deleted. */
static void kvm_refuses(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 2);
	struct vfio_error error;

	stage->fail_call =
		(struct stage_fault){ .at = 1, .request = KVM_SET_DEVICE_ATTR, .code = -EEXIST };
	assert_false(stage_try_attach(stage, 2, stage->memory, &options, &error));
	assert_int_equal(error.code, -EEXIST);
	assert_int_equal(stage->fail_call.seen, 1);
	stage->fail_call = (struct stage_fault){ 0 };
	stage_attach(stage, 2);
	stage_detach(stage, 2);
}

static void run_kvm(struct stage *stage)
{
	struct vfio_error error = { 0 };
	int vm = new_vm(stage);

	stage_ram(stage, stage->backend->ram, MIB);
	stage_mark(stage);
	assert_true(vfio_set_kvm(stage->vfio, vm, &error));
	expect_vm(stage, vm, true, 0);
	stage_attach(stage, 0);
	expect_vm(stage, vm, true, 1);
	stage_attach(stage, 1);
	expect_vm(stage, vm, true, 2);
	stage_detach(stage, 0);
	expect_vm(stage, vm, true, 1);
	/* The VM goes, and comes when a device is there already. */
	assert_true(vfio_set_kvm(stage->vfio, -1, &error));
	expect_vm(stage, vm, false, 0);
	stage_attach(stage, 0);
	expect_vm(stage, vm, false, 0);
	assert_true(vfio_set_kvm(stage->vfio, vm, &error));
	expect_vm(stage, vm, true, 2);
	stage_detach(stage, 1);
	stage_detach(stage, 0);
	expect_vm(stage, vm, true, 0);
	/* An attach that fails has told the VM nothing that stays. */
	stage->ref.only_migratable = true;
	{
		struct vfio_device_options options = stage_options(stage, 2);

		assert_false(stage_try_attach(stage, 2, stage->memory, &options, &error));
	}
	expect_vm(stage, vm, true, 0);
	stage->ref.only_migratable = false;
	kvm_refuses(stage);
	assert_true(vfio_set_kvm(stage->vfio, -1, &error));
	stage_expect_mark(stage);
	assert_int_equal(stage->raw.close(stage->raw.ctx, vm), 0);
	stage_expect_empty(stage);
}

const struct story story_kvm = {
	.name = "device-kvm",
	.about = "a VM is told of what is attached, before and after it is set, and untold",
	.run = run_kvm,
	.waivers = { { "user", "KVM has nothing to do with a socket" } },
};

/* ---- migration ---- */

static void go(struct vfio_device *device, enum vfio_mig_state state)
{
	enum vfio_mig_state now = VFIO_MIG_ERROR;
	struct vfio_error error = { 0 };

	if (!vfio_device_mig_set_state(device, state, VFIO_MIG_ERROR, &error))
		fail_msg("%s (%d)", error.message, error.code);
	assert_true(vfio_device_mig_state(device, &now, &error));
	assert_int_equal(now, state);
}

/* Reads all that there is from one and writes it to the other; returns the bytes. */
static uint64_t pump(struct vfio_device *from, struct vfio_device *to)
{
	struct vfio_error error = { 0 };
	uint8_t bytes[1000];
	uint64_t sum = 0;
	size_t got;

	for (;;) {
		assert_true(vfio_device_mig_read(from, bytes, sizeof(bytes), &got, &error));
		if (!got)
			return sum;
		assert_true(vfio_device_mig_write(to, bytes, got, &error));
		sum += got;
	}
}

static void expect_marks(struct vfio_device *device, uint64_t scratch, uint8_t fill)
{
	struct vfio_error error = { 0 };
	uint8_t bytes[64];
	uint64_t value = 0;

	assert_true(vfio_device_read(device, VFAKE_COPY_BAR_REGS, VFAKE_COPY_SCRATCH, &value,
				     sizeof(value), &error));
	assert_true(value == scratch);
	assert_true(
		vfio_device_read(device, VFAKE_COPY_BAR_MEMORY, 128, bytes, sizeof(bytes), &error));
	assert_int_equal(bytes[0], fill);
	assert_int_equal(bytes[63], fill);
}

static void put_marks(struct vfio_device *device, uint64_t scratch, uint8_t fill)
{
	struct vfio_error error = { 0 };
	uint8_t bytes[64];

	memset(bytes, fill, sizeof(bytes));
	assert_true(vfio_device_write(device, VFAKE_COPY_BAR_REGS, VFAKE_COPY_SCRATCH, &scratch,
				      sizeof(scratch), &error));
	assert_true(vfio_device_write(device, VFAKE_COPY_BAR_MEMORY, 128, bytes, sizeof(bytes),
				      &error));
	expect_marks(device, scratch, fill);
}

static void run_migration(struct stage *stage)
{
	struct vfio_migration_info info;
	struct vfio_device *from, *to;
	struct vfio_error error = { 0 };
	uint64_t size = 0;

	stage_ram(stage, stage->backend->ram, MIB);
	stage_mark(stage);
	from = stage_attach(stage, 0);
	to = stage_attach(stage, 1);
	vfio_device_migration_info(from, &info);
	assert_true(info.stop_copy && info.p2p && info.pre_copy && info.dma_logging);
	assert_int_equal(blockers_of(stage, VFIO_MODE_NORMAL, NULL), 0);
	put_marks(from, UINT64_C(0xfeedfacecafe), 0x3c);
	go(to, VFIO_MIG_RESUMING);
	go(from, VFIO_MIG_PRE_COPY);
	assert_true(pump(from, to) > 0);
	put_marks(from, UINT64_C(0x1234567890), 0x4d);
	assert_true(vfio_device_mig_size(from, &size, &error));
	go(from, VFIO_MIG_STOP_COPY);
	assert_true(pump(from, to) > 0);
	go(to, VFIO_MIG_STOP);
	go(from, VFIO_MIG_STOP);
	go(to, VFIO_MIG_RUNNING);
	expect_marks(to, UINT64_C(0x1234567890), 0x4d);
	/* A state that cannot be: it goes where it was asked to recover to. */
	assert_false(
		vfio_device_mig_set_state(from, (enum vfio_mig_state)99, VFIO_MIG_RUNNING, &error));
	assert_true(error.code < 0);
	go(from, VFIO_MIG_RUNNING);
	/* A device goes in the middle of it. */
	go(from, VFIO_MIG_STOP_COPY);
	go(to, VFIO_MIG_RESUMING);
	if (stage->backend->kind == VFIO_BACKEND_USER) {
		/* It would stay in the middle of it: a server keeps the state of its device. */
		go(from, VFIO_MIG_RUNNING);
		go(to, VFIO_MIG_RUNNING);
	}
	stage_detach(stage, 0);
	stage_detach(stage, 1);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_migration = {
	.name = "device-migration",
	.about = "the state of a device goes to a second one, which goes on from there",
	.run = run_migration,
	.model = "migrate",
};

static void run_migration_blocked(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 0);
	const char *reason = "";
	struct vfio_error error;

	stage_mark(stage);
	stage->ref.only_migratable = true;
	stage_attach(stage, 0);
	assert_int_equal(blockers_of(stage, VFIO_MODE_NORMAL, NULL), 0);
	stage_detach(stage, 0);
	options.unmigratable = true;
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	assert_int_equal(error.code, -EACCES);
	stage->ref.only_migratable = false;
	assert_true(stage_try_attach(stage, 0, stage->memory, &options, &error));
	assert_int_equal(blockers_of(stage, VFIO_MODE_NORMAL, &reason), 1);
	assert_non_null(strstr(reason, stage_name(0)));
	stage_detach(stage, 0);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_migration_blocked = {
	.name = "device-migration-blocked",
	.about = "a device that can be migrated blocks nothing, unless it is told to",
	.run = run_migration_blocked,
	.model = "migrate",
};
