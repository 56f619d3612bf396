/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the vfio-user peer's decoder: whatever a client sends, with whatever descriptors, nothing
 * breaks, and when it goes nothing is left but the device.
 *
 * An input is a row of sends. The first byte says how the connection begins. A send's first byte
 * with bit 7 set is a run of raw bytes: their number, 1 to 128, are the other bits plus 1. Else it
 * is a message: bits 0 to 4 the command, 5 NO_REPLY, 6 of type reply; then a byte with the number
 * of descriptors (bits 0, 1), their kind (bits 2, 3) and the id (bits 4 to 7); then the payload's
 * length in two bytes, of which 9 bits count; then the payload.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include <uapi/vfio_user.h>
#include <vfake/peer.h>
#include <vfake/socket.h>

struct input {
	const uint8_t *at;
	size_t left;
};

struct client {
	struct vfake_kernel *kernel;
	struct vfake_peer *peer;
	struct vfake_task *task;
	int fd;
	int files[4]; /* to pass: an eventfd, a memfd, both ends of a socket */
};

static uint8_t next(struct input *input)
{
	if (!input->left)
		return 0;
	input->left--;
	return *input->at++;
}

/* Reads what came, and throws it away. */
static void drain(struct client *client)
{
	static uint8_t bytes[65536];
	int fds[64];
	uint32_t count;
	long got;

	do {
		count = 64;
		got = vfake_recvmsg(client->task, client->fd, bytes, sizeof(bytes), fds, &count);
		while (got >= 0 && count)
			vfake_close(client->task, fds[--count]);
	} while (got > 0);
}

static void send_all(struct client *client, const uint8_t *bytes, uint64_t len, const int *fds,
		     uint32_t count)
{
	while (len) {
		long sent = vfake_sendmsg(client->task, client->fd, bytes, len, fds, count);

		if (sent == -EPIPE)
			return;
		if (sent > 0) {
			bytes += sent;
			len -= (uint64_t)sent;
			count = 0;
		}
		vfake_peer_turn(client->peer);
		drain(client);
	}
}

static void send_message(struct client *client, struct input *input, uint8_t first)
{
	struct vfio_user_header header = { .cmd = first & 0x1f };
	uint8_t bytes[sizeof(header) + 511] = { 0 };
	uint8_t with = next(input);
	uint32_t len = next(input);
	int fds[3];

	len |= (next(input) & 1U) << 8;
	if (first & 0x20)
		header.flags |= VFIO_USER_F_NO_REPLY;
	if (first & 0x40)
		header.flags |= VFIO_USER_F_TYPE_REPLY;
	header.msg_id = with >> 4;
	header.msg_size = (uint32_t)sizeof(header) + len;
	memcpy(bytes, &header, sizeof(header));
	for (uint32_t i = 0; i < len; i++)
		bytes[sizeof(header) + i] = next(input);
	for (uint32_t i = 0; i < 3; i++)
		fds[i] = client->files[(with >> 2) & 3];
	send_all(client, bytes, header.msg_size, fds, with & 3);
}

static void send_raw(struct client *client, struct input *input, uint8_t first)
{
	uint8_t bytes[128];
	uint64_t len = (first & 0x7f) + 1U;

	for (uint64_t i = 0; i < len; i++)
		bytes[i] = next(input);
	send_all(client, bytes, len, NULL, 0);
}

static void send_version(struct client *client, uint8_t how)
{
	static const char *const texts[] = {
		"",
		"{\"capabilities\":{\"write_multiple\":true,\"max_msg_fds\":8}}",
		"{\"capabilities\":{\"max_data_xfer_size\":64,\"write_multiple\":true}}",
	};
	const char *text = texts[how % 3];
	const struct vfio_user_version version = { .minor = VFIO_USER_MINOR };
	struct vfio_user_header header = { .cmd = VFIO_USER_VERSION };
	uint8_t bytes[256];
	uint32_t text_bytes = text[0] ? (uint32_t)strlen(text) + 1 : 0;

	header.msg_size = (uint32_t)(sizeof(header) + sizeof(version)) + text_bytes;
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), &version, sizeof(version));
	memcpy(bytes + sizeof(header) + sizeof(version), text, text_bytes);
	send_all(client, bytes, header.msg_size, NULL, 0);
}

static void begin(struct client *client)
{
	const struct vfake_peer_attr attr = { .device = "d0", .path = "/p", .ticks_per_turn = 2 };
	struct vfake_task_attr root = vfake_root;
	static struct vfake_world world;
	const char *error;

	vfake_world_x86(&world);
	world.reserved_count = 0;
	fuzz_check(!vfake_world_add_device(&world, "d0", "migrate"), "no device");
	client->kernel = vfake_kernel_new(&world, &error);
	fuzz_check(client->kernel != NULL, "no kernel");
	root.host_memory = true;
	client->task = vfake_task_new(client->kernel, &root);
	fuzz_check(client->task != NULL, "no task");
	client->files[0] = vfake_eventfd(client->task);
	client->files[1] = vfake_memfd(client->task, 16 * 4096);
	client->peer = vfake_peer_new(client->kernel, &attr, &error);
	fuzz_check(client->peer != NULL, "no peer");
	client->fd = vfake_connect(client->task, "/p");
	fuzz_check(client->fd >= 0, "no connection");
	fuzz_check(!vfake_socketpair(client->task, client->files + 2), "no socket");
}

/* The client goes; what it made the peer hold goes, too. */
static void end(struct client *client)
{
	struct vfake_ledger ledger;

	for (int i = 0; i < 4; i++)
		vfake_close(client->task, client->files[i]);
	vfake_close(client->task, client->fd);
	for (int i = 0; i < 100000 && vfake_peer_turn(client->peer); i++)
		;
	fuzz_check(!vfake_peer_attached(client->peer), "the peer keeps a client that is gone");
	fuzz_check(!vfake_peer_counts(client->peer).maps, "the peer keeps maps");
	vfake_peer_free(client->peer);
	vfake_task_exit(client->task);
	ledger = vfake_ledger(client->kernel);
	fuzz_check(!ledger.open_files && !ledger.descriptors, "files are left");
	fuzz_check(!ledger.allocations && !ledger.pinned_pages, "memory is left");
	fuzz_check(!ledger.warnings, "the kernel warned");
	vfake_kernel_free(client->kernel);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	struct input input = { .at = data, .left = size_bytes };
	struct client client;
	uint8_t how = next(&input);

	begin(&client);
	if (how & 0x80)
		send_version(&client, how & 0x7f);
	while (input.left) {
		uint8_t first = next(&input);

		if (first & 0x80)
			send_raw(&client, &input, first);
		else
			send_message(&client, &input, first);
		vfake_peer_turn(client.peer);
		drain(&client);
	}
	end(&client);
	return 0;
}
