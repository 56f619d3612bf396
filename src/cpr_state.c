/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The saved state as bytes: include/vfio/cpr.h has the table. All of it is read and checked before
 * anything is done with it.
 */
#include <stdio.h>
#include <string.h>

#include "cpr.h"
#include "stack.h"

static const uint8_t magic[8] = { 'V', 'F', 'I', 'O', '-', 'C', 'P', 'R' };

enum {
	AT_VERSION = 8,
	AT_OLDEST = 12,
	AT_SIZE = 16,
	AT_CRC = 20,
	AT_MODE = 24,
	AT_RECORDS = 28,

	RECORD_HEAD = 8,
	KIND_IOMMUFD = 1,
	KIND_CONTAINER = 2,
	KIND_DEVICE = 3,
	MAY_SKIP = 1,

	IOMMUFD_BYTES = 8,
	CONTAINER_BYTES = 40,
	DEVICE_BYTES = 24,

	BORROWED = 1,
	TRACKS = 1,
	ERROR_FD = 1,
	REQUEST_FD = 2,
};

uint32_t vfio_cpr_crc(uint32_t crc, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	crc = ~crc;
	while (size--) {
		crc ^= *at++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	return ~crc;
}

/* ---- writing ---- */

static void put16(uint8_t bytes[2], uint16_t value)
{
	bytes[0] = (uint8_t)value;
	bytes[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t bytes[4], uint32_t value)
{
	put16(bytes, (uint16_t)value);
	put16(bytes + 2, (uint16_t)(value >> 16));
}

void vfio_cpr_put64(uint8_t bytes[8], uint64_t value)
{
	put32(bytes, (uint32_t)value);
	put32(bytes + 4, (uint32_t)(value >> 32));
}

static void out_bytes(struct vfio_cpr_out *out, const void *bytes, size_t size)
{
	size_t left = out->room > out->size ? out->room - out->size : 0;

	if (out->expect)
		out->differs |= left < size || memcmp(out->expect + out->size, bytes, size);
	else if (left)
		memcpy(out->to + out->size, bytes, left < size ? left : size);
	out->size += size;
}

static void out_head(struct vfio_cpr_out *out, uint16_t kind, size_t size)
{
	uint8_t head[RECORD_HEAD] = { 0 };

	put16(head, kind);
	put32(head + 4, (uint32_t)size);
	out_bytes(out, head, sizeof(head));
	out->records++;
}

void vfio_cpr_write_iommufd(struct vfio_cpr_out *out, const struct vfio_cpr_iommufd_record *record)
{
	uint8_t body[IOMMUFD_BYTES];

	put32(body, record->id);
	put32(body + 4, record->borrowed ? BORROWED : 0);
	out_head(out, KIND_IOMMUFD, sizeof(body));
	out_bytes(out, body, sizeof(body));
}

void vfio_cpr_write_container(struct vfio_cpr_out *out,
			      const struct vfio_cpr_container_record *record)
{
	uint8_t body[CONTAINER_BYTES];

	put32(body, record->id);
	put32(body + 4, record->backend);
	put32(body + 8, record->iommufd);
	put32(body + 12, record->ioas);
	put32(body + 16, record->type);
	put32(body + 20, record->max_mappings);
	put32(body + 24, record->dirty_supported ? TRACKS : 0);
	put32(body + 28, record->maps_crc);
	vfio_cpr_put64(body + 32, record->maps);
	out_head(out, KIND_CONTAINER, sizeof(body));
	out_bytes(out, body, sizeof(body));
}

void vfio_cpr_write_device(struct vfio_cpr_out *out, const struct vfio_cpr_device_record *record)
{
	size_t name = strlen(record->name), group = strlen(record->group);
	uint8_t body[DEVICE_BYTES];

	put32(body, record->container);
	put32(body + 4, record->devid);
	put32(body + 8, record->hwpt);
	put32(body + 12, record->irqs);
	put32(body + 16,
	      (record->error_fd ? ERROR_FD : 0u) | (record->request_fd ? REQUEST_FD : 0u));
	put16(body + 20, (uint16_t)name);
	put16(body + 22, (uint16_t)group);
	out_head(out, KIND_DEVICE, sizeof(body) + name + group);
	out_bytes(out, body, sizeof(body));
	out_bytes(out, record->name, name);
	out_bytes(out, record->group, group);
}

static uint32_t checksum(const uint8_t *state, size_t size)
{
	static const uint8_t zero[4];
	uint32_t crc = vfio_cpr_crc(0, state, AT_CRC);

	crc = vfio_cpr_crc(crc, zero, sizeof(zero));
	return vfio_cpr_crc(crc, state + AT_MODE, size - AT_MODE);
}

void vfio_cpr_write_header(uint8_t *state, size_t size, uint32_t mode, uint32_t records)
{
	memcpy(state, magic, sizeof(magic));
	put32(state + AT_VERSION, VFIO_CPR_VERSION);
	put32(state + AT_OLDEST, VFIO_CPR_VERSION);
	put32(state + AT_SIZE, (uint32_t)size);
	put32(state + AT_MODE, mode);
	put32(state + AT_RECORDS, records);
	put32(state + AT_CRC, checksum(state, size));
}

/* ---- reading ---- */

static uint16_t get16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static uint32_t get32(const uint8_t *bytes)
{
	return get16(bytes) | (uint32_t)get16(bytes + 2) << 16;
}

static uint64_t get64(const uint8_t *bytes)
{
	return get32(bytes) | (uint64_t)get32(bytes + 4) << 32;
}

static bool check_header(const uint8_t *state, size_t size, struct vfio_error *error)
{
	if (size < VFIO_CPR_HEADER_BYTES || memcmp(state, magic, sizeof(magic)))
		return vfio_fail(error, -EINVAL, "this is no saved state of a VFIO stack");
	if (size != get32(state + AT_SIZE))
		return vfio_fail(error, -EINVAL, "the saved state has %zu bytes instead of %u",
				 size, get32(state + AT_SIZE));
	if (checksum(state, size) != get32(state + AT_CRC))
		return vfio_fail(error, -EINVAL, "the saved state is damaged: its checksum");
	if (get32(state + AT_OLDEST) > VFIO_CPR_VERSION)
		return vfio_fail(error, -ENOTSUP,
				 "the saved state has version %u, for stacks that know version %u "
				 "at least; this one knows version %d",
				 get32(state + AT_VERSION), get32(state + AT_OLDEST),
				 VFIO_CPR_VERSION);
	if (get32(state + AT_VERSION) < VFIO_CPR_VERSION || !get32(state + AT_OLDEST))
		return vfio_fail(error, -ENOTSUP,
				 "the saved state has version %u, which is no more",
				 get32(state + AT_VERSION));
	switch (get32(state + AT_MODE)) {
	case VFIO_MODE_CPR_REBOOT:
	case VFIO_MODE_CPR_TRANSFER:
	case VFIO_MODE_CPR_EXEC:
		return true;
	default:
		return vfio_fail(error, -EINVAL, "the saved state has mode %u",
				 get32(state + AT_MODE));
	}
}

/* A walk over the records. */
struct walk {
	const uint8_t *at;
	size_t left;
	bool newer; /* than this program: bodies may be longer */
	struct vfio_cpr_state *state;
};

static bool read_iommufd(const struct walk *walk, const uint8_t *body)
{
	struct vfio_cpr_iommufd_record *record =
		&walk->state->iommufds[walk->state->iommufd_count++];

	record->id = get32(body);
	record->borrowed = get32(body + 4) != 0;
	return record->id && !(get32(body + 4) & ~(uint32_t)BORROWED);
}

static bool read_container(const struct walk *walk, const uint8_t *body)
{
	struct vfio_cpr_container_record *record =
		&walk->state->containers[walk->state->container_count++];

	*record = (struct vfio_cpr_container_record){
		.id = get32(body),
		.backend = get32(body + 4),
		.iommufd = get32(body + 8),
		.ioas = get32(body + 12),
		.type = get32(body + 16),
		.max_mappings = get32(body + 20),
		.dirty_supported = get32(body + 24) != 0,
		.maps_crc = get32(body + 28),
		.maps = get64(body + 32),
	};
	return record->id && !(get32(body + 24) & ~(uint32_t)TRACKS);
}

/* Behind what is copied there are zeroes. */
static bool read_text(char *to, const uint8_t *from, size_t size)
{
	memcpy(to, from, size);
	return strlen(to) == size;
}

static bool read_device(const struct walk *walk, const uint8_t *body, size_t size)
{
	struct vfio_cpr_device_record *record = &walk->state->devices[walk->state->device_count++];
	size_t name = get16(body + 20), group = get16(body + 22);
	uint32_t flags = get32(body + 16);

	record->container = get32(body);
	record->devid = get32(body + 4);
	record->hwpt = get32(body + 8);
	record->irqs = get32(body + 12);
	record->error_fd = flags & ERROR_FD;
	record->request_fd = flags & REQUEST_FD;
	if (!name || name > VFIO_CPR_NAME_MAX || group > VFIO_CPR_GROUP_MAX)
		return false;
	if (walk->newer ? size < DEVICE_BYTES + name + group : size != DEVICE_BYTES + name + group)
		return false;
	return !(flags & ~(uint32_t)(ERROR_FD | REQUEST_FD)) &&
	       read_text(record->name, body + DEVICE_BYTES, name) &&
	       read_text(record->group, body + DEVICE_BYTES + name, group);
}

static bool body_fits(const struct walk *walk, size_t size, size_t known)
{
	return walk->newer ? size >= known : size == known;
}

static bool read_record(const struct walk *walk, uint16_t kind, uint16_t flags, size_t size)
{
	const uint8_t *body = walk->at + RECORD_HEAD;

	if (flags & ~MAY_SKIP)
		return false;
	switch (kind) {
	case KIND_IOMMUFD:
		return body_fits(walk, size, IOMMUFD_BYTES) && read_iommufd(walk, body);
	case KIND_CONTAINER:
		return body_fits(walk, size, CONTAINER_BYTES) && read_container(walk, body);
	case KIND_DEVICE:
		return size >= DEVICE_BYTES && read_device(walk, body, size);
	default:
		return flags & MAY_SKIP;
	}
}

static bool read_records(struct walk *walk, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		size_t size;

		if (walk->left < RECORD_HEAD)
			return false;
		size = get32(walk->at + 4);
		if (size > walk->left - RECORD_HEAD ||
		    !read_record(walk, get16(walk->at), get16(walk->at + 2), size))
			return false;
		walk->at += RECORD_HEAD + size;
		walk->left -= RECORD_HEAD + size;
	}
	return !walk->left;
}

/* ---- whether it makes sense ---- */

const struct vfio_cpr_iommufd_record *vfio_cpr_find_iommufd(const struct vfio_cpr_state *state,
							    uint32_t id, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (state->iommufds[i].id == id)
			return &state->iommufds[i];
	}
	return NULL;
}

const struct vfio_cpr_container_record *vfio_cpr_find_container(const struct vfio_cpr_state *state,
								uint32_t id, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (state->containers[i].id == id)
			return &state->containers[i];
	}
	return NULL;
}

static bool container_is_sound(const struct vfio_cpr_state *state, uint32_t index)
{
	const struct vfio_cpr_container_record *record = &state->containers[index];

	if (vfio_cpr_find_container(state, record->id, index))
		return false;
	if (record->backend == VFIO_BACKEND_IOMMUFD)
		return vfio_cpr_find_iommufd(state, record->iommufd, state->iommufd_count) &&
		       record->ioas && !record->type;
	return record->backend == VFIO_BACKEND_LEGACY && !record->iommufd && !record->ioas &&
	       record->type;
}

static bool device_is_sound(const struct vfio_cpr_state *state, uint32_t index)
{
	const struct vfio_cpr_device_record *record = &state->devices[index];
	const struct vfio_cpr_container_record *container;

	for (uint32_t i = 0; i < index; i++) {
		if (!strcmp(state->devices[i].name, record->name))
			return false;
	}
	if (state->mode == VFIO_MODE_CPR_REBOOT)
		return !record->container;
	container = vfio_cpr_find_container(state, record->container, state->container_count);
	return container &&
	       (container->backend == VFIO_BACKEND_IOMMUFD ? !*record->group : *record->group != 0);
}

static bool is_sound(const struct vfio_cpr_state *state)
{
	if (state->mode == VFIO_MODE_CPR_REBOOT && (state->iommufd_count || state->container_count))
		return false;
	for (uint32_t i = 0; i < state->iommufd_count; i++) {
		if (vfio_cpr_find_iommufd(state, state->iommufds[i].id, i))
			return false;
	}
	for (uint32_t i = 0; i < state->container_count; i++) {
		if (!container_is_sound(state, i))
			return false;
	}
	for (uint32_t i = 0; i < state->device_count; i++) {
		if (!device_is_sound(state, i))
			return false;
	}
	return true;
}

/* ---- all of it ---- */

void vfio_cpr_state_free(struct vfio *vfio, struct vfio_cpr_state *state)
{
	if (!state)
		return;
	vfio_release(vfio, state->iommufds);
	vfio_release(vfio, state->containers);
	vfio_release(vfio, state->devices);
	vfio_release(vfio, state);
}

/* Room for @count records of each kind: the kinds are not known yet. */
static struct vfio_cpr_state *new_state(struct vfio *vfio, uint32_t count)
{
	struct vfio_cpr_state *state = vfio_alloc(vfio, sizeof(*state));

	if (!state)
		return NULL;
	state->iommufds = vfio_alloc(vfio, count * sizeof(*state->iommufds));
	state->containers = vfio_alloc(vfio, count * sizeof(*state->containers));
	state->devices = vfio_alloc(vfio, count * sizeof(*state->devices));
	if (state->iommufds && state->containers && state->devices)
		return state;
	vfio_cpr_state_free(vfio, state);
	return NULL;
}

struct vfio_cpr_state *vfio_cpr_read(struct vfio *vfio, const void *bytes, size_t size,
				     struct vfio_error *error)
{
	const uint8_t *at = bytes;
	struct walk walk;
	uint32_t count;

	if (!check_header(at, size, error))
		return NULL;
	count = get32(at + AT_RECORDS);
	if (count > (size - VFIO_CPR_HEADER_BYTES) / RECORD_HEAD) {
		vfio_fail(error, -EINVAL, "the saved state is damaged: %u records", count);
		return NULL;
	}
	walk = (struct walk){ .at = at + VFIO_CPR_HEADER_BYTES,
			      .left = size - VFIO_CPR_HEADER_BYTES,
			      .newer = get32(at + AT_VERSION) > VFIO_CPR_VERSION,
			      .state = new_state(vfio, count ? count : 1) };
	if (!walk.state) {
		vfio_fail(error, -ENOMEM, "cannot read the saved state");
		return NULL;
	}
	walk.state->mode = get32(at + AT_MODE);
	if (read_records(&walk, count) && is_sound(walk.state))
		return walk.state;
	vfio_cpr_state_free(vfio, walk.state);
	vfio_fail(error, -EINVAL, "the saved state is damaged: a record");
	return NULL;
}
