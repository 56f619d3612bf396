/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a system call to its handler and back, by the table of include/uapi.
 *
 * Imitates the entry points of Linux 7.2: fs/ioctl.c and fs/read_write.c, and the head of each VFIO
 * and iommufd ioctl that copies its argument in and judges its size (iommufd_fops_ioctl() and the
 * `minsz` lines of VFIO).
 *
 * Kept, in this order: the descriptor, the file's route (does this request exist here, now?), the
 * size, the copy, a non-zero tail, flags and reserved fields where the row says that Linux judges
 * them first; after the handler the copy back. An effect stays when the copy-out faults, unless the
 * handler left an undo: as in Linux, where few calls take their effect back.
 *
 * Dropped: the 32-bit compatibility entry points.
 */
#include <string.h>

#include <uapi/iommufd.h>
#include <uapi/kvm.h>
#include <uapi/vfio.h>
#include <uapi/vfio_iommu.h>

#include "kernel.h"

static const vfake_handler *const handler_tables[UAPI_WHERE_COUNT] = {
	[UAPI_ON_CONTAINER] = vfake_container_handlers,
	[UAPI_ON_TYPE1] = vfake_type1_handlers,
	[UAPI_ON_SPAPR] = vfake_spapr_handlers,
	[UAPI_ON_GROUP] = vfake_group_handlers,
	[UAPI_ON_DEVICE] = vfake_device_handlers,
	[UAPI_ON_IOMMUFD] = vfake_iommufd_handlers,
	[UAPI_ON_KVM] = vfake_kvm_handlers,
	[UAPI_ON_KVM_VM] = vfake_kvm_vm_handlers,
	[UAPI_ON_KVM_DEVICE] = vfake_kvm_device_handlers,
	[UAPI_ON_MIG_DATA] = vfake_mig_data_handlers,
};

static vfake_handler handler_of(const struct uapi_ioctl *row)
{
	return handler_tables[row->where][row->number & 0xff];
}

bool vfake_implements(int where, uint32_t number)
{
	const struct uapi_ioctl *row;

	if (where < 0 || where >= UAPI_WHERE_COUNT)
		return false;
	row = uapi_find((enum uapi_where)where, number);
	/* Messages are answered by who serves the device: fakes/peer. */
	return row && (where == UAPI_ON_USER || handler_of(row));
}

int vfake_user_read(struct vfake_task *task, void *to, uint64_t from, uint64_t len)
{
	int ret = vfake_fault(task->kernel, VFAKE_FAULT_COPYIN);

	return ret ? ret : vfake_mm_read(task->mm, to, from, len);
}

int vfake_user_write(struct vfake_task *task, uint64_t to, const void *from, uint64_t len)
{
	int ret = vfake_fault(task->kernel, VFAKE_FAULT_COPYOUT);

	return ret ? ret : vfake_mm_write(task->mm, to, from, len);
}

int vfake_copy_in(struct vfake_call *call, void *to, uint64_t from, uint64_t len)
{
	return vfake_user_read(call->task, to, from, len);
}

int vfake_copy_out(struct vfake_call *call, uint64_t to, const void *from, uint64_t len)
{
	return vfake_user_write(call->task, to, from, len);
}

/* A caller built against newer headers may pass a longer struct, if what this kernel does not know
 * is zero. */
static long check_tail(struct vfake_call *call, uint32_t known_bytes)
{
	uint64_t at = call->uarg + known_bytes;
	uint64_t left = call->size_bytes - known_bytes;
	unsigned char chunk[64];

	while (left) {
		uint64_t n = sizeof(chunk) - at % sizeof(chunk); /* within one page */

		if (n > left)
			n = left;
		if (vfake_copy_in(call, chunk, at, n))
			return -EFAULT;
		for (uint64_t i = 0; i < n; i++) {
			if (chunk[i])
				return -E2BIG;
		}
		at += n;
		left -= n;
	}
	return 0;
}

/* iommufd's law: the size is read first and judged before anything else is. */
static long copy_in_sized(struct vfake_call *call)
{
	const struct uapi_ioctl *row = call->row;
	uint32_t known = row->arg->size_bytes;
	long ret;

	if (vfake_copy_in(call, &call->size_bytes, call->uarg, sizeof(call->size_bytes)))
		return -EFAULT;
	if (call->size_bytes < row->min_size_bytes)
		return -EINVAL;
	if (call->size_bytes > known) {
		ret = check_tail(call, known);
		if (ret)
			return ret;
	} else {
		known = call->size_bytes;
	}
	return vfake_copy_in(call, call->arg, call->uarg, known);
}

/*
 * VFIO's law: the shortest legal struct is copied whatever argsz says, then argsz is judged. What
 * lies behind it and inside argsz is copied too where it can be; Linux may never look at it, so
 * what cannot be read is zero.
 */
static long copy_in_argsz(struct vfake_call *call)
{
	const struct uapi_ioctl *row = call->row;
	uint32_t min = row->min_size_bytes;
	uint32_t known = row->arg->size_bytes;
	char *rest = (char *)call->arg + min;

	if (vfake_copy_in(call, call->arg, call->uarg, min))
		return -EFAULT;
	memcpy(&call->size_bytes, call->arg, sizeof(call->size_bytes));
	if (call->size_bytes < min)
		return -EINVAL;
	if (call->size_bytes < known)
		known = call->size_bytes;
	if (known > min && vfake_mm_read(call->task->mm, rest, call->uarg + min, known - min))
		memset(rest, 0, known - min);
	return 0;
}

static long copy_in_argument(struct vfake_call *call)
{
	switch (call->row->law) {
	case UAPI_LAW_SIZED:
		return copy_in_sized(call);
	case UAPI_LAW_ARGSZ:
		return copy_in_argsz(call);
	case UAPI_LAW_STRUCT:
		call->size_bytes = call->row->arg->size_bytes;
		return vfake_copy_in(call, call->arg, call->uarg, call->size_bytes);
	case UAPI_LAW_FD_PTR:
	case UAPI_LAW_U32_PTR:
		call->size_bytes = sizeof(int32_t);
		return vfake_copy_in(call, call->arg, call->uarg, call->size_bytes);
	default:
		return 0;
	}
}

/* Undefined flag bits and non-zero reserved fields, for rows where Linux looks at them before all
 * else. */
static long check_flags(const struct vfake_call *call)
{
	const struct uapi_ioctl *row = call->row;

	if (!row->flags_early)
		return 0;
	for (uint32_t i = 0; i < row->arg->field_count; i++) {
		const struct uapi_field *field = &row->arg->fields[i];

		if (field->tail)
			continue;
		if (field->role == UAPI_FLAGS &&
		    (uapi_field_get(field, call->arg) & ~row->legal_flags))
			return -row->flags_errno;
		if (field->role == UAPI_ZERO && uapi_field_get(field, call->arg))
			return -row->flags_errno;
	}
	return 0;
}

static long copy_out_struct(struct vfake_call *call)
{
	uint32_t len = call->row->arg->size_bytes;

	if (call->size_bytes < len)
		len = call->size_bytes;
	return vfake_copy_out(call, call->uarg, call->arg, len);
}

/* What the watcher sees as the argument, before the handler works on it. */
static void note_in(struct vfake_call *call, struct vfake_event *event)
{
	size_t bytes = call->row->arg ? call->row->arg->size_bytes : call->size_bytes;

	if (!call->kernel->faults.watch || !call->size_bytes)
		return;
	event->in = memcpy(call->before, call->arg, bytes);
}

/*
 * Rows whose handlers prepare something that a failure takes back: they come by the commit point
 * themselves, when all is ready. For the others it is before the handler. test_fault.c sees that
 * each row's call comes by it.
 */
static const struct {
	uint8_t where;
	uint32_t number;
} commit_themselves[] = {
	{ UAPI_ON_CONTAINER, VFIO_SET_IOMMU },
	{ UAPI_ON_TYPE1, VFIO_IOMMU_MAP_DMA },
	{ UAPI_ON_TYPE1, VFIO_IOMMU_UNMAP_DMA },
	{ UAPI_ON_SPAPR, VFIO_IOMMU_SPAPR_REGISTER_MEMORY },
	{ UAPI_ON_SPAPR, VFIO_IOMMU_SPAPR_TCE_CREATE },
	{ UAPI_ON_GROUP, VFIO_GROUP_SET_CONTAINER },
	{ UAPI_ON_GROUP, VFIO_GROUP_GET_DEVICE_FD },
	{ UAPI_ON_DEVICE, VFIO_DEVICE_SET_IRQS },
	{ UAPI_ON_DEVICE, VFIO_DEVICE_FEATURE },
	{ UAPI_ON_DEVICE, VFIO_DEVICE_BIND_IOMMUFD },
	{ UAPI_ON_DEVICE, VFIO_DEVICE_ATTACH_IOMMUFD_PT },
	{ UAPI_ON_IOMMUFD, VFIO_IOMMU_MAP_DMA },
	{ UAPI_ON_IOMMUFD, IOMMU_IOAS_MAP },
	{ UAPI_ON_IOMMUFD, IOMMU_IOAS_MAP_FILE },
	{ UAPI_ON_IOMMUFD, IOMMU_IOAS_COPY },
	{ UAPI_ON_IOMMUFD, IOMMU_HWPT_ALLOC },
	{ UAPI_ON_KVM_VM, KVM_CREATE_DEVICE },
	{ UAPI_ON_KVM_DEVICE, KVM_SET_DEVICE_ATTR },
};

static bool commits_itself(const struct uapi_ioctl *row)
{
	for (size_t i = 0; i < sizeof(commit_themselves) / sizeof(commit_themselves[0]); i++) {
		if (commit_themselves[i].where == row->where &&
		    commit_themselves[i].number == row->number)
			return true;
	}
	return false;
}

static int commit_before(const struct vfake_call *call)
{
	struct vfake_kernel *kernel = call->kernel;

	if (!kernel->faults.hook || commits_itself(call->row))
		return 0;
	return vfake_fault_ask(kernel, VFAKE_FAULT_COMMIT);
}

static long run(struct vfake_call *call, vfake_handler handler, struct vfake_event *event)
{
	const struct uapi_ioctl *row = call->row;
	long ret = copy_in_argument(call);

	if (ret)
		return ret;
	note_in(call, event);
	ret = check_flags(call);
	if (!ret)
		ret = commit_before(call);
	if (ret)
		return ret;
	ret = handler(call);
	event->out = call->arg;
	if (!row->arg || !(row->arg->dirs & UAPI_OUT) || (ret < 0 && !call->respond) ||
	    call->silent)
		return ret;
	if (!copy_out_struct(call))
		return ret;
	if (call->undo)
		call->undo(call);
	return -EFAULT;
}

/* The rest of an ioctl on a file that is open; @event gets what can be told of it. */
static long do_ioctl(struct vfake_call *call, uint32_t number, struct vfake_event *event)
{
	struct vfake_kernel *kernel = call->kernel;
	struct vfake_file *file = call->file;
	vfake_handler handler;
	long ret = -ENOTTY;

	kernel->current = call->task;
	call->row = file->ops->route ? file->ops->route(file, number, &ret) : NULL;
	if (!call->row)
		return ret;
	event->row = call->row;
	handler = handler_of(call->row);
	if (!handler)
		return -ENOTTY;
	if (kernel->faults.hook && !call->task->spared)
		kernel->faults.points = vfake_row_points(call->row);
	ret = vfake_fault(kernel, VFAKE_FAULT_ENTRY);
	if (ret)
		return ret;
	if (call->row->arg)
		memset(call->arg, 0, call->row->arg->size_bytes);
	/* A handler may drop the last descriptor of its own file; the call keeps it alive to the
	 * end. */
	vfake_file_get(file);
	ret = run(call, handler, event);
	vfake_file_put(file);
	return ret;
}

long vfake_ioctl(struct vfake_task *task, int fd, uint32_t number, vfake_addr arg)
{
	uint64_t copy[VFAKE_ARG_MAX / sizeof(uint64_t)];
	uint64_t before[VFAKE_ARG_MAX / sizeof(uint64_t)];
	struct vfake_event event = {
		.task = task, .call = "ioctl", .fd = fd, .request = number, .arg = arg
	};
	struct vfake_call call = {
		.kernel = task->kernel,
		.task = task,
		.file = vfake_fd_file(task, fd),
		.uarg = arg,
		.arg = copy,
		.before = before,
	};
	long ret = call.file ? do_ioctl(&call, number, &event) : -EBADF;

	return vfake_leave(task->kernel, &event, ret);
}

/* ---- read and write ---- */

long vfake_read(struct vfake_task *task, int fd, vfake_addr buf, uint64_t len)
{
	struct vfake_event event = {
		.task = task, .call = "read", .fd = fd, .addr = buf, .len = len
	};
	struct vfake_file *file = vfake_fd_file(task, fd);
	long ret = file ? vfake_enter(task, VFAKE_CALL_READ) : -EBADF;

	if (!ret)
		ret = file->ops->read ? file->ops->read(file, task, buf, len) : -EINVAL;
	return vfake_leave(task->kernel, &event, ret);
}

long vfake_write(struct vfake_task *task, int fd, vfake_addr buf, uint64_t len)
{
	struct vfake_event event = {
		.task = task, .call = "write", .fd = fd, .addr = buf, .len = len
	};
	struct vfake_file *file = vfake_fd_file(task, fd);
	long ret = file ? vfake_enter(task, VFAKE_CALL_WRITE) : -EBADF;

	if (!ret)
		ret = file->ops->write ? file->ops->write(file, task, buf, len) : -EINVAL;
	return vfake_leave(task->kernel, &event, ret);
}

long vfake_pread(struct vfake_task *task, int fd, vfake_addr buf, uint64_t len, uint64_t offset)
{
	struct vfake_event event = {
		.task = task, .call = "pread", .fd = fd, .addr = buf, .len = len, .offset = offset
	};
	struct vfake_file *file = vfake_fd_file(task, fd);
	long ret = file ? vfake_enter(task, VFAKE_CALL_PREAD) : -EBADF;

	if (!ret)
		ret = file->ops->pread ? file->ops->pread(file, task, buf, len, offset) : -EINVAL;
	return vfake_leave(task->kernel, &event, ret);
}

long vfake_pwrite(struct vfake_task *task, int fd, vfake_addr buf, uint64_t len, uint64_t offset)
{
	struct vfake_event event = {
		.task = task, .call = "pwrite", .fd = fd, .addr = buf, .len = len, .offset = offset
	};
	struct vfake_file *file = vfake_fd_file(task, fd);
	long ret = file ? vfake_enter(task, VFAKE_CALL_PWRITE) : -EBADF;

	if (!ret)
		ret = file->ops->pwrite ? file->ops->pwrite(file, task, buf, len, offset) : -EINVAL;
	return vfake_leave(task->kernel, &event, ret);
}

/* ---- open ---- */

/* The number behind @prefix when the path is @prefix and a canonical decimal number; -1 otherwise.
 */
static int64_t node_number(const char *path, const char *prefix)
{
	size_t len = strlen(prefix);
	int64_t number = 0;

	if (strncmp(path, prefix, len) || !path[len])
		return -1;
	for (const char *p = path + len; *p; p++) {
		if (*p < '0' || *p > '9' || number > UINT32_MAX)
			return -1;
		number = number * 10 + (*p - '0');
	}
	if (number > UINT32_MAX || (path[len] == '0' && path[len + 1]))
		return -1;
	return number;
}

static int open_node(struct vfake_task *task, const char *path)
{
	int64_t number;

	if (!strcmp(path, "/dev/vfio/vfio"))
		return vfake_container_open(task);
	if (!strcmp(path, "/dev/iommu"))
		return vfake_iommufd_open(task);
	if (!strcmp(path, "/dev/kvm"))
		return vfake_kvm_open(task);
	number = node_number(path, "/dev/vfio/devices/vfio");
	if (number >= 0)
		return vfake_cdev_open(task, (uint32_t)number);
	number = node_number(path, "/dev/vfio/noiommu-");
	if (number >= 0)
		return vfake_group_open(task, (uint32_t)number, true);
	number = node_number(path, "/dev/vfio/");
	if (number >= 0)
		return vfake_group_open(task, (uint32_t)number, false);
	return -ENOENT;
}

int vfake_open(struct vfake_task *task, const char *path)
{
	struct vfake_event event = { .task = task, .call = "open", .fd = -1, .path = path };
	int ret = vfake_enter(task, VFAKE_CALL_OPEN);

	if (!ret)
		ret = open_node(task, path);
	return (int)vfake_leave(task->kernel, &event, ret);
}
