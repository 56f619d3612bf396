/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making traces and judging calls: the writer's pieces, when two values mean the same, and the line
 * that says how a call differs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

/* A line of a trace, given behind the version; the caller frees the trace. */
static struct trace *read_lines(const char *lines)
{
	char text[4096];
	struct trace_error error = { .line = 0 };
	struct trace *trace;

	snprintf(text, sizeof(text), "trace 1\n%s", lines);
	if (trace_read("t", text, strlen(text), &trace, &error))
		fail_msg("%s", error.message);
	return trace;
}

static void put_unmap(struct trace_writer *writer)
{
	trace_put_call(writer, "ioctl");
	trace_put_name(writer, "c0");
	trace_put_name(writer, "VFIO_IOMMU_UNMAP_DMA");
	trace_put_struct(writer);
	trace_put_key(writer, "vaddr");
	trace_put_offset(writer, "m0", 0x1000);
	trace_put_key(writer, "size");
	trace_put_number(writer, 0x2000, 16);
	trace_put_end(writer);
	trace_put_result(writer);
	trace_put_number(writer, 0, 10);
	trace_put_key(writer, "size");
	trace_put_number(writer, 0x1000, 16);
	trace_put_key(writer, "r");
	trace_put_list(writer);
	trace_put_range(writer, 0, 0xfff);
	trace_put_signed(writer, -1);
	trace_put_end(writer);
	trace_put_line(writer, " # seen");
}

static const char unmap_line[] =
	"ioctl(c0, VFIO_IOMMU_UNMAP_DMA, {vaddr=m0+0x1000, size=0x2000}) = 0 "
	"{size=0x1000, r=[0x0-0xfff -1]} # seen\n";

static void writing_from_pieces(void **state)
{
	struct trace_writer writer;

	(void)state;
	trace_writer_memory(&writer);
	trace_put_version(&writer, NULL);
	trace_put_device(&writer, "d0");
	put_unmap(&writer);
	trace_put_call(&writer, "open");
	trace_put_string(&writer, "a\"\n\x01");
	trace_put_line(&writer, NULL);
	trace_put_call(&writer, "pread");
	trace_put_result(&writer);
	trace_put_bytes(&writer, "\x0a\xff", 2);
	trace_put_line(&writer, NULL);
	trace_put_call(&writer, "close");
	trace_put_result(&writer);
	trace_put_errno(&writer, EBADF);
	trace_put_line(&writer, NULL);
	assert_int_equal(writer.error, 0);
	assert_true(!strncmp(writer.data + 18, unmap_line, strlen(unmap_line)));
	assert_string_equal(writer.data + 18 + strlen(unmap_line),
			    "open(\"a\\\"\\n\\x01\")\npread() = [0aff]\nclose() = -EBADF\n");
	assert_int_equal(trace_writer_end(&writer), 0);
}

static void writing_to_a_file(void **state)
{
	struct trace_writer writer;
	char *text = NULL;
	size_t size_bytes;
	FILE *file = open_memstream(&text, &size_bytes);

	(void)state;
	assert_non_null(file);
	trace_writer_file(&writer, file);
	put_unmap(&writer);
	put_unmap(&writer);
	assert_int_equal(trace_writer_end(&writer), 0);
	fclose(file);
	assert_int_equal(size_bytes, 2 * strlen(unmap_line));
	assert_string_equal(text + strlen(unmap_line), unmap_line);
	free(text);

	file = fopen("/dev/full", "w");
	assert_non_null(file);
	setvbuf(file, NULL, _IONBF, 0);
	trace_writer_file(&writer, file);
	put_unmap(&writer);
	assert_int_equal(trace_writer_end(&writer), -EIO);
	fclose(file);
}

static void pieces_out_of_order(void **state)
{
	struct trace_writer writer;
	unsigned int i;

	(void)state;
	for (i = 0; i < 6; i++) {
		trace_writer_memory(&writer);
		trace_put_call(&writer, "x");
		if (i == 0)
			trace_put_key(&writer, "a");
		else if (i == 1)
			trace_put_end(&writer);
		else if (i == 2)
			trace_put_struct(&writer), trace_put_line(&writer, NULL);
		else if (i == 3)
			trace_put_result(&writer), trace_put_line(&writer, NULL);
		else if (i == 4)
			trace_put_call(&writer, "y");
		else
			trace_put_errno(&writer, 4095);
		assert_int_equal(trace_writer_end(&writer), -EINVAL);
	}
	trace_writer_memory(&writer);
	for (i = 0; i < 100; i++)
		trace_put_list(&writer);
	assert_int_equal(trace_writer_end(&writer), -EINVAL);
}

static void equality(void **state)
{
	static const char *const same[] = {
		"x(16, 0x10)",
		"x({a=1, b=2}, {b=0x2, a=1})",
		"x([0A], [0a])",
		"x([10], [10])",
		"x([0x0-0xf], [0-15])",
		"x(m0+16, m0+0x10)",
		"x(\"A\", \"\\x41\")",
		"x([], [])",
		"x(-1, 0xffffffffffffffff)",
	};
	static const char *const different[] = {
		"x(16, 17)",	   "x({a=1}, {a=1, b=2})",
		"x({a=1}, {b=1})", "x([0a], [0a0a])",
		"x([1 2], [2 1])", "x([], [0a])",
		"x(m0, m0+0x0)",   "x(m0, m1)",
		"x(\"a\", a)",	   "x([0x0-0xf], [0x0-0xe])",
		"x([1], [1 1])",   "x(\"a\", \"ab\")",
		"x([], [1])",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		struct trace *trace = read_lines(same[i]);
		const struct trace_call *call = trace_next_call(trace, NULL);

		assert_true(trace_equal(&call->args[0], &call->args[1]));
		assert_true(trace_equal(&call->args[1], &call->args[0]));
		trace_free(trace);
	}
	for (i = 0; i < sizeof(different) / sizeof(different[0]); i++) {
		struct trace *trace = read_lines(different[i]);
		const struct trace_call *call = trace_next_call(trace, NULL);

		assert_false(trace_equal(&call->args[0], &call->args[1]));
		assert_false(trace_equal(&call->args[1], &call->args[0]));
		assert_false(trace_equal(&call->args[0], NULL));
		trace_free(trace);
	}
	assert_true(trace_equal(NULL, NULL));
}

static void mismatch_lines(void **state)
{
	struct trace *trace = read_lines("ioctl(c0, VFIO_IOMMU_UNMAP_DMA, {size=0x2000}) = 0 "
					 "{size=0x1000}\nclose(c0) = -EBADF\nclose(c0)\n");
	const struct trace_call *unmap = trace_next_call(trace, NULL);
	const struct trace_call *last = trace_next_call(trace, unmap);
	struct trace_value zero = trace_make_number(0, 10);
	struct trace_value error = trace_make_errno(EINVAL);
	struct trace_field fields[] = { { .name = "size", .value = trace_make_number(0x1000, 16) },
					{ .name = "extra", .value = trace_make_signed(-5) } };
	struct trace_value out = trace_make_struct(fields, 1);
	char line[256] = "";

	(void)state;
	assert_true(trace_check(trace, unmap, &zero, &out, line, sizeof(line)));
	assert_string_equal(line, "");
	assert_false(trace_check(trace, unmap, &error, &out, line, sizeof(line)));
	assert_string_equal(line, "t:2:50: ioctl VFIO_IOMMU_UNMAP_DMA: result: expected 0, "
				  "got -EINVAL");
	assert_false(trace_check(trace, unmap, &zero, NULL, line, sizeof(line)));
	assert_string_equal(line, "t:2:58: ioctl VFIO_IOMMU_UNMAP_DMA: size: expected 0x1000, "
				  "got no change");
	fields[0].value.number = 0;
	assert_false(trace_check(trace, unmap, &zero, &out, line, sizeof(line)));
	assert_non_null(strstr(line, "size: expected 0x1000, got 0x0"));
	fields[0].value.number = 0x1000;
	out.count = 2;
	assert_false(trace_check(trace, unmap, &zero, &out, line, sizeof(line)));
	assert_string_equal(line, "t:2:52: ioctl VFIO_IOMMU_UNMAP_DMA: extra: expected no change, "
				  "got -5");
	assert_false(trace_check(trace, last, &zero, NULL, line, 20));
	assert_string_equal(line, "t:3:13: close: resu");
	assert_true(trace_check(trace, trace_next_call(trace, last), &error, NULL, line, 20));
	zero = trace_make_name("c0");
	assert_false(trace_check(trace, last, &zero, NULL, line, sizeof(line)));
	assert_string_equal(line, "t:3:13: close: result: expected -EBADF, got c0");
	trace_free(trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writing_from_pieces), cmocka_unit_test(writing_to_a_file),
		cmocka_unit_test(pieces_out_of_order), cmocka_unit_test(equality),
		cmocka_unit_test(mismatch_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
