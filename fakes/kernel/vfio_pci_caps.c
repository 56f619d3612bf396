/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The capability lists of a device as its user sees them.
 *
 * Imitates the set-up half of drivers/vfio/pci/vfio_pci_config.c, Linux 7.2: vfio_config_init(),
 * vfio_cap_init(), vfio_ecap_init() and the lengths of all capabilities.
 *
 * Kept: a map says for each byte which capability it belongs to, which decides how it is read and
 * written; capabilities that VFIO does not know or does not want to show are skipped by changing
 * the virtual next pointer before them; the first extended capability cannot be skipped, so it
 * stays as an empty header; PME bits read as zero; a list without any capability disappears from
 * the status register.
 *
 * Dropped: SR-IOV functions; devices whose INTx is known to be broken; what a list does that leaves
 * configuration space, which Linux follows and we cut.
 */
#include <string.h>

#include "vfio_pci.h"

enum {
	LENGTH_VARIES = 0xff,
	CAP_ID_MAX = 0x14,
	EXT_CAP_ID_MAX = 0x31,
	EXT_CAP_ID_DVSEC = 0x23,
};

/* Bytes of a capability; 0 hides it. */
static const uint8_t cap_length[CAP_ID_MAX + 1] = {
	[PCI_CAP_ID_PM] = PCI_PM_SIZEOF,	 [PCI_CAP_ID_AGP] = PCI_AGP_SIZEOF,
	[PCI_CAP_ID_VPD] = PCI_CAP_VPD_SIZEOF,	 [PCI_CAP_ID_MSI] = LENGTH_VARIES,
	[PCI_CAP_ID_PCIX] = LENGTH_VARIES,	 [PCI_CAP_ID_HT] = LENGTH_VARIES,
	[PCI_CAP_ID_VNDR] = LENGTH_VARIES,	 [PCI_CAP_ID_EXP] = LENGTH_VARIES,
	[PCI_CAP_ID_MSIX] = PCI_CAP_MSIX_SIZEOF, [PCI_CAP_ID_SATA] = LENGTH_VARIES,
	[PCI_CAP_ID_AF] = PCI_CAP_AF_SIZEOF,
};

static const uint8_t ext_cap_length[EXT_CAP_ID_MAX + 1] = {
	[PCI_EXT_CAP_ID_ERR] = PCI_ERR_ROOT_COMMAND,
	[PCI_EXT_CAP_ID_VC] = LENGTH_VARIES,
	[PCI_EXT_CAP_ID_DSN] = PCI_EXT_CAP_DSN_SIZEOF,
	[PCI_EXT_CAP_ID_PWR] = PCI_EXT_CAP_PWR_SIZEOF,
	[PCI_EXT_CAP_ID_MFVC] = LENGTH_VARIES,
	[PCI_EXT_CAP_ID_VC9] = LENGTH_VARIES,
	[PCI_EXT_CAP_ID_VNDR] = LENGTH_VARIES,
	[PCI_EXT_CAP_ID_ACS] = LENGTH_VARIES,
	[PCI_EXT_CAP_ID_ARI] = PCI_EXT_CAP_ARI_SIZEOF,
	[PCI_EXT_CAP_ID_ATS] = PCI_EXT_CAP_ATS_SIZEOF,
	[PCI_EXT_CAP_ID_SRIOV] = PCI_EXT_CAP_SRIOV_SIZEOF,
	[PCI_EXT_CAP_ID_MCAST] = PCI_EXT_CAP_MCAST_ENDPOINT_SIZEOF,
	[PCI_EXT_CAP_ID_PRI] = PCI_EXT_CAP_PRI_SIZEOF,
	[PCI_EXT_CAP_ID_REBAR] = LENGTH_VARIES,
	[PCI_EXT_CAP_ID_DPA] = LENGTH_VARIES,
	[PCI_EXT_CAP_ID_TPH] = LENGTH_VARIES,
	[PCI_EXT_CAP_ID_LTR] = PCI_EXT_CAP_LTR_SIZEOF,
	[EXT_CAP_ID_DVSEC] = LENGTH_VARIES,
};

/* ---- lengths ---- */

/* Both kinds of capability say by it whether extended configuration space holds anything. */
static void find_extended(struct vfio_pci *pci)
{
	if (pci->hw.desc->config_size_bytes > PCI_CFG_SPACE_SIZE)
		pci->extended_caps = pci_hw_get32(&pci->hw, PCI_CFG_SPACE_SIZE) != 0;
}

static uint32_t msi_length(const struct pci_hw *hw, uint32_t at)
{
	uint16_t flags = pci_hw_get16(hw, at + PCI_MSI_FLAGS);

	return 10U + (flags & PCI_MSI_FLAGS_64BIT ? 4U : 0U) +
	       (flags & PCI_MSI_FLAGS_MASKBIT ? 10U : 0U);
}

static uint32_t exp_length(const struct pci_hw *hw, uint32_t at)
{
	uint16_t flags = pci_hw_get16(hw, at + PCI_EXP_FLAGS);
	bool no_link = (flags & PCI_EXP_FLAGS_TYPE) >> 4 == PCI_EXP_TYPE_RC_END;

	if ((flags & PCI_EXP_FLAGS_VERS) == 1)
		return no_link ? 0x0c : 0x14;
	return no_link ? 0x2c : 0x34;
}

static uint32_t variable_length(struct vfio_pci *pci, uint8_t id, uint32_t at)
{
	const struct pci_hw *hw = &pci->hw;

	switch (id) {
	case PCI_CAP_ID_MSI:
		return msi_length(hw, at);
	case PCI_CAP_ID_PCIX:
		if (!PCI_X_CMD_VERSION(pci_hw_get16(hw, at + PCI_X_CMD)))
			return PCI_CAP_PCIX_SIZEOF_V0;
		find_extended(pci);
		return PCI_CAP_PCIX_SIZEOF_V2;
	case PCI_CAP_ID_VNDR:
		return hw->config[at + PCI_CAP_FLAGS];
	case PCI_CAP_ID_EXP:
		find_extended(pci);
		return exp_length(hw, at);
	case PCI_CAP_ID_HT:
		return hw->config[at + 3] & HT_3BIT_CAP_MASK ? HT_CAP_SIZEOF_SHORT
							     : HT_CAP_SIZEOF_LONG;
	default: /* SATA */
		return (hw->config[at + PCI_SATA_REGS] & PCI_SATA_REGS_MASK) == PCI_SATA_REGS_INLINE
			       ? PCI_SATA_SIZEOF_LONG
			       : PCI_SATA_SIZEOF_SHORT;
	}
}

/* Virtual channels: registers for each, and an arbitration table of 4 bits a phase. */
static uint32_t vc_length(const struct pci_hw *hw, uint32_t at)
{
	uint32_t channels = 1 + (pci_hw_get32(hw, at + 4) & 7);
	uint32_t cap2 = pci_hw_get32(hw, at + 8);
	uint32_t phases = cap2 & 8 ? 128 : cap2 & 4 ? 64 : cap2 & 2 ? 32 : 0;
	uint32_t len = 0x10 + channels * 0x0c;

	return phases ? ((len + 15) & ~15U) + phases / 2 : len;
}

static uint32_t acs_length(const struct pci_hw *hw, uint32_t at)
{
	uint32_t bits = hw->config[at + 5];

	if (!(hw->config[at + 4] & PCI_ACS_EC))
		return 8;
	bits = bits ? (bits + 31) & ~31U : 256;
	return 8 + bits / 8;
}

static uint32_t tph_length(const struct pci_hw *hw, uint32_t at)
{
	uint32_t cap = pci_hw_get32(hw, at + PCI_TPH_CAP);

	if ((cap & PCI_TPH_CAP_LOC_MASK) != PCI_TPH_LOC_CAP)
		return PCI_TPH_BASE_SIZEOF;
	return PCI_TPH_BASE_SIZEOF + ((cap & PCI_TPH_CAP_ST_MASK) >> PCI_TPH_CAP_ST_SHIFT) * 2 + 2;
}

static uint32_t variable_ext_length(const struct pci_hw *hw, uint32_t id, uint32_t at)
{
	switch (id) {
	case PCI_EXT_CAP_ID_VNDR:
	case EXT_CAP_ID_DVSEC:
		return pci_hw_get32(hw, at + 4) >> 20;
	case PCI_EXT_CAP_ID_ACS:
		return acs_length(hw, at);
	case PCI_EXT_CAP_ID_REBAR:
		return 4U + ((hw->config[at + PCI_REBAR_CTRL] & 0xe0U) >> 5) * 8;
	case PCI_EXT_CAP_ID_DPA:
		return PCI_DPA_BASE_SIZEOF + (hw->config[at + PCI_DPA_CAP] & 0x1fU) + 1;
	case PCI_EXT_CAP_ID_TPH:
		return tph_length(hw, at);
	default: /* VC, VC9, MFVC */
		return vc_length(hw, at);
	}
}

/* ---- the lists ---- */

static void add_to_map(struct vfio_pci *pci, uint32_t at, uint32_t len, uint8_t id)
{
	uint32_t size = pci->hw.desc->config_size_bytes;

	if (len > size - at)
		len = size - at;
	memset(pci->map + at, id, len);
	memcpy(pci->vconfig + at, pci->hw.config + at, len);
}

static void init_caps(struct vfio_pci *pci)
{
	const struct pci_hw *hw = &pci->hw;
	uint8_t *previous = &pci->vconfig[PCI_CAPABILITY_LIST];
	int loops = (PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / PCI_CAP_SIZEOF;
	uint8_t at = hw->config[PCI_CAPABILITY_LIST];
	bool any = false;

	if (!(pci_hw_get16(hw, PCI_STATUS) & PCI_STATUS_CAP_LIST))
		return;
	for (; at && loops; loops--) {
		uint8_t id = hw->config[at];
		uint8_t next = hw->config[at + PCI_CAP_LIST_NEXT];
		uint32_t len = id <= CAP_ID_MAX ? cap_length[id] : 0;

		if (len == LENGTH_VARIES)
			len = variable_length(pci, id, at);
		if (len > PCI_CFG_SPACE_SIZE - (uint32_t)at)
			len = PCI_CFG_SPACE_SIZE - (uint32_t)at;
		if (!len) {
			*previous = next;
			at = next;
			continue;
		}
		add_to_map(pci, at, len, id);
		if (id == PCI_CAP_ID_PM && len == PCI_PM_SIZEOF) {
			pci->vconfig[at + PCI_PM_PMC + 1] &= (uint8_t) ~(PCI_PM_CAP_PME_MASK >> 8);
			pci->vconfig[at + PCI_PM_CTRL + 1] &=
				(uint8_t) ~((PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS) >> 8);
		}
		previous = &pci->vconfig[at + PCI_CAP_LIST_NEXT];
		at = next;
		any = true;
	}
	if (!any)
		pci->vconfig[PCI_STATUS] &= (uint8_t)~PCI_STATUS_CAP_LIST;
}

/* The next pointer is the upper 12 bits of a header, the lowest two always zero. */
static void set_ext_next(uint8_t *header, uint32_t next)
{
	header[2] = (uint8_t)((header[2] & 0x0f) | (next & 0x0c) << 4);
	header[3] = (uint8_t)(next >> 4);
}

static void init_ext_caps(struct vfio_pci *pci)
{
	const struct pci_hw *hw = &pci->hw;
	int loops = (int)(hw->desc->config_size_bytes - PCI_CFG_SPACE_SIZE) / PCI_CAP_SIZEOF;
	uint32_t at = PCI_CFG_SPACE_SIZE;
	uint8_t *previous = NULL;
	bool any = false;

	if (!pci->extended_caps)
		return;
	for (; loops && at >= PCI_CFG_SPACE_SIZE; loops--) {
		uint32_t header = pci_hw_get32(hw, at);
		uint32_t id = PCI_EXT_CAP_ID(header);
		uint32_t len = id <= EXT_CAP_ID_MAX ? ext_cap_length[id] : 0;
		bool hidden;

		if (len == LENGTH_VARIES)
			len = variable_ext_length(hw, id, at);
		hidden = !len;
		if (hidden && previous) {
			at = PCI_EXT_CAP_NEXT(header);
			set_ext_next(previous, at);
			continue;
		}
		add_to_map(pci, at, hidden ? PCI_CAP_SIZEOF : len, (uint8_t)id);
		previous = &pci->vconfig[at];
		if (hidden) {
			memset(previous, 0, 2);
			previous[2] &= 0xc0;
		} else {
			any = true;
		}
		at = PCI_EXT_CAP_NEXT(header);
	}
	if (!any)
		memset(&pci->vconfig[PCI_CFG_SPACE_SIZE], 0, 4);
}

static void find_msix_table(struct vfio_pci *pci)
{
	const struct pci_hw *hw = &pci->hw;
	uint32_t table;

	pci->msix_bar = -1;
	if (!hw->msix_cap)
		return;
	table = pci_hw_get32(hw, hw->msix_cap + PCI_MSIX_TABLE);
	pci->msix_bar = table & PCI_MSIX_TABLE_BIR;
	pci->msix_offset = table & PCI_MSIX_TABLE_OFFSET;
	pci->msix_size_bytes = (uint64_t)pci_hw_msix_vectors(hw) * PCI_MSIX_ENTRY_SIZE;
}

int vfio_pci_config_init(struct vfio_pci *pci)
{
	uint32_t size = pci->hw.desc->config_size_bytes;

	/* One more byte in the map ends the search for a capability's end. */
	pci->map = vfake_alloc(pci->kernel, size + 1);
	pci->vconfig = vfake_alloc(pci->kernel, size + 64);
	if (!pci->map || !pci->vconfig) {
		vfio_pci_config_free(pci);
		return -ENOMEM;
	}
	memset(pci->map, PCI_MAP_BASIC, PCI_STD_HEADER_SIZEOF);
	memset(pci->map + PCI_STD_HEADER_SIZEOF, PCI_MAP_NONE, size + 1 - PCI_STD_HEADER_SIZEOF);
	memcpy(pci->vconfig, pci->hw.config, PCI_STD_HEADER_SIZEOF);
	pci->bar_dirty = true;
	init_caps(pci);
	init_ext_caps(pci);
	find_msix_table(pci);
	return 0;
}

void vfio_pci_config_free(struct vfio_pci *pci)
{
	vfake_free(pci->kernel, pci->vconfig);
	vfake_free(pci->kernel, pci->map);
	pci->vconfig = NULL;
	pci->map = NULL;
}
