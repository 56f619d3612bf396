/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What spapr.c and spapr_window.c share: the state of a container with an sPAPR TCE driver.
 */
#ifndef SRC_SPAPR_H
#define SRC_SPAPR_H

#include "group.h"

/* A window that the kernel has. One that nobody uses any more and that would not go stays here. */
struct spapr_window {
	bool there;
	bool fixed; /* the default window: neither made nor removed */
	uint32_t page_shift;
	uint64_t start;
	uint64_t last;
};

/* A section that needs its window. */
struct spapr_user {
	LIST_ENTRY(spapr_user) entry;
	struct spapr_window *window;
	uint32_t section;
	bool table; /* KVM shall serve the guest's TCE table */
	int table_fd;
};

/* Memory that is registered with the kernel (v2). With no users it is left over. */
struct spapr_ram {
	LIST_ENTRY(spapr_ram) entry;
	uint64_t vaddr;
	uint64_t last;
	uint32_t users;
};

struct spapr {
	struct vfio_container_file file;
	bool v2;
	bool enabled; /* v1 */
	bool dynamic; /* windows can be made */
	bool stuck;   /* an unmap failed: TCEs may still point into memory */
	uint32_t levels;
	uint64_t default_start; /* where the kernel puts a first window */
	uint64_t default_size;
	struct spapr_window windows[VFIO_RANGES_MAX];
	LIST_HEAD(, spapr_user) users;
	LIST_HEAD(, spapr_ram) ram;
};

/* The default window, as it is. */
void spapr_window_fixed(struct vfio_container *container);
/* VFIO_IOMMU_SPAPR_TCE_REMOVE. 0 or -errno. */
int spapr_window_remove(struct vfio_container *container, uint64_t start);
/* Removes what was made and would not go when its last section went. */
void spapr_window_end(struct vfio_container *container);
/* The window behind @window; the first one for NULL. NULL at the end. */
struct spapr_window *spapr_window_next(struct spapr *spapr, const struct spapr_window *window);
/* The window that holds [start, last], or NULL. */
struct spapr_window *spapr_window_find(struct spapr *spapr, uint64_t start, uint64_t last);

/* Of struct vfio_backend_ops. */
bool spapr_section_add(struct vfio_container *container, const struct vfio_memory_section *section,
		       struct vfio_error *error);
void spapr_section_del(struct vfio_container *container, const struct vfio_memory_section *section);
bool spapr_kvm_added(struct vfio_container *container, struct vfio_error *error);

#endif
