/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live update: another process, or the same one after exec(), takes over a stack with its devices
 * while they go on with their DMA.
 *
 *	old process                             new process
 *
 *	vfio_cpr_save(vfio, mode, ...)
 *	        ---- state and descriptors ---->
 *	                                        vfio_cpr_load(vfio, state, ...)
 *	                                        vfio_device_attach() of each device
 *	                                        guest memory, vIOMMU, plugged pieces
 *	                                        vfio_cpr_finish(vfio)
 *	vfio_free(vfio)
 *                                              vfio_cpr_settle(vfio)
 *
 * From save to finish the two share the kernel's objects. Until finish the old process can take all
 * of it back with vfio_cpr_abort(), however far the new one came and also if it died; the new one
 * gives up with vfio_free(). Neither takes anything down that the other still has. After exec()
 * there is no old process: what fails then can be tried again, or ends with the program.
 *
 * Guest memory must be files that both processes map (memfd, hugetlbfs), shared. How descriptors
 * get to the new process (SCM_RIGHTS, inheritance) is the VMM's affair; the stack only names them.
 * Eventfds of interrupts are the VMM's; they stay connected, and vfio_device_irq_enable() with the
 * same eventfd in the new process changes nothing.
 *
 * In mode cpr-reboot another kernel is started. No descriptor survives that and no DMA: the guest
 * has to be suspended, and the new process attaches its devices from the beginning.
 *
 * What cannot be handed over blocks the modes cpr-transfer and cpr-exec while it is attached
 * (block_migration() of struct vfio_vmm), and is refused by vfio_cpr_save():
 *   - a container without VFIO_UPDATE_VADDR and VFIO_UNMAP_ALL: sPAPR, no IOMMU, the container that
 *     iommufd emulates, a container with mediated devices
 *   - an iommufd without IOMMU_IOAS_CHANGE_PROCESS
 *   - a device with the option `mediated`, or with a name that is too long for the state (which no
 *     mode can save)
 *   - a backend that has no way of doing it: vfio-user
 *
 * Registered state (register_state() of struct vfio_vmm): one piece per container, one per iommufd.
 * A piece is its part of the saved state; its load() says whether it describes what is there.
 *
 * The saved state, byte by byte. Numbers are little-endian. Nothing is aligned.
 *
 *   header
 *     0   8  "VFIO-CPR"
 *     8   4  version: VFIO_CPR_VERSION
 *    12   4  oldest version whose readers can take it
 *    16   4  bytes of all
 *    20   4  CRC-32 (IEEE 802.3) of all, these four bytes as 0
 *    24   4  mode: enum vfio_migration_mode
 *    28   4  number of records
 *   then that many records
 *     0   2  kind: 1 iommufd, 2 container, 3 device
 *     2   2  bit 0: who does not know the kind may skip the record; other bits 0
 *     4   4  bytes that follow; a newer version may have more than is listed here
 *   iommufd
 *     0   4  id, not 0
 *     4   4  bit 0: it is the VMM's, which passes it on itself; other bits 0
 *   container
 *     0   4  id, not 0
 *     4   4  enum vfio_backend
 *     8   4  id of its iommufd, 0 for none
 *    12   4  id of its IOAS, 0 for none
 *    16   4  its type (VFIO_SET_IOMMU), 0 for none
 *    20   4  mappings that the kernel allows, 0 for no limit
 *    24   4  bit 0: it tracks dirty pages; other bits 0
 *    28   4  CRC-32 of its maps in ascending order: IOVA of the first and of the last byte (8
 *            bytes each), 1 byte: 1 for read-only
 *    32   8  number of its maps
 *   device, behind its container
 *     0   4  id of its container
 *     4   4  id of it in its iommufd, 0 for none
 *     8   4  id of its page table, 0 for the kernel's own choice
 *    12   4  bit per interrupt index that is enabled
 *    16   4  bit 0: it has an eventfd for errors; bit 1: one for requests; other bits 0
 *    20   2  bytes of its name, not 0
 *    22   2  bytes of its group, 0 for none
 *    24      name, then group; without a 0 at the end
 *
 * In mode cpr-reboot there are devices only, and all but the names is 0.
 *
 * Names of descriptors, with ids; `vfio` is the name of the stack (vfio_cpr_name()).
 *   vfio/iommufd       id of the iommufd
 *   vfio/container     id of the container
 *   vfio/group/NAME    0
 *   vfio/device/NAME   0: the device, 1: eventfd for errors, 2: eventfd for requests
 */
#ifndef VFIO_CPR_H
#define VFIO_CPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vfio/error.h>
#include <vfio/vfio.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum {
	VFIO_CPR_VERSION = 1,
	VFIO_CPR_NAME_MAX = 255, /**< bytes of a device's name */
};

/** How descriptors travel. Called from within the calls below and vfio_device_attach(). */
struct vfio_cpr_fds {
	void *ctx; /**< first argument of each function */
	/**
	 * Old process: @fd is part of the state under this name. It stays open and stays the
	 * stack's. 0, or -errno, which ends the saving.
	 */
	int (*keep)(void *ctx, const char *name, uint32_t id, int fd);
	/**
	 * New process: the descriptor that was kept under this name, asked for once; the stack's
	 * from now on. Or -errno.
	 */
	int (*take)(void *ctx, const char *name, uint32_t id);
};

/**
 * Names the stack, for a program that has several: "vfio" until then. The new process must give
 * the same name.
 *
 * Returns false with -EINVAL for a name that is empty, longer than 15 bytes or has a '/', -EBUSY
 * when a device is attached or a state is loaded.
 */
bool vfio_cpr_name(struct vfio *vfio, const char *name, struct vfio_error *error);

/**
 * Old process: writes the state, hands out descriptors, and lets go of the process's addresses, so
 * that the new process can set its own. Devices go on; guest memory must not change from here on.
 *
 * @mode:      VFIO_MODE_CPR_REBOOT, _TRANSFER or _EXEC
 * @suspended: the guest is suspended: what cpr-reboot needs
 * @fds:       copied; only keep() is called. May be NULL for cpr-reboot
 * @state:     gets the state, the stack's until vfio_cpr_abort() or vfio_free()
 * @size:      gets its bytes
 *
 * Returns false and everything is as before: -EINVAL for another mode, no keep(), or memory without
 * a file; -ENOTSUP for what blocks the mode; -EBUSY when the state is saved already, another one is
 * being taken over, dirty pages are being tracked, a device is being migrated, a container is
 * broken or the guest is not suspended; -ENOMEM, or what keep() or the kernel said. Should the
 * kernel then refuse to give addresses back, vfio_cpr_abort() can be called to try again.
 */
bool vfio_cpr_save(struct vfio *vfio, enum vfio_migration_mode mode, bool suspended,
		   const struct vfio_cpr_fds *fds, const void **state, size_t *size,
		   struct vfio_error *error);

/**
 * Old process: the update does not take place. Takes addresses and accounting back, also from a new
 * process that had some of it. The new process must not use the stack any more.
 *
 * Devices that were detached since the save do not come back; what they had in an iommufd goes with
 * vfio_cpr_settle().
 *
 * Returns false with the first error when something could not be taken back; calling it again tries
 * what is left. -EINVAL when nothing is saved, -ENOMEM.
 */
bool vfio_cpr_abort(struct vfio *vfio, struct vfio_error *error);

/**
 * New process: takes a state into a stack that has no device yet. All of it is checked first.
 *
 * @state: read only during the call
 * @fds:   copied; take() is called by vfio_device_attach()
 *
 * Returns false and nothing has happened: -EBUSY when there are devices or a state, -EINVAL for
 * what is no state, or a damaged one, -ENOTSUP for one that only newer stacks can take, -ENOMEM.
 */
bool vfio_cpr_load(struct vfio *vfio, const void *state, size_t size,
		   const struct vfio_cpr_fds *fds, struct vfio_error *error);

/** The mode of the state that is loaded, or 0. */
enum vfio_migration_mode vfio_cpr_mode(const struct vfio *vfio);

/**
 * New process: the name of a device of the state that is loaded, from index 0 on; NULL behind the
 * last one.
 */
const char *vfio_cpr_device(const struct vfio *vfio, uint32_t index);

/**
 * New process: all is as the old process left it, and belongs to this one now.
 *
 * Devices of the state that were not attached are given up: their descriptors are the VMM's to
 * close; see vfio_cpr_settle().
 *
 * Returns false, and the taking over goes on: -EINVAL when no state is loaded or the memory of a
 * container is not what it was, the error that a container stored, -ENOMEM when RLIMIT_MEMLOCK of
 * this process is too low, or what else the kernel said.
 */
bool vfio_cpr_finish(struct vfio *vfio, struct vfio_error *error);

/**
 * New process: the old one has ended, and the descriptors that were not taken are closed. Destroys
 * what devices had in an iommufd that were not attached. vfio_cpr_save() does the same first.
 *
 * Old process: when vfio_cpr_abort() has taken all back and the new one has ended, the same for
 * devices that were detached since the save.
 *
 * Returns false with -EBUSY before vfio_cpr_finish(), or while somebody still has such a device; it
 * can be called again.
 */
bool vfio_cpr_settle(struct vfio *vfio, struct vfio_error *error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
