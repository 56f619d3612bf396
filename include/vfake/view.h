/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at the fake kernel from outside, without changing anything: what devices reach, what is
 * mapped for them, what their groups and files are in.
 *
 * No program can call this; it is for tests, which ask the kernel what is so instead of watching
 * how it came about.
 */
#ifndef VFAKE_VIEW_H
#define VFAKE_VIEW_H

#include <vfake/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** Who manages the I/O address space that a device is in. */
enum vfake_manager {
	VFAKE_MANAGER_NONE,
	VFAKE_MANAGER_TYPE1,
	VFAKE_MANAGER_SPAPR,
	VFAKE_MANAGER_NOIOMMU,
	VFAKE_MANAGER_IOMMUFD, /**< also behind a container that iommufd emulates */
};

/** A device, as the kernel has it now. */
struct vfake_device_view {
	uint32_t open_count;	    /**< files of it that are open and in use */
	bool cdev_opened;	    /**< by its own node, not its group's */
	bool group_opened;	    /**< its group's node is open */
	bool in_container;	    /**< its group is in a container or has an iommufd */
	bool translated;	    /**< its DMA goes through an I/O address space */
	enum vfake_manager manager; /**< of that address space */
	uint64_t mappings;	    /**< in that address space; for sPAPR: TCEs that are set */
	bool dirty_tracking;	    /**< that address space notes what devices write */
};

/**
 * Looks at a device.
 *
 * @name: of the device
 * @view: filled
 *
 * Returns 0, or -ENOENT when there is no such device.
 */
int vfake_view_device(const struct vfake_kernel *kernel, const char *name,
		      struct vfake_device_view *view);

/** Whether two devices translate by the same page table. False also when one of them has none. */
bool vfake_view_same_domain(const struct vfake_kernel *kernel, const char *a, const char *b);

/** Where an access of a device would end up. */
struct vfake_target_view {
	vfake_addr vaddr; /**< where the task has that byte in its memory; 0 for nowhere */
	uint64_t len;	  /**< bytes from there on that lie behind each other, at least 1 */
	bool readable;
	bool writable;
};

/**
 * Translates an IOVA for a device as its IOMMU does, without an access.
 *
 * @name:   of the device
 * @task:   in whose memory the target is looked for
 * @target: filled
 *
 * Returns 0, -ENOENT when there is no such device, -EFAULT where its DMA would fault.
 */
int vfake_view_translate(const struct vfake_kernel *kernel, const char *name,
			 const struct vfake_task *task, uint64_t iova,
			 struct vfake_target_view *target);

/** What a descriptor is. */
struct vfake_file_view {
	const char *kind; /**< "container", "group", "device", "iommufd", "kvm-vfio", … static */
	uint32_t references; /**< descriptors, and whoever else holds the file */
	bool in_container;   /**< a group that is in a container or has an iommufd */
	uint32_t devices;    /**< a group: devices of it that are open */
	const void *id;	     /**< the open file: the same for all of its descriptors */
	const void *object;  /**< what is behind it: a group, a container, a device's file, … */
};

/** Looks at a descriptor of a task. Returns 0 or -EBADF. */
int vfake_view_file(const struct vfake_task *task, int fd, struct vfake_file_view *view);

/* ---- all that there is, for who compares it with an account of his own ---- */

/** The machine. Valid while the kernel lives. */
const struct vfake_world *vfake_view_world(const struct vfake_kernel *kernel);

/** A process, as the kernel has it now. */
struct vfake_task_view {
	struct vfake_task_attr attr;
	uint64_t locked_pages;	    /**< charged to the process (Linux's locked_vm) */
	uint64_t pinned_pages;	    /**< pinned by iommufd (Linux's pinned_vm) */
	uint64_t user_locked_pages; /**< charged to its user, by iommufd */
};

/** Looks at a process that has not ended. */
void vfake_view_task(const struct vfake_task *task, struct vfake_task_view *view);

/** The process after @task in the kernel's list, the first one for NULL; NULL after the last. */
const struct vfake_task *vfake_view_next_task(const struct vfake_kernel *kernel,
					      const struct vfake_task *task);

/** The lowest descriptor of a task that is open and not below @fd, or -1. */
int vfake_view_next_fd(const struct vfake_task *task, int fd);

/** Reads a task's memory, as vfake_peek() does: 0 or -EFAULT. */
int vfake_view_load(const struct vfake_task *task, vfake_addr addr, void *bytes, uint64_t len);

/** What a task has at an address. */
struct vfake_memory_view {
	vfake_addr last; /**< from the address up to here all is of one kind */
	bool readable;
	bool writable;
	bool registers; /**< of a device: there are no pages to pin behind it */
};

/** Looks at the memory of a task: 0, or -EFAULT where it has none. */
int vfake_view_memory(const struct vfake_task *task, vfake_addr addr,
		      struct vfake_memory_view *view);

/** A group, as the kernel has it now. */
struct vfake_group_view {
	bool opened;
	const void *container; /**< vfake_file_view.object of the container it is in, or NULL */
	const void *iommufd;   /**< the same of the iommufd that it has for one */
	uint32_t users;	       /**< 1 for being in a container, 1 for each device open by it */
	uint32_t cdevs;	       /**< devices of it that are open by their own node and bound */
	bool has_vm;	       /**< a KVM VFIO device has set a VM on it */
};

/** Looks at a group: 0, or -ENOENT when the machine has none of that number and kind. */
int vfake_view_group(const struct vfake_kernel *kernel, uint32_t number, bool noiommu,
		     struct vfake_group_view *view);

/** What a device's driver holds for its user. */
struct vfake_pci_view {
	uint32_t irq_index; /**< the kind of interrupt that is on: INTx, MSI, MSI-X; 5 for none */
	uint32_t vectors;   /**< of it that have an eventfd */
	bool err_irq;	    /**< an eventfd hears of errors */
	bool req_irq;	    /**< an eventfd hears that the device is wanted back */
	uint32_t migration; /**< VFIO_DEVICE_STATE_*; UINT32_MAX where it cannot be migrated */
	bool dma_logging;
};

/** Looks at a device's driver: 0, or -ENOENT when there is no such device. */
int vfake_view_pci(const struct vfake_kernel *kernel, const char *name,
		   struct vfake_pci_view *view);

/** Whether an interrupt of the kind that is on has an eventfd. */
bool vfake_view_vector(const struct vfake_kernel *kernel, const char *name, uint32_t vector);

/** Which address spaces are meant: those of a descriptor, or those that a device is in. */
struct vfake_space_at {
	const struct vfake_kernel *kernel;
	const struct vfake_task *task; /**< with `fd`; NULL: by `device` */
	int fd;			       /**< a container or an iommufd */
	const char *device;	       /**< or a device in one */
	uint32_t ioas; /**< of an iommufd: the id; 0 is the one that container calls use */
};

/** An address space, as the kernel has it now. */
struct vfake_space_view {
	enum vfake_manager manager;
	uint8_t version;      /**< 1 or 2 of type1 and sPAPR */
	uint32_t groups;      /**< in the container */
	uint32_t page_tables; /**< of an IOAS */
	uint64_t mappings;    /**< of type1 and of an IOAS; sPAPR does not count them */
	bool dirty_tracking;  /**< type1 */
};

/** Looks at an address space: 0, or -ENOENT when it is not there. */
int vfake_view_space(const struct vfake_space_at *at, struct vfake_space_view *view);

/** A mapping. */
struct vfake_mapping_view {
	uint64_t iova;
	uint64_t last;
	uint64_t vaddr;	   /**< where it points; of a file: the offset; 0 when that is not kept */
	const void *owner; /**< the task that pays for it, also when that has ended; or NULL */
	bool of_file;
	bool readable;
	bool writable;
	bool suspended; /**< type1: between the two halves of an update of vaddr */
	bool pinned;
};

/**
 * The first mapping that has an IOVA in a range. Entries of sPAPR's tables that follow each other
 * and point to memory that does so, too, are one mapping.
 *
 * Returns 0, or -ENOENT when there is none or no such address space.
 */
int vfake_view_mapping(const struct vfake_space_at *at, uint64_t iova, uint64_t last,
		       struct vfake_mapping_view *view);

/** An iommufd, as the kernel has it now. */
struct vfake_iommufd_view {
	uint32_t objects;
	uint32_t compat_ioas; /**< that container calls use; 0 for none */
	uint8_t account;      /**< who pays: 0 as the task may, 2 always the process */
	bool no_iommu;	      /**< groups without an IOMMU have it for a container */
};

/** Looks at an iommufd: 0, or -ENOENT when there is none. */
int vfake_view_iommufd(const struct vfake_space_at *at, struct vfake_iommufd_view *view);

/** An object of an iommufd. */
struct vfake_object_view {
	uint32_t id;
	uint32_t kind;	/**< enum uapi_object */
	uint32_t users; /**< itself one of them */
	uint32_t on;	/**< a page table: its IOAS; a device: the page table it is attached to */
	bool automatic; /**< a page table that goes with its last device */
	bool dirty_tracking;
};

/** The object of an iommufd with the lowest id from @id on: 0 or -ENOENT. */
int vfake_view_object(const struct vfake_space_at *at, uint32_t id, struct vfake_object_view *view);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
