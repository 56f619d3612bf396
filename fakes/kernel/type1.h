/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of the type1 container driver: type1.c (calls), type1_pin.c (pages and domains),
 * type1_dirty.c (bitmaps).
 */
#ifndef FAKES_TYPE1_H
#define FAKES_TYPE1_H

#include "iova_map.h"
#include "vfio.h"

/* One mapping, as the caller made it. It holds its pages from map to unmap. */
struct type1_dma {
	uint64_t iova;
	uint64_t vaddr;
	uint64_t size_bytes;
	uint64_t charged_pages; /* to mm, under RLIMIT_MEMLOCK */
	struct vfake_mm *mm;	/* grabbed: who pays */
	struct vfake_task *task;
	uint8_t prot;	    /* VFAKE_IOMMU_* */
	bool lock_cap;	    /* mapped with CAP_IPC_LOCK */
	bool vaddr_invalid; /* between UNMAP and MAP with the VADDR flag */
	uint64_t
		stale[2]; /* dirty tracking: what Linux leaves in its bitmap behind the last page */
	uint32_t pin_count;
	struct vfake_pin pin;	/* the first run of pages: nearly always the only one */
	struct vfake_pin *more; /* the runs after it */
};

/* An IOMMU domain of the container and the groups attached to it. */
struct type1_domain {
	struct vfake_domain domain;
	struct type1 *type1;
	TAILQ_ENTRY(type1_domain) entry;
	uint32_t group_count;
};

/* What VFIO_SET_IOMMU makes. */
struct type1 {
	struct vfake_kernel *kernel;
	bool v2;
	bool dirty_tracking;
	uint32_t dma_avail;	      /* mappings that may still be made */
	uint32_t vaddr_invalid_count; /* mappings without a vaddr */
	uint64_t pgsizes;
	struct vfake_iova_map dmas; /* of struct type1_dma */
	uint32_t range_count; /* IOVAs that may be mapped: the aperture less the reserved ranges */
	struct vfake_range ranges[VFAKE_MAX_RESERVED + 1];
	TAILQ_HEAD(, type1_domain) domains; /* newest first */
};

static inline struct type1_dma *type1_dma_of(const struct vfake_iova_range *range)
{
	return (struct type1_dma *)(uintptr_t)range->value;
}

/* The smallest page of the IOMMU, in bytes. */
static inline uint64_t type1_pgsize(const struct type1 *type1)
{
	return type1->pgsizes & -type1->pgsizes;
}

/* type1_pin.c */
/* Pins and charges all pages of @dma. 0, -EFAULT, -ENOMEM; on failure nothing is held. */
int type1_pin(struct type1_dma *dma, struct vfake_task *task);
/* Unpins and uncharges them. */
void type1_unpin(struct type1_dma *dma);
/* Moves the charge to the calling process: VFIO_DMA_MAP_FLAG_VADDR. 0 or -ENOMEM. */
int type1_change_owner(struct type1_dma *dma, struct vfake_task *task);
/* type1.c: the last domain goes, and every mapping with it. */
void type1_unmap_all(struct type1 *type1);
int type1_attach_group(void *iommu, struct vfio_group *group, struct vfake_task *task);
void type1_detach_group(void *iommu, struct vfio_group *group);

/* type1_dirty.c */
long type1_dirty_pages(struct vfake_call *call);
/* The checks of UNMAP_DMA's struct vfio_bitmap that need no container state. 0 or -EINVAL. */
int type1_check_bitmap(uint64_t size_bytes, uint64_t pgsize, uint64_t data, uint64_t bitmap_bytes);
/* Reports @dma in the caller's bitmap, whose bit 0 is the page at @base_iova. 0 or -EFAULT. */
int type1_report_dirty(struct type1 *type1, struct vfake_call *call, struct type1_dma *dma,
		       uint64_t bitmap, uint64_t base_iova);
/* Whether START could give @dma a bitmap: 0 or -EINVAL. */
int type1_can_track(const struct type1 *type1, const struct type1_dma *dma);

#endif
