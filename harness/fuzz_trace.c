/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the trace reader: any bytes are read without harm, and what can be read is written as a
 * text that reads as the same trace and is written the same way again.
 */
#include "fuzz.h"
#include "trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void check_error(const struct trace_error *error, size_t size_bytes)
{
	fuzz_check(!strncmp(error->message, "t:", 2), "an error does not name the file");
	fuzz_check(!strchr(error->message, '\n'), "an error has more than one line");
	fuzz_check(error->line >= 1 && error->column >= 1, "an error has no place");
	fuzz_check(error->line <= size_bytes + 1 && error->column <= size_bytes + 1,
		   "an error lies outside the text");
}

static void check_same_calls(const struct trace *a, const struct trace *b)
{
	const struct trace_call *call = trace_next_call(a, NULL);
	const struct trace_call *other = trace_next_call(b, NULL);
	char line[128];
	uint32_t i;

	fuzz_check(a->call_count == b->call_count, "calls were lost");
	fuzz_check(a->device_count == b->device_count, "devices were lost");
	for (i = 0; i < a->device_count; i++)
		fuzz_check(!strcmp(a->devices[i], b->devices[i]), "a device changed");
	while (call && other) {
		fuzz_check(!strcmp(call->name, other->name), "a name changed");
		fuzz_check(call->arg_count == other->arg_count, "arguments were lost");
		for (i = 0; i < call->arg_count; i++)
			fuzz_check(trace_equal(&call->args[i], &other->args[i]),
				   "an argument changed");
		fuzz_check(trace_equal(&call->result, &other->result), "a result changed");
		fuzz_check(trace_check(a, call, &other->result, &other->out, line, sizeof(line)),
			   "changed fields changed");
		call = trace_next_call(a, call);
		other = trace_next_call(b, other);
	}
	fuzz_check(!call && !other, "walking missed a call");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	struct trace_writer first, second;
	struct trace_error error;
	struct trace *trace, *again;
	int ret;

	ret = trace_read("t", (const char *)data, size_bytes, &trace, &error);
	if (ret) {
		fuzz_check(ret == -EINVAL && !trace, "reading failed in another way");
		check_error(&error, size_bytes);
		return 0;
	}
	trace_writer_memory(&first);
	trace_put_trace(&first, trace);
	fuzz_check(!first.error, "writing failed");
	ret = trace_read("t", first.data, first.size_bytes, &again, &error);
	fuzz_check(!ret, "what was written cannot be read");
	check_same_calls(trace, again);
	trace_writer_memory(&second);
	trace_put_trace(&second, again);
	fuzz_check(first.size_bytes == second.size_bytes &&
			   !memcmp(first.data, second.data, first.size_bytes),
		   "writing again gives another text");
	trace_writer_end(&second);
	trace_writer_end(&first);
	trace_free(again);
	trace_free(trace);
	return 0;
}
