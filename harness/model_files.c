/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model's open files: how many references each has, and what goes with the last one.
 */
#include "model_internal.h"

const char *model_kind_name(enum model_kind kind)
{
	static const char *const names[MODEL_KINDS] = {
		[MODEL_FREE] = "nothing",
		[MODEL_CONTAINER] = "container",
		[MODEL_GROUP] = "group",
		[MODEL_DEVICE] = "device",
		[MODEL_IOMMUFD] = "iommufd",
		[MODEL_KVM] = "kvm",
		[MODEL_VM] = "kvm-vm",
		[MODEL_KVM_DEVICE] = "kvm-vfio",
		[MODEL_TCE_TABLE] = "kvm-spapr-tce",
		[MODEL_EVENTFD] = "eventfd",
		[MODEL_MEMFD] = "memfd",
		[MODEL_DMABUF] = "dma-buf",
		[MODEL_FAULTS] = "fault queue",
		[MODEL_STREAM] = "migration data",
		[MODEL_OTHER] = "something else",
	};

	return names[kind];
}

int model_file_new(struct model *m, enum model_kind kind, int of)
{
	struct model_file file = { .kind = kind, .of = of, .iommufd = -1, .vm = -1, .payer = -1 };
	size_t at = 0;

	while (at < m->files_count && m->files[at].kind != MODEL_FREE)
		at++;
	if (at == m->files_count) {
		if (!model_room(m, &m->files, &m->files_space, at, sizeof(*m->files)))
			return -1;
		m->files_count++;
	}
	m->files[at] = file;
	m->open_files++;
	return (int)at;
}

void model_file_get(struct model *m, int file)
{
	m->files[file].refs++;
}

/* What a file holds goes after the file itself is not there any more. */
static void released(struct model *m, struct model_file file)
{
	switch (file.kind) {
	case MODEL_CONTAINER:
		model_container_put(m, file.of);
		break;
	case MODEL_GROUP:
		model_group_released(m, file.of);
		break;
	case MODEL_DEVICE:
		model_device_released(m, &file);
		break;
	case MODEL_IOMMUFD:
		model_iommufd_released(m, file.of);
		break;
	case MODEL_VM:
		model_vm_put(m, file.of);
		break;
	case MODEL_KVM_DEVICE:
		model_kvm_device_released(m, file.of);
		break;
	case MODEL_TCE_TABLE:
		m->tasks[file.payer].locked -= file.charged;
		model_vm_put(m, file.of);
		break;
	case MODEL_FAULTS:
		model_object(m, file.iommufd, file.object)->users--;
		model_file_put(m, m->iommufds[file.iommufd].file);
		break;
	default:
		break;
	}
}

void model_file_put(struct model *m, int file)
{
	struct model_file gone = m->files[file];

	if (--m->files[file].refs)
		return;
	m->files[file] = (struct model_file){ .kind = MODEL_FREE };
	m->open_files--;
	released(m, gone);
}
