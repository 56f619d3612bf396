/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI function: its registers, and what Linux's PCI core does with them.
 *
 * Imitates the hardware that QEMU gives to its devices (which configuration bits stick, how
 * registers power up), and of drivers/pci of Linux 7.2 what vfio-pci relies on: pci_save_state()
 * and pci_restore_state(), pci_set_power_state(), the search for capabilities.
 *
 * Kept: bytes that belong to no capability are plain memory; a control bit can be set only where
 * the capability says that the function has what it controls; D1 and D2 exist only where the power
 * management capability says so; from a low-power state the way leads to D0 or further down; the
 * way to D0 clears the power control register.
 *
 * Dropped: error status bits, which nothing here sets and which are therefore not write-1-to-clear;
 * the addresses of BARs, which only the kernel could move and does not.
 */
#include <string.h>

#include "vfio_pci.h"

/* Where VFIO's masks and Linux's of newer capabilities differ from older linux/pci_regs.h, numbers
 * stand here. */
enum {
	AER_UNCOR_MASK = 8,
	AER_UNCOR_SEVER = 12,
	AER_COR_MASK = 20,
	AER_CAP = 24,
};

static const uint32_t aer_uncorrectable = 0x03fff030;
static const uint32_t aer_correctable = 0x0000f1c1;

uint16_t pci_hw_get16(const struct pci_hw *hw, uint32_t at)
{
	return (uint16_t)(hw->config[at] | hw->config[at + 1] << 8);
}

uint32_t pci_hw_get32(const struct pci_hw *hw, uint32_t at)
{
	return pci_hw_get16(hw, at) | (uint32_t)pci_hw_get16(hw, at + 2) << 16;
}

void pci_hw_set16(struct pci_hw *hw, uint32_t at, uint16_t value)
{
	hw->config[at] = (uint8_t)value;
	hw->config[at + 1] = (uint8_t)(value >> 8);
}

void pci_hw_write(struct pci_hw *hw, uint32_t at, const uint8_t *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		uint8_t *to = &hw->config[at + i];
		uint8_t mask = hw->writable[at + i];

		*to = (uint8_t)((*to & ~mask) | (bytes[i] & mask));
	}
}

/* ---- which bits stick ---- */

static void writable16(struct pci_hw *hw, uint32_t at, uint32_t bits)
{
	hw->writable[at] = (uint8_t)bits;
	hw->writable[at + 1] = (uint8_t)(bits >> 8);
}

static void writable32(struct pci_hw *hw, uint32_t at, uint32_t bits)
{
	writable16(hw, at, bits & 0xffff);
	writable16(hw, at + 2, bits >> 16);
}

/* The bytes of a capability are not plain memory. */
static void claim(struct pci_hw *hw, uint32_t at, uint32_t len)
{
	if (len > hw->desc->config_size_bytes - at)
		len = hw->desc->config_size_bytes - at;
	memset(hw->writable + at, 0, len);
}

static void claim_msi(struct pci_hw *hw, uint32_t at)
{
	uint16_t flags = pci_hw_get16(hw, at + PCI_MSI_FLAGS);
	uint32_t data = flags & PCI_MSI_FLAGS_64BIT ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32;
	uint32_t vectors = 1U << ((flags & PCI_MSI_FLAGS_QMASK) >> 1);

	claim(hw, at, data + 2U + (flags & PCI_MSI_FLAGS_MASKBIT ? 10U : 0U));
	writable16(hw, at + PCI_MSI_FLAGS, PCI_MSI_FLAGS_QSIZE | PCI_MSI_FLAGS_ENABLE);
	writable32(hw, at + PCI_MSI_ADDRESS_LO, ~3U);
	if (flags & PCI_MSI_FLAGS_64BIT)
		writable32(hw, at + PCI_MSI_ADDRESS_HI, ~0U);
	writable16(hw, at + data, 0xffff);
	/* A device may claim 64 or 128 vectors, which do not exist; there are 32 mask bits. */
	if (flags & PCI_MSI_FLAGS_MASKBIT)
		writable32(hw, at + data + 4, vectors < 32 ? (1U << vectors) - 1 : ~0U);
}

static void claim_exp(struct pci_hw *hw, uint32_t at)
{
	uint16_t flags = pci_hw_get16(hw, at + PCI_EXP_FLAGS);
	bool v1 = (flags & PCI_EXP_FLAGS_VERS) < 2;

	claim(hw, at, v1 ? 20 : 60);
	writable16(hw, at + PCI_EXP_DEVCTL, hw->desc->express_control);
}

static void claim_capability(struct pci_hw *hw, uint8_t id, uint8_t at)
{
	switch (id) {
	case PCI_CAP_ID_PM:
		hw->pm_cap = at;
		claim(hw, at, PCI_PM_SIZEOF);
		writable16(hw, at + PCI_PM_CTRL,
			   PCI_PM_CTRL_STATE_MASK | PCI_PM_CTRL_PME_ENABLE |
				   PCI_PM_CTRL_DATA_SEL_MASK);
		break;
	case PCI_CAP_ID_MSI:
		hw->msi_cap = at;
		claim_msi(hw, at);
		break;
	case PCI_CAP_ID_MSIX:
		hw->msix_cap = at;
		claim(hw, at, PCI_CAP_MSIX_SIZEOF);
		writable16(hw, at + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
		break;
	case PCI_CAP_ID_EXP:
		hw->exp_cap = at;
		claim_exp(hw, at);
		break;
	case PCI_CAP_ID_AF:
		claim(hw, at, PCI_CAP_AF_SIZEOF);
		break;
	default: /* of unknown length: what follows the header stays memory, as a vendor's registers
		    may be */
		claim(hw, at, 2);
		break;
	}
}

static void find_capabilities(struct pci_hw *hw)
{
	uint8_t at = hw->config[PCI_CAPABILITY_LIST] & 0xfc;

	if (!(pci_hw_get16(hw, PCI_STATUS) & PCI_STATUS_CAP_LIST))
		return;
	for (int ttl = 48; ttl && at >= PCI_STD_HEADER_SIZEOF; ttl--) {
		claim_capability(hw, hw->config[at], at);
		at = hw->config[at + PCI_CAP_LIST_NEXT] & 0xfc;
	}
}

static void claim_aer(struct pci_hw *hw, uint32_t at)
{
	uint32_t cap = pci_hw_get32(hw, at + AER_CAP);

	claim(hw, at, 0x48);
	writable32(hw, at + AER_UNCOR_MASK, aer_uncorrectable);
	writable32(hw, at + AER_UNCOR_SEVER, aer_uncorrectable);
	writable32(hw, at + AER_COR_MASK, aer_correctable);
	/* Generation and check of ECRC: the enable bit follows the capability bit. */
	writable32(hw, at + AER_CAP, (cap & (PCI_ERR_CAP_ECRC_GENC | PCI_ERR_CAP_ECRC_CHKC)) << 1);
}

static void find_extended_capabilities(struct pci_hw *hw)
{
	uint32_t at = PCI_CFG_SPACE_SIZE;

	if (hw->desc->config_size_bytes <= PCI_CFG_SPACE_SIZE || !pci_hw_get32(hw, at))
		return;
	for (int ttl = 480; ttl && at >= PCI_CFG_SPACE_SIZE; ttl--) {
		uint32_t header = pci_hw_get32(hw, at);

		if (PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_ERR &&
		    at + 0x48 <= PCI_CFG_SPACE_EXP_SIZE) {
			hw->aer_cap = (uint16_t)at;
			claim_aer(hw, at);
		} else if (PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_DSN) {
			claim(hw, at, PCI_EXT_CAP_DSN_SIZEOF);
		} else {
			claim(hw, at, 4);
		}
		at = PCI_EXT_CAP_NEXT(header);
	}
}

static void init_writable(struct pci_hw *hw)
{
	uint32_t size = hw->desc->config_size_bytes;

	memset(hw->writable, 0, PCI_STD_HEADER_SIZEOF);
	memset(hw->writable + PCI_STD_HEADER_SIZEOF, 0xff, size - PCI_STD_HEADER_SIZEOF);
	writable16(hw, PCI_COMMAND,
		   PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_SERR |
			   PCI_COMMAND_INTX_DISABLE);
	hw->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	hw->writable[PCI_INTERRUPT_LINE] = 0xff;
	find_capabilities(hw);
	find_extended_capabilities(hw);
}

/* ---- life ---- */

/* The shortest image that the PCI core takes for an expansion ROM: one block, its signature and its
 * data structure. */
static struct vfake_mem *new_rom(struct pci_hw *hw, struct vfake_kernel *kernel)
{
	struct vfake_mem *rom = vfake_mem_new(kernel, 512);
	unsigned char *bytes = rom ? vfake_mem_bytes(rom, 0) : NULL;

	if (!bytes) {
		vfake_mem_put(rom);
		return NULL;
	}
	memcpy(bytes, "\x55\xaa\x01", 3);
	bytes[0x18] = 0x1c; /* where the data structure is */
	memcpy(bytes + 0x1c, "PCIR", 4);
	memcpy(bytes + 0x20, hw->config, 4); /* vendor and device */
	bytes[0x26] = 0x18;		     /* its length */
	memcpy(bytes + 0x29, hw->config + PCI_CLASS_PROG, 3);
	bytes[0x2c] = 1;    /* blocks */
	bytes[0x30] = 0xff; /* no code for any machine */
	bytes[0x31] = 0x80; /* the last image */
	return rom;
}

static int new_bars(struct pci_hw *hw, struct vfake_kernel *kernel)
{
	uint64_t page_mask = vfake_page_size(kernel) - 1;

	for (int i = 0; i < VFAKE_BARS; i++) {
		const struct vfake_bar *bar = &hw->desc->bars[i];

		if (!bar->size_bytes || bar->io)
			continue;
		hw->bars[i] = vfake_mem_new(kernel, (bar->size_bytes + page_mask) & ~page_mask);
		if (!hw->bars[i])
			return -ENOMEM;
	}
	return 0;
}

int pci_hw_init(struct pci_hw *hw, struct vfake_kernel *kernel,
		const struct vfake_device_desc *desc)
{
	uint32_t size = desc->config_size_bytes;

	hw->desc = desc;
	/* Behind the end there is room for a capability that a careless world puts there. */
	hw->config = vfake_alloc(kernel, size + 64);
	hw->writable = vfake_alloc(kernel, size + 64);
	if (!hw->config || !hw->writable || new_bars(hw, kernel))
		goto no_memory;
	memcpy(hw->config, desc->config, size);
	init_writable(hw);
	if (desc->rom_size_bytes) {
		hw->rom = new_rom(hw, kernel);
		if (!hw->rom)
			goto no_memory;
	}
	return 0;

no_memory:
	pci_hw_free(hw, kernel);
	return -ENOMEM;
}

void pci_hw_free(struct pci_hw *hw, struct vfake_kernel *kernel)
{
	for (int i = 0; i < VFAKE_BARS; i++)
		vfake_mem_put(hw->bars[i]);
	vfake_mem_put(hw->rom);
	vfake_free(kernel, hw->config);
	vfake_free(kernel, hw->writable);
}

/* ---- facts ---- */

uint32_t pci_hw_msi_vectors(const struct pci_hw *hw)
{
	if (!hw->msi_cap)
		return 0;
	return 1U << ((pci_hw_get16(hw, hw->msi_cap + PCI_MSI_FLAGS) & PCI_MSI_FLAGS_QMASK) >> 1);
}

uint32_t pci_hw_msix_vectors(const struct pci_hw *hw)
{
	if (!hw->msix_cap)
		return 0;
	return (pci_hw_get16(hw, hw->msix_cap + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1U;
}

bool pci_hw_decodes(const struct pci_hw *hw, bool io)
{
	uint16_t command = pci_hw_get16(hw, PCI_COMMAND);

	return hw->power == PCI_HW_POWER_D0 &&
	       (command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY));
}

/* ---- state over a reset ---- */

static const uint8_t exp_saved_regs[] = { PCI_EXP_DEVCTL, PCI_EXP_LNKCTL, PCI_EXP_DEVCTL2,
					  PCI_EXP_LNKCTL2 };
static const uint8_t aer_saved_regs[] = { AER_UNCOR_MASK, AER_UNCOR_SEVER, AER_COR_MASK, AER_CAP };

/* How many of exp_saved_regs the capability has. */
static size_t exp_reg_count(const struct pci_hw *hw)
{
	return (pci_hw_get16(hw, hw->exp_cap + PCI_EXP_FLAGS) & PCI_EXP_FLAGS_VERS) < 2 ? 2 : 4;
}

void pci_hw_save(const struct pci_hw *hw, struct pci_saved *saved)
{
	saved->valid = true;
	memcpy(saved->header, hw->config, sizeof(saved->header));
	for (size_t i = 0; hw->exp_cap && i < exp_reg_count(hw); i++)
		saved->exp[i] = pci_hw_get16(hw, hw->exp_cap + exp_saved_regs[i]);
	for (size_t i = 0; hw->aer_cap && i < sizeof(aer_saved_regs); i++)
		saved->aer[i] = pci_hw_get32(hw, hw->aer_cap + aer_saved_regs[i]);
}

void pci_hw_restore(struct pci_hw *hw, const struct pci_saved *saved)
{
	if (!saved->valid)
		return;
	pci_hw_write(hw, 0, saved->header, sizeof(saved->header));
	for (size_t i = 0; hw->exp_cap && i < exp_reg_count(hw); i++) {
		uint8_t bytes[2] = { (uint8_t)saved->exp[i], (uint8_t)(saved->exp[i] >> 8) };

		pci_hw_write(hw, hw->exp_cap + exp_saved_regs[i], bytes, sizeof(bytes));
	}
	for (size_t i = 0; hw->aer_cap && i < sizeof(aer_saved_regs); i++) {
		uint32_t value = saved->aer[i];
		uint8_t bytes[4] = { (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
				     (uint8_t)(value >> 24) };

		pci_hw_write(hw, hw->aer_cap + aer_saved_regs[i], bytes, sizeof(bytes));
	}
}

/* ---- power ---- */

int pci_hw_set_power(struct pci_hw *hw, int state)
{
	uint16_t pmc, control;

	if (state == hw->power)
		return 0;
	if (!hw->pm_cap)
		return state == PCI_HW_POWER_D0 ? 0 : -EIO;
	pmc = pci_hw_get16(hw, hw->pm_cap + PCI_PM_PMC);
	control = pci_hw_get16(hw, hw->pm_cap + PCI_PM_CTRL);
	if (state == PCI_HW_POWER_D0) {
		pci_hw_set16(hw, hw->pm_cap + PCI_PM_CTRL, 0);
		hw->power = state;
		return 0;
	}
	if (hw->power > state)
		return -EINVAL;
	if ((state == PCI_HW_POWER_D1 && !(pmc & PCI_PM_CAP_D1)) ||
	    (state == PCI_HW_POWER_D2 && !(pmc & PCI_PM_CAP_D2)))
		return -EIO;
	control = (uint16_t)((control & ~PCI_PM_CTRL_STATE_MASK) | state);
	pci_hw_set16(hw, hw->pm_cap + PCI_PM_CTRL, control);
	hw->power = state;
	return 0;
}
