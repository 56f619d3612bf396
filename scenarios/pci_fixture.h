/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device opened through its group, for the scenarios of vfio-pci: one task that shares the test's
 * memory, so a pointer is an address.
 */
#ifndef SCENARIOS_PCI_FIXTURE_H
#define SCENARIOS_PCI_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfio_pci.h"

#define REGION(index) ((uint64_t)(index) << 40)
#define CONFIG(at)    (REGION(VFIO_PCI_CONFIG_REGION_INDEX) + (uint64_t)(at))

struct pci_fixture {
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	struct vfake_ledger start;
	int container;
	int group;
	int fd; /* the device */
};

static inline uint64_t addr(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

/* An address that nobody can read or write. */
static inline void *bad_pointer(void)
{
	return (void *)(uintptr_t)8;
}

static inline long ioctl_of(struct pci_fixture *f, int fd, uint32_t number, const void *arg)
{
	return vfake_ioctl(f->task, fd, number, addr(arg));
}

static inline void boot(struct pci_fixture *f, const struct vfake_world *world)
{
	struct vfake_task_attr attr = vfake_root;
	const char *error = NULL;

	attr.host_memory = true;
	f->kernel = vfake_kernel_new(world, &error);
	assert_null(error);
	assert_non_null(f->kernel);
	f->task = vfake_task_new(f->kernel, &attr);
	assert_non_null(f->task);
	f->start = vfake_ledger(f->kernel);
	f->container = f->group = f->fd = -1;
}

static inline int open_group(struct pci_fixture *f, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%u", vfake_device_desc(f->kernel, name)->group);
	return vfake_open(f->task, path);
}

static inline void open_device_of(struct pci_fixture *f, const char *name)
{
	f->container = vfake_open(f->task, "/dev/vfio/vfio");
	assert_true(f->container >= 0);
	f->group = open_group(f, name);
	assert_true(f->group >= 0);
	assert_int_equal(ioctl_of(f, f->group, VFIO_GROUP_SET_CONTAINER, &f->container), 0);
	assert_int_equal(vfake_ioctl(f->task, f->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	f->fd = (int)ioctl_of(f, f->group, VFIO_GROUP_GET_DEVICE_FD, name);
	assert_true(f->fd >= 0);
}

static inline void close_fd(struct pci_fixture *f, int *fd)
{
	if (*fd >= 0)
		assert_int_equal(vfake_close(f->task, *fd), 0);
	*fd = -1;
}

/* Closes what open_device_of() opened. */
static inline void close_files(struct pci_fixture *f)
{
	close_fd(f, &f->fd);
	close_fd(f, &f->group);
	close_fd(f, &f->container);
}

/* The same, and nothing may be left: what the test made besides is closed already. */
static inline void close_device_of(struct pci_fixture *f)
{
	struct vfake_ledger now;

	close_files(f);
	now = vfake_ledger(f->kernel);
	assert_memory_equal(&now, &f->start, sizeof(now));
}

static inline void shut_down(struct pci_fixture *f)
{
	close_device_of(f);
	vfake_kernel_free(f->kernel);
}

static inline struct vfake_world *new_world(void)
{
	struct vfake_world *world = malloc(sizeof(*world));

	assert_non_null(world);
	vfake_world_x86(world);
	return world;
}

/* A world of one built-in device "d", opened. */
static inline void start(struct pci_fixture *f, const char *model)
{
	struct vfake_world *world = new_world();

	assert_int_equal(vfake_world_add_device(world, "d", model), 0);
	boot(f, world);
	free(world);
	open_device_of(f, "d");
}

static inline uint64_t get(struct pci_fixture *f, uint64_t offset, uint32_t len)
{
	uint8_t bytes[8] = { 0 };
	uint64_t value = 0;

	assert_int_equal(vfake_pread(f->task, f->fd, addr(bytes), len, offset), len);
	for (uint32_t i = len; i-- > 0;)
		value = value << 8 | bytes[i];
	return value;
}

static inline void put(struct pci_fixture *f, uint64_t offset, uint64_t value, uint32_t len)
{
	uint8_t bytes[8];

	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
	assert_int_equal(vfake_pwrite(f->task, f->fd, addr(bytes), len, offset), len);
}

static inline int new_eventfd(struct pci_fixture *f)
{
	int fd = vfake_eventfd(f->task);

	assert_true(fd >= 0);
	return fd;
}

/* Signals since the last call. */
static inline uint64_t take(struct pci_fixture *f, int eventfd)
{
	uint64_t count = 0;
	long ret = vfake_read(f->task, eventfd, addr(&count), sizeof(count));

	assert_true(ret == (long)sizeof(count) || ret == -EAGAIN);
	return count;
}

static inline void signal_eventfd(struct pci_fixture *f, int eventfd)
{
	uint64_t one = 1;

	assert_int_equal(vfake_write(f->task, eventfd, addr(&one), sizeof(one)), sizeof(one));
}

static inline struct vfio_device *device_named(struct pci_fixture *f, const char *name)
{
	struct vfio_device *device;

	LIST_FOREACH(device, &f->kernel->devices, entry)
	{
		if (!strcmp(device->desc->name, name))
			return device;
	}
	fail();
	return NULL;
}

/* VFIO_DEVICE_SET_IRQS with @data_bytes of data. */
static inline long set_irqs(struct pci_fixture *f, uint32_t flags, uint32_t index, uint32_t first,
			    uint32_t count, const void *data, uint32_t data_bytes)
{
	struct vfio_irq_set set = { .argsz = (uint32_t)sizeof(set) + data_bytes,
				    .flags = flags,
				    .index = index,
				    .start = first,
				    .count = count };
	uint8_t arg[sizeof(set) + 64];

	assert_true(data_bytes <= sizeof(arg) - sizeof(set));
	memcpy(arg, &set, sizeof(set));
	if (data_bytes)
		memcpy(arg + sizeof(set), data, data_bytes);
	return ioctl_of(f, f->fd, VFIO_DEVICE_SET_IRQS, arg);
}

#endif
