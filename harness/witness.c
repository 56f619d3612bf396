/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The witness: a word of columns for each ioctl and errno, in memory that children share, written
 * to the end of a file as lines of `column ioctl errno` when the process that began it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <uapi/table.h>

#include "errnos.h"
#include "story.h"
#include "witness.h"

enum {
	ERRNO_MAX = 600, /* Linux's own go up to 529 */
	KERNEL_COLUMN = 31,
};

/* Of this process: it outlives every world, and cmocka's functions take no argument. */
static struct {
	uint32_t (*seen)[ERRNO_MAX]; /* by row and errno, a bit for each column */
	const char *path;
	pid_t owner;
} witness;

static const char *column_name(unsigned int column)
{
	return column == KERNEL_COLUMN ? "kernel" : backends[column].name;
}

/* The row as its fault points call it, without the stage. */
static int name_length(const struct vfake_fault_point *point)
{
	return (int)(strrchr(point->name, '/') - point->name);
}

static void write_row(FILE *to, const struct vfake_fault_point *point, const uint32_t *seen)
{
	for (int code = 0; code < ERRNO_MAX; code++) {
		const char *name = code ? errno_name(code) : "0";

		for (unsigned int column = 0; name && column <= KERNEL_COLUMN; column++) {
			if (seen[code] & (UINT32_C(1) << column))
				fprintf(to, "%s %.*s %s\n", column_name(column), name_length(point),
					point->name, name);
		}
	}
}

/* All lines in one write: processes that end at the same time do not get into each other's. */
static bool append(const char *text, size_t size)
{
	int fd = open(witness.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	bool good = fd >= 0 && write(fd, text, size) == (ssize_t)size;

	if (fd >= 0)
		close(fd);
	return good;
}

static void write_out(void)
{
	size_t point_count, size = 0, row_count;
	const struct vfake_fault_point *points = vfake_fault_points(&point_count);
	const struct uapi_ioctl *rows = uapi_rows(&row_count);
	char *text = NULL;
	FILE *to;

	if (getpid() != witness.owner)
		return;
	to = open_memstream(&text, &size);
	for (size_t i = 0; to && i < point_count; i++) {
		if (points[i].row && points[i].stage == VFAKE_FAULT_ENTRY)
			write_row(to, &points[i], witness.seen[points[i].row - rows]);
	}
	if (!to || fclose(to) || !append(text, size))
		fprintf(stderr, "%s: %s: %s\n", WITNESS_VARIABLE, witness.path, strerror(errno));
	free(text);
}

bool witness_begin(void)
{
	const char *path = getenv(WITNESS_VARIABLE);
	size_t rows;
	void *memory;

	uapi_rows(&rows);
	if (witness.seen || !path || !*path)
		return witness.seen;
	memory = mmap(NULL, rows * sizeof(*witness.seen), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		fprintf(stderr, "%s: %s\n", WITNESS_VARIABLE, strerror(errno));
		return false;
	}
	witness.seen = memory;
	witness.path = path;
	witness.owner = getpid();
	atexit(write_out);
	return true;
}

/* An answer that the kernel would have given without anybody's help, or for want of memory. */
static bool by_itself(const struct vfake_event *event)
{
	return !event->fault || (event->fault->stage != VFAKE_FAULT_ENTRY &&
				 event->fault->stage != VFAKE_FAULT_COMMIT);
}

static void note(uint32_t columns, const struct uapi_ioctl *row, long ret)
{
	long code = ret < 0 ? -ret : 0;
	size_t rows;

	if (witness.seen && row && code < ERRNO_MAX)
		__atomic_fetch_or(&witness.seen[row - uapi_rows(&rows)][code], columns,
				  __ATOMIC_RELAXED);
}

static uint32_t column_of(int backend)
{
	return backend < 0 ? 0 : UINT32_C(1) << backend;
}

void witness_see(int backend, const struct vfake_event *event)
{
	note(column_of(backend) | (by_itself(event) ? UINT32_C(1) << KERNEL_COLUMN : 0), event->row,
	     event->ret);
}

void witness_told(int backend, const struct vfake_fault_point *point, long ret)
{
	note(column_of(backend), point->row, ret);
}
