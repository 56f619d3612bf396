/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a trace is played on: a kernel behind a struct vfio_sys, the memory of the process that
 * makes the calls, and the names of the devices there.
 */
#ifndef HARNESS_MACHINE_H
#define HARNESS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vfake/kernel.h>
#include <vfio/sys.h>

struct machine {
	struct vfio_sys sys;
	/* Memory of the process: 0, or -EFAULT where it cannot be reached. */
	int (*store)(struct machine *machine, uint64_t addr, const void *bytes, size_t len);
	int (*load)(struct machine *machine, uint64_t addr, void *bytes, size_t len);
	/* What VFIO_GROUP_GET_DEVICE_FD calls the device; its name in /dev/vfio; its name in
	 * /dev/vfio/devices. Returns false when the machine has no such device. @text has room
	 * for @size_bytes. */
	bool (*bus_name)(struct machine *machine, const char *device, char *text,
			 size_t size_bytes);
	bool (*group_name)(struct machine *machine, const char *device, char *text,
			   size_t size_bytes);
	bool (*cdev_name)(struct machine *machine, const char *device, char *text,
			  size_t size_bytes);
	void (*end)(struct machine *machine); /* frees what the machine holds */
	uint64_t scratch;		      /* address of memory for arguments */
	uint64_t scratch_bytes;
	union {
		struct {
			struct vfake_kernel *kernel;
			struct vfake_task *task;
			struct fault *fault; /* of fiu-run, or NULL */
		} vfake;
		struct {
			const char *const *bindings; /* "NAME=BUS_ADDRESS" */
			size_t binding_count;
		} real;
	};
};

/*
 * A fresh fake kernel in @world with one process that root started. Returns 0 or -errno; *error
 * then is a static text. machine->end() ends it.
 */
int machine_vfake(struct machine *machine, const struct vfake_world *world, const char **error);

/*
 * The kernel that this process runs on. @bindings say which device a trace's NAME is:
 * "d0=0000:06:0d.0"; they must outlive the machine. Returns 0 or -errno.
 */
int machine_linux(struct machine *machine, const char *const *bindings, size_t count);

#endif
