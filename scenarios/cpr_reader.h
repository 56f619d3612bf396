/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A reader of the saved state of a live update that is written by the table in vfio/cpr.h alone: it
 * says what a state says, or what is wrong with it.
 */
#ifndef SCENARIOS_CPR_READER_H
#define SCENARIOS_CPR_READER_H

#include "cpr_encoder.h"

enum {
	SAID_MOST = 32, /* of a kind in a state */
	SAID_NAME = 255,
	SAID_GROUP = 31,
};

/* What a state says, as far as it was read. */
struct said {
	uint32_t mode;
	uint32_t iommufds[SAID_MOST], iommufd_count;
	struct {
		uint32_t id, backend, iommufd, ioas, type;
	} containers[SAID_MOST];
	uint32_t container_count;
	struct {
		uint32_t container;
		char name[SAID_NAME + 1];
		char group[SAID_GROUP + 1];
	} devices[SAID_MOST];
	uint32_t device_count;
};

static inline uint32_t said_get(const uint8_t *from, size_t bytes)
{
	uint32_t value = 0;

	while (bytes--)
		value = value << 8 | from[bytes];
	return value;
}

/* The checksum is of all, with these four bytes as 0. */
static inline uint32_t said_crc_of(const uint8_t *state, size_t size)
{
	uint8_t copy[STATE_MAX];

	assert_true(size <= sizeof(copy));
	memcpy(copy, state, size);
	memset(copy + AT_CRC, 0, 4);
	return crc32(copy, size);
}

static inline bool said_read_a_device(const uint8_t *body, size_t size, bool newer,
				      struct said *said)
{
	uint32_t name, group, index = said->device_count++;

	if (size < 24)
		return false;
	name = said_get(body + 20, 2);
	group = said_get(body + 22, 2);
	if (name < 1 || name > SAID_NAME || group > SAID_GROUP || 24u + name + group > size ||
	    (24u + name + group < size && !newer) || said_get(body + 16, 4) > 3)
		return false;
	said->devices[index].container = said_get(body, 4);
	memcpy(said->devices[index].name, body + 24, name);
	memcpy(said->devices[index].group, body + 24 + name, group);
	return !memchr(body + 24, 0, (size_t)name + group);
}

static inline bool said_read_a_record(const uint8_t *head, size_t size, bool newer,
				      struct said *said)
{
	uint32_t kind = said_get(head, 2), flags = said_get(head + 2, 2);
	const uint8_t *body = head + RECORD;
	size_t known = kind == IOMMUFD ? 8 : 40;

	if (flags > 1)
		return false;
	if (kind != IOMMUFD && kind != CONTAINER && kind != DEVICE)
		return flags == 1;
	if (kind == DEVICE)
		return said_read_a_device(body, size, newer, said);
	if (size < known || (size > known && !newer) || !said_get(body, 4))
		return false;
	if (kind == IOMMUFD) {
		said->iommufds[said->iommufd_count++] = said_get(body, 4);
		return said_get(body + 4, 4) < 2;
	}
	said->containers[said->container_count].id = said_get(body, 4);
	said->containers[said->container_count].backend = said_get(body + 4, 4);
	said->containers[said->container_count].iommufd = said_get(body + 8, 4);
	said->containers[said->container_count].ioas = said_get(body + 12, 4);
	said->containers[said->container_count++].type = said_get(body + 16, 4);
	return said_get(body + 24, 4) < 2;
}

static inline bool said_fits_iommufds(const struct said *said, uint32_t index)
{
	uint32_t iommufd = said->containers[index].iommufd;
	bool found = false;

	for (uint32_t i = 0; i < index; i++) {
		if (said->containers[i].id == said->containers[index].id)
			return false;
	}
	for (uint32_t i = 0; i < said->iommufd_count; i++)
		found |= said->iommufds[i] == iommufd;
	if (said->containers[index].backend == VFIO_BACKEND_IOMMUFD)
		return found && said->containers[index].ioas && !said->containers[index].type;
	return said->containers[index].backend == VFIO_BACKEND_LEGACY && !iommufd &&
	       !said->containers[index].ioas && said->containers[index].type;
}

static inline bool said_fits_containers(const struct said *said, uint32_t index)
{
	for (uint32_t i = 0; i < index; i++) {
		if (!strcmp(said->devices[i].name, said->devices[index].name))
			return false;
	}
	if (said->mode == VFIO_MODE_CPR_REBOOT)
		return !said->devices[index].container;
	for (uint32_t i = 0; i < said->container_count; i++) {
		if (said->containers[i].id == said->devices[index].container)
			return (said->containers[i].backend == VFIO_BACKEND_LEGACY) ==
			       (*said->devices[index].group != 0);
	}
	return false;
}

static inline bool said_fits_together(const struct said *said)
{
	if (said->mode == VFIO_MODE_CPR_REBOOT && (said->iommufd_count || said->container_count))
		return false;
	for (uint32_t i = 0; i < said->iommufd_count; i++) {
		for (uint32_t j = 0; j < i; j++) {
			if (said->iommufds[i] == said->iommufds[j])
				return false;
		}
	}
	for (uint32_t i = 0; i < said->container_count; i++) {
		if (!said_fits_iommufds(said, i))
			return false;
	}
	for (uint32_t i = 0; i < said->device_count; i++) {
		if (!said_fits_containers(said, i))
			return false;
	}
	return true;
}

static inline bool said_judge_records(const uint8_t *state, size_t size, struct said *said)
{
	const uint8_t *at = state + HEADER, *behind = state + size;
	bool newer = said_get(state + AT_VERSION, 4) > 1;

	for (uint32_t count = said_get(state + AT_COUNT, 4); count; count--) {
		if (behind - at < RECORD || said_get(at + 4, 4) > (size_t)(behind - at - RECORD) ||
		    !said_read_a_record(at, said_get(at + 4, 4), newer, said))
			return false;
		at += RECORD + said_get(at + 4, 4);
	}
	return at == behind && said_fits_together(said);
}

static inline int said_judge_header(const uint8_t *state, size_t size, char *why, size_t room)
{
	uint32_t version, oldest, mode;

	if (size < HEADER || memcmp(state, "VFIO-CPR", 8)) {
		snprintf(why, room, "this is no saved state of a VFIO stack");
		return -EINVAL;
	}
	version = said_get(state + AT_VERSION, 4);
	oldest = said_get(state + AT_OLDEST, 4);
	mode = said_get(state + AT_MODE, 4);
	if (size != said_get(state + AT_SIZE, 4)) {
		snprintf(why, room, "the saved state has %zu bytes instead of %u", size,
			 said_get(state + AT_SIZE, 4));
		return -EINVAL;
	}
	if (said_crc_of(state, size) != said_get(state + AT_CRC, 4)) {
		snprintf(why, room, "the saved state is damaged: its checksum");
		return -EINVAL;
	}
	if (oldest > 1) {
		snprintf(why, room,
			 "the saved state has version %u, for stacks that know version %u at "
			 "least; this one knows version 1",
			 version, oldest);
		return -ENOTSUP;
	}
	if (!version || !oldest) {
		snprintf(why, room, "the saved state has version %u, which is no more", version);
		return -ENOTSUP;
	}
	if (mode != VFIO_MODE_CPR_REBOOT && mode != VFIO_MODE_CPR_TRANSFER &&
	    mode != VFIO_MODE_CPR_EXEC) {
		snprintf(why, room, "the saved state has mode %u", mode);
		return -EINVAL;
	}
	return 0;
}

/* 0 for a state that is right; else the error, and in @why what is to be said. */
static inline int said_judge(const uint8_t *state, size_t size, struct said *said, char *why,
			     size_t room)
{
	int code = said_judge_header(state, size, why, room);
	uint32_t count;

	memset(said, 0, sizeof(*said));
	if (code)
		return code;
	said->mode = said_get(state + AT_MODE, 4);
	count = said_get(state + AT_COUNT, 4);
	if (count > (size - HEADER) / RECORD) {
		snprintf(why, room, "the saved state is damaged: %u records", count);
		return -EINVAL;
	}
	if (said_judge_records(state, size, said))
		return 0;
	snprintf(why, room, "the saved state is damaged: a record");
	return -EINVAL;
}

#endif
