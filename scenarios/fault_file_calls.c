/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls that are no ioctls, for test_fault.c. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <uapi/vfio.h>

#include "fault_calls.h"

static long open_container(const struct stage *s)
{
	return vfake_open(s->rig.task, "/dev/vfio/vfio");
}

static long open_group_node(const struct stage *s)
{
	return open_group(s->rig.task, "d2");
}

static long open_device_node(const struct stage *s)
{
	return open_cdev(s->rig.task, "d2");
}

static long open_iommufd(const struct stage *s)
{
	return vfake_open(s->rig.task, "/dev/iommu");
}

static long open_kvm(const struct stage *s)
{
	return vfake_open(s->rig.task, "/dev/kvm");
}

static long duplicate(const struct stage *s)
{
	return vfake_dup(s->rig.task, s->fd);
}

static long pass(const struct stage *s)
{
	return vfake_pass_fd(s->rig.task, s->fd, s->rig.task);
}

static long make_eventfd(const struct stage *s)
{
	return vfake_eventfd(s->rig.task);
}

static long make_memfd(const struct stage *s)
{
	return vfake_memfd(s->rig.task, 4 * s->page_bytes);
}

static long map_fd(const struct stage *s, int fd)
{
	vfake_addr addr;

	return vfake_mmap(s->rig.task, s->page_bytes, VFAKE_PROT_READ, fd, 0, &addr);
}

static long map_anonymous(const struct stage *s)
{
	return map_fd(s, -1);
}

static long map_huge(const struct stage *s)
{
	vfake_addr addr;

	return vfake_mmap_huge(s->rig.task, 2 << 20, VFAKE_PROT_READ, 2 << 20, &addr);
}

static long map_memfd(const struct stage *s)
{
	return map_fd(s, s->fds[STAGE_MEMFD]);
}

static long map_bar(const struct stage *s)
{
	return map_fd(s, s->fd);
}

static long write_eventfd(const struct stage *s)
{
	return vfake_write(s->rig.task, s->fds[STAGE_EVENTFD], s->args, 8);
}

static long read_eventfd(const struct stage *s)
{
	return vfake_read(s->rig.task, s->fds[STAGE_EVENTFD], s->args, 8);
}

static long read_stream(const struct stage *s)
{
	return vfake_read(s->rig.task, s->fd, s->args, 64);
}

/* The configuration space is the region of that index. */
static const uint64_t config = (uint64_t)VFIO_PCI_CONFIG_REGION_INDEX << 40;

static long read_config(const struct stage *s)
{
	return vfake_pread(s->rig.task, s->fd, s->args, 4, config);
}

static long write_config(const struct stage *s)
{
	return vfake_pwrite(s->rig.task, s->fd, s->args, 2, config + 4);
}

static long read_bar(const struct stage *s)
{
	return vfake_pread(s->rig.task, s->fd, s->args, 8, 0);
}

static long write_bar(const struct stage *s)
{
	return vfake_pwrite(s->rig.task, s->fd, s->args, 8, 0);
}

static void one(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	(void)s;
	arg[0] = 1;
	*bytes = 8;
}

static void count_of_one(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	uint64_t count = 1;

	(void)arg;
	(void)bytes;
	assert_int_equal(vfake_poke(s->rig.task, s->args, &count, sizeof(count)), 0);
	assert_int_equal(write_eventfd(s), sizeof(count));
}

static void memory_is_on(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	uint16_t memory = htole16(2);

	(void)arg;
	(void)bytes;
	assert_int_equal(vfake_poke(s->rig.task, s->args, &memory, sizeof(memory)), 0);
	assert_int_equal(write_config(s), sizeof(memory));
}

#define FILE_CALL(point, stage_name, function, before)                                             \
	{                                                                                          \
		.row = "file/" point, .stage = stage_name, .note = ", " #function,                 \
		.make = function, .prepare = before                                                \
	}

const struct fault_call fault_file_calls[] = {
	FILE_CALL("open", "container", open_container, NULL),
	FILE_CALL("open", "container", open_group_node, NULL),
	FILE_CALL("open", "container", open_device_node, NULL),
	FILE_CALL("open", "container", open_iommufd, NULL),
	FILE_CALL("open", "container", open_kvm, NULL),
	FILE_CALL("dup", "container", duplicate, NULL),
	FILE_CALL("pass_fd", "container", pass, NULL),
	FILE_CALL("eventfd", "container", make_eventfd, NULL),
	FILE_CALL("memfd", "container", make_memfd, NULL),
	FILE_CALL("mmap", "container", map_anonymous, NULL),
	FILE_CALL("mmap", "container", map_huge, NULL),
	FILE_CALL("mmap", "container", map_memfd, NULL),
	FILE_CALL("mmap", "device of a group", map_bar, memory_is_on),
	FILE_CALL("write", "container", write_eventfd, one),
	FILE_CALL("read", "container", read_eventfd, count_of_one),
	FILE_CALL("read", "stream that saves", read_stream, NULL),
	FILE_CALL("pread", "device of a group", read_config, NULL),
	FILE_CALL("pread", "device of a group", read_bar, memory_is_on),
	FILE_CALL("pwrite", "device of a group", write_config, one),
	FILE_CALL("pwrite", "device of a group", write_bar, memory_is_on),
};
const size_t fault_file_call_count = COUNT_OF(fault_file_calls);
