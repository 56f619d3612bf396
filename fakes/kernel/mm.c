/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process's memory: areas, copies between kernel and process, and pinned pages.
 *
 * Imitates mm/mmap.c, mm/gup.c and lib/usercopy.c of Linux 7.2 as far as VFIO and iommufd show of
 * them.
 *
 * Kept: a copy to or from an address where nothing is mapped, or that may not be written, is
 * EFAULT; pinning stops at the first page that is not there or not writable; pinned pages outlive
 * munmap() and the process; pages of a device's registers have no struct page and say so. The
 * lowest set bit of the address of a new mapping is bit 30, as in the recordings: iommufd derives
 * an IOVA's alignment from it.
 *
 * Dropped: pages are never swapped, shared copy-on-write or faulted in late; a mapping larger than
 * the machine's RAM is refused, and that is all that memory pressure is.
 *
 * A task with host memory shares the address space of the program that links this library. Its
 * areas are then real mappings of that program at the address that the task sees, and every address
 * outside the arena is taken as it is.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vfake/bridge.h>

#include "kernel.h"

enum { MEM_MMAP_BYTES = 128 * 1024 }; /* smaller pieces come from the heap */

static const uint64_t arena_start = (uint64_t)1 << 40;
static const uint64_t arena_end = (uint64_t)1 << 46;
static const uint64_t task_size = ((uint64_t)1 << 47) - 4096; /* x86-64, four page-table levels */
static const uint64_t slot_bytes = (uint64_t)1 << 31;

/* ---- pieces of memory ---- */

struct vfake_mem *vfake_mem_new(struct vfake_kernel *kernel, uint64_t size_bytes)
{
	struct vfake_mem *mem = vfake_alloc(kernel, sizeof(*mem));

	if (!mem)
		return NULL;
	mem->kernel = kernel;
	mem->size_bytes = size_bytes;
	mem->page_shift = kernel->page_shift;
	mem->refs = 1;
	mem->share_fd = -1;
	return mem;
}

void vfake_mem_get(struct vfake_mem *mem)
{
	mem->refs++;
}

static void free_bytes(struct vfake_mem *mem)
{
	if (!mem->bytes || mem->foreign)
		return;
	if (mem->mmapped)
		munmap(mem->bytes, mem->size_bytes);
	else
		free(mem->bytes);
}

void vfake_mem_put(struct vfake_mem *mem)
{
	if (!mem || --mem->refs)
		return;
	free_bytes(mem);
	if (mem->share_fd >= 0)
		close(mem->share_fd);
	if (mem->source && mem->source->release)
		mem->source->release(mem->source->ctx);
	vfake_free(mem->kernel, mem->source);
	vfake_free(mem->kernel, mem);
}

unsigned char *vfake_mem_bytes(struct vfake_mem *mem, uint64_t offset)
{
	if (mem->source && !mem->bytes)
		return NULL; /* far */
	if (!mem->bytes && mem->size_bytes < MEM_MMAP_BYTES) {
		mem->bytes = calloc(1, mem->size_bytes);
	} else if (!mem->bytes) {
		void *bytes = mmap(NULL, mem->size_bytes, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (bytes != MAP_FAILED) {
			mem->bytes = bytes;
			mem->mmapped = true;
		}
	}
	return mem->bytes ? mem->bytes + offset : NULL;
}

/* Moves the bytes into a file of the host, so that they can be mapped at several addresses of the
 * program. */
static int share(struct vfake_mem *mem)
{
	unsigned char *old = vfake_mem_bytes(mem, 0);
	void *bytes;
	int fd;

	if (mem->share_fd >= 0)
		return 0;
	if (!old)
		return -ENOMEM;
	fd = memfd_create("vfake", MFD_CLOEXEC);
	if (fd < 0)
		return -ENOMEM;
	bytes = ftruncate(fd, (off_t)mem->size_bytes)
			? MAP_FAILED
			: mmap(NULL, mem->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	memcpy(bytes, old, mem->size_bytes);
	free_bytes(mem);
	mem->bytes = bytes;
	mem->mmapped = true;
	mem->share_fd = fd;
	return 0;
}

/* ---- the address space ---- */

struct vfake_mm *vfake_mm_new(struct vfake_kernel *kernel, bool host_memory)
{
	struct vfake_mm *mm = vfake_alloc(kernel, sizeof(*mm));

	if (!mm)
		return NULL;
	mm->kernel = kernel;
	mm->refs = 1; /* of all users together */
	mm->users = 1;
	mm->host_memory = host_memory;
	mm->next_addr = arena_start + slot_bytes / 2;
	return mm;
}

void vfake_mm_grab(struct vfake_mm *mm)
{
	mm->refs++;
}

void vfake_mm_drop(struct vfake_mm *mm)
{
	if (--mm->refs)
		return;
	if (mm->release)
		mm->release(mm);
	/* Who was charged and died first is not given anything back; nobody is charged any more. */
	mm->kernel->ledger.locked_pages -= mm->locked_pages;
	vfake_free(mm->kernel, mm);
}

bool vfake_mm_get_not_zero(struct vfake_mm *mm)
{
	if (!mm->users)
		return false;
	mm->users++;
	return true;
}

static uint64_t host_page_mask(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE) - 1;
}

static bool is_mapped(const struct vfake_mm *mm, uint64_t start, uint64_t last)
{
	for (size_t i = 0; i < mm->area_count; i++) {
		if (mm->areas[i].start <= last && mm->areas[i].last >= start)
			return true;
	}
	return false;
}

/*
 * The host's pages may be larger than the world's. Makes whole pages of the host of a piece of
 * @area that goes away: a page goes with the last piece of memory in it.
 */
static void host_widen(const struct vfake_mm *mm, const struct vfake_area *area, uint64_t *addr,
		       uint64_t *len)
{
	uint64_t mask = host_page_mask();
	uint64_t start = *addr & ~mask, end = (*addr + *len + mask) & ~mask;
	bool keep_first = *addr > area->start || is_mapped(mm, start, area->start - 1);
	bool keep_last = *addr + *len - 1 < area->last || is_mapped(mm, area->last + 1, end - 1);

	if (start < *addr && keep_first)
		start += mask + 1;
	if (end > *addr + *len && keep_last)
		end -= mask + 1;
	*addr = start;
	*len = end > start ? end - start : 0;
}

/* Takes an area's pages out of the program's address space; what pinned them still reaches them
 * through its mem. */
static void host_unmap(const struct vfake_mm *mm, const struct vfake_area *area, uint64_t addr,
		       uint64_t len)
{
	uint32_t areas = 0;

	if (!mm->host_memory)
		return;
	if (area->kind != VFAKE_AREA_ANON) {
		host_widen(mm, area, &addr, &len);
		munmap((void *)(uintptr_t)addr, len);
		return;
	}
	/* The bytes are the mem's own and go with it; a device may still reach pinned ones there.
	 */
	for (size_t i = 0; i < mm->area_count; i++)
		areas += mm->areas[i].mem == area->mem;
	if (area->mem->refs <= areas)
		mprotect((void *)(uintptr_t)addr, len, PROT_NONE);
}

void vfake_mm_put(struct vfake_mm *mm)
{
	if (--mm->users)
		return;
	for (; mm->area_count; mm->area_count--) {
		struct vfake_area *area = &mm->areas[mm->area_count - 1];

		host_unmap(mm, area, area->start, area->last - area->start + 1);
		vfake_mem_put(area->mem);
	}
	free(mm->areas);
	mm->areas = NULL;
	mm->area_space = 0;
	vfake_mm_drop(mm);
}

/* Index of the first area that ends at or after @addr. */
static size_t area_index(const struct vfake_mm *mm, uint64_t addr)
{
	size_t low = 0, high = mm->area_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (mm->areas[middle].last < addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct vfake_area *vfake_mm_find(struct vfake_mm *mm, uint64_t addr)
{
	size_t index = mm->last_hit;

	if (index < mm->area_count && mm->areas[index].start <= addr &&
	    addr <= mm->areas[index].last)
		return &mm->areas[index];
	index = area_index(mm, addr);
	if (index == mm->area_count || mm->areas[index].start > addr)
		return NULL;
	mm->last_hit = index;
	return &mm->areas[index];
}

static int reserve_area(struct vfake_mm *mm)
{
	size_t space = mm->area_space ? 2 * mm->area_space : 8;
	struct vfake_area *areas;

	if (mm->area_count < mm->area_space)
		return 0;
	if (vfake_fault(mm->kernel, VFAKE_FAULT_ALLOC))
		return -ENOMEM;
	areas = realloc(mm->areas, space * sizeof(*areas));
	if (!areas)
		return -ENOMEM;
	mm->areas = areas;
	mm->area_space = space;
	return 0;
}

static void insert_area(struct vfake_mm *mm, const struct vfake_area *area)
{
	size_t index = area_index(mm, area->start);

	memmove(&mm->areas[index + 1], &mm->areas[index], (mm->area_count - index) * sizeof(*area));
	mm->areas[index] = *area;
	mm->area_count++;
}

static int host_prot(int prot)
{
	return (prot & VFAKE_PROT_READ ? PROT_READ : 0) |
	       (prot & VFAKE_PROT_WRITE ? PROT_WRITE : 0);
}

/*
 * mmap(2) at exactly @want: -EEXIST when something is there. A host that does not know
 * MAP_FIXED_NOREPLACE, as memcheck, takes the address for a wish and says so by another one.
 */
static int map_at(void *want, uint64_t len, int prot, int flags, int fd, off_t offset)
{
	void *got = mmap(want, len, prot, flags | MAP_FIXED_NOREPLACE, fd, offset);

	if (got == MAP_FAILED)
		return errno == EEXIST ? -EEXIST : -ENOMEM;
	if (got == want)
		return 0;
	munmap(got, len);
	return -EEXIST;
}

/* Makes the area's bytes appear at @addr of the program. -EEXIST when something is there. */
static int host_map(struct vfake_mem *mem, uint64_t offset, uint64_t len, int prot,
		    enum vfake_area_kind kind, uint64_t addr)
{
	uint64_t before = offset & host_page_mask();
	void *want = (void *)(uintptr_t)addr;
	int ret;

	if (kind != VFAKE_AREA_ANON) {
		ret = share(mem);
		return ret ? ret
			   : map_at((char *)want - before, len + before, host_prot(prot),
				    MAP_SHARED, mem->share_fd, (off_t)(offset - before));
	}
	ret = map_at(want, len, host_prot(prot), MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		     0);
	if (ret)
		return ret;
	mem->bytes = want;
	mem->mmapped = true;
	return 0;
}

int vfake_mm_map(struct vfake_mm *mm, struct vfake_mem *mem, uint64_t offset, uint64_t len,
		 int prot, enum vfake_area_kind kind, uint64_t *addr)
{
	struct vfake_area area = { .mem = mem, .offset = offset, .prot = prot, .kind = kind };
	uint64_t slots = (len + slot_bytes / 2 - 1) / slot_bytes + 1;
	int ret = reserve_area(mm);

	if (ret)
		return ret;
	do {
		if (len > arena_end - mm->next_addr ||
		    slots * slot_bytes > arena_end - mm->next_addr)
			return -ENOMEM;
		area.start = mm->next_addr;
		/* A file's bytes lie in the host's pages as they do in the file. */
		if (mm->host_memory && kind != VFAKE_AREA_ANON)
			area.start += offset & host_page_mask();
		mm->next_addr += slots * slot_bytes;
		ret = mm->host_memory ? host_map(mem, offset, len, prot, kind, area.start) : 0;
	} while (ret == -EEXIST);
	if (ret)
		return ret;
	area.last = area.start + len - 1;
	vfake_mem_get(mem);
	insert_area(mm, &area);
	*addr = area.start;
	return 0;
}

/* Cuts [start, last] out of the area at @index; room for one more area is there. Returns the index
 * to go on with. */
static size_t cut_area(struct vfake_mm *mm, size_t index, uint64_t start, uint64_t last)
{
	struct vfake_area *area = &mm->areas[index];
	uint64_t from = start > area->start ? start : area->start;
	uint64_t to = last < area->last ? last : area->last;
	struct vfake_area tail = *area;

	host_unmap(mm, area, from, to - from + 1);
	if (from > area->start && to < area->last) {
		area->last = from - 1;
		tail.offset += to + 1 - tail.start;
		tail.start = to + 1;
		vfake_mem_get(tail.mem);
		insert_area(mm, &tail);
		return index + 2;
	}
	if (from > area->start) {
		area->last = from - 1;
		return index + 1;
	}
	if (to < area->last) {
		area->offset += to + 1 - area->start;
		area->start = to + 1;
		return index + 1;
	}
	vfake_mem_put(area->mem);
	mm->area_count--;
	memmove(area, area + 1, (mm->area_count - index) * sizeof(*area));
	return index;
}

int vfake_mm_unmap(struct vfake_mm *mm, uint64_t addr, uint64_t len)
{
	uint64_t page_mask = vfake_page_size(mm->kernel) - 1;
	uint64_t last;
	size_t index;

	if ((addr & page_mask) || !len || len > task_size || addr > task_size - len)
		return -EINVAL;
	if (reserve_area(mm))
		return -ENOMEM;
	last = addr + ((len + page_mask) & ~page_mask) - 1;
	index = area_index(mm, addr);
	while (index < mm->area_count && mm->areas[index].start <= last)
		index = cut_area(mm, index, addr, last);
	return 0;
}

/* ---- copies ---- */

bool vfake_access_ok(uint64_t addr, uint64_t len)
{
	return len <= task_size && addr <= task_size - len;
}

/* Memory of the program itself that no area describes. */
static bool is_host(const struct vfake_mm *mm, uint64_t addr, uint64_t len)
{
	if (!mm->host_memory || addr < 65536 || !vfake_access_ok(addr, len))
		return false;
	return addr + len <= arena_start || addr >= arena_end;
}

bool vfake_mm_host_last(const struct vfake_mm *mm, uint64_t addr, uint64_t *last)
{
	*last = (addr < arena_start ? arena_start : task_size) - 1;
	return is_host(mm, addr, 1);
}

static int copy(struct vfake_mm *mm, unsigned char *kernel_side, uint64_t addr, uint64_t len,
		bool to_user)
{
	if (is_host(mm, addr, len)) {
		void *there = (void *)(uintptr_t)addr;

		memcpy(to_user ? there : kernel_side, to_user ? (void *)kernel_side : there, len);
		return 0;
	}
	while (len) {
		const struct vfake_area *area = vfake_mm_find(mm, addr);
		unsigned char *bytes;
		uint64_t chunk;

		if (!area || !(area->prot & (to_user ? VFAKE_PROT_WRITE : VFAKE_PROT_READ)))
			return -EFAULT;
		chunk = area->last - addr + 1;
		if (chunk > len)
			chunk = len;
		bytes = vfake_mem_bytes(area->mem, area->offset + (addr - area->start));
		if (!bytes)
			return -EFAULT;
		memcpy(to_user ? bytes : kernel_side, to_user ? kernel_side : bytes, chunk);
		kernel_side += chunk;
		addr += chunk;
		len -= chunk;
	}
	return 0;
}

int vfake_mm_read(struct vfake_mm *mm, void *to, uint64_t from, uint64_t len)
{
	return copy(mm, to, from, len, false);
}

int vfake_mm_write(struct vfake_mm *mm, uint64_t to, const void *from, uint64_t len)
{
	return copy(mm, (unsigned char *)(uintptr_t)from, to, len, true);
}

/* ---- pins ---- */

/* Pages of the program that no area describes: pinned by address, nothing keeps them alive but the
 * program. */
static int64_t pin_host(struct vfake_mm *mm, uint64_t addr, uint64_t len, struct vfake_pin *pin)
{
	struct vfake_mem *mem = vfake_mem_new(mm->kernel, len);

	if (!mem)
		return -ENOMEM;
	mem->foreign = true;
	mem->bytes = (unsigned char *)(uintptr_t)addr;
	*pin = (struct vfake_pin){ .mem = mem, .len = len };
	mm->kernel->ledger.pinned_pages += len >> mm->kernel->page_shift;
	return (int64_t)len;
}

int64_t vfake_pin(struct vfake_mm *mm, uint64_t addr, uint64_t len, bool write,
		  struct vfake_pin *pin)
{
	const struct vfake_area *area;
	uint64_t room;

	if (is_host(mm, addr, len))
		return pin_host(mm, addr, len, pin);
	area = vfake_mm_find(mm, addr);
	if (!area || !(area->prot & (write ? VFAKE_PROT_WRITE : VFAKE_PROT_READ)))
		return -EFAULT;
	room = area->last - addr + 1;
	if (len > room)
		len = room;
	pin->mem = area->mem;
	pin->offset = area->offset + (addr - area->start);
	pin->len = len;
	pin->pfnmap = area->kind == VFAKE_AREA_PFNMAP;
	vfake_mem_get(pin->mem);
	mm->kernel->ledger.pinned_pages += len >> mm->kernel->page_shift;
	return (int64_t)len;
}

void vfake_pin_shrink(struct vfake_pin *pin, uint64_t len)
{
	struct vfake_kernel *kernel = pin->mem->kernel;

	kernel->ledger.pinned_pages -= len >> kernel->page_shift;
	pin->len -= len;
}

void vfake_unpin(struct vfake_pin *pin)
{
	if (!pin->mem)
		return;
	vfake_pin_shrink(pin, pin->len);
	vfake_mem_put(pin->mem);
	pin->mem = NULL;
}

void vfake_pin_by_page(const struct vfake_pin *pin, uint32_t count)
{
	struct vfake_kernel *kernel = pin->mem->kernel;

	kernel->ledger.pinned_pages -= pin->len >> kernel->page_shift;
	kernel->ledger.pinned_pages += count;
	pin->mem->refs += count - 1;
}

void vfake_unpin_pages(struct vfake_mem *mem, uint32_t count)
{
	mem->kernel->ledger.pinned_pages -= count;
	mem->refs -= count - 1;
	vfake_mem_put(mem);
}
