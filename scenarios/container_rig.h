/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls of containers and groups in one line each, for the tests about them. */
#ifndef SCENARIOS_CONTAINER_RIG_H
#define SCENARIOS_CONTAINER_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common.h"

static inline long check_extension(const struct rig *rig, int container, uint64_t extension)
{
	return vfake_ioctl(rig->task, container, VFIO_CHECK_EXTENSION, extension);
}

static inline long set_iommu(const struct rig *rig, int container, uint64_t type)
{
	return vfake_ioctl(rig->task, container, VFIO_SET_IOMMU, type);
}

static inline long unset_container(const struct rig *rig, int group)
{
	return vfake_ioctl(rig->task, group, VFIO_GROUP_UNSET_CONTAINER, 0);
}

static inline int open_container(const struct rig *rig)
{
	int fd = vfake_open(rig->task, "/dev/vfio/vfio");

	assert_true(fd >= 0);
	return fd;
}

/* GET_STATUS's flags, or its errno. */
static inline long status(const struct rig *rig, int group)
{
	struct vfio_group_status arg = { .argsz = sizeof(arg), .flags = 0xdead };
	long ret = vfake_ioctl(rig->task, group, VFIO_GROUP_GET_STATUS, (uintptr_t)&arg);

	return ret ? ret : (long)arg.flags;
}

static inline void close_fd(const struct rig *rig, int fd)
{
	assert_int_equal(vfake_close(rig->task, fd), 0);
}

enum { VIABLE = VFIO_GROUP_FLAGS_VIABLE, SET = VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET };

#endif
