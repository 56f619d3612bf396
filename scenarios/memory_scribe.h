/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listeners that write down what they hear, as words in one common text, and refuse where they are
 * told to.
 */
#ifndef SCENARIOS_MEMORY_SCRIBE_H
#define SCENARIOS_MEMORY_SCRIBE_H

#include <errno.h>
#include <stdio.h>

#include "memory_rig.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct journal {
	size_t used;
	char text[4096];
};

struct scribe {
	struct vfio_memory_listener base;
	struct journal *journal; /* NULL: it writes nothing */
	int refuse_in;		 /* questions until one is refused, with `code`; 0: never */
	int code;
	/* what else it does at each event */
	void (*meddle)(struct scribe *scribe, const struct vfio_memory_section *section);
	struct vfio_memory *memory;
};

static inline void forget(struct journal *journal)
{
	journal->used = 0;
	journal->text[0] = '\0';
}

/* The text so far; it starts anew. */
static inline void expect(struct journal *journal, const char *text)
{
	assert_string_equal(journal->text, text);
	forget(journal);
}

static inline void scribe_write(struct vfio_memory_listener *listener, const char *word,
				const struct vfio_memory_section *section)
{
	struct scribe *scribe = listener->ctx;
	struct journal *journal = scribe->journal;
	const char *gap;
	size_t room;
	char *at;
	int wrote;

	if (!journal)
		return;
	at = journal->text + journal->used;
	room = sizeof(journal->text) - journal->used;
	gap = journal->used ? " " : "";
	if (section)
		wrote = snprintf(at, room, "%s%s:%s:%llx-%llx", gap, listener->name, word,
				 (unsigned long long)section->start,
				 (unsigned long long)section->last);
	else
		wrote = snprintf(at, room, "%s%s:%s", gap, listener->name, word);
	assert_true(wrote > 0 && (size_t)wrote < room);
	journal->used += (size_t)wrote;
	if (scribe->meddle)
		scribe->meddle(scribe, section);
}

static inline bool scribe_agrees(struct vfio_memory_listener *listener, struct vfio_error *error)
{
	struct scribe *scribe = listener->ctx;

	if (!scribe->refuse_in || --scribe->refuse_in)
		return true;
	if (error)
		error->code = scribe->code;
	return false;
}

static void scribe_begin(struct vfio_memory_listener *listener)
{
	scribe_write(listener, "begin", NULL);
}

static void scribe_commit(struct vfio_memory_listener *listener)
{
	scribe_write(listener, "commit", NULL);
}

static void scribe_add(struct vfio_memory_listener *listener,
		       const struct vfio_memory_section *section)
{
	scribe_write(listener, "add", section);
}

static void scribe_del(struct vfio_memory_listener *listener,
		       const struct vfio_memory_section *section)
{
	scribe_write(listener, "del", section);
}

static bool scribe_log_start(struct vfio_memory_listener *listener, struct vfio_error *error)
{
	scribe_write(listener, "start", NULL);
	return scribe_agrees(listener, error);
}

static void scribe_log_stop(struct vfio_memory_listener *listener)
{
	scribe_write(listener, "stop", NULL);
}

static bool scribe_log_sync(struct vfio_memory_listener *listener,
			    const struct vfio_memory_section *section, struct vfio_error *error)
{
	scribe_write(listener, "sync", section);
	return scribe_agrees(listener, error);
}

static void scribe_notify(struct vfio_memory_listener *listener,
			  const struct vfio_memory_section *section,
			  const struct vfio_iommu_entry *entry)
{
	struct vfio_memory_section target = { .start = entry->iova, .last = entry->last };
	char word[64];

	(void)section;
	snprintf(word, sizeof(word), "%s%d>%llx", entry->prot ? "map" : "unmap", entry->prot,
		 (unsigned long long)entry->target);
	scribe_write(listener, word, &target);
}

static bool scribe_populate(struct vfio_memory_listener *listener,
			    const struct vfio_memory_section *piece, struct vfio_error *error)
{
	scribe_write(listener, "plug", piece);
	return scribe_agrees(listener, error);
}

static void scribe_discard(struct vfio_memory_listener *listener,
			   const struct vfio_memory_section *piece)
{
	scribe_write(listener, "unplug", piece);
}

/* A listener of that name that hears everything. */
static inline void scribe_init(struct scribe *scribe, struct journal *journal, const char *name,
			       int priority)
{
	*scribe = (struct scribe){
		.base = { .name = name,
			  .priority = priority,
			  .ctx = scribe,
			  .begin = scribe_begin,
			  .region_add = scribe_add,
			  .region_del = scribe_del,
			  .commit = scribe_commit,
			  .log_start = scribe_log_start,
			  .log_stop = scribe_log_stop,
			  .log_sync = scribe_log_sync,
			  .iommu_notify = scribe_notify,
			  .populate = scribe_populate,
			  .discard = scribe_discard },
		.journal = journal,
		.code = -ENOSPC,
	};
}

/* An address space with two listeners: "b" came first, "a" has the lower priority. */
struct desk {
	struct heap heap;
	struct vfio_memory *memory;
	struct journal journal;
	struct scribe a;
	struct scribe b;
};

static inline int desk_open(void **state)
{
	struct desk *desk = calloc(1, sizeof(*desk));

	assert_non_null(desk);
	desk->memory = memory_on(&desk->heap);
	scribe_init(&desk->b, &desk->journal, "b", 1);
	scribe_init(&desk->a, &desk->journal, "a", 0);
	desk->b.memory = desk->memory;
	*state = desk;
	return 0;
}

static inline int desk_close(void **state)
{
	struct desk *desk = *state;

	memory_end(desk->memory, &desk->heap);
	free(desk);
	return 0;
}

static inline void listen_both(struct desk *desk)
{
	assert_true(vfio_memory_listen(desk->memory, &desk->b.base, NULL));
	assert_true(vfio_memory_listen(desk->memory, &desk->a.base, NULL));
	forget(&desk->journal);
}

static inline struct vfio_memory_region spec(enum vfio_memory_kind kind, uint64_t start,
					     uint64_t last)
{
	return (struct vfio_memory_region){
		.name = "m",
		.kind = kind,
		.start = start,
		.last = last,
		.fd = -1,
		.granularity = 0x1000,
		.iommu_pgsizes = 0x1000,
	};
}

static inline uint32_t add(struct desk *desk, enum vfio_memory_kind kind, uint64_t start,
			   uint64_t last)
{
	struct vfio_memory_region region = spec(kind, start, last);
	uint32_t id = 0;

	assert_true(vfio_memory_add(desk->memory, &region, &id, NULL));
	assert_int_not_equal(id, 0);
	return id;
}

/* Deletes @old and adds @new in one transaction: true if it is another region then. */
static inline bool is_new(struct desk *desk, const struct vfio_memory_region *old,
			  const struct vfio_memory_region *new)
{
	uint32_t id, other;

	assert_true(vfio_memory_add(desk->memory, old, &id, NULL));
	vfio_memory_begin(desk->memory);
	vfio_memory_del(desk->memory, id);
	assert_true(vfio_memory_add(desk->memory, new, &other, NULL));
	vfio_memory_commit(desk->memory);
	vfio_memory_del(desk->memory, other);
	return other != id;
}

#endif
