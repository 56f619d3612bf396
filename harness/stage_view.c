/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stories ask of the kernel and of devices: what is reached, and DMA by the copy engine.
 */
#include <endian.h>
#include <string.h>

#include <uapi/vfio.h>
#include <vfake/models.h>

#include "stage_internal.h"

struct vfake_device_view stage_view(const struct stage *stage, unsigned int index)
{
	struct vfake_device_view view;

	stage_user_settle(stage);
	assert_int_equal(vfake_view_device(stage->kernel, stage_name(index), &view), 0);
	stage_user_view(stage, index, &view);
	return view;
}

bool stage_reaches(const struct stage *stage, unsigned int index, uint64_t iova)
{
	struct vfake_target_view target;

	return !vfake_view_translate(stage->kernel, stage_name(index), stage->task, iova, &target);
}

void stage_expect_reach(const struct stage *stage, unsigned int index, uint64_t iova, uint64_t size,
			const void *host, bool writable)
{
	uint64_t vaddr = (uint64_t)(uintptr_t)host;

	for (uint64_t done = 0; done < size;) {
		struct vfake_target_view target;

		if (vfake_view_translate(stage->kernel, stage_name(index), stage->task, iova + done,
					 &target))
			fail_msg("%s does not reach 0x%llx", stage_name(index),
				 (unsigned long long)(iova + done));
		if (target.vaddr != vaddr + done)
			fail_msg("%s reaches other memory at 0x%llx", stage_name(index),
				 (unsigned long long)(iova + done));
		assert_true(target.readable);
		assert_int_equal(target.writable, writable);
		done = target.len < size - done ? done + target.len : size;
	}
}

void stage_expect_fault(const struct stage *stage, unsigned int index, uint64_t iova, uint64_t size)
{
	uint64_t step = stage->backend->page;

	for (uint64_t done = 0; done < size; done += step) {
		if (stage_reaches(stage, index, iova + done))
			fail_msg("%s reaches 0x%llx", stage_name(index),
				 (unsigned long long)(iova + done));
	}
	if (size && stage_reaches(stage, index, iova + (size - 1)))
		fail_msg("%s reaches 0x%llx", stage_name(index),
			 (unsigned long long)(iova + (size - 1)));
}

/* ---- the copy engine ---- */

static void check(bool good, const struct vfio_error *error)
{
	if (!good)
		fail_msg("%s (%d)", error->message, error->code);
}

static void set_register(const struct stage_engine *engine, uint32_t at, uint32_t value)
{
	struct vfio_device *device = engine->stage->devices[engine->device];
	struct vfio_error error = { 0 };

	value = htole32(value);
	check(vfio_device_write(device, VFAKE_COPY_BAR_REGS, at, &value, sizeof(value), &error),
	      &error);
}

static uint32_t get_register(const struct stage_engine *engine, uint32_t at)
{
	struct vfio_device *device = engine->stage->devices[engine->device];
	struct vfio_error error = { 0 };
	uint32_t value = 0;

	check(vfio_device_read(device, VFAKE_COPY_BAR_REGS, at, &value, sizeof(value), &error),
	      &error);
	return le32toh(value);
}

/* Memory space and bus master: a device that is not master does no DMA. */
static void become_master(const struct stage_engine *engine)
{
	struct vfio_device *device = engine->stage->devices[engine->device];
	struct vfio_error error = { 0 };
	uint16_t command = htole16(6);

	check(vfio_device_write(device, VFIO_PCI_CONFIG_REGION_INDEX, 4, &command, sizeof(command),
				&error),
	      &error);
}

static void put32(uint8_t *to, uint32_t value)
{
	value = htole32(value);
	memcpy(to, &value, sizeof(value));
}

static void put64(uint8_t *to, uint64_t value)
{
	value = htole64(value);
	memcpy(to, &value, sizeof(value));
}

/*
 * Lets the engine do what it has to. One behind a server may have to ask for memory, and is
 * answered while the stack waits for something else.
 */
static void let_work(const struct stage_engine *engine)
{
	if (engine->stage->backend->kind != VFIO_BACKEND_USER) {
		vfake_tick(engine->stage->kernel, UINT64_MAX);
		return;
	}
	for (int tick = 0; tick < 100000; tick++) {
		uint32_t status = get_register(engine, VFAKE_COPY_STATUS);

		if (!(status & VFAKE_COPY_STATUS_BUSY) || (status & VFAKE_COPY_STATUS_HALTED))
			return;
		vfake_tick(engine->stage->kernel, 1);
	}
	fail_msg("the engine of %s does not come to an end", stage_name(engine->device));
}

/* One descriptor in a fresh ring. */
static int run(const struct stage_engine *engine, uint64_t source, uint64_t to, uint32_t size,
	       uint32_t flags)
{
	uint32_t status;

	put64(engine->host + VFAKE_COPY_DESC_SOURCE, source);
	put64(engine->host + VFAKE_COPY_DESC_DEST, to);
	put32(engine->host + VFAKE_COPY_DESC_LENGTH, size);
	put32(engine->host + VFAKE_COPY_DESC_FLAGS, flags);
	put32(engine->host + VFAKE_COPY_DESC_STATUS, VFAKE_COPY_DESC_OPEN);
	become_master(engine);
	set_register(engine, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RESET);
	set_register(engine, VFAKE_COPY_RING_BASE, (uint32_t)engine->iova);
	set_register(engine, VFAKE_COPY_RING_BASE + 4, (uint32_t)(engine->iova >> 32));
	set_register(engine, VFAKE_COPY_RING_SIZE, VFAKE_COPY_RING_MIN);
	set_register(engine, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RUN);
	set_register(engine, VFAKE_COPY_DOORBELL, 1);
	let_work(engine);
	if (get_register(engine, VFAKE_COPY_STATUS) & VFAKE_COPY_STATUS_HALTED)
		return STAGE_DMA_RING_FAULT;
	memcpy(&status, engine->host + VFAKE_COPY_DESC_STATUS, sizeof(status));
	return (int)le32toh(status);
}

int stage_copy(const struct stage_engine *engine, uint64_t from, uint64_t to, uint32_t size)
{
	return run(engine, from, to, size, 0);
}

int stage_fill(const struct stage_engine *engine, uint64_t pattern, uint64_t to, uint32_t size)
{
	return run(engine, pattern, to, size, VFAKE_COPY_FLAG_FILL);
}
