/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VFIO interface of Linux 7.2 as the project sees it: names, numbers and layouts, in our own
 * words.
 *
 * The build must not depend on the headers of the machine (Debian 12 has no linux/iommufd.h, and
 * older linux/vfio.h lack half of this), so the project carries the binary interface itself.
 * abi.def freezes every number, size and offset; they are checked against this file and, where the
 * machine has it, against its own linux/vfio.h. Do not include both in one file: the names are the
 * same on purpose.
 *
 * Two liberties, neither visible in the binary interface: flags are unsigned constants, so that
 * ~FLAG converts to a field without a warning, and structs are grouped by the file they are used
 * on.
 */
#ifndef UAPI_VFIO_H
#define UAPI_VFIO_H

#ifdef VFIO_H
#error "linux/vfio.h is already included; a file takes either that or uapi/vfio.h"
#endif

#include <linux/ioctl.h>
#include <stdint.h>

/** A u64 that is 8-byte aligned on 32-bit machines as well. */
#ifndef UAPI_U64
#define UAPI_U64 uint64_t __attribute__((aligned(8)))
#endif

#define VFIO_API_VERSION 0
#define VFIO_TYPE	 (';')
#define VFIO_BASE	 100

/* Kinds of IOMMU and extensions: arguments of VFIO_SET_IOMMU and VFIO_CHECK_EXTENSION. */
#define VFIO_TYPE1_IOMMU		    1
#define VFIO_SPAPR_TCE_IOMMU		    2
#define VFIO_TYPE1v2_IOMMU		    3
#define VFIO_DMA_CC_IOMMU		    4
#define VFIO_EEH			    5
#define __VFIO_RESERVED_TYPE1_NESTING_IOMMU 6
#define VFIO_SPAPR_TCE_v2_IOMMU		    7
#define VFIO_NOIOMMU_IOMMU		    8
#define VFIO_UNMAP_ALL			    9
#define VFIO_UPDATE_VADDR		    10

/** Head of every capability that an INFO ioctl appends; `next` counts from the start of the answer.
 */
struct vfio_info_cap_header {
	uint16_t id;
	uint16_t version;
	uint32_t next;
};

/* The container and its drivers. */
#include "vfio_iommu.h"

/* ---- Group: /dev/vfio/N ---- */

/** Whether all devices of the group may be used, and whether it is in a container. */
struct vfio_group_status {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_GROUP_FLAGS_VIABLE	       (1U << 0)
#define VFIO_GROUP_FLAGS_CONTAINER_SET (1U << 1)
};

/** Fills in struct vfio_group_status. */
#define VFIO_GROUP_GET_STATUS	   _IO(VFIO_TYPE, VFIO_BASE + 3)
/** Pointer to a descriptor of a container or an iommufd; the group joins it. */
#define VFIO_GROUP_SET_CONTAINER   _IO(VFIO_TYPE, VFIO_BASE + 4)
/** No argument. The group leaves its container. */
#define VFIO_GROUP_UNSET_CONTAINER _IO(VFIO_TYPE, VFIO_BASE + 5)
/** Pointer to a device's name; returns a descriptor of the device. */
#define VFIO_GROUP_GET_DEVICE_FD   _IO(VFIO_TYPE, VFIO_BASE + 6)

/* ---- Device ---- */

/** Kind of device, number of regions and interrupts; capabilities follow. */
struct vfio_device_info {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_DEVICE_FLAGS_RESET	   (1U << 0)
#define VFIO_DEVICE_FLAGS_PCI	   (1U << 1)
#define VFIO_DEVICE_FLAGS_PLATFORM (1U << 2)
#define VFIO_DEVICE_FLAGS_AMBA	   (1U << 3)
#define VFIO_DEVICE_FLAGS_CCW	   (1U << 4)
#define VFIO_DEVICE_FLAGS_AP	   (1U << 5)
#define VFIO_DEVICE_FLAGS_FSL_MC   (1U << 6)
#define VFIO_DEVICE_FLAGS_CAPS	   (1U << 7)
#define VFIO_DEVICE_FLAGS_CDX	   (1U << 8)
	uint32_t num_regions;
	uint32_t num_irqs;
	uint32_t cap_offset;
	uint32_t pad;
};

/** Fills in struct vfio_device_info. */
#define VFIO_DEVICE_GET_INFO _IO(VFIO_TYPE, VFIO_BASE + 7)

/* What sysfs says in a mediated type's device_api. */
#define VFIO_DEVICE_API_PCI_STRING	"vfio-pci"
#define VFIO_DEVICE_API_PLATFORM_STRING "vfio-platform"
#define VFIO_DEVICE_API_AMBA_STRING	"vfio-amba"
#define VFIO_DEVICE_API_CCW_STRING	"vfio-ccw"
#define VFIO_DEVICE_API_AP_STRING	"vfio-ap"

/* Ids of the capabilities of VFIO_DEVICE_GET_INFO. */
#define VFIO_DEVICE_INFO_CAP_ZPCI_BASE	     1
#define VFIO_DEVICE_INFO_CAP_ZPCI_GROUP	     2
#define VFIO_DEVICE_INFO_CAP_ZPCI_UTIL	     3
#define VFIO_DEVICE_INFO_CAP_ZPCI_PFIP	     4
#define VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP 5

/** Capability: the root port completes AtomicOps of these widths. */
struct vfio_device_info_cap_pci_atomic_comp {
	struct vfio_info_cap_header header;
	uint32_t flags;
#define VFIO_PCI_ATOMIC_COMP32	(1U << 0)
#define VFIO_PCI_ATOMIC_COMP64	(1U << 1)
#define VFIO_PCI_ATOMIC_COMP128 (1U << 2)
	uint32_t reserved;
};

/** A region of a device: its place in the device's file and what may be done there. */
struct vfio_region_info {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_REGION_INFO_FLAG_READ  (1U << 0)
#define VFIO_REGION_INFO_FLAG_WRITE (1U << 1)
#define VFIO_REGION_INFO_FLAG_MMAP  (1U << 2)
#define VFIO_REGION_INFO_FLAG_CAPS  (1U << 3)
	uint32_t index;
	uint32_t cap_offset;
	UAPI_U64 size;
	UAPI_U64 offset;
};

/** Fills in struct vfio_region_info for `index`. */
#define VFIO_DEVICE_GET_REGION_INFO _IO(VFIO_TYPE, VFIO_BASE + 8)

/* Ids of the capabilities of VFIO_DEVICE_GET_REGION_INFO. MSIX_MAPPABLE is a bare header. */
#define VFIO_REGION_INFO_CAP_SPARSE_MMAP    1
#define VFIO_REGION_INFO_CAP_TYPE	    2
#define VFIO_REGION_INFO_CAP_MSIX_MAPPABLE  3
#define VFIO_REGION_INFO_CAP_NVLINK2_SSATGT 4
#define VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD 5

/** A part of a region that mmap may take. */
struct vfio_region_sparse_mmap_area {
	UAPI_U64 offset;
	UAPI_U64 size;
};

/** Capability: only these parts of the region may be mapped. */
struct vfio_region_info_cap_sparse_mmap {
	struct vfio_info_cap_header header;
	uint32_t nr_areas;
	uint32_t reserved;
	struct vfio_region_sparse_mmap_area areas[];
};

/** Capability: what a device-specific region is. */
struct vfio_region_info_cap_type {
	struct vfio_info_cap_header header;
	uint32_t type;
	uint32_t subtype;
};

/* Types of device-specific regions. */
#define VFIO_REGION_TYPE_PCI_VENDOR_TYPE      (1U << 31)
#define VFIO_REGION_TYPE_PCI_VENDOR_MASK      0xffffU
#define VFIO_REGION_TYPE_GFX		      1
#define VFIO_REGION_TYPE_CCW		      2
#define VFIO_REGION_TYPE_MIGRATION_DEPRECATED 3

/* Subtypes of each type. */
#define VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION	 1
#define VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG	 2
#define VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG	 3
#define VFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM	 1
#define VFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD	 1
#define VFIO_REGION_SUBTYPE_GFX_EDID		 1
#define VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD	 1
#define VFIO_REGION_SUBTYPE_CCW_SCHIB		 2
#define VFIO_REGION_SUBTYPE_CCW_CRW		 3
#define VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED 1

/** Start of the EDID region of a virtual display. */
struct vfio_region_gfx_edid {
	uint32_t edid_offset;
	uint32_t edid_max_size;
	uint32_t edid_size;
	uint32_t max_xres;
	uint32_t max_yres;
	uint32_t link_state;
#define VFIO_DEVICE_GFX_LINK_STATE_UP	1
#define VFIO_DEVICE_GFX_LINK_STATE_DOWN 2
};

/** Start of the region of the first migration protocol, which no kernel of today offers. */
struct vfio_device_migration_info {
	uint32_t device_state;
#define VFIO_DEVICE_STATE_V1_STOP     0U
#define VFIO_DEVICE_STATE_V1_RUNNING  (1U << 0)
#define VFIO_DEVICE_STATE_V1_SAVING   (1U << 1)
#define VFIO_DEVICE_STATE_V1_RESUMING (1U << 2)
	uint32_t reserved;
	UAPI_U64 pending_bytes;
	UAPI_U64 data_offset;
	UAPI_U64 data_size;
};

/* The state bits of that protocol; SAVING with RESUMING is how it spells an error. */
#define VFIO_DEVICE_STATE_MASK 0x7U
#define VFIO_DEVICE_STATE_VALID(state)                                                             \
	(!((state)&VFIO_DEVICE_STATE_V1_RESUMING) ||                                               \
	 ((state)&VFIO_DEVICE_STATE_MASK) == VFIO_DEVICE_STATE_V1_RESUMING)
#define VFIO_DEVICE_STATE_IS_ERROR(state)  (((state)&VFIO_DEVICE_STATE_MASK) == 0x6U)
#define VFIO_DEVICE_STATE_SET_ERROR(state) (((state) & ~VFIO_DEVICE_STATE_MASK) | 0x6U)

/** Capability of the removed NVLink2 regions: the address as the GPU sees it. */
struct vfio_region_info_cap_nvlink2_ssatgt {
	struct vfio_info_cap_header header;
	UAPI_U64 tgt;
};

/** Capability of the removed NVLink2 regions: speed of the link. */
struct vfio_region_info_cap_nvlink2_lnkspd {
	struct vfio_info_cap_header header;
	uint32_t link_speed;
	uint32_t __pad;
};

/** One kind of interrupt: how many there are and what may be done with them. */
struct vfio_irq_info {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_IRQ_INFO_EVENTFD	 (1U << 0)
#define VFIO_IRQ_INFO_MASKABLE	 (1U << 1)
#define VFIO_IRQ_INFO_AUTOMASKED (1U << 2)
#define VFIO_IRQ_INFO_NORESIZE	 (1U << 3)
	uint32_t index;
	uint32_t count;
};

/** Fills in struct vfio_irq_info for `index`. */
#define VFIO_DEVICE_GET_IRQ_INFO _IO(VFIO_TYPE, VFIO_BASE + 9)

/** One action on interrupts start … start + count - 1 of one kind, with one kind of data. */
struct vfio_irq_set {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_IRQ_SET_DATA_NONE	    (1U << 0)
#define VFIO_IRQ_SET_DATA_BOOL	    (1U << 1)
#define VFIO_IRQ_SET_DATA_EVENTFD   (1U << 2)
#define VFIO_IRQ_SET_ACTION_MASK    (1U << 3)
#define VFIO_IRQ_SET_ACTION_UNMASK  (1U << 4)
#define VFIO_IRQ_SET_ACTION_TRIGGER (1U << 5)
	uint32_t index;
	uint32_t start;
	uint32_t count;
	uint8_t data[];
};

#define VFIO_IRQ_SET_DATA_TYPE_MASK                                                                \
	(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_DATA_EVENTFD)
#define VFIO_IRQ_SET_ACTION_TYPE_MASK                                                              \
	(VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_ACTION_TRIGGER)

/** Sets up, triggers, masks or unmasks interrupts. */
#define VFIO_DEVICE_SET_IRQS _IO(VFIO_TYPE, VFIO_BASE + 10)
/** No argument. Resets the device. */
#define VFIO_DEVICE_RESET    _IO(VFIO_TYPE, VFIO_BASE + 11)

/* Regions of a PCI device; device-specific ones come after. */
enum {
	VFIO_PCI_BAR0_REGION_INDEX = 0,
	VFIO_PCI_BAR1_REGION_INDEX = 1,
	VFIO_PCI_BAR2_REGION_INDEX = 2,
	VFIO_PCI_BAR3_REGION_INDEX = 3,
	VFIO_PCI_BAR4_REGION_INDEX = 4,
	VFIO_PCI_BAR5_REGION_INDEX = 5,
	VFIO_PCI_ROM_REGION_INDEX = 6,
	VFIO_PCI_CONFIG_REGION_INDEX = 7,
	VFIO_PCI_VGA_REGION_INDEX = 8,
	VFIO_PCI_NUM_REGIONS = 9,
};

/* Interrupts of a PCI device. */
enum {
	VFIO_PCI_INTX_IRQ_INDEX = 0,
	VFIO_PCI_MSI_IRQ_INDEX = 1,
	VFIO_PCI_MSIX_IRQ_INDEX = 2,
	VFIO_PCI_ERR_IRQ_INDEX = 3,
	VFIO_PCI_REQ_IRQ_INDEX = 4,
	VFIO_PCI_NUM_IRQS = 5,
};

/* Regions and interrupts of a channel device (s390). */
enum {
	VFIO_CCW_CONFIG_REGION_INDEX = 0,
	VFIO_CCW_NUM_REGIONS = 1,
};

enum {
	VFIO_CCW_IO_IRQ_INDEX = 0,
	VFIO_CCW_CRW_IRQ_INDEX = 1,
	VFIO_CCW_REQ_IRQ_INDEX = 2,
	VFIO_CCW_NUM_IRQS = 3,
};

/* Interrupts of a crypto adapter (s390). */
enum {
	VFIO_AP_REQ_IRQ_INDEX = 0,
	VFIO_AP_CFG_CHG_IRQ_INDEX = 1,
	VFIO_AP_NUM_IRQS = 2,
};

/** A device that a hot reset takes along: by group, or by iommufd device id. */
struct vfio_pci_dependent_device {
	union {
		uint32_t group_id;
		uint32_t devid;
#define VFIO_PCI_DEVID_OWNED	 0
#define VFIO_PCI_DEVID_NOT_OWNED 0xffffffffU
	};
	uint16_t segment;
	uint8_t bus;
	uint8_t devfn;
};

/** The devices that a hot reset takes along. */
struct vfio_pci_hot_reset_info {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_PCI_HOT_RESET_FLAG_DEV_ID	     (1U << 0)
#define VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED (1U << 1)
	uint32_t count;
	struct vfio_pci_dependent_device devices[];
};

/** Fills in struct vfio_pci_hot_reset_info. */
#define VFIO_DEVICE_GET_PCI_HOT_RESET_INFO _IO(VFIO_TYPE, VFIO_BASE + 12)

/** Proof of ownership for a hot reset: the affected groups, or nothing for a device of an iommufd.
 */
struct vfio_pci_hot_reset {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
	int32_t group_fds[];
};

/** Resets the bus or slot of the device. */
#define VFIO_DEVICE_PCI_HOT_RESET _IO(VFIO_TYPE, VFIO_BASE + 13)

/** A plane of a virtual display, or the question which kinds there are (PROBE). */
struct vfio_device_gfx_plane_info {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_GFX_PLANE_TYPE_PROBE  (1U << 0)
#define VFIO_GFX_PLANE_TYPE_DMABUF (1U << 1)
#define VFIO_GFX_PLANE_TYPE_REGION (1U << 2)
	uint32_t drm_plane_type;
	uint32_t drm_format;
	UAPI_U64 drm_format_mod;
	uint32_t width;
	uint32_t height;
	uint32_t stride;
	uint32_t size;
	uint32_t x_pos;
	uint32_t y_pos;
	uint32_t x_hot;
	uint32_t y_hot;
	union {
		uint32_t region_index;
		uint32_t dmabuf_id;
	};
	uint32_t reserved;
};

/** Fills in struct vfio_device_gfx_plane_info. */
#define VFIO_DEVICE_QUERY_GFX_PLANE _IO(VFIO_TYPE, VFIO_BASE + 14)
/** Pointer to a dmabuf_id; returns a descriptor of the buffer. */
#define VFIO_DEVICE_GET_GFX_DMABUF  _IO(VFIO_TYPE, VFIO_BASE + 15)

/** A write that the kernel does by itself when the eventfd fires; -1 ends it. */
struct vfio_device_ioeventfd {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_DEVICE_IOEVENTFD_8		(1U << 0)
#define VFIO_DEVICE_IOEVENTFD_16	(1U << 1)
#define VFIO_DEVICE_IOEVENTFD_32	(1U << 2)
#define VFIO_DEVICE_IOEVENTFD_64	(1U << 3)
#define VFIO_DEVICE_IOEVENTFD_SIZE_MASK 0xfU
	UAPI_U64 offset;
	UAPI_U64 data;
	int32_t fd;
	uint32_t reserved;
};

/** Ties an eventfd to a register write. */
#define VFIO_DEVICE_IOEVENTFD _IO(VFIO_TYPE, VFIO_BASE + 16)

/** One feature (low 16 bits of flags) is read, set or probed; its payload follows. */
struct vfio_device_feature {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_DEVICE_FEATURE_MASK  0xffffU
#define VFIO_DEVICE_FEATURE_GET	  (1U << 16)
#define VFIO_DEVICE_FEATURE_SET	  (1U << 17)
#define VFIO_DEVICE_FEATURE_PROBE (1U << 18)
	uint8_t data[];
};

/** Reads, sets or probes a feature. */
#define VFIO_DEVICE_FEATURE _IO(VFIO_TYPE, VFIO_BASE + 17)

/** Ties a device that was opened as a cdev to an iommufd; the device's id comes back. */
struct vfio_device_bind_iommufd {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_DEVICE_BIND_FLAG_TOKEN (1U << 0)
	int32_t iommufd;
	uint32_t out_devid;
	UAPI_U64 token_uuid_ptr;
};

/** First call on a cdev. */
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)

/** The IOAS or HWPT to attach to; the id of the HWPT comes back in pt_id. */
struct vfio_device_attach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_DEVICE_ATTACH_PASID (1U << 0)
	uint32_t pt_id;
	uint32_t pasid;
};

/** Attaches the device, or one PASID of it, to a page table. */
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)

/** Which attachment to end. */
struct vfio_device_detach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_DEVICE_DETACH_PASID (1U << 0)
	uint32_t pasid;
};

/** Detaches the device, or one PASID of it. */
#define VFIO_DEVICE_DETACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 20)

/* ---- Payloads of VFIO_DEVICE_FEATURE ---- */

/* Numbers of the features. */
#define VFIO_DEVICE_FEATURE_PCI_VF_TOKEN		0
#define VFIO_DEVICE_FEATURE_MIGRATION			1
#define VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE		2
#define VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY		3
#define VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP 4
#define VFIO_DEVICE_FEATURE_LOW_POWER_EXIT		5
#define VFIO_DEVICE_FEATURE_DMA_LOGGING_START		6
#define VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP		7
#define VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT		8
#define VFIO_DEVICE_FEATURE_MIG_DATA_SIZE		9
#define VFIO_DEVICE_FEATURE_BUS_MASTER			10
#define VFIO_DEVICE_FEATURE_DMA_BUF			11
#define VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2		12

/** MIGRATION: which optional states the device has. */
struct vfio_device_feature_migration {
	UAPI_U64 flags;
#define VFIO_MIGRATION_STOP_COPY (1U << 0)
#define VFIO_MIGRATION_P2P	 (1U << 1)
#define VFIO_MIGRATION_PRE_COPY	 (1U << 2)
};

/** MIG_DEVICE_STATE: the state, and the descriptor of the data stream that a change opened. */
struct vfio_device_feature_mig_state {
	uint32_t device_state;
	int32_t data_fd;
};

/** States of a migrating device. */
enum vfio_device_mig_state {
	VFIO_DEVICE_STATE_ERROR = 0,
	VFIO_DEVICE_STATE_STOP = 1,
	VFIO_DEVICE_STATE_RUNNING = 2,
	VFIO_DEVICE_STATE_STOP_COPY = 3,
	VFIO_DEVICE_STATE_RESUMING = 4,
	VFIO_DEVICE_STATE_RUNNING_P2P = 5,
	VFIO_DEVICE_STATE_PRE_COPY = 6,
	VFIO_DEVICE_STATE_PRE_COPY_P2P = 7,
	VFIO_DEVICE_STATE_NR = 8,
};

/** What is left to copy while the device still runs. */
struct vfio_precopy_info {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_PRECOPY_INFO_REINIT (1U << 0)
	UAPI_U64 initial_bytes;
	UAPI_U64 dirty_bytes;
};

/** On the data stream: fills in struct vfio_precopy_info. */
#define VFIO_MIG_GET_PRECOPY_INFO _IO(VFIO_TYPE, VFIO_BASE + 21)

/** LOW_POWER_ENTRY_WITH_WAKEUP: the eventfd that says that the device woke up. */
struct vfio_device_low_power_entry_with_wakeup {
	int32_t wakeup_eventfd;
	uint32_t reserved;
};

/** DMA_LOGGING_START: page size and the ranges to log; the page size comes back. */
struct vfio_device_feature_dma_logging_control {
	UAPI_U64 page_size;
	uint32_t num_ranges;
	uint32_t __reserved;
	UAPI_U64 ranges;
};

/** One range to log. */
struct vfio_device_feature_dma_logging_range {
	UAPI_U64 iova;
	UAPI_U64 length;
};

/** DMA_LOGGING_REPORT: a range and the bitmap to set its dirty pages in. */
struct vfio_device_feature_dma_logging_report {
	UAPI_U64 iova;
	UAPI_U64 length;
	UAPI_U64 page_size;
	UAPI_U64 bitmap;
};

/** MIG_DATA_SIZE: estimate of the bytes that STOP_COPY transfers. */
struct vfio_device_feature_mig_data_size {
	UAPI_U64 stop_copy_length;
};

/** BUS_MASTER: allows or forbids the device's DMA. */
struct vfio_device_feature_bus_master {
	uint32_t op;
#define VFIO_DEVICE_FEATURE_CLEAR_MASTER 0
#define VFIO_DEVICE_FEATURE_SET_MASTER	 1
};

/** A slice of a region. */
struct vfio_region_dma_range {
	uint64_t offset;
	uint64_t length;
};

/** DMA_BUF: slices of one region to export as a dma-buf. */
struct vfio_device_feature_dma_buf {
	uint32_t region_index;
	uint32_t open_flags;
	uint32_t flags;
	uint32_t nr_ranges;
	struct vfio_region_dma_range dma_ranges[];
};

#endif
