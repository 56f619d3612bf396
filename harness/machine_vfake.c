/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fake kernel as a machine.
 *
 * The task has no host memory: every address that a trace names is the task's own, so that a wild
 * one is EFAULT as on a real kernel.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <vfake/sys.h>

#include "fault.h"
#include "machine.h"

enum { SCRATCH_BYTES = 1 << 20 };

static int fake_store(struct machine *machine, uint64_t addr, const void *bytes, size_t len)
{
	return vfake_poke(machine->vfake.task, addr, bytes, len);
}

static int fake_load(struct machine *machine, uint64_t addr, void *bytes, size_t len)
{
	return vfake_peek(machine->vfake.task, addr, bytes, len);
}

static bool fake_bus_name(struct machine *machine, const char *device, char *text,
			  size_t size_bytes)
{
	const struct vfake_device_desc *desc = vfake_device_desc(machine->vfake.kernel, device);

	if (desc)
		snprintf(text, size_bytes, "%s", desc->name);
	return desc;
}

static bool fake_group_name(struct machine *machine, const char *device, char *text,
			    size_t size_bytes)
{
	const struct vfake_device_desc *desc = vfake_device_desc(machine->vfake.kernel, device);

	if (desc)
		snprintf(text, size_bytes, "%s%u", desc->noiommu ? "noiommu-" : "", desc->group);
	return desc;
}

static bool fake_cdev_name(struct machine *machine, const char *device, char *text,
			   size_t size_bytes)
{
	const struct vfake_device_desc *desc = vfake_device_desc(machine->vfake.kernel, device);

	if (desc)
		snprintf(text, size_bytes, "vfio%u", desc->cdev);
	return desc;
}

static void fake_end(struct machine *machine)
{
	vfake_kernel_free(machine->vfake.kernel);
	fault_free(machine->vfake.fault);
}

int machine_vfake(struct machine *machine, const struct vfake_world *world, const char **error)
{
	struct vfake_kernel *kernel = vfake_kernel_new(world, error);
	struct vfake_task *task;
	int ret;

	if (!kernel)
		return -EINVAL;
	*error = "out of memory";
	task = vfake_task_new(kernel, &vfake_root);
	if (!task) {
		vfake_kernel_free(kernel);
		return -ENOMEM;
	}
	memset(machine, 0, sizeof(*machine));
	vfake_sys(&machine->sys, task);
	machine->end = fake_end;
	machine->store = fake_store;
	machine->load = fake_load;
	machine->bus_name = fake_bus_name;
	machine->group_name = fake_group_name;
	machine->cdev_name = fake_cdev_name;
	machine->vfake.kernel = kernel;
	machine->vfake.fault = fault_of_fiu_run();
	machine->vfake.task = task;
	machine->scratch_bytes = SCRATCH_BYTES;
	ret = vfake_mmap(task, SCRATCH_BYTES, VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0,
			 &machine->scratch);
	fault_bind(machine->vfake.fault, kernel);
	if (ret)
		fake_end(machine);
	if (ret && world->ram_bytes < SCRATCH_BYTES) {
		*error = "it has too little RAM for the structs of its program's calls";
		return -EINVAL;
	}
	return ret;
}
