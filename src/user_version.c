/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Negotiation: the first message each way, in which both sides say what they can take.
 *
 * What the server says is made no larger than what we can take, and refused where it makes no
 * sense.
 */
#include <stdio.h>
#include <string.h>

#include "user.h"

/* A vfio-user client has said "migration" for the pages of dirty bits since before the features. */
#define CAP_MIGRATION	 "migration"
#define CAP_PGSIZE	 "pgsize"
#define CAP_BITMAP_BYTES "max_bitmap_size"

enum {
	/* 4 KiB, 64 KiB, 2 MiB and 1 GiB */
	PGSIZES_WANTED = 1 << 12 | 1 << 16 | 1 << 21 | 1 << 30,
	DIRTY_PGSIZE = 4096,
};

/* What the server said; the defaults where it said nothing. */
struct answer {
	uint64_t fds, xfer, maps, pgsizes, migration_pgsize, bitmap_bytes;
	bool write_multi, twin;
};

static uint32_t write_proposal(char *text, size_t size)
{
	int len = snprintf(text, size,
			   "{\"" VFIO_USER_CAP_CAPABILITIES "\":{\"" VFIO_USER_CAP_MAX_MSG_FDS
			   "\":%u,\"" VFIO_USER_CAP_MAX_DATA_XFER "\":%u,"
			   "\"" VFIO_USER_CAP_MAX_DMA_MAPS "\":%u,\"" VFIO_USER_CAP_PGSIZES
			   "\":%u,\"" VFIO_USER_CAP_WRITE_MULTIPLE "\":true,\"" CAP_MIGRATION
			   "\":{\"" CAP_PGSIZE "\":%u,\"" CAP_BITMAP_BYTES "\":%u}}}",
			   USER_FDS_WANTED, VFIO_USER_MAX_DATA_XFER_BYTES,
			   VFIO_USER_DEFAULT_MAX_DMA_MAPS, PGSIZES_WANTED, DIRTY_PGSIZE,
			   VFIO_USER_MAX_DATA_XFER_BYTES);

	return (uint32_t)len + 1;
}

static bool read_answer(const char *text, uint32_t len, struct answer *answer)
{
	const struct user_json_key twin[] = {
		{ VFIO_USER_CAP_TWIN_SUPPORTED, USER_JSON_BOOLEAN, .boolean = &answer->twin },
		{ 0 },
	};
	const struct user_json_key migration[] = {
		{ CAP_PGSIZE, USER_JSON_NUMBER, .number = &answer->migration_pgsize },
		{ CAP_BITMAP_BYTES, USER_JSON_NUMBER, .number = &answer->bitmap_bytes },
		{ 0 },
	};
	const struct user_json_key caps[] = {
		{ VFIO_USER_CAP_MAX_MSG_FDS, USER_JSON_NUMBER, .number = &answer->fds },
		{ VFIO_USER_CAP_MAX_DATA_XFER, USER_JSON_NUMBER, .number = &answer->xfer },
		{ VFIO_USER_CAP_MAX_DMA_MAPS, USER_JSON_NUMBER, .number = &answer->maps },
		{ VFIO_USER_CAP_PGSIZES, USER_JSON_NUMBER, .number = &answer->pgsizes },
		{ VFIO_USER_CAP_WRITE_MULTIPLE, USER_JSON_BOOLEAN,
		  .boolean = &answer->write_multi },
		{ VFIO_USER_CAP_TWIN_SOCKET, USER_JSON_OBJECT, .keys = twin },
		{ CAP_MIGRATION, USER_JSON_OBJECT, .keys = migration },
		{ 0 },
	};
	const struct user_json_key top[] = {
		{ VFIO_USER_CAP_CAPABILITIES, USER_JSON_OBJECT, .keys = caps },
		{ 0 },
	};

	/* Nothing at all is allowed, a string without its end is not. */
	return !len || (!text[len - 1] && user_json_read(text, top));
}

static uint64_t at_most(uint64_t value, uint64_t limit)
{
	return value < limit ? value : limit;
}

/* Why the answer makes no sense, or NULL. */
static const char *check_answer(const struct answer *answer)
{
	if (answer->twin)
		return "it wants a second socket, which was not offered";
	if (answer->xfer < 8)
		return VFIO_USER_CAP_MAX_DATA_XFER " is too small for a register";
	if (!answer->maps)
		return VFIO_USER_CAP_MAX_DMA_MAPS " is 0";
	if (!(answer->pgsizes & PGSIZES_WANTED))
		return VFIO_USER_CAP_PGSIZES " has no page size of ours";
	if (answer->migration_pgsize & (answer->migration_pgsize - 1))
		return CAP_PGSIZE " of " CAP_MIGRATION " is no power of two";
	return NULL;
}

static void take_answer(struct user_limits *limits, const struct answer *answer)
{
	*limits = (struct user_limits){
		.send_fds = (uint32_t)at_most(answer->fds, VFIO_USER_MAX_MSG_FDS),
		.xfer_bytes = (uint32_t)at_most(answer->xfer, VFIO_USER_MAX_DATA_XFER_BYTES),
		.max_maps = (uint32_t)at_most(answer->maps, UINT32_MAX),
		.pgsizes = answer->pgsizes & PGSIZES_WANTED,
		.bitmap_bytes = at_most(answer->bitmap_bytes, VFIO_USER_MAX_DATA_XFER_BYTES),
		.write_multi = answer->write_multi,
	};
}

/* Reads a reply: why it is no good, or NULL. */
static const char *judge(const struct user_call *call, struct answer *answer)
{
	struct vfio_user_version version;

	memcpy(&version, call->reply, sizeof(version));
	if (version.major != VFIO_USER_MAJOR || version.minor > VFIO_USER_MINOR)
		return "the server speaks another version of the protocol";
	if (!read_answer((const char *)call->reply + sizeof(version),
			 call->reply_size - (uint32_t)sizeof(version), answer))
		return "the server's capabilities cannot be read";
	return check_answer(answer);
}

static bool look_at_reply(struct vfio_user *user, const struct user_call *call,
			  struct vfio_error *error)
{
	struct answer answer = { .fds = VFIO_USER_DEFAULT_MAX_MSG_FDS,
				 .xfer = VFIO_USER_DEFAULT_MAX_DATA_XFER_BYTES,
				 .maps = VFIO_USER_DEFAULT_MAX_DMA_MAPS,
				 .pgsizes = VFIO_USER_DEFAULT_PGSIZES,
				 .bitmap_bytes = VFIO_USER_MAX_DATA_XFER_BYTES };
	const char *why = judge(call, &answer);

	if (why) {
		vfio_fail(error, -EPROTO, "VFIO_USER_VERSION");
		vfio_error_hint(error, "%s", why);
		return false;
	}
	take_answer(&user->limits, &answer);
	return true;
}

bool user_negotiate(struct vfio_user *user, struct vfio_error *error)
{
	struct vfio_user_version version = { .major = VFIO_USER_MAJOR, .minor = VFIO_USER_MINOR };
	char text[512];
	struct user_call call = { .cmd = VFIO_USER_VERSION,
				  .head = &version,
				  .head_size = sizeof(version),
				  .data = text,
				  .reply_min = sizeof(version),
				  .reply_max = sizeof(version) + VFIO_USER_MAX_VERSION_BYTES };
	int ret;

	call.data_size = write_proposal(text, sizeof(text));
	ret = user_call(user, &call);
	if (ret)
		return vfio_fail(error, ret, "VFIO_USER_VERSION");
	return look_at_reply(user, &call, error);
}
