/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one whole call costs: VFIO_IOMMU_MAP_DMA and VFIO_IOMMU_UNMAP_DMA through the dispatcher,
 * with copy-in, every check, pinning and accounting, beside an ioctl that the host's kernel
 * rejects at once, in turns in one run.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <uapi/vfio.h>
#include <vfake/kernel.h>

#include "bench.h"

enum { MAPPINGS = 1000, PAGE = 4096, STRIDE = 2 * PAGE };

/* A container with one device, and in the task's memory one struct per call. */
struct subject {
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	int container;
	vfake_addr maps;   /* of MAPPINGS struct vfio_iommu_type1_dma_map */
	vfake_addr unmaps; /* of MAPPINGS struct vfio_iommu_type1_dma_unmap */
};

static vfake_addr memory(struct subject *subject, uint64_t len)
{
	vfake_addr addr;

	bench_require(
		!vfake_mmap(subject->task, len, VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0, &addr),
		"mmap");
	return addr;
}

static void write_structs(struct subject *subject, vfake_addr pages)
{
	for (uint64_t i = 0; i < MAPPINGS; i++) {
		struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
							.flags = VFIO_DMA_MAP_FLAG_READ |
								 VFIO_DMA_MAP_FLAG_WRITE,
							.vaddr = pages + i * PAGE,
							.iova = i * STRIDE,
							.size = PAGE };
		struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap),
							    .iova = i * STRIDE,
							    .size = PAGE };

		vfake_poke(subject->task, subject->maps + i * sizeof(map), &map, sizeof(map));
		vfake_poke(subject->task, subject->unmaps + i * sizeof(unmap), &unmap,
			   sizeof(unmap));
	}
}

static void start(struct subject *subject)
{
	struct vfake_world *world = bench_alloc(1, sizeof(*world));
	int32_t container;
	vfake_addr arg;
	int group;

	vfake_world_x86(world);
	bench_require(!vfake_world_add_device(world, "d0", "edu"), "world");
	subject->kernel = vfake_kernel_new(world, NULL);
	bench_require(subject->kernel, "kernel");
	subject->task = vfake_task_new(subject->kernel, &vfake_root);
	bench_require(subject->task, "task");
	subject->maps = memory(subject, MAPPINGS * sizeof(struct vfio_iommu_type1_dma_map));
	subject->unmaps = memory(subject, MAPPINGS * sizeof(struct vfio_iommu_type1_dma_unmap));
	subject->container = container = vfake_open(subject->task, "/dev/vfio/vfio");
	group = vfake_open(subject->task, "/dev/vfio/0");
	if (group < 0)
		group = vfake_open(subject->task, "/dev/vfio/1");
	arg = memory(subject, PAGE);
	vfake_poke(subject->task, arg, &container, sizeof(container));
	bench_require(!vfake_ioctl(subject->task, group, VFIO_GROUP_SET_CONTAINER, arg),
		      "set container");
	bench_require(!vfake_ioctl(subject->task, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU),
		      "set iommu");
	write_structs(subject, memory(subject, MAPPINGS * PAGE));
	free(world);
}

/* Nanoseconds per call of @number over the structs at @args, in @order. */
static double measure(const struct subject *subject, uint32_t number, vfake_addr args, size_t size,
		      const uint32_t *order)
{
	uint64_t begin = bench_cpu_ns();

	for (size_t i = 0; i < MAPPINGS; i++)
		bench_require(!vfake_ioctl(subject->task, subject->container, number,
					   args + order[i] * size),
			      "a call");
	return (double)(bench_cpu_ns() - begin) / (double)MAPPINGS;
}

static double measure_host(int fd)
{
	uint64_t begin = bench_cpu_ns();

	for (size_t i = 0; i < MAPPINGS; i++)
		bench_require(ioctl(fd, VFIO_GET_API_VERSION, 0) < 0, "the host took the ioctl");
	return (double)(bench_cpu_ns() - begin) / (double)MAPPINGS;
}

static void run(struct bench *bench)
{
	double map[BENCH_ROUNDS_MAX], unmap[BENCH_ROUNDS_MAX], host[BENCH_ROUNDS_MAX];
	uint32_t *order = bench_alloc(MAPPINGS, sizeof(*order));
	int fd = eventfd(0, EFD_CLOEXEC);
	struct subject subject;
	uint64_t seed = 1;
	double host_ns, map_ns;

	bench_require(fd >= 0, "eventfd");
	start(&subject);
	for (unsigned int i = 0; i < bench->rounds; i++) {
		bench_shuffle(order, MAPPINGS, &seed);
		map[i] = measure(&subject, VFIO_IOMMU_MAP_DMA, subject.maps,
				 sizeof(struct vfio_iommu_type1_dma_map), order);
		host[i] = measure_host(fd);
		bench_shuffle(order, MAPPINGS, &seed);
		unmap[i] = measure(&subject, VFIO_IOMMU_UNMAP_DMA, subject.unmaps,
				   sizeof(struct vfio_iommu_type1_dma_unmap), order);
	}
	map_ns = bench_median(map, bench->rounds);
	host_ns = bench_median(host, bench->rounds);
	bench_value(bench, "ns per call, 1 K mappings", "VFIO_IOMMU_MAP_DMA", "ns", map_ns);
	bench_value(bench, "ns per call, 1 K mappings", "VFIO_IOMMU_UNMAP_DMA", "ns",
		    bench_median(unmap, bench->rounds));
	bench_value(bench, "ns per call, 1 K mappings", "ENOTTY of the host", "ns", host_ns);
	bench_goal_at_most(bench, "a MAP_DMA call against an ioctl that the host rejects", 1.0,
			   map_ns / host_ns, "x");
	vfake_kernel_free(subject.kernel);
	close(fd);
	free(order);
}

const struct bench_section bench_call = {
	.name = "call",
	.about = "a whole VFIO_IOMMU_MAP_DMA call beside an ioctl that the host rejects",
	.run = run,
};
