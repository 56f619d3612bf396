/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device models that do DMA, as a driver sees them: "copy", a copy engine, and "migrate", the
 * same engine that can also be migrated and that logs what it writes.
 *
 * PCI Express function fa4e:0001 ("copy") or fa4e:0002 ("migrate"), with function-level reset,
 * power management, MSI (4 vectors, 64-bit) and MSI-X (4 vectors). No INTx.
 *
 *   BAR0  4 KiB  registers, not for mmap()
 *   BAR1  4 KiB  plain memory, for mmap()
 *   BAR2  4 KiB  the MSI-X table at 0, its pending bits at 0x800
 *
 * All registers and all of a descriptor are little-endian. A register takes accesses of 4 bytes, a
 * 64-bit one also of 8; narrower writes are dropped, narrower reads see a part. What is not listed
 * reads as 0 and drops writes.
 *
 * The engine works on a ring of descriptors in memory, from slot CONSUMER up to slot PRODUCER, not
 * included. It runs in ticks (vfake_tick()): in one tick it takes the next descriptor if it has
 * none, and moves one chunk of it, which is what is left of the descriptor up to the next multiple
 * of VFAKE_COPY_CHUNK of both addresses. The tick that moves the last chunk also writes the status
 * back, goes on to the next slot and sends the interrupts, in this order. So a descriptor of
 * @length bytes at aligned addresses takes length / VFAKE_COPY_CHUNK ticks, rounded up, and at
 * least one.
 *
 * A device that is not bus master or not in D0 does no DMA: it waits, which is no fault.
 */
#ifndef VFAKE_MODELS_H
#define VFAKE_MODELS_H

#ifdef __cplusplus
extern "C" {
#endif

/** PCI ids. */
enum {
	VFAKE_COPY_VENDOR = 0xfa4e,
	VFAKE_COPY_DEVICE = 1,
	VFAKE_MIGRATE_DEVICE = 2,
};

/** BARs and sizes in bytes. */
enum {
	VFAKE_COPY_BAR_REGS = 0,
	VFAKE_COPY_BAR_MEMORY = 1,
	VFAKE_COPY_BAR_MSIX = 2,
	VFAKE_COPY_BAR_BYTES = 4096,
	VFAKE_COPY_VECTORS = 4,
	VFAKE_COPY_CHUNK = 4096,
	VFAKE_COPY_RING_MIN = 2,
	VFAKE_COPY_RING_MAX = 65536,
	VFAKE_COPY_LENGTH_MAX = 1 << 24,
	VFAKE_COPY_SYNC_TICKS = 65536, /**< that one doorbell runs at most by itself */
};

/** Registers: offsets in BAR0. */
enum {
	VFAKE_COPY_ID = 0x00,	       /**< read only: "copy", 0x79706f63 */
	VFAKE_COPY_VERSION = 0x04,     /**< read only: 1 */
	VFAKE_COPY_CONTROL = 0x08,     /**< VFAKE_COPY_CONTROL_* */
	VFAKE_COPY_STATUS = 0x0c,      /**< read only: VFAKE_COPY_STATUS_* */
	VFAKE_COPY_RING_BASE = 0x10,   /**< 64 bits: IOVA of slot 0, the lowest 5 bits are 0 */
	VFAKE_COPY_RING_SIZE = 0x18,   /**< slots; a write also makes PRODUCER and CONSUMER 0 */
	VFAKE_COPY_PRODUCER = 0x1c,    /**< the first slot that is not for the engine */
	VFAKE_COPY_CONSUMER = 0x20,    /**< read only: the slot that the engine works on */
	VFAKE_COPY_DOORBELL = 0x24,    /**< write only: PRODUCER, and with CONTROL_SYNC runs */
	VFAKE_COPY_IRQ_STATUS = 0x28,  /**< VFAKE_COPY_IRQ_*; writing a 1 clears the bit */
	VFAKE_COPY_IRQ_MASK = 0x2c,    /**< 1: the interrupt waits until the bit is cleared */
	VFAKE_COPY_FAULT_COUNT = 0x30, /**< read only: accesses that faulted; stays at 2^32-1 */
	VFAKE_COPY_FAULT_INFO = 0x34,  /**< read only: VFAKE_COPY_FAULT_* of the last one */
	VFAKE_COPY_FAULT_IOVA = 0x38,  /**< 64 bits, read only: where the last one began */
	VFAKE_COPY_BYTES = 0x40,       /**< 64 bits, read only: bytes moved */
	VFAKE_COPY_COUNT = 0x48, /**< 64 bits, read only: descriptors done, with or without fault */
	VFAKE_COPY_SCRATCH = 0x50, /**< 64 bits: keeps what is written */
};

/** Values of read-only registers. */
enum {
	VFAKE_COPY_ID_VALUE = 0x79706f63,
	VFAKE_COPY_VERSION_VALUE = 1,
};

/** CONTROL. */
enum {
	VFAKE_COPY_CONTROL_RUN = 1 << 0, /**< 0: pauses before the next chunk; 0 to 1 ends a halt */
	VFAKE_COPY_CONTROL_SYNC = 1 << 1,  /**< a doorbell runs the ring before its write returns */
	VFAKE_COPY_CONTROL_RESET = 1 << 2, /**< all registers as after power-on; reads as 0 */
};

/** STATUS. */
enum {
	VFAKE_COPY_STATUS_BUSY = 1 << 0,     /**< there are descriptors to do */
	VFAKE_COPY_STATUS_INFLIGHT = 1 << 1, /**< one has been taken and is not done */
	VFAKE_COPY_STATUS_HALTED = 1 << 2,   /**< the ring itself was wrong; see _HALT_* */
	VFAKE_COPY_STATUS_HALT_SHIFT = 8,    /**< where the reason stands, 8 bits */
};

/** Why the engine halted. The descriptor is tried again after the halt. */
enum {
	VFAKE_COPY_HALT_NONE,
	VFAKE_COPY_HALT_RING,	/**< RING_SIZE or PRODUCER makes no ring */
	VFAKE_COPY_HALT_FETCH,	/**< the descriptor could not be read */
	VFAKE_COPY_HALT_STATUS, /**< its status could not be written */
};

/** Interrupts: bits of IRQ_STATUS and IRQ_MASK. The number of the bit is the vector; MSI with fewer
 * vectors sends vector 0 instead. */
enum {
	VFAKE_COPY_IRQ_DONE = 1 << 0,  /**< a descriptor with VFAKE_COPY_FLAG_IRQ is done */
	VFAKE_COPY_IRQ_FAULT = 1 << 1, /**< the data of a descriptor faulted */
	VFAKE_COPY_IRQ_HALT = 1 << 2,  /**< the engine halted */
	VFAKE_COPY_IRQ_ALL = 7,	       /**< IRQ_MASK after a reset */
};

/** FAULT_INFO. */
enum {
	VFAKE_COPY_FAULT_WRITE = 1 << 0, /**< else it was a read */
	VFAKE_COPY_FAULT_RING = 1 << 1,	 /**< of the ring, else of data */
};

/** A descriptor: offsets of its fields, and its size in bytes. */
enum {
	VFAKE_COPY_DESC_SOURCE = 0,  /**< u64: IOVA, or the 8 bytes to fill with */
	VFAKE_COPY_DESC_DEST = 8,    /**< u64: IOVA */
	VFAKE_COPY_DESC_LENGTH = 16, /**< u32: bytes, at most VFAKE_COPY_LENGTH_MAX; 0 is legal */
	VFAKE_COPY_DESC_FLAGS = 20,  /**< u32: VFAKE_COPY_FLAG_* */
	VFAKE_COPY_DESC_STATUS = 24, /**< u32: VFAKE_COPY_DESC_*, written by the engine */
	VFAKE_COPY_DESC_MOVED = 28,  /**< u32: bytes moved, written by the engine */
	VFAKE_COPY_DESC_BYTES = 32,
};

/** Flags of a descriptor. */
enum {
	VFAKE_COPY_FLAG_FILL = 1 << 0, /**< repeat SOURCE's bytes; nothing is read */
	VFAKE_COPY_FLAG_IRQ = 1 << 1,  /**< VFAKE_COPY_IRQ_DONE when it is done */
};

/** Status of a descriptor. */
enum {
	VFAKE_COPY_DESC_OPEN = 0, /**< what the driver puts there */
	VFAKE_COPY_DESC_DONE = 1,
	VFAKE_COPY_DESC_READ_FAULT = 2,
	VFAKE_COPY_DESC_WRITE_FAULT = 3,
	VFAKE_COPY_DESC_BAD = 4, /**< length or flags that there are not; nothing was moved */
};

/*
 * The data stream of a migration is a row of records, VFAKE_MIG_PRE_COPY ones first, then one
 * VFAKE_MIG_FINAL, then its end. Each is a header, little-endian, and the device's whole state.
 * A record's size never varies. The state: vendor and device id (u16 each); VFAKE_MIG_FIELDS fields
 * of 8 bytes, in order: CONTROL, the halt reason, RING_BASE, RING_SIZE, PRODUCER, CONSUMER,
 * IRQ_STATUS, IRQ_MASK, the bits whose interrupt waits, FAULT_COUNT, FAULT_INFO, FAULT_IOVA, BYTES,
 * COUNT, SCRATCH, whether a descriptor is taken (0 or 1), its SOURCE, DEST, LENGTH, FLAGS and
 * MOVED; then the first VFAKE_COPY_BAR_BYTES bytes of BAR1, or zeroes when a world gave the device
 * no such memory.
 */
enum {
	VFAKE_MIG_MAGIC = 0x67696d76, /**< "vmig" */
	VFAKE_MIG_VERSION = 1,
	VFAKE_MIG_PRE_COPY = 1, /**< what the state was at some time; may be read and thrown away */
	VFAKE_MIG_FINAL = 2,
	VFAKE_MIG_FIELDS = 21,
	VFAKE_MIG_STATE_BYTES = 4 + 8 * VFAKE_MIG_FIELDS + VFAKE_COPY_BAR_BYTES,
};

/** The header of a record: offsets of its fields, and its size. */
enum {
	VFAKE_MIG_HEADER_MAGIC = 0,	/**< u32 */
	VFAKE_MIG_HEADER_VERSION = 4,	/**< u16 */
	VFAKE_MIG_HEADER_TYPE = 6,	/**< u16 */
	VFAKE_MIG_HEADER_LENGTH = 8,	/**< u32: bytes after the header, VFAKE_MIG_STATE_BYTES */
	VFAKE_MIG_HEADER_CHECKSUM = 12, /**< u32: FNV-1a of the record, these four bytes as 0 */
	VFAKE_MIG_HEADER_BYTES = 16,
	VFAKE_MIG_RECORD_BYTES = VFAKE_MIG_HEADER_BYTES + VFAKE_MIG_STATE_BYTES,
};

/*
 * "alarm": conventional PCI function dead:beef (subsystem cafe:babe) with INTx, the device of the
 * sample programs of libvfio-user. Numbers are little-endian.
 *
 *   BAR0  8 bytes  writing them sets the time of the alarm, in seconds; reading gives the seconds
 *                  since that time
 *   BAR1  16 KiB   plain memory, for mmap()
 *
 * In the first tick in which the kernel's clock (vfake_set_clock()) has reached the time, it
 * asserts INTx once and looks for the first page of 4 KiB that its IOMMU translates. In the sixteen
 * ticks after it, it writes the page behind that one with 1 KiB each of A, B, C and D and reads it
 * again, and then that page itself. It needs not be bus master for that.
 *
 * It logs its DMA and migrates, with pre-copy. The data is VFAKE_ALARM_MIG_BYTES of BAR1, as they
 * are when they are read; in STOP_COPY all of them again, and the time in 8 bytes.
 */
enum {
	VFAKE_ALARM_BAR_TIME = 0,
	VFAKE_ALARM_BAR_MEMORY = 1,
	VFAKE_ALARM_MIG_BYTES = 0x3000,
	VFAKE_ALARM_SEARCH_BYTES = 1 << 20, /**< where it looks */
};

/** Pages that the DMA log can count, in bytes: what DMA_LOGGING_START asks for becomes the power of
 * two below it, and at least and at most these. */
enum {
	VFAKE_LOG_PAGE_MIN = 4096,
	VFAKE_LOG_PAGE_MAX = 1 << 21,
};

#ifdef __cplusplus
}
#endif
#endif
