/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's objects: virtual machines, their VFIO device, and the TCE tables of a POWER guest.
 *
 * Who holds whom, as in Linux 7.2 (include/linux/kvm_host.h):
 *   the files of a VM, of its devices and of its TCE tables each hold one reference on the VM
 *   an open VFIO device that a VM was set on holds one more
 *   the VFIO device's list holds the VFIO files in it
 */
#ifndef FAKES_KVM_H
#define FAKES_KVM_H

#include "vfio.h"

struct kvm_vfio;
struct kvm_tce_table;

/* A piece of guest memory: where the guest's physical addresses lie in the process. */
struct kvm_slot {
	uint32_t id;
	uint32_t flags;
	uint64_t guest_addr;
	uint64_t size_bytes;
	uint64_t user_addr;
	LIST_ENTRY(kvm_slot) entry;
};

/* A virtual machine. */
struct kvm {
	struct vfake_kernel *kernel;
	uint32_t refs;
	struct vfake_mm *mm;	  /* grabbed: whose VM it is; nobody else may use its files */
	struct kvm_vfio *vfio;	  /* its VFIO device while that one's file is open, else NULL */
	uint32_t noncoherent_dma; /* x86: how many devices said that DMA may bypass the caches */
	LIST_HEAD(, kvm_slot) slots;
	LIST_HEAD(kvm_tce_list, kvm_tce_table) tce_tables; /* newest first */
};

/* The VM behind a file, or NULL when it is none. */
struct kvm *vfake_kvm_from_file(struct vfake_file *file);

/* ---- kvm_vfio.c: the VFIO device ---- */

int kvm_vfio_create(struct kvm *kvm, struct kvm_vfio **vfio);
/* Lets all files go; never fails. */
void kvm_vfio_release(struct kvm_vfio *vfio);
long kvm_vfio_set_attr(struct kvm_vfio *vfio, struct vfake_call *call);
long kvm_vfio_has_attr(struct kvm_vfio *vfio, uint32_t group, uint64_t attr);
uint32_t kvm_vfio_file_count(const struct kvm_vfio *vfio);

/* ---- kvm_spapr.c: TCE tables ---- */

/* KVM_CREATE_SPAPR_TCE and its 64-bit form. */
long kvm_spapr_create(struct vfake_call *call);
/* Serves the windows of a group from the table behind @tablefd. 0 or -errno. */
int kvm_spapr_attach_group(struct kvm *kvm, struct vfake_task *task, int tablefd,
			   const struct vfio_group *group);
void kvm_spapr_release_group(struct kvm *kvm, const struct vfio_group *group);

#endif
