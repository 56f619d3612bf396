/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The notifications of a device ("I failed", "give me back"): set up where the device has them,
 * read when the VMM polls, and told to a VMM that wants to know.
 */
#include "backend_rig.h"

static uint32_t no_irq; /* what GET_IRQ_INFO takes away: 1 the vectors, 2 the flags */

static void take_irq(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_irq_info *info = arg;
	struct vfio_device_info *device = arg;

	(void)ret;
	if (request == VFIO_DEVICE_GET_INFO && rig->answer)
		device->flags &= ~(uint32_t)VFIO_DEVICE_FLAGS_PCI;
	if (request != VFIO_DEVICE_GET_IRQ_INFO)
		return;
	if (no_irq == 1)
		info->count = 0;
	if (no_irq == 2)
		info->flags = 0;
}

static void notifications_where_there_are_any(void **state)
{
	struct backend_rig *rig = *state;
	uint64_t with, without;

	rig_start(rig);
	rig->after = take_irq;
	no_irq = 0;
	rig_attach(rig, "d1");
	with = vfake_ledger(rig->kernel).descriptors;
	for (no_irq = 1; no_irq <= 2; no_irq++) {
		rig_end_stack(rig);
		rig_new_stack(rig);
		rig_attach(rig, "d1");
		without = vfake_ledger(rig->kernel).descriptors;
		assert_int_equal(with - without, 2);
	}
	/* Of what is no PCI device nobody asks. */
	rig_end_stack(rig);
	rig_new_stack(rig);
	no_irq = 0;
	rig->answer = 1;
	rig->watched = VFIO_DEVICE_GET_IRQ_INFO;
	rig->seen = 0;
	rig_attach(rig, "d1");
	assert_int_equal(rig->seen, 0);
	rig->after = NULL;
}

static void each_eventfd_may_be_missing(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_options options;
	struct vfio_error error;
	uint32_t missing = 0;
	char group[32];

	rig_start(rig);
	options = rig_options(rig, "d1", group);
	rig->fail_code = -ENFILE;
	for (uint64_t nth = 1;; nth++) {
		struct vfio_device *device;

		rig->calls = 0;
		rig->fail_at = nth;
		device = rig_try(rig, rig->memory, &options, &error);
		rig->fail_at = 0;
		missing += !device && error.code == -EMFILE;
		if (device)
			vfio_device_detach(device);
		if (rig->calls < nth)
			break;
	}
	assert_int_equal(missing, 2);
}

static struct {
	uint64_t errors, requests;
	uint64_t count; /* what is in the eventfds */
	long bytes;	/* what reading them says */
	uint32_t reads;
} told;

static void tell_error(void *ctx, const char *device)
{
	(void)ctx;
	assert_string_equal(device, "d1");
	told.errors++;
}

static void tell_request(void *ctx, const char *device)
{
	(void)ctx;
	assert_string_equal(device, "d1");
	told.requests++;
}

static long read_eventfd(void *ctx, int fd, uint64_t buf, uint64_t len)
{
	(void)ctx;
	assert_true(fd >= 0);
	assert_int_equal(len, sizeof(told.count));
	memcpy((void *)(uintptr_t)buf, &told.count, sizeof(told.count));
	return told.reads++ % 2 ? 0 : told.bytes;
}

/* A device of a stack of its own, whose VMM wants to know. */
static void poll_once(struct backend_rig *rig, bool listens, uint64_t count, long bytes)
{
	struct vfio_vmm vmm = { .ctx = rig, .alloc = rig_alloc, .free = rig_free };
	struct vfio_sys sys = rig->kernel_sys;
	struct vfio_device_options options;
	struct vfio_device *device;
	struct vfio *vfio;
	char group[32];

	memset(&told, 0, sizeof(told));
	told.count = count;
	told.bytes = bytes;
	if (listens) {
		vmm.device_error = tell_error;
		vmm.device_request = tell_request;
	}
	sys.ctx = rig;
	sys.open = rig_open;
	sys.close = rig_close;
	sys.ioctl = rig_ioctl;
	sys.eventfd = rig_eventfd;
	sys.read = read_eventfd;
	options = rig_options(rig, "d1", group);
	vfio = vfio_new(&sys, &vmm);
	device = vfio_device_attach(vfio, rig->memory, &options, NULL);
	assert_non_null(device);
	vfio_device_poll(device);
	vfio_device_detach(device);
	vfio_free(vfio);
}

static void who_is_told(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	poll_once(rig, true, 1, 8); /* the first has something, the second not */
	assert_int_equal(told.errors, 1);
	assert_int_equal(told.requests, 0);
	assert_int_equal(told.reads, 2);
	poll_once(rig, true, 0, 8);
	assert_int_equal(told.errors, 0);
	poll_once(rig, true, 1, 4);
	assert_int_equal(told.errors, 0);
	poll_once(rig, true, 1, -EAGAIN);
	assert_int_equal(told.errors, 0);
	poll_once(rig, false, 1, 8); /* nobody listens */
	/* Without notifications nothing is read. */
	rig->after = take_irq;
	no_irq = 1;
	poll_once(rig, true, 1, 8);
	rig->after = NULL;
	no_irq = 0;
	assert_int_equal(told.reads, 0);
	assert_int_equal(told.errors, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(notifications_where_there_are_any),
		LEGACY_STORY(each_eventfd_may_be_missing),
		LEGACY_STORY(who_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
