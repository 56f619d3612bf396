/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one place where the tables of include/uapi become data.
 *
 * Imitates no code of Linux: the facts in the .def files are those of Linux 7.2, each checked
 * against the handler that its file names. The files are included eight times, each time with other
 * meanings of STRUCT, FIELD and IOCTL: field lists, structs, lists of errnos, rows, names of the
 * rows, the index, whether a struct has results, and fault points.
 *
 * The index has 512 places for each kind of file and one byte in a place, so that a look-up touches
 * one line of it and one row. A place is _IOC_NR plus one bit of the size, the bit that tells
 * KVM_CREATE_SPAPR_TCE from its 64-bit form. Two rows in one place do not compile: an initialiser
 * that overrides another one is a warning.
 */
#include <errno.h>
#include <string.h>

#include <vfake/fault.h>

#include "kernel.h"
#include "uapi/iommufd.h"
#include "uapi/kvm.h"
#include "uapi/table.h"
#include "uapi/vfio.h"
#include "uapi/vfio_user.h"

/* ---- field lists ---- */

#define STRUCT(type) static const struct uapi_field type##_fields[] = {
#define END_STRUCT(type)                                                                           \
	}                                                                                          \
	;
#define FIELD(type, member, direction, what, aux_value)                                            \
	{ .name = #member,                                                                         \
	  .offset = offsetof(struct type, member),                                                 \
	  .width = sizeof(((struct type *)0)->member),                                             \
	  .dir = UAPI_##direction,                                                                 \
	  .role = UAPI_##what,                                                                     \
	  .aux = (aux_value) },
#define TAIL(type, member, tail_type, tail_member, trace_name, direction, what, aux_value)         \
	{ .name = #trace_name,                                                                     \
	  .offset = offsetof(struct type, member) + offsetof(struct tail_type, tail_member),       \
	  .width = sizeof(((struct tail_type *)0)->tail_member),                                   \
	  .dir = UAPI_##direction,                                                                 \
	  .role = UAPI_##what,                                                                     \
	  .tail = 1,                                                                               \
	  .aux = (aux_value) },
#define ARRAY(type, member, direction, layout)                                                     \
	{ .name = #member,                                                                         \
	  .offset = offsetof(struct type, member),                                                 \
	  .width = 0,                                                                              \
	  .dir = UAPI_##direction,                                                                 \
	  .role = UAPI_ARRAY,                                                                      \
	  .aux = (layout) },
#define IOCTL(request, on, how, type, min, result, flags, errnos)
#include "uapi/all.def"

/* ---- structs ---- */

#define OWN_DIRS(direction, what) ((UAPI_##what) == UAPI_PTR ? 0 : UAPI_##direction)
#define STRUCT(type)                                                                               \
	_Static_assert(sizeof(struct type) <= VFAKE_ARG_MAX, #type " outgrew VFAKE_ARG_MAX");      \
	static const struct uapi_struct type##_struct = { .name = #type,                           \
							  .size_bytes = sizeof(struct type),       \
							  .field_count = sizeof(type##_fields) /   \
									 sizeof(type##_fields[0]), \
							  .fields = type##_fields,                 \
							  .dirs = 0
#define END_STRUCT(type)                                                                           \
	}                                                                                          \
	;
#define FIELD(type, member, direction, what, aux_value) | OWN_DIRS(direction, what)
#define TAIL(type, member, tail_type, tail_member, trace_name, direction, what, aux_value)
#define ARRAY(type, member, direction, layout)
#define IOCTL(request, on, how, type, min, result, flags, errnos)
#include "uapi/all.def"

/* ---- errnos ---- */

enum { ERRNOS_MAX = 12 }; /* the terminating 0 included */

#define STRUCT(type)
#define END_STRUCT(type)
#define FIELD(type, member, direction, what, aux_value)
#define TAIL(type, member, tail_type, tail_member, trace_name, direction, what, aux_value)
#define ARRAY(type, member, direction, layout)
#define ERR(...)                                                                                   \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define IOCTL(request, on, how, type, min, returns, flags, list)                                   \
	static const int16_t on##_##request##_errnos[ERRNOS_MAX] = list;
#include "uapi/all.def"

/* ---- rows ---- */

#define ARG_NONE(type)	       NULL
#define ARG_SCALAR(type)       NULL
#define ARG_FD_PTR(type)       NULL
#define ARG_U32_PTR(type)      NULL
#define ARG_STRING(type)       NULL
#define ARG_ARGSZ(type)	       &type##_struct
#define ARG_SIZED(type)	       &type##_struct
#define ARG_STRUCT(type)       &type##_struct
#define ARG_MESSAGE(type)      &type##_struct
#define NO_FLAGS	       .flags_early = 0
#define FLAGS_LATE(mask)       .legal_flags = (mask)
#define FLAGS_EARLY(mask, err) .flags_early = 1, .legal_flags = (mask), .flags_errno = (err)

#define STRUCT(type)
#define END_STRUCT(type)
#define FIELD(type, member, direction, what, aux_value)
#define TAIL(type, member, tail_type, tail_member, trace_name, direction, what, aux_value)
#define ARRAY(type, member, direction, layout)
#define IOCTL(request, on, how, type, min, returns, flags, list)                                   \
	{ .name = #request,                                                                        \
	  .number = request,                                                                       \
	  .where = UAPI_ON_##on,                                                                   \
	  .law = UAPI_LAW_##how,                                                                   \
	  .result = UAPI_RETURNS_##returns,                                                        \
	  .min_size_bytes = (min),                                                                 \
	  .arg = ARG_##how(type),                                                                  \
	  .errnos = on##_##request##_errnos,                                                       \
	  flags },
static const struct uapi_ioctl rows[] = {
#include "uapi/all.def"
};

/* ---- the index ---- */

enum { PLACES = 512 };
#define PLACE(number) (_IOC_NR(number) | (_IOC_SIZE(number) & 32) << 3)

#define STRUCT(type)
#define END_STRUCT(type)
#define FIELD(type, member, direction, what, aux_value)
#define TAIL(type, member, tail_type, tail_member, trace_name, direction, what, aux_value)
#define ARRAY(type, member, direction, layout)
#define IOCTL(request, on, how, type, min, returns, flags, list) on##_##request##_row,
enum row {
#include "uapi/all.def"
	ROW_COUNT
};
_Static_assert(ROW_COUNT < UINT8_MAX, "a byte of the index names a row");

#define STRUCT(type)
#define END_STRUCT(type)
#define FIELD(type, member, direction, what, aux_value)
#define TAIL(type, member, tail_type, tail_member, trace_name, direction, what, aux_value)
#define ARRAY(type, member, direction, layout)
#define IOCTL(request, on, how, type, min, returns, flags, list)                                   \
	[UAPI_ON_##on][PLACE(request)] = on##_##request##_row + 1,
static const uint8_t places[UAPI_WHERE_COUNT][PLACES] = {
#include "uapi/all.def"
};

/* ---- fault points ---- */

/* Whether a struct has results, those behind its pointers included. */
enum { NO_STRUCT_results = 0 };
#define STRUCT(type) enum { type##_results = 0
#define END_STRUCT(type)                                                                           \
	}                                                                                          \
	;
#define FIELD(type, member, direction, what, aux_value) | (UAPI_##direction & UAPI_OUT)
#define TAIL(type, member, tail_type, tail_member, trace_name, direction, what, aux_value)         \
	| (UAPI_##direction & UAPI_OUT)
#define ARRAY(type, member, direction, layout) | (UAPI_##direction & UAPI_OUT)
#define IOCTL(request, on, how, type, min, returns, flags, list)
#include "uapi/all.def"

static const int16_t never[] = { 0 };
static const int16_t efault[] = { EFAULT, 0 };
static const int16_t enomem[] = { ENOMEM, 0 };
static const int16_t reply_errnos[] = { EIO, ECONNRESET, ETIMEDOUT, 0 };

/*
 * A name in full, character by character, because the preprocessor cannot drop a row's prefix: the
 * kind of file, the row's name from SKIP on, the stage.
 */
enum { POINT_NAME_MAX = 48 };
/* VFIO_ VFIO_USER_ IOMMU_ KVM_ */
#define SKIP(row)                                                                                  \
	((row)[0] == 'V'   ? ((row)[5] == 'U' && (row)[6] == 'S' ? 10u : 5u)                       \
	 : (row)[0] == 'I' ? 6u                                                                    \
			   : 4u)
#define PICK(text, index)	   ((text)[(index) < sizeof(text) ? (index) : 0])
#define ROW_AT(on)		   (sizeof(on) - 1)
#define STAGE_AT(on, row)	   (ROW_AT(on) + sizeof(row) - 1 - SKIP(row))
#define NAME_BYTES(on, row, stage) (STAGE_AT(on, row) + sizeof(stage))
#define CHAR(i, on, row, stage)                                                                    \
	((i) < ROW_AT(on)		    ? PICK(on, i)                                          \
	 : (i) < STAGE_AT(on, row)	    ? PICK(row, (i)-ROW_AT(on) + SKIP(row))                \
	 : (i) < NAME_BYTES(on, row, stage) ? PICK(stage, (i)-STAGE_AT(on, row))                   \
					    : 0)
#define CHARS_4(i, on, row, stage)                                                                 \
	CHAR(i, on, row, stage), CHAR((i) + 1, on, row, stage), CHAR((i) + 2, on, row, stage),     \
		CHAR((i) + 3, on, row, stage)
#define CHARS_16(i, on, row, stage)                                                                \
	CHARS_4(i, on, row, stage), CHARS_4((i) + 4, on, row, stage),                              \
		CHARS_4((i) + 8, on, row, stage), CHARS_4((i) + 12, on, row, stage)
#define NAME(on, row, stage)                                                                       \
	{                                                                                          \
		CHARS_16(0u, on, row, stage), CHARS_16(16u, on, row, stage),                       \
			CHARS_16(32u, on, row, stage)                                              \
	}
#define NAMES(on, row, last)                                                                       \
	{                                                                                          \
		NAME(on, row, "/entry"), NAME(on, row, "/copyin"), NAME(on, row, "/alloc"),        \
			NAME(on, row, "/commit"), NAME(on, row, last)                              \
	}
/* What the last stage is called. */
#define LAST_CONTAINER "/copyout"
#define LAST_TYPE1 "/copyout"
#define LAST_SPAPR "/copyout"
#define LAST_GROUP "/copyout"
#define LAST_DEVICE "/copyout"
#define LAST_IOMMUFD "/copyout"
#define LAST_KVM "/copyout"
#define LAST_KVM_VM "/copyout"
#define LAST_KVM_DEVICE "/copyout"
#define LAST_MIG_DATA "/copyout"
#define LAST_USER "/reply"
#define IS_COMMAND(last) (sizeof(last) == sizeof("/reply"))

#define IN_LOWER_CONTAINER  "container/"
#define IN_LOWER_TYPE1	    "type1/"
#define IN_LOWER_SPAPR	    "spapr/"
#define IN_LOWER_GROUP	    "group/"
#define IN_LOWER_DEVICE	    "device/"
#define IN_LOWER_IOMMUFD    "iommufd/"
#define IN_LOWER_KVM	    "kvm/"
#define IN_LOWER_KVM_VM	    "kvm_vm/"
#define IN_LOWER_KVM_DEVICE "kvm_device/"
#define IN_LOWER_MIG_DATA   "mig_data/"
#define IN_LOWER_USER	    "user/"

#define STRUCT(type)
#define END_STRUCT(type)
#define FIELD(type, member, direction, what, aux_value)
#define TAIL(type, member, tail_type, tail_member, trace_name, direction, what, aux_value)
#define ARRAY(type, member, direction, layout)
#define IOCTL(request, on, how, type, min, returns, flags, list)                                   \
	_Static_assert(sizeof(IN_LOWER_##on #request "/copyout") - 4 <= POINT_NAME_MAX,            \
		       #request " outgrew POINT_NAME_MAX");                                        \
	static const char on##_##request##_points[VFAKE_FAULT_STAGES][POINT_NAME_MAX] =            \
		NAMES(IN_LOWER_##on, #request, LAST_##on);
#include "uapi/all.def"

/* Whether ENOMEM is in a row's list of errnos, which may be empty: then the call allocates. */
#define IS_NOMEM(err) ((err + 0) == ENOMEM)
#define ANY_NOMEM(a, b, c, d, e, f, g, h, i, j, k, ...)                                            \
	(IS_NOMEM(a) || IS_NOMEM(b) || IS_NOMEM(c) || IS_NOMEM(d) || IS_NOMEM(e) || IS_NOMEM(f) || \
	 IS_NOMEM(g) || IS_NOMEM(h) || IS_NOMEM(i) || IS_NOMEM(j) || IS_NOMEM(k))
#undef ERR
#define ERR(...) ANY_NOMEM(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
_Static_assert(ERRNOS_MAX == 12, "ANY_NOMEM looks at 11");

#define COPIES_IN_NONE	  false
#define COPIES_IN_SCALAR  false
#define COPIES_IN_FD_PTR  true
#define COPIES_IN_U32_PTR true
#define COPIES_IN_STRING  true
#define COPIES_IN_ARGSZ	  true
#define COPIES_IN_SIZED	  true
#define COPIES_IN_STRUCT  true
#define COPIES_IN_MESSAGE false

#define POINT(names, at, of_row, may_give)                                                         \
	{                                                                                          \
		.name = (names)[at], .row = (of_row), .stage = (at), .errnos = (may_give)          \
	}
#define STRUCT(type)
#define END_STRUCT(type)
#define FIELD(type, member, direction, what, aux_value)
#define TAIL(type, member, tail_type, tail_member, trace_name, direction, what, aux_value)
#define ARRAY(type, member, direction, layout)
#define IOCTL(request, on, how, type, min, returns, flags, list)                                   \
	POINT(on##_##request##_points, VFAKE_FAULT_ENTRY, &rows[on##_##request##_row],             \
	      on##_##request##_errnos),                                                            \
		POINT(on##_##request##_points, VFAKE_FAULT_COPYIN, &rows[on##_##request##_row],    \
		      COPIES_IN_##how ? efault : never),                                           \
		POINT(on##_##request##_points, VFAKE_FAULT_ALLOC, &rows[on##_##request##_row],     \
		      list && !IS_COMMAND(LAST_##on) ? enomem : never),                            \
		POINT(on##_##request##_points, VFAKE_FAULT_COMMIT, &rows[on##_##request##_row],    \
		      IS_COMMAND(LAST_##on) ? never : on##_##request##_errnos),                    \
		POINT(on##_##request##_points, VFAKE_FAULT_COPYOUT, &rows[on##_##request##_row],   \
		      IS_COMMAND(LAST_##on) ? reply_errnos                                         \
		      : type##_results	    ? efault                                               \
					    : never),

/* Calls that are no ioctls. To close and to unmap never fails. */
static const int16_t open_errnos[] = { EMFILE, ENFILE, ENOMEM, EACCES, EBUSY, 0 };
static const int16_t dup_errnos[] = { EMFILE, 0 };
static const int16_t new_file_errnos[] = { EMFILE, ENFILE, ENOMEM, 0 };
static const int16_t mmap_errnos[] = { EAGAIN, ENOMEM, EACCES, ENODEV, 0 };
static const int16_t read_errnos[] = { EAGAIN, EIO, 0 };
static const int16_t rdwr_errnos[] = { EBUSY, EIO, 0 };
static const int16_t connect_errnos[] = { ECONNREFUSED, EAGAIN, EMFILE, ENFILE, ENOMEM, 0 };
static const int16_t sendmsg_errnos[] = { EAGAIN, EPIPE, ENOMEM, 0 };
static const int16_t recvmsg_errnos[] = { EAGAIN, ECONNRESET, ENOMEM, 0 };

#define FILE_POINTS(call, entry, copyin, alloc, commit, copyout)                                   \
	{ "file/" call "/entry", NULL, VFAKE_FAULT_ENTRY, entry },                                 \
		{ "file/" call "/copyin", NULL, VFAKE_FAULT_COPYIN, copyin },                      \
		{ "file/" call "/alloc", NULL, VFAKE_FAULT_ALLOC, alloc },                         \
		{ "file/" call "/commit", NULL, VFAKE_FAULT_COMMIT, commit },                      \
		{ "file/" call "/copyout", NULL, VFAKE_FAULT_COPYOUT, copyout },

static const struct vfake_fault_point points[] = {
#include "uapi/all.def"
	/* in the order of enum vfake_file_call */
	/* clang-format off */
	FILE_POINTS("open", open_errnos, never, enomem, never, never)
	FILE_POINTS("dup", dup_errnos, never, enomem, never, never)
	FILE_POINTS("pass_fd", dup_errnos, never, enomem, never, never)
	FILE_POINTS("eventfd", new_file_errnos, never, enomem, never, never)
	FILE_POINTS("memfd", new_file_errnos, never, enomem, never, never)
	FILE_POINTS("mmap", mmap_errnos, never, enomem, never, never)
	FILE_POINTS("read", read_errnos, never, enomem, never, efault)
	FILE_POINTS("write", read_errnos, efault, enomem, never, never)
	FILE_POINTS("pread", rdwr_errnos, never, enomem, never, efault)
	FILE_POINTS("pwrite", rdwr_errnos, efault, enomem, never, never)
	FILE_POINTS("socketpair", new_file_errnos, never, enomem, never, never)
	FILE_POINTS("listen", new_file_errnos, never, enomem, never, never)
	FILE_POINTS("connect", connect_errnos, never, enomem, never, never)
	FILE_POINTS("accept", new_file_errnos, never, enomem, never, never)
	FILE_POINTS("sendmsg", sendmsg_errnos, never, enomem, never, never)
	FILE_POINTS("recvmsg", recvmsg_errnos, never, enomem, never, never)
	/* clang-format on */
};
_Static_assert(sizeof(points) / sizeof(points[0]) ==
		       ((size_t)ROW_COUNT + (size_t)VFAKE_FILE_CALLS) * VFAKE_FAULT_STAGES,
	       "each row and each call has a point of each stage");

const struct vfake_fault_point *vfake_fault_points(size_t *count)
{
	*count = sizeof(points) / sizeof(points[0]);
	return points;
}

const struct vfake_fault_point *vfake_row_points(const struct uapi_ioctl *row)
{
	return &points[(size_t)(row - rows) * VFAKE_FAULT_STAGES];
}

const struct vfake_fault_point *vfake_file_points(enum vfake_file_call call)
{
	return &points[((size_t)ROW_COUNT + call) * VFAKE_FAULT_STAGES];
}

const struct uapi_ioctl *uapi_rows(size_t *count)
{
	*count = ROW_COUNT;
	return rows;
}

const struct uapi_ioctl *uapi_find(enum uapi_where where, uint32_t number)
{
	unsigned int row;

	if ((unsigned int)where >= UAPI_WHERE_COUNT)
		return NULL;
	row = places[where][PLACE(number)];
	if (!row || rows[row - 1].number != number)
		return NULL;
	return &rows[row - 1];
}

const struct uapi_ioctl *uapi_find_name(const char *name)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	}
	return NULL;
}

const struct uapi_field *uapi_find_field(const struct uapi_struct *s, const char *name)
{
	for (unsigned int i = 0; i < s->field_count; i++) {
		if (!strcmp(s->fields[i].name, name))
			return &s->fields[i];
	}
	return NULL;
}

const char *uapi_where_name(enum uapi_where where)
{
	static const char *const names[UAPI_WHERE_COUNT] = {
		[UAPI_ON_CONTAINER] = "CONTAINER",
		[UAPI_ON_TYPE1] = "TYPE1",
		[UAPI_ON_SPAPR] = "SPAPR",
		[UAPI_ON_GROUP] = "GROUP",
		[UAPI_ON_DEVICE] = "DEVICE",
		[UAPI_ON_IOMMUFD] = "IOMMUFD",
		[UAPI_ON_KVM] = "KVM",
		[UAPI_ON_KVM_VM] = "KVM_VM",
		[UAPI_ON_KVM_DEVICE] = "KVM_DEVICE",
		[UAPI_ON_MIG_DATA] = "MIG_DATA",
		[UAPI_ON_USER] = "USER",
	};

	return (unsigned int)where < UAPI_WHERE_COUNT ? names[where] : "?";
}

uint64_t uapi_field_get(const struct uapi_field *field, const void *arg)
{
	const char *at = (const char *)arg + field->offset;
	uint64_t wide = 0;
	uint32_t word = 0;
	uint16_t half = 0;

	switch (field->width) {
	case 8:
		memcpy(&wide, at, sizeof(wide));
		return wide;
	case 4:
		memcpy(&word, at, sizeof(word));
		return word;
	case 2:
		memcpy(&half, at, sizeof(half));
		return half;
	default:
		return *(const unsigned char *)at;
	}
}

void uapi_field_put(const struct uapi_field *field, void *arg, uint64_t value)
{
	char *at = (char *)arg + field->offset;
	uint32_t word = (uint32_t)value;
	uint16_t half = (uint16_t)value;
	unsigned char byte = (unsigned char)value;

	switch (field->width) {
	case 8:
		memcpy(at, &value, sizeof(value));
		break;
	case 4:
		memcpy(at, &word, sizeof(word));
		break;
	case 2:
		memcpy(at, &half, sizeof(half));
		break;
	default:
		memcpy(at, &byte, sizeof(byte));
	}
}
