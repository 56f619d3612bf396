/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI device's interrupts.
 *
 * Imitates drivers/vfio/pci/vfio_pci_intrs.c and vfio_set_irqs_validate_and_prepare(), Linux 7.2.
 *
 * Kept: one of INTx, MSI and MSI-X at a time; which action exists for which index (ENOTTY else) and
 * the order of all checks; a block of MSI eventfds of which one is bad is taken back whole; the
 * number of MSI vectors is fixed by the first call, that of MSI-X only where the platform cannot
 * add vectors later; INTx masks itself when it fires, and stays pending while the line is asserted;
 * DisINTx of the user masks beside it; MSI cannot be enabled outside of D0.
 *
 * Dropped: interrupts shared with other devices, vectors that the platform runs out of, the message
 * in the MSI-X table.
 */
#include <string.h>

#include "vfio_pci.h"

static bool is_intx(const struct vfio_pci *pci)
{
	return pci->irq_type == VFIO_PCI_INTX_IRQ_INDEX;
}

static bool is_none(const struct vfio_pci *pci)
{
	return pci->irq_type == VFIO_PCI_NUM_IRQS;
}

/* Vectors can be added to MSI-X while it is enabled: x86 with interrupt remapping. */
static bool dynamic_msix(const struct vfio_pci *pci)
{
	return pci->hw.msix_cap && pci->kernel->world.platform == VFAKE_PLATFORM_TYPE1;
}

static void hw_disable_intx(struct vfio_pci *pci, bool disable)
{
	uint32_t command =
		pci_hw_get16(&pci->hw, PCI_COMMAND) & ~(uint32_t)PCI_COMMAND_INTX_DISABLE;

	if (disable)
		command |= PCI_COMMAND_INTX_DISABLE;
	pci_hw_set16(&pci->hw, PCI_COMMAND, (uint16_t)command);
}

static int alloc_ctx(struct vfio_pci *pci, uint32_t count)
{
	pci->ctx = vfake_alloc(pci->kernel, count * sizeof(*pci->ctx));
	if (!pci->ctx)
		return -ENOMEM;
	pci->ctx_count = count;
	return 0;
}

static void free_ctx(struct vfio_pci *pci)
{
	vfake_free(pci->kernel, pci->ctx);
	pci->ctx = NULL;
	pci->ctx_count = 0;
	pci->vectors = 0;
	pci->irq_type = VFIO_PCI_NUM_IRQS;
}

/* ---- INTx ---- */

static void send_intx(struct vfio_pci *pci)
{
	if (is_intx(pci) && !pci->virq_disabled && pci->ctx[0].trigger)
		vfake_eventfd_signal(pci->ctx[0].trigger);
}

void vfio_pci_intx_mask(struct vfio_pci *pci)
{
	hw_disable_intx(pci, true);
	if (is_intx(pci))
		pci->ctx[0].masked = true;
}

/* > 0 when the line is still asserted: it stays masked, and the user has to hear of it. */
static int try_unmask(struct vfio_pci *pci)
{
	if (!is_intx(pci)) {
		hw_disable_intx(pci, false);
		return 0;
	}
	if (!pci->ctx[0].masked || pci->virq_disabled)
		return 0;
	if (pci->intx_asserted)
		return 1;
	hw_disable_intx(pci, false);
	pci->ctx[0].masked = false;
	return 0;
}

void vfio_pci_intx_unmask(struct vfio_pci *pci)
{
	if (try_unmask(pci) > 0)
		send_intx(pci);
}

static int unmask_handler(struct virqfd *virqfd)
{
	return try_unmask(virqfd->pci);
}

static void unmask_thread(struct virqfd *virqfd)
{
	send_intx(virqfd->pci);
}

/* The line is asserted and nothing masks it: the handler masks and tells. */
static void intx_interrupt(struct vfio_pci *pci)
{
	if (!is_intx(pci) || pci->ctx[0].masked)
		return;
	vfio_pci_intx_mask(pci);
	send_intx(pci);
}

static int enable_intx(struct vfio_pci *pci, struct vfake_eventfd *trigger)
{
	int ret;

	if (!is_none(pci))
		return -EINVAL;
	ret = alloc_ctx(pci, 1);
	if (ret)
		return ret;
	pci->ctx[0].used = true;
	pci->ctx[0].trigger = trigger;
	pci->ctx[0].masked = pci->virq_disabled;
	hw_disable_intx(pci, pci->virq_disabled);
	pci->irq_type = VFIO_PCI_INTX_IRQ_INDEX;
	if (pci->intx_asserted)
		intx_interrupt(pci);
	return 0;
}

static void disable_intx(struct vfio_pci *pci)
{
	virqfd_disable(&pci->ctx[0].unmask);
	vfake_eventfd_put(pci->ctx[0].trigger);
	free_ctx(pci);
}

static int set_intx_eventfd(struct vfio_pci *pci, struct vfake_task *task, int32_t fd)
{
	struct vfake_eventfd *trigger = NULL;
	int ret = 0;

	if (fd >= 0) {
		trigger = vfake_eventfd_get(task, fd, &ret);
		if (!trigger)
			return ret;
	}
	if (is_intx(pci)) {
		vfake_eventfd_put(pci->ctx[0].trigger);
		pci->ctx[0].trigger = trigger;
		return 0;
	}
	ret = enable_intx(pci, trigger);
	if (ret)
		vfake_eventfd_put(trigger);
	return ret;
}

/* ---- data of a call ---- */

static int32_t fd_at(const void *data, uint32_t index)
{
	int32_t fd;

	memcpy(&fd, (const char *)data + index * sizeof(fd), sizeof(fd));
	return fd;
}

/* Whether NONE or BOOL data ask for an action on interrupt @index of the call. */
static bool wants(const struct vfio_irq_set *set, const void *data, uint32_t index)
{
	if (set->flags & VFIO_IRQ_SET_DATA_NONE)
		return true;
	return (set->flags & VFIO_IRQ_SET_DATA_BOOL) && ((const uint8_t *)data)[index];
}

typedef int (*irq_action)(struct vfio_pci *pci, struct vfake_task *task,
			  const struct vfio_irq_set *set, const void *data);

/* ---- actions on INTx ---- */

static int intx_trigger(struct vfio_pci *pci, struct vfake_task *task,
			const struct vfio_irq_set *set, const void *data)
{
	if (is_intx(pci) && !set->count && (set->flags & VFIO_IRQ_SET_DATA_NONE)) {
		disable_intx(pci);
		return 0;
	}
	if (!(is_intx(pci) || is_none(pci)) || set->start || set->count != 1)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return set_intx_eventfd(pci, task, fd_at(data, 0));
	if (!is_intx(pci))
		return -EINVAL;
	if (wants(set, data, 0))
		send_intx(pci);
	return 0;
}

static int intx_mask(struct vfio_pci *pci, struct vfake_task *task, const struct vfio_irq_set *set,
		     const void *data)
{
	(void)task;
	if (!is_intx(pci) || set->start || set->count != 1)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return -ENOTTY;
	if (wants(set, data, 0))
		vfio_pci_intx_mask(pci);
	return 0;
}

static int intx_unmask(struct vfio_pci *pci, struct vfake_task *task,
		       const struct vfio_irq_set *set, const void *data)
{
	struct virqfd as = { .pci = pci, .handler = unmask_handler, .thread = unmask_thread };
	int32_t fd;

	if (!is_intx(pci) || set->start || set->count != 1)
		return -EINVAL;
	if (!(set->flags & VFIO_IRQ_SET_DATA_EVENTFD)) {
		if (wants(set, data, 0))
			vfio_pci_intx_unmask(pci);
		return 0;
	}
	fd = fd_at(data, 0);
	if (fd >= 0)
		return virqfd_enable(task, &as, &pci->ctx[0].unmask, fd);
	virqfd_disable(&pci->ctx[0].unmask);
	return 0;
}

/* ---- MSI and MSI-X ---- */

static void hw_enable_msi(struct vfio_pci *pci, bool msix, bool enable)
{
	uint32_t at = msix ? pci->hw.msix_cap + PCI_MSIX_FLAGS : pci->hw.msi_cap + PCI_MSI_FLAGS;
	uint32_t bit = msix ? PCI_MSIX_FLAGS_ENABLE : PCI_MSI_FLAGS_ENABLE;
	uint32_t flags = pci_hw_get16(&pci->hw, at) & ~bit;

	pci_hw_set16(&pci->hw, at, (uint16_t)(enable ? flags | bit : flags));
	hw_disable_intx(pci, enable);
}

static uint8_t log2_up(uint32_t value)
{
	uint8_t bits = 0;

	while ((1U << bits) < value)
		bits++;
	return bits;
}

static int enable_msi(struct vfio_pci *pci, uint32_t vectors, bool msix)
{
	int ret;

	if (!is_none(pci))
		return -EINVAL;
	/* The PCI core's own checks; MSI and MSI-X have them in a different order. */
	if (msix && !vectors)
		return -ERANGE;
	if (pci->hw.power != PCI_HW_POWER_D0)
		return -EINVAL;
	if (!vectors)
		return -ERANGE;
	ret = alloc_ctx(pci, vfio_pci_irq_count(pci, msix ? VFIO_PCI_MSIX_IRQ_INDEX
							  : VFIO_PCI_MSI_IRQ_INDEX));
	if (ret)
		return ret;
	pci->vectors = msix && dynamic_msix(pci) ? pci->ctx_count : vectors;
	pci->irq_type = msix ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX;
	if (!msix)
		pci->msi_qmax = log2_up(vectors);
	hw_enable_msi(pci, msix, true);
	return 0;
}

static void clear_vector(struct vfio_pci *pci, uint32_t vector)
{
	vfake_eventfd_put(pci->ctx[vector].trigger);
	pci->ctx[vector].trigger = NULL;
	pci->ctx[vector].used = false;
}

static void disable_msi(struct vfio_pci *pci)
{
	for (uint32_t i = 0; i < pci->ctx_count; i++)
		clear_vector(pci, i);
	hw_enable_msi(pci, pci->irq_type == VFIO_PCI_MSIX_IRQ_INDEX, false);
	free_ctx(pci);
}

static int set_vector(struct vfio_pci *pci, struct vfake_task *task, uint32_t vector, int32_t fd)
{
	struct vfake_eventfd *trigger;
	bool had = pci->ctx[vector].used;
	int ret = 0;

	clear_vector(pci, vector);
	if (fd < 0)
		return 0;
	if (!had && vector >= pci->vectors)
		return -EINVAL;
	trigger = vfake_eventfd_get(task, fd, &ret);
	if (!trigger)
		return ret;
	pci->ctx[vector].trigger = trigger;
	pci->ctx[vector].used = true;
	return 0;
}

static int set_vectors(struct vfio_pci *pci, struct vfake_task *task,
		       const struct vfio_irq_set *set, const void *data)
{
	uint32_t done;
	int ret = 0;

	for (done = 0; done < set->count && !ret; done++)
		ret = set_vector(pci, task, set->start + done, fd_at(data, done));
	for (uint32_t i = 0; ret && i < done; i++)
		clear_vector(pci, set->start + i);
	return ret;
}

static int msi_trigger(struct vfio_pci *pci, struct vfake_task *task,
		       const struct vfio_irq_set *set, const void *data)
{
	bool mine = pci->irq_type == set->index;
	int ret;

	if (mine && !set->count && (set->flags & VFIO_IRQ_SET_DATA_NONE)) {
		disable_msi(pci);
		return 0;
	}
	if (!mine && !is_none(pci))
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		if (mine)
			return set_vectors(pci, task, set, data);
		ret = enable_msi(pci, set->start + set->count,
				 set->index == VFIO_PCI_MSIX_IRQ_INDEX);
		if (ret)
			return ret;
		ret = set_vectors(pci, task, set, data);
		if (ret)
			disable_msi(pci);
		return ret;
	}
	if (!mine)
		return -EINVAL;
	for (uint32_t i = 0; i < set->count; i++) {
		if (pci->ctx[set->start + i].used && wants(set, data, i))
			vfake_eventfd_signal(pci->ctx[set->start + i].trigger);
	}
	return 0;
}

/* ---- ERR and REQ ---- */

static int replace_single(struct vfake_task *task, struct vfake_eventfd **slot, int32_t fd)
{
	struct vfake_eventfd *eventfd = NULL;
	int ret = 0;

	if (fd < -1)
		return -EINVAL;
	if (fd >= 0) {
		eventfd = vfake_eventfd_get(task, fd, &ret);
		if (!eventfd)
			return ret;
	}
	vfake_eventfd_put(*slot);
	*slot = eventfd;
	return 0;
}

static int single_trigger(struct vfio_pci *pci, struct vfake_task *task,
			  const struct vfio_irq_set *set, const void *data)
{
	struct vfake_eventfd **slot =
		set->index == VFIO_PCI_ERR_IRQ_INDEX ? &pci->err_trigger : &pci->req_trigger;

	if (set->start || set->count > 1)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_NONE) {
		if (!*slot)
			return -EINVAL;
		if (!set->count)
			return replace_single(task, slot, -1);
		vfake_eventfd_signal(*slot);
		return 0;
	}
	if (!set->count)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return replace_single(task, slot, fd_at(data, 0));
	if (*slot && wants(set, data, 0))
		vfake_eventfd_signal(*slot);
	return 0;
}

/* ---- the call ---- */

static irq_action find_action(const struct vfio_pci *pci, uint32_t index, uint32_t action)
{
	bool trigger = action == VFIO_IRQ_SET_ACTION_TRIGGER;

	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		if (action == VFIO_IRQ_SET_ACTION_MASK)
			return intx_mask;
		if (action == VFIO_IRQ_SET_ACTION_UNMASK)
			return intx_unmask;
		return trigger ? intx_trigger : NULL;
	case VFIO_PCI_MSI_IRQ_INDEX:
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return trigger ? msi_trigger : NULL;
	case VFIO_PCI_ERR_IRQ_INDEX:
		return trigger && pci_hw_is_express(&pci->hw) ? single_trigger : NULL;
	case VFIO_PCI_REQ_IRQ_INDEX:
		return trigger ? single_trigger : NULL;
	default:
		return NULL;
	}
}

static int do_set_irqs(struct vfio_pci *pci, struct vfake_task *task,
		       const struct vfio_irq_set *set, const void *data)
{
	irq_action action =
		find_action(pci, set->index, set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK);

	return action ? action(pci, task, set, data) : -ENOTTY;
}

/* What the call brings beyond its header, in bytes: 0 or more, or -EINVAL. */
static int64_t data_bytes(const struct vfio_pci *pci, const struct vfio_irq_set *set,
			  uint32_t argsz)
{
	uint32_t max;
	uint64_t size;

	if (set->index >= VFIO_PCI_NUM_IRQS || set->count >= UINT32_MAX - set->start)
		return -EINVAL;
	max = vfio_pci_irq_count(pci, set->index);
	if (set->start >= max || set->start + set->count > max)
		return -EINVAL;
	switch (set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
	case VFIO_IRQ_SET_DATA_NONE:
		return 0;
	case VFIO_IRQ_SET_DATA_BOOL:
		size = set->count * sizeof(uint8_t);
		break;
	case VFIO_IRQ_SET_DATA_EVENTFD:
		size = set->count * sizeof(int32_t);
		break;
	default:
		return -EINVAL;
	}
	return argsz - sizeof(*set) < size ? -EINVAL : (int64_t)size;
}

long vfio_pci_set_irqs(struct vfake_call *call)
{
	const struct vfio_irq_set *set = call->arg;
	struct vfio_pci *pci = vfio_pci_call(call);
	int64_t size = data_bytes(pci, set, call->size_bytes);
	void *data = NULL;
	long ret = 0;

	if (size < 0)
		return (long)size;
	if (size) {
		data = vfake_alloc(call->kernel, (size_t)size);
		if (!data)
			return -ENOMEM;
		ret = vfake_copy_in(call, data, call->uarg + sizeof(*set), (uint64_t)size);
	}
	if (!ret)
		ret = vfake_fault(call->kernel, VFAKE_FAULT_COMMIT);
	if (!ret)
		ret = do_set_irqs(pci, call->task, set, data);
	vfake_free(call->kernel, data);
	return ret;
}

long vfio_pci_get_irq_info(struct vfake_call *call)
{
	struct vfio_pci *pci = vfio_pci_call(call);
	struct vfio_irq_info *info = call->arg;

	if (info->index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	if (info->index == VFIO_PCI_ERR_IRQ_INDEX && !pci_hw_is_express(&pci->hw))
		return -EINVAL;
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	info->count = vfio_pci_irq_count(pci, info->index);
	if (info->index == VFIO_PCI_INTX_IRQ_INDEX)
		info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else if (info->index != VFIO_PCI_MSIX_IRQ_INDEX || !dynamic_msix(pci))
		info->flags |= VFIO_IRQ_INFO_NORESIZE;
	return 0;
}

void vfio_pci_end_irqs(struct vfio_pci *pci)
{
	if (is_intx(pci))
		disable_intx(pci);
	else if (!is_none(pci))
		disable_msi(pci);
}

/* ---- the device's side ---- */

static void set_interrupt_status(struct vfio_pci *pci, bool pending)
{
	uint32_t status = pci_hw_get16(&pci->hw, PCI_STATUS) & ~(uint32_t)PCI_STATUS_INTERRUPT;

	pci_hw_set16(&pci->hw, PCI_STATUS,
		     (uint16_t)(pending ? status | PCI_STATUS_INTERRUPT : status));
}

void vfio_pci_set_intx(struct vfio_device *device, bool asserted)
{
	struct vfio_pci *pci = vfio_pci_of(device);

	if (!pci->hw.config[PCI_INTERRUPT_PIN])
		return;
	pci->intx_asserted = asserted;
	set_interrupt_status(pci, asserted);
	if (asserted)
		intx_interrupt(pci);
}

/* A message is a write to memory: it leaves a device only as bus master. */
static void send_message(struct vfio_pci *pci, uint32_t irq_index, uint32_t vector)
{
	if (pci->irq_type != irq_index || vector >= pci->ctx_count || !pci->ctx[vector].used)
		return;
	if (pci->hw.power == PCI_HW_POWER_D0 &&
	    (pci_hw_get16(&pci->hw, PCI_COMMAND) & PCI_COMMAND_MASTER))
		vfake_eventfd_signal(pci->ctx[vector].trigger);
}

void vfio_pci_trigger(struct vfio_device *device, uint32_t irq_index, uint32_t vector)
{
	struct vfio_pci *pci = vfio_pci_of(device);

	switch (irq_index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		vfio_pci_set_intx(device, true);
		break;
	case VFIO_PCI_MSI_IRQ_INDEX:
	case VFIO_PCI_MSIX_IRQ_INDEX:
		send_message(pci, irq_index, vector);
		break;
	case VFIO_PCI_ERR_IRQ_INDEX:
		if (pci->err_trigger)
			vfake_eventfd_signal(pci->err_trigger);
		break;
	case VFIO_PCI_REQ_IRQ_INDEX:
		if (pci->req_trigger)
			vfake_eventfd_signal(pci->req_trigger);
		break;
	default:
		break;
	}
}
