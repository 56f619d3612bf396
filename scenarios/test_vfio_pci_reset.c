/* SPDX-License-Identifier: BSD-2-Clause */
/* vfio-pci: resets of a function and of a bus, and VFIO_DEVICE_FEATURE. */
#include "pci_fixture.h"

/* Two devices that one bus reset hits, and one elsewhere. */
static void boot_bus(struct pci_fixture *f)
{
	struct vfake_world *world = new_world();

	assert_int_equal(vfake_world_add_device(world, "a", "edu"), 0);
	assert_int_equal(vfake_world_add_device(world, "b", "plain"), 0);
	assert_int_equal(vfake_world_add_device(world, "c", "edu"), 0);
	for (int i = 0; i < 2; i++) {
		world->devices[i].bus = 3;
		world->devices[i].bus_reset = true;
	}
	boot(f, world);
	free(world);
}

static void test_function_reset(void **state)
{
	struct pci_fixture f;

	(void)state;
	start(&f, "e1000e");
	put(&f, REGION(0), 0x77, 1);
	put(&f, CONFIG(PCI_COMMAND), 0x0407, 2);
	put(&f, CONFIG(0x10c), 0, 4);
	put(&f, CONFIG(0xcc), 3, 2);
	assert_int_equal(vfake_ioctl(f.task, f.fd, VFIO_DEVICE_RESET, 0), 0);
	assert_int_equal(get(&f, CONFIG(0xcc), 2), 0);
	assert_int_equal(get(&f, REGION(0), 1), 0);
	assert_int_equal(get(&f, CONFIG(PCI_COMMAND), 2), 0x0407);
	assert_int_equal(get(&f, CONFIG(0x10c), 4), 0);
	shut_down(&f);
	start(&f, "edu");
	assert_int_equal(vfake_ioctl(f.task, f.fd, VFIO_DEVICE_RESET, 0), -EINVAL);
	shut_down(&f);
}

/* The answer of VFIO_DEVICE_GET_PCI_HOT_RESET_INFO with room for two devices, field by field as in
 * the ABI. */
struct hot_reset_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
	struct vfio_pci_dependent_device devices[2];
};

/* The same of VFIO_DEVICE_PCI_HOT_RESET. */
struct hot_reset {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
	int32_t fds[3];
};

static long hot_reset(struct pci_fixture *f, const int32_t *fds, uint32_t count)
{
	struct hot_reset arg = { .argsz = sizeof(arg), .count = count };

	if (count)
		memcpy(arg.fds, fds, count * sizeof(*fds));
	return ioctl_of(f, f->fd, VFIO_DEVICE_PCI_HOT_RESET, &arg);
}

static void test_hot_reset_by_groups(void **state)
{
	struct hot_reset_info arg = { .argsz = sizeof(struct vfio_pci_hot_reset_info) };
	struct pci_fixture f;
	int32_t fds[3];
	int group;

	(void)state;
	boot_bus(&f);
	open_device_of(&f, "a");
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg), -ENOSPC);
	assert_int_equal(arg.count, 2);
	arg.argsz = sizeof(arg) - 1;
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg), -ENOSPC);
	arg.argsz = sizeof(arg);
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg), 0);
	assert_int_equal(arg.flags, 0);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(arg.devices[i].group_id, i);
		assert_int_equal(arg.devices[i].bus, 3);
		assert_int_equal(arg.devices[i].devfn, (i + 1) << 3);
	}
	group = open_group(&f, "b");
	fds[0] = f.group;
	fds[1] = group;
	put(&f, REGION(0), 0x77, 1);
	assert_int_equal(hot_reset(&f, fds, 0), -EINVAL);
	assert_int_equal(hot_reset(&f, fds, 1), -EINVAL);
	assert_int_equal(hot_reset(&f, fds, 3), -EINVAL);
	fds[1] = 99;
	assert_int_equal(hot_reset(&f, fds, 2), -EBADF);
	fds[1] = f.container;
	assert_int_equal(hot_reset(&f, fds, 2), -EINVAL);
	fds[1] = group;
	assert_int_equal(get(&f, REGION(0), 1), 0x77);
	assert_int_equal(hot_reset(&f, fds, 2), 0);
	assert_int_equal(get(&f, REGION(0), 1), 0);
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_PCI_HOT_RESET, bad_pointer()), -EFAULT);
	close_fd(&f, &group);
	close_device_of(&f);
	open_device_of(&f, "c");
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg), -ENODEV);
	assert_int_equal(hot_reset(&f, fds, 1), -ENODEV);
	shut_down(&f);
}

static int open_cdev(struct pci_fixture *f, const char *name, int iommufd)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = iommufd };
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%u",
		 vfake_device_desc(f->kernel, name)->cdev);
	fd = vfake_open(f->task, path);
	assert_true(fd >= 0);
	assert_int_equal(ioctl_of(f, fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
	return fd;
}

static void test_hot_reset_by_iommufd(void **state)
{
	struct hot_reset_info arg = { .argsz = sizeof(arg) };
	struct pci_fixture f;
	int iommufd, other;

	(void)state;
	boot_bus(&f);
	iommufd = vfake_open(f.task, "/dev/iommu");
	f.fd = open_cdev(&f, "a", iommufd);
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg), 0);
	assert_int_equal(arg.flags, VFIO_PCI_HOT_RESET_FLAG_DEV_ID);
	assert_int_equal(arg.devices[0].devid, 1);
	assert_int_equal(arg.devices[1].devid, VFIO_PCI_DEVID_NOT_OWNED);
	assert_int_equal(hot_reset(&f, NULL, 0), -EINVAL);
	assert_int_equal(hot_reset(&f, &f.fd, 1), -EINVAL);
	other = open_cdev(&f, "b", iommufd);
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg), 0);
	assert_int_equal(arg.flags,
			 VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED);
	assert_int_equal(arg.devices[1].devid, 2);
	put(&f, REGION(0), 0x77, 1);
	assert_int_equal(hot_reset(&f, NULL, 0), 0);
	assert_int_equal(get(&f, REGION(0), 1), 0);
	close_fd(&f, &other);
	close_fd(&f, &iommufd);
	shut_down(&f);
}

/* A device that cannot reset itself is reset with its bus, once nobody has any device of the bus
 * open. */
static void test_last_close_resets_bus(void **state)
{
	struct pci_fixture f, other = { 0 };

	(void)state;
	boot_bus(&f);
	open_device_of(&f, "a");
	put(&f, REGION(0), 0x77, 1);
	other.kernel = f.kernel;
	other.task = f.task;
	open_device_of(&other, "b");
	close_files(&f);
	open_device_of(&f, "a");
	assert_int_equal(get(&f, REGION(0), 1), 0x77);
	close_files(&other);
	close_device_of(&f);
	open_device_of(&f, "a");
	assert_int_equal(get(&f, REGION(0), 1), 0);
	shut_down(&f);
}

/* ---- features ---- */

/* A feature and its payload, with the fields of the ABI. */
struct feature {
	uint32_t argsz;
	uint32_t flags;
	union {
		struct vfio_device_low_power_entry_with_wakeup wakeup;
		struct {
			uint32_t region_index;
			uint32_t open_flags;
			uint32_t flags;
			uint32_t nr_ranges;
			struct vfio_region_dma_range range;
		} dma;
	};
};

static long feature(struct pci_fixture *f, uint32_t flags, struct feature *arg, uint32_t data_bytes)
{
	arg->argsz = (uint32_t)sizeof(struct vfio_device_feature) + data_bytes;
	arg->flags = flags;
	return ioctl_of(f, f->fd, VFIO_DEVICE_FEATURE, arg);
}

#define GET   VFIO_DEVICE_FEATURE_GET
#define SET   VFIO_DEVICE_FEATURE_SET
#define PROBE VFIO_DEVICE_FEATURE_PROBE

static void test_probe_features(void **state)
{
	/* What probing GET and SET of each feature answers. */
	static const long want[][2] = {
		[VFIO_DEVICE_FEATURE_PCI_VF_TOKEN] = { -ENOTTY, -ENOTTY },
		[VFIO_DEVICE_FEATURE_MIGRATION] = { -ENOTTY, -ENOTTY },
		[VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE] = { -ENOTTY, -ENOTTY },
		[VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY] = { -EINVAL, 0 },
		[VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP] = { -EINVAL, 0 },
		[VFIO_DEVICE_FEATURE_LOW_POWER_EXIT] = { -EINVAL, 0 },
		[VFIO_DEVICE_FEATURE_DMA_LOGGING_START] = { -ENOTTY, -ENOTTY },
		[VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP] = { -ENOTTY, -ENOTTY },
		[VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT] = { -ENOTTY, -ENOTTY },
		[VFIO_DEVICE_FEATURE_MIG_DATA_SIZE] = { -ENOTTY, -ENOTTY },
		[VFIO_DEVICE_FEATURE_BUS_MASTER] = { -ENOTTY, -ENOTTY },
		[VFIO_DEVICE_FEATURE_DMA_BUF] = { 0, -EINVAL },
		[VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2] = { -EINVAL, -EINVAL },
		[13] = { -ENOTTY, -ENOTTY },
	};
	struct feature arg = { 0 };
	struct pci_fixture f;

	(void)state;
	start(&f, "edu");
	for (uint32_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(feature(&f, PROBE | GET | i, &arg, 0), want[i][0]);
		assert_int_equal(feature(&f, PROBE | SET | i, &arg, 0), want[i][1]);
		assert_int_equal(feature(&f, GET | SET | i, &arg, 0), -EINVAL);
	}
	shut_down(&f);
}

static void test_low_power(void **state)
{
	struct feature arg = { 0 };
	struct pci_fixture f;
	int e0;

	(void)state;
	start(&f, "e1000e");
	e0 = new_eventfd(&f);
	assert_int_equal(feature(&f, SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, &arg, 0), 0);
	assert_int_equal(feature(&f, SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, &arg, 0), -EINVAL);
	/* Each call ends with a suspend, and the next finds the device in D0. */
	put(&f, CONFIG(0xcc), 0x1e03, 2);
	assert_int_equal(get(&f, CONFIG(0xcc), 2), 0);
	assert_int_equal(feature(&f, SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, &arg, 0), 0);
	put(&f, CONFIG(0xcc), 0x1e03, 2);
	assert_int_equal(get(&f, CONFIG(0xcc), 2), 0x1e03);
	put(&f, CONFIG(0xcc), 0, 2);
	assert_int_equal(feature(&f, SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, &arg, 0), 0);
	arg.wakeup.wakeup_eventfd = e0;
	assert_int_equal(
		feature(&f, SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &arg, 4),
		-EINVAL);
	assert_int_equal(
		feature(&f, SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &arg, 8), 0);
	assert_int_equal(take(&f, e0), 0);
	get(&f, CONFIG(0), 4);
	assert_int_equal(take(&f, e0), 1);
	get(&f, CONFIG(0), 4);
	assert_int_equal(take(&f, e0), 0);
	assert_int_equal(
		feature(&f, SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &arg, 8), 0);
	assert_int_equal(feature(&f, SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, &arg, 0), 0);
	assert_int_equal(take(&f, e0), 1);
	assert_int_equal(feature(&f, SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, &arg, 0), 0);
	arg.wakeup.wakeup_eventfd = -1;
	assert_int_equal(
		feature(&f, SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &arg, 8),
		-EINVAL);
	arg.wakeup.wakeup_eventfd = 99;
	assert_int_equal(
		feature(&f, SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &arg, 8),
		-EBADF);
	arg.wakeup.wakeup_eventfd = e0; /* held at the close */
	assert_int_equal(
		feature(&f, SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &arg, 8), 0);
	close_fd(&f, &e0);
	shut_down(&f);
}

static long dma_buf(struct pci_fixture *f, struct feature *arg, uint32_t index, uint64_t offset,
		    uint64_t len)
{
	arg->dma.region_index = index;
	arg->dma.open_flags = 0;
	arg->dma.flags = 0;
	arg->dma.nr_ranges = 1;
	arg->dma.range = (struct vfio_region_dma_range){ .offset = offset, .length = len };
	return feature(f, GET | VFIO_DEVICE_FEATURE_DMA_BUF, arg, sizeof(arg->dma));
}

static void test_dma_buf(void **state)
{
	struct feature arg = { 0 };
	struct pci_fixture f;
	struct vfake_file *file;
	uint64_t offset = 0, len = 0, at;
	int error, fd;

	(void)state;
	start(&f, "e1000e");
	assert_int_equal(dma_buf(&f, &arg, 4, 0, 4096), -ENODEV);
	assert_int_equal(dma_buf(&f, &arg, 6, 0, 4096), -ENODEV);
	assert_int_equal(dma_buf(&f, &arg, 2, 0, 4096), -EINVAL);
	assert_int_equal(dma_buf(&f, &arg, 0, 0, 0), -EINVAL);
	assert_int_equal(dma_buf(&f, &arg, 0, 1, 4096), -EINVAL);
	assert_int_equal(dma_buf(&f, &arg, 0, 0x1f000, 8192), -EINVAL);
	assert_int_equal(dma_buf(&f, &arg, 0, UINT64_MAX - 4095, 4096), -EOVERFLOW);
	assert_int_equal(dma_buf(&f, &arg, 0, 0, (uint64_t)1 << 63), -EINVAL);
	fd = (int)dma_buf(&f, &arg, 0, 4096, 8192);
	assert_true(fd >= 0);
	file = vfake_fd_file(f.task, fd);
	assert_non_null(vfio_dmabuf_mem(file, &offset, &len, &error));
	assert_int_equal(offset, 4096);
	assert_int_equal(len, 8192);
	assert_int_equal(vfake_mmap(f.task, 4096, 3, fd, 0, &at), -EINVAL);
	put(&f, CONFIG(PCI_COMMAND), 0, 2);
	assert_null(vfio_dmabuf_mem(file, &offset, &len, &error));
	assert_int_equal(error, -ENODEV);
	put(&f, CONFIG(PCI_COMMAND), PCI_COMMAND_MEMORY, 2);
	assert_non_null(vfio_dmabuf_mem(file, &offset, &len, &error));
	assert_null(vfio_dmabuf_mem(vfake_fd_file(f.task, f.fd), &offset, &len, &error));
	assert_int_equal(error, -EINVAL);
	close_fd(&f, &f.fd);
	assert_null(vfio_dmabuf_mem(file, &offset, &len, &error));
	close_fd(&f, &fd);
	shut_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_function_reset),
		cmocka_unit_test(test_hot_reset_by_groups),
		cmocka_unit_test(test_hot_reset_by_iommufd),
		cmocka_unit_test(test_last_close_resets_bus),
		cmocka_unit_test(test_probe_features),
		cmocka_unit_test(test_low_power),
		cmocka_unit_test(test_dma_buf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
