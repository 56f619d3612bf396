/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device behind a vfio-user peer reaches the client: its memory by descriptors and by messages,
 * its interrupts, and what it wrote; and its state goes out and in again.
 */
#include <uapi/iommufd.h>

#include "peer_talk.h"

enum { RING = 0x10000, SOURCE = 0x20000, DEST = 0x30000, BYTES = 3 * 4096 + 100 };

/* Memory of the client: a memfd that is mapped here. */
struct memory {
	int fd;
	uint8_t *at;
};

static struct memory new_memory(struct talk *talk, uint64_t pages)
{
	struct memory memory;
	vfake_addr addr;

	memory.fd = vfake_memfd(talk->task, pages * TALK_PAGE);
	assert_true(memory.fd >= 0);
	assert_int_equal(vfake_mmap(talk->task, pages * TALK_PAGE, 3, memory.fd, 0, &addr), 0);
	memory.at = (uint8_t *)(uintptr_t)addr;
	return memory;
}

static void free_memory(struct talk *talk, struct memory *memory, uint64_t pages)
{
	vfake_munmap(talk->task, (uintptr_t)memory->at, pages * TALK_PAGE);
	vfake_close(talk->task, memory->fd);
}

static void fill(uint8_t *at, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		at[i] = (uint8_t)(i * 7 + i / 256);
}

static uint32_t status_of(const uint8_t *ring)
{
	return ring[VFAKE_COPY_DESC_STATUS];
}

/* ---- maps ---- */

static void a_device_reaches_memory_by_its_descriptor(void **state)
{
	struct memory memory;
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	memory = new_memory(&talk, 16);
	/* three maps of one file, in another order than the memory */
	assert_int_equal(talk_map(&talk, DEST, 4 * TALK_PAGE, TALK_RW, memory.fd, 0), 0);
	assert_int_equal(talk.len, 0);
	assert_int_equal(talk_map(&talk, RING, TALK_PAGE, TALK_RW, memory.fd, 15 * TALK_PAGE), 0);
	assert_int_equal(talk_map(&talk, SOURCE, 4 * TALK_PAGE, VFIO_USER_DMA_MAP_FLAG_READ,
				  memory.fd, 8 * TALK_PAGE),
			 0);
	assert_int_equal(vfake_peer_counts(talk.peer).maps, 3);
	fill(memory.at + 8 * TALK_PAGE, BYTES);
	talk_copy(&talk, memory.at + 15 * TALK_PAGE, RING, SOURCE, DEST, BYTES);
	vfake_tick(talk.kernel, UINT64_MAX);
	assert_int_equal(status_of(memory.at + 15 * TALK_PAGE), VFAKE_COPY_DESC_DONE);
	assert_memory_equal(memory.at, memory.at + 8 * TALK_PAGE, BYTES);
	/* what may be read only is not written */
	talk_copy(&talk, memory.at + 15 * TALK_PAGE, RING, DEST, SOURCE, 16);
	vfake_tick(talk.kernel, UINT64_MAX);
	assert_int_equal(status_of(memory.at + 15 * TALK_PAGE), VFAKE_COPY_DESC_WRITE_FAULT);
	/* and what is unmapped is gone */
	assert_int_equal(talk_unmap(&talk, DEST, 4 * TALK_PAGE, 0), 0);
	assert_int_equal(talk.len, sizeof(struct vfio_user_dma_unmap));
	assert_int_equal(((struct vfio_user_dma_unmap *)(void *)talk.payload)->addr, DEST);
	talk_copy(&talk, memory.at + 15 * TALK_PAGE, RING, DEST, DEST, 16);
	vfake_tick(talk.kernel, UINT64_MAX);
	assert_int_equal(status_of(memory.at + 15 * TALK_PAGE), VFAKE_COPY_DESC_READ_FAULT);
	assert_int_equal(vfake_peer_counts(talk.peer).far_reads, 0);
	talk_leave(&talk);
	free_memory(&talk, &memory, 16);
	talk_end(&talk);
}

static void maps_exclude_each_other(void **state)
{
	const struct vfake_peer_attr attr = { .max_dma_maps = 40 };
	struct memory memory;
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", &attr);
	memory = new_memory(&talk, 2);
	for (uint64_t i = 0; i < 40; i++)
		assert_int_equal(talk_map(&talk, (i * 17 % 40) * 2 * TALK_PAGE, TALK_PAGE, TALK_RW,
					  i % 2 ? memory.fd : -1, 0),
				 0);
	assert_int_equal(talk_map(&talk, 200 * TALK_PAGE, TALK_PAGE, TALK_RW, -1, 0), -ENOSPC);
	assert_int_equal(talk_map(&talk, 0, TALK_PAGE, TALK_RW, -1, 0), -EEXIST);
	assert_int_equal(talk_map(&talk, TALK_PAGE, 2 * TALK_PAGE, TALK_RW, -1, 0), -EEXIST);
	assert_int_equal(talk_map(&talk, 0, 200 * TALK_PAGE, TALK_RW, memory.fd, 0), -EEXIST);
	/* unmapping takes what was mapped, and nothing else */
	assert_int_equal(talk_unmap(&talk, 0, 2 * TALK_PAGE, 0), -ENOENT);
	assert_int_equal(talk_unmap(&talk, TALK_PAGE, TALK_PAGE, 0), -ENOENT);
	assert_int_equal(talk_unmap(&talk, 2 * TALK_PAGE + 1, TALK_PAGE - 1, 0), -ENOENT);
	assert_int_equal(talk_unmap(&talk, 900 * TALK_PAGE, TALK_PAGE, 0), -ENOENT);
	assert_int_equal(talk_unmap(&talk, 2 * TALK_PAGE, TALK_PAGE, 0), 0);
	assert_int_equal(talk_unmap(&talk, 2 * TALK_PAGE, TALK_PAGE, 0), -ENOENT);
	/* the place is free again; the largest map there is */
	assert_int_equal(talk_map(&talk, 2 * TALK_PAGE, TALK_PAGE, TALK_RW, memory.fd, TALK_PAGE),
			 0);
	assert_int_equal(talk_unmap(&talk, 5, 0, VFIO_USER_DMA_UNMAP_FLAG_ALL), -EINVAL);
	assert_int_equal(talk_unmap(&talk, 0, 5, VFIO_USER_DMA_UNMAP_FLAG_ALL), -EINVAL);
	assert_int_equal(talk_unmap(&talk, 0, 0, 3), -EINVAL);
	assert_int_equal(talk_unmap(&talk, 0, 0, VFIO_USER_DMA_UNMAP_FLAG_ALL), 0);
	assert_int_equal(vfake_peer_counts(talk.peer).maps, 0);
	assert_int_equal(talk_unmap(&talk, 0, 0, VFIO_USER_DMA_UNMAP_FLAG_ALL), 0);
	assert_int_equal(talk_map(&talk, UINT64_MAX - TALK_PAGE + 1, TALK_PAGE, TALK_RW, -1, 0), 0);
	talk_leave(&talk);
	free_memory(&talk, &memory, 2);
	talk_end(&talk);
}

static void bad_maps_leave_nothing(void **state)
{
	struct memory memory;
	struct talk talk;
	int fds[2], event;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	memory = new_memory(&talk, 2);
	event = vfake_eventfd(talk.task);
	assert_int_equal(talk_map(&talk, 0, 0, TALK_RW, -1, 0), -EINVAL);
	assert_int_equal(talk_map(&talk, UINT64_MAX - 4095, 8192, TALK_RW, -1, 0), -EINVAL);
	assert_int_equal(talk_map(&talk, 0, TALK_PAGE, 0, -1, 0), -EINVAL);
	assert_int_equal(talk_map(&talk, 0, TALK_PAGE, 4, -1, 0), -EINVAL);
	assert_int_equal(talk_map(&talk, 0, 100, TALK_RW, -1, 0), -EINVAL);
	assert_int_equal(talk_map(&talk, 100, TALK_PAGE, TALK_RW, -1, 0), -EINVAL);
	assert_int_equal(talk_map(&talk, 0, TALK_PAGE, TALK_RW, memory.fd, 100), -EINVAL);
	assert_true(talk_map(&talk, 0, 3 * TALK_PAGE, TALK_RW, memory.fd, 0) < 0);
	assert_true(talk_map(&talk, 0, TALK_PAGE, TALK_RW, memory.fd, 2 * TALK_PAGE) < 0);
	assert_true(talk_map(&talk, 0, TALK_PAGE, TALK_RW, event, 0) < 0);
	fds[0] = fds[1] = memory.fd;
	{
		struct vfio_user_dma_map map = { .argsz = sizeof(map),
						 .flags = TALK_RW,
						 .size = TALK_PAGE };

		assert_int_equal(talk_call_fds(&talk, VFIO_USER_DMA_MAP, &map, sizeof(map), fds, 2),
				 -EINVAL);
		map.argsz = sizeof(map) - 1;
		assert_int_equal(talk_call(&talk, VFIO_USER_DMA_MAP, &map, sizeof(map)), -EINVAL);
	}
	assert_int_equal(vfake_peer_counts(talk.peer).maps, 0);
	vfake_close(talk.task, event);
	free_memory(&talk, &memory, 2);
	talk_end(&talk);
}

/* ---- far memory ---- */

/* What the client does with the peer's commands. */
struct far {
	uint8_t *at;	  /* its memory, from IOVA 0 on */
	uint32_t fail_at; /* the answer to this one, from 1, is an error */
	uint32_t lie_at;  /* the answer to this one does not fit */
	bool short_count; /* the count of an answer to a write has 4 bytes */
	uint32_t seen;
	uint32_t longest;
};

static void answer(struct talk *talk, struct far *far, int fd)
{
	struct vfio_user_header header = talk->header;
	struct vfio_user_dma_access access;
	uint8_t reply[sizeof(header) + sizeof(access) + TALK_PAGE];
	uint32_t len = sizeof(access);
	bool write = header.cmd == VFIO_USER_DMA_WRITE;

	assert_true(write || header.cmd == VFIO_USER_DMA_READ);
	assert_int_equal(header.flags, VFIO_USER_F_TYPE_COMMAND);
	memcpy(&access, talk->payload, sizeof(access));
	assert_int_equal(talk->len, sizeof(access) + (write ? access.count : 0));
	if (access.count > far->longest)
		far->longest = (uint32_t)access.count;
	if (write)
		memcpy(far->at + access.addr, talk->payload + 2, access.count);
	else
		memcpy(reply + sizeof(header) + len, far->at + access.addr, access.count);
	far->seen++;
	access.addr += far->seen == far->lie_at;
	memcpy(reply + sizeof(header), &access, sizeof(access));
	if (!write)
		len += (uint32_t)access.count;
	else if (far->short_count)
		len = 12;
	header.flags = VFIO_USER_F_TYPE_REPLY;
	if (far->seen == far->fail_at) {
		header.flags |= VFIO_USER_F_ERROR;
		header.error_no = EPERM;
		len = 0;
	}
	header.msg_size = (uint32_t)sizeof(header) + len;
	memcpy(reply, &header, sizeof(header));
	assert_int_equal(vfake_sendmsg(talk->task, fd, reply, header.msg_size, NULL, 0),
			 header.msg_size);
}

/* Ticks and answers until the device is idle. */
static void run_far(struct talk *talk, struct far *far, int fd)
{
	do {
		vfake_tick(talk->kernel, UINT64_MAX);
		while (vfake_poll(talk->task, fd, 1000) == 1) {
			assert_true(talk_recv_on(talk, fd));
			answer(talk, far, fd);
			while (vfake_peer_turn(talk->peer))
				;
			vfake_tick(talk->kernel, UINT64_MAX);
		}
	} while (vfake_tick(talk->kernel, 1));
}

static void a_device_reaches_memory_by_messages(void **state)
{
	static uint8_t bytes[DEST + 16 * TALK_PAGE];
	struct far far = { .at = bytes };
	struct vfake_device_faults faults;
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	assert_int_equal(talk_map(&talk, 0, sizeof(bytes), TALK_RW, -1, 0), 0);
	fill(bytes + SOURCE, BYTES);
	talk_copy(&talk, bytes + RING, RING, SOURCE, DEST, BYTES);
	run_far(&talk, &far, talk.fd);
	assert_int_equal(status_of(bytes + RING), VFAKE_COPY_DESC_DONE);
	assert_memory_equal(bytes + DEST, bytes + SOURCE, BYTES);
	assert_int_equal(vfake_peer_counts(talk.peer).far_reads, 1 + 4);
	assert_int_equal(vfake_peer_counts(talk.peer).far_writes, 4 + 1);
	assert_int_equal(vfake_device_faults(talk.kernel, "d0", &faults), 0);
	assert_int_equal(faults.count, 0);
	assert_int_equal(talk_read_reg(&talk, VFAKE_COPY_CONSUMER, 4), 1);
	/* the other way to write the answer */
	far.short_count = true;
	talk_copy(&talk, bytes + RING, RING, DEST + 1, SOURCE + 2, 5000);
	run_far(&talk, &far, talk.fd);
	assert_int_equal(status_of(bytes + RING), VFAKE_COPY_DESC_DONE);
	talk_end(&talk);
}

static void far_accesses_are_cut_to_what_the_client_takes(void **state)
{
	static uint8_t bytes[DEST + 16 * TALK_PAGE];
	struct far far = { .at = bytes };
	struct talk talk;

	(void)state;
	talk_boot(&talk, "copy", NULL);
	talk_connect(&talk);
	assert_int_equal(talk_version(&talk, 0, 1,
				      "{\"capabilities\":{\"max_data_xfer_size\":1000,"
				      "\"twin_socket\":{\"supported\":true}}}"),
			 0);
	assert_int_equal(talk.fd_count, 1);
	talk.twin = talk.fds[0];
	talk.fd_count = 0;
	assert_int_equal(talk_map(&talk, 0, sizeof(bytes), TALK_RW, -1, 0), 0);
	fill(bytes + SOURCE, BYTES);
	talk_copy(&talk, bytes + RING, RING, SOURCE, DEST, BYTES);
	run_far(&talk, &far, talk.twin);
	assert_int_equal(status_of(bytes + RING), VFAKE_COPY_DESC_DONE);
	assert_memory_equal(bytes + DEST, bytes + SOURCE, BYTES);
	assert_int_equal(far.longest, 1000);
	/* one chunk of 4096 bytes is five messages */
	assert_int_equal(vfake_peer_counts(talk.peer).far_reads, 1 + 3 * 5 + 1);
	talk_end(&talk);
}

static void a_bad_answer_is_a_fault(void **state)
{
	static uint8_t bytes[DEST + 16 * TALK_PAGE];
	/* of one chunk: descriptor, source, destination, status */
	static const uint32_t want[] = { VFAKE_COPY_DESC_OPEN, VFAKE_COPY_DESC_READ_FAULT,
					 VFAKE_COPY_DESC_WRITE_FAULT, VFAKE_COPY_DESC_DONE };
	struct vfake_device_faults faults;
	struct talk talk;

	(void)state;
	for (uint32_t at = 0; at < 8; at++) {
		struct far far = { .at = bytes };

		*(at < 4 ? &far.fail_at : &far.lie_at) = at % 4 + 1;
		talk_begin(&talk, "copy", NULL);
		assert_int_equal(talk_map(&talk, 0, sizeof(bytes), TALK_RW, -1, 0), 0);
		talk_copy(&talk, bytes + RING, RING, SOURCE, DEST, TALK_PAGE);
		run_far(&talk, &far, talk.fd);
		assert_int_equal(status_of(bytes + RING), want[at % 4]);
		assert_int_equal(vfake_device_faults(talk.kernel, "d0", &faults), 0);
		assert_int_equal(faults.count, 1);
		assert_int_equal(faults.last_write, at % 4 >= 2);
		talk_end(&talk);
	}
}

static void what_is_asked_for_may_change(void **state)
{
	static uint8_t bytes[DEST + 16 * TALK_PAGE];
	struct far far = { .at = bytes };
	struct talk talk;
	uint16_t first;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	assert_int_equal(talk_map(&talk, 0, sizeof(bytes), TALK_RW, -1, 0), 0);
	talk_copy(&talk, bytes + RING, RING, SOURCE, DEST, TALK_PAGE);
	vfake_tick(talk.kernel, UINT64_MAX);
	assert_int_equal(vfake_poll(talk.task, talk.fd, 100), 1);
	assert_true(talk_recv(&talk));
	first = talk.header.msg_id;
	/* before the answer the device is reset and begins anew, elsewhere */
	assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	talk_copy(&talk, bytes + RING + 512, RING + 512, SOURCE, DEST, TALK_PAGE);
	vfake_tick(talk.kernel, UINT64_MAX);
	talk.header = (struct vfio_user_header){ .msg_id = first,
						 .cmd = VFIO_USER_DMA_READ,
						 .flags = VFIO_USER_F_TYPE_REPLY,
						 .msg_size = sizeof(talk.header) };
	talk_send_message(&talk, &talk.header, NULL, 0, NULL, 0);
	run_far(&talk, &far, talk.fd);
	assert_int_equal(status_of(bytes + RING + 512), VFAKE_COPY_DESC_DONE);
	assert_int_equal(vfake_peer_counts(talk.peer).unknown_replies, 1);
	/* a client that goes in the middle */
	talk_copy(&talk, bytes + RING, RING, SOURCE, DEST, TALK_PAGE);
	vfake_tick(talk.kernel, UINT64_MAX);
	talk_leave(&talk);
	vfake_tick(talk.kernel, UINT64_MAX);
	talk_end(&talk);
}

static void a_peer_can_let_time_pass(void **state)
{
	const struct vfake_peer_attr attr = { .ticks_per_turn = 3 };
	struct memory memory;
	struct talk talk;

	(void)state;
	talk_begin(&talk, "copy", &attr);
	memory = new_memory(&talk, 64);
	assert_int_equal(talk_map(&talk, 0, 64 * TALK_PAGE, TALK_RW, memory.fd, 0), 0);
	fill(memory.at + SOURCE, BYTES);
	talk_copy(&talk, memory.at + RING, RING, SOURCE, DEST, BYTES);
	assert_int_equal(vfake_poll(talk.task, talk.fd, 100), 0);
	assert_int_equal(status_of(memory.at + RING), VFAKE_COPY_DESC_DONE);
	assert_memory_equal(memory.at + DEST, memory.at + SOURCE, BYTES);
	talk_leave(&talk);
	free_memory(&talk, &memory, 64);
	talk_end(&talk);
}

/* ---- interrupts ---- */

static int set_irqs(struct talk *talk, uint32_t flags, uint32_t index, uint32_t start,
		    uint32_t count, const int *fds, uint32_t fd_count)
{
	struct vfio_irq_set set = { .argsz = (uint32_t)sizeof(set) + count,
				    .flags = flags,
				    .index = index,
				    .start = start,
				    .count = count };
	/* the first, the third, … */
	uint8_t payload[sizeof(set) + 8] = { [sizeof(set)] = 1, 0, 1, 0, 1, 0, 1, 0 };
	uint32_t len = sizeof(set);

	memcpy(payload, &set, sizeof(set));
	if (flags & VFIO_IRQ_SET_DATA_BOOL)
		len += count;
	return talk_call_fds(talk, VFIO_USER_DEVICE_SET_IRQS, payload, len, fds, fd_count);
}

static uint64_t take(struct talk *talk, int fd)
{
	uint64_t count = 0;

	vfake_read(talk->task, fd, (uintptr_t)&count, sizeof(count));
	return count;
}

enum {
	TRIGGER_FD = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
	TRIGGER = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
	TRIGGER_SOME = VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER,
};

static void interrupts_are_the_clients_eventfds(void **state)
{
	struct talk talk;
	int fds[4], other;

	(void)state;
	talk_begin(&talk, "copy", NULL);
	for (int i = 0; i < 4; i++)
		fds[i] = vfake_eventfd(talk.task);
	assert_int_equal(set_irqs(&talk, TRIGGER_FD, VFIO_PCI_MSIX_IRQ_INDEX, 0, 4, fds, 4), 0);
	assert_int_equal(talk.len, 0);
	assert_int_equal(set_irqs(&talk, TRIGGER_SOME, VFIO_PCI_MSIX_IRQ_INDEX, 0, 3, NULL, 0), 0);
	assert_int_equal(set_irqs(&talk, TRIGGER, VFIO_PCI_MSIX_IRQ_INDEX, 2, 1, NULL, 0), 0);
	assert_int_equal(take(&talk, fds[0]), 1);
	assert_int_equal(take(&talk, fds[1]), 0);
	assert_int_equal(take(&talk, fds[2]), 2);
	/* another one in the place of the third; none in that of the first */
	other = vfake_eventfd(talk.task);
	assert_int_equal(set_irqs(&talk, TRIGGER_FD, VFIO_PCI_MSIX_IRQ_INDEX, 2, 1, &other, 1), 0);
	assert_int_equal(set_irqs(&talk, TRIGGER_FD, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, NULL, 0), 0);
	assert_int_equal(set_irqs(&talk, TRIGGER, VFIO_PCI_MSIX_IRQ_INDEX, 0, 4, NULL, 0), 0);
	assert_int_equal(take(&talk, fds[0]), 0);
	assert_int_equal(take(&talk, fds[1]), 1);
	assert_int_equal(take(&talk, fds[2]), 0);
	assert_int_equal(take(&talk, other), 1);
	/* all of them end */
	assert_int_equal(set_irqs(&talk, TRIGGER, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, NULL, 0), 0);
	assert_true(set_irqs(&talk, TRIGGER, VFIO_PCI_MSIX_IRQ_INDEX, 0, 4, NULL, 0) < 0);
	assert_int_equal(take(&talk, fds[1]), 0);
	/* the client goes with some set */
	assert_int_equal(set_irqs(&talk, TRIGGER_FD, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, fds, 1), 0);
	talk_leave(&talk);
	for (int i = 0; i < 4; i++)
		vfake_close(talk.task, fds[i]);
	vfake_close(talk.task, other);
	talk_end(&talk);
}

static void intx_is_masked_and_unmasked(void **state)
{
	const uint32_t unmask_fd = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK;
	struct talk talk;
	uint64_t one = 1;
	int fds[2];

	(void)state;
	talk_begin(&talk, "edu", NULL);
	fds[0] = vfake_eventfd(talk.task);
	fds[1] = vfake_eventfd(talk.task);
	assert_int_equal(set_irqs(&talk, TRIGGER_FD, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, fds, 1), 0);
	assert_int_equal(set_irqs(&talk, unmask_fd, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, fds + 1, 1), 0);
	assert_int_equal(set_irqs(&talk, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK,
				  VFIO_PCI_INTX_IRQ_INDEX, 0, 1, NULL, 0),
			 0);
	assert_int_equal(vfake_write(talk.task, fds[1], (uintptr_t)&one, sizeof(one)), 8);
	assert_int_equal(set_irqs(&talk, unmask_fd, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, NULL, 0), 0);
	assert_int_equal(set_irqs(&talk, TRIGGER, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, NULL, 0), 0);
	assert_int_equal(take(&talk, fds[0]), 1);
	vfake_close(talk.task, fds[0]);
	vfake_close(talk.task, fds[1]);
	talk_end(&talk);
}

static void bad_interrupts_leave_nothing(void **state)
{
	struct talk talk;
	int fds[2];

	(void)state;
	talk_begin(&talk, "copy", NULL);
	fds[0] = vfake_eventfd(talk.task);
	fds[1] = vfake_memfd(talk.task, TALK_PAGE);
	/* too many, not enough, none that is one, of a kind that there is not */
	assert_int_equal(set_irqs(&talk, TRIGGER_FD, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, fds, 2),
			 -EINVAL);
	assert_int_equal(set_irqs(&talk, TRIGGER_FD, VFIO_PCI_MSIX_IRQ_INDEX, 0, 4, fds, 2),
			 -EINVAL);
	assert_true(set_irqs(&talk, TRIGGER_FD, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, fds, 2) < 0);
	assert_int_equal(set_irqs(&talk, TRIGGER_FD, 77, 0, 1, fds, 1), -EINVAL);
	assert_int_equal(set_irqs(&talk, TRIGGER_FD, VFIO_PCI_MSIX_IRQ_INDEX, 4, 1, fds, 1),
			 -EINVAL);
	assert_int_equal(set_irqs(&talk, TRIGGER, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, fds, 1), -EINVAL);
	assert_int_equal(
		set_irqs(&talk, TRIGGER_FD, VFIO_PCI_MSIX_IRQ_INDEX, 0, UINT32_MAX, NULL, 0),
		-EINVAL);
	assert_int_equal(set_irqs(&talk, TRIGGER, VFIO_PCI_MSIX_IRQ_INDEX, UINT32_MAX, 1, NULL, 0),
			 -EINVAL);
	/* booleans that are missing */
	{
		struct vfio_irq_set set = { .argsz = sizeof(set),
					    .flags = TRIGGER_SOME,
					    .index = VFIO_PCI_MSIX_IRQ_INDEX,
					    .count = 4 };

		assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_SET_IRQS, &set, sizeof(set)),
				 -EINVAL);
		set.flags = 64;
		assert_int_equal(talk_call(&talk, VFIO_USER_DEVICE_SET_IRQS, &set, sizeof(set)),
				 -EINVAL);
	}
	vfake_close(talk.task, fds[0]);
	vfake_close(talk.task, fds[1]);
	talk_end(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_reaches_memory_by_its_descriptor),
		cmocka_unit_test(maps_exclude_each_other),
		cmocka_unit_test(bad_maps_leave_nothing),
		cmocka_unit_test(a_device_reaches_memory_by_messages),
		cmocka_unit_test(far_accesses_are_cut_to_what_the_client_takes),
		cmocka_unit_test(a_bad_answer_is_a_fault),
		cmocka_unit_test(what_is_asked_for_may_change),
		cmocka_unit_test(a_peer_can_let_time_pass),
		cmocka_unit_test(interrupts_are_the_clients_eventfds),
		cmocka_unit_test(intx_is_masked_and_unmasked),
		cmocka_unit_test(bad_interrupts_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
