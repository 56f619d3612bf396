/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IOMMU_IOAS_MAP and IOMMU_IOAS_UNMAP through the dispatcher: n areas of 4 KiB, 8 KiB apart, at
 * fixed IOVAs, with no page table on the IOAS, with one and with two. How much dearer is a call
 * when a thousand times as many areas are there? Once in ascending order, as whoever maps a guest's
 * memory goes about it, and once mapped in one random order and unmapped in another, where every
 * call goes to memory that no cache has.
 *
 * And everything unmapped in one call, per area, beside a walk over the same areas a moment before:
 * the walk reads one field of each area and one of the pages behind it. Their order in memory is
 * the order in which they were mapped, so both go through memory at random.
 */
#include <stdio.h>
#include <stdlib.h>

#include <uapi/iommufd.h>
#include <uapi/vfio.h>
#include <vfake/kernel.h>

#include "bench.h"
#include "iommufd_private.h"

enum {
	AREA_BYTES = 4096,
	STRIDE_BYTES = 2 * AREA_BYTES,
	AREAS_MAX = 1000000,
	OPS_PER_ROUND = 1 << 16, /* at least: small sizes are repeated up to it */
	SEED = 20260722,
};

/* Above what the machine reserves for interrupts. */
static const uint64_t first_iova = (uint64_t)1 << 32;

enum metric { MAP_UP, UNMAP_UP, MAP, UNMAP, ALL, WALK, METRICS };

enum { DOMAINS = 3 }; /* none, one, two */

struct size {
	const char *name;
	size_t n;
};

static const struct size sizes[] = { { "1K", 1000 }, { "64K", 65536 }, { "1M", AREAS_MAX } };
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

struct subject {
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	int iommufd;
	uint32_t ioas;
	vfake_addr memory; /* what is mapped; nobody touches it */
};

/* ---- bring-up ---- */

/* The task has host memory, so a pointer is an address. */
static void call(const struct subject *subject, int fd, uint32_t number, void *arg)
{
	bench_require(!vfake_ioctl(subject->task, fd, number, (uintptr_t)arg), "make a call");
}

/* One more page table on the IOAS: a device, and a page table that is made for it. */
static void add_domain(const struct subject *subject, const char *name)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind),
						 .iommufd = subject->iommufd };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct iommu_hwpt_alloc hwpt = { .size = sizeof(hwpt), .pt_id = subject->ioas };
	char path[64];
	int device;

	snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%u",
		 vfake_device_desc(subject->kernel, name)->cdev);
	device = vfake_open(subject->task, path);
	bench_require(device >= 0, "open a device");
	call(subject, device, VFIO_DEVICE_BIND_IOMMUFD, &bind);
	hwpt.dev_id = bind.out_devid;
	call(subject, subject->iommufd, IOMMU_HWPT_ALLOC, &hwpt);
	attach.pt_id = hwpt.out_hwpt_id;
	call(subject, device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
}

static void start(struct subject *subject, unsigned int domains)
{
	struct vfake_world *world = bench_alloc(1, sizeof(*world));
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct vfake_task_attr attr = vfake_root;

	vfake_world_x86(world);
	world->ram_bytes = (uint64_t)16 << 30;
	bench_require(!vfake_world_add_device(world, "d0", "e1000e"), "add a device");
	bench_require(!vfake_world_add_device(world, "d1", "e1000e"), "add a device");
	subject->kernel = vfake_kernel_new(world, NULL);
	free(world);
	bench_require(subject->kernel, "start a kernel");
	attr.host_memory = true;
	subject->task = vfake_task_new(subject->kernel, &attr);
	bench_require(subject->task, "start a task");
	bench_require(!vfake_mmap(subject->task, (uint64_t)AREAS_MAX * AREA_BYTES,
				  VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0, &subject->memory),
		      "map memory");
	subject->iommufd = vfake_open(subject->task, "/dev/iommu");
	bench_require(subject->iommufd >= 0, "open iommufd");
	call(subject, subject->iommufd, IOMMU_IOAS_ALLOC, &ioas);
	subject->ioas = ioas.out_ioas_id;
	if (domains > 0)
		add_domain(subject, "d0");
	if (domains > 1)
		add_domain(subject, "d1");
}

/* ---- what is measured ---- */

static void map(const struct subject *subject, const uint32_t *order, size_t n)
{
	struct iommu_ioas_map arg = { .size = sizeof(arg),
				      .flags = IOMMU_IOAS_MAP_FIXED_IOVA |
					       IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE,
				      .ioas_id = subject->ioas,
				      .length = AREA_BYTES };

	for (size_t i = 0; i < n; i++) {
		arg.user_va = subject->memory + (uint64_t)order[i] * AREA_BYTES;
		arg.iova = first_iova + (uint64_t)order[i] * STRIDE_BYTES;
		call(subject, subject->iommufd, IOMMU_IOAS_MAP, &arg);
	}
}

static void unmap(const struct subject *subject, const uint32_t *order, size_t n)
{
	struct iommu_ioas_unmap arg = { .size = sizeof(arg), .ioas_id = subject->ioas };

	for (size_t i = 0; i < n; i++) {
		arg.iova = first_iova + (uint64_t)order[i] * STRIDE_BYTES;
		arg.length = AREA_BYTES;
		call(subject, subject->iommufd, IOMMU_IOAS_UNMAP, &arg);
	}
}

static void unmap_all(const struct subject *subject, size_t n)
{
	struct iommu_ioas_unmap arg = { .size = sizeof(arg),
					.ioas_id = subject->ioas,
					.length = UINT64_MAX };

	call(subject, subject->iommufd, IOMMU_IOAS_UNMAP, &arg);
	bench_require(arg.length == (uint64_t)n * AREA_BYTES, "unmap everything");
}

static void walk(const struct subject *subject, size_t n)
{
	struct iommufd_ctx *ictx =
		iommufd_ctx_from_file(vfake_fd_file(subject->task, subject->iommufd));
	const struct iommufd_ioas *ioas = iommufd_object_get(ictx, subject->ioas, IOMMUFD_OBJ_IOAS);
	struct vfake_iova_cursor at = vfake_iova_cursor_seek(&ioas->iopt.areas, 0);
	struct vfake_iova_range range;
	uint64_t pages = 0;

	for (; vfake_iova_cursor_get(&at, &range); vfake_iova_cursor_next(&at)) {
		const struct iopt_area *area = iopt_area_of(&range);

		pages += area->last - area->first + area->pages->npages;
	}
	bench_require(pages == n, "walk over all areas");
}

static double ns_since(uint64_t from)
{
	return (double)(bench_cpu_ns() - from);
}

/* Maps and unmaps n areas one by one, in ascending order. */
static void measure_up(const struct subject *subject, uint32_t *order, size_t n,
		       double sum[METRICS])
{
	uint64_t from;

	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	bench_settle_heap();
	from = bench_cpu_ns();
	map(subject, order, n);
	sum[MAP_UP] += ns_since(from);
	from = bench_cpu_ns();
	unmap(subject, order, n);
	sum[UNMAP_UP] += ns_since(from);
}

/* The same in random orders, and mapped again to unmap them in one go. */
static void measure(const struct subject *subject, uint32_t *order, size_t n, uint64_t *seed,
		    double sum[METRICS])
{
	uint64_t from;

	bench_shuffle(order, n, seed);
	bench_settle_heap();
	from = bench_cpu_ns();
	map(subject, order, n);
	sum[MAP] += ns_since(from);
	bench_shuffle(order, n, seed);
	from = bench_cpu_ns();
	unmap(subject, order, n);
	sum[UNMAP] += ns_since(from);

	bench_shuffle(order, n, seed);
	bench_settle_heap();
	map(subject, order, n);
	from = bench_cpu_ns();
	walk(subject, n);
	sum[WALK] += ns_since(from);
	from = bench_cpu_ns();
	unmap_all(subject, n);
	sum[ALL] += ns_since(from);
}

/* ---- report ---- */

static void report(struct bench *bench, size_t size, unsigned int domains, const double *ns)
{
	static const char *const metric_name[METRICS] = { "map up", "unmap up",	 "map",
							  "unmap",  "unmap all", "walk" };
	char row[64];

	snprintf(row, sizeof(row), "%s areas, %u page tables", sizes[size].name, domains);
	for (unsigned int metric = 0; metric < METRICS; metric++)
		bench_value(bench, "ns per area", row, metric_name[metric], ns[metric]);
}

static void report_goals(struct bench *bench, unsigned int domains, const double *small,
			 const double *large)
{
	static const char *const call_name[] = {
		[MAP_UP] = "map up", [UNMAP_UP] = "unmap up", [MAP] = "map", [UNMAP] = "unmap"
	};
	char what[64];

	for (unsigned int metric = MAP_UP; metric <= UNMAP; metric++) {
		snprintf(what, sizeof(what), "%s, 1M areas against 1K, %u page tables",
			 call_name[metric], domains);
		bench_goal_at_most(bench, what, 4.0, large[metric] / small[metric], "x");
	}
	snprintf(what, sizeof(what), "1M unmapped at once against a walk, %u page tables", domains);
	bench_goal_at_most(bench, what, 3.0, large[ALL] / large[WALK], "x");
}

static void run(struct bench *bench)
{
	double(*sample)[DOMAINS][METRICS][BENCH_ROUNDS_MAX] = bench_alloc(SIZES, sizeof(*sample));
	size_t count = bench->quick ? SIZES - 1 : SIZES; /* without the million */
	uint32_t *order = bench_alloc(AREAS_MAX, sizeof(*order));
	double ns[SIZES][DOMAINS][METRICS];
	uint64_t seed = SEED;

	for (unsigned int i = 0; i < bench->rounds * count * DOMAINS; i++) {
		unsigned int domains = i % DOMAINS, round = i / DOMAINS / (unsigned int)count;
		size_t size = i / DOMAINS % count, n = sizes[size].n;
		unsigned int repeats = n < OPS_PER_ROUND ? (unsigned int)(OPS_PER_ROUND / n) : 1;
		double sum[METRICS] = { 0 };
		struct subject subject;

		start(&subject, domains);
		for (unsigned int repeat = 0; repeat < repeats; repeat++)
			measure_up(&subject, order, n, sum);
		for (unsigned int repeat = 0; repeat < repeats; repeat++)
			measure(&subject, order, n, &seed, sum);
		vfake_kernel_free(subject.kernel);
		for (unsigned int metric = 0; metric < METRICS; metric++)
			sample[size][domains][metric][round] =
				sum[metric] / ((double)repeats * (double)n);
	}
	for (size_t size = 0; size < count; size++) {
		for (unsigned int domains = 0; domains < DOMAINS; domains++) {
			for (unsigned int metric = 0; metric < METRICS; metric++)
				ns[size][domains][metric] =
					bench_median(sample[size][domains][metric], bench->rounds);
			report(bench, size, domains, ns[size][domains]);
		}
	}
	for (unsigned int domains = 0; domains < DOMAINS && count == SIZES; domains++)
		report_goals(bench, domains, ns[0][domains], ns[SIZES - 1][domains]);
	free(order);
	free(sample);
}

const struct bench_section bench_ioas = {
	.name = "ioas",
	.about = "IOMMU_IOAS_MAP and IOMMU_IOAS_UNMAP as the areas grow in number",
	.run = run,
};
