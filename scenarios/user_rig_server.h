/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the server of user_rig.h says to each message. It is a part of that file.
 */
#ifndef SCENARIOS_USER_RIG_SERVER_H
#define SCENARIOS_USER_RIG_SERVER_H

static inline void rig_put(struct rig *rig, const void *bytes, size_t len)
{
	assert_true(rig->out_len + len <= RIG_BYTES);
	if (len)
		memcpy(rig->out + rig->out_len, bytes, len);
	rig->out_len += len;
}

static inline void rig_put_fds(struct rig *rig, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		rig->out_fds[rig->out_fd_count].end = rig->out_len;
		rig->out_fds[rig->out_fd_count++].fd = rig_file(rig);
	}
}

static inline void rig_message(struct rig *rig, const struct vfio_user_header *header,
			       const void *payload, uint32_t size, uint32_t fds)
{
	rig_put(rig, header, sizeof(*header));
	rig_put(rig, payload, size);
	rig_put_fds(rig, fds);
}

static inline void rig_reply_fds(struct rig *rig, const struct vfio_user_header *to,
				 const void *payload, uint32_t size, uint32_t fds)
{
	struct vfio_user_header header = { .msg_id = to->msg_id,
					   .cmd = to->cmd,
					   .msg_size = (uint32_t)sizeof(header) + size,
					   .flags = VFIO_USER_F_TYPE_REPLY };

	rig_message(rig, &header, payload, size, fds);
}

static inline void rig_reply(struct rig *rig, const struct vfio_user_header *to,
			     const void *payload, uint32_t size)
{
	rig_reply_fds(rig, to, payload, size, 0);
}

static inline void rig_error(struct rig *rig, const struct vfio_user_header *to, uint32_t code)
{
	struct vfio_user_header header = { .msg_id = to->msg_id,
					   .cmd = to->cmd,
					   .msg_size = sizeof(header),
					   .flags = VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR,
					   .error_no = code };

	rig_message(rig, &header, NULL, 0, 0);
}

/* The server asks for guest memory. */
static inline void rig_ask_dma(struct rig *rig, uint16_t cmd, uint64_t addr, uint64_t count,
			       const void *data, uint32_t data_size, uint32_t flags)
{
	struct vfio_user_dma_access access = { .addr = addr, .count = count };
	struct vfio_user_header header = { .msg_id = RIG_ASK_ID,
					   .cmd = cmd,
					   .msg_size = (uint32_t)(sizeof(header) + sizeof(access)) +
						       data_size,
					   .flags = flags };

	rig->asked[0] = addr;
	rig->asked[1] = count;
	rig->asked_cmd = cmd;
	rig_put(rig, &header, sizeof(header));
	rig_put(rig, &access, sizeof(access));
	rig_put(rig, data, data_size);
}

static inline void rig_version(struct rig *rig, const struct vfio_user_header *header)
{
	struct vfio_user_version version = { .major = VFIO_USER_MAJOR, .minor = VFIO_USER_MINOR };
	const char *caps = rig->caps ? rig->caps
				     : "{\"capabilities\":{\"max_msg_fds\":8,"
				       "\"max_data_xfer_size\":1048576,\"pgsizes\":4096,"
				       "\"write_multiple\":true}}";
	uint8_t bytes[8192];
	uint32_t len = (uint32_t)strlen(caps) + 1;

	memcpy(bytes, &version, sizeof(version));
	memcpy(bytes + sizeof(version), caps, len);
	rig_reply(rig, header, bytes, (uint32_t)sizeof(version) + len);
}

static inline void rig_region_info(struct rig *rig, const struct vfio_user_header *header,
				   const uint8_t *payload)
{
	struct {
		struct vfio_region_info info;
		struct vfio_info_cap_header cap;
		uint32_t areas, reserved;
		uint64_t area[2][2];
	} answer = { .cap = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 },
		     .areas = 2,
		     .area = { { 0, 1024 }, { 2048, 1024 } } };
	bool maps;
	uint32_t room;

	memcpy(&answer.info, payload, sizeof(answer.info));
	maps = answer.info.index == RIG_MAPPED_REGION;
	room = answer.info.argsz;
	answer.info.argsz = maps ? sizeof(answer) : sizeof(answer.info);
	answer.info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	answer.info.size = RIG_REGION_BYTES;
	if (maps) {
		answer.info.flags |= VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
		answer.info.cap_offset = sizeof(answer.info);
		answer.info.offset = 0x10000;
	}
	rig_reply_fds(rig, header, &answer,
		      room < answer.info.argsz ? (uint32_t)sizeof(answer.info) : answer.info.argsz,
		      maps);
}

static inline void rig_note_write(struct rig *rig, const struct vfio_user_write_one *one)
{
	assert_true(one->region < RIG_REGIONS && one->offset + one->count <= RIG_REGION_BYTES);
	memcpy(rig->regions[one->region] + one->offset, one->data, one->count);
	if (rig->log_count < 256)
		rig->log[rig->log_count++] = *one;
}

static inline void rig_access(struct rig *rig, const struct vfio_user_header *header,
			      const uint8_t *payload, uint32_t size)
{
	struct vfio_user_region_access access;
	uint8_t bytes[sizeof(access) + RIG_REGION_BYTES];

	memcpy(&access, payload, sizeof(access));
	assert_true(access.region < RIG_REGIONS);
	assert_true(access.offset + access.count <= RIG_REGION_BYTES);
	memcpy(bytes, &access, sizeof(access));
	if (header->cmd == VFIO_USER_REGION_READ) {
		memcpy(bytes + sizeof(access), rig->regions[access.region] + access.offset,
		       access.count);
		rig_reply(rig, header, bytes, (uint32_t)sizeof(access) + access.count);
		return;
	}
	assert_int_equal(size, sizeof(access) + access.count);
	if (access.count <= 8) {
		struct vfio_user_write_one one = { .offset = access.offset,
						   .region = access.region,
						   .count = access.count };

		memcpy(one.data, payload + sizeof(access), access.count);
		rig_note_write(rig, &one);
	} else {
		memcpy(rig->regions[access.region] + access.offset, payload + sizeof(access),
		       access.count);
	}
	if (!(header->flags & VFIO_USER_F_NO_REPLY))
		rig_reply(rig, header, bytes, sizeof(access));
}

static inline void rig_multi(struct rig *rig, const struct vfio_user_header *header,
			     const uint8_t *payload, uint32_t size)
{
	struct vfio_user_write_multi multi;

	memcpy(&multi, payload, sizeof(multi));
	assert_int_equal(size, sizeof(multi) + multi.wr_cnt * sizeof(struct vfio_user_write_one));
	for (uint64_t i = 0; i < multi.wr_cnt; i++) {
		struct vfio_user_write_one one;

		memcpy(&one, payload + sizeof(multi) + i * sizeof(one), sizeof(one));
		rig_note_write(rig, &one);
	}
	if (!(header->flags & VFIO_USER_F_NO_REPLY))
		rig_reply(rig, header, &multi, sizeof(multi));
}

static inline void rig_irqs(struct rig *rig, const struct vfio_user_header *header,
			    const uint8_t *payload, uint32_t size)
{
	struct vfio_irq_set set = { 0 };

	assert_int_equal(size, sizeof(set));
	memcpy(&set, payload, sizeof(set));
	if (set.flags == (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER) && !set.count)
		memset(rig->irq_fds, 0, sizeof(rig->irq_fds));
	for (uint32_t i = set.start; i < set.start + set.count && i < 64; i++) {
		if (set.flags & VFIO_IRQ_SET_DATA_EVENTFD)
			rig->irq_fds[i] = rig->got_fds > 0;
	}
	rig_reply(rig, header, NULL, 0);
}

/* What a server without a migratable device says. */
static inline void rig_decent(struct rig *rig, const struct vfio_user_header *header,
			      const uint8_t *payload, uint32_t size)
{
	struct vfio_user_device_info info = { .argsz = sizeof(info),
					      .flags = VFIO_DEVICE_FLAGS_RESET |
						       VFIO_DEVICE_FLAGS_PCI,
					      .num_regions = RIG_REGIONS,
					      .num_irqs = VFIO_PCI_NUM_IRQS };
	struct vfio_irq_info irq = { .argsz = sizeof(irq), .flags = VFIO_IRQ_INFO_EVENTFD };

	switch (header->cmd) {
	case VFIO_USER_VERSION:
		rig_version(rig, header);
		break;
	case VFIO_USER_DMA_MAP:
		rig->maps++;
		rig_reply(rig, header, NULL, 0);
		break;
	case VFIO_USER_DMA_UNMAP:
		rig->maps--;
		rig_reply(rig, header, payload, size);
		break;
	case VFIO_USER_DEVICE_GET_INFO:
		rig_reply(rig, header, &info, sizeof(info));
		break;
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		rig_region_info(rig, header, payload);
		break;
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		memcpy(&irq.index, payload + offsetof(struct vfio_irq_info, index), 4);
		irq.count = irq.index == VFIO_PCI_MSIX_IRQ_INDEX ? 64 : 1;
		rig_reply(rig, header, &irq, sizeof(irq));
		break;
	case VFIO_USER_DEVICE_SET_IRQS:
		rig_irqs(rig, header, payload, size);
		break;
	case VFIO_USER_REGION_READ:
	case VFIO_USER_REGION_WRITE:
		rig_access(rig, header, payload, size);
		break;
	case VFIO_USER_REGION_WRITE_MULTI:
		rig_multi(rig, header, payload, size);
		break;
	case VFIO_USER_DEVICE_RESET:
		rig_reply(rig, header, NULL, 0);
		break;
	default:
		rig_error(rig, header, ENOTTY);
	}
}

static inline void rig_hear(struct rig *rig, const struct vfio_user_header *header,
			    const uint8_t *payload, uint32_t size)
{
	if ((header->flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY) {
		rig_law_reply(rig, header, payload, size);
		assert_true(rig->reply_count < 4);
		rig->reply_sizes[rig->reply_count] = size;
		rig->replies[rig->reply_count++] = header->error_no;
		memcpy(rig->reply_bytes, payload, size < 64 ? size : 64);
		return;
	}
	rig_law(rig, header, payload, size);
	rig->seen[header->cmd]++;
	rig->last_id = header->msg_id;
	rig->unanswered += (header->flags & VFIO_USER_F_NO_REPLY) != 0;
	if (!rig->hook || !rig->hook(rig, header, payload, size))
		rig_decent(rig, header, payload, size);
}

#endif
