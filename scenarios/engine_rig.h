/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of the copy engine for the tests: it knows vfake/models.h and the public calls, nothing
 * of the inside. One process, whose arguments are pointers of the test; the memory that devices
 * work on is the fake kernel's.
 */
#ifndef SCENARIOS_ENGINE_RIG_H
#define SCENARIOS_ENGINE_RIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>
#include <uapi/iommufd.h>
#include <uapi/vfio.h>
#include <uapi/vfio_iommu.h>
#include <vfake/kernel.h>
#include <vfake/models.h>

enum {
	PAGE = 4096,
	MEMORY_BYTES = 64 * PAGE,
	RW = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
};

/* A device and what it was opened through; -1 for what it was not. */
struct engine {
	struct vfake_task *task;
	int container;
	int group;
	int iommufd;
	int fd;
	uint32_t devid;
};

struct rig {
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	struct vfake_ledger before;
	vfake_addr memory; /* MEMORY_BYTES, a memfd's */
	int memfd;
};

static inline uint64_t addr(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

static inline long call(struct vfake_task *task, int fd, uint32_t number, const void *arg)
{
	return vfake_ioctl(task, fd, number, addr(arg));
}

static inline struct vfake_task *new_task(struct vfake_kernel *kernel)
{
	struct vfake_task_attr attr = vfake_root;
	struct vfake_task *task;

	attr.host_memory = true;
	task = vfake_task_new(kernel, &attr);
	assert_non_null(task);
	return task;
}

static inline vfake_addr map_memfd(struct vfake_task *task, int memfd)
{
	vfake_addr at;

	assert_int_equal(
		vfake_mmap(task, MEMORY_BYTES, VFAKE_PROT_READ | VFAKE_PROT_WRITE, memfd, 0, &at),
		0);
	return at;
}

/* A world of devices "a" and "b" of one model. */
static inline struct vfake_world *new_world(const char *model)
{
	struct vfake_world *world = malloc(sizeof(*world));

	assert_non_null(world);
	vfake_world_x86(world);
	world->iommu_dirty_tracking = true;
	assert_int_equal(vfake_world_add_device(world, "a", model), 0);
	assert_int_equal(vfake_world_add_device(world, "b", model), 0);
	return world;
}

static inline void rig_start(struct rig *rig, const char *model)
{
	struct vfake_world *world = new_world(model);
	const char *error = NULL;

	rig->kernel = vfake_kernel_new(world, &error);
	free(world);
	assert_null(error);
	assert_non_null(rig->kernel);
	rig->task = new_task(rig->kernel);
	rig->memfd = vfake_memfd(rig->task, MEMORY_BYTES);
	assert_true(rig->memfd >= 0);
	rig->memory = map_memfd(rig->task, rig->memfd);
	rig->before = vfake_ledger(rig->kernel);
}

static inline void assert_ledger(const struct rig *rig)
{
	struct vfake_ledger now = vfake_ledger(rig->kernel);

	assert_memory_equal(&now, &rig->before, sizeof(now));
}

static inline void rig_end(struct rig *rig)
{
	assert_ledger(rig);
	vfake_kernel_free(rig->kernel);
}

/* ---- opening ---- */

static inline int open_node(struct rig *rig, const char *format, uint32_t number)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), format, number);
	fd = vfake_open(rig->task, path);
	assert_true(fd >= 0);
	return fd;
}

static inline struct engine open_type1(struct rig *rig, const char *name)
{
	struct engine engine = { .task = rig->task, .iommufd = -1 };

	engine.container = vfake_open(rig->task, "/dev/vfio/vfio");
	assert_true(engine.container >= 0);
	engine.group = open_node(rig, "/dev/vfio/%u", vfake_device_desc(rig->kernel, name)->group);
	assert_int_equal(call(rig->task, engine.group, VFIO_GROUP_SET_CONTAINER, &engine.container),
			 0);
	assert_int_equal(
		vfake_ioctl(rig->task, engine.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	engine.fd = (int)call(rig->task, engine.group, VFIO_GROUP_GET_DEVICE_FD, name);
	assert_true(engine.fd >= 0);
	return engine;
}

static inline struct engine open_cdev(struct rig *rig, const char *name, int iommufd)
{
	struct engine engine = { .task = rig->task, .container = -1, .group = -1 };
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = iommufd };

	engine.iommufd = iommufd;
	engine.fd = open_node(rig, "/dev/vfio/devices/vfio%u",
			      vfake_device_desc(rig->kernel, name)->cdev);
	assert_int_equal(call(rig->task, engine.fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
	engine.devid = bind.out_devid;
	return engine;
}

/* Closes all but the iommufd, which may be shared. */
static inline void close_engine(struct engine *engine)
{
	assert_int_equal(vfake_close(engine->task, engine->fd), 0);
	if (engine->group >= 0)
		assert_int_equal(vfake_close(engine->task, engine->group), 0);
	if (engine->container >= 0)
		assert_int_equal(vfake_close(engine->task, engine->container), 0);
}

/* ---- mapping ---- */

static inline long map_dma(const struct engine *engine, uint64_t vaddr, uint64_t iova,
			   uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg), .flags = flags, .vaddr = vaddr, .iova = iova, .size = size
	};

	return call(engine->task, engine->container, VFIO_IOMMU_MAP_DMA, &arg);
}

static inline long unmap_dma(const struct engine *engine, uint64_t iova, uint64_t size,
			     uint32_t flags)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg), .flags = flags, .iova = iova, .size = size
	};

	return call(engine->task, engine->container, VFIO_IOMMU_UNMAP_DMA, &arg);
}

static inline uint32_t new_ioas(struct rig *rig, int iommufd)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };

	assert_int_equal(call(rig->task, iommufd, IOMMU_IOAS_ALLOC, &arg), 0);
	return arg.out_ioas_id;
}

static inline void map_ioas(struct rig *rig, int iommufd, uint32_t ioas, uint64_t vaddr,
			    uint64_t iova, uint64_t length, bool writable)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 (writable ? IOMMU_IOAS_MAP_WRITEABLE : 0U),
		.ioas_id = ioas,
		.user_va = vaddr,
		.length = length,
		.iova = iova,
	};

	assert_int_equal(call(rig->task, iommufd, IOMMU_IOAS_MAP, &arg), 0);
}

static inline uint32_t attach(const struct engine *engine, uint32_t pt)
{
	struct vfio_device_attach_iommufd_pt arg = { .argsz = sizeof(arg), .pt_id = pt };

	assert_int_equal(call(engine->task, engine->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg), 0);
	return arg.pt_id;
}

static inline void detach(const struct engine *engine)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = sizeof(arg) };

	assert_int_equal(call(engine->task, engine->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg), 0);
}

static inline uint32_t new_hwpt(const struct engine *engine, uint32_t pt, uint32_t flags)
{
	struct iommu_hwpt_alloc arg = {
		.size = sizeof(arg), .flags = flags, .dev_id = engine->devid, .pt_id = pt
	};

	assert_int_equal(call(engine->task, engine->iommufd, IOMMU_HWPT_ALLOC, &arg), 0);
	return arg.out_hwpt_id;
}

static inline void destroy(const struct engine *engine, uint32_t id)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = id };

	assert_int_equal(call(engine->task, engine->iommufd, IOMMU_DESTROY, &arg), 0);
}

/* ---- registers ---- */

static inline uint64_t region(uint32_t index, uint64_t at)
{
	return (uint64_t)index << 40 | at;
}

static inline void store(void *to, uint64_t value, uint32_t width)
{
	for (uint32_t i = 0; i < width; i++)
		((uint8_t *)to)[i] = (uint8_t)(value >> 8 * i);
}

static inline uint64_t load(const void *from, uint32_t width)
{
	uint64_t value = 0;

	for (uint32_t i = width; i-- > 0;)
		value = value << 8 | ((const uint8_t *)from)[i];
	return value;
}

static inline uint64_t read_at(const struct engine *engine, uint64_t offset, uint32_t width)
{
	uint8_t bytes[8] = { 0 };

	assert_int_equal(vfake_pread(engine->task, engine->fd, addr(bytes), width, offset), width);
	return load(bytes, width);
}

static inline void write_at(const struct engine *engine, uint64_t offset, uint64_t value,
			    uint32_t width)
{
	uint8_t bytes[8];

	store(bytes, value, width);
	assert_int_equal(vfake_pwrite(engine->task, engine->fd, addr(bytes), width, offset), width);
}

static inline uint32_t get32(const struct engine *engine, uint32_t reg)
{
	return (uint32_t)read_at(engine, region(VFAKE_COPY_BAR_REGS, reg), 4);
}

static inline uint64_t get64(const struct engine *engine, uint32_t reg)
{
	return read_at(engine, region(VFAKE_COPY_BAR_REGS, reg), 8);
}

static inline void set32(const struct engine *engine, uint32_t reg, uint32_t value)
{
	write_at(engine, region(VFAKE_COPY_BAR_REGS, reg), value, 4);
}

static inline void set64(const struct engine *engine, uint32_t reg, uint64_t value)
{
	write_at(engine, region(VFAKE_COPY_BAR_REGS, reg), value, 8);
}

static inline void set_master(const struct engine *engine, bool on)
{
	uint64_t at = region(VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND);
	uint64_t command = read_at(engine, at, 2) & ~(uint64_t)PCI_COMMAND_MASTER;

	write_at(engine, at, command | (on ? PCI_COMMAND_MASTER : 0), 2);
}

/* ---- the ring ---- */

struct desc {
	uint64_t source;
	uint64_t dest;
	uint32_t length;
	uint32_t flags;
	uint32_t status; /* what is read back */
	uint32_t moved;
};

/* Puts a descriptor into slot @slot of a ring at @ring in the task's memory. */
static inline void put_desc(struct vfake_task *task, vfake_addr ring, uint32_t slot,
			    struct desc desc)
{
	uint8_t bytes[VFAKE_COPY_DESC_BYTES];

	store(bytes + VFAKE_COPY_DESC_SOURCE, desc.source, 8);
	store(bytes + VFAKE_COPY_DESC_DEST, desc.dest, 8);
	store(bytes + VFAKE_COPY_DESC_LENGTH, desc.length, 4);
	store(bytes + VFAKE_COPY_DESC_FLAGS, desc.flags, 4);
	store(bytes + VFAKE_COPY_DESC_STATUS, desc.status, 4);
	store(bytes + VFAKE_COPY_DESC_MOVED, desc.moved, 4);
	assert_int_equal(vfake_poke(task, ring + slot * sizeof(bytes), bytes, sizeof(bytes)), 0);
}

static inline struct desc get_desc(struct vfake_task *task, vfake_addr ring, uint32_t slot)
{
	uint8_t bytes[VFAKE_COPY_DESC_BYTES];

	assert_int_equal(vfake_peek(task, ring + slot * sizeof(bytes), bytes, sizeof(bytes)), 0);
	return (struct desc){
		.source = load(bytes + VFAKE_COPY_DESC_SOURCE, 8),
		.dest = load(bytes + VFAKE_COPY_DESC_DEST, 8),
		.length = (uint32_t)load(bytes + VFAKE_COPY_DESC_LENGTH, 4),
		.flags = (uint32_t)load(bytes + VFAKE_COPY_DESC_FLAGS, 4),
		.status = (uint32_t)load(bytes + VFAKE_COPY_DESC_STATUS, 4),
		.moved = (uint32_t)load(bytes + VFAKE_COPY_DESC_MOVED, 4),
	};
}

/* The engine starts on a ring of @size slots at @iova. */
static inline void start_ring(const struct engine *engine, uint64_t iova, uint32_t size)
{
	set_master(engine, true);
	set64(engine, VFAKE_COPY_RING_BASE, iova);
	set32(engine, VFAKE_COPY_RING_SIZE, size);
	set32(engine, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RUN);
}

/* ---- interrupts ---- */

static inline long set_irqs(const struct engine *engine, uint32_t index, const int32_t *fds,
			    uint32_t count)
{
	struct vfio_irq_set set = { .flags = VFIO_IRQ_SET_ACTION_TRIGGER,
				    .index = index,
				    .count = count };
	uint8_t arg[sizeof(set) + VFAKE_COPY_VECTORS * sizeof(fds[0])];

	set.argsz = (uint32_t)(sizeof(set) + count * sizeof(fds[0]));
	set.flags |= count ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE;
	memcpy(arg, &set, sizeof(set));
	if (count)
		memcpy(arg + sizeof(set), fds, count * sizeof(fds[0]));
	return call(engine->task, engine->fd, VFIO_DEVICE_SET_IRQS, arg);
}

/* Signals since the last call. */
static inline uint64_t take_signals(struct vfake_task *task, int eventfd)
{
	uint64_t count = 0;
	long ret = vfake_read(task, eventfd, addr(&count), sizeof(count));

	assert_true(ret == (long)sizeof(count) || ret == -EAGAIN);
	return count;
}

/* ---- memory ---- */

/* Bytes that are nowhere twice at the same distance. */
static inline uint8_t pattern(uint64_t seed, uint64_t at)
{
	uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15 + at * 0xbf58476d1ce4e5b9;

	return (uint8_t)(x >> 56 ^ x >> 31);
}

static inline void fill_memory(struct vfake_task *task, vfake_addr at, uint64_t len, uint64_t seed)
{
	uint8_t *bytes = malloc(len);

	assert_non_null(bytes);
	for (uint64_t i = 0; i < len; i++)
		bytes[i] = pattern(seed, i);
	assert_int_equal(vfake_poke(task, at, bytes, len), 0);
	free(bytes);
}

/* All of the rig's memory; the caller frees it. */
static inline uint8_t *snapshot(struct vfake_task *task, vfake_addr memory)
{
	uint8_t *bytes = malloc(MEMORY_BYTES);

	assert_non_null(bytes);
	assert_int_equal(vfake_peek(task, memory, bytes, MEMORY_BYTES), 0);
	return bytes;
}

static inline struct vfake_device_faults faults_of(const struct rig *rig, const char *name)
{
	struct vfake_device_faults faults;

	assert_int_equal(vfake_device_faults(rig->kernel, name, &faults), 0);
	return faults;
}

#endif
