/* SPDX-License-Identifier: BSD-2-Clause */
#include "fiu.h"

#include <stdlib.h>
#include <string.h>

#include "fiu-control.h"

struct enabled {
	struct enabled *next;
	char *name;
	int failnum;
	void *failinfo;
	unsigned int flags;
	external_cb_t *external;
};

static struct enabled *list;

int fiu_init(unsigned int flags)
{
	(void)flags;
	return 0;
}

static int covers(const char *pattern, const char *name)
{
	size_t len = strlen(pattern);

	if (len && pattern[len - 1] == '*')
		return !strncmp(pattern, name, len - 1);
	return !strcmp(pattern, name);
}

int fiu_fail(const char *name)
{
	struct enabled *e = list;
	int failnum;

	while (e && !covers(e->name, name))
		e = e->next;
	if (!e || (e->external && !e->external(name, &e->failnum, &e->failinfo, &e->flags)))
		return 0;
	failnum = e->failnum;
	if (e->flags & FIU_ONETIME)
		fiu_disable(e->name);
	return failnum;
}

int fiu_enable_external(const char *name, int failnum, void *failinfo, unsigned int flags,
			external_cb_t *external_cb)
{
	struct enabled *e = calloc(1, sizeof(*e));

	if (!e)
		return -1;
	fiu_disable(name);
	e->name = strdup(name);
	if (!e->name) {
		free(e);
		return -1;
	}
	e->failnum = failnum;
	e->failinfo = failinfo;
	e->flags = flags;
	e->external = external_cb;
	e->next = list;
	list = e;
	return 0;
}

int fiu_enable(const char *name, int failnum, void *failinfo, unsigned int flags)
{
	return fiu_enable_external(name, failnum, failinfo, flags, NULL);
}

int fiu_disable(const char *name)
{
	for (struct enabled **at = &list; *at; at = &(*at)->next) {
		struct enabled *e = *at;

		if (strcmp(e->name, name))
			continue;
		*at = e->next;
		free(e->name);
		free(e);
		return 0;
	}
	return -1;
}
