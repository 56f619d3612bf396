/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one place where the tables of include/uapi become data.
 *
 * Imitates no code of Linux: the facts in the .def files are those of Linux 7.2, each checked
 * against the handler that its file names. The files are included six times, each time with other
 * meanings of STRUCT, FIELD and IOCTL: field lists, structs, lists of errnos, rows, names of the
 * rows, and the index.
 *
 * The index has 512 places for each kind of file and one byte in a place, so that a look-up touches
 * one line of it and one row. A place is _IOC_NR plus one bit of the size, the bit that tells
 * KVM_CREATE_SPAPR_TCE from its 64-bit form. Two rows in one place do not compile: an initialiser
 * that overrides another one is a warning.
 */
#include <errno.h>
#include <string.h>

#include "kernel.h"
#include "uapi/iommufd.h"
#include "uapi/kvm.h"
#include "uapi/table.h"
#include "uapi/vfio.h"

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
