/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling struct vfio_error. A message is "what was tried: why it failed"; callers on the way out
 * put in front whom it happened to.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "stack.h"

struct errno_text {
	int code;
	const char *text;
};

/* The errnos that VFIO and iommufd give. libc's strerror() would depend on the locale. */
static const struct errno_text texts[] = {
	{ -EACCES, "permission denied" },
	{ -EAGAIN, "try again" },
	{ -EBADF, "bad file descriptor" },
	{ -EBADFD, "wrong kind of file" },
	{ -EBUSY, "in use" },
	{ -E2BIG, "too large" },
	{ -ECONNREFUSED, "nobody listens there" },
	{ -EEXIST, "exists already" },
	{ -EFAULT, "bad address" },
	{ -EINVAL, "invalid argument" },
	{ -EIO, "input/output error" },
	{ -EMFILE, "too many open files" },
	{ -EMSGSIZE, "message too long" },
	{ -ENODEV, "no such device" },
	{ -ENOENT, "does not exist" },
	{ -ENOMEM, "out of memory" },
	{ -ENOSPC, "no space left" },
	{ -ENOTSUP, "not supported" },
	{ -ENOTTY, "the kernel does not know this request" },
	{ -ENXIO, "no such device or address" },
	{ -EPIPE, "the server is gone" },
	{ -EPROTO, "the server does not keep to the protocol" },
	{ -EOVERFLOW, "value too large" },
	{ -EPERM, "operation not permitted" },
	{ -ERANGE, "out of range" },
	{ -ESRCH, "no such process" },
	{ -ETIMEDOUT, "no answer in time" },
	{ 0, NULL }, /* the end */
};

const char *vfio_errno_text(int code)
{
	const struct errno_text *row = texts;

	while (row->text && row->code != code)
		row++;
	return row->text;
}

bool vfio_fail(struct vfio_error *error, int code, const char *format, ...)
{
	const char *text;
	size_t used;
	va_list args;

	if (!error)
		return false;
	error->code = code < 0 ? code : -EIO;
	error->hint[0] = 0;
	text = vfio_errno_text(error->code);
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	used = strlen(error->message);
	if (text)
		snprintf(error->message + used, sizeof(error->message) - used, ": %s", text);
	else
		snprintf(error->message + used, sizeof(error->message) - used, ": error %d",
			 -error->code);
	return false;
}

void vfio_error_prefix(struct vfio_error *error, const char *format, ...)
{
	char old[sizeof(error->message)];
	size_t used;
	va_list args;

	if (!error)
		return;
	memcpy(old, error->message, sizeof(old));
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	used = strlen(error->message);
	snprintf(error->message + used, sizeof(error->message) - used, ": %.200s", old);
}

void vfio_error_hint(struct vfio_error *error, const char *format, ...)
{
	va_list args;

	if (!error)
		return;
	va_start(args, format);
	vsnprintf(error->hint, sizeof(error->hint), format, args);
	va_end(args);
}
