/* SPDX-License-Identifier: BSD-2-Clause */
/* vfio-pci: regions, BARs, configuration space, and what the INFO ioctls say. */
#include "pci_fixture.h"

/* ---- INFO ---- */

static void test_info(void **state)
{
	struct pci_fixture f;
	struct vfio_device_info info = { .argsz = sizeof(info), .cap_offset = 7, .pad = 7 };

	(void)state;
	start(&f, "e1000e");
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_INFO, &info), 0);
	assert_int_equal(info.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	assert_int_equal(info.num_regions, 9);
	assert_int_equal(info.num_irqs, 5);
	assert_int_equal(info.cap_offset, 0);
	assert_int_equal(info.pad, 0);
	info = (struct vfio_device_info){ .argsz = 16, .cap_offset = 7 };
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_INFO, &info), 0);
	assert_int_equal(info.cap_offset, 7);
	info.argsz = 15;
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_INFO, &info), -EINVAL);
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_INFO, bad_pointer()), -EFAULT);
	shut_down(&f);
}

static long region_info(struct pci_fixture *f, uint32_t index, struct vfio_region_info *info)
{
	*info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = index };
	return ioctl_of(f, f->fd, VFIO_DEVICE_GET_REGION_INFO, info);
}

static void test_region_info(void **state)
{
	static const struct {
		uint32_t flags;
		uint64_t size_bytes;
	} want[8] = { { 7, 128 << 10 }, { 7, 128 << 10 }, { 3, 32 },	    { 15, 16 << 10 },
		      { 0, 0 },		{ 0, 0 },	  { 1, 256 << 10 }, { 3, 4096 } };
	struct vfio_region_info info;
	struct pci_fixture f;

	(void)state;
	start(&f, "e1000e");
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(region_info(&f, i, &info), 0);
		assert_int_equal(info.flags, want[i].flags);
		assert_int_equal(info.size, want[i].size_bytes);
		assert_int_equal(info.offset, REGION(i));
	}
	assert_int_equal(region_info(&f, 8, &info), -EINVAL);
	assert_int_equal(region_info(&f, 9, &info), -EINVAL);
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_REGION_INFO, bad_pointer()), -EFAULT);
	shut_down(&f);
}

static void test_capability_chain(void **state)
{
	struct {
		struct vfio_region_info info;
		struct vfio_info_cap_header cap;
	} answer = { .info = { .argsz = sizeof(answer.info), .index = 3 } };
	struct pci_fixture f;

	(void)state;
	start(&f, "e1000e");
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_REGION_INFO, &answer), 0);
	assert_int_equal(answer.info.argsz, sizeof(answer));
	assert_int_equal(answer.info.cap_offset, 0);
	assert_int_equal(answer.cap.id, 0);
	answer.info.argsz = sizeof(answer) - 1;
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_REGION_INFO, &answer), 0);
	assert_int_equal(answer.info.cap_offset, 0);
	assert_int_equal(answer.info.argsz, sizeof(answer));
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_REGION_INFO, &answer), 0);
	assert_int_equal(answer.info.cap_offset, sizeof(answer.info));
	assert_int_equal(answer.cap.id, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE);
	assert_int_equal(answer.cap.version, 1);
	assert_int_equal(answer.cap.next, 0);
	shut_down(&f);
}

/* ---- configuration space ---- */

static void test_bar_sizing(void **state)
{
	static const struct {
		const char *model;
		uint32_t sizes[7]; /* what a BAR reads as after ones were written; the last is the
				      ROM */
	} want[] = {
		{ "edu", { 0xfff00000 } },
		{ "e1000e", { 0xfffe0000, 0xfffe0000, 0xffffffe1, 0xffffc000, 0, 0, 0xfffc0001 } },
		{ "plain", { 0xfffff000, 0xffffff01 } },
	};

	(void)state;
	for (size_t m = 0; m < sizeof(want) / sizeof(want[0]); m++) {
		struct pci_fixture f;

		start(&f, want[m].model);
		for (int i = 0; i < 7; i++) {
			uint64_t at = CONFIG(i < 6 ? PCI_BASE_ADDRESS_0 + 4 * i : PCI_ROM_ADDRESS);
			uint32_t before = (uint32_t)get(&f, at, 4);

			put(&f, at, 0xffffffff, 4);
			assert_int_equal(get(&f, at, 4), want[m].sizes[i]);
			assert_int_equal(get(&f, at + 2, 2), want[m].sizes[i] >> 16);
			put(&f, at, before, 4);
			assert_int_equal(get(&f, at, 4), before);
		}
		shut_down(&f);
	}
}

static void test_wide_bar(void **state)
{
	struct vfake_world *world = new_world();
	struct vfake_device_desc *desc = &world->devices[0];
	struct pci_fixture f;

	(void)state;
	assert_int_equal(vfake_world_add_device(world, "d", "plain"), 0);
	memset(desc->bars, 0, sizeof(desc->bars));
	desc->bars[2] = (struct vfake_bar){ .size_bytes = (uint64_t)8 << 30,
					    .is_64bit = true,
					    .prefetchable = true };
	boot(&f, world);
	free(world);
	open_device_of(&f, "d");
	put(&f, CONFIG(PCI_BASE_ADDRESS_2), UINT64_MAX, 8);
	assert_int_equal(get(&f, CONFIG(PCI_BASE_ADDRESS_2), 4), 0xc);
	assert_int_equal(get(&f, CONFIG(PCI_BASE_ADDRESS_3), 4), 0xfffffffe);
	shut_down(&f);
}

static void test_command_bits(void **state)
{
	struct pci_fixture f;
	uint8_t byte;

	(void)state;
	start(&f, "plain");
	assert_int_equal(get(&f, CONFIG(PCI_COMMAND), 2), 0x0103);
	put(&f, CONFIG(PCI_COMMAND), 0xffff, 2);
	assert_int_equal(get(&f, CONFIG(PCI_COMMAND), 2), 0x0507);
	put(&f, REGION(0), 0x11223344, 4);
	put(&f, CONFIG(PCI_COMMAND), PCI_COMMAND_IO, 2);
	assert_int_equal(vfake_pread(f.task, f.fd, addr(&byte), 1, REGION(0)), -EIO);
	assert_int_equal(vfake_pwrite(f.task, f.fd, addr(&byte), 1, REGION(0)), -EIO);
	assert_int_equal(get(&f, REGION(1), 4), 0);
	put(&f, CONFIG(PCI_COMMAND), PCI_COMMAND_MEMORY, 2);
	assert_int_equal(get(&f, REGION(1), 4), 0xffffffff);
	assert_int_equal(get(&f, REGION(0), 4), 0x11223344);
	shut_down(&f);
}

static void test_config_edges(void **state)
{
	struct pci_fixture f;
	uint8_t bytes[16];

	(void)state;
	start(&f, "edu");
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bytes), 1, CONFIG(0x100)), -EFAULT);
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bytes), 2, CONFIG(0xff)), -EFAULT);
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bytes), 0, CONFIG(0x100)), 0);
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bad_pointer()), 4, CONFIG(0)), -EFAULT);
	assert_int_equal(vfake_pwrite(f.task, f.fd, addr(bad_pointer()), 4, CONFIG(0x10)), -EFAULT);
	/* A write crosses from the header into the MSI capability and the plain memory behind it.
	 */
	put(&f, CONFIG(0x3c), 0xff, 1);
	assert_int_equal(get(&f, CONFIG(0x3c), 4), 0x1ff);
	put(&f, CONFIG(0x4d), 0xaabbccdd, 4);
	assert_int_equal(get(&f, CONFIG(0x4c), 8), 0xaabbccdd00);
	/* MSI can be enabled by VFIO_DEVICE_SET_IRQS only. */
	put(&f, CONFIG(0x42), 0x0001, 2);
	assert_int_equal(get(&f, CONFIG(0x40), 4), 0x00000005);
	shut_down(&f);
}

/* A vendor capability in the middle stays, one of an unknown kind disappears from both lists. */
static void test_hidden_capabilities(void **state)
{
	struct vfake_world *world = new_world();
	struct vfake_device_desc *desc = &world->devices[0];
	static const uint8_t list[] = { 0x0d, 0x50, 0, 0 /* hidden */ };
	static const uint8_t vendor[] = { 0x09, 0x60, 8, 0x77, 1, 2, 3, 4 };
	struct pci_fixture f;

	(void)state;
	assert_int_equal(vfake_world_add_device(world, "d", "e1000e"), 0);
	desc->config[PCI_CAPABILITY_LIST] = 0x40;
	memcpy(&desc->config[0x40], list, sizeof(list));
	memcpy(&desc->config[0x50], vendor, sizeof(vendor));
	memcpy(&desc->config[0x60], "\x0d\xe0", 2);	     /* hidden, then PCI Express */
	memcpy(&desc->config[0x100], "\x1b\x00\x01\x14", 4); /* first: hidden, next 0x140 */
	memcpy(&desc->config[0x140], "\x03\x00\x01\x20", 4); /* serial number, next 0x200 */
	memcpy(&desc->config[0x200], "\x1b\x00\x01\x30", 4); /* hidden, next 0x300 */
	memcpy(&desc->config[0x300], "\x18\x00\x01\x00", 4); /* latency tolerance, the last */
	boot(&f, world);
	free(world);
	open_device_of(&f, "d");
	assert_int_equal(get(&f, CONFIG(PCI_CAPABILITY_LIST), 1), 0x50);
	assert_int_equal(get(&f, CONFIG(0x50), 2), 0xe009);
	put(&f, CONFIG(0x54), 0x99, 1);
	assert_int_equal(get(&f, CONFIG(0x54), 1), 0x99);
	assert_int_equal(get(&f, CONFIG(0x100), 4), 0x14000000);
	assert_int_equal(get(&f, CONFIG(0x140), 4), 0x30010003);
	assert_int_equal(get(&f, CONFIG(0x300), 4), 0x00010018);
	shut_down(&f);
}

static void test_power_states(void **state)
{
	struct pci_fixture f;
	uint8_t byte;

	(void)state;
	start(&f, "e1000e");
	put(&f, CONFIG(0xcc), 0x0c01, 2); /* no D1 here */
	assert_int_equal(get(&f, CONFIG(0xcc), 2), 0x0c00);
	put(&f, REGION(0), 0x5555, 2);
	put(&f, CONFIG(0xcc), 3, 2);
	assert_int_equal(get(&f, CONFIG(0xcc), 2), 3);
	assert_int_equal(vfake_pread(f.task, f.fd, addr(&byte), 1, REGION(0)), -EIO);
	assert_int_equal(get(&f, REGION(2), 1), 0xff);
	put(&f, CONFIG(PCI_CACHE_LINE_SIZE), 0x20, 1);
	put(&f, CONFIG(0xcc), 0, 2);
	/* The function lost its state, and Linux put back what it had on the way in. */
	assert_int_equal(get(&f, CONFIG(PCI_CACHE_LINE_SIZE), 1), 0);
	assert_int_equal(get(&f, CONFIG(PCI_COMMAND), 2), 0x0103);
	assert_int_equal(get(&f, REGION(0), 2), 0);
	shut_down(&f);
}

/* Down only, or all the way up. */
static void test_power_order(void **state)
{
	struct vfake_world *world = new_world();
	struct pci_fixture f;

	(void)state;
	assert_int_equal(vfake_world_add_device(world, "d", "e1000e"), 0);
	world->devices[0].config[0xc8 + PCI_PM_PMC + 1] |= (PCI_PM_CAP_D1 | PCI_PM_CAP_D2) >> 8;
	boot(&f, world);
	free(world);
	open_device_of(&f, "d");
	for (uint64_t i = 1; i < 4; i++) {
		put(&f, CONFIG(0xcc), i, 2);
		assert_int_equal(get(&f, CONFIG(0xcc), 2), i);
		put(&f, CONFIG(0xcc), i - 1, 2);
		assert_int_equal(get(&f, CONFIG(0xcc), 2), i == 1 ? 0 : i);
	}
	put(&f, CONFIG(0xcc), 0, 2);
	assert_int_equal(get(&f, CONFIG(0xcc), 2), 0);
	shut_down(&f);
}

static void test_flr_bit(void **state)
{
	struct vfake_world *world = new_world();
	struct pci_fixture f;

	(void)state;
	assert_int_equal(vfake_world_add_device(world, "d", "e1000e"), 0);
	world->devices[0].config[0xe0 + PCI_EXP_DEVCAP + 3] |= PCI_EXP_DEVCAP_FLR >> 24;
	boot(&f, world);
	free(world);
	open_device_of(&f, "d");
	put(&f, REGION(0), 0x5555, 2);
	put(&f, CONFIG(0xe8), 0x50e0, 2);
	assert_int_equal(get(&f, REGION(0), 2), 0x5555);
	put(&f, CONFIG(0xe8), 0xd0e0, 2);
	assert_int_equal(get(&f, CONFIG(0xe8), 2), 0x50e0);
	assert_int_equal(get(&f, REGION(0), 2), 0);
	shut_down(&f);
}

static uint32_t draw(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 33);
}

/* Capabilities of any kind anywhere, over each other, over the header and over the end. */
static void scatter_capabilities(struct vfake_device_desc *desc, uint64_t *seed)
{
	uint8_t *config = desc->config;

	for (uint32_t i = 0x40; i < desc->config_size_bytes; i++)
		config[i] = draw(seed) & 1 ? (uint8_t)draw(seed) : 0;
	config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	config[PCI_CAPABILITY_LIST] = (uint8_t)(draw(seed) & 0xfc);
	for (uint32_t i = 0x40; i < 0x100; i += 4) {
		config[i] = (uint8_t)(draw(seed) % 0x16);
		config[i + 1] = (uint8_t)(draw(seed) & 0xfc);
	}
	for (uint32_t i = 0x100; i < desc->config_size_bytes; i += 4) {
		uint32_t next = draw(seed) & 0xffc;

		config[i] = (uint8_t)(draw(seed) % 0x34);
		config[i + 1] = 0;
		config[i + 2] = (uint8_t)(1 | (next & 0xf) << 4);
		config[i + 3] = (uint8_t)(next >> 4);
	}
}

static void test_any_config_space(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct vfake_world *world = new_world();
		static uint8_t bytes[4096];
		struct pci_fixture f;
		uint32_t size;

		assert_int_equal(vfake_world_add_device(world, "d", round & 1 ? "e1000e" : "edu"),
				 0);
		size = world->devices[0].config_size_bytes;
		scatter_capabilities(&world->devices[0], &seed);
		boot(&f, world);
		free(world);
		open_device_of(&f, "d");
		for (int i = 0; i < 100; i++) {
			uint32_t at = draw(&seed) % size;
			uint32_t len = draw(&seed) % 9;
			long want = len && at + len > size ? -EFAULT : (long)len;

			for (uint32_t k = 0; k < len; k++)
				bytes[k] = (uint8_t)draw(&seed);
			assert_int_equal(vfake_pwrite(f.task, f.fd, addr(bytes), len, CONFIG(at)),
					 want);
		}
		assert_int_equal(vfake_pread(f.task, f.fd, addr(bytes), size, CONFIG(0)), size);
		shut_down(&f);
	}
}

/* ---- BARs ---- */

static void test_mmap(void **state)
{
	struct pci_fixture f;
	uint64_t at = 0;
	uint8_t *bar;

	(void)state;
	start(&f, "e1000e");
	assert_int_equal(vfake_mmap(f.task, 8192, 3, f.fd, REGION(0) + 4096, &at), 0);
	bar = (uint8_t *)(uintptr_t)at;
	put(&f, REGION(0) + 4096 + 5, 0xabcd, 2);
	assert_int_equal(bar[5], 0xcd);
	bar[6] = 0x12;
	assert_int_equal(get(&f, REGION(0) + 4096 + 5, 2), 0x12cd);
	assert_int_equal(vfake_munmap(f.task, at, 8192), 0);
	assert_int_equal(vfake_mmap(f.task, 16384, 3, f.fd, REGION(3), &at), 0);
	assert_int_equal(vfake_munmap(f.task, at, 16384), 0);
	assert_int_equal(vfake_mmap(f.task, 8192, 3, f.fd, REGION(3) + 12288, &at), -EINVAL);
	assert_int_equal(vfake_mmap(f.task, 4096, 3, f.fd, REGION(2), &at), -EINVAL);
	assert_int_equal(vfake_mmap(f.task, 4096, 3, f.fd, REGION(4), &at), -EINVAL);
	assert_int_equal(vfake_mmap(f.task, 4096, 3, f.fd, REGION(6), &at), -EINVAL);
	assert_int_equal(vfake_mmap(f.task, 4096, 3, f.fd, REGION(7), &at), -EINVAL);
	assert_int_equal(vfake_mmap(f.task, 4096, 3, f.fd, REGION(9), &at), -EINVAL);
	shut_down(&f);
}

static void test_msix_table_hidden(void **state)
{
	struct pci_fixture f;
	uint8_t bytes[96];

	(void)state;
	start(&f, "e1000e");
	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(vfake_pwrite(f.task, f.fd, addr(bytes), sizeof(bytes), REGION(3)),
			 sizeof(bytes));
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bytes), sizeof(bytes), REGION(3)),
			 sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], i < 5 * 16 ? 0xff : 0x5a);
	shut_down(&f);
}

static void test_bar_ends(void **state)
{
	struct pci_fixture f;
	uint8_t bytes[16] = { 0 };

	(void)state;
	start(&f, "e1000e");
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bytes), 16, REGION(0) + 0x1fff9), 7);
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bytes), 16, REGION(0) + 0x20000), -EINVAL);
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bytes), 1, REGION(4)), -EINVAL);
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bytes), 1, REGION(8)), -EINVAL);
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bytes), 1, REGION(9)), -EINVAL);
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bad_pointer()), 8, REGION(0)), -EFAULT);
	assert_int_equal(vfake_pwrite(f.task, f.fd, addr(bad_pointer()), 8, REGION(0)), -EFAULT);
	/* The ROM: an image, ones behind it, and nothing to write. */
	assert_int_equal(get(&f, REGION(6), 2), 0xaa55);
	assert_int_equal(get(&f, REGION(6) + 512, 8), UINT64_MAX);
	assert_int_equal(get(&f, REGION(6) + 510, 4) >> 16, 0xffff);
	assert_int_equal(vfake_pwrite(f.task, f.fd, addr(bytes), 1, REGION(6)), -EINVAL);
	shut_down(&f);
}

/* Linux looks for the image with each call: one that does not decode is none. */
static void test_rom_out_of_reach(void **state)
{
	struct vfio_region_info info;
	struct pci_fixture f;
	uint8_t bytes[4];

	(void)state;
	start(&f, "e1000e");
	put(&f, CONFIG(PCI_COMMAND), 0, 2);
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bytes), 4, REGION(6)), -ENOMEM);
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bytes), 4, REGION(6) + 0x40000), -EINVAL);
	assert_int_equal(region_info(&f, 6, &info), 0);
	assert_int_equal(info.size, 0x40000);
	put(&f, CONFIG(PCI_COMMAND), PCI_COMMAND_MEMORY, 2);
	put(&f, CONFIG(0xcc), 3, 2); /* D3hot */
	assert_int_equal(vfake_pread(f.task, f.fd, addr(bytes), 4, REGION(6)), -ENOMEM);
	assert_int_equal(region_info(&f, 6, &info), 0);
	assert_int_equal(info.size, 0);
	assert_int_equal(info.flags, 0);
	put(&f, CONFIG(0xcc), 0, 2);
	assert_int_equal(get(&f, REGION(6), 2), 0xaa55);
	assert_int_equal(region_info(&f, 6, &info), 0);
	assert_int_equal(info.flags, VFIO_REGION_INFO_FLAG_READ);
	shut_down(&f);
}

static void test_sub_page_bar(void **state)
{
	struct vfake_world *world = new_world();
	struct vfio_region_info info;
	struct pci_fixture f;

	(void)state;
	world->page_size_bytes = 65536;
	assert_int_equal(vfake_world_add_device(world, "d", "plain"), 0);
	assert_int_equal(vfake_world_add_device(world, "e", "plain"), 0);
	memcpy(&world->devices[0].config[PCI_BASE_ADDRESS_0], "\x00\x00\xb0\xfe", 4);
	memcpy(&world->devices[1].config[PCI_BASE_ADDRESS_0], "\x00\x00\xb1\xfe", 4);
	boot(&f, world);
	open_device_of(&f, "d");
	assert_int_equal(region_info(&f, 0, &info), 0);
	assert_true(info.flags & VFIO_REGION_INFO_FLAG_MMAP);
	shut_down(&f);
	/* Another BAR on the same page. */
	memcpy(&world->devices[1].config[PCI_BASE_ADDRESS_0], "\x00\x80\xb0\xfe", 4);
	boot(&f, world);
	open_device_of(&f, "d");
	assert_int_equal(region_info(&f, 0, &info), 0);
	assert_false(info.flags & VFIO_REGION_INFO_FLAG_MMAP);
	shut_down(&f);
	free(world);
}

static void test_state_over_opens(void **state)
{
	struct pci_fixture f;

	(void)state;
	start(&f, "edu");
	put(&f, CONFIG(PCI_COMMAND), 0, 2);
	put(&f, CONFIG(PCI_CACHE_LINE_SIZE), 0x40, 1);
	put(&f, CONFIG(PCI_BASE_ADDRESS_0), 0, 4);
	close_device_of(&f);
	open_device_of(&f, "d");
	assert_int_equal(get(&f, CONFIG(PCI_COMMAND), 2), 0x0103);
	assert_int_equal(get(&f, CONFIG(PCI_CACHE_LINE_SIZE), 1), 0);
	assert_int_equal(get(&f, CONFIG(PCI_BASE_ADDRESS_0), 4), 0xfea00000);
	shut_down(&f);
}

static void test_worlds(void **state)
{
	struct vfake_world *world = new_world();
	char name[16];

	(void)state;
	assert_int_equal(vfake_world_add_device(world, "d", "nothing"), -ENOENT);
	assert_int_equal(vfake_world_add_device(world, "0123456789012345678901234567890123", "edu"),
			 -ENAMETOOLONG);
	for (int i = 0; i < VFAKE_MAX_DEVICES; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		assert_int_equal(vfake_world_add_device(world, name, "edu"), 0);
		assert_int_equal(vfake_world_add_device(world, name, "edu"), -EEXIST);
	}
	assert_int_equal(vfake_world_add_device(world, "more", "edu"), -ENOSPC);
	free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_region_info),
		cmocka_unit_test(test_capability_chain),
		cmocka_unit_test(test_bar_sizing),
		cmocka_unit_test(test_wide_bar),
		cmocka_unit_test(test_command_bits),
		cmocka_unit_test(test_config_edges),
		cmocka_unit_test(test_hidden_capabilities),
		cmocka_unit_test(test_power_states),
		cmocka_unit_test(test_power_order),
		cmocka_unit_test(test_flr_bit),
		cmocka_unit_test(test_any_config_space),
		cmocka_unit_test(test_mmap),
		cmocka_unit_test(test_msix_table_hidden),
		cmocka_unit_test(test_bar_ends),
		cmocka_unit_test(test_rom_out_of_reach),
		cmocka_unit_test(test_sub_page_bar),
		cmocka_unit_test(test_state_over_opens),
		cmocka_unit_test(test_worlds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
