/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The copy engine's registers, and its state as a row of bytes.
 *
 * Imitates no code of Linux; vfake/models.h has the registers and the layout.
 *
 * Kept: one table says which register shows which part of the state, and one in which order the
 * parts migrate; what comes from outside is checked against what an engine can be in before any of
 * it counts. Dropped: the MSI-X table's bytes in BAR2, which VFIO does not let through.
 */
#include <string.h>

#include "model.h"

uint64_t copy_load(const uint8_t *bytes, uint32_t width_bytes)
{
	uint64_t value = 0;

	for (uint32_t i = width_bytes; i-- > 0;)
		value = value << 8 | bytes[i];
	return value;
}

void copy_store(uint8_t *bytes, uint64_t value, uint32_t width_bytes)
{
	for (uint32_t i = 0; i < width_bytes; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

/* A part of struct copy_state. */
struct part {
	uint16_t offset;
	uint16_t width;
};

#define PART(member)                                                                               \
	{                                                                                          \
		offsetof(struct copy_state, member), sizeof(((struct copy_state *)0)->member)      \
	}

static uint64_t get_part(const struct copy_state *state, const struct part *part)
{
	const char *at = (const char *)state + part->offset;
	uint64_t wide;
	uint32_t narrow;

	if (part->width == sizeof(narrow)) {
		memcpy(&narrow, at, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, at, sizeof(wide));
	return wide;
}

static void set_part(struct copy_state *state, const struct part *part, uint64_t value)
{
	char *at = (char *)state + part->offset;
	uint32_t narrow = (uint32_t)value;

	if (part->width == sizeof(narrow))
		memcpy(at, &narrow, sizeof(narrow));
	else
		memcpy(at, &value, sizeof(value));
}

/* ---- registers ---- */

/* Registers that show a part as it is. */
static const struct reg {
	uint16_t at;
	bool writable;
	struct part part;
} regs[] = {
	{ VFAKE_COPY_CONTROL, false, PART(control) },
	{ VFAKE_COPY_RING_BASE, true, PART(ring_base) }, /* but its lowest bits */
	{ VFAKE_COPY_RING_SIZE, false, PART(ring_size) },
	{ VFAKE_COPY_PRODUCER, true, PART(producer) },
	{ VFAKE_COPY_CONSUMER, false, PART(consumer) },
	{ VFAKE_COPY_IRQ_STATUS, false, PART(irq_status) },
	{ VFAKE_COPY_IRQ_MASK, false, PART(irq_mask) },
	{ VFAKE_COPY_FAULT_COUNT, false, PART(fault_count) },
	{ VFAKE_COPY_FAULT_INFO, false, PART(fault_info) },
	{ VFAKE_COPY_FAULT_IOVA, false, PART(fault_iova) },
	{ VFAKE_COPY_BYTES, false, PART(bytes) },
	{ VFAKE_COPY_COUNT, false, PART(count) },
	{ VFAKE_COPY_SCRATCH, true, PART(scratch) },
};

static const struct reg *reg_at(uint64_t at)
{
	for (size_t i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		if (at >= regs[i].at && at < (uint64_t)regs[i].at + regs[i].part.width)
			return &regs[i];
	}
	return NULL;
}

static uint32_t status_of(const struct copy_engine *engine)
{
	const struct copy_state *state = &engine->state;

	return (copy_engine_busy(engine) ? VFAKE_COPY_STATUS_BUSY : 0U) |
	       (state->taken ? VFAKE_COPY_STATUS_INFLIGHT : 0U) |
	       (state->halt ? VFAKE_COPY_STATUS_HALTED : 0U) |
	       state->halt << VFAKE_COPY_STATUS_HALT_SHIFT;
}

/* The word of 4 bytes at @at. */
static uint32_t read_word(const struct copy_engine *engine, uint64_t at)
{
	const struct reg *reg = reg_at(at);

	switch (at) {
	case VFAKE_COPY_ID:
		return VFAKE_COPY_ID_VALUE;
	case VFAKE_COPY_VERSION:
		return VFAKE_COPY_VERSION_VALUE;
	case VFAKE_COPY_STATUS:
		return status_of(engine);
	default:
		return reg ? (uint32_t)(get_part(&engine->state, &reg->part) >> 8 * (at - reg->at))
			   : 0;
	}
}

static void write_control(struct copy_engine *engine, uint32_t value)
{
	struct copy_state *state = &engine->state;

	if (value & VFAKE_COPY_CONTROL_RESET) {
		copy_engine_reset_regs(engine);
		return;
	}
	if (value & ~state->control & VFAKE_COPY_CONTROL_RUN)
		state->halt = VFAKE_COPY_HALT_NONE;
	state->control = value & (VFAKE_COPY_CONTROL_RUN | VFAKE_COPY_CONTROL_SYNC);
}

static void write_plain(struct copy_engine *engine, uint64_t at, uint32_t value)
{
	const struct reg *reg = reg_at(at);
	uint64_t whole;
	uint64_t shift;

	if (!reg || !reg->writable)
		return;
	shift = 8 * (at - reg->at);
	whole = get_part(&engine->state, &reg->part);
	whole = (whole & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift;
	set_part(&engine->state, &reg->part, whole);
}

static void write_word(struct copy_engine *engine, uint64_t at, uint32_t value)
{
	struct copy_state *state = &engine->state;

	switch (at) {
	case VFAKE_COPY_CONTROL:
		write_control(engine, value);
		break;
	case VFAKE_COPY_RING_SIZE:
		state->ring_size = value;
		state->producer = 0;
		state->consumer = 0;
		state->taken = 0;
		break;
	case VFAKE_COPY_RING_BASE:
		write_plain(engine, at, value & ~(uint32_t)(VFAKE_COPY_DESC_BYTES - 1));
		break;
	case VFAKE_COPY_DOORBELL:
		state->producer = value;
		if (state->control & VFAKE_COPY_CONTROL_SYNC)
			copy_engine_run(engine);
		break;
	case VFAKE_COPY_IRQ_STATUS:
		state->irq_status &= ~value;
		state->irq_held &= ~value;
		break;
	case VFAKE_COPY_IRQ_MASK:
		state->irq_mask = value & VFAKE_COPY_IRQ_ALL;
		copy_engine_send_held(engine);
		break;
	default:
		write_plain(engine, at, value);
	}
}

/* ---- BARs ---- */

/* BAR1's memory, or NULL where the world has no memory there. */
static unsigned char *memory_at(const struct vfio_pci *pci, int bar, uint64_t offset)
{
	struct vfake_mem *mem = bar == VFAKE_COPY_BAR_MEMORY ? pci->hw.bars[bar] : NULL;

	return mem ? vfake_mem_bytes(mem, offset) : NULL;
}

uint64_t copy_engine_read(struct vfio_pci *pci, int bar, uint64_t offset, uint32_t width_bytes)
{
	const struct copy_engine *engine = copy_engine_of(pci);
	const unsigned char *bytes = memory_at(pci, bar, offset);
	uint64_t value;

	if (bar != VFAKE_COPY_BAR_REGS)
		return bytes ? copy_load(bytes, width_bytes) : 0;
	if (width_bytes == 8)
		return read_word(engine, offset) | (uint64_t)read_word(engine, offset + 4) << 32;
	value = read_word(engine, offset & ~(uint64_t)3) >> 8 * (offset & 3);
	return value & (UINT64_MAX >> (64 - 8 * width_bytes));
}

void copy_engine_write(struct vfio_pci *pci, int bar, uint64_t offset, uint64_t value,
		       uint32_t width_bytes)
{
	struct copy_engine *engine = copy_engine_of(pci);
	unsigned char *bytes = memory_at(pci, bar, offset);

	if (engine->frozen)
		return;
	if (bar != VFAKE_COPY_BAR_REGS) {
		if (bytes)
			copy_store(bytes, value, width_bytes);
		return;
	}
	if (width_bytes < 4)
		return;
	write_word(engine, offset, (uint32_t)value);
	if (width_bytes == 8)
		write_word(engine, offset + 4, (uint32_t)(value >> 32));
}

/* ---- the state as bytes ---- */

static const struct part fields[VFAKE_MIG_FIELDS] = {
	PART(control),	  PART(halt),	    PART(ring_base), PART(ring_size), PART(producer),
	PART(consumer),	  PART(irq_status), PART(irq_mask),  PART(irq_held),  PART(fault_count),
	PART(fault_info), PART(fault_iova), PART(bytes),     PART(count),     PART(scratch),
	PART(taken),	  PART(source),	    PART(dest),	     PART(length),    PART(flags),
	PART(moved),
};

enum {
	FIELDS_AT = 4,
	MEMORY_AT = FIELDS_AT + 8 * VFAKE_MIG_FIELDS,
};

/* The bytes of BAR1 that migrate; a BAR is a page at least. NULL with *missing: the world has none.
 */
static unsigned char *bar_memory(const struct copy_engine *engine, bool *missing)
{
	struct vfake_mem *mem = engine->pci->hw.bars[VFAKE_COPY_BAR_MEMORY];

	*missing = !mem;
	return mem ? vfake_mem_bytes(mem, 0) : NULL;
}

int copy_engine_save(const struct copy_engine *engine, uint8_t *bytes)
{
	bool missing;
	const unsigned char *memory = bar_memory(engine, &missing);

	if (!memory && !missing)
		return -ENOMEM;
	memcpy(bytes, engine->pci->hw.config, FIELDS_AT);
	for (size_t i = 0; i < VFAKE_MIG_FIELDS; i++)
		copy_store(bytes + FIELDS_AT + 8 * i, get_part(&engine->state, &fields[i]), 8);
	if (memory)
		memcpy(bytes + MEMORY_AT, memory, VFAKE_COPY_BAR_BYTES);
	else
		memset(bytes + MEMORY_AT, 0, VFAKE_COPY_BAR_BYTES);
	return 0;
}

/* A descriptor that it works on between two ticks. */
static bool is_half_done(const struct copy_state *state)
{
	return !state->halt && state->moved && state->moved < state->length &&
	       state->length <= VFAKE_COPY_LENGTH_MAX &&
	       !(state->flags & ~(uint32_t)(VFAKE_COPY_FLAG_FILL | VFAKE_COPY_FLAG_IRQ));
}

/* Whether an engine can be in this state. Software can put anything into the ring's registers. */
static bool is_possible(const struct copy_state *state)
{
	const uint32_t control = VFAKE_COPY_CONTROL_RUN | VFAKE_COPY_CONTROL_SYNC;
	const uint32_t info = VFAKE_COPY_FAULT_WRITE | VFAKE_COPY_FAULT_RING;

	if ((state->control & ~control) || state->halt > VFAKE_COPY_HALT_STATUS ||
	    (state->fault_info & ~info) || state->taken > 1)
		return false;
	if ((state->irq_status | state->irq_mask) & ~(uint32_t)VFAKE_COPY_IRQ_ALL ||
	    (state->irq_held & ~(state->irq_mask & state->irq_status)))
		return false;
	if (state->ring_base % VFAKE_COPY_DESC_BYTES)
		return false;
	return !state->taken || is_half_done(state);
}

static bool parse(const struct copy_engine *engine, const uint8_t *bytes, struct copy_state *state)
{
	if (memcmp(bytes, engine->pci->hw.config, FIELDS_AT))
		return false;
	for (size_t i = 0; i < VFAKE_MIG_FIELDS; i++) {
		uint64_t value = copy_load(bytes + FIELDS_AT + 8 * i, 8);

		if (fields[i].width < 8 && value > UINT32_MAX)
			return false;
		set_part(state, &fields[i], value);
	}
	return is_possible(state);
}

int copy_engine_check(const struct copy_engine *engine, const uint8_t *bytes)
{
	struct copy_state state = { 0 };

	return parse(engine, bytes, &state) ? 0 : -EINVAL;
}

int copy_engine_load(struct copy_engine *engine, const uint8_t *bytes)
{
	bool missing;
	unsigned char *memory = bar_memory(engine, &missing);
	struct copy_state state = { 0 };

	if (!parse(engine, bytes, &state))
		return -EINVAL;
	if (!memory && !missing)
		return -ENOMEM;
	engine->state = state;
	engine->phase = COPY_PHASE_BEGIN;
	if (memory)
		memcpy(memory, bytes + MEMORY_AT, VFAKE_COPY_BAR_BYTES);
	return 0;
}
