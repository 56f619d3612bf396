/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ioctl as a line of a trace, by the table: the fields that are not 0, then those that the call
 * changed. What a struct points to is read as the player would lay it out (player_ioctl.c).
 */
#include <errno.h>
#include <string.h>

#include <uapi/kvm.h>
#include <uapi/table.h>
#include <uapi/vfio.h>

#include "player.h"
#include "sweep_trace_internal.h"

enum { STRUCT_BYTES = 512, BITMAP_SHOWN_BYTES = 16, NAME_BYTES = 64 };

/* The struct of the call, with its tail where it has one. */
struct image {
	const struct uapi_struct *layout;
	uint64_t addr;
	uint64_t len;  /* that the program says it has */
	bool has_tail; /* what may follow the struct is there */
	uint8_t before[STRUCT_BYTES];
	uint8_t after[STRUCT_BYTES];
};

static const struct uapi_field *field_of(const struct uapi_struct *layout, enum uapi_role role)
{
	for (uint16_t i = 0; i < layout->field_count; i++) {
		if (layout->fields[i].role == role)
			return &layout->fields[i];
	}
	return NULL;
}

/* The value of the first field of that role. */
static uint64_t value_of(const struct image *image, enum uapi_role role)
{
	const struct uapi_field *field = field_of(image->layout, role);

	return field ? uapi_field_get(field, image->before) : 0;
}

/* Where the struct's tail ends; where it has none: where it ends itself. */
static uint64_t tail_end(const struct uapi_struct *layout)
{
	uint64_t end = layout->size_bytes;

	for (uint16_t i = 0; i < layout->field_count; i++) {
		const struct uapi_field *field = &layout->fields[i];
		uint64_t field_end = field->offset + (uint64_t)field->width;

		if (field->tail && field_end > end)
			end = field_end;
	}
	return end;
}

/* What the handler got is what the program gave, and what is there now is what it sees. */
static void read_image(struct sweep_line *line, struct image *image)
{
	const struct vfake_event *event = line->event;
	const struct uapi_struct *layout = image->layout;
	const uint64_t size = layout->size_bytes, end = tail_end(layout);
	uint64_t there;

	if (event->in)
		memcpy(image->before, event->in, size);
	else
		sweep_line_load(line, image->addr, image->before, size);
	image->len = layout->fields[0].role == UAPI_SELF_SIZE
			     ? uapi_field_get(&layout->fields[0], image->before)
			     : size;
	there = image->len < size ? image->len : size;
	memcpy(image->after, image->before, sizeof(image->after));
	if (event->out)
		sweep_line_load(line, image->addr, image->after, there);
	if (end > size && image->len >= end)
		image->has_tail =
			sweep_line_load(line, image->addr + size, image->before + size, end - size);
}

/* ---- arrays behind a struct ---- */

/* The bytes of an element that the program gave; 0: none are given. */
static uint64_t element_bytes(const struct image *image, const struct uapi_field *array)
{
	const uint64_t flags = value_of(image, UAPI_FLAGS);

	if (!(array->dir & UAPI_IN))
		return 0;
	switch (array->aux) {
	case UAPI_LAYOUT_FDS:
		return sizeof(int32_t);
	case UAPI_LAYOUT_IRQ_DATA:
		if (flags & VFIO_IRQ_SET_DATA_BOOL)
			return 1;
		return flags & VFIO_IRQ_SET_DATA_EVENTFD ? sizeof(int32_t) : 0;
	case UAPI_LAYOUT_BYTES:
		return flags & VFIO_DEVICE_FEATURE_SET ? 1 : 0;
	default:
		return 0;
	}
}

/* Elements, as many as are said to be there and as there is room for. */
static uint64_t element_count(const struct image *image, const struct uapi_field *array)
{
	const uint64_t bytes = element_bytes(image, array);
	const uint64_t said = value_of(image, UAPI_COUNT);
	uint64_t room =
		image->len > image->layout->size_bytes ? image->len - image->layout->size_bytes : 0;

	if (!bytes)
		return 0;
	room /= bytes;
	return array->aux == UAPI_LAYOUT_BYTES || room < said ? room : said;
}

static void put_array(struct sweep_line *line, const struct image *image,
		      const struct uapi_field *array)
{
	const uint64_t bytes = element_bytes(image, array), count = element_count(image, array);
	const uint64_t addr = image->addr + array->offset;

	if (!count)
		return;
	trace_put_key(&line->writer, array->name);
	if (array->aux == UAPI_LAYOUT_BYTES) {
		sweep_line_bytes(line, addr, count);
		return;
	}
	trace_put_list(&line->writer);
	for (uint64_t i = 0; i < count; i++) {
		uint8_t flag = 0;
		int32_t fd = -1;

		if (!sweep_line_load(line, addr + i * bytes, bytes == 1 ? (void *)&flag : &fd,
				     bytes))
			break;
		if (bytes == 1)
			trace_put_number(&line->writer, flag, 10);
		else
			sweep_line_fd(line, fd);
	}
	trace_put_end(&line->writer);
}

/* A feature's bytes can hold what only this process knows. */
static void look_at_feature(struct sweep_line *line, const struct image *image)
{
	const uint64_t flags = value_of(image, UAPI_FLAGS);
	const uint64_t size = image->layout->size_bytes;
	struct vfio_device_feature_mig_state state;
	const long ret = line->event->ret;

	if (flags & VFIO_DEVICE_FEATURE_PROBE)
		return;
	switch (flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
		sweep_line_refuse(line, "an address in the bytes of a feature");
		return;
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		if (ret < 0 || image->len < size + sizeof(state) ||
		    (sweep_line_load(line, image->addr + size, &state, sizeof(state)) &&
		     state.data_fd < 0))
			return;
		sweep_line_refuse(line, "a descriptor in the bytes of a feature");
		return;
	case VFIO_DEVICE_FEATURE_DMA_BUF:
		if (ret >= 0)
			sweep_line_refuse(line, "a descriptor that a feature returns");
		return;
	default:
		return;
	}
}

/* ---- pointers ---- */

static void put_ranges(struct sweep_line *line, uint64_t addr, uint64_t count)
{
	trace_put_list(&line->writer);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t range[2]; /* start, last */

		if (!sweep_line_load(line, addr + i * sizeof(range), range, sizeof(range)))
			break;
		trace_put_range(&line->writer, range[0], range[1]);
	}
	trace_put_end(&line->writer);
}

static void put_fd_behind(struct sweep_line *line, const struct image *image, uint64_t addr)
{
	const struct vfake_event *event = line->event;
	int32_t fd = -1;

	if (event->row->number == KVM_SET_DEVICE_ATTR &&
	    uapi_field_get(uapi_find_field(image->layout, "attr"), image->before) ==
		    KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE)
		sweep_line_refuse(line, "two descriptors behind a pointer");
	else
		sweep_line_load(line, addr, &fd, sizeof(fd));
	sweep_line_fd(line, fd);
}

static void put_pointer(struct sweep_line *line, const struct image *image,
			const struct uapi_field *field)
{
	const uint64_t addr = uapi_field_get(field, image->before);

	if (!addr)
		return;
	trace_put_key(&line->writer, field->name);
	if (field->aux == UAPI_LAYOUT_FD) {
		put_fd_behind(line, image, addr);
	} else if (field->aux == UAPI_LAYOUT_IOVA_RANGES && field->dir & UAPI_IN) {
		put_ranges(line, addr, value_of(image, UAPI_COUNT));
	} else {
		trace_put_list(&line->writer);
		trace_put_end(&line->writer);
		if (field->dir & UAPI_IN)
			sweep_line_refuse(line, "bytes behind a pointer");
	}
}

/* ---- the struct that goes in ---- */

/* What the player takes for a size that is not written. */
static uint64_t natural_size(const struct image *image)
{
	uint64_t size = image->has_tail ? tail_end(image->layout) : image->layout->size_bytes;

	for (uint16_t i = 0; i < image->layout->field_count; i++) {
		const struct uapi_field *field = &image->layout->fields[i];

		if (field->role == UAPI_ARRAY)
			size += element_bytes(image, field) * element_count(image, field);
	}
	return size;
}

static void put_scalar(struct sweep_line *line, const struct image *image,
		       const struct uapi_field *field)
{
	const uint64_t value = uapi_field_get(field, image->before);
	const bool is_fd = field->role == UAPI_FD && field->dir & UAPI_IN;

	if (field->role == UAPI_SELF_SIZE ? value == natural_size(image) : !value && !is_fd)
		return;
	trace_put_key(&line->writer, field->name);
	if (is_fd)
		sweep_line_fd(line, (int32_t)(uint32_t)value);
	else if (field->role == UAPI_VADDR)
		sweep_line_address(line, value);
	else
		trace_put_number(&line->writer, value, player_is_hex(field, value) ? 16 : 10);
}

static void put_struct(struct sweep_line *line, const struct image *image)
{
	trace_put_struct(&line->writer);
	for (uint16_t i = 0; i < image->layout->field_count; i++) {
		const struct uapi_field *field = &image->layout->fields[i];

		if (field->tail && !image->has_tail)
			continue;
		if (field->role == UAPI_ARRAY)
			put_array(line, image, field);
		else if (field->role == UAPI_PTR)
			put_pointer(line, image, field);
		else
			put_scalar(line, image, field);
	}
	trace_put_end(&line->writer);
	if (line->event->row->number == VFIO_DEVICE_FEATURE)
		look_at_feature(line, image);
}

/* ---- what it changed ---- */

/* Bytes of a bitmap: those that are said, or a bit for each page of the range. */
static uint64_t bitmap_bytes(const struct image *image)
{
	const uint64_t page = value_of(image, UAPI_PGSIZE);

	if (field_of(image->layout, UAPI_COUNT))
		return value_of(image, UAPI_COUNT);
	return page ? (value_of(image, UAPI_LENGTH) / page + 63) / 64 * sizeof(uint64_t) : 0;
}

/* Words, shown as the bytes that a little-endian machine has. */
static void put_bitmap(struct sweep_line *line, const struct image *image, uint64_t addr)
{
	uint64_t words[BITMAP_SHOWN_BYTES / sizeof(uint64_t)] = { 0 };
	uint64_t there = bitmap_bytes(image) & ~(sizeof(uint64_t) - 1);
	uint8_t bytes[BITMAP_SHOWN_BYTES];

	if (there > sizeof(words))
		there = sizeof(words);
	if (there)
		sweep_line_load(line, addr, words, there);
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(words[i / 8] >> (i % 8 * 8));
	trace_put_bytes(&line->writer, bytes, sizeof(bytes));
}

static void put_pointed(struct sweep_line *line, const struct image *image,
			const struct uapi_field *field)
{
	const struct uapi_field *count = field_of(image->layout, UAPI_COUNT);
	const uint64_t addr = uapi_field_get(field, image->before);

	if (field->dir != UAPI_OUT || !addr || line->event->ret < 0)
		return;
	if (field->aux == UAPI_LAYOUT_BITMAP) {
		trace_put_key(&line->writer, field->name);
		put_bitmap(line, image, addr);
	} else if (field->aux == UAPI_LAYOUT_IOVA_RANGES) {
		trace_put_key(&line->writer, field->name);
		put_ranges(line, addr, count ? uapi_field_get(count, image->after) : 0);
	}
}

static void put_changed(struct sweep_line *line, const struct image *image,
			const struct uapi_field *field)
{
	const uint64_t before = uapi_field_get(field, image->before);
	const uint64_t after = uapi_field_get(field, image->after);
	const bool is_fd = field->role == UAPI_FD && field->dir == UAPI_OUT;

	if (is_fd ? line->event->ret < 0 : before == after)
		return;
	trace_put_key(&line->writer, field->name);
	if (is_fd)
		sweep_line_new_fd(line, (int)after);
	else
		trace_put_number(&line->writer, after, player_is_hex(field, after) ? 16 : 10);
}

static void put_changes(struct sweep_line *line, const struct image *image)
{
	for (uint16_t i = 0; i < image->layout->field_count; i++) {
		const struct uapi_field *field = &image->layout->fields[i];

		if (field->role == UAPI_PTR && (!field->tail || image->has_tail))
			put_pointed(line, image, field);
		else if (field->role != UAPI_PTR && field->role != UAPI_ARRAY && !field->tail)
			put_changed(line, image, field);
	}
}

/* ---- the call ---- */

static void put_name(struct sweep_line *line, uint64_t addr)
{
	char name[NAME_BYTES];
	size_t len = 0;

	while (len < sizeof(name) - 1 && sweep_line_load(line, addr + len, &name[len], 1) &&
	       name[len])
		len++;
	name[len] = 0;
	trace_put_string(&line->writer, name);
}

/* An argument that is no struct. */
static void put_plain(struct sweep_line *line)
{
	const struct vfake_event *event = line->event;
	int32_t fd = -1;

	switch (event->row->law) {
	case UAPI_LAW_NONE:
		return;
	case UAPI_LAW_SCALAR:
		trace_put_number(&line->writer, event->arg, event->arg > UINT16_MAX ? 16 : 10);
		return;
	case UAPI_LAW_FD_PTR:
		sweep_line_load(line, event->arg, &fd, sizeof(fd));
		sweep_line_fd(line, fd);
		return;
	case UAPI_LAW_STRING:
		put_name(line, event->arg);
		return;
	default:
		trace_put_number(&line->writer, 0, 10);
		sweep_line_refuse(line, "an argument of a kind that traces do not have");
		return;
	}
}

void sweep_line_ioctl(struct sweep_line *line)
{
	const struct vfake_event *event = line->event;
	const bool is_fd = event->row && event->row->result == UAPI_RETURNS_FD;
	struct image image = { .addr = event->arg };

	sweep_line_fd(line, event->fd);
	if (!event->row) {
		trace_put_number(&line->writer, event->request, 16);
		sweep_line_result(line, false);
		return;
	}
	trace_put_name(&line->writer, event->row->name);
	image.layout = event->row->arg;
	if (!image.layout) {
		put_plain(line);
		sweep_line_result(line, is_fd);
		return;
	}
	read_image(line, &image);
	put_struct(line, &image);
	sweep_line_result(line, is_fd);
	put_changes(line, &image);
}
