/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Capability chains behind the answers of INFO ioctls.
 *
 * Imitates vfio_info_cap_add(), vfio_info_cap_shift() and the tails of the INFO ioctls of
 * drivers/vfio, Linux 7.2.
 *
 * Kept: each capability takes a multiple of 8 bytes; `next` counts from the start of the answer,
 * the last one's is 0; a chain that does not fit is left out and the caller learns the size that
 * would do.
 *
 * Dropped: the chain has a fixed room, which the longest answer of this kernel does not fill.
 */
#include <string.h>

#include <uapi/vfio.h>

#include "vfio.h"

void *vfio_caps_add(struct vfio_caps *caps, uint32_t size_bytes, uint16_t id, uint16_t version)
{
	struct vfio_info_cap_header header = { .id = id, .version = version };
	uint32_t at = caps->size_bytes;

	size_bytes = (size_bytes + 7) & ~7U;
	if (size_bytes > sizeof(caps->bytes) - at)
		return NULL;
	memset(caps->bytes + at, 0, size_bytes);
	/* Until the end is known, `next` holds the size of this one. */
	header.next = size_bytes;
	memcpy(caps->bytes + at, &header, sizeof(header));
	caps->size_bytes += size_bytes;
	return caps->bytes + at;
}

/* Turns sizes into offsets from the start of an answer of @struct_bytes. */
static void link_chain(struct vfio_caps *caps, uint32_t struct_bytes)
{
	uint32_t at = 0;

	while (at < caps->size_bytes) {
		struct vfio_info_cap_header header;
		uint32_t end;

		memcpy(&header, caps->bytes + at, sizeof(header));
		end = at + header.next;
		header.next = end < caps->size_bytes ? struct_bytes + end : 0;
		memcpy(caps->bytes + at, &header, sizeof(header));
		at = end;
	}
}

int vfio_caps_finish(struct vfake_call *call, struct vfio_caps *caps, uint32_t struct_bytes,
		     uint32_t *argsz, uint32_t *cap_offset)
{
	if (!caps->size_bytes)
		return 0;
	if (*argsz < struct_bytes + caps->size_bytes) {
		*argsz = struct_bytes + caps->size_bytes;
		*cap_offset = 0;
		return 0;
	}
	link_chain(caps, struct_bytes);
	if (vfake_copy_out(call, call->uarg + struct_bytes, caps->bytes, caps->size_bytes))
		return -EFAULT;
	*cap_offset = struct_bytes;
	return 0;
}
