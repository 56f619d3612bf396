/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel that this process runs on, as a machine. Addresses are pointers; device names come
 * from sysfs.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"

enum { SCRATCH_BYTES = 1 << 20 };

static int real_store(struct machine *machine, uint64_t addr, const void *bytes, size_t len)
{
	(void)machine;
	memcpy((void *)(uintptr_t)addr, bytes, len);
	return 0;
}

static int real_load(struct machine *machine, uint64_t addr, void *bytes, size_t len)
{
	(void)machine;
	memcpy(bytes, (const void *)(uintptr_t)addr, len);
	return 0;
}

static bool real_bus_name(struct machine *machine, const char *device, char *text,
			  size_t size_bytes)
{
	size_t len = strlen(device);

	for (size_t i = 0; i < machine->real.binding_count; i++) {
		const char *binding = machine->real.bindings[i];

		if (!strncmp(binding, device, len) && binding[len] == '=')
			return snprintf(text, size_bytes, "%s", binding + len + 1) <
			       (int)size_bytes;
	}
	return false;
}

static bool real_group_name(struct machine *machine, const char *device, char *text,
			    size_t size_bytes)
{
	char bus_name[NAME_MAX], path[PATH_MAX], link[PATH_MAX];
	const char *number;
	ssize_t len;

	if (!real_bus_name(machine, device, bus_name, sizeof(bus_name)))
		return false;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bus_name);
	len = readlink(path, link, sizeof(link) - 1);
	if (len <= 0)
		return false;
	link[len] = 0;
	number = strrchr(link, '/');
	return number && snprintf(text, size_bytes, "%s", number + 1) < (int)size_bytes;
}

static bool real_cdev_name(struct machine *machine, const char *device, char *text,
			   size_t size_bytes)
{
	char bus_name[NAME_MAX], path[PATH_MAX];
	const struct dirent *entry;
	bool found = false;
	DIR *dir;

	if (!real_bus_name(machine, device, bus_name, sizeof(bus_name)))
		return false;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bus_name);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir)))
		found = !strncmp(entry->d_name, "vfio", 4) &&
			snprintf(text, size_bytes, "%s", entry->d_name) < (int)size_bytes;
	if (dir)
		closedir(dir);
	return found;
}

static void real_end(struct machine *machine)
{
	munmap((void *)(uintptr_t)machine->scratch, machine->scratch_bytes);
}

int machine_linux(struct machine *machine, const char *const *bindings, size_t count)
{
	void *scratch = mmap(NULL, SCRATCH_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (scratch == MAP_FAILED)
		return -ENOMEM;
	memset(machine, 0, sizeof(*machine));
	vfio_sys_linux(&machine->sys);
	machine->end = real_end;
	machine->store = real_store;
	machine->load = real_load;
	machine->bus_name = real_bus_name;
	machine->group_name = real_group_name;
	machine->cdev_name = real_cdev_name;
	machine->scratch = (uint64_t)(uintptr_t)scratch;
	machine->scratch_bytes = SCRATCH_BYTES;
	machine->real.bindings = bindings;
	machine->real.binding_count = count;
	return 0;
}
