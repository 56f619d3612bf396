/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model's life, its way through an event, processes and their descriptors.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_internal.h"

enum { COMPARE_ALL_EVERY = 256 };

/* ---- life ---- */

static bool add_group(struct model *m, const struct vfake_device_desc *desc)
{
	for (size_t i = 0; i < m->group_count; i++) {
		if (m->groups[i].number == desc->group && m->groups[i].noiommu == desc->noiommu)
			return true;
	}
	m->groups[m->group_count++] = (struct model_group){ .number = desc->group,
							    .noiommu = desc->noiommu,
							    .file = -1,
							    .container = -1,
							    .iommufd = -1,
							    .vm = -1 };
	return true;
}

static int group_of(const struct model *m, const struct vfake_device_desc *desc)
{
	int group = 0;

	while (m->groups[group].number != desc->group || m->groups[group].noiommu != desc->noiommu)
		group++;
	return group;
}

static void add_device(struct model *m, const struct vfake_device_desc *desc)
{
	add_group(m, desc);
	m->devices[m->device_count++] = (struct model_device){ .name = desc->name,
							       .group = group_of(m, desc),
							       .iommufd = -1,
							       .vm = -1,
							       .stream = -1,
							       .irq_index = 5,
							       .migration = UINT32_MAX };
}

struct model *model_new(const struct vfake_kernel *kernel)
{
	const struct vfake_world *world = vfake_view_world(kernel);
	struct model *m = calloc(1, sizeof(*m));
	size_t count = world->device_count + 1;

	if (!m)
		return NULL;
	m->groups = calloc(count, sizeof(*m->groups));
	m->devices = calloc(count, sizeof(*m->devices));
	if (!m->groups || !m->devices) {
		model_free(m);
		return NULL;
	}
	m->kernel = kernel;
	m->world = world;
	m->page = world->page_size_bytes;
	m->page_shift = (uint32_t)__builtin_ctz(world->page_size_bytes);
	for (uint32_t i = 0; i < world->device_count; i++)
		add_device(m, &world->devices[i]);
	return m;
}

void model_free(struct model *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->tasks_count; i++)
		free(m->tasks[i].fds);
	for (size_t i = 0; i < m->spaces_count; i++) {
		free(m->spaces[i].mappings);
		free(m->spaces[i].allowed);
	}
	for (size_t i = 0; i < m->iommufds_count; i++)
		free(m->iommufds[i].objects);
	for (size_t i = 0; i < m->vms_count; i++)
		free(m->vms[i].files);
	for (size_t i = 0; i < m->device_count; i++)
		free(m->devices[i].pasids);
	free(m->tasks);
	free(m->files);
	free(m->containers);
	free(m->iommufds);
	free(m->spaces);
	free(m->pages);
	free(m->vms);
	free(m->regions);
	free(m->registrations);
	free(m->groups);
	free(m->devices);
	free(m);
}

bool model_room(struct model *m, void *array, size_t *space, size_t count, size_t item_bytes)
{
	size_t room = *space ? 2 * *space : 8;
	char *old, *grown;

	memcpy(&old, array, sizeof(old));
	if (count < *space) {
		memset(old + count * item_bytes, 0, item_bytes);
		return true;
	}
	grown = realloc(old, room * item_bytes);
	if (!grown) {
		model_says(m, "the model has no memory left");
		return false;
	}
	memset(grown + count * item_bytes, 0, item_bytes);
	memcpy(array, &grown, sizeof(grown));
	*space = room;
	return true;
}

/* ---- disagreements ---- */

static void say_call(struct model *m, char *text, size_t size_bytes)
{
	const struct vfake_event *event = m->event;

	if (!event)
		snprintf(text, size_bytes, "when all was compared");
	else
		snprintf(text, size_bytes, "call %llu, %s%s%s(%d%s%s) = %ld%s%s",
			 (unsigned long long)m->events, event->call, event->row ? " " : "",
			 event->row ? event->row->name : "", event->fd, event->path ? ", " : "",
			 event->path ? event->path : "", event->ret,
			 event->fault ? ", made to fail at " : "",
			 event->fault ? event->fault->name : "");
}

void model_says(struct model *m, const char *format, ...)
{
	va_list args;
	size_t used;

	if (m->stopped)
		return;
	m->stopped = true;
	say_call(m, m->text, sizeof(m->text) / 2);
	used = strlen(m->text);
	used += (size_t)snprintf(m->text + used, sizeof(m->text) - used, ": ");
	va_start(args, format);
	vsnprintf(m->text + used, sizeof(m->text) - used, format, args);
	va_end(args);
}

const char *model_disagreement(const struct model *m)
{
	return m->text;
}

bool model_expect(struct model *m, long ret)
{
	if (m->event->ret == ret)
		return true;
	if (!m->event->fault)
		model_says(m, "the model expects %ld", ret);
	return false;
}

bool model_agrees(struct model *m)
{
	m->event = NULL;
	if (!m->stopped)
		model_compare_all(m);
	return !m->stopped;
}

/* ---- processes and descriptors ---- */

static int find_task(const struct model *m, const struct vfake_task *task)
{
	size_t at = m->tasks_count;

	while (at && (!m->tasks[at - 1].live || m->tasks[at - 1].task != task))
		at--;
	return (int)at - 1;
}

int model_task(struct model *m, const struct vfake_task *task)
{
	int known = find_task(m, task);
	struct vfake_task_view view;

	if (known >= 0)
		return known;
	if (!model_room(m, &m->tasks, &m->tasks_space, m->tasks_count, sizeof(*m->tasks)))
		return -1;
	vfake_view_task(task, &view);
	m->tasks[m->tasks_count] = (struct model_task){
		.task = task, .live = true, .attr = view.attr, .user = (int)m->tasks_count
	};
	return (int)m->tasks_count++;
}

int model_fd(const struct model *m, int task, int fd)
{
	const struct model_task *t = &m->tasks[task];

	return fd < 0 || (size_t)fd >= t->fd_space ? -1 : t->fds[fd];
}

static bool grow_fds(struct model *m, struct model_task *t, size_t fd)
{
	size_t space = t->fd_space ? t->fd_space : 16;
	int *fds;

	if (fd < t->fd_space)
		return true;
	while (space <= fd)
		space *= 2;
	fds = realloc(t->fds, space * sizeof(*fds));
	if (!fds) {
		model_says(m, "the model has no memory left");
		return false;
	}
	for (size_t i = t->fd_space; i < space; i++)
		fds[i] = -1;
	t->fds = fds;
	t->fd_space = space;
	return true;
}

static size_t lowest_fd(const struct model_task *t)
{
	size_t fd = 0;

	while (fd < t->fd_space && t->fds[fd] >= 0)
		fd++;
	return fd;
}

void model_install(struct model *m, int task, long fd, int file)
{
	struct model_task *t = &m->tasks[task];

	if (file < 0)
		return;
	if (fd < 0 || (size_t)fd != lowest_fd(t)) {
		model_says(m, "the new descriptor is %ld, the lowest free one is %zu", fd,
			   lowest_fd(t));
		return;
	}
	if (!grow_fds(m, t, (size_t)fd))
		return;
	t->fds[fd] = file;
	m->descriptors++;
	model_file_get(m, file);
}

static void close_fd(struct model *m, int task, size_t fd)
{
	int file = m->tasks[task].fds[fd];

	if (file < 0)
		return;
	m->tasks[task].fds[fd] = -1;
	m->descriptors--;
	model_file_put(m, file);
}

static void memory_ends(struct model *m, int task)
{
	m->tasks[task].live = false;
	m->mourning = true;
}

static void task_ends(struct model *m, int task)
{
	for (size_t fd = 0; fd < m->tasks[task].fd_space; fd++)
		close_fd(m, task, fd);
	memory_ends(m, task);
}

/* New memory, to which nothing is charged; the descriptors and the user stay. */
static void task_execs(struct model *m, int task)
{
	int heir;

	memory_ends(m, task);
	heir = model_task(m, m->event->task);
	if (heir < 0)
		return;
	m->tasks[heir].user = m->tasks[task].user;
	m->tasks[heir].fds = m->tasks[task].fds;
	m->tasks[heir].fd_space = m->tasks[task].fd_space;
	m->tasks[task].fds = NULL;
	m->tasks[task].fd_space = 0;
}

/* ---- what a call means ---- */

bool model_load(const struct model *m, uint64_t addr, void *bytes, uint64_t len)
{
	return !vfake_view_load(m->event->task, addr, bytes, len);
}

static bool is_writable(const struct model *m, uint64_t addr, uint64_t len)
{
	struct vfake_memory_view view;

	while (len) {
		if (vfake_view_memory(m->event->task, addr, &view) || !view.writable)
			return false;
		if (view.last - addr >= len - 1)
			return true;
		len -= view.last - addr + 1;
		addr = view.last + 1;
	}
	return true;
}

bool model_copyout_failed(const struct model *m)
{
	const struct vfake_event *event = m->event;

	if (event->ret != -EFAULT || !event->out)
		return false;
	if (event->fault)
		return event->fault->stage == VFAKE_FAULT_COPYOUT;
	return event->row && event->row->arg && (event->row->arg->dirs & UAPI_OUT) &&
	       !is_writable(m, event->arg, event->row->min_size_bytes);
}

bool model_done(const struct model *m)
{
	return m->event->ret >= 0 || model_copyout_failed(m);
}

void model_touch(struct model *m, int space, uint64_t iova, uint64_t last)
{
	m->touched_space = space;
	m->touched_iova = iova;
	m->touched_last = last;
}

/* ---- calls ---- */

static void on_ioctl(struct model *m, int task, int file)
{
	const struct uapi_ioctl *row = m->event->row;

	if (file < 0) {
		model_expect(m, -EBADF);
		return;
	}
	if (!row || !m->event->out)
		return; /* its handler did not run: nothing can have changed */
	switch (row->where) {
	case UAPI_ON_CONTAINER:
		model_on_container(m, task, m->files[file].of);
		break;
	case UAPI_ON_TYPE1:
		model_on_type1(m, task, m->files[file].of);
		break;
	case UAPI_ON_SPAPR:
		model_on_spapr(m, task, m->files[file].of);
		break;
	case UAPI_ON_GROUP:
		model_on_group(m, task, m->files[file].of);
		break;
	case UAPI_ON_DEVICE:
		model_on_device(m, task, file);
		break;
	case UAPI_ON_IOMMUFD:
		model_on_iommufd(m, task, m->files[file].of);
		break;
	case UAPI_ON_KVM:
		model_on_kvm(m, task, file);
		break;
	case UAPI_ON_KVM_VM:
		model_on_vm(m, task, file);
		break;
	case UAPI_ON_KVM_DEVICE:
		model_on_kvm_device(m, task, file);
		break;
	default:
		break;
	}
}

static void on_dup(struct model *m, int file, int to)
{
	if (file < 0)
		model_expect(m, -EBADF);
	else if (m->event->ret >= 0)
		model_install(m, to, m->event->ret, file);
}

static void on_close(struct model *m, int task, int file)
{
	if (file < 0) {
		model_expect(m, -EBADF);
		return;
	}
	if (!model_expect(m, 0))
		return;
	close_fd(m, task, (size_t)m->event->fd);
}

static void on_new_file(struct model *m, int task, enum model_kind kind)
{
	if (m->event->ret >= 0)
		model_install(m, task, m->event->ret, model_file_new(m, kind, -1));
}

/* A call that the model does not know may have brought descriptors: it takes over what is there. */
static void adopt(struct model *m, int task)
{
	const struct vfake_task *t = m->event->task;

	m->in_flight = true;
	for (int fd = vfake_view_next_fd(t, 0); fd >= 0; fd = vfake_view_next_fd(t, fd + 1)) {
		struct vfake_file_view view;
		int file = -1;

		if (model_fd(m, task, fd) >= 0 || vfake_view_file(t, fd, &view))
			continue;
		for (size_t i = 0; i < m->files_count && file < 0; i++) {
			if (m->files[i].kind != MODEL_FREE && m->files[i].id == view.id)
				file = (int)i;
		}
		model_install(m, task, fd, file < 0 ? model_file_new(m, MODEL_OTHER, -1) : file);
	}
}

static bool is(const struct model *m, const char *call)
{
	return !strcmp(m->event->call, call);
}

static void fold_in(struct model *m, int task)
{
	const struct vfake_event *event = m->event;
	int file = model_fd(m, task, event->fd);

	if (is(m, "ioctl"))
		on_ioctl(m, task, file);
	else if (is(m, "open"))
		model_open(m, task);
	else if (is(m, "close"))
		on_close(m, task, file);
	else if (is(m, "dup"))
		on_dup(m, file, task);
	else if (is(m, "pass_fd"))
		on_dup(m, file, event->to ? model_task(m, event->to) : task);
	else if (is(m, "eventfd"))
		on_new_file(m, task, MODEL_EVENTFD);
	else if (is(m, "memfd"))
		on_new_file(m, task, MODEL_MEMFD);
	else if (is(m, "memlock"))
		m->tasks[task].attr = (struct vfake_task_attr){
			.memlock_bytes = event->len,
			.cap_sys_rawio = m->tasks[task].attr.cap_sys_rawio,
			.cap_sys_admin = m->tasks[task].attr.cap_sys_admin,
			.cap_sys_resource = m->tasks[task].attr.cap_sys_resource,
			.host_memory = m->tasks[task].attr.host_memory
		};
	else if (is(m, "exit"))
		task_ends(m, task);
	else if (is(m, "exec"))
		task_execs(m, task);
	else if (!is(m, "mmap") && !is(m, "munmap") && !is(m, "read") && !is(m, "write") &&
		 !is(m, "pread") && !is(m, "pwrite"))
		adopt(m, task);
}

void model_event(void *model, const struct vfake_event *event)
{
	struct model *m = model;
	int task;

	if (m->stopped)
		return;
	m->event = event;
	m->events++;
	m->touched_space = -1;
	m->touched_iommufd = -1;
	/* Of a process that ended nothing is left to look at. */
	task = is(m, "exit") ? find_task(m, event->task) : model_task(m, event->task);
	if (task < 0)
		return;
	fold_in(m, task);
	if (!m->stopped)
		model_compare_touched(m, task);
	if (!m->stopped && m->events % COMPARE_ALL_EVERY == 0)
		model_compare_all(m);
	m->event = NULL;
}
