/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory as devices see it: an address space made of regions, changed in transactions,
 * watched by listeners.
 *
 * A VMM describes one address space per struct vfio_memory: the whole of guest memory for devices
 * without a vIOMMU, one with a single VFIO_MEMORY_IOMMU region for devices behind one. Addresses
 * are guest physical (or guest I/O virtual) and ranges are closed on both ends, so [0, 2^64-1] is
 * one. No region is too large to be there; what costs memory is logging (a bit for each 4 KiB of
 * RAM) and being discardable (a bit for each piece).
 *
 * A call that fails has changed nothing. An @error may be NULL.
 */
#ifndef VFIO_MEMORY_H
#define VFIO_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vfio/error.h>
#include <vfio/vmm.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum vfio_memory_kind {
	VFIO_MEMORY_RAM,
	VFIO_MEMORY_ROM,	/**< RAM that devices may only read */
	VFIO_MEMORY_RAM_DEVICE, /**< a device's BAR in the guest: it may fail to map without harm */
	VFIO_MEMORY_MMIO,	/**< emulated: never mapped */
	VFIO_MEMORY_IOMMU,	/**< translated by a vIOMMU: mapped piecewise, as the guest says */
	VFIO_MEMORY_DISCARDABLE, /**< RAM that comes and goes in pieces (virtio-mem), and tells */
};

/** A region as the VMM adds it. */
struct vfio_memory_region {
	const char *name; /**< for messages, copied */
	enum vfio_memory_kind kind;
	uint64_t start; /**< first guest address */
	uint64_t last;	/**< last guest address */
	uint64_t vaddr; /**< process address of `start`; RAM, ROM, RAM_DEVICE, DISCARDABLE */
	int fd;		/**< file behind it, or -1; borrowed until the region is gone */
	uint64_t fd_offset;
	/** DISCARDABLE: bytes of a piece, a power of two that divides start and last + 1 */
	uint64_t granularity;
	uint64_t iommu_pgsizes; /**< IOMMU: page sizes of the vIOMMU, bit N for 2^N bytes */
	/**
	 * IOMMU on POWER: KVM shall fill the window from `tce_table_fd`, which
	 * KVM_CREATE_SPAPR_TCE* returned; borrowed until the region is gone. Without a VM nothing
	 * happens.
	 */
	bool tce_table;
	int tce_table_fd;
};

struct vfio_memory;
struct vfio_iommu_entry;

/**
 * Creates an empty address space, or NULL when memory is short.
 *
 * @vmm: whose alloc() and free() to use, copied; no other function of it is called. NULL: calloc
 *	and free
 */
struct vfio_memory *vfio_memory_new(const struct vfio_vmm *vmm);

/** Frees it. No container and no listener may use it any more. NULL is allowed. */
void vfio_memory_free(struct vfio_memory *memory);

/**
 * Opens a transaction. They nest; what is added and deleted inside becomes visible with the
 * outermost commit, so that a region that moves or is cut is never missing in between.
 */
void vfio_memory_begin(struct vfio_memory *memory);

/**
 * Adds a region. Outside of a transaction it is one of its own. A region that was deleted in the
 * same transaction and is equal in all fields of its kind, and in name, comes back instead: with
 * its id, vIOMMU mappings, plugged pieces and dirty pages.
 *
 * While logging is on, RAM that is added counts as dirty, for it is new to whoever copies it.
 *
 * @id: gets a number that names the region until it is deleted, never 0
 *
 * Returns false with -EINVAL for a region that ends before it starts, whose process addresses or
 * file offsets wrap, or whose granularity or page sizes make no sense; -EEXIST when it overlaps
 * another one that stays; -EBUSY from within a listener; -ENOMEM.
 */
bool vfio_memory_add(struct vfio_memory *memory, const struct vfio_memory_region *region,
		     uint32_t *id, struct vfio_error *error);

/** Deletes a region. An unknown id is a programming error and does nothing. Outside of a
 * transaction it is one of its own. */
void vfio_memory_del(struct vfio_memory *memory, uint32_t id);

/**
 * Closes a transaction. With the outermost one listeners hear, in this order: begin; region_del for
 * all that went, highest address first; region_add for all that came, lowest first; commit. A
 * region that was deleted and added again unchanged is not reported, and a transaction that changes
 * nothing is silent. It needs no memory, so it cannot fail.
 */
void vfio_memory_commit(struct vfio_memory *memory);

/** A piece of a region, as listeners see it. */
struct vfio_memory_section {
	uint32_t id;
	const struct vfio_memory_region *region; /**< valid while the section is reported */
	uint64_t start;
	uint64_t last;
	uint64_t vaddr; /**< of start; 0 where the region has none */
	uint64_t fd_offset;
};

/**
 * Who wants to know. Each function may be NULL. The order is by priority, lower first for begin,
 * commit and whatever adds, starts or asks, higher first for what deletes, stops or discards; among
 * equals the one that came first counts as lower.
 *
 * Listeners may not change the memory that they are called by: what would is refused with -EBUSY or
 * does nothing. Finding, replaying and dirty pages are free to use. A region can be found while it
 * is reported, in both directions.
 */
struct vfio_memory_listener {
	const char *name;
	int priority;
	void *ctx;
	void (*begin)(struct vfio_memory_listener *listener);
	void (*region_add)(struct vfio_memory_listener *listener,
			   const struct vfio_memory_section *section);
	void (*region_del)(struct vfio_memory_listener *listener,
			   const struct vfio_memory_section *section);
	void (*commit)(struct vfio_memory_listener *listener);
	/**
	 * Dirty logging of everything starts (false with the reason when it cannot) and stops. What
	 * it marks dirty before it returns from log_start does not count.
	 */
	bool (*log_start)(struct vfio_memory_listener *listener, struct vfio_error *error);
	void (*log_stop)(struct vfio_memory_listener *listener);
	/**
	 * Report what was written since the last time with vfio_memory_set_dirty(): asked for RAM,
	 * DISCARDABLE and IOMMU regions. False with the reason.
	 */
	bool (*log_sync)(struct vfio_memory_listener *listener,
			 const struct vfio_memory_section *section, struct vfio_error *error);
	/**
	 * A vIOMMU changed a mapping inside an IOMMU region. @entry->prot 0 is an unmap: then the
	 * entry is exactly one that was mapped before, with the target that it had.
	 */
	void (*iommu_notify)(struct vfio_memory_listener *listener,
			     const struct vfio_memory_section *section,
			     const struct vfio_iommu_entry *entry);
	/**
	 * A piece of a DISCARDABLE region is plugged: false refuses it, with the reason, and has
	 * undone what it did.
	 */
	bool (*populate)(struct vfio_memory_listener *listener,
			 const struct vfio_memory_section *piece, struct vfio_error *error);
	/**
	 * A piece of a DISCARDABLE region is about to go. It may be a part of what was populated at
	 * once, or several of those, but never a part of the granularity.
	 */
	void (*discard)(struct vfio_memory_listener *listener,
			const struct vfio_memory_section *piece);
	struct vfio_memory_listener *next, *prev; /**< the memory's */
};

/** One mapping of a vIOMMU. */
struct vfio_iommu_entry {
	uint64_t iova; /**< first address, in the address space that has the IOMMU region */
	uint64_t last;
	uint64_t target; /**< what `iova` leads to, an address of @target_memory */
	int prot;	 /**< 1 read, 2 write, 0 unmap */
	struct vfio_memory *target_memory; /**< must outlive the mapping */
};

/**
 * Registers a listener and replays to it what is there: begin, region_add for each region lowest
 * first, commit; then, if logging is on, log_start. Borrowed.
 *
 * Returns true; false when logging is on and the listener refused it, with its reason, after
 * replaying the end of all regions; -EBUSY from within a listener; -EEXIST for one that listens.
 */
bool vfio_memory_listen(struct vfio_memory *memory, struct vfio_memory_listener *listener,
			struct vfio_error *error);

/**
 * Replays the end of all regions (begin, region_del highest first, commit; then log_stop, if
 * logging is on, so that what goes can still tell what was written) and forgets the listener. One
 * that is not registered is a programming error and nothing happens.
 */
void vfio_memory_unlisten(struct vfio_memory *memory, struct vfio_memory_listener *listener);

/* ---- pieces of regions ---- */

/**
 * A vIOMMU maps or unmaps (prot 0). The memory keeps the current mappings, so that
 * vfio_memory_iommu_replay() can tell a late comer. An unmap may cover any number of mappings, also
 * none, but may not cut one; its target is ignored.
 *
 * Returns 0, -ENOENT for an id that is no IOMMU region, -EINVAL for a range that is outside of it,
 * not of its page sizes or whose target wraps, and for an unmap that cuts a mapping, -EEXIST for a
 * map over another one, -EBUSY from within a listener, -ENOMEM.
 */
int vfio_memory_iommu_update(struct vfio_memory *memory, uint32_t id,
			     const struct vfio_iommu_entry *entry);

/** Tells @listener all mappings of an IOMMU region that lie in the section, lowest first. */
void vfio_memory_iommu_replay(struct vfio_memory *memory, const struct vfio_memory_section *section,
			      struct vfio_memory_listener *listener);

/**
 * Plugs [start, last] of a DISCARDABLE region, where it is not plugged yet; every listener is
 * asked, and if one refuses, those asked before are told to discard again and nothing has changed.
 * While logging is on, new pieces count as dirty.
 *
 * Returns true; false with -ENOENT for an id that is no DISCARDABLE region, -EINVAL (alignment,
 * outside of the region), -EBUSY from within a listener, or the listener's reason.
 */
bool vfio_memory_populate(struct vfio_memory *memory, uint32_t id, uint64_t start, uint64_t last,
			  struct vfio_error *error);

/**
 * Unplugs [start, last]; listeners hear of the pieces that were plugged, highest first. Pages that
 * lie in one of these entirely are not dirty any more. What vfio_memory_populate() would refuse
 * with -ENOENT or -EINVAL is a programming error and does nothing.
 */
void vfio_memory_discard(struct vfio_memory *memory, uint32_t id, uint64_t start, uint64_t last);

/**
 * Tells @listener every plugged piece of the section by its populate(): each as long as it can be,
 * lowest first. False with its reason at the first refusal, after discarding again.
 */
bool vfio_memory_populate_replay(struct vfio_memory *memory,
				 const struct vfio_memory_section *section,
				 struct vfio_memory_listener *listener, struct vfio_error *error);

/**
 * The section of RAM that begins at guest address @addr and ends where its region does, or its
 * plugged piece. False where there is none: RAM, ROM, RAM_DEVICE and what is plugged of DISCARDABLE
 * can be found.
 */
bool vfio_memory_find(const struct vfio_memory *memory, uint64_t addr,
		      struct vfio_memory_section *section);

/* ---- dirty pages: of RAM and DISCARDABLE regions ---- */

/**
 * Starts logging on all listeners, with no page dirty; on a refusal those that had started are
 * stopped. Nothing happens when it is on already. A vIOMMU's listener marks pages of the target
 * memory, where logging must be on, too.
 *
 * Returns false with -ENOMEM, -EBUSY from within a listener, or the listener's reason.
 */
bool vfio_memory_log_start(struct vfio_memory *memory, struct vfio_error *error);

/**
 * Stops logging. What is dirty stays so, for asking, until logging starts again. Nothing happens
 * when it is off.
 */
void vfio_memory_log_stop(struct vfio_memory *memory);

/**
 * Asks all listeners for what was written, section by section. When logging is off there is nothing
 * to ask for: true. The first listener that cannot tell ends it: false with its reason; what was
 * told is kept. -EBUSY from within a listener.
 */
bool vfio_memory_log_sync(struct vfio_memory *memory, struct vfio_error *error);

/**
 * Marks the 4 KiB pages that [start, last] touches as written, where there is RAM, and plugged. For
 * listeners. Before logging was first started it does nothing.
 */
void vfio_memory_set_dirty(struct vfio_memory *memory, uint64_t start, uint64_t last);

/** Whether the 4 KiB page of @addr was written since it was last asked; clears it when @clear. */
bool vfio_memory_test_dirty(struct vfio_memory *memory, uint64_t addr, bool clear);

/** Number of dirty 4 KiB pages. */
uint64_t vfio_memory_dirty_pages(const struct vfio_memory *memory);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
