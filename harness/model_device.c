/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model of what a program does with an open device: bind and attach by its own node,
 * interrupts, migration.
 */
#include <string.h>

#include <uapi/iommufd.h>
#include <uapi/vfio.h>

#include "model_internal.h"

enum { NO_IRQ = VFIO_PCI_NUM_IRQS };

/* ---- bind and attach ---- */

static void bind_iommufd(struct model *m, int task, int at)
{
	const struct vfio_device_bind_iommufd *out = m->event->out;
	const struct vfio_device_bind_iommufd *in = m->event->in;
	struct model_file *file = &m->files[at];
	struct model_device *device = &m->devices[file->of];
	int ctx;

	if (!in)
		return;
	if (file->by_group || in->iommufd < 0) {
		model_expect(m, -EINVAL);
		return;
	}
	if (m->groups[device->group].file >= 0) {
		model_expect(m, -EBUSY);
		return;
	}
	if (file->bound) {
		model_expect(m, -EINVAL);
		return;
	}
	if (m->event->ret)
		return;
	ctx = model_fd(m, task, in->iommufd);
	if (ctx < 0 || m->files[ctx].kind != MODEL_IOMMUFD) {
		model_says(m, "descriptor %d is no iommufd", in->iommufd);
		return;
	}
	file->bound = true;
	file->iommufd = m->files[ctx].of;
	model_file_get(m, ctx);
	m->groups[device->group].cdevs++;
	model_device_opened(m, file->of, file->vm);
	device->open_count++;
	model_bind(m, file->of, file->iommufd, out->out_devid);
}

static uint32_t pasid_of(bool given, uint32_t pasid)
{
	if (!given)
		return 0;
	return pasid ? pasid : (uint32_t)MODEL_PASID_ZERO;
}

static void attach_pt(struct model *m, const struct model_file *file)
{
	const struct vfio_device_attach_iommufd_pt *in = m->event->in;
	const struct vfio_device_attach_iommufd_pt *out = m->event->out;
	struct model_object *to;
	uint32_t pasid;

	if (!in || file->iommufd < 0)
		return;
	pasid = pasid_of(in->flags & VFIO_DEVICE_ATTACH_PASID, in->pasid);
	to = model_object(m, file->iommufd, in->pt_id);
	if (!to && !in->flags)
		model_expect(m, -ENOENT);
	else if (to && !in->flags && to->kind != UAPI_OBJ_IOAS && to->kind != UAPI_OBJ_HWPT_PAGING)
		model_expect(m, -EINVAL);
	if (!model_done(m) || !to)
		return;
	model_attach(m, file->of, pasid, in->pt_id, out->pt_id);
	/* Whichever attachment was made, Linux takes back the one without a PASID. */
	if (m->event->ret < 0)
		model_detach(m, file->of, 0);
}

static void detach_pt(struct model *m, const struct model_file *file)
{
	const struct vfio_device_detach_iommufd_pt *in = m->event->in;

	if (!in || m->event->ret || file->iommufd < 0)
		return;
	model_detach(m, file->of, pasid_of(in->flags & VFIO_DEVICE_DETACH_PASID, in->pasid));
}

/* ---- interrupts ---- */

static bool has_vector(const struct model_device *device, uint32_t vector)
{
	return device->vectors[vector / 8] >> vector % 8 & 1;
}

static void set_vector(struct model_device *device, uint32_t vector, bool set)
{
	if (set)
		device->vectors[vector / 8] |= (uint8_t)(1 << vector % 8);
	else
		device->vectors[vector / 8] &= (uint8_t) ~(1 << vector % 8);
}

static void turn_off(struct model_device *device)
{
	device->irq_index = NO_IRQ;
	memset(device->vectors, 0, sizeof(device->vectors));
}

static int32_t eventfd_at(const struct model *m, uint32_t index)
{
	int32_t fd = -1;

	model_load(m, m->event->arg + sizeof(struct vfio_irq_set) + index * sizeof(fd), &fd,
		   sizeof(fd));
	return fd;
}

/* A block of which one is bad is cleared, as far as it was done: the kernel says how far. */
static void block_failed(struct model *m, struct model_device *device,
			 const struct vfio_irq_set *set)
{
	if (device->irq_index != set->index || set->index == VFIO_PCI_INTX_IRQ_INDEX)
		return;
	for (uint32_t i = 0; i < set->count; i++) {
		uint32_t vector = set->start + i;

		if (vector >= MODEL_VECTORS || !has_vector(device, vector))
			continue;
		if (!vfake_view_vector(m->kernel, device->name, vector))
			set_vector(device, vector, false);
	}
}

static void set_block(struct model *m, struct model_device *device, const struct vfio_irq_set *set)
{
	device->irq_index = set->index;
	for (uint32_t i = 0; i < set->count && set->start + i < MODEL_VECTORS; i++)
		set_vector(device, set->start + i, eventfd_at(m, i) >= 0);
}

static void set_single(struct model *m, bool *irq, const struct vfio_irq_set *set)
{
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		*irq = eventfd_at(m, 0) >= 0;
	else if (!set->count)
		*irq = false;
}

static void set_irqs(struct model *m, struct model_device *device)
{
	const struct vfio_irq_set *set = m->event->in;
	bool eventfds;

	if (!set || (set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) != VFIO_IRQ_SET_ACTION_TRIGGER)
		return;
	eventfds = set->flags & VFIO_IRQ_SET_DATA_EVENTFD;
	if (m->event->ret) {
		if (eventfds)
			block_failed(m, device, set);
		return;
	}
	if (set->index == VFIO_PCI_ERR_IRQ_INDEX)
		set_single(m, &device->err_irq, set);
	else if (set->index == VFIO_PCI_REQ_IRQ_INDEX)
		set_single(m, &device->req_irq, set);
	else if (eventfds)
		set_block(m, device, set);
	else if (!set->count && (set->flags & VFIO_IRQ_SET_DATA_NONE))
		turn_off(device);
}

/* ---- migration ---- */

static bool has_stream(uint32_t state)
{
	return state == VFIO_DEVICE_STATE_PRE_COPY || state == VFIO_DEVICE_STATE_PRE_COPY_P2P ||
	       state == VFIO_DEVICE_STATE_STOP_COPY || state == VFIO_DEVICE_STATE_RESUMING;
}

static void drop_stream(struct model *m, struct model_device *device)
{
	int stream = device->stream;

	device->stream = -1;
	if (stream >= 0)
		model_file_put(m, stream);
}

static void new_stream(struct model *m, struct model_device *device, int at)
{
	drop_stream(m, device);
	device->stream = model_file_new(m, MODEL_STREAM, at);
	if (device->stream >= 0)
		model_file_get(m, device->stream);
}

/* The device goes as far as it gets; when that fails, the kernel says where it stands. */
static void set_state(struct model *m, int task, int at)
{
	struct vfio_device_feature_mig_state arg;
	struct model_device *device = &m->devices[at];
	struct vfake_pci_view view;
	uint64_t data = m->event->arg + sizeof(struct vfio_device_feature);

	if (vfake_view_pci(m->kernel, device->name, &view) ||
	    !model_load(m, data, &arg, sizeof(arg)))
		return;
	device->migration = m->event->ret ? view.migration : arg.device_state;
	if (!m->event->ret && arg.data_fd >= 0) {
		new_stream(m, device, at);
		model_install(m, task, arg.data_fd, device->stream);
	} else if (!has_stream(device->migration)) {
		drop_stream(m, device);
	} else if (device->stream < 0) {
		new_stream(m, device, at); /* its descriptor did not reach the caller */
	}
}

static void dma_buf(struct model *m, int task, int device)
{
	if (m->event->ret >= 0)
		model_install(m, task, m->event->ret, model_file_new(m, MODEL_DMABUF, device));
}

static void feature(struct model *m, int task, int at)
{
	const struct vfio_device_feature *in = m->event->in;

	if (!in || (in->flags & VFIO_DEVICE_FEATURE_PROBE))
		return;
	switch (in->flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		if ((in->flags & VFIO_DEVICE_FEATURE_SET) && m->devices[at].migration != UINT32_MAX)
			set_state(m, task, at);
		break;
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
		if (!m->event->ret)
			m->devices[at].dma_logging = true;
		break;
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
		if (!m->event->ret)
			m->devices[at].dma_logging = false;
		break;
	case VFIO_DEVICE_FEATURE_DMA_BUF:
		if (in->flags & VFIO_DEVICE_FEATURE_GET)
			dma_buf(m, task, at);
		break;
	default:
		break;
	}
}

/* ---- the calls ---- */

/* A reset of a function that can be migrated ends its migration. */
static void after_reset(struct model *m, int at)
{
	struct model_device *device = &m->devices[at];
	struct vfake_pci_view view;

	if (device->migration == UINT32_MAX || vfake_view_pci(m->kernel, device->name, &view) ||
	    view.migration != VFIO_DEVICE_STATE_RUNNING)
		return;
	device->migration = VFIO_DEVICE_STATE_RUNNING;
	drop_stream(m, device);
}

void model_device_reset(struct model *m, int at)
{
	struct model_device *device = &m->devices[at];

	turn_off(device);
	device->err_irq = false;
	device->req_irq = false;
	device->dma_logging = false;
	drop_stream(m, device);
	device->migration = UINT32_MAX;
}

void model_on_device(struct model *m, int task, int file)
{
	int at = m->files[file].of;

	switch (m->event->row->number) {
	case VFIO_DEVICE_BIND_IOMMUFD:
		bind_iommufd(m, task, file);
		break;
	case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
		attach_pt(m, &m->files[file]);
		break;
	case VFIO_DEVICE_DETACH_IOMMUFD_PT:
		detach_pt(m, &m->files[file]);
		break;
	case VFIO_DEVICE_SET_IRQS:
		set_irqs(m, &m->devices[at]);
		break;
	case VFIO_DEVICE_RESET:
	case VFIO_DEVICE_PCI_HOT_RESET:
		for (size_t i = 0; i < m->device_count; i++)
			after_reset(m, (int)i);
		break;
	case VFIO_DEVICE_FEATURE:
		feature(m, task, at);
		break;
	default:
		break;
	}
}
