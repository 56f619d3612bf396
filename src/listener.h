/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What listener.c and dirty.c share: the record of every map of a container.
 */
#ifndef SRC_LISTENER_H
#define SRC_LISTENER_H

#include "stack.h"

/* One map that the kernel has. */
struct vfio_mapping {
	uint64_t iova;
	uint64_t last;
	struct vfio_memory *memory; /* what it shows, and */
	uint64_t gpa;		    /* where: for dirty pages */
	uint64_t vaddr;		    /* and where the process has it */
	uint64_t ram_vaddr;	    /* all of the RAM that it is a part of */
	uint64_t ram_last;
	bool readonly;
	bool unlogged;	/* made since logging began last: what devices log does not cover it */
	bool suspended; /* the kernel has no address for it: live update */
	bool anonymous; /* no other process can have the memory */
};

struct vfio_listener {
	struct vfio_memory_listener base;
	struct vfio_container *container;
	struct vfio_mapping *mappings; /* by iova, none overlaps */
	size_t mapping_count;
	size_t mapping_space;
	bool logging;	      /* dirty pages are wanted */
	bool logging_devices; /* the devices track, not the container */
};

/* The index of the first mapping that ends at or after @iova. */
size_t vfio_listener_index(const struct vfio_listener *listener, uint64_t iova);

/* dirty.c */
bool vfio_dirty_start(struct vfio_listener *listener, struct vfio_error *error);
void vfio_dirty_stop(struct vfio_listener *listener);
/* Reports what was written through the mappings in [start, last]. 0 or -errno. */
int vfio_dirty_sync(struct vfio_listener *listener, uint64_t start, uint64_t last);
/* Unmaps, and while dirty pages are wanted reports those of the mapping that goes. */
int vfio_dirty_unmap(struct vfio_listener *listener, const struct vfio_mapping *mapping);

#endif
