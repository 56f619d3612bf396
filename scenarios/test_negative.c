/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every ioctl with every argument that its row in the table forbids. The tests are made from the
 * rows: a new row has its tests as soon as the fake kernel implements it.
 *
 * A call that must fail gives an errno that the row lists or its law implies, and leaves the ledger
 * as it was. An argument that a row does not forbid but that no program would pass may succeed; if
 * it fails, the same holds.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "errnos.h"
#include "sound_call.h"

enum { MAY_PASS = 1, MUST_FAIL = 2 /* or the negative errno that must come */ };

/* One row on one stage. */
struct subject {
	const struct uapi_ioctl *row;
	const struct stage_kind *kind;
	struct stage stage;
	unsigned char sound[SOUND_BYTES]; /* the argument that is changed */
	uint32_t bytes;			/* of it, tails included */
	long sound_result;
};

static unsigned long probes, wrong;

static void make_sound(struct subject *s)
{
	s->bytes = sound_make(&s->stage, s->row, s->sound);
}

static bool may_give(const struct uapi_ioctl *row, long error)
{
	if (error == -EFAULT)
		return row->law != UAPI_LAW_NONE && row->law != UAPI_LAW_SCALAR;
	if (error == -EINVAL && (row->law == UAPI_LAW_ARGSZ || row->law == UAPI_LAW_SIZED))
		return true;
	if (error == -E2BIG && row->law == UAPI_LAW_SIZED)
		return true;
	for (const int16_t *e = row->errnos; *e; e++) {
		if (error == -*e)
			return true;
	}
	return false;
}

static void complain(const struct subject *s, const char *probe, const char *what, long ret)
{
	const char *name = ret < 0 ? errno_name((int)-ret) : NULL;

	wrong++;
	print_message("%s on a %s: %s: %s: %ld %s\n", s->row->name, s->kind->name, probe, what, ret,
		      name ? name : "");
}

/* sPAPR answers some errors with a positive number, as Linux does. */
static bool failed(const struct uapi_ioctl *row, long ret)
{
	return ret < 0 || (row->where == UAPI_ON_SPAPR && ret > 0);
}

static void judge(struct subject *s, const char *probe, long want, long ret)
{
	struct vfake_ledger now = vfake_ledger(s->stage.rig.kernel);

	probes++;
	if (want < 0 && ret != want)
		complain(s, probe, "another result was due", ret);
	if (want == MUST_FAIL && !failed(s->row, ret))
		complain(s, probe, "it does not fail", ret);
	if (ret < 0 && !may_give(s->row, ret))
		complain(s, probe, "the row does not list it", ret);
	if (now.warnings)
		complain(s, probe, "the kernel warned", ret);
	if (ret < 0 && memcmp(&now, &s->stage.before, sizeof(now)))
		complain(s, probe, "it failed and changed the ledger", ret);
	if (ret < 0 && !now.warnings)
		return;
	stage_end(&s->stage);
	stage_start(&s->stage, s->kind);
	make_sound(s);
}

static long call_at(struct subject *s, vfake_addr at)
{
	s->stage.before = vfake_ledger(s->stage.rig.kernel);
	return vfake_ioctl(s->stage.rig.task, s->stage.fd, s->row->number, at);
}

/* The call with an argument that begins a page; the page's rest is zero. */
static long call_with(struct subject *s, const unsigned char *arg, size_t bytes)
{
	static const unsigned char zero[SOUND_BYTES];

	assert_int_equal(vfake_poke(s->stage.rig.task, s->stage.args, zero, SOUND_BYTES), 0);
	assert_int_equal(vfake_poke(s->stage.rig.task, s->stage.args, arg, bytes), 0);
	return call_at(s, s->stage.args);
}

/* The sound argument with one field changed. */
static void probe_field(struct subject *s, const struct uapi_field *field, uint64_t value,
			long want)
{
	unsigned char arg[SOUND_BYTES];
	char probe[96];

	snprintf(probe, sizeof(probe), "%s=%#llx", field->name, (unsigned long long)value);
	memcpy(arg, s->sound, sizeof(arg));
	uapi_field_put(field, arg, value);
	judge(s, probe, want, call_with(s, arg, s->bytes));
}

/* ---- the rules ---- */

/* Pointers to nothing, of a call that looks at its argument. */
static void probe_pointers(struct subject *s)
{
	const uint64_t nowhere[] = { 0,
				     1,
				     0x1000,
				     s->stage.args - 8,
				     (uint64_t)1 << 47,
				     (uint64_t)1 << 63,
				     UINT64_MAX - 7,
				     UINT64_MAX };

	for (size_t i = 0; i < COUNT_OF(nowhere); i++)
		judge(s, "pointer to nothing", -EFAULT, call_at(s, nowhere[i]));
}

/* An argument of which only the first bytes are in memory. */
static void probe_edges(struct subject *s)
{
	uint32_t need = s->row->law == UAPI_LAW_ARGSZ ? s->row->min_size_bytes
			: s->row->arg		      ? s->row->arg->size_bytes
						      : s->bytes;
	vfake_addr end = s->stage.args + s->stage.page_bytes;

	if (s->row->law == UAPI_LAW_STRING)
		need = 0; /* the name in the page's last bytes has no end */
	for (uint32_t in = 1; in < need; in++) {
		assert_int_equal(vfake_poke(s->stage.rig.task, end - in, s->sound, in), 0);
		judge(s, "argument over an edge", -EFAULT, call_at(s, end - in));
	}
	if (s->row->law == UAPI_LAW_STRING) {
		assert_int_equal(vfake_poke(s->stage.rig.task, end - 2, "xx", 2), 0);
		judge(s, "name over an edge", -EFAULT, call_at(s, end - 2));
	}
}

static void clear_page(struct subject *s)
{
	static const unsigned char zero[65536];

	assert_true(s->stage.page_bytes <= sizeof(zero));
	assert_int_equal(vfake_poke(s->stage.rig.task, s->stage.args, zero, s->stage.page_bytes),
			 0);
}

/* A tail whose first bytes are not zero and whose last ones are not there: read from its start. */
static void probe_tail_at_edge(struct subject *s, const struct uapi_field *size)
{
	vfake_addr at = s->stage.args + s->stage.page_bytes - s->bytes - 8;
	unsigned char arg[SOUND_BYTES];

	memcpy(arg, s->sound, sizeof(arg));
	uapi_field_put(size, arg, s->bytes + 32);
	assert_int_equal(vfake_poke(s->stage.rig.task, at, arg, s->bytes + 8), 0);
	judge(s, "zero tail over an edge", -EFAULT, call_at(s, at));
	arg[s->bytes] = 1;
	assert_int_equal(vfake_poke(s->stage.rig.task, at, arg, s->bytes + 8), 0);
	judge(s, "tail over an edge", -E2BIG, call_at(s, at));
}

static void probe_sizes(struct subject *s)
{
	const struct uapi_field *size = &s->row->arg->fields[0];
	bool sized = s->row->law == UAPI_LAW_SIZED;
	unsigned char arg[SOUND_BYTES];
	bool open_ended = false;

	assert_int_equal(size->role, UAPI_SELF_SIZE);
	for (uint32_t bytes = 0; bytes < s->row->min_size_bytes; bytes++)
		probe_field(s, size, bytes, -EINVAL);
	for (uint16_t i = 0; i < s->row->arg->field_count; i++) {
		const struct uapi_field *field = &s->row->arg->fields[i];

		open_ended |= field->tail || field->role == UAPI_ARRAY;
	}
	memcpy(arg, s->sound, sizeof(arg));
	uapi_field_put(size, arg, s->bytes + 8);
	judge(s, "zero tail", !open_ended && s->sound_result < 0 ? s->sound_result : MAY_PASS,
	      call_with(s, arg, s->bytes + 8));
	for (uint32_t at = 0; at < 8; at++) {
		long same = !open_ended && s->sound_result < 0 ? s->sound_result : MAY_PASS;

		memcpy(arg, s->sound, sizeof(arg));
		uapi_field_put(size, arg, s->bytes + 8);
		arg[s->bytes + at] = 1;
		judge(s, "tail that is not zero", sized ? -E2BIG : same,
		      call_with(s, arg, s->bytes + 8));
	}
	if (sized)
		probe_tail_at_edge(s, size);
	memcpy(arg, s->sound, sizeof(arg));
	uapi_field_put(size, arg, UINT32_MAX);
	clear_page(s);
	judge(s, "the longest tail", sized ? -EFAULT : MAY_PASS, call_with(s, arg, s->bytes));
}

static void probe_flags(struct subject *s, const struct uapi_field *field)
{
	const struct uapi_ioctl *row = s->row;

	if (!row->flags_early && !row->legal_flags)
		return;
	for (uint32_t bit = 0; bit < 8U * field->width; bit++) {
		uint64_t flag = (uint64_t)1 << bit;

		if (!(row->legal_flags & flag))
			probe_field(s, field, flag,
				    row->flags_early ? -row->flags_errno : MUST_FAIL);
		else
			probe_field(s, field, flag, MAY_PASS);
	}
}

static void probe_ids(struct subject *s, const struct uapi_field *field)
{
	static const uint32_t dead[] = { 0, 0x7fffffff, UINT32_MAX };

	for (size_t i = 0; i < COUNT_OF(dead); i++)
		probe_field(s, field, dead[i], MUST_FAIL);
	for (int i = 0; i < STAGE_OBJECTS; i++) {
		if (s->stage.ids[i] && !(field->aux >> i & 1))
			probe_field(s, field, s->stage.ids[i], MUST_FAIL);
	}
}

static void probe_fds(struct subject *s, const struct uapi_field *field)
{
	uint64_t right = sound_hint(s->row, field->name, STAGE_NO_FD);

	probe_field(s, field, UINT32_MAX, MUST_FAIL);
	probe_field(s, field, INT32_MAX, MUST_FAIL);
	probe_field(s, field, 9999, MUST_FAIL);
	for (uint64_t i = STAGE_NO_FD + 1; i < STAGE_FDS; i++) {
		if (i != right)
			probe_field(s, field, (uint64_t)s->stage.fds[i], MUST_FAIL);
	}
}

/* An address and a length whose sum is beyond 2^64. */
static void probe_overflow(struct subject *s, const struct uapi_field *start)
{
	uint64_t page = s->stage.page_bytes;
	unsigned char arg[SOUND_BYTES];

	for (uint16_t i = 0; i < s->row->arg->field_count; i++) {
		const struct uapi_field *length = &s->row->arg->fields[i];

		if (length->role != UAPI_LENGTH || !(length->dir & UAPI_IN) ||
		    length->tail != start->tail || start->width != 8 || length->width != 8)
			continue;
		memcpy(arg, s->sound, sizeof(arg));
		uapi_field_put(start, arg, 0 - page);
		uapi_field_put(length, arg, 2 * page);
		judge(s, "start at the end", MUST_FAIL, call_with(s, arg, s->bytes));
		memcpy(arg, s->sound, sizeof(arg));
		uapi_field_put(start, arg, 16 * page);
		uapi_field_put(length, arg, 0 - page);
		judge(s, "length beyond the end", MUST_FAIL, call_with(s, arg, s->bytes));
	}
}

static void probe_extremes(struct subject *s, const struct uapi_field *field)
{
	const uint64_t values[] = { 0,
				    1,
				    2,
				    7,
				    63,
				    0x7fffffff,
				    0x80000000,
				    UINT32_MAX,
				    s->stage.args + s->stage.page_bytes - 4,
				    (uint64_t)1 << 47,
				    (uint64_t)1 << 63,
				    UINT64_MAX };

	for (size_t i = 0; i < COUNT_OF(values); i++)
		probe_field(s, field, values[i], MAY_PASS);
}

static void probe_one_field(struct subject *s, const struct uapi_field *field)
{
	long zero_errno = s->row->flags_early ? -s->row->flags_errno : MUST_FAIL;

	if (!(field->dir & UAPI_IN) || !field->width)
		return;
	switch (field->role) {
	case UAPI_SELF_SIZE:
		return;
	case UAPI_ZERO:
		probe_field(s, field, 1, zero_errno);
		probe_field(s, field, UINT64_MAX, zero_errno);
		return;
	case UAPI_FLAGS:
		probe_flags(s, field);
		return;
	case UAPI_ID:
		probe_ids(s, field);
		return;
	case UAPI_FD:
		probe_fds(s, field);
		return;
	case UAPI_IOVA:
	case UAPI_VADDR:
		probe_overflow(s, field);
		break;
	default:
		break;
	}
	probe_extremes(s, field);
}

/* ---- rows ---- */

static void probe_descriptor_argument(struct subject *s)
{
	static const struct uapi_field value = { .name = "*fd", .width = 4 };

	if (s->row->law != UAPI_LAW_FD_PTR) {
		probe_extremes(s, &value);
		return;
	}
	probe_field(s, &value, UINT32_MAX, MUST_FAIL);
	probe_field(s, &value, 9999, MUST_FAIL);
	probe_field(s, &value, (uint64_t)s->stage.fds[STAGE_EVENTFD], MUST_FAIL);
	probe_field(s, &value, (uint64_t)s->stage.fds[STAGE_MEMFD], MUST_FAIL);
}

static void probe_scalars(struct subject *s)
{
	static const uint64_t values[] = { 100,	       0x7fffffff,	  0x80000000,
					   UINT32_MAX, (uint64_t)1 << 32, (uint64_t)1 << 63,
					   UINT64_MAX };

	for (size_t i = 0; i < COUNT_OF(values); i++)
		judge(s, "scalar", MAY_PASS, call_at(s, values[i]));
}

static void probe_argument(struct subject *s)
{
	probe_pointers(s);
	s->sound_result = call_with(s, s->sound, s->bytes);
	judge(s, "sound", MAY_PASS, s->sound_result);
	probe_edges(s);
	if (!s->row->arg) {
		probe_descriptor_argument(s);
		return;
	}
	if (s->row->law == UAPI_LAW_ARGSZ || s->row->law == UAPI_LAW_SIZED)
		probe_sizes(s);
	for (uint16_t i = 0; i < s->row->arg->field_count; i++)
		probe_one_field(s, &s->row->arg->fields[i]);
}

/*
 * All rules of a row on one stage. False when the file there does not have the call, which its
 * route says with an errno that is not the row's or, of a cdev that is not bound, with EINVAL.
 */
static bool probe_row(const struct uapi_ioctl *row, const struct stage_kind *kind)
{
	struct subject s = { .row = row, .kind = kind };
	bool refused, copies = row->law != UAPI_LAW_NONE && row->law != UAPI_LAW_SCALAR;
	long ret;

	stage_start(&s.stage, kind);
	make_sound(&s);
	ret = call_at(&s, 0);
	refused = ret < 0 && (!may_give(row, ret) || (copies && ret == -EINVAL));
	if (!refused)
		judge(&s, "nothing", copies ? MUST_FAIL : MAY_PASS, ret);
	if (!refused && !copies)
		probe_scalars(&s);
	if (!refused && copies && ret == -EFAULT)
		probe_argument(&s);
	stage_end(&s.stage);
	return !refused;
}

static bool can_be_opened(int where)
{
	for (size_t i = 0; i < stage_kind_count; i++) {
		if ((int)stage_kinds[i].where == where)
			return true;
	}
	return false;
}

static void what_the_table_forbids_fails(void **state)
{
	size_t count;
	const struct uapi_ioctl *rows = uapi_rows(&count);
	unsigned int tested = 0;

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const struct uapi_ioctl *row = &rows[i];
		bool reached = false;

		if (!vfake_implements(row->where, row->number) || !can_be_opened(row->where))
			continue;
		for (size_t k = 0; k < stage_kind_count; k++) {
			if (stage_kinds[k].where == row->where)
				reached |= probe_row(row, &stage_kinds[k]);
		}
		if (!reached) {
			wrong++;
			print_message("%s: no stage reaches it\n", row->name);
		}
		tested++;
	}
	print_message("%lu calls on %u rows of %zu\n", probes, tested, count);
	assert_true(tested > 40);
	assert_true(probes > 1000);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_table_forbids_fails),
	};

	return cmocka_run_group_tests_name("negative", tests, NULL, NULL);
}
