/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two tasks that race to close, destroy, attach, detach and exit. A kernel runs one call at a time,
 * so a race is an order of calls, and there are few enough to run them all: every interleaving of
 * two scripts of three calls, and every permutation of six calls. Each order has a kernel of its
 * own. What a call returns is its own business here (a descriptor may be closed already, an object
 * gone); but when both tasks have ended, the kernel is empty and has not seen a condition that it
 * warns of.
 */
#include "order_stage.h"

enum {
	SCRIPT_CALLS = 3,
	CALLS = TASKS * SCRIPT_CALLS,
};

typedef long (*step_fn)(struct stage *stage, int who);

struct step {
	const char *name;
	step_fn run;
	bool never; /* succeeds in no order */
};

static uint64_t orders_run;
static uint64_t successes[TASKS][CALLS]; /* of each call of a story, over its orders */

/* ---- calls ---- */

#define CLOSE_STEP(name, member)                                                                   \
	static long name(struct stage *stage, int who)                                             \
	{                                                                                          \
		return vfake_close(stage->task[who], stage->member);                               \
	}

CLOSE_STEP(close_container, container)
CLOSE_STEP(close_group, group[0])
CLOSE_STEP(close_other_group, group[1])
CLOSE_STEP(close_device, device[0])
CLOSE_STEP(close_iommufd, iommufd)
CLOSE_STEP(close_cdev, cdev[0])
CLOSE_STEP(close_other_cdev, cdev[1])
CLOSE_STEP(close_vm, vm)
CLOSE_STEP(close_kvm_device, kvm_device)

static long leave(struct stage *stage, int who)
{
	vfake_task_exit(stage->task[who]);
	stage->task[who] = NULL;
	return 0;
}

static long unset_container(struct stage *stage, int who)
{
	return vfake_ioctl(stage->task[who], stage->group[0], VFIO_GROUP_UNSET_CONTAINER, 0);
}

static long set_container(struct stage *stage, int who)
{
	return call(stage, who, stage->group[0], VFIO_GROUP_SET_CONTAINER, &stage->container);
}

static long get_device(struct stage *stage, int who)
{
	return call(stage, who, stage->group[0], VFIO_GROUP_GET_DEVICE_FD,
		    (void *)(uintptr_t)desc(stage, 0)->name);
}

static long unmap_dma(struct stage *stage, int who)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap),
						    .iova = 0x10000,
						    .size = PAGE };

	return call(stage, who, stage->container, VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static long unregister(struct stage *stage, int who)
{
	struct vfio_iommu_spapr_register_memory memory = { .argsz = sizeof(memory),
							   .vaddr = stage->memory[0],
							   .size = PAGE };

	return call(stage, who, stage->container, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, &memory);
}

static long remove_window(struct stage *stage, int who)
{
	struct vfio_iommu_spapr_tce_remove window = { .argsz = sizeof(window) };

	return call(stage, who, stage->container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &window);
}

static long bind(struct stage *stage, int who)
{
	struct vfio_device_bind_iommufd arg = { .argsz = sizeof(arg), .iommufd = stage->iommufd };

	return call(stage, who, stage->cdev[1], VFIO_DEVICE_BIND_IOMMUFD, &arg);
}

static long attach_to(struct stage *stage, int who, int device, uint32_t pt)
{
	struct vfio_device_attach_iommufd_pt arg = { .argsz = sizeof(arg), .pt_id = pt };

	return call(stage, who, stage->cdev[device], VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

static long attach_ioas(struct stage *stage, int who)
{
	return attach_to(stage, who, 0, stage->ioas);
}

static long attach_hwpt(struct stage *stage, int who)
{
	return attach_to(stage, who, 0, stage->hwpt);
}

static long attach_other(struct stage *stage, int who)
{
	return attach_to(stage, who, 1, stage->ioas);
}

static long detach(struct stage *stage, int who)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = sizeof(arg) };

	return call(stage, who, stage->cdev[0], VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

static long destroy(struct stage *stage, int who, uint32_t id)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = id };

	return call(stage, who, stage->iommufd, IOMMU_DESTROY, &arg);
}

static long destroy_hwpt(struct stage *stage, int who)
{
	return destroy(stage, who, stage->hwpt);
}

static long destroy_ioas(struct stage *stage, int who)
{
	return destroy(stage, who, stage->ioas);
}

static long destroy_device(struct stage *stage, int who)
{
	return destroy(stage, who, stage->devid[0]);
}

static long unmap_all(struct stage *stage, int who)
{
	struct iommu_ioas_unmap arg = { .size = sizeof(arg),
					.ioas_id = stage->ioas,
					.length = UINT64_MAX };

	return call(stage, who, stage->iommufd, IOMMU_IOAS_UNMAP, &arg);
}

static long kvm_file(struct stage *stage, int who, uint64_t attr, int32_t fd)
{
	struct kvm_device_attr arg = { .group = KVM_DEV_VFIO_FILE,
				       .attr = attr,
				       .addr = (uintptr_t)&fd };

	return call(stage, who, stage->kvm_device, KVM_SET_DEVICE_ATTR, &arg);
}

static long kvm_add_group(struct stage *stage, int who)
{
	return kvm_file(stage, who, KVM_DEV_VFIO_FILE_ADD, stage->group[0]);
}

static long kvm_del_group(struct stage *stage, int who)
{
	return kvm_file(stage, who, KVM_DEV_VFIO_FILE_DEL, stage->group[0]);
}

static long kvm_add_cdev(struct stage *stage, int who)
{
	return kvm_file(stage, who, KVM_DEV_VFIO_FILE_ADD, stage->cdev[0]);
}

static long kvm_del_cdev(struct stage *stage, int who)
{
	return kvm_file(stage, who, KVM_DEV_VFIO_FILE_DEL, stage->cdev[0]);
}

/* ---- orders ---- */

struct story {
	const char *name;
	void (*open)(struct stage *stage);
	bool power;
	struct step script[TASKS][SCRIPT_CALLS];
};

#define STEP(function)                                                                             \
	{                                                                                          \
#function, function, false                                                         \
	}
#define FAILS(function)                                                                            \
	{                                                                                          \
#function, function, true                                                          \
	}

static const struct story stories[] = {
	{ "type1: detach a group while its device is used",
	  open_type1,
	  false,
	  { { STEP(close_device), STEP(unset_container), STEP(leave) },
	    { STEP(close_device), STEP(unmap_dma), STEP(unset_container) } } },
	{ "type1: a new device while the group changes",
	  open_type1,
	  false,
	  { { STEP(close_device), STEP(get_device), STEP(close_group) },
	    { STEP(close_device), STEP(unset_container), STEP(set_container) } } },
	{ "spapr: memory and group",
	  open_spapr,
	  true,
	  { { STEP(unmap_dma), STEP(unregister), STEP(close_device) },
	    { STEP(close_device), STEP(unset_container), STEP(leave) } } },
	{ "spapr: window and group",
	  open_spapr,
	  true,
	  { { STEP(remove_window), STEP(unregister), STEP(leave) },
	    { STEP(close_device), STEP(close_group), STEP(close_container) } } },
	{ "cdev: attach against destroy",
	  open_cdevs,
	  false,
	  { { STEP(attach_hwpt), STEP(attach_ioas), STEP(detach) },
	    { STEP(destroy_hwpt), STEP(unmap_all), STEP(destroy_ioas) } } },
	{ "cdev: attach against exit",
	  open_cdevs,
	  false,
	  { { STEP(attach_ioas), STEP(close_cdev), STEP(leave) },
	    { STEP(attach_other), STEP(close_iommufd), STEP(leave) } } },
	{ "cdev: detach against destroy",
	  open_cdevs,
	  false,
	  { { STEP(attach_hwpt), STEP(detach), STEP(close_cdev) },
	    { FAILS(destroy_device), STEP(destroy_hwpt), STEP(close_cdev) } } },
	{ "a cdev against a group on one iommufd",
	  open_unbound,
	  false,
	  { { STEP(set_container), STEP(get_device), STEP(unset_container) },
	    { STEP(bind), STEP(attach_other), STEP(close_other_cdev) } } },
	{ "kvm: a group's file against its end",
	  open_type1_kvm,
	  false,
	  { { STEP(kvm_add_group), STEP(kvm_del_group), STEP(close_device) },
	    { STEP(close_device), STEP(unset_container), STEP(leave) } } },
	{ "kvm: a group whose file only the VM keeps",
	  open_type1_kvm,
	  false,
	  { { STEP(kvm_add_group), STEP(close_group), STEP(close_kvm_device) },
	    { STEP(close_group), STEP(close_device), STEP(leave) } } },
	{ "kvm: a cdev's file against its end",
	  open_cdevs_kvm,
	  false,
	  { { STEP(kvm_add_cdev), STEP(kvm_del_cdev), STEP(leave) },
	    { STEP(attach_ioas), STEP(close_vm), STEP(close_cdev) } } },
};

/* Six calls of the second task, after the first has exited: its descriptors are the last. */
struct farewell {
	const char *name;
	void (*open)(struct stage *stage);
	bool power;
	struct step step[CALLS];
};

static const struct farewell farewells[] = {
	{ "type1 with a VM",
	  open_type1_kvm,
	  false,
	  { STEP(close_container), STEP(close_group), STEP(close_other_group), STEP(close_device),
	    STEP(close_vm), STEP(close_kvm_device) } },
	{ "spapr",
	  open_spapr,
	  true,
	  { STEP(close_container), STEP(close_group), STEP(close_other_group), STEP(close_device),
	    STEP(unset_container), STEP(get_device) } },
	{ "cdevs",
	  open_cdevs,
	  false,
	  { STEP(close_iommufd), STEP(close_cdev), STEP(close_other_cdev), STEP(destroy_hwpt),
	    STEP(destroy_ioas), STEP(attach_hwpt) } },
	{ "cdevs with a VM",
	  open_cdevs_kvm,
	  false,
	  { STEP(close_iommufd), STEP(close_cdev), STEP(attach_ioas), STEP(detach), STEP(close_vm),
	    STEP(close_kvm_device) } },
};

static void start(struct stage *stage, bool power, void (*open)(struct stage *stage),
		  const struct vfake_world *worlds)
{
	boot(stage, &worlds[power]);
	open(stage);
}

/* Ends both tasks and the kernel; says in which order the calls came when something is left. */
static void finish(struct stage *stage, const char *name, const struct step *const *order)
{
	static const struct vfake_ledger empty;
	struct vfake_ledger ledger;

	for (int who = 0; who < TASKS; who++) {
		if (stage->task[who])
			leave(stage, who);
	}
	ledger = vfake_ledger(stage->kernel);
	if (memcmp(&ledger, &empty, sizeof(empty)) != 0) {
		print_error("%s:", name);
		for (int i = 0; i < CALLS; i++)
			print_error(" %s", order[i]->name);
		fail_msg("files %u, descriptors %u, blocks %u, pins %u, locked %u, warnings %u",
			 (unsigned int)ledger.open_files, (unsigned int)ledger.descriptors,
			 (unsigned int)ledger.allocations, (unsigned int)ledger.pinned_pages,
			 (unsigned int)ledger.locked_pages, (unsigned int)ledger.warnings);
	}
	vfake_kernel_free(stage->kernel);
	orders_run++;
}

/* Bit i of @turns says whose the i-th call is. */
static void interleave(const struct story *story, unsigned int turns,
		       const struct vfake_world *worlds)
{
	const struct step *order[CALLS];
	int next[TASKS] = { 0 };
	struct stage stage;

	start(&stage, story->power, story->open, worlds);
	for (int i = 0; i < CALLS; i++) {
		int who = turns >> i & 1;

		order[i] = &story->script[who][next[who]];
		if (stage.task[who])
			successes[who][next[who]] += order[i]->run(&stage, who) >= 0;
		next[who]++;
	}
	finish(&stage, story->name, order);
}

static void part(const struct farewell *farewell, const int *permutation,
		 const struct vfake_world *worlds)
{
	const struct step *order[CALLS];
	struct stage stage;

	start(&stage, farewell->power, farewell->open, worlds);
	leave(&stage, 0);
	for (int i = 0; i < CALLS; i++) {
		order[i] = &farewell->step[permutation[i]];
		successes[1][permutation[i]] += order[i]->run(&stage, 1) >= 0;
	}
	finish(&stage, farewell->name, order);
}

/* A call that fails in every order shows nothing, unless that is what is to be shown. */
static void check_successes(const char *name, const struct step *steps, int who, int count)
{
	for (int i = 0; i < count; i++) {
		if ((successes[who][i] != 0) == steps[i].never)
			fail_msg("%s: %s succeeded %u times", name, steps[i].name,
				 (unsigned int)successes[who][i]);
	}
	memset(successes[who], 0, sizeof(successes[who]));
}

static void swap(int *a, int *b)
{
	int old = *a;

	*a = *b;
	*b = old;
}

/* Every permutation of the places from @from on. */
static void permute(const struct farewell *farewell, int *permutation, int from,
		    const struct vfake_world *worlds)
{
	if (from == CALLS)
		part(farewell, permutation, worlds);
	for (int i = from; i < CALLS; i++) {
		swap(&permutation[from], &permutation[i]);
		permute(farewell, permutation, from + 1, worlds);
		swap(&permutation[from], &permutation[i]);
	}
}

static int setup(void **state)
{
	static struct vfake_world worlds[2];

	vfake_world_x86(&worlds[0]);
	vfake_world_powernv(&worlds[1]);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vfake_world_add_device(&worlds[i], "d0", "edu"), 0);
		assert_int_equal(vfake_world_add_device(&worlds[i], "d1", "edu"), 0);
	}
	*state = worlds;
	return 0;
}

/* With three calls each there are 20 ways. */
static void every_interleaving_of_two_scripts(void **state)
{
	size_t count = sizeof(stories) / sizeof(stories[0]);

	orders_run = 0;
	for (size_t i = 0; i < count; i++) {
		for (unsigned int turns = 0; turns < 1 << CALLS; turns++) {
			if (__builtin_popcount(turns) == SCRIPT_CALLS)
				interleave(&stories[i], turns, *state);
		}
		for (int who = 0; who < TASKS; who++)
			check_successes(stories[i].name, stories[i].script[who], who, SCRIPT_CALLS);
	}
	print_message("%u orders\n", (unsigned int)orders_run);
	assert_int_equal(orders_run, 20 * count);
}

static void every_permutation_of_six_calls(void **state)
{
	size_t count = sizeof(farewells) / sizeof(farewells[0]);

	orders_run = 0;
	for (size_t i = 0; i < count; i++) {
		int permutation[CALLS] = { 0, 1, 2, 3, 4, 5 };

		permute(&farewells[i], permutation, 0, *state);
		check_successes(farewells[i].name, farewells[i].step, 1, CALLS);
	}
	print_message("%u orders\n", (unsigned int)orders_run);
	assert_int_equal(orders_run, 720 * count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_interleaving_of_two_scripts, setup),
		cmocka_unit_test_setup(every_permutation_of_six_calls, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
