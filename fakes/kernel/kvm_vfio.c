/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The KVM VFIO device: the list of VFIO files that a VM was told about.
 *
 * Imitates virt/kvm/vfio.c of Linux 7.2.
 *
 * Kept: one such device in a VM; a file is in the list once, by identity, not by descriptor, so a
 * dup() is the same file; each entry holds its file; groups and devices learn their VM from here
 * and forget it when the file leaves the list or the list goes; the VM counts a device with a file
 * whose IOMMU cannot enforce coherency once, however many files there are; the order of checks.
 *
 * Dropped on purpose: the WARN for a file without an IOMMU group. Linux 7.2 prints it when
 * SET_SPAPR_TCE names a device opened through its cdev, and again when an entry that no table was
 * set on leaves the list, so any caller can reach it. Here the first is a plain EIO, the errno that
 * Linux returns too, and the second is nothing.
 */
#include <uapi/kvm.h>

#include "kvm.h"

struct kvm_vfio_file {
	TAILQ_ENTRY(kvm_vfio_file) entry;
	struct vfake_file *file; /* counted */
	bool has_tables;	 /* this VM serves TCE tables of it, a group */
};

struct kvm_vfio {
	struct kvm *kvm;
	TAILQ_HEAD(, kvm_vfio_file) files; /* oldest first */
	bool noncoherent;
};

int kvm_vfio_create(struct kvm *kvm, struct kvm_vfio **vfio)
{
	if (kvm->vfio)
		return -EBUSY;
	*vfio = vfake_alloc(kvm->kernel, sizeof(**vfio));
	if (!*vfio)
		return -ENOMEM;
	(*vfio)->kvm = kvm;
	TAILQ_INIT(&(*vfio)->files);
	return 0;
}

uint32_t kvm_vfio_file_count(const struct kvm_vfio *vfio)
{
	const struct kvm_vfio_file *at;
	uint32_t count = 0;

	TAILQ_FOREACH(at, &vfio->files, entry)
	count++;
	return count;
}

static bool is_vfio(struct vfake_file *file)
{
	return vfio_group_from_file(file) || vfio_device_file_from_file(file);
}

static void set_kvm(struct vfake_file *file, struct kvm *kvm)
{
	struct vfio_group *group = vfio_group_from_file(file);
	struct vfio_device_file *df = vfio_device_file_from_file(file);

	if (group)
		group->kvm = kvm;
	if (df)
		df->kvm = kvm;
}

/* ---- coherency ---- */

static bool file_enforces(struct vfake_file *file)
{
	const struct vfio_group *group = vfio_group_from_file(file);

	if (group)
		return vfio_group_enforces_coherency(group);
	return vfio_device_enforces_coherency(vfio_device_file_from_file(file)->device);
}

/* POWER keeps no count: its hook for this is empty. */
static void count_noncoherent(struct kvm *kvm, bool noncoherent)
{
	if (kvm->kernel->world.platform == VFAKE_PLATFORM_POWERNV)
		return;
	if (noncoherent)
		kvm->noncoherent_dma++;
	else
		kvm->noncoherent_dma--;
}

static void update_coherency(struct kvm_vfio *vfio)
{
	const struct kvm_vfio_file *at;
	bool noncoherent = false;

	TAILQ_FOREACH(at, &vfio->files, entry)
	{
		if (!file_enforces(at->file))
			noncoherent = true;
	}
	if (noncoherent == vfio->noncoherent)
		return;
	vfio->noncoherent = noncoherent;
	count_noncoherent(vfio->kvm, noncoherent);
}

/* ---- the list ---- */

static struct kvm_vfio_file *find(struct kvm_vfio *vfio, const struct vfake_file *file)
{
	struct kvm_vfio_file *at;

	TAILQ_FOREACH(at, &vfio->files, entry)
	{
		if (at->file == file)
			break;
	}
	return at;
}

static int add(struct kvm_vfio *vfio, struct vfake_file *file)
{
	struct kvm_vfio_file *entry;
	int ret;

	if (!file)
		return -EBADF;
	if (!is_vfio(file))
		return -EINVAL;
	if (find(vfio, file))
		return -EEXIST;
	entry = vfake_alloc(file->kernel, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	ret = vfake_fault(file->kernel, VFAKE_FAULT_COMMIT);
	if (ret) {
		vfake_free(file->kernel, entry);
		return ret;
	}
	entry->file = file;
	vfake_file_get(file);
	TAILQ_INSERT_TAIL(&vfio->files, entry, entry);
	set_kvm(file, vfio->kvm);
	update_coherency(vfio);
	return 0;
}

static void drop(struct kvm_vfio *vfio, struct kvm_vfio_file *entry)
{
	struct vfake_kernel *kernel = vfio->kvm->kernel;

	if (entry->has_tables)
		kvm_spapr_release_group(vfio->kvm, vfio_group_from_file(entry->file));
	set_kvm(entry->file, NULL);
	TAILQ_REMOVE(&vfio->files, entry, entry);
	vfake_file_put(entry->file);
	vfake_free(kernel, entry);
}

static int del(struct kvm_vfio *vfio, const struct vfake_file *file)
{
	struct kvm_vfio_file *entry;
	int ret;

	if (!file)
		return -EBADF;
	entry = find(vfio, file);
	if (!entry)
		return -ENOENT;
	ret = vfake_fault(file->kernel, VFAKE_FAULT_COMMIT);
	if (ret)
		return ret;
	drop(vfio, entry);
	update_coherency(vfio);
	return 0;
}

void kvm_vfio_release(struct kvm_vfio *vfio)
{
	struct kvm_vfio_file *entry;

	while ((entry = TAILQ_FIRST(&vfio->files)))
		drop(vfio, entry);
	update_coherency(vfio);
	vfake_free(vfio->kvm->kernel, vfio);
}

/* ---- attributes ---- */

static bool has_tables(const struct kvm_vfio *vfio)
{
	return vfio->kvm->kernel->world.platform == VFAKE_PLATFORM_POWERNV;
}

static int set_spapr_tce(struct kvm_vfio *vfio, struct vfake_call *call, uint64_t addr)
{
	struct kvm_vfio_spapr_tce arg;
	struct kvm_vfio_file *entry;
	struct vfake_file *file;
	struct vfio_group *group;
	int ret;

	if (vfake_copy_in(call, &arg, addr, sizeof(arg)))
		return -EFAULT;
	file = vfake_fd_file(call->task, arg.groupfd);
	if (!file)
		return -EBADF;
	entry = find(vfio, file);
	if (!entry)
		return -ENOENT;
	group = vfio_group_from_file(file);
	if (!group)
		return -EIO;
	ret = vfake_fault(call->kernel, VFAKE_FAULT_COMMIT);
	if (!ret)
		ret = kvm_spapr_attach_group(vfio->kvm, call->task, arg.tablefd, group);
	if (!ret)
		entry->has_tables = true;
	return ret;
}

long kvm_vfio_set_attr(struct kvm_vfio *vfio, struct vfake_call *call)
{
	const struct kvm_device_attr *attr = call->arg;
	struct vfake_file *file;
	int32_t fd;

	if (attr->group != KVM_DEV_VFIO_FILE)
		return -ENXIO;
	if (attr->attr == KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE && has_tables(vfio))
		return set_spapr_tce(vfio, call, attr->addr);
	if (attr->attr != KVM_DEV_VFIO_FILE_ADD && attr->attr != KVM_DEV_VFIO_FILE_DEL)
		return -ENXIO;
	if (vfake_copy_in(call, &fd, attr->addr, sizeof(fd)))
		return -EFAULT;
	file = vfake_fd_file(call->task, fd);
	return attr->attr == KVM_DEV_VFIO_FILE_ADD ? add(vfio, file) : del(vfio, file);
}

long kvm_vfio_has_attr(struct kvm_vfio *vfio, uint32_t group, uint64_t attr)
{
	if (group != KVM_DEV_VFIO_FILE)
		return -ENXIO;
	if (attr == KVM_DEV_VFIO_FILE_ADD || attr == KVM_DEV_VFIO_FILE_DEL)
		return 0;
	return attr == KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE && has_tables(vfio) ? 0 : -ENXIO;
}
