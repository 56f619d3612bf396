/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `vfake record`: runs a script and writes it down again with what the kernel answered.
 *
 * A script is a trace whose results do not matter, but for the names in them: `open("/dev/iommu") =
 * i0` says what the descriptor is called afterwards.
 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "player.h"
#include "replay.h"
#include "world_read.h"

enum { BINDINGS_MAX = 64, KEY_WORLD = 256, KEY_FAKE };

struct options {
	const char *script;
	const char *output;
	const char *world;
	bool fake;
	const char *bindings[BINDINGS_MAX];
	size_t binding_count;
};

static const struct argp_option option_list[] = {
	{ "device", 'd', "NAME=ADDRESS", 0,
	  "The script's device NAME is the one at ADDRESS: d0=0000:06:0d.0", 0 },
	{ "output", 'o', "FILE", 0, "Write the trace to FILE instead of standard output", 0 },
	{ "fake", KEY_FAKE, NULL, 0, "Run on the fake kernel", 0 },
	{ "world", KEY_WORLD, "FILE", 0, "The fake kernel's world (with --fake)", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'd':
		if (!strchr(arg, '=') || *arg == '=' || !strchr(arg, '=')[1])
			argp_error(state, "--device takes NAME=ADDRESS, not `%s'", arg);
		if (options->binding_count == BINDINGS_MAX)
			argp_error(state, "too many devices");
		options->bindings[options->binding_count++] = arg;
		return 0;
	case 'o':
		options->output = arg;
		return 0;
	case KEY_FAKE:
		options->fake = true;
		return 0;
	case KEY_WORLD:
		options->world = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (options->script)
			argp_error(state, "one script at a time");
		options->script = arg;
		return 0;
	case ARGP_KEY_END:
		if (!options->script)
			argp_error(state, "no script given");
		if (options->world && !options->fake)
			argp_error(state, "--world goes with --fake");
		if (options->binding_count && options->fake)
			argp_error(
				state,
				"--device does not go with --fake, whose devices are in its world");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_list,
	.parser = parse_option,
	.args_doc = "SCRIPT",
	.doc = "Runs a script of calls on the kernel below and writes the trace of what it "
	       "answered.\v"
	       "The trace is what `vfake replay' plays: with a device to spare, this is how a "
	       "recording is made. The device is "
	       "bound to vfio-pci and nothing else uses it.\n\n"
	       "Exit status: 0 recorded, 1 bad script, 2 wrong use, 4 there is no VFIO here, 125 "
	       "vfake itself broke.",
};

/* ---- writing ---- */

static void write_call(struct trace_writer *writer, const struct player *player,
		       const struct trace_call *call)
{
	const struct outcome *outcome = &player->outcome;

	trace_put_call(writer, call->name);
	for (uint32_t i = 0; i < call->arg_count; i++)
		trace_put_value(writer, &call->args[i]);
	trace_put_result(writer);
	trace_put_value(writer, &outcome->result);
	for (uint32_t i = 0; outcome->out.kind == TRACE_STRUCT && i < outcome->out.count; i++) {
		trace_put_key(writer, outcome->out.fields[i].name);
		trace_put_value(writer, &outcome->out.fields[i].value);
	}
}

static int record_call(struct trace_writer *writer, struct player *player, const struct step *step,
		       const char *comment)
{
	const char *why = "";

	if (player_step(player, step, &why)) {
		fprintf(stderr, "%s:%u:%u: %s: cannot be played: %s\n", player->plan->trace->file,
			step->call->line, step->call->column, step->call->name, why);
		return CLI_FAIL;
	}
	write_call(writer, player, step->call);
	trace_put_line(writer, comment);
	return CLI_PASS;
}

static int record_all(FILE *to, struct player *player)
{
	const struct trace *trace = player->plan->trace;
	struct trace_writer writer;
	uint32_t next_step = 0;
	int ret = CLI_PASS;

	trace_writer_file(&writer, to);
	trace_put_version(&writer, trace->version_comment);
	for (uint32_t i = 0; i < trace->item_count && ret == CLI_PASS; i++) {
		const struct trace_item *item = &trace->items[i];

		if (item->kind == TRACE_CALL)
			ret = record_call(&writer, player, &player->plan->steps[next_step++],
					  item->comment);
		else
			trace_put_item(&writer, item);
	}
	if (trace_writer_end(&writer) && ret == CLI_PASS) {
		fputs("vfake record: the trace could not be written\n", stderr);
		ret = CLI_BROKEN;
	}
	return ret;
}

static int record_on(struct machine *machine, const struct plan *plan,
		     const struct options *options)
{
	struct player *player = malloc(sizeof(*player));
	FILE *to;
	int ret = cli_open_output("vfake record", options->output, &to);

	if (!ret) {
		ret = CLI_BROKEN;
		if (player) {
			player_init(player, plan, machine);
			ret = record_all(to, player);
		}
		ret = cli_end_output("vfake record", options->output, to, ret);
	}
	free(player);
	return ret;
}

/* ---- the machine ---- */

/* Names the first thing that the script needs and this machine lacks; false when all is there. */
static bool machine_lacks(struct machine *machine, const struct trace *trace, char *what,
			  size_t size_bytes)
{
	char name[256];

	if (access("/dev/vfio/vfio", F_OK) && access("/dev/iommu", F_OK)) {
		snprintf(what, size_bytes, "neither /dev/vfio/vfio nor /dev/iommu exists");
		return true;
	}
	for (uint32_t i = 0; i < trace->device_count; i++) {
		if (!machine->bus_name(machine, trace->devices[i], name, sizeof(name))) {
			snprintf(what, size_bytes,
				 "device %s has no address; give it with --device %s=ADDRESS",
				 trace->devices[i], trace->devices[i]);
			return true;
		}
		if (!machine->group_name(machine, trace->devices[i], name, sizeof(name))) {
			snprintf(what, size_bytes, "device %s is in no IOMMU group",
				 trace->devices[i]);
			return true;
		}
	}
	return false;
}

static int record_real(const struct plan *plan, const struct options *options)
{
	struct machine machine;
	char what[512];
	int ret;

	if (machine_linux(&machine, options->bindings, options->binding_count)) {
		fputs("vfake record: out of memory\n", stderr);
		return CLI_BROKEN;
	}
	if (machine_lacks(&machine, plan->trace, what, sizeof(what))) {
		fprintf(stderr, "vfake record: no VFIO to record: %s\n", what);
		ret = CLI_SKIPPED;
	} else {
		ret = record_on(&machine, plan, options);
	}
	machine.end(&machine);
	return ret;
}

/* The world to record in. Returns CLI_PASS, or the exit code after a message. */
static int make_world(const struct plan *plan, const struct options *options,
		      struct vfake_world **world)
{
	char message[512] = "vfake record: out of memory";
	int ret;

	if (options->world) {
		ret = cli_read_world("vfake record", options->world, world);
		if (ret)
			return ret;
		ret = replay_check_world(plan, *world, message, sizeof(message));
	} else {
		*world = malloc(sizeof(**world));
		ret = *world ? replay_default_world(plan, *world, message, sizeof(message))
			     : -ENOMEM;
	}
	if (ret)
		fprintf(stderr, "%s\n", message);
	return !ret ? CLI_PASS : *world ? CLI_FAIL : CLI_BROKEN;
}

static int record_in(const struct vfake_world *world, const struct plan *plan,
		     const struct options *options)
{
	struct machine machine;
	const char *error;
	int ret;

	if (machine_vfake(&machine, world, &error)) {
		fprintf(stderr, "vfake record: the world does not start: %s\n", error);
		return CLI_BROKEN;
	}
	ret = record_on(&machine, plan, options);
	machine.end(&machine);
	return ret;
}

static int record_fake(const struct plan *plan, const struct options *options)
{
	struct vfake_world *world = NULL;
	int ret = make_world(plan, options, &world);

	if (ret == CLI_PASS)
		ret = record_in(world, plan, options);
	free(world);
	return ret;
}

int cli_record(int argc, char **argv)
{
	struct options options = { 0 };
	struct trace_error error;
	char name[] = "vfake record";
	struct trace *trace;
	struct plan *plan;
	int ret;

	argv[0] = name;
	argp_parse(&argp, argc, argv, 0, NULL, &options);
	ret = cli_read_trace("vfake record", options.script, &trace);
	if (ret)
		return ret;
	ret = plan_make(trace, &plan, &error);
	if (ret) {
		fprintf(stderr, "%s\n", error.message);
		ret = ret == -ENOMEM ? CLI_BROKEN : CLI_FAIL;
	} else {
		ret = options.fake ? record_fake(plan, &options) : record_real(plan, &options);
		plan_free(plan);
	}
	trace_free(trace);
	return ret;
}
