/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts: GET_IRQ_INFO, SET_IRQS, and the eventfds that came with it.
 *
 * An eventfd stays open here as long as the device has it. No descriptors with DATA_EVENTFD take
 * away those that there are.
 */
#include <stdlib.h>
#include <string.h>

#include "peer.h"

enum { MAX_IRQS = 2048 }; /* that one message sets */

int peer_get_irq_info(struct peer_call *call)
{
	struct vfake_peer *peer = call->peer;
	struct vfio_irq_info info, *reply;
	long ret;

	peer_take(call, &info, sizeof(info));
	info = (struct vfio_irq_info){ .argsz = sizeof(info), .index = info.index };
	if (info.index >= peer->num_irqs)
		return -EINVAL;
	/* An interrupt that this device does not have is one of no vectors. */
	ret = peer_ioctl(peer, peer->device_fd, VFIO_DEVICE_GET_IRQ_INFO, &info);
	if (ret)
		info = (struct vfio_irq_info){ .argsz = sizeof(info), .index = info.index };
	reply = peer_reply(call, sizeof(*reply));
	if (!reply)
		return -ENOMEM;
	*reply = info;
	return 0;
}

static void drop_irq(struct vfake_peer *peer, struct peer_irq *irq)
{
	LIST_REMOVE(irq, entry);
	vfake_close(peer->task, irq->fd);
	free(irq);
}

/* The eventfds that the device let go of. */
static void drop_irqs(struct vfake_peer *peer, const struct vfio_irq_set *set)
{
	uint32_t action = set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	bool all = !set->count && (set->flags & VFIO_IRQ_SET_DATA_NONE);
	struct peer_irq *irq, *next;

	for (irq = LIST_FIRST(&peer->irqs); irq; irq = next) {
		bool inside = irq->subindex - set->start < set->count;

		next = LIST_NEXT(irq, entry);
		if (irq->index != set->index)
			continue;
		if (action == VFIO_IRQ_SET_ACTION_TRIGGER && all)
			drop_irq(peer, irq);
		else if ((set->flags & VFIO_IRQ_SET_DATA_EVENTFD) && irq->action == action &&
			 inside)
			drop_irq(peer, irq);
	}
}

/* New ones for the descriptors of the message, in their order. 0 or -errno with none. */
static int take_irqs(struct peer_call *call, const struct vfio_irq_set *set, struct peer_irq **irqs)
{
	struct vfake_peer *peer = call->peer;
	const struct vfake_peer_link *link = &peer->main.link;
	bool heard = !(set->flags & VFIO_IRQ_SET_ACTION_TRIGGER);
	int ret = 0;

	for (uint32_t i = 0; i < call->fd_count; i++) {
		struct peer_irq *irq = malloc(sizeof(*irq));

		if (!irq)
			return -ENOMEM;
		*irq = (struct peer_irq){ .index = set->index,
					  .subindex = set->start + i,
					  .action = set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK };
		irq->fd = link->take_event(link->ctx, call->fds[i], heard);
		if (irq->fd < 0) {
			ret = irq->fd;
			free(irq);
			return ret;
		}
		irqs[i] = irq;
	}
	return 0;
}

static int set_irqs(struct peer_call *call, const struct vfio_irq_set *arg, const void *data,
		    uint64_t data_bytes)
{
	struct vfake_peer *peer = call->peer;
	uint64_t space[(sizeof(*arg) + MAX_IRQS * sizeof(int32_t)) / 8 + 1];
	struct vfio_irq_set *set = (struct vfio_irq_set *)space;

	*set = *arg;
	set->argsz = (uint32_t)(sizeof(*set) + data_bytes);
	memcpy(set->data, data, data_bytes);
	return (int)peer_ioctl(peer, peer->device_fd, VFIO_DEVICE_SET_IRQS, set);
}

static int set_eventfds(struct peer_call *call, const struct vfio_irq_set *arg)
{
	struct vfake_peer *peer = call->peer;
	struct peer_irq *irqs[VFIO_USER_MAX_MSG_FDS] = { NULL };
	int32_t fds[MAX_IRQS];
	int ret = take_irqs(call, arg, irqs);

	for (uint32_t i = 0; i < arg->count; i++)
		fds[i] = i < call->fd_count && irqs[i] ? irqs[i]->fd : -1;
	if (!ret)
		ret = set_irqs(call, arg, fds, arg->count * sizeof(fds[0]));
	if (!ret)
		drop_irqs(peer, arg);
	for (uint32_t i = 0; i < call->fd_count && irqs[i]; i++) {
		LIST_INSERT_HEAD(&peer->irqs, irqs[i], entry);
		if (ret)
			drop_irq(peer, irqs[i]);
	}
	return ret;
}

int peer_set_irqs(struct peer_call *call)
{
	struct vfio_irq_set arg;
	uint32_t kind;
	int ret;

	peer_take(call, &arg, sizeof(arg));
	kind = arg.flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	if (arg.count > MAX_IRQS || arg.start > UINT32_MAX - MAX_IRQS ||
	    arg.index >= call->peer->num_irqs)
		return -EINVAL;
	if (kind == VFIO_IRQ_SET_DATA_EVENTFD) {
		if (call->fd_count && call->fd_count != arg.count)
			return -EINVAL;
		return set_eventfds(call, &arg);
	}
	if (call->fd_count)
		return -EINVAL;
	if (kind == VFIO_IRQ_SET_DATA_BOOL && call->in_len - sizeof(arg) < arg.count)
		return -EINVAL;
	ret = set_irqs(call, &arg, call->in + sizeof(arg),
		       kind == VFIO_IRQ_SET_DATA_BOOL ? arg.count : 0);
	if (!ret)
		drop_irqs(call->peer, &arg);
	return ret;
}

void peer_device_forget(struct vfake_peer *peer)
{
	for (uint32_t i = 0; i < peer->num_irqs; i++) {
		struct vfio_irq_set off = { .argsz = sizeof(off),
					    .flags = VFIO_IRQ_SET_DATA_NONE |
						     VFIO_IRQ_SET_ACTION_TRIGGER,
					    .index = i };

		peer_ioctl(peer, peer->device_fd, VFIO_DEVICE_SET_IRQS, &off);
	}
	while (!LIST_EMPTY(&peer->irqs))
		drop_irq(peer, LIST_FIRST(&peer->irqs));
	peer_close_mig(peer);
}
