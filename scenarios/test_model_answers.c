/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model knows which answer a call must get, and what the kernel may choose: told of another one
 * it says so. And it sees sPAPR's state.
 */
#include "model_rig.h"

#include <uapi/vfio.h>
#include <uapi/vfio_iommu.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { CONTAINER, GROUP, IOMMUFD, DEVICE, VM, LIST };
enum { IOVA = 0x100000 };

static void machine(struct vfake_world *world)
{
	vfake_world_x86(world);
	assert_int_equal(vfake_world_add_device(world, "d0", "e1000e"), 0);
}

/* ---- what a test begins with ---- */

static long map_at(struct watched *w, uint64_t vaddr, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = 3, .vaddr = vaddr, .iova = iova, .size = size
	};

	return call(w->task, w->fd[CONTAINER], VFIO_IOMMU_MAP_DMA, &map);
}

static long unmap_at(struct watched *w, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap),
						    .iova = iova,
						    .size = size };

	return call(w->task, w->fd[CONTAINER], VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static void build_container(struct watched *w)
{
	w->fd[CONTAINER] = vfake_open(w->task, "/dev/vfio/vfio");
	w->fd[GROUP] = open_group(w->task, w->kernel, "d0");
	assert_int_equal(call(w->task, w->fd[GROUP], VFIO_GROUP_SET_CONTAINER, &w->fd[CONTAINER]),
			 0);
	assert_int_equal(call_with(w->task, w->fd[CONTAINER], VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU),
			 0);
	assert_int_equal(map_at(w, w->memory, IOVA, 4 * WATCHED_PAGE), 0);
}

static uint32_t new_ioas(struct watched *w)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };

	assert_int_equal(call(w->task, w->fd[IOMMUFD], IOMMU_IOAS_ALLOC, &arg), 0);
	return arg.out_ioas_id;
}

static long map_ioas(struct watched *w, uint32_t ioas, uint32_t flags, uint64_t iova)
{
	struct iommu_ioas_map arg = { .size = sizeof(arg),
				      .flags = flags | IOMMU_IOAS_MAP_READABLE,
				      .ioas_id = ioas,
				      .user_va = w->memory,
				      .length = 4 * WATCHED_PAGE,
				      .iova = iova };

	return call(w->task, w->fd[IOMMUFD], IOMMU_IOAS_MAP, &arg);
}

static void build_iommufd(struct watched *w)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct iommu_hwpt_alloc table = { .size = sizeof(table) };

	w->fd[IOMMUFD] = vfake_open(w->task, "/dev/iommu");
	w->fd[DEVICE] = open_cdev(w->task, w->kernel, "d0");
	bind.iommufd = w->fd[IOMMUFD];
	assert_int_equal(call(w->task, w->fd[DEVICE], VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
	w->id[0] = new_ioas(w);
	table.dev_id = bind.out_devid;
	table.pt_id = w->id[0];
	assert_int_equal(call(w->task, w->fd[IOMMUFD], IOMMU_HWPT_ALLOC, &table), 0);
	assert_int_equal(map_ioas(w, w->id[0], IOMMU_IOAS_MAP_FIXED_IOVA, IOVA), 0);
}

static void build_vm(struct watched *w)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_VFIO };
	int kvm = vfake_open(w->task, "/dev/kvm");

	w->fd[GROUP] = open_group(w->task, w->kernel, "d0");
	w->fd[VM] = (int)call_with(w->task, kvm, KVM_CREATE_VM, 0);
	assert_int_equal(call(w->task, w->fd[VM], KVM_CREATE_DEVICE, &create), 0);
	w->fd[LIST] = (int)create.fd;
}

static void build_nothing(struct watched *w)
{
	(void)w;
}

/* ---- answers that cannot be ---- */

static void map_twice(struct watched *w)
{
	map_at(w, w->memory, IOVA + WATCHED_PAGE, WATCHED_PAGE);
}

static void map_nothing(struct watched *w)
{
	map_at(w, w->memory, 2 * IOVA, 0);
}

static void map_past_the_end(struct watched *w)
{
	map_at(w, w->memory, UINT64_MAX - WATCHED_PAGE + 1, 2 * WATCHED_PAGE);
}

static void map_reserved(struct watched *w)
{
	map_at(w, w->memory, 0xfee00000, WATCHED_PAGE);
}

static void map_crooked(struct watched *w)
{
	map_at(w, w->memory, 2 * IOVA + 1, WATCHED_PAGE);
}

static void map_no_memory(struct watched *w)
{
	map_at(w, (vfake_addr)1 << 45, 2 * IOVA, WATCHED_PAGE);
}

static void unmap_part(struct watched *w)
{
	unmap_at(w, IOVA, WATCHED_PAGE);
}

static void join_twice(struct watched *w)
{
	call(w->task, w->fd[GROUP], VFIO_GROUP_SET_CONTAINER, &w->fd[CONTAINER]);
}

static void join_nothing(struct watched *w)
{
	int fd = 99;

	call(w->task, w->fd[GROUP], VFIO_GROUP_SET_CONTAINER, &fd);
}

static void set_twice(struct watched *w)
{
	call_with(w->task, w->fd[CONTAINER], VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
}

static void leave_in_use(struct watched *w)
{
	char name[] = "d0";

	w->fd[DEVICE] = (int)call(w->task, w->fd[GROUP], VFIO_GROUP_GET_DEVICE_FD, name);
	assert_true(w->fd[DEVICE] >= 0);
	call_with(w->task, w->fd[GROUP], VFIO_GROUP_UNSET_CONTAINER, 0);
}

static void open_busy_group(struct watched *w)
{
	open_group(w->task, w->kernel, "d0");
}

static void open_no_node(struct watched *w)
{
	vfake_open(w->task, "/dev/vfio/99");
}

static void close_no_file(struct watched *w)
{
	vfake_close(w->task, 99);
}

static void destroy_busy(struct watched *w)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = w->id[0] };

	call(w->task, w->fd[IOMMUFD], IOMMU_DESTROY, &arg);
}

static void destroy_dead(struct watched *w)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = 77 };

	call(w->task, w->fd[IOMMUFD], IOMMU_DESTROY, &arg);
}

static void map_ioas_twice(struct watched *w)
{
	map_ioas(w, w->id[0], IOMMU_IOAS_MAP_FIXED_IOVA, IOVA);
}

static void map_dead_ioas(struct watched *w)
{
	map_ioas(w, 77, IOMMU_IOAS_MAP_FIXED_IOVA, IOVA);
}

static void unmap_ioas(struct watched *w, uint64_t iova)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = w->id[0], .iova = iova, .length = WATCHED_PAGE
	};

	call(w->task, w->fd[IOMMUFD], IOMMU_IOAS_UNMAP, &arg);
}

static void unmap_ioas_part(struct watched *w)
{
	unmap_ioas(w, IOVA);
}

static void unmap_ioas_hole(struct watched *w)
{
	unmap_ioas(w, 2 * IOVA);
}

static void copy_hole(struct watched *w)
{
	struct iommu_ioas_copy arg = { .size = sizeof(arg),
				       .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_FIXED_IOVA,
				       .dst_ioas_id = w->id[0],
				       .src_ioas_id = w->id[0],
				       .length = WATCHED_PAGE,
				       .dst_iova = 8 * IOVA,
				       .src_iova = 2 * IOVA };

	call(w->task, w->fd[IOMMUFD], IOMMU_IOAS_COPY, &arg);
}

static void attach_dead(struct watched *w)
{
	struct vfio_device_attach_iommufd_pt arg = { .argsz = sizeof(arg), .pt_id = 77 };

	call(w->task, w->fd[DEVICE], VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

static void bind_twice(struct watched *w)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };

	bind.iommufd = w->fd[IOMMUFD];
	call(w->task, w->fd[DEVICE], VFIO_DEVICE_BIND_IOMMUFD, &bind);
}

static void change_list(struct watched *w, uint64_t how, const int *fd)
{
	struct kvm_device_attr attr = { .group = KVM_DEV_VFIO_FILE,
					.attr = how,
					.addr = address_of(fd) };

	call(w->task, w->fd[LIST], KVM_SET_DEVICE_ATTR, &attr);
}

static void list_twice(struct watched *w)
{
	twist_fn twist = w->twist;

	w->twist = NULL;
	change_list(w, KVM_DEV_VFIO_FILE_ADD, &w->fd[GROUP]);
	w->twist = twist;
	change_list(w, KVM_DEV_VFIO_FILE_ADD, &w->fd[GROUP]);
}

static void list_a_vm(struct watched *w)
{
	change_list(w, KVM_DEV_VFIO_FILE_ADD, &w->fd[VM]);
}

static void unlist_nobody(struct watched *w)
{
	change_list(w, KVM_DEV_VFIO_FILE_DEL, &w->fd[GROUP]);
}

/* A call that fails, told as one that worked: what the model expects instead. */
static const struct answer {
	const char *name;
	void (*build)(struct watched *w);
	void (*run)(struct watched *w);
	uint32_t request; /* the call that is told wrongly; 0: every call */
	const char *says;
} answers[] = {
	{ "a map over a map", build_container, map_twice, VFIO_IOMMU_MAP_DMA, "expects -17" },
	{ "a map of nothing", build_container, map_nothing, VFIO_IOMMU_MAP_DMA, "expects -22" },
	{ "past the end", build_container, map_past_the_end, VFIO_IOMMU_MAP_DMA, "expects -75" },
	{ "a reserved IOVA", build_container, map_reserved, VFIO_IOMMU_MAP_DMA, "expects -22" },
	{ "half a page", build_container, map_crooked, VFIO_IOMMU_MAP_DMA, "expects -22" },
	{ "no memory", build_container, map_no_memory, VFIO_IOMMU_MAP_DMA, "no memory" },
	{ "a part of a map", build_container, unmap_part, VFIO_IOMMU_UNMAP_DMA, "expects -22" },
	{ "two containers", build_container, join_twice, VFIO_GROUP_SET_CONTAINER, "expects -22" },
	{ "no container", build_nothing, join_nothing, 0, "expects -9" },
	{ "two drivers", build_container, set_twice, VFIO_SET_IOMMU, "expects -22" },
	{ "a group in use", build_container, leave_in_use, VFIO_GROUP_UNSET_CONTAINER,
	  "expects -16" },
	{ "a group twice", build_container, open_busy_group, 0, "expects -16" },
	{ "no node", build_nothing, open_no_node, 0, "expects -2" },
	{ "no descriptor", build_nothing, close_no_file, 0, "expects -9" },
	{ "a busy object", build_iommufd, destroy_busy, IOMMU_DESTROY, "expects -16" },
	{ "a dead object", build_iommufd, destroy_dead, IOMMU_DESTROY, "expects -2" },
	{ "an IOAS twice", build_iommufd, map_ioas_twice, IOMMU_IOAS_MAP, "expects -17" },
	{ "a dead IOAS", build_iommufd, map_dead_ioas, IOMMU_IOAS_MAP, "expects -2" },
	{ "a part of an area", build_iommufd, unmap_ioas_part, IOMMU_IOAS_UNMAP, "expects -2" },
	{ "a hole", build_iommufd, unmap_ioas_hole, IOMMU_IOAS_UNMAP, "expects -2" },
	{ "a copy of a hole", build_iommufd, copy_hole, IOMMU_IOAS_COPY, "expects -2" },
	{ "a dead page table", build_iommufd, attach_dead, VFIO_DEVICE_ATTACH_IOMMUFD_PT,
	  "expects -2" },
	{ "bound twice", build_iommufd, bind_twice, VFIO_DEVICE_BIND_IOMMUFD, "expects -22" },
	{ "listed twice", build_vm, list_twice, KVM_SET_DEVICE_ATTR, "expects -17" },
	{ "no VFIO file", build_vm, list_a_vm, KVM_SET_DEVICE_ATTR, "expects -22" },
	{ "not listed", build_vm, unlist_nobody, KVM_SET_DEVICE_ATTR, "expects -2" },
};

static void works(struct vfake_event *event, void *in, void *out)
{
	if (event->ret < 0 && !event->out)
		event->out = out;
	if (event->ret < 0 && !event->in)
		event->in = in;
	event->ret = 0;
}

static void answer_twisted(const struct answer *answer, bool twisted)
{
	struct vfake_world world;
	struct watched w;

	machine(&world);
	watched_start(&w, &world);
	answer->build(&w);
	expect_agreement(&w, answer->name);
	if (answer->run == join_nothing)
		w.fd[GROUP] = open_group(w.task, w.kernel, "d0");
	w.only = answer->request;
	w.twist = twisted ? works : NULL;
	answer->run(&w);
	if (twisted)
		expect_disagreement(&w, answer->name, answer->says);
	else
		expect_agreement(&w, answer->name);
	watched_end(&w);
}

static void answers_that_cannot_be(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(answers); i++) {
		answer_twisted(&answers[i], false);
		answer_twisted(&answers[i], true);
	}
}

/* ---- a call told with other numbers ---- */

static void other_vaddr(struct vfake_event *event, void *in, void *out)
{
	(void)event, (void)out;
	((struct vfio_iommu_type1_dma_map *)in)->vaddr += WATCHED_PAGE;
}

static void other_rights(struct vfake_event *event, void *in, void *out)
{
	(void)event, (void)out;
	((struct vfio_iommu_type1_dma_map *)in)->flags = VFIO_DMA_MAP_FLAG_READ;
}

static void other_iova(struct vfake_event *event, void *in, void *out)
{
	(void)event, (void)out;
	((struct vfio_iommu_type1_dma_map *)in)->iova += 64 * IOVA;
}

static void longer(struct vfake_event *event, void *in, void *out)
{
	(void)event, (void)out;
	((struct vfio_iommu_type1_dma_map *)in)->size += WATCHED_PAGE;
}

static void refused(struct vfake_event *event, void *in, void *out)
{
	(void)in, (void)out;
	event->ret = -EFAULT;
}

static void higher_descriptor(struct vfake_event *event, void *in, void *out)
{
	(void)in, (void)out;
	event->ret++;
}

static void higher_id(struct vfake_event *event, void *in, void *out)
{
	(void)event, (void)in;
	((struct iommu_ioas_alloc *)out)->out_ioas_id++;
}

static void crooked_iova(struct vfake_event *event, void *in, void *out)
{
	(void)event, (void)in;
	((struct iommu_ioas_map *)out)->iova++;
}

static void more_bytes(struct vfake_event *event, void *in, void *out)
{
	(void)event, (void)in;
	((struct vfio_iommu_type1_dma_unmap *)out)->size++;
}

static void map_again(struct watched *w)
{
	assert_int_equal(map_at(w, w->memory, 2 * IOVA, 4 * WATCHED_PAGE), 0);
}

static void unmap_again(struct watched *w)
{
	assert_int_equal(unmap_at(w, IOVA, 4 * WATCHED_PAGE), 0);
}

static void make_eventfd(struct watched *w)
{
	assert_true(vfake_eventfd(w->task) >= 0);
}

static void make_ioas(struct watched *w)
{
	new_ioas(w);
}

static void map_anywhere(struct watched *w)
{
	assert_int_equal(map_ioas(w, w->id[0], 0, 0), 0);
}

static const struct {
	const char *name;
	void (*build)(struct watched *w);
	void (*run)(struct watched *w);
	twist_fn twist;
	const char *says;
} twists[] = {
	{ "another address", build_container, map_again, other_vaddr, "address" },
	{ "other rights", build_container, map_again, other_rights, "right to write" },
	{ "another IOVA", build_container, map_again, other_iova, "mapped" },
	{ "more pages", build_container, map_again, longer, "pinned pages" },
	{ "a map refused", build_container, map_again, refused, "there is memory to map" },
	{ "more bytes unmapped", build_container, unmap_again, more_bytes, "bytes went" },
	{ "another descriptor", build_nothing, make_eventfd, higher_descriptor, "lowest free one" },
	{ "another id", build_iommufd, make_ioas, higher_id, "lowest free id" },
	{ "a crooked IOVA", build_iommufd, map_anywhere, crooked_iova, "does not lie in its page" },
};

static void numbers_that_are_not_so(void **state)
{
	struct vfake_world world;
	struct watched w;

	(void)state;
	machine(&world);
	for (size_t i = 0; i < COUNT(twists); i++) {
		watched_start(&w, &world);
		twists[i].build(&w);
		w.twist = twists[i].twist;
		twists[i].run(&w);
		expect_disagreement(&w, twists[i].name, twists[i].says);
		watched_end(&w);
	}
}

/* ---- sPAPR ---- */

static void open_power(struct watched *w)
{
	w->fd[CONTAINER] = vfake_open(w->task, "/dev/vfio/vfio");
	w->fd[GROUP] = open_group(w->task, w->kernel, "d0");
	assert_int_equal(call(w->task, w->fd[GROUP], VFIO_GROUP_SET_CONTAINER, &w->fd[CONTAINER]),
			 0);
}

static void set_v1(struct watched *w)
{
	assert_int_equal(call_with(w->task, w->fd[CONTAINER], VFIO_SET_IOMMU, VFIO_SPAPR_TCE_IOMMU),
			 0);
}

static void set_v2(struct watched *w)
{
	assert_int_equal(
		call_with(w->task, w->fd[CONTAINER], VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU), 0);
}

static void enable(struct watched *w)
{
	assert_int_equal(call_with(w->task, w->fd[CONTAINER], VFIO_IOMMU_ENABLE, 0), 0);
}

static void disable(struct watched *w)
{
	assert_int_equal(call_with(w->task, w->fd[CONTAINER], VFIO_IOMMU_DISABLE, 0), 0);
}

static void registration(struct watched *w, unsigned long request)
{
	struct vfio_iommu_spapr_register_memory arg = { .argsz = sizeof(arg),
							.vaddr = w->memory,
							.size = WATCHED_BYTES };

	assert_int_equal(call(w->task, w->fd[CONTAINER], request, &arg), 0);
}

static void enrol(struct watched *w)
{
	registration(w, VFIO_IOMMU_SPAPR_REGISTER_MEMORY);
}

static void withdraw(struct watched *w)
{
	registration(w, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY);
}

static void map_tces(struct watched *w)
{
	assert_int_equal(map_at(w, w->memory, 0, WATCHED_BYTES), 0);
}

static void map_over(struct watched *w)
{
	assert_int_equal(map_at(w, w->memory, WATCHED_PAGE, WATCHED_PAGE), 0);
}

static void unmap_tces(struct watched *w)
{
	assert_int_equal(unmap_at(w, 0, WATCHED_BYTES), 0);
}

static void new_window(struct watched *w)
{
	struct vfio_iommu_spapr_tce_create arg = {
		.argsz = sizeof(arg), .page_shift = 16, .window_size = 1 << 24, .levels = 1
	};

	assert_int_equal(call(w->task, w->fd[CONTAINER], VFIO_IOMMU_SPAPR_TCE_CREATE, &arg), 0);
}

static void drop_window(struct watched *w)
{
	struct vfio_iommu_spapr_tce_remove arg = { .argsz = sizeof(arg) };

	assert_int_equal(call(w->task, w->fd[CONTAINER], VFIO_IOMMU_SPAPR_TCE_REMOVE, &arg), 0);
}

static const struct watched_step v1_steps[] = {
	{ "open", open_power, "descriptors" },	 { "set v1", set_v1, "driver" },
	{ "enable", enable, "locked pages" },	 { "map", map_tces, "pinned pages" },
	{ "map over it", map_over, "leads to" }, { "unmap", unmap_tces, "pinned pages" },
	{ "disable", disable, "locked pages" },
};

static const struct watched_step v2_steps[] = {
	{ "open", open_power, "descriptors" },
	{ "set v2", set_v2, "driver" },
	{ "register", enrol, "pinned pages" },
	{ "map", map_tces, "locked pages" },
	{ "map over it", map_over, "leads to" },
	{ "second window", new_window, "locked pages" },
	{ "unmap", unmap_tces, "is not mapped" },
	{ "drop a window", drop_window, "locked pages" },
	{ "unregister", withdraw, "pinned pages" },
};

static void calls_on_spapr(void **state)
{
	struct vfake_world world;

	(void)state;
	vfake_world_powernv(&world);
	world.spapr.window_size_bytes = 1 << 24;
	assert_int_equal(vfake_world_add_device(&world, "d0", "edu"), 0);
	hold_back_each(&world, v1_steps, COUNT(v1_steps));
	hold_back_each(&world, v2_steps, COUNT(v2_steps));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_that_cannot_be),
		cmocka_unit_test(numbers_that_are_not_so),
		cmocka_unit_test(calls_on_spapr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
