/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of ioctls is data that everything trusts, so it is checked as data: against the frozen
 * binary interface (abi.def, which was not made from it) and for what its readers take for granted.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "uapi/iommufd.h"
#include "uapi/kvm.h"
#include "uapi/table.h"
#include "uapi/vfio.h"

struct frozen_size {
	const char *name;
	unsigned int bytes;
};

struct frozen_offset {
	const char *type;
	const char *member;
	unsigned int bytes;
};

struct frozen_ioctl {
	const char *name;
	uint32_t number;
};

#define ABI_DIR_NONE	  _IOC_NONE
#define ABI_DIR_READ	  _IOC_READ
#define ABI_DIR_WRITE	  _IOC_WRITE
#define ABI_DIR_READWRITE (_IOC_READ | _IOC_WRITE)

#define ABI_NUM(symbol, literal)
#define ABI_COUNT(symbol, literal)
#define ABI_IOC(symbol, dir, type, nr, size)
#define ABI_OFF(type, member, bytes)
#define ABI_SIZE(type, bytes) { #type, bytes },
static const struct frozen_size sizes[] = {
#include "uapi/abi.def"
};
#undef ABI_SIZE
#undef ABI_OFF
#define ABI_SIZE(type, bytes)
#define ABI_OFF(type, member, bytes) { #type, #member, bytes },
static const struct frozen_offset offsets[] = {
#include "uapi/abi.def"
};
#undef ABI_OFF
#undef ABI_IOC
#define ABI_OFF(type, member, bytes)
#define ABI_IOC(symbol, dir, type, nr, size) { #symbol, _IOC(ABI_DIR_##dir, type, nr, size) },
static const struct frozen_ioctl ioctls[] = {
#include "uapi/abi.def"
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static bool has_struct(const struct uapi_ioctl *row)
{
	return row->law == UAPI_LAW_ARGSZ || row->law == UAPI_LAW_SIZED ||
	       row->law == UAPI_LAW_STRUCT || row->law == UAPI_LAW_MESSAGE;
}

static const struct uapi_field *field_of_role(const struct uapi_struct *s, enum uapi_role role)
{
	for (unsigned int i = 0; i < s->field_count; i++) {
		if (s->fields[i].role == role && !s->fields[i].tail)
			return &s->fields[i];
	}
	return NULL;
}

/* Calls @check on the struct of every row that has one; a struct of several rows is checked as
 * often. */
static void each_struct(void (*check)(const struct uapi_struct *s))
{
	size_t count;
	const struct uapi_ioctl *rows = uapi_rows(&count);
	unsigned int seen = 0;

	for (size_t i = 0; i < count; i++) {
		if (rows[i].arg) {
			check(rows[i].arg);
			seen++;
		}
	}
	assert_true(seen > 50);
}

/* Every ioctl that Linux has is here, with its number. */
static void every_frozen_ioctl_has_a_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(ioctls); i++) {
		const struct uapi_ioctl *row = uapi_find_name(ioctls[i].name);

		if (!row)
			fail_msg("%s has no row", ioctls[i].name);
		assert_int_equal(row->number, ioctls[i].number);
	}
	assert_int_equal(COUNT_OF(ioctls), 65);
}

static void size_is_frozen(const struct uapi_struct *s)
{
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		if (!strcmp(sizes[i].name, s->name)) {
			assert_int_equal(s->size_bytes, sizes[i].bytes);
			return;
		}
	}
	fail_msg("struct %s is not in abi.def", s->name);
}

static void sizes_are_the_frozen_ones(void **state)
{
	(void)state;
	each_struct(size_is_frozen);
}

/* Every member that abi.def has for this struct is a field here, at its place; a.b stands for
 * member a. */
static void offsets_are_frozen(const struct uapi_struct *s)
{
	for (size_t i = 0; i < COUNT_OF(offsets); i++) {
		bool found = false;
		size_t len = strlen(offsets[i].member);

		if (strcmp(offsets[i].type, s->name))
			continue;
		for (unsigned int f = 0; f < s->field_count && !found; f++) {
			const struct uapi_field *field = &s->fields[f];
			const char *rest = field->name + len;

			found = field->tail ? field->offset == s->size_bytes
					    : !strncmp(field->name, offsets[i].member, len) &&
						      (!*rest || *rest == '.' || *rest == '[') &&
						      field->offset == offsets[i].bytes;
		}
		if (!found && strcmp(offsets[i].member, "dmabuf_id"))
			fail_msg("%s.%s is no field", s->name, offsets[i].member);
	}
}

static void offsets_are_the_frozen_ones(void **state)
{
	(void)state;
	each_struct(offsets_are_frozen);
}

/* Two names for one place (a union) follow each other. */
static void fields_ascend_inside(const struct uapi_struct *s)
{
	unsigned int last = 0;
	unsigned int end = 0;
	unsigned int dirs = 0;

	assert_true(s->field_count > 0);
	for (unsigned int i = 0; i < s->field_count; i++) {
		const struct uapi_field *field = &s->fields[i];

		if (field->offset < end && !(i && field->offset == last && field->width))
			fail_msg("%s.%s overlaps its neighbour", s->name, field->name);
		last = field->offset;
		end = last + field->width;
		if (field->tail)
			assert_true(field->offset >= s->size_bytes);
		else
			assert_true(end <= s->size_bytes);
		assert_true(field->dir >= UAPI_IN && field->dir <= UAPI_INOUT);
		if (field->role == UAPI_ARRAY) {
			assert_int_equal(field->width, 0);
			assert_int_equal(i, s->field_count - 1u);
			assert_true(field->aux >= UAPI_LAYOUT_BYTES);
			continue;
		}
		assert_true(field->width == 1 || field->width == 2 || field->width == 4 ||
			    field->width == 8);
		if (field->role == UAPI_PTR || field->role == UAPI_ID)
			assert_true(field->aux != 0);
		if (field->role == UAPI_PTR)
			assert_int_equal(field->width, 8);
		else if (!field->tail)
			dirs |= field->dir;
	}
	assert_int_equal(s->dirs, dirs);
}

static void fields_are_in_order_and_inside(void **state)
{
	(void)state;
	each_struct(fields_ascend_inside);
}

static void names_are_unique(const struct uapi_struct *s)
{
	for (unsigned int i = 0; i < s->field_count; i++)
		assert_ptr_equal(uapi_find_field(s, s->fields[i].name), &s->fields[i]);
	assert_null(uapi_find_field(s, "no such field"));
}

static void field_names_are_unique(void **state)
{
	(void)state;
	each_struct(names_are_unique);
}

/* All bytes of a struct belong to a field: nothing of it is invisible in a trace. */
static void is_covered(const struct uapi_struct *s)
{
	unsigned int end = 0;

	for (unsigned int i = 0; i < s->field_count && !s->fields[i].tail; i++) {
		/* A nested struct may begin at the next multiple of 8. */
		if (strchr(s->fields[i].name, '.'))
			end = (end + 7u) & ~7u;
		if (s->fields[i].offset > end)
			fail_msg("bytes before %s.%s have no field", s->name, s->fields[i].name);
		end = (unsigned int)s->fields[i].offset + s->fields[i].width;
	}
	/* The compiler may pad the end, to the alignment of a u64. */
	assert_true(end + 4 >= s->size_bytes);
}

static void fields_cover_their_struct(void **state)
{
	(void)state;
	each_struct(is_covered);
}

static void laws_have_what_they_need(void **state)
{
	size_t count;
	const struct uapi_ioctl *rows = uapi_rows(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const struct uapi_ioctl *row = &rows[i];
		bool sized = row->law == UAPI_LAW_ARGSZ || row->law == UAPI_LAW_SIZED;
		bool message = row->law == UAPI_LAW_MESSAGE;
		bool ends = false;

		assert_int_equal(has_struct(row), row->arg != NULL);
		assert_int_equal(sized || message, row->min_size_bytes != 0);
		if (!row->arg)
			continue;
		for (unsigned int f = 0; f < row->arg->field_count; f++) {
			const struct uapi_field *field = &row->arg->fields[f];

			ends |= field->width && field->offset + field->width == row->min_size_bytes;
		}
		if (sized || message) {
			const struct uapi_field *first = &row->arg->fields[0];

			if (sized) {
				assert_int_equal(first->role, UAPI_SELF_SIZE);
				assert_int_equal(first->offset, 0);
				assert_int_equal(first->width, 4);
			}
			assert_true(row->min_size_bytes <= row->arg->size_bytes);
			if (!ends)
				fail_msg("%s: MIN is not the end of a field", row->name);
		} else {
			/* KVM puts the size into the number. */
			assert_int_equal(_IOC_SIZE(row->number), row->arg->size_bytes);
		}
	}
}

static void flags_belong_to_a_field(void **state)
{
	size_t count;
	const struct uapi_ioctl *rows = uapi_rows(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const struct uapi_ioctl *row = &rows[i];
		const struct uapi_field *flags;

		if (!row->arg) {
			assert_int_equal(row->legal_flags, 0);
			assert_int_equal(row->flags_early, 0);
			continue;
		}
		flags = field_of_role(row->arg, UAPI_FLAGS);
		if (row->legal_flags) {
			assert_non_null(flags);
			assert_true(flags->dir & UAPI_IN);
			if (flags->width < 8)
				assert_int_equal(row->legal_flags >> (flags->width * 8), 0);
		}
		if (row->flags_early) {
			assert_true(row->flags_errno == EINVAL || row->flags_errno == EOPNOTSUPP);
			assert_true((flags && (flags->dir & UAPI_IN)) ||
				    field_of_role(row->arg, UAPI_ZERO));
		} else {
			assert_int_equal(row->flags_errno, 0);
		}
	}
}

/* Positive, each once, without those that the law implies, and with the one for illegal flags. */
static void errnos_are_a_set(void **state)
{
	size_t count;
	const struct uapi_ioctl *rows = uapi_rows(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const struct uapi_ioctl *row = &rows[i];
		bool message = row->law == UAPI_LAW_MESSAGE;
		bool sized = row->law == UAPI_LAW_ARGSZ || row->law == UAPI_LAW_SIZED || message;
		bool for_flags = !row->flags_errno || (sized && row->flags_errno == EINVAL);

		for (const int16_t *e = row->errnos; *e; e++) {
			assert_true(*e > 0 && (*e != EFAULT || message));
			assert_true(!sized || *e != EINVAL);
			assert_true(row->law != UAPI_LAW_SIZED || *e != E2BIG);
			for (const int16_t *other = e + 1; *other; other++) {
				if (*e == *other)
					fail_msg("%s: errno %d twice", row->name, *e);
			}
			for_flags |= *e == row->flags_errno;
		}
		assert_true(for_flags);
	}
}

static void rows_are_ordered(void **state)
{
	size_t count;
	const struct uapi_ioctl *rows = uapi_rows(&count);

	(void)state;
	for (size_t i = 1; i < count; i++) {
		assert_true(rows[i].where >= rows[i - 1].where);
		if (rows[i].where == rows[i - 1].where && rows[i].number <= rows[i - 1].number)
			fail_msg("%s stands behind a larger number", rows[i].name);
	}
}

static void finding_is_the_inverse(void **state)
{
	size_t count;
	const struct uapi_ioctl *rows = uapi_rows(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const struct uapi_ioctl *row = &rows[i];
		const struct uapi_ioctl *named = uapi_find_name(row->name);

		assert_ptr_equal(uapi_find((enum uapi_where)row->where, row->number), row);
		assert_non_null(named);
		assert_true(named <= row);
		assert_int_equal(named->number, row->number);
		/* The same _IOC_NR under another type is another number. */
		assert_null(uapi_find((enum uapi_where)row->where, row->number ^ 0x100u));
	}
	assert_null(uapi_find_name("VFIO_NO_SUCH_IOCTL"));
	assert_null(uapi_find(UAPI_WHERE_COUNT, VFIO_GET_API_VERSION));
}

/* Every number is found exactly where a row says so: all _IOC_NRs of both types, on all kinds of
 * files. */
static void nothing_else_is_found(void **state)
{
	static const unsigned int types[] = { VFIO_TYPE, KVMIO };
	size_t count;
	const struct uapi_ioctl *rows = uapi_rows(&count);

	(void)state;
	for (unsigned int where = 0; where < UAPI_WHERE_COUNT; where++) {
		for (unsigned int nr = 0; nr < 512; nr++) {
			uint32_t number = _IO(types[nr / 256], nr % 256);
			const struct uapi_ioctl *expected = NULL;

			for (size_t i = 0; i < count; i++) {
				if (rows[i].where == where && rows[i].number == number)
					expected = &rows[i];
			}
			assert_ptr_equal(uapi_find((enum uapi_where)where, number), expected);
		}
		assert_true(strlen(uapi_where_name((enum uapi_where)where)) > 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frozen_ioctl_has_a_row),
		cmocka_unit_test(sizes_are_the_frozen_ones),
		cmocka_unit_test(offsets_are_the_frozen_ones),
		cmocka_unit_test(fields_are_in_order_and_inside),
		cmocka_unit_test(field_names_are_unique),
		cmocka_unit_test(fields_cover_their_struct),
		cmocka_unit_test(laws_have_what_they_need),
		cmocka_unit_test(flags_belong_to_a_field),
		cmocka_unit_test(errnos_are_a_set),
		cmocka_unit_test(rows_are_ordered),
		cmocka_unit_test(finding_is_the_inverse),
		cmocka_unit_test(nothing_else_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
