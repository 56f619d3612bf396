/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The saved state of a live update, written by the table in vfio/cpr.h alone: nothing here is
 * shared with the stack.
 */
#ifndef SCENARIOS_CPR_ENCODER_H
#define SCENARIOS_CPR_ENCODER_H

#include "cpr_dma.h"

enum {
	HEADER = 32,
	RECORD = 8,
	STATE_MAX = 4096,
	AT_VERSION = 8,
	AT_OLDEST = 12,
	AT_SIZE = 16,
	AT_CRC = 20,
	AT_MODE = 24,
	AT_COUNT = 28,
	IOMMUFD = 1,
	CONTAINER = 2,
	DEVICE = 3,
};

struct text {
	uint8_t bytes[STATE_MAX];
	size_t size;
	uint32_t records;
};

static inline void put(struct text *text, uint64_t value, size_t size)
{
	assert_true(text->size + size <= STATE_MAX);
	memset(text->bytes + text->size, 0, size);
	cpr_put(text->bytes + text->size, value, size < 8 ? size : 8);
	text->size += size;
}

static inline void put_record(struct text *text, uint16_t kind, uint16_t flags, uint32_t size)
{
	put(text, kind, 2);
	put(text, flags, 2);
	put(text, size, 4);
	text->records++;
}

static inline void put_iommufd(struct text *text, uint32_t id, uint32_t flags)
{
	put_record(text, IOMMUFD, 0, 8);
	put(text, id, 4);
	put(text, flags, 4);
}

struct container {
	uint32_t id, backend, iommufd, ioas, type, limit, flags, crc;
	uint64_t maps;
};

static inline void put_container(struct text *text, struct container container)
{
	put_record(text, CONTAINER, 0, 40);
	put(text, container.id, 4);
	put(text, container.backend, 4);
	put(text, container.iommufd, 4);
	put(text, container.ioas, 4);
	put(text, container.type, 4);
	put(text, container.limit, 4);
	put(text, container.flags, 4);
	put(text, container.crc, 4);
	put(text, container.maps, 8);
}

struct device {
	uint32_t container, devid, hwpt, irqs, flags;
	const char *name, *group;
};

static inline void put_device(struct text *text, struct device device)
{
	uint32_t name = (uint32_t)strlen(device.name), group = (uint32_t)strlen(device.group);

	put_record(text, DEVICE, 0, 24 + name + group);
	put(text, device.container, 4);
	put(text, device.devid, 4);
	put(text, device.hwpt, 4);
	put(text, device.irqs, 4);
	put(text, device.flags, 4);
	put(text, name, 2);
	put(text, group, 2);
	memcpy(text->bytes + text->size, device.name, name);
	memcpy(text->bytes + text->size + name, device.group, group);
	text->size += name + group;
}

/* CRC-32 as everybody has it, with a table. */
static inline uint32_t crc32(const uint8_t *bytes, size_t size)
{
	uint32_t table[256], crc = UINT32_MAX;

	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] =
				table[i] & 1 ? table[i] >> 1 ^ UINT32_C(0xedb88320) : table[i] >> 1;
	}
	for (size_t i = 0; i < size; i++)
		crc = table[(crc ^ bytes[i]) & 255] ^ crc >> 8;
	return ~crc;
}

static inline void sign(uint8_t *state, size_t size)
{
	cpr_put(state + AT_SIZE, size, 4);
	cpr_put(state + AT_CRC, 0, 4);
	cpr_put(state + AT_CRC, crc32(state, size), 4);
}

static inline void begin(struct text *text)
{
	memset(text, 0, sizeof(*text));
	memcpy(text->bytes, "VFIO-CPR", 8);
	text->size = HEADER;
}

static inline void end(struct text *text, uint32_t mode)
{
	cpr_put(text->bytes + AT_VERSION, 1, 4);
	cpr_put(text->bytes + AT_OLDEST, 1, 4);
	cpr_put(text->bytes + AT_MODE, mode, 4);
	cpr_put(text->bytes + AT_COUNT, text->records, 4);
	sign(text->bytes, text->size);
}

#endif
