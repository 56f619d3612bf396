/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UNIX stream sockets, and what a task that waits gives the others: turns.
 *
 * Imitates net/unix/af_unix.c and net/core/scm.c of Linux 7.2.
 *
 * Kept: bytes stay in order and lose their boundaries, except that those with descriptors end a
 * recvmsg(); open files in flight are held, and their descriptors made when they are received,
 * those without room closed; one direction holds so many bytes and then sends a part or nothing; a
 * closed end is EPIPE for who sends, and for who receives the end of the stream, or ECONNRESET once
 * when something was left unread.
 *
 * Dropped: datagrams, credentials, shutdown(), names in a file system, the overhead that counts
 * against a buffer, the collector for sockets that are in flight through themselves.
 */
#include <string.h>
#include <vfake/socket.h>

#include "kernel.h"

/* What one sendmsg() put in. */
struct parcel {
	STAILQ_ENTRY(parcel) entry;
	struct vfake_file **files; /* counted; NULL once they were received */
	uint32_t file_count;
	uint64_t at;  /* bytes that were received */
	uint64_t len; /* of bytes */
	uint8_t bytes[];
};

/* One end. */
struct vfake_socket {
	struct vfake_kernel *kernel;
	struct vfake_socket *other; /* NULL: closed */
	bool reset;		    /* it was closed with bytes unread */
	uint64_t waiting_bytes;
	STAILQ_HEAD(, parcel) parcels;
	STAILQ_ENTRY(vfake_socket) entry; /* among those who wait to be accepted */
};

/* A socket that listens. */
struct vfake_listener {
	LIST_ENTRY(vfake_listener) entry;
	struct vfake_kernel *kernel;
	STAILQ_HEAD(, vfake_socket) waiting;
	uint32_t waiting_count;
	uint32_t backlog;
	char path[VFAKE_SOCKET_PATH];
};

/* ---- ends ---- */

static void drop_files(struct parcel *parcel)
{
	for (uint32_t i = 0; i < parcel->file_count; i++)
		vfake_file_put(parcel->files[i]);
	parcel->file_count = 0;
}

static void free_parcel(struct vfake_kernel *kernel, struct parcel *parcel)
{
	drop_files(parcel);
	kernel->parcel_blocks -= parcel->files ? 2 : 1;
	vfake_free(kernel, parcel->files);
	vfake_free(kernel, parcel);
}

static void free_end(struct vfake_socket *end)
{
	struct parcel *parcel;

	if (end->other) {
		end->other->other = NULL;
		end->other->reset |= !STAILQ_EMPTY(&end->parcels);
	}
	while ((parcel = STAILQ_FIRST(&end->parcels))) {
		STAILQ_REMOVE_HEAD(&end->parcels, entry);
		free_parcel(end->kernel, parcel);
	}
	vfake_free(end->kernel, end);
}

static void socket_release(struct vfake_file *file)
{
	free_end(file->data);
}

static const struct vfake_file_ops socket_ops = {
	.name = "socket",
	.release = socket_release,
};

/* Two ends of one stream: 0 or -ENOMEM. */
static int new_pair(struct vfake_kernel *kernel, struct vfake_socket *ends[2])
{
	ends[0] = vfake_alloc(kernel, sizeof(*ends[0]));
	ends[1] = vfake_alloc(kernel, sizeof(*ends[1]));
	if (!ends[0] || !ends[1]) {
		vfake_free(kernel, ends[0]);
		vfake_free(kernel, ends[1]);
		return -ENOMEM;
	}
	for (int i = 0; i < 2; i++) {
		ends[i]->kernel = kernel;
		ends[i]->other = ends[!i];
		STAILQ_INIT(&ends[i]->parcels);
	}
	return 0;
}

static int new_socketpair(struct vfake_task *task, int fds[2])
{
	struct vfake_socket *ends[2];
	int ret = new_pair(task->kernel, ends);

	if (ret)
		return ret;
	fds[0] = vfake_fd_new(task, &socket_ops, ends[0]);
	if (fds[0] < 0) {
		free_end(ends[1]);
		free_end(ends[0]);
		return fds[0];
	}
	fds[1] = vfake_fd_new(task, &socket_ops, ends[1]);
	if (fds[1] >= 0)
		return 0;
	free_end(ends[1]);
	vfake_fd_close(task, fds[0]);
	return fds[1];
}

/* ---- connections ---- */

static void listener_release(struct vfake_file *file)
{
	struct vfake_listener *listener = file->data;
	struct vfake_socket *end;

	while ((end = STAILQ_FIRST(&listener->waiting))) {
		STAILQ_REMOVE_HEAD(&listener->waiting, entry);
		if (end->other)
			end->other->reset = true;
		free_end(end);
	}
	LIST_REMOVE(listener, entry);
	vfake_free(listener->kernel, listener);
}

static const struct vfake_file_ops listener_ops = {
	.name = "listener",
	.release = listener_release,
};

static struct vfake_listener *find_listener(struct vfake_kernel *kernel, const char *path)
{
	struct vfake_listener *listener;

	LIST_FOREACH(listener, &kernel->listeners, entry)
	{
		if (!strcmp(listener->path, path))
			break;
	}
	return listener;
}

static int new_listener(struct vfake_task *task, const char *path, uint32_t backlog)
{
	size_t len = strlen(path);
	struct vfake_listener *listener;
	int fd;

	if (!len || !backlog)
		return -EINVAL;
	if (len >= VFAKE_SOCKET_PATH)
		return -ENAMETOOLONG;
	if (find_listener(task->kernel, path))
		return -EADDRINUSE;
	listener = vfake_alloc(task->kernel, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	listener->kernel = task->kernel;
	listener->backlog = backlog;
	STAILQ_INIT(&listener->waiting);
	memcpy(listener->path, path, len);
	fd = vfake_fd_new(task, &listener_ops, listener);
	if (fd < 0)
		vfake_free(task->kernel, listener);
	else
		LIST_INSERT_HEAD(&task->kernel->listeners, listener, entry);
	return fd;
}

static int new_connection(struct vfake_task *task, const char *path)
{
	struct vfake_listener *listener = find_listener(task->kernel, path);
	struct vfake_socket *ends[2];
	int ret;

	if (!listener)
		return -ENOENT;
	if (listener->waiting_count == listener->backlog)
		return -EAGAIN;
	ret = new_pair(task->kernel, ends);
	if (ret)
		return ret;
	ret = vfake_fd_new(task, &socket_ops, ends[0]);
	if (ret < 0) {
		free_end(ends[1]);
		free_end(ends[0]);
		return ret;
	}
	STAILQ_INSERT_TAIL(&listener->waiting, ends[1], entry);
	listener->waiting_count++;
	return ret;
}

static int take_connection(struct vfake_task *task, int fd)
{
	struct vfake_file *file = vfake_fd_file(task, fd);
	struct vfake_listener *listener;
	struct vfake_socket *end;
	int got;

	if (!file)
		return -EBADF;
	if (file->ops != &listener_ops)
		return file->ops == &socket_ops ? -EINVAL : -ENOTSOCK;
	listener = file->data;
	end = STAILQ_FIRST(&listener->waiting);
	if (!end)
		return -EAGAIN;
	got = vfake_fd_new(task, &socket_ops, end);
	if (got < 0)
		return got;
	STAILQ_REMOVE_HEAD(&listener->waiting, entry);
	listener->waiting_count--;
	return got;
}

/* ---- bytes ---- */

/* The end behind a descriptor, or NULL with *error set. */
static struct vfake_socket *end_of(struct vfake_task *task, int fd, int listens_error, int *error)
{
	struct vfake_file *file = vfake_fd_file(task, fd);

	if (file && file->ops == &socket_ops)
		return file->data;
	if (!file)
		*error = -EBADF;
	else
		*error = file->ops == &listener_ops ? listens_error : -ENOTSOCK;
	return NULL;
}

/* Holds the open files of @fds in the parcel: 0, -EBADF or -ENOMEM. */
static int hold_files(struct vfake_task *task, struct parcel *parcel, const int *fds,
		      uint32_t fd_count)
{
	if (!fd_count)
		return 0;
	parcel->files = vfake_alloc(task->kernel, fd_count * sizeof(struct vfake_file *));
	if (!parcel->files)
		return -ENOMEM;
	task->kernel->parcel_blocks++;
	for (uint32_t i = 0; i < fd_count; i++) {
		struct vfake_file *file = vfake_fd_file(task, fds[i]);

		if (!file)
			return -EBADF;
		vfake_file_get(file);
		parcel->files[parcel->file_count++] = file;
	}
	return 0;
}

static long send_bytes(struct vfake_task *task, int fd, const void *bytes, uint64_t len,
		       const int *fds, uint32_t fd_count)
{
	int error = 0;
	struct vfake_socket *end = end_of(task, fd, -ENOTCONN, &error);
	struct vfake_socket *to;
	struct parcel *parcel;
	uint64_t room;

	if (!end)
		return error;
	if (fd_count > VFAKE_SOCKET_FDS)
		return -EINVAL;
	to = end->other;
	if (!to)
		return -EPIPE;
	room = VFAKE_SOCKET_BYTES - to->waiting_bytes;
	if (!len)
		return 0;
	if (!room)
		return -EAGAIN;
	if (len > room)
		len = room;
	parcel = vfake_alloc(task->kernel, sizeof(*parcel) + len);
	if (!parcel)
		return -ENOMEM;
	task->kernel->parcel_blocks++;
	error = hold_files(task, parcel, fds, fd_count);
	if (error) {
		free_parcel(task->kernel, parcel);
		return error;
	}
	parcel->len = len;
	memcpy(parcel->bytes, bytes, len);
	STAILQ_INSERT_TAIL(&to->parcels, parcel, entry);
	to->waiting_bytes += len;
	return (long)len;
}

/* Gives the task descriptors of the parcel's files; those without room, or that the task cannot
 * have, are closed. */
static uint32_t receive_files(struct vfake_task *task, struct parcel *parcel, int *fds,
			      uint32_t room)
{
	uint32_t got = 0;

	for (uint32_t i = 0; i < parcel->file_count; i++) {
		int fd = got < room ? vfake_fd_install(task, parcel->files[i]) : -EMFILE;

		if (fd < 0)
			vfake_file_put(parcel->files[i]);
		else
			fds[got++] = fd;
	}
	parcel->file_count = 0;
	return got;
}

/* Moves bytes of the first parcel. Whether it is all read. */
static bool receive_bytes(struct vfake_socket *end, struct parcel *parcel, uint8_t *to,
			  uint64_t len, uint64_t *done)
{
	uint64_t n = parcel->len - parcel->at;

	if (n > len - *done)
		n = len - *done;
	memcpy(to + *done, parcel->bytes + parcel->at, n);
	parcel->at += n;
	*done += n;
	end->waiting_bytes -= n;
	return parcel->at == parcel->len;
}

static long take_bytes(struct vfake_task *task, int fd, void *bytes, uint64_t len, int *fds,
		       uint32_t *fd_count)
{
	int error = 0;
	struct vfake_socket *end = end_of(task, fd, -EINVAL, &error);
	uint32_t room = *fd_count;
	struct parcel *parcel;
	uint64_t done = 0;
	bool files = false;

	if (!end)
		return error;
	*fd_count = 0;
	if (end->reset) {
		end->reset = false;
		return -ECONNRESET;
	}
	if (STAILQ_EMPTY(&end->parcels) && end->other)
		return -EAGAIN;
	while (done < len && !files && (parcel = STAILQ_FIRST(&end->parcels))) {
		files = parcel->file_count > 0;
		if (files)
			*fd_count = receive_files(task, parcel, fds, room);
		if (!receive_bytes(end, parcel, bytes, len, &done))
			break;
		STAILQ_REMOVE_HEAD(&end->parcels, entry);
		free_parcel(end->kernel, parcel);
	}
	return (long)done;
}

/* ---- the calls ---- */

int vfake_socketpair(struct vfake_task *task, int fds[2])
{
	struct vfake_event event = { .task = task, .call = "socketpair", .fd = -1 };
	int ret = vfake_enter(task, VFAKE_CALL_SOCKETPAIR);

	if (!ret)
		ret = new_socketpair(task, fds);
	return (int)vfake_leave(task->kernel, &event, ret);
}

int vfake_listen(struct vfake_task *task, const char *path, uint32_t backlog)
{
	struct vfake_event event = { .task = task, .call = "listen", .fd = -1, .path = path };
	int ret = vfake_enter(task, VFAKE_CALL_LISTEN);

	if (!ret)
		ret = new_listener(task, path, backlog);
	return (int)vfake_leave(task->kernel, &event, ret);
}

int vfake_connect(struct vfake_task *task, const char *path)
{
	struct vfake_event event = { .task = task, .call = "connect", .fd = -1, .path = path };
	int ret = vfake_enter(task, VFAKE_CALL_CONNECT);

	if (!ret)
		ret = new_connection(task, path);
	return (int)vfake_leave(task->kernel, &event, ret);
}

int vfake_accept(struct vfake_task *task, int fd)
{
	struct vfake_event event = { .task = task, .call = "accept", .fd = fd };
	int ret = vfake_enter(task, VFAKE_CALL_ACCEPT);

	if (!ret)
		ret = take_connection(task, fd);
	return (int)vfake_leave(task->kernel, &event, ret);
}

long vfake_sendmsg(struct vfake_task *task, int fd, const void *bytes, uint64_t len, const int *fds,
		   uint32_t fd_count)
{
	struct vfake_event event = { .task = task, .call = "sendmsg", .fd = fd, .len = len };
	long ret = vfake_enter(task, VFAKE_CALL_SENDMSG);

	if (!ret)
		ret = send_bytes(task, fd, bytes, len, fds, fd_count);
	return vfake_leave(task->kernel, &event, ret);
}

long vfake_recvmsg(struct vfake_task *task, int fd, void *bytes, uint64_t len, int *fds,
		   uint32_t *fd_count)
{
	struct vfake_event event = { .task = task, .call = "recvmsg", .fd = fd, .len = len };
	long ret = vfake_enter(task, VFAKE_CALL_RECVMSG);

	if (!ret)
		ret = take_bytes(task, fd, bytes, len, fds, fd_count);
	return vfake_leave(task->kernel, &event, ret);
}

uint64_t vfake_socket_blocks(const struct vfake_kernel *kernel)
{
	const struct vfake_listener *listener;
	const struct vfake_socket *end;
	uint64_t blocks = kernel->parcel_blocks;

	LIST_FOREACH(listener, &kernel->listeners, entry)
	{
		STAILQ_FOREACH(end, &listener->waiting, entry)
		{
			blocks += !end->other;
		}
	}
	return blocks;
}

/* ---- waiting ---- */

static bool readable(struct vfake_file *file)
{
	const struct vfake_listener *listener = file->data;
	const struct vfake_socket *end = file->data;

	if (file->ops == &socket_ops)
		return !end->other || !STAILQ_EMPTY(&end->parcels);
	if (file->ops == &listener_ops)
		return !STAILQ_EMPTY(&listener->waiting);
	return vfake_eventfd_readable(file);
}

/* Whether any of them worked. A program that waits itself gets no turn meanwhile. */
static bool give_turns(struct vfake_task *waits)
{
	struct vfake_task *task;
	bool worked = false, was_waiting = waits->in_turn;

	waits->in_turn = true;
	LIST_FOREACH(task, &waits->kernel->tasks, entry)
	{
		if (!task->program || task->in_turn)
			continue;
		task->in_turn = true;
		worked |= task->program(task->program_ctx);
		task->in_turn = false;
	}
	waits->in_turn = was_waiting;
	return worked;
}

int vfake_poll(struct vfake_task *task, int fd, uint64_t ticks)
{
	struct vfake_file *file = vfake_fd_file(task, fd);

	if (!file)
		return -EBADF;
	while (!readable(file)) {
		if (!ticks-- || !give_turns(task))
			return readable(file);
	}
	return 1;
}

void vfake_set_program(struct vfake_task *task, bool (*program)(void *ctx), void *ctx)
{
	task->program = program;
	task->program_ctx = ctx;
}
