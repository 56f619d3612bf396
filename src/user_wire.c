/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wire of vfio-user: a stream socket on which messages of bounded size go both ways.
 *
 * There is one buffer for each direction, large enough for the longest message that may come. Bytes
 * are read ahead, as many as there are. A read ends with the bytes that descriptors came with, so
 * those belong to the message that has its last byte.
 */
#include <string.h>

#include "user.h"

int user_break(struct vfio_user *user, int code)
{
	if (!user->broken)
		user->broken = code;
	return user->broken;
}

/* What the socket does not get over. Anything else may be better the next time. */
static bool is_fatal(long code)
{
	return code != -ENOMEM && code != -ENOBUFS && code != -EMFILE && code != -ENFILE &&
	       code != -ETOOMANYREFS;
}

/* The seam failed: 0, when it may be tried again at once, or -errno. */
static int seam_failed(struct vfio_user *user, long code)
{
	if (code == -EAGAIN || code == -EINTR)
		return 0;
	if (!is_fatal(code))
		return (int)code;
	return user_break(user, code < 0 && code != -ECONNRESET ? (int)code : -EPIPE);
}

int user_wire_open(struct vfio_user *user, const char *path)
{
	const struct vfio_sys *sys = &user->vfio->sys;

	if (!sys->connect || !sys->sendmsg || !sys->recvmsg || !sys->poll)
		return -ENOTSUP;
	user->in = vfio_alloc(user->vfio, VFIO_USER_MAX_MSG_BYTES);
	user->out = vfio_alloc(user->vfio, VFIO_USER_MAX_MSG_BYTES);
	if (user->in && user->out)
		user->fd = sys->connect(sys->ctx, path);
	else
		user->fd = -ENOMEM;
	if (user->fd >= 0)
		return 0;
	vfio_release(user->vfio, user->in);
	vfio_release(user->vfio, user->out);
	return user->fd;
}

void user_wire_close(struct vfio_user *user)
{
	while (user->fd_count)
		vfio_close(user->vfio, &user->fds[--user->fd_count].fd);
	vfio_close(user->vfio, &user->fd);
	vfio_release(user->vfio, user->in);
	vfio_release(user->vfio, user->out);
}

/* ---- in ---- */

/* Descriptors that came with what was just read; the buffer starts with what is not taken. */
static void keep_fds(struct vfio_user *user, int *fds, uint32_t count)
{
	uint64_t end = user->in_position + user->in_end;

	for (uint32_t i = 0; i < count; i++) {
		if (user->fd_count < VFIO_USER_MAX_MSG_FDS)
			user->fds[user->fd_count++] = (struct user_fd){ end, fds[i] };
		else
			vfio_close(user->vfio, &fds[i]);
	}
}

/* Reads what there is: 0, also when there is nothing, or -errno. */
static int fill(struct vfio_user *user)
{
	const struct vfio_sys *sys = &user->vfio->sys;
	int fds[VFIO_USER_MAX_MSG_FDS];
	uint32_t room, count = VFIO_USER_MAX_MSG_FDS;
	long got;

	if (user->in_start) {
		memmove(user->in, user->in + user->in_start, user->in_end - user->in_start);
		user->in_end -= user->in_start;
		user->in_start = 0;
	}
	room = VFIO_USER_MAX_MSG_BYTES - user->in_end;
	if (!room)
		return 0;
	got = sys->recvmsg(sys->ctx, user->fd, user->in + user->in_end, room, fds, &count);
	if (got <= 0)
		return seam_failed(user, got);
	user->in_end += (uint32_t)got;
	keep_fds(user, fds, count);
	return 0;
}

/* Looks for a whole message: its size, 0 for a part of one, or -errno for what is none. */
static long whole_message(struct vfio_user *user, struct vfio_user_header *header)
{
	uint32_t have = user->in_end - user->in_start;
	uint32_t type;

	if (have < sizeof(*header))
		return 0;
	memcpy(header, user->in + user->in_start, sizeof(*header));
	type = header->flags & VFIO_USER_F_TYPE_MASK;
	if (header->msg_size < sizeof(*header) || header->msg_size > VFIO_USER_MAX_MSG_BYTES ||
	    type > VFIO_USER_F_TYPE_REPLY)
		return user_break(user, -EPROTO);
	return header->msg_size <= have ? (long)header->msg_size : 0;
}

static void take_fds(struct vfio_user *user, struct user_message *message)
{
	uint32_t left = 0;

	message->fd_count = 0;
	for (uint32_t i = 0; i < user->fd_count; i++) {
		if (user->fds[i].end <= user->in_position)
			message->fds[message->fd_count++] = user->fds[i].fd;
		else
			user->fds[left++] = user->fds[i];
	}
	user->fd_count = left;
}

static void take(struct vfio_user *user, struct user_message *message)
{
	uint32_t size = message->header.msg_size;

	message->payload = user->in + user->in_start + sizeof(message->header);
	message->size = size - (uint32_t)sizeof(message->header);
	user->in_start += size;
	user->in_position += size;
	take_fds(user, message);
}

/* Waits at most @ticks for something to read, and reads it. 0 or -errno. */
static int look(struct vfio_user *user, uint64_t ticks)
{
	const struct vfio_sys *sys = &user->vfio->sys;
	int ret = sys->poll(sys->ctx, user->fd, ticks);

	if (ret > 0)
		return fill(user);
	return ret < 0 ? seam_failed(user, ret) : 0;
}

/*
 * A message that is there at once costs no tick. Whatever else there was to read does, so that who
 * dribbles does not keep us longer than who says nothing.
 */
int user_receive(struct vfio_user *user, uint64_t *ticks, struct user_message *message)
{
	long size;

	while (!(size = whole_message(user, &message->header))) {
		int ret = look(user, *ticks ? 1 : 0);

		if (ret)
			return ret;
		if (whole_message(user, &message->header))
			continue;
		if (!*ticks)
			return 0;
		--*ticks;
	}
	if (size < 0)
		return (int)size;
	take(user, message);
	return 1;
}

void user_close_fds(struct vfio_user *user, struct user_message *message, uint32_t keep)
{
	while (message->fd_count > keep)
		vfio_close(user->vfio, &message->fds[--message->fd_count]);
}

/* ---- out ---- */

/*
 * The server does not read. With a message begun that is the end, and when it goes on: so that
 * nobody who has much to say waits each time.
 */
static int no_room(struct vfio_user *user, uint32_t done)
{
	if (done || ++user->unread == USER_UNREAD_MAX)
		return user_break(user, -ETIMEDOUT);
	return -ETIMEDOUT;
}

int user_send(struct vfio_user *user, uint32_t len, const int *fds, uint32_t fd_count)
{
	const struct vfio_sys *sys = &user->vfio->sys;
	uint64_t ticks = user->ticks;
	uint32_t done = 0;

	while (!user->broken && done < len) {
		long ret = sys->sendmsg(sys->ctx, user->fd, user->out + done, len - done, fds,
					done ? 0 : fd_count);

		if (ret > 0) {
			done += (uint32_t)ret;
			user->unread = 0;
			continue;
		}
		ret = seam_failed(user, ret);
		/* With a part of it sent, nothing else can be. */
		if (ret)
			return done ? user_break(user, (int)ret) : (int)ret;
		/* A server that waits for us to read what it says will not read what we say. */
		if (!ticks--)
			return no_room(user, done);
		look(user, 1);
	}
	return user->broken;
}
