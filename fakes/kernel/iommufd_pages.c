/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pages behind areas: who pinned what, and who pays for it.
 *
 * Imitates drivers/iommu/iommufd/pages.c of Linux 7.2.
 *
 * Kept: pages are pinned when the first page table of an IOAS needs them, once however many page
 * tables and copies share them, and unpinned with the last; a page that is not there, not writable
 * where the mapping is, or that has no struct page is EFAULT, a file that is no memfd or is too
 * short EINVAL; memory of another process is pinned as long as that process lives; the charge comes
 * after all pages of an area are pinned, and a charge that fails unpins them again. Three ways of
 * accounting: none for a process that may lock at will, per user, per process; the limit is that of
 * the process that mapped, pinned_vm of its memory counts in all three.
 *
 * How it is kept: Linux has a tree of areas per pages and reads page frames back from the page
 * tables. Here pages hold runs, pieces that were pinned in one go. A run counts the filled areas
 * that cover it, and its ends are cut, while something may still fail, so that an area covers a run
 * or does not; giving an area back only counts down, and never needs memory. Nearly all pages have
 * a single run, which then needs no tree.
 *
 * A dma-buf is the BAR of a device. It is charged to nobody; the ledger counts it as pinned. When
 * the device takes it back, it is gone from the page tables, and later ones do not get it.
 *
 * Dropped: pins by emulated devices (accesses), which nothing here makes. A file that is neither a
 * memfd nor a dma-buf is not held open by its mapping, although Linux does so: it can never be
 * pinned, and an iommufd that maps itself would never go away. IOMMU_IOAS_CHANGE_PROCESS moves
 * pinned_vm in every mode; Linux forgets it for processes that may lock at will.
 */
#include "iommufd_private.h"

enum { CACHE_LINE = 64 };

static uint64_t index_bytes(const struct iopt_pages *pages, uint64_t count)
{
	return count << pages->kernel->page_shift;
}

/* ---- a new piece of memory ---- */

static void get_payer(struct vfake_task *task, struct iopt_payer *payer)
{
	vfake_task_get(task);
	vfake_mm_grab(task->mm);
	vfake_user_get(task->user);
	payer->task = task;
	payer->mm = task->mm;
	payer->user = task->user;
}

static void put_payer(const struct iopt_payer *payer)
{
	vfake_mm_drop(payer->mm);
	vfake_user_put(payer->user);
	vfake_task_put(payer->task);
}

static int pages_new(struct vfake_task *task, uint64_t start, uint64_t page_offset, uint64_t length,
		     bool writable, struct iopt_pages **out)
{
	struct vfake_kernel *kernel = task->kernel;
	uint64_t page = vfake_page_size(kernel);
	struct iopt_pages *pages;

	if (!length || length > UINT64_MAX - page)
		return -EINVAL;
	kernel->iopt_pages.size_bytes = sizeof(*pages);
	pages = vfake_pool_alloc(kernel, &kernel->iopt_pages);
	if (!pages)
		return -ENOMEM;
	pages->kernel = kernel;
	pages->refs = 1;
	pages->writable = writable;
	pages->npages = (length + page_offset + page - 1) >> kernel->page_shift;
	pages->start = start - page_offset;
	get_payer(task, &pages->payer);
	pages->payer.mode = task->attr.cap_ipc_lock ? IOPT_ACCOUNT_NONE : IOPT_ACCOUNT_USER;
	*out = pages;
	return 0;
}

int iopt_pages_of_user(struct vfake_task *task, uint64_t addr, uint64_t length, bool writable,
		       struct iopt_pages **pages)
{
	if (addr + length < addr)
		return -EOVERFLOW;
	return pages_new(task, addr, addr & (vfake_page_size(task->kernel) - 1), length, writable,
			 pages);
}

/* Whether the file is a dma-buf that can be mapped: 1, 0 for another file, -errno. */
static int check_dmabuf(struct vfake_file *file, uint64_t last)
{
	uint64_t offset, size = 0;
	int error;

	if (vfio_dmabuf_mem(file, &offset, &size, &error))
		return size <= last ? -EINVAL : 1;
	if (error == -EINVAL)
		return 0;
	return size <= last ? -EINVAL : error;
}

int iopt_pages_of_file(struct vfake_task *task, struct vfake_file *file, uint64_t start,
		       uint64_t length, bool writable, struct iopt_pages **out)
{
	int dmabuf = check_dmabuf(file, start + (length - 1));
	struct iopt_pages *pages;
	int ret;

	if (dmabuf < 0)
		return dmabuf;
	ret = pages_new(task, start, start & (vfake_page_size(task->kernel) - 1), length, writable,
			&pages);
	if (ret)
		return ret;
	pages->type = dmabuf ? IOPT_DMABUF : IOPT_FILE;
	if (dmabuf) {
		pages->payer.mode = IOPT_ACCOUNT_NONE;
		pages->revocations = vfio_dmabuf_revocations(file);
	}
	if (dmabuf || vfake_memfd_mem(file)) {
		vfake_file_get(file);
		pages->file = file;
	}
	*out = pages;
	return 0;
}

bool iopt_pages_revoked(const struct iopt_pages *pages)
{
	return pages->type == IOPT_DMABUF &&
	       vfio_dmabuf_revocations(pages->file) != pages->revocations;
}

void iopt_pages_put(struct iopt_pages *pages)
{
	if (--pages->refs)
		return;
	vfake_warn_on(pages->kernel, pages->npinned || pages->run_count || pages->own_area_used);
	if (pages->file)
		vfake_file_put(pages->file);
	put_payer(&pages->payer);
	if (pages->runs)
		vfake_iova_map_destroy(pages->runs);
	vfake_free(pages->kernel, pages->runs);
	vfake_pool_free(pages->kernel, &pages->kernel->iopt_pages, pages);
}

struct iopt_area *iopt_area_new(struct iopt_pages *pages)
{
	struct iopt_area *area = &pages->own_area;

	if (pages->own_area_used)
		area = vfake_alloc(pages->kernel, sizeof(*area));
	if (!area)
		return NULL;
	if (area == &pages->own_area)
		pages->own_area_used = true;
	*area = (struct iopt_area){ .pages = pages };
	return area;
}

void iopt_area_free(struct iopt_area *area)
{
	if (area == &area->pages->own_area)
		area->pages->own_area_used = false;
	else
		vfake_free(area->pages->kernel, area);
}

/* ---- charges ---- */

int iopt_charge(const struct iopt_payer *to, uint64_t npages)
{
	struct vfake_user *user = to->user;
	int ret;

	if (to->mode == IOPT_ACCOUNT_MM) {
		ret = vfake_charge_locked(to->mm, npages, to->task, false);
		if (ret)
			return ret;
	} else if (to->mode == IOPT_ACCOUNT_USER) {
		if (user->locked_pages + npages > vfake_memlock_pages(to->task))
			return -ENOMEM;
		user->locked_pages += npages;
		user->kernel->ledger.locked_pages += npages;
	}
	to->mm->pinned_pages += npages;
	return 0;
}

void iopt_uncharge(const struct iopt_payer *from, uint64_t npages)
{
	struct vfake_user *user = from->user;

	if (from->mode == IOPT_ACCOUNT_MM) {
		vfake_uncharge_locked(from->mm, npages);
	} else if (from->mode == IOPT_ACCOUNT_USER &&
		   !vfake_warn_on(user->kernel, user->locked_pages < npages)) {
		user->locked_pages -= npages;
		user->kernel->ledger.locked_pages -= npages;
	}
	from->mm->pinned_pages -= npages;
}

bool iopt_charge_is_of(const struct iopt_pages *pages, const struct vfake_task *task)
{
	const struct iopt_payer *payer = &pages->payer;

	return payer->mm == task->mm &&
	       (payer->mode != IOPT_ACCOUNT_USER || payer->user == task->user);
}

void iopt_pages_change_owner(struct iopt_pages *pages, struct vfake_task *task)
{
	struct iopt_payer old = pages->payer;

	get_payer(task, &pages->payer);
	put_payer(&old);
}

/* ---- runs ---- */

static struct iopt_run *run_of(const struct vfake_iova_range *range)
{
	return (struct iopt_run *)(uintptr_t)range->value;
}

/* The run that holds page @index, or the first one after it, or NULL. */
static struct iopt_run *run_from(const struct iopt_pages *pages, uint64_t index)
{
	struct vfake_iova_range range;

	if (pages->single)
		return pages->single->last >= index ? pages->single : NULL;
	if (!pages->run_count)
		return NULL;
	if (vfake_iova_map_prev(pages->runs, index + 1, &range) && run_of(&range)->last >= index)
		return run_of(&range);
	return vfake_iova_map_next(pages->runs, index, &range) ? run_of(&range) : NULL;
}

const struct iopt_run *iopt_pages_run(const struct iopt_pages *pages, uint64_t index)
{
	const struct iopt_run *run = run_from(pages, index);

	return run && run->first <= index ? run : NULL;
}

static struct iopt_run *run_new(struct iopt_pages *pages)
{
	struct iopt_run *run = &pages->own_run;

	if (pages->own_run_used)
		return vfake_alloc(pages->kernel, sizeof(*run));
	pages->own_run_used = true;
	*run = (struct iopt_run){ 0 };
	return run;
}

static void run_free(struct iopt_pages *pages, struct iopt_run *run)
{
	if (run == &pages->own_run)
		pages->own_run_used = false;
	else
		vfake_free(pages->kernel, run);
}

static int map_run(struct iopt_pages *pages, struct iopt_run *run)
{
	struct vfake_iova_map_mem mem = vfake_map_memory(pages->kernel);

	if (!pages->runs) {
		pages->runs = vfake_alloc(pages->kernel, sizeof(*pages->runs));
		if (!pages->runs)
			return -ENOMEM;
		vfake_iova_map_init(pages->runs, &mem);
	}
	return vfake_iova_map_insert(pages->runs, run->first, run->first, (uintptr_t)run);
}

static int insert_run(struct iopt_pages *pages, struct iopt_run *run)
{
	int ret;

	if (!pages->run_count) {
		pages->single = run;
		pages->run_count = 1;
		return 0;
	}
	if (pages->single) {
		ret = map_run(pages, pages->single);
		if (ret)
			return ret;
	}
	ret = map_run(pages, run);
	if (ret) {
		if (pages->single)
			vfake_iova_map_erase(pages->runs, pages->single->first, NULL);
		return ret;
	}
	pages->single = NULL;
	pages->run_count++;
	return 0;
}

static void erase_run(struct iopt_pages *pages, struct iopt_run *run)
{
	if (pages->single)
		pages->single = NULL;
	else
		vfake_iova_map_erase(pages->runs, run->first, NULL);
	pages->run_count--;
	pages->npinned -= run->last - run->first + 1;
	vfake_unpin(&run->pin);
	run_free(pages, run);
}

int iopt_pages_cut(struct iopt_pages *pages, uint64_t index)
{
	struct iopt_run *run = run_from(pages, index);
	struct iopt_run *tail;
	uint64_t bytes;

	if (!run || run->first >= index)
		return 0;
	tail = run_new(pages);
	if (!tail)
		return -ENOMEM;
	bytes = index_bytes(pages, index - run->first);
	*tail = *run;
	tail->first = index;
	tail->pin.offset += bytes;
	tail->pin.len -= bytes;
	if (insert_run(pages, tail)) {
		run_free(pages, tail);
		return -ENOMEM;
	}
	vfake_mem_get(tail->pin.mem);
	run->last = index - 1;
	run->pin.len = bytes;
	return 0;
}

/* ---- pins ---- */

/* Bytes of a file or a dma-buf. A BAR has no pages to pin; its run keeps the memory all the same.
 */
static int64_t pin_file(const struct iopt_pages *pages, uint64_t offset, uint64_t len,
			struct vfake_pin *pin)
{
	struct vfake_mem *mem = pages->file ? vfake_memfd_mem(pages->file) : NULL;
	uint64_t start = 0, size = mem ? mem->size_bytes : 0;
	int error;

	if (pages->type == IOPT_DMABUF)
		mem = vfio_dmabuf_mem(pages->file, &start, &size, &error);
	if (!mem || offset + len < offset || offset + len > size)
		return -EINVAL;
	vfake_mem_get(mem);
	*pin = (struct vfake_pin){ .mem = mem, .offset = start + offset, .len = len };
	pages->kernel->ledger.pinned_pages += len >> pages->kernel->page_shift;
	return (int64_t)len;
}

/* Pins from @at on, as far as it goes in one piece. */
static int64_t pin_piece(const struct iopt_pages *pages, uint64_t at, uint64_t len,
			 struct vfake_pin *pin)
{
	int64_t got;

	if (pages->type != IOPT_USER)
		return pin_file(pages, at, len, pin);
	if (!vfake_mm_get_not_zero(pages->payer.mm))
		return -EFAULT;
	got = vfake_pin(pages->payer.mm, at, len, pages->writable, pin);
	vfake_mm_put(pages->payer.mm);
	if (got > 0 && pin->pfnmap) {
		vfake_unpin(pin);
		return -EFAULT;
	}
	return got;
}

/* Pins a stretch that no run covers; the runs are new and have no user yet. */
static int pin_hole(struct iopt_pages *pages, uint64_t first, uint64_t last)
{
	while (first <= last) {
		struct iopt_run *run = run_new(pages);
		int64_t got;

		if (!run)
			return -ENOMEM;
		got = pin_piece(pages, pages->start + index_bytes(pages, first),
				index_bytes(pages, last - first + 1), &run->pin);
		if (got < 0) {
			run_free(pages, run);
			return (int)got;
		}
		run->first = first;
		run->last = first + ((uint64_t)got >> pages->kernel->page_shift) - 1;
		if (insert_run(pages, run)) {
			vfake_unpin(&run->pin);
			run_free(pages, run);
			return -ENOMEM;
		}
		pages->npinned += run->last - run->first + 1;
		first = run->last + 1;
	}
	return 0;
}

static int pin_missing(struct iopt_pages *pages, uint64_t first, uint64_t last)
{
	int ret = iopt_pages_cut(pages, first);

	if (!ret)
		ret = iopt_pages_cut(pages, last + 1);
	while (!ret && first <= last) {
		const struct iopt_run *run = run_from(pages, first);

		if (run && run->first <= first) {
			first = run->last + 1;
			continue;
		}
		if (run && run->first <= last) {
			ret = pin_hole(pages, first, run->first - 1);
			first = run->last + 1;
		} else {
			ret = pin_hole(pages, first, last);
			break;
		}
	}
	return ret;
}

/* Takes one use off every run in the range; those without any go. */
static void drop_runs(struct iopt_pages *pages, uint64_t first, uint64_t last, uint32_t uses)
{
	struct iopt_run *run = run_from(pages, first);

	while (run && run->first <= last) {
		uint64_t end = run->last;

		run->users -= run->users ? uses : 0;
		if (!run->users)
			erase_run(pages, run);
		run = run_from(pages, end + 1);
	}
}

static void use_runs(struct iopt_pages *pages, uint64_t first, uint64_t last)
{
	struct iopt_run *run = run_from(pages, first);

	while (run && run->first <= last) {
		run->users++;
		run = run_from(pages, run->last + 1);
	}
}

int iopt_area_fill(struct iopt_area *area)
{
	struct iopt_pages *pages = area->pages;
	uint64_t before = pages->npinned;
	int ret;

	if (iopt_pages_revoked(pages))
		return 0;
	ret = pin_missing(pages, area->first, area->last);
	/* An entry of the page table without any right does not exist in hardware. */
	if (!ret && !area->prot)
		ret = -EINVAL;
	if (!ret && pages->npinned != before)
		ret = iopt_charge(&pages->payer, pages->npinned - before);
	if (ret) {
		drop_runs(pages, area->first, area->last, 0);
		return ret;
	}
	use_runs(pages, area->first, area->last);
	area->filled = true;
	return 0;
}

void iopt_area_unfill(struct iopt_area *area)
{
	struct iopt_pages *pages = area->pages;
	uint64_t before = pages->npinned;

	if (!area->filled)
		return;
	drop_runs(pages, area->first, area->last, 1);
	if (pages->npinned != before)
		iopt_uncharge(&pages->payer, before - pages->npinned);
	area->filled = false;
}

void iopt_area_release(struct iopt_area *area)
{
	struct iopt_pages *pages = area->pages;

	iopt_area_unfill(area);
	iopt_area_free(area);
	iopt_pages_put(pages);
}

/* Most areas lie in their pages: all that a release reads comes at once, not line after line. */
void iopt_area_prefetch(const struct iopt_area *area)
{
	const char *pages = (const char *)area - offsetof(struct iopt_pages, own_area);

	for (size_t i = 0; i < sizeof(struct iopt_pages); i += CACHE_LINE)
		__builtin_prefetch(pages + i, 1);
}

/* ---- ordinary areas ---- */

bool iopt_area_origin(const struct iopt_area *area, struct iopt_origin *origin)
{
	const struct iopt_pages *pages = area->pages;
	const struct iopt_run *run = pages->single;

	if (area != &pages->own_area || pages->refs != 1 || pages->type != IOPT_USER ||
	    area->page_offset || area->first || area->last + 1 != pages->npages || pages->runs)
		return false;
	if (area->filled ? run != &pages->own_run || run->users != 1 : pages->run_count != 0)
		return false;
	origin->payer = pages->payer;
	origin->mem = area->filled ? run->pin.mem : NULL;
	return true;
}

void iopt_area_release_unread(const struct iopt_area *area, uint64_t length_bytes,
			      struct iopt_origin *origin)
{
	char *pages = (char *)(uintptr_t)area - offsetof(struct iopt_pages, own_area);
	struct vfake_kernel *kernel = origin->payer.user->kernel;
	uint64_t page = vfake_page_size(kernel);
	struct vfake_pin pin = { .mem = origin->mem, .len = (length_bytes + page - 1) & -page };

	if (pin.mem) {
		iopt_uncharge(&origin->payer, pin.len >> kernel->page_shift);
		vfake_unpin(&pin);
	}
	origin->areas--;
	put_payer(&origin->payer);
	vfake_pool_free(kernel, &kernel->iopt_pages, pages);
}
