/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program around a fuzz target when there is no libFuzzer: feeds it the files, and the
 * directories of files, in its arguments, so that a corpus stays a test.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static void run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	static uint8_t data[4 << 20];
	uint8_t *exact;
	size_t size_bytes;

	if (!file) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	size_bytes = fread(data, 1, sizeof(data), file);
	fclose(file);
	/* A block of just that size lets a sanitizer see a read behind its end. */
	exact = malloc(size_bytes ? size_bytes : 1);
	fuzz_check(exact != NULL, "no memory");
	memcpy(exact, data, size_bytes);
	LLVMFuzzerTestOneInput(exact, size_bytes);
	free(exact);
}

static unsigned int run_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	unsigned int files = 0;
	char name[4096];

	if (!directory) {
		run_file(path);
		return 1;
	}
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		run_file(name);
		files++;
	}
	closedir(directory);
	return files;
}

int main(int argc, char **argv)
{
	unsigned int files = 0;
	int i;

	for (i = 1; i < argc; i++)
		files += run_directory(argv[i]);
	printf("%s: %u files\n", argv[0], files);
	return files ? EXIT_SUCCESS : EXIT_FAILURE;
}
