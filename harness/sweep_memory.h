/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that fork() does not copy. What a fake kernel gives out as shared memory (memfds, a
 * device's BAR) is shared with children, too; what a child of the sweep leaves in it is undone.
 */
#ifndef HARNESS_SWEEP_MEMORY_H
#define HARNESS_SWEEP_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SWEEP_SHARED_MAX = 64 };

struct sweep_memory {
	size_t count;
	struct sweep_file {
		uint64_t inode;
		uint64_t size;
		int fd;
		bool seen;
		uint8_t *now;  /* the file */
		uint8_t *kept; /* what was in it */
	} file[SWEEP_SHARED_MAX];
};

/* Before children: keeps what there is. False when it cannot be found out, or is too much. */
bool sweep_memory_keep(struct sweep_memory *memory);
/* After each child: what was kept is there again. */
bool sweep_memory_restore(const struct sweep_memory *memory);
void sweep_memory_forget(struct sweep_memory *memory);

#endif
