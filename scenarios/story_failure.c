/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each step fails once: attaching fails with a reason and leaves nothing behind, or does without
 * what failed; and then it works.
 */
#include <errno.h>

#include "stories.h"

enum { MIB = 1 << 20, TRIES_MAX = 400 };

static const struct stage_fault no_fault;

static const char own_faults[] = "it makes each call fail itself";

/* After any attempt: all as before, and everything works. */
static void expect_recovered(struct stage *stage, const struct stage_ram *ram)
{
	stage->fail_call = no_fault;
	stage->fail_alloc = no_fault;
	stage_expect_mark(stage);
	stage_attach(stage, 0);
	if (!stage->backend->noiommu)
		stage_expect_reach(stage, 0, ram->region.start, MIB, ram->host, true);
	stage_detach(stage, 0);
	stage_expect_mark(stage);
}

/* The reason is what failed; or, where a question failed, what the stack makes of a no. */
static void expect_reason(const struct stage *stage, const struct vfio_error *error)
{
	int code = stage->fail_alloc.hit ? -ENOMEM : stage->fail_call.code;

	assert_true(stage->fail_call.hit || stage->fail_alloc.hit);
	if (error->code != code && !(stage->fail_call.hit && error->code == -ENOTSUP) &&
	    !(stage->fail_call.hit && error->code == -EINVAL))
		fail_msg("%d failed, and the reason is %d: %s", code, error->code, error->message);
}

/*
 * Attaches two devices, adds RAM and takes it away, and detaches them, with a fault in it. Returns
 * whether the fault was met.
 */
static bool attempt(struct stage *stage, const struct stage_ram *ram, struct stage_ram *late)
{
	struct vfio_device_options options;
	struct vfio_error error;
	uint32_t broken = stage->ref.broken_seen;
	bool hit;

	for (unsigned int i = 0; i < 2; i++) {
		options = stage_options(stage, i);
		if (!stage_try_attach(stage, i, stage->memory, &options, &error)) {
			expect_reason(stage, &error);
			break;
		}
		if (!stage->backend->noiommu)
			stage_expect_reach(stage, i, ram->region.start, MIB, ram->host, true);
	}
	stage_ram_in(late);
	if (!stage->backend->noiommu && stage->devices[0] && stage->ref.broken_seen == broken)
		stage_expect_reach(stage, 0, late->region.start, MIB, late->host, true);
	stage_ram_out(late);
	for (unsigned int i = 2; i; i--) {
		if (stage->devices[i - 1])
			stage_detach(stage, i - 1);
	}
	hit = stage->fail_call.hit || stage->fail_alloc.hit;
	expect_recovered(stage, ram);
	return hit;
}

static void fail_each_call(struct stage *stage, const struct stage_ram *ram, struct stage_ram *late,
			   int code)
{
	uint64_t nth = 1;

	do {
		assert_true(nth < TRIES_MAX);
		stage->fail_call = (struct stage_fault){ .at = nth++, .code = code };
	} while (attempt(stage, ram, late));
	assert_true(nth > 8);
}

static void run_calls(struct stage *stage)
{
	static const int codes[] = { -ENOMEM, -EBUSY, -EINVAL, -ENOTTY, -EPERM };
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct stage_ram *late = stage_ram(stage, stage->backend->ram + 4 * MIB, MIB);

	stage_ram_out(late);
	stage_mark(stage);
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		fail_each_call(stage, ram, late, codes[i]);
	stage_expect_empty(stage);
}

const struct story story_failing_calls = {
	.name = "failure-each-call",
	.unswept = own_faults,
	.about = "each call of attaching and detaching fails once, with each of five reasons",
	.run = run_calls,
};

const struct story story_failing_calls_migrate = {
	.name = "failure-each-call-mig",
	.unswept = own_faults,
	.about = "the same with devices that can be migrated",
	.run = run_calls,
	.model = "migrate",
};

static void run_allocations(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct stage_ram *late = stage_ram(stage, stage->backend->ram + 4 * MIB, MIB);
	uint64_t nth = 1;

	stage_ram_out(late);
	stage_mark(stage);
	do {
		assert_true(nth < TRIES_MAX);
		stage->fail_alloc = (struct stage_fault){ .at = nth++ };
	} while (attempt(stage, ram, late));
	assert_true(nth > 4);
	stage_expect_empty(stage);
}

const struct story story_failing_allocations = {
	.name = "failure-each-allocation",
	.unswept = own_faults,
	.about = "each allocation of attaching and detaching fails once",
	.run = run_allocations,
};

/* ---- while it runs ---- */

/* RAM comes and goes while a call or an allocation fails: it is told, and the rest goes on. */
static bool change_memory(struct stage *stage, struct stage_ram *ram, const struct stage_ram *other)
{
	uint32_t broken = stage->ref.broken_seen;
	bool hit;

	vfio_memory_add(ram->memory, &ram->region, &ram->id, NULL);
	if (ram->id)
		stage_ram_out(ram);
	hit = stage->fail_call.hit || stage->fail_alloc.hit;
	if (!hit)
		assert_int_equal(stage->ref.broken_seen, broken);
	stage->fail_call = no_fault;
	stage->fail_alloc = no_fault;
	stage_expect_reach(stage, 0, other->region.start, MIB, other->host, true);
	return hit;
}

static void run_runtime(struct stage *stage)
{
	struct stage_ram *other = stage_ram(stage, stage->backend->ram, MIB);
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram + 4 * MIB, MIB);

	stage_ram_out(ram);
	stage_mark(stage);
	for (uint64_t nth = 1, hit = 1; hit; nth++) {
		stage_attach(stage, 0);
		stage->fail_call = (struct stage_fault){ .at = nth, .code = -ENOMEM };
		hit = change_memory(stage, ram, other);
		stage_detach(stage, 0);
		stage_expect_mark(stage);
		assert_true(nth < TRIES_MAX);
	}
	for (uint64_t nth = 1, hit = 1; hit; nth++) {
		stage_attach(stage, 0);
		stage->fail_alloc = (struct stage_fault){ .at = nth };
		hit = change_memory(stage, ram, other);
		stage_detach(stage, 0);
		stage_expect_mark(stage);
		assert_true(nth < TRIES_MAX);
	}
	stage_expect_empty(stage);
}

const struct story story_failing_runtime = {
	.name = "failure-at-run-time",
	.about = "mapping or unmapping fails while a device runs; detaching leaves nothing",
	.run = run_runtime,
	.needs = NEEDS_MAPS,
};

/* A map that fails is told to the VMM and kept, and the attach of a second device still works. */
static void run_stored(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct stage_ram *late = stage_ram(stage, stage->backend->ram + 4 * MIB, MIB);
	struct vfio_container *container;

	stage_ram_out(late);
	stage_mark(stage);
	container = vfio_device_container(stage_attach(stage, 0));
	assert_int_equal(vfio_container_error(container), 0);
	for (uint64_t nth = 1; !stage->ref.broken_seen; nth++) {
		assert_true(nth < 8);
		stage->fail_call = (struct stage_fault){ .at = nth, .code = -ENOSPC };
		stage_ram_in(late);
		stage->fail_call = no_fault;
		if (!stage->ref.broken_seen)
			stage_ram_out(late);
	}
	assert_int_equal(stage->ref.broken_code, -ENOSPC);
	assert_int_equal(vfio_container_error(container), -ENOSPC);
	stage_expect_fault(stage, 0, late->region.start, MIB);
	stage_expect_reach(stage, 0, ram->region.start, MIB, ram->host, true);
	stage_ram_out(late);
	/* It stays known until the container goes. */
	assert_int_equal(vfio_container_error(container), -ENOSPC);
	stage_detach(stage, 0);
	stage_expect_mark(stage);
	assert_int_equal(vfio_container_error(vfio_device_container(stage_attach(stage, 0))), 0);
	stage_detach(stage, 0);
	stage_expect_empty(stage);
}

const struct story story_stored_error = {
	.name = "failure-stored",
	.about = "the error of a map at run time is told and stored until the container goes",
	.run = run_stored,
	.needs = NEEDS_MAPS,
};
