/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One recording: read, planned, played, compared.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_model.h"
#include "player.h"
#include "replay.h"

enum { LINE_BYTES = 1024 };

/* Adds a line to the result's text. */
__attribute__((format(printf, 2, 3))) static int say(struct replay_result *result,
						     const char *format, ...)
{
	size_t used = result->text ? strlen(result->text) : 0;
	char line[LINE_BYTES];
	va_list args;
	char *text;
	size_t len;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	len = strlen(line);
	text = realloc(result->text, used + len + 2);
	if (!text)
		return -ENOMEM;
	memcpy(text + used, line, len);
	strcpy(text + used + len, "\n");
	result->text = text;
	return 0;
}

/* ---- the default world ---- */

static bool uses_spapr(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->step_count; i++) {
		const struct uapi_ioctl *row = plan->steps[i].row;

		if (row && row->where == UAPI_ON_SPAPR)
			return true;
	}
	return false;
}

/* The machine of the recordings has three devices. */
static const char *model_of(const char *device)
{
	static const char *const names[][2] = { { "d0", "edu" },
						{ "d1", "e1000e" },
						{ "d2", "plain" } };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(device, names[i][0]))
			return names[i][1];
	}
	return NULL;
}

static const struct trace_item *device_item(const struct trace *trace, const char *name)
{
	for (uint32_t i = 0; i < trace->item_count; i++) {
		if (trace->items[i].kind == TRACE_DEVICE && !strcmp(trace->items[i].text, name))
			return &trace->items[i];
	}
	return NULL;
}

int replay_default_world(const struct plan *plan, struct vfake_world *world, char *error,
			 size_t size_bytes)
{
	const struct trace *trace = plan->trace;

	if (uses_spapr(plan))
		vfake_world_powernv(world);
	else
		vfake_world_x86(world);
	for (uint32_t i = 0; i < trace->device_count; i++) {
		const char *model = model_of(trace->devices[i]);
		const struct trace_item *item = device_item(trace, trace->devices[i]);

		if (!model || vfake_world_add_device(world, trace->devices[i], model)) {
			snprintf(error, size_bytes,
				 "%s:%u:%u: the default world has the devices d0, d1 and d2, no %s",
				 trace->file, item ? item->line : 1, item ? item->column : 1,
				 trace->devices[i]);
			return -ENODEV;
		}
	}
	return 0;
}

static bool has_device(const struct vfake_world *world, const char *name)
{
	for (uint32_t i = 0; i < world->device_count; i++) {
		if (!strcmp(world->devices[i].name, name))
			return true;
	}
	return false;
}

int replay_check_world(const struct plan *plan, const struct vfake_world *world, char *error,
		       size_t size_bytes)
{
	const struct trace *trace = plan->trace;

	for (uint32_t i = 0; i < trace->device_count; i++) {
		const struct trace_item *item = device_item(trace, trace->devices[i]);

		if (has_device(world, trace->devices[i]))
			continue;
		snprintf(error, size_bytes, "%s:%u:%u: the world has no device %s", trace->file,
			 item ? item->line : 1, item ? item->column : 1, trace->devices[i]);
		return -ENODEV;
	}
	return 0;
}

/* ---- playing ---- */

static int compare(struct player *player, const struct step *step, struct replay_result *result)
{
	const struct outcome *outcome = &player->outcome;
	char line[LINE_BYTES];

	if (trace_check(player->plan->trace, step->call, &outcome->result, &outcome->out, line,
			sizeof(line)))
		return 0;
	result->mismatches++;
	return say(result, "%s", line);
}

/* The model is held against the kernel by each call; what it has to say is said once. */
static int check_model(struct model *model, const struct plan *plan, const struct step *step,
		       struct replay_result *result)
{
	if (!*model_disagreement(model))
		return 0;
	result->mismatches++;
	return say(result, "%s:%u:%u: %s: kernel and model disagree: %s", plan->trace->file,
		   step->call->line, step->call->column, step->call->name,
		   model_disagreement(model));
}

static int play(struct player *player, struct model *model, struct replay_result *result)
{
	const struct plan *plan = player->plan;
	bool agreed = true;

	for (uint32_t i = 0; i < plan->step_count; i++) {
		const struct step *step = &plan->steps[i];
		const char *why = "";
		int ret = player_step(player, step, &why);

		result->calls++;
		if (ret) {
			result->mismatches++;
			return say(result, "%s:%u:%u: %s: cannot be played: %s", plan->trace->file,
				   step->call->line, step->call->column, step->call->name, why);
		}
		ret = compare(player, step, result);
		if (!ret && agreed) {
			if (i + 1 == plan->step_count)
				model_agrees(model);
			ret = check_model(model, plan, step, result);
			agreed = !*model_disagreement(model);
		}
		if (ret)
			return ret;
	}
	return 0;
}

/* No recording makes Linux warn about itself. */
static int check_warnings(const struct machine *machine, struct replay_result *result)
{
	struct vfake_ledger ledger = vfake_ledger(machine->vfake.kernel);

	if (!ledger.warnings)
		return 0;
	result->mismatches++;
	return say(result, "%s: the fake kernel warned %llu times about itself", result->path,
		   (unsigned long long)ledger.warnings);
}

static int play_in_world(const struct plan *plan, const struct vfake_world *world,
			 struct player *player, struct replay_result *result)
{
	struct machine machine;
	struct model *model;
	const char *error;
	int ret = machine_vfake(&machine, world, &error);

	if (ret)
		return ret == -ENOMEM ? ret
				      : say(result, "%s: the world does not start: %s",
					    result->path, error);
	player_init(player, plan, &machine);
	model = model_new(machine.vfake.kernel);
	vfake_set_event_hook(machine.vfake.kernel, model ? model_event : NULL, model);
	ret = model ? play(player, model, result) : -ENOMEM;
	vfake_set_event_hook(machine.vfake.kernel, NULL, NULL);
	model_free(model);
	if (!ret)
		ret = check_warnings(&machine, result);
	machine.end(&machine);
	if (!ret)
		result->passed = !result->mismatches;
	return ret;
}

static int play_trace(const struct trace *trace, const struct vfake_world *given,
		      struct player *player, struct replay_result *result)
{
	struct vfake_world *world = NULL;
	struct trace_error error;
	char message[LINE_BYTES];
	struct plan *plan;
	int ret = plan_make(trace, &plan, &error);

	if (ret) {
		result->unreadable = true;
		return ret == -ENOMEM ? ret : say(result, "%s", error.message);
	}
	if (given) {
		ret = replay_check_world(plan, given, message, sizeof(message));
	} else {
		world = malloc(sizeof(*world));
		ret = world ? replay_default_world(plan, world, message, sizeof(message)) : -ENOMEM;
	}
	if (!ret)
		ret = play_in_world(plan, given ? given : world, player, result);
	else if (ret == -ENODEV)
		ret = say(result, "%s", message);
	free(world);
	plan_free(plan);
	return ret;
}

/* What was read, or why it was not. */
static int replay_read(struct trace *trace, int ret, const struct trace_error *error,
		       const struct vfake_world *world, struct player *player,
		       struct replay_result *result)
{
	if (ret) {
		result->unreadable = true;
		return ret == -ENOMEM ? ret : say(result, "%s", error->message);
	}
	ret = play_trace(trace, world, player, result);
	trace_free(trace);
	return ret;
}

int replay_text(const char *path, const char *text, size_t size_bytes,
		const struct vfake_world *world, struct player *player,
		struct replay_result *result)
{
	struct trace_error error;
	struct trace *trace;
	int ret;

	*result = (struct replay_result){ .path = path };
	ret = trace_read(path, text, size_bytes, &trace, &error);
	return replay_read(trace, ret, &error, world, player, result);
}

int replay_file(const char *path, const struct vfake_world *world, struct player *player,
		struct replay_result *result)
{
	struct trace_error error;
	struct trace *trace;
	int ret;

	*result = (struct replay_result){ .path = path };
	ret = trace_read_file(path, &trace, &error);
	return replay_read(trace, ret, &error, world, player, result);
}
