/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a vfio-user server may say to the first message, and what it may not.
 */
#include "user_rig.h"

/* ---- what a server may say to VERSION ---- */

enum why { FINE, UNREADABLE, TWIN, XFER, MAPS, PGSIZES, PAGE };

static const char *const hints[] = {
	[FINE] = "",
	[UNREADABLE] = "the server's capabilities cannot be read",
	[TWIN] = "it wants a second socket, which was not offered",
	[XFER] = "max_data_xfer_size is too small for a register",
	[MAPS] = "max_dma_maps is 0",
	[PGSIZES] = "pgsizes has no page size of ours",
	[PAGE] = "pgsize of migration is no power of two",
};

struct caps_case {
	const char *caps;
	enum why why;
};

static const struct caps_case caps_cases[] = {
	{ "{}", FINE },
	{ "{\"capabilities\":{}}", FINE },
	{ " { \"capabilities\" : { \"max_msg_fds\" : 1 } } ", FINE },
	{ "{\"vendor\":[1,-2.5e3,\"a\\\"b\",null,{\"x\":[]},true,false],\"capabilities\":{}}",
	  FINE },
	{ "{\"capabilities\":{\"pgsizes\":18446744073709551615}}", FINE },
	{ "{\"capabilities\":{\"max_data_xfer_size\":18446744073709551615}}", FINE },
	{ "{\"capabilities\":{\"migration\":{\"pgsize\":4096,\"max_bitmap_size\":1}}}", FINE },
	{ "{\"capabilities\":{\"twin_socket\":{\"supported\":false}}}", FINE },
	{ "{\"capabilities\":{\"max_dma_maps\":99999999999}}", FINE },
	{ "{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}", TWIN },
	{ "{\"capabilities\":{\"pgsizes\":18446744073709551616}}", UNREADABLE },
	{ "{\"capabilities\":{\"pgsizes\":512}}", PGSIZES },
	{ "{\"capabilities\":{\"pgsizes\":0}}", PGSIZES },
	{ "{\"capabilities\":{\"pgsizes\":-4096}}", UNREADABLE },
	{ "{\"capabilities\":{\"pgsizes\":4096.5}}", UNREADABLE },
	{ "{\"capabilities\":{\"pgsizes\":\"4096\"}}", UNREADABLE },
	{ "{\"capabilities\":{\"max_data_xfer_size\":7}}", XFER },
	{ "{\"capabilities\":{\"max_dma_maps\":0}}", MAPS },
	{ "{\"capabilities\":{\"migration\":{\"pgsize\":4095}}}", PAGE },
	{ "{\"capabilities\":{\"migration\":3}}", UNREADABLE },
	{ "{\"capabilities\":{\"write_multiple\":1}}", UNREADABLE },
	{ "{\"capabilities\":[]}", UNREADABLE },
	{ "{\"capabilities\":{}", UNREADABLE },
	{ "{\"capabilities\"}", UNREADABLE },
	{ "{\"capabilities\":{}} x", UNREADABLE },
	{ "{\"capabilities:{}}", UNREADABLE },
	{ "{\"a\\", UNREADABLE },
	{ "{\"a\nb\":1}", UNREADABLE },
	{ "{\"a\":}", UNREADABLE },
	{ "{\"a\":nul}", UNREADABLE },
	{ "{\"a\":tru}", UNREADABLE },
	{ "{\"a\":[1,}", UNREADABLE },
	{ "{\"a\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}", UNREADABLE },
	{ "[]", UNREADABLE },
	{ "", UNREADABLE },
	{ "{\"a b\":1,\"~!\":\"\\\\\\\" \\\\ \\u0031 \\n\"}", FINE },
	{ "{\"a\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}", FINE },
	{ "{\"a\":[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]}", FINE },
	{ "{\"a\":null,\"b\":true,\"c\":false,\"d\":[null,true,false,1,-1,+1.5E9]}", FINE },
	{ "{\t\"capabilities\"\n:\r{ } }", FINE },
	{ "{\"capabilities\":{\"pg\":\"x\",\"pgsizesandmore\":[],\"max\":null,\"twin_\":1,\"migr\":"
	  "2}}",
	  FINE },
	{ "{\"capabilities\":{\"max_dma_maps\":18446744073709551615}}", FINE },
	{ "{\"capabilities\":{\"migration\":{\"pgsize\":0}}}", FINE },
	{ "{\"capabilities\":{\"migration\":{\"pgsize\":1}}}", FINE },
	{ "{\"capabilities\":{\"max_data_xfer_size\":8}}", FINE },
	{ "{\"capabilities\":{\"write_multiple\":false,\"twin_socket\":{},\"migration\":{}}}",
	  FINE },
	{ "{\"capabilities\":{\"pgsizes\":65536}}", FINE },
	{ "{\"a\":{\"b\":}", UNREADABLE },
	{ "{\"a\":\"x\n}", UNREADABLE },
	{ "{\"a\":\"x", UNREADABLE },
	{ "{\"a\":\"x\\\"}", UNREADABLE },
	{ "{\"a\":\"x\\", UNREADABLE },
	{ "{\"a\":\"\\\n\"}", UNREADABLE },
	{ "{\"a\"", UNREADABLE },
	{ "{\"a\":", UNREADABLE },
	{ "{", UNREADABLE },
	{ "{a\":1}", UNREADABLE },
	{ "{\"a:1}", UNREADABLE },
	{ "{\"a\" 1}", UNREADABLE },
	{ "{\"a\":1 \"b\":2}", UNREADABLE },
	{ "{\"a\":1,}", UNREADABLE },
	{ "{,}", UNREADABLE },
	{ "{:1}", UNREADABLE },
	{ "{\"capabilities\":{\"twin_socket\":[}}}", UNREADABLE },
	{ "{\"capabilities\":{\"migration\":[}}}", UNREADABLE },
	{ "{\"capabilities\":[}}", UNREADABLE },
	{ "{\"a\":[}", UNREADABLE },
	{ "{\"a\":{]}", UNREADABLE },
	{ "{\"a\":[1}}", UNREADABLE },
	{ "{\"a\":nULL}", UNREADABLE },
	{ "{\"a\":fals}", UNREADABLE },
	{ "{\"a\":x}", UNREADABLE },
	{ "{\"a\":+-x}", UNREADABLE },
	{ "{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", UNREADABLE },
	{ "{\"capabilities\":{\"max_msg_fds\":}}", UNREADABLE },
	{ "{\"capabilities\":{\"max_msg_fds\":x}}", UNREADABLE },
	{ "{\"capabilities\":{\"max_msg_fds\":1e1}}", UNREADABLE },
	{ "{\"capabilities\":{\"max_msg_fds\":1 2}}", UNREADABLE },
	{ "{\"capabilities\":{\"max_dma_maps\":18446744073709551626}}", UNREADABLE },
	{ "{\"capabilities\":{\"max_dma_maps\":184467440737095516160}}", UNREADABLE },
	{ "{\"capabilities\":{\"write_multiple\":}}", UNREADABLE },
	{ "{\"capabilities\":{\"write_multiple\":tru}}", UNREADABLE },
	{ "{\"capabilities\":{\"write_multiple\":null}}", UNREADABLE },
	{ "{\"capabilities\":{\"twin_socket\":}}", UNREADABLE },
	{ "{\"capabilities\":{\"twin_socket\":[}}", UNREADABLE },
	{ "{\"capabilities\":{\"twin_socket\":{\"supported\":1}}}", UNREADABLE },
	{ "{\"capabilities\":{\"max_data_xfer_size\":\"8\"}}", UNREADABLE },
	{ "{\"capabilities\":{\"max_msg_fds\":{}}}", UNREADABLE },
	{ "{\"capabilities\":{\"migration\":{\"max_bitmap_size\":-1}}}", UNREADABLE },
	{ "{\"capabilities\":{\"migration\":{\"pgsize\":\"1\"}}}", UNREADABLE },
	{ "{\"capabilities\":{\"max_dma_maps\":[]}}", UNREADABLE },
	{ "{\"capabilities\":}", UNREADABLE },
	{ "{}}", UNREADABLE },
	{ "{}{}", UNREADABLE },
	{ "{} ,", UNREADABLE },
	{ "1", UNREADABLE },
	{ "\"{}\"", UNREADABLE },
	{ "x{}", UNREADABLE },
};

static void capabilities(void **state)
{
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(caps_cases) / sizeof(caps_cases[0]); i++) {
		const char *hint = hints[caps_cases[i].why];
		int code;

		rig->caps = caps_cases[i].caps;
		code = rig_attach(rig);
		if (code != (*hint ? -EPROTO : 0) || strcmp(rig->error.hint, hint))
			fail_msg("%s: %d, %s", rig->caps, code, rig->error.hint);
		if (!code)
			vfio_device_detach(rig->device);
	}
}

/* How VERSION is answered: by number, so that one hook serves all. */
struct version_case {
	uint16_t major, minor;
	uint32_t size;
	uint8_t last;
	int code;
};

static bool odd_version(struct rig *rig, const struct vfio_user_header *header,
			const uint8_t *payload, uint32_t size)
{
	const struct version_case *want = rig->hook_ctx;
	struct vfio_user_version version = { .major = want->major, .minor = want->minor };
	uint8_t bytes[8192] = { 0 };

	(void)payload, (void)size;
	if (header->cmd != VFIO_USER_VERSION)
		return false;
	memset(bytes + sizeof(version), ' ', sizeof(bytes) - sizeof(version));
	memcpy(bytes, &version, sizeof(version));
	memcpy(bytes + sizeof(version), "{}", 2);
	if (want->size > sizeof(version))
		bytes[want->size - 1] = want->last;
	rig_reply(rig, header, bytes, want->size);
	return true;
}

static void versions(void **state)
{
	struct rig *rig = *state;
	static const struct version_case cases[] = {
		{ 0, 1, 4, 0, 0 },	   { 0, 0, 7, 0, 0 },
		{ 0, 1, 4 + 4096, 0, 0 },  { 1, 0, 4, 0, -EPROTO },
		{ 0, 2, 4, 0, -EPROTO },   { 0, 1, 7, '}', -EPROTO },
		{ 0, 1, 6, '}', -EPROTO }, { 0, 1, 4 + 4097, 0, -EPROTO },
		{ 0, 1, 3, 0, -EPROTO },   { 0, 1, 0, 0, -EPROTO },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct version_case want = cases[i];

		rig->hook = odd_version;
		rig->hook_ctx = &want;
		assert_int_equal(rig_attach(rig), want.code);
		if (!want.code)
			vfio_device_detach(rig->device);
		else if (want.major || want.minor > 1)
			assert_string_equal(rig->error.hint,
					    "the server speaks another version of the protocol");
	}
}

/* What a server says is no larger than what the stack can take. */
static void limits(void **state)
{
	struct rig *rig = *state;
	struct vfio_device_facts facts;
	struct vfio_container_info info;
	static const struct {
		const char *caps;
		uint64_t pgsizes;
		uint32_t maps;
	} cases[] = {
		{ "{}", 4096, 65535 },
		{ "{\"capabilities\":{\"pgsizes\":18446744073709551615,"
		  "\"max_dma_maps\":18446744073709551615}}",
		  1 << 12 | 1 << 16 | 1 << 21 | 1 << 30, UINT32_MAX },
		{ "{\"capabilities\":{\"pgsizes\":65537,\"max_dma_maps\":4294967295}}", 65536,
		  UINT32_MAX },
		{ "{\"capabilities\":{\"max_dma_maps\":4294967298}}", 4096, UINT32_MAX },
		{ "{\"capabilities\":{\"max_dma_maps\":1}}", 4096, 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig->caps = cases[i].caps;
		assert_int_equal(rig_attach(rig), 0);
		vfio_container_info(vfio_device_container(rig->device), &info);
		assert_int_equal(info.pgsizes, cases[i].pgsizes);
		assert_int_equal(info.max_mappings, cases[i].maps);
		assert_int_equal(info.range_count, 1);
		assert_int_equal(info.ranges[0].start, 0);
		assert_true(info.ranges[0].last == UINT64_MAX);
		vfio_device_facts(rig->device, &facts);
		assert_int_equal(facts.fd, RIG_SOCKET);
		vfio_device_detach(rig->device);
	}
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = { RIG_TEST(capabilities), RIG_TEST(versions),
					    RIG_TEST(limits) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
