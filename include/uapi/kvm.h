/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of KVM's interface that VFIO meets, as of Linux 7.2: a VM, its VFIO device, and the
 * sPAPR TCE tables that a VM shares with a container. The same rules as in uapi/vfio.h apply.
 */
#ifndef UAPI_KVM_H
#define UAPI_KVM_H

#ifdef __LINUX_KVM_H
#error "linux/kvm.h is already included; a file takes either that or uapi/kvm.h"
#endif

#include <linux/ioctl.h>
#include <stdint.h>

#define KVMIO		0xAE
#define KVM_API_VERSION 12

/* The capabilities that a user of these calls asks for. */
#define KVM_CAP_USER_MEMORY    3
#define KVM_CAP_NR_MEMSLOTS    10
#define KVM_CAP_SPAPR_TCE      63
#define KVM_CAP_DEVICE_CTRL    89
#define KVM_CAP_SPAPR_MULTITCE 94
#define KVM_CAP_SPAPR_TCE_64   125
#define KVM_CAP_SPAPR_TCE_VFIO 142

/* ---- /dev/kvm ---- */

/** Returns KVM_API_VERSION; the argument must be 0. */
#define KVM_GET_API_VERSION _IO(KVMIO, 0x00)
/** Argument is the machine type; returns a descriptor of the VM. */
#define KVM_CREATE_VM	    _IO(KVMIO, 0x01)
/** Argument is a capability; returns a positive number where it is supported. Also on a VM. */
#define KVM_CHECK_EXTENSION _IO(KVMIO, 0x03)

/* ---- VM ---- */

/** Guest memory: where the guest sees it and where the process has it. Size 0 removes the slot. */
struct kvm_userspace_memory_region {
	uint32_t slot;
	uint32_t flags;
	uint64_t guest_phys_addr;
	uint64_t memory_size;
	uint64_t userspace_addr;
};

/* Flags of a slot. */
#define KVM_MEM_LOG_DIRTY_PAGES (1UL << 0)
#define KVM_MEM_READONLY	(1UL << 1)

/** Makes, moves, changes or removes a slot of guest memory. */
#define KVM_SET_USER_MEMORY_REGION _IOW(KVMIO, 0x46, struct kvm_userspace_memory_region)

/** A 32-bit TCE table: bytes of the window, 4 KiB pages. */
struct kvm_create_spapr_tce {
	uint64_t liobn;
	uint32_t window_size;
};

/** A TCE table of any page size; offset and size in pages. */
struct kvm_create_spapr_tce_64 {
	uint64_t liobn;
	uint32_t page_shift;
	uint32_t flags;
	uint64_t offset;
	uint64_t size;
};

/** Creates a TCE table; returns its descriptor. */
#define KVM_CREATE_SPAPR_TCE	_IOW(KVMIO, 0xa8, struct kvm_create_spapr_tce)
/** The same for the larger struct. */
#define KVM_CREATE_SPAPR_TCE_64 _IOW(KVMIO, 0xa8, struct kvm_create_spapr_tce_64)

/** Kind of device to create; its descriptor comes back in fd. */
struct kvm_create_device {
	uint32_t type;
	uint32_t fd;
	uint32_t flags;
};

/** Flag of KVM_CREATE_DEVICE: only say whether the kind exists. */
#define KVM_CREATE_DEVICE_TEST 1

/** Kinds of in-kernel devices. */
enum kvm_device_type {
	KVM_DEV_TYPE_FSL_MPIC_20 = 1,
	KVM_DEV_TYPE_FSL_MPIC_42 = 2,
	KVM_DEV_TYPE_XICS = 3,
	KVM_DEV_TYPE_VFIO = 4,
	KVM_DEV_TYPE_ARM_VGIC_V2 = 5,
	KVM_DEV_TYPE_FLIC = 6,
	KVM_DEV_TYPE_ARM_VGIC_V3 = 7,
	KVM_DEV_TYPE_ARM_VGIC_ITS = 8,
	KVM_DEV_TYPE_XIVE = 9,
	KVM_DEV_TYPE_ARM_PV_TIME = 10,
	KVM_DEV_TYPE_RISCV_AIA = 11,
	KVM_DEV_TYPE_LOONGARCH_IPI = 12,
	KVM_DEV_TYPE_LOONGARCH_EIOINTC = 13,
	KVM_DEV_TYPE_LOONGARCH_PCHPIC = 14,
	KVM_DEV_TYPE_LOONGARCH_DMSINTC = 15,
	KVM_DEV_TYPE_ARM_VGIC_V5 = 16,
	KVM_DEV_TYPE_MAX = 17,
};

/** Creates a device of the VM. */
#define KVM_CREATE_DEVICE _IOWR(KVMIO, 0xe0, struct kvm_create_device)

/* ---- Device of a VM ---- */

/** One attribute of a device; addr points to its value. */
struct kvm_device_attr {
	uint32_t flags;
	uint32_t group;
	uint64_t attr;
	uint64_t addr;
};

/* The VFIO device's only group of attributes, and its older name. */
#define KVM_DEV_VFIO_FILE		 1
#define KVM_DEV_VFIO_FILE_ADD		 1
#define KVM_DEV_VFIO_FILE_DEL		 2
#define KVM_DEV_VFIO_GROUP		 KVM_DEV_VFIO_FILE
#define KVM_DEV_VFIO_GROUP_ADD		 KVM_DEV_VFIO_FILE_ADD
#define KVM_DEV_VFIO_GROUP_DEL		 KVM_DEV_VFIO_FILE_DEL
#define KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE 3

/** Value of GROUP_SET_SPAPR_TCE: the group whose windows the table shall serve. */
struct kvm_vfio_spapr_tce {
	int32_t groupfd;
	int32_t tablefd;
};

/** Sets an attribute. */
#define KVM_SET_DEVICE_ATTR _IOW(KVMIO, 0xe1, struct kvm_device_attr)
/** Reads an attribute. */
#define KVM_GET_DEVICE_ATTR _IOW(KVMIO, 0xe2, struct kvm_device_attr)
/** Says whether an attribute exists. */
#define KVM_HAS_DEVICE_ATTR _IOW(KVMIO, 0xe3, struct kvm_device_attr)

#endif
