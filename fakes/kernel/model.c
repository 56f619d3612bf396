/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which model is behind a device, and the time in which models act by themselves.
 *
 * Imitates no code of Linux: it stands for the hardware. Kept: devices work at the same time as far
 * as anybody can see, one chunk each in turn, in the world's order. Dropped: any other notion of
 * time, so that a run is the same on every machine.
 */
#include <string.h>

#include "model.h"

static const struct vfio_pci_model plain_model = { .name = "none" };

static const struct vfio_pci_model *const models[] = {
	[VFAKE_MODEL_NONE] = &plain_model,
	[VFAKE_MODEL_COPY] = &vfio_copy_model,
	[VFAKE_MODEL_MIGRATE] = &vfio_migrate_model,
	[VFAKE_MODEL_MIGRATE_P2P] = &vfio_migrate_model,
	[VFAKE_MODEL_MIGRATE_PRE_COPY] = &vfio_migrate_model,
	[VFAKE_MODEL_MIGRATE_STOP] = &vfio_migrate_model,
	[VFAKE_MODEL_ALARM] = &vfio_alarm_model,
};

const struct vfio_pci_model *vfio_pci_model(enum vfake_model model)
{
	return (size_t)model < sizeof(models) / sizeof(models[0]) ? models[model] : &plain_model;
}

static uint64_t tick_once(struct vfake_kernel *kernel)
{
	struct vfio_device *device;
	uint64_t worked = 0;

	LIST_FOREACH(device, &kernel->devices, entry)
	{
		struct vfio_pci *pci = vfio_pci_of(device);

		if (pci->model->tick)
			worked += pci->model->tick(pci);
	}
	return worked;
}

void vfake_set_clock(struct vfake_kernel *kernel, uint64_t seconds)
{
	kernel->clock_seconds = seconds;
}

uint64_t vfake_tick(struct vfake_kernel *kernel, uint64_t ticks)
{
	uint64_t sum = 0;

	while (ticks--) {
		uint64_t worked = tick_once(kernel);

		if (!worked)
			break;
		sum += worked;
	}
	return sum;
}

int vfake_device_faults(const struct vfake_kernel *kernel, const char *name,
			struct vfake_device_faults *faults)
{
	const struct vfio_device *device;

	LIST_FOREACH(device, &kernel->devices, entry)
	{
		const struct vfio_pci *pci = vfio_pci_of(device);

		if (strcmp(device->desc->name, name))
			continue;
		if (!pci->model->faults)
			return -EOPNOTSUPP;
		pci->model->faults(pci, faults);
		return 0;
	}
	return -ENOENT;
}
