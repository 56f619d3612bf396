/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Features of a device behind a vfio-user server, and the stream of its migration, message by
 * message.
 */
#include "user_rig.h"

static void fails_with(bool good, const struct vfio_error *error, int code)
{
	assert_false(good);
	assert_int_equal(error->code, code);
	assert_true(error->message[0]);
}

/* ---- features and migration ---- */

enum { STREAM_BYTES = 3000 };

struct migration {
	uint32_t state;
	uint32_t at;
	uint8_t stream[STREAM_BYTES], loaded[STREAM_BYTES];
	uint32_t loaded_bytes;
	uint32_t lie; /* more bytes than were asked for */
};

static void answer_feature(struct rig *rig, const struct vfio_user_header *header,
			   const uint8_t *payload, uint32_t size, struct migration *migration)
{
	struct vfio_device_feature head;
	uint64_t flags = VFIO_MIGRATION_STOP_COPY;
	uint32_t state[2] = { migration->state, 0 };
	uint8_t bytes[64];

	memcpy(&head, payload, sizeof(head));
	memcpy(bytes, payload, size < 64 ? size : 64);
	switch (head.flags) {
	case VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION:
		memcpy(bytes + 8, &flags, 8);
		rig_reply(rig, header, bytes, 16);
		break;
	case VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		memcpy(bytes + 8, state, 8);
		rig_reply(rig, header, bytes, 16);
		break;
	case VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		assert_int_equal(size, 16);
		memcpy(&migration->state, payload + 8, 4);
		migration->at = 0;
		/* Descriptor 0 in the answer means nothing. */
		memset(bytes + 12, 0, 4);
		rig_reply(rig, header, bytes, 16);
		break;
	default:
		rig_error(rig, header, ENOTTY);
	}
}

static void answer_stream(struct rig *rig, const struct vfio_user_header *header,
			  const uint8_t *payload, struct migration *migration)
{
	struct vfio_user_mig_data data;
	uint8_t bytes[sizeof(data) + STREAM_BYTES + 8] = { 0 };

	memcpy(&data, payload, sizeof(data));
	if (header->cmd == VFIO_USER_MIG_DATA_WRITE) {
		memcpy(migration->loaded + migration->loaded_bytes, payload + sizeof(data),
		       data.size);
		/* Some servers say the head again. */
		rig_reply(rig, header, payload, migration->loaded_bytes ? 0 : sizeof(data));
		migration->loaded_bytes += data.size;
		return;
	}
	if (data.size > STREAM_BYTES - migration->at)
		data.size = STREAM_BYTES - migration->at;
	memcpy(bytes + sizeof(data), migration->stream + migration->at, data.size);
	migration->at += data.size;
	data.size += migration->lie;
	data.argsz = (uint32_t)sizeof(data) + data.size;
	memcpy(bytes, &data, sizeof(data));
	rig_reply(rig, header, bytes, data.argsz - migration->lie);
}

static bool migratable(struct rig *rig, const struct vfio_user_header *header,
		       const uint8_t *payload, uint32_t size)
{
	switch (header->cmd) {
	case VFIO_USER_DEVICE_FEATURE:
		answer_feature(rig, header, payload, size, rig->hook_ctx);
		return true;
	case VFIO_USER_MIG_DATA_READ:
	case VFIO_USER_MIG_DATA_WRITE:
		answer_stream(rig, header, payload, rig->hook_ctx);
		return true;
	default:
		return false;
	}
}

static void migration(void **state)
{
	struct rig *rig = *state;
	struct migration source = { .state = VFIO_MIG_RUNNING };
	struct vfio_migration_info info;
	struct vfio_error error = { 0 };
	enum vfio_mig_state now;
	uint8_t bytes[STREAM_BYTES + 100];
	size_t got, total = 0;
	uint64_t estimate;

	for (uint32_t i = 0; i < STREAM_BYTES; i++)
		source.stream[i] = (uint8_t)(i * 13);
	rig->caps = "{\"capabilities\":{\"max_data_xfer_size\":1000}}";
	rig->hook = migratable;
	rig->hook_ctx = &source;
	assert_int_equal(rig_attach(rig), 0);
	/* Only what a server cannot take part in is blocked. */
	for (uint32_t i = 0; i < rig->ref.blocker_count; i++)
		assert_false(rig->ref.blockers[i].modes & VFIO_MODE_NORMAL);
	vfio_device_migration_info(rig->device, &info);
	assert_true(info.stop_copy && !info.p2p && !info.dma_logging);
	assert_true(vfio_device_mig_set_state(rig->device, VFIO_MIG_STOP_COPY, VFIO_MIG_RUNNING,
					      &error));
	assert_true(vfio_device_mig_state(rig->device, &now, &error));
	assert_int_equal(now, VFIO_MIG_STOP_COPY);
	do {
		assert_true(vfio_device_mig_read(rig->device, bytes + total, 1200, &got, &error));
		total += got;
	} while (got);
	assert_int_equal(total, STREAM_BYTES);
	assert_memory_equal(bytes, source.stream, STREAM_BYTES);
	assert_true(vfio_device_mig_write(rig->device, bytes, STREAM_BYTES, &error));
	assert_memory_equal(source.loaded, bytes, STREAM_BYTES);
	assert_int_equal(rig->seen[VFIO_USER_MIG_DATA_WRITE], 3);
	fails_with(vfio_device_mig_size(rig->device, &estimate, &error), &error, -ENOTTY);
	/* More than was asked for, and more than there is. */
	assert_true(vfio_device_mig_set_state(rig->device, VFIO_MIG_STOP_COPY, VFIO_MIG_RUNNING,
					      &error));
	source.lie = 1;
	fails_with(vfio_device_mig_read(rig->device, bytes, 1000, &got, &error), &error, -EPROTO);
	fails_with(vfio_device_mig_read(rig->device, bytes, 10, &got, &error), &error, -EPROTO);
	rig->hook = NULL;
	fails_with(vfio_device_mig_read(rig->device, bytes, 10, &got, &error), &error, -ENOTTY);
	fails_with(vfio_device_mig_write(rig->device, bytes, 10, &error), &error, -ENOTTY);
}

/* Logging is started, but nobody says so; it is stopped again. */
static bool mute_start(struct rig *rig, const struct vfio_user_header *header,
		       const uint8_t *payload, uint32_t size)
{
	uint32_t *stops = rig->hook_ctx;
	struct vfio_device_feature head;

	(void)size;
	if (header->cmd != VFIO_USER_DEVICE_FEATURE)
		return false;
	memcpy(&head, payload, sizeof(head));
	if (head.flags == (VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START))
		return true;
	if (head.flags & VFIO_DEVICE_FEATURE_GET) {
		rig_error(rig, header, ENOTTY);
		return true;
	}
	*stops += head.flags == (VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP);
	rig_reply(rig, header, payload, sizeof(head));
	return true;
}

static void log_start_unanswered(void **state)
{
	struct rig *rig = *state;
	static _Alignas(4096) uint8_t ram[4096];
	struct vfio_error error = { 0 };
	uint32_t stops = 0;

	rig_ram(rig, 0, ram, sizeof(ram), -1);
	rig->hook = mute_start;
	rig->hook_ctx = &stops;
	assert_int_equal(rig_attach(rig), 0);
	assert_false(vfio_memory_log_start(rig->memory, &error));
	assert_int_equal(error.code, -ETIMEDOUT);
	assert_int_equal(stops, 1);
}

/* A server whose log runs or does not, as it is told; some answers are errors. */
struct log_server {
	bool runs;
	uint32_t bad_starts, bad_stops; /* the first ones; a bad start has begun, a bad stop not */
	uint32_t stops;
};

static int obey_log(struct log_server *server, uint32_t what)
{
	if (what == VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP) {
		server->stops++;
		if (server->bad_stops) {
			server->bad_stops--;
			return EIO;
		}
		server->runs = false;
		return 0;
	}
	if (what != VFIO_DEVICE_FEATURE_DMA_LOGGING_START)
		return ENOTTY;
	if (server->runs)
		return EINVAL;
	server->runs = true;
	if (!server->bad_starts)
		return 0;
	server->bad_starts--;
	return EIO;
}

static bool log_server(struct rig *rig, const struct vfio_user_header *header,
		       const uint8_t *payload, uint32_t size)
{
	struct vfio_device_feature head;
	int error = 0;

	(void)size;
	if (header->cmd != VFIO_USER_DEVICE_FEATURE)
		return false;
	memcpy(&head, payload, sizeof(head));
	if (head.flags & VFIO_DEVICE_FEATURE_GET)
		error = ENOTTY;
	else if (!(head.flags & VFIO_DEVICE_FEATURE_PROBE))
		error = obey_log(rig->hook_ctx, head.flags & VFIO_DEVICE_FEATURE_MASK);
	if (error)
		rig_error(rig, header, (uint32_t)error);
	else
		rig_reply(rig, header, payload, sizeof(head));
	return true;
}

/* A log that nobody could end is ended before it is started again. */
static void log_that_runs_on(void **state)
{
	struct rig *rig = *state;
	static _Alignas(4096) uint8_t ram[4096];
	struct log_server server = { .bad_starts = 1, .bad_stops = 1 };
	struct vfio_error error = { 0 };

	rig_ram(rig, 0, ram, sizeof(ram), -1);
	rig->hook = log_server;
	rig->hook_ctx = &server;
	assert_int_equal(rig_attach(rig), 0);
	fails_with(vfio_memory_log_start(rig->memory, &error), &error, -EIO);
	assert_true(server.runs);
	assert_true(vfio_memory_log_start(rig->memory, &error));
	assert_int_equal(server.stops, 2);
	/* The same when the VMM ends it. */
	server.bad_stops = 1;
	vfio_memory_log_stop(rig->memory);
	assert_int_equal(rig->ref.warnings_seen, 1);
	assert_true(server.runs);
	assert_true(vfio_memory_log_start(rig->memory, &error));
	assert_int_equal(server.stops, 4);
	/* Once it is known to have ended, nobody asks again. */
	vfio_memory_log_stop(rig->memory);
	assert_true(vfio_memory_log_start(rig->memory, &error));
	assert_int_equal(server.stops, 5);
	vfio_memory_log_stop(rig->memory);
	assert_false(server.runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(migration, rig_set_up, rig_tear_down),
		cmocka_unit_test_setup_teardown(log_start_unanswered, rig_set_up, rig_tear_down),
		cmocka_unit_test_setup_teardown(log_that_runs_on, rig_set_up, rig_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
