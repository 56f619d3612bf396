/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the stack's side of vfio-user: whatever a server sends, every call ends, agrees with its
 * error, and nothing is left.
 *
 * For each request the input says what comes back: a decent reply, one with some bytes changed, or
 * bytes of the input as they are. At its end the server hangs up.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include <uapi/vfio_user.h>
#include <vfio/device.h>
#include <vfio/vfio.h>
#include <vfio/vmm_ref.h>

enum { SOCKET = 3, FIRST_FILE = 16, FILES = 1 << 16, REPLY_MAX = 4096, OUT_MAX = 1 << 16 };

struct server {
	const uint8_t *data;
	size_t left;
	uint8_t out[OUT_MAX];
	size_t out_len, out_at;
	uint32_t fds_due; /* with the next bytes that are read */
	int next_file;
	int32_t files_open;
	bool gone;
};

static uint8_t next_byte(struct server *server)
{
	if (!server->left) {
		server->gone = true;
		return 0;
	}
	server->left--;
	return *server->data++;
}

static int new_file(struct server *server)
{
	server->files_open++;
	return FIRST_FILE + server->next_file++ % FILES;
}

/* ---- the server ---- */

static void put(struct server *server, const void *bytes, size_t len)
{
	if (len > OUT_MAX - server->out_len)
		len = OUT_MAX - server->out_len;
	memcpy(server->out + server->out_len, bytes, len);
	server->out_len += len;
}

static uint32_t version_reply(uint8_t *to)
{
	static const char text[] = "\0\0\1\0{\"capabilities\":{\"max_msg_fds\":8,\"pgsizes\":4096,"
				   "\"write_multiple\":true,\"migration\":{\"pgsize\":4096}}}";
	const uint16_t numbers[2] = { VFIO_USER_MAJOR, VFIO_USER_MINOR };

	memcpy(to, text, sizeof(text));
	memcpy(to, numbers, sizeof(numbers));
	return sizeof(text);
}

static uint32_t region_reply(uint8_t *to, const uint8_t *request)
{
	struct {
		struct vfio_region_info info;
		struct vfio_info_cap_header cap;
		uint32_t areas, reserved;
		uint64_t area[2];
	} reply = { .cap = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 },
		    .areas = 1,
		    .area = { 0, 4096 } };
	uint32_t room;

	memcpy(&reply.info, request, sizeof(reply.info));
	room = reply.info.argsz;
	reply.info.argsz = sizeof(reply);
	reply.info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
			   VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
	reply.info.cap_offset = sizeof(reply.info);
	reply.info.size = 8192;
	memcpy(to, &reply, sizeof(reply));
	return room < sizeof(reply) ? sizeof(reply.info) : sizeof(reply);
}

/* What a decent server says; the payload's size. @request has at least 64 bytes. */
static uint32_t decent(uint16_t cmd, const uint8_t *request, uint32_t size, uint8_t *to)
{
	const struct vfio_user_device_info info = { 16, 3, 9, 5 };
	uint32_t argsz, count;

	memcpy(&argsz, request, sizeof(argsz));
	memcpy(&count, request + 12, sizeof(count));
	memset(to, 0, REPLY_MAX);
	if (cmd == VFIO_USER_VERSION)
		return version_reply(to);
	if (cmd == VFIO_USER_DEVICE_GET_REGION_INFO)
		return region_reply(to, request);
	memcpy(to, request, size < 64 ? size : 64);
	switch (cmd) {
	case VFIO_USER_DEVICE_GET_INFO:
		memcpy(to, &info, sizeof(info));
		return sizeof(info);
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		to[4] = VFIO_IRQ_INFO_EVENTFD;
		to[12] = 4;
		return 16;
	case VFIO_USER_REGION_READ:
		return 16 + (count & 255);
	case VFIO_USER_REGION_WRITE:
		return 16;
	case VFIO_USER_REGION_WRITE_MULTI:
		return 8;
	case VFIO_USER_DEVICE_FEATURE:
	case VFIO_USER_MIG_DATA_READ:
		return argsz < REPLY_MAX ? argsz : REPLY_MAX;
	case VFIO_USER_DMA_UNMAP:
		return size;
	default:
		return 0;
	}
}

static void answer(struct server *server, const struct vfio_user_header *request,
		   const uint8_t *payload, uint32_t size)
{
	struct vfio_user_header reply = *request;
	uint8_t control = next_byte(server);
	uint8_t bytes[sizeof(reply) + REPLY_MAX];
	uint32_t len;

	server->fds_due = control >> 6 & 1 ? next_byte(server) % 40 : 0;
	if (control & 0x80) { /* as it is */
		for (len = next_byte(server); len && server->left; len--) {
			uint8_t byte = next_byte(server);

			put(server, &byte, 1);
		}
		return;
	}
	len = decent(request->cmd, payload, size, bytes + sizeof(reply));
	reply.flags = VFIO_USER_F_TYPE_REPLY;
	reply.msg_size = (uint32_t)sizeof(reply) + len;
	memcpy(bytes, &reply, sizeof(reply));
	for (uint8_t changes = control & 3; changes; changes--)
		bytes[next_byte(server) % (sizeof(reply) + len)] = next_byte(server);
	put(server, bytes, sizeof(reply) + len);
}

/* ---- the seam ---- */

static int fuzz_close(void *ctx, int fd)
{
	struct server *server = ctx;

	if (fd >= FIRST_FILE)
		server->files_open--;
	return 0;
}

static int fuzz_connect(void *ctx, const char *path)
{
	(void)ctx;
	(void)path;
	return SOCKET;
}

static long fuzz_sendmsg(void *ctx, int fd, const void *bytes, uint64_t len, const int *fds,
			 uint32_t fd_count)
{
	struct server *server = ctx;
	struct vfio_user_header header;
	uint8_t payload[64] = { 0 };
	uint64_t size;

	(void)fds;
	fuzz_check(fd == SOCKET && fd_count <= 253, "a message that cannot be sent");
	if (server->gone)
		return -EPIPE;
	fuzz_check(len >= sizeof(header), "less than a header");
	memcpy(&header, bytes, sizeof(header));
	fuzz_check(header.msg_size == len, "a message of another size than it says");
	size = len - sizeof(header);
	memcpy(payload, (const uint8_t *)bytes + sizeof(header), size < 64 ? size : 64);
	if (!(header.flags & (VFIO_USER_F_TYPE_MASK | VFIO_USER_F_NO_REPLY)))
		answer(server, &header, payload, size < 64 ? (uint32_t)size : 64);
	return (long)len;
}

static long fuzz_recvmsg(void *ctx, int fd, void *bytes, uint64_t len, int *fds, uint32_t *fd_count)
{
	struct server *server = ctx;
	uint32_t room = *fd_count;

	(void)fd;
	*fd_count = 0;
	if (len > server->out_len - server->out_at)
		len = server->out_len - server->out_at;
	if (!len)
		return server->gone ? 0 : -EAGAIN;
	memcpy(bytes, server->out + server->out_at, len);
	server->out_at += len;
	if (server->out_at == server->out_len)
		server->out_at = server->out_len = 0;
	for (; server->fds_due; server->fds_due--) {
		if (*fd_count < room)
			fds[(*fd_count)++] = new_file(server);
	}
	return (long)len;
}

static int fuzz_poll(void *ctx, int fd, uint64_t ticks)
{
	const struct server *server = ctx;

	(void)fd;
	(void)ticks;
	return server->gone || server->out_at < server->out_len;
}

static int fuzz_eventfd(void *ctx)
{
	return new_file(ctx);
}

static long fuzz_read(void *ctx, int fd, uint64_t buf, uint64_t len)
{
	(void)ctx;
	(void)fd;
	(void)buf;
	(void)len;
	return -EAGAIN;
}

static int fuzz_mmap(void *ctx, uint64_t len, int prot, int fd, uint64_t offset, uint64_t *addr)
{
	(void)ctx;
	(void)prot;
	(void)offset;
	fuzz_check(len && fd >= FIRST_FILE, "a map of nothing");
	*addr = 1 << 20;
	return 0;
}

static int fuzz_munmap(void *ctx, uint64_t addr, uint64_t len)
{
	(void)ctx;
	(void)addr;
	(void)len;
	return 0;
}

/* ---- what the stack is asked ---- */

static bool agrees(bool good, struct vfio_error *error)
{
	fuzz_check(good ? !error->code : error->code < 0 && error->message[0],
		   "a result and its error do not agree");
	memset(error, 0, sizeof(*error));
	return good;
}

static void use_device(struct vfio_device *device)
{
	struct vfio_error error = { 0 };
	uint8_t bytes[300] = { 0 };
	struct vfio_irq irq;
	int fds[20] = { 5, 6, -1, 7 };
	uint64_t addr;
	size_t got;

	for (uint32_t i = 0; i < 3; i++) {
		agrees(vfio_device_read(device, i, 0, bytes, 255, &error), &error);
		agrees(vfio_device_write(device, i, 8, bytes, 4, &error), &error);
		agrees(vfio_device_map_area(device, i, 0, &addr, &error), &error);
	}
	for (uint64_t i = 0; i < 40; i++)
		agrees(vfio_device_post(device, 0, i * 8, bytes, 8, &error), &error);
	agrees(vfio_device_flush(device, &error), &error);
	agrees(vfio_device_irq(device, 2, &irq, &error), &error);
	agrees(vfio_device_irq_enable(device, 2, 0, 20, fds, &error), &error);
	agrees(vfio_device_reset(device, &error), &error);
	agrees(vfio_device_mig_set_state(device, VFIO_MIG_STOP_COPY, VFIO_MIG_RUNNING, &error),
	       &error);
	if (agrees(vfio_device_mig_read(device, bytes, sizeof(bytes), &got, &error), &error))
		fuzz_check(got <= sizeof(bytes), "more than there is room for");
	agrees(vfio_device_mig_write(device, bytes, sizeof(bytes), &error), &error);
	vfio_device_poll(device);
}

static void use_memory(struct vfio_memory *memory)
{
	static _Alignas(4096) uint8_t ram[4 * 4096];
	struct vfio_error error = { 0 };
	uint32_t ids[4];

	agrees(vfio_memory_log_start(memory, &error), &error);
	vfio_memory_begin(memory);
	for (uint64_t i = 0; i < 4; i++) {
		const struct vfio_memory_region region = {
			.name = "ram",
			.start = i * 8192,
			.last = i * 8192 + 4095,
			.vaddr = (uint64_t)(uintptr_t)(ram + i * 4096),
			.fd = i & 1 ? 9 : -1,
		};

		agrees(vfio_memory_add(memory, &region, &ids[i], &error), &error);
	}
	vfio_memory_commit(memory);
	agrees(vfio_memory_log_sync(memory, &error), &error);
	vfio_memory_del(memory, ids[0]);
	vfio_memory_log_stop(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	static struct server server;
	const struct vfio_sys sys = { .ctx = &server,
				      .close = fuzz_close,
				      .connect = fuzz_connect,
				      .sendmsg = fuzz_sendmsg,
				      .recvmsg = fuzz_recvmsg,
				      .poll = fuzz_poll,
				      .eventfd = fuzz_eventfd,
				      .read = fuzz_read,
				      .mmap = fuzz_mmap,
				      .munmap = fuzz_munmap };
	const struct vfio_device_options options = {
		.name = "d0", .backend = VFIO_BACKEND_USER, .socket = "/s", .timeout_ticks = 8
	};
	struct vfio_vmm_ref ref = { 0 };
	struct vfio_error error = { 0 };
	struct vfio_memory *memory = vfio_memory_new(NULL);
	struct vfio_device *device;
	struct vfio_vmm vmm;
	struct vfio *vfio;

	memset(&server, 0, sizeof(server));
	server.data = data;
	server.left = size_bytes;
	vfio_vmm_ref(&ref, &vmm);
	vfio = vfio_new(&sys, &vmm);
	fuzz_check(vfio && memory, "no memory");
	device = vfio_device_attach(vfio, memory, &options, &error);
	if (agrees(device, &error)) {
		use_memory(memory);
		use_device(device);
	}
	vfio_free(vfio);
	vfio_memory_free(memory);
	fuzz_check(!server.files_open, "a descriptor is left, or closed twice");
	fuzz_check(!ref.blocks && !ref.blocker_count && !ref.discard_forbidden && !ref.state_count,
		   "something is left");
	return 0;
}
