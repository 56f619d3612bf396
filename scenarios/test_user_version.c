/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a vfio-user server may say to the first message, and what it may not.
 */
#include "user_rig.h"

/* ---- what a server may say to VERSION ---- */

struct caps_case {
	const char *caps;
	int code; /* 0: it is taken */
};

static const struct caps_case caps_cases[] = {
	{ "{}", 0 },
	{ "{\"capabilities\":{}}", 0 },
	{ " { \"capabilities\" : { \"max_msg_fds\" : 1 } } ", 0 },
	{ "{\"vendor\":[1,-2.5e3,\"a\\\"b\",null,{\"x\":[]},true,false],\"capabilities\":{}}", 0 },
	{ "{\"capabilities\":{\"pgsizes\":18446744073709551615}}", 0 },
	{ "{\"capabilities\":{\"max_data_xfer_size\":18446744073709551615}}", 0 },
	{ "{\"capabilities\":{\"migration\":{\"pgsize\":4096,\"max_bitmap_size\":1}}}", 0 },
	{ "{\"capabilities\":{\"twin_socket\":{\"supported\":false}}}", 0 },
	{ "{\"capabilities\":{\"max_dma_maps\":99999999999}}", 0 },
	{ "{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}", -EPROTO },
	{ "{\"capabilities\":{\"pgsizes\":18446744073709551616}}", -EPROTO },
	{ "{\"capabilities\":{\"pgsizes\":512}}", -EPROTO },
	{ "{\"capabilities\":{\"pgsizes\":0}}", -EPROTO },
	{ "{\"capabilities\":{\"pgsizes\":-4096}}", -EPROTO },
	{ "{\"capabilities\":{\"pgsizes\":4096.5}}", -EPROTO },
	{ "{\"capabilities\":{\"pgsizes\":\"4096\"}}", -EPROTO },
	{ "{\"capabilities\":{\"max_data_xfer_size\":7}}", -EPROTO },
	{ "{\"capabilities\":{\"max_dma_maps\":0}}", -EPROTO },
	{ "{\"capabilities\":{\"migration\":{\"pgsize\":4095}}}", -EPROTO },
	{ "{\"capabilities\":{\"migration\":3}}", -EPROTO },
	{ "{\"capabilities\":{\"write_multiple\":1}}", -EPROTO },
	{ "{\"capabilities\":[]}", -EPROTO },
	{ "{\"capabilities\":{}", -EPROTO },
	{ "{\"capabilities\"}", -EPROTO },
	{ "{\"capabilities\":{}} x", -EPROTO },
	{ "{\"capabilities:{}}", -EPROTO },
	{ "{\"a\\", -EPROTO },
	{ "{\"a\nb\":1}", -EPROTO },
	{ "{\"a\":}", -EPROTO },
	{ "{\"a\":nul}", -EPROTO },
	{ "{\"a\":tru}", -EPROTO },
	{ "{\"a\":[1,}", -EPROTO },
	{ "{\"a\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}", -EPROTO },
	{ "[]", -EPROTO },
	{ "", -EPROTO },
};

static void capabilities(void **state)
{
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(caps_cases) / sizeof(caps_cases[0]); i++) {
		int code;

		rig->caps = caps_cases[i].caps;
		code = rig_attach(rig);
		if (code != caps_cases[i].code)
			fail_msg("%s: %d", rig->caps, code);
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
		{ 0, 1, 4, 0, 0 },
		{ 0, 0, 7, 0, 0 },
		{ 0, 1, 4 + 4096, 0, 0 },
		{ 1, 0, 4, 0, -EPROTO },
		{ 0, 2, 4, 0, -EPROTO },
		{ 0, 1, 7, '}', -EPROTO },
		{ 0, 1, 4 + 4097, 0, -EPROTO },
		{ 0, 1, 3, 0, -EPROTO },
		{ 0, 1, 0, 0, -EPROTO },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct version_case want = cases[i];

		rig->hook = odd_version;
		rig->hook_ctx = &want;
		assert_int_equal(rig_attach(rig), want.code);
		if (!want.code)
			vfio_device_detach(rig->device);
	}
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = { RIG_TEST(capabilities), RIG_TEST(versions) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
