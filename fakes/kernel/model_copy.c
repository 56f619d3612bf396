/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The copy engine: a PCI function that moves memory by a ring of descriptors.
 *
 * Imitates no code of Linux but what many devices do: a driver puts descriptors into a ring in its
 * memory and rings a doorbell, the device reads them, moves the data, writes a status back and
 * sends a message. Registers, descriptors and the meaning of a tick are in vfake/models.h.
 *
 * Kept: every access goes through the IOMMU as it is at that moment; the order data, status,
 * consumer index, interrupt; a fault ends one descriptor, and the ring goes on; a fault of the ring
 * itself halts the engine. An interrupt may lead back here, through an eventfd that writes a
 * register: so it is sent last, when the step has no more state in hand, and a doorbell inside of a
 * run only moves the producer.
 *
 * Dropped: several transfers at once, reordering, address translation in the device; DMA to another
 * device's BAR works where the IOMMU has it mapped, but ends in the plain memory behind the BAR.
 */
#include <string.h>

#include "model.h"

/* ---- state ---- */

void copy_engine_reset_regs(struct copy_engine *engine)
{
	memset(&engine->state, 0, sizeof(engine->state));
	engine->phase = COPY_PHASE_BEGIN;
	engine->state.irq_mask = VFAKE_COPY_IRQ_ALL;
}

void copy_engine_reset(struct copy_engine *engine)
{
	struct vfake_mem *mem = engine->pci->hw.bars[VFAKE_COPY_BAR_MEMORY];

	copy_engine_reset_regs(engine);
	if (mem && mem->bytes)
		memset(mem->bytes, 0, mem->size_bytes);
}

void copy_engine_init(struct copy_engine *engine, struct vfio_pci *pci)
{
	engine->pci = pci;
	copy_engine_reset_regs(engine);
}

bool copy_engine_busy(const struct copy_engine *engine)
{
	const struct copy_state *state = &engine->state;

	return state->taken || state->producer != state->consumer;
}

/* ---- interrupts ---- */

static void send_vector(struct copy_engine *engine, uint32_t vector)
{
	struct vfio_pci *pci = engine->pci;
	uint32_t msi_vector = vector < pci->vectors ? vector : 0;

	vfio_pci_trigger(pci->device, VFIO_PCI_MSI_IRQ_INDEX, msi_vector);
	vfio_pci_trigger(pci->device, VFIO_PCI_MSIX_IRQ_INDEX, vector);
}

/* The lowest bit first. What a message leads to may change the registers. */
static void send_bits(struct copy_engine *engine, uint32_t bits)
{
	while (bits) {
		send_vector(engine, (uint32_t)__builtin_ctz(bits));
		bits &= bits - 1;
	}
}

void copy_engine_send_held(struct copy_engine *engine)
{
	struct copy_state *state = &engine->state;
	uint32_t bits = state->irq_held & ~state->irq_mask;

	state->irq_held &= state->irq_mask;
	send_bits(engine, bits);
}

static void raise_irqs(struct copy_engine *engine, uint32_t bits)
{
	struct copy_state *state = &engine->state;

	state->irq_status |= bits;
	state->irq_held |= bits & state->irq_mask;
	send_bits(engine, bits & ~state->irq_mask);
}

/* ---- DMA ---- */

static void note_fault(struct copy_engine *engine, uint64_t iova, bool write, bool ring)
{
	struct copy_state *state = &engine->state;

	if (state->fault_count < UINT32_MAX)
		state->fault_count++;
	state->fault_info =
		(write ? VFAKE_COPY_FAULT_WRITE : 0U) | (ring ? VFAKE_COPY_FAULT_RING : 0U);
	state->fault_iova = iova;
	engine->faults.count++;
	engine->faults.last_iova = iova;
	engine->faults.last_write = write;
}

static int dma(struct copy_engine *engine, uint64_t iova, uint8_t *bytes, uint64_t len, bool write,
	       bool ring)
{
	int ret = vfio_pci_dma(engine->pci, iova, bytes, len, write);

	if (ret == -EAGAIN)
		return ret;
	if (ret)
		note_fault(engine, iova, write, ring);
	else if (write && engine->wrote)
		engine->wrote(engine, iova, len);
	return ret;
}

static uint64_t slot_iova(const struct copy_state *state)
{
	return state->ring_base + (uint64_t)state->consumer * VFAKE_COPY_DESC_BYTES;
}

static void halt(struct copy_engine *engine, uint32_t reason)
{
	engine->state.halt = reason;
	engine->phase = COPY_PHASE_BEGIN;
	engine->state.taken = 0;
	raise_irqs(engine, VFAKE_COPY_IRQ_HALT);
}

static bool is_ring(const struct copy_state *state)
{
	return state->ring_size >= VFAKE_COPY_RING_MIN && state->ring_size <= VFAKE_COPY_RING_MAX &&
	       state->producer < state->ring_size && state->consumer < state->ring_size;
}

/* Takes the next descriptor. 0, -EAGAIN, or another -errno when the engine halted instead. */
static int take(struct copy_engine *engine)
{
	struct copy_state *state = &engine->state;
	uint8_t desc[VFAKE_COPY_DESC_BYTES];
	int ret;

	if (!is_ring(state)) {
		halt(engine, VFAKE_COPY_HALT_RING);
		return -EINVAL;
	}
	ret = dma(engine, slot_iova(state), desc, sizeof(desc), false, true);
	if (ret) {
		if (ret != -EAGAIN)
			halt(engine, VFAKE_COPY_HALT_FETCH);
		return ret;
	}
	state->taken = 1;
	state->source = copy_load(desc + VFAKE_COPY_DESC_SOURCE, 8);
	state->dest = copy_load(desc + VFAKE_COPY_DESC_DEST, 8);
	state->length = (uint32_t)copy_load(desc + VFAKE_COPY_DESC_LENGTH, 4);
	state->flags = (uint32_t)copy_load(desc + VFAKE_COPY_DESC_FLAGS, 4);
	state->moved = 0;
	return 0;
}

/* The descriptor is done, well or badly. Whether that could be written. */
static bool finish(struct copy_engine *engine, uint32_t status)
{
	struct copy_state *state = &engine->state;
	uint32_t irqs = state->flags & VFAKE_COPY_FLAG_IRQ ? VFAKE_COPY_IRQ_DONE : 0;
	uint8_t bytes[8];
	int ret;

	copy_store(bytes, status, 4);
	copy_store(bytes + 4, state->moved, 4);
	ret = dma(engine, slot_iova(state) + VFAKE_COPY_DESC_STATUS, bytes, sizeof(bytes), true,
		  true);
	if (ret == -EAGAIN) {
		engine->phase = COPY_PHASE_STATUS;
		engine->status = status;
		return false;
	}
	engine->phase = COPY_PHASE_BEGIN;
	if (ret) {
		halt(engine, VFAKE_COPY_HALT_STATUS);
		return true;
	}
	if (status == VFAKE_COPY_DESC_READ_FAULT || status == VFAKE_COPY_DESC_WRITE_FAULT)
		irqs |= VFAKE_COPY_IRQ_FAULT;
	state->taken = 0;
	state->consumer = state->consumer + 1 == state->ring_size ? 0 : state->consumer + 1;
	state->count++;
	raise_irqs(engine, irqs);
	return true;
}

static uint32_t chunk_bytes(const struct copy_state *state)
{
	uint64_t left = state->length - state->moved;
	uint64_t room = VFAKE_COPY_CHUNK - (state->dest + state->moved) % VFAKE_COPY_CHUNK;

	if (room < left)
		left = room;
	room = VFAKE_COPY_CHUNK - (state->source + state->moved) % VFAKE_COPY_CHUNK;
	if (!(state->flags & VFAKE_COPY_FLAG_FILL) && room < left)
		left = room;
	return (uint32_t)left;
}

static void fill(const struct copy_state *state, uint8_t *bytes, uint32_t len)
{
	uint8_t pattern[8];

	copy_store(pattern, state->source, 8);
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = pattern[(state->moved + i) % 8];
}

enum { MOVE_WAITS = UINT8_MAX }; /* for memory; no status of a descriptor */

/* One chunk of the descriptor in hand. VFAKE_COPY_DESC_OPEN: there is more. */
static uint32_t move(struct copy_engine *engine)
{
	struct copy_state *state = &engine->state;
	uint32_t len = chunk_bytes(state);
	int ret = 0;

	if ((state->flags & ~(uint32_t)(VFAKE_COPY_FLAG_FILL | VFAKE_COPY_FLAG_IRQ)) ||
	    state->length > VFAKE_COPY_LENGTH_MAX)
		return VFAKE_COPY_DESC_BAD;
	if (!len)
		return VFAKE_COPY_DESC_DONE;
	if (state->flags & VFAKE_COPY_FLAG_FILL)
		fill(state, engine->chunk, len);
	else if (engine->phase == COPY_PHASE_BEGIN)
		ret = dma(engine, state->source + state->moved, engine->chunk, len, false, false);
	if (ret)
		return ret == -EAGAIN ? MOVE_WAITS : VFAKE_COPY_DESC_READ_FAULT;
	ret = dma(engine, state->dest + state->moved, engine->chunk, len, true, false);
	engine->phase = ret == -EAGAIN ? COPY_PHASE_WRITE : COPY_PHASE_BEGIN;
	if (ret)
		return ret == -EAGAIN ? MOVE_WAITS : VFAKE_COPY_DESC_WRITE_FAULT;
	state->moved += len;
	state->bytes += len;
	return state->moved == state->length ? VFAKE_COPY_DESC_DONE : VFAKE_COPY_DESC_OPEN;
}

/* ---- running ---- */

static bool may_dma(const struct copy_engine *engine)
{
	const struct pci_hw *hw = &engine->pci->hw;

	return !engine->suspended && hw->power == PCI_HW_POWER_D0 &&
	       (pci_hw_get16(hw, PCI_COMMAND) & PCI_COMMAND_MASTER);
}

bool copy_engine_step(struct copy_engine *engine)
{
	struct copy_state *state = &engine->state;
	uint32_t status;
	int ret = 0;

	if (!(state->control & VFAKE_COPY_CONTROL_RUN) || state->halt ||
	    !copy_engine_busy(engine) || !may_dma(engine))
		return false;
	if (engine->phase == COPY_PHASE_STATUS)
		return finish(engine, engine->status);
	if (!state->taken)
		ret = take(engine);
	if (ret)
		return ret != -EAGAIN;
	status = move(engine);
	if (status == MOVE_WAITS)
		return false;
	return status == VFAKE_COPY_DESC_OPEN || finish(engine, status);
}

void copy_engine_run(struct copy_engine *engine)
{
	if (engine->running)
		return;
	engine->running = true;
	for (uint32_t i = 0; i < VFAKE_COPY_SYNC_TICKS && copy_engine_step(engine); i++)
		;
	engine->running = false;
}

bool copy_engine_tick(struct vfio_pci *pci)
{
	struct copy_engine *engine = copy_engine_of(pci);
	bool worked;

	engine->running = true;
	worked = copy_engine_step(engine);
	engine->running = false;
	return worked;
}

/* ---- the model ---- */

bool copy_engine_mappable(const struct vfio_pci *pci, int bar)
{
	(void)pci;
	return bar == VFAKE_COPY_BAR_MEMORY;
}

void copy_engine_faults(const struct vfio_pci *pci, struct vfake_device_faults *faults)
{
	*faults = copy_engine_of(pci)->faults;
}

static int probe(struct vfio_pci *pci)
{
	struct copy_engine *engine = vfake_alloc(pci->kernel, sizeof(*engine));

	if (!engine)
		return -ENOMEM;
	copy_engine_init(engine, pci);
	pci->model_data = engine;
	return 0;
}

static void free_engine(struct vfio_pci *pci)
{
	vfake_free(pci->kernel, pci->model_data);
}

static void reset(struct vfio_pci *pci)
{
	copy_engine_reset(copy_engine_of(pci));
}

const struct vfio_pci_model vfio_copy_model = {
	.name = "copy",
	.probe = probe,
	.free = free_engine,
	.read = copy_engine_read,
	.write = copy_engine_write,
	.reset = reset,
	.mappable = copy_engine_mappable,
	.tick = copy_engine_tick,
	.faults = copy_engine_faults,
};
