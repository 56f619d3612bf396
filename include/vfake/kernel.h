/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fake kernel's system calls.
 *
 * A struct vfake_kernel is one running world, a value like any other: two can live in one process
 * and nothing is global. A struct vfake_task is a process in it, with descriptors, memory,
 * RLIMIT_MEMLOCK and capabilities of its own. The calls below are what a process can do; each
 * returns what Linux 7.2 would, errors as -errno.
 *
 * Nothing here is thread-safe: a kernel runs one call at a time, which is what makes it
 * deterministic.
 */
#ifndef VFAKE_KERNEL_H
#define VFAKE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vfake/world.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct vfake_kernel;
struct vfake_task;

/** An address in a task's memory. For a task with host memory it is a plain pointer of this
 * process. */
typedef uint64_t vfake_addr;

/**
 * Starts a kernel in a world.
 *
 * @world: copied
 * @error: NULL, or where a static text goes that says what is wrong with the world
 *
 * Returns the kernel, which the caller frees, or NULL: the world contradicts itself or memory is
 * short.
 */
struct vfake_kernel *vfake_kernel_new(const struct vfake_world *world, const char **error);

/** Ends every task that is left, then the kernel. NULL is allowed. */
void vfake_kernel_free(struct vfake_kernel *kernel);

/** How a task starts. All zero is an unprivileged process with no descriptor and RLIMIT_MEMLOCK 0.
 */
struct vfake_task_attr {
	uint64_t memlock_bytes; /**< RLIMIT_MEMLOCK; UINT64_MAX is unlimited */
	bool cap_ipc_lock;	/**< not bound by RLIMIT_MEMLOCK */
	bool cap_sys_rawio;	/**< may open noiommu groups */
	bool cap_sys_admin;
	bool cap_sys_resource; /**< may set how an iommufd accounts for locked memory */
	/**
	 * Pointers of this process are addresses of the task: memory outside of what vfake_mmap()
	 * made is taken as mapped and writable. Without it only what vfake_mmap() made can be
	 * touched, all else is EFAULT.
	 */
	bool host_memory;
};

/** What a root shell has. */
extern const struct vfake_task_attr vfake_root;

/**
 * Creates a process.
 *
 * @kernel: owns the task until vfake_task_exit() or vfake_kernel_free()
 * @attr:   copied
 *
 * Returns the task, or NULL when memory is short.
 */
struct vfake_task *vfake_task_new(struct vfake_kernel *kernel, const struct vfake_task_attr *attr);

/** Ends a process: closes its descriptors in ascending order, then drops its memory. The pointer is
 * dead afterwards. */
void vfake_task_exit(struct vfake_task *task);

/**
 * execve(2): the process goes on as another program. Its memory goes and it gets new, empty memory;
 * who it is stays, and so do the descriptors that were not closed on exec.
 *
 * @keep:  descriptors that are not close-on-exec; all others are, and are closed in ascending order
 * @count: of them
 *
 * Returns 0, or -ENOMEM and nothing has happened. Pages of the old memory that are pinned live on
 * for whoever pinned them.
 */
int vfake_task_exec(struct vfake_task *task, const int *keep, size_t count);

/** RLIMIT_MEMLOCK becomes @bytes and CAP_IPC_LOCK is dropped. Returns 0. */
int vfake_memlock(struct vfake_task *task, uint64_t bytes);

/**
 * open(2) of a device node: /dev/vfio/vfio, /dev/vfio/N, /dev/vfio/noiommu-N,
 * /dev/vfio/devices/vfioN, /dev/iommu, /dev/kvm.
 *
 * Returns a descriptor (the lowest free one), -ENOENT for another path, -EMFILE, -ENOMEM, or what
 * the node's open says: -EBUSY for a group that is open already or blocked by a cdev, -EPERM for
 * noiommu without CAP_SYS_RAWIO.
 */
int vfake_open(struct vfake_task *task, const char *path);

/** close(2). Returns 0 or -EBADF. */
int vfake_close(struct vfake_task *task, int fd);

/** dup(2). Returns a new descriptor of the same open file, -EBADF or -EMFILE. */
int vfake_dup(struct vfake_task *task, int fd);

/**
 * Passes an open file to another task, as SCM_RIGHTS or inheritance does.
 *
 * Returns the descriptor in @to, -EBADF or -EMFILE.
 */
int vfake_pass_fd(struct vfake_task *from, int fd, struct vfake_task *to);

/**
 * ioctl(2).
 *
 * @number: the request, as in the uapi headers
 * @arg:    address of the argument in the task's memory, or the scalar argument itself
 *
 * Returns what Linux would: 0 or more, or -errno. -EBADF for a descriptor that is not open, -ENOTTY
 * for a request that the file does not know or that this fake kernel does not have yet (see
 * vfake_implements()).
 */
long vfake_ioctl(struct vfake_task *task, int fd, uint32_t number, vfake_addr arg);

/** pread(2) of @len bytes at @offset into @buf. Returns bytes read, -EBADF, -EINVAL, -EFAULT, … */
long vfake_pread(struct vfake_task *task, int fd, vfake_addr buf, uint64_t len, uint64_t offset);

/** pwrite(2) of @len bytes of @buf at @offset. Returns bytes written or -errno. */
long vfake_pwrite(struct vfake_task *task, int fd, vfake_addr buf, uint64_t len, uint64_t offset);

/** read(2). Returns bytes read, -EAGAIN for an empty non-blocking eventfd, -EINVAL, -EBADF, … */
long vfake_read(struct vfake_task *task, int fd, vfake_addr buf, uint64_t len);

/** write(2). Returns bytes written or -errno. */
long vfake_write(struct vfake_task *task, int fd, vfake_addr buf, uint64_t len);

/** eventfd(2) with EFD_NONBLOCK: a counter that starts at 0. Returns a descriptor, -EMFILE or
 * -ENOMEM. */
int vfake_eventfd(struct vfake_task *task);

/** memfd_create(2) and ftruncate(2): a file of @len bytes of zeroes, rounded up to pages. Returns a
 * descriptor, -EMFILE or -ENOMEM. */
int vfake_memfd(struct vfake_task *task, uint64_t len);

/** Protection of memory, as in <sys/mman.h>. */
enum {
	VFAKE_PROT_READ = 1,
	VFAKE_PROT_WRITE = 2,
};

/**
 * mmap(2): private anonymous memory (@fd -1), a memfd, or a region of a VFIO device.
 *
 * Anonymous memory and memfds get an address whose lowest set bit is bit 30 (1 GiB): iommufd
 * derives the alignment of an IOVA that it picks itself from the address, so this must not vary
 * between runs.
 *
 * @len:    bytes, rounded up to pages
 * @prot:   VFAKE_PROT_*
 * @fd:     -1 or a descriptor
 * @offset: into the file, a multiple of the page size
 * @addr:   gets the address
 *
 * Returns 0, -EINVAL, -EBADF, -ENODEV for a file that cannot be mapped, -ENOMEM, or what the device
 * says.
 */
int vfake_mmap(struct vfake_task *task, uint64_t len, int prot, int fd, uint64_t offset,
	       vfake_addr *addr);

enum { VFAKE_HUGE_PAGE_MAX = 1 << 30 };

/**
 * mmap(2) of private anonymous memory in huge pages (MAP_HUGETLB). What shows of their size is that
 * a TCE may be as large.
 *
 * @len:        bytes, a multiple of @page_bytes
 * @prot:       VFAKE_PROT_*
 * @page_bytes: of a page: a power of two, larger than the world's pages, 1 GiB at most
 * @addr:       gets the address
 *
 * Returns 0, -EINVAL or -ENOMEM.
 */
int vfake_mmap_huge(struct vfake_task *task, uint64_t len, int prot, uint64_t page_bytes,
		    vfake_addr *addr);

/** munmap(2). Pages that are pinned live on for whoever pinned them. Returns 0, -EINVAL or -ENOMEM.
 */
int vfake_munmap(struct vfake_task *task, vfake_addr addr, uint64_t len);

/** Changes the task's own memory from outside, as the program's stores would. Returns 0 or -EFAULT.
 */
int vfake_poke(struct vfake_task *task, vfake_addr addr, const void *bytes, uint64_t len);

/** Reads the task's own memory, as the program's loads would. Returns 0 or -EFAULT. */
int vfake_peek(struct vfake_task *task, vfake_addr addr, void *bytes, uint64_t len);

/** Whether this fake kernel has a handler for ioctl @number on files of kind @where (enum
 * uapi_where). */
bool vfake_implements(int where, uint32_t number);

/**
 * Lets time pass for the devices that do DMA by themselves (vfake/models.h). In one tick each of
 * them, in the world's order, moves one chunk of what it has to do; interrupts are sent on the way.
 * Nothing else in the kernel takes time. Ends early when no device has anything to do.
 *
 * @ticks: UINT64_MAX: until all are idle
 *
 * Returns the number of chunks that all devices together worked on.
 */
uint64_t vfake_tick(struct vfake_kernel *kernel, uint64_t ticks);

/** Sets the time that devices with a clock know, in seconds; it begins at 0 and stands still. */
void vfake_set_clock(struct vfake_kernel *kernel, uint64_t seconds);

/** The IOMMU faults that a device caused since the kernel started; no reset clears them. */
struct vfake_device_faults {
	uint64_t count;
	uint64_t last_iova; /**< where the access began, when count > 0 */
	bool last_write;
};

/**
 * Reads the faults of a device.
 *
 * @name:   of the device
 * @faults: filled
 *
 * Returns 0, -ENOENT when there is no such device, -EOPNOTSUPP when its model does no DMA.
 */
int vfake_device_faults(const struct vfake_kernel *kernel, const char *name,
			struct vfake_device_faults *faults);

/** What must come back to where it began. Counts of the whole kernel; see vfake_ledger(). */
struct vfake_ledger {
	uint64_t open_files;   /**< open file objects, however many descriptors each has */
	uint64_t descriptors;  /**< of all tasks */
	uint64_t allocations;  /**< blocks of kernel memory beyond those of the world itself */
	uint64_t pinned_pages; /**< pages that some mapping keeps */
	uint64_t locked_pages; /**< charged to RLIMIT_MEMLOCK, all owners */
	uint64_t warnings;     /**< times that Linux would have printed a WARN; must stay 0 */
};

/** Reads the ledger. It is a snapshot by value. */
struct vfake_ledger vfake_ledger(const struct vfake_kernel *kernel);

/** The world's devices, as the kernel has them. NULL when there is none of that name. Valid while
 * the kernel lives. */
const struct vfake_device_desc *vfake_device_desc(const struct vfake_kernel *kernel,
						  const char *name);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
