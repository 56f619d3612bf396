/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stage of the backend `user`: each device is held by a vfio-user peer, a process of the same
 * kernel, and the stack has nothing but its socket.
 *
 * A peer does its work when the stack waits. What it has not heard of yet, as that its client went,
 * it is told here before anything is counted.
 */
#include <string.h>

#include "stage_internal.h"

static const char *const paths[STAGE_DEVICES] = { "/run/d0", "/run/d1", "/run/d2" };

static bool is_user(const struct stage *stage)
{
	return stage->backend->kind == VFIO_BACKEND_USER;
}

const char *stage_user_path(unsigned int index)
{
	return paths[index];
}

void stage_serve(struct stage *stage, unsigned int index, const struct vfake_peer_attr *attr)
{
	struct vfake_peer_attr own = *attr;
	const char *error = NULL;

	own.device = stage_name(index);
	own.path = paths[index];
	vfake_peer_free(stage->peers[index]);
	stage->peers[index] = vfake_peer_new(stage->kernel, &own, &error);
	if (!stage->peers[index])
		fail_msg("the peer of %s does not start: %s", stage_name(index), error);
}

void stage_user_visit(struct stage *stage)
{
	struct vfio *vfio = vfio_new(&stage->raw, NULL);
	struct vfio_memory *memory = vfio_memory_new(NULL);
	struct vfio_error error = { 0 };

	assert_non_null(vfio);
	assert_non_null(memory);
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		struct vfio_device_options options = stage_options(stage, i);
		struct vfio_device_facts facts;
		struct vfio_device *device;
		struct vfio_region region;

		if (!stage->peers[i])
			continue;
		device = vfio_device_attach(vfio, memory, &options, &error);
		if (!device)
			fail_msg("%s (%d)", error.message, error.code);
		vfio_device_facts(device, &facts);
		for (uint32_t index = 0; index < facts.regions; index++)
			vfio_device_region(device, index, &region, NULL);
		vfio_device_detach(device);
	}
	vfio_free(vfio);
	vfio_memory_free(memory);
	stage_user_settle(stage);
}

void stage_user_start(struct stage *stage)
{
	if (!is_user(stage))
		return;
	for (unsigned int i = 0; i < STAGE_DEVICES; i++)
		stage_serve(stage, i, &(struct vfake_peer_attr){ 0 });
	/* What a peer makes the first time and keeps is there before anything is counted. */
	stage_user_visit(stage);
}

bool stage_user_is_hostile(const struct stage *stage)
{
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		if (stage->peers[i] && vfake_peer_is_hostile(stage->peers[i]))
			return true;
	}
	return false;
}

void stage_user_settle(const struct stage *stage)
{
	bool busy = is_user(stage);

	/* One that waits for its client has something to do for ever. */
	for (int turn = 0; busy && turn < 64; turn++) {
		busy = false;
		for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
			if (stage->peers[i])
				busy |= vfake_peer_turn(stage->peers[i]);
		}
	}
}

void stage_user_stop(struct stage *stage)
{
	for (unsigned int i = 0; i < STAGE_DEVICES; i++) {
		vfake_peer_free(stage->peers[i]);
		stage->peers[i] = NULL;
	}
}

void stage_user_view(const struct stage *stage, unsigned int index, struct vfake_device_view *view)
{
	bool attached;

	if (!is_user(stage))
		return;
	stage_user_settle(stage);
	attached = vfake_peer_attached(stage->peers[index]);
	/* The peer has it open all the time: what counts is whether the stack has the peer. */
	view->open_count = attached;
	view->cdev_opened = false;
	view->group_opened = false;
	view->in_container = attached;
	view->translated = attached;
	view->manager = attached ? VFAKE_MANAGER_IOMMUFD : VFAKE_MANAGER_NONE;
}

/* Whether a story took over the description of another piece, file and all. */
static bool is_anothers(const struct stage *stage, const struct stage_ram *ram)
{
	for (size_t i = 0; i < STAGE_RAMS; i++) {
		const struct stage_ram *other = &stage->own_rams[i];

		if (other != ram && other->mapped && other->region.fd == ram->region.fd)
			return true;
	}
	return false;
}

void stage_user_back(const struct stage *stage, struct stage_ram *ram)
{
	if (!is_user(stage) || (ram->region.fd >= 0 && !is_anothers(stage, ram)))
		return;
	ram->region.fd_offset = 0;
	ram->region.fd = stage->raw.memfd(stage->raw.ctx, ram->mapped);
	assert_true(ram->region.fd >= 0);
}

/* What a region shows is another one's memory, which has a file. */
void stage_user_share(const struct stage *stage, struct vfio_memory_region *region)
{
	uint64_t size = region->last - region->start + 1;

	for (size_t i = 0; is_user(stage) && i < STAGE_RAMS; i++) {
		const struct stage_ram *ram = &stage->own_rams[i];
		uint64_t offset = region->vaddr - ram->region.vaddr;

		if (!ram->mapped || ram->region.fd < 0 || region->vaddr < ram->region.vaddr ||
		    offset >= ram->mapped || size > ram->mapped - offset)
			continue;
		region->fd = ram->region.fd;
		region->fd_offset = offset;
		return;
	}
}
