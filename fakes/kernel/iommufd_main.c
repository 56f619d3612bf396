/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /dev/iommu: the context, its objects, and which handler answers which ioctl.
 *
 * Imitates drivers/iommu/iommufd/main.c of Linux 7.2.
 *
 * Kept: the context is the open file; an id is the lowest free number from 1; an object that is
 * being made has its id already but cannot be found; DESTROY is ENOENT for an id that is free,
 * EBUSY while the object has another user; the last close destroys objects without users until none
 * is left; destroying the compat IOAS clears it. A handler that makes an object leaves the way back
 * to the dispatcher (call->undo), because only there is it known whether the answer reached the
 * caller.
 *
 * Dropped: the second reference count, by which Linux waits up to 60 seconds for an ioctl that
 * still works on the object: a kernel here runs one call at a time. mmap() of a vIOMMU's registers:
 * no hardware here has them.
 */
#include <stdlib.h>
#include <string.h>

#include <uapi/vfio.h>

#include "iommufd_private.h"

enum { FIRST_TABLE = 16 };

typedef void (*destroy_fn)(struct iommufd_ctx *ictx, struct iommufd_object *obj);

/* What goes before the object's memory does. */
static const destroy_fn destroyers[IOMMUFD_OBJ_TYPES] = {
	[IOMMUFD_OBJ_DEVICE] = iommufd_device_destroy,
	[IOMMUFD_OBJ_IOAS] = iommufd_ioas_destroy,
	[IOMMUFD_OBJ_HWPT_PAGING] = iommufd_hwpt_destroy,
};

/* ---- objects ---- */

/* A table never shrinks, so it is not in the ledger: a call that fails may leave it larger. */
static bool grow_table(struct iommufd_ctx *ictx)
{
	uint32_t space = ictx->object_space ? 2 * ictx->object_space : FIRST_TABLE;
	struct iommufd_object **objects;

	if (space < ictx->object_space)
		return false;
	if (vfake_fault(ictx->kernel, VFAKE_FAULT_ALLOC))
		return false;
	objects = realloc(ictx->objects, space * sizeof(struct iommufd_object *));
	if (!objects)
		return false;
	memset(objects + ictx->object_space, 0,
	       (space - ictx->object_space) * sizeof(struct iommufd_object *));
	ictx->objects = objects;
	ictx->object_space = space;
	return true;
}

void *iommufd_object_alloc(struct iommufd_ctx *ictx, size_t size_bytes,
			   enum iommufd_object_type type)
{
	struct iommufd_object *obj = vfake_alloc(ictx->kernel, size_bytes);
	uint32_t id = ictx->lowest_free;

	if (!obj)
		return NULL;
	while (id < ictx->object_space && ictx->objects[id])
		id++;
	if (id >= ictx->object_space && !grow_table(ictx)) {
		vfake_free(ictx->kernel, obj);
		return NULL;
	}
	ictx->objects[id] = obj;
	ictx->object_count++;
	ictx->lowest_free = id + 1;
	obj->id = id;
	obj->users = 1;
	obj->type = type;
	return obj;
}

void iommufd_object_finalize(struct iommufd_object *obj)
{
	obj->finalized = true;
}

static void free_object(struct iommufd_ctx *ictx, struct iommufd_object *obj)
{
	ictx->objects[obj->id] = NULL;
	ictx->object_count--;
	if (obj->id < ictx->lowest_free)
		ictx->lowest_free = obj->id;
	vfake_free(ictx->kernel, obj);
}

void iommufd_object_abort(struct iommufd_ctx *ictx, struct iommufd_object *obj)
{
	vfake_warn_on(ictx->kernel, obj->finalized || obj->users != 1);
	free_object(ictx, obj);
}

void *iommufd_object_get(struct iommufd_ctx *ictx, uint32_t id, enum iommufd_object_type type)
{
	struct iommufd_object *obj = id < ictx->object_space ? ictx->objects[id] : NULL;

	if (!obj || !obj->finalized || (type != IOMMUFD_OBJ_ANY && obj->type != type))
		return NULL;
	return obj;
}

static void destroy(struct iommufd_ctx *ictx, struct iommufd_object *obj)
{
	obj->finalized = false;
	if (obj->type == IOMMUFD_OBJ_IOAS && ictx->vfio_ioas == (struct iommufd_ioas *)obj)
		ictx->vfio_ioas = NULL;
	if (destroyers[obj->type])
		destroyers[obj->type](ictx, obj);
	free_object(ictx, obj);
}

int iommufd_object_remove(struct iommufd_ctx *ictx, uint32_t id)
{
	struct iommufd_object *obj = iommufd_object_get(ictx, id, IOMMUFD_OBJ_ANY);

	if (!obj)
		return -ENOENT;
	if (obj->users != 1)
		return -EBUSY;
	destroy(ictx, obj);
	return 0;
}

void iommufd_object_put_and_try_destroy(struct iommufd_ctx *ictx, struct iommufd_object *obj)
{
	obj->users--;
	iommufd_object_remove(ictx, obj->id);
}

static void undo_object(struct vfake_call *call)
{
	struct iommufd_object *obj = call->undo_data;

	iommufd_object_remove(iommufd_call_ctx(call), obj->id);
}

void iommufd_object_respond(struct vfake_call *call, struct iommufd_object *obj)
{
	iommufd_object_finalize(obj);
	call->undo = undo_object;
	call->undo_data = obj;
}

static long iommufd_destroy(struct vfake_call *call)
{
	const struct iommu_destroy *arg = call->arg;

	return iommufd_object_remove(iommufd_call_ctx(call), arg->id);
}

const vfake_handler vfake_iommufd_handlers[VFAKE_HANDLERS] = {
	[IOMMU_DESTROY & 0xff] = iommufd_destroy,
	[IOMMU_IOAS_ALLOC & 0xff] = iommufd_ioas_alloc_ioctl,
	[IOMMU_IOAS_ALLOW_IOVAS & 0xff] = iommufd_ioas_allow_iovas,
	[IOMMU_IOAS_COPY & 0xff] = iommufd_ioas_copy,
	[IOMMU_IOAS_IOVA_RANGES & 0xff] = iommufd_ioas_iova_ranges,
	[IOMMU_IOAS_MAP & 0xff] = iommufd_ioas_map,
	[IOMMU_IOAS_MAP_FILE & 0xff] = iommufd_ioas_map_file,
	[IOMMU_IOAS_UNMAP & 0xff] = iommufd_ioas_unmap,
	[IOMMU_IOAS_CHANGE_PROCESS & 0xff] = iommufd_ioas_change_process,
	[IOMMU_OPTION & 0xff] = iommufd_option,
	[IOMMU_VFIO_IOAS & 0xff] = iommufd_vfio_ioas,
	[IOMMU_HWPT_ALLOC & 0xff] = iommufd_hwpt_alloc_ioctl,
	[IOMMU_GET_HW_INFO & 0xff] = iommufd_get_hw_info,
	[IOMMU_HWPT_SET_DIRTY_TRACKING & 0xff] = iommufd_hwpt_set_dirty_tracking,
	[IOMMU_HWPT_GET_DIRTY_BITMAP & 0xff] = iommufd_hwpt_get_dirty_bitmap,
	[IOMMU_HWPT_INVALIDATE & 0xff] = iommufd_hwpt_invalidate,
	[IOMMU_FAULT_QUEUE_ALLOC & 0xff] = iommufd_fault_alloc,
	[IOMMU_VIOMMU_ALLOC & 0xff] = iommufd_viommu_alloc,
	[IOMMU_VDEVICE_ALLOC & 0xff] = iommufd_vdevice_alloc,
	[IOMMU_VEVENTQ_ALLOC & 0xff] = iommufd_veventq_alloc,
	[IOMMU_HW_QUEUE_ALLOC & 0xff] = iommufd_hw_queue_alloc,
	[VFIO_GET_API_VERSION & 0xff] = iommufd_vfio_get_api_version,
	[VFIO_CHECK_EXTENSION & 0xff] = iommufd_vfio_check_extension,
	[VFIO_SET_IOMMU & 0xff] = iommufd_vfio_set_iommu,
	[VFIO_IOMMU_GET_INFO & 0xff] = iommufd_vfio_get_info,
	[VFIO_IOMMU_MAP_DMA & 0xff] = iommufd_vfio_map_dma,
	[VFIO_IOMMU_UNMAP_DMA & 0xff] = iommufd_vfio_unmap_dma,
};

/* ---- the file ---- */

static const struct uapi_ioctl *iommufd_route(struct vfake_file *file, uint32_t number, long *error)
{
	(void)file;
	*error = -ENOTTY;
	return uapi_find(UAPI_ON_IOMMUFD, number);
}

/* Leaves of the graph of users first; what they used becomes a leaf by it. */
static void iommufd_release(struct vfake_file *file)
{
	struct iommufd_ctx *ictx = file->data;
	uint32_t before;

	do {
		before = ictx->object_count;
		for (uint32_t id = 1; id < ictx->object_space; id++) {
			struct iommufd_object *obj = ictx->objects[id];

			if (obj && obj->users == 1)
				destroy(ictx, obj);
		}
	} while (ictx->object_count && ictx->object_count != before);
	vfake_warn_on(ictx->kernel, ictx->object_count || !LIST_EMPTY(&ictx->groups));
	free(ictx->objects);
	vfake_free(ictx->kernel, ictx);
}

static const struct vfake_file_ops iommufd_ops = {
	.name = "iommufd",
	.route = iommufd_route,
	.release = iommufd_release,
};

static int open_with(struct vfake_task *task, enum iopt_account_mode mode)
{
	struct iommufd_ctx *ictx = vfake_alloc(task->kernel, sizeof(*ictx));
	int fd;

	if (!ictx)
		return -ENOMEM;
	ictx->kernel = task->kernel;
	ictx->lowest_free = 1;
	ictx->account_mode = (uint8_t)mode;
	LIST_INIT(&ictx->groups);
	fd = vfake_fd_new(task, &iommufd_ops, ictx);
	if (fd < 0)
		vfake_free(task->kernel, ictx);
	else
		ictx->file = vfake_fd_file(task, fd);
	return fd;
}

int vfake_iommufd_open(struct vfake_task *task)
{
	return open_with(task, IOPT_ACCOUNT_NONE);
}

int vfake_iommufd_compat_open(struct vfake_task *task)
{
	return open_with(task, IOPT_ACCOUNT_MM);
}

struct iommufd_ctx *iommufd_ctx_from_file(struct vfake_file *file)
{
	return file->ops == &iommufd_ops ? file->data : NULL;
}

void iommufd_ctx_get(struct iommufd_ctx *ictx)
{
	vfake_file_get(ictx->file);
}

void iommufd_ctx_put(struct iommufd_ctx *ictx)
{
	vfake_file_put(ictx->file);
}

struct iommufd_ctx *iommufd_call_ctx(const struct vfake_call *call)
{
	return call->file->data;
}
