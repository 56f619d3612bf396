/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack's vfio-user backend and the fake's vfio-user server, against each other, as both are
 * when they mean well and when the server does not.
 */
#include "peer_rig.h"

static void attaches(void **state)
{
	struct peer_rig *rig = peer_rig_new("copy");
	struct vfio_error error = { 0 };
	struct vfio_container_info info;
	uint16_t vendor = 0;

	(void)state;
	peer_rig_serve(rig, 0, NULL);
	peer_rig_ram(rig, 0, 0x10000, true);
	peer_rig_ram(rig, 0x100000, 0x10000, false);
	peer_rig_attach(rig);
	assert_true(
		vfio_device_read(rig->device, VFIO_PCI_CONFIG_REGION_INDEX, 0, &vendor, 2, &error));
	assert_int_not_equal(vendor, 0);
	assert_int_not_equal(vendor, 0xffff);
	vfio_container_info(vfio_device_container(rig->device), &info);
	assert_int_equal(info.backend, VFIO_BACKEND_USER);
	assert_int_equal(info.mappings, 2);
	assert_int_equal(vfake_peer_counts(rig->peers[0]).maps, 2);
	vfio_device_detach(rig->device);
	assert_int_equal(vfake_peer_counts(rig->peers[0]).maps, 0);
	peer_rig_free(rig);
}

/* All that the stack asks of a decent server is decent itself. */
static void is_decent(void **state)
{
	struct peer_rig *rig = peer_rig_new("migrate");
	struct vfake_peer_counts counts;
	struct vfio_error error = { 0 };
	struct peer_ram ram;
	enum vfio_mig_state now;
	uint64_t value = 1;

	(void)state;
	peer_rig_serve(rig, 0, NULL);
	ram = peer_rig_ram(rig, 0, 0x10000, true);
	peer_rig_attach(rig);
	for (int i = 0; i < 100; i++)
		assert_true(vfio_device_post(rig->device, VFAKE_COPY_BAR_REGS, VFAKE_COPY_SCRATCH,
					     &value, 8, &error));
	assert_true(vfio_device_flush(rig->device, &error));
	assert_true(vfio_memory_log_start(rig->memory, &error));
	assert_true(vfio_memory_log_sync(rig->memory, &error));
	vfio_memory_del(rig->memory, ram.id);
	vfio_memory_log_stop(rig->memory);
	assert_true(vfio_device_mig_state(rig->device, &now, &error));
	assert_int_equal(now, VFIO_MIG_RUNNING);
	assert_true(vfio_device_reset(rig->device, &error));
	vfio_device_detach(rig->device);
	counts = vfake_peer_counts(rig->peers[0]);
	assert_int_equal(counts.clients, 1);
	assert_int_equal(counts.errors, 0);
	assert_int_equal(counts.hang_ups, 0);
	assert_int_equal(counts.unknown_replies, 0);
	assert_int_equal(counts.maps, 0);
	peer_rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attaches),
		cmocka_unit_test(is_decent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
