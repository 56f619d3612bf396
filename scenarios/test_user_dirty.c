/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a vfio-user server wrote behind a vIOMMU, when maps come and go while somebody wants to
 * know: servers that log, that do not, that tell with an unmap, that fail to tell, and that tell
 * too much.
 */
#include "user_rig.h"

enum { PAGE = 4096, PAGES = 256 };

static _Alignas(PAGE) uint8_t ram[PAGES * PAGE];

/* How the server behaves, and what it heard. */
struct server {
	bool logs;
	bool tells;	/* with an unmap */
	bool fails;	/* when it is asked */
	uint64_t bits;	/* what it tells: a word */
	uint32_t asked; /* for its log */
	uint32_t unmaps;
	uint32_t unmap_flags; /* of the last one */
};

static void hear_unmap(struct rig *rig, const struct vfio_user_header *header,
		       const uint8_t *payload, uint32_t size, struct server *server)
{
	struct vfio_user_dma_unmap unmap;
	uint8_t bytes[256] = { 0 };

	memcpy(&unmap, payload, sizeof(unmap));
	server->unmaps++;
	server->unmap_flags = unmap.flags;
	if (!(unmap.flags & VFIO_USER_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)) {
		rig_decent(rig, header, payload, size);
	} else if (!server->tells) {
		rig_error(rig, header, EINVAL);
	} else {
		rig->maps--;
		memcpy(bytes, payload, size);
		memcpy(bytes + size, &server->bits, sizeof(server->bits));
		rig_reply(rig, header, bytes, unmap.argsz);
	}
}

static bool serve(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		  uint32_t size)
{
	struct server *server = rig->hook_ctx;
	struct vfio_device_feature head;
	uint8_t bytes[4096] = { 0 };

	if (header->cmd == VFIO_USER_DMA_UNMAP) {
		hear_unmap(rig, header, payload, size, server);
		return true;
	}
	if (header->cmd != VFIO_USER_DEVICE_FEATURE || !server->logs)
		return false;
	memcpy(&head, payload, sizeof(head));
	memcpy(bytes, payload, size);
	if ((head.flags & VFIO_DEVICE_FEATURE_MASK) < VFIO_DEVICE_FEATURE_DMA_LOGGING_START)
		return false;
	if (head.flags & VFIO_DEVICE_FEATURE_GET && !(head.flags & VFIO_DEVICE_FEATURE_PROBE)) {
		server->asked++;
		if (server->fails) {
			rig_error(rig, header, EIO);
			return true;
		}
		memcpy(bytes + size, &server->bits, sizeof(server->bits));
		size = head.argsz;
	}
	rig_reply(rig, header, bytes, size);
	return true;
}

/* A device behind a vIOMMU, and the machine's memory. */
struct guest {
	struct rig *rig;
	struct vfio_memory *machine;
	uint32_t viommu;
};

static struct guest guest_start(struct rig *rig, struct server *server)
{
	const struct vfio_memory_region viommu = { .name = "viommu",
						   .kind = VFIO_MEMORY_IOMMU,
						   .last = (1 << 30) - 1,
						   .fd = -1,
						   .iommu_pgsizes = PAGE };
	struct guest guest = { .rig = rig, .machine = rig->memory };

	rig_ram(rig, 0, ram, sizeof(ram), -1);
	rig->memory = vfio_memory_new(NULL);
	assert_true(vfio_memory_add(rig->memory, &viommu, &guest.viommu, NULL));
	rig->hook = serve;
	rig->hook_ctx = server;
	assert_int_equal(rig_attach(rig), 0);
	return guest;
}

static void guest_end(const struct guest *guest)
{
	vfio_memory_free(guest->rig->memory);
	guest->rig->memory = guest->machine;
}

/* The guest maps @pages pages of the machine, from page 4 on, or unmaps them. */
static void change(const struct guest *guest, uint64_t pages, int prot)
{
	const struct vfio_iommu_entry entry = { .iova = 16 * PAGE,
						.last = (16 + pages) * PAGE - 1,
						.target = 4 * PAGE,
						.prot = prot,
						.target_memory = guest->machine };

	assert_int_equal(vfio_memory_iommu_update(guest->rig->memory, guest->viommu, &entry), 0);
}

static void log_both(const struct guest *guest, bool on)
{
	if (on) {
		assert_true(vfio_memory_log_start(guest->machine, NULL));
		assert_true(vfio_memory_log_start(guest->rig->memory, NULL));
	} else {
		vfio_memory_log_stop(guest->rig->memory);
		vfio_memory_log_stop(guest->machine);
	}
}

/* The pages from 4 on whose bits are set are dirty, and no other; they are clean then. */
static void expect_dirty(const struct guest *guest, uint64_t bits)
{
	for (uint64_t page = 0; page < PAGES; page++) {
		bool dirty = page >= 4 && page < 68 && bits >> (page - 4) & 1;

		assert_int_equal(vfio_memory_test_dirty(guest->machine, page * PAGE, true), dirty);
	}
}

/* Its log covers what was mapped when it began: of a map that came later everything counts. */
static void maps_that_came_later(void **state)
{
	struct server server = { .logs = true, .tells = true, .bits = 2 };
	struct guest guest = guest_start(*state, &server);

	change(&guest, 4, 3);
	log_both(&guest, true);
	change(&guest, 4, 0);
	expect_dirty(&guest, 2);
	assert_int_equal(server.unmap_flags, VFIO_USER_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP);
	change(&guest, 4, 3);
	assert_true(vfio_memory_log_sync(guest.rig->memory, NULL));
	expect_dirty(&guest, 0xf);
	change(&guest, 4, 0);
	expect_dirty(&guest, 0xf);
	assert_int_equal(server.unmap_flags, 0);
	assert_int_equal(server.asked, 0);
	/* A log that begins anew covers it. */
	change(&guest, 4, 3);
	log_both(&guest, false);
	log_both(&guest, true);
	assert_true(vfio_memory_log_sync(guest.rig->memory, NULL));
	expect_dirty(&guest, 2);
	assert_int_equal(server.asked, 1);
	change(&guest, 4, 0);
	expect_dirty(&guest, 2);
	log_both(&guest, false);
	vfio_device_detach(guest.rig->device);
	guest_end(&guest);
}

/* Who does not log is not asked; whatever it could write counts. */
static void servers_without_a_log(void **state)
{
	struct server server = { .tells = true };
	struct guest guest = guest_start(*state, &server);

	change(&guest, 4, 3);
	log_both(&guest, true);
	change(&guest, 4, 0);
	expect_dirty(&guest, 0xf);
	assert_int_equal(server.unmaps, 1);
	assert_int_equal(server.unmap_flags, 0);
	log_both(&guest, false);
	vfio_device_detach(guest.rig->device);
	guest_end(&guest);
}

/* What cannot be told counts as written. */
static void logs_that_fail(void **state)
{
	struct server server = { .logs = true, .fails = true, .bits = 2 };
	struct guest guest = guest_start(*state, &server);

	change(&guest, 4, 3);
	log_both(&guest, true);
	change(&guest, 4, 0);
	expect_dirty(&guest, 0xf);
	assert_int_equal(guest.rig->ref.broken_seen, 0);
	log_both(&guest, false);
	vfio_device_detach(guest.rig->device);
	guest_end(&guest);
}

/* Bits behind the last page of a map say nothing, and each bit up to it is its page. */
static void bits_behind_the_end(void **state)
{
	const uint64_t pages[] = { 1, 3, 63, 64 };
	struct server server = { .logs = true, .tells = true, .bits = UINT64_MAX };
	struct guest guest = guest_start(*state, &server);

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		const uint64_t all = UINT64_MAX >> (64 - pages[i]);

		change(&guest, pages[i], 3);
		log_both(&guest, true);
		server.bits = UINT64_MAX;
		assert_true(vfio_memory_log_sync(guest.rig->memory, NULL));
		expect_dirty(&guest, all);
		server.bits = (uint64_t)1 << (pages[i] - 1);
		assert_true(vfio_memory_log_sync(guest.rig->memory, NULL));
		expect_dirty(&guest, server.bits);
		server.bits = UINT64_MAX;
		change(&guest, pages[i], 0);
		expect_dirty(&guest, all);
		log_both(&guest, false);
	}
	vfio_device_detach(guest.rig->device);
	guest_end(&guest);
}

/* What may only be read is never written: not told, not by leaving. */
static void maps_to_be_read(void **state)
{
	for (int logs = 0; logs < 2; logs++) {
		struct server server = { .logs = logs, .tells = true, .bits = UINT64_MAX };
		struct guest guest = guest_start(*state, &server);

		change(&guest, 4, 1);
		log_both(&guest, true);
		assert_true(vfio_memory_log_sync(guest.rig->memory, NULL));
		expect_dirty(&guest, 0);
		change(&guest, 4, 0);
		expect_dirty(&guest, 0);
		assert_int_equal(server.unmap_flags, 0);
		change(&guest, 4, 1);
		vfio_device_detach(guest.rig->device);
		expect_dirty(&guest, 0);
		log_both(&guest, false);
		guest_end(&guest);
		vfio_memory_free(guest.machine);
		guest.rig->memory = vfio_memory_new(NULL);
	}
}

/* A device that leaves may have written all that it could until then. */
static void a_device_that_leaves(void **state)
{
	struct server server = { .logs = true, .tells = true };
	struct guest guest = guest_start(*state, &server);

	change(&guest, 4, 3);
	log_both(&guest, true);
	vfio_device_detach(guest.rig->device);
	expect_dirty(&guest, 0xf);
	log_both(&guest, false);
	guest_end(&guest);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(maps_that_came_later), RIG_TEST(servers_without_a_log),
		RIG_TEST(logs_that_fail),	RIG_TEST(bits_behind_the_end),
		RIG_TEST(maps_to_be_read),	RIG_TEST(a_device_that_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
