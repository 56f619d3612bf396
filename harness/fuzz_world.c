/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the world reader: any bytes are read without harm, an error has a place, and a world that
 * is taken starts a kernel, and is written as a text that reads as the same world again.
 */
#include "fuzz.h"
#include "world_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vfake/kernel.h>

static void check_error(const struct world_error *error, size_t size_bytes)
{
	fuzz_check(!strncmp(error->message, "t:", 2), "an error does not name the file");
	fuzz_check(!strchr(error->message, '\n'), "an error has more than one line");
	fuzz_check(error->line >= 1 && error->column >= 1, "an error has no place");
	fuzz_check(error->line <= size_bytes + 1 && error->column <= size_bytes + 1,
		   "an error lies outside the text");
}

/* The world as text, which the caller frees. */
static char *text_of(const struct vfake_world *world, size_t *size_bytes)
{
	char *text = NULL;
	FILE *file = open_memstream(&text, size_bytes);

	fuzz_check(file != NULL, "no memory");
	fuzz_check(!world_write(file, world), "writing failed");
	fuzz_check(!fclose(file), "closing failed");
	return text;
}

static void check_starts(const struct vfake_world *world)
{
	const char *error;
	struct vfake_kernel *kernel = vfake_kernel_new(world, &error);

	if (!kernel && strcmp(error, "out of memory") != 0) {
		fprintf(stderr, "fuzz_world: the kernel refuses the world: %s\n", error);
		abort();
	}
	vfake_kernel_free(kernel);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	static struct vfake_world world, again;
	struct world_error error;
	size_t first_bytes, second_bytes;
	char *first, *second;
	int ret = world_read("t", (const char *)data, size_bytes, &world, &error);

	if (ret) {
		fuzz_check(ret == -EINVAL, "reading failed in another way");
		check_error(&error, size_bytes);
		return 0;
	}
	check_starts(&world);
	first = text_of(&world, &first_bytes);
	fuzz_check(!world_read("t", first, first_bytes, &again, &error),
		   "what was written cannot be read");
	second = text_of(&again, &second_bytes);
	fuzz_check(first_bytes == second_bytes && !memcmp(first, second, first_bytes),
		   "writing again gives another text");
	free(second);
	free(first);
	return 0;
}
