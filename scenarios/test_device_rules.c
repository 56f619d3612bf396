/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rules that hold for every device: what is asked of the kernel and what is not, what is told of a
 * call that fails, answers of no sense, and streams.
 */
#include "backend_rig.h"

enum {
	BAR0 = VFIO_PCI_BAR0_REGION_INDEX,
	CONFIG = VFIO_PCI_CONFIG_REGION_INDEX,
	TYPE = 0x80001234
};

/* ---- regions ---- */

/* A region that the device does not have is not asked for. */
static void regions_behind_the_last(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device_facts facts;
	struct vfio_device *device;
	struct vfio_region region;
	struct vfio_error error;
	uint8_t byte = 0;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	vfio_device_facts(device, &facts);
	rig->watched = VFIO_DEVICE_GET_REGION_INFO;
	rig->seen = 0;
	assert_false(vfio_device_region(device, facts.regions, &region, &error));
	assert_non_null(strstr(error.message, "d0 has no region"));
	assert_int_equal(error.code, -EINVAL);
	error.message[0] = 0;
	assert_false(vfio_device_read(device, facts.regions, 0, &byte, 1, &error));
	assert_non_null(strstr(error.message, "d0 has no region"));
	error.message[0] = 0;
	assert_false(vfio_device_post(device, facts.regions, 0, &byte, 1, &error));
	assert_non_null(strstr(error.message, "d0 has no region"));
	assert_int_equal(rig->seen, 0);
}

/* A type that no region is known to have is not found, whatever was there before. */
static void types_of_regions_that_are_not_told(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_region region = { .type = TYPE, .subtype = 7 };
	struct vfio_device *device;
	struct vfio_error error;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	rig_answer(rig, VFIO_DEVICE_GET_REGION_INFO, -EIO, 1000);
	assert_false(vfio_device_region_by_type(device, TYPE, 7, &region, &error));
	assert_int_equal(error.code, -ENODEV);
	rig_answer(rig, 0, 0, 0);
}

static void posted_writes(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;
	uint32_t value = 0;
	uint16_t command = 2;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	assert_true(vfio_device_post(device, CONFIG, 4, &command, 2, &error));
	assert_true(vfio_device_flush(device, &error)); /* nothing was left over */
	assert_true(vfio_device_read(device, CONFIG, 4, &value, 2, &error));
	assert_int_equal(value & 2, 2);
	rig->moved = -EAGAIN;
	assert_false(vfio_device_post(device, CONFIG, 4, &command, 2, &error));
	assert_int_equal(error.code, -EAGAIN);
	rig->moved = 1; /* a part only */
	assert_false(vfio_device_post(device, CONFIG, 4, &command, 2, &error));
	assert_int_equal(error.code, -EIO);
	assert_string_equal(error.message, "d0: region 7: input/output error");
}

/* A region is asked for once; what it is does not change. */
static void regions_are_asked_for_once(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_region region;
	uint16_t value;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	rig->watched = VFIO_DEVICE_GET_REGION_INFO;
	rig->seen = 0;
	for (int i = 0; i < 3; i++) {
		assert_true(vfio_device_region(device, CONFIG, &region, NULL));
		assert_true(vfio_device_read(device, CONFIG, 0, &value, 2, NULL));
	}
	assert_int_equal(rig->seen, 1);
}

/* What GET_REGION_INFO answers about BAR 0 has a chain of one capability, at @at. */
static struct {
	uint32_t argsz;
	uint32_t at;
	bool grows;
} chain;

static void give_type(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_region_info_cap_type cap = {
		.header = { .id = VFIO_REGION_INFO_CAP_TYPE, .version = 1 }, .type = TYPE
	};
	struct vfio_region_info *info = arg;
	uint32_t room = info->argsz;

	(void)rig;
	if (request != VFIO_DEVICE_GET_REGION_INFO || *ret || info->index != BAR0)
		return;
	info->argsz = chain.grows ? room + 64 : chain.argsz;
	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	info->cap_offset = chain.at;
	if (room >= chain.argsz && chain.at && chain.at + sizeof(cap) <= chain.argsz)
		memcpy((uint8_t *)arg + chain.at, &cap, sizeof(cap));
}

/* Asks about BAR 0; gives the error's code, or 0 with *type. */
static int ask_type(struct backend_rig *rig, uint32_t argsz, uint32_t at, uint32_t *type)
{
	struct vfio_device *device = rig_attach(rig, "d0");
	struct vfio_error error = { 0 };
	struct vfio_region region = { 0 };

	chain.argsz = argsz;
	chain.at = at;
	rig->watched = VFIO_DEVICE_GET_REGION_INFO;
	rig->seen = 0;
	rig->after = give_type; /* for the call only: other files have requests of its number */
	vfio_device_region(device, BAR0, &region, &error);
	rig->after = NULL;
	vfio_device_detach(device);
	*type = region.type;
	return error.code;
}

/* A capability counts where it lies inside of the answer, on a multiple of 4. */
static void places_of_capabilities(void **state)
{
	struct backend_rig *rig = *state;
	const uint32_t head = sizeof(struct vfio_region_info);
	const uint32_t bytes = sizeof(struct vfio_region_info_cap_type);
	uint32_t type;

	rig_start(rig);
	assert_int_equal(ask_type(rig, head + bytes, head, &type), 0);
	assert_int_equal(type, TYPE);
	assert_int_equal(ask_type(rig, head + 64, head + 64 - bytes, &type), 0);
	assert_int_equal(type, TYPE);
	for (uint32_t odd = 1; odd < 4; odd++) {
		assert_int_equal(ask_type(rig, head + 64, head + odd, &type), 0);
		assert_int_equal(type, 0);
	}
	/* No chain, though the flag says that there is one; and one behind the end. */
	assert_int_equal(ask_type(rig, head + 64, 0, &type), 0);
	assert_int_equal(type, 0);
	assert_int_equal(ask_type(rig, head + 64, head + 64, &type), 0);
	assert_int_equal(ask_type(rig, head + 64, UINT32_MAX - 3, &type), 0);
	assert_int_equal(type, 0);
}

/* An answer may have 64 KiB, and may grow once. */
static void sizes_of_answers(void **state)
{
	struct backend_rig *rig = *state;
	uint32_t type;

	rig_start(rig);
	assert_int_equal(ask_type(rig, 65536, 4096, &type), 0);
	assert_int_equal(type, TYPE);
	assert_int_equal(rig->seen, 2);
	assert_int_equal(ask_type(rig, 65537, 4096, &type), -E2BIG);
	assert_int_equal(rig->seen, 1);
	chain.grows = true;
	assert_int_equal(ask_type(rig, 0, 0, &type), -E2BIG);
	assert_int_equal(rig->seen, 2);
	chain.grows = false;
}

/* ---- interrupts ---- */

static int fresh_eventfd(struct backend_rig *rig)
{
	int fd = vfake_eventfd(rig->task);

	assert_true(fd >= 0);
	return fd;
}

/* What is not enabled, or no interrupt at all, is not disabled. */
static void interrupts_that_are_not_on(void **state)
{
	struct backend_rig *rig = *state;
	int eventfd;
	struct vfio_device *device;
	struct vfio_error error;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	eventfd = fresh_eventfd(rig);
	assert_true(
		vfio_device_irq_enable(device, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &eventfd, &error));
	rig->watched = VFIO_DEVICE_SET_IRQS;
	rig->seen = 0;
	vfio_device_irq_disable(device, VFIO_PCI_MSI_IRQ_INDEX);
	vfio_device_irq_disable(device, 32);
	vfio_device_irq_disable(device, UINT32_MAX);
	assert_false(vfio_device_irq_enable(device, VFIO_PCI_NUM_IRQS, 0, 1, &eventfd, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_string_equal(error.message, "d0: interrupt 5, 1 vectors: invalid argument");
	assert_int_equal(rig->seen, 0);
	vfio_device_irq_disable(device, VFIO_PCI_INTX_IRQ_INDEX);
	vfio_device_irq_disable(device, VFIO_PCI_INTX_IRQ_INDEX);
	assert_int_equal(rig->seen, 1);
	assert_true(vfio_device_irq_enable(device, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, &eventfd, &error));
	vfio_device_irq_disable(device, VFIO_PCI_MSI_IRQ_INDEX);
	vfio_device_irq_disable(device, VFIO_PCI_MSI_IRQ_INDEX);
	assert_int_equal(rig->seen, 3);
	vfake_close(rig->task, eventfd);
}

/* One that cannot be disabled is told of, and tried again when the device goes. */
static void an_interrupt_stays(void **state)
{
	struct backend_rig *rig = *state;
	const long results[] = { -EBUSY, 1 };
	const char *const texts[] = { "d0: interrupt 0 stays enabled: in use",
				      "d0: interrupt 0 stays enabled: input/output error" };
	int eventfd;
	struct vfio_device *device;
	struct vfio_error error;

	rig_start(rig);
	eventfd = fresh_eventfd(rig);
	for (int i = 0; i < 2; i++) {
		device = rig_attach(rig, "d0");
		assert_true(vfio_device_irq_enable(device, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &eventfd,
						   &error));
		rig_answer(rig, VFIO_DEVICE_SET_IRQS, results[i], 1);
		vfio_device_irq_disable(device, VFIO_PCI_INTX_IRQ_INDEX);
		rig_warned(rig, 1, texts[i]);
		rig->watched = VFIO_DEVICE_SET_IRQS;
		rig->seen = 0;
		vfio_device_irq_disable(device, VFIO_PCI_INTX_IRQ_INDEX);
		assert_int_equal(rig->seen, 1);
		vfio_device_detach(device);
		assert_int_equal(rig->ref.warnings_seen, 0);
	}
	vfake_close(rig->task, eventfd);
}

static void masking_fails(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error = { 0 };

	rig_start(rig);
	device = rig_attach(rig, "d0");
	rig_answer(rig, VFIO_DEVICE_SET_IRQS, -EINVAL, 2);
	assert_false(vfio_device_irq_mask(device, VFIO_PCI_INTX_IRQ_INDEX, true, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_string_equal(error.message, "d0: interrupt 0: invalid argument");
	memset(&error, 0, sizeof(error));
	assert_false(vfio_device_irq_trigger(device, VFIO_PCI_INTX_IRQ_INDEX, 3, &error));
	assert_string_equal(error.message, "d0: interrupt 0, vector 3: invalid argument");
}

static uint32_t irq_count;

static void few_irqs(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	(void)rig;
	if (request == VFIO_DEVICE_GET_INFO && !*ret)
		((struct vfio_device_info *)arg)->num_irqs = irq_count;
}

/* A device that has fewer kinds of interrupt has fewer notifications; no one is asked for. */
static void devices_with_few_interrupts(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	for (irq_count = 0; irq_count <= VFIO_PCI_NUM_IRQS; irq_count++) {
		rig->after = few_irqs;
		rig->watched = VFIO_DEVICE_GET_IRQ_INFO;
		rig->seen = 0;
		vfio_device_detach(rig_attach(rig, "d0"));
		assert_int_equal(rig->seen, irq_count <= VFIO_PCI_ERR_IRQ_INDEX	  ? 0
					    : irq_count == VFIO_PCI_REQ_IRQ_INDEX ? 1
										  : 2);
	}
}

/* A notification that cannot be connected fails the attach, and is told as what it is. */
static void notifications_that_fail(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig_answer(rig, VFIO_DEVICE_SET_IRQS, -EIO, 1);
	rig_refuses(rig, "d1", -EIO, "d1: interrupt 3: input/output error");
	rig_answer_later(rig, VFIO_DEVICE_SET_IRQS, -EIO, 1);
	rig_refuses(rig, "d1", -EIO, "d1: interrupt 4: input/output error");
}

/* ---- migration ---- */

static struct {
	long asked;	/* what being asked for abilities says */
	long probed;	/* and being asked for a log */
	uint32_t probe; /* with these flags */
	uint32_t stops; /* of the log */
	int data_fd;	/* of a change of state; -2: the kernel says nothing of it */
} mover;

static bool play_mover(struct backend_rig *rig, int fd, uint32_t request, void *arg, long *ret)
{
	struct vfio_device_feature *head = arg;
	struct vfio_device_feature_mig_state state = { .data_fd = mover.data_fd };
	uint64_t flags = VFIO_MIGRATION_STOP_COPY;

	(void)rig;
	(void)fd;
	if (request != VFIO_DEVICE_FEATURE)
		return false;
	*ret = 0;
	if (head->flags & VFIO_DEVICE_FEATURE_PROBE) {
		mover.probe = head->flags;
		*ret = mover.probed;
	} else if ((head->flags & VFIO_DEVICE_FEATURE_MASK) == VFIO_DEVICE_FEATURE_MIGRATION) {
		memcpy(head->data, &flags, sizeof(flags));
		*ret = mover.asked;
	} else if ((head->flags & VFIO_DEVICE_FEATURE_MASK) ==
		   VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP) {
		mover.stops++;
	} else if (head->flags & VFIO_DEVICE_FEATURE_SET && mover.data_fd != -2 &&
		   (head->flags & VFIO_DEVICE_FEATURE_MASK) ==
			   VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE) {
		memcpy(head->data, &state, sizeof(state));
	}
	return true;
}

static void start_mover(struct backend_rig *rig)
{
	memset(&mover, 0, sizeof(mover));
	mover.data_fd = -2;
	rig_start(rig);
	rig->instead = play_mover;
}

/* What a device cannot do is an ability less; that it could not be asked fails the attach. */
static void abilities_are_asked_for(void **state)
{
	struct backend_rig *rig = *state;
	const int unanswered[] = { -ENOMEM, -ENOBUFS, -EMFILE,	  -ENFILE,	-EBADF,
				   -EPIPE,  -EPROTO,  -ETIMEDOUT, -ETOOMANYREFS };
	struct vfio_migration_info info;
	struct vfio_device *device;

	start_mover(rig);
	device = rig_attach(rig, "d0");
	assert_int_equal(mover.probe, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
					      VFIO_DEVICE_FEATURE_DMA_LOGGING_START);
	vfio_device_migration_info(device, &info);
	assert_true(info.stop_copy && info.dma_logging);
	vfio_device_detach(device);
	/* What came with a refusal is nothing. */
	mover.asked = mover.probed = -ENOTTY;
	device = rig_attach(rig, "d0");
	vfio_device_migration_info(device, &info);
	assert_false(info.stop_copy || info.dma_logging);
	vfio_device_detach(device);
	for (size_t i = 0; i < sizeof(unanswered) / sizeof(unanswered[0]); i++) {
		mover.asked = unanswered[i];
		mover.probed = -ENOTTY;
		rig_refuses(rig, "d0", unanswered[i], "device d0: VFIO_DEVICE_FEATURE: ");
		mover.asked = 0;
		mover.probed = unanswered[i];
		rig_refuses(rig, "d0", unanswered[i], "device d0: VFIO_DEVICE_FEATURE: ");
	}
	mover.probed = 0;
}

/* A log that was started is stopped once, also when its device goes, and no other. */
static void a_log_is_stopped_once(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;

	start_mover(rig);
	rig_add_ram(rig, 0, 0, 1 << 20);
	vfio_device_detach(rig_attach(rig, "d0"));
	assert_int_equal(mover.stops, 0);
	device = rig_attach(rig, "d0");
	assert_true(vfio_memory_log_start(rig->memory, &error));
	vfio_memory_log_stop(rig->memory);
	assert_int_equal(mover.stops, 1);
	assert_int_equal(rig->ref.warnings_seen, 0);
	vfio_device_detach(device);
	assert_int_equal(mover.stops, 1);
	device = rig_attach(rig, "d0");
	rig_attach(rig, "d1");
	assert_true(vfio_memory_log_start(rig->memory, &error));
	vfio_device_detach(device);
	assert_int_equal(mover.stops, 2);
	vfio_memory_log_stop(rig->memory);
	assert_int_equal(mover.stops, 3);
}

static void no_memory_for_a_log(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_error error = { 0 };

	start_mover(rig);
	rig_add_ram(rig, 0, 0, 1 << 20);
	rig_attach(rig, "d0");
	rig->calls = 0;
	rig->fail_at = 1;
	assert_false(vfio_memory_log_start(rig->memory, &error));
	rig->fail_at = 0;
	assert_int_equal(error.code, -ENOMEM);
	assert_string_equal(error.message, "cannot start to track dirty pages: out of memory");
}

/* A change of state that gives no stream leaves none; 0 is as good a descriptor as any. */
static void streams(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;
	uint8_t bytes[16];
	size_t got;
	int zero, old;

	start_mover(rig);
	zero = vfake_eventfd(rig->task);
	assert_int_equal(zero, 0);
	old = vfake_eventfd(rig->task);
	device = rig_attach(rig, "d0");
	assert_true(
		vfio_device_mig_set_state(device, VFIO_MIG_STOP_COPY, VFIO_MIG_RUNNING, &error));
	assert_true(vfio_device_mig_read(device, bytes, sizeof(bytes), &got, &error));
	assert_int_equal(rig->stream_fd, -1);
	mover.data_fd = old;
	assert_true(vfio_device_mig_set_state(device, VFIO_MIG_RESUMING, VFIO_MIG_RUNNING, &error));
	mover.data_fd = zero;
	assert_true(vfio_device_mig_set_state(device, VFIO_MIG_PRE_COPY, VFIO_MIG_RUNNING, &error));
	assert_true(vfio_device_mig_read(device, bytes, sizeof(bytes), &got, &error));
	assert_int_equal(rig->stream_fd, 0);
	assert_int_equal(vfake_close(rig->task, old), -EBADF); /* another took its place */
	mover.data_fd = -2;
	assert_true(
		vfio_device_mig_set_state(device, VFIO_MIG_STOP_COPY, VFIO_MIG_RUNNING, &error));
	assert_true(vfio_device_mig_read(device, bytes, sizeof(bytes), &got, &error));
	assert_int_equal(rig->stream_fd, 0); /* it goes on */
	assert_true(vfio_device_mig_set_state(device, VFIO_MIG_RUNNING, VFIO_MIG_RUNNING, &error));
	assert_int_equal(vfake_close(rig->task, zero), -EBADF); /* it was closed */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(regions_behind_the_last),
		LEGACY_STORY(types_of_regions_that_are_not_told),
		LEGACY_STORY(posted_writes),
		LEGACY_STORY(regions_are_asked_for_once),
		LEGACY_STORY(places_of_capabilities),
		LEGACY_STORY(sizes_of_answers),
		LEGACY_STORY(interrupts_that_are_not_on),
		LEGACY_STORY(an_interrupt_stays),
		LEGACY_STORY(masking_fails),
		LEGACY_STORY(notifications_that_fail),
		LEGACY_STORY(devices_with_few_interrupts),
		LEGACY_STORY(abilities_are_asked_for),
		LEGACY_STORY(a_log_is_stopped_once),
		LEGACY_STORY(no_memory_for_a_log),
		LEGACY_STORY(streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
