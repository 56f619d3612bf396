/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A world: the machine that a fake kernel runs on, as a plain value.
 *
 * A world says what a real machine's firmware, hardware and module parameters would say: page size,
 * what the IOMMU can do, which devices are there and in which IOMMU group each of them is. It holds
 * no state. vfake_kernel_new() copies what it needs, so a world may live on the stack and one world
 * may start any number of kernels.
 */
#ifndef VFAKE_WORLD_H
#define VFAKE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum {
	VFAKE_MAX_DEVICES = 32,
	VFAKE_MAX_RESERVED = 16,
	VFAKE_NAME_SIZE = 32, /**< bytes of a device name with its NUL */
	VFAKE_CONFIG_SIZE = 4096,
	VFAKE_BARS = 6,
};

/** Which IOMMU driver the machine has, and so which containers VFIO_SET_IOMMU can set. */
enum vfake_platform {
	VFAKE_PLATFORM_TYPE1,	/**< x86, arm64, s390: VFIO type1 and iommufd */
	VFAKE_PLATFORM_POWERNV, /**< POWER: sPAPR TCE v1 and v2 */
};

/** An inclusive range of I/O virtual addresses. */
struct vfake_range {
	uint64_t start;
	uint64_t last;
};

/** One BAR as the device implements it. Sizes are powers of two; 0 means that the BAR is not there.
 */
struct vfake_bar {
	uint64_t size_bytes;
	bool io;       /**< I/O ports instead of memory */
	bool is_64bit; /**< takes the next BAR's register as its upper half */
	bool prefetchable;
};

/** What happens behind the registers of a device. */
enum vfake_model {
	VFAKE_MODEL_NONE, /**< memory BARs are plain memory; I/O BARs read as zero and keep nothing
			   */
	VFAKE_MODEL_COPY, /**< a copy engine; vfake/models.h describes it and the next */
	VFAKE_MODEL_MIGRATE,	 /**< that can be migrated, all states, and that logs its DMA */
	VFAKE_MODEL_MIGRATE_P2P, /**< the same without pre-copy */
	VFAKE_MODEL_MIGRATE_PRE_COPY, /**< the same without the P2P states */
	VFAKE_MODEL_MIGRATE_STOP,     /**< the same without either */
	VFAKE_MODEL_ALARM,	      /**< an alarm clock with memory */
};

/** A PCI device, bound to vfio-pci. */
struct vfake_device_desc {
	char name[VFAKE_NAME_SIZE]; /**< what VFIO_GROUP_GET_DEVICE_FD takes; unique in the world */
	uint32_t group;		    /**< number of its IOMMU group, the N of /dev/vfio/N */
	uint32_t cdev;		    /**< the N of /dev/vfio/devices/vfioN; unique */
	uint32_t config_size_bytes; /**< 256 conventional, 4096 PCI Express */
	uint8_t config[VFAKE_CONFIG_SIZE]; /**< configuration space as the hardware has it at
					      power-on */
	struct vfake_bar bars[VFAKE_BARS];
	uint64_t rom_size_bytes; /**< 0 for none */
	uint16_t segment;	 /**< PCI address, for hot-reset information */
	uint8_t bus;
	uint8_t devfn;
	uint16_t express_control; /**< bits of PCI Express Device Control that stick */
	bool reset_works;	  /**< some function-level reset is there */
	bool bus_reset;		  /**< the slot or bus can be reset: VFIO_DEVICE_PCI_HOT_RESET */
	bool noiommu;		  /**< no IOMMU translates for it: /dev/vfio/noiommu-N */
	bool noncoherent;	  /**< its IOMMU cannot enforce cache coherency */
	uint32_t tce_family; /**< POWER: a container takes groups of one family of host bridges */
	enum vfake_model model;
};

/**
 * What the host bridges of a POWER machine translate. vfake_spapr_defaults() fills in the machine
 * that the recordings were made on; vfake_world_powernv() calls it.
 */
struct vfake_spapr {
	uint32_t window_start;	      /**< bus address of the 32-bit window */
	uint32_t window_size_bytes;   /**< of the 32-bit window; 0 for none */
	uint64_t second_window_start; /**< bus address of the second window */
	uint64_t pgsizes;	      /**< bit N set: a TCE can cover 2^N bytes */
	uint32_t windows;	      /**< windows a program can make, 0 (none: no v2) to 2 */
	uint32_t levels;	      /**< of a TCE table at most, 1 to 5 */
	uint64_t
		max_level_bytes; /**< of one level at most: what the page allocator gives at once */
	bool eeh;		 /**< the firmware handles PCI errors: VFIO_EEH */
};

/** The machine. */
struct vfake_world {
	enum vfake_platform platform;
	uint32_t page_size_bytes;    /**< of the CPU; a power of two, 4 KiB to 64 KiB */
	uint64_t ram_bytes;	     /**< what one mapping of memory can have at most */
	uint64_t iommu_pgsizes;	     /**< bit N set: the IOMMU has pages of 2^N bytes */
	struct vfake_range aperture; /**< IOVAs that the IOMMU translates */
	uint32_t reserved_count;
	struct vfake_range
		reserved[VFAKE_MAX_RESERVED]; /**< IOVAs of every group that no mapping may touch */
	uint32_t dma_entry_limit;  /**< type1's module parameter: mappings per container */
	bool unsafe_interrupts;	   /**< type1's allow_unsafe_interrupts */
	bool enforce_coherency;	   /**< the IOMMU can make DMA snoop caches; false on the recorded
				      machine */
	bool isolated_msi;	   /**< the platform isolates MSIs (interrupt remapping) */
	bool iommu_dirty_tracking; /**< the IOMMU reports dirty pages */
	bool noiommu_enabled;	   /**< vfio's enable_unsafe_noiommu_mode */
	bool compat_container;	   /**< /dev/vfio/vfio is iommufd's emulation */
	struct vfake_spapr spapr;  /**< with VFAKE_PLATFORM_POWERNV only */
	uint32_t device_count;
	struct vfake_device_desc devices[VFAKE_MAX_DEVICES];
};

/**
 * Makes the world of a plain x86 machine with no device: 4 KiB pages, 48-bit VT-d domains with
 * pages of 4 KiB, 2 MiB and 1 GiB, the MSI range 0xfee00000-0xfeefffff reserved, 3 GiB of RAM,
 * 65,535 DMA entries.
 *
 * @world: filled, owned by the caller
 */
void vfake_world_x86(struct vfake_world *world);

/**
 * Makes the world of a powernv machine with no device: 64 KiB pages, sPAPR TCE.
 *
 * @world: filled, owned by the caller
 */
void vfake_world_powernv(struct vfake_world *world);

/**
 * Fills in the host bridges of the recorded POWER machine: a window of 2 GiB at 0, a second one at
 * 2^59, TCEs of 4 KiB, 64 KiB, 2 MiB and 1 GiB, five levels of at most 16 MiB, EEH.
 *
 * @spapr: filled, owned by the caller
 */
void vfake_spapr_defaults(struct vfake_spapr *spapr);

/**
 * Adds one of the built-in device models under a name: "edu" (conventional PCI, 1 MiB BAR, INTx
 * and MSI), "e1000e" (PCI Express, five BARs, MSI-X, function-level reset) or "pci-serial"-like
 * "plain" (no interrupt, no capability); or one of those that do DMA, see vfake/models.h: "copy",
 * "migrate", "migrate-p2p", "migrate-pre-copy", "migrate-stop", "alarm". It gets an IOMMU group and
 * a cdev of its own.
 *
 * @world: changed
 * @name:  of the device, shorter than VFAKE_NAME_SIZE
 * @model: one of the names above
 *
 * Returns 0, -ENOENT for an unknown model, -EEXIST for a name that is taken, -ENOSPC when the world
 * is full, -ENAMETOOLONG.
 */
int vfake_world_add_device(struct vfake_world *world, const char *name, const char *model);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
