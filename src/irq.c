/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts of a device, and the two notifications that are interrupts too: "I failed" and "give
 * me back".
 *
 * An index that was ever enabled is disabled when the device goes, on every path: a device that
 * is handed on must not signal its last user.
 */
#include <string.h>

#include "device_io.h"

enum { VECTORS_MAX = 4096 };

bool vfio_device_irq(struct vfio_device *device, uint32_t index, struct vfio_irq *irq,
		     struct vfio_error *error)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };
	int ret;

	if (index >= device->irq_count)
		return vfio_fail(error, -EINVAL, "%s has no interrupt %u", device->options.name,
				 index);
	ret = device->ops->io->irq_info(device, &info);
	if (ret)
		return vfio_fail(error, ret, "%s: interrupt %u", device->options.name, index);
	*irq = (struct vfio_irq){
		.index = index,
		.count = info.count,
		.eventfd = info.flags & VFIO_IRQ_INFO_EVENTFD,
		.maskable = info.flags & VFIO_IRQ_INFO_MASKABLE,
		.automasked = info.flags & VFIO_IRQ_INFO_AUTOMASKED,
		.noresize = info.flags & VFIO_IRQ_INFO_NORESIZE,
	};
	return true;
}

/* VFIO_DEVICE_SET_IRQS without data. */
static long set_plain(struct vfio_device *device, uint32_t action, uint32_t index, uint32_t start,
		      uint32_t count)
{
	struct vfio_irq_set set = { .argsz = sizeof(set),
				    .flags = VFIO_IRQ_SET_DATA_NONE | action,
				    .index = index,
				    .start = start,
				    .count = count };

	return device->ops->io->set_irqs(device, &set);
}

static long set_eventfds(struct vfio_device *device, uint32_t index, uint32_t start, uint32_t count,
			 const int *eventfds)
{
	uint32_t bytes = (uint32_t)(sizeof(struct vfio_irq_set) + count * sizeof(int32_t));
	struct vfio_irq_set *set = vfio_alloc(device->vfio, bytes);
	long ret;

	if (!set)
		return -ENOMEM;
	set->argsz = bytes;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = index;
	set->start = start;
	set->count = count;
	memcpy(set->data, eventfds, count * sizeof(int32_t));
	ret = device->ops->io->set_irqs(device, set);
	vfio_release(device->vfio, set);
	return ret;
}

bool vfio_device_irq_enable(struct vfio_device *device, uint32_t index, uint32_t start,
			    uint32_t count, const int *eventfds, struct vfio_error *error)
{
	long ret;

	if (index >= device->irq_count || index >= 32 || !count || count > VECTORS_MAX)
		return vfio_fail(error, -EINVAL, "%s: interrupt %u, %u vectors",
				 device->options.name, index, count);
	ret = set_eventfds(device, index, start, count, eventfds);
	if (ret > 0) {
		vfio_fail(error, -ENOSPC, "%s: interrupt %u", device->options.name, index);
		vfio_error_hint(error, "there are %ld vectors", ret);
		return false;
	}
	if (ret)
		return vfio_fail(error, (int)ret, "%s: interrupt %u", device->options.name, index);
	device->irqs_enabled |= 1u << index;
	return true;
}

void vfio_device_irq_disable(struct vfio_device *device, uint32_t index)
{
	long ret;

	if (index >= 32 || !(device->irqs_enabled & 1u << index))
		return;
	ret = set_plain(device, VFIO_IRQ_SET_ACTION_TRIGGER, index, 0, 0);
	if (ret)
		vfio_warn(device->vfio, (int)ret, "%s: interrupt %u stays enabled",
			  device->options.name, index);
	else
		device->irqs_enabled &= ~(1u << index);
}

bool vfio_device_irq_mask(struct vfio_device *device, uint32_t index, bool mask,
			  struct vfio_error *error)
{
	long ret = set_plain(device, mask ? VFIO_IRQ_SET_ACTION_MASK : VFIO_IRQ_SET_ACTION_UNMASK,
			     index, 0, 1);

	return !ret || vfio_fail(error, (int)ret, "%s: interrupt %u", device->options.name, index);
}

bool vfio_device_irq_trigger(struct vfio_device *device, uint32_t index, uint32_t vector,
			     struct vfio_error *error)
{
	long ret = set_plain(device, VFIO_IRQ_SET_ACTION_TRIGGER, index, vector, 1);

	return !ret || vfio_fail(error, (int)ret, "%s: interrupt %u, vector %u",
				 device->options.name, index, vector);
}

/* ---- notifications ---- */

/* A notification that the old process has connected. */
static bool take_notifier(struct vfio_device *device, uint32_t id, bool there, int *eventfd,
			  struct vfio_error *error)
{
	if (there)
		*eventfd = vfio_cpr_take(device->vfio, "device/", device->options.name, id, error);
	return !there || *eventfd >= 0;
}

static bool take_notifiers(struct vfio_device *device, struct vfio_error *error)
{
	const struct vfio_cpr_device_record *record = device->cpr.record;

	device->irqs_enabled = record->irqs;
	if (take_notifier(device, 1, record->error_fd, &device->error_eventfd, error) &&
	    take_notifier(device, 2, record->request_fd, &device->request_eventfd, error))
		return true;
	vfio_device_end_irqs(device);
	return false;
}

/* Connects a notification to an eventfd of our own, where the device has it. */
static bool set_up_notifier(struct vfio_device *device, uint32_t index, int *eventfd,
			    struct vfio_error *error)
{
	const struct vfio_sys *sys = &device->vfio->sys;
	struct vfio_error why = { 0 };
	struct vfio_irq irq;

	/* A device that has no such notification: the kernel calls it invalid, as we do. */
	if (!vfio_device_irq(device, index, &irq, &why))
		return why.code == -EINVAL ||
		       vfio_fail(error, why.code, "VFIO_DEVICE_GET_IRQ_INFO");
	if (!irq.count || !irq.eventfd)
		return true;
	*eventfd = sys->eventfd(sys->ctx);
	if (*eventfd < 0)
		return vfio_fail(error, *eventfd, "eventfd");
	return vfio_device_irq_enable(device, index, 0, 1, eventfd, error);
}

bool vfio_device_setup_notifiers(struct vfio_device *device, struct vfio_error *error)
{
	if (device->cpr.record)
		return take_notifiers(device, error);
	if (!(device->flags & VFIO_DEVICE_FLAGS_PCI))
		return true;
	if (set_up_notifier(device, VFIO_PCI_ERR_IRQ_INDEX, &device->error_eventfd, error) &&
	    set_up_notifier(device, VFIO_PCI_REQ_IRQ_INDEX, &device->request_eventfd, error))
		return true;
	vfio_device_end_irqs(device);
	return false;
}

void vfio_device_end_irqs(struct vfio_device *device)
{
	for (uint32_t index = 0; index < 32 && !vfio_cpr_shares(device->vfio); index++)
		vfio_device_irq_disable(device, index);
	vfio_close(device->vfio, &device->error_eventfd);
	vfio_close(device->vfio, &device->request_eventfd);
}

static bool signalled(struct vfio_device *device, int eventfd)
{
	const struct vfio_sys *sys = &device->vfio->sys;
	uint64_t count = 0;

	return eventfd >= 0 &&
	       sys->read(sys->ctx, eventfd, (uint64_t)(uintptr_t)&count, sizeof(count)) ==
		       (long)sizeof(count) &&
	       count;
}

void vfio_device_poll(struct vfio_device *device)
{
	const struct vfio_vmm *vmm = &device->vfio->vmm;

	if (device->ops->io->poll)
		device->ops->io->poll(device);
	if (signalled(device, device->error_eventfd) && vmm->device_error)
		vmm->device_error(vmm->ctx, device->options.name);
	if (signalled(device, device->request_eventfd) && vmm->device_request)
		vmm->device_request(vmm->ctx, device->options.name);
}
