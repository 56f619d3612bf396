/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instance, its memory, and calls to the kernel.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack.h"

/* ---- memory: the only place of the stack that knows libc's heap ---- */

void *vfio_vmm_alloc(const struct vfio_vmm *vmm, size_t size)
{
	return vmm && vmm->alloc ? vmm->alloc(vmm->ctx, size) : calloc(1, size);
}

void vfio_vmm_free(const struct vfio_vmm *vmm, void *block)
{
	if (!block)
		return;
	if (vmm && vmm->free)
		vmm->free(vmm->ctx, block);
	else
		free(block);
}

void *vfio_alloc(struct vfio *vfio, size_t size)
{
	return vfio_vmm_alloc(&vfio->vmm, size);
}

void vfio_release(struct vfio *vfio, void *block)
{
	vfio_vmm_free(&vfio->vmm, block);
}

char *vfio_strdup(struct vfio *vfio, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = vfio_alloc(vfio, size);

	if (copy)
		memcpy(copy, text, size);
	return copy;
}

void vfio_warn(struct vfio *vfio, int code, const char *format, ...)
{
	struct vfio_error error;
	char message[192];
	const char *text = message;
	va_list args;

	if (!vfio->vmm.warn)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (code) {
		vfio_fail(&error, code, "%s", message);
		text = error.message;
	}
	vfio->vmm.warn(vfio->vmm.ctx, text);
}

/* ---- the instance ---- */

struct vfio *vfio_new(const struct vfio_sys *sys, const struct vfio_vmm *vmm)
{
	struct vfio *vfio = vfio_vmm_alloc(vmm, sizeof(*vfio));

	if (!vfio)
		return NULL;
	vfio->sys = *sys;
	if (vmm)
		vfio->vmm = *vmm;
	TAILQ_INIT(&vfio->spaces);
	TAILQ_INIT(&vfio->devices);
	TAILQ_INIT(&vfio->groups);
	TAILQ_INIT(&vfio->iommufds);
	vfio->kvm_device = -1;
	vfio_cpr_init(vfio);
	return vfio;
}

void vfio_free(struct vfio *vfio)
{
	struct vfio_device *device;
	struct vfio_vmm vmm;

	if (!vfio)
		return;
	while ((device = TAILQ_LAST(&vfio->devices, vfio_device_list)))
		vfio_device_detach(device);
	vfio_set_kvm(vfio, -1, NULL);
	vfio_cpr_fini(vfio);
	vmm = vfio->vmm;
	vfio_vmm_free(&vmm, vfio);
}

/* ---- calls ---- */

long vfio_ioctl(struct vfio *vfio, int fd, uint32_t request, void *arg)
{
	if (vfio_cpr_holds_back(vfio, request, arg))
		return 0;
	return vfio->sys.ioctl(vfio->sys.ctx, fd, request, (uint64_t)(uintptr_t)arg);
}

long vfio_ioctl_value(struct vfio *vfio, int fd, uint32_t request, uint64_t value)
{
	return vfio->sys.ioctl(vfio->sys.ctx, fd, request, value);
}

bool vfio_unanswered(int code)
{
	switch (code) {
	case -ENOMEM:
	case -ENOBUFS:
	case -ETOOMANYREFS:
	case -EMFILE:
	case -ENFILE:
	case -EBADF:
	case -EPIPE:
	case -EPROTO:
	case -ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

void vfio_close(struct vfio *vfio, int *fd)
{
	if (*fd >= 0)
		vfio->sys.close(vfio->sys.ctx, *fd);
	*fd = -1;
}

static uint32_t argsz_of(const void *info)
{
	uint32_t argsz;

	memcpy(&argsz, info, sizeof(argsz));
	return argsz;
}

/* One try with room for @room bytes. @ask is a struct of @size bytes whose first field is argsz. */
static int ask_with_room(struct vfio *vfio, int (*call)(void *ctx, void *info), void *ctx,
			 const void *ask, size_t size, uint32_t room, void **info)
{
	char *answer = vfio_alloc(vfio, room);
	int ret;

	if (!answer)
		return -ENOMEM;
	memcpy(answer, ask, size);
	memcpy(answer, &room, sizeof(room));
	ret = call(ctx, answer);
	if (ret < 0) {
		vfio_release(vfio, answer);
		return ret;
	}
	*info = answer;
	return 0;
}

int vfio_ask_growing(struct vfio *vfio, int (*call)(void *ctx, void *info), void *ctx,
		     const void *ask, size_t size, size_t max, void **info)
{
	uint32_t room = (uint32_t)size;

	/* Twice is enough for a kernel that means it: the first answer says how much there is. */
	for (int tries = 0; tries < 2; tries++) {
		int ret = ask_with_room(vfio, call, ctx, ask, size, room, info);

		if (ret || argsz_of(*info) <= room)
			return ret;
		room = argsz_of(*info);
		vfio_release(vfio, *info);
		if (room > max)
			return -E2BIG;
	}
	return -E2BIG;
}

struct ioctl_call {
	struct vfio *vfio;
	int fd;
	uint32_t request;
};

static int make_call(void *ctx, void *info)
{
	const struct ioctl_call *call = ctx;

	return (int)vfio_ioctl(call->vfio, call->fd, call->request, info);
}

int vfio_ioctl_growing(struct vfio *vfio, int fd, uint32_t request, const void *ask, size_t size,
		       size_t max, void **info)
{
	struct ioctl_call call = { .vfio = vfio, .fd = fd, .request = request };

	return vfio_ask_growing(vfio, make_call, &call, ask, size, max, info);
}

/* struct vfio_info_cap_header of the uapi. */
struct cap_header {
	uint16_t id;
	uint16_t version;
	uint32_t next;
};

const void *vfio_next_cap(const void *info, size_t argsz, uint32_t first, uint32_t *offset)
{
	struct cap_header header;
	uint32_t at = first;

	if (*offset) {
		memcpy(&header, (const char *)info + *offset, sizeof(header));
		/* A chain only goes forward, which is also why it ends. */
		if (header.next <= *offset)
			return NULL;
		at = header.next;
	}
	if (!at || at % 4 || (uint64_t)at + sizeof(header) > argsz)
		return NULL;
	*offset = at;
	return (const char *)info + at;
}
