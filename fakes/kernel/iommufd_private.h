/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommufd's inside: what its files share and nobody else sees.
 *
 * Who holds whom, as in Linux 7.2 (drivers/iommu/iommufd/iommufd_private.h, io_pagetable.h):
 *   the context lives as long as the open file; a bound device and an open event queue hold that
 *   file
 *   an object counts its users, itself one of them; DESTROY takes only what has no other
 *   a page table (HWPT) uses its IOAS and its fault queue; an attached device uses its page table
 *   an area is a stretch of IOVAs of one IOAS and holds the pages behind it; a copied area holds
 *   the same pages; pages hold the process, the memory and the user that they are charged to
 *
 * Layers, lower ones first: iommufd_pages.c, io_pagetable_area.c, io_pagetable.c and
 * io_pagetable_domain.c, then iommufd_main.c, then the ioctls.
 */
#ifndef FAKES_IOMMUFD_PRIVATE_H
#define FAKES_IOMMUFD_PRIVATE_H

#include <uapi/iommufd.h>

#include "iommufd.h"
#include "iova_map.h"

struct iommufd_hwpt;
struct iommufd_ioas;
struct io_pagetable;

/* ---- pages: iommufd_pages.c ---- */

enum iopt_account_mode {
	IOPT_ACCOUNT_NONE, /* the process may lock what it likes */
	IOPT_ACCOUNT_USER, /* against the user's sum */
	IOPT_ACCOUNT_MM,   /* against the process's sum, as VFIO does */
	IOPT_ACCOUNT_MODES
};

enum iopt_pages_type {
	IOPT_USER,
	IOPT_FILE,
	IOPT_DMABUF, /* a device's BAR: neither pinned nor charged, and it may be revoked */
};

/* Pages next to each other that were pinned in one go and have the same users. */
struct iopt_run {
	uint64_t first; /* index of a page, counted from the start of the pages */
	uint64_t last;
	uint32_t users; /* filled areas that cover it: each covers all of it or nothing */
	struct vfake_pin pin;
};

struct iopt_area {
	uint64_t iova;
	uint64_t last_iova;
	struct io_pagetable *iopt;
	struct iopt_pages *pages; /* counted, once the area is complete */
	uint64_t first;		  /* pages that it covers */
	uint64_t last;
	uint32_t page_offset; /* bytes into the first page */
	uint8_t prot;	      /* VFAKE_IOMMU_* */
	bool filled;	      /* its pages are pinned for the page tables */
};

/* Who pays for pinned pages. Each of the three is counted by whoever has a payer. */
struct iopt_payer {
	struct vfake_task *task; /* whose RLIMIT_MEMLOCK counts */
	struct vfake_mm *mm;
	struct vfake_user *user;
	uint8_t mode; /* enum iopt_account_mode */
};

/* A linear piece of a process's memory or of a file that areas map, pinned as far as one needs. */
struct iopt_pages {
	struct vfake_kernel *kernel;
	uint32_t refs;
	bool writable;
	bool counted; /* while CHANGE_PROCESS adds up what it has to move */
	bool own_run_used;
	bool own_area_used;
	uint64_t npages;
	uint64_t npinned;
	struct iopt_payer payer;
	enum iopt_pages_type type;
	uint64_t start;		 /* page aligned: a user address, or an offset into the file */
	struct vfake_file *file; /* NULL also for a file without pages: it never pins */
	uint64_t revocations;	 /* of the dma-buf when it was mapped */
	size_t run_count;
	struct iopt_run *single; /* the run, while there is one only */
	struct iopt_run own_run; /* storage for one run, for maps that are pinned in one go */
	struct vfake_iova_map
		*runs;		   /* {first, first, struct iopt_run *}; NULL until there are two */
	struct iopt_area own_area; /* storage for one area: most pages have no other */
};

/*
 * What ordinary areas have in common. An area is ordinary when it is all that its pages have, and
 * they are memory of a process, pinned in one run or not at all. To give one back takes no more
 * than this and its length; so the table's value names the origin beside the area, and an unmap
 * does not read the area, which no cache has.
 */
struct iopt_origin {
	size_t areas; /* that name it; with none the place is free, and what follows means nothing
		       */
	struct iopt_payer payer;
	struct vfake_mem *mem; /* what their runs pin; NULL when they are not pinned */
};

/* New pages of @task for [addr, addr + length): 0, -EOVERFLOW, -EINVAL for no length, -ENOMEM. */
int iopt_pages_of_user(struct vfake_task *task, uint64_t addr, uint64_t length, bool writable,
		       struct iopt_pages **pages);
/* The same for bytes of an open file. */
int iopt_pages_of_file(struct vfake_task *task, struct vfake_file *file, uint64_t start,
		       uint64_t length, bool writable, struct iopt_pages **pages);
void iopt_pages_put(struct iopt_pages *pages);
/* An area of these pages, zeroed but for them, or NULL. It goes before they do. */
struct iopt_area *iopt_area_new(struct iopt_pages *pages);
void iopt_area_free(struct iopt_area *area);
/* An area that no map knows any more gives back what it has; a word in advance makes it faster. */
void iopt_area_release(struct iopt_area *area);
void iopt_area_prefetch(const struct iopt_area *area);
/* The same for an ordinary one: only its address is looked at. */
void iopt_area_release_unread(const struct iopt_area *area, uint64_t length_bytes,
			      struct iopt_origin *origin);
/* The origin of an ordinary area: fills *origin but for the number of areas. Else false. */
bool iopt_area_origin(const struct iopt_area *area, struct iopt_origin *origin);
/* A dma-buf that its device took back: no page table has it any more, now and later. */
bool iopt_pages_revoked(const struct iopt_pages *pages);

/* Pins what @area needs and charges it: 0 or -errno with nothing changed. Unfill gives it back. */
int iopt_area_fill(struct iopt_area *area);
void iopt_area_unfill(struct iopt_area *area);
/* Prepares a cut between two filled areas at page @index: 0 or -ENOMEM. */
int iopt_pages_cut(struct iopt_pages *pages, uint64_t index);
/* The memory behind page @index of a filled area, with the bytes that follow in the same run. */
const struct iopt_run *iopt_pages_run(const struct iopt_pages *pages, uint64_t index);

/* Charges @npages to whom the mode says, under the limit of the task: 0 or -ENOMEM. */
int iopt_charge(const struct iopt_payer *to, uint64_t npages);
void iopt_uncharge(const struct iopt_payer *from, uint64_t npages);
bool iopt_charge_is_of(const struct iopt_pages *pages, const struct vfake_task *task);
void iopt_pages_change_owner(struct iopt_pages *pages, struct vfake_task *task);

/* ---- the table of IOVAs: io_pagetable_area.c, io_pagetable.c, io_pagetable_domain.c ---- */

/* IOVAs that nothing may be mapped at. Those of two owners may overlap. */
struct iopt_reserved {
	TAILQ_ENTRY(iopt_reserved) next;
	uint64_t start;
	uint64_t last;
	const void *owner; /* a page table or a device */
};

/* The last IOVA that was chosen for whole pages: no gap below it takes this size and alignment. */
struct iopt_hint {
	bool valid;
	uint64_t alignment;
	uint64_t length;
	uint64_t from;
};

enum { IOPT_ORIGINS = 7 }; /* addresses of areas leave three bits for them */

struct io_pagetable {
	struct vfake_kernel *kernel;
	struct vfake_iova_map areas; /* value: struct iopt_area * | 1 + its origin, or | 0 */
	struct iopt_origin origins[IOPT_ORIGINS];
	struct vfake_iova_map allowed; /* IOVAs that no reservation may take */
	TAILQ_HEAD(iopt_reserved_list, iopt_reserved) reserved; /* by start */
	TAILQ_HEAD(iopt_domain_list, iommufd_hwpt) domains;
	uint64_t iova_alignment;
	bool disable_large_pages;
	struct iopt_hint hint;
};

/* A part of some pages on its way into a table. */
struct iopt_slice {
	TAILQ_ENTRY(iopt_slice) next;
	struct iopt_pages *pages; /* counted until the area takes the reference over */
	struct iopt_area *area;
	uint64_t start_byte;
	uint64_t length;
};
TAILQ_HEAD(iopt_slices, iopt_slice);

static inline struct iopt_area *iopt_area_of(const struct vfake_iova_range *range)
{
	return (struct iopt_area *)(uintptr_t)(range->value & ~(uint64_t)IOPT_ORIGINS);
}

/* Byte of the pages that @iova of the area leads to. */
uint64_t iopt_start_byte(const struct iopt_area *area, uint64_t iova);
/* Puts a complete area into the table of its IOAS: 0 or -ENOMEM. */
int iopt_insert_area(struct iopt_area *area);
/* Takes it out again, if it is there. */
void iopt_erase_area(struct iopt_area *area);
/* An area of the table became ordinary, or is so no more: pinned, unpinned, shared, split. */
void iopt_renew_origin(struct iopt_area *area);
/* What was just erased from the table gives back what it has; prefetch: in a moment. */
void iopt_release_range(struct io_pagetable *iopt, const struct vfake_iova_range *range);
void iopt_prefetch_range(const struct vfake_iova_range *range);
/* Splits the areas that contain @iova and go on after it. */
int iopt_cut(struct io_pagetable *iopt, uint64_t iova);

void iopt_init(struct io_pagetable *iopt, struct vfake_kernel *kernel);
void iopt_destroy(struct io_pagetable *iopt);

/* Maps @pages, whose reference it takes in any case. @fixed says that *iova is the caller's choice.
 */
int iopt_map_pages(struct iommufd_ctx *ictx, struct io_pagetable *iopt, struct iopt_pages *pages,
		   uint64_t start_byte, uint64_t length, int prot, bool fixed, uint64_t *iova);
/* Maps slices, as iopt_get_slices() made them; frees none. */
int iopt_map_slices(struct io_pagetable *iopt, struct iopt_slices *slices, uint64_t length,
		    int prot, bool fixed, uint64_t *iova);
int iopt_get_slices(struct io_pagetable *iopt, uint64_t iova, uint64_t length,
		    struct iopt_slices *slices);
void iopt_free_slices(struct io_pagetable *iopt, struct iopt_slices *slices);
/* Whole areas only. *unmapped counts the bytes also when it stops half-way with -ENOENT. */
int iopt_unmap(struct io_pagetable *iopt, uint64_t iova, uint64_t length, uint64_t *unmapped);
int iopt_unmap_all(struct io_pagetable *iopt, uint64_t *unmapped);
struct iopt_area *iopt_area_find(const struct io_pagetable *iopt, uint64_t iova);
struct iopt_area *iopt_area_first(const struct io_pagetable *iopt, uint64_t start, uint64_t last);
/* The next stretch without reservation from @from on. */
bool iopt_next_usable(const struct io_pagetable *iopt, uint64_t from, struct vfake_range *range);

/* Makes *allowed the list of IOVAs to keep; the old list comes back in it. 0 or -EADDRINUSE. */
int iopt_set_allowed(struct io_pagetable *iopt, struct vfake_iova_map *allowed);
int iopt_reserve(struct io_pagetable *iopt, uint64_t start, uint64_t last, const void *owner);
void iopt_unreserve(struct io_pagetable *iopt, const void *owner);
int iopt_add_domain(struct io_pagetable *iopt, struct iommufd_hwpt *hwpt);
void iopt_remove_domain(struct io_pagetable *iopt, struct iommufd_hwpt *hwpt);
int iopt_set_large_pages(struct io_pagetable *iopt, bool enable);

/* Dirty pages of one page table. */
void iopt_dirty_mark(struct iommufd_hwpt *hwpt, uint64_t iova, uint64_t len);
void iopt_dirty_forget(struct iommufd_hwpt *hwpt, uint64_t start, uint64_t last);
int iopt_read_dirty(struct vfake_call *call, struct iommufd_hwpt *hwpt,
		    const struct iommu_hwpt_get_dirty_bitmap *arg);

/* ---- objects: iommufd_main.c ---- */

enum iommufd_object_type {
	IOMMUFD_OBJ_ANY,
	IOMMUFD_OBJ_DEVICE,
	IOMMUFD_OBJ_IOAS,
	IOMMUFD_OBJ_HWPT_PAGING,
	IOMMUFD_OBJ_HWPT_NESTED, /* this and the next: only for hardware that nests, which is not
				    here */
	IOMMUFD_OBJ_VIOMMU,
	IOMMUFD_OBJ_FAULT,
	IOMMUFD_OBJ_TYPES
};

struct iommufd_object {
	uint32_t id;
	uint32_t users; /* itself one of them */
	enum iommufd_object_type type;
	bool finalized; /* ids find it */
};

struct iommufd_ctx {
	struct vfake_kernel *kernel;
	struct vfake_file *file; /* borrowed: the file owns us */
	struct iommufd_object **objects;
	uint32_t object_space;
	uint32_t object_count;
	uint32_t lowest_free; /* no id below it is free */
	LIST_HEAD(, iommufd_group) groups;
	uint8_t account_mode;
	bool no_iommu_mode;
	struct iommufd_ioas *vfio_ioas; /* what container ioctls work on; not counted */
};

/* A new object with an id, not to be found yet. NULL when memory is short. */
void *iommufd_object_alloc(struct iommufd_ctx *ictx, size_t size_bytes,
			   enum iommufd_object_type type);
void iommufd_object_finalize(struct iommufd_object *obj);
/* Frees an object that was not finalized and needs no destroy. */
void iommufd_object_abort(struct iommufd_ctx *ictx, struct iommufd_object *obj);
/* The object of that id and type, or NULL (-ENOENT). */
void *iommufd_object_get(struct iommufd_ctx *ictx, uint32_t id, enum iommufd_object_type type);
/* 0, -ENOENT, or -EBUSY while somebody else uses it. */
int iommufd_object_remove(struct iommufd_ctx *ictx, uint32_t id);
/* Gives up one use; the object goes when it was the last but its own. */
void iommufd_object_put_and_try_destroy(struct iommufd_ctx *ictx, struct iommufd_object *obj);
/* Ends a call that made @obj: publishes it, and takes it back when the copy-out faults. */
void iommufd_object_respond(struct vfake_call *call, struct iommufd_object *obj);

struct iommufd_ctx *iommufd_call_ctx(const struct vfake_call *call);

/* ---- IOAS: iommufd_ioas.c, iommufd_vfio.c ---- */

struct iommufd_ioas {
	struct iommufd_object obj;
	struct io_pagetable iopt;
};

struct iommufd_ioas *iommufd_ioas_alloc(struct iommufd_ctx *ictx);
void iommufd_ioas_destroy(struct iommufd_ctx *ictx, struct iommufd_object *obj);
long iommufd_ioas_alloc_ioctl(struct vfake_call *call);
long iommufd_ioas_iova_ranges(struct vfake_call *call);
long iommufd_ioas_allow_iovas(struct vfake_call *call);
long iommufd_ioas_map(struct vfake_call *call);
long iommufd_ioas_map_file(struct vfake_call *call);
long iommufd_ioas_copy(struct vfake_call *call);
long iommufd_ioas_unmap(struct vfake_call *call);
long iommufd_ioas_change_process(struct vfake_call *call);
long iommufd_option(struct vfake_call *call);

long iommufd_vfio_ioas(struct vfake_call *call);
long iommufd_vfio_get_api_version(struct vfake_call *call);
long iommufd_vfio_check_extension(struct vfake_call *call);
long iommufd_vfio_set_iommu(struct vfake_call *call);
long iommufd_vfio_get_info(struct vfake_call *call);
long iommufd_vfio_map_dma(struct vfake_call *call);
long iommufd_vfio_unmap_dma(struct vfake_call *call);
int iommufd_compat_ioas_id(struct iommufd_ctx *ictx, uint32_t *id);

/* ---- page tables: iommufd_hwpt.c ---- */

struct iommufd_fault;
struct iommufd_device;

struct iommufd_hwpt {
	struct iommufd_object obj;
	struct vfake_domain domain;
	struct iommufd_ioas *ioas;    /* counted */
	struct iommufd_fault *fault;  /* counted; NULL for none */
	TAILQ_ENTRY(iommufd_hwpt) in; /* io_pagetable.domains */
	bool listed;
	bool auto_domain; /* made by an attach to its IOAS, goes with the last device */
	bool pasid_compat;
	bool dirty_capable;
	bool dirty_tracking;
	struct vfake_iova_map dirty; /* {64 pages, value: a bit a page} */
};

/*
 * A new page table on @ioas for a device like @idev, filled with what is mapped. With @attach the
 * device is attached on the way. Not finalized. 0 or -errno.
 */
int iommufd_hwpt_alloc(struct iommufd_ctx *ictx, struct iommufd_ioas *ioas,
		       struct iommufd_device *idev, uint32_t pasid, uint32_t flags, bool user_data,
		       bool attach, struct iommufd_hwpt **out);
/* Undoes it before it was finalized. */
void iommufd_hwpt_abort(struct iommufd_ctx *ictx, struct iommufd_hwpt *hwpt);
void iommufd_hwpt_destroy(struct iommufd_ctx *ictx, struct iommufd_object *obj);
/* A device lets go of it. */
void iommufd_hwpt_put(struct iommufd_ctx *ictx, struct iommufd_hwpt *hwpt);
long iommufd_hwpt_alloc_ioctl(struct vfake_call *call);
long iommufd_hwpt_set_dirty_tracking(struct vfake_call *call);
long iommufd_hwpt_get_dirty_bitmap(struct vfake_call *call);
long iommufd_hwpt_invalidate(struct vfake_call *call);
long iommufd_get_hw_info(struct vfake_call *call);

/* ---- devices: iommufd_device.c ---- */

enum { IOMMUFD_NO_PASID = 0 };

struct iommufd_device {
	struct iommufd_object obj;
	struct iommufd_ctx *ictx; /* counted */
	struct iommufd_group *igroup;
	struct vfio_device *device;
	LIST_HEAD(, iommufd_pasid) pasids; /* that VFIO attached, ascending */
};

void iommufd_device_destroy(struct iommufd_ctx *ictx, struct iommufd_object *obj);
/* Attaches to @hwpt: 0 or -errno with nothing changed. */
int iommufd_device_do_attach(struct iommufd_device *idev, uint32_t pasid,
			     struct iommufd_hwpt *hwpt);
/* Detaches: the page table that it was attached to, whose use the caller gives back, or NULL. */
struct iommufd_hwpt *iommufd_device_do_detach(struct iommufd_device *idev, uint32_t pasid);

/* ---- faults and virtual IOMMUs: iommufd_viommu.c ---- */

struct iommufd_fault {
	struct iommufd_object obj;
	struct iommufd_ctx *ictx;
};

long iommufd_fault_alloc(struct vfake_call *call);
long iommufd_viommu_alloc(struct vfake_call *call);
long iommufd_vdevice_alloc(struct vfake_call *call);
long iommufd_veventq_alloc(struct vfake_call *call);
long iommufd_hw_queue_alloc(struct vfake_call *call);

#endif
