/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model sees every kind of state: whatever call it is not told of, it disagrees with the kernel
 * from then on and says what about.
 */
#include "model_rig.h"

#include <uapi/vfio.h>
#include <uapi/vfio_iommu.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { CONTAINER, GROUP, DEVICE, IOMMUFD, EVENTFD, COPY, VM, LIST, STREAM, MEMFD };
enum { IOVA = 0x100000 };

/* ---- files, a container of type1, a device ---- */

static void open_container(struct watched *w)
{
	w->fd[CONTAINER] = vfake_open(w->task, "/dev/vfio/vfio");
	assert_true(w->fd[CONTAINER] >= 0);
}

static void open_d0(struct watched *w)
{
	w->fd[GROUP] = open_group(w->task, w->kernel, "d0");
	assert_true(w->fd[GROUP] >= 0);
}

static void join(struct watched *w)
{
	assert_int_equal(call(w->task, w->fd[GROUP], VFIO_GROUP_SET_CONTAINER, &w->fd[CONTAINER]),
			 0);
}

static void set_type1(struct watched *w)
{
	assert_int_equal(call_with(w->task, w->fd[CONTAINER], VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU),
			 0);
}

static void get_device(struct watched *w)
{
	char name[] = "d0";

	w->fd[DEVICE] = (int)call(w->task, w->fd[GROUP], VFIO_GROUP_GET_DEVICE_FD, name);
	assert_true(w->fd[DEVICE] >= 0);
}

static long map_flags(struct watched *w, uint32_t flags, uint64_t iova)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = flags,
						.vaddr = w->memory,
						.iova = iova,
						.size = WATCHED_BYTES };

	return call(w->task, w->fd[CONTAINER], VFIO_IOMMU_MAP_DMA, &map);
}

static long unmap_flags(struct watched *w, uint32_t flags, uint64_t iova)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = flags, .iova = iova, .size = WATCHED_BYTES
	};

	return call(w->task, w->fd[CONTAINER], VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static void map(struct watched *w)
{
	assert_int_equal(map_flags(w, 3, IOVA), 0);
}

static void map_readable(struct watched *w)
{
	assert_int_equal(map_flags(w, 1, 2 * IOVA), 0);
}

static void suspend(struct watched *w)
{
	assert_int_equal(unmap_flags(w, VFIO_DMA_UNMAP_FLAG_VADDR, IOVA), 0);
}

static void resume(struct watched *w)
{
	assert_int_equal(map_flags(w, VFIO_DMA_MAP_FLAG_VADDR, IOVA), 0);
}

static void unmap(struct watched *w)
{
	assert_int_equal(unmap_flags(w, 0, IOVA), 0);
}

static long track(struct watched *w, uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap arg = { .argsz = sizeof(arg), .flags = flags };

	return call(w->task, w->fd[CONTAINER], VFIO_IOMMU_DIRTY_PAGES, &arg);
}

static void track_start(struct watched *w)
{
	assert_int_equal(track(w, VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0);
}

static void track_stop(struct watched *w)
{
	assert_int_equal(track(w, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP), 0);
}

static void make_eventfd(struct watched *w)
{
	w->fd[EVENTFD] = vfake_eventfd(w->task);
	assert_true(w->fd[EVENTFD] >= 0);
}

static long irqs(struct watched *w, uint32_t index, uint32_t start, uint32_t count, bool on)
{
	char bytes[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
	struct vfio_irq_set set = { .argsz = sizeof(bytes),
				    .flags = VFIO_IRQ_SET_ACTION_TRIGGER,
				    .index = index,
				    .start = start,
				    .count = count };

	set.flags |= on ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE;
	memcpy(bytes, &set, sizeof(set));
	memcpy(bytes + sizeof(set), &w->fd[EVENTFD], sizeof(int32_t));
	return call(w->task, w->fd[DEVICE], VFIO_DEVICE_SET_IRQS, bytes);
}

static void msix_on(struct watched *w)
{
	assert_int_equal(irqs(w, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, true), 0);
}

static void msix_more(struct watched *w)
{
	assert_int_equal(irqs(w, VFIO_PCI_MSIX_IRQ_INDEX, 2, 1, true), 0);
}

static void msix_off(struct watched *w)
{
	assert_int_equal(irqs(w, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, false), 0);
}

static void errors_on(struct watched *w)
{
	assert_int_equal(irqs(w, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, true), 0);
}

static void errors_off(struct watched *w)
{
	assert_int_equal(irqs(w, VFIO_PCI_ERR_IRQ_INDEX, 0, 0, false), 0);
}

static void requests_on(struct watched *w)
{
	assert_int_equal(irqs(w, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, true), 0);
}

static void copy_group(struct watched *w)
{
	w->fd[COPY] = vfake_dup(w->task, w->fd[GROUP]);
	assert_true(w->fd[COPY] >= 0);
}

static void close_copy(struct watched *w)
{
	assert_int_equal(vfake_close(w->task, w->fd[COPY]), 0);
}

static void close_device(struct watched *w)
{
	assert_int_equal(vfake_close(w->task, w->fd[DEVICE]), 0);
}

static void leave(struct watched *w)
{
	assert_int_equal(call_with(w->task, w->fd[GROUP], VFIO_GROUP_UNSET_CONTAINER, 0), 0);
}

static void close_group(struct watched *w)
{
	assert_int_equal(vfake_close(w->task, w->fd[GROUP]), 0);
}

static void close_container(struct watched *w)
{
	assert_int_equal(vfake_close(w->task, w->fd[CONTAINER]), 0);
}

static void limit(struct watched *w)
{
	assert_int_equal(vfake_memlock(w->task, 1 << 22), 0);
}

/* ---- KVM ---- */

static void make_vm(struct watched *w)
{
	int kvm = vfake_open(w->task, "/dev/kvm");

	w->fd[VM] = (int)call_with(w->task, kvm, KVM_CREATE_VM, 0);
	assert_true(w->fd[VM] >= 0);
}

static void make_list(struct watched *w)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_VFIO };

	assert_int_equal(call(w->task, w->fd[VM], KVM_CREATE_DEVICE, &create), 0);
	w->fd[LIST] = (int)create.fd;
}

static long change_list(struct watched *w, uint64_t how)
{
	struct kvm_device_attr attr = { .group = KVM_DEV_VFIO_FILE,
					.attr = how,
					.addr = address_of(&w->fd[GROUP]) };

	return call(w->task, w->fd[LIST], KVM_SET_DEVICE_ATTR, &attr);
}

static void list_group(struct watched *w)
{
	assert_int_equal(change_list(w, KVM_DEV_VFIO_FILE_ADD), 0);
}

static void unlist_group(struct watched *w)
{
	assert_int_equal(change_list(w, KVM_DEV_VFIO_FILE_DEL), 0);
}

static const struct watched_step container_steps[] = {
	{ "open container", open_container, "descriptor" },
	{ "open group", open_d0, "descriptor" },
	{ "SET_CONTAINER", join, "in a container" },
	{ "SET_IOMMU", set_type1, "driver" },
	{ "GET_DEVICE_FD", get_device, "descriptor" },
	{ "map", map, "pinned pages" },
	{ "map for reading", map_readable, "pinned pages" },
	{ "suspend", suspend, "suspended" },
	{ "resume", resume, "suspended" },
	{ "start tracking", track_start, "dirty tracking" },
	{ "stop tracking", track_stop, "dirty tracking" },
	{ "eventfd", make_eventfd, "descriptors" },
	{ "interrupts on", msix_on, "kind of interrupt" },
	{ "one more", msix_more, "interrupts" },
	{ "interrupts off", msix_off, "kind of interrupt" },
	{ "error interrupt on", errors_on, "error interrupt" },
	{ "error interrupt off", errors_off, "error interrupt" },
	{ "request interrupt on", requests_on, "request interrupt" },
	{ "dup", copy_group, "descriptors" },
	{ "close the dup", close_copy, "descriptors" },
	{ "make a VM", make_vm, "descriptors" },
	{ "make its VFIO device", make_list, "descriptors" },
	{ "list the group", list_group, "references" },
	{ "take it out", unlist_group, "references" },
	{ "RLIMIT_MEMLOCK", limit, "RLIMIT_MEMLOCK" },
	{ "unmap", unmap, "pinned pages" },
	{ "close device", close_device, "descriptors" },
	{ "UNSET_CONTAINER", leave, "pinned pages" },
	{ "close group", close_group, "descriptors" },
	{ "close container", close_container, "descriptors" },
};

static void machine(struct vfake_world *world, const char *model)
{
	vfake_world_x86(world);
	world->iommu_dirty_tracking = true;
	assert_int_equal(vfake_world_add_device(world, "d0", model), 0);
	assert_int_equal(vfake_world_add_device(world, "d1", model), 0);
	world->devices[1].group = world->devices[0].group;
}

static void calls_on_a_container(void **state)
{
	struct vfake_world world;

	(void)state;
	machine(&world, "e1000e");
	hold_back_each(&world, container_steps, COUNT(container_steps));
}

/* ---- iommufd ---- */

static void open_iommufd(struct watched *w)
{
	w->fd[IOMMUFD] = vfake_open(w->task, "/dev/iommu");
	assert_true(w->fd[IOMMUFD] >= 0);
}

static void account(struct watched *w)
{
	struct iommu_option option = { .size = sizeof(option),
				       .option_id = IOMMU_OPTION_RLIMIT_MODE,
				       .op = IOMMU_OPTION_OP_SET,
				       .val64 = 1 };
	struct vfake_task_attr attr = vfake_root;
	struct vfake_task *root;
	int fd;

	attr.host_memory = true;
	root = vfake_task_new(w->kernel, &attr);
	fd = vfake_pass_fd(w->task, w->fd[IOMMUFD], root);
	assert_int_equal(call(root, fd, IOMMU_OPTION, &option), 0);
	vfake_task_exit(root);
}

static void open_cdev_d0(struct watched *w)
{
	w->fd[DEVICE] = open_cdev(w->task, w->kernel, "d0");
	assert_true(w->fd[DEVICE] >= 0);
}

static void bind(struct watched *w)
{
	struct vfio_device_bind_iommufd arg = { .argsz = sizeof(arg), .iommufd = w->fd[IOMMUFD] };

	assert_int_equal(call(w->task, w->fd[DEVICE], VFIO_DEVICE_BIND_IOMMUFD, &arg), 0);
	w->id[0] = arg.out_devid;
}

static void make_ioas(struct watched *w)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };

	assert_int_equal(call(w->task, w->fd[IOMMUFD], IOMMU_IOAS_ALLOC, &arg), 0);
	w->id[1] = arg.out_ioas_id;
}

static void map_ioas(struct watched *w)
{
	struct iommu_ioas_map arg = { .size = sizeof(arg),
				      .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
				      .ioas_id = w->id[1],
				      .user_va = w->memory,
				      .length = WATCHED_BYTES };

	assert_int_equal(call(w->task, w->fd[IOMMUFD], IOMMU_IOAS_MAP, &arg), 0);
}

static void map_memfd(struct watched *w)
{
	struct iommu_ioas_map_file arg = { .size = sizeof(arg),
					   .flags = IOMMU_IOAS_MAP_READABLE |
						    IOMMU_IOAS_MAP_FIXED_IOVA,
					   .ioas_id = w->id[1],
					   .length = WATCHED_PAGE,
					   .iova = 16 * IOVA };

	w->fd[MEMFD] = vfake_memfd(w->task, WATCHED_PAGE);
	arg.fd = w->fd[MEMFD];
	assert_int_equal(call(w->task, w->fd[IOMMUFD], IOMMU_IOAS_MAP_FILE, &arg), 0);
}

static void copy_part(struct watched *w)
{
	struct iommu_ioas_copy arg = { .size = sizeof(arg),
				       .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_FIXED_IOVA,
				       .dst_ioas_id = w->id[1],
				       .src_ioas_id = w->id[1],
				       .length = WATCHED_PAGE,
				       .dst_iova = 17 * IOVA,
				       .src_iova = 16 * IOVA };

	assert_int_equal(call(w->task, w->fd[IOMMUFD], IOMMU_IOAS_COPY, &arg), 0);
}

static void make_table(struct watched *w)
{
	struct iommu_hwpt_alloc arg = { .size = sizeof(arg),
					.flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
					.dev_id = w->id[0],
					.pt_id = w->id[1] };

	assert_int_equal(call(w->task, w->fd[IOMMUFD], IOMMU_HWPT_ALLOC, &arg), 0);
	w->id[2] = arg.out_hwpt_id;
}

static long attach_to(struct watched *w, uint32_t id)
{
	struct vfio_device_attach_iommufd_pt arg = { .argsz = sizeof(arg), .pt_id = id };

	return call(w->task, w->fd[DEVICE], VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

static void attach(struct watched *w)
{
	assert_int_equal(attach_to(w, w->id[2]), 0);
}

static void attach_ioas(struct watched *w)
{
	assert_int_equal(attach_to(w, w->id[1]), 0);
}

static void track_table(struct watched *w)
{
	struct iommu_hwpt_set_dirty_tracking arg = { .size = sizeof(arg),
						     .flags = IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
						     .hwpt_id = w->id[2] };

	assert_int_equal(call(w->task, w->fd[IOMMUFD], IOMMU_HWPT_SET_DIRTY_TRACKING, &arg), 0);
}

static void compat(struct watched *w)
{
	struct iommu_vfio_ioas arg = { .size = sizeof(arg),
				       .ioas_id = w->id[1],
				       .op = IOMMU_VFIO_IOAS_SET };

	assert_int_equal(call(w->task, w->fd[IOMMUFD], IOMMU_VFIO_IOAS, &arg), 0);
}

static void make_faults(struct watched *w)
{
	struct iommu_fault_alloc arg = { .size = sizeof(arg) };

	assert_int_equal(call(w->task, w->fd[IOMMUFD], IOMMU_FAULT_QUEUE_ALLOC, &arg), 0);
}

static void unmap_file(struct watched *w)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = w->id[1], .iova = 16 * IOVA, .length = WATCHED_PAGE
	};

	assert_int_equal(call(w->task, w->fd[IOMMUFD], IOMMU_IOAS_UNMAP, &arg), 0);
}

static void detach(struct watched *w)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = sizeof(arg) };

	assert_int_equal(call(w->task, w->fd[DEVICE], VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg), 0);
}

static void destroy_table(struct watched *w)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = w->id[2] };

	assert_int_equal(call(w->task, w->fd[IOMMUFD], IOMMU_DESTROY, &arg), 0);
}

/* ---- migration ---- */

static long feature(struct watched *w, uint32_t number, const void *data, size_t len)
{
	char bytes[64];
	struct vfio_device_feature head = { .argsz = (uint32_t)(sizeof(head) + len),
					    .flags = VFIO_DEVICE_FEATURE_SET | number };
	long ret;

	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), data, len);
	ret = call(w->task, w->fd[DEVICE], VFIO_DEVICE_FEATURE, bytes);
	memcpy(&w->fd[STREAM], bytes + sizeof(head) + 4, sizeof(int32_t));
	return ret;
}

static void set_state(struct watched *w, uint32_t to)
{
	struct vfio_device_feature_mig_state arg = { .device_state = to, .data_fd = -1 };

	assert_int_equal(feature(w, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &arg, sizeof(arg)), 0);
}

static void stop_device(struct watched *w)
{
	set_state(w, VFIO_DEVICE_STATE_STOP);
}

static void save_device(struct watched *w)
{
	set_state(w, VFIO_DEVICE_STATE_STOP_COPY);
}

static void run_device(struct watched *w)
{
	set_state(w, VFIO_DEVICE_STATE_RUNNING);
}

static void log_writes(struct watched *w)
{
	struct vfio_device_feature_dma_logging_range range = { .iova = 0, .length = IOVA };
	struct vfio_device_feature_dma_logging_control arg = { .page_size = WATCHED_PAGE,
							       .num_ranges = 1,
							       .ranges = address_of(&range) };

	assert_int_equal(feature(w, VFIO_DEVICE_FEATURE_DMA_LOGGING_START, &arg, sizeof(arg)), 0);
}

static void log_nothing(struct watched *w)
{
	assert_int_equal(feature(w, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, "", 0), 0);
}

static const struct watched_step iommufd_steps[] = {
	{ "open iommufd", open_iommufd, "descriptors" },
	{ "account", account, "account" },
	{ "open cdev", open_cdev_d0, "descriptors" },
	{ "bind", bind, "references" },
	{ "make an IOAS", make_ioas, "objects" },
	{ "map", map_ioas, "mappings" },
	{ "map a file", map_memfd, "descriptors" },
	{ "copy", copy_part, "mappings" },
	{ "make a page table", make_table, "pinned pages" },
	{ "attach", attach, "translated" },
	{ "start tracking", track_table, "dirty tracking" },
	{ "compat IOAS", compat, "IOAS of container calls" },
	{ "fault queue", make_faults, "descriptors" },
	{ "stop", stop_device, "migration state" },
	{ "save", save_device, "descriptors" },
	{ "run", run_device, "references" },
	{ "log", log_writes, "DMA logging" },
	{ "log no more", log_nothing, "DMA logging" },
	{ "unmap", unmap_file, "mappings" },
	{ "attach to the IOAS", attach_ioas, "objects" },
	{ "destroy", destroy_table, "objects" },
	{ "detach", detach, "pinned pages" },
	{ "close device", close_device, "descriptors" },
};

static void calls_on_an_iommufd(void **state)
{
	struct vfake_world world;

	(void)state;
	machine(&world, "migrate");
	hold_back_each(&world, iommufd_steps, COUNT(iommufd_steps));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_on_a_container),
		cmocka_unit_test(calls_on_an_iommufd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
