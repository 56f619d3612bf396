/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model's arrays, and what its files share. An index of -1 is nothing.
 *
 *   model.c          life, events, descriptors   model_files.c    open files and their ends
 *   model_vfio.c     groups, containers, devices model_device.c   a device's interrupts, features
 *   model_space.c    mappings, who pays          model_type1.c    type1
 *   model_iommufd.c  objects                     model_ioas.c     mappings of an IOAS
 *   model_spapr.c    sPAPR                       model_kvm.c      virtual machines
 *   model_compare.c  against the kernel          model_mappings.c the same for mappings
 */
#ifndef HARNESS_MODEL_INTERNAL_H
#define HARNESS_MODEL_INTERNAL_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include <uapi/table.h>
#include <vfake/view.h>

#include "kernel_model.h"

enum { MODEL_TEXT = 1024, MODEL_VECTORS = 2048, MODEL_RIGHTS_READ = 1, MODEL_RIGHTS_WRITE = 2 };

enum { MODEL_TCES = -2 };

enum model_kind {
	MODEL_FREE,
	MODEL_CONTAINER,
	MODEL_GROUP,
	MODEL_DEVICE,
	MODEL_IOMMUFD,
	MODEL_KVM,
	MODEL_VM,
	MODEL_KVM_DEVICE,
	MODEL_TCE_TABLE,
	MODEL_EVENTFD,
	MODEL_MEMFD,
	MODEL_DMABUF,
	MODEL_FAULTS,
	MODEL_STREAM,
	MODEL_OTHER, /* sockets and what else the model knows nothing of */
	MODEL_KINDS
};

/*
 * A process with its memory. Its index stays its own after it ended; exec() ends it, too, and makes
 * another of the same user.
 */
struct model_task {
	const struct vfake_task *task;
	bool live;
	int user; /* index of the process that has the count of its user */
	struct vfake_task_attr attr;
	uint64_t locked; /* pages, as in struct vfake_task_view */
	uint64_t pinned;
	uint64_t user_locked;
	int *fds; /* by descriptor: a file, or -1 */
	size_t fd_space;
};

/* An open file. Free when nothing refers to it. */
struct model_file {
	enum model_kind kind;
	uint32_t refs;
	const void *id;	  /* the kernel's, once it was seen */
	int of;		  /* container, group, device, iommufd or VM behind it */
	bool by_group;	  /* a device's */
	bool bound;	  /* a device's, by its own node */
	int iommufd;	  /* that it is bound to; of a fault queue: whose */
	int vm;		  /* a device's by its own node: set by the KVM VFIO device */
	uint32_t object;  /* a fault queue's */
	int payer;	  /* a TCE table's: the task */
	uint64_t charged; /* and the pages */
};

enum model_driver { DRIVER_NONE, DRIVER_TYPE1, DRIVER_SPAPR, DRIVER_NOIOMMU };

struct model_window {
	bool live;
	uint64_t start;
	uint64_t last;
	uint32_t page_shift;
	uint64_t charged; /* pages */
};

struct model_container {
	uint32_t refs; /* its file and each group in it; 0 is free */
	uint32_t groups;
	enum model_driver driver;
	uint8_t version;
	bool dirty_tracking;
	int space;
	/* sPAPR */
	int owner; /* the task that it works for */
	bool enabled;
	uint64_t enabled_pages;
	bool default_pending;
	bool served; /* a guest may change its TCEs by itself */
	struct model_window windows[2];
};

struct model_group {
	uint32_t number;
	bool noiommu;
	int file;
	int container;
	int iommufd;
	uint32_t users;
	uint32_t cdevs;
	int vm;
};

/* PASID 0, said to be one, is not the same as none; VFIO has none of these. */
enum { MODEL_PASID_ZERO = INT32_MIN };

struct model_pasid {
	uint32_t pasid;
	uint32_t page_table;
};

struct model_device {
	const char *name;
	int group;
	uint32_t open_count;
	int iommufd;	     /* that it is bound to */
	uint32_t id;	     /* there */
	uint32_t page_table; /* that it is attached to, 0 for none */
	struct model_pasid *pasids;
	size_t pasid_count;
	size_t pasid_space;
	int vm;
	uint32_t irq_index;
	uint8_t vectors[MODEL_VECTORS / 8];
	bool err_irq;
	bool req_irq;
	uint32_t migration;
	int stream; /* file */
	bool dma_logging;
};

struct model_object {
	uint32_t id;
	uint32_t kind; /* enum uapi_object */
	uint32_t users;
	uint32_t on;	/* a page table: its IOAS */
	uint32_t fault; /* a page table: its fault queue */
	int space;	/* an IOAS */
	bool automatic;
	bool dirty_capable;
	bool dirty_tracking;
};

struct model_iommufd {
	int file; /* -1 is free */
	uint8_t account;
	bool no_iommu;
	uint32_t compat;
	struct model_object *objects; /* by id, ascending */
	size_t object_count;
	size_t object_space;
};

/* One stretch of memory as iommufd holds it; areas share it. */
struct model_pages {
	uint32_t areas; /* 0 is free */
	int task;
	int file; /* -1: the task's memory */
	bool dmabuf;
	bool writable;
	uint8_t account; /* 0 none, 1 user, 2 process */
	uint64_t start;	 /* page aligned */
	uint64_t pinned;
};

struct model_mapping {
	uint64_t iova;
	uint64_t last;
	uint64_t vaddr; /* or offset into the file */
	int task;
	uint8_t rights;
	bool suspended;
	bool pinned;
	int pages;	  /* an IOAS's; -1: type1's, MODEL_TCES: sPAPR's */
	uint64_t charged; /* type1: pages */
};

struct model_range {
	uint64_t start;
	uint64_t last;
};

struct model_space {
	bool live;
	bool small_pages; /* an IOAS whose areas may be cut */
	uint32_t page_tables;
	struct model_mapping *mappings; /* by IOVA, ascending; they never overlap */
	size_t count;
	size_t room;
	struct model_range *allowed; /* an IOAS: IOVAs that the kernel may choose, if any */
	size_t allowed_count;
};

struct model_vm {
	uint32_t refs; /* 0 is free */
	int task;
	int *files; /* of its VFIO device, oldest first */
	size_t file_count;
	size_t file_space;
	bool has_device;
};

/* Memory registered for sPAPR v2. */
struct model_region {
	int task; /* -1 is free */
	uint64_t vaddr;
	uint64_t size;
	uint64_t used;
	uint64_t tces;
};

struct model_registration {
	int container; /* -1 is free */
	int region;
};

/* A growing array of anything: `count` of `space` are in use. */
#define MODEL_ARRAY(type, name)                                                                    \
	type *name;                                                                                \
	size_t name##_count;                                                                       \
	size_t name##_space

struct model {
	const struct vfake_kernel *kernel;
	const struct vfake_world *world;
	const struct vfake_event *event; /* the one that is folded in */
	bool stopped;
	uint64_t events;
	uint64_t page;
	uint32_t page_shift;
	uint64_t pinned; /* pages, all */
	uint32_t open_files;
	uint32_t descriptors;
	bool mourning;	  /* a process ended with pages charged to it: Linux forgets them late */
	bool unsure_tces; /* TCEs are filled that no call names */
	bool in_flight;	  /* messages may hold files: there are more references than seen */
	MODEL_ARRAY(struct model_task, tasks);
	MODEL_ARRAY(struct model_file, files);
	MODEL_ARRAY(struct model_container, containers);
	MODEL_ARRAY(struct model_iommufd, iommufds);
	MODEL_ARRAY(struct model_space, spaces);
	MODEL_ARRAY(struct model_pages, pages);
	MODEL_ARRAY(struct model_vm, vms);
	MODEL_ARRAY(struct model_region, regions);
	MODEL_ARRAY(struct model_registration, registrations);
	struct model_group *groups;
	size_t group_count;
	struct model_device *devices;
	size_t device_count;
	/* what the event touched */
	int touched_space;
	int touched_iommufd;
	uint64_t touched_iova;
	uint64_t touched_last;
	char text[MODEL_TEXT];
};

/* ---- model.c ---- */

/* Notes the disagreement, with the call. The first one stays. */
void model_says(struct model *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The call must have had this answer, unless a fault was injected. True when it had. */
bool model_expect(struct model *m, long ret);
/* Room for one more element behind `count`; zeroed. False, and the model stops, without memory. */
bool model_room(struct model *m, void *array, size_t *space, size_t count, size_t item_bytes);
int model_task(struct model *m, const struct vfake_task *task);
/* The file behind a descriptor, or -1. */
int model_fd(const struct model *m, int task, int fd);
/* The kernel gave @task this descriptor for @file, which gets a reference by it. */
void model_install(struct model *m, int task, long fd, int file);
/* The struct of the call was handled, and its answer could not be copied to the caller. */
bool model_copyout_failed(const struct model *m);
/* The call had its effect, and keeps it although its answer may not have arrived. */
bool model_done(const struct model *m);
/* Memory of the caller: false when it cannot be read. */
bool model_load(const struct model *m, uint64_t addr, void *bytes, uint64_t len);
void model_touch(struct model *m, int space, uint64_t iova, uint64_t last);

/* ---- model_files.c ---- */

int model_file_new(struct model *m, enum model_kind kind, int of);
void model_file_get(struct model *m, int file);
void model_file_put(struct model *m, int file);
const char *model_kind_name(enum model_kind kind);

/* ---- model_vfio.c ---- */

void model_open(struct model *m, int task);
void model_on_container(struct model *m, int task, int file);
void model_on_group(struct model *m, int task, int file);
void model_group_released(struct model *m, int group);
void model_container_put(struct model *m, int container);
void model_device_opened(struct model *m, int device, int vm);
void model_device_closed(struct model *m, int device);

/* ---- model_device.c ---- */

void model_on_device(struct model *m, int task, int file);
void model_device_released(struct model *m, const struct model_file *file);
/* What its driver holds for its user goes. */
void model_device_reset(struct model *m, int device);

/* ---- model_space.c ---- */

int model_space_new(struct model *m);
void model_space_free(struct model *m, int space);
/* The first mapping that ends at or after @iova: an index, `count` for none. */
size_t model_find(const struct model_space *space, uint64_t iova);
bool model_overlaps(const struct model_space *space, uint64_t iova, uint64_t last);
struct model_mapping *model_insert(struct model *m, int space, const struct model_mapping *mapping);
/* Takes a mapping out and gives back what it holds. */
void model_remove(struct model *m, int space, size_t index);
void model_remove_all(struct model *m, int space);
/* A call that takes mappings in ascending order stopped half-way: takes out what the kernel has not
 * any more. */
void model_take_front(struct model *m, const struct vfake_space_at *at, int space, uint64_t iova,
		      uint64_t last);
/* Whether memory is there: pages of it that are registers in *registers. */
bool model_memory(const struct model *m, int task, uint64_t addr, uint64_t len, bool write,
		  uint64_t *registers);
uint64_t model_pages_of(const struct model *m, uint64_t bytes);
uint64_t model_limit(const struct model *m, int task);
uint64_t *model_user_locked(struct model *m, int task);
/* The sum of pages that areas of some pages pin has changed. */
void model_recount(struct model *m, int pages);

/* ---- model_type1.c, model_spapr.c, model_kvm.c ---- */

void model_on_type1(struct model *m, int task, int container);
void model_on_spapr(struct model *m, int task, int container);
void model_spapr_group_leaves(struct model *m, int container);
void model_spapr_release(struct model *m, int container);
/* What nobody took back goes with the last who holds the process's memory. */
void model_spapr_forget(struct model *m, int task);
void model_on_kvm(struct model *m, int task, int file);
void model_on_vm(struct model *m, int task, int file);
void model_on_kvm_device(struct model *m, int task, int file);
void model_kvm_device_released(struct model *m, int vm);
void model_vm_put(struct model *m, int vm);

/* ---- model_iommufd.c, model_ioas.c ---- */

int model_iommufd_new(struct model *m, int file, bool compat);
void model_iommufd_released(struct model *m, int iommufd);
void model_on_iommufd(struct model *m, int task, int file);
struct model_object *model_object(const struct model *m, int iommufd, uint32_t id);
struct model_object *model_object_new(struct model *m, int iommufd, uint32_t id, uint32_t kind);
void model_object_destroy(struct model *m, int iommufd, uint32_t id);
uint32_t model_free_id(const struct model *m, int iommufd);
uint32_t model_ioas_new(struct model *m, int iommufd, uint32_t id);
void model_bind(struct model *m, int device, int iommufd, uint32_t id);
void model_unbind(struct model *m, int device);
void model_attach(struct model *m, int device, uint32_t pasid, uint32_t to, uint32_t got);
void model_detach(struct model *m, int device, uint32_t pasid);
void model_page_table_added(struct model *m, int space);
void model_page_table_gone(struct model *m, int space);
/* Ioctls of an iommufd that map; false when it is none of them. */
bool model_on_ioas(struct model *m, int task, int iommufd);

/* ---- model_compare.c ---- */

/* Says which number differs. True when it does not. */
bool model_same(struct model *m, const char *whose, const char *what, uint64_t kernel,
		uint64_t model);
/* Every mapping in [iova, last], in both. */
void model_compare_space(struct model *m, const struct vfake_space_at *at, int index, uint64_t iova,
			 uint64_t last);
/* Processes that ended are forgotten when nothing holds their memory any more. */
void model_mourn(struct model *m);
/* Where the kernel has an iommufd, or a container: by a descriptor or by a device in it. */
bool model_iommufd_at(const struct model *m, int iommufd, struct vfake_space_at *at);
bool model_container_at(const struct model *m, int container, struct vfake_space_at *at);
void model_compare_touched(struct model *m, int task);
void model_compare_all(struct model *m);

#endif
