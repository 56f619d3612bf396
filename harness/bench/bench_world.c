/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a whole world costs, on each backend: a machine with two copy engines starts, the stack
 * attaches both, 16 ranges of guest memory are mapped, each engine copies by its DMA, and all is
 * taken down. Beside it, in the same rounds, what people do instead: fork and exec of a program
 * that does nothing. CPU time of all processes that take part. The one that forks is new and has
 * little memory: this program, started once more; here a fork would copy what all sections left.
 *
 * And what a fault point costs that nobody has armed: a loop with one against the same loop
 * without.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uapi/vfio.h>
#include <vfake/models.h>
#include <vfake/sys.h>
#include <vfio/device.h>

#include "bench.h"
#include "kernel.h"
#include "story.h"

enum {
	DEVICES = 2,
	RANGES = 16,
	RANGE_BYTES = 65536,
	COPY_BYTES = 4096,
	BACKENDS_MAX = 16,
};

static const char *const device_names[DEVICES] = { "d0", "d1" };

/* The guest's memory, one range behind the other; in the guest there is a hole after each. */
static _Alignas(RANGE_BYTES) uint8_t guest[RANGES][RANGE_BYTES];

struct subject {
	const struct backend *backend;
	struct vfake_kernel *kernel;
	struct vfio_memory *memory;
	struct vfio *vfio;
	struct vfio_device *devices[DEVICES];
};

static void require(bool good, const struct vfio_error *error)
{
	bench_require(good, error->message);
}

static uint64_t address_of(const struct subject *s, unsigned int range)
{
	return s->backend->ram + (uint64_t)2 * RANGE_BYTES * range;
}

static void boot(struct subject *s, struct vfio_sys *sys)
{
	struct vfake_task_attr root = vfake_root;
	static struct vfake_world world;
	struct vfake_task *task;

	root.host_memory = true;
	s->backend->world(&world);
	for (unsigned int i = 0; i < DEVICES; i++) {
		bench_require(!vfake_world_add_device(&world, device_names[i], "copy"),
			      "add a device");
		world.devices[i].noiommu = s->backend->noiommu;
	}
	s->kernel = vfake_kernel_new(&world, NULL);
	bench_require(s->kernel, "start a kernel");
	task = vfake_task_new(s->kernel, &root);
	bench_require(task, "start a task");
	vfake_sys(sys, task);
}

static void attach(struct subject *s, unsigned int index)
{
	const struct vfake_device_desc *desc = vfake_device_desc(s->kernel, device_names[index]);
	struct vfio_device_options options = {
		.name = device_names[index],
		.backend = s->backend->kind,
		.type1_v1 = s->backend->type1_v1,
		.dirty_tracking = s->backend->dirty_tracking,
	};
	struct vfio_error error;
	char group[32], cdev[32];

	snprintf(group, sizeof(group), "%s%u", desc->noiommu ? "noiommu-" : "", desc->group);
	snprintf(cdev, sizeof(cdev), "vfio%u", desc->cdev);
	options.group = group;
	options.cdev = cdev;
	s->devices[index] = vfio_device_attach(s->vfio, s->memory, &options, &error);
	require(s->devices[index], &error);
}

static void map(struct subject *s, unsigned int range)
{
	struct vfio_memory_region region = {
		.name = "ram",
		.kind = VFIO_MEMORY_RAM,
		.start = address_of(s, range),
		.last = address_of(s, range) + RANGE_BYTES - 1,
		.vaddr = (uintptr_t)guest[range],
		.fd = -1,
	};
	struct vfio_error error;
	uint32_t id;

	require(vfio_memory_add(s->memory, &region, &id, &error), &error);
}

static void set(struct vfio_device *device, uint64_t reg, uint32_t value)
{
	struct vfio_error error;

	value = htole32(value);
	require(vfio_device_write(device, VFAKE_COPY_BAR_REGS, reg, &value, sizeof(value), &error),
		&error);
}

static void store(uint8_t *to, uint64_t value)
{
	value = htole64(value);
	memcpy(to, &value, sizeof(value));
}

/* From one range to another; the ring is at the start of the first. */
static void copy(const struct subject *s, unsigned int index)
{
	struct vfio_device *device = s->devices[index];
	uint8_t *slot = guest[0];
	uint64_t from = address_of(s, 1 + index), to = address_of(s, RANGES - 1 - index);
	uint16_t command = htole16(6); /* memory and bus master */
	struct vfio_error error;

	memset(slot, 0, 64);
	store(slot + VFAKE_COPY_DESC_SOURCE, from);
	store(slot + VFAKE_COPY_DESC_DEST, to);
	store(slot + VFAKE_COPY_DESC_LENGTH, COPY_BYTES);
	guest[1 + index][0] = (uint8_t)(index + 1);
	guest[RANGES - 1 - index][0] = 0;
	require(vfio_device_write(device, VFIO_PCI_CONFIG_REGION_INDEX, 4, &command,
				  sizeof(command), &error),
		&error);
	set(device, VFAKE_COPY_RING_BASE, (uint32_t)address_of(s, 0));
	set(device, VFAKE_COPY_RING_SIZE, VFAKE_COPY_RING_MIN);
	set(device, VFAKE_COPY_CONTROL, VFAKE_COPY_CONTROL_RUN | VFAKE_COPY_CONTROL_SYNC);
	set(device, VFAKE_COPY_DOORBELL, 1);
	bench_require(guest[RANGES - 1 - index][0] == index + 1, "copy by DMA");
}

static void play(const struct backend *backend)
{
	struct subject s = { .backend = backend };
	struct vfio_sys sys;

	boot(&s, &sys);
	s.vfio = vfio_new(&sys, NULL);
	s.memory = vfio_memory_new(NULL);
	bench_require(s.vfio && s.memory, "make a stack");
	for (unsigned int i = 0; i < DEVICES; i++)
		attach(&s, i);
	for (unsigned int i = 0; i < RANGES; i++)
		map(&s, i);
	/* Without an IOMMU nothing is mapped: where DMA goes is the program's affair. */
	for (unsigned int i = 0; i < DEVICES && !backend->noiommu; i++)
		copy(&s, i);
	vfio_free(s.vfio);
	vfio_memory_free(s.memory);
	vfake_kernel_free(s.kernel);
}

static double measure_worlds(const struct backend *backend, unsigned int count)
{
	uint64_t begin = bench_cpu_ns();

	for (unsigned int i = 0; i < count; i++)
		play(backend);
	return (double)(bench_cpu_ns() - begin) / 1000 / count;
}

static double us_of(const struct rusage *usage)
{
	return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1e6 +
	       (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

static double fork_and_exec(unsigned int count)
{
	uint64_t begin = bench_cpu_ns();
	double children = 0;

	for (unsigned int i = 0; i < count; i++) {
		struct rusage usage;
		int status;
		pid_t pid = fork();

		if (!pid) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(127);
		}
		bench_require(pid > 0 && wait4(pid, &status, 0, &usage) == pid && !status,
			      "run /bin/true");
		children += us_of(&usage);
	}
	return ((double)(bench_cpu_ns() - begin) / 1000 + children) / count;
}

int bench_world_exec(const char *count)
{
	printf("%.3f\n", fork_and_exec((unsigned int)strtoul(count, NULL, 10)));
	return 0;
}

static double measure_exec(unsigned int count)
{
	char self[4096], command[4200];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	double us = 0;
	FILE *from;

	bench_require(len > 0, "find itself");
	self[len] = 0;
	snprintf(command, sizeof(command), "'%s' " BENCH_EXEC_OPTION " %u", self, count);
	fflush(stdout);
	from = popen(command, "r");
	bench_require(from && fscanf(from, "%lf", &us) == 1 && us > 0 && !pclose(from),
		      "measure fork and exec");
	return us;
}

/* ---- a fault point that is not armed ---- */

/* Nothing but the loop itself: a point has no other work to hide behind. */
static void turn(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		__asm__ volatile("" : : : "memory");
}

static bool turn_by_points(struct vfake_kernel *kernel, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		__asm__ volatile("" : : : "memory");
		if (vfake_fault(kernel, VFAKE_FAULT_ALLOC))
			return false;
	}
	return true;
}

static double measure_point(struct vfake_kernel *kernel, unsigned int count)
{
	uint64_t begin = bench_cpu_ns(), middle;

	turn(count);
	middle = bench_cpu_ns();
	bench_require(turn_by_points(kernel, count), "pass by a point");
	return ((double)(bench_cpu_ns() - middle) - (double)(middle - begin)) / count;
}

static double point_ns(const struct bench *bench)
{
	double ns[BENCH_ROUNDS_MAX];
	struct subject s = { .backend = &backends[0] };
	struct vfio_sys sys;

	boot(&s, &sys);
	for (unsigned int i = 0; i < bench->rounds; i++)
		ns[i] = measure_point(s.kernel, bench->quick ? 1000000 : 20000000);
	vfake_kernel_free(s.kernel);
	return bench_median(ns, bench->rounds);
}

/* ---- the section ---- */

/* A server has to run beside the stack: no world of one kernel and one process. */
static bool is_measured(const struct backend *backend)
{
	return backend->kind != VFIO_BACKEND_USER;
}

static void run(struct bench *bench)
{
	static double us[BACKENDS_MAX][BENCH_ROUNDS_MAX], exec_us[BENCH_ROUNDS_MAX];
	double slowest = 0, exec_median, ns;

	bench_require(backend_count <= BACKENDS_MAX, "measure that many backends");
	for (unsigned int round = 0; round < bench->rounds; round++) {
		for (size_t i = 0; i < backend_count; i++) {
			if (is_measured(&backends[i]))
				us[i][round] = measure_worlds(&backends[i], bench->quick ? 5 : 200);
		}
		exec_us[round] = measure_exec(bench->quick ? 3 : 100);
	}
	exec_median = bench_median(exec_us, bench->rounds);
	for (size_t i = 0; i < backend_count; i++) {
		double median = bench_median(us[i], bench->rounds);

		if (!is_measured(&backends[i]))
			continue;
		slowest = median > slowest ? median : slowest;
		bench_value(bench, "worlds", backends[i].name, "us", median);
		bench_value(bench, "worlds", backends[i].name, "per second", 1e6 / median);
		bench_value(bench, "worlds", backends[i].name, "% of exec",
			    100 * median / exec_median);
	}
	bench_value(bench, "worlds", "fork and exec", "us", exec_median);
	bench_value(bench, "worlds", "fork and exec", "per second", 1e6 / exec_median);
	ns = point_ns(bench);
	bench_value(bench, "a fault point that is not armed", "cost", "ns", ns);
	bench_goal_at_most(bench, "the slowest world against fork and exec", 0.1,
			   slowest / exec_median, "x");
	bench_goal_at_most(bench, "a fault point that is not armed", 2, ns, " ns");
}

const struct bench_section bench_world = {
	.name = "world",
	.about = "a whole world on each backend beside fork and exec; an idle fault point",
	.run = run,
};
