/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model's address spaces: mappings in ascending order, and who pays for the pages behind them.
 *
 * type1 pins and charges each mapping by itself: all of its pages are pinned, those that are no
 * registers of a device are charged to the process that mapped. iommufd pins each page of a piece
 * of memory once, however many mappings share it, while one of them is in an address space with a
 * page table; it pays by one of three accounts.
 */
#include <stdlib.h>
#include <string.h>

#include "model_internal.h"

/* ---- spaces ---- */

int model_space_new(struct model *m)
{
	size_t at = 0;

	while (at < m->spaces_count && m->spaces[at].live)
		at++;
	if (at == m->spaces_count) {
		if (!model_room(m, &m->spaces, &m->spaces_space, at, sizeof(*m->spaces)))
			return -1;
		m->spaces_count++;
	}
	m->spaces[at].live = true;
	m->spaces[at].small_pages = false;
	m->spaces[at].page_tables = 0;
	m->spaces[at].count = 0;
	m->spaces[at].allowed_count = 0;
	return (int)at;
}

void model_space_free(struct model *m, int space)
{
	model_remove_all(m, space);
	m->spaces[space].live = false;
}

size_t model_find(const struct model_space *space, uint64_t iova)
{
	size_t low = 0, high = space->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (space->mappings[middle].last < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool model_overlaps(const struct model_space *space, uint64_t iova, uint64_t last)
{
	size_t at = model_find(space, iova);

	return at < space->count && space->mappings[at].iova <= last;
}

/* ---- pages ---- */

uint64_t model_pages_of(const struct model *m, uint64_t bytes)
{
	return (bytes >> m->page_shift) + ((bytes & (m->page - 1)) != 0);
}

uint64_t model_limit(const struct model *m, int task)
{
	return m->tasks[task].attr.memlock_bytes >> m->page_shift;
}

bool model_memory(const struct model *m, int task, uint64_t addr, uint64_t len, bool write,
		  uint64_t *registers)
{
	uint64_t left = len;

	*registers = 0;
	if (!m->tasks[task].live)
		return false;
	while (left) {
		struct vfake_memory_view view;
		uint64_t part;

		if (vfake_view_memory(m->tasks[task].task, addr, &view) ||
		    !(write ? view.writable : view.readable))
			return false;
		part = view.last - addr >= left - 1 ? left : view.last - addr + 1;
		if (view.registers)
			*registers += part >> m->page_shift;
		left -= part;
		addr += part;
	}
	return true;
}

uint64_t *model_user_locked(struct model *m, int task)
{
	return &m->tasks[m->tasks[task].user].user_locked;
}

static void charge_pages(struct model *m, const struct model_pages *pages, uint64_t add,
			 uint64_t sub)
{
	struct model_task *task = &m->tasks[pages->task];

	m->pinned += add - sub;
	task->pinned += add - sub;
	if (pages->account == 1)
		*model_user_locked(m, pages->task) += add - sub;
	else if (pages->account == 2)
		task->locked += add - sub;
}

static int by_start(const void *a, const void *b)
{
	const struct model_range *first = a, *second = b;

	return first->start < second->start ? -1 : first->start > second->start;
}

/* Different pages that pinned areas of these pages cover. */
static uint64_t covered(struct model_range *ranges, size_t count)
{
	uint64_t sum = 0, next = 0;

	qsort(ranges, count, sizeof(*ranges), by_start);
	for (size_t i = 0; i < count; i++) {
		uint64_t start = ranges[i].start > next ? ranges[i].start : next;

		if (ranges[i].last < start)
			continue;
		sum += ranges[i].last - start + 1;
		next = ranges[i].last + 1;
	}
	return sum;
}

static struct model_range pages_under(const struct model *m, const struct model_mapping *mapping)
{
	uint64_t first = mapping->vaddr - m->pages[mapping->pages].start;

	return (struct model_range){ first >> m->page_shift,
				     (first + (mapping->last - mapping->iova)) >> m->page_shift };
}

/* Gathers the areas of some pages that are pinned; returns how many there are. */
static size_t gather(const struct model *m, int pages, struct model_range *ranges)
{
	size_t count = 0;

	for (size_t i = 0; i < m->spaces_count; i++) {
		const struct model_space *space = &m->spaces[i];

		for (size_t k = 0; space->live && k < space->count; k++) {
			if (space->mappings[k].pages == pages && space->mappings[k].pinned)
				ranges[count++] = pages_under(m, &space->mappings[k]);
		}
	}
	return count;
}

void model_recount(struct model *m, int at)
{
	struct model_pages *pages = &m->pages[at];
	struct model_range *ranges;
	uint64_t now;

	ranges = malloc((pages->areas + 1) * sizeof(*ranges));
	if (!ranges) {
		model_says(m, "the model has no memory left");
		return;
	}
	now = covered(ranges, gather(m, at, ranges));
	free(ranges);
	charge_pages(m, pages, now, pages->pinned);
	pages->pinned = now;
}

static void pages_put(struct model *m, int at)
{
	struct model_pages *pages = &m->pages[at];
	int file = pages->file;

	if (--pages->areas)
		return;
	if (file >= 0)
		model_file_put(m, file);
}

/* ---- mappings ---- */

struct model_mapping *model_insert(struct model *m, int at, const struct model_mapping *mapping)
{
	struct model_space *space = &m->spaces[at];
	size_t index = model_find(space, mapping->iova);

	if (!model_room(m, &space->mappings, &space->room, space->count, sizeof(*mapping)))
		return NULL;
	memmove(&space->mappings[index + 1], &space->mappings[index],
		(space->count - index) * sizeof(*mapping));
	space->mappings[index] = *mapping;
	space->count++;
	return &space->mappings[index];
}

void model_remove(struct model *m, int at, size_t index)
{
	struct model_space *space = &m->spaces[at];
	struct model_mapping gone = space->mappings[index];

	space->count--;
	memmove(&space->mappings[index], &space->mappings[index + 1],
		(space->count - index) * sizeof(gone));
	if (gone.pages >= 0) {
		if (gone.pinned && m->pages[gone.pages].areas == 1) {
			charge_pages(m, &m->pages[gone.pages], 0, m->pages[gone.pages].pinned);
			m->pages[gone.pages].pinned = 0;
		} else if (gone.pinned) {
			model_recount(m, gone.pages);
		}
		pages_put(m, gone.pages);
		return;
	}
	if (gone.pages == MODEL_TCES)
		return; /* model_spapr.c counts them */
	m->pinned -= (gone.last - gone.iova + 1) >> m->page_shift;
	if (m->tasks[gone.task].live)
		m->tasks[gone.task].locked -= gone.charged;
}

void model_remove_all(struct model *m, int space)
{
	while (m->spaces[space].count)
		model_remove(m, space, m->spaces[space].count - 1);
}

void model_take_front(struct model *m, const struct vfake_space_at *at, int space, uint64_t iova,
		      uint64_t last)
{
	size_t index = model_find(&m->spaces[space], iova);
	struct vfake_mapping_view view;

	while (index < m->spaces[space].count) {
		const struct model_mapping *mapping = &m->spaces[space].mappings[index];

		if (mapping->iova > last ||
		    !vfake_view_mapping(at, mapping->iova, mapping->iova, &view))
			break;
		model_remove(m, space, index);
	}
}
