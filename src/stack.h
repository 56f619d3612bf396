/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of the stack.
 *
 *   stack.c            the instance; memory; calls with their errno
 *   error.c            filling struct vfio_error
 *   memory.c …         the guest memory model; knows nothing of VFIO
 *   container.c        bring-up and teardown of containers and devices, as steps with an undo
 *                      each: the only copy
 *   listener.c         from sections of memory to maps; vIOMMU, discard, dirty logging
 *   legacy.c           backend: group and container with type1
 *   spapr.c            backend: group and container with sPAPR TCE; spapr_window.c: its windows
 *   group.c            what legacy and spapr share: group and container files
 *   iommufd*.c         backend: cdev and iommufd; iommufd.h
 *   user_*.c           backend: messages to a vfio-user server; user.h
 *   device_io.c        a device's operations by descriptor; device_io.h
 *   device.c, irq.c, reset.c, migration.c, kvm.c
 *   cpr*.c             live update; cpr.h
 *
 * The rules: errors inside are 0 or -errno; the public edge turns them into bool and struct
 * vfio_error. A backend is a struct vfio_backend_ops and nothing else knows which one it is.
 * Whatever is acquired has one place that gives it back. Teardown never fails and allocates
 * nothing.
 */
#ifndef SRC_STACK_H
#define SRC_STACK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <vfio/device.h>
#include <vfio/vfio.h>

#include "cpr.h"

struct vfio_space;
struct vfio_group;
struct vfio_listener;
struct vfio_iommufd;
struct vfio_backend_ops;
struct vfio_device_io;
struct vfio_region_slot;
struct vfio_user;

/* ---- the instance ---- */

struct vfio {
	struct vfio_sys sys;
	struct vfio_vmm vmm;
	TAILQ_HEAD(, vfio_space) spaces;
	TAILQ_HEAD(vfio_device_list, vfio_device) devices; /* in the order of attaching */
	TAILQ_HEAD(, vfio_group) groups;		   /* open ones */
	TAILQ_HEAD(, vfio_iommufd) iommufds;
	int kvm_vm;	/* the VM that is told, while there is the next */
	int kvm_device; /* -1, or its VFIO device */
	struct vfio_cpr cpr;
};

/* Zeroed memory of a VMM (NULL: libc's), or NULL. */
void *vfio_vmm_alloc(const struct vfio_vmm *vmm, size_t size);
void vfio_vmm_free(const struct vfio_vmm *vmm, void *block); /* NULL is allowed */

/* The same for the instance's. */
void *vfio_alloc(struct vfio *vfio, size_t size);
void vfio_release(struct vfio *vfio, void *block); /* NULL is allowed */
char *vfio_strdup(struct vfio *vfio, const char *text);

/* Tells the VMM of something that is no failure, but not as it should be either. @code: -errno,
 * whose text comes behind, or 0. */
void vfio_warn(struct vfio *vfio, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* An ioctl with a struct: 0 or more, or -errno. 0 when vfio_cpr_holds_back() it. */
long vfio_ioctl(struct vfio *vfio, int fd, uint32_t request, void *arg);
long vfio_ioctl_value(struct vfio *vfio, int fd, uint32_t request, uint64_t value);
/*
 * Whether a question was not answered: the way to who knows failed, or memory was short. Other
 * errors are answers, such as "there is no such thing".
 */
bool vfio_unanswered(int code);
/* Closes and forgets; -1 is nothing. */
void vfio_close(struct vfio *vfio, int *fd);

/*
 * Asks for an answer with a capability chain: calls @request with *info of @size bytes, grows it
 * to what argsz then says, once, and asks again. The answer is bounded by @max bytes. The caller
 * releases *info. 0 or -errno; -E2BIG for a kernel that never stops growing.
 */
int vfio_ioctl_growing(struct vfio *vfio, int fd, uint32_t request, const void *ask, size_t size,
		       size_t max, void **info);
/* The same of @call, which answers in the struct that it is given: 0 or -errno. */
int vfio_ask_growing(struct vfio *vfio, int (*call)(void *ctx, void *info), void *ctx,
		     const void *ask, size_t size, size_t max, void **info);

/*
 * The next capability of a chain: *offset is 0 to begin with @first, and is moved. Returns the
 * capability, whose header is inside [info, info + argsz), or NULL at the end or where the chain is
 * broken (outside, unaligned, going back).
 */
const void *vfio_next_cap(const void *info, size_t argsz, uint32_t first, uint32_t *offset);

/* ---- errors: error.c ---- */

/*
 * Fills @error (NULL is allowed) with -errno @code and "WHAT: text of the errno". A code that is no
 * -errno, such as an answer that makes no sense, is -EIO. Always returns false.
 */
bool vfio_fail(struct vfio_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Puts text in front of the message. */
void vfio_error_prefix(struct vfio_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void vfio_error_hint(struct vfio_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The text of an errno, without libc's locale. */
const char *vfio_errno_text(int code);

/* ---- address spaces and containers: container.c ---- */

/*
 * All containers of one struct vfio_memory. Exists while it has a container or one is being made.
 */
struct vfio_space {
	TAILQ_ENTRY(vfio_space) entry;
	struct vfio *vfio;
	struct vfio_memory *memory;
	TAILQ_HEAD(, vfio_container) containers;
	uint32_t users;
};

/* A range of IOVAs, closed. */
struct vfio_range {
	uint64_t start;
	uint64_t last;
};

enum { VFIO_RANGES_MAX = 16 };

struct vfio_container {
	TAILQ_ENTRY(vfio_container) entry; /* in space->containers, from the insert step on */
	struct vfio *vfio;
	const struct vfio_backend_ops *ops;
	enum vfio_backend backend;
	struct vfio_space *space;
	uint32_t device_count;
	struct vfio_device *sole; /* while it comes up and while it goes: its one device */
	uint32_t steps_done;	  /* of the bring-up */
	bool discard_forbidden;
	bool untranslated; /* noiommu: devices use the host's addresses and nothing is mapped */
	bool initialized;  /* errors of maps are reported at run time from now on, not to the attach
			    */
	int error;	   /* the first one stored */
	struct vfio_error attach_error; /* while not initialized: why a map failed */
	/* what the backend found out when it was opened */
	uint64_t pgsizes;
	uint64_t ram_page; /* what RAM is cut to where that is more than the smallest page, or 0 */
	uint32_t range_count;
	struct vfio_range ranges[VFIO_RANGES_MAX];
	uint32_t max_mappings;
	bool dirty_supported;
	bool dirty_active;
	bool unmap_tells; /* what devices log is in the answer of an unmap, too */
	uint64_t mapping_count;
	struct vfio_listener *listener;
	struct vfio_cpr_member cpr;
	void *state; /* the backend's */
};

/* A piece of memory to map. */
struct vfio_map {
	uint64_t iova;
	uint64_t size; /* never the whole 2^64 */
	uint64_t vaddr;
	int fd; /* of the file behind it, or -1 */
	uint64_t fd_offset;
	bool readonly;
};

/* A map, or an unmap of [map->iova, + map->size), was not made after all: @code is -errno. */
typedef void vfio_failed_fn(void *ctx, const struct vfio_map *map, bool unmap, int code);

/*
 * Where dirty pages of an unmap or a query are noted: bit 0 is the page at the start of the
 * range.
 */
struct vfio_dirty {
	uint64_t *bitmap;
	uint64_t bitmap_bytes;
	uint64_t pgsize;
};

/*
 * A backend. Functions return 0 or -errno unless they say otherwise; those that can fail with
 * more than an errno fill @error and return false. NULL means: nothing to do, or not supported,
 * as said.
 */
struct vfio_backend_ops {
	const char *name;
	const struct vfio_device_io *io; /* how a device is spoken to that is open */

	/* -- devices; `device` has its options and nothing else yet -- */
	/*
	 * Gets hold of the device's node: the group is open, or the cdev is open and bound.
	 * Undone by device_release.
	 */
	bool (*device_claim)(struct vfio_device *device, struct vfio_error *error);
	void (*device_release)(struct vfio_device *device);
	/*
	 * With the container there and the device in it: device->fd is open. Undone by
	 * device_close.
	 */
	bool (*device_open)(struct vfio_device *device, struct vfio_error *error);
	void (*device_close)(struct vfio_device *device);

	/* -- containers -- */
	/*
	 * Opens the kernel's objects for a first device and finds out pgsizes, ranges, limits.
	 * Undone by close.
	 */
	bool (*open)(struct vfio_container *container, struct vfio_device *first,
		     struct vfio_error *error);
	void (*close)(struct vfio_container *container);
	/*
	 * Puts a device into a container that exists: *fits, false before, says whether it could.
	 * False only for an error that ends the search. The first device is in it by open already.
	 * Undone by leave.
	 */
	bool (*join)(struct vfio_container *container, struct vfio_device *device, bool *fits,
		     struct vfio_error *error);
	/* Takes a device out that is not the last. */
	void (*leave)(struct vfio_container *container, struct vfio_device *device);

	/* -- maps -- */
	int (*map)(struct vfio_container *container, const struct vfio_map *map);
	/*
	 * Unmaps exactly what was mapped in the range; with @dirty, which is only asked for while
	 * it is tracked, notes what was written. -ENOENT where less was mapped than that; it is
	 * gone then.
	 */
	int (*unmap)(struct vfio_container *container, uint64_t iova, uint64_t size,
		     const struct vfio_dirty *dirty);
	/*
	 * Changes of memory begin, and end. In between map() and unmap() may leave it at asking,
	 * and return 0: then commit() waits until all is done, and calls @failed for each that was
	 * not. NULL: maps and unmaps are done when they return.
	 */
	void (*begin)(struct vfio_container *container);
	void (*commit)(struct vfio_container *container, vfio_failed_fn *failed, void *ctx);
	/*
	 * Called when a container goes, before guest memory may be discarded again: lets go of
	 * whatever is left, as well as it can. container->mapping_count is 0 unless unmaps failed.
	 */
	void (*unmap_rest)(struct vfio_container *container);
	/*
	 * Makes room for a section before its first map, and the opposite after the last unmap:
	 * sPAPR windows. May be NULL.
	 */
	bool (*section_add)(struct vfio_container *container,
			    const struct vfio_memory_section *section, struct vfio_error *error);
	void (*section_del)(struct vfio_container *container,
			    const struct vfio_memory_section *section);
	/* Tells of RAM before it is mapped: sPAPR preregistration. May be NULL. */
	int (*ram_add)(struct vfio_container *container, uint64_t vaddr, uint64_t last);
	void (*ram_del)(struct vfio_container *container, uint64_t vaddr, uint64_t last);
	/*
	 * A VM came and has the container's groups in its list: what else KVM is to do for it. May
	 * be NULL.
	 */
	bool (*kvm_added)(struct vfio_container *container, struct vfio_error *error);

	/* -- dirty pages; NULL: not supported -- */
	int (*dirty_start)(struct vfio_container *container);
	void (*dirty_stop)(struct vfio_container *container);
	int (*dirty_read)(struct vfio_container *container, uint64_t iova, uint64_t size,
			  const struct vfio_dirty *dirty);

	/* -- live update; NULL: it cannot be, for the reason given -- */
	const struct vfio_cpr_ops *cpr;
	const char *cpr_reason;
};

extern const struct vfio_backend_ops vfio_legacy_ops;
extern const struct vfio_backend_ops vfio_spapr_ops;
extern const struct vfio_backend_ops vfio_iommufd_ops;
extern const struct vfio_backend_ops vfio_user_ops;

/* Whether [iova, last] lies in one of the container's ranges. */
bool vfio_container_can_map(const struct vfio_container *container, uint64_t iova, uint64_t last);
/* The smallest page of the container, in bytes. */
uint64_t vfio_container_pgsize(const struct vfio_container *container);
/*
 * Maps and unmaps through the backend, with counting and the retry of a map that is EBUSY: unmap
 * and map again.
 */
int vfio_container_map(struct vfio_container *container, const struct vfio_map *map);
int vfio_container_unmap(struct vfio_container *container, uint64_t iova, uint64_t size,
			 const struct vfio_dirty *dirty);
/*
 * A map failed: while attaching it is the attach's error, later it is stored and told to the VMM.
 */
void vfio_container_set_error(struct vfio_container *container, int code, const char *what);
/* The same with an error that is filled. */
void vfio_container_report(struct vfio_container *container, const struct vfio_error *error);

/* ---- the listener: listener.c ---- */

/* Registers it with the space's memory: everything is mapped when it returns true. */
bool vfio_listener_start(struct vfio_container *container, struct vfio_error *error);
/* Unmaps everything and goes. */
void vfio_listener_stop(struct vfio_container *container);
/* What a device reaches at an IOVA: the rest of a map. */
struct vfio_reach {
	uint64_t vaddr;
	uint64_t size;
	bool readonly;
	struct vfio_memory *memory; /* whose page it is, at */
	uint64_t gpa;
};

bool vfio_listener_reach(const struct vfio_container *container, uint64_t iova,
			 struct vfio_reach *reach);
/* A device is about to leave and does no more DMA; dirty.c. Counts what it may have written. */
void vfio_dirty_device_leaves(struct vfio_container *container);

/* ---- groups: group.c ---- */

/* An open /dev/vfio/N. One per stack; shared by its devices. */
struct vfio_group {
	TAILQ_ENTRY(vfio_group) entry;
	struct vfio *vfio;
	char name[32];
	int fd;
	uint32_t users; /* devices that claim it */
	struct vfio_container *container;
	uint32_t attached; /* devices of it in the container */
	bool in_kvm;
};

/* The open group of that name, or NULL. */
struct vfio_group *vfio_group_by_name(struct vfio *vfio, const char *name);
bool vfio_group_get(struct vfio_device *device, struct vfio_error *error);
void vfio_group_put(struct vfio_device *device);

/* ---- devices ---- */

struct vfio_mapped_area;

struct vfio_device {
	TAILQ_ENTRY(vfio_device) entry; /* in vfio->devices, from the insert step on */
	struct vfio *vfio;
	const struct vfio_backend_ops *ops;
	struct vfio_device_options options; /* strings are ours */
	struct vfio_container *container;
	uint32_t steps_done; /* of the attach */
	int fd;
	struct vfio_group *group; /* legacy, spapr */
	bool in_kvm;		  /* the cdev is in KVM's list */
	/* iommufd */
	struct vfio_iommufd *iommufd;
	bool passed_fd_owned; /* attached: a descriptor that was passed in is ours to close */
	uint32_t devid;
	uint32_t hwpt_id;
	/* user */
	struct vfio_user *user; /* the connection; fd is its socket */
	/* VFIO_DEVICE_GET_INFO */
	uint32_t flags;
	uint32_t region_count;
	uint32_t irq_count;
	struct vfio_region_slot *regions;    /* region_count of them: what is known */
	LIST_HEAD(, vfio_mapped_area) areas; /* of regions, mapped by the program */
	/* interrupts that are set up: bit per index */
	uint32_t irqs_enabled;
	int error_eventfd; /* -1 for none */
	int request_eventfd;
	/* migration */
	struct vfio_migration_info migration;
	bool logging;	/* DMA logging runs */
	bool log_doubt; /* it may run although it should not */
	int data_fd;
	uint64_t blocker;
	bool blocked;
	struct vfio_cpr_passenger cpr;
};

/* device.c: VFIO_DEVICE_GET_INFO and what is set up once; undone by vfio_device_fini(). */
bool vfio_device_init(struct vfio_device *device, struct vfio_error *error);
void vfio_device_fini(struct vfio_device *device);
/* irq.c */
bool vfio_device_setup_notifiers(struct vfio_device *device, struct vfio_error *error);
void vfio_device_end_irqs(struct vfio_device *device);
/* migration.c */
bool vfio_device_setup_migration(struct vfio_device *device, struct vfio_error *error);
void vfio_device_end_migration(struct vfio_device *device);
int vfio_device_log_start(struct vfio_device *device, const struct vfio_range *ranges,
			  uint32_t count, uint64_t pgsize);
void vfio_device_log_stop(struct vfio_device *device);
int vfio_device_log_read(struct vfio_device *device, uint64_t iova, uint64_t size,
			 const struct vfio_dirty *dirty);
/*
 * kvm.c: adds a group's or cdev's file to KVM's list where there is a VM; 0 or -errno. Deleting
 * never fails.
 */
int vfio_kvm_add(struct vfio *vfio, int fd);
void vfio_kvm_del(struct vfio *vfio, int fd);
/* Lets KVM fill a group's window from a guest's TCE table. 0, also without a VM, or -errno. */
int vfio_kvm_set_tce(struct vfio *vfio, int group_fd, int table_fd);

#endif
