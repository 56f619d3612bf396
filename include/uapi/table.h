/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one table of ioctls.
 *
 * Every ioctl of the VFIO, iommufd and KVM-VFIO interfaces of Linux 7.2, and every command of the
 * vfio-user protocol, is one row, and every
 * struct that such an ioctl takes is one list of fields. The rows are data in include/uapi/NAME.def
 * (X-macros, no generator), expanded in exactly one place, fakes/kernel/uapi_table.c. Everything
 * else walks the data: the dispatcher checks sizes, flags and reserved fields and copies in and out
 * by it, traces are printed and read by it, the negative tests and the fuzzers are made from it,
 * and `vfake list --ioctls` prints it.
 *
 * A new ioctl is a row here, its struct's fields, and a handler in fakes/kernel.
 *
 * How to read a .def file
 *
 *   STRUCT(NAME)                                   opens the field list of `struct NAME`
 *   FIELD(STRUCT, MEMBER, DIR, ROLE, AUX)          one member; nested members are written a.b; the
 * trace calls it so TAIL(STRUCT, MEMBER, TSTRUCT, TMEMBER, TRACE_NAME, DIR, ROLE, AUX) member
 * TMEMBER of a `struct TSTRUCT` that follows at STRUCT.MEMBER; the trace calls it TRACE_NAME
 *   ARRAY(STRUCT, MEMBER, DIR, LAYOUT)             a trailing array, LAYOUT of enum uapi_layout
 *   END_STRUCT(NAME)
 *   IOCTL(NAME, WHERE, LAW, STRUCT, MIN, RESULT, FLAGS, ERRNOS)
 *
 * with DIR of IN, OUT, INOUT; ROLE of enum uapi_role; WHERE of enum uapi_where; LAW of enum
 * uapi_law; MIN the shortest size in bytes that the kernel takes (0 where the law has none;
 * UAPI_END(STRUCT, MEMBER) helps); RESULT of enum uapi_result; FLAGS the set of legal bits of the
 * struct's FLAGS field as FLAGS_EARLY(mask, errno) where Linux refuses others (and non-zero
 * reserved fields) before anything but the size, FLAGS_LATE(mask) where the handler decides,
 * NO_FLAGS; ERRNOS the errnos that the call may give beyond those that its law implies: ERR(EINVAL,
 * ENOMEM, …).
 *
 * NO_STRUCT stands where the law has none. A struct that several rows take is listed once, in the
 * first file that needs it. What Linux decides from the state of the file before it copies the
 * argument (EPERM of an sPAPR container that is not enabled, EACCES of DIRTY_PAGES on type1 v1) is
 * no fact of a row: the file's route says it.
 */
#ifndef UAPI_TABLE_H
#define UAPI_TABLE_H

#include <stddef.h>
#include <stdint.h>

/** What a file descriptor must be for an ioctl to be legal on it. TYPE1 and SPAPR are containers
 * with that driver set. */
enum uapi_where {
	UAPI_ON_CONTAINER,  /**< any /dev/vfio/vfio */
	UAPI_ON_TYPE1,	    /**< a container after VFIO_SET_IOMMU of a type1 kind */
	UAPI_ON_SPAPR,	    /**< a container after VFIO_SET_IOMMU of an sPAPR kind */
	UAPI_ON_GROUP,	    /**< /dev/vfio/N */
	UAPI_ON_DEVICE,	    /**< a VFIO device, by group or by cdev */
	UAPI_ON_IOMMUFD,    /**< /dev/iommu */
	UAPI_ON_KVM,	    /**< /dev/kvm */
	UAPI_ON_KVM_VM,	    /**< what KVM_CREATE_VM returns */
	UAPI_ON_KVM_DEVICE, /**< what KVM_CREATE_DEVICE returns */
	UAPI_ON_MIG_DATA,   /**< the data stream that saves a device: data_fd of MIG_DEVICE_STATE */
	UAPI_ON_USER,	    /**< a vfio-user connection: a command, not an ioctl */
	UAPI_WHERE_COUNT
};

/** How the size of the argument is found and judged. */
enum uapi_law {
	UAPI_LAW_NONE,	  /**< no argument */
	UAPI_LAW_SCALAR,  /**< the argument is the value itself */
	UAPI_LAW_FD_PTR,  /**< pointer to an s32 file descriptor */
	UAPI_LAW_U32_PTR, /**< pointer to a u32 */
	UAPI_LAW_STRING,  /**< pointer to a NUL-terminated name */
	UAPI_LAW_ARGSZ,	  /**< VFIO: first u32 is argsz; short is EINVAL, long is ignored */
	UAPI_LAW_SIZED, /**< iommufd: first u32 is size; short is EINVAL, a non-zero unknown tail is
			   E2BIG */
	UAPI_LAW_STRUCT, /**< KVM: the struct of the ioctl number, always whole */
	UAPI_LAW_MESSAGE, /**< vfio-user: the start of a message's payload; short is EINVAL, and so
			     is an argsz (where it has one) that is */
};

/** What a successful call returns. */
enum uapi_result {
	UAPI_RETURNS_ZERO,
	UAPI_RETURNS_NUMBER, /**< a number that means something */
	UAPI_RETURNS_FD,     /**< a new file descriptor */
};

/** What a field is for. */
enum uapi_role {
	UAPI_VALUE,	/**< a plain number */
	UAPI_SELF_SIZE, /**< argsz or size: bytes of this struct as the caller knows it */
	UAPI_FLAGS,	/**< a set of bits; the row says which are legal */
	UAPI_ZERO,	/**< reserved, must be zero */
	UAPI_PAD,	/**< padding that nobody reads */
	UAPI_IOVA,	/**< an I/O virtual address */
	UAPI_VADDR,  /**< an address in the caller's memory that is mapped or changed, not copied */
	UAPI_LENGTH, /**< bytes of the IOVA or VADDR range */
	UAPI_PGSIZE, /**< a page size in bytes */
	UAPI_FD,     /**< a file descriptor */
	UAPI_ID,     /**< an iommufd object id; AUX is a set of enum uapi_object */
	UAPI_PTR,   /**< pointer to data that is copied; AUX is how it is laid out, enum uapi_layout
		     */
	UAPI_COUNT, /**< elements or bytes behind the PTR or ARRAY field of this struct */
	UAPI_CAP_OFFSET, /**< offset of the first capability in the answer, 0 for none */
	UAPI_ARRAY,	 /**< trailing array; AUX is its layout, enum uapi_layout */
};

/** Directions of a field, seen from the kernel: IN is read, OUT is written. */
enum uapi_dir {
	UAPI_IN = 1,
	UAPI_OUT = 2,
	UAPI_INOUT = UAPI_IN | UAPI_OUT,
};

/** Layout of what a PTR points to or an ARRAY holds. */
enum uapi_layout {
	UAPI_LAYOUT_BYTES = 1,	 /**< opaque bytes */
	UAPI_LAYOUT_BITMAP,	 /**< u64 words, one bit a page */
	UAPI_LAYOUT_IOVA_RANGES, /**< struct iommu_iova_range: start and last, 16 bytes */
	UAPI_LAYOUT_IRQ_DATA,	 /**< s32 eventfds or u8 booleans, as the SET_IRQS flags say */
	UAPI_LAYOUT_FDS,	 /**< s32 file descriptors */
	UAPI_LAYOUT_FD,		 /**< one s32 file descriptor */
	UAPI_LAYOUT_DEPENDENTS,	 /**< struct vfio_pci_dependent_device, 12 bytes */
	UAPI_LAYOUT_INVALIDATE,	 /**< driver-specific invalidation requests */
};

/** Kinds of iommufd objects, as bits of an ID field's AUX. */
enum uapi_object {
	UAPI_OBJ_DEVICE = 1 << 0,
	UAPI_OBJ_IOAS = 1 << 1,
	UAPI_OBJ_HWPT_PAGING = 1 << 2,
	UAPI_OBJ_HWPT_NESTED = 1 << 3,
	UAPI_OBJ_FAULT = 1 << 4,
	UAPI_OBJ_VIOMMU = 1 << 5,
	UAPI_OBJ_VDEVICE = 1 << 6,
	UAPI_OBJ_VEVENTQ = 1 << 7,
	UAPI_OBJ_HW_QUEUE = 1 << 8,
	UAPI_OBJ_ACCESS = 1 << 9,
	UAPI_OBJ_ANY = (1 << 10) - 1,
};

/** One field of an argument struct. Offsets and widths are in bytes. */
struct uapi_field {
	const char *name; /**< as the trace writes it */
	uint16_t offset;
	uint8_t width; /**< 1, 2, 4 or 8; 0 for a trailing array */
	uint8_t dir;   /**< enum uapi_dir */
	uint8_t role;  /**< enum uapi_role */
	uint8_t tail;  /**< 1 when it lies in the struct that follows, not in the struct itself */
	uint32_t aux;  /**< by role: enum uapi_layout or a set of enum uapi_object */
};

/** An argument struct: its size as of Linux 7.2 and its fields in order. */
struct uapi_struct {
	const char *name;
	uint16_t size_bytes;
	uint16_t field_count;
	const struct uapi_field *fields;
	uint8_t dirs; /**< the directions of its own fields, tails, arrays and pointers left out,
			 OR-ed: whether there is anything to copy back */
};

/** One ioctl on one kind of file. */
struct uapi_ioctl {
	const char *name;
	uint32_t number;     /**< what ioctl(2) gets */
	uint8_t where;	     /**< enum uapi_where */
	uint8_t law;	     /**< enum uapi_law */
	uint8_t result;	     /**< enum uapi_result */
	uint8_t flags_early; /**< flags and reserved fields are judged before the handler runs */
	uint16_t min_size_bytes;
	int16_t flags_errno; /**< positive errno of an illegal flag or reserved field, where
				flags_early */
	uint64_t legal_flags;
	const struct uapi_struct *arg; /**< NULL where the law has no struct */
	const int16_t *errnos;	       /**< positive, ends with 0 */
};

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** All rows, ordered by WHERE and number; `*count` gets their number. Static data, never freed. */
const struct uapi_ioctl *uapi_rows(size_t *count);

/** The row of ioctl `number` on a file of kind `where`, or NULL. Constant time: it runs on every
 * call. */
const struct uapi_ioctl *uapi_find(enum uapi_where where, uint32_t number);

/** The first row of that name, or NULL. Some names have a row per driver (VFIO_IOMMU_MAP_DMA on
 * TYPE1 and on SPAPR). */
const struct uapi_ioctl *uapi_find_name(const char *name);

/** The field of that name, or NULL. */
const struct uapi_field *uapi_find_field(const struct uapi_struct *s, const char *name);

/**
 * The value of a field in an argument struct at @arg, and changing it, in the machine's own byte
 * order. Widths of 1, 2, 4 and 8 bytes; alignment does not matter.
 */
uint64_t uapi_field_get(const struct uapi_field *field, const void *arg);
void uapi_field_put(const struct uapi_field *field, void *arg, uint64_t value);

/** "CONTAINER", "TYPE1", … for people. */
const char *uapi_where_name(enum uapi_where where);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

/** Size up to and including MEMBER: the MIN of most rows. */
#define UAPI_END(type, member) (offsetof(struct type, member) + sizeof(((struct type *)0)->member))

#endif
