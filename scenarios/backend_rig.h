/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack on a fake kernel, for the scenarios of one backend: its calls are counted, one of them
 * can fail, and what the kernel answers can be changed. When guest memory may be discarded again,
 * none may be pinned.
 */
#ifndef SCENARIOS_BACKEND_RIG_H
#define SCENARIOS_BACKEND_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <uapi/kvm.h>
#include <uapi/vfio.h>
#include <vfake/kvm.h>
#include <vfake/spapr.h>
#include <vfake/sys.h>
#include <vfake/view.h>
#include <vfio/device.h>
#include <vfio/vmm_ref.h>

enum { RIG_RAM = 16 << 20, FIRST_FD = 3 };

struct backend_rig {
	struct vfake_world world;
	enum vfio_backend backend;
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	struct vfio_sys kernel_sys; /* as it is */
	struct vfio_vmm_ref ref;
	struct vfio_vmm ref_vmm;
	struct vfio *vfio;
	struct vfio_memory *memory;
	vfake_addr ram; /* RIG_RAM bytes */
	struct vfake_ledger start;
	/* call number `fail_at` (from 1) fails; 0: none */
	uint64_t calls;
	uint64_t fail_at;
	int fail_code; /* how opening a node fails; 0: EMFILE */
	/* after `skip` more, `times` calls of `request` do not happen and have this result */
	uint32_t request;
	long result;
	int skip;
	int times;
	/* sees each ioctl before it is made; where it returns true, it is not, and *ret the result
	 */
	bool (*instead)(struct backend_rig *rig, int fd, uint32_t request, void *arg, long *ret);
	/* sees each ioctl that was made, and may change its answer */
	void (*after)(struct backend_rig *rig, uint32_t request, void *arg, long *ret);
	uint64_t seen; /* of `watched` requests */
	uint32_t watched;
	uint64_t answer; /* for `after` */
	long moved;	 /* what reads and writes of regions say; 0: what is so */
	long streamed;	 /* what reading and writing a migration stream says */
	uint64_t pieces; /* how often it was read or written, and by which descriptor */
	int stream_fd;
	int map_code; /* what mapping an area says; 0: what is so */
	int map_prot; /* of the last area that was mapped */
	int maps;     /* areas that are mapped, and */
	uint64_t map_bytes;
	uint64_t allocs; /* the stack's, so far */
	/* what the VMM was told of last */
	char warning[512];
	char broken[512];
};

/* ---- calls ---- */

static inline bool rig_fails(struct backend_rig *rig)
{
	return ++rig->calls == rig->fail_at;
}

static inline int rig_open(void *ctx, const char *path)
{
	struct backend_rig *rig = ctx;

	if (rig_fails(rig))
		return rig->fail_code ? rig->fail_code : -EMFILE;
	return rig->kernel_sys.open(rig->kernel_sys.ctx, path);
}

static inline int rig_eventfd(void *ctx)
{
	struct backend_rig *rig = ctx;

	return rig_fails(rig) ? -EMFILE : rig->kernel_sys.eventfd(rig->kernel_sys.ctx);
}

static inline long rig_ioctl(void *ctx, int fd, uint32_t request, uint64_t arg)
{
	struct backend_rig *rig = ctx;
	long ret;

	if (rig_fails(rig))
		return -EIO;
	rig->seen += request == rig->watched;
	if (rig->times && request == rig->request && rig->skip-- <= 0) {
		rig->times--;
		return rig->result;
	}
	if (rig->instead && rig->instead(rig, fd, request, (void *)(uintptr_t)arg, &ret))
		return ret;
	ret = rig->kernel_sys.ioctl(rig->kernel_sys.ctx, fd, request, arg);
	if (rig->after)
		rig->after(rig, request, (void *)(uintptr_t)arg, &ret);
	return ret;
}

static inline int rig_close(void *ctx, int fd)
{
	struct backend_rig *rig = ctx;
	struct vfake_file_view view;
	int ret;

	/* A group has left its container before, unless the call that does it was the one that
	 * fails. */
	assert_int_equal(vfake_view_file(rig->task, fd, &view), 0);
	if (!rig->fail_at && !strcmp(view.kind, "group"))
		assert_false(view.in_container || view.devices);
	ret = rig->kernel_sys.close(rig->kernel_sys.ctx, fd);

	assert_int_equal(ret, 0); /* nothing is closed twice */
	return ret;
}

/* Reads, writes and maps of a device's regions. */
static inline long rig_pread(void *ctx, int fd, uint64_t buf, uint64_t len, uint64_t offset)
{
	const struct backend_rig *rig = ctx;

	if (rig->moved)
		return rig->moved;
	return rig->kernel_sys.pread(rig->kernel_sys.ctx, fd, buf, len, offset);
}

static inline long rig_pwrite(void *ctx, int fd, uint64_t buf, uint64_t len, uint64_t offset)
{
	const struct backend_rig *rig = ctx;

	if (rig->moved)
		return rig->moved;
	return rig->kernel_sys.pwrite(rig->kernel_sys.ctx, fd, buf, len, offset);
}

static inline int rig_mmap(void *ctx, uint64_t len, int prot, int fd, uint64_t offset,
			   uint64_t *addr)
{
	struct backend_rig *rig = ctx;
	int ret = rig->map_code;

	rig->map_prot = prot;
	if (!ret)
		ret = rig->kernel_sys.mmap(rig->kernel_sys.ctx, len, prot, fd, offset, addr);
	rig->maps += !ret;
	rig->map_bytes += ret ? 0 : len;
	return ret;
}

static inline long rig_stream(void *ctx, int fd, uint64_t buf, uint64_t len)
{
	struct backend_rig *rig = ctx;

	(void)buf;
	rig->stream_fd = fd;
	rig->pieces++;
	return rig->streamed > 0 && (uint64_t)rig->streamed > len && !rig->answer ? (long)len
										  : rig->streamed;
}

static inline int rig_munmap(void *ctx, uint64_t addr, uint64_t len)
{
	struct backend_rig *rig = ctx;

	rig->maps--;
	rig->map_bytes -= len;
	return rig->kernel_sys.munmap(rig->kernel_sys.ctx, addr, len);
}

static inline int rig_forbid_discard(void *ctx, bool forbid)
{
	struct backend_rig *rig = ctx;

	if (!forbid && rig->ref.discard_forbidden == 1)
		assert_int_equal(vfake_ledger(rig->kernel).pinned_pages, rig->start.pinned_pages);
	return rig->ref_vmm.forbid_discard(rig->ref_vmm.ctx, forbid);
}

static inline void *rig_alloc(void *ctx, size_t size)
{
	struct backend_rig *rig = ctx;

	rig->allocs++;
	return rig_fails(rig) ? NULL : rig->ref_vmm.alloc(rig->ref_vmm.ctx, size);
}

static inline void rig_free(void *ctx, void *block)
{
	struct backend_rig *rig = ctx;

	rig->ref_vmm.free(rig->ref_vmm.ctx, block);
}

static inline void rig_warn(void *ctx, const char *message)
{
	struct backend_rig *rig = ctx;

	snprintf(rig->warning, sizeof(rig->warning), "%s", message);
	rig->ref_vmm.warn(rig->ref_vmm.ctx, message);
}

static inline void rig_broken(void *ctx, int code, const char *message)
{
	struct backend_rig *rig = ctx;

	snprintf(rig->broken, sizeof(rig->broken), "%s", message);
	rig->ref_vmm.container_broken(rig->ref_vmm.ctx, code, message);
}

/* The next @times calls of @request are not made and have this result. */
static inline void rig_answer(struct backend_rig *rig, uint32_t request, long result, int times)
{
	rig->request = request;
	rig->result = result;
	rig->times = times;
	rig->skip = 0;
}

/* The one after @skip more is not. */
static inline void rig_answer_later(struct backend_rig *rig, uint32_t request, long result,
				    int skip)
{
	rig_answer(rig, request, result, 1);
	rig->skip = skip;
}

/* ---- the stack ---- */

/* A new stack and empty memory. */
static inline void rig_new_stack(struct backend_rig *rig)
{
	const struct vfio_vmm vmm = {
		.ctx = rig,
		.alloc = rig_alloc,
		.free = rig_free,
		.forbid_discard = rig_forbid_discard,
		.container_broken = rig_broken,
		.warn = rig_warn,
	};
	struct vfio_sys sys = rig->kernel_sys;

	sys.ctx = rig;
	sys.open = rig_open;
	sys.close = rig_close;
	sys.ioctl = rig_ioctl;
	sys.eventfd = rig_eventfd;
	sys.pread = rig_pread;
	sys.pwrite = rig_pwrite;
	sys.mmap = rig_mmap;
	sys.munmap = rig_munmap;
	/* What these scenarios have no use for would get the wrong context. */
	sys.dup = NULL;
	sys.read = rig_stream;
	sys.write = rig_stream;
	rig->vfio = vfio_new(&sys, &vmm);
	rig->memory = vfio_memory_new(NULL);
	assert_non_null(rig->vfio);
	assert_non_null(rig->memory);
}

/* Everything is back: the kernel's objects, the VMM's counts, the stack's memory. */
static inline void rig_end_stack(struct backend_rig *rig)
{
	struct vfake_ledger now;

	vfio_free(rig->vfio);
	vfio_memory_free(rig->memory);
	now = vfake_ledger(rig->kernel);
	assert_int_equal(now.open_files, rig->start.open_files);
	assert_int_equal(now.descriptors, rig->start.descriptors);
	assert_int_equal(now.allocations, rig->start.allocations);
	assert_int_equal(now.pinned_pages, rig->start.pinned_pages);
	assert_int_equal(now.locked_pages, rig->start.locked_pages);
	assert_int_equal(now.warnings, 0);
	assert_int_equal(rig->ref.blocks, 0);
	assert_int_equal(rig->ref.discard_forbidden, 0);
	assert_int_equal(rig->ref.blocker_count, 0);
	assert_int_equal(rig->ref.state_count, 0);
	assert_true(!rig->maps && !rig->map_bytes);
}

/* Boots rig->world. */
static inline void rig_start(struct backend_rig *rig)
{
	struct vfake_task_attr attr = vfake_root;

	attr.host_memory = true;
	rig->kernel = vfake_kernel_new(&rig->world, NULL);
	assert_non_null(rig->kernel);
	rig->task = vfake_task_new(rig->kernel, &attr);
	assert_non_null(rig->task);
	vfake_sys(&rig->kernel_sys, rig->task);
	vfio_vmm_ref(&rig->ref, &rig->ref_vmm);
	assert_int_equal(vfake_mmap(rig->task, RIG_RAM, VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0,
				    &rig->ram),
			 0);
	rig->start = vfake_ledger(rig->kernel);
	rig_new_stack(rig);
}

static inline void rig_stop(struct backend_rig *rig)
{
	rig_end_stack(rig);
	vfake_task_exit(rig->task);
	vfake_kernel_free(rig->kernel);
}

/* ---- memory and devices ---- */

static inline uint32_t rig_add(struct backend_rig *rig, const struct vfio_memory_region *region)
{
	struct vfio_error error = { 0 };
	uint32_t id = 0;

	if (!vfio_memory_add(rig->memory, region, &id, &error))
		fail_msg("%s", error.message);
	return id;
}

/* Memory of a kind at [start, last], shown at @vaddr. */
static inline uint32_t rig_add_kind(struct backend_rig *rig, const char *name,
				    enum vfio_memory_kind kind, uint64_t start, uint64_t last,
				    uint64_t vaddr)
{
	const struct vfio_memory_region region = { .name = name,
						   .kind = kind,
						   .start = start,
						   .last = last,
						   .vaddr = vaddr,
						   .fd = -1,
						   .granularity = 4096 };

	return rig_add(rig, &region);
}

static inline bool rig_plug(struct backend_rig *rig, uint32_t id, uint64_t start, uint64_t last,
			    struct vfio_error *error)
{
	memset(error, 0, sizeof(*error));
	return vfio_memory_populate(rig->memory, id, start, last, error);
}

/* Window @number of the first container of the process. False when it is not there. */
static inline bool rig_find_window(struct backend_rig *rig, int number,
				   struct vfake_spapr_window *window)
{
	for (int fd = 0; fd < 32; fd++) {
		if (!vfake_spapr_window(rig->task, fd, number, window))
			return true;
	}
	return false;
}

/* @size bytes of the rig's RAM from @offset on, at guest address @start. */
static inline uint32_t rig_add_ram(struct backend_rig *rig, uint64_t start, uint64_t offset,
				   uint64_t size)
{
	const struct vfio_memory_region region = { .name = "ram",
						   .kind = VFIO_MEMORY_RAM,
						   .start = start,
						   .last = start + (size - 1),
						   .vaddr = rig->ram + offset,
						   .fd = -1 };

	return rig_add(rig, &region);
}

/* A region that a vIOMMU translates, by pages of @page bytes. */
static inline struct vfio_memory_region rig_viommu(uint64_t start, uint64_t size, uint64_t page)
{
	return (struct vfio_memory_region){ .name = "viommu",
					    .kind = VFIO_MEMORY_IOMMU,
					    .start = start,
					    .last = start + (size - 1),
					    .fd = -1,
					    .iommu_pgsizes = page };
}

/* All of the rig's RAM at 0 of @ram. */
static inline void rig_fill(struct backend_rig *rig, struct vfio_memory *ram)
{
	const struct vfio_memory_region region = { .name = "ram",
						   .kind = VFIO_MEMORY_RAM,
						   .last = RIG_RAM - 1,
						   .vaddr = rig->ram,
						   .fd = -1 };
	uint32_t id;

	assert_true(vfio_memory_add(ram, &region, &id, NULL));
}

static inline int rig_new_vm(struct backend_rig *rig)
{
	int kvm = vfake_open(rig->task, "/dev/kvm");
	int vm = (int)vfake_ioctl(rig->task, kvm, KVM_CREATE_VM, 0);

	assert_true(vm >= 0);
	assert_int_equal(vfake_close(rig->task, kvm), 0);
	return vm;
}

/* The options of a device of the world. @group: room for its node's name. */
static inline struct vfio_device_options rig_options(const struct backend_rig *rig,
						     const char *name, char group[32])
{
	const struct vfake_device_desc *desc = vfake_device_desc(rig->kernel, name);

	assert_non_null(desc);
	if (rig->backend == VFIO_BACKEND_IOMMUFD) {
		snprintf(group, 32, "vfio%u", desc->cdev);
		return (struct vfio_device_options){ .name = name,
						     .backend = rig->backend,
						     .cdev = group };
	}
	snprintf(group, 32, desc->noiommu ? "noiommu-%u" : "%u", desc->group);
	return (struct vfio_device_options){ .name = name,
					     .backend = rig->backend,
					     .group = group };
}

/* The error is set when and only when it fails. */
static inline struct vfio_device *rig_try(struct backend_rig *rig, struct vfio_memory *memory,
					  const struct vfio_device_options *options,
					  struct vfio_error *error)
{
	struct vfio_device *device;

	memset(error, 0, sizeof(*error));
	device = vfio_device_attach(rig->vfio, memory, options, error);
	assert_int_equal(error->code < 0, !device);
	assert_int_equal(error->message[0] != 0, !device);
	return device;
}

static inline struct vfio_device *rig_attach(struct backend_rig *rig, const char *name)
{
	char group[32];
	const struct vfio_device_options options = rig_options(rig, name, group);
	struct vfio_error error;
	struct vfio_device *device = rig_try(rig, rig->memory, &options, &error);

	if (!device)
		fail_msg("%s", error.message);
	return device;
}

/* Attaching fails with that errno and a message that says so. */
static inline void rig_refused(struct backend_rig *rig, struct vfio_memory *memory,
			       const struct vfio_device_options *options, int code,
			       const char *message)
{
	struct vfio_error error;

	assert_null(rig_try(rig, memory, options, &error));
	if (error.code != code || !strstr(error.message, message))
		fail_msg("%d: %s", error.code, error.message);
}

static inline void rig_refuses(struct backend_rig *rig, const char *name, int code,
			       const char *message)
{
	char group[32];
	const struct vfio_device_options options = rig_options(rig, name, group);

	rig_refused(rig, rig->memory, &options, code, message);
}

static inline struct vfio_container_info rig_info(const struct vfio_device *device)
{
	struct vfio_container_info info;

	vfio_container_info(vfio_device_container(device), &info);
	return info;
}

static inline struct vfake_device_view rig_view(const struct backend_rig *rig, const char *name)
{
	struct vfake_device_view view;

	assert_int_equal(vfake_view_device(rig->kernel, name, &view), 0);
	return view;
}

/*
 * The VMM was warned @times times since it was asked for the last time, and the last warning has
 * @text in it.
 */
static inline void rig_warned(struct backend_rig *rig, uint32_t times, const char *text)
{
	if (rig->ref.warnings_seen != times || !strstr(rig->warning, text))
		fail_msg("%u times: %s", rig->ref.warnings_seen, rig->warning);
	rig->ref.warnings_seen = 0;
	rig->warning[0] = 0;
}

/* Where a device's access goes, as an offset of the rig's RAM; -1 for a fault. */
static inline long rig_reach(const struct backend_rig *rig, const char *name, uint64_t iova)
{
	struct vfake_target_view target;

	if (vfake_view_translate(rig->kernel, name, rig->task, iova, &target))
		return -1;
	return (long)(target.vaddr - rig->ram);
}

/* ---- fixtures ---- */

static inline int rig_set_up(void **state, enum vfio_backend backend,
			     void (*world)(struct vfake_world *world))
{
	static struct backend_rig rig;

	memset(&rig, 0, sizeof(rig));
	rig.backend = backend;
	world(&rig.world);
	assert_int_equal(vfake_world_add_device(&rig.world, "d0", "edu"), 0);
	assert_int_equal(vfake_world_add_device(&rig.world, "d1", "e1000e"), 0);
	assert_int_equal(vfake_world_add_device(&rig.world, "d2", "plain"), 0);
	*state = &rig;
	return 0;
}

/* An x86 machine with d0, d1 and d2, not booted yet. */
static inline int rig_set_up_legacy(void **state)
{
	return rig_set_up(state, VFIO_BACKEND_LEGACY, vfake_world_x86);
}

/* The same, by cdev and iommufd. */
static inline int rig_set_up_iommufd(void **state)
{
	return rig_set_up(state, VFIO_BACKEND_IOMMUFD, vfake_world_x86);
}

/* A POWER machine with the same. */
static inline int rig_set_up_spapr(void **state)
{
	return rig_set_up(state, VFIO_BACKEND_SPAPR, vfake_world_powernv);
}

static inline int rig_tear_down(void **state)
{
	rig_stop(*state);
	return 0;
}

#define LEGACY_STORY(name)  cmocka_unit_test_setup_teardown(name, rig_set_up_legacy, rig_tear_down)
#define SPAPR_STORY(name)   cmocka_unit_test_setup_teardown(name, rig_set_up_spapr, rig_tear_down)
#define IOMMUFD_STORY(name) cmocka_unit_test_setup_teardown(name, rig_set_up_iommufd, rig_tear_down)

/* ---- sweeps ---- */

/*
 * Tells a story as often as it has calls and allocations, and each time another one fails. It is
 * to end early and clean; whatever happened, all is back then, and the same story then works.
 */
static inline void rig_sweep(struct backend_rig *rig, bool (*story)(struct backend_rig *rig))
{
	uint64_t hits = 0;

	for (uint64_t n = 1;; n++) {
		uint64_t calls;

		rig->calls = 0;
		rig->fail_at = n;
		story(rig);
		rig_end_stack(rig);
		calls = rig->calls;
		rig->fail_at = 0;
		rig_new_stack(rig);
		assert_true(story(rig));
		rig_end_stack(rig);
		rig_new_stack(rig);
		if (calls < n)
			break;
		hits++;
	}
	assert_true(hits > 20);
}

#endif
