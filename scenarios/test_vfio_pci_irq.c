/* SPDX-License-Identifier: BSD-2-Clause */
/* vfio-pci: interrupts, ioeventfds, and the device's own DMA and messages. */
#include "pci_fixture.h"

#define NONE	VFIO_IRQ_SET_DATA_NONE
#define BOOL	VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD
#define MASK	VFIO_IRQ_SET_ACTION_MASK
#define UNMASK	VFIO_IRQ_SET_ACTION_UNMASK
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER

enum { INTX, MSI, MSIX, ERR, REQ };

/* SET_IRQS on the first interrupt of an index. */
static long plain_irq(struct pci_fixture *f, uint32_t flags, uint32_t index, uint32_t count)
{
	return set_irqs(f, flags, index, 0, count, NULL, 0);
}

static long bool_irq(struct pci_fixture *f, uint32_t action, uint32_t index, uint8_t value)
{
	return set_irqs(f, BOOL | action, index, 0, 1, &value, sizeof(value));
}

static long fd_irq(struct pci_fixture *f, uint32_t action, uint32_t index, int32_t fd)
{
	return set_irqs(f, EVENTFD | action, index, 0, 1, &fd, sizeof(fd));
}

static void test_irq_info(void **state)
{
	static const struct {
		const char *model;
		uint32_t index;
		long ret;
		uint32_t flags;
		uint32_t count;
	} want[] = {
		{ "edu", INTX, 0, 7, 1 },   { "edu", MSI, 0, 9, 1 },
		{ "edu", MSIX, 0, 9, 0 },   { "edu", ERR, -EINVAL, 0, 0 },
		{ "edu", REQ, 0, 9, 1 },    { "plain", INTX, 0, 7, 0 },
		{ "plain", MSI, 0, 9, 0 },  { "e1000e", MSIX, 0, 1, 5 },
		{ "e1000e", ERR, 0, 9, 1 }, { "e1000e", 5, -EINVAL, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct vfio_irq_info info = { .argsz = sizeof(info), .index = want[i].index };
		struct pci_fixture f;

		start(&f, want[i].model);
		assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_GET_IRQ_INFO, &info), want[i].ret);
		assert_int_equal(info.flags, want[i].flags);
		assert_int_equal(info.count, want[i].count);
		shut_down(&f);
	}
}

static void test_set_irqs_checks(void **state)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set), .flags = EVENTFD | TRIGGER, .index = MSIX, .count = 1
	};
	struct pci_fixture f;
	uint8_t one = 1;

	(void)state;
	start(&f, "e1000e");
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_SET_IRQS, &set),
			 -EINVAL); /* no room for data */
	assert_int_equal(plain_irq(&f, NONE | TRIGGER, 5, 1), -EINVAL);
	assert_int_equal(plain_irq(&f, NONE | TRIGGER | 64, REQ, 1), -EINVAL);
	assert_int_equal(set_irqs(&f, NONE | TRIGGER, MSIX, 1, UINT32_MAX - 1, NULL, 0), -EINVAL);
	assert_int_equal(set_irqs(&f, NONE | TRIGGER, MSIX, 5, 0, NULL, 0), -EINVAL);
	assert_int_equal(set_irqs(&f, NONE | TRIGGER, MSIX, 4, 2, NULL, 0), -EINVAL);
	assert_int_equal(plain_irq(&f, TRIGGER, REQ, 1), -EINVAL);
	assert_int_equal(set_irqs(&f, NONE | BOOL | TRIGGER, REQ, 0, 1, &one, 1), -EINVAL);
	assert_int_equal(plain_irq(&f, NONE, REQ, 1), -ENOTTY);
	assert_int_equal(plain_irq(&f, NONE | MASK | TRIGGER, REQ, 1), -ENOTTY);
	assert_int_equal(plain_irq(&f, NONE | MASK, MSI, 1), -ENOTTY);
	assert_int_equal(plain_irq(&f, NONE | UNMASK, MSIX, 1), -ENOTTY);
	assert_int_equal(plain_irq(&f, NONE | MASK, ERR, 1), -ENOTTY);
	assert_int_equal(plain_irq(&f, NONE | MASK, INTX, 1), -EINVAL);
	assert_int_equal(plain_irq(&f, NONE | TRIGGER, INTX, 1), -EINVAL);
	assert_int_equal(plain_irq(&f, EVENTFD | TRIGGER, MSI, 0), -ERANGE);
	assert_int_equal(fd_irq(&f, TRIGGER, INTX, 99), -EBADF);
	assert_int_equal(fd_irq(&f, TRIGGER, INTX, f.group), -EINVAL);
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_SET_IRQS, bad_pointer()), -EFAULT);
	shut_down(&f);
}

static void test_intx(void **state)
{
	struct pci_fixture f;
	struct vfio_device *device;
	int e0, e1;

	(void)state;
	start(&f, "edu");
	device = device_named(&f, "d");
	e0 = new_eventfd(&f);
	e1 = new_eventfd(&f);
	assert_int_equal(fd_irq(&f, TRIGGER, INTX, e0), 0);
	assert_int_equal(fd_irq(&f, TRIGGER, MSI, e0), -EINVAL);
	assert_int_equal(plain_irq(&f, NONE | TRIGGER, INTX, 1), 0);
	assert_int_equal(bool_irq(&f, TRIGGER, INTX, 1), 0);
	assert_int_equal(bool_irq(&f, TRIGGER, INTX, 0), 0);
	assert_int_equal(take(&f, e0), 2);
	/* The line: one signal, then masked until somebody unmasks it. */
	vfio_pci_set_intx(device, true);
	vfio_pci_set_intx(device, true);
	assert_int_equal(take(&f, e0), 1);
	assert_int_equal(get(&f, CONFIG(PCI_STATUS), 2) & PCI_STATUS_INTERRUPT,
			 PCI_STATUS_INTERRUPT);
	assert_int_equal(plain_irq(&f, NONE | UNMASK, INTX, 1), 0);
	assert_int_equal(take(&f, e0), 1);
	vfio_pci_set_intx(device, false);
	assert_int_equal(bool_irq(&f, UNMASK, INTX, 1), 0);
	assert_int_equal(take(&f, e0), 0);
	assert_int_equal(plain_irq(&f, NONE | MASK, INTX, 1), 0);
	vfio_pci_set_intx(device, true);
	assert_int_equal(take(&f, e0), 0);
	assert_int_equal(fd_irq(&f, MASK, INTX, e1), -ENOTTY);
	/* Another eventfd takes over; none at all is fine too. */
	assert_int_equal(fd_irq(&f, TRIGGER, INTX, e1), 0);
	assert_int_equal(plain_irq(&f, NONE | UNMASK, INTX, 1), 0);
	assert_int_equal(take(&f, e1), 1);
	assert_int_equal(fd_irq(&f, TRIGGER, INTX, -1), 0);
	assert_int_equal(plain_irq(&f, NONE | TRIGGER, INTX, 1), 0);
	assert_int_equal(plain_irq(&f, NONE | TRIGGER, INTX, 0), 0);
	assert_int_equal(plain_irq(&f, NONE | TRIGGER, INTX, 0), -EINVAL);
	close_fd(&f, &e0);
	close_fd(&f, &e1);
	shut_down(&f);
}

static void test_intx_disable_bit(void **state)
{
	struct pci_fixture f;
	struct vfio_device *device;
	int e0;

	(void)state;
	start(&f, "edu");
	device = device_named(&f, "d");
	e0 = new_eventfd(&f);
	put(&f, CONFIG(PCI_COMMAND), PCI_COMMAND_INTX_DISABLE, 2);
	assert_int_equal(fd_irq(&f, TRIGGER, INTX, e0), 0);
	vfio_pci_set_intx(device, true);
	assert_int_equal(plain_irq(&f, NONE | TRIGGER, INTX, 1), 0);
	assert_int_equal(plain_irq(&f, NONE | UNMASK, INTX, 1), 0);
	assert_int_equal(take(&f, e0), 0);
	put(&f, CONFIG(PCI_COMMAND), 0, 2);
	assert_int_equal(take(&f, e0), 1);
	close_fd(&f, &e0);
	shut_down(&f);
}

static void test_unmask_eventfd(void **state)
{
	struct pci_fixture f;
	struct vfio_device *device;
	int e0, e1;

	(void)state;
	start(&f, "edu");
	device = device_named(&f, "d");
	e0 = new_eventfd(&f);
	e1 = new_eventfd(&f);
	assert_int_equal(fd_irq(&f, UNMASK, INTX, e1), -EINVAL);
	assert_int_equal(fd_irq(&f, TRIGGER, INTX, e0), 0);
	assert_int_equal(fd_irq(&f, UNMASK, INTX, 99), -EBADF);
	assert_int_equal(fd_irq(&f, UNMASK, INTX, e1), 0);
	assert_int_equal(fd_irq(&f, UNMASK, INTX, e1), -EBUSY);
	vfio_pci_set_intx(device, true);
	assert_int_equal(take(&f, e0), 1);
	/* Still asserted: the unmask sends the interrupt again and takes its own count. */
	signal_eventfd(&f, e1);
	assert_int_equal(take(&f, e0), 1);
	assert_int_equal(take(&f, e1), 0);
	vfio_pci_set_intx(device, false);
	signal_eventfd(&f, e1);
	vfio_pci_set_intx(device, true);
	assert_int_equal(take(&f, e0), 1);
	/* The end of the eventfd's file frees the place; so does -1. */
	close_fd(&f, &e1);
	e1 = new_eventfd(&f);
	signal_eventfd(&f, e1);
	assert_int_equal(fd_irq(&f, UNMASK, INTX, e1), 0);
	assert_int_equal(take(&f, e0), 1);
	assert_int_equal(take(&f, e1), 1);
	assert_int_equal(fd_irq(&f, UNMASK, INTX, -1), 0);
	assert_int_equal(fd_irq(&f, UNMASK, INTX, e1), 0);
	/* One eventfd for both ends: it is asserted still, and this must come to an end. */
	assert_int_equal(fd_irq(&f, TRIGGER, INTX, e1), 0);
	signal_eventfd(&f, e1);
	assert_int_equal(take(&f, e1), 1);
	close_fd(&f, &e0);
	close_fd(&f, &e1);
	shut_down(&f);
}

static void test_msi(void **state)
{
	struct pci_fixture f;
	struct vfio_device *device;
	int e0;

	(void)state;
	start(&f, "edu");
	device = device_named(&f, "d");
	e0 = new_eventfd(&f);
	assert_int_equal(plain_irq(&f, NONE | TRIGGER, MSI, 0), -EINVAL);
	assert_int_equal(fd_irq(&f, TRIGGER, MSI, e0), 0);
	assert_int_equal(fd_irq(&f, TRIGGER, INTX, e0), -EINVAL);
	assert_int_equal(plain_irq(&f, NONE | TRIGGER, MSI, 1), 0);
	assert_int_equal(bool_irq(&f, TRIGGER, MSI, 1), 0);
	assert_int_equal(bool_irq(&f, TRIGGER, MSI, 0), 0);
	assert_int_equal(take(&f, e0), 2);
	/* A message leaves the device only as bus master. */
	vfio_pci_trigger(device, MSI, 0);
	assert_int_equal(take(&f, e0), 0);
	put(&f, CONFIG(PCI_COMMAND), PCI_COMMAND_MASTER, 2);
	vfio_pci_trigger(device, MSI, 0);
	vfio_pci_trigger(device, MSI, 1);
	vfio_pci_trigger(device, MSIX, 0);
	assert_int_equal(take(&f, e0), 1);
	put(&f, CONFIG(0x42), 0x71, 1); /* now it may be enabled, but there is one vector only */
	assert_int_equal(get(&f, CONFIG(0x42), 1), 1);
	/* A bad eventfd takes the old one away. */
	assert_int_equal(fd_irq(&f, TRIGGER, MSI, 99), -EBADF);
	vfio_pci_trigger(device, MSI, 0);
	assert_int_equal(take(&f, e0), 0);
	assert_int_equal(plain_irq(&f, NONE | TRIGGER, MSI, 0), 0);
	close_fd(&f, &e0);
	shut_down(&f);
}

static void test_msix(void **state)
{
	struct pci_fixture f;
	struct vfio_device *device;
	int32_t fds[3];
	uint8_t bools[3] = { 1, 0, 1 };

	(void)state;
	start(&f, "e1000e");
	device = device_named(&f, "d");
	for (int i = 0; i < 3; i++)
		fds[i] = new_eventfd(&f);
	put(&f, CONFIG(PCI_COMMAND), PCI_COMMAND_MASTER, 2);
	assert_int_equal(set_irqs(&f, EVENTFD | TRIGGER, MSIX, 0, 2, fds, 8), 0);
	assert_int_equal(get(&f, CONFIG(0xa2), 2), 0x8004);
	/* Vectors beyond the first call's can be added. */
	assert_int_equal(set_irqs(&f, EVENTFD | TRIGGER, MSIX, 4, 1, &fds[2], 4), 0);
	vfio_pci_trigger(device, MSIX, 4);
	assert_int_equal(take(&f, fds[2]), 1);
	assert_int_equal(set_irqs(&f, EVENTFD | TRIGGER, MSIX, 2, 1, &fds[2], 4), 0);
	assert_int_equal(set_irqs(&f, BOOL | TRIGGER, MSIX, 0, 3, bools, 3), 0);
	assert_int_equal(take(&f, fds[0]), 1);
	assert_int_equal(take(&f, fds[1]), 0);
	assert_int_equal(take(&f, fds[2]), 1);
	/* A block with a bad one is taken back whole. */
	fds[1] ^= 0x4000;
	assert_int_equal(set_irqs(&f, EVENTFD | TRIGGER, MSIX, 0, 3, fds, 12), -EBADF);
	fds[1] ^= 0x4000;
	assert_int_equal(set_irqs(&f, NONE | TRIGGER, MSIX, 0, 3, NULL, 0), 0);
	assert_int_equal(take(&f, fds[0]), 0);
	assert_int_equal(take(&f, fds[2]), 1); /* behind the bad one nothing was touched */
	assert_int_equal(plain_irq(&f, NONE | TRIGGER, MSIX, 0), 0);
	assert_int_equal(get(&f, CONFIG(0xa2), 2), 0x0004);
	/* Not in a low-power state. */
	put(&f, CONFIG(0xcc), 3, 2);
	assert_int_equal(set_irqs(&f, EVENTFD | TRIGGER, MSIX, 0, 2, fds, 8), -EINVAL);
	for (int i = 0; i < 3; i++)
		close_fd(&f, &fds[i]);
	shut_down(&f);
}

static void test_err_and_req(void **state)
{
	struct pci_fixture f;
	struct vfio_device *device;
	int e0;

	(void)state;
	start(&f, "e1000e");
	device = device_named(&f, "d");
	e0 = new_eventfd(&f);
	for (uint32_t index = ERR; index <= REQ; index++) {
		assert_int_equal(plain_irq(&f, NONE | TRIGGER, index, 1), -EINVAL);
		assert_int_equal(plain_irq(&f, NONE | TRIGGER, index, 0), -EINVAL);
		assert_int_equal(bool_irq(&f, TRIGGER, index, 1), 0);
		assert_int_equal(fd_irq(&f, TRIGGER, index, e0), 0);
		assert_int_equal(fd_irq(&f, TRIGGER, index, -2), -EINVAL);
		assert_int_equal(plain_irq(&f, NONE | TRIGGER, index, 1), 0);
		assert_int_equal(bool_irq(&f, TRIGGER, index, 1), 0);
		assert_int_equal(bool_irq(&f, TRIGGER, index, 0), 0);
		vfio_pci_trigger(device, index, 0);
		assert_int_equal(take(&f, e0), 3);
		assert_int_equal(fd_irq(&f, TRIGGER, index, -1), 0);
		assert_int_equal(plain_irq(&f, EVENTFD | TRIGGER, index, 0), -EINVAL);
		assert_int_equal(fd_irq(&f, TRIGGER, index, e0), 0);
		assert_int_equal(plain_irq(&f, NONE | TRIGGER, index, 0), 0);
		assert_int_equal(fd_irq(&f, TRIGGER, index, e0), 0);
	}
	close_fd(&f, &e0); /* the device still holds it twice */
	shut_down(&f);
}

/* Everything at once stays set up until the device is closed, which takes it all down. */
static void test_close_cleans_up(void **state)
{
	struct vfio_device_ioeventfd io = { .argsz = sizeof(io),
					    .flags = VFIO_DEVICE_IOEVENTFD_32 };
	struct pci_fixture f;
	int e0, e1;

	(void)state;
	start(&f, "edu");
	e0 = new_eventfd(&f);
	e1 = new_eventfd(&f);
	assert_int_equal(fd_irq(&f, TRIGGER, INTX, e0), 0);
	assert_int_equal(fd_irq(&f, UNMASK, INTX, e1), 0);
	assert_int_equal(fd_irq(&f, TRIGGER, REQ, e0), 0);
	io.fd = e0;
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_IOEVENTFD, &io), 0);
	close_fd(&f, &f.fd);
	signal_eventfd(&f, e1);
	assert_int_equal(take(&f, e1), 1); /* nobody watches it any more */
	close_fd(&f, &e0);
	close_fd(&f, &e1);
	shut_down(&f);
}

static void test_ioeventfd(void **state)
{
	struct vfio_device_ioeventfd io = { .argsz = sizeof(io),
					    .flags = VFIO_DEVICE_IOEVENTFD_32,
					    .offset = REGION(0) + 0x10,
					    .data = 0x11223344 };
	struct pci_fixture f;
	int e0;

	(void)state;
	start(&f, "e1000e");
	e0 = new_eventfd(&f);
	io.fd = -1;
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_IOEVENTFD, &io), -ENODEV);
	io.fd = e0;
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_IOEVENTFD, &io), 0);
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_IOEVENTFD, &io), -EEXIST);
	signal_eventfd(&f, e0);
	assert_int_equal(take(&f, e0), 0);
	assert_int_equal(get(&f, REGION(0) + 0x10, 4), 0x11223344);
	io.fd = -1;
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_IOEVENTFD, &io), 0);
	io.fd = 99;
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_IOEVENTFD, &io), -EBADF);
	io.fd = e0;
	io.flags = VFIO_DEVICE_IOEVENTFD_64;
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_IOEVENTFD, &io), -EINVAL);
	io.flags = VFIO_DEVICE_IOEVENTFD_8 | VFIO_DEVICE_IOEVENTFD_16;
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_IOEVENTFD, &io), -EINVAL);
	io.flags = VFIO_DEVICE_IOEVENTFD_32;
	io.offset =
		REGION(3) + 0x4c; /* the last dword of the MSI-X table, then the one behind it */
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_IOEVENTFD, &io), -EINVAL);
	io.offset = REGION(3) + 0x50;
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_IOEVENTFD, &io), 0);
	io.offset = REGION(7);
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_IOEVENTFD, &io), -EINVAL);
	io.offset = REGION(2) + 30;
	assert_int_equal(ioctl_of(&f, f.fd, VFIO_DEVICE_IOEVENTFD, &io), -EINVAL);
	close_fd(&f, &e0);
	shut_down(&f);
}

static void test_dma(void **state)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = 1, .iova = 0x10000, .size = 8192
	};
	struct pci_fixture f;
	struct vfio_pci *pci;
	uint64_t at = 0;
	uint8_t bytes[16] = "written by DMA!";
	uint8_t back[16] = { 0 };

	(void)state;
	start(&f, "edu");
	pci = vfio_pci_of(device_named(&f, "d"));
	assert_int_equal(vfake_mmap(f.task, 8192, 3, -1, 0, &at), 0);
	map.vaddr = at;
	assert_int_equal(ioctl_of(&f, f.container, VFIO_IOMMU_MAP_DMA, &map), 0);
	put(&f, CONFIG(PCI_COMMAND), PCI_COMMAND_MASTER, 2);
	memcpy((void *)(uintptr_t)(at + 4090), bytes, sizeof(bytes));
	assert_int_equal(vfio_pci_dma(pci, 0x10000 + 4090, back, sizeof(back), false), 0);
	assert_memory_equal(back, bytes, sizeof(bytes));
	assert_int_equal(vfio_pci_dma(pci, 0x10000, bytes, sizeof(bytes), true),
			 -EFAULT); /* read-only */
	assert_int_equal(vfio_pci_dma(pci, 0x12000 - 8, back, sizeof(back), false), -EFAULT);
	assert_int_equal(vfio_pci_dma(pci, UINT64_MAX, back, sizeof(back), false), -EFAULT);
	put(&f, CONFIG(PCI_COMMAND), 0, 2);
	assert_int_equal(vfio_pci_dma(pci, 0x10000, back, sizeof(back), false), -EFAULT);
	assert_int_equal(vfake_munmap(f.task, at, 8192), 0);
	shut_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_irq_info),
		cmocka_unit_test(test_set_irqs_checks),
		cmocka_unit_test(test_intx),
		cmocka_unit_test(test_intx_disable_bit),
		cmocka_unit_test(test_unmask_eventfd),
		cmocka_unit_test(test_msi),
		cmocka_unit_test(test_msix),
		cmocka_unit_test(test_err_and_req),
		cmocka_unit_test(test_close_cleans_up),
		cmocka_unit_test(test_ioeventfd),
		cmocka_unit_test(test_dma),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
