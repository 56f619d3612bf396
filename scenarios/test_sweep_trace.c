/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The traces that a sweep writes: each is played without a difference in the world beside it, as
 * far as a trace can say what was done, and says where that ends. The stories here do things of all
 * kinds and then one that goes wrong.
 */
#include <signal.h>

#include <uapi/vfio.h>

#include "trace_rig.h"

/* ---- steps that go wrong in other ways ---- */

static void call_crashes(void *args)
{
	struct call *call = args;
	const struct vfio_sys *sys = &call->stage->sys;
	int first = sys->eventfd(sys->ctx);
	int second = first < 0 ? first : sys->eventfd(sys->ctx);

	if (first >= 0 && second < 0)
		raise(SIGABRT);
	if (first >= 0) {
		sys->close(sys->ctx, second);
		sys->close(sys->ctx, first);
	} else {
		refuse(call);
	}
	call->result = first >= 0;
}

/* Once it failed it never works again. */
static void call_sulks(void *args)
{
	static bool failed;
	struct call *call = args;
	const struct vfio_sys *sys = &call->stage->sys;
	int fd = failed ? -EIO : sys->eventfd(sys->ctx);

	failed |= fd < 0;
	if (fd >= 0)
		sys->close(sys->ctx, fd);
	else
		refuse(call);
	call->result = fd >= 0;
}

static void run_sulks(struct stage *stage)
{
	play(stage, call_sulks);
}

static void run_crashes(struct stage *stage)
{
	play(stage, call_crashes);
}

/* ---- the stack, and then ---- */

static void run_attached(struct stage *stage)
{
	stage_ram(stage, stage->backend->ram, 0x100000);
	stage_attach(stage, 0);
	play(stage, call_leaks);
	stage_detach(stage, 0);
}

static struct stage_engine engine_of(struct stage *stage)
{
	struct stage_ram *ram = stage_ram(stage, stage->backend->ram, 0x100000);

	stage_attach(stage, 0);
	return (struct stage_engine){ stage, 0, ram->region.start, ram->host };
}

/* The device works by itself; a register shows it. */
static void run_works(struct stage *stage)
{
	struct stage_engine engine = engine_of(stage);

	assert_int_equal(stage_fill(&engine, 7, engine.iova + 0x1000, 64), STAGE_DMA_DONE);
	stage_attach(stage, 1);
	play(stage, call_leaks);
}

/* What it wrote shows in a bitmap. */
static void run_writes(struct stage *stage)
{
	struct stage_engine engine = engine_of(stage);
	struct vfio_error error = { 0 };

	assert_true(vfio_memory_log_start(stage->memory, &error));
	assert_int_equal(stage_fill(&engine, 7, engine.iova + 0x1000, 64), STAGE_DMA_DONE);
	assert_true(vfio_memory_log_sync(stage->memory, &error));
	vfio_memory_log_stop(stage->memory);
	play(stage, call_leaks);
}

/* ---- what a trace has no words for ---- */

static void run_stranger(struct stage *stage)
{
	struct vfake_task *task = vfake_task_new(stage->kernel, &vfake_root);
	int fd = vfake_eventfd(task);

	assert_true(fd >= 0);
	assert_true(vfake_pass_fd(task, fd, stage->task) >= 0);
	assert_int_equal(stage->raw.close(stage->raw.ctx, 0), 0);
	assert_int_equal(vfake_task_exec(task, NULL, 0), 0);
	vfake_task_exit(task);
	play(stage, call_leaks);
}

static void run_filed(struct stage *stage)
{
	stage_ram_of_file(stage, stage->backend->ram, 0x10000);
	play(stage, call_leaks);
}

static void run_signals(struct stage *stage)
{
	const struct vfio_sys *sys = &stage->raw;
	const uint64_t one = 1;
	int fd = sys->eventfd(sys->ctx);

	assert_int_equal(sys->write(sys->ctx, fd, (uint64_t)(uintptr_t)&one, sizeof(one)), 8);
	assert_int_equal(sys->close(sys->ctx, fd), 0);
	play(stage, call_leaks);
}

static void run_fails(struct stage *stage)
{
	stage_fail(stage, "file/eventfd/entry", 1, EMFILE);
	assert_int_equal(stage->raw.eventfd(stage->raw.ctx), -EMFILE);
	assert_true(stage_fail_none(stage));
	play(stage, call_leaks);
}

/* Asks a device of the stage for what one of its features has. */
static long ask_feature(struct stage *stage, uint32_t flags, const void *data, size_t size)
{
	union {
		struct vfio_device_feature head;
		uint8_t bytes[64];
	} arg = { .head = { .argsz = (uint32_t)(sizeof(arg.head) + size), .flags = flags } };
	const struct vfio_sys *sys = &stage->raw;
	char node[64];
	int iommufd = sys->open(sys->ctx, "/dev/iommu"), device;
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = iommufd };
	long ret;

	snprintf(node, sizeof(node), "/dev/vfio/devices/%s", stage_options(stage, 0).cdev);
	device = sys->open(sys->ctx, node);
	assert_int_equal(
		sys->ioctl(sys->ctx, device, VFIO_DEVICE_BIND_IOMMUFD, (uint64_t)(uintptr_t)&bind),
		0);
	memcpy(arg.bytes + sizeof(arg.head), data, size);
	ret = sys->ioctl(sys->ctx, device, VFIO_DEVICE_FEATURE, (uint64_t)(uintptr_t)&arg);
	for (int fd = vfake_view_next_fd(stage->task, 0); fd >= 0;
	     fd = vfake_view_next_fd(stage->task, fd))
		assert_int_equal(sys->close(sys->ctx, fd), 0);
	play(stage, call_leaks);
	return ret;
}

static void run_stops(struct stage *stage)
{
	const struct vfio_device_feature_mig_state stop = { VFIO_DEVICE_STATE_STOP, -1 };

	assert_int_equal(ask_feature(stage,
				     VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
				     &stop, sizeof(stop)),
			 0);
}

static void run_migrates(struct stage *stage)
{
	const struct vfio_device_feature_mig_state copy = { VFIO_DEVICE_STATE_STOP_COPY, -1 };

	assert_int_equal(ask_feature(stage,
				     VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
				     &copy, sizeof(copy)),
			 0);
}

static void run_logs(struct stage *stage)
{
	const struct vfio_device_feature_dma_logging_range range = { 0, 0x100000 };
	const struct vfio_device_feature_dma_logging_control start = {
		.page_size = 0x1000, .num_ranges = 1, .ranges = (uint64_t)(uintptr_t)&range
	};

	assert_int_equal(
		ask_feature(stage, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
			    &start, sizeof(start)),
		0);
}

static void run_host(struct stage *stage)
{
	static uint8_t page[2 * 0x1000] __attribute__((aligned(0x1000)));
	struct vfio_memory_region region = { .name = "host",
					     .kind = VFIO_MEMORY_RAM,
					     .start = 0x10000000,
					     .last = 0x10001fff,
					     .vaddr = (uint64_t)(uintptr_t)page,
					     .fd = -1 };

	stage_add(stage, stage->memory, &region);
	stage_attach(stage, 0);
	play(stage, call_leaks);
}

STORY(attached, "has a device and memory");
STORY(works, "has a device that works");
STORY(writes, "asks which pages are dirty");
STORY(stranger, "has a descriptor of another process");
STORY(filed, "has memory of a file");
STORY(fails, "makes a call fail itself");
STORY(signals, "writes to an eventfd");
STORY_OF("migrate", stops, "stops a device");
STORY_OF("migrate", migrates, "saves a device");
STORY_OF("migrate", logs, "has a device note what it writes");
STORY(host, "has memory that it did not map");
STORY(sulks, "never works again");
STORY(crashes, "dies");

const struct story *const stories[] = { &attached, &works,   &writes, &stranger, &filed,
					&fails,	   &signals, &stops,  &migrates, &logs,
					&host,	   &sulks,   &crashes };
const size_t story_count = sizeof(stories) / sizeof(stories[0]);

/* ---- tests ---- */

/* In whatever way the device is reached. */
static void test_backends(void **state)
{
	static const char *const map[][2] = {
		{ "attached/type1v1", "ioctl(c0, VFIO_IOMMU_MAP_DMA, {" },
		{ "attached/type1v2", "ioctl(c0, VFIO_IOMMU_MAP_DMA, {" },
		{ "attached/compat", "ioctl(i0, VFIO_IOMMU_MAP_DMA, {" },
		{ "attached/spapr-v1", "ioctl(c0, VFIO_IOMMU_ENABLE" },
		{ "attached/spapr-v2", "ioctl(c0, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, {" },
		{ "attached/iommufd", "ioctl(i0, IOMMU_IOAS_MAP, {" },
		{ "attached/iommufd-dirty", "ioctl(i0, IOMMU_IOAS_MAP, {" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		char *trace = traced(map[i][0], 15);

		expect_whole(trace);
		expect_line(trace, "", map[i][1]);
		expect_line(trace, "", "eventfd() = e2\n# Here it fails: ");
		free(trace);
	}
}

/* What a device did by itself is no call. */
static void test_devices_at_work(void **state)
{
	char *trace = traced("works/iommufd", 30);

	(void)state;
	expect_whole(trace);
	expect_line(trace, "", "# Not played, because it would differ: pread: result: expected [");
	expect_line(trace, "# ", "pread(v0, ");
	expect_line(trace, "", "open(\"/dev/vfio/devices/{d1.cdev}\") = v1");
	free(trace);
	trace = traced("writes/iommufd-dirty", 30);
	expect_line(trace, "",
		    "# From here on it would differ: ioctl IOMMU_HWPT_GET_DIRTY_BITMAP: "
		    "data: expected [03");
	expect_line(trace, "# ", "ioctl(i0, IOMMU_HWPT_GET_DIRTY_BITMAP, {");
	assert_false(has_line(trace, "", "eventfd() = e2"));
	free(trace);
}

static void expect_unsaid(const char *cell, uint32_t calls, const char *why, const char *line)
{
	char *trace = traced(cell, calls);
	char reason[128];

	snprintf(reason, sizeof(reason), "From here on it is more than a trace can say: %s.\n# %s",
		 why, line);
	expect_line(trace, "# ", reason);
	expect_line(trace, "", "# Here it fails: file/eventfd/");
	expect_line(trace, "# ", "eventfd() = e");
	assert_false(has_line(strstr(trace, "\n# From here on"), "", "eventfd() = "));
	free(trace);
}

static void test_unsaid(void **state)
{
	(void)state;
	expect_unsaid("stranger/type1v2", 0, "another process", "process 2: eventfd() = e0");
	expect_unsaid("filed/type1v2", 1, "memory of a file", "mmap(0x10000, f0, 0x0) = m0");
	expect_unsaid("fails/type1v2", 0, "a call that the story makes fail",
		      "eventfd() = -EMFILE");
	expect_unsaid("signals/type1v2", 1, "a call that is none of a trace's",
		      "write(e0, 8) = 8\n# close(e0) = 0");
	expect_unsaid("migrates/iommufd", 3, "a descriptor in the bytes of a feature",
		      "ioctl(v0, VFIO_DEVICE_FEATURE, {flags=0x20002, data=[");
	expect_unsaid("logs/iommufd", 3, "an address in the bytes of a feature",
		      "ioctl(v0, VFIO_DEVICE_FEATURE, {flags=0x20006, data=[");
	expect_unsaid("host/type1v2", 5, "an address in memory that no mmap() made",
		      "ioctl(c0, VFIO_IOMMU_MAP_DMA, {flags=0x3, vaddr=elsewhere, ");
}

/* Of a feature the bytes that the program gave. */
static void test_feature(void **state)
{
	char *trace = traced("stops/iommufd", 5);
	const bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

	(void)state;
	expect_whole(trace);
	expect_line(trace, "",
		    little ? "ioctl(v0, VFIO_DEVICE_FEATURE, {flags=0x20002, "
			     "data=[01000000ffffffff]}) = 0"
			   : "ioctl(v0, VFIO_DEVICE_FEATURE, {flags=0x20002, "
			     "data=[00000001ffffffff]}) = 0");
	free(trace);
}

/* What comes behind the fault is told, too. */
static void test_behind(void **state)
{
	char *trace = traced("sulks/type1v2", 0);

	(void)state;
	expect_whole(trace);
	expect_line(trace, "", "# the step is tried again");
	free(trace);
}

/* The notes of a process that dies are there. */
static void test_crash(void **state)
{
	char *trace = traced("crashes/type1v2", 1);

	(void)state;
	expect_whole(trace);
	expect_line(trace, "# ", "it dies of signal 6");
	free(trace);
}

/* One fault by itself leaves the same trace. */
static void test_only(void **state)
{
	char *trace = traced("attached/type1v2", 20), *again, *told;
	const char *at = strstr(trace, "--only '") + 8;
	char *only = strndup(at, strcspn(at, "'"));
	char path[512];

	(void)state;
	path_of(path, sizeof(path), "attached/type1v2", "-1.trace");
	assert_int_equal(unlink(path), 0);
	told = sweep("attached/type1v2", only);
	assert_non_null(strstr(told, "play: vfake replay --world "));
	again = read_text(path);
	assert_string_equal(again, trace);
	free(again);
	free(told);
	free(only);
	free(trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backends),

		cmocka_unit_test(test_devices_at_work), cmocka_unit_test(test_unsaid),
		cmocka_unit_test(test_feature),		cmocka_unit_test(test_behind),
		cmocka_unit_test(test_crash),		cmocka_unit_test(test_only),
	};

	return cmocka_run_group_tests(tests, set_up, take_down);
}
