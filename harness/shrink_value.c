/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a failing trace small: the values inside a line.
 *
 * Each step is kept only if the trace still fails in the same way and in no more places, so the
 * answers that the other lines expect stay right. Every step makes a struct or a list shorter or a
 * number smaller, which is why this ends.
 */
#include "shrink.h"
#include "trace.h"

static void shrink_value(struct shrink *shrink, struct trace_value *value);

/* Smaller numbers that people like to read, in the order in which they are tried. */
static const uint64_t favourites[] = { 0, 1, 0x1000, 0x10000, 0x100000 };
enum { FAVOURITES = sizeof(favourites) / sizeof(favourites[0]) };

static void shrink_number(struct shrink *shrink, uint64_t *number)
{
	uint64_t old = *number;

	for (size_t i = 0; i < FAVOURITES; i++) {
		if (favourites[i] >= old)
			break;
		*number = favourites[i];
		if (shrink_holds(shrink, true))
			return;
	}
	*number = old;
	while (*number > 1 && !shrink->error) {
		old = *number;
		*number = old / 2;
		if (shrink_holds(shrink, true))
			continue;
		*number = old & (old - 1); /* one bit less: lower flags go first */
		if (*number && shrink_holds(shrink, true))
			continue;
		*number = old;
		return;
	}
}

static void shrink_struct(struct shrink *shrink, struct trace_value *value)
{
	for (uint32_t i = 0; i < value->count && !shrink->error;) {
		struct trace_field field = value->fields[i];

		value->count--;
		for (uint32_t k = i; k < value->count; k++)
			value->fields[k] = value->fields[k + 1];
		if (shrink_holds(shrink, true))
			continue;
		for (uint32_t k = value->count; k > i; k--)
			value->fields[k] = value->fields[k - 1];
		value->fields[i] = field;
		value->count++;
		shrink_value(shrink, &value->fields[i].value);
		i++;
	}
}

/* Bytes, which may also read as one word: the second half goes, then all. */
static void shrink_bytes(struct shrink *shrink, struct trace_value *value)
{
	struct trace_value old = *value;

	value->digits = 0;
	value->count = 0;
	if (shrink_holds(shrink, true))
		return;
	*value = old;
	while (value->digits >= 4 && !shrink->error) {
		uint32_t digits = value->digits;

		value->count = 0;
		value->digits = digits / 4 * 2;
		if (shrink_holds(shrink, true))
			continue;
		value->digits = digits;
		value->count = old.digits == digits ? old.count : 0;
		return;
	}
}

static void shrink_list(struct shrink *shrink, struct trace_value *value)
{
	if (value->digits) {
		shrink_bytes(shrink, value);
		return;
	}
	for (uint32_t i = value->count; i-- > 0 && !shrink->error;) {
		struct trace_value item = value->items[i];

		value->count--;
		for (uint32_t k = i; k < value->count; k++)
			value->items[k] = value->items[k + 1];
		if (shrink_holds(shrink, true))
			continue;
		for (uint32_t k = value->count; k > i; k--)
			value->items[k] = value->items[k - 1];
		value->items[i] = item;
		value->count++;
		shrink_value(shrink, &value->items[i]);
	}
}

static void shrink_offset(struct shrink *shrink, struct trace_value *value)
{
	struct trace_value old = *value;

	if (!value->base)
		return;
	value->base = 0;
	value->offset = 0;
	if (shrink_holds(shrink, true))
		return;
	*value = old;
	shrink_number(shrink, &value->offset);
}

static void shrink_value(struct shrink *shrink, struct trace_value *value)
{
	switch (value->kind) {
	case TRACE_NUMBER:
		if (!value->negative)
			shrink_number(shrink, &value->number);
		return;
	case TRACE_NAME:
		shrink_offset(shrink, value);
		return;
	case TRACE_STRUCT:
		shrink_struct(shrink, value);
		return;
	case TRACE_LIST:
		shrink_list(shrink, value);
		return;
	default:
		return;
	}
}

/* ---- one number in several places ---- */

enum { PLACES_MAX = 256 };

struct places {
	uint64_t number;
	uint32_t count;
	uint64_t *at[PLACES_MAX];
};

static void find_places(struct trace_value *value, struct places *places)
{
	if (value->kind == TRACE_NUMBER && !value->negative && value->number == places->number &&
	    places->count < PLACES_MAX)
		places->at[places->count++] = &value->number;
	for (uint32_t i = 0; value->kind == TRACE_STRUCT && i < value->count; i++)
		find_places(&value->fields[i].value, places);
}

static void find_all_places(const struct shrink *shrink, struct places *places)
{
	for (uint32_t i = 0; i < shrink->trace->item_count; i++) {
		struct trace_call *call = shrink->trace->items[i].call;

		if (shrink->gone[i] || shrink->trace->items[i].kind != TRACE_CALL)
			continue;
		for (uint32_t k = 0; k < call->arg_count; k++)
			find_places(&call->args[k], places);
	}
}

static void set_places(const struct places *places, uint64_t number)
{
	for (uint32_t i = 0; i < places->count; i++)
		*places->at[i] = number;
}

/* An address or an id that several calls name gets smaller in all of them or in none. */
static void shrink_together(struct shrink *shrink, const struct trace_value *value)
{
	struct places places = { .number = value->number };

	for (uint32_t i = 0; value->kind == TRACE_STRUCT && i < value->count; i++)
		shrink_together(shrink, &value->fields[i].value);
	if (value->kind != TRACE_NUMBER || value->negative)
		return;
	find_all_places(shrink, &places);
	/* Where it comes first, it is done for all. */
	if (places.count < 2 || places.at[0] != &value->number)
		return;
	for (size_t i = 0; i < FAVOURITES && favourites[i] < places.number; i++) {
		set_places(&places, favourites[i]);
		if (shrink_holds(shrink, true))
			return;
	}
	set_places(&places, places.number);
}

/* ---- all of it ---- */

/* A promise that does not hold either, of another kind: the line stays, without it. */
static void drop_promise(struct shrink *shrink, struct trace_call *call)
{
	struct trace_value result = call->result, out = call->out;
	uint32_t failures = shrink->failures;

	if (failures < 2 || result.kind == TRACE_NONE || result.kind == TRACE_NAME)
		return;
	call->result = (struct trace_value){ .kind = TRACE_NONE };
	call->out = call->result;
	shrink->failures--; /* nothing else would be gained */
	if (shrink_holds(shrink, true))
		return;
	shrink->failures = failures;
	call->result = result;
	call->out = out;
}

void shrink_values(struct shrink *shrink)
{
	const struct trace *trace = shrink->trace;

	for (uint32_t i = 0; i < trace->item_count; i++) {
		struct trace_call *call = trace->items[i].call;

		if (shrink->gone[i] || trace->items[i].kind != TRACE_CALL)
			continue;
		drop_promise(shrink, call);
		for (uint32_t k = 0; k < call->arg_count && !shrink->error; k++)
			shrink_value(shrink, &call->args[k]);
		for (uint32_t k = 0; k < call->arg_count && !shrink->error; k++)
			shrink_together(shrink, &call->args[k]);
	}
}
