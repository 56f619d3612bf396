/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What most scenarios of the fake kernel begin with: a running world with one process, a container
 * with a device in it, one-line calls, and the check that all came back at the end.
 */
#ifndef SCENARIOS_COMMON_H
#define SCENARIOS_COMMON_H

#include <stddef.h>
#include <stdint.h>

#include <uapi/vfio.h>
#include <vfake/kernel.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { PAGE = 4096 };

/* A running world and its first process. */
struct rig {
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	struct vfake_ledger start; /* with the process there and nothing open */
};

/* Root with the memory of this program, so that a test passes pointers to its own structs. */
extern const struct vfake_task_attr root_here;

/* The recorded x86 machine: d0 "edu", d1 "e1000e", d2 "plain", each in a group of its own. */
void world_with_three(struct vfake_world *world);

/* Starts a world that must be sound, and a process in it. */
void rig_boot(struct rig *rig, const struct vfake_world *world, const struct vfake_task_attr *attr);
/* world_with_three() and root_here. */
void rig_boot_default(struct rig *rig);
/* Everything that was opened, mapped and allocated since the start is gone, and nothing warned. */
void rig_assert_settled(const struct rig *rig);
/* The process ends, nothing at all is left, and the world ends. */
void rig_end(struct rig *rig);

/* Two ledgers are equal. */
void assert_same_ledger(struct vfake_ledger got, struct vfake_ledger want);

/* Anonymous memory, readable and writable. */
vfake_addr map_memory(struct vfake_task *task, uint64_t len);
/* The same directly behind @addr, which no mmap() does by itself. */
vfake_addr map_memory_at(struct vfake_task *task, vfake_addr addr, uint64_t len, int prot);

/* The node of a device's group, or of its cdev. */
int open_group(struct vfake_task *task, const char *device);
int open_cdev(struct vfake_task *task, const char *device);
long set_container(struct vfake_task *task, int group, int container);
int get_device(struct vfake_task *task, int group, const char *device);

/* A container with the group of one device, set to an IOMMU type. */
struct vfio_set {
	int container;
	int group;
	int device;
};

/* Opens all three; every step must work. */
struct vfio_set open_set(struct vfake_task *task, const char *device, unsigned long type);
void close_set(struct vfake_task *task, const struct vfio_set *set);

enum { READ_WRITE = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE };

long dma_map(struct vfake_task *task, int container, uint32_t flags, vfake_addr vaddr,
	     uint64_t iova, uint64_t size);
/* @unmapped gets the size that the kernel wrote back; NULL is allowed. */
long dma_unmap(struct vfake_task *task, int container, uint32_t flags, uint64_t iova, uint64_t size,
	       uint64_t *unmapped);
/* Mappings that may still be made, as VFIO_IOMMU_GET_INFO tells. */
uint32_t dma_avail(struct vfake_task *task, int container);

#endif
