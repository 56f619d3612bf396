/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file of stories: compiled into a directory that lives as long as that takes, loaded, and looked
 * through.
 *
 * The object's own table of symbols says which stories it has. Their order is that of their
 * addresses, because story-cc has the compiler keep the order of the source.
 */
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "story_file.h"

enum { EXIT_NO_PROGRAM = 126, EXIT_NOT_FOUND = 127, NAME_MAX_BYTES = 80 };

/* Where the object is until it is loaded. Meanwhile, signals that end a program have to wait. */
struct scratch {
	char directory[PATH_MAX];
	char object[PATH_MAX + 16];
	sigset_t mask; /* of before */
};

__attribute__((format(printf, 3, 4))) static int refuse(struct story_file *file, int code,
							const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(file->error, sizeof(file->error), format, arguments);
	va_end(arguments);
	return code;
}

static int refuse_errno(struct story_file *file, int error)
{
	return refuse(file, -error, "%s", strerror(error));
}

/* ---- compiling ---- */

/* story-cc's path: it is beside the program that runs. */
static int find_compiler(char path[PATH_MAX + 16])
{
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);

	path[length > 0 ? length : 0] = 0;
	strcpy(strrchr(path, '/') ? strrchr(path, '/') + 1 : path, "story-cc");
	return access(path, X_OK) ? -ENOSYS : 0;
}

/* Lets story-cc do its work. What it prints is for people, and no part of a report. */
static int run_compiler(const char *compiler, const char *const words[], const sigset_t *mask,
			int *status)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	pid_t pid;
	int error;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, mask);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	error = posix_spawn(&pid, compiler, &actions, &attr, (char **)(uintptr_t)words, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	while (!error && waitpid(pid, status, 0) < 0)
		error = errno == EINTR ? 0 : errno;
	return error;
}

static int compile(struct story_file *file, const char *path, const char *const *flags,
		   const struct scratch *scratch)
{
	char compiler[PATH_MAX + 16];
	const char **words;
	size_t count = 0;
	int status = 0, error;

	if (find_compiler(compiler))
		return refuse(file, -ENOSYS,
			      "%s, which compiles stories, is not there: take the vfake of a "
			      "build tree, build/vfake",
			      compiler);
	while (flags && flags[count])
		count++;
	words = calloc(count + 4, sizeof(*words));
	if (!words)
		return refuse_errno(file, ENOMEM);
	words[0] = compiler;
	words[1] = path;
	words[2] = scratch->object;
	for (size_t i = 0; i < count; i++)
		words[3 + i] = flags[i];
	error = run_compiler(compiler, words, &scratch->mask, &status);
	free(words);
	if (error)
		return refuse_errno(file, error);
	if (WIFEXITED(status) &&
	    (WEXITSTATUS(status) == EXIT_NOT_FOUND || WEXITSTATUS(status) == EXIT_NO_PROGRAM))
		return refuse(file, -ENOSYS, "%s finds no compiler", compiler);
	return status ? refuse(file, -EINVAL, "it does not compile") : 0;
}

/* ---- looking through the object ---- */

/* A table of symbols and their names, in a file that is mapped. */
struct symbols {
	const ElfW(Sym) * table;
	size_t count;
	const char *names;
};

/* The linker wrote the file; that is why it is believed. */
static void find_symbols(const char *elf, struct symbols *symbols)
{
	const ElfW(Ehdr) *head = (const void *)elf;
	const ElfW(Shdr) *sections = (const void *)(elf + head->e_shoff);

	for (size_t i = 0; i < head->e_shnum; i++) {
		if (sections[i].sh_type != SHT_DYNSYM)
			continue;
		symbols->table = (const void *)(elf + sections[i].sh_offset);
		symbols->count = sections[i].sh_size / sizeof(*symbols->table);
		symbols->names = elf + sections[sections[i].sh_link].sh_offset;
	}
}

/* A sanitizer makes an object larger, but not by as much as a second story. */
static bool is_story(const ElfW(Sym) * symbol, const char *name)
{
	return symbol->st_shndx != SHN_UNDEF && (symbol->st_info & 0xf) == STT_OBJECT &&
	       symbol->st_size >= sizeof(struct story) &&
	       symbol->st_size < 2 * sizeof(struct story) && !strncmp(name, "story_", 6);
}

static int by_address(const void *a, const void *b)
{
	const struct story *const *x = a, *const *y = b;

	return (*x > *y) - (*x < *y);
}

static int collect(struct story_file *file, const struct symbols *symbols)
{
	file->stories = calloc(symbols->count + 1, sizeof(*file->stories));
	if (!file->stories)
		return refuse_errno(file, ENOMEM);
	for (size_t i = 0; i < symbols->count; i++) {
		const char *name = symbols->names + symbols->table[i].st_name;
		const struct story *story;

		if (!is_story(&symbols->table[i], name))
			continue;
		story = dlsym(file->object, name);
		if (story)
			file->stories[file->count++] = story;
	}
	qsort(file->stories, file->count, sizeof(*file->stories), by_address);
	return 0;
}

static int look_through(struct story_file *file, const char *object)
{
	int fd = open(object, O_RDONLY | O_CLOEXEC);
	struct symbols symbols = { 0 };
	struct stat stat = { 0 };
	void *elf;
	int ret;

	fstat(fd, &stat);
	elf = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (elf != MAP_FAILED) {
		find_symbols(elf, &symbols);
		ret = collect(file, &symbols);
		munmap(elf, (size_t)stat.st_size);
	} else {
		ret = refuse_errno(file, errno);
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

/* ---- judging ---- */

/* Whether it points into the program or something that is loaded. */
static bool is_loaded(const void *address)
{
	Dl_info info;

	return address && dladdr(address, &info);
}

/* Names stand in patterns, in STORY/BACKEND, in tables and on command lines beside files. */
static bool is_good_name(const char *name)
{
	size_t length = strnlen(name, NAME_MAX_BYTES + 1);

	if (!length || length > NAME_MAX_BYTES || !isalnum((unsigned char)*name))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
			return false;
	}
	return length < 2 || strcmp(name + length - 2, ".c");
}

const struct story *story_file_twin(const struct story *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(list[i]->name, list[j]->name))
				return list[i];
		}
	}
	return NULL;
}

static int judge(struct story_file *file)
{
	const struct story *twin;

	if (!file->count)
		return refuse(file, -ENOMSG,
			      "there is no story in it: no `const struct story story_NAME', or "
			      "it is static");
	for (size_t i = 0; i < file->count; i++) {
		const struct story *story = file->stories[i];

		if (!is_loaded(story->name))
			return refuse(file, -EBADMSG, "a story has no name: .name");
		if (!is_good_name(story->name))
			return refuse(file, -EBADMSG,
				      "a story's name has letters, digits, -, _ and . only, and "
				      "no .c at its end: `%.100s'",
				      story->name);
		if (!is_loaded((const void *)(uintptr_t)story->run))
			return refuse(file, -EBADMSG, "story `%s' has no function to play: .run",
				      story->name);
	}
	twin = story_file_twin(file->stories, file->count);
	return twin ? refuse(file, -EBADMSG, "two stories have the name `%s'", twin->name) : 0;
}

/* ---- the whole ---- */

static int load(struct story_file *file, const struct scratch *scratch)
{
	const char *reason;
	int ret;

	file->object = dlopen(scratch->object, RTLD_NOW | RTLD_LOCAL);
	if (!file->object) {
		reason = dlerror();
		if (!strncmp(reason, scratch->object, strlen(scratch->object)))
			reason += strlen(scratch->object) + 2;
		return refuse(file, -ENOEXEC, "%s", reason);
	}
	ret = look_through(file, scratch->object);
	return ret ? ret : judge(file);
}

static int make_scratch(struct scratch *scratch)
{
	const char *place = getenv("TMPDIR");
	sigset_t ends;
	int ret = 0;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	snprintf(scratch->directory, sizeof(scratch->directory), "%s/vfake-story-XXXXXX",
		 place && *place ? place : "/tmp");
	sigprocmask(SIG_BLOCK, &ends, &scratch->mask);
	*scratch->object = 0;
	if (mkdtemp(scratch->directory))
		snprintf(scratch->object, sizeof(scratch->object), "%s/story.so",
			 scratch->directory);
	else
		ret = -errno;
	return ret;
}

static void drop_scratch(const struct scratch *scratch)
{
	if (*scratch->object) {
		unlink(scratch->object);
		rmdir(scratch->directory);
	}
	sigprocmask(SIG_SETMASK, &scratch->mask, NULL);
}

static int check_readable(const char *path)
{
	struct stat found;

	if (stat(path, &found) || access(path, R_OK))
		return -errno;
	return S_ISDIR(found.st_mode) ? -EISDIR : 0;
}

int story_file_load(const char *path, const char *const *flags, struct story_file *file)
{
	struct scratch scratch;
	int ret = check_readable(path);

	*file = (struct story_file){ .count = 0 };
	if (ret)
		return refuse_errno(file, -ret);
	ret = make_scratch(&scratch);
	if (ret)
		refuse(file, ret, "no place for the compiler's result: %s", strerror(-ret));
	else
		ret = compile(file, path, flags, &scratch);
	if (!ret)
		ret = load(file, &scratch);
	drop_scratch(&scratch);
	return ret;
}

void story_file_close(struct story_file *file)
{
	free((void *)file->stories);
	if (file->object)
		dlclose(file->object);
	*file = (struct story_file){ .count = 0 };
}
