/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Eventfds that set something off in the kernel.
 *
 * Imitates drivers/vfio/virqfd.c, Linux 7.2.
 *
 * Kept: one at a time per slot (EBUSY); a signal takes the eventfd's count and runs the handler,
 * and the second step only when the handler asks for it; a signal that came before is noticed but
 * keeps its count; closing the eventfd's last descriptor ends it.
 *
 * Dropped: the workqueue. The second step runs at once; a signal that it sends to the same eventfd
 * only counts, where Linux would go round and round.
 */
#include "vfio_pci.h"

static void run(struct virqfd *virqfd)
{
	if (virqfd->handler(virqfd) > 0 && virqfd->thread)
		virqfd->thread(virqfd);
}

static struct virqfd *of_watch(struct vfake_eventfd_watch *watch)
{
	return (struct virqfd *)((char *)watch - offsetof(struct virqfd, watch));
}

static void signalled(struct vfake_eventfd_watch *watch)
{
	run(of_watch(watch));
}

static void closed(struct vfake_eventfd_watch *watch)
{
	struct virqfd *virqfd = of_watch(watch);

	*virqfd->slot = NULL;
	vfake_free(virqfd->pci->kernel, virqfd);
}

int virqfd_enable(struct vfake_task *task, const struct virqfd *as, struct virqfd **slot, int fd)
{
	struct virqfd *virqfd = vfake_alloc(task->kernel, sizeof(*virqfd));
	struct vfake_eventfd *eventfd;
	int ret = 0;

	if (!virqfd)
		return -ENOMEM;
	eventfd = vfake_eventfd_get(task, fd, &ret);
	if (eventfd && *slot)
		ret = -EBUSY;
	if (ret) {
		vfake_eventfd_put(eventfd);
		vfake_free(task->kernel, virqfd);
		return ret;
	}
	*virqfd = *as;
	virqfd->slot = slot;
	virqfd->watch.signalled = signalled;
	virqfd->watch.closed = closed;
	*slot = virqfd;
	if (vfake_eventfd_watch(eventfd, &virqfd->watch))
		run(virqfd);
	vfake_eventfd_put(eventfd);
	return 0;
}

void virqfd_disable(struct virqfd **slot)
{
	struct virqfd *virqfd = *slot;

	if (!virqfd)
		return;
	*slot = NULL;
	vfake_eventfd_unwatch(&virqfd->watch);
	vfake_free(virqfd->pci->kernel, virqfd);
}
