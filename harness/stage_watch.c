/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The seams of the stack, watched: every system call and some of what the VMM does pass here, may
 * be made to fail, and are held against the kernel's state. What must not be is noted and fails the
 * story at its end, because an assertion would jump out of the stack.
 */
#include <errno.h>
#include <string.h>

#include <uapi/iommufd.h>
#include <uapi/table.h>
#include <uapi/vfio.h>
#include <uapi/vfio_iommu.h>

#include "stage_internal.h"
#include "witness.h"

void stage_odd(struct stage *stage, const char *format, ...)
{
	va_list args;

	if (stage->own_oddities++)
		return;
	va_start(args, format);
	vsnprintf(stage->own_odd, sizeof(stage->own_odd), format, args);
	va_end(args);
}

/* A story about failures was made to see one: then the rules about failing calls do not hold. */
static bool faulty(const struct stage *stage)
{
	return stage->own_faulty || stage->fail_call.hit || stage->fail_alloc.hit;
}

/* ---- faults ---- */

/* 0, or the -errno that a point is to fail with. */
static int asked(void *ctx, const struct vfake_fault_point *point)
{
	struct stage *stage = ctx;
	int ret = stage->own_fault ? stage->own_fault(stage->own_sweep, point)
				   : fault_pass(stage->fault, point);

	stage->own_hit |= ret != 0;
	stage->own_faulty |= ret != 0;
	if (ret && point->row && point->row->where == UAPI_ON_USER)
		witness_told((int)(stage->backend - backends), point, ret);
	return ret;
}

int stage_ask(struct stage *stage, enum fault_side side)
{
	return asked(stage, fault_side_point(side));
}

static void look_at_model(struct stage *stage, const struct vfake_event *event)
{
	bool agreed = !*model_disagreement(stage->own_model);

	model_event(stage->own_model, event);
	if (agreed && *model_disagreement(stage->own_model))
		stage_odd(stage, "model: %s", model_disagreement(stage->own_model));
}

static void seen(void *ctx, const struct vfake_event *event)
{
	struct stage *stage = ctx;

	witness_see(stage->own_calling ? (int)(stage->backend - backends) : -1, event);
	look_at_model(stage, event);
	if (stage->own_event)
		stage->own_event(stage->own_sweep, event);
}

void stage_fail(struct stage *stage, const char *point, unsigned int nth, int code)
{
	assert_int_equal(fault_arm(stage->fault, point, nth, -code, false), 0);
}

bool stage_fail_none(struct stage *stage)
{
	fault_disarm(stage->fault);
	return fault_hits(stage->fault);
}

static bool fails(struct stage_fault *fault)
{
	if (++fault->seen != fault->at)
		return false;
	fault->hit = true;
	return true;
}

static bool call_fails(struct stage *stage, uint32_t request)
{
	struct stage_fault *fault = &stage->fail_call;

	return (!fault->request || fault->request == request) && fails(fault);
}

/* ---- system calls ---- */

static int watched_open(void *ctx, const char *path)
{
	struct stage *stage = ctx;

	return call_fails(stage, 0) ? stage->fail_call.code : stage->raw.open(stage->raw.ctx, path);
}

static void look_at_close(struct stage *stage, int fd)
{
	struct vfake_file_view view;

	if (vfake_view_file(stage->task, fd, &view)) {
		stage_odd(stage, "descriptor %d is closed, but it is not open", fd);
		return;
	}
	if (strcmp(view.kind, "group") || faulty(stage))
		return;
	if (view.in_container)
		stage_odd(stage, "a group is closed while it is in a container");
	if (view.devices > 1)
		stage_odd(stage, "a group is closed while a device of it is open");
}

static int watched_close(void *ctx, int fd)
{
	struct stage *stage = ctx;

	look_at_close(stage, fd);
	return stage->raw.close(stage->raw.ctx, fd);
}

static int watched_dup(void *ctx, int fd)
{
	struct stage *stage = ctx;

	return call_fails(stage, 0) ? stage->fail_call.code : stage->raw.dup(stage->raw.ctx, fd);
}

/* What takes down what was set up before: it can always be done. */
static bool takes_down(uint32_t request)
{
	switch (request) {
	case VFIO_GROUP_UNSET_CONTAINER:
	case VFIO_IOMMU_UNMAP_DMA:
	case VFIO_DEVICE_DETACH_IOMMUFD_PT: /* the number is VFIO_IOMMU_SPAPR_TCE_REMOVE, too */
	case IOMMU_IOAS_UNMAP:
	case IOMMU_DESTROY:
		return true;
	default:
		return false;
	}
}

/* What a call said that was not made to fail. */
static void look_at_result(struct stage *stage, uint32_t request, const void *arg, uint64_t size,
			   long ret)
{
	const struct vfio_iommu_type1_dma_unmap *unmap = arg;

	/* Memory that the kernel cannot pin, as a BAR, is a bad address, too. */
	if (ret == -EFAULT && request != IOMMU_IOAS_MAP && request != VFIO_IOMMU_MAP_DMA)
		stage_odd(stage, "request 0x%x: bad address", request);
	if (ret == -EBADF)
		stage_odd(stage, "request 0x%x on a descriptor that is not open", request);
	if (faulty(stage))
		return;
	if (request == IOMMU_IOAS_UNMAP && ret == -ENOENT && stage->own_unsure)
		return;
	if (takes_down(request) && ret < 0)
		stage_odd(stage, "request 0x%x takes down what is not there: %ld", request, ret);
	if (request == VFIO_IOMMU_UNMAP_DMA && !ret && unmap->size != size &&
	    !(unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL))
		stage_odd(stage, "an unmap at 0x%llx of 0x%llx bytes took 0x%llx away",
			  (unsigned long long)unmap->iova, (unsigned long long)size,
			  (unsigned long long)unmap->size);
}

static long watched_ioctl(void *ctx, int fd, uint32_t request, uint64_t arg)
{
	struct stage *stage = ctx;
	const void *pointer = (const void *)(uintptr_t)arg;
	uint64_t size = 0;
	long ret;

	if (call_fails(stage, request))
		return stage->fail_call.code;
	if (request == VFIO_IOMMU_UNMAP_DMA)
		size = ((const struct vfio_iommu_type1_dma_unmap *)pointer)->size;
	stage->own_hit = false;
	stage->own_calling = true;
	ret = stage->raw.ioctl(stage->raw.ctx, fd, request, arg);
	stage->own_calling = false;
	if (!stage->own_hit)
		look_at_result(stage, request, pointer, size, ret);
	stage->own_unsure =
		ret == -EFAULT && (request == IOMMU_IOAS_MAP || request == IOMMU_IOAS_MAP_FILE);
	return ret;
}

static long watched_pread(void *ctx, int fd, uint64_t buf, uint64_t len, uint64_t offset)
{
	struct stage *stage = ctx;

	return stage->raw.pread(stage->raw.ctx, fd, buf, len, offset);
}

static long watched_pwrite(void *ctx, int fd, uint64_t buf, uint64_t len, uint64_t offset)
{
	struct stage *stage = ctx;

	return stage->raw.pwrite(stage->raw.ctx, fd, buf, len, offset);
}

static long watched_read(void *ctx, int fd, uint64_t buf, uint64_t len)
{
	struct stage *stage = ctx;

	return stage->raw.read(stage->raw.ctx, fd, buf, len);
}

static long watched_write(void *ctx, int fd, uint64_t buf, uint64_t len)
{
	struct stage *stage = ctx;

	return stage->raw.write(stage->raw.ctx, fd, buf, len);
}

static int watched_mmap(void *ctx, uint64_t len, int prot, int fd, uint64_t offset, uint64_t *addr)
{
	struct stage *stage = ctx;
	int ret = stage->fail_call.code;

	if (!call_fails(stage, 0))
		ret = stage->raw.mmap(stage->raw.ctx, len, prot, fd, offset, addr);
	stage->own_map_bytes += ret ? 0 : len;
	return ret;
}

static int watched_munmap(void *ctx, uint64_t addr, uint64_t len)
{
	struct stage *stage = ctx;
	int ret = stage->raw.munmap(stage->raw.ctx, addr, len);

	if (ret)
		stage_odd(stage, "munmap() of what is not mapped");
	stage->own_map_bytes -= len;
	return ret;
}

static int watched_eventfd(void *ctx)
{
	struct stage *stage = ctx;

	return call_fails(stage, 0) ? stage->fail_call.code : stage->raw.eventfd(stage->raw.ctx);
}

/* ---- sockets ---- */

static int watched_connect(void *ctx, const char *path)
{
	struct stage *stage = ctx;

	return call_fails(stage, 0) ? stage->fail_call.code
				    : stage->raw.connect(stage->raw.ctx, path);
}

static long watched_sendmsg(void *ctx, int fd, const void *bytes, uint64_t len, const int *fds,
			    uint32_t fd_count)
{
	struct stage *stage = ctx;
	long ret;

	if (call_fails(stage, 0))
		return stage->fail_call.code;
	ret = stage->raw.sendmsg(stage->raw.ctx, fd, bytes, len, fds, fd_count);
	if (ret == -EBADF)
		stage_odd(stage, "a message with a descriptor that is not open");
	return ret;
}

static long watched_recvmsg(void *ctx, int fd, void *bytes, uint64_t len, int *fds,
			    uint32_t *fd_count)
{
	struct stage *stage = ctx;

	return stage->raw.recvmsg(stage->raw.ctx, fd, bytes, len, fds, fd_count);
}

static int watched_poll(void *ctx, int fd, uint64_t ticks)
{
	struct stage *stage = ctx;

	return stage->raw.poll(stage->raw.ctx, fd, ticks);
}

/* ---- the VMM ---- */

static struct stage *stage_of(void *ref)
{
	return (struct stage *)(void *)((char *)ref - offsetof(struct stage, ref));
}

/* In front of each block: how large it is. The block keeps malloc()'s alignment. */
enum { BLOCK_HEAD = 16, GONE = 0xdb, GONE_BYTES = 16384 };

static void *watched_alloc(void *ctx, size_t size)
{
	struct stage *stage = stage_of(ctx);
	char *head = NULL;

	if (!stage_ask(stage, FAULT_STACK_ALLOC) && !fails(&stage->fail_alloc))
		head = stage->own_ref_vmm.alloc(ctx, BLOCK_HEAD + size);
	if (!head)
		return NULL;
	memcpy(head, &size, sizeof(size));
	return head + BLOCK_HEAD;
}

/*
 * Who reads it once more is not to find what was there. Of a block for messages that is only as
 * much as messages commonly use: the rest was hardly ever touched.
 */
static void watched_free(void *ctx, void *block)
{
	struct stage *stage = stage_of(ctx);
	char *head = (char *)block - BLOCK_HEAD;
	size_t size;

	memcpy(&size, head, sizeof(size));
	memset(block, GONE, size < GONE_BYTES ? size : GONE_BYTES);
	stage->own_ref_vmm.free(ctx, head);
}

static void *memory_watched_alloc(void *ctx, size_t size)
{
	struct stage *stage =
		(struct stage *)(void *)((char *)ctx - offsetof(struct stage, own_memory_ref));

	return stage_ask(stage, FAULT_MEMORY_ALLOC) ? NULL
						    : stage->own_memory_ref_vmm.alloc(ctx, size);
}

static int watched_forbid_discard(void *ctx, bool forbid)
{
	struct stage *stage = stage_of(ctx);
	uint64_t pinned;
	int ret = forbid ? stage_ask(stage, FAULT_VMM_FORBID_DISCARD) : 0;

	if (ret)
		return ret;
	stage_user_settle(stage);
	pinned = vfake_ledger(stage->kernel).pinned_pages;
	if (!forbid && !stage->ref.discard_forbidden)
		stage_odd(stage, "discarding is allowed more often than it was forbidden");
	if (!forbid && stage->ref.discard_forbidden == 1 && pinned && !faulty(stage))
		stage_odd(stage, "discarding is allowed while %llu pages are pinned",
			  (unsigned long long)pinned);
	return stage->own_ref_vmm.forbid_discard(ctx, forbid);
}

static int watched_block(void *ctx, const char *reason, uint32_t modes, uint64_t *blocker)
{
	struct stage *stage = stage_of(ctx);
	int ret = stage_ask(stage, FAULT_VMM_BLOCK_MIGRATION);

	return ret ? ret : stage->own_ref_vmm.block_migration(ctx, reason, modes, blocker);
}

static int watched_register(void *ctx, const struct vfio_vmstate *state)
{
	struct stage *stage = stage_of(ctx);
	int ret = stage_ask(stage, FAULT_VMM_REGISTER_STATE);

	return ret ? ret : stage->own_ref_vmm.register_state(ctx, state);
}

static void watched_unblock(void *ctx, uint64_t blocker)
{
	struct stage *stage = stage_of(ctx);
	uint32_t before = stage->ref.blocker_count;

	stage->own_ref_vmm.unblock_migration(ctx, blocker);
	if (stage->ref.blocker_count == before)
		stage_odd(stage, "migration is unblocked by a blocker that is not there");
}

static void watched_unregister(void *ctx, const struct vfio_vmstate *state)
{
	struct stage *stage = stage_of(ctx);
	uint32_t before = stage->ref.state_count;

	stage->own_ref_vmm.unregister_state(ctx, state);
	if (stage->ref.state_count == before)
		stage_odd(stage, "state is unregistered that is not registered");
}

void stage_watch(struct stage *stage)
{
	vfake_set_fault_hook(stage->kernel, asked, stage);
	vfake_set_event_hook(stage->kernel, seen, stage);
	stage->sys = stage->raw;
	stage->sys.ctx = stage;
	stage->sys.open = watched_open;
	stage->sys.close = watched_close;
	stage->sys.dup = watched_dup;
	stage->sys.ioctl = watched_ioctl;
	stage->sys.pread = watched_pread;
	stage->sys.pwrite = watched_pwrite;
	stage->sys.read = watched_read;
	stage->sys.write = watched_write;
	stage->sys.mmap = watched_mmap;
	stage->sys.munmap = watched_munmap;
	stage->sys.eventfd = watched_eventfd;
	stage->sys.connect = watched_connect;
	stage->sys.sendmsg = watched_sendmsg;
	stage->sys.recvmsg = watched_recvmsg;
	stage->sys.poll = watched_poll;
	/* The stack makes no files and lowers no limit; should it ever, let it be seen. */
	stage->sys.memfd = NULL;
	stage->sys.memlock = NULL;
	vfio_vmm_ref(&stage->ref, &stage->own_ref_vmm);
	stage->vmm = stage->own_ref_vmm;
	stage->vmm.alloc = watched_alloc;
	stage->vmm.free = watched_free;
	stage->vmm.forbid_discard = watched_forbid_discard;
	stage->vmm.block_migration = watched_block;
	stage->vmm.unblock_migration = watched_unblock;
	stage->vmm.register_state = watched_register;
	stage->vmm.unregister_state = watched_unregister;
	vfio_vmm_ref(&stage->own_memory_ref, &stage->own_memory_ref_vmm);
	stage->own_memory_vmm = stage->own_memory_ref_vmm;
	stage->own_memory_vmm.alloc = memory_watched_alloc;
}
