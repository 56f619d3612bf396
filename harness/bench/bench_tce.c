/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sPAPR v2: a million TCEs of 4 KiB mapped and unmapped, in tables of one level and of three, per
 * TCE, beside writing the words of an array as long as the table.
 *
 * "new" counts the making of the window, and of the array: when a table gets its memory is the
 * window's business. "again" is the next map, "over" one over entries that are filled. Each call
 * covers 64 MiB.
 */
#include <stdio.h>
#include <stdlib.h>

#include <uapi/vfio.h>
#include <vfake/kernel.h>

#include "bench.h"

enum {
	PAGE_SHIFT = 12,
	TCES = 1 << 20,
	TCES_QUICK = 1 << 14,
	TCES_PER_CALL = 1 << 14,
};

enum metric { MAP_NEW, UNMAP, MAP_AGAIN, MAP_OVER, WRITE_NEW, WRITE_AGAIN, METRICS };

static const char *const metric_name[METRICS] = {
	"map new", "unmap", "map again", "map over", "write new", "write again",
};

static const uint32_t shapes[] = { 1, 3 }; /* levels */
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

struct subject {
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	int container;
	uint64_t tces;
	vfake_addr memory; /* registered; nobody touches it */
};

static void call(const struct subject *subject, int fd, uint32_t number, void *arg)
{
	bench_require(!vfake_ioctl(subject->task, fd, number, (uintptr_t)arg), "make a call");
}

static void start_kernel(struct subject *subject)
{
	struct vfake_world *world = bench_alloc(1, sizeof(*world));
	struct vfake_task_attr attr = vfake_root;

	vfake_world_powernv(world);
	world->ram_bytes = (uint64_t)256 << 30;
	bench_require(!vfake_world_add_device(world, "d0", "edu"), "add a device");
	subject->kernel = vfake_kernel_new(world, NULL);
	free(world);
	bench_require(subject->kernel, "start a kernel");
	attr.host_memory = true; /* a pointer is an address */
	subject->task = vfake_task_new(subject->kernel, &attr);
	bench_require(subject->task, "start a task");
}

static void start(struct subject *subject, uint64_t tces)
{
	struct vfio_iommu_spapr_register_memory memory = { .argsz = sizeof(memory),
							   .size = tces << PAGE_SHIFT };
	struct vfio_iommu_spapr_tce_remove window = { .argsz = sizeof(window) };
	char path[64];
	int group;

	start_kernel(subject);
	subject->tces = tces;
	bench_require(!vfake_mmap(subject->task, memory.size, VFAKE_PROT_READ | VFAKE_PROT_WRITE,
				  -1, 0, &subject->memory),
		      "map memory");
	subject->container = vfake_open(subject->task, "/dev/vfio/vfio");
	snprintf(path, sizeof(path), "/dev/vfio/%u",
		 vfake_device_desc(subject->kernel, "d0")->group);
	group = vfake_open(subject->task, path);
	bench_require(subject->container >= 0 && group >= 0, "open container and group");
	call(subject, group, VFIO_GROUP_SET_CONTAINER, &subject->container);
	bench_require(!vfake_ioctl(subject->task, subject->container, VFIO_SET_IOMMU,
				   VFIO_SPAPR_TCE_v2_IOMMU),
		      "set the driver");
	memory.vaddr = subject->memory;
	call(subject, subject->container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &memory);
	call(subject, subject->container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &window);
}

static double ns_since(uint64_t from)
{
	return (double)(bench_cpu_ns() - from);
}

static double map(const struct subject *subject, uint64_t window)
{
	struct vfio_iommu_type1_dma_map arg = { .argsz = sizeof(arg),
						.flags = VFIO_DMA_MAP_FLAG_READ |
							 VFIO_DMA_MAP_FLAG_WRITE,
						.size = (uint64_t)TCES_PER_CALL << PAGE_SHIFT };
	uint64_t from = bench_cpu_ns();

	for (uint64_t i = 0; i < subject->tces; i += TCES_PER_CALL) {
		arg.vaddr = subject->memory + (i << PAGE_SHIFT);
		arg.iova = window + (i << PAGE_SHIFT);
		call(subject, subject->container, VFIO_IOMMU_MAP_DMA, &arg);
	}
	return ns_since(from);
}

static double unmap(const struct subject *subject, uint64_t window)
{
	struct vfio_iommu_type1_dma_unmap arg = { .argsz = sizeof(arg),
						  .size = (uint64_t)TCES_PER_CALL << PAGE_SHIFT };
	uint64_t from = bench_cpu_ns();

	for (uint64_t i = 0; i < subject->tces; i += TCES_PER_CALL) {
		arg.iova = window + (i << PAGE_SHIFT);
		call(subject, subject->container, VFIO_IOMMU_UNMAP_DMA, &arg);
	}
	return ns_since(from);
}

static double write_array(uint64_t *array, uint64_t n, uint64_t value)
{
	uint64_t from = bench_cpu_ns();

	for (uint64_t i = 0; i < n; i++)
		array[i] = value + (i << PAGE_SHIFT);
	__asm__ volatile("" : : "r"(array) : "memory"); /* the words are wanted */
	return ns_since(from);
}

static void measure(const struct subject *subject, uint32_t levels, double ns[METRICS])
{
	struct vfio_iommu_spapr_tce_create create = { .argsz = sizeof(create),
						      .page_shift = PAGE_SHIFT,
						      .window_size = subject->tces << PAGE_SHIFT,
						      .levels = levels };
	struct vfio_iommu_spapr_tce_remove drop = { .argsz = sizeof(drop) };
	uint64_t *array;

	uint64_t from;

	bench_settle_heap();
	from = bench_cpu_ns();
	call(subject, subject->container, VFIO_IOMMU_SPAPR_TCE_CREATE, &create);
	drop.start_addr = create.start_addr;
	map(subject, drop.start_addr);
	ns[MAP_NEW] = ns_since(from);
	ns[MAP_OVER] = map(subject, drop.start_addr);
	ns[UNMAP] = unmap(subject, drop.start_addr);
	ns[MAP_AGAIN] = map(subject, drop.start_addr);
	call(subject, subject->container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &drop);

	bench_settle_heap();
	from = bench_cpu_ns();
	array = bench_alloc(subject->tces, sizeof(*array));
	write_array(array, subject->tces, 1);
	ns[WRITE_NEW] = ns_since(from);
	ns[WRITE_AGAIN] = write_array(array, subject->tces, 3);
	free(array);
}

static void report(struct bench *bench, uint32_t levels, const double *ns)
{
	char text[64];

	snprintf(text, sizeof(text), "%u level%s", levels, levels == 1 ? "" : "s");
	for (unsigned int metric = 0; metric < METRICS; metric++)
		bench_value(bench, "ns per TCE or word", text, metric_name[metric], ns[metric]);
	snprintf(text, sizeof(text), "map into a new table of %u levels against writing", levels);
	bench_goal_at_most(bench, text, 4.0, ns[MAP_NEW] / ns[WRITE_NEW], "x");
	snprintf(text, sizeof(text), "map again, %u levels, against writing", levels);
	bench_goal_at_most(bench, text, 4.0, ns[MAP_AGAIN] / ns[WRITE_AGAIN], "x");
	snprintf(text, sizeof(text), "unmap, %u levels, against writing", levels);
	bench_goal_at_most(bench, text, 4.0, ns[UNMAP] / ns[WRITE_AGAIN], "x");
}

static void run(struct bench *bench)
{
	double sample[SHAPES][METRICS][BENCH_ROUNDS_MAX];
	struct subject subject;

	start(&subject, bench->quick ? TCES_QUICK : TCES);
	for (unsigned int round = 0; round < bench->rounds; round++) {
		for (unsigned int shape = 0; shape < SHAPES; shape++) {
			double ns[METRICS];

			measure(&subject, shapes[shape], ns);
			for (unsigned int metric = 0; metric < METRICS; metric++)
				sample[shape][metric][round] = ns[metric] / (double)subject.tces;
		}
	}
	for (unsigned int shape = 0; shape < SHAPES; shape++) {
		double ns[METRICS];

		for (unsigned int metric = 0; metric < METRICS; metric++)
			ns[metric] = bench_median(sample[shape][metric], bench->rounds);
		report(bench, shapes[shape], ns);
	}
	vfake_kernel_free(subject.kernel);
}

const struct bench_section bench_tce = {
	.name = "tce",
	.about = "sPAPR v2: TCEs mapped and unmapped, beside writing words to an array",
	.run = run,
};
