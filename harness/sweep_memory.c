/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process's own list of descriptors tells which ones are of a fake kernel's memfds. Of each
 * file this process has a mapping and a copy, which children do not get. Only pages that were ever
 * used are looked at, and only what differs is copied: most children write little.
 *
 * A fake kernel neither resizes a memfd nor gives pages of it back, so a child cannot either.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sweep_memory.h"

static const char file_name[] = "/memfd:vfake";

/* ---- files ---- */

static uint8_t *map(size_t size, int flags, int fd)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);

	if (at == MAP_FAILED)
		return NULL;
	if (!madvise(at, size, MADV_DONTFORK))
		return at;
	munmap(at, size);
	return NULL;
}

static void forget_file(struct sweep_memory *memory, size_t index)
{
	struct sweep_file *file = &memory->file[index];

	munmap(file->now, file->size);
	munmap(file->kept, file->size);
	*file = memory->file[--memory->count];
}

static bool add_file(struct sweep_memory *memory, int fd, const struct stat *facts)
{
	struct sweep_file file = {
		.inode = facts->st_ino, .size = (uint64_t)facts->st_size, .fd = fd, .seen = true
	};

	if (memory->count == SWEEP_SHARED_MAX)
		return false;
	file.now = map(file.size, MAP_SHARED, fd);
	file.kept = map(file.size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (file.now && file.kept) {
		memory->file[memory->count++] = file;
		return true;
	}
	if (file.now)
		munmap(file.now, file.size);
	if (file.kept)
		munmap(file.kept, file.size);
	return false;
}

/* One that was found before is known; its descriptor may be another one by now. */
static bool see_file(struct sweep_memory *memory, int fd)
{
	struct stat facts;

	if (fstat(fd, &facts))
		return false;
	if (!facts.st_size)
		return true;
	for (size_t i = 0; i < memory->count; i++) {
		struct sweep_file *file = &memory->file[i];

		if (file->inode != facts.st_ino || file->size != (uint64_t)facts.st_size)
			continue;
		file->fd = fd;
		file->seen = true;
		return true;
	}
	return add_file(memory, fd, &facts);
}

static bool is_ours(const char *fd)
{
	char path[300], target[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%.20s", fd);
	return readlink(path, target, sizeof(target) - 1) > 0 &&
	       !strncmp(target, file_name, sizeof(file_name) - 1);
}

static bool find_files(struct sweep_memory *memory)
{
	DIR *list = opendir("/proc/self/fd");
	struct dirent *entry;
	bool good = list;

	while (good && (entry = readdir(list))) {
		if (is_ours(entry->d_name))
			good = see_file(memory, atoi(entry->d_name));
	}
	if (list)
		closedir(list);
	return good;
}

/* ---- what is in them ---- */

/* Makes @to what @from is, in steps of which most are the same. */
static void copy_range(uint8_t *to, const uint8_t *from, size_t len)
{
	while (len) {
		size_t step = len < 4096 ? len : 4096;

		if (memcmp(to, from, step))
			memcpy(to, from, step);
		to += step;
		from += step;
		len -= step;
	}
}

/* What was never used is zero in both. */
static bool copy_file(const struct sweep_file *file, uint8_t *to, const uint8_t *from)
{
	off_t end = 0, size = (off_t)file->size;

	while (end < size) {
		off_t start = lseek(file->fd, end, SEEK_DATA);

		if (start < 0)
			return errno == ENXIO;
		end = lseek(file->fd, start, SEEK_HOLE);
		if (end < 0)
			return false;
		copy_range(to + start, from + start, (size_t)(end - start));
	}
	return true;
}

bool sweep_memory_keep(struct sweep_memory *memory)
{
	bool good;

	for (size_t i = 0; i < memory->count; i++)
		memory->file[i].seen = false;
	good = find_files(memory);
	for (size_t i = memory->count; i--;) {
		const struct sweep_file *file = &memory->file[i];

		if (!file->seen)
			forget_file(memory, i);
		else
			good &= copy_file(file, file->kept, file->now);
	}
	return good;
}

bool sweep_memory_restore(const struct sweep_memory *memory)
{
	bool good = true;

	for (size_t i = 0; i < memory->count; i++)
		good &= copy_file(&memory->file[i], memory->file[i].now, memory->file[i].kept);
	return good;
}

void sweep_memory_forget(struct sweep_memory *memory)
{
	while (memory->count)
		forget_file(memory, memory->count - 1);
}
