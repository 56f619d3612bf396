/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /dev/kvm: virtual machines and their in-kernel devices, as far as VFIO needs them.
 *
 * Imitates virt/kvm/kvm_main.c of Linux 7.2.
 *
 * Kept: a VM lives until its own file, the files of its devices and tables and every VFIO device
 * that it was set on are gone, in whatever order; only the process that made a VM may use it or
 * what belongs to it (EIO before all else); the kinds of devices and the order of checks when one
 * is made; capabilities that a user of VFIO asks for; slots of guest memory and their rules.
 *
 * Dropped: vCPUs, interrupt controllers, and everything else that runs a guest. Kinds of devices
 * other than VFIO do not exist (ENODEV). Slots know no dirty log, no guest_memfd and only one
 * address space.
 */
#include <uapi/kvm.h>
#include <vfake/kvm.h>

#include "kvm.h"

/* ---- a VM's life ---- */

void vfake_kvm_get(struct kvm *kvm)
{
	kvm->refs++;
}

void vfake_kvm_put(struct kvm *kvm)
{
	struct kvm_slot *slot;

	if (--kvm->refs)
		return;
	while ((slot = LIST_FIRST(&kvm->slots))) {
		LIST_REMOVE(slot, entry);
		vfake_free(kvm->kernel, slot);
	}
	vfake_mm_drop(kvm->mm);
	vfake_free(kvm->kernel, kvm);
}

static struct kvm *kvm_new(struct vfake_task *task)
{
	struct kvm *kvm = vfake_alloc(task->kernel, sizeof(*kvm));

	if (!kvm)
		return NULL;
	kvm->kernel = task->kernel;
	kvm->refs = 1;
	kvm->mm = task->mm;
	vfake_mm_grab(kvm->mm);
	LIST_INIT(&kvm->slots);
	LIST_INIT(&kvm->tce_tables);
	return kvm;
}

static bool is_power(const struct vfake_kernel *kernel)
{
	return kernel->world.platform == VFAKE_PLATFORM_POWERNV;
}

/* ---- devices ---- */

struct kvm_device {
	struct kvm *kvm; /* counted */
	struct kvm_vfio *vfio;
};

static const struct uapi_ioctl *device_route(struct vfake_file *file, uint32_t number, long *error)
{
	const struct kvm_device *device = file->data;

	*error = -EIO;
	if (device->kvm->mm != file->kernel->current->mm)
		return NULL;
	/* The VFIO device has nothing to read, and that is said before the argument is looked at.
	 */
	*error = -EPERM;
	if (number == KVM_GET_DEVICE_ATTR)
		return NULL;
	*error = -ENOTTY;
	return uapi_find(UAPI_ON_KVM_DEVICE, number);
}

static void free_device(struct kvm_device *device)
{
	struct kvm *kvm = device->kvm;

	kvm->vfio = NULL;
	kvm_vfio_release(device->vfio);
	vfake_free(kvm->kernel, device);
	vfake_kvm_put(kvm);
}

static void device_release(struct vfake_file *file)
{
	free_device(file->data);
}

static const struct vfake_file_ops kvm_device_ops = {
	.name = "kvm-vfio",
	.route = device_route,
	.release = device_release,
};

static int create_vfio(struct vfake_call *call, struct kvm *kvm)
{
	struct kvm_device *device = vfake_alloc(kvm->kernel, sizeof(*device));
	int ret;

	if (!device)
		return -ENOMEM;
	ret = kvm_vfio_create(kvm, &device->vfio);
	if (ret) {
		vfake_free(kvm->kernel, device);
		return ret;
	}
	device->kvm = kvm;
	vfake_kvm_get(kvm);
	kvm->vfio = device->vfio;
	ret = vfake_fault(kvm->kernel, VFAKE_FAULT_COMMIT);
	if (!ret)
		ret = vfake_fd_new(call->task, &kvm_device_ops, device);
	if (ret < 0)
		free_device(device);
	return ret;
}

static long vm_create_device(struct vfake_call *call)
{
	struct kvm_create_device *arg = call->arg;
	int fd;

	if (arg->type != KVM_DEV_TYPE_VFIO)
		return -ENODEV;
	if (arg->flags & KVM_CREATE_DEVICE_TEST)
		return vfake_fault(call->kernel, VFAKE_FAULT_COMMIT);
	fd = create_vfio(call, call->file->data);
	if (fd < 0)
		return fd;
	arg->fd = (uint32_t)fd;
	return 0;
}

static long device_set_attr(struct vfake_call *call)
{
	const struct kvm_device *device = call->file->data;

	return kvm_vfio_set_attr(device->vfio, call);
}

/* Never runs: the route refuses first. It is here so that the call counts as one that exists. */
static long device_get_attr(struct vfake_call *call)
{
	(void)call;
	return -EPERM;
}

static long device_has_attr(struct vfake_call *call)
{
	const struct kvm_device_attr *attr = call->arg;
	const struct kvm_device *device = call->file->data;

	return kvm_vfio_has_attr(device->vfio, attr->group, attr->attr);
}

const vfake_handler vfake_kvm_device_handlers[VFAKE_HANDLERS] = {
	[KVM_SET_DEVICE_ATTR & 0xff] = device_set_attr,
	[KVM_GET_DEVICE_ATTR & 0xff] = device_get_attr,
	[KVM_HAS_DEVICE_ATTR & 0xff] = device_has_attr,
};

/* ---- guest memory ---- */

enum { SLOTS_X86 = 32764, SLOTS_POWER = 32767 };
static const uint64_t slot_pages_max = ((uint64_t)1 << 31) - 1;

static uint32_t slots_max(const struct vfake_kernel *kernel)
{
	return is_power(kernel) ? SLOTS_POWER : SLOTS_X86;
}

static bool region_is_sane(const struct vfake_kernel *kernel,
			   const struct kvm_userspace_memory_region *arg)
{
	uint32_t flags = KVM_MEM_LOG_DIRTY_PAGES | (is_power(kernel) ? 0u : KVM_MEM_READONLY);
	uint64_t misaligned = arg->memory_size | arg->guest_phys_addr | arg->userspace_addr;

	return !(arg->flags & ~flags) && !(misaligned & (vfake_page_size(kernel) - 1)) &&
	       vfake_access_ok(arg->userspace_addr, arg->memory_size) &&
	       arg->slot < slots_max(kernel) &&
	       arg->guest_phys_addr + arg->memory_size >= arg->guest_phys_addr &&
	       arg->memory_size >> kernel->page_shift <= slot_pages_max;
}

static bool overlaps_other(const struct kvm *kvm, const struct kvm_userspace_memory_region *arg)
{
	const struct kvm_slot *slot;

	LIST_FOREACH(slot, &kvm->slots, entry)
	{
		if (slot->id != arg->slot &&
		    slot->guest_addr < arg->guest_phys_addr + arg->memory_size &&
		    arg->guest_phys_addr < slot->guest_addr + slot->size_bytes)
			return true;
	}
	return false;
}

/* A slot that exists may move and change its dirty flag, but not its memory. */
static int change_slot(struct kvm *kvm, struct kvm_slot *slot,
		       const struct kvm_userspace_memory_region *arg)
{
	if (slot->user_addr != arg->userspace_addr || slot->size_bytes != arg->memory_size ||
	    ((slot->flags ^ arg->flags) & KVM_MEM_READONLY))
		return -EINVAL;
	if (slot->guest_addr != arg->guest_phys_addr && overlaps_other(kvm, arg))
		return -EEXIST;
	slot->guest_addr = arg->guest_phys_addr;
	slot->flags = arg->flags;
	return 0;
}

static int add_slot(struct kvm *kvm, const struct kvm_userspace_memory_region *arg)
{
	struct kvm_slot *slot;

	if (overlaps_other(kvm, arg))
		return -EEXIST;
	slot = vfake_alloc(kvm->kernel, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	slot->id = arg->slot;
	slot->flags = arg->flags;
	slot->guest_addr = arg->guest_phys_addr;
	slot->size_bytes = arg->memory_size;
	slot->user_addr = arg->userspace_addr;
	LIST_INSERT_HEAD(&kvm->slots, slot, entry);
	return 0;
}

static long vm_set_user_memory_region(struct vfake_call *call)
{
	const struct kvm_userspace_memory_region *arg = call->arg;
	struct kvm *kvm = call->file->data;
	struct kvm_slot *slot;

	if (!region_is_sane(call->kernel, arg))
		return -EINVAL;
	LIST_FOREACH(slot, &kvm->slots, entry)
	{
		if (slot->id == arg->slot)
			break;
	}
	if (arg->memory_size)
		return slot ? change_slot(kvm, slot, arg) : add_slot(kvm, arg);
	if (!slot)
		return -EINVAL;
	LIST_REMOVE(slot, entry);
	vfake_free(kvm->kernel, slot);
	return 0;
}

/* ---- the VM's file ---- */

static const struct uapi_ioctl *vm_route(struct vfake_file *file, uint32_t number, long *error)
{
	const struct kvm *kvm = file->data;
	const struct uapi_ioctl *row = uapi_find(UAPI_ON_KVM_VM, number);

	*error = -EIO;
	if (kvm->mm != file->kernel->current->mm)
		return NULL;
	*error = -ENOTTY;
	if (row && (row->number & 0xff) == (KVM_CREATE_SPAPR_TCE & 0xff) && !is_power(file->kernel))
		return NULL;
	return row;
}

static void vm_release(struct vfake_file *file)
{
	vfake_kvm_put(file->data);
}

static const struct vfake_file_ops kvm_vm_ops = {
	.name = "kvm-vm",
	.route = vm_route,
	.release = vm_release,
};

struct kvm *vfake_kvm_from_file(struct vfake_file *file)
{
	return file && file->ops == &kvm_vm_ops ? file->data : NULL;
}

static long check_extension(struct vfake_call *call)
{
	bool power = is_power(call->kernel);

	switch (call->uarg) {
	case KVM_CAP_USER_MEMORY:
	case KVM_CAP_DEVICE_CTRL:
		return 1;
	case KVM_CAP_NR_MEMSLOTS:
		return slots_max(call->kernel);
	case KVM_CAP_SPAPR_TCE:
	case KVM_CAP_SPAPR_MULTITCE:
	case KVM_CAP_SPAPR_TCE_64:
	case KVM_CAP_SPAPR_TCE_VFIO:
		return power;
	default:
		return 0;
	}
}

const vfake_handler vfake_kvm_vm_handlers[VFAKE_HANDLERS] = {
	[KVM_CHECK_EXTENSION & 0xff] = check_extension,
	[KVM_SET_USER_MEMORY_REGION & 0xff] = vm_set_user_memory_region,
	[KVM_CREATE_SPAPR_TCE & 0xff] = kvm_spapr_create, /* and the 64-bit form: one number */
	[KVM_CREATE_DEVICE & 0xff] = vm_create_device,
};

/* ---- /dev/kvm ---- */

static long get_api_version(struct vfake_call *call)
{
	return call->uarg ? -EINVAL : KVM_API_VERSION;
}

/* Kinds of machines: 0 is the platform's own; POWER also knows its hypervisor kind by name. */
static long create_vm(struct vfake_call *call)
{
	struct kvm *kvm;
	int fd;

	if (call->uarg > (is_power(call->kernel) ? 1u : 0u))
		return -EINVAL;
	kvm = kvm_new(call->task);
	if (!kvm)
		return -ENOMEM;
	fd = vfake_fd_new(call->task, &kvm_vm_ops, kvm);
	if (fd < 0)
		vfake_kvm_put(kvm);
	return fd;
}

const vfake_handler vfake_kvm_handlers[VFAKE_HANDLERS] = {
	[KVM_GET_API_VERSION & 0xff] = get_api_version,
	[KVM_CREATE_VM & 0xff] = create_vm,
	[KVM_CHECK_EXTENSION & 0xff] = check_extension,
};

/* An unknown request on /dev/kvm itself is the architecture's to refuse, and it says EINVAL. */
static const struct uapi_ioctl *kvm_route(struct vfake_file *file, uint32_t number, long *error)
{
	(void)file;
	*error = -EINVAL;
	return uapi_find(UAPI_ON_KVM, number);
}

static const struct vfake_file_ops kvm_ops = {
	.name = "kvm",
	.route = kvm_route,
};

int vfake_kvm_open(struct vfake_task *task)
{
	return vfake_fd_new(task, &kvm_ops, NULL);
}

/* ---- inspection ---- */

int vfake_kvm_view(struct vfake_task *task, int vm_fd, struct vfake_kvm_view *view)
{
	struct vfake_file *file = vfake_fd_file(task, vm_fd);
	const struct kvm *kvm = vfake_kvm_from_file(file);

	if (!kvm)
		return file ? -EINVAL : -EBADF;
	*view = (struct vfake_kvm_view){
		.references = kvm->refs,
		.noncoherent_dma = kvm->noncoherent_dma,
		.has_vfio_device = kvm->vfio,
		.vfio_files = kvm->vfio ? kvm_vfio_file_count(kvm->vfio) : 0,
	};
	return 0;
}
