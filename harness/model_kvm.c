/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model of KVM: who holds a VM, and which files its VFIO device holds.
 */
#include <string.h>

#include <uapi/kvm.h>

#include "model_internal.h"

/* ---- VMs ---- */

static int vm_new(struct model *m, int task)
{
	size_t at = 0;

	while (at < m->vms_count && m->vms[at].refs)
		at++;
	if (at == m->vms_count) {
		if (!model_room(m, &m->vms, &m->vms_space, at, sizeof(*m->vms)))
			return -1;
		m->vms_count++;
	}
	m->vms[at].refs = 1;
	m->vms[at].task = task;
	m->vms[at].file_count = 0;
	m->vms[at].has_device = false;
	return (int)at;
}

void model_vm_put(struct model *m, int vm)
{
	m->vms[vm].refs--;
}

void model_on_kvm(struct model *m, int task, int file)
{
	int vm;

	(void)file;
	if (m->event->row->number != KVM_CREATE_VM || m->event->ret < 0)
		return;
	vm = vm_new(m, task);
	if (vm >= 0)
		model_install(m, task, m->event->ret, model_file_new(m, MODEL_VM, vm));
}

/* ---- what a VM has ---- */

/* The descriptor stays although its number did not reach the caller. */
static void create_device(struct model *m, int task, int vm)
{
	const struct kvm_create_device *in = m->event->in, *out = m->event->out;

	if (in->type != KVM_DEV_TYPE_VFIO || (in->flags & KVM_CREATE_DEVICE_TEST))
		return;
	if (m->vms[vm].has_device)
		model_expect(m, -EBUSY);
	if (!model_done(m) || m->stopped)
		return;
	m->vms[vm].has_device = true;
	m->vms[vm].refs++;
	model_install(m, task, (int)out->fd, model_file_new(m, MODEL_KVM_DEVICE, vm));
}

/* The entries and Linux's own list of their pages. */
static uint64_t table_pages(const struct model *m, uint64_t entries)
{
	enum { HEAD_BYTES = 120 };
	uint64_t pages = model_pages_of(m, entries * sizeof(uint64_t));

	return pages + model_pages_of(m, HEAD_BYTES + pages * sizeof(uint64_t));
}

static void create_table(struct model *m, int task, int vm, uint64_t entries)
{
	int file;

	if (m->event->ret < 0)
		return;
	file = model_file_new(m, MODEL_TCE_TABLE, vm);
	if (file < 0)
		return;
	m->vms[vm].refs++;
	m->files[file].payer = task;
	m->files[file].charged = table_pages(m, entries);
	m->tasks[task].locked += m->files[file].charged;
	model_install(m, task, m->event->ret, file);
}

void model_on_vm(struct model *m, int task, int file)
{
	const struct kvm_create_spapr_tce_64 *table_64 = m->event->in;
	const struct kvm_create_spapr_tce *table = m->event->in;

	switch (m->event->row->number) {
	case KVM_CREATE_DEVICE:
		create_device(m, task, m->files[file].of);
		break;
	case KVM_CREATE_SPAPR_TCE:
		create_table(m, task, m->files[file].of, table->window_size >> 12);
		break;
	case KVM_CREATE_SPAPR_TCE_64:
		create_table(m, task, m->files[file].of, table_64->size);
		break;
	default:
		break;
	}
}

/* ---- the VFIO device ---- */

static void set_vm(struct model *m, int file, int vm)
{
	if (m->files[file].kind == MODEL_GROUP)
		m->groups[m->files[file].of].vm = vm;
	else
		m->files[file].vm = vm;
}

static size_t find(const struct model_vm *vm, int file)
{
	size_t at = 0;

	while (at < vm->file_count && vm->files[at] != file)
		at++;
	return at;
}

static void add(struct model *m, int at, int file)
{
	struct model_vm *vm = &m->vms[at];

	if (m->files[file].kind != MODEL_GROUP && m->files[file].kind != MODEL_DEVICE) {
		model_expect(m, -EINVAL);
		return;
	}
	if (find(vm, file) < vm->file_count) {
		model_expect(m, -EEXIST);
		return;
	}
	if (!model_expect(m, 0) ||
	    !model_room(m, &vm->files, &vm->file_space, vm->file_count, sizeof(*vm->files)))
		return;
	vm->files[vm->file_count++] = file;
	model_file_get(m, file);
	set_vm(m, file, at);
}

static void drop(struct model *m, struct model_vm *vm, size_t index)
{
	int file = vm->files[index];

	vm->file_count--;
	memmove(&vm->files[index], &vm->files[index + 1],
		(vm->file_count - index) * sizeof(*vm->files));
	set_vm(m, file, -1);
	model_file_put(m, file);
}

static void del(struct model *m, int at, int file)
{
	struct model_vm *vm = &m->vms[at];
	size_t index = find(vm, file);

	if (index == vm->file_count)
		model_expect(m, -ENOENT);
	else if (model_expect(m, 0))
		drop(m, vm, index);
}

void model_kvm_device_released(struct model *m, int at)
{
	while (m->vms[at].file_count)
		drop(m, &m->vms[at], 0);
	m->vms[at].has_device = false;
	model_vm_put(m, at);
}

/* From now on a guest can fill the tables of the group's container by itself. */
static void set_tables(struct model *m)
{
	if (!m->event->ret)
		m->unsure_tces = true;
}

void model_on_kvm_device(struct model *m, int task, int file)
{
	const struct kvm_device_attr *in = m->event->in;
	int32_t fd;
	int named;

	if (m->event->row->number != KVM_SET_DEVICE_ATTR || in->group != KVM_DEV_VFIO_FILE)
		return;
	if (in->attr == KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE)
		set_tables(m);
	if ((in->attr != KVM_DEV_VFIO_FILE_ADD && in->attr != KVM_DEV_VFIO_FILE_DEL) ||
	    !model_load(m, in->addr, &fd, sizeof(fd)))
		return;
	named = model_fd(m, task, fd);
	if (named < 0)
		model_expect(m, -EBADF);
	else if (in->attr == KVM_DEV_VFIO_FILE_ADD)
		add(m, m->files[file].of, named);
	else
		del(m, m->files[file].of, named);
}
