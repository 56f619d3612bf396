/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tasks, open files and descriptors.
 *
 * Imitates fs/file.c, fs/file_table.c and the locked-memory accounting of mm/util.c in Linux 7.2.
 *
 * Kept: open files are counted, dup() and passing one to another task add a reference, release()
 * runs when the last one goes; a new descriptor is the lowest free one; an exiting task closes its
 * descriptors in ascending order, then leaves its memory; charging locked memory is refused beyond
 * RLIMIT_MEMLOCK unless the charge bypasses it.
 *
 * Dropped: a file whose last reference goes inside a call is released at once; Linux does it on the
 * way back to the program, which the program cannot tell. RLIMIT_NOFILE is a constant.
 */
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

enum { MAX_DESCRIPTORS = 65536 };

const struct vfake_task_attr vfake_root = {
	.memlock_bytes = 8 * 1024 * 1024,
	.cap_ipc_lock = true,
	.cap_sys_rawio = true,
	.cap_sys_admin = true,
	.cap_sys_resource = true,
};

/* ---- files ---- */

struct vfake_file *vfake_file_new(struct vfake_kernel *kernel, const struct vfake_file_ops *ops,
				  void *data)
{
	struct vfake_file *file = vfake_alloc(kernel, sizeof(*file));

	if (!file)
		return NULL;
	file->kernel = kernel;
	file->ops = ops;
	file->data = data;
	file->refs = 1;
	kernel->ledger.open_files++;
	return file;
}

static void free_file(struct vfake_file *file)
{
	file->kernel->ledger.open_files--;
	vfake_free(file->kernel, file);
}

void vfake_file_get(struct vfake_file *file)
{
	file->refs++;
}

/* Inside of a call this is not the call any more: nothing can fail here. */
static void release_file(struct vfake_file *file)
{
	struct vfake_kernel *kernel = file->kernel;
	const struct vfake_fault_point *points = kernel->faults.points;

	kernel->faults.points = NULL;
	if (file->ops->release)
		file->ops->release(file);
	kernel->faults.points = points;
}

void vfake_file_put(struct vfake_file *file)
{
	if (--file->refs)
		return;
	release_file(file);
	free_file(file);
}

struct vfake_file *vfake_fd_file(const struct vfake_task *task, int fd)
{
	if (fd < 0 || fd >= task->file_space)
		return NULL;
	return task->files[fd];
}

static int grow_table(struct vfake_task *task)
{
	int space = task->file_space ? 2 * task->file_space : 16;
	struct vfake_file **files;

	if (task->file_space >= MAX_DESCRIPTORS)
		return -EMFILE;
	if (vfake_fault(task->kernel, VFAKE_FAULT_ALLOC))
		return -ENOMEM;
	files = realloc(task->files, (size_t)space * sizeof(struct vfake_file *));
	if (!files)
		return -ENOMEM;
	memset(files + task->file_space, 0,
	       (size_t)(space - task->file_space) * sizeof(struct vfake_file *));
	task->files = files;
	task->file_space = space;
	return 0;
}

int vfake_fd_install(struct vfake_task *task, struct vfake_file *file)
{
	int fd = task->lowest_free;
	int ret;

	while (fd < task->file_space && task->files[fd])
		fd++;
	if (fd == task->file_space) {
		ret = grow_table(task);
		if (ret)
			return ret;
	}
	task->files[fd] = file;
	task->lowest_free = fd + 1;
	task->kernel->ledger.descriptors++;
	return fd;
}

int vfake_fd_new(struct vfake_task *task, const struct vfake_file_ops *ops, void *data)
{
	struct vfake_file *file = vfake_file_new(task->kernel, ops, data);
	int fd;

	if (!file)
		return -ENOMEM;
	fd = vfake_fd_install(task, file);
	if (fd < 0)
		free_file(file);
	return fd;
}

int vfake_fd_close(struct vfake_task *task, int fd)
{
	struct vfake_file *file = vfake_fd_file(task, fd);

	if (!file)
		return -EBADF;
	task->files[fd] = NULL;
	if (fd < task->lowest_free)
		task->lowest_free = fd;
	task->kernel->ledger.descriptors--;
	vfake_file_put(file);
	return 0;
}

int vfake_close(struct vfake_task *task, int fd)
{
	struct vfake_event event = { .task = task, .call = "close", .fd = fd };

	return (int)vfake_leave(task->kernel, &event, vfake_fd_close(task, fd));
}

static int pass_fd(struct vfake_task *from, int fd, struct vfake_task *to)
{
	struct vfake_file *file = vfake_fd_file(from, fd);
	int new_fd;

	if (!file)
		return -EBADF;
	vfake_file_get(file);
	new_fd = vfake_fd_install(to, file);
	if (new_fd < 0)
		vfake_file_put(file);
	return new_fd;
}

int vfake_pass_fd(struct vfake_task *from, int fd, struct vfake_task *to)
{
	struct vfake_event event = { .task = from, .call = "pass_fd", .fd = fd, .to = to };
	int ret = vfake_enter(from, VFAKE_CALL_PASS_FD);

	if (!ret)
		ret = pass_fd(from, fd, to);
	return (int)vfake_leave(from->kernel, &event, ret);
}

int vfake_dup(struct vfake_task *task, int fd)
{
	struct vfake_event event = { .task = task, .call = "dup", .fd = fd };
	int ret = vfake_enter(task, VFAKE_CALL_DUP);

	if (!ret)
		ret = pass_fd(task, fd, task);
	return (int)vfake_leave(task->kernel, &event, ret);
}

/* ---- tasks ---- */

struct vfake_task *vfake_task_new(struct vfake_kernel *kernel, const struct vfake_task_attr *attr)
{
	struct vfake_task *task = vfake_alloc(kernel, sizeof(*task));

	if (!task)
		return NULL;
	task->kernel = kernel;
	task->attr = *attr;
	task->refs = 1;
	task->mm = vfake_mm_new(kernel, attr->host_memory);
	task->user = vfake_alloc(kernel, sizeof(*task->user));
	if (!task->mm || !task->user) {
		if (task->mm)
			vfake_mm_put(task->mm);
		vfake_free(kernel, task->user);
		vfake_free(kernel, task);
		return NULL;
	}
	task->user->kernel = kernel;
	task->user->refs = 1;
	LIST_INSERT_HEAD(&kernel->tasks, task, entry);
	return task;
}

void vfake_user_get(struct vfake_user *user)
{
	user->refs++;
}

void vfake_user_put(struct vfake_user *user)
{
	if (--user->refs)
		return;
	vfake_free(user->kernel, user);
}

void vfake_task_get(struct vfake_task *task)
{
	task->refs++;
}

void vfake_task_put(struct vfake_task *task)
{
	if (--task->refs)
		return;
	vfake_user_put(task->user);
	vfake_free(task->kernel, task);
}

void vfake_task_exit(struct vfake_task *task)
{
	struct vfake_event event = { .task = task, .call = "exit", .fd = -1 };

	for (int fd = 0; fd < task->file_space; fd++)
		vfake_fd_close(task, fd);
	free(task->files);
	task->files = NULL;
	task->file_space = 0;
	vfake_mm_put(task->mm);
	task->mm = NULL;
	LIST_REMOVE(task, entry);
	vfake_leave(task->kernel, &event, 0);
	vfake_task_put(task);
}

static bool is_kept(int fd, const int *keep, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (keep[i] == fd)
			return true;
	}
	return false;
}

int vfake_task_exec(struct vfake_task *task, const int *keep, size_t count)
{
	struct vfake_mm *mm = vfake_mm_new(task->kernel, task->attr.host_memory);
	struct vfake_event event = { .task = task, .call = "exec", .fd = -1 };

	if (!mm)
		return -ENOMEM;
	/* In Linux's order: first the memory, then the descriptors. */
	vfake_mm_put(task->mm);
	task->mm = mm;
	vfake_leave(task->kernel, &event, 0);
	for (int fd = 0; fd < task->file_space; fd++) {
		if (!is_kept(fd, keep, count))
			vfake_close(task, fd);
	}
	return 0;
}

int vfake_memlock(struct vfake_task *task, uint64_t bytes)
{
	struct vfake_event event = { .task = task, .call = "memlock", .fd = -1, .len = bytes };

	task->attr.memlock_bytes = bytes;
	task->attr.cap_ipc_lock = false;
	return (int)vfake_leave(task->kernel, &event, 0);
}

uint64_t vfake_memlock_pages(const struct vfake_task *task)
{
	return task->attr.memlock_bytes >> task->kernel->page_shift;
}

int vfake_charge_locked(struct vfake_mm *mm, uint64_t pages, const struct vfake_task *task,
			bool bypass)
{
	if (!bypass && pages && mm->locked_pages + pages > vfake_memlock_pages(task))
		return -ENOMEM;
	mm->locked_pages += pages;
	mm->kernel->ledger.locked_pages += pages;
	return 0;
}

void vfake_uncharge_locked(struct vfake_mm *mm, uint64_t pages)
{
	if (vfake_warn_on(mm->kernel, pages > mm->locked_pages))
		pages = mm->locked_pages;
	mm->locked_pages -= pages;
	mm->kernel->ledger.locked_pages -= pages;
}
