/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attaches the stack to any vfio-user server, shows what is there, gives it memory with and without
 * a descriptor, resets it and lets it go: for trying it with servers that others wrote.
 *
 *	interop_attach SOCKET [READS [REGION OFFSET BYTES]]
 *
 * With READS it reads a register so often (region 7, offset 0, 4 bytes), and says how often a
 *second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <vfio/device.h>
#include <vfio/vfio.h>
#include <vfio/vmm_ref.h>

enum { MIB = 1 << 20 };

struct reads {
	unsigned long count;
	uint32_t region;
	uint64_t offset;
	uint32_t bytes;
};

static void need(bool good, const struct vfio_error *error)
{
	if (good)
		return;
	fprintf(stderr, "%s (%d) %s\n", error->message, error->code, error->hint);
	exit(EXIT_FAILURE);
}

static uint32_t add_ram(const struct vfio_sys *sys, struct vfio_memory *memory, uint64_t gpa,
			bool shared)
{
	struct vfio_memory_region region = { .name = shared ? "shared" : "far",
					     .kind = VFIO_MEMORY_RAM,
					     .start = gpa,
					     .last = gpa + MIB - 1,
					     .fd = shared ? sys->memfd(sys->ctx, MIB) : -1 };
	struct vfio_error error = { 0 };
	uint32_t id = 0;

	if (sys->mmap(sys->ctx, MIB, PROT_READ | PROT_WRITE, region.fd, 0, &region.vaddr))
		exit(EXIT_FAILURE);
	need(vfio_memory_add(memory, &region, &id, &error), &error);
	return id;
}

static void show(struct vfio_device *device)
{
	struct vfio_device_facts facts;
	struct vfio_error error = { 0 };

	vfio_device_facts(device, &facts);
	printf("%u regions, %u interrupts,%s%s\n", facts.regions, facts.irqs,
	       facts.is_pci ? " PCI" : "", facts.resets ? " resets" : "");
	for (uint32_t i = 0; i < facts.regions; i++) {
		struct vfio_region region;

		need(vfio_device_region(device, i, &region, &error), &error);
		if (region.size)
			printf("region %u: %llu bytes,%s%s, %u areas to map\n", i,
			       (unsigned long long)region.size, region.readable ? " r" : "",
			       region.writable ? " w" : "", region.area_count);
	}
	for (uint32_t i = 0; i < facts.irqs; i++) {
		struct vfio_irq irq;

		if (vfio_device_irq(device, i, &irq, &error) && irq.count)
			printf("interrupt %u: %u\n", i, irq.count);
	}
}

static void read_often(struct vfio_device *device, const struct reads *reads)
{
	struct timespec begin, end;
	struct vfio_error error = { 0 };
	uint8_t bytes[4096];
	double seconds;

	if (reads->bytes > sizeof(bytes))
		exit(EXIT_FAILURE);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned long i = 0; i < reads->count; i++)
		need(vfio_device_read(device, reads->region, reads->offset, bytes, reads->bytes,
				      &error),
		     &error);
	clock_gettime(CLOCK_MONOTONIC, &end);
	seconds =
		(double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9;
	printf("%.0f reads of %u bytes per second\n", (double)reads->count / seconds, reads->bytes);
}

static void use(const struct vfio_sys *sys, struct vfio *vfio, struct vfio_memory *memory,
		const char *path, const struct reads *reads)
{
	struct vfio_device_options options = { .name = "interop",
					       .backend = VFIO_BACKEND_USER,
					       .socket = path };
	struct vfio_device_facts facts;
	struct vfio_container_info info;
	struct vfio_error error = { 0 };
	struct vfio_device *device;
	uint32_t id = add_ram(sys, memory, 0, true);

	add_ram(sys, memory, 4 * MIB, false);
	device = vfio_device_attach(vfio, memory, &options, &error);
	need(device, &error);
	show(device);
	vfio_container_info(vfio_device_container(device), &info);
	printf("%llu maps\n", (unsigned long long)info.mappings);
	if (reads->count)
		read_often(device, reads);
	vfio_device_facts(device, &facts);
	if (facts.resets)
		need(vfio_device_reset(device, &error), &error);
	vfio_memory_del(memory, id);
	if (vfio_container_error(vfio_device_container(device)))
		exit(EXIT_FAILURE);
	vfio_device_detach(device);
}

int main(int argc, char **argv)
{
	struct reads reads = { .region = 7, .bytes = 4 };
	struct vfio_vmm_ref ref = { 0 };
	struct vfio_memory *memory;
	struct vfio_vmm vmm;
	struct vfio_sys sys;
	struct vfio *vfio;

	if (argc != 2 && argc != 3 && argc != 6) {
		fprintf(stderr, "usage: %s SOCKET [READS [REGION OFFSET BYTES]]\n", argv[0]);
		return 2;
	}
	if (argc > 2)
		reads.count = strtoul(argv[2], NULL, 0);
	if (argc > 3) {
		reads.region = (uint32_t)strtoul(argv[3], NULL, 0);
		reads.offset = strtoull(argv[4], NULL, 0);
		reads.bytes = (uint32_t)strtoul(argv[5], NULL, 0);
	}
	vfio_sys_linux(&sys);
	vfio_vmm_ref(&ref, &vmm);
	vfio = vfio_new(&sys, &vmm);
	memory = vfio_memory_new(NULL);
	if (!vfio || !memory)
		return EXIT_FAILURE;
	use(&sys, vfio, memory, argv[1], &reads);
	vfio_free(vfio);
	vfio_memory_free(memory);
	return ref.blocks || ref.discard_forbidden || ref.broken_seen ? EXIT_FAILURE : EXIT_SUCCESS;
}
