/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listeners: a list by priority, walked forwards for what comes and backwards for what goes.
 */
#include "memory.h"

void vfio_memory_tell_begin(struct vfio_memory *memory)
{
	memory->reporting++;
	for (struct vfio_memory_listener *l = memory->first; l; l = l->next) {
		if (l->begin)
			l->begin(l);
	}
	memory->reporting--;
}

void vfio_memory_tell_commit(struct vfio_memory *memory)
{
	memory->reporting++;
	for (struct vfio_memory_listener *l = memory->first; l; l = l->next) {
		if (l->commit)
			l->commit(l);
	}
	memory->reporting--;
}

void vfio_memory_tell_add(struct vfio_memory *memory, const struct guest_region *region)
{
	struct vfio_memory_section section = vfio_memory_whole(region);

	memory->reporting++;
	for (struct vfio_memory_listener *l = memory->first; l; l = l->next) {
		if (l->region_add)
			l->region_add(l, &section);
	}
	memory->reporting--;
}

void vfio_memory_tell_del(struct vfio_memory *memory, const struct guest_region *region)
{
	struct vfio_memory_section section = vfio_memory_whole(region);

	memory->reporting++;
	for (struct vfio_memory_listener *l = memory->last; l; l = l->prev) {
		if (l->region_del)
			l->region_del(l, &section);
	}
	memory->reporting--;
}

/* ---- coming and going ---- */

static bool is_listening(const struct vfio_memory *memory,
			 const struct vfio_memory_listener *listener)
{
	for (const struct vfio_memory_listener *l = memory->first; l; l = l->next) {
		if (l == listener)
			return true;
	}
	return false;
}

static void link_in(struct vfio_memory *memory, struct vfio_memory_listener *listener)
{
	struct vfio_memory_listener *before = memory->last;

	while (before && before->priority > listener->priority)
		before = before->prev;
	listener->prev = before;
	listener->next = before ? before->next : memory->first;
	if (before)
		before->next = listener;
	else
		memory->first = listener;
	if (listener->next)
		listener->next->prev = listener;
	else
		memory->last = listener;
}

static void take_out(struct vfio_memory *memory, struct vfio_memory_listener *listener)
{
	if (listener->prev)
		listener->prev->next = listener->next;
	else
		memory->first = listener->next;
	if (listener->next)
		listener->next->prev = listener->prev;
	else
		memory->last = listener->prev;
}

static void replay_add(struct vfio_memory *memory, struct vfio_memory_listener *listener)
{
	if (listener->begin)
		listener->begin(listener);
	for (size_t i = 0; i < memory->count && listener->region_add; i++) {
		struct vfio_memory_section section = vfio_memory_whole(memory->regions[i]);

		if (memory->regions[i]->visible)
			listener->region_add(listener, &section);
	}
	if (listener->commit)
		listener->commit(listener);
}

static void replay_del(struct vfio_memory *memory, struct vfio_memory_listener *listener)
{
	if (listener->begin)
		listener->begin(listener);
	for (size_t i = memory->count; i-- && listener->region_del;) {
		struct vfio_memory_section section = vfio_memory_whole(memory->regions[i]);

		if (memory->regions[i]->visible)
			listener->region_del(listener, &section);
	}
	if (listener->commit)
		listener->commit(listener);
}

bool vfio_memory_listen(struct vfio_memory *memory, struct vfio_memory_listener *listener,
			struct vfio_error *error)
{
	bool logs = true;

	if (memory->reporting)
		return vfio_fail(error, -EBUSY, "a listener brings another one");
	if (is_listening(memory, listener))
		return vfio_fail(error, -EEXIST, "listener %s",
				 listener->name ? listener->name : "");
	link_in(memory, listener);
	memory->reporting++;
	replay_add(memory, listener);
	if (memory->logging && listener->log_start)
		logs = listener->log_start(listener, error);
	if (!logs) {
		replay_del(memory, listener);
		take_out(memory, listener);
	}
	memory->reporting--;
	return logs;
}

void vfio_memory_unlisten(struct vfio_memory *memory, struct vfio_memory_listener *listener)
{
	if (memory->reporting || !is_listening(memory, listener))
		return;
	memory->reporting++;
	replay_del(memory, listener);
	if (memory->logging && listener->log_stop)
		listener->log_stop(listener);
	take_out(memory, listener);
	memory->reporting--;
}
