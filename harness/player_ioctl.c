/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plays ioctls by the table: the trace's fields become a struct in the process's memory, and what
 * the kernel changed becomes fields again. No ioctl has code of its own here.
 */
#include <errno.h>
#include <string.h>

#include <uapi/iommufd.h>
#include <uapi/vfio.h>

#include "player.h"

enum {
	ARG_BYTES = 4096, /* a struct with what follows it */
	BITMAP_SHOWN_BYTES = 16,
	BUFFER_MAX_BYTES = 512 * 1024,	  /* of one buffer that a struct points to */
	BITMAP_DEFAULT_BYTES = 64 * 1024, /* where nothing says how large a bitmap is */
	ARGSZ_KEPT = ARG_BYTES,
};

/* An argument struct on its way: before and after the call. */
struct argument {
	uint8_t before[ARG_BYTES];
	uint8_t after[ARG_BYTES];
	uint64_t len; /* bytes in the process's memory */
	uint64_t addr;
};

static const struct step_field *given_field(const struct step *step, const struct uapi_field *field)
{
	for (uint32_t i = 0; i < step->field_count; i++) {
		if (step->fields[i].field == field)
			return &step->fields[i];
	}
	return NULL;
}

/*
 * The value of the COUNT field that goes with the pointers and arrays of a struct, or @otherwise.
 */
static uint64_t count_of(const struct step *step, const uint8_t *arg, uint64_t otherwise)
{
	const struct uapi_struct *layout = step->row->arg;

	for (uint32_t i = 0; i < layout->field_count; i++) {
		if (layout->fields[i].role == UAPI_COUNT)
			return uapi_field_get(&layout->fields[i], arg);
	}
	return otherwise;
}

static int store(struct player *player, uint64_t addr, const void *bytes, size_t len)
{
	return player->machine->store(player->machine, addr, bytes, len);
}

/* ---- what a struct points to ---- */

static uint64_t buffer_of(struct player *player, const struct step *step,
			  const struct uapi_field *field, const struct argument *arg)
{
	uint64_t bytes = 0;

	if (field->aux == UAPI_LAYOUT_BITMAP) {
		bytes = count_of(step, arg->before, BITMAP_DEFAULT_BYTES);
		if (bytes < BITMAP_SHOWN_BYTES)
			bytes = BITMAP_SHOWN_BYTES;
	} else if (field->aux == UAPI_LAYOUT_IOVA_RANGES) {
		bytes = count_of(step, arg->before, 0);
		bytes = bytes > PLAYER_RANGES ? PLAYER_RANGES : bytes;
		bytes *= sizeof(struct iommu_iova_range);
	}
	return player_scratch(player, bytes > BUFFER_MAX_BYTES ? BUFFER_MAX_BYTES : bytes);
}

static int store_ranges(struct player *player, uint64_t addr, const struct trace_value *list)
{
	for (uint32_t i = 0; i < list->count; i++) {
		struct iommu_iova_range range = { .start = list->items[i].number,
						  .last = list->items[i].last };

		if (store(player, addr + i * sizeof(range), &range, sizeof(range)))
			return -EFAULT;
	}
	return 0;
}

/*
 * A list behind a pointer. What the kernel fills gets a buffer of the size that the struct's
 * count says.
 */
static uint64_t point_to_list(struct player *player, const struct step *step,
			      const struct step_field *given, const struct argument *arg)
{
	const struct trace_value *list = given->value;
	const struct uapi_field *field = given->field;
	uint64_t addr, len;

	if (field->dir == UAPI_OUT)
		return buffer_of(player, step, field, arg);
	if (field->aux == UAPI_LAYOUT_IOVA_RANGES) {
		addr = player_scratch(player, list->count * sizeof(struct iommu_iova_range));
		return addr && !store_ranges(player, addr, list) ? addr : 0;
	}
	len = trace_bytes(list, player->bytes, sizeof(player->bytes));
	addr = len <= sizeof(player->bytes) ? player_scratch(player, len) : 0;
	return addr && !store(player, addr, player->bytes, len) ? addr : 0;
}

static uint64_t point_to_fd(struct player *player, const struct trace_value *value)
{
	int32_t fd = player_fd(player, value);
	uint64_t addr = player_scratch(player, sizeof(fd));

	return addr && !store(player, addr, &fd, sizeof(fd)) ? addr : 0;
}

static uint64_t pointer_value(struct player *player, const struct step *step,
			      const struct step_field *given, const struct argument *arg)
{
	const struct trace_value *value = given->value;
	const struct player_name *name;

	if (value->kind == TRACE_LIST)
		return point_to_list(player, step, given, arg);
	if (value->kind == TRACE_NUMBER)
		return value->number;
	name = player_find(player, value->text);
	if (given->field->aux == UAPI_LAYOUT_FD && !(name && name->is_memory))
		return point_to_fd(player, value);
	return player_address(player, value);
}

/* ---- the struct ---- */

static uint64_t scalar_value(const struct player *player, const struct step_field *given)
{
	const struct trace_value *value = given->value;

	if (value->kind == TRACE_NAME && given->field->role == UAPI_FD)
		return (uint64_t)(int64_t)player_fd(player, value);
	return player_address(player, value);
}

/* The elements of a trailing array: descriptors are s32, booleans one byte. Returns its bytes. */
static uint64_t encode_array(struct player *player, const struct step_field *given, uint8_t *at,
			     uint64_t room, uint64_t flags)
{
	const struct trace_value *list = given->value;
	struct uapi_field element = { .width = sizeof(int32_t) };
	uint64_t used = 0;

	if (given->field->aux == UAPI_LAYOUT_BYTES || given->field->aux == UAPI_LAYOUT_DEPENDENTS) {
		used = trace_bytes(list, at, room);
		return used > room ? room : used;
	}
	if (given->field->aux == UAPI_LAYOUT_IRQ_DATA && (flags & VFIO_IRQ_SET_DATA_BOOL))
		element.width = 1;
	for (uint32_t i = 0; i < list->count && used + element.width <= room; i++) {
		uapi_field_put(&element, at + used,
			       (uint64_t)(int64_t)player_fd(player, &list->items[i]));
		used += element.width;
	}
	return used;
}

/*
 * The bytes that a struct has as the trace's caller would have built it: with the tail only where
 * it is written.
 */
static uint64_t natural_size(const struct step *step)
{
	uint64_t size = step->row->arg->size_bytes;

	for (uint32_t i = 0; i < step->field_count; i++) {
		const struct uapi_field *field = step->fields[i].field;

		if (field->tail && field->role == UAPI_PTR &&
		    size < field->offset + (uint64_t)field->width)
			size = field->offset + (uint64_t)field->width;
	}
	return size;
}

static uint64_t flags_of(const struct step *step)
{
	for (uint32_t i = 0; i < step->field_count; i++) {
		if (step->fields[i].field->role == UAPI_FLAGS)
			return step->fields[i].value->number;
	}
	return 0;
}

static void encode_size(const struct step *step, struct argument *arg)
{
	const struct uapi_field *first = &step->row->arg->fields[0];
	uint64_t size;

	if (first->role != UAPI_SELF_SIZE)
		return;
	if (!given_field(step, first))
		uapi_field_put(first, arg->before, arg->len);
	size = uapi_field_get(first, arg->before);
	if (size > arg->len)
		arg->len = size > ARGSZ_KEPT ? ARGSZ_KEPT : size;
}

static int encode(struct player *player, const struct step *step, struct argument *arg,
		  const char **why)
{
	*why = "an argument is too large";
	arg->len = natural_size(step);
	if (arg->len > ARG_BYTES)
		return -EINVAL;
	memset(arg->before, 0, sizeof(arg->before));
	for (uint32_t i = 0; i < step->field_count; i++) {
		const struct step_field *given = &step->fields[i];
		uint8_t *at = arg->before + given->field->offset;

		if (given->field->role == UAPI_ARRAY)
			arg->len += encode_array(player, given, at, ARG_BYTES - arg->len,
						 flags_of(step));
		else if (given->field->role != UAPI_PTR)
			uapi_field_put(given->field, arg->before, scalar_value(player, given));
	}
	encode_size(step, arg);
	arg->addr = player_scratch(player, arg->len);
	/* Pointers come last: their buffers are as large as the other fields say. */
	for (uint32_t i = 0; i < step->field_count; i++) {
		const struct step_field *given = &step->fields[i];

		if (given->field->role == UAPI_PTR)
			uapi_field_put(given->field, arg->before,
				       pointer_value(player, step, given, arg));
	}
	return arg->addr && !store(player, arg->addr, arg->before, arg->len) ? 0 : -EINVAL;
}

/* ---- what changed ---- */

static void add_out(struct player *player, const char *name, struct trace_value value)
{
	if (player->out_count == PLAYER_OUT_FIELDS)
		return;
	player->out_fields[player->out_count++] =
		(struct trace_field){ .name = name, .value = value };
}

bool player_is_hex(const struct uapi_field *field, uint64_t value)
{
	switch (field->role) {
	case UAPI_FLAGS:
	case UAPI_IOVA:
	case UAPI_VADDR:
	case UAPI_LENGTH:
	case UAPI_PGSIZE:
		return true;
	default:
		return field->width == 8 || value > UINT16_MAX;
	}
}

/* Bitmaps are u64 words; the trace shows the bytes that a little-endian machine has. */
static void decode_bitmap(struct player *player, const struct uapi_field *field, uint64_t addr)
{
	uint64_t words[BITMAP_SHOWN_BYTES / sizeof(uint64_t)];
	uint8_t bytes[BITMAP_SHOWN_BYTES];

	if (player->machine->load(player->machine, addr, words, sizeof(words)))
		return;
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(words[i / 8] >> (i % 8 * 8));
	add_out(player, field->name, player_hex(player, bytes, sizeof(bytes)));
}

static void decode_ranges(struct player *player, const struct step *step,
			  const struct uapi_field *field, uint64_t addr, const struct argument *arg)
{
	uint64_t count = count_of(step, arg->after, 0);

	if (count > PLAYER_RANGES)
		count = PLAYER_RANGES;
	for (uint64_t i = 0; i < count; i++) {
		struct iommu_iova_range range;

		if (player->machine->load(player->machine, addr + i * sizeof(range), &range,
					  sizeof(range)))
			return;
		player->ranges[i] = (struct trace_value){ .kind = TRACE_RANGE,
							  .base = 16,
							  .last_base = 16,
							  .number = range.start,
							  .last = range.last };
	}
	add_out(player, field->name,
		(struct trace_value){
			.kind = TRACE_LIST, .count = (uint32_t)count, .items = player->ranges });
}

static void decode_pointer(struct player *player, const struct step *step,
			   const struct uapi_field *field, const struct argument *arg)
{
	const struct step_field *given = given_field(step, field);
	uint64_t addr = uapi_field_get(field, arg->before);

	if (field->dir != UAPI_OUT || !given || given->value->kind != TRACE_LIST)
		return;
	if (field->aux == UAPI_LAYOUT_BITMAP)
		decode_bitmap(player, field, addr);
	else if (field->aux == UAPI_LAYOUT_IOVA_RANGES)
		decode_ranges(player, step, field, addr, arg);
}

/* A descriptor in an answer gets the name that the trace gives it. */
static int decode_fd(struct player *player, const struct step *step, const struct uapi_field *field,
		     int fd, const char **why)
{
	const struct trace_value *expected = trace_get(&step->call->out, field->name);

	if (!expected || expected->kind != TRACE_NAME) {
		player->machine->sys.close(player->machine->sys.ctx, fd);
		add_out(player, field->name, trace_make_name("a descriptor"));
		return 0;
	}
	add_out(player, field->name, trace_make_name(expected->text));
	*why = "too many names";
	return player_bind(player, expected->text, false, fd, 0);
}

static int decode_field(struct player *player, const struct step *step,
			const struct uapi_field *field, long ret, const struct argument *arg,
			const char **why)
{
	uint64_t before = uapi_field_get(field, arg->before);
	uint64_t after = uapi_field_get(field, arg->after);

	if (field->role == UAPI_FD && field->dir == UAPI_OUT)
		return ret < 0 ? 0 : decode_fd(player, step, field, (int)after, why);
	if (before != after)
		add_out(player, field->name,
			trace_make_number(after, player_is_hex(field, after) ? 16 : 10));
	return 0;
}

static int decode(struct player *player, const struct step *step, long ret, struct argument *arg,
		  const char **why)
{
	const struct uapi_struct *layout = step->row->arg;

	*why = "the memory for arguments is gone";
	memset(arg->after, 0, sizeof(arg->after));
	if (player->machine->load(player->machine, arg->addr, arg->after, arg->len))
		return -EINVAL;
	for (uint32_t i = 0; i < layout->field_count; i++) {
		const struct uapi_field *field = &layout->fields[i];
		int error = 0;

		if (field->role == UAPI_PTR && ret >= 0)
			decode_pointer(player, step, field, arg);
		else if (field->role != UAPI_PTR && field->role != UAPI_ARRAY && !field->tail)
			error = decode_field(player, step, field, ret, arg, why);
		if (error)
			return error;
	}
	if (player->out_count)
		player->outcome.out = trace_make_struct(player->out_fields, player->out_count);
	return 0;
}

/* ---- the call ---- */

static long call(struct player *player, const struct step *step, uint64_t arg)
{
	const struct vfio_sys *sys = &player->machine->sys;

	return sys->ioctl(sys->ctx, player_fd(player, &step->call->args[0]), step->request, arg);
}

static int finish(struct player *player, const struct step *step, long ret, const char **why)
{
	if (step->row && step->row->result == UAPI_RETURNS_FD)
		return player_got_fd(player, step, ret, why);
	player->outcome.result =
		ret < 0 ? trace_make_errno((int)-ret) : trace_make_number((uint64_t)ret, 10);
	return 0;
}

static int play_struct(struct player *player, const struct step *step, const char **why)
{
	struct argument arg;
	int error = encode(player, step, &arg, why);
	long ret;

	if (error)
		return error;
	ret = call(player, step, arg.addr);
	error = finish(player, step, ret, why);
	return error ? error : decode(player, step, ret, &arg, why);
}

/* A device's name as the machine's bus has it; any other text goes as it is. */
static uint64_t name_value(struct player *player, const char *text)
{
	char bus_name[256];
	const char *name = bus_name;
	uint64_t addr;

	if (!player->machine->bus_name(player->machine, text, bus_name, sizeof(bus_name)))
		name = text;
	addr = player_scratch(player, strlen(name) + 1);
	return addr && !store(player, addr, name, strlen(name) + 1) ? addr : 0;
}

static uint64_t plain_value(struct player *player, const struct step *step)
{
	const struct trace_value *value = step->arg;

	if (!value)
		return 0;
	if (value->kind == TRACE_STRING)
		return name_value(player, value->text);
	if (value->kind == TRACE_NAME && step->row->law == UAPI_LAW_FD_PTR) {
		const struct player_name *name = player_find(player, value->text);

		if (!(name && name->is_memory))
			return point_to_fd(player, value);
	}
	return player_address(player, value);
}

int player_ioctl(struct player *player, const struct step *step, const char **why)
{
	if (step->row && step->row->arg && step->arg->kind == TRACE_STRUCT)
		return play_struct(player, step, why);
	return finish(player, step, call(player, step, plain_value(player, step)), why);
}
