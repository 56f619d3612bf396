/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the tree of a trace to steps that can be played.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

/* The calls of the format: how many arguments, and of which kind each is. */
struct call_kind {
	const char *name;
	enum step_op op;
	const char *args; /* s string, f descriptor, n number, a address, b bytes, r the word `ro`;
			     ? may be left out */
};

static const struct call_kind call_kinds[] = {
	{ "ioctl", STEP_IOCTL, NULL },	  { "pread", STEP_PREAD, "fnn" },
	{ "pwrite", STEP_PWRITE, "fnb" }, { "read", STEP_READ, "f" },
	{ "open", STEP_OPEN, "s" },	  { "close", STEP_CLOSE, "f" },
	{ "mmap", STEP_MMAP, "n?r" },	  { "munmap", STEP_MUNMAP, "an" },
	{ "eventfd", STEP_EVENTFD, "" },  { "memfd", STEP_MEMFD, "n" },
	{ "memlock", STEP_MEMLOCK, "n" }, { "dup", STEP_DUP, "f" },
};

struct maker {
	struct plan *plan;
	struct trace_error *error;
	uint32_t fields_used;
};

__attribute__((format(printf, 4, 5))) static int fail(struct maker *maker, uint32_t line,
						      uint32_t column, const char *format, ...)
{
	struct trace_error *error = maker->error;
	size_t room = sizeof(error->message);
	va_list args;
	int used;

	error->line = line;
	error->column = column;
	used = snprintf(error->message, room, "%s:%u:%u: ", maker->plan->trace->file, line, column);
	if (used < 0 || (size_t)used >= room)
		return -EINVAL;
	va_start(args, format);
	vsnprintf(error->message + used, room - (size_t)used, format, args);
	va_end(args);
	return -EINVAL;
}

/* ---- plain calls ---- */

static bool is_address(const struct trace_value *value)
{
	return value->kind == TRACE_NUMBER || value->kind == TRACE_NAME;
}

static bool arg_fits(char kind, const struct trace_value *value)
{
	switch (kind) {
	case 's':
		return value->kind == TRACE_STRING;
	case 'f':
		return value->kind == TRACE_NUMBER || (value->kind == TRACE_NAME && !value->base);
	case 'n':
		return value->kind == TRACE_NUMBER;
	case 'a':
		return is_address(value);
	case 'b':
		return trace_is_bytes(value);
	default:
		return trace_is_name(value, "ro");
	}
}

static const char *kind_text(char kind)
{
	switch (kind) {
	case 's':
		return "a string";
	case 'f':
		return "a descriptor";
	case 'n':
		return "a number";
	case 'a':
		return "an address";
	case 'b':
		return "bytes in brackets";
	default:
		return "the word ro";
	}
}

static int check_args(struct maker *maker, const struct trace_call *call, const char *kinds)
{
	uint32_t index = 0;
	bool optional = false;

	for (; *kinds; kinds++) {
		if (*kinds == '?') {
			optional = true;
			continue;
		}
		if (index == call->arg_count)
			break;
		if (!arg_fits(*kinds, &call->args[index]))
			return fail(maker, call->line, call->args[index].column,
				    "%s: argument %u is not %s", call->name, index + 1,
				    kind_text(*kinds));
		index++;
	}
	if (index < call->arg_count)
		return fail(maker, call->line, call->args[index].column, "%s: too many arguments",
			    call->name);
	if (*kinds && !optional)
		return fail(maker, call->line, call->column, "%s: argument %u (%s) is missing",
			    call->name, index + 1, kind_text(*kinds));
	return 0;
}

/* A path may name devices in braces: {d0.group}, {d0.cdev}. */
static int check_path(struct maker *maker, const struct trace_call *call)
{
	const struct trace *trace = maker->plan->trace;
	const char *at = call->args[0].text;

	while ((at = strchr(at, '{'))) {
		const char *dot = strchr(at, '.'), *end = strchr(at, '}');
		bool known = false;

		if (!dot || !end || dot > end ||
		    (strncmp(dot, ".group}", 7) && strncmp(dot, ".cdev}", 6)))
			return fail(maker, call->line, call->args[0].column,
				    "open: braces hold NAME.group or NAME.cdev");
		for (uint32_t i = 0; i < trace->device_count; i++)
			known |= strlen(trace->devices[i]) == (size_t)(dot - at - 1) &&
				 !strncmp(trace->devices[i], at + 1, (size_t)(dot - at - 1));
		if (!known)
			return fail(maker, call->line, call->args[0].column,
				    "open: device %.*s is not declared", (int)(dot - at - 1),
				    at + 1);
		at = end;
	}
	return 0;
}

/* ---- ioctls ---- */

static bool value_fits(const struct uapi_field *field, const struct trace_value *value)
{
	switch (field->role) {
	case UAPI_PTR:
		return value->kind == TRACE_LIST || is_address(value);
	case UAPI_ARRAY:
		return value->kind == TRACE_LIST;
	default:
		return is_address(value);
	}
}

static bool list_fits(const struct uapi_field *field, const struct trace_value *list)
{
	uint8_t kind = TRACE_NUMBER;

	if (field->aux == UAPI_LAYOUT_BYTES || field->aux == UAPI_LAYOUT_INVALIDATE ||
	    field->aux == UAPI_LAYOUT_DEPENDENTS)
		return trace_is_bytes(list);
	if (field->aux == UAPI_LAYOUT_BITMAP)
		return !list->count && !list->digits;
	if (field->aux == UAPI_LAYOUT_IOVA_RANGES)
		kind = TRACE_RANGE;
	for (uint32_t i = 0; i < list->count; i++) {
		if (list->items[i].kind != kind &&
		    (kind == TRACE_RANGE || list->items[i].kind != TRACE_NAME))
			return false;
	}
	return list->count || !list->digits;
}

static bool number_fits(const struct uapi_field *field, const struct trace_value *value)
{
	unsigned int bits = field->width * 8u;

	if (!bits || bits == 64)
		return true;
	if (value->negative)
		return (int64_t)value->number >= -((int64_t)1 << (bits - 1));
	return !(value->number >> bits);
}

static int add_field(struct maker *maker, struct step *step, const struct trace_field *given)
{
	const struct uapi_field *field = uapi_find_field(step->row->arg, given->name);
	uint32_t line = step->call->line;

	if (!field)
		return fail(maker, line, given->column, "%s has no field %s", step->row->name,
			    given->name);
	if (!value_fits(field, &given->value))
		return fail(maker, line, given->value.column,
			    "%s: field %s cannot hold this kind of value", step->row->name,
			    given->name);
	if (given->value.kind == TRACE_LIST && !list_fits(field, &given->value))
		return fail(maker, line, given->value.column,
			    "%s: field %s cannot hold these elements", step->row->name,
			    given->name);
	if (given->value.kind == TRACE_NUMBER && !number_fits(field, &given->value))
		return fail(maker, line, given->value.column,
			    "%s: field %s has %u bytes, the number does not fit", step->row->name,
			    given->name, field->width);
	maker->plan->fields[maker->fields_used++] = (struct step_field){ field, &given->value };
	step->field_count++;
	return 0;
}

static int check_struct(struct maker *maker, struct step *step)
{
	if (step->arg->kind == TRACE_NUMBER || step->arg->kind == TRACE_NAME)
		return 0; /* a raw address */
	if (step->arg->kind != TRACE_STRUCT)
		return fail(maker, step->call->line, step->arg->column, "%s takes a struct",
			    step->row->name);
	step->fields = &maker->plan->fields[maker->fields_used];
	for (uint32_t i = 0; i < step->arg->count; i++) {
		int ret = add_field(maker, step, &step->arg->fields[i]);

		if (ret)
			return ret;
	}
	return 0;
}

/* Every field that a line promises to change must be one of the struct. */
static int check_out(struct maker *maker, const struct step *step)
{
	const struct trace_value *out = &step->call->out;

	for (uint32_t i = 0; out->kind == TRACE_STRUCT && i < out->count; i++) {
		if (!step->row || !step->row->arg ||
		    !uapi_find_field(step->row->arg, out->fields[i].name))
			return fail(maker, step->call->line, out->fields[i].column,
				    "%s has no field %s",
				    step->row ? step->row->name : step->call->name,
				    out->fields[i].name);
	}
	return 0;
}

static int check_ioctl_arg(struct maker *maker, struct step *step)
{
	const struct trace_call *call = step->call;
	const struct trace_value *arg = step->arg;

	if (step->row->law == UAPI_LAW_NONE)
		return arg ? fail(maker, call->line, arg->column, "%s takes no argument",
				  step->row->name)
			   : 0;
	if (!arg)
		return fail(maker, call->line, call->column, "%s takes an argument",
			    step->row->name);
	if (step->row->arg)
		return check_struct(maker, step);
	if (step->row->law == UAPI_LAW_STRING && arg->kind != TRACE_STRING && !is_address(arg))
		return fail(maker, call->line, arg->column, "%s takes a name in quotes",
			    step->row->name);
	if (step->row->law != UAPI_LAW_STRING && !is_address(arg))
		return fail(maker, call->line, arg->column, "%s takes a number or a name",
			    step->row->name);
	return 0;
}

static int plan_ioctl(struct maker *maker, struct step *step)
{
	const struct trace_call *call = step->call;

	if (call->arg_count < 2 || call->arg_count > 3)
		return fail(maker, call->line, call->column,
			    "ioctl takes a descriptor, a request and at most one argument");
	if (!arg_fits('f', &call->args[0]))
		return fail(maker, call->line, call->args[0].column,
			    "ioctl: argument 1 is not a descriptor");
	step->arg = trace_arg(call, 2);
	if (call->args[1].kind == TRACE_NUMBER) {
		if (step->arg && step->arg->kind != TRACE_NUMBER)
			return fail(maker, call->line, step->arg->column,
				    "a request given as a number takes a number");
		step->request = (uint32_t)call->args[1].number;
		return 0;
	}
	if (call->args[1].kind != TRACE_NAME || call->args[1].base)
		return fail(maker, call->line, call->args[1].column,
			    "ioctl: argument 2 is not a request");
	step->row = uapi_find_name(call->args[1].text);
	if (!step->row)
		return fail(maker, call->line, call->args[1].column, "unknown ioctl %s",
			    call->args[1].text);
	step->request = step->row->number;
	return check_ioctl_arg(maker, step);
}

/* ---- all of them ---- */

static int plan_call(struct maker *maker, struct step *step, const struct trace_call *call)
{
	const struct call_kind *kind = NULL;
	int ret;

	for (size_t i = 0; i < sizeof(call_kinds) / sizeof(call_kinds[0]) && !kind; i++) {
		if (!strcmp(call_kinds[i].name, call->name))
			kind = &call_kinds[i];
	}
	if (!kind)
		return fail(maker, call->line, call->column, "unknown call %s", call->name);
	*step = (struct step){ .call = call, .op = kind->op };
	ret = kind->op == STEP_IOCTL ? plan_ioctl(maker, step)
				     : check_args(maker, call, kind->args);
	if (!ret && kind->op == STEP_OPEN)
		ret = check_path(maker, call);
	return ret ? ret : check_out(maker, step);
}

static size_t count_fields(const struct trace *trace)
{
	size_t count = 1;

	for (const struct trace_call *call = NULL; (call = trace_next_call(trace, call));) {
		const struct trace_value *arg = trace_arg(call, 2);

		if (arg && arg->kind == TRACE_STRUCT)
			count += arg->count;
	}
	return count;
}

int plan_make(const struct trace *trace, struct plan **result, struct trace_error *error)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	struct maker maker = { .plan = plan, .error = error };
	int ret = 0;

	*result = NULL;
	if (plan) {
		plan->trace = trace;
		plan->steps = calloc(trace->call_count + 1, sizeof(*plan->steps));
		plan->fields = calloc(count_fields(trace), sizeof(*plan->fields));
	}
	if (!plan || !plan->steps || !plan->fields) {
		plan_free(plan);
		snprintf(error->message, sizeof(error->message), "%s: out of memory", trace->file);
		return -ENOMEM;
	}
	for (const struct trace_call *call = NULL; !ret && (call = trace_next_call(trace, call));)
		ret = plan_call(&maker, &plan->steps[plan->step_count++], call);
	if (ret)
		plan_free(plan);
	else
		*result = plan;
	return ret;
}

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	free(plan->steps);
	free(plan->fields);
	free(plan);
}
