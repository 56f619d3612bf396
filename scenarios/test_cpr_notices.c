/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live update and what devices signal: which eventfds are handed over, interrupts that were on
 * before, and descriptors that do not arrive. The new stack is one of the same process here, so a
 * descriptor that is kept is a copy.
 */
#include "backend_rig.h"

#include <vfio/cpr.h>

enum { MIB = 1 << 20, KEPT = 16, ERR = VFIO_PCI_ERR_IRQ_INDEX, REQ = VFIO_PCI_REQ_IRQ_INDEX };

/* What is on its way from the old stack to the new one. */
static struct {
	struct vfake_task *task;
	uint32_t count;
	char names[KEPT][64];
	uint32_t ids[KEPT];
	int fds[KEPT];
	uint32_t refused; /* by that id of a device, none arrives */
	uint32_t missed;  /* asked for and not there */
} post;

static int keep(void *ctx, const char *name, uint32_t id, int fd)
{
	(void)ctx;
	assert_true(post.count < KEPT);
	snprintf(post.names[post.count], sizeof(post.names[0]), "%s", name);
	post.ids[post.count] = id;
	post.fds[post.count] = vfake_dup(post.task, fd);
	assert_true(post.fds[post.count++] >= 0);
	return 0;
}

static int take(void *ctx, const char *name, uint32_t id)
{
	(void)ctx;
	for (uint32_t i = 0; i < post.count; i++) {
		int fd = post.fds[i];

		if (strcmp(post.names[i], name) || post.ids[i] != id || fd < 0)
			continue;
		if (post.refused && post.refused == id && strstr(name, "device/"))
			return -ENOENT;
		post.fds[i] = -1;
		return fd;
	}
	post.missed++;
	return -ENOENT;
}

static const struct vfio_cpr_fds fds = { .keep = keep, .take = take };

/* The old stack, which has saved its state; the rig's is the new one then. */
struct old {
	struct vfio *vfio;
	struct vfio_memory *memory;
};

static struct old hand_over(struct backend_rig *rig)
{
	struct old old = { rig->vfio, rig->memory };
	struct vfio_error error;
	const void *state;
	size_t size;

	memset(&post, 0, sizeof(post));
	post.task = rig->task;
	if (!vfio_cpr_save(old.vfio, VFIO_MODE_CPR_TRANSFER, false, &fds, &state, &size, &error))
		fail_msg("%s", error.message);
	rig_new_stack(rig);
	if (!vfio_cpr_load(rig->vfio, state, size, &fds, &error))
		fail_msg("%s", error.message);
	return old;
}

static void end_old(struct backend_rig *rig, const struct old *old)
{
	rig->fail_at = UINT64_MAX; /* its group stays where it is: the new stack has it */
	vfio_free(old->vfio);
	vfio_memory_free(old->memory);
	rig->fail_at = 0;
}

/* ---- which are handed over ---- */

static uint32_t silent; /* bit N: the device does not have interrupt N */

static void take_irqs(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_irq_info *info = arg;

	(void)rig;
	if (request == VFIO_DEVICE_GET_IRQ_INFO && !*ret && silent >> info->index & 1)
		info->count = 0;
}

/* What the device signals, and nothing else, is kept and asked for. */
static void what_the_device_signals(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	for (int i = 0; i < 4; i++) {
		struct vfio_error error;
		struct vfio_device *device;
		struct old old;

		silent = (i & 1 ? 1u << ERR : 0) | (i & 2 ? 1u << REQ : 0);
		rig->after = take_irqs;
		rig_attach(rig, "d1");
		rig->after = NULL;
		old = hand_over(rig);
		assert_int_equal(post.count, 5 - (i & 1) - (i >> 1));
		device = rig_attach(rig, "d1");
		assert_true(vfio_cpr_finish(rig->vfio, &error));
		assert_int_equal(post.missed, 0);
		for (uint32_t at = 0; at < post.count; at++)
			assert_int_equal(post.fds[at], -1);
		end_old(rig, &old);
		rig->pieces = 0;
		vfio_device_poll(device);
		assert_int_equal(rig->pieces, 2 - (i & 1) - (i >> 1));
		vfio_device_detach(device);
	}
}

/* ---- interrupts that were on ---- */

static uint32_t disabled; /* bit N: interrupt N was */

static void watch_irqs(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	const struct vfio_irq_set *set = arg;

	(void)rig;
	(void)ret;
	if (request == VFIO_DEVICE_SET_IRQS && !set->count)
		disabled |= 1u << set->index;
}

/* What the old stack has enabled the new one disables, when its device goes. */
static void interrupts_that_were_on(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;
	struct old old;
	int eventfd;

	rig_start(rig);
	eventfd = vfake_eventfd(rig->task);
	device = rig_attach(rig, "d1");
	assert_true(vfio_device_irq_enable(device, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, &eventfd, &error));
	old = hand_over(rig);
	device = rig_attach(rig, "d1");
	assert_true(vfio_cpr_finish(rig->vfio, &error));
	disabled = 0;
	rig->after = watch_irqs;
	end_old(rig, &old);
	assert_int_equal(disabled, 0);
	vfio_device_detach(device);
	assert_int_equal(disabled, 1u << VFIO_PCI_MSI_IRQ_INDEX | 1u << ERR | 1u << REQ);
	rig->after = NULL;
	vfake_close(rig->task, eventfd);
}

/* ---- what does not arrive ---- */

/* The attach fails, and what has arrived until then is closed; the old stack goes on. */
static void one_does_not_arrive(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;
	struct vfake_ledger before;
	struct old old;

	rig_start(rig);
	for (uint32_t id = 1; id <= 2; id++) {
		uint32_t left = 0;

		rig_attach(rig, "d1");
		old = hand_over(rig);
		post.refused = id;
		before = vfake_ledger(rig->kernel);
		rig->fail_at = UINT64_MAX;
		rig_refuses(rig, "d1", -ENOENT, "does not exist");
		rig->fail_at = 0;
		for (uint32_t i = 0; i < post.count; i++)
			left += post.fds[i] >= 0;
		assert_int_equal(left, 3 - id);
		assert_int_equal(vfake_ledger(rig->kernel).descriptors,
				 before.descriptors - (post.count - left));
		for (uint32_t i = 0; i < post.count; i++) {
			if (post.fds[i] >= 0)
				vfake_close(rig->task, post.fds[i]);
		}
		vfio_free(rig->vfio);
		vfio_memory_free(rig->memory);
		rig->vfio = old.vfio;
		rig->memory = old.memory;
		assert_true(vfio_cpr_abort(rig->vfio, &error));
		rig_end_stack(rig);
		rig_new_stack(rig);
	}
	device = rig_attach(rig, "d1");
	vfio_device_detach(device);
}

/* ---- memory that cannot travel ---- */

/* RAM without a file cannot; the BAR of a device is none, and the new process maps its own. */
static void memory_without_a_file(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_memory_region bar = { .name = "bar",
					  .kind = VFIO_MEMORY_RAM_DEVICE,
					  .start = 4 * MIB,
					  .last = 5 * MIB - 1,
					  .vaddr = 0,
					  .fd = -1 };
	struct vfio_error error;
	const void *bytes;
	size_t size;

	rig_start(rig);
	memset(&post, 0, sizeof(post));
	post.task = rig->task;
	rig_attach(rig, "d1");
	bar.vaddr = rig->ram;
	rig_add(rig, &bar);
	assert_int_equal(rig_reach(rig, "d1", 4 * MIB), 0);
	assert_true(vfio_cpr_save(rig->vfio, VFIO_MODE_CPR_TRANSFER, false, &fds, &bytes, &size,
				  &error));
	assert_true(vfio_cpr_abort(rig->vfio, &error));
	for (uint32_t i = 0; i < post.count; i++)
		vfake_close(rig->task, post.fds[i]);
	rig_add_ram(rig, 0, MIB, MIB);
	assert_false(vfio_cpr_save(rig->vfio, VFIO_MODE_CPR_TRANSFER, false, &fds, &bytes, &size,
				   &error));
	vfio_cpr_abort(rig->vfio, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(what_the_device_signals),
		LEGACY_STORY(interrupts_that_were_on),
		LEGACY_STORY(one_does_not_arrive),
		LEGACY_STORY(memory_without_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
