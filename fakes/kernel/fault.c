/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a call can be made to fail, and who is told of calls.
 *
 * Imitates what Linux 7.2 has in lib/fault-inject.c with failslab, fail_usercopy and iommufd's
 * selftest: an allocation, a copy or a call fails although nothing is wrong with it. Kept: a fault
 * strikes on behalf of a task's call only; the way down (a file's release) is never made to fail,
 * because Linux has no error to give there.
 *
 * Dropped: chance. Whoever set the hook decides, so the same run fails at the same place.
 */
#include "kernel.h"

void vfake_set_fault_hook(struct vfake_kernel *kernel, vfake_fault_hook hook, void *ctx)
{
	kernel->faults.hook = hook;
	kernel->faults.hook_ctx = ctx;
}

void vfake_set_event_hook(struct vfake_kernel *kernel, vfake_event_hook hook, void *ctx)
{
	kernel->faults.watch = hook;
	kernel->faults.watch_ctx = ctx;
}

int vfake_fault_ask(struct vfake_kernel *kernel, enum vfake_fault_stage stage)
{
	struct vfake_faults *faults = &kernel->faults;
	const struct vfake_fault_point *point = faults->points ? &faults->points[stage] : NULL;
	int ret;

	if (!point || !point->errnos[0])
		return 0;
	ret = faults->hook(faults->hook_ctx, point);
	if (ret)
		faults->hit = point;
	return ret;
}

int vfake_fault_command(struct vfake_kernel *kernel, uint16_t cmd, enum vfake_fault_stage stage)
{
	const struct uapi_ioctl *row = uapi_find(UAPI_ON_USER, cmd);
	int ret;

	if (!kernel->faults.hook || !row)
		return 0;
	kernel->faults.points = vfake_row_points(row);
	ret = vfake_fault_ask(kernel, stage);
	kernel->faults.points = NULL;
	kernel->faults.hit = NULL;
	return ret;
}

void vfake_spare_task(struct vfake_task *task)
{
	task->spared = true;
}

int vfake_enter(struct vfake_task *task, enum vfake_file_call call)
{
	task->kernel->faults.points = task->spared ? NULL : vfake_file_points(call);
	return vfake_fault(task->kernel, VFAKE_FAULT_ENTRY);
}

long vfake_leave(struct vfake_kernel *kernel, struct vfake_event *event, long ret)
{
	struct vfake_faults *faults = &kernel->faults;

	event->ret = ret;
	event->fault = faults->hit;
	faults->points = NULL;
	faults->hit = NULL;
	if (faults->watch)
		faults->watch(faults->watch_ctx, event);
	return ret;
}
