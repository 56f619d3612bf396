/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine and the processes of cpr_rig.h, and how the stack in a process reaches the kernel and
 * its heap: each call can be the one that fails, or the last one.
 */
#ifndef SCENARIOS_CPR_SEAM_H
#define SCENARIOS_CPR_SEAM_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vfake/sys.h>
#include <vfio/cpr.h>

#include "story.h"

enum {
	CPR_SPACES = 2,
	CPR_DEVICES = STAGE_DEVICES,
	CPR_PAGES = 80,
	CPR_FDS = 64,
	CPR_PIECE = 4, /* pages that are plugged at once */
	CPR_PIECES = CPR_PAGES / CPR_PIECE,
	CPR_TEXT = 64,
};

/* A block of a process's heap. */
struct cpr_block {
	struct cpr_block *next, **at;
	uint64_t bytes[]; /* aligned as malloc()'s */
};

struct cpr_fd {
	char name[CPR_TEXT];
	uint32_t id;
	int fd; /* of the process that gets it, or -1: taken */
};

/* Which call of a process is its last, from 1; 0: none. */
struct cpr_kill {
	uint64_t at;
	uint64_t seen;
	bool after; /* the call is made first */
	bool other; /* another process dies instead */
	jmp_buf out;
};

struct cpr_process;

struct cpr_machine {
	struct stage *stage;
	struct vfake_kernel *kernel;
	const struct backend *backend;
	struct vfake_task *keeper; /* has the files of guest memory, as a file system would */
	int files[CPR_SPACES];
	uint8_t *ram[CPR_SPACES]; /* the keeper's view */
	uint64_t bytes;		  /* of RAM */
	uint64_t base;		  /* its guest address */
	uint32_t spaces;	  /* used: device I is in space I % spaces */
	uint32_t devices;	  /* used */
	bool viommu;		  /* devices are behind one, and reach RAM from address VIOMMU on */
	uint32_t plugged;	  /* not 0: RAM comes in pieces, bit N is piece N */
	bool late;		  /* what both say is known only after devices were attached */
	uint64_t random;
	struct stage_process keeper_process;
	/* How the others go on when one is gone, and in which mode; NULL: nobody dies.
	 * cpr_recover.h */
	void (*recover)(void *process, bool died);
	enum vfio_migration_mode mode;
	bool copies; /* devices were started, and not all of it was looked at */
	struct vfake_ledger start;
	uint8_t *expect[CPR_SPACES]; /* what RAM must be in the end */
};

/* What keep() is called with: each save has another one. */
struct cpr_way {
	struct cpr_process *process;
};

struct cpr_process {
	struct cpr_machine *machine;
	struct vfake_task *task;
	struct stage_process seen; /* by the stage */
	struct vfio_sys raw;
	struct vfio_sys sys;
	struct vfio_vmm vmm;
	struct vfio_vmm_ref ref;
	struct vfio_vmm plain; /* the reference's */
	struct vfio *vfio;
	struct vfio_memory *memory[CPR_SPACES];
	uint32_t regions[CPR_SPACES];	       /* of RAM */
	struct vfio_memory *guest[CPR_SPACES]; /* behind a vIOMMU */
	uint32_t viommus[CPR_SPACES];	       /* regions */
	uint8_t *ram[CPR_SPACES];
	int files[CPR_SPACES];
	struct vfio_device *devices[CPR_DEVICES];
	struct cpr_block *heap;
	struct cpr_kill kill;
	struct cpr_process *victim; /* kill.other */
	uint32_t requests_failed;
	uint32_t fail_request;	/* an ioctl that fails, */
	uint32_t fail_at;	/* the how-manieth, from 1, and */
	int fail_code;		/* with what */
	uint64_t fail_call;	/* counted as kill.seen: this call fails, if it is an ioctl, */
	bool fail_done;		/* having done what it was to do */
	uint32_t fail_also;	/* fails from then on */
	uint64_t fail_arg;	/* 0, or only those with this argument count */
	uint32_t fail_alloc;	/* the how-manieth allocation from now is NULL */
	uint32_t fail_register; /* the how-manieth piece of state cannot be registered */
	/* what travels to the next process */
	struct cpr_process *next;
	bool keeps_numbers;	/* exec: the descriptors are the same */
	uint32_t fail_keep;	/* the how-manieth descriptor cannot be kept */
	struct cpr_way ways[2]; /* of its saves, in turn */
	uint32_t saves;
	struct cpr_fd fds[CPR_FDS];
	uint32_t fd_count;
	bool saved, saving;
	uint8_t *state; /* what was saved */
	size_t state_size;
};

static inline void cpr_check(bool good, const struct vfio_error *error)
{
	if (!good)
		fail_msg("%s (%d) %s", error->message, error->code, error->hint);
}

/* ---- the seam ---- */

static void cpr_process_die(struct cpr_process *process);

/* A call is about to be made, or has been. */
static inline void cpr_pass(struct cpr_process *process, enum fault_call call, bool after)
{
	stage_come_by(process->machine->stage, &process->seen, call, after);
}

static inline void cpr_step(struct cpr_process *process, enum fault_call call, bool after)
{
	struct cpr_kill *kill = &process->kill;

	vfake_tick(process->machine->kernel, 1);
	cpr_pass(process, call, after);
	kill->seen += !after;
	if (!kill->at || kill->seen != kill->at || kill->after != after)
		return;
	kill->at = 0;
	if (kill->other)
		cpr_process_die(process->victim);
	else
		longjmp(kill->out, 1);
}

/* A sweep made the kernel say something that it would not have said. */
static inline bool cpr_was_failed(const struct cpr_process *process)
{
	return process->machine->stage->own_hit || process->machine->stage->own_faulty;
}

static inline int cpr_open(void *ctx, const char *path)
{
	struct cpr_process *process = ctx;
	int ret;

	cpr_step(process, FAULT_CALL_OPEN, false);
	ret = process->raw.open(process->raw.ctx, path);
	cpr_step(process, FAULT_CALL_OPEN, true);
	return ret;
}

static inline int cpr_close(void *ctx, int fd)
{
	struct cpr_process *process = ctx;
	int ret;

	cpr_step(process, FAULT_CALL_CLOSE, false);
	ret = process->raw.close(process->raw.ctx, fd);
	assert_true(!ret || cpr_was_failed(process));
	cpr_step(process, FAULT_CALL_CLOSE, true);
	return ret;
}

static inline long cpr_ioctl(void *ctx, int fd, uint32_t request, uint64_t arg)
{
	struct cpr_process *process = ctx;
	long ret;

	cpr_step(process, FAULT_CALL_IOCTL, false);
	if (request == process->fail_request && (!process->fail_arg || process->fail_arg == arg) &&
	    ++process->requests_failed == process->fail_at)
		ret = process->fail_code;
	else if (process->fail_also == request && process->requests_failed >= process->fail_at)
		ret = -ENOMEM;
	else if (process->fail_call == process->kill.seen && !process->fail_done)
		ret = process->fail_code;
	else
		ret = process->raw.ioctl(process->raw.ctx, fd, request, arg);
	if (process->fail_call && process->fail_call == process->kill.seen)
		ret = process->fail_code;
	assert_true(ret != -EBADF || cpr_was_failed(process));
	cpr_step(process, FAULT_CALL_IOCTL, true);
	return ret;
}

static inline long cpr_pread(void *ctx, int fd, uint64_t buf, uint64_t len, uint64_t offset)
{
	struct cpr_process *process = ctx;
	long ret;

	cpr_pass(process, FAULT_CALL_PREAD, false);
	ret = process->raw.pread(process->raw.ctx, fd, buf, len, offset);
	cpr_pass(process, FAULT_CALL_PREAD, true);
	return ret;
}

static inline long cpr_pwrite(void *ctx, int fd, uint64_t buf, uint64_t len, uint64_t offset)
{
	struct cpr_process *process = ctx;
	long ret;

	cpr_pass(process, FAULT_CALL_PWRITE, false);
	ret = process->raw.pwrite(process->raw.ctx, fd, buf, len, offset);
	cpr_pass(process, FAULT_CALL_PWRITE, true);
	return ret;
}

static inline long cpr_read(void *ctx, int fd, uint64_t buf, uint64_t len)
{
	struct cpr_process *process = ctx;
	long ret;

	cpr_pass(process, FAULT_CALL_READ, false);
	ret = process->raw.read(process->raw.ctx, fd, buf, len);
	cpr_pass(process, FAULT_CALL_READ, true);
	return ret;
}

static inline int cpr_connect(void *ctx, const char *path)
{
	struct cpr_process *process = ctx;
	int ret;

	cpr_pass(process, FAULT_CALL_CONNECT, false);
	ret = process->raw.connect(process->raw.ctx, path);
	cpr_pass(process, FAULT_CALL_CONNECT, true);
	return ret;
}

static inline long cpr_sendmsg(void *ctx, int fd, const void *bytes, uint64_t len, const int *fds,
			       uint32_t count)
{
	struct cpr_process *process = ctx;
	long ret;

	cpr_pass(process, FAULT_CALL_SENDMSG, false);
	ret = process->raw.sendmsg(process->raw.ctx, fd, bytes, len, fds, count);
	cpr_pass(process, FAULT_CALL_SENDMSG, true);
	return ret;
}

static inline long cpr_recvmsg(void *ctx, int fd, void *bytes, uint64_t len, int *fds,
			       uint32_t *count)
{
	struct cpr_process *process = ctx;
	long ret;

	cpr_pass(process, FAULT_CALL_RECVMSG, false);
	ret = process->raw.recvmsg(process->raw.ctx, fd, bytes, len, fds, count);
	cpr_pass(process, FAULT_CALL_RECVMSG, true);
	return ret;
}

static inline int cpr_poll(void *ctx, int fd, uint64_t ticks)
{
	struct cpr_process *process = ctx;
	int ret;

	cpr_pass(process, FAULT_CALL_POLL, false);
	ret = process->raw.poll(process->raw.ctx, fd, ticks);
	cpr_pass(process, FAULT_CALL_POLL, true);
	return ret;
}

static inline int cpr_mmap(void *ctx, uint64_t len, int prot, int fd, uint64_t offset,
			   uint64_t *addr)
{
	struct cpr_process *process = ctx;
	int ret;

	cpr_pass(process, FAULT_CALL_MMAP, false);
	ret = process->raw.mmap(process->raw.ctx, len, prot, fd, offset, addr);
	cpr_pass(process, FAULT_CALL_MMAP, true);
	return ret;
}

static inline int cpr_munmap(void *ctx, uint64_t addr, uint64_t len)
{
	struct cpr_process *process = ctx;
	int ret;

	cpr_pass(process, FAULT_CALL_MUNMAP, false);
	ret = process->raw.munmap(process->raw.ctx, addr, len);
	cpr_pass(process, FAULT_CALL_MUNMAP, true);
	return ret;
}

static inline int cpr_eventfd(void *ctx)
{
	struct cpr_process *process = ctx;
	int ret;

	cpr_step(process, FAULT_CALL_EVENTFD, false);
	ret = process->raw.eventfd(process->raw.ctx);
	cpr_step(process, FAULT_CALL_EVENTFD, true);
	return ret;
}

static inline struct cpr_process *cpr_process_of(void *ref)
{
	return (struct cpr_process *)(void *)((char *)ref - offsetof(struct cpr_process, ref));
}

static inline int cpr_register(void *ctx, const struct vfio_vmstate *state)
{
	struct cpr_process *process = cpr_process_of(ctx);
	int ret = stage_ask(process->machine->stage, FAULT_VMM_REGISTER_STATE);

	if (process->fail_register && !--process->fail_register)
		return -ENOMEM;
	return ret ? ret : process->plain.register_state(ctx, state);
}

static inline int cpr_forbid(void *ctx, bool forbid)
{
	struct cpr_process *process = cpr_process_of(ctx);
	int ret = forbid ? stage_ask(process->machine->stage, FAULT_VMM_FORBID_DISCARD) : 0;

	return ret ? ret : process->plain.forbid_discard(ctx, forbid);
}

static inline int cpr_block(void *ctx, const char *reason, uint32_t modes, uint64_t *blocker)
{
	struct cpr_process *process = cpr_process_of(ctx);
	int ret = stage_ask(process->machine->stage, FAULT_VMM_BLOCK_MIGRATION);

	return ret ? ret : process->plain.block_migration(ctx, reason, modes, blocker);
}

static inline void *cpr_alloc(void *ctx, size_t size)
{
	struct cpr_process *process = cpr_process_of(ctx);
	struct cpr_block *block;

	if (process->fail_alloc && !--process->fail_alloc)
		return NULL;
	if (stage_ask(process->machine->stage, FAULT_STACK_ALLOC))
		return NULL;
	block = calloc(1, sizeof(*block) + size);
	assert_non_null(block);
	block->next = process->heap;
	block->at = &process->heap;
	if (block->next)
		block->next->at = &block->next;
	process->heap = block;
	process->ref.blocks++;
	return block->bytes;
}

static inline void cpr_free(void *ctx, void *bytes)
{
	struct cpr_block *block =
		(struct cpr_block *)(void *)((char *)bytes - offsetof(struct cpr_block, bytes));

	((struct vfio_vmm_ref *)ctx)->blocks--;
	*block->at = block->next;
	if (block->next)
		block->next->at = block->at;
	free(block);
}

#endif
