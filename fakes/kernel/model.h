/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device models that do DMA, from inside. vfake/models.h says what their drivers see.
 *
 *   model.c              which model a device has; ticks; faults
 *   model_copy.c         the copy engine
 *   model_copy_regs.c    its registers, and its state as bytes
 *   mig_fsm.c            the way from one state of a migration to another
 *   model_migrate.c      the engine that can be migrated
 *   mig_stream.c         the files that its state travels through
 *   model_migrate_log.c  the log of its DMA
 *   model_alarm.c        the alarm clock, which has a log and a stream of its own
 */
#ifndef FAKES_MODEL_H
#define FAKES_MODEL_H

#include <vfake/models.h>

#include "iova_map.h"
#include "vfio_pci.h"

/* ---- the copy engine ---- */

/* What the engine is, as far as software can tell: all of it migrates. */
struct copy_state {
	uint32_t control;
	uint32_t halt; /* VFAKE_COPY_HALT_* */
	uint64_t ring_base;
	uint32_t ring_size;
	uint32_t producer;
	uint32_t consumer;
	uint32_t irq_status;
	uint32_t irq_mask;
	uint32_t irq_held; /* happened while masked: their messages go when the mask does */
	uint32_t fault_count;
	uint32_t fault_info;
	uint64_t fault_iova;
	uint64_t bytes;
	uint64_t count;
	uint64_t scratch;
	/* the descriptor that it works on */
	uint32_t taken; /* 0 or 1 */
	uint64_t source;
	uint64_t dest;
	uint32_t length;
	uint32_t flags;
	uint32_t moved;
};

/* What a step waits for when memory needs time (vfake/bridge.h). No state that migrates: without it
 * the step begins anew. */
enum copy_phase {
	COPY_PHASE_BEGIN,
	COPY_PHASE_WRITE,  /* the chunk was read */
	COPY_PHASE_STATUS, /* the descriptor is done */
};

struct copy_engine {
	struct vfio_pci *pci;
	struct copy_state state;
	enum copy_phase phase;
	uint32_t status; /* of the descriptor, in COPY_PHASE_STATUS */
	uint8_t chunk[VFAKE_COPY_CHUNK];
	struct vfake_device_faults faults; /* no reset clears them */
	bool running;			   /* in a synchronous doorbell or a tick */
	bool suspended;			   /* starts no DMA */
	bool frozen;			   /* its registers take no writes */
	/* The engine wrote memory there; never across a multiple of VFAKE_COPY_CHUNK, but for a
	 * descriptor's status. May be NULL. */
	void (*wrote)(struct copy_engine *engine, uint64_t iova, uint64_t len);
};

static inline struct copy_engine *copy_engine_of(const struct vfio_pci *pci)
{
	return pci->model_data;
}

/* model_copy.c */
extern const struct vfio_pci_model vfio_copy_model;
void copy_engine_init(struct copy_engine *engine, struct vfio_pci *pci);
/* The registers and the memory of BAR1, as after power-on. */
void copy_engine_reset(struct copy_engine *engine);
bool copy_engine_step(struct copy_engine *engine);
/* Steps until it is idle, VFAKE_COPY_SYNC_TICKS at most. */
void copy_engine_run(struct copy_engine *engine);
bool copy_engine_busy(const struct copy_engine *engine);
void copy_engine_reset_regs(struct copy_engine *engine);
/* Interrupts whose mask went away. */
void copy_engine_send_held(struct copy_engine *engine);

/* The operations of struct vfio_pci_model that both models share. */
uint64_t copy_engine_read(struct vfio_pci *pci, int bar, uint64_t offset, uint32_t width_bytes);
void copy_engine_write(struct vfio_pci *pci, int bar, uint64_t offset, uint64_t value,
		       uint32_t width_bytes);
bool copy_engine_mappable(const struct vfio_pci *pci, int bar);
bool copy_engine_tick(struct vfio_pci *pci);
void copy_engine_faults(const struct vfio_pci *pci, struct vfake_device_faults *faults);

/* Little-endian numbers of 2, 4 and 8 bytes. */
uint64_t copy_load(const uint8_t *bytes, uint32_t width_bytes);
void copy_store(uint8_t *bytes, uint64_t value, uint32_t width_bytes);

/*
 * The state as the VFAKE_MIG_STATE_BYTES that vfake/models.h describes. Loading gives 0, or -EINVAL
 * with nothing changed when no such engine can be in that state; -ENOMEM.
 */
int copy_engine_save(const struct copy_engine *engine, uint8_t *bytes);
int copy_engine_check(const struct copy_engine *engine, const uint8_t *bytes);
int copy_engine_load(struct copy_engine *engine, const uint8_t *bytes);

/* ---- migration ---- */

/*
 * The next state on the way from @from to @to, for a device with the optional states of @flags
 * (VFIO_MIGRATION_*). 0; -EINVAL when there is no way, or no such state.
 */
int mig_next_state(uint64_t flags, uint32_t from, uint32_t to, uint32_t *next);

struct mig_file;

/* Pages that the engine wrote. */
struct dma_log {
	bool active;
	bool lost; /* there was no memory to note a page */
	uint64_t page_bytes;
	struct vfio_device_feature_dma_logging_range *ranges;
	uint32_t range_count;
	struct vfake_iova_map words; /* 64 pages each; value: which of them */
};

struct mig_device {
	struct copy_engine engine; /* first: the engine's operations work on either */
	uint64_t flags;		   /* VFIO_MIGRATION_* */
	uint32_t state;		   /* VFIO_DEVICE_STATE_* */
	bool precopy_info_v2;
	struct mig_file *saving; /* NULL when there is none; holds the file */
	struct mig_file *resuming;
	struct dma_log log;
};

extern const struct vfio_pci_model vfio_migrate_model;

/* model_alarm.c */
extern const struct vfio_pci_model vfio_alarm_model;

/* mig_stream.c: a new file, of which the device has a reference: 0 or -ENOMEM. */
int mig_open_saving(struct mig_device *mig, bool precopy);
int mig_open_resuming(struct mig_device *mig);
struct vfake_file *mig_file_of(const struct mig_file *stream);
/* Adds the final record to the stream that pre-copy began. 0 or -ENOMEM. */
int mig_finish_saving(struct mig_device *mig);
/* Loads what came: 0, -EINVAL for a stream that is not whole. */
int mig_finish_resuming(struct mig_device *mig);
/* Ends both streams: whoever has their files open gets ENODEV. */
void mig_disable_streams(struct mig_device *mig);

/* model_migrate_log.c */
void dma_log_init(struct dma_log *log, struct vfake_kernel *kernel);
void dma_log_end(struct dma_log *log, struct vfake_kernel *kernel);
void dma_log_wrote(struct dma_log *log, uint64_t iova, uint64_t len);
long dma_log_feature_start(struct mig_device *mig, struct vfake_call *call, uint32_t flags,
			   uint64_t data, uint64_t data_len);
long dma_log_feature_stop(struct mig_device *mig, uint32_t flags, uint64_t data_len);
long dma_log_feature_report(struct mig_device *mig, struct vfake_call *call, uint32_t flags,
			    uint64_t data, uint64_t data_len);

#endif
