/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names in two plain lists: a story has a few dozen of them at a time.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vfake/view.h>

#include "sweep_trace_names.h"

void sweep_names_free(struct sweep_names *names)
{
	free(names->names);
	free((void *)(uintptr_t)names->tasks);
	*names = (struct sweep_names){ .names = NULL };
}

/* ---- making one ---- */

static char letter_of(const char *kind)
{
	static const struct {
		const char *kind;
		char letter;
	} letters[] = {
		{ "container", 'c' }, { "group", 'g' }, { "device", 'v' }, { "iommufd", 'i' },
		{ "eventfd", 'e' },   { "memfd", 'f' }, { "socket", 's' },
	};

	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
		if (!strcmp(letters[i].kind, kind))
			return letters[i].letter;
	}
	return strncmp(kind, "kvm", 3) ? 'x' : 'k';
}

static bool is_taken(const struct sweep_names *names, const char *text)
{
	for (size_t i = 0; i < names->count; i++) {
		if (!strcmp(names->names[i].text, text))
			return true;
	}
	return false;
}

static struct sweep_name *add(struct sweep_names *names, char letter, struct sweep_name name)
{
	unsigned int number = 0;

	if (names->count == names->capacity) {
		size_t capacity = names->capacity ? 2 * names->capacity : 32;
		void *more = realloc(names->names, capacity * sizeof(*names->names));

		if (!more)
			return NULL;
		names->names = more;
		names->capacity = capacity;
	}
	do
		snprintf(name.text, sizeof(name.text), "%c%u", letter, number++);
	while (is_taken(names, name.text));
	names->names[names->count] = name;
	return &names->names[names->count++];
}

const char *sweep_names_fd(struct sweep_names *names, const struct vfake_task *task, int fd)
{
	struct vfake_file_view view = { .kind = "" };
	struct sweep_name *name;

	sweep_names_close(names, task, fd);
	vfake_view_file(task, fd, &view);
	name = add(names, letter_of(view.kind), (struct sweep_name){ .task = task, .fd = fd });
	return name ? name->text : NULL;
}

const char *sweep_names_memory(struct sweep_names *names, const struct vfake_task *task,
			       uint64_t addr, uint64_t len)
{
	struct sweep_name *name;

	name = add(names, 'm',
		   (struct sweep_name){ .task = task, .fd = -1, .addr = addr, .len = len });
	return name ? name->text : NULL;
}

/* ---- finding one ---- */

const struct sweep_name *sweep_names_find_fd(const struct sweep_names *names,
					     const struct vfake_task *task, int fd)
{
	for (size_t i = 0; i < names->count && fd >= 0; i++) {
		if (names->names[i].task == task && names->names[i].fd == fd)
			return &names->names[i];
	}
	return NULL;
}

/* The last one, where what is left of an older one is mapped again. */
const struct sweep_name *sweep_names_find_memory(const struct sweep_names *names,
						 const struct vfake_task *task, uint64_t addr)
{
	for (size_t i = names->count; i--;) {
		const struct sweep_name *name = &names->names[i];

		if (name->task == task && name->fd < 0 && addr - name->addr < name->len)
			return name;
	}
	return NULL;
}

/* ---- the end of one ---- */

static void drop(struct sweep_names *names, size_t index)
{
	memmove(&names->names[index], &names->names[index + 1],
		(--names->count - index) * sizeof(*names->names));
}

void sweep_names_close(struct sweep_names *names, const struct vfake_task *task, int fd)
{
	const struct sweep_name *name = sweep_names_find_fd(names, task, fd);

	if (name)
		drop(names, (size_t)(name - names->names));
}

void sweep_names_unmap(struct sweep_names *names, const struct vfake_task *task, uint64_t addr,
		       uint64_t len)
{
	for (size_t i = names->count; i--;) {
		const struct sweep_name *name = &names->names[i];

		if (name->task == task && name->fd < 0 && name->addr >= addr &&
		    name->addr - addr + name->len <= len)
			drop(names, i);
	}
}

void sweep_names_exit(struct sweep_names *names, const struct vfake_task *task)
{
	for (size_t i = names->count; i--;) {
		if (names->names[i].task == task)
			drop(names, i);
	}
	for (size_t i = 0; i < names->task_count; i++) {
		if (names->tasks[i] == task)
			names->tasks[i] = NULL;
	}
}

/* ---- processes ---- */

size_t sweep_names_process(struct sweep_names *names, const struct vfake_task *task)
{
	for (size_t i = 0; i < names->task_count; i++) {
		if (names->tasks[i] == task)
			return i + 1;
	}
	if (names->task_count == names->task_capacity) {
		size_t capacity = names->task_capacity ? 2 * names->task_capacity : 8;
		void *more =
			realloc((void *)(uintptr_t)names->tasks, capacity * sizeof(*names->tasks));

		if (!more)
			return 0;
		names->tasks = more;
		names->task_capacity = capacity;
	}
	names->tasks[names->task_count++] = task;
	return names->task_count;
}
