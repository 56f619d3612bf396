/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vfio-user protocol, version 0.1: VFIO calls as messages over a UNIX stream socket.
 *
 * A message is a struct vfio_user_header and a payload; descriptors ride along with the message as
 * SCM_RIGHTS. Numbers are in the byte order of the machine. Every command has a reply, unless it
 * says NO_REPLY; the reply echoes id and command. A reply with ERROR is a header alone.
 *
 * Where a payload has argsz, a request says with it how many bytes of payload the reply may have
 * (DMA_MAP and SET_IRQS, whose replies have none: bytes of the request's own payload), and a reply
 * says how many it would need. If those are more than the request allowed, the reply is cut to the
 * part that never varies.
 *
 * What is said of a payload: "in" the request's, "out" the reply's. Regions, interrupts and
 * features have the structs of uapi/vfio.h where those have the same layout.
 */
#ifndef UAPI_VFIO_USER_H
#define UAPI_VFIO_USER_H

#include <stdint.h>
#include <uapi/vfio.h>

/* ---- the header ---- */

enum {
	VFIO_USER_MAJOR = 0, /**< both sides must have the same */
	VFIO_USER_MINOR = 1, /**< the reply's is at most the request's */
};

/** What a message asks for. 14 was DIRTY_PAGES, which the features of DMA logging replaced. */
enum vfio_user_command {
	VFIO_USER_VERSION = 1,	 /**< first message; in and out: vfio_user_version, then JSON */
	VFIO_USER_DMA_MAP = 2,	 /**< in: vfio_user_dma_map, 0 or 1 descriptor; out: nothing */
	VFIO_USER_DMA_UNMAP = 3, /**< in: vfio_user_dma_unmap (with bitmap: vfio_user_bitmap);
				    out: the same, with the bits */
	VFIO_USER_DEVICE_GET_INFO = 4,	      /**< in and out: vfio_user_device_info */
	VFIO_USER_DEVICE_GET_REGION_INFO = 5, /**< in and out: vfio_region_info; out: capabilities,
						 a descriptor with VFIO_REGION_INFO_FLAG_MMAP */
	VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6, /**< in and out: vfio_user_region_io_fds; out:
						   vfio_user_io_fd per part, descriptors */
	VFIO_USER_DEVICE_GET_IRQ_INFO = 7,	/**< in and out: vfio_irq_info */
	VFIO_USER_DEVICE_SET_IRQS = 8, /**< in: vfio_irq_set, booleans in data or eventfds with the
					  message; out: nothing */
	VFIO_USER_REGION_READ = 9,     /**< in: vfio_user_region_access; out: the same, data */
	VFIO_USER_REGION_WRITE = 10,   /**< in: vfio_user_region_access, data; out: without data */
	VFIO_USER_DMA_READ = 11,       /**< server to client. in: vfio_user_dma_access; out: data */
	VFIO_USER_DMA_WRITE = 12,      /**< server to client. in: vfio_user_dma_access, data; out:
					  without data */
	VFIO_USER_DEVICE_RESET = 13,   /**< no payload */
	VFIO_USER_DIRTY_PAGES = 14,    /**< retired: nobody answers it any more */
	VFIO_USER_REGION_WRITE_MULTI = 15, /**< in: vfio_user_write_multi, vfio_user_write_one each;
					      out: vfio_user_write_multi with what was done */
	VFIO_USER_DEVICE_FEATURE = 16,	   /**< in and out: vfio_device_feature and its payload */
	VFIO_USER_MIG_DATA_READ = 17,	   /**< in: vfio_user_mig_data; out: the same, data */
	VFIO_USER_MIG_DATA_WRITE = 18,	   /**< in: vfio_user_mig_data, data; out: nothing */
	VFIO_USER_COMMANDS = 19,	   /**< one more than the highest */
};

/** Starts every message. */
struct vfio_user_header {
	uint16_t msg_id;   /**< the sender's own; a reply has its command's */
	uint16_t cmd;	   /**< enum vfio_user_command */
	uint32_t msg_size; /**< bytes of header and payload */
	uint32_t flags;
#define VFIO_USER_F_TYPE_MASK	 0xfU
#define VFIO_USER_F_TYPE_COMMAND 0x0U
#define VFIO_USER_F_TYPE_REPLY	 0x1U
#define VFIO_USER_F_NO_REPLY	 (1U << 4) /* a command: nobody waits for the reply */
#define VFIO_USER_F_ERROR	 (1U << 5) /* a reply: error_no counts, there is no payload */
	uint32_t error_no; /**< a positive errno of Linux; may be 0 even with ERROR */
};

/* ---- negotiation ---- */

/** VERSION. A JSON object as a string with its NUL follows, or nothing. */
struct vfio_user_version {
	uint16_t major;
	uint16_t minor;
	uint8_t data[];
};

/*
 * The JSON is {"capabilities": {…}}. Each side says what it can take; an absent key is its default.
 * What a side does not know it ignores.
 */
#define VFIO_USER_CAP_CAPABILITIES   "capabilities"
#define VFIO_USER_CAP_MAX_MSG_FDS    "max_msg_fds"	  /* number: descriptors in one message */
#define VFIO_USER_CAP_MAX_DATA_XFER  "max_data_xfer_size" /* number: bytes that `count` may say */
#define VFIO_USER_CAP_MAX_DMA_MAPS   "max_dma_maps"	  /* number: maps at one time */
#define VFIO_USER_CAP_PGSIZES	     "pgsizes"	      /* number: bit N set: pages of 2^N bytes */
#define VFIO_USER_CAP_WRITE_MULTIPLE "write_multiple" /* boolean: REGION_WRITE_MULTI is known */
#define VFIO_USER_CAP_TWIN_SOCKET    "twin_socket" /* object: a socket for the server's commands */
#define VFIO_USER_CAP_TWIN_SUPPORTED "supported"   /* in twin_socket, boolean */
#define VFIO_USER_CAP_TWIN_FD_INDEX  "fd_index"	   /* in twin_socket of a reply: which descriptor */

/** What an absent key means. */
enum {
	VFIO_USER_DEFAULT_MAX_MSG_FDS = 1,
	VFIO_USER_DEFAULT_MAX_DATA_XFER_BYTES = 1 << 20,
	VFIO_USER_DEFAULT_MAX_DMA_MAPS = 65535,
	VFIO_USER_DEFAULT_PGSIZES = 4096,
};

/** What vfake and its stack take of the other side; the protocol has no such limits of its own. */
enum {
	VFIO_USER_MAX_MSG_FDS = 32, /**< descriptors in one message; more are closed, unseen */
	VFIO_USER_MAX_VERSION_BYTES = 4096, /**< of the JSON with its NUL */
	VFIO_USER_MAX_FIXED_BYTES = 4096,   /**< of a payload beside the data that it carries */
	VFIO_USER_MAX_DATA_XFER_BYTES = VFIO_USER_DEFAULT_MAX_DATA_XFER_BYTES,
	/** The longest message: a larger msg_size ends the connection. */
	VFIO_USER_MAX_MSG_BYTES = 16 + VFIO_USER_MAX_FIXED_BYTES + VFIO_USER_MAX_DATA_XFER_BYTES,
};

/* ---- payloads ---- */

/** DMA_MAP. Memory without a descriptor is reached by DMA_READ and DMA_WRITE. */
struct vfio_user_dma_map {
	uint32_t argsz; /**< bytes of this struct */
	uint32_t flags;
#define VFIO_USER_DMA_MAP_FLAG_READ  (1U << 0)
#define VFIO_USER_DMA_MAP_FLAG_WRITE (1U << 1)
	UAPI_U64 offset; /**< of the first byte in the descriptor's file */
	UAPI_U64 addr;	 /**< IOVA */
	UAPI_U64 size;	 /**< bytes */
};

/** DMA_UNMAP: exactly one map that was made, or with ALL (and addr and size 0) every one. */
struct vfio_user_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
#define VFIO_USER_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP (1U << 0) /* a vfio_user_bitmap follows */
#define VFIO_USER_DMA_UNMAP_FLAG_ALL		  (1U << 1)
	UAPI_U64 addr; /**< IOVA */
	UAPI_U64 size; /**< bytes */
};

/** Follows vfio_user_dma_unmap. Only the reply has the bits: u64 words, bit 0 the first page. */
struct vfio_user_bitmap {
	UAPI_U64 pgsize; /**< bytes that a bit stands for */
	UAPI_U64 size;	 /**< bytes of the bits, whole words */
	uint8_t data[];
};

/** DEVICE_GET_INFO: struct vfio_device_info without its capabilities. */
struct vfio_user_device_info {
	uint32_t argsz;
	uint32_t flags; /**< VFIO_DEVICE_FLAGS_* */
	uint32_t num_regions;
	uint32_t num_irqs;
};

/** DEVICE_GET_REGION_IO_FDS. In a reply `count` structs vfio_user_io_fd follow. */
struct vfio_user_region_io_fds {
	uint32_t argsz;
	uint32_t flags; /**< 0 */
	uint32_t index; /**< of the region */
	uint32_t count; /**< 0 in a request */
};

/** A part of a region where accesses may go to a descriptor instead of the socket. */
struct vfio_user_io_fd {
	UAPI_U64 offset;   /**< in the region */
	UAPI_U64 size;	   /**< bytes; 0 for any width */
	uint32_t fd_index; /**< which of the descriptors of the reply; some may share one */
	uint32_t type;
#define VFIO_USER_IO_FD_TYPE_IOEVENTFD	0U /* KVM_IOEVENTFD */
#define VFIO_USER_IO_FD_TYPE_IOREGIONFD 1U /* never came into Linux */
	uint32_t flags;			   /**< KVM_IOEVENTFD_FLAG_* */
#define VFIO_USER_IO_FD_DATAMATCH 1U /* only writes of `datamatch`: KVM_IOEVENTFD_FLAG_DATAMATCH   \
				      */
	uint32_t padding;
	UAPI_U64 datamatch; /**< value to match; or what comes back with each access */
};

/** REGION_READ and REGION_WRITE. */
struct vfio_user_region_access {
	UAPI_U64 offset; /**< in the region */
	uint32_t region;
	uint32_t count; /**< bytes of data, at most the receiver's max_data_xfer_size */
	uint8_t data[];
};

/** DMA_READ and DMA_WRITE. */
struct vfio_user_dma_access {
	UAPI_U64 addr;	/**< IOVA */
	UAPI_U64 count; /**< bytes of data, at most the receiver's max_data_xfer_size */
	uint8_t data[];
};

/** REGION_WRITE_MULTI. In a request wr_cnt structs vfio_user_write_one follow. */
struct vfio_user_write_multi {
	UAPI_U64 wr_cnt;
};

/** One write; the bytes are the first `count` of data. */
struct vfio_user_write_one {
	UAPI_U64 offset;
	uint32_t region;
	uint32_t count; /**< 1 to 8 */
	uint8_t data[8];
};

/** What one REGION_WRITE_MULTI carries at most here. */
enum { VFIO_USER_MAX_WRITES = 64 };

/**
 * DMA_LOGGING_START: the ranges follow the struct, they are no pointer. DMA_LOGGING_REPORT: struct
 * vfio_user_dma_logging_report; in the reply the bits follow.
 */
struct vfio_user_dma_logging_control {
	UAPI_U64 page_size;
	uint32_t num_ranges;
	uint32_t reserved;
	/* struct vfio_device_feature_dma_logging_range ranges[num_ranges] */
};

/** DMA_LOGGING_REPORT: in a reply u64 words follow, bit 0 the first page. */
struct vfio_user_dma_logging_report {
	UAPI_U64 iova;
	UAPI_U64 length;
	UAPI_U64 page_size;
	/* uint64_t bitmap[] */
};

/** MIG_DATA_READ and MIG_DATA_WRITE. A reply with less than was asked for is the stream's end. */
struct vfio_user_mig_data {
	uint32_t argsz;
	uint32_t size; /**< bytes of data, at most the receiver's max_data_xfer_size */
	uint8_t data[];
};

#endif
