/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking into a virtual machine of the fake kernel, and the guest's side of it.
 *
 * Programs use /dev/kvm by vfake_open() and vfake_ioctl(), with include/uapi/kvm.h. What is here no
 * program can call: a view for tests, and the hypercalls that a guest on POWER makes.
 */
#ifndef VFAKE_KVM_H
#define VFAKE_KVM_H

#include <vfake/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** What a VM holds. */
struct vfake_kvm_view {
	uint32_t references; /**< files and open VFIO devices that keep it alive */
	uint32_t
		noncoherent_dma; /**< devices whose DMA may bypass the caches: 0 or 1; 0 on POWER */
	bool has_vfio_device;	 /**< its VFIO device exists */
	uint32_t vfio_files;	 /**< files in that device's list */
};

/**
 * Looks at a VM.
 *
 * @task:  whose descriptor @vm_fd is
 * @vm_fd: what KVM_CREATE_VM returned
 * @view:  filled
 *
 * Returns 0, -EBADF for a descriptor that is not open, -EINVAL for one that is no VM.
 */
int vfake_kvm_view(struct vfake_task *task, int vm_fd, struct vfake_kvm_view *view);

/** What a hypercall returns to the guest (PAPR). */
enum {
	VFAKE_H_SUCCESS = 0,
	VFAKE_H_PARAMETER = -4,
	VFAKE_H_TOO_HARD =
		9999, /**< KVM cannot do it; the VMM gets the call instead of the guest */
};

/**
 * A guest on POWER writes one TCE: H_PUT_TCE.
 *
 * The hardware's tables that the guest's table serves change with it. Nothing changes unless the
 * result is VFAKE_H_SUCCESS, but on a failure in the middle the hardware's entry is left empty.
 *
 * @task:   whose descriptor @vm_fd is
 * @vm_fd:  what KVM_CREATE_VM returned
 * @liobn:  names the table
 * @ioba:   bus address, a multiple of the table's page
 * @tce:    guest physical address with the bits to read (1) and to write (2); neither unmaps
 * @result: gets VFAKE_H_SUCCESS, VFAKE_H_PARAMETER when @ioba is not in the table, VFAKE_H_TOO_HARD
 *          when there is no such LIOBN, no guest memory, or no registered memory behind it
 *
 * Returns 0, -EBADF for a descriptor that is not open, -EINVAL for one that is no VM.
 */
int vfake_h_put_tce(struct vfake_task *task, int vm_fd, uint64_t liobn, uint64_t ioba, uint64_t tce,
		    long *result);

/**
 * H_PUT_TCE_INDIRECT: up to 512 TCEs from a list in guest memory, big-endian.
 *
 * @list:  guest physical address, 4 KiB aligned
 * @count: of TCEs
 *
 * Returns and results as vfake_h_put_tce(); VFAKE_H_PARAMETER also for a bad list or count.
 */
int vfake_h_put_tce_indirect(struct vfake_task *task, int vm_fd, uint64_t liobn, uint64_t ioba,
			     uint64_t list, uint64_t count, long *result);

/**
 * H_STUFF_TCE: unmaps @count entries and writes @value, which has no permissions, into the guest's
 * own table.
 *
 * Returns and results as vfake_h_put_tce(); VFAKE_H_PARAMETER also for a value with permissions.
 */
int vfake_h_stuff_tce(struct vfake_task *task, int vm_fd, uint64_t liobn, uint64_t ioba,
		      uint64_t value, uint64_t count, long *result);

/**
 * H_GET_TCE: reads an entry of the guest's own table.
 *
 * @tce: set when the result is VFAKE_H_SUCCESS
 *
 * Returns and results as vfake_h_put_tce().
 */
int vfake_h_get_tce(struct vfake_task *task, int vm_fd, uint64_t liobn, uint64_t ioba,
		    uint64_t *tce, long *result);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
