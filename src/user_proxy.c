/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests and replies of vfio-user, and the server's own requests in between.
 *
 * A reply belongs to the request that has its id. Those that may still come are of three kinds: the
 * one that is waited for, those of asynchronous requests, and late ones that were given up; no two
 * have the same id. Any other reply is a stray: it is dropped, and many of them break the
 * connection.
 *
 * The server's requests are served while a reply is waited for, and when user_poll() is called: it
 * may need guest memory to do what it was asked for.
 */
#include <string.h>

#include "user.h"

/* Replies say why with an errno of Linux. */
enum { ERRNO_LAST = 4095 };

/* ---- ids ---- */

static bool is_late(const struct vfio_user *user, uint16_t id, uint32_t *index)
{
	for (*index = 0; *index < user->late_count; ++*index) {
		if (user->late[*index] == id)
			return true;
	}
	return false;
}

static struct user_async *find_async(struct vfio_user *user, uint16_t id)
{
	for (uint32_t i = 0; i < user->async_used; i++) {
		if (!user->async[i].failed && user->async[i].id == id)
			return &user->async[i];
	}
	return NULL;
}

/* One that no reply under way has. There are 65536, and far fewer replies. */
static uint16_t new_id(struct vfio_user *user)
{
	uint32_t index;

	do {
		user->next_id++;
	} while (is_late(user, user->next_id, &index) || find_async(user, user->next_id));
	return user->next_id;
}

/* Nobody waits for this reply any more. When too many do not come, the server is stuck. */
static int give_up(struct vfio_user *user, uint16_t id)
{
	if (user->late_count == USER_LATE_MAX)
		return user_break(user, -ETIMEDOUT);
	user->late[user->late_count++] = id;
	return -ETIMEDOUT;
}

/* ---- what the server asks for ---- */

static void reply(struct vfio_user *user, const struct user_message *request, long result)
{
	struct vfio_user_header header = { .msg_id = request->header.msg_id,
					   .cmd = request->header.cmd,
					   .flags = VFIO_USER_F_TYPE_REPLY };

	if (request->header.flags & VFIO_USER_F_NO_REPLY)
		return;
	header.msg_size = (uint32_t)sizeof(header);
	if (result < 0) {
		header.flags |= VFIO_USER_F_ERROR;
		header.error_no = (uint32_t)-result;
	} else {
		header.msg_size += (uint32_t)result;
	}
	memcpy(user->out, &header, sizeof(header));
	user_send(user, header.msg_size, NULL, 0);
}

static void serve(struct vfio_user *user, const struct user_message *request)
{
	if (++user->served > USER_SERVED_MAX)
		user_break(user, -EPROTO);
	else
		reply(user, request,
		      user_dma(user, request, user->out + sizeof(struct vfio_user_header)));
}

/* ---- replies ---- */

/* What a reply says: 0 or -errno. An error that is none of Linux' is bad, but an error. */
static int result_of(const struct vfio_user_header *header)
{
	if (!(header->flags & VFIO_USER_F_ERROR))
		return 0;
	return header->error_no && header->error_no <= ERRNO_LAST ? -(int)header->error_no
								  : -EINVAL;
}

static void fail_async(struct vfio_user *user, struct user_async *async, int code)
{
	async->failed = true;
	async->code = code;
	user->async_failed++;
}

/* The last one takes the place of one that is done. */
static void finish_async(struct vfio_user *user, struct user_async *async,
			 const struct vfio_user_header *header)
{
	int code = header->cmd == async->cmd ? result_of(header) : -EPROTO;

	if (code)
		fail_async(user, async, code);
	else
		*async = user->async[--user->async_used];
}

/* A message that is not what is waited for. */
static void dispatch(struct vfio_user *user, struct user_message *message)
{
	struct user_async *async;
	uint32_t index;

	user_close_fds(user, message, 0);
	if ((message->header.flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_COMMAND) {
		serve(user, message);
		return;
	}
	async = find_async(user, message->header.msg_id);
	if (async)
		finish_async(user, async, &message->header);
	else if (is_late(user, message->header.msg_id, &index))
		user->late[index] = user->late[--user->late_count];
	else if (++user->strays > USER_STRAY_MAX)
		user_break(user, -EPROTO);
}

static bool is_reply_to(const struct user_message *message, uint16_t id)
{
	return (message->header.flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY &&
	       message->header.msg_id == id;
}

/* 0 with the reply to @id, or -errno. */
static int wait_for(struct vfio_user *user, uint16_t id, struct user_message *message)
{
	uint64_t ticks = user->ticks;

	user->strays = 0;
	user->served = 0;
	while (!user->broken) {
		int ret = user_receive(user, &ticks, message);

		if (ret <= 0) {
			int late = give_up(user, id);

			return ret ? ret : late;
		}
		if (is_reply_to(message, id))
			return 0;
		dispatch(user, message);
	}
	return user->broken;
}

/* ---- requests ---- */

static int send_request(struct vfio_user *user, const struct user_call *call, uint16_t id,
			uint32_t flags)
{
	struct vfio_user_header header = { .msg_id = id, .cmd = call->cmd, .flags = flags };
	uint8_t *at = user->out + sizeof(header);

	header.msg_size = (uint32_t)sizeof(header) + call->head_size + call->data_size;
	memcpy(user->out, &header, sizeof(header));
	if (call->head_size)
		memcpy(at, call->head, call->head_size);
	if (call->data_size)
		memcpy(at + call->head_size, call->data, call->data_size);
	return user_send(user, header.msg_size, call->fds, call->fd_count);
}

/* Looks at the reply that has come. */
static int take_reply(struct vfio_user *user, struct user_call *call, struct user_message *message)
{
	int ret = result_of(&message->header);

	if (message->header.cmd != call->cmd)
		ret = -EPROTO;
	if (!ret && (message->size < call->reply_min || message->size > call->reply_max))
		ret = -EPROTO;
	user_close_fds(user, message, call->reply_fd ? 1 : 0);
	if (message->fd_count)
		*call->reply_fd = message->fds[0];
	call->reply = message->payload;
	call->reply_size = message->size;
	return ret;
}

int user_call(struct vfio_user *user, struct user_call *call)
{
	int ret = user_push_posted(user);
	struct user_message message;
	uint16_t id;

	if (ret)
		return ret;
	id = new_id(user);
	ret = send_request(user, call, id, VFIO_USER_F_TYPE_COMMAND);
	if (!ret)
		ret = wait_for(user, id, &message);
	if (ret)
		return ret;
	/* The server does things in order. */
	user->unacked = 0;
	return take_reply(user, call, &message);
}

int user_send_only(struct vfio_user *user, const struct user_call *call)
{
	user->unacked++;
	return send_request(user, call, new_id(user),
			    VFIO_USER_F_TYPE_COMMAND | VFIO_USER_F_NO_REPLY);
}

/* ---- requests that nobody waits for yet ---- */

/* Waits until at most @left are without a reply. 0 or -errno. */
static int wait_until(struct vfio_user *user, uint32_t left)
{
	uint64_t ticks = user->ticks;

	user->strays = 0;
	user->served = 0;
	while (!user->broken && user->async_used - user->async_failed > left) {
		uint32_t before = user->async_used - user->async_failed;
		struct user_message message;
		int ret = user_receive(user, &ticks, &message);

		if (ret < 0)
			return ret;
		if (!ret)
			return -ETIMEDOUT;
		dispatch(user, &message);
		if (user->async_used - user->async_failed < before)
			ticks = user->ticks;
	}
	return user->broken;
}

/* What is still without a reply has none coming: @code. */
static void expire_async(struct vfio_user *user, int code)
{
	for (uint32_t i = 0; i < user->async_used; i++) {
		struct user_async *async = &user->async[i];

		if (async->failed)
			continue;
		fail_async(user, async, code);
		give_up(user, async->id);
	}
}

void user_wait_async(struct vfio_user *user)
{
	expire_async(user, wait_until(user, 0));
}

/* A slot for one more; NULL when so many have failed that there is none. */
static struct user_async *free_slot(struct vfio_user *user)
{
	while (user->async_used == USER_ASYNC_MAX && user->async_failed < USER_ASYNC_MAX) {
		int ret = wait_until(user, USER_ASYNC_MAX - user->async_failed - 1);

		if (ret)
			expire_async(user, ret);
	}
	return user->async_used < USER_ASYNC_MAX ? &user->async[user->async_used] : NULL;
}

int user_begin_async(struct vfio_user *user, const struct user_call *call,
		     const struct vfio_map *map)
{
	struct user_async *slot;
	int ret = user_push_posted(user);

	if (ret)
		return ret;
	slot = free_slot(user);
	if (!slot)
		return 1;
	*slot = (struct user_async){ .id = new_id(user), .cmd = call->cmd, .map = *map };
	ret = send_request(user, call, slot->id, VFIO_USER_F_TYPE_COMMAND);
	if (ret)
		return ret;
	user->async_used++;
	return 0;
}

void user_forget_async(struct vfio_user *user)
{
	user->async_used = 0;
	user->async_failed = 0;
}

void user_poll(struct vfio_user *user)
{
	struct user_message message;
	uint64_t ticks = 0;

	user->strays = 0;
	user->served = 0;
	while (!user->broken && user_receive(user, &ticks, &message) > 0)
		dispatch(user, &message);
}
