/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plugged pieces of DISCARDABLE regions: a bit for each, so that unplugging needs no memory however
 * it cuts them.
 */
#include "memory.h"

uint64_t vfio_memory_last_piece(const struct vfio_memory_region *spec)
{
	return (spec->last - spec->start) / spec->granularity;
}

static uint64_t piece_of(const struct guest_region *region, uint64_t addr)
{
	return (addr - region->spec.start) / region->spec.granularity;
}

/* The last address of a piece. */
static uint64_t end_of(const struct guest_region *region, uint64_t piece)
{
	return region->spec.start + piece * region->spec.granularity +
	       (region->spec.granularity - 1);
}

static struct vfio_memory_section section_of(const struct guest_region *region,
					     struct vfio_range pieces)
{
	uint64_t start = region->spec.start + pieces.start * region->spec.granularity;

	return vfio_memory_section_of(region, start, end_of(region, pieces.last));
}

bool vfio_memory_plugged_at(const struct guest_region *region, uint64_t addr, uint64_t *last)
{
	uint64_t piece = piece_of(region, addr);
	struct vfio_range run;

	if (!vfio_bits_test(region->plugged, piece))
		return false;
	vfio_bits_first_run(region->plugged, true, piece, vfio_memory_last_piece(&region->spec),
			    &run);
	*last = end_of(region, run.last);
	return true;
}

static bool range_fits(const struct guest_region *region, uint64_t start, uint64_t last)
{
	uint64_t mask = region->spec.granularity - 1;

	return start <= last && start >= region->spec.start && last <= region->spec.last &&
	       !(start & mask) && (last & mask) == mask;
}

/* ---- telling ---- */

/* From @l on down to the lowest priority. */
static void tell_discard(struct vfio_memory_listener *l, const struct vfio_memory_section *piece,
			 bool only_asked)
{
	for (; l; l = l->prev) {
		if (l->discard && (l->populate || !only_asked))
			l->discard(l, piece);
	}
}

/* Asks all; who was asked before a refusal discards again. */
static bool ask(struct vfio_memory *memory, const struct vfio_memory_section *piece,
		struct vfio_error *error)
{
	for (struct vfio_memory_listener *l = memory->first; l; l = l->next) {
		if (!l->populate || l->populate(l, piece, error))
			continue;
		tell_discard(l->prev, piece, true);
		return false;
	}
	return true;
}

/* Asks for each hole in the pieces [first, last]; the bits do not change. */
static bool ask_all(struct vfio_memory *memory, const struct guest_region *region, uint64_t first,
		    uint64_t last, struct vfio_error *error)
{
	struct vfio_range holes = { first, last };
	struct vfio_memory_section piece;
	struct vfio_range run;

	while (vfio_bits_first_run(region->plugged, false, holes.start, holes.last, &run)) {
		piece = section_of(region, run);
		if (!ask(memory, &piece, error))
			goto take_back;
		holes.start = run.last + 1;
	}
	return true;

take_back:
	while (run.start > first &&
	       vfio_bits_last_run(region->plugged, false, first, run.start - 1, &run)) {
		piece = section_of(region, run);
		tell_discard(memory->last, &piece, true);
	}
	return false;
}

/* ---- plugging ---- */

/* New pieces are new to whoever copies dirty pages; the old ones among them stay what they are. */
static void mark_holes(struct vfio_memory *memory, struct guest_region *region, uint64_t first,
		       uint64_t last)
{
	struct vfio_range run;

	if (!memory->logging)
		return;
	while (vfio_bits_first_run(region->plugged, false, first, last, &run)) {
		struct vfio_memory_section piece = section_of(region, run);

		vfio_memory_mark(region, piece.start, piece.last);
		first = run.last + 1;
	}
}

bool vfio_memory_populate(struct vfio_memory *memory, uint32_t id, uint64_t start, uint64_t last,
			  struct vfio_error *error)
{
	struct guest_region *region =
		vfio_memory_region_of_kind(memory, id, VFIO_MEMORY_DISCARDABLE);
	bool agreed;

	if (memory->reporting)
		return vfio_fail(error, -EBUSY, "populating from within a listener");
	if (!region)
		return vfio_fail(error, -ENOENT, "populating memory region %u", id);
	if (!range_fits(region, start, last))
		return vfio_fail(error, -EINVAL, "populating memory region %s", region->name);
	if (region->visible) {
		memory->reporting++;
		agreed = ask_all(memory, region, piece_of(region, start), piece_of(region, last),
				 error);
		memory->reporting--;
		if (!agreed)
			return false;
	}
	mark_holes(memory, region, piece_of(region, start), piece_of(region, last));
	vfio_bits_fill(region->plugged, piece_of(region, start), piece_of(region, last), true);
	return true;
}

void vfio_memory_discard(struct vfio_memory *memory, uint32_t id, uint64_t start, uint64_t last)
{
	struct guest_region *region =
		vfio_memory_region_of_kind(memory, id, VFIO_MEMORY_DISCARDABLE);
	struct vfio_range run;

	if (memory->reporting || !region || !range_fits(region, start, last))
		return;
	memory->reporting++;
	while (vfio_bits_last_run(region->plugged, true, piece_of(region, start),
				  piece_of(region, last), &run)) {
		struct vfio_memory_section piece = section_of(region, run);

		if (region->visible)
			tell_discard(memory->last, &piece, false);
		vfio_bits_fill(region->plugged, run.start, run.last, false);
		vfio_memory_unmark(region, piece.start, piece.last);
	}
	memory->reporting--;
}

/* ---- what is plugged ---- */

/* The plugged part of a section, by pieces, in the highest or lowest run; cut to the section. */
static bool part_of(const struct guest_region *region, const struct vfio_memory_section *section,
		    bool highest, struct vfio_memory_section *part)
{
	uint64_t first = piece_of(region, section->start);
	uint64_t last = piece_of(region, section->last);
	struct vfio_range run;

	if (highest ? !vfio_bits_last_run(region->plugged, true, first, last, &run)
		    : !vfio_bits_first_run(region->plugged, true, first, last, &run))
		return false;
	*part = section_of(region, run);
	if (part->start < section->start)
		*part = vfio_memory_section_of(region, section->start, part->last);
	if (part->last > section->last)
		part->last = section->last;
	return true;
}

void vfio_memory_mark_plugged(struct guest_region *region, uint64_t start, uint64_t last)
{
	struct vfio_memory_section left = vfio_memory_whole(region);
	struct vfio_memory_section part;

	if (last < left.start)
		return;
	left.start = start > left.start ? start : left.start;
	left.last = last < left.last ? last : left.last;
	/* Behind the last piece there is no part, also where the next address wraps. */
	for (; part_of(region, &left, false, &part); left.start = part.last + 1)
		vfio_memory_mark(region, part.start, part.last);
}

/* ---- replay ---- */

static void replay_discard(const struct guest_region *region, struct vfio_memory_section left,
			   struct vfio_memory_listener *listener)
{
	uint64_t start = left.start;
	struct vfio_memory_section part;

	while (listener->discard && part_of(region, &left, true, &part)) {
		listener->discard(listener, &part);
		if (part.start == start)
			break;
		left.last = part.start - 1;
	}
}

bool vfio_memory_populate_replay(struct vfio_memory *memory,
				 const struct vfio_memory_section *section,
				 struct vfio_memory_listener *listener, struct vfio_error *error)
{
	const struct guest_region *region = vfio_memory_region(memory, section->id);
	struct vfio_memory_section left = *section;
	struct vfio_memory_section part;
	bool agreed = true;

	if (!region || !region->plugged || !listener->populate)
		return true;
	memory->reporting++;
	while (part_of(region, &left, false, &part)) {
		agreed = listener->populate(listener, &part, error);
		if (!agreed || part.last == section->last)
			break;
		left.start = part.last + 1;
	}
	if (!agreed && part.start > section->start) {
		left = *section;
		left.last = part.start - 1;
		replay_discard(region, left, listener);
	}
	memory->reporting--;
	return agreed;
}
