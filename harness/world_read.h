/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Worlds as JSON files: reading and writing them. WORLDS.md describes the format.
 */
#ifndef HARNESS_WORLD_READ_H
#define HARNESS_WORLD_READ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <vfake/world.h>

enum {
	WORLD_FIELD_BYTES = 160,
	WORLD_MESSAGE_BYTES = 1024,
	WORLD_FILE_BYTES_MAX = 16 << 20, /* no world is near that; a wrong file may be */
};

/** What is wrong with a world and where. */
struct world_error {
	uint32_t line;			   /**< from 1; 0: the file could not be read at all */
	uint32_t column;		   /**< from 1, in characters */
	char field[WORLD_FIELD_BYTES];	   /**< "devices[1].bars[0].size"; "" where none is known */
	char message[WORLD_MESSAGE_BYTES]; /**< "FILE:LINE:COLUMN: FIELD: what is wrong", no newline
					    */
};

/**
 * Reads a world. Every world that it takes is one that vfake_kernel_new() starts, if memory allows.
 *
 * @name:  of the text, for messages
 * @text:  JSON in UTF-8, @size_bytes long, needs no NUL
 * @world: filled on success, untouched otherwise
 * @error: filled on failure
 *
 * Returns 0, -EINVAL for a text that is no world, -ENOMEM.
 */
int world_read(const char *name, const char *text, size_t size_bytes, struct vfake_world *world,
	       struct world_error *error);

/**
 * Reads a world from a file.
 *
 * Returns what world_read() returns, -EFBIG for a file of more than WORLD_FILE_BYTES_MAX, or an
 * error of open(2) or read(2); @error then names the file and the reason.
 */
int world_read_file(const char *path, struct vfake_world *world, struct world_error *error);

/**
 * Writes a world as JSON, with every field that it has. Reading that gives the same world again.
 *
 * @to:    the caller's, not flushed
 * @world: one that vfake_kernel_new() starts
 *
 * Returns 0, -ENOMEM, -EILSEQ for a device name that is not UTF-8, -EINVAL for a device with an
 * unknown behaviour, or -EIO.
 */
int world_write(FILE *to, const struct vfake_world *world);

#endif
