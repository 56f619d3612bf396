/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest on POWER for the bugs of KVM's windows: a VM with memory, KVM's VFIO device, and a
 * container whose first window starts at 0. All of it by raw calls of the stage's process.
 */
#ifndef SCENARIOS_BUGS_KVM_GUEST_H
#define SCENARIOS_BUGS_KVM_GUEST_H

#include <vfake/kvm.h>

#include "spapr_steps.h"
#include "bugs.h"

enum { GUEST_BYTES = 16 * PAGE, GUEST_ENTRIES = 2048, GUEST_FILES = 16 };

struct kvm_guest {
	struct stage *stage;
	struct vfake_task *task;
	int vm, vfio;
	vfake_addr memory;
	int files[GUEST_FILES]; /* all that is open, to be closed last first */
	uint32_t file_count;
};

static inline int guest_file(struct kvm_guest *guest, long fd)
{
	assert_true(fd >= 0 && guest->file_count < GUEST_FILES);
	guest->files[guest->file_count++] = (int)fd;
	return (int)fd;
}

static inline struct kvm_guest guest_start(struct stage *stage)
{
	struct kvm_guest guest = { .stage = stage, .task = stage->task };
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_userspace_memory_region slot = { .memory_size = GUEST_BYTES };
	int kvm = guest_file(&guest, vfake_open(guest.task, "/dev/kvm"));

	guest.vm = guest_file(&guest, call_with(guest.task, kvm, KVM_CREATE_VM, 0));
	assert_int_equal(call(guest.task, guest.vm, KVM_CREATE_DEVICE, &device), 0);
	guest.vfio = guest_file(&guest, (long)device.fd);
	guest.memory = new_memory(guest.task, GUEST_BYTES);
	slot.userspace_addr = guest.memory;
	assert_int_equal(call(guest.task, guest.vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	return guest;
}

/* Everything is closed, and the kernel has nothing left of it and has not warned. */
static inline void guest_end(struct kvm_guest *guest)
{
	while (guest->file_count)
		assert_int_equal(vfake_close(guest->task, guest->files[--guest->file_count]), 0);
	assert_int_equal(vfake_munmap(guest->task, guest->memory, GUEST_BYTES), 0);
	assert_int_equal(vfake_ledger(guest->stage->kernel).warnings, 0);
	stage_expect_empty(guest->stage);
}

/* A container of its own for the device's group, which is returned. */
static inline int guest_container(struct kvm_guest *guest, unsigned int device, int *group)
{
	int container = guest_file(guest, vfake_open(guest->task, "/dev/vfio/vfio"));

	*group = guest_file(guest,
			    open_group(guest->task, guest->stage->kernel, stage_name(device)));
	assert_int_equal(call(guest->task, *group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	assert_int_equal(call_with(guest->task, container, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU),
			 0);
	assert_int_equal(enrol(guest->task, container, guest->memory, GUEST_BYTES), 0);
	assert_int_equal(unmap(guest->task, container, 0, 0), 0); /* makes the first window */
	return container;
}

static inline int guest_table(struct kvm_guest *guest, uint64_t liobn)
{
	struct kvm_create_spapr_tce_64 arg = { .liobn = liobn,
					       .page_shift = 12,
					       .size = GUEST_ENTRIES };

	return guest_file(guest, call(guest->task, guest->vm, KVM_CREATE_SPAPR_TCE_64, &arg));
}

static inline long guest_set(const struct kvm_guest *guest, uint64_t attr, const void *value)
{
	struct kvm_device_attr arg = { .group = KVM_DEV_VFIO_GROUP,
				       .attr = attr,
				       .addr = address_of(value) };

	return call(guest->task, guest->vfio, KVM_SET_DEVICE_ATTR, &arg);
}

static inline long guest_serve(const struct kvm_guest *guest, int group, int table)
{
	struct kvm_vfio_spapr_tce arg = { .groupfd = group, .tablefd = table };

	return guest_set(guest, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, &arg);
}

/* The guest maps a page: what the hypercall says. */
static inline long guest_put(const struct kvm_guest *guest, uint64_t liobn, uint64_t ioba,
			     uint64_t tce)
{
	long result = 1;

	assert_int_equal(vfake_h_put_tce(guest->task, guest->vm, liobn, ioba, tce, &result), 0);
	return result;
}

#endif
