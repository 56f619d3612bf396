/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live updates that go wrong without anybody dying: the kernel, the VMM or the new process says no.
 * The old process goes on with everything, and another update works.
 */
#include <uapi/iommufd.h>
#include <uapi/vfio.h>

#include "cpr_dma.h"
#include "stories.h"

/* @process has everything, and hands it over once more. */
static struct cpr_process *expect_good(struct cpr_process *process)
{
	struct cpr_machine *machine = process->machine;
	struct cpr_process *next;

	cpr_expect_owner(process);
	cpr_finish_dma(machine);
	cpr_start_dma(process);
	next = cpr_update(process, VFIO_MODE_CPR_TRANSFER);
	cpr_process_end(process);
	cpr_expect_owner(next);
	cpr_finish_dma(machine);
	cpr_start_dma(next);
	return next;
}

static struct cpr_process *start(struct cpr_machine *machine)
{
	struct cpr_process *process = cpr_process_start(machine);

	cpr_attach_all(process);
	cpr_start_dma(process);
	return process;
}

static void stop(struct cpr_process *process)
{
	struct cpr_machine *machine = process->machine;

	cpr_process_end(process);
	cpr_machine_free(machine);
}

static void fail_next(struct cpr_process *process, uint32_t request, uint32_t at, int code)
{
	process->fail_request = request;
	process->fail_arg = 0;
	process->fail_at = at;
	process->fail_code = code;
	process->requests_failed = 0;
}

/* ---- saving ---- */

static void save_fails(struct cpr_process *process, int code)
{
	struct cpr_process *heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	struct vfio_error error;

	assert_false(cpr_try_save(process, VFIO_MODE_CPR_TRANSFER, &error));
	assert_int_equal(error.code, code);
	cpr_process_free(heir);
	assert_false(vfio_cpr_abort(process->vfio, &error));
	assert_int_equal(error.code, -EINVAL);
	fail_next(process, 0, 0, 0);
}

static void run_save_fails(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *process = start(machine);
	bool iommufd = stage->backend->kind == VFIO_BACKEND_IOMMUFD;
	uint32_t fds = iommufd ? 1 + 3 * CPR_DEVICES : 2 + 4 * CPR_DEVICES;

	/* Each descriptor that the VMM cannot keep. */
	for (uint32_t nth = 1; nth <= fds; nth++) {
		process->fail_keep = nth;
		save_fails(process, -EPIPE);
		assert_int_equal(process->fail_keep, 0);
	}
	process = expect_good(process);
	/* Each container whose memory the kernel does not let go. */
	for (uint32_t nth = 1; nth <= (iommufd ? 1 : 2); nth++) {
		fail_next(process, iommufd ? IOMMU_IOAS_CHANGE_PROCESS : VFIO_IOMMU_UNMAP_DMA, nth,
			  -EINTR);
		save_fails(process, -EINTR);
		process = expect_good(process);
	}
	stop(process);
}

const struct story story_cpr_save_fails = {
	.name = "cpr-save-fails",
	.about = "a descriptor cannot be kept or a container not suspended, each in turn",
	.run = run_save_fails,
	.needs = NEEDS_HANDOVER,
};

/* ---- taking back ---- */

static void run_abort_fails(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *process = start(machine);
	bool iommufd = stage->backend->kind == VFIO_BACKEND_IOMMUFD;

	/* the last time what another process has set cannot be taken away */
	for (uint32_t nth = 1; nth <= (iommufd ? 1 : 3); nth++) {
		struct cpr_process *heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
		struct vfio_error error;

		cpr_save(process, VFIO_MODE_CPR_TRANSFER);
		cpr_check(cpr_try_load(process, &error), &error);
		cpr_attach(heir, 0);
		cpr_process_end(heir);
		if (nth < 3)
			fail_next(process, iommufd ? IOMMU_IOAS_CHANGE_PROCESS : VFIO_IOMMU_MAP_DMA,
				  nth, -ENOMEM);
		else
			fail_next(process, VFIO_IOMMU_UNMAP_DMA, 1, -ENOMEM);
		assert_false(vfio_cpr_abort(process->vfio, &error));
		assert_int_equal(error.code, -ENOMEM);
		/* It is still not this process's, all of it: nobody else can have it meanwhile. */
		assert_false(cpr_try_save(process, VFIO_MODE_CPR_TRANSFER, &error));
		assert_int_equal(error.code, -EBUSY);
		cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
		fail_next(process, 0, 0, 0);
		process = expect_good(process);
	}
	stop(process);
}

const struct story story_cpr_abort_fails = {
	.name = "cpr-abort-fails",
	.about = "what could not be taken back is taken back by trying again",
	.run = run_abort_fails,
	.needs = NEEDS_HANDOVER,
};

/* ---- taking over ---- */

/* The new process may not lock as much memory as the old one. */
static void poor_heir(struct cpr_machine *machine, struct cpr_process **process)
{
	struct cpr_process *heir = cpr_heir(*process, VFIO_MODE_CPR_TRANSFER);
	struct vfio_error error;
	bool good;

	vfake_memlock(heir->task, (CPR_PAGES - 1) * machine->backend->page);
	cpr_save(*process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(*process, &error), &error);
	good = cpr_try_attach(heir, 0, &error);
	for (uint32_t i = 1; good && i < machine->devices; i++)
		good = cpr_try_attach(heir, i, &error);
	assert_int_equal(good, machine->backend->kind == VFIO_BACKEND_IOMMUFD);
	if (good)
		assert_false(vfio_cpr_finish(heir->vfio, &error));
	assert_int_equal(error.code, -ENOMEM);
	cpr_process_end(heir);
	cpr_check(vfio_cpr_abort((*process)->vfio, &error), &error);
	*process = expect_good(*process);
}

/* The new process loses a descriptor. */
static void lost(struct cpr_process **process, const char *name, uint32_t id)
{
	struct cpr_process *heir = cpr_heir(*process, VFIO_MODE_CPR_TRANSFER);
	struct vfio_error error;
	int fd;

	cpr_save(*process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(*process, &error), &error);
	fd = cpr_take(*process, name, id);
	assert_true(fd >= 0);
	assert_int_equal(vfake_close(heir->task, fd), 0);
	assert_false(cpr_try_attach(heir, 0, &error));
	assert_int_equal(error.code, -ENOENT);
	assert_non_null(strstr(error.message, name));
	cpr_process_end(heir);
	cpr_check(vfio_cpr_abort((*process)->vfio, &error), &error);
	*process = expect_good(*process);
}

/* The new process cannot attach its first device: with that error, and the old one goes on. */
static void attach_fails(struct cpr_process *process, struct cpr_process *heir, int code,
			 const char *message)
{
	struct vfio_error error;

	assert_false(cpr_try_attach(heir, 0, &error));
	assert_int_equal(error.code, code);
	assert_non_null(strstr(error.message, message));
	cpr_process_end(heir);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
}

/* Each allocation of the new process's attach in turn, until there are no more. */
static void no_memory(struct cpr_process **process)
{
	struct vfio_error error;

	for (uint32_t nth = 1;; nth++) {
		struct cpr_process *heir = cpr_heir(*process, VFIO_MODE_CPR_TRANSFER);

		cpr_save(*process, VFIO_MODE_CPR_TRANSFER);
		cpr_check(cpr_try_load(*process, &error), &error);
		heir->fail_alloc = nth;
		if (cpr_try_attach(heir, 0, &error)) {
			assert_int_not_equal(heir->fail_alloc, 0);
			cpr_process_end(heir);
			cpr_check(vfio_cpr_abort((*process)->vfio, &error), &error);
			assert_true(nth > 5);
			break;
		}
		assert_int_equal(heir->fail_alloc, 0);
		assert_int_equal(error.code, -ENOMEM);
		cpr_process_end(heir);
		cpr_check(vfio_cpr_abort((*process)->vfio, &error), &error);
	}
	*process = expect_good(*process);
}

/* What can be mapped is asked again; nothing is assumed. */
static void no_answer(struct cpr_process **process)
{
	struct cpr_process *heir = cpr_heir(*process, VFIO_MODE_CPR_TRANSFER);
	struct vfio_error error;

	cpr_save(*process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(*process, &error), &error);
	fail_next(heir, VFIO_IOMMU_GET_INFO, 1, -ENODEV);
	attach_fails(*process, heir, -ENODEV, "VFIO_IOMMU_GET_INFO: ");
	*process = expect_good(*process);
}

/* The first device could do with memory that is discarded, the second not, and the VMM insists. */
static void refused_discard(struct cpr_process **process)
{
	struct cpr_process *heir = cpr_heir(*process, VFIO_MODE_CPR_TRANSFER);
	struct vfio_device_options options;
	struct vfio_error error = { 0 };

	cpr_save(*process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(*process, &error), &error);
	options = cpr_options(heir, 0);
	options.may_discard = true;
	heir->devices[0] = vfio_device_attach(heir->vfio, heir->memory[0], &options, &error);
	cpr_check(heir->devices[0], &error);
	heir->ref.needs_discard = true;
	assert_false(cpr_try_attach(heir, 1, &error));
	assert_int_equal(error.code, -EBUSY);
	heir->ref.needs_discard = false;
	/* It is given up, and the other one goes on, and leaves nothing behind. */
	vfake_tick(heir->machine->kernel, UINT64_MAX);
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_close_rest(*process, heir->task);
	cpr_process_end(*process);
	cpr_check(vfio_cpr_settle(heir->vfio, &error), &error);
	cpr_finish_dma(heir->machine);
	vfio_device_detach(heir->devices[0]);
	assert_int_equal(heir->ref.warnings_seen, 0);
	assert_int_equal(vfake_ledger(heir->machine->kernel).pinned_pages, 0);
	memset(heir->devices, 0, sizeof(heir->devices));
	cpr_attach_all(heir);
	cpr_start_dma(heir);
	*process = expect_good(heir);
}

static void run_load_fails(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 2, 1);
	struct cpr_process *process = start(machine);

	poor_heir(machine, &process);
	no_memory(&process);
	if (stage->backend->kind == VFIO_BACKEND_LEGACY)
		no_answer(&process);
	refused_discard(&process);
	lost(&process, "vfio/device/d0", 0);
	lost(&process, "vfio/device/d0", 1);
	lost(&process, "vfio/device/d0", 2);
	if (stage->backend->kind == VFIO_BACKEND_IOMMUFD) {
		lost(&process, "vfio/iommufd", 1);
	} else {
		char group[64];

		snprintf(group, sizeof(group), "vfio/group/%s", stage_options(stage, 0).group);
		lost(&process, group, 0);
		lost(&process, "vfio/container", 1);
	}
	stop(process);
}

const struct story story_cpr_load_fails = {
	.name = "cpr-load-fails",
	.about = "the new process may lock less memory, or lost a descriptor",
	.run = run_load_fails,
	.needs = NEEDS_HANDOVER,
};

/* ---- other memory ---- */

/* The new process has these pieces instead of those that it should have. */
static void other_pieces(struct cpr_process **process, uint32_t plugged, bool late)
{
	struct cpr_process *heir = cpr_heir(*process, VFIO_MODE_CPR_TRANSFER);
	struct cpr_machine *machine = (*process)->machine;
	uint32_t right = machine->plugged;
	struct vfio_error error;
	bool good;

	cpr_save(*process, VFIO_MODE_CPR_TRANSFER);
	machine->plugged = plugged;
	machine->late = late;
	cpr_check(cpr_try_load(*process, &error), &error);
	good = cpr_try_attach(heir, 0, &error) && cpr_try_attach(heir, 1, &error);
	for (uint32_t i = 0; good && late && i < CPR_PIECES; i++) {
		if (plugged >> i & 1)
			good = cpr_plug(heir, 0, i, &error);
	}
	if (good)
		assert_false(vfio_cpr_finish(heir->vfio, &error));
	assert_true(error.code == -EINVAL || error.code == -ENOENT);
	cpr_process_end(heir);
	machine->plugged = right;
	machine->late = false;
	cpr_check(vfio_cpr_abort((*process)->vfio, &error), &error);
	*process = expect_good(*process);
}

static void run_other_memory(struct stage *stage)
{
	static const uint32_t wrong[] = { 0xdffff, 0x1ffff, 0x9ffff };
	struct cpr_machine *machine = cpr_machine_new(stage, 2, 1);
	struct cpr_process *process;

	machine->plugged = 0x5ffff;
	process = start(machine);
	/* One piece more, one less, another one; before the attach and after it. */
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		other_pieces(&process, wrong[i], false);
		other_pieces(&process, wrong[i], true);
	}
	stop(process);
}

const struct story story_cpr_other_memory = {
	.name = "cpr-other-memory",
	.about = "a new process whose guest has other memory does not get the devices",
	.run = run_other_memory,
	.needs = NEEDS_HANDOVER,
};

/* What a piece of memory without a file can be: for the guest itself, or for its IOMMU. */
static const struct {
	enum vfio_memory_kind kind;
	int prot; /* of the vIOMMU's map; 0: devices see the memory itself */
} nameless[] = {
	{ VFIO_MEMORY_RAM, 0 },		{ VFIO_MEMORY_ROM, 0 }, { VFIO_MEMORY_RAM, 3 },
	{ VFIO_MEMORY_RAM, 1 },		{ VFIO_MEMORY_ROM, 1 }, { VFIO_MEMORY_DISCARDABLE, 0 },
	{ VFIO_MEMORY_DISCARDABLE, 1 },
};

/* A page of it comes, nothing is handed over, and it goes. */
static void refuse_nameless(struct cpr_process *process, enum vfio_memory_kind kind, int prot)
{
	uint64_t page = process->machine->backend->page;
	struct vfio_memory_region region = { .name = "nameless",
					     .kind = kind,
					     .start = (uint64_t)1 << 32,
					     .last = ((uint64_t)1 << 32) + page - 1,
					     .granularity = page,
					     .fd = -1 };
	struct vfio_iommu_entry entry = { .iova = 0,
					  .last = page - 1,
					  .target = region.start,
					  .prot = prot,
					  .target_memory = process->memory[0] };
	struct vfio_error error = { 0 };
	uint32_t id;

	assert_int_equal(vfake_mmap(process->task, page, VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0,
				    &region.vaddr),
			 0);
	cpr_check(vfio_memory_add(process->memory[0], &region, &id, &error), &error);
	if (kind == VFIO_MEMORY_DISCARDABLE)
		cpr_check(vfio_memory_populate(process->memory[0], id, region.start, region.last,
					       &error),
			  &error);
	if (prot)
		assert_int_equal(
			vfio_memory_iommu_update(process->guest[0], process->viommus[0], &entry),
			0);
	save_fails(process, -EINVAL);
	entry.prot = 0;
	if (prot)
		assert_int_equal(
			vfio_memory_iommu_update(process->guest[0], process->viommus[0], &entry),
			0);
	vfio_memory_del(process->memory[0], id);
	assert_int_equal(vfake_munmap(process->task, region.vaddr, page), 0);
}

/* Memory that no other process can have is not left behind for devices to reach. */
static void run_anonymous(struct stage *stage)
{
	for (int viommu = 0; viommu < 2; viommu++) {
		struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
		struct cpr_process *process;

		machine->viommu = viommu;
		process = start(machine);
		for (size_t i = 0; i < sizeof(nameless) / sizeof(nameless[0]); i++) {
			if (!nameless[i].prot == !viommu)
				refuse_nameless(process, nameless[i].kind, nameless[i].prot);
		}
		stop(expect_good(process));
	}
}

const struct story story_cpr_anonymous = {
	.name = "cpr-anonymous",
	.about = "memory without a file, of each kind, cannot be handed over",
	.run = run_anonymous,
	.needs = NEEDS_HANDOVER,
};

/* ---- at the wrong time ---- */

static void expect_misuse(struct cpr_process *process, struct vfio_error *error, int code)
{
	assert_int_equal(error->code, code);
	assert_string_not_equal(error->message, "");
	*error = (struct vfio_error){ 0 };
	(void)process;
}

static void misuse_old(struct cpr_process *process)
{
	struct vfio_error error = { 0 };
	const void *state;
	size_t size;

	assert_false(
		vfio_cpr_save(process->vfio, VFIO_MODE_NORMAL, true, NULL, &state, &size, &error));
	expect_misuse(process, &error, -EINVAL);
	assert_false(vfio_cpr_save(process->vfio, VFIO_MODE_CPR_EXEC, false, NULL, &state, &size,
				   &error));
	expect_misuse(process, &error, -EINVAL);
	assert_false(vfio_cpr_abort(process->vfio, &error));
	expect_misuse(process, &error, -EINVAL);
	assert_false(vfio_cpr_finish(process->vfio, &error));
	expect_misuse(process, &error, -EINVAL);
	assert_false(vfio_cpr_name(process->vfio, "other", &error));
	expect_misuse(process, &error, -EBUSY);
	if (stage_view(process->machine->stage, 0).dirty_tracking ||
	    !backend_lacks(process->machine->backend, NEEDS_TRACKING)) {
		cpr_check(vfio_memory_log_start(process->memory[0], &error), &error);
		save_fails(process, -EBUSY);
		vfio_memory_log_stop(process->memory[0]);
	}
}

static void misuse_saved(struct cpr_process *process)
{
	struct vfio_error error = { 0 };

	assert_false(cpr_try_attach(process, 2, &error));
	expect_misuse(process, &error, -EBUSY);
	assert_false(
		vfio_cpr_load(process->vfio, process->state, process->state_size, NULL, &error));
	expect_misuse(process, &error, -EBUSY);
	assert_false(vfio_cpr_settle(process->vfio, &error));
	expect_misuse(process, &error, -EBUSY);
}

/* Two devices that shared a container, in two address spaces. */
static void split(struct cpr_process *heir)
{
	struct vfio_device_options options = cpr_options(heir, 1);
	struct vfio_memory *memory = vfio_memory_new(&heir->vmm);
	struct vfio_error error = { 0 };

	assert_null(vfio_device_attach(heir->vfio, memory, &options, &error));
	expect_misuse(heir, &error, -EINVAL);
	vfio_memory_free(memory);
}

/* Groups that are not the device's, though they begin as its group does, or it as they. */
static void other_groups(struct cpr_process *heir)
{
	struct vfio_device_options options = cpr_options(heir, 0);
	size_t length = strlen(options.group);
	struct vfio_error error = { 0 };
	char longer[64], shorter[64];
	const char *groups[] = { "4711", longer, shorter };

	snprintf(longer, sizeof(longer), "%s0", options.group);
	snprintf(shorter, sizeof(shorter), "%.*s", (int)length - 1, options.group);
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		options.group = groups[i];
		assert_null(vfio_device_attach(heir->vfio, heir->memory[0], &options, &error));
		expect_misuse(heir, &error, -EINVAL);
	}
}

static void misuse_new(struct cpr_process *heir)
{
	static const char *const nobody[] = { "d", "d00", "0", "d0 ", " d0", "D0", "d01" };
	struct vfio_device_options options = cpr_options(heir, 2);
	struct vfio_error error = { 0 };

	heir->next = heir;
	assert_false(cpr_try_save(heir, VFIO_MODE_CPR_TRANSFER, &error));
	expect_misuse(heir, &error, -EBUSY);
	assert_false(vfio_cpr_name(heir->vfio, "other", &error));
	expect_misuse(heir, &error, -EBUSY);
	assert_null(vfio_device_attach(heir->vfio, heir->memory[0], &options, &error));
	expect_misuse(heir, &error, -ENOENT);
	/* A name is what it is from its first byte to its last. */
	options = cpr_options(heir, 0);
	for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		options.name = nobody[i];
		assert_null(vfio_device_attach(heir->vfio, heir->memory[0], &options, &error));
		expect_misuse(heir, &error, -ENOENT);
	}
	options = cpr_options(heir, 0);
	options.backend = options.backend == VFIO_BACKEND_IOMMUFD ? VFIO_BACKEND_LEGACY
								  : VFIO_BACKEND_IOMMUFD;
	assert_null(vfio_device_attach(heir->vfio, heir->memory[0], &options, &error));
	expect_misuse(heir, &error, -EINVAL);
	if (heir->machine->backend->kind == VFIO_BACKEND_LEGACY)
		other_groups(heir);
	cpr_attach(heir, 0);
	split(heir);
}

static void run_wrong_time(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 2, 1);
	struct cpr_process *process = start(machine), *heir;
	struct vfio_error error = { 0 };

	assert_false(vfio_cpr_name(process->vfio, "", &error));
	expect_misuse(process, &error, -EINVAL);
	assert_false(vfio_cpr_name(process->vfio, "a/b", &error));
	expect_misuse(process, &error, -EINVAL);
	assert_false(vfio_cpr_name(process->vfio, "0123456789abcdef", &error));
	expect_misuse(process, &error, -EINVAL);
	misuse_old(process);
	heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	misuse_saved(process);
	cpr_check(cpr_try_load(process, &error), &error);
	misuse_new(heir);
	cpr_process_end(heir);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	stop(expect_good(process));
}

const struct story story_cpr_wrong_time = {
	.name = "cpr-wrong-time",
	.about = "calls that make no sense where they come, and a new process that asks for what "
		 "is not "
		 "in the state",
	.run = run_wrong_time,
	.needs = NEEDS_HANDOVER,
};
