/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices at the edges of what a kernel may answer: the first and last byte of a region, rights
 * that a region has or has not, the largest number of anything, calls that fail half-way, and what
 * exactly is asked of the kernel for an interrupt.
 */
#include "backend_rig.h"

#include <sys/mman.h>

enum {
	BAR0 = VFIO_PCI_BAR0_REGION_INDEX,
	CONFIG = VFIO_PCI_CONFIG_REGION_INDEX,
	CONFIG_SIZE = 256,
	BAR_SIZE = 1 << 20,
	AREAS = 16, /* of a region, at most */
};

/* ---- what a region may do ---- */

/* What the kernel says of BAR 0. */
static struct vfio_region_info bar;

static void shape_bar(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_region_info *info = arg;

	(void)rig;
	if (request != VFIO_DEVICE_GET_REGION_INFO || *ret || info->index != BAR0)
		return;
	info->flags = bar.flags;
	info->size = bar.size;
	info->cap_offset = 0;
}

static struct vfio_region shaped(struct backend_rig *rig, uint32_t flags, uint64_t size)
{
	struct vfio_device *device = rig_attach(rig, "d0");
	struct vfio_region region;

	bar = (struct vfio_region_info){ .flags = flags, .size = size };
	rig->after = shape_bar;
	assert_true(vfio_device_region(device, BAR0, &region, NULL));
	rig->after = NULL;
	vfio_device_detach(device);
	return region;
}

static void each_right_is_its_own(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_region region;

	rig_start(rig);
	for (uint32_t flags = 0; flags < 8; flags++) {
		region = shaped(rig, flags, BAR_SIZE);
		assert_int_equal(region.readable, !!(flags & VFIO_REGION_INFO_FLAG_READ));
		assert_int_equal(region.writable, !!(flags & VFIO_REGION_INFO_FLAG_WRITE));
		assert_int_equal(region.mappable, !!(flags & VFIO_REGION_INFO_FLAG_MMAP));
		assert_int_equal(region.area_count, !!(flags & VFIO_REGION_INFO_FLAG_MMAP));
		assert_int_equal(region.areas[0].offset, 0);
		assert_int_equal(region.areas[0].size, region.mappable ? BAR_SIZE : 0);
	}
	/* What has no bytes cannot be mapped, whatever is said of it. */
	region = shaped(rig, VFIO_REGION_INFO_FLAG_MMAP, 0);
	assert_false(region.mappable);
	assert_int_equal(region.area_count, 0);
}

static void areas_have_the_regions_rights(void **state)
{
	static const struct {
		uint32_t flags;
		int prot;
	} rows[] = {
		{ VFIO_REGION_INFO_FLAG_READ, PROT_READ },
		{ VFIO_REGION_INFO_FLAG_WRITE, PROT_WRITE },
		{ VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
		  PROT_READ | PROT_WRITE },
	};
	struct backend_rig *rig = *state;
	uint64_t address;

	rig_start(rig);
	for (int i = 0; i < 3; i++) {
		struct vfio_device *device = rig_attach(rig, "d0");

		bar.flags = rows[i].flags | VFIO_REGION_INFO_FLAG_MMAP;
		bar.size = BAR_SIZE;
		rig->after = shape_bar;
		assert_true(vfio_device_map_area(device, BAR0, 0, &address, NULL));
		rig->after = NULL;
		assert_int_equal(rig->map_prot, rows[i].prot);
		vfio_device_detach(device); /* takes the map along */
		assert_int_equal(rig->maps, 0);
	}
}

static void a_map_that_fails_leaves_nothing(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;
	uint64_t one, two;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	rig->map_code = -EAGAIN;
	assert_false(vfio_device_map_area(device, BAR0, 0, &one, &error));
	assert_int_equal(error.code, -EAGAIN);
	rig->map_code = 0;
	rig->calls = 0;
	rig->fail_at = 1;
	assert_false(vfio_device_map_area(device, BAR0, 0, &one, &error));
	assert_int_equal(error.code, -ENOMEM);
	rig->fail_at = 0;
	assert_false(vfio_device_map_area(device, 1000, 0, &one, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_false(vfio_device_map_area(device, BAR0, 1, &one, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_int_equal(rig->maps, 0);
	/* Of two maps the one that is named goes. */
	assert_true(vfio_device_map_area(device, BAR0, 0, &one, &error));
	assert_true(vfio_device_map_area(device, BAR0, 0, &two, &error));
	vfio_device_unmap_area(device, one);
	vfio_device_unmap_area(device, one);
	assert_int_equal(rig->maps, 1);
	vfio_device_unmap_area(device, two);
	assert_int_equal(rig->maps, 0);
}

/* ---- chains, byte by byte ---- */

static struct {
	uint8_t bytes[512];
	uint32_t used;
} tail;

static void give_tail(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_region_info *info = arg;
	uint32_t bytes = (uint32_t)sizeof(*info) + tail.used;

	(void)rig;
	if (request != VFIO_DEVICE_GET_REGION_INFO || *ret || info->index != BAR0)
		return;
	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	info->size = BAR_SIZE;
	if (info->argsz < bytes) {
		info->argsz = bytes;
		info->cap_offset = 0;
		return;
	}
	info->cap_offset = sizeof(*info);
	memcpy(info + 1, tail.bytes, tail.used);
}

/* A chain of one list of areas, @cut bytes short. Returns what asking for the region says. */
static int ask_areas(struct backend_rig *rig, const struct vfio_region_sparse_mmap_area *areas,
		     uint32_t count, uint32_t cut, struct vfio_region *region)
{
	struct vfio_region_info_cap_sparse_mmap cap = {
		.header = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 },
		.nr_areas = count
	};
	struct vfio_device *device = rig_attach(rig, "d0");
	struct vfio_error error = { 0 };

	tail.used = (uint32_t)(sizeof(cap) + count * sizeof(*areas)) - cut;
	memcpy(tail.bytes, &cap, sizeof(cap));
	memcpy(tail.bytes + sizeof(cap), areas, count * sizeof(*areas));
	rig->after = give_tail;
	vfio_device_region(device, BAR0, region, &error);
	rig->after = NULL;
	vfio_device_detach(device);
	return error.code;
}

static void areas_to_the_last_byte(void **state)
{
	struct vfio_region_sparse_mmap_area areas[AREAS + 1];
	struct backend_rig *rig = *state;
	struct vfio_region region;

	rig_start(rig);
	for (uint32_t i = 0; i <= AREAS; i++)
		areas[i] = (struct vfio_region_sparse_mmap_area){ i * 0x2000, 0x1000 };
	assert_int_equal(ask_areas(rig, areas, AREAS, 0, &region), 0);
	assert_int_equal(region.area_count, AREAS);
	assert_int_equal(region.areas[AREAS - 1].offset, (AREAS - 1) * 0x2000);
	assert_int_equal(ask_areas(rig, areas, AREAS + 1, 0, &region), -E2BIG);
	assert_int_equal(ask_areas(rig, areas, 2, 8, &region), -E2BIG);
	areas[0] = (struct vfio_region_sparse_mmap_area){ 0, BAR_SIZE };
	areas[1] = (struct vfio_region_sparse_mmap_area){ BAR_SIZE - 1, 1 };
	assert_int_equal(ask_areas(rig, areas, 2, 0, &region), 0);
	assert_int_equal(region.areas[0].size, BAR_SIZE);
	areas[1].size = 2;
	assert_int_equal(ask_areas(rig, areas, 2, 0, &region), -ERANGE);
	areas[1] = (struct vfio_region_sparse_mmap_area){ BAR_SIZE, 1 };
	assert_int_equal(ask_areas(rig, areas, 2, 0, &region), -ERANGE);
	areas[1] = (struct vfio_region_sparse_mmap_area){ 2 * BAR_SIZE, 1 };
	assert_int_equal(ask_areas(rig, areas, 2, 0, &region), -ERANGE);
	/* No areas at all: nothing of it can be mapped. */
	assert_int_equal(ask_areas(rig, areas, 0, 0, &region), 0);
	assert_int_equal(region.area_count, 0);
}

/* A chain of one type, @cut bytes short, or with another id. */
static struct vfio_region ask_type(struct backend_rig *rig, uint16_t id, uint32_t cut)
{
	const struct vfio_region_info_cap_type cap = { .header = { .id = id, .version = 1 },
						       .type = 7,
						       .subtype = 8 };
	struct vfio_device *device = rig_attach(rig, "d0");
	struct vfio_region region;

	memset(&tail, 0, sizeof(tail));
	memcpy(tail.bytes, &cap, sizeof(cap));
	tail.used = (uint32_t)sizeof(cap) - cut;
	rig->after = give_tail;
	assert_true(vfio_device_region(device, BAR0, &region, NULL));
	rig->after = NULL;
	vfio_device_detach(device);
	return region;
}

/* What comes behind something wrong does not make it good. */
static void wrong_first(void **state)
{
	const struct vfio_region_info_cap_sparse_mmap sparse = {
		.header = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP,
			    .version = 1,
			    .next = sizeof(struct vfio_region_info) + sizeof(sparse) +
				    sizeof(struct vfio_region_sparse_mmap_area) },
		.nr_areas = 1
	};
	const struct vfio_region_sparse_mmap_area area = { .offset = 0, .size = 0 };
	const struct vfio_region_info_cap_type type = {
		.header = { .id = VFIO_REGION_INFO_CAP_TYPE, .version = 1 }, .type = 7
	};
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_region region;
	struct vfio_error error;

	memcpy(tail.bytes, &sparse, sizeof(sparse));
	memcpy(tail.bytes + sizeof(sparse), &area, sizeof(area));
	memcpy(tail.bytes + sizeof(sparse) + sizeof(area), &type, sizeof(type));
	tail.used = sizeof(sparse) + sizeof(area) + sizeof(type);
	rig_start(rig);
	device = rig_attach(rig, "d0");
	rig->after = give_tail;
	assert_false(vfio_device_region(device, BAR0, &region, &error));
	assert_int_equal(error.code, -ERANGE);
	rig->after = NULL;
}

static void types_are_whole_or_not_there(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_region region;

	rig_start(rig);
	region = ask_type(rig, VFIO_REGION_INFO_CAP_TYPE, 0);
	assert_int_equal(region.type, 7);
	assert_int_equal(region.subtype, 8);
	assert_int_equal(ask_type(rig, VFIO_REGION_INFO_CAP_TYPE, 1).type, 0);
	assert_int_equal(ask_type(rig, 0x7777, 0).type, 0);
	/* Too short for a list of areas: as if it were not there. */
	assert_int_equal(ask_type(rig, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 4).area_count, 1);
	/* Both halves of a type count. */
	region = ask_type(rig, VFIO_REGION_INFO_CAP_TYPE, 0);
	device = rig_attach(rig, "d0");
	rig->after = give_tail;
	tail.used = sizeof(struct vfio_region_info_cap_type);
	assert_true(vfio_device_region_by_type(device, 7, 8, &region, NULL));
	assert_false(vfio_device_region_by_type(device, 7, 9, &region, NULL));
	assert_false(vfio_device_region_by_type(device, 6, 8, &region, NULL));
	rig->after = NULL;
	vfio_device_detach(device);
}

/* ---- bytes ---- */

static void bytes_to_the_end_of_a_region(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_error error;
	struct vfio_device *device;
	uint8_t bytes[CONFIG_SIZE + 1];
	struct vfio_device_facts facts;
	struct vfio_region region;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	assert_true(vfio_device_read(device, CONFIG, 0, bytes, CONFIG_SIZE, &error));
	assert_true(vfio_device_read(device, CONFIG, CONFIG_SIZE - 4, bytes, 4, &error));
	assert_false(vfio_device_read(device, CONFIG, 0, bytes, CONFIG_SIZE + 1, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_false(vfio_device_read(device, CONFIG, CONFIG_SIZE - 3, bytes, 4, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_true(vfio_device_read(device, CONFIG, CONFIG_SIZE, bytes, 0, &error));
	assert_false(vfio_device_read(device, CONFIG, CONFIG_SIZE + 1, bytes, 0, &error));
	assert_int_equal(error.code, -EINVAL);
	vfio_device_facts(device, &facts);
	assert_false(vfio_device_read(device, facts.regions, 0, bytes, 1, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_false(vfio_device_region(device, facts.regions, &region, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_false(vfio_device_write(device, 1000, 0, bytes, 4, &error));
	assert_int_equal(error.code, -EINVAL);
	/* The kernel's errno, or EIO where it did a part only. */
	rig->moved = -ENXIO;
	assert_false(vfio_device_read(device, CONFIG, 0, bytes, 4, &error));
	assert_int_equal(error.code, -ENXIO);
	assert_false(vfio_device_write(device, CONFIG, 0, bytes, 4, &error));
	assert_int_equal(error.code, -ENXIO);
	rig->moved = 3;
	assert_false(vfio_device_read(device, CONFIG, 0, bytes, 4, &error));
	assert_int_equal(error.code, -EIO);
	assert_false(vfio_device_write(device, CONFIG, 0, bytes, 4, &error));
	assert_int_equal(error.code, -EIO);
	rig->moved = 0;
}

/* ---- facts ---- */

static void shape_device(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_device_info *info = arg;

	(void)ret;
	if (request != VFIO_DEVICE_GET_INFO)
		return;
	info->flags = (uint32_t)rig->answer;
	info->num_regions = 1024;
	info->num_irqs = 1024;
}

static void facts_are_the_kernels(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_facts facts;
	struct vfake_file_view view;

	rig_start(rig);
	rig->after = shape_device;
	for (rig->answer = 0; rig->answer < 4; rig->answer++) {
		struct vfio_device *device = rig_attach(rig, "d0");

		vfio_device_facts(device, &facts);
		assert_int_equal(facts.resets, !!(rig->answer & VFIO_DEVICE_FLAGS_RESET));
		assert_int_equal(facts.is_pci, !!(rig->answer & VFIO_DEVICE_FLAGS_PCI));
		assert_int_equal(facts.regions, 1024);
		assert_int_equal(facts.irqs, 1024);
		assert_int_equal(vfake_view_file(rig->task, facts.fd, &view), 0);
		assert_string_equal(view.kind, "device");
		assert_string_equal(facts.name, "d0");
		vfio_device_detach(device);
	}
}

/* ---- interrupts ---- */

static struct vfio_irq_set asked; /* the last one */
static uint32_t irq_flags;

static void watch_irqs(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_irq_info *info = arg;

	if (request == VFIO_DEVICE_SET_IRQS)
		memcpy(&asked, arg, sizeof(asked));
	if (request == VFIO_DEVICE_SET_IRQS && rig->answer)
		*ret = -(long)rig->answer;
	if (request == VFIO_DEVICE_GET_IRQ_INFO && irq_flags)
		info->flags = irq_flags;
}

static void expect_asked(uint32_t flags, uint32_t index, uint32_t start, uint32_t count)
{
	assert_int_equal(asked.flags, flags);
	assert_int_equal(asked.index, index);
	assert_int_equal(asked.start, start);
	assert_int_equal(asked.count, count);
	memset(&asked, 0, sizeof(asked));
}

static void what_is_asked_of_interrupts(void **state)
{
	const uint32_t none = VFIO_IRQ_SET_DATA_NONE;
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;
	int eventfd, silent = -1;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	rig->after = watch_irqs;
	eventfd = rig->kernel_sys.eventfd(rig->kernel_sys.ctx);
	assert_true(
		vfio_device_irq_enable(device, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &eventfd, &error));
	expect_asked(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		     VFIO_PCI_INTX_IRQ_INDEX, 0, 1);
	vfio_device_irq_enable(device, VFIO_PCI_MSI_IRQ_INDEX, 3, 1, &silent, &error);
	expect_asked(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		     VFIO_PCI_MSI_IRQ_INDEX, 3, 1);
	vfio_device_irq_disable(device, VFIO_PCI_MSI_IRQ_INDEX);
	memset(&asked, 0, sizeof(asked));
	assert_true(vfio_device_irq_mask(device, VFIO_PCI_INTX_IRQ_INDEX, true, &error));
	expect_asked(none | VFIO_IRQ_SET_ACTION_MASK, VFIO_PCI_INTX_IRQ_INDEX, 0, 1);
	assert_true(vfio_device_irq_mask(device, VFIO_PCI_INTX_IRQ_INDEX, false, &error));
	expect_asked(none | VFIO_IRQ_SET_ACTION_UNMASK, VFIO_PCI_INTX_IRQ_INDEX, 0, 1);
	assert_true(vfio_device_irq_trigger(device, VFIO_PCI_INTX_IRQ_INDEX, 0, &error));
	expect_asked(none | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_INTX_IRQ_INDEX, 0, 1);
	vfio_device_irq_disable(device, VFIO_PCI_MSI_IRQ_INDEX); /* is not on: nothing is asked */
	expect_asked(0, 0, 0, 0);
	vfio_device_irq_disable(device, VFIO_PCI_INTX_IRQ_INDEX);
	expect_asked(none | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_INTX_IRQ_INDEX, 0, 0);
	vfio_device_irq_disable(device, VFIO_PCI_INTX_IRQ_INDEX);
	expect_asked(0, 0, 0, 0);
	vfio_device_irq_disable(device, 32);
	expect_asked(0, 0, 0, 0);
	/* What cannot be asked is not, and what the kernel says is told. */
	assert_false(vfio_device_irq_enable(device, 1000, 0, 1, &silent, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_false(vfio_device_irq_enable(device, VFIO_PCI_MSI_IRQ_INDEX, 0, 0, &silent, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_false(
		vfio_device_irq_enable(device, VFIO_PCI_MSI_IRQ_INDEX, 0, 4097, &silent, &error));
	assert_int_equal(error.code, -EINVAL);
	expect_asked(0, 0, 0, 0);
	rig->answer = EBUSY;
	assert_false(vfio_device_irq_trigger(device, VFIO_PCI_INTX_IRQ_INDEX, 1, &error));
	assert_int_equal(error.code, -EBUSY);
	expect_asked(none | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_INTX_IRQ_INDEX, 1, 1);
	assert_false(vfio_device_irq_mask(device, VFIO_PCI_INTX_IRQ_INDEX, true, &error));
	assert_int_equal(error.code, -EBUSY);
	rig->answer = 0;
	rig->after = NULL;
	assert_int_equal(rig->kernel_sys.close(rig->kernel_sys.ctx, eventfd), 0);
}

static void many_vectors(void **state)
{
	static int silent[4096];
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	memset(silent, 0xff, sizeof(silent));
	rig_answer(rig, VFIO_DEVICE_SET_IRQS, 0, 2);
	assert_true(
		vfio_device_irq_enable(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 4096, silent, &error));
	vfio_device_irq_disable(device, VFIO_PCI_MSIX_IRQ_INDEX);
	assert_int_equal(rig->times, 0);
}

static void facts_of_interrupts(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;
	struct vfio_irq irq;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	rig->after = watch_irqs;
	for (irq_flags = 1; irq_flags < 16; irq_flags++) {
		assert_true(vfio_device_irq(device, VFIO_PCI_INTX_IRQ_INDEX, &irq, &error));
		assert_int_equal(irq.eventfd, !!(irq_flags & VFIO_IRQ_INFO_EVENTFD));
		assert_int_equal(irq.maskable, !!(irq_flags & VFIO_IRQ_INFO_MASKABLE));
		assert_int_equal(irq.automasked, !!(irq_flags & VFIO_IRQ_INFO_AUTOMASKED));
		assert_int_equal(irq.noresize, !!(irq_flags & VFIO_IRQ_INFO_NORESIZE));
	}
	irq_flags = 0;
	assert_int_equal(irq.index, VFIO_PCI_INTX_IRQ_INDEX);
	assert_true(vfio_device_irq(device, VFIO_PCI_MSI_IRQ_INDEX, &irq, &error));
	assert_int_equal(irq.index, VFIO_PCI_MSI_IRQ_INDEX);
	assert_true(vfio_device_irq(device, VFIO_PCI_INTX_IRQ_INDEX, &irq, &error));
	assert_int_equal(irq.count, 1);
	rig->after = NULL;
	rig_answer(rig, VFIO_DEVICE_GET_IRQ_INFO, -EBUSY, 1);
	assert_false(vfio_device_irq(device, VFIO_PCI_INTX_IRQ_INDEX, &irq, &error));
	assert_int_equal(error.code, -EBUSY);
	/* What it does not have is not even asked for. */
	rig->watched = VFIO_DEVICE_GET_IRQ_INFO;
	rig->seen = 0;
	assert_false(vfio_device_irq(device, VFIO_PCI_NUM_IRQS, &irq, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_int_equal(rig->seen, 0);
}

/* The stack remembers 32 indexes; a device may claim more, which cannot be turned on. */
static void indexes_that_cannot_be_kept(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;
	int silent = -1;

	rig_start(rig);
	rig->answer = VFIO_DEVICE_FLAGS_PCI;
	rig->after = shape_device;
	device = rig_attach(rig, "d0");
	rig->after = NULL;
	rig->watched = VFIO_DEVICE_SET_IRQS;
	rig->seen = 0;
	rig_answer(rig, VFIO_DEVICE_SET_IRQS, 0, 1);
	assert_false(vfio_device_irq_enable(device, 32, 0, 1, &silent, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_false(vfio_device_irq_enable(device, 1024, 0, 1, &silent, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_int_equal(rig->seen, 0);
	assert_true(vfio_device_irq_enable(device, 31, 0, 1, &silent, &error));
	assert_int_equal(rig->seen, 1);
	rig_answer(rig, VFIO_DEVICE_SET_IRQS, 0, 1);
	vfio_device_irq_disable(device, 31);
	assert_int_equal(rig->seen, 2);
	rig->calls = 0;
	rig->fail_at = 1;
	assert_false(vfio_device_irq_enable(device, 1, 0, 1, &silent, &error));
	assert_int_equal(error.code, -ENOMEM);
	rig->fail_at = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(each_right_is_its_own),
		LEGACY_STORY(areas_have_the_regions_rights),
		LEGACY_STORY(a_map_that_fails_leaves_nothing),
		LEGACY_STORY(areas_to_the_last_byte),
		LEGACY_STORY(wrong_first),
		LEGACY_STORY(types_are_whole_or_not_there),
		LEGACY_STORY(bytes_to_the_end_of_a_region),
		LEGACY_STORY(facts_are_the_kernels),
		LEGACY_STORY(what_is_asked_of_interrupts),
		LEGACY_STORY(many_vectors),
		LEGACY_STORY(facts_of_interrupts),
		LEGACY_STORY(indexes_that_cannot_be_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
