/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the view share.
 */
#ifndef FAKES_VIEW_H
#define FAKES_VIEW_H

#include <vfake/view.h>

#include "vfio.h"

/* The device of that name, or NULL. */
const struct vfio_device *view_find_device(const struct vfake_kernel *kernel, const char *name);
/* The task's address of a byte of memory, 0 for none; *len is cut to what lies in one area. */
vfake_addr view_address_of(const struct vfake_mm *mm, const struct vfake_translation *at,
			   uint64_t *len);

#endif
