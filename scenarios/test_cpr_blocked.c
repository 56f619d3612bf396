/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What blocks a live update, in words: what the VMM is told at the attach, what a VMM that insists
 * on live updates says then, and what the save says. And a VMM that takes no more states.
 */
#include "cpr_watch.h"

/* The reason is the VMM's to see, the save's to tell, and what a VMM that insists is told. */
static void expect_blocked(struct cpr_process *process, const char *what, const char *reason,
			   const char *message)
{
	char text[256];
	uint32_t count = 0;

	snprintf(text, sizeof(text), "VFIO %s: %s", what, reason);
	text[sizeof(process->ref.blockers[0].reason) - 1] = 0;
	for (uint32_t i = 0; i < process->ref.blocker_count; i++) {
		/* That a device cannot migrate to another host is another matter. */
		if (process->ref.blockers[i].modes == VFIO_MODE_NORMAL)
			continue;
		assert_string_equal(process->ref.blockers[i].reason, text);
		assert_int_equal(process->ref.blockers[i].modes,
				 VFIO_MODE_CPR_TRANSFER | VFIO_MODE_CPR_EXEC);
		count++;
	}
	assert_int_equal(count, 1);
	cpr_expect_no_save(process, -ENOTSUP, message, reason);
}

static void expect_insisted(struct cpr_process *process, const struct vfio_device_options *options,
			    const char *what, const char *reason)
{
	struct vfio_error error = { 0 };
	char hint[256];

	process->ref.only_modes = VFIO_MODE_CPR_TRANSFER;
	process->requests_failed = 0;
	snprintf(hint, sizeof(hint), "%s: %s", what, reason);
	cpr_expect_no(vfio_device_attach(process->vfio, process->memory[0], options, &error),
		      &error, -EACCES,
		      "device d0: live update cannot be blocked: permission denied", hint);
	assert_int_equal(process->ref.blocker_count, 0);
	assert_int_equal(process->ref.state_count, 0);
	process->ref.only_modes = 0;
}

static void run_mediated(struct stage *stage)
{
	static const char reason[] =
		"it is mediated, and its driver keeps addresses of the process";
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct cpr_process *process = cpr_watch_start(machine);
	struct vfio_device_options options = cpr_options(process, 0);
	struct vfio_error error = { 0 };

	options.mediated = true;
	expect_insisted(process, &options, "device d0", reason);
	process->devices[0] =
		vfio_device_attach(process->vfio, process->memory[0], &options, &error);
	cpr_check(process->devices[0], &error);
	expect_blocked(process, "device d0", reason,
		       "device d0 cannot be handed over: not supported");
	cpr_watch_stop(process);
}

/* A device node has the name that it is given; one byte less can be saved. */
static void run_long_name(struct stage *stage)
{
	static const char reason[] = "its name is too long for a saved state";
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct cpr_process *process = cpr_watch_start(machine);
	struct vfio_device_options options = cpr_options(process, 0);
	char name[VFIO_CPR_NAME_MAX + 2] = { 0 }, what[64], message[160];
	struct vfio_error error = { 0 };
	const void *state;
	size_t size;

	memset(name, 'n', VFIO_CPR_NAME_MAX + 1);
	options.name = name;
	process->devices[0] =
		vfio_device_attach(process->vfio, process->memory[0], &options, &error);
	cpr_check(process->devices[0], &error);
	snprintf(what, sizeof(what), "device %.48s", name);
	snprintf(message, sizeof(message), "device %.64s cannot be handed over: not supported",
		 name);
	expect_blocked(process, what, reason, message);
	snprintf(message, sizeof(message), "device %.64s: %s: not supported", name, reason);
	cpr_expect_no(vfio_cpr_save(process->vfio, VFIO_MODE_CPR_REBOOT, true, NULL, &state, &size,
				    &error),
		      &error, -ENOTSUP, message, "");
	vfio_device_detach(process->devices[0]);
	name[VFIO_CPR_NAME_MAX] = 0;
	process->devices[0] =
		vfio_device_attach(process->vfio, process->memory[0], &options, &error);
	cpr_check(process->devices[0], &error);
	cpr_check(vfio_cpr_save(process->vfio, VFIO_MODE_CPR_REBOOT, true, NULL, &state, &size,
				&error),
		  &error);
	assert_int_equal(size, HEADER + RECORD + 24 + VFIO_CPR_NAME_MAX);
	for (uint32_t i = 0; i < process->ref.blocker_count; i++)
		assert_int_equal(process->ref.blockers[i].modes, VFIO_MODE_NORMAL);
	cpr_watch_stop(process);
}

/* Where the first piece of state is not registered nothing stays blocked. */
static void expect_no_state(struct cpr_process *process)
{
	struct vfio_error error;

	process->fail_register = 1;
	assert_false(cpr_try_attach(process, 0, &error));
	assert_int_equal(error.code, -ENOMEM);
	assert_int_equal(process->ref.blocker_count, 0);
	assert_int_equal(process->ref.state_count, 0);
}

/* The kernel does not know what it would take. */
static void expect_old_kernel(struct stage *stage, uint32_t request, uint64_t arg, int code,
			      const char *what, const char *reason, const char *message)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct cpr_process *process = cpr_watch_start(machine);
	struct vfio_device_options options = cpr_options(process, 0);

	process->fail_request = request;
	process->fail_arg = arg;
	process->fail_at = 1;
	process->fail_code = code;
	expect_insisted(process, &options, what, reason);
	process->requests_failed = 0;
	expect_no_state(process);
	process->requests_failed = 0;
	cpr_watch_attach(process);
	expect_blocked(process, what, reason, message);
	cpr_watch_stop(process);
}

static void run_old_kernel(struct stage *stage)
{
	static const char container[] = "container 1 cannot be handed over: not supported";

	if (stage->backend->kind == VFIO_BACKEND_IOMMUFD) {
		expect_old_kernel(stage, IOMMU_IOAS_CHANGE_PROCESS, 0, -ENOTTY, "iommufd 1",
				  "the kernel has no IOMMU_IOAS_CHANGE_PROCESS",
				  "iommufd 1 cannot be handed over: not supported");
		return;
	}
	expect_old_kernel(stage, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR, 0, "container 1",
			  "its kernel side cannot change addresses (VFIO_UPDATE_VADDR)", container);
	expect_old_kernel(stage, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL, 0, "container 1",
			  "its kernel side cannot unmap all at once (VFIO_UNMAP_ALL)", container);
}

/* What a container says that can never be handed over. */
static void run_lacking(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct cpr_process *process = cpr_watch_start(machine);
	const char *text;

	if (!backend_lacks(stage->backend, NEEDS_HANDOVER)) {
		cpr_watch_attach(process);
		for (uint32_t i = 0; i < process->ref.blocker_count; i++)
			assert_int_equal(process->ref.blockers[i].modes, VFIO_MODE_NORMAL);
		cpr_watch_stop(process);
		return;
	}
	expect_no_state(process);
	cpr_watch_attach(process);
	text = process->ref.blockers[0].reason;
	assert_memory_equal(text, "VFIO container 1: ", 18);
	assert_true(strlen(text) > 30);
	cpr_expect_no_save(process, -ENOTSUP, "container 1 cannot be handed over: not supported",
			   text + 18);
	cpr_watch_stop(process);
}

/* A VMM that takes no more states. */
static void run_register(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct cpr_process *process = cpr_watch_start(machine);
	uint32_t pieces = stage->backend->kind == VFIO_BACKEND_IOMMUFD ? 2 : 1;
	struct vfio_error error = { 0 };

	for (uint32_t nth = 1; nth <= pieces; nth++) {
		process->fail_register = nth;
		cpr_expect_no(cpr_try_attach(process, 0, &error), &error, -ENOMEM,
			      nth < pieces
				      ? "device d0: cannot register the state vfio/iommufd/1: out "
					"of memory"
				      : "device d0: cannot register the state vfio/container/1: "
					"out of memory",
			      "");
		assert_int_equal(process->ref.state_count, 0);
	}
	cpr_watch_attach(process);
	assert_int_equal(process->ref.state_count, pieces);
	cpr_watch_stop(process);
}

/* ---- the table ---- */

static const struct story checks[] = {
	{ .name = "mediated", .run = run_mediated, .needs = NEEDS_HANDOVER },
	{ .name = "long_name", .run = run_long_name, .needs = NEEDS_HANDOVER | NEEDS_CDEV },
	{ .name = "old_kernel", .run = run_old_kernel, .needs = NEEDS_HANDOVER },
	{ .name = "lacking",
	  .run = run_lacking,
	  .waivers = { { "user", "its servers are another matter" } } },
	{ .name = "register", .run = run_register, .needs = NEEDS_HANDOVER },
};

enum { CHECKS = sizeof(checks) / sizeof(checks[0]) };

int main(void)
{
	struct CMUnitTest tests[CHECKS];

	cpr_play_all(tests, checks, CHECKS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
