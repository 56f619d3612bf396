/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a process of cpr_rig.h tells the kernel and its VMM about memory, page tables and
 * descriptors, as lines of text, each call with its arguments; and a heap on which no byte too many
 * can be touched.
 *
 *	keep vfio/container 1              a descriptor is kept under a name
 *	vfio/container 1: map vaddr 0x10000000+0x50000 ram0+0x0
 *	vfio/iommufd 1: change-process     calls of descriptors that were kept or taken
 */
#ifndef SCENARIOS_CPR_WATCH_H
#define SCENARIOS_CPR_WATCH_H

#include <uapi/iommufd.h>
#include <uapi/vfio.h>
#include <uapi/vfio_iommu.h>

#include "cpr_encoder.h"
#include "cpr_fence.h"

enum { WATCH_PROCESSES = 8, WATCH_TEXT = 8192, WATCH_NUMBERS = 32, WATCH_NAME = 48 };

/* What a kernel gave out. */
struct cpr_number {
	uint32_t request; /* that made it */
	uint32_t id;
};

struct cpr_watch {
	struct cpr_process *process;
	char text[WATCH_TEXT];
	size_t used;
	char names[CPR_FDS][WATCH_NAME]; /* by descriptor */
	struct cpr_number numbers[WATCH_NUMBERS];
	uint32_t number_count;
	uint32_t made; /* descriptors so far */
	uint32_t zero; /* the how-manieth has the number 0, which is closed before */
};

static struct cpr_watch cpr_watches[WATCH_PROCESSES];

static inline struct cpr_watch *cpr_watch_of(const struct cpr_process *process)
{
	for (size_t i = 0; i < WATCH_PROCESSES; i++) {
		if (cpr_watches[i].process == process)
			return &cpr_watches[i];
	}
	fail_msg("nobody watches this process");
	return NULL;
}

/* ---- lines ---- */

/* What a test expects. */
struct lines {
	char text[WATCH_TEXT];
	size_t used;
	uint32_t count;
};

static inline void __attribute__((format(printf, 2, 3)))
say(struct lines *lines, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	lines->used += (size_t)vsnprintf(lines->text + lines->used, WATCH_TEXT - lines->used,
					 format, args);
	va_end(args);
	assert_true(lines->used < WATCH_TEXT);
	lines->count++;
}

static inline void __attribute__((format(printf, 2, 3)))
cpr_note(struct cpr_watch *watch, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	watch->used += (size_t)vsnprintf(watch->text + watch->used, WATCH_TEXT - watch->used,
					 format, args);
	va_end(args);
	assert_true(watch->used < WATCH_TEXT);
}

static inline void cpr_forget(struct cpr_process *process)
{
	struct cpr_watch *watch = cpr_watch_of(process);

	watch->used = 0;
	*watch->text = 0;
}

/* What was noted since the last time, line by line in this order, and nothing else. */
static inline void cpr_expect_lines(struct cpr_process *process, const char *lines)
{
	assert_string_equal(cpr_watch_of(process)->text, lines);
	cpr_forget(process);
}

static inline uint32_t cpr_count_lines(const struct cpr_process *process, const char *what)
{
	const char *at = cpr_watch_of(process)->text;
	uint32_t count = 0;

	for (; (at = strstr(at, what)); at++)
		count++;
	return count;
}

/* The number that the kernel gave out the @nth time (from 0) that a request made something. */
static inline uint32_t cpr_number(const struct cpr_process *process, uint32_t request, uint32_t nth)
{
	const struct cpr_watch *watch = cpr_watch_of(process);

	for (uint32_t i = 0; i < watch->number_count; i++) {
		if (watch->numbers[i].request == request && !nth--)
			return watch->numbers[i].id;
	}
	fail_msg("there is no such number");
	return 0;
}

/* ---- calls ---- */

static inline void cpr_note_address(struct cpr_watch *watch, uint64_t vaddr)
{
	const struct cpr_process *process = watch->process;

	for (uint32_t i = 0; i < process->machine->spaces; i++) {
		uint64_t at = vaddr - (uint64_t)(uintptr_t)process->ram[i];

		if (at < process->machine->bytes) {
			cpr_note(watch, " ram%u+0x%llx", i, (unsigned long long)at);
			return;
		}
	}
	cpr_note(watch, " nowhere");
}

static inline void cpr_note_map(struct cpr_watch *watch, const struct vfio_iommu_type1_dma_map *arg)
{
	cpr_note(watch, "map%s%s%s 0x%llx+0x%llx", arg->flags & VFIO_DMA_MAP_FLAG_READ ? " r" : "",
		 arg->flags & VFIO_DMA_MAP_FLAG_WRITE ? " w" : "",
		 arg->flags & VFIO_DMA_MAP_FLAG_VADDR ? " vaddr" : "",
		 (unsigned long long)arg->iova, (unsigned long long)arg->size);
	cpr_note_address(watch, arg->vaddr);
}

static inline void cpr_note_unmap(struct cpr_watch *watch,
				  const struct vfio_iommu_type1_dma_unmap *arg)
{
	cpr_note(watch, "unmap%s%s 0x%llx+0x%llx",
		 arg->flags & VFIO_DMA_UNMAP_FLAG_VADDR ? " vaddr" : "",
		 arg->flags & VFIO_DMA_UNMAP_FLAG_ALL ? " all" : "", (unsigned long long)arg->iova,
		 (unsigned long long)arg->size);
}

static const struct {
	uint32_t request;
	const char *name;
} cpr_changes[] = {
	{ VFIO_SET_IOMMU, "set-iommu" },
	{ VFIO_GROUP_SET_CONTAINER, "set-container" },
	{ VFIO_GROUP_UNSET_CONTAINER, "unset-container" },
	{ VFIO_DEVICE_BIND_IOMMUFD, "bind" },
	{ VFIO_DEVICE_ATTACH_IOMMUFD_PT, "attach" },
	{ VFIO_DEVICE_DETACH_IOMMUFD_PT, "detach" },
	{ IOMMU_IOAS_ALLOC, "alloc-ioas" },
	{ IOMMU_HWPT_ALLOC, "alloc-table" },
	{ IOMMU_IOAS_MAP, "map-memory" },
	{ IOMMU_IOAS_MAP_FILE, "map-file" },
	{ IOMMU_IOAS_UNMAP, "unmap-memory" },
	{ IOMMU_IOAS_CHANGE_PROCESS, "change-process" },
};

static inline void cpr_note_call(struct cpr_watch *watch, int fd, uint32_t request, uint64_t arg)
{
	const void *at = (const void *)(uintptr_t)arg;
	const char *name = NULL;

	for (size_t i = 0; i < sizeof(cpr_changes) / sizeof(cpr_changes[0]); i++) {
		if (cpr_changes[i].request == request)
			name = cpr_changes[i].name;
	}
	if (!name && request != VFIO_IOMMU_MAP_DMA && request != VFIO_IOMMU_UNMAP_DMA &&
	    request != IOMMU_DESTROY)
		return;
	if (fd >= 0 && fd < CPR_FDS && *watch->names[fd])
		cpr_note(watch, "%s: ", watch->names[fd]);
	if (name)
		cpr_note(watch, "%s", name);
	else if (request == VFIO_IOMMU_MAP_DMA)
		cpr_note_map(watch, at);
	else if (request == VFIO_IOMMU_UNMAP_DMA)
		cpr_note_unmap(watch, at);
	else
		cpr_note(watch, "destroy %u", ((const struct iommu_destroy *)at)->id);
	cpr_note(watch, "\n");
}

static inline void cpr_learn(struct cpr_watch *watch, uint32_t request, uint64_t arg)
{
	const void *at = (const void *)(uintptr_t)arg;
	struct cpr_number number = { .request = request };

	if (request == VFIO_DEVICE_BIND_IOMMUFD)
		number.id = ((const struct vfio_device_bind_iommufd *)at)->out_devid;
	else if (request == IOMMU_IOAS_ALLOC)
		number.id = ((const struct iommu_ioas_alloc *)at)->out_ioas_id;
	else if (request == IOMMU_HWPT_ALLOC)
		number.id = ((const struct iommu_hwpt_alloc *)at)->out_hwpt_id;
	else
		return;
	assert_true(watch->number_count < WATCH_NUMBERS);
	watch->numbers[watch->number_count++] = number;
}

/* A descriptor is about to be made. */
static inline void cpr_make_room(struct cpr_watch *watch)
{
	if (++watch->made == watch->zero)
		assert_int_equal(vfake_close(watch->process->task, 0), 0);
}

static inline long cpr_watch_ioctl(void *ctx, int fd, uint32_t request, uint64_t arg)
{
	struct cpr_watch *watch = cpr_watch_of(ctx);
	long ret;

	if (request == VFIO_GROUP_GET_DEVICE_FD)
		cpr_make_room(watch);
	cpr_note_call(watch, fd, request, arg);
	ret = cpr_ioctl(ctx, fd, request, arg);
	if (!ret)
		cpr_learn(watch, request, arg);
	return ret;
}

static inline int cpr_watch_open(void *ctx, const char *path)
{
	cpr_make_room(cpr_watch_of(ctx));
	return cpr_open(ctx, path);
}

static inline int cpr_watch_eventfd(void *ctx)
{
	cpr_make_room(cpr_watch_of(ctx));
	return cpr_eventfd(ctx);
}

/* ---- the heap ---- */

static inline void *cpr_watch_alloc(void *ctx, size_t size)
{
	struct cpr_process *process = cpr_process_of(ctx);

	assert_true(size > 0);
	if (process->fail_alloc && !--process->fail_alloc)
		return NULL;
	process->ref.blocks++;
	return cpr_fenced(size);
}

static inline void cpr_watch_free(void *ctx, void *bytes)
{
	((struct vfio_vmm_ref *)ctx)->blocks--;
	cpr_unfence(bytes);
}

/* ---- processes ---- */

/* The process has a new stack that is watched, instead of the one that it had. */
static inline struct cpr_watch *cpr_watch(struct cpr_process *process)
{
	struct cpr_watch *watch = cpr_watches;

	while (watch->process && watch->process != process)
		watch++;
	assert_true(watch < cpr_watches + WATCH_PROCESSES);
	*watch = (struct cpr_watch){ .process = process };
	vfio_free(process->vfio);
	process->sys.ioctl = cpr_watch_ioctl;
	process->sys.open = cpr_watch_open;
	process->sys.eventfd = cpr_watch_eventfd;
	process->vmm.alloc = cpr_watch_alloc;
	process->vmm.free = cpr_watch_free;
	process->vfio = vfio_new(&process->sys, &process->vmm);
	assert_non_null(process->vfio);
	return watch;
}

/* A process whose program runs, and has as its number 0 what nobody needs. */
static inline struct cpr_process *cpr_watch_start(struct cpr_machine *machine)
{
	struct cpr_process *process = cpr_process_new(machine);

	process->files[0] = vfake_pass_fd(machine->keeper, machine->files[0], process->task);
	assert_true(process->files[0] > 0);
	cpr_program(process);
	cpr_guest_state(process);
	cpr_watch(process);
	return process;
}

static inline void cpr_watch_end(struct cpr_process *process)
{
	struct cpr_watch *watch = cpr_watch_of(process);

	cpr_process_end(process);
	watch->process = NULL;
}

/* The @nth call with @request fails, and from then on all with @also (0: none). */
static inline void cpr_fail_from(struct cpr_process *process, uint32_t request, uint32_t nth,
				 int code, uint32_t also)
{
	process->fail_request = request;
	process->fail_arg = 0;
	process->fail_at = nth;
	process->fail_code = code;
	process->fail_also = also;
	process->requests_failed = 0;
}

/* Attaches all, and a success says nothing. */
static inline void cpr_watch_attach(struct cpr_process *process)
{
	for (uint32_t i = 0; i < process->machine->devices; i++) {
		struct vfio_error error;

		cpr_check(cpr_try_attach(process, i, &error), &error);
		assert_int_equal(error.code, 0);
		assert_string_equal(error.message, "");
	}
}

static inline bool cpr_is_iommufd(const struct cpr_process *process)
{
	return process->machine->backend->kind == VFIO_BACKEND_IOMMUFD;
}

/* A process that has all devices. */
static inline struct cpr_process *cpr_watch_machine(struct cpr_machine *machine)
{
	struct cpr_process *process = cpr_watch_start(machine);

	cpr_watch_attach(process);
	cpr_forget(process);
	return process;
}

static inline void cpr_watch_stop(struct cpr_process *process)
{
	struct cpr_machine *machine = process->machine;

	cpr_watch_end(process);
	cpr_machine_free(machine);
}

/* ---- updates ---- */

static inline int cpr_watch_keep(void *ctx, const char *name, uint32_t id, int fd)
{
	struct cpr_process *process = ctx;
	struct cpr_watch *watch = cpr_watch_of(process);
	int ret;

	cpr_note(watch, "keep %s %u\n", name, id);
	ret = cpr_keep(ctx, name, id, fd);
	assert_true(fd >= 0 && fd < CPR_FDS);
	if (!ret)
		snprintf(watch->names[fd], WATCH_NAME, "%.40s %u", name, id);
	return ret;
}

/* The new process gets its descriptors one after the other, as it takes them. */
static inline int cpr_watch_take(void *ctx, const char *name, uint32_t id)
{
	struct cpr_process *heir = ctx, *from = heir->next;
	struct cpr_watch *watch = cpr_watch_of(heir);
	int fd = cpr_take(from, name, id), other;

	cpr_note(watch, "take %s %u\n", name, id);
	if (fd < 0)
		return fd;
	cpr_make_room(watch);
	other = vfake_pass_fd(heir->task, fd, heir->task);
	assert_int_equal(vfake_close(heir->task, fd), 0);
	assert_true(other >= 0 && other < CPR_FDS);
	snprintf(watch->names[other], WATCH_NAME, "%.40s %u", name, id);
	return other;
}

static inline bool cpr_watch_try_save(struct cpr_process *process, struct vfio_error *error)
{
	struct vfio_cpr_fds fds = { .ctx = process, .keep = cpr_watch_keep, .take = cpr_no_take };
	const void *state = NULL;
	size_t size = 0;

	*error = (struct vfio_error){ 0 };
	process->fd_count = 0;
	process->saved = vfio_cpr_save(process->vfio, VFIO_MODE_CPR_TRANSFER, false, &fds, &state,
				       &size, error);
	if (!process->saved) {
		cpr_drop_kept(process);
		return false;
	}
	free(process->state);
	process->state = malloc(size);
	assert_non_null(process->state);
	memcpy(process->state, state, size);
	process->state_size = size;
	return true;
}

static inline void cpr_watch_save(struct cpr_process *process)
{
	struct vfio_error error;

	cpr_check(cpr_watch_try_save(process, &error), &error);
}

static inline void cpr_expect_no(bool good, struct vfio_error *error, int code, const char *message,
				 const char *hint)
{
	assert_false(good);
	assert_string_equal(error->message, message);
	assert_int_equal(error->code, code);
	assert_string_equal(error->hint, hint);
	*error = (struct vfio_error){ 0 };
}

/* Saving is refused before any descriptor is kept or address is gone. */
static inline void cpr_expect_no_save(struct cpr_process *process, int code, const char *message,
				      const char *hint)
{
	struct vfio_error error;

	process->next = process;
	cpr_forget(process);
	cpr_expect_no(cpr_watch_try_save(process, &error), &error, code, message, hint);
	assert_int_equal(process->fd_count, 0);
	assert_null(strstr(cpr_watch_of(process)->text, "map"));
	assert_null(strstr(cpr_watch_of(process)->text, "keep"));
	cpr_expect_no(vfio_cpr_abort(process->vfio, &error), &error, -EINVAL,
		      "no state is saved: invalid argument", "");
	cpr_forget(process);
}

/* The process that takes over, with another state if there is one; nothing is attached. */
static inline struct cpr_process *cpr_watch_heir(struct cpr_process *process)
{
	struct cpr_process *heir = cpr_process_new(process->machine);

	heir->files[0] =
		vfake_pass_fd(process->machine->keeper, process->machine->files[0], heir->task);
	assert_true(heir->files[0] > 0);
	process->next = heir;
	return heir;
}

static inline void cpr_watch_load(struct cpr_process *process, const struct text *text)
{
	struct cpr_process *heir = process->next;
	struct vfio_cpr_fds fds = { .ctx = heir, .keep = cpr_no_keep, .take = cpr_watch_take };
	struct vfio_error error = { 0 };

	heir->next = process;
	cpr_program(heir);
	cpr_guest_state(heir);
	cpr_watch(heir);
	cpr_check(vfio_cpr_load(heir->vfio, text ? text->bytes : process->state,
				text ? text->size : process->state_size, &fds, &error),
		  &error);
}

/* ---- the table of a program ---- */

static inline void cpr_play(void **state)
{
	const struct story *story = *state;
	uint32_t played = 0;

	for (size_t i = 0; i < backend_count; i++) {
		if (story_waived(story, &backends[i]))
			continue;
		story_play(story, &backends[i], 1);
		played++;
	}
	assert_true(played);
}

/* Each on every backend that can do it. */
static inline void cpr_play_all(struct CMUnitTest *tests, const struct story *checks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		tests[i] = (struct CMUnitTest){ .name = checks[i].name,
						.test_func = cpr_play,
						.initial_state = (void *)(uintptr_t)&checks[i] };
}

#endif
