/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The saved state of a live update, byte by byte: what vfio/cpr.h says is there is there; whatever
 * is flipped, cut or makes no sense is refused with a reason, and nothing has happened.
 */
#include "cpr_encoder.h"

/* A state of type1 that is right: what the tests below spoil. */
static const struct container good_container = { .id = 3, .type = 3, .maps = 1 };
static const struct device good_device = { .container = 3, .name = "a", .group = "7" };

static void good_state(struct text *text)
{
	begin(text);
	put_container(text, good_container);
	put_device(text, good_device);
	end(text, VFIO_MODE_CPR_TRANSFER);
}

/* ---- who loads it ---- */

static bool load(struct cpr_process *process, const void *state, size_t size,
		 struct vfio_error *error)
{
	*error = (struct vfio_error){ 0 };
	return vfio_cpr_load(process->vfio, state, size, NULL, error);
}

/* Refused with a reason, and the stack is as it was. */
static void expect_refused(struct cpr_process *process, const void *state, size_t size, int code)
{
	uint64_t blocks = process->ref.blocks;
	struct vfio_error error;

	assert_false(load(process, state, size, &error));
	if (code)
		assert_int_equal(error.code, code);
	assert_true(error.code == -EINVAL || error.code == -ENOTSUP);
	assert_non_null(strstr(error.message, "saved state"));
	assert_int_equal(process->ref.blocks, blocks);
	assert_int_equal(vfio_cpr_mode(process->vfio), 0);
	assert_null(vfio_cpr_device(process->vfio, 0));
}

/* The exact copy is on the heap, so that one byte too many is noticed. */
static void expect_heap_refused(struct cpr_process *process, const uint8_t *state, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, state, size);
	expect_refused(process, copy, size, 0);
	free(copy);
}

static void expect_loads(struct cpr_machine *machine, const struct text *text)
{
	struct cpr_process *process = cpr_process_start(machine);
	struct vfio_error error;

	cpr_check(load(process, text->bytes, text->size, &error), &error);
	cpr_process_end(process);
}

static void expect_spoilt(struct cpr_machine *machine, const struct text *text, int code)
{
	struct cpr_process *process = cpr_process_start(machine);

	expect_refused(process, text->bytes, text->size, code);
	cpr_process_end(process);
}

/* ---- the stories ---- */

static struct cpr_process *saved(struct cpr_machine *machine)
{
	struct cpr_process *process = cpr_process_start(machine);

	cpr_attach_all(process);
	process->keeps_numbers = true;
	cpr_save(process, VFIO_MODE_CPR_EXEC);
	return process;
}

/* Every byte: flipped in any bit; and the state cut there, or with more behind it. */
static void run_every_byte(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *old = saved(machine), *process = cpr_process_start(machine);
	struct vfake_ledger before = vfake_ledger(machine->kernel), after;
	uint8_t *longer = calloc(1, old->state_size + 1);
	struct vfio_error error;

	assert_non_null(longer);
	for (size_t i = 0; i < old->state_size; i++) {
		for (int bit = 0; bit < 8; bit++) {
			old->state[i] ^= (uint8_t)(1u << bit);
			expect_refused(process, old->state, old->state_size, 0);
			old->state[i] ^= (uint8_t)(1u << bit);
		}
		expect_heap_refused(process, old->state, i);
	}
	memcpy(longer, old->state, old->state_size);
	expect_heap_refused(process, longer, old->state_size + 1);
	free(longer);
	after = vfake_ledger(machine->kernel);
	assert_memory_equal(&before, &after, sizeof(before));
	cpr_check(load(process, old->state, old->state_size, &error), &error);
	cpr_process_end(process);
	cpr_check(vfio_cpr_abort(old->vfio, &error), &error);
	cpr_process_end(old);
	cpr_machine_free(machine);
}

/* Whether it was taken: then there are no descriptors to be had, and the stack has to go. */
static bool try_value(struct cpr_process *process, const struct cpr_process *old,
		      const uint8_t *state)
{
	struct vfio_error error;

	if (!load(process, state, old->state_size, &error)) {
		assert_string_not_equal(error.message, "");
		return false;
	}
	assert_false(cpr_try_attach(process, 0, &error) &&
		     vfio_cpr_mode(process->vfio) != VFIO_MODE_CPR_REBOOT);
	return true;
}

/* Every byte, and the checksum is right: refused or taken, but never more than that. */
static void run_every_value(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *old = saved(machine), *process = cpr_process_start(machine);
	uint8_t *copy = malloc(old->state_size);
	uint32_t taken = 0, refused = 0;
	struct vfio_error error;

	assert_non_null(copy);
	for (size_t i = 0; i < old->state_size; i++) {
		for (unsigned int value = 0; value < 256; value += 17) {
			memcpy(copy, old->state, old->state_size);
			copy[i] = (uint8_t)value;
			if (i < AT_SIZE || i >= AT_MODE)
				sign(copy, old->state_size);
			if (!try_value(process, old, copy)) {
				refused++;
				continue;
			}
			taken++;
			cpr_process_end(process);
			process = cpr_process_start(machine);
		}
	}
	cpr_process_end(process);
	free(copy);
	assert_true(taken && refused);
	cpr_check(vfio_cpr_abort(old->vfio, &error), &error);
	cpr_process_end(old);
	cpr_machine_free(machine);
}

/* What is saved is exactly what the table in the header says. */
static void run_layout(struct stage *stage)
{
	bool iommufd = stage->backend->kind == VFIO_BACKEND_IOMMUFD;
	struct cpr_machine *machine = cpr_machine_new(stage, 2, 1);
	struct cpr_process *old = saved(machine);
	struct text *text = calloc(1, sizeof(*text));
	struct container container = { .id = 1,
				       .backend = (uint32_t)stage->backend->kind,
				       .maps = 1 };
	struct vfio_container_info info;
	struct vfio_error error;
	uint8_t map[17] = { 0 };

	assert_non_null(text);
	begin(text);
	if (iommufd)
		put_iommufd(text, 1, 0);
	vfio_container_info(vfio_device_container(old->devices[0]), &info);
	cpr_put(map, machine->base, 8);
	cpr_put(map + 8, machine->base + machine->bytes - 1, 8);
	container.crc = crc32(map, sizeof(map));
	container.limit = info.max_mappings;
	container.flags = iommufd && stage->backend->dirty_tracking;
	if (stage->backend->kind == VFIO_BACKEND_LEGACY) {
		container.type = stage->backend->type1_v1 ? VFIO_TYPE1_IOMMU : VFIO_TYPE1v2_IOMMU;
		container.flags = !stage->backend->type1_v1;
	}
	if (iommufd) {
		struct vfake_space_at at = cpr_space_of(machine, 0);

		container.iommufd = 1;
		container.ioas = at.ioas;
	}
	put_container(text, container);
	for (uint32_t i = 0; i < 2; i++) {
		struct vfio_device_options options = cpr_options(old, i);
		struct device device = { .container = 1,
					 .irqs = 1u << VFIO_PCI_ERR_IRQ_INDEX |
						 1u << VFIO_PCI_REQ_IRQ_INDEX,
					 .flags = 3,
					 .name = stage_name(i),
					 .group = iommufd ? "" : options.group };

		if (iommufd) {
			/* The kernel's numbers: read where they are. */
			device.devid = cpr_get32(old->state + text->size + RECORD + 4);
			device.hwpt = cpr_get32(old->state + text->size + RECORD + 8);
			assert_true(device.devid);
			assert_int_equal(!!device.hwpt, stage->backend->dirty_tracking);
		}
		put_device(text, device);
	}
	end(text, VFIO_MODE_CPR_EXEC);
	assert_int_equal(old->state_size, text->size);
	assert_memory_equal(old->state, text->bytes, text->size);
	free(text);
	cpr_check(vfio_cpr_abort(old->vfio, &error), &error);
	cpr_process_end(old);
	cpr_machine_free(machine);
}

/* A state of another version, with a record that this one does not know and longer ones. */
static void versions(struct cpr_machine *machine, struct text *text, uint32_t version,
		     uint32_t oldest, int code)
{
	cpr_put(text->bytes + AT_VERSION, version, 4);
	cpr_put(text->bytes + AT_OLDEST, oldest, 4);
	sign(text->bytes, text->size);
	if (code)
		expect_spoilt(machine, text, code);
	else
		expect_loads(machine, text);
}

static void longer(struct text *text, uint16_t flags, uint32_t more)
{
	begin(text);
	put_record(text, IOMMUFD, 0, 8 + more);
	put(text, 1, 8);
	put(text, 0, more);
	put_record(text, 99, flags, 4);
	put(text, 0xdeadbeef, 4);
	put_record(text, CONTAINER, 0, 40 + more);
	put(text, 1, 4);
	put(text, VFIO_BACKEND_LEGACY, 4);
	put(text, 0, 8);
	put(text, 1, 4);
	put(text, 0, 20);
	put(text, 0, more);
	put_record(text, DEVICE, 0, 26 + more);
	put(text, 1, 4);
	put(text, 0, 16);
	put(text, 1, 2);
	put(text, 1, 2);
	put(text, 'd', 1);
	put(text, '7', 1);
	put(text, 0, more);
	end(text, VFIO_MODE_CPR_EXEC);
}

static void run_versions(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct text *text = calloc(1, sizeof(*text));

	assert_non_null(text);
	good_state(text);
	versions(machine, text, 1, 1, 0);
	/* The target is older: it takes what it can, if the source says that this will do. */
	versions(machine, text, 2, 1, 0);
	versions(machine, text, 2, 2, -ENOTSUP);
	versions(machine, text, UINT32_MAX, UINT32_MAX, -ENOTSUP);
	/* The target is newer than all that it knows. */
	versions(machine, text, 0, 0, -ENOTSUP);
	versions(machine, text, 1, 0, -ENOTSUP);
	longer(text, 1, 8);
	versions(machine, text, 2, 1, 0);
	versions(machine, text, 1, 1, -EINVAL);
	longer(text, 1, 0);
	versions(machine, text, 1, 1, 0);
	longer(text, 0, 0);
	versions(machine, text, 2, 1, -EINVAL);
	longer(text, 2, 0);
	versions(machine, text, 2, 1, -EINVAL);
	free(text);
	cpr_machine_free(machine);
}

static void spoil_containers(struct cpr_machine *machine, struct text *text)
{
	static const struct container wrong[] = {
		{ .id = 0, .type = 3 },
		{ .id = 1, .type = 0 },
		{ .id = 1, .type = 3, .ioas = 1 },
		{ .id = 1, .type = 3, .iommufd = 1 },
		{ .id = 1, .type = 3, .flags = 2 },
		{ .id = 1, .type = 3, .backend = VFIO_BACKEND_SPAPR },
		{ .id = 1, .type = 3, .backend = 77 },
		{ .id = 1, .backend = VFIO_BACKEND_IOMMUFD, .iommufd = 1 },
		{ .id = 1, .backend = VFIO_BACKEND_IOMMUFD, .iommufd = 2, .ioas = 1 },
		{ .id = 1, .backend = VFIO_BACKEND_IOMMUFD, .iommufd = 1, .ioas = 1, .type = 1 },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		begin(text);
		put_iommufd(text, 1, 0);
		put_container(text, wrong[i]);
		end(text, VFIO_MODE_CPR_TRANSFER);
		expect_spoilt(machine, text, -EINVAL);
	}
	begin(text);
	put_container(text, good_container);
	put_container(text, good_container);
	end(text, VFIO_MODE_CPR_TRANSFER);
	expect_spoilt(machine, text, -EINVAL);
}

static void spoil_iommufds(struct cpr_machine *machine, struct text *text)
{
	static const uint32_t wrong[][2] = { { 0, 0 }, { 1, 2 }, { 1, 0 } };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		begin(text);
		put_iommufd(text, 1, 1);
		put_iommufd(text, wrong[i][0], wrong[i][1]);
		end(text, VFIO_MODE_CPR_TRANSFER);
		expect_spoilt(machine, text, -EINVAL);
	}
}

static void spoil_devices(struct cpr_machine *machine, struct text *text)
{
	static const char long_group[] = "0123456789abcdef0123456789abcdef";
	static char long_name[VFIO_CPR_NAME_MAX + 2];
	const struct device wrong[] = {
		{ .container = 4, .name = "b", .group = "7" },
		{ .container = 3, .name = "a", .group = "7" },
		{ .container = 3, .name = "", .group = "7" },
		{ .container = 3, .name = "b", .group = "" },
		{ .container = 3, .name = "b", .group = "7", .flags = 4 },
		{ .container = 3, .name = "b", .group = long_group },
		{ .container = 3, .name = long_name, .group = "7" },
	};

	memset(long_name, 'x', sizeof(long_name) - 1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		begin(text);
		put_container(text, good_container);
		put_device(text, good_device);
		put_device(text, wrong[i]);
		end(text, VFIO_MODE_CPR_TRANSFER);
		expect_spoilt(machine, text, -EINVAL);
	}
	/* A 0 in a name; lengths that end before the record, or behind it. */
	good_state(text);
	text->bytes[text->size - 2] = 0;
	sign(text->bytes, text->size);
	expect_spoilt(machine, text, -EINVAL);
	good_state(text);
	text->bytes[text->size - 6]++;
	sign(text->bytes, text->size);
	expect_spoilt(machine, text, -EINVAL);
}

static void spoil_frames(struct cpr_machine *machine, struct text *text)
{
	static const uint32_t modes[] = { 0, 1, 3, 12, 16 };

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		good_state(text);
		end(text, modes[i]);
		expect_spoilt(machine, text, -EINVAL);
	}
	/* Fewer records than there are, more, and far more. */
	for (uint32_t count = 0; count < 5; count++) {
		good_state(text);
		cpr_put(text->bytes + AT_COUNT, count < 4 ? count : UINT32_MAX, 4);
		sign(text->bytes, text->size);
		if (count == 2)
			expect_loads(machine, text);
		else
			expect_spoilt(machine, text, -EINVAL);
	}
	/* A record that is longer than the rest, and one whose head is cut. */
	good_state(text);
	cpr_put(text->bytes + HEADER + 4, UINT32_MAX, 4);
	sign(text->bytes, text->size);
	expect_spoilt(machine, text, -EINVAL);
	good_state(text);
	text->records++;
	put(text, 0, 5);
	end(text, VFIO_MODE_CPR_TRANSFER);
	expect_spoilt(machine, text, -EINVAL);
	/* For another kernel there is nothing but names. */
	good_state(text);
	end(text, VFIO_MODE_CPR_REBOOT);
	expect_spoilt(machine, text, -EINVAL);
	begin(text);
	put_device(text, good_device);
	end(text, VFIO_MODE_CPR_REBOOT);
	expect_spoilt(machine, text, -EINVAL);
	begin(text);
	put_device(text, (struct device){ .name = "a", .group = "" });
	end(text, VFIO_MODE_CPR_REBOOT);
	expect_loads(machine, text);
	/* Nothing at all is a state, too. */
	begin(text);
	end(text, VFIO_MODE_CPR_EXEC);
	expect_loads(machine, text);
}

static void run_nonsense(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct text *text = calloc(1, sizeof(*text));

	assert_non_null(text);
	spoil_iommufds(machine, text);
	spoil_containers(machine, text);
	spoil_devices(machine, text);
	spoil_frames(machine, text);
	free(text);
	cpr_machine_free(machine);
}

/* ---- memory is short ---- */

static void save_short(struct cpr_process *process)
{
	struct vfio_error error;

	process->next = process;
	process->fail_alloc = 1;
	assert_false(cpr_try_save(process, VFIO_MODE_CPR_TRANSFER, &error));
	assert_int_equal(error.code, -ENOMEM);
}

/* The new process has no memory at its @nth allocation: false when it needs fewer. */
static bool load_short(struct cpr_process *old, uint32_t nth)
{
	struct cpr_process *heir = cpr_heir(old, VFIO_MODE_CPR_TRANSFER);
	struct vfio_cpr_fds fds = { .ctx = old, .take = cpr_take };
	struct vfio_error error = { 0 };
	bool good;

	cpr_save(old, VFIO_MODE_CPR_TRANSFER);
	cpr_program(heir);
	heir->fail_alloc = nth;
	good = vfio_cpr_load(heir->vfio, old->state, old->state_size, &fds, &error);
	for (uint32_t i = 0; good && i < CPR_DEVICES; i++)
		good = cpr_try_attach(heir, i, &error);
	good = good && vfio_cpr_finish(heir->vfio, &error);
	if (!good)
		assert_int_equal(error.code, -ENOMEM);
	assert_int_equal(good, heir->fail_alloc != 0);
	heir->fail_alloc = 0;
	cpr_process_end(heir);
	if (!good)
		cpr_check(vfio_cpr_abort(old->vfio, &error), &error);
	return !good;
}

static void run_short(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *process = cpr_process_start(machine);
	uint32_t nth = 1;

	cpr_attach_all(process);
	cpr_start_dma(process);
	save_short(process);
	while (load_short(process, nth)) {
		cpr_expect_owner(process);
		nth++;
	}
	assert_true(nth > 10);
	cpr_process_free(process);
	cpr_machine_free(machine);
}

/* ---- the table ---- */

static const struct story checks[] = {
	{ .name = "every_byte", .run = run_every_byte, .needs = NEEDS_HANDOVER },
	{ .name = "every_value", .run = run_every_value, .needs = NEEDS_HANDOVER },
	{ .name = "layout", .run = run_layout, .needs = NEEDS_HANDOVER },
	{ .name = "versions", .run = run_versions, .needs = NEEDS_HANDOVER },
	{ .name = "nonsense", .run = run_nonsense, .needs = NEEDS_HANDOVER },
	{ .name = "short", .run = run_short, .needs = NEEDS_HANDOVER },
};

enum { CHECKS = sizeof(checks) / sizeof(checks[0]) };

static void play(void **state)
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

int main(void)
{
	struct CMUnitTest tests[CHECKS];

	for (size_t i = 0; i < CHECKS; i++)
		tests[i] = (struct CMUnitTest){ .name = checks[i].name,
						.test_func = play,
						.initial_state = (void *)(uintptr_t)&checks[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
