/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCE tables of a guest on POWER: made by its VMM, written by the guest's hypercalls, and carried
 * over into the tables that hardware reads.
 *
 * Imitates arch/powerpc/kvm/book3s_64_vio.c of Linux 7.2.
 *
 * Kept: a table belongs to a VM and is named by its LIOBN, of which 0 is one like any other; a
 * group's window is served by a table that starts at the same bus address, is not larger and has
 * pages at least as large; groups that share a window share its place in the list, and the last one
 * that leaves ends it; a hypercall changes the hardware's tables first and the guest's own last;
 * what it cannot do itself (no such LIOBN, memory that is not registered) is H_TOO_HARD, for the
 * VMM to finish; the guest's table holds the values in the CPU's byte order, the hardware's are
 * big-endian; the table can be mapped.
 *
 * Dropped on purpose, all of them ways to damage the counts of registered memory or to reach a
 * WARN: entries that a failed hypercall clears are counted as gone (Linux forgets); an entry
 * without permissions in H_PUT_TCE_INDIRECT is unmapped (Linux writes its address without
 * permissions and counts it); tables of a v1 container, whose entries hold pages themselves, are
 * H_TOO_HARD; a group that is in no container has no window (Linux would find the kernel's own); a
 * group that leaves gives up exactly what was set for it (Linux counts once down for every table
 * that shares a window with it, set or not, and not at all when the group left its container
 * first).
 */
#include <endian.h>
#include <uapi/kvm.h>
#include <vfake/kvm.h>

#include "kvm.h"
#include "spapr.h"

enum {
	KVM_TCE_TABLE_BYTES = 120, /* of Linux's struct, for the charge */
	PUT_INDIRECT_MAX = 512,
	LIST_ALIGN = 4096,
};

/* A group for whose sake a hardware table is served. */
struct kvm_tce_user {
	LIST_ENTRY(kvm_tce_user) entry;
	const struct vfio_group *group; /* listed in the VM's VFIO device */
};

/* A hardware table that a guest's table serves, as long as it has users. */
struct kvm_tce_target {
	LIST_ENTRY(kvm_tce_target) entry;
	struct spapr_table *table; /* counted */
	LIST_HEAD(, kvm_tce_user) users;
};

struct kvm_tce_table {
	LIST_ENTRY(kvm_tce_table) entry;
	struct kvm *kvm; /* counted */
	uint64_t liobn;
	uint32_t page_shift;
	uint64_t offset; /* first entry */
	uint64_t size;	 /* entries */
	uint64_t charged_pages;
	struct vfake_mem *mem; /* the entries, in the CPU's byte order */
	LIST_HEAD(, kvm_tce_target) targets;
};

/* ---- a table's life ---- */

static void drop_user(struct vfake_kernel *kernel, struct kvm_tce_user *user)
{
	LIST_REMOVE(user, entry);
	vfake_free(kernel, user);
}

static void drop_target(struct vfake_kernel *kernel, struct kvm_tce_target *target)
{
	struct kvm_tce_user *user;

	while ((user = LIST_FIRST(&target->users)))
		drop_user(kernel, user);
	LIST_REMOVE(target, entry);
	spapr_table_put(target->table);
	vfake_free(kernel, target);
}

static void table_release(struct vfake_file *file)
{
	struct kvm_tce_table *table = file->data;
	struct kvm_tce_target *target;

	LIST_REMOVE(table, entry);
	while ((target = LIST_FIRST(&table->targets)))
		drop_target(file->kernel, target);
	vfake_uncharge_locked(table->kvm->mm, table->charged_pages);
	vfake_mem_put(table->mem);
	vfake_kvm_put(table->kvm);
	vfake_free(file->kernel, table);
}

static int table_mmap(struct vfake_file *file, struct vfake_task *task, uint64_t len, int prot,
		      uint64_t offset, uint64_t *addr)
{
	const struct kvm_tce_table *table = file->data;
	struct vfake_mem *mem = table->mem;

	if (offset > mem->size_bytes || len > mem->size_bytes - offset)
		return -EINVAL; /* Linux maps and sends SIGBUS on touch; here it is refused at once
				 */
	return vfake_mm_map(task->mm, mem, offset, len, prot, VFAKE_AREA_MEMFD, addr);
}

static const struct vfake_file_ops kvm_tce_ops = {
	.name = "kvm-spapr-tce",
	.release = table_release,
	.mmap = table_mmap,
};

static struct kvm_tce_table *find_table(const struct kvm *kvm, uint64_t liobn)
{
	struct kvm_tce_table *table;

	LIST_FOREACH(table, &kvm->tce_tables, entry)
	{
		if (table->liobn == liobn)
			break;
	}
	return table;
}

static uint64_t pages_for(const struct vfake_kernel *kernel, uint64_t bytes)
{
	return (bytes + vfake_page_size(kernel) - 1) >> kernel->page_shift;
}

static int install(struct vfake_task *task, struct kvm *kvm, struct kvm_tce_table *table)
{
	int fd;

	if (find_table(kvm, table->liobn))
		return -EBUSY;
	fd = vfake_fd_new(task, &kvm_tce_ops, table);
	if (fd < 0)
		return fd;
	table->kvm = kvm;
	vfake_kvm_get(kvm);
	LIST_INSERT_HEAD(&kvm->tce_tables, table, entry);
	return fd;
}

static long create(struct vfake_task *task, struct kvm *kvm,
		   const struct kvm_create_spapr_tce_64 *arg)
{
	struct vfake_kernel *kernel = kvm->kernel;
	uint64_t pages = pages_for(kernel, arg->size * sizeof(uint64_t));
	uint64_t struct_bytes = KVM_TCE_TABLE_BYTES + pages * sizeof(uint64_t);
	uint64_t charged = pages + pages_for(kernel, struct_bytes);
	struct kvm_tce_table *table;
	int ret;

	ret = vfake_charge_locked(kvm->mm, charged, task, task->attr.cap_ipc_lock);
	if (ret)
		return ret;
	table = struct_bytes <= kernel->world.spapr.max_level_bytes
			? vfake_alloc(kernel, sizeof(*table))
			: NULL;
	ret = -ENOMEM;
	if (!table)
		goto err_uncharge;
	table->liobn = arg->liobn;
	table->page_shift = arg->page_shift;
	table->offset = arg->offset;
	table->size = arg->size;
	table->charged_pages = charged;
	LIST_INIT(&table->targets);
	table->mem = vfake_mem_new(kernel, pages << kernel->page_shift);
	if (table->mem)
		ret = install(task, kvm, table);
	if (ret >= 0)
		return ret;
	vfake_mem_put(table->mem);
	vfake_free(kernel, table);
err_uncharge:
	vfake_uncharge_locked(kvm->mm, charged);
	return ret;
}

long kvm_spapr_create(struct vfake_call *call)
{
	const struct kvm_create_spapr_tce *old = call->arg;
	struct kvm_create_spapr_tce_64 arg;

	if (call->row->number == KVM_CREATE_SPAPR_TCE)
		arg = (struct kvm_create_spapr_tce_64){ .liobn = old->liobn,
							.page_shift = 12,
							.size = old->window_size >> 12 };
	else
		arg = *(const struct kvm_create_spapr_tce_64 *)call->arg;
	if (!arg.size || arg.page_shift < 12 || arg.page_shift > 34 ||
	    arg.offset + arg.size > UINT64_MAX >> arg.page_shift)
		return -EINVAL;
	return create(call->task, call->file->data, &arg);
}

/* ---- groups ---- */

static bool serves(const struct kvm_tce_table *guest, const struct spapr_table *hw)
{
	return hw->page_shift <= guest->page_shift &&
	       hw->offset << hw->page_shift == guest->offset << guest->page_shift &&
	       hw->size << hw->page_shift >= guest->size << guest->page_shift;
}

static struct spapr_table *window_for(const struct kvm_tce_table *guest,
				      const struct vfio_group *group)
{
	const struct spapr_group *windows = spapr_group_of(group);

	for (int i = 0; windows && i < SPAPR_WINDOWS; i++) {
		if (windows->tables[i] && serves(guest, windows->tables[i]))
			return windows->tables[i];
	}
	return NULL;
}

static struct kvm_tce_user *find_user(const struct kvm_tce_target *target,
				      const struct vfio_group *group)
{
	struct kvm_tce_user *user;

	LIST_FOREACH(user, &target->users, entry)
	{
		if (user->group == group)
			break;
	}
	return user;
}

static struct kvm_tce_target *target_for(struct kvm_tce_table *guest, struct spapr_table *window)
{
	struct kvm_tce_target *target;

	LIST_FOREACH(target, &guest->targets, entry)
	{
		if (target->table == window)
			return target;
	}
	target = vfake_alloc(guest->kvm->kernel, sizeof(*target));
	if (!target)
		return NULL;
	target->table = window;
	spapr_table_get(window);
	LIST_INIT(&target->users);
	LIST_INSERT_HEAD(&guest->targets, target, entry);
	return target;
}

static int serve(struct kvm_tce_table *guest, struct spapr_table *window,
		 const struct vfio_group *group)
{
	struct vfake_kernel *kernel = guest->kvm->kernel;
	struct kvm_tce_target *target = target_for(guest, window);
	struct kvm_tce_user *user;

	if (!target)
		return -ENOMEM;
	if (find_user(target, group))
		return 0;
	user = vfake_alloc(kernel, sizeof(*user));
	if (!user) {
		if (LIST_EMPTY(&target->users))
			drop_target(kernel, target);
		return -ENOMEM;
	}
	user->group = group;
	LIST_INSERT_HEAD(&target->users, user, entry);
	return 0;
}

int kvm_spapr_attach_group(struct kvm *kvm, struct vfake_task *task, int tablefd,
			   const struct vfio_group *group)
{
	struct vfake_file *file = vfake_fd_file(task, tablefd);
	struct kvm_tce_table *guest;
	struct spapr_table *window;

	if (!file)
		return -EBADF;
	guest = file->ops == &kvm_tce_ops ? file->data : NULL;
	if (!guest || guest->kvm != kvm)
		return -EINVAL;
	window = window_for(guest, group);
	return window ? serve(guest, window, group) : -EINVAL;
}

static void release_user(struct kvm_tce_table *guest, const struct vfio_group *group)
{
	struct vfake_kernel *kernel = guest->kvm->kernel;
	struct kvm_tce_target *target = LIST_FIRST(&guest->targets);

	while (target) {
		struct kvm_tce_target *next = LIST_NEXT(target, entry);
		struct kvm_tce_user *user = find_user(target, group);

		if (user)
			drop_user(kernel, user);
		if (LIST_EMPTY(&target->users))
			drop_target(kernel, target);
		target = next;
	}
}

void kvm_spapr_release_group(struct kvm *kvm, const struct vfio_group *group)
{
	struct kvm_tce_table *guest;

	LIST_FOREACH(guest, &kvm->tce_tables, entry)
	release_user(guest, group);
}

/* ---- addresses ---- */

/* The process's address of what a TCE names in the guest; false when no slot is there. */
static bool user_addr_of(const struct kvm *kvm, uint64_t tce, uint64_t *user_addr)
{
	uint64_t page = vfake_page_size(kvm->kernel);
	uint64_t guest_addr = tce & ~(uint64_t)SPAPR_TCE_PERMISSIONS;
	const struct kvm_slot *slot;

	LIST_FOREACH(slot, &kvm->slots, entry)
	{
		if ((guest_addr & ~(page - 1)) - slot->guest_addr < slot->size_bytes)
			break;
	}
	if (slot)
		*user_addr = slot->user_addr + (guest_addr - slot->guest_addr);
	return slot;
}

static struct spapr_region *source(const struct kvm *kvm, const struct spapr_table *table,
				   uint64_t user_addr)
{
	if (table->page_shift > kvm->kernel->page_shift || table->pins_pages)
		return NULL;
	return spapr_region_find(kvm->mm, user_addr, spapr_table_page(table));
}

static long check_tce(const struct kvm_tce_table *guest, uint64_t tce)
{
	const struct kvm_tce_target *target;
	uint64_t user_addr;

	if (!(tce & SPAPR_TCE_PERMISSIONS))
		return VFAKE_H_SUCCESS;
	if ((tce & ~(uint64_t)SPAPR_TCE_PERMISSIONS) & (((uint64_t)1 << guest->page_shift) - 1))
		return VFAKE_H_TOO_HARD;
	if (!user_addr_of(guest->kvm, tce, &user_addr))
		return VFAKE_H_TOO_HARD;
	LIST_FOREACH(target, &guest->targets, entry)
	{
		if (!source(guest->kvm, target->table, user_addr))
			return VFAKE_H_TOO_HARD;
	}
	return VFAKE_H_SUCCESS;
}

/* ---- hardware tables, entry by entry ---- */

/* Takes the entry out. Memory that nobody knows any more keeps the entry, unless @force. */
static long unmap_one(struct kvm *kvm, struct spapr_table *table, uint64_t entry, bool force)
{
	struct spapr_stretch at;
	struct spapr_region *region;

	if (table->pins_pages)
		return VFAKE_H_TOO_HARD;
	spapr_table_stretch(table, entry - table->offset, 1, false, &at);
	if (!at.hw)
		return VFAKE_H_SUCCESS;
	if (be64toh(at.hw[0]) & SPAPR_TCE_PERMISSIONS) {
		region = spapr_region_find(kvm->mm, be64toh(at.user[0]), spapr_table_page(table));
		if (!region && !force)
			return VFAKE_H_TOO_HARD;
		if (region)
			spapr_region_unmapped(region, 1);
		at.user[0] = 0;
	}
	at.hw[0] = 0;
	return VFAKE_H_SUCCESS;
}

static long map_one(struct kvm *kvm, struct spapr_table *table, uint64_t entry, uint64_t user_addr,
		    uint32_t permissions)
{
	struct spapr_region *region = source(kvm, table, user_addr);
	struct spapr_stretch at;
	uint64_t len;

	if (!region || spapr_table_stretch(table, entry - table->offset, 1, true, &at))
		return VFAKE_H_TOO_HARD;
	region->mapped++;
	unmap_one(kvm, table, entry, true);
	if (permissions & SPAPR_TCE_WRITE)
		permissions |= SPAPR_TCE_READ;
	at.hw[0] = htobe64(spapr_region_addr(region, user_addr, &len) | permissions);
	at.user[0] = htobe64(user_addr);
	return VFAKE_H_SUCCESS;
}

/* One entry of the guest is one or more of the hardware. On failure none of them is left. */
static long change_entry(const struct kvm_tce_table *guest, struct spapr_table *table,
			 uint64_t entry, uint64_t user_addr, uint32_t permissions)
{
	uint32_t shift = guest->page_shift - table->page_shift;
	uint64_t first = entry << shift;
	uint64_t count = (uint64_t)1 << shift;
	long ret = VFAKE_H_SUCCESS;

	for (uint64_t i = 0; i < count && !ret; i++) {
		if (permissions)
			ret = map_one(guest->kvm, table, first + i,
				      user_addr + (i << table->page_shift), permissions);
		else
			ret = unmap_one(guest->kvm, table, first + i, false);
	}
	for (uint64_t i = 0; i < count && ret; i++)
		unmap_one(guest->kvm, table, first + i, true);
	return ret;
}

static long change_all(const struct kvm_tce_table *guest, uint64_t entry, uint64_t tce)
{
	uint32_t permissions = (uint32_t)tce & SPAPR_TCE_PERMISSIONS;
	struct kvm_tce_target *target;
	uint64_t user_addr = 0;
	long ret = VFAKE_H_SUCCESS;

	if (permissions && !user_addr_of(guest->kvm, tce, &user_addr))
		return VFAKE_H_PARAMETER;
	LIST_FOREACH(target, &guest->targets, entry)
	{
		ret = change_entry(guest, target->table, entry, user_addr, permissions);
		if (ret)
			break;
	}
	return ret;
}

/* ---- the guest's own table ---- */

static uint64_t *guest_entry(const struct kvm_tce_table *guest, uint64_t entry)
{
	/* Page-aligned memory of 64-bit entries. */
	return (uint64_t *)(void *)vfake_mem_bytes(guest->mem,
						   (entry - guest->offset) * sizeof(uint64_t));
}

static void put(const struct kvm_tce_table *guest, uint64_t entry, uint64_t tce)
{
	uint64_t *at = guest_entry(guest, entry);

	if (at)
		*at = tce;
}

static bool ioba_is_bad(const struct kvm_tce_table *guest, uint64_t ioba, uint64_t pages)
{
	return spapr_check_ioba(guest->page_shift, guest->offset, guest->size, ioba, pages);
}

/* ---- hypercalls ---- */

/* The guest's table: 0 with *table set or NULL, or -errno when @vm_fd is no VM. */
static int table_of(const struct vfake_task *task, int vm_fd, uint64_t liobn,
		    struct kvm_tce_table **table)
{
	struct vfake_file *file = vfake_fd_file(task, vm_fd);
	const struct kvm *kvm = vfake_kvm_from_file(file);

	if (!kvm)
		return file ? -EINVAL : -EBADF;
	*table = find_table(kvm, liobn);
	return 0;
}

static long h_put_tce(const struct kvm_tce_table *guest, uint64_t ioba, uint64_t tce)
{
	uint64_t entry = ioba >> guest->page_shift;
	long ret;

	if (ioba_is_bad(guest, ioba, 1))
		return VFAKE_H_PARAMETER;
	ret = check_tce(guest, tce);
	if (!ret)
		ret = change_all(guest, entry, tce);
	if (!ret)
		put(guest, entry, tce);
	return ret;
}

int vfake_h_put_tce(struct vfake_task *task, int vm_fd, uint64_t liobn, uint64_t ioba, uint64_t tce,
		    long *result)
{
	struct kvm_tce_table *guest;
	int ret = table_of(task, vm_fd, liobn, &guest);

	if (!ret)
		*result = guest ? h_put_tce(guest, ioba, tce) : VFAKE_H_TOO_HARD;
	return ret;
}

/* The list lies in guest memory, big-endian. All of it is judged before any of it is done. */
static long h_put_tce_indirect(const struct kvm_tce_table *guest, uint64_t ioba, uint64_t list,
			       uint64_t count)
{
	uint64_t tces[PUT_INDIRECT_MAX];
	uint64_t user_addr;
	long ret = VFAKE_H_SUCCESS;

	if (count > PUT_INDIRECT_MAX || (list & (LIST_ALIGN - 1)) ||
	    ioba_is_bad(guest, ioba, count))
		return VFAKE_H_PARAMETER;
	if (!user_addr_of(guest->kvm, list, &user_addr) ||
	    vfake_mm_read(guest->kvm->mm, tces, user_addr, count * sizeof(tces[0])))
		return VFAKE_H_TOO_HARD;
	for (uint64_t i = 0; i < count && !ret; i++) {
		tces[i] = be64toh(tces[i]);
		ret = check_tce(guest, tces[i]);
	}
	for (uint64_t i = 0; i < count && !ret; i++) {
		uint64_t entry = (ioba >> guest->page_shift) + i;

		ret = change_all(guest, entry, tces[i]);
		if (!ret)
			put(guest, entry, tces[i]);
	}
	return ret;
}

int vfake_h_put_tce_indirect(struct vfake_task *task, int vm_fd, uint64_t liobn, uint64_t ioba,
			     uint64_t list, uint64_t count, long *result)
{
	struct kvm_tce_table *guest;
	int ret = table_of(task, vm_fd, liobn, &guest);

	if (!ret)
		*result = guest ? h_put_tce_indirect(guest, ioba, list, count) : VFAKE_H_TOO_HARD;
	return ret;
}

static long h_stuff_tce(const struct kvm_tce_table *guest, uint64_t ioba, uint64_t value,
			uint64_t count)
{
	uint64_t entry = ioba >> guest->page_shift;
	struct kvm_tce_target *target;
	long ret;

	if (ioba_is_bad(guest, ioba, count) || (value & SPAPR_TCE_PERMISSIONS))
		return VFAKE_H_PARAMETER;
	LIST_FOREACH(target, &guest->targets, entry)
	{
		for (uint64_t i = 0; i < count; i++) {
			ret = change_entry(guest, target->table, entry + i, 0, 0);
			if (ret)
				return ret;
		}
	}
	for (uint64_t i = 0; i < count; i++)
		put(guest, entry + i, value);
	return VFAKE_H_SUCCESS;
}

int vfake_h_stuff_tce(struct vfake_task *task, int vm_fd, uint64_t liobn, uint64_t ioba,
		      uint64_t value, uint64_t count, long *result)
{
	struct kvm_tce_table *guest;
	int ret = table_of(task, vm_fd, liobn, &guest);

	if (!ret)
		*result = guest ? h_stuff_tce(guest, ioba, value, count) : VFAKE_H_TOO_HARD;
	return ret;
}

int vfake_h_get_tce(struct vfake_task *task, int vm_fd, uint64_t liobn, uint64_t ioba,
		    uint64_t *tce, long *result)
{
	struct kvm_tce_table *guest;
	int ret = table_of(task, vm_fd, liobn, &guest);
	const uint64_t *at;

	if (ret)
		return ret;
	*result = VFAKE_H_TOO_HARD;
	if (!guest)
		return 0;
	*result = VFAKE_H_PARAMETER;
	if (ioba_is_bad(guest, ioba, 1))
		return 0;
	at = guest_entry(guest, ioba >> guest->page_shift);
	*tce = at ? *at : 0;
	*result = VFAKE_H_SUCCESS;
	return 0;
}
