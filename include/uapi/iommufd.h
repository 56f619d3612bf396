/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The iommufd interface of Linux 7.2 as the project sees it: names, numbers and layouts, in our own
 * words. The same rules as in uapi/vfio.h apply: abi.def freezes it, and a file takes either this
 * or linux/iommufd.h.
 *
 * Every argument starts with its size. The kernel copies what it knows, refuses a non-zero rest
 * with E2BIG and a struct that is too short with EINVAL; a number that it does not know is ENOTTY,
 * a known field with a value that it does not support EOPNOTSUPP, an id or an IOVA that does not
 * exist ENOENT.
 */
#ifndef UAPI_IOMMUFD_H
#define UAPI_IOMMUFD_H

#ifdef _IOMMUFD_H
#error "linux/iommufd.h is already included; a file takes either that or uapi/iommufd.h"
#endif

#include <linux/ioctl.h>
#include <stdint.h>

/** A u64 that is 8-byte aligned on 32-bit machines as well. */
#ifndef UAPI_U64
#define UAPI_U64 uint64_t __attribute__((aligned(8)))
#endif

#define IOMMUFD_TYPE (';')

/* Numbers of the ioctls. */
enum {
	IOMMUFD_CMD_BASE = 0x80,
	IOMMUFD_CMD_DESTROY = 0x80,
	IOMMUFD_CMD_IOAS_ALLOC = 0x81,
	IOMMUFD_CMD_IOAS_ALLOW_IOVAS = 0x82,
	IOMMUFD_CMD_IOAS_COPY = 0x83,
	IOMMUFD_CMD_IOAS_IOVA_RANGES = 0x84,
	IOMMUFD_CMD_IOAS_MAP = 0x85,
	IOMMUFD_CMD_IOAS_UNMAP = 0x86,
	IOMMUFD_CMD_OPTION = 0x87,
	IOMMUFD_CMD_VFIO_IOAS = 0x88,
	IOMMUFD_CMD_HWPT_ALLOC = 0x89,
	IOMMUFD_CMD_GET_HW_INFO = 0x8a,
	IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING = 0x8b,
	IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP = 0x8c,
	IOMMUFD_CMD_HWPT_INVALIDATE = 0x8d,
	IOMMUFD_CMD_FAULT_QUEUE_ALLOC = 0x8e,
	IOMMUFD_CMD_IOAS_MAP_FILE = 0x8f,
	IOMMUFD_CMD_VIOMMU_ALLOC = 0x90,
	IOMMUFD_CMD_VDEVICE_ALLOC = 0x91,
	IOMMUFD_CMD_IOAS_CHANGE_PROCESS = 0x92,
	IOMMUFD_CMD_VEVENTQ_ALLOC = 0x93,
	IOMMUFD_CMD_HW_QUEUE_ALLOC = 0x94,
};

/* ---- Objects and IOVA spaces ---- */

/** The object to destroy, of any kind that a user may destroy. */
struct iommu_destroy {
	uint32_t size;
	uint32_t id;
};

/** Destroys an object; EBUSY while another one uses it. */
#define IOMMU_DESTROY _IO(IOMMUFD_TYPE, IOMMUFD_CMD_DESTROY)

/** A new, empty IOAS. */
struct iommu_ioas_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_ioas_id;
};

/** Makes an IOAS. */
#define IOMMU_IOAS_ALLOC _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOC)

/** A range of IOVAs, both ends included. */
struct iommu_iova_range {
	UAPI_U64 start;
	UAPI_U64 last;
};

/** Where the array for the usable ranges is and how many it holds; their number comes back. */
struct iommu_ioas_iova_ranges {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t num_iovas;
	uint32_t __reserved;
	UAPI_U64 allowed_iovas;
	UAPI_U64 out_iova_alignment;
};

/** Tells the ranges that maps may use; EMSGSIZE where the array is too short. */
#define IOMMU_IOAS_IOVA_RANGES _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_IOVA_RANGES)

/** The ranges that must stay usable whatever is attached later. */
struct iommu_ioas_allow_iovas {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t num_iovas;
	uint32_t __reserved;
	UAPI_U64 allowed_iovas;
};

/** Replaces the list of ranges that must stay usable. */
#define IOMMU_IOAS_ALLOW_IOVAS _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOW_IOVAS)

/** Flags of MAP, MAP_FILE and COPY: the caller picks the IOVA; the device may write; it may read.
 */
enum iommufd_ioas_map_flags {
	IOMMU_IOAS_MAP_FIXED_IOVA = 1 << 0,
	IOMMU_IOAS_MAP_WRITEABLE = 1 << 1,
	IOMMU_IOAS_MAP_READABLE = 1 << 2,
};

/** A mapping of the caller's memory. */
struct iommu_ioas_map {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	uint32_t __reserved;
	UAPI_U64 user_va;
	UAPI_U64 length;
	UAPI_U64 iova;
};

/** Maps memory; the IOVA comes back. */
#define IOMMU_IOAS_MAP _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_MAP)

/** A mapping of a memfd's (or a suitable dma-buf's) bytes. */
struct iommu_ioas_map_file {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	int32_t fd;
	UAPI_U64 start;
	UAPI_U64 length;
	UAPI_U64 iova;
};

/** Maps part of a file; the IOVA comes back. */
#define IOMMU_IOAS_MAP_FILE _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_MAP_FILE)

/** A mapping that shares the pages of one in another (or the same) IOAS. */
struct iommu_ioas_copy {
	uint32_t size;
	uint32_t flags;
	uint32_t dst_ioas_id;
	uint32_t src_ioas_id;
	UAPI_U64 length;
	UAPI_U64 dst_iova;
	UAPI_U64 src_iova;
};

/** Copies a mapping; the new IOVA comes back. */
#define IOMMU_IOAS_COPY _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_COPY)

/** A range that covers whole mappings; 0 and UINT64_MAX mean all of them. */
struct iommu_ioas_unmap {
	uint32_t size;
	uint32_t ioas_id;
	UAPI_U64 iova;
	UAPI_U64 length;
};

/** Unmaps; the bytes come back in length. */
#define IOMMU_IOAS_UNMAP _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_UNMAP)

/** Which option: how locked memory is accounted (of the descriptor), large pages (of an IOAS). */
enum iommufd_option {
	IOMMU_OPTION_RLIMIT_MODE = 0,
	IOMMU_OPTION_HUGE_PAGES = 1,
};

/** What to do with an option. */
enum iommufd_option_ops {
	IOMMU_OPTION_OP_SET = 0,
	IOMMU_OPTION_OP_GET = 1,
};

/** An option's value, of the descriptor (object_id 0) or of an object. */
struct iommu_option {
	uint32_t size;
	uint32_t option_id;
	uint16_t op;
	uint16_t __reserved;
	uint32_t object_id;
	UAPI_U64 val64;
};

/** Sets or reads an option. */
#define IOMMU_OPTION _IO(IOMMUFD_TYPE, IOMMUFD_CMD_OPTION)

/** What to do with the IOAS of the VFIO compatibility. */
enum iommufd_vfio_ioas_op {
	IOMMU_VFIO_IOAS_GET = 0,
	IOMMU_VFIO_IOAS_SET = 1,
	IOMMU_VFIO_IOAS_CLEAR = 2,
};

/** The IOAS that container ioctls on an iommufd work on. */
struct iommu_vfio_ioas {
	uint32_t size;
	uint32_t ioas_id;
	uint16_t op;
	uint16_t __reserved;
};

/** Gets, sets or clears that IOAS. */
#define IOMMU_VFIO_IOAS _IO(IOMMUFD_TYPE, IOMMUFD_CMD_VFIO_IOAS)

/** Hands the accounting of all mapped files to the calling process. */
struct iommu_ioas_change_process {
	uint32_t size;
	uint32_t __reserved;
};

/** Fails with EINVAL, and changes nothing, where a mapping is not of a file. */
#define IOMMU_IOAS_CHANGE_PROCESS _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_CHANGE_PROCESS)

/* ---- Page tables ---- */

/** Flags of HWPT_ALLOC. */
enum iommufd_hwpt_alloc_flags {
	IOMMU_HWPT_ALLOC_NEST_PARENT = 1 << 0,
	IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 1 << 1,
	IOMMU_HWPT_FAULT_ID_VALID = 1 << 2,
	IOMMU_HWPT_ALLOC_PASID = 1 << 3,
};

/** Flags of a VT-d first-stage table: supervisor requests, extended access flag, write protection.
 */
enum iommu_hwpt_vtd_s1_flags {
	IOMMU_VTD_S1_SRE = 1 << 0,
	IOMMU_VTD_S1_EAFE = 1 << 1,
	IOMMU_VTD_S1_WPE = 1 << 2,
};

/** Data of a VT-d first-stage table of a guest. */
struct iommu_hwpt_vtd_s1 {
	UAPI_U64 flags;
	UAPI_U64 pgtbl_addr;
	uint32_t addr_width;
	uint32_t __reserved;
};

/** Data of an SMMUv3 nested table: two little-endian words of the guest's stream table entry. */
struct iommu_hwpt_arm_smmuv3 {
	UAPI_U64 ste[2];
};

/** Data of an AMD nested table: the guest's device table entry. */
struct iommu_hwpt_amd_guest {
	UAPI_U64 dte[4];
};

/** Kinds of that data. */
enum iommu_hwpt_data_type {
	IOMMU_HWPT_DATA_NONE = 0,
	IOMMU_HWPT_DATA_VTD_S1 = 1,
	IOMMU_HWPT_DATA_ARM_SMMUV3 = 2,
	IOMMU_HWPT_DATA_AMD_GUEST = 3,
};

/** A page table for a device: on an IOAS, or nested on a parent or a vIOMMU with a driver's data.
 */
struct iommu_hwpt_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t pt_id;
	uint32_t out_hwpt_id;
	uint32_t __reserved;
	uint32_t data_type;
	uint32_t data_len;
	UAPI_U64 data_uptr;
	uint32_t fault_id;
	uint32_t __reserved2;
};

/** Makes a page table. */
#define IOMMU_HWPT_ALLOC _IO(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_ALLOC)

/** Flags of struct iommu_hw_info_vtd. */
enum iommu_hw_info_vtd_flags {
	IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 1 << 0,
};

/** VT-d's capability registers. */
struct iommu_hw_info_vtd {
	uint32_t flags;
	uint32_t __reserved;
	UAPI_U64 cap_reg;
	UAPI_U64 ecap_reg;
};

/** SMMUv3's identification registers. */
struct iommu_hw_info_arm_smmuv3 {
	uint32_t flags;
	uint32_t __reserved;
	uint32_t idr[6];
	uint32_t iidr;
	uint32_t aidr;
};

/** What the command queue extension of Tegra241 has. */
struct iommu_hw_info_tegra241_cmdqv {
	uint32_t flags;
	uint8_t version;
	uint8_t log2vcmdqs;
	uint8_t log2vsids;
	uint8_t __reserved;
};

/** AMD's extended feature registers. */
struct iommu_hw_info_amd {
	UAPI_U64 efr;
	UAPI_U64 efr2;
};

/** Kinds of hardware information. */
enum iommu_hw_info_type {
	IOMMU_HW_INFO_TYPE_NONE = 0,
	IOMMU_HW_INFO_TYPE_DEFAULT = 0,
	IOMMU_HW_INFO_TYPE_INTEL_VTD = 1,
	IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2,
	IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV = 3,
	IOMMU_HW_INFO_TYPE_AMD = 4,
};

/** Bits of out_capabilities. */
enum iommufd_hw_capabilities {
	IOMMU_HW_CAP_DIRTY_TRACKING = 1 << 0,
	IOMMU_HW_CAP_PCI_PASID_EXEC = 1 << 1,
	IOMMU_HW_CAP_PCI_PASID_PRIV = 1 << 2,
	IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED = 1 << 3,
};

/** Flags of GET_HW_INFO: in_data_type asks for one kind. */
enum iommufd_hw_info_flags {
	IOMMU_HW_INFO_FLAG_INPUT_TYPE = 1 << 0,
};

/** What the IOMMU of a device is, and the buffer for its own data. */
struct iommu_hw_info {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t data_len;
	UAPI_U64 data_uptr;
	union {
		uint32_t in_data_type;
		uint32_t out_data_type;
	};
	uint8_t out_max_pasid_log2;
	uint8_t __reserved[3];
	UAPI_U64 out_capabilities;
};

/** Fills in struct iommu_hw_info. */
#define IOMMU_GET_HW_INFO _IO(IOMMUFD_TYPE, IOMMUFD_CMD_GET_HW_INFO)

/** Flags of SET_DIRTY_TRACKING. */
enum iommufd_hwpt_set_dirty_tracking_flags {
	IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1,
};

/** Turns the dirty tracking of a page table on or off. */
struct iommu_hwpt_set_dirty_tracking {
	uint32_t size;
	uint32_t flags;
	uint32_t hwpt_id;
	uint32_t __reserved;
};

/** Works on struct iommu_hwpt_set_dirty_tracking. */
#define IOMMU_HWPT_SET_DIRTY_TRACKING _IO(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING)

/** Flags of GET_DIRTY_BITMAP: leave the dirty bits as they are. */
enum iommufd_hwpt_get_dirty_bitmap_flags {
	IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1,
};

/** A range of a page table and the bitmap in the caller's memory, a bit a page of page_size bytes.
 */
struct iommu_hwpt_get_dirty_bitmap {
	uint32_t size;
	uint32_t hwpt_id;
	uint32_t flags;
	uint32_t __reserved;
	UAPI_U64 iova;
	UAPI_U64 length;
	UAPI_U64 page_size;
	UAPI_U64 data;
};

/** Reads, and by default clears, dirty bits. */
#define IOMMU_HWPT_GET_DIRTY_BITMAP _IO(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP)

/** Kinds of invalidation requests. */
enum iommu_hwpt_invalidate_data_type {
	IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0,
	IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 = 1,
};

/** Flags of a VT-d request: leaf entries only. */
enum iommu_hwpt_vtd_s1_invalidate_flags {
	IOMMU_VTD_INV_FLAGS_LEAF = 1 << 0,
};

/** A VT-d request: pages from addr; UINT64_MAX pages from 0 for everything. */
struct iommu_hwpt_vtd_s1_invalidate {
	UAPI_U64 addr;
	UAPI_U64 npages;
	uint32_t flags;
	uint32_t __reserved;
};

/** An SMMUv3 request: a little-endian command of the guest's queue. */
struct iommu_viommu_arm_smmuv3_invalidate {
	UAPI_U64 cmd[2];
};

/** An array of requests for a nested page table or a vIOMMU; the number handled comes back. */
struct iommu_hwpt_invalidate {
	uint32_t size;
	uint32_t hwpt_id;
	UAPI_U64 data_uptr;
	uint32_t data_type;
	uint32_t entry_len;
	uint32_t entry_num;
	uint32_t __reserved;
};

/** Invalidates cached translations. */
#define IOMMU_HWPT_INVALIDATE _IO(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_INVALIDATE)

/* ---- Page faults ---- */

/** Flags of a fault message. */
enum iommu_hwpt_pgfault_flags {
	IOMMU_PGFAULT_FLAGS_PASID_VALID = 1 << 0,
	IOMMU_PGFAULT_FLAGS_LAST_PAGE = 1 << 1,
};

/** What the device wanted to do. */
enum iommu_hwpt_pgfault_perm {
	IOMMU_PGFAULT_PERM_READ = 1 << 0,
	IOMMU_PGFAULT_PERM_WRITE = 1 << 1,
	IOMMU_PGFAULT_PERM_EXEC = 1 << 2,
	IOMMU_PGFAULT_PERM_PRIV = 1 << 3,
};

/** A fault message, read from the fault queue's descriptor. */
struct iommu_hwpt_pgfault {
	uint32_t flags;
	uint32_t dev_id;
	uint32_t pasid;
	uint32_t grpid;
	uint32_t perm;
	uint32_t __reserved;
	UAPI_U64 addr;
	uint32_t length;
	uint32_t cookie;
};

/** Answers to a fault: handled, or cannot be. */
enum iommufd_page_response_code {
	IOMMUFD_PAGE_RESP_SUCCESS = 0,
	IOMMUFD_PAGE_RESP_INVALID = 1,
};

/** The answer to the group of faults with that cookie, written to the descriptor. */
struct iommu_hwpt_page_response {
	uint32_t cookie;
	uint32_t code;
};

/** A new fault queue: its id and its descriptor come back. */
struct iommu_fault_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_fault_id;
	uint32_t out_fault_fd;
};

/** Makes a fault queue. */
#define IOMMU_FAULT_QUEUE_ALLOC _IO(IOMMUFD_TYPE, IOMMUFD_CMD_FAULT_QUEUE_ALLOC)

/* ---- Virtual IOMMUs ---- */

/** Kinds of vIOMMUs. */
enum iommu_viommu_type {
	IOMMU_VIOMMU_TYPE_DEFAULT = 0,
	IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1,
	IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2,
};

/** Data of a Tegra241 vIOMMU: where to mmap its register page. */
struct iommu_viommu_tegra241_cmdqv {
	UAPI_U64 out_vintf_mmap_offset;
	UAPI_U64 out_vintf_mmap_length;
};

/** A slice of the IOMMU behind a device, for one VM, on a nesting parent. */
struct iommu_viommu_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t type;
	uint32_t dev_id;
	uint32_t hwpt_id;
	uint32_t out_viommu_id;
	uint32_t data_len;
	uint32_t __reserved;
	UAPI_U64 data_uptr;
};

/** Makes a vIOMMU. */
#define IOMMU_VIOMMU_ALLOC _IO(IOMMUFD_TYPE, IOMMUFD_CMD_VIOMMU_ALLOC)

/** The id that a device has in a vIOMMU, such as a stream id. */
struct iommu_vdevice_alloc {
	uint32_t size;
	uint32_t viommu_id;
	uint32_t dev_id;
	uint32_t out_vdevice_id;
	UAPI_U64 virt_id;
};

/** Makes a virtual device. */
#define IOMMU_VDEVICE_ALLOC _IO(IOMMUFD_TYPE, IOMMUFD_CMD_VDEVICE_ALLOC)

/** Flags of an event's header: events were lost before it, and none follows it. */
enum iommu_veventq_flag {
	IOMMU_VEVENTQ_FLAG_LOST_EVENTS = 1U << 0,
};

/** Head of each event read from an event queue; the sequence counts to INT_MAX and starts again. */
struct iommufd_vevent_header {
	uint32_t flags;
	uint32_t sequence;
};

/** Kinds of event queues. */
enum iommu_veventq_type {
	IOMMU_VEVENTQ_TYPE_DEFAULT = 0,
	IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 = 1,
	IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV = 2,
};

/** An SMMUv3 event record, little-endian. */
struct iommu_vevent_arm_smmuv3 {
	UAPI_U64 evt[4];
};

/** Tegra241's map of command queues in error, little-endian. */
struct iommu_vevent_tegra241_cmdqv {
	UAPI_U64 lvcmdq_err_map[2];
};

/** A new event queue of a vIOMMU: its id and its descriptor come back. */
struct iommu_veventq_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t viommu_id;
	uint32_t type;
	uint32_t veventq_depth;
	uint32_t out_veventq_id;
	uint32_t out_veventq_fd;
	uint32_t __reserved;
};

/** Makes an event queue. */
#define IOMMU_VEVENTQ_ALLOC _IO(IOMMUFD_TYPE, IOMMUFD_CMD_VEVENTQ_ALLOC)

/** Kinds of hardware queues. */
enum iommu_hw_queue_type {
	IOMMU_HW_QUEUE_TYPE_DEFAULT = 0,
	IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV = 1,
};

/** Guest memory that the hardware reads as a queue of a vIOMMU. */
struct iommu_hw_queue_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t viommu_id;
	uint32_t type;
	uint32_t index;
	uint32_t out_hw_queue_id;
	UAPI_U64 nesting_parent_iova;
	UAPI_U64 length;
};

/** Makes a hardware queue. */
#define IOMMU_HW_QUEUE_ALLOC _IO(IOMMUFD_TYPE, IOMMUFD_CMD_HW_QUEUE_ALLOC)

#endif
