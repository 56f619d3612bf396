/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What blocks a live update, and what is registered for one: each once, from the first device that
 * needs it to the last one, and nothing when a device could not be attached.
 */
#include <uapi/iommufd.h>
#include <uapi/vfio.h>

#include "cpr_dma.h"
#include "stories.h"

enum { PROCESS_MODES = VFIO_MODE_CPR_TRANSFER | VFIO_MODE_CPR_EXEC };

/* How many blockers there are against handing over; none may be against anything else. */
static uint32_t blockers(const struct cpr_process *process, const char *text)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < process->ref.blocker_count; i++) {
		uint32_t modes = process->ref.blockers[i].modes;

		assert_true(modes == PROCESS_MODES || modes == VFIO_MODE_NORMAL);
		count += modes == PROCESS_MODES && strstr(process->ref.blockers[i].reason, text);
	}
	return count;
}

/* Neither way of handing over is open, and trying changes nothing. */
static void expect_no_save(struct cpr_process *process)
{
	struct vfake_ledger before = cpr_ledger(process->machine), after;
	struct vfio_error error;

	process->next = process;
	assert_false(cpr_try_save(process, VFIO_MODE_CPR_TRANSFER, &error));
	assert_int_equal(error.code, -ENOTSUP);
	assert_string_not_equal(error.hint, "");
	assert_false(cpr_try_save(process, VFIO_MODE_CPR_EXEC, &error));
	assert_int_equal(error.code, -ENOTSUP);
	assert_int_equal(process->fd_count, 0);
	assert_false(vfio_cpr_abort(process->vfio, &error));
	assert_int_equal(error.code, -EINVAL);
	after = cpr_ledger(process->machine);
	assert_memory_equal(&before, &after, sizeof(before));
	cpr_save(process, VFIO_MODE_CPR_REBOOT);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
}

/* ---- what cannot be handed over ---- */

/* A VMM whose user wants live updates does not get what blocks them. */
static void expect_refusal(struct cpr_machine *machine, uint32_t mode)
{
	struct cpr_process *process = cpr_process_start(machine);
	struct vfake_ledger before = cpr_ledger(machine), after;
	struct vfio_error error;

	process->ref.only_modes = mode;
	assert_false(cpr_try_attach(process, 0, &error));
	assert_int_equal(error.code, -EACCES);
	assert_string_not_equal(error.hint, "");
	assert_int_equal(process->ref.blocker_count, 0);
	assert_int_equal(process->ref.state_count, 0);
	after = cpr_ledger(machine);
	assert_int_equal(after.open_files, before.open_files);
	assert_int_equal(after.pinned_pages, 0);
	assert_int_equal(after.locked_pages, 0);
	cpr_process_end(process);
}

static void run_blocked(struct stage *stage)
{
	bool lacks = backend_lacks(stage->backend, NEEDS_HANDOVER);
	struct cpr_machine *machine = cpr_machine_new(stage, 2, 2);
	struct cpr_process *process = cpr_process_start(machine);

	assert_int_equal(blockers(process, ""), 0);
	cpr_attach_all(process);
	assert_int_equal(blockers(process, "container 1:"), lacks);
	assert_int_equal(blockers(process, "container 2:"), lacks);
	assert_int_equal(blockers(process, ""), lacks ? 2 : 0);
	if (!strcmp(stage->backend->name, "noiommu"))
		assert_int_equal(blockers(process, "without an IOMMU nothing holds memory"), 2);
	if (lacks)
		expect_no_save(process);
	vfio_device_detach(process->devices[0]);
	assert_int_equal(blockers(process, "container 1:"), 0);
	assert_int_equal(blockers(process, "container 2:"), lacks);
	cpr_attach(process, 0);
	assert_int_equal(blockers(process, "container 1:"), lacks);
	cpr_process_end(process);
	if (lacks) {
		expect_refusal(machine, VFIO_MODE_CPR_TRANSFER);
		expect_refusal(machine, VFIO_MODE_CPR_EXEC);
	}
	/* What cannot be handed over may still be in a guest that reboots its host. */
	process = cpr_process_start(machine);
	process->ref.only_modes = lacks ? VFIO_MODE_CPR_REBOOT : PROCESS_MODES;
	cpr_attach_all(process);
	cpr_process_end(process);
	cpr_machine_free(machine);
}

const struct story story_cpr_blocked = {
	.name = "cpr-blocked",
	.about = "a container that cannot be handed over blocks just that, and is refused by who "
		 "insists",
	.run = run_blocked,
	.waivers = { { "user", "what a server's devices block is in user-blocked" } },
};

static void mediated(struct cpr_machine *machine)
{
	struct cpr_process *process = cpr_process_start(machine);
	struct vfio_device_options options = cpr_options(process, 0);
	struct vfio_error error = { 0 };

	cpr_attach(process, 1);
	options.mediated = true;
	process->ref.only_modes = VFIO_MODE_CPR_EXEC;
	assert_null(vfio_device_attach(process->vfio, process->memory[0], &options, &error));
	assert_int_equal(error.code, -EACCES);
	process->ref.only_modes = 0;
	process->devices[0] =
		vfio_device_attach(process->vfio, process->memory[0], &options, &error);
	assert_non_null(process->devices[0]);
	assert_int_equal(blockers(process, "device d0:"), 1);
	assert_int_equal(blockers(process, ""), 1);
	expect_no_save(process);
	vfio_device_detach(process->devices[0]);
	assert_int_equal(blockers(process, ""), 0);
	cpr_process_end(process);
}

/* A new process that calls a device mediated which was none: it blocks, until it is given up. */
static void mediated_there(struct cpr_machine *machine)
{
	struct cpr_process *process = cpr_process_start(machine), *heir;
	struct vfio_device_options options;
	struct vfio_error error = { 0 };

	cpr_attach_all(process);
	for (int detaches = 0; detaches < 2; detaches++) {
		heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
		cpr_save(process, VFIO_MODE_CPR_TRANSFER);
		cpr_check(cpr_try_load(process, &error), &error);
		options = cpr_options(heir, 0);
		options.mediated = true;
		heir->devices[0] =
			vfio_device_attach(heir->vfio, heir->memory[0], &options, &error);
		cpr_check(heir->devices[0], &error);
		assert_int_equal(blockers(heir, "device d0:"), 1);
		if (detaches) {
			vfio_device_detach(heir->devices[0]);
			assert_int_equal(blockers(heir, ""), 0);
		}
		cpr_process_end(heir);
		cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	}
	cpr_process_end(process);
}

/* A device node has no name but the one that it is given. */
static void long_name(struct cpr_machine *machine)
{
	struct cpr_process *process = cpr_process_start(machine);
	struct vfio_device_options options = cpr_options(process, 0);
	struct vfio_error error = { 0 };
	char name[VFIO_CPR_NAME_MAX + 2];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = 0;
	options.name = name;
	process->devices[0] =
		vfio_device_attach(process->vfio, process->memory[0], &options, &error);
	assert_non_null(process->devices[0]);
	assert_int_equal(blockers(process, "device nnn"), 1);
	process->next = process;
	for (uint32_t mode = VFIO_MODE_CPR_REBOOT; mode <= VFIO_MODE_CPR_EXEC; mode *= 2) {
		assert_false(cpr_try_save(process, (enum vfio_migration_mode)mode, &error));
		assert_int_equal(error.code, -ENOTSUP);
	}
	vfio_device_detach(process->devices[0]);
	name[sizeof(name) - 2] = 0;
	process->devices[0] =
		vfio_device_attach(process->vfio, process->memory[0], &options, &error);
	assert_non_null(process->devices[0]);
	assert_int_equal(blockers(process, ""), 0);
	cpr_process_end(process);
}

static void run_blocked_device(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 2, 1);

	mediated(machine);
	mediated_there(machine);
	if (stage->backend->kind == VFIO_BACKEND_IOMMUFD)
		long_name(machine);
	cpr_machine_free(machine);
}

const struct story story_cpr_blocked_device = {
	.name = "cpr-blocked-device",
	.about = "a device that cannot be handed over blocks by its name",
	.run = run_blocked_device,
	.needs = NEEDS_HANDOVER,
};

/* The kernel is asked at the first device of what they share, and not at the next ones. */
static void old_kernel(struct cpr_machine *machine, uint32_t request, uint64_t arg, int code,
		       const char *text, uint32_t count)
{
	struct cpr_process *process = cpr_process_start(machine);

	process->fail_request = request;
	process->fail_arg = arg;
	process->fail_code = code;
	process->fail_at = 1;
	cpr_attach_all(process);
	assert_int_equal(blockers(process, text), count);
	assert_int_equal(blockers(process, ""), count);
	expect_no_save(process);
	for (uint32_t i = 0; i < machine->devices; i++) {
		assert_int_equal(blockers(process, text), count);
		vfio_device_detach(process->devices[i]);
	}
	assert_int_equal(blockers(process, ""), 0);
	process->requests_failed = 0;
	process->ref.only_modes = VFIO_MODE_CPR_TRANSFER;
	{
		struct vfio_error error;

		assert_false(cpr_try_attach(process, 0, &error));
		assert_int_equal(error.code, -EACCES);
	}
	assert_int_equal(cpr_ledger(machine).pinned_pages, 0);
	cpr_process_end(process);
}

static void run_old_kernel(struct stage *stage)
{
	for (uint32_t spaces = 1; spaces <= CPR_SPACES; spaces++) {
		struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, spaces);

		if (stage->backend->kind == VFIO_BACKEND_IOMMUFD) {
			old_kernel(machine, IOMMU_IOAS_CHANGE_PROCESS, 0, -ENOTTY, "iommufd 1:", 1);
		} else {
			/* The second container is asked on its own, and can. */
			machine->devices = spaces == 1 ? CPR_DEVICES : 1;
			old_kernel(machine, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR, 0,
				   "container 1:", 1);
			old_kernel(machine, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL, 0,
				   "container 1:", 1);
		}
		cpr_machine_free(machine);
	}
}

const struct story story_cpr_old_kernel = {
	.name = "cpr-old-kernel",
	.about = "a kernel that cannot move memory to another process blocks live updates, once",
	.run = run_old_kernel,
	.needs = NEEDS_HANDOVER,
};

/* ---- what is registered ---- */

static const struct vfio_vmstate *find_state(const struct cpr_process *process, const char *name)
{
	const struct vfio_vmstate *found = NULL;

	for (uint32_t i = 0; i < process->ref.state_count; i++) {
		if (strcmp(process->ref.states[i]->name, name))
			continue;
		assert_null(found);
		found = process->ref.states[i];
	}
	return found;
}

static void expect_states(const struct cpr_process *process, bool first, bool second)
{
	bool shared = process->machine->backend->kind == VFIO_BACKEND_IOMMUFD && (first || second);

	assert_int_equal(!!find_state(process, "vfio/container/1"), first);
	assert_int_equal(!!find_state(process, "vfio/container/2"), second);
	assert_int_equal(!!find_state(process, "vfio/iommufd/1"), shared);
	assert_int_equal(process->ref.state_count, first + second + shared);
}

/* A piece takes what it gave, whole; nothing else. */
static void round_trip(const struct vfio_vmstate *state)
{
	uint8_t bytes[512], less[512];
	size_t size = state->save(state->opaque, bytes, sizeof(bytes));

	assert_true(size && size <= sizeof(bytes));
	memset(less, 0xee, sizeof(less));
	assert_int_equal(state->save(state->opaque, less, size - 1), size);
	assert_memory_equal(bytes, less, size - 1);
	assert_int_equal(less[size - 1], 0xee);
	assert_int_equal(state->load(state->opaque, state->version, bytes, size), 0);
	assert_int_equal(state->load(state->opaque, state->version + 1, bytes, size), -ENOTSUP);
	assert_int_equal(state->load(state->opaque, state->version, bytes, size - 1), -EINVAL);
	assert_int_equal(state->load(state->opaque, state->version, bytes, size + 1), -EINVAL);
	for (size_t i = 0; i < size; i++) {
		bytes[i] ^= 0x10;
		assert_int_equal(state->load(state->opaque, state->version, bytes, size), -EINVAL);
		bytes[i] ^= 0x10;
	}
}

static void run_registered(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *process = cpr_process_start(machine);

	expect_states(process, false, false);
	for (int round = 0; round < 2; round++) {
		/* Devices 0 and 2 share a container where that can be. */
		cpr_attach(process, 0);
		expect_states(process, true, false);
		cpr_attach(process, 1);
		expect_states(process, true, true);
		if (!backend_lacks(stage->backend, NEEDS_SHARING)) {
			cpr_attach(process, 2);
			expect_states(process, true, true);
			for (uint32_t i = 0; i < process->ref.state_count; i++)
				round_trip(process->ref.states[i]);
			vfio_device_detach(process->devices[0]);
			expect_states(process, true, true);
			vfio_device_detach(process->devices[2]);
		} else {
			vfio_device_detach(process->devices[0]);
		}
		expect_states(process, false, true);
		vfio_device_detach(process->devices[1]);
		expect_states(process, false, false);
	}
	cpr_process_end(process);
	cpr_machine_free(machine);
}

const struct story story_cpr_registered = {
	.name = "cpr-registered",
	.about = "state is registered once per container and iommufd, from the first device to the "
		 "last",
	.run = run_registered,
	.waivers = { { "user", "what a server's devices block is in user-blocked" } },
};

/* The @nth piece cannot be registered: whoever needs it is not there. */
static bool register_fails(struct cpr_machine *machine, uint32_t nth)
{
	struct cpr_process *process = cpr_process_start(machine);
	struct vfio_error error;
	bool failed = false;

	process->fail_register = nth;
	for (uint32_t i = 0; i < 2 && !failed; i++) {
		struct vfake_ledger before = cpr_ledger(machine), after;
		struct vfio_vmm_ref ref = process->ref;

		failed = !cpr_try_attach(process, i, &error);
		if (!failed)
			continue;
		assert_int_equal(error.code, -ENOMEM);
		assert_non_null(strstr(error.message, "register"));
		after = cpr_ledger(machine);
		assert_int_equal(after.open_files, before.open_files);
		assert_int_equal(after.pinned_pages, before.pinned_pages);
		assert_int_equal(after.locked_pages, before.locked_pages);
		assert_int_equal(process->ref.state_count, ref.state_count);
		assert_int_equal(process->ref.blocker_count, ref.blocker_count);
		assert_int_equal(process->ref.discard_forbidden, ref.discard_forbidden);
		cpr_attach(process, i);
		for (uint32_t j = 0; j <= i; j++)
			vfio_device_detach(process->devices[j]);
		assert_int_equal(process->ref.state_count, 0);
	}
	cpr_process_end(process);
	return failed;
}

static void run_register_fails(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 2, 2);
	uint32_t pieces = stage->backend->kind == VFIO_BACKEND_IOMMUFD ? 3 : 2;

	for (uint32_t nth = 1; nth <= pieces; nth++)
		assert_true(register_fails(machine, nth));
	assert_false(register_fails(machine, pieces + 1));
	cpr_machine_free(machine);
}

const struct story story_cpr_register_fails = {
	.name = "cpr-register-fails",
	.about = "a piece of state cannot be registered: the attach fails and leaves nothing",
	.run = run_register_fails,
	.waivers = { { "user", "what a server's devices block is in user-blocked" } },
};
