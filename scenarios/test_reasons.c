/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a program is told when attaching fails: the errno, a sentence that says what was tried and
 * why it failed, and where there is one a hint. Word by word, since people act on it.
 */
#include "backend_rig.h"

static const struct {
	int code;
	const char *text;
} texts[] = {
	{ EACCES, "permission denied" },
	{ EBUSY, "in use" },
	{ E2BIG, "too large" },
	{ EFAULT, "bad address" },
	{ EINVAL, "invalid argument" },
	{ ENOMEM, "out of memory" },
	{ ENOTTY, "the kernel does not know this request" },
	{ EPERM, "operation not permitted" },
	{ ERANGE, "out of range" },
	{ ESRCH, "no such process" },
	{ EXFULL, "error 54" },
};

static void each_errno_has_its_words(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_options options;
	struct vfio_error error;
	char group[32], wanted[256];

	rig_start(rig);
	options = rig_options(rig, "d0", group);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		rig_answer(rig, VFIO_GROUP_GET_STATUS, -texts[i].code, 1);
		assert_null(rig_try(rig, rig->memory, &options, &error));
		assert_int_equal(error.code, -texts[i].code);
		snprintf(wanted, sizeof(wanted), "device d0: group %s: VFIO_GROUP_GET_STATUS: %s",
			 group, texts[i].text);
		assert_string_equal(error.message, wanted);
		assert_string_equal(error.hint, "");
	}
	/* An answer that is no answer. */
	rig_answer(rig, VFIO_GROUP_GET_STATUS, 1, 1);
	rig_refused(rig, rig->memory, &options, -EIO, "VFIO_GROUP_GET_STATUS");
}

/* The first call that attaching makes opens the group; the third or so the container. */
static void expect_hint(struct backend_rig *rig, uint64_t nth, int code, const char *hint)
{
	struct vfio_device_options options;
	struct vfio_error error;
	char group[32];

	options = rig_options(rig, "d0", group);
	rig->calls = 0;
	rig->fail_at = nth;
	rig->fail_code = code;
	memset(&error, 0xff, sizeof(error)); /* what was there before is not kept */
	assert_null(vfio_device_attach(rig->vfio, rig->memory, &options, &error));
	assert_int_equal(error.code, code);
	if (hint)
		assert_non_null(strstr(error.hint, hint));
	else
		assert_string_equal(error.hint, "");
	/* Nobody needs to listen. */
	rig->calls = 0;
	assert_null(vfio_device_attach(rig->vfio, rig->memory, &options, NULL));
	rig->fail_at = 0;
	rig->fail_code = 0;
}

/* Number of the call that opens the node whose name ends so, from 1. */
static uint64_t opening;
static const char *looked_for;

static int look_at_open(void *ctx, const char *path)
{
	struct backend_rig *rig = ctx;
	int ret = rig_open(ctx, path);
	size_t len = strlen(path), wanted = strlen(looked_for);

	if (!opening && len >= wanted && !strcmp(path + len - wanted, looked_for))
		opening = rig->calls;
	return ret;
}

/* A stack of its own finds out which call it is. */
static uint64_t call_that_opens(struct backend_rig *rig, const char *name)
{
	struct vfio_sys sys = rig->kernel_sys;
	struct vfio_vmm vmm = { .ctx = rig, .alloc = rig_alloc, .free = rig_free };
	struct vfio_device_options options;
	struct vfio *vfio;
	char group[32];

	options = rig_options(rig, "d0", group);
	looked_for = name ? name : group;
	opening = 0;
	sys.ctx = rig;
	sys.open = look_at_open;
	sys.close = rig_close;
	sys.ioctl = rig_ioctl;
	sys.eventfd = rig_eventfd;
	vfio = vfio_new(&sys, &vmm);
	assert_non_null(vfio);
	rig->calls = 0;
	vfio_device_detach(vfio_device_attach(vfio, rig->memory, &options, NULL));
	vfio_free(vfio);
	assert_true(opening);
	return opening;
}

static void hints_say_what_to_do(void **state)
{
	struct backend_rig *rig = *state;
	uint64_t group, container;

	rig_start(rig);
	group = call_that_opens(rig, NULL);
	container = call_that_opens(rig, "/vfio/vfio");
	expect_hint(rig, group, -ENOENT, "bind the devices");
	expect_hint(rig, group, -EBUSY, "another program");
	expect_hint(rig, group, -EACCES, "may not open it");
	expect_hint(rig, group, -EPERM, "may not open it");
	expect_hint(rig, group, -ENFILE, NULL);
	expect_hint(rig, container, -ENOENT, "load the kernel module vfio");
	expect_hint(rig, container, -EACCES, NULL);
}

static void lame_group(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_group_status *status = arg;

	(void)rig;
	if (request == VFIO_GROUP_GET_STATUS && !*ret)
		status->flags &= ~(uint32_t)VFIO_GROUP_FLAGS_VIABLE;
}

static void hints_of_groups(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_options options;
	struct vfio_error error;
	char group[32];

	rig_start(rig);
	options = rig_options(rig, "d0", group);
	rig->after = lame_group;
	assert_null(rig_try(rig, rig->memory, &options, &error));
	assert_int_equal(error.code, -EPERM);
	assert_non_null(strstr(error.hint, "every device of the group"));
	rig->after = NULL;
	options.name = "nobody";
	assert_null(rig_try(rig, rig->memory, &options, &error));
	assert_int_equal(error.code, -ENODEV);
	assert_non_null(strstr(error.hint, "no such device"));
	options.name = "d0";
	rig_answer(rig, VFIO_GROUP_GET_DEVICE_FD, -EBUSY, 1);
	assert_null(rig_try(rig, rig->memory, &options, &error));
	assert_int_equal(error.code, -EBUSY);
	assert_string_equal(error.hint, "");
}

static void names_of_groups(void **state)
{
	static const char *const bad[] = { ".", "../1", "1/2", "a/" };
	struct backend_rig *rig = *state;
	struct vfio_device_options options;
	char group[32], name[640];
	struct vfio_error error;

	rig_start(rig);
	options = rig_options(rig, "d0", group);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		options.group = bad[i];
		rig_refused(rig, rig->memory, &options, -EINVAL, "group");
	}
	/* A name as long as can be is looked for, a longer one is not. */
	options.group = name;
	memset(name, 'x', sizeof(name));
	for (size_t len = sizeof(name) - 1; len; len--) {
		name[len] = 0;
		error.code = 0;
		assert_null(vfio_device_attach(rig->vfio, rig->memory, &options, &error));
		assert_true(error.code == -EINVAL || error.code == -ENOENT);
		if (error.code == -ENOENT)
			break;
		assert_string_equal(error.hint, "");
		assert_true(strlen(error.message) < sizeof(error.message));
		assert_int_equal(strncmp(error.message, "device d0: group xx", 19), 0);
		/* The reason comes last, and is not cut off where there is room for it. */
		if (len <= 150)
			assert_string_equal(error.message + 17 + len, ": invalid argument");
	}
	assert_int_equal(strlen(name), 31);
	assert_non_null(strstr(error.message, name));
	assert_non_null(strstr(error.hint, "bind the devices"));
}

static void answers_that_are_none(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig_answer(rig, VFIO_GET_API_VERSION, 1, 1);
	rig_refuses(rig, "d0", -ENOTSUP, "1 instead of 0");
	rig_answer(rig, VFIO_GET_API_VERSION, -EPERM, 1);
	rig_refuses(rig, "d0", -EPERM, "VFIO_GET_API_VERSION");
	rig_answer(rig, VFIO_GROUP_SET_CONTAINER, 3, 1);
	rig_refuses(rig, "d0", -EIO, "VFIO_GROUP_SET_CONTAINER");
	rig_answer(rig, VFIO_GROUP_SET_CONTAINER, -EBUSY, 1);
	rig_refuses(rig, "d0", -EBUSY, "VFIO_GROUP_SET_CONTAINER");
	rig_answer(rig, VFIO_SET_IOMMU, 3, 1);
	rig_refuses(rig, "d0", -EIO, "VFIO_SET_IOMMU");
	rig_answer(rig, VFIO_DEVICE_GET_INFO, -EIO, 1);
	rig_refuses(rig, "d0", -EIO, "VFIO_DEVICE_GET_INFO");
}

static int spare; /* descriptor 0, until the group is in its container */

static void free_zero(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	(void)arg;
	(void)ret;
	if (request == VFIO_GROUP_SET_CONTAINER && !spare) {
		assert_int_equal(rig->kernel_sys.close(rig->kernel_sys.ctx, 0), 0);
		spare = -1;
	}
}

/* A descriptor of 0 is as good as any. */
static void descriptor_zero(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_facts facts;

	rig_start(rig);
	spare = rig->kernel_sys.eventfd(rig->kernel_sys.ctx);
	assert_int_equal(spare, 0);
	rig->after = free_zero;
	vfio_device_facts(rig_attach(rig, "d0"), &facts);
	assert_int_equal(facts.fd, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(each_errno_has_its_words), LEGACY_STORY(hints_say_what_to_do),
		LEGACY_STORY(hints_of_groups),		LEGACY_STORY(names_of_groups),
		LEGACY_STORY(answers_that_are_none),	LEGACY_STORY(descriptor_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
