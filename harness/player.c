/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plays steps: names, memory and all calls but ioctl, which player_ioctl.c has.
 */
#include <errno.h>
#include <string.h>

#include "player.h"

enum { NAME_MAX_BYTES = 256 };

static const uint64_t invalid_address = 0x10;

void player_init(struct player *player, const struct plan *plan, struct machine *machine)
{
	player->plan = plan;
	player->machine = machine;
	player->name_count = 0;
	player->scratch_used = 0;
	player->out_count = 0;
}

/* ---- names ---- */

static struct player_name *find_slot(const struct player *player, const char *name)
{
	for (uint32_t i = 0; i < player->name_count; i++) {
		const struct player_name *slot = &player->names[i];

		if (slot->name[0] == name[0] && !strcmp(slot->name, name))
			return (struct player_name *)(uintptr_t)slot;
	}
	return NULL;
}

const struct player_name *player_find(const struct player *player, const char *name)
{
	const struct player_name *slot = find_slot(player, name);

	return slot && slot->live ? slot : NULL;
}

int player_bind(struct player *player, const char *name, bool is_memory, int fd, uint64_t addr)
{
	struct player_name *slot = find_slot(player, name);

	if (!slot) {
		if (player->name_count == PLAYER_NAMES)
			return -EINVAL;
		slot = &player->names[player->name_count++];
	}
	*slot = (struct player_name){
		.name = name, .is_memory = is_memory, .live = true, .fd = fd, .addr = addr
	};
	return 0;
}

int player_fd(const struct player *player, const struct trace_value *value)
{
	const struct player_name *name;

	if (value->kind == TRACE_NUMBER)
		return (int)value->number;
	name = player_find(player, value->text);
	return name && !name->is_memory ? name->fd : -1;
}

uint64_t player_address(const struct player *player, const struct trace_value *value)
{
	const struct player_name *name;

	if (value->kind == TRACE_NUMBER)
		return value->number;
	name = player_find(player, value->text);
	return (name && name->is_memory ? name->addr : invalid_address) +
	       (value->base ? value->offset : 0);
}

/* ---- memory for arguments and answers ---- */

uint64_t player_scratch(struct player *player, uint64_t len)
{
	static const uint8_t zeroes[4096];
	uint64_t at = (player->scratch_used + 63) & ~(uint64_t)63;
	struct machine *machine = player->machine;
	uint64_t addr = machine->scratch + at;

	if (at > machine->scratch_bytes || len > machine->scratch_bytes - at)
		return 0;
	player->scratch_used = at + len;
	for (uint64_t done = 0; done < len; done += sizeof(zeroes)) {
		uint64_t chunk = len - done < sizeof(zeroes) ? len - done : sizeof(zeroes);

		if (machine->store(machine, addr + done, zeroes, chunk))
			return 0;
	}
	return addr;
}

struct trace_value player_hex(struct player *player, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		player->hex[2 * i] = digits[bytes[i] >> 4];
		player->hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	player->hex[2 * len] = 0;
	return (struct trace_value){ .kind = TRACE_LIST,
				     .digits = (uint32_t)(2 * len),
				     .hex = player->hex };
}

/* ---- results ---- */

static struct trace_value number_result(long ret)
{
	return ret < 0 ? trace_make_errno((int)-ret) : trace_make_number((uint64_t)ret, 10);
}

int player_got_fd(struct player *player, const struct step *step, long fd, const char **why)
{
	const struct trace_value *expected = &step->call->result;

	player->outcome.result = number_result(fd);
	if (fd < 0)
		return 0;
	if (expected->kind != TRACE_NAME) {
		/* Nobody can ever name it. Its number is not the trace's business. */
		player->machine->sys.close(player->machine->sys.ctx, (int)fd);
		player->outcome.result = trace_make_name("a descriptor");
		return 0;
	}
	player->outcome.result = trace_make_name(expected->text);
	*why = "too many names";
	return player_bind(player, expected->text, false, (int)fd, 0);
}

/* ---- calls ---- */

/* Replaces {d0.group} and {d0.cdev}. */
static int expand_path(struct player *player, const char *path, const char **why)
{
	struct machine *machine = player->machine;
	size_t used = 0;

	*why = "the path is too long";
	while (*path) {
		const char *dot = strchr(path, '.');
		char device[NAME_MAX_BYTES];
		bool found;

		if (used >= sizeof(player->path) - 1)
			return -EINVAL;
		if (*path != '{') {
			player->path[used++] = *path++;
			continue;
		}
		if ((size_t)(dot - path) > sizeof(device))
			return -EINVAL;
		memcpy(device, path + 1, (size_t)(dot - path - 1));
		device[dot - path - 1] = 0;
		found = (dot[1] == 'g' ? machine->group_name : machine->cdev_name)(
			machine, device, player->path + used, sizeof(player->path) - used);
		if (!found) {
			*why = "the machine has no such device";
			return -EINVAL;
		}
		used += strlen(player->path + used);
		path = strchr(path, '}') + 1;
	}
	player->path[used] = 0;
	return 0;
}

static int play_open(struct player *player, const struct step *step, const char **why)
{
	const struct vfio_sys *sys = &player->machine->sys;
	int ret = expand_path(player, step->call->args[0].text, why);

	return ret ? ret : player_got_fd(player, step, sys->open(sys->ctx, player->path), why);
}

static void play_close(struct player *player, const struct step *step)
{
	const struct trace_value *arg = &step->call->args[0];
	const struct vfio_sys *sys = &player->machine->sys;

	player->outcome.result = number_result(sys->close(sys->ctx, player_fd(player, arg)));
	if (arg->kind == TRACE_NAME) {
		struct player_name *name = find_slot(player, arg->text);

		if (name && !name->is_memory)
			name->live = false;
	}
}

static int play_mmap(struct player *player, const struct step *step, const char **why)
{
	const struct trace_value *expected = &step->call->result;
	const struct vfio_sys *sys = &player->machine->sys;
	int prot = step->call->arg_count > 1 ? VFAKE_PROT_READ : VFAKE_PROT_READ | VFAKE_PROT_WRITE;
	uint64_t addr;
	int ret = sys->mmap(sys->ctx, step->call->args[0].number, prot, -1, 0, &addr);

	player->outcome.result = number_result(ret);
	if (ret)
		return 0;
	*why = "memory needs a name: = NAME";
	if (expected->kind != TRACE_NAME)
		return -EINVAL;
	player->outcome.result = trace_make_name(expected->text);
	*why = "too many names";
	return player_bind(player, expected->text, true, -1, addr);
}

static void play_munmap(struct player *player, const struct step *step)
{
	const struct vfio_sys *sys = &player->machine->sys;
	uint64_t addr = player_address(player, &step->call->args[0]);

	player->outcome.result =
		number_result(sys->munmap(sys->ctx, addr, step->call->args[1].number));
}

/* An eventfd's counter is the result, not the eight bytes that it comes in. */
static int play_read(struct player *player, const struct step *step, const char **why)
{
	struct machine *machine = player->machine;
	uint64_t buf = player_scratch(player, sizeof(uint64_t));
	uint64_t count = 0;
	long ret = machine->sys.read(machine->sys.ctx, player_fd(player, &step->call->args[0]), buf,
				     sizeof(count));

	*why = "the memory for arguments is gone";
	if (ret < 0) {
		player->outcome.result = number_result(ret);
		return 0;
	}
	if (machine->load(machine, buf, &count, sizeof(count)))
		return -EINVAL;
	player->outcome.result = trace_make_number(count, 10);
	return 0;
}

static int play_pread(struct player *player, const struct step *step, const char **why)
{
	const struct trace_value *args = step->call->args;
	struct machine *machine = player->machine;
	uint64_t len = args[2].number;
	uint64_t buf;
	long ret;

	*why = "too many bytes for one call";
	if (len > PLAYER_BYTES_MAX)
		return -EINVAL;
	buf = player_scratch(player, len);
	ret = machine->sys.pread(machine->sys.ctx, player_fd(player, &args[0]), buf, len,
				 args[1].number);
	if (ret < 0) {
		player->outcome.result = number_result(ret);
		return 0;
	}
	if (machine->load(machine, buf, player->bytes, (size_t)ret))
		return -EINVAL;
	player->outcome.result = player_hex(player, player->bytes, (size_t)ret);
	return 0;
}

static int play_pwrite(struct player *player, const struct step *step, const char **why)
{
	const struct trace_value *args = step->call->args;
	struct machine *machine = player->machine;
	size_t len = trace_bytes(&args[2], player->bytes, sizeof(player->bytes));
	uint64_t buf;

	*why = "too many bytes for one call";
	if (len > sizeof(player->bytes))
		return -EINVAL;
	buf = player_scratch(player, len);
	if (machine->store(machine, buf, player->bytes, len))
		return -EINVAL;
	player->outcome.result = number_result(machine->sys.pwrite(
		machine->sys.ctx, player_fd(player, &args[0]), buf, len, args[1].number));
	return 0;
}

int player_step(struct player *player, const struct step *step, const char **why)
{
	const struct vfio_sys *sys = &player->machine->sys;
	const struct trace_value *args = step->call->args;

	player->scratch_used = 0;
	player->out_count = 0;
	player->outcome = (struct outcome){ .out = { .kind = TRACE_NONE } };
	switch (step->op) {
	case STEP_OPEN:
		return play_open(player, step, why);
	case STEP_CLOSE:
		play_close(player, step);
		return 0;
	case STEP_DUP:
		return player_got_fd(player, step, sys->dup(sys->ctx, player_fd(player, &args[0])),
				     why);
	case STEP_IOCTL:
		return player_ioctl(player, step, why);
	case STEP_MMAP:
		return play_mmap(player, step, why);
	case STEP_MUNMAP:
		play_munmap(player, step);
		return 0;
	case STEP_MEMFD:
		return player_got_fd(player, step, sys->memfd(sys->ctx, args[0].number), why);
	case STEP_MEMLOCK:
		player->outcome.result = number_result(sys->memlock(sys->ctx, args[0].number));
		return 0;
	case STEP_EVENTFD:
		return player_got_fd(player, step, sys->eventfd(sys->ctx), why);
	case STEP_READ:
		return play_read(player, step, why);
	case STEP_PREAD:
		return play_pread(player, step, why);
	case STEP_PWRITE:
		return play_pwrite(player, step, why);
	}
	*why = "unknown step";
	return -EINVAL;
}
