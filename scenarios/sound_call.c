/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <uapi/iommufd.h>
#include <uapi/kvm.h>

#include "sound_call.h"

/* Values that make a row's argument sound enough for later rules to be reached. */
static const struct hint {
	const char *row, *field;
	uint64_t value;
} hints[] = {
	{ "VFIO_IOMMU_MAP_DMA", "flags", READ_WRITE },
	{ "VFIO_IOMMU_UNMAP_DMA", "iova", STAGE_MAPPED },
	{ "VFIO_IOMMU_DIRTY_PAGES", "flags", VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP },
	{ "VFIO_IOMMU_DIRTY_PAGES", "bitmap_size", 8 },
	{ "VFIO_IOMMU_SPAPR_TCE_CREATE", "page_shift", 16 },
	{ "VFIO_IOMMU_SPAPR_TCE_CREATE", "window_size", 1 << 24 },
	{ "VFIO_IOMMU_SPAPR_TCE_CREATE", "levels", 1 },
	{ "VFIO_DEVICE_SET_IRQS", "flags", VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER },
	{ "VFIO_DEVICE_FEATURE", "flags", VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET },
	{ "VFIO_DEVICE_IOEVENTFD", "flags", 1 },
	{ "VFIO_DEVICE_IOEVENTFD", "fd", STAGE_EVENTFD },
	{ "VFIO_DEVICE_BIND_IOMMUFD", "iommufd", STAGE_IOMMUFD },
	{ "VFIO_GROUP_SET_CONTAINER", "", STAGE_CONTAINER },
	{ "IOMMU_IOAS_MAP", "flags", 7 },
	{ "IOMMU_IOAS_MAP_FILE", "flags", 7 },
	{ "IOMMU_IOAS_MAP_FILE", "fd", STAGE_MEMFD },
	{ "IOMMU_IOAS_COPY", "flags", 7 },
	{ "IOMMU_IOAS_COPY", "src_iova", STAGE_MAPPED },
	{ "IOMMU_IOAS_UNMAP", "iova", STAGE_MAPPED },
	{ "IOMMU_OPTION", "option_id", IOMMU_OPTION_HUGE_PAGES },
	{ "IOMMU_OPTION", "op", IOMMU_OPTION_OP_GET },
	{ "IOMMU_VFIO_IOAS", "op", IOMMU_VFIO_IOAS_SET },
	{ "IOMMU_HWPT_ALLOC", "flags", IOMMU_HWPT_FAULT_ID_VALID },
	{ "KVM_CREATE_DEVICE", "type", KVM_DEV_TYPE_VFIO },
	{ "KVM_SET_DEVICE_ATTR", "group", KVM_DEV_VFIO_FILE },
	{ "KVM_SET_DEVICE_ATTR", "attr", KVM_DEV_VFIO_FILE_ADD },
	{ "KVM_HAS_DEVICE_ATTR", "group", KVM_DEV_VFIO_FILE },
	{ "KVM_HAS_DEVICE_ATTR", "attr", KVM_DEV_VFIO_FILE_ADD },
	{ "KVM_CREATE_SPAPR_TCE", "window_size", 1 << 20 },
	{ "KVM_CREATE_SPAPR_TCE_64", "page_shift", 16 },
	{ "KVM_CREATE_SPAPR_TCE_64", "size", 16 },
};

uint64_t sound_hint(const struct uapi_ioctl *row, const char *field, uint64_t otherwise)
{
	for (size_t i = 0; i < COUNT_OF(hints); i++) {
		if (!strcmp(hints[i].row, row->name) && !strcmp(hints[i].field, field))
			return hints[i].value;
	}
	return otherwise;
}

static uint32_t first_id(const struct stage *stage, uint32_t kinds)
{
	for (int i = 0; i < STAGE_OBJECTS; i++) {
		if (kinds >> i & 1 && stage->ids[i])
			return stage->ids[i];
	}
	return 0;
}

static uint64_t sound_value(const struct stage *stage, const struct uapi_ioctl *row,
			    const struct uapi_field *field, uint32_t bytes)
{
	uint64_t otherwise = 0;

	switch (field->role) {
	case UAPI_SELF_SIZE:
		return bytes;
	case UAPI_FD:
		return (uint64_t)(int64_t)stage->fds[sound_hint(row, field->name, STAGE_NO_FD)];
	case UAPI_ID:
		return first_id(stage, field->aux);
	case UAPI_IOVA:
		otherwise = STAGE_UNMAPPED;
		break;
	case UAPI_VADDR:
	case UAPI_PTR:
		otherwise = stage->memory;
		break;
	case UAPI_LENGTH:
	case UAPI_PGSIZE:
		otherwise = stage->page_bytes;
		break;
	default:
		break;
	}
	return sound_hint(row, field->name, otherwise);
}

uint32_t sound_make(const struct stage *stage, const struct uapi_ioctl *row, unsigned char *arg)
{
	const struct uapi_struct *type = row->arg;
	uint32_t bytes;

	memset(arg, 0, SOUND_BYTES);
	if (!type) {
		int32_t fd = stage->fds[sound_hint(row, "", STAGE_NO_FD)];

		memcpy(arg, &fd, sizeof(fd));
		return sizeof(fd);
	}
	bytes = type->size_bytes;
	for (uint16_t i = 0; i < type->field_count; i++) {
		uint32_t end = type->fields[i].offset + type->fields[i].width;

		bytes = end > bytes ? end : bytes;
	}
	assert_true(bytes < SOUND_BYTES / 2);
	for (uint16_t i = 0; i < type->field_count; i++) {
		const struct uapi_field *field = &type->fields[i];

		if (field->dir & UAPI_IN)
			uapi_field_put(field, arg, sound_value(stage, row, field, bytes));
	}
	return bytes;
}
