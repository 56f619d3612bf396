/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that come from no device node: eventfds and memfds; and memory that comes from no file.
 *
 * Imitates fs/eventfd.c, mm/memfd.c and the part of mm/mmap.c that picks an address, Linux 7.2.
 *
 * Kept: a non-blocking eventfd counts signals and tells who watches it, a read takes the whole
 * count or is EAGAIN, a write adds and refuses 2^64-1; a memfd has pages that outlive its mappings.
 *
 * Dropped: nothing blocks; a memfd cannot be resized or sealed; read() and write() of a memfd,
 * which no user of VFIO needs.
 */
#include <string.h>

#include "kernel.h"

/* ---- eventfd ---- */

struct vfake_eventfd {
	struct vfake_kernel *kernel;
	uint32_t refs; /* the file's one included */
	uint64_t count;
	bool waking; /* a signal that a watcher sends meanwhile only counts */
	LIST_HEAD(, vfake_eventfd_watch) watches;
};

static void eventfd_wake(struct vfake_eventfd *eventfd)
{
	struct vfake_eventfd_watch *watch = LIST_FIRST(&eventfd->watches);

	if (eventfd->waking)
		return;
	eventfd->waking = true;
	while (watch) {
		struct vfake_eventfd_watch *next = LIST_NEXT(watch, entry);

		eventfd->count = 0;
		watch->signalled(watch);
		watch = next;
	}
	eventfd->waking = false;
}

static void eventfd_release(struct vfake_file *file)
{
	struct vfake_eventfd *eventfd = file->data;
	struct vfake_eventfd_watch *watch;

	while ((watch = LIST_FIRST(&eventfd->watches))) {
		vfake_eventfd_unwatch(watch);
		watch->closed(watch);
	}
	vfake_eventfd_put(eventfd);
}

static long eventfd_read(struct vfake_file *file, struct vfake_task *task, uint64_t buf,
			 uint64_t len)
{
	struct vfake_eventfd *eventfd = file->data;
	uint64_t count = eventfd->count;

	if (len < sizeof(count))
		return -EINVAL;
	if (!count)
		return -EAGAIN;
	eventfd->count = 0;
	return vfake_user_write(task, buf, &count, sizeof(count)) ? -EFAULT : (long)sizeof(count);
}

static long eventfd_write(struct vfake_file *file, struct vfake_task *task, uint64_t buf,
			  uint64_t len)
{
	struct vfake_eventfd *eventfd = file->data;
	uint64_t add;

	if (len != sizeof(add))
		return -EINVAL;
	if (vfake_user_read(task, &add, buf, sizeof(add)))
		return -EFAULT;
	if (add == UINT64_MAX)
		return -EINVAL;
	if (add >= UINT64_MAX - eventfd->count)
		return -EAGAIN;
	eventfd->count += add;
	eventfd_wake(eventfd);
	return (long)sizeof(add);
}

static const struct vfake_file_ops eventfd_ops = {
	.name = "eventfd",
	.release = eventfd_release,
	.read = eventfd_read,
	.write = eventfd_write,
};

int vfake_eventfd_new(struct vfake_task *task)
{
	struct vfake_eventfd *eventfd = vfake_alloc(task->kernel, sizeof(*eventfd));
	int fd;

	if (!eventfd)
		return -ENOMEM;
	eventfd->kernel = task->kernel;
	eventfd->refs = 1;
	LIST_INIT(&eventfd->watches);
	fd = vfake_fd_new(task, &eventfd_ops, eventfd);
	if (fd < 0)
		vfake_free(task->kernel, eventfd);
	return fd;
}

int vfake_eventfd(struct vfake_task *task)
{
	struct vfake_event event = { .task = task, .call = "eventfd", .fd = -1 };
	int ret = vfake_enter(task, VFAKE_CALL_EVENTFD);

	if (!ret)
		ret = vfake_eventfd_new(task);
	return (int)vfake_leave(task->kernel, &event, ret);
}

struct vfake_eventfd *vfake_eventfd_get(struct vfake_task *task, int fd, int *error)
{
	struct vfake_file *file = vfake_fd_file(task, fd);
	struct vfake_eventfd *eventfd;

	if (!file || file->ops != &eventfd_ops) {
		*error = file ? -EINVAL : -EBADF;
		return NULL;
	}
	eventfd = file->data;
	eventfd->refs++;
	return eventfd;
}

void vfake_eventfd_put(struct vfake_eventfd *eventfd)
{
	if (eventfd && !--eventfd->refs)
		vfake_free(eventfd->kernel, eventfd);
}

void vfake_eventfd_signal(struct vfake_eventfd *eventfd)
{
	if (eventfd->count < UINT64_MAX)
		eventfd->count++;
	eventfd_wake(eventfd);
}

bool vfake_eventfd_readable(const struct vfake_file *file)
{
	const struct vfake_eventfd *eventfd = file->data;

	return file->ops != &eventfd_ops || eventfd->count;
}

bool vfake_eventfd_watch(struct vfake_eventfd *eventfd, struct vfake_eventfd_watch *watch)
{
	eventfd->refs++;
	watch->eventfd = eventfd;
	LIST_INSERT_HEAD(&eventfd->watches, watch, entry);
	return eventfd->count > 0;
}

void vfake_eventfd_unwatch(struct vfake_eventfd_watch *watch)
{
	if (!watch->eventfd)
		return;
	LIST_REMOVE(watch, entry);
	vfake_eventfd_put(watch->eventfd);
	watch->eventfd = NULL;
}

/* ---- memfd ---- */

static void memfd_release(struct vfake_file *file)
{
	vfake_mem_put(file->data);
}

static int memfd_mmap(struct vfake_file *file, struct vfake_task *task, uint64_t len, int prot,
		      uint64_t offset, uint64_t *addr)
{
	struct vfake_mem *mem = file->data;

	if (offset > mem->size_bytes || len > mem->size_bytes - offset)
		return -EINVAL; /* Linux maps and sends SIGBUS on touch; here it is refused at once
				 */
	return vfake_mm_map(task->mm, mem, offset, len, prot, VFAKE_AREA_MEMFD, addr);
}

static const struct vfake_file_ops memfd_ops = {
	.name = "memfd",
	.release = memfd_release,
	.mmap = memfd_mmap,
};

static int new_memfd(struct vfake_task *task, uint64_t len)
{
	uint64_t page_mask = vfake_page_size(task->kernel) - 1;
	struct vfake_mem *mem;
	int fd;

	if (len > UINT64_MAX - page_mask)
		return -ENOMEM;
	mem = vfake_mem_new(task->kernel, (len + page_mask) & ~page_mask);
	if (!mem)
		return -ENOMEM;
	fd = vfake_fd_new(task, &memfd_ops, mem);
	if (fd < 0)
		vfake_mem_put(mem);
	return fd;
}

int vfake_memfd(struct vfake_task *task, uint64_t len)
{
	struct vfake_event event = { .task = task, .call = "memfd", .fd = -1, .len = len };
	int ret = vfake_enter(task, VFAKE_CALL_MEMFD);

	if (!ret)
		ret = new_memfd(task, len);
	return (int)vfake_leave(task->kernel, &event, ret);
}

struct vfake_mem *vfake_memfd_mem(struct vfake_file *file)
{
	return file->ops == &memfd_ops ? file->data : vfake_memory_mem(file);
}

/* ---- mmap ---- */

static int map_anonymous(struct vfake_task *task, uint64_t len, int prot, uint32_t page_shift,
			 uint64_t *addr)
{
	struct vfake_mem *mem = vfake_mem_new(task->kernel, len);
	int ret;

	if (!mem)
		return -ENOMEM;
	mem->page_shift = page_shift;
	ret = vfake_mm_map(task->mm, mem, 0, len, prot, VFAKE_AREA_ANON, addr);
	vfake_mem_put(mem);
	return ret;
}

static int map(struct vfake_task *task, uint64_t len, int prot, int fd, uint64_t offset,
	       vfake_addr *addr)
{
	uint64_t page_mask = vfake_page_size(task->kernel) - 1;
	struct vfake_file *file;

	if (!len || (offset & page_mask) || (prot & ~(VFAKE_PROT_READ | VFAKE_PROT_WRITE)))
		return -EINVAL;
	if (len > task->kernel->world.ram_bytes || len > UINT64_MAX - page_mask)
		return -ENOMEM;
	len = (len + page_mask) & ~page_mask;
	if (fd == -1)
		return map_anonymous(task, len, prot, task->kernel->page_shift, addr);
	file = vfake_fd_file(task, fd);
	if (!file)
		return -EBADF;
	if (!file->ops->mmap)
		return -ENODEV;
	return file->ops->mmap(file, task, len, prot, offset, addr);
}

int vfake_mmap(struct vfake_task *task, uint64_t len, int prot, int fd, uint64_t offset,
	       vfake_addr *addr)
{
	struct vfake_event event = {
		.task = task, .call = "mmap", .fd = fd, .len = len, .offset = offset
	};
	int ret = vfake_enter(task, VFAKE_CALL_MMAP);

	if (!ret)
		ret = map(task, len, prot, fd, offset, addr);
	if (!ret)
		event.addr = *addr;
	return (int)vfake_leave(task->kernel, &event, ret);
}

static int map_huge(struct vfake_task *task, uint64_t len, int prot, uint64_t page_bytes,
		    vfake_addr *addr)
{
	if (page_bytes <= vfake_page_size(task->kernel) || (page_bytes & (page_bytes - 1)) ||
	    page_bytes > VFAKE_HUGE_PAGE_MAX)
		return -EINVAL;
	if (!len || (len & (page_bytes - 1)) || (prot & ~(VFAKE_PROT_READ | VFAKE_PROT_WRITE)))
		return -EINVAL;
	if (len > task->kernel->world.ram_bytes)
		return -ENOMEM;
	return map_anonymous(task, len, prot, (uint32_t)__builtin_ctzll(page_bytes), addr);
}

int vfake_mmap_huge(struct vfake_task *task, uint64_t len, int prot, uint64_t page_bytes,
		    vfake_addr *addr)
{
	struct vfake_event event = { .task = task, .call = "mmap", .fd = -1, .len = len };
	int ret = vfake_enter(task, VFAKE_CALL_MMAP);

	if (!ret)
		ret = map_huge(task, len, prot, page_bytes, addr);
	if (!ret)
		event.addr = *addr;
	return (int)vfake_leave(task->kernel, &event, ret);
}

int vfake_munmap(struct vfake_task *task, vfake_addr addr, uint64_t len)
{
	struct vfake_event event = {
		.task = task, .call = "munmap", .fd = -1, .addr = addr, .len = len
	};

	return (int)vfake_leave(task->kernel, &event, vfake_mm_unmap(task->mm, addr, len));
}

int vfake_poke(struct vfake_task *task, vfake_addr addr, const void *bytes, uint64_t len)
{
	return vfake_mm_write(task->mm, addr, bytes, len);
}

int vfake_peek(struct vfake_task *task, vfake_addr addr, void *bytes, uint64_t len)
{
	return vfake_mm_read(task->mm, bytes, addr, len);
}
