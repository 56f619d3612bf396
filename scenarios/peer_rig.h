/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack and a vfio-user peer in one fake kernel: a world with three devices, a process for the
 * stack, and a peer for each device that a test wants served.
 */
#ifndef SCENARIOS_PEER_RIG_H
#define SCENARIOS_PEER_RIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <uapi/vfio_user.h>
#include <vfake/kernel.h>
#include <vfake/models.h>
#include <vfake/peer.h>
#include <vfake/sys.h>
#include <vfake/view.h>
#include <vfake/world.h>
#include <vfio/device.h>
#include <vfio/vfio.h>
#include <vfio/vmm_ref.h>

enum { PEER_RIG_DEVICES = 3 };

struct peer_rig {
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	struct vfake_ledger boot; /* with the peers that are served from the start */
	struct vfio_sys sys;
	struct vfio_vmm_ref ref;
	struct vfio_vmm vmm;
	struct vfio *vfio;
	struct vfio_memory *memory;
	struct vfake_peer *peers[PEER_RIG_DEVICES];
	struct vfio_device *device;
};

static inline const char *peer_rig_name(unsigned int index)
{
	static const char *const names[PEER_RIG_DEVICES] = { "d0", "d1", "d2" };

	return names[index];
}

static inline const char *peer_rig_path(unsigned int index)
{
	static const char *const paths[PEER_RIG_DEVICES] = { "/run/d0", "/run/d1", "/run/d2" };

	return paths[index];
}

static inline struct vfake_peer *peer_rig_serve(struct peer_rig *rig, unsigned int index,
						const struct vfake_peer_attr *attr)
{
	struct vfake_peer_attr own = attr ? *attr : (struct vfake_peer_attr){ 0 };
	const char *error = NULL;

	own.device = peer_rig_name(index);
	own.path = peer_rig_path(index);
	rig->peers[index] = vfake_peer_new(rig->kernel, &own, &error);
	if (!rig->peers[index])
		fail_msg("the peer does not start: %s", error);
	return rig->peers[index];
}

static inline struct peer_rig *peer_rig_new(const char *model)
{
	struct peer_rig *rig = calloc(1, sizeof(*rig));
	struct vfake_world *world = calloc(1, sizeof(*world));
	struct vfake_task_attr root = vfake_root;
	const char *error = NULL;

	assert_non_null(rig);
	assert_non_null(world);
	vfake_world_x86(world);
	for (unsigned int i = 0; i < PEER_RIG_DEVICES; i++)
		assert_int_equal(vfake_world_add_device(world, peer_rig_name(i), model), 0);
	rig->kernel = vfake_kernel_new(world, &error);
	free(world);
	if (!rig->kernel)
		fail_msg("the world does not start: %s", error);
	root.host_memory = true;
	rig->task = vfake_task_new(rig->kernel, &root);
	assert_non_null(rig->task);
	vfake_sys(&rig->sys, rig->task);
	vfio_vmm_ref(&rig->ref, &rig->vmm);
	rig->vfio = vfio_new(&rig->sys, &rig->vmm);
	rig->memory = vfio_memory_new(NULL);
	assert_non_null(rig->vfio);
	assert_non_null(rig->memory);
	return rig;
}

static inline void peer_rig_free(struct peer_rig *rig)
{
	struct vfake_ledger end;

	vfio_free(rig->vfio);
	vfio_memory_free(rig->memory);
	assert_int_equal(rig->ref.blocks, 0);
	assert_int_equal(rig->ref.discard_forbidden, 0);
	assert_int_equal(rig->ref.blocker_count, 0);
	assert_int_equal(rig->ref.state_count, 0);
	for (unsigned int i = 0; i < PEER_RIG_DEVICES; i++)
		vfake_peer_free(rig->peers[i]);
	vfake_task_exit(rig->task);
	end = vfake_ledger(rig->kernel);
	assert_memory_equal(&end, &(struct vfake_ledger){ 0 }, sizeof(end));
	vfake_kernel_free(rig->kernel);
	free(rig);
}

static inline struct vfio_device_options peer_rig_options(unsigned int index)
{
	return (struct vfio_device_options){ .name = peer_rig_name(index),
					     .backend = VFIO_BACKEND_USER,
					     .socket = peer_rig_path(index),
					     .timeout_ticks = 600 };
}

/* Attaches device 0: 0, or the code of the error that was given. */
static inline int peer_rig_try(struct peer_rig *rig)
{
	struct vfio_device_options options = peer_rig_options(0);
	struct vfio_error error = { 0 };

	rig->device = vfio_device_attach(rig->vfio, rig->memory, &options, &error);
	if (rig->device) {
		assert_int_equal(error.code, 0);
		return 0;
	}
	assert_true(error.code < 0 && error.message[0]);
	return error.code;
}

static inline void peer_rig_attach(struct peer_rig *rig)
{
	struct vfio_device_options options = peer_rig_options(0);
	struct vfio_error error = { 0 };

	rig->device = vfio_device_attach(rig->vfio, rig->memory, &options, &error);
	if (!rig->device)
		fail_msg("%s (%d) %s", error.message, error.code, error.hint);
}

/* RAM at a guest address, with a file behind it or without. */
struct peer_ram {
	uint32_t id;
	int fd;
	uint8_t *host;
	uint64_t size;
};

static inline struct peer_ram peer_rig_ram(struct peer_rig *rig, uint64_t gpa, uint64_t size,
					   bool file)
{
	struct peer_ram ram = { .fd = -1, .size = size };
	struct vfio_memory_region region = { .name = "ram",
					     .kind = VFIO_MEMORY_RAM,
					     .start = gpa,
					     .last = gpa + (size - 1),
					     .fd = -1 };
	struct vfio_error error = { 0 };

	if (file)
		ram.fd = rig->sys.memfd(rig->sys.ctx, size);
	assert_true(!file || ram.fd >= 0);
	region.fd = ram.fd;
	assert_int_equal(rig->sys.mmap(rig->sys.ctx, size, VFAKE_PROT_READ | VFAKE_PROT_WRITE,
				       ram.fd, 0, &region.vaddr),
			 0);
	ram.host = (uint8_t *)(uintptr_t)region.vaddr;
	assert_true(vfio_memory_add(rig->memory, &region, &ram.id, &error));
	return ram;
}

#endif
