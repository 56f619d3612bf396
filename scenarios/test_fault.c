/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every ioctl made to fail at every place where it can, with every errno that the place may give.
 * The tests are made from the table: a new row has its tests as soon as there is a call of it that
 * works.
 *
 * A call that fails before its effect leaves the kernel as it was, and works when it is tried
 * again, with the same result. A call that fails to copy its answer out leaves all or nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <vfake/fault.h>
#include <vfake/view.h>

#include "errnos.h"
#include "fault_calls.h"

enum { PASSES_MAX = 512, STATE_BYTES = 8192, DESCRIPTORS = 64 };

/* What the hook does: notes what is passed, and fails one pass, or that and all later ones of it.
 */
struct trap {
	const struct vfake_fault_point *passed[PASSES_MAX];
	unsigned int passes;
	unsigned int strike; /* the pass that fails, from 1 on; 0: none */
	const struct vfake_fault_point *sticky;
	int error;
	bool hit;
};

/* What can be told of the kernel after a call. */
struct outcome {
	long ret;
	unsigned char arg[SOUND_BYTES];
	struct vfake_ledger ledger;
	char state[STATE_BYTES];
};

/* A call on a stage of its own, and what it does when nothing fails. */
struct subject {
	const struct fault_call *call;
	const struct uapi_ioctl *row;
	const struct stage_kind *kind;
	struct trap trap;
	struct outcome before; /* of the call */
	struct outcome after;
};

static unsigned long faults, wrong;

static int spring(void *ctx, const struct vfake_fault_point *point)
{
	struct trap *trap = ctx;

	if (trap->passes < PASSES_MAX)
		trap->passed[trap->passes] = point;
	trap->passes++;
	if (trap->passes != trap->strike && (!trap->hit || trap->sticky != point))
		return 0;
	trap->hit = true;
	return -trap->error;
}

/* ---- states ---- */

struct text {
	char *bytes;
	size_t used;
};

static void __attribute__((format(printf, 2, 3))) say(struct text *text, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	text->used +=
		(size_t)vsnprintf(text->bytes + text->used, STATE_BYTES - text->used, format, list);
	va_end(list);
	assert_true(text->used < STATE_BYTES);
}

static void say_devices(struct text *text, const struct vfake_kernel *kernel)
{
	static const char *const names[] = { "d0", "d1", "d2" };
	struct vfake_device_view device;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (vfake_view_device(kernel, names[i], &device))
			continue;
		say(text, "%s opened %u%s%s%s%s manager %d mappings %" PRIu64 "%s\n", names[i],
		    device.open_count, device.cdev_opened ? " cdev" : "",
		    device.group_opened ? " group" : "", device.in_container ? " contained" : "",
		    device.translated ? " translated" : "", device.manager, device.mappings,
		    device.dirty_tracking ? " tracked" : "");
	}
}

static void say_mappings(struct text *text, const struct vfake_space_at *at)
{
	struct vfake_mapping_view map;

	for (uint64_t from = 0; !vfake_view_mapping(at, from, UINT64_MAX, &map);) {
		say(text, "  %#" PRIx64 "-%#" PRIx64 " to %#" PRIx64 "%s%s%s%s\n", map.iova,
		    map.last, map.vaddr, map.readable ? " r" : "", map.writable ? " w" : "",
		    map.suspended ? " suspended" : "", map.pinned ? " pinned" : "");
		if (map.last == UINT64_MAX)
			break;
		from = map.last + 1;
	}
}

static void say_objects(struct text *text, struct vfake_space_at at)
{
	struct vfake_iommufd_view iommufd;
	struct vfake_object_view object;
	uint32_t id = 0;

	if (vfake_view_iommufd(&at, &iommufd))
		return;
	say(text, " compat %u account %u\n", iommufd.compat_ioas, iommufd.account);
	while (!vfake_view_object(&at, id, &object)) {
		say(text, " object %u kind %u users %u on %u%s%s\n", object.id, object.kind,
		    object.users, object.on, object.automatic ? " automatic" : "",
		    object.dirty_tracking ? " tracked" : "");
		at.ioas = object.id;
		if (object.kind == UAPI_OBJ_IOAS)
			say_mappings(text, &at);
		id = object.id + 1;
	}
}

static void say_files(struct text *text, const struct rig *rig)
{
	struct vfake_file_view file;

	for (int fd = 0; fd < DESCRIPTORS; fd++) {
		struct vfake_space_at at = { .kernel = rig->kernel, .task = rig->task, .fd = fd };
		struct vfake_space_view space;

		if (vfake_view_file(rig->task, fd, &file))
			continue;
		say(text, "%d %s references %u devices %u%s\n", fd, file.kind, file.references,
		    file.devices, file.in_container ? " contained" : "");
		if (!strcmp(file.kind, "iommufd")) {
			say_objects(text, at);
		} else if (!strcmp(file.kind, "container") && !vfake_view_space(&at, &space)) {
			say(text, " manager %d v%u groups %u mappings %" PRIu64 "%s\n",
			    space.manager, space.version, space.groups, space.mappings,
			    space.dirty_tracking ? " tracked" : "");
			say_mappings(text, &at);
		}
	}
}

static void look(struct outcome *outcome, const struct stage *stage)
{
	struct text text = { .bytes = outcome->state };

	outcome->ledger = vfake_ledger(stage->rig.kernel);
	say_devices(&text, stage->rig.kernel);
	say_files(&text, &stage->rig);
	assert_int_equal(vfake_peek(stage->rig.task, stage->args, outcome->arg, SOUND_BYTES), 0);
}

static bool same_kernel(const struct outcome *a, const struct outcome *b)
{
	return !memcmp(&a->ledger, &b->ledger, sizeof(a->ledger)) && !strcmp(a->state, b->state);
}

/* ---- one fault ---- */

static const char *name_of(const struct subject *s)
{
	return s->row ? s->row->name : s->call->row;
}

struct probe {
	const struct subject *subject;
	const struct vfake_fault_point *point;
	unsigned int pass;
	int error;
	bool sticky;
};

static void show_ledger(const char *what, const struct vfake_ledger *l)
{
	print_message("  %s: files %" PRIu64 ", descriptors %" PRIu64 ", allocations %" PRIu64
		      ", pinned %" PRIu64 ", locked %" PRIu64 ", warnings %" PRIu64 "\n",
		      what, l->open_files, l->descriptors, l->allocations, l->pinned_pages,
		      l->locked_pages, l->warnings);
}

static void complain(const struct probe *p, const char *what, const struct outcome *got,
		     const struct outcome *want)
{
	const struct subject *s = p->subject;
	const char *name = errno_name(p->error);

	wrong++;
	print_message("%s%s on a %s: %s, pass %u, %s%s: %s: %ld\n", name_of(s),
		      s->call->note ? s->call->note : "", s->kind->name, p->point->name, p->pass,
		      name ? name : "?", p->sticky ? ", sticky" : "", what, got->ret);
	if (!want)
		return;
	show_ledger("is", &got->ledger);
	show_ledger("due", &want->ledger);
	if (strcmp(got->state, want->state))
		print_message("--- is\n%s--- due\n%s", got->state, want->state);
	if (memcmp(got->arg, want->arg, sizeof(got->arg)))
		print_message("  the argument differs\n");
}

static void judge_retry(const struct probe *p, struct stage *stage)
{
	const struct subject *s = p->subject;
	struct outcome again;

	assert_int_equal(vfake_poke(stage->rig.task, stage->args, s->before.arg, SOUND_BYTES), 0);
	again.ret = fault_call_make(s->call, s->row, stage);
	look(&again, stage);
	if (again.ret != s->after.ret)
		complain(p, "tried again, it gives something else", &again, &s->after);
	else if (!same_kernel(&again, &s->after) ||
		 memcmp(again.arg, s->after.arg, sizeof(again.arg)))
		complain(p, "tried again, it does something else", &again, &s->after);
}

static void judge(const struct probe *p, const struct trap *trap, struct outcome *got,
		  struct stage *stage)
{
	const struct subject *s = p->subject;

	if (!trap->hit) {
		complain(p, "it did not come by", got, NULL);
		return;
	}
	if (got->ledger.warnings)
		complain(p, "the kernel warned", got, NULL);
	if (got->ret >= 0) {
		if (got->ret != s->after.ret || !same_kernel(got, &s->after))
			complain(p, "it went on, but not as without a fault", got, &s->after);
		return;
	}
	if (p->point->stage == VFAKE_FAULT_COPYOUT) {
		if (!fault_leaves_half(s->call, s->row) && !same_kernel(got, &s->before) &&
		    !same_kernel(got, &s->after))
			complain(p, "its effect is neither there nor gone", got, &s->after);
		return;
	}
	if (got->ret != -p->error)
		complain(p, "it fails with another errno", got, NULL);
	if (!same_kernel(got, &s->before))
		complain(p, "it failed and changed something", got, &s->before);
	else
		judge_retry(p, stage);
}

/* A stage on which the call can be made. */
static void set_up(const struct subject *s, struct stage *stage)
{
	unsigned char arg[SOUND_BYTES];

	stage_start(stage, s->kind);
	fault_call_prepare(s->call, s->row, stage, arg);
	assert_int_equal(vfake_poke(stage->rig.task, stage->args, arg, SOUND_BYTES), 0);
}

static void strike(const struct probe *p)
{
	const struct subject *s = p->subject;
	struct trap trap = { .strike = p->pass,
			     .error = p->error,
			     .sticky = p->sticky ? p->point : NULL };
	struct outcome got;
	struct stage stage;

	faults++;
	set_up(s, &stage);
	vfake_set_fault_hook(stage.rig.kernel, spring, &trap);
	got.ret = fault_call_make(s->call, s->row, &stage);
	vfake_set_fault_hook(stage.rig.kernel, NULL, NULL);
	look(&got, &stage);
	judge(p, &trap, &got, &stage);
	stage_end(&stage);
}

/* ---- one call ---- */

/* How often a point was passed in the first @passes. */
static unsigned int count_of(const struct trap *trap, unsigned int passes,
			     const struct vfake_fault_point *point)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < passes; i++)
		count += trap->passed[i] == point;
	return count;
}

static void strike_everywhere(const struct subject *s)
{
	assert_true(s->trap.passes <= PASSES_MAX);
	for (unsigned int i = 0; i < s->trap.passes; i++) {
		struct probe probe = { .subject = s, .point = s->trap.passed[i], .pass = i + 1 };

		for (const int16_t *error = probe.point->errnos; *error; error++) {
			probe.error = *error;
			probe.sticky = false;
			strike(&probe);
			probe.sticky = true;
			if (count_of(&s->trap, s->trap.passes, probe.point) > 1)
				strike(&probe);
		}
	}
}

static bool is_point_of(const struct vfake_fault_point *point, const struct subject *s)
{
	size_t len = s->row ? 0 : strlen(s->call->row);

	if (s->row || point->row)
		return point->row == s->row;
	return !strncmp(point->name, s->call->row, len) && point->name[len] == '/';
}

/* A call that works passes its entry once, and its commit, where it can fail there. */
static void judge_passes(const struct subject *s)
{
	size_t count;
	const struct vfake_fault_point *points = vfake_fault_points(&count);

	for (size_t i = 0; i < count; i++) {
		const struct vfake_fault_point *point = &points[i];
		unsigned int passes = count_of(&s->trap, s->trap.passes, point);

		if (!is_point_of(point, s) || !point->errnos[0])
			continue;
		if (point->stage != VFAKE_FAULT_ENTRY && point->stage != VFAKE_FAULT_COMMIT)
			continue;
		if (passes == 1 || (passes && point->stage == VFAKE_FAULT_COMMIT))
			continue;
		wrong++;
		print_message("%s%s on a %s: passes %s %u times\n", name_of(s),
			      s->call->note ? s->call->note : "", s->kind->name, point->name,
			      passes);
	}
}

/* sPAPR answers some errors with a positive number, as Linux does. */
static bool gives_an_error(const struct uapi_ioctl *row, long ret)
{
	return row && row->where == UAPI_ON_SPAPR && row->result == UAPI_RETURNS_ZERO && ret;
}

/* Whether the call works on that stage. */
static bool try_call(const struct fault_call *call, const struct uapi_ioctl *row,
		     const struct stage_kind *kind)
{
	struct subject s = { .call = call, .row = row, .kind = kind };
	struct stage stage;

	set_up(&s, &stage);
	look(&s.before, &stage);
	vfake_set_fault_hook(stage.rig.kernel, spring, &s.trap);
	s.after.ret = fault_call_make(call, row, &stage);
	vfake_set_fault_hook(stage.rig.kernel, NULL, NULL);
	look(&s.after, &stage);
	stage_end(&stage);
	if (s.after.ret < 0 || gives_an_error(row, s.after.ret))
		return false;
	judge_passes(&s);
	strike_everywhere(&s);
	return true;
}

/* The calls of a row: the one that the table makes by itself, and those of fault_calls.c. */
static unsigned int try_row(const struct uapi_ioctl *row)
{
	static const struct fault_call plain = { 0 };
	const struct stage_kind *kind;
	unsigned int worked = 0;

	for (size_t k = 0; (kind = fault_stage(k)); k++) {
		if (kind->where == row->where)
			worked += try_call(&plain, row, kind);
	}
	for (size_t i = 0; i < fault_call_count; i++) {
		const struct fault_call *call = &fault_calls[i];

		if (strcmp(call->row, row->name))
			continue;
		for (size_t k = 0; (kind = fault_stage(k)); k++) {
			if (kind->where != row->where || strcmp(kind->name, call->stage))
				continue;
			if (try_call(call, row, kind)) {
				worked++;
				continue;
			}
			wrong++;
			print_message("%s%s on a %s: it does not work\n", row->name,
				      call->note ? call->note : "", kind->name);
		}
	}
	return worked;
}

static void a_call_that_fails_changes_nothing(void **state)
{
	size_t count;
	const struct uapi_ioctl *rows = uapi_rows(&count);
	unsigned int tested = 0;

	(void)state;
	for (size_t i = 0; i < count; i++) {
		/* The commands of vfio-user are no calls of this kernel. */
		if (rows[i].where == UAPI_ON_USER ||
		    !vfake_implements(rows[i].where, rows[i].number))
			continue;
		tested++;
		if (try_row(&rows[i]) || fault_never_works(&rows[i]))
			continue;
		wrong++;
		print_message("%s on %s: no call of it works\n", rows[i].name,
			      uapi_where_name(rows[i].where));
	}
	print_message("%lu faults in %u rows of %zu\n", faults, tested, count);
	assert_true(faults > 1000);
	assert_int_equal(wrong, 0);
}

static void a_call_without_a_row_changes_nothing(void **state)
{
	const struct stage_kind *kind;

	(void)state;
	faults = wrong = 0;
	for (size_t i = 0; i < fault_file_call_count; i++) {
		const struct fault_call *call = &fault_file_calls[i];
		bool works = false;

		for (size_t k = 0; (kind = fault_stage(k)) && !works; k++)
			works = !strcmp(kind->name, call->stage) && try_call(call, NULL, kind);
		if (works)
			continue;
		wrong++;
		print_message("%s%s does not work\n", call->row, call->note);
	}
	print_message("%lu faults in %zu calls\n", faults, fault_file_call_count);
	assert_true(faults > 50);
	assert_int_equal(wrong, 0);
}

/* What is on its way down comes by no point. */
static void the_way_down_never_fails(void **state)
{
	const struct stage_kind *kind;

	(void)state;
	for (size_t k = 0; (kind = fault_stage(k)); k++) {
		struct trap trap = { .strike = 1, .error = ENOMEM };
		struct stage stage;

		stage_start(&stage, kind);
		vfake_set_fault_hook(stage.rig.kernel, spring, &trap);
		for (int fd = DESCRIPTORS; fd-- > 0;)
			vfake_close(stage.rig.task, fd);
		assert_int_equal(vfake_munmap(stage.rig.task, stage.memory, stage.page_bytes), 0);
		assert_int_equal(trap.passes, 0);
		vfake_set_fault_hook(stage.rig.kernel, NULL, NULL);
		stage_end(&stage);
	}
}

/* ---- the table of points ---- */

static bool is_of(const struct vfake_fault_point *point, const char *text)
{
	const char *slash = strrchr(point->name, '/');

	return slash && !strcmp(slash + 1, text);
}

static const char *stage_name(const struct vfake_fault_point *point)
{
	static const char *const names[] = { "entry", "copyin", "alloc", "commit", "copyout" };

	if (point->row && point->row->where == UAPI_ON_USER && point->stage == VFAKE_FAULT_COPYOUT)
		return "reply"; /* of a peer, not copied by this kernel */
	return names[point->stage];
}

static void points_have_names_of_their_own(void **state)
{
	size_t count;
	const struct vfake_fault_point *points = vfake_fault_points(&count);

	(void)state;
	assert_string_equal(points[0].name, "container/GET_API_VERSION/entry");
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(points[i].stage, i % VFAKE_FAULT_STAGES);
		assert_true(is_of(&points[i], stage_name(&points[i])));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(points[i].name, points[k].name);
		if (points[i].row && points[i].stage == VFAKE_FAULT_ENTRY)
			assert_ptr_equal(points[i].errnos, points[i].row->errnos);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(points_have_names_of_their_own),
		cmocka_unit_test(a_call_without_a_row_changes_nothing),
		cmocka_unit_test(the_way_down_never_fails),
		cmocka_unit_test(a_call_that_fails_changes_nothing),
	};

	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
