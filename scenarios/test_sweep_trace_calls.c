/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each kind of call in the trace of a sweep: written as TRACE.md has it, with the result that it
 * had, and played with the same one. The stories make the calls themselves.
 */
#include <uapi/iommufd.h>
#include <uapi/kvm.h>
#include <uapi/vfio.h>
#include <uapi/vfio_iommu.h>

#include "trace_rig.h"

static long ask(const struct vfio_sys *sys, int fd, uint32_t request, const void *arg)
{
	return sys->ioctl(sys->ctx, fd, request, (uint64_t)(uintptr_t)arg);
}

static uint64_t address(const void *at)
{
	return (uint64_t)(uintptr_t)at;
}

static uint64_t memory(const struct vfio_sys *sys, uint64_t size, int prot)
{
	uint64_t addr;

	assert_int_equal(sys->mmap(sys->ctx, size, prot, -1, 0, &addr), 0);
	return addr;
}

/* A struct that begins with its argsz, and what follows it. */
static long ask_with(const struct vfio_sys *sys, int fd, uint32_t request, const void *head,
		     size_t size, const void *tail, size_t tail_size)
{
	uint64_t all[16];
	uint32_t argsz = (uint32_t)(size + tail_size);

	assert_true(argsz <= sizeof(all));
	memcpy(all, head, size);
	memcpy((uint8_t *)all + size, tail, tail_size);
	memcpy(all, &argsz, sizeof(argsz));
	return ask(sys, fd, request, all);
}

static void ask_container(const struct vfio_sys *sys, int container)
{
	uint64_t ro = memory(sys, 0x1000, VFAKE_PROT_READ);
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = 3, .iova = 0x10000, .size = 0x4000
	};
	const struct vfio_iommu_type1_dirty_bitmap dirty = {
		.argsz = sizeof(dirty), .flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START
	};
	const struct vfio_iommu_type1_dma_unmap unmap = { .flags = 1,
							  .iova = 0x10000,
							  .size = 0x4000 };
	uint64_t bits[2] = { 0 };
	const struct vfio_bitmap bitmap = { .pgsize = 0x1000, .size = 8, .data = bits };

	map.vaddr = memory(sys, 0x10000, VFAKE_PROT_READ | VFAKE_PROT_WRITE) + 0x2000;
	assert_int_equal(ask(sys, container, VFIO_IOMMU_MAP_DMA, &map), 0);
	assert_int_equal(ask(sys, container, VFIO_IOMMU_MAP_DMA, &map), -EEXIST);
	assert_int_equal(ask(sys, container, VFIO_IOMMU_DIRTY_PAGES, &dirty), 0);
	assert_int_equal(ask_with(sys, container, VFIO_IOMMU_UNMAP_DMA, &unmap, sizeof(unmap),
				  &bitmap, sizeof(bitmap)),
			 0);
	assert_int_equal(bits[0], 0xf);
	map.vaddr = ro;
	map.size = 0x1000;
	assert_int_equal(ask(sys, container, VFIO_IOMMU_MAP_DMA, &map), -EFAULT);
	assert_int_equal(ask(sys, container, 0x1234, NULL), -ENOTTY);
	assert_int_equal(sys->munmap(sys->ctx, ro, 0x1000), 0);
}

static void ask_irqs(const struct vfio_sys *sys, int device)
{
	const struct vfio_irq_set set = { .flags = 0x24, .index = 1, .count = 2 };
	const struct vfio_irq_set trigger = { .flags = 0x22, .index = 1, .count = 1 };
	const int32_t eventfds[2] = { sys->eventfd(sys->ctx), -1 };
	const uint8_t yes = 1;
	uint64_t count = 0;

	assert_int_equal(ask_with(sys, device, VFIO_DEVICE_SET_IRQS, &set, sizeof(set), eventfds,
				  sizeof(eventfds)),
			 0);
	assert_int_equal(ask_with(sys, device, VFIO_DEVICE_SET_IRQS, &trigger, sizeof(trigger),
				  &yes, sizeof(yes)),
			 0);
	assert_int_equal(sys->read(sys->ctx, eventfds[0], address(&count), 8), 8);
	assert_int_equal(count, 1);
	assert_int_equal(sys->read(sys->ctx, eventfds[0], address(&count), 8), -EAGAIN);
	assert_int_equal(sys->close(sys->ctx, eventfds[0]), 0);
}

static void ask_device(const struct vfio_sys *sys, int group, int device)
{
	const struct vfio_pci_hot_reset reset = { .count = 1 };
	const int32_t fd = group;
	uint8_t byte[4] = { 0 };

	ask_irqs(sys, device);
	assert_int_equal(sys->pread(sys->ctx, device, address(byte), 4, UINT64_C(7) << 40), 4);
	assert_int_equal(sys->pwrite(sys->ctx, device, address(byte), 2, (UINT64_C(7) << 40) + 4),
			 2);
	assert_int_equal(ask_with(sys, device, VFIO_DEVICE_PCI_HOT_RESET, &reset, sizeof(reset),
				  &fd, sizeof(fd)),
			 -ENODEV);
}

static void ask_kvm(const struct vfio_sys *sys, int group)
{
	int kvm = sys->open(sys->ctx, "/dev/kvm");
	int vm = (int)sys->ioctl(sys->ctx, kvm, KVM_CREATE_VM, 0);
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_device_attr attr = { .group = KVM_DEV_VFIO_FILE,
					.attr = KVM_DEV_VFIO_FILE_ADD,
					.addr = address(&group) };

	assert_int_equal(ask(sys, vm, KVM_CREATE_DEVICE, &device), 0);
	assert_int_equal(ask(sys, (int)device.fd, KVM_SET_DEVICE_ATTR, &attr), 0);
	assert_int_equal(sys->close(sys->ctx, (int)device.fd), 0);
	assert_int_equal(sys->close(sys->ctx, vm), 0);
	assert_int_equal(sys->close(sys->ctx, kvm), 0);
}

static void run_asks(struct stage *stage)
{
	const struct vfio_sys *sys = &stage->raw;
	int container = sys->open(sys->ctx, "/dev/vfio/vfio"), copy, group, device;
	char node[32];
	uint64_t none;

	snprintf(node, sizeof(node), "/dev/vfio/%s", stage_options(stage, 1).group);
	group = sys->open(sys->ctx, node);
	assert_int_equal(ask(sys, group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(sys->ioctl(sys->ctx, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	copy = sys->dup(sys->ctx, container);
	ask_container(sys, copy);
	device = (int)ask(sys, group, VFIO_GROUP_GET_DEVICE_FD, stage_name(1));
	assert_true(device >= 0);
	ask_device(sys, group, device);
	ask_kvm(sys, group);
	assert_int_equal(sys->close(sys->ctx, device), 0);
	assert_int_equal(sys->close(sys->ctx, group), 0);
	assert_int_equal(sys->close(sys->ctx, copy), 0);
	assert_int_equal(sys->close(sys->ctx, container), 0);
	assert_int_equal(sys->close(sys->ctx, 77), -EBADF);
	assert_int_equal(sys->open(sys->ctx, "/dev/vfio/99"), -ENOENT);
	assert_int_equal(sys->mmap(sys->ctx, 0, VFAKE_PROT_READ, -1, 0, &none), -EINVAL);
	assert_int_equal(sys->memlock(sys->ctx, 0x100000), 0);
	play(stage, call_leaks);
}

static void ask_ranges(const struct vfio_sys *sys, int iommufd, uint32_t ioas)
{
	struct iommu_iova_range range[4] = { { 0x10000, 0x1fffff } };
	struct iommu_ioas_allow_iovas allow = { .size = sizeof(allow),
						.ioas_id = ioas,
						.num_iovas = 1,
						.allowed_iovas = address(range) };
	struct iommu_ioas_iova_ranges ranges = { .size = sizeof(ranges),
						 .ioas_id = ioas,
						 .allowed_iovas = address(range) };

	assert_int_equal(ask(sys, iommufd, IOMMU_IOAS_ALLOW_IOVAS, &allow), 0);
	assert_int_equal(ask(sys, iommufd, IOMMU_IOAS_IOVA_RANGES, &ranges), -EMSGSIZE);
	ranges.num_iovas = 4;
	assert_int_equal(ask(sys, iommufd, IOMMU_IOAS_IOVA_RANGES, &ranges), 0);
}

static void run_asks_iommufd(struct stage *stage)
{
	const struct vfio_sys *sys = &stage->raw;
	int iommufd = sys->open(sys->ctx, "/dev/iommu"), file = sys->memfd(sys->ctx, 0x4000);
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct iommu_ioas_map_file map = {
		.size = sizeof(map), .flags = 6, .fd = file, .start = 0x1000, .length = 0x1000
	};
	struct iommu_ioas_map more = { .size = sizeof(more), .flags = 6, .length = 0x2000 };
	uint64_t at = memory(sys, 0x4000, VFAKE_PROT_READ | VFAKE_PROT_WRITE);

	assert_int_equal(ask(sys, iommufd, IOMMU_IOAS_ALLOC, &alloc), 0);
	ask_ranges(sys, iommufd, alloc.out_ioas_id);
	map.ioas_id = more.ioas_id = alloc.out_ioas_id;
	assert_int_equal(ask(sys, iommufd, IOMMU_IOAS_MAP_FILE, &map), 0);
	more.user_va = at + 0x1000;
	assert_int_equal(ask(sys, iommufd, IOMMU_IOAS_MAP, &more), 0);
	assert_int_equal(sys->munmap(sys->ctx, at, 0x1000), 0);
	assert_int_equal(sys->munmap(sys->ctx, at + 0x1000, 0x3000), 0);
	assert_int_equal(sys->close(sys->ctx, file), 0);
	assert_int_equal(sys->close(sys->ctx, iommufd), 0);
	play(stage, call_leaks);
}

STORY(asks, "asks a container all kinds of things");
STORY(asks_iommufd, "asks an iommufd");

const struct story *const stories[] = { &asks, &asks_iommufd };
const size_t story_count = sizeof(stories) / sizeof(stories[0]);

static void test_container(void **state)
{
	char *trace = traced("asks/type1v2", 35);

	(void)state;
	expect_whole(trace);
	expect_line(trace, "", "open(\"/dev/vfio/{d1.group}\") = g0");
	expect_line(trace, "", "dup(c0) = c1");
	expect_line(trace, "", "mmap(0x1000, ro) = m0");
	expect_line(trace, "", "ioctl(c1, 0x1234) = -ENOTTY");
	expect_line(trace, "",
		    "ioctl(c1, VFIO_IOMMU_MAP_DMA, {flags=0x3, vaddr=m1+0x2000, iova=0x10000, "
		    "size=0x4000}) = -EEXIST");
	expect_line(trace, "",
		    "ioctl(c1, VFIO_IOMMU_UNMAP_DMA, {flags=0x1, iova=0x10000, size=0x4000, "
		    "pgsize=0x1000, bitmap_size=0x8, bitmap=[]}) = 0 "
		    "{bitmap=[0f000000000000000000000000000000]}");
	expect_line(trace, "",
		    "ioctl(v0, VFIO_DEVICE_SET_IRQS, {flags=0x24, index=1, count=2, data=[e0 -1]}) "
		    "= 0");
	expect_line(
		trace, "",
		"ioctl(v0, VFIO_DEVICE_SET_IRQS, {flags=0x22, index=1, count=1, data=[1]}) = 0");
	expect_line(trace, "", "read(e0) = 1\nread(e0) = -EAGAIN");
	expect_line(trace, "",
		    "ioctl(v0, VFIO_DEVICE_PCI_HOT_RESET, {count=1, group_fds=[g0]}) = -ENODEV");
	expect_line(trace, "", "ioctl(k2, KVM_SET_DEVICE_ATTR, {group=1, attr=0x1, addr=g0}) = 0");
	expect_line(trace, "", "close(gone) = -EBADF");
	expect_line(trace, "", "mmap(0x0) = -EINVAL\nmemlock(0x100000) = 0");
	free(trace);
}

static void test_iommufd(void **state)
{
	char *trace = traced("asks_iommufd/iommufd", 12);

	(void)state;
	expect_whole(trace);
	expect_line(trace, "",
		    "ioctl(i0, IOMMU_IOAS_ALLOW_IOVAS, {ioas_id=1, num_iovas=1, "
		    "allowed_iovas=[0x10000-0x1fffff]}) = 0");
	expect_line(trace, "", "ioctl(i0, IOMMU_IOAS_MAP_FILE, {flags=0x6, ioas_id=1, fd=f0, ");
	expect_line(trace, "", "munmap(m0+0x1000, 0x3000) = 0");
	free(trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_container),
		cmocka_unit_test(test_iommufd),
	};

	return cmocka_run_group_tests(tests, set_up, take_down);
}
