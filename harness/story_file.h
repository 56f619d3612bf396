/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stories in a C file of one's own, which are compiled and loaded while vfake runs.
 *
 * The script story-cc, which the build leaves beside vfake, knows how (ci/story-cc.in). Every
 * object `const struct story story_...' of the file that is not static is a story.
 */
#ifndef HARNESS_STORY_FILE_H
#define HARNESS_STORY_FILE_H

#include "story.h"

struct story_file {
	const struct story **stories; /* in the order of the file; they live in the object */
	size_t count;
	void *object;	 /* dlopen()'s */
	char error[640]; /* why there are none, in one line that does not name the file */
};

/*
 * Compiles a file, with more @flags for the compiler at the end (NULL ends them; NULL is none), and
 * loads it. 0, or with a reason in @file->error:
 *   -ENOENT	no such file
 *   -ENOSYS	there is no story-cc beside this vfake, or no compiler for it
 *   -EINVAL	it does not compile; the compiler has said why on standard error
 *   -ENOEXEC	it cannot be loaded: what it calls is nowhere
 *   -ENOMSG	there is no story in it
 *   -EBADMSG	one of its stories cannot be played, or two have one name
 * and other errors of files and memory. The caller closes @file in any case, after the last use of
 * a story: the strings in it go as well.
 */
int story_file_load(const char *path, const char *const *flags, struct story_file *file);
void story_file_close(struct story_file *file);

/* The first story that has the name of one before it, or NULL. */
const struct story *story_file_twin(const struct story *const *list, size_t count);

#endif
