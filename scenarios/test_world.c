/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Worlds as files: each malformed one is refused at its place and changes nothing, each good one
 * starts a kernel that behaves as it says, and what is written reads as the same world.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uapi/vfio.h>
#include <vfake/kernel.h>

#include "world_read.h"

/* A world is too big for a stack of threads; these are the tests' own. */
static struct vfake_world world, other;

static void read_text(const char *text)
{
	struct world_error error;

	if (world_read("t", text, strlen(text), &world, &error))
		fail_msg("%s", error.message);
}

static void read_good(const char *name)
{
	struct world_error error;
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s.json", WORLD_GOOD_DIR, name);
	if (world_read_file(path, &world, &error))
		fail_msg("%s", error.message);
}

static void assert_same_device(const struct vfake_device_desc *a, const struct vfake_device_desc *b)
{
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->group, b->group);
	assert_int_equal(a->cdev, b->cdev);
	assert_int_equal(a->config_size_bytes, b->config_size_bytes);
	assert_memory_equal(a->config, b->config, sizeof(a->config));
	for (int i = 0; i < VFAKE_BARS; i++) {
		assert_true(a->bars[i].size_bytes == b->bars[i].size_bytes);
		assert_int_equal(a->bars[i].io, b->bars[i].io);
		assert_int_equal(a->bars[i].is_64bit, b->bars[i].is_64bit);
		assert_int_equal(a->bars[i].prefetchable, b->bars[i].prefetchable);
	}
	assert_true(a->rom_size_bytes == b->rom_size_bytes);
	assert_int_equal(a->segment, b->segment);
	assert_int_equal(a->bus, b->bus);
	assert_int_equal(a->devfn, b->devfn);
	assert_int_equal(a->express_control, b->express_control);
	assert_int_equal(a->reset_works, b->reset_works);
	assert_int_equal(a->bus_reset, b->bus_reset);
	assert_int_equal(a->noiommu, b->noiommu);
	assert_int_equal(a->noncoherent, b->noncoherent);
	assert_int_equal(a->tce_family, b->tce_family);
	assert_int_equal(a->model, b->model);
}

static void assert_same_range(const struct vfake_range *a, const struct vfake_range *b)
{
	assert_true(a->start == b->start);
	assert_true(a->last == b->last);
}

static void assert_same_spapr(const struct vfake_spapr *a, const struct vfake_spapr *b)
{
	assert_int_equal(a->window_start, b->window_start);
	assert_int_equal(a->window_size_bytes, b->window_size_bytes);
	assert_true(a->second_window_start == b->second_window_start);
	assert_true(a->pgsizes == b->pgsizes);
	assert_int_equal(a->windows, b->windows);
	assert_int_equal(a->levels, b->levels);
	assert_true(a->max_level_bytes == b->max_level_bytes);
	assert_int_equal(a->eeh, b->eeh);
}

static void assert_same_world(const struct vfake_world *a, const struct vfake_world *b)
{
	assert_int_equal(a->platform, b->platform);
	assert_int_equal(a->page_size_bytes, b->page_size_bytes);
	assert_true(a->ram_bytes == b->ram_bytes);
	assert_true(a->iommu_pgsizes == b->iommu_pgsizes);
	assert_same_range(&a->aperture, &b->aperture);
	assert_int_equal(a->reserved_count, b->reserved_count);
	for (uint32_t i = 0; i < a->reserved_count; i++)
		assert_same_range(&a->reserved[i], &b->reserved[i]);
	assert_int_equal(a->dma_entry_limit, b->dma_entry_limit);
	assert_int_equal(a->unsafe_interrupts, b->unsafe_interrupts);
	assert_int_equal(a->isolated_msi, b->isolated_msi);
	assert_int_equal(a->enforce_coherency, b->enforce_coherency);
	assert_int_equal(a->iommu_dirty_tracking, b->iommu_dirty_tracking);
	assert_int_equal(a->noiommu_enabled, b->noiommu_enabled);
	assert_int_equal(a->compat_container, b->compat_container);
	assert_same_spapr(&a->spapr, &b->spapr);
	assert_int_equal(a->device_count, b->device_count);
	for (uint32_t i = 0; i < a->device_count; i++)
		assert_same_device(&a->devices[i], &b->devices[i]);
}

/* Writes `world`, reads that into `other`, and compares the two. */
static void assert_round_trip(void)
{
	struct world_error error;
	size_t size_bytes = 0;
	char *text = NULL;
	FILE *file = open_memstream(&text, &size_bytes);

	assert_non_null(file);
	assert_int_equal(world_write(file, &world), 0);
	assert_int_equal(fclose(file), 0);
	if (world_read("written", text, size_bytes, &other, &error))
		fail_msg("%s", error.message);
	free(text);
	assert_same_world(&world, &other);
}

static struct vfake_kernel *start(void)
{
	const char *error = NULL;
	struct vfake_kernel *kernel = vfake_kernel_new(&world, &error);

	if (!kernel)
		fail_msg("%s", error);
	return kernel;
}

/* ---- malformed worlds ---- */

static char *read_index(void)
{
	FILE *file = fopen(WORLD_MALFORMED_DIR "/index.tsv", "rb");
	size_t size_bytes = 0;
	char *text = NULL;

	assert_non_null(file);
	assert_true(getdelim(&text, &size_bytes, 0, file) > 0);
	fclose(file);
	return text;
}

/* "FILE\tLINE\tCOLUMN\tTEXT" against what the reader says. Returns whether they agree. */
static bool check_malformed(char *row)
{
	char *rest = row;
	const char *name = strsep(&rest, "\t");
	const unsigned long line = strtoul(strsep(&rest, "\t"), NULL, 10);
	const unsigned long column = strtoul(strsep(&rest, "\t"), NULL, 10);
	struct world_error error = { .line = 0 };
	bool untouched;
	char prefix[1100];
	char path[1024];
	int ret;

	snprintf(path, sizeof(path), "%s/%s", WORLD_MALFORMED_DIR, name);
	memset(&world, 0x5a, sizeof(world));
	memset(&other, 0x5a, sizeof(other));
	ret = world_read_file(path, &world, &error);
	untouched = !memcmp(&world, &other, sizeof(world));
	snprintf(prefix, sizeof(prefix), "%s:%u:%u: ", path, error.line, error.column);
	if (ret == -EINVAL && untouched && error.line == line &&
	    (!column || error.column == column) &&
	    !strncmp(error.message, prefix, strlen(prefix)) &&
	    strstr(error.message + strlen(prefix), rest) && !strchr(error.message, '\n'))
		return true;
	print_error("%s: promised %lu:%lu with \"%s\", got %d%s: %s\n", name, line, column, rest,
		    ret, untouched ? "" : " and a changed world", ret ? error.message : "no error");
	return false;
}

static void malformed_worlds_are_refused_in_place(void **state)
{
	unsigned int files = 0;
	unsigned int wrong = 0;
	char *index = read_index();
	char *rest = index;
	char *row;

	(void)state;
	while ((row = strsep(&rest, "\n"))) {
		if (!*row)
			continue;
		files++;
		wrong += !check_malformed(row);
	}
	free(index);
	assert_true(files >= 80);
	assert_int_equal(wrong, 0);
}

static void files_that_cannot_be_read(void **state)
{
	char path[] = "/tmp/test_world_XXXXXX";
	struct world_error error;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, WORLD_FILE_BYTES_MAX + 1), 0);
	close(fd);
	assert_int_equal(world_read_file(path, &world, &error), -EFBIG);
	assert_non_null(strstr(error.message, path));
	unlink(path);
	assert_int_equal(world_read_file(path, &world, &error), -ENOENT);
	assert_non_null(strstr(error.message, path));
	assert_non_null(strstr(error.message, strerror(ENOENT)));
	assert_int_equal(world_read_file("/", &world, &error), -EISDIR);
	assert_int_equal(error.line, 0);
}

/* The message names the file, so a long name may not push out what is wrong. */
static void long_names_leave_room(void **state)
{
	struct world_error error;
	char name[5000];
	static char text[100000] = "{\"";

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	memset(text + 2, 'k', sizeof(text) - 2);
	memcpy(text + sizeof(text) - 5, "\":1}", 4);
	assert_int_equal(world_read(name, text, sizeof(text) - 1, &world, &error), -EINVAL);
	assert_non_null(strstr(error.message, "no such field; a world has base"));
}

/* ---- good worlds ---- */

static void good_worlds_start_and_round_trip(void **state)
{
	DIR *directory = opendir(WORLD_GOOD_DIR);
	unsigned int files = 0;
	struct dirent *entry;

	(void)state;
	assert_non_null(directory);
	while ((entry = readdir(directory))) {
		const size_t length = strlen(entry->d_name);
		struct world_error error;
		char path[1024];

		if (length < 5 || strcmp(entry->d_name + length - 5, ".json") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", WORLD_GOOD_DIR, entry->d_name);
		if (world_read_file(path, &world, &error))
			fail_msg("%s", error.message);
		vfake_kernel_free(start());
		assert_round_trip();
		files++;
	}
	closedir(directory);
	assert_true(files >= 10);
}

static void an_empty_world_is_its_base(void **state)
{
	(void)state;
	vfake_world_x86(&other);
	read_text("{}");
	assert_same_world(&world, &other);
	read_text("{\"base\": \"x86\"}");
	assert_same_world(&world, &other);
	vfake_world_powernv(&other);
	read_text(" {\"base\":\"powernv\"}\n");
	assert_same_world(&world, &other);
}

static void models_come_as_they_are(void **state)
{
	(void)state;
	vfake_world_x86(&other);
	assert_int_equal(vfake_world_add_device(&other, "d0", "edu"), 0);
	assert_int_equal(vfake_world_add_device(&other, "d1", "e1000e"), 0);
	assert_int_equal(vfake_world_add_device(&other, "d2", "plain"), 0);
	read_good("recorded");
	assert_same_world(&world, &other);
}

/* A behaviour that a file cannot name would be lost in it. */
static void every_behaviour_has_a_name(void **state)
{
	static const char *const models[] = {
		"edu", "copy", "migrate", "migrate-p2p", "migrate-pre-copy", "migrate-stop"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		vfake_world_x86(&world);
		assert_int_equal(vfake_world_add_device(&world, "d0", models[i]), 0);
		assert_int_equal(world.devices[0].model, i);
		assert_round_trip();
	}
	world.devices[0].model = (enum vfake_model)99;
	assert_int_equal(world_write(stderr, &world), -EINVAL);
}

static void fields_lie_over_the_model(void **state)
{
	const struct vfake_device_desc *desc = &world.devices[0];

	(void)state;
	vfake_world_x86(&other);
	assert_int_equal(vfake_world_add_device(&other, "d0", "e1000e"), 0);
	other.devices[0].config[0x3c] = 0x5;
	other.devices[0].config[0x100] = 0xee;
	other.devices[0].rom_size_bytes = 0;
	memset(other.devices[0].bars, 0, sizeof(other.devices[0].bars));
	other.devices[0].bars[0].size_bytes = 4096;
	read_text("{\"devices\": [{\"rom_size\": 0, \"config\": [\"03c: 05\", \"100:EE\"],"
		  "\"bars\": [{\"size\": \"4K\"}], \"model\": \"e1000e\", \"name\": \"d0\"}]}");
	assert_same_device(desc, &other.devices[0]);
}

static void a_device_without_model_is_bare(void **state)
{
	const struct vfake_device_desc *desc = &world.devices[0];
	static const uint8_t zeroes[VFAKE_CONFIG_SIZE];

	(void)state;
	read_text("{\"devices\": [{\"name\": \"a\"}, {\"name\": \"b\", \"config\": \"\"}]}");
	assert_int_equal(desc->config_size_bytes, 256);
	assert_memory_equal(desc->config, zeroes, sizeof(zeroes));
	assert_true(!desc->bars[0].size_bytes && !desc->rom_size_bytes && !desc->reset_works);
	assert_int_not_equal(desc->group, world.devices[1].group);
	assert_int_not_equal(desc->cdev, world.devices[1].cdev);
	read_text("{\"devices\": [{\"name\": \"a\", \"config\": [\"100: 01\"]}]}");
	assert_int_equal(desc->config_size_bytes, 4096);
	read_text("{\"devices\": [{\"name\": \"a\", \"config\": \"86 80\\t0aD3\"}]}");
	assert_int_equal(desc->config_size_bytes, 256);
	assert_memory_equal(desc->config, "\x86\x80\x0a\xd3\x00", 5);
}

static void every_field_arrives(void **state)
{
	const struct vfake_device_desc *desc = &world.devices[0];

	(void)state;
	read_good("by-hand");
	assert_string_equal(desc->name, "card");
	assert_int_equal(desc->group, 26);
	assert_int_equal(desc->cdev, 3);
	assert_int_equal(desc->segment, 1);
	assert_int_equal(desc->bus, 0x42);
	assert_int_equal(desc->devfn, 0xff);
	assert_int_equal(desc->config_size_bytes, 4096);
	assert_memory_equal(desc->config, "\x86\x80\xd3\x10", 4);
	assert_int_equal(desc->config[0x100], 1);
	assert_true(desc->bars[0].size_bytes == 128 << 10 && !desc->bars[0].io);
	assert_true(desc->bars[1].size_bytes == 32 && desc->bars[1].io);
	assert_true(desc->bars[2].size_bytes == 1 << 30 && desc->bars[2].is_64bit);
	assert_true(desc->bars[2].prefetchable && !desc->bars[3].size_bytes);
	assert_true(desc->rom_size_bytes == 64 << 10);
	assert_int_equal(desc->express_control, 0x7fff);
	assert_true(desc->reset_works && desc->bus_reset && !desc->noiommu && !desc->noncoherent);
	read_good("powernv-one-window");
	assert_int_equal(world.platform, VFAKE_PLATFORM_POWERNV);
	assert_int_equal(world.spapr.windows, 1);
	assert_int_equal(world.spapr.levels, 1);
	assert_int_equal(world.spapr.window_size_bytes, 1 << 30);
	assert_true(world.spapr.max_level_bytes == 4 << 20);
	assert_true(world.spapr.pgsizes == 1 << 16);
	assert_false(world.spapr.eeh);
	read_good("pages-64k");
	assert_int_equal(world.page_size_bytes, 65536);
	assert_true(world.iommu_pgsizes == (1 << 16 | 1 << 29));
	read_good("reserved");
	assert_int_equal(world.reserved_count, 3);
	assert_true(world.reserved[2].start == UINT64_C(0xfffffff000000000));
	assert_true(world.reserved[2].last == UINT64_MAX);
}

static void numbers_at_their_limits(void **state)
{
	(void)state;
	read_text("{\"ram\": \"18446744073709551615\", \"dma_entry_limit\": 4294967295}");
	assert_true(world.ram_bytes == UINT64_MAX);
	assert_true(world.dma_entry_limit == UINT32_MAX);
	assert_round_trip();
	read_text("{\"ram\": 9223372036854775807, \"dma_entry_limit\": \"0x0\"}");
	assert_true(world.ram_bytes == INT64_MAX);
	assert_int_equal(world.dma_entry_limit, 0);
	read_text("{\"ram\": \"16777215T\"}");
	assert_true(world.ram_bytes == UINT64_C(16777215) << 40);
	read_text("{\"ram\": \"0xFFFFFFFFffffffff\"}");
	assert_true(world.ram_bytes == UINT64_MAX);
	read_text("{\"ram\": \"0K\"}");
	assert_true(world.ram_bytes == 0);
	assert_round_trip();
}

/* ---- what a kernel makes of them ---- */

static long map(struct vfake_task *task, int fd, vfake_addr vaddr, uint64_t iova)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DMA_MAP_FLAG_READ,
		.vaddr = vaddr,
		.iova = iova,
		.size = 4096,
	};
	vfake_addr at;

	assert_int_equal(vfake_mmap(task, 4096, VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0, &at), 0);
	assert_int_equal(vfake_poke(task, at, &arg, sizeof(arg)), 0);
	return vfake_ioctl(task, fd, VFIO_IOMMU_MAP_DMA, at);
}

/* A container with the group of the world's only device. Returns its descriptor. */
static int open_container(struct vfake_task *task)
{
	int container = vfake_open(task, "/dev/vfio/vfio");
	char path[64];
	vfake_addr at;
	int group;

	snprintf(path, sizeof(path), "/dev/vfio/%u", world.devices[0].group);
	group = vfake_open(task, path);
	assert_true(container >= 0 && group >= 0);
	assert_int_equal(vfake_mmap(task, 4096, VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0, &at), 0);
	assert_int_equal(vfake_poke(task, at, &container, sizeof(container)), 0);
	assert_int_equal(vfake_ioctl(task, group, VFIO_GROUP_SET_CONTAINER, at), 0);
	assert_int_equal(vfake_ioctl(task, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	return container;
}

static void a_small_dma_limit_is_felt(void **state)
{
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	vfake_addr page;
	int container;

	(void)state;
	read_good("small-dma-limit");
	kernel = start();
	task = vfake_task_new(kernel, &vfake_root);
	assert_non_null(task);
	container = open_container(task);
	assert_int_equal(vfake_mmap(task, 4096, VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0, &page),
			 0);
	for (uint64_t i = 0; i < world.dma_entry_limit; i++)
		assert_int_equal(map(task, container, page, i * 4096), 0);
	assert_int_equal(map(task, container, page, UINT64_C(0x100000)), -ENOSPC);
	vfake_kernel_free(kernel);
}

static void reserved_ranges_are_refused(void **state)
{
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	vfake_addr page;
	int container;

	(void)state;
	read_good("reserved");
	kernel = start();
	task = vfake_task_new(kernel, &vfake_root);
	assert_non_null(task);
	container = open_container(task);
	assert_int_equal(vfake_mmap(task, 4096, VFAKE_PROT_READ | VFAKE_PROT_WRITE, -1, 0, &page),
			 0);
	assert_int_equal(map(task, container, page, 0xf000), -EINVAL);
	assert_int_equal(map(task, container, page, 0x10000), 0);
	vfake_kernel_free(kernel);
}

static void noiommu_groups_have_their_node(void **state)
{
	struct vfake_kernel *kernel;
	struct vfake_task *task;
	char path[64];

	(void)state;
	read_good("noiommu");
	kernel = start();
	task = vfake_task_new(kernel, &vfake_root);
	assert_non_null(task);
	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%u", world.devices[0].group);
	assert_true(vfake_open(task, path) >= 0);
	snprintf(path, sizeof(path), "/dev/vfio/%u", world.devices[0].group);
	assert_int_equal(vfake_open(task, path), -ENOENT);
	vfake_kernel_free(kernel);
}

/* ---- writing ---- */

static void worlds_from_code_round_trip(void **state)
{
	struct vfake_device_desc *desc = &world.devices[31];

	(void)state;
	vfake_world_powernv(&world);
	for (int i = 0; i < VFAKE_MAX_DEVICES; i++) {
		char name[VFAKE_NAME_SIZE];

		snprintf(name, sizeof(name), "a \"name\"\t\n%d", i);
		assert_int_equal(vfake_world_add_device(&world, name, i & 1 ? "e1000e" : "edu"), 0);
	}
	memset(desc->config, 0xff, sizeof(desc->config));
	desc->segment = 0xffff;
	desc->bus = 0xff;
	desc->devfn = 0xff;
	desc->cdev = UINT32_MAX;
	desc->group = UINT32_MAX;
	desc->express_control = 0xffff;
	world.aperture = (struct vfake_range){ 1, UINT64_MAX };
	for (uint64_t i = 0; i < VFAKE_MAX_RESERVED; i++)
		world.reserved[i] = (struct vfake_range){ i, UINT64_MAX - i };
	world.reserved_count = VFAKE_MAX_RESERVED;
	world.iommu_pgsizes = UINT64_MAX;
	assert_round_trip();
}

static void writing_can_fail(void **state)
{
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	vfake_world_x86(&world);
	assert_non_null(full);
	setbuf(full, NULL);
	assert_int_equal(world_write(full, &world), -EIO);
	fclose(full);
	assert_int_equal(vfake_world_add_device(&world, "\xff", "edu"), 0);
	assert_int_equal(world_write(stderr, &world), -EILSEQ);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_worlds_are_refused_in_place),
		cmocka_unit_test(files_that_cannot_be_read),
		cmocka_unit_test(long_names_leave_room),
		cmocka_unit_test(good_worlds_start_and_round_trip),
		cmocka_unit_test(an_empty_world_is_its_base),
		cmocka_unit_test(models_come_as_they_are),
		cmocka_unit_test(every_behaviour_has_a_name),
		cmocka_unit_test(fields_lie_over_the_model),
		cmocka_unit_test(a_device_without_model_is_bare),
		cmocka_unit_test(every_field_arrives),
		cmocka_unit_test(numbers_at_their_limits),
		cmocka_unit_test(a_small_dma_limit_is_felt),
		cmocka_unit_test(reserved_ranges_are_refused),
		cmocka_unit_test(noiommu_groups_have_their_node),
		cmocka_unit_test(worlds_from_code_round_trip),
		cmocka_unit_test(writing_can_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
