/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names for what a story's processes have: their descriptors, each by its kind (c0, g0, v0, i0),
 * and their memory (m0). A name is that of the lowest number that is free, so it is used again when
 * what it stood for is gone.
 */
#ifndef HARNESS_SWEEP_TRACE_NAMES_H
#define HARNESS_SWEEP_TRACE_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include <vfake/kernel.h>

struct sweep_name {
	char text[16];
	const struct vfake_task *task;
	int fd; /* -1: memory */
	uint64_t addr, len;
};

struct sweep_names {
	struct sweep_name *names;
	size_t count, capacity;
	const struct vfake_task **tasks; /* as they came; NULL: has ended */
	size_t task_count, task_capacity;
};

void sweep_names_free(struct sweep_names *names);

/* Names a descriptor that was made; memory that was mapped. NULL when memory is short. */
const char *sweep_names_fd(struct sweep_names *names, const struct vfake_task *task, int fd);
const char *sweep_names_memory(struct sweep_names *names, const struct vfake_task *task,
			       uint64_t addr, uint64_t len);
/* The name of a descriptor; of the memory that an address is in. NULL: it has none. */
const struct sweep_name *sweep_names_find_fd(const struct sweep_names *names,
					     const struct vfake_task *task, int fd);
const struct sweep_name *sweep_names_find_memory(const struct sweep_names *names,
						 const struct vfake_task *task, uint64_t addr);
/* It is gone: a descriptor; memory, where nothing of it is left; all of a process. */
void sweep_names_close(struct sweep_names *names, const struct vfake_task *task, int fd);
void sweep_names_unmap(struct sweep_names *names, const struct vfake_task *task, uint64_t addr,
		       uint64_t len);
void sweep_names_exit(struct sweep_names *names, const struct vfake_task *task);
/* The number of a process, from 1 in the order in which they were seen; 0 when memory is short. */
size_t sweep_names_process(struct sweep_names *names, const struct vfake_task *task);

#endif
