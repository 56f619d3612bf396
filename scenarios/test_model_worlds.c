/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model on other machines (an iommufd as container, no IOMMU at all), with several processes,
 * and where numbers stay what they were although what they count changes.
 */
#include "model_rig.h"

#include <uapi/vfio.h>
#include <uapi/vfio_iommu.h>
#include <vfake/socket.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { CONTAINER, GROUP, DEVICE, FIRST, SECOND };
enum { IOVA = 0x100000, BYTES = 4 * WATCHED_PAGE };

static void machine(struct vfake_world *world)
{
	vfake_world_x86(world);
	assert_int_equal(vfake_world_add_device(world, "d0", "e1000e"), 0);
}

static void join(struct watched *w)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%s%u",
		 vfake_device_desc(w->kernel, "d0")->noiommu ? "noiommu-" : "",
		 vfake_device_desc(w->kernel, "d0")->group);
	w->fd[CONTAINER] = vfake_open(w->task, "/dev/vfio/vfio");
	w->fd[GROUP] = vfake_open(w->task, path);
	assert_true(w->fd[GROUP] >= 0);
	assert_int_equal(call(w->task, w->fd[GROUP], VFIO_GROUP_SET_CONTAINER, &w->fd[CONTAINER]),
			 0);
}

static void set_driver(struct watched *w, uint64_t type)
{
	assert_int_equal(call_with(w->task, w->fd[CONTAINER], VFIO_SET_IOMMU, type), 0);
}

static void set_v1(struct watched *w)
{
	set_driver(w, VFIO_TYPE1_IOMMU);
}

static void set_v2(struct watched *w)
{
	set_driver(w, VFIO_TYPE1v2_IOMMU);
}

static void set_noiommu(struct watched *w)
{
	set_driver(w, VFIO_NOIOMMU_IOMMU);
}

static void get_device(struct watched *w)
{
	char name[] = "d0";

	w->fd[DEVICE] = (int)call(w->task, w->fd[GROUP], VFIO_GROUP_GET_DEVICE_FD, name);
	assert_true(w->fd[DEVICE] >= 0);
}

static long map_by(struct vfake_task *task, int container, uint32_t flags, uint64_t vaddr)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .vaddr = vaddr, .iova = IOVA, .size = BYTES
	};

	return call(task, container, VFIO_IOMMU_MAP_DMA, &map);
}

static void map(struct watched *w)
{
	assert_int_equal(map_by(w->task, w->fd[CONTAINER], 3, w->memory), 0);
}

static long unmap_some(struct watched *w, uint32_t flags, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .flags = flags, .iova = iova, .size = size
	};

	return call(w->task, w->fd[CONTAINER], VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static void unmap_middle(struct watched *w)
{
	assert_int_equal(unmap_some(w, 0, IOVA + WATCHED_PAGE, WATCHED_PAGE), 0);
}

static void unmap_all(struct watched *w)
{
	assert_int_equal(unmap_some(w, VFIO_DMA_UNMAP_FLAG_ALL, 0, 0), 0);
}

static void close_device(struct watched *w)
{
	assert_int_equal(vfake_close(w->task, w->fd[DEVICE]), 0);
}

static void leave(struct watched *w)
{
	assert_int_equal(call_with(w->task, w->fd[GROUP], VFIO_GROUP_UNSET_CONTAINER, 0), 0);
}

static const struct watched_step compat_steps[] = {
	{ "join", join, "descriptors" },
	{ "set type1 v1", set_v1, NULL },
	{ "map", map, "mappings" },
	{ "get device", get_device, "descriptors" },
	{ "unmap the middle", unmap_middle, "pinned pages" },
	{ "unmap all", unmap_all, "pinned pages" },
	{ "close device", close_device, "descriptors" },
	{ "leave", leave, "references" },
};

static const struct watched_step noiommu_steps[] = {
	{ "join", join, "descriptors" },
	{ "set noiommu", set_noiommu, "driver" },
	{ "get device", get_device, "descriptors" },
	{ "close device", close_device, "descriptors" },
	{ "leave", leave, "in a container" },
};

static void calls_on_other_machines(void **state)
{
	struct vfake_world world;

	(void)state;
	machine(&world);
	world.compat_container = true;
	hold_back_each(&world, compat_steps, COUNT(compat_steps));
	machine(&world);
	world.noiommu_enabled = true;
	world.devices[0].noiommu = true;
	hold_back_each(&world, noiommu_steps, COUNT(noiommu_steps));
}

/* ---- several processes ---- */

static struct vfake_task *heir_of(struct watched *w, int *container)
{
	struct vfake_task *heir = new_process(w->kernel, true, 1 << 23);

	*container = vfake_pass_fd(w->task, w->fd[CONTAINER], heir);
	assert_true(*container >= 0);
	return heir;
}

static void take_over(struct watched *w)
{
	int container;
	struct vfake_task *heir = heir_of(w, &container);

	assert_int_equal(unmap_some(w, VFIO_DMA_UNMAP_FLAG_VADDR, IOVA, BYTES), 0);
	assert_int_equal(map_by(heir, container, VFIO_DMA_MAP_FLAG_VADDR, w->memory), 0);
}

static void share(struct watched *w)
{
	heir_of(w, &w->fd[FIRST]);
}

static void exec(struct watched *w)
{
	const int keep[] = { w->fd[CONTAINER], w->fd[GROUP] };

	assert_int_equal(vfake_task_exec(w->task, keep, COUNT(keep)), 0);
}

static void unmap(struct watched *w)
{
	assert_int_equal(unmap_some(w, 0, IOVA, BYTES), 0);
}

static const struct watched_step process_steps[] = {
	{ "join", join, "descriptors" },
	{ "set type1 v2", set_v2, "driver" },
	{ "map", map, "pinned pages" },
	{ "share", share, "descriptors" },
	{ "take over", take_over, "descriptors" },
	{ "exec", exec, NULL },
	{ "unmap", unmap, "pinned pages" },
};

static const struct watched_step exec_steps[] = {
	{ "join", join, "descriptors" },    { "set type1 v2", set_v2, "driver" },
	{ "map", map, "pinned pages" },	    { "exec", exec, "locked pages" },
	{ "unmap", unmap, "pinned pages" },
};

static void several_processes(void **state)
{
	struct vfake_world world;

	(void)state;
	machine(&world);
	hold_back_each(&world, process_steps, COUNT(process_steps));
	hold_back_each(&world, exec_steps, COUNT(exec_steps));
}

/* What a process that ended was charged is forgotten with the last mapping of its memory. */
static void a_process_that_ended(void **state)
{
	struct vfake_world world;
	struct vfake_task *heir;
	struct watched w;
	int container;

	(void)state;
	machine(&world);
	watched_start(&w, &world);
	join(&w);
	set_v2(&w);
	map(&w);
	heir = heir_of(&w, &container);
	w.fd[GROUP] = vfake_pass_fd(w.task, w.fd[GROUP], heir);
	vfake_task_exit(w.task);
	expect_agreement(&w, "after the end");
	w.task = heir;
	w.fd[CONTAINER] = container;
	unmap(&w);
	expect_agreement(&w, "after the unmap");
	watched_end(&w);
}

/* ---- the same numbers ---- */

static void two_eventfds(struct watched *w)
{
	w->fd[FIRST] = vfake_eventfd(w->task);
	w->fd[SECOND] = vfake_eventfd(w->task);
	assert_true(w->fd[SECOND] >= 0);
}

static void another_eventfd(struct watched *w)
{
	assert_int_equal(vfake_close(w->task, w->fd[FIRST]), 0);
	/* The second takes the place of what the allocator would give again. */
	assert_true(vfake_dup(w->task, w->fd[SECOND]) == w->fd[FIRST]);
	assert_int_equal(vfake_close(w->task, w->fd[SECOND]), 0);
	assert_true(vfake_eventfd(w->task) == w->fd[SECOND]);
}

static void a_memfd(struct watched *w)
{
	assert_int_equal(vfake_close(w->task, w->fd[FIRST]), 0);
	assert_true(vfake_memfd(w->task, WATCHED_PAGE) == w->fd[FIRST]);
}

static long vector(struct watched *w, uint32_t number, int fd)
{
	char bytes[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
	struct vfio_irq_set set = { .argsz = sizeof(bytes),
				    .flags =
					    VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD,
				    .index = VFIO_PCI_MSIX_IRQ_INDEX,
				    .start = number,
				    .count = 1 };

	memcpy(bytes, &set, sizeof(set));
	memcpy(bytes + sizeof(set), &fd, sizeof(fd));
	return call(w->task, w->fd[DEVICE], VFIO_DEVICE_SET_IRQS, bytes);
}

static void one_vector(struct watched *w)
{
	assert_int_equal(vector(w, 1, w->fd[FIRST]), 0);
}

static void a_bad_vector(struct watched *w)
{
	assert_true(vector(w, 1, 99) < 0);
	assert_int_equal(vector(w, 1, w->fd[FIRST]), 0);
}

static void another_vector(struct watched *w)
{
	assert_int_equal(vector(w, 1, -1), 0);
	assert_int_equal(vector(w, 2, w->fd[FIRST]), 0);
}

static void move_mapping(struct watched *w)
{
	assert_int_equal(unmap_some(w, 0, IOVA, BYTES), 0);
	assert_int_equal(map_by(w->task, w->fd[CONTAINER], 3, w->memory + BYTES), 0);
}

static const struct watched_step swap_steps[] = {
	{ "join", join, "descriptors" },
	{ "set type1 v2", set_v2, "driver" },
	{ "get device", get_device, "descriptors" },
	{ "map", map, "pinned pages" },
	{ "move", move_mapping, "address" },
	{ "two eventfds", two_eventfds, "descriptors" },
	{ "one vector", one_vector, "kind of interrupt" },
	{ "a bad vector", a_bad_vector, NULL },
	{ "another vector", another_vector, "interrupt 1 has no eventfd" },
	{ "other files", another_eventfd, "another open file" },
	{ "a memfd", a_memfd, "is a memfd, in the model a eventfd" },
};

static void the_same_numbers(void **state)
{
	struct vfake_world world;

	(void)state;
	machine(&world);
	hold_back_each(&world, swap_steps, COUNT(swap_steps));
}

/* Descriptors that come by messages are taken over as they are. */
static void files_in_messages(void **state)
{
	struct vfake_world world;
	struct watched w;
	int ends[2], sent, got = -1;
	uint32_t count = 1;
	char byte = 1;

	(void)state;
	machine(&world);
	watched_start(&w, &world);
	assert_int_equal(vfake_socketpair(w.task, ends), 0);
	sent = vfake_eventfd(w.task);
	assert_int_equal(vfake_sendmsg(w.task, ends[0], &byte, 1, &sent, 1), 1);
	expect_agreement(&w, "sent");
	assert_int_equal(vfake_close(w.task, sent), 0);
	assert_int_equal(vfake_recvmsg(w.task, ends[1], &byte, 1, &got, &count), 1);
	assert_true(got >= 0);
	expect_agreement(&w, "received");
	w.held = true;
	assert_int_equal(vfake_close(w.task, got), 0);
	w.held = false;
	expect_disagreement(&w, "closed", "descriptors");
	watched_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_on_other_machines), cmocka_unit_test(several_processes),
		cmocka_unit_test(a_process_that_ended),	   cmocka_unit_test(the_same_numbers),
		cmocka_unit_test(files_in_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
