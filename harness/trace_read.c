/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a trace, the lines: the version, comments, declarations, files. Calls are read by
 * trace_parse.c. Everything that is kept lives in one arena, so that freeing is one walk and
 * reading allocates about once in 64 KiB.
 */
#include "trace_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct trace_chunk {
	struct trace_chunk *next;
	size_t used_bytes;
	size_t size_bytes;
	max_align_t data[];
};

struct trace_arena {
	struct trace_chunk *chunks; /* the one in use first */
	size_t size_bytes;	    /* of all chunks */
	char *text;
};

void *trace_alloc(struct trace *trace, size_t size_bytes)
{
	struct trace_chunk *chunk = trace->arena->chunks;
	const size_t alignment = sizeof(max_align_t) > 16 ? 16 : sizeof(max_align_t);
	const size_t rounded = (size_bytes + alignment - 1) / alignment * alignment;
	size_t wanted;
	void *memory;

	if (!chunk || chunk->size_bytes - chunk->used_bytes < rounded) {
		wanted = chunk ? 2 * chunk->size_bytes : 32u << 10;
		if (wanted > 1u << 20)
			wanted = 1u << 20;
		if (wanted < rounded)
			wanted = rounded;
		if (wanted > TRACE_TREE_MAX_BYTES - trace->arena->size_bytes)
			return NULL;
		chunk = malloc(sizeof(*chunk) + wanted);
		if (!chunk)
			return NULL;
		trace->arena->size_bytes += wanted;
		chunk->next = trace->arena->chunks;
		chunk->used_bytes = 0;
		chunk->size_bytes = wanted;
		trace->arena->chunks = chunk;
	}
	memory = (char *)chunk->data + chunk->used_bytes;
	chunk->used_bytes += rounded;
	return memory;
}

static char *copy_text(struct trace *trace, const char *text, size_t length)
{
	char *copy = trace_alloc(trace, length + 1);

	if (!copy)
		return NULL;
	memcpy(copy, text, length);
	copy[length] = 0;
	return copy;
}

/* Make room for element number @count in a malloc'ed array, whose pointer is at @array. */
int trace_reserve(void *array, size_t *capacity, size_t count, size_t element_bytes)
{
	size_t wanted = *capacity ? 2 * *capacity : 64;
	void *old, *grown;

	if (count < *capacity)
		return 0;
	memcpy(&old, array, sizeof(old));
	grown = reallocarray(old, wanted, element_bytes);
	if (!grown)
		return -ENOMEM;
	memcpy(array, &grown, sizeof(grown));
	*capacity = wanted;
	return 0;
}

int trace_fail(struct trace_reader *reader, const char *at, const char *format, ...)
{
	struct trace_error *error = reader->error;
	va_list arguments;
	int used;

	error->line = reader->line;
	error->column = (uint32_t)(at - reader->line_start) + 1;
	used = snprintf(error->message, sizeof(error->message), "%.200s:%" PRIu32 ":%" PRIu32 ": ",
			reader->file, error->line, error->column);
	va_start(arguments, format);
	vsnprintf(error->message + used, sizeof(error->message) - (size_t)used, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* How long is the word at @at, or the single byte that stands there instead of one? */
static int shown_length(const char *at)
{
	int length = 0;

	while (length < 40 &&
	       (trace_is_word_start(at[length]) || (at[length] >= '0' && at[length] <= '9')))
		length++;
	return length ? length : 1;
}

int trace_expected(struct trace_reader *reader, const char *what)
{
	const char *at = reader->at;
	const unsigned char byte = (unsigned char)*at;

	if (at == reader->end)
		return trace_fail(reader, at, "expected %s before the end of the line", what);
	if (byte == '\r')
		return trace_fail(reader, at,
				  "carriage return: a line ends with a line feed alone");
	if (byte < ' ' || byte > '~')
		return trace_fail(reader, at, "expected %s, got the byte 0x%02x", what, byte);
	return trace_fail(reader, at, "expected %s, got '%.*s'", what, shown_length(at), at);
}

void trace_blanks(struct trace_reader *reader)
{
	while (*reader->at == ' ' || *reader->at == '\t')
		reader->at++;
}

static int check_comment(struct trace_reader *reader, const char *at)
{
	for (; at != reader->end; at++) {
		if (*at == '\r')
			return trace_fail(reader, at,
					  "carriage return: a line ends with a line feed alone");
		if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7f)
			return trace_fail(reader, at, "the byte 0x%02x in a comment",
					  (unsigned char)*at);
	}
	return 0;
}

/* What may follow on a line: nothing, or a comment, which is kept with the blanks before it. */
static int finish_line(struct trace_reader *reader, const char *what, const char **comment)
{
	const char *start = reader->at;
	int ret;

	*comment = NULL;
	while (start[-1] == ' ' || start[-1] == '\t')
		start--;
	trace_blanks(reader);
	if (reader->at == reader->end)
		return 0;
	if (*reader->at != '#')
		return trace_expected(reader, what);
	ret = check_comment(reader, reader->at);
	if (ret)
		return ret;
	*comment = copy_text(reader->trace, start, (size_t)(reader->end - start));
	return *comment ? 0 : -ENOMEM;
}

static struct trace_item *add_item(struct trace_reader *reader, enum trace_item_kind kind)
{
	struct trace *trace = reader->trace;
	size_t capacity = trace->item_capacity;
	struct trace_item *item;

	if (trace->item_count == TRACE_ITEMS_MAX ||
	    trace_reserve(&trace->items, &capacity, trace->item_count, sizeof(*item)))
		return NULL;
	trace->item_capacity = (uint32_t)capacity;
	item = &trace->items[trace->item_count++];
	memset(item, 0, sizeof(*item));
	item->kind = kind;
	item->line = reader->line;
	item->column = (uint32_t)(reader->at - reader->line_start) + 1;
	return item;
}

static int read_version(struct trace_reader *reader)
{
	const char *version;
	size_t length;

	if (strncmp(reader->at, "trace", 5) != 0 ||
	    (reader->at[5] != ' ' && reader->at[5] != '\t' && reader->at + 5 != reader->end))
		return trace_expected(reader, "the first line \"trace 1\"");
	reader->at += 5;
	trace_blanks(reader);
	version = reader->at;
	length = strspn(version, "0123456789");
	if (!length)
		return trace_expected(reader, "the version, a number,");
	if (length != 1 || *version != '1')
		return trace_fail(reader, version,
				  "version %.*s of the format is not known, only version %u is",
				  length > 40 ? 40 : (int)length, version, TRACE_VERSION);
	reader->at += length;
	return finish_line(reader, "the end of the line", &reader->trace->version_comment);
}

/* Comments and blank lines are kept as they are, a run of them as one item. */
static int read_text(struct trace_reader *reader)
{
	struct trace *trace = reader->trace;
	struct trace_item *item = NULL;
	const char *stop = reader->end + 1;
	int ret;

	if (*reader->at == '#') {
		ret = check_comment(reader, reader->at);
		if (ret)
			return ret;
	}
	*reader->end = '\n';
	if (trace->item_count)
		item = &trace->items[trace->item_count - 1];
	if (!item || item->kind != TRACE_TEXT) {
		item = add_item(reader, TRACE_TEXT);
		if (!item)
			return -ENOMEM;
		item->column = 1;
		item->text = reader->line_start;
	}
	item->length_bytes = (uint32_t)(stop - item->text);
	return 0;
}

static int read_device(struct trace_reader *reader)
{
	struct trace *trace = reader->trace;
	struct trace_item *item;
	const char *place;
	const char *name;
	uint32_t i;
	int ret;

	if (trace->call_count)
		return trace_fail(reader, reader->at, "a device is declared before the first call");
	item = add_item(reader, TRACE_DEVICE);
	if (!item)
		return -ENOMEM;
	reader->at += strlen("device");
	trace_blanks(reader);
	place = reader->at;
	ret = trace_parse_name(reader, &name, "the name of a device");
	if (ret)
		return ret;
	item->text = name;
	item->length_bytes = (uint32_t)(reader->at - place);
	ret = finish_line(reader, "the end of the line", &item->comment);
	if (ret)
		return ret;
	for (i = 0; i < trace->device_count; i++)
		if (strlen(trace->devices[i]) == item->length_bytes &&
		    !strncmp(trace->devices[i], name, item->length_bytes))
			return trace_fail(reader, place, "device %.*s is declared twice",
					  shown_length(place), place);
	if (trace->device_count == TRACE_DEVICES_MAX)
		return trace_fail(reader, place, "more than %u devices", TRACE_DEVICES_MAX);
	if (!trace->devices)
		trace->devices = trace_alloc(trace, TRACE_DEVICES_MAX * sizeof(*trace->devices));
	if (!trace->devices)
		return -ENOMEM;
	trace->devices[trace->device_count++] = name;
	return 0;
}

static int read_call(struct trace_reader *reader)
{
	struct trace *trace = reader->trace;
	struct trace_call *call = trace_alloc(trace, sizeof(*call));
	struct trace_item *item = add_item(reader, TRACE_CALL);
	int ret;

	if (!call || !item)
		return -ENOMEM;
	memset(call, 0, sizeof(*call));
	call->line = item->line;
	call->column = item->column;
	call->item = trace->item_count - 1;
	item->call = call;
	ret = trace_parse_call(reader, call);
	if (ret)
		return ret;
	trace->call_count++;
	return finish_line(reader,
			   call->out.kind		     ? "the end of the line"
			   : call->result.kind == TRACE_NONE ? "\"=\" and a result"
							     : "\"{\" or the end of the line",
			   &item->comment);
}

static bool is_device_line(const char *at)
{
	return !strncmp(at, "device", 6) && !trace_is_word_start(at[6]) &&
	       (at[6] < '0' || at[6] > '9');
}

static int read_line(struct trace_reader *reader)
{
	size_t i;
	int ret;

	if (reader->end - reader->line_start > (ptrdiff_t)TRACE_LINE_MAX_BYTES)
		return trace_fail(reader, reader->line_start + TRACE_LINE_MAX_BYTES,
				  "the line is longer than %u bytes", TRACE_LINE_MAX_BYTES);
	if (reader->line == 1)
		return read_version(reader);
	trace_blanks(reader);
	if (*reader->at == '#' || reader->at == reader->end)
		return read_text(reader);
	if (is_device_line(reader->at))
		ret = read_device(reader);
	else
		ret = read_call(reader);
	if (ret)
		return ret;
	for (i = 0; i < reader->stop_count; i++)
		*reader->stops[i] = 0;
	reader->stop_count = 0;
	return 0;
}

static int read_lines(struct trace_reader *reader, char *text, size_t size_bytes)
{
	char *const text_end = text + size_bytes;
	char *newline;
	int ret;

	reader->line_start = text;
	do {
		newline = memchr(reader->line_start, '\n', (size_t)(text_end - reader->line_start));
		reader->at = reader->line_start;
		reader->end = newline ? newline : text_end;
		*reader->end = 0;
		reader->line++;
		ret = read_line(reader);
		if (ret)
			return ret;
		reader->line_start = reader->end + 1;
	} while (reader->line_start < text_end);
	reader->trace->line_count = reader->line;
	return 0;
}

static int whole_file_error(struct trace_error *error, const char *file, int number,
			    const char *why)
{
	error->line = 0;
	error->column = 0;
	snprintf(error->message, sizeof(error->message), "%.200s: %s", file,
		 why ? why : strerror(number));
	return -number;
}

/* The text or its tree is too much for this machine, or for the limits in trace.h. */
static int out_of_memory(struct trace_error *error, const char *file)
{
	return whole_file_error(error, file, ENOMEM, "not enough memory for this trace");
}

static struct trace *new_trace(const char *file)
{
	struct trace *trace = calloc(1, sizeof(*trace));

	if (!trace)
		return NULL;
	trace->arena = calloc(1, sizeof(*trace->arena));
	if (trace->arena)
		trace->file = copy_text(trace, file, strlen(file));
	if (trace->file)
		return trace;
	trace_free(trace);
	return NULL;
}

/* Takes over @text, which has room for one byte more. */
static int read_owned(const char *file, char *text, size_t size_bytes, struct trace **trace,
		      struct trace_error *error)
{
	struct trace_reader reader = { .error = error, .file = file };
	int ret = -ENOMEM;

	reader.trace = new_trace(file);
	if (reader.trace) {
		reader.trace->arena->text = text;
		ret = read_lines(&reader, text, size_bytes);
	} else {
		free(text);
	}
	free(reader.stops);
	free(reader.values);
	free(reader.fields);
	if (!ret) {
		*trace = reader.trace;
		return 0;
	}
	trace_free(reader.trace);
	return ret == -ENOMEM ? out_of_memory(error, file) : ret;
}

static int too_large(struct trace_error *error, const char *file)
{
	return whole_file_error(error, file, EFBIG, "larger than 256 MiB");
}

int trace_read(const char *file, const char *text, size_t size_bytes, struct trace **trace,
	       struct trace_error *error)
{
	char *copy;

	*trace = NULL;
	if (size_bytes > TRACE_FILE_MAX_BYTES)
		return too_large(error, file);
	copy = malloc(size_bytes + 1);
	if (!copy)
		return out_of_memory(error, file);
	if (size_bytes)
		memcpy(copy, text, size_bytes);
	return read_owned(file, copy, size_bytes, trace, error);
}

/* Read all that the descriptor gives. One byte more than the limit is enough to know. */
static int slurp(int fd, char **text, size_t *size_bytes)
{
	size_t capacity = 64u << 10;
	char *buffer = malloc(capacity + 1);
	size_t used = 0;
	char *grown;
	ssize_t got;
	int ret = -ENOMEM;

	while (buffer) {
		got = read(fd, buffer + used, capacity - used);
		if (got < 0 && errno == EINTR)
			continue;
		ret = got < 0 ? -errno : 0;
		if (got <= 0)
			break;
		used += (size_t)got;
		ret = -EFBIG;
		if (used > TRACE_FILE_MAX_BYTES)
			break;
		if (used < capacity)
			continue;
		capacity *= 2;
		ret = -ENOMEM;
		grown = realloc(buffer, capacity + 1);
		if (!grown)
			break;
		buffer = grown;
	}
	if (ret) {
		free(buffer);
		return ret;
	}
	*text = buffer;
	*size_bytes = used;
	return 0;
}

int trace_read_file(const char *path, struct trace **trace, struct trace_error *error)
{
	size_t size_bytes = 0;
	char *text = NULL;
	int fd, ret;

	*trace = NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return whole_file_error(error, path, errno, NULL);
	ret = slurp(fd, &text, &size_bytes);
	close(fd);
	if (ret == -EFBIG)
		return too_large(error, path);
	if (ret)
		return whole_file_error(error, path, -ret, NULL);
	return read_owned(path, text, size_bytes, trace, error);
}

void trace_free(struct trace *trace)
{
	struct trace_chunk *chunk;

	if (!trace)
		return;
	if (trace->arena) {
		while ((chunk = trace->arena->chunks)) {
			trace->arena->chunks = chunk->next;
			free(chunk);
		}
		free(trace->arena->text);
	}
	free(trace->arena);
	free(trace->items);
	free(trace);
}
