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

#include "fault_steps.h"

#define FEATURE(stage_name, what, before)                                                          \
	{                                                                                          \
		.row = "VFIO_DEVICE_FEATURE", .stage = stage_name, .note = ", " what,              \
		.prepare = before                                                                  \
	}
/* When the answer cannot be written, the state stays changed and the stream's descriptor goes. */
#define STREAM(stage_name, what, before)                                                           \
	{                                                                                          \
		.row = "VFIO_DEVICE_FEATURE", .stage = stage_name, .note = ", " what,              \
		.halves = true, .prepare = before                                                  \
	}

const struct fault_call fault_calls[] = {
	{ .row = "VFIO_SET_IOMMU",
	  .stage = "container with a group",
	  .scalar = VFIO_TYPE1v2_IOMMU },
	{ .row = "VFIO_SET_IOMMU", .stage = "iommufd", .scalar = VFIO_TYPE1v2_IOMMU },
	{ .row = "VFIO_CHECK_EXTENSION", .stage = "container", .scalar = VFIO_TYPE1v2_IOMMU },
	{ .row = "VFIO_CHECK_EXTENSION", .stage = "iommufd", .scalar = VFIO_TYPE1v2_IOMMU },
	{ .row = "VFIO_IOMMU_GET_INFO",
	  .stage = "type1 container",
	  .note = ", with room for capabilities",
	  .sets = { { "argsz", FROM_VALUE, 256 } } },
	{ .row = "VFIO_IOMMU_GET_INFO",
	  .stage = "iommufd",
	  .note = ", with room for capabilities",
	  .sets = { { "argsz", FROM_VALUE, 256 } } },
	{ .row = "VFIO_IOMMU_MAP_DMA",
	  .stage = "type1 container",
	  .note = ", 8 pages",
	  .sets = { { "size", FROM_MEMORY, 8 } } },
	{ .row = "VFIO_IOMMU_MAP_DMA",
	  .stage = "type1 container",
	  .note = ", a new vaddr",
	  .sets = { { "flags", FROM_VALUE, VFIO_DMA_MAP_FLAG_VADDR },
		    { "iova", FROM_VALUE, STAGE_MAPPED } },
	  .prepare = fault_unmap_vaddr },
	{ .row = "VFIO_IOMMU_MAP_DMA",
	  .stage = "iommufd",
	  .note = ", 8 pages",
	  .sets = { { "size", FROM_MEMORY, 8 } } },
	{ .row = "VFIO_IOMMU_UNMAP_DMA",
	  .stage = "type1 container",
	  .note = ", all",
	  .sets = { { "flags", FROM_VALUE, VFIO_DMA_UNMAP_FLAG_ALL },
		    { "iova", FROM_VALUE, 0 },
		    { "size", FROM_VALUE, 0 } } },
	{ .row = "VFIO_IOMMU_UNMAP_DMA",
	  .stage = "type1 container",
	  .note = ", with a bitmap",
	  .sets = { { "flags", FROM_VALUE, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP } },
	  .prepare = fault_unmap_with_bitmap },
	{ .row = "VFIO_IOMMU_UNMAP_DMA",
	  .stage = "type1 container",
	  .note = ", the vaddr only",
	  .sets = { { "flags", FROM_VALUE, VFIO_DMA_UNMAP_FLAG_VADDR } } },
	{ .row = "VFIO_IOMMU_UNMAP_DMA",
	  .stage = "iommufd",
	  .note = ", all",
	  .sets = { { "flags", FROM_VALUE, VFIO_DMA_UNMAP_FLAG_ALL },
		    { "iova", FROM_VALUE, 0 },
		    { "size", FROM_VALUE, 0 } } },
	{ .row = "VFIO_IOMMU_DIRTY_PAGES",
	  .stage = "type1 container",
	  .note = ", get",
	  .sets = { { "iova", FROM_VALUE, STAGE_MAPPED }, { "bitmap", FROM_MEMORY, 1 } } },
	{ .row = "VFIO_IOMMU_DIRTY_PAGES",
	  .stage = "type1 container",
	  .note = ", stop",
	  .sets = { { "flags", FROM_VALUE, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP } } },
	{ .row = "VFIO_IOMMU_ENABLE", .stage = "sPAPR v1 container", .prepare = fault_disable },
	{ .row = "VFIO_IOMMU_SPAPR_REGISTER_MEMORY",
	  .stage = "sPAPR v2 container",
	  .sets = { { "vaddr", FROM_MEMORY, 8 } } },
	{ .row = "VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY",
	  .stage = "sPAPR v2 container",
	  .sets = { { "size", FROM_MEMORY, 8 } } },
	{ .row = "VFIO_IOMMU_SPAPR_TCE_REMOVE",
	  .stage = "sPAPR v2 container",
	  .sets = { { "start_addr", FROM_VALUE, 0 } } },
	{ .row = "VFIO_GROUP_UNSET_CONTAINER",
	  .stage = "group in a container",
	  .prepare = fault_close_device },
	{ .row = "VFIO_GROUP_GET_DEVICE_FD",
	  .stage = "group in a container",
	  .prepare = fault_name_d0 },
	{ .row = "VFIO_GROUP_SET_CONTAINER",
	  .stage = "group",
	  .note = ", an iommufd",
	  .sets = { { "", FROM_FD, STAGE_IOMMUFD } } },
	{ .row = "VFIO_GROUP_SET_CONTAINER",
	  .stage = "group beside a set one",
	  .note = ", that has a driver" },
	{ .row = "VFIO_DEVICE_SET_IRQS",
	  .stage = "device of a group",
	  .note = ", an eventfd for INTx",
	  .sets = { { "flags", FROM_VALUE,
		      VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER },
		    { "count", FROM_VALUE, 1 } },
	  .prepare = fault_eventfd_behind },
	{ .row = "VFIO_DEVICE_SET_IRQS",
	  .stage = "device of a group",
	  .note = ", an eventfd for MSI",
	  .sets = { { "flags", FROM_VALUE,
		      VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER },
		    { "index", FROM_VALUE, VFIO_PCI_MSI_IRQ_INDEX },
		    { "count", FROM_VALUE, 1 } },
	  .prepare = fault_eventfd_behind },
	{ .row = "VFIO_DEVICE_SET_IRQS",
	  .stage = "device of a group",
	  .note = ", an eventfd for requests",
	  .sets = { { "flags", FROM_VALUE,
		      VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER },
		    { "index", FROM_VALUE, VFIO_PCI_REQ_IRQ_INDEX },
		    { "count", FROM_VALUE, 1 } },
	  .prepare = fault_eventfd_behind },
	{ .row = "VFIO_DEVICE_SET_IRQS",
	  .stage = "device of a group",
	  .note = ", off",
	  .prepare = fault_irq_is_on },
	{ .row = "VFIO_DEVICE_PCI_HOT_RESET",
	  .stage = "device that migrates",
	  .sets = { { "count", FROM_VALUE, 1 } },
	  .prepare = fault_group_behind },
	{ .row = "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO",
	  .stage = "device that migrates",
	  .sets = { { "argsz", FROM_VALUE, 256 } } },
	{ .row = "VFIO_DEVICE_GET_REGION_INFO",
	  .stage = "device of a group",
	  .note = ", with room for capabilities",
	  .sets = { { "argsz", FROM_VALUE, 256 } } },
	FEATURE("device that migrates", "MIGRATION", fault_feature_migration),
	FEATURE("device that migrates", "MIG_DEVICE_STATE", fault_feature_get_state),
	FEATURE("device that migrates", "to STOP", fault_feature_stop),
	STREAM("device that migrates", "to PRE_COPY", fault_feature_pre_copy),
	STREAM("device that migrates", "to STOP_COPY", fault_feature_stop_copy),
	STREAM("device that migrates", "to RESUMING", fault_feature_resuming),
	FEATURE("device that migrates", "MIG_DATA_SIZE", fault_feature_data_size),
	FEATURE("device that migrates", "DMA_LOGGING_START", fault_feature_log_start),
	FEATURE("device that migrates", "DMA_LOGGING_STOP", fault_feature_log_stop),
	FEATURE("device that migrates", "DMA_LOGGING_REPORT", fault_feature_log_report),
	FEATURE("device that migrates", "MIG_PRECOPY_INFOv2", fault_feature_precopy_info),
	FEATURE("device of a group", "LOW_POWER_ENTRY", fault_feature_low_power),
	FEATURE("device of a group", "LOW_POWER_ENTRY_WITH_WAKEUP", fault_feature_low_power_wakeup),
	FEATURE("device of a group", "DMA_BUF", fault_feature_dma_buf),
	{ .row = "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
	  .stage = "bound cdev",
	  .note = ", another table",
	  .sets = { { "pt_id", FROM_ID, UAPI_OBJ_HWPT_PAGING } } },
	{ .row = "VFIO_DEVICE_ATTACH_IOMMUFD_PT", .stage = "bound cdev that is detached" },
	{ .row = "IOMMU_DESTROY",
	  .stage = "iommufd",
	  .sets = { { "id", FROM_ID, UAPI_OBJ_HWPT_PAGING } } },
	{ .row = "IOMMU_IOAS_ALLOW_IOVAS",
	  .stage = "iommufd",
	  .note = ", none",
	  .sets = { { "num_iovas", FROM_VALUE, 0 } } },
	{ .row = "IOMMU_IOAS_MAP",
	  .stage = "iommufd",
	  .note = ", anywhere",
	  .sets = { { "flags", FROM_VALUE, 6 }, { "iova", FROM_VALUE, 0 } } },
	{ .row = "IOMMU_IOAS_MAP",
	  .stage = "iommufd",
	  .note = ", 8 pages",
	  .sets = { { "length", FROM_MEMORY, 8 } } },
	{ .row = "IOMMU_IOAS_COPY",
	  .stage = "iommufd",
	  .note = ", anywhere",
	  .sets = { { "flags", FROM_VALUE, 6 }, { "dst_iova", FROM_VALUE, 0 } } },
	{ .row = "IOMMU_IOAS_UNMAP",
	  .stage = "iommufd",
	  .note = ", all",
	  .sets = { { "iova", FROM_VALUE, 0 }, { "length", FROM_VALUE, UINT64_MAX } } },
	{ .row = "IOMMU_IOAS_IOVA_RANGES",
	  .stage = "iommufd",
	  .sets = { { "num_iovas", FROM_VALUE, 4 }, { "allowed_iovas", FROM_MEMORY, 1 } } },
	{ .row = "IOMMU_OPTION",
	  .stage = "iommufd",
	  .note = ", huge pages",
	  .sets = { { "op", FROM_VALUE, IOMMU_OPTION_OP_SET },
		    { "object_id", FROM_ID, UAPI_OBJ_IOAS },
		    { "val64", FROM_VALUE, 1 } } },
	{ .row = "IOMMU_VFIO_IOAS",
	  .stage = "iommufd",
	  .note = ", get",
	  .sets = { { "op", FROM_VALUE, IOMMU_VFIO_IOAS_GET }, { "ioas_id", FROM_VALUE, 0 } } },
	{ .row = "IOMMU_VFIO_IOAS",
	  .stage = "iommufd",
	  .note = ", clear",
	  .sets = { { "op", FROM_VALUE, IOMMU_VFIO_IOAS_CLEAR }, { "ioas_id", FROM_VALUE, 0 } } },
	{ .row = "IOMMU_HWPT_ALLOC",
	  .stage = "iommufd with a tracking table",
	  .note = ", that tracks dirty pages",
	  .sets = { { "flags", FROM_VALUE, IOMMU_HWPT_ALLOC_DIRTY_TRACKING },
		    { "fault_id", FROM_VALUE, 0 } } },
	{ .row = "IOMMU_HWPT_ALLOC",
	  .stage = "iommufd",
	  .note = ", plain",
	  .sets = { { "flags", FROM_VALUE, 0 }, { "fault_id", FROM_VALUE, 0 } } },
	{ .row = "IOMMU_HWPT_SET_DIRTY_TRACKING",
	  .stage = "iommufd with a tracking table",
	  .sets = { { "flags", FROM_VALUE, IOMMU_HWPT_DIRTY_TRACKING_ENABLE } } },
	{ .row = "IOMMU_HWPT_GET_DIRTY_BITMAP",
	  .stage = "iommufd with a tracking table",
	  .sets = { { "iova", FROM_VALUE, STAGE_MAPPED } } },
	{ .row = "IOMMU_GET_HW_INFO",
	  .stage = "iommufd",
	  .sets = { { "data_len", FROM_VALUE, 64 }, { "data_uptr", FROM_MEMORY, 1 } } },
	{ .row = "IOMMU_IOAS_CHANGE_PROCESS", .stage = "iommufd", .prepare = fault_only_files },
	{ .row = "KVM_SET_USER_MEMORY_REGION",
	  .stage = "VM",
	  .sets = { { "memory_size", FROM_MEMORY, 8 } } },
	{ .row = "KVM_CHECK_EXTENSION", .stage = "VM", .scalar = 3 },
	{ .row = "KVM_SET_DEVICE_ATTR",
	  .stage = "VFIO device of a VM",
	  .note = ", add",
	  .prepare = fault_vfio_file_in_memory },
	{ .row = "KVM_SET_DEVICE_ATTR",
	  .stage = "VFIO device of a VM",
	  .note = ", remove",
	  .sets = { { "attr", FROM_VALUE, KVM_DEV_VFIO_FILE_DEL } },
	  .prepare = fault_file_is_added },
};
const size_t fault_call_count = COUNT_OF(fault_calls);

static const char *const all_fail[] = {
	/* of mediated devices only */
	"VFIO_DEVICE_QUERY_GFX_PLANE",
	"VFIO_DEVICE_GET_GFX_DMABUF",
	/* the IOMMU of no machine here has them */
	"IOMMU_HWPT_INVALIDATE",
	"IOMMU_VIOMMU_ALLOC",
	"IOMMU_VDEVICE_ALLOC",
	"IOMMU_VEVENTQ_ALLOC",
	"IOMMU_HW_QUEUE_ALLOC",
	/* no attribute can be read */
	"KVM_GET_DEVICE_ATTR",
};

bool fault_leaves_half(const struct fault_call *call, const struct uapi_ioctl *row)
{
	/* What was attached is detached when the answer cannot be written, not put back. */
	return call->halves || (row && row->number == VFIO_DEVICE_ATTACH_IOMMUFD_PT);
}

bool fault_never_works(const struct uapi_ioctl *row)
{
	for (size_t i = 0; i < COUNT_OF(all_fail); i++) {
		if (!strcmp(all_fail[i], row->name))
			return true;
	}
	return false;
}

/* ---- arguments ---- */

static uint64_t value_of(const struct stage *s, enum fault_source source, uint64_t value,
			 const struct uapi_field *field)
{
	switch (source) {
	case FROM_MEMORY:
		return field->role == UAPI_LENGTH ? value * s->page_bytes
						  : s->memory + value * s->page_bytes;
	case FROM_FD:
		return (uint64_t)(int64_t)s->fds[value];
	case FROM_ID:
		return s->ids[__builtin_ctz((unsigned int)value)];
	default:
		return value;
	}
}

static void apply(const struct fault_call *call, const struct uapi_ioctl *row,
		  const struct stage *s, unsigned char *arg)
{
	static const struct uapi_field whole = { .name = "", .width = 4 };

	for (size_t i = 0; i < FAULT_SETS && call->sets[i].field; i++) {
		const struct uapi_field *field =
			row->arg ? uapi_find_field(row->arg, call->sets[i].field) : &whole;

		assert_non_null(field);
		uapi_field_put(field, arg,
			       value_of(s, call->sets[i].source, call->sets[i].value, field));
	}
}

void fault_call_prepare(const struct fault_call *call, const struct uapi_ioctl *row,
			struct stage *stage, unsigned char *arg)
{
	uint32_t bytes = 0;

	memset(arg, 0, SOUND_BYTES);
	if (row)
		bytes = sound_make(stage, row, arg);
	if (row)
		apply(call, row, stage, arg);
	if (call->prepare)
		call->prepare(stage, arg, &bytes);
}

long fault_call_make(const struct fault_call *call, const struct uapi_ioctl *row,
		     const struct stage *stage)
{
	bool number;

	if (call->make)
		return call->make(stage);
	number = row->law == UAPI_LAW_NONE || row->law == UAPI_LAW_SCALAR;

	return vfake_ioctl(stage->rig.task, stage->fd, row->number,
			   number ? call->scalar : stage->args);
}

/* ---- more stages ---- */

static void build_as(struct stage *s, const char *name)
{
	for (size_t i = 0; i < stage_kind_count; i++) {
		if (!strcmp(stage_kinds[i].name, name)) {
			stage_kinds[i].build(s);
			return;
		}
	}
	fail_msg("there is no stage `%s'", name);
}

static void build_beside(struct stage *s)
{
	s->fds[STAGE_CONTAINER] = open_set(s->rig.task, "d0", VFIO_TYPE1v2_IOMMU).container;
	s->fd = open_group(s->rig.task, "d1");
}

static void build_migrating(struct stage *s)
{
	s->fd = open_set(s->rig.task, "d3", VFIO_TYPE1v2_IOMMU).device;
}

static void build_stream(struct stage *s)
{
	struct vfio_device_feature_mig_state state;
	unsigned char arg[SOUND_BYTES] = { 0 };
	uint32_t bytes;

	build_migrating(s);
	fault_feature_pre_copy(s, arg, &bytes);
	fault_call_with(s, s->fd, VFIO_DEVICE_FEATURE, arg, bytes);
	memcpy(&state, arg + sizeof(struct vfio_device_feature), sizeof(state));
	s->fd = state.data_fd;
}

static void build_detached(struct stage *s)
{
	struct vfio_device_detach_iommufd_pt detach = {
		.argsz = UAPI_END(vfio_device_detach_iommufd_pt, flags)
	};

	build_as(s, "bound cdev");
	fault_call_with(s, s->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach, detach.argsz);
}

static void build_tracking(struct stage *s)
{
	struct iommu_hwpt_alloc hwpt = { .size = sizeof(hwpt),
					 .flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING };

	build_as(s, "iommufd");
	hwpt.dev_id = s->ids[__builtin_ctz(UAPI_OBJ_DEVICE)];
	hwpt.pt_id = s->ids[__builtin_ctz(UAPI_OBJ_IOAS)];
	fault_call_with(s, s->fd, IOMMU_HWPT_ALLOC, &hwpt, sizeof(hwpt));
	s->ids[__builtin_ctz(UAPI_OBJ_HWPT_PAGING)] = hwpt.out_hwpt_id;
}

static const struct stage_kind more_stages[] = {
	{ UAPI_ON_GROUP, "group beside a set one", build_beside, false, NULL },
	{ UAPI_ON_DEVICE, "device that migrates", build_migrating, false, "migrate" },
	{ UAPI_ON_MIG_DATA, "stream that saves", build_stream, false, "migrate" },
	{ UAPI_ON_DEVICE, "bound cdev that is detached", build_detached, false, NULL },
	{ UAPI_ON_IOMMUFD, "iommufd with a tracking table", build_tracking, false, "copy" },
};

const struct stage_kind *fault_stage(size_t index)
{
	if (index < stage_kind_count)
		return &stage_kinds[index];
	index -= stage_kind_count;
	return index < COUNT_OF(more_stages) ? &more_stages[index] : NULL;
}
