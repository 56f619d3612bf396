/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stories: what the VFIO stack is for, told once and played on every backend.
 *
 * A story is a function that gets a stage: a fake kernel in the backend's world, a process in it,
 * the stack, a reference VMM and empty guest memory. It asserts with cmocka's macros on what the
 * kernel then has (vfake/view.h, vfake_ledger()) and on what devices reach, never on which calls
 * the stack made. `vfake run` plays each story on each row of the table of backends.
 *
 * The stage watches by itself, in every story:
 *   - no descriptor is closed twice; what is mapped is unmapped once, and no byte beside it
 *   - no pointer that the stack passes is bad, and nothing is unmapped that is not mapped
 *   - memory that the stack gave back holds rubbish: who uses it once more does not get far
 *   - no call that takes something down fails, and no blocker or state goes that is not there
 *   - a group has left its container, and no device of it is open, when its node is closed
 *   - discarding is never allowed while guest memory is pinned
 *   - the model (kernel_model.h) agrees with the kernel after each call and at the end
 *   - at the end everything is back where it began: files, descriptors, kernel memory, pinned and
 *     locked pages, the stack's memory, blockers, registered state; and Linux would not have warned
 */
#ifndef HARNESS_STORY_H
#define HARNESS_STORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <vfake/fault.h>
#include <vfake/kernel.h>
#include <vfake/peer.h>
#include <vfake/view.h>
#include <vfio/device.h>
#include <vfio/vfio.h>
#include <vfio/vmm_ref.h>

#include "fault.h"
#include "kernel_model.h"

struct stage;

/* ---- backends ---- */

/* What a story may need of a backend. Each bit has a reason in the row that lacks it. */
enum story_needs {
	NEEDS_MAPS = 1 << 0,	       /* devices reach guest memory through maps */
	NEEDS_ANY_IOVA = 1 << 1,       /* maps anywhere below 2^47 */
	NEEDS_SHARING = 1 << 2,	       /* several devices in one container */
	NEEDS_CDEV = 1 << 3,	       /* devices by nodes of their own */
	NEEDS_TRACKING = 1 << 4,       /* the container or its domain tracks dirty pages */
	NEEDS_EXACT_TRACKING = 1 << 5, /* and knows which ones a device wrote */
	NEEDS_ALIASES = 1 << 6, /* one piece of memory at several guest addresses, overlapping */
	NEEDS_MIXING = 1 << 7,	/* another kind of backend on the same machine */
	NEEDS_RESET_PROOF = 1 << 8, /* the kernel can tell whose devices a hot reset takes along */
	NEEDS_COMPANY = 1 << 9,	    /* several devices in one group */
	NEEDS_CHARGE = 1 << 10,	    /* RLIMIT_MEMLOCK is charged for what is mapped */
	NEEDS_HANDOVER = 1 << 11,   /* another process can take devices over while they run */
	NEEDS_SERVER = 1 << 12,	    /* a vfio-user server is in between */
	NEEDS_WINDOWS = 1 << 13,    /* windows of a host bridge, which KVM can fill */
};

struct backend_lack {
	unsigned int needs; /* one or more bits */
	const char *reason; /* why the backend cannot have them */
};

/* A row of the table: one way for the stack to reach devices. */
struct backend {
	const char *name;
	const char *about;
	enum vfio_backend kind;
	bool type1_v1;
	bool noiommu;
	bool dirty_tracking;
	void (*world)(struct vfake_world *world); /* the machine, without devices */
	uint64_t page;				  /* what maps are multiples of, in bytes */
	uint64_t ram;				  /* guest address where RAM can begin */
	enum vfake_manager manager;		  /* of devices that are attached */
	struct backend_lack lacks[9];		  /* ends with no reason */
};

extern const struct backend backends[];
extern const size_t backend_count;

/* ---- stories ---- */

struct story_waiver {
	const char *backend;
	const char *reason;
};

struct story {
	const char *name;
	const char *about; /* one line; NULL where nobody lists it */
	void (*run)(struct stage *stage);
	unsigned int needs; /* enum story_needs */
	const char *model;  /* of its devices; NULL is "copy" */
	/* Changes the machine after its devices were added. May be NULL. */
	void (*prepare)(struct vfake_world *world);
	struct story_waiver waivers[4]; /* where it is not played, and why */
	const char *unswept;		/* why `vfake sweep` leaves it out, or NULL */
};

/* Every story, in the order of the report; scenarios/stories.c. */
extern const struct story *const stories[];
extern const size_t story_count;

/* Why a story is not played on a backend, or NULL where it is. */
const char *story_waived(const struct story *story, const struct backend *backend);

/* Why a backend cannot have what is needed (any of the bits), or NULL where it can. */
const char *backend_lacks(const struct backend *backend, unsigned int needs);

/* Plays it: a failed assertion does not return. For a cmocka test. */
void story_play(const struct story *story, const struct backend *backend, uint64_t seed);
/* The same; @seen gets the stage before anything is called. */
void story_play_seen(const struct story *story, const struct backend *backend, uint64_t seed,
		     void (*seen)(void *ctx, struct stage *stage), void *ctx);

/* ---- the stage ---- */

enum { STAGE_DEVICES = 3, STAGE_RAMS = 32, STAGE_TEXT = 512 };

/* A piece of guest memory that is there. */
struct stage_ram {
	struct vfio_memory *memory;
	uint32_t id; /* of the region; 0 when it is not in the memory now */
	struct vfio_memory_region region;
	uint64_t mapped; /* bytes of the process behind it */
	uint8_t *host;	 /* the process's bytes of its first guest address */
};

/* Which call fails, for stories about failures. */
struct stage_fault {
	uint64_t at;	  /* counted from 1 in `seen`; 0: none */
	uint64_t seen;	  /* calls or allocations so far */
	uint32_t request; /* only ioctls with it count; 0: all calls */
	int code;	  /* what the call says: -errno, or an answer of more than 0 */
	bool hit;
};

/*
 * A process of a story's own, beside the stage's: so the sweep sees what it has, too, and lets its
 * calls fail. The story keeps the fields true; what begins with `own_` is the stage's.
 */
struct stage_process {
	struct vfake_task *task; /* NULL: it has none yet, or any more */
	/* Its stack and memory are made with a struct vfio_sys of this ctx, and with this reference
	 * VMM, whose callbacks ask stage_ask(). */
	const void *sys_ctx;
	struct vfio_vmm_ref *ref;
	uint32_t taken;	  /* descriptors that its stack was handed for good: take() */
	uint32_t program; /* a new number when all that its program had in memory is gone */
	void *ctx;	  /* of these */
	/* Whether the story makes its next calls fail by itself. May be NULL. */
	bool (*is_armed)(void *ctx);
	/* What its VMM does when a call of the stack failed. May be NULL. */
	void (*tidy)(void *ctx);
	/*
	 * It died (but its task is there still), or a call failed of which nobody can know how far
	 * it came. The others go on, or nobody is left; asserts that this is so, ends all processes
	 * of the story's own and disowns them. NULL: the story cannot tell; nobody dies then.
	 */
	void (*recover)(void *ctx, bool died);
	struct stage_process *own_next;
	uint64_t own_serial;
};

/* All of it may be read; what begins with `own_` is the stage's. */
struct stage {
	const struct story *story;
	const struct backend *backend;
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	struct vfio_sys sys; /* what the stack calls: the task, watched */
	struct vfio_sys raw; /* the same task for the story itself, unwatched */
	struct vfio_vmm vmm; /* the reference's, watched */
	struct vfio_vmm_ref ref;
	struct vfio *vfio;
	struct vfio_memory *memory; /* what devices reach unless told otherwise */
	struct vfio_device *devices[STAGE_DEVICES];
	struct vfake_peer *peers[STAGE_DEVICES]; /* backend `user`: who serves them */
	struct stage_fault fail_call;		 /* of open, ioctl, eventfd, mmap and dup */
	struct stage_fault fail_alloc;		 /* of the stack's allocations */
	struct fault *fault;			 /* what stage_fail() armed */
	/* The sweep's, instead of `fault` and beside what the stage sees; NULL for none. */
	vfake_fault_hook own_fault;
	vfake_event_hook own_event;
	void *own_sweep;
	bool own_unsure; /* a map said EFAULT, and may be there all the same */
	bool own_hit;	 /* the call that runs was made to fail */
	bool own_faulty; /* a fault was met: what the stack knows may not be what is so */
	struct vfio_vmm own_ref_vmm;
	struct vfio_vmm_ref own_memory_ref; /* of address spaces, whose tables grow and stay */
	struct vfio_vmm own_memory_ref_vmm;
	struct vfio_vmm own_memory_vmm;
	struct stage_ram own_rams[STAGE_RAMS];
	struct vfio_memory *own_spaces[4];
	struct vfake_ledger own_boot;
	struct vfake_ledger own_mark;
	struct vfio_vmm_ref own_mark_ref;
	char own_nodes[STAGE_DEVICES][2][32];
	uint64_t own_random;
	bool own_calling;	/* the stack is in an ioctl */
	uint64_t own_map_bytes; /* of devices' areas that the stack has mapped */
	struct model *own_model;
	uint32_t own_oddities;
	char own_odd[STAGE_TEXT]; /* the first thing that was wrong */
	struct stage_process *own_processes;
	uint64_t own_serial;		/* of the last one */
	struct stage_process *own_dead; /* in the call that own_way_out leaves */
	jmp_buf own_way_out;
};

/* The name of a device: "d0" to "d2", each in a group of its own. */
const char *stage_name(unsigned int index);
/* How to attach it; the strings are the stage's. */
struct vfio_device_options stage_options(struct stage *stage, unsigned int index);

/* Backend `user`: another server for a device, in place of the one that there is. */
void stage_serve(struct stage *stage, unsigned int index, const struct vfake_peer_attr *attr);

/* Attaches a device to the stage's memory, or to another; it must work. */
struct vfio_device *stage_attach(struct stage *stage, unsigned int index);
struct vfio_device *stage_attach_to(struct stage *stage, unsigned int index,
				    struct vfio_memory *memory);
/* Attaches with these options: true, or false with the reason, which must then be one. */
bool stage_try_attach(struct stage *stage, unsigned int index, struct vfio_memory *memory,
		      const struct vfio_device_options *options, struct vfio_error *error);
void stage_detach(struct stage *stage, unsigned int index);

/* Another address space. The stage frees it. */
struct vfio_memory *stage_space(struct stage *stage);
/* Guest RAM of @size bytes, zeroed, at @gpa of the stage's memory, or of any kind in any memory.
 * Memory of the process is allocated for kinds that have it. */
struct stage_ram *stage_ram(struct stage *stage, uint64_t gpa, uint64_t size);
struct stage_ram *stage_add(struct stage *stage, struct vfio_memory *memory,
			    const struct vfio_memory_region *region);
/* The same with a memfd behind it. */
struct stage_ram *stage_ram_of_file(struct stage *stage, uint64_t gpa, uint64_t size);
/* Takes it out of the memory; puts it back; frees it. */
void stage_ram_out(struct stage_ram *ram);
void stage_ram_in(struct stage_ram *ram);
void stage_ram_free(struct stage *stage, struct stage_ram *ram);

/*
 * Makes the @nth pass by a fault point fail, from now on, with -errno @code: "type1/MAP_DMA/entry".
 * It takes the place of the one before. The name ends in a star: all points that begin so.
 */
void stage_fail(struct stage *stage, const char *point, unsigned int nth, int code);
/* Nothing fails from now on. Whether something did. */
bool stage_fail_none(struct stage *stage);

/* A process of the story's own is there; has ended. */
void stage_adopt(struct stage *stage, struct stage_process *process);
void stage_disown(struct stage *stage, struct stage_process *process);
/* What a callback of its VMM asks first: 0, or the -errno to fail with. */
int stage_ask(struct stage *stage, enum fault_side side);
/* Its stack is about to make a call, or has made it. Does not return when a sweep kills it there.
 */
void stage_come_by(struct stage *stage, struct stage_process *process, enum fault_call call,
		   bool after);

/* A number from the story's own stream, below @limit. */
uint64_t stage_random(struct stage *stage, uint64_t limit);

/* ---- what the kernel has ---- */

struct vfake_device_view stage_view(const struct stage *stage, unsigned int index);
/* The device reaches exactly this: bytes [iova, iova + size) are those at @host, with these rights.
 */
void stage_expect_reach(const struct stage *stage, unsigned int index, uint64_t iova, uint64_t size,
			const void *host, bool writable);
/* The device reaches nothing in [iova, iova + size). */
void stage_expect_fault(const struct stage *stage, unsigned int index, uint64_t iova,
			uint64_t size);
/* Whether it reaches one address. */
bool stage_reaches(const struct stage *stage, unsigned int index, uint64_t iova);

/* Remembers what is there now; later asks for exactly that. The stage marks itself at the start. */
void stage_mark(struct stage *stage);
void stage_expect_mark(const struct stage *stage);
/* Nothing is attached, pinned, blocked or forbidden. */
void stage_expect_empty(const struct stage *stage);

/* ---- the copy engine ---- */

enum {
	STAGE_DMA_DONE = 1, /* VFAKE_COPY_DESC_* of the descriptor */
	STAGE_DMA_READ_FAULT = 2,
	STAGE_DMA_WRITE_FAULT = 3,
	STAGE_DMA_RING_FAULT = 100, /* the ring itself could not be reached */
};

/* Where a device's engine finds its descriptors: one page that the device reaches at @iova. */
struct stage_engine {
	struct stage *stage;
	unsigned int device;
	uint64_t iova;
	uint8_t *host;
};

/* Copies @size bytes from one IOVA to another by the device's DMA. STAGE_DMA_*. */
int stage_copy(const struct stage_engine *engine, uint64_t from, uint64_t to, uint32_t size);
/* Fills with a pattern of eight bytes. */
int stage_fill(const struct stage_engine *engine, uint64_t pattern, uint64_t to, uint32_t size);

#endif
