/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model's iommufds: their objects, who uses them, and which device is attached to what.
 *
 * Users: an object itself; an IOAS: each page table on it; a page table: each attachment of a
 * device; a device: its VFIO file and each of its attachments; a fault queue: its file and each
 * page table that uses it.
 */
#include <stdlib.h>
#include <string.h>

#include <uapi/iommufd.h>
#include <uapi/vfio.h>

#include "model_internal.h"

/* ---- contexts ---- */

int model_iommufd_new(struct model *m, int file, bool compat)
{
	size_t at = 0;

	while (at < m->iommufds_count && m->iommufds[at].file >= 0)
		at++;
	if (at == m->iommufds_count) {
		if (!model_room(m, &m->iommufds, &m->iommufds_space, at, sizeof(*m->iommufds)))
			return -1;
		m->iommufds_count++;
	}
	m->iommufds[at].file = file;
	m->iommufds[at].account = compat ? 2 : 0;
	m->iommufds[at].no_iommu = false;
	m->iommufds[at].compat = 0;
	m->iommufds[at].object_count = 0;
	return (int)at;
}

void model_iommufd_released(struct model *m, int at)
{
	struct model_iommufd *ctx = &m->iommufds[at];

	/* Page tables first: they use what is left then. */
	for (size_t i = ctx->object_count; i > 0; i--) {
		if (i <= ctx->object_count && ctx->objects[i - 1].kind == UAPI_OBJ_HWPT_PAGING)
			model_object_destroy(m, at, ctx->objects[i - 1].id);
	}
	while (ctx->object_count)
		model_object_destroy(m, at, ctx->objects[ctx->object_count - 1].id);
	ctx->file = -1;
}

/* ---- objects ---- */

struct model_object *model_object(const struct model *m, int at, uint32_t id)
{
	const struct model_iommufd *ctx = &m->iommufds[at];

	for (size_t i = 0; i < ctx->object_count; i++) {
		if (ctx->objects[i].id == id)
			return &ctx->objects[i];
	}
	return NULL;
}

uint32_t model_free_id(const struct model *m, int at)
{
	const struct model_iommufd *ctx = &m->iommufds[at];
	uint32_t id = 1;

	for (size_t i = 0; i < ctx->object_count && ctx->objects[i].id == id; i++)
		id++;
	return id;
}

struct model_object *model_object_new(struct model *m, int at, uint32_t id, uint32_t kind)
{
	struct model_iommufd *ctx = &m->iommufds[at];
	size_t index = 0;

	if (id != model_free_id(m, at)) {
		model_says(m, "the new object is %u, the lowest free id is %u", id,
			   model_free_id(m, at));
		return NULL;
	}
	if (!model_room(m, &ctx->objects, &ctx->object_space, ctx->object_count,
			sizeof(*ctx->objects)))
		return NULL;
	while (index < ctx->object_count && ctx->objects[index].id < id)
		index++;
	memmove(&ctx->objects[index + 1], &ctx->objects[index],
		(ctx->object_count - index) * sizeof(*ctx->objects));
	ctx->object_count++;
	ctx->objects[index] =
		(struct model_object){ .id = id, .kind = kind, .users = 1, .space = -1 };
	return &ctx->objects[index];
}

void model_object_destroy(struct model *m, int at, uint32_t id)
{
	struct model_iommufd *ctx = &m->iommufds[at];
	struct model_object gone = *model_object(m, at, id);
	size_t index = 0;

	while (ctx->objects[index].id != id)
		index++;
	ctx->object_count--;
	memmove(&ctx->objects[index], &ctx->objects[index + 1],
		(ctx->object_count - index) * sizeof(gone));
	if (gone.kind == UAPI_OBJ_IOAS) {
		if (ctx->compat == id)
			ctx->compat = 0;
		model_space_free(m, gone.space);
	} else if (gone.kind == UAPI_OBJ_HWPT_PAGING) {
		if (gone.fault)
			model_object(m, at, gone.fault)->users--;
		model_object(m, at, gone.on)->users--;
		model_page_table_gone(m, model_object(m, at, gone.on)->space);
	}
}

uint32_t model_ioas_new(struct model *m, int at, uint32_t id)
{
	struct model_object *ioas = model_object_new(m, at, id, UAPI_OBJ_IOAS);

	if (!ioas)
		return 0;
	ioas->space = model_space_new(m);
	return id;
}

static struct model_object *page_table_new(struct model *m, int at, uint32_t id, uint32_t ioas)
{
	struct model_object *table = model_object_new(m, at, id, UAPI_OBJ_HWPT_PAGING);

	if (!table)
		return NULL;
	table->on = ioas;
	model_object(m, at, ioas)->users++;
	model_page_table_added(m, model_object(m, at, ioas)->space);
	return table;
}

/* ---- devices ---- */

void model_bind(struct model *m, int at, int iommufd, uint32_t id)
{
	struct model_object *object;

	m->touched_iommufd = iommufd;
	if (m->groups[m->devices[at].group].noiommu)
		return;
	object = model_object_new(m, iommufd, id, UAPI_OBJ_DEVICE);
	if (!object)
		return;
	object->users++;
	m->devices[at].iommufd = iommufd;
	m->devices[at].id = id;
	m->devices[at].page_table = 0;
	model_file_get(m, m->iommufds[iommufd].file);
}

void model_unbind(struct model *m, int at)
{
	struct model_device *device = &m->devices[at];
	int iommufd = device->iommufd;

	while (device->pasid_count)
		model_detach(m, at, device->pasids[0].pasid);
	model_detach(m, at, 0);
	model_object_destroy(m, iommufd, device->id);
	device->iommufd = -1;
	device->id = 0;
	model_file_put(m, m->iommufds[iommufd].file);
}

/* Where the page table that a device is attached to with a PASID is noted; NULL for none. */
static uint32_t *attachment(struct model_device *device, uint32_t pasid)
{
	if (!pasid)
		return device->page_table ? &device->page_table : NULL;
	for (size_t i = 0; i < device->pasid_count; i++) {
		if (device->pasids[i].pasid == pasid)
			return &device->pasids[i].page_table;
	}
	return NULL;
}

static void leave_table(struct model *m, int iommufd, uint32_t id)
{
	struct model_object *table = model_object(m, iommufd, id);

	table->users--;
	if (table->automatic && table->users == 1)
		model_object_destroy(m, iommufd, id);
}

/* All devices of the group move at once. */
static void move_group(struct model *m, int at, uint32_t pasid, uint32_t to)
{
	const struct model_device *device = &m->devices[at];
	uint32_t from = *attachment(&m->devices[at], pasid);

	for (size_t i = 0; i < m->device_count && from != to; i++) {
		uint32_t *other = attachment(&m->devices[i], pasid);

		if (m->devices[i].group != device->group ||
		    m->devices[i].iommufd != device->iommufd || !other || *other != from)
			continue;
		*other = to;
		model_object(m, device->iommufd, to)->users++;
		leave_table(m, device->iommufd, from);
	}
}

static void new_attachment(struct model *m, struct model_device *device, uint32_t pasid,
			   uint32_t to)
{
	if (!pasid) {
		device->page_table = to;
	} else {
		if (!model_room(m, &device->pasids, &device->pasid_space, device->pasid_count,
				sizeof(*device->pasids)))
			return;
		device->pasids[device->pasid_count++] = (struct model_pasid){ pasid, to };
	}
	model_object(m, device->iommufd, to)->users++;
	model_object(m, device->iommufd, device->id)->users++;
}

/* The kernel names the page table in the call's answer, or else at the device. */
static uint32_t chosen_table(struct model *m, const struct model_device *device, uint32_t got)
{
	struct vfake_space_at at = { .kernel = m->kernel, .device = device->name };
	struct vfake_object_view view;

	if (got)
		return got;
	return vfake_view_object(&at, device->id, &view) || view.id != device->id ? 0 : view.on;
}

void model_attach(struct model *m, int at, uint32_t pasid, uint32_t to, uint32_t got)
{
	struct model_device *device = &m->devices[at];
	struct model_object *target, *table;

	if (m->stopped)
		return;
	m->touched_iommufd = device->iommufd;
	target = model_object(m, device->iommufd, to);
	if (!target) {
		model_says(m, "there is no object %u to attach to", to);
		return;
	}
	if (target->kind == UAPI_OBJ_IOAS) {
		got = chosen_table(m, device, got);
		table = model_object(m, device->iommufd, got);
		if (!table)
			table = page_table_new(m, device->iommufd, got, to);
		else if (!table->automatic || table->on != to)
			model_says(m, "page table %u was not made by an attach to IOAS %u", got,
				   to);
		if (!table || m->stopped)
			return;
		table->automatic = true;
		to = got;
	} else if (got != to) {
		model_says(m, "page table %u was asked for, %u was given", to, got);
		return;
	}
	if (attachment(device, pasid))
		move_group(m, at, pasid, to);
	else
		new_attachment(m, device, pasid, to);
}

void model_detach(struct model *m, int at, uint32_t pasid)
{
	struct model_device *device = &m->devices[at];
	uint32_t *place = attachment(device, pasid);
	uint32_t table;

	if (!place)
		return;
	m->touched_iommufd = device->iommufd;
	table = *place;
	if (pasid) {
		struct model_pasid *entry = device->pasids;

		while (entry->pasid != pasid)
			entry++;
		*entry = device->pasids[--device->pasid_count];
	} else {
		device->page_table = 0;
	}
	leave_table(m, device->iommufd, table);
	model_object(m, device->iommufd, device->id)->users--;
}

/* ---- calls that make and destroy objects ---- */

static void destroy(struct model *m, int at)
{
	const struct iommu_destroy *in = m->event->in;
	const struct model_object *object = model_object(m, at, in->id);

	if (!object)
		model_expect(m, -ENOENT);
	else if (object->users != 1)
		model_expect(m, -EBUSY);
	else if (model_expect(m, 0))
		model_object_destroy(m, at, in->id);
}

static void ioas_alloc(struct model *m, int at)
{
	const struct iommu_ioas_alloc *out = m->event->out;

	if (!m->event->ret)
		model_ioas_new(m, at, out->out_ioas_id);
}

static void hwpt_alloc(struct model *m, int at)
{
	const struct iommu_hwpt_alloc *in = m->event->in, *out = m->event->out;
	const struct model_object *device = model_object(m, at, in->dev_id);
	const struct model_object *pt = model_object(m, at, in->pt_id);
	struct model_object *table;

	if (m->event->ret)
		return;
	if (!device || device->kind != UAPI_OBJ_DEVICE || !pt || pt->kind != UAPI_OBJ_IOAS) {
		model_says(m, "there is no device %u or no IOAS %u", in->dev_id, in->pt_id);
		return;
	}
	table = page_table_new(m, at, out->out_hwpt_id, in->pt_id);
	if (!table)
		return;
	table->dirty_capable = in->flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	if (!(in->flags & IOMMU_HWPT_FAULT_ID_VALID))
		return;
	table->fault = in->fault_id;
	if (model_object(m, at, in->fault_id))
		model_object(m, at, in->fault_id)->users++;
	else
		model_says(m, "there is no fault queue %u", in->fault_id);
}

static void set_dirty_tracking(struct model *m, int at)
{
	const struct iommu_hwpt_set_dirty_tracking *in = m->event->in;
	struct model_object *table = model_object(m, at, in->hwpt_id);

	if (!table || table->kind != UAPI_OBJ_HWPT_PAGING) {
		model_expect(m, -ENOENT);
		return;
	}
	if (!table->dirty_capable) {
		model_expect(m, -EOPNOTSUPP);
		return;
	}
	if (!m->event->ret)
		table->dirty_tracking = in->flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE;
}

static void fault_alloc(struct model *m, int task, int at)
{
	const struct iommu_fault_alloc *out = m->event->out;
	struct model_object *fault;
	int file;

	if (m->event->ret)
		return;
	fault = model_object_new(m, at, out->out_fault_id, UAPI_OBJ_FAULT);
	file = model_file_new(m, MODEL_FAULTS, -1);
	if (!fault || file < 0)
		return;
	fault->users++;
	m->files[file].iommufd = at;
	m->files[file].object = out->out_fault_id;
	model_file_get(m, m->iommufds[at].file);
	model_install(m, task, out->out_fault_fd, file);
}

static void option(struct model *m, int at)
{
	const struct iommu_option *in = m->event->in;
	struct model_object *ioas;

	if (!model_done(m) || in->op != IOMMU_OPTION_OP_SET)
		return;
	if (in->option_id == IOMMU_OPTION_RLIMIT_MODE) {
		if (m->iommufds[at].object_count)
			model_says(m, "the account changes while there are objects");
		m->iommufds[at].account = in->val64 ? 2 : 1;
		return;
	}
	ioas = model_object(m, at, in->object_id);
	if (in->option_id != IOMMU_OPTION_HUGE_PAGES || !ioas || ioas->kind != UAPI_OBJ_IOAS)
		model_says(m, "there is no IOAS %u", in->object_id);
	else
		m->spaces[ioas->space].small_pages = !in->val64;
}

static void vfio_ioas(struct model *m, int at)
{
	const struct iommu_vfio_ioas *in = m->event->in;
	const struct model_object *ioas = model_object(m, at, in->ioas_id);

	if (in->op == IOMMU_VFIO_IOAS_GET && !m->iommufds[at].compat)
		model_expect(m, -ENODEV);
	if (in->op == IOMMU_VFIO_IOAS_SET && (!ioas || ioas->kind != UAPI_OBJ_IOAS))
		model_expect(m, -ENOENT);
	else if (in->op == IOMMU_VFIO_IOAS_SET && model_done(m))
		m->iommufds[at].compat = in->ioas_id;
	else if (in->op == IOMMU_VFIO_IOAS_CLEAR && model_done(m))
		m->iommufds[at].compat = 0;
}

static void set_iommu(struct model *m, int at)
{
	const struct model_object *ioas = model_object(m, at, m->iommufds[at].compat);

	if (!m->event->ret && m->event->arg == VFIO_TYPE1_IOMMU && ioas)
		m->spaces[ioas->space].small_pages = true;
}

void model_on_iommufd(struct model *m, int task, int at)
{
	m->touched_iommufd = at;
	if (model_on_ioas(m, task, at))
		return;
	switch (m->event->row->number) {
	case IOMMU_DESTROY:
		destroy(m, at);
		break;
	case IOMMU_IOAS_ALLOC:
		ioas_alloc(m, at);
		break;
	case IOMMU_HWPT_ALLOC:
		hwpt_alloc(m, at);
		break;
	case IOMMU_HWPT_SET_DIRTY_TRACKING:
		set_dirty_tracking(m, at);
		break;
	case IOMMU_FAULT_QUEUE_ALLOC:
		fault_alloc(m, task, at);
		break;
	case IOMMU_OPTION:
		option(m, at);
		break;
	case IOMMU_VFIO_IOAS:
		vfio_ioas(m, at);
		break;
	case VFIO_SET_IOMMU:
		set_iommu(m, at);
		break;
	default:
		break;
	}
}
