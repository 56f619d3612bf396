/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A user's reads and writes of configuration space.
 *
 * Imitates the access half of drivers/vfio/pci/vfio_pci_config.c, Linux 7.2.
 *
 * Kept: an access is cut into aligned pieces of 4, 2 or 1 bytes that lie in one capability; per
 * capability, which bits are virtual (kept for the user, the function never sees them), which may
 * be written, and what a write sets off: BAR sizing, the emulated DisINTx, D-states, FLR, MSI
 * control; bytes outside of any capability go straight to the function; an access that leaves
 * configuration space is EFAULT.
 *
 * Dropped: VPD transfers (the completion flag never toggles, as with a device whose VPD cannot be
 * read); the return of BARs after a reset behind VFIO's back, which no device here does; MRRS in
 * the function, which would show nowhere.
 *
 * Every buffer here holds register bytes in their own order, so nothing depends on the host's.
 */
#include <string.h>

#include "vfio_pci.h"

enum { PERM_BYTES = 64 };

/* A piece of an access: at most 4 bytes of one capability. */
struct piece {
	uint32_t pos;	 /* in configuration space */
	uint32_t start;	 /* of the capability */
	uint32_t offset; /* pos - start */
	uint32_t len;
	uint8_t id;
};

/* How one capability is accessed. No write: writes are dropped. Bits: 1 virtual, 1 writable. */
struct perm {
	void (*read)(struct vfio_pci *pci, const struct perm *perm, const struct piece *piece,
		     uint8_t *val);
	int (*write)(struct vfio_pci *pci, const struct perm *perm, const struct piece *piece,
		     const uint8_t *val);
	uint8_t virtual[PERM_BYTES];
	uint8_t writable[PERM_BYTES];
};

#define ONES4	    0xff, 0xff, 0xff, 0xff
#define LE16(value) (value) & 0xff, (value) >> 8 & 0xff
#define LE32(value) LE16((value)&0xffff), LE16((value) >> 16 & 0xffff)

static uint16_t get16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static void set16(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)value;
	bytes[1] = (uint8_t)(value >> 8);
}

static uint32_t get32(const uint8_t *bytes)
{
	return get16(bytes) | (uint32_t)get16(bytes + 2) << 16;
}

static void set32(uint8_t *bytes, uint32_t value)
{
	set16(bytes, value & 0xffff);
	set16(bytes + 2, value >> 16);
}

/* ---- ways to read and write ---- */

static void raw_read(struct vfio_pci *pci, const struct perm *perm, const struct piece *piece,
		     uint8_t *val)
{
	(void)perm;
	memcpy(val, pci->hw.config + piece->pos, piece->len);
}

static int raw_write(struct vfio_pci *pci, const struct perm *perm, const struct piece *piece,
		     const uint8_t *val)
{
	(void)perm;
	pci_hw_write(&pci->hw, piece->pos, val, piece->len);
	return 0;
}

/* Read-only from the function, but ids and next pointers as the user shall see them. */
static void direct_read(struct vfio_pci *pci, const struct perm *perm, const struct piece *piece,
			uint8_t *val)
{
	const uint8_t *seen = pci->vconfig + piece->pos;

	raw_read(pci, perm, piece, val);
	if (piece->pos >= PCI_CFG_SPACE_SIZE) {
		if (piece->offset < 4)
			memcpy(val, seen, piece->len);
	} else if (piece->offset == PCI_CAP_LIST_ID && piece->len > 1) {
		memcpy(val, seen, 2);
	} else if (piece->offset == PCI_CAP_LIST_NEXT) {
		val[0] = seen[0];
	}
}

/* Two capabilities of one kind side by side count as one, whose end no table describes. */
static uint8_t perm_bits(const uint8_t *table, uint32_t offset)
{
	return offset < PERM_BYTES ? table[offset] : 0;
}

static void default_read(struct vfio_pci *pci, const struct perm *perm, const struct piece *piece,
			 uint8_t *val)
{
	for (uint32_t i = 0; i < piece->len; i++) {
		uint8_t bits = perm_bits(perm->virtual, piece->offset + i);

		val[i] = (uint8_t)((pci->vconfig[piece->pos + i] & bits) |
				   (pci->hw.config[piece->pos + i] & ~bits));
	}
}

static int default_write(struct vfio_pci *pci, const struct perm *perm, const struct piece *piece,
			 const uint8_t *val)
{
	uint8_t bytes[4];

	for (uint32_t i = 0; i < piece->len; i++) {
		uint8_t write = perm_bits(perm->writable, piece->offset + i);
		uint8_t virtual = perm_bits(perm->virtual, piece->offset + i) & write;
		uint8_t *seen = &pci->vconfig[piece->pos + i];

		write &= (uint8_t) ~virtual;
		*seen = (uint8_t)((*seen & ~virtual) | (val[i] & virtual));
		bytes[i] = (uint8_t)((pci->hw.config[piece->pos + i] & ~write) | (val[i] & write));
	}
	pci_hw_write(&pci->hw, piece->pos, bytes, piece->len);
	return 0;
}

/* ---- the header ---- */

static bool is_bar(uint32_t pos)
{
	return (pos >= PCI_BASE_ADDRESS_0 && pos < PCI_BASE_ADDRESS_5 + 4) ||
	       (pos >= PCI_ROM_ADDRESS && pos < PCI_ROM_ADDRESS + 4);
}

static uint32_t bar_flags(const struct vfake_bar *bar)
{
	if (bar->io)
		return PCI_BASE_ADDRESS_SPACE_IO;
	return (bar->prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0U) |
	       (bar->is_64bit ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0U);
}

/* Makes the virtual BARs answer as the function's would: address bits below the size read as zero.
 */
static void fix_bars(struct vfio_pci *pci)
{
	const struct vfake_device_desc *desc = pci->hw.desc;
	uint8_t *rom = &pci->vconfig[PCI_ROM_ADDRESS];

	if (!pci->bar_dirty)
		return;
	pci->bar_dirty = false;
	for (int i = 0; i < VFAKE_BARS; i++) {
		uint8_t *reg = &pci->vconfig[PCI_BASE_ADDRESS_0 + 4 * i];
		uint64_t mask = ~(desc->bars[i].size_bytes - 1);
		uint32_t value;

		if (!desc->bars[i].size_bytes) {
			set32(reg, 0);
			continue;
		}
		value = (get32(reg) & (uint32_t)mask) | bar_flags(&desc->bars[i]);
		set32(reg, value);
		/* Linux tests the value and not the BAR's kind, and so do we. */
		if ((value & PCI_BASE_ADDRESS_MEM_TYPE_64) && i < VFAKE_BARS - 1) {
			set32(reg + 4, get32(reg + 4) & (uint32_t)(mask >> 32));
			i++;
		}
	}
	if (desc->rom_size_bytes)
		set32(rom, get32(rom) & ((uint32_t) ~(desc->rom_size_bytes - 1) |
					 PCI_ROM_ADDRESS_ENABLE));
	else
		set32(rom, 0);
}

static void basic_read(struct vfio_pci *pci, const struct perm *perm, const struct piece *piece,
		       uint8_t *val)
{
	if (is_bar(piece->pos))
		fix_bars(pci);
	default_read(pci, perm, piece, val);
}

/* What the user wrote into DisINTx masks the interrupt; the function's own bit is the driver's. */
static void emulate_intx_disable(struct vfio_pci *pci)
{
	bool disable = get16(&pci->vconfig[PCI_COMMAND]) & PCI_COMMAND_INTX_DISABLE;

	if (disable && !pci->virq_disabled) {
		pci->virq_disabled = true;
		vfio_pci_intx_mask(pci);
	} else if (!disable && pci->virq_disabled) {
		pci->virq_disabled = false;
		vfio_pci_intx_unmask(pci);
	}
}

static int basic_write(struct vfio_pci *pci, const struct perm *perm, const struct piece *piece,
		       const uint8_t *val)
{
	default_write(pci, perm, piece, val);
	if (piece->pos == PCI_COMMAND) {
		uint8_t bits = PCI_COMMAND_MEMORY | PCI_COMMAND_IO;
		uint8_t *seen = &pci->vconfig[PCI_COMMAND];

		*seen = (uint8_t)((*seen & ~bits) | (val[0] & bits));
		vfio_pci_revoke_dmabufs(pci, !vfio_pci_memory_enabled(pci));
	}
	if (piece->pos == PCI_COMMAND || piece->pos == PCI_COMMAND + 1)
		emulate_intx_disable(pci);
	if (is_bar(piece->pos))
		pci->bar_dirty = true;
	return 0;
}

static const struct perm basic_perm = {
	.read = basic_read,
	.write = basic_write,
	.virtual = {
		[PCI_VENDOR_ID] = ONES4,
		[PCI_COMMAND] = LE16(PCI_COMMAND_INTX_DISABLE),
		[PCI_STATUS] = LE16(PCI_STATUS_CAP_LIST),
		[PCI_BASE_ADDRESS_0] = ONES4, ONES4,
		[PCI_BASE_ADDRESS_2] = ONES4, ONES4,
		[PCI_BASE_ADDRESS_4] = ONES4, ONES4,
		[PCI_ROM_ADDRESS] = ONES4,
		[PCI_CAPABILITY_LIST] = 0xff,
		[PCI_INTERRUPT_LINE] = 0xff,
		[PCI_INTERRUPT_PIN] = 0xff,
	},
	.writable = {
		[PCI_COMMAND] = 0xff, 0xff,
		[PCI_CACHE_LINE_SIZE] = 0xff,
		[PCI_LATENCY_TIMER] = 0xff,
		[PCI_BIST] = 0xff,
		[PCI_BASE_ADDRESS_0] = ONES4, ONES4,
		[PCI_BASE_ADDRESS_2] = ONES4, ONES4,
		[PCI_BASE_ADDRESS_4] = ONES4, ONES4,
		[PCI_ROM_ADDRESS] = ONES4,
		[PCI_INTERRUPT_LINE] = 0xff,
	},
};

/* ---- capabilities ---- */

static int pm_write(struct vfio_pci *pci, const struct perm *perm, const struct piece *piece,
		    const uint8_t *val)
{
	default_write(pci, perm, piece, val);
	if (piece->offset != PCI_PM_CTRL)
		return 0;
	vfio_pci_set_power(pci, val[0] & PCI_PM_CTRL_STATE_MASK);
	vfio_pci_revoke_dmabufs(pci, !vfio_pci_memory_enabled(pci));
	return 0;
}

#define PM_CTRL_VIRTUAL (PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS)

static const struct perm pm_perm = {
	.read = default_read,
	.write = pm_write,
	.virtual = { [PCI_CAP_LIST_NEXT] = 0xff,
		     [PCI_PM_PMC] = LE16(PCI_PM_CAP_PME_MASK),
		     [PCI_PM_CTRL] = LE16(PM_CTRL_VIRTUAL) },
	.writable = { [PCI_PM_CTRL] = LE32(~(uint32_t)(PM_CTRL_VIRTUAL | PCI_PM_CTRL_STATE_MASK)) },
};

static const struct perm vpd_perm = {
	.read = default_read,
	.write = default_write,
	.virtual = { [PCI_CAP_LIST_NEXT] = 0xff, [PCI_VPD_ADDR] = ONES4, 0xff, 0xff },
	.writable = { [PCI_VPD_ADDR] = ONES4, 0xff, 0xff },
};

static const struct perm pcix_perm = {
	.read = default_read,
	.write = default_write,
	.virtual = { [PCI_CAP_LIST_NEXT] = 0xff },
	.writable = { [PCI_X_CMD] = 0xff, 0xff, [PCI_X_ECC_CSR] = ONES4 },
};

static void user_reset(struct vfio_pci *pci)
{
	vfio_pci_revoke_dmabufs(pci, true);
	vfio_pci_try_reset_function(pci);
	vfio_pci_revoke_dmabufs(pci, !vfio_pci_memory_enabled(pci));
}

static int exp_write(struct vfio_pci *pci, const struct perm *perm, const struct piece *piece,
		     const uint8_t *val)
{
	uint8_t *control = &pci->vconfig[piece->start + PCI_EXP_DEVCTL];

	default_write(pci, perm, piece, val);
	if (!(get16(control) & PCI_EXP_DEVCTL_BCR_FLR))
		return 0;
	set16(control, get16(control) & ~(uint32_t)PCI_EXP_DEVCTL_BCR_FLR);
	if (pci_hw_get32(&pci->hw, piece->start + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR)
		user_reset(pci);
	return 0;
}

static const struct perm exp_perm = {
	.read = default_read,
	.write = exp_write,
	.virtual = { [PCI_CAP_LIST_NEXT] = 0xff,
		     [PCI_EXP_DEVCTL] = LE16(PCI_EXP_DEVCTL_BCR_FLR | PCI_EXP_DEVCTL_PAYLOAD |
					     PCI_EXP_DEVCTL_READRQ) },
	.writable = { [PCI_EXP_DEVCTL] = LE16(~(uint32_t)PCI_EXP_DEVCTL_PHANTOM),
		      [PCI_EXP_DEVCTL2] = LE16(~(uint32_t)PCI_EXP_DEVCTL2_ARI) },
};

static int af_write(struct vfio_pci *pci, const struct perm *perm, const struct piece *piece,
		    const uint8_t *val)
{
	uint8_t *control = &pci->vconfig[piece->start + PCI_AF_CTRL];
	uint8_t cap = pci->hw.config[piece->start + PCI_AF_CAP];

	default_write(pci, perm, piece, val);
	if (!(*control & PCI_AF_CTRL_FLR))
		return 0;
	*control &= (uint8_t)~PCI_AF_CTRL_FLR;
	if ((cap & PCI_AF_CAP_FLR) && (cap & PCI_AF_CAP_TP))
		user_reset(pci);
	return 0;
}

static const struct perm af_perm = {
	.read = default_read,
	.write = af_write,
	.virtual = { [PCI_CAP_LIST_NEXT] = 0xff, [PCI_AF_CTRL] = PCI_AF_CTRL_FLR },
	.writable = { [PCI_AF_CTRL] = PCI_AF_CTRL_FLR },
};

/* Enabling MSI is for VFIO_DEVICE_SET_IRQS; more vectors than that set up cannot be had. */
static int msi_write(struct vfio_pci *pci, const struct perm *perm, const struct piece *piece,
		     const uint8_t *val)
{
	uint8_t *seen = &pci->vconfig[piece->start + PCI_MSI_FLAGS];
	uint32_t flags;

	default_write(pci, perm, piece, val);
	if (piece->offset > PCI_MSI_FLAGS || piece->offset + piece->len < PCI_MSI_FLAGS)
		return 0;
	flags = get16(seen);
	if (pci->irq_type != VFIO_PCI_MSI_IRQ_INDEX)
		flags &= ~(uint32_t)PCI_MSI_FLAGS_ENABLE;
	if ((flags & PCI_MSI_FLAGS_QSIZE) >> 4 > pci->msi_qmax) {
		flags &= ~(uint32_t)PCI_MSI_FLAGS_QSIZE;
		flags |= (uint32_t)pci->msi_qmax << 4;
	}
	set16(seen, flags);
	pci_hw_write(&pci->hw, piece->start + PCI_MSI_FLAGS, seen, 2);
	return 0;
}

/* Four layouts: with 32- or 64-bit addresses, with or without mask bits. */
static const struct perm msi_perms[4] = {
	{ .read = default_read,
	  .write = msi_write,
	  .virtual = { [PCI_CAP_LIST_NEXT] = 0xff, 0xff, [4] = ONES4, 0xff, 0xff },
	  .writable = { [PCI_MSI_FLAGS] = 0xff, [4] = ONES4, 0xff, 0xff } },
	{ .read = default_read,
	  .write = msi_write,
	  .virtual = { [PCI_CAP_LIST_NEXT] = 0xff, 0xff, [4] = ONES4, ONES4, 0xff, 0xff },
	  .writable = { [PCI_MSI_FLAGS] = 0xff, [4] = ONES4, ONES4, 0xff, 0xff } },
	{ .read = default_read,
	  .write = msi_write,
	  .virtual = { [PCI_CAP_LIST_NEXT] = 0xff, 0xff, [4] = ONES4, 0xff, 0xff },
	  .writable = { [PCI_MSI_FLAGS] = 0xff, [4] = ONES4, 0xff, 0xff, [12] = ONES4, ONES4 } },
	{ .read = default_read,
	  .write = msi_write,
	  .virtual = { [PCI_CAP_LIST_NEXT] = 0xff, 0xff, [4] = ONES4, ONES4, 0xff, 0xff },
	  .writable = { [PCI_MSI_FLAGS] = 0xff,
			[4] = ONES4,
			ONES4,
			0xff,
			0xff,
			[16] = ONES4,
			ONES4 } },
};

static const struct perm direct_perm = { .read = direct_read };
static const struct perm raw_perm = { .read = raw_read, .write = raw_write };
static const struct perm vendor_perm = { .read = direct_read, .write = raw_write };

/* ---- extended capabilities ---- */

#define AER_UNCORRECTABLE 0x03fff031U
#define AER_CORRECTABLE	  0x0000f1c1U

static const struct perm aer_perm = {
	.read = default_read,
	.write = default_write,
	.virtual = { ONES4 },
	.writable = { [PCI_ERR_UNCOR_STATUS] = LE32(AER_UNCORRECTABLE),
		      LE32(AER_UNCORRECTABLE),
		      LE32(AER_UNCORRECTABLE),
		      LE32(AER_CORRECTABLE),
		      LE32(AER_CORRECTABLE),
		      LE32(PCI_ERR_CAP_ECRC_GENE | PCI_ERR_CAP_ECRC_CHKE) },
};

static const struct perm power_budget_perm = {
	.read = default_read,
	.write = default_write,
	.virtual = { ONES4 },
	.writable = { [PCI_PWR_DATA] = 0xff },
};

/* ---- access ---- */

static const struct perm *msi_perm(const struct vfio_pci *pci)
{
	uint16_t flags = pci_hw_get16(&pci->hw, pci->hw.msi_cap + PCI_MSI_FLAGS);

	return &msi_perms[(flags & PCI_MSI_FLAGS_64BIT ? 1 : 0) +
			  (flags & PCI_MSI_FLAGS_MASKBIT ? 2 : 0)];
}

static const struct perm *perm_of(const struct vfio_pci *pci, const struct piece *piece)
{
	if (piece->id == PCI_MAP_NONE)
		return &raw_perm;
	if (piece->pos >= PCI_CFG_SPACE_SIZE) {
		switch (piece->id) {
		case PCI_EXT_CAP_ID_ERR:
			return &aer_perm;
		case PCI_EXT_CAP_ID_PWR:
			return &power_budget_perm;
		case PCI_EXT_CAP_ID_VNDR:
		case 0x23: /* DVSEC */
			return &vendor_perm;
		default:
			return &direct_perm;
		}
	}
	switch (piece->id) {
	case PCI_MAP_BASIC:
		return &basic_perm;
	case PCI_CAP_ID_PM:
		return &pm_perm;
	case PCI_CAP_ID_VPD:
		return &vpd_perm;
	case PCI_CAP_ID_MSI:
		return msi_perm(pci);
	case PCI_CAP_ID_PCIX:
		return &pcix_perm;
	case PCI_CAP_ID_VNDR:
		return &vendor_perm;
	case PCI_CAP_ID_EXP:
		return &exp_perm;
	case PCI_CAP_ID_AF:
		return &af_perm;
	default:
		return &direct_perm;
	}
}

/* The first piece of an access of @len bytes at @pos. */
static struct piece first_piece(const struct vfio_pci *pci, uint32_t pos, uint64_t len)
{
	struct piece piece = { .pos = pos, .start = pos, .len = 1, .id = pci->map[pos] };
	uint32_t base = pos >= PCI_CFG_SPACE_SIZE ? PCI_CFG_SPACE_SIZE : PCI_STD_HEADER_SIZEOF;
	uint32_t room = 1;

	while ((pos + room) % 4 && pci->map[pos + room] == piece.id)
		room++;
	if (room > len)
		room = (uint32_t)len;
	if (room >= 4 && !(pos % 4))
		piece.len = 4;
	else if (room >= 2 && !(pos % 2))
		piece.len = 2;
	if (piece.id == PCI_MAP_BASIC) {
		piece.start = 0;
	} else if (piece.id != PCI_MAP_NONE) {
		while (piece.start > base && pci->map[piece.start - 1] == piece.id)
			piece.start--;
	}
	piece.offset = pos - piece.start;
	return piece;
}

static long access_piece(struct vfio_pci *pci, struct vfake_task *task, uint64_t buf,
			 const struct piece *piece, bool write)
{
	const struct perm *perm = perm_of(pci, piece);
	uint8_t val[4] = { 0 };

	if (!write) {
		perm->read(pci, perm, piece, val);
		return vfake_user_write(task, buf, val, piece->len) ? -EFAULT : 0;
	}
	if (!perm->write)
		return 0;
	if (vfake_user_read(task, val, buf, piece->len))
		return -EFAULT;
	return perm->write(pci, perm, piece, val);
}

long vfio_pci_config_rw(struct vfio_pci *pci, struct vfake_task *task, uint64_t buf, uint64_t len,
			uint64_t pos, bool write)
{
	uint64_t size = pci->hw.desc->config_size_bytes;
	uint64_t done = 0;

	if (pos >= size || len > size - pos)
		return -EFAULT;
	while (done < len) {
		struct piece piece = first_piece(pci, (uint32_t)(pos + done), len - done);
		long ret = access_piece(pci, task, buf + done, &piece, write);

		if (ret)
			return ret;
		done += piece.len;
	}
	return (long)done;
}
