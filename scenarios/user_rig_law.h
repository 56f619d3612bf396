/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each message of the stack must look like, down to the last byte, whatever a test is about:
 * the server of user_rig.h looks at all that comes. It is a part of that file.
 */
#ifndef SCENARIOS_USER_RIG_LAW_H
#define SCENARIOS_USER_RIG_LAW_H

/* What the server has said it can take. */
static inline uint64_t rig_cap(const struct rig *rig, const char *name, uint64_t otherwise)
{
	const char *at = rig->caps ? strstr(rig->caps, name) : NULL;

	return at ? strtoull(at + strcspn(at, "0123456789"), NULL, 10) : otherwise;
}

static inline uint64_t rig_most_fds(const struct rig *rig)
{
	return rig_cap(rig, "\"max_msg_fds", rig->caps ? 1 : 8);
}

static inline uint64_t rig_most_data(const struct rig *rig)
{
	uint64_t most = rig_cap(rig, "\"max_data_xfer_size", VFIO_USER_MAX_DATA_XFER_BYTES);

	return most < VFIO_USER_MAX_DATA_XFER_BYTES ? most : VFIO_USER_MAX_DATA_XFER_BYTES;
}

/* The smallest page of those that the stack offers and the server has. */
static inline uint64_t rig_page(const struct rig *rig)
{
	uint64_t pages = rig_cap(rig, "\"pgsizes\"", 4096) & 1075908608;

	return pages & -pages;
}

static inline uint64_t rig_most_bitmap(const struct rig *rig)
{
	uint64_t most = rig_cap(rig, "\"max_bitmap_size\"", VFIO_USER_MAX_DATA_XFER_BYTES);

	return most < VFIO_USER_MAX_DATA_XFER_BYTES ? most : VFIO_USER_MAX_DATA_XFER_BYTES;
}

static inline void rig_law_version(const uint8_t *payload, uint32_t size)
{
	const char *text = "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576,"
			   "\"max_dma_maps\":65535,\"pgsizes\":1075908608,\"write_multiple\":true,"
			   "\"migration\":{\"pgsize\":4096,\"max_bitmap_size\":1048576}}}";
	struct vfio_user_version version;

	memcpy(&version, payload, sizeof(version));
	assert_int_equal(version.major, 0);
	assert_int_equal(version.minor, 1);
	assert_int_equal(size, sizeof(version) + strlen(text) + 1);
	assert_memory_equal(payload + sizeof(version), text, strlen(text) + 1);
}

static inline void rig_law_map(const struct rig *rig, const uint8_t *payload, uint32_t size)
{
	struct vfio_user_dma_map map;

	assert_int_equal(size, sizeof(map));
	memcpy(&map, payload, sizeof(map));
	assert_int_equal(map.argsz, sizeof(map));
	assert_true(map.flags == VFIO_USER_DMA_MAP_FLAG_READ ||
		    map.flags == (VFIO_USER_DMA_MAP_FLAG_READ | VFIO_USER_DMA_MAP_FLAG_WRITE));
	assert_true(map.size && map.addr + (map.size - 1) >= map.addr);
	assert_int_equal((map.addr | map.size) & (rig_page(rig) - 1), 0);
	assert_in_range(rig->got_fds, 0, 1);
	if (!rig->got_fds)
		assert_int_equal(map.offset, 0);
}

static inline void rig_law_unmap(const struct rig *rig, const uint8_t *payload, uint32_t size)
{
	struct vfio_user_dma_unmap unmap;
	struct vfio_user_bitmap bitmap;

	assert_true(size >= sizeof(unmap));
	memcpy(&unmap, payload, sizeof(unmap));
	if (unmap.flags != VFIO_USER_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) {
		assert_int_equal(size, sizeof(unmap));
		assert_int_equal(unmap.argsz, sizeof(unmap));
		assert_true(!unmap.flags || unmap.flags == VFIO_USER_DMA_UNMAP_FLAG_ALL);
		assert_int_equal(unmap.flags != 0, !unmap.size);
		assert_true(!unmap.flags || !unmap.addr);
		return;
	}
	assert_int_equal(size, sizeof(unmap) + sizeof(bitmap));
	memcpy(&bitmap, payload + sizeof(unmap), sizeof(bitmap));
	assert_int_equal(bitmap.size, (unmap.size / bitmap.pgsize + 63) / 64 * 8);
	assert_int_equal(bitmap.pgsize, rig_page(rig));
	assert_int_equal(unmap.argsz, size + bitmap.size);
	assert_in_range(unmap.argsz, 0, rig_most_bitmap(rig));
}

static inline void rig_law_irqs(const uint8_t *payload, uint32_t size, uint32_t fds)
{
	const uint32_t actions =
		VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_UNMASK;
	struct vfio_irq_set set;

	assert_int_equal(size, sizeof(set));
	memcpy(&set, payload, sizeof(set));
	assert_int_equal(set.argsz, sizeof(set));
	assert_true(set.index < VFIO_PCI_NUM_IRQS);
	assert_int_equal(__builtin_popcount(set.flags & actions), 1);
	if (fds) {
		assert_int_equal(fds, set.count);
		assert_int_equal(set.flags,
				 VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER);
	}
}

static inline void rig_law_access(const struct rig *rig, uint16_t cmd, const uint8_t *payload,
				  uint32_t size)
{
	struct vfio_user_region_access access;

	assert_true(size >= sizeof(access));
	memcpy(&access, payload, sizeof(access));
	assert_in_range(access.count, 1, rig_most_data(rig));
	assert_int_equal(size, sizeof(access) + (cmd == VFIO_USER_REGION_WRITE ? access.count : 0));
}

static inline void rig_law_multi(const struct rig *rig, const uint8_t *payload, uint32_t size)
{
	struct vfio_user_write_one one;
	uint64_t count;

	assert_true(!rig->caps || strstr(rig->caps, "\"write_multiple\":true"));

	memcpy(&count, payload, 8);
	assert_in_range(count, 1, 32);
	assert_int_equal(size, 8 + count * sizeof(one));
	for (uint64_t i = 0; i < count; i++) {
		memcpy(&one, payload + 8 + i * sizeof(one), sizeof(one));
		assert_in_range(one.count, 1, 8);
		for (uint32_t at = one.count; at < 8; at++)
			assert_int_equal(one.data[at], 0);
	}
}

/* What a request of a feature says of itself; a get carries nothing but what it asks about. */
static inline void rig_law_feature(const struct rig *rig, const uint8_t *payload, uint32_t size)
{
	const uint32_t report = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;
	const uint32_t start = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START;
	struct vfio_device_feature head;
	struct vfio_user_dma_logging_report range;
	uint32_t ranges;

	assert_true(size >= sizeof(head));
	memcpy(&head, payload, sizeof(head));
	if (head.flags == report) {
		assert_int_equal(size, sizeof(head) + sizeof(range));
		memcpy(&range, payload + sizeof(head), sizeof(range));
		assert_int_equal(range.page_size, rig_page(rig));
		assert_int_equal(head.argsz, size + (range.length / range.page_size + 63) / 64 * 8);
		/* One word at least. */
		if (head.argsz > size + 8)
			assert_in_range(head.argsz, 0, rig_most_bitmap(rig));
	} else if (head.flags & VFIO_DEVICE_FEATURE_GET) {
		assert_int_equal(size, sizeof(head));
		assert_true(head.argsz > size);
	} else {
		assert_int_equal(head.argsz, size);
	}
	if (head.flags != start)
		return;
	memcpy(&ranges, payload + sizeof(head) + 8, 4);
	assert_int_equal(size, sizeof(head) + 16 + ranges * 16);
}

static inline void rig_law_stream(const struct rig *rig, uint16_t cmd, const uint8_t *payload,
				  uint32_t size)
{
	struct vfio_user_mig_data data;

	assert_true(size >= sizeof(data));
	memcpy(&data, payload, sizeof(data));
	assert_in_range(data.size, 1, rig_most_data(rig));
	assert_int_equal(data.argsz, sizeof(data) + data.size);
	assert_int_equal(size, sizeof(data) + (cmd == VFIO_USER_MIG_DATA_WRITE ? data.size : 0));
}

/* A question about the device: its size comes first, and what it does not ask is 0. */
static inline void rig_law_ask(const uint8_t *payload, uint32_t size, uint32_t wanted,
			       bool has_index, bool may_grow)
{
	uint32_t words[8] = { 0 };

	assert_int_equal(size, wanted);
	memcpy(words, payload, wanted);
	if (may_grow)
		assert_true(words[0] >= size);
	else
		assert_int_equal(words[0], size);
	for (uint32_t i = 1; i < wanted / 4; i++)
		assert_true(!words[i] || (has_index && i == 2));
}

static inline void rig_law_payload(const struct rig *rig, uint16_t cmd, const uint8_t *payload,
				   uint32_t size)
{
	switch (cmd) {
	case VFIO_USER_VERSION:
		rig_law_version(payload, size);
		break;
	case VFIO_USER_DMA_MAP:
		rig_law_map(rig, payload, size);
		break;
	case VFIO_USER_DMA_UNMAP:
		rig_law_unmap(rig, payload, size);
		break;
	case VFIO_USER_DEVICE_GET_INFO:
		rig_law_ask(payload, size, 16, false, false);
		break;
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		rig_law_ask(payload, size, 32, true, true);
		break;
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		rig_law_ask(payload, size, 16, true, false);
		break;
	case VFIO_USER_DEVICE_SET_IRQS:
		rig_law_irqs(payload, size, rig->got_fds);
		break;
	case VFIO_USER_REGION_READ:
	case VFIO_USER_REGION_WRITE:
		rig_law_access(rig, cmd, payload, size);
		break;
	case VFIO_USER_REGION_WRITE_MULTI:
		rig_law_multi(rig, payload, size);
		break;
	case VFIO_USER_DEVICE_FEATURE:
		rig_law_feature(rig, payload, size);
		break;
	case VFIO_USER_MIG_DATA_READ:
	case VFIO_USER_MIG_DATA_WRITE:
		rig_law_stream(rig, cmd, payload, size);
		break;
	default:
		assert_int_equal(cmd, VFIO_USER_DEVICE_RESET);
		assert_int_equal(size, 0);
	}
}

/* A command: no two in a row have the same id, and only a write may want no reply. */
static inline void rig_law(struct rig *rig, const struct vfio_user_header *header,
			   const uint8_t *payload, uint32_t size)
{
	bool writes = header->cmd == VFIO_USER_REGION_WRITE ||
		      header->cmd == VFIO_USER_REGION_WRITE_MULTI;

	assert_int_equal(header->flags & ~(writes ? VFIO_USER_F_NO_REPLY : 0U), 0);
	assert_int_equal(header->error_no, 0);
	if (header->cmd != VFIO_USER_VERSION)
		assert_int_not_equal(header->msg_id, rig->last_id);
	if (header->cmd != VFIO_USER_DMA_MAP && header->cmd != VFIO_USER_DEVICE_SET_IRQS)
		assert_int_equal(rig->got_fds, 0);
	assert_in_range(rig->got_fds, 0, rig_most_fds(rig));
	rig_law_payload(rig, header->cmd, payload, size);
}

/* A reply to the server: an error is a header alone, an answer says again what was asked. */
static inline void rig_law_reply(const struct rig *rig, const struct vfio_user_header *header,
				 const uint8_t *payload, uint32_t size)
{
	bool reads = header->cmd == VFIO_USER_DMA_READ;

	assert_int_equal(rig->got_fds, 0);
	if (header->flags != VFIO_USER_F_TYPE_REPLY) {
		assert_int_equal(header->flags, VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR);
		assert_int_equal(size, 0);
		return;
	}
	assert_int_equal(header->error_no, 0);
	assert_int_equal(header->msg_id, RIG_ASK_ID);
	assert_int_equal(header->cmd, rig->asked_cmd);
	assert_int_equal(size, sizeof(rig->asked) + (reads ? rig->asked[1] : 0));
	assert_memory_equal(payload, rig->asked, sizeof(rig->asked));
}

#endif
