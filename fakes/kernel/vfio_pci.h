/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfio-pci from inside: a PCI function, what the driver keeps about it, and how a device model
 * hooks in.
 *
 *   pci_hw.c            the function itself: registers, which of their bits stick, power state,
 * reset vfio_pci_caps.c     the capability lists as the user sees them vfio_pci_config.c   the
 * user's reads and writes of configuration space vfio_pci_intrs.c    interrupts vfio_pci_rdwr.c
 * BARs, ROM, mmap, ioeventfds vfio_pci_reset.c    power, reset, hot reset vfio_pci_feature.c
 * VFIO_DEVICE_FEATURE vfio_pci_dmabuf.c   BARs as dma-bufs vfio_pci.c          probe, open, close
 * and the INFO ioctls
 */
#ifndef FAKES_VFIO_PCI_H
#define FAKES_VFIO_PCI_H

#include <linux/pci_regs.h>
#include <uapi/vfio.h>

#include "vfio.h"

struct vfio_pci;

/*
 * What is behind the registers of a device. Every call may be NULL. A model without read and write
 * is plain memory in its memory BARs; its I/O ports read as zero. Widths are 1, 2, 4 or 8 bytes and
 * naturally aligned but for an ioeventfd's; values are what a little-endian driver sees. A BAR that
 * the user maps is memory behind the model's back: mappable() says no where accesses have effects.
 */
struct vfio_pci_model {
	const char *name;
	/* The machine starts: sets pci->model_data. 0 or -errno. */
	int (*probe)(struct vfio_pci *pci);
	void (*free)(struct vfio_pci *pci);
	uint64_t (*read)(struct vfio_pci *pci, int bar, uint64_t offset, uint32_t width_bytes);
	void (*write)(struct vfio_pci *pci, int bar, uint64_t offset, uint64_t value,
		      uint32_t width_bytes);
	/* A function reset, a bus reset, or the soft reset on the way out of D3hot. */
	void (*reset)(struct vfio_pci *pci);
	bool (*mappable)(const struct vfio_pci *pci, int bar);
	/* Around the time that a user has the device: after its reset, and before all else ends. */
	void (*open)(struct vfio_pci *pci);
	void (*close)(struct vfio_pci *pci);
	/* A tick passed; whether there was something to do. */
	bool (*tick)(struct vfio_pci *pci);
	void (*faults)(const struct vfio_pci *pci, struct vfake_device_faults *faults);
	/* VFIO_DEVICE_FEATURE for migration and DMA logging; NULL is -ENOTTY. */
	long (*feature)(struct vfio_pci *pci, struct vfake_call *call, uint32_t flags,
			uint64_t data, uint64_t data_len);
};

/* The model of a device; never NULL. */
const struct vfio_pci_model *vfio_pci_model(enum vfake_model model);

/*
 * What a model may do. An interrupt: INTx asserts the line (level, see vfio_pci_set_intx), MSI and
 * MSI-X send the message of a vector, ERR and REQ tell the user of a fatal error and of the wish to
 * have the device back.
 */
void vfio_pci_trigger(struct vfio_device *device, uint32_t irq_index, uint32_t vector);
void vfio_pci_set_intx(struct vfio_device *device, bool asserted);
/* DMA, as far as the device is bus master: 0 or -EFAULT. */
int vfio_pci_dma(struct vfio_pci *pci, uint64_t iova, void *bytes, uint64_t len, bool write);

/* ---- the function ---- */

enum { PCI_HW_POWER_D0, PCI_HW_POWER_D1, PCI_HW_POWER_D2, PCI_HW_POWER_D3HOT };

struct pci_hw {
	const struct vfake_device_desc *desc;
	uint8_t *config;   /* config_size_bytes */
	uint8_t *writable; /* bits that software can change */
	uint8_t pm_cap;	   /* places of capabilities, 0 for none */
	uint8_t msi_cap;
	uint8_t msix_cap;
	uint8_t exp_cap;
	uint16_t aer_cap;
	int power;			    /* PCI_HW_POWER_* */
	struct vfake_mem *bars[VFAKE_BARS]; /* memory BARs */
	struct vfake_mem *rom;		    /* the image, shorter than the BAR */
};

/* What Linux saves of a function before a reset, and restores after it. */
struct pci_saved {
	bool valid;
	uint8_t header[PCI_STD_HEADER_SIZEOF];
	uint16_t exp[32]; /* control registers, by offset / 2 */
	uint32_t aer[8];  /* masks and control, by offset / 4 */
};

int pci_hw_init(struct pci_hw *hw, struct vfake_kernel *kernel,
		const struct vfake_device_desc *desc);
void pci_hw_free(struct pci_hw *hw, struct vfake_kernel *kernel);
/* Register values are little-endian in @config, whatever the host is. */
uint16_t pci_hw_get16(const struct pci_hw *hw, uint32_t at);
uint32_t pci_hw_get32(const struct pci_hw *hw, uint32_t at);
void pci_hw_set16(struct pci_hw *hw, uint32_t at, uint16_t value); /* bypasses `writable` */
/* A configuration write as the function takes it: bits that cannot be written keep their value. */
void pci_hw_write(struct pci_hw *hw, uint32_t at, const uint8_t *bytes, uint32_t len);
void pci_hw_save(const struct pci_hw *hw, struct pci_saved *saved);
void pci_hw_restore(struct pci_hw *hw, const struct pci_saved *saved);
/* pci_set_power_state(): 0 or -errno for a state that the function does not have or cannot get to.
 */
int pci_hw_set_power(struct pci_hw *hw, int state);
uint32_t pci_hw_msi_vectors(const struct pci_hw *hw);
uint32_t pci_hw_msix_vectors(const struct pci_hw *hw);
bool pci_hw_decodes(const struct pci_hw *hw, bool io);
static inline bool pci_hw_is_express(const struct pci_hw *hw)
{
	return hw->exp_cap;
}

/* ---- the driver ---- */

enum { PCI_MAP_SIZE = VFAKE_CONFIG_SIZE, VFIO_PCI_IOEVENTFD_MAX = 1000 };

/* Capability ids in the map beside the real ones. */
enum { PCI_MAP_BASIC = 0, PCI_MAP_NONE = 0xff };

/* An eventfd that does something in the kernel when it is signalled (struct virqfd of Linux). */
struct virqfd {
	struct vfake_eventfd_watch watch;
	struct vfio_pci *pci;
	struct virqfd **slot;		       /* points to us while we are active */
	int (*handler)(struct virqfd *virqfd); /* > 0: thread() has to run */
	void (*thread)(struct virqfd *virqfd);
	void *data;
};

int virqfd_enable(struct vfake_task *task, const struct virqfd *as, struct virqfd **slot, int fd);
void virqfd_disable(struct virqfd **slot);

/* One interrupt that is set up. */
struct vfio_pci_irq_ctx {
	bool used;
	bool masked;
	struct vfake_eventfd *trigger;
	struct virqfd *unmask;
};

struct vfio_pci_ioeventfd {
	LIST_ENTRY(vfio_pci_ioeventfd) entry;
	struct vfio_pci *pci;
	struct virqfd *virqfd;
	uint64_t pos;
	uint64_t data;
	int bar;
	uint32_t width_bytes;
};

struct vfio_pci {
	struct vfio_device *device;
	struct vfake_kernel *kernel;
	struct pci_hw hw;
	const struct vfio_pci_model *model;
	void *model_data;
	bool reset_works;
	bool needs_reset;
	bool bar_mappable[VFAKE_BARS];
	/* configuration space as the user sees it, while open */
	uint8_t *vconfig;
	uint8_t *map; /* capability id of each byte */
	bool bar_dirty;
	bool extended_caps;
	uint8_t msi_qmax;
	/* interrupts */
	uint32_t irq_type; /* VFIO_PCI_*_IRQ_INDEX; VFIO_PCI_NUM_IRQS is none */
	struct vfio_pci_irq_ctx *ctx;
	uint32_t ctx_count;
	uint32_t vectors; /* allocated: MSI; MSI-X where it cannot grow */
	bool intx_asserted;
	bool virq_disabled; /* the user's DisINTx */
	struct vfake_eventfd *err_trigger;
	struct vfake_eventfd *req_trigger;
	/* the MSI-X table: its bytes are not for read() and write() */
	int msix_bar; /* -1 for none */
	uint64_t msix_offset;
	uint64_t msix_size_bytes;
	LIST_HEAD(, vfio_pci_ioeventfd) ioeventfds;
	uint32_t ioeventfd_count;
	LIST_HEAD(, vfio_pci_dmabuf) dmabufs;
	/* power and reset */
	struct pci_saved saved;	   /* at open, for close */
	struct pci_saved pm_saved; /* on the way into D3hot */
	bool low_power;
	struct vfake_eventfd *wake;
};

static inline struct vfio_pci *vfio_pci_of(const struct vfio_device *device)
{
	return device->driver_data;
}

static inline struct vfio_pci *vfio_pci_call(const struct vfake_call *call)
{
	return vfio_pci_of(vfio_call_device(call));
}

/* Region offsets in the device's file. */
enum { VFIO_PCI_OFFSET_SHIFT = 40 };
#define VFIO_PCI_OFFSET_MASK (((uint64_t)1 << VFIO_PCI_OFFSET_SHIFT) - 1)

/* vfio_pci.c */
uint32_t vfio_pci_irq_count(const struct vfio_pci *pci, uint32_t irq_index);
/* The device comes out of run-time suspend, as each call on it makes it do. */
void vfio_pci_wake(struct vfio_device *device);

/* vfio_pci_caps.c */
int vfio_pci_config_init(struct vfio_pci *pci);
void vfio_pci_config_free(struct vfio_pci *pci);

/* vfio_pci_config.c: bytes done or -errno. */
long vfio_pci_config_rw(struct vfio_pci *pci, struct vfake_task *task, uint64_t buf, uint64_t len,
			uint64_t pos, bool write);

/* vfio_pci_rdwr.c */
long vfio_pci_read(struct vfio_device *device, struct vfake_task *task, uint64_t buf, uint64_t len,
		   uint64_t offset);
long vfio_pci_write(struct vfio_device *device, struct vfake_task *task, uint64_t buf, uint64_t len,
		    uint64_t offset);
int vfio_pci_mmap(struct vfio_device *device, struct vfake_task *task, uint64_t len, int prot,
		  uint64_t offset, uint64_t *addr);
bool vfio_pci_memory_enabled(const struct vfio_pci *pci);
void vfio_pci_end_ioeventfds(struct vfio_pci *pci);

/* vfio_pci_intrs.c */
void vfio_pci_intx_mask(struct vfio_pci *pci);
void vfio_pci_intx_unmask(struct vfio_pci *pci);
void vfio_pci_end_irqs(struct vfio_pci *pci);

/* vfio_pci_reset.c */
int vfio_pci_set_power(struct vfio_pci *pci, int state);
void vfio_pci_try_reset_function(struct vfio_pci *pci);
void vfio_pci_hw_reset(struct vfio_pci *pci);
void vfio_pci_set_try_reset(struct vfio_pci *pci);
void vfio_pci_leave_low_power(struct vfio_pci *pci);

/* vfio_pci_feature.c */
long vfio_pci_feature(struct vfio_device *device, struct vfake_call *call, uint32_t flags,
		      uint64_t data, uint64_t data_len);

/* vfio_pci_dmabuf.c: BARs as dma-bufs; revoked while the BARs cannot be reached, and for good when
 * the device closes. */
long vfio_pci_feature_dmabuf(struct vfio_pci *pci, struct vfake_call *call, uint32_t flags,
			     uint64_t data, uint64_t data_len);
void vfio_pci_revoke_dmabufs(struct vfio_pci *pci, bool revoked);
void vfio_pci_end_dmabufs(struct vfio_pci *pci);

#endif
