/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults by name: the binding of fault points to libfiu.
 *
 * A fault point is where something can be made to fail: in the fake kernel (vfake/fault.h), or on
 * the stack's side, where the harness stands in for what is around the stack. Each has a name.
 * libfiu keeps which names are to fail; that is state of the process, as libfiu is. Names are
 * armed here, or by whoever else speaks libfiu: fiu_enable(), fiu-run, fiu-ctrl.
 */
#ifndef HARNESS_FAULT_H
#define HARNESS_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <vfake/fault.h>

struct fault;

/* Points of the stack's side; their stage is where they act, as of a call. */
enum fault_side {
	FAULT_STACK_ALLOC,	   /* "stack/alloc": memory of the stack */
	FAULT_MEMORY_ALLOC,	   /* "memory/alloc": memory of the guest memory model */
	FAULT_VMM_FORBID_DISCARD,  /* "vmm/forbid_discard" */
	FAULT_VMM_BLOCK_MIGRATION, /* "vmm/block_migration" */
	FAULT_VMM_REGISTER_STATE,  /* "vmm/register_state" */
	FAULT_VMM_KEEP_FD,	   /* "vmm/keep_fd": struct vfio_cpr_fds */
	FAULT_VMM_TAKE_FD,	   /* "vmm/take_fd" */
	FAULT_SIDES
};

const struct vfake_fault_point *fault_side_point(enum fault_side side);

/*
 * Calls that a process makes to the kernel, and messages to another process: it can die before one,
 * "call/ioctl/entry", and after it, "call/ioctl/exit". They have no errno but this one.
 */
enum { FAULT_KILL = 0x4000 };

enum fault_call {
	FAULT_CALL_OPEN,
	FAULT_CALL_CLOSE,
	FAULT_CALL_IOCTL,
	FAULT_CALL_PREAD,
	FAULT_CALL_PWRITE,
	FAULT_CALL_READ,
	FAULT_CALL_MMAP,
	FAULT_CALL_MUNMAP,
	FAULT_CALL_EVENTFD,
	FAULT_CALL_CONNECT,
	FAULT_CALL_SENDMSG,
	FAULT_CALL_RECVMSG,
	FAULT_CALL_POLL,
	FAULT_CALL_KEEP_FD, /* a descriptor goes to another process */
	FAULT_CALL_TAKE_FD,
	FAULT_CALLS
};

const struct vfake_fault_point *fault_call_point(enum fault_call call, bool after);

/* Of an errno, or "kill"; NULL for what is neither. */
const char *fault_code_name(int code);
/* The code of such a name, or 0. */
int fault_code_by_name(const char *name, size_t length);

/* The point of that name, of the kernel or of the stack's side; NULL: there is none that can fail.
 */
const struct vfake_fault_point *fault_find(const char *name);

/* Points to list: calls @each for every point that can fail, the kernel's first. */
void fault_each(void (*each)(void *ctx, const struct vfake_fault_point *point), void *ctx);

/* Nothing is armed, no kernel asks. In a program that fiu-run started it listens. NULL when memory
 * is short. */
struct fault *fault_new(void);
/* The same for a command that has no faults but those of fiu-run: NULL when there is none. */
struct fault *fault_of_fiu_run(void);

/* Disarms. Kernels that were bound must be gone or bound elsewhere. NULL is allowed. */
void fault_free(struct fault *fault);

/* From now on the points of @kernel ask @fault; NULL for @fault: they ask nobody. */
void fault_bind(struct fault *fault, struct vfake_kernel *kernel);

/*
 * Something came by a point. Returns 0 to go on, or the -errno to fail with. @fault NULL: 0. This
 * is what the stack's side calls; kernels that are bound do so by themselves.
 */
int fault_pass(struct fault *fault, const struct vfake_fault_point *point);

/*
 * Makes points fail. One arming at a time: it takes the place of the one before.
 *
 * @name:   of a point, or the beginning of names with a '*' behind it: "iommufd/" and a star
 * @nth:    which pass by such a point fails, counted from now; 1 is the next
 * @error:  positive, the errno to give; 0: the first that the point may give
 * @sticky: that pass and all later ones fail; otherwise that one only
 *
 * Returns 0, -EINVAL (no name, nth is 0) or -ENOMEM.
 */
int fault_arm(struct fault *fault, const char *name, unsigned int nth, int error, bool sticky);
void fault_disarm(struct fault *fault);
/* Whether something is armed that has not struck. */
bool fault_is_armed(const struct fault *fault);

/*
 * Whether points ask libfiu although nothing is armed here, because somebody else arms names. An
 * errno that the point does not have becomes its first one.
 */
void fault_listen(struct fault *fault, bool listen);

/* How many passes failed since fault_arm() or fault_listen(). */
unsigned int fault_hits(const struct fault *fault);
/* The point that failed last, or NULL. */
const struct vfake_fault_point *fault_last_hit(const struct fault *fault);

/* Starts a record of the points that are passed, an empty one, or ends it. */
void fault_record(struct fault *fault, bool on);

/* The record: points in the order in which they were passed. Valid until the next pass. *count is
 * SIZE_MAX when memory ran out on the way. */
const struct vfake_fault_point *const *fault_recorded(const struct fault *fault, size_t *count);

#endif
