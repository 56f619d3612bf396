/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The core of the fake kernel, as its parts see it: allocation, tasks, memory, open files and
 * calls.
 *
 * Layers, lower ones first; a file may use what is below it and nothing above:
 *
 *   alloc, warn          kernel.c    the kernel object, its ledger
 *   fault                fault.c     places where a call can be made to fail, and who watches calls
 *   mm                   mm.c        a process's memory: areas, copies, pinning
 *   file, task           task.c      open files with counted references, descriptors,
 * RLIMIT_MEMLOCK call                 dispatch.c  one system call, from the table's row to the
 * handler and back vfio.h, iommufd.h …  the subsystems
 */
#ifndef FAKES_KERNEL_H
#define FAKES_KERNEL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uapi/table.h>
#include <vfake/fault.h>
#include <vfake/kernel.h>

#include "iova_map.h"

struct vfake_file;
struct vfake_mm;
struct vfake_call;
struct vfio_group;
struct vfio_device;

/* ---- the kernel object ---- */

/* Blocks of one size, aligned to the cache's lines. All zero but for the size is an empty pool. */
struct vfake_pool {
	size_t size_bytes;
	size_t slab_bytes; /* of the next slab */
	size_t blocks;	   /* that the slabs have room for */
	size_t free_count;
	void **free; /* the block that was freed last stands last; NULL or room for all blocks */
	struct vfake_pool_slab *slabs;
};

/* Who makes calls fail and who watches them: vfake/fault.h. */
struct vfake_faults {
	vfake_fault_hook hook; /* NULL: nothing fails */
	void *hook_ctx;
	/* Of the call that runs, one for each stage; NULL outside of calls and while a file is
	 * released: what is on its way down never fails. */
	const struct vfake_fault_point *points;
	const struct vfake_fault_point *hit; /* in this call, the last one */
	vfake_event_hook watch;
	void *watch_ctx;
};

struct vfake_kernel {
	struct vfake_ledger ledger;
	LIST_HEAD(, vfake_task) tasks;
	LIST_HEAD(, vfio_group) groups;	       /* every IOMMU group with a VFIO device */
	LIST_HEAD(, vfio_device) devices;      /* every VFIO device, in the world's order */
	LIST_HEAD(, vfake_listener) listeners; /* sockets that listen */
	uint64_t parcel_blocks;		       /* of bytes that were sent and not received */
	uint64_t clock_seconds;		       /* for devices that know the time */
	uint32_t page_shift;
	bool booted; /* allocations count in the ledger only after the world is built */
	struct vfake_pool iopt_pages;	   /* iommufd's areas with their pages */
	struct vfake_pool map_leaves;	   /* of IOVA maps */
	struct vfake_pool map_inner;	   /* their inner nodes: few, and so close together */
	struct spapr_frames *spapr_frames; /* physical addresses that TCEs hold; NULL for none */
	struct vfake_task *current; /* whose ioctl runs; for routes that depend on the caller */
	struct vfake_faults faults;
	struct vfake_world world; /* last, and filled only as far as there are devices */
};

/* Zeroed kernel memory, or NULL. Every block of state that outlives a call comes from here, so that
 * a fault can be injected and a leak be seen. */
void *vfake_alloc(struct vfake_kernel *kernel, size_t size_bytes);
void vfake_free(struct vfake_kernel *kernel, void *block);
/* The same for the nodes of an IOVA map. */
struct vfake_iova_map_mem vfake_map_memory(struct vfake_kernel *kernel);

/* The same from a pool of the kernel: zeroed, counted in the ledger, NULL when memory is short. */
void *vfake_pool_alloc(struct vfake_kernel *kernel, struct vfake_pool *pool);
void vfake_pool_free(struct vfake_kernel *kernel, struct vfake_pool *pool, void *block);
/* Gives all its memory back; no block may be in use. */
void vfake_pool_destroy(struct vfake_pool *pool);

/* ---- fault points ---- */

/* Calls that have no row in the table, but points. */
enum vfake_file_call {
	VFAKE_CALL_OPEN,
	VFAKE_CALL_DUP,
	VFAKE_CALL_PASS_FD,
	VFAKE_CALL_EVENTFD,
	VFAKE_CALL_MEMFD,
	VFAKE_CALL_MMAP,
	VFAKE_CALL_READ,
	VFAKE_CALL_WRITE,
	VFAKE_CALL_PREAD,
	VFAKE_CALL_PWRITE,
	VFAKE_CALL_SOCKETPAIR,
	VFAKE_CALL_LISTEN,
	VFAKE_CALL_CONNECT,
	VFAKE_CALL_ACCEPT,
	VFAKE_CALL_SENDMSG,
	VFAKE_CALL_RECVMSG,
	VFAKE_FILE_CALLS
};

/* The points of a row and of a call without one, by stage. */
const struct vfake_fault_point *vfake_row_points(const struct uapi_ioctl *row);
const struct vfake_fault_point *vfake_file_points(enum vfake_file_call call);

int vfake_fault_ask(struct vfake_kernel *kernel, enum vfake_fault_stage stage);

/* A call comes by a place where it can fail: 0, or the -errno to fail with. */
static inline int vfake_fault(struct vfake_kernel *kernel, enum vfake_fault_stage stage)
{
	return kernel->faults.hook ? vfake_fault_ask(kernel, stage) : 0;
}

/* A call without a row begins: its entry point. */
int vfake_enter(struct vfake_task *task, enum vfake_file_call call);
/* A call ends; @event says all of it but result and fault. Returns @ret. */
long vfake_leave(struct vfake_kernel *kernel, struct vfake_event *event, long ret);

/* ---- warnings ---- */

/* What Linux's WARN_ON is: an assertion of the kernel about itself. Counts when @condition holds
 * and returns it. */
bool vfake_warn_on(struct vfake_kernel *kernel, bool condition);

static inline uint64_t vfake_page_size(const struct vfake_kernel *kernel)
{
	return (uint64_t)1 << kernel->page_shift;
}

/* ---- memory ---- */

/* A piece of memory with its own life: anonymous pages, a memfd's pages, a BAR. Its bytes appear on
 * first touch. */
struct vfake_mem {
	struct vfake_kernel *kernel;
	uint64_t size_bytes;
	uint32_t page_shift; /* of its pages: the CPU's, or those of huge pages */
	uint32_t refs;
	int share_fd; /* -1, or the host's file behind `bytes`, when the program maps them too */
	bool mmapped; /* `bytes` came from mmap(), not from the heap */
	bool foreign; /* `bytes` belongs to the program, not to us */
	struct vfake_memory *source; /* NULL, or memory of the program: vfake/bridge.h */
	unsigned char *bytes;
};

struct vfake_mem *vfake_mem_new(struct vfake_kernel *kernel, uint64_t size_bytes);
void vfake_mem_get(struct vfake_mem *mem);
void vfake_mem_put(struct vfake_mem *mem); /* NULL is allowed */
/* The bytes at @offset, or NULL when the host has no memory for them. */
unsigned char *vfake_mem_bytes(struct vfake_mem *mem, uint64_t offset);

/* What a mapped area of a process is. */
enum vfake_area_kind {
	VFAKE_AREA_ANON,
	VFAKE_AREA_MEMFD,
	VFAKE_AREA_PFNMAP, /* a device's registers: no struct page behind it, so not every user may
			      pin it */
};

struct vfake_area {
	uint64_t start;
	uint64_t last; /* inclusive */
	struct vfake_mem *mem;
	uint64_t offset; /* of start in mem */
	int prot;	 /* VFAKE_PROT_* */
	enum vfake_area_kind kind;
};

/* A user, for the accounting that Linux does per uid. */
struct vfake_user {
	struct vfake_kernel *kernel;
	uint32_t refs;
	uint64_t locked_pages;
};

void vfake_user_get(struct vfake_user *user);
void vfake_user_put(struct vfake_user *user);

struct vfake_mm {
	struct vfake_kernel *kernel;
	uint32_t refs;	/* whoever holds the pointer (mmgrab) */
	uint32_t users; /* processes that live in it (mmget); its areas go when this is 0 */
	bool host_memory;
	uint64_t locked_pages; /* locked_vm: charged by type1, sPAPR and iommufd's rlimit mode 1 */
	uint64_t pinned_pages; /* pinned_vm: iommufd's default mode */
	uint64_t next_addr;
	struct vfake_area *areas; /* sorted by start */
	size_t area_count;
	size_t area_space;
	size_t last_hit;
	struct spapr_region *spapr_regions;   /* registered memory of sPAPR v2, newest first */
	void (*release)(struct vfake_mm *mm); /* frees them with the last holder; may be NULL */
};

struct vfake_mm *vfake_mm_new(struct vfake_kernel *kernel, bool host_memory);
void vfake_mm_grab(struct vfake_mm *mm);
void vfake_mm_drop(struct vfake_mm *mm);
bool vfake_mm_get_not_zero(
	struct vfake_mm *mm); /* a use that keeps the areas, or false when the process is gone */
void vfake_mm_put(struct vfake_mm *mm);

/* The area that holds @addr, or NULL. Valid until the areas change. */
const struct vfake_area *vfake_mm_find(struct vfake_mm *mm, uint64_t addr);
/* Whether @addr is memory of the program that no area describes, and up to where. */
bool vfake_mm_host_last(const struct vfake_mm *mm, uint64_t addr, uint64_t *last);
int vfake_mm_map(struct vfake_mm *mm, struct vfake_mem *mem, uint64_t offset, uint64_t len,
		 int prot, enum vfake_area_kind kind, uint64_t *addr);
int vfake_mm_unmap(struct vfake_mm *mm, uint64_t addr, uint64_t len);

/* All or nothing as far as the result goes; like Linux, bytes before a fault may have been copied.
 * 0 or -EFAULT. */
int vfake_mm_read(struct vfake_mm *mm, void *to, uint64_t from, uint64_t len);
int vfake_mm_write(struct vfake_mm *mm, uint64_t to, const void *from, uint64_t len);

/* Linux's access_ok(): the range lies in the part of the address space that a process can ever
 * have. */
bool vfake_access_ok(uint64_t addr, uint64_t len);

/* A run of pinned pages: contiguous in one vfake_mem. It keeps the memory alive. */
struct vfake_pin {
	struct vfake_mem *mem;
	uint64_t offset;
	uint64_t len;
	bool pfnmap; /* no struct page: type1 neither counts nor charges it */
};

/*
 * Pins pages from @addr on, as far as they are contiguous in one area, @len bytes at most. @addr
 * and @len are page aligned. @write asks for writable pages. Returns bytes pinned (> 0), -EFAULT,
 * or -ENOMEM when the host has no memory for the bookkeeping.
 */
int64_t vfake_pin(struct vfake_mm *mm, uint64_t addr, uint64_t len, bool write,
		  struct vfake_pin *pin);
void vfake_unpin(struct vfake_pin *pin);
/* Gives up the last @len bytes of a pin. */
void vfake_pin_shrink(struct vfake_pin *pin, uint64_t len);
/* Makes a run into @count pins of one of its pages each, by whatever there may be more than one
 * for a page. They are given up by vfake_unpin_pages(). */
void vfake_pin_by_page(const struct vfake_pin *pin, uint32_t count);
/* Gives up @count > 0 of these pins of pages of @mem. */
void vfake_unpin_pages(struct vfake_mem *mem, uint32_t count);

/* ---- tasks and files ---- */

struct vfake_task {
	LIST_ENTRY(vfake_task) entry;
	struct vfake_kernel *kernel;
	struct vfake_task_attr attr;
	struct vfake_mm *mm;
	struct vfake_user *user;
	uint32_t refs;
	struct vfake_file **files; /* by descriptor; NULL is closed */
	int file_space;
	int lowest_free;	    /* no descriptor below it is free */
	bool (*program)(void *ctx); /* gets a turn when another task waits; NULL for none */
	void *program_ctx;
	bool in_turn; /* its program runs, or it waits */
	bool spared;  /* no fault strikes a call of it */
};

void vfake_task_get(struct vfake_task *task);
void vfake_task_put(struct vfake_task *task);

/* mm accounting under RLIMIT_MEMLOCK, Linux's __account_locked_vm(): 0 or -ENOMEM; uncharging never
 * fails. */
int vfake_charge_locked(struct vfake_mm *mm, uint64_t pages, const struct vfake_task *task,
			bool bypass);
void vfake_uncharge_locked(struct vfake_mm *mm, uint64_t pages);
uint64_t vfake_memlock_pages(const struct vfake_task *task);

/*
 * What an open file can do. A missing operation is -EINVAL for read and write (as for a device
 * without it), -ENODEV for mmap.
 */
struct vfake_file_ops {
	const char *name; /* for messages: "container", "group", … */
	/*
	 * Which row answers @number on this file as it is now? NULL with *error set (-ENOTTY, or
	 * -EINVAL where the state forbids any call) when none does. Runs before anything is copied
	 * in.
	 */
	const struct uapi_ioctl *(*route)(struct vfake_file *file, uint32_t number, long *error);
	/* The last reference went. */
	void (*release)(struct vfake_file *file);
	long (*read)(struct vfake_file *file, struct vfake_task *task, uint64_t buf, uint64_t len);
	long (*write)(struct vfake_file *file, struct vfake_task *task, uint64_t buf, uint64_t len);
	long (*pread)(struct vfake_file *file, struct vfake_task *task, uint64_t buf, uint64_t len,
		      uint64_t offset);
	long (*pwrite)(struct vfake_file *file, struct vfake_task *task, uint64_t buf, uint64_t len,
		       uint64_t offset);
	int (*mmap)(struct vfake_file *file, struct vfake_task *task, uint64_t len, int prot,
		    uint64_t offset, uint64_t *addr);
};

struct vfake_file {
	struct vfake_kernel *kernel;
	const struct vfake_file_ops *ops;
	void *data; /* the object, by `ops` */
	uint32_t refs;
};

/* A new open file with one reference, or NULL. @data goes to release() with the last reference. */
struct vfake_file *vfake_file_new(struct vfake_kernel *kernel, const struct vfake_file_ops *ops,
				  void *data);
void vfake_file_get(struct vfake_file *file);
void vfake_file_put(struct vfake_file *file);

/* The open file behind a descriptor (a borrowed reference), or NULL. */
struct vfake_file *vfake_fd_file(const struct vfake_task *task, int fd);
/* Gives @file the lowest free descriptor; the reference moves into it. -EMFILE or -ENOMEM leave the
 * reference. */
int vfake_fd_install(struct vfake_task *task, struct vfake_file *file);
/* Makes the file and installs it. On failure nothing is left and release() does not run. */
int vfake_fd_new(struct vfake_task *task, const struct vfake_file_ops *ops, void *data);
/* What close(2) does, inside another call. */
int vfake_fd_close(struct vfake_task *task, int fd);

/*
 * What an eventfd's file has inside. Who signals one holds this and not the file, so closing the
 * last descriptor still tells those who watch.
 */
struct vfake_eventfd;

/* What eventfd(2) does, inside another call. */
int vfake_eventfd_new(struct vfake_task *task);
/* The inside of the eventfd @fd, counted, or NULL with *error -EBADF or -EINVAL. */
struct vfake_eventfd *vfake_eventfd_get(struct vfake_task *task, int fd, int *error);
void vfake_eventfd_put(struct vfake_eventfd *eventfd); /* NULL is allowed */
void vfake_eventfd_signal(struct vfake_eventfd *eventfd);
/* Whether a read of the file would not block: an eventfd with a signal, or any other file. */
bool vfake_eventfd_readable(const struct vfake_file *file);

/*
 * Somebody in the kernel who is told of each signal, which takes the count, and of the file's
 * end.
 */
struct vfake_eventfd_watch {
	LIST_ENTRY(vfake_eventfd_watch) entry;
	struct vfake_eventfd *eventfd; /* counted while it watches; NULL else */
	void (*signalled)(struct vfake_eventfd_watch *watch);
	void (*closed)(struct vfake_eventfd_watch *watch); /* it does not watch any more */
};

/* Starts to watch. Returns whether a signal was there already; it is not reported and stays. */
bool vfake_eventfd_watch(struct vfake_eventfd *eventfd, struct vfake_eventfd_watch *watch);
void vfake_eventfd_unwatch(struct vfake_eventfd_watch *watch); /* of a watch that ended: nothing */

/* A memfd's pages, or those of the program in a vfake_memory_fd() (borrowed); NULL for another
 * file. */
struct vfake_mem *vfake_memfd_mem(struct vfake_file *file);
/* The latter only. */
struct vfake_mem *vfake_memory_mem(struct vfake_file *file);

/* ---- calls ---- */

enum { VFAKE_ARG_MAX = 256 }; /* bytes of the largest argument struct; uapi_table.c asserts it */

/* One ioctl on its way. */
struct vfake_call {
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	struct vfake_file *file;
	const struct uapi_ioctl *row;
	uint64_t uarg;	     /* the argument: a user address or the scalar */
	void *arg;	     /* the kernel's copy of the struct, zero beyond what the caller gave */
	void *before;	     /* room for another copy: what it was before the handler ran */
	uint32_t size_bytes; /* argsz or size as the caller gave it */
	bool respond;	     /* copy the struct out although the call fails */
	bool silent;	     /* do not copy it out although the row says that it has results */
	/* After copy-out: undo(undo_data) when the copy-out faulted and Linux takes the effect
	 * back. */
	void (*undo)(struct vfake_call *call);
	void *undo_data;
};

typedef long (*vfake_handler)(struct vfake_call *call);

/*
 * The handlers, by _IOC_NR, one table per kind of file. The dispatcher has, before a handler runs:
 * found the row, copied the struct in, judged its size and, where the row says so, flags and
 * reserved fields. After it, when it returned 0 or more (or set respond), the dispatcher copies the
 * struct out if any field of it is OUT.
 */
enum { VFAKE_HANDLERS = 256 };
extern const vfake_handler vfake_container_handlers[VFAKE_HANDLERS];
extern const vfake_handler vfake_type1_handlers[VFAKE_HANDLERS];
extern const vfake_handler vfake_spapr_handlers[VFAKE_HANDLERS];
extern const vfake_handler vfake_group_handlers[VFAKE_HANDLERS];
extern const vfake_handler vfake_device_handlers[VFAKE_HANDLERS];
extern const vfake_handler vfake_iommufd_handlers[VFAKE_HANDLERS];
extern const vfake_handler vfake_kvm_handlers[VFAKE_HANDLERS];
extern const vfake_handler vfake_kvm_vm_handlers[VFAKE_HANDLERS];
extern const vfake_handler vfake_kvm_device_handlers[VFAKE_HANDLERS];
extern const vfake_handler vfake_mig_data_handlers[VFAKE_HANDLERS];

/* Copies between the kernel and the task that calls, each a fault point: 0 or -EFAULT. */
int vfake_user_read(struct vfake_task *task, void *to, uint64_t from, uint64_t len);
int vfake_user_write(struct vfake_task *task, uint64_t to, const void *from, uint64_t len);

/* The same for an ioctl. */
int vfake_copy_in(struct vfake_call *call, void *to, uint64_t from, uint64_t len);
int vfake_copy_out(struct vfake_call *call, uint64_t to, const void *from, uint64_t len);

/* ---- nodes that open(2) knows ---- */

int vfake_container_open(struct vfake_task *task);
int vfake_group_open(struct vfake_task *task, uint32_t number, bool noiommu);
int vfake_cdev_open(struct vfake_task *task, uint32_t number);
int vfake_iommufd_open(struct vfake_task *task);
int vfake_iommufd_compat_open(struct vfake_task *task); /* the same node as /dev/vfio/vfio */
int vfake_kvm_open(struct vfake_task *task);

#endif
