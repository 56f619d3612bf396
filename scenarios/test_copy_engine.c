/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that does DMA, seen from its driver: bytes arrive where the IOMMU says at that moment,
 * and nowhere else. Every test compares all of the memory with what it must be, byte by byte.
 */
#include "copy_steps.h"

/* ---- registers and BARs ---- */

static void registers_are_as_documented(void **state)
{
	struct test t;

	(void)state;
	begin(&t);
	assert_int_equal(vfake_ioctl(t.rig.task, t.engine.fd, VFIO_DEVICE_RESET, 0), 0);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_ID), VFAKE_COPY_ID_VALUE);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_VERSION), VFAKE_COPY_VERSION_VALUE);
	for (uint32_t reg = VFAKE_COPY_CONTROL; reg < VFAKE_COPY_BAR_BYTES; reg += 4)
		assert_int_equal(get32(&t.engine, reg),
				 reg == VFAKE_COPY_IRQ_MASK ? VFAKE_COPY_IRQ_ALL : 0);
	set64(&t.engine, VFAKE_COPY_SCRATCH, 0x8877665544332211);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(read_at(&t.engine, region(0, VFAKE_COPY_SCRATCH + i), 1),
				 0x11 * (i + 1));
	assert_int_equal(read_at(&t.engine, region(0, VFAKE_COPY_SCRATCH + 6), 2), 0x8877);
	write_at(&t.engine, region(0, VFAKE_COPY_SCRATCH), 0xff, 1);
	write_at(&t.engine, region(0, VFAKE_COPY_SCRATCH + 2), 0xffff, 2);
	assert_true(get64(&t.engine, VFAKE_COPY_SCRATCH) == 0x8877665544332211);
	set32(&t.engine, VFAKE_COPY_SCRATCH + 4, 0x01020304);
	assert_true(get64(&t.engine, VFAKE_COPY_SCRATCH) == 0x0102030444332211);
	set64(&t.engine, VFAKE_COPY_RING_BASE, UINT64_MAX);
	assert_true(get64(&t.engine, VFAKE_COPY_RING_BASE) == UINT64_MAX - 31);
	set32(&t.engine, VFAKE_COPY_CONTROL, UINT32_MAX & ~(uint32_t)VFAKE_COPY_CONTROL_RESET);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_CONTROL),
			 VFAKE_COPY_CONTROL_RUN | VFAKE_COPY_CONTROL_SYNC);
	set64(&t.engine, VFAKE_COPY_BYTES, 5);
	set32(&t.engine, VFAKE_COPY_FAULT_COUNT, 5);
	set32(&t.engine, VFAKE_COPY_CONSUMER, 5);
	assert_int_equal(get64(&t.engine, VFAKE_COPY_BYTES), 0);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_FAULT_COUNT), 0);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_CONSUMER), 0);
	set32(&t.engine, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RESET);
	assert_int_equal(get64(&t.engine, VFAKE_COPY_SCRATCH), 0);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_CONTROL), 0);
	end(&t);
}

static void only_plain_memory_can_be_mapped(void **state)
{
	struct test t;
	vfake_addr at;
	uint64_t value = 0;

	(void)state;
	begin(&t);
	for (uint32_t bar = 0; bar < 3; bar++) {
		struct vfio_region_info info = { .argsz = sizeof(info), .index = bar };
		bool memory = bar == VFAKE_COPY_BAR_MEMORY;
		int ret;

		assert_int_equal(call(t.rig.task, t.engine.fd, VFIO_DEVICE_GET_REGION_INFO, &info),
				 0);
		assert_int_equal(info.size, VFAKE_COPY_BAR_BYTES);
		assert_int_equal(!!(info.flags & VFIO_REGION_INFO_FLAG_MMAP), memory);
		ret = vfake_mmap(t.rig.task, PAGE, VFAKE_PROT_READ | VFAKE_PROT_WRITE, t.engine.fd,
				 info.offset, &at);
		assert_int_equal(ret, memory ? 0 : -EINVAL);
		if (!memory)
			continue;
		write_at(&t.engine, region(bar, 8), 0x123456789abcdef0, 8);
		assert_int_equal(vfake_peek(t.rig.task, at + 8, &value, 8), 0);
		assert_true(load(&value, 8) == 0x123456789abcdef0);
		assert_int_equal(read_at(&t.engine, region(bar, 9), 1), 0xde);
		assert_int_equal(vfake_ioctl(t.rig.task, t.engine.fd, VFIO_DEVICE_RESET, 0), 0);
		assert_int_equal(read_at(&t.engine, region(bar, 8), 8), 0);
		assert_int_equal(vfake_munmap(t.rig.task, at, PAGE), 0);
	}
	end(&t);
}

/* ---- copies ---- */

static const uint32_t lengths[] = { 0, 1, 7, 8, 4095, 4096, 4097, 3 * PAGE + 5 };
static const uint64_t source_offsets[] = { 0, 1, 31, 4095 };
static const uint64_t dest_offsets[] = { 0, 3, 2048, 4093 };

/* Every length from every place to every place. */
static void copy_all_shapes(struct test *t)
{
	uint64_t count = get64(&t->engine, VFAKE_COPY_COUNT);
	uint64_t done = 0;

	for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
		for (size_t s = 0; s < sizeof(source_offsets) / sizeof(source_offsets[0]); s++) {
			for (size_t d = 0; d < sizeof(dest_offsets) / sizeof(dest_offsets[0]);
			     d++) {
				copy_one(t, SOURCE + source_offsets[s], DEST + dest_offsets[d],
					 lengths[l]);
				done++;
			}
		}
	}
	assert_int_equal(get64(&t->engine, VFAKE_COPY_COUNT), count + done);
	assert_int_equal(get32(&t->engine, VFAKE_COPY_FAULT_COUNT), 0);
}

static void copies_through_type1(void **state)
{
	struct test t;

	(void)state;
	begin(&t);
	copy_all_shapes(&t);
	end(&t);
}

static void copies_through_an_ioas_and_an_hwpt(void **state)
{
	struct test t = { 0 };
	uint32_t ioas, hwpt;
	int iommufd;

	(void)state;
	rig_start(&t.rig, "copy");
	iommufd = vfake_open(t.rig.task, "/dev/iommu");
	t.engine = open_cdev(&t.rig, "a", iommufd);
	ioas = new_ioas(&t.rig, iommufd);
	map_ioas(&t.rig, iommufd, ioas, t.rig.memory, BASE, MEMORY_BYTES, true);
	fill_all(&t);
	attach(&t.engine, ioas);
	start_ring(&t.engine, BASE + RING, RING_SLOTS);
	copy_all_shapes(&t);
	hwpt = new_hwpt(&t.engine, ioas, 0);
	attach(&t.engine, hwpt); /* replaces the one that the IOAS gave */
	fill_all(&t);
	copy_all_shapes(&t);
	detach(&t.engine);
	put(&t, get32(&t.engine, VFAKE_COPY_CONSUMER), copy_of(SOURCE, DEST, 1));
	set32(&t.engine, VFAKE_COPY_DOORBELL,
	      (get32(&t.engine, VFAKE_COPY_CONSUMER) + 1) % RING_SLOTS);
	run_all(&t);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_STATUS) >> VFAKE_COPY_STATUS_HALT_SHIFT,
			 VFAKE_COPY_HALT_FETCH);
	check_memory(&t);
	destroy(&t.engine, hwpt);
	close_engine(&t.engine);
	assert_int_equal(vfake_close(t.rig.task, iommufd), 0);
	free(t.expected);
	rig_end(&t.rig);
}

static void fills_with_a_pattern(void **state)
{
	const uint64_t value = 0x0123456789abcdef;
	struct test t;

	(void)state;
	begin(&t);
	for (uint32_t length = 0; length < 2 * PAGE; length += 1231) {
		put(&t, 0,
		    (struct desc){ .source = value,
				   .dest = BASE + DEST + 5,
				   .length = length,
				   .flags = VFAKE_COPY_FLAG_FILL });
		for (uint32_t i = 0; i < length; i++)
			t.expected[DEST + 5 + i] = (uint8_t)(value >> 8 * (i % 8));
		set32(&t.engine, VFAKE_COPY_RING_SIZE, RING_SLOTS);
		set32(&t.engine, VFAKE_COPY_DOORBELL, 1);
		run_all(&t);
		check_desc(&t, 0, VFAKE_COPY_DESC_DONE, length);
		check_memory(&t);
	}
	end(&t);
}

/* A ring goes around, one slot always free; a descriptor that makes no sense moves nothing. */
static void a_ring_goes_around(void **state)
{
	struct test t;

	(void)state;
	begin(&t);
	for (uint32_t round = 0, slot = 0; round < 5; round++) {
		for (uint32_t i = 0; i < RING_SLOTS - 1; i++) {
			uint32_t at = (slot + i) % RING_SLOTS;
			struct desc desc = copy_of(SOURCE + i * 100U + round, DEST + i * 128U, 90);

			if (i == 3)
				desc.flags = 1U << (2 + round);
			else if (i == 5)
				desc.length = VFAKE_COPY_LENGTH_MAX + 1;
			else
				memcpy(t.expected + DEST + i * 128U,
				       t.expected + SOURCE + i * 100U + round, 90);
			put(&t, at, desc);
		}
		set32(&t.engine, VFAKE_COPY_DOORBELL, (slot + RING_SLOTS - 1) % RING_SLOTS);
		assert_int_equal(run_all(&t), RING_SLOTS - 1);
		for (uint32_t i = 0; i < RING_SLOTS - 1; i++) {
			bool bad = i == 3 || i == 5;

			check_desc(&t, (slot + i) % RING_SLOTS,
				   bad ? VFAKE_COPY_DESC_BAD : VFAKE_COPY_DESC_DONE, bad ? 0 : 90);
		}
		check_memory(&t);
		slot = (slot + RING_SLOTS - 1) % RING_SLOTS;
	}
	end(&t);
}

static void a_wrong_ring_halts(void **state)
{
	struct test t;
	const uint32_t sizes[] = { 0, 1, VFAKE_COPY_RING_MAX + 1, UINT32_MAX };

	(void)state;
	begin(&t);
	set32(&t.engine, VFAKE_COPY_IRQ_MASK, 0);
	for (size_t i = 0; i < 4; i++) {
		set32(&t.engine, VFAKE_COPY_RING_SIZE, sizes[i]);
		set32(&t.engine, VFAKE_COPY_PRODUCER, 1);
		assert_int_equal(run_all(&t), 1);
		assert_int_equal(get32(&t.engine, VFAKE_COPY_STATUS),
				 VFAKE_COPY_STATUS_BUSY | VFAKE_COPY_STATUS_HALTED |
					 VFAKE_COPY_HALT_RING << VFAKE_COPY_STATUS_HALT_SHIFT);
		assert_int_equal(get32(&t.engine, VFAKE_COPY_IRQ_STATUS), VFAKE_COPY_IRQ_HALT);
		set32(&t.engine, VFAKE_COPY_IRQ_STATUS, VFAKE_COPY_IRQ_HALT);
		assert_int_equal(get32(&t.engine, VFAKE_COPY_IRQ_STATUS), 0);
		set32(&t.engine, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RUN);
		assert_true(get32(&t.engine, VFAKE_COPY_STATUS) & VFAKE_COPY_STATUS_HALTED);
		set32(&t.engine, VFAKE_COPY_CONTROL, 0);
		set32(&t.engine, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RUN);
		assert_false(get32(&t.engine, VFAKE_COPY_STATUS) & VFAKE_COPY_STATUS_HALTED);
	}
	set32(&t.engine, VFAKE_COPY_RING_SIZE, RING_SLOTS);
	set32(&t.engine, VFAKE_COPY_PRODUCER, RING_SLOTS);
	assert_int_equal(run_all(&t), 1);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_STATUS) >> VFAKE_COPY_STATUS_HALT_SHIFT,
			 VFAKE_COPY_HALT_RING);
	assert_int_equal(faults_of(&t.rig, "a").count, 0);
	end(&t);
}

/* ---- interrupts ---- */

static void check_signals(struct test *t, const int32_t *fds, const uint64_t *counts)
{
	for (uint32_t i = 0; i < VFAKE_COPY_VECTORS; i++)
		assert_int_equal(take_signals(t->rig.task, fds[i]), counts[i]);
}

/* Three descriptors with interrupt, one without, two that fault, then a ring that is gone. */
static void make_events(struct test *t)
{
	set32(&t->engine, VFAKE_COPY_CONTROL, 0);
	set32(&t->engine, VFAKE_COPY_RING_SIZE, RING_SLOTS);
	set32(&t->engine, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RUN);
	for (uint32_t i = 0; i < 6; i++) {
		struct desc desc = copy_of(SOURCE, i < 4 ? DEST : MEMORY_BYTES, 8);

		desc.flags = i != 2 && i != 4 ? VFAKE_COPY_FLAG_IRQ : 0;
		put(t, i, desc);
	}
	set32(&t->engine, VFAKE_COPY_DOORBELL, 6);
	run_all(t);
	set32(&t->engine, VFAKE_COPY_DOORBELL, RING_SLOTS);
	run_all(t);
}

static void messages_are_counted(void **state)
{
	static const uint64_t all[] = { 4, 2, 1, 0 }, none[4], held[] = { 0, 1, 0, 0 };
	static const uint64_t folded[] = { 7, 0, 0, 0 };
	int32_t fds[VFAKE_COPY_VECTORS];
	struct test t;

	(void)state;
	begin(&t);
	for (uint32_t i = 0; i < VFAKE_COPY_VECTORS; i++)
		fds[i] = vfake_eventfd(t.rig.task);
	for (uint32_t index = VFIO_PCI_MSI_IRQ_INDEX; index <= VFIO_PCI_MSIX_IRQ_INDEX; index++) {
		assert_int_equal(set_irqs(&t.engine, index, fds, VFAKE_COPY_VECTORS), 0);
		set32(&t.engine, VFAKE_COPY_IRQ_MASK, 0);
		make_events(&t);
		check_signals(&t, fds, all);
		assert_int_equal(get32(&t.engine, VFAKE_COPY_IRQ_STATUS), VFAKE_COPY_IRQ_ALL);
		/* Masked ones come once, when the mask goes, but not what was acknowledged. */
		set32(&t.engine, VFAKE_COPY_IRQ_STATUS, VFAKE_COPY_IRQ_ALL);
		set32(&t.engine, VFAKE_COPY_IRQ_MASK, VFAKE_COPY_IRQ_ALL);
		make_events(&t);
		check_signals(&t, fds, none);
		set32(&t.engine, VFAKE_COPY_IRQ_STATUS, VFAKE_COPY_IRQ_DONE);
		set32(&t.engine, VFAKE_COPY_IRQ_MASK, VFAKE_COPY_IRQ_HALT);
		check_signals(&t, fds, held);
		set32(&t.engine, VFAKE_COPY_IRQ_MASK, 0);
		assert_int_equal(take_signals(t.rig.task, fds[2]), 1);
		assert_int_equal(set_irqs(&t.engine, index, NULL, 0), 0);
	}
	assert_int_equal(set_irqs(&t.engine, VFIO_PCI_MSI_IRQ_INDEX, fds, 1), 0);
	make_events(&t);
	check_signals(&t, fds, folded);
	assert_int_equal(set_irqs(&t.engine, VFIO_PCI_MSI_IRQ_INDEX, NULL, 0), 0);
	make_events(&t);
	check_signals(&t, fds, none);
	for (uint32_t i = 0; i < VFAKE_COPY_VECTORS; i++)
		assert_int_equal(vfake_close(t.rig.task, fds[i]), 0);
	end(&t);
}

/* A doorbell runs the ring; the interrupt of each descriptor rings the doorbell for the rest. */
static void a_doorbell_runs_the_ring(void **state)
{
	struct vfio_device_ioeventfd io = { .argsz = sizeof(io),
					    .flags = VFIO_DEVICE_IOEVENTFD_32 };
	struct test t;
	int32_t fd;

	(void)state;
	begin(&t);
	fd = vfake_eventfd(t.rig.task);
	io.fd = fd;
	io.offset = region(0, VFAKE_COPY_DOORBELL);
	io.data = 4;
	assert_int_equal(set_irqs(&t.engine, VFIO_PCI_MSI_IRQ_INDEX, &fd, 1), 0);
	assert_int_equal(call(t.rig.task, t.engine.fd, VFIO_DEVICE_IOEVENTFD, &io), 0);
	set32(&t.engine, VFAKE_COPY_IRQ_MASK, 0);
	for (uint32_t i = 0; i < 5; i++) {
		struct desc desc = copy_of(SOURCE + i * PAGE, DEST + i * PAGE, PAGE);

		desc.flags = VFAKE_COPY_FLAG_IRQ;
		put(&t, i, desc);
	}
	set32(&t.engine, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RUN | VFAKE_COPY_CONTROL_SYNC);
	set32(&t.engine, VFAKE_COPY_DOORBELL, 1);
	memcpy(t.expected + DEST, t.expected + SOURCE, 4 * PAGE);
	check_memory(&t);
	assert_int_equal(get32(&t.engine, VFAKE_COPY_CONSUMER), 4);
	check_desc(&t, 3, VFAKE_COPY_DESC_DONE, PAGE);
	check_desc(&t, 4, VFAKE_COPY_DESC_OPEN, 0);
	assert_int_equal(run_all(&t), 0);
	assert_int_equal(vfake_close(t.rig.task, fd), 0);
	end(&t);
}

/* ---- dirty pages ---- */

static void read_dirty(struct test *t, uint32_t hwpt, uint32_t flags, uint64_t *bitmap)
{
	struct iommu_hwpt_get_dirty_bitmap arg = { .size = sizeof(arg),
						   .hwpt_id = hwpt,
						   .flags = flags,
						   .iova = BASE,
						   .length = MEMORY_BYTES,
						   .page_size = PAGE,
						   .data = addr(bitmap) };

	*bitmap = 0;
	assert_int_equal(call(t->rig.task, t->engine.iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP, &arg),
			 0);
}

static void dirty_tracking(struct test *t, uint32_t hwpt, bool on)
{
	struct iommu_hwpt_set_dirty_tracking arg = {
		.size = sizeof(arg),
		.flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0U,
		.hwpt_id = hwpt,
	};

	assert_int_equal(call(t->rig.task, t->engine.iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, &arg),
			 0);
}

/* The pages that a write of @length bytes touches, and the ring's, whose status is written too. */
static uint64_t touched(uint64_t dest, uint32_t length)
{
	uint64_t bits = 1;

	for (uint64_t i = 0; i < length; i++)
		bits |= (uint64_t)1 << (dest + i) / PAGE;
	return bits;
}

static void an_iommu_tracks_what_dma_dirties(void **state)
{
	struct test t = { 0 };
	uint32_t ioas, hwpt;
	uint64_t bitmap, random = 7;
	int iommufd;

	(void)state;
	rig_start(&t.rig, "copy");
	iommufd = vfake_open(t.rig.task, "/dev/iommu");
	t.engine = open_cdev(&t.rig, "a", iommufd);
	ioas = new_ioas(&t.rig, iommufd);
	map_ioas(&t.rig, iommufd, ioas, t.rig.memory, BASE, MEMORY_BYTES, true);
	fill_all(&t);
	hwpt = new_hwpt(&t.engine, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
	attach(&t.engine, hwpt);
	start_ring(&t.engine, BASE + RING, RING_SLOTS);
	copy_one(&t, SOURCE, DEST, 100); /* before tracking: not seen */
	dirty_tracking(&t, hwpt, true);
	read_dirty(&t, hwpt, 0, &bitmap);
	assert_true(bitmap == 0);
	for (uint32_t round = 0; round < 50; round++) {
		uint64_t truth = 0;

		for (uint32_t i = 0; i < 3; i++) {
			uint64_t dest;
			uint32_t length;

			random = random * 6364136223846793005 + 1442695040888963407;
			dest = DEST + (random >> 33) % (14 * PAGE);
			length = (uint32_t)(random >> 20) % (2 * PAGE);
			copy_one(&t, SOURCE, dest, length);
			truth |= touched(dest, length);
		}
		read_dirty(&t, hwpt, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, &bitmap);
		assert_true(bitmap == truth);
		read_dirty(&t, hwpt, 0, &bitmap);
		assert_true(bitmap == truth);
		read_dirty(&t, hwpt, 0, &bitmap);
		assert_true(bitmap == 0);
	}
	dirty_tracking(&t, hwpt, false);
	copy_one(&t, SOURCE, DEST, 100);
	dirty_tracking(&t, hwpt, true);
	read_dirty(&t, hwpt, 0, &bitmap);
	assert_true(bitmap == 0);
	detach(&t.engine);
	destroy(&t.engine, hwpt);
	close_engine(&t.engine);
	assert_int_equal(vfake_close(t.rig.task, iommufd), 0);
	free(t.expected);
	rig_end(&t.rig);
}

static void other_models_have_no_faults_to_show(void **state)
{
	struct vfake_world *world = new_world("edu");
	struct vfake_kernel *kernel = vfake_kernel_new(world, NULL);
	struct vfake_device_faults faults;

	(void)state;
	free(world);
	assert_int_equal(vfake_device_faults(kernel, "a", &faults), -EOPNOTSUPP);
	assert_int_equal(vfake_device_faults(kernel, "c", &faults), -ENOENT);
	assert_int_equal(vfake_tick(kernel, UINT64_MAX), 0);
	vfake_kernel_free(kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_are_as_documented),
		cmocka_unit_test(only_plain_memory_can_be_mapped),
		cmocka_unit_test(copies_through_type1),
		cmocka_unit_test(copies_through_an_ioas_and_an_hwpt),
		cmocka_unit_test(fills_with_a_pattern),
		cmocka_unit_test(a_ring_goes_around),
		cmocka_unit_test(a_wrong_ring_halts),
		cmocka_unit_test(messages_are_counted),
		cmocka_unit_test(a_doorbell_runs_the_ring),
		cmocka_unit_test(an_iommu_tracks_what_dma_dirties),
		cmocka_unit_test(other_models_have_no_faults_to_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
