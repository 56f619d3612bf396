/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Resets, and the client of migration, against kernels that answer all that they may: who a hot
 * reset takes along and what proves that they are ours, states and streams that make no sense.
 */
#include "backend_rig.h"

#include <stdlib.h>

enum { DEPENDENTS = 4096, PROOF = 256 };

/* ---- hot resets ---- */

static struct {
	uint32_t flags;
	uint32_t count;	    /* of what is told */
	uint32_t claim;	    /* the count that comes with ENOSPC; 0: `count` */
	bool never_fits;    /* ENOSPC whatever the room */
	bool overfull;	    /* more than there is room for, and no error */
	uint32_t groups[4]; /* by turns */
	struct vfio_pci_dependent_device who;
	uint32_t asked;	      /* the reset's: how often */
	uint32_t proof_count; /* how many descriptors */
	int32_t proof[PROOF];
	long result; /* of the reset */
} bus;

static void tell_dependents(struct vfio_pci_hot_reset_info *info, long *ret)
{
	uint32_t room = (uint32_t)((info->argsz - sizeof(*info)) / sizeof(info->devices[0]));

	info->flags = bus.flags;
	info->count = bus.count;
	*ret = 0;
	if (bus.overfull)
		return;
	if (room < bus.count || bus.never_fits) {
		info->count = bus.never_fits ? room + 1 : bus.claim ? bus.claim : bus.count;
		*ret = -ENOSPC;
		return;
	}
	for (uint32_t i = 0; i < bus.count; i++) {
		info->devices[i] = bus.who;
		info->devices[i].group_id = bus.groups[i % 4];
	}
}

static void play_bus(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	const struct vfio_pci_hot_reset *reset = arg;

	(void)rig;
	if (request == VFIO_DEVICE_GET_PCI_HOT_RESET_INFO)
		tell_dependents(arg, ret);
	if (request != VFIO_DEVICE_PCI_HOT_RESET)
		return;
	bus.asked++;
	bus.proof_count = reset->count;
	assert_int_equal(reset->argsz, sizeof(*reset) + reset->count * sizeof(int32_t));
	memcpy(bus.proof, reset->group_fds, reset->count * sizeof(int32_t));
	*ret = bus.result;
}

static uint32_t group_of(const struct backend_rig *rig, const char *name)
{
	return vfake_device_desc(rig->kernel, name)->group;
}

/* Three devices, and a bus with @count of them on it. */
static struct vfio_device *start_bus(struct backend_rig *rig, uint32_t count)
{
	struct vfio_device *device;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	rig_attach(rig, "d1");
	rig_attach(rig, "d2");
	memset(&bus, 0, sizeof(bus));
	bus.count = count;
	bus.groups[0] = bus.groups[1] = group_of(rig, "d0");
	bus.groups[2] = group_of(rig, "d1");
	bus.groups[3] = group_of(rig, "d2");
	return device;
}

/* The kernel plays its part for the call only: other files have requests of the same numbers. */
static bool hot_reset(struct backend_rig *rig, struct vfio_device *device, struct vfio_error *error)
{
	bool good;

	rig->after = play_bus;
	good = vfio_device_hot_reset(device, error);
	rig->after = NULL;
	return good;
}

static int reset_code(struct backend_rig *rig, struct vfio_device *device)
{
	struct vfio_error error = { 0 };
	bool good;

	bus.asked = 0;
	good = hot_reset(rig, device, &error);
	assert_int_equal(good, !error.code);
	assert_int_equal(bus.asked, !error.code || error.code == (int)bus.result);
	return error.code;
}

static void each_group_proves_once(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device = start_bus(rig, 1);
	struct vfake_file_view view;

	assert_int_equal(reset_code(rig, device), 0);
	assert_int_equal(bus.proof_count, 1);
	bus.count = 2;
	assert_int_equal(reset_code(rig, device), 0);
	assert_int_equal(bus.proof_count, 1);
	bus.count = 4;
	assert_int_equal(reset_code(rig, device), 0);
	assert_int_equal(bus.proof_count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(vfake_view_file(rig->task, bus.proof[i], &view), 0);
		assert_string_equal(view.kind, "group");
	}
	assert_int_not_equal(bus.proof[0], bus.proof[1]);
	assert_int_not_equal(bus.proof[1], bus.proof[2]);
	/* As many as there can be. */
	bus.count = DEPENDENTS;
	assert_int_equal(reset_code(rig, device), 0);
	assert_int_equal(bus.proof_count, 3);
	/* The flag is what says that they are ids, and no other does. */
	bus.flags = ~VFIO_PCI_HOT_RESET_FLAG_DEV_ID;
	assert_int_equal(reset_code(rig, device), 0);
	assert_int_equal(bus.proof_count, 3);
	/* Nobody else is on the bus. */
	bus.count = 0;
	assert_int_equal(reset_code(rig, device), 0);
	assert_int_equal(bus.proof_count, 0);
	bus.count = DEPENDENTS;
	/* By the ids of an iommufd nothing has to be proved. */
	bus.flags = VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
	assert_int_equal(reset_code(rig, device), 0);
	assert_int_equal(bus.proof_count, 0);
	bus.result = -EBUSY;
	assert_int_equal(reset_code(rig, device), -EBUSY);
}

/* Nobody else is on the bus: nobody's group has to prove anything. */
static void an_empty_bus(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	for (uint32_t i = 0; i < 3; i++)
		rig->world.devices[i].group = 40 + i;
	device = start_bus(rig, 0);
	assert_int_equal(reset_code(rig, device), 0);
	assert_int_equal(bus.proof_count, 0);
}

enum { BEHIND = 64 };

static struct {
	uint8_t *at;
	size_t size;
} blocks[32];

static void *guarded_alloc(void *ctx, size_t size)
{
	struct vfio_vmm_ref *ref = ctx;
	uint8_t *block = calloc(1, size + BEHIND);
	size_t i = 0;

	assert_non_null(block);
	memset(block + size, 0x77, BEHIND);
	while (blocks[i].at)
		i++;
	blocks[i].at = block;
	blocks[i].size = size;
	ref->blocks++;
	return block;
}

static void guarded_free(void *ctx, void *block)
{
	struct vfio_vmm_ref *ref = ctx;

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		if (blocks[i].at != block)
			continue;
		for (size_t at = 0; at < BEHIND; at++)
			assert_int_equal(blocks[i].at[blocks[i].size + at], 0x77);
		blocks[i].at = NULL;
	}
	free(block);
	ref->blocks--;
}

/* What is asked for a reset lies in the memory that was taken for it. */
static void proofs_have_room(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device = start_bus(rig, 4);

	bus.groups[1] = bus.groups[2];
	rig->ref_vmm.alloc = guarded_alloc;
	rig->ref_vmm.free = guarded_free;
	for (bus.count = 0; bus.count <= 8; bus.count++) {
		assert_int_equal(reset_code(rig, device), 0);
		assert_int_equal(bus.proof_count, bus.count < 3	  ? bus.count
						  : bus.count < 4 ? 2
								  : 3);
	}
}

static void strangers_are_named(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device = start_bus(rig, 4);
	struct vfio_error error = { 0 };

	bus.who = (struct vfio_pci_dependent_device){ .segment = 1,
						      .bus = 0x2a,
						      .devfn = 0x1f << 3 | 5 };
	bus.groups[3] = 999;
	assert_false(hot_reset(rig, device, &error));
	assert_int_equal(error.code, -EPERM);
	assert_non_null(strstr(error.message, "d0: its hot reset takes 0001:2a:1f.5 along"));
	assert_non_null(strstr(error.hint, "attach that device"));
	assert_int_equal(bus.asked, 0);
	bus.count = 1;
	bus.flags = VFIO_PCI_HOT_RESET_FLAG_DEV_ID;
	bus.groups[0] = VFIO_PCI_DEVID_NOT_OWNED;
	assert_false(hot_reset(rig, device, &error));
	assert_int_equal(error.code, -EPERM);
	bus.groups[0] = 17;
	assert_true(hot_reset(rig, device, &error));
}

static void counts_that_cannot_be(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device = start_bus(rig, 4);

	bus.claim = DEPENDENTS + 1;
	assert_int_equal(reset_code(rig, device), -ENOSPC);
	bus.claim = 1; /* no more than there was room for */
	assert_int_equal(reset_code(rig, device), -ENOSPC);
	bus.claim = 0;
	bus.never_fits = true;
	assert_int_equal(reset_code(rig, device), -E2BIG);
	bus.never_fits = false;
	bus.overfull = true;
	assert_int_equal(reset_code(rig, device), -E2BIG);
	bus.overfull = false;
	assert_int_equal(reset_code(rig, device), 0);
	for (uint64_t nth = 1; nth <= 5; nth++) {
		int code;

		rig->calls = 0;
		rig->fail_at = nth;
		code = reset_code(rig, device);
		assert_true(code == -ENOMEM || code == -EIO);
		rig->fail_at = 0;
	}
}

static uint32_t device_flags;

static void change_flags(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_device_info *info = arg;

	(void)rig;
	(void)ret;
	if (request == VFIO_DEVICE_GET_INFO)
		info->flags = device_flags;
}

static void a_reset_of_one_function(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;

	rig_start(rig);
	rig->after = change_flags;
	device_flags = VFIO_DEVICE_FLAGS_PCI;
	device = rig_attach(rig, "d0");
	rig->watched = VFIO_DEVICE_RESET;
	assert_false(vfio_device_reset(device, &error));
	assert_int_equal(error.code, -ENOTTY);
	assert_int_equal(rig->seen, 0);
	vfio_device_detach(device);
	device_flags |= VFIO_DEVICE_FLAGS_RESET;
	device = rig_attach(rig, "d0");
	rig->seen = 0;
	rig_answer(rig, VFIO_DEVICE_RESET, 0, 1);
	assert_true(vfio_device_reset(device, &error));
	assert_int_equal(rig->seen, 1);
	rig_answer(rig, VFIO_DEVICE_RESET, -EAGAIN, 1);
	assert_false(vfio_device_reset(device, &error));
	assert_int_equal(error.code, -EAGAIN);
}

/* ---- migration ---- */

static struct {
	uint64_t abilities;
	bool logs;
	uint32_t state; /* what the device says that it is in */
	uint32_t went;	/* the last state that it was sent to */
	uint32_t moves; /* how often it was sent to one */
	long codes[2];	/* what the first and the second such call say */
	uint64_t size;
	long read_code; /* of questions */
	int data_fd;
} mover;

static void play_feature(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_device_feature *head = arg;
	struct vfio_device_feature_mig_state *state;
	uint32_t which;

	(void)rig;
	if (request == VFIO_DEVICE_GET_INFO)
		((struct vfio_device_info *)arg)->flags |= VFIO_DEVICE_FLAGS_RESET;
	if (request != VFIO_DEVICE_FEATURE)
		return;
	which = head->flags & VFIO_DEVICE_FEATURE_MASK;
	state = (void *)head->data;
	if (head->flags & VFIO_DEVICE_FEATURE_PROBE) {
		*ret = mover.logs && which == VFIO_DEVICE_FEATURE_DMA_LOGGING_START ? 0 : -ENOTTY;
		return;
	}
	*ret = mover.read_code;
	if (which == VFIO_DEVICE_FEATURE_MIGRATION) {
		memcpy(head->data, &mover.abilities, sizeof(mover.abilities));
	} else if (which == VFIO_DEVICE_FEATURE_MIG_DATA_SIZE) {
		memcpy(head->data, &mover.size, sizeof(mover.size));
	} else if (which == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE) {
		if (head->flags & VFIO_DEVICE_FEATURE_SET) {
			mover.went = state->device_state;
			*ret = mover.moves < 2 ? mover.codes[mover.moves] : 0;
			mover.moves++;
			state->data_fd = mover.data_fd;
		} else {
			state->device_state = mover.state;
		}
	}
}

static struct vfio_device *start_mover(struct backend_rig *rig, uint64_t abilities, bool logs)
{
	memset(&mover, 0, sizeof(mover));
	mover.abilities = abilities;
	mover.logs = logs;
	mover.data_fd = -1;
	rig->after = play_feature;
	return rig_attach(rig, "d0");
}

static void each_ability_is_its_own(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_migration_info info;

	rig_start(rig);
	for (uint64_t abilities = 0; abilities < 8; abilities++) {
		struct vfio_device *device = start_mover(rig, abilities, abilities & 1);

		vfio_device_migration_info(device, &info);
		assert_int_equal(info.stop_copy, !!(abilities & VFIO_MIGRATION_STOP_COPY));
		assert_int_equal(info.p2p, !!(abilities & VFIO_MIGRATION_P2P));
		assert_int_equal(info.pre_copy, !!(abilities & VFIO_MIGRATION_PRE_COPY));
		assert_int_equal(info.dma_logging, abilities & 1);
		vfio_device_detach(device);
	}
}

static void states_that_are_told(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	enum vfio_mig_state now;
	struct vfio_error error;
	uint64_t bytes;

	rig_start(rig);
	device = start_mover(rig, 1, false);
	for (mover.state = 0; mover.state < 8; mover.state++) {
		assert_true(vfio_device_mig_state(device, &now, &error));
		assert_int_equal(now, mover.state);
	}
	assert_false(vfio_device_mig_state(device, &now, &error));
	assert_int_equal(error.code, -ERANGE);
	mover.size = 12345;
	assert_true(vfio_device_mig_size(device, &bytes, &error));
	assert_int_equal(bytes, 12345);
	mover.read_code = -EIO;
	assert_false(vfio_device_mig_state(device, &now, &error));
	assert_int_equal(error.code, -EIO);
	assert_false(vfio_device_mig_size(device, &bytes, &error));
	assert_int_equal(error.code, -EIO);
}

static void a_state_that_is_refused(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;

	rig_start(rig);
	device = start_mover(rig, 1, false);
	rig->watched = VFIO_DEVICE_RESET;
	/* It goes back to where the caller would rather have it, */
	mover.codes[0] = -EBUSY;
	assert_false(vfio_device_mig_set_state(device, VFIO_MIG_RESUMING, VFIO_MIG_STOP, &error));
	assert_int_equal(error.code, -EBUSY);
	assert_string_equal(error.hint, "");
	assert_int_equal(mover.went, VFIO_MIG_STOP);
	assert_int_equal(mover.moves, 2);
	assert_int_equal(rig->seen, 0);
	/* or is reset when it does not want that either, */
	mover.moves = 0;
	mover.codes[1] = -EIO;
	rig_answer(rig, VFIO_DEVICE_RESET, 0, 1);
	assert_false(vfio_device_mig_set_state(device, VFIO_MIG_RESUMING, VFIO_MIG_STOP, &error));
	assert_int_equal(error.code, -EBUSY);
	assert_int_equal(rig->seen, 1);
	assert_string_equal(error.hint, "");
	/* or nothing helps. */
	mover.moves = 0;
	rig_answer(rig, VFIO_DEVICE_RESET, -EIO, 1);
	assert_false(vfio_device_mig_set_state(device, VFIO_MIG_RESUMING, VFIO_MIG_STOP, &error));
	assert_int_equal(error.code, -EBUSY);
	assert_non_null(strstr(error.hint, "has to be detached"));
}

static bool is_open(const struct backend_rig *rig, int fd)
{
	struct vfake_file_view view;

	return !vfake_view_file(rig->task, fd, &view);
}

/* A stream is kept by the states that have one, replaced by a new one, and ends with them. */
static void streams_come_and_go(void **state)
{
	static const enum vfio_mig_state with[] = { VFIO_MIG_STOP_COPY, VFIO_MIG_RESUMING,
						    VFIO_MIG_PRE_COPY, VFIO_MIG_PRE_COPY_P2P };
	static const enum vfio_mig_state without[] = { VFIO_MIG_STOP, VFIO_MIG_RUNNING,
						       VFIO_MIG_RUNNING_P2P };
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	int fd, next;

	rig_start(rig);
	device = start_mover(rig, 1, false);
	for (size_t i = 0; i < 4; i++) {
		for (size_t k = 0; k < 3; k++) {
			fd = rig->kernel_sys.eventfd(rig->kernel_sys.ctx);
			mover.data_fd = fd;
			assert_true(
				vfio_device_mig_set_state(device, with[i], VFIO_MIG_STOP, NULL));
			mover.data_fd = -1;
			assert_true(
				vfio_device_mig_set_state(device, with[i], VFIO_MIG_STOP, NULL));
			assert_true(is_open(rig, fd));
			next = rig->kernel_sys.eventfd(rig->kernel_sys.ctx);
			mover.data_fd = next;
			assert_true(
				vfio_device_mig_set_state(device, with[i], VFIO_MIG_STOP, NULL));
			assert_false(is_open(rig, fd));
			assert_true(is_open(rig, next));
			mover.data_fd = -1;
			assert_true(
				vfio_device_mig_set_state(device, without[k], VFIO_MIG_STOP, NULL));
			assert_false(is_open(rig, next));
		}
	}
}

static void what_a_stream_says(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;
	uint8_t bytes[8] = { 0 };
	size_t got = 99;

	rig_start(rig);
	device = start_mover(rig, 1, false);
	rig->answer = 1; /* what it says is what counts */
	rig->streamed = -ENOMSG;
	assert_true(vfio_device_mig_read(device, bytes, 8, &got, &error));
	assert_int_equal(got, 0);
	rig->streamed = 8;
	assert_true(vfio_device_mig_read(device, bytes, 8, &got, &error));
	assert_int_equal(got, 8);
	rig->streamed = 0;
	assert_true(vfio_device_mig_read(device, bytes, 8, &got, &error));
	assert_int_equal(got, 0);
	rig->streamed = 9;
	assert_false(vfio_device_mig_read(device, bytes, 8, &got, &error));
	assert_int_equal(error.code, -EIO);
	assert_int_equal(got, 0);
	assert_false(vfio_device_mig_write(device, bytes, 8, &error));
	assert_int_equal(error.code, -EIO);
	rig->streamed = -ENXIO;
	assert_false(vfio_device_mig_read(device, bytes, 8, &got, &error));
	assert_int_equal(error.code, -ENXIO);
	assert_false(vfio_device_mig_write(device, bytes, 8, &error));
	assert_int_equal(error.code, -ENXIO);
	rig->streamed = 0;
	assert_false(vfio_device_mig_write(device, bytes, 8, &error));
	assert_int_equal(error.code, -EIO);
	/* In as many pieces as it takes. */
	rig->answer = 0;
	rig->pieces = 0;
	rig->streamed = 3;
	assert_true(vfio_device_mig_write(device, bytes, 8, &error));
	assert_int_equal(rig->pieces, 3);
	assert_true(vfio_device_mig_write(device, bytes, 0, &error));
	assert_int_equal(rig->pieces, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(each_group_proves_once),
		LEGACY_STORY(strangers_are_named),
		LEGACY_STORY(an_empty_bus),
		LEGACY_STORY(proofs_have_room),
		LEGACY_STORY(counts_that_cannot_be),
		LEGACY_STORY(a_reset_of_one_function),
		LEGACY_STORY(each_ability_is_its_own),
		LEGACY_STORY(states_that_are_told),
		LEGACY_STORY(a_state_that_is_refused),
		LEGACY_STORY(streams_come_and_go),
		LEGACY_STORY(what_a_stream_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
