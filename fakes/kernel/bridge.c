/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files whose memory or events are those of the program around the kernel, and the other way round.
 *
 * Imitates no code of Linux: to a task they are a memfd and an eventfd. Kept: pages live as long as
 * anybody has them mapped or pinned. Dropped: everything of a memfd that memory of others has not,
 * as sealing.
 */
#include <fcntl.h>
#include <vfake/bridge.h>

#include "kernel.h"

/* A part of some memory. */
struct memory_file {
	struct vfake_mem *mem;
	uint64_t offset;
	uint64_t size_bytes;
	enum vfake_area_kind kind;
};

static void memory_release(struct vfake_file *file)
{
	struct memory_file *memory = file->data;

	vfake_mem_put(memory->mem);
	vfake_free(file->kernel, memory);
}

static int memory_mmap(struct vfake_file *file, struct vfake_task *task, uint64_t len, int prot,
		       uint64_t offset, uint64_t *addr)
{
	const struct memory_file *memory = file->data;

	if (offset > memory->size_bytes || len > memory->size_bytes - offset)
		return -EINVAL;
	/* Bytes of the program cannot be at a second address of it, and far ones at none. */
	if (memory->mem->source && (task->mm->host_memory || !memory->mem->source->bytes))
		return -ENODEV;
	return vfake_mm_map(task->mm, memory->mem, memory->offset + offset, len, prot, memory->kind,
			    addr);
}

static const struct vfake_file_ops memory_ops = {
	.name = "memory",
	.release = memory_release,
	.mmap = memory_mmap,
};

static int new_file(struct vfake_task *task, const struct memory_file *as)
{
	struct memory_file *memory = vfake_alloc(task->kernel, sizeof(*memory));
	int fd;

	if (!memory)
		return -ENOMEM;
	*memory = *as;
	fd = vfake_fd_new(task, &memory_ops, memory);
	if (fd < 0)
		vfake_free(task->kernel, memory);
	return fd;
}

static bool is_whole(const struct vfake_kernel *kernel, uint64_t size_bytes)
{
	return size_bytes && !(size_bytes & (vfake_page_size(kernel) - 1));
}

/* The memory of the program, or NULL. */
static struct vfake_mem *new_mem(struct vfake_kernel *kernel, const struct vfake_memory *memory)
{
	struct vfake_memory *source = vfake_alloc(kernel, sizeof(*source));
	struct vfake_mem *mem = vfake_mem_new(kernel, memory->size_bytes);

	if (!source || !mem) {
		vfake_free(kernel, source);
		vfake_mem_put(mem);
		return NULL;
	}
	*source = *memory;
	mem->source = source;
	mem->foreign = true;
	mem->bytes = memory->bytes;
	return mem;
}

static int new_memory(struct vfake_task *task, const struct vfake_memory *memory)
{
	struct vfake_mem *mem;
	int fd;

	if (!is_whole(task->kernel, memory->size_bytes))
		return -EINVAL;
	mem = new_mem(task->kernel, memory);
	if (!mem)
		return -ENOMEM;
	fd = new_file(task, &(struct memory_file){ .mem = mem,
						   .size_bytes = memory->size_bytes,
						   .kind = VFAKE_AREA_MEMFD });
	if (fd < 0) {
		mem->source->release = NULL;
		vfake_mem_put(mem);
	}
	return fd;
}

struct vfake_mem *vfake_memory_mem(struct vfake_file *file)
{
	const struct memory_file *memory = file->data;

	if (file->ops != &memory_ops || !memory->mem->source)
		return NULL;
	return memory->mem;
}

static int new_share(struct vfake_task *task, vfake_addr addr, uint64_t len)
{
	const struct vfake_area *area = vfake_mm_find(task->mm, addr);
	struct memory_file memory;
	int fd;

	if (!is_whole(task->kernel, len) || (addr & (vfake_page_size(task->kernel) - 1)))
		return -EINVAL;
	if (!area || len - 1 > area->last - addr)
		return -EFAULT;
	memory = (struct memory_file){ .mem = area->mem,
				       .offset = area->offset + (addr - area->start),
				       .size_bytes = len,
				       .kind = area->kind };
	fd = new_file(task, &memory);
	if (fd >= 0)
		vfake_mem_get(memory.mem);
	return fd;
}

int vfake_memory_fd(struct vfake_task *task, const struct vfake_memory *memory)
{
	struct vfake_event event = { .task = task, .call = "memory_fd", .fd = -1 };

	return (int)vfake_leave(task->kernel, &event, new_memory(task, memory));
}

int vfake_share_fd(struct vfake_task *task, vfake_addr addr, uint64_t len)
{
	struct vfake_event event = { .task = task, .call = "share_fd", .fd = -1 };

	return (int)vfake_leave(task->kernel, &event, new_share(task, addr, len));
}

int vfake_host_fd(struct vfake_task *task, int fd, uint64_t *offset)
{
	struct vfake_file *file = vfake_fd_file(task, fd);
	const struct memory_file *memory;
	int copy;

	if (!file || file->ops != &memory_ops)
		return file ? -EINVAL : -EBADF;
	memory = file->data;
	if (memory->mem->share_fd < 0)
		return -ENODEV;
	*offset = memory->offset;
	copy = fcntl(memory->mem->share_fd, F_DUPFD_CLOEXEC, 0);
	return copy < 0 ? -errno : copy;
}

/* ---- eventfds ---- */

struct event_bridge {
	struct vfake_eventfd_watch watch; /* first */
	struct vfake_kernel *kernel;
	void (*signalled)(void *ctx);
	void (*closed)(void *ctx);
	void *ctx;
};

static void bridge_signalled(struct vfake_eventfd_watch *watch)
{
	struct event_bridge *bridge = (struct event_bridge *)watch;

	bridge->signalled(bridge->ctx);
}

static void bridge_closed(struct vfake_eventfd_watch *watch)
{
	struct event_bridge *bridge = (struct event_bridge *)watch;

	if (bridge->closed)
		bridge->closed(bridge->ctx);
	vfake_free(bridge->kernel, bridge);
}

static int new_bridge(struct vfake_task *task, void (*signalled)(void *ctx),
		      void (*closed)(void *ctx), void *ctx)
{
	struct event_bridge *bridge = vfake_alloc(task->kernel, sizeof(*bridge));
	struct vfake_eventfd *eventfd;
	int fd, error;

	if (!bridge)
		return -ENOMEM;
	fd = vfake_eventfd_new(task);
	if (fd < 0) {
		vfake_free(task->kernel, bridge);
		return fd;
	}
	bridge->kernel = task->kernel;
	bridge->signalled = signalled;
	bridge->closed = closed;
	bridge->ctx = ctx;
	bridge->watch.signalled = bridge_signalled;
	bridge->watch.closed = bridge_closed;
	eventfd = vfake_eventfd_get(task, fd, &error);
	vfake_eventfd_watch(eventfd, &bridge->watch);
	vfake_eventfd_put(eventfd);
	return fd;
}

int vfake_bridge_eventfd(struct vfake_task *task, void (*signalled)(void *ctx),
			 void (*closed)(void *ctx), void *ctx)
{
	struct vfake_event event = { .task = task, .call = "bridge_eventfd", .fd = -1 };

	return (int)vfake_leave(task->kernel, &event, new_bridge(task, signalled, closed, ctx));
}
