/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Traces in memory: reading the text of TRACE.md into a tree, looking things up in the tree,
 * writing a tree or a running program's calls as text, and saying in one line how a call differs.
 *
 * The reader knows the format and nothing else: which calls, ioctls and fields exist is for its
 * caller to judge, who finds a line and a column on everything that could be wrong. The whole
 * tree, its strings included, belongs to one arena and dies with trace_free().
 */
#ifndef HARNESS_TRACE_H
#define HARNESS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TRACE_VERSION	     1u
#define TRACE_FILE_MAX_BYTES (256u << 20)
#define TRACE_TREE_MAX_BYTES (2u << 30) /* what a text is read into */
#define TRACE_ITEMS_MAX	     (16u << 20)
#define TRACE_LINE_MAX_BYTES (1u << 20)
#define TRACE_DEPTH_MAX	     8u	  /* structs and lists inside each other */
#define TRACE_ARGS_MAX	     8u	  /* arguments of a call */
#define TRACE_FIELDS_MAX     128u /* fields of a struct */
#define TRACE_DEVICES_MAX    256u /* devices of a trace */

enum trace_kind {
	TRACE_NONE = 0, /* absent: a call without a result, or without changed fields */
	TRACE_NUMBER,	/* 7, 0x1000, -1 */
	TRACE_NAME,	/* c0, m0+0x1000, VFIO_SET_IOMMU, ro */
	TRACE_STRING,	/* "/dev/vfio/vfio" */
	TRACE_STRUCT,	/* {iova=0x0, size=0x1000} */
	TRACE_LIST,	/* [e0 -1], [0x0-0xfff], [0a01ff], [] */
	TRACE_RANGE,	/* 0x0-0xfff, in a list only */
	TRACE_ERRNO,	/* -EINVAL, as a result only */
};

struct trace_field;

/*
 * One value. Texts end with a NUL. Columns count bytes from 1; 0 in a value that was not read.
 *
 * A single word of hex digits in brackets may be bytes, a name or a number ([10], [e0]); only the
 * request says which. Such a list has both views: @hex with @digits, and @items with @count where
 * the word also reads as a number or a name.
 */
struct trace_value {
	uint8_t kind;	   /* enum trace_kind */
	uint8_t base;	   /* of a number, range start or offset: 10, 16; 0: no offset */
	uint8_t last_base; /* of a range's end */
	bool negative;	   /* number: @number is the two's complement of what was written */
	uint32_t column;
	uint32_t count;	 /* struct: fields; list: items; string: bytes */
	uint32_t digits; /* list: hex digits in @hex, 0 where it cannot be bytes */
	union {
		uint64_t number;	    /* number; range: its start */
		int error;		    /* errno: positive */
		const char *text;	    /* name; string, with its escapes resolved */
		struct trace_value *items;  /* list */
		struct trace_field *fields; /* struct, in the order of the text */
	};
	union {
		uint64_t offset; /* name */
		uint64_t last;	 /* range: its end, inclusive */
		const char *hex; /* list */
	};
};

struct trace_field {
	const char *name; /* may hold dots: ddw.pgsizes */
	uint32_t column;
	struct trace_value value;
};

struct trace_call {
	const char *name; /* open, ioctl, mmap, … */
	uint32_t line;
	uint32_t column;
	uint32_t arg_count;
	uint32_t item; /* its index in trace.items */
	struct trace_value *args;
	struct trace_value result; /* NONE, NUMBER, ERRNO, NAME, or LIST that is bytes */
	struct trace_value out;	   /* NONE or STRUCT: the fields that the kernel changed */
};

enum trace_item_kind {
	TRACE_TEXT,   /* comment lines and blank lines, as many as follow each other */
	TRACE_DEVICE, /* device NAME */
	TRACE_CALL,
};

struct trace_item {
	enum trace_item_kind kind;
	uint32_t line;
	uint32_t column;
	uint32_t length_bytes;	 /* of @text */
	const char *text;	 /* the text as it was read, not NUL-terminated; device: its name */
	const char *comment;	 /* what follows on the line, with the blanks before it; or NULL */
	struct trace_call *call; /* call */
};

struct trace_arena;

struct trace {
	const char *file;	     /* for messages */
	const char *version_comment; /* behind the version on line 1, or NULL */
	struct trace_item *items;
	const char **devices; /* the declared names, in order */
	uint32_t item_count;
	uint32_t call_count;
	uint32_t device_count;
	uint32_t item_capacity;
	uint32_t line_count; /* lines of the text */
	struct trace_arena *arena;
};

/* Where and why reading stopped. */
struct trace_error {
	uint32_t line;	   /* from 1; 0: the file as a whole could not be read */
	uint32_t column;   /* from 1, in bytes; 0: no place in the line */
	char message[512]; /* "FILE:LINE:COLUMN: what is wrong", or "FILE: what is wrong" */
};

/*
 * trace_read - read a trace from memory
 * @file: its name, for messages; copied
 * @text: the text, any bytes; copied
 * @size_bytes: its length, at most TRACE_FILE_MAX_BYTES
 * @trace: receives the tree, which the caller frees with trace_free(); NULL on failure
 * @error: filled on failure
 *
 * Returns 0; -EINVAL where the text breaks the format (the first place is told); -EFBIG; -ENOMEM,
 * also where the tree would pass TRACE_TREE_MAX_BYTES or TRACE_ITEMS_MAX.
 */
int trace_read(const char *file, const char *text, size_t size_bytes, struct trace **trace,
	       struct trace_error *error);

/*
 * trace_read_file - read a trace from a file
 * @path: the file; a pipe works too
 *
 * Returns what trace_read() returns, or -ENOENT, -EACCES, -EISDIR or another error of open(2) and
 * read(2). @error then names the file and the reason.
 */
int trace_read_file(const char *path, struct trace **trace, struct trace_error *error);

/* Free a trace and all that hangs off it. NULL is fine. */
void trace_free(struct trace *trace);

/*
 * trace_next_call - walk the calls, skipping comments and declarations
 * @call: the call before, or NULL for the first
 *
 * Returns the next call or NULL at the end.
 */
const struct trace_call *trace_next_call(const struct trace *trace, const struct trace_call *call);

/* The argument with an index from 0, or NULL where the call has fewer. */
const struct trace_value *trace_arg(const struct trace_call *call, uint32_t index);

/* The value of a field by name; NULL where @value is no struct (or is NULL) or lacks the field. */
const struct trace_value *trace_get(const struct trace_value *value, const char *field);

/* Is it this plain name, without an offset? NULL is not. */
bool trace_is_name(const struct trace_value *value, const char *name);

/* Is it a number, which is then stored in *@number as two's complement? NULL is not. */
bool trace_is_number(const struct trace_value *value, uint64_t *number);

/* May it be bytes: a list of none or of one word with an even number of hex digits? */
bool trace_is_bytes(const struct trace_value *value);

/*
 * trace_bytes - the bytes of a list such as [0a01ff]
 * @bytes: receives at most @capacity_bytes of them; may be NULL when that is 0
 *
 * Returns how many bytes the list has, which may be more than the capacity; 0 for [] and for a
 * value that is no byte list (see trace_is_bytes()).
 */
size_t trace_bytes(const struct trace_value *value, uint8_t *bytes, size_t capacity_bytes);

/*
 * Do two values mean the same? The base in which a number is written does not matter, nor does the
 * order of fields. Lists are the same where one of their views is. NULL is like TRACE_NONE.
 */
bool trace_equal(const struct trace_value *a, const struct trace_value *b);

/* Values made by a program, for comparing and for writing. Texts and arrays are borrowed. */
struct trace_value trace_make_number(uint64_t number, unsigned int base);
struct trace_value trace_make_signed(int64_t number);
struct trace_value trace_make_name(const char *name);
struct trace_value trace_make_errno(int error);
struct trace_value trace_make_struct(struct trace_field *fields, uint32_t count);

/*
 * trace_mismatch - say in one line, without its end, how a call differs from what was expected
 * @line: receives the line, cut where it does not fit, always NUL-terminated
 * @size_bytes: the room there, at least 1
 * @field: the changed field that differs, or NULL for the result
 * @expected: what the trace has, or NULL where it lists no change of that field
 * @got: what happened, or NULL where the field did not change
 *
 * Gives "FILE:LINE:COLUMN: ioctl VFIO_IOMMU_UNMAP_DMA: size: expected 0x1000, got 0x0".
 */
void trace_mismatch(char *line, size_t size_bytes, const struct trace *trace,
		    const struct trace_call *call, const char *field,
		    const struct trace_value *expected, const struct trace_value *got);

/*
 * trace_check - compare what a call did with what its line promises
 * @result: what it returned
 * @out: a struct of the fields that changed, or NULL where none did
 * @line: receives trace_mismatch()'s line for the first difference
 *
 * A call without a result promises nothing. Returns whether all is as promised.
 */
bool trace_check(const struct trace *trace, const struct trace_call *call,
		 const struct trace_value *result, const struct trace_value *out, char *line,
		 size_t size_bytes);

struct trace_level {
	char kind;
	uint32_t count;
};

/*
 * A writer: it puts the commas and brackets, its caller the values. An error (no memory, a file
 *that does not take the bytes, calls out of order) sticks: what follows does nothing, and
 * trace_writer_end() reports it.
 *
 *	trace_put_call(&w, "ioctl");
 *	trace_put_name(&w, "c0");
 *	trace_put_name(&w, "VFIO_IOMMU_UNMAP_DMA");
 *	trace_put_struct(&w);
 *	trace_put_key(&w, "size"), trace_put_number(&w, 0x2000, 16);
 *	trace_put_end(&w);
 *	trace_put_result(&w);		 // the result is the next value
 *	trace_put_number(&w, 0, 10);
 *	trace_put_key(&w, "size"), trace_put_number(&w, 0x1000, 16);
 *	trace_put_line(&w, NULL);
 *
 * writes "ioctl(c0, VFIO_IOMMU_UNMAP_DMA, {size=0x2000}) = 0 {size=0x1000}". The braces of the
 * changed fields appear with the first of them.
 */
struct trace_writer {
	char *data; /* what was written, NUL-terminated; with a file: the line in work */
	size_t size_bytes;
	size_t capacity_bytes;
	FILE *file;
	bool fixed;
	int error; /* 0 or -errno */
	uint32_t depth;
	struct trace_level levels[TRACE_DEPTH_MAX + 3];
};

/* Write into memory that grows; the text is @writer->data until trace_writer_end(). */
void trace_writer_memory(struct trace_writer *writer);

/* Write to a file, line by line; the file stays the caller's. */
void trace_writer_file(struct trace_writer *writer, FILE *file);

/* Write into a buffer of the caller, cutting what does not fit; nothing is allocated. */
void trace_writer_fixed(struct trace_writer *writer, char *buffer, size_t size_bytes);

/* Free the memory. Returns 0, or the first error: -ENOMEM, -EINVAL (calls out of order), -EIO. */
int trace_writer_end(struct trace_writer *writer);

/* Whole lines: the version, a declaration, and one item, call or trace of a tree. */
void trace_put_version(struct trace_writer *writer, const char *comment);
void trace_put_device(struct trace_writer *writer, const char *name);
void trace_put_item(struct trace_writer *writer, const struct trace_item *item);
void trace_put_trace(struct trace_writer *writer, const struct trace *trace);

/* A call from pieces. trace_put_line() ends it; @comment may be NULL. */
void trace_put_call(struct trace_writer *writer, const char *name);
void trace_put_result(struct trace_writer *writer);
void trace_put_line(struct trace_writer *writer, const char *comment);

/* Values. trace_put_end() closes the struct or list that was opened last. */
void trace_put_struct(struct trace_writer *writer);
void trace_put_list(struct trace_writer *writer);
void trace_put_end(struct trace_writer *writer);
void trace_put_key(struct trace_writer *writer, const char *field);
void trace_put_number(struct trace_writer *writer, uint64_t number, unsigned int base);
void trace_put_signed(struct trace_writer *writer, int64_t number);
void trace_put_name(struct trace_writer *writer, const char *name);
void trace_put_offset(struct trace_writer *writer, const char *name, uint64_t offset);
void trace_put_range(struct trace_writer *writer, uint64_t first, uint64_t last);
void trace_put_string(struct trace_writer *writer, const char *text);
void trace_put_bytes(struct trace_writer *writer, const void *bytes, size_t size_bytes);
void trace_put_errno(struct trace_writer *writer, int error);
void trace_put_value(struct trace_writer *writer, const struct trace_value *value);

#endif
