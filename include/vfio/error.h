/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors at the public edge: a function returns true and leaves the error object alone, or
 * returns false and fills it. The two never disagree.
 */
#ifndef VFIO_ERROR_H
#define VFIO_ERROR_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Why a call failed. Zeroed before first use; a value, nothing to free. */
struct vfio_error {
	int code;	   /**< -errno, never 0 after a failure */
	char message[256]; /**< one line, no full stop, no newline: "device d0:
			      VFIO_DEVICE_GET_INFO: Invalid argument" */
	char hint[192];	   /**< what the user may do about it, or empty */
};

#ifdef __cplusplus
}
#endif
#endif
