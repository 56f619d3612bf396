/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live updates and what else a device has: interrupts that arrive at any time, a VM that knows of
 * it, descriptors that the VMM passes in, devices that are unplugged on the way.
 */
#include <uapi/kvm.h>

#include <vfake/kvm.h>

#include "cpr_recover.h"
#include "stories.h"

/* ---- interrupts ---- */

enum { MSIX = VFIO_PCI_MSIX_IRQ_INDEX, LAST_SLOT = CPR_DESCRIPTORS - 1 };

static uint64_t read_event(struct cpr_process *process, int fd)
{
	uint64_t count = 0;
	long ret =
		process->raw.read(process->raw.ctx, fd, (uint64_t)(uintptr_t)&count, sizeof(count));

	assert_true(ret == sizeof(count) || ret == -EAGAIN);
	return count;
}

/* Device 0 sends an interrupt when it is done with all. */
static int interrupt_at_end(struct cpr_process *process)
{
	int event = process->raw.eventfd(process->raw.ctx);
	struct vfio_error error = { 0 };
	uint8_t *slot = process->ram[0] + LAST_SLOT * VFAKE_COPY_DESC_BYTES;

	assert_true(event >= 0);
	cpr_check(vfio_device_irq_enable(process->devices[0], MSIX, 0, 1, &event, &error), &error);
	cpr_start_dma(process);
	cpr_put(slot + VFAKE_COPY_DESC_FLAGS, VFAKE_COPY_FLAG_IRQ, 4);
	cpr_set_register(process, 0, VFAKE_COPY_IRQ_MASK, 0);
	return event;
}

/* The device's own notifications still come to whoever has it. */
static void expect_notified(struct cpr_process *process)
{
	struct vfio_error error = { 0 };
	uint32_t seen = process->ref.requests_seen;

	vfio_device_poll(process->devices[0]);
	assert_int_equal(process->ref.requests_seen, seen);
	cpr_check(vfio_device_irq_trigger(process->devices[0], VFIO_PCI_REQ_IRQ_INDEX, 0, &error),
		  &error);
	vfio_device_poll(process->devices[0]);
	assert_int_equal(process->ref.requests_seen, seen + 1);
}

static void expect_silent(struct cpr_machine *machine)
{
	struct vfake_pci_view view;

	assert_int_equal(vfake_view_pci(machine->kernel, stage_name(0), &view), 0);
	assert_int_equal(view.vectors, 0);
	assert_false(view.err_irq);
	assert_false(view.req_irq);
}

static void run_interrupts(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct cpr_process *process;
	struct vfio_error error = { 0 };
	struct cpr_process *heir;
	int event, passed;

	cpr_let_die(machine, VFIO_MODE_CPR_TRANSFER);
	process = cpr_process_start(machine);
	cpr_attach_all(process);
	event = interrupt_at_end(process);
	/* One that gives up takes no interrupt away. */
	heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(process, &error), &error);
	cpr_attach_all(heir);
	cpr_process_end(heir);
	cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
	expect_notified(process);
	/* One that takes over gets what comes while the old one goes. */
	heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	passed = vfake_pass_fd(process->task, event, heir->task);
	assert_true(passed >= 0);
	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(process, &error), &error);
	cpr_take_over(heir);
	assert_int_equal(read_event(heir, passed), 0);
	cpr_process_end(process);
	vfake_tick(machine->kernel, UINT64_MAX);
	assert_int_equal(read_event(heir, passed), 1);
	expect_notified(heir);
	cpr_check(vfio_device_irq_enable(heir->devices[0], MSIX, 0, 1, &passed, &error), &error);
	cpr_check(vfio_device_irq_trigger(heir->devices[0], MSIX, 0, &error), &error);
	assert_int_equal(read_event(heir, passed), 1);
	vfio_device_detach(heir->devices[0]);
	expect_silent(machine);
	cpr_process_end(heir);
	cpr_machine_free(machine);
}

const struct story story_cpr_interrupts = {
	.name = "cpr-interrupts",
	.about = "an interrupt that comes in the middle of an update is not lost",
	.run = run_interrupts,
	.needs = NEEDS_HANDOVER,
};

/* ---- KVM ---- */

static int new_vm(struct cpr_process *process)
{
	int kvm = process->raw.open(process->raw.ctx, "/dev/kvm");
	int vm;

	assert_true(kvm >= 0);
	vm = (int)process->raw.ioctl(process->raw.ctx, kvm, KVM_CREATE_VM, 0);
	assert_true(vm >= 0);
	assert_int_equal(process->raw.close(process->raw.ctx, kvm), 0);
	return vm;
}

static void expect_vm(const struct cpr_process *process, int vm, uint32_t files)
{
	struct vfake_kvm_view view;

	assert_int_equal(vfake_kvm_view(process->task, vm, &view), 0);
	assert_int_equal(view.vfio_files, files);
}

/* Three devices of two containers: each container has a device that comes first. */
static void run_vm(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, CPR_DEVICES, 2);
	struct cpr_process *process;
	struct vfio_error error = { 0 };
	struct cpr_process *heir;
	int vm;

	cpr_let_die(machine, VFIO_MODE_CPR_TRANSFER);
	process = cpr_process_start(machine);
	vm = new_vm(process);
	cpr_check(vfio_set_kvm(process->vfio, vm, &error), &error);
	cpr_attach_all(process);
	for (int round = 0; round < 3; round++) {
		int next;

		cpr_start_dma(process);
		heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
		cpr_save(process, VFIO_MODE_CPR_TRANSFER);
		cpr_check(cpr_try_load(process, &error), &error);
		/* Another process has another VM; it comes before the devices, or after them. */
		next = new_vm(heir);
		if (round & 1)
			cpr_check(vfio_set_kvm(heir->vfio, next, &error), &error);
		cpr_take_over(heir);
		if (!(round & 1))
			cpr_check(vfio_set_kvm(heir->vfio, next, &error), &error);
		expect_vm(process, vm, CPR_DEVICES);
		cpr_process_end(process);
		process = heir;
		vm = next;
		expect_vm(process, vm, CPR_DEVICES);
		cpr_expect_owner(process);
		cpr_finish_dma(machine);
	}
	for (uint32_t i = 0; i < CPR_DEVICES; i++) {
		expect_vm(process, vm, CPR_DEVICES - i);
		vfio_device_detach(process->devices[i]);
	}
	expect_vm(process, vm, 0);
	cpr_check(vfio_set_kvm(process->vfio, -1, &error), &error);
	cpr_process_end(process);
	cpr_machine_free(machine);
}

const struct story story_cpr_vm = {
	.name = "cpr-vm",
	.about = "each process tells its own VM of the devices",
	.run = run_vm,
	.needs = NEEDS_HANDOVER,
};

/* ---- descriptors of the VMM ---- */

static struct vfio_device *attach_passed(struct cpr_process *process, int iommufd, int fd,
					 struct vfio_error *error)
{
	struct vfio_device_options options = cpr_options(process, 0);

	options.cdev = NULL;
	options.iommufd = iommufd;
	options.device_fd = fd;
	*error = (struct vfio_error){ 0 };
	return vfio_device_attach(process->vfio, process->memory[0], &options, error);
}

static void run_passed(struct stage *stage)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 1, 1);
	struct cpr_process *process = cpr_process_start(machine), *heir;
	int iommufd = process->raw.open(process->raw.ctx, "/dev/iommu");
	struct vfio_error error = { 0 };
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%u",
		 vfake_device_desc(machine->kernel, stage_name(0))->cdev);
	fd = process->raw.open(process->raw.ctx, path);
	assert_true(iommufd > 0 && fd > 0);
	process->devices[0] = attach_passed(process, iommufd, fd, &error);
	cpr_check(process->devices[0], &error);
	cpr_start_dma(process);
	heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(process, &error), &error);
	/* The device travels by its name, the iommufd by whoever it belongs to. */
	for (uint32_t i = 0; i < process->fd_count; i++)
		assert_null(strstr(process->fds[i].name, "iommufd"));
	assert_null(attach_passed(heir, 0, 1, &error));
	assert_int_equal(error.code, -EINVAL);
	iommufd = vfake_pass_fd(process->task, iommufd, heir->task);
	assert_true(iommufd > 0);
	fd = cpr_take(process, "vfio/device/d0", 0);
	assert_true(fd > 0);
	heir->devices[0] = attach_passed(heir, iommufd, fd, &error);
	cpr_check(heir->devices[0], &error);
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_process_end(process);
	cpr_expect_owner(heir);
	cpr_finish_dma(machine);
	cpr_process_end(heir);
	cpr_machine_free(machine);
}

const struct story story_cpr_passed = {
	.name = "cpr-passed",
	.about = "an iommufd and a device that the VMM passes in are passed in again",
	.run = run_passed,
	.needs = NEEDS_HANDOVER | NEEDS_CDEV,
	.unswept = "Linux binds a device for as long as its descriptor is open, and this one stays",
};

/* ---- unplugged on the way ---- */

/* What device 1 had stays as long as the old process can take it back. */
static void settle_later(struct cpr_process *heir, uint32_t spaces)
{
	const struct backend *backend = heir->machine->backend;
	bool leaves = backend->kind == VFIO_BACKEND_IOMMUFD && spaces > 1;
	struct vfio_error error = { 0 };

	assert_int_equal(vfio_cpr_settle(heir->vfio, &error), !leaves);
	if (!leaves)
		return;
	assert_int_equal(error.code, -EBUSY);
	heir->next = heir;
	assert_false(cpr_try_save(heir, VFIO_MODE_CPR_TRANSFER, &error));
	assert_int_equal(error.code, -EBUSY);
}

/* The new process does not want device 1 any more; device 0 never stops. */
static void new_one_unplugs(struct stage *stage, uint32_t spaces)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 2, spaces);
	struct cpr_process *process = cpr_process_start(machine);
	struct vfio_error error = { 0 };
	struct cpr_process *heir;

	cpr_attach_all(process);
	cpr_start_dma(process);
	vfake_tick(machine->kernel, CPR_DESCRIPTORS / 2);
	cpr_expect_running(machine, 0);
	heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	cpr_check(cpr_try_load(process, &error), &error);
	assert_string_equal(vfio_cpr_device(heir->vfio, 0), stage_name(0));
	assert_string_equal(vfio_cpr_device(heir->vfio, 1), stage_name(1));
	cpr_attach(heir, 0);
	vfake_tick(machine->kernel, UINT64_MAX); /* what device 1 had begun ends before it goes */
	cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
	cpr_close_rest(process, heir->task);
	settle_later(heir, spaces);
	cpr_process_free(process);
	cpr_check(vfio_cpr_settle(heir->vfio, &error), &error);
	assert_int_equal(stage_view(stage, 1).open_count, 0);
	assert_false(stage_view(stage, 1).translated);
	cpr_finish_dma(machine);
	machine->devices = 1;
	cpr_expect_owner(heir);
	/* It can come back, to this process or to the next one. */
	cpr_attach(heir, 1);
	machine->devices = 2;
	cpr_start_dma(heir);
	process = cpr_update(heir, VFIO_MODE_CPR_TRANSFER);
	cpr_process_end(heir);
	cpr_expect_owner(process);
	cpr_finish_dma(machine);
	cpr_process_end(process);
	cpr_machine_free(machine);
}

/* The old process lets go of device 1 when it has been saved: it is the new one's or nobody's. */
static void old_one_unplugs(struct stage *stage, uint32_t spaces, bool taken)
{
	struct cpr_machine *machine = cpr_machine_new(stage, 2, spaces);
	struct cpr_process *process = cpr_process_start(machine);
	struct vfio_error error = { 0 };
	struct cpr_process *heir;

	cpr_attach_all(process);
	cpr_start_dma(process);
	heir = cpr_heir(process, VFIO_MODE_CPR_TRANSFER);
	cpr_save(process, VFIO_MODE_CPR_TRANSFER);
	vfio_device_detach(process->devices[1]);
	process->devices[1] = NULL;
	cpr_check(cpr_try_load(process, &error), &error);
	cpr_attach_all(heir);
	if (taken) {
		cpr_check(vfio_cpr_finish(heir->vfio, &error), &error);
		cpr_process_end(process);
		cpr_expect_owner(heir);
		cpr_finish_dma(machine);
		process = heir;
	} else {
		vfake_tick(machine->kernel, UINT64_MAX);
		cpr_process_end(heir);
		assert_int_equal(stage_view(stage, 1).open_count, 0);
		cpr_check(vfio_cpr_abort(process->vfio, &error), &error);
		cpr_check(vfio_cpr_settle(process->vfio, &error), &error);
		cpr_finish_dma(machine);
		cpr_attach(process, 1);
		cpr_expect_owner(process);
	}
	cpr_start_dma(process);
	cpr_finish_dma(machine);
	cpr_process_end(process);
	cpr_machine_free(machine);
}

static void run_unplugged(struct stage *stage)
{
	new_one_unplugs(stage, 1);
	new_one_unplugs(stage, 2);
	for (uint32_t spaces = 1; spaces <= 2; spaces++) {
		old_one_unplugs(stage, spaces, true);
		old_one_unplugs(stage, spaces, false);
	}
}

const struct story story_cpr_unplugged = {
	.name = "cpr-unplugged",
	.about =
		"a device is unplugged between save and load, in the new process or in the old one",
	.run = run_unplugged,
	.needs = NEEDS_HANDOVER,
};
