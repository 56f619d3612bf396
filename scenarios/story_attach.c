/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices come and go: alone and together, in every order, in one address space and in several.
 */
#include <errno.h>

#include <vfio/cpr.h>

#include "stories.h"

enum { MIB = 1 << 20 };

/* The orders of three. */
static const unsigned int orders[6][3] = {
	{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
};

static void run_one_device(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct vfio_container_info info;
	struct vfake_device_view view;

	stage_mark(stage);
	for (int round = 0; round < 3; round++) {
		vfio_container_info(vfio_device_container(stage_attach(stage, 0)), &info);
		view = stage_view(stage, 0);
		assert_int_equal(view.open_count, 1);
		assert_int_equal(view.manager, stage->backend->manager);
		assert_int_equal(view.cdev_opened, stage->backend->kind == VFIO_BACKEND_IOMMUFD);
		assert_int_equal(info.devices, 1);
		assert_int_equal(info.backend, stage->backend->kind);
		assert_int_equal(info.dirty_tracking,
				 !backend_lacks(stage->backend, NEEDS_TRACKING));
		if (!stage->backend->noiommu)
			stage_expect_reach(stage, 0, ram->region.start, MIB, ram->host, true);
		stage_detach(stage, 0);
		stage_expect_mark(stage);
		stage_expect_empty(stage);
	}
}

const struct story story_one_device = {
	.name = "attach-one",
	.about = "a device is attached, reaches guest memory, and is detached, three times over",
	.run = run_one_device,
};

/* Who is attached reaches all of @ram; who is not reaches nothing. */
static void expect_all(struct stage *stage, const struct stage_ram *ram)
{
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		struct vfake_device_view view = stage_view(stage, i);

		assert_int_equal(view.open_count, stage->devices[i] ? 1 : 0);
		if (!stage->devices[i])
			assert_false(view.translated);
		else if (!stage->backend->noiommu)
			stage_expect_reach(stage, i, ram->region.start, MIB, ram->host, true);
	}
}

static void play_order(struct stage *stage, const struct stage_ram *ram, unsigned int count,
		       const unsigned int *in, const unsigned int *out)
{
	for (unsigned int i = 0; i < count; i++) {
		stage_attach(stage, in[i]);
		expect_all(stage, ram);
	}
	for (unsigned int i = 0; i < count; i++) {
		stage_detach(stage, out[i]);
		expect_all(stage, ram);
	}
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

static void run_every_order(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);

	stage_mark(stage);
	for (unsigned int in = 0; in < 6; in++) {
		for (unsigned int out = 0; out < 6; out++)
			play_order(stage, ram, 3, orders[in], orders[out]);
	}
	play_order(stage, ram, 2, (const unsigned int[]){ 0, 1 }, (const unsigned int[]){ 1, 0 });
	play_order(stage, ram, 2, (const unsigned int[]){ 0, 1 }, (const unsigned int[]){ 0, 1 });
}

const struct story story_every_order = {
	.name = "attach-every-order",
	.about = "three devices of one address space come and go in each of the 36 orders",
	.run = run_every_order,
};

static void run_spaces(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct vfio_memory *space = stage_space(stage);
	struct vfio_memory_region region = ram->region;
	struct stage_ram *other;

	region.vaddr = 0;
	region.last = region.start + (MIB / 2 - 1);
	other = stage_add(stage, space, &region);
	/* What the second space needs goes with its last device, while the first one stays. */
	stage_attach(stage, 0);
	stage_mark(stage);
	for (int round = 0; round < 2; round++) {
		stage_attach_to(stage, 1, space);
		stage_detach(stage, 1);
		stage_expect_mark(stage);
	}
	stage_attach_to(stage, 1, space);
	stage_attach_to(stage, 2, space);
	assert_ptr_not_equal(vfio_device_container(stage->devices[0]),
			     vfio_device_container(stage->devices[1]));
	stage_expect_reach(stage, 0, region.start, MIB, ram->host, true);
	stage_expect_reach(stage, 1, region.start, MIB / 2, other->host, true);
	stage_expect_reach(stage, 2, region.start, MIB / 2, other->host, true);
	stage_expect_fault(stage, 1, region.start + MIB / 2, MIB / 2);
	/* A device changes sides. */
	stage_detach(stage, 1);
	stage_attach(stage, 1);
	stage_expect_reach(stage, 1, region.start, MIB, ram->host, true);
	stage_expect_reach(stage, 2, region.start, MIB / 2, other->host, true);
	stage_detach(stage, 0);
	stage_expect_reach(stage, 1, region.start, MIB, ram->host, true);
	stage_detach(stage, 2);
	assert_false(stage_reaches(stage, 2, region.start));
	stage_detach(stage, 1);
	stage_expect_empty(stage);
}

const struct story story_spaces = {
	.name = "attach-spaces",
	.about = "devices of two address spaces reach what is theirs, and one changes sides",
	.run = run_spaces,
	.needs = NEEDS_MAPS,
};

static void run_sharing(struct stage *stage)
{
	struct vfio_container_info info;

	stage_ram(stage, stage->backend->ram, MIB);
	stage_mark(stage);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		stage_attach(stage, i);
	for (unsigned int i = 1; i < STAGE_DEVICES; i++) {
		assert_ptr_equal(vfio_device_container(stage->devices[0]),
				 vfio_device_container(stage->devices[i]));
		if (!stage->backend->noiommu)
			assert_true(vfake_view_same_domain(stage->kernel, stage_name(0),
							   stage_name(i)));
	}
	vfio_container_info(vfio_device_container(stage->devices[0]), &info);
	assert_int_equal(info.devices, STAGE_DEVICES);
	assert_int_equal(stage_view(stage, 2).mappings, info.mappings);
	/* One container, so discarding is forbidden once. */
	assert_int_equal(stage->ref.discard_forbidden, 1);
	stage_detach(stage, 1);
	stage_detach(stage, 0);
	assert_int_equal(stage->ref.discard_forbidden, 1);
	assert_int_equal(stage_view(stage, 2).mappings, info.mappings);
	stage_detach(stage, 2);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_sharing = {
	.name = "attach-sharing",
	.about = "devices of one address space share a container; the last one out takes it along",
	.run = run_sharing,
	.needs = NEEDS_SHARING,
};

/* The attach fails with one of two codes and has left nothing. */
static void expect_refusal(struct stage *stage, const struct vfio_device_options *options, int code)
{
	struct vfio_error error;

	assert_false(stage_try_attach(stage, 0, stage->memory, options, &error));
	if (error.code != code)
		fail_msg("%d instead of %d: %s", error.code, code, error.message);
	stage_expect_mark(stage);
}

/* Somebody else has the node. */
static void expect_busy(struct stage *stage, const struct vfio_device_options *options)
{
	struct vfio_error error;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/%s", options->group);
	fd = stage->raw.open(stage->raw.ctx, path);
	assert_true(fd >= 0);
	assert_false(stage_try_attach(stage, 0, stage->memory, options, &error));
	assert_int_equal(error.code, -EBUSY);
	assert_int_equal(stage->raw.close(stage->raw.ctx, fd), 0);
	stage_expect_mark(stage);
}

/* Somebody else has the server, which has time for one. */
static void expect_no_answer(struct stage *stage, const struct vfio_device_options *options)
{
	struct vfio_error error;
	int fd = stage->raw.connect(stage->raw.ctx, options->socket);

	assert_true(fd >= 0);
	stage_view(stage, 0);
	assert_false(stage_try_attach(stage, 0, stage->memory, options, &error));
	assert_int_equal(error.code, -ETIMEDOUT);
	assert_int_equal(stage->raw.close(stage->raw.ctx, fd), 0);
	stage_expect_mark(stage);
}

static void run_refused(struct stage *stage)
{
	bool cdev = stage->backend->kind == VFIO_BACKEND_IOMMUFD;
	bool user = stage->backend->kind == VFIO_BACKEND_USER;
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error error;

	stage_ram(stage, stage->backend->ram, MIB);
	stage_mark(stage);
	options.name = "";
	expect_refusal(stage, &options, -EINVAL);
	options = stage_options(stage, 0);
	options.backend = (enum vfio_backend)77;
	expect_refusal(stage, &options, -EINVAL);
	options = stage_options(stage, 0);
	options.group = options.cdev = options.socket = NULL;
	expect_refusal(stage, &options, -EINVAL);
	options.group = options.cdev = options.socket = cdev ? "vfio99" : "99";
	expect_refusal(stage, &options, -ENOENT);
	options = stage_options(stage, 0);
	if (!cdev && !user) { /* a group that does not have the device */
		options.group = stage_options(stage, 1).group;
		expect_refusal(stage, &options, -ENODEV);
	}
	stage_attach(stage, 1);
	options = stage_options(stage, 0);
	options.name = stage_name(1);
	assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
	assert_int_equal(error.code, -EEXIST);
	stage_detach(stage, 1);
	stage_expect_mark(stage);
	options = stage_options(stage, 0);
	if (user)
		expect_no_answer(stage, &options);
	else
		expect_busy(stage, &options);
	stage_attach(stage, 0);
	stage_detach(stage, 0);
	stage_expect_mark(stage);
}

const struct story story_refused = {
	.name = "attach-refused",
	.about = "wrong names and nodes, a name twice, a device that somebody has: reason and no "
		 "trace",
	.run = run_refused,
};

static void run_policies(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 0);

	stage_ram(stage, stage->backend->ram, MIB);
	stage_mark(stage);
	stage->ref.needs_discard = true;
	expect_refusal(stage, &options, -EBUSY);
	options.may_discard = true;
	{
		struct vfio_error error;

		assert_true(stage_try_attach(stage, 0, stage->memory, &options, &error));
		assert_int_equal(stage->ref.discard_forbidden, 0);
		stage_detach(stage, 0);
	}
	stage_expect_mark(stage);
	stage->ref.needs_discard = false;
	/* The engine cannot be migrated: it blocks migration, or does not come in. */
	stage_attach(stage, 0);
	assert_int_equal(blockers_of(stage, VFIO_MODE_NORMAL, NULL), 1);
	assert_int_equal(stage->ref.discard_forbidden, 1);
	stage_attach(stage, 1);
	assert_int_equal(blockers_of(stage, VFIO_MODE_NORMAL, NULL), 2);
	stage_detach(stage, 0);
	assert_int_equal(blockers_of(stage, VFIO_MODE_NORMAL, NULL), 1);
	stage_detach(stage, 1);
	stage_expect_mark(stage);
	stage->ref.only_migratable = true;
	options = stage_options(stage, 0);
	expect_refusal(stage, &options, -EACCES);
	stage->ref.only_migratable = false;
	stage_attach(stage, 0);
	stage_detach(stage, 0);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_policies = {
	.name = "attach-policies",
	.about = "a VMM that needs discarding or only takes migratable devices refuses, and is "
		 "obeyed",
	.run = run_policies,
};

/* A descriptor that was passed in: the program's until the device is attached. */
static void run_passed_fds(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 0);
	int lowest = stage->raw.open(stage->raw.ctx, "/dev/iommu");
	struct vfake_file_view view;
	struct vfio_error error;
	char path[64];

	assert_true(lowest >= 0); /* 0 is nobody's, as in a program that has its input there */
	stage_ram(stage, stage->backend->ram, MIB);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", options.cdev);
	options.cdev = NULL;
	options.iommufd = stage->raw.open(stage->raw.ctx, "/dev/iommu");
	options.device_fd = stage->raw.open(stage->raw.ctx, path);
	assert_true(options.device_fd > 0 && options.iommufd > 0);
	stage->ref.needs_discard = true;
	for (int round = 0; round < 2; round++) {
		assert_false(stage_try_attach(stage, 0, stage->memory, &options, &error));
		assert_int_equal(error.code, -EBUSY);
		assert_int_equal(vfake_view_file(stage->task, options.device_fd, &view), 0);
		assert_string_equal(view.kind, "device");
		/* The kernel binds a descriptor once, so that one is spent. */
		assert_int_equal(stage->raw.close(stage->raw.ctx, options.device_fd), 0);
		if (round)
			stage_expect_mark(stage);
		stage_mark(stage); /* with the iommufd's table of objects, which stays */
		options.device_fd = stage->raw.open(stage->raw.ctx, path);
	}
	stage->ref.needs_discard = false;
	assert_true(stage_try_attach(stage, 0, stage->memory, &options, &error));
	stage_detach(stage, 0);
	assert_int_equal(vfake_view_file(stage->task, options.device_fd, &view), -EBADF);
	assert_int_equal(vfake_view_file(stage->task, options.iommufd, &view), 0);
	assert_int_equal(view.references, 1);
	/* Nothing of the stack's is left in the program's iommufd. */
	stage_expect_mark(stage);
	assert_int_equal(stage->raw.close(stage->raw.ctx, options.iommufd), 0);
	assert_int_equal(stage->raw.close(stage->raw.ctx, lowest), 0);
	stage_expect_empty(stage);
}

const struct story story_passed_fds = {
	.name = "attach-passed-fds",
	.about = "a device and an iommufd that were passed in as descriptors, and whose they are",
	.unswept = "Linux binds a device for as long as its descriptor is open, and this one stays",
	.run = run_passed_fds,
	.needs = NEEDS_CDEV,
};

/* Each call of the attach fails: the device, which stays open, has nothing on and can go. */
static void run_passed_fails(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 0);
	int lowest = stage->raw.open(stage->raw.ctx, "/dev/iommu");
	struct vfake_file_view view;
	struct vfio_error error;
	char path[64];

	assert_true(lowest >= 0); /* 0 is nobody's */
	stage_ram(stage, stage->backend->ram, MIB);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", options.cdev);
	options.cdev = NULL;
	for (uint64_t nth = 1; nth == 1 || stage->fail_call.hit; nth++) {
		options.device_fd = stage->raw.open(stage->raw.ctx, path);
		stage->fail_call = (struct stage_fault){ .at = nth, .code = -ENOMEM };
		if (stage_try_attach(stage, 0, stage->memory, &options, &error)) {
			stage_detach(stage, 0);
			assert_int_equal(vfake_view_file(stage->task, options.device_fd, &view),
					 -EBADF);
			continue; /* it can do without that call, or there were not so many */
		}
		assert_int_equal(error.code, -ENOMEM);
		assert_int_equal(vfake_view_file(stage->task, options.device_fd, &view), 0);
		assert_int_equal(view.references, 1);
		assert_int_equal(stage->raw.close(stage->raw.ctx, options.device_fd), 0);
		stage_expect_empty(stage);
	}
	assert_in_range(stage->fail_call.at, 8, 63);
	assert_int_equal(stage->raw.close(stage->raw.ctx, lowest), 0);
	stage_expect_empty(stage);
}

const struct story story_passed_fails = {
	.name = "attach-passed-fails",
	.about = "a device that was passed in and could not be attached stays open, with nothing "
		 "on",
	.unswept = "it makes each call of the attach fail itself",
	.run = run_passed_fails,
	.needs = NEEDS_CDEV,
};

static void run_two_stacks(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct vfio_device_options options = stage_options(stage, 1);
	struct vfio_error error = { 0 };
	struct vfio_device *device;
	struct vfio *second;

	stage_mark(stage);
	second = vfio_new(&stage->sys, &stage->vmm);
	assert_non_null(second);
	assert_true(vfio_cpr_name(second, "second", &error));
	stage_attach(stage, 0);
	device = vfio_device_attach(second, stage->memory, &options, &error);
	assert_non_null(device);
	assert_false(stage->backend->noiommu
			     ? false
			     : vfake_view_same_domain(stage->kernel, stage_name(0), stage_name(1)));
	/* The first one's device is not to be had by the second. */
	options = stage_options(stage, 0);
	assert_null(vfio_device_attach(second, stage->memory, &options, &error));
	assert_true(error.code < 0);
	stage_detach(stage, 0);
	if (!stage->backend->noiommu) {
		stage_expect_reach(stage, 1, ram->region.start, MIB, ram->host, true);
		stage_ram_out(ram);
		stage_expect_fault(stage, 1, ram->region.start, MIB);
		stage_ram_in(ram);
		stage_expect_reach(stage, 1, ram->region.start, MIB, ram->host, true);
	}
	vfio_free(second); /* detaches by itself */
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_two_stacks = {
	.name = "attach-two-stacks",
	.about = "two instances of the stack in one process do not know of each other",
	.run = run_two_stacks,
};

/* ---- groups of several, and backends of several kinds ---- */

static void one_group(struct vfake_world *world)
{
	for (uint32_t i = 1; i < STAGE_DEVICES; i++)
		world->devices[i].group = world->devices[0].group;
}

static void run_company(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct vfio_memory *space = stage_space(stage);
	struct vfio_device_options options = stage_options(stage, 2);
	struct vfio_error error;

	stage_mark(stage);
	for (unsigned int out = 0; out < 6; out++) {
		for (unsigned int i = 0; i < STAGE_DEVICES; i++)
			stage_attach(stage, orders[5 - out][i]);
		for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
			assert_ptr_equal(vfio_device_container(stage->devices[0]),
					 vfio_device_container(stage->devices[i]));
			stage_expect_reach(stage, i, ram->region.start, MIB, ram->host, true);
		}
		for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
			assert_true(stage_view(stage, orders[out][i]).translated);
			stage_detach(stage, orders[out][i]);
		}
		stage_expect_mark(stage);
	}
	/* They cannot be told apart, so none of them can be in another address space. */
	stage_attach(stage, 0);
	assert_false(stage_try_attach(stage, 2, space, &options, &error));
	stage_expect_reach(stage, 0, ram->region.start, MIB, ram->host, true);
	stage_attach(stage, 1);
	stage_detach(stage, 0);
	stage_detach(stage, 1);
	assert_true(stage_try_attach(stage, 2, space, &options, &error));
	stage_detach(stage, 2);
	stage_expect_mark(stage);
	stage_expect_empty(stage);
}

const struct story story_company = {
	.name = "attach-one-group",
	.about = "three devices of one group share it and a container, and no other address space",
	.run = run_company,
	.needs = NEEDS_MAPS | NEEDS_COMPANY,
	.prepare = one_group,
};

static void run_mixed(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);
	struct vfio_device_options other = stage_options(stage, 1);
	struct vfio_container_info info;
	struct vfio_error error;

	stage_mark(stage);
	other.backend = stage->backend->kind == VFIO_BACKEND_IOMMUFD ? VFIO_BACKEND_LEGACY
								     : VFIO_BACKEND_IOMMUFD;
	other.type1_v1 = false;
	for (int round = 0; round < 2; round++) {
		if (!round)
			stage_attach(stage, 0);
		assert_true(stage_try_attach(stage, 1, stage->memory, &other, &error));
		if (round)
			stage_attach(stage, 0);
		stage_attach(stage, 2);
		vfio_container_info(vfio_device_container(stage->devices[1]), &info);
		assert_int_equal(info.backend, other.backend);
		assert_int_equal(info.devices, 1);
		assert_ptr_equal(vfio_device_container(stage->devices[0]),
				 vfio_device_container(stage->devices[2]));
		assert_int_equal(stage->ref.discard_forbidden, 2);
		expect_all(stage, ram);
		stage_ram_out(ram);
		for (unsigned int i = 0; i < STAGE_DEVICES; i++)
			assert_int_equal(stage_view(stage, i).mappings, 0);
		stage_ram_in(ram);
		expect_all(stage, ram);
		stage_detach(stage, 0);
		stage_detach(stage, round ? 1 : 2);
		expect_all(stage, ram);
		stage_detach(stage, round ? 2 : 1);
		stage_expect_mark(stage);
	}
	stage_expect_empty(stage);
}

const struct story story_mixed = {
	.name = "attach-mixed",
	.about =
		"devices of two kinds of backend in one address space keep to their own containers",
	.run = run_mixed,
	.needs = NEEDS_MAPS | NEEDS_MIXING,
};
