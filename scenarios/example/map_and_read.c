/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Gives a device a buffer and reads the beginning of its BAR 0.
 *
 *	map_and_read --fake          a copy engine of a fake kernel, in this process
 *	map_and_read 0000:06:0d.0    a PCI device that is bound to vfio-pci
 *
 * Exit status: 0 done, 1 failed, 2 wrong use, 4 there is no VFIO here.
 */
#include <limits.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vfake/sys.h>
#include <vfio/device.h>

static _Alignas(65536) unsigned char buffer[2 << 20];

/* The buffer is at I/O virtual address 1 MiB for the device, as long as it is attached. */
static int map_and_read(const struct vfio_sys *sys, const char *name, const char *group)
{
	const struct vfio_memory_region ram = {
		.name = "buffer",
		.kind = VFIO_MEMORY_RAM,
		.start = 1 << 20,
		.last = (1 << 20) + sizeof(buffer) - 1,
		.vaddr = (uintptr_t)buffer,
		.fd = -1,
	};
	const struct vfio_device_options options = { .name = name,
						     .backend = VFIO_BACKEND_LEGACY,
						     .group = group };
	struct vfio_error error = { .message = "out of memory" };
	struct vfio_memory *memory = vfio_memory_new(NULL);
	struct vfio *vfio = vfio_new(sys, NULL);
	struct vfio_device *device = NULL;
	unsigned char word[4];
	uint32_t id;
	bool good = memory && vfio && vfio_memory_add(memory, &ram, &id, &error) &&
		    (device = vfio_device_attach(vfio, memory, &options, &error)) &&
		    vfio_device_read(device, VFIO_PCI_BAR0_REGION_INDEX, 0, word, 4, &error);

	if (good)
		printf("%s: %zu KiB mapped, BAR 0 begins with %02x %02x %02x %02x\n", name,
		       sizeof(buffer) / 1024, word[0], word[1], word[2], word[3]);
	else
		fprintf(stderr, "map_and_read: %s\n", error.message);
	vfio_free(vfio); /* detaches the device, which unmaps the buffer */
	vfio_memory_free(memory);
	return !good;
}

static int on_fake(void)
{
	const struct vfake_task_attr attr = { .memlock_bytes = sizeof(buffer),
					      .host_memory = true };
	struct vfake_world world;
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	struct vfio_sys sys;
	char group[16];
	int status = 1;

	vfake_world_x86(&world);
	vfake_world_add_device(&world, "d0", "copy");
	snprintf(group, sizeof(group), "%u", world.devices[0].group);
	kernel = vfake_kernel_new(&world, NULL);
	task = kernel ? vfake_task_new(kernel, &attr) : NULL;
	if (task) {
		vfake_sys(&sys, task);
		status = map_and_read(&sys, "d0", group);
	}
	vfake_kernel_free(kernel);
	return status;
}

static int on_linux(const char *name)
{
	char path[PATH_MAX], group[PATH_MAX] = "";
	struct vfio_sys sys;

	if (access("/dev/vfio/vfio", F_OK)) {
		fprintf(stderr, "map_and_read: this kernel has no VFIO: no /dev/vfio/vfio\n");
		return 4;
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", name);
	if (readlink(path, group, sizeof(group) - 1) < 0) {
		fprintf(stderr, "map_and_read: %s: no PCI device in an IOMMU group\n", name);
		return 1;
	}
	vfio_sys_linux(&sys);
	return map_and_read(&sys, name, strrchr(group, '/') + 1);
}

int main(int argc, char **argv)
{
	if (argc == 2)
		return strcmp(argv[1], "--fake") ? on_linux(argv[1]) : on_fake();
	fprintf(stderr, "usage: map_and_read --fake | map_and_read DOMAIN:BUS:SLOT.FUNCTION\n");
	return 2;
}
