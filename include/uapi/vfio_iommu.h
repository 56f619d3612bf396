/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The container's part of the VFIO interface of Linux 7.2: /dev/vfio/vfio, the type1 driver and the
 * sPAPR TCE drivers. Include uapi/vfio.h, which has what both halves share.
 */
#ifndef UAPI_VFIO_IOMMU_H
#define UAPI_VFIO_IOMMU_H

#include "vfio.h"

/* ---- Container: /dev/vfio/vfio ---- */

/** Returns VFIO_API_VERSION. */
#define VFIO_GET_API_VERSION _IO(VFIO_TYPE, VFIO_BASE + 0)
/** Argument is an extension; returns a positive number where it is supported. */
#define VFIO_CHECK_EXTENSION _IO(VFIO_TYPE, VFIO_BASE + 1)
/** Argument is a kind of IOMMU; the container gets its driver. */
#define VFIO_SET_IOMMU	     _IO(VFIO_TYPE, VFIO_BASE + 2)

/* ---- Container with the type1 driver ---- */

/** What the IOMMU can do; capabilities follow. */
struct vfio_iommu_type1_info {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_IOMMU_INFO_PGSIZES (1U << 0)
#define VFIO_IOMMU_INFO_CAPS	(1U << 1)
	UAPI_U64 iova_pgsizes;
	uint32_t cap_offset;
	uint32_t pad;
};

/* Ids of the capabilities of VFIO_IOMMU_GET_INFO. */
#define VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE 1
#define VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION  2
#define VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL	     3

/** A range of usable IOVAs, both ends included. */
struct vfio_iova_range {
	uint64_t start;
	uint64_t end;
};

/** Capability: the IOVA ranges that a map may use. */
struct vfio_iommu_type1_info_cap_iova_range {
	struct vfio_info_cap_header header;
	uint32_t nr_iovas;
	uint32_t reserved;
	struct vfio_iova_range iova_ranges[];
};

/** Capability: dirty tracking is there, at these page sizes, with bitmaps of at most that many
 * bytes. */
struct vfio_iommu_type1_info_cap_migration {
	struct vfio_info_cap_header header;
	uint32_t flags;
	uint64_t pgsize_bitmap;
	uint64_t max_dirty_bitmap_size;
};

/** Capability: how many more mappings the container takes. */
struct vfio_iommu_type1_info_dma_avail {
	struct vfio_info_cap_header header;
	uint32_t avail;
};

/** Fills in struct vfio_iommu_type1_info. */
#define VFIO_IOMMU_GET_INFO _IO(VFIO_TYPE, VFIO_BASE + 12)

/** A mapping of memory into the IOVA space, or a new address for an existing one (VADDR). */
struct vfio_iommu_type1_dma_map {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_DMA_MAP_FLAG_READ	(1U << 0)
#define VFIO_DMA_MAP_FLAG_WRITE (1U << 1)
#define VFIO_DMA_MAP_FLAG_VADDR (1U << 2)
	uint64_t vaddr;
	uint64_t iova;
	uint64_t size;
};

/** Maps struct vfio_iommu_type1_dma_map; also on sPAPR containers. */
#define VFIO_IOMMU_MAP_DMA _IO(VFIO_TYPE, VFIO_BASE + 13)

/** A dirty bitmap in the caller's memory: a bit a page of pgsize bytes, `size` in bytes. */
struct vfio_bitmap {
	uint64_t pgsize;
	uint64_t size;
	uint64_t *data;
};

/** A range to unmap; struct vfio_bitmap follows where the dirty bitmap is asked for. */
struct vfio_iommu_type1_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP (1U << 0)
#define VFIO_DMA_UNMAP_FLAG_ALL		     (1U << 1)
#define VFIO_DMA_UNMAP_FLAG_VADDR	     (1U << 2)
	uint64_t iova;
	uint64_t size;
	uint8_t data[];
};

/** Unmaps a range; `size` comes back as the bytes that were unmapped. Also on sPAPR containers. */
#define VFIO_IOMMU_UNMAP_DMA _IO(VFIO_TYPE, VFIO_BASE + 14)
/** No argument. Turns an sPAPR v1 container on. */
#define VFIO_IOMMU_ENABLE    _IO(VFIO_TYPE, VFIO_BASE + 15)
/** No argument. Turns an sPAPR v1 container off. */
#define VFIO_IOMMU_DISABLE   _IO(VFIO_TYPE, VFIO_BASE + 16)

/** Start, stop or read the container's dirty log; exactly one flag. */
struct vfio_iommu_type1_dirty_bitmap {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_IOMMU_DIRTY_PAGES_FLAG_START      (1U << 0)
#define VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP       (1U << 1)
#define VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP (1U << 2)
	uint8_t data[];
};

/** What follows struct vfio_iommu_type1_dirty_bitmap for GET_BITMAP. */
struct vfio_iommu_type1_dirty_bitmap_get {
	uint64_t iova;
	uint64_t size;
	struct vfio_bitmap bitmap;
};

/** Works on struct vfio_iommu_type1_dirty_bitmap. Shares its number with SPAPR_REGISTER_MEMORY. */
#define VFIO_IOMMU_DIRTY_PAGES _IO(VFIO_TYPE, VFIO_BASE + 17)

/* ---- Container with an sPAPR TCE driver ---- */

/** What dynamic DMA windows can be: page sizes, number, table levels. */
struct vfio_iommu_spapr_tce_ddw_info {
	uint64_t pgsizes;
	uint32_t max_dynamic_windows_supported;
	uint32_t levels;
};

/** The 32-bit window and, with the flag, the dynamic windows. */
struct vfio_iommu_spapr_tce_info {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_IOMMU_SPAPR_INFO_DDW (1U << 0)
	uint32_t dma32_window_start;
	uint32_t dma32_window_size;
	struct vfio_iommu_spapr_tce_ddw_info ddw;
};

/** Fills in struct vfio_iommu_spapr_tce_info. */
#define VFIO_IOMMU_SPAPR_TCE_GET_INFO _IO(VFIO_TYPE, VFIO_BASE + 12)

/** Memory that the container may map later: pinned and accounted now (sPAPR v2). */
struct vfio_iommu_spapr_register_memory {
	uint32_t argsz;
	uint32_t flags;
	uint64_t vaddr;
	uint64_t size;
};

/** Registers memory. */
#define VFIO_IOMMU_SPAPR_REGISTER_MEMORY   _IO(VFIO_TYPE, VFIO_BASE + 17)
/** Takes a registration back; the same struct. */
#define VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY _IO(VFIO_TYPE, VFIO_BASE + 18)

/** A new DMA window: page size, bytes and levels in, its bus address out. */
struct vfio_iommu_spapr_tce_create {
	uint32_t argsz;
	uint32_t flags;
	uint32_t page_shift;
	uint32_t __resv1;
	uint64_t window_size;
	uint32_t levels;
	uint32_t __resv2;
	uint64_t start_addr;
};

/** Creates a window for every group of the container. */
#define VFIO_IOMMU_SPAPR_TCE_CREATE _IO(VFIO_TYPE, VFIO_BASE + 19)

/** Names a window by its bus address. */
struct vfio_iommu_spapr_tce_remove {
	uint32_t argsz;
	uint32_t flags;
	uint64_t start_addr;
};

/** Removes a window. */
#define VFIO_IOMMU_SPAPR_TCE_REMOVE _IO(VFIO_TYPE, VFIO_BASE + 20)

/** An EEH error to inject. */
struct vfio_eeh_pe_err {
	uint32_t type;
	uint32_t func;
	uint64_t addr;
	uint64_t mask;
};

/** An operation on the partitionable endpoint of the container's only group. */
struct vfio_eeh_pe_op {
	uint32_t argsz;
	uint32_t flags;
	uint32_t op;
	union {
		struct vfio_eeh_pe_err err;
	};
};

/* Operations. */
#define VFIO_EEH_PE_DISABLE	      0
#define VFIO_EEH_PE_ENABLE	      1
#define VFIO_EEH_PE_UNFREEZE_IO	      2
#define VFIO_EEH_PE_UNFREEZE_DMA      3
#define VFIO_EEH_PE_GET_STATE	      4
#define VFIO_EEH_PE_RESET_DEACTIVATE  5
#define VFIO_EEH_PE_RESET_HOT	      6
#define VFIO_EEH_PE_RESET_FUNDAMENTAL 7
#define VFIO_EEH_PE_CONFIGURE	      8
#define VFIO_EEH_PE_INJECT_ERR	      9

/* What GET_STATE returns. */
#define VFIO_EEH_PE_STATE_NORMAL      0
#define VFIO_EEH_PE_STATE_RESET	      1
#define VFIO_EEH_PE_STATE_STOPPED     2
#define VFIO_EEH_PE_STATE_STOPPED_DMA 4
#define VFIO_EEH_PE_STATE_UNAVAIL     5

/** Runs an EEH operation. */
#define VFIO_EEH_PE_OP _IO(VFIO_TYPE, VFIO_BASE + 21)

#endif
