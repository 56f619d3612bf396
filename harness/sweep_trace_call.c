/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A call as a line of a trace, from what the watcher is told when the call is over. What was in the
 * program's memory is read there and then; what a call takes in it does not change.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <vfake/view.h>

#include "errnos.h"
#include "player.h"
#include "sweep_trace_internal.h"

void sweep_line_refuse(struct sweep_line *line, const char *why)
{
	if (!line->why)
		line->why = why;
}

bool sweep_line_load(struct sweep_line *line, uint64_t addr, void *bytes, uint64_t len)
{
	if (addr && !line->unread && !vfake_view_load(line->event->task, addr, bytes, len))
		return true;
	sweep_line_refuse(line, "an argument that cannot be read");
	return false;
}

/* ---- values ---- */

void sweep_line_fd(struct sweep_line *line, int fd)
{
	const struct sweep_name *name =
		sweep_names_find_fd(&line->trace->names, line->event->task, fd);
	struct vfake_file_view view;

	if (name) {
		trace_put_name(&line->writer, name->text);
	} else if (fd < 0) {
		trace_put_signed(&line->writer, fd);
	} else {
		/* A name that nothing ever had is a descriptor that is not open. */
		trace_put_name(&line->writer, "gone");
		if (!vfake_view_file(line->event->task, fd, &view))
			sweep_line_refuse(line, "a descriptor that came in a way of its own");
	}
}

void sweep_line_address(struct sweep_line *line, uint64_t addr)
{
	const struct sweep_name *name =
		sweep_names_find_memory(&line->trace->names, line->event->task, addr);

	if (name && addr != name->addr) {
		trace_put_offset(&line->writer, name->text, addr - name->addr);
	} else if (name || !addr) {
		trace_put_name(&line->writer, name ? name->text : "nowhere");
	} else {
		trace_put_name(&line->writer, "elsewhere");
		sweep_line_refuse(line, "an address in memory that no mmap() made");
	}
}

void sweep_line_bytes(struct sweep_line *line, uint64_t addr, uint64_t len)
{
	static uint8_t bytes[PLAYER_BYTES_MAX];

	if (len > sizeof(bytes)) {
		sweep_line_refuse(line, "more bytes in one call than a player takes");
		len = 0;
	}
	if (len && !sweep_line_load(line, addr, bytes, len))
		len = 0;
	trace_put_bytes(&line->writer, bytes, len);
}

void sweep_line_new_fd(struct sweep_line *line, int fd)
{
	const char *name = sweep_names_fd(&line->trace->names, line->event->task, fd);

	if (!name)
		sweep_line_refuse(line, "more names than there is memory for");
	trace_put_name(&line->writer, name ? name : "unnamed");
}

void sweep_line_result(struct sweep_line *line, bool is_fd)
{
	const long ret = line->event->ret;

	trace_put_result(&line->writer);
	if (is_fd && ret >= 0)
		sweep_line_new_fd(line, (int)ret);
	else if (ret < 0 && errno_name((int)-ret))
		trace_put_errno(&line->writer, (int)-ret);
	else
		trace_put_signed(&line->writer, ret);
}

/* ---- calls ---- */

/* A device's nodes go by its name: on another machine they have other numbers. */
static void put_path(struct sweep_line *line)
{
	const struct vfake_world *world = vfake_view_world(line->trace->kernel);
	const char *path = line->event->path;
	char text[64] = "";

	for (uint32_t i = 0; i < world->device_count; i++) {
		const struct vfake_device_desc *device = &world->devices[i];
		char node[64];

		snprintf(node, sizeof(node), "/dev/vfio/%s%u", device->noiommu ? "noiommu-" : "",
			 device->group);
		snprintf(text, sizeof(text), "/dev/vfio/{%.*s.group}", (int)sizeof(device->name),
			 device->name);
		if (!strcmp(path, node))
			break;
		snprintf(node, sizeof(node), "/dev/vfio/devices/vfio%u", device->cdev);
		snprintf(text, sizeof(text), "/dev/vfio/devices/{%.*s.cdev}",
			 (int)sizeof(device->name), device->name);
		if (!strcmp(path, node))
			break;
		text[0] = 0;
	}
	trace_put_string(&line->writer, *text ? text : path);
}

static void put_open(struct sweep_line *line)
{
	put_path(line);
	sweep_line_result(line, true);
}

static void put_close(struct sweep_line *line)
{
	const struct vfake_event *event = line->event;

	sweep_line_fd(line, event->fd);
	sweep_line_result(line, false);
	if (!event->ret)
		sweep_names_close(&line->trace->names, event->task, event->fd);
}

static void put_dup(struct sweep_line *line)
{
	sweep_line_fd(line, line->event->fd);
	sweep_line_result(line, true);
}

static void put_mmap(struct sweep_line *line)
{
	const struct vfake_event *event = line->event;
	struct vfake_memory_view view = { .writable = true };
	const char *name = NULL;

	trace_put_number(&line->writer, event->len, 16);
	if (!event->ret) {
		vfake_view_memory(event->task, event->addr, &view);
		name = sweep_names_memory(&line->trace->names, event->task, event->addr,
					  event->len);
		if (!name)
			sweep_line_refuse(line, "more names than there is memory for");
	}
	if (event->fd >= 0) {
		sweep_line_fd(line, event->fd);
		trace_put_number(&line->writer, event->offset, 16);
		sweep_line_refuse(line, "memory of a file");
	} else if (!view.writable) {
		trace_put_name(&line->writer, "ro");
	}
	if (!name) {
		sweep_line_result(line, false);
		return;
	}
	trace_put_result(&line->writer);
	trace_put_name(&line->writer, name);
}

static void put_munmap(struct sweep_line *line)
{
	const struct vfake_event *event = line->event;

	sweep_line_address(line, event->addr);
	trace_put_number(&line->writer, event->len, 16);
	sweep_line_result(line, false);
	if (!event->ret)
		sweep_names_unmap(&line->trace->names, event->task, event->addr, event->len);
}

static void put_memfd(struct sweep_line *line)
{
	trace_put_number(&line->writer, line->event->len, 16);
	sweep_line_result(line, true);
}

static void put_memlock(struct sweep_line *line)
{
	trace_put_number(&line->writer, line->event->len, 16);
	sweep_line_result(line, false);
}

static void put_eventfd(struct sweep_line *line)
{
	sweep_line_result(line, true);
}

/* Of an eventfd the counter is the result. */
static void put_read(struct sweep_line *line)
{
	const struct vfake_event *event = line->event;
	const struct sweep_name *name =
		sweep_names_find_fd(&line->trace->names, event->task, event->fd);
	uint64_t counter;

	sweep_line_fd(line, event->fd);
	if (event->ret < 0) {
		sweep_line_result(line, false);
		return;
	}
	trace_put_result(&line->writer);
	if (name && *name->text == 'e' && event->ret == sizeof(counter) &&
	    sweep_line_load(line, event->addr, &counter, sizeof(counter))) {
		trace_put_number(&line->writer, counter, 10);
		return;
	}
	trace_put_signed(&line->writer, event->ret);
	sweep_line_refuse(line, "what is read from anything but an eventfd");
}

static void put_pread(struct sweep_line *line)
{
	const struct vfake_event *event = line->event;

	sweep_line_fd(line, event->fd);
	trace_put_number(&line->writer, event->offset, 16);
	trace_put_number(&line->writer, event->len, 10);
	if (event->ret < 0) {
		sweep_line_result(line, false);
		return;
	}
	trace_put_result(&line->writer);
	sweep_line_bytes(line, event->addr, (uint64_t)event->ret);
}

static void put_pwrite(struct sweep_line *line)
{
	const struct vfake_event *event = line->event;

	sweep_line_fd(line, event->fd);
	trace_put_number(&line->writer, event->offset, 16);
	sweep_line_bytes(line, event->addr, event->len);
	sweep_line_result(line, false);
}

static void put_pass_fd(struct sweep_line *line)
{
	const struct vfake_event *event = line->event;
	struct sweep_names *names = &line->trace->names;
	const char *name =
		event->ret < 0 ? NULL : sweep_names_fd(names, event->to, (int)event->ret);

	sweep_line_fd(line, event->fd);
	trace_put_number(&line->writer, sweep_names_process(names, event->to), 10);
	trace_put_result(&line->writer);
	if (name)
		trace_put_name(&line->writer, name);
	else
		trace_put_signed(&line->writer, event->ret);
	sweep_line_refuse(line, "a descriptor for another process");
}

static void put_exit(struct sweep_line *line)
{
	sweep_line_result(line, false);
	sweep_line_refuse(line, "the end of the process");
	sweep_names_exit(&line->trace->names, line->event->task);
}

static void put_exec(struct sweep_line *line)
{
	sweep_line_result(line, false);
	sweep_line_refuse(line, "another program in the same process");
	sweep_names_unmap(&line->trace->names, line->event->task, 0, UINT64_MAX);
}

/* Those that a trace does not have: sockets, write(), ... */
static void put_other(struct sweep_line *line)
{
	const struct vfake_event *event = line->event;

	if (event->path)
		trace_put_string(&line->writer, event->path);
	else if (event->fd >= 0)
		sweep_line_fd(line, event->fd);
	if (event->len)
		trace_put_number(&line->writer, event->len, 10);
	sweep_line_result(line, false);
	sweep_line_refuse(line, "a call that is none of a trace's");
}

static const struct {
	const char *call;
	void (*put)(struct sweep_line *line);
} calls[] = {
	{ "ioctl", sweep_line_ioctl }, { "pread", put_pread },	 { "pwrite", put_pwrite },
	{ "open", put_open },	       { "close", put_close },	 { "eventfd", put_eventfd },
	{ "mmap", put_mmap },	       { "munmap", put_munmap }, { "dup", put_dup },
	{ "read", put_read },	       { "memfd", put_memfd },	 { "memlock", put_memlock },
	{ "pass_fd", put_pass_fd },    { "exit", put_exit },	 { "exec", put_exec },
};

void sweep_line_call(struct sweep_line *line)
{
	const struct vfake_event *event = line->event;
	size_t i = 0;

	/* One that was made to fail had good ones. */
	line->unread = event->ret == -EFAULT && !event->fault && !event->in;
	trace_put_call(&line->writer, event->call);
	while (i < sizeof(calls) / sizeof(calls[0]) && strcmp(calls[i].call, event->call) != 0)
		i++;
	(i < sizeof(calls) / sizeof(calls[0]) ? calls[i].put : put_other)(line);
	trace_put_line(&line->writer, NULL);
}
