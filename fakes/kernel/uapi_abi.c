/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holds include/uapi/{vfio,iommufd,kvm}.h to the binary interface of Linux 7.2.
 *
 * Nothing here runs. Each line of abi.def becomes an assertion, so a wrong number, a member that
 * moved or a struct that grew stops the build and names itself. The literals come from the kernel's
 * headers and not from ours; that is what makes the check worth having. Sizes and offsets are
 * asserted on 64-bit machines only: the frozen literals are theirs.
 */
#include "uapi/iommufd.h"
#include "uapi/kvm.h"
#include "uapi/vfio.h"
#include "uapi/vfio_user.h"

#include <stddef.h>
#include <stdint.h>

#define ABI_DIR_NONE	  _IOC_NONE
#define ABI_DIR_READ	  _IOC_READ
#define ABI_DIR_WRITE	  _IOC_WRITE
#define ABI_DIR_READWRITE (_IOC_READ | _IOC_WRITE)

#define ABI_NUM(symbol, literal)                                                                   \
	_Static_assert((uint32_t)(symbol) == (uint32_t)(literal), #symbol " is not " #literal);
#define ABI_COUNT(symbol, literal) ABI_NUM(symbol, literal)
#define ABI_IOC(symbol, dir, type, nr, size)                                                       \
	_Static_assert((symbol) == _IOC(ABI_DIR_##dir, type, nr, size),                            \
		       #symbol " is not _IOC(" #dir ", " #type ", " #nr ", " #size ")");
#ifdef __LP64__
#define ABI_SIZE(type, bytes)                                                                      \
	_Static_assert(sizeof(struct type) == (bytes), "struct " #type " is not " #bytes " byte"   \
						       "s");
#define ABI_OFF(type, member, bytes)                                                               \
	_Static_assert(offsetof(struct type, member) == (bytes),                                   \
		       #type "." #member " is not at " #bytes);
#else
#define ABI_SIZE(type, bytes)
#define ABI_OFF(type, member, bytes)
#endif
#include "uapi/abi.def"
