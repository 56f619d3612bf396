/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a live update that is refused says: code, message and hint of every reason that there is,
 * with the container, device, address or descriptor that it is about. Nothing has happened then.
 */
#include "cpr_watch.h"

/* ---- helpers ---- */

static struct cpr_process *start(struct stage *stage, uint32_t devices, uint32_t spaces)
{
	return cpr_watch_machine(cpr_machine_new(stage, devices, spaces));
}

/* ---- names ---- */

static void run_names(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct cpr_process *process = cpr_watch_start(machine);
	struct vfio_error error = { 0 };
	struct text *text = calloc(1, sizeof(*text));

	assert_non_null(text);
	cpr_expect_no(vfio_cpr_name(process->vfio, "", &error), &error, -EINVAL,
		      " is no name for a stack: invalid argument", "");
	cpr_expect_no(vfio_cpr_name(process->vfio, "0123456789abcdef", &error), &error, -EINVAL,
		      "0123456789abcdef is no name for a stack: invalid argument", "");
	cpr_expect_no(vfio_cpr_name(process->vfio, "a/b", &error), &error, -EINVAL,
		      "a/b is no name for a stack: invalid argument", "");
	cpr_check(vfio_cpr_name(process->vfio, "0123456789abcde", &error), &error);
	cpr_watch_attach(process);
	for (uint32_t i = 0; i < process->ref.state_count; i++)
		assert_memory_equal(process->ref.states[i]->name, "0123456789abcde/", 16);
	cpr_expect_no(vfio_cpr_name(process->vfio, "other", &error), &error, -EBUSY,
		      "the stack is in use and keeps its name: in use", "");
	vfio_device_detach(process->devices[0]);
	cpr_check(vfio_cpr_name(process->vfio, "vfio", &error), &error);
	begin(text);
	end(text, VFIO_MODE_CPR_REBOOT);
	cpr_check(vfio_cpr_load(process->vfio, text->bytes, text->size, NULL, &error), &error);
	cpr_expect_no(vfio_cpr_name(process->vfio, "other", &error), &error, -EBUSY,
		      "the stack is in use and keeps its name: in use", "");
	free(text);
	cpr_watch_stop(process);
}

/* ---- calls that make no sense ---- */

static void expect_no_mode(struct cpr_process *process, int mode)
{
	struct vfio_cpr_fds fds = { .ctx = process, .keep = cpr_watch_keep };
	struct vfio_error error = { 0 };
	char message[64];
	const void *state;
	size_t size;

	snprintf(message, sizeof(message), "mode %d is no live update: invalid argument", mode);
	cpr_expect_no(vfio_cpr_save(process->vfio, (enum vfio_migration_mode)mode, true, &fds,
				    &state, &size, &error),
		      &error, -EINVAL, message, "");
}

static void misuse_idle(struct cpr_process *process)
{
	static const int modes[] = { 0, VFIO_MODE_NORMAL, 3, 5, 6, 12, VFIO_MODES_ALL, 16 };
	struct vfio_cpr_fds fds = { .ctx = process, .take = cpr_watch_take };
	struct vfio_error error = { 0 };
	const void *state;
	size_t size;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		expect_no_mode(process, modes[i]);
	for (int exec = 0; exec < 2; exec++) {
		enum vfio_migration_mode mode = exec ? VFIO_MODE_CPR_EXEC : VFIO_MODE_CPR_TRANSFER;

		cpr_expect_no(
			vfio_cpr_save(process->vfio, mode, false, NULL, &state, &size, &error),
			&error, -EINVAL, "descriptors cannot be kept: invalid argument", "");
		cpr_expect_no(
			vfio_cpr_save(process->vfio, mode, false, &fds, &state, &size, &error),
			&error, -EINVAL, "descriptors cannot be kept: invalid argument", "");
	}
	cpr_expect_no(vfio_cpr_save(process->vfio, VFIO_MODE_CPR_REBOOT, false, NULL, &state, &size,
				    &error),
		      &error, -EBUSY, "the guest runs: in use",
		      "cpr-reboot ends all DMA: suspend the guest first");
	cpr_expect_no(vfio_cpr_abort(process->vfio, &error), &error, -EINVAL,
		      "no state is saved: invalid argument", "");
	cpr_expect_no(vfio_cpr_finish(process->vfio, &error), &error, -EINVAL,
		      "no state is loaded: invalid argument", "");
	cpr_expect_no(vfio_cpr_load(process->vfio, "", 0, NULL, &error), &error, -EBUSY,
		      "the stack is in use: in use", "");
	cpr_check(vfio_cpr_settle(process->vfio, &error), &error);
	cpr_expect_lines(process, "");
}

static void misuse_saved(struct cpr_process *process)
{
	struct vfio_cpr_fds fds = { .ctx = process, .keep = cpr_watch_keep };
	struct vfio_error error = { 0 };
	const void *state;
	size_t size;

	cpr_forget(process);
	cpr_expect_no(vfio_cpr_save(process->vfio, VFIO_MODE_CPR_TRANSFER, false, &fds, &state,
				    &size, &error),
		      &error, -EBUSY, "the state is saved already: in use", "");
	cpr_expect_no(vfio_cpr_save(process->vfio, VFIO_MODE_CPR_REBOOT, true, NULL, &state, &size,
				    &error),
		      &error, -EBUSY, "the state is saved already: in use", "");
	cpr_expect_no(vfio_cpr_load(process->vfio, "", 0, NULL, &error), &error, -EBUSY,
		      "the stack is in use: in use", "");
	cpr_expect_no(vfio_cpr_finish(process->vfio, &error), &error, -EINVAL,
		      "no state is loaded: invalid argument", "");
	cpr_expect_no(vfio_cpr_settle(process->vfio, &error), &error, -EBUSY,
		      "the live update is not finished: in use", "");
	cpr_expect_no(cpr_try_attach(process, 1, &error), &error, -EBUSY,
		      "device d1: the stack has been handed over: in use", "");
	cpr_expect_lines(process, "");
}

static void misuse_loaded(struct cpr_process *heir)
{
	struct vfio_cpr_fds fds = { .ctx = heir, .keep = cpr_watch_keep };
	struct vfio_device_options options = cpr_options(heir, 0);
	struct vfio_error error = { 0 };
	const void *state;
	size_t size;

	cpr_expect_no(vfio_cpr_save(heir->vfio, VFIO_MODE_CPR_TRANSFER, false, &fds, &state, &size,
				    &error),
		      &error, -EBUSY, "another state is being taken over: in use", "");
	cpr_expect_no(vfio_cpr_load(heir->vfio, "", 0, NULL, &error), &error, -EBUSY,
		      "the stack is in use: in use", "");
	cpr_expect_no(vfio_cpr_abort(heir->vfio, &error), &error, -EINVAL,
		      "no state is saved: invalid argument", "");
	cpr_expect_no(vfio_cpr_settle(heir->vfio, &error), &error, -EBUSY,
		      "the live update is not finished: in use", "");
	cpr_expect_no(cpr_try_attach(heir, 1, &error), &error, -ENOENT,
		      "device d1: it is not in the saved state: does not exist", "");
	options.backend = cpr_is_iommufd(heir) ? VFIO_BACKEND_LEGACY : VFIO_BACKEND_IOMMUFD;
	cpr_expect_no(vfio_device_attach(heir->vfio, heir->memory[0], &options, &error), &error,
		      -EINVAL,
		      "device d0: the saved state has it by another backend or group: invalid "
		      "argument",
		      "");
	options = cpr_options(heir, 0);
	options.group = "4711";
	if (!cpr_is_iommufd(heir))
		cpr_expect_no(vfio_device_attach(heir->vfio, heir->memory[0], &options, &error),
			      &error, -EINVAL,
			      "device d0: the saved state has it by another backend or group: "
			      "invalid argument",
			      "");
	cpr_expect_lines(heir, "");
}

static void run_misuse(struct stage *stage)
{
	struct cpr_process *process = start(stage, 1, 1), *heir;
	struct vfio_error error = { 0 };
	const void *state;
	size_t size;

	misuse_idle(process);
	cpr_check(vfio_cpr_save(process->vfio, VFIO_MODE_CPR_REBOOT, true, NULL, &state, &size,
				&error),
		  &error);
	cpr_expect_lines(process, "");
	misuse_saved(process);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	cpr_expect_lines(process, "");
	misuse_idle(process);
	heir = cpr_watch_heir(process);
	cpr_watch_save(process);
	misuse_saved(process);
	cpr_watch_load(process, NULL);
	misuse_loaded(heir);
	cpr_watch_end(heir);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	cpr_expect_owner(process);
	cpr_watch_stop(process);
}

/* Two devices that shared a container, in two address spaces. */
static void run_split(struct stage *stage)
{
	struct cpr_process *process = start(stage, 2, 1), *heir = cpr_watch_heir(process);
	struct vfio_device_options options = cpr_options(process, 1);
	struct vfio_error error = { 0 };
	struct vfio_memory *memory;

	cpr_watch_save(process);
	cpr_watch_load(process, NULL);
	cpr_attach(heir, 0);
	memory = vfio_memory_new(&heir->vmm);
	assert_non_null(memory);
	cpr_expect_no(vfio_device_attach(heir->vfio, memory, &options, &error), &error, -EINVAL,
		      "device d1: in the saved state it shares the address space of container 1: "
		      "invalid argument",
		      "");
	vfio_memory_free(memory);
	cpr_watch_end(heir);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	cpr_expect_owner(process);
	cpr_watch_stop(process);
}

static struct vfio_device *attach_at(struct cpr_process *process, uint32_t index, int iommufd,
				     struct vfio_error *error)
{
	struct vfio_device_options options = cpr_options(process, index);

	options.iommufd = iommufd;
	process->devices[index] =
		vfio_device_attach(process->vfio, process->memory[0], &options, error);
	return process->devices[index];
}

/* An iommufd that the VMM passed in, and one that it did not. */
static void run_whose(struct stage *stage)
{
	struct cpr_process *process = cpr_watch_start(cpr_machine_new(stage, 2, 1)), *heir;
	int mine = process->raw.open(process->raw.ctx, "/dev/iommu"), passed;
	struct vfio_error error = { 0 };

	assert_true(mine > 0);
	cpr_check(attach_at(process, 0, 0, &error), &error);
	cpr_check(attach_at(process, 1, mine, &error), &error);
	heir = cpr_watch_heir(process);
	cpr_watch_save(process);
	cpr_watch_load(process, NULL);
	passed = vfake_pass_fd(process->task, mine, heir->task);
	assert_true(passed > 0);
	cpr_expect_no(attach_at(heir, 0, passed, &error), &error, -EINVAL,
		      "device d0: in the saved state its iommufd is the stack's own: invalid "
		      "argument",
		      "");
	cpr_expect_no(attach_at(heir, 1, 0, &error), &error, -EINVAL,
		      "device d1: in the saved state its iommufd is passed in: invalid argument",
		      "");
	cpr_expect_lines(heir, "");
	cpr_check(attach_at(heir, 0, 0, &error), &error);
	cpr_check(attach_at(heir, 1, passed, &error), &error);
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_watch_end(process);
	cpr_watch_stop(heir);
}

/* ---- what blocks ---- */

static uint32_t add_region(struct cpr_process *process, uint32_t space, uint64_t at, int fd)
{
	struct vfio_memory_region region = { .name = "more",
					     .kind = VFIO_MEMORY_RAM,
					     .start = at,
					     .last = at + process->machine->backend->page - 1,
					     .vaddr = (uint64_t)(uintptr_t)process->ram[space],
					     .fd = fd };
	struct vfio_error error = { 0 };
	uint32_t id;

	cpr_check(vfio_memory_add(process->memory[space], &region, &id, &error), &error);
	return id;
}

static void run_memory(struct stage *stage)
{
	static const char hint[] = "another process can have memory of shared files only";
	struct cpr_process *process = start(stage, 2, 2);

	for (uint32_t space = 0; space < 2; space++) {
		uint32_t id = add_region(process, space, (uint64_t)3 << 32, -1);

		cpr_expect_no_save(
			process, -EINVAL,
			space ? "container 2: there is no file behind 0x300000000: invalid "
				"argument"
			      : "container 1: there is no file behind 0x300000000: invalid "
				"argument",
			hint);
		vfio_memory_del(process->memory[space], id);
	}
	cpr_watch_stop(process);
}

static void run_tracking(struct stage *stage)
{
	struct cpr_process *process = start(stage, 2, 2);
	struct vfio_error error = { 0 };

	for (uint32_t space = 0; space < 2; space++) {
		cpr_check(vfio_memory_log_start(process->memory[space], &error), &error);
		cpr_expect_no_save(process, -EBUSY,
				   space ? "container 2 tracks dirty pages: in use"
					 : "container 1 tracks dirty pages: in use",
				   "");
		vfio_memory_log_stop(process->memory[space]);
	}
	cpr_watch_stop(process);
}

static void run_broken(struct stage *stage)
{
	struct cpr_process *process = start(stage, 2, 2);

	process->fail_request = cpr_is_iommufd(process) ? IOMMU_IOAS_MAP_FILE : VFIO_IOMMU_MAP_DMA;
	process->fail_at = 1;
	process->fail_code = -ENOMEM;
	add_region(process, 1, (uint64_t)3 << 32, process->files[1]);
	assert_int_equal(process->ref.broken_seen, 1);
	cpr_expect_no_save(process, -EBUSY, "container 2 is broken: in use", "");
	cpr_watch_stop(process);
}

static void run_migrating(struct stage *stage)
{
	struct cpr_process *process = start(stage, 1, 1);
	struct vfio_error error = { 0 };

	cpr_check(vfio_device_mig_set_state(process->devices[0], VFIO_MIG_PRE_COPY,
					    VFIO_MIG_RUNNING, &error),
		  &error);
	cpr_expect_no_save(process, -EBUSY, "device d0 is being migrated: in use", "");
	cpr_check(vfio_device_mig_set_state(process->devices[0], VFIO_MIG_RUNNING, VFIO_MIG_RUNNING,
					    &error),
		  &error);
	/* Number 0 is a descriptor like any other. */
	assert_int_equal(vfake_close(process->task, 0), 0);
	cpr_check(vfio_device_mig_set_state(process->devices[0], VFIO_MIG_PRE_COPY,
					    VFIO_MIG_RUNNING, &error),
		  &error);
	cpr_expect_no_save(process, -EBUSY, "device d0 is being migrated: in use", "");
	cpr_watch_stop(process);
}

/* ---- descriptors ---- */

/* Each that cannot be kept, by its name. */
static void run_keep(struct stage *stage)
{
	struct cpr_process *process = start(stage, CPR_DEVICES, 2);
	struct vfio_error error;
	char message[128];

	for (uint32_t nth = 1;; nth++) {
		struct cpr_process *heir = cpr_watch_heir(process);
		const char *last;

		process->fail_keep = nth;
		if (cpr_watch_try_save(process, &error)) {
			assert_int_equal(nth, process->fd_count + 1);
			assert_int_equal(process->fail_keep, 1); /* nothing failed */
			process->fail_keep = 0;
			cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
			cpr_process_free(heir);
			break;
		}
		last = strrchr(cpr_watch_of(process)->text, 'k');
		snprintf(message, sizeof(message),
			 "cannot keep descriptor %.*s: the server is gone",
			 (int)strcspn(last + 5, "\n"), last + 5);
		cpr_expect_no(false, &error, -EPIPE, message, "");
		cpr_forget(process);
		cpr_process_free(heir);
		cpr_expect_owner(process);
	}
	cpr_watch_stop(process);
}

/* The new process was given no way to get any. */
static void run_take(struct stage *stage)
{
	struct cpr_process *process = start(stage, 1, 1), *heir = cpr_watch_heir(process);
	struct vfio_cpr_fds none = { .ctx = heir };
	struct vfio_error error = { 0 };
	char message[128];

	if (cpr_is_iommufd(process))
		snprintf(message, sizeof(message),
			 "device d0: descriptor vfio/iommufd 1: does not exist");
	else
		snprintf(message, sizeof(message),
			 "device d0: descriptor vfio/group/%s 0: does not exist",
			 cpr_options(process, 0).group);
	cpr_watch_save(process);
	for (int i = 0; i < 2; i++) {
		cpr_program(heir);
		cpr_guest_state(heir);
		cpr_watch(heir);
		cpr_check(vfio_cpr_load(heir->vfio, process->state, process->state_size,
					i ? &none : NULL, &error),
			  &error);
		cpr_expect_no(cpr_try_attach(heir, 0, &error), &error, -ENOENT, message, "");
		cpr_expect_lines(heir, "");
		cpr_watch_end(heir);
		heir = cpr_watch_heir(process);
	}
	cpr_process_free(heir);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	cpr_watch_stop(process);
}

/* ---- memory ---- */

static void run_short(struct stage *stage)
{
	struct cpr_process *process = start(stage, 1, 1);

	process->fail_alloc = 1;
	cpr_expect_no_save(process, -ENOMEM, "cannot save the state: out of memory", "");
	cpr_watch_stop(process);
}

/* ---- finishing ---- */

/* The state says that there are @maps with this checksum. The new process has one. */
static void expect_other(struct cpr_process *process, uint64_t maps, uint32_t flip,
			 const char *hint)
{
	struct cpr_process *heir = cpr_watch_heir(process);
	struct text *text = calloc(1, sizeof(*text));
	size_t at = HEADER + RECORD + (cpr_is_iommufd(process) ? RECORD + 8 : 0);
	struct vfio_error error = { 0 };

	assert_non_null(text);
	cpr_watch_save(process);
	memcpy(text->bytes, process->state, process->state_size);
	text->size = process->state_size;
	cpr_put(text->bytes + at + 28, cpr_get32(text->bytes + at + 28) ^ flip, 4);
	cpr_put(text->bytes + at + 32, maps, 8);
	sign(text->bytes, text->size);
	cpr_watch_load(process, text);
	cpr_watch_attach(heir);
	cpr_forget(heir);
	if (hint)
		cpr_expect_no(vfio_cpr_finish(heir->vfio, &error), &error, -EINVAL,
			      "container 1 has other guest memory than it had: invalid argument",
			      hint);
	else
		cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_expect_lines(heir,
			 !hint && cpr_is_iommufd(heir) ? "vfio/iommufd 1: change-process\n" : "");
	cpr_watch_end(heir);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	free(text);
}

static void run_other_memory(struct stage *stage)
{
	struct cpr_process *process = start(stage, 1, 1);

	expect_other(process, 2, 0, "1 maps instead of 2");
	expect_other(process, 0, 0, "1 maps instead of 0");
	expect_other(process, 1, 1u << 31, "1 maps instead of 1, and not the same");
	expect_other(process, 1, 1, "1 maps instead of 1, and not the same");
	expect_other(process, (uint64_t)1 << 32 | 1, 0, "1 maps instead of 4294967297");
	expect_other(process, (uint64_t)1 << 63, 0, "1 maps instead of 9223372036854775808");
	cpr_watch_stop(process);
}

/* A map came too late and failed. */
static void run_broken_heir(struct stage *stage)
{
	struct cpr_process *process = start(stage, 2, 2), *heir = cpr_watch_heir(process);
	struct vfio_error error = { 0 };

	cpr_watch_save(process);
	cpr_watch_load(process, NULL);
	cpr_watch_attach(heir);
	heir->fail_request = VFIO_IOMMU_MAP_DMA;
	heir->fail_at = 1;
	heir->fail_code = -EFAULT;
	add_region(heir, 1, (uint64_t)3 << 32, heir->files[1]);
	assert_int_equal(heir->ref.broken_seen, 1);
	cpr_expect_no(vfio_cpr_finish(heir->vfio, &error), &error, -EFAULT,
		      "container 2: bad address", "");
	cpr_watch_end(heir);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	cpr_expect_owner(process);
	cpr_watch_stop(process);
}

/* Nothing is mapped anew from a file, be it number 0; what has none cannot be what was mapped. */
static void run_files(struct stage *stage)
{
	static const char message[] = "device d0: ";

	for (int fd = -1; fd <= 0; fd++) {
		struct cpr_process *process = cpr_watch_start(cpr_machine_new(stage, 1, 1));
		struct cpr_process *heir = cpr_watch_heir(process);
		struct vfio_error error = { 0 };

		add_region(process, 0, (uint64_t)3 << 32, 0);
		cpr_watch_attach(process);
		cpr_watch_save(process);
		cpr_watch_load(process, NULL);
		add_region(heir, 0, (uint64_t)3 << 32, fd);
		if (fd < 0) {
			assert_false(cpr_try_attach(heir, 0, &error));
			assert_int_equal(error.code, -EFAULT);
			assert_memory_equal(error.message, message, strlen(message));
		} else {
			cpr_watch_attach(heir);
			assert_null(strstr(cpr_watch_of(heir)->text, "map"));
			cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
		}
		cpr_watch_end(fd < 0 ? heir : process);
		if (fd < 0)
			cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
		cpr_watch_stop(fd < 0 ? process : heir);
	}
}

/* ---- the table ---- */

static const struct story checks[] = {
	{ .name = "names", .run = run_names, .needs = NEEDS_HANDOVER },
	{ .name = "misuse", .run = run_misuse, .needs = NEEDS_HANDOVER },
	{ .name = "split", .run = run_split, .needs = NEEDS_HANDOVER },
	{ .name = "whose", .run = run_whose, .needs = NEEDS_HANDOVER | NEEDS_CDEV },
	{ .name = "memory", .run = run_memory, .needs = NEEDS_HANDOVER },
	{ .name = "tracking", .run = run_tracking, .needs = NEEDS_HANDOVER | NEEDS_TRACKING },
	{ .name = "broken", .run = run_broken, .needs = NEEDS_HANDOVER },
	{ .name = "migrating", .run = run_migrating, .needs = NEEDS_HANDOVER, .model = "migrate" },
	{ .name = "keep", .run = run_keep, .needs = NEEDS_HANDOVER },
	{ .name = "take", .run = run_take, .needs = NEEDS_HANDOVER },
	{ .name = "short", .run = run_short, .needs = NEEDS_HANDOVER },
	{ .name = "other_memory", .run = run_other_memory, .needs = NEEDS_HANDOVER },
	{ .name = "files", .run = run_files, .needs = NEEDS_HANDOVER | NEEDS_CDEV },
	{ .name = "broken_heir",
	  .run = run_broken_heir,
	  .needs = NEEDS_HANDOVER,
	  .waivers = { { "iommufd", "no maps are made" },
		       { "iommufd-dirty", "no maps are made" } } },
};

enum { CHECKS = sizeof(checks) / sizeof(checks[0]) };

int main(void)
{
	struct CMUnitTest tests[CHECKS];

	cpr_play_all(tests, checks, CHECKS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
