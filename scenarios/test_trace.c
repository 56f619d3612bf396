/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trace format: what is read is written back byte for byte, every malformed text is refused at
 * the place where it is wrong, and each kind of value is understood.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "errnos.h"
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

static char *read_all(const char *path, size_t *size_bytes)
{
	FILE *file = fopen(path, "rb");
	struct stat status;
	char *text;

	assert_non_null(file);
	assert_int_equal(fstat(fileno(file), &status), 0);
	*size_bytes = (size_t)status.st_size;
	text = malloc(*size_bytes + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, *size_bytes, file), *size_bytes);
	fclose(file);
	text[*size_bytes] = 0;
	return text;
}

static void assert_rewritten(const struct trace *trace, const char *text, size_t size_bytes)
{
	struct trace_writer writer;

	trace_writer_memory(&writer);
	trace_put_trace(&writer, trace);
	assert_int_equal(writer.error, 0);
	assert_int_equal(writer.size_bytes, size_bytes);
	assert_memory_equal(writer.data, text, size_bytes);
	assert_int_equal(trace_writer_end(&writer), 0);
}

static void assert_lines_rewritten(const char *lines, const char *expected)
{
	struct trace *trace = read_lines(lines);
	char text[4096];

	snprintf(text, sizeof(text), "trace 1\n%s", expected);
	assert_rewritten(trace, text, strlen(text));
	trace_free(trace);
}

static void recordings_round_trip(void **state)
{
	DIR *directory = opendir(TRACE_GOLDEN_DIR);
	unsigned int files = 0;
	struct dirent *entry;

	(void)state;
	assert_non_null(directory);
	while ((entry = readdir(directory))) {
		const size_t length = strlen(entry->d_name);
		struct trace_error error;
		struct trace *trace;
		size_t size_bytes;
		char path[1024];
		char *text;

		if (length < 6 || strcmp(entry->d_name + length - 6, ".trace") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", TRACE_GOLDEN_DIR, entry->d_name);
		if (trace_read_file(path, &trace, &error))
			fail_msg("%s", error.message);
		assert_true(trace->call_count > 0);
		text = read_all(path, &size_bytes);
		assert_rewritten(trace, text, size_bytes);
		free(text);
		trace_free(trace);
		files++;
	}
	closedir(directory);
	assert_true(files > 0);
}

/* "FILE\tLINE\tCOLUMN\tTEXT" against what the reader says. Returns whether they agree. */
static bool check_malformed(char *row)
{
	char *rest = row;
	const char *name = strsep(&rest, "\t");
	const unsigned long line = strtoul(strsep(&rest, "\t"), NULL, 10);
	const unsigned long column = strtoul(strsep(&rest, "\t"), NULL, 10);
	struct trace_error error = { .line = 0 };
	struct trace *trace;
	char prefix[1100];
	char path[1024];
	int ret;

	snprintf(path, sizeof(path), "%s/%s", TRACE_MALFORMED_DIR, name);
	ret = trace_read_file(path, &trace, &error);
	if (!ret)
		trace_free(trace);
	snprintf(prefix, sizeof(prefix), "%s:%u:%u: ", path, error.line, error.column);
	if (ret == -EINVAL && !trace && error.line == line && (!column || error.column == column) &&
	    !strncmp(error.message, prefix, strlen(prefix)) &&
	    strstr(error.message + strlen(prefix), rest) && !strchr(error.message, '\n'))
		return true;
	print_error("%s: promised %lu:%lu with \"%s\", got %d: %s\n", name, line, column, rest, ret,
		    ret ? error.message : "no error");
	return false;
}

static void malformed_files_are_refused_in_place(void **state)
{
	unsigned int files = 0;
	unsigned int wrong = 0;
	size_t size_bytes;
	char *index = read_all(TRACE_MALFORMED_DIR "/index.tsv", &size_bytes);
	char *rest = index;
	char *row;

	(void)state;
	while ((row = strsep(&rest, "\n"))) {
		if (!*row)
			continue;
		files++;
		wrong += !check_malformed(row);
	}
	free(index);
	assert_true(files >= 250);
	assert_int_equal(wrong, 0);
}

static void numbers(void **state)
{
	struct trace *trace = read_lines("x(7, 0x7F, -1, -0x10, 18446744073709551615, "
					 "-9223372036854775808, 0x000000000000000000001, 0)\n");
	const struct trace_call *call = trace_next_call(trace, NULL);
	static const uint64_t wanted[] = {
		7, 0x7f, UINT64_MAX, -UINT64_C(16), UINT64_MAX, UINT64_C(1) << 63, 1, 0
	};
	static const uint8_t bases[] = { 10, 16, 10, 16, 10, 10, 16, 10 };
	uint64_t number;
	uint32_t i;

	(void)state;
	assert_int_equal(call->arg_count, 8);
	for (i = 0; i < 8; i++) {
		assert_true(trace_is_number(trace_arg(call, i), &number));
		assert_true(number == wanted[i]);
		assert_int_equal(call->args[i].base, bases[i]);
	}
	assert_true(call->args[2].negative);
	assert_false(call->args[4].negative);
	assert_int_equal(call->args[1].column, 6);
	assert_null(trace_arg(call, 8));
	assert_false(trace_is_number(NULL, &number));
	trace_free(trace);
	assert_lines_rewritten("x(-0, 0xFF, 0x0ff, -1, -0x1)\n", "x(0, 0xff, 0xff, -1, -0x1)\n");
}

static void names_and_strings(void **state)
{
	struct trace *trace =
		read_lines("x(c0, m0+0x10, ro, \"a\\\"\\\\\\n\\t\\x7f\\xe9#\", \"\")\n");
	const struct trace_call *call = trace_next_call(trace, NULL);

	(void)state;
	assert_string_equal(call->name, "x");
	assert_true(trace_is_name(&call->args[0], "c0"));
	assert_false(trace_is_name(&call->args[0], "c"));
	assert_string_equal(call->args[1].text, "m0");
	assert_int_equal(call->args[1].offset, 0x10);
	assert_int_equal(call->args[1].base, 16);
	assert_false(trace_is_name(&call->args[1], "m0"));
	assert_true(trace_is_name(&call->args[2], "ro"));
	assert_int_equal(call->args[3].kind, TRACE_STRING);
	assert_string_equal(call->args[3].text, "a\"\\\n\t\x7f\xe9#");
	assert_int_equal(call->args[3].count, strlen(call->args[3].text));
	assert_string_equal(call->args[4].text, "");
	trace_free(trace);
	assert_lines_rewritten("x(\"\\\"\\\\\\n\\t\\x7f\\x1b\\xe9\\x41\", m0+0, m0+0x0)\n",
			       "x(\"\\\"\\\\\\n\\t\\x7f\\x1b\xe9"
			       "A\", m0+0, m0+0x0)\n");
}

static void structs(void **state)
{
	struct trace *trace =
		read_lines("ioctl(c0, X, {a=1, ddw.levels=0x5, b={c=[1 2]}, e={}}) = 0 "
			   "{size=0x1000}\n");
	const struct trace_call *call = trace_next_call(trace, NULL);
	const struct trace_value *argument = trace_arg(call, 2);
	uint64_t number;

	(void)state;
	assert_int_equal(argument->count, 4);
	assert_true(trace_is_number(trace_get(argument, "ddw.levels"), &number));
	assert_int_equal(number, 5);
	assert_int_equal(argument->fields[1].column, 20);
	assert_int_equal(trace_get(argument, "ddw.levels")->column, 31);
	assert_null(trace_get(argument, "ddw"));
	assert_null(trace_get(argument, "levels"));
	assert_null(trace_get(&call->args[0], "a"));
	assert_null(trace_get(NULL, "a"));
	assert_int_equal(trace_get(trace_get(argument, "b"), "c")->items[1].number, 2);
	assert_int_equal(trace_get(argument, "e")->count, 0);
	assert_true(trace_is_number(trace_get(&call->out, "size"), &number));
	assert_int_equal(number, 0x1000);
	trace_free(trace);
}

static void lists_and_bytes(void **state)
{
	struct trace *trace = read_lines("x([e0 -1], [0x0-0xfff 16-17], [0a01FF], [], [10], [e0], "
					 "[99999999999999999999], [m0+0x10 {a=1}])\n");
	const struct trace_call *call = trace_next_call(trace, NULL);
	const struct trace_value *list = call->args;
	uint8_t bytes[16] = { 0 };

	(void)state;
	assert_int_equal(list[0].count, 2);
	assert_false(trace_is_bytes(&list[0]));
	assert_int_equal(trace_bytes(&list[0], bytes, sizeof(bytes)), 0);
	assert_true(trace_is_name(&list[0].items[0], "e0"));
	assert_true(list[0].items[1].negative);
	assert_int_equal(list[1].items[0].kind, TRACE_RANGE);
	assert_int_equal(list[1].items[0].last, 0xfff);
	assert_int_equal(list[1].items[1].number, 16);
	assert_int_equal(trace_bytes(&list[2], bytes, 2), 3);
	assert_memory_equal(bytes, "\x0a\x01\x00", 3);
	assert_int_equal(trace_bytes(&list[2], bytes, sizeof(bytes)), 3);
	assert_memory_equal(bytes, "\x0a\x01\xff", 3);
	assert_int_equal(list[2].count, 0);
	assert_true(trace_is_bytes(&list[3]));
	assert_int_equal(trace_bytes(&list[3], NULL, 0), 0);
	assert_int_equal(list[4].items[0].number, 10);
	assert_int_equal(trace_bytes(&list[4], bytes, 16), 1);
	assert_int_equal(bytes[0], 0x10);
	assert_true(trace_is_name(&list[5].items[0], "e0"));
	assert_int_equal(trace_bytes(&list[5], bytes, 16), 1);
	assert_int_equal(bytes[0], 0xe0);
	assert_int_equal(list[6].count, 0);
	assert_int_equal(trace_bytes(&list[6], bytes, 16), 10);
	assert_int_equal(list[7].items[0].offset, 0x10);
	assert_int_equal(list[7].items[1].kind, TRACE_STRUCT);
	assert_false(trace_is_bytes(NULL));
	trace_free(trace);
}

static void results(void **state)
{
	struct trace *trace =
		read_lines("a() = 3\nb() = -1\nc() = -EEXIST\nd() = m0\ne() = [0a01]\n"
			   "f()\ng() = []\n");
	const struct trace_call *call = trace_next_call(trace, NULL);
	static const uint8_t kinds[] = { TRACE_NUMBER, TRACE_NUMBER, TRACE_ERRNO, TRACE_NAME,
					 TRACE_LIST,   TRACE_NONE,   TRACE_LIST };
	uint32_t i;

	(void)state;
	assert_int_equal(trace->call_count, 7);
	for (i = 0; i < 7; i++) {
		assert_int_equal(call->result.kind, kinds[i]);
		assert_int_equal(call->line, i + 2);
		assert_int_equal(call->out.kind, TRACE_NONE);
		if (i == 2)
			assert_int_equal(call->result.error, EEXIST);
		call = trace_next_call(trace, call);
	}
	assert_null(call);
	trace_free(trace);
}

static void comments_blanks_and_devices_stay(void **state)
{
	static const char text[] =
		"# head\n\n  # more \n\t\ndevice d0  # first\ndevice d1\n\nclose(c0)\t# a\n"
		"close(c1) = 0 # \xc3\xa9\n#";
	struct trace *trace = read_lines(text);

	(void)state;
	assert_int_equal(trace->device_count, 2);
	assert_string_equal(trace->devices[0], "d0");
	assert_string_equal(trace->devices[1], "d1");
	assert_int_equal(trace->items[0].kind, TRACE_TEXT);
	assert_int_equal(trace->items[1].line, 6);
	assert_string_equal(trace->items[1].comment, "  # first");
	assert_int_equal(trace->line_count, 11);
	trace_free(trace);
	assert_lines_rewritten("# a\n\n  # b\ndevice d0  # c\nclose(c0)\t# d\n#",
			       "# a\n\n  # b\ndevice d0  # c\nclose(c0)\t# d\n#\n");
	assert_lines_rewritten("  device\td0\n x ( 1 ,{ a = 1 } , [ 1 2 ] )=0{ b = 2 }  \n",
			       "device d0\nx(1, {a=1}, [1 2]) = 0 {b=2}\n");
	assert_lines_rewritten("device d0#x\nclose(c0)#y", "device d0#x\nclose(c0)#y\n");
}

static void texts_that_are_legal(void **state)
{
	static const char *const texts[] = { "trace 1", "trace 1\n", "trace 1   # format\n\n",
					     "trace\t1\n" };
	struct trace_error error;
	struct trace *trace;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(trace_read("t", texts[i], strlen(texts[i]), &trace, &error), 0);
		assert_int_equal(trace->call_count, 0);
		assert_null(trace_next_call(trace, NULL));
		trace_free(trace);
	}
	trace_free(NULL);
}

static void deepest_nest_and_longest_line(void **state)
{
	const size_t limit = TRACE_LINE_MAX_BYTES;
	struct trace_error error;
	struct trace *trace;
	char *text;

	(void)state;
	trace_free(read_lines("x([[[[[[[[1]]]]]]]])\n"));
	text = malloc(limit + 16);
	assert_non_null(text);
	memcpy(text, "trace 1\n#", 9);
	memset(text + 9, 'x', limit);
	assert_int_equal(trace_read("t", text, 8 + limit, &trace, &error), 0);
	trace_free(trace);
	assert_int_equal(trace_read("t", text, 9 + limit, &trace, &error), -EINVAL);
	assert_int_equal(error.column, limit + 1);
	free(text);
}

static void files_that_cannot_be_read(void **state)
{
	char sparse[] = "/tmp/vfake-trace-XXXXXX";
	struct trace_error error;
	struct trace *trace;
	int fd;

	(void)state;
	assert_int_equal(trace_read_file("/no/such/file", &trace, &error), -ENOENT);
	assert_string_equal(error.message, "/no/such/file: No such file or directory");
	assert_int_equal(error.line, 0);
	assert_int_equal(trace_read_file("/", &trace, &error), -EISDIR);
	assert_string_equal(error.message, "/: Is a directory");
	fd = mkstemp(sparse);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)TRACE_FILE_MAX_BYTES + 1), 0);
	assert_int_equal(trace_read_file(sparse, &trace, &error), -EFBIG);
	assert_non_null(strstr(error.message, ": larger than 256 MiB"));
	assert_null(trace);
	if (geteuid()) {
		assert_int_equal(fchmod(fd, 0), 0);
		assert_int_equal(trace_read_file(sparse, &trace, &error), -EACCES);
	}
	close(fd);
	unlink(sparse);
}

static void errno_names(void **state)
{
	unsigned int known = 0;
	int number;

	(void)state;
	for (number = -1; number < 5000; number++) {
		const char *name = errno_name(number);

		if (!name)
			continue;
		known++;
		assert_int_equal(errno_by_name(name, strlen(name)), number);
		assert_int_not_equal(errno_by_name(name, strlen(name) - 1), number);
	}
	assert_int_equal(known, 131);
	assert_string_equal(errno_name(EINVAL), "EINVAL");
	assert_int_equal(errno_by_name("EFAULTY", 6), EFAULT);
	assert_int_equal(errno_by_name("EFAULTY", 7), 0);
	assert_int_equal(errno_by_name("", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recordings_round_trip),
		cmocka_unit_test(malformed_files_are_refused_in_place),
		cmocka_unit_test(numbers),
		cmocka_unit_test(names_and_strings),
		cmocka_unit_test(structs),
		cmocka_unit_test(lists_and_bytes),
		cmocka_unit_test(results),
		cmocka_unit_test(comments_blanks_and_devices_stay),
		cmocka_unit_test(texts_that_are_legal),
		cmocka_unit_test(deepest_nest_and_longest_line),
		cmocka_unit_test(files_that_cannot_be_read),
		cmocka_unit_test(errno_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
