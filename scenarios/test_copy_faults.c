/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA that the IOMMU does not let through, and DMA that is on its way while the driver changes its
 * mappings, resets, closes or dies. Every test compares all of the memory with what it must be.
 */
#include "copy_steps.h"

/* ---- faults ---- */

/* Registers and the kernel's view agree on the last fault. */
static void check_fault(struct test *t, uint64_t count, uint64_t iova, uint32_t info)
{
	struct vfake_device_faults faults = faults_of(&t->rig, "a");

	assert_int_equal(faults.count, count);
	assert_int_equal(faults.last_iova, iova);
	assert_int_equal(faults.last_write, !!(info & VFAKE_COPY_FAULT_WRITE));
	assert_int_equal(get32(&t->engine, VFAKE_COPY_FAULT_COUNT), count);
	assert_int_equal(get64(&t->engine, VFAKE_COPY_FAULT_IOVA), iova);
	assert_int_equal(get32(&t->engine, VFAKE_COPY_FAULT_INFO), info);
}

static void do_slot(struct test *t, uint32_t slot, struct desc desc)
{
	put(t, slot, desc);
	set32(&t->engine, VFAKE_COPY_DOORBELL, slot + 1);
	run_all(t);
}

static void an_access_outside_is_a_fault(void **state)
{
	const uint64_t outside = BASE + MEMORY_BYTES;
	struct desc desc;
	struct test t;

	(void)state;
	begin(&t);
	desc = copy_of(MEMORY_BYTES, DEST, 10);
	do_slot(&t, 0, desc);
	check_desc(&t, 0, VFAKE_COPY_DESC_READ_FAULT, 0);
	check_fault(&t, 1, outside, 0);
	desc = copy_of(SOURCE, MEMORY_BYTES, 10);
	do_slot(&t, 1, desc);
	check_desc(&t, 1, VFAKE_COPY_DESC_WRITE_FAULT, 0);
	check_fault(&t, 2, outside, VFAKE_COPY_FAULT_WRITE);
	/* What lies before the end arrives. */
	desc = copy_of(SOURCE, MEMORY_BYTES - 2 * PAGE, 3 * PAGE);
	memcpy(t.expected + MEMORY_BYTES - 2 * PAGE, t.expected + SOURCE, 2 * PAGE);
	do_slot(&t, 2, desc);
	check_desc(&t, 2, VFAKE_COPY_DESC_WRITE_FAULT, 2 * PAGE);
	check_fault(&t, 3, outside, VFAKE_COPY_FAULT_WRITE);
	/* The last page of all addresses. */
	desc = copy_of(SOURCE, 0, 64);
	desc.dest = UINT64_MAX - 31;
	do_slot(&t, 3, desc);
	check_desc(&t, 3, VFAKE_COPY_DESC_WRITE_FAULT, 0);
	check_fault(&t, 4, UINT64_MAX - 31, VFAKE_COPY_FAULT_WRITE);
	check_memory(&t);
	/* The ring goes on. */
	do_slot(&t, 4, copy_of(SOURCE + 9, DEST + 1, 77));
	memcpy(t.expected + DEST + 1, t.expected + SOURCE + 9, 77);
	check_desc(&t, 4, VFAKE_COPY_DESC_DONE, 77);
	check_memory(&t);
	end(&t);
}

static void permissions_hold(void **state)
{
	const uint64_t write_only = 2 * BASE, read_only = 3 * BASE;
	struct desc desc;
	struct test t;

	(void)state;
	begin(&t);
	assert_int_equal(
		map_dma(&t.engine, t.rig.memory + DEST, write_only, PAGE, VFIO_DMA_MAP_FLAG_WRITE),
		0);
	assert_int_equal(
		map_dma(&t.engine, t.rig.memory + DEST, read_only, PAGE, VFIO_DMA_MAP_FLAG_READ),
		0);
	desc = copy_of(0, DEST + PAGE, 100);
	desc.source = write_only + 7;
	do_slot(&t, 0, desc);
	check_desc(&t, 0, VFAKE_COPY_DESC_READ_FAULT, 0);
	check_fault(&t, 1, write_only + 7, 0);
	desc = copy_of(SOURCE, 0, 100);
	desc.dest = read_only + 9;
	do_slot(&t, 1, desc);
	check_desc(&t, 1, VFAKE_COPY_DESC_WRITE_FAULT, 0);
	check_fault(&t, 2, read_only + 9, VFAKE_COPY_FAULT_WRITE);
	check_memory(&t);
	/* Each is good for what it allows. */
	desc.source = read_only + 50;
	desc.dest = write_only + 10;
	desc.length = 30;
	do_slot(&t, 2, desc);
	memcpy(t.expected + DEST + 10, t.expected + DEST + 50, 30);
	check_desc(&t, 2, VFAKE_COPY_DESC_DONE, 30);
	check_memory(&t);
	end(&t);
}

static void nothing_arrives_after_an_unmap(void **state)
{
	struct test t;

	(void)state;
	begin(&t);
	copy_one(&t, SOURCE, DEST, 100);
	assert_int_equal(unmap_dma(&t.engine, BASE, MEMORY_BYTES, 0), 0);
	put(&t, 1, copy_of(SOURCE, DEST + 1000, 100));
	set32(&t.engine, VFAKE_COPY_DOORBELL, 2);
	assert_int_equal(run_all(&t), 1);
	check_fault(&t, 1, BASE + RING + VFAKE_COPY_DESC_BYTES, VFAKE_COPY_FAULT_RING);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_STATUS) >> VFAKE_COPY_STATUS_HALT_SHIFT,
			 VFAKE_COPY_HALT_FETCH);
	check_memory(&t);
	/* Mapped again, and started again: the same descriptor is done. */
	assert_int_equal(map_dma(&t.engine, t.rig.memory, BASE, MEMORY_BYTES, RW), 0);
	assert_int_equal(run_all(&t), 0);
	set32(&t.engine, VFAKE_COPY_CONTROL, 0);
	set32(&t.engine, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RUN);
	run_all(&t);
	memcpy(t.expected + DEST + 1000, t.expected + SOURCE, 100);
	check_desc(&t, 1, VFAKE_COPY_DESC_DONE, 100);
	check_memory(&t);
	end(&t);
}

/* The ring can be read but not written: the data arrives, its status does not. */
static void a_status_that_cannot_be_written_halts(void **state)
{
	const uint64_t ring = 2 * BASE;
	struct test t;

	(void)state;
	begin(&t);
	assert_int_equal(
		map_dma(&t.engine, t.rig.memory + RING, ring, PAGE, VFIO_DMA_MAP_FLAG_READ), 0);
	start_ring(&t.engine, ring, RING_SLOTS);
	do_slot(&t, 0, copy_of(SOURCE, DEST, 50));
	memcpy(t.expected + DEST, t.expected + SOURCE, 50);
	check_desc(&t, 0, VFAKE_COPY_DESC_OPEN, 0);
	check_memory(&t);
	check_fault(&t, 1, ring + VFAKE_COPY_DESC_STATUS,
		    VFAKE_COPY_FAULT_RING | VFAKE_COPY_FAULT_WRITE);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_STATUS) >> VFAKE_COPY_STATUS_HALT_SHIFT,
			 VFAKE_COPY_HALT_STATUS);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_CONSUMER), 0);
	end(&t);
}

static void without_bus_master_nothing_moves(void **state)
{
	struct test t;

	(void)state;
	begin(&t);
	put(&t, 0, copy_of(SOURCE, DEST, 3 * PAGE));
	set32(&t.engine, VFAKE_COPY_DOORBELL, 1);
	set_master(&t.engine, false);
	assert_int_equal(run_all(&t), 0);
	check_desc(&t, 0, VFAKE_COPY_DESC_OPEN, 0);
	check_memory(&t);
	set_master(&t.engine, true);
	assert_int_equal(vfake_tick(t.rig.kernel, 1), 1);
	set_master(&t.engine, false);
	assert_int_equal(run_all(&t), 0);
	memcpy(t.expected + DEST, t.expected + SOURCE, PAGE);
	check_memory(&t);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_STATUS),
			 VFAKE_COPY_STATUS_BUSY | VFAKE_COPY_STATUS_INFLIGHT);
	set_master(&t.engine, true);
	assert_int_equal(run_all(&t), 2);
	memcpy(t.expected + DEST, t.expected + SOURCE, 3 * PAGE);
	check_memory(&t);
	check_desc(&t, 0, VFAKE_COPY_DESC_DONE, 3 * PAGE);
	assert_int_equal(faults_of(&t.rig, "a").count, 0);
	end(&t);
}

/* ---- in flight ---- */

static void start_long_copy(struct test *t, uint64_t ticks)
{
	put(t, 0, copy_of(SOURCE, DEST, 8 * PAGE));
	set32(&t->engine, VFAKE_COPY_DOORBELL, 1);
	assert_int_equal(vfake_tick(t->rig.kernel, ticks), ticks);
	memcpy(t->expected + DEST, t->expected + SOURCE, ticks * PAGE);
	check_memory(t);
}

static void an_unmap_ends_a_transfer(void **state)
{
	struct test t;

	(void)state;
	begin(&t);
	assert_int_equal(unmap_dma(&t.engine, BASE, MEMORY_BYTES, 0), 0);
	assert_int_equal(map_dma(&t.engine, t.rig.memory, BASE, DEST, RW), 0);
	assert_int_equal(map_dma(&t.engine, t.rig.memory + DEST, BASE + DEST, 4 * PAGE, RW), 0);
	assert_int_equal(map_dma(&t.engine, t.rig.memory + DEST + 4 * PAGE, BASE + DEST + 4 * PAGE,
				 4 * PAGE, RW),
			 0);
	start_long_copy(&t, 3);
	assert_int_equal(unmap_dma(&t.engine, BASE + DEST + 4 * PAGE, 4 * PAGE, 0), 0);
	run_all(&t);
	memcpy(t.expected + DEST, t.expected + SOURCE, 4 * PAGE);
	check_memory(&t);
	check_desc(&t, 0, VFAKE_COPY_DESC_WRITE_FAULT, 4 * PAGE);
	check_fault(&t, 1, BASE + DEST + 4 * PAGE, VFAKE_COPY_FAULT_WRITE);
	end(&t);
}

/* A new process takes over the memory and the files while the transfer goes on; the old one dies.
 */
static void a_transfer_outlives_its_process(void **state)
{
	struct vfake_task *heir;
	vfake_addr memory;
	struct test t;
	int memfd;

	(void)state;
	begin(&t);
	start_long_copy(&t, 2);
	assert_int_equal(
		unmap_dma(&t.engine, 0, 0, VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL), 0);
	assert_int_equal(vfake_tick(t.rig.kernel, 1), 1);
	heir = new_task(t.rig.kernel);
	memfd = vfake_pass_fd(t.rig.task, t.rig.memfd, heir);
	t.engine.task = heir;
	t.engine.fd = vfake_pass_fd(t.rig.task, t.engine.fd, heir);
	t.engine.group = vfake_pass_fd(t.rig.task, t.engine.group, heir);
	t.engine.container = vfake_pass_fd(t.rig.task, t.engine.container, heir);
	vfake_task_exit(t.rig.task);
	t.rig.task = heir;
	t.rig.memory = memory = map_memfd(heir, memfd);
	assert_int_equal(vfake_tick(t.rig.kernel, 1), 1);
	assert_int_equal(map_dma(&t.engine, memory, BASE, MEMORY_BYTES, VFIO_DMA_MAP_FLAG_VADDR),
			 0);
	assert_int_equal(run_all(&t), 4);
	memcpy(t.expected + DEST, t.expected + SOURCE, 8 * PAGE);
	check_memory(&t);
	check_desc(&t, 0, VFAKE_COPY_DESC_DONE, 8 * PAGE);
	assert_int_equal(faults_of(&t.rig, "a").count, 0);
	end(&t);
}

static void a_reset_stops_a_transfer(void **state)
{
	struct test t;

	(void)state;
	begin(&t);
	start_long_copy(&t, 5);
	assert_int_equal(vfake_ioctl(t.rig.task, t.engine.fd, VFIO_DEVICE_RESET, 0), 0);
	assert_int_equal(run_all(&t), 0);
	check_memory(&t);
	check_desc(&t, 0, VFAKE_COPY_DESC_OPEN, 0);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_STATUS), 0);
	assert_int_equal(get64(&t.engine, VFAKE_COPY_BYTES), 0);
	/* And a soft reset. */
	start_ring(&t.engine, BASE + RING, RING_SLOTS);
	fill_all(&t);
	start_long_copy(&t, 1);
	set32(&t.engine, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RESET);
	assert_int_equal(run_all(&t), 0);
	check_memory(&t);
	end(&t);
}

static void a_close_stops_a_transfer(void **state)
{
	struct test t;

	(void)state;
	begin(&t);
	start_long_copy(&t, 4);
	close_engine(&t.engine);
	assert_ledger(&t.rig);
	assert_int_equal(run_all(&t), 0);
	check_memory(&t);
	t.engine = open_type1(&t.rig, "a");
	assert_int_equal(get32(&t.engine, VFAKE_COPY_STATUS), 0);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_CONTROL), 0);
	assert_int_equal(map_dma(&t.engine, t.rig.memory, BASE, MEMORY_BYTES, RW), 0);
	set_master(&t.engine, true);
	assert_int_equal(run_all(&t), 0);
	check_memory(&t);
	end(&t);
}

/* ---- two devices ---- */

/* The same IOVAs are other memory for the other device, and what it has not is a fault. */
static void devices_see_their_own_container(void **state)
{
	const uint64_t half = MEMORY_BYTES / 2;
	struct engine b;
	struct test t;

	(void)state;
	begin(&t);
	b = open_type1(&t.rig, "b");
	assert_int_equal(unmap_dma(&t.engine, BASE, MEMORY_BYTES, 0), 0);
	assert_int_equal(map_dma(&t.engine, t.rig.memory, BASE, half, RW), 0);
	assert_int_equal(map_dma(&b, t.rig.memory + half, BASE, half, RW), 0);
	start_ring(&b, BASE + RING, RING_SLOTS);
	put_desc(t.rig.task, t.rig.memory + RING, 0, copy_of(SOURCE, SOURCE + 9 * PAGE, 5000));
	put_desc(t.rig.task, t.rig.memory + RING, 1, copy_of(half, SOURCE, 50));
	put_desc(t.rig.task, t.rig.memory + half, 0, copy_of(SOURCE + 3, SOURCE + 12 * PAGE, 7000));
	put_desc(t.rig.task, t.rig.memory + half, 1, copy_of(SOURCE, half, 50));
	expect_now(&t);
	memcpy(t.expected + SOURCE + 9 * PAGE, t.expected + SOURCE, 5000);
	memcpy(t.expected + half + SOURCE + 12 * PAGE, t.expected + half + SOURCE + 3, 7000);
	for (uint32_t slot = 0; slot < 2; slot++) {
		bool ok = !slot;
		uint8_t *status =
			t.expected + half + slot * VFAKE_COPY_DESC_BYTES + VFAKE_COPY_DESC_STATUS;

		store(status, ok ? VFAKE_COPY_DESC_DONE : VFAKE_COPY_DESC_WRITE_FAULT, 4);
		store(status + 4, ok ? 7000 : 0, 4);
	}
	set32(&t.engine, VFAKE_COPY_DOORBELL, 2);
	set32(&b, VFAKE_COPY_DOORBELL, 2);
	/* 2 + 1 chunks of the one, 3 + 1 of the other, in turn */
	assert_int_equal(vfake_tick(t.rig.kernel, 2), 4);
	assert_int_equal(run_all(&t), 3);
	check_memory(&t);
	check_desc(&t, 0, VFAKE_COPY_DESC_DONE, 5000);
	check_desc(&t, 1, VFAKE_COPY_DESC_READ_FAULT, 0);
	check_fault(&t, 1, BASE + half, 0);
	assert_int_equal(faults_of(&t.rig, "b").count, 1);
	assert_int_equal(faults_of(&t.rig, "b").last_iova, BASE + half);
	assert_true(faults_of(&t.rig, "b").last_write);
	close_engine(&b);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_access_outside_is_a_fault),
		cmocka_unit_test(permissions_hold),
		cmocka_unit_test(nothing_arrives_after_an_unmap),
		cmocka_unit_test(a_status_that_cannot_be_written_halts),
		cmocka_unit_test(without_bus_master_nothing_moves),
		cmocka_unit_test(an_unmap_ends_a_transfer),
		cmocka_unit_test(a_transfer_outlives_its_process),
		cmocka_unit_test(a_reset_stops_a_transfer),
		cmocka_unit_test(a_close_stops_a_transfer),
		cmocka_unit_test(devices_see_their_own_container),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
