/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers about a device that a kernel may give and vfio-pci here does not: regions with holes and
 * with types, and answers that make no sense, which the stack neither believes nor stumbles over.
 * And the reference VMM's registry, which no device here uses.
 */
#include "backend_rig.h"

enum { BAR0 = VFIO_PCI_BAR0_REGION_INDEX, CONFIG = VFIO_PCI_CONFIG_REGION_INDEX };

/* What follows struct vfio_region_info in the answer about BAR 0. */
struct chain {
	struct vfio_region_info_cap_type type;
	struct { /* struct vfio_region_info_cap_sparse_mmap up to its array */
		struct vfio_info_cap_header header;
		uint32_t nr_areas;
		uint32_t reserved;
	} sparse;
	struct vfio_region_sparse_mmap_area areas[20];
};

static struct chain chain;

/* The kernel says of BAR 0 that a chain follows, and gives it where there is room. */
static void give_chain(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_region_info *info = arg;
	uint32_t bytes = sizeof(*info) + sizeof(chain);

	(void)rig;
	if (request != VFIO_DEVICE_GET_REGION_INFO || *ret || info->index != BAR0)
		return;
	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	if (info->argsz < bytes) {
		info->argsz = bytes;
		info->cap_offset = 0;
		return;
	}
	info->cap_offset = sizeof(*info);
	memcpy(info + 1, &chain, sizeof(chain));
}

static void make_chain(uint32_t areas)
{
	const uint32_t at = sizeof(struct vfio_region_info);

	memset(&chain, 0, sizeof(chain));
	chain.type.header.id = VFIO_REGION_INFO_CAP_TYPE;
	chain.type.header.version = 1;
	chain.type.header.next = at + offsetof(struct chain, sparse);
	chain.type.type = 0x80001002;
	chain.type.subtype = 3;
	chain.sparse.header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
	chain.sparse.header.version = 1;
	chain.sparse.nr_areas = areas;
	for (uint32_t i = 0; i < areas && i < 20; i++) {
		chain.areas[i].offset = i * 0x2000;
		chain.areas[i].size = 0x1000;
	}
}

static int refusal(struct vfio_device *device)
{
	struct vfio_error error = { 0 };
	struct vfio_region region;

	assert_false(vfio_device_region(device, BAR0, &region, &error));
	assert_non_null(strstr(error.message, "region 0"));
	return error.code;
}

static void holes_and_types(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_region region;
	struct vfio_error error;
	uint64_t first, second;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	rig->after = give_chain;
	make_chain(2);
	assert_true(vfio_device_region(device, BAR0, &region, &error));
	assert_int_equal(region.area_count, 2);
	assert_int_equal(region.areas[1].offset, 0x2000);
	assert_int_equal(region.areas[1].size, 0x1000);
	assert_true(vfio_device_region_by_type(device, 0x80001002, 3, &region, &error));
	assert_int_equal(region.index, BAR0);
	assert_false(vfio_device_region_by_type(device, 0x80001002, 4, &region, &error));
	assert_int_equal(error.code, -ENODEV);
	/* Each area is mapped by itself, and all of them end with the device. */
	assert_true(vfio_device_map_area(device, BAR0, 0, &first, &error));
	assert_true(vfio_device_map_area(device, BAR0, 1, &second, &error));
	assert_false(vfio_device_map_area(device, BAR0, 2, &second, &error));
	assert_int_equal(error.code, -EINVAL);
	vfio_device_unmap_area(device, first);
	vfio_device_unmap_area(device, first); /* is not there any more: nothing happens */
}

static void chains_are_not_trusted(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_region region;

	rig_start(rig);
	device = rig_attach(rig, "d0");
	rig->after = give_chain;
	make_chain(17); /* more than fit */
	assert_int_equal(refusal(device), -E2BIG);
	make_chain(2);
	chain.sparse.nr_areas = 0x10000000; /* more than the answer holds */
	assert_int_equal(refusal(device), -E2BIG);
	make_chain(2);
	chain.areas[1].offset = 1 << 20; /* behind the region */
	assert_int_equal(refusal(device), -ERANGE);
	make_chain(2);
	chain.areas[1].size = UINT64_MAX;
	assert_int_equal(refusal(device), -ERANGE);
	make_chain(2);
	chain.areas[0].size = 0;
	assert_int_equal(refusal(device), -ERANGE);
	/* A chain that goes back, or out, ends there; what came before it counts. */
	make_chain(2);
	chain.type.header.next = sizeof(struct vfio_region_info);
	assert_true(vfio_device_region(device, BAR0, &region, NULL));
	assert_int_equal(region.type, 0x80001002);
	assert_int_equal(region.area_count, 1);
	chain.type.header.next = 1 << 20;
	assert_true(vfio_device_region(device, BAR0, &region, NULL));
	assert_int_equal(region.area_count, 1);
}

static void claim_too_much(struct backend_rig *rig, uint32_t request, void *arg, long *ret)
{
	struct vfio_device_info *info = arg;

	(void)ret;
	if (request != VFIO_DEVICE_GET_INFO)
		return;
	if (rig->answer == 1)
		info->num_regions = 1025;
	else
		info->num_irqs = UINT32_MAX;
}

static void counts_are_bounded(void **state)
{
	struct backend_rig *rig = *state;

	rig_start(rig);
	rig->after = claim_too_much;
	for (rig->answer = 1; rig->answer <= 2; rig->answer++)
		rig_refuses(rig, "d0", -ERANGE, "VFIO_DEVICE_GET_INFO");
}

static void reads_are_all_or_nothing(void **state)
{
	struct backend_rig *rig = *state;
	struct vfio_device *device;
	struct vfio_error error;
	uint8_t bytes[8];

	rig_start(rig);
	device = rig_attach(rig, "d0");
	assert_true(vfio_device_read(device, CONFIG, 0, bytes, 4, &error));
	assert_memory_equal(bytes, "\x34\x12\xe8\x11", 4);
	assert_false(vfio_device_read(device, CONFIG, 252, bytes, 8, &error));
	assert_int_equal(error.code, -EINVAL);
	assert_false(vfio_device_write(device, CONFIG, UINT64_MAX, bytes, 1, &error));
	assert_int_equal(error.code, -EINVAL);
}

/* ---- the reference VMM ---- */

static void the_registry_knows_names(void **state)
{
	struct vfio_vmm_ref ref = { 0 };
	struct vfio_vmstate a = { .name = "a" }, b = { .name = "b" }, again = { .name = "a" };
	struct vfio_vmm vmm;

	(void)state;
	vfio_vmm_ref(&ref, &vmm);
	assert_int_equal(vmm.register_state(vmm.ctx, &a), 0);
	assert_int_equal(vmm.register_state(vmm.ctx, &b), 0);
	assert_int_equal(vmm.register_state(vmm.ctx, &again), -EEXIST);
	vmm.unregister_state(vmm.ctx, &again); /* was never there */
	assert_int_equal(ref.state_count, 2);
	vmm.unregister_state(vmm.ctx, &a);
	assert_int_equal(ref.state_count, 1);
	assert_ptr_equal(ref.states[0], &b);
	assert_int_equal(vmm.register_state(vmm.ctx, &again), 0);
	vmm.unregister_state(vmm.ctx, &b);
	vmm.unregister_state(vmm.ctx, &again);
	assert_int_equal(ref.state_count, 0);
}

static void the_registry_has_an_end(void **state)
{
	static struct vfio_vmstate states[VFIO_VMM_REF_MAX + 1];
	static char names[VFIO_VMM_REF_MAX + 1][32];
	struct vfio_vmm_ref ref = { 0 };
	struct vfio_vmm vmm;
	uint64_t blocker;

	(void)state;
	vfio_vmm_ref(&ref, &vmm);
	for (int i = 0; i <= VFIO_VMM_REF_MAX; i++) {
		int full = i == VFIO_VMM_REF_MAX ? -ENOMEM : 0;

		snprintf(names[i], sizeof(names[i]), "state %d", i);
		states[i].name = names[i];
		assert_int_equal(vmm.register_state(vmm.ctx, &states[i]), full);
		assert_int_equal(vmm.block_migration(vmm.ctx, names[i], VFIO_MODES_ALL, &blocker),
				 full);
	}
	vmm.unblock_migration(vmm.ctx, 1);
	assert_int_equal(ref.blocker_count, VFIO_VMM_REF_MAX - 1);
	assert_string_equal(ref.blockers[0].reason, "state 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEGACY_STORY(holes_and_types),
		LEGACY_STORY(chains_are_not_trusted),
		LEGACY_STORY(counts_are_bounded),
		LEGACY_STORY(reads_are_all_or_nothing),
		cmocka_unit_test(the_registry_knows_names),
		cmocka_unit_test(the_registry_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
