/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMMs and groups at the edges: descriptor 0, VMMs that listen to a part only, groups that do not
 * go with others or stay, and the registers of the reference VMM.
 */
#include "backend_rig.h"

/* ---- descriptor 0 ---- */

/* Before the container's node is opened, and before an eventfd is made, 0 is closed. */
static bool free_zero(struct backend_rig *rig, int fd, uint32_t request, void *arg, long *ret)
{
	(void)fd;
	(void)arg;
	(void)ret;
	if (request == rig->answer) {
		vfake_close(rig->task, 0);
		rig->answer = 0; /* once */
	}
	return false;
}

static void descriptor_zero(void **state)
{
	struct backend_rig *rig = *state;
	const uint32_t before[] = { VFIO_GROUP_GET_STATUS, VFIO_DEVICE_GET_IRQ_INFO };

	rig_start(rig);
	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		struct vfake_file_view view;
		struct vfio_device *device;

		assert_int_equal(vfake_eventfd(rig->task), 0);
		rig->answer = before[i];
		rig->instead = free_zero;
		device = rig_attach(rig, "d1");
		rig->instead = NULL;
		assert_int_equal(vfake_view_file(rig->task, 0, &view), 0);
		assert_string_equal(view.kind, i ? "eventfd" : "container");
		rig->pieces = 0;
		vfio_device_poll(device);
		assert_int_equal(rig->pieces, 2); /* its two notifications are read */
		vfio_device_detach(device);
		assert_int_equal(vfake_close(rig->task, 0), -EBADF);
	}
}

/* ---- who is told ---- */

static int accept_blocker(void *ctx, const char *reason, uint32_t modes, uint64_t *blocker)
{
	(void)ctx;
	(void)reason;
	(void)modes;
	*blocker = 1;
	return 0;
}

static long signal_all(void *ctx, int fd, uint64_t buf, uint64_t len)
{
	const uint64_t one = 1;

	(void)ctx;
	(void)fd;
	memcpy((void *)(uintptr_t)buf, &one, sizeof(one));
	return (long)len;
}

/* A VMM that blocks migration and never lets go, and hears neither warnings nor requests. */
static void a_vmm_of_few_functions(void **state)
{
	struct backend_rig *rig = *state;
	const struct vfio_vmm vmm = {
		.ctx = rig, .alloc = rig_alloc, .free = rig_free, .block_migration = accept_blocker
	};
	struct vfio_device_options options;
	struct vfio_device *device;
	struct vfio_sys sys;
	struct vfio *vfio;
	char group[32];

	rig_start(rig);
	sys = rig->kernel_sys;
	sys.ctx = rig;
	sys.open = rig_open;
	sys.close = rig_close;
	sys.ioctl = rig_ioctl;
	sys.eventfd = rig_eventfd;
	sys.read = signal_all;
	vfio = vfio_new(&sys, &vmm);
	options = rig_options(rig, "d1", group);
	device = vfio_device_attach(vfio, rig->memory, &options, NULL);
	assert_non_null(device);
	vfio_device_poll(device);
	rig->fail_at = UINT64_MAX; /* the group may stay in its container */
	rig_answer(rig, VFIO_GROUP_UNSET_CONTAINER, -EBUSY, 1);
	vfio_device_detach(device);
	rig->fail_at = 0;
	vfio_free(vfio);
}

/* A VMM that comes to need discarding later may have it when the devices have gone. */
static void discarding_comes_back(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	assert_int_equal(rig->ref.discard_forbidden, 1);
	rig->ref.needs_discard = true;
	vfio_device_detach(device);
	assert_int_equal(rig->ref.discard_forbidden, 0);
	rig_refuses(rig, "d0", -EBUSY, "cannot forbid discarding of guest memory: in use");
}

/* ---- groups ---- */

static void answers_of_no_sense(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig_answer(rig, VFIO_GROUP_GET_STATUS, 1, 1);
	rig_refuses(rig, "d0", -EIO, "VFIO_GROUP_GET_STATUS: input/output error");
	rig_answer(rig, VFIO_SET_IOMMU, 1, 1);
	rig_refuses(rig, "d0", -EIO, "VFIO_SET_IOMMU type1v2: input/output error");
	rig_answer(rig, VFIO_GROUP_SET_CONTAINER, 1, 1);
	rig_refuses(rig, "d0", -EIO, "VFIO_GROUP_SET_CONTAINER: input/output error");
	rig_answer(rig, VFIO_GET_API_VERSION, VFIO_API_VERSION + 1, 1);
	rig_refuses(rig, "d0", -ENOTSUP, "VFIO_GET_API_VERSION: 1 instead of 0: not supported");
	rig_answer(rig, VFIO_GET_API_VERSION, -EIO, 1);
	rig_refuses(rig, "d0", -EIO, "VFIO_GET_API_VERSION: -5 instead of 0: input/output error");
}

/* A group that cannot share a container gets one of its own; the next device of it goes there. */
static void a_group_that_does_not_fit(void **state)
{
	struct backend_rig *rig = *state;
	const int codes[] = { -EINVAL, -EBUSY, -EPERM };
	const char *const texts[] = { "invalid argument", "in use", "operation not permitted" };

	rig->world.devices[2].group = rig->world.devices[1].group;
	rig_start(rig);
	for (int i = 0; i < 3; i++) {
		struct vfio_device *one = rig_attach(rig, "d0"), *two, *three;
		char text[96];

		snprintf(text, sizeof(text), "group %u cannot share a container: %s",
			 rig->world.devices[1].group, texts[i]);
		rig_answer(rig, VFIO_GROUP_SET_CONTAINER, codes[i], 1);
		two = rig_attach(rig, "d1");
		rig_warned(rig, 1, text);
		assert_ptr_not_equal(vfio_device_container(one), vfio_device_container(two));
		rig->watched = VFIO_GROUP_SET_CONTAINER;
		rig->seen = 0;
		three = rig_attach(rig, "d2");
		assert_ptr_equal(vfio_device_container(two), vfio_device_container(three));
		assert_int_equal(rig->seen, 0);
		assert_int_equal(rig->ref.warnings_seen, 0);
		vfio_device_detach(one);
		vfio_device_detach(two);
		vfio_device_detach(three);
		assert_int_equal(rig->ref.warnings_seen, 0);
	}
	/* Any other errno is a failure. */
	rig_attach(rig, "d0");
	rig_answer(rig, VFIO_GROUP_SET_CONTAINER, -ENOMEM, 1);
	rig_refuses(rig, "d1", -ENOMEM, "VFIO_GROUP_SET_CONTAINER: out of memory");
	assert_int_equal(rig->ref.warnings_seen, 0);
}

static void a_group_stays(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	char text[96];

	rig_start(rig);
	device = rig_attach(rig, "d0");
	rig->fail_at = UINT64_MAX; /* its node is closed all the same */
	rig_answer(rig, VFIO_GROUP_UNSET_CONTAINER, -EBUSY, 1);
	vfio_device_detach(device);
	rig->fail_at = 0;
	snprintf(text, sizeof(text), "group %u stays in its container: in use",
		 rig->world.devices[0].group);
	rig_warned(rig, 1, text);
}

/* ---- the reference VMM ---- */

static void blockers_of_the_reference(void **state)
{
	struct vfio_vmm_ref ref = { 0 };
	struct vfio_vmm vmm;
	uint64_t ids[VFIO_VMM_REF_MAX], more;

	(void)state;
	vfio_vmm_ref(&ref, &vmm);
	for (int i = 0; i < VFIO_VMM_REF_MAX; i++)
		assert_int_equal(vmm.block_migration(&ref, "r", VFIO_MODE_NORMAL, &ids[i]), 0);
	assert_int_equal(vmm.block_migration(&ref, "r", VFIO_MODE_NORMAL, &more), -ENOMEM);
	/* The last, the first, one that has gone, and one in the middle. */
	vmm.unblock_migration(&ref, ids[VFIO_VMM_REF_MAX - 1]);
	vmm.unblock_migration(&ref, ids[VFIO_VMM_REF_MAX - 1]);
	assert_int_equal(ref.next_blocker, VFIO_VMM_REF_MAX);
	vmm.unblock_migration(&ref, ids[0]);
	vmm.unblock_migration(&ref, ids[0]);
	vmm.unblock_migration(&ref, ids[VFIO_VMM_REF_MAX - 1]);
	vmm.unblock_migration(&ref, ids[30]);
	assert_int_equal(ref.blocker_count, VFIO_VMM_REF_MAX - 3);
	assert_int_equal(ref.next_blocker, VFIO_VMM_REF_MAX);
	for (uint32_t i = 0; i < ref.blocker_count; i++)
		assert_int_equal(ref.blockers[i].id, ids[i < 29 ? i + 1 : i + 2]);
	for (int i = 0; i < VFIO_VMM_REF_MAX; i++)
		vmm.unblock_migration(&ref, ids[i]);
	assert_int_equal(ref.blocker_count, 0);
	vmm.unblock_migration(&ref, ids[5]);
	assert_int_equal(ref.blocker_count, 0);
}

static void states_of_the_reference(void **state)
{
	struct vfio_vmm_ref ref = { 0 };
	struct vfio_vmstate states[VFIO_VMM_REF_MAX];
	char names[VFIO_VMM_REF_MAX][16];
	struct vfio_vmm vmm;

	(void)state;
	vfio_vmm_ref(&ref, &vmm);
	memset(states, 0, sizeof(states));
	for (int i = 0; i < VFIO_VMM_REF_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "%d", i);
		states[i].name = names[i];
		assert_int_equal(vmm.register_state(&ref, &states[i]), 0);
	}
	vmm.unregister_state(&ref, &states[VFIO_VMM_REF_MAX - 1]);
	vmm.unregister_state(&ref, &states[VFIO_VMM_REF_MAX - 1]);
	assert_int_equal(ref.errors_seen, 0);
	assert_int_equal(ref.requests_seen, 0);
	vmm.unregister_state(&ref, &states[0]);
	vmm.unregister_state(&ref, &states[0]);
	vmm.unregister_state(&ref, &states[VFIO_VMM_REF_MAX - 1]);
	assert_int_equal(ref.state_count, VFIO_VMM_REF_MAX - 2);
	for (uint32_t i = 0; i < ref.state_count; i++)
		assert_ptr_equal(ref.states[i], &states[i + 1]);
	for (int i = 0; i < VFIO_VMM_REF_MAX; i++)
		vmm.unregister_state(&ref, &states[i]);
	vmm.unregister_state(&ref, &states[5]);
	assert_int_equal(ref.state_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(descriptor_zero),
		LEGACY_STORY(a_vmm_of_few_functions),
		LEGACY_STORY(discarding_comes_back),
		LEGACY_STORY(answers_of_no_sense),
		LEGACY_STORY(a_group_that_does_not_fit),
		LEGACY_STORY(a_group_stays),
		cmocka_unit_test(blockers_of_the_reference),
		cmocka_unit_test(states_of_the_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
