/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults by name; see fault.h. What is armed lies in libfiu, what counts lies here. */
#define FIU_ENABLE
#include "fault.h"

#include <errno.h>
#include <fiu-control.h>
#include <fiu.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "errnos.h"

struct fault {
	char *armed; /* the name that libfiu was given, or NULL */
	bool listens;
	bool records;
	bool lost; /* of the record, for want of memory */
	bool sticky;
	unsigned int nth;
	unsigned int passed; /* points that the armed name covers, since it was armed */
	unsigned int hits;
	const struct vfake_fault_point *last_hit;
	const struct vfake_fault_point **record;
	size_t count;
	size_t space;
};

static const int16_t no_memory[] = { ENOMEM, 0 };
static const int16_t busy[] = { EBUSY, 0 };
static const int16_t blocked[] = { EACCES, EBUSY, 0 };
static const int16_t state[] = { EEXIST, ENOMEM, 0 };
static const int16_t not_passed[] = { EPIPE, 0 };
static const int16_t not_there[] = { ENOENT, 0 };
static const int16_t death[] = { FAULT_KILL, 0 };

static const struct vfake_fault_point sides[FAULT_SIDES] = {
	[FAULT_STACK_ALLOC] = { "stack/alloc", NULL, VFAKE_FAULT_ALLOC, no_memory },
	[FAULT_MEMORY_ALLOC] = { "memory/alloc", NULL, VFAKE_FAULT_ALLOC, no_memory },
	[FAULT_VMM_FORBID_DISCARD] = { "vmm/forbid_discard", NULL, VFAKE_FAULT_ENTRY, busy },
	[FAULT_VMM_BLOCK_MIGRATION] = { "vmm/block_migration", NULL, VFAKE_FAULT_ENTRY, blocked },
	[FAULT_VMM_REGISTER_STATE] = { "vmm/register_state", NULL, VFAKE_FAULT_ENTRY, state },
	[FAULT_VMM_KEEP_FD] = { "vmm/keep_fd", NULL, VFAKE_FAULT_ENTRY, not_passed },
	[FAULT_VMM_TAKE_FD] = { "vmm/take_fd", NULL, VFAKE_FAULT_ENTRY, not_there },
};

#define CALL(name)                                                                                 \
	{                                                                                          \
		{ "call/" name "/entry", NULL, VFAKE_FAULT_ENTRY, death },                         \
			{ "call/" name "/exit", NULL, VFAKE_FAULT_COPYOUT, death },                \
	}

static const struct vfake_fault_point calls[FAULT_CALLS][2] = {
	[FAULT_CALL_OPEN] = CALL("open"),	[FAULT_CALL_CLOSE] = CALL("close"),
	[FAULT_CALL_IOCTL] = CALL("ioctl"),	[FAULT_CALL_PREAD] = CALL("pread"),
	[FAULT_CALL_PWRITE] = CALL("pwrite"),	[FAULT_CALL_READ] = CALL("read"),
	[FAULT_CALL_MMAP] = CALL("mmap"),	[FAULT_CALL_MUNMAP] = CALL("munmap"),
	[FAULT_CALL_EVENTFD] = CALL("eventfd"), [FAULT_CALL_CONNECT] = CALL("connect"),
	[FAULT_CALL_SENDMSG] = CALL("sendmsg"), [FAULT_CALL_RECVMSG] = CALL("recvmsg"),
	[FAULT_CALL_POLL] = CALL("poll"),	[FAULT_CALL_KEEP_FD] = CALL("keep_fd"),
	[FAULT_CALL_TAKE_FD] = CALL("take_fd"),
};

static const char kill_name[] = "kill";

const struct vfake_fault_point *fault_side_point(enum fault_side side)
{
	return &sides[side];
}

const struct vfake_fault_point *fault_call_point(enum fault_call call, bool after)
{
	return &calls[call][after];
}

const char *fault_code_name(int code)
{
	return code == FAULT_KILL ? kill_name : errno_name(code);
}

int fault_code_by_name(const char *name, size_t length)
{
	if (length == strlen(kill_name) && !memcmp(name, kill_name, length))
		return FAULT_KILL;
	return errno_by_name(name, length);
}

void fault_each(void (*each)(void *ctx, const struct vfake_fault_point *point), void *ctx)
{
	const struct vfake_fault_point *points;
	size_t count;

	points = vfake_fault_points(&count);
	for (size_t i = 0; i < count; i++) {
		if (points[i].errnos[0])
			each(ctx, &points[i]);
	}
	for (size_t i = 0; i < FAULT_SIDES; i++)
		each(ctx, &sides[i]);
	for (size_t i = 0; i < FAULT_CALLS; i++) {
		each(ctx, &calls[i][false]);
		each(ctx, &calls[i][true]);
	}
}

struct search {
	const char *name;
	const struct vfake_fault_point *found;
};

static void compare(void *ctx, const struct vfake_fault_point *point)
{
	struct search *search = ctx;

	if (!strcmp(point->name, search->name))
		search->found = point;
}

const struct vfake_fault_point *fault_find(const char *name)
{
	struct search search = { .name = name };

	fault_each(compare, &search);
	return search.found;
}

/* It leaves the names to arm where the library that it loads finds them. */
static bool is_run_by_fiu(void)
{
	return getenv("FIU_ENABLE");
}

struct fault *fault_new(void)
{
	struct fault *fault = fiu_init(0) ? NULL : calloc(1, sizeof(*fault));

	if (fault)
		fault->listens = is_run_by_fiu();
	return fault;
}

struct fault *fault_of_fiu_run(void)
{
	return is_run_by_fiu() ? fault_new() : NULL;
}

void fault_free(struct fault *fault)
{
	if (!fault)
		return;
	fault_disarm(fault);
	free(fault->record);
	free(fault);
}

static int hook(void *ctx, const struct vfake_fault_point *point)
{
	return fault_pass(ctx, point);
}

void fault_bind(struct fault *fault, struct vfake_kernel *kernel)
{
	vfake_set_fault_hook(kernel, fault ? hook : NULL, fault);
}

static void note(struct fault *fault, const struct vfake_fault_point *point)
{
	size_t space = fault->space ? 2 * fault->space : 256;
	const struct vfake_fault_point **record;

	if (fault->count == fault->space) {
		record = realloc(fault->record, space * sizeof(*record));
		if (!record) {
			fault->lost = true;
			return;
		}
		fault->record = record;
		fault->space = space;
	}
	fault->record[fault->count++] = point;
}

static bool may_give(const struct vfake_fault_point *point, int error)
{
	for (const int16_t *p = point->errnos; *p; p++) {
		if (*p == error)
			return true;
	}
	return false;
}

int fault_pass(struct fault *fault, const struct vfake_fault_point *point)
{
	int error;

	if (!fault)
		return 0;
	if (fault->records)
		note(fault, point);
	if (!fault->armed && !fault->listens)
		return 0;
	error = fiu_fail(point->name);
	if (!error)
		return 0;
	fault->hits++;
	fault->last_hit = point;
	return -(may_give(point, error) ? error : point->errnos[0]);
}

/* libfiu asks this whenever a name is passed that the armed one covers. */
static int counts(const char *name, int *failnum, void **failinfo, unsigned int *flags)
{
	struct fault *fault = *failinfo;

	(void)name;
	(void)failnum;
	(void)flags;
	fault->passed++;
	return fault->sticky ? fault->passed >= fault->nth : fault->passed == fault->nth;
}

int fault_arm(struct fault *fault, const char *name, unsigned int nth, int error, bool sticky)
{
	fault_disarm(fault);
	if (!name[0] || !nth)
		return -EINVAL;
	fault->armed = strdup(name);
	if (!fault->armed)
		return -ENOMEM;
	fault->nth = nth;
	fault->sticky = sticky;
	fault->passed = 0;
	fault->hits = 0;
	fault->last_hit = NULL;
	/* libfiu wants a number; that no point has -1 among its errnos is what 0 means here. */
	if (!fiu_enable_external(name, error ? error : -1, fault, 0, counts))
		return 0;
	free(fault->armed);
	fault->armed = NULL;
	return -ENOMEM;
}

void fault_disarm(struct fault *fault)
{
	if (!fault->armed)
		return;
	fiu_disable(fault->armed);
	free(fault->armed);
	fault->armed = NULL;
}

bool fault_is_armed(const struct fault *fault)
{
	return fault->armed && (fault->sticky || !fault->hits);
}

void fault_listen(struct fault *fault, bool listen)
{
	fault->listens = listen;
	fault->hits = 0;
	fault->last_hit = NULL;
}

unsigned int fault_hits(const struct fault *fault)
{
	return fault->hits;
}

const struct vfake_fault_point *fault_last_hit(const struct fault *fault)
{
	return fault->last_hit;
}

void fault_record(struct fault *fault, bool on)
{
	fault->records = on;
	if (!on)
		return;
	fault->count = 0;
	fault->lost = false;
}

const struct vfake_fault_point *const *fault_recorded(const struct fault *fault, size_t *count)
{
	*count = fault->lost ? SIZE_MAX : fault->count;
	return fault->record;
}
