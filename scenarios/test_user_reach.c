/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a vfio-user server reaches of guest memory by messages, byte by byte, also behind a vIOMMU,
 * under memory that goes, and when the maps have gone; and what is told of it by devices with long
 * names.
 */
#include "user_rig.h"

enum { PAGE = 4096, PAGES = 256, PIECES = 1 << 20 };

static _Alignas(PAGE) uint8_t ram[PAGES * PAGE];

/* ---- the stack's memory ---- */

/*
 * What is behind each block are numbers that mean something in an answer, and they stay what they
 * are; memory that is given back is rubbish at once.
 */
enum { HEAD = 16, TAIL = 64, BEHIND = VFIO_REGION_INFO_CAP_TYPE, LARGE = 2048 };

static bool large_fails; /* there is no memory for blocks of LARGE bytes or more */

static void *guard_alloc(void *ctx, size_t size)
{
	struct vfio_vmm_ref *ref = ctx;
	uint8_t *block;

	if (large_fails && size >= LARGE)
		return NULL;
	block = calloc(1, HEAD + size + TAIL);
	assert_non_null(block);
	memcpy(block, &size, sizeof(size));
	for (size_t i = 0; i < TAIL; i += 4)
		memcpy(block + HEAD + size + i, &(uint32_t){ BEHIND }, 4);
	ref->blocks++;
	return block + HEAD;
}

static void guard_free(void *ctx, void *bytes)
{
	struct vfio_vmm_ref *ref = ctx;
	uint8_t *block = (uint8_t *)bytes - HEAD;
	size_t size;

	memcpy(&size, block, sizeof(size));
	for (size_t i = 0; i < TAIL; i += 4)
		assert_memory_equal(block + HEAD + size + i, &(uint32_t){ BEHIND }, 4);
	memset(bytes, 0x5a, size);
	free(block);
	ref->blocks--;
}

static int set_up(void **state)
{
	struct rig *rig;

	assert_int_equal(rig_set_up(state), 0);
	rig = *state;
	vfio_free(rig->vfio);
	rig->vmm.alloc = guard_alloc;
	rig->vmm.free = guard_free;
	rig->vfio = vfio_new(&rig->sys, &rig->vmm);
	large_fails = false;
	return 0;
}

/* ---- what the server asks for ---- */

static void fill_ram(void)
{
	for (size_t i = 0; i < sizeof(ram); i++)
		ram[i] = (uint8_t)(i * 2654435761u >> 13);
}

/* The server wants bytes while nobody waits for it: what it is told. */
static uint32_t ask(struct rig *rig, uint16_t cmd, uint64_t addr, uint32_t count)
{
	uint8_t data[64] = { 0 };

	assert_true(count <= sizeof(data));
	rig->reply_count = 0;
	rig_ask_dma(rig, cmd, addr, count, data, cmd == VFIO_USER_DMA_WRITE ? count : 0, 0);
	vfio_device_poll(rig->device);
	assert_int_equal(rig->reply_count, 1);
	return rig->replies[0];
}

static uint32_t ask_read(struct rig *rig, uint64_t addr, uint32_t count)
{
	return ask(rig, VFIO_USER_DMA_READ, addr, count);
}

static const uint8_t *answer(const struct rig *rig)
{
	return rig->reply_bytes + sizeof(struct vfio_user_dma_access);
}

/* ---- behind a vIOMMU ---- */

/* A device behind a vIOMMU, and the machine's memory: RAM, and pieces from PIECES on. */
struct guest {
	struct rig *rig;
	struct vfio_memory *machine;
	struct vfio_memory *space;
	uint32_t ram, pieces, viommu;
};

static void map_with(const struct guest *guest, uint64_t page, uint64_t pages, uint64_t target,
		     int prot)
{
	const struct vfio_iommu_entry entry = { .iova = page * PAGE,
						.last = (page + pages) * PAGE - 1,
						.target = target,
						.prot = prot,
						.target_memory = guest->machine };

	assert_int_equal(vfio_memory_iommu_update(guest->space, guest->viommu, &entry), 0);
}

static void map(const struct guest *guest, uint64_t page, uint64_t pages, uint64_t target)
{
	map_with(guest, page, pages, target, 3);
}

static struct guest guest_start(struct rig *rig)
{
	const struct vfio_memory_region pieces = { .name = "pieces",
						   .kind = VFIO_MEMORY_DISCARDABLE,
						   .start = PIECES,
						   .last = PIECES + 16 * PAGE - 1,
						   .vaddr = (uintptr_t)(ram + 128 * PAGE),
						   .fd = -1,
						   .granularity = PAGE };
	const struct vfio_memory_region viommu = { .name = "viommu",
						   .kind = VFIO_MEMORY_IOMMU,
						   .last = (1 << 30) - 1,
						   .fd = -1,
						   .iommu_pgsizes = PAGE };
	struct guest guest = { .rig = rig, .machine = rig->memory };

	fill_ram();
	guest.ram = rig_ram(rig, 0, ram, 64 * PAGE, -1);
	assert_true(vfio_memory_add(guest.machine, &pieces, &guest.pieces, NULL));
	assert_true(
		vfio_memory_populate(guest.machine, guest.pieces, pieces.start, pieces.last, NULL));
	guest.space = vfio_memory_new(NULL);
	assert_true(vfio_memory_add(guest.space, &viommu, &guest.viommu, NULL));
	rig->memory = guest.space;
	assert_int_equal(rig_attach(rig), 0);
	return guest;
}

static void guest_end(const struct guest *guest)
{
	vfio_device_detach(guest->rig->device);
	vfio_memory_free(guest->space);
	guest->rig->memory = guest->machine;
}

static void exactly_what_is_mapped(void **state)
{
	struct rig *rig = *state;
	struct guest guest = guest_start(rig);

	map(&guest, 16, 2, 4 * PAGE);
	map(&guest, 18, 2, 40 * PAGE);
	assert_int_equal(ask_read(rig, 16 * PAGE, 1), 0);
	assert_int_equal(*answer(rig), ram[4 * PAGE]);
	assert_int_equal(ask_read(rig, 18 * PAGE - 1, 1), 0);
	assert_int_equal(*answer(rig), ram[6 * PAGE - 1]);
	assert_int_equal(ask_read(rig, 20 * PAGE - 1, 1), 0);
	assert_int_equal(*answer(rig), ram[42 * PAGE - 1]);
	/* Over the border of two maps. */
	assert_int_equal(ask_read(rig, 18 * PAGE - 8, 16), 0);
	assert_memory_equal(answer(rig), ram + 6 * PAGE - 8, 8);
	assert_memory_equal(answer(rig) + 8, ram + 40 * PAGE, 8);
	/* Over their ends, where the machine has memory. */
	assert_int_equal(ask_read(rig, 20 * PAGE - 8, 8), 0);
	assert_int_equal(ask_read(rig, 20 * PAGE - 8, 9), EFAULT);
	assert_int_equal(ask_read(rig, 16 * PAGE - 8, 16), EFAULT);
	assert_int_equal(ask_read(rig, 15 * PAGE, 8), EFAULT);
	assert_int_equal(ask_read(rig, 20 * PAGE, 8), EFAULT);
	guest_end(&guest);
}

/* Each map has its own rights, whichever is reached first; what is refused changes nothing. */
static void rights_of_each_map(void **state)
{
	struct rig *rig = *state;
	struct guest guest = guest_start(rig);
	static uint8_t before[sizeof(ram)];

	for (uint64_t rights = 0; rights < 8; rights++) {
		uint64_t page = 16 + 8 * rights;

		for (uint64_t i = 0; i < 3; i++)
			map_with(&guest, page + i, 1, (4 + 2 * i) * PAGE, rights >> i & 1 ? 3 : 1);
		for (uint64_t i = 0; i < 2; i++) {
			uint64_t border = (page + 1 + i) * PAGE;
			bool good = (rights >> i & 3) == 3;

			memcpy(before, ram, sizeof(ram));
			assert_int_equal(ask_read(rig, border - 8, 16), 0);
			assert_int_equal(ask(rig, VFIO_USER_DMA_WRITE, border - 8, 16),
					 good ? 0 : EFAULT);
			assert_int_equal(!memcmp(before, ram, sizeof(ram)), !good);
			fill_ram();
		}
	}
	guest_end(&guest);
}

static void pages_that_are_written(void **state)
{
	struct rig *rig = *state;
	struct guest guest = guest_start(rig);
	uint64_t page = 0;

	map(&guest, 16, 2, 4 * PAGE);
	map(&guest, 18, 2, 40 * PAGE);
	assert_true(vfio_memory_log_start(guest.machine, NULL));
	assert_int_equal(ask(rig, VFIO_USER_DMA_WRITE, 18 * PAGE - 8, 16), 0);
	for (; page < 64; page++)
		assert_int_equal(vfio_memory_test_dirty(guest.machine, page * PAGE, false),
				 page == 5 || page == 40);
	assert_int_equal(ram[6 * PAGE - 1] | ram[40 * PAGE], 0);
	vfio_memory_log_stop(guest.machine);
	guest_end(&guest);
}

/* The guest takes memory away that its vIOMMU still maps: that is not reached, what is left is. */
static void memory_that_goes(void **state)
{
	struct rig *rig = *state;
	struct guest guest = guest_start(rig);

	map(&guest, 32, 4, PIECES);
	map(&guest, 48, 2, 4 * PAGE);
	assert_int_equal(ask_read(rig, 34 * PAGE - 8, 16), 0);
	assert_memory_equal(answer(rig), ram + 130 * PAGE - 8, 16);
	vfio_memory_discard(guest.machine, guest.pieces, PIECES + 2 * PAGE, PIECES + 3 * PAGE - 1);
	assert_int_equal(ask_read(rig, 34 * PAGE - 8, 8), 0);
	assert_memory_equal(answer(rig), ram + 130 * PAGE - 8, 8);
	assert_int_equal(ask_read(rig, 34 * PAGE - 8, 9), EFAULT);
	assert_int_equal(ask_read(rig, 34 * PAGE, 8), EFAULT);
	assert_int_equal(ask_read(rig, 35 * PAGE, 8), 0);
	assert_memory_equal(answer(rig), ram + 131 * PAGE, 8);
	assert_int_equal(ask_read(rig, 48 * PAGE, 8), 0);
	vfio_memory_del(guest.machine, guest.ram);
	assert_int_equal(ask_read(rig, 48 * PAGE, 8), EFAULT);
	guest_end(&guest);
}

/* RAM that comes in pieces: each is where it is in the process. */
static void pieces_of_ram(void **state)
{
	struct rig *rig = *state;
	const struct vfio_memory_region pieces = { .name = "pieces",
						   .kind = VFIO_MEMORY_DISCARDABLE,
						   .start = PIECES,
						   .last = PIECES + 16 * PAGE - 1,
						   .vaddr = (uintptr_t)(ram + 128 * PAGE),
						   .fd = -1,
						   .granularity = PAGE };
	uint32_t id;

	fill_ram();
	assert_true(vfio_memory_add(rig->memory, &pieces, &id, NULL));
	assert_int_equal(rig_attach(rig), 0);
	assert_true(vfio_memory_populate(rig->memory, id, PIECES, PIECES + 4 * PAGE - 1, NULL));
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(ask_read(rig, PIECES + i * PAGE + 99, 8), 0);
		assert_memory_equal(answer(rig), ram + (128 + i) * PAGE + 99, 8);
	}
	assert_int_equal(ask_read(rig, PIECES + 4 * PAGE, 1), EFAULT);
}

/* ---- maps that go ---- */

/* Refuses the first map after one that was there. */
static bool refuses_the_first(struct rig *rig, const struct vfio_user_header *header,
			      const uint8_t *payload, uint32_t size)
{
	(void)payload;
	(void)size;
	if (header->cmd != VFIO_USER_DMA_MAP || rig->seen[VFIO_USER_DMA_MAP] != 2)
		return false;
	rig_error(rig, header, EIO);
	return true;
}

/*
 * A row of pieces comes with its region, the server refuses the first, and the stack has no memory
 * to remember the last: none of them is there then, and the lack of memory is what is told.
 */
static void a_map_that_has_gone_again(void **state)
{
	struct rig *rig = *state;
	const struct vfio_memory_region pieces = { .name = "pieces",
						   .kind = VFIO_MEMORY_DISCARDABLE,
						   .start = PIECES,
						   .last = PIECES + 64 * PAGE - 1,
						   .vaddr = (uintptr_t)(ram + 128 * PAGE),
						   .fd = -1,
						   .granularity = PAGE };
	struct vfio_container_info info;
	uint32_t id;

	rig_ram(rig, 2 * PIECES, ram, PAGE, -1); /* which stays */
	assert_int_equal(rig_attach(rig), 0);
	vfio_memory_begin(rig->memory);
	assert_true(vfio_memory_add(rig->memory, &pieces, &id, NULL));
	assert_true(vfio_memory_populate(rig->memory, id, PIECES, PIECES + 32 * PAGE - 1, NULL));
	rig->hook = refuses_the_first;
	large_fails = true;
	vfio_memory_commit(rig->memory);
	large_fails = false;
	assert_int_equal(rig->seen[VFIO_USER_DMA_MAP], 16);
	assert_int_equal(ask_read(rig, 2 * PIECES, 8), 0);
	assert_int_equal(rig->ref.broken_seen, 1);
	assert_int_equal(rig->ref.broken_code, -ENOMEM);
	vfio_container_info(vfio_device_container(rig->device), &info);
	assert_int_equal(info.mappings, 1);
	assert_int_equal(ask_read(rig, PIECES, 8), EFAULT);
	rig->hook = NULL;
}

/* Refuses the first unmap, and asks for memory when it hears the next. */
static bool asks_at_the_end(struct rig *rig, const struct vfio_user_header *header,
			    const uint8_t *payload, uint32_t size)
{
	(void)payload;
	(void)size;
	if (header->cmd != VFIO_USER_DMA_UNMAP)
		return false;
	if (rig->seen[VFIO_USER_DMA_UNMAP] == 1) {
		rig_error(rig, header, EBUSY);
		return true;
	}
	rig_ask_dma(rig, VFIO_USER_DMA_READ, 0, 8, NULL, 0, 0);
	return false;
}

/* Refuses a map, and asks for its first bytes when it hears that there is none. */
static bool wants_what_it_refused(struct rig *rig, const struct vfio_user_header *header,
				  const uint8_t *payload, uint32_t size)
{
	uint64_t addr;

	(void)size;
	if (header->cmd == VFIO_USER_DMA_MAP)
		rig_error(rig, header, EIO);
	if (header->cmd != VFIO_USER_DMA_UNMAP)
		return header->cmd == VFIO_USER_DMA_MAP;
	memcpy(&addr, payload + offsetof(struct vfio_user_dma_unmap, addr), sizeof(addr));
	rig_ask_dma(rig, VFIO_USER_DMA_READ, addr, 8, NULL, 0, 0);
	return false;
}

/* A map is reached before its reply is there; one that failed is not, from its reply on. */
static void a_map_that_was_refused(void **state)
{
	struct rig *rig = *state;
	struct guest guest = guest_start(rig);

	rig->hook = wants_what_it_refused;
	rig->reply_count = 0;
	map(&guest, 16, 1, 4 * PAGE);
	assert_int_equal(rig->reply_count, 1);
	assert_int_equal(rig->replies[0], EFAULT);
	rig->hook = NULL;
	assert_int_equal(ask_read(rig, 16 * PAGE, 8), EFAULT);
	assert_int_equal(rig->ref.broken_code, -EIO);
	guest_end(&guest);
}

/* When the maps have gone there is nothing to reach, though the connection is still there. */
static void after_the_maps(void **state)
{
	struct rig *rig = *state;

	rig_ram(rig, 0, ram, PAGE, -1);
	assert_int_equal(rig_attach(rig), 0);
	assert_int_equal(ask_read(rig, 0, 8), 0);
	rig->hook = asks_at_the_end;
	rig->reply_count = 0;
	vfio_device_detach(rig->device);
	assert_int_equal(rig->seen[VFIO_USER_DMA_UNMAP], 2);
	assert_int_equal(rig->reply_count, 1);
	assert_int_equal(rig->replies[0], EFAULT);
}

/* A map takes the place of one whose unmap is refused: it is a map like any other. */
static void in_the_place_of_another(void **state)
{
	struct rig *rig = *state;
	struct vfio_container_info info;
	uint32_t id = rig_ram(rig, 0, ram, PAGE, -1);

	assert_int_equal(rig_attach(rig), 0);
	rig->hook = asks_at_the_end;
	vfio_memory_begin(rig->memory);
	vfio_memory_del(rig->memory, id);
	id = rig_ram(rig, 0, ram + PAGE, 2 * PAGE, -1);
	vfio_memory_commit(rig->memory);
	assert_int_equal(rig->ref.broken_seen, 1);
	assert_int_equal(rig->ref.broken_code, -EBUSY);
	rig->hook = NULL;
	vfio_container_info(vfio_device_container(rig->device), &info);
	assert_int_equal(info.mappings, 2); /* both are there, as far as one can know */
	vfio_memory_del(rig->memory, id);
	assert_int_equal(rig->seen[VFIO_USER_DMA_UNMAP], 2);
	vfio_container_info(vfio_device_container(rig->device), &info);
	assert_int_equal(info.mappings, 1);
}

/* ---- maps are asked for together ---- */

struct gatherer {
	struct vfio_user_header headers[16];
	uint32_t count;
	uint32_t wanted;
};

static bool gather(struct rig *rig, const struct vfio_user_header *header, const uint8_t *payload,
		   uint32_t size)
{
	struct gatherer *gatherer = rig->hook_ctx;

	(void)payload;
	(void)size;
	if (header->cmd != VFIO_USER_DMA_MAP)
		return false;
	gatherer->headers[gatherer->count++] = *header;
	if (gatherer->count == gatherer->wanted) {
		for (uint32_t i = 0; i < gatherer->wanted; i++)
			rig_reply(rig, &gatherer->headers[i], NULL, 0);
	}
	return true;
}

/* A server that answers the maps of a transaction when it has all of them. */
static void maps_of_a_transaction(void **state)
{
	struct rig *rig = *state;
	struct gatherer gatherer = { .wanted = 10 };

	assert_int_equal(rig_attach(rig), 0);
	rig->hook = gather;
	rig->hook_ctx = &gatherer;
	vfio_memory_begin(rig->memory);
	for (uint64_t i = 0; i < 10; i++)
		rig_ram(rig, 2 * i * PAGE, ram + i * PAGE, PAGE, -1);
	vfio_memory_commit(rig->memory);
	assert_int_equal(gatherer.count, 10);
	assert_int_equal(rig->ref.broken_seen, 0);
	rig->hook = NULL;
}

/* ---- what is behind an answer ---- */

/* The chain of region 0 begins so many bytes behind the answer. */
static uint32_t behind;

static bool chain_outside(struct rig *rig, const struct vfio_user_header *header,
			  const uint8_t *payload, uint32_t size)
{
	struct vfio_region_info info;

	(void)size;
	if (header->cmd != VFIO_USER_DEVICE_GET_REGION_INFO)
		return false;
	memcpy(&info, payload, sizeof(info));
	info.argsz = sizeof(info);
	info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_CAPS;
	info.size = RIG_REGION_BYTES;
	info.cap_offset = (uint32_t)sizeof(info) + behind;
	rig_reply(rig, header, &info, sizeof(info));
	return true;
}

/* The stack reads what it was given, and nothing behind. */
static void nothing_behind(void **state)
{
	struct rig *rig = *state;
	struct vfio_error error = { 0 };
	struct vfio_region region;
	uint32_t value;

	for (behind = 0; behind < 32; behind += 4) {
		assert_int_equal(rig_attach(rig), 0);
		rig->hook = chain_outside;
		assert_true(vfio_device_region(rig->device, 0, &region, &error));
		assert_int_equal(region.type, 0);
		assert_int_equal(region.subtype, 0);
		/* There is no slot behind the last region. */
		assert_false(vfio_device_read(rig->device, RIG_REGIONS, 0, &value, 4, &error));
		assert_string_equal(error.message, "d0 has no region 9: invalid argument");
		rig->hook = NULL;
		vfio_device_detach(rig->device);
	}
}

/* ---- long names ---- */

enum { NAME = 400 };

/* An errno that has no text, and one that has. */
static bool odd_errors(struct rig *rig, const struct vfio_user_header *header,
		       const uint8_t *payload, uint32_t size)
{
	const uint32_t *code = rig->hook_ctx;

	(void)payload;
	(void)size;
	if (header->cmd != VFIO_USER_REGION_READ && header->cmd != VFIO_USER_DEVICE_GET_INFO)
		return false;
	rig_error(rig, header, *code);
	return true;
}

/* A message that is too long is cut, and nothing behind it is touched. */
static void long_names(void **state)
{
	struct rig *rig = *state;
	const uint32_t codes[] = { EIO, 112, 113, 4000 };
	char name[NAME + 1];
	struct vfio_device_options options = { .name = name,
					       .backend = VFIO_BACKEND_USER,
					       .socket = "/run/device",
					       .timeout_ticks = 100 };
	struct {
		struct vfio_error error;
		uint8_t behind[64];
	} told;
	uint8_t same[64];
	uint32_t value;

	memset(name, 'n', NAME);
	name[NAME] = 0;
	memset(same, 0x77, sizeof(same));
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		uint32_t code = codes[i];
		char text[32];

		memset(&told, 0x77, sizeof(told));
		rig->hook = NULL;
		rig->device = vfio_device_attach(rig->vfio, rig->memory, &options, &told.error);
		assert_non_null(rig->device);
		rig->hook = odd_errors;
		rig->hook_ctx = &code;
		assert_false(vfio_device_read(rig->device, 0, 0, &value, 4, &told.error));
		assert_int_equal(told.error.code, -(int)code);
		assert_int_equal(strlen(told.error.message), sizeof(told.error.message) - 1);
		assert_string_equal(told.error.hint, "");
		assert_memory_equal(told.behind, same, sizeof(same));
		vfio_device_detach(rig->device);
		/* And in front of a message. */
		assert_null(vfio_device_attach(rig->vfio, rig->memory, &options, &told.error));
		assert_int_equal(told.error.code, -(int)code);
		assert_int_equal(strlen(told.error.message), sizeof(told.error.message) - 1);
		assert_memory_equal(told.error.message, "device nnn", 10);
		assert_string_equal(told.error.hint, "");
		assert_memory_equal(told.behind, same, sizeof(same));
		/* A short one says it all. */
		options.name = "d";
		assert_null(vfio_device_attach(rig->vfio, rig->memory, &options, &told.error));
		options.name = name;
		snprintf(text, sizeof(text), ": error %u", code);
		assert_non_null(strstr(told.error.message, i ? text : ": input/output error"));
	}
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(exactly_what_is_mapped), RIG_TEST(rights_of_each_map),
		RIG_TEST(pages_that_are_written), RIG_TEST(memory_that_goes),
		RIG_TEST(pieces_of_ram),	  RIG_TEST(a_map_that_has_gone_again),
		RIG_TEST(a_map_that_was_refused), RIG_TEST(nothing_behind),
		RIG_TEST(after_the_maps),	  RIG_TEST(in_the_place_of_another),
		RIG_TEST(maps_of_a_transaction),  RIG_TEST(long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
